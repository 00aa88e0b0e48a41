/*
 * publish.c - what the poll thread tells the world of itself, about once a second.
 *
 *   partitions, lanes --copy--> snapshot --> /status, /metrics, /readyz   (show/status.c)
 *                     --count-> gauges by stream
 *                     --line--> the service manager: STATUS=, WATCHDOG=1, STOPPING=1
 *   slots ------------ --line--> the log: a stream's intake is paused, and goes on
 *
 * Reads the others, changes nothing of them. A partition whose batches are held at its lane is
 * shown by that: halted if an operator must act, waiting if it is tried again soon.
 *
 * Thread: the poll thread. "WATCHDOG=1" comes from here, so a poll thread that hangs is noticed by
 * its silence; that the lanes go round is asked of their heartbeats.
 */
#include "flow/publish.h"

#include <stdlib.h>
#include <string.h>

#include "base/beat.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/stats.h"
#include "core/stream.h"
#include "search/indexer.h"

#define STATUS_EVERY_US US_PER_S
#define PAUSED_US (5 * US_PER_S)
#define FAILS_US (30 * US_PER_S) /* upkeep that failed is tried again after ten seconds */

/* A partition, and the line of its batches at its lane. */
struct seen {
	const struct partition *part;
	struct line_view line;
};

/* Taking part: its batches are what it waits for, if it waits. */
static bool is_on(const struct partition *part)
{
	return part->state == PARTITION_ACTIVE || part->state == PARTITION_PAUSED;
}

/* Also if its batches are held at the lane until an operator acts. */
static bool is_halted(const struct seen *s)
{
	return s->part->state == PARTITION_HALTED ||
	       (is_on(s->part) && s->line.state == LINE_HALTED);
}

static bool is_paused(const struct seen *s)
{
	return s->part->state != PARTITION_ACTIVE || is_halted(s);
}

static bool waits_for_schema(const struct seen *s)
{
	return s->part->state == PARTITION_PAUSED && s->part->cause == PAUSE_SCHEMA;
}

/* As people understand it: its own state, or that of its line. */
static struct status_partition partition_facts(const struct publish *pub, const struct seen *s)
{
	const struct partition *part = s->part;
	bool held = is_on(part) && s->line.state != LINE_FLOWS;
	bool halted = is_halted(s);
	int64_t high = part->sp && pub->source ? source_high_watermark(pub->source, part->sp) : -1;
	return (struct status_partition){
		.stream = part->slot->stream->config->name,
		.topic = part->topic,
		.partition = part->partition,
		.state = partition_state_name(halted ? PARTITION_HALTED : part->state),
		.paused = pause_cause_name(part->cause),
		.error = held ? s->line.why : part->error,
		.lane = part->slot->lane,
		.of = part->partitions,
		.next_offset = part->durable,
		.position = part->position,
		.high = MAX(high, part->high),
		.epoch = part->epoch,
		.durable_ts_ms = part->durable_ts_ms,
		.pending_ts_ms = part->pending_ts_ms};
}

/* A copy: the lane goes on meanwhile. */
static struct status_lane lane_facts(const struct publish *pub, const struct lane_view *view,
				     size_t lane)
{
	return (struct status_lane){.state = lane_state_name(view->state),
				    .phase = view->phase,
				    .stream = view->stream,
				    .error = view->error,
				    .connected = view->connected,
				    .batches = view->batches,
				    .events = view->events,
				    .attempts = view->attempts,
				    .jobs = pub->lanes->jobs[lane],
				    .busy_us =
					    view->stream ? clock_mono_us() - view->since_us : -1};
}

/* The partitions of the assignment. The caller frees it. */
static struct seen *see(const struct publish *pub, size_t *n)
{
	const struct partitions *ps = pub->partitions;
	struct seen *seen = xcalloc(ps->n + 1, sizeof(*seen));
	*n = 0;
	for (size_t i = 0; i < ps->n; i++) {
		const struct partition *part = ps->all[i];
		if (part->state == PARTITION_GONE)
			continue;
		seen[*n].part = part;
		lanes_look_at_line(pub->lanes, part->slot, &seen[*n].line);
		++*n;
	}
	return seen;
}

/* What upkeep of a search does here: from its metrics, as its thread is in the database. */
static const char *search_state(struct publish *pub, size_t stream)
{
	const struct config *c = pub->config;
	struct search_seen *seen = &pub->searches[stream];
	int64_t failures = stats_get(METRIC_SEARCH_FAILURES, stream, 0), now = clock_mono_us();
	if (failures != seen->failures)
		*seen = (struct search_seen){failures, now};
	if (failures > 0 && now - seen->failed_us < FAILS_US)
		return "failing";
	if (c->index_when == INDEX_NEVER)
		return "off";
	if (stats_get(METRIC_SEARCH_UNINDEXED, stream, 0) < c->index_tail_rows)
		return "settled";
	bool on = indexer_is_time(c, clock_wall_us(), pool_in_flight(pub->pool) == 0);
	return on ? "building" : "waiting";
}

/* Of streams that share a table the first has its search, as for the indexer. */
static bool has_search(const struct publish *pub, size_t stream)
{
	const struct searchsql *search = pub->streams[stream]->searches[0];
	for (size_t i = 0; search && i < stream; i++)
		if (pub->streams[i]->searches[0] &&
		    strcmp(pub->streams[i]->searches[0]->table_name, search->table_name) == 0)
			return false;
	return search != NULL;
}

static size_t search_facts(struct publish *pub, struct status_search *searches)
{
	size_t n = 0;
	if (!pub->searches)
		pub->searches = xcalloc(pub->config->nstreams, sizeof(*pub->searches));
	for (size_t i = 0; i < pub->config->nstreams; i++)
		if (has_search(pub, i))
			searches[n++] = (struct status_search){pub->config->streams[i].name,
							       search_state(pub, i)};
	return n;
}

/* What is shown of a model borrows from its view. */
static size_t model_facts(const struct publish *pub, struct embed_view *views,
			  struct status_model *models)
{
	size_t n = pub->lanes->embedder ? embedder_models(pub->lanes->embedder, views) : 0;
	for (size_t i = 0; i < n; i++)
		models[i] = (struct status_model){.name = views[i].name,
						  .state = model_state_name(views[i].state),
						  .error = views[i].error,
						  .waiting = views[i].waiting,
						  .requests = views[i].requests,
						  .inputs = views[i].inputs};
	return n;
}

/* status_publish() copies all of it. */
static void publish_snapshot(struct publish *pub, enum worker_state state, const struct seen *seen,
			     size_t n)
{
	size_t nlanes = pub->lanes->n;
	struct status_partition *partitions = xcalloc(n + 1, sizeof(*partitions));
	struct status_lane *lanes = xcalloc(nlanes, sizeof(*lanes));
	struct lane_view *views = xcalloc(nlanes, sizeof(*views));
	struct status_search *searches = xcalloc(pub->config->nstreams, sizeof(*searches));
	struct embed_view *embeds = xcalloc(pub->config->nembeds + 1, sizeof(*embeds));
	struct status_model *models = xcalloc(pub->config->nembeds + 1, sizeof(*models));
	struct status_facts facts = {.state = state,
				     .joined = pub->source && source_joined(pub->source),
				     .partitions = partitions,
				     .npartitions = n,
				     .lanes = lanes,
				     .nlanes = nlanes,
				     .missing = (const char *const *)pub->assignment->missing,
				     .searches = searches,
				     .nsearches = search_facts(pub, searches),
				     .models = models,
				     .nmodels = model_facts(pub, embeds, models)};
	for (size_t i = 0; i < n; i++)
		partitions[i] = partition_facts(pub, &seen[i]);
	for (size_t i = 0; i < nlanes; i++) {
		lane_look(pub->lanes->all[i], &views[i]);
		lanes[i] = lane_facts(pub, &views[i], i);
	}
	status_publish(pub->status, &facts);
	free(partitions);
	free(lanes);
	free(views);
	free(searches);
	free(embeds);
	free(models);
}

/* Sums by stream, as series by partition may be turned off. */
static void publish_gauges(struct publish *pub, const struct seen *seen, size_t n)
{
	for (size_t stream = 0; stream < pub->config->nstreams; stream++) {
		int64_t assigned = 0, paused = 0, halted = 0, schema = 0;
		for (size_t i = 0; i < n; i++) {
			if (seen[i].part->slot->stream->index != stream)
				continue;
			assigned++;
			paused += is_paused(&seen[i]);
			halted += is_halted(&seen[i]);
			schema += waits_for_schema(&seen[i]);
		}
		stats_set(METRIC_ASSIGNED_PARTITIONS, stream, 0, assigned);
		stats_set(METRIC_PAUSED_PARTITIONS, stream, 0, paused);
		stats_set(METRIC_HALTED_PARTITIONS, stream, 0, halted);
		stats_set(METRIC_SCHEMA_WAITING, stream, 0, schema);
	}
	stats_set(METRIC_BATCHES_IN_FLIGHT, 0, 0, (int64_t)pool_in_flight(pub->pool));
	stats_set(METRIC_BATCH_MEMORY, 0, 0, (int64_t)pool_bytes(pub->pool));
}

/* Since when a slot of the stream's takes nothing; 0: all take, or wait for a moment. */
static int64_t paused_since(const struct publish *pub, size_t stream, enum slot_lack *lack)
{
	size_t n;
	struct slot *slots = pool_slots(pub->pool, &n);
	int64_t since = 0;
	for (size_t i = 0; i < n; i++) {
		const struct slot *s = &slots[i];
		if (s->stream->index != stream || s->state != SLOT_SHUT)
			continue;
		*lack = s->lack;
		since = since ? MIN(since, s->since_us) : s->since_us;
	}
	return since;
}

/*
 * Intake that is paused for a moment is how a slow database is waited for. For longer it is worth a
 * line, and another one when it goes on.
 */
static void tell_intake(struct publish *pub)
{
	int64_t now = clock_mono_us();
	if (!pub->paused_us)
		pub->paused_us = xcalloc(pub->config->nstreams, sizeof(*pub->paused_us));
	for (size_t i = 0; i < pub->config->nstreams; i++) {
		enum slot_lack lack = LACKS_NOTHING;
		const char *name = pub->config->streams[i].name;
		int64_t since = paused_since(pub, i, &lack), told = pub->paused_us[i];
		if (since && !told && now - since >= PAUSED_US) {
			log_warn("intake paused, what was read waits to be written",
				 F_STR("stream", name),
				 F_STR("for", lack == LACKS_MEMORY ? "memory" : "batches"));
			pub->paused_us[i] = since;
		} else if (!since && told) {
			log_info("intake resumed", F_STR("stream", name),
				 F_REAL("after_s", (double)(now - told) / (double)US_PER_S));
			pub->paused_us[i] = 0;
		}
	}
}

/* Silent to the watchdog if any thread is. */
static void tell_manager(struct publish *pub, enum worker_state state)
{
	struct buf text = {0}, silent = {0};
	if (!pub->notify)
		return;
	buf_puts(&text, state == WORKER_DRAINING ? "STOPPING=1\nSTATUS=" : "STATUS=");
	status_line(pub->status, &text);
	if (notify_watchdog(pub->notify) && beat_all(&silent))
		buf_puts(&text, "\nWATCHDOG=1");
	notify_send(pub->notify, buf_cstr(&text));
	buf_free(&text);
	buf_free(&silent);
}

/* All of them are from one look, so that they agree. */
void publish_now(struct publish *pub, enum worker_state state)
{
	size_t n;
	beat(pub->beat);
	struct seen *seen = see(pub, &n);
	publish_snapshot(pub, state, seen, n);
	publish_gauges(pub, seen, n);
	free(seen);
	tell_intake(pub);
	tell_manager(pub, state);
	pub->due_us = clock_mono_us() + STATUS_EVERY_US;
}

void publish_close(struct publish *pub)
{
	free(pub->searches);
	free(pub->paused_us);
	pub->paused_us = NULL;
	pub->searches = NULL;
}

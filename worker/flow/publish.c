/*
 * publish.c - what the poll thread tells the world of itself, about once a second.
 *
 *   partitions, lanes --copy--> snapshot --> /status, /metrics, /readyz   (status.c)
 *                     --count-> gauges by stream
 *                     --line--> the service manager: STATUS=, WATCHDOG=1, STOPPING=1
 *
 * Reads the pipeline, changes nothing of it but its own deadline.
 *
 * Thread: the poll thread. "WATCHDOG=1" comes from here, so a poll thread that hangs is noticed by
 * its silence; that the lanes go round is asked of their heartbeats.
 */
#include <stdlib.h>

#include "base/beat.h"
#include "base/clock.h"
#include "base/stats.h"
#include "flow/pipeline_parts.h"

#define STATUS_EVERY_US US_PER_S

/* Counters that move per event are summed here and published per turn. */
void publish_counts(struct pipeline *p)
{
	for (size_t i = 0; i < p->config->nstreams; i++) {
		if (p->taken[i].events == 0)
			continue;
		stats_add(METRIC_RECORDS_CONSUMED, i, 0, (int64_t)p->taken[i].events);
		stats_add(METRIC_RECORDS_DECODED, i, 0, (int64_t)p->taken[i].decoded);
		stats_add(METRIC_CONSUMED_BYTES, i, 0, (int64_t)p->taken[i].bytes);
		guard_count(&p->guards[i], p->config, p->taken[i].events);
		p->taken[i] = (struct taken_count){0};
	}
	stats_set(METRIC_BATCH_MEMORY, 0, 0, (int64_t)p->memory);
}

static int64_t count_partitions(struct pipeline *p, size_t stream,
				bool (*counts)(struct pipeline *p, const struct partition *part))
{
	int64_t n = 0;
	for (size_t i = 0; i < p->npartitions; i++)
		n += p->partitions[i]->stream->index == stream && counts(p, p->partitions[i]);
	return n;
}

static bool is_assigned(struct pipeline *p, const struct partition *part)
{
	(void)p;
	return part->state != PARTITION_GONE;
}

/* Its batches wait for an operator. */
static bool is_held(struct pipeline *p, const struct partition *part)
{
	return (part->state == PARTITION_ACTIVE || part->state == PARTITION_PAUSED) &&
	       slot_of(p, part)->held[0] != '\0';
}

static bool is_paused(struct pipeline *p, const struct partition *part)
{
	return is_assigned(p, part) && (part->state != PARTITION_ACTIVE || is_held(p, part));
}

static bool is_halted(struct pipeline *p, const struct partition *part)
{
	return part->state == PARTITION_HALTED || is_held(p, part);
}

static bool waits_for_schema(struct pipeline *p, const struct partition *part)
{
	(void)p;
	return part->state == PARTITION_PAUSED && part->cause == PAUSE_SCHEMA;
}

static struct status_partition partition_facts(struct pipeline *p, const struct partition *part)
{
	bool held = is_held(p, part);
	return (struct status_partition){
		.stream = part->stream->config->name,
		.topic = part->topic,
		.partition = part->partition,
		.state = partition_state_name(held ? PARTITION_HALTED : part->state),
		.paused = pause_cause_name(part->cause),
		.error = held ? slot_of(p, part)->held : part->error,
		.lane = part->lane,
		.of = part->partitions,
		.next_offset = part->durable,
		.position = part->position,
		.high = part->sp ? MAX(source_high_watermark(p->source, part->sp), part->high)
				 : part->high,
		.epoch = part->epoch,
		.durable_ts_ms = part->durable_ts_ms,
		.pending_ts_ms = part->pending_ts_ms};
}

static enum worker_state worker_state(const struct pipeline *p)
{
	if (p->stopped)
		return WORKER_STOPPED;
	if (p->draining)
		return WORKER_DRAINING;
	return source_joined(p->source) ? WORKER_RUNNING : WORKER_STARTING;
}

static struct status_lane lane_facts(const struct pipeline *p, const struct lane_view *view,
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
				    .jobs = p->lane_jobs[lane],
				    .busy_us =
					    view->stream ? clock_mono_us() - view->since_us : -1};
}

static void publish_snapshot(struct pipeline *p)
{
	struct status_partition *partitions = xcalloc(p->npartitions + 1, sizeof(*partitions));
	struct status_lane *lanes = xcalloc(p->config->lanes, sizeof(*lanes));
	struct lane_view *views = xcalloc(p->config->lanes, sizeof(*views));
	struct status_facts facts = {.state = worker_state(p),
				     .joined = source_joined(p->source),
				     .partitions = partitions,
				     .lanes = lanes,
				     .nlanes = p->config->lanes};
	for (size_t i = 0; i < p->npartitions; i++)
		if (p->partitions[i]->state != PARTITION_GONE)
			partitions[facts.npartitions++] = partition_facts(p, p->partitions[i]);
	for (size_t i = 0; i < p->config->lanes; i++) {
		lane_look(p->lanes[i], &views[i]);
		lanes[i] = lane_facts(p, &views[i], i);
	}
	status_publish(p->status, &facts);
	free(partitions);
	free(lanes);
	free(views);
}

/* Sealed, not decided: of a lane's batches those that are neither open nor free. */
static int64_t batches_in_flight(const struct pipeline *p)
{
	size_t n = p->config->lanes * p->batches_per_lane;
	for (size_t i = 0; i < p->config->lanes; i++)
		n -= p->nfree[i];
	for (size_t i = 0; i < p->nslots; i++)
		n -= p->slots[i].batch != NULL;
	return (int64_t)n;
}

static void tell_manager(struct pipeline *p)
{
	struct buf text = {0}, silent = {0};
	if (!p->notify)
		return;
	buf_puts(&text, p->draining ? "STOPPING=1\nSTATUS=" : "STATUS=");
	status_line(p->status, &text);
	if (notify_watchdog(p->notify) && beat_all(&silent))
		buf_puts(&text, "\nWATCHDOG=1");
	notify_send(p->notify, buf_cstr(&text));
	buf_free(&text);
	buf_free(&silent);
}

void publish_status(struct pipeline *p)
{
	beat(p->beat);
	for (size_t i = 0; i < p->nslots; i++)
		lane_holds(p->lanes[p->slots[i].lane], p->slots[i].stream->index, p->slots[i].held);
	publish_snapshot(p);
	for (size_t i = 0; i < p->config->nstreams; i++) {
		stats_set(METRIC_ASSIGNED_PARTITIONS, i, 0, count_partitions(p, i, is_assigned));
		stats_set(METRIC_PAUSED_PARTITIONS, i, 0, count_partitions(p, i, is_paused));
		stats_set(METRIC_HALTED_PARTITIONS, i, 0, count_partitions(p, i, is_halted));
		stats_set(METRIC_SCHEMA_WAITING, i, 0, count_partitions(p, i, waits_for_schema));
	}
	stats_set(METRIC_BATCHES_IN_FLIGHT, 0, 0, batches_in_flight(p));
	tell_manager(p);
	p->next_status_us = clock_mono_us() + STATUS_EVERY_US;
}

/*
 * assignment.c - partitions come and go: claims, starts, halts, rewinds, revocations.
 *
 *   assigned --> ask Kafka for the log's ends --> ask the lane to claim the offsets row
 *            --> check the offset against the log --> seek librdkafka there --> messages
 *
 * Kafka's word that a partition is ours is advisory: it may be late or wrong (a stopped process
 * that wakes up, a lost heartbeat). The claim is what counts: it waits for the row lock of whoever
 * may still be committing, raises owner_epoch, and from then on the old owner's swap fails.
 *
 * A revocation must not return before nothing of the partition is under way, so it seals what is
 * open and serves results until the lanes are done, within a budget; then it aborts the lanes that
 * still hold such a batch. Lost partitions are not waited for. Aborting also takes back other
 * partitions' batches of that lane; those partitions start again from what is durable.
 *
 * A fenced partition that Kafka still says is ours is claimed again after FENCED_DELAY_US: long
 * enough for a worker that was asleep to learn first that it has lost its membership, so that it
 * does not fence its successor.
 *
 * A partition without traffic would never notice that its row was moved (a rewind, a restored
 * database): after IDLE_LOOK_US it sends a span without offsets through the normal swap, which is
 * fenced if the row moved.
 *
 * Thread: the poll thread; assignment_assigned(), _revoked() and _fault() run inside source_poll().
 */
#include <assert.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/stats.h"
#include "flow/pipeline_parts.h"

#define RETRY_US US_PER_S
#define START_RETRY_US (100 * US_PER_MS)
#define HALTED_LOOK_US (15 * US_PER_S)
#define IDLE_LOOK_US (10 * US_PER_S)
#define QUERY_TIMEOUT_MS 5000
#define REVOKE_BUDGET_US (10 * US_PER_S)
#define ABORT_BUDGET_US (30 * US_PER_S)

/* --- halting, pausing, rewinding --- */

void partition_halt(struct pipeline *p, struct partition *part, const struct err *err)
{
	if (part->state == PARTITION_ACTIVE || part->state == PARTITION_STARTING ||
	    part->state == PARTITION_PAUSED)
		source_pause(p->source, part->sp);
	bool news = strcmp(part->error, err->text) != 0;
	partition_set(part, PARTITION_HALTED);
	part->retry_us = clock_mono_us() + HALTED_LOOK_US;
	snprintf(part->error, sizeof(part->error), "%s", err->text);
	if (news)
		log_error("partition halted, an operator must act",
			  F_STR("stream", part->stream->config->name), F_STR("topic", part->topic),
			  F_INT("partition", part->partition), F_INT("offset", part->position),
			  F_STR("error", err->text));
}

void partition_pause(struct pipeline *p, struct partition *part, enum pause_cause cause)
{
	source_pause(p->source, part->sp);
	partition_set(part, PARTITION_PAUSED);
	part->cause = cause;
	part->paused_us = clock_mono_us();
}

/* What the open batch holds of a partition counts no more. */
static void drop_open(struct pipeline *p, struct partition *part)
{
	struct batch *b = slot_of(p, part)->batch;
	for (size_t i = 0; b && i < b->nspans; i++)
		if (b->spans[i].owner == part && b->spans[i].result == SPAN_OPEN)
			b->spans[i].result = SPAN_DROPPED;
}

void partition_rewind(struct pipeline *p, struct partition *part, int64_t delay_us)
{
	if (part->state == PARTITION_GONE || part->state == PARTITION_CLAIMING)
		return;
	source_pause(p->source, part->sp);
	drop_open(p, part);
	partition_set(part, PARTITION_ASSIGNED);
	part->retry_us = clock_mono_us() + delay_us;
	part->pending_ts_ms = -1;
}

/* --- from assigned to active --- */

static void log_claim_failure(const struct partition *part, const struct err *err)
{
	log_warn("partition not claimed, will try again", F_STR("topic", part->topic),
		 F_INT("partition", part->partition), F_STR("error", err->text));
}

static void push_claim(struct pipeline *p, struct partition *part)
{
	struct job *job = xcalloc(1, sizeof(*job));
	job->kind = JOB_CLAIM;
	job->owner = part;
	job->claim = (struct sink_claim){.topic = part->topic,
					 .partition = part->partition,
					 .topic_id = part->topic_id,
					 .low = part->low,
					 .start = part->start,
					 .partitions = part->partitions};
	partition_set(part, PARTITION_CLAIMING);
	part->in_flight++;
	pipeline_push(p, part->lane, job);
}

/* Asks Kafka for the ends of all logs that are due in few requests, then sends the claims. */
static void claim_due(struct pipeline *p, struct partition **due, size_t n)
{
	struct err err = {0};
	struct source_log *logs = xcalloc(n, sizeof(*logs));
	for (size_t i = 0; i < n; i++)
		logs[i].sp = due[i]->sp;
	bool ok = source_query_logs(p->source, logs, n, QUERY_TIMEOUT_MS, &err);
	if (!ok)
		log_warn("Kafka did not say where the partitions begin and end, will ask again",
			 F_INT("partitions", n), F_STR("error", err.text));
	for (size_t i = 0; i < n; i++) {
		struct partition *part = due[i];
		if (!ok && logs[i].low < 0) {
			part->retry_us = clock_mono_us() + RETRY_US;
			continue;
		}
		part->low = logs[i].low;
		part->high = logs[i].high;
		part->start = logs[i].start;
		part->partitions = logs[i].partitions;
		memcpy(part->topic_id, logs[i].topic_id, sizeof(part->topic_id));
		push_claim(p, part);
	}
	free(logs);
}

void assignment_claimed(struct pipeline *p, struct job *job)
{
	struct partition *part = job->owner;
	struct err err = {0};
	part->in_flight--;
	if (part->state == PARTITION_GONE)
		return;
	assert(part->state == PARTITION_CLAIMING);
	if (!job->ok && job->err.class == ERR_CONFIG) {
		partition_halt(p, part, &job->err);
		return;
	}
	if (!job->ok) {
		log_claim_failure(part, &job->err);
		snprintf(part->error, sizeof(part->error), "%s", job->err.text);
		partition_set(part, PARTITION_ASSIGNED);
		part->retry_us = clock_mono_us() + RETRY_US;
		return;
	}
	/* Somebody else raised the epoch since our last claim: an operator has decided. */
	if (job->claim.owner_epoch > part->epoch + 1)
		part->suspect = false;
	part->position = part->durable = job->claim.next_offset;
	part->epoch = job->claim.owner_epoch;
	part->sure_us = clock_mono_us();
	if (!partition_check_log(part, part->position, job->claim.known_topic_id, &err)) {
		partition_halt(p, part, &err);
		return;
	}
	part->error[0] = '\0';
	part->suspect = false;
	partition_set(part, PARTITION_STARTING);
	part->retry_us = 0;
	log_info("partition claimed", F_STR("topic", part->topic),
		 F_INT("partition", part->partition), F_INT("next_offset", part->position),
		 F_INT("epoch", part->epoch), F_INT("lane", part->lane));
}

static void start(struct pipeline *p, struct partition *part)
{
	struct err err = {0};
	struct slot *slot = slot_of(p, part);
	if (!slot->batch && slot->partitions_paused) {
		partition_set(part, PARTITION_ACTIVE);
		partition_pause(p, part, PAUSE_BATCHES);
		return;
	}
	if (!source_start(p->source, part->sp, part->position, &err)) {
		log_debug("partition not started yet", F_STR("topic", part->topic),
			  F_INT("partition", part->partition), F_STR("error", err.text));
		part->retry_us = clock_mono_us() + START_RETRY_US;
		return;
	}
	partition_set(part, PARTITION_ACTIVE);
	part->cause = PAUSE_NONE;
	p->source_drained = false;
}

/*
 * A partition without events would never learn that its row was moved (by an operator's rewind, or
 * a database restored to an earlier state). A span without offsets goes through the swap like any
 * other and is fenced if the row is not as we think.
 */
static int64_t ask_when_idle(struct pipeline *p, struct partition *part, int64_t now)
{
	struct slot *slot = slot_of(p, part);
	if (part->in_flight > 0 || part->position != part->durable || !slot->batch)
		return CLOCK_NEVER;
	if (part->sure_us + IDLE_LOOK_US > now)
		return part->sure_us + IDLE_LOOK_US;
	if (slot->batch->opened_us == 0)
		slot->batch->opened_us = now;
	batch_span(slot->batch, part->topic, part->partition, part, part->position, part->epoch);
	part->sure_us = now;
	return now + IDLE_LOOK_US;
}

int64_t assignment_drive(struct pipeline *p)
{
	int64_t now = clock_mono_us(), next = CLOCK_NEVER;
	struct partition **due = xcalloc(p->npartitions + 1, sizeof(struct partition *));
	size_t n = 0;
	for (size_t i = 0; i < p->npartitions; i++) {
		struct partition *part = p->partitions[i];
		bool timed = part->state == PARTITION_ASSIGNED ||
			     part->state == PARTITION_STARTING || part->state == PARTITION_HALTED;
		if (part->state == PARTITION_ACTIVE && !p->draining)
			next = MIN(next, ask_when_idle(p, part, now));
		if (!timed || p->draining)
			continue;
		if (part->retry_us > now) {
			next = MIN(next, part->retry_us);
			continue;
		}
		if (part->state == PARTITION_STARTING) {
			start(p, part);
			next = part->state == PARTITION_STARTING ? MIN(next, part->retry_us) : next;
			continue;
		}
		if (part->state == PARTITION_HALTED)
			partition_rewind(p, part, 0);
		if (part->in_flight == 0)
			due[n++] = part;
	}
	if (n > 0) {
		claim_due(p, due, n);
		next = MIN(next, clock_mono_us() + RETRY_US);
	}
	free(due);
	return next;
}

void assignment_fault(void *ctx, struct source_partition *sp, enum source_fault fault,
		      const char *text)
{
	struct pipeline *p = ctx;
	struct partition *part = sp->user;
	struct err err = {0};
	if (!part || (part->state != PARTITION_ACTIVE && part->state != PARTITION_PAUSED))
		return;
	switch (fault) {
	/* the second look, at the log itself, finds the words and the verb for it */
	case SOURCE_FAULT_OFFSET:
		log_warn("position lost in the log, looking at it again",
			 F_STR("topic", part->topic), F_INT("partition", part->partition),
			 F_INT("offset", part->position), F_STR("error", text));
		part->suspect = true;
		partition_rewind(p, part, 0);
		return;
	case SOURCE_FAULT_GONE:
		err_set(&err, ERR_CONFIG, "%s [%d] does not exist any more: %s", part->topic,
			part->partition, text);
		break;
	case SOURCE_FAULT_DENIED:
		err_set(&err, ERR_CONFIG,
			"%s [%d]: Kafka denies reading it: %s; grant READ and DESCRIBE on the "
			"topic",
			part->topic, part->partition, text);
		break;
	case SOURCE_FAULT_OTHER:
		err_set(&err, ERR_CONFIG, "%s [%d]: %s", part->topic, part->partition, text);
		break;
	}
	partition_halt(p, part, &err);
}

/* --- assigned and revoked --- */

/* Partitions of a topic take the lanes in turn; topics begin at different ones. */
static size_t lane_for(const struct pipeline *p, const char *topic, int32_t partition)
{
	size_t first = 0;
	for (const char *c = topic; *c; c++)
		first = 31 * first + (unsigned char)*c;
	return (first + (size_t)partition) % p->config->lanes;
}

static void add_partition(struct pipeline *p, struct source_partition *sp)
{
	struct stream *stream = stream_for_topic(p->streams, p->config->nstreams, sp->topic);
	if (!stream) {
		log_error("topic belongs to no stream", F_STR("topic", sp->topic));
		return;
	}
	struct partition *part = xcalloc(1, sizeof(*part));
	part->sp = sp;
	part->stream = stream;
	part->topic = pipeline_intern(p, sp->topic);
	part->partition = sp->partition;
	part->lane = lane_for(p, sp->topic, sp->partition);
	part->state = PARTITION_ASSIGNED;
	part->durable_ts_ms = part->pending_ts_ms = -1;
	part->durable = part->position = -1;
	sp->user = part;
	if (p->npartitions == p->cap_partitions) {
		p->cap_partitions = p->cap_partitions ? 2 * p->cap_partitions : 16;
		p->partitions =
			xrealloc(p->partitions, p->cap_partitions * sizeof(struct partition *));
	}
	p->partitions[p->npartitions++] = part;
}

void assignment_assigned(void *ctx, struct source_partition **sps, size_t n)
{
	struct pipeline *p = ctx;
	stats_add(METRIC_REBALANCES, REBALANCE_ASSIGN, 0, 1);
	log_info("partitions assigned", F_INT("partitions", n));
	for (size_t i = 0; i < n; i++)
		add_partition(p, sps[i]);
}

void partition_release(struct pipeline *p, struct partition *part)
{
	if (part->state != PARTITION_GONE || part->in_flight > 0)
		return;
	/* An open batch may still name it in a dropped span. */
	struct batch *b = slot_of(p, part)->batch;
	for (size_t i = 0; b && i < b->nspans; i++)
		if (b->spans[i].owner == part)
			return;
	for (size_t i = 0; i < p->npartitions; i++)
		if (p->partitions[i] == part)
			p->partitions[i--] = p->partitions[--p->npartitions];
	free(part);
}

struct revoked {
	struct source_partition **sps;
	size_t n;
};

static bool revoked_done(const struct pipeline *p, const void *arg)
{
	const struct revoked *r = arg;
	(void)p;
	for (size_t i = 0; i < r->n; i++) {
		const struct partition *part = r->sps[i]->user;
		if (part && part->in_flight > 0)
			return false;
	}
	return true;
}

static bool lane_done(const struct pipeline *p, const void *arg)
{
	return p->lane_jobs[*(const size_t *)arg] == 0;
}

static void abort_lanes_of(struct pipeline *p, const struct revoked *r)
{
	for (size_t lane = 0; lane < p->config->lanes; lane++) {
		bool involved = false;
		for (size_t i = 0; i < r->n; i++) {
			const struct partition *part = r->sps[i]->user;
			involved = involved || (part && part->lane == lane && part->in_flight > 0);
		}
		if (!involved)
			continue;
		lane_abort(p->lanes[lane]);
		pipeline_wait_jobs(p, lane_done, &lane, clock_mono_us() + ABORT_BUDGET_US);
		if (p->lane_jobs[lane] > 0)
			pipeline_fail(p, 70, "a lane did not give its batch back");
		else
			lane_resume(p->lanes[lane]);
	}
}

static void seal_or_drop(struct pipeline *p, const struct revoked *r, bool lost)
{
	for (size_t i = 0; i < r->n; i++) {
		struct partition *part = r->sps[i]->user;
		if (!part)
			continue;
		if (lost) {
			drop_open(p, part);
			continue;
		}
		struct slot *slot = slot_of(p, part);
		bool open = false;
		for (size_t k = 0; slot->batch && k < slot->batch->nspans; k++)
			open = open || slot->batch->spans[k].owner == part;
		if (open)
			slot_seal(p, slot, SEAL_REVOKE);
	}
}

static void tell_kafka(struct pipeline *p, const struct revoked *r)
{
	struct source_partition **sps = xcalloc(r->n + 1, sizeof(struct source_partition *));
	int64_t *next = xcalloc(r->n + 1, sizeof(*next));
	size_t n = 0;
	for (size_t i = 0; i < r->n; i++) {
		const struct partition *part = r->sps[i]->user;
		if (!part || part->durable < 0 || part->epoch == 0)
			continue;
		sps[n] = r->sps[i];
		next[n++] = part->durable;
	}
	if (n > 0)
		source_commit_now(p->source, sps, next, n, 2000);
	free(sps);
	free(next);
}

void assignment_revoked(void *ctx, struct source_partition **sps, size_t n, bool lost)
{
	struct pipeline *p = ctx;
	struct revoked r = {sps, n};
	int64_t begun = clock_mono_us();
	stats_add(METRIC_REBALANCES, lost ? REBALANCE_LOST : REBALANCE_REVOKE, 0, 1);
	seal_or_drop(p, &r, lost);
	if (!lost)
		pipeline_wait_jobs(p, revoked_done, &r,
				   begun + MIN(REVOKE_BUDGET_US, p->config->shutdown_timeout_us));
	bool cut_off = !revoked_done(p, &r);
	if (cut_off)
		abort_lanes_of(p, &r);
	if (!lost)
		tell_kafka(p, &r);
	for (size_t i = 0; i < n; i++) {
		struct partition *part = sps[i]->user;
		sps[i]->user = NULL;
		if (!part)
			continue;
		partition_set(part, PARTITION_GONE);
		part->sp = NULL;
		partition_release(p, part);
	}
	int64_t took = clock_mono_us() - begun;
	stats_observe(METRIC_REBALANCE_SECONDS, 0, took);
	log_info(lost ? "partitions lost" : "partitions revoked", F_INT("partitions", n),
		 F_INT("cut_off", cut_off), F_REAL("took_s", (double)took / (double)US_PER_S));
}

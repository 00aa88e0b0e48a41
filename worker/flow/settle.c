/*
 * settle.c - decided batches and claims.
 *
 *   span COMMITTED   the partition is durable up to there; Kafka is to be told
 *        FENCED      somebody moved the offsets row: claimed anew after FENCED_DELAY_US
 *        ABANDONED   given back: claimed anew at once, where it is still ours
 *        DROPPED     nothing of it was to be written
 *   claim            the partition starts at what the row says, or is halted, or tried again
 *
 * A fenced partition that Kafka still says is ours is claimed again after a while: long enough for
 * a worker that was asleep to learn first that it has lost its membership, so that it does not
 * fence its successor.
 *
 * Every event ends merged, superseded, skipped, dead-lettered or in a declared gap; all but the
 * last are counted here, from the transactions that were committed.
 *
 * Thread: the poll thread.
 */
#include "flow/settle.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/stats.h"
#include "core/stream.h"

#define FENCED_DELAY_US (3 * US_PER_S)
#define CLAIM_RETRY_US US_PER_S

/* --- batches --- */

/* Kafka is told later; pending is over if nothing has come since. */
static void span_committed(struct partition *part, const struct span *span)
{
	part->durable = span->to;
	part->commit_due = part->commit_due || span->done.events > 0;
	part->sure_us = clock_mono_us();
	if (span->last_ts_ms >= 0)
		part->durable_ts_ms = span->last_ts_ms;
	if (part->position == span->to)
		part->pending_ts_ms = -1;
}

/* Record timestamps are the producer's: any number. */
static void observe_latency(const struct span *span, size_t stream)
{
	int64_t age_us = clock_wall_us() - clock_ms_to_us(span->first_ts_ms);
	if (span->first_ts_ms >= 0)
		stats_observe(METRIC_END_TO_END_SECONDS, stream, MAX(age_us, 0));
}

/* From what was committed, never from what was taken. */
static void count_span(const struct span *span, size_t stream)
{
	stats_add(METRIC_RECORDS_MERGED, stream, 0, (int64_t)span->done.written);
	stats_add(METRIC_RECORDS_SUPERSEDED, stream, 0, (int64_t)tally_superseded(&span->done));
	stats_add(METRIC_RECORDS_SKIPPED, stream, 0, (int64_t)span->done.skipped);
	if (span->done.events > 0)
		observe_latency(span, stream);
}

/* Of files nobody but the row says who reads them: the one that is fenced gives up. */
static void fenced(struct settle *s, struct partition *part, const struct span *span)
{
	struct err err = {0};
	stats_add(METRIC_FENCED, 0, 0, 1);
	log_warn("fenced: another worker or an operator moved the offset, nothing was written",
		 F_STR("topic", span->topic), F_INT("partition", span->partition),
		 F_INT("from_offset", span->from), F_STR("found", span->note));
	if (!s->finite || part->state == PARTITION_GONE) {
		partition_rewind(s->partitions, part, FENCED_DELAY_US);
		return;
	}
	err_set(&err, ERR_CONFIG,
		"another load has taken over %s, or somebody moved its offsets: %s", span->topic,
		span->note);
	partition_halt(s->partitions, part, &err);
}

/* The partition may be gone; then this may be what frees it. */
static void settle_span(struct settle *s, struct batch *b, struct span *span)
{
	struct partition *part = span->owner;
	part->in_flight--;
	count_span(span, b->stream->index);
	switch (span->result) {
	case SPAN_COMMITTED:
		span_committed(part, span);
		break;
	case SPAN_FENCED:
		fenced(s, part, span);
		break;
	case SPAN_DROPPED:
		break;
	case SPAN_ABANDONED:
		partition_rewind(s->partitions, part, 0);
		break;
	case SPAN_OPEN:
		abort(); /* a lane decides every span */
	}
	partition_release(s->partitions, part);
}

/* A batch in which nothing was committed counts as none. */
static void count_batch(const struct batch *b)
{
	uint64_t events = 0;
	for (size_t i = 0; i < b->nspans; i++)
		events += b->spans[i].done.events;
	for (size_t i = 0; i < b->ndead; i++)
		if (b->dead[i].written)
			stats_add(METRIC_DEAD_LETTERS, b->stream->index, b->dead[i].reason, 1);
	if (events == 0)
		return;
	stats_add(METRIC_BATCHES_COMMITTED, b->stream->index, 0, 1);
	stats_observe(METRIC_BATCH_ROWS, b->stream->index, (int64_t)events);
	stats_observe(METRIC_BATCH_BYTES, b->stream->index, (int64_t)b->rows.len);
	stats_set(METRIC_LAST_PROGRESS, 0, 0, clock_wall_us());
}

/* Counted before it goes back, where it is emptied. */
static void settle_batch(struct settle *s, struct batch *b)
{
	count_batch(b);
	for (size_t i = 0; i < b->nspans; i++)
		settle_span(s, b, &b->spans[i]);
	pool_back(s->pool, b, clock_mono_us());
}

/* --- claims --- */

/*
 * What keeps one partition from being claimed mostly keeps them all: it is logged with the first,
 * and anew when it is something else, or one was claimed in between.
 */
static void log_unclaimed(struct settle *s, const struct partition *part, const struct err *err)
{
	if (err->class == ERR_NONE || strcmp(s->unclaimed, err->text) == 0)
		return;
	snprintf(s->unclaimed, sizeof(s->unclaimed), "%s", err->text);
	if (err->class == ERR_CONFIG)
		log_error("partitions are not claimed, an operator must act",
			  F_STR("topic", part->topic), F_INT("partition", part->partition),
			  F_STR("error", err->text));
	else
		log_warn("partitions are not claimed, will try again", F_STR("topic", part->topic),
			 F_INT("partition", part->partition), F_STR("error", err->text));
}

/* An operator's matter halts; anything else is tried again. */
static void claim_failed(struct settle *s, struct partition *part, const struct err *err)
{
	log_unclaimed(s, part, err);
	if (err->class != ERR_CONFIG) {
		partition_try_again(part, err, CLAIM_RETRY_US);
		return;
	}
	snprintf(part->error, sizeof(part->error), "%s", err->text); /* so it is no news */
	partition_halt(s->partitions, part, err);
}

/* Tools for lag look at Kafka's offset: after a reset by hand it would be wrong until an event
 * came. */
static void compare_committed(struct partition *part)
{
	if (part->committed == part->durable)
		return;
	part->commit_due = true;
	if (part->committed >= 0)
		log_info("Kafka's offset is not the durable one, which counts: it is set anew",
			 F_STR("topic", part->topic), F_INT("partition", part->partition),
			 F_INT("kafka", part->committed), F_INT("durable", part->durable));
}

/* A partition that is gone meanwhile has raised the epoch for nothing. */
static void settle_claim(struct settle *s, struct job *job)
{
	struct partition *part = job->owner;
	const struct sink_claim *c = &job->claim;
	part->in_flight--;
	if (job->ok)
		s->unclaimed[0] = '\0';
	if (part->state == PARTITION_GONE) {
		partition_release(s->partitions, part);
	} else if (!job->ok) {
		claim_failed(s, part, &job->err);
	} else if (partition_claimed(s->partitions, part, c->next_offset, c->owner_epoch,
				     c->known_topic_id)) {
		log_info("partition claimed", F_STR("topic", part->topic),
			 F_INT("partition", part->partition), F_INT("next_offset", part->position),
			 F_INT("epoch", part->epoch), F_INT("lane", job->lane));
		compare_committed(part);
	}
}

/* Only "offsets" misses it; the next look at the partition writes it again. */
static void settle_halt(struct settle *s, struct job *job)
{
	struct partition *part = job->owner;
	part->in_flight--;
	if (!job->ok && job->err.class != ERR_NONE)
		log_warn("not written down why a partition is halted", F_STR("topic", part->topic),
			 F_INT("partition", part->partition), F_STR("error", job->err.text));
	partition_release(s->partitions, part);
}

void settle_results(struct settle *s)
{
	struct job *job;
	while ((job = lanes_take(s->lanes))) {
		switch (job->kind) {
		case JOB_WRITE:
			settle_batch(s, job->batch);
			break;
		case JOB_CLAIM:
			settle_claim(s, job);
			break;
		case JOB_HALT:
			settle_halt(s, job);
			break;
		}
		free(job);
	}
}

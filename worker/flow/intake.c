/*
 * intake.c - from a message to a row in the open batch of its lane and stream.
 *
 *   message --frame--> schema --plan--> decode --> row in slot->batch
 *                       |        |        '-- refused: dead letter in slot->batch
 *                       |        '-- writer incompatible: partition halts, never a dead letter
 *                       '-- not known yet: partition pauses until the registry answers
 *
 * A slot is the open batch of one (lane, stream). It is sealed when full or old and goes to its
 * lane; the next free batch of that lane takes its place at once. With none free the slot is
 * starved: intake waits, because a message that comes out of librdkafka must have a place to go.
 * Waiting is short when the lane is merely busy. After STARVED_PAUSE_US the partitions of the slot
 * are paused instead, so that the other slots go on and the group hears from us; each pause makes
 * librdkafka drop what it had fetched, so it must not happen for every batch.
 *
 * Invariants (numbers of pipeline.c): 5, memory: a batch is taken only from the fixed stacks, and
 * the sum of their bytes stays below batch.memory plus one row; 6, order: the lane of a partition
 * never changes during an assignment.
 *
 * Thread: the poll thread.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/stats.h"
#include "flow/pipeline_parts.h"

/* --- slots --- */

struct slot *slot_of(struct pipeline *p, const struct partition *part)
{
	return &p->slots[part->lane * p->config->nstreams + part->stream->index];
}

static bool over_memory(const struct pipeline *p)
{
	return p->memory >= p->config->batch_memory;
}

bool intake_ready(const struct pipeline *p)
{
	return p->blocking == 0 && !over_memory(p) && !p->draining;
}

void slot_feed(struct pipeline *p, struct slot *slot)
{
	if (slot->batch || p->nfree[slot->lane] == 0)
		return;
	struct batch *b = p->free_batches[slot->lane][--p->nfree[slot->lane]];
	b->stream = slot->stream;
	b->lane = slot->lane;
	b->number = ++p->batch_number;
	slot->batch = b;
	if (slot->starved_us == 0)
		return;
	if (!slot->partitions_paused)
		p->blocking--;
	slot->starved_us = 0;
	slot->partitions_paused = false;
	for (size_t i = 0; i < p->npartitions; i++) {
		struct partition *part = p->partitions[i];
		if (part->state == PARTITION_PAUSED && part->cause == PAUSE_BATCHES &&
		    slot_of(p, part) == slot) {
			partition_set(part, PARTITION_STARTING);
			part->retry_us = 0;
		}
	}
}

void batch_release(struct pipeline *p, struct batch *b)
{
	size_t lane = b->lane;
	p->memory -= b->accounted;
	b->accounted = 0;
	p->resident -= b->touched;
	batch_reset(b);
	/*
	 * Empty batches keep their pages, which saves faults, as long as all of them together stay
	 * within the budget.
	 */
	if (p->resident + b->touched > p->config->batch_memory)
		batch_trim(b);
	p->resident += b->touched;
	p->free_batches[lane][p->nfree[lane]++] = b;
}

static void each_span_in_flight(struct batch *b, int sign)
{
	for (size_t i = 0; i < b->nspans; i++) {
		struct partition *part = b->spans[i].owner;
		part->in_flight = (unsigned)((int)part->in_flight + sign);
	}
}

void slot_seal(struct pipeline *p, struct slot *slot, size_t reason)
{
	struct batch *b = slot->batch;
	assert(b && b->nspans > 0);
	struct job *job = xcalloc(1, sizeof(*job));
	job->kind = JOB_WRITE;
	job->batch = b;
	job->pushed_us = clock_mono_us();
	stats_add(METRIC_BATCHES_SEALED, slot->stream->index, reason, 1);
	stats_observe(METRIC_BATCH_FILL_SECONDS, slot->stream->index,
		      job->pushed_us - b->opened_us);
	each_span_in_flight(b, 1);
	slot->batch = NULL;
	slot->starved_us = clock_mono_us();
	p->blocking++;
	pipeline_push(p, slot->lane, job);
	slot_feed(p, slot);
}

/* --- one message --- */

enum taken {
	TAKEN, /* in the batch, as a row or as a dead letter */
	HELD,  /* the partition was paused or halted; the message will come again */
};

struct intake {
	struct pipeline *p;
	struct partition *part;
	const struct source_message *m;
	struct batch *batch;
};

static uint32_t my_span(const struct intake *in)
{
	const struct partition *part = in->part;
	if (in->batch->opened_us == 0)
		in->batch->opened_us = clock_mono_us();
	return batch_span(in->batch, part->topic, part->partition, in->part, part->position,
			  part->epoch);
}

static enum taken dead_letter(const struct intake *in, enum dead_reason reason,
			      const struct err *why)
{
	struct pipeline *p = in->p;
	struct stream *stream = in->part->stream;
	struct err err = {0};
	if (!guard_admit(&p->guards[stream->index], p->config, stream->config->name, 1, &err)) {
		partition_halt(p, in->part, &err);
		return HELD;
	}
	char *headers = source_headers_json(in->m);
	struct dead_letter letter = {.span = my_span(in),
				     .offset = in->m->offset,
				     .timestamp_ms = in->m->timestamp_ms,
				     .reason = reason,
				     .detail = why->text,
				     .has_key = in->m->key.data != NULL,
				     .key = in->m->key,
				     .has_value = in->m->value.data != NULL,
				     .value = in->m->value,
				     .headers = headers};
	log_warn("event becomes a dead letter", F_STR("topic", in->part->topic),
		 F_INT("partition", in->part->partition), F_INT("offset", in->m->offset),
		 F_STR("reason", dead_reason_name(reason)), F_STR("error", why->text));
	batch_add_dead(in->batch, &letter);
	free(headers);
	return TAKEN;
}

enum found { PLAN_FOUND, PLAN_HELD, PLAN_UNKNOWN };

/*
 * The plan for a frame's schema; pauses or halts the partition where there is none to be had now.
 */
static enum found find_plan(const struct intake *in, bool key, uint64_t schema_key,
			    const struct plan **plan, struct err *err)
{
	struct stream *stream = in->part->stream;
	enum frame_format format = stream->config->format;
	const struct schema *writer = key ? stream->key_reader : stream->reader;
	if (!stream_plan_cached(stream, schema_key, key, plan, err)) {
		enum registry_answer answer =
			format == FRAME_RAW
				? REGISTRY_FOUND
				: registry_get(in->p->registry, format, schema_key, &writer, err);
		switch (answer) {
		case REGISTRY_FOUND:
			*plan = stream_plan(stream, schema_key, key, writer, err);
			break;
		case REGISTRY_PENDING:
			partition_pause(in->p, in->part, PAUSE_SCHEMA);
			return PLAN_HELD;
		case REGISTRY_UNKNOWN:
			err_set(err, ERR_POISON, "schema %s %" PRIu64 " is not known",
				format == FRAME_CONFLUENT ? "id" : "fingerprint", schema_key);
			return PLAN_UNKNOWN;
		case REGISTRY_INVALID:
			*plan = NULL;
			break;
		}
	}
	if (*plan)
		return PLAN_FOUND;
	err->class = ERR_CONFIG;
	err_wrap(err, "%s [%d] offset %" PRId64 ": %s schema %" PRIu64, in->part->topic,
		 in->part->partition, in->m->offset, key ? "key" : "value", schema_key);
	partition_halt(in->p, in->part, err);
	return PLAN_HELD;
}

/*
 * A tombstone carries no version of its own. The time at which it was produced is one, where
 * versions are times: to the last microsecond of the millisecond that the broker keeps, so as not
 * to lose to an event just before.
 */
static int64_t tombstone_version(const struct source_message *m)
{
	return m->timestamp_ms < 0 ? DECODE_NO_VERSION
				   : m->timestamp_ms * US_PER_MS + US_PER_MS - 1;
}

static bool decode(const struct intake *in, const struct plan *plan, struct slice body, bool key,
		   struct record *record, struct err *err)
{
	if (key)
		return decode_key(in->p->decoder, plan, body, tombstone_version(in->m),
				  &in->batch->rows, record, err);
	return decode_record(in->p->decoder, plan, body, &in->batch->rows, record, err);
}

static enum taken take_datum(const struct intake *in, struct slice message, bool key)
{
	struct stream *stream = in->part->stream;
	struct frame frame;
	struct err err = {0};
	const struct plan *plan = NULL;
	if (!frame_split(stream->config->format, message, &frame, &err))
		return dead_letter(in, REASON_FRAME, &err);
	switch (find_plan(in, key, frame.schema, &plan, &err)) {
	case PLAN_FOUND:
		break;
	case PLAN_HELD:
		return HELD;
	case PLAN_UNKNOWN:
		return dead_letter(in, REASON_SCHEMA, &err);
	}
	struct record record;
	if (!decode(in, plan, frame.body, key, &record, &err))
		return dead_letter(in, record.reason, &err);
	batch_add(in->batch, my_span(in), in->m->offset, in->m->timestamp_ms, &record);
	in->p->taken[stream->index].decoded++;
	return TAKEN;
}

static enum taken take_message(const struct intake *in)
{
	struct err err = {0};
	if (in->m->value.data)
		return take_datum(in, in->m->value, false);
	if (in->m->key.data && in->part->stream->key_reader)
		return take_datum(in, in->m->key, true);
	err_set(&err, ERR_POISON, "a message without value deletes by its key, but %s",
		in->m->key.data ? "the stream has no key_schema" : "it has no key either");
	return dead_letter(in, REASON_DECODE, &err);
}

static void account(struct pipeline *p, struct batch *b)
{
	size_t bytes = batch_bytes(b);
	p->memory += bytes - b->accounted;
	b->accounted = bytes;
}

static void seal_if_full(struct pipeline *p, struct slot *slot)
{
	struct batch *b = slot->batch;
	if (b->nevents + b->ndead >= p->config->batch_max_rows)
		slot_seal(p, slot, SEAL_ROWS);
	else if (b->accounted >= p->config->batch_max_bytes)
		slot_seal(p, slot, SEAL_BYTES);
	else if (over_memory(p))
		slot_seal(p, slot, SEAL_MEMORY);
}

bool intake_message(void *ctx, const struct source_message *m)
{
	struct pipeline *p = ctx;
	struct partition *part = m->sp->user;
	if (!part || part->state != PARTITION_ACTIVE)
		return true;
	if (m->offset < part->position) {
		stats_add(METRIC_OFFSET_REGRESSIONS, part->stream->index, 0, 1);
		return true;
	}
	struct slot *slot = slot_of(p, part);
	assert(slot->batch);
	struct intake in = {.p = p, .part = part, .m = m, .batch = slot->batch};
	if (take_message(&in) == HELD)
		return intake_ready(p);
	part->position = m->offset + 1;
	struct span *span = &slot->batch->spans[my_span(&in)];
	span->leader_epoch = m->leader_epoch;
	if (part->pending_ts_ms < 0)
		part->pending_ts_ms = m->timestamp_ms;
	p->taken[part->stream->index].events++;
	p->taken[part->stream->index].bytes += m->key.len + m->value.len;
	account(p, slot->batch);
	seal_if_full(p, slot);
	return intake_ready(p);
}

/*
 * The end of the log may lie behind transaction markers or compacted records: recorded, so that lag
 * can become zero.
 */
void intake_eof(void *ctx, struct source_partition *sp, int64_t offset)
{
	struct pipeline *p = ctx;
	struct partition *part = sp->user;
	if (!part || part->state != PARTITION_ACTIVE || offset <= part->position)
		return;
	struct slot *slot = slot_of(p, part);
	if (!slot->batch)
		return;
	if (slot->batch->opened_us == 0)
		slot->batch->opened_us = clock_mono_us();
	batch_advance(slot->batch,
		      batch_span(slot->batch, part->topic, part->partition, part, part->position,
				 part->epoch),
		      offset);
	part->position = offset;
}

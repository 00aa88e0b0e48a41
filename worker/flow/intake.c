/*
 * intake.c - from a message to a row in the open batch of its lane and stream.
 *
 *   message --frame--> schema --plan--> decode --> row in the slot's open batch --full--> lane
 *                       |        |        |-- refused: dead letter in that batch
 *                       |        |        '-- another record than the stream's: as other_types says
 *                       |        '-- writer incompatible: partition halts, never a dead letter
 *                       '-- not known yet: partition pauses until the registry answers
 *   record of a file, decoded --> row in the same batch, or why there is none, as above
 *
 * The frame is the message's own, or a header says which schema wrote it (format confluent).
 *
 * The position of a partition moves only when the message has a place, so one that was not taken
 * comes again.
 *
 * Thread: the poll thread, inside source_poll().
 */
#include "flow/intake.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/stats.h"
#include "core/stream.h"

void intake_open(struct intake *in, const struct config *config)
{
	in->config = config;
	in->decoder = decoder_new(&config->limits);
	in->guards = xcalloc(config->nstreams, sizeof(*in->guards));
	in->taken = xcalloc(config->nstreams, sizeof(*in->taken));
}

void intake_close(struct intake *in)
{
	decoder_free(in->decoder);
	free(in->guards);
	free(in->taken);
}

/* --- one message --- */

enum outcome {
	TAKEN, /* in the batch, as a row or as a dead letter */
	HELD,  /* the partition was paused or halted; the message will come again */
};

/* A message on its way in. */
struct arrival {
	struct intake *in;
	struct partition *part;
	struct stream *stream;
	const struct source_message *m;
	struct batch *batch;
};

/* Made with the first event of the partition in this batch. */
static uint32_t my_span(const struct arrival *a)
{
	const struct partition *part = a->part;
	return batch_span(a->batch, part->topic, part->partition, a->part, part->position,
			  part->epoch);
}

/* An operator must act before this message can be taken. */
static enum outcome halt(const struct arrival *a, struct err *err)
{
	err->class = ERR_CONFIG;
	err_wrap(err, "%s [%d] offset %" PRId64, a->part->topic, a->part->partition, a->m->offset);
	partition_stuck(a->in->partitions, a->part, err);
	return HELD;
}

/* The guard comes first: too many of them stop the partition. */
static enum outcome dead_letter(const struct arrival *a, enum dead_reason reason,
				const struct err *why)
{
	struct stream *stream = a->stream;
	struct taken *taken = &a->in->taken[stream->index];
	struct err err = {0};
	if (!guard_admits(&a->in->guards[stream->index], a->in->config, stream->config->name,
			  taken->events + 1, taken->dead + 1, &err)) {
		err_wrap(&err, "%s", why->text);
		return halt(a, &err);
	}
	char *headers = a->m->decoded ? xstrdup(a->m->decoded->headers) : source_headers_json(a->m);
	struct dead_letter letter = {.span = my_span(a),
				     .offset = a->m->offset,
				     .timestamp_ms = a->m->timestamp_ms,
				     .reason = reason,
				     .detail = why->text,
				     .has_key = a->m->key.data != NULL,
				     .key = a->m->key,
				     .has_value = a->m->value.data != NULL,
				     .value = a->m->value,
				     .headers = headers};
	log_warn("event becomes a dead letter", F_STR("topic", a->part->topic),
		 F_INT("partition", a->part->partition), F_INT("offset", a->m->offset),
		 F_STR("reason", dead_reason_name(reason)), F_STR("error", why->text));
	batch_add_dead(a->batch, &letter);
	taken->dead++;
	free(headers);
	return TAKEN;
}

/* --- its schema --- */

/* Where a message says it. */
struct writer {
	struct frame frame;
	bool key;       /* it is about the key */
	bool in_header; /* and the message has no envelope */
};

/* "value schema id 7", "value schema GUID ... of header __value_schema_id". */
static void wrap_writer(const struct writer *o, struct err *err)
{
	char name[SCHEMA_ID_TEXT], header[48] = "";
	const char *what = o->key ? "key" : "value";
	if (o->in_header && o->frame.id.kind >= SCHEMA_ID_APICURIO)
		snprintf(header, sizeof(header), " of header apicurio.%s.*", what);
	else if (o->in_header)
		snprintf(header, sizeof(header), " of header __%s_schema_id", what);
	err_wrap(err, "%s schema %s%s", what, schema_id_text(&o->frame.id, name), header);
}

enum found { PLAN_FOUND, PLAN_HELD, PLAN_UNKNOWN };

/*
 * The plan for a frame's schema; pauses or halts the partition where there is none to be had now.
 */
static enum found find_plan(const struct arrival *a, const struct writer *o,
			    const struct plan **plan, struct err *err)
{
	struct stream *stream = a->stream;
	const struct schema_id *id = &o->frame.id;
	const struct schema *writer = o->key ? stream->key_reader : stream->reader;
	if (!stream_plan_cached(stream, id, o->key, plan, err)) {
		enum registry_answer answer =
			id->kind == SCHEMA_ID_NONE
				? REGISTRY_FOUND
				: registry_get(a->in->registry, id, &writer, err);
		switch (answer) {
		case REGISTRY_FOUND:
			*plan = stream_plan(stream, id, o->key, writer, err);
			break;
		case REGISTRY_PENDING:
			partition_await_schema(a->in->partitions, a->part, err);
			return PLAN_HELD;
		case REGISTRY_UNKNOWN:
			wrap_writer(o, err);
			return PLAN_UNKNOWN;
		case REGISTRY_INVALID:
			*plan = NULL;
			break;
		}
	}
	if (*plan)
		return PLAN_FOUND;
	wrap_writer(o, err);
	halt(a, err);
	return PLAN_HELD;
}

/*
 * A tombstone carries no version of its own. The time at which it was produced is one, where
 * versions are times.
 */
static int64_t tombstone_version(const struct source_message *m)
{
	return m->timestamp_ms < 0 ? DECODE_NO_VERSION : m->timestamp_ms;
}

/* Appends to the open batch; on failure it is as it was. */
static bool decode(const struct arrival *a, const struct plan *plan, struct slice body, bool key,
		   struct record *record, struct err *err)
{
	if (key)
		return decode_key(a->in->decoder, plan, body, tombstone_version(a->m),
				  &a->batch->rows, record, err);
	return decode_record(a->in->decoder, plan, body, &a->batch->rows, record, err);
}

/* A record of another type than the stream's. */
static enum outcome other_type(const struct arrival *a, const struct record *record,
			       struct err *err)
{
	const struct stream_config *c = a->stream->config;
	switch (c->other_types) {
	case OTHER_DEAD_LETTER:
		err_wrap(err, "not the stream's record (stream.%s.other_types)", c->name);
		return dead_letter(a, record->reason, err);
	case OTHER_SKIP:
		batch_skip(a->batch, my_span(a), a->m->offset, a->m->timestamp_ms);
		return TAKEN;
	case OTHER_HALT:
		break;
	}
	err_wrap(err, "stream.%s.other_types is halt; set it to skip or dead_letter to go on",
		 c->name);
	return halt(a, err);
}

/*
 * Another type, a bad event, or a schema that does not fit the stream. o: NULL if the error says
 * already whose it is, as a file's does.
 */
static enum outcome not_decoded(const struct arrival *a, const struct writer *o,
				const struct record *record, struct err *err)
{
	if (record->other)
		return other_type(a, record, err);
	if (err->class == ERR_POISON)
		return dead_letter(a, record->reason, err);
	if (o)
		wrap_writer(o, err);
	return halt(a, err);
}

/* False: its row is taken back, and its offset is as one without a message. */
static bool is_wanted(const struct arrival *a, const struct record *record)
{
	const struct origin *origin = a->in->origin;
	struct buf *rows = &a->batch->rows;
	const uint8_t *row = rows->data + rows->len - record->row_len;
	if (!origin->wants || origin->wants(origin->self, (struct slice){row, record->key_len}))
		return true;
	rows->len -= record->row_len;
	batch_advance(a->batch, my_span(a), a->m->offset + 1);
	return false;
}

/* Value or key, each with the plan of its own schema. */
static enum outcome take_datum(const struct arrival *a, bool key)
{
	struct writer o = {.key = key};
	struct err err = {0};
	struct record record;
	const struct plan *plan = NULL;
	if (!source_frame(a->m, a->stream->config->format, key, &o.frame, &o.in_header, &err))
		return dead_letter(a, REASON_FRAME, &err);
	switch (find_plan(a, &o, &plan, &err)) {
	case PLAN_FOUND:
		break;
	case PLAN_HELD:
		return HELD;
	case PLAN_UNKNOWN:
		return dead_letter(a, REASON_SCHEMA, &err);
	}
	if (!decode(a, plan, o.frame.body, key, &record, &err))
		return not_decoded(a, &o, &record, &err);
	if (!is_wanted(a, &record))
		return TAKEN;
	batch_add(a->batch, my_span(a), a->m->offset, a->m->timestamp_ms, &record);
	a->in->taken[a->stream->index].decoded++;
	return TAKEN;
}

/* Of a file: its row is there, or it is known why not. */
static enum outcome take_decoded(const struct arrival *a, const struct decoded *d)
{
	if (!d->ok) {
		struct err err = *d->err;
		return not_decoded(a, NULL, &d->record, &err);
	}
	buf_put(&a->batch->rows, d->row.data, d->row.len);
	batch_add(a->batch, my_span(a), a->m->offset, a->m->timestamp_ms, &d->record);
	a->in->taken[a->stream->index].decoded++;
	return TAKEN;
}

/* Without a value it is a tombstone, which only a key can place. */
static enum outcome take_message(const struct arrival *a)
{
	struct err err = {0};
	if (a->m->decoded)
		return take_decoded(a, a->m->decoded);
	if (a->m->value.data)
		return take_datum(a, false);
	if (a->m->key.data && a->stream->key_reader)
		return take_datum(a, true);
	err_set(&err, ERR_POISON, "a message without value deletes by its key, but %s",
		a->m->key.data ? "the stream has no key_schema" : "it has no key either");
	return dead_letter(a, REASON_DECODE, &err);
}

/* --- the batch --- */

static void seal_if_full(struct intake *in, struct slot *slot)
{
	switch (pool_grew(in->pool, slot)) {
	case NOT_FULL:
		return;
	case FULL_ROWS:
		lanes_seal(in->lanes, slot, SEAL_ROWS);
		return;
	case FULL_BYTES:
		lanes_seal(in->lanes, slot, SEAL_BYTES);
		return;
	case FULL_MEMORY:
		lanes_seal(in->lanes, slot, SEAL_MEMORY);
		return;
	}
}

/* It has its place: from here on it will not come again. */
static void moved_on(const struct arrival *a)
{
	struct partition *part = a->part;
	struct taken *taken = &a->in->taken[a->stream->index];
	partition_has_schema(part);
	part->position = a->m->offset + 1;
	part->heard_us = a->batch->opened_us;
	a->batch->spans[my_span(a)].leader_epoch = a->m->leader_epoch;
	if (part->pending_ts_ms < 0)
		part->pending_ts_ms = a->m->timestamp_ms;
	taken->events++;
	taken->bytes += a->m->key.len + a->m->value.len;
}

/* False: no more should be taken for now, as a slot waits. */
bool intake_message(struct intake *in, const struct source_message *m)
{
	struct partition *part = m->sp->user;
	if (!part || part->state != PARTITION_ACTIVE)
		return true;
	struct slot *slot = part->slot;
	if (m->offset < part->position) {
		stats_add(METRIC_OFFSET_REGRESSIONS, slot->stream->index, 0, 1);
		return true;
	}
	if (slot->state != SLOT_TAKES) { /* a message that was on its way when the slot was shut */
		partition_pause(in->partitions, part, PAUSE_BATCHES);
		return true;
	}
	struct arrival a = {
		.in = in, .part = part, .stream = slot->stream, .m = m, .batch = slot->open};
	if (take_message(&a) == TAKEN) {
		if (!pool_begun(slot))
			pool_begin(slot, clock_mono_us());
		moved_on(&a);
		seal_if_full(in, slot);
	}
	return !pool_waits(in->pool);
}

/* Offsets without messages (compacted, or a transaction's marks) count as handled. */
void intake_eof(struct intake *in, struct source_partition *sp, int64_t offset)
{
	struct partition *part = sp->user;
	if (!part || part->state != PARTITION_ACTIVE)
		return;
	part->heard_us = clock_mono_us();
	if (offset <= part->position || part->slot->state != SLOT_TAKES)
		return;
	struct batch *b = pool_begin(part->slot, part->heard_us);
	batch_advance(
		b, batch_span(b, part->topic, part->partition, part, part->position, part->epoch),
		offset);
	part->position = offset;
	(void)in;
}

/* Once per turn, not per event. */
void intake_count(struct intake *in)
{
	for (size_t i = 0; i < in->config->nstreams; i++) {
		struct taken *t = &in->taken[i];
		if (t->events == 0)
			continue;
		stats_add(METRIC_RECORDS_CONSUMED, i, 0, (int64_t)t->events);
		stats_add(METRIC_RECORDS_DECODED, i, 0, (int64_t)t->decoded);
		stats_add(METRIC_CONSUMED_BYTES, i, 0, (int64_t)t->bytes);
		guard_count(&in->guards[i], in->config, t->events, t->dead);
		*t = (struct taken){0};
	}
}

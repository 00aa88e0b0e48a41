/*
 * decode.c - the hot path: a writer's datum in, one row of COPY fields out.
 *
 *   pass 1, in the order of the wire      pass 2, in the order of the columns
 *   +-----+------+-----------+----+       +-----+-----------+------+----------+
 *   | op  | key  | embedding | .. |  -->  | key | embedding | null | constant |
 *   +-----+------+-----------+----+       +-----+-----------+------+----------+
 *     slot: where each value that the row needs begins and ends
 *
 * Two passes, because key columns come first in a row and because an event that deletes must not
 * fail over an embedding that nobody will read: pass 1 walks everything once, bounds checked
 * (walk.c), and after it we know what the event is. Walking is cheap: strings and arrays of numbers
 * are jumped over in one step. Pass 2 takes strings and nulls, of which events mostly consist, as
 * pass 1 found them; anything else it reads again, with all checks.
 *
 * Memory: the slots of the decoder, as many as the largest plan had; the row in the caller's
 * buffer. No allocation depends on a length from the wire that was not compared with what is left.
 *
 * Failure: out is cut back, class POISON, "field 'embedding' at byte 120: ...". Texts never quote
 * data. Thread: the owner of the decoder; plans are shared and read-only.
 */
#include "codec/decode.h"

#include <stdlib.h>
#include <string.h>

#include "codec/emit.h"
#include "codec/vector.h"

enum { HARD_DEPTH = 512 }; /* whatever the config says: levels are C stack */

/*
 * Where the value of one of the writer's fields stands, and how to read it: past its union's index,
 * if it is in one.
 */
struct slot {
	const struct step *step;
	const uint8_t *start, *end;
	struct slice text; /* of a string */
};

struct decoder {
	struct decode_limits limits;
	struct slot *slots;
	uint32_t cap;
	/* of the last failure; here because clearing one per column would show in the profile */
	struct refusal why;
};

struct decoder *decoder_new(const struct decode_limits *limits)
{
	struct decoder *d = xcalloc(1, sizeof(*d));
	d->limits = *limits;
	d->limits.max_depth = MIN(limits->max_depth, (uint32_t)HARD_DEPTH);
	return d;
}

void decoder_free(struct decoder *d)
{
	if (!d)
		return;
	free(d->slots);
	free(d);
}

bool decode_column(const struct plan_column *column, const struct step *s, struct cursor *c,
		   const struct decode_limits *limits, struct buf *out)
{
	struct emit e = {.c = c, .limits = limits, .out = out};
	return emit_value(&e, s, &column->target, &column->element, column->element_oid);
}

/* One value or the whole datum, with the limits of one event. */
static inline struct cursor cursor_on(struct decoder *d, const uint8_t *start, const uint8_t *end)
{
	return (struct cursor){.p = start,
			       .end = end,
			       .depth = d->limits.max_depth,
			       .items = d->limits.max_items,
			       .why = &d->why};
}

static bool fail(const struct decoder *d, struct record *record, struct err *err, const char *field,
		 size_t at)
{
	record->reason = d->why.reason;
	return err_set(err, ERR_POISON, "field '%s' at byte %zu: %s", field, at, d->why.text);
}

/*
 * The usual field: a string of less than 64 bytes, or a union that holds one, or null. Gives the
 * end of it; NULL when it is anything else, faults included.
 */
static inline const uint8_t *find_short(const uint8_t *p, const uint8_t *end, const struct step *s,
					struct slot *slot)
{
	if (s->kind == SCHEMA_UNION) {
		if (p == end || (*p & 0x81) != 0 || (uint32_t)(*p >> 1) >= s->n)
			return NULL;
		s = s->branches[*p++ >> 1];
	}
	slot->step = s;
	slot->start = slot->end = p;
	if (s->kind == SCHEMA_NULL)
		return p;
	if (s->kind != SCHEMA_STRING || p == end || (*p & 0x81) != 0 || end - p - 1 < *p >> 1)
		return NULL;
	slot->text = (struct slice){p + 1, *p >> 1};
	return slot->end = p + 1 + (*p >> 1);
}

/* A union is entered here, so that pass 2 finds the branch's step. */
static bool find_slot(struct cursor *c, const struct step *s, struct slot *slot)
{
	if (!walk_branch(c, &s))
		return false;
	slot->step = s;
	slot->start = c->p;
	bool ok = s->kind == SCHEMA_STRING ? walk_bytes(c, &slot->text) : walk_skip(c, s);
	slot->end = c->p;
	return ok;
}

/* Pass 1. Ends at the datum's last byte, or it is not what the schema says. */
static bool find_slots(struct decoder *d, const struct plan *plan, struct slice body,
		       struct record *record, struct err *err)
{
	struct cursor c = cursor_on(d, body.data, body.data + body.len);
	if (plan->ntop > d->cap) {
		d->slots = xrealloc(d->slots, plan->ntop * sizeof(*d->slots));
		d->cap = plan->ntop;
	}
	for (uint32_t i = 0; i < plan->ntop; i++) {
		const uint8_t *before = c.p,
			      *behind = find_short(c.p, c.end, plan->top[i].step, &d->slots[i]);
		if (behind)
			c.p = behind;
		else if (!find_slot(&c, plan->top[i].step, &d->slots[i]))
			return fail(d, record, err, plan->top[i].name,
				    (size_t)(before - body.data));
	}
	if (c.p == c.end)
		return true;
	record->reason = REASON_DECODE;
	return err_set(err, ERR_POISON, "%zu bytes are left behind the last field",
		       (size_t)(c.end - c.p));
}

/* A null where the operation should be is no delete. */
static bool read_op(struct decoder *d, const struct plan *plan, struct slice body,
		    struct record *record, struct err *err)
{
	uint32_t symbol = 0;
	record->op = plan->op;
	if (plan->delete_slot == STEP_NO_SLOT)
		return true;
	const struct slot *slot = &d->slots[plan->delete_slot];
	struct cursor c = cursor_on(d, slot->start, slot->end);
	if (slot->step->kind == SCHEMA_NULL)
		return true;
	if (!walk_wanted(&c, slot->step) || !walk_symbol(&c, slot->step, &symbol))
		return fail(d, record, err, plan->top[plan->delete_slot].name,
			    (size_t)(slot->start - body.data));
	if (symbol == plan->table->delete_symbol)
		record->op = RECORD_DELETE;
	return true;
}

/* Texts as pass 1 found them; anything else is read again and has to end where it did. */
static inline bool emit_column(struct decoder *d, const struct emit *e,
			       const struct plan_column *pc)
{
	const struct slot *slot = &d->slots[pc->slot];
	if (slot->step->kind == SCHEMA_STRING && pc->target.kind == PG_TEXT)
		return emit_text_field(e, &pc->target, slot->text);
	if (slot->step->kind == SCHEMA_STRING && pc->target.json_text)
		return emit_json_text(e, &pc->target, slot->text);
	*e->c = cursor_on(d, slot->start, slot->end);
	if (!emit_value(e, slot->step, &pc->target, &pc->element, pc->element_oid))
		return false;
	return e->c->p == e->c->end ||
	       refuse(&d->why, REASON_DECODE, "a block's size does not agree with its items");
}

static void read_version(const uint8_t *field, struct record *record)
{
	uint32_t len = get_be32(field);
	record->has_version = len != UINT32_MAX;
	if (len == 2)
		record->version = (int16_t)get_be16(field + 4);
	else if (len == 4)
		record->version = (int32_t)get_be32(field + 4);
	else if (len == 8)
		record->version = (int64_t)get_be64(field + 4);
}

/* After the row is made: only then its length and its key's are known. */
static bool check_limits(const struct decoder *d, const struct plan *plan, struct record *record,
			 struct err *err)
{
	/* without the lengths of its fields */
	size_t key = record->key_len - 4 * plan->table->nkeys;
	if (key <= d->limits.max_key_bytes && record->row_len <= d->limits.max_row_bytes)
		return true;
	record->reason = REASON_TOO_LARGE;
	if (key > d->limits.max_key_bytes)
		return err_set(err, ERR_POISON,
			       "the key of %zu bytes is over the limit of %u (limits.max_key)", key,
			       d->limits.max_key_bytes);
	return err_set(err, ERR_POISON,
		       "the row of %zu bytes is over the limit of %u (limits.max_row)",
		       record->row_len, d->limits.max_row_bytes);
}

/* Where column i stands in the row that begins at start. */
static size_t field_at(const struct buf *out, size_t start, size_t i)
{
	size_t at = start;
	for (; i > 0; i--) {
		uint32_t len = get_be32(out->data + at);
		at += 4 + (len == UINT32_MAX ? 0 : len);
	}
	return at;
}

/*
 * An event without vector gets room for one that is to be made of its text; without text it has
 * none. The row begins at start; the vectors before have theirs.
 */
static void want_vector(const struct table *t, uint32_t embed, struct buf *out, size_t start,
			struct record *record)
{
	const struct table_embed *how = &t->embeds[embed];
	size_t vector = field_at(out, start, how->vector), text = field_at(out, start, how->text);
	uint32_t len = get_be32(out->data + text);
	if (record->op == RECORD_DELETE || get_be32(out->data + vector) != UINT32_MAX || len == 0 ||
	    len == UINT32_MAX)
		return;
	size_t grown = vector_make_room(out, vector, &t->columns[how->vector]);
	for (size_t i = 0; i < record->nwants; i++)
		if (record->wants[i].text_at > vector - start)
			record->wants[i].text_at += (uint32_t)grown;
	record->wants[record->nwants++] = (struct record_want){
		.vector_at = (uint32_t)(vector - start),
		.text_at = (uint32_t)(text + (text > vector ? grown : 0) - start),
		.embed = embed};
}

/*
 * Its length is bounded on the way by that of the datum and of each value; the limit of the row is
 * looked at in the end.
 */
static bool emit_row(struct decoder *d, const struct plan *plan, struct slice body, struct buf *out,
		     struct record *record, struct err *err)
{
	const struct table *t = plan->table;
	size_t start = out->len;
	struct cursor c = {.why = &d->why};
	struct emit e = {.c = &c, .limits = &d->limits, .out = out};
	for (size_t i = 0; i < t->ncolumns; i++) {
		const struct plan_column *pc = &plan->columns[i];
		size_t at = out->len;
		if (record->op == RECORD_DELETE && !pc->on_delete)
			pgbin_null(out);
		else if (pc->slot == STEP_NO_SLOT)
			buf_put(out, pc->constant.data, pc->constant.len);
		else if (!emit_column(d, &e, pc))
			return fail(d, record, err, pc->name,
				    (size_t)(d->slots[pc->slot].start - body.data));
		if (i + 1 == t->nkeys)
			record->key_len = out->len - start;
		if ((int)i == t->version)
			read_version(out->data + at, record);
	}
	for (uint32_t i = 0; i < t->nembeds; i++)
		want_vector(t, i, out, start, record);
	record->row_len = out->len - start;
	return check_limits(d, plan, record, err);
}

/* The plan of the branch that the datum has, and what is behind the branch's number. */
static bool follow_branch(struct decoder *d, const struct plan **plan, struct slice *body,
			  struct err *err)
{
	uint32_t index;
	struct cursor c = cursor_on(d, body->data, body->data + body->len);
	if (!walk_index(&c, (*plan)->nbranches, "union", &index))
		return err_set(err, ERR_POISON, "which record it is: %s", d->why.text);
	*plan = &(*plan)->branches[index];
	*body = (struct slice){c.p, (size_t)(c.end - c.p)};
	return true;
}

/* Of a writer with other types than the stream's record: whether the datum is one all the same. */
static __attribute__((noinline)) bool choose(struct decoder *d, const struct plan **plan,
					     struct slice *body, struct record *record,
					     struct err *err)
{
	if ((*plan)->shape == PLAN_CHOICE && !follow_branch(d, plan, body, err))
		return false;
	if ((*plan)->shape == PLAN_ROW)
		return true;
	record->reason = REASON_SCHEMA;
	record->other = (*plan)->shape == PLAN_OTHER;
	return err_set(err, record->other ? ERR_POISON : ERR_CONFIG, "%s", (*plan)->why);
}

/* Pass 1, what kind of event it is, pass 2. */
bool decode_record(struct decoder *d, const struct plan *plan, struct slice body, struct buf *out,
		   struct record *record, struct err *err)
{
	size_t start = out->len;
	*record = (struct record){.reason = REASON_DECODE};
	if (plan->shape != PLAN_ROW && !choose(d, &plan, &body, record, err))
		return false;
	if (find_slots(d, plan, body, record, err) && read_op(d, plan, body, record, err) &&
	    emit_row(d, plan, body, out, record, err))
		return true;
	out->len = start;
	return false;
}

/* Puts the version where the row of a key has a null. */
static void replace_version(const struct plan *plan, int64_t version, size_t start, struct buf *out,
			    struct record *record)
{
	struct buf tail = {0};
	size_t at = field_at(out, start, (size_t)plan->table->version);
	buf_put(&tail, out->data + at + 4, out->len - at - 4);
	out->len = at;
	pgbin_int8(out, version);
	buf_put(out, tail.data, tail.len);
	buf_free(&tail);
	record->row_len = out->len - start;
}

/* A delete of that key, at the time that the message has. */
bool decode_key(struct decoder *d, const struct plan *plan, struct slice body, int64_t version_ms,
		struct buf *out, struct record *record, struct err *err)
{
	size_t start = out->len;
	const struct table *t = plan->table;
	struct refusal ignored;
	int64_t us = 0;
	if (!decode_record(d, plan, body, out, record, err))
		return false;
	record->op = RECORD_DELETE;
	record->has_version = version_ms != DECODE_NO_VERSION && t->version >= 0 &&
			      t->columns[t->version].kind == PG_TIMESTAMP &&
			      pgbin_timestamp_us(version_ms, UNIT_MILLIS, &us, &ignored);
	record->version = us + 999;
	if (record->has_version)
		replace_version(plan, record->version, start, out, record);
	return true;
}

/*
 * decode.c - the hot path: a writer's datum in, one row of COPY fields out.
 *
 *   pass 1, in the order of the wire      pass 2, in the order of the columns
 *   +-----+------+-----------+----+       +-----+-----------+------+----------+
 *   | op  | key  | embedding | .. |  -->  | key | embedding | null | constant |
 *   +-----+------+-----------+----+       +-----+-----------+------+----------+
 *     slot: where each value that the row needs begins and ends
 *
 * Two passes, because key columns come first in a row and because an event that deletes must not fail over an
 * embedding that nobody will read: pass 1 walks everything once, bounds checked (walk.c), and after it we know what
 * the event is. Walking is cheap: strings and arrays of numbers are jumped over in one step. Pass 2 takes strings and
 * nulls, of which events mostly consist, as pass 1 found them; anything else it reads again, with all checks.
 *
 * An array of floats in one block, which is what every Avro library writes for an embedding, goes to pgbin in one
 * call; it swaps and checks all of them at once. Nothing else here is per float.
 *
 * Memory: the slots of the decoder, as many as the largest plan had; the row in the caller's buffer. No allocation
 * depends on a length from the wire that was not compared with what is left.
 *
 * Failure: out is cut back, class POISON, "field 'embedding' at byte 120: ...". Texts never quote data. Thread: the
 * owner of the decoder; plans are shared and read-only.
 */
#include "codec/decode.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "codec/floats.h"
#include "codec/plan_steps.h"
#include "codec/text.h"

#define EPOCH_SECONDS INT64_C(946684800) /* 2000-01-01, from which PostgreSQL counts, since 1970-01-01 */
#define EPOCH_DAYS 10957

/* Out of line: what the common column, a short text, does not need should not cost it a frame. */
#define ASIDE __attribute__((noinline))

enum { HARD_DEPTH = 512 }; /* whatever the config says: levels are C stack */

/* Where the value of one of the writer's fields stands, and how to read it: past its union's index, if it is in one. */
struct slot {
	const struct step *step;
	const uint8_t *start, *end;
	struct slice text; /* of a string */
};

struct decoder {
	struct decode_limits limits;
	struct slot *slots;
	uint32_t cap;
	struct refusal why; /* of the last failure; here because clearing one per column would show in the profile */
};

struct emit {
	struct cursor *c;
	const struct decode_limits *limits;
	struct buf *out;
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

/* ---- text ------------------------------------------------------------------------------------- */

static bool check_size(const struct emit *e, size_t len)
{
	if (len <= e->limits->max_string_bytes)
		return true;
	return refuse(e->c->why, REASON_TOO_LARGE, "%zu bytes are over the limit of %u (limits.max_string)", len,
		      e->limits->max_string_bytes);
}

static size_t count_chars(struct slice s)
{
	size_t n = 0;
	for (size_t i = 0; i < s.len; i++)
		n += (s.data[i] & 0xc0) != 0x80;
	return n;
}

static bool check_chars(const struct emit *e, const struct target *t, struct slice s)
{
	if (t->max_chars == 0 || s.len <= t->max_chars || count_chars(s) <= t->max_chars)
		return true;
	return refuse(e->c->why, REASON_TOO_LARGE, "%zu characters, the column takes %u", count_chars(s), t->max_chars);
}

static ASIDE bool check_text(const struct emit *e, const struct target *t, struct slice v)
{
	return check_size(e, v.len) && text_check_utf8(v, e->c->why) && check_chars(e, t, v);
}

/* Short for its column, and ASCII: no more to check. */
static inline bool put_text(const struct emit *e, const struct target *t, struct slice v)
{
	size_t most = t->max_chars > 0 ? t->max_chars : e->limits->max_string_bytes;
	uint8_t *p = buf_take(e->out, 4 + v.len);
	put_be32(p, (uint32_t)v.len);
	bool plain = text_copy(p + 4, v);
	return (plain && v.len <= most && v.len <= e->limits->max_string_bytes) || check_text(e, t, v);
}

/* ---- arrays and vectors ---------------------------------------------------------------------- */

static bool emit_value(const struct emit *e, const struct step *s, const struct target *t, const struct target *element,
		       enum pgbin_oid oid);

/* bytes or fixed of packed little-endian floats. */
static bool packed_floats(const struct emit *e, const struct step *s, struct slice *v)
{
	if (!walk_blob(e->c, s, v))
		return false;
	if (v->len % 4 != 0)
		return refuse(e->c->why, REASON_INVALID_EMBEDDING, "%zu bytes are no whole number of floats", v->len);
	return true;
}

static bool vector_block(const struct emit *e, struct pgbin_vector *v, const struct step *item, uint64_t count)
{
	const uint8_t *p;
	if (item->width > 1) {
		if (count > (uint64_t)(e->c->end - e->c->p) / item->width)
			return walk_short(e->c);
		if (!walk_raw(e->c, count * item->width, &p))
			return false;
		return item->kind == SCHEMA_FLOAT ? pgbin_vector_floats(e->out, v, p, count, e->c->why)
						  : pgbin_vector_doubles(e->out, v, p, count, e->c->why);
	}
	for (; count > 0; count--) { /* int or long, promoted */
		double d;
		if (!walk_real(e->c, item, &d) || !pgbin_vector_doubles(e->out, v, (const uint8_t *)&d, 1, e->c->why))
			return false;
	}
	return true;
}

static ASIDE bool emit_vector(const struct emit *e, const struct step *s, const struct target *t)
{
	struct pgbin_vector v = pgbin_vector_begin(e->out, t->kind == PG_HALFVEC ? VECTOR_HALF : VECTOR_FLOAT4, t->dim);
	struct walk_blocks blocks = {0};
	uint64_t count;
	struct slice raw;
	if (s->kind != SCHEMA_ARRAY)
		return packed_floats(e, s, &raw) && pgbin_vector_floats(e->out, &v, raw.data, raw.len / 4, e->c->why) &&
		       pgbin_vector_end(e->out, &v, e->c->why);
	for (;;) {
		if (!walk_block(e->c, &blocks, &count))
			return false;
		if (count == 0)
			return pgbin_vector_end(e->out, &v, e->c->why);
		if (!vector_block(e, &v, s->items, count))
			return false;
	}
}

static bool check_dim(const struct emit *e, const struct target *t, uint64_t n)
{
	if (t->dim == 0 || n == t->dim)
		return true;
	return refuse(e->c->why, REASON_INVALID_EMBEDDING, "%llu floats, the column wants %u", (unsigned long long)n,
		      t->dim);
}

static bool refuse_nonfinite(const struct emit *e)
{
	return refuse(e->c->why, REASON_INVALID_EMBEDDING, "it holds NaN or infinity");
}

static bool emit_floats(const struct emit *e, const struct target *t, struct slice le)
{
	if (!check_dim(e, t, le.len / 4))
		return false;
	if (!floats_finite(le.data, le.len / 4))
		return refuse_nonfinite(e);
	struct pgbin_array a = pgbin_array_begin(e->out, OID_FLOAT4);
	pgbin_array_floats(e->out, le.data, le.len / 4);
	pgbin_array_end(e->out, a, (uint32_t)(le.len / 4), false);
	return true;
}

/*
 * An array that is one block of plain floats, as one piece. False if it is anything else, faults included: then
 * nothing is taken.
 */
static bool take_float_block(const struct emit *e, const struct step *items, struct slice *le)
{
	struct refusal why;
	struct cursor ahead = *e->c;
	struct walk_blocks blocks = {0};
	uint64_t count, more = 0;
	ahead.why = &why;
	if (items->kind != SCHEMA_FLOAT || !walk_block(&ahead, &blocks, &count) ||
	    count > (uint64_t)(ahead.end - ahead.p) / 4 || !walk_raw(&ahead, count * 4, &le->data))
		return false;
	if (count > 0 && (!walk_block(&ahead, &blocks, &more) || more > 0))
		return false;
	le->len = count * 4;
	ahead.why = e->c->why;
	*e->c = ahead;
	return true;
}

static bool element_finite(const struct emit *e, size_t at)
{
	uint32_t bits = 0;
	if (e->out->len - at == 8)
		bits = get_be32(e->out->data + at + 4);
	return (bits & 0x7f800000) != 0x7f800000 || refuse_nonfinite(e);
}

/* Element of an array. */
static inline bool emit_element(const struct emit *e, const struct step *item, const struct target *element)
{
	struct slice v;
	if (item->kind == SCHEMA_STRING && element->kind == PG_TEXT)
		return walk_bytes(e->c, &v) && put_text(e, element, v);
	return emit_value(e, item, element, NULL, OID_NONE);
}

static bool emit_elements(const struct emit *e, const struct step *s, const struct target *element, enum pgbin_oid oid,
			  uint64_t *total)
{
	struct pgbin_array a = pgbin_array_begin(e->out, oid);
	struct walk_blocks blocks = {0};
	uint64_t count;
	bool has_null = false;
	for (*total = 0;; *total += count) {
		if (!walk_block(e->c, &blocks, &count))
			return false;
		if (count == 0)
			break;
		for (uint64_t i = 0; i < count; i++) {
			size_t at = e->out->len;
			const struct step *item = s->items;
			if (!walk_branch(e->c, &item) || !emit_element(e, item, element) ||
			    (element->finite && !element_finite(e, at)))
				return false;
			has_null = has_null || get_be32(e->out->data + at) == UINT32_MAX;
			if (e->out->len - a.start > e->limits->max_row_bytes)
				return refuse(e->c->why, REASON_TOO_LARGE,
					      "the row is over the limit of %u bytes (limits.max_row)",
					      e->limits->max_row_bytes);
		}
	}
	pgbin_array_end(e->out, a, (uint32_t)*total, has_null);
	return true;
}

static ASIDE bool emit_array(const struct emit *e, const struct step *s, const struct target *t,
			     const struct target *element, enum pgbin_oid oid)
{
	uint64_t total = 0;
	struct slice le;
	if (s->kind != SCHEMA_ARRAY)
		return packed_floats(e, s, &le) && emit_floats(e, t, le);
	if (element->finite && take_float_block(e, s->items, &le))
		return emit_floats(e, t, le);
	return emit_elements(e, s, element, oid, &total) && check_dim(e, t, total);
}

/* ---- scalars --------------------------------------------------------------------------------- */

static bool emit_text(const struct emit *e, const struct step *s, const struct target *t)
{
	struct slice v;
	uint32_t index;
	if (s->kind == SCHEMA_ENUM) {
		if (!walk_index(e->c, s->n, "enum", &index))
			return false;
		const char *symbol = s->reader->symbols[s->symbols[index]];
		v = (struct slice){(const uint8_t *)symbol, strlen(symbol)};
	} else {
		return walk_blob(e->c, s, &v) && put_text(e, t, v);
	}
	if (!check_chars(e, t, v))
		return false;
	pgbin_bytes(e->out, v);
	return true;
}

static bool emit_bytea(const struct emit *e, const struct step *s)
{
	struct slice v;
	if (!walk_blob(e->c, s, &v) || !check_size(e, v.len))
		return false;
	pgbin_bytes(e->out, v);
	return true;
}

/* Copied first: the check wants zeros behind the text. */
static bool put_json(const struct emit *e, struct slice v)
{
	if (!check_size(e, v.len))
		return false;
	buf_grow(e->out, 5 + v.len + TEXT_PAD);
	pgbin_jsonb(e->out, v);
	memset(e->out->data + e->out->len, 0, TEXT_PAD);
	v.data = e->out->data + e->out->len - v.len;
	return text_check_json(v, e->limits->max_depth, e->c->why);
}

static ASIDE bool emit_json(const struct emit *e, const struct step *s, const struct target *t)
{
	struct slice v;
	if (t->json_text)
		return walk_blob(e->c, s, &v) && put_json(e, v);
	size_t at = e->out->len;
	uint8_t *head = buf_take(e->out, 5);
	head[4] = 1; /* version of jsonb's binary form */
	struct jsonout j = {.out = e->out, .start = e->out->len, .max = e->limits->max_string_bytes};
	if (!jsonout_value(&j, e->c, s))
		return false;
	put_be32(e->out->data + at, (uint32_t)(e->out->len - at - 4));
	return true;
}

static ASIDE bool emit_uuid(const struct emit *e, const struct step *s)
{
	struct slice v;
	if (!walk_blob(e->c, s, &v))
		return false;
	if (s->kind != SCHEMA_FIXED)
		return pgbin_uuid_text(e->out, v, e->c->why);
	pgbin_uuid(e->out, v.data);
	return true;
}

static bool is_timed(enum schema_logical logical)
{
	return logical >= LOGICAL_TIME_MILLIS && logical <= LOGICAL_LOCAL_NANOS;
}

static bool refuse_range(const struct emit *e)
{
	return refuse(e->c->why, REASON_OUT_OF_RANGE, "a number is outside the range of the column's type");
}

/* An integer of the wire, in the unit of the reader's logical type. */
static bool read_integer(const struct emit *e, const struct step *s, int64_t *v)
{
	if (!walk_number(e->c, s, v))
		return false;
	if (!is_timed(s->reader->logical))
		return true;
	return unit_convert(*v, s->unit, unit_of(s->reader->logical), v) || refuse_range(e);
}

static bool emit_integer(const struct emit *e, const struct step *s, enum pg_kind kind)
{
	int64_t v;
	if (!read_integer(e, s, &v))
		return false;
	if (kind == PG_INT2)
		return pgbin_int2_checked(e->out, v, e->c->why);
	if (kind == PG_INT4)
		return pgbin_int4_checked(e->out, v, e->c->why);
	pgbin_int8(e->out, v);
	return true;
}

static ASIDE bool emit_real(const struct emit *e, const struct step *s, enum pg_kind kind)
{
	double d;
	if (!walk_real(e->c, s, &d))
		return false;
	if (kind == PG_FLOAT4)
		return pgbin_float4_checked(e->out, d, e->c->why);
	pgbin_float8(e->out, d);
	return true;
}

static ASIDE bool emit_numeric(const struct emit *e, const struct step *s)
{
	struct slice v;
	int64_t n;
	uint8_t be[8];
	if (s->kind == SCHEMA_INT || s->kind == SCHEMA_LONG) {
		if (!walk_number(e->c, s, &n))
			return false;
		put_be64(be, (uint64_t)n);
		return pgbin_numeric(e->out, (struct slice){be, sizeof(be)}, 0, 0, e->c->why);
	}
	return walk_blob(e->c, s, &v) && pgbin_numeric(e->out, v, s->reader->precision, s->reader->scale, e->c->why);
}

static ASIDE bool emit_time(const struct emit *e, const struct step *s, enum pg_kind kind)
{
	int64_t v;
	if (!walk_number(e->c, s, &v))
		return false;
	if (kind == PG_DATE)
		return pgbin_date(e->out, v, e->c->why);
	if (kind == PG_TIMESTAMP)
		return pgbin_timestamp(e->out, v, s->unit, e->c->why);
	return (unit_convert(v, s->unit, UNIT_MICROS, &v) || refuse_range(e)) && pgbin_time(e->out, v, e->c->why);
}

static bool emit_bool(const struct emit *e)
{
	bool b;
	if (!walk_bool(e->c, &b))
		return false;
	pgbin_bool(e->out, b);
	return true;
}

static ASIDE bool emit_interval(const struct emit *e, const struct step *s)
{
	struct slice v;
	return walk_blob(e->c, s, &v) && pgbin_interval(e->out, v.data, e->c->why);
}

/* A column may be null if and only if its field's type in the reader holds null. */
static bool emit_null(const struct emit *e, const struct step *s)
{
	if (!s->reader)
		return refuse(e->c->why, REASON_MISSING_FIELD, "is null, which the table does not take");
	pgbin_null(e->out);
	return true;
}

/* s is no union. */
static bool emit_value(const struct emit *e, const struct step *s, const struct target *t, const struct target *element,
		       enum pgbin_oid oid)
{
	if (s->kind == SCHEMA_NULL)
		return emit_null(e, s);
	switch (t->kind) {
	case PG_BOOL:
		return emit_bool(e);
	case PG_INT2:
	case PG_INT4:
	case PG_INT8:
		return emit_integer(e, s, t->kind);
	case PG_FLOAT4:
	case PG_FLOAT8:
		return emit_real(e, s, t->kind);
	case PG_TEXT:
		return emit_text(e, s, t);
	case PG_BYTEA:
		return emit_bytea(e, s);
	case PG_JSONB:
		return emit_json(e, s, t);
	case PG_UUID:
		return emit_uuid(e, s);
	case PG_DATE:
	case PG_TIME:
	case PG_TIMESTAMP:
		return emit_time(e, s, t->kind);
	case PG_INTERVAL:
		return emit_interval(e, s);
	case PG_NUMERIC:
		return emit_numeric(e, s);
	case PG_VECTOR:
	case PG_HALFVEC:
		return emit_vector(e, s, t);
	case PG_ARRAY:
		return emit_array(e, s, t, element, oid);
	}
	return false;
}

bool decode_column(const struct plan_column *column, const struct step *s, struct cursor *c,
		   const struct decode_limits *limits, struct buf *out)
{
	struct emit e = {.c = c, .limits = limits, .out = out};
	return emit_value(&e, s, &column->target, &column->element, column->element_oid);
}

/* ---- the row --------------------------------------------------------------------------------- */

static inline struct cursor cursor_on(struct decoder *d, const uint8_t *start, const uint8_t *end)
{
	return (struct cursor){
		.p = start, .end = end, .depth = d->limits.max_depth, .items = d->limits.max_items, .why = &d->why};
}

static bool fail(const struct decoder *d, struct record *record, struct err *err, const char *field, size_t at)
{
	record->reason = d->why.reason;
	return err_set(err, ERR_POISON, "field '%s' at byte %zu: %s", field, at, d->why.text);
}

/*
 * The usual field: a string of less than 64 bytes, or a union that holds one, or null. Gives the end of it; NULL when it
 * is anything else, faults included.
 */
static inline const uint8_t *find_short(const uint8_t *p, const uint8_t *end, const struct step *s, struct slot *slot)
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

static bool find_slots(struct decoder *d, const struct plan *plan, struct slice body, struct record *record,
		       struct err *err)
{
	struct cursor c = cursor_on(d, body.data, body.data + body.len);
	if (plan->ntop > d->cap) {
		d->slots = xrealloc(d->slots, plan->ntop * sizeof(*d->slots));
		d->cap = plan->ntop;
	}
	for (uint32_t i = 0; i < plan->ntop; i++) {
		const uint8_t *before = c.p, *behind = find_short(c.p, c.end, plan->top[i].step, &d->slots[i]);
		if (behind)
			c.p = behind;
		else if (!find_slot(&c, plan->top[i].step, &d->slots[i]))
			return fail(d, record, err, plan->top[i].name, (size_t)(before - body.data));
	}
	if (c.p == c.end)
		return true;
	record->reason = REASON_DECODE;
	return err_set(err, ERR_POISON, "%zu bytes are left behind the last field", (size_t)(c.end - c.p));
}

static bool read_op(struct decoder *d, const struct plan *plan, struct slice body, struct record *record,
		    struct err *err)
{
	uint32_t index;
	record->op = plan->op;
	if (plan->delete_slot == STEP_NO_SLOT)
		return true;
	const struct slot *slot = &d->slots[plan->delete_slot];
	struct cursor c = cursor_on(d, slot->start, slot->end);
	if (slot->step->kind == SCHEMA_NULL)
		return true;
	if (!walk_index(&c, slot->step->n, "enum", &index))
		return fail(d, record, err, plan->top[plan->delete_slot].name, (size_t)(slot->start - body.data));
	if (slot->step->symbols[index] == plan->table->delete_symbol)
		record->op = RECORD_DELETE;
	return true;
}

static inline bool emit_column(struct decoder *d, const struct emit *e, const struct plan_column *pc)
{
	const struct slot *slot = &d->slots[pc->slot];
	if (slot->step->kind == SCHEMA_STRING && pc->target.kind == PG_TEXT)
		return put_text(e, &pc->target, slot->text);
	if (slot->step->kind == SCHEMA_STRING && pc->target.json_text)
		return put_json(e, slot->text);
	*e->c = cursor_on(d, slot->start, slot->end);
	if (!emit_value(e, slot->step, &pc->target, &pc->element, pc->element_oid))
		return false;
	return e->c->p == e->c->end || refuse(&d->why, REASON_DECODE, "a block's size does not agree with its items");
}

/* The version as people count: since 1970, in microseconds or days. */
static void read_version(const struct column *c, const uint8_t *field, struct record *record)
{
	uint32_t len = get_be32(field);
	record->has_version = len != UINT32_MAX;
	if (len == 2)
		record->version = (int16_t)get_be16(field + 4);
	else if (len == 4)
		record->version = (int32_t)get_be32(field + 4) + (c->kind == PG_DATE ? EPOCH_DAYS : 0);
	else if (len == 8)
		record->version =
			(int64_t)get_be64(field + 4) + (c->kind == PG_TIMESTAMP ? EPOCH_SECONDS * 1000000 : 0);
}

static bool check_limits(const struct decoder *d, const struct plan *plan, struct record *record, struct err *err)
{
	size_t key = record->key_len - 4 * plan->table->nkeys; /* without the lengths of its fields */
	if (key <= d->limits.max_key_bytes && record->row_len <= d->limits.max_row_bytes)
		return true;
	record->reason = REASON_TOO_LARGE;
	if (key > d->limits.max_key_bytes)
		return err_set(err, ERR_POISON, "the key of %zu bytes is over the limit of %u (limits.max_key)", key,
			       d->limits.max_key_bytes);
	return err_set(err, ERR_POISON, "the row of %zu bytes is over the limit of %u (limits.max_row)",
		       record->row_len, d->limits.max_row_bytes);
}

/*
 * Its length is bounded on the way by that of the datum and of each value; the limit of the row is looked at in the
 * end.
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
			return fail(d, record, err, pc->name, (size_t)(d->slots[pc->slot].start - body.data));
		if (i + 1 == t->nkeys)
			record->key_len = out->len - start;
		if ((int)i == t->version)
			read_version(&t->columns[i], out->data + at, record);
	}
	record->row_len = out->len - start;
	return check_limits(d, plan, record, err);
}

bool decode_record(struct decoder *d, const struct plan *plan, struct slice body, struct buf *out,
		   struct record *record, struct err *err)
{
	size_t start = out->len;
	*record = (struct record){.reason = REASON_DECODE};
	if (find_slots(d, plan, body, record, err) && read_op(d, plan, body, record, err) &&
	    emit_row(d, plan, body, out, record, err))
		return true;
	out->len = start;
	return false;
}

/* Puts the version where the row of a key has a null. */
static bool replace_version(const struct plan *plan, int64_t version_us, size_t start, struct buf *out,
			    struct record *record)
{
	struct refusal why;
	struct buf tail = {0};
	size_t at = start;
	for (int i = 0; i < plan->table->version; i++) {
		uint32_t len = get_be32(out->data + at);
		at += 4 + (len == UINT32_MAX ? 0 : len);
	}
	buf_put(&tail, out->data + at + 4, out->len - at - 4);
	out->len = at;
	bool ok = pgbin_timestamp(out, version_us, UNIT_MICROS, &why);
	if (!ok)
		pgbin_null(out); /* no time that PostgreSQL knows: as if the message had none */
	buf_put(out, tail.data, tail.len);
	buf_free(&tail);
	record->row_len = out->len - start;
	return ok;
}

bool decode_key(struct decoder *d, const struct plan *plan, struct slice body, int64_t version_us, struct buf *out,
		struct record *record, struct err *err)
{
	size_t start = out->len;
	const struct table *t = plan->table;
	if (!decode_record(d, plan, body, out, record, err))
		return false;
	record->op = RECORD_DELETE;
	record->version = version_us;
	record->has_version = version_us != DECODE_NO_VERSION && t->version >= 0 &&
			      t->columns[t->version].kind == PG_TIMESTAMP &&
			      replace_version(plan, version_us, start, out, record);
	return true;
}

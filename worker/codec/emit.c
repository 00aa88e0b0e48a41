/*
 * emit.c - one value of a datum as one COPY field: text, numbers, times, JSON, arrays, vectors.
 *
 * Called for each column whose value is more than a short text (emit.h), with a cursor at the value
 * and the target that the column is. Every read is checked against the datum's end (walk.h), every
 * value against its type and the limits.
 *
 * An array of floats in one block, which is what every Avro library writes for an embedding, goes
 * to pgbin in one call; it swaps and checks all of them at once. Nothing else here is per float.
 *
 * Memory: the row in the caller's buffer. No allocation depends on a length from the wire that was
 * not compared with what is left.
 *
 * Failure: false, with the reason in the cursor's refusal; what was appended is cut off by the
 * caller. Texts never quote data. Thread: the owner of the decoder.
 */
#include "codec/emit.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "codec/floats.h"

/* Out of line: what the common column, a short text, does not need should not cost it a frame. */
#define ASIDE __attribute__((noinline))

/* --- text --- */

/* Before anything is copied. */
static bool check_size(const struct emit *e, size_t len)
{
	if (len <= e->limits->max_string_bytes)
		return true;
	return refuse(e->c->why, REASON_TOO_LARGE,
		      "%zu bytes are over the limit of %u (limits.max_string)", len,
		      e->limits->max_string_bytes);
}

static size_t count_chars(struct slice s)
{
	size_t n = 0;
	for (size_t i = 0; i < s.len; i++)
		n += (s.data[i] & 0xc0) != 0x80;
	return n;
}

/* varchar(n) counts characters, not bytes. */
static bool check_chars(const struct emit *e, const struct target *t, struct slice s)
{
	if (t->max_chars == 0 || s.len <= t->max_chars || count_chars(s) <= t->max_chars)
		return true;
	return refuse(e->c->why, REASON_TOO_LARGE, "%zu characters, the column takes %u",
		      count_chars(s), t->max_chars);
}

bool emit_check_text(const struct emit *e, const struct target *t, struct slice v)
{
	return check_size(e, v.len) && text_check_utf8(v, e->c->why) && check_chars(e, t, v);
}

/* --- arrays and vectors --- */

/* bytes or fixed of packed little-endian floats. */
static bool packed_floats(const struct emit *e, const struct step *s, struct slice *v)
{
	if (!walk_blob(e->c, s, v))
		return false;
	if (v->len % 4 != 0)
		return refuse(e->c->why, REASON_INVALID_EMBEDDING,
			      "%zu bytes are no whole number of floats", v->len);
	return true;
}

/* One element that is no plain float or double: promoted, or a union's branch. */
static bool vector_item(const struct emit *e, struct pgbin_vector *v, const struct step *item)
{
	double d;
	if (!walk_branch(e->c, &item) || !walk_wanted(e->c, item))
		return false;
	if (item->kind == SCHEMA_NULL)
		return refuse(e->c->why, REASON_MISSING_FIELD, "a vector holds no null");
	return walk_real(e->c, item, &d) &&
	       pgbin_vector_doubles(e->out, v, (const uint8_t *)&d, 1, e->c->why);
}

/* Plain floats and doubles in one call; anything else element by element. */
static bool vector_block(const struct emit *e, struct pgbin_vector *v, const struct step *item,
			 uint64_t count)
{
	const uint8_t *p;
	if (item->width > 1) {
		if (count > (uint64_t)(e->c->end - e->c->p) / item->width)
			return walk_short(e->c);
		if (!walk_raw(e->c, count * item->width, &p))
			return false;
		return item->kind == SCHEMA_FLOAT
			       ? pgbin_vector_floats(e->out, v, p, count, e->c->why)
			       : pgbin_vector_doubles(e->out, v, p, count, e->c->why);
	}
	for (; count > 0; count--)
		if (!vector_item(e, v, item))
			return false;
	return true;
}

/* The writer may have it in any number of blocks, or packed in bytes. */
static ASIDE bool emit_vector(const struct emit *e, const struct step *s, const struct target *t)
{
	struct pgbin_vector v = pgbin_vector_begin(
		e->out, t->kind == PG_HALFVEC ? VECTOR_HALF : VECTOR_FLOAT4, t->dim);
	struct walk_blocks blocks = {0};
	uint64_t count;
	struct slice raw;
	if (s->kind != SCHEMA_ARRAY)
		return packed_floats(e, s, &raw) &&
		       pgbin_vector_floats(e->out, &v, raw.data, raw.len / 4, e->c->why) &&
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
	return refuse(e->c->why, REASON_INVALID_EMBEDDING, "%llu floats, the column wants %u",
		      (unsigned long long)n, t->dim);
}

/* A real[] that stands for an embedding takes finite numbers only. */
static bool refuse_nonfinite(const struct emit *e)
{
	return refuse(e->c->why, REASON_INVALID_EMBEDDING, "it holds NaN or infinity");
}

/* All of them are looked at before the first is written. */
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
 * An array that is one block of plain floats, as one piece. False if it is anything else, faults
 * included: then nothing is taken.
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
static inline bool emit_element(const struct emit *e, const struct step *item,
				const struct target *element)
{
	struct slice v;
	if (item->kind == SCHEMA_STRING && element->kind == PG_TEXT)
		return walk_bytes(e->c, &v) && emit_text_field(e, element, v);
	return emit_value(e, item, element, NULL, OID_NONE);
}

/* Blocks of any number and size; has_null goes into the array's head at the end. */
static bool emit_elements(const struct emit *e, const struct step *s, const struct target *element,
			  enum pgbin_oid oid, uint64_t *total)
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
				return refuse(
					e->c->why, REASON_TOO_LARGE,
					"the row is over the limit of %u bytes (limits.max_row)",
					e->limits->max_row_bytes);
		}
	}
	pgbin_array_end(e->out, a, (uint32_t)*total, has_null);
	return true;
}

/* Bytes, one block of floats, or any other array: the first two in one piece. */
static ASIDE bool emit_array(const struct emit *e, const struct step *s, const struct target *t,
			     const struct target *element, enum pgbin_oid oid)
{
	uint64_t total = 0;
	struct slice le;
	assert(element); /* arrays have no arrays for elements */
	if (s->kind != SCHEMA_ARRAY)
		return packed_floats(e, s, &le) && emit_floats(e, t, le);
	if (element->finite && take_float_block(e, s->items, &le))
		return emit_floats(e, t, le);
	return emit_elements(e, s, element, oid, &total) && check_dim(e, t, total);
}

/* --- scalars --- */

/* An enum is its symbol's text, as the reader's schema spells it. */
static bool emit_text(const struct emit *e, const struct step *s, const struct target *t)
{
	struct slice v;
	uint32_t symbol;
	if (s->kind == SCHEMA_ENUM) {
		if (!walk_symbol(e->c, s, &symbol))
			return false;
		const char *text = s->reader->symbols[symbol];
		v = (struct slice){(const uint8_t *)text, strlen(text)};
	} else {
		return walk_blob(e->c, s, &v) && emit_text_field(e, t, v);
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

/* Blanks around it are allowed, as a text may have them. */
static bool is_json_null(struct slice json)
{
	static const char blank[4] = {' ', '\t', '\r', '\n'};
	while (json.len > 0 && memchr(blank, json.data[0], 4))
		json = (struct slice){json.data + 1, json.len - 1};
	while (json.len > 0 && memchr(blank, json.data[json.len - 1], 4))
		json.len--;
	return json.len == 4 && memcmp(json.data, "null", 4) == 0;
}

/* Copied first: the check wants zeros behind the text. */
bool emit_json_text(const struct emit *e, const struct target *t, struct slice v)
{
	if (t->null_json && is_json_null(v)) {
		pgbin_null(e->out);
		return true;
	}
	if (!check_size(e, v.len))
		return false;
	buf_grow(e->out, 5 + v.len + TEXT_PAD);
	pgbin_jsonb(e->out, v);
	memset(e->out->data + e->out->len, 0, TEXT_PAD);
	v.data = e->out->data + e->out->len - v.len;
	return text_check_json(v, e->limits->max_depth, e->c->why);
}

/* jsonb's head is written first and its length put in at the end. */
static ASIDE bool emit_json(const struct emit *e, const struct step *s, const struct target *t)
{
	struct slice v;
	if (t->json_text)
		return walk_blob(e->c, s, &v) && emit_json_text(e, t, v);
	size_t at = e->out->len;
	uint8_t *head = buf_take(e->out, 5);
	head[4] = 1; /* version of jsonb's binary form */
	struct jsonout j = {
		.out = e->out, .start = e->out->len, .max = e->limits->max_string_bytes};
	if (!jsonout_value(&j, e->c, s))
		return false;
	put_be32(e->out->data + at, (uint32_t)(e->out->len - at - 4));
	return true;
}

/* A fixed has the 16 bytes; a string has to be read. */
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

/* A time that does not fit the reader's unit. */
static bool refuse_range(const struct emit *e)
{
	return refuse(e->c->why, REASON_OUT_OF_RANGE,
		      "a number is outside the range of the column's type");
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

/* Narrower columns than the wire's are checked. */
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

/* A double into a real column is rounded, unless it becomes infinite. */
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

/* A whole number is a decimal of scale 0. */
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
	return walk_blob(e->c, s, &v) &&
	       pgbin_numeric(e->out, v, s->reader->precision, s->reader->scale, e->c->why);
}

/* Which unit the wire has is the step's; the column's is microseconds or days. */
static ASIDE bool emit_time(const struct emit *e, const struct step *s, enum pg_kind kind)
{
	int64_t v;
	if (!walk_number(e->c, s, &v))
		return false;
	if (kind == PG_DATE)
		return pgbin_date(e->out, v, e->c->why);
	if (kind == PG_TIMESTAMP)
		return pgbin_timestamp(e->out, v, s->unit, e->c->why);
	return (unit_convert(v, s->unit, UNIT_MICROS, &v) || refuse_range(e)) &&
	       pgbin_time(e->out, v, e->c->why);
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
		return refuse(e->c->why, REASON_MISSING_FIELD,
			      "is null, which the table does not take");
	pgbin_null(e->out);
	return true;
}

/* Of these a column can hold null, and jsonb a record that is not refused. */
#define NO_SCALAR (1u << SCHEMA_NULL | 1u << SCHEMA_RECORD)

/* Null, or what only JSON can hold. */
static ASIDE bool emit_no_scalar(const struct emit *e, const struct step *s, const struct target *t)
{
	if (s->kind == SCHEMA_NULL)
		return emit_null(e, s);
	return walk_wanted(e->c, s) && emit_json(e, s, t);
}

/* s is no union. */
bool emit_value(const struct emit *e, const struct step *s, const struct target *t,
		const struct target *element, enum pgbin_oid oid)
{
	if (NO_SCALAR >> s->kind & 1)
		return emit_no_scalar(e, s, t);
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
		assert(element); /* no array holds another */
		return emit_array(e, s, t, element, oid);
	}
	return false;
}

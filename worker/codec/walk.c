/*
 * walk.c - Avro's binary encoding, read with suspicion.
 *
 *   int, long      zigzag varint, at most 5 and 10 bytes
 *   float, double  4 and 8 bytes, little-endian
 *   bytes, string  long length, bytes
 *   union, enum    index, below the number of choices
 *   array, map     blocks: long count, items; a negative count is followed by the block's size in
 *                  bytes; count 0 ends
 *
 * Every length is compared with what is left before it is used; counts are charged against a budget
 * of items for the whole datum, so that an array of nulls (no bytes at all) cannot keep us busy;
 * depth is charged as well, since the schema may be recursive and this code recurses with it. The
 * size of a block lets us jump over what nobody reads. Where the items are read, the size must
 * agree with them.
 *
 * The faults of Avro-C that are not repeated here: negative lengths, unbounded recursion and items,
 * indices out of range taken as success, and memory allocated by a length that nobody checked
 * (libavro 1.11; AVRO-4293).
 *
 * Pure; no memory but the stack.
 */
#include <string.h>

#include "codec/plan_steps.h"

/*
 * "return false" in so many words: the compiler then sees that results are set wherever they are
 * used.
 */
static inline bool bad(struct cursor *c, const char *text)
{
	refuse(c->why, REASON_DECODE, "%s", text);
	return false;
}

static inline bool over_limit(struct cursor *c, const char *text)
{
	refuse(c->why, REASON_TOO_LARGE, "%s", text);
	return false;
}

bool walk_short(struct cursor *c)
{
	return bad(c, "the datum ends inside this value");
}

bool walk_negative(struct cursor *c)
{
	return bad(c, "a length is negative");
}

/* --- single values --- */

/*
 * Up to 8 bytes at once, as timestamps have: without the bytes' high bits, groups of 7, 14 and 28
 * bits are moved together. False where the number is longer, may have too many bits, or stands too
 * near to the end.
 */
static inline bool varint_in_word(struct cursor *c, unsigned max_bytes, uint64_t *z)
{
	uint64_t w, stop;
	if (c->end - c->p < 8)
		return false;
	memcpy(&w, c->p, sizeof(w));
	stop = ~w & UINT64_C(0x8080808080808080);
	unsigned n = stop ? (unsigned)__builtin_ctzll(stop) / 8 + 1 : 8;
	if (stop == 0 || n >= max_bytes)
		return false;
	w &= (stop ^ (stop - 1)) & UINT64_C(0x7f7f7f7f7f7f7f7f);
	w = (w & UINT64_C(0x007f007f007f007f)) | (w & UINT64_C(0x7f007f007f007f00)) >> 1;
	w = (w & UINT64_C(0x00003fff00003fff)) | (w & UINT64_C(0x3fff00003fff0000)) >> 2;
	*z = (w & UINT64_C(0x000000000fffffff)) | (w & UINT64_C(0x0fffffff00000000)) >> 4;
	c->p += n;
	return true;
}

/* max_bytes: 5 for an int, 10 for a long; more would be another value. */
bool walk_varint(struct cursor *c, unsigned max_bytes, uint64_t *z)
{
	if (varint_in_word(c, max_bytes, z))
		return true;
	const uint8_t *p = c->p;
	size_t most = MIN((size_t)(c->end - p), (size_t)max_bytes);
	uint8_t last_bits =
		/* what the last byte may hold: 35 bits are more than 32, 70 than 64 */
		max_bytes == 5 ? 0x0f : 0x01;
	uint64_t v = 0;
	for (size_t i = 0; i < most; i++) {
		v |= (uint64_t)(p[i] & 0x7f) << (7 * i);
		if (p[i] >= 0x80)
			continue;
		c->p = p + i + 1;
		*z = v;
		return i + 1 < max_bytes || p[i] <= last_bits ||
		       bad(c, "a number has more bits than its type");
	}
	return most < max_bytes ? walk_short(c) : bad(c, "a number has more bits than its type");
}

/* As walk_long(), with 5 bytes at most. */
static inline bool read_int(struct cursor *c, int64_t *v)
{
	uint64_t z;
	if (c->p < c->end && c->p[0] < 0x80) {
		*v = walk_unzigzag(*c->p++);
		return true;
	}
	if (!walk_varint(c, 5, &z))
		return false;
	*v = walk_unzigzag(z);
	return true;
}

/* Any other byte than 0 and 1 is a sign that the schema is not the writer's. */
bool walk_bool(struct cursor *c, bool *v)
{
	const uint8_t *p;
	if (!walk_raw(c, 1, &p))
		return false;
	*v = *p == 1;
	return *p <= 1 || bad(c, "a boolean is neither 0 nor 1");
}

/* Where one byte does not do, and for what is wrong. */
bool walk_long_index(struct cursor *c, uint32_t n, const char *what, uint32_t *v)
{
	int64_t i;
	if (!read_int(c, &i))
		return false;
	if (i < 0 || i >= n) {
		refuse(c->why, REASON_DECODE, "%s index %lld of %u", what, (long long)i, n);
		return false;
	}
	*v = (uint32_t)i;
	return true;
}

bool walk_refused(struct cursor *c, const char *refusal)
{
	return refuse(c->why, REASON_SCHEMA, "%s", refusal);
}

/* --- nesting --- */

bool walk_enter(struct cursor *c)
{
	if (c->depth == 0)
		return over_limit(c, "values are nested deeper than the limit (limits.max_depth)");
	c->depth--;
	return true;
}

void walk_leave(struct cursor *c)
{
	c->depth++;
}

/* One budget for all arrays and maps of a datum. */
static bool too_many(struct cursor *c)
{
	return over_limit(c, "more array and map items than the limit (limits.max_items)");
}

/* A negative count has the block's size in bytes behind it. */
static bool long_head(struct cursor *c, uint64_t *count, const uint8_t **stated_end)
{
	int64_t n, size;
	if (!walk_long(c, &n))
		return false;
	*count = (uint64_t)n;
	if (n < 0) {
		*count = -(uint64_t)n;
		if (n == INT64_MIN)
			return bad(c, "a block's count is out of range");
		if (!walk_long(c, &size))
			return false;
		if (size < 0 || size > c->end - c->p)
			return bad(c, "a block's size is negative or more than what is left");
		*stated_end = c->p + size;
	}
	if (*count > c->items)
		return too_many(c);
	c->items -= (uint32_t)*count;
	return true;
}

/* The head of a block: how many items, and where the block says it ends (NULL: it does not say). */
static inline bool block_head(struct cursor *c, uint64_t *count, const uint8_t **stated_end)
{
	*stated_end = NULL;
	if (c->p == c->end || (*c->p & 0x81) != 0 || (uint32_t)(*c->p >> 1) > c->items)
		return long_head(c, count, stated_end);
	*count = *c->p++ >> 1; /* the usual case: less than 64, or the end */
	c->items -= (uint32_t)*count;
	return true;
}

bool walk_block(struct cursor *c, struct walk_blocks *b, uint64_t *count)
{
	if (b->stated_end && b->stated_end != c->p)
		return bad(c, "a block's size does not agree with its items");
	return block_head(c, count, &b->stated_end);
}

/* Items of a fixed width in one step, as those of an embedding. */
static bool skip_items(struct cursor *c, const struct step *s, uint64_t count)
{
	struct slice key, v;
	if (s->kind == SCHEMA_ARRAY && s->items->width > 0) {
		if (count > (uint64_t)(c->end - c->p) / s->items->width)
			return walk_short(c);
		c->p += count * s->items->width;
		return true;
	}
	for (; count > 0; count--) {
		if (s->kind == SCHEMA_MAP && !walk_bytes(c, &key))
			return false;
		if (s->items->kind == SCHEMA_STRING ? !walk_bytes(c, &v) : !walk_skip(c, s->items))
			return false;
	}
	return true;
}

/* A block that states its size is jumped over, unread. */
static bool skip_blocks(struct cursor *c, const struct step *s)
{
	uint64_t count;
	const uint8_t *stated_end;
	for (;;) {
		if (!block_head(c, &count, &stated_end))
			return false;
		if (count == 0)
			return true;
		if (stated_end)
			c->p = stated_end;
		else if (!skip_items(c, s, count))
			return false;
	}
}

/*
 * A field without bytes (a null, an empty record) counts as an item: n types of record, each with
 * two fields of the one before, are 2^n values in no bytes at all.
 */
static bool skip_record(struct cursor *c, const struct step *s)
{
	for (uint32_t i = 0; i < s->n; i++) {
		const uint8_t *start = c->p;
		if (!walk_skip(c, s->fields[i].step))
			return false;
		if (c->p > start)
			continue;
		if (c->items == 0)
			return too_many(c);
		c->items--;
	}
	return true;
}

/* Depth is charged here, as this is where the recursion is. */
static bool skip_nested(struct cursor *c, const struct step *s)
{
	if (!walk_enter(c))
		return false;
	bool ok = s->kind == SCHEMA_RECORD ? skip_record(c, s) : skip_blocks(c, s);
	walk_leave(c);
	return ok;
}

/* Checks all that can be checked without reading what nobody wants. */
bool walk_skip(struct cursor *c, const struct step *s)
{
	const uint8_t *p;
	struct slice v;
	int64_t n;
	bool b;
	uint32_t index;
	switch (s->kind) {
	case SCHEMA_NULL:
		return true;
	case SCHEMA_BOOLEAN:
		return walk_bool(c, &b);
	case SCHEMA_INT:
		return read_int(c, &n);
	case SCHEMA_LONG:
		return walk_long(c, &n);
	case SCHEMA_FLOAT:
		return walk_raw(c, 4, &p);
	case SCHEMA_DOUBLE:
		return walk_raw(c, 8, &p);
	case SCHEMA_BYTES:
	case SCHEMA_STRING:
		return walk_bytes(c, &v);
	case SCHEMA_FIXED:
		return walk_raw(c, s->size, &p);
	case SCHEMA_ENUM:
		return walk_index(c, s->n, "enum", &index);
	case SCHEMA_UNION: /* no level: a union holds no union, so what nests is its branches */
		return walk_index(c, s->n, "union", &index) && walk_skip(c, s->branches[index]);
	case SCHEMA_ARRAY:
	case SCHEMA_MAP:
	case SCHEMA_RECORD:
		return skip_nested(c, s);
	}
	return false;
}

/* --- values as the reader wants them --- */

bool walk_number(struct cursor *c, const struct step *s, int64_t *i)
{
	return s->kind == SCHEMA_INT ? read_int(c, i) : walk_long(c, i);
}

/* What may be promoted to it, too. */
bool walk_real(struct cursor *c, const struct step *s, double *d)
{
	const uint8_t *p;
	int64_t n;
	float f;
	if (s->kind == SCHEMA_INT || s->kind == SCHEMA_LONG) {
		if (!walk_number(c, s, &n))
			return false;
		/* A long that is promoted to float is rounded once, not by way of double. */
		*d = s->reader->kind == SCHEMA_FLOAT ? (double)(float)n : (double)n;
		return true;
	}
	if (!walk_raw(c, s->kind == SCHEMA_FLOAT ? sizeof(f) : sizeof(*d), &p))
		return false;
	if (s->kind == SCHEMA_FLOAT) {
		memcpy(&f, p, sizeof(f));
		*d = (double)f;
	} else {
		memcpy(d, p, sizeof(*d));
	}
	return true;
}

/* --- units --- */

/* Microseconds where the logical type says nothing of a unit. */
enum pgbin_unit unit_of(enum schema_logical logical)
{
	switch (logical) {
	case LOGICAL_TIME_MILLIS:
	case LOGICAL_TIMESTAMP_MILLIS:
	case LOGICAL_LOCAL_MILLIS:
		return UNIT_MILLIS;
	case LOGICAL_TIMESTAMP_NANOS:
	case LOGICAL_LOCAL_NANOS:
		return UNIT_NANOS;
	case LOGICAL_NONE:
	case LOGICAL_DATE:
	case LOGICAL_TIME_MICROS:
	case LOGICAL_TIMESTAMP_MICROS:
	case LOGICAL_LOCAL_MICROS:
	case LOGICAL_UUID:
	case LOGICAL_DECIMAL:
	case LOGICAL_DURATION:
		break;
	}
	return UNIT_MICROS;
}

/* Towards the past; false if it overflows. */
bool unit_convert(int64_t v, enum pgbin_unit from, enum pgbin_unit to, int64_t *out)
{
	static const int64_t per_second[] = {
		[UNIT_MILLIS] = 1000, [UNIT_MICROS] = 1000000, [UNIT_NANOS] = 1000000000};
	if (per_second[from] <= per_second[to])
		return !__builtin_mul_overflow(v, per_second[to] / per_second[from], out);
	int64_t by = per_second[from] / per_second[to];
	*out = v / by - (v % by < 0);
	return true;
}

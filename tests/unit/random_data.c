/*
 * random_data.c - random values for a random schema (random_avro.c), and their bytes.
 *
 * A value goes into an avro_value_t; what its column wants beyond its type, the name of the event's
 * field says. Lists end by choosing null below twelve levels.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "random_avro.h"

/* Any magnitude is as likely as any other. */
static int64_t random_long(struct random *r)
{
	return (int64_t)random_bits(r) >> random_below(r, 64);
}

static double random_double(struct random *r)
{
	double d;
	do {
		uint64_t bits = random_bits(r);
		memcpy(&d, &bits, sizeof(d));
	} while (!isfinite(d));
	return random_one_in(r, 2) ? d : (double)random_long(r) / 64;
}

static float random_float(struct random *r)
{
	float f;
	do {
		uint32_t bits = (uint32_t)random_bits(r);
		memcpy(&f, &bits, sizeof(f));
	} while (!isfinite(f));
	return random_one_in(r, 2) ? f : (float)random_long(r) / 64;
}

struct filler {
	struct random *r;
	const char *name; /* of the field of the event */
	int depth;
};

static void fill(struct filler *f, const struct schema_type *t, avro_value_t *v);

static bool named(const struct filler *f, const char *start)
{
	return strncmp(f->name, start, strlen(start)) == 0;
}

static int64_t fill_integer(struct filler *f, const struct schema_type *t)
{
	/* seconds: the years 1 to 9999 */
	static const int64_t low = -62135596800, high = 253402300799;
	int64_t second = low + (int64_t)random_below(f->r, (uint64_t)(high - low));
	switch (t->logical) {
	case LOGICAL_DATE:
		return second / 86400;
	case LOGICAL_TIME_MILLIS:
		return (int64_t)random_below(f->r, 86400001);
	case LOGICAL_TIME_MICROS:
		return (int64_t)random_below(f->r, UINT64_C(86400000001));
	case LOGICAL_TIMESTAMP_MILLIS:
	case LOGICAL_LOCAL_MILLIS:
		return second * 1000 + (int64_t)random_below(f->r, 1000);
	case LOGICAL_TIMESTAMP_MICROS:
	case LOGICAL_LOCAL_MICROS:
		return second * 1000000 + (int64_t)random_below(f->r, 1000000);
	case LOGICAL_TIMESTAMP_NANOS:
	case LOGICAL_LOCAL_NANOS:
		return random_long(f->r);
	case LOGICAL_NONE:
	case LOGICAL_UUID:
	case LOGICAL_DECIMAL:
	case LOGICAL_DURATION:
		break;
	}
	if (named(f, "small") || named(f, "vec"))
		return (int16_t)random_bits(f->r);
	return t->kind == SCHEMA_INT ? (int32_t)random_bits(f->r) >> random_below(f->r, 32)
				     : random_long(f->r);
}

static void put_char(struct random *r, struct buf *b)
{
	static const uint32_t starts[] = {0x01,  0x20,   0x22,   0x5c,   0x7f,    0x80,    0x7ff,
					  0x800, 0xd7ff, 0xe000, 0xffff, 0x10000, 0x10ffff};
	uint32_t c = random_one_in(r, 4) ? starts[random_below(r, ARRAY_LEN(starts))]
					 : 'a' + (uint32_t)random_below(r, 26);
	if (c < 0x80) {
		buf_u8(b, (uint8_t)c);
		return;
	}
	int tails = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
	static const uint8_t heads[] = {0, 0xc0, 0xe0, 0xf0};
	buf_u8(b, (uint8_t)(heads[tails] | c >> 6 * tails));
	while (tails-- > 0)
		buf_u8(b, (uint8_t)(0x80 | (c >> 6 * tails & 0x3f)));
}

static void fill_string(struct filler *f, avro_value_t *v)
{
	static const char *const json[] = {
		"{}",  "[1, 2.5e3, null]", "{\"a\": {\"b\": [\"\\u00e9\\n\"]}}", "\"x\"", "0",
		"true"};
	static const char *const uuids[] = {"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
					    "{A0EEBC999C0B4EF8BB6D6BB9BD380A11}"};
	struct buf b = {0};
	if (named(f, "json"))
		buf_puts(&b, json[random_below(f->r, ARRAY_LEN(json))]);
	else if (named(f, "uuid"))
		buf_puts(&b, uuids[random_below(f->r, ARRAY_LEN(uuids))]);
	else
		for (uint64_t n = random_below(f->r, random_one_in(f->r, 10) ? 300 : 12); n > 0;
		     n--)
			put_char(f->r, &b);
	avro_value_set_string_len(v, buf_cstr(&b), b.len + 1);
	buf_free(&b);
}

/* Little-endian floats that halfvec holds, too. */
static void put_floats(struct filler *f, struct buf *b, uint64_t n)
{
	for (; n > 0; n--) {
		float v = (float)random_long(f->r) / (float)0x1p49;
		buf_put(b, &v, sizeof(v));
	}
}

/* No zero byte where it becomes JSON text; a decimal within 18 digits. */
static void fill_blob(struct filler *f, const struct schema_type *t, struct buf *b)
{
	bool vector = named(f, "vec");
	uint64_t n = t->kind == SCHEMA_FIXED ? t->size : random_below(f->r, 20);
	if (vector && t->kind != SCHEMA_FIXED)
		n = strtoul(f->name + 3, NULL, 10) * 4;
	if (t->logical == LOGICAL_DECIMAL) {
		int64_t v = random_long(f->r) % INT64_C(1000000000000000000);
		size_t bytes = 8;
		while (t->kind == SCHEMA_BYTES && bytes > 1 &&
		       v >> (8 * bytes - 9) == (v < 0 ? -1 : 0) && !random_one_in(f->r, 4))
			bytes--;
		for (size_t i = bytes; i > 0; i--)
			buf_u8(b, (uint8_t)(v >> (8 * (i - 1))));
	} else if (t->logical == LOGICAL_DURATION) {
		for (int i = 0; i < 12; i++)
			buf_u8(b,
			       (uint8_t)(i % 4 == 3 ? random_below(f->r, 128) : random_bits(f->r)));
	} else if (vector) {
		put_floats(f, b, n / 4);
	} else {
		for (; n > 0; n--)
			buf_u8(b, (uint8_t)(1 + random_below(f->r, 255)));
	}
}

static void fill_items(struct filler *f, const struct schema_type *t, avro_value_t *v)
{
	uint64_t n = f->depth > 12 ? 0 : random_below(f->r, random_one_in(f->r, 8) ? 40 : 4);
	if (named(f, "vec"))
		n = strtoul(f->name + 3, NULL, 10);
	for (uint64_t i = 0; i < n; i++) {
		avro_value_t item;
		char key[24];
		snprintf(key, sizeof(key), "%s%u", i % 2 ? "key \"" : "k\xc3\xa9", (unsigned)i);
		if (t->kind == SCHEMA_MAP)
			avro_value_add(v, key, &item, NULL, NULL);
		else
			avro_value_append(v, &item, NULL);
		fill(f, t->items, &item);
	}
}

static void fill_record(struct filler *f, const struct schema_type *t, avro_value_t *v)
{
	for (size_t i = 0; i < t->nfields; i++) {
		avro_value_t field;
		avro_value_get_by_index(v, i, &field, NULL);
		if (f->depth == 1)
			f->name = t->fields[i].name;
		fill(f, t->fields[i].type, &field);
	}
}

static void fill_union(struct filler *f, const struct schema_type *t, avro_value_t *v)
{
	avro_value_t branch;
	size_t i = random_below(f->r, t->nbranches);
	for (size_t k = 0; k < t->nbranches && f->depth > 12; k++) /* lists end some time */
		if (t->branches[k]->kind == SCHEMA_NULL)
			i = k;
	avro_value_set_branch(v, (int)i, &branch);
	fill(f, t->branches[i], &branch);
}

static void fill_plain(struct filler *f, const struct schema_type *t, avro_value_t *v)
{
	struct buf b = {0};
	if (t->kind == SCHEMA_NULL)
		avro_value_set_null(v);
	else if (t->kind == SCHEMA_BOOLEAN)
		avro_value_set_boolean(v, random_one_in(f->r, 2));
	else if (t->kind == SCHEMA_INT)
		avro_value_set_int(v, (int32_t)fill_integer(f, t));
	else if (t->kind == SCHEMA_LONG)
		avro_value_set_long(v, fill_integer(f, t));
	else if (t->kind == SCHEMA_ENUM)
		avro_value_set_enum(v, (int)random_below(f->r, t->nsymbols));
	else if (t->kind == SCHEMA_STRING)
		fill_string(f, v);
	else
		fill_blob(f, t, &b);
	if (t->kind == SCHEMA_BYTES)
		avro_value_set_bytes(v, b.data ? b.data : (uint8_t *)"", b.len);
	else if (t->kind == SCHEMA_FIXED)
		avro_value_set_fixed(v, b.data, b.len);
	buf_free(&b);
}

static void fill(struct filler *f, const struct schema_type *t, avro_value_t *v)
{
	f->depth++;
	if (t->kind == SCHEMA_FLOAT)
		avro_value_set_float(v, named(f, "vec") ? (float)random_long(f->r) / (float)0x1p49
							: random_float(f->r));
	else if (t->kind == SCHEMA_DOUBLE)
		avro_value_set_double(v, named(f, "vec") ? (double)random_long(f->r) / 0x1p49
							 : random_double(f->r));
	else if (t->kind == SCHEMA_ARRAY || t->kind == SCHEMA_MAP)
		fill_items(f, t, v);
	else if (t->kind == SCHEMA_RECORD)
		fill_record(f, t, v);
	else if (t->kind == SCHEMA_UNION)
		fill_union(f, t, v);
	else
		fill_plain(f, t, v);
	f->depth--;
}

void random_fill(struct random *r, const struct schema_type *type, avro_value_t *v)
{
	struct filler f = {.r = r, .name = ""};
	avro_value_reset(v);
	fill(&f, type, v);
}

/* --- encoding --- */

static void put_long(struct buf *out, int64_t v)
{
	uint64_t z = (uint64_t)v << 1 ^ (uint64_t)(v >> 63);
	for (; z >= 0x80; z >>= 7)
		buf_u8(out, (uint8_t)(z | 0x80));
	buf_u8(out, (uint8_t)z);
}

static void put_sized(struct buf *out, const void *p, size_t n)
{
	put_long(out, (int64_t)n);
	buf_put(out, p, n);
}

static void encode_items(struct random *r, avro_value_t *v, struct buf *out, bool map)
{
	size_t n = 0;
	avro_value_get_size(v, &n);
	for (size_t i = 0; i < n;) {
		size_t count = 1 + random_below(r, n - i), end = i + count;
		struct buf items = {0};
		for (; i < end; i++) {
			avro_value_t item;
			const char *key = NULL;
			avro_value_get_by_index(v, i, &item, &key);
			if (map)
				put_sized(&items, key, strlen(key));
			random_encode(r, &item, &items);
		}
		bool sized = random_one_in(r, 2);
		put_long(out, sized ? -(int64_t)count : (int64_t)count);
		if (sized)
			put_long(out, (int64_t)items.len);
		buf_put(out, items.data, items.len);
		buf_free(&items);
	}
	put_long(out, 0);
}

static void encode_scalar(avro_value_t *v, struct buf *out)
{
	int b = 0;
	int32_t i = 0;
	int64_t l = 0;
	float f = 0;
	double d = 0;
	const void *p = NULL;
	const char *s = "";
	size_t n = 0;
	avro_type_t kind = avro_value_get_type(v);
	if (kind == AVRO_BOOLEAN && avro_value_get_boolean(v, &b) == 0)
		buf_u8(out, (uint8_t)b);
	else if (kind == AVRO_INT32 && avro_value_get_int(v, &i) == 0)
		put_long(out, i);
	else if (kind == AVRO_INT64 && avro_value_get_long(v, &l) == 0)
		put_long(out, l);
	else if (kind == AVRO_FLOAT && avro_value_get_float(v, &f) == 0)
		buf_put(out, &f, sizeof(f));
	else if (kind == AVRO_DOUBLE && avro_value_get_double(v, &d) == 0)
		buf_put(out, &d, sizeof(d));
	else if (kind == AVRO_BYTES && avro_value_get_bytes(v, &p, &n) == 0)
		put_sized(out, p, n);
	else if (kind == AVRO_FIXED && avro_value_get_fixed(v, &p, &n) == 0)
		buf_put(out, p, n);
	else if (kind == AVRO_STRING && avro_value_get_string(v, &s, &n) == 0)
		put_sized(out, s, n - 1);
	else if (kind == AVRO_ENUM && avro_value_get_enum(v, &b) == 0)
		put_long(out, b);
}

void random_encode(struct random *r, avro_value_t *v, struct buf *out)
{
	avro_value_t part;
	size_t n = 0;
	int branch = 0;
	avro_type_t kind = avro_value_get_type(v);
	if (kind == AVRO_ARRAY || kind == AVRO_MAP) {
		encode_items(r, v, out, kind == AVRO_MAP);
	} else if (kind == AVRO_UNION) {
		avro_value_get_discriminant(v, &branch);
		avro_value_get_current_branch(v, &part);
		put_long(out, branch);
		random_encode(r, &part, out);
	} else if (kind == AVRO_RECORD) {
		avro_value_get_size(v, &n);
		for (size_t i = 0; i < n; i++) {
			avro_value_get_by_index(v, i, &part, NULL);
			random_encode(r, &part, out);
		}
	} else {
		encode_scalar(v, out);
	}
}

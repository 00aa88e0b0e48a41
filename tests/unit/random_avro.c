/*
 * random_avro.c - see random_avro.h.
 *
 * A type is written into three texts at once (writer, reader, Avro-C's reader); a mask says which of them a piece goes to. What the
 * data of a field has to look like beyond its type, its name says: "json_3", "uuid_7", "small_2", "vec5_1" (5 elements).
 */
#include "random_avro.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { W = 1, R = 2, A = 4, READERS = R | A, ALL = W | R | A };
enum { MAX_DEPTH = 3, MAX_FIELDS = 6 };

struct texts {
	struct buf text[3];
};

struct maker {
	struct random *r;
	unsigned names;
};

/* ---- randomness ------------------------------------------------------------------------------------------------- */

/* splitmix64 */
uint64_t random_bits(struct random *r)
{
	uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

uint64_t random_below(struct random *r, uint64_t n)
{
	return random_bits(r) % n;
}

bool random_one_in(struct random *r, uint64_t n)
{
	return random_below(r, n) == 0;
}

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

/* ---- texts ------------------------------------------------------------------------------------------------------ */

static void PRINTF_LIKE(3, 4) say(struct texts *t, unsigned mask, const char *fmt, ...)
{
	char line[400];
	va_list args;
	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	for (unsigned i = 0; i < 3; i++)
		if (mask >> i & 1)
			buf_puts(&t->text[i], line);
}

static void join(struct texts *t, unsigned mask, const struct texts *from)
{
	for (unsigned i = 0; i < 3; i++)
		if (mask >> i & 1)
			buf_put(&t->text[i], from->text[i].data, from->text[i].len);
}

static void texts_free(struct texts *t)
{
	for (unsigned i = 0; i < 3; i++)
		buf_free(&t->text[i]);
}

static void make_type(struct maker *m, struct texts *t, int depth);

/* ---- types ------------------------------------------------------------------------------------------------------ */

/* int, long, float or double, and for the readers it or one that it is promoted to. */
static void make_number(struct maker *m, struct texts *t)
{
	static const char *const names[] = {"int", "long", "float", "double"};
	uint64_t w = random_below(m->r, 4), r = random_one_in(m->r, 2) ? w : w + random_below(m->r, 4 - w);
	say(t, W, "\"%s\"", names[w]);
	say(t, READERS, "\"%s\"", names[r]);
}

static void make_fixed(struct maker *m, struct texts *t, uint64_t size, const char *logical)
{
	say(t, ALL, "{\"type\":\"fixed\",\"name\":\"F%u\",\"size\":%u%s}", m->names++, (unsigned)size, logical);
}

static void make_enum(struct maker *m, struct texts *t)
{
	uint64_t n = 1 + random_below(m->r, 4);
	say(t, ALL, "{\"type\":\"enum\",\"name\":\"E%u\",\"symbols\":[\"S0\"", m->names++);
	for (uint64_t i = 1; i < n; i++)
		say(t, ALL, ",\"S%u\"", (unsigned)i);
	say(t, ALL, "]}");
}

static void make_scalar(struct maker *m, struct texts *t)
{
	switch (random_below(m->r, 8)) {
	case 0:
		say(t, ALL, "\"boolean\"");
		return;
	case 1:
		say(t, ALL, "\"bytes\"");
		return;
	case 2:
		say(t, ALL, "\"string\"");
		return;
	case 3:
		make_fixed(m, t, 1 + random_below(m->r, 20), "");
		return;
	case 4:
		make_enum(m, t);
		return;
	default:
		make_number(m, t);
	}
}

static void make_logical(struct maker *m, struct texts *t)
{
	static const char *const of_long[] = {
		"time-micros",          "timestamp-millis",       "timestamp-micros",
		"timestamp-nanos",      "local-timestamp-millis", "local-timestamp-micros",
		"local-timestamp-nanos"};
	char decimal[80];
	/* As a decimal in JSON is compared by way of int64 and double: at most 8 bytes. */
	snprintf(decimal, sizeof(decimal), ",\"logicalType\":\"decimal\",\"precision\":18,\"scale\":%u",
		 (unsigned)random_below(m->r, 19));
	switch (random_below(m->r, 7)) {
	case 0:
		say(t, ALL, "{\"type\":\"int\",\"logicalType\":\"%s\"}",
		    random_one_in(m->r, 2) ? "date" : "time-millis");
		return;
	case 1:
		say(t, ALL, "{\"type\":\"bytes\"%s}", decimal);
		return;
	case 2:
		make_fixed(m, t, 8, decimal);
		return;
	case 3:
		make_fixed(m, t, 16, ",\"logicalType\":\"uuid\"");
		return;
	case 4:
		make_fixed(m, t, 12, ",\"logicalType\":\"duration\"");
		return;
	default:
		say(t, ALL, "{\"type\":\"long\",\"logicalType\":\"%s\"}",
		    of_long[random_below(m->r, ARRAY_LEN(of_long))]);
	}
}

/* In some of the texts a union with null, in either order. */
static void make_nullable(struct maker *m, struct texts *t, const struct texts *inner)
{
	unsigned where = random_one_in(m->r, 3) ? READERS : ALL;
	bool first = !random_one_in(m->r, 4);
	join(t, ALL & ~where, inner);
	say(t, where, first ? "[\"null\"," : "[");
	join(t, where, inner);
	say(t, where, first ? "]" : ",\"null\"]");
}

/* A union whose branches differ in kind, with one number at most. */
static void make_union(struct maker *m, struct texts *t, int depth)
{
	bool some = random_one_in(m->r, 2);
	say(t, ALL, some ? "[\"null\",\"boolean\"" : "[\"boolean\"");
	if (random_one_in(m->r, 2)) {
		say(t, ALL, ",");
		make_number(m, t);
	}
	if (random_one_in(m->r, 2))
		say(t, ALL, ",\"string\"");
	if (random_one_in(m->r, 3))
		say(t, ALL, ",\"bytes\"");
	for (uint64_t n = random_below(m->r, 3); n > 0; n--) {
		say(t, ALL, ",");
		if (random_one_in(m->r, 2))
			make_enum(m, t);
		else
			make_fixed(m, t, 1 + random_below(m->r, 4), "");
	}
	if (random_one_in(m->r, 3)) {
		say(t, ALL, ",{\"type\":\"array\",\"items\":");
		make_type(m, t, depth + 1);
		say(t, ALL, "}");
	}
	say(t, ALL, "]");
}

/* A field of a nested record: kept, removed or added. */
static unsigned make_field(struct maker *m, struct texts *t, unsigned index, int depth)
{
	unsigned mask = index == 0 || !random_one_in(m->r, 4) ? ALL : random_one_in(m->r, 2) ? W : R;
	if (mask == R) {
		say(t, R, "{\"name\":\"f%u\",\"type\":[\"null\",\"string\"],\"default\":null}", index);
		return mask;
	}
	struct texts type = {0};
	make_type(m, &type, depth + 1);
	say(t, mask, "{\"name\":\"f%u\",\"type\":", index);
	join(t, mask, &type);
	say(t, mask, "}");
	texts_free(&type);
	return mask;
}

static void shuffle(struct random *r, unsigned *order, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		order[i] = i;
	for (unsigned i = n; i > 1; i--) {
		unsigned j = (unsigned)random_below(r, i), kept = order[i - 1];
		order[i - 1] = order[j];
		order[j] = kept;
	}
}

/* Fields into texts: the writer's in their order, the readers' in another one. */
static void join_fields(struct maker *m, struct texts *t, const struct texts *fields, const unsigned *masks, unsigned n)
{
	unsigned order[MAX_FIELDS * 4], empty = ALL;
	shuffle(m->r, order, n);
	for (unsigned i = 0; i < n; i++) {
		say(t, masks[i] & W & ~empty, ",");
		join(t, masks[i] & W, &fields[i]);
		empty &= ~(masks[i] & W);
	}
	for (unsigned i = 0; i < n; i++) {
		unsigned mask = masks[order[i]] & READERS;
		say(t, mask & ~empty, ",");
		join(t, mask, &fields[order[i]]);
		empty &= ~mask;
	}
}

static void make_record(struct maker *m, struct texts *t, int depth)
{
	struct texts fields[MAX_FIELDS + 1] = {0};
	unsigned masks[MAX_FIELDS + 1], n = 1 + (unsigned)random_below(m->r, MAX_FIELDS), name = m->names++;
	for (unsigned i = 0; i < n; i++)
		masks[i] = make_field(m, &fields[i], i, depth);
	if (random_one_in(m->r, 4)) { /* a list */
		say(&fields[n], ALL, "{\"name\":\"next\",\"type\":[\"null\",\"R%u\"]}", name);
		masks[n++] = ALL;
	}
	say(t, ALL, "{\"type\":\"record\",\"name\":\"R%u\",\"fields\":[", name);
	join_fields(m, t, fields, masks, n);
	say(t, ALL, "]}");
	for (unsigned i = 0; i < n; i++)
		texts_free(&fields[i]);
}

static void make_items(struct maker *m, struct texts *t, int depth, bool map)
{
	say(t, ALL, "{\"type\":\"%s\",\"%s\":", map ? "map" : "array", map ? "values" : "items");
	make_type(m, t, depth + 1);
	say(t, ALL, "}");
}

/* What only jsonb can hold. */
static void make_nested(struct maker *m, struct texts *t, int depth)
{
	switch (random_below(m->r, 4)) {
	case 0:
		make_record(m, t, depth);
		return;
	case 1:
		make_union(m, t, depth);
		return;
	default:
		make_items(m, t, depth, random_one_in(m->r, 2));
	}
}

static void make_type(struct maker *m, struct texts *t, int depth)
{
	uint64_t what = random_below(m->r, depth < MAX_DEPTH ? 6 : 4);
	struct texts inner = {0};
	if (what < 2)
		make_scalar(m, t);
	else if (what == 2)
		make_logical(m, t);
	else if (what > 3)
		make_nested(m, t, depth);
	else
		make_scalar(m, &inner);
	if (what == 3)
		make_nullable(m, t, &inner);
	texts_free(&inner);
}

/* ---- columns ---------------------------------------------------------------------------------------------------- */

/* Which column a field becomes: the start of its name, its annotation, its type. */
struct shape {
	char name[24], pg[40];
	struct texts type;
};

static void shape_vector(struct maker *m, struct shape *s)
{
	unsigned dim = 1 + (unsigned)random_below(m->r, 9);
	switch (random_below(m->r, 3)) {
	case 0:
		snprintf(s->pg, sizeof(s->pg), "vector(%u)", dim);
		break;
	case 1:
		snprintf(s->pg, sizeof(s->pg), "halfvec(%u)", dim);
		break;
	default:
		snprintf(s->pg, sizeof(s->pg), "real[]");
	}
	snprintf(s->name, sizeof(s->name), "vec%u", dim);
	uint64_t form = random_below(m->r, s->pg[0] == 'r' ? 3 : 4); /* no double into real */
	if (form == 0)
		say(&s->type, ALL, "\"bytes\"");
	else if (form == 1)
		make_fixed(m, &s->type, dim * 4, "");
	else
		say(&s->type, ALL, "{\"type\":\"array\",\"items\":\"%s\"}", form == 2 ? "float" : "double");
}

static void shape_array(struct maker *m, struct shape *s)
{
	struct texts item = {0};
	say(&s->type, ALL, "{\"type\":\"array\",\"items\":");
	if (random_one_in(m->r, 2))
		make_scalar(m, &item);
	else
		make_logical(m, &item);
	/* A column type for each, durations included, whose array none is derived for. */
	if (memmem(item.text[0].data, item.text[0].len, "duration", 8))
		snprintf(s->pg, sizeof(s->pg), "interval[]");
	if (random_one_in(m->r, 2))
		make_nullable(m, &s->type, &item);
	else
		join(&s->type, ALL, &item);
	say(&s->type, ALL, "}");
	texts_free(&item);
}

static void shape_special(struct maker *m, struct shape *s)
{
	static const struct {
		const char *name, *pg, *type;
	} shapes[] = {
		{"json", "jsonb", "\"string\""},  {"uuid", "uuid", "\"string\""},
		{"small", "smallint", "\"int\""}, {"small", "smallint", "\"long\""},
		{"num", "numeric", "\"long\""},   {"num", "double precision", "\"float\""},
		{"num", "jsonb", "\"double\""},   {"raw", "jsonb", "\"bytes\""},
	};
	size_t i = random_below(m->r, ARRAY_LEN(shapes));
	snprintf(s->name, sizeof(s->name), "%s", shapes[i].name);
	snprintf(s->pg, sizeof(s->pg), "%s", shapes[i].pg);
	say(&s->type, ALL, "%s", shapes[i].type);
}

static void make_shape(struct maker *m, struct shape *s)
{
	snprintf(s->name, sizeof(s->name), "c");
	switch (random_below(m->r, 7)) {
	case 0:
		make_logical(m, &s->type);
		return;
	case 1:
		shape_array(m, s);
		return;
	case 2:
		shape_vector(m, s);
		return;
	case 3:
		shape_special(m, s);
		return;
	case 4:
	case 5:
		snprintf(s->pg, sizeof(s->pg), "jsonb");
		make_nested(m, &s->type, 0);
		return;
	default:
		make_scalar(m, &s->type);
	}
}

static bool is_union(const struct texts *t)
{
	return t->text[0].data[0] == '[';
}

static unsigned make_column(struct maker *m, struct texts *t, unsigned index)
{
	struct shape s = {0};
	struct texts type = {0};
	unsigned mask = random_one_in(m->r, 8) ? W : ALL;
	make_shape(m, &s);
	if (is_union(&s.type) || random_one_in(m->r, 2))
		join(&type, ALL, &s.type);
	else
		make_nullable(m, &type, &s.type);
	say(t, mask, "{\"name\":\"%s_%u\",\"type\":", s.name, index);
	join(t, mask, &type);
	if (s.pg[0])
		say(t, mask & R, ",\"pg\":{\"type\":\"%s\"}", s.pg);
	say(t, mask, "}");
	texts_free(&type);
	texts_free(&s.type);
	if (random_one_in(m->r, 12)) { /* one more, which the writer lacks */
		if (mask & R)
			say(t, R, ",");
		say(t, R, "{\"name\":\"added_%u\",\"type\":[\"null\",\"long\"],\"default\":null}", index);
		mask |= R;
	}
	return mask;
}

/* The key, and sometimes a version and the field that says DELETE. */
static unsigned make_head(struct maker *m, struct texts *fields, unsigned *masks, struct texts *pg)
{
	static const char *const keys[] = {"\"long\"", "\"string\"",
					   "{\"type\":\"long\",\"logicalType\":\"timestamp-millis\"}"};
	unsigned n = 0;
	say(&fields[n], ALL, "{\"name\":\"k\",\"type\":%s}", keys[random_below(m->r, 3)]);
	masks[n++] = ALL;
	say(pg, R, "\"pg\":{\"table\":\"t\",\"key\":[\"k\"]");
	if (random_one_in(m->r, 2)) {
		say(&fields[n], ALL,
		    "{\"name\":\"ver\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}}");
		masks[n++] = ALL;
		say(pg, R, ",\"version\":\"ver\"");
	}
	if (random_one_in(m->r, 2)) {
		say(&fields[n], ALL,
		    "{\"name\":\"op\",\"type\":{\"type\":\"enum\",\"name\":\"Op\",\"symbols\":"
		    "[\"UPSERT\",\"DELETE\"]}");
		say(&fields[n], R, ",\"pg\":{\"column\":false}");
		say(&fields[n], ALL, "}");
		masks[n++] = ALL;
		say(pg, R, ",\"delete\":{\"field\":\"op\",\"symbol\":\"DELETE\"}");
	}
	say(pg, R, "},");
	return n;
}

void random_pair(struct random *r, struct random_pair *out)
{
	struct maker m = {.r = r};
	struct texts t = {0}, pg = {0}, fields[MAX_FIELDS * 3] = {0};
	unsigned masks[MAX_FIELDS * 3], n = make_head(&m, fields, masks, &pg);
	for (uint64_t left = 1 + random_below(r, MAX_FIELDS * 2); left > 0; left--, n++)
		masks[n] = make_column(&m, &fields[n], n);
	say(&t, ALL, "{\"type\":\"record\",\"name\":\"Event\",");
	join(&t, R, &pg);
	say(&t, ALL, "\"fields\":[");
	join_fields(&m, &t, fields, masks, n);
	say(&t, ALL, "]}");
	random_pair_free(out);
	*out = (struct random_pair){t.text[0], t.text[1], t.text[2]};
	texts_free(&pg);
	for (unsigned i = 0; i < n; i++)
		texts_free(&fields[i]);
}

void random_pair_free(struct random_pair *p)
{
	buf_free(&p->writer);
	buf_free(&p->reader);
	buf_free(&p->avro_reader);
}

/* ---- data ------------------------------------------------------------------------------------------------------- */

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
	static const int64_t low = -62135596800, high = 253402300799; /* seconds: the years 1 to 9999 */
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
	if (named(f, "small"))
		return (int16_t)random_bits(f->r);
	return t->kind == SCHEMA_INT ? (int32_t)random_bits(f->r) >> random_below(f->r, 32) : random_long(f->r);
}

static void put_char(struct random *r, struct buf *b)
{
	static const uint32_t starts[] = {0x01,  0x20,   0x22,   0x5c,   0x7f,    0x80,    0x7ff,
					  0x800, 0xd7ff, 0xe000, 0xffff, 0x10000, 0x10ffff};
	uint32_t c =
		random_one_in(r, 4) ? starts[random_below(r, ARRAY_LEN(starts))] : 'a' + (uint32_t)random_below(r, 26);
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
		"{}", "[1, 2.5e3, null]", "{\"a\": {\"b\": [\"\\u00e9\\n\"]}}", "\"x\"", "0", "true"};
	static const char *const uuids[] = {"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
					    "{A0EEBC999C0B4EF8BB6D6BB9BD380A11}"};
	struct buf b = {0};
	if (named(f, "json"))
		buf_puts(&b, json[random_below(f->r, ARRAY_LEN(json))]);
	else if (named(f, "uuid"))
		buf_puts(&b, uuids[random_below(f->r, ARRAY_LEN(uuids))]);
	else
		for (uint64_t n = random_below(f->r, random_one_in(f->r, 10) ? 300 : 12); n > 0; n--)
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
		while (t->kind == SCHEMA_BYTES && bytes > 1 && v >> (8 * bytes - 9) == (v < 0 ? -1 : 0) &&
		       !random_one_in(f->r, 4))
			bytes--;
		for (size_t i = bytes; i > 0; i--)
			buf_u8(b, (uint8_t)(v >> (8 * (i - 1))));
	} else if (t->logical == LOGICAL_DURATION) {
		for (int i = 0; i < 12; i++)
			buf_u8(b, (uint8_t)(i % 4 == 3 ? random_below(f->r, 128) : random_bits(f->r)));
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
		avro_value_set_float(v,
				     named(f, "vec") ? (float)random_long(f->r) / (float)0x1p49 : random_float(f->r));
	else if (t->kind == SCHEMA_DOUBLE)
		avro_value_set_double(v, named(f, "vec") ? (double)random_long(f->r) / 0x1p49 : random_double(f->r));
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

/* ---- encoding --------------------------------------------------------------------------------------------------- */

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

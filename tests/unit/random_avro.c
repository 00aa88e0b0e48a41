/*
 * random_avro.c - random pairs of schemas. The data for them is random_data.c's.
 *
 * A type is written into three texts at once (writer, reader, Avro-C's reader); a mask says which
 * of them a piece goes to. What the data of a field has to look like beyond its type, its name
 * says: "json_3", "uuid_7", "small_2", "vec5_1" (5 elements).
 */
#include "random_avro.h"

#include <stdarg.h>
#include <stdio.h>
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

/* --- randomness --- */

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

/* --- texts --- */

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

/* --- types --- */

/* int, long, float or double, and for the readers it or one that it is promoted to. */
static void make_number(struct maker *m, struct texts *t)
{
	static const char *const names[] = {"int", "long", "float", "double"};
	uint64_t w = random_below(m->r, 4),
		 r = random_one_in(m->r, 2) ? w : w + random_below(m->r, 4 - w);
	say(t, W, "\"%s\"", names[w]);
	say(t, READERS, "\"%s\"", names[r]);
}

static void make_fixed(struct maker *m, struct texts *t, uint64_t size, const char *logical)
{
	say(t, ALL, "{\"type\":\"fixed\",\"name\":\"F%u\",\"size\":%u%s}", m->names++,
	    (unsigned)size, logical);
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
	snprintf(decimal, sizeof(decimal),
		 ",\"logicalType\":\"decimal\",\"precision\":18,\"scale\":%u",
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
	if (random_one_in(m->r, 4)) /* a branch that the readers do not have */
		say(t, W, ",{\"type\":\"fixed\",\"name\":\"F%u\",\"size\":2}", m->names++);
	say(t, ALL, "]");
}

/* A field of a nested record: kept, removed or added. */
static unsigned make_field(struct maker *m, struct texts *t, unsigned index, int depth)
{
	unsigned mask = index == 0 || !random_one_in(m->r, 4) ? ALL
			: random_one_in(m->r, 2)              ? W
							      : R;
	if (mask == R) {
		say(t, R, "{\"name\":\"f%u\",\"type\":[\"null\",\"string\"],\"default\":null}",
		    index);
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
static void join_fields(struct maker *m, struct texts *t, const struct texts *fields,
			const unsigned *masks, unsigned n)
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
	unsigned masks[MAX_FIELDS + 1], n = 1 + (unsigned)random_below(m->r, MAX_FIELDS),
					name = m->names++;
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

/* --- columns --- */

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
	static const struct {
		const char *writer, *reader;
	} items[] = {{"float", "float"},   {"int", "float"},  {"float", "float"},
		     {"double", "double"}, {"int", "double"}, {"float", "double"},
		     {"long", "double"}};
	/* no double into real */
	size_t i = random_below(m->r, s->pg[0] == 'r' ? 3 : ARRAY_LEN(items));
	uint64_t form = random_below(m->r, 4);
	if (form == 0) {
		say(&s->type, ALL, "\"bytes\"");
		return;
	}
	if (form == 1) {
		make_fixed(m, &s->type, dim * 4, "");
		return;
	}
	say(&s->type, ALL, "{\"type\":\"array\",\"items\":\"");
	say(&s->type, W, "%s", items[i].writer);
	say(&s->type, READERS, "%s", items[i].reader);
	say(&s->type, ALL, "\"}");
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
		say(t, R, "{\"name\":\"added_%u\",\"type\":[\"null\",\"long\"],\"default\":null}",
		    index);
		mask |= R;
	}
	return mask;
}

/* The key, and sometimes a version and the field that says DELETE. */
static unsigned make_head(struct maker *m, struct texts *fields, unsigned *masks, struct texts *pg)
{
	static const char *const keys[] = {
		"\"long\"", "\"string\"",
		"{\"type\":\"long\",\"logicalType\":\"timestamp-millis\"}"};
	unsigned n = 0;
	say(&fields[n], ALL, "{\"name\":\"k\",\"type\":%s}", keys[random_below(m->r, 3)]);
	masks[n++] = ALL;
	say(pg, R, "\"pg\":{\"table\":\"t\",\"key\":[\"k\"]");
	if (random_one_in(m->r, 2)) {
		say(&fields[n], ALL,
		    "{\"name\":\"ver\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-"
		    "micros\"}}");
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

/*
 * generate_value.c - one random value of any Avro type, as real-looking as its type and the name of
 * its field allow.
 *
 * Recursive schemas end at MAX_DEPTH: collections are empty there and unions null. Text is written
 * in place and its length put in front afterwards. Poison that sits in a value (a vector, a JSON
 * text, a string) is put in here by whoever comes first.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "gen/generate_parts.h"
#include "schema/encode.h"

enum { MAX_DEPTH = 4 };

static void put_packed(struct buf *out, const float *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		encode_float(out, v[i]);
}

/* As the type has it: packed bytes, or an array of float or double. */
void generate_vector(struct generator *g, const struct field *f, const struct schema_type *t,
		     struct buf *out)
{
	float *v = fake_vector(g->fake, f->dim);
	size_t n = f->dim;
	if (generate_poison(g, POISON_DIMENSION) && t->kind != SCHEMA_FIXED)
		v[n++] = 0; /* there is room for one more */
	else if (generate_poison(g, POISON_NAN))
		v[n / 2] = NAN;
	if (t->kind == SCHEMA_BYTES) {
		encode_long(out, (int64_t)(n * sizeof(float)));
		put_packed(out, v, n);
	} else if (t->kind == SCHEMA_FIXED) {
		put_packed(out, v, n);
	} else if (t->items->kind == SCHEMA_FLOAT) {
		encode_float_array(out, v, n);
	} else {
		encode_long(out, (int64_t)n);
		for (size_t i = 0; i < n; i++)
			encode_double(out, v[i]);
		encode_long(out, 0);
	}
}

/*
 * A string of unknown length behind its length: written at the end of the value, then the length is
 * put in front.
 */
static void put_text(struct generator *g, struct buf *out,
		     void (*write)(struct generator *, struct buf *, const void *), const void *arg)
{
	size_t begin = out->len;
	write(g, out, arg);
	size_t len = out->len - begin;
	struct buf head = {.data = (uint8_t[10]){0}, .cap = 10};
	encode_long(&head, (int64_t)len);
	buf_take(out, head.len);
	memmove(out->data + begin + head.len, out->data + begin, len);
	memcpy(out->data + begin, head.data, head.len);
}

static void write_json(struct generator *g, struct buf *out, const void *arg)
{
	(void)arg;
	if (generate_poison(g, POISON_JSON))
		buf_puts(out, "{\"broken\": ");
	else
		fake_json(g->fake, out);
}

/* Fields of few different values, as people name them. */
static bool looks_like_word(const char *name)
{
	static const char *const ends[] = {"type",     "source", "status", "kind",
					   "category", "level",  "name"};
	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		if (generate_ends_with(name, ends[i]))
			return true;
	return false;
}

struct text_arg {
	const char *name;
	uint32_t max_chars;
	bool may_hold_nul;
};

/* The name says what it looks like; max_chars cuts it. */
static void write_plain(struct generator *g, struct buf *out, const void *arg)
{
	static const char *const roles[] = {"user", "assistant", "system", "tool"};
	const struct text_arg *text = arg;
	size_t begin = out->len;
	if (strcmp(text->name, "role") == 0)
		buf_puts(out, roles[fake_below(g->fake, ARRAY_LEN(roles))]);
	else if (generate_ends_with(text->name, "id"))
		buf_printf(out, "%s-%03u", text->name, (unsigned)fake_below(g->fake, 500));
	else if (looks_like_word(text->name))
		buf_puts(out, fake_word(g->fake));
	else
		fake_sentence(g->fake, out, text->max_chars);
	if (text->max_chars > 0 && out->len - begin > text->max_chars)
		out->len = begin + text->max_chars;
	if (text->may_hold_nul && generate_poison(g, POISON_NUL))
		out->data[begin] = '\0';
}

static void put_uuid(struct generator *g, const struct schema_type *t, struct buf *out)
{
	uint64_t a = fake_bits(g->fake), b = fake_bits(g->fake);
	char text[40];
	if (t->kind == SCHEMA_FIXED) {
		buf_be64(out, a);
		buf_be64(out, b);
		return;
	}
	int len = snprintf(text, sizeof(text), "%08x-%04x-4%03x-8%03x-%012llx", (unsigned)a,
			   (unsigned)(a >> 32 & 0xffff), (unsigned)(a >> 48 & 0xfff),
			   (unsigned)(b & 0xfff), (unsigned long long)(b >> 16));
	encode_bytes(out, text, (size_t)len);
}

/* Around that time, where the type is one. */
static void put_integer(struct generator *g, const struct schema_type *t, const char *name,
			struct buf *out)
{
	int64_t base = generate_base(t->logical);
	uint64_t range = generate_ends_with(name, "count") ? 10 : 1000;
	if (base > 0)
		range = (uint64_t)base / 10;
	encode_long(out, base + (int64_t)fake_below(g->fake, range));
}

/* At most nine digits, and no more than the type holds. */
static void put_decimal(struct generator *g, const struct schema_type *t, struct buf *out)
{
	uint64_t range = 1;
	for (uint32_t i = 0; i < MIN(t->precision, 9u); i++)
		range *= 10;
	if (t->kind == SCHEMA_FIXED && t->size < 4)
		range = MIN(range, (uint64_t)1 << (8 * t->size - 1));
	encode_decimal(out, t, (int64_t)fake_below(g->fake, range));
}

static void put_random_bytes(struct generator *g, size_t n, struct buf *out)
{
	for (size_t i = 0; i < n; i++)
		buf_u8(out, (uint8_t)fake_bits(g->fake));
}

static void put_value(struct generator *g, const struct schema_type *t, const struct text_arg *text,
		      int depth, struct buf *out);

/* A few; none where a recursive schema has to end. */
static void put_items(struct generator *g, const struct schema_type *t, const struct text_arg *text,
		      int depth, struct buf *out)
{
	/* words: tags and the like */
	struct text_arg item = {.name = "type", .max_chars = text->max_chars};
	size_t n = depth >= MAX_DEPTH ? 0 : 1 + fake_below(g->fake, 4);
	if (n > 0)
		encode_long(out, (int64_t)n);
	for (size_t i = 0; i < n; i++) {
		if (t->kind == SCHEMA_MAP)
			encode_bytes(out, &"abcd"[i], 1);
		put_value(g, t->items, &item, depth + 1, out);
	}
	encode_long(out, 0);
}

/*
 * Deep in a recursive schema the first branch that ends the recursion is taken: null, where there
 * is one.
 */
static void put_union(struct generator *g, const struct schema_type *t, const struct text_arg *text,
		      int depth, struct buf *out)
{
	int null = encode_branch(t, SCHEMA_NULL);
	size_t branch = fake_below(g->fake, t->nbranches);
	if (null >= 0 && depth >= MAX_DEPTH)
		branch = (size_t)null;
	encode_long(out, (int64_t)branch);
	put_value(g, t->branches[branch], text, depth + 1, out);
}

static void put_record(struct generator *g, const struct schema_type *t, int depth, struct buf *out)
{
	for (size_t i = 0; i < t->nfields; i++) {
		struct text_arg text = {.name = t->fields[i].name};
		put_value(g, t->fields[i].type, &text, depth + 1, out);
	}
}

static void put_bytes_kind(struct generator *g, const struct schema_type *t, struct buf *out)
{
	size_t n = t->kind == SCHEMA_FIXED ? t->size : 1 + fake_below(g->fake, 16);
	if (t->logical == LOGICAL_DECIMAL) {
		put_decimal(g, t, out);
	} else if (t->logical == LOGICAL_UUID) {
		put_uuid(g, t, out);
	} else if (t->logical == LOGICAL_DURATION) { /* months, days, milliseconds */
		for (int i = 0; i < 3; i++)
			encode_float(out, (float)0); /* four zero bytes: no time at all */
	} else {
		if (t->kind == SCHEMA_BYTES)
			encode_long(out, (int64_t)n);
		put_random_bytes(g, n, out);
	}
}

/* Any type; depth ends recursive schemas. */
static void put_value(struct generator *g, const struct schema_type *t, const struct text_arg *text,
		      int depth, struct buf *out)
{
	switch (t->kind) {
	case SCHEMA_NULL:
		break;
	case SCHEMA_BOOLEAN:
		encode_bool(out, fake_bits(g->fake) & 1);
		break;
	case SCHEMA_INT:
	case SCHEMA_LONG:
		put_integer(g, t, text->name, out);
		break;
	case SCHEMA_FLOAT:
		encode_float(out, (float)fake_real(g->fake));
		break;
	case SCHEMA_DOUBLE:
		encode_double(out, fake_real(g->fake));
		break;
	case SCHEMA_STRING:
		if (t->logical == LOGICAL_UUID)
			put_uuid(g, t, out);
		else
			put_text(g, out, write_plain, text);
		break;
	case SCHEMA_BYTES:
	case SCHEMA_FIXED:
		put_bytes_kind(g, t, out);
		break;
	case SCHEMA_ENUM:
		encode_long(out, (int64_t)fake_below(g->fake, t->nsymbols));
		break;
	case SCHEMA_ARRAY:
	case SCHEMA_MAP:
		put_items(g, t, text, depth, out);
		break;
	case SCHEMA_RECORD:
		put_record(g, t, depth, out);
		break;
	case SCHEMA_UNION:
		put_union(g, t, text, depth, out);
		break;
	}
}

void generate_json(struct generator *g, struct buf *out)
{
	put_text(g, out, write_json, NULL);
}

void generate_plain(struct generator *g, const struct field *f, const struct schema_type *t,
		    struct buf *out)
{
	struct text_arg text = {
		.name = f->schema->name, .max_chars = f->max_chars, .may_hold_nul = f->text};
	put_value(g, t, &text, 0, out);
}

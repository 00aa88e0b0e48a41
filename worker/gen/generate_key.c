/*
 * generate_key.c - the key columns of a generated event, from the number of its key.
 *
 *   key number 37, columns (namespace, key):                namespace-000005 | key-000037
 *   key number 37, columns (trajectory_id, step_number):    trajectory_id-000002 | 5
 *
 * One column counts (its name decides among those that can); an integer key column beside it takes
 * the last 16th, so that series come out; every other key column follows from the number as well.
 * So the values differ for different numbers. The message key holds the same values as the key
 * schema has them, so that a message without value can be decoded by its key.
 */
#include <stdio.h>
#include <string.h>

#include "gen/generate_parts.h"
#include "schema/encode.h"

enum { SPLIT = 16 };

static const struct schema_field *key_field(const struct generator *g, size_t key)
{
	return &g->table->reader->root->fields[g->table->columns[key].field];
}

static bool is_integer(const struct schema_type *t)
{
	return (t->kind == SCHEMA_INT || t->kind == SCHEMA_LONG) && t->logical == LOGICAL_NONE;
}

/* A type that can tell any two numbers apart. */
static bool can_count(const struct schema_type *t)
{
	return t->kind == SCHEMA_STRING || t->kind == SCHEMA_INT || t->kind == SCHEMA_LONG ||
	       t->kind == SCHEMA_BYTES || t->kind == SCHEMA_DOUBLE ||
	       (t->kind == SCHEMA_FIXED && t->size >= 8);
}

/* For looks: "key" counts rather than "namespace", "trajectory_id" rather than "step_number". */
static int counting_score(const struct schema_field *f)
{
	const struct schema_type *t = generate_unwrap(f->type);
	if (!can_count(t))
		return 0;
	if (generate_ends_with(f->name, "id") || generate_ends_with(f->name, "key") ||
	    generate_ends_with(f->name, "name"))
		return 3;
	return is_integer(t) ? 1 : 2;
}

/* What stands in key column k for a key index. */
static uint64_t key_number(const struct generator *g, size_t k, uint64_t index)
{
	bool split = g->splitting < g->table->nkeys;
	if (k == g->counting)
		return split ? index / SPLIT : index;
	return index % SPLIT;
}

/* A UUID of version 4 by its form; the number makes it differ. */
static void put_key_text(struct buf *out, bool uuid, const char *name, uint64_t n)
{
	char text[128];
	int len;
	if (uuid)
		len = snprintf(text, sizeof(text), "%08x-0000-4000-8000-%012llx",
			       (unsigned)(n * 2654435761u), (unsigned long long)n);
	else
		len = snprintf(text, sizeof(text), "%.80s-%06llu", name, (unsigned long long)n);
	encode_bytes(out, text, (size_t)len);
}

/* Big-endian, in the last eight bytes. */
static void put_fixed_number(struct buf *out, size_t size, uint64_t n)
{
	for (size_t i = size; i > 0; i--)
		buf_u8(out, i > 8 ? 0 : (uint8_t)(n >> (8 * (i - 1))));
}

/*
 * The key schema may be plainer than the stream's: what the number looks like is the stream's word.
 */
static void put_key_value(struct buf *out, const struct schema_type *type,
			  const struct schema_field *f, const struct column *c, uint64_t n)
{
	const struct schema_type *t = generate_unwrap(type);
	enum schema_logical logical = generate_unwrap(f->type)->logical;
	/* Nanosecond columns are stored in microseconds: steps of one would fall together. */
	bool nanos = logical == LOGICAL_TIMESTAMP_NANOS || logical == LOGICAL_LOCAL_NANOS;
	generate_branch(out, type, t);
	if (t->kind == SCHEMA_STRING)
		put_key_text(out, c->kind == PG_UUID, f->name, n);
	else if (t->kind == SCHEMA_INT || t->kind == SCHEMA_LONG)
		encode_long(out, generate_base(logical) + (int64_t)n * (nanos ? 1000 : 1));
	else if (logical == LOGICAL_DECIMAL)
		encode_decimal(out, t, (int64_t)n);
	else if (t->kind == SCHEMA_BYTES) {
		encode_long(out, 8);
		put_fixed_number(out, 8, n);
	} else if (t->kind == SCHEMA_FIXED)
		put_fixed_number(out, t->size, n);
	else if (t->kind == SCHEMA_DOUBLE)
		encode_double(out, (double)n);
	else if (t->kind == SCHEMA_FLOAT)
		encode_float(out, (float)n);
	else if (t->kind == SCHEMA_BOOLEAN)
		encode_bool(out, n & 1);
	else if (t->kind == SCHEMA_ENUM)
		encode_long(out, (int64_t)(n % t->nsymbols));
}

void generate_key_column(const struct generator *g, size_t k, const struct schema_type *type,
			 uint64_t index, struct buf *out)
{
	put_key_value(out, type, key_field(g, k), &g->table->columns[k], key_number(g, k, index));
}

/* A key schema names the column, or the field behind it. */
static size_t key_by_name(const struct generator *g, const char *name)
{
	for (size_t k = 0; k < g->table->nkeys; k++)
		if (strcmp(key_field(g, k)->name, name) == 0 ||
		    strcmp(g->table->columns[k].name, name) == 0)
			return k;
	return g->table->nkeys;
}

/* Of several that can count, the name decides which looks best. */
bool generate_choose_key(struct generator *g, struct err *err)
{
	int best = 0;
	for (size_t k = 0; k < g->table->nkeys; k++) {
		int score = counting_score(key_field(g, k));
		if (score > 0 && score >= best) {
			best = score;
			g->counting = k;
		}
	}
	if (best == 0)
		return err_set(err, ERR_CONFIG,
			       "%s: no key column has a type that events can be numbered in",
			       table_full_name(g->table));
	g->splitting = g->table->nkeys;
	for (size_t k = 0; k < g->table->nkeys; k++)
		if (k != g->counting && is_integer(generate_unwrap(key_field(g, k)->type)))
			g->splitting = k;
	for (size_t i = 0;
	     g->key_type && g->key_type->kind == SCHEMA_RECORD && i < g->key_type->nfields; i++)
		if (key_by_name(g, g->key_type->fields[i].name) == g->table->nkeys)
			return err_set(err, ERR_CONFIG,
				       "%s: field \"%s\" of the key schema is no key column",
				       table_full_name(g->table), g->key_type->fields[i].name);
	return true;
}

/* Without a key schema the number itself, as text. */
void generator_key(const struct generator *g, uint64_t key_index, struct buf *out)
{
	if (!g->key_type) {
		buf_printf(out, "%llu", (unsigned long long)key_index);
		return;
	}
	encode_frame(out, g->options.format, g->options.key_schema_id);
	if (g->key_type->kind != SCHEMA_RECORD) {
		generate_key_column(g, 0, g->key_type, key_index, out);
		return;
	}
	for (size_t i = 0; i < g->key_type->nfields; i++) {
		size_t k = key_by_name(g, g->key_type->fields[i].name);
		generate_key_column(g, k, g->key_type->fields[i].type, key_index, out);
	}
}

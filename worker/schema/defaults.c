/*
 * defaults.c - a field's default, from the JSON of the schema to Avro bytes of the field's type.
 *
 * The decoder then treats a default like a datum that somebody wrote with the reader's schema: no
 * code behind this file knows JSON defaults. Mapping: Avro 1.11 specification, "Complex Types",
 * table "field default values". For a union 1.11 asks for the first branch and 1.12 for any: we
 * take the first branch that fits.
 *
 * A default of a record may lean on the defaults of that record's own fields, so a small schema can
 * describe a huge, even endless, value: depth, values and bytes are bounded, per schema, not per
 * field.
 *
 * A default that does not fit its type is no error of the schema: many writers carry such, and only
 * readers use defaults. The field keeps the reason; who needs the default reports it.
 */
#include <jansson.h>
#include <string.h>

#include "schema/encode.h"
#include "schema/schema_parts.h"

struct encoder {
	struct default_budget *budget;
	struct buf out;
	char why[200]; /* the first thing that did not fit */
};

static bool write_value(struct encoder *e, const struct schema_type *t, const json_t *v, int depth);

/* The first reason is the one that the field keeps. Returns false. */
static bool unfit(struct encoder *e, const char *text)
{
	if (e->why[0] == '\0')
		snprintf(e->why, sizeof(e->why), "%s", text);
	return false;
}

/* What most of them say: the default is not of the field's type. Returns false. */
static bool mismatch(struct encoder *e, const struct schema_type *t)
{
	char type[80], text[160];
	snprintf(text, sizeof(text), "the default is no %s",
		 schema_describe(t, type, sizeof(type)));
	return unfit(e, text);
}

/* JSON's numbers have no width, so the range of an int is ours to check. */
static bool write_number(struct encoder *e, const struct schema_type *t, const json_t *v)
{
	if (t->kind == SCHEMA_INT || t->kind == SCHEMA_LONG) {
		int64_t n = json_integer_value(v);
		if (!json_is_integer(v) || (t->kind == SCHEMA_INT && n != (int32_t)n))
			return mismatch(e, t);
		encode_long(&e->out, n);
		return true;
	}
	if (!json_is_number(v))
		return mismatch(e, t);
	double d = json_number_value(v);
	if (t->kind == SCHEMA_FLOAT)
		encode_float(&e->out, (float)d);
	else
		encode_double(&e->out, d);
	return true;
}

/* bytes and fixed: each code point below 256 of the JSON string is one byte. */
static bool write_bytes(struct encoder *e, const struct schema_type *t, const json_t *v)
{
	if (!json_is_string(v))
		return mismatch(e, t);
	const uint8_t *p = (const uint8_t *)json_string_value(v), *end = p + json_string_length(v);
	struct buf raw = {0};
	bool ok = true;
	while (p < end && ok) {
		if (*p < 0x80) {
			buf_u8(&raw, *p++);
			/* U+0080 to U+00FF; jansson has checked that the UTF-8 is whole */
		} else if ((*p & 0xfc) == 0xc0) {
			buf_u8(&raw, (uint8_t)((*p & 0x03) << 6 | (p[1] & 0x3f)));
			p += 2;
		} else {
			ok = unfit(e, "the default has a character above U+00FF, which is no byte");
		}
	}
	if (ok && t->kind == SCHEMA_FIXED && raw.len != t->size)
		ok = mismatch(e, t);
	if (ok && t->kind == SCHEMA_BYTES)
		encode_long(&e->out, (int64_t)raw.len);
	if (ok)
		buf_put(&e->out, raw.data, raw.len);
	buf_free(&raw);
	return ok;
}

/* By the symbol's text; its index is what Avro writes. */
static bool write_enum(struct encoder *e, const struct schema_type *t, const json_t *v)
{
	for (size_t i = 0; json_is_string(v) && i < t->nsymbols; i++) {
		if (strcmp(json_string_value(v), t->symbols[i]) == 0) {
			encode_long(&e->out, (int64_t)i);
			return true;
		}
	}
	return mismatch(e, t);
}

/* One block with all items, and the end. */
static bool write_array(struct encoder *e, const struct schema_type *t, const json_t *v, int depth)
{
	if (!json_is_array(v))
		return mismatch(e, t);
	if (json_array_size(v) > 0)
		encode_long(&e->out, (int64_t)json_array_size(v));
	for (size_t i = 0; i < json_array_size(v); i++)
		if (!write_value(e, t->items, json_array_get(v, i), depth))
			return false;
	encode_long(&e->out, 0);
	return true;
}

/* One block, in the order of the JSON text. */
static bool write_map(struct encoder *e, const struct schema_type *t, const json_t *v, int depth)
{
	if (!json_is_object(v))
		return mismatch(e, t);
	if (json_object_size(v) > 0)
		encode_long(&e->out, (int64_t)json_object_size(v));
	const char *key;
	json_t *value;
	json_object_foreach ((json_t *)v, key, value) {
		encode_bytes(&e->out, key, strlen(key));
		if (!write_value(e, t->items, value, depth))
			return false;
	}
	encode_long(&e->out, 0);
	return true;
}

/* A field that the default leaves out has its own default, as the specification says. */
static bool write_record(struct encoder *e, const struct schema_type *t, const json_t *v, int depth)
{
	if (!json_is_object(v))
		return mismatch(e, t);
	for (size_t i = 0; i < t->nfields; i++) {
		const json_t *field = json_object_get(v, t->fields[i].name);
		if (!field)
			field = t->fields[i].default_json;
		if (!field)
			return unfit(e, "the default lacks a field of its record");
		if (!write_value(e, t->fields[i].type, field, depth))
			return false;
	}
	return true;
}

/* A branch that failed half way is taken back before the next is tried. */
static bool write_union(struct encoder *e, const struct schema_type *t, const json_t *v, int depth)
{
	size_t start = e->out.len;
	for (size_t i = 0; i < t->nbranches; i++) {
		encode_long(&e->out, (int64_t)i);
		if (write_value(e, t->branches[i], v, depth)) {
			e->why[0] = '\0';
			return true;
		}
		e->out.len = start;
	}
	e->why[0] = '\0';
	return mismatch(e, t);
}

/* Every value passes here, so the budget of the schema is spent here. */
static bool write_value(struct encoder *e, const struct schema_type *t, const json_t *v, int depth)
{
	if (depth >= SCHEMA_MAX_DEPTH || e->budget->values == 0 || e->out.len > e->budget->bytes)
		return unfit(e, "the default is too large or nested too deep");
	e->budget->values--;
	switch (t->kind) {
	case SCHEMA_NULL:
		return json_is_null(v) || mismatch(e, t);
	case SCHEMA_BOOLEAN:
		buf_u8(&e->out, json_is_true(v));
		return json_is_boolean(v) || mismatch(e, t);
	case SCHEMA_INT:
	case SCHEMA_LONG:
	case SCHEMA_FLOAT:
	case SCHEMA_DOUBLE:
		return write_number(e, t, v);
	case SCHEMA_BYTES:
	case SCHEMA_FIXED:
		return write_bytes(e, t, v);
	case SCHEMA_STRING:
		encode_bytes(&e->out, json_string_value(v), json_string_length(v));
		return json_is_string(v) || mismatch(e, t);
	case SCHEMA_ENUM:
		return write_enum(e, t, v);
	case SCHEMA_ARRAY:
		return write_array(e, t, v, depth + 1);
	case SCHEMA_MAP:
		return write_map(e, t, v, depth + 1);
	case SCHEMA_RECORD:
		return write_record(e, t, v, depth + 1);
	case SCHEMA_UNION:
		return write_union(e, t, v, depth + 1);
	}
	return false;
}

/* Either the datum or the reason; the budget counts what is kept. */
void default_encode(struct schema_field *field, struct default_budget *budget, struct arena *arena)
{
	struct encoder e = {.budget = budget};
	if (write_value(&e, field->type, field->default_json, 0)) {
		field->default_datum = (struct slice){
			arena_memdup(arena, e.out.data ? (void *)e.out.data : "", e.out.len),
			e.out.len};
		budget->bytes -= MIN(e.out.len, budget->bytes);
	} else {
		field->default_error = arena_strdup(arena, e.why);
	}
	buf_free(&e.out);
}

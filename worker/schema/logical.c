/*
 * logical.c - what a "logicalType" of a schema says, and whether it is valid where it stands.
 *
 *   {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2}     valid
 *   {"type": "int", "logicalType": "timestamp-millis"}                           a claim
 *   {"type": "bytes", "logicalType": "decimal", "precision": 2, "scale": "4"}    a claim
 *   {"name": "f", "type": "long", "logicalType": "timestamp-millis"}             a claim, beside
 *
 * Avro 1.11 specification, "Logical Types": one that is unknown or not valid is ignored, and the
 * type is what it is without. For writing that is fine. For reading it loses what the author meant:
 * bytes whose author said "scale 4" would be read in whatever scale the reader has. So the claim is
 * kept beside the valid logical type, as far as it can be understood, and resolution (codec/
 * resolve.c) holds the reader's against it.
 *
 * What is understood: the name, on any type; precision and scale as whole numbers, also where they
 * are written as text; an absent scale is 0, as the specification has it. What is not is
 * SCHEMA_UNCLEAR.
 *
 * Pure; a claim's text points into the schema's JSON.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "schema/schema_parts.h"

static const struct {
	const char *name;
	enum schema_logical logical;
	enum schema_kind on, or_on;
} logicals[] = {
	{"date", LOGICAL_DATE, SCHEMA_INT, SCHEMA_INT},
	{"time-millis", LOGICAL_TIME_MILLIS, SCHEMA_INT, SCHEMA_INT},
	{"time-micros", LOGICAL_TIME_MICROS, SCHEMA_LONG, SCHEMA_LONG},
	{"timestamp-millis", LOGICAL_TIMESTAMP_MILLIS, SCHEMA_LONG, SCHEMA_LONG},
	{"timestamp-micros", LOGICAL_TIMESTAMP_MICROS, SCHEMA_LONG, SCHEMA_LONG},
	{"timestamp-nanos", LOGICAL_TIMESTAMP_NANOS, SCHEMA_LONG, SCHEMA_LONG},
	{"local-timestamp-millis", LOGICAL_LOCAL_MILLIS, SCHEMA_LONG, SCHEMA_LONG},
	{"local-timestamp-micros", LOGICAL_LOCAL_MICROS, SCHEMA_LONG, SCHEMA_LONG},
	{"local-timestamp-nanos", LOGICAL_LOCAL_NANOS, SCHEMA_LONG, SCHEMA_LONG},
	{"uuid", LOGICAL_UUID, SCHEMA_STRING, SCHEMA_FIXED},
	{"decimal", LOGICAL_DECIMAL, SCHEMA_BYTES, SCHEMA_FIXED},
	{"duration", LOGICAL_DURATION, SCHEMA_FIXED, SCHEMA_FIXED},
};

/* --- the claim --- */

/* A precision that somebody has quoted is clear all the same. */
static int64_t number_in_text(const char *text)
{
	char *end;
	long long n = strtoll(text, &end, 10);
	return end != text && *end == '\0' && n >= INT32_MIN && n <= INT32_MAX ? n : SCHEMA_UNCLEAR;
}

/* A whole number, however it is written: 4, 4.0, "4". */
static int64_t whole_number(const json_t *json, int64_t absent)
{
	if (!json)
		return absent;
	if (json_is_string(json))
		return number_in_text(json_string_value(json));
	double d = json_is_number(json) ? json_number_value(json) : 0.5;
	return d == (double)(int32_t)MAX(MIN(d, 1e9), -1e9) ? (int64_t)d : SCHEMA_UNCLEAR;
}

/* As written, and as far as it can be understood; nothing is judged here. */
static struct schema_claim read_claim(const json_t *json)
{
	const json_t *name = json_object_get(json, "logicalType");
	struct schema_claim claim = {
		.text = json_string_value(name),
		.precision = whole_number(json_object_get(json, "precision"), SCHEMA_UNCLEAR),
		.scale = whole_number(json_object_get(json, "scale"), 0)};
	for (size_t i = 0; claim.text && i < ARRAY_LEN(logicals); i++)
		if (strcmp(logicals[i].name, claim.text) == 0)
			claim.logical = logicals[i].logical;
	return claim;
}

/* --- whether it is valid --- */

/* The specification's conditions, and that a fixed has room for the precision. */
static bool decimal_fits(const struct schema_type *t, const json_t *precision, const json_t *scale)
{
	int64_t p = json_integer_value(precision), s = json_integer_value(scale);
	if (!json_is_integer(precision) || (scale && !json_is_integer(scale)) || p < 1 ||
	    p > 1000000 || s < 0 || s > p)
		return false;
	/* A fixed of n bytes holds floor(log10(2^(8n-1) - 1)) digits. */
	return t->kind != SCHEMA_FIXED || t->size > 400000 ||
	       p <= (int64_t)((8.0 * t->size - 1) * 0.30102999566398120);
}

/* Which Avro type a logical type may be said of. */
static bool stands_on(enum schema_logical logical, enum schema_kind kind)
{
	for (size_t i = 0; i < ARRAY_LEN(logicals); i++)
		if (logicals[i].logical == logical)
			return logicals[i].on == kind || logicals[i].or_on == kind;
	return false;
}

/* A fixed has to have the size that its logical type needs. */
static bool is_valid(const struct schema_type *t, const json_t *json)
{
	enum schema_logical logical = t->claim.logical;
	if (!stands_on(logical, t->kind))
		return false;
	if (logical == LOGICAL_DECIMAL)
		return decimal_fits(t, json_object_get(json, "precision"),
				    json_object_get(json, "scale"));
	if (t->kind != SCHEMA_FIXED)
		return true;
	return t->size == (logical == LOGICAL_UUID ? 16 : 12);
}

/* The claim is kept in any case; the logical type only where it is valid. */
void logical_parse(struct schema_type *t, const json_t *json)
{
	t->claim = read_claim(json);
	if (!is_valid(t, json))
		return;
	t->logical = t->claim.logical;
	if (t->logical == LOGICAL_DECIMAL) {
		t->precision = (uint32_t)t->claim.precision;
		t->scale = (uint32_t)t->claim.scale;
	}
}

/* A claim in the type itself goes first: there Avro looks. */
const char *logical_beside(struct schema_type *type, const json_t *json)
{
	bool nullable;
	struct schema_type *t = (struct schema_type *)schema_unwrap(type, &nullable);
	struct schema_claim claim = read_claim(json);
	claim.beside = true;
	if (claim.text && t && t->kind <= SCHEMA_FIXED && !t->claim.text)
		t->claim = claim;
	return claim.text;
}

/* --- words --- */

/* SCHEMA_UNCLEAR is written as a question mark. */
static void put_number(int64_t n, char *buf, size_t size)
{
	if (n == SCHEMA_UNCLEAR)
		snprintf(buf, size, "?");
	else
		snprintf(buf, size, "%lld", (long long)n);
}

void logical_describe(const struct schema_type *t, char *buf, size_t size)
{
	char precision[24], scale[24], fixed[160] = "fixed";
	const char *kind = schema_kind_name(t->kind);
	const struct schema_claim *c = &t->claim;
	const char *flaw = c->beside                    ? " beside the type"
			   : t->logical != LOGICAL_NONE ? ""
			   : c->logical != LOGICAL_NONE ? ", which is not valid"
							: ", which is unknown";
	put_number(c->precision, precision, sizeof(precision));
	put_number(c->scale, scale, sizeof(scale));
	if (t->kind == SCHEMA_FIXED) {
		snprintf(fixed, sizeof(fixed), "fixed %.100s of %u bytes", t->full_name, t->size);
		kind = fixed;
	}
	if (c->logical == LOGICAL_DECIMAL)
		snprintf(buf, size, "%s (decimal %s,%s%s)", kind, precision, scale, flaw);
	else
		snprintf(buf, size, "%s (%.40s%s)", kind, c->text, flaw);
}

/* --- what Avro ignores --- */

struct tour {
	struct buf *out;
	bool *seen; /* by id of the named type */
	char path[512];
};

static void visit(struct tour *t, const struct schema_type *type);

static void report(struct tour *t, const struct schema_type *type)
{
	char text[200];
	schema_describe(type, text, sizeof(text));
	buf_printf(t->out, "field '%s': type %s: Avro ignores this logical type\n", t->path, text);
}

/* A claim beside the type gets a line of its own, for it wants another mend. */
static void visit_field(struct tour *t, const struct schema_field *f)
{
	size_t before = strlen(t->path);
	snprintf(t->path + before, sizeof(t->path) - before, "%s%s", before > 0 ? "." : "",
		 f->name);
	if (f->beside)
		buf_printf(
			t->out,
			"field '%s': \"logicalType\": \"%.40s\" stands beside the type, where "
			"Avro ignores it: write {\"type\": {\"type\": .., \"logicalType\": ..}}\n",
			t->path, f->beside);
	else
		visit(t, f->type);
	t->path[before] = '\0';
}

/* A named type is visited once, as it may hold itself. */
static void visit(struct tour *t, const struct schema_type *type)
{
	if (type->claim.text && type->logical == LOGICAL_NONE)
		report(t, type);
	if (type->full_name) {
		if (t->seen[type->id])
			return;
		t->seen[type->id] = true;
	}
	for (size_t i = 0; i < type->nfields; i++)
		visit_field(t, &type->fields[i]);
	for (size_t i = 0; i < type->nbranches; i++)
		visit(t, type->branches[i]);
	if (type->items)
		visit(t, type->items);
}

void logical_flaws(const struct schema *s, struct buf *out)
{
	struct tour t = {.out = out, .seen = xcalloc(s->ntypes + 1, sizeof(*t.seen))};
	visit(&t, s->root);
	free(t.seen);
}

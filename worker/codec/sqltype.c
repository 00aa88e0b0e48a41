/*
 * sqltype.c - one table of SQL types, and the two questions asked of it: what does Avro type T
 * become, and may T go into SQL type S.
 *
 * A type that is not in the table (an extension's, a domain, an enum of the user's) cannot be
 * staged as itself: its binary form is unknown. The annotation "via" names a type of the table
 * instead, and the merge casts.
 *
 * What may be a key: types for which "equal" and "same bytes" are one thing, because events of a
 * key are folded by their bytes before PostgreSQL sees them. So neither floats (-0 = 0), citext (a
 * = A), char(n) (trailing blanks), interval (1 month = 30 days) nor jsonb.
 *
 * Pure, no state.
 */
#include "codec/sqltype.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/pgbin.h"

/*
 * Arrays: those whose element pgbin_oid() knows; the others (an extension's) have no object id that
 * is fixed.
 */
static const struct {
	const char *name;
	enum pg_kind kind;
	uint8_t max_args;
	bool key;
} types[] = {
	{"boolean", PG_BOOL, 0, true},
	{"bool", PG_BOOL, 0, true},
	{"smallint", PG_INT2, 0, true},
	{"int2", PG_INT2, 0, true},
	{"integer", PG_INT4, 0, true},
	{"int", PG_INT4, 0, true},
	{"int4", PG_INT4, 0, true},
	{"bigint", PG_INT8, 0, true},
	{"int8", PG_INT8, 0, true},
	{"real", PG_FLOAT4, 0, false},
	{"float4", PG_FLOAT4, 0, false},
	{"double precision", PG_FLOAT8, 0, false},
	{"float8", PG_FLOAT8, 0, false},
	{"text", PG_TEXT, 0, true},
	{"varchar", PG_TEXT, 1, true},
	{"character varying", PG_TEXT, 1, true},
	{"char", PG_TEXT, 1, false},
	{"character", PG_TEXT, 1, false},
	{"citext", PG_TEXT, 0, false},
	{"bytea", PG_BYTEA, 0, true},
	{"jsonb", PG_JSONB, 0, false},
	{"uuid", PG_UUID, 0, true},
	{"date", PG_DATE, 0, true},
	{"time", PG_TIME, 0, true},
	{"time without time zone", PG_TIME, 0, true},
	{"timestamp", PG_TIMESTAMP, 0, true},
	{"timestamp without time zone", PG_TIMESTAMP, 0, true},
	{"timestamptz", PG_TIMESTAMP, 0, true},
	{"timestamp with time zone", PG_TIMESTAMP, 0, true},
	{"interval", PG_INTERVAL, 0, false},
	{"numeric", PG_NUMERIC, 2, true},
	{"decimal", PG_NUMERIC, 2, true},
	{"vector", PG_VECTOR, 1, false},
	{"halfvec", PG_HALFVEC, 1, false},
};

/* "(10, 2)" into numbers; false if that is not what it is. */
static bool parse_args(const char *s, const char *end, size_t max, uint32_t arg[2])
{
	size_t n = 0;
	if (s == end)
		return true;
	for (const char *p = s; p < end && n < max; n++) {
		char *after;
		p++; /* the bracket or the comma */
		unsigned long v = strtoul(p, &after, 10);
		if (after == p || v > 100000000)
			return false;
		arg[n] = (uint32_t)v;
		p = after;
		if (*p == ')')
			return p + 1 == end;
		if (*p != ',')
			return false;
	}
	return false;
}

/* len is without "[]". */
static bool parse_scalar(const char *text, size_t len, struct sqltype *out)
{
	const char *bracket = memchr(text, '(', len), *end = text + len;
	size_t name_len = bracket ? (size_t)(bracket - text) : len;
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		if (strlen(types[i].name) != name_len ||
		    strncmp(types[i].name, text, name_len) != 0)
			continue;
		out->kind = types[i].kind;
		out->key = types[i].key;
		return parse_args(text + name_len, end, types[i].max_args, out->arg);
	}
	return false;
}

static bool args_in_range(const struct sqltype *t)
{
	if (t->kind == PG_VECTOR || t->kind == PG_HALFVEC)
		return t->arg[0] <= 16000;
	return t->kind != PG_NUMERIC || (t->arg[0] <= 1000 && t->arg[1] <= 1000);
}

/* An array's arguments are those of its elements. */
bool sqltype_parse(const char *text, struct sqltype *out)
{
	*out = (struct sqltype){0};
	size_t len = strlen(text);
	bool array = len > 2 && strcmp(text + len - 2, "[]") == 0;
	if (!parse_scalar(text, array ? len - 2 : len, out) || !args_in_range(out))
		return false;
	if (!array)
		return true;
	out->element = out->kind;
	out->element_oid = pgbin_oid(text);
	out->kind = PG_ARRAY;
	out->key = false;
	return out->element_oid != OID_NONE;
}

/* --- Avro into SQL --- */

static bool is_integer_kind(enum pg_kind k)
{
	return k == PG_INT2 || k == PG_INT4 || k == PG_INT8;
}

static bool is_float_kind(enum pg_kind k)
{
	return k == PG_FLOAT4 || k == PG_FLOAT8;
}

/* By logical type; a plain number may go into any number, as each value is checked. */
static bool number_fits(const struct sqltype *st, const struct schema_type *t)
{
	switch (t->logical) {
	case LOGICAL_DATE:
		return st->kind == PG_DATE || is_integer_kind(st->kind);
	case LOGICAL_TIME_MILLIS:
	case LOGICAL_TIME_MICROS:
		return st->kind == PG_TIME || is_integer_kind(st->kind);
	case LOGICAL_TIMESTAMP_MILLIS:
	case LOGICAL_TIMESTAMP_MICROS:
	case LOGICAL_TIMESTAMP_NANOS:
	case LOGICAL_LOCAL_MILLIS:
	case LOGICAL_LOCAL_MICROS:
	case LOGICAL_LOCAL_NANOS:
		return st->kind == PG_TIMESTAMP || is_integer_kind(st->kind);
	case LOGICAL_NONE:
	case LOGICAL_UUID:
	case LOGICAL_DECIMAL:
	case LOGICAL_DURATION:
		break;
	}
	return is_integer_kind(st->kind) || is_float_kind(st->kind) || st->kind == PG_NUMERIC;
}

/* Bytes may be a vector: its length is then a matter of each event. */
static bool bytes_fit(const struct sqltype *st, const struct schema_type *t)
{
	if (st->kind == PG_NUMERIC)
		return t->logical == LOGICAL_DECIMAL;
	if (st->kind == PG_INTERVAL)
		return t->logical == LOGICAL_DURATION;
	if (st->kind == PG_UUID)
		return t->kind == SCHEMA_FIXED && t->size == 16;
	if (st->kind == PG_VECTOR || st->kind == PG_HALFVEC)
		return t->logical == LOGICAL_NONE &&
		       (t->kind == SCHEMA_BYTES || st->arg[0] == 0 || t->size == st->arg[0] * 4);
	return st->kind == PG_BYTEA ||
	       (st->kind == PG_ARRAY && st->element == PG_FLOAT4 && t->logical == LOGICAL_NONE);
}

/* A vector holds no nulls; elements of an array are no arrays. */
static bool items_fit(const struct sqltype *st, const struct schema_type *t)
{
	bool nullable;
	const struct schema_type *item = schema_unwrap(t->items, &nullable);
	if (st->kind == PG_VECTOR || st->kind == PG_HALFVEC)
		return !nullable &&
		       (t->items->kind == SCHEMA_FLOAT || t->items->kind == SCHEMA_DOUBLE);
	struct sqltype element = {.kind = st->element, .arg = {st->arg[0], st->arg[1]}};
	return st->kind == PG_ARRAY && item && item->kind != SCHEMA_ARRAY &&
	       sqltype_stores(&element, item);
}

/* Everything has a JSON form, so jsonb takes all but null alone. */
bool sqltype_stores(const struct sqltype *st, const struct schema_type *t)
{
	if (st->kind == PG_JSONB)
		return t->kind != SCHEMA_NULL;
	switch (t->kind) {
	case SCHEMA_BOOLEAN:
		return st->kind == PG_BOOL;
	case SCHEMA_INT:
	case SCHEMA_LONG:
		return number_fits(st, t);
	case SCHEMA_FLOAT:
	case SCHEMA_DOUBLE:
		return is_float_kind(st->kind);
	case SCHEMA_BYTES:
	case SCHEMA_FIXED:
		return bytes_fit(st, t);
	case SCHEMA_STRING:
		return st->kind == PG_TEXT || st->kind == PG_UUID;
	case SCHEMA_ENUM:
		return st->kind == PG_TEXT;
	case SCHEMA_ARRAY:
		return items_fit(st, t);
	case SCHEMA_NULL:
	case SCHEMA_MAP:
	case SCHEMA_RECORD:
	case SCHEMA_UNION:
		return false;
	}
	return false;
}

static const char *logical_type(enum schema_logical logical)
{
	static const char *const names[] = {
		[LOGICAL_NONE] = NULL,
		[LOGICAL_DATE] = "date",
		[LOGICAL_TIME_MILLIS] = "time",
		[LOGICAL_TIME_MICROS] = "time",
		[LOGICAL_TIMESTAMP_MILLIS] = "timestamptz",
		[LOGICAL_TIMESTAMP_MICROS] = "timestamptz",
		[LOGICAL_TIMESTAMP_NANOS] = "timestamptz",
		[LOGICAL_LOCAL_MILLIS] = "timestamp",
		[LOGICAL_LOCAL_MICROS] = "timestamp",
		[LOGICAL_LOCAL_NANOS] = "timestamp",
		[LOGICAL_UUID] = "uuid",
		[LOGICAL_DECIMAL] = "numeric",
		[LOGICAL_DURATION] = "interval",
	};
	return names[logical];
}

static const char *plain_type(enum schema_kind kind)
{
	static const char *const names[] = {
		[SCHEMA_NULL] = NULL,      [SCHEMA_BOOLEAN] = "boolean",
		[SCHEMA_INT] = "integer",  [SCHEMA_LONG] = "bigint",
		[SCHEMA_FLOAT] = "real",   [SCHEMA_DOUBLE] = "double precision",
		[SCHEMA_BYTES] = "bytea",  [SCHEMA_STRING] = "text",
		[SCHEMA_FIXED] = "bytea",  [SCHEMA_ENUM] = "text",
		[SCHEMA_ARRAY] = "jsonb",  [SCHEMA_MAP] = "jsonb",
		[SCHEMA_RECORD] = "jsonb", [SCHEMA_UNION] = NULL,
	};
	return names[kind];
}

/* Of what has no element type, none; of records and maps one jsonb. */
static bool derive_array(const struct schema_type *t, char *buf, size_t size)
{
	bool nullable;
	const struct schema_type *item = schema_unwrap(t->items, &nullable);
	if (!item || item->kind == SCHEMA_ARRAY || item->logical == LOGICAL_DURATION ||
	    !sqltype_derive(item, buf, size))
		return false;
	if (strcmp(buf, "jsonb") == 0)
		return true; /* an array of maps or records is one JSON array */
	size_t n = strlen(buf);
	return snprintf(buf + n, size - n, "[]") < (int)(size - n);
}

/* numeric has at most 1000 digits of precision; a longer decimal has no type. */
bool sqltype_derive(const struct schema_type *t, char *buf, size_t size)
{
	if (t->kind == SCHEMA_ARRAY)
		return derive_array(t, buf, size);
	if (t->logical == LOGICAL_DECIMAL && t->precision <= 1000)
		return snprintf(buf, size, "numeric(%u,%u)", t->precision, t->scale) < (int)size;
	const char *name =
		t->logical != LOGICAL_NONE ? logical_type(t->logical) : plain_type(t->kind);
	return name && snprintf(buf, size, "%s", name) < (int)size;
}

/*
 * jsondatum.c - a JSON value as Avro bytes, by a schema: for "produce --file".
 *
 * People write JSON lines by hand, other programs write Avro's JSON encoding (which is also what
 * io/avrofile.c hands out), so both are taken:
 *
 *   union             the plain value, or {"string": "x"} as in Avro's encoding; null for null
 *   field left out    its default; an error where there is none
 *   string            a string; an object or array is taken as its JSON text (columns of jsonb)
 *   timestamp, date   a number in the type's unit, or "2026-01-31T12:30:00.125Z", "2026-01-31"
 *   decimal           a number
 *   float, double     a number, or "NaN", "Infinity", "-Infinity"
 *   bytes, fixed      a string of code points 0 to 255 (Avro's encoding), or an array of numbers:
 *                     packed little-endian floats
 *
 * A field that the schema does not know is an error: it is a typing mistake more often than not.
 *
 * Pure. Failure: class POISON; the text leads to the value.
 */
#include "cli/jsondatum.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "schema/encode.h"

enum { MAX_DEPTH = 64 };

struct encoder {
	struct buf *out;
	struct err *err;
	int depth;
	bool some; /* the outermost record may have more fields */
};

static bool put(struct encoder *e, const struct schema_type *t, const json_t *v);

static const char *json_kind(const json_t *v)
{
	switch (json_typeof(v)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "an array";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
	case JSON_REAL:
		return "a number";
	case JSON_TRUE:
	case JSON_FALSE:
		return "a boolean";
	case JSON_NULL:
		return "null";
	}
	return "nothing";
}

static bool wants(struct encoder *e, const struct schema_type *t, const json_t *v)
{
	char type[160];
	return err_set(e->err, ERR_POISON, "wants %s, found %s",
		       schema_describe(t, type, sizeof(type)), json_kind(v));
}

/* ---- numbers ---- */

static int64_t units_per_s(enum schema_logical logical)
{
	switch (logical) {
	case LOGICAL_TIMESTAMP_MILLIS:
	case LOGICAL_LOCAL_MILLIS:
		return 1000;
	case LOGICAL_TIMESTAMP_MICROS:
	case LOGICAL_LOCAL_MICROS:
		return US_PER_S;
	case LOGICAL_TIMESTAMP_NANOS:
	case LOGICAL_LOCAL_NANOS:
		return 1000 * US_PER_S;
	case LOGICAL_NONE:
	case LOGICAL_DATE:
	case LOGICAL_TIME_MILLIS:
	case LOGICAL_TIME_MICROS:
	case LOGICAL_UUID:
	case LOGICAL_DECIMAL:
	case LOGICAL_DURATION:
		return 0;
	}
	return 0;
}

/* ".125" in units; moves p past all digits. */
static int64_t fraction(const char **p, int64_t units)
{
	int64_t value = 0;
	if (**p != '.')
		return 0;
	for ((*p)++; **p >= '0' && **p <= '9'; (*p)++) {
		units /= 10;
		value += units * (**p - '0');
	}
	return value;
}

/* "Z", "+01:00", or nothing, which means UTC. */
static bool zone(const char *p, int64_t *seconds)
{
	int hours, minutes, used = 0;
	char sign;
	*seconds = 0;
	if (*p == '\0' || strcmp(p, "Z") == 0)
		return true;
	if (sscanf(p, "%c%2d:%2d%n", &sign, &hours, &minutes, &used) != 3 || p[used] ||
	    (sign != '+' && sign != '-'))
		return false;
	*seconds = (int64_t)(hours * 60 + minutes) * (sign == '+' ? 60 : -60);
	return true;
}

static bool parse_time(const char *text, enum schema_logical logical, int64_t *value)
{
	struct tm tm = {0};
	int64_t offset_s, units = units_per_s(logical);
	const char *p = strptime(text, "%Y-%m-%d", &tm);
	if (!p)
		return false;
	if (logical == LOGICAL_DATE) {
		*value = timegm(&tm) / 86400;
		return *p == '\0';
	}
	if (units == 0 || (*p != 'T' && *p != ' '))
		return false;
	p = strptime(p + 1, "%H:%M:%S", &tm);
	if (!p)
		return false;
	int64_t rest = fraction(&p, units);
	if (!zone(p, &offset_s))
		return false;
	*value = (timegm(&tm) - offset_s) * units + rest;
	return true;
}

static bool put_integer(struct encoder *e, const struct schema_type *t, const json_t *v)
{
	int64_t value;
	if (json_is_integer(v))
		value = json_integer_value(v);
	else if (!json_is_string(v) || !parse_time(json_string_value(v), t->logical, &value))
		return wants(e, t, v);
	if (t->kind == SCHEMA_INT && (value < INT32_MIN || value > INT32_MAX))
		return err_set(e->err, ERR_POISON, "%lld is out of range for an int",
			       (long long)value);
	encode_long(e->out, value);
	return true;
}

static bool put_real(struct encoder *e, const struct schema_type *t, const json_t *v)
{
	double value;
	const char *text = json_string_value(v);
	if (json_is_number(v))
		value = json_number_value(v);
	else if (text && strcmp(text, "NaN") == 0)
		value = NAN;
	else if (text && (strcmp(text, "Infinity") == 0 || strcmp(text, "-Infinity") == 0))
		value = *text == '-' ? -INFINITY : INFINITY;
	else
		return wants(e, t, v);
	if (t->kind == SCHEMA_FLOAT)
		encode_float(e->out, (float)value);
	else
		encode_double(e->out, value);
	return true;
}

static bool put_decimal(struct encoder *e, const struct schema_type *t, const json_t *v)
{
	double value = json_number_value(v) * pow(10, t->scale);
	/* Beyond this a double is not exact, and a fixed of this size cannot hold it. */
	double limit = t->kind == SCHEMA_FIXED && t->size < 7 ? pow(2, 8.0 * t->size - 1) : 0x1p53;
	if (fabs(value) >= limit)
		return err_set(e->err, ERR_POISON,
			       "this decimal has too many digits; write it as bytes");
	encode_decimal(e->out, t, llround(value));
	return true;
}

/* ---- strings and bytes ---- */

static bool put_text(struct encoder *e, const struct schema_type *t, const json_t *v)
{
	if (json_is_string(v)) {
		encode_bytes(e->out, json_string_value(v), json_string_length(v));
		return true;
	}
	if (!json_is_object(v) && !json_is_array(v))
		return wants(e, t, v);
	char *text = json_dumps(v, JSON_COMPACT);
	encode_bytes(e->out, text, strlen(text));
	free(text);
	return true;
}

/* UTF-8 of code points 0 to 255 back into bytes: two-byte sequences begin with C2 or C3. */
static bool latin1(const json_t *v, struct buf *bytes)
{
	const uint8_t *p = (const uint8_t *)json_string_value(v), *end = p + json_string_length(v);
	for (; p < end; p++) {
		if (*p < 0x80)
			buf_u8(bytes, *p);
		else if ((*p == 0xc2 || *p == 0xc3) && p + 1 < end) {
			buf_u8(bytes, (uint8_t)((*p & 3) << 6 | (p[1] & 0x3f)));
			p++;
		} else
			return false;
	}
	return true;
}

static bool packed_floats(const json_t *v, struct buf *bytes)
{
	size_t i;
	json_t *item;
	json_array_foreach(v, i, item)
	{
		if (!json_is_number(item))
			return false;
		encode_float(bytes, (float)json_number_value(item));
	}
	return true;
}

static bool put_bytes(struct encoder *e, const struct schema_type *t, const json_t *v)
{
	struct buf bytes = {0};
	bool ok = true;
	if (t->logical == LOGICAL_DECIMAL && json_is_number(v))
		return put_decimal(e, t, v);
	if (json_is_string(v) ? !latin1(v, &bytes) : !json_is_array(v) || !packed_floats(v, &bytes))
		ok = wants(e, t, v);
	else if (t->kind == SCHEMA_FIXED && bytes.len != t->size)
		ok = err_set(e->err, ERR_POISON, "wants %u bytes, found %zu", t->size, bytes.len);
	else if (t->kind == SCHEMA_FIXED)
		buf_put(e->out, bytes.data, bytes.len);
	else
		encode_bytes(e->out, bytes.data, bytes.len);
	buf_free(&bytes);
	return ok;
}

static bool put_symbol(struct encoder *e, const struct schema_type *t, const json_t *v)
{
	if (!json_is_string(v))
		return wants(e, t, v);
	for (size_t i = 0; i < t->nsymbols; i++) {
		if (strcmp(t->symbols[i], json_string_value(v)) == 0) {
			encode_long(e->out, (int64_t)i);
			return true;
		}
	}
	return err_set(e->err, ERR_POISON, "\"%.80s\" is no symbol of enum %s",
		       json_string_value(v), t->name);
}

/* ---- nesting ---- */

static bool put_array(struct encoder *e, const struct schema_type *t, const json_t *v)
{
	if (!json_is_array(v))
		return wants(e, t, v);
	if (json_array_size(v) > 0)
		encode_long(e->out, (int64_t)json_array_size(v));
	for (size_t i = 0; i < json_array_size(v); i++)
		if (!put(e, t->items, json_array_get(v, i)))
			return err_wrap(e->err, "item %zu", i + 1);
	encode_long(e->out, 0);
	return true;
}

static bool put_map(struct encoder *e, const struct schema_type *t, const json_t *v)
{
	if (!json_is_object(v))
		return wants(e, t, v);
	if (json_object_size(v) > 0)
		encode_long(e->out, (int64_t)json_object_size(v));
	for (void *it = json_object_iter((json_t *)v); it;
	     it = json_object_iter_next((json_t *)v, it)) {
		const char *key = json_object_iter_key(it);
		encode_bytes(e->out, key, strlen(key));
		if (!put(e, t->items, json_object_iter_value(it)))
			return err_wrap(e->err, "key \"%.60s\"", key);
	}
	encode_long(e->out, 0);
	return true;
}

static bool known_fields(struct encoder *e, const struct schema_type *t, const json_t *v)
{
	for (void *it = json_object_iter((json_t *)v); it;
	     it = json_object_iter_next((json_t *)v, it)) {
		size_t i = 0;
		while (i < t->nfields && strcmp(t->fields[i].name, json_object_iter_key(it)) != 0)
			i++;
		if (i == t->nfields)
			return err_set(e->err, ERR_POISON, "record %s has no field '%.80s'",
				       t->name, json_object_iter_key(it));
	}
	return true;
}

static bool put_field(struct encoder *e, const struct schema_field *f, const json_t *v)
{
	if (v)
		return put(e, f->type, v);
	if (!f->default_json)
		return err_set(e->err, ERR_POISON, "is missing and has no default");
	if (f->default_error)
		return err_set(e->err, ERR_POISON, "is missing, and its default is wrong: %s",
			       f->default_error);
	buf_put(e->out, f->default_datum.data, f->default_datum.len);
	return true;
}

static bool put_record(struct encoder *e, const struct schema_type *t, const json_t *v)
{
	bool some = e->some;
	e->some = false;
	if (!json_is_object(v))
		return wants(e, t, v);
	if (!some && !known_fields(e, t, v))
		return false;
	for (size_t i = 0; i < t->nfields; i++)
		if (!put_field(e, &t->fields[i], json_object_get(v, t->fields[i].name)))
			return err_wrap(e->err, "field '%s'", t->fields[i].name);
	return true;
}

static bool is_named(const struct schema_type *t, const char *name)
{
	return strcmp(schema_kind_name(t->kind), name) == 0 ||
	       (t->name && strcmp(t->name, name) == 0) ||
	       (t->full_name && strcmp(t->full_name, name) == 0);
}

/* A plain union value is of the first branch that takes it; {"branch": value} names its branch. */
static bool put_union(struct encoder *e, const struct schema_type *t, const json_t *v)
{
	size_t begin = e->out->len;
	void *it = json_is_object(v) && json_object_size(v) == 1 ? json_object_iter((json_t *)v)
								 : NULL;
	for (size_t i = 0; i < t->nbranches; i++) {
		const json_t *inner = it && is_named(t->branches[i], json_object_iter_key(it))
					      ? json_object_iter_value(it)
					      : NULL;
		encode_long(e->out, (int64_t)i);
		if (inner && put(e, t->branches[i], inner))
			return true;
		e->out->len = begin;
	}
	for (size_t i = 0; i < t->nbranches; i++) {
		if (json_is_null(v) != (t->branches[i]->kind == SCHEMA_NULL))
			continue;
		encode_long(e->out, (int64_t)i);
		if (put(e, t->branches[i], v))
			return true;
		e->out->len = begin;
	}
	/* The error of the last branch tried says more than "none of these". */
	return e->err->class != ERR_NONE ? false : wants(e, t, v);
}

static bool put_nested(struct encoder *e, const struct schema_type *t, const json_t *v)
{
	bool ok = false;
	if (e->depth >= MAX_DEPTH)
		return err_set(e->err, ERR_POISON, "nested deeper than %d", MAX_DEPTH);
	e->depth++;
	if (t->kind == SCHEMA_ARRAY)
		ok = put_array(e, t, v);
	else if (t->kind == SCHEMA_MAP)
		ok = put_map(e, t, v);
	else if (t->kind == SCHEMA_RECORD)
		ok = put_record(e, t, v);
	else if (t->kind == SCHEMA_UNION)
		ok = put_union(e, t, v);
	e->depth--;
	return ok;
}

static bool put(struct encoder *e, const struct schema_type *t, const json_t *v)
{
	switch (t->kind) {
	case SCHEMA_NULL:
		return json_is_null(v) || wants(e, t, v);
	case SCHEMA_BOOLEAN:
		if (!json_is_boolean(v))
			return wants(e, t, v);
		encode_bool(e->out, json_is_true(v));
		return true;
	case SCHEMA_INT:
	case SCHEMA_LONG:
		return put_integer(e, t, v);
	case SCHEMA_FLOAT:
	case SCHEMA_DOUBLE:
		return put_real(e, t, v);
	case SCHEMA_STRING:
		return put_text(e, t, v);
	case SCHEMA_BYTES:
	case SCHEMA_FIXED:
		return put_bytes(e, t, v);
	case SCHEMA_ENUM:
		return put_symbol(e, t, v);
	case SCHEMA_ARRAY:
	case SCHEMA_MAP:
	case SCHEMA_RECORD:
	case SCHEMA_UNION:
		return put_nested(e, t, v);
	}
	return false;
}

static bool encode(const struct schema_type *t, const json_t *value, struct buf *out, bool some,
		   struct err *err)
{
	struct encoder e = {.out = out, .err = err, .some = some};
	size_t begin = out->len;
	err_clear(err);
	if (put(&e, t, value)) {
		err_clear(err); /* of branches that were tried in vain */
		return true;
	}
	out->len = begin;
	return false;
}

bool jsondatum_encode(const struct schema_type *t, const json_t *value, struct buf *out,
		      struct err *err)
{
	return encode(t, value, out, false, err);
}

bool jsondatum_encode_some(const struct schema_type *t, const json_t *value, struct buf *out,
			   struct err *err)
{
	return encode(t, value, out, true, err);
}

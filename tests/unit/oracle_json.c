/*
 * oracle_json.c - the part of oracle.c that compares JSON: jansson's reading of a jsonb with
 * Avro-C's value.
 *
 * Maps by key, records by field, times by gmtime_r. A key that stands twice in a map's datum is one
 * member here as there.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "oracle_parts.h"

static bool check_json_string(struct oracle *o, const json_t *j, const char *want, size_t len)
{
	if (!json_is_string(j) || json_string_length(j) != len ||
	    memcmp(json_string_value(j), want, len) != 0)
		return oracle_differs(o, "JSON \"%.80s\", want \"%.*s\"",
				      json_string_value(j) ? json_string_value(j) : "(none)",
				      (int)MIN(len, (size_t)80), want);
	return true;
}

/* Avro's JSON encoding of bytes: a code point each. */
static bool check_json_bytes(struct oracle *o, const json_t *j, struct slice s)
{
	struct buf want = {0};
	for (size_t i = 0; i < s.len; i++) {
		if (s.data[i] >= 0x80)
			buf_u8(&want, (uint8_t)(0xc0 | s.data[i] >> 6));
		buf_u8(&want, s.data[i] >= 0x80 ? (uint8_t)(0x80 | (s.data[i] & 0x3f)) : s.data[i]);
	}
	bool same = check_json_string(o, j, buf_cstr(&want), want.len);
	buf_free(&want);
	return same;
}

static bool check_json_time(struct oracle *o, const struct schema_type *t, int64_t v,
			    const json_t *j)
{
	char want[80], clock[40] = "";
	int64_t units = oracle_per_second(t->logical), seconds = oracle_floor_div(v, units),
		rest = v - seconds * units;
	bool is_time = t->logical == LOGICAL_TIME_MILLIS || t->logical == LOGICAL_TIME_MICROS;
	bool local = t->logical >= LOGICAL_LOCAL_MILLIS && t->logical <= LOGICAL_LOCAL_NANOS;
	if (t->logical == LOGICAL_DATE)
		seconds = v * 86400;
	else
		snprintf(clock, sizeof(clock), "%02d:%02d:%02d.%0*" PRId64, (int)(seconds / 3600),
			 (int)(seconds / 60 % 60), (int)(seconds % 60),
			 units == 1000      ? 3
			 : units == 1000000 ? 6
					    : 9,
			 rest);
	if (is_time)
		return check_json_string(o, j, clock, strlen(clock));
	time_t when = (time_t)seconds;
	struct tm tm;
	if (!gmtime_r(&when, &tm) || tm.tm_year + 1900 < 1 || tm.tm_year + 1900 > 9999)
		return true;
	int n = snprintf(want, sizeof(want), "%04d-%02d-%02d", tm.tm_year + 1900, tm.tm_mon + 1,
			 tm.tm_mday);
	if (t->logical != LOGICAL_DATE)
		snprintf(want + n, sizeof(want) - (size_t)n, "T%02d:%02d:%02d%s%s", tm.tm_hour,
			 tm.tm_min, tm.tm_sec, strchr(clock, '.'), local ? "" : "Z");
	return check_json_string(o, j, want, strlen(want));
}

static bool check_json_integer(struct oracle *o, const struct schema_type *t, avro_value_t *v,
			       const json_t *j)
{
	int64_t want;
	if (!oracle_get_integer(v, &want))
		return oracle_differs(o, "Avro-C has no integer");
	if (t->logical != LOGICAL_NONE)
		return check_json_time(o, t, want, j);
	return (json_is_integer(j) && json_integer_value(j) == want) ||
	       oracle_differs(o, "no JSON number %" PRId64, want);
}

static bool check_json_real(struct oracle *o, const struct schema_type *t, avro_value_t *v,
			    const json_t *j)
{
	double want, got = json_number_value(j);
	if (!json_is_number(j) || !oracle_get_real(v, &want))
		return oracle_differs(o, "no number");
	bool same = t->kind == SCHEMA_FLOAT ? (float)got == (float)want : got == want;
	return same || oracle_differs(o, "JSON number %.17g, want %.17g", got, want);
}

static bool check_json_decimal(struct oracle *o, const struct schema_type *t, struct slice s,
			       const json_t *j)
{
	__int128 v;
	char text[200];
	if (s.len > 8 || !oracle_read_unscaled(s, &v) || t->scale > 40)
		return true;
	oracle_decimal_text(v, t->scale, text);
	double want = strtod(text, NULL), got = json_number_value(j);
	return (json_is_number(j) && fabs(want - got) <= fabs(want) * 1e-15) ||
	       oracle_differs(o, "JSON number %.17g, want %s", got, text);
}

static bool check_json_blob(struct oracle *o, const struct schema_type *t, avro_value_t *v,
			    const json_t *j)
{
	struct slice s;
	char text[80];
	if (!oracle_get_blob(v, t, &s))
		return oracle_differs(o, "Avro-C has no text or bytes");
	if (t->kind == SCHEMA_STRING || t->kind == SCHEMA_ENUM)
		return check_json_string(o, j, (const char *)s.data, s.len);
	if (t->logical == LOGICAL_DECIMAL)
		return check_json_decimal(o, t, s, j);
	if (t->logical == LOGICAL_DURATION) {
		int n = snprintf(text, sizeof(text), "P%uM%uDT%u.%03uS", oracle_le32(s.data),
				 oracle_le32(s.data + 4), oracle_le32(s.data + 8) / 1000,
				 oracle_le32(s.data + 8) % 1000);
		return check_json_string(o, j, text, (size_t)n);
	}
	if (t->logical != LOGICAL_UUID)
		return check_json_bytes(o, j, s);
	size_t n = 0;
	for (size_t i = 0; i < 16; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%02x%s", s.data[i],
				      i == 3 || i == 5 || i == 7 || i == 9 ? "-" : "");
	return check_json_string(o, j, text, n);
}

static bool check_json_items(struct oracle *o, const struct schema_type *t, avro_value_t *v,
			     const json_t *j)
{
	size_t n;
	bool map = t->kind == SCHEMA_MAP;
	if (avro_value_get_size(v, &n) != 0 || (map ? !json_is_object(j) : !json_is_array(j)))
		return oracle_differs(o, "no JSON array or object, or none of Avro-C");
	for (size_t i = 0; i < n; i++) {
		avro_value_t item;
		const char *key = NULL;
		if (avro_value_get_by_index(v, i, &item, map ? &key : NULL) != 0)
			return oracle_differs(o, "Avro-C has no item %zu", i);
		/*
		 * A key that stands twice: Avro-C has one of the values, and so has jansson, but
		 * jsonb has the last.
		 */
		const json_t *got = map ? json_object_get(j, key) : json_array_get(j, i);
		if (!got)
			return oracle_differs(o, "item %zu is missing", i);
		if (!oracle_json(o, t->items, &item, got))
			return false;
	}
	size_t got = map ? json_object_size(j) : json_array_size(j);
	return got == n || oracle_differs(o, "%zu items, want %zu", got, n);
}

static bool check_json_record(struct oracle *o, const struct schema_type *t, avro_value_t *v,
			      const json_t *j)
{
	if (!json_is_object(j) || json_object_size(j) != t->nfields)
		return oracle_differs(o, "%zu members, want %zu", json_object_size(j), t->nfields);
	for (size_t i = 0; i < t->nfields; i++) {
		avro_value_t field;
		const json_t *got = json_object_get(j, t->fields[i].name);
		if (avro_value_get_by_name(v, t->fields[i].name, &field, NULL) != 0) {
			if (!json_is_null(got))
				return oracle_differs(o, "member %s is not null",
						      t->fields[i].name);
			continue;
		}
		if (!got)
			return oracle_differs(o, "member %s is missing", t->fields[i].name);
		if (!oracle_json(o, t->fields[i].type, &field, got))
			return false;
	}
	return true;
}

static bool check_json_union(struct oracle *o, const struct schema_type *t, avro_value_t *v,
			     const json_t *j)
{
	avro_value_t branch;
	int index;
	if (!oracle_get_branch(v, t, &branch, &index))
		return oracle_differs(o, "Avro-C has no branch");
	if (index < 0)
		return oracle_expect(o,
				     json_is_array(j)
					     ? json_array_size(j) == 0
					     : json_is_object(j) && json_object_size(j) == 0,
				     "empty array or map");
	return oracle_json(o, t->branches[index], &branch, j);
}

bool oracle_json(struct oracle *o, const struct schema_type *t, avro_value_t *v, const json_t *j)
{
	int b = -1;
	switch (t->kind) {
	case SCHEMA_NULL:
		return oracle_expect(o, json_is_null(j), "null");
	case SCHEMA_BOOLEAN:
		return oracle_expect(o,
				     avro_value_get_boolean(v, &b) == 0 && json_is_boolean(j) &&
					     json_is_true(j) == b,
				     "boolean");
	case SCHEMA_INT:
	case SCHEMA_LONG:
		return check_json_integer(o, t, v, j);
	case SCHEMA_FLOAT:
	case SCHEMA_DOUBLE:
		return check_json_real(o, t, v, j);
	case SCHEMA_BYTES:
	case SCHEMA_STRING:
	case SCHEMA_FIXED:
	case SCHEMA_ENUM:
		return check_json_blob(o, t, v, j);
	case SCHEMA_ARRAY:
	case SCHEMA_MAP:
		return check_json_items(o, t, v, j);
	case SCHEMA_RECORD:
		return check_json_record(o, t, v, j);
	case SCHEMA_UNION:
		return check_json_union(o, t, v, j);
	}
	return false;
}

/*
 * oracle.c - the other way around: COPY fields back into values, and a comparison with Avro-C's.
 *
 * Independent of the code under test on purpose: nothing of pgbin, jsonout or text is used; numeric
 * is compared as decimal text, halfvec by distance to the neighbours, JSON by way of jansson, times
 * by gmtime_r. Only the description of the reader (struct schema_type, struct table) is shared.
 *
 * Avro-C's resolved writer selects no branch of the reader's union for an array or map without
 * items (1.11.1: the branch is set by the first append); such a value is taken to be one of these,
 * empty.
 *
 * Limits: decimals in JSON are compared as doubles, and not beyond 8 bytes; timestamps in JSON
 * outside of the years 1 to 9999 are taken as they are.
 */
#include "oracle_parts.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EPOCH_US INT64_C(946684800000000)

/* One COPY field: data NULL is null. */
struct field {
	const uint8_t *data;
	uint32_t len;
};

/* What the field is supposed to be. */
struct want {
	enum pg_kind kind, element;
	const struct schema_type *type;
	avro_value_t *value;
	bool json_text; /* a string that holds JSON: the column has no other type but null */
};

bool oracle_differs(struct oracle *o, const char *fmt, ...)
{
	size_t n = (size_t)snprintf(o->why, sizeof(o->why), "%s: ", o->path);
	va_list args;
	va_start(args, fmt);
	vsnprintf(o->why + n, sizeof(o->why) - n, fmt, args);
	va_end(args);
	return false;
}

bool oracle_expect(struct oracle *o, bool same, const char *what)
{
	return same || oracle_differs(o, "%s differs", what);
}

int64_t oracle_floor_div(int64_t v, int64_t by)
{
	int64_t q = v / by;
	return q * by > v ? q - 1 : q;
}

/* Units of the reader's logical type in a second. */
int64_t oracle_per_second(enum schema_logical logical)
{
	switch (logical) {
	case LOGICAL_TIME_MILLIS:
	case LOGICAL_TIMESTAMP_MILLIS:
	case LOGICAL_LOCAL_MILLIS:
		return 1000;
	case LOGICAL_TIMESTAMP_NANOS:
	case LOGICAL_LOCAL_NANOS:
		return 1000000000;
	case LOGICAL_NONE:
	case LOGICAL_DATE:
	case LOGICAL_TIME_MICROS:
	case LOGICAL_TIMESTAMP_MICROS:
	case LOGICAL_LOCAL_MICROS:
	case LOGICAL_UUID:
	case LOGICAL_DECIMAL:
	case LOGICAL_DURATION:
		break;
	}
	return 1000000;
}

bool oracle_get_integer(avro_value_t *v, int64_t *out)
{
	int32_t i;
	if (avro_value_get_type(v) == AVRO_INT32 && avro_value_get_int(v, &i) == 0) {
		*out = i;
		return true;
	}
	return avro_value_get_type(v) == AVRO_INT64 && avro_value_get_long(v, out) == 0;
}

bool oracle_get_real(avro_value_t *v, double *out)
{
	float f;
	int64_t i;
	if (avro_value_get_type(v) == AVRO_FLOAT && avro_value_get_float(v, &f) == 0) {
		*out = (double)f;
		return true;
	}
	if (avro_value_get_type(v) == AVRO_DOUBLE)
		return avro_value_get_double(v, out) == 0;
	if (!oracle_get_integer(v, &i))
		return false;
	*out = (double)i;
	return true;
}

/* bytes, fixed, string or the symbol of an enum. */
bool oracle_get_blob(avro_value_t *v, const struct schema_type *t, struct slice *out)
{
	const void *p = NULL;
	const char *s = NULL;
	size_t n = 0;
	int symbol = -1;
	avro_type_t kind = avro_value_get_type(v);
	if (kind == AVRO_BYTES && avro_value_get_bytes(v, &p, &n) == 0) {
		*out = (struct slice){p, n};
	} else if (kind == AVRO_FIXED && avro_value_get_fixed(v, &p, &n) == 0) {
		*out = (struct slice){p, n};
	} else if (kind == AVRO_STRING && avro_value_get_string(v, &s, &n) == 0 && n > 0) {
		*out = (struct slice){(const uint8_t *)s,
				      n - 1}; /* Avro-C counts a NUL behind it */
	} else if (kind == AVRO_ENUM && avro_value_get_enum(v, &symbol) == 0 &&
		   (size_t)symbol < t->nsymbols) {
		*out = (struct slice){(const uint8_t *)t->symbols[symbol],
				      strlen(t->symbols[symbol])};
	} else {
		return false;
	}
	return true;
}

/* The branch of a union that is there. index -1: none, an empty array or map. */
bool oracle_get_branch(avro_value_t *v, const struct schema_type *t, avro_value_t *branch,
		       int *index)
{
	if (avro_value_get_discriminant(v, index) != 0 || *index >= (int)t->nbranches)
		return false;
	return *index < 0 || avro_value_get_current_branch(v, branch) == 0;
}

/* --- numbers --- */

static bool same_double(double a, double b)
{
	return a == b ? signbit(a) == signbit(b) : isnan(a) && isnan(b);
}

static bool check_integer(struct oracle *o, const struct want *w, struct field f)
{
	int64_t got = 0, want;
	if (!oracle_get_integer(w->value, &want))
		return oracle_differs(o, "Avro-C has no integer");
	if (f.len == 2)
		got = (int16_t)get_be16(f.data);
	else if (f.len == 4)
		got = (int32_t)get_be32(f.data);
	else if (f.len == 8)
		got = (int64_t)get_be64(f.data);
	uint32_t len = w->kind == PG_INT2 ? 2 : w->kind == PG_INT4 ? 4 : 8;
	if (f.len != len || got != want)
		return oracle_differs(o, "%" PRId64 " in %u bytes, want %" PRId64 " in %u", got,
				      f.len, want, len);
	return true;
}

static double field_real(struct field f)
{
	float s = 0;
	double d = 0;
	if (f.len == 4) {
		uint32_t bits = get_be32(f.data);
		memcpy(&s, &bits, sizeof(s));
		return (double)s;
	}
	uint64_t bits = get_be64(f.data);
	memcpy(&d, &bits, sizeof(d));
	return d;
}

static bool check_real(struct oracle *o, const struct want *w, struct field f)
{
	double want;
	if (f.len != (w->kind == PG_FLOAT4 ? 4 : 8) || !oracle_get_real(w->value, &want))
		return oracle_differs(o, "%u bytes, or Avro-C has no number", f.len);
	if (w->kind == PG_FLOAT4)
		want = (double)(float)want;
	if (!same_double(field_real(f), want))
		return oracle_differs(o, "%a, want %a", field_real(f), want);
	return true;
}

/* The digits of |v|, with a point in front of the last scale; buf of 80. */
void oracle_decimal_text(__int128 v, uint32_t scale, char *buf)
{
	char digits[64];
	size_t n = 0;
	bool negative = v < 0;
	for (unsigned __int128 u = negative ? -(unsigned __int128)v : (unsigned __int128)v;
	     u > 0 || n <= scale; u /= 10)
		digits[n++] = (char)('0' + (int)(u % 10));
	char *p = buf;
	if (negative)
		*p++ = '-';
	while (n > 0) {
		*p++ = digits[--n];
		if (n == scale && n > 0)
			*p++ = '.';
	}
	*p = '\0';
}

/*
 * A numeric as text, as PostgreSQL's numeric_out() would print it; false if it is malformed or
 * longer than buf of 80.
 */
static bool numeric_text(struct field f, char *buf)
{
	if (f.len < 8 || f.len % 2 != 0)
		return false;
	int n = (int16_t)get_be16(f.data), weight = (int16_t)get_be16(f.data + 2);
	unsigned sign = get_be16(f.data + 4), scale = get_be16(f.data + 6);
	if (f.len != 8 + 2 * (uint32_t)n || (sign != 0 && sign != 0x4000) || scale > 45 ||
	    weight > 12 || weight < -12)
		return false;
	if (n > 0 && (get_be16(f.data + 8) == 0 || get_be16(f.data + 8 + 2 * (n - 1)) == 0))
		return false; /* zeros at an end are not normal */
	char *p = buf;
	if (sign)
		*p++ = '-';
	bool started = false;
	for (int at = MAX(weight, 0); at >= -(int)(scale + 3) / 4; at--) {
		int i = weight - at;
		unsigned digit = i >= 0 && i < n ? get_be16(f.data + 8 + 2 * i) : 0;
		char group[8];
		snprintf(group, sizeof(group), "%04u", digit % 10000);
		size_t from = 0, to = 4;
		if (at >= 0)
			while (!started && from < 4 - (at == 0) && group[from] == '0')
				from++;
		if (at < 0)
			to = MIN((size_t)4, scale - 4 * (size_t)(-at - 1));
		if (at == -1)
			*p++ = '.';
		started = started || from < 4;
		memcpy(p, group + from, to - from);
		p += to - from;
	}
	*p = '\0';
	return true;
}

/* Two's complement, big-endian, of at most 16 bytes. */
bool oracle_read_unscaled(struct slice s, __int128 *out)
{
	unsigned __int128 v = s.len > 0 && s.data[0] & 0x80 ? ~(unsigned __int128)0 : 0;
	for (size_t i = 0; i < s.len; i++) {
		if (i + 16 < s.len) {
			if (s.data[i] != (uint8_t)v)
				return false;
			continue;
		}
		v = v << 8 | s.data[i];
	}
	*out = (__int128)v;
	return s.len <= 16 || ((__int128)v < 0) == (s.data[0] >= 0x80);
}

static bool check_numeric(struct oracle *o, const struct want *w, struct field f)
{
	char got[200], want[200];
	int64_t i;
	__int128 v;
	struct slice s;
	uint32_t scale = 0;
	if (oracle_get_integer(w->value, &i)) {
		v = i;
	} else {
		if (!oracle_get_blob(w->value, w->type, &s))
			return oracle_differs(o, "Avro-C has no decimal");
		if (!oracle_read_unscaled(s, &v) || w->type->scale > 40)
			return true; /* beyond what this oracle can count */
		scale = w->type->scale;
	}
	oracle_decimal_text(v, scale, want);
	if (!numeric_text(f, got))
		return oracle_differs(o, "no well-formed numeric, want %s", want);
	return strcmp(got, want) == 0 || oracle_differs(o, "%s, want %s", got, want);
}

/* --- times --- */

static bool check_time(struct oracle *o, const struct want *w, struct field f)
{
	int64_t v, got;
	if (!oracle_get_integer(w->value, &v) || f.len != (w->kind == PG_DATE ? 4 : 8))
		return oracle_differs(o, "%u bytes, or Avro-C has no integer", f.len);
	if (w->kind == PG_DATE) {
		got = (int32_t)get_be32(f.data);
		v -= 10957;
	} else {
		int64_t units = oracle_per_second(w->type->logical);
		got = (int64_t)get_be64(f.data) + (w->kind == PG_TIMESTAMP ? EPOCH_US : 0);
		v = units > 1000000 ? oracle_floor_div(v, 1000) : v * (1000000 / units);
	}
	return got == v || oracle_differs(o, "%" PRId64 ", want %" PRId64, got, v);
}

uint32_t oracle_le32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static bool check_interval(struct oracle *o, const struct want *w, struct field f)
{
	struct slice s;
	if (!oracle_get_blob(w->value, w->type, &s) || s.len != 12 || f.len != 16)
		return oracle_differs(o, "%u bytes, or Avro-C has no duration", f.len);
	return oracle_expect(o,
			     get_be64(f.data) == (uint64_t)oracle_le32(s.data + 8) * 1000 &&
				     get_be32(f.data + 8) == oracle_le32(s.data + 4) &&
				     get_be32(f.data + 12) == oracle_le32(s.data),
			     "interval");
}

/* --- blobs --- */

static bool check_blob(struct oracle *o, const struct want *w, struct field f)
{
	struct slice s;
	if (!oracle_get_blob(w->value, w->type, &s))
		return oracle_differs(o, "Avro-C has no text or bytes");
	return (f.len == s.len && (s.len == 0 || memcmp(f.data, s.data, s.len) == 0)) ||
	       oracle_differs(o, "%u bytes differ from %zu", f.len, s.len);
}

static bool check_uuid(struct oracle *o, const struct want *w, struct field f)
{
	struct slice s;
	char hex[33], got[33];
	size_t n = 0;
	if (!oracle_get_blob(w->value, w->type, &s) || f.len != 16)
		return oracle_differs(o, "%u bytes, or Avro-C has no uuid", f.len);
	if (w->type->kind == SCHEMA_FIXED)
		return oracle_expect(o, memcmp(f.data, s.data, 16) == 0, "uuid");
	for (size_t i = 0; i < s.len && n < 32; i++)
		if (!strchr("{}-", s.data[i]))
			hex[n++] = (char)(s.data[i] | 0x20);
	hex[n] = '\0';
	for (size_t i = 0; i < 16; i++)
		snprintf(got + 2 * i, 3, "%02x", f.data[i]);
	return strcmp(got, hex) == 0 || oracle_differs(o, "%s, want %s", got, hex);
}

/* --- vectors --- */

/* Element i of an array of numbers, or of packed floats. */
static bool vector_element(const struct want *w, struct slice packed, size_t i, double *out)
{
	avro_value_t item;
	if (packed.data) {
		uint32_t bits = oracle_le32(packed.data + 4 * i);
		float s;
		memcpy(&s, &bits, sizeof(s));
		*out = (double)s;
		return true;
	}
	return avro_value_get_by_index(w->value, i, &item, NULL) == 0 &&
	       oracle_get_real(&item, out);
}

static bool vector_size(const struct want *w, struct slice *packed, size_t *n)
{
	*packed = (struct slice){NULL, 0};
	if (avro_value_get_type(w->value) == AVRO_ARRAY)
		return avro_value_get_size(w->value, n) == 0;
	if (!oracle_get_blob(w->value, w->type, packed))
		return false;
	*n = packed->len / 4;
	return true;
}

static double half_value(unsigned h)
{
	unsigned exponent = h >> 10 & 31, mantissa = h & 1023;
	double v =
		exponent == 0 ? ldexp(mantissa, -24) : ldexp(1024 + mantissa, (int)exponent - 25);
	return h & 0x8000 ? -v : v;
}

/* No other half is nearer to v, nor as near and even. */
static bool is_nearest_half(unsigned h, double v)
{
	double off = fabs(half_value(h) - v), up = fabs(half_value(h + 1) - v);
	double down = h & 0x7fff ? fabs(half_value(h - 1) - v) : INFINITY;
	bool tie = off == up || off == down;
	return off <= up && off <= down && (!tie || (h & 1) == 0) &&
	       (v == 0 || (signbit(v) != 0) == (h >> 15 != 0));
}

static bool check_vector(struct oracle *o, const struct want *w, struct field f)
{
	struct slice packed;
	size_t n, width = w->kind == PG_VECTOR ? 4 : 2;
	double want;
	if (!vector_size(w, &packed, &n))
		return oracle_differs(o, "Avro-C has no vector");
	if (f.len != 4 + n * width || get_be16(f.data) != n || get_be16(f.data + 2) != 0)
		return oracle_differs(o, "%u bytes for %zu elements", f.len, n);
	for (size_t i = 0; i < n; i++) {
		const uint8_t *p = f.data + 4 + i * width;
		if (!vector_element(w, packed, i, &want))
			return oracle_differs(o, "Avro-C has no element %zu", i);
		bool same =
			w->kind == PG_VECTOR
				? same_double(field_real((struct field){p, 4}), (double)(float)want)
				: is_nearest_half(get_be16(p), (double)(float)want);
		if (!same)
			return oracle_differs(o, "element %zu differs from %a", i, want);
	}
	return true;
}

static bool check_jsonb(struct oracle *o, const struct want *w, struct field f)
{
	struct slice s;
	json_error_t at;
	if (f.len < 2 || f.data[0] != 1)
		return oracle_differs(o, "no version byte of jsonb");
	if (w->json_text)
		return oracle_expect(o,
				     oracle_get_blob(w->value, w->type, &s) && s.len == f.len - 1 &&
					     memcmp(s.data, f.data + 1, s.len) == 0,
				     "JSON text");
	json_t *j = json_loadb((const char *)f.data + 1, f.len - 1,
			       JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &at);
	if (!j && (strstr(at.text, "too") || strstr(at.text, "duplicate")))
		/*
		 * a number that jansson cannot hold; a key that Avro-C adds to where it should
		 * replace
		 */
		return true;
	if (!j)
		return oracle_differs(o, "jansson: %s in %.*s", at.text, (int)MIN(f.len - 1, 80u),
				      (const char *)f.data + 1);
	bool same = oracle_json(o, w->type, w->value, j);
	json_decref(j);
	return same;
}

/* --- arrays and rows --- */

static bool check_field(struct oracle *o, struct want w, struct field f);

static bool is_string(const struct schema_type *t)
{
	bool nullable;
	t = schema_unwrap(t, &nullable);
	return t && t->kind == SCHEMA_STRING;
}

/* Takes a field off the front. */
static bool next_field(struct slice *s, struct field *f)
{
	if (s->len < 4)
		return false;
	*f = (struct field){.len = get_be32(s->data)};
	s->data += 4;
	s->len -= 4;
	if (f->len == UINT32_MAX) {
		f->len = 0;
		return true;
	}
	f->data = s->data;
	if (f->len > s->len)
		return false;
	s->data += f->len;
	s->len -= f->len;
	return true;
}

static bool array_header(struct oracle *o, struct field f, size_t n, size_t nulls,
			 struct slice *rest)
{
	if (f.len < 12 || (n == 0) != (get_be32(f.data) == 0) ||
	    (n > 0 && (f.len < 20 || get_be32(f.data) != 1)))
		return oracle_differs(o, "header of an array of %zu", n);
	if (get_be32(f.data + 4) != (nulls > 0) ||
	    (n > 0 && (get_be32(f.data + 12) != n || get_be32(f.data + 16) != 1)))
		return oracle_differs(o, "dimension or flags of an array of %zu with %zu nulls", n,
				      nulls);
	size_t header = n == 0 ? 12 : 20;
	*rest = (struct slice){f.data + header, f.len - header};
	return true;
}

static bool is_null_value(avro_value_t *v)
{
	avro_value_t branch;
	int index;
	if (avro_value_get_type(v) == AVRO_UNION)
		return avro_value_get_discriminant(v, &index) == 0 && index >= 0 &&
		       avro_value_get_current_branch(v, &branch) == 0 &&
		       avro_value_get_type(&branch) == AVRO_NULL;
	return avro_value_get_type(v) == AVRO_NULL;
}

static bool check_packed_array(struct oracle *o, struct slice packed, struct field f)
{
	struct slice rest;
	struct field item;
	if (!array_header(o, f, packed.len / 4, 0, &rest))
		return false;
	for (size_t i = 0; i < packed.len / 4; i++) {
		if (!next_field(&rest, &item) || item.len != 4 ||
		    get_be32(item.data) != oracle_le32(packed.data + 4 * i))
			return oracle_differs(o, "element %zu", i);
	}
	return oracle_expect(o, rest.len == 0, "length");
}

static bool check_array(struct oracle *o, const struct want *w, struct field f)
{
	struct slice rest, packed;
	size_t n, nulls = 0;
	avro_value_t item;
	if (!vector_size(w, &packed, &n))
		return oracle_differs(o, "Avro-C has no array");
	if (packed.data)
		return check_packed_array(o, packed, f);
	for (size_t i = 0; i < n; i++)
		nulls += avro_value_get_by_index(w->value, i, &item, NULL) == 0 &&
			 is_null_value(&item);
	if (!array_header(o, f, n, nulls, &rest))
		return false;
	for (size_t i = 0; i < n; i++) {
		struct field got;
		if (!next_field(&rest, &got) ||
		    avro_value_get_by_index(w->value, i, &item, NULL) != 0)
			return oracle_differs(o, "no element %zu", i);
		if (!check_field(o,
				 (struct want){w->element, w->element, w->type->items, &item,
					       is_string(w->type->items)},
				 got))
			return false;
	}
	return oracle_expect(o, rest.len == 0, "length");
}

static bool check_value(struct oracle *o, const struct want *w, struct field f)
{
	int b = -1;
	switch (w->kind) {
	case PG_BOOL:
		return oracle_expect(o,
				     f.len == 1 && avro_value_get_boolean(w->value, &b) == 0 &&
					     f.data[0] == b,
				     "boolean");
	case PG_INT2:
	case PG_INT4:
	case PG_INT8:
		return check_integer(o, w, f);
	case PG_FLOAT4:
	case PG_FLOAT8:
		return check_real(o, w, f);
	case PG_TEXT:
	case PG_BYTEA:
		return check_blob(o, w, f);
	case PG_JSONB:
		return check_jsonb(o, w, f);
	case PG_UUID:
		return check_uuid(o, w, f);
	case PG_DATE:
	case PG_TIME:
	case PG_TIMESTAMP:
		return check_time(o, w, f);
	case PG_INTERVAL:
		return check_interval(o, w, f);
	case PG_NUMERIC:
		return check_numeric(o, w, f);
	case PG_VECTOR:
	case PG_HALFVEC:
		return check_vector(o, w, f);
	case PG_ARRAY:
		return check_array(o, w, f);
	}
	return false;
}

static bool check_field(struct oracle *o, struct want w, struct field f)
{
	avro_value_t branch;
	int index;
	if (is_null_value(w.value))
		return oracle_expect(o, f.data == NULL, "null");
	if (!f.data)
		return oracle_differs(o, "null, but Avro-C has a value");
	if (w.type->kind != SCHEMA_UNION)
		return check_value(o, &w, f);
	if (!oracle_get_branch(w.value, w.type, &branch, &index))
		return oracle_differs(o, "Avro-C has no branch");
	if (index < 0 && w.kind == PG_ARRAY)
		return oracle_expect(o, f.len == 12, "empty array");
	if (index < 0)
		return oracle_expect(o,
				     f.len == 3 && (memcmp(f.data + 1, "[]", 2) == 0 ||
						    memcmp(f.data + 1, "{}", 2) == 0),
				     "empty array or map");
	w.value = &branch;
	w.type = w.type->branches[index];
	return check_value(o, &w, f);
}

static bool check_column(struct oracle *o, const struct table *t, size_t i, avro_value_t *record,
			 enum record_op op, struct field f)
{
	const struct column *c = &t->columns[i];
	const struct schema_field *rf = &t->reader->root->fields[c->field];
	avro_value_t value;
	snprintf(o->path, sizeof(o->path), "column %s", c->name);
	bool kept = op == RECORD_UPSERT || i < t->nkeys || (int)i == t->version;
	if (!kept || avro_value_get_by_name(record, rf->name, &value, NULL) != 0)
		return oracle_expect(o, f.data == NULL, "null");
	struct want w = {c->kind, c->element, rf->type, &value, is_string(rf->type)};
	return check_field(o, w, f);
}

bool oracle_row(struct oracle *o, const struct table *table, avro_value_t *value, enum record_op op,
		struct slice row)
{
	for (size_t i = 0; i < table->ncolumns; i++) {
		struct field f;
		if (!next_field(&row, &f)) {
			snprintf(o->why, sizeof(o->why), "the row ends before column %s",
				 table->columns[i].name);
			return false;
		}
		if (!check_column(o, table, i, value, op, f))
			return false;
	}
	snprintf(o->why, sizeof(o->why), "%zu bytes behind the last column", row.len);
	return row.len == 0;
}

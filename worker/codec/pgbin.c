/*
 * pgbin.c - values that need a check or a conversion on their way to COPY BINARY.
 *
 * Purpose: the exact bytes that PostgreSQL's *_recv functions and pgvector's read, and a refusal
 * here for whatever those would refuse: in a COPY one bad value costs the whole batch. Which Avro
 * type may become which column is not decided here (table, plan).
 *
 *   field    int32 length | value                  length -1: null
 *   array    int32 ndim 1 | int32 has null | int32 element oid | int32 n | int32 lower 1 | fields
 *            int32 ndim 0 | int32 0        | int32 element oid                        (empty)
 *   vector   int16 n | int16 0 | n float4 or float2
 *
 * Epochs: Avro counts from 1970-01-01, PostgreSQL from 2000-01-01. Both days of the proleptic
 * Gregorian calendar, without leap seconds, so the difference is a constant. Ranges: date_recv,
 * time_recv, timestamp_recv (src/include/datatype/timestamp.h).
 *
 * Arrays and vectors are written in place; their length and count are patched in at the end. A
 * vector that has already got more elements than it may have goes on counting and stops writing:
 * the error tells how many there were.
 *
 * Floats pass as their bits, so a NaN keeps its payload. No state, any thread. numeric stands in
 * pgbin_numeric.c.
 */
#include <ctype.h>
#include <math.h>
#include <strings.h>

#include "codec/floats.h"
#include "codec/pgbin.h"

#define EPOCH_DAYS 10957 /* 1970-01-01 .. 2000-01-01 */
#define EPOCH_US INT64_C(946684800000000)
#define DATE_MIN INT64_C(-2451545)   /* 4714-11-24 BC; days since 2000 */
#define DATE_END INT64_C(2145031949) /* 5874898-01-01 */
#define TIMESTAMP_MIN INT64_C(-211813488000000000)
#define TIMESTAMP_END INT64_C(9223371331200000000)
#define DAY_US INT64_C(86400000000)

/* Length of the field that began at start, now that it is complete. */
static void patch_length(struct buf *out, size_t start)
{
	put_be32(out->data + start, (uint32_t)(out->len - start - 4));
}

static const struct {
	const char *name;
	enum pgbin_oid oid;
} oid_names[] = {
	{"bool", OID_BOOL},
	{"boolean", OID_BOOL},
	{"bytea", OID_BYTEA},
	{"smallint", OID_INT2},
	{"int2", OID_INT2},
	{"integer", OID_INT4},
	{"int", OID_INT4},
	{"int4", OID_INT4},
	{"bigint", OID_INT8},
	{"int8", OID_INT8},
	{"text", OID_TEXT},
	{"real", OID_FLOAT4},
	{"float4", OID_FLOAT4},
	{"double precision", OID_FLOAT8},
	{"float8", OID_FLOAT8},
	{"char", OID_BPCHAR},
	{"character", OID_BPCHAR},
	{"bpchar", OID_BPCHAR},
	{"varchar", OID_VARCHAR},
	{"character varying", OID_VARCHAR},
	{"date", OID_DATE},
	{"time", OID_TIME},
	{"time without time zone", OID_TIME},
	{"timestamp", OID_TIMESTAMP},
	{"timestamp without time zone", OID_TIMESTAMP},
	{"timestamptz", OID_TIMESTAMPTZ},
	{"timestamp with time zone", OID_TIMESTAMPTZ},
	{"interval", OID_INTERVAL},
	{"numeric", OID_NUMERIC},
	{"decimal", OID_NUMERIC},
	{"uuid", OID_UUID},
	{"jsonb", OID_JSONB},
};

/*
 * Lower case, without what stands in parentheses or from "[" on, blanks single. False when it does
 * not fit.
 */
static bool bare_type(const char *type, char *bare, size_t size)
{
	size_t n = 0;
	int open = 0;
	for (; *type && *type != '['; type++) {
		if (*type == '(' || *type == ')') {
			open += *type == '(' ? 1 : -1;
			continue;
		}
		bool blank = isspace((unsigned char)*type);
		if (open > 0 || (blank && (n == 0 || bare[n - 1] == ' ')))
			continue;
		if (n + 1 == size)
			return false;
		bare[n++] = blank ? ' ' : (char)tolower((unsigned char)*type);
	}
	while (n > 0 && bare[n - 1] == ' ')
		n--;
	bare[n] = '\0';
	return true;
}

/* The short and the standard names stand in one list. */
enum pgbin_oid pgbin_oid(const char *type)
{
	char bare[40];
	if (!bare_type(type, bare, sizeof(bare)))
		return OID_NONE;
	for (size_t i = 0; i < ARRAY_LEN(oid_names); i++)
		if (strcmp(bare, oid_names[i].name) == 0)
			return oid_names[i].oid;
	return OID_NONE;
}

bool pgbin_int2_checked(struct buf *out, int64_t v, struct refusal *why)
{
	if (v < INT16_MIN || v > INT16_MAX)
		return refuse(why, REASON_OUT_OF_RANGE, "%lld does not fit smallint", (long long)v);
	pgbin_int2(out, (int16_t)v);
	return true;
}

bool pgbin_int4_checked(struct buf *out, int64_t v, struct refusal *why)
{
	if (v < INT32_MIN || v > INT32_MAX)
		return refuse(why, REASON_OUT_OF_RANGE, "%lld does not fit integer", (long long)v);
	pgbin_int4(out, (int32_t)v);
	return true;
}

/*
 * FLT_MAX and half a step more is where rounding gives infinity; the conversion of a larger double
 * is undefined in C.
 */
static bool fits_float(double v)
{
	return !isfinite(v) || fabs(v) < 0x1.ffffffp127;
}

bool pgbin_float4_checked(struct buf *out, double v, struct refusal *why)
{
	if (!fits_float(v))
		return refuse(why, REASON_OUT_OF_RANGE, "%g does not fit real", v);
	pgbin_float4(out, (float)v);
	return true;
}

void pgbin_uuid(struct buf *out, const uint8_t v[16])
{
	uint8_t *p = buf_take(out, 20);
	put_be32(p, 16);
	memcpy(p + 4, v, 16);
}

/* As string_to_uuid() of uuid.c: a hyphen may follow each second byte but the last. */
static bool parse_uuid(struct slice s, uint8_t v[16])
{
	const uint8_t *p = s.data, *end = s.data + s.len;
	if (s.len >= 2 && *p == '{') {
		p++;
		if (*--end != '}')
			return false;
	}
	for (int i = 0; i < 16; i++) {
		if (end - p < 2)
			return false;
		int byte = hex_byte((const char *)p);
		if (byte < 0)
			return false;
		v[i] = (uint8_t)byte;
		p += 2;
		if (i % 2 == 1 && i < 15 && p < end && *p == '-')
			p++;
	}
	return p == end;
}

bool pgbin_uuid_text(struct buf *out, struct slice text, struct refusal *why)
{
	uint8_t v[16];
	if (!parse_uuid(text, v))
		return refuse(why, REASON_INVALID_TEXT, "is not a UUID (%zu bytes)", text.len);
	pgbin_uuid(out, v);
	return true;
}

bool pgbin_date(struct buf *out, int64_t days, struct refusal *why)
{
	if (days < DATE_MIN + EPOCH_DAYS || days >= DATE_END + EPOCH_DAYS)
		return refuse(why, REASON_OUT_OF_RANGE,
			      "%lld days since 1970 are out of date's range", (long long)days);
	pgbin_int4(out, (int32_t)(days - EPOCH_DAYS));
	return true;
}

bool pgbin_time(struct buf *out, int64_t micros, struct refusal *why)
{
	if (micros < 0 || micros > DAY_US)
		return refuse(why, REASON_OUT_OF_RANGE, "%lld microseconds are no time of day",
			      (long long)micros);
	pgbin_int8(out, micros);
	return true;
}

/* Towards the past, also before the epoch. */
static int64_t divide_down(int64_t v, int64_t by)
{
	return v / by - (v % by < 0);
}

bool pgbin_timestamp_us(int64_t v, enum pgbin_unit unit, int64_t *us, struct refusal *why)
{
	static const char *const names[] = {[UNIT_MILLIS] = "milliseconds",
					    [UNIT_MICROS] = "microseconds",
					    [UNIT_NANOS] = "nanoseconds"};
	int64_t t = 0;
	bool fits = false;
	/*
	 * To the other epoch first: there are times that fit there, but not in microseconds since
	 * 1970.
	 */
	switch (unit) {
	case UNIT_MILLIS:
		fits = !__builtin_sub_overflow(v, EPOCH_US / 1000, &t) &&
		       !__builtin_mul_overflow(t, 1000, &t);
		break;
	case UNIT_MICROS:
		fits = !__builtin_sub_overflow(v, EPOCH_US, &t);
		break;
	case UNIT_NANOS:
		t = divide_down(v, 1000) - EPOCH_US;
		fits = true;
		break;
	}
	fits = fits && t >= TIMESTAMP_MIN && t < TIMESTAMP_END;
	if (!fits)
		return refuse(why, REASON_OUT_OF_RANGE,
			      "%lld %s since 1970 are out of timestamp's range", (long long)v,
			      names[unit]);
	*us = t;
	return true;
}

bool pgbin_timestamp(struct buf *out, int64_t v, enum pgbin_unit unit, struct refusal *why)
{
	int64_t us = 0;
	if (!pgbin_timestamp_us(v, unit, &us, why))
		return false;
	pgbin_int8(out, us);
	return true;
}

/* PostgreSQL keeps the three parts apart, as Avro does. */
bool pgbin_interval(struct buf *out, const uint8_t v[12], struct refusal *why)
{
	uint32_t months = get_le32(v), days = get_le32(v + 4), millis = get_le32(v + 8);
	if (months > INT32_MAX || days > INT32_MAX)
		return refuse(why, REASON_OUT_OF_RANGE,
			      "a duration of %u months and %u days does not fit interval", months,
			      days);
	uint8_t *p = buf_take(out, 20);
	put_be32(p, 16);
	put_be64(p + 4, (uint64_t)millis * 1000);
	put_be32(p + 12, days);
	put_be32(p + 16, months);
	return true;
}

enum { ARRAY_HEADER = 4 + 12, ARRAY_DIMENSION = 8 };

/* Length, count and "has null" are put in at the end. */
struct pgbin_array pgbin_array_begin(struct buf *out, enum pgbin_oid element)
{
	struct pgbin_array a = {.start = out->len};
	uint8_t *p = buf_take(out, ARRAY_HEADER + ARRAY_DIMENSION);
	memset(p, 0, ARRAY_HEADER + ARRAY_DIMENSION);
	put_be32(p + 12, (uint32_t)element);
	return a;
}

/* An empty array has no dimension. */
void pgbin_array_end(struct buf *out, struct pgbin_array a, uint32_t count, bool has_null)
{
	if (count == 0) {
		out->len = a.start + ARRAY_HEADER;
	} else {
		uint8_t *p = out->data + a.start;
		put_be32(p + 4, 1); /* dimensions */
		put_be32(p + 8, has_null);
		put_be32(p + 16, count);
		put_be32(p + 20, 1); /* index of the first */
	}
	patch_length(out, a.start);
}

/* Each element is a field of its own, length and all. */
void pgbin_array_floats(struct buf *out, const uint8_t *le, size_t n)
{
	uint8_t *p = buf_take(out, n * 8);
	for (size_t i = 0; i < n; i++) {
		put_be32(p + i * 8, 4);
		put_be32(p + i * 8 + 4, get_le32(le + i * 4));
	}
}

/* Rounds to even by hand: not every CPU has the instruction. */
bool pgbin_half(float v, uint16_t *half)
{
	uint32_t bits;
	memcpy(&bits, &v, sizeof(bits));
	uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
	uint32_t mantissa = bits & 0x7fffff;
	int exponent = (int)(bits >> 23 & 0xff) - 127;
	if (exponent == 128) { /* infinity, or a quiet NaN */
		*half = (uint16_t)(sign | 0x7c00 | (mantissa ? 0x200 : 0));
		return true;
	}
	/* the bits that stay, those that go, and what of these is exactly a half */
	uint32_t kept, rest, tie;
	if (exponent < -14) {
		unsigned shift =
			/* 14 .. 24; below 2^-25 all is lost */
			exponent < -25 ? 25 : (unsigned)(-1 - exponent);
		if (exponent < -25)
			mantissa = 0;
		else
			mantissa |= 0x800000;
		kept = mantissa >> shift;
		rest = mantissa & ((UINT32_C(1) << shift) - 1);
		tie = UINT32_C(1) << (shift - 1);
	} else {
		if (exponent > 15)
			return false;
		kept = (uint32_t)(exponent + 15) << 10 | mantissa >> 13;
		rest = mantissa & 0x1fff;
		tie = 0x1000;
	}
	if (rest > tie || (rest == tie && kept & 1))
		kept++; /* may carry into the exponent, which is right */
	if (kept >= 0x7c00)
		return false;
	*half = (uint16_t)(sign | kept);
	return true;
}

enum { VECTOR_HEADER = 4 + 4 };

struct pgbin_vector pgbin_vector_begin(struct buf *out, enum pgbin_vector_kind kind, uint32_t dim)
{
	struct pgbin_vector v = {.start = out->len, .kind = kind, .dim = dim};
	buf_take(out, VECTOR_HEADER);
	return v;
}

/* Counts n more. True when they are to be written: not past what the vector may have. */
static bool vector_count(struct pgbin_vector *v, size_t n)
{
	uint64_t most = v->dim ? v->dim : PGBIN_VECTOR_MAX_DIM;
	if (__builtin_add_overflow(v->count, n, &v->count))
		v->count = UINT64_MAX;
	return v->count <= most;
}

/* The first bad one of n elements that were just counted. */
static bool refuse_element(struct buf *out, const struct pgbin_vector *v, size_t n, size_t i,
			   double value, struct refusal *why)
{
	unsigned long long at = v->count - n + i;
	out->len = v->start;
	if (isnan(value))
		return refuse(why, REASON_INVALID_EMBEDDING, "element %llu is NaN", at);
	if (isinf(value))
		return refuse(why, REASON_INVALID_EMBEDDING, "element %llu is infinite", at);
	return refuse(why, REASON_INVALID_EMBEDDING, "element %llu, %g, does not fit %s", at, value,
		      v->kind == VECTOR_HALF ? "halfvec" : "a float");
}

static float load_float(const uint8_t *le)
{
	uint32_t bits = get_le32(le);
	float f;
	memcpy(&f, &bits, sizeof(f));
	return f;
}

/* One element; false when it is not finite or does not fit. */
static bool put_element(struct buf *out, enum pgbin_vector_kind kind, float f)
{
	uint32_t bits;
	uint16_t half;
	if (!isfinite(f))
		return false;
	switch (kind) {
	case VECTOR_FLOAT4:
		memcpy(&bits, &f, sizeof(bits));
		buf_be32(out, bits);
		return true;
	case VECTOR_HALF:
		if (!pgbin_half(f, &half))
			return false;
		buf_be16(out, half);
		return true;
	}
	return false;
}

/* In one go if all are finite; else once more, to find the one that is not. */
bool pgbin_vector_floats(struct buf *out, struct pgbin_vector *v, const uint8_t *le, size_t n,
			 struct refusal *why)
{
	if (!vector_count(v, n))
		return true; /* pgbin_vector_end() refuses it */
	if (v->kind == VECTOR_FLOAT4 && floats_swap(buf_take(out, n * 4), le, n))
		return true;
	if (v->kind == VECTOR_FLOAT4)
		out->len -= n * 4; /* once more, one by one: which one is it? */
	for (size_t i = 0; i < n; i++) {
		float f = load_float(le + i * 4);
		if (!put_element(out, v->kind, f))
			return refuse_element(out, v, n, i, (double)f, why);
	}
	return true;
}

/* pgvector has no doubles, so each is rounded to a float. */
bool pgbin_vector_doubles(struct buf *out, struct pgbin_vector *v, const uint8_t *le, size_t n,
			  struct refusal *why)
{
	if (!vector_count(v, n))
		return true;
	for (size_t i = 0; i < n; i++) {
		uint64_t bits = get_le64(le + i * 8);
		double d;
		memcpy(&d, &bits, sizeof(d));
		if (!fits_float(d) || !put_element(out, v->kind, (float)d))
			return refuse_element(out, v, n, i, d, why);
	}
	return true;
}

/* Here a wrong number of elements is refused, when all have been counted. */
bool pgbin_vector_end(struct buf *out, const struct pgbin_vector *v, struct refusal *why)
{
	uint64_t n = v->count;
	bool right = v->dim ? n == v->dim : n >= 1 && n <= PGBIN_VECTOR_MAX_DIM;
	if (!right) {
		out->len = v->start;
		if (v->dim)
			return refuse(why, REASON_INVALID_EMBEDDING,
				      "has %llu dimensions, the column wants %u",
				      (unsigned long long)n, v->dim);
		return refuse(why, REASON_INVALID_EMBEDDING,
			      "has %llu dimensions, 1 to %u are possible", (unsigned long long)n,
			      PGBIN_VECTOR_MAX_DIM);
	}
	patch_length(out, v->start);
	put_be16(out->data + v->start + 4, (uint16_t)n);
	put_be16(out->data + v->start + 6, 0);
	return true;
}

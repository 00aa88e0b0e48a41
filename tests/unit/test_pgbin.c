/*
 * test_pgbin.c - the bytes of COPY BINARY values, against bytes that a PostgreSQL 16 with pgvector
 * 0.8 was seen to read as the value in the comment (COPY ... FORMAT binary, then SELECT).
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/pgbin.h"
#include "unit.h"

/* Appends b as hex to a static text and empties it. */
static const char *hex(struct buf *b)
{
	static char text[512];
	size_t n = 0;
	for (size_t i = 0; i < b->len && n + 3 < sizeof(text); i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%02x", b->data[i]);
	text[n] = '\0';
	b->len = 0;
	return text;
}

static struct slice text_slice(const char *s)
{
	return (struct slice){(const uint8_t *)s, strlen(s)};
}

/*
 * Proves the layout of the plain values: length, then big-endian bytes; null is the length -1;
 * jsonb has its version byte.
 */
START_TEST(test_plain)
{
	struct buf b = {0};
	pgbin_null(&b);
	ck_assert_str_eq(hex(&b), "ffffffff");
	pgbin_bool(&b, true);
	ck_assert_str_eq(hex(&b), "0000000101");
	pgbin_bool(&b, false);
	ck_assert_str_eq(hex(&b), "0000000100");
	pgbin_int2(&b, -2);
	ck_assert_str_eq(hex(&b), "00000002fffe");
	pgbin_int4(&b, 0x01020304);
	ck_assert_str_eq(hex(&b), "0000000401020304");
	pgbin_int8(&b, INT64_MIN);
	ck_assert_str_eq(hex(&b), "000000088000000000000000");
	pgbin_float4(&b, -1.5f);
	ck_assert_str_eq(hex(&b), "00000004bfc00000");
	pgbin_float8(&b, 1.5);
	ck_assert_str_eq(hex(&b), "000000083ff8000000000000");
	pgbin_bytes(&b, text_slice("ab"));
	ck_assert_str_eq(hex(&b), "000000026162");
	pgbin_bytes(&b, (struct slice){NULL, 0});
	ck_assert_str_eq(hex(&b), "00000000");
	pgbin_jsonb(&b, text_slice("{}"));
	ck_assert_str_eq(hex(&b), "00000003017b7d");
	buf_free(&b);
}
END_TEST

/*
 * Proves that narrowing takes the whole range of the type, refuses the next value on both sides,
 * and then writes nothing.
 */
START_TEST(test_narrow)
{
	struct buf b = {0};
	struct refusal why;
	ck_assert(pgbin_int2_checked(&b, INT16_MIN, &why));
	ck_assert_str_eq(hex(&b), "000000028000");
	ck_assert(pgbin_int2_checked(&b, INT16_MAX, &why));
	ck_assert_str_eq(hex(&b), "000000027fff");
	ck_assert(!pgbin_int2_checked(&b, INT16_MAX + 1, &why));
	ck_assert_int_eq(why.reason, REASON_OUT_OF_RANGE);
	ck_assert_str_eq(why.text, "32768 does not fit smallint");
	ck_assert(!pgbin_int2_checked(&b, INT16_MIN - 1, &why));
	ck_assert(pgbin_int4_checked(&b, INT32_MIN, &why));
	ck_assert_str_eq(hex(&b), "0000000480000000");
	ck_assert(!pgbin_int4_checked(&b, INT64_C(2147483648), &why));
	ck_assert(!pgbin_int4_checked(&b, INT64_C(-2147483649), &why));
	ck_assert(pgbin_float4_checked(&b, 0x1.fffffep127, &why));
	ck_assert_str_eq(hex(&b), "000000047f7fffff");
	ck_assert(pgbin_float4_checked(&b, 0x1.fffffe8p127, &why)); /* rounds down to the largest */
	ck_assert_str_eq(hex(&b), "000000047f7fffff");
	ck_assert(!pgbin_float4_checked(&b, 0x1.ffffffp127, &why));
	ck_assert(!pgbin_float4_checked(&b, -1e300, &why));
	ck_assert(pgbin_float4_checked(&b, -INFINITY, &why));
	ck_assert_str_eq(hex(&b), "00000004ff800000");
	ck_assert_uint_eq(b.len, 0);
	buf_free(&b);
}
END_TEST

/*
 * Proves that each form of a UUID that PostgreSQL reads is read, and that near misses are refused.
 */
START_TEST(test_uuid)
{
	static const char *const good[] = {
		"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",    "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
		"{a0eebc99-9c0b4ef8-bb6d6bb9-bd380a11}",   "a0eebc999c0b4ef8bb6d6bb9bd380a11",
		"a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11", "{a0eebc999c0b4ef8bb6d6bb9bd380a11}",
	};
	static const char *const bad[] = {
		"",
		"{",
		"{}",
		"a0eebc999c0b4ef8bb6d6bb9bd380a1",   /* short */
		"a0eebc999c0b4ef8bb6d6bb9bd380a111", /* long */
		"a0eebc999c0b4ef8bb6d6bb9bd380a11-", /* hyphen at the end */
		"-a0eebc999c0b4ef8bb6d6bb9bd380a11",
		"a0-eebc999c0b4ef8bb6d6bb9bd380a11", /* hyphen after two digits */
		"a0eebc99--9c0b4ef8bb6d6bb9bd380a11",
		"{a0eebc999c0b4ef8bb6d6bb9bd380a11",
		"a0eebc999c0b4ef8bb6d6bb9bd380a11}",
		"a0eebc999c0b4ef8bb6d6bb9bd380a1g",
		" a0eebc999c0b4ef8bb6d6bb9bd380a11",
	};
	struct buf b = {0};
	struct refusal why;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		ck_assert_msg(pgbin_uuid_text(&b, text_slice(good[i]), &why), "%s", good[i]);
		ck_assert_str_eq(hex(&b), "00000010a0eebc999c0b4ef8bb6d6bb9bd380a11");
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		ck_assert_msg(!pgbin_uuid_text(&b, text_slice(bad[i]), &why), "%s", bad[i]);
		ck_assert_int_eq(why.reason, REASON_INVALID_TEXT);
		ck_assert_uint_eq(b.len, 0);
	}
	pgbin_uuid(&b, (const uint8_t *)"0123456789abcdef");
	ck_assert_str_eq(hex(&b), "0000001030313233343536373839616263646566");
	buf_free(&b);
}
END_TEST

/* Proves the epoch of date and the exact ends of its range, and those of time. */
START_TEST(test_date_time)
{
	struct buf b = {0};
	struct refusal why;
	ck_assert(pgbin_date(&b, 10957, &why)); /* 2000-01-01 */
	ck_assert_str_eq(hex(&b), "0000000400000000");
	ck_assert(pgbin_date(&b, 0, &why)); /* 1970-01-01 */
	ck_assert_str_eq(hex(&b), "00000004ffffd533");
	ck_assert(pgbin_date(&b, -2440588, &why)); /* 4714-11-24 BC */
	ck_assert_str_eq(hex(&b), "00000004ffda97a7");
	ck_assert(!pgbin_date(&b, -2440589, &why));
	ck_assert_int_eq(why.reason, REASON_OUT_OF_RANGE);
	ck_assert(pgbin_date(&b, 2145042905, &why)); /* 5874897-12-31 */
	ck_assert_str_eq(hex(&b), "000000047fda970c");
	ck_assert(!pgbin_date(&b, 2145042906, &why));
	ck_assert(!pgbin_date(&b, INT64_MIN, &why));
	ck_assert(!pgbin_date(&b, INT64_MAX, &why));
	ck_assert(pgbin_time(&b, 0, &why));
	ck_assert_str_eq(hex(&b), "000000080000000000000000");
	ck_assert(pgbin_time(&b, INT64_C(86400000000), &why)); /* 24:00:00 */
	ck_assert_str_eq(hex(&b), "00000008000000141dd76000");
	ck_assert(!pgbin_time(&b, INT64_C(86400000001), &why));
	ck_assert(!pgbin_time(&b, -1, &why));
	ck_assert_uint_eq(b.len, 0);
	buf_free(&b);
}
END_TEST

/*
 * Proves the epoch of timestamp in all three units, that nanoseconds are cut towards the past, and
 * the exact ends of the range, where milliseconds reach years that microseconds since 1970 do not.
 */
START_TEST(test_timestamp)
{
	static const struct {
		int64_t in;
		enum pgbin_unit unit;
		int64_t us; /* since 2000; INT64_MIN: refused */
	} rows[] = {
		{0, UNIT_MICROS, INT64_C(-946684800000000)},
		{946684800000, UNIT_MILLIS, 0},
		{946684800001, UNIT_MILLIS, 1000},
		{INT64_C(946684800000000001), UNIT_NANOS, 0},
		{INT64_C(946684799999999999), UNIT_NANOS, -1},
		{INT64_C(946684799999999000), UNIT_NANOS, -1},
		{INT64_C(946684799999998999), UNIT_NANOS, -2},
		{-1, UNIT_NANOS, INT64_C(-946684800000001)},
		{INT64_MAX, UNIT_NANOS, INT64_C(8276687236854775)},
		{INT64_MIN, UNIT_NANOS, INT64_C(-10170056836854776)},
		{INT64_MAX, UNIT_MICROS, INT64_C(9222425352054775807)},
		/* 4714-11-24 BC */
		{INT64_C(-210866803200000000), UNIT_MICROS, INT64_C(-211813488000000000)},
		{INT64_C(-210866803200000001), UNIT_MICROS, INT64_MIN},
		{INT64_C(-210866803200000), UNIT_MILLIS, INT64_C(-211813488000000000)},
		{INT64_C(-210866803200001), UNIT_MILLIS, INT64_MIN},
		/* 294276-12-31 */
		{INT64_C(9224318015999999), UNIT_MILLIS, INT64_C(9223371331199999000)},
		{INT64_C(9224318016000000), UNIT_MILLIS, INT64_MIN},
		{INT64_MAX, UNIT_MILLIS, INT64_MIN},
		{INT64_MIN, UNIT_MILLIS, INT64_MIN},
		{INT64_MIN, UNIT_MICROS, INT64_MIN},
	};
	struct buf b = {0};
	struct refusal why;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t us = 1;
		bool fits = rows[i].us != INT64_MIN;
		ck_assert_msg(pgbin_timestamp_us(rows[i].in, rows[i].unit, &us, &why) == fits,
			      "row %zu", i);
		ck_assert_msg(pgbin_timestamp(&b, rows[i].in, rows[i].unit, &why) == fits,
			      "row %zu", i);
		ck_assert_uint_eq(b.len, fits ? 12 : 0);
		if (fits) {
			ck_assert_msg(us == rows[i].us, "row %zu: %lld", i, (long long)us);
			ck_assert_uint_eq(get_be32(b.data), 8);
			ck_assert(get_be64(b.data + 4) == (uint64_t)us);
		} else {
			ck_assert_int_eq(why.reason, REASON_OUT_OF_RANGE);
		}
		b.len = 0;
	}
	buf_free(&b);
}
END_TEST

/* Proves the order of interval's parts and that what int32 cannot hold is refused. */
START_TEST(test_interval)
{
	struct buf b = {0};
	struct refusal why;
	const uint8_t v[12] = {14, 0, 0, 0, 40, 0, 0, 0, 0xff, 0xff, 0xff, 0xff};
	ck_assert(pgbin_interval(&b, v, &why)); /* 1 year 2 mons 40 days 1193:02:47.295 */
	ck_assert_str_eq(hex(&b), "00000010000003e7fffffc18000000280000000e");
	const uint8_t months[12] = {0, 0, 0, 0x80};
	ck_assert(!pgbin_interval(&b, months, &why));
	const uint8_t days[12] = {0, 0, 0, 0, 0, 0, 0, 0x80};
	ck_assert(!pgbin_interval(&b, days, &why));
	ck_assert_int_eq(why.reason, REASON_OUT_OF_RANGE);
	ck_assert_uint_eq(b.len, 0);
	buf_free(&b);
}
END_TEST

/*
 * Proves digits, weight, sign and scale of numeric for every alignment of the point to base 10000,
 * and needless sign bytes.
 */
START_TEST(test_numeric)
{
	static const struct {
		const char *bytes;
		size_t len;
		uint32_t scale;
		const char *want; /* without the length */
	} rows[] = {
		{"", 0, 3, "0000000000000003"},         /* 0.000 */
		{"\0", 1, 0, "0000000000000000"},       /* 0 */
		{"\1", 1, 0, "00010000000000000001"},   /* 1 */
		{"\xff", 1, 0, "00010000400000000001"}, /* -1 */
		{"\x80", 1, 0, "00010000400000000080"}, /* -128 */
		/* -128, longer than needed */
		{"\xff\x80", 2, 0, "00010000400000000080"},
		{"\0\xff", 2, 0, "000100000000000000ff"},                  /* 255 */
		{"\0\0\0\0\0\0\0\0\0\xff", 10, 0, "000100000000000000ff"}, /* 255 */
		{"\x27\x10", 2, 0, "00010001000000000001"},                /* 10000 */
		{"\x27\x11", 2, 0, "000200010000000000010001"},            /* 10001 */
		{"\x27\x10", 2, 4, "00010000000000040001"},                /* 1.0000 */
		{"\x30\x39", 2, 1, "000200000000000104d21388"},            /* 1234.5 */
		{"\x30\x39", 2, 2, "0002000000000002007b1194"},            /* 123.45 */
		{"\x30\x39", 2, 3, "0002000000000003000c0d7a"},            /* 12.345 */
		{"\x30\x39", 2, 4, "000200000000000400010929"},            /* 1.2345 */
		{"\x30\x39", 2, 5, "0002ffff0000000504d21388"},            /* 0.12345 */
		/* 0.000012345 */
		{"\x30\x39", 2, 9, "0002fffe0000000904d21388"},
		{"\xcf\xc7", 2, 2, "0002000040000002007b1194"}, /* -123.45 */
		/* -9223372036854775808 */
		{"\x80\0\0\0\0\0\0\0", 8, 0, "0005000440000000039a0d2c0170156516b0"},
	};
	struct buf b = {0};
	struct refusal why;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct slice s = {(const uint8_t *)rows[i].bytes, rows[i].len};
		ck_assert_msg(pgbin_numeric(&b, s, 19, rows[i].scale, &why), "row %zu", i);
		ck_assert_uint_eq(get_be32(b.data), b.len - 4);
		ck_assert_msg(strcmp(hex(&b) + 8, rows[i].want) == 0, "row %zu", i);
	}
	buf_free(&b);
}
END_TEST

/*
 * Proves that precision counts digits of the unscaled number, for each pad, and that a long value
 * is refused before any work.
 */
START_TEST(test_numeric_limits)
{
	struct buf b = {0};
	struct refusal why;
	const uint8_t digits3[] = {0x03, 0xe7}, digits4[] = {0x03, 0xe8}; /* 999 and 1000 */
	for (uint32_t scale = 0; scale < 6; scale++) {
		ck_assert(pgbin_numeric(&b, (struct slice){digits3, 2}, 3, scale, &why));
		size_t before = b.len;
		ck_assert(!pgbin_numeric(&b, (struct slice){digits4, 2}, 3, scale, &why));
		ck_assert_int_eq(why.reason, REASON_OUT_OF_RANGE);
		ck_assert_str_eq(why.text, "decimal of 4 digits, precision is 3");
		ck_assert_uint_eq(b.len, before);
	}
	ck_assert(!pgbin_numeric(&b, (struct slice){digits3, 2}, 0, 16384, &why));
	size_t huge = 100 * 1024 * 1024;
	uint8_t *zeros = xcalloc(1, huge); /* a positive number: 01 00 00 ... */
	zeros[0] = 1;
	ck_assert(!pgbin_numeric(&b, (struct slice){zeros, huge}, 38, 2, &why));
	ck_assert(!pgbin_numeric(&b, (struct slice){zeros, huge}, 0, 2, &why));
	zeros[0] = 0;
	b.len = 0;
	/* only sign bytes: 0 */
	ck_assert(pgbin_numeric(&b, (struct slice){zeros, huge}, 38, 2, &why));
	ck_assert_str_eq(hex(&b), "000000080000000000000002");
	zeros[0] = 1; /* 256^99: more than the stack's share, 239 digits */
	ck_assert(pgbin_numeric(&b, (struct slice){zeros, 100}, 239, 0, &why));
	ck_assert(!pgbin_numeric(&b, (struct slice){zeros, 100}, 238, 0, &why));
	const size_t edge = 54427; /* 2^435411 has 131072 digits, twice that has 131073 */
	zeros[0] = 0x08;
	ck_assert(pgbin_numeric(&b, (struct slice){zeros, edge}, 0, 0, &why));
	zeros[0] = 0x10;
	ck_assert(!pgbin_numeric(&b, (struct slice){zeros, edge}, 0, 0, &why));
	ck_assert_int_eq(why.reason, REASON_OUT_OF_RANGE);
	ck_assert(pgbin_numeric(&b, (struct slice){zeros, edge}, 0, 1, &why));
	free(zeros);
	buf_free(&b);
}
END_TEST

/*
 * Proves the header of an array with and without null, that an empty one has no dimension, and that
 * floats at once are the same.
 */
START_TEST(test_array)
{
	struct buf b = {0};
	struct pgbin_array a = pgbin_array_begin(&b, OID_TEXT);
	pgbin_bytes(&b, text_slice("hi"));
	pgbin_null(&b);
	pgbin_array_end(&b, a, 2, true);
	ck_assert_str_eq(hex(&b), "0000001e000000010000000100000019000000020000000100000002"
				  "6869ffffffff");
	pgbin_bool(&b, true); /* not at the beginning of the buffer */
	a = pgbin_array_begin(&b, OID_INT4);
	pgbin_array_end(&b, a, 0, false);
	ck_assert_str_eq(hex(&b), "00000001010000000c000000000000000000000017");
	a = pgbin_array_begin(&b, OID_FLOAT4);
	pgbin_array_floats(&b, (const uint8_t *)"\0\0\xc0\x3f\0\0\0\xc0", 2);
	pgbin_array_end(&b, a, 2, false);
	char bulk[200];
	snprintf(bulk, sizeof(bulk), "%s", hex(&b));
	a = pgbin_array_begin(&b, OID_FLOAT4);
	pgbin_float4(&b, 1.5f);
	pgbin_float4(&b, -2);
	pgbin_array_end(&b, a, 2, false);
	ck_assert_str_eq(hex(&b), bulk);
	buf_free(&b);
}
END_TEST

/* Proves the layout of vector and halfvec, put together from pieces of floats and doubles. */
START_TEST(test_vector)
{
	const float f[] = {1.5f, -0.0f};
	const double d[] = {-2.25};
	struct buf b = {0};
	struct refusal why;
	struct pgbin_vector v = pgbin_vector_begin(&b, VECTOR_FLOAT4, 3);
	ck_assert(pgbin_vector_floats(&b, &v, (const uint8_t *)f, 2, &why));
	ck_assert(pgbin_vector_doubles(&b, &v, (const uint8_t *)d, 1, &why));
	ck_assert(pgbin_vector_end(&b, &v, &why));
	ck_assert_str_eq(hex(&b), "00000010000300003fc0000080000000c0100000");
	v = pgbin_vector_begin(&b, VECTOR_HALF, 0);
	ck_assert(pgbin_vector_floats(&b, &v, (const uint8_t *)f, 2, &why));
	ck_assert(pgbin_vector_doubles(&b, &v, (const uint8_t *)d, 1, &why));
	ck_assert(pgbin_vector_end(&b, &v, &why));
	ck_assert_str_eq(hex(&b), "0000000a000300003e008000c080");
	buf_free(&b);
}
END_TEST

/* Tries one vector; the refusal's text, or "". The buffer must be as before when refused. */
static const char *try_vector(enum pgbin_vector_kind kind, uint32_t dim, const float *f, size_t nf,
			      const double *d, size_t nd)
{
	static struct refusal why;
	struct buf b = {0};
	why = (struct refusal){0};
	pgbin_bool(&b, true);
	struct pgbin_vector v = pgbin_vector_begin(&b, kind, dim);
	bool fits = pgbin_vector_floats(&b, &v, (const uint8_t *)f, nf, &why) &&
		    pgbin_vector_doubles(&b, &v, (const uint8_t *)d, nd, &why) &&
		    pgbin_vector_end(&b, &v, &why);
	ck_assert(fits || (b.len == 5 && why.reason == REASON_INVALID_EMBEDDING));
	buf_free(&b);
	return why.text;
}

/*
 * Proves that each kind of bad vector is refused with what was found and wanted, whatever piece it
 * is in.
 */
START_TEST(test_vector_refused)
{
	const float f[] = {1, 2, NAN, INFINITY}, big[] = {65519.996f, 65520};
	const double d[] = {1, NAN, -INFINITY, 1e39};
	ck_assert_str_eq(try_vector(VECTOR_FLOAT4, 2, f, 2, NULL, 0), "");
	ck_assert_str_eq(try_vector(VECTOR_FLOAT4, 3, f, 2, NULL, 0),
			 "has 2 dimensions, the column wants 3");
	ck_assert_str_eq(try_vector(VECTOR_FLOAT4, 3, f, 2, d, 2),
			 "has 4 dimensions, the column wants 3");
	ck_assert_str_eq(try_vector(VECTOR_HALF, 0, NULL, 0, NULL, 0),
			 "has 0 dimensions, 1 to 16000 are possible");
	ck_assert_str_eq(try_vector(VECTOR_FLOAT4, 0, f, 3, NULL, 0), "element 2 is NaN");
	ck_assert_str_eq(try_vector(VECTOR_HALF, 0, f, 3, NULL, 0), "element 2 is NaN");
	ck_assert_str_eq(try_vector(VECTOR_FLOAT4, 0, f + 3, 1, NULL, 0), "element 0 is infinite");
	ck_assert_str_eq(try_vector(VECTOR_FLOAT4, 0, f, 2, d, 2), "element 3 is NaN");
	ck_assert_str_eq(try_vector(VECTOR_FLOAT4, 0, NULL, 0, d + 2, 1), "element 0 is infinite");
	ck_assert_str_eq(try_vector(VECTOR_FLOAT4, 0, NULL, 0, d + 3, 1),
			 "element 0, 1e+39, does not fit a float");
	ck_assert_str_eq(try_vector(VECTOR_HALF, 1, big, 1, NULL, 0), "");
	ck_assert_str_eq(try_vector(VECTOR_HALF, 1, big + 1, 1, NULL, 0),
			 "element 0, 65520, does not fit halfvec");
	static float many[PGBIN_VECTOR_MAX_DIM + 1];
	ck_assert_str_eq(try_vector(VECTOR_FLOAT4, 0, many, PGBIN_VECTOR_MAX_DIM, NULL, 0), "");
	ck_assert_str_eq(try_vector(VECTOR_FLOAT4, 0, many, PGBIN_VECTOR_MAX_DIM + 1, NULL, 0),
			 "has 16001 dimensions, 1 to 16000 are possible");
}
END_TEST

/* The value of a half, by its definition. */
static double half_value(unsigned h)
{
	unsigned exponent = h >> 10 & 31, mantissa = h & 1023;
	return exponent == 0 ? ldexp(mantissa, -24) : ldexp(1024 + mantissa, (int)exponent - 25);
}

/*
 * Proves round to nearest, ties to even, for every finite half: the value itself, the point between
 * it and the next, and the floats beside that point; with both signs.
 */
START_TEST(test_half)
{
	for (unsigned h = 0; h < 0x7c00; h++) {
		float here = (float)half_value(h),
		      middle = (float)((half_value(h) + half_value(h + 1)) / 2);
		const struct {
			float v;
			unsigned want;
		} rows[] = {
			{here, h},
			{nextafterf(middle, 0), h},
			{middle, h + (h & 1)},
			{nextafterf(middle, INFINITY), h + 1},
		};
		for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
			uint16_t got = 0, negative = 0;
			bool fits = rows[i].want < 0x7c00;
			ck_assert(pgbin_half(rows[i].v, &got) == fits);
			ck_assert(pgbin_half(-rows[i].v, &negative) == fits);
			if (fits)
				ck_assert_msg(got == rows[i].want && negative == (got | 0x8000),
					      "%a: %x, want %x", (double)rows[i].v, got,
					      rows[i].want);
		}
	}
	uint16_t h;
	ck_assert(pgbin_half(INFINITY, &h) && h == 0x7c00);
	ck_assert(pgbin_half(NAN, &h) && (h & 0x7fff) == 0x7e00);
	ck_assert(pgbin_half(1e-40f, &h) && h == 0);
	ck_assert(!pgbin_half(3e38f, &h));
}
END_TEST

/* Proves that names in every spelling give the type's OID, and other names none. */
START_TEST(test_oid)
{
	ck_assert_int_eq(pgbin_oid("text[]"), 25);
	ck_assert_int_eq(pgbin_oid("TEXT"), 25);
	ck_assert_int_eq(pgbin_oid("varchar(20)[]"), 1043);
	ck_assert_int_eq(pgbin_oid("timestamp (3) with  time zone"), 1184);
	ck_assert_int_eq(pgbin_oid("timestamp(3)[]"), 1114);
	ck_assert_int_eq(pgbin_oid("double precision []"), 701);
	ck_assert_int_eq(pgbin_oid("numeric(10, 2)"), 1700);
	ck_assert_int_eq(pgbin_oid("jsonb"), 3802);
	ck_assert_int_eq(pgbin_oid("json"), OID_NONE);
	ck_assert_int_eq(pgbin_oid("vector(3)"), OID_NONE);
	ck_assert_int_eq(pgbin_oid(""), OID_NONE);
	ck_assert_int_eq(pgbin_oid("a_name_of_a_type_that_is_longer_than_any_name"), OID_NONE);
}
END_TEST

static Suite *pgbin_suite(void)
{
	Suite *s = suite_create("pgbin");
	TCase *t = tcase_create("values");
	tcase_add_test(t, test_plain);
	tcase_add_test(t, test_narrow);
	tcase_add_test(t, test_uuid);
	tcase_add_test(t, test_date_time);
	tcase_add_test(t, test_timestamp);
	tcase_add_test(t, test_interval);
	tcase_add_test(t, test_numeric);
	tcase_add_test(t, test_numeric_limits);
	tcase_add_test(t, test_array);
	tcase_add_test(t, test_vector);
	tcase_add_test(t, test_vector_refused);
	tcase_add_test(t, test_half);
	tcase_add_test(t, test_oid);
	suite_add_tcase(s, t);
	return s;
}
UNIT_SUITE(pgbin_suite)

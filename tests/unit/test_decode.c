/*
 * test_decode.c - rows from data, value by value, and what hostile data gets. Inputs end at the end of a heap block (codec_rig.h),
 * so that a sanitizer sees one byte read too many.
 */
#include <float.h>
#include <math.h>

#include "codec_rig.h"

/* One field f of that type and annotation; the datum begins with the key. */
static void open_one(struct rig *r, const char *type, const char *pg)
{
	char *fields = xasprintf("{'name':'f','type':%s%s%s}", type, *pg ? ",'pg':" : "", pg);
	rig_open_fields(r, NULL, fields);
	free(fields);
	avro_long(&r->in, 1);
}

static void start(struct rig *r)
{
	r->in.len = 0;
	avro_long(&r->in, 1);
}

/* ---- columns ------------------------------------------------------------------------------------------------------------ */

/* Numbers and booleans, at the ends of their ranges, in columns of their own and of other widths. */
START_TEST(numbers)
{
	static const struct {
		const char *type, *pg;
		int64_t value;
		bool fits;
	} cases[] = {
		{"'int'", "", INT32_MIN, true},
		{"'int'", "", INT32_MAX, true},
		{"'long'", "", INT64_MIN, true},
		{"'long'", "", INT64_MAX, true},
		{"'int'", "{'type':'smallint'}", 32767, true},
		{"'int'", "{'type':'smallint'}", 32768, false},
		{"'long'", "{'type':'integer'}", INT64_C(-2147483649), false},
		{"'int'", "{'type':'bigint'}", -1, true},
	};
	struct rig r;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		open_one(&r, cases[i].type, cases[i].pg);
		avro_long(&r.in, cases[i].value);
		if (cases[i].fits) {
			rig_decode(&r);
			ck_assert_int_eq(rig_int(&r, 1), cases[i].value);
		} else {
			rig_refused(&r, REASON_OUT_OF_RANGE, "field 'f' at byte 1");
		}
		rig_free(&r);
	}
	open_one(&r, "'boolean'", "");
	buf_u8(&r.in, 1);
	rig_decode(&r);
	ck_assert_int_eq(rig_field(&r, 1).data[0], 1);
	r.in.data[1] = 2;
	rig_refused(&r, REASON_DECODE, "neither 0 nor 1");
	rig_free(&r);
	open_one(&r, "'double'", "{'type':'real'}");
	avro_double(&r.in, 1e300);
	rig_refused(&r, REASON_OUT_OF_RANGE, "field 'f'");
	start(&r);
	avro_double(&r.in, 0.5);
	rig_decode(&r);
	ck_assert_double_eq(rig_real(&r, 1), 0.5);
	rig_free(&r);
	open_one(&r, "'float'", "");
	avro_float(&r.in, NAN);
	rig_decode(&r);
	ck_assert(isnan(rig_real(&r, 1)));
	rig_free(&r);
}
END_TEST

/* Varints: five and ten bytes are the most, and what they hold has to fit. */
START_TEST(varints)
{
	struct rig r;
	open_one(&r, "'int'", "");
	buf_put(&r.in, "\xff\xff\xff\xff\x0f", 5);
	rig_decode(&r);
	ck_assert_int_eq(rig_int(&r, 1), INT32_MIN);
	start(&r);
	buf_put(&r.in, "\xff\xff\xff\xff\x1f", 5);
	rig_refused(&r, REASON_DECODE, "more bits");
	start(&r);
	buf_put(&r.in, "\x80\x80\x80\x80\x80\x00", 6);
	rig_refused(&r, REASON_DECODE, "more bits");
	rig_free(&r);
	open_one(&r, "'long'", "");
	buf_put(&r.in, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10);
	rig_decode(&r);
	ck_assert_int_eq(rig_int(&r, 1), INT64_MIN);
	start(&r);
	buf_put(&r.in, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10);
	rig_refused(&r, REASON_DECODE, "more bits");
	start(&r);
	buf_put(&r.in, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00", 11);
	rig_refused(&r, REASON_DECODE, "more bits");
	start(&r);
	buf_put(&r.in, "\x82\x00", 2); /* longer than need be, which no rule forbids */
	rig_decode(&r);
	ck_assert_int_eq(rig_int(&r, 1), 1);
	rig_free(&r);
}
END_TEST

/* Text: checked, limited; enums as their symbols; varchar(n) counts characters. */
START_TEST(texts)
{
	struct rig r;
	open_one(&r, "'string'", "{'type':'varchar(3)'}");
	avro_string(&r.in, "\xc3\xa4\xc3\xa4\xc3\xa4");
	rig_decode(&r);
	rig_text(&r, 1, "\xc3\xa4\xc3\xa4\xc3\xa4");
	start(&r);
	avro_string(&r.in, "abcd");
	rig_refused(&r, REASON_TOO_LARGE, "field 'f' at byte 1: 4 characters, the column takes 3");
	start(&r);
	avro_bytes(&r.in, "a\0", 2);
	rig_refused(&r, REASON_INVALID_TEXT, "field 'f'");
	start(&r);
	avro_string(&r.in, "\xed\xa0\x80");
	rig_refused(&r, REASON_INVALID_TEXT, "field 'f'");
	start(&r);
	avro_long(&r.in, -1);
	rig_refused(&r, REASON_DECODE, "a length is negative");
	start(&r);
	avro_long(&r.in, INT64_MIN);
	rig_refused(&r, REASON_DECODE, "a length is negative");
	start(&r);
	avro_long(&r.in, INT64_MAX);
	rig_refused(&r, REASON_DECODE, "ends inside");
	rig_free(&r);
	open_one(&r, "'string'", "");
	struct buf big = {0};
	memset(buf_take(&big, 100001), 'x', 100001);
	avro_bytes(&r.in, big.data, 100000);
	rig_decode(&r);
	start(&r);
	avro_bytes(&r.in, big.data, 100001);
	rig_refused(&r, REASON_TOO_LARGE, "100001 bytes are over the limit of 100000");
	buf_free(&big);
	rig_free(&r);
}
END_TEST

/* uuid from text and from 16 bytes; bytea; decimal and interval. */
START_TEST(binaries)
{
	struct rig r;
	open_one(&r, "{'type':'string','logicalType':'uuid'}", "");
	avro_string(&r.in, "00010203-0405-0607-0809-0a0B0C0D0E0F");
	rig_decode(&r);
	ck_assert_uint_eq(rig_field(&r, 1).len, 16);
	ck_assert_int_eq(rig_field(&r, 1).data[15], 15);
	start(&r);
	avro_string(&r.in, "no uuid");
	rig_refused(&r, REASON_INVALID_TEXT, "field 'f'");
	rig_free(&r);
	open_one(&r, "{'type':'fixed','name':'F','size':16}", "{'type':'uuid'}");
	buf_puts(&r.in, "0123456789abcdef");
	rig_decode(&r);
	rig_text(&r, 1, "0123456789abcdef");
	rig_free(&r);
	open_one(&r, "{'type':'fixed','name':'D','size':12,'logicalType':'duration'}", "");
	buf_put(&r.in, "\1\0\0\0\2\0\0\0\3\0\0\0", 12);
	rig_decode(&r);
	ck_assert(memcmp(rig_field(&r, 1).data, "\0\0\0\0\0\0\x0b\xb8\0\0\0\2\0\0\0\1", 16) == 0);
	rig_free(&r);
	open_one(&r, "{'type':'bytes','logicalType':'decimal','precision':3,'scale':1}", "");
	avro_bytes(&r.in, "\x7b", 1); /* 12.3 */
	rig_decode(&r);
	ck_assert(memcmp(rig_field(&r, 1).data, "\0\2\0\0\0\0\0\1\0\x0c\x0b\xb8", 12) == 0);
	start(&r);
	avro_bytes(&r.in, "\x03\xe8", 2); /* 100.0 */
	rig_refused(&r, REASON_OUT_OF_RANGE, "field 'f'");
	rig_free(&r);
	open_one(&r, "'long'", "{'type':'numeric'}");
	avro_long(&r.in, -20001);
	rig_decode(&r);
	ck_assert(memcmp(rig_field(&r, 1).data, "\0\2\0\1\x40\0\0\0\0\2\0\1", 12) == 0);
	rig_free(&r);
}
END_TEST

/* Dates and times outside of what PostgreSQL holds. */
START_TEST(time_ranges)
{
	static const struct {
		const char *type;
		int64_t value;
	} cases[] = {
		{"{'type':'int','logicalType':'date'}", INT32_MAX},
		{"{'type':'int','logicalType':'time-millis'}", -1},
		{"{'type':'int','logicalType':'time-millis'}", 86400001},
		{"{'type':'long','logicalType':'timestamp-millis'}", INT64_MAX},
		{"{'type':'long','logicalType':'timestamp-micros'}", INT64_MIN},
		{"{'type':'long','logicalType':'time-micros'}", INT64_MAX},
	};
	struct rig r;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		open_one(&r, cases[i].type, "");
		avro_long(&r.in, cases[i].value);
		rig_refused(&r, REASON_OUT_OF_RANGE, "field 'f' at byte 1");
		rig_free(&r);
	}
	open_one(&r, cases[0].type, "");
	avro_long(&r.in, -1);
	rig_decode(&r);
	ck_assert_int_eq(rig_int(&r, 1), -1 - 10957);
	rig_free(&r);
}
END_TEST

/* null where the table takes none, at the top and inside of arrays and JSON. */
START_TEST(nulls)
{
	struct rig r;
	rig_open_fields(
		&r,
		"{'name':'f','type':{'type':'array','items':['null','int']}},{'name':'g','type':{'type':'map','values':"
		"['null','int']}}",
		"{'name':'f','type':{'type':'array','items':'int'}},{'name':'g','type':{'type':'map','values':'int'}}");
	avro_long(&r.in, 1);
	avro_long(&r.in, 1);
	avro_long(&r.in, 0);
	avro_long(&r.in, 0);
	avro_long(&r.in, 0);
	rig_refused(&r, REASON_MISSING_FIELD, "field 'f' at byte 1");
	start(&r);
	avro_long(&r.in, 0);
	avro_long(&r.in, 1);
	avro_string(&r.in, "");
	avro_long(&r.in, 0);
	avro_long(&r.in, 0);
	rig_refused(&r, REASON_MISSING_FIELD, "field 'g' at byte 2");
	rig_free(&r);
}
END_TEST

/* ---- vectors ------------------------------------------------------------------------------------------------------------ */

static void expect_vector(const struct rig *r, size_t field, size_t n)
{
	struct slice v = rig_field(r, field);
	ck_assert_uint_eq(v.len, 4 + 4 * n);
	ck_assert_uint_eq(get_be16(v.data), n);
	ck_assert_uint_eq(get_be16(v.data + 2), 0);
	for (size_t i = 0; i < n; i++) {
		uint32_t bits = get_be32(v.data + 4 + 4 * i);
		float f;
		memcpy(&f, &bits, sizeof(f));
		ck_assert_double_eq((double)f, (double)i / 2);
	}
}

/* An array of float in one block, in several, with sizes, and of double and int: the same vector. */
START_TEST(vector_arrays)
{
	struct rig r;
	open_one(&r, "{'type':'array','items':'float'}", "{'type':'vector(19)'}");
	avro_floats(&r.in, 19);
	rig_decode(&r);
	expect_vector(&r, 1, 19);
	start(&r);
	for (int i = 0, n; i < 19; i += n) { /* blocks of 1, 2, 3, ... some with their size */
		n = i < 3 ? i + 1 : 19 - i;
		avro_long(&r.in, i == 1 ? n : -n);
		if (i != 1)
			avro_long(&r.in, 4 * n);
		for (int k = 0; k < n; k++)
			avro_float(&r.in, (float)(i + k) / 2);
	}
	avro_long(&r.in, 0);
	rig_decode(&r);
	expect_vector(&r, 1, 19);
	rig_free(&r);
	open_one(&r, "['null',{'type':'array','items':'double'}]", "{'type':'vector'}");
	avro_long(&r.in, 1);
	avro_long(&r.in, 5);
	for (int i = 0; i < 5; i++)
		avro_double(&r.in, i / 2.0);
	avro_long(&r.in, 0);
	rig_decode(&r);
	expect_vector(&r, 1, 5);
	start(&r);
	avro_long(&r.in, 0);
	rig_decode(&r);
	rig_is_null(&r, 1);
	rig_free(&r);
	rig_open_fields(&r, "{'name':'f','type':{'type':'array','items':'int'}}",
			"{'name':'f','type':{'type':'array','items':'float'},'pg':{'type':'vector(1)'}}");
	avro_long(&r.in, 1);
	avro_long(&r.in, 1);
	avro_long(&r.in, 0);
	avro_long(&r.in, 0);
	rig_decode(&r);
	expect_vector(&r, 1, 1);
	rig_free(&r);
}
END_TEST

/* bytes and fixed of packed floats; halfvec; real[]; and a type that is staged as real[]. */
START_TEST(vector_forms)
{
	struct rig r;
	static const float f[] = {0, 0.5f, 1};
	open_one(&r, "'bytes'", "{'type':'vector(3)'}");
	avro_bytes(&r.in, f, sizeof(f));
	rig_decode(&r);
	expect_vector(&r, 1, 3);
	start(&r);
	avro_bytes(&r.in, f, sizeof(f) - 1);
	rig_refused(&r, REASON_INVALID_EMBEDDING, "11 bytes are no whole number of floats");
	rig_free(&r);
	open_one(&r, "{'type':'fixed','name':'F','size':12}", "{'type':'vector(3)'}");
	buf_put(&r.in, f, sizeof(f));
	rig_decode(&r);
	expect_vector(&r, 1, 3);
	rig_free(&r);
	open_one(&r, "{'type':'array','items':'float'}", "{'type':'halfvec(3)'}");
	avro_floats(&r.in, 3);
	rig_decode(&r);
	ck_assert(memcmp(rig_field(&r, 1).data, "\0\3\0\0\0\0\x38\0\x3c\0", 10) == 0);
	rig_free(&r);
	static const char *const reals[] = {"", "{'type':'vector(3)','via':'real[]'}",
					    "{'type':'my_vector','via':'real[]'}"};
	for (size_t i = 0; i < ARRAY_LEN(reals); i++) {
		open_one(&r, "{'type':'array','items':'float'}", reals[i]);
		avro_floats(&r.in, 3);
		rig_decode(&r);
		struct slice one = rig_field(&r, 1);
		ck_assert_uint_eq(one.len, 20 + 3 * 8);
		uint8_t kept[44];
		memcpy(kept, one.data, one.len);
		start(&r);
		for (int k = 0; k < 3; k++) { /* one block each */
			avro_long(&r.in, 1);
			avro_float(&r.in, f[k]);
		}
		avro_long(&r.in, 0);
		rig_decode(&r);
		ck_assert_uint_eq(rig_field(&r, 1).len, 44);
		ck_assert(memcmp(kept, rig_field(&r, 1).data, 44) == 0);
		rig_free(&r);
	}
}
END_TEST

static const struct {
	const char *type, *pg;
} vector_kinds[] = {
	{"{'type':'array','items':'float'}", "{'type':'vector(3)'}"},
	{"{'type':'array','items':'float'}", "{'type':'halfvec(3)'}"},
	{"{'type':'array','items':'float'}", "{'type':'vector(3)','via':'real[]'}"},
	{"'bytes'", "{'type':'vector(3)'}"},
	{"'bytes'", "{'type':'vector(3)','via':'real[]'}"},
};

static void put_vector(struct rig *r, size_t kind, const float *f, size_t n, size_t block)
{
	start(r);
	if (kind >= 3) {
		avro_bytes(&r->in, f, n * sizeof(*f));
		return;
	}
	for (size_t i = 0; i < n; i += block) {
		avro_long(&r->in, (int64_t)MIN(block, n - i));
		buf_put(&r->in, f + i, MIN(block, n - i) * sizeof(*f));
	}
	avro_long(&r->in, 0);
}

/* Wrong dimension, NaN, infinity: refused in each form, with the found and the wanted. */
START_TEST(vector_faults)
{
	static const float good[] = {1, 2, 3, 4};
	static const float bad[][3] = {{NAN, 0, 0}, {0, 0, NAN}, {0, INFINITY, 0}, {0, 0, -INFINITY}};
	for (size_t kind = 0; kind < ARRAY_LEN(vector_kinds); kind++) {
		struct rig r;
		open_one(&r, vector_kinds[kind].type, vector_kinds[kind].pg);
		for (size_t block = 1; block <= 4; block += 3) {
			put_vector(&r, kind, good, 3, block);
			rig_decode(&r);
			for (size_t n = 0; n <= 4; n++) {
				if (n == 3)
					continue;
				char found[20];
				put_vector(&r, kind, good, n, block);
				snprintf(found, sizeof(found), "%zu", n);
				rig_refused(&r, REASON_INVALID_EMBEDDING, found);
				ck_assert_ptr_nonnull(strstr(r.err.text, "3"));
			}
			for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
				put_vector(&r, kind, bad[i], 3, block);
				rig_refused(&r, REASON_INVALID_EMBEDDING, "field 'f' at byte 1");
			}
		}
		rig_free(&r);
	}
	struct rig r;
	open_one(&r, "{'type':'array','items':'double'}", "{'type':'vector(1)'}");
	avro_long(&r.in, 1);
	avro_double(&r.in, 1e39);
	avro_long(&r.in, 0);
	rig_refused(&r, REASON_INVALID_EMBEDDING, "field 'f'");
	rig_free(&r);
}
END_TEST

/* A vector of every length around the width of a vector register, with a NaN in each place. */
START_TEST(vector_lengths)
{
	float f[70];
	struct rig r;
	open_one(&r, "{'type':'array','items':'float'}", "{'type':'vector'}");
	for (size_t n = 1; n <= ARRAY_LEN(f); n++) {
		for (size_t i = 0; i < n; i++)
			f[i] = (float)i / 2;
		put_vector(&r, 0, f, n, n);
		rig_decode(&r);
		expect_vector(&r, 1, n);
		for (size_t bad = 0; bad < n; bad++) {
			f[bad] = NAN;
			put_vector(&r, 0, f, n, n);
			rig_refused(&r, REASON_INVALID_EMBEDDING, "field 'f'");
			f[bad] = (float)bad / 2;
		}
	}
	rig_free(&r);
}
END_TEST

/* ---- arrays and JSON ---------------------------------------------------------------------------------------------------- */

/* Arrays of text with nulls, of timestamps, of decimals; empty; with the element's id that array_recv wants. */
START_TEST(arrays)
{
	struct rig r;
	open_one(&r, "{'type':'array','items':['null','string']}", "");
	avro_long(&r.in, 3);
	avro_long(&r.in, 1);
	avro_string(&r.in, "ab");
	avro_long(&r.in, 0);
	avro_long(&r.in, 1);
	avro_string(&r.in, "");
	avro_long(&r.in, 0);
	rig_decode(&r);
	static const char want[] = "\0\0\0\1\0\0\0\1\0\0\0\x19\0\0\0\3\0\0\0\1\0\0\0\2ab\xff\xff\xff\xff\0\0\0";
	ck_assert_uint_eq(rig_field(&r, 1).len, sizeof(want));
	ck_assert(memcmp(rig_field(&r, 1).data, want, sizeof(want)) == 0);
	start(&r);
	avro_long(&r.in, 0);
	rig_decode(&r);
	ck_assert_uint_eq(rig_field(&r, 1).len, 12);
	rig_free(&r);
	open_one(&r, "{'type':'array','items':{'type':'long','logicalType':'local-timestamp-millis'}}", "");
	avro_long(&r.in, 1);
	avro_long(&r.in, 946684800001);
	avro_long(&r.in, 0);
	rig_decode(&r);
	ck_assert_uint_eq(get_be32(rig_field(&r, 1).data + 8), 1114);
	ck_assert_uint_eq(get_be64(rig_field(&r, 1).data + 24), 1000);
	rig_free(&r);
	open_one(&r, "{'type':'array','items':'string'}", "{'type':'varchar(2)[]'}");
	avro_long(&r.in, 1);
	avro_string(&r.in, "abc");
	avro_long(&r.in, 0);
	rig_refused(&r, REASON_TOO_LARGE, "3 characters");
	rig_free(&r);
}
END_TEST

/* JSON text in a string: kept as it is when it is JSON, else refused. */
START_TEST(json_strings)
{
	struct rig r;
	open_one(&r, "['null','string']", "{'type':'jsonb'}");
	avro_long(&r.in, 1);
	avro_string(&r.in, " {\"a\": [1, 2]} ");
	rig_decode(&r);
	rig_json(&r, 1, " {'a': [1, 2]} ");
	static const char *const bad[] = {"", "{", "{\"a\":1,}", "\"\\u0000\"", "'a'", "nul", "1 2"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		start(&r);
		avro_long(&r.in, 1);
		avro_string(&r.in, bad[i]);
		rig_refused(&r, REASON_INVALID_JSON, "field 'f' at byte 2");
	}
	start(&r);
	avro_long(&r.in, 0);
	rig_decode(&r);
	rig_is_null(&r, 1);
	rig_free(&r);
}
END_TEST

static void json_case(const char *type, const void *datum, size_t len, const char *want)
{
	struct rig r;
	char *map = xasprintf("{'type':'map','values':%s}", type); /* a map, so that no column type is looked for */
	open_one(&r, map, "");
	avro_long(&r.in, 1);
	avro_string(&r.in, "x");
	buf_put(&r.in, datum, len);
	avro_long(&r.in, 0);
	char *text = want ? xasprintf("{'x':%s}", want) : NULL;
	if (want) {
		rig_decode(&r);
		rig_json(&r, 1, text);
	} else {
		ck_assert_msg(!rig_try_decode(&r), "%s", type);
	}
	free(text);
	free(map);
	rig_free(&r);
}

static void json_long(const char *type, int64_t v, const char *want)
{
	struct buf b = {0};
	avro_long(&b, v);
	json_case(type, b.data, b.len, want);
	buf_free(&b);
}

static void json_bytes(const char *type, const void *p, size_t n, const char *want)
{
	struct buf b = {0};
	avro_bytes(&b, p, n);
	json_case(type, b.data, b.len, want);
	buf_free(&b);
}

static void json_double(double d, const char *want)
{
	json_case("'double'", &d, sizeof(d), want);
}

static void json_float(float f, const char *want)
{
	json_case("'float'", &f, sizeof(f), want);
}

/* Each type as JSON: numbers, text and bytes. */
START_TEST(json_scalars)
{
	json_case("'null'", "", 0, "null");
	json_case("'boolean'", "\1", 1, "true");
	json_case("'boolean'", "\0", 1, "false");
	json_long("'int'", INT32_MIN, "-2147483648");
	json_long("'long'", INT64_MAX, "9223372036854775807");
	json_double(0.1, "0.1");
	json_double(-1e300, "-1e+300");
	json_double(DBL_MIN, "2.2250738585072014e-308");
	json_double(NAN, NULL);
	json_double(INFINITY, NULL);
	json_float(0.1f, "0.1");
	json_float(FLT_MAX, "3.4028235e+38");
	json_float(16777216, "16777216");
	json_float(-INFINITY, NULL);
	json_bytes("'string'", "\"\\\n\x01\x7f\xc3\xa4/", 8, "'\\u0022\\u005c\\u000a\\u0001\x7f\xc3\xa4/'");
	json_bytes("'string'", "\xff", 1, NULL);
	json_bytes("'string'", "\0", 1, NULL);
	json_bytes("'bytes'", "a\xff\x01\"", 4, "'a\\u00ff\\u0001\\u0022'");
	json_bytes("'bytes'", "\0", 1, NULL);
	json_bytes("'bytes'", "", 0, "''");
	json_case("{'type':'fixed','name':'F','size':2}", "ab", 2, "'ab'");
	json_long("{'type':'enum','name':'E','symbols':['A','B']}", 1, "'B'");
	json_long("['null','int']", 0, "null");
	json_case("['null','int']", "\2\6", 2, "3");
}
END_TEST

/* Logical types as JSON: readable, and the value itself. */
START_TEST(json_logical)
{
#define L(type, name) "{'type':'" type "','logicalType':'" name "'}"
	json_long(L("int", "date"), 0, "'1970-01-01'");
	json_long(L("int", "date"), 19782, "'2024-02-29'");
	json_long(L("int", "date"), -719528, "'0000-01-01'");
	json_long(L("int", "date"), -719529, "'-0001-12-31'");
	json_long(L("int", "date"), 2932897, "'+10000-01-01'");
	json_long(L("int", "time-millis"), 45296789, "'12:34:56.789'");
	json_long(L("int", "time-millis"), -1, NULL);
	json_long(L("int", "time-millis"), 86400001, NULL);
	json_long(L("long", "time-micros"), 86400000000, "'24:00:00.000000'");
	json_long(L("long", "timestamp-millis"), -1, "'1969-12-31T23:59:59.999Z'");
	json_long(L("long", "timestamp-micros"), 1700000000123456, "'2023-11-14T22:13:20.123456Z'");
	json_long(L("long", "timestamp-nanos"), 1, "'1970-01-01T00:00:00.000000001Z'");
	json_long(L("long", "local-timestamp-millis"), 86399999, "'1970-01-01T23:59:59.999'");
	json_long(L("long", "timestamp-millis"), INT64_MIN, "'-292275055-05-16T16:47:04.192Z'");
#define DECIMAL(p, s) "{'type':'bytes','logicalType':'decimal','precision':" #p ",'scale':" #s "}"
	json_bytes(DECIMAL(5, 2), "\x04\xd2", 2, "12.34");
	json_bytes(DECIMAL(5, 2), "\xfb\x2e", 2, "-12.34");
	json_bytes(DECIMAL(5, 0), "\x04\xd2", 2, "1234");
	json_bytes(DECIMAL(5, 5), "\x01", 1, "0.00001");
	json_bytes(DECIMAL(5, 2), "\xff", 1, "-0.01");
	json_bytes(DECIMAL(5, 2), "", 0, "0.00");
	json_bytes(DECIMAL(5, 2), "\0\0\0\0", 4, "0.00");
	json_bytes(DECIMAL(3, 0), "\x80", 1, "-128");
	json_bytes(DECIMAL(2, 0), "\x80", 1, NULL);
	json_bytes(DECIMAL(39, 0), "\x7f\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 16,
		   "170141183460469231731687303715884105727");
	json_case("{'type':'fixed','name':'F','size':16,'logicalType':'uuid'}",
		  "\0\1\2\3\4\5\6\7\x8\x9\xa\xb\xc\xd\xe\xf", 16, "'00010203-0405-0607-0809-0a0b0c0d0e0f'");
	json_case("{'type':'fixed','name':'F','size':12,'logicalType':'duration'}", "\1\0\0\0\2\0\0\0\xbc\xb\0\0", 12,
		  "'P1M2DT3.004S'");
}
END_TEST

/* Short input that would make long JSON meets the limit on the way, not at the end. */
START_TEST(json_growth)
{
	struct rig r;
	struct buf text = {0};
	for (int i = 0; i < 1000; i++)
		buf_puts(&text, "x");
	char *fields = xasprintf("{'name':'f','type':{'type':'array','items':{'type':'record','name':'S','fields':["
				 "{'name':'pad','type':'string','default':'%s'}]}}}",
				 buf_cstr(&text));
	rig_open_fields(&r, "{'name':'f','type':{'type':'array','items':{'type':'record','name':'S','fields':[]}}}",
			fields);
	avro_long(&r.in, 1);
	avro_long(&r.in, 5000);
	avro_long(&r.in, 0);
	rig_refused(&r, REASON_TOO_LARGE, "JSON text is over the limit of 100000 bytes");
	ck_assert_uint_lt(r.out.cap, 400000);
	free(fields);
	buf_free(&text);
	rig_free(&r);
}
END_TEST

/* ---- the row ------------------------------------------------------------------------------------------------------------ */

#define EVENT                                                                                                          \
	"{'type':'record','name':'R','pg':{'table':'t','key':['k'],'version':'v','delete':{'field':'op','symbol':'"    \
	"DEL'}},'fields':["                                                                                            \
	"{'name':'op','type':['null',{'type':'enum','name':'O','symbols':['PUT','DEL']}],'default':null,'pg':{'"       \
	"column':false}},"                                                                                             \
	"{'name':'e','type':{'type':'array','items':'float'},'pg':{'type':'vector(2)'}},{'name':'k','type':'string'}," \
	"{'name':'v','type':['null',%s]},{'name':'j','type':'string','pg':{'type':'jsonb'}}]}"

static void open_event(struct rig *r, const char *version_type)
{
	char *text = xasprintf(EVENT, version_type);
	rig_open(r, NULL, rig_schema(text));
	free(text);
}

static void put_event(struct rig *r, int op, size_t dims, int64_t version, const char *json)
{
	r->in.len = 0;
	avro_long(&r->in, op >= 0);
	if (op >= 0)
		avro_long(&r->in, op);
	avro_floats(&r->in, dims);
	avro_string(&r->in, "key");
	avro_long(&r->in, 1);
	avro_long(&r->in, version);
	avro_string(&r->in, json);
}

/* Key first; its length; the version as people count, whatever its type. */
START_TEST(key_and_version)
{
	static const struct {
		const char *type;
		int64_t value, want;
	} cases[] = {
		{"'long'", -5, -5},
		{"'int'", INT32_MAX, INT32_MAX},
		{"{'type':'int','logicalType':'date'}", 19782, 19782},
		{"{'type':'long','logicalType':'timestamp-millis'}", 1700000000123, 1700000000123000},
		{"{'type':'long','logicalType':'timestamp-micros'}", -1, -1},
		{"{'type':'long','logicalType':'timestamp-nanos'}", 1700000000123456789, 1700000000123456},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct rig r;
		open_event(&r, cases[i].type);
		put_event(&r, 0, 2, cases[i].value, "{}");
		rig_decode(&r);
		rig_text(&r, 0, "key");
		ck_assert_uint_eq(r.record.key_len, 7);
		ck_assert_int_eq(r.record.op, RECORD_UPSERT);
		ck_assert(r.record.has_version);
		ck_assert_int_eq(r.record.version, cases[i].want);
		rig_free(&r);
	}
	struct rig r;
	open_event(&r, "'long'");
	put_event(&r, 0, 2, 0, "{}");
	r.in.len -= 5; /* the version and the JSON */
	avro_long(&r.in, 0);
	avro_string(&r.in, "{}");
	rig_decode(&r);
	ck_assert(!r.record.has_version);
	rig_free(&r);
}
END_TEST

/* A delete writes key and version; what else it carries may be as wrong as it likes, within the wire. */
START_TEST(deletes)
{
	struct rig r;
	open_event(&r, "'long'");
	put_event(&r, 1, 7, 42, "no json");
	rig_decode(&r);
	ck_assert_int_eq(r.record.op, RECORD_DELETE);
	rig_text(&r, 0, "key");
	rig_is_null(&r, 1);
	ck_assert_int_eq(rig_int(&r, 2), 42);
	rig_is_null(&r, 3);
	ck_assert_int_eq(r.record.version, 42);
	put_event(&r, 0, 7, 42, "{}");
	rig_refused(&r, REASON_INVALID_EMBEDDING, "field 'e'");
	put_event(&r, -1, 2, 42, "{}"); /* null: no delete */
	rig_decode(&r);
	ck_assert_int_eq(r.record.op, RECORD_UPSERT);
	put_event(&r, 2, 2, 42, "{}");
	rig_refused(&r, REASON_DECODE, "field 'op' at byte 0: enum index 2 of 2");
	put_event(&r, 1, 2, 42, "{}");
	r.in.len--;
	rig_refused(&r, REASON_DECODE, "field 'j'");
	rig_free(&r);
}
END_TEST

/* A writer without the delete field: the default says what it is. */
START_TEST(default_op)
{
	static const char *const defaults[] = {"'PUT'", "'DEL'"};
	for (int i = 0; i < 2; i++) {
		struct rig r;
		char *reader =
			xasprintf("{'type':'record','name':'R','pg':{'table':'t','key':['k'],'delete':{'field':'op','"
				  "symbol':'DEL'}},"
				  "'fields':[{'name':'k','type':'long'},{'name':'op','type':{'type':'enum','name':'O',"
				  "'symbols':['PUT','DEL']},'default':%s}]}",
				  defaults[i]);
		rig_open(&r, rig_fields("", ""), rig_schema(reader));
		avro_long(&r.in, 1);
		rig_decode(&r);
		ck_assert_int_eq(r.record.op, i == 0 ? RECORD_UPSERT : RECORD_DELETE);
		free(reader);
		rig_free(&r);
	}
}
END_TEST

/* Limits of the key and of the row. */
START_TEST(row_limits)
{
	struct rig r;
	struct buf text = {0};
	memset(buf_take(&text, 100000), 'x', 100000);
	rig_open(&r, NULL,
		 rig_schema("{'type':'record','name':'R','pg':{'table':'t','key':['k']},'fields':[{'name':'k','type':'"
			    "string'},"
			    "{'name':'a','type':'string'},{'name':'b','type':'string'}]}"));
	avro_bytes(&r.in, text.data, 2600);
	avro_string(&r.in, "");
	avro_string(&r.in, "");
	rig_decode(&r);
	r.in.len = 0;
	avro_bytes(&r.in, text.data, 2601);
	avro_string(&r.in, "");
	avro_string(&r.in, "");
	rig_refused(&r, REASON_TOO_LARGE, "the key of 2601 bytes is over the limit of 2600");
	r.in.len = 0;
	avro_string(&r.in, "");
	avro_bytes(&r.in, text.data, 100000);
	avro_bytes(&r.in, text.data, 99988);
	rig_decode(&r);
	ck_assert_uint_eq(r.record.row_len, 200000);
	r.in.len = 0;
	avro_string(&r.in, "");
	avro_bytes(&r.in, text.data, 100000);
	avro_bytes(&r.in, text.data, 99989);
	rig_refused(&r, REASON_TOO_LARGE, "the row of 200001 bytes");
	buf_free(&text);
	rig_free(&r);
}
END_TEST

/* ---- hostile data ------------------------------------------------------------------------------------------------------- */

/* Bytes behind the datum, and none at all. */
START_TEST(trailing_and_empty)
{
	struct rig r;
	open_one(&r, "'long'", "");
	avro_long(&r.in, 7);
	buf_u8(&r.in, 0);
	rig_refused(&r, REASON_DECODE, "1 bytes are left behind the last field");
	r.in.len = 0;
	rig_refused(&r, REASON_DECODE, "field 'k' at byte 0: the datum ends inside");
	rig_free(&r);
}
END_TEST

/* Blocks: counts and sizes that lie, where the items are read and where they are skipped. */
START_TEST(lying_blocks)
{
	static const char *const readers[] = {"{'type':'vector(1)'}", "", "{'type':'jsonb'}", "{'column':false}"};
	for (size_t i = 0; i < ARRAY_LEN(readers); i++) {
		struct rig r;
		bool read = i < 3;
		open_one(&r, "{'type':'array','items':'float'}", readers[i]);
		avro_long(&r.in, INT64_MIN);
		avro_long(&r.in, 4);
		avro_float(&r.in, 1);
		avro_long(&r.in, 0);
		rig_refused(&r, REASON_DECODE, "count is out of range");
		start(&r);
		avro_long(&r.in, INT64_MAX);
		avro_float(&r.in, 1);
		rig_refused(&r, REASON_TOO_LARGE, "items");
		start(&r);
		avro_long(&r.in, 9999); /* within the limit, but not there */
		avro_float(&r.in, 1);
		rig_refused(&r, REASON_DECODE, "ends inside");
		start(&r);
		avro_long(&r.in, -1);
		avro_long(&r.in, -4);
		avro_float(&r.in, 1);
		avro_long(&r.in, 0);
		rig_refused(&r, REASON_DECODE, "size is negative");
		start(&r);
		avro_long(&r.in, -1);
		avro_long(&r.in, INT64_MAX);
		avro_float(&r.in, 1);
		avro_long(&r.in, 0);
		rig_refused(&r, REASON_DECODE, "more than what is left");
		start(&r);
		avro_long(&r.in, -1);
		avro_long(&r.in, 8); /* of which the item has 4 */
		avro_float(&r.in, 1);
		avro_float(&r.in, 1);
		avro_long(&r.in, 0);
		if (read)
			rig_refused(&r, REASON_DECODE, "size does not agree");
		else
			rig_decode(&r); /* nobody looks inside */
		start(&r);
		avro_long(&r.in, -2);
		avro_long(&r.in, 4); /* too little: the second item would be the end and what follows */
		avro_float(&r.in, 1);
		avro_long(&r.in, 0);
		if (read)
			ck_assert(!rig_try_decode(&r));
		rig_free(&r);
	}
}
END_TEST

/* Items without bytes are bounded by count, in one block and in many, in arrays in arrays, and in an instant. */
START_TEST(items_without_bytes)
{
	static const char *const types[] = {"{'type':'array','items':'null'}",
					    "{'type':'array','items':{'type':'record','name':'S','fields':[]}}",
					    "{'type':'array','items':{'type':'fixed','name':'Z','size':0}}"};
	static const char *const pgs[] = {"{'type':'jsonb'}", "{'column':false}"};
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		for (size_t k = 0; k < ARRAY_LEN(pgs); k++) {
			struct rig r;
			open_one(&r, types[i], pgs[k]);
			avro_long(&r.in, INT64_C(1) << 40);
			avro_long(&r.in, 0);
			rig_refused(&r, REASON_TOO_LARGE, "limits.max_items");
			start(&r);
			for (int block = 0; block < 101; block++)
				avro_long(&r.in, 100);
			avro_long(&r.in, 0);
			rig_refused(&r, REASON_TOO_LARGE, "limits.max_items");
			start(&r);
			avro_long(&r.in, 10000);
			avro_long(&r.in, 0);
			rig_decode(&r);
			rig_free(&r);
		}
	}
}
END_TEST

/* Nesting to 100,000 levels: by a record that holds itself, an array and a map of it; read and skipped. Avro-C crashes here. */
START_TEST(deep_nesting)
{
	static const struct {
		const char *type, *level;
	} cases[] = {
		{"{'type':'record','name':'N','fields':[{'name':'n','type':['null','N']}]}", "\2"},
		{"{'type':'record','name':'N','fields':[{'name':'n','type':{'type':'array','items':'N'}}]}", "\2"},
		{"{'type':'record','name':'N','fields':[{'name':'n','type':{'type':'map','values':'N'}}]}", "\2\2a"},
	};
	static const char *const pgs[] = {"", "{'column':false}"};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (size_t k = 0; k < ARRAY_LEN(pgs); k++) {
			struct rig r;
			open_one(&r, cases[i].type, pgs[k]);
			for (int level = 0; level < 100000; level++)
				buf_puts(&r.in, cases[i].level);
			rig_refused(&r, REASON_TOO_LARGE, "limits.max_depth");
			rig_free(&r);
		}
	}
}
END_TEST

/* A map's key is text like any other. */
START_TEST(map_keys)
{
	struct rig r;
	open_one(&r, "{'type':'map','values':'int'}", "");
	avro_long(&r.in, 1);
	avro_bytes(&r.in, "a\0", 2);
	avro_long(&r.in, 1);
	avro_long(&r.in, 0);
	rig_refused(&r, REASON_INVALID_TEXT, "field 'f'");
	start(&r);
	avro_long(&r.in, 1);
	avro_long(&r.in, -3);
	rig_refused(&r, REASON_DECODE, "negative");
	rig_free(&r);
}
END_TEST

/* ---- the made-up stream ------------------------------------------------------------------------------------------------- */

static void put_node(struct buf *b, bool next)
{
	avro_string(b, "label");
	avro_long(b, 2);
	avro_long(b, 1);
	avro_long(b, 1700000000123);
	avro_long(b, 1);
	avro_bytes(b, "\xfb\x2e", 2);
	avro_bytes(b, "raw", 3);
	avro_long(b, 3);
	avro_string(b, "a");
	avro_long(b, 0);
	avro_string(b, "b");
	avro_long(b, 1);
	avro_float(b, 0.5f);
	avro_string(b, "c");
	avro_long(b, 2);
	avro_string(b, "text");
	avro_long(b, 0);
	avro_long(b, next);
	if (next)
		put_node(b, false);
}

static void some(struct buf *b)
{
	avro_long(b, 1);
}

static void put_times(struct buf *b)
{
	static const int64_t values[] = {19782,         45296789,         45296789012,
					 1700000000123, 1700000000123456, 1700000000123456789,
					 1700000000123, 1700000000123456, 1700000000123456789};
	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		some(b);
		avro_long(b, values[i]);
	}
}

static void put_arrays(struct buf *b)
{
	some(b); /* a_string */
	avro_long(b, 2);
	some(b);
	avro_string(b, "x");
	avro_long(b, 0);
	avro_long(b, 0);
	avro_long(b, 1); /* a_long */
	avro_long(b, 7);
	avro_long(b, 0);
	some(b); /* a_double */
	avro_long(b, 1);
	avro_double(b, 0.25);
	avro_long(b, 0);
	some(b); /* a_uuid */
	avro_long(b, 1);
	avro_string(b, "00010203-0405-0607-0809-0a0b0c0d0e0f");
	avro_long(b, 0);
	some(b); /* a_time */
	avro_long(b, 1);
	avro_long(b, 1700000000123);
	avro_long(b, 0);
	some(b); /* a_decimal */
	avro_long(b, 1);
	avro_bytes(b, "\x04\xd2", 2);
	avro_long(b, 0);
	some(b); /* m_map */
	avro_long(b, 1);
	avro_string(b, "pi");
	avro_double(b, 3.5);
	avro_long(b, 0);
	some(b); /* r_record */
	put_node(b, true);
	some(b); /* a_record */
	avro_long(b, 1);
	put_node(b, false);
	avro_long(b, 0);
	avro_long(b, 2); /* u_any */
	avro_string(b, "any");
}

static void put_vectors(struct buf *b)
{
	static const float f[] = {0, 0.5f, 1};
	some(b); /* v_float */
	avro_floats(b, 3);
	some(b); /* v_double */
	avro_long(b, 3);
	for (int i = 0; i < 3; i++)
		avro_double(b, i / 2.0);
	avro_long(b, 0);
	some(b); /* v_packed */
	avro_bytes(b, f, sizeof(f));
	some(b); /* v_fixed */
	buf_put(b, f, sizeof(f));
	for (int i = 0; i < 3; i++) { /* v_half, v_real, v_via */
		some(b);
		avro_floats(b, 3);
	}
}

static void put_everything(struct buf *b, int change)
{
	avro_long(b, change);
	avro_long(b, 0);
	avro_long(b, 5);  /* revision */
	avro_long(b, 77); /* part */
	avro_string(b, "00010203-0405-0607-0809-0a0b0c0d0e0f");
	avro_string(b, "order");
	buf_u8(b, 1);
	avro_long(b, 1); /* i_int */
	avro_long(b, 2);
	some(b);
	avro_long(b, 3);
	avro_float(b, 0.5f);
	some(b);
	avro_double(b, 0.25);
	avro_bytes(b, "\xff\0", 2);
	for (int i = 0; i < 2; i++) { /* s_string, s_short */
		some(b);
		avro_string(b, "text");
	}
	some(b);
	avro_string(b, "{\"a\":1}");
	some(b);
	avro_string(b, "127.0.0.1");
	some(b);
	buf_puts(b, "four");
	some(b);
	avro_long(b, 1);
	put_times(b);
	some(b);
	buf_puts(b, "0123456789abcdef");
	some(b);
	avro_bytes(b, "\x01\xe2\x40", 3);
	some(b);
	buf_put(b, "\0\0\0\0\0\0\0\x04\xd2", 9);
	some(b);
	buf_put(b, "\1\0\0\0\2\0\0\0\3\0\0\0", 12);
	put_arrays(b);
	put_vectors(b);
	some(b); /* first_seen */
	avro_long(b, 1700000000123456);
	some(b);
	avro_string(b, "nick");
	avro_long(b, 3);
	some(b);
	avro_double(b, -1.5);
	some(b);
	avro_long(b, 1700000000123);
	avro_long(b, 0);
}

static size_t column(const struct rig *r, const char *name)
{
	for (size_t i = 0; i < r->table->ncolumns; i++)
		if (strcmp(r->table->columns[i].name, name) == 0)
			return i;
	ck_abort_msg("no column %s", name);
	return 0;
}

/* Every type and annotation at once; the schema is written with itself. */
START_TEST(everything)
{
	struct rig r;
	rig_open(&r, NULL, rig_schema_file("tests/schemas/everything.avsc"));
	put_everything(&r.in, 0);
	rig_decode(&r);
	ck_assert_int_eq(r.record.op, RECORD_UPSERT);
	ck_assert_int_eq(r.record.version, 5);
	ck_assert_uint_eq(r.record.key_len, 4 + 16 + 4 + 4);
	ck_assert_int_eq(rig_int(&r, column(&r, "part")), 77);
	rig_text(&r, column(&r, "renamed_text"), "text");
	rig_text(&r, column(&r, "s_cast"), "127.0.0.1");
	rig_text(&r, column(&r, "colour"), "GREEN");
	ck_assert_int_eq(rig_int(&r, column(&r, "t_time_ms")), INT64_C(45296789000));
	ck_assert_int_eq(rig_int(&r, column(&r, "t_ns")), INT64_C(1700000000123456) - INT64_C(946684800000000));
	rig_json(&r, column(&r, "m_map"), "{'pi':3.5}");
	rig_json(&r, column(&r, "u_any"), "'any'");
#define NODE                                                                                                           \
	"{'label':'label','colour':'BLUE','seen':'2023-11-14T22:13:20.123Z','price':-12.34,'raw':'raw',"               \
	"'weights':{'a':null,'b':0.5,'c':'text'},'next':"
	rig_json(&r, column(&r, "r_record"), NODE NODE "null}}");
	rig_json(&r, column(&r, "a_record"), "[" NODE "null}]");
	static const char *const vectors[] = {"v_float", "v_double", "v_packed", "v_fixed"};
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++)
		expect_vector(&r, column(&r, vectors[i]), 3);
	ck_assert_uint_eq(rig_field(&r, column(&r, "v_via")).len, 44);
	for (size_t i = 0; i < r.table->ncolumns; i++)
		ck_assert_msg(rig_field(&r, i).data || strcmp(r.table->columns[i].name, "attributes") == 0,
			      "%s is null", r.table->columns[i].name);
	r.in.len = 0;
	put_everything(&r.in, 1);
	rig_decode(&r);
	ck_assert_int_eq(r.record.op, RECORD_DELETE);
	rig_free(&r);
}
END_TEST

/* Cut at every byte, the datum is refused, and for the one reason. */
START_TEST(truncated_at_every_byte)
{
	struct rig r;
	rig_open(&r, NULL, rig_schema_file("tests/schemas/everything.avsc"));
	put_everything(&r.in, 0);
	for (size_t len = r.in.len; len-- > 0;) {
		r.in.len = len;
		ck_assert_msg(!rig_try_decode(&r), "taken with %zu bytes", len);
		ck_assert_int_eq(r.record.reason, REASON_DECODE);
	}
	rig_free(&r);
}
END_TEST

/* Every byte of it changed, to some values that matter and to random ones: any answer, but no crash and no byte read outside. */
START_TEST(mutated)
{
	static const uint8_t values[] = {0x00, 0x01, 0x02, 0x7f, 0x80, 0xff};
	struct rig r;
	uint32_t seed = 1, taken = 0;
	rig_open(&r, NULL, rig_schema_file("tests/schemas/everything.avsc"));
	put_everything(&r.in, 0);
	for (size_t i = 0; i < r.in.len; i++) {
		uint8_t kept = r.in.data[i];
		for (size_t k = 0; k < ARRAY_LEN(values) + 4; k++) {
			seed = seed * 1664525 + 1013904223;
			r.in.data[i] = k < ARRAY_LEN(values) ? values[k] : (uint8_t)(seed >> 24);
			taken += rig_try_decode(&r);
		}
		r.in.data[i] = kept;
	}
	ck_assert_uint_gt(taken, 0);
	rig_free(&r);
}
END_TEST

/* A text about a refusal holds no data. */
START_TEST(no_data_in_texts)
{
	struct rig r;
	open_one(&r, "'string'", "{'type':'jsonb'}");
	avro_string(&r.in, "{\"secret\": SECRET}");
	rig_refused(&r, REASON_INVALID_JSON, "field 'f' at byte 1");
	ck_assert_ptr_null(strstr(r.err.text, "SECRET"));
	ck_assert_ptr_null(strstr(r.err.text, "secret"));
	rig_free(&r);
}
END_TEST

static Suite *decode_suite(void)
{
	Suite *s = suite_create("decode");
	TCase *t = tcase_create("columns");
	tcase_add_test(t, numbers);
	tcase_add_test(t, varints);
	tcase_add_test(t, texts);
	tcase_add_test(t, binaries);
	tcase_add_test(t, time_ranges);
	tcase_add_test(t, nulls);
	tcase_add_test(t, vector_arrays);
	tcase_add_test(t, vector_forms);
	tcase_add_test(t, vector_faults);
	tcase_add_test(t, vector_lengths);
	tcase_add_test(t, arrays);
	tcase_add_test(t, json_strings);
	tcase_add_test(t, json_scalars);
	tcase_add_test(t, json_logical);
	tcase_add_test(t, json_growth);
	suite_add_tcase(s, t);
	t = tcase_create("rows");
	tcase_add_test(t, key_and_version);
	tcase_add_test(t, deletes);
	tcase_add_test(t, default_op);
	tcase_add_test(t, row_limits);
	tcase_add_test(t, everything);
	suite_add_tcase(s, t);
	t = tcase_create("hostile");
	tcase_add_test(t, trailing_and_empty);
	tcase_add_test(t, lying_blocks);
	tcase_add_test(t, items_without_bytes);
	tcase_add_test(t, deep_nesting);
	tcase_add_test(t, map_keys);
	tcase_add_test(t, truncated_at_every_byte);
	tcase_add_test(t, mutated);
	tcase_add_test(t, no_data_in_texts);
	suite_add_tcase(s, t);
	return s;
}
UNIT_SUITE(decode_suite)

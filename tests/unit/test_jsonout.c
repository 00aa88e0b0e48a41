/*
 * test_jsonout.c - Avro values as JSON text.
 */
#include <float.h>
#include <math.h>

#include "codec_rig.h"

static void json_case(const char *type, const void *datum, size_t len, const char *want)
{
	struct rig r;
	/* a map, so that no column type is looked for */
	char *map = xasprintf("{'type':'map','values':%s}", type);
	rig_open_one(&r, map, "");
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
	json_bytes("'string'", "\"\\\n\x01\x7f\xc3\xa4/", 8,
		   "'\\u0022\\u005c\\u000a\\u0001\x7f\xc3\xa4/'");
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
	json_bytes(DECIMAL(39, 0),
		   "\x7f\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 16,
		   "170141183460469231731687303715884105727");
	json_case("{'type':'fixed','name':'F','size':16,'logicalType':'uuid'}",
		  "\0\1\2\3\4\5\6\7\x8\x9\xa\xb\xc\xd\xe\xf", 16,
		  "'00010203-0405-0607-0809-0a0b0c0d0e0f'");
	json_case("{'type':'fixed','name':'F','size':12,'logicalType':'duration'}",
		  "\1\0\0\0\2\0\0\0\xbc\xb\0\0", 12, "'P1M2DT3.004S'");
}
END_TEST

/* Short input that would make long JSON meets the limit on the way, not at the end. */
START_TEST(json_growth)
{
	struct rig r;
	struct buf text = {0};
	for (int i = 0; i < 1000; i++)
		buf_puts(&text, "x");
	char *fields = xasprintf(
		"{'name':'f','type':{'type':'array','items':{'type':'record','name':'S','fields':["
		"{'name':'pad','type':'string','default':'%s'}]}}}",
		buf_cstr(&text));
	rig_open_fields(&r,
			"{'name':'f','type':{'type':'array','items':{'type':'record','name':'S','"
			"fields':[]}}}",
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

static Suite *jsonout_suite(void)
{
	Suite *s = suite_create("jsonout");
	TCase *t = tcase_create("jsonout");
	tcase_add_test(t, json_scalars);
	tcase_add_test(t, json_logical);
	tcase_add_test(t, json_growth);
	suite_add_tcase(s, t);
	return s;
}
UNIT_SUITE(jsonout_suite)

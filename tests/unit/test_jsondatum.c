/*
 * test_jsondatum.c - events written as JSON become the Avro bytes that they mean, or an error that
 * leads to the mistake; never other values.
 */
#include <stdio.h>
#include <stdlib.h>

#include "file/jsondatum.h"
#include "unit.h"

static struct schema *parse(const char *text)
{
	struct err err = {0};
	struct schema *s = schema_parse(text, strlen(text), &err);
	ck_assert_msg(s != NULL, "%s", err.text);
	return s;
}

/* Encodes value by type, behind four bytes that have to stay. */
static bool encode(const struct schema *schema, const struct table *table, const char *value,
		   struct buf *out, struct err *err)
{
	struct jtape tape = {0};
	struct jsondatum *j = jsondatum_new(schema, table);
	char *text = xcalloc(1, strlen(value) + 16);
	memcpy(text, value, strlen(value));
	buf_puts(out, "kept");
	bool ok = jtape_parse(&tape, text, strlen(value), err);
	ck_assert_msg(ok, "%s: %s", value, err->text);
	ok = jsondatum_encode(j, &tape, out, err);
	jsondatum_free(j);
	jtape_free(&tape);
	free(text);
	return ok;
}

/* error: what the error text must hold, or NULL. */
static void check(const struct schema *schema, const struct table *table, const char *value,
		  const void *bytes, size_t n, const char *error)
{
	struct buf out = {0};
	struct err err = {0};
	bool ok = encode(schema, table, value, &out, &err);
	if (error) {
		ck_assert_msg(!ok, "%s: no error", value);
		ck_assert_int_eq(err.class, ERR_POISON);
		ck_assert_msg(strstr(err.text, error) != NULL, "%s: %s", value, err.text);
		ck_assert_uint_eq(out.len, 4);
	} else {
		ck_assert_msg(ok, "%s: %s", value, err.text);
		ck_assert_int_eq(err.class, ERR_NONE);
		ck_assert_msg(out.len == n + 4 && memcmp(out.data + 4, bytes, n) == 0,
			      "%s: other bytes", value);
	}
	buf_free(&out);
}

static void check_type(const char *type, const char *value, const void *bytes, size_t n,
		       const char *error)
{
	struct schema *schema = parse(type);
	check(schema, NULL, value, bytes, n, error);
	schema_free(schema);
}

#define GOOD(type, value, bytes) check_type(type, value, bytes, sizeof(bytes) - 1, NULL)
#define BAD(type, value, error) check_type(type, value, NULL, 0, error)

/* Plain values, and the ways to write those that JSON has no word for. */
START_TEST(test_plain)
{
	GOOD("\"long\"", "-64", "\x7f");
	GOOD("\"int\"", "2147483647", "\xfe\xff\xff\xff\x0f");
	BAD("\"int\"", "2147483648", "out of range");
	GOOD("\"long\"", "1.0", "\x02");
	GOOD("\"long\"", "1e3", "\xd0\x0f");
	BAD("\"long\"", "1.5", "wants long, found 1.5: it is no whole number");
	GOOD("\"long\"", "-9223372036854775808", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
	BAD("\"long\"", "9223372036854775808", "found 9223372036854775808: it is out of range");
	BAD("\"long\"", "\"7\"", "wants long, found \"7\"");
	BAD("\"boolean\"", "1", "wants boolean, found a number");
	BAD("\"boolean\"", "\"true\"", "wants boolean, found a string");
	GOOD("\"boolean\"", "true", "\x01");
	GOOD("\"float\"", "1", "\0\0\x80\x3f");
	GOOD("\"float\"", "\"-Infinity\"", "\0\0\x80\xff");
	GOOD("\"double\"", "-2.0", "\0\0\0\0\0\0\0\xc0");
	GOOD("\"string\"", "\"a\\u0000b\"",
	     "\x06"
	     "a\0b");
	GOOD("\"string\"", "{\"a\":1}", "\x0e{\"a\":1}");
	GOOD("\"string\"", "[1.50, {\"b\": \"\\u0022\"}, 1e400]",
	     "\x2e[1.50,{\"b\":\"\\\"\"},1e400]");
	BAD("\"string\"", "{\"a\":1,\"a\":2}", "the key \"a\" stands twice");
	BAD("\"string\"", "7", "wants string, found 7");
	GOOD("\"bytes\"", "\"\\u00ff\\u0001\"", "\x04\xff\x01");
	BAD("\"bytes\"", "\"\\u0100\"", "wants bytes, found \"\u0100\": a character above U+00FF");
	BAD("\"bytes\"", "[1]", "wants bytes, found an array");
	BAD("\"bytes\"", "1", "wants bytes, found 1");
	GOOD("{\"type\":\"fixed\",\"name\":\"F\",\"size\":3}", "\"a\\u00e9b\"",
	     "a\xe9"
	     "b");
	BAD("{\"type\":\"fixed\",\"name\":\"F\",\"size\":3}", "\"ab\"", "wants 3 bytes, found 2");
	GOOD("{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"]}", "\"B\"", "\x02");
	BAD("{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"]}", "\"C\"",
	    "wants enum E, found \"C\": it is no symbol; did you mean \"A\"?");
	BAD("{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"]}", "0",
	    "wants enum E, found 0");
}
END_TEST

/* The units are those of the type; what moment.c refuses is refused with its reason. */
START_TEST(test_times)
{
#define MILLIS "{\"type\":\"long\",\"logicalType\":\"timestamp-millis\"}"
#define DATE "{\"type\":\"int\",\"logicalType\":\"date\"}"
#define TIME "{\"type\":\"int\",\"logicalType\":\"time-millis\"}"
	GOOD(MILLIS, "\"1970-01-01T00:00:01.5Z\"", "\xb8\x17");
	GOOD(MILLIS, "1500", "\xb8\x17");
	BAD(MILLIS, "1500.5", "no whole number");
	BAD(MILLIS, "\"2024-02-30T00:00:00Z\"",
	    "wants long (timestamp-millis), found \"2024-02-30T00:00:00Z\": there is no such day");
	BAD(MILLIS, "\"yesterday\"", "found \"yesterday\": it is not written as");
	BAD(MILLIS, "true", "wants long (timestamp-millis), found true");
	GOOD(DATE, "\"1970-02-01\"", "\x3e");
	BAD(DATE, "\"1970-02-01x\"", "it is not written as 2026-01-31");
	BAD(DATE, "\"+999999-01-01T\"", "it is not written");
	GOOD(TIME, "\"00:00:01.5\"", "\xb8\x17");
	BAD(TIME, "86400000", "it is outside the day");
	BAD(TIME, "-1", "it is outside the day");
	BAD("\"long\"", "\"1970-02-01\"", "wants long");
}
END_TEST

/*
 * Decimals are exact, as number or as text, whatever their size; what would have to be rounded or
 * cut is refused.
 */
START_TEST(test_decimals)
{
#define DECIMAL(p, s)                                                                              \
	"{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":" #p ",\"scale\":" #s "}"
#define FIXED                                                                                      \
	"{\"type\":\"fixed\",\"name\":\"M\",\"size\":4,\"logicalType\":\"decimal\",\"precision\":" \
	"9,\"scale\":2}"
	GOOD(DECIMAL(9, 2), "-1.29", "\x04\xff\x7f");
	GOOD(DECIMAL(9, 2), "\"-1.29\"", "\x04\xff\x7f");
	GOOD(DECIMAL(9, 2), "12.34", "\x04\x04\xd2");
	GOOD(DECIMAL(9, 2), "\"12.340\"", "\x04\x04\xd2");
	GOOD(DECIMAL(9, 2), "1234e-2", "\x04\x04\xd2");
	GOOD(DECIMAL(9, 2), "0", "\x02\0");
	GOOD(DECIMAL(9, 2), "-0.00", "\x02\0");
	BAD(DECIMAL(9, 2), "12.345", "found 12.345: it has more digits behind the point");
	BAD(DECIMAL(9, 2), "\"12.345\"", "found \"12.345\": it has more digits behind the point");
	BAD(DECIMAL(9, 2), "12345678.9", "it has more digits than the precision");
	BAD(DECIMAL(9, 2), "1e300", "it has more digits than the precision");
	BAD(DECIMAL(9, 2), "\"\\u0004\\u00d2\"", "write it as a number");
	BAD(DECIMAL(9, 2), "\"12,34\"", "write it as a number");
	BAD(DECIMAL(9, 2), "\"\"", "write it as a number");
	BAD(DECIMAL(9, 2), "\" 12.34\"", "write it as a number");
	/* 2^63 and beyond, where an int64 ends */
	GOOD(DECIMAL(20, 0), "9223372036854775808", "\x12\0\x80\0\0\0\0\0\0\0");
	GOOD(DECIMAL(20, 0), "-9223372036854775808", "\x10\x80\0\0\0\0\0\0\0");
	GOOD(DECIMAL(40, 20), "\"1.00000000000000000001\"",
	     "\x12\x05\x6b\xc7\x5e\x2d\x63\x10\0\x01");
	GOOD(FIXED, "-1.29", "\xff\xff\xff\x7f");
	GOOD(FIXED, "9999999.99", "\x3b\x9a\xc9\xff");
	BAD(FIXED, "10000000", "more digits than the precision");
	/* With its tag it is Avro's JSON encoding, and that has bytes. */
	GOOD("[\"null\"," DECIMAL(9, 2) "]", "{\"bytes\":\"\\u0004\\u00d2\"}", "\x02\x04\x04\xd2");
	GOOD("[\"null\"," DECIMAL(9, 2) "]", "{\"bytes\":12.34}", "\x02\x04\x04\xd2");
	GOOD("[\"null\"," DECIMAL(9, 2) "]", "\"12.34\"", "\x02\x04\x04\xd2");
	BAD("[\"null\"," DECIMAL(9, 2) "]", "\"12.345\"", "digits behind the point");
}
END_TEST

/* UUIDs are looked at: a text that is none is refused. */
START_TEST(test_uuids)
{
#define UUID "{\"type\":\"string\",\"logicalType\":\"uuid\"}"
#define UUID16 "{\"type\":\"fixed\",\"name\":\"U\",\"size\":16,\"logicalType\":\"uuid\"}"
	static const char text[] = "\"00112233-4455-6677-8899-aAbBcCdDeEfF\"";
	GOOD(UUID, text,
	     "\x48"
	     "00112233-4455-6677-8899-aAbBcCdDeEfF");
	GOOD(UUID16, text, "\0\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff");
	GOOD(UUID16, "\"0123456789abcdef\"", "0123456789abcdef");
	BAD(UUID, "\"00112233-4455-6677-8899-aabbccddeef\"", "it is no UUID");
	BAD(UUID, "\"\"", "it is no UUID");
	BAD(UUID16, "\"00112233-4455-6677-8899-aabbccddeefg\"", "it is no UUID");
}
END_TEST

/* Floats are the nearest there is; beyond the largest one is refused, words must be the known ones.
 */
START_TEST(test_reals)
{
	GOOD("\"float\"", "3.4028234663852886e38", "\xff\xff\x7f\x7f");
	BAD("\"float\"", "3.5e38", "wants float, found 3.5e38: it is out of range");
	BAD("\"double\"", "1e400", "out of range");
	GOOD("\"double\"", "\"NaN\"", "\0\0\0\0\0\0\xf8\x7f");
	BAD("\"double\"", "\"nan\"", "wants double, found \"nan\"");
	BAD("\"double\"", "\"1.5\"", "wants double, found \"1.5\"");
	GOOD("\"float\"", "-0.0", "\0\0\0\x80");
}
END_TEST

/* Unions are plain or named; records have defaults; an error tells the way to the value. */
START_TEST(test_nested)
{
	static const char record[] = "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":"
				     "\"a\",\"type\":\"int\",\"default\":5},"
				     "{\"name\":\"b\",\"type\":[\"null\",{\"type\":\"array\","
				     "\"items\":\"float\"}],\"default\":null},"
				     "{\"name\":\"c\",\"type\":[\"null\",\"string\"]}]}";
	GOOD("[\"null\",\"long\",\"string\"]", "null", "\0");
	GOOD("[\"null\",\"long\",\"string\"]", "3", "\x02\x06");
	GOOD("[\"null\",\"long\",\"string\"]", "\"x\"", "\x04\x02x");
	GOOD("[\"null\",\"long\",\"string\"]", "{\"string\":\"x\"}", "\x04\x02x");
	BAD("[\"null\",\"long\"]", "\"x\"", "wants long, found \"x\"");
	BAD("[\"null\",\"long\"]", "{\"long\":\"x\"}", "wants long, found \"x\"");
	BAD("[\"null\",\"long\",\"boolean\"]", "\"x\"",
	    "wants union [null, long, boolean], found a string");
	/* what JSON calls the same comes first */
	GOOD("[" DECIMAL(9, 2) ",\"string\"]", "\"12.34\"",
	     "\x02\x0a"
	     "12.34");
	GOOD("[\"double\",\"long\"]", "9007199254740993", "\x02\x82\x80\x80\x80\x80\x80\x80\x20");
	GOOD("[\"int\",\"long\"]", "2147483648", "\x02\x80\x80\x80\x80\x10");
	GOOD(record, "{\"c\":null}", "\x0a\0\0");
	GOOD(record, "{\"a\":1,\"b\":[0.5],\"c\":\"z\"}", "\x02\x02\x02\0\0\0\x3f\0\x02\x02z");
	GOOD(record, "{\"a\":1,\"b\":{\"array\":[]},\"c\":{\"string\":\"z\"}}",
	     "\x02\x02\0\x02\x02z");
	BAD(record, "{\"a\":1}", "field 'c': is missing and has no default");
	GOOD(record, "{\"c\":null,\"a\":1}", "\x02\0\0");
	BAD(record, "{\"a\":1,\"c\":null,\"dxyz\":2}", "record R has no field 'dxyz'");
	BAD(record, "{\"a\":1,\"A\":1,\"c\":null}", "record R has no field 'A'; did you mean 'a'?");
	BAD(record, "{\"a\":1,\"c\":null,\"a\":1}", "the key \"a\" stands twice");
	BAD(record, "{\"a\":1,\"c\":null,\"\\u0061\":1}", "the key \"a\" stands twice");
	BAD(record, "[]", "wants record R, found an array");
	BAD(record, "{\"a\":null,\"c\":null}", "field 'a': wants int, found null");
	BAD(record, "{\"b\":[1,\"two\"],\"c\":null}",
	    "field 'b': item 2: wants float, found \"two\"");
	GOOD("{\"type\":\"map\",\"values\":\"int\"}", "{\"k\":1}", "\x02\x02k\x02\0");
	BAD("{\"type\":\"map\",\"values\":\"int\"}", "{\"k\":true}",
	    "key \"k\": wants int, found true");
	BAD("{\"type\":\"map\",\"values\":\"int\"}", "{\"k\":1,\"l\":2,\"k\":1}",
	    "the key \"k\" stands twice");
}
END_TEST

/*
 * Where the column is a vector, an array of numbers is packed floats; for other bytes nobody knows
 * what it is meant to be.
 */
START_TEST(test_packed)
{
	static const char text[] =
		"{\"type\":\"record\",\"name\":\"R\",\"pg\":{\"table\":\"t\",\"key\":[\"k\"]},"
		"\"fields\":["
		"{\"name\":\"b\",\"type\":[\"null\",\"bytes\"],\"default\":null},"
		"{\"name\":\"v\",\"type\":[\"null\",\"bytes\"],\"default\":null,\"pg\":{\"type\":"
		"\"vector(2)\"}},"
		"{\"name\":\"f\",\"type\":[\"null\",{\"type\":\"fixed\",\"name\":\"F\",\"size\":8}]"
		","
		"\"default\":null,\"pg\":{\"type\":\"vector(2)\"}},"
		"{\"name\":\"k\",\"type\":\"int\"}]}";
	struct schema *schema = parse(text);
	struct err err = {0};
	struct table *table = table_new(schema, &err);
	ck_assert_msg(table != NULL, "%s", err.text);
#define ROW_GOOD(value, bytes) check(schema, table, value, bytes, sizeof(bytes) - 1, NULL)
#define ROW_BAD(value, error) check(schema, table, value, NULL, 0, error)
	ROW_GOOD("{\"v\":[1,2],\"k\":0}", "\0\x02\x10\0\0\x80\x3f\0\0\0\x40\0\0");
	ROW_GOOD("{\"f\":[1,2],\"k\":0}", "\0\0\x02\0\0\x80\x3f\0\0\0\x40\0");
	ROW_BAD("{\"f\":[1,2,3],\"k\":0}", "field 'f': wants 2 numbers, found 3");
	ROW_BAD("{\"v\":[1,null],\"k\":0}", "field 'v': item 2: wants float, found null");
	ROW_BAD("{\"b\":[1,2],\"k\":0}", "field 'b': wants bytes, found an array");
	table_free(table);
	schema_free(schema);
}
END_TEST

static Suite *jsondatum_suite(void)
{
	Suite *suite = suite_create("jsondatum");
	TCase *tc = tcase_create("jsondatum");
	tcase_add_test(tc, test_plain);
	tcase_add_test(tc, test_times);
	tcase_add_test(tc, test_nested);
	tcase_add_test(tc, test_decimals);
	tcase_add_test(tc, test_uuids);
	tcase_add_test(tc, test_reals);
	tcase_add_test(tc, test_packed);
	suite_add_tcase(suite, tc);
	return suite;
}

UNIT_SUITE(jsondatum_suite)

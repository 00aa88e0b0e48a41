/*
 * test_peek.c - Avro datums as text for people: what is wrong with them is shown, never refused,
 * and nothing of it steers a terminal.
 */
#include <string.h>

#include "codec/peek.h"
#include "unit.h"

static struct buf out;

static const char *peek(const char *schema, const char *datum, size_t len)
{
	struct err err = {0};
	struct schema *s = schema_parse(schema, strlen(schema), &err);
	ck_assert_msg(s != NULL, "%s", err.text);
	out.len = 0;
	peek_datum(s, (struct slice){(const uint8_t *)datum, len}, &out);
	schema_free(s);
	return buf_cstr(&out);
}

#define PEEK(schema, datum) peek(schema, datum, sizeof(datum) - 1)

#define RECORD                                                                                     \
	"{\"type\":\"record\",\"name\":\"r\",\"fields\":[{\"name\":\"at\",\"type\":{\"type\":"     \
	"\"long\",\"logicalType\":\"timestamp-millis\"}},{\"name\":\"vector\",\"type\":{\"type\":" \
	"\"array\",\"items\":\"float\"}},{\"name\":\"note\",\"type\":[\"null\",\"string\"]},"      \
	"{\"name\":\"tags\",\"type\":{\"type\":\"map\",\"values\":\"bytes\"}}]}"
#define FLOATS "\x04\0\0\0\x3f\0\0\xc0\x7f\0" /* 0.5, NaN */

/* Each type has its text; a time is told, NaN and bytes are shown, a member has a line. */
START_TEST(whole)
{
	ck_assert_str_eq(PEEK(RECORD, "\xd0\x0f" FLOATS "\x02\x04hi\x02\x02k\x04\0\xff\0"),
			 "{\n"
			 "  \"at\": 1000 (1970-01-01T00:00:01.000000Z),\n"
			 "  \"vector\": [0.5, NaN],\n"
			 "  \"note\": \"hi\",\n"
			 "  \"tags\": {\n"
			 "    \"k\": 0x00ff\n"
			 "  }\n"
			 "}");
	ck_assert_str_eq(PEEK("\"boolean\"", "\1"), "true");
	ck_assert_str_eq(PEEK("\"double\"", "\x9a\x99\x99\x99\x99\x99\xb9\x3f"), "0.1");
	ck_assert_str_eq(
		PEEK("{\"type\":\"enum\",\"name\":\"e\",\"symbols\":[\"A\",\"B\"]}", "\x02"),
		"\"B\"");
}
END_TEST

#define DECIMAL(scale)                                                                             \
	"{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":9,\"scale\":" #scale "}"
#define TIME(unit) "{\"type\":\"long\",\"logicalType\":\"timestamp-" unit "\"}"

/* What a number or bytes mean stands behind them, where it means something, however odd they are.
 */
START_TEST(meanings)
{
	ck_assert_str_eq(PEEK("{\"type\":\"int\",\"logicalType\":\"date\"}", "\x01"),
			 "-1 (1969-12-31)");
	ck_assert_str_eq(PEEK("{\"type\":\"int\",\"logicalType\":\"date\"}",
			      "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
			 "-9223372036854775808");
	ck_assert_str_eq(PEEK(DECIMAL(2), "\x04\x04\xd2"), "0x04d2 (12.34)");
	ck_assert_str_eq(PEEK(DECIMAL(2), "\x02\xff"), "0xff (-0.01)");
	ck_assert_str_eq(PEEK(DECIMAL(0), "\x02\x00"), "0x00 (0)");
	ck_assert_str_eq(PEEK(DECIMAL(0), "\x20\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
			 "0x80000000000000000000000000000000 "
			 "(-170141183460469231731687303715884105728)");
	ck_assert_str_eq(PEEK(DECIMAL(2), "\x00"), "0x");
	ck_assert_str_eq(PEEK(TIME("millis"), "\x01"), "-1 (1969-12-31T23:59:59.999000Z)");
	ck_assert_str_eq(PEEK(TIME("micros"), "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
			 "-9223372036854775808");
	ck_assert_str_eq(PEEK(TIME("nanos"), "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
			 "-9223372036854775808 (1677-09-21T00:12:43.145224Z)");
}
END_TEST

/* What was read before a fault stays, the fault has its words; so has what is too much. */
START_TEST(broken)
{
	const char *text = PEEK(RECORD, "\xd0\x0f" FLOATS "\x02\x0ahi");
	ck_assert_ptr_nonnull(strstr(text, "\"vector\": [0.5, NaN]"));
	ck_assert_ptr_nonnull(strstr(text, "\"note\": <the datum ends inside this value>"));
	ck_assert_ptr_null(strstr(text, "tags"));
	ck_assert_str_eq(PEEK("\"int\"", "\x02zz"), "1 <2 more bytes follow>");
	ck_assert_str_eq(PEEK("\"int\"", ""), "<the datum ends inside this value>");
	ck_assert_ptr_nonnull(strstr(PEEK("[\"null\",\"int\"]", "\x08"), "<"));
}
END_TEST

/* Long ones are cut and say how long they are; what steers a terminal is spelled out. */
START_TEST(long_and_wild)
{
	char many[3 + 4 * 60] = "\x78"; /* 60 floats */
	const char *text = peek("{\"type\":\"array\",\"items\":\"float\"}", many, 2 + 4 * 60);
	ck_assert_str_eq(text, "[0, 0, 0, 0, 0, 0, 0, 0, ... (60 items)]");
	ck_assert_str_eq(PEEK("\"string\"", "\x12\x1b[1m\n\"\xc3\xa4\xff"),
			 "\"\\x1b[1m\\n\\\"\xc3\xa4\\xff\"");
	char words[3 + 1000] = "\xd0\x0f";
	memset(words + 2, 'w', 1000);
	text = peek("\"string\"", words, 1002);
	ck_assert_uint_lt(strlen(text), 500);
	ck_assert_ptr_nonnull(strstr(text, "www\" ... (1000 bytes)"));
}
END_TEST

static Suite *peek_suite(void)
{
	Suite *s = suite_create("peek");
	TCase *tc = tcase_create("peek");
	tcase_add_test(tc, whole);
	tcase_add_test(tc, meanings);
	tcase_add_test(tc, broken);
	tcase_add_test(tc, long_and_wild);
	suite_add_tcase(s, tc);
	return s;
}
UNIT_SUITE(peek_suite)

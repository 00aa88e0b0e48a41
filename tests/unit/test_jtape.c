/*
 * test_jtape.c - JSON texts become the tokens that they consist of; what is no JSON is refused,
 * with the column.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "file/jtape.h"
#include "unit.h"

/* A copy that may be written to, with the zeros that the parser wants behind it. */
static char *padded(const char *text, size_t len)
{
	char *copy = xcalloc(1, len + 16);
	memcpy(copy, text, len);
	return copy;
}

static void check_written(const char *text, size_t len, const char *wanted, size_t wanted_len)
{
	struct jtape tape = {0};
	struct err err = {0};
	struct buf out = {0};
	char *copy = padded(text, len);
	ck_assert_msg(jtape_parse(&tape, copy, len, &err), "%s: %s", text, err.text);
	ck_assert_uint_eq(tape.tokens[0].size, tape.n);
	ck_assert_msg(jtape_write(&tape.tokens[0], &out, &err), "%s", err.text);
	ck_assert_msg(out.len == wanted_len && memcmp(out.data, wanted, out.len) == 0, "%s: %.*s",
		      text, (int)out.len, (const char *)out.data);
	jtape_free(&tape);
	buf_free(&out);
	free(copy);
}

#define GOOD(text, wanted) check_written(text, sizeof(text) - 1, wanted, sizeof(wanted) - 1)

static void check_bad(const char *text, size_t len, const char *error)
{
	struct jtape tape = {0};
	struct err err = {0};
	char *copy = padded(text, len);
	ck_assert_msg(!jtape_parse(&tape, copy, len, &err), "%s: no error", text);
	ck_assert_int_eq(err.class, ERR_POISON);
	ck_assert_msg(strstr(err.text, error) != NULL, "%s: %s", text, err.text);
	jtape_free(&tape);
	free(copy);
}

#define BAD(text, error) check_bad(text, sizeof(text) - 1, error)

/* Values of every kind come out again without blanks; numbers keep their digits. */
START_TEST(test_values)
{
	GOOD(" null ", "null");
	GOOD("true", "true");
	GOOD("false\r", "false");
	GOOD("-0.10e+05", "-0.10e+05");
	GOOD("0", "0");
	GOOD("123456789012345678901234567890.5", "123456789012345678901234567890.5");
	GOOD("[]", "[]");
	GOOD("{ }", "{}");
	GOOD("[ 1 , [ 2 ] , { } ]", "[1,[2],{}]");
	GOOD("{ \"a\" : { \"b\" : [ ] } , \"c\" : \"d\" }", "{\"a\":{\"b\":[]},\"c\":\"d\"}");
	GOOD("\"\"", "\"\"");
}
END_TEST

/* Escapes are resolved, UTF-8 is kept, NUL is a character. */
START_TEST(test_strings)
{
	struct jtape tape = {0};
	struct err err = {0};
	char *copy = padded("\"a\\u0000b\\n\\/\\u00e9\\ud83d\\ude00\\uFFFF\"", 39);
	ck_assert_msg(jtape_parse(&tape, copy, strlen(copy), &err), "%s", err.text);
	ck_assert_uint_eq(tape.tokens[0].n, 5 + 2 + 4 + 3);
	ck_assert_mem_eq(tape.tokens[0].text, "a\0b\n/\xc3\xa9\xf0\x9f\x98\x80\xef\xbf\xbf", 14);
	free(copy);
	jtape_free(&tape);
	GOOD("\"\\\"\\\\\\b\\f\\r\\t\x7f\"", "\"\\\"\\\\\\u0008\\u000c\\u000d\\u0009\x7f\"");
	GOOD("\"\xc3\xa9\xf0\x9f\x98\x80\"", "\"\xc3\xa9\xf0\x9f\x98\x80\"");
	GOOD("{\"\\u006b\":1}", "{\"k\":1}");
}
END_TEST

/* What is no JSON, and where. */
START_TEST(test_refused)
{
	BAD("", "the text ends where a value should stand (column 1)");
	BAD("  ", "(column 3)");
	BAD("{", "the text ends where a key in quotes should stand (column 2)");
	BAD("{\"a\"", "the colon behind a key");
	BAD("{\"a\":", "the text ends where a value should stand");
	BAD("{\"a\":1", "the text ends where a comma or } should stand");
	BAD("[1", "a comma or ]");
	BAD("[1,]", "']' where a value should stand (column 4)");
	BAD("{\"a\":1,}", "'}' where a key in quotes should stand (column 8)");
	BAD("{'a':1}", "''' where a key in quotes");
	BAD("{a:1}", "'a' where a key in quotes");
	BAD("[1 2]", "'2' where a comma or ] should stand (column 4)");
	BAD("[1}", "'}' where a comma or ]");
	BAD("{\"a\":1} x", "'x' where the end of the line should stand (column 9)");
	BAD("{\"a\":1}{\"a\":2}", "'{' where the end of the line should stand");
	BAD("1\0", "byte 00 where the end of the line");
	BAD("01", "a leading zero (column 1)");
	BAD("-", "a digit should stand (column 2)");
	BAD("+1", "'+' where a value");
	BAD(".5", "'.' where a value");
	BAD("1.", "a digit should stand (column 3)");
	BAD("1e", "a digit should stand (column 3)");
	BAD("1.e5", "'e' where a digit");
	BAD("[NaN]", "JSON has no NaN and no infinity; as text, \"NaN\", it is read (column 2)");
	BAD("-Infinity", "no infinity");
	BAD("nul", "a value");
	BAD("True", "'T' where a value");
	BAD("\"a", "the text ends where the end of a string should stand (column 3)");
	BAD("\"a\\", "the rest of an escape");
	BAD("\"a\nb\"", "a control character in a string (column 3)");
	BAD("\"\\x41\"", "an unknown escape (column 2)");
	BAD("\"\\u12g4\"", "\\u without four hexadecimal digits");
	BAD("\"\\u12", "string");
	BAD("\"\\u12\"", "\\u without");
	BAD("\"\\ud83d\"", "the first half of a surrogate pair without the second (column 2)");
	BAD("\"\\ud83d\\u0041\"", "the first half");
	BAD("\"\\ud83d\\ud83d\\ude00\"", "the first half");
	BAD("\"\\ude00\"", "the second half of a surrogate pair without the first (column 2)");
	BAD("\"a\xc3\"", "not UTF-8 at byte 1");
	BAD("\"\xed\xa0\x80\"", "not UTF-8"); /* a surrogate in UTF-8 */
	BAD("\"\xc0\x80\"", "not UTF-8");     /* overlong */
	BAD("\"\xff\xfe\"", "not UTF-8");
	BAD("{\"\xe9\":1}", "not UTF-8");
	BAD("\xef\xbb\xbf{}", "byte ef where a value");
}
END_TEST

/* Depth is bounded, exactly. */
START_TEST(test_depth)
{
	char text[2 * JTAPE_MAX_DEPTH + 4];
	memset(text, '[', JTAPE_MAX_DEPTH);
	memset(text + JTAPE_MAX_DEPTH, ']', JTAPE_MAX_DEPTH);
	check_written(text, sizeof(text) - 4, text, sizeof(text) - 4);
	memset(text, '[', JTAPE_MAX_DEPTH + 1);
	text[JTAPE_MAX_DEPTH + 1] = '\0';
	check_bad(text, JTAPE_MAX_DEPTH + 1, "nested too deep");
}
END_TEST

/* A key that stands twice is found, in whatever way it is written, and where it is nested. */
START_TEST(test_duplicates)
{
	struct jtape tape = {0};
	struct err err = {0};
	struct buf out = {0};
	char *copy = padded("[{\"b\":1,\"ab\":2,\"a\":3,\"\\u0061b\":4}]", 35);
	ck_assert_msg(jtape_parse(&tape, copy, strlen(copy), &err), "%s", err.text);
	const struct jtoken *k = jtape_duplicate(&tape.tokens[1]);
	ck_assert_ptr_nonnull(k);
	ck_assert(jtoken_is(k, "ab"));
	ck_assert(!jtape_write(&tape.tokens[0], &out, &err));
	ck_assert_str_eq(err.text, "the key \"ab\" stands twice");
	free(copy);
	copy = padded("{\"b\":1,\"ab\":2,\"a\":3}", 20);
	ck_assert_msg(jtape_parse(&tape, copy, strlen(copy), &err), "%s", err.text);
	ck_assert_ptr_null(jtape_duplicate(&tape.tokens[0]));
	free(copy);
	jtape_free(&tape);
	buf_free(&out);
}
END_TEST

/* Any bytes: what we take jansson takes, and means the same; what we refuse it refuses. */
START_TEST(test_against_jansson)
{
	static const char *const pieces[] = {
		"{",    "}",    "[",    "]",    ",", ":",       "\"a\"",        "\"b\"", "1",
		"-2.5", "1e-3", "true", "null", " ", "\"\\n\"", "\"\xc3\xa9\"", "\\",    "0"};
	uint32_t seed = 7;
	for (int round = 0; round < 200000; round++) {
		char text[200] = "";
		for (int i = 0; i < 1 + round % 9; i++) {
			seed = seed * 1664525 + 1013904223;
			strcat(text, pieces[(seed >> 8) % ARRAY_LEN(pieces)]);
		}
		struct jtape tape = {0};
		struct err err = {0};
		struct buf out = {0};
		size_t len = strlen(text);
		char *copy = padded(text, len);
		json_t *theirs = json_loadb(text, len, JSON_DECODE_ANY, NULL);
		bool ours = jtape_parse(&tape, copy, len, &err);
		ck_assert_msg(ours == (theirs != NULL), "%s: %s", text, err.text);
		if (ours && jtape_write(&tape.tokens[0], &out, &err)) {
			json_t *again =
				json_loadb((char *)out.data, out.len, JSON_DECODE_ANY, NULL);
			ck_assert_msg(json_equal(theirs, again), "%s", text);
			json_decref(again);
		}
		json_decref(theirs);
		jtape_free(&tape);
		buf_free(&out);
		free(copy);
	}
}
END_TEST

static Suite *jtape_suite(void)
{
	Suite *suite = suite_create("jtape");
	TCase *tc = tcase_create("jtape");
	tcase_add_test(tc, test_values);
	tcase_add_test(tc, test_strings);
	tcase_add_test(tc, test_refused);
	tcase_add_test(tc, test_depth);
	tcase_add_test(tc, test_duplicates);
	tcase_add_test(tc, test_against_jansson);
	suite_add_tcase(suite, tc);
	return suite;
}

UNIT_SUITE(jtape_suite)

/*
 * test_text.c - UTF-8 and JSON as PostgreSQL takes them. What is good and bad here was compared
 * with convert_from() and pg_input_is_valid(..., 'jsonb') of a PostgreSQL 16. Inputs (JSON with its
 * zeros) end at the end of a heap block, so that AddressSanitizer sees one byte read too many. The
 * fast paths are compared with text_reference.c, byte for byte.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "codec/text.h"
#include "random_avro.h"
#include "text_reference.h"
#include "unit.h"

static bool utf8(const void *p, size_t n, struct refusal *why)
{
	uint8_t *copy = xmalloc(n);
	if (n > 0)
		memcpy(copy, p, n);
	bool good = text_check_utf8((struct slice){copy, n}, why);
	free(copy);
	return good;
}

static bool json_depth(const void *p, size_t n, uint32_t depth, struct refusal *why)
{
	uint8_t *copy = xcalloc(1, n + TEXT_PAD);
	if (n > 0)
		memcpy(copy, p, n);
	bool good = text_check_json((struct slice){copy, n}, depth, why);
	free(copy);
	return good;
}

static bool json(const char *s, struct refusal *why)
{
	return json_depth(s, strlen(s), 64, why);
}

/*
 * Proves agreement with the reference on every sequence of up to two bytes and on four bytes from
 * all their classes; alone, and behind 15 bytes of ASCII and before 20, so that the fast path
 * begins and ends at them.
 */
START_TEST(test_utf8_every_sequence)
{
	static const uint8_t tails[] = {0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f,
					0xa0, 0xbf, 0xc0, 0xc2, 0xf0, 0xff};
	struct refusal why;
	for (unsigned a = 0; a < 256; a++) {
		for (size_t b = 0; b < ARRAY_LEN(tails); b++) {
			for (unsigned rest = 0; rest < ARRAY_LEN(tails) * ARRAY_LEN(tails);
			     rest++) {
				uint8_t s[4] = {(uint8_t)a, tails[b],
						tails[rest % ARRAY_LEN(tails)],
						tails[rest / ARRAY_LEN(tails)]};
				for (size_t n = 1; n <= 4; n++) {
					bool want = reference_utf8(s, n);
					if (text_check_utf8((struct slice){s, n}, &why) !=
					    want) /* ck_assert is too slow here */
						ck_abort_msg("%02x %02x %02x %02x, %zu bytes", s[0],
							     s[1], s[2], s[3], n);
				}
				uint8_t padded[40];
				memset(padded, 'x', sizeof(padded));
				memcpy(padded + 15, s, sizeof(s));
				if (text_check_utf8((struct slice){padded, sizeof(padded)}, &why) !=
				    reference_utf8(s, 4))
					ck_abort_msg("%02x %02x %02x %02x, padded", s[0], s[1],
						     s[2], s[3]);
			}
		}
	}
}
END_TEST

/* Proves that a bad byte is found at every place of every length, and that its position is told. */
START_TEST(test_utf8_position)
{
	struct refusal why;
	char text[64], want[64];
	ck_assert(utf8(NULL, 0, &why));
	for (size_t n = 1; n < sizeof(text); n++) {
		memset(text, 'a', n);
		ck_assert(utf8(text, n, &why));
		for (size_t i = 0; i < n; i++) {
			text[i] = '\0';
			ck_assert(!utf8(text, n, &why));
			ck_assert_int_eq(why.reason, REASON_INVALID_TEXT);
			snprintf(want, sizeof(want), "NUL at byte %zu", i);
			ck_assert_str_eq(why.text, want);
			text[i] = '\xe4';
			ck_assert(!utf8(text, n, &why));
			snprintf(want, sizeof(want), "not UTF-8 at byte %zu", i);
			ck_assert_str_eq(why.text, want);
			text[i] = 'a';
		}
	}
}
END_TEST

/*
 * Proves that text_copy() copies exactly n bytes, and takes a text if and only if each of its bytes
 * is 1 .. 127: for every byte at every place of every length around the sizes in which it works.
 */
START_TEST(test_copy)
{
	enum { MOST = 70 };
	uint8_t to[MOST + 2];
	ck_assert(text_copy(to, (struct slice){NULL, 0}));
	for (size_t n = 1; n <= MOST; n++) {
		uint8_t *from = xmalloc(n); /* ends with its block */
		for (size_t i = 0; i < n; i++)
			from[i] = (uint8_t)('0' + i);
		for (size_t at = 0; at < n; at++) {
			uint8_t old = from[at];
			for (unsigned c = 0; c < 256; c++) {
				from[at] = (uint8_t)c;
				memset(to, 0xee, sizeof(to));
				bool plain = text_copy(to + 1, (struct slice){from, n});
				if (plain != (c > 0 && c < 128) || memcmp(to + 1, from, n) != 0 ||
				    to[0] != 0xee || to[n + 1] != 0xee)
					ck_abort_msg("byte %u at %zu of %zu", c, at, n);
			}
			from[at] = old;
		}
		free(from);
	}
}
END_TEST

/*
 * ours must be the reference's answer. The text lies in a block with room for TEXT_PAD behind it.
 */
static void compare_json(uint8_t *text, size_t n)
{
	struct refusal why;
	bool vast;
	memset(text + n, 0, TEXT_PAD);
	bool want = reference_json(text, n, 6, &vast);
	bool got = text_check_json((struct slice){text, n}, 6, &why);
	bool utf8_reason = reference_utf8(text, n) == (got || why.reason != REASON_INVALID_TEXT);
	if ((got != want && !(vast && want)) || !utf8_reason)
		ck_abort_msg("%s: %.*s", want ? why.text : "taken", (int)n, (const char *)text);
}

/*
 * Proves agreement with the reference on every text of up to five of the bytes that mean something.
 */
START_TEST(test_json_every_short_text)
{
	static const uint8_t bytes[] = "{}[]\",:10.e-\\un \xc3\xa4";
	enum { KINDS = sizeof(bytes) - 1 };
	uint8_t text[5 + TEXT_PAD];
	for (size_t n = 0, count = 1; n <= 5; n++, count *= KINDS) {
		for (size_t i = 0; i < count; i++) {
			for (size_t k = 0, rest = i; k < n; k++, rest /= KINDS)
				text[k] = bytes[rest % KINDS];
			compare_json(text, n);
		}
	}
}
END_TEST

/*
 * Proves agreement with the reference for every byte at every place of a text, the text shifted
 * over 16 places.
 */
START_TEST(test_json_every_byte)
{
	static const char whole[] = "{\"key\":[-1.5e-3,\"\\ud83d\\ude00 "
				    "\xc3\xa4\xf0\x9f\x98\x80\",true,{\"x\":[]}],\"b\":\"\"}";
	enum { LEN = sizeof(whole) - 1 };
	uint8_t text[16 + LEN + TEXT_PAD];
	for (size_t shift = 0; shift < 16; shift++) {
		memset(text, ' ', shift);
		memcpy(text + shift, whole, LEN);
		compare_json(text, shift + LEN);
		for (size_t at = shift; at < shift + LEN; at++) {
			uint8_t old = text[at];
			for (unsigned c = 0; c < 256; c++) {
				text[at] = (uint8_t)c;
				compare_json(text, shift + LEN);
			}
			text[at] = old;
			compare_json(text, at);
		}
	}
}
END_TEST

static void random_json(struct random *r, struct buf *out, unsigned depth);

static void random_string(struct random *r, struct buf *out)
{
	static const char *const parts[] = {"a",
					    "plain text of 23 bytes",
					    "\xc3\xa4",
					    "\xe6\x97\xa5",
					    "\xf0\x9f\x98\x80",
					    "\\n",
					    "\\u00e4",
					    "\\ud83d\\ude00",
					    "0123456789abcdef",
					    " "};
	buf_u8(out, '"');
	for (uint64_t n = random_below(r, 5); n > 0; n--)
		buf_puts(out, parts[random_below(r, ARRAY_LEN(parts))]);
	buf_u8(out, '"');
}

static void random_container(struct random *r, struct buf *out, unsigned depth, bool object)
{
	uint64_t n = random_below(r, 4);
	buf_puts(out, object ? "{" : "[");
	for (uint64_t i = 0; i < n; i++) {
		if (object) {
			random_string(r, out);
			buf_puts(out, random_one_in(r, 3) ? " : " : ":");
		}
		random_json(r, out, depth - 1);
		if (i + 1 < n)
			buf_puts(out, random_one_in(r, 3) ? " ,\n" : ",");
	}
	buf_puts(out, object ? "}" : "]");
}

static void random_json(struct random *r, struct buf *out, unsigned depth)
{
	static const char *const scalars[] = {"0",     "-12.5", "1e5",     "true",
					      "false", "null",  "3.25E-2", "123456789"};
	uint64_t kind = random_below(r, depth > 0 ? 4 : 2);
	if (kind == 0)
		buf_puts(out, scalars[random_below(r, ARRAY_LEN(scalars))]);
	else if (kind == 1)
		random_string(r, out);
	else
		random_container(r, out, depth, kind == 2);
}

/*
 * Proves agreement with the reference on random values, whole, cut, and with one or two bytes of
 * them changed.
 */
START_TEST(test_json_random)
{
	static const uint8_t bytes[] = "{}[]\",:10.e-\\un \xc3\xa4\x9f\x01";
	struct random r = {.state = 7};
	struct buf b = {0};
	for (int i = 0; i < 40000; i++) {
		b.len = 0;
		random_json(&r, &b, 7);
		buf_grow(&b, TEXT_PAD);
		compare_json(b.data, b.len);
		for (int k = 0; k < 4; k++) {
			b.data[random_below(&r, b.len)] =
				random_one_in(&r, 3) ? (uint8_t)random_bits(&r)
						     : bytes[random_below(&r, sizeof(bytes) - 1)];
			compare_json(b.data, b.len);
		}
		compare_json(b.data, random_below(&r, b.len + 1));
	}
	buf_free(&b);
}
END_TEST

/* Proves that what RFC 8259 allows passes. */
START_TEST(test_json_good)
{
	static const char *const good[] = {
		"null",
		"true",
		"false",
		"0",
		"-0",
		"-0.0e-0",
		"1E+5",
		"1.25e-3",
		"\"\"",
		"\"a b\"",
		"{}",
		"[]",
		" [ ] ",
		"\t\r\n{ }\n",
		"[1,2,3]",
		"[[],[[]],{}]",
		"{\"a\":1,\"b\":[true,{\"c\":null}],\"a\":2}",
		" { \"a\" : \"b\" , \"c\" : [ 1 , 2 ] } ",
		"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\uD83D\\ude00\"",
		"\"\\u0001\\ud7ff\\ue000\\uffff\"",
		"\"\xc3\xa9 \xe6\x97\xa5 \xf0\x9f\x98\x80 and 16 bytes of ASCII behind it\"",
		"\"\x7f\"",
	};
	struct refusal why;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		ck_assert_msg(json(good[i], &why), "%s: %s", good[i], why.text);
}
END_TEST

/*
 * Proves that each rule of the grammar is enforced, and that every beginning of a good text is bad.
 */
START_TEST(test_json_bad)
{
	static const char *const bad[] = {
		"",         " ",          "nul",         "nulll",       "True",      "tru e",
		"NaN",      "Infinity",   "-",           "+1",          "01",        "-01",
		"1.",       ".5",         "1.e5",        "1e",          "1e+",       "0x1",
		"1 2",      "1,",         "[",           "]",           "[1",        "[1,",
		"[1,]",     "[,1]",       "[1 2]",       "[1}",         "{",         "}",
		"{\"a\"",   "{\"a\"}",    "{\"a\":",     "{\"a\":1",    "{\"a\":1,", "{\"a\":1,}",
		"{,}",      "{a:1}",      "{'a':1}",     "{1:1}",       "{\"a\":1]", "{\"a\" 1}",
		"[{]}",     "\"",         "\"a",         "\"\\\"",      "\"\\",      "\"\\x\"",
		"\"\\u\"",  "\"\\u12\"",  "\"\\u12g4\"", "\"\\U0041\"", "\"a\nb\"",  "\"a\tb\"",
		"\"\x1f\"", "'a'",        "\"a\"\"b\"",  "//c\n1",      "\f1",       "1\v",
		"[1]]",     "{\"a\":1}}", "[\"a\":1]",   "{\"a\",1}",
	};
	struct refusal why;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		ck_assert_msg(!json(bad[i], &why), "%s", bad[i]);
		ck_assert_int_eq(why.reason, REASON_INVALID_JSON);
	}
	const char *whole =
		"{\"key\":[1.5e-3,\"\\ud83d\\ude00 and some more text\",true,null,{\"x\":[]}]}";
	for (size_t n = 0; n < strlen(whole); n++)
		ck_assert_msg(!json_depth(whole, n, 64, &why), "%.*s", (int)n, whole);
	ck_assert(json(whole, &why));
}
END_TEST

/*
 * Proves that a quote, a backslash and a control character are seen at every place of the 16 bytes
 * that are looked at at once.
 */
START_TEST(test_json_string_scan)
{
	struct refusal why;
	for (size_t n = 0; n < 40; n++) {
		char text[64] = "\"";
		memset(text + 1, 'a', n);
		text[1 + n] = '"';
		ck_assert(json(text, &why));
		for (size_t i = 1; i <= n; i++) {
			static const char stops[] = {'"', '\\', 0x1f, 0x01};
			for (size_t k = 0; k < sizeof(stops); k++) {
				text[i] = stops[k];
				ck_assert(!json(text, &why));
			}
			static const char fine[] = {'!', '#', '[', ']', ' ', 0x7f};
			for (size_t k = 0; k < sizeof(fine); k++) {
				text[i] = fine[k];
				ck_assert(json(text, &why));
			}
			text[i] = 'a';
		}
	}
}
END_TEST

/*
 * Proves what jsonb refuses and RFC 8259 does not: \u0000 and surrogates that are no pair; and that
 * bad UTF-8 is bad text.
 */
START_TEST(test_json_unicode)
{
	static const char *const bad[] = {
		"\"\\u0000\"",        "\"\\ud800\"",        "\"\\udc00\"",    "\"\\ude00\\ud83d\"",
		"\"\\ud83d\\u0041\"", "\"\\ud83d\\ud83d\"", "\"\\ud83d\\n\"", "\"\\ud83dx\"",
		"\"\\ud83d\\ude0\"",  "{\"\\u0000\":1}",    "\"\\ud83d",      "\"\\ud83d\\u\"",
	};
	struct refusal why;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		ck_assert_msg(!json(bad[i], &why), "%s", bad[i]);
		ck_assert_int_eq(why.reason, REASON_INVALID_JSON);
	}
	ck_assert(!json("\"\xff\"", &why));
	ck_assert_int_eq(why.reason, REASON_INVALID_TEXT);
	ck_assert(!json_depth("\"a\0b\"", 5, 64, &why));
	ck_assert_int_eq(why.reason, REASON_INVALID_TEXT);
	ck_assert(!json("\xef\xbb\xbf"
			"1",
			&why)); /* a byte order mark is no white space */
	ck_assert_int_eq(why.reason, REASON_INVALID_JSON);
}
END_TEST

/* n digits of d between before and after. */
static bool number(const char *before, char d, size_t n, const char *after, struct refusal *why)
{
	struct buf b = {0};
	buf_puts(&b, before);
	memset(buf_take(&b, n), d, n);
	buf_puts(&b, after);
	bool good = json_depth(b.data, b.len, 64, why);
	buf_free(&b);
	return good;
}

/*
 * Proves the exact limits of numeric: 131072 digits before the point, 16383 after, however the
 * number is written.
 */
START_TEST(test_json_numbers)
{
	static const char *const good[] = {"1e131071",    "0.1e131072",
					   "9.9e131071",  "123e131069",
					   "0.01e131073", "1e-16383",
					   "1.5e-16382",  "0e131072",
					   "0e99999999",  "0e-16383",
					   "0.00e-16381", "-1e131071",
					   "10e-16383",   "1e0000000000000000000005",
					   "1000e131068"};
	static const char *const bad[] = {"1e131072",
					  "0.1e131073",
					  "123e131070",
					  "0.01e131074",
					  "1e-16384",
					  "1.5e-16383",
					  "1.50e-16382",
					  "0e-16384",
					  "1e9999999999",
					  "0e2147483647",
					  "-1e131072",
					  "0e-2147483648",
					  "1e18446744073709551617",
					  "[1e400000]"};
	struct refusal why;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		ck_assert_msg(json(good[i], &why), "%s: %s", good[i], why.text);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		ck_assert_msg(!json(bad[i], &why), "%s", bad[i]);
		ck_assert_int_eq(why.reason, REASON_INVALID_JSON);
	}
	ck_assert(number("", '1', 131072, "", &why));
	ck_assert(!number("", '1', 131073, "", &why));
	ck_assert(number("0.", '1', 16383, "", &why));
	ck_assert(!number("0.", '1', 16384, "", &why));
	ck_assert(!number("0.", '0', 16384, "", &why));
	ck_assert(number("1.", '0', 16384, "e1", &why));
}
END_TEST

static bool nested(const char *open, const char *inner, const char *close, size_t depth,
		   uint32_t max, struct refusal *why)
{
	struct buf b = {0};
	for (size_t i = 0; i < depth; i++)
		buf_puts(&b, open);
	buf_puts(&b, inner);
	for (size_t i = 0; i < depth; i++)
		buf_puts(&b, close);
	bool good = json_depth(b.data, b.len, max, why);
	buf_free(&b);
	return good;
}

/*
 * Proves that nesting is counted exactly, closed containers do not count, a million levels need no
 * stack, and that each level remembers whether it is an object.
 */
START_TEST(test_json_depth)
{
	struct refusal why;
	ck_assert(nested("[", "", "]", 5, 5, &why));
	ck_assert(!nested("[", "", "]", 6, 5, &why));
	ck_assert_int_eq(why.reason, REASON_TOO_LARGE);
	ck_assert(!nested("{\"a\":", "{}", "}", 5, 5, &why));
	ck_assert(json_depth("1", 1, 0, &why));
	ck_assert(!json_depth("[]", 2, 0, &why));
	ck_assert(json_depth("[[],[],[],{}]", 13, 2, &why));
	ck_assert(
		nested("[{\"a\":", "1", "}]", TEXT_JSON_MAX_DEPTH / 2, TEXT_JSON_MAX_DEPTH, &why));
	ck_assert(!nested("[", "", "]", 1000000, UINT32_MAX, &why));
	ck_assert_int_eq(why.reason, REASON_TOO_LARGE);
	ck_assert(!json("[{\"a\":[1}]]", &why));
	ck_assert(!json("{\"a\":[1],2}", &why));
}
END_TEST

static Suite *text_suite(void)
{
	Suite *s = suite_create("text");
	TCase *t = tcase_create("checks");
	tcase_add_test(t, test_utf8_every_sequence);
	tcase_add_test(t, test_utf8_position);
	tcase_add_test(t, test_copy);
	tcase_add_test(t, test_json_good);
	tcase_add_test(t, test_json_bad);
	tcase_add_test(t, test_json_string_scan);
	tcase_add_test(t, test_json_unicode);
	tcase_add_test(t, test_json_numbers);
	tcase_add_test(t, test_json_depth);
	tcase_add_test(t, test_json_every_short_text);
	tcase_add_test(t, test_json_every_byte);
	tcase_add_test(t, test_json_random);
	suite_add_tcase(s, t);
	return s;
}
UNIT_SUITE(text_suite)

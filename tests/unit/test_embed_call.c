/*
 * test_embed_call.c - answers of a server of vectors: each vector on its own text, or none at all;
 * and what a failure is worth.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "io/embed_answer.h"
#include "io/embed_call.h"
#include "unit.h"

/* Reads an answer for n texts of 2 dimensions; out: "1 0 0 1", or the error. */
static bool read_answer(const char *json, size_t n, bool normalize, char *out, size_t size)
{
	struct buf vectors = {0};
	struct err err = {0};
	struct embed_answer a = {.n = n, .dim = 2, .vectors = &vectors};
	char *copy = xcalloc(1, strlen(json) + 16);
	memcpy(copy, json, strlen(json));
	bool ok = embed_answer_read(&a, copy, strlen(json), &err);
	if (ok && normalize)
		embed_normalize(vectors.data, 2);
	size_t at = 0;
	out[0] = '\0';
	for (size_t i = 0; ok && i < vectors.len; i += 4) {
		uint32_t bits = get_be32(vectors.data + i);
		float f;
		memcpy(&f, &bits, sizeof(f));
		at += (size_t)snprintf(out + at, size - at, "%s%g", i ? " " : "", (double)f);
	}
	if (!ok) {
		ck_assert_uint_eq(vectors.len, 0);
		snprintf(out, size, "%s", err.text);
	}
	buf_free(&vectors);
	free(copy);
	return ok;
}

static void good(const char *json, size_t n, const char *wanted)
{
	char out[256];
	ck_assert_msg(read_answer(json, n, false, out, sizeof(out)), "%s: %s", json, out);
	ck_assert_str_eq(out, wanted);
}

static void bad(const char *json, size_t n, const char *words)
{
	char out[ERR_TEXT_SIZE];
	ck_assert_msg(!read_answer(json, n, false, out, sizeof(out)), "taken: %s", json);
	ck_assert_msg(strstr(out, words) != NULL, "%s: '%s' lacks '%s'", json, out, words);
}

#define ITEM(i, v) "{\"index\":" i ",\"embedding\":" v "}"

/* By index, whatever the order; by place only where nobody has an index. */
START_TEST(places)
{
	good("{\"data\":[" ITEM("0", "[1,2]") "," ITEM("1", "[3,4]") "]}", 2, "1 2 3 4");
	good("{\"data\":[" ITEM("1", "[3,4]") "," ITEM("0", "[1,2]") "]}", 2, "1 2 3 4");
	good("{\"data\":[{\"embedding\":[1,2]},{\"embedding\":[3,4]}]}", 2, "1 2 3 4");
	good("{\"data\":[" ITEM("null", "[1,2]") "," ITEM("null", "[3,4]") "]}", 2, "1 2 3 4");
	bad("{\"data\":[" ITEM("0", "[1,2]") ",{\"embedding\":[3,4]}]}", 2,
	    "vector 2 has no index");
	bad("{\"data\":[" ITEM("0", "[1,2]") "," ITEM("0", "[3,4]") "]}", 2, "stands twice");
	bad("{\"data\":[" ITEM("0", "[1,2]") "," ITEM("2", "[3,4]") "]}", 2, "index of 0 to 1");
	bad("{\"data\":[" ITEM("0", "[1,2]") "," ITEM("-1", "[3,4]") "]}", 2, "index of 0 to 1");
	bad("{\"data\":[" ITEM("0", "[1,2]") "," ITEM("\"1\"", "[3,4]") "]}", 2, "no index");
}
END_TEST

/* A count that differs, with or without index, and what is no answer at all. */
START_TEST(counts)
{
	bad("{\"data\":[" ITEM("0", "[1,2]") "]}", 2, "1 vectors for 2 texts");
	bad("{\"data\":[{\"embedding\":[1,2]}]}", 2, "1 vectors for 2 texts");
	bad("{\"data\":[{\"embedding\":[1,2]},{\"embedding\":[1,2]}]}", 1, "2 vectors for 1");
	bad("{\"data\":[]}", 1, "0 vectors for 1");
	bad("{\"data\":null}", 1, "no \"data\"");
	bad("[1,2]", 1, "no \"data\"");
	bad("{\"data\":[" ITEM("0", "[1,2]") "]", 1, "no JSON");
	bad("", 1, "no JSON");
	bad("<html>busy</html>", 1, "no JSON");
}
END_TEST

/* Numbers that are none, too many, too few, too large, or nothing but zero. */
START_TEST(numbers)
{
	bad("{\"data\":[" ITEM("0", "[1,NaN]") "]}", 1, "no JSON");
	bad("{\"data\":[" ITEM("0", "[1,null]") "]}", 1, "number 2 is none");
	bad("{\"data\":[" ITEM("0", "[1,\"2\"]") "]}", 1, "number 2 is none");
	bad("{\"data\":[" ITEM("0", "[1,1e999]") "]}", 1, "number 2 is none");
	bad("{\"data\":[" ITEM("0", "[0,0.0]") "]}", 1, "zero");
	bad("{\"data\":[" ITEM("0", "[]") "]}", 1, "no numbers");
	bad("{\"data\":[" ITEM("0", "{}") "]}", 1, "no list of numbers");
	bad("{\"data\":[{\"index\":0}]}", 1, "no list of numbers");
	bad("{\"data\":[" ITEM("0", "[1,2,3]") "]}", 1, "have 3 dimensions, the column 2");
	bad("{\"data\":[" ITEM("0", "[1]") "," ITEM("1", "[1,2]") "]}", 2, "differ in dimension");
}
END_TEST

/* Little-endian floats in base64, with and without padding; and what is none. */
START_TEST(base64)
{
	good("{\"data\":[" ITEM("0", "\"AACAPwAAAMA=\"") "]}", 1, "1 -2");
	good("{\"data\":[" ITEM("0", "\"AACAPwAAAMA\"") "]}", 1, "1 -2");
	bad("{\"data\":[" ITEM("0", "\"AACAPw AAAMA\"") "]}", 1, "no base64");
	bad("{\"data\":[" ITEM("0", "\"AACAPwAA\"") "]}", 1, "no base64");
	bad("{\"data\":[" ITEM("0", "\"\"") "]}", 1, "no numbers");
	bad("{\"data\":[" ITEM("0", "\"AADAfwAAgD8=\"") "]}", 1, "NaN");
	bad("{\"data\":[" ITEM("0", "\"AACAfwAAgD8=\"") "]}", 1, "infinity");
}
END_TEST

/* Of length 1 if it is so wanted, whatever the numbers' size. */
START_TEST(norm)
{
	char out[256];
	ck_assert(read_answer("{\"data\":[" ITEM("0", "[3,-4]") "]}", 1, true, out, sizeof(out)));
	ck_assert_str_eq(out, "0.6 -0.8");
	ck_assert(read_answer("{\"data\":[" ITEM("0", "[3e-30,4e-30]") "]}", 1, true, out,
			      sizeof(out)));
	ck_assert_str_eq(out, "0.6 0.8");
}
END_TEST

static int64_t tokens_in(const char *usage)
{
	struct buf vectors = {0};
	struct embed_answer a = {.n = 1, .dim = 2, .vectors = &vectors};
	struct err err = {0};
	char *json = xasprintf("{\"data\":[" ITEM("0", "[1,2]") "],\"usage\":%s}", usage);
	char *copy = xcalloc(1, strlen(json) + 16);
	memcpy(copy, json, strlen(json));
	ck_assert(embed_answer_read(&a, copy, strlen(json), &err));
	free(copy);
	free(json);
	buf_free(&vectors);
	return a.tokens;
}

/* What it cost, as far as the server says; nonsense is no reason to doubt the vectors. */
START_TEST(tokens)
{
	ck_assert_int_eq(tokens_in("null"), 0);
	ck_assert_int_eq(tokens_in("{\"prompt_tokens\":7,\"total_tokens\":9}"), 7);
	ck_assert_int_eq(tokens_in("{\"total_tokens\":9}"), 9);
	ck_assert_int_eq(tokens_in("{\"prompt_tokens\":-5}"), 0);
	ck_assert_int_eq(tokens_in("{\"prompt_tokens\":\"x\",\"total_tokens\":1e400}"), 0);
	ck_assert_int_le(tokens_in("{\"prompt_tokens\":9223372036854775807}"), INT64_MAX / 65536);
}
END_TEST

static void words_are(const char *json, const char *wanted)
{
	char text[256], words[64];
	snprintf(text, sizeof(text), "%s", json);
	embed_answer_words(text, strlen(text), words, sizeof(words));
	ck_assert_str_eq(words, wanted);
}

/* The server's words, wherever it puts them, in one line of UTF-8. */
START_TEST(server_words)
{
	words_are("{\"error\":{\"message\":\"too long\",\"type\":\"x\"}}", "too long");
	words_are("{\"error\":\"too\\nlong\"}", "too long");
	words_are("{\"message\":\"m\\u00fcde\"}", "m\303\274de");
	words_are("{\"detail\":[{\"loc\":[1],\"msg\":\"bad\"}]}", "bad");
	words_are("plain \377 text\n", "plain ? text ");
	bad("{\"error\":{\"message\":\"model is loading\"}}", 1, "status 200: model is loading");
}
END_TEST

/* Runs the judgement of an answer that came. */
/* status 0: sent, and no answer; -1: never sent. */
static enum embed_fault judge(long status, const char *body)
{
	const struct embed_config config = {.name = "m", .url = "http://x/v1/", .model = "m"};
	struct embed_call *c = embed_call_new(&config, 2, true);
	embed_call_put(c, "p: ", (struct slice){(const uint8_t *)"a", 1});
	ck_assert(embed_call_begin(c));
	ck_assert_str_eq(c->http.url, "http://x/v1/embeddings");
	c->http.answered = status > 0;
	c->http.status = status;
	c->http.sent = status >= 0;
	if (status <= 0)
		err_set(&c->http.err, ERR_RETRY, "Connection timed out");
	buf_puts(&c->http.body, body);
	enum embed_fault fault = embed_call_judge(c);
	ck_assert(fault == EMBED_FINE || c->err.text[0]);
	ck_assert_int_eq(c->too_much, status == 0 || status == 413);
	embed_call_free(c);
	return fault;
}

/* Who is to act: nobody but time, the text, or an operator. */
START_TEST(faults)
{
	ck_assert_int_eq(judge(200, "{\"data\":[" ITEM("0", "[1,2]") "]}"), EMBED_FINE);
	ck_assert_int_eq(judge(0, ""), EMBED_WAIT);
	ck_assert_int_eq(judge(-1, ""), EMBED_WAIT);
	ck_assert_int_eq(judge(429, "slow down"), EMBED_WAIT);
	ck_assert_int_eq(judge(503, ""), EMBED_WAIT);
	ck_assert_int_eq(judge(500, "NaN"), EMBED_ODD);
	ck_assert_int_eq(judge(200, "{\"data\":[]}"), EMBED_ODD);
	ck_assert_int_eq(judge(200, "{\"error\":\"x\"}"), EMBED_ODD);
	ck_assert_int_eq(judge(200, "{\"error\":{\"code\":429,\"message\":\"x\"}}"), EMBED_WAIT);
	ck_assert_int_eq(judge(200, "{\"error\":{\"code\":400,\"message\":\"x\"}}"), EMBED_REFUSED);
	ck_assert_int_eq(judge(400, ""), EMBED_REFUSED);
	ck_assert_int_eq(judge(413, ""), EMBED_REFUSED);
	ck_assert_int_eq(judge(422, ""), EMBED_REFUSED);
	ck_assert_int_eq(judge(401, "{\"error\":\"no\"}"), EMBED_HALT);
	ck_assert_int_eq(judge(404, ""), EMBED_HALT);
	ck_assert_int_eq(judge(200, "{\"data\":[" ITEM("0", "[1,2,3]") "]}"), EMBED_HALT);
}
END_TEST

/* What is sent is JSON: quotes, backslashes and control characters are escaped. */
START_TEST(request)
{
	const struct embed_config config = {.name = "m", .url = "http://x/v1", .model = "a\"b"};
	struct embed_call *c = embed_call_new(&config, 2, true);
	embed_call_put(c, "p: ", (struct slice){(const uint8_t *)"a\n\"\\\001z", 6});
	embed_call_put(c, "p: ", (struct slice){(const uint8_t *)"\303\274", 2});
	ck_assert(embed_call_begin(c));
	ck_assert_str_eq(c->http.post,
			 "{\"model\":\"a\\u0022b\",\"encoding_format\":\"base64\",\"input\":["
			 "\"p: a\\u000a\\u0022\\u005c\\u0001z\",\"p: \303\274\"]}");
	embed_call_free(c);
}
END_TEST

static Suite *embed_call_suite(void)
{
	Suite *suite = suite_create("embed_call");
	TCase *tc = tcase_create("embed_call");
	tcase_add_test(tc, places);
	tcase_add_test(tc, counts);
	tcase_add_test(tc, numbers);
	tcase_add_test(tc, base64);
	tcase_add_test(tc, norm);
	tcase_add_test(tc, tokens);
	tcase_add_test(tc, server_words);
	tcase_add_test(tc, faults);
	tcase_add_test(tc, request);
	suite_add_tcase(suite, tc);
	return suite;
}

UNIT_SUITE(embed_call_suite)

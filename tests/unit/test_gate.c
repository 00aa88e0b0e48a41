/*
 * test_gate.c - the pure parts of the gateway: pieces of a URL, tokens, bodies that become events,
 * and that its tables, its metrics and docs/openapi.yaml say the same.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/stats.h"
#include "container_put.h"
#include "core/config_key.h"
#include "gate/desk.h"
#include "gate/openapi.h"
#include "gate/reply.h"
#include "gate/target.h"
#include "gate/tokens.h"
#include "gate/url.h"
#include "unit.h"

/* Proves: percent-encoding is undone exactly, and what is none is refused. */
START_TEST(decoding)
{
	static const struct {
		const char *from, *to; /* NULL: refused */
		bool plus;
	} cases[] = {
		{"", "", false},      {"a%2Fb", "a/b", false},       {"a+b", "a+b", false},
		{"a+b", "a b", true}, {"%C3%bc", "\xc3\xbc", false}, {"%", NULL, false},
		{"%2", NULL, false},  {"ab%2", NULL, false},         {"%2g", NULL, false},
		{"%g2", NULL, false}, {"a%41", "aA", false},         {"%25%32", "%2", false},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char *text = strdup(cases[i].from);
		long n = url_decode(text, strlen(text), cases[i].plus);
		if (!cases[i].to)
			ck_assert_int_eq(n, -1);
		else
			ck_assert_str_eq(text, cases[i].to);
		free(text);
	}
}
END_TEST

/* Proves: a parameter is found by its whole name, and its value is decoded. */
START_TEST(parameter)
{
	bool bad;
	static const char query[] =
		"xwait=no&waits=no&wait=stored%2b1&wait=second&empty&e2=&nul=%00";
	char *v = url_parameter(query, "wait", &bad);
	ck_assert_str_eq(v, "stored+1");
	free(v);
	ck_assert_ptr_null(url_parameter(query, "wai", &bad));
	ck_assert(!bad);
	ck_assert_ptr_null(url_parameter("", "wait", &bad));
	v = url_parameter(query, "empty", &bad);
	ck_assert_str_eq(v, "");
	free(v);
	v = url_parameter(query, "e2", &bad);
	ck_assert_str_eq(v, "");
	free(v);
	ck_assert_ptr_null(url_parameter(query, "nul", &bad));
	ck_assert(bad);
}
END_TEST

/* --- tokens --- */

static bool known(void *ctx, const char *stream)
{
	(void)ctx;
	return strcmp(stream, "memory") == 0 || strcmp(stream, "mem") == 0;
}

static struct tokens *tokens_of(const char *text, struct err *err)
{
	char path[] = "/tmp/memingest-tokens-XXXXXX";
	file_put(path, text, strlen(text));
	static char kept[64];
	snprintf(kept, sizeof(kept), "%s", path);
	struct tokens *t = tokens_open(kept, known, NULL, err);
	unlink(kept);
	return t;
}

/* Proves: a line that is wrong is named with its number, and nothing of the file counts. */
START_TEST(wrong_tokens)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{"", "no token"},
		{"# nothing\n\n", "no token"},
		{"a longenough memory -\na another-one memory -\n",
		 ":2: the name \"a\" stands twice"},
		{"a longenough memory\n", ":1: wants name"},
		{"a longenough memory - more\n", ":1: wants name"},
		{"a short memory -\n", "less than 8"},
		{"a longenough none -\n", "no stream \"none\""},
		{"a longenough memory,none -\n", "no stream \"none\""},
		{"a longenough memory fast\n", "events a second"},
		{"a longenough memory 0\n", "events a second"},
		{"a longenough memory inf\n", "events a second"},
		{"a sha256:12 memory -\n", "64 hexadecimal"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err err = {0};
		ck_assert_ptr_null(tokens_of(cases[i].text, &err));
		ck_assert_int_eq(err.class, ERR_CONFIG);
		ck_assert_msg(strstr(err.text, cases[i].says) != NULL, "%s: %s", cases[i].text,
			      err.text);
	}
}
END_TEST

/*
 * Proves: a token lets in its owner alone, into its streams alone (and not into one whose name
 * begins the same), and its rate holds in the mean: the account may be overdrawn once.
 */
START_TEST(right_tokens)
{
	struct err err = {0};
	char name[TOKEN_NAME];
	struct tokens *t =
		tokens_of("a token-of-a memory 10 # comment\n"
			  "b sha256:" /* of "token-of-b" */
			  "97d613fbd4a6484c6567d2d2b495af817b3264c37dfe02a641449b2b351d5e1f * -\n",
			  &err);
	ck_assert_msg(t != NULL, "%s", err.text);
	ck_assert_int_eq(tokens_check(t, "Bearer token-of-a", "memory", name), TOKENS_MAY);
	ck_assert_str_eq(name, "a");
	ck_assert_int_eq(tokens_check(t, "bearer token-of-a", "mem", name), TOKENS_FORBIDDEN);
	ck_assert_int_eq(tokens_check(t, "Bearer token-of-b", "mem", name), TOKENS_MAY);
	ck_assert_str_eq(name, "b");
	ck_assert_int_eq(tokens_check(t, "Bearer token-of-", "memory", name), TOKENS_UNKNOWN);
	ck_assert_int_eq(tokens_check(t, "Bearer ", "memory", name), TOKENS_UNKNOWN);
	ck_assert_int_eq(tokens_check(t, "Basic token-of-a", "memory", name), TOKENS_UNKNOWN);
	ck_assert_int_eq(tokens_check(t, NULL, "memory", name), TOKENS_UNKNOWN);
	ck_assert_uint_eq(tokens_spend(t, "a", 0), 0);
	ck_assert_uint_eq(tokens_spend(t, "a", 45), 0);
	ck_assert_uint_gt(tokens_spend(t, "a", 1), 3);
	ck_assert_uint_eq(tokens_spend(t, "b", 1000000), 0);
	ck_assert_uint_eq(tokens_spend(t, "b", 1), 0);
	tokens_free(t);
}
END_TEST

/* --- bodies --- */

struct rig {
	struct stream_config stream;
	struct config config;
	struct stream *s;
	struct desk *desk;
	struct desk_limits limits;
	struct envelope envelope;
	struct parcel parcel;
	struct err err;
};

static void rig_open(struct rig *r)
{
	*r = (struct rig){.limits = {.events = 5, .bytes = 1000, .message = 200}};
	r->stream = (struct stream_config){.name = "ledger",
					   .schema = "tests/schemas/ledger_event.avsc",
					   .key_schema = "tests/schemas/ledger_key.avsc",
					   .format = FRAME_RAW};
	r->config.streams = &r->stream;
	r->config.nstreams = 1;
	r->config.limits = (struct decode_limits){.max_depth = 64,
						  .max_items = 1000,
						  .max_string_bytes = 1 << 16,
						  .max_row_bytes = 1 << 16,
						  .max_key_bytes = 2600};
	r->envelope.format = FRAME_RAW;
	r->s = stream_new(&r->config, 0, &r->err);
	ck_assert_msg(r->s != NULL, "%s", r->err.text);
	r->desk = desk_new(r->s, &r->config.limits, &r->err);
	ck_assert_msg(r->desk != NULL, "%s", r->err.text);
}

static void rig_close(struct rig *r)
{
	parcel_free(&r->parcel);
	desk_free(r->desk);
	stream_free(r->s);
}

/* A copy that ends where the body does, so that reading past it is seen by the sanitizers. */
static enum desk_verdict rig_read(struct rig *r, enum desk_format format, const void *body,
				  size_t len)
{
	struct buf copy = {0};
	parcel_free(&r->parcel);
	r->parcel = (struct parcel){0};
	err_clear(&r->err);
	buf_put(&copy, body, len);
	memset(buf_take(&copy, 8), 0, 8);
	copy.len -= 8;
	enum desk_verdict verdict =
		desk_read(r->desk, format, &copy, &r->limits, &r->envelope, &r->parcel, &r->err);
	buf_free(&copy);
	return verdict;
}

#define EVENT(account) "{\"event_time\":1,\"account\":\"" account "\"}"

/*
 * Proves: what is an array, an object or lines becomes as many events, with the message that the
 * stream's schema makes and the key of its key schema; what is none is refused with its place, and
 * a bad event costs itself alone.
 */
START_TEST(bodies)
{
	static const struct {
		enum desk_format format;
		const char *body;
		enum desk_verdict verdict;
		size_t events, errors;
	} cases[] = {
		{DESK_JSON, EVENT("a"), DESK_READ, 1, 0},
		{DESK_JSON, " [" EVENT("a") " ,\n" EVENT("b") " ] ", DESK_READ, 2, 0},
		{DESK_JSON, "[]", DESK_READ, 0, 0},
		{DESK_JSON, "", DESK_MALFORMED, 0, 0},
		{DESK_JSON, " ", DESK_MALFORMED, 0, 0},
		{DESK_JSON, "[", DESK_MALFORMED, 0, 0},
		{DESK_JSON, "[" EVENT("a"), DESK_MALFORMED, 1, 0},
		{DESK_JSON, "[" EVENT("a") ",", DESK_MALFORMED, 1, 0},
		{DESK_JSON, "[" EVENT("a") ",]", DESK_MALFORMED, 1, 0},
		{DESK_JSON, "[" EVENT("a") EVENT("b") "]", DESK_MALFORMED, 1, 0},
		{DESK_JSON, "[]]", DESK_MALFORMED, 0, 0},
		{DESK_JSON, EVENT("a") EVENT("b"), DESK_MALFORMED, 1, 0},
		{DESK_JSON, "[1,{}," EVENT("a") "]", DESK_READ, 1, 2},
		{DESK_JSON, "[1,2,3,4,5]", DESK_READ, 0, 5},
		{DESK_JSON, "[1,2,3,4,5,6]", DESK_TOO_MUCH, 0, 5},
		{DESK_LINES, "", DESK_READ, 0, 0},
		{DESK_LINES, EVENT("a") "\n\r\n \n" EVENT("b") "\r\n", DESK_READ, 2, 0},
		{DESK_LINES, EVENT("a") "\n{\n" EVENT("b"), DESK_READ, 2, 1},
		{DESK_LINES, "1\n2\n3\n4\n5\n6\n", DESK_TOO_MUCH, 0, 5},
		{DESK_AVRO, "", DESK_MALFORMED, 0, 0},
		{DESK_AVRO, "Obj\1", DESK_MALFORMED, 0, 0},
	};
	struct rig r;
	rig_open(&r);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		enum desk_verdict verdict =
			rig_read(&r, cases[i].format, cases[i].body, strlen(cases[i].body));
		ck_assert_msg(verdict == cases[i].verdict, "%s: %d: %s", cases[i].body,
			      (int)verdict, r.err.text);
		ck_assert_msg(r.parcel.n == cases[i].events, "%s: %zu", cases[i].body, r.parcel.n);
		ck_assert_msg(r.parcel.nerrors == cases[i].errors, "%s: %zu", cases[i].body,
			      r.parcel.nerrors);
	}
	ck_assert_int_eq(rig_read(&r, DESK_JSON, EVENT("ab"), strlen(EVENT("ab"))), DESK_READ);
	struct slice key = parcel_key(&r.parcel.events[0]);
	ck_assert_mem_eq(key.data, "\4ab", 3);
	ck_assert_uint_eq(key.len, 3);
	ck_assert_mem_eq(parcel_value(&r.parcel.events[0]).data, "\0\2\4ab\0", 6);
	rig_close(&r);
}
END_TEST

/* Proves: an event over the producer's limit is an error of its own; all of them together are not
 * more than allowed. */
START_TEST(too_many_bytes)
{
	struct rig r;
	struct buf body = {0};
	rig_open(&r);
	buf_printf(&body,
		   "[" EVENT("a") ",{\"event_time\":1,\"account\":\"b\",\"note\":\"%0300d\"}]", 0);
	ck_assert_int_eq(rig_read(&r, DESK_JSON, body.data, body.len), DESK_READ);
	ck_assert_uint_eq(r.parcel.n, 1);
	ck_assert(strstr(buf_cstr(&r.parcel.errors), "\"index\":1") != NULL);
	ck_assert(strstr(buf_cstr(&r.parcel.errors), "kafka.message.max.bytes") != NULL);
	r.limits.bytes = 20;
	ck_assert_int_eq(rig_read(&r, DESK_JSON, "[" EVENT("a") "," EVENT("b") "]",
				  strlen("[" EVENT("a") "," EVENT("b") "]")),
			 DESK_TOO_MUCH);
	buf_free(&body);
	rig_close(&r);
}
END_TEST

/* Proves: records of a container, of another schema that resolves, too, are the same events. */
START_TEST(containers)
{
	struct rig r;
	struct buf file = {0}, block = {0};
	static const char other[] =
		"{\"type\":\"record\",\"name\":\"LedgerEvent\",\"fields\":["
		"{\"name\":\"account\",\"type\":\"string\"},"
		"{\"name\":\"event_time\",\"type\":{\"type\":\"long\",\"logicalType\":"
		"\"timestamp-micros\"}}]}";
	rig_open(&r);
	container_header(&file, other, NULL);
	avro_string(&block, "ab");
	avro_long(&block, 1);
	container_block_put(&file, 1, block.data, block.len);
	ck_assert_int_eq(rig_read(&r, DESK_AVRO, file.data, file.len), DESK_READ);
	ck_assert_uint_eq(r.parcel.n, 1);
	ck_assert_mem_eq(parcel_value(&r.parcel.events[0]).data, "\0\2\4ab\0", 6);
	ck_assert_int_eq(rig_read(&r, DESK_AVRO, file.data, file.len - 1), DESK_MALFORMED);
	buf_free(&file);
	buf_free(&block);
	rig_close(&r);
}
END_TEST

/* --- tables --- */

/*
 * Proves: the metrics name the answers that there are, and docs/openapi.yaml has each route,
 * status, word, parameter, Content-Type and limit. (That the file is what the program prints,
 * tests/lint docs checks.)
 */
START_TEST(one_story)
{
	struct buf text = {0};
	char part[128];
	stats_init(NULL, 0, NULL, 0);
	openapi_write(&text);
	for (size_t i = 0; i < REPLY_COUNT; i++) {
		ck_assert_str_eq(stats_label(LABEL_ANSWER, i), replies[i].word);
		snprintf(part, sizeof(part), "'%u':", replies[i].status);
		ck_assert_msg(strstr(buf_cstr(&text), part) != NULL, "%s", part);
		snprintf(part, sizeof(part), "`%s`: ", replies[i].word);
		ck_assert_msg(strstr(buf_cstr(&text), part) != NULL, "%s", part);
	}
	for (size_t i = 0; i < ROUTES; i++)
		ck_assert(strstr(buf_cstr(&text), routes[i].path) != NULL);
	for (size_t i = 0; i < PARAMETERS; i++) {
		snprintf(part, sizeof(part), "- name: %s\n", parameters[i].name);
		ck_assert_msg(strstr(buf_cstr(&text), part) != NULL, "%s", part);
	}
	for (size_t i = 0; i < TARGET_TYPES; i++)
		ck_assert(strstr(buf_cstr(&text), target_types[i].type) != NULL);
	static const char *const limits[] = {"max_body", "max_events", "max_connections", "memory",
					     "timeout"};
	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		const struct config_key *key = config_key_find("gateway", limits[i]);
		snprintf(part, sizeof(part), "`gateway.%s` %s:", limits[i], key->fallback);
		ck_assert_msg(strstr(buf_cstr(&text), part) != NULL, "%s", part);
	}
	buf_free(&text);
}
END_TEST

static Suite *gate_suite(void)
{
	Suite *s = suite_create("gate");
	TCase *tc = tcase_create("gate");
	tcase_add_test(tc, decoding);
	tcase_add_test(tc, parameter);
	tcase_add_test(tc, wrong_tokens);
	tcase_add_test(tc, right_tokens);
	tcase_add_test(tc, bodies);
	tcase_add_test(tc, too_many_bytes);
	tcase_add_test(tc, containers);
	tcase_add_test(tc, one_story);
	suite_add_tcase(s, tc);
	return s;
}
UNIT_SUITE(gate_suite)

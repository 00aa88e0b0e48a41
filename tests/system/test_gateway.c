/*
 * test_gateway.c - "memingest gateway": what is answered with 2xx is in Kafka, or in PostgreSQL,
 * once; what is not is not, or is said to be unsure; and nobody at its door keeps out the others.
 *
 * The stream is the ledger, whose sums show an event that counts twice or never; model_check()
 * holds the table against every message of the topic.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bed.h"
#include "broker.h"
#include "contract.h"
#include "gate.h"
#include "ledger.h"
#include "model.h"
#include "proxy.h"
#include "system.h"

#define TIME "\"event_time\":\"2026-01-31T12:00:00Z\""

/* An event as JSON; a comma in front if it is not the first. */
static void put_event(struct buf *out, const char *account, int64_t total)
{
	buf_printf(out, "%s{" TIME ",\"account\":\"%s\",\"total\":%lld}", out->len > 1 ? "," : "",
		   account, (long long)total);
}

/* "[...]" of n events of ten accounts whose sum is n. */
static char *events(const char *account, int n)
{
	struct buf out = {0};
	buf_puts(&out, "[");
	for (int i = 0; i < n; i++) {
		char name[64];
		snprintf(name, sizeof(name), "%s-%d", account, i % 10);
		put_event(&out, name, 1);
	}
	buf_puts(&out, "]");
	return buf_take_text(&out);
}

/* Messages in the topic. */
static int64_t in_topic(struct bed *bed)
{
	int64_t n = 0, low, high;
	for (int i = 0; i < bed->streams[0].partitions; i++) {
		broker_watermarks(bed->streams[0].topic, i, &low, &high);
		n += high;
	}
	return n;
}

static int64_t total(struct bed *bed)
{
	return bed_int(bed, "SELECT coalesce(sum(total), 0)::bigint FROM ledger");
}

/* Status of one call with these. */
static unsigned call(struct gate *g, const char *method, const char *path, const char *type,
		     const char *body)
{
	const struct gate_call c = {.method = method,
				    .path = path,
				    .type = type,
				    .body = body,
				    .len = body ? strlen(body) : 0};
	return gate_call(g, &c, NULL);
}

/* DELETE of an account of the ledger. */
static unsigned take_away(struct gate *g, const char *account_and_query, struct buf *out)
{
	char path[128];
	snprintf(path, sizeof(path), "/v1/streams/ledger/events/%s", account_and_query);
	return gate_call(g, &(struct gate_call){.method = "DELETE", .path = path}, out);
}

/*
 * Proves: each event of a JSON array, of one object, and of JSON lines is in the topic at the
 * partition and offset that the answer says, and a worker makes of them what it makes of any
 * message; a table that is asked after "stored" has them.
 */
START_TEST(accepted_and_stored)
{
	struct bed *bed = ledger_bed("gatestored", 3);
	struct gate *g = gate_start(bed, NULL);
	json_t *answer;
	char *ten = events("a", 10);
	ck_assert_uint_eq(gate_post(g, "ledger", "", ten, &answer), 202);
	ck_assert_str_eq(gate_text(answer, "result"), "accepted");
	for (int i = 0; i < 10; i++) {
		json_t *e = json_array_get(json_object_get(answer, "events"), (size_t)i);
		int64_t low, high;
		ck_assert_int_eq(gate_number(e, "index"), i);
		broker_watermarks(bed->streams[0].topic, (int)gate_number(e, "partition"), &low,
				  &high);
		ck_assert_int_ge(gate_number(e, "offset"), 0);
		ck_assert_int_lt(gate_number(e, "offset"), high);
	}
	json_decref(answer);
	ck_assert_int_eq(in_topic(bed), 10);
	struct worker *w = worker_start(bed, NULL);
	worker_ready(w);
	for (int i = 1; i <= 20; i++) {
		unsigned status = gate_post(g, "ledger", "?wait=stored&timeout=20s", ten, NULL);
		ck_assert_uint_eq(status, 200);
		ck_assert_int_eq(total(bed), 10 + 10 * i);
	}
	static const char path[] = "/v1/streams/ledger/events?wait=stored&timeout=20s";
	ck_assert_uint_eq(call(g, "POST", path, "application/json; charset=utf-8",
			       "{" TIME ",\"account\":\"b\",\"total\":5}"),
			  200);
	ck_assert_uint_eq(call(g, "POST", path, "application/x-ndjson",
			       "{" TIME ",\"account\":\"b\",\"total\":5}\r\n\n{" TIME
			       ",\"account\":\"\\u00e9\\n\",\"total\":7}"),
			  200);
	ck_assert_int_eq(total(bed), 210 + 17);
	ck_assert_uint_eq(gate_post(g, "ledger", "", "[ ]", NULL), 202);
	ck_assert_uint_eq(take_away(g, "nobody", NULL), 202);
	gate_stop(g);
	bed_drain(bed, 20);
	worker_stop(w);
	model_check(bed);
	free(ten);
	bed_free(bed);
}
END_TEST

/*
 * Proves: of a request with bad events all are named, by index and field, and none is produced;
 * with partial=true the good ones are, and the bad ones are still named. What is no event at all,
 * or too much, is refused, and nothing is produced.
 */
START_TEST(refused_as_a_whole)
{
	struct bed *bed = ledger_bed("gaterefused", 2);
	bed_set(bed, "gateway.max_body", "64KiB");
	bed_set(bed, "gateway.max_events", "100");
	struct gate *g = gate_start(bed, NULL);
	json_t *answer;
	static const char mixed[] =
		"[{" TIME ",\"account\":\"a\"},{" TIME ",\"account\":7},{" TIME "},"
		"{" TIME ",\"account\":\"b\",\"state\":\"{\"},{" TIME ",\"account\":\"c\"}]";
	ck_assert_uint_eq(gate_post(g, "ledger", "", mixed, &answer), 422);
	ck_assert_uint_eq(json_array_size(json_object_get(answer, "errors")), 3);
	ck_assert_int_eq(gate_number(answer, "errors/0/index"), 1);
	ck_assert_str_eq(gate_text(answer, "errors/0/field"), "account");
	ck_assert_int_eq(gate_number(answer, "errors/1/index"), 2);
	ck_assert_int_eq(gate_number(answer, "errors/2/index"), 3);
	ck_assert_str_eq(gate_text(answer, "errors/2/field"), "state");
	ck_assert_int_eq(in_topic(bed), 0);
	json_decref(answer);
	ck_assert_uint_eq(gate_post(g, "ledger", "?partial=true", mixed, &answer), 202);
	ck_assert_uint_eq(json_array_size(json_object_get(answer, "errors")), 3);
	ck_assert_uint_eq(json_array_size(json_object_get(answer, "events")), 2);
	ck_assert_int_eq(gate_number(answer, "events/1/index"), 4);
	ck_assert_int_eq(in_topic(bed), 2);
	json_decref(answer);
	static const struct {
		const char *method, *path, *type, *body;
		unsigned status;
	} calls[] = {
		{"POST", "/v1/streams/ledger/events", "application/json", "[{" TIME, 400},
		{"POST", "/v1/streams/ledger/events", "application/json", "[{}] x", 400},
		{"POST", "/v1/streams/ledger/events", "application/json", "", 400},
		{"POST", "/v1/streams/ledger/events", "application/json", "[1,2", 400},
		{"POST", "/v1/streams/ledger/events", "application/json", "[1,2]", 422},
		{"POST", "/v1/streams/ledger/events", "application/x-ndjson", "{\n{}\n", 422},
		{"POST", "/v1/streams/ledger/events", "application/avro", "Obj\1", 400},
		{"POST", "/v1/streams/ledger/events", "application/avro", "none", 400},
		{"POST", "/v1/streams/ledger/events", "text/plain", "[]", 415},
		{"POST", "/v1/streams/ledger/events", NULL, "[]", 415},
		{"POST", "/v1/streams/ledger/events?wait=soon", "application/json", "[]", 400},
		{"POST", "/v1/streams/ledger/events?timeout=x", "application/json", "[]", 400},
		{"POST", "/v1/streams/ledger/events?partial=%00", "application/json", "[]", 400},
		{"POST", "/v1/streams/none/events", "application/json", "[]", 404},
		{"POST", "/v1/streams/ledger", "application/json", "[]", 404},
		{"POST", "/", "application/json", "[]", 404},
		{"GET", "/v1/streams/ledger/events", NULL, NULL, 405},
		{"POST", "/v1/streams/ledger/events/a", "application/json", "[]", 405},
		{"DELETE", "/v1/streams/none/events/a", NULL, NULL, 404},
		{"DELETE", "/v1/streams/ledger/events/a/b", NULL, NULL, 400},
		{"DELETE", "/v1/streams/ledger/events/a%zz", NULL, NULL, 404},
		{"DELETE", "/v1/streams/ledger/events/%00", NULL, NULL, 400},
		{"DELETE", "/v1/streams/ledger%00x/events/a", NULL, NULL, 404},
		{"POST", "/v1/streams/ledger%00/events", "application/json", "[]", 404},
		{"POST", "/v1/streams/ledger/events", "application/json", "\xef\xbb\xbf[]", 202},
		{"POST", "/v1/streams/ledger/events", "application/jsonl", "\xef\xbb\xbf\n", 202},
		{"POST", "/v1/streams/ledger/events", "application/json", "\xef\xbb[]", 400},
	};
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		unsigned status =
			call(g, calls[i].method, calls[i].path, calls[i].type, calls[i].body);
		ck_assert_msg(status == calls[i].status, "%s %s %s: %u", calls[i].method,
			      calls[i].path, calls[i].body ? calls[i].body : "", status);
	}
	char *many = events("a", 101), *hundred = events("a", 100);
	ck_assert_uint_eq(gate_post(g, "ledger", "", many, NULL), 413);
	ck_assert_uint_eq(gate_post(g, "ledger", "", hundred, NULL), 202);
	char *large = xcalloc(1, 70001);
	memset(large, ' ', 70000);
	ck_assert_uint_eq(gate_post(g, "ledger", "", large, NULL), 413);
	ck_assert_uint_eq(call(g, "DELETE", "/v1/streams/ledger/events/a", NULL, large), 413);
	ck_assert_int_eq(in_topic(bed), 102);
	gate_stop(g);
	free(many);
	free(hundred);
	free(large);
	bed_free(bed);
}
END_TEST

/*
 * Proves: DELETE makes a tombstone of the key, of one with several fields and any characters too,
 * and after "stored" the row has gone.
 */
START_TEST(deleted)
{
	struct bed *bed = bed_new("gatedelete");
	bed_stream(bed, "memory", 2);
	bed_stream(bed, "trajectory", 1);
	bed_set(bed, "batch.max_age", "20ms");
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	struct worker *w = worker_start(bed, NULL);
	struct gate *g = gate_start(bed, NULL);
	static const char wait[] = "?wait=stored&timeout=20s";
	ck_assert_uint_eq(gate_post(g, "memory", wait,
				    "[{" TIME
				    ",\"namespace\":\"a/b\",\"key\":\"k?\\u00fc %\"},{" TIME
				    ",\"namespace\":\"a\",\"key\":\"\"}]",
				    NULL),
			  200);
	ck_assert_uint_eq(gate_post(g, "trajectory", wait,
				    "{" TIME ",\"trajectory_id\":\"t\",\"step_number\":5,"
				    "\"action\":\"x\"}",
				    NULL),
			  200);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memory_entries"), 2);
	ck_assert_uint_eq(call(g, "DELETE",
			       "/v1/streams/memory/events/a%2Fb/k%3F%c3%bc%20%25?wait=stored", NULL,
			       NULL),
			  200);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memory_entries"), 1);
	ck_assert_uint_eq(call(g, "DELETE", "/v1/streams/memory/events/a/?wait=stored", NULL, NULL),
			  200);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memory_entries"), 0);
	ck_assert_uint_eq(call(g, "DELETE", "/v1/streams/trajectory/events/t/x", NULL, NULL), 400);
	ck_assert_uint_eq(
		call(g, "DELETE", "/v1/streams/trajectory/events/t/5?wait=stored", NULL, NULL),
		200);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM trajectories"), 0);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memingest.dead_letters"), 0);
	gate_stop(g);
	worker_stop(w);
	bed_free(bed);
}
END_TEST

/*
 * Proves: while no worker runs, "stored" is answered with 504 in the time that was asked for, and
 * the events are stored later; what PostgreSQL refuses is said (207) and which; a halted partition
 * is said at once; a database that is away costs a 504, and nobody else.
 */
START_TEST(not_stored)
{
	struct bed *bed = ledger_bed("gatenot", 1);
	bed_set(bed, "dlq.max_ratio", "1");
	struct gate *g = gate_start(bed, NULL);
	json_t *answer;
	char *ten = events("a", 10);
	int64_t begun = clock_mono_us();
	ck_assert_uint_eq(gate_post(g, "ledger", "?wait=stored&timeout=300ms", ten, &answer), 504);
	ck_assert_int_lt(clock_mono_us() - begun, 2 * US_PER_S);
	ck_assert_str_eq(gate_text(answer, "result"), "not_yet");
	ck_assert_int_eq(gate_number(answer, "events/9/offset"), 9);
	json_decref(answer);
	ck_assert_uint_eq(take_away(g, "nobody?wait=stored&timeout=300ms", NULL), 504);
	bed_sql(bed, "ALTER TABLE ledger ADD CHECK (account <> 'bad')");
	bed_sql(bed, "CREATE FUNCTION stays() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
		     " RAISE EXCEPTION 'it stays'; END $$; CREATE TRIGGER stays BEFORE DELETE ON"
		     " ledger FOR EACH ROW WHEN (OLD.account = 'good') EXECUTE FUNCTION stays()");
	struct worker *w = worker_start(bed, NULL);
	bed_drain(bed, 20);
	ck_assert_int_eq(total(bed), 10);
	ck_assert_uint_eq(gate_post(g, "ledger", "?wait=stored&timeout=20s",
				    "[{" TIME ",\"account\":\"good\"},{" TIME
				    ",\"account\":\"bad\"}]",
				    &answer),
			  207);
	ck_assert_int_eq(gate_number(answer, "errors/0/index"), 1);
	ck_assert_uint_eq(json_array_size(json_object_get(answer, "errors")), 1);
	json_decref(answer);
	ck_assert_uint_eq(take_away(g, "good?wait=stored&timeout=20s", NULL), 207);
	worker_stop(w);
	bed_sql(bed, "UPDATE memingest.offsets SET halted_at = next_offset, halted = 'by a test'");
	begun = clock_mono_us();
	ck_assert_uint_eq(gate_post(g, "ledger", "?wait=stored&timeout=20s", ten, &answer), 504);
	ck_assert_int_lt(clock_mono_us() - begun, 5 * US_PER_S);
	ck_assert_str_eq(gate_text(answer, "result"), "halted");
	ck_assert(strstr(gate_text(answer, "message"), "by a test") != NULL);
	json_decref(answer);
	bed_sql(bed, "UPDATE memingest.offsets SET next_offset = next_offset + 10,"
		     " halted_at = halted_at + 10"); /* behind them */
	snprintf(g->idempotency, sizeof(g->idempotency), "stored");
	ck_assert_uint_eq(gate_post(g, "ledger", "?wait=stored&timeout=20s", ten, &answer), 504);
	bed_sql(bed, "UPDATE memingest.offsets SET next_offset = %lld, halted_at = %lld",
		(long long)gate_number(answer, "events/9/offset") + 1,
		(long long)gate_number(answer, "events/9/offset") + 1);
	json_decref(answer);
	ck_assert_uint_eq(gate_post(g, "ledger", "?wait=stored&timeout=20s", ten, NULL), 200);
	g->idempotency[0] = '\0';
	ck_assert_uint_eq(take_away(g, "good?wait=stored&timeout=20s", NULL), 504);
	stack_do("pg", "stop", "immediate");
	ck_assert_uint_eq(gate_post(g, "ledger", "?wait=stored&timeout=1s", ten, &answer), 504);
	ck_assert(strstr(gate_text(answer, "message"), "the database can not be asked") != NULL);
	json_decref(answer);
	ck_assert_uint_eq(gate_post(g, "ledger", "", ten, NULL), 202);
	stack_do("pg", "start", NULL);
	gate_stop(g);
	free(ten);
	bed_free(bed);
}
END_TEST

/* --- Idempotency-Key --- */

/* Asks again, as a client would that lost the answer, until it is said what came of it. */
static unsigned insist(struct gate *g, const char *key, const char *body, json_t **answer)
{
	unsigned status;
	snprintf(g->idempotency, sizeof(g->idempotency), "%s", key);
	for (int i = 0; i < 200; i++) {
		status = gate_post(g, "ledger", "", body, answer);
		if (status != 409 && status != 503)
			return status;
		usleep(100000);
		if (answer)
			json_decref(*answer);
	}
	ck_abort_msg("%s: still %u", key, status);
}

/*
 * Proves: a request that is repeated with its key is applied once, also after a restart of the
 * gateway, and is answered with the offsets of then; the key with another body is refused, and
 * another key is another request.
 */
START_TEST(repeated)
{
	struct bed *bed = ledger_bed("gaterepeat", 3);
	struct gate *g = gate_start(bed, NULL);
	json_t *first, *second, *third;
	char *ten = events("a", 10), *eleven = events("a", 11);
	ck_assert_uint_eq(insist(g, "one", ten, &first), 202);
	ck_assert_uint_eq(insist(g, "one", ten, &second), 202);
	ck_assert(json_equal(json_object_get(first, "events"), json_object_get(second, "events")));
	ck_assert_uint_eq(insist(g, "one", eleven, NULL), 422);
	ck_assert_uint_eq(insist(g, "two", ten, NULL), 202);
	ck_assert_uint_eq(take_away(g, "nobody", NULL), 202); /* of that key, too */
	ck_assert_uint_eq(take_away(g, "nobody", NULL), 202);
	ck_assert_uint_eq(take_away(g, "none", NULL), 422);
	gate_stop(g);
	g = gate_start(bed, NULL);
	ck_assert_uint_eq(insist(g, "one", ten, &third), 202);
	ck_assert(json_equal(json_object_get(first, "events"), json_object_get(third, "events")));
	ck_assert_uint_eq(insist(g, "one", eleven, NULL), 422);
	struct worker *w = worker_start(bed, NULL);
	bed_drain(bed, 20);
	ck_assert_int_eq(total(bed), 20);
	worker_stop(w);
	model_check(bed);
	json_decref(first);
	json_decref(second);
	json_decref(third);
	gate_stop(g);
	free(ten);
	free(eleven);
	bed_free(bed);
}
END_TEST

/*
 * Proves: a request whose event the broker refuses leaves nothing, and the next one is applied.
 */
START_TEST(behind_a_refused)
{
	static const char *const config[] = {"max.message.bytes=1000"};
	struct bed *bed = ledger_bed("gaterefusal", 1);
	struct bed_stream *s = &bed->streams[0];
	strncat(s->topic, ".small", sizeof(s->topic) - strlen(s->topic) - 1);
	broker_create_topic(s->topic, 1, config, 1);
	struct gate *g = gate_start(bed, NULL);
	char *ten = events("a", 10);
	char *long_one = xasprintf("[{" TIME ",\"account\":\"%01500d\"}]", 0);
	ck_assert_uint_eq(insist(g, "before", ten, NULL), 202);
	snprintf(g->idempotency, sizeof(g->idempotency), "too large");
	ck_assert_uint_eq(gate_post(g, "ledger", "", long_one, NULL), 503);
	snprintf(g->idempotency, sizeof(g->idempotency), "behind");
	ck_assert_uint_eq(gate_post(g, "ledger", "", ten, NULL), 202);
	gate_stop(g);
	free(ten);
	free(long_one);
	bed_free(bed);
}
END_TEST

/*
 * Proves: whenever a client breaks off before its answer, a repetition of its request finds out
 * what came of it, and the events count once.
 */
START_TEST(answers_cut)
{
	struct bed *bed = ledger_bed("gatecut", 2);
	struct gate *g = gate_start(bed, NULL);
	char *ten = events("a", 10);
	struct gate_call c = {.method = "POST",
			      .path = "/v1/streams/ledger/events",
			      .type = "application/json",
			      .body = ten,
			      .len = strlen(ten)};
	for (int i = 0; i < 15; i++) {
		snprintf(g->idempotency, sizeof(g->idempotency), "cut-%d", i);
		int fd = gate_begin(g, &c);
		usleep((useconds_t)(i * 3000));
		close(fd);
	}
	for (int i = 0; i < 15; i++) {
		char key[32];
		snprintf(key, sizeof(key), "cut-%d", i);
		ck_assert_uint_eq(insist(g, key, ten, NULL), 202);
	}
	struct worker *w = worker_start(bed, NULL);
	bed_drain(bed, 20);
	ck_assert_int_eq(total(bed), 150);
	worker_stop(w);
	gate_stop(g);
	free(ten);
	model_check(bed);
	bed_free(bed);
}
END_TEST

/* With orders for the next gateway, of the build that has places to fail at. */
static struct gate *start_ordered(struct bed *bed, const char *orders)
{
	size_t len = strlen(stack.program);
	snprintf(stack.program + len, sizeof(stack.program) - len, "-failing");
	setenv("MEMINGEST_TEST_FAIL", orders, 1);
	struct gate *g = gate_start(bed, NULL);
	unsetenv("MEMINGEST_TEST_FAIL");
	stack.program[len] = '\0';
	return g;
}

/*
 * Proves: killed before its events are sent, before the commit, and between the commit and the
 * answer, a gateway leaves nothing that its successor would apply twice, or miss; and what fails
 * at these places without dying is found out by the gateway itself.
 */
START_TEST(killed_within)
{
	static const char *const points[] = {"gateway_begun", "gateway_sent", "gateway_committed"};
	struct bed *bed = ledger_bed("gatekill", 2);
	char *ten = events("a", 10), orders[96], key[32];
	for (size_t i = 0; i < ARRAY_LEN(points); i++) {
		/* behind an error the second is sent once more, or found to be there */
		int passing = strcmp(points[i], "gateway_committed") == 0 ? 3 : 4;
		snprintf(orders, sizeof(orders), "%s=error@2,%s=kill@%d", points[i], points[i],
			 passing);
		snprintf(key, sizeof(key), "first-%zu", i);
		struct gate *g = start_ordered(bed, orders);
		ck_assert_uint_eq(insist(g, key, ten, NULL), 202);
		snprintf(key, sizeof(key), "second-%zu", i);
		ck_assert_uint_eq(insist(g, key, ten, NULL), 202); /* passes it twice */
		snprintf(key, sizeof(key), "third-%zu", i);
		snprintf(g->idempotency, sizeof(g->idempotency), "%s", key);
		worker_leaves(g->process);
		int status = 0;
		struct gate_call c = {.method = "POST",
				      .path = "/v1/streams/ledger/events",
				      .type = "application/json",
				      .body = ten,
				      .len = strlen(ten)};
		ck_assert_uint_eq(gate_call(g, &c, NULL), 0);
		BED_WAIT(bed, 10, worker_ended(g->process, &status));
		ck_assert_int_eq(status, 128 + SIGKILL);
		/* another than itself has to wait until Kafka ends the transaction */
		g = i == 1 ? gate_start(bed, NULL) : gate_start_again(g);
		ck_assert_uint_eq(insist(g, key, ten, NULL), 202);
		gate_stop(g);
	}
	struct worker *w = worker_start(bed, NULL);
	bed_drain(bed, 30);
	ck_assert_int_eq(total(bed), 90);
	worker_stop(w);
	free(ten);
	model_check(bed);
	bed_free(bed);
}
END_TEST

/*
 * Proves: two gateways that are asked for one request at the same time apply it once, and agree
 * where it is; whichever is asked later knows it.
 */
START_TEST(two_gateways)
{
	struct bed *bed = ledger_bed("gatetwo", 2);
	struct gate *a = gate_start(bed, NULL), *b = gate_start(bed, NULL);
	char *ten = events("a", 10);
	struct gate_call c = {.method = "POST",
			      .path = "/v1/streams/ledger/events",
			      .type = "application/json",
			      .body = ten,
			      .len = strlen(ten)};
	for (int i = 0; i < 12; i++) {
		json_t *of_a, *of_b;
		char key[32];
		snprintf(key, sizeof(key), "both-%d", i);
		snprintf(a->idempotency, sizeof(a->idempotency), "%s", key);
		snprintf(b->idempotency, sizeof(b->idempotency), "%s", key);
		int fd = gate_begin(a, &c), other = gate_begin(b, &c);
		gate_finish(fd, NULL);
		gate_finish(other, NULL);
		ck_assert_uint_eq(insist(a, key, ten, &of_a), 202);
		ck_assert_uint_eq(insist(b, key, ten, &of_b), 202);
		ck_assert(json_equal(json_object_get(of_a, "events"),
				     json_object_get(of_b, "events")));
		json_decref(of_a);
		json_decref(of_b);
	}
	struct worker *w = worker_start(bed, NULL);
	bed_drain(bed, 30);
	ck_assert_int_eq(total(bed), 120);
	worker_stop(w);
	gate_stop(a);
	gate_stop(b);
	free(ten);
	model_check(bed);
	bed_free(bed);
}
END_TEST

/* --- who may, and how much --- */

/*
 * Proves: without a token, or with an unknown one, nobody may write; with one, into its streams and
 * at its rate alone; a changed file counts without a restart, a file with a mistake does not. On
 * other addresses than loopback the gateway wants tokens.
 */
START_TEST(tokens)
{
	struct bed *bed = ledger_bed("gatetokens", 1);
	bed_stream(bed, "memory", 1);
	char path[192];
	snprintf(path, sizeof(path), "%s/tokens", bed->dir);
	FILE *out = fopen(path, "w");
	fprintf(out,
		"# who may\na secret-of-a ledger 20\n"
		"b sha256:"
		"%s * -\n",
		"2b99e079b53ab2aba619fe34d96a5b216a19294e9823162c1aebdd65f325dfbe");
	fclose(out);
	bed_set(bed, "gateway.token_file", "%s", path);
	struct gate *g = gate_start(bed, NULL);
	char *ten = events("a", 10);
	ck_assert_uint_eq(gate_post(g, "ledger", "", ten, NULL), 401);
	ck_assert_uint_eq(gate_post(g, "none", "", ten, NULL), 401);
	ck_assert_uint_eq(take_away(g, "nobody", NULL), 401);
	snprintf(g->token, sizeof(g->token), "secret-of-c");
	ck_assert_uint_eq(gate_post(g, "ledger", "", ten, NULL), 401);
	snprintf(g->token, sizeof(g->token), "secret-of-b");
	ck_assert_uint_eq(gate_post(g, "none", "", ten, NULL), 404);
	BED_WAIT(bed, 10, gate_post(g, "memory", "", "[]", NULL) == 202); /* it is ready */
	snprintf(g->token, sizeof(g->token), "secret-of-a");
	ck_assert_uint_eq(gate_post(g, "memory", "", ten, NULL), 403);
	ck_assert_uint_eq(call(g, "DELETE", "/v1/streams/memory/events/a/b", NULL, NULL), 403);
	ck_assert_uint_eq(gate_post(g, "ledger", "", ten, NULL), 202);
	unsigned limited = 0;
	for (int i = 0; i < 8 && limited != 429; i++)
		limited = gate_post(g, "ledger", "", ten, NULL);
	ck_assert_uint_eq(limited, 429);
	ck_assert_uint_eq(take_away(g, "nobody", NULL), 429);
	ck_assert_int_le(in_topic(bed), 50);
	out = fopen(path, "w");
	fprintf(out, "a another-one * -\n");
	fclose(out);
	BED_WAIT(bed, 10, gate_post(g, "ledger", "", ten, NULL) == 401);
	out = fopen(path, "w");
	fprintf(out, "a wrong\n");
	fclose(out);
	worker_wait_log(g->process, "the tokens are not read anew", 10);
	snprintf(g->token, sizeof(g->token), "another-one");
	ck_assert_uint_eq(gate_post(g, "ledger", "", ten, NULL), 202);
	gate_stop(g);
	bed_set(bed, "gateway.token_file", "%s", "");
	bed_set(bed, "gateway.listen", "0.0.0.0:0");
	bed_expect(bed, 78, "gateway", "set gateway.token_file");
	free(ten);
	bed_free(bed);
}
END_TEST

/* Certificates in a folder of the bed, whose path is the answer. */
static void make_certs(struct bed *bed, char *certs, size_t size)
{
	char command[300];
	snprintf(certs, size, "%s/certs", bed->dir);
	snprintf(command, sizeof(command), "tests/certs %s", certs);
	ck_assert_int_eq(system(command), 0); /* NOLINT(cert-env33-c): a fixed text */
}

/*
 * Proves: with a certificate TLS is spoken, and nothing else; who trusts its authority is served,
 * who does not is not.
 */
START_TEST(tls)
{
	struct bed *bed = ledger_bed("gatetls", 1);
	char command[900], certs[160];
	make_certs(bed, certs, sizeof(certs));
	bed_set(bed, "gateway.certificate_file", "%s/server.crt", certs);
	bed_set(bed, "gateway.key_file", "%s/server.key", certs);
	struct gate *g = gate_start(bed, NULL);
	static const char *const authorities[] = {"ca", "other-ca"};
	for (size_t i = 0; i < ARRAY_LEN(authorities); i++) {
		snprintf(command, sizeof(command),
			 "curl -sS --fail --cacert %s/%s.pem -H Content-Type:application/json "
			 "-d '[{" TIME ",\"account\":\"a\"}]' "
			 "https://localhost:%u/v1/streams/ledger/events >/dev/null 2>&1",
			 certs, authorities[i], g->port);
		int status = system(command); /* NOLINT(cert-env33-c) */
		ck_assert_int_eq(status == 0, i == 0);
	}
	ck_assert_uint_eq(gate_post(g, "ledger", "", "[]", NULL), 0);
	ck_assert_int_eq(in_topic(bed), 1);
	gate_stop(g);
	bed_set(bed, "gateway.key_file", "%s/client.key", certs);
	bed_expect(bed, 78, "gateway", "no certificate and its key");
	bed_free(bed);
}
END_TEST

/* Files of a name that is not there yet get the parts of a certificate, whole at once. */
static void show_certificate(struct bed *bed, const char *certs, const char *name, const char *part)
{
	char command[900];
	snprintf(command, sizeof(command), "cp %s/%s.%s %s/new && mv %s/new %s/shown.%s", certs,
		 name, part, bed->dir, bed->dir, bed->dir, part);
	ck_assert_int_eq(system(command), 0); /* NOLINT(cert-env33-c): fixed texts */
}

/* A process of curl that trusts an authority and stores one event; its output ends with a status.
 */
static FILE *store_by_curl(const struct gate *g, const char *certs, const char *authority,
			   const char *query)
{
	char command[900];
	snprintf(command, sizeof(command),
		 "curl -s -o /dev/null -w '%%{http_code}' --cacert %s/%s.pem "
		 "-H Content-Type:application/json -d '[{" TIME ",\"account\":\"a\"}]' "
		 "'https://localhost:%u/v1/streams/ledger/events%s'",
		 certs, authority, g->port, query);
	return popen(command, "r"); /* NOLINT(cert-env33-c) */
}

static int status_of(FILE *curl)
{
	char text[16] = "";
	ck_assert_ptr_nonnull(fgets(text, sizeof(text), curl));
	pclose(curl);
	return (int)strtol(text, NULL, 10);
}

/*
 * Proves: another certificate and key count for new connections without a restart, once both are
 * there; until then, and with files that are none, the one of before does, and a file that stays
 * away is told. A request that is being answered meanwhile is answered.
 */
START_TEST(another_certificate)
{
	struct bed *bed = ledger_bed("gatenewtls", 1);
	char command[900], certs[160];
	make_certs(bed, certs, sizeof(certs));
	show_certificate(bed, certs, "server", "crt");
	show_certificate(bed, certs, "server", "key");
	bed_set(bed, "gateway.certificate_file", "%s/shown.crt", bed->dir);
	bed_set(bed, "gateway.key_file", "%s/shown.key", bed->dir);
	struct gate *g = gate_start(bed, NULL);
	ck_assert_int_eq(status_of(store_by_curl(g, certs, "ca", "")), 202);
	FILE *held = store_by_curl(g, certs, "ca", "?wait=stored&timeout=60s");
	BED_WAIT(bed, 10, in_topic(bed) == 2);
	show_certificate(bed, certs, "moved", "key");
	worker_wait_log(g->process, "the certificate of before stays in use", 10);
	ck_assert_int_eq(status_of(store_by_curl(g, certs, "ca", "")), 202);
	show_certificate(bed, certs, "moved", "crt");
	worker_wait_log(g->process, "new connections are shown the certificate", 10);
	ck_assert_int_eq(status_of(store_by_curl(g, certs, "ca", "")), 0);
	ck_assert_int_eq(status_of(store_by_curl(g, certs, "other-ca", "")), 202);
	struct worker *w = worker_start(bed, NULL);
	ck_assert_int_eq(status_of(held), 200);
	worker_stop(w);
	snprintf(command, sizeof(command), "%s/shown.key", bed->dir);
	ck_assert_int_eq(unlink(command), 0);
	worker_wait_log(g->process, "shown.key", 20);
	ck_assert_int_eq(status_of(store_by_curl(g, certs, "other-ca", "")), 202);
	gate_stop(g);
	bed_free(bed);
}
END_TEST

/* --- brokers that are away, clients that are slow, SIGTERM --- */

/* Of two requests of one name the second is told that the first is being worked on. */
static void asked_twice(struct gate *g, const char *body)
{
	const struct gate_call calls[] = {
		{.method = "POST",
		 .path = "/v1/streams/ledger/events",
		 .type = "application/json",
		 .body = body,
		 .len = strlen(body)},
		{.method = "DELETE", .path = "/v1/streams/ledger/events/nobody"}};
	int fds[ARRAY_LEN(calls)];
	snprintf(g->idempotency, sizeof(g->idempotency), "twice");
	int64_t begun = clock_mono_us();
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		fds[i] = gate_begin(g, &calls[i]);
		usleep(300000);
	}
	for (size_t i = 0; i < ARRAY_LEN(calls); i++)
		ck_assert_uint_eq(gate_call(g, &calls[i], NULL), 409);
	ck_assert_uint_eq(gate_finish(fds[1], NULL), 503); /* it waits for the first one's end */
	ck_assert_int_lt(clock_mono_us() - begun, 9 * US_PER_S);
	gate_finish(fds[0], NULL);
	g->idempotency[0] = '\0';
}

/*
 * Proves: while the broker does not answer, requests wait up to gateway.timeout and are told that
 * they are not, or may be, in Kafka; what would go over gateway.memory is refused at once, and
 * probes are answered; a repetition of what waits is told so, and what waits behind another
 * request's transaction waits no longer than that. At SIGTERM what waits is answered,
 * when the broker is back with what became of it, and the exit code is 0.
 */
START_TEST(broker_away)
{
	struct bed *bed = ledger_bed("gateaway", 1);
	struct proxy *proxy = bed_proxy_kafka(bed);
	bed_set(bed, "gateway.timeout", "3s");
	bed_set(bed, "gateway.memory", "1MiB");
	bed_set(bed, "gateway.max_body", "256KiB");
	struct gate *g = gate_start(bed, NULL);
	char *ten = events("a", 10);
	json_t *answer;
	ck_assert_uint_eq(gate_post(g, "ledger", "", ten, NULL), 202);
	worker_wait_log(g->process, "ready for requests with an Idempotency-Key", 20);
	proxy_mode(proxy, PROXY_BLACKHOLE);
	ck_assert_uint_eq(gate_post(g, "ledger", "", ten, &answer), 503);
	ck_assert_str_eq(gate_text(answer, "result"), "undelivered");
	ck_assert_str_ne(gate_text(answer, "events/9/state"), "");
	json_decref(answer);
	ck_assert_uint_eq(take_away(g, "nobody", NULL), 503);
	asked_twice(g, ten);
	char *large = events("a", 4000); /* about 250 KB */
	const struct gate_call c = {.method = "POST",
				    .path = "/v1/streams/ledger/events",
				    .type = "application/json",
				    .body = large,
				    .len = strlen(large)};
	int fds[6];
	unsigned busy = 0;
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = gate_begin(g, &c);
	int64_t begun = clock_mono_us();
	ck_assert_uint_eq(gate_post(g, "ledger", "", large, &answer), 503);
	busy += strcmp(gate_text(answer, "result"), "busy") == 0;
	ck_assert_uint_eq(call(g, "DELETE", "/v1/streams/ledger/events/a", NULL, large), 503);
	ck_assert_uint_eq(busy, 1);
	ck_assert_int_lt(clock_mono_us() - begun, 2 * US_PER_S);
	json_decref(answer);
	ck_assert_uint_eq(worker_http(g->process, "/livez", NULL), 200);
	ck_assert_int_lt(worker_rss_kib(g->process), 128 * 1024);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		ck_assert_uint_eq(gate_finish(fds[i], NULL), 503);
	const struct gate_call small = {.method = "POST",
					.path = "/v1/streams/ledger/events",
					.type = "application/json",
					.body = ten,
					.len = strlen(ten)};
	int fd = gate_begin(g, &small);
	usleep(200000);
	worker_signal(g->process, SIGTERM);
	worker_wait_log(g->process, "draining", 5);
	proxy_mode(proxy, PROXY_PASS);
	unsigned status = gate_finish(fd, NULL);
	ck_assert_msg(status == 202 || status == 503, "%u", status);
	ck_assert_int_eq(worker_wait(g->process, 20), 0);
	proxy_stop(proxy);
	free(ten);
	free(large);
	bed_free(bed);
}
END_TEST

/*
 * Proves: who sends nothing, or byte by byte, is ended, with 408 if a body was begun, and keeps
 * nobody out: with all places taken by silent connections a new one is served; with all busy it is
 * turned away, and the busy are not.
 */
START_TEST(slow_clients)
{
	struct bed *bed = ledger_bed("gateslow", 1);
	bed_set(bed, "gateway.timeout", "2s");
	bed_set(bed, "gateway.max_connections", "10");
	struct gate *g = gate_start(bed, NULL);
	char *ten = events("a", 10);
	struct buf out = {0};
	struct gate_call c = {.method = "POST",
			      .path = "/v1/streams/ledger/events",
			      .type = "application/json",
			      .header = "Content-Length: 100\r\n"};
	const struct gate_call d = {.method = "DELETE",
				    .path = "/v1/streams/ledger/events/nobody",
				    .header = "Content-Length: 100\r\n"};
	int slow = gate_begin(g, &c), slower = gate_begin(g, &d); /* and no body */
	usleep(300000); /* who was not heard yet makes way */
	int silent[15];
	const struct gate_call nothing = {.method = "G", .path = "/", .header = "X: y"};
	for (size_t i = 0; i < ARRAY_LEN(silent); i++)
		silent[i] = gate_begin(g, &nothing);
	for (int i = 0; i < 5; i++)
		ck_assert_uint_eq(gate_post(g, "ledger", "", ten, NULL), 202);
	ck_assert_uint_eq(gate_finish(slow, &out), 408);
	ck_assert_uint_eq(gate_finish(slower, NULL), 408);
	ck_assert(strstr(buf_cstr(&out), "\"late\"") != NULL);
	for (size_t i = 0; i < ARRAY_LEN(silent); i++)
		gate_finish(silent[i], NULL); /* ended, all of them: this returns */
	ck_assert_int_eq(in_topic(bed), 50);
	ck_assert(worker_metric(g->process, "memingest_gateway_answers_total", "late") >= 1);
	gate_stop(g);
	buf_free(&out);
	free(ten);
	bed_free(bed);
}
END_TEST

/*
 * Proves: each answer that docs/openapi.yaml has for a path and method was heard by one of the
 * tests above. (That none was heard which it lacks, each of them asserts at each answer.)
 */
START_TEST(contract)
{
	char *unseen = contract_unseen();
	ck_assert_msg(unseen[0] == '\0', "docs/openapi.yaml has answers that no test hears:\n%s",
		      unseen);
	free(unseen);
}
END_TEST

static void gateway_tests(TCase *tc)
{
	tcase_add_test(tc, accepted_and_stored);
	tcase_add_test(tc, refused_as_a_whole);
	tcase_add_test(tc, deleted);
	tcase_add_test(tc, not_stored);
	tcase_add_test(tc, repeated);
	tcase_add_test(tc, behind_a_refused);
	tcase_add_test(tc, answers_cut);
	tcase_add_test(tc, killed_within);
	tcase_add_test(tc, two_gateways);
	tcase_add_test(tc, tokens);
	tcase_add_test(tc, tls);
	tcase_add_test(tc, another_certificate);
	tcase_add_test(tc, broker_away);
	tcase_add_test(tc, slow_clients);
	tcase_add_test(tc, contract); /* behind all others */
}
SYSTEM_SUITE("gateway", 60, gateway_tests)

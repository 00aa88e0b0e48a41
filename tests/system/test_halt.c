/*
 * test_halt.c - what stops a stream on purpose, and that it goes on from the same place when the
 * cause is gone: too many dead letters, a registry that is away, a schema that nobody knows.
 *
 * Nothing may be skipped while something halts, and nothing that is not poison may become a dead
 * letter.
 */
#include <stdio.h>
#include <string.h>

#include "bed.h"
#include "broker.h"
#include "event.h"
#include "ledger.h"
#include "load.h"
#include "model.h"
#include "system.h"

/* a halted lane tries again, and a halted partition is looked at, every 10 s */
#define RETRY_S 25

static int64_t next_offset(struct bed *bed, int partition)
{
	return bed_int(bed,
		       "SELECT coalesce(max(next_offset), -1) FROM memingest.offsets WHERE "
		       "pipeline = '%s' AND "
		       "partition = %d",
		       bed->name, partition);
}

static int64_t dead_letters(struct bed *bed)
{
	return bed_int(bed, "SELECT count(*) FROM memingest.dead_letters");
}

static void send(struct bed *bed, int partition, int n)
{
	static int64_t time_us = INT64_C(1750000000000000);
	char account[32];
	for (int i = 0; i < n; i++) {
		snprintf(account, sizeof(account), "p%d-%d", partition, i % 7);
		ledger_send(bed, partition, account, ++time_us, i);
	}
	bed_flush(bed);
}

static void send_garbage(struct bed *bed, int partition, int n)
{
	static const uint8_t garbage[] = {7, 7, 7};
	for (int i = 0; i < n; i++)
		bed_raw(bed, "ledger", partition, (struct slice){garbage, 3},
			(struct slice){garbage, 3});
	bed_flush(bed);
}

/*
 * Proves: more than dlq.max_ratio of events that can not be decoded halt their partition after the
 * last that was allowed; the good partition goes on; with the limit raised (nothing else mends such
 * events) all goes on and every event is accounted for.
 */
START_TEST(too_many_undecodable)
{
	struct bed *bed = ledger_bed("undecodable", 2);
	bed_set(bed, "dlq.window", "1000");
	bed_set(bed, "dlq.max_ratio", "0.02");
	send(bed, 0, 30);
	send_garbage(bed, 0, 50);
	send(bed, 0, 30);
	struct worker *w = worker_start(bed, NULL);
	worker_wait_log(w, "partition halted, an operator must act", 20);
	ck_assert(worker_logged(w, "dlq.max_ratio"));
	send(bed, 1, 40);
	BED_WAIT(bed, 10, next_offset(bed, 1) == 40);
	BED_WAIT(bed, 10, next_offset(bed, 0) == 50);
	ck_assert_int_eq(dead_letters(bed), 20);
	worker_stop(w);
	ck_assert_int_eq(dead_letters(bed), 20);
	bed_set(bed, "dlq.max_ratio", "1");
	w = worker_start(bed, NULL);
	bed_drain(bed, 20);
	worker_stop(w);
	model_check(bed);
	ck_assert_int_eq(dead_letters(bed), 50);
	bed_free(bed);
}
END_TEST

/*
 * Proves: when PostgreSQL begins to refuse nearly every row (here by a new check constraint), the
 * batch halts and none of its events becomes a dead letter; once the constraint is dropped, the
 * running worker goes on by itself and nothing is missing.
 */
START_TEST(refused_by_a_constraint)
{
	struct bed *bed = ledger_bed("refused", 2);
	bed_set(bed, "dlq.window", "1000");
	bed_set(bed, "dlq.max_ratio", "0.02");
	bed_set(bed, "batch.max_age", "300ms");
	struct worker *w = worker_start(bed, NULL);
	send(bed, 0, 100);
	bed_drain(bed, 20);
	bed_sql(bed, "ALTER TABLE ledger ADD CONSTRAINT wrong CHECK (total < 0) NOT VALID");
	for (int i = 0; i < 60; i++) {
		char account[16];
		snprintf(account, sizeof(account), "fresh-%d", i);
		ledger_send(bed, 0, account, INT64_C(1750000000000000), i);
	}
	bed_flush(bed);
	worker_wait_log(w, "batch halted, an operator must act", 20);
	ck_assert_int_eq(next_offset(bed, 0), 100);
	ck_assert_int_eq(dead_letters(bed), 0);
	ck_assert_uint_eq(worker_http(w, "/livez", NULL), 200);
	bed_sql(bed, "ALTER TABLE ledger DROP CONSTRAINT wrong");
	bed_drain(bed, RETRY_S);
	worker_stop(w);
	ck_assert_int_eq(dead_letters(bed), 0);
	model_check(bed);
	bed_free(bed);
}
END_TEST

/*
 * Proves: what an operator must mend in the database (a right taken away, the table renamed) halts
 * the batch, costs no dead letter, and is over by itself when it is mended.
 */
START_TEST(mended_database)
{
	static const char *const harm[][2] = {
		{"REVOKE ALL ON ledger FROM memingest; ALTER TABLE ledger OWNER TO postgres",
		 "ALTER TABLE ledger OWNER TO memingest_owner; GRANT ALL ON ledger TO memingest"},
		{"ALTER TABLE ledger RENAME TO elsewhere",
		 "ALTER TABLE elsewhere RENAME TO ledger"},
	};
	struct bed *bed = ledger_bed("mended", 2);
	struct worker *w = worker_start(bed, NULL);
	send(bed, 0, 100);
	bed_drain(bed, 20);
	bed_sql(bed, "%s", harm[_i][0]);
	send(bed, 0, 100);
	worker_wait_log(w, "batch halted, an operator must act", 20);
	ck_assert_int_eq(next_offset(bed, 0), 100);
	bed_sql(bed, "%s", harm[_i][1]);
	bed_drain(bed, RETRY_S);
	worker_stop(w);
	ck_assert_int_eq(dead_letters(bed), 0);
	model_check(bed);
	bed_free(bed);
}
END_TEST

static int64_t consumed(struct bed *bed, const char *stream)
{
	return bed_int(bed,
		       "SELECT coalesce(sum(next_offset), 0)::bigint FROM memingest.offsets WHERE "
		       "pipeline = '%s' AND topic "
		       "LIKE '%%%s%%' AND partition >= 0",
		       bed->name, stream);
}

/*
 * Proves: a stream whose table is gone is halted and says so; its batches wait in order, and the
 * other stream of the same lane goes on, for longer than there are batches to spare. Once it is
 * mended, nothing is missing; also when the worker was restarted before (1) or a second one took
 * over one of the partitions (2).
 */
START_TEST(one_stream)
{
	struct generator_options mixed = {.update_share = 0.5, .delete_share = 0.05};
	struct bed *bed = bed_new("onestream");
	bed_stream(bed, "memory", 2);
	bed_stream(bed, "pattern", 2);
	bed_set(bed, "batch.max_rows", "100");
	bed_set(bed, "batch.max_age", "20ms");
	bed_set(bed, "postgres.lanes", "1");
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	struct worker *w = worker_start(bed, NULL), *second = NULL;
	worker_ready(w);
	bed_sql(bed, "ALTER TABLE patterns RENAME TO elsewhere");
	load_fill(bed, "pattern", 1000, mixed);
	worker_wait_log(w, "batch halted, an operator must act", 20);
	for (int i = 1; i <= 3; i++) {
		load_fill(bed, "memory", 1000, mixed);
		BED_WAIT(bed, 20, consumed(bed, "memory") >= 1000 * i);
	}
	ck_assert_int_eq(consumed(bed, "pattern"), 0);
	BED_WAIT(bed, 5,
		 worker_metric(w, "memingest_halted_partitions", "stream=\"pattern\"") == 2);
	ck_assert_double_eq(worker_metric(w, "memingest_halted_partitions", "stream=\"memory\""),
			    0);
	if (_i == 1)
		worker_stop(w);
	if (_i > 0) {
		second = worker_start(bed, NULL);
		worker_wait_log(second, "batch halted, an operator must act", 60);
	}
	bed_sql(bed, "ALTER TABLE elsewhere RENAME TO patterns");
	bed_drain(bed, RETRY_S);
	BED_WAIT(bed, 5,
		 worker_metric(second ? second : w, "memingest_halted_partitions", NULL) == 0);
	if (_i != 1)
		worker_stop(w);
	if (second)
		worker_stop(second);
	ck_assert_int_eq(dead_letters(bed), 0);
	model_check(bed);
	bed_free(bed);
}
END_TEST

/* --- the registry --- */

static void registry_is(const char *mode)
{
	char body[64];
	snprintf(body, sizeof(body), "{\"mode\": \"%s\"}", mode);
	ck_assert_uint_eq(http(stack.registry_port, "/_control", body, NULL), 200);
}

static bool paused_for_schema(struct worker *w, int partition)
{
	size_t i;
	json_t *status = worker_status(w), *p;
	bool found = false;
	json_array_foreach (json_object_get(status, "partitions"), i, p) {
		found |= json_integer_value(json_object_get(p, "partition")) == partition &&
			 strcmp(json_string_value(json_object_get(p, "state")), "paused") == 0 &&
			 strcmp(json_string_value(json_object_get(p, "paused")), "schema") == 0;
	}
	json_decref(status);
	return found;
}

/* From now on events are written with one more field, of a name of its own. */
static void new_writer_schema(struct bed *bed, const char *field)
{
	json_t *schema = json_deep_copy(bed->streams[0].schema);
	json_array_append_new(
		json_object_get(schema, "fields"),
		json_pack("{s:s, s:s, s:s}", "name", field, "type", "string", "default", ""));
	bed_writer_schema(bed, "ledger", schema);
	json_decref(schema);
}

/*
 * Proves: with the registry down (0: answers 503; 1: answers like a wrong proxy, 404 without an
 * error code) the partition that meets an unknown schema pauses, others go on with the schemas they
 * know, no event becomes a dead letter, and work goes on by itself when the registry is back.
 */
START_TEST(registry_away)
{
	registry_is("ok"); /* whatever a test before has left */
	struct bed *bed = ledger_bed("registry", 2);
	struct worker *w = worker_start(bed, NULL);
	struct bed_stream *s = &bed->streams[0];
	json_t *known = json_incref(s->schema);
	uint32_t known_id = s->schema_id;
	send(bed, 0, 20);
	send(bed, 1, 20);
	bed_drain(bed, 20);
	new_writer_schema(bed, _i == 0 ? "mood" : "humour");
	registry_is(_i == 0 ? "down" : "404");
	send(bed, 0, 10);
	BED_WAIT(bed, 20, paused_for_schema(w, 0));
	json_decref(s->schema);
	s->schema = known;
	s->schema_id = known_id;
	send(bed, 1, 30);
	BED_WAIT(bed, 20, next_offset(bed, 1) == 50);
	ck_assert(paused_for_schema(w, 0));
	ck_assert_int_eq(next_offset(bed, 0), 20);
	ck_assert_int_eq(dead_letters(bed), 0);
	ck_assert_double_eq(worker_metric(w, "memingest_halted_partitions", NULL), 0);
	registry_is("ok");
	bed_drain(bed, 40);
	worker_stop(w);
	model_check(bed);
	ck_assert_int_eq(dead_letters(bed), 0);
	bed_free(bed);
}
END_TEST

/* --- an operator's way on --- */

/* An event whose writer has another type for a field; with headers. */
static void send_misfit(struct bed *bed, int partition)
{
	static const uint8_t bytes[] = {0xff, 0};
	const struct broker_header headers[] = {{"trace", {(const uint8_t *)"abc", 3}},
						{"raw", {bytes, sizeof(bytes)}}};
	struct bed_stream *s = &bed->streams[0];
	json_t *known = json_incref(s->schema), *schema = json_deep_copy(s->schema), *field;
	uint32_t known_id = s->schema_id;
	struct buf value = {0};
	size_t i;
	json_array_foreach (json_object_get(schema, "fields"), i, field) {
		if (strcmp(json_string_value(json_object_get(field, "name")), "total") != 0)
			continue;
		json_object_set_new(field, "type", json_string("string"));
		json_object_set_new(field, "default", json_string(""));
	}
	bed_writer_schema(bed, "ledger", schema);
	json_t *event = json_pack("{s:I, s:s, s:s}", "event_time", INT64_C(1750000000000000),
				  "account", "misfit", "total", "much");
	ck_assert(event_confluent(s->schema, s->schema_id, event, &value));
	broker_produce_headers(s->topic, partition, (struct slice){(const uint8_t *)"k", 1},
			       (struct slice){value.data, value.len}, headers, 2);
	bed_flush(bed);
	json_decref(event);
	json_decref(schema);
	json_decref(s->schema);
	s->schema = known;
	s->schema_id = known_id;
	buf_free(&value);
}

static int skip(struct bed *bed, const char *partition, const char *reason, struct buf *out)
{
	const char *args[] = {"skip",
			      "--yes",
			      bed->streams[0].topic,
			      partition,
			      "--to-dead-letters",
			      reason ? "--reason" : NULL,
			      reason,
			      NULL};
	return bed_command(bed, "offsets", args, out);
}

static int64_t waiting(struct bed *bed)
{
	return bed_int(bed, "SELECT count(*) FROM pg_locks WHERE NOT granted");
}

static int start_skip(struct bed *bed)
{
	const char *argv[] = {stack.program, "offsets", "skip",      "--yes", bed->streams[0].topic,
			      "0",           "-c",      bed->config, NULL};
	char log[200];
	snprintf(log, sizeof(log), "%s/skip.log", bed->dir);
	return spawn(argv, NULL, log);
}

/* Two that have read the same position; returns how many of them say that they did it. */
static int skip_twice(struct bed *bed)
{
	int pids[2], done = 0;
	bed_sql(bed, "BEGIN; SELECT FROM memingest.offsets WHERE partition = 0 FOR UPDATE");
	for (size_t i = 0; i < ARRAY_LEN(pids); i++)
		pids[i] = start_skip(bed);
	BED_WAIT(bed, 20, waiting(bed) == 2);
	bed_sql(bed, "COMMIT");
	for (size_t i = 0; i < ARRAY_LEN(pids); i++)
		done += wait_exit(pids[i]) == 0;
	return done;
}

/* One that has read a position which somebody else then moves on. */
static void skip_late(struct bed *bed)
{
	bed_sql(bed, "BEGIN; UPDATE memingest.offsets SET next_offset = 21 WHERE partition = 0");
	int pid = start_skip(bed);
	BED_WAIT(bed, 20, waiting(bed) == 1);
	bed_sql(bed, "COMMIT");
	ck_assert_int_eq(wait_exit(pid), 75);
	ck_assert_int_eq(dead_letters(bed), 0);
	bed_sql(bed, "UPDATE memingest.offsets SET next_offset = 20 WHERE partition = 0");
}

static bool is_told(struct bed *bed)
{
	return bed_int(bed, "SELECT count(*) FROM memingest.offsets WHERE partition = 0 AND "
			    "halted_at = next_offset AND halted LIKE '%%does not fit%%'") == 1;
}

/*
 * Proves: "offsets skip" makes a dead letter of the one message that halts its partition, whole and
 * with both reasons, once, and the partition goes on behind it: with the worker running (0),
 * stopped (1), and by two operators at once (2). The halt names the command, whole. A message that
 * nobody halts at is left alone.
 */
START_TEST(skipped)
{
	struct bed *bed = ledger_bed("skipped", 2);
	const char *topic = bed->streams[0].topic;
	char command[400];
	struct buf out = {0};
	snprintf(command, sizeof(command), "memingest offsets skip %s 0 --to-dead-letters -c %s",
		 topic, bed->config);
	send(bed, 0, 20);
	send_misfit(bed, 0);
	send(bed, 0, 30);
	send(bed, 1, 10);
	ck_assert_int_eq(skip(bed, "0", NULL, &out), 65);
	struct worker *w = worker_start(bed, NULL);
	worker_wait_log(w, "partition halted, an operator must act", 20);
	ck_assert(worker_logged(w, command));
	BED_WAIT(bed, 20, is_told(bed) && next_offset(bed, 1) == 10);
	send(bed, 1, 5);
	if (_i > 0)
		worker_stop(w);
	if (_i == 3)
		skip_late(bed);
	if (_i == 2)
		ck_assert_int_eq(skip_twice(bed), 1);
	else
		ck_assert_int_eq(skip(bed, "0", NULL, &out), 0);
	ck_assert_int_eq(dead_letters(bed), 1);
	ck_assert_int_eq(skip(bed, "0", NULL, NULL), 65);
	if (_i > 0)
		w = worker_start(bed, NULL);
	bed_drain(bed, RETRY_S);
	worker_stop(w);
	model_expect_dead(topic, 0, 20, "operator");
	model_check(bed);
	ck_assert_int_eq(
		bed_int(bed,
			"SELECT count(*) FROM memingest.dead_letters WHERE \"offset\" = 20 AND"
			" stream = 'ledger' AND key = 'k' AND length(value) > 10 AND event_time > "
			"now() - interval '1 hour' AND headers = '{\"trace\": \"abc\", \"raw\": "
			"\"base64:/wA=\"}' AND detail ~ 'skipped by an operator, .+@.+; it halted "
			"the "
			"partition: .*does not fit'"),
		1);
	buf_free(&out);
	bed_free(bed);
}
END_TEST

static void answer_for(uint32_t id, const char *answer)
{
	char body[160];
	snprintf(body, sizeof(body), "{\"id\": %u, %s}", id, answer);
	ck_assert_uint_eq(http(stack.registry_port, "/_put", body, NULL), 200);
}

/* Whether /status says since when a partition waits for the schema, and of whom. */
static bool says_what_for(struct worker *w, uint32_t id)
{
	char what[160];
	size_t i;
	bool says = false;
	json_t *status = worker_status(w), *p;
	snprintf(what, sizeof(what), "schema id %u of schema registry http://127.0.0.1:%u: it does",
		 id, stack.registry_port);
	json_array_foreach (json_object_get(status, "partitions"), i, p) {
		const char *error = json_string_value(json_object_get(p, "error"));
		says |= error && strncmp(error, "waits since 20", 14) == 0 && strstr(error, what);
	}
	json_decref(status);
	return says;
}

/*
 * Proves: a registry that lags, with its error code (0) or as a web server says it (1), makes no
 * dead letters: that partition waits, says so in /status and log, others go on, and all lands once
 * the registry knows the id. (2): it never does; the event becomes a dead letter after
 * registry.unknown_wait, not before.
 */
START_TEST(registry_lags)
{
	registry_is("ok");
	struct bed *bed = ledger_bed("lag", 2);
	bed_set(bed, "registry.unknown_wait", _i == 2 ? "3s" : "60s");
	bed_set(bed, "dlq.max_ratio", "1");
	struct worker *w = worker_start(bed, NULL);
	worker_ready(w);
	struct bed_stream *s = &bed->streams[0];
	json_t *known = json_incref(s->schema);
	uint32_t known_id = s->schema_id;
	new_writer_schema(bed, _i == 0 ? "lag" : _i == 1 ? "lag_plain" : "lag_ever");
	uint32_t id = s->schema_id;
	answer_for(id, _i == 0 ? "\"status\": 404, \"body\": {\"error_code\": 40403}"
			       : "\"status\": 404, \"raw\": \"<html>no such page</html>\"");
	send(bed, 0, 10);
	bed_flush(bed);
	BED_WAIT(bed, 20, paused_for_schema(w, 0) && says_what_for(w, id));
	worker_wait_log(w, "partition waits for a schema", 5);
	json_decref(s->schema);
	s->schema = known;
	s->schema_id = known_id;
	send(bed, 1, 30);
	BED_WAIT(bed, 20, next_offset(bed, 1) == 30);
	if (_i < 2) {
		ck_assert_int_eq(dead_letters(bed), 0);
		answer_for(id, "\"forget\": true");
	}
	bed_drain(bed, 20);
	ck_assert_int_eq(dead_letters(bed), _i < 2 ? 0 : 10);
	BED_WAIT(bed, 5, !says_what_for(w, id));
	worker_stop(w);
	answer_for(id, "\"forget\": true");
	if (_i < 2)
		model_check(bed);
	bed_free(bed);
}
END_TEST

/*
 * Proves: an id that no registry has (over 31 bits, for which a real one answers 404 without a
 * code) is a dead letter at once, and nothing waits for it.
 */
START_TEST(no_id_at_all)
{
	registry_is("ok");
	struct bed *bed = ledger_bed("noid", 1);
	bed_set(bed, "dlq.max_ratio", "1");
	struct worker *w = worker_start(bed, NULL);
	bed_raw(bed, "ledger", 0, (struct slice){0},
		(struct slice){(const uint8_t *)"\0\xff\xff\xff\xff"
						"abc",
			       8});
	send(bed, 0, 10);
	bed_drain(bed, 20);
	ck_assert_int_eq(dead_letters(bed), 1);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memingest.dead_letters WHERE reason = "
				      "'schema' AND detail LIKE '%%id 4294967295%%'"),
			 1);
	worker_stop(w);
	model_check(bed);
	bed_free(bed);
}
END_TEST

static void halt_tests(TCase *tc)
{
	tcase_add_test(tc, too_many_undecodable);
	tcase_add_test(tc, refused_by_a_constraint);
	tcase_add_loop_test(tc, mended_database, 0, 2);
	tcase_add_loop_test(tc, skipped, 0, 4);
}
SYSTEM_SUITE("halt", 120, halt_tests)

/*
 * Proves: what an operator says of a partition that waits for a schema (0: accept-gap, 1: skip)
 * reaches the running worker while the registry is still away.
 */
START_TEST(moved_while_waiting)
{
	registry_is("ok");
	struct bed *bed = ledger_bed("waiting", 1);
	struct worker *w = worker_start(bed, NULL);
	struct bed_stream *s = &bed->streams[0];
	json_t *known = json_incref(s->schema);
	uint32_t known_id = s->schema_id;
	send(bed, 0, 20);
	bed_drain(bed, 20);
	new_writer_schema(bed, _i == 0 ? "gap" : "letter");
	registry_is("down");
	send(bed, 0, 1);
	json_decref(s->schema);
	s->schema = known;
	s->schema_id = known_id;
	send(bed, 0, 10);
	BED_WAIT(bed, 20, paused_for_schema(w, 0));
	const char *gap[] = {"accept-gap", s->topic, "0", "--to", "21", "--yes", NULL};
	ck_assert_int_eq(_i == 0 ? bed_command(bed, "offsets", gap, NULL)
				 : skip(bed, "0", "nobody knows its schema", NULL),
			 0);
	BED_WAIT(bed, RETRY_S, next_offset(bed, 0) == 31);
	registry_is("ok");
	worker_stop(w);
	if (_i == 1) {
		model_expect_dead(s->topic, 0, 20, "operator");
		model_check(bed);
	}
	ck_assert_int_eq(dead_letters(bed), _i);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memingest.gaps WHERE from_offset = 20 "
				      "AND to_offset = 21"),
			 1 - _i);
	bed_free(bed);
}
END_TEST

static void one_stream_tests(TCase *tc)
{
	tcase_add_loop_test(tc, one_stream, 0, 3);
}
SYSTEM_SUITE("one_stream", 120, one_stream_tests)

static void registry_away_tests(TCase *tc)
{
	tcase_add_loop_test(tc, registry_away, 0, 2);
	tcase_add_loop_test(tc, moved_while_waiting, 0, 2);
	tcase_add_loop_test(tc, registry_lags, 0, 3);
	tcase_add_test(tc, no_id_at_all);
}
SYSTEM_SUITE("registry_away", 120, registry_away_tests)

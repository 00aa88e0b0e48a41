/*
 * test_harness.c - tests of the tests: the stack, the proxy, the event codec and the model, without
 * a worker.
 *
 * A model that passes everything proves nothing, so here it is shown right tables and wrong ones; a
 * proxy that loses a COMMIT which the server got all the same would turn the tests of lost COMMITs
 * upside down, so here it is checked what the server holds afterwards.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bed.h"
#include "broker.h"
#include "event.h"
#include "model.h"
#include "proxy.h"
#include "system.h"

static const char note_schema[] =
	"{'type':'record','name':'Note','namespace':'test',"
	"'pg':{'table':'notes','key':['id'],'version':'event_time','delete':{'field':'op','symbol':"
	"'DELETE'}},'fields':"
	"["
	"{'name':'op','type':{'type':'enum','name':'Op','symbols':['UPSERT','DELETE']},'default':'"
	"UPSERT','pg':{'"
	"column':false}},"
	"{'name':'event_time','type':{'type':'long','logicalType':'timestamp-micros'}},"
	"{'name':'id','type':'string'},"
	"{'name':'text','type':['null','string'],'default':null},"
	"{'name':'vector','type':['null',{'type':'array','items':'float'}],'default':null,'pg':{'"
	"type':'vector(3)'}},"
	"{'name':'count','type':'long','default':0,'pg':{'merge':'add'}},"
	"{'name':'meta','type':['null','string'],'default':null,'pg':{'type':'jsonb'}},"
	"{'name':'tags','type':{'type':'array','items':'string'},'default':[]}]}";
static const char note_key_schema[] =
	"{'type':'record','name':'NoteKey','namespace':'test','fields':["
	"{'name':'id','type':'string'}]}";

/* Writes a schema (with ' for ") into the bed's folder; returns its path. */
static const char *write_schema(struct bed *bed, const char *name, const char *text)
{
	static char path[192];
	snprintf(path, sizeof(path), "%s/%s.avsc", bed->dir, name);
	FILE *out = fopen(path, "w");
	ck_assert_ptr_nonnull(out);
	for (; *text; text++)
		putc(*text == '\'' ? '"' : *text, out);
	ck_assert_int_eq(fclose(out), 0);
	return path;
}

/* --- event.c --- */

/*
 * What is encoded decodes to itself, defaults filled in; bytes cut off or added at any place are
 * refused.
 */
START_TEST(event_codec)
{
	struct bed *bed = bed_new("codec");
	json_t *schema = event_schema(write_schema(bed, "note", note_schema));
	json_t *in =
		json_pack("{s:I, s:s, s:[f,f,f], s:s, s:[s,s]}", "event_time", (json_int_t)-7, "id",
			  "\xc3\xa4", "vector", 1.5, -2.0, 0.25, "meta", "{}", "tags", "a", "");
	struct buf bytes = {0};
	bool bad_text;
	ck_assert(event_encode(schema, in, &bytes));
	json_t *out = event_decode(schema, (struct slice){bytes.data, bytes.len}, &bad_text);
	ck_assert_ptr_nonnull(out);
	ck_assert(!bad_text);
	ck_assert(json_is_null(json_object_get(out, "text")));
	ck_assert_str_eq(json_string_value(json_object_get(out, "op")), "UPSERT");
	json_object_update_missing(in, out);
	ck_assert(json_equal(in, out));
	for (size_t n = 0; n < bytes.len; n++)
		ck_assert_ptr_null(event_decode(schema, (struct slice){bytes.data, n}, &bad_text));
	buf_u8(&bytes, 0);
	ck_assert_ptr_null(event_decode(schema, (struct slice){bytes.data, bytes.len}, &bad_text));
	json_decref(in);
	json_decref(out);
	json_decref(schema);
	buf_free(&bytes);
	bed_free(bed);
}
END_TEST

/* --- proxy.c --- */

static struct pg *through(struct bed *bed, struct proxy *p)
{
	char dsn[128];
	struct err err = {0};
	snprintf(dsn, sizeof(dsn), "postgresql://memingest_owner@127.0.0.1:%u/%s", proxy_port(p),
		 bed->name);
	struct config config = {
		.pg_dsn = dsn,
		.pg_statement_timeout_us = 5 * US_PER_S,
		.pg_lock_timeout_us = 5 * US_PER_S,
		.pg_connect_timeout_us = 2 * US_PER_S,
	};
	struct pg *pg = pg_connect(&config, "proxied", -1, &err);
	if (pg)
		pg_set_timeout(pg, 2 * US_PER_S);
	return pg;
}

/* A transaction of one row, COMMIT sent by itself; true if the client got its answer. */
static bool insert(struct pg *pg, int n)
{
	char sql[128];
	struct err err = {0};
	snprintf(sql, sizeof(sql), "BEGIN; INSERT INTO t VALUES (%d)", n);
	ck_assert_msg(pg_exec(pg, sql, NULL, 0, &err), "%s", err.text);
	return pg_exec(pg, "COMMIT", NULL, 0, &err);
}

/* Each fault does to the COMMIT what its name says, once, and the next connection works again. */
START_TEST(proxy_faults)
{
	static const struct {
		enum proxy_fault fault;
		int applied;
	} cases[] = {{PROXY_COMMIT_LOST, 0}, {PROXY_ANSWER_LOST, 1}, {PROXY_ANSWER_STUCK, 1}};
	struct bed *bed = bed_new("faults");
	struct proxy *p = proxy_start(stack.pg_port);
	bed_sql(bed, "CREATE TABLE t (n int); GRANT ALL ON t TO memingest");
	for (int i = 0; i < (int)ARRAY_LEN(cases); i++) {
		struct pg *pg = through(bed, p);
		ck_assert_ptr_nonnull(pg);
		proxy_arm(p, cases[i].fault, 2);
		ck_assert(insert(pg, 10 * i));
		ck_assert(!insert(pg, 10 * i + 1));
		ck_assert(!pg_ok(pg));
		pg_free(pg);
		ck_assert_uint_eq(proxy_fired(p), (unsigned)i + 1);
		ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM t WHERE n = %d", 10 * i), 1);
		ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM t WHERE n = %d", 10 * i + 1),
				 cases[i].applied);
		pg = through(bed, p);
		ck_assert_ptr_nonnull(pg);
		ck_assert(insert(pg, 10 * i + 2));
		pg_free(pg);
	}
	proxy_stop(p);
	bed_free(bed);
}
END_TEST

/*
 * COMMIT is recognised where it ends a statement of several, and "ON COMMIT" in a statement is not
 * taken for one.
 */
START_TEST(proxy_sees_commits)
{
	struct bed *bed = bed_new("commits");
	struct proxy *p = proxy_start(stack.pg_port);
	struct err err = {0};
	struct pg *pg = through(bed, p);
	ck_assert_ptr_nonnull(pg);
	ck_assert(pg_exec(pg, "CREATE TEMP TABLE x (n int) ON COMMIT DELETE ROWS", NULL, 0, &err));
	ck_assert_uint_eq(proxy_commits(p), 0);
	ck_assert(pg_exec(pg, "BEGIN; INSERT INTO x VALUES (1); commit;", NULL, 0, &err));
	ck_assert_uint_eq(proxy_commits(p), 1);
	pg_free(pg);
	proxy_stop(p);
	bed_free(bed);
}
END_TEST

/*
 * Blackhole makes calls run into their deadline and loses nothing; reset cuts old connections and
 * refuses new ones; delay adds up.
 */
START_TEST(proxy_modes)
{
	struct bed *bed = bed_new("modes");
	struct proxy *p = proxy_start(stack.pg_port);
	struct err err = {0};
	struct pg *pg = through(bed, p);
	ck_assert_ptr_nonnull(pg);
	proxy_delay(p, 20 * US_PER_MS);
	int64_t start = clock_mono_us();
	ck_assert(pg_exec(pg, "SELECT 1", NULL, 0, &err));
	int64_t took = clock_mono_us() - start;
	ck_assert_int_ge(took, 40 * US_PER_MS);
	ck_assert_int_lt(took, 200 * US_PER_MS);
	proxy_delay(p, 0);
	proxy_mode(p, PROXY_BLACKHOLE);
	pg_set_timeout(pg, 300 * US_PER_MS);
	ck_assert(!pg_exec(pg, "SELECT 1", NULL, 0, &err));
	pg_free(pg);
	proxy_mode(p, PROXY_PASS);
	pg = through(bed, p);
	ck_assert_ptr_nonnull(pg);
	proxy_mode(p, PROXY_RESET);
	ck_assert_ptr_null(through(bed, p));
	ck_assert(!pg_exec(pg, "SELECT 1", NULL, 0, &err));
	pg_free(pg);
	proxy_stop(p);
	bed_free(bed);
}
END_TEST

/*
 * A plain proxy listens where it is told and sees no COMMITs. What is swallowed never arrives: the
 * connection stays silent also afterwards, a new one works.
 */
START_TEST(proxy_plain)
{
	struct bed *bed = bed_new("plain");
	struct proxy *p = proxy_start_plain(stack.proxy_port, stack.pg_port);
	struct err err = {0};
	ck_assert_uint_eq(proxy_port(p), stack.proxy_port);
	bed_sql(bed, "CREATE TABLE t (n int); GRANT ALL ON t TO memingest");
	struct pg *pg = through(bed, p), *other = through(bed, p);
	ck_assert_ptr_nonnull(pg);
	ck_assert_ptr_nonnull(other);
	ck_assert(insert(pg, 1));
	ck_assert_uint_eq(proxy_commits(p), 0);
	proxy_mode(p, PROXY_SWALLOW);
	pg_set_timeout(pg, 300 * US_PER_MS);
	ck_assert(!pg_exec(pg, "INSERT INTO t VALUES (2)", NULL, 0, &err));
	proxy_mode(p, PROXY_PASS);
	ck_assert(!pg_exec(pg, "INSERT INTO t VALUES (3)", NULL, 0, &err));
	ck_assert(insert(other, 4));
	pg_free(pg);
	pg_free(other);
	ck_assert_int_eq(bed_int(bed, "SELECT sum(n) FROM t"), 5);
	proxy_stop(p);
	bed_free(bed);
}
END_TEST

/*
 * Bytes in small pieces are the same bytes; a way that is open in one direction only lets through
 * what that says: an INSERT that is not heard arrives, one that cannot be said does not. Another
 * target is for new connections.
 */
START_TEST(proxy_halves)
{
	struct bed *bed = bed_new("halves");
	struct proxy *p = proxy_start(stack.pg_port);
	struct err err = {0};
	bed_sql(bed, "CREATE TABLE t (n int); GRANT ALL ON t TO memingest");
	proxy_slice(p, 7, US_PER_MS);
	struct pg *pg = through(bed, p);
	ck_assert_ptr_nonnull(pg);
	int64_t start = clock_mono_us();
	ck_assert(insert(pg, 1));
	ck_assert_int_ge(clock_mono_us() - start, 5 * US_PER_MS);
	proxy_slice(p, 0, 0);
	pg_set_timeout(pg, 300 * US_PER_MS);
	proxy_mode(p, PROXY_DEAF);
	ck_assert(!pg_exec(pg, "INSERT INTO t VALUES (2)", NULL, 0, &err));
	pg_free(pg);
	proxy_mode(p, PROXY_PASS);
	pg = through(bed, p);
	ck_assert_ptr_nonnull(pg);
	pg_set_timeout(pg, 300 * US_PER_MS);
	proxy_mode(p, PROXY_MUTE);
	ck_assert(!pg_exec(pg, "INSERT INTO t VALUES (4)", NULL, 0, &err));
	proxy_mode(p, PROXY_PASS);
	ck_assert(!pg_exec(pg, "INSERT INTO t VALUES (8)", NULL, 0, &err));
	pg_free(pg);
	ck_assert_int_eq(bed_int(bed, "SELECT sum(n) FROM t"), 1 + 2);
	proxy_target(p, free_port());
	ck_assert_ptr_null(through(bed, p));
	proxy_stop(p);
	bed_free(bed);
}
END_TEST

/*
 * A connection that was left without its answer goes when the client gives it up: none of them
 * takes a place for ever.
 */
START_TEST(proxy_stuck_ends)
{
	struct bed *bed = bed_new("stuck");
	struct proxy *p = proxy_start(stack.pg_port);
	bed_sql(bed, "CREATE TABLE t (n int); GRANT ALL ON t TO memingest");
	struct pg *pg = through(bed, p);
	ck_assert_ptr_nonnull(pg);
	proxy_arm(p, PROXY_ANSWER_STUCK, 1);
	ck_assert(!insert(pg, 1));
	pg_free(pg);
	BED_WAIT(bed, 10,
		 bed_int(bed,
			 "SELECT count(*) FROM pg_stat_activity WHERE datname = '%s' AND "
			 "application_name = 'memingest/proxied'",
			 bed->name) == 0);
	proxy_stop(p);
	bed_free(bed);
}
END_TEST

/* --- model.c --- */

static void books(struct bed *bed, const char *topic)
{
	struct buf sql = {0};
	char chunk[4096];
	size_t n;
	FILE *in = fopen("worker/sql/bookkeeping.sql", "r");
	ck_assert_ptr_nonnull(in);
	while ((n = fread(chunk, 1, sizeof(chunk), in)) > 0)
		buf_put(&sql, chunk, n);
	fclose(in);
	bed_sql(bed, "%s", buf_cstr(&sql));
	buf_free(&sql);
	bed_sql(bed, "INSERT INTO memingest.offsets VALUES ('%s', '%s', 0, NULL, 8)", bed->name,
		topic);
	bed_sql(bed,
		"INSERT INTO memingest.batches VALUES ('%s', '%s', 0, 0, 3, 3, 2, 1, 0, 1), ('%s', "
		"'%s', 0, 3, 8, 5, "
		"3, 1, 1, 1)",
		bed->name, topic, bed->name, topic);
	bed_sql(bed,
		"INSERT INTO memingest.dead_letters (pipeline, topic, partition, \"offset\", "
		"stream, reason) "
		"VALUES ('%s', '%s', 0, 5, 'note', 'invalid_embedding')",
		bed->name, topic);
}

static void note(struct bed *bed, const char *id, int64_t version, const char *text, int count)
{
	json_t *event =
		json_pack("{s:s, s:I, s:s, s:i, s:[f,f,f], s:s, s:[s]}", "id", id, "event_time",
			  (json_int_t)version, "text", text, "count", count, "vector", 1.0, 2.5,
			  -3.0, "meta", "{\"b\": [1, null], \"a\": 2}", "tags", "x");
	bed_event(bed, "note", 0, event);
	json_decref(event);
}

/* Offsets 0 to 7: newer, older, deleted, deleted too late, poison, tombstone. */
static void produce_notes(struct bed *bed)
{
	json_t *gone = json_pack("{s:s, s:I, s:s}", "id", "b", "event_time", (json_int_t)1, "op",
				 "DELETE");
	json_t *poison = json_pack("{s:s, s:I, s:[f]}", "id", "a", "event_time", (json_int_t)99,
				   "vector", 1.0);
	json_t *key = json_pack("{s:s}", "id", "c");
	note(bed, "a", 20, "new", 1);
	note(bed, "a", 10, "old", 2);
	note(bed, "b", 20, "stays", 4);
	bed_event(bed, "note", 0, gone);
	note(bed, "c", 20, "goes", 8);
	bed_event(bed, "note", 0, poison);
	bed_tombstone(bed, "note", 0, key);
	note(bed, "a", 20, "newest", 16);
	bed_flush(bed);
	json_decref(gone);
	json_decref(poison);
	json_decref(key);
}

/*
 * The model passes the right table and books, and sees each single thing that is wrong with them.
 */
START_TEST(model_sees)
{
	static const char *const wrong[] = {
		"DELETE FROM notes WHERE id = 'b'",
		"INSERT INTO notes SELECT 'c', event_time, text, vector, count, meta, tags FROM "
		"notes WHERE id = 'a'",
		"UPDATE notes SET text = 'old' WHERE id = 'a'",
		"UPDATE notes SET count = 17 WHERE id = 'a'",
		"UPDATE notes SET vector = '[1,2.5,-3.0001]' WHERE id = 'a'",
		"UPDATE notes SET meta = NULL WHERE id = 'b'",
		"UPDATE notes SET tags = '{}' WHERE id = 'b'",
		"UPDATE notes SET event_time = event_time + interval '1 microsecond' WHERE id = "
		"'b'",
		"DELETE FROM memingest.dead_letters",
		"UPDATE memingest.dead_letters SET reason = 'decode'",
		"UPDATE memingest.dead_letters SET \"offset\" = 6",
		"UPDATE memingest.batches SET from_offset = 4 WHERE from_offset = 3",
		"UPDATE memingest.batches SET to_offset = 4 WHERE from_offset = 0",
		"UPDATE memingest.batches SET merged = 1 WHERE from_offset = 0",
		"UPDATE memingest.offsets SET next_offset = 7",
	};
	struct bed *bed = bed_new("model");
	char schema[192];
	snprintf(schema, sizeof(schema), "%s", write_schema(bed, "note", note_schema));
	struct bed_stream *s =
		bed_stream_files(bed, "note", 1, schema, write_schema(bed, "key", note_key_schema));
	produce_notes(bed);
	books(bed, s->topic);
	bed_sql(bed, "CREATE TABLE notes (id text, event_time timestamptz, text text, vector "
		     "vector(3), count bigint, "
		     "meta jsonb, "
		     "tags text[])");
	bed_sql(bed, "INSERT INTO notes SELECT v.id, 'epoch'::timestamptz + interval '20 "
		     "microseconds', v.text, "
		     "'[1,2.5,-3]', v.count, "
		     "'{\"a\": 2, \"b\": [1, null]}', '{x}' FROM (VALUES ('a', 'newest', 19), "
		     "('b', 'stays', 4)) AS "
		     "v(id, text, count)");
	ck_assert(bed_drained(bed));
	model_check(bed);
	ck_assert_uint_eq(model_rows("note"), 2);
	bed_sql(bed, "CREATE SCHEMA saved; CREATE TABLE saved.notes AS SELECT * FROM notes");
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		bed_sql(bed, "CREATE TABLE saved.o AS SELECT * FROM memingest.offsets; "
			     "CREATE TABLE saved.b AS SELECT * FROM memingest.batches; "
			     "CREATE TABLE saved.d AS SELECT * FROM memingest.dead_letters");
		bed_sql(bed, "%s", wrong[i]);
		ck_assert_msg(model_differences(bed) > 0, "the model does not see: %s", wrong[i]);
		bed_sql(bed, "TRUNCATE notes, memingest.offsets, memingest.batches, "
			     "memingest.dead_letters; "
			     "INSERT INTO notes SELECT * FROM saved.notes; INSERT INTO "
			     "memingest.offsets SELECT * FROM "
			     "saved.o; "
			     "INSERT INTO memingest.batches SELECT * FROM saved.b; "
			     "INSERT INTO memingest.dead_letters OVERRIDING SYSTEM VALUE SELECT * "
			     "FROM saved.d; "
			     "DROP TABLE saved.o, saved.b, saved.d");
	}
	model_check(bed);
	bed_free(bed);
}
END_TEST

/* --- stack and broker --- */

/*
 * Transactions leave offsets without messages; what was rolled back is not read; deleted records
 * move the start of the log.
 */
START_TEST(broker_log)
{
	struct bed *bed = bed_new("log");
	struct slice value = {(const uint8_t *)"v", 1}, none = {0};
	int64_t low, high, committed[2];
	broker_create_topic("log.test", 2, (const char *const[]){"max.message.bytes=2000000"}, 1);
	broker_txn_begin();
	broker_txn_produce("log.test", 1, none, value);
	broker_txn_end(true);
	broker_txn_begin();
	broker_txn_produce("log.test", 1, none, value);
	broker_txn_end(false);
	broker_watermarks("log.test", 1, &low, &high);
	ck_assert_int_eq(low, 0);
	ck_assert_int_eq(high, 4);
	broker_delete_records("log.test", 1, 1);
	broker_add_partitions("log.test", 3);
	broker_committed("nobody", "log.test", committed, 2);
	ck_assert_int_eq(committed[1], -1);
	broker_delete_topic("log.test");
	bed_free(bed);
}
END_TEST

static void count_receipt(void *ctx, const struct broker_message *m)
{
	int64_t *sum = ctx;
	ck_assert_uint_eq(m->value.len, 1);
	*sum += m->offset + 100;
}

/* Each message that the log has is reported with its offset; reading goes on from any of them. */
START_TEST(broker_receipts)
{
	struct bed *bed = bed_new("receipts");
	struct slice value = {(const uint8_t *)"v", 1}, none = {0};
	int64_t reported = 0, read = 0;
	broker_create_topic("receipts.test", 1, NULL, 0);
	broker_on_receipt(count_receipt, &reported);
	for (int i = 0; i < 3; i++)
		broker_produce("receipts.test", 0, none, value, 0);
	broker_flush();
	ck_assert_int_eq(reported, 100 + 101 + 102);
	broker_on_receipt(NULL, NULL);
	broker_produce("receipts.test", 0, none, value, 0);
	broker_flush();
	ck_assert_int_eq(broker_read_from(bed->name, "receipts.test", 0, 2, count_receipt, &read),
			 4);
	ck_assert_int_eq(read, 102 + 103);
	ck_assert_int_eq(broker_read_from(bed->name, "receipts.test", 0, 4, count_receipt, &read),
			 4);
	ck_assert_int_eq(read, 102 + 103);
	bed_free(bed);
}
END_TEST

/* Database and broker stop and come back on their ports, with what they held. */
START_TEST(stack_restarts)
{
	struct bed *bed = bed_new("restart");
	int64_t low, high;
	bed_sql(bed, "CREATE TABLE t AS SELECT 1 AS n");
	stack_do("pg", "restart", "immediate");
	ck_assert_int_eq(bed_int(bed, "SELECT n FROM t"), 1);
	stack_do("pg", "stop", "fast");
	stack_do("pg", "start", NULL);
	ck_assert_int_eq(bed_int(bed, "SELECT n FROM t"), 1);
	broker_create_topic("restart.test", 1, NULL, 0);
	broker_produce("restart.test", 0, (struct slice){0},
		       (struct slice){(const uint8_t *)"v", 1}, 0);
	broker_flush();
	stack_do("kafka", "kill", NULL);
	stack_do("kafka", "start", NULL);
	broker_watermarks("restart.test", 0, &low, &high);
	ck_assert_int_eq(high, 1);
	bed_free(bed);
}
END_TEST

/* A child of a test dies with the test, however that ends: nothing is left behind by a failure. */
START_TEST(children_die)
{
	int ends[2], child;
	ck_assert_int_eq(pipe(ends), 0);
	int parent = fork();
	if (parent == 0) {
		const char *const sleeper[] = {"/bin/sleep", "1000", NULL};
		child = spawn(sleeper, NULL, NULL);
		_exit(write(ends[1], &child, sizeof(child)) != sizeof(child) || raise(SIGKILL));
	}
	ck_assert_int_eq(read(ends[0], &child, sizeof(child)), sizeof(child));
	ck_assert_int_eq(wait_exit(parent), 128 + SIGKILL);
	int64_t deadline = clock_mono_us() + 5 * US_PER_S;
	while (kill(child, 0) == 0)
		ck_assert(clock_mono_us() < deadline);
	ck_assert_int_eq(errno, ESRCH);
}
END_TEST

static void harness_tests(TCase *tc)
{
	tcase_add_test(tc, event_codec);
	tcase_add_test(tc, proxy_faults);
	tcase_add_test(tc, proxy_sees_commits);
	tcase_add_test(tc, proxy_modes);
	tcase_add_test(tc, proxy_plain);
	tcase_add_test(tc, proxy_halves);
	tcase_add_test(tc, proxy_stuck_ends);
	tcase_add_test(tc, model_sees);
	tcase_add_test(tc, broker_log);
	tcase_add_test(tc, broker_receipts);
	tcase_add_test(tc, stack_restarts);
	tcase_add_test(tc, children_die);
}
SYSTEM_SUITE("harness", 60, harness_tests)

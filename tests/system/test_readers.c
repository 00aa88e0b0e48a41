/*
 * test_readers.c - what readers of the tables need: created_at that says when a thing was, the
 * indexes of a schema and the levels that "migrate" makes, and the queries of docs/QUERIES.md as
 * they stand there.
 *
 * Not here: the search by nearness (test_search.c, test_search_use.c). What created_at becomes
 * under faults is checked by all tests of the stream "ledger", whose schema takes it from the event
 * (model.h).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "bed.h"
#include "ledger.h"
#include "model.h"
#include "system.h"

/* "memingest COMMAND WORDS...", up to eight words; its exit status and a part of what it prints. */
static void expect(struct bed *bed, int status, const char *line, const char *part)
{
	char words[256], *rest = NULL;
	const char *argv[9] = {NULL};
	size_t n = 0;
	struct buf out = {0};
	snprintf(words, sizeof(words), "%s", line);
	for (char *word = strtok_r(words, " ", &rest); word && n < 8;
	     word = strtok_r(NULL, " ", &rest))
		argv[n++] = word;
	int found = bed_command(bed, argv[0], argv + 1, &out);
	ck_assert_msg(found == status && strstr(buf_cstr(&out), part),
		      "%s: exit %d, expected %d and \"%s\": %s", line, found, status, part,
		      buf_cstr(&out));
	buf_free(&out);
}

/* --- created_at --- */

#define BASE_US INT64_C(1600000000000000) /* long before any test runs */
#define STEP_EVENTS 4

static void tell(struct bed *bed, const char *op, const char *account, int unit, int second,
		 int total)
{
	char name[32];
	snprintf(name, sizeof(name), "%s-%d", account, unit);
	json_t *event = json_pack("{s:s, s:I, s:s, s:i}", "op", op, "event_time",
				  (json_int_t)(BASE_US + second * US_PER_S), "account", name,
				  "total", total);
	bed_event(bed, "ledger", 0, event);
	json_decref(event);
}

/* Each step is one batch: late events, in a batch and behind it; a row that goes and comes again.
 */
static void tell_step(struct bed *bed, int step, int units)
{
	static const struct {
		const char *op, *account;
		int second;
	} events[3][STEP_EVENTS] = {
		{{"UPSERT", "x", 300},
		 {"UPSERT", "x", 100},
		 {"UPSERT", "y", 200},
		 {"UPSERT", "w", 1}},
		{{"UPSERT", "y", 90},
		 {"UPSERT", "z", 50},
		 {"UPSERT", "x", 400},
		 {"UPSERT", "w", 2}},
		{{"DELETE", "y", 500},
		 {"UPSERT", "y", 450},
		 {"UPSERT", "z", 60},
		 {"UPSERT", "w", 3}},
	};
	for (int unit = 0; unit < units; unit++)
		for (int i = 0; i < STEP_EVENTS; i++)
			tell(bed, events[step][i].op, events[step][i].account, unit,
			     events[step][i].second, 1);
	bed_drain(bed, 30);
}

/* How many rows of that account say that they were created then. */
static int created(struct bed *bed, const char *account, int second)
{
	return (int)bed_int(bed,
			    "SELECT count(*) FROM ledger WHERE account LIKE '%s-%%' AND created_at"
			    " = to_timestamp(%d)",
			    account, (int)(BASE_US / US_PER_S) + second);
}

/*
 * Proves: under the annotation created_at is the time of the earliest event of the row, in whatever
 * order events arrive, whichever way they are written (row by row; by COPY and by the staging
 * table; judged), and begins anew behind a delete.
 */
START_TEST(created_by_events)
{
	static const struct {
		int units;
		const char *twist;
		bool staged;
	} runs[] = {{1, "SELECT 1", false},
		    {50, "SELECT 1", true},
		    {50, "CREATE UNIQUE INDEX ON ledger (account, event_time)", false}};
	int units = runs[_i].units;
	struct bed *bed = ledger_bed("created", 1);
	bed_set(bed, "postgres.lanes", "1");
	bed_set(bed, "batch.max_rows", "%d", STEP_EVENTS * units);
	bed_set(bed, "batch.max_age", "1h");
	bed_set(bed, "batch.adaptive", "off");
	bed_sql(bed, "%s", runs[_i].twist);
	struct worker *w = worker_start(bed, NULL);
	tell_step(bed, 0, units);
	ck_assert_int_eq(created(bed, "x", 100), units);
	ck_assert_int_eq(worker_metric(w, "memingest_rows_written_total", "op=\"insert\"") > 0,
			 runs[_i].staged);
	tell_step(bed, 1, units);
	ck_assert_int_eq(created(bed, "x", 100), units);
	ck_assert_int_eq(created(bed, "y", 90), units);
	tell_step(bed, 2, units);
	ck_assert_int_eq(created(bed, "y", 450), units);
	ck_assert_int_eq(created(bed, "z", 50), units);
	ck_assert_int_eq(created(bed, "w", 1), units);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM pg_class WHERE relname ="
				      " 'memingest_stage_ledger'"),
			 runs[_i].staged);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memingest.batches"), 3);
	worker_stop(w);
	model_check(bed);
	bed_free(bed);
}
END_TEST

/* Proves: an event that comes late because it was a dead letter has the time that it says. */
START_TEST(created_by_a_replay)
{
	struct bed *bed = ledger_bed("replayed", 1);
	bed_set(bed, "dlq.max_ratio", "1");
	bed_sql(bed, "ALTER TABLE ledger ADD CONSTRAINT seven CHECK (total <> 7)");
	tell(bed, "UPSERT", "r", 0, 70, 7);
	struct worker *w = worker_start(bed, NULL);
	bed_drain(bed, 30);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memingest.dead_letters"), 1);
	bed_sql(bed, "ALTER TABLE ledger DROP CONSTRAINT seven");
	tell(bed, "UPSERT", "r", 0, 80, 1);
	bed_drain(bed, 30);
	ck_assert_int_eq(created(bed, "r", 80), 1);
	expect(bed, 0, "dlq replay --stream ledger --yes", "1");
	bed_drain(bed, 30);
	ck_assert_int_eq(created(bed, "r", 70), 1);
	worker_stop(w);
	bed_free(bed);
}
END_TEST

/* --- indexes --- */

static int indexes(struct bed *bed)
{
	return (int)bed_int(bed, "SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid ="
				 " i.indexrelid WHERE i.indrelid = 'memory_entries'::regclass AND"
				 " i.indisvalid AND c.relname NOT LIKE '%%pkey' AND c.relname NOT"
				 " LIKE '%%search_xid%%'");
}

static bool has_index(struct bed *bed, const char *name)
{
	return bed_int(bed,
		       "SELECT count(*) FROM pg_index WHERE indexrelid = to_regclass('%s') AND"
		       " indisvalid",
		       name) == 1;
}

/*
 * Proves: --indexes makes what it says and drops nothing, a name that there is not is refused, and
 * an index that was not asked for is nothing to complain about.
 */
START_TEST(levels)
{
	static const char doc[] = "memory_entries_doc_id_idx";
	struct bed *bed = bed_new("levels");
	bed_stream(bed, "memory", 1);
	expect(bed, 0, "migrate --indexes none", "created table memory_entries");
	ck_assert_int_eq(indexes(bed), 0);
	expect(bed, 0, "check --online", "nothing to complain about");
	expect(bed, 0, "migrate --indexes none", "nothing to do");
	expect(bed, 64, "migrate --indexes lean,memory_entries_doc_idx", "did you mean");
	expect(bed, 64, "migrate --indexes some", "none of none, lean, all");
	ck_assert_int_eq(indexes(bed), 0);
	expect(bed, 0, "migrate --indexes none,memory_entries_doc_id_idx", "created index");
	ck_assert(has_index(bed, doc) && indexes(bed) == 1);
	expect(bed, 0, "migrate", "created index memory_entries_user_id_created_at_desc_idx");
	int lean = indexes(bed);
	ck_assert_int_gt(lean, 1);
	expect(bed, 0, "migrate --indexes lean", "nothing to do");
	expect(bed, 0, "migrate --indexes all", "created index memory_entries_role");
	ck_assert_int_gt(indexes(bed), lean);
	int all = indexes(bed);
	expect(bed, 0, "migrate --indexes none", "nothing to do");
	ck_assert_int_eq(indexes(bed), all);
	expect(bed, 0, "check --online", "nothing to complain about");
	bed_free(bed);
}
END_TEST

/* Over 64 MiB, so that an index is built behind the transaction. */
static void grow(struct bed *bed)
{
	bed_sql(bed, "INSERT INTO memory_entries (namespace, key, event_time, value, tags)"
		     " SELECT 'n', 'k' || i, now(), repeat('x', 7000), '{}'"
		     " FROM generate_series(1, 10000) i");
	ck_assert_int_gt(bed_int(bed, "SELECT pg_relation_size('memory_entries')"), 64 << 20);
}

static int spawn_migration(struct bed *bed)
{
	char log[200];
	snprintf(log, sizeof(log), "%s/migrate.log", bed->dir);
	bed_write_config(bed);
	const char *argv[] = {stack.program, "migrate", "-c", bed->config, NULL};
	return spawn(argv, NULL, log);
}

static bool builds(struct bed *bed)
{
	return bed_int(bed, "SELECT count(*) FROM pg_index WHERE indrelid ="
			    " 'memory_entries'::regclass AND NOT indisvalid") == 1;
}

/*
 * Proves: on a big table writers go on while an index is built, where a transaction that is open
 * keeps it waiting; a build that was ended leaves what the next migration clears away; and two
 * migrations at once both end well.
 */
START_TEST(on_a_big_table)
{
	struct bed *bed = bed_new("big");
	bed_stream(bed, "memory", 1);
	expect(bed, 0, "migrate --indexes none", "created");
	grow(bed);
	expect(bed, 0, "migrate --dry-run", "CREATE INDEX CONCURRENTLY");
	bed_sql(bed, "BEGIN; UPDATE memory_entries SET value = '' WHERE key = 'k1'");
	int pid = spawn_migration(bed);
	BED_WAIT(bed, 20, builds(bed));
	struct worker *w = worker_start(bed, NULL);
	json_t *event = json_pack("{s:I, s:s, s:s}", "event_time", (json_int_t)1, "namespace", "n",
				  "key", "new");
	bed_event(bed, "memory", 0, event);
	json_decref(event);
	bed_drain(bed, 20);
	worker_stop(w);
	ck_assert(builds(bed));
	bed_sql(bed, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE"
		     " application_name = 'memingest/migrate' AND datname = current_database()");
	ck_assert_int_ne(wait_exit(pid), 0);
	bed_sql(bed, "COMMIT");
	ck_assert(builds(bed));
	int pids[2] = {spawn_migration(bed), spawn_migration(bed)};
	for (size_t i = 0; i < ARRAY_LEN(pids); i++)
		ck_assert_int_eq(wait_exit(pids[i]), 0);
	ck_assert(has_index(bed, "memory_entries_user_id_created_at_desc_idx"));
	ck_assert(!builds(bed));
	expect(bed, 0, "migrate", "nothing to do");
	bed_free(bed);
}
END_TEST

/* Letters that do not compress, so that an index has to take them all. */
static void put_noise(char *text, size_t len)
{
	uint32_t x = 1;
	for (size_t i = 0; i + 1 < len; i++) {
		x = x * 1664525 + 1013904223;
		text[i] = (char)('a' + (x >> 24) % 26);
	}
	text[len - 1] = '\0';
}

/* A batch of two events of one key: the first with that value and user, the second without. */
static void tell_twice(struct bed *bed, const char *key, const char *value, const char *user)
{
	for (int i = 1; i <= 2; i++) {
		json_t *event = json_pack("{s:I, s:s, s:s, s:s, s:s}", "event_time", (json_int_t)i,
					  "namespace", "n", "key", key, "value",
					  i == 1 ? value : "", "user_id", i == 1 ? user : "u");
		bed_event(bed, "memory", 0, event);
		json_decref(event);
	}
	bed_drain(bed, 20);
}

static int batches(struct bed *bed, int merged, int superseded, int dead)
{
	return (int)bed_int(bed,
			    "SELECT count(*) FROM memingest.batches WHERE merged = %d AND"
			    " superseded = %d AND dead = %d",
			    merged, superseded, dead);
}

/*
 * Proves: with indexes, events of one key are folded as ever where what is long is in none of them;
 * and where it is, also by an index that is new, an event keeps its own verdict.
 */
START_TEST(long_values)
{
	char noise[5000];
	struct bed *bed = bed_new("long");
	put_noise(noise, sizeof(noise));
	bed_stream(bed, "memory", 1);
	bed_set(bed, "batch.max_rows", "2");
	bed_set(bed, "batch.max_age", "1h");
	bed_set(bed, "batch.adaptive", "off");
	bed_set(bed, "dlq.max_ratio", "1");
	expect(bed, 0, "migrate", "created index memory_entries_user_id");
	struct worker *w = worker_start(bed, NULL);
	tell_twice(bed, "a", noise, "u");
	ck_assert_int_eq(batches(bed, 1, 1, 0), 1);
	tell_twice(bed, "b", "", noise);
	ck_assert_int_eq(batches(bed, 1, 0, 1), 1);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memory_entries WHERE user_id = 'u'"),
			 2);
	worker_stop(w);
	bed_sql(bed, "CREATE INDEX ON memory_entries (value)");
	w = worker_start(bed, NULL);
	tell_twice(bed, "c", noise, "u");
	ck_assert_int_eq(batches(bed, 1, 0, 1), 2);
	worker_stop(w);
	bed_free(bed);
}
END_TEST

static void readers_tests(TCase *tc)
{
	tcase_add_loop_test(tc, created_by_events, 0, 3);
	tcase_add_test(tc, created_by_a_replay);
	tcase_add_test(tc, levels);
	tcase_add_test(tc, on_a_big_table);
	tcase_add_test(tc, long_values);
}
SYSTEM_SUITE("readers", 90, readers_tests)

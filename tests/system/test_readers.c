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
	bed_expect(bed, 0, "dlq replay --stream ledger --yes", "1");
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
	bed_expect(bed, 0, "migrate --indexes none", "created table memory_entries");
	ck_assert_int_eq(indexes(bed), 0);
	bed_expect(bed, 0, "check --online", "nothing to complain about");
	bed_expect(bed, 0, "migrate --indexes none", "nothing to do");
	bed_expect(bed, 64, "migrate --indexes lean,memory_entries_doc_idx", "did you mean");
	bed_expect(bed, 64, "migrate --indexes some", "none of none, lean, all");
	ck_assert_int_eq(indexes(bed), 0);
	bed_expect(bed, 0, "migrate --indexes none,memory_entries_doc_id_idx", "created index");
	ck_assert(has_index(bed, doc) && indexes(bed) == 1);
	bed_expect(bed, 0, "migrate", "created index memory_entries_user_id_created_at_desc_idx");
	int lean = indexes(bed);
	ck_assert_int_gt(lean, 1);
	bed_expect(bed, 0, "migrate --indexes lean", "nothing to do");
	bed_expect(bed, 0, "migrate --indexes all", "created index memory_entries_role");
	ck_assert_int_gt(indexes(bed), lean);
	int all = indexes(bed);
	bed_expect(bed, 0, "migrate --indexes none", "nothing to do");
	ck_assert_int_eq(indexes(bed), all);
	bed_expect(bed, 0, "check --online", "nothing to complain about");
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
	const char *argv[] = {stack.program, "migrate", "-c", bed->owner_config, NULL};
	return spawn(argv, NULL, log);
}

static bool builds(struct bed *bed)
{
	return bed_int(bed, "SELECT count(*) FROM pg_index WHERE indrelid ="
			    " 'memory_entries'::regclass AND NOT indisvalid") == 1;
}

static int migrations(struct bed *bed)
{
	return (int)bed_int(bed, "SELECT count(*) FROM pg_stat_activity WHERE application_name ="
				 " 'memingest/migrate' AND datname = current_database()");
}

/*
 * Proves: on a big table writers go on while an index is built, where a transaction that is open
 * keeps it waiting, for longer than lock_timeout; a build that was ended leaves what the next
 * migration clears away; and two migrations at once both end well.
 */
START_TEST(on_a_big_table)
{
	struct bed *bed = bed_new("big");
	bed_stream(bed, "memory", 1);
	bed_set(bed, "postgres.lock_timeout", "200ms");
	bed_expect(bed, 0, "migrate --indexes none", "created");
	grow(bed);
	bed_expect(bed, 0, "migrate --dry-run", "CREATE INDEX CONCURRENTLY");
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
	ck_assert_int_eq(migrations(bed), 1);
	bed_sql(bed, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE"
		     " application_name = 'memingest/migrate' AND datname = current_database()");
	ck_assert_int_ne(wait_exit(pid), 0);
	bed_sql(bed, "COMMIT");
	ck_assert(builds(bed));
	bed_expect(bed, 0, "migrate --dry-run", "DROP INDEX CONCURRENTLY IF EXISTS");
	int pids[2] = {spawn_migration(bed), spawn_migration(bed)};
	for (size_t i = 0; i < ARRAY_LEN(pids); i++)
		ck_assert_int_eq(wait_exit(pids[i]), 0);
	ck_assert(has_index(bed, "memory_entries_user_id_created_at_desc_idx"));
	ck_assert(!builds(bed));
	bed_expect(bed, 0, "migrate", "nothing to do");
	bed_free(bed);
}
END_TEST

/* The SQL of the first step of "migrate --json"; one document, and behind it at most an error. */
static char *late_steps(struct bed *bed, int status, const char *option, const char *value)
{
	const char *args[] = {"--json", option, value, NULL};
	struct buf out = {0};
	ck_assert_int_eq(bed_command(bed, "migrate", args, &out), status);
	json_error_t error;
	const char *text = strchr(buf_cstr(&out), '{');
	json_t *all = json_loads(text ? text : "", status ? JSON_DISABLE_EOF_CHECK : 0, &error),
	       *step = json_array_get(json_object_get(all, "steps"), 0);
	ck_assert_msg(all && json_is_true(json_object_get(all, "applied")), "%s: %s", error.text,
		      buf_cstr(&out));
	const char *sql = json_string_value(json_object_get(step, "sql"));
	char *copy = xstrdup(sql ? sql : "");
	json_decref(all);
	buf_free(&out);
	return copy;
}

/*
 * Proves: with --json there is one document also where indexes are built behind the transaction,
 * and where one of them fails it holds those that were built.
 */
START_TEST(late_as_json)
{
	struct bed *bed = bed_new("late");
	bed_stream(bed, "memory", 1);
	bed_expect(bed, 0, "migrate --indexes none", "created");
	grow(bed);
	char *sql = late_steps(bed, 0, "--indexes", "none,memory_entries_doc_id_idx");
	ck_assert(strstr(sql, "\"memory_entries_doc_id_idx\"") && !strstr(sql, "agent"));
	free(sql);
	bed_sql(bed, "UPDATE memory_entries SET agent_id = (SELECT string_agg(md5(i::text), '')"
		     " FROM generate_series(1, 400) i) WHERE key = 'k1'");
	sql = late_steps(bed, 65, "--indexes", "lean");
	ck_assert(strstr(sql, "user_id_created_at") && !strstr(sql, "agent"));
	ck_assert(has_index(bed, "memory_entries_user_id_created_at_desc_idx"));
	free(sql);
	bed_free(bed);
}
END_TEST

/*
 * Proves: an index of a partitioned table that an operator makes partition by partition, and which
 * is not valid until then, is left to him.
 */
START_TEST(by_hand_on_partitions)
{
	static const char name[] = "memory_entries_user_id_created_at_desc_idx";
	struct bed *bed = bed_new("byhand");
	bed_stream(bed, "memory", 1);
	bed_expect(bed, 0, "migrate --indexes none", "created");
	bed_sql(bed,
		"ALTER TABLE memory_entries RENAME TO old; ALTER INDEX memory_entries_pkey RENAME"
		" TO old_pkey; CREATE TABLE memory_entries (LIKE old INCLUDING ALL) PARTITION BY"
		" HASH (namespace); CREATE TABLE part PARTITION OF memory_entries FOR VALUES WITH"
		" (MODULUS 1, REMAINDER 0); ALTER TABLE memory_entries OWNER TO memingest_owner;"
		" ALTER TABLE part OWNER TO memingest_owner");
	bed_sql(bed, "CREATE INDEX %s ON ONLY memory_entries (user_id, created_at DESC)", name);
	bed_expect(bed, 0, "migrate --indexes none,memory_entries_user_id_created_at_desc_idx", "");
	ck_assert(builds(bed));
	bed_sql(bed,
		"CREATE INDEX p ON part (user_id, created_at DESC); ALTER INDEX %s ATTACH"
		" PARTITION p",
		name);
	bed_expect(bed, 0, "migrate --indexes none,memory_entries_user_id_created_at_desc_idx", "");
	ck_assert(has_index(bed, name));
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
	bed_expect(bed, 0, "migrate", "created index memory_entries_user_id");
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

/* --- docs/QUERIES.md --- */

/* A query of the page, and what the page says of its plan. */
struct shown {
	const char *at; /* where it stands */
	char *query, *plan;
};

/* The next one from *at on; false after the last. The caller frees both texts. */
static bool next_shown(const char **at, struct shown *q)
{
	static const char begin[] = "```sql\n", between[] = ";\n```\n\n```text\n", end[] = "\n```";
	const char *query = strstr(*at, begin);
	if (!query)
		return false;
	query += strlen(begin);
	const char *plan = strstr(query, between);
	ck_assert_msg(plan && plan < strstr(query, "\n\n#"), "no plan: %.200s", query);
	q->at = query;
	q->query = strndup(query, (size_t)(plan - query));
	plan += strlen(between);
	*at = strstr(plan, end);
	q->plan = strndup(plan, (size_t)(*at - plan));
	return true;
}

/* Prepared, since it may have the vector as a parameter. */
static void run_shown(struct bed *bed, const struct shown *q, const char *vector)
{
	struct buf plan = {0};
	bed_sql(bed, "PREPARE asked(text) AS %s", q->query);
	struct pg_rows *rows = bed_query(bed, "EXPLAIN (COSTS OFF) EXECUTE asked('%s')", vector);
	for (size_t i = 0; i < pg_rows_count(rows); i++)
		buf_printf(&plan, "%s\n", pg_value(rows, i, 0));
	pg_rows_free(rows);
	rows = bed_query(bed, "EXECUTE asked('%s')", vector);
	ck_assert_msg(pg_rows_count(rows) > 0, "no rows: %s", q->query);
	pg_rows_free(rows);
	bed_sql(bed, "DEALLOCATE asked");
	char *rest = NULL, *said = xstrdup(q->plan);
	size_t n = 0;
	for (char *word = strtok_r(said, " \n", &rest); word; word = strtok_r(NULL, " \n", &rest)) {
		size_t len = strlen(word);
		bool index = (len > 4 && strcmp(word + len - 4, "_idx") == 0) ||
			     (len > 5 && strcmp(word + len - 5, "_pkey") == 0);
		ck_assert_msg(!index || strstr(buf_cstr(&plan), word), "%s: not by %s: %.1000s",
			      q->query, word, buf_cstr(&plan));
		n += index;
	}
	ck_assert_msg(n > 0, "%s: the page names no index", q->query);
	free(said);
	buf_free(&plan);
}

/*
 * Proves: the queries of docs/QUERIES.md, as they stand there, bring rows by the indexes that the
 * page says, with those of level lean alone as far as it says so.
 */
START_TEST(queries)
{
	char *page = bed_read_file("docs/QUERIES.md"),
	     *rows = bed_read_file("tests/system/queries.sql");
	const char *at = page, *all = strstr(page, "## What the level all adds"),
		   *own = strstr(page, "## Of your own");
	struct bed *bed = bed_new("queries");
	struct shown q;
	size_t n = 0;
	ck_assert(all && own && all < own);
	bed_stream(bed, "memory", 1);
	bed_stream(bed, "pattern", 1);
	bed_stream(bed, "trajectory", 1);
	bed_expect(bed, 0, "migrate", "created");
	bed_sql(bed, "SET max_parallel_workers_per_gather = 0; SET memingest.rows = 20000");
	bed_sql(bed, "%s", rows);
	struct pg_rows *vector = bed_query(bed, "SELECT embedding FROM memory_entries LIMIT 1");
	for (; next_shown(&at, &q); n++) {
		if (all && q.at > all) {
			all = NULL;
			bed_expect(bed, 0, "migrate --indexes all", "created index");
		}
		if (own && q.at > own) {
			own = NULL;
			bed_sql(bed,
				"CREATE INDEX memory_entries_gin_to_tsvector_english_value_idx ON"
				" memory_entries USING gin (to_tsvector('english', value))");
		}
		run_shown(bed, &q, pg_value(vector, 0, 0));
		free(q.query);
		free(q.plan);
	}
	ck_assert(!all && !own);
	ck_assert_uint_gt(n, 20);
	pg_rows_free(vector);
	free(rows);
	free(page);
	bed_free(bed);
}
END_TEST

/* At an angle from the first axis. */
#define VECTOR_AT                                                                                  \
	"(SELECT array_agg(CASE d WHEN 1 THEN cos(%s) WHEN 2 THEN sin(%s) ELSE 0 END ORDER BY d)"  \
	" FROM generate_series(1, 384) d)::vector"

static int found(struct bed *bed, const char *query)
{
	struct pg_rows *rows = bed_query(bed, "%s", query);
	int n = (int)pg_rows_count(rows);
	pg_rows_free(rows);
	return n;
}

/*
 * Proves what docs/QUERIES.md says of a live HNSW index under a filter: of 100 rows that match it
 * gives none, with iterative scans ten, and so does the search of the schema.
 */
START_TEST(under_a_filter)
{
	char query[1024], search[512];
	struct bed *bed = bed_new("filter");
	bed_stream(bed, "memory", 1);
	bed_expect(bed, 0, "migrate --indexes none", "created");
	bed_sql(bed,
		"INSERT INTO memory_entries (namespace, key, event_time, value, tags, user_id,"
		" embedding) SELECT 'n', 'k' || i, now(), '', '{}', CASE WHEN i < 100 THEN 'u7' "
		"ELSE"
		" 'u' END, CASE WHEN i < 100 THEN " VECTOR_AT " ELSE " VECTOR_AT
		" END FROM generate_series(0, 1999) i",
		"1 + i / 1000.0", "1 + i / 1000.0", "i / 100000.0", "i / 100000.0");
	bed_sql(bed, "CREATE INDEX ON memory_entries USING hnsw (embedding vector_cosine_ops);"
		     "ANALYZE memory_entries; SET enable_seqscan = off");
	snprintf(query, sizeof(query),
		 "SELECT key FROM memory_entries WHERE user_id = 'u7' ORDER BY embedding "
		 "<=> " VECTOR_AT " LIMIT 10",
		 "0", "0");
	snprintf(search, sizeof(search),
		 "SELECT key FROM memingest.search_memory_entries(" VECTOR_AT
		 ", 10, user_id => 'u7')",
		 "0", "0");
	ck_assert_int_eq(found(bed, query), 0);
	bed_sql(bed, "SET hnsw.iterative_scan = strict_order");
	ck_assert_int_eq(found(bed, query), 10);
	ck_assert_int_eq(found(bed, search), 10);
	bed_free(bed);
}
END_TEST

static void readers_tests(TCase *tc)
{
	tcase_add_loop_test(tc, created_by_events, 0, 3);
	tcase_add_test(tc, created_by_a_replay);
	tcase_add_test(tc, levels);
	tcase_add_test(tc, on_a_big_table);
	tcase_add_test(tc, late_as_json);
	tcase_add_test(tc, by_hand_on_partitions);
	tcase_add_test(tc, long_values);
	tcase_add_test(tc, queries);
	tcase_add_test(tc, under_a_filter);
}
SYSTEM_SUITE("readers", 120, readers_tests)

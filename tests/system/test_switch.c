/*
 * test_switch.c - a table is searched by vectors of one model, then by those of another, and back:
 * whichever column is live, each row is found by its own vector, and by that column's alone.
 *
 * The server is a stand-in (vectors.h), whose vector of a text is a hash of model and text; both
 * have one dimension, so a search that goes to the wrong column finds something else. Rows come by
 * SQL where a worker would add nothing. Not here: how vectors come into the second column
 * (test_two_models.c), and what a search does alone (test_search.c).
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/pg.h"
#include "stack.h"
#include "system.h"
#include "vectors.h"

enum { ROWS = 400 };

/* From the next start on, as the reader's schema. */
static void use_schema(struct bed *bed, const char *file)
{
	snprintf(bed->streams[1].schema_path, sizeof(bed->streams[1].schema_path),
		 "tests/schemas/%s_event.avsc", file);
}

/* The table "asked", searched by "spot" of the model "stub"; its rows are in segments. */
static struct bed *one_column(const char *name, struct vectors **v)
{
	struct bed *bed = vectors_bed(name);
	*v = vectors_start(bed);
	bed_set(bed, "embed.next.url", "http://127.0.0.1:%u/v1", (*v)->port);
	bed_set(bed, "index.tail_rows", "100");
	bed_set(bed, "index.segment_rows", "1000");
	bed_set(bed, "index.cores", "1");
	bed_stream_files(bed, "asked", 1, "tests/schemas/asked_event.avsc", NULL);
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	bed_sql(bed,
		"INSERT INTO asked (event_time, id, tenant, rank, note, spot) SELECT now(), 'id-'"
		" || i, 't' || i %% 3, i %% 5, 'note ' || i, vector_of('tell: note ' || i, 8)"
		" FROM generate_series(1, %d) i",
		ROWS);
	bed_expect(bed, 0, "index build asked", "asked: seal 400 rows");
	return bed;
}

/*
 * And by "fresh" of the model "next", which has all its vectors, as docs/EMBEDDINGS.md goes: filled
 * before it is searched, so the first column's segments are what they were.
 */
static struct bed *two_columns(const char *name, struct vectors **v)
{
	struct bed *bed = one_column(name, v);
	use_schema(bed, "asked_filled");
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	bed_expect(bed, 0, "embed asked --model next", "400 of 400 rows");
	ck_assert_int_eq(bed_int(bed, "SELECT unindexed_rows FROM memingest.scope_asked()"), 0);
	use_schema(bed, "asked_twice");
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	return bed;
}

/* Rows that a search for their vector by that model does not bring, of that function. */
static int64_t missed_by(struct bed *bed, const char *function, const char *prefix)
{
	return bed_int(bed,
		       "SELECT count(*) FROM asked t WHERE NOT EXISTS (SELECT FROM memingest.%s("
		       "vector_of('%s: ' || t.note, 8), 1) s WHERE s.id = t.id AND s.distance <"
		       " 1e-6)",
		       function, prefix);
}

/* What an application gets, by each model's vectors: the live one's find all, the other's none. */
static void expect_live(struct bed *bed, const char *column, const char *model)
{
	bool old = strcmp(column, "spot") == 0;
	int64_t all = bed_int(bed, "SELECT count(*) FROM asked");
	ck_assert_int_eq(missed_by(bed, "search_asked", old ? "tell" : "next"), 0);
	ck_assert_int_eq(missed_by(bed, "search_asked", old ? "next" : "tell"), all);
	ck_assert_int_eq(missed_by(bed, "candidates_asked", old ? "tell" : "next"), 0);
	ck_assert_int_eq(missed_by(bed, "search_asked_by_spot", "tell"), 0);
	ck_assert_int_eq(missed_by(bed, "search_asked_by_fresh", "next"), 0);
	ck_assert_int_eq(bed_int(bed,
				 "SELECT count(*) FROM memingest.live_asked() WHERE"
				 " \"column\" = '%s' AND model = '%s'",
				 column, model),
			 1);
	ck_assert_int_eq(bed_int(bed,
				 "SELECT count(*) FROM memingest.search_asked(vector_of('%s: "
				 "note 7', 8), 400, tenant => 't1', rank => 2)",
				 old ? "tell" : "next"),
			 bed_int(bed, "SELECT count(*) FROM asked WHERE tenant = 't1' AND rank ="
				      " 2"));
}

/* Rows that are in segments of each column. */
static int64_t sealed(struct bed *bed, const char *column)
{
	return bed_int(bed, "SELECT sealed_rows FROM memingest.scope_asked_by_%s()", column);
}

/*
 * Proves the way of an operator, and back: searches stay with the first column while the second is
 * filled and its segments are built; one command, and they go to the second; the same takes them
 * back, as rows that came meanwhile by a worker are in both; "search" asks the live column's model.
 */
START_TEST(there_and_back)
{
	struct vectors *v;
	struct bed *bed = one_column("there", &v);
	bed_expect(bed, 78, "index use asked fresh",
		   "column fresh of stream asked is not searched");
	use_schema(bed, "asked_twice");
	bed_sql(bed, "ALTER TABLE memingest.searches DROP COLUMN live"); /* made before there was */
	bed_expect(bed, 0, "migrate", "created column live of memingest.searches");
	ck_assert_int_eq(missed_by(bed, "search_asked", "tell"), 0);
	bed_expect(bed, 64, "index use asked fresh", "400 rows have no vector in column fresh");
	bed_expect(bed, 0, "embed asked --model next", "400 of 400 rows");
	bed_expect(bed, 64, "index use asked fresh", "400 rows are in no segment of column fresh");
	expect_live(bed, "spot", "stub");
	bed_expect(bed, 0, "index build asked", "asked, column fresh: seal 400 rows");
	expect_live(bed, "spot", "stub");
	ck_assert_int_eq(sealed(bed, "fresh"), ROWS);
	bed_expect(bed, 0, "index use asked fresh",
		   "asked: searches go from now on to column "
		   "fresh, model next");
	expect_live(bed, "fresh", "next");
	/* rows that were passed over when the segments were built */
	bed_sql(bed, "UPDATE asked SET fresh = NULL WHERE rank = 2");
	ck_assert_int_eq(missed_by(bed, "search_asked", "next"), ROWS / 5);
	bed_expect(bed, 0, "embed asked --model next", "80 of 80 rows");
	expect_live(bed, "fresh", "next");
	bed_expect(bed, 0, "index status asked", "live: fresh");
	bed_expect(bed, 0, "index status asked", "not live: spot");
	bed_expect(bed, 0, "check --online", "the search of table asked is there");
	struct worker *w = worker_start(bed, NULL);
	for (int i = 1; i <= 150; i++) { /* old rows with new texts, and new ones */
		json_t *e = json_pack("{s:I, s:o, s:s, s:o, s:i, s:n}", "event_time",
				      (json_int_t)4000000000000000, "id",
				      json_sprintf("id-%d", 350 + i), "tenant", "t1", "note",
				      json_sprintf("later %d", i), "rank", i % 5, "spot");
		bed_event(bed, "asked", 0, e);
		json_decref(e);
	}
	bed_drain(bed, 30);
	expect_live(bed, "fresh", "next");
	BED_WAIT(bed, 30,
		 bed_int(bed, "SELECT unindexed_rows FROM memingest.scope_asked_by_spot()") < 100);
	worker_stop(w);
	bed_expect(bed, 0, "index use asked spot", "to column spot, model stub");
	expect_live(bed, "spot", "stub");
	bed_expect(bed, 0, "index use asked spot", "go already to column spot");
	vectors_over(bed, v, NULL);
}
END_TEST

/* Proves: the question of "search" becomes a vector by the live column's model, or the named's. */
START_TEST(asked_by_its_model)
{
	struct vectors *v;
	struct bed *bed = two_columns("asksby", &v);
	/* so that a question without its prefix is the text of a row */
	bed_sql(bed, "UPDATE asked SET spot = vector_of('ask: ' || note, 8), search_xid = DEFAULT");
	bed_expect(bed, 0, "search asked later --json", "\"rank\": 1,");
	int others = v->others, inputs = v->inputs;
	bed_sql(bed,
		"INSERT INTO asked (event_time, id, note, spot, fresh) VALUES (now(), 'a', 'tea',"
		" vector_of('ask: tea', 8), vector_of('next: ', 8)), (now(), 'b', 'tea',"
		" vector_of('ask: ', 8), vector_of('next: tea', 8))");
	bed_expect(bed, 0, "search asked tea --k 1", "  a  tea");
	ck_assert_int_eq(v->others, others);
	bed_expect(bed, 0, "search asked tea --k 1 --column fresh", "  b  tea");
	ck_assert_int_eq(v->others, others + 1);
	bed_expect(bed, 0, "index use asked fresh --yes", "to column fresh");
	bed_expect(bed, 0, "search asked tea --k 1", "  b  tea");
	bed_expect(bed, 0, "search asked tea --k 1 --column spot", "  a  tea");
	ck_assert_int_eq(v->inputs, inputs + 4);
	bed_expect(bed, 64, "search asked tea --column note", "these are: spot, fresh");
	char *said = bed_says(bed, 0, "search asked tea --k 1 --json");
	ck_assert_ptr_null(strstr(said, "\"spot\""));
	ck_assert_ptr_null(strstr(said, "\"fresh\""));
	free(said);
	vectors_over(bed, v, NULL);
}
END_TEST

/* Searches on and on, each as an application may: by the model that is live in the statement. */
struct searcher {
	pthread_t thread;
	const char *dsn;
	atomic_bool stop;
	atomic_int rounds;
	int64_t missed, by_next;
	struct err err;
};

static void *search_on(void *arg)
{
	struct searcher *s = arg;
	struct config config = {.pg_dsn = s->dsn,
				.pg_statement_timeout_us = 60 * US_PER_S,
				.pg_lock_timeout_us = 60 * US_PER_S,
				.pg_connect_timeout_us = 5 * US_PER_S};
	struct pg *pg = pg_connect(&config, "test", -1, &s->err);
	for (; pg && !s->stop && !s->err.text[0]; s->rounds++) {
		struct pg_rows *rows = pg_query(
			pg,
			"SELECT count(*) FILTER (WHERE s.id IS DISTINCT FROM t.id OR s.distance >"
			" 1e-6), count(*) FILTER (WHERE l.model = 'next') FROM"
			" memingest.live_asked() l CROSS JOIN (SELECT * FROM asked WHERE"
			" hashtext(id) % 7 = 0) t LEFT JOIN LATERAL memingest.search_asked("
			"vector_of(CASE l.model WHEN 'next' THEN 'next: ' ELSE 'tell: ' END ||"
			" t.note, 8), 1) s ON true",
			NULL, 0, &s->err);
		if (rows) {
			s->missed += pg_int(rows, 0, 0);
			s->by_next += pg_int(rows, 0, 1) > 0;
		}
		pg_rows_free(rows);
	}
	pg_free(pg);
	return NULL;
}

/*
 * Proves: switched to and fro while searches run, each of them goes to one column as a whole, the
 * one that its statement is told, and misses nothing; a transaction that reads one snapshot stays
 * with the column that was live when it began.
 */
START_TEST(switched_meanwhile)
{
	struct vectors *v;
	struct bed *bed = two_columns("meanwhile", &v);
	bed_expect(bed, 0, "index build asked", "asked, column fresh: seal 400 rows");
	struct searcher s = {.dsn = bed->dsn};
	ck_assert_int_eq(pthread_create(&s.thread, NULL, search_on, &s), 0);
	for (int i = 0; i < 12; i++) {
		int before = s.rounds;
		bed_expect(bed, 0, i % 2 ? "index use asked spot" : "index use asked fresh",
			   "from now on");
		BED_WAIT(bed, 20, s.rounds > before || s.stop);
	}
	s.stop = true;
	pthread_join(s.thread, NULL);
	ck_assert_msg(!s.err.text[0], "%s", s.err.text);
	ck_assert_int_eq(s.missed, 0);
	ck_assert_int_gt(s.by_next, 2);
	ck_assert_int_gt(s.rounds - s.by_next, 2);
	bed_sql(bed, "BEGIN ISOLATION LEVEL REPEATABLE READ");
	ck_assert_int_eq(missed_by(bed, "search_asked", "tell"), 0);
	bed_expect(bed, 0, "index use asked fresh", "from now on");
	ck_assert_int_eq(missed_by(bed, "search_asked", "tell"), 0);
	bed_sql(bed, "COMMIT");
	expect_live(bed, "fresh", "next");
	vectors_over(bed, v, NULL);
}
END_TEST

/*
 * Proves: killed while the second column's segment is built and entered, nothing is missed by
 * either column, and the next build makes it.
 */
START_TEST(killed_while_built)
{
	struct vectors *v;
	struct bed *bed = two_columns("switchkill", &v);
	const char *const argv[] = {stack.program, "index",     "build", "asked",
				    "-c",          bed->config, NULL};
	char log[200];
	snprintf(log, sizeof(log), "%s/build.log", bed->dir);
	bed_sql(bed, "BEGIN");
	bed_sql(bed, "LOCK TABLE memingest.segments IN SHARE MODE");
	int pid = spawn(argv, NULL, log);
	BED_WAIT(bed, 30,
		 bed_int(bed, "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation ="
			      " 'memingest.segments'::regclass") == 1);
	kill(pid, SIGKILL);
	ck_assert_int_eq(wait_exit(pid), 128 + SIGKILL);
	bed_sql(bed, "COMMIT");
	expect_live(bed, "spot", "stub");
	ck_assert_int_eq(sealed(bed, "fresh"), 0);
	bed_expect(bed, 0, "index build asked", "asked, column fresh: seal 400 rows");
	bed_expect(bed, 0, "index use asked fresh", "from now on");
	expect_live(bed, "fresh", "next");
	vectors_over(bed, v, NULL);
}
END_TEST

/*
 * Proves: the live column's search is not dropped alone, the other one's is; when the first field
 * has left the schema, the second one's segments are what they were and searches go on with them,
 * under the names that they have always had.
 */
START_TEST(first_leaves)
{
	struct vectors *v;
	struct bed *bed = two_columns("leaves", &v);
	bed_expect(bed, 0, "index build asked", "asked, column fresh: seal 400 rows");
	bed_expect(bed, 64, "index drop asked --column spot",
		   "the search of column spot of stream");
	bed_expect(bed, 78, "index drop asked --column spot --yes", "searches go to column spot");
	bed_expect(bed, 0, "index use asked fresh", "from now on");
	int64_t built = bed_int(bed, "SELECT sum(segment) FROM memingest.segments WHERE \"table\""
				     " LIKE '%%/next'");
	bed_expect(bed, 0, "index drop asked --column spot --yes", "asked: dropped.");
	ck_assert_int_eq(missed_by(bed, "search_asked", "next"), 0);
	use_schema(bed, "asked_next");
	bed_expect(bed, 0, "migrate", "dropped the search functions of one column of asked");
	bed_expect(bed, 0, "check --online", "the search of table asked is there");
	ck_assert_int_eq(missed_by(bed, "search_asked", "next"), 0);
	ck_assert_int_eq(bed_int(bed, "SELECT unindexed_rows FROM memingest.scope_asked()"), 0);
	ck_assert_int_eq(bed_int(bed, "SELECT sum(segment) FROM memingest.segments"), built);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memingest.live_asked() WHERE model ="
				      " 'next'"),
			 1);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM pg_proc WHERE proname LIKE"
				      " '%%asked_by_%%'"),
			 0);
	bed_expect(bed, 0, "migrate", "nothing to do");
	vectors_over(bed, v, NULL);
}
END_TEST

static void switch_tests(TCase *tc)
{
	tcase_add_test(tc, there_and_back);
	tcase_add_test(tc, asked_by_its_model);
	tcase_add_test(tc, switched_meanwhile);
	tcase_add_test(tc, killed_while_built);
	tcase_add_test(tc, first_leaves);
}

SYSTEM_SUITE("switch", 60, switch_tests)

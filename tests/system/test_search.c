/*
 * test_search.c - searches by nearness: what is committed is found, by its vector of now, once.
 *
 * A row is looked for by its own vector, which no other row has (near.h). Not here: what crashes,
 * other sessions and a standby do to it (test_search_faults.c), and rights (test_search_use.c).
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bed.h"
#include "near.h"
#include "system.h"

/* --- events --- */

/* A vector that depends on the number and the version alone, and on each of their bits. */
static json_t *vector_of(int number, int version)
{
	json_t *v = json_array();
	uint64_t h =
		(uint64_t)number * 0x9e3779b97f4a7c15u + (uint64_t)version * 0xbf58476d1ce4e5b9u;
	for (int i = 0; i < 8; i++) {
		h = (h ^ (h >> 29)) * 0x94d049bb133111ebu + 1;
		json_array_append_new(v, json_real((double)(int32_t)(h >> 32) / INT32_MAX));
	}
	return v;
}

static void send(struct bed *bed, int number, int version, const char *op)
{
	char id[32], tenant[16];
	snprintf(id, sizeof(id), "id-%d", number);
	snprintf(tenant, sizeof(tenant), "t%d", number % 5);
	json_t *e = json_pack("{s:s, s:I, s:s, s:s, s:o}", "op", op, "event_time",
			      (json_int_t)1750000000000000 + version, "id", id, "tenant", tenant,
			      "spot", vector_of(number, version));
	bed_event(bed, "near", number % 2, e);
	json_decref(e);
}

static void send_rows(struct bed *bed, int from, int to, int version)
{
	for (int i = from; i < to; i++)
		send(bed, i, version, "UPSERT");
	bed_flush(bed);
}

/* The same with the filter; and rows of other tenants that come all the same. */
static int64_t missed_by_tenant(struct bed *bed)
{
	return bed_int(
		bed,
		"SELECT count(*) FROM near t WHERE spot IS NOT NULL AND tenant IS NOT NULL "
		"AND hashtext(id) %% 5 = 0 AND ((SELECT count(*) FILTER (WHERE s.id = t.id) FROM "
		"memingest.search_near(t.spot, 3, tenant => t.tenant) s) <> 1 OR EXISTS "
		"(SELECT FROM memingest.search_near(t.spot, 3, tenant => t.tenant) s WHERE "
		"s.tenant <> t.tenant))");
}

/* --- tests --- */

/*
 * Proves: a row is found from its commit on, by a search that begins right after it, while the
 * worker seals, merges and rewrites; changed ones by their new vector alone.
 */
START_TEST(found_at_commit)
{
	struct bed *bed = near_bed("found");
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	struct worker *w = worker_start(bed, NULL);
	for (int round = 0; round < 10; round++) {
		send_rows(bed, round * 250, round * 250 + 250, 0);
		send_rows(bed, 0, round * 20, round); /* and changes of old ones */
		bed_drain(bed, 30);
		ck_assert_int_eq(near_missed_of(bed, "updated_at > now() - interval '2 s'"), 0);
	}
	ck_assert_int_eq(missed_by_tenant(bed), 0);
	BED_WAIT(bed, 30, near_unindexed(bed) < 200);
	ck_assert_int_ge(near_live(bed), 1);
	ck_assert_int_eq(near_missed(bed), 0);
	ck_assert_double_gt(worker_metric(w, "memingest_search_built_rows_total", NULL), 2000);
	worker_stop(w);
	near_no_leftovers(bed);
	bed_free(bed);
}
END_TEST

/*
 * Proves: a search sees a row as it is: not where it was before, not twice, not once it is gone;
 * under a changed filter; and never one without a vector. Whether in segments or not.
 */
START_TEST(as_it_is_now)
{
	struct bed *bed = near_bed("now");
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	struct worker *w = worker_start(bed, (const char *[]){"--set", "index.when=never", NULL});
	send_rows(bed, 0, 1500, 0);
	bed_drain(bed, 30);
	near_build(bed);
	ck_assert_int_eq(near_unindexed(bed), 0);
	for (int again = 0; again < 2; again++) {
		send_rows(bed, 0, 300, 1 + again);
		for (int i = 300; i < 400; i++)
			send(bed, i, 1 + again, again ? "UPSERT" : "DELETE");
		bed_flush(bed);
		bed_drain(bed, 30);
		bed_sql(bed, "UPDATE near SET tenant = 'moved', search_xid = DEFAULT WHERE id IN "
			     "('id-700', 'id-701')");
		bed_sql(bed,
			"UPDATE near SET spot = NULL, search_xid = DEFAULT WHERE id = 'id-800'");
		ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM near"), again ? 1500 : 1400);
		ck_assert_int_eq(near_missed(bed), 0);
		ck_assert_int_eq(missed_by_tenant(bed), 0);
		ck_assert_int_eq(bed_int(bed, "SELECT count(*) - count(DISTINCT id) FROM "
					      "memingest.search_near('[1,1,1,1,1,1,1,1]', 2000)"),
				 0);
		ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM "
					      "memingest.search_near('[1,1,1,1,1,1,1,1]', 2000)"),
				 again ? 1499 : 1399);
		if (again)
			near_build(bed);
	}
	worker_stop(w);
	bed_free(bed);
}
END_TEST

/*
 * Proves: rows that are put back with the search_xid that they had, into a segment that has been
 * built without them, are found once the segment's rows have been counted, which upkeep does too.
 */
START_TEST(put_back)
{
	struct bed *bed = near_bed("back");
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	near_insert(bed, 0, 600);
	near_build(bed);
	bed_sql(bed, "CREATE TABLE kept AS SELECT * FROM near");
	bed_sql(bed, "DELETE FROM near WHERE hashtext(id) %% 2 = 0");
	ck_assert_int_eq(bed_command(bed, "index", (const char *[]){"rewrite", NULL}, NULL), 0);
	bed_sql(bed, "INSERT INTO near SELECT * FROM kept ON CONFLICT DO NOTHING");
	ck_assert_int_gt(near_missed(bed), 0);
	ck_assert_int_eq(bed_command(bed, "index", (const char *[]){"rewrite", NULL}, NULL), 0);
	ck_assert_int_eq(near_missed(bed), 0);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memingest.segments WHERE state = 'live'"
				      " AND stale > 0"),
			 0);
	bed_free(bed);
}
END_TEST

/*
 * Proves: a transaction that is older than segments, or than their end, searches in its own
 * snapshot; one that holds rows back for long holds up no sealing, and its rows are found once it
 * has committed.
 */
START_TEST(old_transactions)
{
	struct bed *bed = near_bed("older");
	struct err err = {0};
	struct config config = {.pg_dsn = bed->dsn,
				.pg_statement_timeout_us = 60 * US_PER_S,
				.pg_lock_timeout_us = 60 * US_PER_S,
				.pg_connect_timeout_us = 5 * US_PER_S};
	struct pg *writer = pg_connect(&config, "test", -1, &err),
		  *reader = pg_connect(&config, "test", -1, &err);
	ck_assert_ptr_nonnull(writer);
	ck_assert_ptr_nonnull(reader);
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	near_insert(bed, 0, 500);
	near_build(bed);
	ck_assert(pg_exec(writer,
			  "BEGIN; INSERT INTO near (event_time, id, tenant, spot) VALUES "
			  "(now(), 'late', 't1', '[9,-8,7,-6,5,-4,3,-2]')",
			  NULL, 0, &err));
	near_insert(bed, 500, 1000);
	ck_assert(pg_exec(reader,
			  "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM near", NULL,
			  0, &err));
	near_insert(bed, 1000, 1500);
	near_build(bed);
	ck_assert_int_eq(near_unindexed(bed), 0);
	ck_assert(pg_exec(writer, "COMMIT", NULL, 0, &err));
	ck_assert_int_eq(near_missed(bed), 0);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM near"), 1501);
	bed_sql(bed, "UPDATE near SET note = 'same vector'");
	ck_assert_int_eq(near_unindexed(bed), 1);
	near_insert(bed, 1500, 1700);
	ck_assert_int_eq(bed_command(bed, "index", (const char *[]){"rewrite", NULL}, NULL), 0);
	bed_sql(bed, "DELETE FROM near WHERE id < 'id-1'");
	ck_assert_int_eq(bed_command(bed, "index", (const char *[]){"rewrite", NULL}, NULL), 0);
	for (int dropped = 0; dropped < 2; dropped++) {
		struct pg_rows *rows =
			pg_query(reader,
				 "SELECT count(*), (SELECT count(*) FROM near t WHERE "
				 "NOT EXISTS (SELECT FROM "
				 "memingest.candidates_near(t.spot, 3) c WHERE c.id = "
				 "t.id)) FROM memingest.search_near("
				 "'[1,1,1,1,1,1,1,1]', 3000)",
				 NULL, 0, &err);
		ck_assert_msg(rows != NULL, "%s", err.text);
		ck_assert_int_eq(pg_int(rows, 0, 0), 1000);
		ck_assert_int_eq(pg_int(rows, 0, 1), 0);
		pg_rows_free(rows);
		ck_assert(pg_exec(reader, "SAVEPOINT s", NULL, 0, &err));
	}
	pg_free(writer);
	pg_free(reader);
	ck_assert_int_eq(near_missed(bed), 0);
	bed_free(bed);
}
END_TEST

/*
 * Proves: a segment that somebody dropped costs time and no row; upkeep builds it again. What a
 * crash left between building and publishing is published or dropped.
 */
START_TEST(lost_and_half_done)
{
	struct bed *bed = near_bed("lost");
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	near_insert(bed, 0, 600);
	near_build(bed);
	near_insert(bed, 600, 1200);
	near_build(bed);
	bed_sql(bed, "DROP TABLE memingest.near_segment_1");
	ck_assert_int_eq(near_missed(bed), 0);
	near_build(bed);
	near_no_leftovers(bed);
	ck_assert_int_eq(near_missed(bed), 0);
	ck_assert_int_eq(bed_int(bed,
				 "SELECT count(*) FROM memingest.segments WHERE state = 'live' "
				 "AND segment > 2"),
			 1);
	/* built and not published */
	bed_sql(bed, "UPDATE memingest.segments SET state = 'built' WHERE segment = 2");
	bed_sql(bed, "UPDATE memingest.searches SET sealed = (SELECT after FROM memingest.segments "
		     "WHERE segment = 2)");
	ck_assert_int_eq(near_missed(bed), 0);
	near_build(bed);
	ck_assert_int_eq(near_unindexed(bed), 0);
	/* a replacement that was built and not published */
	bed_sql(bed,
		"CREATE TABLE memingest.near_segment_90 (LIKE memingest.near_segments INCLUDING "
		"CONSTRAINTS); ALTER TABLE memingest.near_segments ATTACH PARTITION "
		"memingest.near_segment_90 FOR VALUES IN (90); INSERT INTO memingest.segments "
		"(\"table\", segment, state, after, upto, rows, build_time) SELECT \"table\", "
		"90, 'built', after, upto, rows, build_time FROM memingest.segments WHERE "
		"segment = 3");
	ck_assert_int_eq(near_missed(bed), 0);
	near_build(bed);
	near_no_leftovers(bed);
	ck_assert_int_eq(near_missed(bed), 0);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memingest.segments WHERE segment = 90"),
			 0);
	bed_free(bed);
}
END_TEST

/*
 * Proves: a worker that is killed while it builds leaves nothing behind that matters, five times
 * over.
 */
START_TEST(killed_while_building)
{
	struct bed *bed = near_bed("killed");
	bed_set(bed, "index.tail_rows", "3000");
	bed_set(bed, "index.segment_rows", "100000");
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	for (int round = 0; round < 5; round++) {
		near_insert(bed, round * 5000, round * 5000 + 5000);
		struct worker *w = worker_start(bed, NULL);
		BED_WAIT(bed, 30,
			 bed_int(bed, "SELECT count(*) FROM pg_stat_activity WHERE datname = "
				      "current_database() AND application_name = "
				      "'memingest/indexer' AND state = 'active' AND query ~ "
				      "'^CREATE (TABLE|INDEX)'") > 0);
		usleep((useconds_t)(round * 100000));
		worker_kill(w);
		ck_assert_int_eq(near_missed_of(bed, "hashtext(id) % 61 = 0"), 0);
	}
	near_build(bed);
	ck_assert_int_eq(near_unindexed(bed), 0);
	ck_assert_int_eq(near_missed_of(bed, "hashtext(id) % 31 = 0"), 0);
	near_no_leftovers(bed);
	bed_free(bed);
}
END_TEST

/*
 * Proves: a table that was full before it was searched is adopted piece by piece; before, between
 * and after, all is found; changes meanwhile are, too.
 */
START_TEST(adopted)
{
	struct bed *bed = near_bed("adopted");
	bed_set(bed, "index.segment_rows", "1000");
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	near_insert(bed, 0, 2500);
	ck_assert_int_eq(
		bed_command(bed, "index", (const char *[]){"drop", "near", "--yes", NULL}, NULL),
		0);
	ck_assert_int_eq(bed_int(bed,
				 "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid "
				 "= relnamespace WHERE nspname = 'memingest' AND relname LIKE "
				 "'%%near%%'"),
			 0);
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	ck_assert_int_eq(near_missed(bed), 0);
	ck_assert_int_eq(near_unindexed(bed), 2500);
	struct worker *w = worker_start(bed, NULL);
	BED_WAIT(bed, 30, bed_int(bed, "SELECT count(*) FROM memingest.segments") > 0);
	worker_kill(w);
	bed_sql(bed, "UPDATE near SET spot = '[3,1,4,1,5,9,2,6]', search_xid = DEFAULT WHERE id = "
		     "'id-7'; DELETE FROM near WHERE id = 'id-8'");
	ck_assert_int_eq(near_missed(bed), 0);
	near_build(bed);
	ck_assert_int_eq(near_unindexed(bed), 0);
	ck_assert_int_eq(near_missed(bed), 0);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memingest.search_near("
				      "'[1,1,1,1,1,1,1,1]', 3000)"),
			 2499);
	ck_assert_int_eq(near_live(bed), 4); /* three of before, one of the change */
	near_no_leftovers(bed);
	bed_free(bed);
}
END_TEST

/*
 * Proves: where a segment ends before the last transaction, as it would have too many rows, those
 * of the next one are found.
 */
START_TEST(cut_between)
{
	struct bed *bed = near_bed("cut");
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	near_insert(bed, 0, 900);
	near_insert(bed, 900, 1050);
	struct worker *w = worker_start(bed, NULL);
	BED_WAIT(bed, 30, near_unindexed(bed) == 150);
	ck_assert_int_eq(near_missed(bed), 0);
	worker_stop(w);
	bed_free(bed);
}
END_TEST

/*
 * Proves: in a cluster whose transactions are younger than those that the segments were made by
 * (a dump that was restored), searches read all rows, and migrate begins anew.
 */
START_TEST(restored_elsewhere)
{
	struct bed *bed = near_bed("restored");
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	near_insert(bed, 0, 500);
	near_build(bed);
	bed_sql(bed,
		"UPDATE memingest.searches SET system_id = 1, sealed = '900000000:900000000:'");
	bed_sql(bed, "UPDATE near SET search_xid = '899999999'");
	near_insert(bed, 500, 800);
	ck_assert_int_eq(near_missed(bed), 0);
	struct worker *w = worker_start(bed, NULL);
	BED_WAIT(bed, 20,
		 bed_int(bed, "SELECT count(*) FROM memingest.searches WHERE sealed IS NULL"));
	worker_stop(w);
	ck_assert_int_eq(near_missed(bed), 0);
	ck_assert_int_eq(bed_command(bed, "index", (const char *[]){"build", NULL}, NULL), 78);
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	near_build(bed);
	ck_assert_int_eq(near_missed(bed), 0);
	ck_assert_int_eq(near_unindexed(bed), 0);
	bed_free(bed);
}
END_TEST

/*
 * Proves: freshness leaves out what it says and no more, and says how much; an unknown one is
 * refused. Small segments are merged; what is replaced is dropped.
 */
START_TEST(fresh_and_merged)
{
	struct bed *bed = near_bed("fresh");
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	for (int i = 0; i < 10; i++) {
		near_insert(bed, i * 210, i * 210 + 210);
		near_build(bed);
	}
	ck_assert_int_lt(near_live(bed), 8);
	near_insert(bed, 2100, 2200);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memingest.search_near("
				      "'[1,1,1,1,1,1,1,1]', 3000, freshness => 'indexed')"),
			 2100);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memingest.search_near("
				      "'[1,1,1,1,1,1,1,1]', 3000, freshness => 'bounded(30)')"),
			 2130);
	ck_assert_int_eq(bed_int(bed, "SELECT skipped_rows FROM memingest.scope_near("
				      "'bounded(30)')"),
			 70);
	bed_sql(bed,
		"DO $$ BEGIN PERFORM * FROM memingest.search_near('[1,1,1,1,1,1,1,1]', freshness "
		"=> 'fresh'); RAISE 'taken'; EXCEPTION WHEN invalid_parameter_value THEN END $$");
	bed_sql(bed,
		"UPDATE memingest.segments SET changed_at = '2000-01-01' WHERE state = 'dead'");
	near_build(bed);
	ck_assert_int_eq(
		bed_int(bed, "SELECT count(*) FROM memingest.segments WHERE state = 'dead'"), 0);
	near_no_leftovers(bed);
	ck_assert_int_eq(near_missed(bed), 0);
	bed_free(bed);
}
END_TEST

/*
 * Proves: a worker that is told to stop while its indexer waits for the database ends at once and
 * in peace: what it gave up for that is no failure, in its log.
 */
START_TEST(stopped_in_a_look)
{
	struct bed *bed = near_bed("look");
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	near_insert(bed, 0, 300);
	struct worker *w = worker_start(bed, NULL);
	BED_WAIT(bed, 30, near_live(bed) == 1);
	bed_sql(bed, "BEGIN; LOCK TABLE memingest.searches IN ACCESS EXCLUSIVE MODE");
	BED_WAIT(bed, 10,
		 bed_int(bed, "SELECT count(*) FROM pg_stat_activity WHERE datname = "
			      "current_database() AND application_name = 'memingest/indexer' AND "
			      "wait_event_type = 'Lock'") == 1);
	worker_signal(w, SIGTERM);
	ck_assert_int_eq(worker_wait(w, 5), 0);
	ck_assert_int_eq(worker_log_count(w, "the search is not kept"), 0);
	bed_sql(bed, "COMMIT");
	bed_free(bed);
}
END_TEST

static void search_tests(TCase *tc)
{
	tcase_add_test(tc, found_at_commit);
	tcase_add_test(tc, as_it_is_now);
	tcase_add_test(tc, put_back);
	tcase_add_test(tc, old_transactions);
	tcase_add_test(tc, lost_and_half_done);
	tcase_add_test(tc, killed_while_building);
	tcase_add_test(tc, adopted);
	tcase_add_test(tc, cut_between);
	tcase_add_test(tc, restored_elsewhere);
	tcase_add_test(tc, fresh_and_merged);
	tcase_add_test(tc, stopped_in_a_look);
}
SYSTEM_SUITE("search", 60, search_tests)

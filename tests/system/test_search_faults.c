/*
 * test_search_faults.c - what may go wrong around a search by nearness: crashes of PostgreSQL in
 * each phase of a build, segments without WAL, very unequal tenants, vector indexes, maintenance
 * and transactions of others, a standby. A search is right all the same.
 *
 * Not here: a worker that is killed, and what is committed while all is well (test_search.c).
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "near.h"
#include "system.h"

#define ANYWHERE "'[1,1,1,1,1,1,1,1]'"

/* --- sessions and crashes --- */

/* NULL while the server does not let us in. */
static struct pg *try_session(const char *dsn)
{
	struct config config = {.pg_dsn = dsn,
				.pg_statement_timeout_us = 60 * US_PER_S,
				.pg_lock_timeout_us = 60 * US_PER_S,
				.pg_connect_timeout_us = 5 * US_PER_S};
	struct err err = {0};
	return pg_connect(&config, "test", -1, &err);
}

static struct pg *session(struct bed *bed)
{
	struct pg *pg = try_session(bed->dsn);
	ck_assert_ptr_nonnull(pg);
	return pg;
}

static void run(struct pg *pg, const char *sql)
{
	struct err err = {0};
	ck_assert_msg(pg_exec(pg, sql, NULL, 0, &err), "%s: %s", sql, err.text);
}

static int64_t number(struct pg *pg, const char *sql)
{
	struct err err = {0};
	struct pg_rows *rows = pg_query(pg, sql, NULL, 0, &err);
	ck_assert_msg(rows != NULL, "%s: %s", sql, err.text);
	int64_t n = pg_int(rows, 0, 0);
	pg_rows_free(rows);
	return n;
}

/* The test's own session has ended with the server; one that lets us in is a new one. */
static void wait_for_server(struct bed *bed)
{
	struct err err = {0};
	BED_WAIT(bed, 30, !pg_exec(bed->pg, "SELECT 1", NULL, 0, &err));
	pg_free(bed->pg);
	bed->pg = NULL;
	BED_WAIT(bed, 30, (bed->pg = try_session(bed->dsn)) != NULL);
}

/* kill -9 of a server process, at which PostgreSQL ends all sessions and recovers. */
static void kill_backend(struct bed *bed)
{
	int64_t pid =
		bed_int(bed, "SELECT pid FROM pg_stat_activity WHERE datname ="
			     " current_database() AND application_name = 'memingest/indexer'");
	ck_assert_int_gt(pid, 1);
	ck_assert_int_eq(kill((pid_t)pid, SIGKILL), 0);
	wait_for_server(bed);
}

/* kill -9 of all its processes at once, as when the machine goes down. */
static void kill_server(struct bed *bed)
{
	char path[128];
	int child;
	int64_t pid = bed_int(bed, "SELECT split_part(pg_read_file('postmaster.pid'), E'\\n',"
				   " 1)::int");
	ck_assert_int_gt(pid, 1);
	ck_assert_int_eq(kill((pid_t)pid, SIGSTOP), 0); /* it begets no more */
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
	FILE *children = fopen(path, "r");
	ck_assert_ptr_nonnull(children);
	while (fscanf(children, "%d", &child) == 1)
		(void)kill(child, SIGKILL);
	(void)fclose(children);
	ck_assert_int_eq(kill((pid_t)pid, SIGKILL), 0);
	BED_WAIT(bed, 30, kill((pid_t)pid, 0) != 0); /* reaped, or it would seem to run */
	stack_do("pg", "start", NULL);
	wait_for_server(bed);
}

/* --- what must hold --- */

/* What a search for all brings: each row that has a vector no more than once. */
static void nothing_twice(struct bed *bed)
{
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) - count(DISTINCT id) FROM"
				      " memingest.candidates_near(" ANYWHERE ", 5000)"),
			 0);
}

static void all_is_found(struct bed *bed)
{
	ck_assert_int_eq(near_missed_of(bed, "hashtext(id) % 61 = 0"), 0);
	nothing_twice(bed);
}

/* --- PostgreSQL crashes --- */

/*
 * A step that is named in the table "slow" takes a minute, from where it is half done: a segment's
 * rows are inserted, or "sealed" moves on, or a segment is dropped and its row not.
 */
static void make_slow_steps(struct bed *bed)
{
	bed_sql(bed,
		"CREATE TABLE slow (step text);"
		"CREATE FUNCTION slowly(name text) RETURNS boolean LANGUAGE plpgsql SECURITY"
		" DEFINER AS $$ BEGIN IF EXISTS (SELECT FROM public.slow WHERE step = name) THEN"
		" PERFORM pg_sleep(60); END IF; RETURN true; END $$;"
		"CREATE FUNCTION slow_step() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
		" PERFORM public.slowly(TG_ARGV[0]); RETURN coalesce(NEW, OLD); END $$;"
		"ALTER TABLE memingest.near_segments ADD CHECK (right(id, 4) <> '2000' OR"
		" public.slowly('insert'));"
		"CREATE TRIGGER slow BEFORE UPDATE OF sealed ON memingest.searches FOR EACH ROW"
		" EXECUTE FUNCTION slow_step('publish');"
		"CREATE TRIGGER slow BEFORE DELETE ON memingest.segments FOR EACH ROW EXECUTE"
		" FUNCTION slow_step('drop')");
}

static const char asleep[] =
	"SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND"
	" application_name = 'memingest/indexer' AND wait_event = 'PgSleep'";
static const char builds_graph[] =
	"SELECT count(*) FROM pg_stat_progress_create_index WHERE datname = current_database()"
	" AND tuples_done > 100";

static void wait_for(struct bed *bed, const char *sql)
{
	BED_WAIT(bed, 60, bed_int(bed, "%s", sql) > 0);
}

/* New rows to be sealed; or for "drop" a segment with so many changed rows that it is replaced. */
static void prepare_step(struct bed *bed, const char *step, int rows)
{
	bed_sql(bed, "INSERT INTO slow VALUES ('%s')", step);
	if (strcmp(step, "drop") == 0)
		bed_sql(bed,
			"UPDATE near SET search_xid = DEFAULT WHERE id IN (SELECT id FROM"
			" memingest.near_segment_%d LIMIT 900)",
			(int)bed_int(bed, "SELECT segment FROM memingest.segments WHERE state ="
					  " 'live' ORDER BY pg_snapshot_xmax(upto) LIMIT 1"));
	else
		near_insert(bed, rows, rows + 3000);
}

/* The step is reached, PostgreSQL crashes in it; then the slowness is over. */
static void crash_in(struct bed *bed, const char *step, void (*crash)(struct bed *))
{
	if (strcmp(step, "drop") == 0) {
		wait_for(bed, "SELECT count(*) FROM memingest.segments WHERE state = 'dead'");
		bed_sql(bed, "UPDATE memingest.segments SET changed_at = '2000-01-01' WHERE"
			     " state = 'dead'");
	}
	wait_for(bed, strcmp(step, "graph") == 0 ? builds_graph : asleep);
	if (strcmp(step, "publish") == 0)
		wait_for(bed, "SELECT count(*) FROM memingest.segments WHERE state = 'built'");
	crash(bed);
	bed_sql(bed, "TRUNCATE slow");
}

/* Nothing is left to be done, and nothing lies about. */
static void wait_until_settled(struct bed *bed)
{
	BED_WAIT(bed, 60,
		 near_unindexed(bed) < 1000 &&
			 bed_int(bed, "SELECT count(*) FROM memingest.segments"
				      " WHERE state = 'built'") == 0);
	bed_sql(bed, "UPDATE memingest.segments SET changed_at = '2000-01-01' WHERE state ="
		     " 'dead'");
	wait_for(bed, "SELECT (count(*) = 0)::int FROM memingest.segments WHERE state = 'dead'");
	near_no_leftovers(bed);
}

/*
 * PostgreSQL may crash while a segment's rows are inserted, while its graph is built,
 * between its commit and its publishing, and while another is dropped. Searches are right at once,
 * and another worker does the rest; or the one that saw the crash, which tries again after 10 s.
 */
static void crashes(const char *name, void (*crash)(struct bed *), bool waits)
{
	static const char *const steps[] = {"insert", "graph", "publish", "drop"};
	struct bed *bed = near_bed(name);
	bed_set(bed, "index.tail_rows", "1000");
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	make_slow_steps(bed);
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		prepare_step(bed, steps[i], 3000 * (int)i);
		struct worker *w = worker_start(bed, NULL);
		crash_in(bed, steps[i], crash);
		all_is_found(bed);
		if (!waits || i > 0) {
			worker_kill(w);
			w = worker_start(bed, NULL);
		}
		wait_until_settled(bed);
		all_is_found(bed);
		worker_kill(w);
	}
	ck_assert_int_eq(near_live(bed), 3);
	bed_free(bed);
}

/* Proves: that, with one of the server's processes killed, at which it ends all the others. */
START_TEST(backend_killed)
{
	crashes("backend", kill_backend, true);
}
END_TEST

/* Proves: that, with all of them killed at once. */
START_TEST(server_killed)
{
	crashes("server", kill_server, false);
}
END_TEST

/* --- segments without WAL --- */

/* Rows of tenant t0, and as many of others and one more: so t0 gets a part of its segment. */
static void insert_with_big_tenant(struct bed *bed, int big)
{
	bed_sql(bed,
		"INSERT INTO near (event_time, id, tenant, spot) SELECT now(), 'big-' || i,"
		" CASE WHEN i <= %d THEN 't0' ELSE 'u' || i %% 100 END, " NEAR_VECTOR
		" FROM generate_series(1, %d) i",
		big, 2 * big + 1);
}

static int64_t parts_of(struct bed *bed)
{
	return bed_int(bed, "SELECT max(parts) FROM memingest.segments WHERE state = 'live'");
}

/* How often the server has said since its beginning that searches read all rows. */
static int64_t warnings(struct bed *bed)
{
	return bed_int(bed,
		       "SELECT count(*) FROM regexp_matches(pg_read_file('%s/pg/server.log'),"
		       " 'WARNING:  a segment of \"near\" is gone', 'g')",
		       stack.dir);
}

/* A search by a row's own vector and tenant brings it once. */
static void tenants_are_found(struct bed *bed, const char *where)
{
	ck_assert_int_eq(bed_int(bed,
				 "SELECT count(*) FROM near t WHERE spot IS NOT NULL AND %s AND"
				 " (SELECT count(*) FILTER (WHERE c.id = t.id AND c.distance <"
				 " 1e-6) FROM memingest.candidates_near(t.spot, 5, tenant =>"
				 " t.tenant) c) <> 1",
				 where),
			 0);
}

/*
 * Proves: segments without WAL, with parts and without, serve as others do, also after a clean
 * restart; after a crash, which empties them, searches read all rows at once, and say so, until
 * the segments have been built again.
 */
START_TEST(unlogged)
{
	struct bed *bed = near_bed("unlogged");
	bed_set(bed, "index.logged", "off");
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	insert_with_big_tenant(bed, 5010);
	near_build(bed);
	near_insert(bed, 0, 600);
	near_build(bed);
	ck_assert_int_eq(parts_of(bed), 2);
	ck_assert_int_eq(near_live(bed), 2);
	for (int crash = 0; crash < 2; crash++) {
		int64_t said = warnings(bed);
		if (crash)
			kill_server(bed);
		else
			stack_do("pg", "restart", "fast");
		bed_sql(bed, "SELECT 1");
		all_is_found(bed);
		tenants_are_found(bed, "hashtext(id) % 401 = 0");
		if (crash)
			ck_assert_int_gt(warnings(bed), said);
		else
			ck_assert_int_eq(warnings(bed), said);
		near_build(bed);
		ck_assert_int_eq(bed_int(bed, "SELECT max(segment) FROM memingest.segments"),
				 crash ? 4 : 2);
	}
	int64_t said = warnings(bed);
	ck_assert_int_eq(parts_of(bed), 2);
	all_is_found(bed);
	tenants_are_found(bed, "hashtext(id) % 401 = 0");
	ck_assert_int_eq(warnings(bed), said);
	bed_free(bed);
}
END_TEST

/* --- a vector index of the table's own --- */

/*
 * Proves: an index on the table's vectors that somebody has made, and that does not bring all rows,
 * is not asked for those in no segment.
 */
START_TEST(own_index)
{
	struct bed *bed = near_bed("own");
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	near_insert(bed, 0, 3000);
	near_build(bed);
	bed_sql(bed, "CREATE INDEX ON near USING hnsw (spot vector_cosine_ops); ANALYZE near");
	near_insert(bed, 3000, 3100);
	bed_sql(bed, "SET enable_sort = off; SET hnsw.max_scan_tuples = 1");
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memingest.search_near(" ANYWHERE
				      ", 4000) WHERE id ~ '^id-30..$'"),
			 100);
	all_is_found(bed);
	bed_free(bed);
}
END_TEST

/* --- maintenance and transactions of others --- */

/* Searches on and on, beside what the test does. */
struct searcher {
	pthread_t thread;
	const char *dsn;
	atomic_bool stop;
	int64_t rounds, missed, retries;
	struct err err;
};

static void *search_on(void *arg)
{
	struct searcher *s = arg;
	struct pg *pg = try_session(s->dsn);
	for (; pg && !s->stop && !s->err.text[0]; s->rounds++) {
		char sql[400];
		snprintf(sql, sizeof(sql),
			 "SELECT count(*) FROM near t WHERE hashtext(id) %% 500 = %d AND (SELECT"
			 " count(*) FILTER (WHERE c.id = t.id AND c.distance < 1e-6) FROM"
			 " memingest.candidates_near(t.spot, 3) c) <> 1",
			 (int)(s->rounds % 500));
		struct pg_rows *rows = pg_query(pg, sql, NULL, 0, &s->err);
		if (rows)
			s->missed += pg_int(rows, 0, 0);
		else if (strcmp(s->err.code, "40001") == 0) /* what a standby replays goes first */
			s->retries++, err_clear(&s->err);
		pg_rows_free(rows);
	}
	pg_free(pg);
	return NULL;
}

static void search_beside(struct searcher *s, const char *dsn)
{
	s->dsn = dsn;
	ck_assert_int_eq(pthread_create(&s->thread, NULL, search_on, s), 0);
}

static void end_searches(struct searcher *s)
{
	s->stop = true;
	pthread_join(s->thread, NULL);
	ck_assert_msg(!s->err.text[0], "%s", s->err.text);
	ck_assert_int_eq(s->missed, 0);
	ck_assert_int_gt(s->rounds, 10);
}

/* Each live segment, by a statement with %s for its name. */
static void each_segment(struct bed *bed, const char *statement)
{
	struct pg_rows *rows = bed_query(bed, "SELECT 'memingest.near_segment_' || segment FROM"
					      " memingest.segments WHERE state = 'live'");
	for (size_t i = 0; i < pg_rows_count(rows); i++)
		bed_sql(bed, "%s %s", statement, pg_value(rows, i, 0));
	pg_rows_free(rows);
}

/*
 * Proves: VACUUM, VACUUM FULL and REINDEX of table, segments and books go with searches and builds:
 * no error, nothing missed. A transaction that was open over several seals finds its own rows, also
 * when they are on its own side of what is sealed, and others do once it has committed.
 */
START_TEST(vacuum_meanwhile)
{
	struct bed *bed = near_bed("vacuum");
	struct searcher searcher = {0};
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	near_insert(bed, 0, 600);
	struct pg *foreign = session(bed);
	run(foreign, "SET idle_in_transaction_session_timeout = 0");
	run(foreign, "BEGIN ISOLATION LEVEL REPEATABLE READ; INSERT INTO near (event_time, id,"
		     " tenant, spot) VALUES (now(), 'foreign', 't1', '[9,-8,7,-6,5,-4,3,-2]');"
		     " DELETE FROM near WHERE id = 'id-5'");
	struct worker *w = worker_start(bed, NULL);
	search_beside(&searcher, bed->dsn);
	for (int i = 1; i <= 4; i++) {
		near_insert(bed, 600 * i, 600 * i + 600);
		wait_for(bed, "SELECT count(*) FROM memingest.segments WHERE state = 'live'");
		bed_sql(bed, "VACUUM near");
		bed_sql(bed, "VACUUM memingest.near_segments");
		bed_sql(bed, "VACUUM FULL memingest.segments");
		bed_sql(bed, "VACUUM FULL memingest.searches");
		each_segment(bed, "REINDEX TABLE");
		each_segment(bed, "VACUUM FULL");
		each_segment(bed, "VACUUM");
		BED_WAIT(bed, 60, near_unindexed(bed) < 200);
	}
	ck_assert_int_eq(number(foreign, "SELECT count(*) FROM memingest.search_near("
					 "'[9,-8,7,-6,5,-4,3,-2]', 1) WHERE id = 'foreign'"),
			 1);
	ck_assert_int_eq(
		number(foreign, "SELECT count(*) FROM memingest.search_near(" ANYWHERE ", 5000)"),
		600);
	run(foreign, "COMMIT");
	bed_sql(bed, "VACUUM FULL near");
	for (int sealed = 0; sealed < 2; sealed++) {
		ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memingest.search_near("
					      "'[9,-8,7,-6,5,-4,3,-2]', 1) WHERE id = 'foreign'"),
				 1);
		ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memingest.search_near(" ANYWHERE
					      ", 5000)"),
				 3000);
		near_build(bed);
	}
	ck_assert_int_eq(near_unindexed(bed), 0);
	end_searches(&searcher);
	ck_assert_double_eq(worker_metric(w, "memingest_search_failures_total", NULL), 0);
	worker_stop(w);
	pg_free(foreign);
	all_is_found(bed);
	bed_free(bed);
}
END_TEST

/* --- a standby --- */

static void catch_up(struct bed *bed, struct pg *standby)
{
	char sql[128];
	struct pg_rows *rows = bed_query(bed, "SELECT pg_current_wal_lsn()");
	snprintf(sql, sizeof(sql), "SELECT (pg_last_wal_replay_lsn() >= '%s')::int",
		 pg_value(rows, 0, 0));
	pg_rows_free(rows);
	BED_WAIT(bed, 30, number(standby, sql) == 1);
}

/* What has been replayed is found there, each row once. */
static void standby_is_right(struct bed *bed, struct pg *standby, int rows)
{
	catch_up(bed, standby);
	ck_assert_int_eq(number(standby, "SELECT count(*) FROM near t WHERE hashtext(id) % 7 = 0"
					 " AND (SELECT count(*) FILTER (WHERE c.id = t.id AND"
					 " c.distance < 1e-6) FROM memingest.candidates_near("
					 "t.spot, 3, tenant => t.tenant) c) <> 1"),
			 0);
	ck_assert_int_eq(number(standby,
				"SELECT count(DISTINCT id) FROM memingest.search_near(" ANYWHERE
				", 5000)"),
			 rows);
	ck_assert_int_eq(
		number(standby, "SELECT count(*) FROM memingest.search_near(" ANYWHERE ", 5000)"),
		rows);
}

/* Segments are built, replaced and dropped. */
static void keep_busy(struct bed *bed, int round)
{
	near_insert(bed, 600 * round, 600 * round + 600);
	near_build(bed);
	bed_sql(bed, "UPDATE near SET search_xid = DEFAULT WHERE hashtext(id) %% 10 = %d", round);
	ck_assert_int_eq(bed_command(bed, "index", (const char *[]){"rewrite", NULL}, NULL), 0);
	ck_assert_int_gt(bed_int(bed, "WITH d AS (UPDATE memingest.segments SET changed_at ="
				      " '2000-01-01' WHERE state = 'dead' RETURNING 1) SELECT"
				      " count(*) FROM d"),
			 0);
	near_build(bed);
}

/*
 * Proves: a streaming standby searches rightly while segments are built, published, replaced and
 * dropped at the primary: a search may have to be asked again, and never says what is wrong. It is
 * right, too, where segments have no WAL and so are not there.
 */
START_TEST(on_standby)
{
	struct bed *bed = near_bed("standby");
	struct searcher searcher = {0};
	char dsn[160];
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	keep_busy(bed, 0);
	stack_do("standby", "start", NULL);
	snprintf(dsn, sizeof(dsn), "postgresql://postgres@127.0.0.1:%u/%s?target_session_attrs=any",
		 stack.standby_port, bed->name);
	struct pg *standby = try_session(dsn);
	ck_assert_ptr_nonnull(standby);
	standby_is_right(bed, standby, 600);
	search_beside(&searcher, dsn);
	for (int round = 1; round < 4; round++)
		keep_busy(bed, round);
	end_searches(&searcher);
	standby_is_right(bed, standby, 2400);
	bed_set(bed, "index.logged", "off");
	near_insert(bed, 2400, 3000);
	near_build(bed);
	standby_is_right(bed, standby, 3000);
	pg_free(standby);
	stack_do("standby", "stop", NULL);
	bed_free(bed);
}
END_TEST

/* --- tenants of very unequal size --- */

/* The stream "near" with an index on its tenant, or with its note as a second filter. */
static struct bed *other_bed(const char *name, bool indexed)
{
	struct bed *bed = bed_new(name);
	char path[200];
	json_t *schema = json_load_file("tests/schemas/near_event.avsc", 0, NULL), *spot;
	ck_assert_ptr_nonnull(schema);
	spot = json_array_get(json_object_get(schema, "fields"), 5);
	ck_assert_str_eq(json_string_value(json_object_get(spot, "name")), "spot");
	if (indexed)
		json_object_set_new(json_object_get(schema, "pg"), "indexes",
				    json_pack("[{s:[s]}]", "columns", "tenant"));
	else
		json_array_append_new(
			json_object_get(json_object_get(json_object_get(spot, "pg"), "search"),
					"filter"),
			json_string("note"));
	snprintf(path, sizeof(path), "%s/near.avsc", bed->dir);
	ck_assert_int_eq(json_dump_file(schema, path, 0), 0);
	json_decref(schema);
	bed_stream_files(bed, "near", 1, path, NULL);
	bed_set(bed, "index.cores", "1");
	return bed;
}

/* 10,000 tenants: t1 has 6,000 rows, t2 5,100, t3 1,438; nine of ten have a single one. */
static void insert_tenants(struct bed *bed)
{
	bed_sql(bed,
		"INSERT INTO near (event_time, id, tenant, note, spot) SELECT now(), i, 't' "
		"|| t, 'n' || n %% 300,"
		" " NEAR_VECTOR " FROM (SELECT t, n, t || '-' || n AS i FROM generate_series(1,"
		" 10000) t, generate_series(1, CASE t WHEN 2 THEN 5100 ELSE greatest(1, "
		"floor(6000 / power(t, 1.3))::int) END) n"
		") x");
}

/* Of the ten nearest of tenants, to 20 places, the share that a search brings: in thousandths. */
static int64_t recall_of(struct bed *bed, const char *tenants)
{
	return bed_int(bed,
		       "SELECT 1000 * count(c.id) / count(*) FROM (SELECT tenant, " NEAR_VECTOR
		       " AS v FROM generate_series(1, 20) i, unnest('%s'::text[]) tenant) q"
		       " CROSS JOIN LATERAL (SELECT id FROM near WHERE q.tenant = '' OR tenant ="
		       " q.tenant ORDER BY (spot <=> q.v) + 0 LIMIT 10) e LEFT JOIN LATERAL"
		       " (SELECT id FROM memingest.candidates_near(q.v, 10, tenant =>"
		       " nullif(q.tenant, ''))) c ON c.id = e.id",
		       tenants);
}

/* Rows that a search for many of a tenant brings and that are another's, or come twice. */
static int64_t wrong_of(struct bed *bed, const char *tenant)
{
	return bed_int(bed,
		       "SELECT count(*) FILTER (WHERE t.tenant IS DISTINCT FROM '%s') + count(*) -"
		       " count(DISTINCT id) FROM memingest.candidates_near(" ANYWHERE ", 4000,"
		       " tenant => '%s') c LEFT JOIN near t USING (id)",
		       tenant, tenant);
}

static void tenants_are_right(struct bed *bed)
{
	tenants_are_found(bed, "hashtext(id) % 301 = 0");
	tenants_are_found(bed, "id IN (SELECT id FROM moved) AND hashtext(id) % 11 = 0");
	for (int i = 1; i <= 4; i++) {
		char tenant[8];
		snprintf(tenant, sizeof(tenant), "t%d", i);
		ck_assert_int_eq(wrong_of(bed, tenant), 0);
	}
	ck_assert_int_ge(recall_of(bed, "{t1,t2}"), 980);
	ck_assert_int_eq(recall_of(bed, "{t3,t900}"), 1000);
	ck_assert_int_ge(recall_of(bed, "{\"\"}"), 980);
	nothing_twice(bed);
	/* by the other filter's index, which has the rows of big tenants twice */
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memingest.candidates_near(" ANYWHERE
				      ", 4000, tenant => 't1', note => 'n7')"),
			 bed_int(bed, "SELECT count(*) FROM near WHERE tenant = 't1' AND note ="
				      " 'n7'"));
}

/* Rows go to other tenants, away, and come back as another's. */
static void move_rows(struct bed *bed)
{
	bed_sql(bed,
		"CREATE TABLE moved AS SELECT id, tenant, spot, hashtext(id) %% 3 AS how FROM near"
		" WHERE tenant IN ('t1', 't2', 't900') AND (hashtext(id) %% 10 = 0 OR tenant ="
		" 't900');"
		"UPDATE near t SET tenant = CASE m.tenant WHEN 't1' THEN 't2' ELSE 't1' END,"
		" search_xid = DEFAULT FROM moved m WHERE m.id = t.id AND m.how = 0;"
		"DELETE FROM near t USING moved m WHERE m.id = t.id AND m.how <> 0;"
		"INSERT INTO near (event_time, id, tenant, note, spot) SELECT now(), id, 't3', "
		"'n7',"
		" spot FROM moved WHERE how = 1");
}

/*
 * Proves: with tenants from one row to a fifth of all, each finds its own and nobody else's: the
 * big one by a graph of its own, small ones exactly. Rows that changed hands, went or came back
 * are their owner's of now; what is in a segment twice comes once, and counts as stale once. So it
 * is before and after the segment is built anew.
 */
START_TEST(unequal_tenants)
{
	struct bed *bed = other_bed("unequal", false);
	bed_set(bed, "index.segment_rows", "100000");
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	bed_sql(bed, "CREATE TABLE moved (id text)");
	insert_tenants(bed);
	near_build(bed);
	ck_assert_int_eq(parts_of(bed), 3);
	tenants_are_right(bed);
	bed_sql(bed, "DROP TABLE moved");
	move_rows(bed);
	tenants_are_right(bed);
	ck_assert_int_eq(bed_command(bed, "index", (const char *[]){"rewrite", NULL}, NULL), 0);
	ck_assert_int_eq(parts_of(bed), 2); /* t2 has not enough any more */
	ck_assert_int_eq(bed_int(bed, "SELECT stale FROM memingest.segments WHERE state = 'dead'"),
			 bed_int(bed, "SELECT count(*) FROM moved"));
	tenants_are_right(bed);
	near_no_leftovers(bed);
	bed_free(bed);
}
END_TEST

/*
 * Proves: the part of a big tenant that somebody dropped costs time and no row; it is built again
 * with its segment.
 */
START_TEST(part_dropped)
{
	struct bed *bed = near_bed("part");
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	insert_with_big_tenant(bed, 5010);
	near_build(bed);
	ck_assert_int_eq(parts_of(bed), 2);
	bed_sql(bed, "DROP TABLE memingest.near_segment_1_1");
	ck_assert_int_eq(recall_of(bed, "{t0,u1}"), 1000);
	near_build(bed);
	ck_assert_int_eq(parts_of(bed), 2);
	ck_assert_int_eq(near_live(bed), 1);
	ck_assert_int_ge(recall_of(bed, "{t0}"), 980);
	near_no_leftovers(bed);
	bed_free(bed);
}
END_TEST

/* --- few rows, and rows without a direction --- */

/* In a search for all, and in one for all of each tenant: so many rows in all. */
static void found_in_all(struct bed *bed, int rows)
{
	static const char *const freshness[] = {"all", "bounded(5000)"};
	for (size_t i = 0; i < ARRAY_LEN(freshness); i++) {
		ck_assert_int_eq(bed_int(bed,
					 "SELECT count(*) FROM memingest.search_near(" ANYWHERE
					 ", 3000, freshness => '%s')",
					 freshness[i]),
				 rows);
		ck_assert_int_eq(bed_int(bed,
					 "SELECT count(*) FROM generate_series(0, 4) n CROSS JOIN"
					 " LATERAL memingest.search_near(" ANYWHERE
					 ", 3000, 't' || n, freshness => '%s') s"
					 " WHERE s.tenant = 't' || n",
					 freshness[i]),
				 rows);
	}
}

/*
 * Proves: vectors that are null, and those of length zero, which have no direction, are not found;
 * whether rows are in segments or not, and where few have the filter's value and the table has an
 * index on it: these are read by that, as they are now.
 */
START_TEST(few_rows)
{
	struct bed *bed = other_bed("few", true);
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	near_insert(bed, 0, 1000);
	bed_sql(bed, "INSERT INTO near (event_time, id, tenant, spot) SELECT now(), 'none-' || i,"
		     " 't' || i %% 5, CASE WHEN i %% 2 = 0 THEN '[0,0,0,0,0,0,0,0]'::vector END"
		     " FROM generate_series(1, 20) i");
	found_in_all(bed, 1000);
	near_build(bed);
	found_in_all(bed, 1000);
	bed_sql(bed, "UPDATE near SET tenant = 't3', search_xid = DEFAULT WHERE id LIKE 'id-1_';"
		     "UPDATE near SET spot = '[0,0,0,0,0,0,0,0]', search_xid = DEFAULT WHERE id ="
		     " 'id-20'; DELETE FROM near WHERE id = 'id-21'");
	found_in_all(bed, 998);
	tenants_are_found(bed, "id LIKE 'id-1%' AND spot <> '[0,0,0,0,0,0,0,0]'");
	bed_free(bed);
}
END_TEST

static void search_faults_tests(TCase *tc)
{
	tcase_add_test(tc, backend_killed);
	tcase_add_test(tc, server_killed);
	tcase_add_test(tc, unlogged);
	tcase_add_test(tc, own_index);
	tcase_add_test(tc, vacuum_meanwhile);
	tcase_add_test(tc, on_standby);
	tcase_add_test(tc, unequal_tenants);
	tcase_add_test(tc, part_dropped);
	tcase_add_test(tc, few_rows);
}
SYSTEM_SUITE("search_faults", 120, search_faults_tests)

/*
 * test_outage.c - servers that go away under load and come back: what the worker keeps meanwhile,
 * and that it goes on by itself.
 */
#include <string.h>

#include "bed.h"
#include "ledger.h"
#include "load.h"
#include "model.h"
#include "system.h"

#define OUTAGE_S 20
#define RSS_LIMIT_KIB (200 * 1024)

#define MANY_PARTITIONS 200
#define BACKLOG 100000 /* events of 2 kB: half as much again as the limit */
#define DEFAULTS_LIMIT_KIB (128 * 1024)

static double rebalances(struct worker *w)
{
	return worker_metric(w, "memingest_rebalances_total", NULL);
}

/*
 * Proves: a database that is away for 20 s under load costs no membership (a worker that does not
 * poll for 10 s would lose it here), no more memory than the limit (the backlog is several times
 * batch.memory), liveness never fails while readiness says why, and work goes on by itself. That
 * intake is paused, and resumed, has a line each.
 */
START_TEST(database_away)
{
	struct bed *bed = bed_new("away");
	bed_stream(bed, "memory", 4);
	bed_set(bed, "batch.max_bytes", "2MiB");
	bed_set(bed, "limits.max_row", "1MiB");
	bed_set(bed, "batch.memory", "8MiB");
	bed_set(bed, "batch.max_rows", "1000");
	bed_set(bed, "kafka.queued.max.messages.kbytes", "8192");
	bed_set(bed, "kafka.session.timeout.ms", "6000");
	bed_set(bed, "kafka.max.poll.interval.ms", "10000");
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	struct pace *pace = pace_open(bed, "memory", 1500);
	struct worker *w = worker_start(bed, NULL);
	pace_progress(pace, 1500);
	double before = rebalances(w);
	stack_do("pg", "stop", "fast");
	int64_t end_us = clock_mono_us() + OUTAGE_S * US_PER_S;
	struct buf why = {0};
	while (clock_mono_us() < end_us) {
		pace_for(pace, 1);
		ck_assert_uint_eq(worker_http(w, "/livez", NULL), 200);
	}
	ck_assert_uint_eq(worker_http(w, "/readyz", &why), 503);
	ck_assert_msg(strstr(buf_cstr(&why), "database") != NULL, "%s", buf_cstr(&why));
	buf_free(&why);
	stack_do("pg", "start", NULL);
	PACE_WAIT(pace, bed, 20, worker_http(w, "/readyz", NULL) == 200);
	pace_progress(pace, 1500);
	pace_close(pace);
	bed_drain(bed, 40);
	ck_assert_msg(rebalances(w) == before,
		      "the group was rebalanced: %g changes before, %g after", before,
		      rebalances(w));
	ck_assert_int_lt(worker_rss_kib(w), RSS_LIMIT_KIB);
	ck_assert_int_eq(worker_log_count(w, "intake paused"), 1);
	BED_WAIT(bed, 10, worker_log_count(w, "intake resumed") == 1);
	worker_stop(w);
	model_check(bed);
	bed_free(bed);
}
END_TEST

/*
 * Proves: crash recovery of the whole server in the middle of transactions, several times, loses
 * nothing and repeats nothing.
 */
START_TEST(database_crashes)
{
	struct bed *bed = ledger_bed("crashes", 4);
	struct pace *pace = pace_open(bed, "ledger", 2000);
	struct worker *w = worker_start(bed, NULL);
	for (int i = 0; i < 3; i++) {
		pace_progress(pace, 1000);
		stack_do("pg", "restart", "immediate");
	}
	pace_progress(pace, 1000);
	pace_close(pace);
	bed_drain(bed, 30);
	ck_assert_double_ge(worker_metric(w, "memingest_postgres_reconnects_total", NULL), 3);
	worker_stop(w);
	model_check(bed);
	bed_free(bed);
}
END_TEST

/*
 * Proves: single sessions that an administrator ends at any moment are opened again, and each batch
 * of them is written once.
 */
START_TEST(sessions_terminated)
{
	struct bed *bed = ledger_bed("terminated", 4);
	struct pace *pace = pace_open(bed, "ledger", 2000);
	struct worker *w = worker_start(bed, NULL);
	int64_t ended = 0;
	pace_progress(pace, 500);
	for (int i = 0; i < 60; i++) {
		pace_for(pace, 0.02 + 0.005 * (i * 7 % 40));
		/* preferably in a transaction: also while one is being rolled back */
		for (int tries = 0; tries < 20 && ledger_open_transactions(bed) == 0; tries++)
			pace_turn(pace);
		ended += bed_int(bed,
				 "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
				 "WHERE datname = '%s' AND "
				 "application_name LIKE 'memingest/lane%%'",
				 bed->name);
	}
	ck_assert_int_ge(ended, 15);
	pace_progress(pace, 500);
	pace_close(pace);
	bed_drain(bed, 30);
	worker_stop(w);
	model_check(bed);
	bed_free(bed);
}
END_TEST

/*
 * Proves: a session that dies between an error and the rollback of its transaction is replaced, and
 * the batch is written once. The trigger ends its own session in the act of raising the error: the
 * error still arrives, the answer to ROLLBACK does not.
 */
START_TEST(session_dies_in_rollback)
{
	struct bed *bed = ledger_bed("rollback", 1);
	bed_sql(bed,
		"CREATE SEQUENCE harm; GRANT USAGE ON SEQUENCE harm TO memingest;"
		"CREATE FUNCTION harm() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF "
		"nextval('harm') <= 2 THEN "
		"RAISE unique_violation USING MESSAGE = "
		"pg_terminate_backend(pg_backend_pid())::text; END IF; "
		"RETURN NEW; END $$;"
		"CREATE TRIGGER harm BEFORE INSERT ON ledger FOR EACH ROW EXECUTE FUNCTION harm()");
	for (int i = 0; i < 50; i++)
		ledger_send(bed, 0, i % 2 ? "odd" : "even", INT64_C(1750000000000000) + i, i);
	struct worker *w = worker_start(bed, NULL);
	bed_drain(bed, 30);
	ck_assert_int_gt(bed_int(bed, "SELECT last_value FROM harm"), 2);
	worker_stop(w);
	model_check(bed);
	bed_free(bed);
}
END_TEST

/*
 * Proves: a broker that is killed and comes back is consumed again by itself, from the right
 * places.
 */
START_TEST(broker_killed)
{
	struct bed *bed = ledger_bed("broker", 4);
	bed_set(bed, "kafka.session.timeout.ms", "6000");
	bed_set(bed, "kafka.reconnect.backoff.max.ms", "500");
	struct pace *pace = pace_open(bed, "ledger", 2000);
	struct worker *w = worker_start(bed, NULL);
	pace_progress(pace, 1500);
	stack_do("kafka", "kill", NULL);
	pace_for(pace, 1);
	stack_do("kafka", "start", NULL);
	pace_progress(pace, 1500);
	ck_assert_uint_eq(worker_http(w, "/livez", NULL), 200);
	pace_close(pace);
	bed_drain(bed, 30);
	worker_stop(w);
	model_check(bed);
	bed_free(bed);
}
END_TEST

/*
 * Proves: with default settings a worker stays below 128 MiB, with 200 partitions, a backlog larger
 * than that, and a database that goes away when everything is full.
 */
START_TEST(memory_with_defaults)
{
	struct bed *bed = bed_new("defaults");
	bed_stream(bed, "memory", MANY_PARTITIONS);
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	load_fill(bed, "memory", BACKLOG, (struct generator_options){.seed = 1});
	struct worker *w = worker_start(bed, NULL);
	BED_WAIT(bed, 30, bed_int(bed, "SELECT count(*) FROM memory_entries") > 0);
	stack_do("pg", "stop", "fast");
	BED_WAIT(bed, 30, worker_http(w, "/readyz", NULL) == 503);
	stack_do("pg", "start", NULL);
	bed_drain(bed, 60);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memory_entries"), BACKLOG);
	long peak = worker_rss_kib(w);
	ck_assert_msg(peak < DEFAULTS_LIMIT_KIB, "%ld KiB at the peak", peak);
	worker_stop(w);
	bed_free(bed);
}
END_TEST

static void memory_tests(TCase *tc)
{
	tcase_add_test(tc, memory_with_defaults);
}
SYSTEM_SUITE("memory", 150, memory_tests)

static void outage_tests(TCase *tc)
{
	tcase_add_test(tc, database_away);
	tcase_add_test(tc, database_crashes);
}
SYSTEM_SUITE("outage", 120, outage_tests)

static void sessions_tests(TCase *tc)
{
	tcase_add_test(tc, sessions_terminated);
	tcase_add_test(tc, session_dies_in_rollback);
	tcase_add_test(tc, broker_killed);
}
SYSTEM_SUITE("sessions", 120, sessions_tests)

/*
 * test_group.c - several workers of one group: joining, leaving, dying, and one that sleeps past its membership and wakes up.
 *
 * Kafka's word on who owns a partition is late by nature; what keeps a table right is the swap on the offsets row. A zombie here is a
 * worker stopped by SIGSTOP for longer than session.timeout.ms: when it goes on it still believes in its partitions.
 */
#include <signal.h>
#include <string.h>

#include "bed.h"
#include "ledger.h"
#include "model.h"
#include "system.h"

static struct bed *group_bed(const char *name, int partitions)
{
	struct bed *bed = ledger_bed(name, partitions);
	bed_set(bed, "kafka.session.timeout.ms", "6000");
	bed_set(bed, "kafka.heartbeat.interval.ms", "500");
	return bed;
}

/* Before its HTTP server listens a worker has nothing. */
static double assigned(struct worker *w)
{
	if (worker_http(w, "/livez", NULL) != 200)
		return 0;
	return worker_metric(w, "memingest_assigned_partitions", NULL);
}

static double consumed(struct worker *w)
{
	return worker_metric(w, "memingest_records_consumed_total", NULL);
}

static void goes_on(struct pace *pace, struct worker *w)
{
	double before = consumed(w);
	PACE_WAIT(pace, w->bed, 30, consumed(w) >= before + 200);
}

/* Proves: under load two workers share the partitions, a third that joins takes its part, one that leaves or dies hands its own
 * over, and through all of it every event counts once. */
START_TEST(come_and_go)
{
	struct bed *bed = group_bed("come", 6);
	struct pace *pace = pace_open(bed, "ledger", 2000);
	struct worker *a = worker_start(bed, NULL), *b = worker_start(bed, NULL);
	PACE_WAIT(pace, bed, 20, assigned(a) == 3 && assigned(b) == 3);
	goes_on(pace, a);
	goes_on(pace, b);
	struct worker *c = worker_start(bed, NULL);
	PACE_WAIT(pace, bed, 20, assigned(a) == 2 && assigned(b) == 2 && assigned(c) == 2);
	goes_on(pace, c);
	worker_stop(a);
	PACE_WAIT(pace, bed, 20, assigned(b) == 3 && assigned(c) == 3);
	pace_progress(pace, 1000);
	a = worker_start(bed, NULL);
	PACE_WAIT(pace, bed, 20, assigned(a) == 2);
	goes_on(pace, a);
	worker_kill(b);
	PACE_WAIT(pace, bed, 20, assigned(a) == 3 && assigned(c) == 3);
	pace_progress(pace, 1000);
	worker_stop(c);
	PACE_WAIT(pace, bed, 20, assigned(a) == 6);
	pace_close(pace);
	bed_drain(bed, 30);
	worker_stop(a);
	model_check(bed);
	bed_free(bed);
}
END_TEST

/* Proves: joining and leaving without rest, faster than a rebalance is over, stalls nothing and repeats nothing. */
START_TEST(storm)
{
	struct bed *bed = group_bed("storm", 6);
	struct pace *pace = pace_open(bed, "ledger", 1500);
	struct worker *steady = worker_start(bed, NULL), *others[2] = {worker_start(bed, NULL), NULL};
	pace_progress(pace, 500);
	for (int i = 0; i < 8; i++) {
		int n = i % 2;
		pace_for(pace, 0.3 + 0.35 * (i * 5 % 4));
		if (others[n])
			worker_stop(others[n]);
		others[n] = others[n] ? NULL : worker_start(bed, NULL);
	}
	pace_progress(pace, 500);
	pace_close(pace);
	bed_drain(bed, 40);
	worker_stop(steady);
	for (int n = 0; n < 2; n++) {
		if (others[n])
			worker_stop(others[n]);
	}
	model_check(bed);
	bed_free(bed);
}
END_TEST

static int64_t epochs(struct bed *bed)
{
	return bed_int(bed, "SELECT sum(owner_epoch)::bigint FROM memingest.offsets WHERE pipeline = '%s'", bed->name);
}

/* Both workers live, each has its half, both go on. */
static void both_sane(struct pace *pace, struct worker *a, struct worker *b)
{
	PACE_WAIT(pace, a->bed, 40, assigned(a) == 2 && assigned(b) == 2);
	goes_on(pace, a);
	goes_on(pace, b);
	ck_assert_uint_eq(worker_http(a, "/readyz", NULL), 200);
	ck_assert_uint_eq(worker_http(b, "/readyz", NULL), 200);
}

/* What a worker that was disowned must have done with its batches: taken back while open, cut off, or fenced at the swap. */
static bool let_go(struct worker *w)
{
	return worker_metric(w, "memingest_fenced_total", NULL) >= 1 || worker_logged(w, "partitions lost");
}

/*
 * Proves: a worker that sleeps past its session while it has batches and fetched messages, and whose successor has gone on meanwhile,
 * writes nothing of them when it wakes up, and joins again.
 */
START_TEST(zombie_with_batches)
{
	struct bed *bed = group_bed("batches", 4);
	bed_set(bed, "batch.max_age", "500ms");
	bed_set(bed, "batch.max_rows", "2000");
	struct pace *pace = pace_open(bed, "ledger", 2000);
	struct worker *zombie = worker_start(bed, NULL);
	pace_progress(pace, 1500);
	pace_for(pace, 0.25); /* in the middle of filling batches */
	worker_signal(zombie, SIGSTOP);
	int64_t before = epochs(bed);
	struct worker *heir = worker_start(bed, NULL);
	PACE_WAIT(pace, bed, 30, epochs(bed) == before + 4);
	goes_on(pace, heir);
	worker_signal(zombie, SIGCONT);
	PACE_WAIT(pace, bed, 20, let_go(zombie));
	both_sane(pace, zombie, heir);
	pace_close(pace);
	bed_drain(bed, 30);
	worker_stop(zombie);
	worker_stop(heir);
	model_check(bed);
	bed_free(bed);
}
END_TEST

/* Somebody else locks the table: the worker's merge waits, in its transaction, with the offsets row locked. */
static void lock_table(struct bed *bed, struct pace *pace)
{
	bed_sql(bed, "BEGIN; LOCK TABLE ledger IN SHARE MODE");
	PACE_WAIT(pace, bed, 10,
		  bed_int(bed, "SELECT count(*) FROM pg_locks WHERE relation = 'ledger'::regclass AND NOT granted") ==
			  2);
}

/*
 * Proves: a worker stopped in the middle of a transaction, holding offsets rows, does not block its successor for ever; neither
 * when it wakes up after the successor has gone on (0) nor while the successor is waiting for the rows (1, when that transaction may
 * still commit) is anything lost or written twice.
 */
START_TEST(zombie_in_transaction)
{
	struct bed *bed = group_bed("transaction", 4);
	bed_set(bed, "kafka.session.timeout.ms",
		"3000"); /* well before PostgreSQL ends the idle transaction, after 10 s */
	bed_set(bed, "postgres.lock_timeout", "30s");
	struct pace *pace = pace_open(bed, "ledger", 1000);
	struct worker *zombie = worker_start(bed, NULL);
	pace_progress(pace, 500);
	lock_table(bed, pace);
	worker_signal(zombie, SIGSTOP);
	bed_sql(bed, "COMMIT");
	struct worker *heir = worker_start(bed, NULL);
	PACE_WAIT(pace, bed, 30, assigned(heir) == 4);
	if (_i == 0)
		goes_on(pace, heir);
	else
		PACE_WAIT(pace, bed, 10, bed_int(bed, "SELECT count(*) FROM pg_locks WHERE NOT granted") > 0);
	worker_signal(zombie, SIGCONT);
	both_sane(pace, zombie, heir);
	ck_assert(let_go(zombie));
	pace_close(pace);
	bed_drain(bed, 30);
	worker_stop(zombie);
	worker_stop(heir);
	model_check(bed);
	bed_free(bed);
}
END_TEST

/*
 * Proves: when somebody else has claimed the rows and Kafka says nothing of it, every batch under way is fenced at the swap: counted,
 * logged with what was expected and what was found, not written; the worker claims anew after a while and goes on.
 */
START_TEST(claimed_by_another)
{
	struct bed *bed = group_bed("claimed", 4);
	struct pace *pace = pace_open(bed, "ledger", 1500);
	struct worker *w = worker_start(bed, NULL);
	for (int i = 0; i < 3; i++) {
		pace_progress(pace, 500);
		bed_sql(bed, "UPDATE memingest.offsets SET owner_epoch = owner_epoch + 1, owner = 'somebody else'");
		PACE_WAIT(pace, bed, 20, worker_metric(w, "memingest_fenced_total", NULL) >= 4 * (i + 1));
		worker_wait_log(w, "expected next_offset", 5);
		ck_assert(worker_logged(w, "owner somebody else"));
		ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memingest.batches b JOIN memingest.offsets o "
					      "USING (pipeline, topic, partition) WHERE b.owner_epoch > o.owner_epoch"),
				 0);
	}
	pace_close(pace);
	bed_drain(bed, 30);
	worker_stop(w);
	model_check(bed);
	bed_free(bed);
}
END_TEST

static Suite *group_suite(void)
{
	Suite *s = suite_create("group");
	TCase *tc = tcase_create("group");
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, come_and_go);
	tcase_add_test(tc, storm);
	suite_add_tcase(s, tc);
	return s;
}
SYSTEM_SUITE("group", group_suite)

static Suite *zombie_suite(void)
{
	Suite *s = suite_create("zombie");
	TCase *tc = tcase_create("zombie");
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, zombie_with_batches);
	tcase_add_loop_test(tc, zombie_in_transaction, 0, 2);
	suite_add_tcase(s, tc);
	return s;
}
SYSTEM_SUITE("zombie", zombie_suite)

static Suite *claims_suite(void)
{
	Suite *s = suite_create("claims");
	TCase *tc = tcase_create("claims");
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, claimed_by_another);
	suite_add_tcase(s, tc);
	return s;
}
SYSTEM_SUITE("claims", claims_suite)

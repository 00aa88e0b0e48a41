/*
 * test_group.c - several workers of one group: joining, leaving, dying, and one that sleeps past
 * its membership and wakes up.
 *
 * Kafka's word on who owns a partition is late by nature; what keeps a table right is the swap on
 * the offsets row. A zombie here is a worker stopped by SIGSTOP for longer than session.timeout.ms:
 * when it goes on it still believes in its partitions.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
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

/*
 * Proves: under load two workers share the partitions, a third that joins takes its part, one that
 * leaves or dies hands its own over, and through all of it every event counts once.
 */
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

/*
 * Proves: joining and leaving without rest, faster than a rebalance is over, stalls nothing and
 * repeats nothing.
 */
START_TEST(storm)
{
	struct bed *bed = group_bed("storm", 6);
	struct pace *pace = pace_open(bed, "ledger", 1500);
	struct worker *steady = worker_start(bed, NULL),
		      *others[2] = {worker_start(bed, NULL), NULL};
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
	return bed_int(
		bed, "SELECT sum(owner_epoch)::bigint FROM memingest.offsets WHERE pipeline = '%s'",
		bed->name);
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

/*
 * What a worker that was disowned must have done with its batches: taken back while open, cut off,
 * or fenced at the swap.
 */
static bool let_go(struct worker *w)
{
	return worker_metric(w, "memingest_fenced_total", NULL) >= 1 ||
	       worker_logged(w, "partitions lost");
}

/*
 * Proves: a worker that sleeps past its session while it has batches and fetched messages, and
 * whose successor has gone on meanwhile, writes nothing of them when it wakes up, and joins again.
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

/*
 * Somebody else locks the table: the worker's merge waits, in its transaction, with the offsets row
 * locked.
 */
static void lock_table(struct bed *bed, struct pace *pace)
{
	bed_sql(bed, "BEGIN; LOCK TABLE ledger IN SHARE MODE");
	PACE_WAIT(pace, bed, 10,
		  bed_int(bed, "SELECT count(*) FROM pg_locks WHERE relation = 'ledger'::regclass "
			       "AND NOT granted") == 2);
}

/*
 * Proves: a worker stopped in the middle of a transaction, holding offsets rows, does not block its
 * successor for ever; neither when it wakes up after the successor has gone on (0) nor while the
 * successor is waiting for the rows (1, when that transaction may still commit) is anything lost or
 * written twice.
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
		PACE_WAIT(pace, bed, 10,
			  bed_int(bed, "SELECT count(*) FROM pg_locks WHERE NOT granted") > 0);
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
 * Rows of 32 KiB: what the sockets between hold is less than half of what the worker has to send.
 */
static void send_large(struct bed *bed, int events)
{
	char *text = xmalloc(32 * 1024 + 1), account[32];
	memset(text, 'x', 32 * 1024);
	text[32 * 1024] = '\0';
	for (int i = 0; i < events; i++) {
		snprintf(account, sizeof(account), "large-%d", i);
		json_t *event = json_pack("{s:i, s:s, s:i, s:s}", "event_time", i, "account",
					  account, "total", 1, "last", text);
		bed_event(bed, "ledger", i % 2, event);
		json_decref(event);
	}
	bed_flush(bed);
	free(text);
}

/* Sessions in the middle of a COPY into the table, with rows behind them. */
static int64_t copying(struct bed *bed, const char *more)
{
	return bed_int(
		bed,
		"SELECT count(*) FROM pg_stat_progress_copy c JOIN pg_stat_activity a USING (pid)"
		" WHERE c.datname = current_database() AND c.relid = 'ledger'::regclass"
		" AND c.bytes_processed > 100000 %s",
		more);
}

/* A check, not a trigger: a table with triggers is not copied into. */
static void set_pace_of_rows(struct bed *bed, const char *seconds)
{
	bed_sql(bed,
		"CREATE OR REPLACE FUNCTION slow(text) RETURNS boolean LANGUAGE plpgsql AS"
		" 'BEGIN PERFORM pg_sleep(%s); RETURN true; END'",
		seconds);
}

/*
 * Proves: a worker stopped while it sends the rows of a COPY leaves a session that holds the
 * offsets rows, that waits for its client and that no timeout ends; its successor ends it when its
 * claim has waited in vain, whichever timeout says so, and goes on. When the first wakes up it
 * finds itself disowned and writes nothing.
 */
START_TEST(zombie_in_copy)
{
	struct bed *bed = group_bed("copy", 2);
	bed_set(bed, "kafka.session.timeout.ms", "3000");
	bed_set(bed, "postgres.lanes", "1");
	bed_set(bed, "postgres.lock_timeout", _i == 0 ? "2s" : "1h");
	bed_set(bed, "postgres.statement_timeout", _i == 0 ? "60s" : "5s");
	bed_set(bed, "batch.max_rows", "800");
	bed_set(bed, "batch.max_bytes", "32MiB");
	bed_set(bed, "batch.max_age", "5s");
	bed_set(bed, "batch.adaptive", "off");
	set_pace_of_rows(bed, "0.01");
	bed_sql(bed, "ALTER TABLE ledger ADD CHECK (slow(account))");
	send_large(bed, 800);
	struct worker *zombie = worker_start(bed, NULL);
	BED_WAIT(bed, 30, copying(bed, "") == 1);
	worker_signal(zombie, SIGSTOP);
	set_pace_of_rows(bed, "0");
	BED_WAIT(bed, 10, copying(bed, "AND wait_event = 'ClientRead'") == 1);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memingest.batches"), 0);
	struct worker *heir = worker_start(bed, NULL);
	bed_drain(bed, 30);
	ck_assert(worker_logged(heir, "session ended that held a partition"));
	ck_assert_int_eq(copying(bed, ""), 0);
	worker_signal(zombie, SIGCONT);
	BED_WAIT(bed, 20, let_go(zombie));
	BED_WAIT(bed, 40, assigned(zombie) == 1 && assigned(heir) == 1);
	ledger_send(bed, 0, "large-0", 1000, 1);
	ledger_send(bed, 1, "large-1", 1000, 1);
	bed_drain(bed, 30);
	worker_stop(zombie);
	worker_stop(heir);
	model_check(bed);
	bed_free(bed);
}
END_TEST

/*
 * Proves: when somebody else has claimed the rows and Kafka says nothing of it, every batch under
 * way is fenced at the swap: counted, logged with what was expected and what was found, not
 * written; the worker claims anew after a while and goes on. Batches go a row at a time (0) or by
 * COPY (1): each way looks at the swap by itself.
 */
START_TEST(claimed_by_another)
{
	struct bed *bed = group_bed("claimed", 4);
	bed_set(bed, "batch.max_rows", _i == 0 ? "20" : "2000");
	bed_set(bed, "batch.max_age", _i == 0 ? "20ms" : "500ms");
	bed_set(bed, "batch.adaptive", "off");
	struct pace *pace = pace_open(bed, "ledger", 1500);
	struct worker *w = worker_start(bed, NULL);
	for (int i = 0; i < 3; i++) {
		pace_progress(pace, 500);
		/* A partition that is still to be claimed anew would not notice another change. */
		PACE_WAIT(pace, bed, 20,
			  bed_int(bed, "SELECT count(*) FROM memingest.offsets WHERE owner = "
				       "'somebody else'") == 0);
		bed_sql(bed, "UPDATE memingest.offsets SET owner_epoch = owner_epoch + 1, owner = "
			     "'somebody else'");
		PACE_WAIT(pace, bed, 20,
			  worker_metric(w, "memingest_fenced_total", NULL) >= 4 * (i + 1));
		worker_wait_log(w, "expected next_offset", 5);
		ck_assert(worker_logged(w, "owner somebody else"));
		ck_assert_int_eq(
			bed_int(bed,
				"SELECT count(*) FROM memingest.batches b JOIN memingest.offsets o "
				"USING (pipeline, topic, partition) WHERE b.owner_epoch > "
				"o.owner_epoch"),
			0);
	}
	pace_close(pace);
	bed_drain(bed, 30);
	worker_stop(w);
	model_check(bed);
	bed_free(bed);
}
END_TEST

static void group_tests(TCase *tc)
{
	tcase_add_test(tc, come_and_go);
	tcase_add_test(tc, storm);
}
SYSTEM_SUITE("group", 120, group_tests)

static void zombie_tests(TCase *tc)
{
	tcase_add_test(tc, zombie_with_batches);
	tcase_add_loop_test(tc, zombie_in_transaction, 0, 2);
	tcase_add_loop_test(tc, zombie_in_copy, 0, 2);
}
SYSTEM_SUITE("zombie", 120, zombie_tests)

static void claims_tests(TCase *tc)
{
	tcase_add_loop_test(tc, claimed_by_another, 0, 2);
}
SYSTEM_SUITE("claims", 120, claims_tests)

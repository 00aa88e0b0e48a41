/*
 * test_crash.c - workers that end in the middle of work: killed, told to stop, told twice.
 *
 * Each harm is done only after measured progress, while events keep coming, so that it hits live
 * work. Afterwards every event must have counted exactly once: the ledger's sums show it.
 */
#include <signal.h>

#include "bed.h"
#include "broker.h"
#include "ledger.h"
#include "model.h"
#include "proxy.h"
#include "system.h"

#define KILLS 8

/* Sends nobody home for long: a killed member is missed after a second. */
static struct bed *crash_bed(const char *name)
{
	struct bed *bed = ledger_bed(name, 4);
	bed_set(bed, "kafka.session.timeout.ms", "1500");
	bed_set(bed, "kafka.heartbeat.interval.ms", "300");
	return bed;
}

/* How far Kafka's committed offset is behind what is durable: a partition's least and most. */
static void committed_behind(struct bed *bed, int64_t *least, int64_t *most)
{
	int64_t committed[4];
	broker_committed(bed->name, bed->streams[0].topic, committed, 4);
	*least = INT64_MAX;
	*most = INT64_MIN;
	for (int p = 0; p < 4; p++) {
		int64_t durable = bed_int(bed,
					  "SELECT next_offset FROM memingest.offsets WHERE "
					  "pipeline = '%s' AND partition = %d",
					  bed->name, p);
		*least = MIN(*least, durable - committed[p]);
		*most = MAX(*most, durable - committed[p]);
	}
}

/* Kafka's committed offset never passes what is durable, at no moment. */
static void committed_within_durable(struct bed *bed)
{
	int64_t least, most;
	committed_behind(bed, &least, &most);
	ck_assert_int_ge(least, 0);
}

static void committed_is_durable(struct bed *bed)
{
	int64_t least, most;
	committed_behind(bed, &least, &most);
	ck_assert_int_eq(least, 0);
	ck_assert_int_eq(most, 0);
}

/*
 * Proves: a worker killed with SIGKILL in the middle of transactions, again and again, loses
 * nothing and writes nothing twice.
 */
START_TEST(killed_under_load)
{
	struct bed *bed = crash_bed("killed");
	struct pace *pace = pace_open(bed, "ledger", 2000);
	int in_transaction = 0;
	for (int i = 0; i < KILLS; i++) {
		struct worker *w = worker_start(bed, NULL);
		pace_progress(pace, 1000 + 137 * i);
		/* preferably while a transaction is open */
		for (int tries = 0; tries < 200 && ledger_open_transactions(bed) == 0; tries++)
			pace_turn(pace);
		in_transaction += ledger_open_transactions(bed) > 0;
		worker_kill(w);
		committed_within_durable(bed);
	}
	ck_assert_int_gt(in_transaction, 0);
	struct worker *last = worker_start(bed, NULL);
	pace_progress(pace, 500);
	pace_close(pace);
	bed_drain(bed, 30);
	worker_stop(last);
	model_check(bed);
	bed_free(bed);
}
END_TEST

/*
 * Proves: SIGTERM under load ends with 0 within shutdown.timeout, tells Kafka what is durable, and
 * leaves the group: although a missing member would be waited for 30 s, the next worker goes on at
 * once.
 */
START_TEST(sigterm_under_load)
{
	struct bed *bed = ledger_bed("sigterm", 4);
	bed_set(bed, "kafka.session.timeout.ms", "30000");
	bed_set(bed, "shutdown.timeout", "5s");
	struct pace *pace = pace_open(bed, "ledger", 2000);
	for (int i = 0; i < 4; i++) {
		struct worker *w = worker_start(bed, NULL);
		int64_t begun_us = clock_mono_us();
		pace_progress(pace, 1500);
		ck_assert_int_lt(clock_mono_us() - begun_us, 10 * US_PER_S);
		int64_t told_us = clock_mono_us();
		worker_signal(w, SIGTERM);
		ck_assert_int_eq(worker_wait(w, 7), 0);
		ck_assert_int_lt(clock_mono_us() - told_us, 7 * US_PER_S);
		committed_is_durable(bed);
	}
	struct worker *last = worker_start(bed, NULL);
	pace_close(pace);
	bed_drain(bed, 30);
	worker_stop(last);
	model_check(bed);
	bed_free(bed);
}
END_TEST

/*
 * Proves: with the database hanging, SIGTERM still ends with 0 after shutdown.timeout, a second
 * SIGTERM ends at once, and what was under way is neither lost nor written twice.
 */
START_TEST(sigterm_with_a_hanging_database)
{
	bool twice = _i == 1;
	struct bed *bed = crash_bed("hanging");
	struct proxy *proxy = proxy_start(stack.pg_port);
	bed->pg_port = proxy_port(proxy);
	bed_set(bed, "shutdown.timeout", twice ? "20s" : "3s");
	struct pace *pace = pace_open(bed, "ledger", 2000);
	struct worker *w = worker_start(bed, NULL);
	pace_progress(pace, 1000);
	proxy_mode(proxy, PROXY_BLACKHOLE);
	pace_for(pace, 0.5);
	int64_t told_us = clock_mono_us();
	worker_signal(w, SIGTERM);
	if (twice) {
		pace_for(pace, 1.5);
		ck_assert_uint_eq(bed->nworkers, 1);
		worker_signal(w, SIGTERM);
		told_us = clock_mono_us();
	}
	ck_assert_int_eq(worker_wait(w, 10), 0);
	committed_within_durable(bed);
	ck_assert_int_lt(clock_mono_us() - told_us, (twice ? 1 : 8) * US_PER_S);
	proxy_mode(proxy, PROXY_PASS);
	w = worker_start(bed, NULL);
	pace_progress(pace, 500);
	pace_close(pace);
	bed_drain(bed, 30);
	worker_stop(w);
	proxy_stop(proxy);
	model_check(bed);
	bed_free(bed);
}
END_TEST

static void crash_tests(TCase *tc)
{
	tcase_add_test(tc, killed_under_load);
	tcase_add_test(tc, sigterm_under_load);
	tcase_add_loop_test(tc, sigterm_with_a_hanging_database, 0, 2);
}
SYSTEM_SUITE("crash", 120, crash_tests)

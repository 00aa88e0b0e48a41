/*
 * test_cutoff.c - the way to the broker is cut, slow, blocked or swallows what is said, or the
 * broker says that there are no brokers: the worker goes on from the right place by itself.
 *
 * A proxy stands between worker and broker; the test's own clients go straight to the broker, so
 * events keep coming. Nobody is to restart the worker for any of this: /livez stays 200.
 */
#include <string.h>

#include "bed.h"
#include "ledger.h"
#include "model.h"
#include "proxy.h"
#include "system.h"

/* A member that is not heard of for 1.5 s is missed; a request that is not answered for 3 s is
 * given up. */
static struct bed *cutoff_bed(const char *name)
{
	struct bed *bed = ledger_bed(name, 4);
	bed_set(bed, "kafka.session.timeout.ms", "1500");
	bed_set(bed, "kafka.heartbeat.interval.ms", "300");
	bed_set(bed, "kafka.socket.timeout.ms", "3000");
	bed_set(bed, "kafka.reconnect.backoff.max.ms", "1000");
	bed_set(bed, "kafka.statistics.interval.ms", "1000");
	return bed;
}

/* Events come in, and at no moment does the worker ask to be restarted. */
static void lives_for(struct pace *pace, struct worker *w, int seconds)
{
	for (int i = 0; i < seconds; i++) {
		pace_for(pace, 1);
		ck_assert_uint_eq(worker_http(w, "/livez", NULL), 200);
	}
}

static void goes_on(struct pace *pace, struct worker *w)
{
	pace_progress(pace, 500);
	ck_assert_uint_eq(worker_http(w, "/livez", NULL), 200);
}

static double renewals(struct worker *w)
{
	return worker_metric(w, "memingest_kafka_client_renewals_total", NULL);
}

static void finish(struct bed *bed, struct pace *pace, struct worker *w)
{
	pace_close(pace);
	bed_drain(bed, 30);
	worker_stop(w);
	model_check(bed);
	bed_free(bed);
}

/*
 * Proves: a slow way, one on which nothing moves for longer than a session and then all arrives at
 * once, a broker that is stopped for that long and goes on, and a way that swallows what is said
 * while connections stay, cost time and nothing else.
 */
START_TEST(way_troubled)
{
	struct bed *bed = cutoff_bed("way");
	struct proxy *proxy = bed_proxy_kafka(bed);
	struct pace *pace = pace_open(bed, "ledger", 1000);
	struct worker *w = worker_start(bed, NULL);
	goes_on(pace, w);
	proxy_delay(proxy, 100 * US_PER_MS);
	lives_for(pace, w, 2);
	goes_on(pace, w);
	proxy_delay(proxy, 0);
	proxy_mode(proxy, PROXY_BLACKHOLE);
	lives_for(pace, w, 4);
	proxy_mode(proxy, PROXY_PASS);
	goes_on(pace, w);
	stack_do("kafka", "freeze", NULL);
	lives_for(pace, w, 4);
	stack_do("kafka", "thaw", NULL);
	goes_on(pace, w);
	proxy_mode(proxy, PROXY_SWALLOW);
	lives_for(pace, w, 2);
	proxy_mode(proxy, PROXY_PASS);
	goes_on(pace, w);
	finish(bed, pace, w);
	proxy_stop(proxy);
}
END_TEST

/*
 * Proves: a client that has had no broker for ten seconds is replaced, and again only after twice
 * that; the partitions are given up as lost; and when the way is open the newest client goes on.
 */
START_TEST(client_renewed)
{
	struct bed *bed = cutoff_bed("renewed");
	struct proxy *proxy = bed_proxy_kafka(bed);
	struct pace *pace = pace_open(bed, "ledger", 500);
	struct worker *w = worker_start(bed, NULL);
	goes_on(pace, w);
	int64_t cut_us = clock_mono_us();
	proxy_mode(proxy, PROXY_RESET);
	PACE_WAIT(pace, bed, 25, renewals(w) == 1);
	ck_assert_int_ge(clock_mono_us() - cut_us, 10 * US_PER_S);
	ck_assert(worker_logged(w, "has no connection to any broker: it is replaced"));
	ck_assert_double_eq(worker_metric(w, "memingest_assigned_partitions", NULL), 0);
	ck_assert_uint_eq(worker_http(w, "/readyz", NULL), 503);
	lives_for(pace, w, 2);
	proxy_mode(proxy, PROXY_PASS);
	goes_on(pace, w);
	ck_assert_double_eq(renewals(w), 1);
	PACE_WAIT(pace, bed, 5, worker_http(w, "/readyz", NULL) == 200);
	finish(bed, pace, w);
	proxy_stop(proxy);
}
END_TEST

/*
 * Proves: a client to which the cluster said that it has no brokers, and that forgot them all
 * (librdkafka #5301), is told them again within an interval of the statistics. Without re-bootstrap
 * the loss is certain, with it a matter of luck; before librdkafka 2.10 it does not happen.
 */
START_TEST(brokers_forgotten)
{
	struct bed *bed = cutoff_bed("forgotten");
	bool newer = stack.librdkafka[0];
	struct buf report = {0};
	bed_set(bed, "kafka.topic.metadata.refresh.interval.ms", "200");
	bed_set(bed, "kafka.session.timeout.ms", "60000"); /* nobody is replaced before that */
	if (newer)
		bed_set(bed, "kafka.metadata.recovery.strategy", "none");
	struct pace *pace = pace_open(bed, "ledger", 1000);
	struct worker *w = worker_start(bed, NULL);
	goes_on(pace, w);
	stack_do("kafka", "unregister", NULL);
	ck_assert_int_eq(bed_command(bed, "check", NULL, &report), 0);
	ck_assert_int_eq(strstr(buf_cstr(&report), "#5301") != NULL, newer);
	buf_free(&report);
	if (newer)
		PACE_WAIT(pace, bed, 20, worker_logged(w, "has forgotten every broker"));
	stack_do("kafka", "kill", NULL);
	stack_do("kafka", "start", NULL);
	goes_on(pace, w);
	ck_assert_double_eq(renewals(w), 0);
	finish(bed, pace, w);
}
END_TEST

static void cutoff_tests(TCase *tc)
{
	tcase_add_test(tc, way_troubled);
	tcase_add_test(tc, client_renewed);
	tcase_add_test(tc, brokers_forgotten);
}
SYSTEM_SUITE("cutoff", 120, cutoff_tests)

/*
 * test_ending.c - SIGTERM while Kafka does not answer, twice, in the middle of a join, and SIGHUP.
 *
 * What could be written is durable before the client is closed, so whatever Kafka does, the worker
 * ends within seconds, with 0, and says what it waited for.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "bed.h"
#include "broker.h"
#include "ledger.h"
#include "model.h"
#include "proxy.h"
#include "system.h"

/* SIGTERM; must end with 0 in time. How long that took, in microseconds. */
static int64_t told_to_end(struct worker *w, int seconds)
{
	int64_t told_us = clock_mono_us();
	worker_signal(w, SIGTERM);
	ck_assert_int_eq(worker_wait(w, seconds), 0);
	return clock_mono_us() - told_us;
}

/* Proves: with all ways to the broker blocked SIGTERM ends with 0, and a line says what for. */
START_TEST(kafka_silent)
{
	struct bed *bed = ledger_bed("silent", 4);
	struct proxy *proxy = bed_proxy_kafka(bed);
	bed_set(bed, "kafka.session.timeout.ms", "3000");
	bed_set(bed, "kafka.heartbeat.interval.ms", "500");
	struct pace *pace = pace_open(bed, "ledger", 1000);
	struct worker *w = worker_start(bed, NULL);
	pace_progress(pace, 500);
	proxy_mode(proxy, PROXY_BLACKHOLE);
	pace_for(pace, 0.5);
	told_to_end(w, 11);
	ck_assert(worker_logged(w, "waiting for Kafka to let this member leave the group"));
	ck_assert(worker_logged(w, "msg=stopped exit_code=0"));
	proxy_mode(proxy, PROXY_PASS);
	pace_close(pace);
	bed_set(bed, "kafka.bootstrap.servers", "%s", stack.bootstrap);
	w = worker_start(bed, NULL);
	bed_drain(bed, 30);
	worker_stop(w);
	proxy_stop(proxy);
	model_check(bed);
	bed_free(bed);
}
END_TEST

/*
 * Proves: after one of its topics was deleted SIGTERM ends with 0 as well; librdkafka before 2.6.1
 * never comes out of closing then (#4724), so its client is left behind and a line says so.
 */
START_TEST(topic_deleted)
{
	struct bed *bed = ledger_bed("deleted", 2);
	struct bed_stream *gone = bed_stream_files(
		bed, "gone", 2, "tests/schemas/ledger_event.avsc", "tests/schemas/ledger_key.avsc");
	for (int i = 0; i < 20; i++) {
		ledger_send(bed, i % 2, "kept", INT64_C(1750000000000000) + i, i);
		bed_raw(bed, "gone", i % 2, (struct slice){0}, (struct slice){0});
	}
	bed_set(bed, "kafka.topic.metadata.refresh.interval.ms", "300");
	struct worker *w = worker_start(bed, NULL);
	bed_drain(bed, 30);
	broker_delete_topic(gone->topic);
	worker_wait_log(w, "does not exist any more", 20);
	told_to_end(w, 14);
	ck_assert(worker_logged(w, "msg=stopped exit_code=0"));
	bed_free(bed);
}
END_TEST

/* Runs until the worker has claimed its partitions; how long that took, in microseconds. */
static int64_t claims_within(struct worker *w, int seconds)
{
	int64_t from_us = clock_mono_us();
	worker_wait_log(w, "partition claimed", seconds);
	return clock_mono_us() - from_us;
}

/*
 * Proves: a second SIGTERM within a second is the first one; a later one ends the worker at once,
 * although the database hangs, and it still leaves the group: although a missing member would be
 * waited for 30 s, the next worker has its partitions in a few.
 */
START_TEST(told_twice)
{
	struct bed *bed = ledger_bed("twice", 4);
	struct proxy *proxy = proxy_start(stack.pg_port);
	bed->pg_port = proxy_port(proxy);
	bed_set(bed, "kafka.session.timeout.ms", "30000");
	struct pace *pace = pace_open(bed, "ledger", 1000);
	struct worker *w = worker_start(bed, NULL);
	pace_progress(pace, 500);
	proxy_mode(proxy, PROXY_BLACKHOLE);
	pace_for(pace, 0.5);
	worker_signal(w, SIGTERM);
	pace_for(pace, 0.3);
	worker_signal(w, SIGTERM);
	pace_for(pace, 1.2);
	ck_assert_uint_eq(bed->nworkers, 1);
	ck_assert_int_lt(told_to_end(w, 5), 2 * US_PER_S);
	proxy_mode(proxy, PROXY_PASS);
	w = worker_start(bed, NULL);
	ck_assert_int_lt(claims_within(w, 25), 10 * US_PER_S);
	pace_close(pace);
	bed_drain(bed, 30);
	worker_stop(w);
	proxy_stop(proxy);
	model_check(bed);
	bed_free(bed);
}
END_TEST

/*
 * Proves: a worker that is told to end while it waits to be let into the group, behind a member
 * that was killed, leaves no phantom in the next generation: its successor waits for the killed
 * one's session, not for a second one.
 */
START_TEST(told_while_joining)
{
	struct bed *bed = ledger_bed("joining", 2);
	bed_set(bed, "kafka.session.timeout.ms", "8000");
	struct worker *w = worker_start(bed, NULL);
	claims_within(w, 20);
	worker_kill(w);
	int64_t killed_us = clock_mono_us();
	w = worker_start(bed, NULL);
	worker_wait_log(w, "msg=running", 5);
	BED_WAIT(bed, 5, clock_mono_us() - killed_us > US_PER_S);
	worker_signal(w, SIGTERM);
	BED_WAIT(bed, 5, clock_mono_us() - killed_us > 2200 * US_PER_MS);
	told_to_end(w, 3);
	w = worker_start(bed, NULL);
	claims_within(w, 30);
	ck_assert_int_lt(clock_mono_us() - killed_us, 13 * US_PER_S);
	worker_stop(w);
	bed_free(bed);
}
END_TEST

/*
 * Proves: SIGHUP ends nothing: partitions are given up in order, a new client reads the secret file
 * as it is now and takes them again, at the right place, without anybody noticing but the group. A
 * file that is not there (any more) leaves the old client at work.
 */
START_TEST(hang_up)
{
	struct bed *bed = ledger_bed("hangup", 4);
	char path[192];
	snprintf(path, sizeof(path), "%s/password", bed->dir);
	FILE *out = fopen(path, "w");
	ck_assert(out && fputs("first", out) >= 0 && fclose(out) == 0);
	bed_set(bed, "kafka.session.timeout.ms", "30000");
	bed_set(bed, "kafka.sasl.password_file", "%s", path);
	struct pace *pace = pace_open(bed, "ledger", 1000);
	struct worker *w = worker_start(bed, NULL);
	pace_progress(pace, 500);
	for (int i = 0; i < 2; i++) {
		worker_signal(w, SIGHUP);
		worker_wait_log(w, "partitions revoked", 20);
		worker_wait_log(w, "partition claimed", 20);
		pace_progress(pace, 500);
	}
	ck_assert_int_eq(remove(path), 0);
	worker_signal(w, SIGHUP);
	worker_wait_log(w, "no new Kafka client, the old one stays", 20);
	pace_progress(pace, 500);
	ck_assert_double_eq(worker_metric(w, "memingest_fenced_total", NULL), 0);
	ck_assert_double_eq(worker_metric(w, "memingest_kafka_client_renewals_total", NULL), 0);
	pace_close(pace);
	bed_drain(bed, 30);
	worker_stop(w);
	model_check(bed);
	bed_free(bed);
}
END_TEST

static void ending_tests(TCase *tc)
{
	tcase_add_test(tc, kafka_silent);
	tcase_add_test(tc, topic_deleted);
	tcase_add_test(tc, told_twice);
	tcase_add_test(tc, told_while_joining);
	tcase_add_test(tc, hang_up);
}
SYSTEM_SUITE("ending", 90, ending_tests)

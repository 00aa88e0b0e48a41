/*
 * test_failpoints.c - a worker that is killed, stands still for longer than its membership of the
 * group lasts, or fails, at each of the places where that matters most (base/failpoint.h).
 *
 *   the successor      a worker without orders, from the beginning to the end
 *   two at a time      workers with an order each; the successor takes over what they leave
 *   at the end         every event counted once: model_check()
 *
 * Orders are counted by the passing, so that the harm hits live work: which passing it is differs
 * from round to round. Each point must have been passed: what says so is the log.
 *
 * Environment: FAILPOINT_ROUNDS, how often all of it is done (default 1; "make failpoints": 20).
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bed.h"
#include "broker.h"
#include "ledger.h"
#include "model.h"
#include "near.h"
#include "system.h"

#define PARTITIONS 6 /* so that both of two workers give some up when a third comes */
#define SESSION_MS 1000
#define STILL_MS 2500 /* longer than the session and than max.poll.interval.ms */

static int rounds(void)
{
	const char *given = getenv("FAILPOINT_ROUNDS");
	int n = given ? (int)strtol(given, NULL, 10) : 1;
	return MAX(n, 1);
}

/* The program with fail-points stands beside the other. */
static void use_failing_program(void)
{
	char *end = strstr(stack.program, "-failing");
	size_t len = strlen(stack.program);
	if (!end)
		snprintf(stack.program + len, sizeof(stack.program) - len, "-failing");
}

static struct worker *start_failing(struct bed *bed, const char *orders)
{
	setenv("MEMINGEST_TEST_FAIL", orders, 1);
	struct worker *w = worker_start(bed, NULL);
	unsetenv("MEMINGEST_TEST_FAIL");
	return w;
}

/* --- the way of an event --- */

static struct bed *failing_bed(void)
{
	struct bed *bed = ledger_bed("points", PARTITIONS);
	bed_set(bed, "kafka.session.timeout.ms", "%d", SESSION_MS);
	bed_set(bed, "kafka.heartbeat.interval.ms", "200");
	bed_set(bed, "kafka.max.poll.interval.ms", "%d", STILL_MS - 500);
	bed_set(bed, "postgres.lock_timeout", "500ms");
	/* so that batches are large enough for COPY, whoever has how many partitions */
	bed_set(bed, "postgres.lanes", "1");
	bed_set(bed, "batch.adaptive", "off");
	bed_set(bed, "batch.max_age", "500ms");
	return bed;
}

/* How often the worker's log says that the point was reached. */
static int fired(struct worker *w, const char *point)
{
	char text[96];
	snprintf(text, sizeof(text), "msg=\"fail point\" point=%s ", point);
	return worker_log_count(w, text);
}

/* Until it has ended by itself, with events coming in. */
static int ended(struct worker *w, struct pace *pace)
{
	struct pollfd fd = {.fd = w->pidfd, .events = POLLIN};
	int64_t deadline_us = clock_mono_us() + 30 * US_PER_S;
	while (poll(&fd, 1, 20) == 0) {
		ck_assert_msg(clock_mono_us() < deadline_us, "not killed within 30 s: %s", w->log);
		pace_turn(pace);
	}
	return worker_wait(w, 1);
}

/* What Kafka was told is durable, at this moment and so at any other. */
static void kafka_is_not_ahead(struct bed *bed)
{
	int64_t told[PARTITIONS];
	broker_committed(bed->name, bed->streams[0].topic, told, PARTITIONS);
	for (int p = 0; p < PARTITIONS; p++)
		ck_assert_int_ge(bed_int(bed,
					 "SELECT coalesce(max(next_offset), 0) FROM"
					 " memingest.offsets WHERE partition = %d",
					 p),
				 told[p]);
}

/* Two points at a time, in an order in which the second worker's coming has the first revoke. */
static const char *const pairs[][2] = {
	{"in_revoke", "in_claim"},
	{"after_poll", "after_copy"},
	{"before_commit", "after_commit_sent"},
	{"after_commit", "before_kafka_commit"},
};

/* A claim or a revocation is not to be waited for twice. */
static int passing(const char *point, int round)
{
	return strncmp(point, "in_", 3) == 0 ? 1 : 1 + round % 4;
}

static struct worker *start_at(struct bed *bed, const char *point, const char *action, int round)
{
	char order[96];
	snprintf(order, sizeof(order), "%s=%s@%d", point, action, passing(point, round));
	return start_failing(bed, order);
}

static void kill_pair(struct bed *bed, struct pace *pace, const char *const points[2], int round)
{
	struct worker *w[2];
	for (int i = 0; i < 2; i++) {
		w[i] = start_at(bed, points[i], "kill", round);
		if (i == 0 && strcmp(points[0], "in_revoke") == 0)
			PACE_WAIT(pace, bed, 20, worker_logged(w[0], "partition claimed"));
	}
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(ended(w[i], pace), 128 + SIGKILL);
		ck_assert_int_eq(fired(w[i], points[i]), 1);
		kafka_is_not_ahead(bed);
	}
}

/* They wake up when they have been taken for dead, and go on. */
static void still_pair(struct bed *bed, struct pace *pace, const char *const points[2], int round)
{
	struct worker *w[2];
	char action[32];
	snprintf(action, sizeof(action), "%s:%d", round % 2 ? "sleep" : "stop", STILL_MS);
	for (int i = 0; i < 2; i++) {
		w[i] = start_at(bed, points[i], action, round);
		if (i == 0 && strcmp(points[0], "in_revoke") == 0)
			PACE_WAIT(pace, bed, 20, worker_logged(w[0], "partition claimed"));
	}
	for (int i = 0; i < 2; i++) {
		PACE_WAIT(pace, bed, 30, fired(w[i], points[i]) == 1);
		kafka_is_not_ahead(bed);
		PACE_WAIT(pace, bed, 30, worker_logged(w[i], "fail point is over"));
		if (round % 2 == 0 && strncmp(points[i], "in_", 3) != 0)
			PACE_WAIT(pace, bed, 30, worker_logged(w[i], "partitions lost"));
	}
	pace_progress(pace, 300);
	for (int i = 0; i < 2; i++)
		worker_stop(w[i]);
}

/* One worker fails at all of them, one after the other, and lives. */
static void fail_at_all(struct bed *bed, struct pace *pace, int round)
{
	struct buf orders = {0};
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
		for (int j = 0; j < 2; j++)
			buf_printf(&orders, "%s%s=error@%d", orders.len ? "," : "", pairs[i][j],
				   passing(pairs[i][j], round));
	struct worker *w = start_failing(bed, buf_cstr(&orders));
	PACE_WAIT(pace, bed, 20, worker_logged(w, "partition claimed"));
	struct worker *other = worker_start(bed, NULL); /* something is to be revoked */
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
		for (int j = 0; j < 2; j++)
			PACE_WAIT(pace, bed, 20, fired(w, pairs[i][j]) == 1);
	pace_progress(pace, 300);
	worker_stop(other);
	worker_stop(w);
	buf_free(&orders);
}

/*
 * Proves: a worker that is killed, stands still past its membership or fails at any of the places
 * where an event could be lost or counted twice, with others that take over meanwhile, loses
 * nothing and writes nothing twice; and each place was passed.
 */
START_TEST(every_point)
{
	struct bed *bed = failing_bed();
	struct pace *pace = pace_open(bed, "ledger", 1000);
	struct worker *successor = worker_start(bed, NULL);
	use_failing_program();
	fail_at_all(bed, pace, _i);
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		kill_pair(bed, pace, pairs[i], _i);
		still_pair(bed, pace, pairs[i], _i);
	}
	pace_progress(pace, 300);
	pace_close(pace);
	bed_drain(bed, 60);
	worker_stop(successor);
	model_check(bed);
	bed_free(bed);
}
END_TEST

/* --- the steps of the indexer --- */

static const char *const seal_points[] = {"before_seal",  "after_graph",    "before_attach",
					  "after_attach", "before_publish", "before_drop"};

#define SEAL_ROWS 40

/* "memingest index build" of the program with fail-points; its log is there in any case. */
static int build_failing(struct bed *bed, const char *point, const char *action, const char *log)
{
	char order[96];
	const char *const argv[] = {stack.program, "index", "-c", bed->config, "build", NULL};
	const char *const env[] = {order, NULL};
	snprintf(order, sizeof(order), "MEMINGEST_TEST_FAIL=%s=%s", point, action);
	bed_write_config(bed);
	return spawn(argv, env, log);
}

/* The file may not be there yet. */
static bool is_in_file(const char *path, const char *text)
{
	if (access(path, R_OK) != 0)
		return false;
	char *all = bed_read_file(path);
	bool is = strstr(all, text) != NULL;
	free(all);
	return is;
}

/* Something is to be done: rows to be sealed, or a segment that is dead for longer than it stays.
 */
static void prepare_seal(struct bed *bed, const char *point, int number)
{
	near_insert(bed, SEAL_ROWS * number, SEAL_ROWS * number + SEAL_ROWS);
	if (strcmp(point, "before_drop") != 0)
		return;
	bed_sql(bed, "UPDATE near SET search_xid = DEFAULT");
	near_build(bed);
	ck_assert_int_eq(bed_command(bed, "index", (const char *[]){"rewrite", NULL}, NULL), 0);
	ck_assert_int_gt(bed_int(bed, "WITH d AS (UPDATE memingest.segments SET changed_at ="
				      " '2000-01-01' WHERE state = 'dead' RETURNING 1) SELECT"
				      " count(*) FROM d"),
			 0);
}

/* All rows are found, each once. */
static void search_is_right(struct bed *bed)
{
	ck_assert_int_eq(near_missed(bed), 0);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) - count(DISTINCT id) FROM"
				      " memingest.candidates_near('[1,1,1,1,1,1,1,1]', 9000)"),
			 0);
}

#define ANY_FAILURE (-1)

/* What a build left half done is found and finished by the next. */
static void break_build(struct bed *bed, const char *point, const char *action, int expected)
{
	char log[160], said[64];
	static int number;
	snprintf(log, sizeof(log), "%s/build-%d.log", bed->dir, number);
	snprintf(said, sizeof(said), "msg=\"fail point\" point=%s ", point);
	prepare_seal(bed, point, number++);
	int pid = build_failing(bed, point, action, log);
	if (strncmp(action, "stop", 4) == 0) {
		BED_WAIT(bed, 20, is_in_file(log, said));
		search_is_right(bed);
	}
	int status = wait_exit(pid);
	ck_assert_msg(expected == ANY_FAILURE ? status > 0 && status < 128 : status == expected,
		      "%s=%s: ended with %d", point, action, status);
	ck_assert_msg(is_in_file(log, said), "%s=%s: never passed", point, action);
	search_is_right(bed);
	near_build(bed);
	ck_assert_int_eq(near_unindexed(bed), 0);
	search_is_right(bed);
	near_no_leftovers(bed);
}

/*
 * Proves: a build of a segment that is killed, stands still or fails between any two of its steps
 * makes no search miss a row or bring one twice, leaves nothing behind, and the next one finishes
 * what it had begun; and each place was passed.
 */
START_TEST(every_point_of_a_seal)
{
	struct bed *bed = near_bed("seals");
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(seal_points); i++) {
		use_failing_program();
		break_build(bed, seal_points[i], "kill", 128 + SIGKILL);
		break_build(bed, seal_points[i], "error", ANY_FAILURE);
		break_build(bed, seal_points[i], "stop:700", 0);
	}
	bed_free(bed);
}
END_TEST

/* Proves: the program that is shipped has no such places. */
START_TEST(not_in_the_shipped_program)
{
	const char *const argv[] = {"/bin/grep", "-q", "MEMINGEST_TEST_FAIL", stack.program, NULL};
	ck_assert_int_eq(wait_exit(spawn(argv, NULL, NULL)), 1);
	use_failing_program();
	ck_assert_int_eq(wait_exit(spawn(argv, NULL, NULL)), 0);
}
END_TEST

static void failpoints_tests(TCase *tc)
{
	tcase_add_test(tc, not_in_the_shipped_program);
	tcase_add_loop_test(tc, every_point, 0, rounds());
	tcase_add_loop_test(tc, every_point_of_a_seal, 0, rounds());
}
SYSTEM_SUITE("failpoints", 120, failpoints_tests)

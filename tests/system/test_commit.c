/*
 * test_commit.c - COMMITs whose fate the worker cannot know: lost on the way there, applied but
 * unanswered, or silent.
 *
 * A proxy between worker and server does it to chosen COMMITs under load. The ledger's sums and the
 * tiling of memingest.batches show a batch that was applied twice or dropped; the counter must tell
 * just those that had been applied.
 */
#include "bed.h"
#include "ledger.h"
#include "model.h"
#include "proxy.h"
#include "system.h"

#define FAULTS 30

struct ground {
	struct bed *bed;
	struct proxy *proxy;
	struct pace *pace;
	struct worker *worker;
};

static struct ground ground_new(const char *name)
{
	struct ground g = {.bed = ledger_bed(name, 4)};
	g.proxy = proxy_start(stack.pg_port);
	g.bed->pg_port = proxy_port(g.proxy);
	bed_set(g.bed, "postgres.statement_timeout", "1s");
	g.pace = pace_open(g.bed, "ledger", 2000);
	g.worker = worker_start(g.bed, NULL);
	pace_progress(g.pace, 500);
	return g;
}

/* Does it to the nth COMMIT from now and waits until it has happened and the worker is past it. */
static void ground_fault(struct ground *g, enum proxy_fault fault, unsigned nth)
{
	unsigned before = proxy_fired(g->proxy);
	proxy_arm(g->proxy, fault, nth);
	PACE_WAIT(g->pace, g->bed, 20, proxy_fired(g->proxy) > before);
}

static void ground_end(struct ground *g)
{
	pace_progress(g->pace, 500);
	pace_close(g->pace);
	bed_drain(g->bed, 40);
}

static double resolved(struct ground *g)
{
	return worker_metric(g->worker, "memingest_commit_ambiguous_total", NULL);
}

static void ground_free(struct ground *g)
{
	worker_stop(g->worker);
	model_check(g->bed);
	proxy_stop(g->proxy);
	bed_free(g->bed);
}

/*
 * Proves: batches whose COMMIT never arrived are written again, once, and not one of them is taken
 * for committed.
 */
START_TEST(commit_lost)
{
	struct ground g = ground_new("lost");
	for (unsigned i = 0; i < FAULTS; i++)
		ground_fault(&g, PROXY_COMMIT_LOST, 1 + i % 4);
	ground_end(&g);
	ck_assert_double_eq(resolved(&g), 0);
	ground_free(&g);
}
END_TEST

/*
 * Proves: batches that were committed without the worker hearing of it are recognised by the
 * offsets row, each of them, and not written again.
 */
START_TEST(answer_lost)
{
	struct ground g = ground_new("answer");
	for (unsigned i = 0; i < FAULTS; i++)
		ground_fault(&g, PROXY_ANSWER_LOST, 1 + i % 4);
	ground_end(&g);
	ck_assert_double_eq(resolved(&g), FAULTS);
	ck_assert_double_eq(worker_metric(g.worker, "memingest_fenced_total", NULL), 0);
	ground_free(&g);
}
END_TEST

/* Proves: both kinds mixed, with single COMMITs close together, and counted apart. */
START_TEST(mixed)
{
	struct ground g = ground_new("mixed");
	unsigned applied = 0;
	for (unsigned i = 0; i < FAULTS; i++) {
		bool answer = i * 7 % 5 < 3;
		applied += answer;
		ground_fault(&g, answer ? PROXY_ANSWER_LOST : PROXY_COMMIT_LOST, 1);
	}
	ground_end(&g);
	ck_assert_double_eq(resolved(&g), applied);
	ck_assert_double_eq(worker_metric(g.worker, "memingest_fenced_total", NULL), 0);
	ground_free(&g);
}
END_TEST

/*
 * Proves: a COMMIT whose answer does not come although the connection stays is given up at the
 * deadline, and resolved.
 */
START_TEST(answer_stuck)
{
	struct ground g = ground_new("stuck");
	ground_fault(&g, PROXY_ANSWER_STUCK, 3);
	ground_end(&g);
	ck_assert_double_eq(resolved(&g), 1);
	ground_free(&g);
}
END_TEST

/*
 * Proves: when everything said to the server is held back for longer than the worker waits, and
 * arrives when the worker has long begun anew on other connections, the late COMMITs and the
 * retries do not add up.
 */
START_TEST(late_arrival)
{
	struct ground g = ground_new("late");
	proxy_mode(g.proxy, PROXY_BLACKHOLE);
	pace_for(g.pace, 13);
	proxy_mode(g.proxy, PROXY_PASS);
	ground_end(&g);
	ground_free(&g);
}
END_TEST

static void commit_tests(TCase *tc)
{
	tcase_add_test(tc, commit_lost);
	tcase_add_test(tc, answer_lost);
	tcase_add_test(tc, mixed);
}
SYSTEM_SUITE("commit", 120, commit_tests)

static void deadline_tests(TCase *tc)
{
	tcase_add_test(tc, answer_stuck);
	tcase_add_test(tc, late_arrival);
}
SYSTEM_SUITE("deadline", 120, deadline_tests)

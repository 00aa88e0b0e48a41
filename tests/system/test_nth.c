/*
 * test_nth.c - the nth allocation, receive, send, poll, read, write, connect of a worker fails
 * (tests/nth/nth.c), for a spread of n over the calls that a run makes.
 *
 * Each worker either goes on, or ends with words and a code of its own; then another goes on from
 * there, so a transaction that was committed in part, or an offset without its rows, would show in
 * the ledger's sums at the end. librdkafka ends a process without memory by abort(), in its words;
 * no other signal is a way to end.
 *
 * NTH_SEED and NTH_ROUNDS (make nth) choose other numbers, and more of them.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bed.h"
#include "ledger.h"
#include "model.h"
#include "system.h"

/* FIRST: allocations of libraries before main() begins. */
enum { ENOUGH = 300, SECONDS = 40, ABORTED = 128 + SIGABRT, FIRST = 1290 };

/* With shortened names: kind, and how the call fails. */
static const char *const plans[][2] = {
	{"malloc", ""},     {"malloc", ""},       {"malloc", ""},      {"recv", ":ECONNRESET"},
	{"recv", ":EINTR"}, {"recv", ":short"},   {"send", ":EPIPE"},  {"send", ":EAGAIN"},
	{"send", ":short"}, {"poll", ":EINTR"},   {"poll", ":ENOMEM"}, {"read", ":EIO"},
	{"read", ":short"}, {"write", ":EAGAIN"}, {"write", ":short"}, {"connect", ":ETIMEDOUT"},
};

static uint64_t seed;

static uint64_t draw(uint64_t below)
{
	uint64_t z = seed += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return (z ^ z >> 31) % below;
}

static long number_of(const char *name, long otherwise)
{
	const char *text = getenv(name);
	return text ? strtol(text, NULL, 10) : otherwise;
}

/* What the next process that is started finds in its environment; plan NULL: nothing. */
static void load_shim(struct bed *bed, const char *plan)
{
	char path[4200], count[200];
	snprintf(path, sizeof(path), "%.*snth.so",
		 (int)(strrchr(stack.program, '/') - stack.program) + 1, stack.program);
	ck_assert_msg(access(path, R_OK) == 0, "%s", path);
	snprintf(count, sizeof(count), "%s/count", bed->dir);
	unsetenv("LD_PRELOAD");
	if (!plan)
		return;
	setenv("LD_PRELOAD", path, 1);
	setenv("NTH", plan, 1);
	setenv("NTH_COUNT", count, 1);
}

static struct worker *start(struct bed *bed, const char *plan)
{
	load_shim(bed, plan);
	struct worker *w = worker_start(bed, NULL);
	load_shim(bed, NULL);
	return w;
}

/* Until so many more events are durable; false: the worker has ended. */
static bool goes_on(struct bed *bed, struct worker *w, struct pace *pace, const char *plan)
{
	struct pollfd end = {.fd = w->pidfd, .events = POLLIN};
	int64_t deadline = clock_mono_us() + SECONDS * US_PER_S, before = ledger_durable(bed);
	while (poll(&end, 1, 20) == 0) {
		pace_turn(pace);
		if (ledger_durable(bed) >= before + ENOUGH)
			return true;
		ck_assert_msg(clock_mono_us() < deadline, "%s: it neither goes on nor ends", plan);
	}
	return false;
}

/* How it ended is a way to end: words, and no signal but librdkafka's abort() with its own. */
static void check_end(struct worker *w, int status, const char *plan)
{
	struct buf log = {0};
	worker_read_log(w, &log);
	const char *text = buf_cstr(&log);
	bool words = strstr(text, "level=error") || strstr(text, "memingest: ");
	bool kafka = strstr(text, "rd.h:") || strstr(text, "rdkafka") || strstr(text, "rdbuf");
	ck_assert_msg(status < 128 ? status == 0 || words : status == ABORTED && words && kafka,
		      "%s: ended with %d: %.3000s", plan, status,
		      text + (log.len > 3000 ? log.len - 3000 : 0));
	buf_free(&log);
}

/* How many calls of that kind a worker makes that starts, writes events and ends. */
static long calls_of(struct bed *bed, struct pace *pace, const char *kind)
{
	char plan[32], path[200];
	long n = 0;
	snprintf(plan, sizeof(plan), "%s:0", kind);
	struct worker *w = start(bed, plan);
	ck_assert(goes_on(bed, w, pace, plan));
	worker_stop(w);
	snprintf(path, sizeof(path), "%s/count", bed->dir);
	FILE *f = fopen(path, "r");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fscanf(f, "%ld", &n), 1);
	fclose(f);
	return n;
}

static void one_failure(struct bed *bed, struct pace *pace, const char *plan)
{
	struct worker *w = start(bed, plan);
	if (goes_on(bed, w, pace, plan))
		worker_signal(w, SIGTERM);
	int status = worker_wait(w, SECONDS);
	printf("  %-24s exit %d\n", plan, status);
	check_end(w, status, plan);
}

/* Proves: whatever call fails, once, no transaction is half there, and nothing ends without words.
 */
START_TEST(nth_fails)
{
	const char *kind = plans[_i][0];
	char plan[64];
	seed = (uint64_t)number_of("NTH_SEED", 14) + (uint64_t)_i;
	struct bed *bed = ledger_bed("nth", 2);
	bed_set(bed, "kafka.session.timeout.ms", "1500");
	bed_set(bed, "kafka.heartbeat.interval.ms", "300");
	struct pace *pace = pace_open(bed, "ledger", 2000);
	long calls = calls_of(bed, pace, kind);
	ck_assert_int_gt(calls, 0);
	for (long i = number_of("NTH_ROUNDS", 1); i > 0; i--) {
		snprintf(plan, sizeof(plan), "%s:%ld%s", kind, 1 + (long)draw((uint64_t)calls),
			 plans[_i][1]);
		one_failure(bed, pace, plan);
	}
	struct worker *last = start(bed, NULL);
	pace_close(pace);
	bed_drain(bed, 30);
	worker_stop(last);
	model_check(bed);
	bed_free(bed);
}
END_TEST

/* --- commands */

static const char *const lines[][4] = {
	{"check", NULL},
	{"check", "--online", NULL},
	{"config", "show", "--json", NULL},
	{"offsets", "show", NULL},
	{"migrate", "--dry-run", NULL},
};

/* It says what it says with memory, or that there is none; that one word is not a verdict. */
static void check_verdict(const char *plan, int status, const char *text, int good,
			  const char *wanted)
{
	bool words = strstr(text, "out of memory") || strstr(text, "Out of memory") ||
		     strstr(text, "Cannot allocate memory");
	bool kafka = status == ABORTED && strstr(text, "memingest: rd");
	ck_assert_msg((status == good && strcmp(text, wanted) == 0) || (status && words) || kafka,
		      "%s: exit %d: %.3000s", plan, status, text);
}

/* Proves: a command that has no memory says so, and not that config, schema or server is wrong. */
START_TEST(commands_without_memory)
{
	struct bed *bed = ledger_bed("nthcmd", 1);
	const char *const *line = lines[_i];
	char plan[64], path[200];
	struct buf wanted = {0}, text = {0};
	long calls = 0;
	seed = (uint64_t)number_of("NTH_SEED", 14) + (uint64_t)_i;
	load_shim(bed, "malloc:0");
	int good = bed_command(bed, line[0], line + 1, &wanted);
	load_shim(bed, NULL);
	snprintf(path, sizeof(path), "%s/count", bed->dir);
	FILE *f = fopen(path, "r");
	ck_assert(f && fscanf(f, "%ld", &calls) == 1 && calls > FIRST);
	fclose(f);
	for (long i = number_of("NTH_ROUNDS", 20); i > 0; i--) {
		snprintf(plan, sizeof(plan), "malloc:%ld",
			 FIRST + (long)draw((uint64_t)(calls - FIRST)));
		text.len = 0;
		load_shim(bed, plan);
		int status = bed_command(bed, line[0], line + 1, &text);
		load_shim(bed, NULL);
		check_verdict(plan, status, buf_cstr(&text), good, buf_cstr(&wanted));
	}
	buf_free(&wanted);
	buf_free(&text);
	bed_free(bed);
}
END_TEST

static void nth_tests(TCase *tc)
{
	tcase_add_loop_test(tc, commands_without_memory, 0, (int)ARRAY_LEN(lines));
	tcase_add_loop_test(tc, nth_fails, 0, (int)ARRAY_LEN(plans));
}

SYSTEM_SUITE("nth", 60, nth_tests)

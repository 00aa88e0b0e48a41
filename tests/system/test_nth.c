/*
 * test_nth.c - the nth allocation, receive, send, poll, read, write, connect of a worker fails
 * (tests/nth/nth.c), for a spread of n over the calls that a run makes.
 *
 * Each worker either goes on, or ends with words and a code of its own; then another goes on from
 * there, so a transaction that was committed in part, or an offset without its rows, would show in
 * the ledger's sums at the end. Without memory librdkafka ends a process by abort(), in its words,
 * and Kerberos and SASL, which libpq and librdkafka ask even where nobody uses them, may crash; no
 * other signal is a way to end.
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

/* Which call, and how it fails; the first ones are tried in every run. */
static const char *const plans[][2] = {
	{"malloc", ""},       {"recv", ":ECONNRESET"},
	{"send", ":short"},   {"poll", ":EINTR"},
	{"write", ":EAGAIN"}, {"malloc", ""},
	{"recv", ":EINTR"},   {"recv", ":short"},
	{"send", ":EPIPE"},   {"send", ":EAGAIN"},
	{"poll", ":ENOMEM"},  {"read", ":EIO"},
	{"read", ":short"},   {"write", ":short"},
	{"malloc", ""},       {"connect", ":ETIMEDOUT"},
};
enum { ALWAYS = 6 };

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

/* Debian's libgssapi_krb5 1.20 (gss_acquire_cred) and libsasl2 2.1 (sasl_client_init) do crash. */
static bool library_crashed(int status, const char *text)
{
	return status == 128 + SIGSEGV && (strstr(text, "nth: crashed in") != NULL) &&
	       (strstr(text, "/libgssapi") || strstr(text, "/libkrb5") ||
		strstr(text, "/libsasl2"));
}

/* How it ended is a way to end: words, and no signal but those of libraries without memory. */
static void check_end(struct worker *w, int status, const char *plan)
{
	struct buf log = {0};
	worker_read_log(w, &log);
	const char *text = buf_cstr(&log);
	bool words = strstr(text, "level=error") || strstr(text, "memingest: ");
	bool kafka = strstr(text, "rd.h:") || strstr(text, "rdkafka") || strstr(text, "rdbuf");
	ck_assert_msg((status < 128 ? status == 0 || words : status == ABORTED && words && kafka) ||
			      library_crashed(status, text),
		      "%s: ended with %d: %.3000s", plan, status,
		      text + (log.len > 3000 ? log.len - 3000 : 0));
	buf_free(&log);
}

/* How many calls of that kind the last process made that counted them. */
static long counted(struct bed *bed, const char *kind)
{
	char path[200], name[32];
	long n = 0, found = 0;
	snprintf(path, sizeof(path), "%s/count", bed->dir);
	FILE *f = fopen(path, "r");
	ck_assert_ptr_nonnull(f);
	while (fscanf(f, "%31s %ld", name, &n) == 2)
		if (strcmp(name, kind) == 0)
			found = n;
	fclose(f);
	ck_assert_msg(found > 0, "no %s", kind);
	return found;
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
	char plan[64];
	long rounds = number_of("NTH_ROUNDS", 0), calls[ARRAY_LEN(plans)];
	size_t nplans = rounds > 0 ? ARRAY_LEN(plans) : ALWAYS;
	struct bed *bed = ledger_bed("nth", 2);
	bed_set(bed, "kafka.session.timeout.ms", "1500");
	bed_set(bed, "kafka.heartbeat.interval.ms", "300");
	struct pace *pace = pace_open(bed, "ledger", 2000);
	struct worker *w = start(bed, "malloc:0");
	ck_assert(goes_on(bed, w, pace, "nothing fails"));
	worker_stop(w);
	for (size_t i = 0; i < ARRAY_LEN(plans); i++)
		calls[i] = counted(bed, plans[i][0]);
	for (size_t i = 0; i < nplans * (size_t)MAX(rounds, 1); i++) {
		const char *const *p = plans[i % nplans];
		snprintf(plan, sizeof(plan), "%s:%ld%s", p[0],
			 1 + (long)draw((uint64_t)calls[i % nplans]), p[1]);
		one_failure(bed, pace, plan);
	}
	w = start(bed, NULL);
	pace_close(pace);
	bed_drain(bed, 30);
	worker_stop(w);
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

/*
 * It says what it says with memory (and perhaps what a library lacks), or that there is none, which
 * is not a verdict on anything.
 */
static void check_verdict(const char *plan, int status, const char *text, int good,
			  const char *wanted)
{
	bool words = strstr(text, "out of memory") || strstr(text, "Out of memory") ||
		     strstr(text, "Cannot allocate memory");
	bool kafka = status == ABORTED && strstr(text, "memingest: rd");
	ck_assert_msg((status == good && strstr(text, wanted)) || (status && words) || kafka ||
			      library_crashed(status, text),
		      "%s: exit %d: %.3000s", plan, status, text);
}

static void command_without_memory(struct bed *bed, const char *const *line, long rounds)
{
	char plan[64];
	struct buf wanted = {0}, text = {0};
	load_shim(bed, "malloc:0");
	int good = bed_command(bed, line[0], line + 1, &wanted);
	load_shim(bed, NULL);
	long calls = counted(bed, "malloc");
	ck_assert_int_gt(calls, FIRST);
	for (long i = 0; i < rounds; i++) {
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
}

/* Proves: a command that has no memory says so, and not that config, schema or server is wrong. */
START_TEST(commands_without_memory)
{
	struct bed *bed = ledger_bed("nthcmd", 1);
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		command_without_memory(bed, lines[i], number_of("NTH_ROUNDS", 10));
	bed_free(bed);
}
END_TEST

/*
 * Proves: whichever allocation fails while a DSN is read, no other server is asked than the one it
 * names. libpq leaves out what it has no memory for (io/pg_dsn.c).
 */
START_TEST(dsn_without_memory)
{
	static const char *const show[] = {"show", NULL};
	struct bed *bed = ledger_bed("nthdsn", 1);
	struct buf text = {0};
	char plan[64];
	setenv("MEMINGEST_POSTGRES_DSN", "postgresql://u@127.0.0.1:1/x", 1);
	for (int n = FIRST; n < FIRST + 400; n++) {
		snprintf(plan, sizeof(plan), "malloc:%d", n);
		text.len = 0;
		load_shim(bed, plan);
		int status = bed_command(bed, "offsets", show, &text);
		load_shim(bed, NULL);
		check_verdict(plan, status, buf_cstr(&text), 69, "127.0.0.1 port 1:");
	}
	unsetenv("MEMINGEST_POSTGRES_DSN");
	buf_free(&text);
	bed_free(bed);
}
END_TEST

static void nth_tests(TCase *tc)
{
	seed = (uint64_t)number_of("NTH_SEED", 14);
	tcase_add_test(tc, commands_without_memory);
	tcase_add_test(tc, dsn_without_memory);
	tcase_add_test(tc, nth_fails);
}

SYSTEM_SUITE("nth", 60, nth_tests)

/*
 * main.c - starts a run in a process of its own, and gives its verdict whatever became of that.
 *
 *   CHAOS_MINUTES=5 CHAOS_SEED=... build/release/chaos
 *   build/release/chaos --test        tests of the parts, then one minute of a fixed seed
 *
 * Environment: CHAOS_MINUTES (5), CHAOS_SEED (a random one), CHAOS_RDKAFKA=new (workers on the
 * newest packaged librdkafka), CHAOS_DATABASE=sqlite (workers write one SQLite file),
 * CHAOS_FAULTS=name,name (only these), CHAOS_TAMPER=ledger|table|books|dead (something is made
 * wrong on purpose before the accounts: the verdict must say so), CHAOS_FAULTS=list (their names).
 * Exit status 0: no violation.
 *
 *   main: stack up --fork (Check)--> run: chaos_run() --> ends by itself, by ck_assert, by a signal
 *     |                                 |
 *     +--- shared memory <--------------+     then main: what Check says of its end, the verdict
 *
 * What a run with violations leaves in its folder (logs, config) is kept beside the verdict.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "chaos.h"
#include "parts.h"
#include "schedule.h"
#include "verdict.h"

#define RESULTS "build/chaos"

static struct chaos_options options = {.minutes = 5};

START_TEST(run)
{
	chaos_run(&options);
}
END_TEST

static void no_such(const char *name, const char *value)
{
	fprintf(stderr, "chaos: %s=%s\n", name, value);
	exit(EXIT_USAGE);
}

static void read_options(void)
{
	char *end;
	const char *minutes = getenv("CHAOS_MINUTES"), *seed = getenv("CHAOS_SEED"),
		   *rdkafka = getenv("CHAOS_RDKAFKA"), *faults = getenv("CHAOS_FAULTS"),
		   *tamper = getenv("CHAOS_TAMPER"), *database = getenv("CHAOS_DATABASE");
	if (minutes && *minutes) {
		options.minutes = strtod(minutes, &end);
		if (*end || !(options.minutes > 0))
			no_such("CHAOS_MINUTES", minutes);
	}
	if (seed && *seed) {
		options.seed = strtoull(seed, &end, 10);
		if (*end)
			no_such("CHAOS_SEED", seed);
	} else if (getrandom(&options.seed, 4, 0) != 4) {
		no_such("CHAOS_SEED", strerror(errno));
	}
	if (rdkafka && *rdkafka && strcmp(rdkafka, "new") != 0)
		no_such("CHAOS_RDKAFKA", rdkafka);
	options.new_librdkafka = rdkafka && *rdkafka;
	if (database && *database && strcmp(database, "sqlite") != 0)
		no_such("CHAOS_DATABASE", database);
	options.file = database && *database;
	options.faults = faults && *faults ? faults : NULL;
	options.tamper = tamper && *tamper ? tamper : NULL;
}

static void print_repeat(void)
{
	printf("chaos: make chaos CHAOS_SEED=%llu CHAOS_MINUTES=%g",
	       (unsigned long long)options.seed, options.minutes);
	if (options.new_librdkafka)
		printf(" CHAOS_RDKAFKA=new");
	if (options.file)
		printf(" CHAOS_DATABASE=sqlite");
	if (options.faults)
		printf(" CHAOS_FAULTS=%s", options.faults);
	if (options.tamper)
		printf(" CHAOS_TAMPER=%s", options.tamper);
	putchar('\n');
}

static bool list_faults(void)
{
	if (!options.faults || strcmp(options.faults, "list") != 0)
		return false;
	for (size_t i = 0; fault_at(i); i++)
		if (fault_fits(fault_at(i), options.file))
			puts(fault_at(i)->name);
	return true;
}

/* Check's word on how the run's process ended, if it did not by itself. */
static void note_failures(SRunner *runner)
{
	char text[512];
	TestResult **failures = srunner_failures(runner);
	for (int i = 0; i < srunner_ntests_failed(runner); i++) {
		snprintf(text, sizeof(text), "the run ended at %s:%d: %s", tr_lfile(failures[i]),
			 tr_lno(failures[i]), tr_msg(failures[i]));
		verdict_violation(text);
	}
	free(failures);
}

static SRunner *runner_of(const char *name, void (*add)(TCase *tc))
{
	Suite *suite = suite_create(name);
	TCase *tc = tcase_create(name);
	tcase_set_timeout(tc, 0); /* the run has deadlines of its own */
	add(tc);
	suite_add_tcase(suite, tc);
	SRunner *runner = srunner_create(suite);
	srunner_set_fork_status(runner, CK_FORK);
	srunner_run_all(runner, CK_SILENT);
	return runner;
}

/* Logs of workers and servers; the stack's folder goes with the stack. */
static void keep_logs(void)
{
	char to[128], command[4400];
	snprintf(to, sizeof(to), "%s/%llu", RESULTS, (unsigned long long)options.seed);
	snprintf(command, sizeof(command),
		 "mkdir -p %s && cp -r %s/t_chaos_* %s/*.log %s/pg/*.log %s/ 2>/dev/null; "
		 "for log in $(ls -t %s/t_chaos_*/worker-*.log | head -n 4); do "
		 "echo \"--- $log\"; tail -n 15 $log; done",
		 to, stack.dir, stack.dir, stack.dir, to, to);
	const char *const argv[] = {"/bin/sh", "-c", command, NULL};
	wait_exit(spawn(argv, NULL, NULL));
	printf("  logs: %s\n", to);
}

static void make_folder(void)
{
	if ((mkdir("build", 0755) != 0 && errno != EEXIST) ||
	    (mkdir(RESULTS, 0755) != 0 && errno != EEXIST)) {
		fprintf(stderr, "chaos: %s: %s\n", RESULTS, strerror(errno));
		exit(EXIT_INTERNAL);
	}
}

static void add_run(TCase *tc)
{
	tcase_add_test(tc, run);
}

/* The whole run, from the stack up to the verdict. */
static bool give(void)
{
	char path[128];
	print_repeat();
	make_folder();
	verdict_open(&options);
	stack_up(options.new_librdkafka, false);
	if (options.file)
		file_disk_make();
	SRunner *runner = runner_of("chaos", add_run);
	note_failures(runner);
	srunner_free(runner);
	snprintf(path, sizeof(path), "%s/%llu.json", RESULTS, (unsigned long long)options.seed);
	bool good = verdict_give(path);
	if (!good)
		keep_logs();
	file_disk_remove();
	stack_down();
	return good;
}

/* As a member of tests/run: parts, a run, and one line that sums them up, as Check has it. */
static int test(void)
{
	int checks = 1, failures;
	SRunner *parts = runner_of("parts", chaos_parts_add);
	srunner_print(parts, CK_NORMAL);
	options = (struct chaos_options){.seed = 14, .minutes = 1};
	failures = srunner_ntests_failed(parts) + !give();
	checks += srunner_ntests_run(parts);
	srunner_free(parts);
	printf("%d%%: Checks: %d, Failures: %d, Errors: 0\n", 100 * (checks - failures) / checks,
	       checks, failures);
	return failures > 0;
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 2 && strcmp(argv[1], "--test") == 0)
		return test();
	if (argc > 1)
		no_such("argument", argv[1]);
	read_options();
	if (list_faults())
		return 0;
	return give() ? 0 : 1;
}

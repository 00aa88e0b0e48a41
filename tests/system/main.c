/*
 * main.c - runs suites of system tests on one stack.
 *
 *   system [--new-librdkafka] [SUITE...]     no suite: all of them
 *   system --list                            the names of the suites
 *
 * If one of them wants TLS, the stack has it, and the database server may be one without pgvector:
 * tests/run gives each suite a stack of its own.
 *
 * Environment: TEST_PROGRAM, the binary to test (default: "memingest" beside this program). What
 * the beds of failed tests logged is printed before the result. Exit status 1 on any failure.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stack.h"
#include "system.h"

#define TAIL_LINES 40

static struct entry {
	const char *name;
	int seconds; /* for each test */
	bool tls;
	void (*add)(TCase *tc);
} entries[64];
static size_t nentries;

void system_register(const char *name, int seconds, bool tls, void (*add)(TCase *tc))
{
	if (nentries == sizeof(entries) / sizeof(entries[0]))
		abort();
	entries[nentries++] = (struct entry){name, seconds, tls, add};
}

static Suite *make_suite(const struct entry *e)
{
	Suite *s = suite_create(e->name);
	TCase *tc = tcase_create(e->name);
	tcase_set_timeout(tc, e->seconds);
	e->add(tc);
	suite_add_tcase(s, tc);
	return s;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

static bool wanted(const char *name, int argc, char **argv, int first)
{
	for (int i = first; i < argc; i++) {
		if (strcmp(argv[i], name) == 0)
			return true;
	}
	return first >= argc;
}

static void print_tail(const char *path)
{
	char lines[TAIL_LINES][512];
	size_t n = 0;
	FILE *in = fopen(path, "r");
	if (!in)
		return;
	while (fgets(lines[n % TAIL_LINES], sizeof(lines[0]), in))
		n++;
	fclose(in);
	printf("--- %s, the last of %zu lines:\n", path, n);
	for (size_t i = n > TAIL_LINES ? n - TAIL_LINES : 0; i < n; i++)
		printf("    %s", lines[i % TAIL_LINES]);
}

static bool is_log(const char *name)
{
	size_t len = strlen(name);
	return len > 4 && strcmp(name + len - 4, ".log") == 0;
}

/* The logs in the folders of the beds that are still there: those of tests that failed. */
static void print_logs(const char *folder, int depth)
{
	char path[4096];
	DIR *dir = opendir(folder);
	if (!dir)
		return;
	for (struct dirent *e; (e = readdir(dir));) {
		snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
		if (depth == 0 && strncmp(e->d_name, "t_", 2) == 0)
			print_logs(path, 1);
		else if (depth == 1 && is_log(e->d_name))
			print_tail(path);
	}
	closedir(dir);
}

int main(int argc, char **argv)
{
	int first = 1, failed, run;
	bool tls = false;
	bool new_librdkafka = argc > 1 && strcmp(argv[1], "--new-librdkafka") == 0;
	first += new_librdkafka;
	qsort(entries, nentries, sizeof(entries[0]), by_name);
	if (argc > 1 && strcmp(argv[1], "--list") == 0) {
		for (size_t i = 0; i < nentries; i++)
			puts(entries[i].name);
		return 0;
	}
	SRunner *runner = srunner_create(NULL);
	for (size_t i = 0; i < nentries; i++) {
		if (!wanted(entries[i].name, argc, argv, first))
			continue;
		srunner_add_suite(runner, make_suite(&entries[i]));
		tls = tls || entries[i].tls;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	stack_up(new_librdkafka, tls);
	srunner_run_all(runner, CK_SILENT);
	failed = srunner_ntests_failed(runner);
	run = srunner_ntests_run(runner);
	if (failed > 0)
		print_logs(stack.dir, 0);
	srunner_print(runner, CK_NORMAL);
	srunner_free(runner);
	stack_down();
	return failed > 0 || run == 0;
}

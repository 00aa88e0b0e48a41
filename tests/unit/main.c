/*
 * main.c - runs every registered suite. With an argument, only the suite of that name; --list
 * prints their names. Exit status 1 on any failure.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"

static struct {
	const char *function;
	Suite *(*make)(void);
} suites[100];
static size_t nsuites;

void unit_register(const char *function, Suite *(*make)(void))
{
	if (nsuites == sizeof(suites) / sizeof(suites[0]))
		abort();
	suites[nsuites].function = function;
	suites[nsuites++].make = make;
}

/* Without "_suite". */
static int list(void)
{
	for (size_t i = 0; i < nsuites; i++)
		printf("%.*s\n", (int)(strlen(suites[i].function) - strlen("_suite")),
		       suites[i].function);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "--list") == 0)
		return list();
	SRunner *runner = srunner_create(NULL);
	for (size_t i = 0; i < nsuites; i++)
		srunner_add_suite(runner, suites[i].make());
	srunner_run(runner, argc > 1 ? argv[1] : NULL, NULL, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	int run = srunner_ntests_run(runner);
	srunner_free(runner);
	return failed > 0 || run == 0;
}

/*
 * main.c - runs every registered suite. With arguments, only the suites of those names. Exit status
 * 1 on any failure.
 */
#include <stdlib.h>
#include <string.h>

#include "unit.h"

static Suite *(*makers[64])(void);
static size_t nmakers;

void unit_register(Suite *(*make)(void))
{
	if (nmakers == sizeof(makers) / sizeof(makers[0]))
		abort();
	makers[nmakers++] = make;
}

int main(int argc, char **argv)
{
	SRunner *runner = srunner_create(NULL);
	for (size_t i = 0; i < nmakers; i++)
		srunner_add_suite(runner, makers[i]());
	srunner_run(runner, argc > 1 ? argv[1] : NULL, NULL, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	int run = srunner_ntests_run(runner);
	srunner_free(runner);
	return failed > 0 || run == 0;
}

/* test_pg_context.c - what is taken from the CONTEXT of an error: names, never what it quotes. */
#include <string.h>

#include "io/pg.h"
#include "unit.h"

/* A COPY names the column in its first line; text form quotes the value behind it. */
START_TEST(columns)
{
	static const struct {
		const char *context, *name;
	} cases[] = {
		{"COPY facts, line 3, column spot", "spot"},
		{"COPY facts, line 3, column a b\nSQL statement", "a b"},
		{"COPY facts, line 3, column spot: \"secret, column x\"", "spot"},
		{"COPY facts, line 3", ""},
		{"COPY facts, line 3\nCOPY other, line 1, column x", ""},
		{"SQL statement \"COPY t, line 1, column x\"", ""},
		{"", ""},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *name = "";
		int len = pg_context_column(cases[i].context, &name);
		ck_assert_msg(len == (int)strlen(cases[i].name) &&
				      memcmp(name, cases[i].name, (size_t)len) == 0,
			      "%s: %.*s", cases[i].context, len, name);
	}
}
END_TEST

/* The number of a parameter, whatever the language; not of one in somebody's statement. */
START_TEST(parameters)
{
	static const struct {
		const char *context;
		size_t number;
	} cases[] = {
		{"unnamed portal parameter $3", 3},
		{"unnamed portal parameter $12 = '$4'", 12},
		{"Parameter $2 des unbenannten Portals", 2},
		{"SQL statement \"SELECT $1\"", 0},
		{"PL/pgSQL function f$1() line 3 at RAISE", 0},
		{"PL/pgSQL function f() line 3\nunnamed portal parameter $3", 0},
		{"", 0},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		ck_assert_msg(pg_context_parameter(cases[i].context) == cases[i].number, "%s",
			      cases[i].context);
}
END_TEST

static Suite *pg_context_suite(void)
{
	Suite *s = suite_create("pg_context");
	TCase *t = tcase_create("pg_context");
	tcase_add_test(t, columns);
	tcase_add_test(t, parameters);
	suite_add_tcase(s, t);
	return s;
}
UNIT_SUITE(pg_context_suite)

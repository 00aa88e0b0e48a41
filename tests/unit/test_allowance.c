/*
 * test_allowance.c - how soon an idle lane writes: at once as long as it can afford to, and never
 * more than its share.
 */
#include "base/clock.h"
#include "flow/allowance.h"
#include "unit.h"

#define MS US_PER_MS
#define AGE (500 * MS)

/* A lane that has learned that a transaction costs 2 ms before its first row; 20 times is 40. */
static struct allowance learned(void)
{
	struct allowance p = {0};
	allowance_learn(&p, 2 * MS, 0);
	ck_assert_int_eq(p.cost_us, 2 * MS);
	return p;
}

/* Events at this distance for ten seconds, written when they are due: how many batches that is. */
static unsigned batches(struct allowance *p, int64_t distance_us, int64_t *longest_us)
{
	unsigned n = 0;
	int64_t opened = 0;
	size_t events = 0;
	*longest_us = 0;
	for (int64_t t = 100 * US_PER_S; t <= 110 * US_PER_S; t += MS / 20) {
		if (t % distance_us == 0 && events++ == 0)
			opened = t;
		if (events == 0 || t < allowance_due(p, opened, events, AGE))
			continue;
		*longest_us = MAX(*longest_us, t - opened);
		allowance_spend(p, t, events);
		events = 0;
		n++;
	}
	return n;
}

/* Proves: before anything is known a batch goes at once, however long it might wait. */
START_TEST(nothing_known)
{
	struct allowance p = {0};
	ck_assert_int_eq(allowance_due(&p, 7 * MS, 1, AGE), 7 * MS);
	ck_assert_int_eq(allowance_due(&p, 7 * MS, 1, 3600 * US_PER_S), 7 * MS);
}
END_TEST

/* Proves: an event that comes alone is written at once. */
START_TEST(alone)
{
	struct allowance p = learned();
	int64_t longest;
	ck_assert_uint_eq(batches(&p, 50 * MS, &longest), 201);
	ck_assert_int_eq(longest, 0);
}
END_TEST

/*
 * Proves: a steady stream gets a batch every 20 times the cost, less what its rows are worth (40 ms
 * with none of them, 33 with the 33 that come in it), after a few at once.
 */
START_TEST(steady)
{
	struct allowance p = learned();
	int64_t longest;
	unsigned n = batches(&p, MS, &longest);
	ck_assert_uint_ge(n, 10000 / 33);
	ck_assert_uint_le(n, 10000 / 33 + 5);
	ck_assert_int_le(longest, 34 * MS);
}
END_TEST

/* Proves: a faster one waits shorter: 20,000 a second for 8 ms, in batches of 160. */
START_TEST(steady_and_fast)
{
	struct allowance p = learned();
	int64_t longest;
	unsigned n = batches(&p, MS / 20, &longest);
	ck_assert_uint_ge(n, 10000 / 8 - 5);
	ck_assert_uint_le(n, 10000 / 8 + 5);
	ck_assert_int_le(longest, 8 * MS);
}
END_TEST

/* Proves: rows that take as long as the transaction's rest go at once, and cost nothing. */
START_TEST(many_rows)
{
	struct allowance p = learned();
	int64_t now = US_PER_S;
	for (int i = 0; i < 10; i++)
		allowance_spend(&p, now, 0);
	ck_assert_int_eq(allowance_due(&p, now, 0, AGE), now + 40 * MS);
	ck_assert_int_eq(allowance_due(&p, now, 100, AGE), now + 20 * MS);
	ck_assert_int_eq(allowance_due(&p, now, 200, AGE), now);
	ck_assert_int_eq(allowance_due(&p, now, 100000, AGE), now);
	int64_t before = p.paid_us;
	allowance_spend(&p, now, 200);
	ck_assert_int_eq(p.paid_us, before);
}
END_TEST

/* Proves: what a backlog took is not held against the events behind it. */
START_TEST(behind_a_backlog)
{
	struct allowance p = learned();
	int64_t now = US_PER_S;
	for (int i = 0; i < 100000; i++)
		allowance_spend(&p, now += MS, 0);
	ck_assert_int_eq(allowance_due(&p, now, 0, AGE), now + 40 * MS);
	ck_assert_int_eq(allowance_due(&p, now + 40 * MS, 0, AGE), now + 40 * MS);
}
END_TEST

/* Proves: where a transaction costs more than the age allows, the age counts. */
START_TEST(dear)
{
	struct allowance p = {0};
	allowance_learn(&p, 100 * MS, 0);
	for (int i = 0; i < 10; i++)
		allowance_spend(&p, US_PER_S, 0);
	ck_assert_int_eq(allowance_due(&p, US_PER_S, 0, AGE), US_PER_S + AGE);
}
END_TEST

/* Proves: one slow transaction doubles what is learned at most, and rows are taken out of it. */
START_TEST(learning)
{
	struct allowance p = learned();
	allowance_learn(&p, US_PER_S, 0);
	ck_assert_int_eq(p.cost_us, 4 * MS);
	allowance_learn(&p, 10 * MS, 800);
	ck_assert_int_eq(p.cost_us, 2 * MS);
}
END_TEST

/* Proves: batches that are given back unwritten do not make transactions free. */
START_TEST(given_back)
{
	struct allowance p = learned();
	allowance_learn(&p, 0, 5000);
	ck_assert_int_eq(p.cost_us, 2 * MS);
}
END_TEST

static Suite *allowance_suite(void)
{
	Suite *suite = suite_create("allowance");
	TCase *tc = tcase_create("allowance");
	tcase_add_test(tc, nothing_known);
	tcase_add_test(tc, alone);
	tcase_add_test(tc, steady);
	tcase_add_test(tc, steady_and_fast);
	tcase_add_test(tc, many_rows);
	tcase_add_test(tc, behind_a_backlog);
	tcase_add_test(tc, dear);
	tcase_add_test(tc, learning);
	tcase_add_test(tc, given_back);
	suite_add_tcase(suite, tc);
	return suite;
}
UNIT_SUITE(allowance_suite)

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
	*longest_us = 0;
	for (int64_t t = 100 * US_PER_S; t <= 110 * US_PER_S; t += MS / 10) {
		if (opened == 0 && t % distance_us == 0)
			opened = t;
		if (opened == 0 || t < allowance_due(p, opened, AGE))
			continue;
		*longest_us = MAX(*longest_us, t - opened);
		allowance_spend(p, t);
		opened = 0;
		n++;
	}
	return n;
}

/* Proves: before anything is known a batch goes at once, however long it might wait. */
START_TEST(nothing_known)
{
	struct allowance p = {0};
	ck_assert_int_eq(allowance_due(&p, 7 * MS, AGE), 7 * MS);
	ck_assert_int_eq(allowance_due(&p, 7 * MS, 3600 * US_PER_S), 7 * MS);
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

/* Proves: a steady stream gets a batch every 20 times the cost, after a few at once. */
START_TEST(steady)
{
	struct allowance p = learned();
	int64_t longest;
	unsigned n = batches(&p, MS, &longest);
	ck_assert_uint_ge(n, 250);
	ck_assert_uint_le(n, 250 + 5);
	ck_assert_int_le(longest, 40 * MS);
}
END_TEST

/* Proves: what a backlog took is not held against the events behind it. */
START_TEST(behind_a_backlog)
{
	struct allowance p = learned();
	int64_t now = US_PER_S;
	for (int i = 0; i < 100000; i++)
		allowance_spend(&p, now += MS);
	ck_assert_int_eq(allowance_due(&p, now, AGE), now + 40 * MS);
	ck_assert_int_eq(allowance_due(&p, now + 40 * MS, AGE), now + 40 * MS);
}
END_TEST

/* Proves: where a transaction costs more than the age allows, the age counts. */
START_TEST(dear)
{
	struct allowance p = {0};
	allowance_learn(&p, 100 * MS, 0);
	for (int i = 0; i < 10; i++)
		allowance_spend(&p, US_PER_S);
	ck_assert_int_eq(allowance_due(&p, US_PER_S, AGE), US_PER_S + AGE);
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
	tcase_add_test(tc, behind_a_backlog);
	tcase_add_test(tc, dear);
	tcase_add_test(tc, learning);
	tcase_add_test(tc, given_back);
	suite_add_tcase(suite, tc);
	return suite;
}
UNIT_SUITE(allowance_suite)

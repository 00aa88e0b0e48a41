/* test_patience.c - how often, how long, and what counts, by a clock that the test moves. */
#include "base/clock.h"
#include "io/patience.h"
#include "unit.h"

enum { LIMIT_S = 60 };

/* Asks as often as it is told to from *now on; returns how often. */
static int wait_out(struct patience *p, int64_t *now)
{
	int asked = 1;
	for (int64_t due; patience_missed(p, *now, LIMIT_S * US_PER_S, &due); asked++) {
		ck_assert_int_gt(due, *now);
		ck_assert_int_le(due - *now, 10 * US_PER_S);
		*now = due;
	}
	return asked;
}

/* Growing pauses, a minute to the microsecond, and not a storm of questions. */
START_TEST(a_minute_in_all)
{
	struct patience p = {0};
	int64_t now = 5 * US_PER_S, due;
	ck_assert(patience_missed(&p, now, LIMIT_S * US_PER_S, &due));
	ck_assert_int_eq(due - now, 200 * US_PER_MS);
	now = due;
	ck_assert(patience_missed(&p, now, LIMIT_S * US_PER_S, &due));
	ck_assert_int_eq(due - now, 400 * US_PER_MS);
	now = due;
	ck_assert_int_le(wait_out(&p, &now), 12);
	ck_assert_int_eq(now, (5 + LIMIT_S) * US_PER_S);
}
END_TEST

/* Once believed it stays so; with a limit of none the first answer is believed. */
START_TEST(believed)
{
	struct patience p = {0}, none = {0};
	int64_t now = US_PER_S, due;
	(void)wait_out(&p, &now);
	ck_assert(!patience_missed(&p, now + US_PER_S, LIMIT_S * US_PER_S, &due));
	ck_assert(!patience_missed(&none, now, 0, &due));
}
END_TEST

/* An hour without any answer is not an hour of "unknown": the rest of the minute is still due. */
START_TEST(away_in_between)
{
	struct patience p = {0};
	int64_t now = US_PER_S, due;
	ck_assert(patience_missed(&p, now, LIMIT_S * US_PER_S, &due));
	patience_interrupted(&p);
	now += 3600 * US_PER_S;
	int64_t back = now;
	(void)wait_out(&p, &now);
	ck_assert_int_eq(now - back, LIMIT_S * US_PER_S);
}
END_TEST

static Suite *patience_suite(void)
{
	Suite *s = suite_create("patience");
	TCase *t = tcase_create("patience");
	tcase_add_test(t, a_minute_in_all);
	tcase_add_test(t, believed);
	tcase_add_test(t, away_in_between);
	suite_add_tcase(s, t);
	return s;
}
UNIT_SUITE(patience_suite)

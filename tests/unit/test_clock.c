/* test_clock.c - deadlines as poll(2) wants them. */
#include <limits.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "unit.h"

/* No deadline waits for ever, a past one not at all. */
START_TEST(never_and_past)
{
	ck_assert_int_eq(clock_poll_ms(CLOCK_NEVER), -1);
	ck_assert_int_eq(clock_poll_ms(0), 0);
	ck_assert_int_eq(clock_poll_ms(clock_mono_us() - 1), 0);
}
END_TEST

/* Rounded up: the last fraction of a millisecond is waited for, not spun through. */
START_TEST(rounds_up)
{
	for (int64_t ms = 1; ms < 5; ms++) {
		int64_t deadline = clock_mono_us() + ms * US_PER_MS;
		int wait = clock_poll_ms(deadline);
		int64_t left = deadline - clock_mono_us();
		ck_assert_int_le(wait, ms);
		ck_assert_int_ge(wait * US_PER_MS, left);
	}
	/*
	 * Far enough to be sure of the fraction: 10 s and 0.9 ms are 10,001 ms unless this takes
	 * that long.
	 */
	ck_assert_int_eq(clock_poll_ms(clock_mono_us() + 10 * US_PER_S + 900), 10001);
}
END_TEST

/* A deadline in a thousand years does not overflow poll's int. */
START_TEST(far_deadline)
{
	ck_assert_int_eq(clock_poll_ms(INT64_MAX - 1), INT_MAX);
}
END_TEST

/* The wall clock is that of time(2), in microseconds; the monotonic one does not go back. */
START_TEST(clocks_run)
{
	int64_t wall = clock_wall_us(), mono = clock_mono_us();
	ck_assert_int_le(llabs(wall / US_PER_S - (int64_t)time(NULL)), 1);
	ck_assert_int_ge(clock_mono_us(), mono);
}
END_TEST

static int next_number(int *calls)
{
	return ++*calls;
}

/* Deadlines come from functions that act: MIN() calls each once, whichever it takes. */
START_TEST(chosen_and_called_once)
{
	int calls = 0;
	ck_assert_int_eq(MIN(9, next_number(&calls)), 1);
	ck_assert_int_eq(MIN(next_number(&calls), 9), 2);
	ck_assert_int_eq(MAX(next_number(&calls), MIN(0, next_number(&calls))), 3);
	ck_assert_int_eq(calls, 4);
	ck_assert_int_eq(MAX(CLOCK_NEVER, next_number(&calls)), CLOCK_NEVER);
	ck_assert_int_eq(calls, 5);
}
END_TEST

/* What people read. */
START_TEST(as_text)
{
	char text[CLOCK_TEXT];
	ck_assert_str_eq(clock_text(INT64_C(1700000000) * US_PER_S + 999999, text),
			 "2023-11-14T22:13:20Z");
}
END_TEST

static Suite *clock_suite(void)
{
	Suite *s = suite_create("clock");
	TCase *t = tcase_create("clock");
	tcase_add_test(t, never_and_past);
	tcase_add_test(t, rounds_up);
	tcase_add_test(t, far_deadline);
	tcase_add_test(t, clocks_run);
	tcase_add_test(t, chosen_and_called_once);
	tcase_add_test(t, as_text);
	suite_add_tcase(s, t);
	return s;
}
UNIT_SUITE(clock_suite)

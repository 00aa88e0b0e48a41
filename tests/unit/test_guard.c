/*
 * test_guard.c - the share of dead letters above which a stream halts.
 */
#include <string.h>

#include "core/guard.h"
#include "unit.h"

static const struct config config = {.dlq_max_ratio = 0.05, .dlq_window = 1000};

/*
 * Proves: a window admits max_ratio of its events and not one more; what is refused is not counted,
 * so it may come again.
 */
START_TEST(a_window_admits_its_share)
{
	struct guard g = {0};
	struct err err = {0};
	for (int i = 0; i < 50; i++)
		ck_assert(guard_admit(&g, &config, "memory", 1, &err));
	for (int i = 0; i < 3; i++) {
		ck_assert(!guard_admit(&g, &config, "memory", 1, &err));
		ck_assert_int_eq(err.class, ERR_CONFIG);
		ck_assert_ptr_nonnull(strstr(err.text, "memory"));
		ck_assert_ptr_nonnull(strstr(err.text, "dlq.max_ratio"));
	}
	ck_assert_uint_eq(g.dead, 50);
}
END_TEST

/* Proves: events count towards the window, and the next window admits again. */
START_TEST(the_next_window_begins_anew)
{
	struct guard g = {0};
	struct err err = {0};
	ck_assert(guard_admit(&g, &config, "memory", 50, &err));
	guard_count(&g, &config, 999);
	ck_assert(!guard_admit(&g, &config, "memory", 1, &err));
	guard_count(&g, &config, 1);
	ck_assert(guard_admit(&g, &config, "memory", 50, &err));
	ck_assert(!guard_admit(&g, &config, "memory", 51, &err));
}
END_TEST

/* Proves: a ratio of 0 halts at the first dead letter, a ratio of 1 never within a window. */
START_TEST(the_ends_of_the_range)
{
	const struct config none = {.dlq_max_ratio = 0, .dlq_window = 1000},
			    all = {.dlq_max_ratio = 1, .dlq_window = 1000};
	struct guard g = {0};
	struct err err = {0};
	ck_assert(!guard_admit(&g, &none, "memory", 1, &err));
	ck_assert(guard_admit(&g, &all, "memory", 1000, &err));
}
END_TEST

static Suite *guard_suite(void)
{
	Suite *suite = suite_create("guard");
	TCase *tc = tcase_create("guard");
	tcase_add_test(tc, a_window_admits_its_share);
	tcase_add_test(tc, the_next_window_begins_anew);
	tcase_add_test(tc, the_ends_of_the_range);
	suite_add_tcase(suite, tc);
	return suite;
}
UNIT_SUITE(guard_suite)

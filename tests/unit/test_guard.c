/*
 * test_guard.c - the share of dead letters above which a stream halts.
 */
#include <string.h>

#include "core/guard.h"
#include "unit.h"

static const struct config config = {.dlq_max_ratio = 0.05, .dlq_window = 1000};

/* As its users do: asked about one event, then told of it. */
static bool decide(struct guard *g, const struct config *c, bool dead)
{
	struct err err = {0};
	if (dead && !guard_admits(g, c, "memory", 1, 1, &err))
		return false;
	guard_count(g, c, 1, dead);
	return true;
}

/*
 * Proves: a window admits max_ratio of its events and not one more; what is not admitted is not
 * counted, so it may come again.
 */
START_TEST(a_window_admits_its_share)
{
	struct guard g = {0};
	struct err err = {0};
	for (int i = 0; i < 50; i++)
		ck_assert(decide(&g, &config, true));
	for (int i = 0; i < 3; i++) {
		ck_assert(!guard_admits(&g, &config, "memory", 1, 1, &err));
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
	guard_count(&g, &config, 999, 50);
	ck_assert(!guard_admits(&g, &config, "memory", 1, 1, &err));
	guard_count(&g, &config, 1, 0);
	ck_assert(guard_admits(&g, &config, "memory", 50, 50, &err));
	ck_assert(!guard_admits(&g, &config, "memory", 51, 51, &err));
}
END_TEST

/* Proves: a ratio of 0 halts at the first dead letter. */
START_TEST(none_at_all)
{
	const struct config none = {.dlq_max_ratio = 0, .dlq_window = 1000};
	struct guard g = {0};
	struct err err = {0};
	ck_assert(!guard_admits(&g, &none, "memory", 1, 1, &err));
	ck_assert(!guard_admits(&g, &none, "memory", 5000, 1, &err));
}
END_TEST

/*
 * Proves: many events that are decided at once are judged by their share, however they lie to the
 * window: a ratio of 1 never halts, and 2% dead are under 5% in lots longer than the window, too.
 */
START_TEST(lots_are_judged_by_their_share)
{
	const struct config all = {.dlq_max_ratio = 1, .dlq_window = 1000};
	for (uint64_t lot = 1; lot < 3000; lot += 7) {
		struct guard g = {0}, few = {0};
		struct err err = {0};
		for (int i = 0; i < 50; i++) {
			uint64_t dead = lot / 50;
			ck_assert_msg(guard_admits(&g, &all, "memory", lot, lot, &err), "%s",
				      err.text);
			guard_count(&g, &all, lot, lot);
			ck_assert_msg(guard_admits(&few, &config, "memory", lot, dead, &err), "%s",
				      err.text);
			guard_count(&few, &config, lot, dead);
		}
		ck_assert(!guard_admits(&(struct guard){0}, &config, "memory", lot + 1000,
					(lot + 1000) / 20 + 1, &err));
	}
}
END_TEST

static Suite *guard_suite(void)
{
	Suite *suite = suite_create("guard");
	TCase *tc = tcase_create("guard");
	tcase_add_test(tc, a_window_admits_its_share);
	tcase_add_test(tc, the_next_window_begins_anew);
	tcase_add_test(tc, none_at_all);
	tcase_add_test(tc, lots_are_judged_by_their_share);
	suite_add_tcase(suite, tc);
	return suite;
}
UNIT_SUITE(guard_suite)

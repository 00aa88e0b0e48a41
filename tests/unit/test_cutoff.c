/*
 * test_cutoff.c - when a Kafka client is given up, and what its statistics say of the brokers.
 */
#include <string.h>

#include "base/clock.h"
#include "io/cutoff.h"
#include "io/kafka_stats.h"
#include "unit.h"

#define S US_PER_S

/* Says the same every five seconds from one time to another; when a renewal was first due, or 0. */
static int64_t says(struct cutoff *c, bool connected, bool joined, int64_t from_s, int64_t to_s)
{
	for (int64_t t = from_s; t <= to_s; t++) {
		if (t % 5 == 0)
			cutoff_saw(c, connected, joined, t * S);
		if (cutoff_due(c, t * S) != CUTOFF_NOT)
			return t;
	}
	return 0;
}

static const struct cutoff usual = {.session_us = 45 * S, .rebalance_us = 300 * S};

/* Proves: no connection for a session is enough, one in between begins the wait anew. */
START_TEST(down_for_a_session)
{
	struct cutoff c = usual;
	ck_assert_int_eq(says(&c, true, true, 5, 1000), 0);
	ck_assert_int_eq(says(&c, false, true, 1005, 1045), 0);
	ck_assert_int_eq(says(&c, true, true, 1046, 1051), 0);
	ck_assert_int_eq(says(&c, false, false, 1055, 2000), 1055 + 45);
	ck_assert_int_eq(cutoff_due(&c, 1100 * S), CUTOFF_DOWN);
	ck_assert_int_eq(cutoff_since_us(&c, 1100 * S), 45 * S);
}
END_TEST

/* Proves: with a session of a second it is ten all the same. */
START_TEST(not_at_once)
{
	struct cutoff c = {.session_us = S, .rebalance_us = 300 * S};
	ck_assert_int_eq(says(&c, false, false, 5, 100), 15);
}
END_TEST

/*
 * Proves: outside the group with brokers at hand it waits for the slowest member of a rebalance
 * first; being down meanwhile is another matter.
 */
START_TEST(outside_the_group)
{
	struct cutoff c = usual;
	ck_assert_int_eq(says(&c, true, false, 5, 1000), 5 + 345);
	ck_assert_int_eq(cutoff_due(&c, 350 * S), CUTOFF_OUTSIDE);
	c = usual;
	ck_assert_int_eq(says(&c, true, false, 5, 340), 0);
	cutoff_saw(&c, false, false, 345 * S);
	cutoff_saw(&c, true, false, 350 * S);
	ck_assert_int_eq(cutoff_due(&c, 355 * S), CUTOFF_NOT);
	ck_assert_int_eq(says(&c, true, true, 355, 2000), 0);
}
END_TEST

/*
 * Proves: renewals without use come after 45, 90, 180, 300, 300 s, and one that was of use makes
 * the next a first one.
 */
START_TEST(further_and_further_apart)
{
	static const int64_t waits[] = {45, 90, 180, 300, 300, 300, 300, 300, 300, 300};
	struct cutoff c = usual;
	int64_t t = 5;
	for (size_t i = 0; i < ARRAY_LEN(waits); i++) {
		int64_t due = says(&c, false, false, t, t + 1000);
		ck_assert_int_eq(due, t + waits[i]);
		cutoff_renewed(&c, due * S);
		ck_assert_int_eq(cutoff_due(&c, due * S), CUTOFF_NOT);
		t = due;
	}
	ck_assert_int_eq(says(&c, true, true, t, t + 5), 0);
	t += 10;
	ck_assert_int_eq(says(&c, false, false, t, t + 1000), t + 45);
}
END_TEST

static struct kafka_reach reach_of(const char *json, bool want)
{
	struct kafka_reach reach;
	ck_assert_int_eq(kafka_stats_reach(&reach, json, strlen(json)), want);
	return reach;
}

/*
 * Proves: configured and learned brokers count, librdkafka's own and the coordinator's alias do
 * not; what follows the brokers is not looked at, be it cut off.
 */
START_TEST(brokers_within_reach)
{
	struct kafka_reach r = reach_of(
		"{ \"name\": \"c\", \"replyq\":0, \"brokers\":{ "
		"\":0/internal\": { \"source\":\"internal\", \"state\":\"UP\" } , "
		"\"GroupCoordinator\": { \"source\":\"logical\", \"state\":\"UP\" } , "
		"\"a:9092/bootstrap\": { \"source\":\"configured\", \"state\":\"INIT\" } , "
		"\"a:9092/1\": { \"source\":\"learned\", \"state\":\"UP\" } , "
		"\"b:9092/2\": { \"source\":\"learned\", \"state\":\"REAUTH\" } , "
		"\"c:9092/3\": { \"source\":\"learned\", \"state\":\"TRY_CONNECT\" } }"
		", \"topics\":{ \"t\": {",
		true);
	ck_assert_uint_eq(r.known, 4);
	ck_assert_uint_eq(r.up, 2);
	r = reach_of("{ \"brokers\":{ \"GroupCoordinator\": "
		     "{ \"source\":\"logical\", \"state\":\"UP\" } }, \"topics\":{ } }",
		     true);
	ck_assert_uint_eq(r.known, 0);
	ck_assert_uint_eq(r.up, 0);
	reach_of("", false);
	reach_of("{ \"topics\":{ } }", false);
	reach_of("{ \"brokers\":{ \"a\": ", false);
}
END_TEST

static Suite *cutoff_suite(void)
{
	Suite *suite = suite_create("cutoff");
	TCase *tc = tcase_create("cutoff");
	tcase_add_test(tc, down_for_a_session);
	tcase_add_test(tc, not_at_once);
	tcase_add_test(tc, outside_the_group);
	tcase_add_test(tc, further_and_further_apart);
	tcase_add_test(tc, brokers_within_reach);
	suite_add_tcase(suite, tc);
	return suite;
}
UNIT_SUITE(cutoff_suite)

/*
 * test_troubles.c - what was logged last as a warning or an error is kept, newest first, and
 * repeats take one place.
 */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/stats.h"
#include "show/troubles.h"
#include "unit.h"

static struct trouble kept[TROUBLES_MAX];

static void begin(void)
{
	static const char *const streams[] = {"memory"}, *const reasons[] = {"decode"};
	stats_init(streams, 1, reasons, 1);
	troubles_begin();
}

static void end(void)
{
	troubles_end();
	log_init(LOG_LOGFMT, LOG_INFO);
}

/* A site of its own each time, so that the log's rate limit holds nothing back. */
static void report(enum log_level level, const char *msg, int partition, const char *error)
{
	struct log_site site = {0};
	log_write(&site, level, msg,
		  (struct log_field[]){F_STR("topic", "t"),
				       F_INT("partition", partition),
				       F_INT("offset", 100 + partition),
				       F_STR("error", error),
				       {.kind = LOG_KIND_END}});
}

/* Each has what the log's fields say; what is no trouble is not kept. */
START_TEST(fields)
{
	struct log_site site = {0};
	report(LOG_INFO, "nothing", 1, "x");
	report(LOG_WARN, "halted", 3, "why");
	log_write(&site, LOG_ERROR, "bare",
		  (struct log_field[]){F_INT("lane", 2), {.kind = LOG_KIND_END}});
	ck_assert_uint_eq(troubles_copy(kept), 2);
	ck_assert_str_eq(kept[0].msg, "bare");
	ck_assert(kept[0].error && !kept[1].error);
	ck_assert_int_eq(kept[0].lane, 2);
	ck_assert_int_eq(kept[0].partition, -1);
	ck_assert_str_eq(kept[0].text, "");
	ck_assert_str_eq(kept[1].msg, "halted");
	ck_assert_str_eq(kept[1].text, "why");
	ck_assert_str_eq(kept[1].topic, "t");
	ck_assert_int_eq(kept[1].partition, 3);
	ck_assert_int_eq(kept[1].offset, 103);
	ck_assert_int_gt(kept[1].last_us, 1700000000000000);
}
END_TEST

/* The same message of the same partition moves to the front, counts, and shows its newest text. */
START_TEST(repeats)
{
	report(LOG_WARN, "dead letter", 1, "first");
	report(LOG_WARN, "dead letter", 2, "other partition");
	report(LOG_WARN, "dead letter", 1, "second");
	ck_assert_uint_eq(troubles_copy(kept), 2);
	ck_assert_str_eq(kept[0].text, "second");
	ck_assert_uint_eq(kept[0].times, 2);
	ck_assert_int_le(kept[0].first_us, kept[1].first_us);
	ck_assert_int_ge(kept[0].last_us, kept[1].last_us);
	ck_assert_uint_eq(kept[1].times, 1);
}
END_TEST

/* Of more than there is room for, the oldest go. */
START_TEST(bounded)
{
	for (int i = 0; i < TROUBLES_MAX + 5; i++)
		report(LOG_ERROR, "e", i, "");
	ck_assert_uint_eq(troubles_copy(kept), TROUBLES_MAX);
	for (int i = 0; i < TROUBLES_MAX; i++)
		ck_assert_int_eq(kept[i].partition, TROUBLES_MAX + 4 - i);
}
END_TEST

/* They are counted, the last error has its time, and a log that says less does not keep less. */
START_TEST(metrics)
{
	log_init(LOG_LOGFMT, LOG_ERROR);
	report(LOG_WARN, "a", 0, "");
	ck_assert_int_eq(stats_get(METRIC_LAST_ERROR, 0, 0), 0);
	report(LOG_ERROR, "b", 0, "");
	report(LOG_ERROR, "b", 0, "");
	ck_assert_int_eq(stats_get(METRIC_LOG_MESSAGES, LEVEL_WARN, 0), 1);
	ck_assert_int_eq(stats_get(METRIC_LOG_MESSAGES, LEVEL_ERROR, 0), 2);
	ck_assert_int_gt(stats_get(METRIC_LAST_ERROR, 0, 0), 1700000000000000);
	ck_assert_uint_eq(troubles_copy(kept), 2);
	troubles_end();
	report(LOG_ERROR, "c", 0, "");
	ck_assert_uint_eq(troubles_copy(kept), 2);
}
END_TEST

static Suite *troubles_suite(void)
{
	Suite *s = suite_create("troubles");
	TCase *t = tcase_create("troubles");
	tcase_add_checked_fixture(t, begin, end);
	tcase_add_test(t, fields);
	tcase_add_test(t, repeats);
	tcase_add_test(t, bounded);
	tcase_add_test(t, metrics);
	suite_add_tcase(s, t);
	return s;
}
UNIT_SUITE(troubles_suite)

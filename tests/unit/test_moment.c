/*
 * test_moment.c - dates and times are what the calendar says, in the unit of the type, or refused.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "file/moment.h"
#include "unit.h"

static void check(enum schema_logical logical, const char *text, int64_t wanted)
{
	int64_t v = 0;
	const char *why = moment_parse(logical, text, strlen(text), &v);
	ck_assert_msg(why == NULL, "%s: %s", text, why);
	ck_assert_msg(v == wanted, "%s: %lld", text, (long long)v);
}

static void refuse_as(enum schema_logical logical, const char *text, const char *reason)
{
	int64_t v = 0;
	const char *why = moment_parse(logical, text, strlen(text), &v);
	ck_assert_msg(why != NULL, "%s: no error", text);
	ck_assert_msg(strstr(why, reason) != NULL, "%s: %s", text, why);
}

/* Each day of 4,000 years, against the C library's calendar. */
START_TEST(test_calendar)
{
	char text[40];
	for (int64_t day = -800000; day < 800000; day += 37) {
		time_t t = (time_t)(day * 86400);
		struct tm tm;
		ck_assert_ptr_nonnull(gmtime_r(&t, &tm));
		if (tm.tm_year + 1900 < 0 || tm.tm_year + 1900 > 9999)
			continue;
		snprintf(text, sizeof(text), "%04d-%02d-%02d", tm.tm_year + 1900, tm.tm_mon + 1,
			 tm.tm_mday);
		check(LOGICAL_DATE, text, day);
	}
}
END_TEST

START_TEST(test_dates)
{
	check(LOGICAL_DATE, "1970-01-01", 0);
	check(LOGICAL_DATE, "2024-02-29", 19782);
	check(LOGICAL_DATE, "2000-02-29", 11016);
	check(LOGICAL_DATE, "0000-03-01", -719468);
	check(LOGICAL_DATE, "-0001-12-31", -719529);
	check(LOGICAL_DATE, "+12026-01-31", 3672909);
	refuse_as(LOGICAL_DATE, "2026-02-30", "no such day");
	refuse_as(LOGICAL_DATE, "2025-02-29", "no such day");
	refuse_as(LOGICAL_DATE, "1900-02-29", "no such day");
	refuse_as(LOGICAL_DATE, "2026-04-31", "no such day");
	refuse_as(LOGICAL_DATE, "2026-01-00", "no such day");
	refuse_as(LOGICAL_DATE, "2026-13-01", "no such month");
	refuse_as(LOGICAL_DATE, "2026-00-01", "no such month");
	static const char *const bad[] = {"",
					  "2026",
					  "2026-1-1",
					  "26-01-01",
					  "2026-01-1",
					  "2026-01-01 ",
					  " 2026-01-01",
					  "2026/01/01",
					  "12026-01-01",
					  "2026-01-01T00:00:00",
					  "20260101",
					  "+026-01-01",
					  "+1234567-01-01",
					  "2026-01-0x",
					  "2026--1-01",
					  "01.02.2026"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		refuse_as(LOGICAL_DATE, bad[i], "it is not written as 2026-01-31");
}
END_TEST

START_TEST(test_times)
{
	check(LOGICAL_TIME_MILLIS, "00:00:00", 0);
	check(LOGICAL_TIME_MILLIS, "23:59:59.999", 86399999);
	check(LOGICAL_TIME_MICROS, "12:30:00.5", 45000500000);
	check(LOGICAL_TIME_MILLIS, "12:30:00.12500000", 45000125);
	refuse_as(LOGICAL_TIME_MILLIS, "24:00:00", "24:00:00 is 00:00:00 of the next day");
	refuse_as(LOGICAL_TIME_MILLIS, "24:00:01", "no such time");
	refuse_as(LOGICAL_TIME_MILLIS, "23:60:00", "no such time");
	refuse_as(LOGICAL_TIME_MILLIS, "23:59:60", "leap second");
	refuse_as(LOGICAL_TIME_MILLIS, "23:59:61", "no such time");
	refuse_as(LOGICAL_TIME_MILLIS, "12:30:00.0001", "finer than the type's unit");
	static const char *const bad[] = {"",          "12",          "12:30",
					  "1:30:00",   "12:30:0",     "12:30:00.",
					  "12:30:00Z", "12:30:00,5",  "-1:30:00",
					  "123000",    "12:30:00 PM", "12:30:00.5+01:00"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		refuse_as(LOGICAL_TIME_MILLIS, bad[i], "it is not written as 12:30:00.125");
}
END_TEST

/* Zones, fractions in each unit, before 1970, and the ends of 64 bits. */
START_TEST(test_timestamps)
{
	check(LOGICAL_TIMESTAMP_MILLIS, "1970-01-01T00:00:01.5Z", 1500);
	check(LOGICAL_TIMESTAMP_MICROS, "1970-01-01T01:00:00.00006+01:00", 60);
	check(LOGICAL_TIMESTAMP_NANOS, "1969-12-31 23:59:59.999999999", -1);
	check(LOGICAL_TIMESTAMP_MILLIS, "1970-01-01T00:00:00", 0);
	check(LOGICAL_TIMESTAMP_MILLIS, "1970-01-01 05:30:00+0530", 0);
	check(LOGICAL_TIMESTAMP_MILLIS, "1969-12-31 19:00:00-05", 0);
	check(LOGICAL_TIMESTAMP_MILLIS, "1970-01-01T00:00:00-00:00", 0);
	check(LOGICAL_TIMESTAMP_MILLIS, "2026-01-31T12:30:00.125Z", 1769862600125);
	check(LOGICAL_LOCAL_MILLIS, "2026-01-31T12:30:00.125", 1769862600125);
	check(LOGICAL_TIMESTAMP_NANOS, "2262-04-11T23:47:16.854775807Z", INT64_MAX);
	refuse_as(LOGICAL_TIMESTAMP_NANOS, "2262-04-11T23:47:16.854775808Z", "out of range");
	refuse_as(LOGICAL_TIMESTAMP_NANOS, "2300-01-01T00:00:00Z", "out of range");
	refuse_as(LOGICAL_TIMESTAMP_MILLIS, "2024-02-30T00:00:00Z", "no such day");
	refuse_as(LOGICAL_TIMESTAMP_MILLIS, "2026-01-31T24:00:00Z", "next day");
	refuse_as(LOGICAL_TIMESTAMP_MILLIS, "2016-12-31T23:59:60Z", "leap second");
	refuse_as(LOGICAL_TIMESTAMP_MILLIS, "2026-01-31T12:30:00.1234Z", "finer than");
	refuse_as(LOGICAL_TIMESTAMP_MICROS, "2026-01-31T12:30:00.123456789Z", "finer than");
	check(LOGICAL_TIMESTAMP_MICROS, "1970-01-01T00:00:00.123456000Z", 123456);
	refuse_as(LOGICAL_TIMESTAMP_MILLIS, "2026-01-31T12:30:00+16:00", "no such time zone");
	refuse_as(LOGICAL_TIMESTAMP_MILLIS, "2026-01-31T12:30:00+01:60", "no such time zone");
	refuse_as(LOGICAL_LOCAL_MILLIS, "2026-01-31T12:30:00Z", "a local time has no zone");
	refuse_as(LOGICAL_LOCAL_MILLIS, "2026-01-31T12:30:00+01:00", "a local time has no zone");
	static const char *const bad[] = {"+-1:30",  "+1:30",  "+01:3",  "+01:",    "+",
					  "Z ",      "z",      "UTC",    " +01:00", "+01:00:00",
					  "Z+01:00", "+01-30", "+ 1:30", "GMT"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char text[60];
		snprintf(text, sizeof(text), "2026-01-31T12:30:00%s", bad[i]);
		refuse_as(LOGICAL_TIMESTAMP_MILLIS, text, "it is not written as 2026-01-31T");
	}
	refuse_as(LOGICAL_TIMESTAMP_MILLIS, "2026-01-31", "it is not written as 2026-01-31T");
	refuse_as(LOGICAL_TIMESTAMP_MILLIS, "2026-01-31T", "it is not written as 2026-01-31T");
	refuse_as(LOGICAL_TIMESTAMP_MILLIS, "2026-01-31t12:30:00Z", "it is not written");
	refuse_as(LOGICAL_TIMESTAMP_MILLIS, "1769862600125", "it is not written");
}
END_TEST

static Suite *moment_suite(void)
{
	Suite *suite = suite_create("moment");
	TCase *tc = tcase_create("moment");
	tcase_add_test(tc, test_calendar);
	tcase_add_test(tc, test_dates);
	tcase_add_test(tc, test_times);
	tcase_add_test(tc, test_timestamps);
	suite_add_tcase(suite, tc);
	return suite;
}

UNIT_SUITE(moment_suite)

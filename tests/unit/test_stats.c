/* test_stats.c - what /metrics says about what was added. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/stats.h"
#include "unit.h"

static struct buf out;

static void begin(void)
{
	static const char *const streams[] = {"memory", "we\"ird\\"}, *const reasons[] = {"frame",
											  "decode"};
	stats_init(streams, 2, reasons, 2);
	out.len = 0;
}

static void end(void)
{
	buf_free(&out);
}

static const char *expose(void)
{
	out.len = 0;
	stats_expose(&out);
	return buf_cstr(&out);
}

/* The text has this very line. */
static void has_line(const char *text, const char *line)
{
	size_t len = strlen(line);
	for (const char *s = text; (s = strstr(s, line)); s += len)
		if ((s == text || s[-1] == '\n') && s[len] == '\n')
			return;
	ck_abort_msg("no line \"%s\" in:\n%.4000s", line, text); /* Check takes 8 KiB */
}

static size_t count_of(const char *text, const char *what)
{
	size_t n = 0;
	for (const char *s = text; (s = strstr(s, what)); s += strlen(what))
		n++;
	return n;
}

/* Counters: every series is there from the start with 0, labels in order, label values escaped. */
START_TEST(counters)
{
	stats_add(METRIC_DEAD_LETTERS, 1, 0, 3);
	stats_add(METRIC_DEAD_LETTERS, 1, 0, 4);
	stats_add(METRIC_FENCED, 0, 0, 1);
	const char *text = expose();
	has_line(text, "memingest_dead_letters_total{stream=\"memory\",reason=\"frame\"} 0");
	has_line(text, "memingest_dead_letters_total{stream=\"memory\",reason=\"decode\"} 0");
	has_line(text, "memingest_dead_letters_total{stream=\"we\\\"ird\\\\\",reason=\"frame\"} 7");
	has_line(text, "memingest_fenced_total 1");
	ck_assert_int_eq(stats_get(METRIC_DEAD_LETTERS, 1, 0), 7);
	ck_assert_int_eq(stats_get(METRIC_DEAD_LETTERS, 0, 1), 0);
	ck_assert_int_eq(stats_sum(METRIC_DEAD_LETTERS), 7);
}
END_TEST

/* Series of a rectangle do not share cells: each gets its own number and keeps it. */
START_TEST(series_are_apart)
{
	for (size_t a = 0; a < 2; a++)
		for (size_t b = 0; b < SEAL_COUNT; b++)
			stats_add(METRIC_BATCHES_SEALED, a, b, (int64_t)(100 * a + b));
	for (size_t a = 0; a < 2; a++)
		for (size_t b = 0; b < SEAL_COUNT; b++)
			ck_assert_int_eq(stats_get(METRIC_BATCHES_SEALED, a, b),
					 (int64_t)(100 * a + b));
	has_line(expose(), "memingest_batches_sealed_total{stream=\"memory\",reason=\"revoke\"} 3");
}
END_TEST

/* Gauges go up and down; times are stored in microseconds and shown in seconds, exactly. */
START_TEST(gauges_and_seconds)
{
	stats_set(METRIC_ASSIGNED_PARTITIONS, 0, 0, 5);
	stats_gauge_add(METRIC_ASSIGNED_PARTITIONS, 0, 0, -2);
	stats_set(METRIC_LAST_PROGRESS, 0, 0, INT64_C(1767225600123450));
	stats_add(METRIC_BUSY_SECONDS, STAGE_COPY, 0, 2000000);
	stats_add(METRIC_BUSY_SECONDS, STAGE_IDLE, 0, 1);
	const char *text = expose();
	has_line(text, "memingest_assigned_partitions{stream=\"memory\"} 3");
	has_line(text, "memingest_last_progress_timestamp_seconds 1767225600.12345");
	has_line(text, "memingest_stage_busy_seconds_total{stage=\"lane_copy\"} 2");
	has_line(text, "memingest_stage_busy_seconds_total{stage=\"lane_idle\"} 0.000001");
}
END_TEST

/*
 * Histograms: bounds are inclusive, buckets cumulative, +Inf is the count; a negative duration
 * counts as none.
 */
START_TEST(histograms)
{
	stats_observe(METRIC_COMMIT_SECONDS, 0, 1000);
	stats_observe(METRIC_COMMIT_SECONDS, 0, 1001);
	stats_observe(METRIC_COMMIT_SECONDS, 0, 60000000);
	stats_observe(METRIC_COMMIT_SECONDS, 0, -5);
	stats_observe(METRIC_BATCH_ROWS, 1, 5000);
	const char *text = expose();
	has_line(text, "memingest_postgres_commit_duration_seconds_bucket{le=\"0.001\"} 2");
	has_line(text, "memingest_postgres_commit_duration_seconds_bucket{le=\"0.0025\"} 3");
	has_line(text, "memingest_postgres_commit_duration_seconds_bucket{le=\"30\"} 3");
	has_line(text, "memingest_postgres_commit_duration_seconds_bucket{le=\"+Inf\"} 4");
	has_line(text, "memingest_postgres_commit_duration_seconds_sum 60.002001");
	has_line(text, "memingest_postgres_commit_duration_seconds_count 4");
	has_line(text, "memingest_batch_rows_bucket{stream=\"we\\\"ird\\\\\",le=\"4096\"} 0");
	has_line(text, "memingest_batch_rows_bucket{stream=\"we\\\"ird\\\\\",le=\"16384\"} 1");
	has_line(text, "memingest_batch_rows_sum{stream=\"we\\\"ird\\\\\"} 5000");
	has_line(text, "memingest_batch_bytes_bucket{stream=\"memory\",le=\"67108864\"} 0");
	has_line(text,
		 "memingest_end_to_end_latency_seconds_bucket{stream=\"memory\",le=\"3600\"} 0");
	ck_assert_int_eq(stats_get(METRIC_COMMIT_SECONDS, 0, 0), 4);
}
END_TEST

/*
 * The text format: HELP and TYPE once per metric and in front of it, every line ended, the process
 * metrics there.
 */
START_TEST(format)
{
	const char *text = expose();
	ck_assert_uint_eq(
		count_of(text, "# TYPE memingest_postgres_copy_duration_seconds histogram\n"), 1);
	ck_assert_uint_eq(count_of(text, "# HELP memingest_postgres_copy_duration_seconds "), 1);
	ck_assert_uint_eq(count_of(text, "# TYPE "), count_of(text, "# HELP "));
	/* build_info, and what a gateway has alone */
	enum { GATEWAYS = METRIC_GATEWAY_NOT_READY - METRIC_GATEWAY_ANSWERS + 1 };
	ck_assert_uint_eq(count_of(text, "# TYPE memingest_"), (size_t)METRIC_COUNT - GATEWAYS + 1);
	ck_assert_uint_eq(count_of(text, "# TYPE memingest_gateway_"), 0);
	has_line(text, "# TYPE process_cpu_seconds_total counter");
	has_line(text, "# TYPE process_resident_memory_bytes gauge");
	has_line(text, "memingest_build_info{version=\"" MEMINGEST_VERSION "\"} 1");
	ck_assert_int_eq(text[out.len - 1], '\n');
	const char *rss = strstr(text, "\nprocess_resident_memory_bytes "),
		   *fds = strstr(text, "\nprocess_open_fds ");
	ck_assert_double_gt(strtod(strchr(rss + 1, ' '), NULL), 100000);
	ck_assert_double_gt(strtod(strchr(fds + 1, ' '), NULL), 1);
	const char *start = strstr(text, "\nprocess_start_time_seconds ");
	ck_assert_double_gt(strtod(strchr(start + 1, ' '), NULL), 1.7e9);
}
END_TEST

/* A gateway shows its own metrics and those of any process, and no zeros of a worker's. */
START_TEST(of_a_gateway)
{
	stats_of_gateway();
	const char *text = expose();
	enum { GATEWAYS = METRIC_GATEWAY_NOT_READY - METRIC_GATEWAY_ANSWERS + 1, BOTH = 3 };
	ck_assert_uint_eq(count_of(text, "# TYPE memingest_gateway_"), GATEWAYS);
	ck_assert_uint_eq(count_of(text, "# TYPE memingest_"), GATEWAYS + BOTH + 1);
	has_line(text, "memingest_gateway_answers_total{result=\"not_yet\"} 0");
}
END_TEST

/* SQLSTATEs land in their class, unknown and empty ones in "other". */
START_TEST(sqlclass)
{
	stats_add(METRIC_POSTGRES_ERRORS, stats_sqlclass("40P01"), 0, 1);
	stats_add(METRIC_POSTGRES_ERRORS, stats_sqlclass(""), 0, 1);
	stats_add(METRIC_POSTGRES_ERRORS, stats_sqlclass("P0001"), 0, 1);
	const char *text = expose();
	has_line(text, "memingest_postgres_errors_total{sqlstate_class=\"40\"} 1");
	has_line(text, "memingest_postgres_errors_total{sqlstate_class=\"other\"} 2");
	has_line(text, "memingest_postgres_errors_total{sqlstate_class=\"08\"} 0");
}
END_TEST

static void *add_many(void *arg)
{
	for (int i = 0; i < 50000; i++) {
		stats_add(METRIC_RECORDS_CONSUMED, 0, 0, 1);
		stats_observe(METRIC_BATCH_ROWS, 0, i);
	}
	return arg;
}

/* Threads add without losing anything. */
START_TEST(nothing_lost_between_threads)
{
	pthread_t other;
	ck_assert_int_eq(pthread_create(&other, NULL, add_many, NULL), 0);
	add_many(NULL);
	pthread_join(other, NULL);
	ck_assert_int_eq(stats_get(METRIC_RECORDS_CONSUMED, 0, 0), 100000);
	ck_assert_int_eq(stats_get(METRIC_BATCH_ROWS, 0, 0), 100000);
}
END_TEST

/* The documentation names every metric that is exposed. */
START_TEST(docs_are_complete)
{
	struct buf docs = {0};
	stats_write_docs(&docs);
	const char *all = buf_cstr(&docs), *text = expose();
	for (const char *s = text; (s = strstr(s, "# TYPE ")); s++) {
		char name[128];
		snprintf(name, sizeof(name), "| `%.*s` |", (int)strcspn(s + 7, " "), s + 7);
		ck_assert_msg(strstr(all, name) != NULL, "%s", name);
	}
	buf_free(&docs);
}
END_TEST

static Suite *stats_suite(void)
{
	Suite *s = suite_create("stats");
	TCase *t = tcase_create("stats");
	tcase_add_checked_fixture(t, begin, end);
	tcase_add_test(t, counters);
	tcase_add_test(t, series_are_apart);
	tcase_add_test(t, gauges_and_seconds);
	tcase_add_test(t, histograms);
	tcase_add_test(t, format);
	tcase_add_test(t, of_a_gateway);
	tcase_add_test(t, sqlclass);
	tcase_add_test(t, nothing_lost_between_threads);
	tcase_add_test(t, docs_are_complete);
	suite_add_tcase(s, t);
	return s;
}
UNIT_SUITE(stats_suite)

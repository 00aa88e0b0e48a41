/*
 * test_status.c - what is published is what the endpoints show, in formats that others can read.
 */
#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/beat.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/stats.h"
#include "io/kafka_stats.h"
#include "show/status.h"
#include "show/status_parts.h"
#include "unit.h"

static struct stream_config stream = {.name = "memory"};
static struct config config;
static struct status *status;

static void setup(void)
{
	static const char *const streams[] = {"memory"}, *const reasons[] = {"decode"};
	stats_init(streams, 1, reasons, 1);
	config = (struct config){.http_partition_metrics = true,
				 .streams = &stream,
				 .nstreams = 1,
				 .group_id = "agents"};
	status = status_new(&config, "2.0.2", "15.18");
}

static void teardown(void)
{
	status_free(status);
}

/* What a path answers; the caller frees. */
static char *serve(const char *path, unsigned want)
{
	size_t n;
	const struct httpd_route *routes = status_routes(&n);
	for (size_t i = 0; i < n; i++) {
		if (strcmp(routes[i].path, path) != 0)
			continue;
		struct buf body = {0};
		unsigned got = routes[i].serve(status, &body);
		char *text = xstrdup(buf_cstr(&body));
		buf_free(&body);
		ck_assert_msg(got == want, "%s: %u instead of %u: %s", path, got, want, text);
		return text;
	}
	ck_abort_msg("no path %s", path);
}

static void expect(const char *path, unsigned want, const char *part)
{
	char *text = serve(path, want);
	ck_assert_msg(strstr(text, part) != NULL, "%s: no '%s' in: %s", path, part, text);
	free(text);
}

static void expect_not(const char *path, unsigned want, const char *part)
{
	char *text = serve(path, want);
	ck_assert_msg(strstr(text, part) == NULL, "%s: '%s' in: %s", path, part, text);
	free(text);
}

static struct status_partition partition(const char *topic, int32_t number)
{
	return (struct status_partition){.stream = "memory",
					 .topic = topic,
					 .partition = number,
					 .state = "active",
					 .next_offset = 90,
					 .position = 95,
					 .high = 100,
					 .epoch = 3,
					 .durable_ts_ms = -1,
					 .pending_ts_ms = -1};
}

static void publish(const struct status_partition *p, size_t n, enum worker_state state,
		    bool connected)
{
	struct status_lane lane = {.state = "idle",
				   .connected = connected,
				   .phase = "copy",
				   .stream = "memory",
				   .events = 5000,
				   .attempts = 2,
				   .busy_us = 250000,
				   .batches = 7,
				   .error = connected ? NULL : "connection refused"};
	status_publish(status, &(struct status_facts){.state = state,
						      .joined = true,
						      .partitions = p,
						      .npartitions = n,
						      .lanes = &lane,
						      .nlanes = 1});
}

/* Before the first snapshot everything answers, and the worker is not ready. */
START_TEST(before_the_first)
{
	expect("/readyz", 503, "starting\n");
	expect("/metrics", 200, "memingest_state_info{state=\"starting\"} 1\n");
	expect("/status", 200, "\"state\":\"starting\"");
	expect("/version", 200, "\"librdkafka\":\"2.0.2\"");
	expect("/version", 200, "\"version\":\"" MEMINGEST_VERSION "\"");
}
END_TEST

/*
 * Ready: group joined (with nothing assigned is fine) and each lane has its session; else each
 * reason has a line.
 */
START_TEST(readiness)
{
	publish(NULL, 0, WORKER_RUNNING, true);
	expect("/readyz", 200, "ok\n");
	publish(NULL, 0, WORKER_RUNNING, false);
	expect("/readyz", 503, "lane 0 has no database session: connection refused\n");
	publish(NULL, 0, WORKER_DRAINING, true);
	expect("/readyz", 503, "the worker is draining\n");
	status_publish(status, &(struct status_facts){.state = WORKER_RUNNING});
	expect("/readyz", 503, "group has not been joined\n");
	status_publish(status, &(struct status_facts){.state = WORKER_STANDBY});
	expect("/readyz", 503, "stands by for another process\n");
	expect_not("/readyz", 503, "group");
	expect("/metrics", 200, "memingest_state_info{state=\"standby\"} 1\n");
}
END_TEST

/*
 * Partitions that are halted or wait and topics that are missing leave the worker ready, but they
 * are said, and who asks strictly is told no; one that is paused for its turn is no trouble.
 */
START_TEST(strict_readiness)
{
	const char *const missing[] = {"topic t does not exist", NULL};
	struct status_partition p[3] = {partition("t", 0), partition("t", 1), partition("t", 2)};
	struct status_lane lane = {.state = "idle", .connected = true};
	struct status_facts facts = {.state = WORKER_RUNNING,
				     .joined = true,
				     .partitions = p,
				     .npartitions = 3,
				     .lanes = &lane,
				     .nlanes = 1};
	p[2].state = "paused";
	p[2].paused = "batches";
	status_publish(status, &facts);
	expect("/readyz/strict", 200, "ok\n");
	p[0].state = "halted";
	p[0].error = "retention";
	p[1].error = "a lock";
	facts.missing = missing;
	status_publish(status, &facts);
	expect("/readyz", 200, "ok\npartitions: 1 halted, 1 waiting; /status says why\n");
	expect("/readyz/strict", 503, "partitions: 1 halted, 1 waiting");
	expect("/readyz/strict", 503, ": topic t does not exist\n");
	expect_not("/readyz/strict", 503, "ok\n");
	expect("/status", 200, "\"missing_topics\":\"topic t does not exist\"");
	expect("/status", 200, "\"ready\":true");
	struct buf line = {0};
	status_line(status, &line);
	ck_assert_msg(strstr(buf_cstr(&line), "; 1 halted, 1 waiting, 1 stream without a topic"),
		      "%s", buf_cstr(&line));
	buf_free(&line);
}
END_TEST

/*
 * A thread that went silent is named; one that ended, or never was, is not missed. A database that
 * is away changes nothing.
 */
START_TEST(liveness)
{
	publish(NULL, 0, WORKER_RUNNING, false);
	size_t poll = beat_join("poll"), lane = beat_join("lane 2");
	expect("/livez", 200, "ok\n");
	beat_at(lane, clock_mono_us() - 59 * US_PER_S);
	expect("/livez", 200, "ok\n");
	beat_at(lane, clock_mono_us() - 61 * US_PER_S);
	expect("/livez", 503, "lane 2 thread: no sign of life for 61 s\n");
	expect_not("/livez", 503, "poll");
	beat_rest(lane);
	expect("/livez", 200, "ok\n");
	beat(lane);
	beat_leave(lane);
	beat_leave(poll);
}
END_TEST

/*
 * Each series with its labels and value, none for what is unknown, none at all when switched off.
 */
START_TEST(partition_series)
{
	struct status_partition p[2] = {partition("memory.events", 0),
					partition("memory.events", 1)};
	p[0].durable_ts_ms = 1700000000123;
	p[1].high = p[1].next_offset = -1;
	publish(p, 2, WORKER_RUNNING, true);
	expect("/metrics", 200,
	       "memingest_consumer_lag_records{stream=\"memory\",topic=\"memory.events\",partition="
	       "\"0\"} 10\n");
	expect("/metrics", 200,
	       "memingest_committed_offset{stream=\"memory\",topic=\"memory.events\",partition="
	       "\"0\"} 90\n");
	expect("/metrics", 200,
	       "memingest_last_committed_record_timestamp_seconds{stream=\"memory\",topic=\"memory."
	       "events\",partition="
	       "\"0\"} "
	       "1700000000.123\n");
	expect_not("/metrics", 200, "partition=\"1\"");
	expect("/metrics", 200, "memingest_state_info{state=\"running\"} 1\n");
	expect("/metrics", 200, "memingest_state_info{state=\"draining\"} 0\n");
	expect("/metrics", 200,
	       "memingest_libraries_info{librdkafka=\"2.0.2\",libpq=\"15.18\"} 1\n");
	config.http_partition_metrics = false;
	expect_not("/metrics", 200, "partition=");
	expect_not("/metrics", 200, "# TYPE memingest_consumer_lag_records");
}
END_TEST

/*
 * By stream: lag in records is the sum, in seconds the maximum, in flight what was taken and is not
 * durable; also without series per partition. Unknown partitions are left out of the sum; with none
 * known there is no lag, with no partition it is 0.
 */
START_TEST(stream_series)
{
	struct status_partition p[3] = {partition("t", 0), partition("t", 1), partition("u", 0)};
	config.http_partition_metrics = false;
	p[0].durable_ts_ms = clock_wall_us() / US_PER_MS - 500000;
	p[1].next_offset = 70;
	p[2].high = -1;
	publish(NULL, 0, WORKER_RUNNING, true);
	expect("/metrics", 200, "memingest_stream_lag_records{stream=\"memory\"} 0\n");
	publish(p, 3, WORKER_RUNNING, true);
	expect("/metrics", 200, "memingest_stream_lag_records{stream=\"memory\"} 40\n");
	expect("/metrics", 200, "memingest_stream_lag_seconds{stream=\"memory\"} 500.");
	expect("/metrics", 200, "memingest_stream_in_flight_records{stream=\"memory\"} 35\n");
	publish(&p[2], 1, WORKER_RUNNING, true);
	expect_not("/metrics", 200, "memingest_stream_lag_records{");
}
END_TEST

/*
 * Partitions of a topic as its best informed partition knows them, wherever in the list they stand;
 * none for an unknown number.
 */
START_TEST(topic_series)
{
	struct status_partition p[4] = {partition("t", 0), partition("u", 0), partition("t", 1),
					partition("v", 0)};
	p[0].of = 6;
	p[1].of = 3;
	p[2].of = 8;
	publish(p, 4, WORKER_RUNNING, true);
	expect("/metrics", 200, "memingest_topic_partitions{stream=\"memory\",topic=\"t\"} 8\n");
	expect("/metrics", 200, "memingest_topic_partitions{stream=\"memory\",topic=\"u\"} 3\n");
	expect_not("/metrics", 200, "memingest_topic_partitions{stream=\"memory\",topic=\"v\"}");
}
END_TEST

/* PostgreSQL is up when every lane has a session; before the first snapshot it is not. */
START_TEST(lane_series)
{
	expect("/metrics", 200, "memingest_postgres_up 0\n");
	publish(NULL, 0, WORKER_RUNNING, true);
	expect("/metrics", 200, "memingest_postgres_up 1\n");
	expect("/metrics", 200, "memingest_lanes{state=\"idle\"} 1\n");
	expect("/metrics", 200, "memingest_lanes{state=\"halted\"} 0\n");
	publish(NULL, 0, WORKER_RUNNING, false);
	expect("/metrics", 200, "memingest_postgres_up 0\n");
}
END_TEST

/* The state in one line, for a service manager. */
START_TEST(one_line)
{
	struct status_partition p[2] = {partition("t", 0), partition("t", 1)};
	struct buf line = {0};
	p[1].state = "halted";
	p[0].durable_ts_ms = clock_wall_us() / US_PER_MS - 500000;
	publish(p, 2, WORKER_RUNNING, false);
	status_line(status, &line);
	ck_assert_msg(
		strncmp(buf_cstr(&line), "running, 2 partitions, 20 records behind, 500.", 46) == 0,
		"%s", buf_cstr(&line));
	ck_assert_ptr_nonnull(
		strstr(buf_cstr(&line), " s; 1 halted; 1 of 1 lanes without PostgreSQL"));
	buf_free(&line);
}
END_TEST

/* The lag of one published partition, in seconds. -1 for unknown. */
static double lag_of(void)
{
	char *text = serve("/status", 200);
	json_t *json = json_loads(text, 0, NULL);
	json_t *lag = json_object_get(json_array_get(json_object_get(json, "partitions"), 0),
				      "lag_seconds");
	double value = json_is_null(lag) ? -1 : json_number_value(lag);
	json_decref(json);
	free(text);
	return value;
}

/*
 * Lag in seconds: 0 when caught up, however old the last record is; the age of the oldest record
 * taken and not durable; else of the last durable one, or since when we saw it fall behind; unknown
 * without a high watermark.
 */
START_TEST(lag_in_seconds)
{
	int64_t now_ms = clock_wall_us() / US_PER_MS;
	struct status_partition p = partition("t", 0);
	p.high = -1;
	publish(&p, 1, WORKER_RUNNING, true);
	ck_assert_double_eq(lag_of(), -1);
	p.high = 100; /* behind from the start, and no record seen: counted from now on */
	publish(&p, 1, WORKER_RUNNING, true);
	ck_assert_double_eq_tol(lag_of(), 0, 5);
	p.durable_ts_ms = now_ms - 500000;
	publish(&p, 1, WORKER_RUNNING, true);
	ck_assert_double_eq_tol(lag_of(), 500, 5);
	p.pending_ts_ms = now_ms - 20000;
	publish(&p, 1, WORKER_RUNNING, true);
	ck_assert_double_eq_tol(lag_of(), 20, 5);
	p.pending_ts_ms = now_ms + 60000; /* a producer whose clock is ahead */
	publish(&p, 1, WORKER_RUNNING, true);
	ck_assert_double_eq(lag_of(), 0);
	p.next_offset = p.high;
	p.pending_ts_ms = -1;
	publish(&p, 1, WORKER_RUNNING, true);
	ck_assert_double_eq(lag_of(), 0);
	p.high++; /* one new record after a long silence: behind since now, not for 500 s */
	publish(&p, 1, WORKER_RUNNING, true);
	ck_assert_double_eq_tol(lag_of(), 0, 5);
	publish(&p, 1, WORKER_RUNNING, true); /* and still so in the next snapshot */
	ck_assert_double_eq_tol(lag_of(), 0, 5);
}
END_TEST

/*
 * The JSON parses and has what was published, whatever the texts hold; the snapshot has its own
 * copy of them.
 */
START_TEST(status_json)
{
	char error[] = "say \"no\"\n\xc3";
	struct status_partition p[2] = {partition("a", 0), partition("b", 4)};
	p[1].state = "halted";
	p[1].paused = "schema";
	p[1].error = error;
	publish(p, 2, WORKER_DRAINING, false);
	memset(error, 'x', sizeof(error) - 1);
	char *text = serve("/status", 200);
	json_error_t at;
	json_t *json = json_loads(text, 0, &at);
	ck_assert_msg(json != NULL, "%s in %s", at.text, text);
	json_t *two = json_array_get(json_object_get(json, "partitions"), 1);
	ck_assert_str_eq(json_string_value(json_object_get(two, "topic")), "b");
	ck_assert_str_eq(json_string_value(json_object_get(two, "state")), "halted");
	ck_assert_str_eq(json_string_value(json_object_get(two, "paused")), "schema");
	ck_assert_str_eq(json_string_value(json_object_get(two, "error")), "say \"no\"\n?");
	ck_assert_int_eq(json_integer_value(json_object_get(two, "lag_records")), 10);
	ck_assert_int_eq(json_integer_value(json_object_get(two, "epoch")), 3);
	json_t *lane = json_array_get(json_object_get(json, "lanes"), 0);
	ck_assert_int_eq(json_integer_value(json_object_get(lane, "batches")), 7);
	ck_assert(json_is_false(json_object_get(lane, "connected")));
	ck_assert_str_eq(json_string_value(json_object_get(lane, "phase")), "copy");
	ck_assert_str_eq(json_string_value(json_object_get(lane, "stream")), "memory");
	ck_assert_int_eq(json_integer_value(json_object_get(lane, "events")), 5000);
	ck_assert_double_eq(json_number_value(json_object_get(lane, "seconds")), 0.25);
	ck_assert_int_eq(json_integer_value(json_object_get(lane, "attempts")), 2);
	ck_assert(json_is_false(json_object_get(json, "ready")));
	ck_assert_str_eq(
		json_string_value(json_object_get(json, "unready")),
		"the worker is draining; lane 0 has no database session: connection refused");
	ck_assert_str_eq(json_string_value(json_object_get(json, "group")), "agents");
	json_decref(json);
	free(text);
}
END_TEST

/*
 * Totals since the start by stream, and the last errors with place and time: what "top" makes rates
 * and lists of.
 */
START_TEST(status_totals)
{
	struct status_partition p = partition("t", 0);
	stats_add(METRIC_RECORDS_CONSUMED, 0, 0, 70);
	stats_add(METRIC_DEAD_LETTERS, 0, 0, 3);
	stats_add(METRIC_BUSY_SECONDS, STAGE_MERGE, 0, 1500000);
	publish(&p, 1, WORKER_RUNNING, true);
	log_error("went wrong", F_STR("topic", "t"), F_INT("partition", 4),
		  F_STR("error", "a \"b\""));
	char *text = serve("/status", 200);
	json_t *json = json_loads(text, 0, NULL);
	ck_assert_msg(json != NULL, "%s", text);
	json_t *totals = json_array_get(json_object_get(json, "streams"), 0);
	ck_assert_int_eq(json_integer_value(json_object_get(totals, "consumed")), 70);
	ck_assert_int_eq(json_integer_value(json_object_get(totals, "dead_letters")), 3);
	ck_assert_int_eq(json_integer_value(json_object_get(totals, "lag_records")), 10);
	json_t *busy = json_object_get(json, "busy_seconds");
	ck_assert_double_eq(json_number_value(json_object_get(busy, "lane_merge")), 1.5);
	json_t *error = json_array_get(json_object_get(json, "errors"), 0);
	ck_assert_str_eq(json_string_value(json_object_get(error, "message")), "went wrong");
	ck_assert_str_eq(json_string_value(json_object_get(error, "error")), "a \"b\"");
	ck_assert_int_eq(json_integer_value(json_object_get(error, "partition")), 4);
	ck_assert(json_is_null(json_object_get(error, "lane")));
	ck_assert_double_ge(json_number_value(json_object_get(json, "time")),
			    json_number_value(json_object_get(error, "time")));
	ck_assert(json_is_true(json_object_get(json, "ready")));
	json_decref(json);
	free(text);
}
END_TEST

/*
 * A stream's search: null where there is none; its numbers, and what the log last said of it while
 * it fails.
 */
START_TEST(searches)
{
	struct status_search search = {.stream = "memory", .state = "failing"};
	struct status_facts facts = {.state = WORKER_RUNNING, .searches = &search, .nsearches = 1};
	publish(NULL, 0, WORKER_RUNNING, true);
	expect("/status", 200, "\"search\":null");
	stats_set(METRIC_SEARCH_UNINDEXED, 0, 0, 4321);
	stats_set(METRIC_SEARCH_UNINDEXED_AGE, 0, 0, 90 * US_PER_S);
	stats_set(METRIC_SEARCH_SEGMENTS, 0, 0, 7);
	stats_add(METRIC_SEARCH_BUILT, 0, 0, 700000);
	log_error("the search is not kept", F_STR("stream", "memory"), F_STR("error", "no right"));
	log_error("something else", F_STR("stream", "memory"), F_STR("error", "no matter"));
	status_publish(status, &facts);
	expect("/status", 200,
	       "\"search\":{\"state\":\"failing\",\"unindexed_rows\":4321,\"segments\":7,");
	expect("/status", 200, "\"built_rows\":700000,");
	expect("/status", 200, "\"unindexed_seconds\":90.000,\"error\":\"no right\"}");
	search.state = "building";
	status_publish(status, &facts);
	expect("/status", 200, "\"unindexed_seconds\":90.000,\"error\":null}");
}
END_TEST

static const char statistics[] =
	"{\"replyq\":3,\"brokers\":{"
	"\"127.0.0.1:9092/bootstrap\":{\"source\":\"configured\",\"nodeid\":-1,\"state\":\"DOWN\"},"
	"\"127.0.0.1:9092/"
	"1\":{\"source\":\"learned\",\"nodeid\":1,\"state\":\"UP\",\"connects\":2,\"disconnects\":"
	"1,"
	"\"req_timeouts\":4,\"txerrs\":5,\"rxerrs\":6,\"txbytes\":100,\"rxbytes\":200,"
	"\"rtt\":{\"avg\":1500,\"p99\":48639,\"cnt\":10}},"
	"\"127.0.0.1:9093/2\":{\"source\":\"learned\",\"nodeid\":2,\"state\":\"INIT\"},"
	"\"GroupCoordinator\":{\"source\":\"logical\",\"nodeid\":1,\"state\":\"UP\"}},"
	"\"topics\":{\"memory.events\":{\"partitions\":{"
	"\"0\":{\"partition\":0,\"desired\":true,\"fetchq_cnt\":12,\"fetchq_size\":3456},"
	"\"1\":{\"partition\":1,\"desired\":false,\"fetchq_cnt\":0,\"fetchq_size\":0},"
	"\"-1\":{\"partition\":-1,\"desired\":false}}}}}";

/*
 * Of librdkafka's statistics: real brokers, those in use, and the queues of our partitions. The
 * newest text counts.
 */
START_TEST(bridge)
{
	status_statistics(status, "{\"replyq\":9}", 12);
	status_statistics(status, statistics, sizeof(statistics) - 1);
	expect("/metrics", 200, "memingest_rdkafka_broker_up{broker=\"127.0.0.1:9092/1\"} 1\n");
	expect("/metrics", 200,
	       "memingest_rdkafka_broker_errors_total{broker=\"127.0.0.1:9092/1\"} 11\n");
	expect("/metrics", 200,
	       "memingest_rdkafka_broker_request_timeouts_total{broker=\"127.0.0.1:9092/1\"} 4\n");
	expect("/metrics", 200,
	       "memingest_rdkafka_broker_rtt_seconds{broker=\"127.0.0.1:9092/1\",stat=\"avg\"} "
	       "0.001500\n");
	expect("/metrics", 200,
	       "memingest_rdkafka_broker_rtt_seconds{broker=\"127.0.0.1:9092/1\",stat=\"p99\"} "
	       "0.048639\n");
	expect("/metrics", 200,
	       "memingest_rdkafka_fetch_queue_records{topic=\"memory.events\",partition=\"0\"} "
	       "12\n");
	expect("/metrics", 200,
	       "memingest_rdkafka_fetch_queue_bytes{topic=\"memory.events\",partition=\"0\"} "
	       "3456\n");
	expect("/metrics", 200, "memingest_rdkafka_reply_queue_ops 3\n");
	expect_not("/metrics", 200, "bootstrap");
	expect_not("/metrics", 200, "GroupCoordinator");
	expect_not("/metrics", 200, "9093");
	expect_not("/metrics", 200, "partition=\"1\"");
	status_statistics(status, "nonsense", 8);
	expect_not("/metrics", 200, "rdkafka_broker_up");
}
END_TEST

/*
 * As long as the cluster was never reached, the configured addresses are the brokers, and they are
 * down.
 */
START_TEST(bootstrap_down)
{
	static const char json[] = "{\"brokers\":{\"b:9092/"
				   "bootstrap\":{\"source\":\"configured\",\"state\":\"DOWN\"}}}";
	status_statistics(status, json, sizeof(json) - 1);
	expect("/metrics", 200, "memingest_rdkafka_broker_up{broker=\"b:9092/bootstrap\"} 0\n");
	expect_not("/metrics", 200, "rdkafka_broker_rtt_seconds{");
}
END_TEST

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The name of a line, or the series of a sample: what may stand there only once. */
static size_t identity(const char *line)
{
	if (line[0] != '#')
		return (size_t)(strrchr(line, ' ') - line);
	return 7 + strcspn(line + 7, " "); /* "# HELP " */
}

/*
 * No family is announced twice and no series is there twice, whatever stats_expose() and the
 * snapshot each bring.
 */
START_TEST(no_duplicates)
{
	struct status_partition p[2] = {partition("t", 0), partition("t", 1)};
	p[0].pending_ts_ms = p[0].durable_ts_ms = 1;
	publish(p, 2, WORKER_RUNNING, true);
	status_statistics(status, statistics, sizeof(statistics) - 1);
	char *text = serve("/metrics", 200), *lines[4096];
	size_t n = 0;
	for (char *line = text, *end; *line != '\0'; line = end + 1) {
		end = strchr(line, '\n');
		ck_assert_ptr_nonnull(end);
		*end = '\0';
		ck_assert_msg(strchr(line, ' ') != NULL, "%s", line);
		line[identity(line)] = '\0';
		lines[n++] = line;
		ck_assert_uint_lt(n, ARRAY_LEN(lines));
	}
	ck_assert_uint_gt(n, 100);
	qsort(lines, n, sizeof(lines[0]), compare);
	for (size_t i = 1; i < n; i++)
		ck_assert_msg(strcmp(lines[i - 1], lines[i]) != 0, "twice: %s", lines[i]);
	free(text);
}
END_TEST

/* Every family of /metrics that does not come from the stats table is in the documentation. */
START_TEST(documented)
{
	struct status_partition p = partition("t", 0);
	publish(&p, 1, WORKER_RUNNING, true);
	status_statistics(status, statistics, sizeof(statistics) - 1);
	struct buf docs = {0};
	stats_write_docs(&docs);
	status_write_docs(&docs);
	char *text = serve("/metrics", 200);
	for (char *line = strstr(text, "# TYPE "); line != NULL;
	     line = strstr(line + 1, "# TYPE ")) {
		char want[128];
		snprintf(want, sizeof(want), "| `%.*s` |", (int)strcspn(line + 7, " "), line + 7);
		ck_assert_msg(strstr(buf_cstr(&docs), want) != NULL, "not documented: %s", want);
	}
	free(text);
	buf_free(&docs);
}
END_TEST

static atomic_bool reading;

static void *reader(void *arg)
{
	while (atomic_load(&reading)) {
		free(serve(arg, 200));
		free(serve("/status", 200));
	}
	return NULL;
}

/*
 * Publishing and reading at the same time: for the sanitizers to object to, if anything is wrong.
 */
START_TEST(publish_under_readers)
{
	static char path[] = "/metrics";
	pthread_t threads[2];
	atomic_store(&reading, true);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, reader, path), 0);
	for (int i = 0; i < 300; i++) {
		struct status_partition p[3] = {partition("t", i), partition("t", i + 1),
						partition("u", 0)};
		publish(p, (size_t)(i % 4), WORKER_RUNNING, true);
		status_statistics(status, statistics, sizeof(statistics) - 1);
	}
	atomic_store(&reading, false);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
}
END_TEST

static Suite *status_suite(void)
{
	const TTest *const tests[] = {before_the_first, readiness,        strict_readiness,
				      liveness,         partition_series, lag_in_seconds,
				      status_json,      bridge,           bootstrap_down,
				      no_duplicates,    documented,       publish_under_readers,
				      stream_series,    topic_series,     lane_series,
				      one_line,         status_totals,    searches};
	Suite *s = suite_create("status");
	TCase *t = tcase_create("status");
	tcase_set_timeout(t, 30);
	tcase_add_checked_fixture(t, setup, teardown);
	for (size_t i = 0; i < ARRAY_LEN(tests); i++)
		tcase_add_test(t, tests[i]);
	suite_add_tcase(s, t);
	return s;
}
UNIT_SUITE(status_suite)

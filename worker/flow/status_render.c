/*
 * status_render.c - a snapshot as Prometheus text, as JSON and as reasons.
 *
 * Pure functions from a snapshot to a buffer. What ages is computed here, from timestamps and the clock at the time
 * of the request, so that a lag keeps growing on the graph even if the poll thread publishes nothing.
 *
 * Lag in seconds is the age of the oldest record that is not durable, 0 when there is none. Which record that is,
 * is known only once it was taken from Kafka. Before that (a partition that is paused, halted or just begins) a
 * bound stands in:
 *   - behind since we watch: the later of "fell behind at" and the last durable record's timestamp; the record is
 *     no older;
 *   - behind from the start: the last durable record's timestamp, or if this process has written none, since when
 *     we know; the record may be older than that, but the figure grows and an alert fires.
 *
 * Metric families stand together with one HELP and TYPE each, as the text format wants (Prometheus, "Text-based
 * format").
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "codec/text.h"
#include "flow/status_parts.h"
#include "io/httpd.h"
#include "io/kafka_stats.h"
#include "io/registry.h"

int64_t lag_records(const struct status_partition *p)
{
	if (p->high < 0 || p->next_offset < 0)
		return -1;
	return MAX(p->high - p->next_offset, 0);
}

int64_t lag_us(const struct snapshot *s, size_t partition, int64_t now_us)
{
	const struct status_partition *p = &s->facts.partitions[partition];
	if (lag_records(p) <= 0)
		return lag_records(p);
	const struct behind *behind = &s->behind[partition];
	int64_t durable_us = p->durable_ts_ms >= 0 ? p->durable_ts_ms * US_PER_MS : 0;
	int64_t since_us = p->pending_ts_ms >= 0              ? p->pending_ts_ms * US_PER_MS
			   : behind->always && durable_us > 0 ? durable_us
							      : MAX(behind->since_us, durable_us);
	return MAX(now_us - since_us, 0);
}

/* --- reasons --- */

void render_unready(const struct snapshot *snapshot, struct buf *out)
{
	if (snapshot == NULL) {
		buf_puts(out, "the worker is starting\n");
		return;
	}
	const struct status_facts *f = &snapshot->facts;
	if (f->state == WORKER_DRAINING || f->state == WORKER_STOPPED)
		buf_printf(out, "the worker is %s\n", worker_state_name(f->state));
	if (!f->joined)
		buf_puts(out, "the consumer group has not been joined\n");
	for (size_t i = 0; i < f->nlanes; i++)
		if (!f->lanes[i].connected)
			buf_printf(out, "lane %zu has no database session%s%s\n", i, f->lanes[i].error ? ": " : "",
				   f->lanes[i].error ? f->lanes[i].error : "");
}

/* --- Prometheus --- */

/* {name="value", ...} piece by piece; *open says whether the brace is. */
static void put_label(struct buf *out, bool *open, const char *name, const char *value)
{
	buf_printf(out, "%s%s=\"", *open ? "," : "{", name);
	*open = true;
	for (const char *c = value != NULL ? value : ""; *c != '\0'; c++) {
		if (*c == '\\' || *c == '"')
			buf_u8(out, '\\');
		if (*c == '\n')
			buf_puts(out, "\\n");
		else
			buf_u8(out, (uint8_t)*c);
	}
	buf_u8(out, '"');
}

/* The tables of families below drive exposition and documentation. */
struct family {
	const char *name, *type, *labels, *help;
};

static void put_family(struct buf *out, const struct family *f)
{
	buf_printf(out, "# HELP memingest_%s %s\n# TYPE memingest_%s %s\n", f->name, f->help, f->name, f->type);
}

enum partition_metric { LAG_RECORDS, LAG_SECONDS, COMMITTED_OFFSET, COMMITTED_TIMESTAMP, PARTITION_METRIC_COUNT };

static const struct family partition_families[PARTITION_METRIC_COUNT] = {
	[LAG_RECORDS] = {"consumer_lag_records", "gauge", "stream, topic, partition",
			 "Records in Kafka that are not durable in PostgreSQL."},
	[LAG_SECONDS] = {"consumer_lag_seconds", "gauge", "stream, topic, partition",
			 "Age of the oldest record that is not durable; 0 when there is none."},
	[COMMITTED_OFFSET] = {"committed_offset", "gauge", "stream, topic, partition",
			      "Next offset by the offsets row: all below is durable."},
	[COMMITTED_TIMESTAMP] = {"last_committed_record_timestamp_seconds", "gauge", "stream, topic, partition",
				 "Timestamp of the last durable record."},
};

/* -1: unknown, no series. */
static int64_t partition_value(const struct snapshot *s, size_t i, enum partition_metric metric, int64_t now_us)
{
	const struct status_partition *p = &s->facts.partitions[i];
	switch (metric) {
	case LAG_RECORDS:
		return lag_records(p);
	case LAG_SECONDS:
		return lag_us(s, i, now_us);
	case COMMITTED_OFFSET:
		return p->next_offset;
	case COMMITTED_TIMESTAMP:
		return p->durable_ts_ms < 0 ? -1 : p->durable_ts_ms * US_PER_MS;
	case PARTITION_METRIC_COUNT:
		break;
	}
	return -1;
}

static void put_partition_metric(struct buf *out, const struct snapshot *s, enum partition_metric metric,
				 int64_t now_us)
{
	bool time = metric == LAG_SECONDS || metric == COMMITTED_TIMESTAMP; /* microseconds, shown as seconds */
	put_family(out, &partition_families[metric]);
	for (size_t i = 0; i < s->facts.npartitions; i++) {
		const struct status_partition *p = &s->facts.partitions[i];
		int64_t value = partition_value(s, i, metric, now_us);
		if (value < 0)
			continue;
		bool open = false;
		buf_printf(out, "memingest_%s", partition_families[metric].name);
		put_label(out, &open, "stream", p->stream);
		put_label(out, &open, "topic", p->topic);
		buf_printf(out, ",partition=\"%d\"} ", p->partition);
		if (time)
			buf_printf(out, "%.3f\n", (double)value / US_PER_S);
		else
			buf_printf(out, "%lld\n", (long long)value);
	}
}

enum broker_metric { UP, CONNECTS, DISCONNECTS, TIMEOUTS, ERRORS, TX_BYTES, RX_BYTES, BROKER_METRIC_COUNT };

static const struct family broker_families[BROKER_METRIC_COUNT] = {
	[UP] = {"rdkafka_broker_up", "gauge", "broker", "1 when the connection to the broker is up."},
	[CONNECTS] = {"rdkafka_broker_connects_total", "counter", "broker", "Attempts to connect."},
	[DISCONNECTS] = {"rdkafka_broker_disconnects_total", "counter", "broker", "Connections that ended."},
	[TIMEOUTS] = {"rdkafka_broker_request_timeouts_total", "counter", "broker", "Requests that timed out."},
	[ERRORS] = {"rdkafka_broker_errors_total", "counter", "broker", "Errors of sending and receiving."},
	[TX_BYTES] = {"rdkafka_broker_tx_bytes_total", "counter", "broker", "Bytes sent."},
	[RX_BYTES] = {"rdkafka_broker_rx_bytes_total", "counter", "broker", "Bytes received."},
};

static int64_t broker_value(const struct kafka_broker *b, enum broker_metric metric)
{
	switch (metric) {
	case UP:
		return b->up;
	case CONNECTS:
		return b->connects;
	case DISCONNECTS:
		return b->disconnects;
	case TIMEOUTS:
		return b->request_timeouts;
	case ERRORS:
		return b->request_errors;
	case TX_BYTES:
		return b->tx_bytes;
	case RX_BYTES:
		return b->rx_bytes;
	case BROKER_METRIC_COUNT:
		break;
	}
	return 0;
}

static void put_brokers(struct buf *out, const struct kafka_stats *stats)
{
	for (size_t m = 0; m < BROKER_METRIC_COUNT; m++) {
		put_family(out, &broker_families[m]);
		for (size_t i = 0; i < stats->nbrokers; i++) {
			bool open = false;
			buf_printf(out, "memingest_%s", broker_families[m].name);
			put_label(out, &open, "broker", stats->brokers[i].name);
			buf_printf(out, "} %lld\n", (long long)broker_value(&stats->brokers[i], (enum broker_metric)m));
		}
	}
}

enum other_metric { RTT, REPLY_QUEUE, FETCH_RECORDS, FETCH_BYTES, LIBRARIES, STATE, OTHER_METRIC_COUNT };

static const struct family other_families[OTHER_METRIC_COUNT] = {
	[RTT] = {"rdkafka_broker_rtt_seconds", "gauge", "broker, stat (avg, p99)",
		 "Round trip of requests in the last statistics interval."},
	[REPLY_QUEUE] = {"rdkafka_reply_queue_ops", "gauge", "", "Events of librdkafka that wait to be served."},
	[FETCH_RECORDS] = {"rdkafka_fetch_queue_records", "gauge", "topic, partition",
			   "Records fetched and not yet taken."},
	[FETCH_BYTES] = {"rdkafka_fetch_queue_bytes", "gauge", "topic, partition", "Their bytes."},
	[LIBRARIES] = {"libraries_info", "gauge", "librdkafka, libpq", "Versions of the libraries found at run time."},
	[STATE] = {"state_info", "gauge", "state", "What the worker does: one of its states is 1."},
};

static void put_rtt(struct buf *out, const struct kafka_stats *stats)
{
	put_family(out, &other_families[RTT]);
	for (size_t i = 0; i < stats->nbrokers; i++) {
		const struct kafka_broker *b = &stats->brokers[i];
		for (int p99 = 0; p99 < 2 && b->rtt_avg_us >= 0; p99++) {
			bool open = false;
			buf_puts(out, "memingest_rdkafka_broker_rtt_seconds");
			put_label(out, &open, "broker", b->name);
			put_label(out, &open, "stat", p99 ? "p99" : "avg");
			buf_printf(out, "} %.6f\n", (double)(p99 ? b->rtt_p99_us : b->rtt_avg_us) / US_PER_S);
		}
	}
}

static void put_fetch_queues(struct buf *out, const struct kafka_stats *stats, enum other_metric metric)
{
	put_family(out, &other_families[metric]);
	for (size_t i = 0; i < stats->nqueues; i++) {
		const struct kafka_fetch_queue *q = &stats->queues[i];
		bool open = false;
		buf_printf(out, "memingest_%s", other_families[metric].name);
		put_label(out, &open, "topic", q->topic);
		buf_printf(out, ",partition=\"%d\"} %lld\n", q->partition,
			   (long long)(metric == FETCH_RECORDS ? q->records : q->bytes));
	}
}

static void put_bridge(struct buf *out, struct slice statistics, bool per_partition)
{
	struct kafka_stats stats;
	if (statistics.len == 0 || !kafka_stats_parse(&stats, (const char *)statistics.data, statistics.len))
		return;
	put_brokers(out, &stats);
	put_rtt(out, &stats);
	put_family(out, &other_families[REPLY_QUEUE]);
	buf_printf(out, "memingest_rdkafka_reply_queue_ops %lld\n", (long long)stats.reply_queue);
	if (per_partition) {
		put_fetch_queues(out, &stats, FETCH_RECORDS);
		put_fetch_queues(out, &stats, FETCH_BYTES);
	}
	kafka_stats_free(&stats);
}

static void put_libraries(struct buf *out, const struct libraries *libraries)
{
	bool open = false;
	put_family(out, &other_families[LIBRARIES]);
	buf_puts(out, "memingest_libraries_info");
	put_label(out, &open, "librdkafka", libraries->librdkafka);
	put_label(out, &open, "libpq", libraries->libpq);
	buf_puts(out, "} 1\n");
}

static void put_states(struct buf *out, const struct snapshot *s)
{
	enum worker_state state = s != NULL ? s->facts.state : WORKER_STARTING;
	put_family(out, &other_families[STATE]);
	for (size_t i = 0; i < WORKER_STATE_COUNT; i++)
		buf_printf(out, "memingest_state_info{state=\"%s\"} %d\n", worker_state_name((enum worker_state)i),
			   i == state);
}

void render_metrics(const struct snapshot *snapshot, const struct libraries *libraries, bool per_partition,
		    struct slice statistics, struct buf *out)
{
	int64_t now_us = clock_wall_us();
	put_libraries(out, libraries);
	put_states(out, snapshot);
	for (size_t m = 0; m < PARTITION_METRIC_COUNT && per_partition && snapshot != NULL; m++)
		put_partition_metric(out, snapshot, (enum partition_metric)m, now_us);
	put_bridge(out, statistics, per_partition);
}

static void doc_families(struct buf *out, const struct family *families, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf_printf(out, "| `memingest_%s` | %s | %s | %s |\n", families[i].name, families[i].type,
			   families[i].labels, families[i].help);
}

void status_write_docs(struct buf *out)
{
	buf_puts(out, "\n## From the state of the worker and from librdkafka\n\n"
		      "Those with the label partition are left out when `http.partition_metrics` is off.\n\n"
		      "| metric | type | labels | meaning |\n|---|---|---|---|\n");
	doc_families(out, partition_families, ARRAY_LEN(partition_families));
	doc_families(out, broker_families, ARRAY_LEN(broker_families));
	doc_families(out, other_families, ARRAY_LEN(other_families));
}

/* --- JSON --- */

/* A text, or null. One that is not UTF-8 (a message cut in the middle of a character) loses all that is not ASCII. */
static void put_text(struct buf *out, const char *member, const char *text)
{
	struct refusal why;
	bool utf8 = text == NULL || text_check_utf8((struct slice){(const uint8_t *)text, strlen(text)}, &why);
	buf_printf(out, "\"%s\":", member);
	if (text == NULL) {
		buf_puts(out, "null");
		return;
	}
	buf_u8(out, '"');
	for (const char *c = text; *c != '\0'; c++) {
		if (*c == '"' || *c == '\\')
			buf_printf(out, "\\%c", *c);
		else if ((unsigned char)*c < 0x20)
			buf_printf(out, "\\u%04x", (unsigned)(unsigned char)*c);
		else
			buf_u8(out, utf8 || (unsigned char)*c < 0x80 ? (uint8_t)*c : '?');
	}
	buf_u8(out, '"');
}

/* A number, or null for unknown. */
static void put_number(struct buf *out, const char *member, int64_t n)
{
	if (n < 0)
		buf_printf(out, "\"%s\":null", member);
	else
		buf_printf(out, "\"%s\":%lld", member, (long long)n);
}

static void put_seconds(struct buf *out, const char *member, int64_t us)
{
	if (us < 0)
		buf_printf(out, "\"%s\":null", member);
	else
		buf_printf(out, "\"%s\":%.3f", member, (double)us / US_PER_S);
}

static void put_partition(struct buf *out, const struct snapshot *s, size_t i, int64_t now_us)
{
	const struct status_partition *p = &s->facts.partitions[i];
	buf_printf(out, "%s\n    {", i > 0 ? "," : "");
	put_text(out, "stream", p->stream);
	buf_u8(out, ',');
	put_text(out, "topic", p->topic);
	buf_printf(out, ",\"partition\":%d,", p->partition);
	put_text(out, "state", p->state);
	buf_u8(out, ',');
	put_text(out, "paused", p->paused);
	buf_printf(out, ",\"lane\":%zu,", p->lane);
	put_number(out, "next_offset", p->next_offset);
	buf_u8(out, ',');
	put_number(out, "position", p->position);
	buf_u8(out, ',');
	put_number(out, "high_watermark", p->high);
	buf_u8(out, ',');
	put_number(out, "lag_records", lag_records(p));
	buf_u8(out, ',');
	put_seconds(out, "lag_seconds", lag_us(s, i, now_us));
	buf_u8(out, ',');
	put_seconds(out, "last_committed_record", p->durable_ts_ms < 0 ? -1 : p->durable_ts_ms * US_PER_MS);
	buf_u8(out, ',');
	put_number(out, "epoch", p->epoch);
	buf_u8(out, ',');
	put_text(out, "error", p->error);
	buf_u8(out, '}');
}

static void put_lane(struct buf *out, const struct status_lane *lane, size_t i)
{
	buf_printf(out, "%s\n    {\"lane\":%zu,", i > 0 ? "," : "", i);
	put_text(out, "state", lane->state);
	buf_printf(out, ",\"connected\":%s,\"batches\":%llu,", lane->connected ? "true" : "false",
		   (unsigned long long)lane->batches);
	put_text(out, "error", lane->error);
	buf_u8(out, '}');
}

void render_status(const struct snapshot *snapshot, const struct libraries *libraries, struct buf *out)
{
	static const struct snapshot nothing;
	const struct snapshot *s = snapshot != NULL ? snapshot : &nothing;
	int64_t now_us = clock_wall_us();
	buf_puts(out, "{\n  ");
	put_text(out, "state", worker_state_name(s->facts.state));
	buf_printf(out, ",\n  \"version\":\"%s\",\n  ", MEMINGEST_VERSION);
	put_text(out, "librdkafka", libraries->librdkafka);
	buf_puts(out, ",\n  ");
	put_text(out, "libpq", libraries->libpq);
	buf_puts(out, ",\n  ");
	put_seconds(out, "snapshot_age_seconds", snapshot != NULL ? MAX(now_us - s->taken_us, 0) : -1);
	buf_printf(out, ",\n  \"joined\":%s,\n  \"lanes\":[", s->facts.joined ? "true" : "false");
	for (size_t i = 0; i < s->facts.nlanes; i++)
		put_lane(out, &s->facts.lanes[i], i);
	buf_puts(out, "\n  ],\n  \"partitions\":[");
	for (size_t i = 0; i < s->facts.npartitions; i++)
		put_partition(out, s, i, now_us);
	buf_puts(out, "\n  ]\n}\n");
}

void render_version(const struct libraries *libraries, struct buf *out)
{
	buf_printf(out, "{\"version\":\"%s\",", MEMINGEST_VERSION);
	put_text(out, "librdkafka", libraries->librdkafka);
	buf_u8(out, ',');
	put_text(out, "libpq", libraries->libpq);
	buf_u8(out, ',');
	put_text(out, "libcurl", registry_library_version());
	buf_u8(out, ',');
	put_text(out, "libmicrohttpd", httpd_library_version());
	buf_puts(out, "}\n");
}

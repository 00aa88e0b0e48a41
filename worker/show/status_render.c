/*
 * status_render.c - a snapshot as Prometheus text.
 *
 * Pure functions from a snapshot to a buffer. What ages is computed here, from timestamps and the
 * clock at the time of the request, so that a lag keeps growing on the graph even if the poll
 * thread publishes nothing.
 *
 * Lag in seconds is the age of the oldest record that is not durable, 0 when there is none. Which
 * record that is, is known only once it was taken from Kafka. Before that (a partition that is
 * paused, halted or just begins) a bound stands in:
 *   - behind since we watch: the later of "fell behind at" and the last durable record's timestamp;
 *     the record is no older;
 *   - behind from the start: the last durable record's timestamp, or if this process has written
 *     none, since when we know; the record may be older than that, but the figure grows and an
 *     alert fires.
 *
 * Metric families stand together with one HELP and TYPE each, as the text format wants (Prometheus,
 * "Text-based format").
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "io/kafka_stats.h"
#include "show/status_parts.h"
#include "write/lane.h"

/* What is not durable counts as behind, read or not. */
int64_t lag_records(const struct status_partition *p)
{
	if (p->high < 0 || p->next_offset < 0)
		return -1;
	return MAX(p->high - p->next_offset, 0);
}

/* See the essay for what stands in where the record is not known. */
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

/* Unknown ones are left out; if all are, the sum is unknown. */
struct stream_sum sum_stream(const struct snapshot *s, const char *stream, int64_t now_us)
{
	struct stream_sum sum = {.lag_records = -1, .lag_us = -1};
	for (size_t i = 0; s != NULL && i < s->facts.npartitions; i++) {
		const struct status_partition *p = &s->facts.partitions[i];
		if (p->stream == NULL || strcmp(p->stream, stream) != 0)
			continue;
		sum.partitions++;
		sum.in_flight += MAX(p->position - p->next_offset, 0);
		if (lag_records(p) < 0)
			continue;
		sum.lag_records = MAX(sum.lag_records, 0) + lag_records(p);
		sum.lag_us = MAX(sum.lag_us, lag_us(s, i, now_us));
	}
	if (sum.partitions == 0)
		sum.lag_records = sum.lag_us = 0;
	return sum;
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

/* HELP and TYPE, once for all series of it. */
static void put_family(struct buf *out, const struct family *f)
{
	buf_printf(out, "# HELP memingest_%s %s\n# TYPE memingest_%s %s\n", f->name, f->help,
		   f->name, f->type);
}

enum partition_metric {
	LAG_RECORDS,
	LAG_SECONDS,
	COMMITTED_OFFSET,
	COMMITTED_TIMESTAMP,
	PARTITION_METRIC_COUNT
};

static const struct family partition_families[PARTITION_METRIC_COUNT] = {
	[LAG_RECORDS] = {"consumer_lag_records", "gauge", "stream, topic, partition",
			 "Records in Kafka that are not durable in PostgreSQL."},
	[LAG_SECONDS] = {"consumer_lag_seconds", "gauge", "stream, topic, partition",
			 "Age of the oldest record that is not durable; 0 when there is none."},
	[COMMITTED_OFFSET] = {"committed_offset", "gauge", "stream, topic, partition",
			      "Next offset by the offsets row: all below is durable."},
	[COMMITTED_TIMESTAMP] = {"last_committed_record_timestamp_seconds", "gauge",
				 "stream, topic, partition",
				 "Timestamp of the last durable record."},
};

/* -1: unknown, no series. */
static int64_t partition_value(const struct snapshot *s, size_t i, enum partition_metric metric,
			       int64_t now_us)
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

/* A value that is not known has no series. */
static void put_partition_metric(struct buf *out, const struct snapshot *s,
				 enum partition_metric metric, int64_t now_us)
{
	/* microseconds, shown as seconds */
	bool time = metric == LAG_SECONDS || metric == COMMITTED_TIMESTAMP;
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

enum stream_metric { STREAM_RECORDS, STREAM_SECONDS, STREAM_IN_FLIGHT, STREAM_METRIC_COUNT };

static const struct family stream_families[STREAM_METRIC_COUNT] = {
	[STREAM_RECORDS] = {"stream_lag_records", "gauge", "stream",
			    "Sum of consumer_lag_records of this worker."},
	[STREAM_SECONDS] = {"stream_lag_seconds", "gauge", "stream",
			    "Maximum of consumer_lag_seconds of this worker."},
	[STREAM_IN_FLIGHT] = {"stream_in_flight_records", "gauge", "stream",
			      "Offsets taken from Kafka that are not durable in PostgreSQL."},
};

/* The sums that are wanted also where series by partition are off. */
static void put_streams(struct buf *out, const struct view *v, int64_t now_us)
{
	for (size_t m = 0; m < STREAM_METRIC_COUNT; m++) {
		put_family(out, &stream_families[m]);
		for (size_t i = 0; i < v->config->nstreams; i++) {
			const char *stream = v->config->streams[i].name;
			struct stream_sum sum = sum_stream(v->snapshot, stream, now_us);
			int64_t value = m == STREAM_RECORDS   ? sum.lag_records
					: m == STREAM_SECONDS ? sum.lag_us
							      : sum.in_flight;
			bool open = false;
			if (value < 0)
				continue;
			buf_printf(out, "memingest_%s", stream_families[m].name);
			put_label(out, &open, "stream", stream);
			if (m == STREAM_SECONDS)
				buf_printf(out, "} %.3f\n", (double)value / US_PER_S);
			else
				buf_printf(out, "} %lld\n", (long long)value);
		}
	}
}

enum broker_metric {
	UP,
	CONNECTS,
	DISCONNECTS,
	TIMEOUTS,
	ERRORS,
	TX_BYTES,
	RX_BYTES,
	BROKER_METRIC_COUNT
};

static const struct family broker_families[BROKER_METRIC_COUNT] = {
	[UP] = {"rdkafka_broker_up", "gauge", "broker",
		"1 when the connection to the broker is up."},
	[CONNECTS] = {"rdkafka_broker_connects_total", "counter", "broker", "Attempts to connect."},
	[DISCONNECTS] = {"rdkafka_broker_disconnects_total", "counter", "broker",
			 "Connections that ended."},
	[TIMEOUTS] = {"rdkafka_broker_request_timeouts_total", "counter", "broker",
		      "Requests that timed out."},
	[ERRORS] = {"rdkafka_broker_errors_total", "counter", "broker",
		    "Errors of sending and receiving."},
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
			buf_printf(
				out, "} %lld\n",
				(long long)broker_value(&stats->brokers[i], (enum broker_metric)m));
		}
	}
}

enum other_metric {
	TOPIC_PARTITIONS,
	LANES,
	POSTGRES_UP,
	RTT,
	REPLY_QUEUE,
	FETCH_RECORDS,
	FETCH_BYTES,
	LIBRARIES,
	STATE,
	OTHER_METRIC_COUNT
};

static const struct family other_families[OTHER_METRIC_COUNT] = {
	[TOPIC_PARTITIONS] =
		{"topic_partitions", "gauge", "stream, topic",
		 "Partitions that the topic has, in all; known once the worker has one of them."},
	[LANES] = {"lanes", "gauge", "state",
		   "Lanes that are idle, connecting, writing, waiting, halted, stopped."},
	[POSTGRES_UP] = {"postgres_up", "gauge", "",
			 "1 when every lane has its session with PostgreSQL."},
	[RTT] = {"rdkafka_broker_rtt_seconds", "gauge", "broker, stat (avg, p99)",
		 "Round trip of requests in the last statistics interval."},
	[REPLY_QUEUE] = {"rdkafka_reply_queue_ops", "gauge", "",
			 "Events of librdkafka that wait to be served."},
	[FETCH_RECORDS] = {"rdkafka_fetch_queue_records", "gauge", "topic, partition",
			   "Records fetched and not yet taken."},
	[FETCH_BYTES] = {"rdkafka_fetch_queue_bytes", "gauge", "topic, partition", "Their bytes."},
	[LIBRARIES] = {"libraries_info", "gauge", "librdkafka, libpq",
		       "Versions of the libraries found at run time."},
	[STATE] = {"state_info", "gauge", "state",
		   "What the worker does: starting, standby (another process writes "
		   "the SQLite file), running, draining or stopped is 1."},
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
			buf_printf(out, "} %.6f\n",
				   (double)(p99 ? b->rtt_p99_us : b->rtt_avg_us) / US_PER_S);
		}
	}
}

static void put_fetch_queues(struct buf *out, const struct kafka_stats *stats,
			     enum other_metric metric)
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

/* Nothing before librdkafka's first statistics. */
static void put_bridge(struct buf *out, struct slice statistics, bool per_partition)
{
	struct kafka_stats stats;
	if (statistics.len == 0 ||
	    !kafka_stats_parse(&stats, (const char *)statistics.data, statistics.len))
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

/* A series of 1, whose labels say it. */
static void put_libraries(struct buf *out, const struct libraries *libraries)
{
	bool open = false;
	put_family(out, &other_families[LIBRARIES]);
	buf_puts(out, "memingest_libraries_info");
	put_label(out, &open, "librdkafka", libraries->librdkafka);
	put_label(out, &open, "libpq", libraries->libpq);
	buf_puts(out, "} 1\n");
}

/*
 * The most that a partition of each topic knows: partitions claimed before the topic grew know
 * less.
 */
static void put_topics(struct buf *out, const struct status_facts *f)
{
	const struct status_partition **topics =
		xcalloc(f->npartitions + 1, sizeof(struct status_partition *));
	size_t n = 0, at = 0; /* partitions of a topic mostly stand together */
	for (size_t i = 0; i < f->npartitions; i++) {
		const struct status_partition *p = &f->partitions[i];
		if (at == n || strcmp(topics[at]->topic, p->topic) != 0)
			for (at = 0; at < n && strcmp(topics[at]->topic, p->topic) != 0;)
				at++;
		if (at == n)
			topics[n++] = p;
		else if (p->of > topics[at]->of)
			topics[at] = p;
	}
	put_family(out, &other_families[TOPIC_PARTITIONS]);
	for (size_t i = 0; i < n; i++) {
		bool open = false;
		if (topics[i]->of == 0)
			continue;
		buf_puts(out, "memingest_topic_partitions");
		put_label(out, &open, "stream", topics[i]->stream);
		put_label(out, &open, "topic", topics[i]->topic);
		buf_printf(out, "} %d\n", topics[i]->of);
	}
	free(topics);
}

/* A series per state, and whether every lane has its session. */
static void put_lanes(struct buf *out, const struct status_facts *f)
{
	bool up = f->nlanes > 0;
	put_family(out, &other_families[LANES]);
	for (enum lane_state state = LANE_IDLE; state <= LANE_STOPPED; state++) {
		size_t n = 0;
		for (size_t i = 0; i < f->nlanes; i++)
			n += strcmp(f->lanes[i].state, lane_state_name(state)) == 0;
		buf_printf(out, "memingest_lanes{state=\"%s\"} %zu\n", lane_state_name(state), n);
	}
	for (size_t i = 0; i < f->nlanes; i++)
		up = up && f->lanes[i].connected;
	put_family(out, &other_families[POSTGRES_UP]);
	buf_printf(out, "memingest_postgres_up %d\n", up);
}

static void put_states(struct buf *out, const struct snapshot *s)
{
	enum worker_state state = s != NULL ? s->facts.state : WORKER_STARTING;
	put_family(out, &other_families[STATE]);
	for (size_t i = 0; i < WORKER_STATE_COUNT; i++)
		buf_printf(out, "memingest_state_info{state=\"%s\"} %d\n",
			   worker_state_name((enum worker_state)i), i == state);
}

/* Each family once, with all its series behind it. */
void render_metrics(const struct view *v, struct slice statistics, struct buf *out)
{
	static const struct status_facts nothing;
	const struct status_facts *facts = v->snapshot != NULL ? &v->snapshot->facts : &nothing;
	bool per_partition = v->config->http_partition_metrics;
	int64_t now_us = clock_wall_us();
	put_libraries(out, v->libraries);
	put_states(out, v->snapshot);
	put_lanes(out, facts);
	put_topics(out, facts);
	put_streams(out, v, now_us);
	for (size_t m = 0; m < PARTITION_METRIC_COUNT && per_partition && v->snapshot != NULL; m++)
		put_partition_metric(out, v->snapshot, (enum partition_metric)m, now_us);
	put_bridge(out, statistics, per_partition);
}

static void doc_families(struct buf *out, const struct family *families, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf_printf(out, "| `memingest_%s` | %s | %s | %s |\n", families[i].name,
			   families[i].type, families[i].labels, families[i].help);
}

void status_write_docs(struct buf *out)
{
	buf_puts(out, "\n## From the state of the worker and from librdkafka\n\n"
		      "Those with the label partition are left out when `http.partition_metrics` "
		      "is off.\n\n"
		      "| metric | type | labels | meaning |\n|---|---|---|---|\n");
	doc_families(out, stream_families, ARRAY_LEN(stream_families));
	doc_families(out, partition_families, ARRAY_LEN(partition_families));
	doc_families(out, broker_families, ARRAY_LEN(broker_families));
	doc_families(out, other_families, ARRAY_LEN(other_families));
}

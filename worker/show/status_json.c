/*
 * status_json.c - the worker for people: /status and /version as JSON, reasons for not being ready,
 * and one line.
 *
 *   snapshot   state, lanes, partitions        what ages (lag) is computed at the request
 *   stats      totals by stream, busy seconds  since the start, so that who looks twice has rates
 *   troubles   the last warnings and errors
 *
 * Pure functions from these to a buffer. Numbers that are not known are null. "memingest top" and
 * "memingest status" read this document; members are added, not renamed.
 *
 * Thread: the HTTP thread; render_line() also the poll thread.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/stats.h"
#include "codec/text.h"
#include "io/httpd.h"
#include "io/registry.h"
#include "show/status_parts.h"
#include "show/troubles.h"

/* A line for each reason; none if it is ready. */
void render_unready(const struct snapshot *snapshot, struct buf *out)
{
	if (snapshot == NULL) {
		buf_puts(out, "the worker is starting\n");
		return;
	}
	const struct status_facts *f = &snapshot->facts;
	if (f->state == WORKER_DRAINING || f->state == WORKER_STOPPED)
		buf_printf(out, "the worker is %s\n", worker_state_name(f->state));
	if (f->state == WORKER_STANDBY)
		buf_puts(out, "the worker stands by for another process\n");
	else if (!f->joined)
		buf_puts(out, "the consumer group has not been joined\n");
	for (size_t i = 0; i < f->nlanes; i++)
		if (!f->lanes[i].connected)
			buf_printf(out, "lane %zu has no database session%s%s\n", i,
				   f->lanes[i].error ? ": " : "",
				   f->lanes[i].error ? f->lanes[i].error : "");
}

/* Partitions that wait for an operator, and those that wait for something else than their turn. */
struct troubled {
	size_t halted, waiting, streams; /* streams: without a topic */
};

static struct troubled count_troubled(const struct view *v)
{
	struct troubled t = {0};
	const struct status_facts *f = v->snapshot ? &v->snapshot->facts : NULL;
	for (size_t i = 0; f && i < f->npartitions; i++) {
		const struct status_partition *p = &f->partitions[i];
		bool halted = p->state && strcmp(p->state, "halted") == 0;
		t.halted += halted;
		t.waiting += !halted && p->error;
	}
	for (size_t i = 0; f && i < v->config->nstreams; i++)
		t.streams += f->missing[i] != NULL;
	return t;
}

/* "2 halted, 1 waiting, 1 stream without a topic", or nothing. */
static void put_troubled(struct buf *out, const struct troubled *t)
{
	size_t start = out->len;
	if (t->halted > 0)
		buf_printf(out, "%zu halted", t->halted);
	if (t->waiting > 0)
		buf_printf(out, "%s%zu waiting", out->len > start ? ", " : "", t->waiting);
	if (t->streams > 0)
		buf_printf(out, "%s%zu stream%s without a topic", out->len > start ? ", " : "",
			   t->streams, t->streams == 1 ? "" : "s");
}

void render_troubles(const struct view *v, struct buf *out)
{
	struct troubled partitions = count_troubled(v);
	partitions.streams = 0;
	size_t start = out->len;
	if (partitions.halted + partitions.waiting > 0)
		buf_puts(out, "partitions: ");
	put_troubled(out, &partitions);
	if (out->len > start)
		buf_puts(out, "; /status says why\n");
	for (size_t i = 0; v->snapshot && i < v->config->nstreams; i++)
		if (v->snapshot->facts.missing[i])
			buf_printf(out, "stream %s: %s\n", v->config->streams[i].name,
				   v->snapshot->facts.missing[i]);
}

/*
 * A text, or null. One that is not UTF-8 (a message cut in the middle of a character) loses all
 * that is not ASCII.
 */
static void put_text(struct buf *out, const char *member, const char *text)
{
	struct refusal why;
	bool utf8 = text == NULL ||
		    text_check_utf8((struct slice){(const uint8_t *)text, strlen(text)}, &why);
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

/* As seconds with fractions; unknown is null. */
static void put_seconds(struct buf *out, const char *member, int64_t us)
{
	if (us < 0)
		buf_printf(out, "\"%s\":null", member);
	else
		buf_printf(out, "\"%s\":%.3f", member, (double)us / US_PER_S);
}

/* Lag is as of now, not as of the snapshot. */
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
	put_seconds(out, "last_committed_record",
		    p->durable_ts_ms < 0 ? -1 : p->durable_ts_ms * US_PER_MS);
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
	buf_printf(out, ",\"connected\":%s,", lane->connected ? "true" : "false");
	put_text(out, "phase", lane->phase);
	buf_u8(out, ',');
	put_text(out, "stream", lane->stream);
	buf_printf(out, ",\"events\":%zu,", lane->events);
	put_seconds(out, "seconds", lane->busy_us);
	buf_printf(out, ",\"attempts\":%u,\"jobs\":%u,\"batches\":%llu,", lane->attempts,
		   lane->jobs, (unsigned long long)lane->batches);
	put_text(out, "error", lane->error);
	buf_u8(out, '}');
}

static void put_model(struct buf *out, const struct status_model *m, size_t i)
{
	buf_printf(out, "%s\n    {", i > 0 ? "," : "");
	put_text(out, "model", m->name);
	buf_u8(out, ',');
	put_text(out, "state", m->state);
	buf_printf(out, ",\"waiting_texts\":%zu,\"requests\":%zu,\"inputs\":%u,", m->waiting,
		   m->requests, m->inputs);
	put_text(out, "error", m->error && m->error[0] ? m->error : NULL);
	buf_u8(out, '}');
}

/* What the log last said of the stream's search; NULL: nothing, or it is forgotten by now. */
static const char *search_error(const char *stream, const struct trouble *troubles, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(troubles[i].stream, stream) == 0 &&
		    strncmp(troubles[i].msg, "the search ", strlen("the search ")) == 0)
			return troubles[i].text;
	return NULL;
}

/* Null for a stream that is not searched. */
static void put_search(struct buf *out, const struct snapshot *s, const char *stream, size_t i)
{
	static const struct {
		const char *member;
		enum metric metric;
	} numbers[] = {
		{"unindexed_rows", METRIC_SEARCH_UNINDEXED}, {"segments", METRIC_SEARCH_SEGMENTS},
		{"sealed_rows", METRIC_SEARCH_SEALED},       {"stale_rows", METRIC_SEARCH_STALE},
		{"built_rows", METRIC_SEARCH_BUILT},         {"failures", METRIC_SEARCH_FAILURES},
	};
	const char *state = NULL;
	struct trouble troubles[TROUBLES_MAX];
	for (size_t k = 0; s != NULL && k < s->facts.nsearches; k++)
		if (strcmp(s->facts.searches[k].stream, stream) == 0)
			state = s->facts.searches[k].state;
	if (state == NULL) {
		buf_puts(out, ",\"search\":null");
		return;
	}
	bool fails = strcmp(state, "failing") == 0;
	buf_puts(out, ",\"search\":{");
	put_text(out, "state", state);
	for (size_t n = 0; n < ARRAY_LEN(numbers); n++)
		buf_printf(out, ",\"%s\":%lld", numbers[n].member,
			   (long long)stats_get(numbers[n].metric, i, 0));
	buf_u8(out, ',');
	put_seconds(out, "unindexed_seconds", stats_get(METRIC_SEARCH_UNINDEXED_AGE, i, 0));
	buf_u8(out, ',');
	put_text(out, "error",
		 fails ? search_error(stream, troubles, troubles_copy(troubles)) : NULL);
	buf_u8(out, '}');
}

/* Totals since the start: who looks twice has a rate. */
static void put_stream(struct buf *out, const struct view *v, size_t i, int64_t now_us)
{
	static const struct {
		const char *member;
		enum metric metric;
	} totals[] = {
		{"consumed", METRIC_RECORDS_CONSUMED},
		{"consumed_bytes", METRIC_CONSUMED_BYTES},
		{"decoded", METRIC_RECORDS_DECODED},
		{"merged", METRIC_RECORDS_MERGED},
		{"superseded", METRIC_RECORDS_SUPERSEDED},
		{"skipped", METRIC_RECORDS_SKIPPED},
		{"dead_letters", METRIC_DEAD_LETTERS},
		{"batches", METRIC_BATCHES_COMMITTED},
	};
	const char *stream = v->config->streams[i].name;
	struct stream_sum sum = sum_stream(v->snapshot, stream, now_us);
	buf_printf(out, "%s\n    {", i > 0 ? "," : "");
	put_text(out, "stream", stream);
	buf_printf(out, ",\"partitions\":%zu,", sum.partitions);
	put_number(out, "lag_records", sum.lag_records);
	buf_u8(out, ',');
	put_seconds(out, "lag_seconds", sum.lag_us);
	buf_u8(out, ',');
	put_number(out, "in_flight_records", sum.in_flight);
	for (size_t t = 0; t < ARRAY_LEN(totals); t++)
		buf_printf(out, ",\"%s\":%lld", totals[t].member,
			   (long long)stats_sum_of(totals[t].metric, i));
	buf_u8(out, ',');
	put_text(out, "missing_topics", v->snapshot ? v->snapshot->facts.missing[i] : NULL);
	put_search(out, v->snapshot, stream, i);
	buf_u8(out, '}');
}

/* Topic, partition and lane only where the log had them. */
static void put_trouble(struct buf *out, const struct trouble *t, size_t i)
{
	buf_printf(out, "%s\n    {\"level\":\"%s\",", i > 0 ? "," : "",
		   t->error ? "error" : "warn");
	put_seconds(out, "time", t->last_us);
	buf_u8(out, ',');
	put_seconds(out, "first_time", t->first_us);
	buf_printf(out, ",\"times\":%llu,", (unsigned long long)t->times);
	put_text(out, "topic", t->topic[0] ? t->topic : NULL);
	buf_u8(out, ',');
	put_number(out, "partition", t->partition);
	buf_u8(out, ',');
	put_number(out, "offset", t->offset);
	buf_u8(out, ',');
	put_text(out, "stream", t->stream[0] ? t->stream : NULL);
	buf_u8(out, ',');
	put_number(out, "lane", t->lane);
	buf_u8(out, ',');
	put_text(out, "message", t->msg);
	buf_u8(out, ',');
	put_text(out, "error", t->text[0] ? t->text : NULL);
	buf_u8(out, '}');
}

/* The reasons of /readyz on one line. */
static void put_ready(struct buf *out, const struct snapshot *snapshot)
{
	struct buf lines = {0}, why = {0};
	render_unready(snapshot, &lines);
	for (size_t i = 0; i + 1 < lines.len; i++) /* the last one is a newline */
		if (lines.data[i] == '\n')
			buf_puts(&why, "; ");
		else
			buf_u8(&why, lines.data[i]);
	buf_free(&lines);
	buf_printf(out, "\"ready\":%s,\n  ", why.len == 0 ? "true" : "false");
	put_text(out, "unready", why.len > 0 ? buf_cstr(&why) : NULL);
	buf_free(&why);
}

/* Since the start: who looks twice has a rate. */
static void put_busy(struct buf *out)
{
	const char *stage;
	buf_puts(out, "\"busy_seconds\":{");
	for (size_t i = 0; (stage = stats_label(LABEL_STAGE, i)) != NULL; i++) {
		buf_puts(out, i > 0 ? "," : "");
		put_seconds(out, stage, stats_get(METRIC_BUSY_SECONDS, i, 0));
	}
	buf_u8(out, '}');
}

/* What is of the process as a whole. */
static void put_head(struct buf *out, const struct view *v, const struct snapshot *s,
		     int64_t now_us)
{
	put_text(out, "state", worker_state_name(s->facts.state));
	buf_printf(out, ",\n  \"version\":\"%s\",\n  ", MEMINGEST_VERSION);
	put_text(out, "librdkafka", v->libraries->librdkafka);
	buf_puts(out, ",\n  ");
	put_text(out, "libpq", v->libraries->libpq);
	buf_puts(out, ",\n  ");
	put_text(out, "group", v->config->group_id);
	buf_puts(out, ",\n  ");
	put_seconds(out, "time", now_us);
	buf_puts(out, ",\n  ");
	put_seconds(out, "started", stats_started_us());
	buf_puts(out, ",\n  ");
	put_seconds(out, "snapshot_age_seconds",
		    v->snapshot != NULL ? clock_mono_us() - s->taken_us : -1);
	buf_printf(out, ",\n  \"joined\":%s,\n  ", s->facts.joined ? "true" : "false");
	put_ready(out, v->snapshot);
	buf_printf(out, ",\n  \"memory\":{\"batch_bytes\":%lld,\"limit_bytes\":%lld},\n  ",
		   (long long)stats_get(METRIC_BATCH_MEMORY, 0, 0),
		   (long long)stats_get(METRIC_BATCH_MEMORY_LIMIT, 0, 0));
	put_busy(out);
}

/* Members are added, never renamed. */
void render_status(const struct view *v, struct buf *out)
{
	static const struct snapshot nothing;
	const struct snapshot *s = v->snapshot != NULL ? v->snapshot : &nothing;
	int64_t now_us = clock_wall_us();
	struct trouble troubles[TROUBLES_MAX];
	size_t ntroubles = troubles_copy(troubles);
	buf_puts(out, "{\n  ");
	put_head(out, v, s, now_us);
	buf_puts(out, ",\n  \"streams\":[");
	for (size_t i = 0; i < v->config->nstreams; i++)
		put_stream(out, v, i, now_us);
	buf_puts(out, "\n  ],\n  \"lanes\":[");
	for (size_t i = 0; i < s->facts.nlanes; i++)
		put_lane(out, &s->facts.lanes[i], i);
	buf_puts(out, "\n  ],\n  \"models\":[");
	for (size_t i = 0; i < s->facts.nmodels; i++)
		put_model(out, &s->facts.models[i], i);
	buf_puts(out, "\n  ],\n  \"partitions\":[");
	for (size_t i = 0; i < s->facts.npartitions; i++)
		put_partition(out, s, i, now_us);
	buf_puts(out, "\n  ],\n  \"errors\":[");
	for (size_t i = 0; i < ntroubles; i++)
		put_trouble(out, &troubles[i], i);
	buf_puts(out, "\n  ]\n}\n");
}

/* Of the libraries as they run, not as they were built. */
void render_version(const struct view *v, struct buf *out)
{
	buf_printf(out, "{\"version\":\"%s\",", MEMINGEST_VERSION);
	put_text(out, "librdkafka", v->libraries->librdkafka);
	buf_u8(out, ',');
	put_text(out, "libpq", v->libraries->libpq);
	buf_u8(out, ',');
	put_text(out, "libcurl", registry_library_version());
	buf_u8(out, ',');
	put_text(out, "libmicrohttpd", httpd_library_version());
	buf_puts(out, "}\n");
}

/* "running, 12 partitions, 345 records behind, 4.2 s; 2 halted" */
void render_line(const struct view *v, struct buf *out)
{
	static const struct snapshot nothing;
	const struct snapshot *s = v->snapshot != NULL ? v->snapshot : &nothing;
	struct troubled troubled = count_troubled(v);
	int64_t lag = 0, age_us = 0, now_us = clock_wall_us();
	size_t away = 0;
	for (size_t i = 0; i < s->facts.npartitions; i++) {
		lag += MAX(lag_records(&s->facts.partitions[i]), 0);
		age_us = MAX(age_us, lag_us(s, i, now_us));
	}
	for (size_t i = 0; i < s->facts.nlanes; i++)
		away += !s->facts.lanes[i].connected;
	buf_printf(out, "%s, %zu partitions, %lld records behind, %.1f s",
		   worker_state_name(s->facts.state), s->facts.npartitions, (long long)lag,
		   (double)age_us / US_PER_S);
	if (troubled.halted + troubled.waiting + troubled.streams > 0)
		buf_puts(out, "; ");
	put_troubled(out, &troubled);
	if (away > 0)
		buf_printf(out, "; %zu of %zu lanes without PostgreSQL", away, s->facts.nlanes);
}

/*
 * receipts.c - delivery reports beside the log.
 *
 *   delivery report --> line of its partition: offset, checksums --+
 *   message of the log (as the model reads it) --------------------+--> equal: both are forgotten
 *                                                                  +--> the log lacks it: lost
 *
 * The producer is idempotent, so reports of a partition come in the order of the offsets, as do the
 * messages of the log: comparing them is a walk along both. A message without a receipt is none of
 * ours to judge: its report said "maybe", or it came by a transaction. What was compared is
 * forgotten, so a long run needs memory only for what came since it was last settled.
 *
 * Thread: the run's main thread; librdkafka calls back from within broker_poll() and
 * broker_flush().
 */
#include "receipts.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define GAPS 64

struct receipt {
	int64_t offset;
	uint64_t key, value; /* checksums; 0: null */
};

/* A partition's, oldest first; those before "first" were found in the log. */
struct line {
	char topic[96];
	int32_t partition;
	struct receipt *receipts;
	size_t first, n, capacity;
	int64_t end;
	bool tampered;
};

struct receipts {
	struct chaos *c;
	struct line lines[RECEIPTS_LINES];
	size_t nlines, ngaps;
	struct gap {
		char topic[96];
		int32_t partition;
		int64_t from, to;
	} gaps[GAPS];
	uint64_t acknowledged, failed;
};

struct receipts *receipts_new(struct chaos *c)
{
	struct receipts *r = xcalloc(1, sizeof(*r));
	r->c = c;
	return r;
}

void receipts_free(struct receipts *r)
{
	for (size_t i = 0; i < r->nlines; i++)
		free(r->lines[i].receipts);
	free(r);
}

static struct line *line_of(struct receipts *r, const char *topic, int32_t partition)
{
	for (size_t i = 0; i < r->nlines; i++) {
		if (r->lines[i].partition == partition && strcmp(r->lines[i].topic, topic) == 0)
			return &r->lines[i];
	}
	ck_assert_uint_lt(r->nlines, RECEIPTS_LINES);
	struct line *line = &r->lines[r->nlines++];
	snprintf(line->topic, sizeof(line->topic), "%s", topic);
	line->partition = partition;
	return line;
}

static uint64_t sum_of(struct slice s)
{
	return s.data ? XXH3_64bits(s.data, s.len) | 1 : 0;
}

static void append(struct line *line, struct receipt receipt)
{
	if (line->first == line->n)
		line->first = line->n = 0;
	if (line->n == line->capacity) {
		line->capacity = line->capacity ? 2 * line->capacity : 1024;
		line->receipts = xrealloc(line->receipts, line->capacity * sizeof(*line->receipts));
	}
	line->receipts[line->n++] = receipt;
	line->end = receipt.offset + 1;
}

void receipts_add(void *ctx, const struct broker_message *m)
{
	struct receipts *r = ctx;
	if (m->offset < 0) {
		r->failed++;
		return;
	}
	struct line *line = line_of(r, m->topic, m->partition);
	if (m->offset < line->end)
		chaos_difference(r->c, "%s/%d/%lld was acknowledged after offset %lld", m->topic,
				 m->partition, (long long)m->offset, (long long)line->end - 1);
	append(line, (struct receipt){m->offset, sum_of(m->key), sum_of(m->value)});
	r->acknowledged++;
}

static bool given_up(const struct receipts *r, const struct line *line, int64_t offset)
{
	for (size_t i = 0; i < r->ngaps; i++) {
		const struct gap *g = &r->gaps[i];
		if (g->from <= offset && offset < g->to && g->partition == line->partition &&
		    strcmp(g->topic, line->topic) == 0)
			return true;
	}
	return false;
}

/* The receipts below that offset are not in the log. */
static void lost_below(struct receipts *r, struct line *line, int64_t offset)
{
	while (line->first < line->n && line->receipts[line->first].offset < offset) {
		int64_t lost = line->receipts[line->first++].offset;
		if (!given_up(r, line, lost))
			chaos_difference(r->c, "%s/%d/%lld was acknowledged, and is not in the log",
					 line->topic, line->partition, (long long)lost);
	}
}

void receipts_seen(void *ctx, const struct broker_message *m)
{
	struct receipts *r = ctx;
	struct line *line = line_of(r, m->topic, m->partition);
	lost_below(r, line, m->offset);
	const struct receipt *receipt = &line->receipts[line->first];
	if (line->first == line->n || receipt->offset != m->offset)
		return;
	if (receipt->key != sum_of(m->key) || receipt->value != sum_of(m->value))
		chaos_difference(r->c, "%s/%d/%lld is not the message that was acknowledged",
				 m->topic, m->partition, (long long)m->offset);
	line->first++;
}

void receipts_settle(struct receipts *r)
{
	for (size_t i = 0; i < r->nlines; i++)
		lost_below(r, &r->lines[i], INT64_MAX);
}

void receipts_gap(struct receipts *r, const char *topic, int partition, int64_t from, int64_t to)
{
	ck_assert_uint_lt(r->ngaps, GAPS);
	struct gap *g = &r->gaps[r->ngaps++];
	*g = (struct gap){.partition = partition, .from = from, .to = to};
	snprintf(g->topic, sizeof(g->topic), "%s", topic);
}

void receipts_new_topic(struct receipts *r, const char *topic)
{
	for (size_t i = 0; i < r->nlines; i++) {
		struct line *line = &r->lines[i];
		if (strcmp(line->topic, topic) != 0)
			continue;
		ck_assert_uint_eq(line->first, line->n); /* chaos_settle() came before */
		line->first = line->n = 0;
		line->end = 0;
	}
	for (size_t i = 0; i < r->ngaps; i++) {
		if (strcmp(r->gaps[i].topic, topic) == 0)
			r->gaps[i].to = r->gaps[i].from;
	}
}

size_t receipts_ends(const struct receipts *r, struct receipts_end *out)
{
	for (size_t i = 0; i < r->nlines; i++) {
		const struct line *line = &r->lines[i];
		out[i] = (struct receipts_end){line->topic, line->partition, line->end};
	}
	return r->nlines;
}

int64_t receipts_sum(const struct receipts *r)
{
	int64_t sum = 0;
	for (size_t i = 0; i < r->nlines; i++)
		sum += r->lines[i].end;
	return sum;
}

void receipts_counts(struct receipts *r, uint64_t *acknowledged, uint64_t *failed)
{
	*acknowledged = r->acknowledged;
	*failed = r->failed;
}

void receipts_tamper(struct receipts *r, const char *topic)
{
	struct line *line = line_of(r, topic, 0);
	append(line, (struct receipt){line->end, 1, 1});
	line->tampered = true;
}

void receipts_repair(struct receipts *r)
{
	for (size_t i = 0; i < r->nlines; i++) {
		struct line *line = &r->lines[i];
		if (!line->tampered)
			continue;
		line->first = line->n = 0;
		line->end--;
		line->tampered = false;
	}
}

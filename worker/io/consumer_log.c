/*
 * consumer_log.c - what the consumer knows of the logs without asking, and commits.
 *
 * Commits are for tools that show lag. They never wait, but for consumer_commit_now() inside a
 * revocation; what fails is counted and forgotten, as the next commit says more (and PostgreSQL
 * knows best).
 *
 * Thread: the poll thread.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/stats.h"
#include "io/consumer_parts.h"
#include "io/kafka_client.h"

rd_kafka_topic_partition_list_t *consumer_list_of(const struct part *part, int64_t offset)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_list_add(list, part->sp.topic, part->sp.partition)->offset =
		offset;
	return list;
}

int64_t consumer_high_watermark(void *self, const struct source_partition *sp)
{
	struct consumer *s = self;
	int64_t low, high;
	rd_kafka_resp_err_t code =
		rd_kafka_get_watermark_offsets(s->rk, sp->topic, sp->partition, &low, &high);
	return code || high < 0 ? -1 : high;
}

void consumer_on_commit(rd_kafka_t *rk, rd_kafka_resp_err_t code,
			rd_kafka_topic_partition_list_t *list, void *opaque)
{
	struct consumer *s = opaque;
	(void)rk;
	if (list && list->cnt > 0 && s->probe.sent_us > 0 &&
	    list->elems[0].partition == s->probe.partition &&
	    strcmp(list->elems[0].topic, s->probe.topic) == 0) {
		stats_observe(METRIC_OFFSET_COMMIT_SECONDS, 0, clock_mono_us() - s->probe.sent_us);
		s->probe.sent_us = 0;
	}
	for (int i = 0; !code && list && i < list->cnt; i++)
		code = list->elems[i].err;
	stats_add(METRIC_OFFSET_COMMITS, code ? RESULT_ERROR : RESULT_OK, 0, 1);
	if (code)
		log_debug("kafka offset commit failed", F_STR("error", rd_kafka_err2name(code)));
}

/* ---- commits ---- */

/* One commit's answer at a time is timed. */
static void time_commit(struct consumer *s, const struct source_partition *sp)
{
	if (s->probe.sent_us != 0)
		return;
	s->probe.topic = ((struct part *)sp->internal)->topic->name;
	s->probe.partition = sp->partition;
	s->probe.sent_us = clock_mono_us();
}

static void hold_commits(struct consumer *s, struct source_partition *const *sps,
			 const int64_t *next, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((struct part *)sps[i]->internal)->held_commit = next[i];
	s->deferred = true;
}

void consumer_commit(void *self, struct source_partition *const *sps, const int64_t *next, size_t n)
{
	struct consumer *s = self;
	if (n == 0 || s->nplaces > 0)
		return;
	if (s->rebalancing) {
		hold_commits(s, sps, next, n);
		return;
	}
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)n);
	for (size_t i = 0; i < n; i++)
		rd_kafka_topic_partition_list_add(list, sps[i]->topic, sps[i]->partition)->offset =
			next[i];
	rd_kafka_resp_err_t code = FAIL_POINT("before_kafka_commit")
					   ? RD_KAFKA_RESP_ERR__TRANSPORT
					   : rd_kafka_commit(s->rk, list, 1);
	rd_kafka_topic_partition_list_destroy(list);
	if (code)
		consumer_on_commit(s->rk, code, NULL, s);
	else
		time_commit(s, sps[0]);
}

void consumer_commit_now(void *self, struct source_partition *const *sps, const int64_t *next,
			 size_t n, int timeout_ms)
{
	struct consumer *s = self;
	if (n == 0 || s->nplaces > 0)
		return;
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)n);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(s->rk);
	for (size_t i = 0; i < n; i++)
		rd_kafka_topic_partition_list_add(list, sps[i]->topic, sps[i]->partition)->offset =
			next[i];
	int64_t start = clock_mono_us();
	rd_kafka_resp_err_t code = FAIL_POINT("before_kafka_commit")
					   ? RD_KAFKA_RESP_ERR__TRANSPORT
					   : rd_kafka_commit_queue(s->rk, list, queue, NULL, NULL);
	rd_kafka_event_t *event = code ? NULL : rd_kafka_queue_poll(queue, timeout_ms);
	if (!code)
		code = event ? rd_kafka_event_error(event) : RD_KAFKA_RESP_ERR__TIMED_OUT;
	stats_observe(METRIC_OFFSET_COMMIT_SECONDS, 0, clock_mono_us() - start);
	consumer_on_commit(s->rk, code, event ? rd_kafka_event_topic_partition_list(event) : NULL,
			   s);
	if (event)
		rd_kafka_event_destroy(event);
	rd_kafka_queue_destroy(queue);
	rd_kafka_topic_partition_list_destroy(list);
}

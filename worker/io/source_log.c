/*
 * source_log.c - the consumer's other dealings with the brokers: where the logs begin and end,
 * topic ids, and commits.
 *
 * Topic ids tell a topic that was deleted and created again from the one that we knew (KIP-516).
 * The library has them from 2.3 on, the broker's controller answers. A claim without the id is a
 * claim that cannot notice this, so a missing answer means "ask again" - unless there has never
 * been one: some brokers cannot answer, and then, after a few attempts, that is said once and the
 * ids are left out.
 *
 * Commits are for tools that show lag. They never wait, but for source_commit_now() inside a
 * revocation; what fails is counted and forgotten, as the next commit says more (and PostgreSQL
 * knows best).
 *
 * Thread: the poll thread.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/stats.h"
#include "io/kafka_client.h"
#include "io/source_parts.h"

enum { IDS_TIMEOUT_MS = 1000, IDS_ATTEMPTS = 3 };

rd_kafka_topic_partition_list_t *source_list_of(const struct part *part, int64_t offset)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_list_add(list, part->sp.topic, part->sp.partition)->offset =
		offset;
	return list;
}

/* ---- what the brokers know ---- */

/* False: no answer, though there should be one. */
static bool ask_topic_ids(struct source *s, const char **names, char (*ids)[37], struct err *err)
{
	if (s->ids_given_up || kafka_topic_ids(s->rk, names, s->ntopics, ids, IDS_TIMEOUT_MS)) {
		s->ids_answered = !s->ids_given_up;
		return true;
	}
	s->ids_missed++;
	if (s->ids_answered || s->ids_missed < IDS_ATTEMPTS)
		return err_set(err, ERR_RETRY, "the brokers did not tell the topics' ids");
	log_warn("the brokers do not tell topic ids: a topic that is created again will be noticed "
		 "by its offsets "
		 "alone");
	s->ids_given_up = true;
	return true;
}

static bool fill_topic_ids(struct source *s, struct source_log *logs, size_t n, struct err *err)
{
	const char **names = xcalloc(s->ntopics + 1, sizeof(char *));
	char(*ids)[37] = xcalloc(s->ntopics + 1, sizeof(*ids));
	for (size_t i = 0; i < s->ntopics; i++)
		names[i] = s->topics[i]->name;
	bool ok = ask_topic_ids(s, names, ids, err);
	for (size_t i = 0; i < n; i++)
		for (size_t t = 0; t < s->ntopics; t++)
			if (((struct part *)logs[i].sp->internal)->topic == s->topics[t])
				memcpy(logs[i].topic_id, ids[t], sizeof(logs[i].topic_id));
	free(ids);
	free(names);
	return ok;
}

bool source_query_logs(struct source *s, struct source_log *logs, size_t n, int timeout_ms,
		       struct err *err)
{
	struct kafka_log *asked = xcalloc(n + 1, sizeof(*asked));
	for (size_t i = 0; i < n; i++) {
		const struct stream_config *stream =
			((struct part *)logs[i].sp->internal)->topic->stream;
		asked[i] = (struct kafka_log){
			.topic = logs[i].sp->topic,
			.partition = logs[i].sp->partition,
			.start_kind = stream ? stream->start : START_EARLIEST,
			.start_ms = stream ? stream->start_ms : 0,
		};
		logs[i].topic_id[0] = '\0';
	}
	bool ok = kafka_query_logs(s->rk, asked, n, timeout_ms, err);
	for (size_t i = 0; i < n; i++) {
		logs[i].low = asked[i].low;
		logs[i].high = asked[i].high;
		logs[i].start = asked[i].start;
		logs[i].partitions = asked[i].partitions;
	}
	free(asked);
	return n == 0 || (ok && fill_topic_ids(s, logs, n, err));
}

int64_t source_high_watermark(struct source *s, const struct source_partition *sp)
{
	int64_t low, high;
	rd_kafka_resp_err_t code =
		rd_kafka_get_watermark_offsets(s->rk, sp->topic, sp->partition, &low, &high);
	return code || high < 0 ? -1 : high;
}

void source_on_commit(rd_kafka_t *rk, rd_kafka_resp_err_t code,
		      rd_kafka_topic_partition_list_t *list, void *opaque)
{
	struct source *s = opaque;
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

void source_commit(struct source *s, const struct source_partition *sp, int64_t next_offset)
{
	struct part *part = sp->internal;
	if (s->rebalancing) {
		part->held_commit = next_offset;
		s->deferred = true;
		return;
	}
	rd_kafka_topic_partition_list_t *list = source_list_of(part, next_offset);
	rd_kafka_resp_err_t code = rd_kafka_commit(s->rk, list, 1);
	rd_kafka_topic_partition_list_destroy(list);
	if (code) {
		source_on_commit(s->rk, code, NULL, s);
	} else if (s->probe.sent_us == 0) {
		s->probe.topic = part->topic->name;
		s->probe.partition = sp->partition;
		s->probe.sent_us = clock_mono_us();
	}
}

void source_commit_now(struct source *s, struct source_partition *const *sps, const int64_t *next,
		       size_t n, int timeout_ms)
{
	if (n == 0)
		return;
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)n);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(s->rk);
	for (size_t i = 0; i < n; i++)
		rd_kafka_topic_partition_list_add(list, sps[i]->topic, sps[i]->partition)->offset =
			next[i];
	int64_t start = clock_mono_us();
	rd_kafka_resp_err_t code = rd_kafka_commit_queue(s->rk, list, queue, NULL, NULL);
	rd_kafka_event_t *event = code ? NULL : rd_kafka_queue_poll(queue, timeout_ms);
	if (!code)
		code = event ? rd_kafka_event_error(event) : RD_KAFKA_RESP_ERR__TIMED_OUT;
	stats_observe(METRIC_OFFSET_COMMIT_SECONDS, 0, clock_mono_us() - start);
	source_on_commit(s->rk, code, event ? rd_kafka_event_topic_partition_list(event) : NULL, s);
	if (event)
		rd_kafka_event_destroy(event);
	rd_kafka_queue_destroy(queue);
	rd_kafka_topic_partition_list_destroy(list);
}

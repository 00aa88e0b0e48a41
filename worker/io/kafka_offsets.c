/*
 * kafka_offsets.c - where partitions begin and end, and where a stream should start in them.
 *
 * One ListOffsets request per broker answers for all its partitions: rd_kafka_offsets_for_times()
 * hands the "timestamp" of each partition to the broker as it stands, and the protocol reads -2 as
 * earliest and -1 as latest (read in librdkafka 2.0.2 and 2.15, rd_kafka_make_ListOffsetsRequest:
 * the list's offset is the request's time, the client's isolation level goes with it, so latest is
 * the last stable offset under read_committed). So low and high of a hundred partitions are two
 * round trips, not two hundred.
 *
 *   low    earliest               high   latest
 *   start  low | high | what the group committed | first offset at a time, brought into [low, high]
 *
 * The library's call fails as a whole when one partition fails (a topic that is gone) or one broker
 * does not answer. So the partitions of each leader are asked apart, within LEADER_MS; and if a
 * leader's fail, each alone. A bad partition or a silent broker costs the others only time.
 *
 * Thread: the caller's; it waits. Failure: class RETRY, or CONFIG where rights are missing;
 * partitions without answer hold -1.
 */
#include <librdkafka/rdkafka.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "io/kafka_client.h"

#define LEADER_MS 1500
#define TIME_EARLIEST INT64_C(-2) /* Kafka protocol, ListOffsets */
#define TIME_LATEST INT64_C(-1)

enum ask { ASK_LOW, ASK_HIGH, ASK_TIME, ASK_COMMITTED };

/* Only where a question is still open, and only those who start by it. */
static bool wanted(const struct kafka_log *log, enum ask ask)
{
	return ask == ASK_LOW || ask == ASK_HIGH ||
	       (ask == ASK_TIME && log->start_kind == START_TIMESTAMP) ||
	       (ask == ASK_COMMITTED && log->start_kind == START_COMMITTED);
}

/* What stands in the place of an offset in the request. */
static int64_t question(const struct kafka_log *log, enum ask ask)
{
	switch (ask) {
	case ASK_LOW:
		return TIME_EARLIEST;
	case ASK_HIGH:
		return TIME_LATEST;
	case ASK_TIME:
		return log->start_ms;
	case ASK_COMMITTED:
		return RD_KAFKA_OFFSET_INVALID;
	}
	return RD_KAFKA_OFFSET_INVALID;
}

/* -1 for "after the end" (a time) and -1001 for "none" (a commit) come through as they are. */
static void take_answer(struct kafka_log *log, enum ask ask, int64_t offset)
{
	switch (ask) {
	case ASK_LOW:
		log->low = offset;
		break;
	case ASK_HIGH:
		log->high = offset;
		break;
	case ASK_TIME:
	case ASK_COMMITTED:
		log->start = offset;
		break;
	}
}

/* Rights are for an operator; anything else may pass. */
static bool failed(struct err *err, const char *topic, int32_t partition, rd_kafka_resp_err_t code)
{
	return err_set(err, kafka_err_class(code),
		       "topic %s partition %d: offsets cannot be queried: %s", topic, partition,
		       rd_kafka_err2str(code));
}

/* One request for all of them. */
static bool ask_for(rd_kafka_t *rk, struct kafka_log *logs, size_t n, enum ask ask,
		    int64_t deadline_us, struct err *err)
{
	bool ok = true;
	int timeout_ms = MAX(clock_poll_ms(deadline_us), 1);
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)n);
	for (size_t i = 0; i < n; i++)
		if (wanted(&logs[i], ask))
			rd_kafka_topic_partition_list_add(list, logs[i].topic, logs[i].partition)
				->offset = question(&logs[i], ask);
	if (list->cnt > 0) {
		rd_kafka_resp_err_t code =
			ask == ASK_COMMITTED ? rd_kafka_committed(rk, list, timeout_ms)
					     : rd_kafka_offsets_for_times(rk, list, timeout_ms);
		ok = !code || failed(err, logs[0].topic, logs[0].partition, code);
	}
	for (size_t i = 0; ok && i < n; i++) {
		if (!wanted(&logs[i], ask))
			continue;
		rd_kafka_topic_partition_t *p =
			rd_kafka_topic_partition_list_find(list, logs[i].topic, logs[i].partition);
		if (p->err)
			ok = failed(err, p->topic, p->partition, p->err);
		else
			take_answer(&logs[i], ask, p->offset);
	}
	rd_kafka_topic_partition_list_destroy(list);
	return ok;
}

/* Brought into the log's range: a time before it is its beginning. */
static void settle_start(struct kafka_log *log)
{
	switch (log->start_kind) {
	case START_EARLIEST:
		log->start = log->low;
		break;
	case START_LATEST:
		log->start = log->high;
		break;
	case START_COMMITTED: /* nothing committed: from the beginning, as for a new partition */
		log->start = log->start < 0 ? log->low : log->start;
		break;
	case START_TIMESTAMP: /* a time after the end */
		log->start = log->start < 0 ? log->high : log->start;
		break;
	}
	log->start = MIN(MAX(log->start, log->low), log->high);
}

/* Without both ends nothing else means anything. */
static bool ask_all(rd_kafka_t *rk, struct kafka_log *logs, size_t n, int64_t deadline_us,
		    struct err *err)
{
	static const enum ask order[] = {ASK_LOW, ASK_HIGH, ASK_TIME, ASK_COMMITTED};
	bool ok = true;
	for (size_t a = 0; ok && a < ARRAY_LEN(order); a++)
		ok = ask_for(rk, logs, n, order[a], deadline_us, err);
	for (size_t i = 0; i < n; i++) {
		if (ok && logs[i].low >= 0 && logs[i].high >= logs[i].low) {
			settle_start(&logs[i]);
			continue;
		}
		logs[i].low = logs[i].high = logs[i].start = -1;
		if (ok)
			ok = err_set(err, ERR_RETRY,
				     "topic %s partition %d: the broker named no offsets",
				     logs[i].topic, logs[i].partition);
	}
	return ok;
}

/* --- who leads a partition, and how many of them there are --- */

/* The leader decides with whom a partition is asked. */
static void take_topic(const rd_kafka_metadata_topic_t *topic, struct kafka_log *logs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(logs[i].topic, topic->topic) != 0)
			continue;
		logs[i].partitions = topic->partition_cnt;
		for (int p = 0; p < topic->partition_cnt; p++)
			if (topic->partitions[p].id == logs[i].partition)
				logs[i].leader = topic->partitions[p].leader;
	}
}

/* By name, one by one: a topic that is missing fails alone. */
static bool ask_topic(rd_kafka_t *rk, const char *name, struct kafka_log *logs, size_t n,
		      int64_t deadline_us, struct err *err)
{
	const rd_kafka_metadata_t *metadata = NULL;
	rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, name, NULL);
	rd_kafka_resp_err_t code =
		rd_kafka_metadata(rk, 0, rkt, &metadata, MAX(clock_poll_ms(deadline_us), 1));
	if (!code && metadata->topic_cnt != 1)
		code = RD_KAFKA_RESP_ERR__PARTIAL;
	if (!code)
		code = metadata->topics[0].err;
	if (!code)
		take_topic(&metadata->topics[0], logs, n);
	if (metadata)
		rd_kafka_metadata_destroy(metadata);
	rd_kafka_topic_destroy(rkt);
	return !code || err_set(err, kafka_err_class(code), "topic %s: no metadata: %s", name,
				rd_kafka_err2str(code));
}

/* One request per topic. */
static bool ask_leaders(rd_kafka_t *rk, struct kafka_log *logs, size_t n, int64_t deadline_us,
			struct err *err)
{
	bool all = true;
	for (size_t i = 0; i < n; i++) {
		logs[i].partitions = 0;
		logs[i].leader = -1;
	}
	for (size_t i = 0; i < n; i++) {
		bool asked = false;
		for (size_t j = 0; j < i; j++)
			asked |= strcmp(logs[i].topic, logs[j].topic) == 0;
		if (!asked && !ask_topic(rk, logs[i].topic, logs, n, deadline_us, err))
			all = false;
	}
	return all;
}

/* --- by leader --- */

/* Those of one leader; if that fails as a whole, one by one, so that one does not hurt another. */
static bool ask_leader(rd_kafka_t *rk, struct kafka_log *logs, size_t n, int64_t deadline_us,
		       struct err *err)
{
	int64_t now = clock_mono_us(), most = now + LEADER_MS * US_PER_MS;
	deadline_us = MIN(deadline_us, most);
	if (ask_all(rk, logs, n, n == 1 ? deadline_us : now + (deadline_us - now) / 2, err))
		return true;
	bool all = n > 1;
	for (size_t i = 0; n > 1 && i < n; i++)
		if (!ask_all(rk, &logs[i], 1, deadline_us, err))
			all = false;
	return all;
}

/* So that those of one leader stand together. */
static int by_leader(const void *x, const void *y)
{
	const struct kafka_log *a = *(struct kafka_log *const *)x;
	const struct kafka_log *b = *(struct kafka_log *const *)y;
	return (a->leader > b->leader) - (a->leader < b->leader);
}

/* Through a copy, as the group is not in one piece. */
static bool ask_group(rd_kafka_t *rk, struct kafka_log **group, size_t n, int64_t deadline_us,
		      struct err *err)
{
	struct kafka_log *logs = xcalloc(n, sizeof(*logs));
	for (size_t i = 0; i < n; i++)
		logs[i] = *group[i];
	bool ok = ask_leader(rk, logs, n, deadline_us, err);
	for (size_t i = 0; i < n; i++)
		*group[i] = logs[i];
	free(logs);
	return ok;
}

/* Leaders one after the other, each within its time. */
bool kafka_query_logs(struct rd_kafka_s *rk, struct kafka_log *logs, size_t n, int timeout_ms,
		      struct err *err)
{
	int64_t deadline_us = clock_mono_us() + timeout_ms * US_PER_MS;
	struct kafka_log **order = xcalloc(n + 1, sizeof(struct kafka_log *));
	for (size_t i = 0; i < n; i++) {
		logs[i].low = logs[i].high = logs[i].start = -1;
		order[i] = &logs[i];
	}
	bool all = ask_leaders(rk, logs, n, deadline_us, err);
	qsort(order, n, sizeof(struct kafka_log *), by_leader);
	for (size_t i = 0, k; i < n; i += k) {
		for (k = 1; i + k < n && order[i + k]->leader == order[i]->leader; k++)
			;
		if (order[i]->partitions > 0 && !ask_group(rk, &order[i], k, deadline_us, err))
			all = false;
	}
	free(order);
	if (all)
		err_clear(err);
	return all;
}

int64_t *kafka_query_starts(struct rd_kafka_s *rk, const char *topic, enum start_kind kind,
			    int64_t start_ms, int timeout_ms, int32_t *n, struct err *err)
{
	struct kafka_log first = {.topic = topic};
	int64_t deadline_us = clock_mono_us() + timeout_ms * US_PER_MS, *starts = NULL;
	if (!ask_topic(rk, topic, &first, 1, deadline_us, err))
		return NULL;
	*n = first.partitions;
	struct kafka_log *logs = xcalloc((size_t)*n + 1, sizeof(*logs));
	for (int32_t i = 0; i < *n; i++)
		logs[i] = (struct kafka_log){
			.topic = topic, .partition = i, .start_kind = kind, .start_ms = start_ms};
	if (kafka_query_logs(rk, logs, (size_t)*n, MAX(clock_poll_ms(deadline_us), 1), err)) {
		starts = xcalloc((size_t)*n + 1, sizeof(*starts));
		for (int32_t i = 0; i < *n; i++)
			starts[i] = logs[i].start;
	}
	free(logs);
	return starts;
}

/* -1: nothing committed, -2: no answer. */
void kafka_query_committed(struct rd_kafka_s *rk, const struct kafka_log *logs, size_t n,
			   int timeout_ms, int64_t *committed)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)n);
	for (size_t i = 0; i < n; i++)
		rd_kafka_topic_partition_list_add(list, logs[i].topic, logs[i].partition);
	rd_kafka_resp_err_t code =
		n > 0 ? rd_kafka_committed(rk, list, timeout_ms) : RD_KAFKA_RESP_ERR_NO_ERROR;
	for (size_t i = 0; i < n; i++) {
		const rd_kafka_topic_partition_t *p = &list->elems[i];
		committed[i] = code || p->err ? -2 : p->offset < 0 ? -1 : p->offset;
	}
	rd_kafka_topic_partition_list_destroy(list);
}

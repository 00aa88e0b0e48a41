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
 * The call fails as a whole when one partition fails (a topic that is gone, a leader that is away).
 * Then each partition is asked alone, so that one bad partition does not hold up the others.
 *
 * Thread: the caller's; it waits. Failure: class RETRY, or CONFIG where rights are missing;
 * partitions without answer hold -1.
 */
#include <librdkafka/rdkafka.h>
#include <string.h>

#include "base/clock.h"
#include "io/kafka_client.h"

#define TIME_EARLIEST INT64_C(-2) /* Kafka protocol, ListOffsets */
#define TIME_LATEST INT64_C(-1)

enum ask { ASK_LOW, ASK_HIGH, ASK_TIME, ASK_COMMITTED };

static bool wanted(const struct kafka_log *log, enum ask ask)
{
	return ask == ASK_LOW || ask == ASK_HIGH ||
	       (ask == ASK_TIME && log->start_kind == START_TIMESTAMP) ||
	       (ask == ASK_COMMITTED && log->start_kind == START_COMMITTED);
}

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

static bool failed(struct err *err, const char *topic, int32_t partition, rd_kafka_resp_err_t code)
{
	return err_set(err, kafka_err_class(code),
		       "topic %s partition %d: offsets cannot be queried: %s", topic, partition,
		       rd_kafka_err2str(code));
}

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

static int32_t ask_partitions(rd_kafka_t *rk, const char *topic, int64_t deadline_us,
			      struct err *err)
{
	const rd_kafka_metadata_t *metadata = NULL;
	int32_t count = 0;
	rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, topic, NULL);
	rd_kafka_resp_err_t code =
		rd_kafka_metadata(rk, 0, rkt, &metadata, MAX(clock_poll_ms(deadline_us), 1));
	if (!code && metadata->topic_cnt == 1) {
		code = metadata->topics[0].err;
		count = metadata->topics[0].partition_cnt;
	}
	if (metadata)
		rd_kafka_metadata_destroy(metadata);
	rd_kafka_topic_destroy(rkt);
	if (!code && count > 0)
		return count;
	err_set(err, kafka_err_class(code ? code : RD_KAFKA_RESP_ERR__PARTIAL),
		"topic %s: no metadata: %s", topic,
		rd_kafka_err2str(code ? code : RD_KAFKA_RESP_ERR__PARTIAL));
	return 0;
}

/* One request per topic. */
static bool count_partitions(rd_kafka_t *rk, struct kafka_log *logs, size_t n, int64_t deadline_us,
			     struct err *err)
{
	bool ok = true;
	for (size_t i = 0; i < n; i++) {
		logs[i].partitions = -1;
		for (size_t j = 0; logs[i].partitions < 0 && j < i; j++)
			if (strcmp(logs[i].topic, logs[j].topic) == 0)
				logs[i].partitions = logs[j].partitions;
		if (logs[i].partitions < 0)
			logs[i].partitions = ask_partitions(rk, logs[i].topic, deadline_us, err);
		if (logs[i].partitions > 0)
			continue;
		logs[i].low = logs[i].high = logs[i].start = -1;
		ok = false;
	}
	return ok;
}

static bool ask_offsets(rd_kafka_t *rk, struct kafka_log *logs, size_t n, int64_t start_us,
			int64_t timeout_us, struct err *err)
{
	if (ask_all(rk, logs, n, n == 1 ? start_us + timeout_us : start_us + timeout_us / 2, err))
		return true;
	if (n == 1)
		return false;
	bool all = true;
	for (size_t i = 0; i < n; i++)
		if (!ask_all(rk, &logs[i], 1, start_us + timeout_us, err))
			all = false;
	return all;
}

bool kafka_query_logs(struct rd_kafka_s *rk, struct kafka_log *logs, size_t n, int timeout_ms,
		      struct err *err)
{
	int64_t start_us = clock_mono_us(), timeout_us = timeout_ms * US_PER_MS;
	if (n == 0)
		return true;
	bool all = ask_offsets(rk, logs, n, start_us, timeout_us, err);
	if (!count_partitions(rk, logs, n, start_us + timeout_us, err))
		all = false;
	if (all)
		err_clear(err);
	return all;
}

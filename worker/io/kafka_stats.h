/* kafka_stats.h - the few numbers of librdkafka's statistics JSON that are worth a metric. */
#pragma once

#include "base/base.h"

struct kafka_broker {
	const char *name; /* "127.0.0.1:9092/1" */
	bool up;
	int64_t connects, disconnects, request_timeouts, request_errors, tx_bytes, rx_bytes;
	int64_t rtt_avg_us, rtt_p99_us; /* of the last interval; -1: no request in it */
};

struct kafka_fetch_queue {
	const char *topic;
	int32_t partition;
	int64_t records, bytes; /* fetched, not yet taken */
};

struct kafka_stats {
	struct kafka_broker *brokers;
	size_t nbrokers;
	struct kafka_fetch_queue *queues;
	size_t nqueues;
	int64_t reply_queue; /* events that wait for the application */
	void *json;          /* owns the texts */
};

/* How the client stands with the brokers, whatever the number of partitions. */
struct kafka_reach {
	size_t known; /* brokers whose address it has, configured or learned */
	size_t up;    /* of these, connected */
};

/* Reads that part of the statistics only. False when the text is not such JSON. Any thread. */
bool kafka_stats_reach(struct kafka_reach *reach, const char *json, size_t len);

/* False when the text is not such JSON; stats is empty then. Free it in any case. Any thread. */
bool kafka_stats_parse(struct kafka_stats *stats, const char *json, size_t len);
void kafka_stats_free(struct kafka_stats *stats); /* after kafka_stats_parse() */

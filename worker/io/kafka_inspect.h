/*
 * kafka_inspect.h - a Kafka client for commands that only ask: no group, no subscription, calls
 * that wait.
 */
#pragma once

#include "base/base.h"
#include "base/err.h"
#include "core/config.h"
#include "io/kafka_client.h"

/* Returns new, or NULL. For kafka_query_logs() and kafka_topic_ids() as well. */
struct rd_kafka_s *kafka_inspect_open(const struct config *config, struct err *err);
void kafka_inspect_close(struct rd_kafka_s *rk); /* NULL is fine */

/* The topic's number of partitions; 0: there is no such topic. */
MUST_CHECK bool kafka_inspect_partitions(struct rd_kafka_s *rk, const char *topic, int timeout_ms,
					 int32_t *partitions, struct err *err);

/*
 * Whether old events of a key are compacted away. False: the broker does not say, or not to us
 * (DescribeConfigs on the topic).
 */
MUST_CHECK bool kafka_inspect_compacts(struct rd_kafka_s *rk, const char *topic, int timeout_ms,
				       bool *compacts);

/*
 * nudge.h - wakes librdkafka's broker threads where they oversleep. Private to the
 * consumer's files.
 */
#pragma once

#include <librdkafka/rdkafka.h>

#include "base/base.h"

struct nudge;

struct nudge *nudge_start(rd_kafka_t *rk);
/* The queue has drained so far that the broker threads should be fetching. Does not wait. */
bool nudge_due(struct nudge *n, size_t queue_length);
/* Asks the leaders for something small, from its own thread. Takes the list. Does not wait. */
void nudge_send(struct nudge *n, rd_kafka_topic_partition_list_t *partitions);
void nudge_stop(struct nudge *n); /* before the client is closed; NULL (no client) is fine */

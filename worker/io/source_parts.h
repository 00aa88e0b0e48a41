/*
 * source_parts.h - what the files of the consumer share: source.c (assignment, messages, pauses)
 * and source_log.c (what the brokers know, commits). Private to them.
 */
#ifndef MEMINGEST_SOURCE_PARTS_H
#define MEMINGEST_SOURCE_PARTS_H

#include <librdkafka/rdkafka.h>

#include "io/nudge.h"
#include "io/source.h"

struct part {
	struct source_partition sp; /* first: sp->internal points back here */
	struct topic *topic;
	bool started;
	bool stopped; /* the fetcher gave up: only a new assign brings it back */
	/* it gave up over a position that was not ours: assign it anew by ourselves */
	bool revive;
	/* the offset after the last one delivered, or where it was started */
	int64_t next;
	int64_t first_refusal_us; /* since when seeks have been refused; 0: not */
	int64_t held_commit;      /* commit to be sent after the rebalance; -1: none */
};

struct topic {
	char *name;
	/* kept, so that messages can be told apart by this pointer */
	rd_kafka_topic_t *rkt;
	const struct stream_config *stream; /* NULL: none of the config, which should not happen */
	struct part **parts;
	int32_t nparts;
};

struct source {
	const struct config *config;
	const struct source_ops *ops;
	void *ctx;
	rd_kafka_t *rk;
	rd_kafka_queue_t *queue;
	int fd;
	struct topic **topics;
	size_t ntopics;
	bool joined, rebalancing, closing, dead;
	bool deferred;       /* some part has a deferred commit or is to be revived */
	struct nudge *nudge; /* NULL: this library needs none */
	size_t nudged;       /* which partition had its turn last */
	uint64_t dropped;    /* messages of partitions that were not started */

	struct {
		const char *topic; /* the topic's name */
		int32_t partition;
		int64_t sent_us; /* monotonic; 0: none under way */
	} probe;                 /* the commit whose answer is being timed: one at a time */

	const rd_kafka_topic_t *last_rkt; /* of the last message: most follow their like */
	int32_t last_partition;
	struct part *last_part;

	/* librdkafka 2.1 and later, else NULL */
	int32_t (*leader_epoch)(const rd_kafka_message_t *m);
};

/* A list of this one partition with this offset; the caller destroys it. */
rd_kafka_topic_partition_list_t *source_list_of(const struct part *part, int64_t offset);

/* source_assign.c: by name; NULL where there is none. */
struct topic *source_topic(const struct source *s, const char *name);
struct part *source_part(const struct source *s, const char *topic, int32_t partition);
/* Hands partitions to ops->revoked and frees them. */
void source_give_up(struct source *s, struct source_partition **sps, size_t n, bool lost);
void source_on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code,
			 rd_kafka_topic_partition_list_t *list, void *opaque);
/* What had to wait for the end of a rebalance: deferred commits, partitions to be assigned anew. */
void source_do_deferred(struct source *s);

/* source_log.c: the callback for commits without waiting. */
void source_on_commit(rd_kafka_t *rk, rd_kafka_resp_err_t code,
		      rd_kafka_topic_partition_list_t *list, void *opaque);

#endif

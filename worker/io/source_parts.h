/*
 * source_parts.h - what the files of the consumer share: source.c (messages), source_assign.c
 * (assignment, pauses), source_log.c (what the brokers know, commits), source_client.c (the client
 * of librdkafka) and source_end.c (how it ends). Private to them.
 */
#pragma once

#include <librdkafka/rdkafka.h>

#include "io/cutoff.h"
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
	struct part **parts;
	int32_t nparts;
};

struct source {
	const struct config *config;
	const struct source_ops *ops;
	void *ctx;
	rd_kafka_t *rk; /* one after another: source_client.c */
	rd_kafka_queue_t *queue;
	rd_kafka_queue_t *leaving; /* takes the events while the group is left; NULL before */
	int fd;                    /* outlives the clients */
	struct topic **topics;
	size_t ntopics;
	bool joined, rebalancing, closing, left, dead;
	bool in_rebalance; /* inside the callback */
	bool abandoned;    /* the process ends: nothing is given up in order any more */
	bool reload;       /* a new client is wanted */
	struct cutoff cutoff;
	bool hopeless; /* cut off, and too many old clients hang for a new one */
	size_t hopeless_beat;
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

/* source.c */
void source_tell_fatal(struct source *s, const char *text);
/* librdkafka's callback */
void source_on_error(rd_kafka_t *rk, int code, const char *text, void *opaque);

/* source_client.c: a client made by the config as its files are now; NULL with class CONFIG. */
rd_kafka_t *source_client_new(struct source *s, struct err *err);
/* Takes it, also when this fails. */
bool source_client_use(struct source *s, rd_kafka_t *rk, struct err *err);
/* Replaces it when that is due; calls ops->revoked. Not from a callback of librdkafka. */
void source_client_watch(struct source *s);

/* source_end.c: destroys the client in a thread; true if that was done within wait_ms. */
bool source_end(struct source *s, int wait_ms);
unsigned source_ends_under_way(void); /* clients that are not destroyed yet */
#define SOURCE_ENDS_MAX 4             /* that may hang before clients are not replaced any more */

/* source_assign.c: by name; NULL where there is none. */
struct topic *source_topic(const struct source *s, const char *name);
/* while it is assigned */
struct part *source_part(const struct source *s, const char *topic, int32_t partition);
/* Hands partitions to ops->revoked and frees them. */
void source_give_up(struct source *s, struct source_partition **sps, size_t n, bool lost);
/* All that are left, as lost. */
void source_give_up_rest(struct source *s);
/* librdkafka's callback, and for events that are served by hand. */
void source_on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code,
			 rd_kafka_topic_partition_list_t *list, void *opaque);
/* What had to wait for the end of a rebalance: deferred commits, partitions to be assigned anew. */
void source_do_deferred(struct source *s);

/* source_log.c: the callback for commits without waiting. */
void source_on_commit(rd_kafka_t *rk, rd_kafka_resp_err_t code,
		      rd_kafka_topic_partition_list_t *list, void *opaque);

/*
 * consumer_parts.h - what the files of the consumer share: consumer.c (messages), consumer_assign.c
 * (assignment, pauses), consumer_log.c (what the brokers know, commits), consumer_client.c (the
 * client of librdkafka) and consumer_end.c (how it ends). Private to them.
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

struct consumer {
	struct source base;
	const struct config *config;
	const struct source_ops *ops;
	void *ctx;
	/* read without a group, assigned by hand; nplaces 0: the group assigns */
	const struct source_place *places;
	size_t nplaces;
	rd_kafka_t *rk; /* one after another: consumer_client.c */
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
rd_kafka_topic_partition_list_t *consumer_list_of(const struct part *part, int64_t offset);

/* consumer.c */
void consumer_tell_fatal(struct consumer *s, const char *text);
/* librdkafka's callback */
void consumer_on_error(rd_kafka_t *rk, int code, const char *text, void *opaque);

/* consumer_client.c: a client made by the config as its files are now; NULL with class CONFIG. */
rd_kafka_t *consumer_client_new(struct consumer *s, struct err *err);
/* Takes it, also when this fails. */
bool consumer_client_use(struct consumer *s, rd_kafka_t *rk, struct err *err);
/* Replaces it when that is due; calls ops->revoked. Not from a callback of librdkafka. */
void consumer_client_watch(struct consumer *s);

/* consumer_end.c: destroys the client in a thread; true if that was done within wait_ms. */
bool consumer_end(struct consumer *s, int wait_ms);
unsigned consumer_ends_under_way(void); /* clients that are not destroyed yet */
#define CONSUMER_ENDS_MAX 4             /* that may hang before clients are not replaced any more */

/* consumer_assign.c: by name; NULL where there is none. */
struct topic *consumer_topic(const struct consumer *s, const char *name);
/* while it is assigned */
struct part *consumer_part(const struct consumer *s, const char *topic, int32_t partition);
/* Hands partitions to ops->revoked and frees them. */
void consumer_give_up(struct consumer *s, struct source_partition **sps, size_t n, bool lost);
/* All that are left, as lost. */
void consumer_give_up_rest(struct consumer *s);
/* librdkafka's callback, and for events that are served by hand. */
void consumer_on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code,
			   rd_kafka_topic_partition_list_t *list, void *opaque);
/* Of a consumer without a group: all its places, as the group would assign them. */
void consumer_assign_by_hand(struct consumer *s);
/* What had to wait for the end of a rebalance: deferred commits, partitions to be assigned anew. */
void consumer_do_deferred(struct consumer *s);

/* consumer_log.c: the callback for commits without waiting. */
void consumer_on_commit(rd_kafka_t *rk, rd_kafka_resp_err_t code,
			rd_kafka_topic_partition_list_t *list, void *opaque);

/* What struct source_class has of them, in the files above; self is a consumer. */
void consumer_pause(void *self, struct source_partition *sp);
bool consumer_start(void *self, struct source_partition *sp, int64_t offset, struct err *err);
void consumer_reload(void *self);
bool consumer_leave(void *self, int wait_ms);
void consumer_abandon(void *self, int wait_ms);
int64_t consumer_high_watermark(void *self, const struct source_partition *sp);
void consumer_commit(void *self, struct source_partition *const *sps, const int64_t *next,
		     size_t n);
void consumer_commit_now(void *self, struct source_partition *const *sps, const int64_t *next,
			 size_t n, int timeout_ms);

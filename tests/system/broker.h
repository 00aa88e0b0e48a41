/*
 * broker.h - the tests' own dealings with Kafka: topics, messages with exact content, what the log
 * and the group hold.
 *
 * Of the process that runs one test: clients are made at first use and closed by broker_close().
 * Whatever Kafka refuses fails the test.
 */
#pragma once

#include "base/base.h"

/* config: "key=value" strings, or NULL. */
void broker_create_topic(const char *topic, int partitions, const char *const *config,
			 size_t nconfig);
void broker_delete_topic(const char *topic);
void broker_add_partitions(const char *topic, int partitions);
/* Retention by hand: everything below "before" is gone. */
void broker_delete_records(const char *topic, int32_t partition, int64_t before);
int broker_partitions(const char *topic);
void broker_watermarks(const char *topic, int32_t partition, int64_t *low, int64_t *high);
/* The group's committed offsets of partitions 0 to n - 1; -1 where there is none. */
void broker_committed(const char *group, const char *topic, int64_t *offsets, int n);
/*
 * Of a group without members: commits another offset of one partition in its name; forgets all
 * about it.
 */
void broker_set_committed(const char *group, const char *topic, int32_t partition, int64_t offset);
void broker_delete_group(const char *group);

/*
 * Queues one message, in order per partition; broker_flush() waits until all are in the log. A
 * slice with data NULL is a null key or value. timestamp_ms 0: now. Borrows nothing.
 */
void broker_produce(const char *topic, int32_t partition, struct slice key, struct slice value,
		    int64_t timestamp_ms);
/* The same with headers. */
struct broker_header {
	const char *name;
	struct slice value;
};
void broker_produce_headers(const char *topic, int32_t partition, struct slice key,
			    struct slice value, const struct broker_header *headers, size_t n);
void broker_flush(void);
/* Looks, without waiting, whether there are delivery reports. */
void broker_poll(void);

/*
 * The same in a transaction: its markers take offsets that hold no message. One transaction at a
 * time.
 */
void broker_txn_begin(void);
void broker_txn_produce(const char *topic, int32_t partition, struct slice key, struct slice value);
/* All that was produced is in the log, and nobody reads past its first message before the end. */
void broker_txn_flush(void);
void broker_txn_end(bool commit);

/* One message as the log has it; slices are borrowed for the call. */
struct broker_message {
	const char *topic;
	int32_t partition;
	int64_t offset, timestamp_ms;
	struct slice key, value;
	struct slice key_id, value_id; /* the headers __key_schema_id, __value_schema_id */
};

/*
 * Reads all committed messages of a topic, partition by partition, in offset order. Does not join
 * the group, only has its name.
 */
void broker_read(const char *group, const char *topic,
		 void (*take)(void *ctx, const struct broker_message *m), void *ctx);

/* The same of one partition from an offset on. Returns the offset behind the last message. */
int64_t broker_read_from(const char *group, const char *topic, int32_t partition, int64_t from,
			 void (*take)(void *ctx, const struct broker_message *m), void *ctx);

/*
 * From now on each delivery report of what broker_produce() has queued, as the message that the log
 * has; offset -1: it may or may not have it. Called from broker_poll(), broker_flush(), and where
 * the queue is full. NULL: no more of it.
 */
void broker_on_receipt(void (*receipt)(void *ctx, const struct broker_message *m), void *ctx);

/*
 * The group's committed offsets for a thread of its own: fails no test, only returns false when the
 * broker does not answer in time.
 */
struct broker_watch;
struct broker_watch *broker_watch_new(const char *group);
bool broker_watch_committed(struct broker_watch *w, const char *topic, int64_t *offsets, int n,
			    int timeout_ms);
void broker_watch_free(struct broker_watch *w);

/* Clients that are made from now on keep to themselves what they think of the broker's absence. */
void broker_quiet(void);
void broker_close(void);

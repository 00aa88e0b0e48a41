/*
 * source.h - the Kafka consumer: messages in, assignments in, pauses, seeks and commits out.
 *
 * Owned and called by the poll thread alone; every callback runs inside source_poll(),
 * source_leave() or source_close(). A message is borrowed for the duration of its callback. Nothing
 * fetches before source_start(): a partition that was just assigned is paused.
 */
#pragma once

#include "base/base.h"
#include "base/err.h"
#include "core/config.h"
#include "schema/schema_id.h"

struct source;

/* One partition of the current assignment; lives from assigned() to the return of revoked(). */
struct source_partition {
	const char *topic;
	int32_t partition;
	void *user;     /* the pipeline's own */
	void *internal; /* the source's own */
};

struct source_message {
	struct source_partition *sp;
	int64_t offset;
	int64_t timestamp_ms;    /* CreateTime or LogAppendTime; -1 unknown */
	int32_t leader_epoch;    /* -1 unknown (librdkafka before 2.1) */
	struct slice key, value; /* data is NULL for a null key or value */
	void *headers;           /* for the two functions below that read them */
};

enum source_fault {
	/* the position is not in the log any more: retention, truncation or a new topic */
	SOURCE_FAULT_OFFSET,
	SOURCE_FAULT_GONE,   /* topic or partition does not exist (any more) */
	SOURCE_FAULT_DENIED, /* authorization */
	SOURCE_FAULT_OTHER,
};

struct source_ops {
	void (*assigned)(void *ctx, struct source_partition **sps, size_t n);
	/*
	 * Must let go of the partitions before it returns; lost: another member may already have
	 * them.
	 */
	void (*revoked)(void *ctx, struct source_partition **sps, size_t n, bool lost);
	/* False: no more for now, source_poll() returns. */
	bool (*message)(void *ctx, const struct source_message *m);
	/*
	 * The end of a partition was reached at this offset (which may lie past transaction
	 * markers).
	 */
	void (*eof)(void *ctx, struct source_partition *sp, int64_t offset);
	void (*fault)(void *ctx, struct source_partition *sp, enum source_fault fault,
		      const char *text);
	/* The client as a whole can not go on (fenced, fatal): the worker has to end. */
	void (*fatal)(void *ctx, const char *text);
	/* librdkafka's statistics, JSON, every statistics.interval.ms. */
	void (*statistics)(void *ctx, const char *json, size_t len);
};

/*
 * Borrows config and ops. Subscribes to the topics of all streams; the group is joined by polling.
 */
struct source *source_new(const struct config *config, const struct source_ops *ops, void *ctx,
			  struct err *err);

/*
 * Readable when source_poll() may have something; valid only after a source_poll() that returned 0.
 */
int source_fd(const struct source *s);

/*
 * Serves up to max messages and whatever callbacks are due, without waiting. Returns the messages
 * served: fewer than max means that the queue is drained.
 */
size_t source_poll(struct source *s, size_t max);

/* Nothing of it comes any more until source_start(). */
void source_pause(struct source *s, struct source_partition *sp);
/*
 * Fetching goes on (or begins) at offset. False with class RETRY if librdkafka is not ready: try
 * again soon.
 */
MUST_CHECK bool source_start(struct source *s, struct source_partition *sp, int64_t offset,
			     struct err *err);

/* Cached by librdkafka from fetch responses; -1 unknown. Does not wait. */
int64_t source_high_watermark(struct source *s, const struct source_partition *sp);

/*
 * Tells Kafka the next offsets to consume, in one request, for tools that show lag. Without
 * waiting; failures are counted, not returned.
 */
void source_commit(struct source *s, struct source_partition *const *sps, const int64_t *next,
		   size_t n);
/* The same, waiting, for partitions about to be given up. */
void source_commit_now(struct source *s, struct source_partition *const *sps, const int64_t *next,
		       size_t n, int timeout_ms);

/* frame_header() of all the message's headers. False with class POISON. */
MUST_CHECK bool source_schema_id(const struct source_message *m, bool key, struct schema_id *id,
				 struct err *err);

/*
 * {"name": "value", ...} as JSON, NULL when there are none; bytes that are not UTF-8 as
 * "base64:...". The caller frees it.
 */
char *source_headers_json(const struct source_message *m);

/* the group has answered, be it with an empty assignment */
bool source_joined(const struct source *s);

/*
 * Opens a new client in place of the one that is there, at the next source_poll(): certificates and
 * secrets are read anew. Partitions are given up in order before. Of any callback too.
 */
void source_reload(struct source *s);

/*
 * Begins to leave the group, or goes on with it, for up to wait_ms: revokes (through ops), commits.
 * True once the group is left. Nothing but this and source_close() may follow.
 */
bool source_leave(struct source *s, int wait_ms);
/*
 * For a process that is about to _exit(): says good-bye to the group, so that it does not wait for
 * this member, and calls no ops. Up to wait_ms. NULL is fine, and inside a callback nothing is
 * done.
 */
void source_abandon(struct source *s, int wait_ms);
/*
 * Leaves the group within leave_ms (0: not, or not any more), gives up the partitions that are left
 * as lost, closes. False if a client of librdkafka does not end: its thread is left behind, and the
 * process must end by _exit(). NULL is fine.
 */
bool source_close(struct source *s, int leave_ms);

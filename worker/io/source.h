/*
 * source.h - where events come from: messages in, assignments in, pauses, seeks and commits out.
 *
 * There are two: Kafka's consumer (consumer.c), and files (filesource.c), in which a file is a
 * topic and the number of a record its offset.
 *
 * Owned and called by the poll thread alone; every callback runs inside source_poll(),
 * source_leave() or source_close(). A message is borrowed for the duration of its callback. Nothing
 * fetches before source_start(): a partition that was just assigned is paused.
 */
#pragma once

#include "base/base.h"
#include "base/err.h"
#include "codec/decode.h"
#include "core/config.h"
#include "schema/frame.h"
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
	void *headers;           /* of Kafka's: for the two functions below that read them */
	/* Of a file's record, which has been decoded: its row, or why there is none. */
	const struct decoded *decoded;
};

struct decoded {
	bool ok;
	struct slice row;
	struct record record; /* its reason, too, where it is not ok */
	const struct err *err;
	const char *headers; /* of its dead letter: JSON that says where it stood */
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
	/* The source as a whole can not go on: the worker has to end. CONFIG: an operator's. */
	void (*fatal)(void *ctx, const struct err *why);
	/* librdkafka's statistics, JSON, every statistics.interval.ms. */
	void (*statistics)(void *ctx, const char *json, size_t len);
};

/* What a source is made of. */
struct source_class {
	int (*fd)(const void *self);
	size_t (*poll)(void *self, size_t max);
	void (*pause)(void *self, struct source_partition *sp);
	bool (*start)(void *self, struct source_partition *sp, int64_t offset, struct err *err);
	int64_t (*high_watermark)(void *self, const struct source_partition *sp);
	void (*commit)(void *self, struct source_partition *const *sps, const int64_t *next,
		       size_t n);
	void (*commit_now)(void *self, struct source_partition *const *sps, const int64_t *next,
			   size_t n, int timeout_ms);
	bool (*joined)(const void *self);
	void (*reload)(void *self);
	bool (*leave)(void *self, int wait_ms);
	void (*abandon)(void *self, int wait_ms);
	bool (*close)(void *self, int leave_ms);
};

struct source {
	const struct source_class *class;
	void *self; /* what the class's functions are given */
};

/*
 * Readable when source_poll() may have something; valid only after a source_poll() that returned 0.
 * -1: it will have nothing before the next source_start().
 */
static inline int source_fd(const struct source *s)
{
	return s->class->fd(s->self);
}

/*
 * Serves up to max messages and whatever callbacks are due, without waiting. Returns the messages
 * served: fewer than max means that the queue is drained.
 */
static inline size_t source_poll(struct source *s, size_t max)
{
	return s->class->poll(s->self, max);
}

/* Nothing of it comes any more until source_start(). */
static inline void source_pause(struct source *s, struct source_partition *sp)
{
	s->class->pause(s->self, sp);
}

/* Fetching goes on (or begins) at offset. False with class RETRY if it cannot yet: try again soon.
 */
MUST_CHECK static inline bool source_start(struct source *s, struct source_partition *sp,
					   int64_t offset, struct err *err)
{
	return s->class->start(s->self, sp, offset, err);
}

/* Where its log ends, as far as is known without asking; -1 unknown. Does not wait. */
static inline int64_t source_high_watermark(struct source *s, const struct source_partition *sp)
{
	return s->class->high_watermark(s->self, sp);
}

/*
 * Tells Kafka the next offsets to consume, in one request, for tools that show lag. Without
 * waiting; failures are counted, not returned.
 */
static inline void source_commit(struct source *s, struct source_partition *const *sps,
				 const int64_t *next, size_t n)
{
	s->class->commit(s->self, sps, next, n);
}

/* The same, waiting, for partitions about to be given up. */
static inline void source_commit_now(struct source *s, struct source_partition *const *sps,
				     const int64_t *next, size_t n, int timeout_ms)
{
	s->class->commit_now(s->self, sps, next, n, timeout_ms);
}

/* the group has answered, be it with an empty assignment */
static inline bool source_joined(const struct source *s)
{
	return s->class->joined(s->self);
}

/*
 * Opens a new client in place of the one that is there, at the next source_poll(): certificates and
 * secrets are read anew. Partitions are given up in order before. Of any callback too.
 */
static inline void source_reload(struct source *s)
{
	s->class->reload(s->self);
}

/*
 * Begins to leave the group, or goes on with it, for up to wait_ms: revokes (through ops), commits.
 * True once the group is left. Nothing but this and source_close() may follow.
 */
static inline bool source_leave(struct source *s, int wait_ms)
{
	return s->class->leave(s->self, wait_ms);
}

/*
 * For a process that is about to _exit(): says good-bye to the group, so that it does not wait for
 * this member, and calls no ops. Up to wait_ms. NULL is fine, and inside a callback nothing is
 * done.
 */
static inline void source_abandon(struct source *s, int wait_ms)
{
	if (s)
		s->class->abandon(s->self, wait_ms);
}

/*
 * Leaves the group within leave_ms (0: not, or not any more), gives up the partitions that are left
 * as lost, closes and frees. False if a client of librdkafka does not end: its thread is left
 * behind, and the process must end by _exit(). NULL is fine.
 */
static inline bool source_close(struct source *s, int leave_ms)
{
	return !s || s->class->close(s->self, leave_ms);
}

/*
 * Kafka's. Borrows config and ops. Subscribes to the topics of all streams; the group is joined by
 * polling.
 */
struct source *consumer_open(const struct config *config, const struct source_ops *ops, void *ctx,
			     struct err *err);

/*
 * The same without the group: reads these partitions, whoever else has them, and commits nothing.
 * Borrows them, too.
 */
struct source_place {
	const char *topic;
	int32_t partition;
};
struct source *consumer_open_at(const struct config *config, const struct source_place *places,
				size_t n, const struct source_ops *ops, void *ctx, struct err *err);

/* frame_header() of all the message's headers. False with class POISON. */
MUST_CHECK bool source_schema_id(const struct source_message *m, bool key, struct schema_id *id,
				 struct err *err);

/*
 * Which schema wrote the message's value or (key) its key, and the datum: from a header, which goes
 * before the value's own envelope (*in_header), or from that envelope. False with class POISON.
 */
MUST_CHECK bool source_frame(const struct source_message *m, enum frame_format format, bool key,
			     struct frame *frame, bool *in_header, struct err *err);

/*
 * {"name": "value", ...} as JSON, NULL when there are none; bytes that are not UTF-8 as
 * "base64:...". The caller frees it.
 */
char *source_headers_json(const struct source_message *m);

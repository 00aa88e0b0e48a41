/*
 * store.h - where rows go, as a lane sees it: a session that is had and lost, and in it
 * transactions, each of one batch or of nothing of it.
 *
 * There are two: PostgreSQL (store_pg.c), and a file of SQLite (sqlite/store.c). What is said here
 * holds for both: a batch's rows, dead letters and offsets are one transaction, which the swap of
 * its offsets rows on (next_offset, owner_epoch) fences; a claim raises the epoch.
 *
 * One for each lane, called by the lane's thread alone, but for store_phase(). It decides nothing
 * about waiting: it reports what happened, and the lane retries, opens anew or waits.
 */
#pragma once

#include "base/err.h"
#include "core/batch.h"
#include "core/config.h"

struct store;
struct stream;

/* Of a transaction. */
enum sink_result {
	SINK_DONE, /* every span is decided: committed, fenced or abandoned */
	/* call again: a step was made (a part committed, a span fenced, another way) */
	SINK_AGAIN,
	SINK_READ, /* messages of refused events have to be read again (batch_bury()), then again */
	SINK_FAILED, /* err and store_trouble() say why; nothing was committed, or (commit_sent)
			that is not known */
};

/* How a batch is to be tried. */
struct sink_try {
	bool hurry;         /* locks are waited for shortly: others could use the session */
	struct batch *peer; /* the one behind it, whose rows may bear witness; or NULL */
};

/* A partition that is to be taken over. */
struct sink_claim {
	const char *topic;
	int32_t partition;
	const char *topic_id; /* UUID text, or empty: unknown */
	int64_t low;          /* where the log begins, and with it a partition without a row */
	/* Where a pipeline's first start on the topic begins, by partition; NULL: as above. */
	const int64_t *starts;
	int32_t nstarts;
	/* Result. */
	int64_t next_offset, owner_epoch;
	char known_topic_id[37]; /* what the row says; empty: nothing */
};

/* Whose trouble a failure is. */
enum store_trouble {
	STORE_BATCH,   /* the batch's, or its table's: the session goes on */
	STORE_SLOWLY,  /* the same, and it will not pass soon */
	STORE_SESSION, /* the session is of no use any more: it has to be opened anew */
};

/* What a lane's store is made of. Borrows all. */
struct store_setup {
	const struct config *config;
	struct stream *const *streams;
	size_t nstreams;
	size_t lane;
	int abort_fd; /* readable: whatever waits ends soon, without success */
	/* to be called while a server is at work on a batch: time for store_prepare() */
	void (*idle)(void *ctx);
	void *idle_ctx;
};

/* What a kind of store is made of. */
struct store_class {
	const char *name; /* for people: "PostgreSQL" */
	bool searches;    /* by segments that have to be kept up (search/indexer.h) */
	bool one_writer;  /* a session, once had, keeps those of other processes away */
	struct store *(*create)(const struct store_setup *setup);
	void (*destroy)(struct store *s);
	bool (*open)(struct store *s, int64_t *due_us, struct err *err);
	void (*close)(struct store *s);
	bool (*alive)(struct store *s);
	enum store_trouble (*trouble)(const struct store *s, const struct err *err);
	enum sink_result (*write)(struct store *s, struct batch *b, const struct sink_try *how,
				  struct err *err);
	void (*prepare)(struct store *s, struct batch *next);
	const char *(*phase)(const struct store *s);
	bool (*claim)(struct store *s, struct sink_claim *claim, struct err *err);
	bool (*tell_halt)(struct store *s, const struct sink_claim *claim, const char *why,
			  struct err *err);
	bool (*prune)(struct store *s, bool *more, struct err *err);
};

/* The beginning of each kind's own. */
struct store {
	const struct store_class *class;
	bool stands_by; /* of the last open(): another process has what one_writer keeps */
};

extern const struct store_class store_pg; /* PostgreSQL */

/* A session. False: not now; *due_us, if not 0, is when somebody knows that it is worth a try. */
MUST_CHECK static inline bool store_open(struct store *s, int64_t *due_us, struct err *err)
{
	return s->class->open(s, due_us, err);
}

/* What was open in it is rolled back. There may be none. */
static inline void store_close(struct store *s)
{
	s->class->close(s);
}

/* Between calls: looks, without waiting, whether the session is still of use. */
static inline bool store_alive(struct store *s)
{
	return s->class->alive(s);
}

/* Of the last call, which failed with err. */
static inline enum store_trouble store_trouble(const struct store *s, const struct err *err)
{
	return s->class->trouble(s, err);
}

/* Writes the batch's open spans. May be called again with the same batch as often as it takes. */
static inline enum sink_result store_write(struct store *s, struct batch *b,
					   const struct sink_try *how, struct err *err)
{
	return s->class->write(s, b, how, err);
}

/* Arranges a batch ahead of its store_write(). */
static inline void store_prepare(struct store *s, struct batch *next)
{
	s->class->prepare(s, next);
}

/* What store_write() is doing: "copy", "commit", ... Any thread. */
static inline const char *store_phase(const struct store *s)
{
	return s->class->phase(s);
}

/* Takes the partition over, raises its epoch, and fills in what is durable of it. */
MUST_CHECK static inline bool store_claim(struct store *s, struct sink_claim *claim,
					  struct err *err)
{
	return s->class->claim(s, claim, err);
}

/* Writes down that a message at claim's next_offset halts its partition, if that is still ours. */
MUST_CHECK static inline bool store_tell_halt(struct store *s, const struct sink_claim *claim,
					      const char *why, struct err *err)
{
	return s->class->tell_halt(s, claim, why, err);
}

/*
 * Deletes rows of the batches' books that are older than batch.retention, a bounded number at a
 * time. *more: there may be more of them.
 */
MUST_CHECK static inline bool store_prune(struct store *s, bool *more, struct err *err)
{
	return s->class->prune(s, more, err);
}

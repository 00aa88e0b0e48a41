/*
 * lane.h - a thread with one PostgreSQL connection that writes batches, one after another, and
 * claims partitions.
 *
 * A partition belongs to one lane, so its batches are written in order. A job is the lane's from
 * lane_push() until it comes back through the inbox; every job comes back, decided one way or
 * another. What an operator must mend (a table that is gone, a right that is missing) holds up the
 * batches of its stream; other streams' go on.
 */
#ifndef MEMINGEST_LANE_H
#define MEMINGEST_LANE_H

#include "base/err.h"
#include "base/queue.h"
#include "core/batch.h"
#include "core/config.h"
#include "write/sink.h"

struct lane;
struct stream;

enum job_kind {
	JOB_WRITE, /* a batch */
	JOB_CLAIM, /* a partition */
	JOB_STOP,  /* the lane's own */
};

struct job {
	enum job_kind kind;
	size_t lane;
	struct batch *batch;     /* JOB_WRITE: every span is decided when it comes back */
	struct sink_claim claim; /* JOB_CLAIM */
	void *owner;             /* JOB_CLAIM: the pipeline's partition */
	int64_t pushed_us;       /* JOB_WRITE: when it was sealed */
	/* JOB_WRITE: from the lane's taking it (for the last time) to its being decided */
	int64_t took_us;
	struct job *behind; /* the lane's own: the next that is held */
	bool ok;            /* JOB_CLAIM succeeded */
	struct err err;     /* why not; ERR_FATAL of a write: the process has to end */
};

enum lane_state {
	LANE_IDLE,       /* nothing to do */
	LANE_CONNECTING, /* opening a session */
	LANE_WRITING,    /* in a transaction */
	LANE_WAITING,    /* something failed that may pass: will try again */
	/* nothing to do but what an operator must mend first: tries again slowly */
	LANE_HALTED,
	LANE_STOPPED,
};

/* What others may know of a lane: a copy. */
struct lane_view {
	enum lane_state state;
	bool connected;
	uint64_t batches;
	const char *phase;         /* of the transaction; NULL: in none */
	const char *stream;        /* of the batch at hand; NULL: none */
	size_t events;             /* of that batch */
	int64_t since_us;          /* when the lane took it; monotonic */
	unsigned attempts;         /* that failed */
	char error[ERR_TEXT_SIZE]; /* of the last failure, empty after a success */
};

/*
 * Starts the thread. Borrows config, streams and inbox; inbox must have room for every job there
 * can be.
 */
struct lane *lane_start(const struct config *config, struct stream *const *streams, size_t nstreams,
			size_t index, struct queue *inbox, size_t max_jobs);
void lane_push(struct lane *lane, struct job *job);

/*
 * From now on every job comes back at once, undecided spans as SPAN_ABANDONED; a statement in
 * flight is cut off.
 */
void lane_abort(struct lane *lane);
/* Work goes on. Only when no job is with the lane. */
void lane_resume(struct lane *lane);

void lane_look(struct lane *lane, struct lane_view *view);
/*
 * Whether batches of the stream (its index) wait for an operator. If so, why is filled. Any thread.
 */
bool lane_holds(struct lane *lane, size_t stream, char why[ERR_TEXT_SIZE]);
const char *lane_state_name(enum lane_state state);

/*
 * Ends the thread (aborting what it does) and frees the lane. Jobs still queued are the caller's:
 * none, if all came back.
 */
void lane_stop(struct lane *lane);

#endif

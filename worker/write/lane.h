/*
 * lane.h - a thread with one store that writes batches and claims partitions.
 *
 * A partition belongs to one lane, so its batches are written in order. A job is the lane's from
 * lane_push() until it comes back through the inbox; every job comes back, decided one way or
 * another. What is wrong with one stream's table (a lock, a missing right, a full tablespace) holds
 * the batches of that stream; other streams' go on. What is wrong with the session holds all.
 */
#pragma once

#include "base/err.h"
#include "base/queue.h"
#include "core/batch.h"
#include "core/config.h"
#include "write/line.h"
#include "write/reader.h"
#include "write/store.h"

struct lane;
struct stream;

enum job_kind {
	JOB_WRITE, /* a batch */
	JOB_CLAIM, /* a partition */
	JOB_HALT,  /* a partition is: written down, for people and for "offsets skip" */
};

struct job {
	enum job_kind kind;
	size_t lane;
	struct batch *batch;     /* JOB_WRITE: every span is decided when it comes back */
	struct sink_claim claim; /* JOB_CLAIM; JOB_HALT: what was claimed, and where it stands */
	void *owner;             /* JOB_CLAIM, JOB_HALT: the pipeline's partition */
	int64_t pushed_us;       /* JOB_WRITE: when it was sealed */
	int64_t took_us;         /* JOB_WRITE: from the lane's taking it until it was decided */
	bool ok;                 /* JOB_CLAIM, JOB_HALT: it succeeded */
	struct err
		err; /* why not, NONE: given back; JOB_HALT: on its way there, why it is halted */
	/* The lane's own. */
	struct job *behind; /* the next one in its line */
	uint64_t number;    /* order of arrival */
	struct errand read; /* JOB_WRITE: messages that are to be read again */
};

enum lane_state {
	LANE_IDLE,       /* nothing to do */
	LANE_CONNECTING, /* opening a session */
	LANE_WRITING,    /* in a transaction */
	LANE_WAITING,    /* no session, or every batch is held: will try again */
	LANE_HALTED,     /* the same, and an operator must act first */
	LANE_STOPPED,
	LANE_STATE_COUNT,
};

/* What others may know of a lane: a copy. */
struct lane_view {
	enum lane_state state;
	bool connected;
	bool stands_by; /* for another process: struct store */
	uint64_t batches;
	const char *phase;         /* of the transaction; NULL: in none */
	const char *stream;        /* of the batch at hand; NULL: none */
	size_t events;             /* of that batch */
	int64_t since_us;          /* when the lane took it; monotonic */
	unsigned attempts;         /* that failed */
	char error[ERR_TEXT_SIZE]; /* of the last failure, empty after a success */
};

/* Starts the thread. Borrows all; inbox must have room for every job there can be. */
struct lane *lane_start(const struct config *config, const struct store_class *class,
			struct stream *const *streams, size_t nstreams, size_t index,
			struct reader *reader, struct queue *inbox, size_t max_jobs);
/* The job is the lane's until it comes back by the inbox. */
void lane_push(struct lane *lane, struct job *job);

/* Every job comes back at once, undecided spans as SPAN_ABANDONED; what is in flight is cut off. */
void lane_abort(struct lane *lane);
/* Work goes on. Only when no job is with the lane. */
void lane_resume(struct lane *lane);
/* What can not be written now comes back; what can goes on. */
void lane_release(struct lane *lane);
/* For good: what can not be written at once comes back, what can is written. */
void lane_drain(struct lane *lane);

/* A copy of what the lane is at, as of now. */
void lane_look(struct lane *lane, struct lane_view *view);
/* The same of one stream's line. */
void lane_look_at_line(struct lane *lane, size_t stream, struct line_view *view);
/* A contract: labels and readers of /status know these words. */
const char *lane_state_name(enum lane_state state);

/* Aborts what it does, ends the thread, frees the lane. Jobs still queued are the caller's. */
void lane_stop(struct lane *lane);

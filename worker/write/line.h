/*
 * line.h - the jobs of one kind that wait for their lane, the oldest first, and until when.
 *
 * One thread's, the lane's. Jobs are whoever's they were.
 */
#pragma once

#include "base/base.h"
#include "base/err.h"

struct job;

/* Of a stream's batches with this lane. */
enum line_state {
	LINE_FLOWS,
	LINE_WAITS,  /* held: tried again soon, and then and again */
	LINE_HALTED, /* held until an operator has acted: tried again slowly */
};
struct line_view {
	enum line_state state;
	char why[ERR_TEXT_SIZE];
};

struct line {
	struct job *first, *last;
	int64_t due_us;    /* not to be tried before; 0: at once */
	unsigned attempts; /* in vain, at the first one */
	bool locked;       /* the last attempt, at whichever job, ended at a lock */
	bool away;         /* the first one is with the reader */
	bool leaving;      /* and is to be given back when it is here again */
	struct line_view view;
};

/* To its end; the job is the line's until line_take(). */
void line_add(struct line *line, struct job *job);
/* The first one, out of the line. There is one. */
struct job *line_take(struct line *line);
bool line_ready(const struct line *line, int64_t now_us); /* It holds a job whose time has come. */
/* The first one failed: not before now + wait. */
void line_hold(struct line *line, const struct err *err, int64_t now_us, int64_t wait_us);
/* The first one went, one way or another. */
void line_moved(struct line *line);

/*
 * line.c - a list of jobs, and a clock that holds the first of them.
 *
 *   first -> behind -> behind -> last          due_us: when the first may be tried (again)
 *
 * Pure: no thread, no wait, no failure. What is seen of a line (view) is its lane's to set.
 */
#include "write/line.h"

#include <string.h>

#include "write/lane.h"

/* Behind all that wait. */
void line_add(struct line *line, struct job *job)
{
	job->behind = NULL;
	if (line->last)
		line->last->behind = job;
	else
		line->first = job;
	line->last = job;
}

/* Takes the first out; there is one. */
struct job *line_take(struct line *line)
{
	struct job *job = line->first;
	line->first = job->behind;
	if (!line->first)
		line->last = NULL;
	return job;
}

bool line_ready(const struct line *line, int64_t now_us)
{
	return line->first && !line->away && line->due_us <= now_us;
}

/* The clock is of the first; those behind it wait without one. */
void line_hold(struct line *line, const struct err *err, int64_t now_us, int64_t wait_us)
{
	line->attempts++;
	line->due_us = now_us + wait_us;
	line->locked = strcmp(err->code, "55P03") == 0;
}

void line_moved(struct line *line)
{
	line->due_us = 0;
	line->attempts = 0;
}

/*
 * reader.h - a thread that reads messages again where they came from, for whoever must not wait for
 * it.
 *
 * An errand is its caller's until reader_send(), then the reader's until it lies in the queue that
 * it names: whoever pops it there owns it again.
 */
#pragma once

#include <stdatomic.h>

#include "base/err.h"
#include "base/queue.h"
#include "core/batch.h"
#include "core/config.h"
#include "io/origin.h"

struct reader;

/* The refused events of a batch want their dead letters: batch_bury(). */
struct errand {
	struct batch *batch;
	struct queue *home; /* where it comes back, as "job" */
	void *job;
	const atomic_bool *give_up; /* set: comes back soon, done or not */
	/* Result: at least one event was buried, or why not. */
	bool ok;
	struct err err;
};

/* Borrows config and origin. max_errands: as many as there can be. */
struct reader *reader_start(const struct config *config, const struct origin *origin,
			    size_t max_errands);
/* The errand is the reader's until it is home. */
void reader_send(struct reader *r, struct errand *errand);
/* Ends the thread. All errands must be back. NULL is fine. */
void reader_stop(struct reader *r);

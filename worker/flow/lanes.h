/*
 * lanes.h - all lanes: batches and claims go out to them, and come back decided.
 *
 *   slot --lanes_seal()--> lane's queue ... lane ... --> inbox --lanes_take()--> settle.c
 *                 '------> embedder --'  where a stream's vectors are made of texts
 *
 * Poll thread.
 */
#pragma once

#include "base/queue.h"
#include "core/config.h"
#include "core/pool.h"
#include "embed/embedder.h"
#include "flow/allowance.h"
#include "flow/partition.h"
#include "write/lane.h"

struct lanes {
	const struct config *config;
	struct pool *pool;
	struct reader *reader;
	struct queue *inbox;
	struct lane **all;
	struct embedder *embedder; /* NULL: no stream makes vectors */
	size_t n;
	unsigned *jobs;              /* with each lane */
	struct allowance *allowance; /* of each */
};

/* Starts the threads. Borrows config, origin, streams and pool. */
void lanes_open(struct lanes *ls, const struct config *config, const struct origin *origin,
		const struct store_class *store, struct pool *pool, struct stream *const *streams);
/* Ends them; jobs that they still have come back by lanes_take() before lanes_close(). */
void lanes_stop(struct lanes *ls);
void lanes_close(struct lanes *ls); /* after lanes_stop() */

/* The open batch goes to its lane; what it holds of partitions is in flight. reason: SEAL_*. */
void lanes_seal(struct lanes *ls, struct slot *slot, size_t reason);
/* When the slot's open batch, which holds something, has waited long enough. */
int64_t lanes_seal_due(const struct lanes *ls, const struct slot *slot);
/* A claim of a partition in state CLAIMING. */
void lanes_claim(struct lanes *ls, struct partition *part);
/* Writes down that the next message halts the partition, and why. */
void lanes_tell_halt(struct lanes *ls, struct partition *part);

/*
 * As lane_abort() and so on, of a lane and of the batches that the embedder has for it; the drain
 * is of all.
 */
void lanes_abort(struct lanes *ls, size_t lane);
void lanes_resume(struct lanes *ls, size_t lane);
void lanes_release(struct lanes *ls, size_t lane);
void lanes_drain(struct lanes *ls);
bool lanes_connected(const struct lanes *ls); /* each has a session */
bool lanes_stand_by(const struct lanes *ls);  /* one waits for another process */
/* Of the slot's batches: whether they wait for more than their turn, and why. */
void lanes_look_at_line(struct lanes *ls, const struct slot *slot, struct line_view *view);

/* A decided job, to be freed by the caller; NULL: none. */
struct job *lanes_take(struct lanes *ls);
size_t lanes_jobs(const struct lanes *ls); /* with all lanes, and the embedder */

/*
 * embedder.h - a thread that makes the vectors that sealed batches want, before their lane has
 * them.
 *
 *   lanes_seal() --embedder_push()--> [ track: batch, batch ] --all vectors there--> lane
 *                                        |  one per lane and stream, in order
 *                                        '--given back--> inbox
 *
 * A job is the embedder's from embedder_push() until it is its lane's, or back in the inbox. The
 * functions are the poll thread's, and mean what those of lane.h mean.
 */
#pragma once

#include "core/config.h"
#include "embed/model.h"
#include "write/lane.h"

struct embedder;
struct stream;

/* How many of the jobs for that lane are here; any thread. */
unsigned embedder_jobs(struct embedder *e, size_t lane);

/* What others may know of a model: a copy. */
struct embed_view {
	const char *name;
	enum model_state state;
	size_t waiting;            /* texts to be asked for */
	size_t requests;           /* under way */
	uint32_t inputs;           /* texts of one, as things are */
	char error[ERR_TEXT_SIZE]; /* of the last failure, empty when it is ready */
};

/*
 * Starts the thread. Borrows all; inbox must have room for every job there can be. NULL: no stream
 * makes vectors.
 */
struct embedder *embedder_start(const struct config *config, struct stream *const *streams,
				size_t nstreams, struct lane *const *lanes, size_t nlanes,
				struct reader *reader, struct queue *inbox, size_t max_jobs);
/* A batch of a stream that makes vectors, for job->lane. */
void embedder_push(struct embedder *e, struct job *job);

/* Every job for that lane comes back at once, its spans SPAN_ABANDONED. */
void embedder_abort(struct embedder *e, size_t lane);
/* Work for that lane goes on. Only when no job for it is here. */
void embedder_resume(struct embedder *e, size_t lane);
/* What waits for a model that is away, busy or halted comes back; what goes on may go on. */
void embedder_release(struct embedder *e, size_t lane);
/* The same from now on, for all lanes. */
void embedder_drain(struct embedder *e);

/* Of that stream's batches for that lane: whether they wait for more than their turn, and why. */
void embedder_look(struct embedder *e, size_t lane, size_t stream, struct line_view *view);
/* A copy of what its models are at; returns how many. views: room for config->nembeds. */
size_t embedder_models(struct embedder *e, struct embed_view *views);

/* Jobs that it has come back first. Ends the thread. NULL is fine. */
void embedder_stop(struct embedder *e);

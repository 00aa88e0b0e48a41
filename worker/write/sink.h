/*
 * sink.h - the transaction: one batch into PostgreSQL, or nothing of it.
 *
 * PostgreSQL's part of a lane's store (store_pg.c), on a connection of the store's. What the
 * results mean stands in store.h.
 */
#pragma once

#include "base/err.h"
#include "base/stats.h"
#include "core/batch.h"
#include "core/config.h"
#include "io/pg.h"
#include "write/store.h"

struct sink;

/* One per lane. Borrows all. */
struct sink *sink_new(const struct config *config, struct stream *const *streams, size_t nstreams);
void sink_free(struct sink *s); /* NULL is fine */

/* What sink_write() is doing: "copy", "commit", ... Any thread. */
const char *sink_phase(const struct sink *s);

/* A new connection: staging tables are made, and statements prepared, at first use, again. */
void sink_connected(struct sink *s, struct pg *pg);

/* To be called while the server is at work on a batch: time for sink_prepare(). */
void sink_when_waiting(struct sink *s, void (*idle)(void *), void *ctx);
/* Arranges a batch ahead of its sink_write(). */
void sink_prepare(struct sink *s, struct batch *next);

/* Writes the batch's open spans. May be called again with the same batch as often as it takes. */
enum sink_result sink_write(struct sink *s, struct batch *b, const struct sink_try *how,
			    struct err *err);

/*
 * Takes the partition over and fills in what is durable of it: locks its offsets row, raises the
 * epoch. Waits for whoever still holds the lock, within lock_timeout.
 */
MUST_CHECK bool sink_claim(struct sink *s, struct sink_claim *claim, struct err *err);
/*
 * Writes down where a topic's partitions 0 to nstarts - 1 start, unless anything of the topic is
 * there. topic_id: empty if it is not known.
 */
MUST_CHECK bool claim_starts(struct pg *pg, const char *pipeline, const char *topic,
			     const int64_t *starts, int32_t nstarts, const char *topic_id,
			     struct err *err);

/* Writes down that a message at claim's next_offset halts its partition, if that is still ours. */
MUST_CHECK bool sink_tell_halt(struct sink *s, const struct sink_claim *claim, const char *why,
			       struct err *err);

/*
 * Deletes rows of memingest.batches older than batch.retention, a bounded number at a time. *more:
 * there may be more of them.
 */
MUST_CHECK bool sink_prune(struct sink *s, bool *more, struct err *err);

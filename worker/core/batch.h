/*
 * batch.h - events of one stream on their way to one transaction.
 *
 * Filled by the poll thread, then moved by queue to a lane, which arranges and writes it, then
 * moved back. Whoever holds it owns it. Memory is taken at the first use and kept; batch_reset()
 * makes it empty, batch_trim() gives pages back.
 */
#ifndef MEMINGEST_BATCH_H
#define MEMINGEST_BATCH_H

#include "base/arena.h"
#include "base/base.h"
#include "base/buf.h"
#include "codec/decode.h"
#include "codec/reason.h"
#include "core/fold.h"

struct stream;

enum span_result {
	SPAN_OPEN,      /* not decided yet */
	SPAN_COMMITTED, /* durable in PostgreSQL */
	/* the offsets row says that somebody else moved it: nothing of it was written */
	SPAN_FENCED,
	/* taken back while the batch was still open: the partition was lost or began anew */
	SPAN_DROPPED,
	SPAN_ABANDONED, /* given up on request: not committed by us, as far as we know */
};

/* The offsets [from, to) of one partition that this batch handles. */
struct span {
	const char *topic; /* interned: lives as long as the process */
	int32_t partition;
	void *owner; /* the pipeline's partition */
	int64_t from, to;
	int64_t owner_epoch;
	int32_t leader_epoch;            /* of the last message; -1 unknown */
	int64_t first_ts_ms, last_ts_ms; /* record timestamps; -1: none */
	uint32_t events;                 /* all, dead ones too */
	uint32_t written;                /* filled by the sink: rows that the merge wrote */
	uint32_t dead;
	enum span_result result;
	char note[256]; /* why it was fenced */
};

/* Events that a newer one of their key, in the batch or in the table, made void. */
static inline uint32_t span_superseded(const struct span *span)
{
	return span->events - span->dead - span->written;
}

struct event {
	uint64_t hash; /* of the key */
	int64_t offset, version;
	size_t row; /* start in rows.data */
	uint32_t row_len, key_len;
	uint32_t span;
	uint8_t op; /* enum record_op */
	bool has_version;
	bool dead;
};

struct dead_letter {
	uint32_t span;
	int64_t offset, timestamp_ms;
	enum dead_reason reason;
	const char *detail;
	bool has_key, has_value;
	struct slice key, value;
	const char *headers; /* JSON or NULL */
};

/* A row to be merged: what is left of one key in one round. */
struct batch_row {
	struct slice data; /* in rows or in the arena */
	uint32_t key_len;
	uint32_t event; /* the event whose row it is: the newest that went into it */
	uint32_t span;
	uint8_t op;
};

struct batch {
	struct stream *stream;
	size_t lane;
	uint64_t number; /* for logs */
	struct buf rows;
	struct event *events;
	size_t nevents, max_events;
	struct span *spans;
	size_t nspans, cap_spans;
	struct dead_letter *dead; /* those found while decoding, then those that PostgreSQL found */
	size_t ndead, cap_dead;
	struct arena *arena; /* dead letters, folded rows */
	size_t arena_bytes;  /* of dead letters, for the memory budget */
	size_t accounted;    /* bytes that the pipeline's budget holds against this batch */
	int64_t opened_us;   /* when the first event came in; 0: none yet */

	/*
	 * Result of batch_arrange(): rows of round r are arranged[rounds[r]] .. arranged[rounds[r +
	 * 1]].
	 */
	struct batch_row *arranged;
	size_t narranged;
	size_t *rounds;
	size_t nrounds;
	struct arena *fold_arena;
	void *scratch;
	size_t scratch_size;

	bool prepared;            /* arranged ahead of being written */
	bool commit_sent;         /* a COMMIT went out whose answer we do not have */
	unsigned unique_failures; /* how often SQLSTATE 23505 came back */
	size_t touched;           /* most bytes of rows ever used since the last trim */
};

struct batch *batch_new(size_t max_events, size_t max_bytes);
void batch_free(struct batch *b); /* NULL is fine */
void batch_reset(struct batch *b);
void batch_trim(struct batch *b); /* gives the pages of rows back to the system */

/* Bytes that the batch holds, for the memory budget. */
size_t batch_bytes(const struct batch *b);

/*
 * The span of a partition, made if there is none yet. "from" counts only then. Returns its index.
 */
uint32_t batch_span(struct batch *b, const char *topic, int32_t partition, void *owner,
		    int64_t from, int64_t owner_epoch);

/* Takes the row that decode_record() has just appended to b->rows. Moves the span to offset + 1. */
void batch_add(struct batch *b, uint32_t span, int64_t offset, int64_t timestamp_ms,
	       const struct record *record);

/* Copies everything that it is given. Moves the span to offset + 1. */
void batch_add_dead(struct batch *b, const struct dead_letter *letter);

/* Offsets without events (transaction markers, compaction): moves the span to "to". */
void batch_advance(struct batch *b, uint32_t span, int64_t to);

/*
 * An event that PostgreSQL refused becomes a dead letter; batch_arrange() then leaves it out.
 * Copies what it is given.
 */
void batch_kill(struct batch *b, uint32_t event, const struct dead_letter *letter);

/*
 * Folds events of one key and sorts what is left by key within each round. Leaves out dead events
 * and those of spans that are not SPAN_OPEN. May be called again after events died or spans were
 * dropped.
 */
void batch_arrange(struct batch *b, const struct fold_rules *rules);

#endif

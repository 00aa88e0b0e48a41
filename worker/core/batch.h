/*
 * batch.h - events of one stream on their way to one transaction.
 *
 * Filled by the poll thread, moved by queue to a lane, which arranges and writes it, and back;
 * whoever holds it owns it. It can be cut: then the transaction takes the events before the cut,
 * and the rest stays for the next.
 */
#pragma once

#include <stdatomic.h>

#include "base/arena.h"
#include "base/base.h"
#include "base/buf.h"
#include "codec/decode.h"
#include "codec/reason.h"

struct stream;

enum span_result {
	SPAN_OPEN,      /* not decided yet */
	SPAN_COMMITTED, /* durable in PostgreSQL */
	SPAN_FENCED,    /* somebody else moved the offsets row: nothing of it was written */
	SPAN_DROPPED,   /* taken back while open: the partition was lost or began anew */
	SPAN_ABANDONED, /* given up on request: not committed by us, as far as we know */
};

/* What making the vectors of a batch came to, for the books. */
struct embedding {
	uint32_t wanted, cached; /* vectors; of these, without asking the model for their text */
	uint32_t requests;       /* that any of its texts was in */
	int64_t tokens;          /* of its texts, as the server counts them */
	int64_t spent_twice;     /* about, in requests that came to nothing */
	int64_t waited_us;       /* from being sealed */
};

/* Events of a span: all; rows that were written for them; dead ones; skipped ones. */
struct tally {
	uint64_t events, written, dead, skipped;
};

/* The offsets [from, to) of one partition that this batch handles. */
struct span {
	const char *topic; /* interned: lives as long as the process */
	int32_t partition;
	void *owner; /* the pipeline's partition */
	int64_t from, to;
	int64_t upto; /* where the transaction ends: "to", or less if the batch is cut */
	int64_t owner_epoch;
	int32_t leader_epoch;            /* of the last message; -1 unknown */
	int64_t first_ts_ms, last_ts_ms; /* record timestamps; -1: none */
	/* of the transaction; the sink fills "written" */
	struct tally now;
	/* of transactions that were committed before */
	struct tally done;
	enum span_result result;
	char note[256]; /* why it was fenced */
};

/* Events that a newer one of their key, in the batch or in the table, made void. */
static inline uint64_t tally_superseded(const struct tally *t)
{
	return t->events - t->dead - t->skipped - t->written;
}

struct event {
	uint64_t hash; /* of the key */
	int64_t offset, version;
	size_t row; /* start in rows.data */
	uint32_t row_len, key_len;
	uint32_t want; /* the first of its vectors that are to be made: an index into wants, */
	uint32_t span;
	uint8_t nwants; /* and how many they are */
	uint8_t op;     /* enum record_op */
	bool has_version;
	bool dead;    /* has no row: a dead letter, or skipped */
	bool skipped; /* not the stream's, and never had one */
};

enum want_state { WANT_OPEN, WANT_FILLED, WANT_NULL };

/* A vector of an event that is to be made of a text. Those of an event follow each other. */
struct batch_want {
	uint32_t event;
	enum want_state state;
	struct record_want at; /* in the row */
};

struct dead_letter {
	uint32_t span;
	int64_t offset, timestamp_ms;
	enum dead_reason reason;
	const char *detail;
	bool has_key, has_value;
	struct slice key, value;
	const char *headers; /* JSON or NULL */
	bool written;        /* by an earlier transaction of a batch that was cut */
};

/* An event that PostgreSQL refuses, until its message has been read again for its dead letter. */
struct refused {
	uint32_t event;
	enum dead_reason reason;
	const char *why;
};

/* A row to be merged: what is left of one key in one round. */
struct batch_row {
	struct slice data; /* in rows or in the arena */
	uint32_t key_len;
	uint32_t event; /* the event whose row it is: the newest that went into it */
	uint32_t span;
	uint8_t op;
	bool united; /* see struct fold_row */
};

struct batch {
	struct stream *stream;
	size_t lane;
	uint64_t number; /* for logs */
	struct buf rows;
	struct event *events;
	size_t nevents, max_events;
	struct batch_want *wants;
	size_t nwants, cap_wants;
	size_t nopen; /* of them, those that are WANT_OPEN */
	struct embedding embedding;
	size_t first,
		limit; /* events of the transaction; limit is nevents unless the batch is cut */
	struct span *spans;
	size_t nspans, cap_spans;
	struct dead_letter *dead; /* those found while decoding, then those that PostgreSQL found */
	size_t ndead, cap_dead;
	struct refused *refused; /* in the order of events */
	size_t nrefused, nburied, cap_refused;
	struct arena *arena; /* dead letters and refusals */
	int64_t opened_us;   /* when the first event came in; 0: none yet */
	/* all that it holds, for the memory budget; others may read it */
	atomic_size_t bytes;

	/* What the sink knows of it. */
	bool judged;      /* PostgreSQL refused it: event by event, in their order */
	bool apart;       /* JSON objects must not be united */
	bool escaped;     /* dead letters in ASCII: the database cannot hold what they quote */
	bool commit_sent; /* a COMMIT went out whose answer we do not have */
	unsigned unique_failures; /* how often a row alone raised SQLSTATE 23505 */

	/* Result of arranging: round r is arranged[rounds[r]] .. arranged[rounds[r + 1]]. */
	struct batch_row *arranged;
	size_t narranged;
	size_t *rounds;
	size_t nrounds;
	size_t nfolded;      /* events that another one's row stands for */
	size_t folded_bytes; /* the longest of their rows, by its indexed columns */
	size_t nunited;      /* rows in which JSON objects were united */
	bool in_order;       /* arranged in order of arrival */
	bool prepared;       /* arranged ahead of being written */
	struct arena *fold_arena;
	void *scratch;
	size_t scratch_size;

	size_t touched; /* most bytes of rows ever used since the last trim */
};

/* max_bytes: rows, reserved in full */
struct batch *batch_new(size_t max_events, size_t max_bytes);
void batch_free(struct batch *b); /* NULL is fine */
void batch_reset(struct batch *b);
void batch_trim(struct batch *b); /* gives the pages of rows back to the system */

/* Its owner tells the memory budget what it holds by now. */
void batch_account(struct batch *b);

/*
 * Somebody else moved its offsets row: the note says what was expected and what is there, which is
 * all that an operator has. owner: NULL if there is no row.
 */
void span_fence(struct span *span, const char *owner, int64_t next_offset, int64_t owner_epoch);

/* Made if there is none yet; "from" counts only then. Returns its index. */
uint32_t batch_span(struct batch *b, const char *topic, int32_t partition, void *owner,
		    int64_t from, int64_t owner_epoch);

/* Takes the row that decode_record() has just appended to b->rows. Moves the span to offset + 1. */
void batch_add(struct batch *b, uint32_t span, int64_t offset, int64_t timestamp_ms,
	       const struct record *record);
/* Copies everything that it is given. Moves the span to offset + 1. */
void batch_add_dead(struct batch *b, const struct dead_letter *letter);
/* An event that is counted, and that is all. Moves the span to offset + 1. */
void batch_skip(struct batch *b, uint32_t span, int64_t offset, int64_t timestamp_ms);
/* Offsets without events (transaction markers, compaction): moves the span to "to". */
void batch_advance(struct batch *b, uint32_t span, int64_t to);

/* The text that the wanted vector is to be made of; without its length. It stays where it is until
 * all vectors of its event are settled. */
struct slice batch_text(const struct batch *b, size_t want);
/*
 * A wanted vector: dim big-endian float4. NULL: there is none, and the row gets shorter, once all
 * of the event's are settled. False: the column can not hold one of the numbers; then it is wanted
 * still.
 */
MUST_CHECK bool batch_embed(struct batch *b, size_t want, const uint8_t *vector);

/* PostgreSQL, or the model of its vector, refuses an event. Copies "why". In the order of events.
 */
void batch_refuse(struct batch *b, uint32_t event, enum dead_reason reason, const char *why);
/* Refusals that have no dead letter yet are void. */
void batch_forgive(struct batch *b);
/*
 * The next refused event becomes a dead letter; arranging then leaves it out. span, offset, reason
 * and detail of the letter are filled here. Copies what it is given.
 */
void batch_bury(struct batch *b, const struct dead_letter *letter);

/* Of the events of the transaction, those that the database refused. */
uint64_t batch_refused(const struct batch *b);

/* The transaction takes the events before this one only. */
void batch_cut(struct batch *b, size_t limit);
/* What the transaction takes of each open span. By arranging; again if events died since. */
void batch_measure(struct batch *b);
/*
 * The transaction is committed. True: all of the batch is, and its spans are SPAN_COMMITTED. False:
 * it was cut, and what is left is ready to be arranged.
 */
bool batch_committed(struct batch *b);

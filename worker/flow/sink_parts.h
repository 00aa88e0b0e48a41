/*
 * sink_parts.h - the sink's own data, shared by the five files that make it up: sink.c (the transaction), sink_copy.c (the bytes of its
 * COPYs), sink_small.c (a small batch, a row at a time), poison.c (which rows PostgreSQL refuses) and claim.c (taking a partition over).
 * Nobody else includes it.
 */
#ifndef MEMINGEST_SINK_PARTS_H
#define MEMINGEST_SINK_PARTS_H

#include "core/fold.h"
#include "core/guard.h"
#include "core/stream.h"
#include "flow/sink.h"

struct sink {
	const struct config *config;
	struct stream *const *streams;
	size_t nstreams;
	struct pg *pg;
	bool *staged; /* per stream: this connection has its staging table */
	struct fold_rules *rules;
	struct guard *guards; /* per stream: what PostgreSQL refused */
	struct direct {
		unsigned wait;    /* batches to go through the staging table before the next try */
		unsigned backoff; /* what wait began with */
	} * directs;              /* per stream */
	bool direct;              /* this batch goes straight into the table */
	bool whole;               /* and its first text holds all of the transaction */
	void (*idle)(void *);
	void *idle_ctx;
	struct small {
		char upsert[24], delete[24], types[24]; /* names of statements */
		bool upsert_ready, delete_ready, types_ready;
	} * smalls;          /* per stream: what this connection has prepared */
	bool books_ready[4]; /* the same for the books */
	bool small;          /* this batch goes a row at a time */
	struct buf chunk, sql;
	uint64_t deleted;            /* rows of this transaction that were deleted */
	_Atomic(const char *) phase; /* for people who watch: a literal */
	char owner[128];
};

enum begun { BEGUN, BEGUN_FENCED, BEGUN_FAILED };

/* sink_small.c: whether the batch is so small that rows go one at a time; then BEGIN, swap and rows; then what is left. */
bool small_fits(const struct batch *b, bool direct);
/* Both prepare statements at first use, outside the transaction: the small batch's; s->smalls[].types. */
MUST_CHECK bool small_prepare(struct sink *s, const struct batch *b, struct err *err);
MUST_CHECK bool small_types(struct sink *s, const struct batch *b, struct err *err);
enum begun small_begin(struct sink *s, struct batch *b, struct span *const *spans, size_t n, struct err *err);
MUST_CHECK bool small_commit(struct sink *s, struct batch *b, struct span *const *spans, size_t n, struct err *err);

/* sink_copy.c: fields in COPY form. */
void sink_put_text(struct buf *out, const char *text); /* NULL: null */
void sink_put_int4(struct buf *out, int32_t n);
void sink_put_int8(struct buf *out, int64_t n);

/* sink_copy.c: all rows, or dead letters, of a COPY that has begun, but not yet its end. */
MUST_CHECK bool sink_copy_rows(struct sink *s, const struct batch *b, const struct batch_row *rows, size_t n,
			       struct err *err);
MUST_CHECK bool sink_copy_dead(struct sink *s, const struct batch *b, struct err *err);

/* sink.c: makes the stream's staging table if this connection has none yet. */
MUST_CHECK bool sink_stage(struct sink *s, const struct batch *b, struct err *err);
/* sink.c: empties the staging table, copies the rows there and merges them. */
MUST_CHECK bool sink_apply(struct sink *s, struct batch *b, const struct batch_row *rows, size_t n, struct err *err);
/* sink.c: ends the transaction if the connection lives. */
void sink_roll_back(struct sink *s);

/* poison.c: is this failure the fault of a row? */
bool poison_suspected(const struct sink *s, const struct batch *b, const struct err *err);
/* poison.c: finds the rows that PostgreSQL refuses and makes them dead letters. The transaction has been rolled back. */
enum sink_result poison_hunt(struct sink *s, struct batch *b, struct err *err);

#endif

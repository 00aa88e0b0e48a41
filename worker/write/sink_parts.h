/*
 * sink_parts.h - the sink's own data, shared by the six files that make it up: sink.c (the
 * transaction), sink_books.c (prepared statements), sink_copy.c (the bytes of its COPYs),
 * sink_small.c (a small batch, a row at a time), poison.c (which rows PostgreSQL refuses) and
 * claim.c (taking a partition over). Nobody else includes it.
 */
#ifndef MEMINGEST_SINK_PARTS_H
#define MEMINGEST_SINK_PARTS_H

#include "core/fold.h"
#include "core/guard.h"
#include "core/stream.h"
#include "write/sink.h"

enum book { BOOK_BEGIN, BOOK_SWAP, BOOK_BATCH, BOOK_COMMIT, BOOK_COUNT };
enum row_statement { ROW_UPSERT, ROW_DELETE, ROW_TYPES, ROW_COUNT };

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
	bool books_ready[BOOK_COUNT];  /* what this connection has prepared */
	bool (*rows_ready)[ROW_COUNT]; /* the same per stream */
	char row_name[24];
	bool small; /* this batch goes a row at a time */
	struct buf chunk, sql;
	uint64_t deleted;            /* rows of this transaction that were deleted */
	_Atomic(const char *) phase; /* for people who watch: a literal */
	char owner[128];
};

enum begun { BEGUN, BEGUN_FENCED, BEGUN_FAILED };

/* sink_books.c: prepare at first use, outside the transaction. */
MUST_CHECK bool books_prepare(struct sink *s, struct err *err);
MUST_CHECK bool row_prepare(struct sink *s, const struct batch *b, enum row_statement statement,
			    struct err *err);
/* Of a stream's prepared statement; good until the next call. */
const char *row_name(struct sink *s, const struct batch *b, enum row_statement statement);
/* To s->sql, with "; " behind it. */
void books_say_swap(struct sink *s, const struct span *span);
void books_say_batch(struct sink *s, const struct span *span);
/* To the pipe (pg_pipe_add()); the first is for statements without parameters. */
MUST_CHECK bool books_add(struct sink *s, enum book book, struct err *err);
MUST_CHECK bool books_add_swap(struct sink *s, const struct span *span, struct err *err);
MUST_CHECK bool books_add_batch(struct sink *s, const struct span *span, struct err *err);

/*
 * sink_small.c: whether the batch is so small that rows go one at a time; then BEGIN, swap and
 * rows; then what is left.
 */
bool small_fits(const struct batch *b, bool direct);
enum begun small_begin(struct sink *s, struct batch *b, struct span *const *spans, size_t n,
		       struct err *err);
MUST_CHECK bool small_commit(struct sink *s, struct batch *b, struct span *const *spans, size_t n,
			     struct err *err);

/* sink_copy.c: fields in COPY form. */
void sink_put_text(struct buf *out, const char *text); /* NULL: null */
void sink_put_int4(struct buf *out, int32_t n);
void sink_put_int8(struct buf *out, int64_t n);

/* sink_copy.c: all rows, or dead letters, of a COPY that has begun, but not yet its end. */
MUST_CHECK bool sink_copy_rows(struct sink *s, const struct batch *b, const struct batch_row *rows,
			       size_t n, struct err *err);
MUST_CHECK bool sink_copy_dead(struct sink *s, const struct batch *b, struct err *err);

/* sink.c: from the row counts of the swaps, whether each moved its row. */
bool sink_swapped(const int64_t *affected, size_t n);
/* sink.c: makes the stream's staging table if this connection has none yet. */
MUST_CHECK bool sink_stage(struct sink *s, const struct batch *b, struct err *err);
/* sink.c: empties the staging table, copies the rows there and merges them. */
MUST_CHECK bool sink_apply(struct sink *s, struct batch *b, const struct batch_row *rows, size_t n,
			   struct err *err);
/* sink.c: ends the transaction if the connection lives. */
void sink_roll_back(struct sink *s);

/* poison.c: is this failure the fault of a row? */
bool poison_suspected(const struct sink *s, const struct batch *b, const struct err *err);
/*
 * poison.c: finds the rows that PostgreSQL refuses and makes them dead letters. The transaction has
 * been rolled back.
 */
enum sink_result poison_hunt(struct sink *s, struct batch *b, struct err *err);

#endif

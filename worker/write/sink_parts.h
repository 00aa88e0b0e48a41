/*
 * sink_parts.h - the sink's own data, shared by the files that make it up and by nobody else:
 *
 *   sink.c        the transaction, which way it goes, what a failure means
 *   way_*.c       the ways: direct, staged, singly, judged
 *   judge.c       whose fault it is that a row was refused
 *   fence.c       what the offsets rows say when the swap has missed
 *   claim.c       taking a partition over, housekeeping
 *   sink_books.c  prepared statements
 *   sink_copy.c   the bytes of rows, sink_dead.c those of dead letters
 */
#pragma once

#include "core/arrange.h"
#include "core/guard.h"
#include "core/mergesql.h"
#include "core/stream.h"
#include "write/sink.h"

enum book {
	BOOK_BEGIN,
	BOOK_SWAP,
	BOOK_BATCH,
	BOOK_COMMIT,
	BOOK_SAVE,
	BOOK_BACK,
	BOOK_KEEP,
	BOOK_COUNT
};
enum row_statement { ROW_UPSERT, ROW_UPDATE, ROW_INSERT, ROW_DELETE, ROW_DIRECT, ROW_COUNT };

/* What the sink knows of a stream's table. */
struct target {
	struct fold_rules rules;
	struct guard guard; /* of what PostgreSQL refused */
	bool staged;        /* this connection has the staging table */
	bool ready[ROW_COUNT];
	char names[ROW_COUNT][32];
	unsigned traits;       /* enum trait, as last looked at */
	int64_t traits_due_us; /* when they are to be looked at again */
	uint64_t copyable;     /* batches written that could have gone by COPY into the table */
	uint64_t direct_from;  /* with how many of them that is tried again */
	unsigned direct_backoff;
};

struct sink {
	const struct config *config;
	struct stream *const *streams;
	size_t nstreams;
	struct pg *pg;
	struct target *targets;       /* per stream */
	bool books_ready[BOOK_COUNT]; /* what this connection has prepared */
	bool hurried;                 /* the session does not wait long for locks */
	void (*idle)(void *);
	void *idle_ctx;
	struct buf chunk, sql;
	_Atomic(const char *) phase; /* for people who watch: a literal */
	char owner[128];

	/* Of the transaction. */
	const struct way *way;
	struct span **spans; /* open ones, in the order in which their rows are locked */
	size_t nspans;
	bool in_books;    /* what fails now is bookkeeping, not the user's rows */
	bool refused;     /* rows were, by their own fault: their messages have to be read again */
	bool whole;       /* all of it was in the first text: nothing is left to finish */
	uint64_t deleted; /* rows */
	struct batch *peer; /* the batch behind this one, for the judge to look at; or NULL */
};

enum begin_result { BEGIN_OK, BEGIN_FENCED, BEGIN_FAILED };

/* A way of writing a batch. */
struct way {
	const char *name;
	/* Makes what the connection has to have, outside the transaction. */
	bool (*ready)(struct sink *s, struct batch *b, struct err *err);
	/* BEGIN, the swap, and whatever may travel with it. */
	enum begin_result (*begin)(struct sink *s, struct batch *b, struct err *err);
	/* The rows into the table. Not called if there are none. */
	bool (*rows)(struct sink *s, struct batch *b, struct err *err);
	/* memingest.batches and COMMIT. */
	bool (*finish)(struct sink *s, struct batch *b, struct err *err);
};
extern const struct way way_direct, way_staged, way_singly, way_judged;

/* sink.c */
struct target *sink_target(const struct sink *s, const struct batch *b);
/* Counts a duration of us microseconds. */
void sink_took(const struct batch *b, enum metric metric, size_t stage, int64_t us);
/* From the row counts of the swaps, whether each moved its row. */
bool sink_swapped(const struct sink *s, const int64_t *affected);
/* Waits for locks shortly, or as configured: the session, as preparing takes locks as well. */
MUST_CHECK bool sink_set_patience(struct sink *s, bool hurry, struct err *err);
/* Appends BEGIN and the swaps, whose answers stand behind that of BEGIN. */
#define SWAPS_AT 1
void sink_put_begin(struct sink *s); /* To s->sql, emptied first. */
/* Appends the rows of memingest.batches and COMMIT. */
void sink_put_commit(struct sink *s, const struct batch *b);
/* The end of a COPY, and the answers to all that follows it: here the server is waited for. */
MUST_CHECK bool sink_end_copy(struct sink *s, int64_t affected[2], struct err *err);
bool sink_has_dead_letters(const struct batch *b); /* Of this transaction. */
/* Right before the text with the COMMIT goes out. False: it is not to. */
MUST_CHECK bool sink_commit_begins(struct sink *s, struct batch *b, struct err *err);
/* What COMMIT answered, or did not. Returns ok. */
MUST_CHECK bool sink_commit_answered(struct sink *s, struct batch *b, bool ok, int64_t since_us,
				     struct err *err);
size_t sink_count_deletes(const struct batch_row *rows, size_t n); /* Rows that delete. */
/* As written, each to its span. */
void sink_count_upserts(struct batch *b, const struct batch_row *rows, size_t n);

/* fence.c: decides each open span after a swap that missed. False: try again. */
MUST_CHECK bool fence_decide(struct sink *s, struct batch *b, struct err *err);

/* sink_books.c: prepare at first use, outside the transaction. */
MUST_CHECK bool books_prepare(struct sink *s, struct err *err);
/* One of the stream's statements. */
MUST_CHECK bool row_prepare(struct sink *s, const struct batch *b, enum row_statement statement,
			    struct err *err);
/* Under which it is prepared. */
const char *row_name(const struct sink *s, const struct batch *b, enum row_statement statement);
/* To s->sql, with "; " behind it. */
void books_put(struct sink *s, enum book book);
void books_put_swap(struct sink *s, const struct span *span); /* The same with parameters. */
void books_put_batch(struct sink *s, const struct batch *b, const struct span *span);
/* To the pipe (pg_pipe_add()); the first is for statements without parameters. */
MUST_CHECK bool books_add(struct sink *s, enum book book, struct err *err);
/* The same with parameters. */
MUST_CHECK bool books_add_swap(struct sink *s, const struct span *span, struct err *err);
MUST_CHECK bool books_add_batch(struct sink *s, const struct batch *b, const struct span *span,
				struct err *err);

/* sink_copy.c: fields in COPY form. */
void sink_put_text(struct buf *out, const char *text); /* NULL: null */
void sink_put_int4(struct buf *out, int32_t n);
void sink_put_int8(struct buf *out, int64_t n); /* Never null, as is int4. */
/* sink_copy.c: a COPY's header, and its trailer, to s->chunk; its data on the way to the server. */
void sink_copy_header(struct sink *s);
/* Sends what there is, once it is worth a call. */
MUST_CHECK bool sink_copy_more(struct sink *s, struct err *err);
/* A field of any size, sent in pieces. */
MUST_CHECK bool sink_copy_bytes(struct sink *s, bool there, struct slice bytes, struct err *err);
/* Sends all, and the trailer. */
MUST_CHECK bool sink_copy_trailer(struct sink *s, struct err *err);
/* All rows of a COPY that has begun, but not yet its end; staged: with the columns of the stage. */
MUST_CHECK bool sink_copy_rows(struct sink *s, const struct batch *b, const struct batch_row *rows,
			       size_t n, bool staged, struct err *err);

/* sink_dead.c: the transaction's dead letters, if there are any. */
MUST_CHECK bool dead_write(struct sink *s, const struct batch *b, struct err *err);

/* way_singly.c: begins by prepared statements; finishes by them. */
MUST_CHECK bool singly_ready(struct sink *s, struct batch *b, struct err *err);
/* With the rows only if this is their way. */
enum begin_result singly_begin(struct sink *s, struct batch *b, struct err *err);
/* memingest.batches and COMMIT. */
MUST_CHECK bool singly_finish(struct sink *s, struct batch *b, struct err *err);
/*
 * Rows on top of what the transaction holds, in their order; their counts to the spans. After a
 * failure *passed says how many rows before it went well, for the server has named the next.
 */
MUST_CHECK bool singly_apply(struct sink *s, struct batch *b, const struct batch_row *rows,
			     size_t n, size_t *passed, struct err *err);
/* way_singly.c: whether the batch is so small that this is the cheapest way. */
bool singly_fits(const struct batch *b, bool direct);

/* way_direct.c: whether COPY into the table itself is worth trying; a batch was written; refused.
 */
bool direct_fits(const struct sink *s, const struct batch *b);
/* To be called once per batch that was committed. */
void direct_count(struct sink *s, const struct batch *b);
/* True: the way was this one, and is not taken for a while. */
bool direct_note_refusal(struct sink *s, const struct batch *b, const struct err *err);

/* judge.c: what to make of the refused rows; see there. */
struct trial {
	size_t tried, passed, refused; /* rows */
	size_t raised;                 /* of the refused: by a trigger's own code */
	size_t odd;                    /* by a code that says nothing about whose fault it is */
	bool second; /* others, refused before, wait for their messages: these had passed */
	enum pg_verdict verdict; /* of the first that was refused */
	struct err first;
};
/* Called at the first refusal, in the transaction. False: it is the table's trouble. */
MUST_CHECK bool judge_table(struct sink *s, struct batch *b, struct trial *t, struct err *err);
/* No statement for the rows can be prepared: the table's trouble, put in words. Always false. */
MUST_CHECK bool judge_unprepared(struct sink *s, struct batch *b, struct err *err);
/* Whether the guard lets so many events of the batch be refused. False with class CONFIG. */
MUST_CHECK bool judge_admits(struct sink *s, const struct batch *b, size_t refused,
			     struct err *err);
/* Called in the end. False: it is the table's trouble, or too many. */
MUST_CHECK bool judge_rows(struct sink *s, struct batch *b, const struct trial *t, struct err *err);
/*
 * Why the row was refused, for its dead letter; also puts the column into err if the server could
 * not read its value.
 */
enum dead_reason judge_reason(const struct sink *s, const struct batch *b,
			      const struct batch_row *row, struct err *err);

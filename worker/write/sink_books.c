/*
 * sink_books.c - the statements that a connection prepares.
 *
 *   the books    BEGIN, swap, batch, COMMIT, savepoints    one set for all streams
 *   a stream's   upsert, delete                            one row
 *                direct                                    is COPY into the table itself right?
 *
 * The SQL of memingest.offsets and memingest.batches stands here once, and the server plans it once
 * a connection. A batch that is copied names it in the text that it sends (EXECUTE swap (...)), one
 * that goes row by row binds the parameters in a pipe; both forms of a statement's parameters stand
 * side by side below.
 *
 * A statement is prepared at first use, before the transaction.
 *
 * Thread: the lane's.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "write/sink_parts.h"

static const struct {
	const char *name, *sql;
	size_t parameters;
} books[BOOK_COUNT] = {
	[BOOK_BEGIN] = {"begin", "BEGIN", 0},
	[BOOK_SWAP] = {"swap",
		       "UPDATE memingest.offsets SET next_offset = $5, updated_at = now(),"
		       " leader_epoch = greatest(leader_epoch, $7)"
		       " WHERE pipeline = $1 AND topic = $2"
		       " AND partition = $3 AND next_offset = $4 AND owner_epoch = $6",
		       7},
	[BOOK_BATCH] = {"batch",
			"INSERT INTO memingest.batches (pipeline, topic, partition, from_offset,"
			" to_offset, rows, merged, superseded, dead, skipped, owner_epoch, embed,"
			" committed_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11,"
			" $12::text::jsonb, clock_timestamp())",
			12},
	[BOOK_COMMIT] = {"commit", "COMMIT", 0},
	[BOOK_SAVE] = {"save", "SAVEPOINT judged", 0},
	[BOOK_BACK] = {"back", "ROLLBACK TO SAVEPOINT judged", 0},
	[BOOK_KEEP] = {"keep", "RELEASE SAVEPOINT judged", 0},
};

const char *row_name(const struct sink *s, const struct batch *b, enum row_statement statement)
{
	return sink_target(s, b)->names[statement];
}

/* ready is set only if the server has it. */
static bool prepare_once(struct sink *s, bool *ready, const char *name, const char *sql,
			 struct err *err)
{
	if (!*ready)
		*ready = pg_prepare(s->pg, name, sql, err);
	return *ready || err_wrap(err, "preparing %s", name);
}

bool books_prepare(struct sink *s, struct err *err)
{
	for (size_t i = 0; i < BOOK_COUNT; i++)
		if (!prepare_once(s, &s->books_ready[i], books[i].name, books[i].sql, err))
			return false;
	return true;
}

/* A stream's statements differ by its table, so each has its own name. */
bool row_prepare(struct sink *s, const struct batch *b, enum row_statement statement,
		 struct err *err)
{
	const struct mergesql *sql = b->stream->sql;
	const char *texts[ROW_COUNT] = {[ROW_UPSERT] = sql->upsert_row,
					[ROW_UPDATE] = sql->update_row,
					[ROW_INSERT] = sql->insert_row,
					[ROW_DELETE] = sql->delete_row,
					[ROW_DIRECT] = sql->check_direct};
	return prepare_once(s, &sink_target(s, b)->ready[statement], row_name(s, b, statement),
			    texts[statement], err);
}

/* --- in a text --- */

void books_put(struct sink *s, enum book book)
{
	buf_printf(&s->sql, "%s; ", books[book].sql);
}

/* The statement and the parameters that both begin with. */
static void put(struct sink *s, enum book book, const struct span *span)
{
	buf_printf(&s->sql, "EXECUTE %s(", books[book].name);
	pg_quote_literal(&s->sql, s->config->group_id);
	buf_puts(&s->sql, ", ");
	pg_quote_literal(&s->sql, span->topic);
	buf_printf(&s->sql, ", %d, %" PRId64 ", %" PRId64, span->partition, span->from, span->upto);
}

void books_put_swap(struct sink *s, const struct span *span)
{
	put(s, BOOK_SWAP, span);
	buf_printf(&s->sql, ", %" PRId64 ", %d); ", span->owner_epoch, span->leader_epoch);
}

/*
 * What the batch's vectors cost, once: with the first span of its first transaction. False: it
 * wanted none, or this is not the place.
 */
static bool put_embedding(const struct batch *b, const struct span *span, struct buf *out)
{
	const struct embedding *e = &b->embedding;
	if (e->wanted == 0 || b->first > 0 || span != &b->spans[0])
		return false;
	buf_printf(out,
		   "{\"texts\": %" PRIu32 ", \"cached\": %" PRIu32 ", \"requests\": %" PRIu32
		   ", \"tokens\": %" PRId64 ", \"spent_twice\": %" PRId64 ", \"seconds\": %.3f}",
		   e->wanted, e->cached, e->requests, e->tokens, e->spent_twice,
		   (double)e->waited_us / (double)US_PER_S);
	return true;
}

/* The form for a text: parameters written out. */
void books_put_batch(struct sink *s, const struct batch *b, const struct span *span)
{
	const struct tally *t = &span->now;
	struct buf embedding = {0};
	put(s, BOOK_BATCH, span);
	buf_printf(
		&s->sql,
		", %" PRIu64 ", %" PRIu64 ", %" PRIu64 ", %" PRIu64 ", %" PRIu64 ", %" PRId64 ", ",
		t->events, t->written, tally_superseded(t), t->dead, t->skipped, span->owner_epoch);
	if (put_embedding(b, span, &embedding))
		pg_quote_literal(&s->sql, buf_cstr(&embedding));
	else
		buf_puts(&s->sql, "NULL");
	buf_puts(&s->sql, "); ");
	buf_free(&embedding);
}

/* --- in a pipe --- */

/* The parameters that all of the books begin with, in COPY form. */
static void bind(struct sink *s, const struct span *span)
{
	s->chunk.len = 0;
	sink_put_text(&s->chunk, s->config->group_id);
	sink_put_text(&s->chunk, span->topic);
	sink_put_int4(&s->chunk, span->partition);
	sink_put_int8(&s->chunk, span->from);
	sink_put_int8(&s->chunk, span->upto);
}

bool books_add(struct sink *s, enum book book, struct err *err)
{
	return pg_pipe_add(s->pg, books[book].name, s->chunk.data, books[book].parameters, err);
}

bool books_add_swap(struct sink *s, const struct span *span, struct err *err)
{
	bind(s, span);
	sink_put_int8(&s->chunk, span->owner_epoch);
	sink_put_int4(&s->chunk, span->leader_epoch);
	return books_add(s, BOOK_SWAP, err);
}

/* The form for a pipe; the same order as in books_put_batch(). */
bool books_add_batch(struct sink *s, const struct batch *b, const struct span *span,
		     struct err *err)
{
	struct buf embedding = {0};
	bind(s, span);
	sink_put_int8(&s->chunk, (int64_t)span->now.events);
	sink_put_int8(&s->chunk, (int64_t)span->now.written);
	sink_put_int8(&s->chunk, (int64_t)tally_superseded(&span->now));
	sink_put_int8(&s->chunk, (int64_t)span->now.dead);
	sink_put_int8(&s->chunk, (int64_t)span->now.skipped);
	sink_put_int8(&s->chunk, span->owner_epoch);
	bool any = put_embedding(b, span, &embedding);
	sink_put_text(&s->chunk, any ? buf_cstr(&embedding) : NULL);
	buf_free(&embedding);
	return books_add(s, BOOK_BATCH, err);
}

/*
 * sink_books.c - the statements that a connection prepares.
 *
 *   the books    BEGIN, swap, batch, COMMIT    one set for all streams
 *   a stream's   upsert, delete                a row of a small batch
 *                types                         whether COPY into the table itself is right
 *
 * The SQL of memingest.offsets and memingest.batches stands here once, and the server plans it once
 * a connection. A batch that is copied names it in the text that it sends (EXECUTE swap (...)), a
 * small one binds the parameters in a pipe (sink_small.c); both forms of a statement's parameters
 * stand side by side below.
 *
 * A statement is prepared at first use, before the transaction.
 *
 * Thread: the lane's.
 */
#include <inttypes.h>
#include <stdio.h>

#include "write/sink_parts.h"

static const struct {
	const char *name, *sql;
	size_t parameters;
} books[BOOK_COUNT] = {
	[BOOK_BEGIN] = {"begin", "BEGIN", 0},
	[BOOK_SWAP] =
		{"swap",
		 "UPDATE memingest.offsets SET next_offset = $5, updated_at = now(),"
		 " leader_epoch = greatest(leader_epoch, $7) WHERE pipeline = $1 AND topic = $2"
		 " AND partition = $3 AND next_offset = $4 AND owner_epoch = $6",
		 7},
	[BOOK_BATCH] = {"batch",
			"INSERT INTO memingest.batches (pipeline, topic, partition, from_offset, "
			"to_offset, rows, merged,"
			" superseded, dead, owner_epoch, committed_at)"
			" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, clock_timestamp())",
			10},
	[BOOK_COMMIT] = {"commit", "COMMIT", 0},
};

const char *row_name(struct sink *s, const struct batch *b, enum row_statement statement)
{
	static const char *const names[ROW_COUNT] = {
		[ROW_UPSERT] = "upsert", [ROW_DELETE] = "delete", [ROW_TYPES] = "types"};
	snprintf(s->row_name, sizeof(s->row_name), "%s_%zu", names[statement], b->stream->index);
	return s->row_name;
}

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

bool row_prepare(struct sink *s, const struct batch *b, enum row_statement statement,
		 struct err *err)
{
	const struct mergesql *sql = b->stream->sql;
	const char *texts[ROW_COUNT] = {[ROW_UPSERT] = sql->upsert_row,
					[ROW_DELETE] = sql->delete_row,
					[ROW_TYPES] = sql->check_types};
	return prepare_once(s, &s->rows_ready[b->stream->index][statement],
			    row_name(s, b, statement), texts[statement], err);
}

/* --- in a text --- */

/* The statement and the parameters that both begin with. */
static void say(struct sink *s, enum book book, const struct span *span)
{
	buf_printf(&s->sql, "EXECUTE %s(", books[book].name);
	pg_quote_literal(&s->sql, s->config->group_id);
	buf_puts(&s->sql, ", ");
	pg_quote_literal(&s->sql, span->topic);
	buf_printf(&s->sql, ", %d, %" PRId64 ", %" PRId64, span->partition, span->from, span->to);
}

void books_say_swap(struct sink *s, const struct span *span)
{
	say(s, BOOK_SWAP, span);
	buf_printf(&s->sql, ", %" PRId64 ", %d); ", span->owner_epoch, span->leader_epoch);
}

void books_say_batch(struct sink *s, const struct span *span)
{
	say(s, BOOK_BATCH, span);
	buf_printf(&s->sql, ", %u, %u, %u, %u, %" PRId64 "); ", span->events, span->written,
		   span_superseded(span), span->dead, span->owner_epoch);
}

/* --- in a pipe --- */

static void bind(struct sink *s, const struct span *span)
{
	s->chunk.len = 0;
	sink_put_text(&s->chunk, s->config->group_id);
	sink_put_text(&s->chunk, span->topic);
	sink_put_int4(&s->chunk, span->partition);
	sink_put_int8(&s->chunk, span->from);
	sink_put_int8(&s->chunk, span->to);
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

bool books_add_batch(struct sink *s, const struct span *span, struct err *err)
{
	bind(s, span);
	sink_put_int8(&s->chunk, span->events);
	sink_put_int8(&s->chunk, span->written);
	sink_put_int8(&s->chunk, span_superseded(span));
	sink_put_int8(&s->chunk, span->dead);
	sink_put_int8(&s->chunk, span->owner_epoch);
	return books_add(s, BOOK_BATCH, err);
}

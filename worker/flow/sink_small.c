/*
 * sink_small.c - a small batch: the same transaction by prepared statements, a row at a time.
 *
 *   BEGIN | swap per span | upsert or delete per row                      --> rows of each      one wait
 *   INSERT INTO memingest.batches per span | COMMIT                       --> committed         one wait
 *
 * Database CPU of a batch of one event, an update: 220 to 240 us here, 810 to 970 by the staging table, where five statements are
 * parsed and planned and files are cut to empty it; of 64 events 1,400 against 1,780, of 128 as much. A new key: 200 to 240 us
 * against 370 to 560. Hence SMALL_NEW and SMALL_MERGED. Each statement tells its own row count, so nothing has to be asked for the counters.
 *
 * The invariants are those of sink.c: what moved no offsets row is seen before the COMMIT goes out, rows go in the order of the
 * rounds and of the keys, and the COMMIT's answer may be lost like any other.
 *
 * Memory: the sink's chunk buffer holds the parameters. Statements are prepared once a connection, at first use.
 *
 * Thread: the lane's.
 */
#include <stdio.h>

#include "flow/sink_parts.h"

/* Up to how many rows this is the cheaper way: than COPY into the table itself, than the staging table. */
#define SMALL_NEW 8
#define SMALL_MERGED 64

enum { BOOK_BEGIN, BOOK_SWAP, BOOK_BATCH, BOOK_COMMIT, BOOK_COUNT };

static const struct {
	const char *name, *sql;
	size_t parameters;
} books[BOOK_COUNT] = {
	[BOOK_BEGIN] = {"begin", "BEGIN", 0},
	[BOOK_SWAP] = {"swap",
		       "UPDATE memingest.offsets SET next_offset = $5, updated_at = now(),"
		       " leader_epoch = greatest(leader_epoch, $7) WHERE pipeline = $1 AND topic = $2"
		       " AND partition = $3 AND next_offset = $4 AND owner_epoch = $6",
		       7},
	[BOOK_BATCH] =
		{"batch",
		 "INSERT INTO memingest.batches (pipeline, topic, partition, from_offset, to_offset, rows, merged,"
		 " superseded, dead, owner_epoch, committed_at)"
		 " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, clock_timestamp())",
		 10},
	[BOOK_COMMIT] = {"commit", "COMMIT", 0},
};

bool small_fits(const struct batch *b, bool direct)
{
	return b->narranged > 0 && b->narranged <= (direct ? SMALL_NEW : SMALL_MERGED) &&
	       b->stream->table->ncolumns <= PG_MAX_FIELDS;
}

/* --- statements --- */

static bool prepare_once(struct sink *s, bool *done, const char *name, const char *sql, struct err *err)
{
	if (!*done)
		*done = pg_prepare(s->pg, name, sql, err);
	return *done || err_wrap(err, "preparing %s", name);
}

bool small_prepare(struct sink *s, const struct batch *b, struct err *err)
{
	struct small *small = &s->smalls[b->stream->index];
	for (size_t i = 0; i < BOOK_COUNT; i++)
		if (!prepare_once(s, &s->books_ready[i], books[i].name, books[i].sql, err))
			return false;
	snprintf(small->upsert, sizeof(small->upsert), "upsert_%zu", b->stream->index);
	snprintf(small->delete, sizeof(small->delete), "delete_%zu", b->stream->index);
	return prepare_once(s, &small->upsert_ready, small->upsert, b->stream->sql->upsert_row, err) &&
	       prepare_once(s, &small->delete_ready, small->delete, b->stream->sql->delete_row, err);
}

bool small_types(struct sink *s, const struct batch *b, struct err *err)
{
	struct small *small = &s->smalls[b->stream->index];
	snprintf(small->types, sizeof(small->types), "types_%zu", b->stream->index);
	return prepare_once(s, &small->types_ready, small->types, b->stream->sql->check_types, err);
}

static bool add_book(struct sink *s, size_t book, struct err *err)
{
	return pg_pipe_add(s->pg, books[book].name, s->chunk.data, books[book].parameters, err);
}

/* The first five parameters of the swap and of the batch's row. */
static void put_range(struct sink *s, const struct span *span)
{
	s->chunk.len = 0;
	sink_put_text(&s->chunk, s->config->group_id);
	sink_put_text(&s->chunk, span->topic);
	sink_put_int4(&s->chunk, span->partition);
	sink_put_int8(&s->chunk, span->from);
	sink_put_int8(&s->chunk, span->to);
}

static bool add_swap(struct sink *s, const struct span *span, struct err *err)
{
	put_range(s, span);
	sink_put_int8(&s->chunk, span->owner_epoch);
	sink_put_int4(&s->chunk, span->leader_epoch);
	return add_book(s, BOOK_SWAP, err);
}

static bool add_batch(struct sink *s, const struct span *span, struct err *err)
{
	put_range(s, span);
	sink_put_int8(&s->chunk, span->events);
	sink_put_int8(&s->chunk, span->written);
	sink_put_int8(&s->chunk, span->events - span->dead - span->written);
	sink_put_int8(&s->chunk, span->dead);
	sink_put_int8(&s->chunk, span->owner_epoch);
	return add_book(s, BOOK_BATCH, err);
}

/* Of one field with its length. */
static size_t field_size(const uint8_t *field)
{
	uint32_t len = get_be32(field);
	return 4 + (len == UINT32_MAX ? 0 : len);
}

/* A delete is told by its key, which is the row's beginning, and by its version. */
static bool add_delete(struct sink *s, const struct batch *b, const struct batch_row *row, struct err *err)
{
	const struct table *t = b->stream->table;
	size_t version = b->stream->sql->delete_version;
	const uint8_t *field = row->data.data;
	s->chunk.len = 0;
	buf_put(&s->chunk, row->data.data, row->key_len);
	for (size_t i = 0; version && i < version; i++)
		field += field_size(field);
	if (version)
		buf_put(&s->chunk, field, field_size(field));
	return pg_pipe_add(s->pg, s->smalls[b->stream->index].delete, s->chunk.data, t->nkeys + (version ? 1 : 0), err);
}

static bool add_row(struct sink *s, const struct batch *b, const struct batch_row *row, struct err *err)
{
	if (row->op == RECORD_DELETE)
		return add_delete(s, b, row, err);
	return pg_pipe_add(s->pg, s->smalls[b->stream->index].upsert, row->data.data, b->stream->table->ncolumns, err);
}

/* --- the transaction --- */

static bool add_all(struct sink *s, struct batch *b, struct span *const *spans, size_t n, struct err *err)
{
	bool ok = add_book(s, BOOK_BEGIN, err);
	for (size_t i = 0; ok && i < n; i++)
		ok = add_swap(s, spans[i], err);
	for (size_t i = 0; ok && i < b->narranged; i++)
		ok = add_row(s, b, &b->arranged[i], err);
	return ok;
}

/* The counts of the rows' own statements. */
static void count_answers(struct sink *s, struct batch *b, const int64_t *answers)
{
	for (size_t i = 0; i < b->narranged; i++) {
		const struct batch_row *row = &b->arranged[i];
		b->spans[row->span].written += (uint32_t)answers[i];
		s->deleted += row->op == RECORD_DELETE ? (uint64_t)answers[i] : 0;
	}
}

enum begun small_begin(struct sink *s, struct batch *b, struct span *const *spans, size_t n, struct err *err)
{
	size_t count = 1 + n + b->narranged;
	int64_t *answers = arena_alloc(b->fold_arena, count * sizeof(*answers)), swapped = 0;
	s->phase = "merge";
	if (!add_all(s, b, spans, n, err) || !pg_pipe_end(s->pg, answers, count, err))
		return BEGUN_FAILED;
	for (size_t i = 0; i < n; i++)
		swapped += answers[1 + i];
	if (swapped != (int64_t)n)
		return BEGUN_FENCED;
	count_answers(s, b, answers + 1 + n);
	return BEGUN;
}

bool small_commit(struct sink *s, struct batch *b, struct span *const *spans, size_t n, struct err *err)
{
	int64_t *answers = arena_alloc(b->fold_arena, (n + 1) * sizeof(*answers));
	size_t count = 0;
	bool ok = true;
	for (size_t i = 0; ok && i < n; i++)
		if (spans[i]->to > spans[i]->from && (count++, true))
			ok = add_batch(s, spans[i], err);
	s->chunk.len = 0;
	if (!ok || !add_book(s, BOOK_COMMIT, err))
		return false;
	return pg_pipe_end(s->pg, answers, count + 1, err);
}

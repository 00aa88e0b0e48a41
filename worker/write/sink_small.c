/*
 * sink_small.c - a small batch: the same transaction by prepared statements, a row at a time.
 *
 *   BEGIN | swap per span | upsert or delete per row                     --> rows of each  one wait
 *   INSERT INTO memingest.batches per span | COMMIT                      --> committed     one wait
 *
 * Database CPU of a batch here, in us, a row at a time against the other way:
 *
 *   updates     1: 220 to 240, 810 to 970          16: 560 to 620, 910 to 1,000
 *              64: 1,590 to 1,810, 1,650 to 2,070  128: 2,880, 2,590
 *   new keys    4: 310 to 320, 330 to 420           8: 440 to 470, 370 to 460
 *              16: 590 to 680, 430 to 490
 *
 * The staging table costs a plan for each statement and files that are cut to empty it. Hence
 * SMALL_NEW and SMALL_MERGED. Each statement tells its own row count, so nothing has to be asked
 * for the counters.
 *
 * The invariants are those of sink.c: what moved no offsets row is seen before the COMMIT goes out,
 * rows go in the order of the rounds and of the keys, and the COMMIT's answer may be lost like any
 * other.
 *
 * Memory: the sink's chunk buffer holds the parameters.
 *
 * Thread: the lane's.
 */
#include "write/sink_parts.h"

/*
 * Up to how many rows this is the cheaper way: than COPY into the table itself, than the staging
 * table.
 */
#define SMALL_NEW 8
#define SMALL_MERGED 64

bool small_fits(const struct batch *b, bool direct)
{
	return b->narranged > 0 && b->narranged <= (direct ? SMALL_NEW : SMALL_MERGED) &&
	       b->stream->table->ncolumns <= PG_MAX_FIELDS;
}

/* --- rows --- */

/* Of one field with its length. */
static size_t field_size(const uint8_t *field)
{
	uint32_t len = get_be32(field);
	return 4 + (len == UINT32_MAX ? 0 : len);
}

/* A delete is told by its key, which is the row's beginning, and by its version. */
static bool add_delete(struct sink *s, const struct batch *b, const struct batch_row *row,
		       struct err *err)
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
	return pg_pipe_add(s->pg, row_name(s, b, ROW_DELETE), s->chunk.data,
			   t->nkeys + (version ? 1 : 0), err);
}

static bool add_row(struct sink *s, const struct batch *b, const struct batch_row *row,
		    struct err *err)
{
	if (row->op == RECORD_DELETE)
		return add_delete(s, b, row, err);
	return pg_pipe_add(s->pg, row_name(s, b, ROW_UPSERT), row->data.data,
			   b->stream->table->ncolumns, err);
}

/* --- the transaction --- */

static bool add_all(struct sink *s, struct batch *b, struct span *const *spans, size_t n,
		    struct err *err)
{
	bool ok = books_add(s, BOOK_BEGIN, err);
	for (size_t i = 0; ok && i < n; i++)
		ok = books_add_swap(s, spans[i], err);
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

enum begun small_begin(struct sink *s, struct batch *b, struct span *const *spans, size_t n,
		       struct err *err)
{
	size_t count = 1 + n + b->narranged;
	int64_t *answers = arena_alloc(b->fold_arena, count * sizeof(*answers));
	s->phase = "merge";
	if (!add_all(s, b, spans, n, err) || !pg_pipe_end(s->pg, answers, count, err))
		return BEGUN_FAILED;
	if (!sink_swapped(answers + 1, n))
		return BEGUN_FENCED;
	count_answers(s, b, answers + 1 + n);
	return BEGUN;
}

bool small_commit(struct sink *s, struct batch *b, struct span *const *spans, size_t n,
		  struct err *err)
{
	int64_t *answers = arena_alloc(b->fold_arena, (n + 1) * sizeof(*answers));
	size_t count = 0;
	bool ok = true;
	for (size_t i = 0; ok && i < n; i++)
		if (spans[i]->to > spans[i]->from && (count++, true))
			ok = books_add_batch(s, spans[i], err);
	return ok && books_add(s, BOOK_COMMIT, err) && pg_pipe_end(s->pg, answers, count + 1, err);
}

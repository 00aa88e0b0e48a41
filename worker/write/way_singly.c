/*
 * way_singly.c - a small batch: the same transaction by prepared statements, a row at a time.
 *
 *   BEGIN | swap per span | upsert or delete per row          --> rows of each      one wait
 *   INSERT INTO memingest.batches per span | COMMIT           --> committed         one wait
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
 * Rows go in the order of the rounds and of the keys. Larger numbers of rows, for other ways, go in
 * pieces of one round trip each (singly_apply()).
 *
 * The invariants are those of sink.c: what moved no offsets row is seen before the COMMIT goes out,
 * and the COMMIT's answer may be lost like any other.
 *
 * Memory: the sink's chunk buffer holds the parameters, libpq what is on its way.
 *
 * Thread: the lane's.
 */
#include "base/clock.h"
#include "write/sink_parts.h"

/* Up to how many rows this is the cheaper way: than COPY into the table itself, than staging. */
#define SMALL_NEW 8
#define SMALL_MERGED 64
/* One round trip of singly_apply(). */
#define PIECE_ROWS 256
#define PIECE_BYTES (size_t)(512 * 1024)

/* Measured: see the essay. */
bool singly_fits(const struct batch *b, bool direct)
{
	return b->narranged > 0 && b->narranged <= (direct ? SMALL_NEW : SMALL_MERGED) &&
	       b->nunited == 0 && b->stream->table->ncolumns <= PG_MAX_FIELDS;
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

/* The statements that a row is, at most two: the judge shows the table what would land. */
static size_t statements_of(const struct sink *s, const struct batch *b,
			    const struct batch_row *row, enum row_statement out[2])
{
	size_t n = 0;
	if (row->op == RECORD_DELETE || s->way != &way_judged) {
		out[n++] = row->op == RECORD_DELETE ? ROW_DELETE : ROW_UPSERT;
		return n;
	}
	if (b->stream->sql->update_row)
		out[n++] = ROW_UPDATE;
	out[n++] = ROW_INSERT;
	return n;
}

/* Returns how many statements that are, 0 after a failure. */
static size_t add_row(struct sink *s, const struct batch *b, const struct batch_row *row,
		      struct err *err)
{
	enum row_statement statements[2];
	size_t n = statements_of(s, b, row, statements);
	if (row->op == RECORD_DELETE)
		return add_delete(s, b, row, err) ? n : 0;
	for (size_t i = 0; i < n; i++)
		if (!pg_pipe_add(s->pg, row_name(s, b, statements[i]), row->data.data,
				 b->stream->table->ncolumns, err))
			return 0;
	return n;
}

/* Returns how many statements that are, 0 after a failure. */
static size_t add_rows(struct sink *s, const struct batch *b, const struct batch_row *rows,
		       size_t n, struct err *err)
{
	size_t total = 0, more = 1;
	for (size_t i = 0; i < n && more > 0; i++)
		total += more = add_row(s, b, &rows[i], err);
	return more > 0 ? total : 0;
}

/* The counts of the rows' own statements. Returns of how many rows there are all answers. */
static size_t count_answers(struct sink *s, struct batch *b, const struct batch_row *rows, size_t n,
			    const int64_t *answers, size_t nanswers)
{
	enum row_statement ignored[2];
	for (size_t i = 0; i < n; i++) {
		size_t count = statements_of(s, b, &rows[i], ignored);
		if (count > nanswers)
			return i;
		for (size_t j = 0; j < count; j++) {
			b->spans[rows[i].span].now.written += (uint64_t)*answers;
			s->deleted += rows[i].op == RECORD_DELETE ? (uint64_t)*answers : 0;
			answers++;
		}
		nanswers -= count;
	}
	return n;
}

/* As many rows as one round trip may have. */
static size_t piece(const struct batch_row *rows, size_t n)
{
	size_t i = 0, bytes = 0;
	while (i < MIN(n, (size_t)PIECE_ROWS) && bytes < PIECE_BYTES)
		bytes += rows[i++].data.len;
	return i;
}

/* One pipe for each piece. */
bool singly_apply(struct sink *s, struct batch *b, const struct batch_row *rows, size_t n,
		  size_t *passed, struct err *err)
{
	int64_t answers[2 * PIECE_ROWS] = {0};
	bool ok = true;
	for (*passed = 0; ok && *passed < n;) {
		const struct batch_row *first = rows + *passed;
		size_t k = piece(first, n - *passed), total = add_rows(s, b, first, k, err);
		if (total == 0)
			return false;
		ok = pg_pipe_end(s->pg, answers, total, err);
		*passed += count_answers(s, b, first, k, answers, ok ? total : pg_passed(s->pg));
	}
	return ok;
}

/* --- the transaction --- */

/* The judge's rows need other statements: see statements_of(). */
bool singly_ready(struct sink *s, struct batch *b, struct err *err)
{
	const struct mergesql *sql = b->stream->sql;
	if (!row_prepare(s, b, ROW_DELETE, err))
		return false;
	if (s->way != &way_judged)
		return row_prepare(s, b, ROW_UPSERT, err);
	return (!sql->update_row || row_prepare(s, b, ROW_UPDATE, err)) &&
	       row_prepare(s, b, ROW_INSERT, err);
}

/* BEGIN and the swaps, to the pipe. */
static bool add_begin(struct sink *s, struct err *err)
{
	bool ok = books_add(s, BOOK_BEGIN, err);
	for (size_t i = 0; ok && i < s->nspans; i++)
		ok = books_add_swap(s, s->spans[i], err);
	return ok;
}

/* With the rows, if this is their way: then one wait is enough. */
enum begin_result singly_begin(struct sink *s, struct batch *b, struct err *err)
{
	bool with_rows = s->way == &way_singly;
	size_t n = with_rows ? b->narranged : 0, count = 2 + s->nspans + n;
	int64_t *answers = arena_calloc(b->fold_arena, count, sizeof(*answers));
	s->phase = with_rows ? "merge" : "begin";
	if (!add_begin(s, err))
		return BEGIN_FAILED;
	if (n > 0 && !add_rows(s, b, b->arranged, n, err))
		return BEGIN_FAILED;
	if (!pg_pipe_end(s->pg, answers, SWAPS_AT + s->nspans + n, err)) {
		s->in_books = pg_passed(s->pg) < SWAPS_AT + s->nspans;
		return BEGIN_FAILED;
	}
	if (!sink_swapped(s, answers + SWAPS_AT))
		return BEGIN_FENCED;
	count_answers(s, b, b->arranged, n, answers + SWAPS_AT + s->nspans, n);
	return BEGIN_OK;
}

/* The rows went with the first text. */
static bool rows(struct sink *s, struct batch *b, struct err *err)
{
	(void)s;
	(void)b;
	(void)err;
	return true;
}

/* A span without offsets has no row in memingest.batches. */
bool singly_finish(struct sink *s, struct batch *b, struct err *err)
{
	int64_t start = clock_mono_us();
	int64_t *answers = arena_alloc(b->fold_arena, (s->nspans + 1) * sizeof(*answers));
	size_t count = 0;
	bool ok = true;
	if (!sink_commit_begins(s, b, err))
		return false;
	for (size_t i = 0; ok && i < s->nspans; i++) {
		if (s->spans[i]->upto == s->spans[i]->from)
			continue;
		ok = books_add_batch(s, b, s->spans[i], err);
		count++;
	}
	ok = ok && books_add(s, BOOK_COMMIT, err) && pg_pipe_end(s->pg, answers, count + 1, err);
	return sink_commit_answered(s, b, ok, start, err) || err_wrap(err, "commit");
}

const struct way way_singly = {"singly", singly_ready, singly_begin, rows, singly_finish};

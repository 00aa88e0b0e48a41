/*
 * way_judged.c - event by event, in the order in which they came, each with its own verdict.
 *
 * For a batch that PostgreSQL refused on another way, and for every batch of a table whose rows
 * depend on each other: what lands is what lands if each event is applied alone, in offset order.
 *
 *   BEGIN; swap; LOCK TABLE
 *   [ SAVEPOINT | row row row row ] passes            [ 128 rows in one round trip ]
 *   [ SAVEPOINT | row row BAD ... ] is taken back     the server names the row:
 *       [ SAVEPOINT | row row ]     passes again          those before it
 *       [ SAVEPOINT | BAD ]         refused alone         and the culprit itself
 *   [ SAVEPOINT | row ]  passes;  [ row row ]  [ row row row row ]  ...
 *   INSERT; COMMIT, if nothing was refused
 *
 * So a culprit costs three round trips and at most two pieces of rows, which get smaller where
 * culprits are many. Constraints that are deferred speak up at once (SET CONSTRAINTS), or they
 * would do so at COMMIT, when it is too late to tell the row. The lock is one that any writer
 * takes; it outlives the savepoints, so that no ALTER TABLE or DROP TRIGGER comes between two rows,
 * and one is refused for what the next is not asked.
 *
 * If rows were refused, judge.c says whose fault that is. If theirs, the transaction is rolled
 * back, their messages are read again for the dead letters, with no transaction open, and the batch
 * comes back without them.
 *
 * Thread: the lane's. Memory: refusals are the batch's.
 */
#include "base/clock.h"
#include "write/sink_parts.h"

#define PIECE_MOST 128

/* Deferred constraints speak at once, and the table stays as it is until the end. */
static enum begin_result begin(struct sink *s, struct batch *b, struct err *err)
{
	enum begin_result result = singly_begin(s, b, err);
	if (result != BEGIN_OK)
		return result;
	s->sql.len = 0;
	buf_printf(&s->sql, "SET CONSTRAINTS ALL IMMEDIATE; %s", b->stream->sql->lock_table);
	return pg_exec(s->pg, buf_cstr(&s->sql), NULL, 0, err) ? BEGIN_OK : BEGIN_FAILED;
}

/* One statement of the books in a round trip of its own. */
static bool book(struct sink *s, enum book book, struct err *err)
{
	int64_t answer;
	return books_add(s, book, err) && pg_pipe_end(s->pg, &answer, 1, err);
}

/* A failure that is no verdict on a row: the session, a lock, the server. */
static bool is_no_verdict(struct sink *s, const struct err *err)
{
	return !pg_ok(s->pg) || err->class == ERR_RETRY;
}

/* What rows wrote is counted piece by piece; of one that is taken back nothing counts. */
static void save_counts(const struct batch *b, uint64_t *counts, bool restore)
{
	for (size_t i = 0; i < b->nspans; i++) {
		if (restore)
			b->spans[i].now.written = counts[i];
		else
			counts[i] = b->spans[i].now.written;
	}
}

/*
 * Rows between a savepoint and its release. *passed: how many rows went well before one was
 * refused; n if none was. False: it was no verdict.
 */
static bool try_piece(struct sink *s, struct batch *b, const struct batch_row *rows, size_t n,
		      size_t *passed, struct err *err)
{
	uint64_t *counts = arena_alloc(b->fold_arena, b->nspans * sizeof(*counts));
	uint64_t deleted = s->deleted;
	struct err ignored;
	save_counts(b, counts, false);
	if (!book(s, BOOK_SAVE, err))
		return false;
	if (singly_apply(s, b, rows, n, passed, err))
		return book(s, BOOK_KEEP, err);
	save_counts(b, counts, true);
	s->deleted = deleted;
	return !is_no_verdict(s, err) && book(s, BOOK_BACK, &ignored);
}

/* The row is refused alone. False: that is not its fault, or nothing more can be done. */
static bool refuse_row(struct sink *s, struct batch *b, const struct batch_row *row,
		       struct trial *t, struct err *err)
{
	enum pg_verdict verdict = pg_last_verdict(s->pg);
	enum dead_reason reason = judge_reason(s, b, row, err);
	struct err over;
	if (t->second)
		return err_set(err, ERR_RETRY, "a row that passed a moment ago is refused now");
	if (t->refused == 0) {
		t->first = *err;
		t->verdict = verdict;
		if (!judge_table(s, b, t, err))
			return false;
	}
	t->refused++;
	t->raised += verdict == PG_RAISED;
	t->odd += verdict != PG_RAISED && verdict != PG_ROW;
	batch_refuse(b, row->event, reason, err->text);
	/* More than the guard admits: no need to know how many. */
	return judge_admits(s, b, t->refused, &over) || judge_rows(s, b, t, err);
}

/* Pieces grow while all goes well and shrink around a culprit. */
static bool rows(struct sink *s, struct batch *b, struct err *err)
{
	struct trial t = {.second = b->nburied < b->nrefused};
	size_t step = PIECE_MOST, passed;
	int64_t start = clock_mono_us();
	s->phase = "judge";
	for (size_t i = 0; i < b->narranged;) {
		size_t n = MIN(step, b->narranged - i);
		if (!try_piece(s, b, b->arranged + i, n, &passed, err))
			return false;
		if (passed == n) {
			t.tried += n;
			t.passed += n;
			i += n;
			step = MIN(2 * n, (size_t)PIECE_MOST);
		} else if (passed > 0) {
			step = passed;
		} else {
			if (!refuse_row(s, b, &b->arranged[i], &t, err))
				return false;
			t.tried++;
			i++;
			step = 1;
		}
	}
	sink_took(b, METRIC_MERGE_SECONDS, STAGE_MERGE, clock_mono_us() - start);
	return t.refused == 0 || judge_rows(s, b, &t, err);
}

const struct way way_judged = {"judged", singly_ready, begin, rows, singly_finish};

/*
 * way_staged.c - by COPY into the staging table, and from there into the table.
 *
 *   BEGIN; swap; COPY stage; merge    -->  ready, rows of the swap     three waits
 *   rows, end                         -->  rows of the merge
 *   further rounds (nearly never)
 *   INSERT; COMMIT                    -->  committed
 *
 * Deletes come first, so with any the merge of the rest is not in the text of the COPY. The merge's
 * row count has to be known before memingest.batches is written, and so costs a wait of its own.
 *
 * Counters per span: where every row was written they are known without asking; else one query
 * tells which partition's rows wrote nothing.
 *
 * A later round of few rows goes row by row: a key that comes thousands of times, with a rule that
 * can not be folded, makes thousands of rounds of one row.
 *
 * Thread: the lane's.
 */
#include <assert.h>

#include "base/clock.h"
#include "write/sink_parts.h"

#define SINGLY_MOST 64 /* rows of a later round: see way_singly.c for what they cost */

/* Further rounds may go row by row, so that is prepared as well. */
static bool ready(struct sink *s, struct batch *b, struct err *err)
{
	struct target *t = sink_target(s, b);
	if (!t->staged && !pg_exec(s->pg, b->stream->sql->create_stage, NULL, 0, err))
		return err_wrap(err, "staging table of stream %s", b->stream->config->name);
	t->staged = true;
	return b->nrounds < 2 || singly_ready(s, b, err);
}

/* COPY, and what follows it in the same text. */
static void put_round(struct sink *s, const struct batch *b, const struct batch_row *rows, size_t n)
{
	const struct mergesql *sql = b->stream->sql;
	buf_printf(&s->sql, "%s; ", sql->copy_stage);
	if (b->nunited > 0)
		buf_printf(&s->sql, "%s; ", sql->check_united);
	if (sink_count_deletes(rows, n) == 0)
		buf_puts(&s->sql, sql->merge_upsert);
}

/* Without rows there is nothing to copy: the swap alone. */
static enum begin_result begin(struct sink *s, struct batch *b, struct err *err)
{
	int64_t *affected = arena_calloc(b->fold_arena, s->nspans + 2, sizeof(*affected));
	bool copy = b->nrounds > 0;
	sink_put_begin(s);
	if (copy)
		put_round(s, b, b->arranged, b->rounds[1]);
	const char *sql = buf_cstr(&s->sql);
	bool ok = copy ? pg_copy_begin(s->pg, sql, affected, SWAPS_AT + s->nspans, err)
		       : pg_exec(s->pg, sql, affected, SWAPS_AT + s->nspans, err);
	if (!ok) {
		s->in_books = pg_passed(s->pg) < SWAPS_AT + s->nspans;
		return BEGIN_FAILED;
	}
	if (sink_swapped(s, affected + SWAPS_AT))
		return BEGIN_OK;
	return copy && !pg_copy_abort(s->pg, "fenced", err) ? BEGIN_FAILED : BEGIN_FENCED;
}

/* Adds a query's (_part, count) rows to the spans, with a sign. */
static bool count_parts(struct sink *s, struct batch *b, const char *sql, int sign, struct err *err)
{
	struct pg_rows *rows = pg_query(s->pg, sql, NULL, 0, err);
	if (!rows)
		return false;
	for (size_t i = 0; i < pg_rows_count(rows); i++) {
		size_t part = (size_t)pg_int(rows, i, 0);
		assert(part < b->nspans);
		b->spans[part].now.written += (uint64_t)(sign * pg_int(rows, i, 1));
	}
	pg_rows_free(rows);
	return true;
}

/* In all spans so far. */
static uint64_t rows_written(const struct batch *b)
{
	uint64_t n = 0;
	for (size_t i = 0; i < b->nspans; i++)
		n += b->spans[i].now.written;
	return n;
}

/* Deletes come first and are counted by themselves. */
static bool merge_with_deletes(struct sink *s, struct batch *b, size_t deletes, size_t n,
			       int64_t *written, struct err *err)
{
	uint64_t before = rows_written(b);
	if (!count_parts(s, b, b->stream->sql->merge_delete, 1, err))
		return false;
	s->deleted += rows_written(b) - before;
	return deletes == n || pg_exec(s->pg, b->stream->sql->merge_upsert, written, 1, err);
}

/* The COPY into the staging table has begun: rows go there, and from there into the table. */
static bool run_round(struct sink *s, struct batch *b, const struct batch_row *rows, size_t n,
		      struct err *err)
{
	int64_t start = clock_mono_us(), answers[3] = {0, 0, 0};
	size_t deletes = sink_count_deletes(rows, n), merge = b->nunited > 0 ? 2 : 1;
	s->phase = "copy";
	if (!sink_copy_rows(s, b, rows, n, true, err))
		return false;
	int64_t copied = clock_mono_us();
	s->phase = "merge";
	if (!sink_end_copy(s, answers, err) ||
	    (deletes > 0 && !merge_with_deletes(s, b, deletes, n, &answers[merge], err)))
		return false;
	sink_count_upserts(b, rows, n);
	if (answers[merge] != (int64_t)(n - deletes) &&
	    !count_parts(s, b, b->stream->sql->count_skipped, -1, err))
		return false;
	sink_took(b, METRIC_COPY_SECONDS, STAGE_COPY, copied - start);
	sink_took(b, METRIC_MERGE_SECONDS, STAGE_MERGE, clock_mono_us() - copied);
	return true;
}

/* A round of its own: empties the staging table first. */
static bool stage_round(struct sink *s, struct batch *b, const struct batch_row *rows, size_t n,
			struct err *err)
{
	s->sql.len = 0;
	buf_printf(&s->sql, "%s; ", b->stream->sql->clear_stage);
	put_round(s, b, rows, n);
	return pg_copy_begin(s->pg, buf_cstr(&s->sql), NULL, 0, err) &&
	       run_round(s, b, rows, n, err);
}

/* Consecutive rounds of few rows share the way there. Returns the round behind them. */
static size_t few_rows(const struct batch *b, size_t round)
{
	while (round < b->nrounds && b->rounds[round + 1] - b->rounds[round] <= SINGLY_MOST)
		round++;
	return round;
}

/* The first round's COPY has begun in the text of BEGIN. */
static bool rows(struct sink *s, struct batch *b, struct err *err)
{
	size_t passed;
	if (!run_round(s, b, b->arranged, b->rounds[1], err))
		return false;
	for (size_t r = 1; r < b->nrounds;) {
		size_t end = few_rows(b, r);
		bool singly = end > r;
		end = singly ? end : r + 1;
		const struct batch_row *first = b->arranged + b->rounds[r];
		size_t n = b->rounds[end] - b->rounds[r];
		if (singly ? !singly_apply(s, b, first, n, &passed, err)
			   : !stage_round(s, b, first, n, err))
			return false;
		r = end;
	}
	return true;
}

/* The rows of memingest.batches and COMMIT, in one text. */
static bool finish(struct sink *s, struct batch *b, struct err *err)
{
	int64_t start = clock_mono_us();
	if (!sink_commit_begins(s, b, err))
		return false;
	s->sql.len = 0;
	sink_put_commit(s, b);
	bool ok = pg_exec(s->pg, buf_cstr(&s->sql), NULL, 0, err);
	return sink_commit_answered(s, b, ok, start, err) || err_wrap(err, "commit");
}

const struct way way_staged = {"staged", ready, begin, rows, finish};

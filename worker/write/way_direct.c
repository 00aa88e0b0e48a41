/*
 * way_direct.c - straight into the table by COPY.
 *
 *   BEGIN; swap; lock; may it be so?; COPY; INSERT; COMMIT   -->  ready, rows of the swap   2 waits
 *   rows, end                                                -->  committed
 *
 * COPY inserts in bulk and costs PostgreSQL half of what staging and merging cost, but it only
 * knows new keys. A key that is there already raises 23505; the transaction is rolled back, the
 * batch goes another way, and the next try waits for 2, 4, ... 64 batches. A stream of new keys
 * (the first load, trajectories) so takes the short way nearly always, a stream of updates pays for
 * one try in 64.
 *
 * COPY in binary form believes that the columns have the types that are sent, and triggers may drop
 * rows uncounted. So both are looked at in the same text, behind a lock that keeps them as they
 * are.
 *
 * The server goes past a COPY only when its end has been sent, and that is sent only after the swap
 * has been seen to move every row; else the COPY is called off, which fails, and nothing behind it
 * in the text runs. So a COMMIT that stands in the first text is no promise yet: b->commit_sent is
 * set right before the end of the COPY goes out. With dead letters the COMMIT is not in that text.
 *
 * Thread: the lane's.
 */
#include "base/clock.h"
#include "write/sink_parts.h"

#define BACKOFF_MOST 64

/* Only upserts, in one round, of a table that can take a COPY. */
static bool could_copy(const struct sink *s, const struct batch *b)
{
	return b->stream->sql->copy_direct && b->nrounds == 1 &&
	       !(sink_target(s, b)->traits & (TRAIT_TYPES | TRAIT_TIES)) &&
	       sink_count_deletes(b->arranged, b->narranged) == 0;
}

bool direct_fits(const struct sink *s, const struct batch *b)
{
	const struct target *t = sink_target(s, b);
	return could_copy(s, b) && t->copyable >= t->direct_from;
}

/* So that the next try comes after so many batches that might have gone this way. */
void direct_count(struct sink *s, const struct batch *b)
{
	struct target *t = sink_target(s, b);
	t->copyable += could_copy(s, b);
	if (s->way == &way_direct)
		t->direct_backoff = 0;
}

/* Whatever it was, the other ways will tell. */
bool direct_note_refusal(struct sink *s, const struct batch *b, const struct err *err)
{
	struct target *t = sink_target(s, b);
	if (s->way != &way_direct || err->class == ERR_RETRY)
		return false;
	t->direct_backoff = MIN(MAX(2 * t->direct_backoff, 2u), (unsigned)BACKOFF_MOST);
	t->direct_from = t->copyable + t->direct_backoff - 1;
	t->traits_due_us = 0;
	return true;
}

/* The check is prepared: it is asked again in each transaction. */
static bool ready(struct sink *s, struct batch *b, struct err *err)
{
	return row_prepare(s, b, ROW_DIRECT, err);
}

/* Everything is in one text; COPY's beginning is the answer to all before it. */
static enum begin_result begin(struct sink *s, struct batch *b, struct err *err)
{
	const struct mergesql *sql = b->stream->sql;
	int64_t *affected = arena_calloc(b->fold_arena, s->nspans + 2, sizeof(*affected));
	s->whole = !sink_has_dead_letters(b);
	sink_count_upserts(b, b->arranged, b->narranged);
	sink_put_begin(s);
	buf_printf(&s->sql, "%s; EXECUTE %s; %s; ", sql->lock_table, row_name(s, b, ROW_DIRECT),
		   sql->copy_direct);
	if (s->whole)
		sink_put_commit(s, b);
	if (!pg_copy_begin(s->pg, buf_cstr(&s->sql), affected, SWAPS_AT + s->nspans, err)) {
		s->in_books = pg_passed(s->pg) < SWAPS_AT + s->nspans;
		return BEGIN_FAILED;
	}
	if (sink_swapped(s, affected + SWAPS_AT))
		return BEGIN_OK;
	return pg_copy_abort(s->pg, "fenced", err) ? BEGIN_FENCED : BEGIN_FAILED;
}

/* With the rows, if the COMMIT was in the first text, all is done. */
static bool rows(struct sink *s, struct batch *b, struct err *err)
{
	int64_t start = clock_mono_us(), answers[2];
	s->phase = "copy";
	if (!sink_copy_rows(s, b, b->arranged, b->narranged, false, err))
		return false;
	int64_t copied = clock_mono_us();
	sink_took(b, METRIC_COPY_SECONDS, STAGE_COPY, copied - start);
	if (!s->whole)
		return sink_end_copy(s, answers, err);
	return sink_commit_begins(s, b, err) &&
	       sink_commit_answered(s, b, sink_end_copy(s, answers, err), copied, err);
}

static bool finish(struct sink *s, struct batch *b, struct err *err)
{
	return s->whole || way_staged.finish(s, b, err);
}

const struct way way_direct = {"direct", ready, begin, rows, finish};

/*
 * sink.c - how a batch becomes durable.
 *
 *   BEGIN
 *   UPDATE memingest.offsets ... WHERE next_offset = from AND owner_epoch = mine     the swap
 *   rows into the table, one of four ways:
 *     direct   COPY into the table itself     new keys, a plain table
 *     staged   COPY into a temporary table,   what it is for: large batches of anything
 *              deletes, merge
 *     singly   a prepared statement a row     small batches
 *     judged   the same, in offset order,     what was refused; tables whose rows depend on
 *              under savepoints               each other
 *   COPY memingest.dead_letters               if there are any
 *   INSERT INTO memingest.batches             a partition each
 *   COMMIT
 *
 * Round trips are what a far database costs, so statements share a text where no answer decides
 * what comes next; each way's file says how many waits it takes.
 *
 * The swap of the offsets row comes first: a worker that lost the partition learns it before it has
 * done any work, and the row lock that the swap takes is held until the end, so two owners can
 * never interleave. Locks are taken in one order everywhere: offsets rows by topic and partition,
 * then data rows by key (as they come, where they depend on each other: PostgreSQL then tells of
 * deadlocks, which are tried again).
 *
 * What lands is what lands if every event is applied alone, in offset order. The fast ways fold
 * events of one key and sort by key, which is right for a table that ties no rows together and
 * refuses none by its values. So the table's traits are looked at (every TRAITS_US), and
 *
 *   rows depend on each other                       judged
 *   a row may be refused, and events were folded    judged: each has a right to its own verdict
 *   PostgreSQL refused something on a fast way      judged
 *
 * What can go wrong, and what happens then:
 *
 *   swap finds another state    fence.c: the span was committed already, or is fenced
 *   a row is refused            judge.c: an event's fault makes it a dead letter, the rest lands;
 *                               the table's stops the stream until it is mended
 *   bookkeeping is refused      never the user's rows' fault: dead letters are written in other
 *                               words, else the stream stops
 *   a statement takes too long  the batch is cut in half for the next try
 *   anything else               rolled back if the connection lives; the lane decides
 *
 * While the server works on what it was sent, the next batch is arranged (sink_prepare()).
 *
 * Thread: the lane's. Memory: a chunk buffer for COPY, kept; all else is the batch's.
 */
#include "write/sink.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "write/sink_parts.h"

#define TRAITS_US (10 * US_PER_S)
#define HURRY_MS 200
/* Longer values may be too long for an index (a third of a page: PostgreSQL, BTMaxItemSize). */
#define INDEXABLE_BYTES 2000

/* Names of prepared statements are made once: a number for each stream. */
struct sink *sink_new(const struct config *config, struct stream *const *streams, size_t nstreams)
{
	struct sink *s = xcalloc(1, sizeof(*s));
	s->config = config;
	s->streams = streams;
	s->nstreams = nstreams;
	s->phase = "claim";
	s->targets = xcalloc(nstreams, sizeof(*s->targets));
	for (size_t i = 0; i < nstreams; i++) {
		struct target *t = &s->targets[i];
		t->rules = fold_rules(streams[i]->table, streams[i]->config->on_conflict);
		t->rules.indexed = xcalloc(streams[i]->table->ncolumns, sizeof(bool));
		snprintf(t->names[ROW_UPSERT], sizeof(t->names[0]), "upsert_%zu", i);
		snprintf(t->names[ROW_UPDATE], sizeof(t->names[0]), "update_%zu", i);
		snprintf(t->names[ROW_INSERT], sizeof(t->names[0]), "insert_%zu", i);
		snprintf(t->names[ROW_DELETE], sizeof(t->names[0]), "delete_%zu", i);
		snprintf(t->names[ROW_DIRECT], sizeof(t->names[0]), "direct_%zu", i);
	}
	char host[64] = "";
	(void)gethostname(host, sizeof(host) - 1);
	snprintf(s->owner, sizeof(s->owner), "%s/%ld", host, (long)getpid());
	return s;
}

void sink_free(struct sink *s)
{
	if (!s)
		return;
	buf_free(&s->chunk);
	buf_free(&s->sql);
	free(s->spans);
	for (size_t i = 0; i < s->nstreams; i++)
		free(s->targets[i].rules.indexed);
	free(s->targets);
	free(s);
}

const char *sink_phase(const struct sink *s)
{
	return s->phase;
}

struct target *sink_target(const struct sink *s, const struct batch *b)
{
	return &s->targets[b->stream->index];
}

/* What the old connection had prepared, staged and set is gone with it. */
void sink_connected(struct sink *s, struct pg *pg)
{
	s->pg = pg;
	s->hurried = false;
	memset(s->books_ready, 0, sizeof(s->books_ready));
	for (size_t i = 0; i < s->nstreams; i++) {
		s->targets[i].staged = false;
		s->targets[i].traits_due_us = 0;
		memset(s->targets[i].ready, 0, sizeof(s->targets[i].ready));
	}
}

void sink_when_waiting(struct sink *s, void (*idle)(void *), void *ctx)
{
	s->idle = idle;
	s->idle_ctx = ctx;
}

/* --- arranging --- */

/* Whether folding and sorting by key could be seen in the table. */
static bool must_be_judged(const struct target *t, const struct batch *b)
{
	if (b->judged || t->traits & TRAIT_TIES)
		return true;
	if (b->nfolded == 0)
		return false;
	return t->traits & TRAIT_REFUSES || b->folded_bytes > INDEXABLE_BYTES;
}

/* Folded first where that may be: only then it shows whether events were folded away. */
static void arrange(struct sink *s, struct batch *b)
{
	struct target *t = sink_target(s, b);
	int64_t start = clock_mono_us();
	t->rules.unite = !b->apart;
	if (!must_be_judged(t, b))
		arrange_folded(b, &t->rules);
	if (must_be_judged(t, b))
		arrange_in_order(b);
	stats_add(METRIC_BUSY_SECONDS, STAGE_FOLD, 0, clock_mono_us() - start);
}

void sink_prepare(struct sink *s, struct batch *next)
{
	if (sink_target(s, next)->traits_due_us == 0)
		return;
	arrange(s, next);
	next->prepared = true;
}

/* By topic and partition, as every worker has it: the order of locks. */
static int compare_spans(const void *x, const void *y)
{
	const struct span *a = *(struct span *const *)x, *b = *(struct span *const *)y;
	int order = strcmp(a->topic, b->topic);
	return order ? order : (a->partition > b->partition) - (a->partition < b->partition);
}

/* In the one order in which their rows are locked. */
static void take_spans(struct sink *s, struct batch *b)
{
	s->spans = xrealloc(s->spans, (b->nspans + 1) * sizeof(struct span *));
	s->nspans = 0;
	for (size_t i = 0; i < b->nspans; i++) {
		b->spans[i].now.written = 0;
		if (b->spans[i].result == SPAN_OPEN)
			s->spans[s->nspans++] = &b->spans[i];
	}
	qsort(s->spans, s->nspans, sizeof(struct span *), compare_spans);
}

static void note_indexed(struct target *t, const char *column)
{
	const struct table *table = t->rules.table;
	for (size_t i = 0; i < table->ncolumns; i++)
		t->rules.indexed[i] |= strcmp(table->columns[i].name, column) == 0;
}

/*
 * What the table is like, as far as that is not known or was looked at long ago. What was arranged
 * before may have folded away what a new index refuses.
 */
static bool look_at_traits(struct sink *s, struct batch *b, struct err *err)
{
	struct target *t = sink_target(s, b);
	int64_t now = clock_mono_us();
	if (now < t->traits_due_us)
		return true;
	struct pg_rows *rows = pg_query(s->pg, b->stream->sql->traits, NULL, 0, err);
	if (!rows)
		return err_wrap(err, "looking at table %s", table_full_name(b->stream->table));
	t->traits = 0;
	b->prepared = false;
	memset(t->rules.indexed, 0, t->rules.table->ncolumns * sizeof(*t->rules.indexed));
	for (size_t i = 0; i < pg_rows_count(rows); i++) {
		t->traits |= (unsigned)pg_int(rows, i, 0);
		if (pg_int(rows, i, 0) == TRAIT_INDEXED)
			note_indexed(t, pg_value(rows, i, 1));
	}
	t->traits_due_us = now + TRAITS_US;
	pg_rows_free(rows);
	return true;
}

/* --- what the ways share --- */

void sink_took(const struct batch *b, enum metric metric, size_t stage, int64_t us)
{
	stats_observe(metric, metric == METRIC_COMMIT_SECONDS ? 0 : b->stream->index, us);
	stats_add(METRIC_BUSY_SECONDS, stage, 0, us);
}

/* Told to the server only when it changes. */
bool sink_set_patience(struct sink *s, bool hurry, struct err *err)
{
	char sql[64];
	long long ms = hurry ? HURRY_MS : s->config->pg_lock_timeout_us / US_PER_MS;
	if (s->hurried == hurry)
		return true;
	snprintf(sql, sizeof(sql), "SET lock_timeout = %lld", ms);
	s->hurried = hurry;
	return pg_exec(s->pg, sql, NULL, 0, err);
}

/* A swap that moved no row means that the row is not as we know it. */
bool sink_swapped(const struct sink *s, const int64_t *affected)
{
	for (size_t i = 0; i < s->nspans; i++)
		if (affected[i] != 1)
			return false;
	return true;
}

/* The first text of a transaction begins here. */
void sink_put_begin(struct sink *s)
{
	s->phase = "begin";
	s->sql.len = 0;
	books_put(s, BOOK_BEGIN);
	for (size_t i = 0; i < s->nspans; i++)
		books_put_swap(s, s->spans[i]);
}

/*
 * A span without offsets only asks whether its row is as expected: the swap was all there is to do
 * for it.
 */
void sink_put_commit(struct sink *s, const struct batch *b)
{
	for (size_t i = 0; i < s->nspans; i++)
		if (s->spans[i]->upto > s->spans[i]->from)
			books_put_batch(s, b, s->spans[i]);
	buf_puts(&s->sql, "COMMIT");
}

/* The server is busy now, which is the time to arrange the next batch. */
bool sink_end_copy(struct sink *s, int64_t affected[2], struct err *err)
{
	if (!pg_copy_end(s->pg, err))
		return false;
	if (s->idle)
		s->idle(s->idle_ctx);
	return pg_copy_results(s->pg, affected, 2, err);
}

size_t sink_count_deletes(const struct batch_row *rows, size_t n)
{
	size_t deletes = 0;
	for (size_t i = 0; i < n; i++)
		deletes += rows[i].op == RECORD_DELETE;
	return deletes;
}

/* Each row counts for the span of its newest event. */
void sink_count_upserts(struct batch *b, const struct batch_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		b->spans[rows[i].span].now.written += rows[i].op == RECORD_UPSERT;
}

/* The answer may be lost, so that a COMMIT goes out is noted before. */
bool sink_commit_begins(struct sink *s, struct batch *b, struct err *err)
{
	s->phase = "commit";
	if (FAIL_POINT_PG("before_commit", s->pg, err))
		return false;
	b->commit_sent = true;
	FAIL_POINT_WHEN_SENT("after_commit_sent");
	return true;
}

/* An answer that was lost leaves it open whether it was committed. */
bool sink_commit_answered(struct sink *s, struct batch *b, bool ok, int64_t since_us,
			  struct err *err)
{
	if (ok && FAIL_POINT_PG("after_commit", s->pg, err))
		ok = false;
	/* An answer with a SQLSTATE on a living session is a definite no. */
	b->commit_sent = !ok && (!pg_ok(s->pg) || err->code[0] == '\0');
	if (ok)
		sink_took(b, METRIC_COMMIT_SECONDS, STAGE_COMMIT, clock_mono_us() - since_us);
	return ok;
}

/* What it answers does not matter: the session is asked again or dropped. */
static void roll_back(struct sink *s)
{
	struct err ignored;
	if (pg_ok(s->pg) && !pg_exec(s->pg, "ROLLBACK", NULL, 0, &ignored))
		log_warn("rollback failed", F_STR("error", ignored.text));
}

/* --- failures --- */

/* Dead letters that quote what the database cannot hold are tried once more in ASCII. */
static enum sink_result books_failed(struct batch *b, struct err *err)
{
	if (err->class == ERR_RETRY)
		return SINK_FAILED;
	if (strncmp(err->code, "22", 2) == 0 && sink_has_dead_letters(b) && !b->escaped) {
		b->escaped = true;
		return SINK_AGAIN;
	}
	err->class = ERR_CONFIG;
	err_wrap(err, "bookkeeping in schema memingest");
	return SINK_FAILED;
}

/* Another way, a smaller piece, or the judge: what the next try does differently. */
static enum sink_result rows_failed(struct sink *s, struct batch *b, struct err *err)
{
	if (err->class == ERR_RETRY) {
		if (strcmp(err->code, "57014") == 0) /* statement_timeout */
			batch_cut(b, b->first + (b->limit - b->first) / 2);
		return SINK_FAILED;
	}
	if (strcmp(err->code, "42704") == 0 && strstr(err->text, "memingest.json_is_no_object")) {
		b->apart = true;
		return SINK_AGAIN;
	}
	if (direct_note_refusal(s, b, err) && strcmp(err->code, "23505") == 0)
		return SINK_AGAIN;
	if (s->way == &way_judged) {
		err->class = ERR_CONFIG;
		return SINK_FAILED;
	}
	b->judged = true;
	return SINK_AGAIN;
}

/* Of a session that is gone nothing has to be undone. */
static enum sink_result failed(struct sink *s, struct batch *b, struct err *err)
{
	batch_forgive(b);
	b->prepared = false;
	if (!pg_ok(s->pg))
		return SINK_FAILED;
	roll_back(s);
	return s->in_books ? books_failed(b, err) : rows_failed(s, b, err);
}

/* --- the transaction --- */

/* What has been arranged in order can only be judged; else the cheapest that fits. */
static const struct way *choose_way(struct sink *s, const struct batch *b)
{
	if (b->in_order)
		return &way_judged;
	bool direct = direct_fits(s, b);
	if (singly_fits(b, direct))
		return &way_singly;
	return direct ? &way_direct : &way_staged;
}

/* Whatever fails before BEGIN is about the table or the bookkeeping, not about a row. */
static bool get_ready(struct sink *s, struct batch *b, struct err *err)
{
	if (look_at_traits(s, b, err)) {
		if (!b->prepared || (must_be_judged(sink_target(s, b), b) && !b->in_order))
			arrange(s, b);
		take_spans(s, b);
		s->way = choose_way(s, b);
		if (books_prepare(s, err))
			return s->way->ready(s, b, err) || judge_unprepared(s, b, err);
	}
	if (err->class == ERR_POISON)
		err->class = ERR_CONFIG;
	return false;
}

/* Rows that were written and not deleted came by COPY or by a merge. */
static void count_rows(const struct sink *s, size_t stream)
{
	uint64_t written = 0;
	for (size_t i = 0; i < s->nspans; i++)
		written += s->spans[i]->now.written;
	stats_add(METRIC_ROWS_WRITTEN, stream, OP_DELETE, (int64_t)s->deleted);
	stats_add(METRIC_ROWS_WRITTEN, stream, s->way == &way_direct ? OP_INSERT : OP_UPSERT,
		  (int64_t)(written - s->deleted));
}

/* Only now anything counts: what is not committed will come again. */
static enum sink_result committed(struct sink *s, struct batch *b, int64_t start_us)
{
	struct target *t = sink_target(s, b);
	direct_count(s, b);
	count_rows(s, b->stream->index);
	guard_count(&t->guard, s->config, b->limit - b->first, batch_refused(b));
	stats_observe(METRIC_TRANSACTION_SECONDS, b->stream->index, clock_mono_us() - start_us);
	return batch_committed(b) ? SINK_DONE : SINK_AGAIN;
}

/* Spans that have offsets, and so a row in memingest.batches. */
static size_t count_batches(const struct sink *s)
{
	size_t n = 0;
	for (size_t i = 0; i < s->nspans; i++)
		n += s->spans[i]->upto > s->spans[i]->from;
	return n;
}

/* Failures of the books are told from those that rows bring up at COMMIT. */
static bool finish(struct sink *s, struct batch *b, struct err *err)
{
	if (s->whole)
		return true;
	s->in_books = true;
	if (!dead_write(s, b, err))
		return false;
	bool ok = s->way->finish(s, b, err);
	/* COMMIT itself may be refused by the rows: a deferred constraint. */
	s->in_books = !ok && (err->code[0] == '\0' || pg_passed(s->pg) < count_batches(s));
	return ok;
}

/* One try, of one transaction. */
enum sink_result sink_write(struct sink *s, struct batch *b, const struct sink_try *how,
			    struct err *err)
{
	int64_t start = clock_mono_us();
	err_clear(err);
	if (b->nburied < b->nrefused && b->limit <= b->first)
		return SINK_READ;
	s->phase = "fold";
	s->peer = how->peer;
	s->deleted = 0;
	s->whole = s->in_books = s->refused = false;
	if (!sink_set_patience(s, how->hurry, err) || !get_ready(s, b, err))
		return SINK_FAILED;
	b->prepared = false; /* for this attempt only: whatever fails may change it */
	if (s->nspans == 0)
		return SINK_DONE;
	switch (s->way->begin(s, b, err)) {
	case BEGIN_OK:
		break;
	case BEGIN_FENCED:
		roll_back(s);
		return fence_decide(s, b, err) ? SINK_AGAIN : SINK_FAILED;
	case BEGIN_FAILED:
		return failed(s, b, err);
	}
	if (b->nrounds > 0 && !s->way->rows(s, b, err))
		return failed(s, b, err);
	if (s->refused) {
		roll_back(s);
		return SINK_READ;
	}
	if (!finish(s, b, err))
		return failed(s, b, err);
	return committed(s, b, start);
}

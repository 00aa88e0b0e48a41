/*
 * sink.c - how a batch becomes durable.
 *
 *   BEGIN
 *   UPDATE memingest.offsets ... WHERE next_offset = from AND owner_epoch = mine    the swap
 *   COPY into the table itself                             if its recent batches held new keys
 *                                                          only and the types are right; or else
 *   per round:  COPY stage, merge deletes, merge upserts     (nearly always one round)
 *   COPY memingest.dead_letters                              (only if there are any)
 *   INSERT INTO memingest.batches                            a partition each
 *   COMMIT
 *
 * Round trips are what a far database costs, so statements share a text where no answer decides
 * what comes next:
 *
 *   straight into the table  BEGIN; swap; are the types right;
 *                            COPY; INSERT; COMMIT      -->  ready, rows of the swap    two waits
 *                            rows, end                 -->  committed
 *   by the staging table     BEGIN; swap; COPY; merge  -->  ready, rows of the swap    three
 *                            rows, end                 -->  rows of the merge
 *                            INSERT; COMMIT            -->  committed
 *
 * A small batch goes by neither, but a row at a time, in two waits (sink_small.c).
 *
 * The server goes past a COPY only when its end has been sent, and that is sent only after the swap
 * has been seen to move every row; else the COPY is called off, which fails, and nothing behind it
 * in the text runs. So a COMMIT that stands in the first text is no promise yet: b->commit_sent is
 * set right before the end of the last COPY goes out. The merge's row count has to be known before
 * memingest.batches is written, and so costs a wait of its own.
 *
 * The swap of the offsets row comes first: a worker that lost the partition learns it before it has
 * done any work, and the row lock that the swap takes is held until the end, so two owners can
 * never interleave. Locks are taken in one order everywhere: offsets rows by topic and partition,
 * then data rows by key.
 *
 * What can go wrong, and what happens then:
 *
 *   swap finds another state   the row is read. It says what this very batch wrote (after a COMMIT
 *                              whose answer was lost): committed. Else the span is fenced: rolled
 *                              back, the span is dropped, the rest is tried again.
 *   a row is poison            the transaction is rolled back and poison.c finds the culprits; they
 *                              become dead letters, the rest is tried again.
 *   anything else              rolled back if the connection lives; the lane decides by SQLSTATE.
 *
 * Straight into the table: COPY inserts in bulk and costs PostgreSQL half of what staging and
 * merging cost, but it only knows new keys. A key that is there already raises 23505; the
 * transaction is rolled back, the batch goes through the staging table, and the next try waits for
 * 2, 4, ... 64 batches. A stream of new keys (the first load, trajectories) so takes the short way
 * nearly always, a stream of updates pays for one try in 64.
 *
 * Counters per span: "written" from the merge's row counts. Where every row was written the counts
 * are known without asking; else one query tells which partition's rows wrote nothing.
 *
 * While the server works on what it was sent, the next batch is arranged (sink_prepare()), so that
 * the server does not wait for that.
 *
 * Thread: the lane's. Memory: a chunk buffer for COPY, kept; all else is the batch's.
 */
#include "write/sink.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/stats.h"
#include "write/sink_parts.h"

struct sink *sink_new(const struct config *config, struct stream *const *streams, size_t nstreams)
{
	struct sink *s = xcalloc(1, sizeof(*s));
	s->config = config;
	s->streams = streams;
	s->nstreams = nstreams;
	s->phase = "claim";
	s->staged = xcalloc(nstreams, sizeof(*s->staged));
	s->rules = xcalloc(nstreams, sizeof(*s->rules));
	s->rows_ready = xcalloc(nstreams, sizeof(*s->rows_ready));
	s->guards = xcalloc(nstreams, sizeof(*s->guards));
	s->directs = xcalloc(nstreams, sizeof(*s->directs));
	for (size_t i = 0; i < nstreams; i++)
		s->rules[i] = fold_rules(streams[i]->table, streams[i]->config->on_conflict);
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
	free(s->staged);
	free(s->rules);
	free(s->rows_ready);
	free(s->guards);
	free(s->directs);
	free(s);
}

const char *sink_phase(const struct sink *s)
{
	return s->phase;
}

void sink_connected(struct sink *s, struct pg *pg)
{
	s->pg = pg;
	memset(s->staged, 0, s->nstreams * sizeof(*s->staged));
	memset(s->rows_ready, 0, s->nstreams * sizeof(*s->rows_ready));
	memset(s->books_ready, 0, sizeof(s->books_ready));
}

void sink_when_waiting(struct sink *s, void (*idle)(void *), void *ctx)
{
	s->idle = idle;
	s->idle_ctx = ctx;
}

/* --- arranging --- */

static void arrange(struct sink *s, struct batch *b)
{
	int64_t start = clock_mono_us();
	batch_arrange(b, &s->rules[b->stream->index]);
	stats_add(METRIC_BUSY_SECONDS, STAGE_FOLD, 0, clock_mono_us() - start);
}

void sink_prepare(struct sink *s, struct batch *next)
{
	arrange(s, next);
	next->prepared = true;
}

static void sql_reset(struct sink *s)
{
	s->sql.len = 0;
}

/* --- the swap of the offsets rows --- */

static int compare_spans(const void *x, const void *y)
{
	const struct span *a = *(struct span *const *)x, *b = *(struct span *const *)y;
	int order = strcmp(a->topic, b->topic);
	return order ? order : (a->partition > b->partition) - (a->partition < b->partition);
}

/* In the one order in which their rows are locked. */
static size_t open_spans(struct batch *b, struct span ***out)
{
	size_t n = 0;
	*out = arena_alloc(b->fold_arena, (b->nspans + 1) * sizeof(struct span *));
	for (size_t i = 0; i < b->nspans; i++)
		if (b->spans[i].result == SPAN_OPEN)
			(*out)[n++] = &b->spans[i];
	qsort(*out, n, sizeof(struct span *), compare_spans);
	return n;
}

bool sink_swapped(const int64_t *affected, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (affected[i] != 1)
			return false;
	return true;
}

/* What the offsets row of a span says now, waiting for whoever is changing it. */
struct offsets_row {
	bool exists;
	int64_t next_offset, owner_epoch;
	char owner[128];
};

static bool read_offsets(struct sink *s, const struct span *span, struct offsets_row *row,
			 struct err *err)
{
	char partition[12];
	snprintf(partition, sizeof(partition), "%d", span->partition);
	const char *params[] = {s->config->group_id, span->topic, partition};
	struct pg_rows *rows =
		pg_query(s->pg,
			 "SELECT next_offset, owner_epoch, owner FROM memingest.offsets"
			 " WHERE pipeline = $1 AND topic = $2 AND partition = $3::int FOR UPDATE",
			 params, 3, err);
	if (!rows)
		return false;
	*row = (struct offsets_row){.exists = pg_rows_count(rows) > 0};
	if (row->exists) {
		row->next_offset = pg_int(rows, 0, 0);
		row->owner_epoch = pg_int(rows, 0, 1);
		snprintf(row->owner, sizeof(row->owner), "%s",
			 pg_value(rows, 0, 2) ? pg_value(rows, 0, 2) : "");
	}
	pg_rows_free(rows);
	return true;
}

static void fence(struct span *span, const struct offsets_row *row)
{
	span->result = SPAN_FENCED;
	if (row->exists)
		snprintf(span->note, sizeof(span->note),
			 "expected next_offset %" PRId64 " epoch %" PRId64 ", found %" PRId64
			 " epoch %" PRId64 " owner %s",
			 span->from, span->owner_epoch, row->next_offset, row->owner_epoch,
			 row->owner);
	else
		snprintf(span->note, sizeof(span->note),
			 "expected next_offset %" PRId64 ", found no row", span->from);
}

/* The counters of a batch that turned out to be committed: its own row says them. */
static bool read_counts(struct sink *s, struct span *span, struct err *err)
{
	char partition[12], from[24];
	snprintf(partition, sizeof(partition), "%d", span->partition);
	snprintf(from, sizeof(from), "%" PRId64, span->from);
	const char *params[] = {s->config->group_id, span->topic, partition, from};
	struct pg_rows *rows =
		pg_query(s->pg,
			 "SELECT merged FROM memingest.batches WHERE pipeline = $1 AND topic = $2"
			 " AND partition = $3::int AND from_offset = $4::bigint",
			 params, 4, err);
	if (!rows)
		return false;
	if (pg_rows_count(rows) > 0)
		span->written = (uint32_t)pg_int(rows, 0, 0);
	pg_rows_free(rows);
	return true;
}

/*
 * The swap did not find every row as expected. Decides each open span: left open (its row is as
 * expected), committed (the row is as this batch leaves it, after a COMMIT without answer) or
 * fenced.
 */
static bool decide_spans(struct sink *s, struct batch *b, struct err *err)
{
	bool any = false;
	for (size_t i = 0; i < b->nspans; i++) {
		struct span *span = &b->spans[i];
		struct offsets_row row;
		if (span->result != SPAN_OPEN)
			continue;
		if (!read_offsets(s, span, &row, err))
			return false;
		bool mine = row.exists && row.owner_epoch == span->owner_epoch;
		if (mine && row.next_offset == span->from)
			continue;
		any = true;
		if (mine && b->commit_sent && row.next_offset == span->to) {
			span->result = SPAN_COMMITTED;
			if (!read_counts(s, span, err))
				return false;
		} else {
			fence(span, &row);
		}
	}
	if (any && b->commit_sent)
		stats_add(METRIC_COMMIT_AMBIGUOUS, 0, 0, 1);
	b->commit_sent = false;
	return any || err_set(err, ERR_RETRY, "the offsets rows changed while they were looked at");
}

/* --- merge --- */

/* Adds a query's (_part, count) rows to the spans, with a sign. */
static bool count_parts(struct sink *s, struct batch *b, const char *sql, int sign, struct err *err)
{
	struct pg_rows *rows = pg_query(s->pg, sql, NULL, 0, err);
	if (!rows)
		return false;
	for (size_t i = 0; i < pg_rows_count(rows); i++) {
		size_t part = (size_t)pg_int(rows, i, 0);
		assert(part < b->nspans);
		b->spans[part].written += (uint32_t)(sign * pg_int(rows, i, 1));
	}
	pg_rows_free(rows);
	return true;
}

static size_t count_deletes(const struct batch_row *rows, size_t n)
{
	size_t deletes = 0;
	for (size_t i = 0; i < n; i++)
		deletes += rows[i].op == RECORD_DELETE;
	return deletes;
}

static void count_upserts(struct batch *b, const struct batch_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		b->spans[rows[i].span].written += rows[i].op == RECORD_UPSERT;
}

static uint64_t rows_written(const struct batch *b)
{
	uint64_t n = 0;
	for (size_t i = 0; i < b->nspans; i++)
		n += b->spans[i].written;
	return n;
}

/* Deletes come first, so with any the merge of the rest is not in the text of the COPY. */
static bool merge_with_deletes(struct sink *s, struct batch *b, size_t deletes, size_t n,
			       int64_t *written, struct err *err)
{
	uint64_t before = rows_written(b);
	if (!count_parts(s, b, b->stream->sql->merge_delete, 1, err))
		return false;
	s->deleted += rows_written(b) - before;
	return deletes == n || pg_exec(s->pg, b->stream->sql->merge_upsert, written, 1, err);
}

/* COPY, and what follows it in the same text. */
static void round_sql(struct sink *s, const struct batch *b, const struct batch_row *rows, size_t n)
{
	buf_printf(&s->sql, "%s; ",
		   s->direct ? b->stream->sql->copy_direct : b->stream->sql->copy_stage);
	if (!s->direct && count_deletes(rows, n) == 0)
		buf_puts(&s->sql, b->stream->sql->merge_upsert);
}

static void stage_took(const struct batch *b, enum metric metric, size_t stage, int64_t us)
{
	stats_observe(metric, metric == METRIC_COMMIT_SECONDS ? 0 : b->stream->index, us);
	stats_add(METRIC_BUSY_SECONDS, stage, 0, us);
}

/*
 * The end of a COPY, and the answers to all that follows it: this is where the server is waited
 * for.
 */
static bool end_copy(struct sink *s, int64_t affected[2], struct err *err)
{
	if (!pg_copy_end(s->pg, err))
		return false;
	if (s->idle)
		s->idle(s->idle_ctx);
	return pg_copy_results(s->pg, affected, 2, err);
}

/* The COPY into the staging table has begun: rows go there, and from there into the table. */
static bool run_round(struct sink *s, struct batch *b, const struct batch_row *rows, size_t n,
		      struct err *err)
{
	int64_t start = clock_mono_us(), answers[2] = {0, 0};
	size_t deletes = count_deletes(rows, n);
	s->phase = "copy";
	if (!sink_copy_rows(s, b, rows, n, err))
		return false;
	int64_t copied = clock_mono_us();
	s->phase = "merge";
	if (!end_copy(s, answers, err) ||
	    (deletes > 0 && !merge_with_deletes(s, b, deletes, n, &answers[1], err)))
		return false;
	count_upserts(b, rows, n);
	if (answers[1] != (int64_t)(n - deletes) &&
	    !count_parts(s, b, b->stream->sql->count_skipped, -1, err))
		return false;
	stage_took(b, METRIC_COPY_SECONDS, STAGE_COPY, copied - start);
	stage_took(b, METRIC_MERGE_SECONDS, STAGE_MERGE, clock_mono_us() - copied);
	return true;
}

/* A round of its own: empties the staging table first. */
bool sink_apply(struct sink *s, struct batch *b, const struct batch_row *rows, size_t n,
		struct err *err)
{
	sql_reset(s);
	buf_printf(&s->sql, "%s; ", b->stream->sql->clear_stage);
	round_sql(s, b, rows, n);
	return pg_copy_begin(s->pg, buf_cstr(&s->sql), NULL, 0, err) &&
	       run_round(s, b, rows, n, err);
}

/* --- dead letters and the batch's own row --- */

static bool dead_letters_failed(const struct batch *b, struct err *err)
{
	stats_add(METRIC_DEAD_LETTER_FAILURES, b->stream->index, 0, 1);
	return err_wrap(err, "dead letters");
}

static bool has_dead_letters(const struct batch *b)
{
	for (size_t i = 0; i < b->ndead; i++)
		if (b->spans[b->dead[i].span].result == SPAN_OPEN)
			return true;
	return false;
}

static bool write_dead_letters(struct sink *s, const struct batch *b, struct err *err)
{
	int64_t answers[2];
	if (!has_dead_letters(b))
		return true;
	s->phase = "dead letters";
	if (!pg_copy_begin(s->pg,
			   "COPY memingest.dead_letters (pipeline, topic, partition, \"offset\", "
			   "stream, reason, detail, key,"
			   " value, headers, event_time) FROM STDIN (FORMAT binary)",
			   NULL, 0, err))
		return dead_letters_failed(b, err);
	return (sink_copy_dead(s, b, err) && end_copy(s, answers, err)) ||
	       dead_letters_failed(b, err);
}

/*
 * A span without offsets only asks whether its row is as expected: the swap was all there is to do
 * for it.
 */
static void commit_sql(struct sink *s, struct span *const *spans, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (spans[i]->to > spans[i]->from)
			books_say_batch(s, spans[i]);
	buf_puts(&s->sql, "COMMIT");
}

static bool commit_answered(struct sink *s, struct batch *b, bool ok, int64_t since_us,
			    const struct err *err)
{
	/* An answer with a SQLSTATE on a living session is a definite no. */
	b->commit_sent = !ok && (!pg_ok(s->pg) || err->code[0] == '\0');
	if (ok)
		stage_took(b, METRIC_COMMIT_SECONDS, STAGE_COMMIT, clock_mono_us() - since_us);
	return ok;
}

static bool commit(struct sink *s, struct batch *b, struct span *const *spans, size_t n,
		   struct err *err)
{
	int64_t start = clock_mono_us();
	s->phase = "commit";
	b->commit_sent = true;
	bool ok;
	if (s->small) {
		ok = small_commit(s, b, spans, n, err);
	} else {
		sql_reset(s);
		commit_sql(s, spans, n);
		ok = pg_exec(s->pg, buf_cstr(&s->sql), NULL, 0, err);
	}
	return commit_answered(s, b, ok, start, err) || err_wrap(err, "commit");
}

/* --- the transaction --- */

void sink_roll_back(struct sink *s)
{
	struct err ignored;
	if (pg_ok(s->pg) && !pg_exec(s->pg, "ROLLBACK", NULL, 0, &ignored))
		log_warn("rollback failed", F_STR("error", ignored.text));
}

bool sink_stage(struct sink *s, const struct batch *b, struct err *err)
{
	if (s->staged[b->stream->index])
		return true;
	if (!pg_exec(s->pg, b->stream->sql->create_stage, NULL, 0, err))
		return err_wrap(err, "staging table of stream %s", b->stream->config->name);
	s->staged[b->stream->index] = true;
	return true;
}

/* What this connection has to have before the transaction; made at first use. */
static bool get_ready(struct sink *s, const struct batch *b, struct err *err)
{
	if (!books_prepare(s, err))
		return false;
	if (s->small)
		return row_prepare(s, b, ROW_UPSERT, err) && row_prepare(s, b, ROW_DELETE, err);
	return s->direct ? row_prepare(s, b, ROW_TYPES, err) : sink_stage(s, b, err);
}

/*
 * BEGIN and the swap, and in the same text the first COPY if there are rows, and what may follow
 * it.
 */
static enum begun begin(struct sink *s, struct batch *b, struct span *const *spans, size_t n,
			struct err *err)
{
	bool copy = b->nrounds > 0;
	if (s->small)
		return small_begin(s, b, spans, n, err);
	int64_t *affected = arena_alloc(b->fold_arena, (1 + n) * sizeof(*affected));
	memset(affected, 0, (1 + n) * sizeof(*affected));
	s->phase = "begin";
	sql_reset(s);
	buf_puts(&s->sql, "BEGIN; ");
	for (size_t i = 0; i < n; i++)
		books_say_swap(s, spans[i]);
	if (s->direct)
		buf_printf(&s->sql, "EXECUTE %s; ", row_name(s, b, ROW_TYPES));
	if (copy)
		round_sql(s, b, b->arranged, b->rounds[1]);
	if (s->whole)
		commit_sql(s, spans, n);
	bool ok = copy ? pg_copy_begin(s->pg, buf_cstr(&s->sql), affected, 1 + n, err)
		       : pg_exec(s->pg, buf_cstr(&s->sql), affected, 1 + n, err);
	if (!ok)
		return BEGUN_FAILED;
	if (sink_swapped(affected + 1, n))
		return BEGUN;
	return copy && !pg_copy_abort(s->pg, "fenced", err) ? BEGUN_FAILED : BEGUN_FENCED;
}

/* Rows into the table itself; with them, if the COMMIT was in the first text, all is done. */
static bool run_direct(struct sink *s, struct batch *b, struct err *err)
{
	int64_t start = clock_mono_us(), answers[2];
	s->phase = "copy";
	if (!sink_copy_rows(s, b, b->arranged, b->narranged, err))
		return false;
	int64_t copied = clock_mono_us();
	stage_took(b, METRIC_COPY_SECONDS, STAGE_COPY, copied - start);
	if (!s->whole)
		return end_copy(s, answers, err);
	s->phase = "commit";
	b->commit_sent = true;
	return commit_answered(s, b, end_copy(s, answers, err), copied, err);
}

static bool apply_rounds(struct sink *s, struct batch *b, struct err *err)
{
	if (b->nrounds == 0 || s->small)
		return true;
	if (s->direct)
		return run_direct(s, b, err);
	if (!run_round(s, b, b->arranged, b->rounds[1], err))
		return false;
	for (size_t r = 1; r < b->nrounds; r++)
		if (!sink_apply(s, b, b->arranged + b->rounds[r], b->rounds[r + 1] - b->rounds[r],
				err))
			return false;
	return true;
}

/* --- straight into the table --- */

#define DIRECT_BACKOFF 64

static bool may_go_direct(struct sink *s, const struct batch *b)
{
	struct direct *d = &s->directs[b->stream->index];
	if (!b->stream->sql->copy_direct || b->nrounds != 1 ||
	    count_deletes(b->arranged, b->narranged) > 0)
		return false;
	if (d->wait > 0)
		d->wait--;
	return d->wait == 0;
}

/*
 * A key was there already, or the table does not take COPY (row level security, a view), or not
 * fields of these types: the staging table does it all.
 */
static bool direct_refused(struct sink *s, const struct batch *b, const struct err *err)
{
	struct direct *d = &s->directs[b->stream->index];
	if (!s->direct || !pg_ok(s->pg) ||
	    (strcmp(err->code, "23505") != 0 && err->class != ERR_CONFIG))
		return false;
	d->backoff = MIN(MAX(2 * d->backoff, 2u), (unsigned)DIRECT_BACKOFF);
	d->wait = d->backoff;
	return true;
}

/* --- the whole --- */

static enum sink_result failed(struct sink *s, struct batch *b, struct err *err)
{
	if (direct_refused(s, b, err)) {
		sink_roll_back(s);
		return SINK_AGAIN;
	}
	if (strcmp(err->code, "23505") == 0)
		b->unique_failures++;
	bool poison = poison_suspected(s, b, err);
	sink_roll_back(s);
	return poison ? poison_hunt(s, b, err) : SINK_FAILED;
}

/* Spans that were decided before this transaction have their rows counted, or have none. */
static void count_rows(const struct sink *s, struct span *const *spans, size_t n, size_t stream)
{
	uint64_t written = 0;
	for (size_t i = 0; i < n; i++)
		written += spans[i]->written;
	stats_add(METRIC_ROWS_WRITTEN, stream, OP_DELETE, (int64_t)s->deleted);
	stats_add(METRIC_ROWS_WRITTEN, stream, s->direct ? OP_INSERT : OP_UPSERT,
		  (int64_t)(written - s->deleted));
}

enum sink_result sink_write(struct sink *s, struct batch *b, struct err *err)
{
	struct span **spans;
	int64_t start = clock_mono_us();
	err_clear(err);
	s->phase = "fold";
	if (!b->prepared)
		arrange(s, b);
	/* for this attempt only: whatever fails may change what there is to arrange */
	b->prepared = false;
	s->deleted = 0;
	size_t n = open_spans(b, &spans);
	for (size_t i = 0; i < n; i++)
		spans[i]->written = 0;
	if (n == 0)
		return SINK_DONE;
	s->direct = may_go_direct(s, b);
	s->small = small_fits(b, s->direct);
	s->direct &= !s->small;
	s->whole = s->direct && !has_dead_letters(b);
	if (s->direct)
		count_upserts(b, b->arranged, b->narranged);
	if (!get_ready(s, b, err))
		return SINK_FAILED;
	switch (begin(s, b, spans, n, err)) {
	case BEGUN:
		break;
	case BEGUN_FENCED:
		sink_roll_back(s);
		return decide_spans(s, b, err) ? SINK_AGAIN : SINK_FAILED;
	case BEGUN_FAILED:
		return failed(s, b, err);
	}
	if (!apply_rounds(s, b, err) ||
	    (!s->whole && (!write_dead_letters(s, b, err) || !commit(s, b, spans, n, err))))
		return failed(s, b, err);
	for (size_t i = 0; i < n; i++)
		spans[i]->result = SPAN_COMMITTED;
	if (s->direct)
		s->directs[b->stream->index].backoff = 0;
	count_rows(s, spans, n, b->stream->index);
	guard_count(&s->guards[b->stream->index], s->config, b->nevents);
	stats_observe(METRIC_TRANSACTION_SECONDS, b->stream->index, clock_mono_us() - start);
	return SINK_DONE;
}

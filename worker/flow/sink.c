/*
 * sink.c - how a batch becomes durable.
 *
 *   BEGIN                                                    \
 *   UPDATE memingest.offsets ... WHERE next_offset = from     } one round trip
 *                            AND owner_epoch = mine          /
 *   COPY into the table itself                               if its recent batches held new keys only, or else
 *   per round:  COPY stage, merge deletes, merge upserts     (nearly always one round)
 *   COPY memingest.dead_letters                              (only if there are any)
 *   INSERT INTO memingest.batches; COMMIT                    one round trip
 *
 * The swap of the offsets row comes first: a worker that lost the partition learns it before it has done any work, and the row
 * lock that the swap takes is held until the end, so two owners can never interleave. Locks are taken in one order everywhere: offsets
 * rows by topic and partition, then data rows by key.
 *
 * What can go wrong, and what happens then:
 *
 *   swap finds another state   the row is read. It says what this very batch wrote (after a COMMIT whose answer was lost): committed.
 *                              Else the span is fenced: rolled back, the span is dropped, the rest is tried again.
 *   a row is poison            the transaction is rolled back and poison.c finds the culprits; they become dead
 *                              letters, the rest is tried again.
 *   anything else              rolled back if the connection lives; the lane decides by SQLSTATE.
 *
 * Straight into the table: COPY inserts in bulk and costs PostgreSQL half of what staging and merging cost, but it only knows new keys. A key
 * that is there already raises 23505; the transaction is rolled back, the batch goes through the staging table, and the next try waits for
 * 2, 4, ... 64 batches. A stream of new keys (the first load, trajectories) so takes the short way nearly always, a stream of updates
 * pays for one try in 64.
 *
 * Counters per span: "written" from the merge's row counts. Where every row was written the counts are known without asking; else one
 * query tells which partition's rows wrote nothing.
 *
 * Thread: the lane's. Memory: a chunk buffer for COPY, kept; all else is the batch's.
 */
#include "flow/sink.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/stats.h"
#include "flow/sink_parts.h"

/* One CopyData message: large enough that a send() moves much, small enough to stay in the cache. */
#define CHUNK_BYTES (size_t)(256 * 1024)

static const uint8_t copy_header[19] = "PGCOPY\n\377\r\n\0";
static const uint8_t copy_trailer[2] = {0xff, 0xff};

struct sink *sink_new(const struct config *config, struct stream *const *streams, size_t nstreams)
{
	struct sink *s = xcalloc(1, sizeof(*s));
	s->config = config;
	s->streams = streams;
	s->nstreams = nstreams;
	s->staged = xcalloc(nstreams, sizeof(*s->staged));
	s->rules = xcalloc(nstreams, sizeof(*s->rules));
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
	free(s->guards);
	free(s->directs);
	free(s);
}

void sink_connected(struct sink *s, struct pg *pg)
{
	s->pg = pg;
	memset(s->staged, 0, s->nstreams * sizeof(*s->staged));
}

static void sql_reset(struct sink *s)
{
	s->sql.len = 0;
}

/* --- COPY --- */

static bool copy_flush(struct sink *s, size_t at_least, struct err *err)
{
	if (s->chunk.len < at_least)
		return true;
	bool ok = pg_copy_data(s->pg, s->chunk.data, s->chunk.len, err);
	s->chunk.len = 0;
	return ok;
}

/* _part and _op */
static void put_stage_columns(uint8_t *p, const struct batch_row *row)
{
	put_be32(p, 2);
	put_be16(p + 4, (uint16_t)row->span);
	put_be32(p + 6, 1);
	p[10] = row->op == RECORD_DELETE ? 'D' : 'U';
}

static bool copy_rows(struct sink *s, const struct batch *b, const struct batch_row *rows, size_t n, struct err *err)
{
	uint16_t fields = (uint16_t)(b->stream->table->ncolumns + (s->direct ? 0 : MERGESQL_STAGE_COLUMNS));
	s->chunk.len = 0;
	buf_put(&s->chunk, copy_header, sizeof(copy_header));
	for (size_t i = 0; i < n; i++) {
		const struct batch_row *row = &rows[i];
		buf_be16(&s->chunk, fields);
		if (!s->direct)
			put_stage_columns(buf_take(&s->chunk, 11), row);
		buf_put(&s->chunk, row->data.data, row->data.len);
		if (!copy_flush(s, CHUNK_BYTES, err))
			return false;
	}
	buf_put(&s->chunk, copy_trailer, sizeof(copy_trailer));
	return copy_flush(s, 1, err) && pg_copy_end(s->pg, NULL, err);
}

/* --- the swap of the offsets rows --- */

/* Values of the open spans, in the one order in which rows are locked. */
static int compare_spans(const void *x, const void *y)
{
	const struct span *a = *(struct span *const *)x, *b = *(struct span *const *)y;
	int order = strcmp(a->topic, b->topic);
	return order ? order : (a->partition > b->partition) - (a->partition < b->partition);
}

static size_t open_spans(struct batch *b, struct span ***out)
{
	size_t n = 0;
	*out = arena_alloc(b->fold_arena, (b->nspans + 1) * sizeof(**out));
	for (size_t i = 0; i < b->nspans; i++)
		if (b->spans[i].result == SPAN_OPEN)
			(*out)[n++] = &b->spans[i];
	qsort(*out, n, sizeof(**out), compare_spans);
	return n;
}

static void span_values(struct buf *sql, struct span *const *spans, size_t n)
{
	buf_puts(sql, "(VALUES ");
	for (size_t i = 0; i < n; i++) {
		buf_puts(sql, i ? ", (" : "(");
		pg_quote_literal(sql, spans[i]->topic);
		buf_printf(sql, ", %d, %" PRId64 "::bigint, %" PRId64 "::bigint, %" PRId64 "::bigint, %d)",
			   spans[i]->partition, spans[i]->from, spans[i]->to, spans[i]->owner_epoch,
			   spans[i]->leader_epoch);
	}
	buf_puts(sql, ") AS v(topic, partition, from_offset, to_offset, owner_epoch, leader_epoch)");
}

static void swap_sql(struct sink *s, struct span *const *spans, size_t n)
{
	buf_puts(&s->sql, "UPDATE memingest.offsets o SET next_offset = v.to_offset, updated_at = now(),"
			  " leader_epoch = greatest(o.leader_epoch, v.leader_epoch) FROM ");
	span_values(&s->sql, spans, n);
	buf_puts(&s->sql, " WHERE o.pipeline = ");
	pg_quote_literal(&s->sql, s->config->group_id);
	buf_puts(&s->sql, " AND o.topic = v.topic AND o.partition = v.partition AND o.next_offset = v.from_offset"
			  " AND o.owner_epoch = v.owner_epoch");
}

/* What the offsets row of a span says now, waiting for whoever is changing it. */
struct offsets_row {
	bool exists;
	int64_t next_offset, owner_epoch;
	char owner[128];
};

static bool read_offsets(struct sink *s, const struct span *span, struct offsets_row *row, struct err *err)
{
	char partition[12];
	snprintf(partition, sizeof(partition), "%d", span->partition);
	const char *params[] = {s->config->group_id, span->topic, partition};
	struct pg_rows *rows = pg_query(s->pg,
					"SELECT next_offset, owner_epoch, owner FROM memingest.offsets"
					" WHERE pipeline = $1 AND topic = $2 AND partition = $3::int FOR UPDATE",
					params, 3, err);
	if (!rows)
		return false;
	*row = (struct offsets_row){.exists = pg_rows_count(rows) > 0};
	if (row->exists) {
		row->next_offset = pg_int(rows, 0, 0);
		row->owner_epoch = pg_int(rows, 0, 1);
		snprintf(row->owner, sizeof(row->owner), "%s", pg_value(rows, 0, 2) ? pg_value(rows, 0, 2) : "");
	}
	pg_rows_free(rows);
	return true;
}

static void fence(struct span *span, const struct offsets_row *row)
{
	span->result = SPAN_FENCED;
	if (row->exists)
		snprintf(span->note, sizeof(span->note),
			 "expected next_offset %" PRId64 " epoch %" PRId64 ", found %" PRId64 " epoch %" PRId64
			 " owner %s",
			 span->from, span->owner_epoch, row->next_offset, row->owner_epoch, row->owner);
	else
		snprintf(span->note, sizeof(span->note), "expected next_offset %" PRId64 ", found no row", span->from);
}

/* The counters of a batch that turned out to be committed: its own row says them. */
static bool read_counts(struct sink *s, struct span *span, struct err *err)
{
	char partition[12], from[24];
	snprintf(partition, sizeof(partition), "%d", span->partition);
	snprintf(from, sizeof(from), "%" PRId64, span->from);
	const char *params[] = {s->config->group_id, span->topic, partition, from};
	struct pg_rows *rows = pg_query(s->pg,
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
 * The swap did not find every row as expected. Decides each open span: left open (its row is as expected), committed (the row is
 * as this batch leaves it, after a COMMIT without answer) or fenced.
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

static bool merge_upserts(struct sink *s, struct batch *b, const struct batch_row *rows, size_t n, struct err *err)
{
	int64_t written = 0, staged = 0;
	for (size_t i = 0; i < n; i++)
		staged += rows[i].op == RECORD_UPSERT;
	if (staged == 0)
		return true;
	if (!pg_exec(s->pg, b->stream->sql->merge_upsert, &written, 1, err))
		return false;
	for (size_t i = 0; i < n; i++)
		b->spans[rows[i].span].written += rows[i].op == RECORD_UPSERT;
	return written == staged || count_parts(s, b, b->stream->sql->count_skipped, -1, err);
}

static bool merge_rows(struct sink *s, struct batch *b, const struct batch_row *rows, size_t n, struct err *err)
{
	bool deletes = false;
	for (size_t i = 0; i < n && !deletes; i++)
		deletes = rows[i].op == RECORD_DELETE;
	if (deletes && !count_parts(s, b, b->stream->sql->merge_delete, 1, err))
		return false;
	return merge_upserts(s, b, rows, n, err);
}

static bool count_all(struct batch *b, const struct batch_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		b->spans[rows[i].span].written++;
	return true;
}

/* The COPY has begun: rows into the staging table, and from there into the table. */
static bool run_round(struct sink *s, struct batch *b, const struct batch_row *rows, size_t n, struct err *err)
{
	int64_t start = clock_mono_us();
	if (!copy_rows(s, b, rows, n, err))
		return false;
	int64_t copied = clock_mono_us();
	bool ok = s->direct ? count_all(b, rows, n) : merge_rows(s, b, rows, n, err);
	int64_t merged = clock_mono_us();
	stats_observe(METRIC_COPY_SECONDS, b->stream->index, copied - start);
	stats_observe(METRIC_MERGE_SECONDS, b->stream->index, merged - copied);
	stats_add(METRIC_BUSY_SECONDS, STAGE_COPY, 0, copied - start);
	stats_add(METRIC_BUSY_SECONDS, STAGE_MERGE, 0, merged - copied);
	return ok;
}

/* A round of its own: empties the staging table first. */
bool sink_apply(struct sink *s, struct batch *b, const struct batch_row *rows, size_t n, struct err *err)
{
	sql_reset(s);
	buf_printf(&s->sql, "%s; %s", b->stream->sql->clear_stage, b->stream->sql->copy_stage);
	return pg_copy_begin(s->pg, buf_cstr(&s->sql), NULL, 0, err) && run_round(s, b, rows, n, err);
}

/* --- dead letters and the batch's own row --- */

static void put_text(struct buf *out, const char *text)
{
	if (!text) {
		buf_be32(out, UINT32_MAX);
		return;
	}
	buf_be32(out, (uint32_t)strlen(text));
	buf_puts(out, text);
}

static void put_bytes(struct buf *out, bool there, struct slice bytes)
{
	buf_be32(out, there ? (uint32_t)bytes.len : UINT32_MAX);
	if (there)
		buf_put(out, bytes.data, bytes.len);
}

static void put_int8(struct buf *out, int64_t n)
{
	buf_be32(out, 8);
	buf_be64(out, (uint64_t)n);
}

static void put_dead_letter(struct sink *s, const struct batch *b, const struct dead_letter *d)
{
	const int64_t epoch_2000_us = INT64_C(946684800) * US_PER_S;
	const struct span *span = &b->spans[d->span];
	struct buf *out = &s->chunk;
	buf_be16(out, 11);
	put_text(out, s->config->group_id);
	put_text(out, span->topic);
	buf_be32(out, 4);
	buf_be32(out, (uint32_t)span->partition);
	put_int8(out, d->offset);
	put_text(out, b->stream->config->name);
	put_text(out, dead_reason_name(d->reason));
	put_text(out, d->detail);
	put_bytes(out, d->has_key, d->key);
	put_bytes(out, d->has_value, d->value);
	if (d->headers) {
		buf_be32(out, (uint32_t)strlen(d->headers) + 1);
		buf_u8(out, 1); /* version of jsonb's binary form */
		buf_puts(out, d->headers);
	} else {
		buf_be32(out, UINT32_MAX);
	}
	if (d->timestamp_ms >= 0)
		put_int8(out, d->timestamp_ms * US_PER_MS - epoch_2000_us);
	else
		buf_be32(out, UINT32_MAX);
}

static bool write_dead_letters(struct sink *s, const struct batch *b, struct err *err)
{
	size_t n = 0;
	for (size_t i = 0; i < b->ndead; i++)
		n += b->spans[b->dead[i].span].result == SPAN_OPEN;
	if (n == 0)
		return true;
	if (!pg_copy_begin(
		    s->pg,
		    "COPY memingest.dead_letters (pipeline, topic, partition, \"offset\", stream, reason, detail, key,"
		    " value, headers, event_time) FROM STDIN (FORMAT binary)",
		    NULL, 0, err))
		return err_wrap(err, "dead letters");
	s->chunk.len = 0;
	buf_put(&s->chunk, copy_header, sizeof(copy_header));
	for (size_t i = 0; i < b->ndead; i++) {
		if (b->spans[b->dead[i].span].result != SPAN_OPEN)
			continue;
		put_dead_letter(s, b, &b->dead[i]);
		if (!copy_flush(s, CHUNK_BYTES, err))
			return false;
	}
	buf_put(&s->chunk, copy_trailer, sizeof(copy_trailer));
	return (copy_flush(s, 1, err) && pg_copy_end(s->pg, NULL, err)) || err_wrap(err, "dead letters");
}

/* A span without offsets only asks whether its row is as expected: the swap was all there is to do for it. */
static void batches_sql(struct sink *s, struct span *const *spans, size_t n)
{
	size_t rows = 0;
	for (size_t i = 0; i < n; i++) {
		const struct span *span = spans[i];
		if (span->to == span->from)
			continue;
		if (rows++ == 0)
			buf_puts(&s->sql, "INSERT INTO memingest.batches (pipeline, topic, partition, from_offset,"
					  " to_offset, rows, merged, superseded, dead, owner_epoch, committed_at)"
					  " VALUES ");
		buf_puts(&s->sql, rows > 1 ? ", (" : "(");
		pg_quote_literal(&s->sql, s->config->group_id);
		buf_puts(&s->sql, ", ");
		pg_quote_literal(&s->sql, span->topic);
		buf_printf(&s->sql, ", %d, %" PRId64 ", %" PRId64 ", %u, %u, %u, %u, %" PRId64 ", clock_timestamp())",
			   span->partition, span->from, span->to, span->events, span->written,
			   span->events - span->dead - span->written, span->dead, span->owner_epoch);
	}
	buf_puts(&s->sql, rows > 0 ? "; " : "");
}

static bool commit(struct sink *s, struct batch *b, struct span *const *spans, size_t n, struct err *err)
{
	int64_t start = clock_mono_us();
	sql_reset(s);
	batches_sql(s, spans, n);
	buf_puts(&s->sql, "COMMIT");
	b->commit_sent = true;
	if (!pg_exec(s->pg, buf_cstr(&s->sql), NULL, 0, err)) {
		/* An answer with a SQLSTATE on a living session is a definite no. */
		b->commit_sent = !pg_ok(s->pg) || err->code[0] == '\0';
		return err_wrap(err, "commit");
	}
	b->commit_sent = false;
	for (size_t i = 0; i < n; i++)
		spans[i]->result = SPAN_COMMITTED;
	stats_observe(METRIC_COMMIT_SECONDS, 0, clock_mono_us() - start);
	stats_add(METRIC_BUSY_SECONDS, STAGE_COMMIT, 0, clock_mono_us() - start);
	return true;
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

enum begun { BEGUN, BEGUN_FENCED, BEGUN_FAILED };

/* BEGIN and the swap, and in the same round trip the first COPY if there are rows. */
static enum begun begin(struct sink *s, struct batch *b, struct span *const *spans, size_t n, bool copy,
			struct err *err)
{
	int64_t affected[2] = {0, 0};
	sql_reset(s);
	buf_puts(&s->sql, "BEGIN; ");
	swap_sql(s, spans, n);
	if (copy) {
		buf_puts(&s->sql, "; ");
		buf_puts(&s->sql, s->direct ? b->stream->sql->copy_direct : b->stream->sql->copy_stage);
	}
	bool ok = copy ? pg_copy_begin(s->pg, buf_cstr(&s->sql), affected, 2, err)
		       : pg_exec(s->pg, buf_cstr(&s->sql), affected, 2, err);
	if (!ok)
		return BEGUN_FAILED;
	if (affected[1] == (int64_t)n)
		return BEGUN;
	struct err ignored;
	if (copy && pg_copy_end(s->pg, "fenced", &ignored))
		log_warn("a COPY that was called off succeeded");
	return BEGUN_FENCED;
}

static bool apply_rounds(struct sink *s, struct batch *b, struct err *err)
{
	if (b->nrounds == 0)
		return true;
	if (!run_round(s, b, b->arranged, b->rounds[1], err))
		return false;
	for (size_t r = 1; r < b->nrounds; r++)
		if (!sink_apply(s, b, b->arranged + b->rounds[r], b->rounds[r + 1] - b->rounds[r], err))
			return false;
	return true;
}

/* --- straight into the table --- */

#define DIRECT_BACKOFF 64

static bool may_go_direct(struct sink *s, const struct batch *b)
{
	struct direct *d = &s->directs[b->stream->index];
	if (!b->stream->sql->copy_direct || b->nrounds != 1)
		return false;
	for (size_t i = 0; i < b->narranged; i++)
		if (b->arranged[i].op == RECORD_DELETE)
			return false;
	if (d->wait > 0)
		d->wait--;
	return d->wait == 0;
}

/* A key was there already, or the table does not take COPY (row level security, a view): the staging table does it all. */
static bool direct_refused(struct sink *s, const struct batch *b, const struct err *err)
{
	struct direct *d = &s->directs[b->stream->index];
	if (!s->direct || !pg_ok(s->pg) || (strcmp(err->code, "23505") != 0 && err->class != ERR_CONFIG))
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

enum sink_result sink_write(struct sink *s, struct batch *b, struct err *err)
{
	struct span **spans;
	int64_t start = clock_mono_us();
	err_clear(err);
	batch_arrange(b, &s->rules[b->stream->index]);
	size_t n = open_spans(b, &spans);
	for (size_t i = 0; i < n; i++)
		spans[i]->written = 0;
	if (n == 0)
		return SINK_DONE;
	s->direct = may_go_direct(s, b);
	if (!s->direct && !sink_stage(s, b, err))
		return SINK_FAILED;
	switch (begin(s, b, spans, n, b->nrounds > 0, err)) {
	case BEGUN:
		break;
	case BEGUN_FENCED:
		sink_roll_back(s);
		return decide_spans(s, b, err) ? SINK_AGAIN : SINK_FAILED;
	case BEGUN_FAILED:
		return failed(s, b, err);
	}
	if (!apply_rounds(s, b, err) || !write_dead_letters(s, b, err) || !commit(s, b, spans, n, err))
		return failed(s, b, err);
	if (s->direct)
		s->directs[b->stream->index].backoff = 0;
	guard_count(&s->guards[b->stream->index], s->config, b->nevents);
	stats_observe(METRIC_TRANSACTION_SECONDS, b->stream->index, clock_mono_us() - start);
	return SINK_DONE;
}

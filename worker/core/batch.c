/*
 * batch.c - rows, offsets and dead letters that will share one transaction.
 *
 *   rows     | row | row | row | ...   as decoded, in order of arrival; never moved once written
 *   events   one per row: key hash, version, offset, span; and those that are skipped, without one
 *   spans    one per partition: [from, to), what the offsets row will say
 *   dead     dead letters, their bytes in the arena
 *   refused  events that PostgreSQL refuses; the first nburied of them have their dead letter
 *
 * A transaction takes the events from "first" to "limit":
 *
 *   events   | written already | this transaction | refused, not buried yet, and what follows |
 *            0               first              limit                                   nevents
 *
 * The limit is the first refused event that has no dead letter yet, else the end, or a cut.
 *
 * Invariants: spans cover every event (from <= offset < to); what a transaction takes of a span is
 * [from, upto), and the next one begins there.
 *
 * rows.data is reserved in full at the start and touched as it fills, so it does not move and costs
 * what is used. The arena of folded rows is emptied at every arranging, the arena of dead letters
 * at batch_reset(). What all of it comes to stands in "bytes" for the memory budget (core/pool.h):
 * the owner renews it, others read it.
 *
 * Thread: the owner's, but for "bytes".
 */
#include "core/batch.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "codec/vector.h"
#include "core/stream.h"

/* Reserves rows in full, so that they never move; pages cost only once they are touched. */
struct batch *batch_new(size_t max_events, size_t max_bytes)
{
	struct batch *b = xcalloc(1, sizeof(*b));
	b->max_events = max_events;
	b->events = xmalloc(max_events * sizeof(*b->events));
	b->arranged = xmalloc(max_events * sizeof(*b->arranged));
	b->arena = arena_new();
	b->fold_arena = arena_new();
	buf_grow(&b->rows, max_bytes);
	return b;
}

void batch_free(struct batch *b)
{
	if (!b)
		return;
	arena_free(b->arena);
	arena_free(b->fold_arena);
	buf_free(&b->rows);
	free(b->events);
	free(b->wants);
	free(b->spans);
	free(b->dead);
	free(b->refused);
	free(b->arranged);
	free(b->rounds);
	free(b->scratch);
	free(b);
}

/* Keeps all memory: the next batch will need it. */
void batch_reset(struct batch *b)
{
	b->touched = MAX(b->touched, b->rows.len);
	b->rows.len = 0;
	b->nevents = b->first = b->limit = b->nspans = b->ndead = b->narranged = b->nrounds = 0;
	b->nrefused = b->nburied = b->nfolded = b->folded_bytes = b->nunited = 0;
	b->opened_us = 0;
	b->nwants = b->nopen = 0;
	b->embedding = (struct embedding){0};
	b->judged = b->apart = b->escaped = b->in_order = b->prepared = b->commit_sent = false;
	b->unique_failures = 0;
	arena_reset(b->arena);
	arena_reset(b->fold_arena);
	batch_account(b);
}

/* Only of an empty batch. The first and last page may be somebody else's. */
void batch_trim(struct batch *b)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uintptr_t start = ((uintptr_t)b->rows.data + page - 1) & ~(page - 1);
	uintptr_t end = ((uintptr_t)b->rows.data + b->rows.cap) & ~(page - 1);
	assert(b->rows.len == 0);
	if (end > start)
		(void)madvise((void *)start, end - start, MADV_DONTNEED);
	b->touched = 0;
}

void batch_account(struct batch *b)
{
	size_t bytes = b->rows.len + b->nevents * (sizeof(struct event) + sizeof(struct batch_row));
	bytes += b->ndead * sizeof(struct dead_letter) + b->nrefused * sizeof(struct refused);
	bytes += b->nwants * sizeof(struct batch_want);
	bytes += arena_bytes(b->arena) + arena_bytes(b->fold_arena);
	atomic_store_explicit(&b->bytes, bytes, memory_order_relaxed);
}

void span_fence(struct span *span, const char *owner, int64_t next_offset, int64_t owner_epoch)
{
	span->result = SPAN_FENCED;
	if (owner)
		snprintf(span->note, sizeof(span->note),
			 "expected next_offset %" PRId64 " epoch %" PRId64 ", found %" PRId64
			 " epoch %" PRId64 " owner %s",
			 span->from, span->owner_epoch, next_offset, owner_epoch, owner);
	else
		snprintf(span->note, sizeof(span->note),
			 "expected next_offset %" PRId64 ", found no row", span->from);
}

/* Looked for from the first: a batch has few partitions. */
uint32_t batch_span(struct batch *b, const char *topic, int32_t partition, void *owner,
		    int64_t from, int64_t owner_epoch)
{
	for (size_t i = 0; i < b->nspans; i++)
		if (b->spans[i].owner == owner && b->spans[i].result == SPAN_OPEN)
			return (uint32_t)i;
	if (b->nspans == b->cap_spans) {
		b->cap_spans = b->cap_spans ? 2 * b->cap_spans : 8;
		b->spans = xrealloc(b->spans, b->cap_spans * sizeof(*b->spans));
	}
	b->spans[b->nspans] = (struct span){.topic = topic,
					    .partition = partition,
					    .owner = owner,
					    .from = from,
					    .to = from,
					    .upto = from,
					    .owner_epoch = owner_epoch,
					    .leader_epoch = -1,
					    .first_ts_ms = -1,
					    .last_ts_ms = -1};
	return (uint32_t)b->nspans++;
}

/* Offsets only go up; timestamps need not. */
static void span_took(struct span *s, int64_t offset, int64_t timestamp_ms)
{
	assert(offset >= s->to);
	s->to = offset + 1;
	if (timestamp_ms < 0)
		return;
	if (s->first_ts_ms < 0)
		s->first_ts_ms = timestamp_ms;
	s->last_ts_ms = timestamp_ms;
}

/* Of the event that comes next. */
static void add_wants(struct batch *b, const struct record *record)
{
	while (b->nwants + record->nwants > b->cap_wants) {
		b->cap_wants = b->cap_wants ? 2 * b->cap_wants : 64;
		b->wants = xrealloc(b->wants, b->cap_wants * sizeof(*b->wants));
	}
	for (size_t i = 0; i < record->nwants; i++)
		b->wants[b->nwants++] =
			(struct batch_want){.event = (uint32_t)b->nevents, .at = record->wants[i]};
	b->nopen += record->nwants;
}

/* The row is there already; the key's bytes come first in it. */
void batch_add(struct batch *b, uint32_t span, int64_t offset, int64_t timestamp_ms,
	       const struct record *record)
{
	assert(b->nevents < b->max_events);
	size_t row = b->rows.len - record->row_len;
	uint32_t want = (uint32_t)b->nwants;
	add_wants(b, record);
	b->events[b->nevents++] =
		(struct event){.hash = XXH3_64bits(b->rows.data + row, record->key_len),
			       .offset = offset,
			       .version = record->version,
			       .row = row,
			       .row_len = (uint32_t)record->row_len,
			       .key_len = (uint32_t)record->key_len,
			       .want = want,
			       .nwants = (uint8_t)record->nwants,
			       .span = span,
			       .op = (uint8_t)record->op,
			       .has_version = record->has_version};
	b->limit = b->nevents;
	span_took(&b->spans[span], offset, timestamp_ms);
}

/* Takes a place among the events, so that offsets stay in order, but has no row. */
void batch_skip(struct batch *b, uint32_t span, int64_t offset, int64_t timestamp_ms)
{
	assert(b->nevents < b->max_events);
	b->events[b->nevents++] = (struct event){
		.offset = offset, .row = b->rows.len, .span = span, .dead = true, .skipped = true};
	b->limit = b->nevents;
	span_took(&b->spans[span], offset, timestamp_ms);
}

/* --- vectors --- */

struct slice batch_text(const struct batch *b, size_t want)
{
	const struct batch_want *w = &b->wants[want];
	const uint8_t *field = b->rows.data + b->events[w->event].row + w->at.text_at;
	return (struct slice){field + 4, get_be32(field)};
}

static const struct column *column_of(const struct batch *b, const struct batch_want *w)
{
	const struct table *t = b->stream->table;
	return &t->columns[t->embeds[w->at.embed].vector];
}

/*
 * In place: no row moves but for its own end. From the last vector to the first, so that none of
 * them has moved when it is its turn.
 */
static void make_nulls(struct batch *b, struct event *e)
{
	uint8_t *row = b->rows.data + e->row;
	for (size_t i = e->nwants; i-- > 0;) {
		const struct batch_want *w = &b->wants[e->want + i];
		if (w->state == WANT_NULL)
			e->row_len -= (uint32_t)vector_make_null(row + w->at.vector_at,
								 column_of(b, w), row + e->row_len);
	}
}

/* A text that another model has still to see must not move, so NULLs wait for the last one. */
bool batch_embed(struct batch *b, size_t want, const uint8_t *vector)
{
	struct batch_want *w = &b->wants[want];
	struct event *e = &b->events[w->event];
	assert(w->state == WANT_OPEN);
	if (vector &&
	    !vector_fill(b->rows.data + e->row + w->at.vector_at, column_of(b, w), vector))
		return false;
	w->state = vector ? WANT_FILLED : WANT_NULL;
	b->nopen--;
	for (size_t i = 0; i < e->nwants; i++)
		if (b->wants[e->want + i].state == WANT_OPEN)
			return true;
	make_nulls(b, e);
	return true;
}

/* It has no row any more that a vector could be in. */
static void close_wants(struct batch *b, const struct event *e)
{
	for (size_t i = 0; i < e->nwants; i++) {
		struct batch_want *w = &b->wants[e->want + i];
		b->nopen -= w->state == WANT_OPEN;
		w->state = WANT_NULL;
	}
}

/* --- dead letters --- */

static struct slice keep_slice(struct batch *b, struct slice s)
{
	if (s.len == 0)
		return (struct slice){0};
	return (struct slice){arena_memdup(b->arena, s.data, s.len), s.len};
}

/* The bytes are copied: the message is gone when the letter is written. */
static void keep_dead(struct batch *b, const struct dead_letter *letter)
{
	if (b->ndead == b->cap_dead) {
		b->cap_dead = b->cap_dead ? 2 * b->cap_dead : 16;
		b->dead = xrealloc(b->dead, b->cap_dead * sizeof(*b->dead));
	}
	struct dead_letter *d = &b->dead[b->ndead++];
	*d = *letter;
	d->written = false;
	d->detail = arena_strdup(b->arena, letter->detail);
	d->key = keep_slice(b, letter->key);
	d->value = keep_slice(b, letter->value);
	d->headers = letter->headers ? arena_strdup(b->arena, letter->headers) : NULL;
}

void batch_add_dead(struct batch *b, const struct dead_letter *letter)
{
	keep_dead(b, letter);
	span_took(&b->spans[letter->span], letter->offset, letter->timestamp_ms);
}

void batch_advance(struct batch *b, uint32_t span, int64_t to)
{
	b->spans[span].to = MAX(b->spans[span].to, to);
}

/* A refused event without dead letter ends the transaction before it. */
static void renew_limit(struct batch *b)
{
	b->limit = b->nburied < b->nrefused ? b->refused[b->nburied].event : b->nevents;
}

/* In the order of events, as they are buried in that order. */
void batch_refuse(struct batch *b, uint32_t event, enum dead_reason reason, const char *why)
{
	assert(b->nrefused == b->nburied || b->refused[b->nrefused - 1].event < event);
	if (b->nrefused == b->cap_refused) {
		b->cap_refused = b->cap_refused ? 2 * b->cap_refused : 16;
		b->refused = xrealloc(b->refused, b->cap_refused * sizeof(*b->refused));
	}
	b->refused[b->nrefused++] = (struct refused){
		.event = event, .reason = reason, .why = arena_strdup(b->arena, why)};
	renew_limit(b);
}

void batch_forgive(struct batch *b)
{
	b->nrefused = b->nburied;
	renew_limit(b);
}

/* The next refused event in turn: what it is and why is known; the message comes with it. */
void batch_bury(struct batch *b, const struct dead_letter *letter)
{
	const struct refused *r = &b->refused[b->nburied++];
	struct event *e = &b->events[r->event];
	struct dead_letter whole = *letter;
	assert(!e->dead);
	e->dead = true;
	close_wants(b, e);
	whole.span = e->span;
	whole.offset = e->offset;
	whole.reason = r->reason;
	if (!whole.detail)
		whole.detail = r->why;
	keep_dead(b, &whole);
	renew_limit(b);
	batch_account(b);
}

/* --- the transaction's part --- */

/* They have their dead letters, or the limit would lie before them. */
uint64_t batch_refused(const struct batch *b)
{
	uint64_t n = 0;
	for (size_t i = 0; i < b->nburied; i++)
		n += b->refused[i].event >= b->first && b->refused[i].event < b->limit;
	return n;
}

void batch_cut(struct batch *b, size_t limit)
{
	b->limit = MAX(MIN(b->limit, limit), b->first + 1);
}

/* Of a batch that is cut the spans end behind the last event that is taken. */
void batch_measure(struct batch *b)
{
	bool whole = b->limit == b->nevents;
	for (size_t i = 0; i < b->nspans; i++) {
		struct span *s = &b->spans[i];
		s->upto = whole ? s->to : s->from;
		s->now = (struct tally){0};
	}
	for (size_t i = b->first; i < b->limit; i++) {
		const struct event *e = &b->events[i];
		struct span *s = &b->spans[e->span];
		s->upto = MAX(s->upto, e->offset + 1);
		s->now.events += !e->dead || e->skipped;
		s->now.skipped += e->skipped;
	}
	for (size_t i = 0; i < b->ndead; i++) {
		struct span *s = &b->spans[b->dead[i].span];
		bool mine = !b->dead[i].written && b->dead[i].offset < s->upto;
		s->now.events += mine;
		s->now.dead += mine;
	}
}

/* What is durable is done; the next transaction begins behind it. */
static void span_moves_on(struct span *s)
{
	s->done.events += s->now.events;
	s->done.written += s->now.written;
	s->done.dead += s->now.dead;
	s->done.skipped += s->now.skipped;
	s->now = (struct tally){0};
	s->from = s->upto;
}

/* Letters of spans that were fenced are not written: their owner is another. */
bool batch_committed(struct batch *b)
{
	bool whole = b->limit == b->nevents;
	for (size_t i = 0; i < b->ndead; i++) {
		const struct span *s = &b->spans[b->dead[i].span];
		b->dead[i].written |= s->result == SPAN_OPEN && b->dead[i].offset < s->upto;
	}
	for (size_t i = 0; i < b->nspans; i++) {
		if (b->spans[i].result != SPAN_OPEN)
			continue;
		span_moves_on(&b->spans[i]);
		if (whole)
			b->spans[i].result = SPAN_COMMITTED;
	}
	b->first = b->limit;
	b->commit_sent = false;
	renew_limit(b);
	return whole;
}

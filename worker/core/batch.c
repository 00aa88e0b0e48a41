/*
 * batch.c - rows, offsets and dead letters that will share one transaction.
 *
 *   rows     | row | row | row | ...   as decoded, in order of arrival; never moved once written
 *   events   one per row: key hash, version, offset, span
 *   spans    one per partition: [from, to), what the offsets row will say
 *   dead     dead letters, their bytes in the arena
 *
 * batch_arrange() looks at the events in order of arrival and keeps, per key, one pending row. The
 * next event of that key is folded into it (core/fold.c) or, where that could change the outcome,
 * closes it: the pending row stays in its round and the event begins the next. Rounds are merged
 * one after another, and within a round every key occurs once. Rows are sorted by their key bytes
 * so that transactions of all lanes and workers take row locks in one order, and so that neighbours
 * in the index come together.
 *
 *   events  k1 k2 k1 k3 k1(apart)      round 0: k1 k2 k3      round 1: k1
 *
 * Invariants: spans cover every event (from <= offset < to); an event is in at most one row; rows
 * of one round have distinct keys.
 *
 * rows.data is reserved in full at the start and touched as it fills, so it does not move and costs
 * what is used. The arena of folded rows is emptied at every batch_arrange(), the arena of dead
 * letters at batch_reset().
 *
 * Thread: the owner's.
 */
#include "core/batch.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

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
	free(b->spans);
	free(b->dead);
	free(b->arranged);
	free(b->rounds);
	free(b->scratch);
	free(b);
}

void batch_reset(struct batch *b)
{
	b->touched = MAX(b->touched, b->rows.len);
	b->rows.len = 0;
	b->nevents = b->nspans = b->ndead = b->narranged = b->nrounds = 0;
	b->arena_bytes = 0;
	b->opened_us = 0;
	b->prepared = b->commit_sent = false;
	b->unique_failures = 0;
	b->stream = NULL;
	arena_reset(b->arena);
	arena_reset(b->fold_arena);
}

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

size_t batch_bytes(const struct batch *b)
{
	return b->rows.len + b->arena_bytes;
}

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
					    .owner_epoch = owner_epoch,
					    .leader_epoch = -1,
					    .first_ts_ms = -1,
					    .last_ts_ms = -1};
	return (uint32_t)b->nspans++;
}

static void span_took(struct span *s, int64_t offset, int64_t timestamp_ms)
{
	assert(offset >= s->to);
	s->to = offset + 1;
	s->events++;
	if (timestamp_ms < 0)
		return;
	if (s->first_ts_ms < 0)
		s->first_ts_ms = timestamp_ms;
	s->last_ts_ms = timestamp_ms;
}

void batch_add(struct batch *b, uint32_t span, int64_t offset, int64_t timestamp_ms,
	       const struct record *record)
{
	assert(b->nevents < b->max_events);
	size_t row = b->rows.len - record->row_len;
	b->events[b->nevents++] =
		(struct event){.hash = XXH3_64bits(b->rows.data + row, record->key_len),
			       .offset = offset,
			       .version = record->version,
			       .row = row,
			       .row_len = (uint32_t)record->row_len,
			       .key_len = (uint32_t)record->key_len,
			       .span = span,
			       .op = (uint8_t)record->op,
			       .has_version = record->has_version};
	span_took(&b->spans[span], offset, timestamp_ms);
}

static struct slice keep_slice(struct batch *b, struct slice s)
{
	if (s.len == 0)
		return (struct slice){0};
	b->arena_bytes += s.len;
	return (struct slice){arena_memdup(b->arena, s.data, s.len), s.len};
}

static void keep_dead(struct batch *b, const struct dead_letter *letter)
{
	if (b->ndead == b->cap_dead) {
		b->cap_dead = b->cap_dead ? 2 * b->cap_dead : 16;
		b->dead = xrealloc(b->dead, b->cap_dead * sizeof(*b->dead));
	}
	struct dead_letter *d = &b->dead[b->ndead++];
	*d = *letter;
	d->detail = arena_strdup(b->arena, letter->detail);
	d->key = keep_slice(b, letter->key);
	d->value = keep_slice(b, letter->value);
	d->headers = letter->headers ? arena_strdup(b->arena, letter->headers) : NULL;
	b->spans[letter->span].dead++;
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

void batch_kill(struct batch *b, uint32_t event, const struct dead_letter *letter)
{
	assert(!b->events[event].dead);
	b->events[event].dead = true;
	keep_dead(b, letter);
}

/* --- arranging --- */

/* What is pending for one key. Rows that were closed stay in the list with their round. */
struct pending {
	struct fold_row fold;
	uint32_t event, key_len, round;
};

struct sort_key;

struct arranger {
	struct batch *b;
	const struct fold_rules *rules;
	uint32_t *slots; /* open addressing: index + 1 into rows, 0 free */
	size_t mask;
	struct pending *rows; /* in order of creation; the slot points at the newest of its key */
	size_t nrows;
	struct sort_key *keys, *spare; /* room for all rows, each */
	uint32_t max_round;
};

static const uint8_t *event_row(const struct batch *b, const struct event *e)
{
	return b->rows.data + e->row;
}

static uint32_t *find_slot(struct arranger *a, const struct event *e)
{
	for (size_t i = e->hash & a->mask;; i = (i + 1) & a->mask) {
		uint32_t at = a->slots[i];
		if (at == 0)
			return &a->slots[i];
		const struct event *other = &a->b->events[a->rows[at - 1].event];
		if (other->hash == e->hash && other->key_len == e->key_len &&
		    memcmp(event_row(a->b, other), event_row(a->b, e), e->key_len) == 0)
			return &a->slots[i];
	}
}

static struct fold_row as_fold_row(const struct batch *b, const struct event *e)
{
	return (struct fold_row){.op = (enum record_op)e->op,
				 .has_version = e->has_version,
				 .version = e->version,
				 .row = {event_row(b, e), e->row_len}};
}

static void open_row(struct arranger *a, uint32_t *slot, uint32_t event, uint32_t round)
{
	const struct event *e = &a->b->events[event];
	a->rows[a->nrows++] = (struct pending){.fold = as_fold_row(a->b, e),
					       .event = event,
					       .key_len = e->key_len,
					       .round = round};
	*slot = (uint32_t)a->nrows;
	a->max_round = MAX(a->max_round, round);
}

static void take_event(struct arranger *a, uint32_t event)
{
	const struct event *e = &a->b->events[event];
	uint32_t *slot = find_slot(a, e);
	if (*slot == 0) {
		open_row(a, slot, event, 0);
		return;
	}
	struct pending *p = &a->rows[*slot - 1];
	struct fold_row second = as_fold_row(a->b, e), merged;
	switch (fold(a->rules, &p->fold, &second, a->b->fold_arena, &merged)) {
	case FOLD_FIRST:
		break;
	case FOLD_SECOND:
		p->fold = second;
		p->event = event;
		break;
	case FOLD_MERGED:
		p->fold = merged;
		p->event = event;
		break;
	case FOLD_APART:
		open_row(a, slot, event, p->round + 1);
		break;
	}
}

/*
 * What is sorted: the key's first eight bytes behind those that all keys share, as a number, zeros
 * behind a shorter key. Keys begin alike (length, namespace-...), so this mostly decides without a
 * look at the row.
 */
struct sort_key {
	uint64_t head;
	const struct pending *row;
};

/* Whether the key of b comes before that of a. */
static inline bool comes_before(const struct sort_key *b, const struct sort_key *a)
{
	if (b->head != a->head)
		return b->head < a->head;
	uint32_t m = b->row->key_len, n = a->row->key_len;
	int order = memcmp(b->row->fold.row.data, a->row->fold.row.data, MIN(m, n));
	return order < 0 || (order == 0 && m < n);
}

/* Two sorted neighbours, from and from + middle, into one at "to". */
static void merge_keys(const struct sort_key *from, size_t middle, size_t n, struct sort_key *to)
{
	const struct sort_key *a = from, *b = from + middle, *b_end = from + n;
	while (a < from + middle && b < b_end) {
		bool second = comes_before(b, a);
		*to++ = second ? *b : *a;
		b += second;
		a += !second;
	}
	while (a < from + middle)
		*to++ = *a++;
	while (b < b_end)
		*to++ = *b++;
}

/*
 * Merge sort: unlike qsort() it has the comparison inline, which is half its cost. Keys are left in
 * either array.
 */
static struct sort_key *sort_keys(struct sort_key *keys, struct sort_key *spare, size_t n)
{
	for (size_t width = 1; width < n; width *= 2) {
		for (size_t i = 0; i < n; i += 2 * width)
			merge_keys(keys + i, MIN(width, n - i), MIN(2 * width, n - i), spare + i);
		struct sort_key *sorted = spare;
		spare = keys;
		keys = sorted;
	}
	return keys;
}

/* How many bytes all keys begin with. */
static uint32_t shared_prefix(const struct sort_key *keys, size_t n)
{
	const struct pending *first = keys[0].row;
	uint32_t shared = first->key_len;
	for (size_t i = 1; i < n; i++) {
		const struct pending *p = keys[i].row;
		shared = MIN(shared, p->key_len);
		if (memcmp(first->fold.row.data, p->fold.row.data, shared) == 0)
			continue;
		for (uint32_t k = 0; k < shared; k++)
			if (first->fold.row.data[k] != p->fold.row.data[k])
				shared = k;
	}
	return shared;
}

/* Keys are those of one round. */
static void place_round(const struct arranger *a, struct sort_key *keys, size_t n,
			struct batch_row *out)
{
	uint32_t shared = n > 0 ? shared_prefix(keys, n) : 0;
	for (size_t i = 0; i < n; i++) {
		const struct pending *p = keys[i].row;
		uint8_t head[8] = {0};
		memcpy(head, p->fold.row.data + shared, MIN(sizeof(head), p->key_len - shared));
		keys[i].head = get_be64(head);
	}
	keys = sort_keys(keys, a->spare, n);
	for (size_t i = 0; i < n; i++) {
		const struct pending *p = keys[i].row;
		out[i] = (struct batch_row){.data = p->fold.row,
					    .key_len = p->key_len,
					    .event = p->event,
					    .span = a->b->events[p->event].span,
					    .op = (uint8_t)p->fold.op};
	}
}

/* Counting sort by round, then by key within each. */
static void place_rows(struct arranger *a)
{
	struct batch *b = a->b;
	b->nrounds = a->nrows ? a->max_round + 1 : 0;
	b->rounds = xrealloc(b->rounds, (b->nrounds + 2) * sizeof(*b->rounds));
	memset(b->rounds, 0, (b->nrounds + 2) * sizeof(*b->rounds));
	for (size_t i = 0; i < a->nrows; i++)
		b->rounds[a->rows[i].round + 2]++;
	for (size_t r = 2; r < b->nrounds + 2; r++)
		b->rounds[r] += b->rounds[r - 1];
	for (size_t i = 0; i < a->nrows; i++)
		a->keys[b->rounds[a->rows[i].round + 1]++].row = &a->rows[i];
	for (size_t r = 0; r < b->nrounds; r++) {
		size_t first = b->rounds[r], n = b->rounds[r + 1] - first;
		place_round(a, a->keys + first, n, b->arranged + first);
	}
	b->narranged = a->nrows;
}

static size_t table_size(size_t events)
{
	size_t size = 16;
	while (size < 2 * events)
		size *= 2;
	return size;
}

void batch_arrange(struct batch *b, const struct fold_rules *rules)
{
	size_t slots = table_size(b->nevents);
	size_t need = slots * sizeof(uint32_t) +
		      b->nevents * (sizeof(struct pending) + 2 * sizeof(struct sort_key));
	if (b->scratch_size < need) {
		free(b->scratch);
		b->scratch = xmalloc(need);
		b->scratch_size = need;
	}
	struct arranger a = {.b = b, .rules = rules, .mask = slots - 1, .slots = b->scratch};
	a.rows = (struct pending *)(a.slots + slots);
	a.keys = (struct sort_key *)(a.rows + b->nevents);
	a.spare = a.keys + b->nevents;
	memset(a.slots, 0, slots * sizeof(*a.slots));
	arena_reset(b->fold_arena);
	for (size_t i = 0; i < b->nevents; i++)
		if (!b->events[i].dead && b->spans[b->events[i].span].result == SPAN_OPEN)
			take_event(&a, (uint32_t)i);
	place_rows(&a);
}

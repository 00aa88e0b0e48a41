/*
 * arrange.c - which rows a batch's events come to, and in which order they go to PostgreSQL.
 *
 * Folded: looks at the events in order of arrival and keeps, per key, one pending row. The next
 * event of that key is folded into it (core/fold.c) or, where that could change the outcome, closes
 * it: the pending row stays in its round and the event begins the next. Rounds are merged one after
 * another, and within a round every key occurs once. Rows are sorted by their key bytes so that
 * transactions of all lanes and workers take row locks in one order, and so that neighbours in the
 * index come together.
 *
 *   events  k1 k2 k1 k3 k1(apart)      round 0: k1 k2 k3      round 1: k1
 *
 * In order: as they came, for a table whose rows depend on each other, or that refuses some.
 *
 * Invariants: an event is in at most one row; rows of one round have distinct keys (folded).
 *
 * Thread: the batch's owner. Memory: the batch's, its arena of folded rows being emptied first.
 */
#include "core/arrange.h"

#include <stdlib.h>
#include <string.h>

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

/* Open addressing: the key's slot, or the free one where it belongs. */
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

/* A key without a pending row, or one whose row has been closed. */
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

/* Of what the indexes beside the key's would have to take. */
static size_t indexed_bytes(const struct arranger *a, const struct event *e)
{
	const struct fold_rules *rules = a->rules;
	const uint8_t *p = event_row(a->b, e);
	size_t bytes = 0;
	for (size_t i = 0; rules->indexed && i < rules->table->ncolumns; i++) {
		uint32_t len = get_be32(p), held = len == UINT32_MAX ? 0 : len;
		bytes += rules->indexed[i] ? held : 0;
		p += 4 + (size_t)held;
	}
	return bytes;
}

/* What a fold keeps from PostgreSQL's eyes: see struct batch. */
static void note_folded(struct arranger *a, const struct event *e)
{
	a->b->nfolded++;
	a->b->folded_bytes = MAX(a->b->folded_bytes, indexed_bytes(a, e));
}

/* Folded into the pending row of its key, or the first of a new one. */
static void take_event(struct arranger *a, uint32_t event)
{
	const struct event *e = &a->b->events[event];
	uint32_t *slot = find_slot(a, e);
	if (*slot == 0) {
		open_row(a, slot, event, 0);
		return;
	}
	struct pending *p = &a->rows[*slot - 1];
	struct fold_row second = as_fold_row(a->b, e);
	switch (fold(a->rules, &p->fold, &second, a->b->fold_arena)) {
	case FOLD_FIRST:
		note_folded(a, e);
		break;
	case FOLD_SECOND:
		note_folded(a, &a->b->events[p->event]);
		p->fold = second;
		p->event = event;
		break;
	case FOLD_MERGED:
		note_folded(a, &a->b->events[p->event]);
		note_folded(a, e);
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
	struct pending *row;
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
		struct pending *p = keys[i].row;
		fold_pack(a->rules->table, &p->fold, a->b->fold_arena);
		a->b->nunited += p->fold.united;
		out[i] = (struct batch_row){.data = p->fold.row,
					    .key_len = p->key_len,
					    .event = p->event,
					    .span = a->b->events[p->event].span,
					    .op = (uint8_t)p->fold.op,
					    .united = p->fold.united};
	}
}

/* Counting sort by round, then by key within each. */
static void place_rows(struct arranger *a)
{
	struct batch *b = a->b;
	b->nrounds = a->nrows ? a->max_round + 1 : 0;
	b->rounds = xrealloc(b->rounds, (b->nrounds + 1) * sizeof(*b->rounds));
	memset(b->rounds, 0, (b->nrounds + 1) * sizeof(*b->rounds));
	size_t *next = arena_calloc(b->fold_arena, b->nrounds + 1, sizeof(*next));
	for (size_t i = 0; i < a->nrows; i++)
		b->rounds[a->rows[i].round + 1]++;
	for (size_t r = 1; r <= b->nrounds; r++)
		next[r] = b->rounds[r] += b->rounds[r - 1];
	for (size_t i = 0; i < a->nrows; i++)
		a->keys[next[a->rows[i].round]++].row = &a->rows[i];
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

/* What an earlier arranging has made is void. */
static void begin_arranging(struct batch *b)
{
	arena_reset(b->fold_arena);
	batch_measure(b);
	b->narranged = b->nrounds = b->nfolded = b->folded_bytes = b->nunited = 0;
}

static bool is_taken(const struct batch *b, const struct event *e)
{
	return !e->dead && b->spans[e->span].result == SPAN_OPEN;
}

/* All scratch memory is one piece, kept with the batch. */
void arrange_folded(struct batch *b, const struct fold_rules *rules)
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
	begin_arranging(b);
	for (size_t i = b->first; i < b->limit; i++)
		if (is_taken(b, &b->events[i]))
			take_event(&a, (uint32_t)i);
	place_rows(&a);
	b->in_order = false;
	batch_account(b);
}

/* One round, and nothing is folded: each event keeps a row of its own. */
void arrange_in_order(struct batch *b)
{
	begin_arranging(b);
	b->rounds = xrealloc(b->rounds, 2 * sizeof(*b->rounds));
	for (size_t i = b->first; i < b->limit; i++) {
		const struct event *e = &b->events[i];
		if (!is_taken(b, e))
			continue;
		b->arranged[b->narranged++] =
			(struct batch_row){.data = {event_row(b, e), e->row_len},
					   .key_len = e->key_len,
					   .event = (uint32_t)i,
					   .span = e->span,
					   .op = e->op};
	}
	b->nrounds = b->narranged > 0;
	b->rounds[0] = 0;
	b->rounds[1] = b->narranged;
	b->in_order = true;
	batch_account(b);
}

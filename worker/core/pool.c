/*
 * pool.c - batches, memory, and who has to wait for them.
 *
 *   slot (lane 0, memory)    open | spare         batches move: spare -> open -> sealed -> spare
 *   slot (lane 0, pattern)   open | away
 *   slot (lane 1, memory)    -    | away, away    lacks a batch
 *
 * Memory. Half of the budget is divided among the slots: a slot may always fill its share, so that
 * no other one's full or held batches can keep it from going on. The other half is for whoever
 * needs more:
 *
 *   | share | share | share | share |            common            |
 *      a slot takes while it is below its share, or while something is left of the common half
 *
 * So all batches together hold at most the budget and a row for each slot. A slot without memory
 * whose open batch holds events has it sealed: only what is written gives memory back.
 *
 * Waiting. A message that comes out of librdkafka must have a place to go, and pausing a partition
 * makes librdkafka throw away what it has fetched for it. So a slot that can not take is waited for
 * (the poll thread takes nothing), which is short when the lane is merely busy. But the others then
 * wait, too. Hence PATIENCE_US; and a slot that has used it up is slow: for SLOW_US from then on,
 * and again each time it is fed so late, it is shut as soon as it can not take.
 *
 *   TAKES --no batch, no memory--> WAITS --PATIENCE_US--> SHUT --batch and memory--> TAKES
 *     |  ^                           |                     ^
 *     |  +------ fed in time --------+                     |
 *     +--no batch, no memory, and slow --------------------+
 *
 * Invariants: a batch is of one slot for ever; open and spare are empty or filled by us alone; what
 * is neither is away, with a lane.
 *
 * Failure: none. Thread: the poll thread; of batches that are away only "bytes" is read.
 */
#include "core/pool.h"

#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"

#define PATIENCE_US (300 * US_PER_MS)
#define SLOW_US (30 * US_PER_S)

struct pool {
	struct pool_limits limits;
	struct slot *slots; /* [lane * streams + stream] */
	size_t nslots;
	size_t share;  /* bytes that a slot may always hold */
	size_t bytes;  /* in all batches */
	size_t common; /* of these, what slots hold beyond their share */
	size_t kept;   /* bytes of pages that empty batches keep */
};

/* Every slot has its batches from the start: none has to be had later. */
struct pool *pool_new(const struct pool_limits *limits, struct stream *const *streams)
{
	struct pool *p = xcalloc(1, sizeof(*p));
	p->limits = *limits;
	p->nslots = limits->lanes * limits->streams;
	p->slots = xcalloc(p->nslots, sizeof(*p->slots));
	p->share = limits->memory / 2 / p->nslots;
	for (size_t i = 0; i < p->nslots; i++) {
		struct slot *s = &p->slots[i];
		s->lane = i / limits->streams;
		s->stream = streams[i % limits->streams];
		for (size_t k = 0; k < POOL_BATCHES_PER_SLOT; k++) {
			s->all[k] = batch_new(limits->rows, limits->bytes + limits->row_bytes);
			s->all[k]->lane = s->lane;
			s->all[k]->stream = s->stream;
		}
		s->open = s->all[0];
		s->spare = s->all[1];
	}
	return p;
}

void pool_free(struct pool *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->nslots; i++)
		for (size_t k = 0; k < POOL_BATCHES_PER_SLOT; k++)
			batch_free(p->slots[i].all[k]);
	free(p->slots);
	free(p);
}

struct slot *pool_slots(struct pool *p, size_t *n)
{
	*n = p->nslots;
	return p->slots;
}

struct slot *pool_slot(struct pool *p, size_t lane, size_t stream)
{
	return &p->slots[lane * p->limits.streams + stream];
}

/* --- memory --- */

/* Wherever its batches are. */
static size_t slot_bytes(const struct slot *s)
{
	size_t bytes = 0;
	for (size_t k = 0; k < POOL_BATCHES_PER_SLOT; k++)
		bytes += atomic_load_explicit(&s->all[k]->bytes, memory_order_relaxed);
	return bytes;
}

/* Afresh, since lanes change what batches hold. */
static void count_bytes(struct pool *p)
{
	p->bytes = p->common = 0;
	for (size_t i = 0; i < p->nslots; i++) {
		size_t bytes = slot_bytes(&p->slots[i]);
		p->bytes += bytes;
		p->common += bytes - MIN(bytes, p->share);
	}
}

/* Below its share always; above it from the common half. */
static bool has_memory(const struct pool *p, const struct slot *s)
{
	return p->common < p->limits.memory - p->share * p->nslots || slot_bytes(s) < p->share;
}

/* --- states --- */

static enum slot_lack lack_of(const struct pool *p, const struct slot *s)
{
	if (!s->open)
		return LACKS_BATCH;
	return has_memory(p, s) ? LACKS_NOTHING : LACKS_MEMORY;
}

/* As the diagram has it; which of WAITS and SHUT is the clock's to say. */
static void renew(const struct pool *p, struct slot *s, int64_t now_us)
{
	s->lack = lack_of(p, s);
	if (s->lack == LACKS_NOTHING) {
		if (s->state == SLOT_SHUT && now_us - s->since_us >= PATIENCE_US)
			s->slow_until_us = now_us + SLOW_US;
		s->state = SLOT_TAKES;
		return;
	}
	if (s->state == SLOT_TAKES) {
		s->state = SLOT_WAITS;
		s->since_us = now_us;
	}
	if (now_us < s->slow_until_us || now_us - s->since_us >= PATIENCE_US)
		s->state = SLOT_SHUT;
}

/* The spare one becomes the open one. */
static void feed(struct slot *s)
{
	if (s->open || !s->spare)
		return;
	s->open = s->spare;
	s->spare = NULL;
}

struct batch *pool_begin(struct slot *s, int64_t now_us)
{
	assert(s->open && s->state == SLOT_TAKES);
	if (s->open->opened_us == 0)
		s->open->opened_us = now_us;
	return s->open;
}

bool pool_begun(const struct slot *s)
{
	return s->open && s->open->opened_us != 0;
}

/* The sums are kept up to date without counting all slots. */
enum fullness pool_grew(struct pool *p, struct slot *s)
{
	struct batch *b = s->open;
	size_t before = slot_bytes(s);
	batch_account(b);
	size_t after = slot_bytes(s);
	p->bytes += after - before;
	p->common += after - MIN(after, p->share);
	p->common -= before - MIN(before, p->share);
	if (b->nevents + b->ndead >= p->limits.rows)
		return FULL_ROWS;
	if (b->rows.len + arena_bytes(b->arena) >= p->limits.bytes)
		return FULL_BYTES;
	return has_memory(p, s) ? NOT_FULL : FULL_MEMORY;
}

/* The slot has another batch, or waits for one. */
struct batch *pool_seal(struct pool *p, struct slot *s, int64_t now_us)
{
	struct batch *b = s->open;
	assert(pool_begun(s));
	s->open = NULL;
	feed(s);
	renew(p, s, now_us);
	return b;
}

/* Its slot is found by the lane; each has two batches. */
void pool_back(struct pool *p, struct batch *b, int64_t now_us)
{
	struct slot *s = pool_slot(p, b->lane, 0);
	while (s->all[0] != b && s->all[1] != b)
		s++;
	assert(!s->spare && s->open != b);
	p->kept -= b->touched;
	batch_reset(b);
	/*
	 * Empty batches keep their pages, which saves faults, as long as all of them together stay
	 * within the budget.
	 */
	if (p->kept + b->touched > p->limits.memory)
		batch_trim(b);
	p->kept += b->touched;
	s->spare = b;
	feed(s);
	count_bytes(p);
	renew(p, s, now_us);
}

/* Renews all and says when the next one runs out of patience. */
int64_t pool_look(struct pool *p, int64_t now_us)
{
	int64_t next = CLOCK_NEVER;
	count_bytes(p);
	for (size_t i = 0; i < p->nslots; i++) {
		renew(p, &p->slots[i], now_us);
		if (p->slots[i].state == SLOT_WAITS)
			next = MIN(next, p->slots[i].since_us + PATIENCE_US);
	}
	return next;
}

static const struct slot *waiting(const struct pool *p)
{
	for (size_t i = 0; i < p->nslots; i++)
		if (p->slots[i].state == SLOT_WAITS)
			return &p->slots[i];
	return NULL;
}

bool pool_waits(const struct pool *p)
{
	return waiting(p) != NULL;
}

enum slot_lack pool_lack(const struct pool *p)
{
	const struct slot *s = waiting(p);
	return s ? s->lack : LACKS_NOTHING;
}

size_t pool_bytes(const struct pool *p)
{
	return p->bytes;
}

/* What is neither open nor spare is with a lane. */
size_t pool_in_flight(const struct pool *p)
{
	size_t n = 0;
	for (size_t i = 0; i < p->nslots; i++)
		n += POOL_BATCHES_PER_SLOT - (p->slots[i].open != NULL) -
		     (p->slots[i].spare != NULL);
	return n;
}

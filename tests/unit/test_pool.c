/*
 * test_pool.c - batches, memory and patience: that a slot's full, held or slow batches never keep
 * another slot from going on, and that all of them together stay within the budget.
 *
 * The clock is a number here. Streams are told apart by their index alone.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "core/pool.h"
#include "core/stream.h"
#include "unit.h"

#define KIB (size_t)1024
#define MS US_PER_MS
#define LANES 2
#define STREAMS 3
#define SLOTS (LANES * STREAMS)
#define ROW (4 * KIB)

static struct stream streams[STREAMS];
static struct stream *const stream_list[STREAMS] = {&streams[0], &streams[1], &streams[2]};
static struct pool *pool;
static int64_t now;

static void setup_with(size_t memory, size_t bytes)
{
	const struct pool_limits limits = {.lanes = LANES,
					   .streams = STREAMS,
					   .rows = 1000,
					   .bytes = bytes,
					   .row_bytes = ROW,
					   .memory = memory};
	for (size_t i = 0; i < STREAMS; i++)
		streams[i].index = i;
	pool = pool_new(&limits, stream_list);
	now = 1000 * US_PER_S;
}

static void setup(void)
{
	setup_with(1024 * KIB, 64 * KIB);
}

static void teardown(void)
{
	pool_free(pool);
}

/* One event of so many bytes into a slot that takes. */
static enum fullness add(struct slot *s, size_t bytes)
{
	ck_assert_int_eq(s->state, SLOT_TAKES);
	struct batch *b = pool_begin(s, now);
	uint32_t span = batch_span(b, "topic", 0, s, 0, 1);
	buf_take(&b->rows, bytes);
	batch_add(b, span, b->spans[span].to, 0, &(struct record){.row_len = bytes, .key_len = 4});
	return pool_grew(pool, s);
}

/* Fills the open batch until it says that it is full, and takes it out. */
static struct batch *fill(struct slot *s, size_t row, enum fullness want)
{
	enum fullness full;
	while ((full = add(s, row)) == NOT_FULL)
		;
	ck_assert_int_eq(full, want);
	return pool_seal(pool, s, now);
}

/* Proves: while one batch is away the other fills; with both away the slot lacks one, until either
 * is back. */
START_TEST(two_batches_a_slot)
{
	struct slot *s = pool_slot(pool, 1, 2);
	struct batch *first = fill(s, KIB, FULL_BYTES);
	ck_assert_int_eq(s->state, SLOT_TAKES);
	ck_assert(!pool_begun(s));
	struct batch *second = fill(s, KIB, FULL_BYTES);
	ck_assert_ptr_ne(first, second);
	ck_assert_int_eq(s->state, SLOT_WAITS);
	ck_assert_int_eq(s->lack, LACKS_BATCH);
	ck_assert_uint_eq(pool_in_flight(pool), 2);
	for (size_t i = 0; i < STREAMS; i++)
		ck_assert_int_eq(pool_slot(pool, 0, i)->state, SLOT_TAKES);
	pool_back(pool, second, now);
	ck_assert_int_eq(s->state, SLOT_TAKES);
	pool_back(pool, first, now);
	ck_assert_uint_eq(pool_in_flight(pool), 0);
	ck_assert_uint_eq(pool_bytes(pool), 0);
}
END_TEST

/* Proves: a batch is full by events, by bytes, and by dead letters with all that they carry. */
START_TEST(what_fills_a_batch)
{
	struct slot *s = pool_slot(pool, 0, 0);
	struct batch *b = fill(s, 8, FULL_ROWS);
	ck_assert_uint_eq(b->nevents, 1000);
	pool_back(pool, b, now);
	char *headers = xmalloc(20 * KIB);
	memset(headers, 'h', 20 * KIB - 1);
	headers[20 * KIB - 1] = '\0';
	enum fullness full = NOT_FULL;
	for (int64_t i = 0; full == NOT_FULL; i++) {
		b = pool_begin(s, now);
		batch_add_dead(b, &(struct dead_letter){.span = batch_span(b, "topic", 0, s, 0, 1),
							.offset = i,
							.detail = "d",
							.headers = headers});
		full = pool_grew(pool, s);
	}
	ck_assert_int_eq(full, FULL_BYTES);
	ck_assert_uint_ge(pool_bytes(pool), b->ndead * 20 * KIB);
	ck_assert_uint_le(b->ndead, 4);
	free(headers);
}
END_TEST

/* Proves: a slot that can not take is waited for, for a while; then it is shut, and nobody waits.
 */
START_TEST(patience_ends)
{
	struct slot *s = pool_slot(pool, 0, 0);
	fill(s, KIB, FULL_BYTES);
	struct batch *b = fill(s, KIB, FULL_BYTES);
	int64_t due = pool_look(pool, now);
	ck_assert(pool_waits(pool));
	ck_assert_int_eq(pool_lack(pool), LACKS_BATCH);
	ck_assert_int_gt(due, now);
	ck_assert_int_le(due, now + US_PER_S);
	now = due - 1;
	pool_look(pool, now);
	ck_assert(pool_waits(pool));
	now = due;
	ck_assert_int_eq(pool_look(pool, now), CLOCK_NEVER);
	ck_assert(!pool_waits(pool));
	ck_assert_int_eq(s->state, SLOT_SHUT);
	ck_assert_int_eq(s->since_us, due - (due - s->since_us));
	now += 3600 * US_PER_S;
	pool_back(pool, b, now);
	ck_assert_int_eq(s->state, SLOT_TAKES);
}
END_TEST

/*
 * Proves: one that has used up its patience is shut at once the next times, so that it does not
 * cost the others the same again; one that is fed in time for long enough is waited for again.
 */
START_TEST(a_slow_slot_is_shut_at_once)
{
	struct slot *s = pool_slot(pool, 0, 0);
	struct batch *away[2] = {fill(s, KIB, FULL_BYTES), fill(s, KIB, FULL_BYTES)};
	now += US_PER_S;
	pool_look(pool, now);
	pool_back(pool, away[0], now);
	away[0] = fill(s, KIB, FULL_BYTES);
	ck_assert_int_eq(s->state, SLOT_SHUT);
	for (int i = 0; i < 100; i++) {
		now += 10 * MS;
		pool_back(pool, away[0], now);
		away[0] = fill(s, KIB, FULL_BYTES);
		ck_assert(!pool_waits(pool));
	}
	now += 30 * US_PER_S;
	pool_back(pool, away[1], now); /* late again: slow for as long again */
	away[1] = fill(s, KIB, FULL_BYTES);
	ck_assert_int_eq(s->state, SLOT_SHUT);
	now += 10 * MS;
	pool_back(pool, away[1], now);
	now += 60 * US_PER_S;
	away[1] = fill(s, KIB, FULL_BYTES);
	ck_assert_int_eq(s->state, SLOT_WAITS);
}
END_TEST

/* As large as the stream's batches get, and never given back. */
static void hold_all_of(size_t stream)
{
	for (size_t lane = 0; lane < LANES; lane++) {
		struct slot *s = pool_slot(pool, lane, stream);
		for (int i = 0; i < POOL_BATCHES_PER_SLOT && s->state == SLOT_TAKES; i++) {
			while (add(s, KIB) == NOT_FULL)
				;
			pool_seal(pool, s, now);
		}
	}
}

/*
 * Proves: with the budget at two batches (and less), a stream whose batches are all held leaves
 * every other slot room to go on for ever, and the sum stays below the budget and a row a slot.
 */
START_TEST(held_batches_leave_room)
{
	static const size_t budgets[] = {128 * 1024, 64 * 1024, 100 * 1024, 4 * 1024 * 1024};
	size_t memory = budgets[_i];
	teardown();
	setup_with(memory, 64 * KIB);
	hold_all_of(1);
	now += US_PER_S;
	pool_look(pool, now);
	ck_assert(!pool_waits(pool));
	for (int round = 0; round < 50; round++) {
		for (size_t lane = 0; lane < LANES; lane++) {
			for (size_t stream = 0; stream < STREAMS; stream += 2) {
				struct slot *s = pool_slot(pool, lane, stream);
				while (add(s, KIB) == NOT_FULL)
					;
				struct batch *b = pool_seal(pool, s, now);
				ck_assert_uint_ge(b->nevents, 1);
				pool_look(pool, now);
				ck_assert_uint_le(pool_bytes(pool), memory + SLOTS * 2 * KIB);
				pool_back(pool, b, now);
			}
		}
	}
	ck_assert_int_ne(pool_slot(pool, 0, 1)->state, SLOT_TAKES);
}
END_TEST

/* Proves: what a batch comes to hold while it is away counts as soon as it is looked at. */
START_TEST(growth_with_the_lane_counts)
{
	struct slot *s = pool_slot(pool, 0, 0), *other = pool_slot(pool, 1, 1);
	struct batch *b = fill(s, KIB, FULL_BYTES);
	add(other, 8);
	size_t before = pool_bytes(pool);
	arena_alloc(b->fold_arena, 2048 * KIB);
	batch_account(b);
	pool_look(pool, now);
	ck_assert_uint_ge(pool_bytes(pool), before + 2048 * KIB);
	ck_assert_int_eq(s->lack, LACKS_MEMORY);
	ck_assert_int_eq(pool_lack(pool), LACKS_MEMORY);
	ck_assert_int_eq(other->state, SLOT_TAKES);
	enum fullness full;
	while ((full = add(other, KIB)) == NOT_FULL)
		;
	ck_assert_int_eq(full, FULL_BYTES); /* its share is as large as that */
	pool_back(pool, b, now);
	ck_assert_int_eq(s->state, SLOT_TAKES);
}
END_TEST

static uint32_t pick(uint64_t *rng, uint32_t n)
{
	*rng = *rng * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*rng >> 33) % n;
}

/*
 * Proves, over random histories: the sum is what the batches hold, never over the budget and a row
 * a slot; and a slot whose batches are all at home always takes.
 */
START_TEST(random_histories)
{
	uint64_t rng = (uint64_t)_i * 7919 + 1;
	struct batch *away[SLOTS * POOL_BATCHES_PER_SLOT];
	size_t naway = 0, memory = 150 * KIB;
	teardown();
	setup_with(memory, 64 * KIB);
	for (int step = 0; step < 3000; step++) {
		now += pick(&rng, 50) * MS;
		struct slot *s = pool_slot(pool, pick(&rng, LANES), pick(&rng, STREAMS));
		pool_look(pool, now);
		if (naway > 0 && pick(&rng, 10) == 0) {
			size_t i = pick(&rng, (uint32_t)naway);
			pool_back(pool, away[i], now);
			away[i] = away[--naway];
		} else if (s->state == SLOT_TAKES && add(s, pick(&rng, ROW)) != NOT_FULL) {
			away[naway++] = pool_seal(pool, s, now);
		} else if (s->lack == LACKS_MEMORY && pool_begun(s)) {
			away[naway++] = pool_seal(pool, s, now);
		}
		pool_look(pool, now);
		ck_assert_uint_le(pool_bytes(pool), memory + SLOTS * (ROW + 1024));
		ck_assert_uint_eq(pool_in_flight(pool), naway);
		size_t n, sum = 0;
		struct slot *slots = pool_slots(pool, &n);
		for (size_t i = 0; i < n; i++) {
			for (int k = 0; k < POOL_BATCHES_PER_SLOT; k++)
				sum += atomic_load(&slots[i].all[k]->bytes);
			bool home = slots[i].open && slots[i].spare && !pool_begun(&slots[i]);
			ck_assert(!home || slots[i].state == SLOT_TAKES);
		}
		ck_assert_uint_eq(sum, pool_bytes(pool));
	}
}
END_TEST

static Suite *pool_suite(void)
{
	Suite *suite = suite_create("pool");
	TCase *tc = tcase_create("pool");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, two_batches_a_slot);
	tcase_add_test(tc, what_fills_a_batch);
	tcase_add_test(tc, patience_ends);
	tcase_add_test(tc, a_slow_slot_is_shut_at_once);
	tcase_add_loop_test(tc, held_batches_leave_room, 0, 4);
	tcase_add_test(tc, growth_with_the_lane_counts);
	tcase_add_loop_test(tc, random_histories, 0, 20);
	suite_add_tcase(suite, tc);
	return suite;
}
UNIT_SUITE(pool_suite)

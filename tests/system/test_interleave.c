/*
 * test_interleave.c - all 70 ways in which the four steps of a worker that has lost a partition
 * without knowing it, and the four of its successor, can come one after the other.
 *
 *   zombie                             successor
 *   swap    BEGIN; swap                claim    the offsets row, its epoch raised
 *   rows    row by row                 swap     BEGIN; swap, from what the claim said
 *   books   memingest.batches          rows     and memingest.batches
 *   commit  COMMIT                     commit   COMMIT
 *
 * Both are sinks of the worker's own (write/sink_parts.h), on sessions of their own: the SQL and
 * what is made of the answers are what runs in a lane; only the cuts between the steps are the
 * test's. A step goes out in its actor's thread. It is done, or PostgreSQL says that it waits for
 * the other one's lock: then the order goes on, and the actor's later steps queue behind it.
 *
 * The zombie holds offsets 0 to 9. The successor takes what is left of 0 to 19. Whatever the order,
 * 0 to 9 are written by one of the two, the sums count each event once, and the batches tile.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bed.h"
#include "core/batch.h"
#include "core/stream.h"
#include "event.h"
#include "ledger.h"
#include "system.h"
#include "write/sink_parts.h"

#define STEPS 4
#define HALF 10 /* events of the zombie, and as many that come after */

struct actor;
typedef bool step_fn(struct actor *a, struct err *err);

struct actor {
	const char *name;
	step_fn *const *steps;
	const struct config *config;
	struct stream *stream;
	struct pg *pg;
	struct sink *sink;
	struct batch *batch;
	struct sink_claim claim;
	int64_t backend; /* process id */
	bool fenced, committed;
	/* Between the driver and the actor's thread. */
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t news;
	int told, done; /* steps */
	bool over;
	struct err err;
};

/* --- steps --- */

static bool run(struct actor *a, struct err *err)
{
	return pg_exec(a->pg, buf_cstr(&a->sink->sql), NULL, 0, err);
}

/* As sink_write() makes it of a small batch: one round, one span, row by row. */
static void arrange_batch(struct actor *a, int64_t from)
{
	struct batch *b = a->batch;
	b->spans[0].from = from;
	b->first = (size_t)from;
	b->limit = b->nevents;
	arrange_folded(b, &sink_target(a->sink, b)->rules);
	a->sink->spans[0] = &b->spans[0];
	a->sink->nspans = 1;
	a->sink->way = &way_singly;
}

static bool swap(struct actor *a, struct err *err)
{
	int64_t affected[SWAPS_AT + 1] = {0};
	a->batch->spans[0].owner_epoch = a->claim.owner_epoch;
	arrange_batch(a, a->claim.next_offset);
	sink_put_begin(a->sink);
	if (!pg_exec(a->pg, buf_cstr(&a->sink->sql), affected, SWAPS_AT + 1, err))
		return false;
	a->fenced = !sink_swapped(a->sink, affected + SWAPS_AT);
	return !a->fenced || pg_exec(a->pg, "ROLLBACK", NULL, 0, err);
}

static bool rows(struct actor *a, struct err *err)
{
	size_t passed;
	return a->fenced || singly_apply(a->sink, a->batch, a->batch->arranged, a->batch->narranged,
					 &passed, err);
}

static bool books(struct actor *a, struct err *err)
{
	a->sink->sql.len = 0;
	books_put_batch(a->sink, a->batch, &a->batch->spans[0]);
	return a->fenced || run(a, err);
}

static bool commit(struct actor *a, struct err *err)
{
	a->committed = !a->fenced && pg_exec(a->pg, "COMMIT", NULL, 0, err);
	return a->fenced || a->committed;
}

static bool claim(struct actor *a, struct err *err)
{
	return sink_claim(a->sink, &a->claim, err);
}

static bool rows_and_books(struct actor *a, struct err *err)
{
	return rows(a, err) && books(a, err);
}

static step_fn *const zombie_steps[STEPS] = {swap, rows, books, commit};
static step_fn *const successor_steps[STEPS] = {claim, swap, rows_and_books, commit};

/* --- actors --- */

static void *act(void *arg)
{
	struct actor *a = arg;
	pthread_mutex_lock(&a->lock);
	for (;;) {
		while (a->done == a->told && !a->over)
			pthread_cond_wait(&a->news, &a->lock);
		if (a->over)
			break;
		int step = a->done;
		pthread_mutex_unlock(&a->lock);
		struct err err = {0};
		bool ok = a->err.text[0] != '\0' || a->steps[step](a, &err);
		pthread_mutex_lock(&a->lock);
		if (!ok)
			a->err = err;
		a->done++;
		pthread_cond_broadcast(&a->news);
	}
	pthread_mutex_unlock(&a->lock);
	return NULL;
}

/* Ten events of one kind to each partition's half: +1 to one of five accounts. */
static void fill_batch(struct actor *a, int events)
{
	struct err err = {0};
	struct decoder *decoder = decoder_new(&a->config->limits);
	struct plan *plan = plan_new(a->stream->reader, a->stream->table, &err);
	json_t *schema = event_schema("tests/schemas/ledger_event.avsc");
	ck_assert_msg(plan != NULL, "%s", err.text);
	a->batch = batch_new(2 * HALF, 1 << 20);
	a->batch->stream = a->stream;
	uint32_t span = batch_span(a->batch, a->claim.topic, 0, NULL, 0, 0);
	for (int i = 0; i < events; i++) {
		char account[16];
		struct record record;
		struct buf body = {0};
		snprintf(account, sizeof(account), "a%d", i % 5);
		json_t *event =
			json_pack("{s:I, s:s, s:i}", "event_time", (json_int_t)1750000000000000 + i,
				  "account", account, "total", 1);
		ck_assert(event_encode(schema, event, &body));
		ck_assert_msg(decode_record(decoder, plan, (struct slice){body.data, body.len},
					    &a->batch->rows, &record, &err),
			      "%s", err.text);
		batch_add(a->batch, span, i, 0, &record);
		json_decref(event);
		buf_free(&body);
	}
	json_decref(schema);
	plan_free(plan);
	decoder_free(decoder);
}

/* What a lane has when it begins: a session, what is prepared in it, a batch. */
static void actor_open(struct actor *a, const struct config *config, struct stream *stream,
		       const char *topic, int events)
{
	struct err err = {0};
	a->config = config;
	a->stream = stream;
	a->claim = (struct sink_claim){.topic = topic, .topic_id = ""};
	a->pg = pg_connect(config, a->name, -1, &err);
	ck_assert_msg(a->pg != NULL, "%s", err.text);
	a->sink = sink_new(config, &a->stream, 1);
	sink_connected(a->sink, a->pg);
	a->sink->spans = xcalloc(1, sizeof(*a->sink->spans));
	fill_batch(a, events);
	ck_assert_msg(books_prepare(a->sink, &err) &&
			      row_prepare(a->sink, a->batch, ROW_UPSERT, &err),
		      "%s", err.text);
	struct pg_rows *pid = pg_query(a->pg, "SELECT pg_backend_pid()", NULL, 0, &err);
	ck_assert_msg(pid != NULL, "%s", err.text);
	a->backend = pg_int(pid, 0, 0);
	pg_rows_free(pid);
}

/* An order begins: whoever holds the partition is its owner. */
static void actor_begin(struct actor *a)
{
	a->told = a->done = 0;
	a->over = a->fenced = a->committed = false;
	err_clear(&a->err);
	a->batch->spans[0].result = SPAN_OPEN;
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->news, NULL);
	ck_assert_int_eq(pthread_create(&a->thread, NULL, act, a), 0);
}

static void actor_end(struct actor *a)
{
	pthread_mutex_lock(&a->lock);
	a->over = true;
	pthread_cond_broadcast(&a->news);
	pthread_mutex_unlock(&a->lock);
	pthread_join(a->thread, NULL);
	ck_assert_msg(!a->err.text[0], "%s: %s", a->name, a->err.text);
}

static void actor_free(struct actor *a)
{
	batch_free(a->batch);
	sink_free(a->sink);
	pg_free(a->pg);
}

static void tell(struct actor *a)
{
	pthread_mutex_lock(&a->lock);
	a->told++;
	pthread_cond_broadcast(&a->news);
	pthread_mutex_unlock(&a->lock);
}

/* Within a moment: most steps are done so soon that PostgreSQL need not be asked. */
static bool is_done(struct actor *a)
{
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += 2000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&a->lock);
	while (a->done < a->told && pthread_cond_timedwait(&a->news, &a->lock, &until) == 0)
		;
	bool done = a->done == a->told;
	pthread_mutex_unlock(&a->lock);
	return done;
}

/* All that it was told is done, or it waits for the other one's lock. */
static bool is_settled(struct bed *bed, struct actor *a, const struct actor *other)
{
	return is_done(a) || bed_int(bed, "SELECT (%lld = ANY (pg_blocking_pids(%lld)))::int",
				     (long long)other->backend, (long long)a->backend) == 1;
}

/* --- orders --- */

/* Bit i of the order: the successor takes the ith step of the eight. */
static void play(struct bed *bed, unsigned order, struct actor *zombie, struct actor *successor)
{
	for (int i = 0; i < 2 * STEPS; i++) {
		bool second = order >> i & 1;
		tell(second ? successor : zombie);
		BED_WAIT(bed, 20, is_settled(bed, zombie, successor));
		BED_WAIT(bed, 20, is_settled(bed, successor, zombie));
	}
	BED_WAIT(bed, 20, is_done(zombie) && is_done(successor));
}

/* 0 to 9 by one of the two, all by both together, each event once, and no hole. */
static void check_outcome(struct bed *bed, unsigned order, const struct actor *zombie,
			  const struct actor *successor)
{
	ck_assert_msg(successor->committed, "order %x: the successor did not commit", order);
	ck_assert_msg(zombie->committed != zombie->fenced, "order %x", order);
	ck_assert_msg(zombie->committed == (successor->claim.next_offset == HALF),
		      "order %x: zombie %s, and the successor began at %lld", order,
		      zombie->committed ? "committed" : "fenced",
		      (long long)successor->claim.next_offset);
	ck_assert_msg(bed_int(bed, "SELECT sum(total) FROM ledger") == 2 * HALF,
		      "order %x: sum %lld", order,
		      (long long)bed_int(bed, "SELECT sum(total) FROM ledger"));
	ck_assert_int_eq(bed_int(bed, "SELECT next_offset FROM memingest.offsets"), 2 * HALF);
	ck_assert_int_eq(bed_int(bed, "SELECT sum(rows) FROM memingest.batches"), 2 * HALF);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memingest.batches"),
			 zombie->committed ? 2 : 1);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memingest.batches b WHERE from_offset"
				      " > 0 AND NOT EXISTS (SELECT FROM memingest.batches WHERE"
				      " to_offset = b.from_offset)"),
			 0);
}

/* The zombie owns the partition, from its beginning. */
static void play_and_check(struct bed *bed, unsigned order, struct actor *zombie,
			   struct actor *successor)
{
	struct err err = {0};
	bed_sql(bed, "TRUNCATE ledger, memingest.offsets, memingest.batches");
	ck_assert_msg(claim(zombie, &err), "%s", err.text);
	ck_assert_int_eq(zombie->claim.next_offset, 0);
	actor_begin(zombie);
	actor_begin(successor);
	play(bed, order, zombie, successor);
	actor_end(zombie);
	actor_end(successor);
	check_outcome(bed, order, zombie, successor);
}

/*
 * Proves: in each of the 70 orders of a zombie's and its successor's steps just one of the two
 * writes a range of offsets, and rows, offsets and books agree.
 */
START_TEST(zombie_and_successor)
{
	struct bed *bed = ledger_bed("orders", 1);
	struct err err = {0};
	bed_write_config(bed);
	struct config *config = config_load(bed->config, NULL, 0, NULL, &err);
	ck_assert_msg(config != NULL, "%s", err.text);
	struct stream *stream = stream_new(config, 0, &err);
	ck_assert_msg(stream != NULL, "%s", err.text);
	struct actor zombie = {.name = "zombie", .steps = zombie_steps};
	struct actor successor = {.name = "successor", .steps = successor_steps};
	actor_open(&zombie, config, stream, bed->streams[0].topic, HALF);
	actor_open(&successor, config, stream, bed->streams[0].topic, 2 * HALF);
	int orders = 0, won = 0;
	for (unsigned order = 0; order < 1u << 2 * STEPS; order++) {
		if (__builtin_popcount(order) != STEPS)
			continue;
		play_and_check(bed, order, &zombie, &successor);
		orders++;
		won += zombie.committed;
	}
	ck_assert_int_eq(orders, 70);
	ck_assert_int_eq(won, 35); /* those in which its swap comes before the claim */
	actor_free(&zombie);
	actor_free(&successor);
	stream_free(stream);
	config_free(config);
	bed_free(bed);
}
END_TEST

static void interleave_tests(TCase *tc)
{
	tcase_add_test(tc, zombie_and_successor);
}
SYSTEM_SUITE("interleave", 60, interleave_tests)

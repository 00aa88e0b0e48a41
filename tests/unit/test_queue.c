/*
 * test_queue.c - order, bound, and a descriptor that is readable exactly while something is there.
 */
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/queue.h"
#include "unit.h"

static bool readable(struct queue *q)
{
	struct pollfd p = {.fd = queue_fd(q), .events = POLLIN};
	return poll(&p, 1, 0) == 1;
}

/*
 * First in, first out, also when the ring wraps; a full queue takes nothing, an empty one gives
 * NULL.
 */
START_TEST(order_and_bound)
{
	int items[3];
	struct queue *q = queue_new(3);
	for (int round = 0; round < 5; round++) {
		for (int i = 0; i < 3; i++)
			ck_assert(queue_push(q, &items[i]));
		ck_assert(!queue_push(q, &items[0]));
		ck_assert_uint_eq(queue_len(q), 3);
		ck_assert_ptr_eq(queue_pop(q), &items[0]);
		ck_assert(queue_push(q, &items[0]));
		ck_assert_ptr_eq(queue_pop(q), &items[1]);
		ck_assert_ptr_eq(queue_pop(q), &items[2]);
		ck_assert_ptr_eq(queue_pop(q), &items[0]);
		ck_assert_ptr_null(queue_pop(q));
	}
	queue_free(q);
	queue_free(NULL);
}
END_TEST

/* The descriptor stays readable until the last item is out, not for one wake-up only. */
START_TEST(descriptor_mirrors_not_empty)
{
	int item;
	struct queue *q = queue_new(4);
	ck_assert(!readable(q));
	ck_assert(queue_push(q, &item) && readable(q));
	ck_assert(queue_push(q, &item) && readable(q));
	ck_assert_ptr_nonnull(queue_pop(q));
	ck_assert(readable(q) && readable(q));
	ck_assert_ptr_nonnull(queue_pop(q));
	ck_assert(!readable(q));
	ck_assert_ptr_null(queue_pop(q));
	ck_assert(!readable(q));
	ck_assert(queue_push(q, &item) && readable(q));
	queue_free(q);
}
END_TEST

enum { PER_THREAD = 20000, STOP_AFTER = 2 * PER_THREAD };
static char tokens[STOP_AFTER];

struct producer {
	struct queue *q;
	size_t first;
};

static void *produce(void *arg)
{
	struct producer *p = arg;
	for (size_t i = 0; i < PER_THREAD;)
		if (queue_push(p->q, &tokens[p->first + i]))
			i++;
		else
			sched_yield();
	return NULL;
}

/*
 * Two producers, and a consumer that waits on the descriptor: every item arrives once, each
 * producer's in its order.
 */
START_TEST(nothing_lost_between_threads)
{
	struct queue *q = queue_new(16);
	struct producer producers[2] = {{q, 0}, {q, PER_THREAD}};
	pthread_t threads[2];
	size_t next[2] = {0, PER_THREAD};
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, produce, &producers[i]), 0);
	for (size_t seen = 0; seen < STOP_AFTER;) {
		struct pollfd p = {.fd = queue_fd(q), .events = POLLIN};
		ck_assert_msg(poll(&p, 1, 10000) == 1, "a wake-up was lost after %zu items", seen);
		for (char *item; (item = queue_pop(q)); seen++) {
			size_t at = (size_t)(item - tokens), who = at >= PER_THREAD;
			ck_assert_uint_eq(at, next[who]++);
		}
	}
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	ck_assert(!readable(q));
	queue_free(q);
}
END_TEST

static Suite *queue_suite(void)
{
	Suite *s = suite_create("queue");
	TCase *t = tcase_create("queue");
	tcase_set_timeout(t, 60);
	tcase_add_test(t, order_and_bound);
	tcase_add_test(t, descriptor_mirrors_not_empty);
	tcase_add_test(t, nothing_lost_between_threads);
	suite_add_tcase(s, t);
	return s;
}
UNIT_SUITE(queue_suite)

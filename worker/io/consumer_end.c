/*
 * consumer_end.c - how a client ends: the group is left within a time, and what hangs is left
 * behind.
 *
 *   consumer_leave()   on the poll thread, bounded: revocations, commits, LeaveGroup
 *   consumer_end()     a thread per client: rd_kafka_destroy(), for as long as it takes
 *
 * librdkafka closes without a deadline. It waits for the answer to LeaveGroup, for five seconds
 * when the broker is out of reach or holds the member back in a join, and before 2.6.1
 * rd_kafka_destroy() waits for ever after a consumed topic was deleted (#4724). So the group is
 * left by rd_kafka_consumer_close_queue() (1.9 and later), whose events are served here until it is
 * done or the time is over. The events are polled, not handed to callbacks:
 * rd_kafka_queue_poll_callback() asserts that there are no messages in the queue (rd_kafka_q_serve
 * in 2.0.2), and fetches may still come in.
 *
 * Then nothing of the client is served any more, so its callbacks, whose opaque is the source, do
 * not run again. RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE keeps rd_kafka_destroy() from waiting for
 * callbacks that nobody serves. It can still block: the thread is not waited for, or not for long.
 *
 * A broker takes the requests of a connection one after the other, and answers JoinGroup only when
 * all members have come, so a LeaveGroup behind it waits; but it is carried out then, also when the
 * connection is closed by that time. A process that ends without one in the middle of a join leaves
 * a member that is counted in the next generation, and is missed only a whole session after that:
 * with the default of 45 s the next worker waited 77 s. So consumer_abandon() sends it.
 *
 * Failure: a member that did not leave is missed by the group after session.timeout.ms. A thread
 * that hangs keeps its client's memory; consumer_ends_under_way() counts them. A process that ends
 * while one hangs must not run atexit handlers (OpenSSL's pull the ground from under it): _exit().
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "io/consumer_parts.h"

static atomic_uint under_way;

/* --- leaving the group --- */

static void serve_event(struct consumer *s, rd_kafka_event_t *event)
{
	rd_kafka_event_type_t type = rd_kafka_event_type(event);
	if (type == RD_KAFKA_EVENT_REBALANCE)
		consumer_on_rebalance(s->rk, rd_kafka_event_error(event),
				      rd_kafka_event_topic_partition_list(event), s);
	else if (type == RD_KAFKA_EVENT_OFFSET_COMMIT)
		consumer_on_commit(s->rk, rd_kafka_event_error(event),
				   rd_kafka_event_topic_partition_list(event), s);
	rd_kafka_event_destroy(event);
}

static void begin_leaving(struct consumer *s)
{
	s->closing = true;
	rd_kafka_queue_io_event_enable(s->queue, -1, NULL, 0);
	s->leaving = rd_kafka_queue_new(s->rk);
	rd_kafka_error_t *error = rd_kafka_consumer_close_queue(s->rk, s->leaving);
	if (!error)
		return;
	log_debug("kafka group not left", F_STR("error", rd_kafka_error_string(error)));
	rd_kafka_error_destroy(error);
	s->left = true; /* after a fatal error there is nothing to leave */
}

bool consumer_leave(void *self, int wait_ms)
{
	struct consumer *s = self;
	int64_t deadline_us = clock_mono_us() + wait_ms * US_PER_MS;
	if (!s->leaving)
		begin_leaving(s);
	do {
		s->left = s->left || rd_kafka_consumer_closed(s->rk);
		rd_kafka_event_t *event =
			s->left ? NULL
				: rd_kafka_queue_poll(s->leaving,
						      MIN(clock_poll_ms(deadline_us), 50));
		if (event)
			serve_event(s, event);
	} while (!s->left && clock_poll_ms(deadline_us) > 0);
	return s->left;
}

void consumer_abandon(void *self, int wait_ms)
{
	struct consumer *s = self;
	if (s->in_rebalance || s->leaving)
		return;
	s->abandoned = true;
	consumer_leave(s, wait_ms);
}

/* --- the end --- */

struct end {
	rd_kafka_t *rk;
	struct nudge *nudge;
};

static void *end_main(void *arg)
{
	struct end *end = arg;
	pthread_setname_np(pthread_self(), "kafka end");
	nudge_stop(end->nudge);
	rd_kafka_destroy_flags(end->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	free(end);
	atomic_fetch_sub(&under_way, 1);
	return NULL;
}

static void topics_free(struct consumer *s)
{
	for (size_t i = 0; i < s->ntopics; i++) {
		if (s->topics[i]->rkt)
			rd_kafka_topic_destroy(s->topics[i]->rkt);
		free(s->topics[i]->parts);
		free(s->topics[i]->name);
		free(s->topics[i]);
	}
	free(s->topics);
	s->topics = NULL;
	s->ntopics = 0;
}

static void queues_free(struct consumer *s)
{
	if (s->queue) {
		rd_kafka_queue_io_event_enable(s->queue, -1, NULL, 0);
		rd_kafka_queue_destroy(s->queue);
	}
	if (s->leaving)
		rd_kafka_queue_destroy(s->leaving);
	s->queue = s->leaving = NULL;
}

bool consumer_end(struct consumer *s, int wait_ms)
{
	struct timespec until;
	pthread_t thread;
	struct end *end = xcalloc(1, sizeof(*end));
	*end = (struct end){.rk = s->rk, .nudge = s->nudge};
	topics_free(s); /* rd_kafka_destroy() waits for every handle */
	queues_free(s);
	s->rk = NULL;
	s->nudge = NULL;
	s->left = false;
	atomic_fetch_add(&under_way, 1);
	thread_start(&thread, end_main, end);
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += wait_ms / 1000;
	if (wait_ms > 0 && pthread_clockjoin_np(thread, NULL, CLOCK_MONOTONIC, &until) == 0)
		return true;
	pthread_detach(thread);
	return false;
}

unsigned consumer_ends_under_way(void)
{
	return atomic_load(&under_way);
}

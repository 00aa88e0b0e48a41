/*
 * nudge.c - against one second of silence.
 *
 * A broker thread that has nothing to ask its broker sleeps for up to a second (in librdkafka:
 * rd_kafka_max_block_ms in rdkafka_broker.c), since there is no request whose answer would wake it.
 * Two things leave it with nothing to ask:
 *
 *   - All partitions of a leader are paused; in every version, up to 2.16 at least. Nobody wakes it
 *     when one goes on (rd_kafka_toppar_pause_resume). A backlog then comes as one round of batches
 *     a second, since what a pause finds in the queue is thrown away (two batches of 50 events:
 *     2.16.0 took 20 s for 3,000 of them, and with this 0.5 s).
 *   - The consumer's queue is full; below 2.2, where fetch.queue.backoff.ms does not exist yet,
 *     although the queue may be empty again after a tenth of that. A consumer that is faster than
 *     its queue is long gets a third of the throughput (measured with 2.0.2: 22,000 events a second
 *     instead of 65,000).
 *
 * Any request to the broker wakes its thread, which then looks at the queue again. The smallest
 * public one is ListOffsets (rd_kafka_offsets_for_times); it waits for its answer, so it is sent
 * from a thread of its own. It is sent for a partition that was started, and when nudge_due() says
 * so: the queue has fallen to three quarters of what it was at its fullest. On a topic that is
 * followed live the queue never fills, and nothing is sent.
 *
 *   poll thread: nudge_due() -> nudge_send(list)
 *                --mutex, eventfd--> nudge thread: offsets_for_times(list)
 *
 * Failure: whatever the request answers does not matter. What comes while one is under way takes
 * its turn after it, all in one request.
 */
#include "io/nudge.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/thread.h"

#define QUEUE_BACKOFF_VERSION 0x020200ff /* fetch.queue.backoff.ms */
#define EVERY_US (10 * US_PER_MS)
#define FULL_AT_LEAST 200 /* messages: a shorter queue was never full */
#define REQUEST_MS 500

struct nudge {
	rd_kafka_t *rk;
	pthread_t thread;
	int fd;
	atomic_bool stopping;
	pthread_mutex_t lock;
	rd_kafka_topic_partition_list_t *next; /* behind the lock */

	size_t fullest; /* the poll thread's */
	int64_t last_us;
};

static void *nudge_main(void *arg)
{
	struct nudge *n = arg;
	struct pollfd fd = {.fd = n->fd, .events = POLLIN};
	pthread_setname_np(pthread_self(), "nudge");
	while (!atomic_load(&n->stopping)) {
		uint64_t count;
		(void)poll(&fd, 1, -1);
		if (read(n->fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
			break;
		pthread_mutex_lock(&n->lock);
		rd_kafka_topic_partition_list_t *list = n->next;
		n->next = NULL;
		pthread_mutex_unlock(&n->lock);
		if (!list)
			continue;
		if (!atomic_load(&n->stopping))
			rd_kafka_offsets_for_times(n->rk, list, REQUEST_MS);
		rd_kafka_topic_partition_list_destroy(list);
	}
	return NULL;
}

struct nudge *nudge_start(rd_kafka_t *rk)
{
	struct nudge *n = xcalloc(1, sizeof(*n));
	n->rk = rk;
	n->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	pthread_mutex_init(&n->lock, NULL);
	if (n->fd < 0)
		die_without("eventfd", errno, "raise the limit of open files (ulimit -n)");
	thread_start(&n->thread, nudge_main, n);
	return n;
}

/* Remembers the fullest queue and the time of the last nudge. */
bool nudge_due(struct nudge *n, size_t queue_length)
{
	if (rd_kafka_version() >= QUEUE_BACKOFF_VERSION)
		return false;
	if (queue_length >= n->fullest) {
		n->fullest = queue_length;
		return false;
	}
	if (n->fullest < FULL_AT_LEAST || 4 * queue_length > 3 * n->fullest)
		return false;
	int64_t now = clock_mono_us();
	if (now - n->last_us < EVERY_US)
		return false;
	n->last_us = now;
	if (queue_length == 0)
		n->fullest = 0;
	return true;
}

/* Read as one, however many times it is written. */
static void wake(struct nudge *n)
{
	static const uint64_t one = 1;
	if (write(n->fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		abort();
}

/* Adds what the other list lacks. */
static void merge(rd_kafka_topic_partition_list_t *into,
		  const rd_kafka_topic_partition_list_t *from)
{
	for (int i = 0; i < from->cnt; i++) {
		const rd_kafka_topic_partition_t *p = &from->elems[i];
		if (!rd_kafka_topic_partition_list_find(into, p->topic, p->partition))
			rd_kafka_topic_partition_list_add(into, p->topic, p->partition)->offset =
				p->offset;
	}
}

/* Takes the list. */
void nudge_send(struct nudge *n, rd_kafka_topic_partition_list_t *partitions)
{
	pthread_mutex_lock(&n->lock);
	if (n->next) {
		merge(n->next, partitions);
		rd_kafka_topic_partition_list_destroy(partitions);
	} else {
		n->next = partitions;
	}
	pthread_mutex_unlock(&n->lock);
	wake(n);
}

/* Waits for the request that is under way. */
void nudge_stop(struct nudge *n)
{
	if (!n)
		return;
	atomic_store(&n->stopping, true);
	wake(n);
	pthread_join(n->thread, NULL);
	if (n->next)
		rd_kafka_topic_partition_list_destroy(n->next);
	pthread_mutex_destroy(&n->lock);
	close(n->fd);
	free(n);
}

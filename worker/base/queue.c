/*
 * queue.c - a ring of pointers behind a mutex, and an eventfd that mirrors "not empty".
 *
 *        head          head + len
 *   [ . . x x x x x x x . . . . ]     0 <= len <= cap
 *
 * The eventfd is written when the ring goes from empty to one, and read when it goes from one to
 * empty, both under the mutex. So its counter is 1 while the queue holds anything and 0 otherwise:
 * a waiter that finds it readable and pops until NULL has missed nothing, whatever pushes in
 * between.
 *
 * A mutex, not a lock-free ring: a batch of thousands of events passes per operation, so the lock
 * is taken some hundred times a second. Any number of threads may push and pop.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/queue.h"

struct queue {
	pthread_mutex_t lock;
	int fd;
	size_t head, len, cap;
	void *items[];
};

/* A process without descriptors cannot hand anything over; it says so and ends. */
struct queue *queue_new(size_t capacity)
{
	struct queue *q = xcalloc(1, sizeof(*q) + capacity * sizeof(q->items[0]));
	q->cap = capacity;
	pthread_mutex_init(&q->lock, NULL);
	q->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (q->fd < 0)
		die_without("eventfd", errno, "raise the limit of open files (ulimit -n)");
	return q;
}

void queue_free(struct queue *q)
{
	if (!q)
		return;
	close(q->fd);
	pthread_mutex_destroy(&q->lock);
	free(q);
}

/* The eventfd moves only between empty and one, so a full counter never blocks. */
bool queue_push(struct queue *q, void *item)
{
	pthread_mutex_lock(&q->lock);
	bool room = q->len < q->cap;
	if (room) {
		q->items[(q->head + q->len) % q->cap] = item;
		if (q->len++ == 0)
			eventfd_write(q->fd, 1);
	}
	pthread_mutex_unlock(&q->lock);
	return room;
}

/* Reads the eventfd with the last item, under the lock: it never lies. */
void *queue_pop(struct queue *q)
{
	void *item = NULL;
	pthread_mutex_lock(&q->lock);
	if (q->len > 0) {
		item = q->items[q->head];
		q->head = (q->head + 1) % q->cap;
		if (--q->len == 0) {
			eventfd_t one;
			eventfd_read(q->fd, &one);
		}
	}
	pthread_mutex_unlock(&q->lock);
	return item;
}

int queue_fd(const struct queue *q)
{
	return q->fd;
}

size_t queue_len(struct queue *q)
{
	pthread_mutex_lock(&q->lock);
	size_t len = q->len;
	pthread_mutex_unlock(&q->lock);
	return len;
}

/*
 * queue.h - a bounded queue of pointers between threads: whoever pushed one has let go of it. Its
 * descriptor is readable while it holds anything, so a thread waits on it beside its sockets.
 */
#pragma once

#include "base/base.h"

struct queue;

/* ends the process if no eventfd can be had */
struct queue *queue_new(size_t capacity);
/* NULL is fine; what it still holds is the caller's */
void queue_free(struct queue *q);
MUST_CHECK bool queue_push(struct queue *q, void *item); /* false when full; never waits */
void *queue_pop(struct queue *q);                        /* NULL when empty; never waits */
int queue_fd(const struct queue *q);
size_t queue_len(struct queue *q); /* a snapshot: another thread may change it at once */

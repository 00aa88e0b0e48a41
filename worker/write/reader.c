/*
 * reader.c - the thread that reads messages again for dead letters.
 *
 *   lane --errand--> [ queue ] --> reader thread: Kafka, message by message --> batch_bury()
 *    ^                                                                              |
 *    +---------------------------- the lane's own queue <---------------------------+
 *
 * A broker that does not answer takes as long as PATIENCE_MS for one message; then the errand goes
 * home with what it has, so that another batch's, from another broker, gets its turn. The lane asks
 * again later.
 *
 * A batch holds what was read, so that has a bound: an errand ends when its letters have grown by
 * batch.max_bytes. Those that are still missing are read after the others were written.
 *
 * Thread: reader_main() is the reader's; the rest anyone's.
 */
#include "write/reader.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/thread.h"
#include "io/refetch.h"

#define PATIENCE_MS 3000

struct reader {
	const struct config *config;
	const struct origin *origin;
	struct queue *errands;
	struct refetch *refetch;
	struct errand end; /* what tells the thread to end */
	pthread_t thread;
};

/* Borrows from the message; batch_bury() copies. */
static struct dead_letter letter_of(const struct refetched *m)
{
	return (struct dead_letter){.timestamp_ms = m->timestamp_ms,
				    .has_key = m->key != NULL,
				    .key = {m->key, m->key_len},
				    .has_value = m->value != NULL,
				    .value = {m->value, m->value_len},
				    .headers = m->headers};
}

static bool read_again(struct reader *r, const struct errand *e, const struct span *span,
		       int64_t offset, struct refetched *out, struct err *err)
{
	const struct origin *o = r->origin;
	return o->reread ? o->reread(o->self, span->topic, span->partition, offset, out, err)
			 : refetch_read(r->refetch, span->topic, span->partition, offset,
					PATIENCE_MS, e->give_up, out, err);
}

/* The next refused event of the batch. A message that is gone is said to be. */
static bool bury_next(struct reader *r, struct errand *e)
{
	struct batch *b = e->batch;
	const struct refused *refused = &b->refused[b->nburied];
	const struct event *event = &b->events[refused->event];
	const struct span *span = &b->spans[event->span];
	struct refetched message = {0};
	struct dead_letter letter = {.timestamp_ms = -1};
	char gone[2 * ERR_TEXT_SIZE];
	if (read_again(r, e, span, event->offset, &message, &e->err)) {
		letter = letter_of(&message);
	} else if (e->err.class == ERR_POISON) {
		snprintf(gone, sizeof(gone), "%s; the message is not there any more: %s",
			 refused->why, e->err.text);
		letter.detail = gone;
	} else {
		return err_wrap(&e->err, "reading a message again for its dead letter");
	}
	batch_bury(b, &letter);
	refetched_free(&message);
	return true;
}

/* Ends at the first message that does not come, with what it has. */
static void run(struct reader *r, struct errand *e)
{
	struct batch *b = e->batch;
	size_t before = arena_bytes(b->arena);
	e->ok = false;
	err_clear(&e->err);
	while (b->nburied < b->nrefused && !atomic_load(e->give_up) &&
	       arena_bytes(b->arena) - before < r->config->batch_max_bytes) {
		if (!bury_next(r, e))
			break;
		e->ok = true;
	}
	if (!e->ok && e->err.class == ERR_NONE)
		err_set(&e->err, ERR_RETRY, "given up on request");
	if (!queue_push(e->home, e->job))
		abort(); /* sized for every job there is */
}

/* No deadline of its own: a message that does not come has one. */
static void *reader_main(void *arg)
{
	struct reader *r = arg;
	struct pollfd fd = {.fd = queue_fd(r->errands), .events = POLLIN};
	pthread_setname_np(pthread_self(), "reader");
	for (;;) {
		struct errand *e = queue_pop(r->errands);
		if (e == &r->end)
			return NULL;
		if (e) {
			run(r, e);
			continue;
		}
		refetch_rest(r->refetch);
		(void)poll(&fd, 1, -1);
	}
}

/* Its Kafka client is made at the first errand. */
struct reader *reader_start(const struct config *config, const struct origin *origin,
			    size_t max_errands)
{
	struct reader *r = xcalloc(1, sizeof(*r));
	r->config = config;
	r->origin = origin;
	r->errands = queue_new(max_errands + 1);
	r->refetch = refetch_new(config);
	thread_start(&r->thread, reader_main, r);
	return r;
}

void reader_send(struct reader *r, struct errand *errand)
{
	if (!queue_push(r->errands, errand))
		abort(); /* sized for every errand there is */
}

/* The end is an errand too, so that those before it are done. */
void reader_stop(struct reader *r)
{
	if (!r)
		return;
	reader_send(r, &r->end);
	pthread_join(r->thread, NULL);
	refetch_free(r->refetch);
	queue_free(r->errands);
	free(r);
}

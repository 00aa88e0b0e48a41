/*
 * beat.c - a fixed table of places: a name, and when its thread last beat.
 *
 *   places:  [ poll  1234567 ] [ lane 0  1234999 ] [ lane 1  0: rests ] [ free ] ...
 *
 * The time is a relaxed atomic of the monotonic clock, so a beat costs a store; 0 for a thread that
 * rests or a place that is free. Names change only under the lock, when a thread joins or leaves.
 *
 * Thread: any. Failure: none; a process with more threads than places is a mistake and ends.
 */
#include "base/beat.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"

#define BEAT_MAX_US (60 * US_PER_S)
#define PLACES_MAX 320

static struct place {
	char name[16]; /* empty: free */
	_Atomic int64_t beat_us;
} places[PLACES_MAX];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* The first free place; too many threads are a mistake of ours, not of the machine. */
size_t beat_join(const char *name)
{
	size_t i = 0;
	pthread_mutex_lock(&lock);
	while (i < PLACES_MAX && places[i].name[0] != '\0')
		i++;
	if (i == PLACES_MAX)
		abort();
	snprintf(places[i].name, sizeof(places[i].name), "%s", name);
	pthread_mutex_unlock(&lock);
	beat(i);
	return i;
}

void beat_at(size_t place, int64_t mono_us)
{
	atomic_store_explicit(&places[place].beat_us, mono_us, memory_order_relaxed);
}

void beat(size_t place)
{
	beat_at(place, clock_mono_us());
}

/* 0 is "no promise": beat_all() passes over it. */
void beat_rest(size_t place)
{
	beat_at(place, 0);
}

void beat_leave(size_t place)
{
	beat_rest(place);
	pthread_mutex_lock(&lock);
	places[place].name[0] = '\0';
	pthread_mutex_unlock(&lock);
}

/* Under the lock, so that no name changes while it is read. */
bool beat_all(struct buf *silent)
{
	int64_t now = clock_mono_us();
	bool all = true;
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < PLACES_MAX; i++) {
		int64_t last = atomic_load_explicit(&places[i].beat_us, memory_order_relaxed);
		if (places[i].name[0] == '\0' || last == 0 || now - last <= BEAT_MAX_US)
			continue;
		buf_printf(silent, "%s thread: no sign of life for %lld s\n", places[i].name,
			   (long long)((now - last) / US_PER_S));
		all = false;
	}
	pthread_mutex_unlock(&lock);
	return all;
}

unsigned beat_serve(void *ctx, struct buf *body)
{
	(void)ctx;
	if (!beat_all(body))
		return 503;
	buf_puts(body, "ok\n");
	return 200;
}

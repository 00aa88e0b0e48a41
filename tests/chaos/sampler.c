/*
 * sampler.c - the two promises about offsets that hold at every moment, looked at each second.
 *
 *   1. what Kafka has as the group's committed offsets
 *   2. what the database has as next_offset (books.c)
 *
 * In this order: next_offset may have grown in between, and then Kafka's is only further behind;
 * the other way round a healthy worker would look guilty. Per (topic, topic id, partition) the
 * greatest next_offset ever seen is kept, which none may fall below.
 *
 * A fault that takes back transactions (a failover) declares it; samples that were taken while it
 * was under way say nothing, and after it the offsets are learned anew.
 *
 * A thread with clients of its own, so that a broker or a database that hangs holds up nobody. It
 * fails nothing: what does not answer makes no sample. It ends within some seconds of
 * sampler_stop().
 */
#include "sampler.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "books.h"
#include "broker.h"
#include "verdict.h"

#define MAX_REPORTS 8 /* what is wrong at one sample is mostly wrong at the next */
#define PARTITIONS 64
#define PERIOD_US US_PER_S
#define PATIENCE_MS INT64_C(1500)

struct position {
	char topic[96], topic_id[40];
	int64_t partition, highest;
};

struct sampler {
	struct chaos *c;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	/* under the lock */
	bool stop, proving;
	unsigned seen;
	struct broker_watch *watch;
	struct books *books;
	int reports;
	unsigned falls; /* of the run, when the last sample was taken */
	struct position *positions;
	size_t npositions;
	int64_t committed[CHAOS_STREAMS][PARTITIONS];
};

/* --- one sample --- */

/* Offsets of partitions that Kafka does not know are -1. */
static bool ask_kafka(struct sampler *s)
{
	const struct bed *bed = s->c->bed;
	for (size_t i = 0; i < CHAOS_STREAMS; i++) {
		if (!broker_watch_committed(s->watch, bed->streams[i].topic, s->committed[i],
					    bed->streams[i].partitions, (int)PATIENCE_MS))
			return false;
	}
	return true;
}

/* --- what it says --- */

__attribute__((format(printf, 3, 4))) static void report(struct sampler *s, enum wrong wrong,
							 const char *fmt, ...)
{
	char text[384];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	pthread_mutex_lock(&s->lock);
	bool proving = s->proving;
	s->seen |= proving ? (unsigned)wrong : 0;
	pthread_mutex_unlock(&s->lock);
	if (!proving && s->reports++ < MAX_REPORTS)
		chaos_violation(s->c, "%s", text);
}

static void compare(struct sampler *s, const char *topic, int64_t partition, int64_t next)
{
	const struct bed *bed = s->c->bed;
	for (size_t i = 0; i < CHAOS_STREAMS; i++) {
		if (strcmp(bed->streams[i].topic, topic) != 0 ||
		    partition >= bed->streams[i].partitions)
			continue;
		int64_t committed = s->committed[i][partition];
		if (committed > next)
			report(s, SAMPLER_AHEAD,
			       "%s/%lld: committed to Kafka is %lld, durable is %lld", topic,
			       (long long)partition, (long long)committed, (long long)next);
	}
}

static struct position *position_of(struct sampler *s, const char *topic, const char *topic_id,
				    int64_t partition)
{
	for (size_t i = 0; i < s->npositions; i++) {
		struct position *p = &s->positions[i];
		if (p->partition == partition && strcmp(p->topic, topic) == 0 &&
		    strcmp(p->topic_id, topic_id) == 0)
			return p;
	}
	s->positions = xrealloc(s->positions, (s->npositions + 1) * sizeof(*s->positions));
	struct position *p = &s->positions[s->npositions++];
	*p = (struct position){.partition = partition};
	snprintf(p->topic, sizeof(p->topic), "%s", topic);
	snprintf(p->topic_id, sizeof(p->topic_id), "%s", topic_id);
	return p;
}

static void look(struct sampler *s, const struct books_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct books_row *row = &rows[i];
		int64_t next = row->next_offset;
		compare(s, row->topic, row->partition, next);
		struct position *p = position_of(s, row->topic, row->topic_id, row->partition);
		if (next < p->highest)
			report(s, SAMPLER_FELL, "%s/%lld: next_offset fell from %lld to %lld",
			       row->topic, (long long)row->partition, (long long)p->highest,
			       (long long)next);
		p->highest = MAX(p->highest, next);
	}
}

/* Before and after: whether a fault that may make offsets fall is or was under way. */
static bool may_fall(struct sampler *s, unsigned *falls)
{
	*falls = __atomic_load_n(&s->c->falls, __ATOMIC_SEQ_CST);
	return __atomic_load_n(&s->c->may_fall, __ATOMIC_SEQ_CST) > 0;
}

static void sample(struct sampler *s)
{
	unsigned before, after;
	bool excused = may_fall(s, &before);
	if (!ask_kafka(s))
		return;
	size_t n;
	const struct books_row *rows = books_read(s->books, &n);
	if (!rows)
		return;
	excused |= may_fall(s, &after) || before != after;
	if (s->falls != after)
		s->npositions = 0;
	s->falls = after;
	if (!excused) {
		look(s, rows, n);
		verdict_sampled();
	}
}

void sampler_prove(struct sampler *s, bool proving)
{
	pthread_mutex_lock(&s->lock);
	s->proving = proving;
	s->seen = 0;
	pthread_mutex_unlock(&s->lock);
}

unsigned sampler_seen(struct sampler *s)
{
	pthread_mutex_lock(&s->lock);
	unsigned seen = s->seen;
	pthread_mutex_unlock(&s->lock);
	return seen;
}

/* --- the thread --- */

/* Until the next sample is due; false: it is to end. */
static bool rest(struct sampler *s, int64_t due_us)
{
	int64_t wall_us = clock_wall_us() + MAX(due_us - clock_mono_us(), 0);
	struct timespec until = {wall_us / US_PER_S, wall_us % US_PER_S * 1000};
	pthread_mutex_lock(&s->lock);
	while (!s->stop && pthread_cond_timedwait(&s->wake, &s->lock, &until) == 0)
		continue;
	bool goes_on = !s->stop;
	pthread_mutex_unlock(&s->lock);
	return goes_on;
}

static void *sampler_main(void *arg)
{
	struct sampler *s = arg;
	int64_t due_us = clock_mono_us();
	while (rest(s, due_us)) {
		due_us = clock_mono_us() + PERIOD_US;
		sample(s);
	}
	return NULL;
}

struct sampler *sampler_start(struct chaos *c)
{
	struct sampler *s = xcalloc(1, sizeof(*s));
	s->c = c;
	s->watch = broker_watch_new(c->bed->name);
	s->books = books_new(c->bed, "sampler", PATIENCE_MS * US_PER_MS);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->wake, NULL);
	ck_assert_int_eq(pthread_create(&s->thread, NULL, sampler_main, s), 0);
	return s;
}

void sampler_stop(struct sampler *s)
{
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	broker_watch_free(s->watch);
	books_free(s->books);
	free(s->positions);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->wake);
	free(s);
}

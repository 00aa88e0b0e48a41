/*
 * troubles.c - remembers what was last logged as a warning or an error.
 *
 * Every failure is logged once, by the loop that decides what to do about it, and the log's fields
 * say where it happened. So the log is the one place to listen, and what /status shows is what
 * people find in the log.
 *
 *   log_write() --warn, error--> note()
 *
 * If message, topic, partition and lane are those of one that is kept, that one moves to the front,
 * counts, and shows its newest text: a partition full of bad events takes one place. Else a new one
 * takes the place of the oldest.
 *
 *   kept: [ newest | ... | oldest ]   at most TROUBLES_MAX, fixed memory
 *
 * Process-wide, as the log and the heartbeats are. One mutex; a note costs a copy of a few hundred
 * bytes, and the log's rate limit has thinned out what comes.
 */
#include "show/troubles.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/stats.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct trouble kept[TROUBLES_MAX];
static size_t nkept;

/* Empty if the field is not there. */
static const char *text_of(const struct log_field *fields, const char *key)
{
	for (const struct log_field *f = fields; f->kind != LOG_KIND_END; f++)
		if (f->kind == LOG_KIND_STR && strcmp(f->key, key) == 0 && f->str)
			return f->str;
	return "";
}

/* -1 if the field is not there. */
static int64_t number_of(const struct log_field *fields, const char *key)
{
	for (const struct log_field *f = fields; f->kind != LOG_KIND_END; f++)
		if (f->kind == LOG_KIND_INT && strcmp(f->key, key) == 0)
			return f->num;
	return -1;
}

/* Copies: the fields are the caller's. */
static void describe(struct trouble *t, enum log_level level, const char *msg,
		     const struct log_field *fields)
{
	*t = (struct trouble){.msg = msg,
			      .error = level == LOG_ERROR,
			      .partition = number_of(fields, "partition"),
			      .offset = number_of(fields, "offset"),
			      .lane = number_of(fields, "lane")};
	snprintf(t->text, sizeof(t->text), "%s", text_of(fields, "error"));
	snprintf(t->topic, sizeof(t->topic), "%s", text_of(fields, "topic"));
	snprintf(t->stream, sizeof(t->stream), "%s", text_of(fields, "stream"));
}

/* The same place; its text may be another by now. */
static bool same(const struct trouble *a, const struct trouble *b)
{
	return a->partition == b->partition && a->lane == b->lane && strcmp(a->msg, b->msg) == 0 &&
	       strcmp(a->topic, b->topic) == 0;
}

/* Called by whoever logs: never logs itself. */
static void note(enum log_level level, const char *msg, const struct log_field *fields)
{
	struct trouble fresh;
	describe(&fresh, level, msg, fields);
	fresh.first_us = fresh.last_us = clock_wall_us();
	stats_add(METRIC_LOG_MESSAGES, fresh.error ? LEVEL_ERROR : LEVEL_WARN, 0, 1);
	if (fresh.error)
		stats_set(METRIC_LAST_ERROR, 0, 0, fresh.last_us);
	pthread_mutex_lock(&lock);
	size_t at = 0;
	while (at < nkept && !same(&kept[at], &fresh))
		at++;
	bool again = at < nkept;
	fresh.times = again ? kept[at].times + 1 : 1;
	if (again)
		fresh.first_us = kept[at].first_us;
	else
		at = MIN(nkept, (size_t)TROUBLES_MAX - 1);
	nkept += !again && nkept < TROUBLES_MAX;
	memmove(&kept[1], &kept[0], at * sizeof(kept[0]));
	kept[0] = fresh;
	pthread_mutex_unlock(&lock);
}

void troubles_begin(void)
{
	pthread_mutex_lock(&lock);
	nkept = 0;
	pthread_mutex_unlock(&lock);
	log_watch(note);
}

void troubles_end(void)
{
	log_watch(NULL);
}

size_t troubles_copy(struct trouble out[TROUBLES_MAX])
{
	pthread_mutex_lock(&lock);
	size_t n = nkept;
	memcpy(out, kept, n * sizeof(kept[0]));
	pthread_mutex_unlock(&lock);
	return n;
}

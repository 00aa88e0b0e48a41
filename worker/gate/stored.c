/*
 * stored.c - requests that wait until the database has what they brought.
 *
 *   job --> waiting --look--> next_offset of each of its partitions is behind its last event
 *              |                 --> are some dead letters? --> 200, or 207 with which
 *              |----- halted_at = next_offset in one of them --> 504, at once, with the reason
 *              '----- its time is over                        --> 504
 *
 * The database is PostgreSQL or a SQLite file, which a worker of another process writes.
 *
 * What is durable stands in memingest.offsets, in the transaction of the rows themselves, so one
 * look at it answers all who wait. The worker could tell us instead (NOTIFY), but a NOTIFY takes a
 * lock over all databases of the server at commit, so its transactions would wait for each other;
 * the look costs a fraction of a millisecond, and only while somebody waits.
 *
 * next_offset says that an event was handled, not that it is in the table: what the database
 * refused is in memingest.dead_letters, which is asked before anybody is told that all is stored.
 * While it can not be asked, the request waits on and says at its end what is wrong.
 *
 * Thread: its own, which owns the session; stored_expire() is the main thread's, since a session
 * that hangs must not keep those whose time is over. A job is in the list or has one owner. Failure
 * of the session: a new one a little later; those who wait learn of it if their time is over first.
 */
#include "gate/stored.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/beat.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "gate/job.h"
#include "sqlite/asker.h"

#define LOOK_FIRST_US (2 * US_PER_MS)
#define LOOK_LAST_US (50 * US_PER_MS)
#define RETRY_US (500 * US_PER_MS)
#define PG_TIMEOUT_US (5 * US_PER_S)

struct stored {
	const struct config *config;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t come; /* a job, or the end */
	struct job *waiting;
	size_t nwaiting, nbusy;      /* busy: taken out of the list and not yet answered */
	bool stop, fresh;            /* fresh: somebody came since the last look */
	char trouble[ERR_TEXT_SIZE]; /* why the database can not be asked, or "" */
	struct asker db;             /* the thread's own session, if it is open */
	bool open;
	char *offsets; /* the statement of a look */
};

/* worker/sql */
extern const char sql_gateway_offsets[], sql_gateway_dead[], sql_gateway_file_dead[];

/* --- what a look says of a job --- */

enum seen { SEEN_NOT_YET, SEEN_STORED, SEEN_HALTED };

/* The partition's row of that topic, or -1. */
static long row_of(const struct answer *rows, const char *topic, int32_t partition)
{
	for (size_t i = 0; i < answer_count(rows); i++)
		if (answer_int(rows, i, 1) == partition &&
		    strcmp(answer_value(rows, i, 0), topic) == 0)
			return (long)i;
	return -1;
}

/*
 * Of the slowest of its events; a halt is nothing to what the partition has gone past. Its reason
 * is borrowed from rows.
 */
static enum seen look_at(const struct job *j, const struct answer *rows, const char **why)
{
	enum seen seen = SEEN_STORED;
	const char *halted = NULL;
	int32_t known = -1;
	int64_t next = 0;
	for (size_t i = 0; i < j->parcel.n; i++) {
		const struct parcel_event *e = &j->parcel.events[i];
		if (e->partition != known) {
			long row = row_of(rows, j->stream->topic, e->partition);
			known = e->partition;
			next = row >= 0 ? answer_int(rows, (size_t)row, 2) : 0;
			halted = row >= 0 ? answer_value(rows, (size_t)row, 3) : NULL;
		}
		if (e->offset < next)
			continue;
		seen = SEEN_NOT_YET;
		if ((*why = halted))
			return SEEN_HALTED;
	}
	return seen;
}

/* --- dead letters --- */

static struct parcel_event *event_at(struct parcel *p, int64_t partition, int64_t offset)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->events[i].partition == partition && p->events[i].offset == offset)
			return &p->events[i];
	return NULL;
}

/* "{1,2,3}" of partitions and of offsets, as PostgreSQL reads arrays; of a file "[1,2,3]". */
static void put_positions(const struct parcel *p, bool file, struct buf *partitions,
			  struct buf *offsets)
{
	buf_puts(partitions, file ? "[" : "{");
	buf_puts(offsets, file ? "[" : "{");
	for (size_t i = 0; i < p->n; i++) {
		buf_printf(partitions, "%s%d", i ? "," : "", p->events[i].partition);
		buf_printf(offsets, "%s%" PRId64, i ? "," : "", p->events[i].offset);
	}
	buf_puts(partitions, file ? "]" : "}");
	buf_puts(offsets, file ? "]" : "}");
}

/* Adds an error for each event that is one. False: the database does not say. */
static bool find_dead(struct stored *s, struct job *j, struct err *err)
{
	struct buf partitions = {0}, offsets = {0};
	put_positions(&j->parcel, !s->db.pg, &partitions, &offsets);
	const char *const params[] = {s->config->group_id, j->stream->topic, buf_cstr(&partitions),
				      buf_cstr(&offsets)};
	struct answer *rows =
		asker_query(&s->db, ASKER_WORDS(sql_gateway_dead, sql_gateway_file_dead), params,
			    ARRAY_LEN(params), err);
	for (size_t i = 0; rows && i < answer_count(rows); i++) {
		const char *detail = answer_value(rows, i, 3);
		struct parcel_event *e =
			event_at(&j->parcel, answer_int(rows, i, 0), answer_int(rows, i, 1));
		char *message = xasprintf("a dead letter (%s): %s", answer_value(rows, i, 2),
					  detail ? detail : "");
		if (e)
			parcel_add_error(&j->parcel, e->index, NULL, message);
		free(message);
	}
	buf_free(&partitions);
	buf_free(&offsets);
	answer_free(rows);
	return rows != NULL;
}

/* --- answering --- */

static void end_stored(struct job *j)
{
	size_t dead = j->parcel.nerrors - j->nrefused;
	if (dead > 0)
		job_end(j, REPLY_PARTLY_STORED, 0,
			"the database refused some of the events: see errors");
	else
		job_end(j, REPLY_STORED, 0, NULL);
}

static void end_halted(struct job *j, const char *why)
{
	char *message = xasprintf("the events are in Kafka; their partition is halted: %s", why);
	job_end(j, REPLY_HALTED, 0, message);
	free(message);
}

static void end_late(struct job *j, const char *trouble)
{
	char *message = xasprintf("the events are in Kafka and on their way%s%s",
				  trouble[0] ? "; the database can not be asked: " : "", trouble);
	job_end(j, REPLY_NOT_YET, 0, message);
	free(message);
}

/* --- the list --- */

static void put_back(struct stored *s, struct job *j)
{
	pthread_mutex_lock(&s->lock);
	j->next = s->waiting;
	s->waiting = j;
	s->nwaiting++;
	pthread_mutex_unlock(&s->lock);
}

void stored_wait(struct stored *s, struct job *j)
{
	put_back(s, j);
	pthread_mutex_lock(&s->lock);
	s->fresh = true;
	pthread_cond_signal(&s->come);
	pthread_mutex_unlock(&s->lock);
}

size_t stored_waiting(struct stored *s)
{
	pthread_mutex_lock(&s->lock);
	size_t n = s->nwaiting + s->nbusy;
	pthread_mutex_unlock(&s->lock);
	return n;
}

/* Takes out of the list whose time is over; they are linked by next. */
static struct job *take_late(struct stored *s, bool all)
{
	int64_t now = clock_mono_us();
	struct job *late = NULL;
	for (struct job **at = &s->waiting, *j; (j = *at);) {
		if (!all && now < j->deadline_us) {
			at = &j->next;
			continue;
		}
		*at = j->next;
		j->next = late;
		late = j;
		s->nwaiting--;
		s->nbusy++;
	}
	return late;
}

void stored_expire(struct stored *s, bool all)
{
	char trouble[ERR_TEXT_SIZE];
	pthread_mutex_lock(&s->lock);
	struct job *late = take_late(s, all);
	snprintf(trouble, sizeof(trouble), "%s", s->trouble);
	pthread_mutex_unlock(&s->lock);
	for (struct job *next; late; late = next) {
		next = late->next;
		end_late(late, trouble);
		pthread_mutex_lock(&s->lock);
		s->nbusy--;
		pthread_mutex_unlock(&s->lock);
	}
}

/* Out of the list: those of which the look has something to say. */
static struct job *take_seen(struct stored *s, const struct answer *rows)
{
	struct job *seen = NULL;
	const char *why;
	pthread_mutex_lock(&s->lock);
	for (struct job **at = &s->waiting, *j; (j = *at);) {
		if (look_at(j, rows, &why) == SEEN_NOT_YET) {
			at = &j->next;
			continue;
		}
		*at = j->next;
		j->next = seen;
		seen = j;
		s->nwaiting--;
		s->nbusy++;
	}
	pthread_mutex_unlock(&s->lock);
	return seen;
}

/* --- the thread --- */

static void set_trouble(struct stored *s, const char *text)
{
	pthread_mutex_lock(&s->lock);
	bool other = strcmp(s->trouble, text) != 0;
	snprintf(s->trouble, sizeof(s->trouble), "%s", text);
	pthread_mutex_unlock(&s->lock);
	if (other && text[0])
		log_warn("the database can not be asked what is stored", F_STR("error", text));
}

/* One that was taken out: answered, or put back. */
static bool end_seen(struct stored *s, struct job *j, const struct answer *rows, struct err *err)
{
	const char *why;
	bool ok = true;
	if (look_at(j, rows, &why) == SEEN_HALTED)
		end_halted(j, why);
	else if ((ok = find_dead(s, j, err)))
		end_stored(j);
	else
		put_back(s, j);
	pthread_mutex_lock(&s->lock);
	s->nbusy--;
	pthread_mutex_unlock(&s->lock);
	return ok;
}

static void close_session(struct stored *s)
{
	if (s->open)
		asker_close(&s->db);
	free(s->offsets);
	s->offsets = NULL;
	s->open = false;
}

static bool open_session(struct stored *s, struct err *err)
{
	if (s->open)
		return true;
	s->open = asker_open(&s->db, s->config, "gateway", err);
	if (!s->open)
		return false;
	if (s->db.pg)
		pg_set_timeout(s->db.pg, PG_TIMEOUT_US);
	s->offsets = asker_books(&s->db, sql_gateway_offsets);
	return true;
}

static bool look(struct stored *s, struct err *err)
{
	if (!open_session(s, err))
		return false;
	const char *const params[] = {s->config->group_id};
	struct answer *rows = asker_query(&s->db, ASKER_TEXT(s->offsets), params, 1, err);
	bool ok = rows != NULL;
	for (struct job *j = ok ? take_seen(s, rows) : NULL, *next; j; j = next) {
		next = j->next;
		ok = end_seen(s, j, rows, err) && ok;
	}
	answer_free(rows);
	return ok;
}

/* Often while the youngest has just come, seldom while all wait for long. */
static int64_t pause_us(struct stored *s)
{
	int64_t youngest = 0, now = clock_mono_us();
	pthread_mutex_lock(&s->lock);
	for (const struct job *j = s->waiting; j; j = j->next)
		youngest = MAX(youngest, j->delivered_us);
	s->fresh = false;
	pthread_mutex_unlock(&s->lock);
	if (!youngest)
		return 0;
	return MAX(LOOK_FIRST_US, MIN(LOOK_LAST_US, (now - youngest) / 8));
}

/*
 * For a while, or until somebody new waits, so that not every moment is asked about; then until
 * somebody does.
 */
static bool rest(struct stored *s, size_t place, int64_t us)
{
	struct timespec until;
	beat_rest(place);
	if (us > 0) {
		clock_gettime(CLOCK_MONOTONIC, &until);
		int64_t ns = until.tv_nsec + us * 1000;
		until.tv_sec += ns / 1000000000;
		until.tv_nsec = ns % 1000000000;
	}
	pthread_mutex_lock(&s->lock);
	int late = 0;
	while (!s->stop && us > 0 && late == 0 && !s->fresh)
		late = pthread_cond_timedwait(&s->come, &s->lock, &until);
	while (!s->stop && !s->waiting)
		pthread_cond_wait(&s->come, &s->lock);
	bool stop = s->stop;
	pthread_mutex_unlock(&s->lock);
	beat(place);
	return !stop;
}

static void *run(void *arg)
{
	struct stored *s = arg;
	size_t place = beat_join("stored");
	int64_t us = 0;
	while (rest(s, place, us)) {
		struct err err = {0};
		bool ok = look(s, &err);
		set_trouble(s, ok ? "" : err.text);
		us = ok ? pause_us(s) : MAX(pause_us(s), RETRY_US);
		/* a file may be replaced meanwhile, which only who opens it notices */
		bool rested = s->open && !s->db.pg && stored_waiting(s) == 0;
		if (rested || (!ok && s->open && !asker_ok(&s->db)))
			close_session(s);
	}
	close_session(s);
	beat_leave(place);
	return NULL;
}

struct stored *stored_start(const struct config *config)
{
	struct stored *s = xcalloc(1, sizeof(*s));
	pthread_condattr_t attributes;
	s->config = config;
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&s->come, &attributes);
	pthread_condattr_destroy(&attributes);
	thread_start(&s->thread, run, s);
	return s;
}

void stored_stop(struct stored *s)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_cond_signal(&s->come);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	pthread_cond_destroy(&s->come);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

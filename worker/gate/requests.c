/*
 * requests.c - requests with an Idempotency-Key: applied once, however often they are sent.
 *
 *   job --> line --> is there a receipt? --yes--> the answer of then (or 422: another body)
 *                      | no
 *                      '--> one transaction: claim, its events, receipt (io/receipts.c)
 *                              committed --> the answer
 *                              aborted   --> none of it is in Kafka: 503
 *                              unknown   --> a new client, and the same job from the beginning
 *
 * What is promised: under one name (token, method, stream, key) the events of a request are in the
 * topic once, whatever is killed, cut or restarted, and whichever gateway is asked again, for as
 * long as receipts are kept (a day; io/receipts.c). While a request is in the line or in a
 * transaction, a second one of its name is told to come again (409). All of a request's events are
 * in, or none: with a key there is no "unsure" but while brokers are away.
 *
 * A transaction costs some ten milliseconds, so this line passes fewer requests than the door does
 * without keys; how many events each has makes little difference.
 *
 * Thread: its own. A job is in the line, at work, or somebody else's. Failure: brokers that are
 * away: what waits is answered with 503 when gateway.timeout is over, by the main thread what is in
 * the line, as the job before it may be in one wait of librdkafka's after another.
 */
#include "gate/requests.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/beat.h"
#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/thread.h"
#include "codec/walk.h"
#include "gate/job.h"
#include "io/receipts.h"
#include "schema/encode.h"

#define IDLE_US (200 * US_PER_MS)
#define OPEN_EVERY_US US_PER_S
#define CLAIM_US (15 * US_PER_S)

struct requests {
	const struct config *config;
	struct receipts *receipts; /* the thread's own */
	char *id;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t come;
	struct job *first, **last; /* the line */
	struct job *work;          /* at work, or NULL */
	size_t n;
	bool stop;
	char trouble[ERR_TEXT_SIZE]; /* why it is not open, the thread's own */
};

/* --- the line --- */

static bool is_known(const struct requests *r, const char *name)
{
	if (r->work && strcmp(r->work->idempotency, name) == 0)
		return true;
	for (const struct job *j = r->first; j; j = j->next)
		if (strcmp(j->idempotency, name) == 0)
			return true;
	return false;
}

bool requests_take(struct requests *r, struct job *j)
{
	pthread_mutex_lock(&r->lock);
	bool known = is_known(r, j->idempotency);
	if (!known) {
		j->next = NULL;
		*r->last = j;
		r->last = &j->next;
		r->n++;
		pthread_cond_signal(&r->come);
	}
	pthread_mutex_unlock(&r->lock);
	return !known;
}

size_t requests_waiting(struct requests *r)
{
	pthread_mutex_lock(&r->lock);
	size_t n = r->n;
	pthread_mutex_unlock(&r->lock);
	return n;
}

/* The first of the line, which is at work from now on. */
static struct job *take_first(struct requests *r)
{
	struct job *j = r->first;
	if (j && !(r->first = j->next))
		r->last = &r->first;
	r->work = j;
	return j;
}

/* Just before the job at work is answered, so that a client may ask again as soon as it is. */
static void let_go(struct requests *r)
{
	pthread_mutex_lock(&r->lock);
	r->work = NULL;
	r->n--;
	pthread_mutex_unlock(&r->lock);
}

static bool is_late(const struct requests *r, const struct job *j)
{
	return clock_mono_us() - j->request->begun_us > r->config->gateway_timeout_us;
}

/* Out of the line: all, or those that are late. They are linked by next. */
static struct job *take_out(struct requests *r, bool all)
{
	struct job *out = NULL;
	pthread_mutex_lock(&r->lock);
	struct job **at = &r->first;
	for (struct job *j; (j = *at);) {
		if (!all && !is_late(r, j)) {
			at = &j->next;
			continue;
		}
		*at = j->next;
		j->next = out;
		out = j;
		r->n--;
	}
	r->last = at;
	pthread_mutex_unlock(&r->lock);
	return out;
}

static void end_all(struct job *jobs, const char *message)
{
	for (struct job *next; jobs; jobs = next) {
		next = jobs->next;
		job_end(jobs, REPLY_BUSY, 1, message);
	}
}

void requests_cut(struct requests *r)
{
	end_all(take_out(r, true), "the gateway ends; nothing of the request was taken");
}

void requests_expire(struct requests *r)
{
	end_all(take_out(r, false),
		"requests with an Idempotency-Key go one by one, and this one's turn did not come "
		"in time; nothing of it was taken");
}

/* --- receipts --- */

/* n, and of each event partition and offset. */
static void write_fate(const struct parcel *p, struct buf *out)
{
	encode_long(out, (int64_t)p->n);
	for (size_t i = 0; i < p->n; i++) {
		encode_long(out, p->events[i].partition);
		encode_long(out, p->events[i].offset);
	}
}

/* False: it is not of as many events. */
static bool read_fate(struct slice fate, struct parcel *p)
{
	struct refusal why = {0};
	struct cursor at = {.p = fate.data, .end = fate.data + fate.len, .why = &why};
	int64_t n, partition, offset;
	if (!walk_long(&at, &n) || n != (int64_t)p->n)
		return false;
	for (size_t i = 0; i < p->n; i++) {
		if (!walk_long(&at, &partition) || !walk_long(&at, &offset))
			return false;
		p->events[i].partition = (int32_t)partition;
		p->events[i].offset = offset;
		p->events[i].fate = PARCEL_IN;
	}
	return true;
}

/* Waits until what became of it can be read, which is as soon as those before it are decided. */
static const struct receipt *read_on(struct requests *r, const char *name)
{
	const struct receipt *found;
	int64_t deadline_us = clock_mono_us() + CLAIM_US;
	while ((found = receipts_find(r->receipts, name)) && found->fate.len == 0 &&
	       clock_poll_ms(deadline_us) > 0)
		receipts_follow(r->receipts, 20);
	return found;
}

/* True: it was applied before, and is answered. No transaction is open. */
static bool was_applied(struct requests *r, struct job *j)
{
	const struct receipt *found = read_on(r, j->idempotency);
	if (!found)
		return false;
	bool same = memcmp(found->hash, j->hash, sizeof(j->hash)) == 0, read = found->fate.len > 0;
	bool fits = same && read && read_fate(found->fate, &j->parcel);
	let_go(r);
	if (same && !read) {
		job_end(j, REPLY_IN_FLIGHT, 1, "the request was applied; ask again where");
	} else if (!fits) {
		job_end(j, REPLY_OTHER_BODY, 0,
			"the Idempotency-Key was used for a request with another body: take a new "
			"one for a new request");
	} else {
		j->sent_us = clock_mono_us();
		j->nrefused = j->parcel.nerrors;
		j->repeated = true;
		job_delivered(j);
	}
	return true;
}

/* --- one job --- */

enum outcome { OUTCOME_ENDED, OUTCOME_AGAIN };

/* None of it is in Kafka, and never will be. */
static enum outcome end_lost(struct requests *r, struct job *j, const char *why)
{
	let_go(r);
	for (size_t i = 0; i < j->parcel.n; i++)
		j->parcel.events[i].fate = PARCEL_LOST;
	char *message = xasprintf("none of the events is in Kafka: %s", why);
	j->sent_us = clock_mono_us();
	job_end(j, REPLY_UNDELIVERED, 1, message);
	free(message);
	return OUTCOME_ENDED;
}

/* Each event of the parcel is reported before this returns true. */
static bool send_all(struct requests *r, struct job *j, int64_t deadline_us, struct err *err)
{
	struct parcel *p = &j->parcel;
	j->sent_us = clock_mono_us();
	atomic_store(&j->left, SIZE_MAX); /* reports of its messages end nothing here */
	for (size_t i = 0; i < p->n; i++) {
		struct parcel_event *e = &p->events[i];
		e->fate = PARCEL_READY; /* of an attempt before it may be something else */
		const struct producer_message m = {.topic = j->stream->topic,
						   .partition = -1,
						   .key = parcel_key(e),
						   .value = parcel_value(e),
						   .tag = (uint64_t)(uintptr_t)e};
		if (!receipts_add(r->receipts, &m, err))
			return false;
	}
	if (!receipts_flush(r->receipts, deadline_us, err))
		return false;
	for (size_t i = 0; i < p->n; i++)
		if (p->events[i].fate != PARCEL_IN)
			return err_set(err, ERR_RETRY, "%s", p->first_lost);
	return true;
}

static enum outcome give_up(struct requests *r, struct job *j, const struct err *err)
{
	if (receipts_abort(r->receipts))
		return end_lost(r, j, err->text);
	receipts_close(r->receipts);
	return OUTCOME_AGAIN;
}

/* A transaction is open, and there is no receipt. */
static enum outcome apply(struct requests *r, struct job *j, int64_t deadline_us)
{
	struct err err = {0};
	struct buf fate = {0};
	if (FAIL_POINT_ERR("gateway_begun", &err) || !send_all(r, j, deadline_us, &err) ||
	    FAIL_POINT_ERR("gateway_sent", &err))
		return give_up(r, j, &err);
	write_fate(&j->parcel, &fate);
	const struct receipt receipt = {.hash = {j->hash[0], j->hash[1]},
					.fate = {fate.data, fate.len}};
	enum receipts_outcome outcome =
		receipts_commit(r->receipts, j->idempotency, &receipt, deadline_us, &err);
	buf_free(&fate);
	if (FAIL_POINT_ERR("gateway_committed", &err))
		outcome = RECEIPTS_UNKNOWN;
	switch (outcome) {
	case RECEIPTS_COMMITTED:
		let_go(r);
		j->nrefused = j->parcel.nerrors;
		job_delivered(j);
		return OUTCOME_ENDED;
	case RECEIPTS_ABORTED:
		return end_lost(r, j, err.text);
	case RECEIPTS_UNKNOWN:
		log_warn("a transaction's end is not known, the request is looked up anew",
			 F_STR("error", err.text));
		receipts_close(r->receipts);
		return OUTCOME_AGAIN;
	}
	return OUTCOME_AGAIN;
}

static enum outcome work(struct requests *r, struct job *j)
{
	struct err err = {0};
	int64_t deadline_us = clock_mono_us() + r->config->gateway_timeout_us;
	if (was_applied(r, j))
		return OUTCOME_ENDED;
	if (!receipts_begin(r->receipts, j->idempotency, j->hash,
			    MIN(deadline_us, clock_mono_us() + CLAIM_US), &err)) {
		if (err.class != ERR_FATAL) {
			let_go(r);
			job_end(j, REPLY_BUSY, 1, err.text);
			return OUTCOME_ENDED;
		}
		log_warn("the client of the receipts is replaced", F_STR("error", err.text));
		receipts_close(r->receipts);
		return OUTCOME_AGAIN;
	}
	if (!receipts_find(r->receipts, j->idempotency))
		return apply(r, j, deadline_us);
	if (!receipts_abort(r->receipts))
		receipts_close(r->receipts);
	return was_applied(r, j) ? OUTCOME_ENDED : OUTCOME_AGAIN;
}

/* --- the thread --- */

static bool open_receipts(struct requests *r, size_t place)
{
	struct err err = {0};
	if (receipts_is_open(r->receipts))
		return true;
	beat_rest(place); /* within deadlines of its own */
	bool ok = receipts_open(r->receipts, &err);
	beat(place);
	if (ok)
		log_info("ready for requests with an Idempotency-Key",
			 F_STR("topic", r->config->gateway_requests_topic),
			 F_INT("receipts", receipts_count(r->receipts)));
	else if (strcmp(r->trouble, err.text) != 0)
		log_warn("not ready for requests with an Idempotency-Key",
			 F_STR("error", err.text));
	snprintf(r->trouble, sizeof(r->trouble), "%s", err.text);
	return ok;
}

/*
 * What happens to a job at work while no broker lets us go on. Of one that was not tried this time
 * nothing is said but that: it may be a repetition of one that was applied.
 */
static void wait_or_end(struct requests *r, struct job *j, bool *ended)
{
	*ended = is_late(r, j);
	if (!*ended)
		return;
	let_go(r);
	for (size_t i = 0; i < j->parcel.n; i++)
		j->parcel.events[i].fate = PARCEL_UNSURE;
	char *message = xasprintf("Kafka: %s; a repetition with the same Idempotency-Key finds out",
				  r->trouble);
	if (j->unsure)
		j->sent_us = clock_mono_us();
	job_end(j, j->unsure ? REPLY_UNDELIVERED : REPLY_BUSY, 1, message);
	free(message);
}

/* Until a job comes, or for that long. Under the lock. */
static void rest(struct requests *r, int64_t us)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	int64_t ns = until.tv_nsec + us * 1000;
	until.tv_sec += ns / 1000000000;
	until.tv_nsec = ns % 1000000000;
	pthread_cond_timedwait(&r->come, &r->lock, &until);
}

static void do_job(struct requests *r, struct job *j, size_t place)
{
	bool ended = false;
	while (!ended) {
		if (!open_receipts(r, place)) {
			wait_or_end(r, j, &ended);
			pthread_mutex_lock(&r->lock);
			if (!ended)
				rest(r, OPEN_EVERY_US);
			pthread_mutex_unlock(&r->lock);
			continue;
		}
		ended = work(r, j) == OUTCOME_ENDED;
		if (!ended)
			j->unsure = true;
	}
}

/* The next job, or NULL after a while. */
static struct job *await(struct requests *r, size_t place, bool *stop)
{
	beat(place);
	pthread_mutex_lock(&r->lock);
	if (!r->stop && !r->first)
		rest(r, receipts_is_open(r->receipts) ? IDLE_US : OPEN_EVERY_US);
	struct job *j = take_first(r);
	*stop = r->stop && !j;
	pthread_mutex_unlock(&r->lock);
	return j;
}

static void *run(void *arg)
{
	struct requests *r = arg;
	size_t place = beat_join("requests");
	bool stop = false;
	while (!stop) {
		struct job *j = await(r, place, &stop);
		if (j) {
			do_job(r, j, place);
		} else if (!stop && open_receipts(r, place)) {
			receipts_follow(r->receipts, 0);
		}
	}
	beat_leave(place);
	return NULL;
}

/* The same after a restart, another beside it. */
static char *gateway_id(const struct config *c)
{
	char host[256] = "";
	gethostname(host, sizeof(host) - 1);
	return xasprintf("memingest-gateway/%s/%s/%s", c->group_id, host, c->gateway_listen);
}

struct requests *requests_start(const struct config *config)
{
	pthread_condattr_t attributes;
	if (!config->gateway_requests_topic)
		return NULL;
	struct requests *r = xcalloc(1, sizeof(*r));
	r->config = config;
	r->last = &r->first;
	r->id = gateway_id(config);
	r->receipts = receipts_new(config, config->gateway_requests_topic, r->id, job_report, NULL);
	pthread_mutex_init(&r->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&r->come, &attributes);
	pthread_condattr_destroy(&attributes);
	thread_start(&r->thread, run, r);
	return r;
}

void requests_stop(struct requests *r)
{
	if (!r)
		return;
	pthread_mutex_lock(&r->lock);
	r->stop = true;
	pthread_cond_signal(&r->come);
	pthread_mutex_unlock(&r->lock);
	pthread_join(r->thread, NULL);
	receipts_free(r->receipts);
	pthread_cond_destroy(&r->come);
	pthread_mutex_destroy(&r->lock);
	free(r->id);
	free(r);
}

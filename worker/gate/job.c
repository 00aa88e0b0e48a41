/*
 * job.c - a request of the gateway, from its body to its answer.
 *
 *   body --> READ --> SENT --> DELIVERED --> answered
 *             |        |         '-- ?wait=stored: gate/stored.c has it until the database does
 *             |        '-- one report of the producer for each message; the last one goes on
 *             '-- invalid, malformed, too much: answered, and nothing was sent
 *
 * All or nothing up to SENT: no message leaves before all are encoded, unless the client asked for
 * partial=true. From there on each message has a fate of its own, and the answer says which.
 *
 * A job has one owner at a time: the door's thread until it is sent, the delivery thread by the
 * last report, the watcher of the database. "left" counts reports, and one for the thread that
 * still sends: who brings it to nothing owns the job.
 *
 * Memory: body, parcel and answer are charged to the door; the producer's copy of a message is not
 * counted, so a request costs up to twice what it is charged. Failure: each ends in an answer.
 */
#include "gate/job.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/clock.h"
#include "base/stats.h"
#include "gate/requests.h"
#include "gate/stored.h"
#include "gate/target.h"

/* --- desks --- */

/* One that nobody sits at, or a new one: there are as many as threads wanted one at a time. */
static struct desk *take_desk(struct gate *g, struct gate_stream *s, struct err *err)
{
	struct desk *d = NULL;
	pthread_mutex_lock(&s->lock);
	if (s->ndesks > 0)
		d = s->desks[--s->ndesks];
	pthread_mutex_unlock(&s->lock);
	return d ? d : desk_new(s->stream, &g->config->limits, err);
}

static void leave_desk(struct gate_stream *s, struct desk *d)
{
	pthread_mutex_lock(&s->lock);
	bool room = s->ndesks < GATE_DESKS;
	if (room)
		s->desks[s->ndesks++] = d;
	pthread_mutex_unlock(&s->lock);
	if (!room)
		desk_free(d);
}

/* --- ending --- */

static void job_free(struct job *j)
{
	parcel_free(&j->parcel);
	free(j->idempotency);
	free(j);
}

static void count(const struct job *j, enum reply reply)
{
	size_t s = j->stream->stream->index;
	const struct parcel *p = &j->parcel;
	int64_t now = clock_mono_us(), in = 0;
	for (size_t i = 0; i < p->n; i++)
		in += p->events[i].fate == PARCEL_IN;
	stats_observe(METRIC_GATEWAY_REQUEST_SECONDS, s, now - j->request->begun_us);
	if (j->repeated)
		stats_add(METRIC_GATEWAY_REPEATED, s, 0, 1);
	else
		stats_add(METRIC_GATEWAY_EVENTS, s, 0, in);
	if (reply == REPLY_STORED || reply == REPLY_PARTLY_STORED)
		stats_observe(METRIC_GATEWAY_STORED_SECONDS, s, now - j->delivered_us);
}

void job_end(struct job *j, enum reply reply, unsigned retry_s, const char *message)
{
	struct door_answer a;
	count(j, reply);
	buf_free(&j->parcel.bytes);
	bool sent = j->sent_us > 0;
	if (!message && j->repeated)
		message = "the request had been applied before: this is where its events are";
	reply_events(reply, retry_s, &a, sent ? j->stream->topic : NULL, &j->parcel, message);
	door_answer(j->request, &a);
	job_free(j);
}

/* --- sending --- */

void job_report(void *ctx, uint64_t tag, enum producer_fate fate, int32_t partition, int64_t offset,
		const char *error)
{
	struct parcel_event *e = (struct parcel_event *)(uintptr_t)tag;
	struct parcel *p = e->parcel;
	struct job *j = (struct job *)((char *)p - offsetof(struct job, parcel));
	(void)ctx;
	e->partition = partition;
	e->offset = offset;
	e->fate = fate == PRODUCER_DELIVERED ? PARCEL_IN
		  : fate == PRODUCER_LOST    ? PARCEL_LOST
					     : PARCEL_UNSURE;
	if (error && !atomic_flag_test_and_set(&p->told))
		snprintf(p->first_lost, sizeof(p->first_lost), "%s", error);
	if (atomic_fetch_sub(&j->left, 1) == 1)
		job_delivered(j);
}

/* What the producer does not even queue is as lost as what it gives up. */
static void send_event(struct job *j, struct parcel_event *e)
{
	struct err err = {0};
	const struct producer_message m = {
		.topic = j->stream->topic,
		.partition = -1,
		.key = parcel_key(e),
		.value = parcel_value(e),
		.tag = (uint64_t)(uintptr_t)e,
	};
	if (!producer_offer(j->gate->producer, &m, &err))
		job_report(NULL, m.tag, PRODUCER_LOST, -1, -1, err.text);
}

static void job_send(struct job *j)
{
	size_t n = j->parcel.n;
	j->sent_us = clock_mono_us();
	j->nrefused = j->parcel.nerrors;
	atomic_store(&j->left, n + 1);
	for (size_t i = 0; i < n; i++)
		send_event(j, &j->parcel.events[i]);
	if (atomic_fetch_sub(&j->left, 1) == 1)
		job_delivered(j);
}

void job_delivered(struct job *j)
{
	struct parcel *p = &j->parcel;
	size_t in = 0;
	j->delivered_us = clock_mono_us();
	if (!j->repeated)
		stats_observe(METRIC_GATEWAY_ACK_SECONDS, j->stream->stream->index,
			      j->delivered_us - j->sent_us);
	for (size_t i = 0; i < p->n; i++)
		in += p->events[i].fate == PARCEL_IN;
	if (in < p->n) {
		char *message =
			xasprintf("%zu of %zu events are in Kafka: %s", in, p->n, p->first_lost);
		job_end(j, REPLY_UNDELIVERED, 1, message);
		free(message);
	} else if (j->waits) {
		stored_wait(j->gate->stored, j);
	} else {
		job_end(j, REPLY_ACCEPTED, 0, NULL);
	}
}

/* What a repetition has to have in common with the first. */
static void hash_body(struct job *j, struct slice body)
{
	if (!j->idempotency)
		return;
	XXH128_hash_t h = XXH3_128bits(body.data, body.len);
	j->hash[0] = h.high64;
	j->hash[1] = h.low64;
}

/* By the one thread that knows which requests were applied, or at once. */
static void job_go(struct job *j)
{
	struct gate *g = j->gate;
	if (!j->idempotency)
		job_send(j);
	else if (!requests_take(g->requests, j))
		job_end(j, REPLY_IN_FLIGHT, 1,
			"a request with this Idempotency-Key is still being worked on");
}

/* --- reading --- */

/* What the parcel takes is taken already, so it is charged whether there is room or not. */
static void charge(struct job *j)
{
	const struct parcel *p = &j->parcel;
	door_charge(j->request, p->bytes.cap + p->errors.cap + p->cap * sizeof(*p->events), true);
}

/* Reading is over, and nothing is wrong with the body as a whole. */
static void decide(struct job *j, const struct target *t)
{
	struct gate *g = j->gate;
	struct parcel *p = &j->parcel;
	char *message = NULL;
	unsigned wait = 0;
	charge(j);
	stats_add(METRIC_GATEWAY_REFUSED, j->stream->stream->index, 0, (int64_t)p->nerrors);
	if (p->nerrors > 0 && (!t->partial || p->n == 0)) {
		message = xasprintf("%zu of %zu events can not be stored; nothing was taken",
				    p->nerrors, p->total);
		job_end(j, REPLY_INVALID, 0, message);
	} else if ((wait = tokens_spend(g->tokens, t->name, p->n)) > 0) {
		message =
			xasprintf("more events a second than the token \"%s\" may write", t->name);
		job_end(j, REPLY_TOO_FAST, wait, message);
	} else {
		job_go(j);
	}
	free(message);
}

static void read_body(struct job *j, struct desk *d, const struct target *t)
{
	struct gate *g = j->gate;
	struct door_request *r = j->request;
	struct err err = {0};
	const struct desk_limits limits = {.events = g->config->gateway_max_events,
					   .bytes = 2 * g->config->gateway_max_body,
					   .message = g->max_message};
	stats_add(METRIC_GATEWAY_BYTES, j->stream->stream->index, 0, (int64_t)r->body.len);
	hash_body(j, (struct slice){r->body.data, r->body.len}); /* it is spoilt by reading */
	enum desk_verdict verdict =
		desk_read(d, t->format, &r->body, &limits, &j->stream->envelope, &j->parcel, &err);
	leave_desk(j->stream, d);
	buf_free(&r->body);
	switch (verdict) {
	case DESK_READ:
		decide(j, t);
		return;
	case DESK_MALFORMED:
		job_end(j, REPLY_MALFORMED, 0, err.text);
		return;
	case DESK_TOO_MUCH:
		job_end(j, REPLY_TOO_LARGE, 0, err.text);
		return;
	}
}

static void read_key(struct job *j, struct desk *d, const struct target *t)
{
	struct err err = {0};
	bool ok = desk_tombstone(d, t->keys, t->nkeys, &j->stream->envelope, &j->parcel, &err);
	leave_desk(j->stream, d);
	hash_body(j, (struct slice){j->parcel.bytes.data, j->parcel.bytes.len});
	if (ok)
		decide(j, t);
	else
		job_end(j, REPLY_MALFORMED, 0, err.text);
}

/* The target has been read. */
static void begin(struct gate *g, struct door_request *r, const struct target *t)
{
	struct err err = {0};
	struct job *j = xcalloc(1, sizeof(*j));
	j->gate = g;
	j->stream = t->stream;
	j->request = r;
	j->waits = t->waits;
	j->idempotency = t->idempotency ? xstrdup(t->idempotency) : NULL;
	j->deadline_us = clock_mono_us() + t->timeout_us;
	struct desk *d = take_desk(g, t->stream, &err);
	if (!d)
		job_end(j, REPLY_BUSY, 5, err.text);
	else if (t->route->operation == OPERATION_POST)
		read_body(j, d, t);
	else
		read_key(j, d, t);
}

/* --- the door's handlers --- */

void job_head(void *ctx, struct door_request *r)
{
	struct gate *g = ctx;
	struct target t;
	struct door_answer a;
	if (!target_read(g, r, &t, &a))
		door_answer(r, &a);
	target_free(&t);
}

void job_body(void *ctx, struct door_request *r)
{
	struct gate *g = ctx;
	struct target t;
	struct door_answer a;
	if (target_read(g, r, &t, &a))
		begin(g, r, &t);
	else
		door_answer(r, &a);
	target_free(&t);
}

void job_refuse(void *ctx, struct door_request *r, unsigned status, struct door_answer *a)
{
	struct gate *g = ctx;
	(void)r;
	enum reply reply = reply_of_status(status);
	if (reply == REPLY_LATE)
		reply_say(reply, 0, a, "the request did not come in within gateway.timeout");
	else if (reply == REPLY_TOO_LARGE)
		reply_say(reply, 0, a, "the body has more than %llu bytes (gateway.max_body)",
			  (unsigned long long)g->config->gateway_max_body);
	else
		reply_say(reply, 1, a,
			  "no room: all that gateway.memory allows is in use by requests that are "
			  "being worked on");
}

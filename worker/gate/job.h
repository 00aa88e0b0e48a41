/*
 * job.h - a request whose body is there, until it is answered; and what all requests share. Private
 * to worker/gate.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "gate/desk.h"
#include "gate/parcel.h"
#include "gate/reply.h"
#include "gate/tokens.h"
#include "io/door.h"
#include "io/envelope.h"
#include "io/producer.h"

struct stored;
struct requests;

enum { GATE_DESKS = 64 };

/* A stream that may be written into. */
struct gate_stream {
	struct stream *stream;
	const char *topic; /* NULL: it has no topic that is a name */
	struct envelope envelope;
	atomic_bool ready; /* topic and schemas were found */
	char *trouble;     /* why not; the main thread's, read under gate.lock */
	pthread_mutex_t lock;
	struct desk *desks[GATE_DESKS]; /* that nobody sits at */
	size_t ndesks;
};

/* What all requests share. */
struct gate {
	const struct config *config;
	struct gate_stream *streams;
	size_t nstreams;
	struct tokens *tokens;
	struct door *door;
	struct producer *producer;
	struct stored *stored;
	struct requests *requests; /* NULL: no Idempotency-Key */
	size_t max_message;
	pthread_mutex_t lock; /* of troubles */
};

struct job {
	struct gate *gate;
	struct gate_stream *stream;
	struct door_request *request;
	struct parcel parcel;
	atomic_size_t left; /* messages without a report, and one for whoever sends them */
	size_t nrefused;    /* errors of events that were not sent (?partial=true) */
	int64_t sent_us, delivered_us;
	bool waits;          /* ?wait=stored */
	int64_t deadline_us; /* of that */
	char *idempotency;   /* the whole name of the request, or NULL */
	uint64_t hash[2];    /* of its body */
	bool repeated;       /* it had been applied before */
	bool unsure;         /* it was tried, and the end of that is not known */
	struct job *next;    /* of whoever has it in a list */
};

/* The handlers of the door. */
void job_head(void *ctx, struct door_request *r);
void job_body(void *ctx, struct door_request *r);
void job_refuse(void *ctx, struct door_request *r, unsigned status, struct door_answer *a);
/* Of the producer. */
void job_report(void *ctx, uint64_t tag, enum producer_fate fate, int32_t partition, int64_t offset,
		const char *error);

/* All its messages were reported: what comes next. */
void job_delivered(struct job *j);
/* Answers, and the job is gone. message NULL: none. */
void job_end(struct job *j, enum reply reply, unsigned retry_s, const char *message);

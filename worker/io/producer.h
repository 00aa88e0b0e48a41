/*
 * producer.h - messages into Kafka, each one reported as delivered or failed. For "produce", "dlq
 * replay", the gateway and the tests. One owner, callbacks run inside the calls; but
 * producer_offer() is for any thread, and only producer_poll() serves its reports.
 */
#pragma once

#include "base/base.h"
#include "base/err.h"
#include "core/config.h"

struct producer;

struct producer_header {
	const char *name;
	struct slice value; /* data NULL: null */
};

struct producer_message {
	const char *topic;
	int32_t partition;                     /* -1: by the key */
	int64_t timestamp_ms;                  /* 0: now */
	struct slice key, value;               /* data NULL: null. Copied */
	const struct producer_header *headers; /* copied, in this order */
	size_t nheaders;
	uint64_t tag; /* handed to the report */
};

enum producer_fate {
	PRODUCER_DELIVERED, /* the broker has it; offset is known */
	PRODUCER_LOST,      /* it has not */
	PRODUCER_UNSURE,    /* it was sent, and no answer came */
};

/* error: NULL when it is delivered. */
typedef void (*producer_report)(void *ctx, uint64_t tag, enum producer_fate fate, int32_t partition,
				int64_t offset, const char *error);

/* Borrows config. report may be NULL. NULL with class CONFIG or RETRY. */
struct producer *producer_new(const struct config *config, producer_report report, void *ctx,
			      struct err *err);
/* For the gateway: sends soon, gives a message up after timeout_us, leaves bounds to the caller. */
struct producer *producer_new_prompt(const struct config *config, int64_t timeout_us,
				     producer_report report, void *ctx, struct err *err);
/* What is still queued is dropped: flush first. NULL is fine. */
void producer_free(struct producer *p);

/*
 * Whether the topic is there, or is made by the broker as soon as it is asked for. False with class
 * CONFIG (no such topic, no rights) or RETRY (no answer), at once where the broker answers at once.
 */
MUST_CHECK bool producer_sees_topic(struct producer *p, const char *topic, int timeout_ms,
				    struct err *err);

/*
 * Queues a message; waits while the queue is full, up to timeout_ms. False with class RETRY (full
 * for so long: no broker), CONFIG (no such topic, no rights, too large) or FATAL.
 */
MUST_CHECK bool producer_send(struct producer *p, const struct producer_message *m, int timeout_ms,
			      struct err *err);

/* Queues a message and waits for nothing; any thread. False with class RETRY (full), CONFIG, FATAL.
 */
MUST_CHECK bool producer_offer(struct producer *p, const struct producer_message *m,
			       struct err *err);
/* Bytes of key and value together that a message may have, as this client is set up. */
size_t producer_max_message(const struct producer *p);

/* Serves reports, waiting up to timeout_ms for one. */
void producer_poll(struct producer *p, int timeout_ms);

/* Waits until nothing is queued. False with class RETRY at the timeout. */
MUST_CHECK bool producer_flush(struct producer *p, int timeout_ms, struct err *err);

/* What is queued or on its way is reported as lost or unsure, by the next producer_poll(). */
void producer_drop(struct producer *p);

uint64_t producer_delivered(const struct producer *p); /* confirmed by the broker */
uint64_t producer_failed(const struct producer *p);    /* given up */
size_t producer_queued(const struct producer *p);      /* not reported yet */
/* Of the first failed message, or "". */
const char *producer_first_error(const struct producer *p);

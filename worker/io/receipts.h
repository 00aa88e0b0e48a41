/*
 * receipts.h - requests that must not be applied twice: messages and a receipt for them in one
 * transaction of Kafka, and what receipts there are.
 *
 * One owner, callbacks run inside the calls. Once open:
 *
 *   receipts_begin(r, name)    from here on every receipt of that name is known, and no other
 *                              gateway can get behind this point before we have decided
 *   receipts_find(r, name)     has it been applied? Then receipts_abort(), and that was all
 *   receipts_add(r, message)   any number
 *   receipts_commit(r, ...)    all of them and the receipt, or nothing
 */
#pragma once

#include "base/base.h"
#include "base/err.h"
#include "core/config.h"
#include "io/producer.h"

struct receipts;

/* What a request was and what became of it; the caller's to write and to read. */
struct receipt {
	uint64_t hash[2];  /* of the body */
	struct slice fate; /* of its events; empty: it was applied, and this is not read yet */
};

/* Borrows config and topic. id: of this gateway among others, the same after a restart. */
struct receipts *receipts_new(const struct config *config, const char *topic, const char *id,
			      producer_report report, void *ctx);
void receipts_free(struct receipts *r); /* NULL is fine */

/*
 * Makes the topic if it is not there, ends what an earlier process of this id has left open, reads
 * all receipts. It waits, for up to a minute. False with class RETRY or CONFIG.
 */
MUST_CHECK bool receipts_open(struct receipts *r, struct err *err);
bool receipts_is_open(const struct receipts *r);
/* What is not decided is decided by the next receipts_open(), of this or any other process. */
void receipts_close(struct receipts *r);

/* Reads what others have written; waits up to timeout_ms for something. */
void receipts_follow(struct receipts *r, int timeout_ms);
/* NULL: there is none, or it was forgotten. Until the next call that reads. */
const struct receipt *receipts_find(struct receipts *r, const char *name);
size_t receipts_count(const struct receipts *r);

/*
 * False: class RETRY: another transaction before it is not decided yet, or no broker answers; the
 * transaction is aborted. Class FATAL: close, and open again.
 */
MUST_CHECK bool receipts_begin(struct receipts *r, const char *name, const uint64_t hash[2],
			       int64_t deadline_us, struct err *err);
/* Reported before receipts_commit() returns. */
MUST_CHECK bool receipts_add(struct receipts *r, const struct producer_message *m, struct err *err);
/* Waits until all that was added is reported. False: not within the deadline. */
MUST_CHECK bool receipts_flush(struct receipts *r, int64_t deadline_us, struct err *err);

enum receipts_outcome {
	RECEIPTS_COMMITTED,
	RECEIPTS_ABORTED, /* none of it is there, and never will be */
	RECEIPTS_UNKNOWN, /* close, open again, and look whether there is a receipt */
};
enum receipts_outcome receipts_commit(struct receipts *r, const char *name,
				      const struct receipt *receipt, int64_t deadline_us,
				      struct err *err);
/* None of it is there; it may be closed then. False: close, and open again. */
MUST_CHECK bool receipts_abort(struct receipts *r);

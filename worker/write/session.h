/*
 * session.h - a lane's session with its store: had, lost, tried for again.
 *
 * One thread's, the lane's.
 */
#pragma once

#include "base/err.h"
#include "write/store.h"

struct session {
	struct store *store;
	size_t lane;
	bool open;
	bool had_one;
	bool told;            /* why it could not be had has been logged, for all sessions */
	unsigned failures;    /* to have one, in a row */
	enum err_class class; /* of the last of these */
	int64_t due_us;       /* not to be tried for before */
	uint32_t jitter;
};

/* No session yet. Borrows the store. */
void session_init(struct session *s, struct store *store, size_t lane);
/* Opens it. False: not now; it counts as a failure, and due_us is set. */
MUST_CHECK bool session_open(struct session *s, struct err *err);
void session_drop(struct session *s); /* If there is one. */
/* It could not be had, or failed with err: dropped, and not to be had again at once. */
void session_failed(struct session *s, const struct err *err);
/* Whether err, of the last call, is the session's and not the statement's trouble. */
bool session_lost(const struct session *s, const struct err *err);
/* From 0.1 s, doubled to 10 s; half of it random, so that workers do not come back in step. */
int64_t session_backoff_us(struct session *s, unsigned failures);

/* What waits for an operator is tried again so slowly. */
#define SESSION_SLOW_US (10 * US_PER_S)

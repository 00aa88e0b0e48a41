/*
 * session.c - a session is dropped after any error without an answer (a lost connection, a time
 * limit), never reused; and it is tried for again with growing waits.
 *
 *   none --due_us--> session_open() --> had --session_lost()--> session_failed() --> none
 *                      refused: session_failed(), a little later each time;
 *                      or the store says when
 *
 * Thread: the lane's. It waits in session_open() only, which abort_fd ends.
 */
#include "write/session.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/stats.h"

#define BACKOFF_FIRST_US (100 * US_PER_MS)
#define BACKOFF_MOST_US (3 * US_PER_S) /* what a server that is back may wait for us */

void session_init(struct session *s, struct store *store, size_t lane)
{
	*s = (struct session){
		.store = store, .lane = lane, .jitter = (uint32_t)clock_wall_us() ^ (uint32_t)lane};
}

/* Grows with the failures, to a limit, with some chance in it. */
int64_t session_backoff_us(struct session *s, unsigned failures)
{
	int64_t wait = MIN(BACKOFF_FIRST_US << MIN(failures, 5u), BACKOFF_MOST_US);
	s->jitter = s->jitter * 1664525u + 1013904223u;
	return wait / 2 + (int64_t)(s->jitter >> 8) % (wait / 2 + 1);
}

/* Never reused: what it was doing is not known. */
void session_drop(struct session *s)
{
	if (!s->open)
		return;
	store_close(s->store);
	s->open = false;
	stats_gauge_add(METRIC_POSTGRES_CONNECTIONS, 0, 0, -1);
}

/* What an operator has to mend is tried more rarely. */
void session_failed(struct session *s, const struct err *err)
{
	bool config = err->class == ERR_CONFIG;
	int64_t wait = config ? SESSION_SLOW_US : session_backoff_us(s, s->failures);
	session_drop(s);
	s->failures++;
	s->class = err->class;
	s->due_us = clock_mono_us() + wait;
}

bool session_lost(const struct session *s, const struct err *err)
{
	return store_trouble(s->store, err) == STORE_SESSION;
}

/* Counts as a reconnect but the first time. */
bool session_open(struct session *s, struct err *err)
{
	int64_t due_us = 0;
	s->open = store_open(s->store, &due_us, err);
	if (!s->open && err->class != ERR_NONE)
		session_failed(s, err);
	if (!s->open && due_us > 0)
		s->due_us = due_us;
	s->told = due_us > 0;
	if (!s->open)
		return false;
	stats_gauge_add(METRIC_POSTGRES_CONNECTIONS, 0, 0, 1);
	if (s->had_one) {
		stats_add(METRIC_POSTGRES_RECONNECTS, 0, 0, 1);
		log_info("the database is there again", F_STR("database", s->store->class->name),
			 F_INT("lane", s->lane));
	}
	s->had_one = true;
	s->failures = 0;
	return true;
}

/*
 * pg_login.c - one refusal for all sessions: a wrong password, a database or a role that is not
 * there, no entry in pg_hba.conf, no connection left.
 *
 * Each lane has a session, and the indexer another. What concerns the login concerns all of them:
 * were each to try and to log by itself, one wrong password would be many failed logins a second
 * (which some servers answer with a lock) and as many lines.
 *
 *   ASKING --in--> OPEN        until one has been let in, one tries at a time
 *     |  ^          |          any session connects whenever it likes
 *     |  |          |
 *     |  +--due-- REFUSED <--- one is refused: one tries at a time, after 1, 2, 4 .. 30 s
 *     +--away-> OPEN           a server that is away refuses nothing: each for itself again
 *
 * Logged: the first refusal, another one than before, and that it is over.
 *
 * Not a cache of sessions, and nothing for commands, which have one session and want the answer.
 * State of the process, behind a mutex that nobody holds while he waits. Failure: an attempt that
 * was cut off has found out nothing.
 */
#include "io/pg_login.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

#define FIRST_US US_PER_S
#define LONGEST_US (30 * US_PER_S)
#define ASK_AGAIN_US (50 * US_PER_MS)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct {
	enum { ASKING, OPEN, REFUSED } state;
	bool trying;    /* by one who is to find out */
	unsigned times; /* refused, in a row */
	int64_t since_us, due_us;
	struct err why; /* of class NONE unless refused */
} login;

/* True: the caller is the one to try, or all may. */
static bool may_try(int64_t *due_us, struct err *err)
{
	int64_t now = clock_mono_us();
	pthread_mutex_lock(&lock);
	bool may = login.state == OPEN ||
		   (!login.trying && (login.state == ASKING || login.due_us <= now));
	login.trying = login.trying || (may && login.state != OPEN);
	*due_us = may ? 0 : MAX(login.due_us, now + ASK_AGAIN_US);
	if (!may)
		*err = login.why;
	pthread_mutex_unlock(&lock);
	return may;
}

/* Somebody has to act, or has taken every connection; else the server is merely away. */
static bool is_refusal(const struct err *err)
{
	return err->class == ERR_CONFIG || strcmp(err->code, "53300") == 0;
}

static bool was_cut_off(int abort_fd)
{
	struct pollfd fd = {.fd = abort_fd, .events = POLLIN};
	return poll(&fd, 1, 0) > 0;
}

/* Those who tried at the same time count as one. */
static void refused(const struct err *err, int64_t *due_us)
{
	int64_t now = clock_mono_us();
	bool first = login.state != REFUSED;
	if (first) {
		login.times = 0;
		login.since_us = login.due_us = now;
	}
	if (login.due_us <= now) {
		login.due_us = now + MIN(FIRST_US << MIN(login.times, 5u), LONGEST_US);
		login.times++;
	}
	if (first || strcmp(login.why.text, err->text) != 0)
		log_error("PostgreSQL refuses the login, all sessions wait and will try again",
			  F_STR("error", err->text));
	login.state = REFUSED;
	login.why = *err;
	*due_us = login.due_us;
}

static void let_in(void)
{
	if (login.state == REFUSED)
		log_info("PostgreSQL accepts the login again", F_INT("refused", login.times),
			 F_REAL("after_s",
				(double)(clock_mono_us() - login.since_us) / (double)US_PER_S));
	login.state = OPEN;
	err_clear(&login.why);
}

struct pg *pg_login(const struct config *config, const char *role, int abort_fd, int64_t *due_us,
		    struct err *err)
{
	err_clear(err);
	if (!may_try(due_us, err))
		return NULL;
	struct pg *pg = pg_connect(config, role, abort_fd, err);
	pthread_mutex_lock(&lock);
	login.trying = false;
	if (pg) {
		let_in();
	} else if (is_refusal(err)) {
		refused(err, due_us);
	} else if (!was_cut_off(abort_fd)) {
		login.state = OPEN;
		err_clear(&login.why);
	}
	pthread_mutex_unlock(&lock);
	return pg;
}

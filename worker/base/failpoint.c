/*
 * failpoint.c - the orders of a test build, counted and obeyed.
 *
 *   MEMINGEST_TEST_FAIL --once--> orders[]
 *   a passing: ++passed == nth --> log --> kill, stop, sleep
 *                                      --> true: error
 *
 * Not a random fault: which passing it is stands in the order, so that a test can repeat it.
 *
 * A process cannot stop itself for a time. A child does it: it waits, and has the kernel go on with
 * us. It holds none of our descriptors meanwhile, or the other side of a connection would not see
 * its end if we are killed.
 *
 * Thread: any; the counters are atomic. Failure: an order that cannot be read, or a fork that
 * fails, aborts, for a test must not pass because nothing was tried.
 */
#include "base/failpoint.h"

#ifdef FAIL_POINTS
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

#define ORDERS 32

enum action { ACTION_KILL, ACTION_STOP, ACTION_SLEEP, ACTION_ERROR };

static const struct {
	const char *name;
	bool timed;
} actions[] = {
	[ACTION_KILL] = {"kill", false},
	[ACTION_STOP] = {"stop", true},
	[ACTION_SLEEP] = {"sleep", true},
	[ACTION_ERROR] = {"error", false},
};

static struct order {
	char point[40];
	enum action action;
	int64_t ms;
	unsigned nth;
	atomic_uint passed;
} orders[ORDERS];
static size_t norders;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Thread_local const char *sent;

static void refuse(const char *text)
{
	fprintf(stderr, "MEMINGEST_TEST_FAIL: cannot be read: %s\n", text);
	abort();
}

static void read_action(struct order *o, const char *text)
{
	for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
		size_t len = strlen(actions[i].name);
		char *end = NULL;
		if (strncmp(text, actions[i].name, len) != 0 ||
		    text[len] != (actions[i].timed ? ':' : '\0'))
			continue;
		o->action = (enum action)i;
		o->ms = actions[i].timed ? strtoll(text + len + 1, &end, 10) : 0;
		if (actions[i].timed && (o->ms <= 0 || *end))
			refuse(text);
		return;
	}
	refuse(text);
}

/* POINT=ACTION[@N] */
static void read_order(struct order *o, char *text)
{
	char *action = strchr(text, '='), *nth = strchr(text, '@'), *end = NULL;
	if (!action || (size_t)(action - text) >= sizeof(o->point))
		refuse(text);
	if (nth)
		*nth++ = '\0';
	o->nth = nth ? (unsigned)strtoul(nth, &end, 10) : 1;
	if (o->nth == 0 || (nth && *end))
		refuse(text);
	*action++ = '\0';
	snprintf(o->point, sizeof(o->point), "%s", text);
	read_action(o, action);
}

static void read_orders(void)
{
	const char *given = getenv("MEMINGEST_TEST_FAIL");
	char *rest = NULL, *copy = xstrdup(given ? given : "");
	for (char *one = strtok_r(copy, ",", &rest); one; one = strtok_r(NULL, ",", &rest)) {
		if (norders == ORDERS)
			refuse(one);
		read_order(&orders[norders++], one);
	}
	free(copy);
}

static void wait_ms(int64_t ms)
{
	struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
	while (nanosleep(&left, &left) != 0 && errno == EINTR)
		;
}

static void stop_all(int64_t ms)
{
	pid_t self = getpid(), child = fork();
	if (child < 0)
		abort();
	if (child == 0) {
		closefrom(0);
		wait_ms(ms);
		kill(self, SIGCONT);
		_exit(0);
	}
	kill(self, SIGSTOP);
	while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
}

/* True: the place is to fail. */
static bool obey(const struct order *o)
{
	log_warn("fail point", F_STR("point", o->point), F_STR("action", actions[o->action].name));
	switch (o->action) {
	case ACTION_KILL:
		kill(getpid(), SIGKILL);
		return false;
	case ACTION_STOP:
		stop_all(o->ms);
		break;
	case ACTION_SLEEP:
		wait_ms(o->ms);
		break;
	case ACTION_ERROR:
		return true;
	}
	log_warn("fail point is over", F_STR("point", o->point));
	return false;
}

/* Several orders may name one point. */
bool failpoint(const char *name)
{
	bool fails = false;
	pthread_once(&once, read_orders);
	for (size_t i = 0; i < norders; i++)
		if (strcmp(orders[i].point, name) == 0 &&
		    atomic_fetch_add(&orders[i].passed, 1) + 1 == orders[i].nth)
			fails |= obey(&orders[i]);
	return fails;
}

bool failpoint_err(const char *name, struct err *err)
{
	return failpoint(name) && !err_set(err, ERR_RETRY, "fail point %s", name);
}

void failpoint_when_sent(const char *name)
{
	sent = name;
}

const char *failpoint_sent(void)
{
	const char *name = sent;
	sent = NULL;
	return name;
}
#endif

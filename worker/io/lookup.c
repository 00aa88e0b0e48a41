/*
 * lookup.c - a detached thread per name that is being looked up, and those who wait for it.
 *
 *   lookup_host("db") --+                          +--> getaddrinfo(), which may take a minute
 *                       +--> lookup of "db" <------+    writes done_fd
 *   lookup_host("db") --+    refs: askers, thread
 *
 * Not a cache: an answer goes to those who wait for it, and the next question is asked anew. But a
 * name that is being asked for is not asked for twice: however often lanes try again while a name
 * server is silent, there is one thread per name.
 *
 * A lookup is in the list while its thread runs, and lives as long as anybody refers to it. An
 * asker whose time is up lets go of it; an answer that comes after the last asker has left is freed
 * by the thread. done_fd is written once and never read, so it wakes all who wait. Answer and
 * result code are written before the lookup leaves the list, under the lock, and only read
 * afterwards.
 *
 * Thread: any may ask. Failure: a name that is not known is RETRY like a server that is away; names
 * of a cluster come and go with it.
 */
#include "io/lookup.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/wait.h"

struct lookup {
	char *host;
	int done_fd;
	unsigned refs;
	int failure, failure_errno; /* of getaddrinfo(); 0: none */
	struct lookup_answer answer;
	struct lookup *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct lookup *under_way;
static lookup_function ask = getaddrinfo;

void lookup_use(lookup_function function)
{
	ask = function;
}

/* For tests: threads that still ask. */
size_t lookup_under_way(void)
{
	size_t n = 0;
	pthread_mutex_lock(&lock);
	for (const struct lookup *l = under_way; l; l = l->next)
		n++;
	pthread_mutex_unlock(&lock);
	return n;
}

/* As text, which is what libpq is given. */
static void take_addresses(const struct addrinfo *found, struct lookup_answer *answer)
{
	size_t max = 0;
	for (const struct addrinfo *a = found; a; a = a->ai_next)
		max++;
	answer->addresses = xcalloc(max, sizeof(*answer->addresses));
	for (const struct addrinfo *a = found; a; a = a->ai_next)
		if (getnameinfo(a->ai_addr, a->ai_addrlen, answer->addresses[answer->n],
				LOOKUP_ADDRESS_SIZE, NULL, 0, NI_NUMERICHOST) == 0)
			answer->n++;
}

/* With flags AI_NUMERICHOST it does not wait. */
static int find(lookup_function function, const char *host, int flags, struct lookup_answer *answer)
{
	/* One socket type, or each address would come once for every type. */
	struct addrinfo hints = {.ai_family = AF_UNSPEC,
				 .ai_socktype = SOCK_STREAM,
				 .ai_flags = flags},
			*found = NULL;
	int failure = function(host, NULL, &hints, &found);
	if (failure != 0)
		return failure;
	take_addresses(found, answer);
	freeaddrinfo(found);
	if (answer->n > 0)
		return 0;
	free(answer->addresses);
	answer->addresses = NULL;
	return EAI_NONAME;
}

bool lookup_is_address(const char *host)
{
	struct lookup_answer answer = {0};
	bool is = find(getaddrinfo, host, AI_NUMERICHOST, &answer) == 0;
	free(answer.addresses);
	return is;
}

/* Under the lock. */
static void let_go(struct lookup *l)
{
	if (--l->refs > 0)
		return;
	close(l->done_fd);
	free(l->answer.addresses);
	free(l->host);
	free(l);
}

/* Out of the list before it wakes anybody: the next question is asked anew. */
static void *lookup_main(void *arg)
{
	struct lookup *l = arg, **at = &under_way;
	struct lookup_answer answer = {0};
	uint64_t one = 1;
	pthread_detach(pthread_self());
	pthread_setname_np(pthread_self(), "look-up");
	int failure = find(ask, l->host, 0, &answer), failure_errno = errno;
	pthread_mutex_lock(&lock);
	l->answer = answer;
	l->failure = failure;
	l->failure_errno = failure_errno;
	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
	if (write(l->done_fd, &one, sizeof(one)) != (ssize_t)sizeof(one))
		abort(); /* a counter that was 0 takes a 1 */
	let_go(l);
	pthread_mutex_unlock(&lock);
	return NULL;
}

/* Under the lock. NULL with errno set. */
static struct lookup *start(const char *host)
{
	pthread_t thread;
	struct lookup *l = xcalloc(1, sizeof(*l));
	l->host = xstrdup(host);
	l->refs = 1; /* the thread's */
	l->done_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	int failed = l->done_fd < 0 ? errno : pthread_create(&thread, NULL, lookup_main, l);
	if (failed) {
		if (l->done_fd >= 0)
			close(l->done_fd);
		free(l->host);
		free(l);
		errno = failed;
		return NULL;
	}
	l->next = under_way;
	under_way = l;
	return l;
}

/* The look-up of that name, which may be under way already; the caller has a share in it. */
static struct lookup *join(const char *host)
{
	pthread_mutex_lock(&lock);
	struct lookup *l = under_way;
	while (l && strcmp(l->host, host) != 0)
		l = l->next;
	if (!l)
		l = start(host);
	if (l)
		l->refs++;
	pthread_mutex_unlock(&lock);
	return l;
}

/* Several may wait for one answer, and each frees its own. */
static void copy_answer(const struct lookup_answer *from, struct lookup_answer *to)
{
	to->n = from->n;
	to->addresses = xcalloc(from->n, sizeof(*to->addresses));
	memcpy(to->addresses, from->addresses, from->n * sizeof(*to->addresses));
}

/* A name that is not known may come back. */
static bool take_answer(const struct lookup *l, struct lookup_answer *answer, struct err *err)
{
	if (l->failure)
		return err_set(err, ERR_RETRY, "no address for this name: %s",
			       l->failure == EAI_SYSTEM ? strerror(l->failure_errno)
							: gai_strerror(l->failure));
	copy_answer(&l->answer, answer);
	return true;
}

/* Lets go of the look-up when its time is over; the thread goes on without it. */
bool lookup_host(const char *host, int abort_fd, int64_t deadline_us, struct lookup_answer *answer,
		 struct err *err)
{
	bool ok = false;
	*answer = (struct lookup_answer){0};
	if (find(getaddrinfo, host, AI_NUMERICHOST, answer) == 0)
		return true;
	struct lookup *l = join(host);
	if (!l)
		return err_set(err, ERR_RETRY, "no thread to look its name up: %s",
			       strerror(errno));
	enum waited waited = wait_fd(l->done_fd, POLLIN, abort_fd, deadline_us);
	pthread_mutex_lock(&lock);
	switch (waited) {
	case WAIT_READY:
		ok = take_answer(l, answer, err);
		break;
	case WAIT_ABORTED:
		err_set(err, ERR_RETRY, "given up on request");
		break;
	case WAIT_LATE:
		err_set(err, ERR_RETRY, "the look-up of its name takes longer than the time limit");
		break;
	}
	let_go(l);
	pthread_mutex_unlock(&lock);
	return ok;
}

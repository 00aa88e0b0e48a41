/*
 * delay.c - a TCP proxy that makes a server look far away.
 *
 *   delay HOST PORT ROUND_TRIP_MS      prints the port that it listens on (loopback), then runs
 *                                      until it is killed
 *
 *   client --> [ reader | bytes with a due time | writer ] --> server         each direction holds
 *                                                                             bytes back for
 *   client <-- [ writer | bytes with a due time | reader ] <-- server         half of the round
 *                                                                             trip
 *
 * Only latency is added: bytes are read as soon as they come, and up to PIPE_BYTES may be on their
 * way in each direction, so that a stream of COPY data is not throttled (at 500 MB/s and 5 ms there
 * are 2.5 MB). That is a network without loss and with large windows, the friendliest that a client
 * can meet at that distance. Connecting itself is not delayed.
 *
 * With 0 ms the bytes take the same way, so a comparison of 0 and 2.5 ms shows the distance alone,
 * not the proxy.
 *
 * One thread, one ppoll(2) with the time of the next due chunk. Failure: a connection that breaks
 * on one side is closed on the other; only what goes wrong at the start ends the program.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"

#define CHUNK_BYTES (size_t)(96 * 1024) /* below what malloc maps for itself */
#define PIPE_BYTES (size_t)(64 * 1024 * 1024)
#define MAX_LINKS 64

struct chunk {
	struct chunk *next;
	int64_t due_ns;
	size_t len, sent;
	uint8_t data[];
};

/* One direction of a connection. */
struct way {
	int from, to;
	struct chunk *first, *last;
	size_t bytes;
	bool ended; /* from said end of file: to gets it once all chunks are sent */
	bool done;
};

struct link {
	int client, server;
	struct way there, back;
};

static struct link *links[MAX_LINKS];
static size_t nlinks;
static int64_t delay_ns;
static struct addrinfo *target;

static int64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int fail(const char *what)
{
	fprintf(stderr, "delay: %s: %s\n", what, strerror(errno));
	return 1;
}

static void prepare_socket(int fd)
{
	int on = 1;
	(void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

/* --- one direction --- */

/* False: the connection is broken. */
static bool take_in(struct way *w)
{
	static uint8_t
		/* a chunk of this size for each recv would be mapped and unmapped anew each time */
		buf[CHUNK_BYTES];
	ssize_t n = recv(w->from, buf, sizeof(buf), 0);
	if (n <= 0) {
		w->ended = n == 0;
		return n == 0 || errno == EAGAIN || errno == EINTR;
	}
	struct chunk *c = xmalloc(sizeof(*c) + (size_t)n);
	*c = (struct chunk){.due_ns = now_ns() + delay_ns, .len = (size_t)n};
	memcpy(c->data, buf, (size_t)n);
	if (w->last)
		w->last->next = c;
	else
		w->first = c;
	w->last = c;
	w->bytes += c->len;
	return true;
}

static void drop_first(struct way *w)
{
	struct chunk *c = w->first;
	w->bytes -= c->len;
	w->first = c->next;
	if (!w->first)
		w->last = NULL;
	free(c);
}

static bool give_out(struct way *w)
{
	int64_t now = now_ns();
	while (w->first && w->first->due_ns <= now) {
		struct chunk *c = w->first;
		ssize_t n = send(w->to, c->data + c->sent, c->len - c->sent, MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		c->sent += (size_t)n;
		if (c->sent < c->len)
			return true;
		drop_first(w);
	}
	if (w->ended && !w->first && !w->done) {
		w->done = true;
		(void)shutdown(w->to, SHUT_WR);
	}
	return true;
}

static void free_way(struct way *w)
{
	while (w->first)
		drop_first(w);
}

/* --- connections --- */

static void close_link(size_t i)
{
	struct link *l = links[i];
	free_way(&l->there);
	free_way(&l->back);
	close(l->client);
	close(l->server);
	free(l);
	links[i] = links[--nlinks];
}

static void accept_link(int listener)
{
	int client = accept(listener, NULL, NULL);
	if (client < 0)
		return;
	int server = nlinks < MAX_LINKS ? socket(target->ai_family, SOCK_STREAM, 0) : -1;
	if (server < 0 || connect(server, target->ai_addr, target->ai_addrlen) < 0) {
		close(client);
		if (server >= 0)
			close(server);
		return;
	}
	prepare_socket(client);
	prepare_socket(server);
	struct link *l = xcalloc(1, sizeof(*l));
	*l = (struct link){.client = client,
			   .server = server,
			   .there = {.from = client, .to = server},
			   .back = {.from = server, .to = client}};
	links[nlinks++] = l;
}

/* What a direction waits for; moves *next to the time at which it has something to send. */
static void interests(const struct way *w, struct pollfd *from, struct pollfd *to, int64_t now,
		      int64_t *next)
{
	if (!w->ended && w->bytes < PIPE_BYTES)
		from->events |= POLLIN;
	if (!w->first)
		return;
	if (w->first->due_ns <= now)
		to->events |= POLLOUT;
	else
		*next = MIN(*next, w->first->due_ns);
}

static bool serve_link(struct link *l, const struct pollfd *fds)
{
	bool ok = true;
	if (l->there.bytes < PIPE_BYTES && !l->there.ended &&
	    fds[0].revents & (POLLIN | POLLHUP | POLLERR))
		ok = take_in(&l->there);
	if (ok && l->back.bytes < PIPE_BYTES && !l->back.ended &&
	    fds[1].revents & (POLLIN | POLLHUP | POLLERR))
		ok = take_in(&l->back);
	return ok && give_out(&l->there) && give_out(&l->back) && !(l->there.done && l->back.done);
}

static void turn(int listener)
{
	struct pollfd fds[1 + 2 * MAX_LINKS] = {{.fd = listener, .events = POLLIN}};
	int64_t now = now_ns(), next = INT64_MAX;
	size_t n = nlinks;
	for (size_t i = 0; i < n; i++) {
		struct pollfd *client = &fds[1 + 2 * i], *server = &fds[2 + 2 * i];
		client->fd = links[i]->client;
		server->fd = links[i]->server;
		interests(&links[i]->there, client, server, now, &next);
		interests(&links[i]->back, server, client, now, &next);
	}
	int64_t wait = MAX(next - now, 0);
	struct timespec timeout = {.tv_sec = wait / 1000000000, .tv_nsec = wait % 1000000000};
	if (ppoll(fds, 1 + 2 * n, next == INT64_MAX ? NULL : &timeout, NULL) < 0)
		return;
	for (size_t i = n; i-- > 0;)
		if (!serve_link(links[i], &fds[1 + 2 * i]))
			close_link(i);
	if (fds[0].revents)
		accept_link(listener);
}

int main(int argc, char **argv)
{
	char *end = NULL;
	double round_trip_ms = argc == 4 ? strtod(argv[3], &end) : -1;
	if (argc != 4 || *end || round_trip_ms < 0 || round_trip_ms > 1000) {
		fprintf(stderr, "usage: delay HOST PORT ROUND_TRIP_MS\n");
		return 64;
	}
	delay_ns = (int64_t)(round_trip_ms * 1e6 / 2);
	if (getaddrinfo(argv[1], argv[2], &(struct addrinfo){.ai_socktype = SOCK_STREAM},
			&target) != 0)
		return fail("no such address");
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(any);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	if (listener < 0 || bind(listener, (struct sockaddr *)&any, len) < 0 ||
	    listen(listener, 16) < 0 || getsockname(listener, (struct sockaddr *)&any, &len) < 0)
		return fail("cannot listen");
	/* The benchmark may be killed; and a wait must end when it says, not 50 us later. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)prctl(PR_SET_TIMERSLACK, 1);
	printf("%u\n", ntohs(any.sin_port));
	if (fflush(stdout) != 0)
		return fail("stdout");
	for (;;)
		turn(listener);
}

/*
 * proxy.c - one thread, one poll(2) loop over a listener and the pairs of sockets.
 *
 *   client  --- pipe[UP] ---->  server    each pipe: framer (where messages begin), a list of
 *   client  <-- pipe[DOWN] ---  server    chunks, each with the time from which it may be sent
 *
 * A plain proxy passes bytes on and knows nothing of them. PROXY_SWALLOW marks the pipes that lost
 * bytes by it: what came after a hole would be nonsense to the other side, so nothing ever does.
 *
 * Before PostgreSQL what was read goes through the framer first. A frontend message (PostgreSQL
 * documentation, 55.7 "Message Formats") that makes the server commit is counted: a query (Q) that
 * ends in COMMIT, or where a COPY stands before that, the CopyDone (c) by which the server gets to
 * it; or a Bind (B) of the statement prepared as "commit". If it is the armed one, the pair gets
 * the fault:
 *
 *   COMMIT_LOST    what was read up to the message's first byte is forwarded, then both sockets are
 *                  reset
 *   ANSWER_LOST    the message is forwarded; from then on nothing from the server is, until
 *                  CommandComplete (C) with the tag COMMIT or ROLLBACK and ReadyForQuery (Z) show
 *                  that the server has answered; then reset. An error (E) instead, of the COPY say,
 *                  means that it never came to the COMMIT: that is passed on, and the next COMMIT
 *                  gets the fault
 *   ANSWER_STUCK   as before, but instead of the reset the pair stays, silent for ever
 *
 * To be able to stop before a message's first byte, a COMMIT must begin and end in one read of 64
 * KiB; libpq sends it in one small segment, so it does. Start-up packets have no type byte, and the
 * answer to an SSL or GSS request is one byte without a length. Controls are under a mutex; an
 * eventfd wakes the thread.
 */
#include "proxy.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"

#define MAX_PAIRS 256
#define CHUNK 65536
#define MAX_QUEUED (4u << 20) /* per direction: then reading stops */

enum { UP, DOWN };

struct chunk {
	struct chunk *next;
	int64_t due_us;
	size_t len, sent;
	uint8_t data[];
};

struct framer {
	bool startup;    /* the next message has no type byte */
	uint8_t head[5]; /* what is known of the next message's type and length */
	size_t have;     /* of head */
	size_t left;     /* bytes of the current message still to come */
	unsigned bare;   /* single bytes to come without a frame */
};

struct pipe {
	struct chunk *first, *last;
	size_t queued;
	struct framer framer;
	bool ended; /* the reading side saw the end of the stream */
	bool lost;  /* bytes of it were thrown away: what came after them would be nonsense */
};

struct pair {
	int fd[2]; /* [UP] reads the client, [DOWN] reads the server */
	struct pipe pipe[2];
	enum proxy_fault fault; /* that has begun on this pair: its client is not read any more */
	bool copy_first;        /* a COMMIT is with the server, behind a COPY that goes on */
	bool answered;          /* the server has said what became of the COMMIT */
	bool stuck, dead;
};

struct proxy {
	pthread_t thread;
	pthread_mutex_t lock;
	int listener, wake;
	unsigned port;
	bool plain; /* no PostgreSQL: bytes are not looked at */
	struct pair *pairs[MAX_PAIRS];
	size_t npairs;
	/* under the lock */
	bool stop;
	unsigned to;
	enum proxy_mode mode;
	int64_t delay_us;
	size_t slice; /* bytes of a piece; 0: as it comes */
	int64_t gap_us;
	enum proxy_fault armed;
	unsigned countdown, fired, commits, accepted;
};

/* --- sockets --- */

/* On *port, or on a free one if that is 0. */
static int listen_on(unsigned *port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)*port)};
	socklen_t len = sizeof(address);
	int one = 1;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* the connections of the test before may still be in TIME_WAIT */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(listen(fd, 64), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	*port = ntohs(address.sin_port);
	return fd;
}

static void prepare(int fd)
{
	int one = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

/* Close with RST instead of FIN. */
static void reset_socket(int fd)
{
	struct linger now = {.l_onoff = 1};
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

static int connect_to(unsigned port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	close(fd);
	return -1;
}

/* --- frames --- */

static bool is_commit(const uint8_t *text, size_t len)
{
	static const char word[] = "COMMIT";
	size_t n = sizeof(word) - 1;
	while (len > 0 && strchr("; \t\r\n", text[len - 1])) /* the closing NUL too */
		len--;
	if (len < n)
		return false;
	return (len == n && strncasecmp((const char *)text, word, n) == 0) ||
	       (len > n && strchr("; \t\r\n", text[len - n - 1]) &&
		strncasecmp((const char *)text + len - n, word, n) == 0);
}

/* A message head is complete: how long the rest of the message is. */
static void open_message(struct framer *f, struct framer *other)
{
	bool startup = f->startup;
	uint32_t len = get_be32(f->head + (startup ? 0 : 1));
	f->left = len > 4 ? len - 4 : 0;
	if (startup)
		f->startup =
			/*
			 * an SSL or GSS request has only its code; the real start-up packet follows
			 */
			f->left == 4;
	if (startup && f->startup)
		other->bare++;
	f->have = 0;
}

struct message {
	uint8_t type; /* 0: none complete in head yet, or a start-up packet */
	size_t start; /* of its head in the bytes read */
	size_t body, len;
};

/*
 * Steps over bytes up to the next message's head, at *at. True when a typed message's head is
 * complete.
 */
static bool next_message(struct framer *f, struct framer *other, const uint8_t *p, size_t n,
			 size_t *at, struct message *m)
{
	while (*at < n) {
		size_t skip = MIN(f->left, n - *at);
		f->left -= skip;
		*at += skip;
		if (*at == n)
			return false;
		if (f->bare > 0) {
			f->bare--;
			(*at)++;
			continue;
		}
		size_t want = f->startup ? 4 : 5;
		if (f->have == 0)
			m->start = *at;
		f->head[f->have++] = p[(*at)++];
		if (f->have < want)
			continue;
		m->type = f->startup ? 0 : f->head[0];
		open_message(f, other);
		m->body = *at;
		m->len = f->left;
		if (m->type)
			return true;
	}
	return false;
}

/* --- faults --- */

/* Counts a COMMIT; the fault that is due on it. */
static enum proxy_fault saw_commit(struct proxy *p)
{
	enum proxy_fault fault = PROXY_FAULT_NONE;
	pthread_mutex_lock(&p->lock);
	p->commits++;
	if (p->armed != PROXY_FAULT_NONE && --p->countdown == 0) {
		fault = p->armed;
		p->armed = PROXY_FAULT_NONE;
	}
	pthread_mutex_unlock(&p->lock);
	return fault;
}

static void fault_done(struct proxy *p, struct pair *pair)
{
	pair->dead = pair->fault != PROXY_ANSWER_STUCK;
	pair->stuck = !pair->dead;
	pthread_mutex_lock(&p->lock);
	p->fired++;
	pthread_mutex_unlock(&p->lock);
}

/* Bind: names of portal and statement; the worker calls the one that says COMMIT "commit". */
static bool binds_commit(const uint8_t *body, size_t len)
{
	static const char wanted[] = "commit";
	size_t portal = strnlen((const char *)body, len) + 1;
	return portal + sizeof(wanted) <= len && memcmp(body + portal, wanted, sizeof(wanted)) == 0;
}

/* A COMMIT that the server will run as soon as it has this message. */
static bool sends_commit(struct pair *pair, const struct message *m, const uint8_t *body)
{
	if (m->type == 'B')
		return binds_commit(body, m->len);
	if (m->type == 'c' && pair->copy_first) {
		pair->copy_first = false;
		return true;
	}
	if (m->type != 'Q')
		return false;
	bool commit = is_commit(body, m->len);
	pair->copy_first = commit && memmem(body, m->len, "COPY ", 5);
	return commit && !pair->copy_first;
}

/* How many of the n bytes from the client may be forwarded. */
static size_t look_up(struct proxy *p, struct pair *pair, const uint8_t *data, size_t n)
{
	struct message m = {0};
	for (size_t at = 0;
	     next_message(&pair->pipe[UP].framer, &pair->pipe[DOWN].framer, data, n, &at, &m);) {
		if (m.body + m.len > n || !sends_commit(pair, &m, data + m.body))
			continue;
		pair->fault = saw_commit(p);
		if (pair->fault == PROXY_COMMIT_LOST)
			return m.start;
	}
	return n;
}

/* The armed COMMIT was not reached: the fault waits for the next. */
static void fault_put_off(struct proxy *p, struct pair *pair)
{
	pthread_mutex_lock(&p->lock);
	p->armed = pair->fault;
	p->countdown = 1;
	pthread_mutex_unlock(&p->lock);
	pair->fault = PROXY_FAULT_NONE;
}

/* How many of the n bytes from the server may be forwarded. */
static size_t look_down(struct proxy *p, struct pair *pair, const uint8_t *data, size_t n)
{
	struct message m = {0};
	bool done = false;
	for (size_t at = 0;
	     next_message(&pair->pipe[DOWN].framer, &pair->pipe[UP].framer, data, n, &at, &m);) {
		const char *tag = (const char *)data + m.body;
		bool ends = m.type == 'C' && m.body + m.len <= n &&
			    (!strncmp(tag, "COMMIT", 7) || !strncmp(tag, "ROLLBACK", 9));
		pair->answered |= pair->fault != PROXY_FAULT_NONE && ends;
		if (m.type == 'E' && pair->fault != PROXY_FAULT_NONE && !pair->answered)
			fault_put_off(p, pair);
		done |= pair->answered && m.type == 'Z';
	}
	if (pair->fault == PROXY_FAULT_NONE)
		return n;
	if (done)
		fault_done(p, pair);
	return 0;
}

/* --- pipes --- */

static void queue_bytes(struct pipe *pipe, const uint8_t *data, size_t n, int64_t due_us)
{
	struct chunk *c = xmalloc(sizeof(*c) + n);
	*c = (struct chunk){.due_us = due_us, .len = n};
	memcpy(c->data, data, n);
	if (pipe->last)
		pipe->last->next = c;
	else
		pipe->first = c;
	pipe->last = c;
	pipe->queued += n;
}

static void drop_first(struct pipe *pipe)
{
	struct chunk *c = pipe->first;
	pipe->first = c->next;
	if (!pipe->first)
		pipe->last = NULL;
	pipe->queued -= c->len;
	free(c);
}

/* How many of the n bytes may be forwarded. */
static size_t look(struct proxy *p, struct pair *pair, int side, const uint8_t *data, size_t n)
{
	if (pair->pipe[side].lost)
		return 0;
	if (p->plain)
		return n;
	return side == UP ? look_up(p, pair, data, n) : look_down(p, pair, data, n);
}

static void read_side(struct proxy *p, struct pair *pair, int side, int64_t due_us)
{
	uint8_t data[CHUNK];
	ssize_t n = recv(pair->fd[side], data, sizeof(data), 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		pair->dead = true;
		return;
	}
	pair->pipe[side].ended = n == 0;
	size_t pass = look(p, pair, side, data, (size_t)n);
	if (pass > 0)
		queue_bytes(&pair->pipe[side], data, pass, due_us);
}

/* How bytes travel: after a delay, and in pieces at a pace, if slice is not 0. */
struct manner {
	int64_t delay_us;
	size_t slice;
	int64_t gap_us;
};

/* One piece of the first chunk is sent: what follows it may go now, or after the gap. */
static void piece_sent(struct pipe *pipe, size_t n, const struct manner *manner, int64_t now_us)
{
	struct chunk *c = pipe->first;
	c->sent += n;
	if (c->sent == c->len)
		drop_first(pipe);
	if (manner->slice > 0 && pipe->first)
		pipe->first->due_us = MAX(pipe->first->due_us, now_us + manner->gap_us);
}

/* Sends what is due towards the other side. */
static void write_side(struct proxy *p, struct pair *pair, int side, const struct manner *manner,
		       int64_t now_us)
{
	struct pipe *pipe = &pair->pipe[side];
	int to = pair->fd[1 - side];
	while (pipe->first && pipe->first->due_us <= now_us) {
		struct chunk *c = pipe->first;
		size_t left = c->len - c->sent;
		ssize_t n = send(to, c->data + c->sent,
				 manner->slice > 0 ? MIN(left, manner->slice) : left, MSG_NOSIGNAL);
		if (n < 0) {
			pair->dead |= errno != EAGAIN && errno != EINTR;
			return;
		}
		piece_sent(pipe, (size_t)n, manner, now_us);
	}
	if (side == UP && !pipe->first && pair->fault == PROXY_COMMIT_LOST)
		fault_done(p, pair);
	if (pipe->ended && !pipe->first)
		pair->dead = true;
}

/* --- the loop --- */

static void pair_free(struct pair *pair, bool reset)
{
	for (int side = UP; side <= DOWN; side++) {
		if (reset)
			reset_socket(pair->fd[side]);
		else
			close(pair->fd[side]);
		while (pair->pipe[side].first)
			drop_first(&pair->pipe[side]);
	}
	free(pair);
}

static void accept_one(struct proxy *p, enum proxy_mode mode)
{
	int client = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC);
	if (client < 0)
		return;
	pthread_mutex_lock(&p->lock);
	p->accepted++;
	unsigned to = p->to;
	pthread_mutex_unlock(&p->lock);
	int server = mode == PROXY_RESET || p->npairs == MAX_PAIRS ? -1 : connect_to(to);
	if (server < 0) {
		reset_socket(client);
		return;
	}
	struct pair *pair = xcalloc(1, sizeof(*pair));
	pair->fd[UP] = client;
	pair->fd[DOWN] = server;
	pair->pipe[UP].framer.startup = true;
	prepare(client);
	prepare(server);
	p->pairs[p->npairs++] = pair;
}

/*
 * What to wait for on one socket: bytes to read, if there is room for them, or room to send what is
 * due.
 */
static short interest(const struct pair *pair, int side, enum proxy_mode mode, int64_t now_us,
		      int64_t *wake_us)
{
	const struct chunk *waiting = pair->pipe[1 - side].first;
	short events = 0;
	if (mode == PROXY_BLACKHOLE)
		return 0;
	if (pair->stuck)
		return POLLRDHUP; /* silent, but when a side gives it up, it is over */
	if (!pair->pipe[side].ended && pair->pipe[side].queued < MAX_QUEUED &&
	    !(side == UP && pair->fault))
		events |= POLLIN;
	if (waiting && waiting->due_us <= now_us)
		events |= POLLOUT;
	else if (waiting)
		*wake_us = MIN(*wake_us, waiting->due_us);
	return events;
}

static void sweep(struct proxy *p, enum proxy_mode mode)
{
	for (size_t i = 0; i < p->npairs;) {
		struct pair *pair = p->pairs[i];
		if (!pair->dead && mode != PROXY_RESET) {
			i++;
			continue;
		}
		/* an orderly end of one side is passed on as such */
		bool orderly = pair->fault == PROXY_FAULT_NONE &&
			       (pair->pipe[UP].ended || pair->pipe[DOWN].ended);
		pair_free(pair, mode == PROXY_RESET || !orderly);
		p->pairs[i] = p->pairs[--p->npairs];
	}
}

/* Waits until a socket is ready, a chunk is due or somebody wakes us. */
static void wait_for_work(struct proxy *p, struct pollfd *pfds, enum proxy_mode mode)
{
	int64_t now_us = clock_mono_us(), wake_us = CLOCK_NEVER;
	struct timespec patience = {.tv_sec = 3600};
	uint64_t count;
	pfds[0] = (struct pollfd){.fd = p->wake, .events = POLLIN};
	pfds[1] = (struct pollfd){.fd = p->listener, .events = POLLIN};
	for (size_t i = 0; i < 2 * p->npairs; i++) {
		short events = interest(p->pairs[i / 2], i % 2, mode, now_us, &wake_us);
		/*
		 * a socket that nothing is wanted of is left out, or poll() would report its
		 * hang-up again and again
		 */
		pfds[2 + i] = (struct pollfd){.fd = events ? p->pairs[i / 2]->fd[i % 2] : -1,
					      .events = events};
	}
	if (wake_us != CLOCK_NEVER) {
		int64_t left_us = MAX(wake_us - now_us, 0);
		patience = (struct timespec){.tv_sec = left_us / US_PER_S,
					     .tv_nsec = left_us % US_PER_S * 1000};
	}
	ppoll(pfds, 2 + 2 * p->npairs, &patience, NULL);
	if (pfds[0].revents && read(p->wake, &count, sizeof(count)) < 0)
		abort();
}

/* Bytes have come from one side: what of the pair is deaf to the other from now on. */
static void lose(struct pair *pair, enum proxy_mode mode, int side)
{
	if (mode == PROXY_SWALLOW)
		pair->pipe[UP].lost = pair->pipe[DOWN].lost = true;
	if (mode == (side == UP ? PROXY_MUTE : PROXY_DEAF))
		pair->pipe[side].lost = true;
}

static void move_bytes(struct proxy *p, const struct pollfd *pfds, enum proxy_mode mode,
		       const struct manner *manner)
{
	int64_t now_us = clock_mono_us();
	if (mode == PROXY_BLACKHOLE)
		return;
	for (size_t i = 0; i < 2 * p->npairs; i++) {
		struct pair *pair = p->pairs[i / 2];
		if (pair->stuck) {
			pair->dead |= pfds[2 + i].revents != 0;
			continue;
		}
		if (pfds[2 + i].revents)
			lose(pair, mode, i % 2);
		if (pfds[2 + i].revents && !pair->pipe[i % 2].ended)
			read_side(p, pair, i % 2, now_us + manner->delay_us);
		if (!pair->stuck) /* by what was read just now */
			write_side(p, pair, i % 2, manner, now_us);
	}
}

static void *proxy_main(void *arg)
{
	struct pollfd pfds[2 + 2 * MAX_PAIRS];
	struct proxy *p = arg;
	enum proxy_mode mode = PROXY_PASS;
	for (bool stop = false; !stop;) {
		wait_for_work(p, pfds, mode);
		/*
		 * controls are read after the wait: what a test sets holds for what it sends next
		 */
		pthread_mutex_lock(&p->lock);
		stop = p->stop;
		mode = stop ? PROXY_RESET : p->mode;
		struct manner manner = {p->delay_us, p->slice, p->gap_us};
		pthread_mutex_unlock(&p->lock);
		if (mode != PROXY_RESET)
			move_bytes(p, pfds, mode, &manner);
		if (pfds[1].revents)
			accept_one(p, mode);
		sweep(p, mode);
	}
	return NULL;
}

/* --- control --- */

static void wake(struct proxy *p)
{
	uint64_t one = 1;
	ck_assert_int_eq(write(p->wake, &one, sizeof(one)), sizeof(one));
}

static struct proxy *start(unsigned port, unsigned to, bool plain)
{
	struct proxy *p = xcalloc(1, sizeof(*p));
	p->port = port;
	p->to = to;
	p->plain = plain;
	p->listener = listen_on(&p->port);
	p->wake = eventfd(0, EFD_CLOEXEC);
	pthread_mutex_init(&p->lock, NULL);
	ck_assert_int_eq(pthread_create(&p->thread, NULL, proxy_main, p), 0);
	return p;
}

struct proxy *proxy_start(unsigned to)
{
	return start(0, to, false);
}

struct proxy *proxy_start_plain(unsigned port, unsigned to)
{
	return start(port, to, true);
}

void proxy_stop(struct proxy *p)
{
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_mutex_unlock(&p->lock);
	wake(p);
	pthread_join(p->thread, NULL);
	close(p->listener);
	close(p->wake);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

unsigned proxy_port(const struct proxy *p)
{
	return p->port;
}

void proxy_mode(struct proxy *p, enum proxy_mode mode)
{
	pthread_mutex_lock(&p->lock);
	p->mode = mode;
	pthread_mutex_unlock(&p->lock);
	wake(p);
}

void proxy_delay(struct proxy *p, int64_t one_way_us)
{
	pthread_mutex_lock(&p->lock);
	p->delay_us = one_way_us;
	pthread_mutex_unlock(&p->lock);
	wake(p);
}

void proxy_slice(struct proxy *p, size_t bytes, int64_t gap_us)
{
	pthread_mutex_lock(&p->lock);
	p->slice = bytes;
	p->gap_us = gap_us;
	pthread_mutex_unlock(&p->lock);
	wake(p);
}

void proxy_target(struct proxy *p, unsigned to)
{
	pthread_mutex_lock(&p->lock);
	p->to = to;
	pthread_mutex_unlock(&p->lock);
}

void proxy_arm(struct proxy *p, enum proxy_fault fault, unsigned nth)
{
	pthread_mutex_lock(&p->lock);
	p->armed = fault;
	p->countdown = nth;
	pthread_mutex_unlock(&p->lock);
}

unsigned proxy_fired(struct proxy *p)
{
	pthread_mutex_lock(&p->lock);
	unsigned n = p->fired;
	pthread_mutex_unlock(&p->lock);
	return n;
}

unsigned proxy_accepted(struct proxy *p)
{
	pthread_mutex_lock(&p->lock);
	unsigned n = p->accepted;
	pthread_mutex_unlock(&p->lock);
	return n;
}

unsigned proxy_commits(struct proxy *p)
{
	pthread_mutex_lock(&p->lock);
	unsigned n = p->commits;
	pthread_mutex_unlock(&p->lock);
	return n;
}

/*
 * test_pg_connect.c - which of several hosts becomes the session, how long that takes, and what is
 * said when none does.
 *
 * The servers are threads of this process that speak as much of PostgreSQL's protocol as it takes
 * to welcome a client, to refuse it, or to keep it waiting. Their addresses are 127.0.0.1 and, for
 * names with several, its neighbours, which Linux takes for loopback as well.
 */
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "io/lookup.h"
#include "io/pg.h"
#include "io/pg_login.h"
#include "unit.h"

#define SHORT_US US_PER_S /* a connect_timeout that is meant to pass for those who say nothing */
#define LONG_US (60 * US_PER_S) /* one that is not meant to pass */

/* --- a server to order --- */

enum manner {
	SILENT,  /* listens and never accepts: the kernel answers the SYN, nobody the rest */
	FULL,    /* the same with no room left for connections: not even the SYN is answered */
	REFUSES, /* wrong password */
	FOREIGN, /* no entry in pg_hba.conf, said in another language */
	FULL_UP, /* 53300, no connection left */
	CLOSED,  /* 55000, the database takes none */
	UNKNOWN_SETTING, /* 42704, one of the DSN's options */
	STARTING,        /* 57P03, as while it recovers */
	READ_ONLY,       /* a standby */
	WELCOMES,
};

struct server {
	enum manner manner;
	unsigned port;
	int listener, stop, filler[2];
	atomic_int logins;
	pthread_t thread;
};

static bool get(int fd, void *to, size_t n)
{
	return recv(fd, to, n, MSG_WAITALL) == (ssize_t)n;
}

static void put_message(struct buf *out, char type, const void *body, size_t len)
{
	buf_u8(out, (uint8_t)type);
	buf_be32(out, (uint32_t)len + 4);
	buf_put(out, body, len);
}

static void put_parameter(struct buf *out, const char *name, const char *value)
{
	struct buf body = {0};
	buf_put(&body, name, strlen(name) + 1);
	buf_put(&body, value, strlen(value) + 1);
	put_message(out, 'S', body.data, body.len);
	buf_free(&body);
}

static void put_fatal(struct buf *out, const char *state, const char *text)
{
	struct buf body = {0};
	buf_puts(&body, "SFATAL");
	buf_u8(&body, 0);
	buf_puts(&body, "VFATAL");
	buf_u8(&body, 0);
	buf_u8(&body, 'C');
	buf_put(&body, state, strlen(state) + 1);
	buf_u8(&body, 'M');
	buf_put(&body, text, strlen(text) + 1);
	buf_u8(&body, 0);
	put_message(out, 'E', body.data, body.len);
	buf_free(&body);
}

static void put_welcome(struct buf *out, bool standby)
{
	put_message(out, 'R', "\0\0\0\0", 4);
	put_parameter(out, "server_version", "16.0");
	put_parameter(out, "client_encoding", "UTF8");
	put_parameter(out, "standard_conforming_strings", "on");
	put_parameter(out, "default_transaction_read_only", "off");
	put_parameter(out, "in_hot_standby", standby ? "on" : "off");
	put_message(out, 'Z', "I", 1);
}

/* Each query is a success until the client hangs up. */
static void answer_queries(int fd)
{
	uint8_t head[5], body[4096];
	while (get(fd, head, sizeof(head))) {
		struct buf out = {0};
		size_t len = get_be32(head + 1) - 4;
		if (len > sizeof(body) || !get(fd, body, len) || head[0] != 'Q')
			return;
		put_message(&out, 'C', "SET", 4);
		put_message(&out, 'Z', "I", 1);
		(void)send(fd, out.data, out.len, MSG_NOSIGNAL);
		buf_free(&out);
	}
}

static void serve(struct server *s, int fd)
{
	uint8_t size[4], startup[2048];
	struct buf out = {0};
	if (!get(fd, size, sizeof(size)) || get_be32(size) - 4 > sizeof(startup) ||
	    !get(fd, startup, get_be32(size) - 4))
		return;
	atomic_fetch_add(&s->logins, 1);
	if (get_be32(size) == 8) { /* a request for TLS, which it has not */
		(void)send(fd, "N", 1, MSG_NOSIGNAL);
		return;
	}
	if (s->manner == REFUSES)
		put_fatal(&out, "28P01", "password authentication failed for user \"u\"");
	else if (s->manner == FOREIGN)
		put_fatal(&out, "28000", "kein pg_hba.conf-Eintrag für Host: \"h\"");
	else if (s->manner == FULL_UP)
		put_fatal(&out, "53300", "sorry, too many clients already");
	else if (s->manner == CLOSED)
		put_fatal(&out, "55000", "database \"d\" is not currently accepting connections");
	else if (s->manner == UNKNOWN_SETTING)
		put_fatal(&out, "42704", "unrecognized configuration parameter \"x.y\"");
	else if (s->manner == STARTING)
		put_fatal(&out, "57P03", "the database system is starting up");
	else
		put_welcome(&out, s->manner == READ_ONLY);
	(void)send(fd, out.data, out.len, MSG_NOSIGNAL);
	buf_free(&out);
	if (s->manner == WELCOMES || s->manner == READ_ONLY)
		answer_queries(fd);
}

static void *server_main(void *arg)
{
	struct server *s = arg;
	struct pollfd fds[2] = {{.fd = s->listener, .events = POLLIN},
				{.fd = s->stop, .events = POLLIN}};
	while (poll(fds, 2, -1) > 0 && !fds[1].revents) {
		int fd = accept(s->listener, NULL, NULL);
		serve(s, fd);
		close(fd);
	}
	return NULL;
}

static void fill_queue(struct server *s, const struct sockaddr_in *addr)
{
	for (size_t i = 0; i < ARRAY_LEN(s->filler); i++) {
		s->filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)connect(s->filler[i], (const struct sockaddr *)addr, sizeof(*addr));
	}
}

static void server_start(struct server *s, enum manner manner)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(addr);
	*s = (struct server){.manner = manner, .stop = eventfd(0, 0), .filler = {-1, -1}};
	s->listener = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(s->listener, (struct sockaddr *)&addr, len), 0);
	ck_assert_int_eq(listen(s->listener, manner == FULL ? 0 : 16), 0);
	ck_assert_int_eq(getsockname(s->listener, (struct sockaddr *)&addr, &len), 0);
	s->port = ntohs(addr.sin_port);
	if (manner == FULL)
		fill_queue(s, &addr);
	if (manner != FULL && manner != SILENT)
		ck_assert_int_eq(pthread_create(&s->thread, NULL, server_main, s), 0);
}

static void server_stop(struct server *s)
{
	ck_assert_int_eq(eventfd_write(s->stop, 1), 0);
	if (s->manner != FULL && s->manner != SILENT)
		pthread_join(s->thread, NULL);
	for (size_t i = 0; i < ARRAY_LEN(s->filler); i++)
		if (s->filler[i] >= 0)
			close(s->filler[i]);
	close(s->listener);
	close(s->stop);
}

/* --- connecting --- */

static struct pg *connects(const char *dsn, int64_t timeout_us, int abort_fd, struct err *err)
{
	struct config config = {
		.pg_dsn = dsn,
		.pg_connect_timeout_us = timeout_us,
		.pg_statement_timeout_us = LONG_US,
		.pg_lock_timeout_us = LONG_US,
	};
	return pg_connect(&config, "test", abort_fd, err);
}

#define OPTIONS "user=u password=S3cret dbname=d sslmode=disable gssencmode=disable "

/* A DSN of all servers in their order. */
static const char *dsn_of(const struct server *servers, size_t n)
{
	static char text[512];
	size_t len = (size_t)snprintf(text, sizeof(text), OPTIONS "host=");
	for (size_t i = 0; i < n; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s127.0.0.1",
					i ? "," : "");
	len += (size_t)snprintf(text + len, sizeof(text) - len, " port=");
	for (size_t i = 0; i < n; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%u", i ? "," : "",
					servers[i].port);
	return text;
}

/* How often the text has the part. */
static int times(const char *text, const char *part)
{
	int n = 0;
	while ((text = strstr(text, part)) != NULL) {
		text += strlen(part);
		n++;
	}
	return n;
}

/*
 * Host after host until one welcomes us: neither a silent one, nor one that does not answer the
 * SYN, nor a standby, nor one that starts up, nor one that refuses us is the end of it. Each is
 * asked once, and those that say nothing cost one connect_timeout each.
 */
START_TEST(in_order)
{
	static const enum manner manners[] = {SILENT, FULL, READ_ONLY, STARTING, REFUSES, WELCOMES};
	struct server servers[ARRAY_LEN(manners)];
	struct err err = {0};
	for (size_t i = 0; i < ARRAY_LEN(manners); i++)
		server_start(&servers[i], manners[i]);
	int64_t start = clock_mono_us();
	struct pg *pg = connects(dsn_of(servers, ARRAY_LEN(manners)), SHORT_US, -1, &err);
	ck_assert_msg(pg != NULL, "%s", err.text);
	ck_assert_int_ge(clock_mono_us() - start, 2 * SHORT_US);
	ck_assert(pg_ok(pg));
	ck_assert(pg_exec(pg, "SELECT 1", NULL, 0, &err));
	pg_free(pg);
	for (size_t i = 0; i < ARRAY_LEN(manners); i++) {
		server_stop(&servers[i]);
		if (manners[i] != SILENT && manners[i] != FULL)
			ck_assert_int_eq(atomic_load(&servers[i].logins), 1);
	}
}
END_TEST

/*
 * When nobody lets us in the error has each host with its own reason, no password, and the class
 * of the worst: RETRY while nobody is there who may write, CONFIG once one of them says that the
 * password is wrong.
 */
START_TEST(all_fail)
{
	static const enum manner manners[] = {SILENT, READ_ONLY, STARTING, REFUSES};
	struct server servers[ARRAY_LEN(manners)];
	struct err err = {0};
	char place[64];
	for (size_t i = 0; i < ARRAY_LEN(manners); i++)
		server_start(&servers[i], manners[i]);
	ck_assert_ptr_null(connects(dsn_of(servers + 1, 2), LONG_US, -1, &err));
	ck_assert_msg(err.class == ERR_RETRY, "%s", err.text);
	ck_assert_ptr_null(connects(dsn_of(servers, 4), SHORT_US, -1, &err));
	ck_assert_msg(err.class == ERR_CONFIG, "%s", err.text);
	for (size_t i = 0; i < ARRAY_LEN(manners); i++) {
		snprintf(place, sizeof(place), "127.0.0.1 port %u: ", servers[i].port);
		ck_assert_msg(times(err.text, place) == 1, "%s", err.text);
	}
	ck_assert_msg(times(err.text, "no answer within connect_timeout") == 1, "%s", err.text);
	ck_assert_msg(times(err.text, "session is read-only") == 1, "%s", err.text);
	ck_assert_msg(times(err.text, "starting up") == 1, "%s", err.text);
	ck_assert_msg(times(err.text, "password authentication failed") == 1, "%s", err.text);
	ck_assert_msg(times(err.text, "S3cret") == 0, "%s", err.text);
	for (size_t i = 0; i < ARRAY_LEN(manners); i++)
		server_stop(&servers[i]);
}
END_TEST

/* target_session_attrs of the DSN counts: with "any" a standby will do. */
START_TEST(any_will_do)
{
	struct server s;
	struct err err = {0};
	char dsn[256];
	server_start(&s, READ_ONLY);
	snprintf(dsn, sizeof(dsn), OPTIONS "host=127.0.0.1 port=%u target_session_attrs=any",
		 s.port);
	struct pg *pg = connects(dsn, LONG_US, -1, &err);
	ck_assert_msg(pg != NULL, "%s", err.text);
	pg_free(pg);
	server_stop(&s);
}
END_TEST

/* A socket that nobody listens on is a server that is away, not a mistake in the DSN. */
START_TEST(no_socket)
{
	struct err err = {0};
	ck_assert_ptr_null(connects(OPTIONS "host=/nonexistent", LONG_US, -1, &err));
	ck_assert_msg(err.class == ERR_RETRY, "%s", err.text);
	ck_assert_msg(strstr(err.text, "/nonexistent port 5432: ") != NULL, "%s", err.text);
}
END_TEST

/* --- names --- */

/* "many.test" is 127.0.0.3, 127.0.0.2 and 127.0.0.1, in this order; all else is as it is. */
static int three_addresses(const char *node, const char *service, const struct addrinfo *hints,
			   struct addrinfo **found)
{
	struct addrinfo **last = found;
	int failure = 0;
	if (strcmp(node, "many.test") != 0)
		return getaddrinfo(node, service, hints, found);
	for (int i = 3; i > 0 && !failure; i--) {
		char address[24];
		snprintf(address, sizeof(address), "127.0.0.%d", i);
		failure = getaddrinfo(address, service, hints, last);
		last = &(*last)->ai_next;
	}
	return failure;
}

static int gate = -1; /* readable: look-ups may end */

/* A name server that is silent until the gate opens. */
static int hangs(const char *node, const char *service, const struct addrinfo *hints,
		 struct addrinfo **found)
{
	struct pollfd fd = {.fd = gate, .events = POLLIN};
	(void)node, (void)service, (void)hints, (void)found;
	while (poll(&fd, 1, -1) < 1)
		;
	return EAI_AGAIN;
}

static void close_gate(void)
{
	gate = eventfd(0, EFD_CLOEXEC);
	lookup_use(hangs);
}

static void open_gate(void)
{
	int64_t deadline = clock_mono_us() + 20 * US_PER_S;
	ck_assert_int_eq(eventfd_write(gate, 1), 0);
	while (lookup_under_way() > 0) {
		ck_assert(clock_mono_us() < deadline);
		poll(NULL, 0, 1);
	}
	close(gate);
	lookup_use(getaddrinfo);
}

static const char *dsn_of_name(const char *name, unsigned port)
{
	static char text[256];
	snprintf(text, sizeof(text), OPTIONS "host=%s port=%u", name, port);
	return text;
}

/* The addresses of a name are tried in turn; nobody listens on the first two. */
START_TEST(next_address)
{
	struct server s;
	struct err err = {0};
	server_start(&s, WELCOMES);
	lookup_use(three_addresses);
	struct pg *pg = connects(dsn_of_name("many.test", s.port), LONG_US, -1, &err);
	ck_assert_msg(pg != NULL, "%s", err.text);
	pg_free(pg);
	server_stop(&s);
	ck_assert_ptr_null(connects(dsn_of_name("many.test", s.port), LONG_US, -1, &err));
	for (int i = 1; i <= 3; i++) {
		char place[80];
		snprintf(place, sizeof(place), "many.test port %u (127.0.0.%d): ", s.port, i);
		ck_assert_msg(times(err.text, place) == 1, "%s", err.text);
	}
	lookup_use(getaddrinfo);
}
END_TEST

/* ... and each of them has a connect_timeout of its own: 127.0.0.1 is the silent one here. */
START_TEST(silent_address)
{
	struct server s;
	struct err err = {0};
	server_start(&s, SILENT);
	lookup_use(three_addresses);
	int64_t start = clock_mono_us();
	ck_assert_ptr_null(connects(dsn_of_name("many.test", s.port), SHORT_US, -1, &err));
	ck_assert_int_ge(clock_mono_us() - start, SHORT_US);
	ck_assert_msg(times(err.text, "no answer within connect_timeout") == 1, "%s", err.text);
	lookup_use(getaddrinfo);
	server_stop(&s);
}
END_TEST

/* A server that says no is asked once, not once for each address of its name. */
START_TEST(refused_once)
{
	struct sockaddr_in any = {.sin_family = AF_INET};
	struct err err = {0};
	struct server s = {.manner = REFUSES, .stop = eventfd(0, 0), .filler = {-1, -1}};
	socklen_t len = sizeof(any);
	s.listener = socket(AF_INET, SOCK_STREAM, 0); /* on all addresses */
	ck_assert_int_eq(bind(s.listener, (struct sockaddr *)&any, len), 0);
	ck_assert_int_eq(listen(s.listener, 16), 0);
	ck_assert_int_eq(getsockname(s.listener, (struct sockaddr *)&any, &len), 0);
	ck_assert_int_eq(pthread_create(&s.thread, NULL, server_main, &s), 0);
	lookup_use(three_addresses);
	ck_assert_ptr_null(
		connects(dsn_of_name("many.test", ntohs(any.sin_port)), LONG_US, -1, &err));
	ck_assert_msg(err.class == ERR_CONFIG, "%s", err.text);
	ck_assert_int_eq(atomic_load(&s.logins), 1);
	lookup_use(getaddrinfo);
	server_stop(&s);
}
END_TEST

/* A name server that is silent costs one connect_timeout, and the next host is asked. */
START_TEST(silent_name_server)
{
	struct server s;
	struct err err = {0};
	char dsn[256];
	server_start(&s, WELCOMES);
	close_gate();
	snprintf(dsn, sizeof(dsn), OPTIONS "host=db.test,127.0.0.1 port=%u", s.port);
	struct pg *pg = connects(dsn, SHORT_US, -1, &err);
	ck_assert_msg(pg != NULL, "%s", err.text);
	pg_free(pg);
	server_stop(&s);
	ck_assert_ptr_null(connects(dsn_of_name("db.test", 1), SHORT_US, -1, &err));
	ck_assert_msg(err.class == ERR_RETRY, "%s", err.text);
	ck_assert_msg(strstr(err.text, "db.test port 1: the look-up") != NULL, "%s", err.text);
	open_gate();
}
END_TEST

/* --- aborts --- */

/* Readable in a while, as the abort descriptor of a lane becomes. */
static int soon(void)
{
	struct itimerspec in = {.it_value.tv_nsec = 50 * 1000 * 1000};
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	ck_assert_int_eq(timerfd_settime(fd, 0, &in, NULL), 0);
	return fd;
}

/*
 * A lane that must let go waits neither for a server that is silent, nor for a SYN without answer,
 * nor for a name server; and no other host is asked after that.
 */
START_TEST(aborted)
{
	static const enum manner manners[] = {SILENT, FULL};
	struct server servers[2];
	struct err err = {0};
	int64_t start = clock_mono_us();
	server_start(&servers[1], WELCOMES);
	close_gate();
	for (size_t i = 0; i <= ARRAY_LEN(manners); i++) {
		int abort_fd = soon();
		char dsn[256];
		server_start(&servers[0], i < ARRAY_LEN(manners) ? manners[i] : SILENT);
		snprintf(dsn, sizeof(dsn), OPTIONS "host=%s,127.0.0.1 port=%u,%u",
			 i < ARRAY_LEN(manners) ? "127.0.0.1" : "db.test", servers[0].port,
			 servers[1].port);
		ck_assert_ptr_null(connects(dsn, LONG_US, abort_fd, &err));
		ck_assert_str_eq(err.text, "PostgreSQL: given up on request");
		ck_assert_int_eq(err.class, ERR_RETRY);
		server_stop(&servers[0]);
		close(abort_fd);
	}
	ck_assert_int_lt(clock_mono_us() - start, LONG_US);
	ck_assert_int_eq(atomic_load(&servers[1].logins), 0);
	server_stop(&servers[1]);
	open_gate();
}
END_TEST

/* What a refusal means is told by its SQLSTATE, in whatever language the server speaks. */
START_TEST(by_its_state)
{
	struct server servers[2];
	struct err err = {0};
	server_start(&servers[0], STARTING);
	server_start(&servers[1], FOREIGN);
	ck_assert_ptr_null(connects(dsn_of(servers, 2), LONG_US, -1, &err));
	ck_assert_msg(err.class == ERR_CONFIG, "%s", err.text);
	ck_assert_str_eq(err.code, "28000");
	ck_assert_msg(
		times(err.text, "kein pg_hba.conf-Eintrag für Host: \"h\" (SQLSTATE 28000)") == 1,
		"%s", err.text);
	ck_assert_msg(times(err.text, "LOCATION") == 0, "%s", err.text);
	server_stop(&servers[0]);
	server_stop(&servers[1]);
}
END_TEST

/*
 * What only a person can mend is a refusal, be it told by the server (a database that takes no
 * connections, a setting that is none) or by libpq (TLS that is not there); a start is none.
 */
START_TEST(refusals)
{
	static const struct {
		int manner;
		const char *options, *says;
		enum err_class class;
	} cases[] = {
		{CLOSED, "", "not currently accepting connections", ERR_CONFIG},
		{UNKNOWN_SETTING, "", "unrecognized configuration parameter", ERR_CONFIG},
		{WELCOMES, " sslmode=require", "SSL was required", ERR_CONFIG},
		{STARTING, "", "starting up", ERR_RETRY},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct server server;
		struct err err = {0};
		char dsn[512];
		server_start(&server, cases[i].manner);
		snprintf(dsn, sizeof(dsn), "%s%s", dsn_of(&server, 1), cases[i].options);
		ck_assert_ptr_null(connects(dsn, LONG_US, -1, &err));
		ck_assert_msg(strstr(err.text, cases[i].says) != NULL, "%s", err.text);
		ck_assert_msg(err.class == cases[i].class, "class %d: %s", err.class, err.text);
		server_stop(&server);
	}
}
END_TEST

static struct pg *logs_in(struct server *s, int64_t *due_us, struct err *err)
{
	struct config config = {
		.pg_dsn = dsn_of(s, 1),
		.pg_connect_timeout_us = LONG_US,
		.pg_statement_timeout_us = LONG_US,
		.pg_lock_timeout_us = LONG_US,
	};
	return pg_login(&config, "test", -1, due_us, err);
}

/*
 * One that is refused (0: a wrong password, 1: no connection is left) speaks for all: whoever asks
 * before the time is told what it heard, and the server hears nothing; the time grows. Once one is
 * let in, all are, at once.
 */
START_TEST(one_refusal_for_all)
{
	struct server s;
	struct err err;
	struct pg *pg;
	int64_t due_us, first_due_us, end_us;
	server_start(&s, _i == 0 ? REFUSES : FULL_UP);
	ck_assert_ptr_null(logs_in(&s, &first_due_us, &err));
	for (int i = 0; i < 50; i++) {
		ck_assert_ptr_null(logs_in(&s, &due_us, &err));
		ck_assert_int_ge(due_us, first_due_us);
		ck_assert_int_eq(err.class, _i == 0 ? ERR_CONFIG : ERR_RETRY);
		ck_assert_str_eq(err.code, _i == 0 ? "28P01" : "53300");
	}
	ck_assert_int_eq(atomic_load(&s.logins), 1);
	usleep((useconds_t)MAX(first_due_us - clock_mono_us(), 0));
	ck_assert_ptr_null(logs_in(&s, &due_us, &err));
	ck_assert_int_eq(atomic_load(&s.logins), 2);
	ck_assert_int_gt(due_us - clock_mono_us(), 3 * US_PER_S / 2);
	s.manner = WELCOMES;
	for (end_us = due_us + LONG_US; !(pg = logs_in(&s, &due_us, &err));)
		ck_assert_int_lt(clock_mono_us(), end_us);
	ck_assert_int_eq(atomic_load(&s.logins), 3);
	pg_free(pg);
	pg = logs_in(&s, &due_us, &err);
	ck_assert_ptr_nonnull(pg);
	pg_free(pg);
	server_stop(&s);
}
END_TEST

/* A server that is away refuses nobody: whoever asks tries, and it is his to log. */
START_TEST(away_is_no_refusal)
{
	struct server s;
	struct err err;
	int64_t due_us;
	server_start(&s, STARTING);
	for (int i = 1; i <= 5; i++) {
		ck_assert_ptr_null(logs_in(&s, &due_us, &err));
		ck_assert_int_eq(due_us, 0);
		ck_assert_int_eq(err.class, ERR_RETRY);
		ck_assert_int_eq(atomic_load(&s.logins), i);
	}
	server_stop(&s);
}
END_TEST

static Suite *pg_connect_suite(void)
{
	Suite *s = suite_create("pg_connect");
	TCase *tc = tcase_create("pg_connect");
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, in_order);
	tcase_add_test(tc, all_fail);
	tcase_add_test(tc, any_will_do);
	tcase_add_test(tc, no_socket);
	tcase_add_test(tc, next_address);
	tcase_add_test(tc, silent_address);
	tcase_add_test(tc, refused_once);
	tcase_add_test(tc, silent_name_server);
	tcase_add_test(tc, aborted);
	tcase_add_test(tc, by_its_state);
	tcase_add_test(tc, refusals);
	tcase_add_loop_test(tc, one_refusal_for_all, 0, 2);
	tcase_add_test(tc, away_is_no_refusal);
	suite_add_tcase(s, tc);
	return s;
}
UNIT_SUITE(pg_connect_suite)

/*
 * door.c - an HTTP server whose requests bring something, on libmicrohttpd; beside httpd.c the only
 * file that includes its header.
 *
 * It knows connections, bodies, limits and answers, and nothing of streams. One request:
 *
 *   OPEN --head()--> READING --body()--> HELD --door_answer()--> ANSWERED --sent--> gone
 *     '-- answered or refused by its head ------------------------^
 *                      '-- too large, no memory: the rest is thrown away, then refused
 *
 * A held request is suspended: it costs a place in a table and no thread. door_answer() may come
 * from any thread, also before libmicrohttpd has heard that the request is held; the door's mutex
 * decides which of the two sees the other.
 *
 * Bounds: options.connections connections, of which the one that was idle for longest makes way for
 * a new one, and if all are busy, the new one is turned away; options.max_body bytes of a body;
 * options.memory bytes of all bodies, what they become, and their answers. A body of a length that
 * is told beforehand is refused before it is read. Who is too slow to send or to read is ended by
 * door_sweep(): with "408" if nothing was sent yet (not behind TLS, where those bytes would be
 * none), else without a word.
 *
 * Draining: the socket is closed, what is in the building is served, and each answer says
 * "Connection: close".
 *
 * Certificate and key are looked at each second. libmicrohttpd takes them at its start only, so new
 * ones mean another server of it on the same socket; the one of before takes nobody in from then
 * on, serves those it has, tells them "Connection: close", and is stopped when they have left:
 *
 *   socket --> server (new files) --.
 *         '-x- former (old files) ---'--> the same table of clients, the same requests
 *
 * Files that do not fit each other (one of the two is written already) or can not be read change
 * nothing. They are tried again at times: it may have been a descriptor or a thread that lacked.
 *
 * Threads: options.threads of libmicrohttpd's own, with every signal blocked; head() and body() run
 * there. One mutex, for the table of connections and the states of requests; never held while
 * somebody waits. Failure: at start an error; afterwards a client sees its connection end.
 */
#include "io/door.h"

#include <assert.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "io/listen.h"
#include "io/pem_pair.h"

/* SPARE: connections that libmicrohttpd may have taken before we have ended others for them. */
enum { MEMORY_PER_CONNECTION = 32 * 1024, SPARE = 128, PAD = 32, STEP = 256 * 1024 };
#define RENEW_US US_PER_S        /* between two looks at certificate and key */
#define AGAIN_US (60 * US_PER_S) /* between two tries of files that made no server */
#define UNREADABLE 3             /* such looks, and the files are not just being replaced */

enum state { STATE_OPEN, STATE_READING, STATE_HELD, STATE_ANSWERED };

struct client;

/* One of libmicrohttpd's, and the certificate that it shows. */
struct server {
	struct door *door;
	struct MHD_Daemon *daemon;
	struct pem_pair shown;
	atomic_bool leaving; /* another one has its place */
};

/* What door.h shows is the first member. */
struct request {
	struct door_request shown;
	struct door *door;
	const struct server *server;
	struct MHD_Connection *conn;
	struct client *client;
	enum state state;
	bool suspended;
	unsigned refusal; /* the status that waits for the end of the body; 0: none */
	size_t charged, thrown;
	struct door_answer answer;
};

/* A connection. */
struct client {
	int fd;
	bool ended;
	int64_t since_us; /* it waits for a request, or it began to read the answer */
	struct request *request;
	struct client *next, **at;
};

struct door {
	struct server *server, *former; /* former: NULL, unless clients of it are left */
	struct server *refused; /* files that made no server, not to be tried soon; or NULL */
	int64_t renew_us;       /* next look at certificate and key */
	int64_t again_us;       /* next try of the refused ones */
	unsigned unread;        /* looks in a row at which they could not be read */
	struct door_options options;
	unsigned port;
	int fd; /* that listens; -1: closed */
	atomic_size_t memory;
	pthread_mutex_t lock;
	struct client *clients; /* those that came last first */
	size_t nclients, nrequests;
	atomic_bool draining;
};

static struct request *whole(struct door_request *r)
{
	return (struct request *)r;
}

/* --- memory --- */

bool door_charge(struct door_request *shown, size_t bytes, bool must)
{
	struct request *r = whole(shown);
	struct door *d = r->door;
	size_t before = atomic_fetch_add(&d->memory, bytes);
	if (!must && before + bytes > d->options.memory) {
		atomic_fetch_sub(&d->memory, bytes);
		return false;
	}
	r->charged += bytes;
	return true;
}

size_t door_memory(const struct door *d)
{
	return atomic_load(&d->memory);
}

/* --- connections --- */

static void client_end(struct client *c)
{
	shutdown(c->fd, SHUT_RDWR);
	c->ended = true;
}

/* Half a head is no request yet: anybody may send that, without a token. */
static bool is_busy(const struct client *c)
{
	const struct request *r = c->request;
	return r && (r->state == STATE_READING || r->state == STATE_HELD);
}

/* The one without a request that was silent for longest makes way, else the new one. */
static void make_room(struct door *d, struct client *newest)
{
	struct client *silent = newest;
	size_t n = 0;
	for (struct client *c = d->clients; c; c = c->next) {
		if (c->ended)
			continue;
		n++;
		if (!is_busy(c) && c->since_us <= silent->since_us)
			silent = c;
	}
	if (n > d->options.connections)
		client_end(silent);
}

static struct client *client_new(struct door *d, int fd)
{
	struct client *c = xcalloc(1, sizeof(*c));
	*c = (struct client){.fd = fd, .since_us = clock_mono_us(), .next = d->clients};
	if (c->next)
		c->next->at = &c->next;
	c->at = &d->clients;
	d->clients = c;
	d->nclients++;
	make_room(d, c);
	return c;
}

static void client_free(struct door *d, struct client *c)
{
	*c->at = c->next;
	if (c->next)
		c->next->at = c->at;
	d->nclients--;
	free(c);
}

/* Once when it was accepted, once before it is closed. */
static void connection_changed(void *ctx, struct MHD_Connection *conn, void **place,
			       enum MHD_ConnectionNotificationCode what)
{
	struct door *d = ((const struct server *)ctx)->door;
	pthread_mutex_lock(&d->lock);
	if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
		client_free(d, *place);
	} else {
		const union MHD_ConnectionInfo *info =
			MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD);
		*place = client_new(d, info->connect_fd);
	}
	pthread_mutex_unlock(&d->lock);
}

size_t door_connections(struct door *d)
{
	pthread_mutex_lock(&d->lock);
	size_t n = d->nclients;
	pthread_mutex_unlock(&d->lock);
	return n;
}

/* --- answering --- */

const char *door_header(struct door_request *r, const char *name)
{
	return MHD_lookup_connection_value(whole(r)->conn, MHD_HEADER_KIND, name);
}

/* The rest of its life is libmicrohttpd's: it sends the answer. */
static enum MHD_Result send_answer(struct request *r)
{
	struct door_answer *a = &r->answer;
	char retry[16];
	struct MHD_Response *response =
		MHD_create_response_from_buffer(a->body.len, a->body.data, MHD_RESPMEM_MUST_FREE);
	if (!response)
		return MHD_NO;
	a->body = (struct buf){0};
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, a->type);
	MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
	if (a->header)
		MHD_add_response_header(response, a->header, a->value);
	snprintf(retry, sizeof(retry), "%u", a->retry_s);
	if (a->retry_s > 0)
		MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, retry);
	if (r->door->draining || r->server->leaving)
		MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
	enum MHD_Result result = MHD_queue_response(r->conn, a->status, response);
	MHD_destroy_response(response);
	return result;
}

/* Memory of the body is not needed any more, that of the answer is. */
void door_answer(struct door_request *shown, struct door_answer *a)
{
	struct request *r = whole(shown);
	struct door *d = r->door;
	door_charge(shown, a->body.len, true);
	pthread_mutex_lock(&d->lock);
	assert(r->state != STATE_ANSWERED);
	r->answer = *a;
	r->state = STATE_ANSWERED;
	r->client->since_us = clock_mono_us();
	if (r->suspended)
		MHD_resume_connection(r->conn);
	pthread_mutex_unlock(&d->lock);
}

/* Whoever answers may be another thread, also of what libmicrohttpd has resumed. */
static enum state state_of(const struct request *r)
{
	pthread_mutex_lock(&r->door->lock);
	enum state state = r->state;
	pthread_mutex_unlock(&r->door->lock);
	return state;
}

static void turn_away(struct request *r, unsigned status)
{
	struct door_answer a = {.status = status};
	buf_free(&r->shown.body);
	r->door->options.refuse(r->door->options.ctx, &r->shown, status, &a);
	door_answer(&r->shown, &a);
}

/* --- a request comes in --- */

/* The length that was told; 0: none, it comes in chunks. */
static size_t told_length(struct request *r)
{
	const char *text = door_header(&r->shown, MHD_HTTP_HEADER_CONTENT_LENGTH);
	return text ? (size_t)strtoull(text, NULL, 10) : 0;
}

/* Either it is answered behind this, or its body has room. */
static void take_head(struct request *r, const char *method)
{
	struct door *d = r->door;
	size_t told = told_length(r);
	r->shown.method = method;
	d->options.head(d->options.ctx, &r->shown);
	if (state_of(r) == STATE_ANSWERED)
		return;
	if (told > d->options.max_body)
		turn_away(r, MHD_HTTP_CONTENT_TOO_LARGE);
	else if (!door_charge(&r->shown, told + PAD, false))
		turn_away(r, MHD_HTTP_SERVICE_UNAVAILABLE);
	else
		buf_grow(&r->shown.body, told + PAD);
}

/* Room for so many bytes more; it grows by half, and so does what it is charged with. */
static bool make_body_room(struct request *r, size_t len)
{
	struct buf *b = &r->shown.body;
	size_t wants = b->len + len + PAD;
	if (wants <= b->cap)
		return true;
	size_t cap = MAX(wants, b->cap + b->cap / 2 + STEP);
	if (!door_charge(&r->shown, cap - b->cap, false))
		return false;
	b->data = xrealloc(b->data, cap);
	b->cap = cap;
	return true;
}

/*
 * A body that is refused has to be read to its end before that can be said; one that goes on and on
 * is cut off.
 */
static enum MHD_Result take_body(struct request *r, const char *data, size_t len)
{
	struct door *d = r->door;
	struct buf *b = &r->shown.body;
	if (!r->refusal && b->len + len > d->options.max_body)
		r->refusal = MHD_HTTP_CONTENT_TOO_LARGE;
	else if (!r->refusal && !make_body_room(r, len))
		r->refusal = MHD_HTTP_SERVICE_UNAVAILABLE;
	if (!r->refusal) {
		buf_put(b, data, len);
		return MHD_YES;
	}
	buf_free(b);
	r->thrown += len;
	return r->thrown > d->options.max_body ? MHD_NO : MHD_YES;
}

/* Answered meanwhile, or held from now on. */
static enum MHD_Result hold_or_send(struct request *r)
{
	struct door *d = r->door;
	pthread_mutex_lock(&d->lock);
	bool answered = r->state == STATE_ANSWERED;
	if (!answered) {
		r->suspended = true;
		MHD_suspend_connection(r->conn);
	}
	pthread_mutex_unlock(&d->lock);
	return answered ? send_answer(r) : MHD_YES;
}

static enum MHD_Result take_end(struct request *r)
{
	struct door *d = r->door;
	if (r->refusal) {
		turn_away(r, r->refusal);
		return send_answer(r);
	}
	pthread_mutex_lock(&d->lock);
	r->state = STATE_HELD;
	pthread_mutex_unlock(&d->lock);
	memset(r->shown.body.data + r->shown.body.len, 0, PAD);
	d->options.body(d->options.ctx, &r->shown);
	return hold_or_send(r);
}

/*
 * libmicrohttpd calls this with the head, with each piece of the body, at its end, and once more
 * behind MHD_resume_connection().
 */
static enum MHD_Result on_request(void *ctx, struct MHD_Connection *conn, const char *url,
				  const char *method, const char *version, const char *upload,
				  size_t *upload_len, void **state)
{
	struct request *r = *state;
	(void)ctx, (void)conn, (void)url, (void)version;
	if (state_of(r) == STATE_OPEN) {
		pthread_mutex_lock(&r->door->lock);
		r->state = STATE_READING;
		pthread_mutex_unlock(&r->door->lock);
		take_head(r, method);
		return state_of(r) == STATE_ANSWERED ? send_answer(r) : MHD_YES;
	}
	if (*upload_len > 0) {
		enum MHD_Result result = take_body(r, upload, *upload_len);
		*upload_len = 0;
		return result;
	}
	return state_of(r) == STATE_ANSWERED ? send_answer(r) : take_end(r);
}

/* With the first line; libmicrohttpd decodes the path later, and "%2F" would be a slash. */
static void *on_first_line(void *ctx, const char *uri, struct MHD_Connection *conn)
{
	const struct server *s = ctx;
	struct door *d = s->door;
	struct request *r = xcalloc(1, sizeof(*r));
	r->door = d;
	r->server = s;
	r->conn = conn;
	r->client =
		MHD_get_connection_info(conn, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
	r->shown.begun_us = clock_mono_us();
	r->shown.path = xstrdup(uri);
	char *mark = strchr(r->shown.path, '?');
	r->shown.query = mark ? mark + 1 : r->shown.path + strlen(r->shown.path);
	if (mark)
		*mark = '\0';
	pthread_mutex_lock(&d->lock);
	r->client->request = r;
	d->nrequests++;
	pthread_mutex_unlock(&d->lock);
	return r;
}

/* Its answer was sent, or its client has gone. */
static void on_gone(void *ctx, struct MHD_Connection *conn, void **state,
		    enum MHD_RequestTerminationCode why)
{
	struct request *r = *state;
	(void)ctx, (void)conn, (void)why;
	if (!r)
		return;
	struct door *d = r->door;
	pthread_mutex_lock(&d->lock);
	r->client->request = NULL;
	r->client->since_us = clock_mono_us();
	d->nrequests--;
	pthread_mutex_unlock(&d->lock);
	atomic_fetch_sub(&d->memory, r->charged);
	buf_free(&r->shown.body);
	buf_free(&r->answer.body);
	free(r->shown.path);
	free(r);
	*state = NULL;
}

/* --- who is too slow --- */

/* Past libmicrohttpd, which can not answer before it has all of the body. */
static void say_late(const struct door *d, struct client *c)
{
	struct door_answer a = {.status = MHD_HTTP_REQUEST_TIMEOUT};
	struct buf out = {0};
	d->options.refuse(d->options.ctx, &c->request->shown, a.status, &a);
	buf_printf(&out,
		   "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n"
		   "Content-Type: %s\r\nContent-Length: %zu\r\n\r\n",
		   a.type, a.body.len);
	buf_put(&out, a.body.data, a.body.len);
	if (!d->options.certificate_file)
		(void)!send(c->fd, out.data, out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	buf_free(&out);
	buf_free(&a.body);
}

static void sweep_client(const struct door *d, struct client *c, int64_t now)
{
	const struct request *r = c->request;
	if (c->ended)
		return;
	if (!r) {
		if (now - c->since_us > d->options.idle_us)
			client_end(c);
	} else if (r->state == STATE_OPEN || r->state == STATE_READING) {
		if (now - r->shown.begun_us > d->options.request_us) {
			say_late(d, c);
			client_end(c);
		}
	} else if (r->state == STATE_ANSWERED) {
		if (now - c->since_us > d->options.request_us)
			client_end(c);
	}
}

/* --- start and stop --- */

/* libmicrohttpd's own complaints are about clients that went away: nobody can act on them. */
static void PRINTF_LIKE(2, 0) swallow(void *ctx, const char *fmt, va_list args)
{
	(void)ctx;
	(void)fmt;
	(void)args;
}

/* NULL where libmicrohttpd does not take the certificate, or has no threads. */
static struct MHD_Daemon *start_daemon(struct server *s, int fd)
{
	const struct door *d = s->door;
	const struct door_options *o = &d->options;
	unsigned flags = MHD_ALLOW_SUSPEND_RESUME | (s->shown.certificate ? MHD_USE_TLS : 0) |
			 (MHD_is_feature_supported(MHD_FEATURE_EPOLL) == MHD_YES
				  ? MHD_USE_EPOLL_INTERNAL_THREAD
				  : MHD_USE_POLL_INTERNAL_THREAD);
	struct MHD_OptionItem more[4] = {{MHD_OPTION_END, 0, NULL}};
	size_t n = 0;
	if (s->shown.certificate) {
		more[n++] =
			(struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0, s->shown.certificate};
		more[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_KEY, 0, s->shown.key};
	}
	if (o->threads > 1) /* a pool of one is refused */
		more[n++] = (struct MHD_OptionItem){MHD_OPTION_THREAD_POOL_SIZE,
						    (intptr_t)o->threads, NULL};
	more[n] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
	return MHD_start_daemon(
		flags, 0, NULL, NULL, on_request, s, MHD_OPTION_EXTERNAL_LOGGER, swallow, NULL,
		MHD_OPTION_NOTIFY_CONNECTION, connection_changed, s, MHD_OPTION_NOTIFY_COMPLETED,
		on_gone, s, MHD_OPTION_URI_LOG_CALLBACK, on_first_line, s, MHD_OPTION_LISTEN_SOCKET,
		fd, MHD_OPTION_CONNECTION_LIMIT, (o->connections + SPARE) * MAX(o->threads, 1u),
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MEMORY_PER_CONNECTION, MHD_OPTION_ARRAY,
		more, MHD_OPTION_END);
}

/*
 * Its threads inherit the mask of their creator. libmicrohttpd closes the socket that it is given,
 * also when it does not start, so each has a descriptor of its own.
 */
static bool server_start(struct server *s, struct err *err)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int fd = fcntl(s->door->fd, F_DUPFD_CLOEXEC, 0);
	if (fd >= 0) /* without one libmicrohttpd would open another port */
		s->daemon = start_daemon(s, fd);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (s->daemon)
		return true;
	if (s->shown.certificate)
		return err_set(err, ERR_CONFIG,
			       "gateway.certificate_file, gateway.key_file: no certificate and its "
			       "key in PEM, or no TLS, thread or descriptor for libmicrohttpd");
	return err_set(err, ERR_FATAL, "%s \"%s\": libmicrohttpd could not start its threads",
		       s->door->options.setting, s->door->options.listen);
}

/* Of a door, with the files as they are now; NULL if they can not be read. */
static struct server *server_new(struct door *d, struct err *err)
{
	struct server *s = xcalloc(1, sizeof(*s));
	s->door = d;
	if (pem_pair_read(&s->shown, d->options.certificate_file, d->options.key_file, err))
		return s;
	free(s);
	return NULL;
}

static void server_free(struct server *s)
{
	if (!s)
		return;
	if (s->daemon)
		MHD_stop_daemon(s->daemon); /* cuts off who is left */
	pem_pair_free(&s->shown);
	free(s);
}

/* --- another certificate --- */

static bool shows_the_same(const struct server *a, const struct server *b)
{
	return a && pem_pair_same(&a->shown, &b->shown);
}

/* Takes s. */
static void give_way(struct door *d, struct server *s)
{
	d->former = d->server;
	d->server = s;
	d->former->leaving = true;
	close(MHD_quiesce_daemon(d->former->daemon));
	log_info("new connections are shown the certificate that is in the file now",
		 F_STR("file", d->options.certificate_file));
}

/* Files that made the server s that does not start, or with NULL can not be read. */
static void stay(struct door *d, struct server *s, int64_t now, const struct err *err)
{
	server_free(d->refused);
	d->refused = s;
	d->again_us = now + AGAIN_US;
	log_error("the certificate of before stays in use", F_STR("error", err->text));
}

static void renew(struct door *d, int64_t now)
{
	struct err err = {0};
	struct server *s = server_new(d, &err);
	d->unread = s ? 0 : d->unread + 1;
	if (s &&
	    (shows_the_same(d->server, s) || (shows_the_same(d->refused, s) && now < d->again_us)))
		server_free(s);
	else if (s && server_start(s, &err))
		give_way(d, s);
	else if (s || d->unread == UNREADABLE)
		stay(d, s, now, &err);
}

static bool is_empty(const struct server *s)
{
	const union MHD_DaemonInfo *info =
		MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);
	return info && info->num_connections == 0;
}

static void sweep_servers(struct door *d, int64_t now)
{
	if (d->former && is_empty(d->former)) {
		server_free(d->former);
		d->former = NULL;
	}
	if (d->former || d->draining || !d->options.certificate_file || now < d->renew_us)
		return;
	d->renew_us = now + RENEW_US;
	renew(d, now);
}

void door_sweep(struct door *d)
{
	int64_t now = clock_mono_us();
	pthread_mutex_lock(&d->lock);
	for (struct client *c = d->clients; c; c = c->next)
		sweep_client(d, c, now);
	pthread_mutex_unlock(&d->lock);
	sweep_servers(d, now);
}

/* --- the door --- */

static bool start(struct door *d, struct err *err)
{
	d->server = server_new(d, err);
	if (!d->server || (d->fd = listen_open(d->options.setting, d->options.listen, err)) < 0)
		return false;
	d->port = listen_port(d->fd);
	return server_start(d->server, err);
}

void door_close(struct door *d)
{
	if (!d)
		return;
	server_free(d->former);
	server_free(d->server);
	server_free(d->refused);
	if (d->fd >= 0)
		close(d->fd);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

struct door *door_open(const struct door_options *options, struct err *err)
{
	struct door *d = xcalloc(1, sizeof(*d));
	d->options = *options;
	d->fd = -1;
	pthread_mutex_init(&d->lock, NULL);
	if (start(d, err))
		return d;
	door_close(d);
	return NULL;
}

unsigned door_port(const struct door *d)
{
	return d->port;
}

bool door_drain(struct door *d)
{
	pthread_mutex_lock(&d->lock);
	bool first = !d->draining;
	d->draining = true;
	size_t left = d->nrequests;
	pthread_mutex_unlock(&d->lock);
	if (first) {
		close(MHD_quiesce_daemon(d->server->daemon));
		close(d->fd);
		d->fd = -1;
	}
	return left == 0;
}

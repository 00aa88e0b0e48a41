/*
 * httpd.c - the HTTP endpoint, on libmicrohttpd; the only file that includes its header.
 *
 * Not a web server: a fixed list of paths, each a function that fills a buffer. There is no state
 * per request beyond what libmicrohttpd keeps, no query, no upload, nothing of the request in the
 * answer (so nothing to escape), and no path by which a client could change anything.
 *
 *   socket (ours) -> thread -> answer() -> may_ask() -> route.serve(ctx, buf) -> response takes
 *                                                                                 the bytes
 *
 * The socket is opened by io/listen.c, not by libmicrohttpd, whose only answer to "address in use"
 * is NULL and a line on stderr.
 *
 * Whoever does not ask must not keep out who does: idle clients, half heads, readers that do not
 * read, any number of them. At its limit of connections libmicrohttpd stops accepting, and a probe
 * would wait in the backlog until one of them times out. So room is made before: with each new
 * connection, and each answer, those that were silent for longest are ended until the others are
 * few enough and their answers small enough. A client is heard when it connects and with each
 * request; that it reads does not count, so that a slow reader is not safe for ever.
 *
 *   connected --> kept --request--> kept             KEPT_MAX, whose last answers are ANSWERS_MAX
 *                  '--- silent for longest --> ended     shutdown(2), which libmicrohttpd notices
 *                                                '--> closed
 *
 * Bounds: CONNECTIONS_MAX connections with those that are ended and not yet closed; 10 s without
 * traffic end one; 32 KiB of memory for the head of a request, UPLOAD_MAX for a body that nobody
 * wants. A request that takes longer than REQUEST_US (a head that comes byte by byte, an answer
 * that is read so) is ended when the next client comes: until then it is in nobody's way.
 *
 * The token is read from its file for each request, so that a new one counts at once, and a file
 * that is mounted late does no harm; it is compared in a time that does not depend on where it
 * differs. While the file can not be read, or is empty, nobody is let in.
 *
 * Thread: one, libmicrohttpd's own, with every signal blocked so that the worker's signals find the
 * worker. Callbacks run there, and the table of clients belongs to it. start and stop belong to the
 * main thread. Failure: at start an error of class CONFIG; afterwards a client sees its connection
 * end, the worker sees nothing.
 */
#include "io/httpd.h"

#include <assert.h>
#include <errno.h>
#include <microhttpd.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "core/config.h"
#include "io/listen.h"

/*
 * KEPT_MAX is lower than CONNECTIONS_MAX by more than libmicrohttpd takes on until it has closed
 * what was ended: eleven a turn, in the turn at hand and the next (0.9.75 and 1.0.1: MHD_epoll() in
 * daemon.c). A burst that overflows the backlog has to wait a second, for its SYN to be sent again.
 */
#define SETTING "http.listen"
enum { CONNECTIONS_MAX = 128, KEPT_MAX = 96 };
enum { IDLE_SECONDS = 10, MEMORY_PER_CONNECTION = 32 * 1024, ANSWERS_MAX = 16 * 1024 * 1024 };
enum { UPLOAD_MAX = 64 * 1024 };
#define REQUEST_US (15 * US_PER_S)

/* A place for a connection: free, kept (both flags), or ended and not yet closed. */
struct client {
	bool used, kept;
	int fd;
	uint64_t heard; /* a number that grows: the lowest was silent for longest */
	int64_t heard_us;
	size_t answer; /* bytes of the last one, which may be on its way still */
	size_t upload; /* bytes of the body of the request at hand */
};

struct httpd {
	struct MHD_Daemon *daemon;
	struct httpd_options options; /* borrowed */
	unsigned port;
	bool token_failed; /* its file can not be read, and that was said */
	struct client clients[CONNECTIONS_MAX];
	uint64_t heard; /* the last number given */
};

/* --- clients --- */

/* Its unsent answer goes with it: a peer that does not read would leave that to the kernel. */
static void client_end(struct client *c)
{
	struct linger at_once = {.l_onoff = 1};
	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	shutdown(c->fd, SHUT_RDWR);
	c->kept = false;
}

/* Those whose request takes too long. */
static void end_late(struct httpd *h, int64_t now_us)
{
	for (struct client *c = h->clients; c < h->clients + CONNECTIONS_MAX; c++)
		if (c->kept && now_us - c->heard_us > h->options.request_us)
			client_end(c);
}

struct crowd {
	size_t n, bytes;       /* of their answers */
	struct client *silent; /* for longest */
};

/* Those who are kept, and have an answer of that size or larger. */
static struct crowd crowd_of(struct httpd *h, size_t answer)
{
	struct crowd all = {0};
	for (struct client *c = h->clients; c < h->clients + CONNECTIONS_MAX; c++) {
		if (!c->kept || c->answer < answer)
			continue;
		all.n++;
		all.bytes += c->answer;
		if (all.silent == NULL || c->heard < all.silent->heard)
			all.silent = c;
	}
	return all;
}

/* Whoever was heard last stays. */
static void make_room(struct httpd *h)
{
	struct crowd all, answered;
	while ((all = crowd_of(h, 0)).n > KEPT_MAX)
		client_end(all.silent);
	while ((answered = crowd_of(h, 1)).n > 1 && answered.bytes > ANSWERS_MAX)
		client_end(answered.silent);
}

/* Last in the row of those who may be ended. */
static void client_heard(struct httpd *h, struct client *c, size_t answer)
{
	c->heard = ++h->heard;
	c->heard_us = clock_mono_us();
	c->answer = answer;
	c->upload = 0;
	end_late(h, c->heard_us);
	make_room(h);
}

/*
 * libmicrohttpd calls this once when it has accepted a connection and once before it closes it, so
 * fd is open in between. There is a free place: its limit is the size of the table.
 */
static void connection_changed(void *ctx, struct MHD_Connection *conn, void **place,
			       enum MHD_ConnectionNotificationCode what)
{
	struct httpd *h = ctx;
	struct client *c = h->clients;
	if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
		c = *place;
		*c = (struct client){0};
		return;
	}
	while (c < h->clients + CONNECTIONS_MAX && c->used)
		c++;
	assert(c < h->clients + CONNECTIONS_MAX);
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD);
	*c = (struct client){.used = true, .kept = true, .fd = info->connect_fd};
	*place = c;
	client_heard(h, c, 0);
}

/* --- answering --- */

static struct client *client_of(struct MHD_Connection *conn)
{
	return MHD_get_connection_info(conn, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

/* Takes the bytes of body. header, with its value, is one more; NULL: none. */
static enum MHD_Result respond(struct httpd *h, struct MHD_Connection *conn, unsigned status,
			       const char *content_type, struct buf *body, const char *header,
			       const char *value)
{
	client_heard(h, client_of(conn), body->len);
	struct MHD_Response *response =
		MHD_create_response_from_buffer(body->len, body->data, MHD_RESPMEM_MUST_FREE);
	if (response == NULL) {
		buf_free(body);
		return MHD_NO;
	}
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
	MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
	if (header != NULL)
		MHD_add_response_header(response, header, value);
	enum MHD_Result rc = MHD_queue_response(conn, status, response);
	MHD_destroy_response(response);
	return rc;
}

static const char plain[] = "text/plain; charset=utf-8";

/* Says what there is, for whoever looks by hand. */
static enum MHD_Result answer_not_found(struct httpd *h, struct MHD_Connection *conn)
{
	struct buf body = {0};
	buf_puts(&body, "No such path. There are:\n");
	for (size_t i = 0; i < h->options.nroutes; i++)
		buf_printf(&body, "%s\n", h->options.routes[i].path);
	return respond(h, conn, MHD_HTTP_NOT_FOUND, plain, &body, NULL, NULL);
}

static enum MHD_Result answer_wrong_method(struct httpd *h, struct MHD_Connection *conn)
{
	struct buf body = {0};
	buf_puts(&body, "Only GET and HEAD are answered here.\n");
	return respond(h, conn, MHD_HTTP_METHOD_NOT_ALLOWED, plain, &body, MHD_HTTP_HEADER_ALLOW,
		       "GET, HEAD");
}

/* --- the token --- */

/* In a time that depends on the lengths alone. */
static bool same_text(const char *given, const char *wanted)
{
	size_t n = strlen(given), m = strlen(wanted);
	volatile unsigned char differs = n != m;
	for (size_t i = 0; i < n; i++)
		differs |= (unsigned char)(given[i] ^ wanted[m ? i % m : 0]);
	return !differs;
}

/* NULL: there is none to compare with, which is said once. The caller frees it. */
static char *read_token(struct httpd *h)
{
	struct err err = {0};
	char *token = config_secret(NULL, h->options.token_file, &err);
	if (token != NULL && token[0] == '\0') {
		err_set(&err, ERR_CONFIG, "%s: is empty", h->options.token_file);
		free(token);
		token = NULL;
	}
	if (token == NULL && !h->token_failed)
		log_error("nobody may read metrics and status until http.token_file has a token",
			  F_STR("error", err.text));
	else if (token != NULL && h->token_failed)
		log_info("http.token_file has a token again");
	h->token_failed = token == NULL;
	return token;
}

/* "Authorization: Bearer TOKEN" */
static bool may_ask(struct httpd *h, struct MHD_Connection *conn)
{
	static const char scheme[] = "Bearer ";
	if (h->options.token_file == NULL)
		return true;
	const char *given =
		MHD_lookup_connection_value(conn, MHD_HEADER_KIND, MHD_HTTP_HEADER_AUTHORIZATION);
	char *token = read_token(h);
	bool may = token != NULL && given != NULL &&
		   strncasecmp(given, scheme, strlen(scheme)) == 0 &&
		   same_text(given + strlen(scheme), token);
	if (token != NULL)
		explicit_bzero(token, strlen(token));
	free(token);
	return may;
}

static enum MHD_Result answer_unauthorized(struct httpd *h, struct MHD_Connection *conn)
{
	struct buf body = {0};
	buf_puts(&body, "This wants a token (http.token_file): Authorization: Bearer TOKEN\n");
	return respond(h, conn, MHD_HTTP_UNAUTHORIZED, plain, &body,
		       MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer realm=\"memingest\"");
}

/* --- requests --- */

/*
 * libmicrohttpd calls this when the head of a request is there (*state is NULL), then for each
 * piece of an upload, then once more. A wrong method is answered at once, before any upload; what a
 * GET uploads is thrown away, and ends the connection if it is much (MHD_NO).
 */
static enum MHD_Result answer(void *ctx, struct MHD_Connection *conn, const char *url,
			      const char *method, const char *version, const char *upload,
			      size_t *upload_len, void **state)
{
	struct httpd *h = ctx;
	(void)version;
	(void)upload;
	if (*state == NULL) {
		*state = h;
		if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 &&
		    strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
			return answer_wrong_method(h, conn);
		return MHD_YES;
	}
	if (*upload_len > 0) {
		struct client *c = client_of(conn);
		c->upload += *upload_len;
		*upload_len = 0;
		return c->upload > UPLOAD_MAX ? MHD_NO : MHD_YES;
	}
	for (size_t i = 0; i < h->options.nroutes; i++) {
		const struct httpd_route *route = &h->options.routes[i];
		if (strcmp(url, route->path) != 0)
			continue;
		if (!route->open && !may_ask(h, conn))
			return answer_unauthorized(h, conn);
		struct buf body = {0};
		unsigned status = route->serve(h->options.ctx, &body);
		return respond(h, conn, status, route->content_type, &body, NULL, NULL);
	}
	return answer_not_found(h, conn);
}

/* libmicrohttpd's own complaints are about clients that went away: nobody can act on them. */
static void PRINTF_LIKE(2, 0) swallow(void *ctx, const char *fmt, va_list args)
{
	(void)ctx;
	(void)fmt;
	(void)args;
}

/* 127.0.0.1 where the worker listens everywhere. */
bool httpd_own_address(const char *listen, char *out, size_t size, struct err *err)
{
	static const char *const every[] = {"", "*", "0.0.0.0", "::"};
	struct listen_address a = {0};
	if (strcmp(listen, "off") == 0)
		return err_set(err, ERR_CONFIG,
			       "http.listen is off, so the worker does not answer");
	if (!listen_split(SETTING, listen, &a, err))
		return false;
	if (strcmp(a.port, "0") == 0)
		return err_set(err, ERR_CONFIG,
			       "http.listen says port 0: the worker's log says which one it took");
	for (size_t i = 0; i < ARRAY_LEN(every); i++)
		if (strcmp(a.host, every[i]) == 0)
			snprintf(a.host, sizeof(a.host), "127.0.0.1");
	bool v6 = strchr(a.host, ':') != NULL;
	snprintf(out, size, "%s%s%s:%s", v6 ? "[" : "", a.host, v6 ? "]" : "", a.port);
	return true;
}

/* --- start and stop --- */

/* epoll where the library was built with it. */
static struct MHD_Daemon *start_daemon(struct httpd *h, int fd)
{
	unsigned flags = MHD_is_feature_supported(MHD_FEATURE_EPOLL) == MHD_YES
				 ? MHD_USE_EPOLL_INTERNAL_THREAD
				 : MHD_USE_POLL_INTERNAL_THREAD;
	/* The thread inherits the mask of its creator. */
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	struct MHD_Daemon *daemon = MHD_start_daemon(
		flags, 0, NULL, NULL, answer, h, MHD_OPTION_EXTERNAL_LOGGER, swallow, NULL,
		MHD_OPTION_NOTIFY_CONNECTION, connection_changed, h, MHD_OPTION_LISTEN_SOCKET, fd,
		MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
		MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MEMORY_PER_CONNECTION, MHD_OPTION_END);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return daemon;
}

/* An address that cannot be had is the config's mistake. */
struct httpd *httpd_start(const struct httpd_options *options, struct err *err)
{
	int fd = listen_open(SETTING, options->listen, err);
	if (fd < 0)
		return NULL;
	struct httpd *h = xcalloc(1, sizeof(*h));
	h->options = *options;
	if (h->options.request_us == 0)
		h->options.request_us = REQUEST_US;
	h->port = listen_port(fd);
	h->daemon = start_daemon(h, fd);
	if (h->daemon == NULL) {
		err_set(err, ERR_FATAL,
			"http.listen \"%s\": libmicrohttpd could not start its thread",
			options->listen);
		free(h);
		return NULL;
	}
	return h;
}

unsigned httpd_port(const struct httpd *h)
{
	return h->port;
}

void httpd_stop(struct httpd *h)
{
	if (h == NULL)
		return;
	MHD_stop_daemon(h->daemon); /* waits for its thread, closes the socket */
	free(h);
}

const char *httpd_library_version(void)
{
	return MHD_get_version();
}

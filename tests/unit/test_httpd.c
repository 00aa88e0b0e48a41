/*
 * test_httpd.c - the HTTP endpoint, spoken to over plain sockets so that every byte of the answer
 * is seen.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "io/httpd.h"
#include "unit.h"

static atomic_int served;

static unsigned serve_text(void *ctx, struct buf *body)
{
	atomic_fetch_add(&served, 1);
	buf_puts(body, ctx);
	return 200;
}

static unsigned serve_unready(void *ctx, struct buf *body)
{
	(void)ctx;
	buf_puts(body, "not yet\n");
	return 503;
}

enum { BIG = 1024 * 1024 };
static unsigned serve_big(void *ctx, struct buf *body)
{
	(void)ctx;
	memset(buf_take(body, BIG), 'x', BIG);
	return 200;
}

static unsigned serve_empty(void *ctx, struct buf *body)
{
	(void)ctx;
	(void)body;
	return 200;
}

static const struct httpd_route routes[] = {
	{"/livez", "text/plain", true, serve_text},
	{"/big", "text/plain", false, serve_big},
	{"/metrics", "text/plain; version=0.0.4; charset=utf-8", false, serve_text},
	{"/readyz", "text/plain", true, serve_unready},
	{"/empty", "application/json", false, serve_empty},
};
static char hello[] = "hello\n";

static struct httpd *try_to_start(const char *listen, const char *token_file, int64_t request_us,
				  struct err *err)
{
	const struct httpd_options options = {.listen = listen,
					      .routes = routes,
					      .nroutes = ARRAY_LEN(routes),
					      .ctx = hello,
					      .token_file = token_file,
					      .request_us = request_us};
	return httpd_start(&options, err);
}

static struct httpd *start(const char *listen)
{
	struct err err;
	struct httpd *h = try_to_start(listen, NULL, 0, &err);
	ck_assert_msg(h != NULL, "%s", h == NULL ? err.text : "");
	return h;
}

/* Sends the text, reads until the server closes. The caller frees. */
static char *talk(const char *host, unsigned port, const char *request)
{
	char service[8];
	snprintf(service, sizeof(service), "%u", port);
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *info = NULL;
	ck_assert_int_eq(getaddrinfo(host, service, &hints, &info), 0);
	int fd = socket(info->ai_family, SOCK_STREAM, 0);
	ck_assert_int_eq(connect(fd, info->ai_addr, info->ai_addrlen), 0);
	freeaddrinfo(info);
	ck_assert_int_eq(send(fd, request, strlen(request), MSG_NOSIGNAL),
			 (ssize_t)strlen(request));
	char *answer = calloc(1, 65536);
	for (ssize_t n, len = 0; (n = recv(fd, answer + len, (size_t)(65535 - len), 0)) > 0;)
		len += n;
	close(fd);
	return answer;
}

static void expect(struct httpd *h, const char *request, const char *status, const char *part)
{
	char full[512];
	snprintf(full, sizeof(full), "%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		 request);
	char *answer = talk("127.0.0.1", httpd_port(h), full);
	ck_assert_msg(strncmp(answer, status, strlen(status)) == 0, "%s: %s", request, answer);
	ck_assert_msg(strstr(answer, part) != NULL, "%s: no \"%s\" in %s", request, part, answer);
	free(answer);
}

/* Each route answers with its own status, content type and body; a query changes nothing. */
START_TEST(all_routes)
{
	struct httpd *h = start("127.0.0.1:0");
	ck_assert_uint_gt(httpd_port(h), 0);
	expect(h, "GET /metrics", "HTTP/1.1 200", "\r\n\r\nhello\n");
	expect(h, "GET /metrics", "HTTP/1.1 200",
	       "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n");
	expect(h, "GET /metrics?x=1", "HTTP/1.1 200", "\r\n\r\nhello\n");
	expect(h, "GET /readyz", "HTTP/1.1 503", "\r\n\r\nnot yet\n");
	expect(h, "GET /empty", "HTTP/1.1 200", "Content-Length: 0\r\n");
	httpd_stop(h);
}
END_TEST

/* HEAD has the headers of GET, with the length of its body, and no body. */
START_TEST(head_has_no_body)
{
	struct httpd *h = start("127.0.0.1:0");
	char *answer = talk("127.0.0.1", httpd_port(h),
			    "HEAD /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
	ck_assert_ptr_nonnull(strstr(answer, "Content-Length: 6\r\n"));
	ck_assert_ptr_null(strstr(answer, "hello"));
	free(answer);
	httpd_stop(h);
}
END_TEST

/* Other methods are refused with Allow, before their body is read, and never reach a route. */
START_TEST(other_methods)
{
	struct httpd *h = start("127.0.0.1:0");
	int before = atomic_load(&served);
	expect(h, "DELETE /metrics", "HTTP/1.1 405", "Allow: GET, HEAD\r\n");
	expect(h, "PUT /nowhere", "HTTP/1.1 405", "Allow: GET, HEAD\r\n");
	char *answer = talk("127.0.0.1", httpd_port(h),
			    "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 999999\r\n\r\n");
	ck_assert_int_eq(strncmp(answer, "HTTP/1.1 405", 12), 0);
	free(answer);
	ck_assert_int_eq(atomic_load(&served), before);
	httpd_stop(h);
}
END_TEST

/* An unknown path gets the list of paths, and nothing of what was asked for. */
START_TEST(unknown_path)
{
	struct httpd *h = start("127.0.0.1:0");
	expect(h, "GET /", "HTTP/1.1 404", "/metrics\n/readyz\n");
	expect(h, "GET /metrics/", "HTTP/1.1 404", "/metrics\n");
	char *answer = talk("127.0.0.1", httpd_port(h), "GET /secret?y=secret HTTP/1.0\r\n\r\n");
	ck_assert_ptr_nonnull(strstr(answer, " 404 "));
	ck_assert_ptr_null(strstr(answer, "secret"));
	free(answer);
	httpd_stop(h);
}
END_TEST

/* A body that a GET brings along is thrown away and the answer is the same. */
START_TEST(get_with_body)
{
	struct httpd *h = start("127.0.0.1:0");
	char *answer = talk("127.0.0.1", httpd_port(h),
			    "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: "
			    "close\r\nContent-Length: 4\r\n\r\nabcd");
	ck_assert_ptr_nonnull(strstr(answer, "\r\n\r\nhello\n"));
	free(answer);
	httpd_stop(h);
}
END_TEST

/* The name localhost, IPv6 where there is any, and every address. */
START_TEST(listen_forms)
{
	static const char *const forms[] = {"localhost:0", "127.0.0.1:0", ":0", "*:0", "0.0.0.0:0"};
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		struct httpd *h = start(forms[i]);
		expect(h, "GET /metrics", "HTTP/1.1 200", "hello");
		httpd_stop(h);
	}
	struct err err;
	struct httpd *h = try_to_start("[::1]:0", NULL, 0, &err);
	if (h == NULL) {
		ck_assert_ptr_nonnull(strstr(err.text, "[::1]:0")); /* a machine without IPv6 */
		return;
	}
	char *answer = talk("::1", httpd_port(h), "GET /metrics HTTP/1.0\r\n\r\n");
	ck_assert_ptr_nonnull(strstr(answer, "hello"));
	free(answer);
	httpd_stop(h);
}
END_TEST

/* What cannot be listened on is a mistake of the config and the message has the address. */
START_TEST(bad_addresses)
{
	static const char *const bad[] = {"",
					  "localhost",
					  "127.0.0.1:",
					  "127.0.0.1:x",
					  "127.0.0.1:70000",
					  "127.0.0.1:-1",
					  "::1:9464",
					  "127.0.0.1:80x",
					  "203.0.113.7:0"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct err err;
		ck_assert_msg(try_to_start(bad[i], NULL, 0, &err) == NULL, "%s", bad[i]);
		ck_assert_int_eq(err.class, ERR_CONFIG);
		ck_assert_msg(strstr(err.text, bad[i]) != NULL, "%s", err.text);
	}
}
END_TEST

/* A port that is taken is named, and is free again after the stop. */
START_TEST(address_in_use)
{
	struct err err;
	char listen[32];
	struct httpd *h = start("127.0.0.1:0");
	snprintf(listen, sizeof(listen), "127.0.0.1:%u", httpd_port(h));
	ck_assert_ptr_null(try_to_start(listen, NULL, 0, &err));
	ck_assert_int_eq(err.class, ERR_CONFIG);
	ck_assert_ptr_nonnull(strstr(err.text, listen));
	ck_assert_ptr_nonnull(strstr(err.text, "in use"));
	httpd_stop(h);
	h = start(listen);
	httpd_stop(h);
	httpd_stop(NULL);
}
END_TEST

static void *getter(void *arg)
{
	struct httpd *h = arg;
	for (int i = 0; i < 25; i++)
		expect(h, "GET /metrics", "HTTP/1.1 200", "hello");
	return NULL;
}

/* Many clients at once, each answered in full. */
START_TEST(concurrent_gets)
{
	struct httpd *h = start("127.0.0.1:0");
	pthread_t threads[8];
	int before = atomic_load(&served);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, getter, h), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	ck_assert_int_eq(atomic_load(&served) - before, 200);
	ck_assert_int_gt((int)strlen(httpd_library_version()), 0);
	httpd_stop(h);
}
END_TEST

/* --- clients that do no good --- */

static int connect_to(struct httpd *h)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_port = htons((uint16_t)httpd_port(h))};
	struct timeval patience = {.tv_sec = 2};
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)); /* connect(2) too */
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	ck_assert_msg(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0, "connect: %s",
		      strerror(errno));
	return fd;
}

static bool say(int fd, const char *text)
{
	return send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text);
}

/* A probe like that of Kubernetes: a connection of its own, and two seconds of patience. */
static void probe(struct httpd *h)
{
	char answer[512] = "";
	int fd = connect_to(h);
	ck_assert(say(fd, "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
	ssize_t n = recv(fd, answer, sizeof(answer) - 1, 0);
	ck_assert_msg(n > 0 && strncmp(answer, "HTTP/1.1 200", 12) == 0, "no answer: %s",
		      n < 0 ? strerror(errno) : answer);
	close(fd);
}

static void probe_for_a_while(struct httpd *h)
{
	for (int i = 0; i < 10; i++) {
		probe(h);
		poll(NULL, 0, 100);
	}
}

static int open_descriptors(void)
{
	int n = 0;
	DIR *dir = opendir("/proc/self/fd");
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* The clients are gone, and so is what the server had of them. */
static void nothing_leaks(struct httpd *h, int *clients, size_t n, int before)
{
	for (size_t i = 0; i < n; i++)
		close(clients[i]);
	while (open_descriptors() > before) /* until Check ends this */
		poll(NULL, 0, 10);
	probe(h);
	httpd_stop(h);
}

enum { CLIENTS = 500, LIMIT = 128 };

/*
 * Hundreds of clients that connect and say that much (nothing; half a head; a request for a large
 * answer that they do not read) do not keep a probe waiting, at no time; what the server holds of
 * them is bounded.
 */
START_TEST(useless_clients)
{
	static const char *const texts[] = {"", "GET /livez HTTP/1.1\r\nHos",
					    "GET /big HTTP/1.1\r\nHost: x\r\n\r\n"};
	struct httpd *h = start("127.0.0.1:0");
	int clients[CLIENTS], before = open_descriptors();
	for (int i = 0; i < CLIENTS; i++) {
		clients[i] = connect_to(h);
		say(clients[i], texts[_i]);
		if (i % 20 == 0)
			probe(h);
	}
	probe_for_a_while(h);
	ck_assert_int_le(open_descriptors() - before - CLIENTS, _i == 2 ? 16 : LIMIT);
	nothing_leaks(h, clients, CLIENTS, before);
}
END_TEST

static atomic_bool enough;

/* By a reset: connections that closed in order would use up the ports of this machine. */
static void *come_and_go(void *arg)
{
	struct linger reset = {.l_onoff = 1};
	while (!atomic_load(&enough)) {
		int fd = connect_to(arg);
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(fd);
	}
	return NULL;
}

/* Neither do clients that connect and leave, again and again. */
START_TEST(fleeting_clients)
{
	struct httpd *h = start("127.0.0.1:0");
	int before = open_descriptors();
	pthread_t threads[2];
	atomic_store(&enough, false);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, come_and_go, h), 0);
	probe_for_a_while(h);
	atomic_store(&enough, true);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	nothing_leaks(h, NULL, 0, before);
}
END_TEST

/* One question and the whole answer, which may come in parts. */
static void ask_again(int fd)
{
	char answer[512] = "";
	ck_assert(say(fd, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"));
	for (size_t len = 0; !strstr(answer, "\r\n\r\nhello\n");) {
		ssize_t n = recv(fd, answer + len, sizeof(answer) - 1 - len, 0);
		ck_assert_msg(n > 0, "ended after \"%s\"", answer);
		len += (size_t)n;
	}
}

/*
 * A client that asks now and then over one connection keeps it, while hundreds of silent ones come
 * and are ended.
 */
START_TEST(useful_client)
{
	struct httpd *h = start("127.0.0.1:0");
	int clients[CLIENTS], before = open_descriptors(), useful = connect_to(h);
	for (int i = 0; i < CLIENTS; i++) {
		clients[i] = connect_to(h);
		if (i % 20 == 0) {
			ask_again(useful);
			probe(h); /* all are accepted: only what comes now is newer */
		}
	}
	close(useful);
	nothing_leaks(h, clients, CLIENTS, before);
}
END_TEST

/*
 * A head that comes byte by byte, without end, is heard again and again and never done: after the
 * time for a request it is ended as soon as somebody else comes.
 */
START_TEST(head_byte_by_byte)
{
	struct err err;
	struct httpd *h = try_to_start("127.0.0.1:0", NULL, US_PER_S / 2, &err);
	int before = open_descriptors(), slow = connect_to(h);
	int64_t began_us = clock_mono_us();
	ck_assert(say(slow, "GET /livez HTTP/1.1\r\nX: "));
	while (say(slow, "x")) { /* until Check ends this */
		probe(h);
		poll(NULL, 0, 20);
	}
	ck_assert_int_ge(clock_mono_us() - began_us, US_PER_S / 2);
	nothing_leaks(h, &slow, 1, before);
}
END_TEST

/* A body that nobody wants is thrown away, and not for ever: more than 64 KiB end the connection.
 */
START_TEST(endless_body)
{
	static const char chunk[] = "400\r\n";
	char data[0x400 + 2];
	struct httpd *h = start("127.0.0.1:0");
	int before = open_descriptors(), fd = connect_to(h);
	size_t sent = 0;
	memset(data, 'x', sizeof(data));
	memcpy(data + 0x400, "\r\n", 2);
	ck_assert(say(fd, "GET /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"));
	while (say(fd, chunk) &&
	       send(fd, data, sizeof(data), MSG_NOSIGNAL) == (ssize_t)sizeof(data)) {
		sent += sizeof(data);
		ck_assert_uint_lt(sent, 64 * BIG); /* what the kernel has room for, and more */
	}
	probe(h);
	nothing_leaks(h, &fd, 1, before);
}
END_TEST

/* A head that does not fit into the memory of a connection is refused. */
START_TEST(large_head)
{
	struct httpd *h = start("127.0.0.1:0");
	char *request = calloc(1, 64 * 1024);
	strcpy(request, "GET /livez HTTP/1.1\r\nHost: x\r\nX: ");
	memset(request + strlen(request), 'x', 40 * 1024);
	strcat(request, "\r\n\r\n");
	char *answer = talk("127.0.0.1", httpd_port(h), request);
	ck_assert_msg(strncmp(answer, "HTTP/1.1 431", 12) == 0 || answer[0] == '\0', "%s", answer);
	free(answer);
	free(request);
	probe(h);
	httpd_stop(h);
}
END_TEST

/* --- the token --- */

static char token_path[64];

static void write_token(const char *text)
{
	FILE *f = fopen(token_path, "w");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

/* Status of a GET with that header. */
static int asked(struct httpd *h, const char *path, const char *header)
{
	char request[512];
	int status = 0;
	snprintf(request, sizeof(request),
		 "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n", path, header);
	char *answer = talk("127.0.0.1", httpd_port(h), request);
	ck_assert_msg(sscanf(answer, "HTTP/1.1 %d", &status) == 1, "%s", answer);
	ck_assert_msg(!strstr(answer, "open sesame"), "%s", answer);
	ck_assert(status != 401 || strstr(answer, "WWW-Authenticate: Bearer") != NULL);
	free(answer);
	return status;
}

/*
 * With a token in a file a route that is not open wants it, whole and nothing but it; a file that
 * changes counts at once, and one that is empty or away lets nobody in. Open routes want nothing.
 */
START_TEST(token)
{
	static const char *const wrong[] = {"",
					    "Authorization: Bearer \r\n",
					    "Authorization: Bearer open sesam\r\n",
					    "Authorization: Bearer open sesameopen sesame\r\n",
					    "Authorization: Bearer open sesamE\r\n",
					    "Authorization: Basic open sesame\r\n",
					    "Authorization: open sesame\r\n",
					    "X-Authorization: Bearer open sesame\r\n"};
	static const char right[] = "authorization: bearer open sesame\r\n";
	struct err err;
	strcpy(token_path, "/tmp/memingest-token-XXXXXX");
	close(mkstemp(token_path));
	struct httpd *h = try_to_start("127.0.0.1:0", token_path, 0, &err);
	ck_assert_int_eq(asked(h, "/metrics", "Authorization: Bearer \r\n"), 401); /* empty */
	write_token("open sesame\n");
	ck_assert_int_eq(asked(h, "/metrics", right), 200);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		ck_assert_msg(asked(h, "/metrics", wrong[i]) == 401, "%s", wrong[i]);
	ck_assert_int_eq(asked(h, "/livez", ""), 200);
	ck_assert_int_eq(asked(h, "/readyz", wrong[1]), 503);
	write_token("another");
	ck_assert_int_eq(asked(h, "/metrics", right), 401);
	ck_assert_int_eq(asked(h, "/metrics", "Authorization: Bearer another\r\n"), 200);
	unlink(token_path);
	ck_assert_int_eq(asked(h, "/metrics", "Authorization: Bearer another\r\n"), 401);
	ck_assert_int_eq(asked(h, "/livez", ""), 200);
	httpd_stop(h);
}
END_TEST

static Suite *httpd_suite(void)
{
	const TTest *const tests[] = {
		all_routes,    head_has_no_body,  other_methods,  unknown_path,    get_with_body,
		listen_forms,  bad_addresses,     address_in_use, concurrent_gets, fleeting_clients,
		useful_client, head_byte_by_byte, endless_body,   large_head,      token};
	Suite *s = suite_create("httpd");
	TCase *t = tcase_create("httpd");
	tcase_set_timeout(t, 30);
	for (size_t i = 0; i < ARRAY_LEN(tests); i++)
		tcase_add_test(t, tests[i]);
	tcase_add_loop_test(t, useless_clients, 0, 3);
	suite_add_tcase(s, t);
	return s;
}
UNIT_SUITE(httpd_suite)

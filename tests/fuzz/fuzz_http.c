/*
 * fuzz_http.c - any bytes from a client, over real connections: to the HTTP port of a worker
 * (httpd.c) and to a gateway's (door.c).
 *
 * The parser is libmicrohttpd's, which is not instrumented: coverage shows our own callbacks alone.
 * What is looked for: our callbacks meet anything that it hands them; what comes back begins as an
 * answer of HTTP, if anything does; and the server answers the next good request at once.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/base.h"
#include "fuzz.h"
#include "io/door.h"
#include "io/httpd.h"

static struct httpd *httpd;
static struct door *door;

static unsigned serve(void *ctx, struct buf *body)
{
	(void)ctx;
	buf_puts(body, "alive\n");
	return 200;
}

static const struct httpd_route routes[] = {
	{.path = "/livez", .content_type = "text/plain", .open = true, .serve = serve}};

/* --- the door --- */

static void answer(struct door_request *r, unsigned status)
{
	struct door_answer a = {.status = status, .type = "text/plain"};
	buf_puts(&a.body, "alive\n");
	door_answer(r, &a);
}

static void head(void *ctx, struct door_request *r)
{
	(void)ctx;
	if (strcmp(r->method, "POST") != 0)
		answer(r, 405);
}

/* The eight bytes behind a body are there, and zero. */
static void body(void *ctx, struct door_request *r)
{
	static const uint8_t zero[8];
	(void)ctx;
	if (memcmp(r->body.data + r->body.len, zero, sizeof(zero)) != 0)
		give_up("body", "nothing stands behind it");
	answer(r, 200);
}

static void turn_down(void *ctx, struct door_request *r, unsigned status, struct door_answer *a)
{
	(void)ctx;
	(void)r;
	*a = (struct door_answer){.status = status, .type = "text/plain"};
}

/* --- clients --- */

static void start(void)
{
	static const struct httpd_options seen = {
		.listen = "127.0.0.1:0", .routes = routes, .nroutes = ARRAY_LEN(routes)};
	static const struct door_options taken = {.setting = "gateway.listen",
						  .listen = "127.0.0.1:0",
						  .threads = 1,
						  .connections = 64,
						  .max_body = 1024,
						  .memory = 1 << 20,
						  .request_us = INT64_C(60000000),
						  .idle_us = INT64_C(60000000),
						  .head = head,
						  .body = body,
						  .refuse = turn_down};
	struct err err = {0};
	httpd = httpd_start(&seen, &err);
	door = httpd ? door_open(&taken, &err) : NULL;
	if (!door)
		give_up("no server", err.text);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return 0;
}

/* We close it, with a reset: else each connection would keep a port for a minute. */
static int dial(unsigned port)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons((uint16_t)port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct linger at_once = {.l_onoff = 1};
	struct timeval patience = {.tv_sec = 60};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
		return fd;
	if (errno != EINTR)
		give_up("connect", strerror(errno));
	close(fd);
	return dial(port);
}

/* It may close in the middle of nonsense. */
static int say(unsigned port, const void *data, size_t size)
{
	int fd = dial(port);
	if (size > 0 && send(fd, data, size, MSG_NOSIGNAL) < 0)
		shutdown(fd, SHUT_WR);
	return fd;
}

/*
 * Until that is there, or the server closes; until NULL: what there is now. libFuzzer's clock
 * interrupts.
 */
static const char *hear(int fd, const char *until)
{
	static char heard[64 * 1024];
	size_t len = 0;
	heard[0] = '\0';
	for (ssize_t n = 1; n != 0 && len < sizeof(heard) - 1;) {
		n = recv(fd, heard + len, sizeof(heard) - 1 - len, until ? 0 : MSG_DONTWAIT);
		if (n < 0 && errno != EINTR)
			break;
		len += n > 0 ? (size_t)n : 0;
		heard[len] = '\0';
		if (until && strstr(heard, until))
			break;
	}
	close(fd);
	return heard;
}

/* The first connection is kept open meanwhile: nothing says that its request is over. */
static void ask(unsigned port, const char *good, const uint8_t *data, size_t size)
{
	int fd = say(port, data, size);
	const char *heard = hear(say(port, good, strlen(good)), "alive\n");
	if (strncmp(heard, "HTTP/1.1 200", 12) != 0 || !strstr(heard, "\r\n\r\nalive\n"))
		give_up("a good request is not answered", heard);
	heard = hear(fd, NULL);
	if (heard[0] != '\0' && strncmp(heard, "HTTP/1.", 7) != 0)
		give_up("no answer of HTTP", heard);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!door)
		start();
	ask(httpd_port(httpd), "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", data, size);
	ask(door_port(door), "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", data,
	    size);
	return 0;
}

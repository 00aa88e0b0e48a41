/*
 * fuzz_http.c - any bytes from a client of the HTTP port, over a real connection.
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
#include "io/httpd.h"

static struct httpd *server;

static unsigned serve(void *ctx, struct buf *body)
{
	(void)ctx;
	buf_puts(body, "alive\n");
	return 200;
}

static const struct httpd_route routes[] = {
	{.path = "/livez", .content_type = "text/plain", .open = true, .serve = serve}};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return 0;
}

/* We close it, with a reset: else each connection would keep a port for a minute. */
static int dial(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons((uint16_t)httpd_port(server)),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct linger at_once = {.l_onoff = 1};
	struct timeval second = {.tv_sec = 5};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof(second));
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0)
		give_up("connect", strerror(errno));
	return fd;
}

/* It may close in the middle of nonsense. */
static int say(const void *data, size_t size)
{
	int fd = dial();
	if (size > 0 && send(fd, data, size, MSG_NOSIGNAL) < 0)
		shutdown(fd, SHUT_WR);
	return fd;
}

/* Until that is there, or the server closes; until NULL: what there is now. */
static const char *hear(int fd, const char *until)
{
	static char answer[64 * 1024];
	size_t len = 0;
	answer[0] = '\0';
	for (ssize_t n = 1; n > 0 && len < sizeof(answer) - 1;) {
		n = recv(fd, answer + len, sizeof(answer) - 1 - len, until ? 0 : MSG_DONTWAIT);
		len += n > 0 ? (size_t)n : 0;
		answer[len] = '\0';
		if (until && strstr(answer, until))
			break;
	}
	close(fd);
	return answer;
}

/* The first connection is kept open meanwhile: nothing says that its request is over. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char good[] = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
	static const struct httpd_options options = {
		.listen = "127.0.0.1:0", .routes = routes, .nroutes = ARRAY_LEN(routes)};
	struct err err = {0};
	if (!server)
		server = httpd_start(&options, &err);
	if (!server)
		give_up("httpd_start", err.text);
	int fd = say(data, size);
	const char *answer = hear(say(good, sizeof(good) - 1), "alive\n");
	if (strncmp(answer, "HTTP/1.1 200", 12) != 0 || !strstr(answer, "\r\n\r\nalive\n"))
		give_up("a good request is not answered", answer);
	answer = hear(fd, NULL);
	if (answer[0] != '\0' && strncmp(answer, "HTTP/1.", 7) != 0)
		give_up("no answer of HTTP", answer);
	return 0;
}

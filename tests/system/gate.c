/*
 * gate.c - the gateway as a child process, and a client of it by bare sockets: so that a test may
 * say anything, and break off anywhere.
 */
#include "gate.h"

#include <arpa/inet.h>
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "contract.h"

static const char *asked[1024]; /* the target of the request on that descriptor */

static struct gate *start_at(struct bed *bed, unsigned port, const char *const *args)
{
	struct gate *g = xcalloc(1, sizeof(*g));
	g->port = port;
	bed_set(bed, "gateway.listen", "127.0.0.1:%u", g->port);
	g->process = gateway_start(bed, args);
	worker_ready(g->process);
	return g;
}

struct gate *gate_start(struct bed *bed, const char *const *args)
{
	return start_at(bed, free_port(), args);
}

struct gate *gate_start_again(struct gate *ended)
{
	return start_at(ended->process->bed, ended->port, NULL);
}

void gate_stop(struct gate *g)
{
	worker_stop(g->process);
	free(g);
}

static void put_head(struct gate *g, const struct gate_call *c, struct buf *out)
{
	buf_printf(out, "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n", c->method,
		   c->path);
	if (c->type)
		buf_printf(out, "Content-Type: %s\r\n", c->type);
	if (g->token[0])
		buf_printf(out, "Authorization: Bearer %s\r\n", g->token);
	if (g->idempotency[0])
		buf_printf(out, "Idempotency-Key: %s\r\n", g->idempotency);
	if (c->body)
		buf_printf(out, "Content-Length: %zu\r\n", c->len);
	buf_printf(out, "%s\r\n", c->header ? c->header : "");
}

int gate_begin(struct gate *g, const struct gate_call *c)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)g->port)};
	struct timeval patience = {.tv_sec = 20};
	struct buf request = {0};
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		close(fd);
		return -1;
	}
	put_head(g, c, &request);
	if (c->body)
		buf_put(&request, c->body, c->len);
	/* the server may answer and close before it has read all */
	for (size_t at = 0; at < request.len;) {
		ssize_t n = send(fd, request.data + at, request.len - at, MSG_NOSIGNAL);
		if (n <= 0)
			break;
		at += (size_t)n;
	}
	buf_free(&request);
	ck_assert_uint_lt((size_t)fd, ARRAY_LEN(asked));
	asked[fd] = c->path;
	return fd;
}

unsigned gate_finish(int fd, struct buf *out)
{
	struct buf answer = {0};
	unsigned status = 0;
	char chunk[16384];
	ssize_t n;
	if (fd < 0)
		return 0;
	while ((n = recv(fd, chunk, sizeof(chunk), 0)) > 0)
		buf_put(&answer, chunk, (size_t)n);
	close(fd);
	if (sscanf(buf_cstr(&answer), "HTTP/1.%*d %u", &status) != 1)
		status = 0;
	if (status != 0)
		contract_heard(asked[fd], status, buf_cstr(&answer));
	if (out)
		buf_put(out, answer.data, answer.len);
	buf_free(&answer);
	return status;
}

unsigned gate_call(struct gate *g, const struct gate_call *c, struct buf *out)
{
	return gate_finish(gate_begin(g, c), out);
}

unsigned gate_post(struct gate *g, const char *stream, const char *query, const char *body,
		   json_t **answer)
{
	char path[256];
	struct buf out = {0};
	snprintf(path, sizeof(path), "/v1/streams/%s/events%s", stream, query);
	const struct gate_call c = {.method = "POST",
				    .path = path,
				    .type = "application/json",
				    .body = body,
				    .len = strlen(body)};
	unsigned status = gate_call(g, &c, &out);
	const char *json = strstr(buf_cstr(&out), "\r\n\r\n");
	if (answer) {
		*answer = json ? json_loads(json, 0, NULL) : NULL;
		ck_assert_msg(*answer != NULL, "status %u, no JSON: %.2000s", status,
			      buf_cstr(&out));
	}
	buf_free(&out);
	return status;
}

static json_t *find(json_t *at, const char *way)
{
	char words[128], *rest = NULL;
	snprintf(words, sizeof(words), "%s", way);
	for (char *w = strtok_r(words, "/", &rest); w && at; w = strtok_r(NULL, "/", &rest))
		at = json_is_array(at) ? json_array_get(at, strtoul(w, NULL, 10))
				       : json_object_get(at, w);
	return at;
}

int64_t gate_number(json_t *answer, const char *way)
{
	json_t *found = find(answer, way);
	return json_is_integer(found) ? json_integer_value(found) : -1;
}

const char *gate_text(json_t *answer, const char *way)
{
	const char *text = json_string_value(find(answer, way));
	return text ? text : "";
}

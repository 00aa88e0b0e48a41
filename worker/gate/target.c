/*
 * target.c - what a request wants, and whether it may.
 *
 *   path --> route, stream, key     404, 405
 *   token                           401, 403, 429
 *   Content-Type and the like       415
 *   parameters                      400
 *   is the stream ready?            503
 *
 * In this order, so that nobody learns without a token which streams there are; a path that is none
 * is nobody's secret. Looked at twice: when the head is there, so that nothing is read in vain, and
 * when the body is, so that nothing has to be remembered in between.
 *
 * Thread: the door's. Pure but for the rate of a token.
 */
#include "gate/target.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "gate/url.h"

#define BIT(n) (1u << (n))

const struct route routes[ROUTES] = {
	{OPERATION_POST, "POST", "/v1/streams/{stream}/events", "Write events", 0},
	{OPERATION_DELETE, "DELETE", "/v1/streams/{stream}/events/{key}", "Delete what has a key",
	 BIT(REPLY_WRONG_TYPE) | BIT(REPLY_INVALID)},
};

/* clang-format off: one row, one paragraph. */
const struct parameter parameters[PARAMETERS] = {
	[PARAMETER_STREAM] = {"stream", "path", NULL, NULL,
			      "NAME of a [stream.NAME] of the config.",
			      BIT(OPERATION_POST) | BIT(OPERATION_DELETE)},
	[PARAMETER_KEY] = {"key", "path", NULL, NULL,
			   "The fields of the stream's key_schema in their order, a segment each, "
			   "with / between; "
			   "percent-encoded, so that they may have any characters. (A segment that "
			   "is . or .. "
			   "most clients take for a folder: such a key is deleted by an event.)",
			   BIT(OPERATION_DELETE)},
	[PARAMETER_PARTIAL] =
		{"partial", "query", "'true', 'false'", "'false'",
		 "true: of a request with bad events the good ones are taken, and the bad ones are "
		 "named in errors. Else nothing is.",
		 BIT(OPERATION_POST)},
	[PARAMETER_WAIT] = {"wait", "query", "accepted, stored", "accepted",
			    "stored: the answer waits until the database has committed the events.",
			    BIT(OPERATION_POST) | BIT(OPERATION_DELETE)},
	[PARAMETER_TIMEOUT] = {"timeout", "query", NULL, "5s",
			       "How long wait=stored waits, as 5s or 500ms; up to gateway.timeout.",
			       BIT(OPERATION_POST) | BIT(OPERATION_DELETE)},
	[PARAMETER_IDEMPOTENCY] = {"Idempotency-Key", "header", NULL, NULL,
				   "1 to 255 characters of the client's. A request that is "
				   "repeated with it, for a day, "
				   "is applied once, and answered with what became of it.",
				   BIT(OPERATION_POST) | BIT(OPERATION_DELETE)},
};
/* clang-format on */

const struct target_type target_types[TARGET_TYPES] = {
	{"application/json", DESK_JSON},   {"application/x-ndjson", DESK_LINES},
	{"application/jsonl", DESK_LINES}, {"application/avro", DESK_AVRO},
	{"avro/binary", DESK_AVRO},
};

/* --- path --- */

/* Cuts the next segment off, decoded. False: it can not be decoded. */
static bool next_segment(char **rest, struct slice *segment)
{
	char *from = *rest, *slash = strchr(from, '/');
	size_t len = slash ? (size_t)(slash - from) : strlen(from);
	*rest = slash ? slash + 1 : NULL;
	long n = url_decode(from, len, false);
	*segment = (struct slice){(const uint8_t *)from, n < 0 ? 0 : (size_t)n};
	return n >= 0;
}

static bool is_segment(const struct slice *s, const char *text)
{
	return s->len == strlen(text) && memcmp(s->data, text, s->len) == 0;
}

/* The segments of /v1/streams/STREAM/events[/KEY...]; 0: it is another path. */
static size_t cut_path(struct target *t, const char *path, struct slice all[])
{
	static const char *const fixed[] = {"v1", "streams", NULL, "events"};
	size_t n = 0;
	char *rest = path[0] == '/' ? t->path + 1 : NULL;
	while (rest && n < 4 + TARGET_KEYS) {
		if (!next_segment(&rest, &all[n]))
			return 0;
		if (n < ARRAY_LEN(fixed) && fixed[n] && !is_segment(&all[n], fixed[n]))
			return 0;
		if (n == 2 && memchr(all[n].data, '\0', all[n].len)) /* no stream's name */
			return 0;
		n++;
	}
	return rest || n < ARRAY_LEN(fixed) ? 0 : n;
}

/* The stream's name, which may be one that there is not. */
static bool read_path(struct door_request *r, struct target *t, const char **stream,
		      struct door_answer *a)
{
	struct slice all[4 + TARGET_KEYS];
	t->path = xstrdup(r->path);
	size_t n = cut_path(t, r->path, all);
	if (n == 0) {
		reply_say(REPLY_NOT_FOUND, 0, a,
			  "no such path: there are POST /v1/streams/STREAM/events and DELETE "
			  "/v1/streams/STREAM/events/KEY");
		return false;
	}
	*stream = (const char *)all[2].data;
	t->nkeys = n - 4;
	memcpy(t->keys, all + 4, t->nkeys * sizeof(*t->keys));
	t->route = &routes[t->nkeys > 0 ? OPERATION_DELETE : OPERATION_POST];
	if (strcmp(r->method, t->route->method) == 0)
		return true;
	reply_say(REPLY_WRONG_METHOD, 0, a, "this path takes %s alone", t->route->method);
	a->header = "Allow";
	a->value = t->route->method;
	return false;
}

static struct gate_stream *find_stream(struct gate *g, const char *name)
{
	for (size_t i = 0; i < g->nstreams; i++)
		if (strcmp(g->streams[i].stream->config->name, name) == 0)
			return &g->streams[i];
	return NULL;
}

/* --- who it is --- */

static bool check_token(struct gate *g, struct door_request *r, struct target *t,
			const char *stream, struct door_answer *a)
{
	const char *given = door_header(r, "Authorization");
	unsigned wait;
	switch (tokens_check(g->tokens, given, stream, t->name)) {
	case TOKENS_UNKNOWN:
		reply_say(REPLY_UNAUTHORIZED, 0, a,
			  "%s: send Authorization: Bearer TOKEN with one of gateway.token_file",
			  given ? "the token is not known" : "there is no token");
		return false;
	case TOKENS_FORBIDDEN:
		reply_say(REPLY_FORBIDDEN, 0, a,
			  "the token \"%s\" may not write into this stream: its line of "
			  "gateway.token_file says into which",
			  t->name);
		return false;
	case TOKENS_MAY:
		break;
	}
	if ((wait = tokens_spend(g->tokens, t->name, 0)) == 0)
		return true;
	reply_say(REPLY_TOO_FAST, wait, a, "more events a second than the token \"%s\" may write",
		  t->name);
	return false;
}

/* --- what it brings --- */

static bool read_type(struct door_request *r, struct target *t, struct door_answer *a)
{
	const char *type = door_header(r, "Content-Type"), *packed = NULL;
	size_t len = type ? strcspn(type, "; ") : 0;
	packed = door_header(r, "Content-Encoding");
	if (packed && strcasecmp(packed, "identity") != 0) {
		reply_say(
			REPLY_WRONG_TYPE, 0, a,
			"Content-Encoding: bodies are taken as they are; an Avro container may be "
			"packed within");
		return false;
	}
	for (size_t i = 0; i < TARGET_TYPES; i++) {
		if (type && strlen(target_types[i].type) == len &&
		    strncasecmp(target_types[i].type, type, len) == 0) {
			t->format = target_types[i].format;
			return true;
		}
	}
	reply_say(REPLY_WRONG_TYPE, 0, a,
		  "Content-Type: wants application/json, application/x-ndjson or application/avro");
	return false;
}

static bool wrong_parameter(struct door_answer *a, const char *what)
{
	reply_say(REPLY_MALFORMED, 0, a, "%s", what);
	return false;
}

/* "5s", "500ms", "5": up to gateway.timeout. */
static bool read_timeout(const struct gate *g, const char *text, int64_t *us)
{
	char *end;
	double n = strtod(text, &end);
	double unit = strcmp(end, "ms") == 0 ? (double)US_PER_MS : (double)US_PER_S;
	bool known = *end == '\0' || strcmp(end, "s") == 0 || strcmp(end, "ms") == 0;
	if (end == text || !known || !isfinite(n) || n < 0)
		return false;
	*us = (int64_t)MIN(n * unit, (double)g->config->gateway_timeout_us);
	return true;
}

static bool read_parameters(const struct gate *g, struct door_request *r, struct target *t,
			    struct door_answer *a)
{
	bool bad[3];
	char *partial = url_parameter(r->query, parameters[PARAMETER_PARTIAL].name, &bad[0]),
	     *wait = url_parameter(r->query, parameters[PARAMETER_WAIT].name, &bad[1]),
	     *timeout = url_parameter(r->query, parameters[PARAMETER_TIMEOUT].name, &bad[2]);
	bool ok = true;
	t->partial = partial && strcmp(partial, "true") == 0;
	t->waits = wait && strcmp(wait, "stored") == 0;
	t->timeout_us = MIN(5 * US_PER_S, g->config->gateway_timeout_us);
	if (bad[0] || (partial && !t->partial && strcmp(partial, "false") != 0))
		ok = wrong_parameter(a, "partial: wants true or false");
	else if (bad[1] || (wait && !t->waits && strcmp(wait, "accepted") != 0))
		ok = wrong_parameter(a, "wait: wants accepted or stored");
	else if (bad[2] || (timeout && !read_timeout(g, timeout, &t->timeout_us)))
		ok = wrong_parameter(a, "timeout: wants a time as 5s or 500ms");
	free(partial);
	free(wait);
	free(timeout);
	return ok;
}

/* A key is a text of the client's; what it is the key of belongs to the name. */
static bool read_idempotency(const struct gate *g, struct door_request *r, struct target *t,
			     struct door_answer *a)
{
	const char *key = door_header(r, parameters[PARAMETER_IDEMPOTENCY].name);
	size_t len = key ? strlen(key) : 0;
	if (!key)
		return true;
	if (!g->requests)
		return wrong_parameter(a, "Idempotency-Key: is not taken here "
					  "(gateway.requests_topic is empty)");
	for (size_t i = 0; i < len; i++)
		if (key[i] < 0x20 || key[i] > 0x7e)
			len = 0;
	if (len < 1 || len > 255)
		return wrong_parameter(a, "Idempotency-Key: wants 1 to 255 characters of ASCII");
	t->idempotency = xasprintf("%s\n%s\n%s\n%s", t->name, t->route->method,
				   t->stream->stream->config->name, key);
	return true;
}

/* --- is the stream ready --- */

static bool is_ready(struct gate *g, struct target *t, struct door_answer *a)
{
	struct gate_stream *s = t->stream;
	if (atomic_load(&s->ready))
		return true;
	pthread_mutex_lock(&g->lock);
	reply_say(REPLY_BUSY, 5, a, "the stream is not ready: %s",
		  s->trouble ? s->trouble : "it is being looked for");
	pthread_mutex_unlock(&g->lock);
	return false;
}

static bool takes_deletes(const struct target *t, struct door_answer *a)
{
	if (t->stream->stream->key_reader)
		return true;
	reply_say(REPLY_WRONG_METHOD, 0, a,
		  "the stream has no key_schema, so nothing is deleted by its key");
	a->header = "Allow";
	a->value = "POST";
	return false;
}

bool target_read(struct gate *g, struct door_request *r, struct target *t, struct door_answer *a)
{
	const char *stream;
	*t = (struct target){0};
	if (!read_path(r, t, &stream, a) || !check_token(g, r, t, stream, a))
		return false;
	if (!(t->stream = find_stream(g, stream))) {
		reply_say(REPLY_NOT_FOUND, 0, a, "there is no such stream in the config");
		return false;
	}
	if (t->route->operation == OPERATION_POST ? !read_type(r, t, a) : !takes_deletes(t, a))
		return false;
	return read_parameters(g, r, t, a) && read_idempotency(g, r, t, a) && is_ready(g, t, a);
}

void target_free(struct target *t)
{
	free(t->path);
	free(t->idempotency);
}

/*
 * door.h - an HTTP server whose requests bring something: a body, up to a limit, and an answer that
 * may take its time. For the gateway; what only looks is served by httpd.h.
 *
 *   head(r)   the head is there. Either answers at once, or the body is read
 *   body(r)   the body is there. Answers, now or later, from any thread
 *
 * Each request is answered once, by door_answer(), and is gone then.
 */
#pragma once

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"

struct door;

struct door_request {
	const char *method;
	char *path;      /* percent-encoded, without the query */
	char *query;     /* behind the "?", percent-encoded; "" if there is none */
	struct buf body; /* of the handler in body(): 8 zero bytes stand behind it */
	int64_t begun_us;
	void *data; /* the caller's */
};

struct door_answer {
	unsigned status;
	const char *type;           /* of the body */
	struct buf body;            /* taken */
	unsigned retry_s;           /* Retry-After; 0: none */
	const char *header, *value; /* one more, constant texts; NULL: none */
};

struct door_options {
	const char *setting, *listen;            /* "gateway.listen", HOST:PORT */
	const char *certificate_file, *key_file; /* PEM; NULL: no TLS */
	unsigned threads, connections;
	size_t max_body;    /* bytes of one request */
	size_t memory;      /* of all requests and their answers */
	int64_t request_us; /* that head and body, and reading the answer, may take */
	int64_t idle_us;    /* a connection without a request */
	void *ctx;
	void (*head)(void *ctx, struct door_request *r);
	void (*body)(void *ctx, struct door_request *r);
	/* The door itself refuses: too large, too slow, no memory. Fills the answer. */
	void (*refuse)(void *ctx, struct door_request *r, unsigned status, struct door_answer *a);
};

/* Borrows what the options point to. NULL with class CONFIG or FATAL. */
struct door *door_open(const struct door_options *options, struct err *err);
unsigned door_port(const struct door *d);

/* Of a request: valid within head() and body(). NULL: it has none. */
const char *door_header(struct door_request *r, const char *name);
/* Takes the answer's body. */
void door_answer(struct door_request *r, struct door_answer *a);

/*
 * Takes more of the door's memory for a request, given back when it is gone. False: there is none
 * left, unless it must.
 */
bool door_charge(struct door_request *r, size_t bytes, bool must);
size_t door_memory(const struct door *d); /* taken */
size_t door_connections(struct door *d);

/* Ends who is too slow; to be called a few times a second. */
void door_sweep(struct door *d);

/*
 * No new connections from now on; answers say "Connection: close". True once no request is left.
 */
bool door_drain(struct door *d);
/* What is left is cut off; every request must have been answered. NULL is fine. */
void door_close(struct door *d);

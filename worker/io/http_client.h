/*
 * http_client.h - requests over HTTP: several at a time, bounded in time and size. For the schema
 * registry, and for the commands that look at a worker.
 *
 * Owned by one thread, but for wake and stop, which any thread may call.
 */
#pragma once

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"

struct http_client;

struct http_request {
	const char *url;
	const char *post;            /* the body of a POST; NULL: GET */
	const char *accept;          /* media types for Accept, or NULL */
	const char *type;            /* media type of the body, or NULL */
	const char *user;            /* basic authentication, with password; or NULL */
	const char *password;        /* or NULL: empty */
	const char *token;           /* bearer; or NULL */
	const char *ca, *cert, *key; /* files, or NULL */
	int64_t timeout_us;
	size_t max_bytes;

	/* The answer; body is the caller's, and used again if the request is run again. */
	bool answered;  /* some HTTP answer came; else err says why not: RETRY, or CONFIG (TLS) */
	bool too_large; /* it had more than max_bytes: body is cut off */
	long status;
	int64_t retry_after_us; /* what the server asks for; 0: nothing */
	bool connected;         /* it took a new connection, so perhaps another server */
	bool sent;              /* some of the request, so the server may have had it */
	struct buf body;
	struct err err;
	void *transfer; /* the client's own: not NULL while the request is under way */
};

struct http_client *http_client_new(void);    /* for one thread */
void http_client_free(struct http_client *c); /* NULL is fine */

/* All at the same time, until each has its answer or error, or http_client_stop(). */
void http_client_run(struct http_client *c, struct http_request *requests, size_t n);

/*
 * One by one: a request is the client's from http_client_start() until "transfer" is NULL again,
 * which http_client_turn() sees to, or http_client_drop(). The turn waits for nothing.
 */
void http_client_start(struct http_client *c, struct http_request *r);
void http_client_turn(struct http_client *c);
void http_client_drop(struct http_client *c, struct http_request *r);

/* until the deadline, wake or stop, or until a turn has something to do */
void http_client_wait(struct http_client *c, int64_t deadline_us);
/* The same, or until fd is readable. */
void http_client_wait_for(struct http_client *c, int fd, int64_t deadline_us);
void http_client_wake(struct http_client *c); /* ends a wait; any thread */
void http_client_stop(struct http_client *c); /* every call returns soon from then on */
bool http_client_stopped(struct http_client *c);

/* "a b/c" -> "a%20b%2Fc", for one segment of a path. Returns new. */
char *http_escape(const char *segment);
/* The URL without user and password, for people. */
void http_shown_url(const char *url, char *out, size_t size);

const char *http_client_version(void); /* of libcurl at run time */

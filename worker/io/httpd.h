/*
 * httpd.h - the HTTP endpoint for probes, metrics and status: GET and HEAD, read-only, no query.
 * Callbacks run in its thread.
 */
#pragma once

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"

struct httpd;

struct httpd_route {
	const char *path; /* "/metrics" */
	const char *content_type;
	bool open; /* asks for no token */
	/* Fills body, returns the HTTP status. Runs in the HTTP thread. */
	unsigned (*serve)(void *ctx, struct buf *body);
};

struct httpd_options {
	const char *listen; /* "HOST:PORT"; port 0 takes a free one */
	const struct httpd_route *routes;
	size_t nroutes;
	void *ctx;              /* of the routes */
	const char *token_file; /* bearer token of the routes that are not open; NULL: none */
	int64_t request_us;     /* that a request may take; 0: 15 s */
};

/* Borrows what the options point to. NULL with class CONFIG when the address is taken or wrong. */
struct httpd *httpd_start(const struct httpd_options *options, struct err *err);
/*
 * Where a worker with this "listen" answers, seen from the same machine: "0.0.0.0:9464" ->
 * "127.0.0.1:9464". False with class CONFIG when that cannot be known (off, port 0) or it is wrong.
 */
MUST_CHECK bool httpd_own_address(const char *listen, char *out, size_t size, struct err *err);

unsigned httpd_port(const struct httpd *h); /* that it listens on */
void httpd_stop(struct httpd *h);           /* NULL is fine */

/* Of libmicrohttpd at run time, "0.9.75". */
const char *httpd_library_version(void);

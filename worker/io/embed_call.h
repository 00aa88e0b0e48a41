/*
 * embed_call.h - one request for vectors of texts, by OpenAI's protocol: what is sent, what an
 * answer is worth, and whose fault it is when it is worth nothing.
 *
 *   embed_call_new() -> embed_call_put() .. -> embed_call_begin() -> [the request runs]
 *                    -> embed_call_judge() -> vectors, or a fault -> embed_call_free()
 *
 * or embed_once() for one text, which waits. Owned by one thread.
 */
#pragma once

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"
#include "core/config.h"
#include "io/http_client.h"

enum embed_fault {
	EMBED_FINE, /* the vectors are there, all of them */
	EMBED_WAIT, /* busy or out of reach (429, 503, a timeout): the same again later */
	EMBED_ODD,  /* failed within (500), or an answer that is none: perhaps one text's fault */
	EMBED_REFUSED, /* these texts, or one of them (400, 413, 422) */
	EMBED_HALT,    /* an operator has to act (401, 403, 404, another dimension) */
	EMBED_FAULTS,
};

struct embed_call {
	const struct embed_config *config;
	uint32_t dim; /* wanted; 0: whatever the model has */
	bool base64;  /* ask for numbers in base64, which takes a quarter of the bytes */

	size_t n; /* texts put */
	struct http_request http;

	/* The answer. */
	enum embed_fault fault;
	struct err err;     /* what is wrong: the server's words, and what to do */
	struct buf vectors; /* big-endian float4, dim of them for each text, in the texts' order */
	uint32_t got_dim;   /* numbers of each */
	int64_t tokens;     /* what the server counted; 0: it does not say */
	int64_t retry_us;   /* what it asks us to wait; 0: nothing */
	bool too_much;      /* it was, or may have been, the number or the size of the texts */
	/* Private. */
	struct buf body, url;
	char *key;
};

/* Borrows config. dim, base64 as in the struct. */
struct embed_call *embed_call_new(const struct embed_config *config, uint32_t dim, bool base64);
void embed_call_free(struct embed_call *c); /* NULL is fine; not while it runs */

/* One more text, with what goes in front of it; copied. UTF-8, not empty. */
void embed_call_put(struct embed_call *c, const char *prefix, struct slice text);
/* To c->http, for the HTTP client to run. False with EMBED_WAIT: the key's file can not be read. */
MUST_CHECK bool embed_call_begin(struct embed_call *c);
/* The request is over: fills fault and what belongs to it. Returns the fault. */
enum embed_fault embed_call_judge(struct embed_call *c);

/*
 * The vector of one text, got_dim numbers appended to out as big-endian float4; waits, for
 * config->timeout_us at most. dim 0: any. False with class RETRY (the server is away or busy),
 * POISON (it refuses this text) or CONFIG.
 */
MUST_CHECK bool embed_once(const struct embed_config *config, const char *prefix, struct slice text,
			   uint32_t dim, bool normalize, struct buf *out, struct err *err);

const char *embed_fault_name(enum embed_fault fault); /* "fine", "wait", ... */

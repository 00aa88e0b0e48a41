/*
 * target.h - what a request wants: its route, stream, key and parameters, and whether it may.
 */
#pragma once

#include "gate/job.h"

enum { TARGET_KEYS = 32 };

enum operation { OPERATION_POST, OPERATION_DELETE };

/* The routes there are; docs/openapi.yaml is written of the same tables. */
struct route {
	enum operation operation;
	const char *method, *path; /* "{key}" is one segment for each field of the key */
	const char *summary;
	unsigned never; /* answers that it never gives, as bits */
};
enum { ROUTES = 2 };
extern const struct route routes[ROUTES];

struct parameter {
	const char *name, *in;         /* "path", "query" or "header" */
	const char *values, *fallback; /* NULL: any, none */
	const char *help;
	unsigned operations; /* as bits */
};
enum {
	PARAMETER_STREAM,
	PARAMETER_KEY,
	PARAMETER_PARTIAL,
	PARAMETER_WAIT,
	PARAMETER_TIMEOUT,
	PARAMETER_IDEMPOTENCY,
	PARAMETERS
};
extern const struct parameter parameters[PARAMETERS];

struct target_type {
	const char *type;
	enum desk_format format;
};
enum { TARGET_TYPES = 5 };
extern const struct target_type target_types[TARGET_TYPES];

struct target {
	const struct route *route;
	struct gate_stream *stream;
	char name[TOKEN_NAME]; /* whose token it is */
	struct slice keys[TARGET_KEYS];
	size_t nkeys;
	enum desk_format format; /* of a body */
	bool partial, waits;
	int64_t timeout_us;
	char *path;        /* decoded; keys point into it */
	char *idempotency; /* whole name of the request: whose, what, where, and its key; or NULL */
};

/* True: it may go on. Else a says what is wrong. In both cases target_free() is to be called. */
bool target_read(struct gate *g, struct door_request *r, struct target *t, struct door_answer *a);
void target_free(struct target *t);

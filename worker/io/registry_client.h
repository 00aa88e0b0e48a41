/*
 * registry_client.h - requests to a Confluent-compatible schema registry, for registry.c alone.
 *
 * Owned by one thread, but for wake and stop, which any thread may call.
 */
#pragma once

#include <jansson.h>

#include "base/base.h"
#include "base/err.h"
#include "core/config.h"

struct registry_client;

struct registry_reply {
	long status;    /* 200, or 4xx with an error code of the registry's */
	int64_t code;   /* of these: 40403, "schema not found", and the like */
	bool too_large; /* status 200, but more bytes than we take: json is NULL */
	json_t *json;   /* the caller's to json_decref() */
};

struct registry_client *registry_client_new(const struct config *config); /* borrows config */
void registry_client_free(struct registry_client *c);                     /* NULL is fine */

/*
 * GET, or POST of a JSON text. Asks each URL once, beginning with the one that answered last. False
 * with class RETRY when none gave an answer, CONFIG when the last one refused who we are.
 */
MUST_CHECK bool registry_client_ask(struct registry_client *c, const char *path, const char *post,
				    struct registry_reply *reply, struct err *err);

/* Whether one of the URLs last asked answered 404 without a code of a registry's. */
bool registry_client_missed(const struct registry_client *c);

/* until the deadline, wake or stop */
void registry_client_wait(struct registry_client *c, int64_t deadline_us);
void registry_client_wake(struct registry_client *c); /* ends a wait; any thread */
void registry_client_stop(struct registry_client *c); /* every call returns soon from then on */
bool registry_client_stopped(struct registry_client *c);

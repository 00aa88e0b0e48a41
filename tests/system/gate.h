/*
 * gate.h - the gateway as a child process, and a client of it by bare sockets.
 *
 *   struct gate *g = gate_start(bed, NULL);
 *   ck_assert_int_eq(gate_post(g, "ledger", "", body, &answer), 202);
 */
#pragma once

#include <jansson.h>

#include "bed.h"

struct gate {
	struct worker *process; /* worker_stop() and the like are for it, too */
	unsigned port;
	char token[64];       /* sent if not empty */
	char idempotency[64]; /* the same */
};

/* "memingest gateway", until /readyz says 200. args as worker_start(). */
struct gate *gate_start(struct bed *bed, const char *const *args);
/* The same at the place of one that has ended: to Kafka it is the same gateway. */
struct gate *gate_start_again(struct gate *ended);
void gate_stop(struct gate *g); /* must exit 0 */

struct gate_call {
	const char *method, *path, *type; /* type NULL: none is sent */
	const char *header;               /* whole lines, each with its end; NULL: none */
	const void *body;
	size_t len;
};

/*
 * Sends a request (its path has to stay until the answer is read); its answer is read by
 * gate_finish(). The descriptor is the caller's if he will not finish it.
 */
int gate_begin(struct gate *g, const struct gate_call *call);
/* Reads to the end of the connection: the status, 0 without an answer. out may be NULL. */
unsigned gate_finish(int fd, struct buf *out);
/* Status and answer (head and body) of a call, on a connection of its own. */
unsigned gate_call(struct gate *g, const struct gate_call *call, struct buf *out);

/*
 * POST of JSON to /v1/streams/STREAM/eventsQUERY. The answer, if wanted, is the caller's to
 * release.
 */
unsigned gate_post(struct gate *g, const char *stream, const char *query, const char *body,
		   json_t **answer);
/* A number of the answer by "events/0/offset"; -1: there is none. */
int64_t gate_number(json_t *answer, const char *way);
/* A text of it, or "". */
const char *gate_text(json_t *answer, const char *way);

/*
 * reply.h - what the gateway can answer: the one table of statuses, of which the code answers with
 * nothing else and docs/openapi.yaml is written.
 */
#pragma once

#include "base/base.h"
#include "gate/parcel.h"
#include "io/door.h"

/* clang-format off */
/* X(ID, status, word, when) */
#define REPLIES(X)                                                                                \
	X(STORED, 200, "stored",                                                                  \
	  "The database has committed the events: the next search finds them.")                   \
	X(ACCEPTED, 202, "accepted",                                                              \
	  "Kafka has acknowledged the events, all replicas that are in sync.")                    \
	X(PARTLY_STORED, 207, "partly_stored",                                                    \
	  "The database has committed the events but for those in `errors`, which it refused: "   \
	  "they are dead letters.")                                                               \
	X(MALFORMED, 400, "malformed",                                                            \
	  "The request can not be read. Nothing was taken.")                                      \
	X(UNAUTHORIZED, 401, "unauthorized",                                                      \
	  "There is no token, or not one of gateway.token_file.")                                 \
	X(FORBIDDEN, 403, "forbidden", "The token may not write into this stream.")               \
	X(NOT_FOUND, 404, "not_found", "There is no such path, or no such stream.")               \
	X(WRONG_METHOD, 405, "wrong_method", "The path knows other methods: see `Allow`.")        \
	X(LATE, 408, "late", "The body did not come within gateway.timeout. Nothing was taken.")  \
	X(IN_FLIGHT, 409, "in_flight",                                                            \
	  "A request with this Idempotency-Key is still being worked on: ask again.")             \
	X(TOO_LARGE, 413, "too_large",                                                            \
	  "More bytes than gateway.max_body or events than gateway.max_events. Nothing was taken.")\
	X(WRONG_TYPE, 415, "wrong_type", "The Content-Type is none that is read.")                \
	X(INVALID, 422, "invalid",                                                                \
	  "The table would not take the events in `errors`. Nothing was taken.")                  \
	X(OTHER_BODY, 422, "other_body",                                                          \
	  "The Idempotency-Key was used for a request with another body.")                        \
	X(TOO_FAST, 429, "too_fast", "More events a second than the token may write: see "        \
	  "`Retry-After`.")                                                                       \
	X(BUSY, 503, "busy", "No room, or the stream is not ready yet. Nothing was taken: see "   \
	  "`Retry-After`.")                                                                       \
	X(UNDELIVERED, 503, "undelivered",                                                        \
	  "Kafka has not acknowledged all events: `events` says of each whether it is in.")       \
	X(NOT_YET, 504, "not_yet",                                                                \
	  "The events are safe in Kafka and on their way, but not in the database in time.")      \
	X(HALTED, 504, "halted",                                                                  \
	  "The events are safe in Kafka, but their partition is halted: an operator must act.")
/* clang-format on */

enum reply {
#define REPLY_ENUM(id, ...) REPLY_##id,
	REPLIES(REPLY_ENUM)
#undef REPLY_ENUM
		REPLY_COUNT,
};

struct reply_row {
	unsigned status;
	const char *word, *when;
};
extern const struct reply_row replies[REPLY_COUNT];

/* The first of a status, for what the door refuses. */
enum reply reply_of_status(unsigned status);

/* {"result":"busy","message":"..."}. retry_s: 0 for none. */
void reply_say(enum reply reply, unsigned retry_s, struct door_answer *a, const char *fmt, ...)
	PRINTF_LIKE(4, 5);
/*
 * The same with what became of each event, and what is wrong with which. message NULL: none. The
 * topic's name may be NULL: nothing was sent.
 */
void reply_events(enum reply reply, unsigned retry_s, struct door_answer *a, const char *topic,
		  const struct parcel *p, const char *message);

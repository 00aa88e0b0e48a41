/*
 * desk.h - where the body of a request becomes events of one stream. One thread at a time; it keeps
 * what reading needs from one request to the next.
 */
#pragma once

#include "core/message.h"
#include "gate/parcel.h"

struct desk;

enum desk_format { DESK_JSON, DESK_LINES, DESK_AVRO };

enum desk_verdict {
	DESK_READ,      /* each event is in the parcel, or its error */
	DESK_MALFORMED, /* the body is not of its format, or its schema does not fit: err says where
			 */
	DESK_TOO_MUCH,  /* more events, or more bytes, than allowed: err says which */
};

struct desk_limits {
	size_t events;
	size_t bytes;   /* of all events, encoded */
	size_t message; /* of one */
};

/* Borrows the stream and the limits of decoding. NULL with class CONFIG. */
struct desk *desk_new(const struct stream *s, const struct decode_limits *limits, struct err *err);
void desk_free(struct desk *d); /* NULL is fine */

/* The body is spoilt by it; 8 zero bytes stand behind it. */
enum desk_verdict desk_read(struct desk *d, enum desk_format format, struct buf *body,
			    const struct desk_limits *limits, const struct envelope *e,
			    struct parcel *parcel, struct err *err);

/*
 * A tombstone: values are the key's fields in their order, in UTF-8. False with class POISON: they
 * are no key of the stream's.
 */
MUST_CHECK bool desk_tombstone(struct desk *d, const struct slice *values, size_t n,
			       const struct envelope *e, struct parcel *parcel, struct err *err);

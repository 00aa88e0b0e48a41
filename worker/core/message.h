/*
 * message.h - a datum as the message that a stream's topic holds: its value and its key, each in
 * the stream's envelope.
 */
#pragma once

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"
#include "codec/decode.h"
#include "core/stream.h"

/* What stands in front of values and keys: registry ids or fingerprints; nothing for raw. */
struct envelope {
	enum frame_format format;
	uint64_t value, key;
};

struct message_maker; /* one per thread: keeps scratch memory */

/*
 * written: what the datums are written with; the stream's own reader schema or another one. All is
 * borrowed. NULL with class CONFIG, or POISON when written does not resolve to the stream's schema.
 */
struct message_maker *message_maker_new(const struct stream *s, const struct decode_limits *limits,
					const struct schema *written, struct err *err);
void message_maker_free(struct message_maker *m); /* NULL is fine */

/*
 * Appends a message. Without a key schema key stays as it was. False with class POISON: the table
 * would not take the event; what was appended until then is the caller's to take back.
 */
MUST_CHECK bool message_make(struct message_maker *m, struct slice datum, const struct envelope *e,
			     struct buf *value, struct buf *key, struct err *err);
/*
 * Appends the key of a tombstone, from a datum of the stream's key schema. False with class POISON:
 * the table has no such key.
 */
MUST_CHECK bool message_tombstone(struct message_maker *m, struct slice datum,
				  const struct envelope *e, struct buf *key, struct err *err);

/*
 * frame.h - the envelope around an Avro datum: which schema wrote it, and where its bytes begin.
 *
 *   confluent      00 | schema id, 4 bytes big-endian | datum        (Confluent wire format)
 *                  00 | 00000000, 4 bytes more: an id of 8 | datum   (Apicurio's serializers)
 *                  datum, if a header has the id                     (both, newer)
 *   single-object  C3 01 | CRC-64-AVRO, 8 bytes little-endian | datum
 *                  (Avro 1.11 specification, "Single object encoding")
 *   raw            datum, written with the stream's own schema
 */
#pragma once

#include "base/base.h"
#include "base/err.h"
#include "schema/schema_id.h"

enum frame_format { FRAME_CONFLUENT, FRAME_SINGLE_OBJECT, FRAME_RAW };

struct frame {
	struct schema_id id;
	struct slice body;
};

/* The body borrows from message. POISON when the envelope is not of that format. */
MUST_CHECK bool frame_split(enum frame_format format, struct slice message, struct frame *frame,
			    struct err *err);

/*
 * Takes a header of a message into account: id is what the headers so far say of the schema of its
 * value, or (key) of its key; SCHEMA_ID_NONE is nothing. If they say something, the value is the
 * datum alone. False with class POISON when the header says what cannot be.
 */
MUST_CHECK bool frame_header(const char *name, struct slice value, bool key, struct schema_id *id,
			     struct err *err);

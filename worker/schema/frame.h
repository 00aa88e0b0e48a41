/*
 * frame.h - the envelope around an Avro datum: which schema wrote it, and where its bytes begin.
 *
 *   confluent      00 | schema id, 4 bytes big-endian | datum        (Confluent wire format)
 *   single-object  C3 01 | CRC-64-AVRO, 8 bytes little-endian | datum
 *                  (Avro 1.11 specification, "Single object encoding")
 *   raw            datum, written with the stream's own schema
 */
#ifndef MEMINGEST_FRAME_H
#define MEMINGEST_FRAME_H

#include "base/base.h"
#include "base/err.h"

enum frame_format { FRAME_CONFLUENT, FRAME_SINGLE_OBJECT, FRAME_RAW };

struct frame {
	uint64_t schema; /* registry id, fingerprint, or 0 for raw */
	struct slice body;
};

/*
 * The body borrows from message. False with class POISON when the envelope is not of that format.
 */
MUST_CHECK bool frame_split(enum frame_format format, struct slice message, struct frame *frame,
			    struct err *err);

#endif

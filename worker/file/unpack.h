/* unpack.h - the codecs of Avro container files: one packed block to its bytes, within a limit. */
#pragma once

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"

struct unpacker;

/* Of the codec of that name ("null", "deflate" ...), or NULL: there is none. */
struct unpacker *unpacker_new(struct slice name);
void unpacker_free(struct unpacker *u); /* NULL is fine */

/* "null, deflate, snappy, ...", for messages. */
const char *unpacker_names(void);

/*
 * out becomes the bytes of the block: a view of packed, or of the unpacker's memory until the next
 * call. False with class POISON: damaged, or more than max bytes.
 */
MUST_CHECK bool unpack(struct unpacker *u, struct slice packed, size_t max, struct slice *out,
		       struct err *err);

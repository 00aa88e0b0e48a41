/*
 * recode.h - a datum of a writer's schema as the datum of a reader's schema: Avro's schema
 * resolution from bytes to bytes.
 */
#pragma once

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"
#include "codec/decode.h"
#include "schema/schema.h"

struct recoder;

/*
 * NULL with class CONFIG: the writer's schema does not resolve to the reader's, which is a record.
 * The writer is one too, or a union in which one is. The reader is borrowed. limits are copied:
 * depth and items count.
 */
struct recoder *recoder_new(const struct schema *writer, const struct schema *reader,
			    const struct decode_limits *limits, struct err *err);

/*
 * The fields that a message key wants: a record of another name, or the one field of that index,
 * bare. A default is no key.
 */
struct recoder *recoder_new_key(const struct schema *writer, const struct schema *key, size_t field,
				const struct decode_limits *limits, struct err *err);
void recoder_free(struct recoder *r); /* NULL is fine */

/* Appends the datum. On failure out is as it was, and err has class POISON: "field 'seen': ...". */
MUST_CHECK bool recode(struct recoder *r, struct slice datum, struct buf *out, struct err *err);

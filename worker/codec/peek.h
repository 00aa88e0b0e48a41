/* peek.h - an Avro datum as text for a person, as much of it as can be read. */
#pragma once

#include "base/buf.h"
#include "schema/schema.h"

/*
 * Appends JSON with a member per line; long texts and arrays are cut, and say so. Where the datum
 * is not what the schema says, the reason stands in <>, and the rest is left out. No control
 * characters but line ends.
 */
void peek_datum(const struct schema *writer, struct slice datum, struct buf *out);

/* Appends the bytes as a JSON string, of at most so many; what is no UTF-8 as \xNN. */
void peek_text(struct slice text, size_t most, struct buf *out);

/* Appends the text of others as it is, with a ? for what is no UTF-8 or would steer a terminal. */
void peek_plain(struct slice text, struct buf *out);

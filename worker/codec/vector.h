/*
 * vector.h - the field of a vector in a row, before its numbers are known.
 *
 * A field that is to be filled later is written at its full size, all zeros, so that rows behind it
 * do not move; or becomes NULL in place, whereby its own row gets shorter. Pure.
 */
#pragma once

#include "base/buf.h"
#include "codec/table.h"

/* Bytes of the field with its length in front; 0: not a vector of a fixed size that we know. */
size_t vector_field_size(const struct column *c);
/* Bytes of the numbers in it. */
size_t vector_number_size(const struct column *c);

/*
 * The NULL at "at" becomes the field with zeros for numbers; what is behind it moves. Returns by
 * how much.
 */
size_t vector_make_room(struct buf *out, size_t at, const struct column *c);
/*
 * The numbers, big-endian float4, c->dim of them, into the field that begins at p. False: one of
 * them is beyond what a halfvec holds.
 */
MUST_CHECK bool vector_fill(uint8_t *p, const struct column *c, const uint8_t *be);
/* The field at p becomes NULL; what follows it, up to end, moves up. Returns the bytes saved. */
size_t vector_make_null(uint8_t *p, const struct column *c, const uint8_t *end);

/*
 * encode.h - Avro's binary encoding, written: single values and the envelope in front. Appends; it
 * is the caller who keeps to the schema.
 */
#pragma once

#include "base/base.h"
#include "base/buf.h"
#include "schema/frame.h"
#include "schema/schema.h"

void encode_long(struct buf *out, int64_t v);  /* int, long, enum, union branch, block count */
void encode_bool(struct buf *out, bool v);     /* one byte */
void encode_float(struct buf *out, float v);   /* 4 bytes */
void encode_double(struct buf *out, double v); /* 8 bytes */
void encode_bytes(struct buf *out, const void *p, size_t len); /* bytes and string */

/* n floats as one array: a block and the end. */
void encode_float_array(struct buf *out, const float *v, size_t n);

/* The index of the first branch of that kind, or -1. */
int encode_branch(const struct schema_type *union_type, enum schema_kind kind);

/* v * 10^-scale: shortest two's complement for bytes, sign-extended for fixed. */
void encode_decimal(struct buf *out, const struct schema_type *t, int64_t v);

/* What stands in front of the datum. schema: registry id or fingerprint; nothing for raw. */
void encode_frame(struct buf *out, enum frame_format format, uint64_t schema);

/*
 * avro_put.h - Avro data by hand, for tests: nothing here knows a schema or checks anything, so it
 * writes wrong data as well. Not schema/encode.h: the decoder's tests should not lean on our own
 * encoder.
 */
#pragma once

#include <string.h>

#include "base/buf.h"

static inline void avro_varint(struct buf *b, uint64_t z)
{
	for (; z >= 0x80; z >>= 7)
		buf_u8(b, (uint8_t)(z | 0x80));
	buf_u8(b, (uint8_t)z);
}

/* int, long, enum and union index, block count, length */
static inline void avro_long(struct buf *b, int64_t v)
{
	avro_varint(b, ((uint64_t)v << 1) ^ (uint64_t)(v >> 63));
}

static inline void avro_bytes(struct buf *b, const void *p, size_t n)
{
	avro_long(b, (int64_t)n);
	buf_put(b, p, n);
}

static inline void avro_string(struct buf *b, const char *s)
{
	avro_bytes(b, s, strlen(s));
}

static inline void avro_float(struct buf *b, float f)
{
	buf_put(b, &f, sizeof(f)); /* tests run on little-endian machines, as the worker does */
}

static inline void avro_double(struct buf *b, double d)
{
	buf_put(b, &d, sizeof(d));
}

/* An array in one block: 0, 0.5, 1, ... */
static inline void avro_floats(struct buf *b, size_t n)
{
	if (n > 0)
		avro_long(b, (int64_t)n);
	for (size_t i = 0; i < n; i++)
		avro_float(b, (float)i / 2);
	avro_long(b, 0);
}

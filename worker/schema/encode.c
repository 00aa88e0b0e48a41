/*
 * encode.c - Avro's binary encoding, written: single values, unions, defaults, and the envelope in
 * front.
 *
 *   int, long   zigzag, then 7 bits a byte, low first, the top bit says "more"
 *   float       4 bytes little-endian; double 8
 *   bytes       long length, then the bytes; string the same
 *   array       long count, that many items, then count 0; map the same with keys
 *   union       long index of the branch, then the value
 *
 * The worker never encodes: this serves "produce" and the tests. It holds no state; what is in the
 * buf stays there when a caller gives up in the middle, so callers remember the length and set it
 * back.
 *
 * Thread: any. Failure: none, but for memory (which ends the process).
 */
#include "schema/encode.h"

#include <assert.h>

/* Zigzag first, so that small negative numbers are short as well. */
void encode_long(struct buf *out, int64_t v)
{
	uint64_t z = ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
	uint8_t bytes[10];
	size_t n = 0;
	while (z >= 0x80) {
		bytes[n++] = (uint8_t)(z | 0x80);
		z >>= 7;
	}
	bytes[n++] = (uint8_t)z;
	buf_put(out, bytes, n);
}

void encode_bool(struct buf *out, bool v)
{
	buf_u8(out, v);
}

static void put_le(struct buf *out, uint64_t v, size_t n)
{
	uint8_t *p = buf_take(out, n);
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

void encode_float(struct buf *out, float v)
{
	uint32_t bits;
	memcpy(&bits, &v, sizeof(bits));
	put_le(out, bits, sizeof(bits));
}

void encode_double(struct buf *out, double v)
{
	uint64_t bits;
	memcpy(&bits, &v, sizeof(bits));
	put_le(out, bits, sizeof(bits));
}

void encode_bytes(struct buf *out, const void *p, size_t len)
{
	encode_long(out, (int64_t)len);
	buf_put(out, p, len);
}

/* In one piece where memory has the wire's order already. */
void encode_float_array(struct buf *out, const float *v, size_t n)
{
	if (n > 0)
		encode_long(out, (int64_t)n);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	buf_put(out, v, n * sizeof(*v));
#else
	for (size_t i = 0; i < n; i++)
		encode_float(out, v[i]);
#endif
	encode_long(out, 0);
}

int encode_branch(const struct schema_type *union_type, enum schema_kind kind)
{
	assert(union_type->kind == SCHEMA_UNION);
	for (size_t i = 0; i < union_type->nbranches; i++)
		if (union_type->branches[i]->kind == kind)
			return (int)i;
	return -1;
}

/* A fixed is filled with the sign on the left. */
void encode_decimal(struct buf *out, const struct schema_type *t, int64_t v)
{
	uint8_t be[8];
	size_t skip = 0;
	put_be64(be, (uint64_t)v);
	/* A leading byte says nothing when it only repeats the sign of the next one. */
	while (skip < 7 && be[skip] == (v < 0 ? 0xff : 0) &&
	       (be[skip + 1] & 0x80) == (be[skip] & 0x80))
		skip++;
	if (t->kind == SCHEMA_BYTES) {
		encode_bytes(out, be + skip, sizeof(be) - skip);
		return;
	}
	assert(t->kind == SCHEMA_FIXED && t->size >= sizeof(be) - skip);
	for (size_t i = t->size; i > 0; i--)
		buf_u8(out, i > sizeof(be) ? (v < 0 ? 0xff : 0) : be[sizeof(be) - i]);
}

/* A raw datum has nothing in front of it. */
void encode_frame(struct buf *out, enum frame_format format, uint64_t schema)
{
	switch (format) {
	case FRAME_CONFLUENT:
		buf_u8(out, 0);
		buf_be32(out, (uint32_t)schema);
		break;
	case FRAME_SINGLE_OBJECT:
		buf_u8(out, 0xc3);
		buf_u8(out, 0x01);
		put_le(out, schema, 8);
		break;
	case FRAME_RAW:
		break;
	}
}

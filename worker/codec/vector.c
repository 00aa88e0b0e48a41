/*
 * vector.c - a vector's field: blank, filled, or null.
 *
 *   vector(n)    | length | n | 0 | float4 x n |        pgvector's binary form
 *   halfvec(n)   | length | n | 0 | float2 x n |
 *   real[]       no fixed layout that is worth knowing here: not taken
 *
 * Pure.
 */
#include "codec/vector.h"

#include <string.h>

#include "codec/pgbin.h"

enum { HEAD = 8 }; /* length, dimension, unused */

static size_t element_size(const struct column *c)
{
	return c->kind == PG_VECTOR ? 4 : c->kind == PG_HALFVEC ? 2 : 0;
}

size_t vector_number_size(const struct column *c)
{
	return element_size(c) * c->dim;
}

size_t vector_field_size(const struct column *c)
{
	return vector_number_size(c) > 0 ? HEAD + vector_number_size(c) : 0;
}

size_t vector_make_room(struct buf *out, size_t at, const struct column *c)
{
	size_t size = vector_field_size(c), behind = out->len - at - 4, grown = size - 4;
	buf_take(out, grown);
	uint8_t *p = out->data + at;
	memmove(p + size, p + 4, behind);
	memset(p, 0, size);
	put_be32(p, (uint32_t)grown);
	put_be16(p + 4, (uint16_t)c->dim);
	return grown;
}

bool vector_fill(uint8_t *p, const struct column *c, const uint8_t *be)
{
	bool ok = true;
	if (c->kind == PG_VECTOR)
		memcpy(p + HEAD, be, 4 * (size_t)c->dim);
	for (size_t i = 0; c->kind == PG_HALFVEC && i < c->dim; i++) {
		uint32_t bits = get_be32(be + 4 * i);
		uint16_t half = 0;
		float v;
		memcpy(&v, &bits, sizeof(v));
		ok = pgbin_half(v, &half) && ok;
		put_be16(p + HEAD + 2 * i, half);
	}
	return ok;
}

size_t vector_make_null(uint8_t *p, const struct column *c, const uint8_t *end)
{
	size_t saved = vector_field_size(c) - 4;
	put_be32(p, UINT32_MAX);
	memmove(p + 4, p + 4 + saved, (size_t)(end - p) - 4 - saved);
	return saved;
}

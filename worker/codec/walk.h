/*
 * walk.h - Avro's wire, one value at a time: everything that reads a datum goes through a cursor,
 * and nothing passes its end.
 *
 * Internal to the files of codec; file/container.c reads its numbers with it. On failure the
 * cursor's refusal is filled, and p stands at or behind the fault. What is called for every value
 * is inline: a datum of 2 kB is some forty calls.
 */
#pragma once

#include "base/base.h"
#include "codec/pgbin.h"
#include "codec/reason.h"
#include "schema/schema.h"

struct step; /* step.h */

struct cursor {
	const uint8_t *p, *end;
	uint32_t depth; /* levels left */
	uint32_t items; /* elements left */
	struct refusal *why;
};

/* The varint of an int (5 bytes at most) or a long (10), of any length. */
MUST_CHECK bool walk_varint(struct cursor *c, unsigned max_bytes, uint64_t *z);
/* Both return false. */
bool walk_short(struct cursor *c);
bool walk_negative(struct cursor *c);

/* 0, 1, 2, 3 are 0, -1, 1, -2. */
static inline int64_t walk_unzigzag(uint64_t z)
{
	return (int64_t)(z >> 1) ^ -(int64_t)(z & 1);
}

/* One byte or two here, as most have; longer ones by walk_varint(). */
MUST_CHECK static inline bool walk_long(struct cursor *c, int64_t *v)
{
	uint64_t z;
	size_t left = (size_t)(c->end - c->p);
	if (left > 0 && c->p[0] < 0x80) {
		*v = walk_unzigzag(c->p[0]);
		c->p += 1;
		return true;
	}
	if (left > 1 && c->p[1] < 0x80) {
		*v = walk_unzigzag((uint64_t)(c->p[0] & 0x7f) | (uint64_t)c->p[1] << 7);
		c->p += 2;
		return true;
	}
	if (!walk_varint(c, 10, &z))
		return false;
	*v = walk_unzigzag(z);
	return true;
}

/* n bytes as they stand: p points into the datum. */
MUST_CHECK static inline bool walk_raw(struct cursor *c, size_t n, const uint8_t **p)
{
	if ((size_t)(c->end - c->p) < n) {
		walk_short(c);
		return false;
	}
	*p = c->p;
	c->p += n;
	return true;
}

/* Length, then bytes: string and bytes. */
MUST_CHECK static inline bool walk_bytes(struct cursor *c, struct slice *v)
{
	int64_t len;
	if (!walk_long(c, &len))
		return false;
	if (len < 0) {
		walk_negative(c);
		return false;
	}
	v->len = (size_t)len;
	return walk_raw(c, (size_t)len, &v->data);
}

MUST_CHECK bool walk_bool(struct cursor *c, bool *v);
MUST_CHECK bool walk_long_index(struct cursor *c, uint32_t n, const char *what,
				uint32_t *v); /* walk_index(), any length */

/* Of an enum or a union: below n. */
MUST_CHECK static inline bool walk_index(struct cursor *c, uint32_t n, const char *what,
					 uint32_t *v)
{
	if (c->p < c->end && (c->p[0] & 0x81) == 0 && (uint32_t)(c->p[0] >> 1) < n) {
		*v = *c->p++ >> 1;
		return true;
	}
	return walk_long_index(c, n, what, v);
}

/* Passes over one value, with all checks. */
MUST_CHECK bool walk_skip(struct cursor *c, const struct step *s);
/* Down into, and up from, a nested value. */
MUST_CHECK bool walk_enter(struct cursor *c);
void walk_leave(struct cursor *c);

/* The number of items of each block, 0 at the end. A stated size has to be kept to. */
struct walk_blocks {
	const uint8_t *stated_end; /* or NULL */
};
MUST_CHECK bool walk_block(struct cursor *c, struct walk_blocks *b, uint64_t *count);

/* A number, whichever of int and long (walk_real: or float or double) the step has on the wire. */
MUST_CHECK bool walk_number(struct cursor *c, const struct step *s, int64_t *i);
MUST_CHECK bool walk_real(struct cursor *c, const struct step *s, double *d);

/* False when it does not fit. Towards the past where it has to be cut. */
bool unit_convert(int64_t v, enum pgbin_unit from, enum pgbin_unit to, int64_t *out);
/* Of a logical time or timestamp. */
enum pgbin_unit unit_of(enum schema_logical logical);

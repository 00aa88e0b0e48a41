/*
 * fake.h - seeded randomness that looks like something: words, sentences, small JSON objects, unit
 * vectors.
 */
#pragma once

#include "base/base.h"
#include "base/buf.h"

struct fake;

struct fake *fake_new(uint64_t seed); /* fake_free() it */
void fake_free(struct fake *f);       /* NULL is fine */

uint64_t fake_bits(struct fake *f);              /* 64 of them */
uint64_t fake_below(struct fake *f, uint64_t n); /* 0 .. n - 1; n > 0 */
double fake_real(struct fake *f);                /* 0 <= x < 1 */

const char *fake_word(struct fake *f); /* static text */
/* Five to twelve words and a full stop, cut at max bytes (0: no limit). */
void fake_sentence(struct fake *f, struct buf *out, size_t max);
/* A small JSON object; appends. */
void fake_json(struct fake *f, struct buf *out);

/*
 * A vector of length 1 near one of a few hundred fixed ones, so that there are neighbours to be
 * found. May be changed; lives until the next call.
 */
float *fake_vector(struct fake *f, uint32_t dim);

/* cache.h - vectors by the digest of their text, in memory: the ones that were asked for last. One
 * thread's. */
#pragma once

#include "base/base.h"
#include "base/digest.h"

struct cache;

/* bytes: of all it holds, roughly; with 0 it keeps nothing. vector_size: bytes of each vector. */
struct cache *cache_new(size_t bytes, size_t vector_size);
void cache_free(struct cache *c); /* NULL is fine */

/* NULL: it has none. Good until the next cache_put(). */
const uint8_t *cache_get(struct cache *c, const uint8_t digest[DIGEST_SIZE]);
void cache_put(struct cache *c, const uint8_t digest[DIGEST_SIZE], const uint8_t *vector);

/*
 * cache.c - vectors in memory, least recently used out first.
 *
 *   hash:  digest --> | entry | entry | entry |      uthash keeps the order of insertion, so an
 *                     oldest            newest       entry that is used is put in again
 *
 * Invariant: no more than "most" entries, which "bytes" allow.
 */
#include "embed/cache.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

struct entry {
	uint8_t digest[DIGEST_SIZE];
	UT_hash_handle hh;
	uint8_t vector[];
};

struct cache {
	struct entry *entries;
	size_t most, vector_size;
};

struct cache *cache_new(size_t bytes, size_t vector_size)
{
	struct cache *c = xcalloc(1, sizeof(*c));
	c->vector_size = vector_size;
	c->most = bytes / (sizeof(struct entry) + vector_size);
	return c;
}

static void drop(struct cache *c, struct entry *e)
{
	assert(e != c->entries || e->hh.prev == NULL); /* uthash: nothing is before the head */
	HASH_DEL(c->entries, e);
	free(e);
}

void cache_free(struct cache *c)
{
	if (!c)
		return;
	struct entry *e, *next;
	HASH_ITER (hh, c->entries, e, next) {
		drop(c, e);
	}
	free(c);
}

static struct entry *find(const struct cache *c, const uint8_t *digest)
{
	struct entry *e = NULL;
	HASH_FIND(hh, c->entries, digest, DIGEST_SIZE, e);
	return e;
}

const uint8_t *cache_get(struct cache *c, const uint8_t digest[DIGEST_SIZE])
{
	struct entry *e = find(c, digest);
	if (!e)
		return NULL;
	HASH_DEL(c->entries, e);
	HASH_ADD(hh, c->entries, digest, DIGEST_SIZE, e);
	return e->vector;
}

void cache_put(struct cache *c, const uint8_t digest[DIGEST_SIZE], const uint8_t *vector)
{
	if (c->most == 0 || find(c, digest))
		return;
	while (HASH_COUNT(c->entries) >= c->most)
		drop(c, c->entries);
	struct entry *e = xmalloc(sizeof(*e) + c->vector_size);
	memcpy(e->digest, digest, DIGEST_SIZE);
	memcpy(e->vector, vector, c->vector_size);
	HASH_ADD(hh, c->entries, digest, DIGEST_SIZE, e);
}

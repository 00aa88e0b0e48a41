/*
 * arena.h - memory with one lifetime: taken piece by piece, given back all at once.
 *
 * For what lives as long as a schema, a plan or a batch. Pieces are aligned to 16 bytes. Not
 * thread-safe: an arena has one owner.
 */
#pragma once

#include "base/base.h"

struct arena;

struct arena *arena_new(void);                   /* owner: the caller */
void *arena_alloc(struct arena *a, size_t size); /* not cleared; never NULL */
void *arena_calloc(struct arena *a, size_t count, size_t size);
char *arena_strdup(struct arena *a, const char *s);             /* with its NUL */
void *arena_memdup(struct arena *a, const void *p, size_t len); /* aligned as any piece */
/* Frees the pieces, keeps the first block for the next round. */
void arena_reset(struct arena *a);
/* Of memory that it holds beyond its first block. */
size_t arena_bytes(const struct arena *a);
void arena_free(struct arena *a); /* NULL is fine */

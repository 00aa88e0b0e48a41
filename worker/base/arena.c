/*
 * arena.c - a list of blocks, the newest in front, of which only the front one has room.
 *
 *   arena -> [ 64 KiB  used....free ] -> [ 32 KiB  full ] -> ... -> [ 4 KiB  full ]
 *                                                                   the first, kept by reset
 *
 * Blocks double up to 1 MiB. A piece larger than that gets a block of its own size. What is left in
 * a block when the next begins is given up, so at most half of the memory is slack.
 *
 * Invariants: used <= size; used is a multiple of 16; every piece begins on a multiple of 16 (the
 * struct's size is one, too, and malloc's result as well). One owner, no lock. Out of memory ends
 * the process (mem.c).
 */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

enum { ALIGN = 16, FIRST_BLOCK = 4096, LARGEST_BLOCK = 1 << 20 };

struct block {
	struct block *next;
	size_t size, used;
	_Alignas(ALIGN) uint8_t bytes[];
};

struct arena {
	struct block *front;
	size_t bytes; /* of all blocks but the first */
};

_Static_assert(sizeof(struct block) % ALIGN == 0, "pieces start on a multiple of ALIGN");

/* The struct ends in its bytes, so a block is one malloc. */
static struct block *block_new(size_t size, struct block *next)
{
	struct block *b = xmalloc(sizeof(*b) + size);
	b->next = next;
	b->size = size;
	b->used = 0;
	return b;
}

struct arena *arena_new(void)
{
	struct arena *a = xmalloc(sizeof(*a));
	a->front = block_new(FIRST_BLOCK, NULL);
	a->bytes = 0;
	return a;
}

/* The tail of the front block is given up when the piece does not fit: no search. */
void *arena_alloc(struct arena *a, size_t size)
{
	if (size > SIZE_MAX / 2)
		size = SIZE_MAX / 2; /* malloc refuses it, and mem.c says so */
	size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	if (a->front->size - a->front->used < size) {
		size_t next = MIN(a->front->size * 2, (size_t)LARGEST_BLOCK);
		a->front = block_new(MAX(next, size), a->front);
		a->bytes += a->front->size;
	}
	void *p = a->front->bytes + a->front->used;
	a->front->used += size;
	return p;
}

void *arena_calloc(struct arena *a, size_t count, size_t size)
{
	size_t total;
	if (__builtin_mul_overflow(count, size, &total))
		total = SIZE_MAX;
	return memset(arena_alloc(a, total), 0, total);
}

void *arena_memdup(struct arena *a, const void *p, size_t len)
{
	void *copy = arena_alloc(a, len);
	return len > 0 ? memcpy(copy, p, len) : copy;
}

char *arena_strdup(struct arena *a, const char *s)
{
	return arena_memdup(a, s, strlen(s) + 1);
}

/* The last of the list is the one that the arena began with. */
void arena_reset(struct arena *a)
{
	while (a->front->next) {
		struct block *b = a->front;
		a->front = b->next;
		free(b);
	}
	a->front->used = 0;
	a->bytes = 0;
}

size_t arena_bytes(const struct arena *a)
{
	return a->bytes;
}

void arena_free(struct arena *a)
{
	if (!a)
		return;
	arena_reset(a);
	free(a->front);
	free(a);
}

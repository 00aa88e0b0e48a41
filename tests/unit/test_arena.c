/* test_arena.c - pieces are apart, aligned, and gone together. */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "unit.h"

/*
 * Pieces of every size are aligned and do not overlap: each keeps what was written into it while
 * others are made.
 */
START_TEST(pieces_are_apart)
{
	struct arena *a = arena_new();
	enum { N = 3000 };
	uint8_t *pieces[N];
	for (size_t i = 0; i < N; i++) {
		pieces[i] = arena_alloc(a, i);
		ck_assert_uint_eq((uintptr_t)pieces[i] % 16, 0);
		memset(pieces[i], (int)(i & 0xff), i);
	}
	size_t wrong = 0;
	for (size_t i = 0; i < N; i++)
		for (size_t j = 0; j < i; j++)
			wrong += pieces[i][j] != (i & 0xff);
	ck_assert_uint_eq(wrong, 0);
	arena_free(a);
}
END_TEST

/* A piece larger than any block is served. */
START_TEST(huge_piece)
{
	struct arena *a = arena_new();
	uint8_t *p = arena_alloc(a, 5 << 20);
	memset(p, 1, 5 << 20);
	ck_assert_ptr_nonnull(arena_alloc(a, 1));
	arena_free(a);
}
END_TEST

/* Reset gives the same first block out again, so an arena that is reset does not grow. */
START_TEST(reset_starts_over)
{
	struct arena *a = arena_new();
	void *first = arena_alloc(a, 100);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 1000; i++)
			memset(arena_alloc(a, 1000), 0xff, 1000);
		arena_reset(a);
		ck_assert_ptr_eq(arena_alloc(a, 100), first);
	}
	arena_free(a);
}
END_TEST

/* calloc clears memory that was used before. */
START_TEST(calloc_clears)
{
	struct arena *a = arena_new();
	memset(arena_alloc(a, 512), 0xff, 512);
	arena_reset(a);
	const uint8_t *p = arena_calloc(a, 32, 16);
	size_t set = 0;
	for (size_t i = 0; i < 512; i++)
		set += p[i] != 0;
	ck_assert_uint_eq(set, 0);
	arena_free(a);
}
END_TEST

/* Copies are copies; nothing at all can be copied, too. */
START_TEST(copies)
{
	struct arena *a = arena_new();
	char text[] = "memory";
	char *copy = arena_strdup(a, text), *part = arena_memdup(a, text, 3);
	memset(text, 'x', 6);
	ck_assert_str_eq(copy, "memory");
	ck_assert_int_eq(memcmp(part, "mem", 3), 0);
	ck_assert_ptr_nonnull(arena_memdup(a, NULL, 0));
	arena_free(a);
	arena_free(NULL);
}
END_TEST

static Suite *arena_suite(void)
{
	Suite *s = suite_create("arena");
	TCase *t = tcase_create("arena");
	tcase_add_test(t, pieces_are_apart);
	tcase_add_test(t, huge_piece);
	tcase_add_test(t, reset_starts_over);
	tcase_add_test(t, calloc_clears);
	tcase_add_test(t, copies);
	suite_add_tcase(s, t);
	return s;
}
UNIT_SUITE(arena_suite)

/*
 * floats.c - the one loop of the decoder that runs per float: 384 times for a usual embedding.
 *
 * Written so that the compiler vectorises it (no branch, no early exit: without its sign, a float
 * is not finite where its bits as a number reach those of an exponent of all ones; so the greatest
 * tells), and compiled twice: for any x86-64, and for AVX2, which swaps eight floats with one
 * shuffle. The choice is made by asking the CPU, not by the loader (target_clones): a resolver that
 * runs before main() does not get along with ThreadSanitizer.
 */
#include "codec/floats.h"

#include <string.h>

#define EXPONENT UINT32_C(0x7f800000)
#ifdef __clang__
#define VECTORISE /* clang does at -O2 */
#else
#define VECTORISE __attribute__((optimize("O3")))
#endif

/* Swaps all n and says whether all are finite; the caller asks again which one is not. */
static inline __attribute__((always_inline)) bool swap(uint8_t *restrict be,
						       const uint8_t *restrict le, size_t n)
{
	uint32_t most = 0;
#pragma GCC unroll 4
	for (size_t i = 0; i < n; i++) {
		uint32_t bits;
		memcpy(&bits, le + 4 * i, sizeof(bits));
		most = MAX(most, bits << 1);
		bits = __builtin_bswap32(bits);
		memcpy(be + 4 * i, &bits, sizeof(bits));
	}
	return most < EXPONENT << 1;
}

/* As swap(), without writing. */
static inline __attribute__((always_inline)) bool look(const uint8_t *le, size_t n)
{
	uint32_t most = 0;
	for (size_t i = 0; i < n; i++) {
		uint32_t bits;
		memcpy(&bits, le + 4 * i, sizeof(bits));
		most = MAX(most, bits << 1);
	}
	return most < EXPONENT << 1;
}

static VECTORISE bool swap_any(uint8_t *be, const uint8_t *le, size_t n)
{
	return swap(be, le, n);
}

static VECTORISE bool finite_any(const uint8_t *le, size_t n)
{
	return look(le, n);
}

#if defined(__x86_64__)
static VECTORISE __attribute__((target("avx2"))) bool swap_avx2(uint8_t *be, const uint8_t *le,
								size_t n)
{
	return swap(be, le, n);
}

static VECTORISE __attribute__((target("avx2"))) bool finite_avx2(const uint8_t *le, size_t n)
{
	return look(le, n);
}

static bool have_avx2(void)
{
	return __builtin_cpu_supports("avx2");
}
#else
#define swap_avx2 swap_any
#define finite_avx2 finite_any
#define have_avx2() false
#endif

bool floats_swap(uint8_t *be, const uint8_t *le, size_t n)
{
	return have_avx2() ? swap_avx2(be, le, n) : swap_any(be, le, n);
}

bool floats_finite(const uint8_t *le, size_t n)
{
	return have_avx2() ? finite_avx2(le, n) : finite_any(le, n);
}

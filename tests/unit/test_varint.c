/*
 * test_varint.c - numbers of variable length, several bytes at once, compared with one byte at a
 * time. Inputs end at the end of a heap block.
 */
#include <stdlib.h>

#include "codec/walk.h"
#include "random_avro.h"
#include "unit.h"

/* One byte after the other. Bytes taken, or 0. */
static size_t plain_varint(const uint8_t *p, size_t left, unsigned max_bytes, uint64_t *z)
{
	*z = 0;
	for (size_t i = 0; i < left && i < max_bytes; i++) {
		*z |= (uint64_t)(p[i] & 0x7f) << (7 * i);
		if (p[i] < 0x80)
			return i + 1 == max_bytes && p[i] > (max_bytes == 5 ? 0x0f : 0x01) ? 0
											   : i + 1;
	}
	return 0;
}

/*
 * Varints of every length, with every number of bytes behind them, are read as byte by byte: the
 * number, how far, and what is refused.
 */
START_TEST(varints_as_plain)
{
	struct random r = {.state = 3};
	struct refusal why;
	for (int round = 0; round < 200000; round++) {
		unsigned max_bytes = round % 2 ? 5 : 10;
		size_t left = (size_t)random_below(&r, 20),
		       length = 1 + (size_t)random_below(&r, 12), behind = 0;
		uint8_t *in = xmalloc(left);
		for (size_t i = 0; i < left; i++)
			in[i] = (uint8_t)((random_bits(&r) & (random_one_in(&r, 4) ? 0x03 : 0x7f)) |
					  (i + 1 < length ? 0x80 : 0));
		uint64_t want, got = 0;
		size_t n = plain_varint(in, left, max_bytes, &want);
		struct cursor c = {.p = in, .end = in + left, .why = &why};
		if (walk_varint(&c, max_bytes, &got))
			behind = (size_t)(c.p - in);
		ck_assert_uint_eq(behind, n);
		ck_assert(n == 0 || got == want);
		free(in);
	}
}
END_TEST

static Suite *varint_suite(void)
{
	Suite *s = suite_create("varint");
	TCase *t = tcase_create("walk");
	tcase_add_test(t, varints_as_plain);
	suite_add_tcase(s, t);
	return s;
}
UNIT_SUITE(varint_suite)

/*
 * test_floats.c - the vectorised swap of floats, compared with one float at a time, at every place
 * and length around the sizes in which it works. Inputs end at the end of a heap block.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "codec/floats.h"
#include "unit.h"

/*
 * Proves that exactly NaN and infinity are seen, wherever they stand, and that every float is
 * swapped.
 */
START_TEST(every_place)
{
	static const struct {
		uint32_t bits;
		bool finite;
	} cases[] = {
		{0, true},           {0x80000000, true},  {1, true},           {0x807fffff, true},
		{0x3f800000, true},  {0x7f7fffff, true},  {0xff7fffff, true},  {0x7f800000, false},
		{0xff800000, false}, {0x7f800001, false}, {0xff800001, false}, {0x7fc00000, false},
		{0xffffffff, false}, {0x7fffffff, false}, {0x007f8000, true},
	};
	for (size_t n = 1; n <= 70; n++) {
		uint8_t *le = xmalloc(4 * n), *be = xmalloc(4 * n);
		for (size_t at = 0; at < n; at++) {
			for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
				for (size_t i = 0; i < n; i++)
					put_be32(le + 4 * i, 0x01020304u + (uint32_t)i * 0x10000u);
				put_be32(le + 4 * at, __builtin_bswap32(cases[k].bits));
				ck_assert_int_eq(floats_swap(be, le, n), cases[k].finite);
				ck_assert_int_eq(floats_finite(le, n), cases[k].finite);
				for (size_t i = 0; i < 4 * n; i++)
					if (be[i] != le[i / 4 * 4 + 3 - i % 4])
						ck_abort_msg("byte %zu of %zu floats", i, n);
			}
		}
		free(le);
		free(be);
	}
	ck_assert(floats_finite(NULL, 0));
}
END_TEST

static Suite *floats_suite(void)
{
	Suite *s = suite_create("floats");
	TCase *t = tcase_create("swap");
	tcase_add_test(t, every_place);
	suite_add_tcase(s, t);
	return s;
}
UNIT_SUITE(floats_suite)

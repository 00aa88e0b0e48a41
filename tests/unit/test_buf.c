/* test_buf.c - bytes in order, big-endian, whatever the capacity. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "unit.h"

/* Numbers are written with the high byte first, and read back the same. */
START_TEST(big_endian)
{
	static const uint8_t want[] = {0x01, 0x12, 0x34, 0x12, 0x34, 0x56, 0x78, 1,
				       2,    3,    4,    5,    6,    7,    8};
	struct buf b = {0};
	buf_u8(&b, 1);
	buf_be16(&b, 0x1234);
	buf_be32(&b, 0x12345678);
	buf_be64(&b, 0x0102030405060708);
	ck_assert_uint_eq(b.len, sizeof(want));
	ck_assert_mem_eq(b.data, want, sizeof(want));
	ck_assert_uint_eq(get_be16(b.data + 1), 0x1234);
	ck_assert_uint_eq(get_be32(b.data + 3), 0x12345678);
	ck_assert_uint_eq(get_be64(b.data + 7), 0x0102030405060708);
	buf_free(&b);
}
END_TEST

/* What was put stays through many growths; capacity at most doubles what is needed. */
START_TEST(growth_keeps_content)
{
	struct buf b = {0};
	for (uint32_t i = 0; i < 100000; i++)
		buf_be32(&b, i);
	size_t wrong = 0;
	for (uint32_t i = 0; i < 100000; i++)
		wrong += get_be32(b.data + 4 * (size_t)i) != i;
	ck_assert_uint_eq(wrong, 0);
	ck_assert_uint_le(b.cap, 2 * b.len);
	buf_grow(&b, 1 << 20);
	ck_assert_uint_eq(b.len, 400000);
	ck_assert_uint_ge(b.cap, 400000 + (1 << 20));
	buf_free(&b);
	ck_assert(!b.data && b.len == 0 && b.cap == 0);
}
END_TEST

/*
 * Formatted text is whole at each length around the end of the capacity, where vsnprintf's NUL does
 * not fit.
 */
START_TEST(printf_at_the_edge)
{
	for (int len = 60; len <= 68; len++) {
		struct buf b = {0};
		memset(buf_take(&b, 192), 'x', 192);
		ck_assert_uint_eq(b.cap, 256);
		buf_printf(&b, "%*d|", len, 12345);
		ck_assert_uint_eq(b.len, 192 + (size_t)len + 1);
		ck_assert_mem_eq(b.data + b.len - 6, "12345|", 6);
		buf_free(&b);
	}
}
END_TEST

/* The closing NUL of buf_cstr() is not counted, also when the buffer is full or empty. */
START_TEST(cstr)
{
	struct buf b = {0};
	ck_assert_str_eq(buf_cstr(&b), "");
	ck_assert_uint_eq(b.len, 0);
	memset(buf_take(&b, 256), 'y', 256);
	ck_assert_uint_eq(strlen(buf_cstr(&b)), 256);
	buf_puts(&b, "z");
	ck_assert_uint_eq(b.len, 257);
	ck_assert_uint_eq(buf_cstr(&b)[256], 'z');
	buf_free(&b);
}
END_TEST

/* Putting nothing, even from nowhere, changes nothing. */
START_TEST(put_nothing)
{
	struct buf b = {0};
	buf_put(&b, NULL, 0);
	buf_puts(&b, "");
	ck_assert_uint_eq(b.len, 0);
	buf_free(&b);
}
END_TEST

static Suite *buf_suite(void)
{
	Suite *s = suite_create("buf");
	TCase *t = tcase_create("buf");
	tcase_add_test(t, big_endian);
	tcase_add_test(t, growth_keeps_content);
	tcase_add_test(t, printf_at_the_edge);
	tcase_add_test(t, cstr);
	tcase_add_test(t, put_nothing);
	suite_add_tcase(s, t);
	return s;
}
UNIT_SUITE(buf_suite)

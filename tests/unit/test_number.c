/*
 * test_number.c - numbers in digits become exactly what they say, or the nearest float; what does
 * not fit is refused.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "file/number.h"
#include "unit.h"

static void check_int(const char *text, enum number_fit fit, int64_t wanted)
{
	int64_t v = 0;
	ck_assert_msg(number_is(text, strlen(text)), "%s", text);
	ck_assert_msg(number_int64(text, strlen(text), &v) == fit, "%s", text);
	if (fit == NUMBER_FITS)
		ck_assert_msg(v == wanted, "%s: %lld", text, (long long)v);
}

/* Integers, however they are written; to the last one on both sides. */
START_TEST(test_integers)
{
	check_int("0", NUMBER_FITS, 0);
	check_int("-0", NUMBER_FITS, 0);
	check_int("0.000e-5", NUMBER_FITS, 0);
	check_int("0e999999999", NUMBER_FITS, 0);
	check_int("12", NUMBER_FITS, 12);
	check_int("1200", NUMBER_FITS, 1200);
	check_int("-12.00", NUMBER_FITS, -12);
	check_int("1.2e1", NUMBER_FITS, 12);
	check_int("1.25E+2", NUMBER_FITS, 125);
	check_int("1200e-2", NUMBER_FITS, 12);
	check_int("0.0012e4", NUMBER_FITS, 12);
	check_int("100.0", NUMBER_FITS, 100);
	check_int("10.01e2", NUMBER_FITS, 1001);
	check_int("9223372036854775807", NUMBER_FITS, INT64_MAX);
	check_int("-9223372036854775808", NUMBER_FITS, INT64_MIN);
	check_int("9223372036854775807.0", NUMBER_FITS, INT64_MAX);
	check_int("9223372036854775808", NUMBER_TOO_LARGE, 0);
	check_int("-9223372036854775809", NUMBER_TOO_LARGE, 0);
	check_int("1e19", NUMBER_TOO_LARGE, 0);
	check_int("18446744073709551617", NUMBER_TOO_LARGE, 0);
	check_int("1e99999999999999999999", NUMBER_TOO_LARGE, 0);
	check_int("0.5", NUMBER_FRACTION, 0);
	check_int("1200e-3", NUMBER_FRACTION, 0);
	check_int("1e-99999999999999999999", NUMBER_FRACTION, 0);
}
END_TEST

/* The grammar is JSON's. */
START_TEST(test_grammar)
{
	static const char *const bad[] = {"",     "-",   "+1",    ".5",  "5.",   "01",
					  "1e",   "1e+", "1.e2",  " 1",  "1 ",   "1,5",
					  "0x10", "NaN", "1_000", "--1", "1e5.", "1-"};
	static const char *const good[] = {"0", "-0.5", "10", "1e5", "1E-05", "0.0e+0"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_msg(!number_is(bad[i], strlen(bad[i])), "%s", bad[i]);
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		ck_assert_msg(number_is(good[i], strlen(good[i])), "%s", good[i]);
}
END_TEST

static void check_decimal(const char *text, uint32_t precision, uint32_t scale, enum number_fit fit,
			  const void *bytes, size_t n)
{
	struct buf out = {0};
	buf_u8(&out, 0x55);
	ck_assert_msg(number_decimal(text, strlen(text), precision, scale, &out) == fit, "%s",
		      text);
	ck_assert_uint_eq(out.len, 1 + (fit == NUMBER_FITS ? n : 0));
	if (fit == NUMBER_FITS)
		ck_assert_msg(memcmp(out.data + 1, bytes, n) == 0, "%s", text);
	buf_free(&out);
}

#define DECIMAL(text, p, s, bytes) check_decimal(text, p, s, NUMBER_FITS, bytes, sizeof(bytes) - 1)

/* Two's complement of the least length, at every boundary of a byte. */
START_TEST(test_decimals)
{
	DECIMAL("0", 9, 2, "\0");
	DECIMAL("-0", 9, 2, "\0");
	DECIMAL("0.00", 9, 2, "\0");
	DECIMAL("1.27", 9, 2, "\x7f");
	DECIMAL("1.28", 9, 2, "\0\x80");
	DECIMAL("-1.28", 9, 2, "\x80");
	DECIMAL("-1.29", 9, 2, "\xff\x7f");
	DECIMAL("-2.56", 9, 2, "\xff\0");
	DECIMAL("4294967296", 10, 0, "\x01\0\0\0\0");
	DECIMAL("-4294967296", 10, 0, "\xff\0\0\0\0");
	DECIMAL("-2147483648", 10, 0, "\x80\0\0\0");
	DECIMAL("18446744073709551616", 20, 0, "\x01\0\0\0\0\0\0\0\0");
	DECIMAL("1e2", 3, 0, "\x64");
	DECIMAL("100e-2", 3, 0, "\x01");
	DECIMAL("12.3400", 4, 2, "\x04\xd2");
	DECIMAL("0.0000000000000000000000000001", 38, 28, "\x01");
	check_decimal("12.341", 9, 2, NUMBER_FRACTION, NULL, 0);
	check_decimal("1e-3", 9, 2, NUMBER_FRACTION, NULL, 0);
	check_decimal("123.4", 4, 2, NUMBER_TOO_LARGE, NULL, 0);
	check_decimal("1e999999999", 9, 2, NUMBER_TOO_LARGE, NULL, 0);
	check_decimal("99999", 4, 0, NUMBER_TOO_LARGE, NULL, 0);
}
END_TEST

/* Digits of any number, against a sum of our own: 10^n - 1 in base 256. */
START_TEST(test_long_decimals)
{
	for (uint32_t n = 1; n < 400; n += 13) {
		uint8_t sum[200] = {0};
		char text[400];
		struct buf out = {0};
		for (uint32_t i = 0; i < n; i++) {
			unsigned carry = 9;
			text[i] = '9';
			for (size_t j = sizeof(sum); j-- > 0;) {
				carry += sum[j] * 10u;
				sum[j] = (uint8_t)carry;
				carry >>= 8;
			}
		}
		ck_assert_int_eq(number_decimal(text, n, n, 0, &out), NUMBER_FITS);
		ck_assert_mem_eq(out.data, sum + sizeof(sum) - out.len, out.len);
		for (size_t i = 0; i < sizeof(sum) - out.len; i++)
			ck_assert_uint_eq(sum[i], 0);
		ck_assert_int_eq(number_decimal(text, n, n - 1, 0, &out), NUMBER_TOO_LARGE);
		buf_free(&out);
	}
}
END_TEST

static void check_float(const char *text)
{
	float wanted = strtof(text, NULL), v = 0;
	double wide = strtod(text, NULL), d = 0;
	ck_assert_msg(number_float(text, &v) == (isfinite(wanted) ? NUMBER_FITS : NUMBER_TOO_LARGE),
		      "%s", text);
	ck_assert_msg(memcmp(&v, &wanted, sizeof(v)) == 0, "%s: %a, not %a", text, (double)v,
		      (double)wanted);
	ck_assert_msg(number_double(text, &d) == (isfinite(wide) ? NUMBER_FITS : NUMBER_TOO_LARGE),
		      "%s", text);
	ck_assert_msg(memcmp(&d, &wide, sizeof(d)) == 0, "%s: %a, not %a", text, d, wide);
}

/*
 * Correctly rounded: where a double on the way would round twice, at half-way between two floats
 * and next to it, at both ends of the range.
 */
START_TEST(test_rounding)
{
	static const char *const texts[] = {
		"0",
		"-0",
		"0.0",
		"1",
		"-1",
		"0.1",
		"1e22",
		"1e23",
		"1e-22",
		"1e-23",
		"1e38",
		"3.4028234663852886e38",
		"3.4028235677973366e38",
		"3.4028235677973365e38",
		"1e39",
		"1.17549435e-38",
		"1.1754942e-38",
		"1.4e-45",
		"7e-46",
		"7.1e-46",
		"1e-50",
		"1e400",
		"1e-400",
		"16777217",
		"16777216.99999999",
		"16777217.00000001",
		"16777217.00000000000000000000001",
		"16777218.99999999999999999999999",
		"1.00000005960464477539062500",
		"1.00000005960464477539062501",
		"1.00000005960464477539062499",
		"9007199254740993",
		"9007199254740992.5",
		"9999999999999999999",
		"99999999999999999999",
		"18446744073709551616",
		"0.000000000000000000000000000000000000000000000000000000000000001e63",
		"2.2250738585072011e-308",
		"1.7976931348623158e308",
		"1.7976931348623159e308",
		"123456789012345678e-40",
		"0.30000001192092896",
		"8.5899345919999990e9"};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		check_float(texts[i]);
}
END_TEST

static uint64_t random64(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Random numbers of every shape, and the middles between neighbouring floats, which are the worst.
 */
START_TEST(test_random_floats)
{
	uint64_t state = 88172645463325252u;
	for (int i = 0; i < 100000; i++) {
		char text[80];
		uint64_t r = random64(&state);
		uint32_t bits = (uint32_t)(r >> 32) & 0x7fffffff;
		float a, b;
		memcpy(&a, &bits, sizeof(a));
		bits++;
		memcpy(&b, &bits, sizeof(b));
		if (!isfinite(a) || !isfinite(b))
			continue;
		double middle = ((double)a + (double)b) / 2;
		snprintf(text, sizeof(text), "%.*e", (int)(r % 25), (double)a);
		check_float(text);
		snprintf(text, sizeof(text), "%.*e", 14 + (int)(r % 12), middle);
		check_float(text);
		snprintf(text, sizeof(text), "%s%llu.%llue%d", r & 1 ? "-" : "",
			 (unsigned long long)(random64(&state) >> (r % 64)),
			 (unsigned long long)(random64(&state) >> (r / 64 % 64)),
			 (int)(r / 4096 % 60) - 40);
		check_float(text);
		snprintf(text, sizeof(text), "%.9g", (double)a * 1e-3);
		check_float(text);
	}
}
END_TEST

static Suite *number_suite(void)
{
	Suite *suite = suite_create("number");
	TCase *tc = tcase_create("number");
	tcase_add_test(tc, test_integers);
	tcase_add_test(tc, test_grammar);
	tcase_add_test(tc, test_decimals);
	tcase_add_test(tc, test_long_decimals);
	tcase_add_test(tc, test_rounding);
	tcase_add_test(tc, test_random_floats);
	suite_add_tcase(suite, tc);
	return suite;
}

UNIT_SUITE(number_suite)

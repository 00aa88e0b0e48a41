/*
 * number.c - a number in decimal digits as a value of a type: exactly, or not at all.
 *
 * Integers and decimals: the digits without zeros at either end, and the power of ten of the last
 * one, say all.
 *
 *   "-0012.3400e1"   negative, digits 1234, power -1        -> integer 123.4: a fraction;
 *                                                              decimal(9,2): 12340
 *
 * Floats: an embedding has hundreds, and strtof() took four fifths of the time of a line. So first
 * a way that is right nearly always and knows when it may not be: up to 19 digits are an integer w,
 * which becomes a double (an error of half a unit in the last place at most), times or divided by a
 * power of ten up to 10^22, which is exact in a double (half a unit more). The true value lies
 * within 2 units of this double. Unless half-way between two floats is as near as that, rounding
 * the double and rounding the true value give the same float. Else, and beyond those bounds,
 * strtof(). A double is as quick only while w is below 2^53: then the one operation rounds once
 * (W. Clinger, "How to read floating point numbers accurately").
 *
 * Needs arithmetic in double itself (FLT_EVAL_METHOD 0) and the rounding mode that a process starts
 * with. strtof() reads the point of the locale: nobody here calls setlocale(). Pure, any thread.
 */
#include "file/number.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	MAX_EXPONENT = 1000000, /* digits of an exponent are read up to here */
	MAX_DIGITS = 147455,    /* of PostgreSQL's numeric: 131072 and 16383 */
	WORD_DIGITS = 19,       /* that always fit in 64 bits */
	EXACT_POWER = 22,       /* the largest power of ten that is exact in a double */
	FLOAT_BITS_LEFT = 29,   /* of a double's fraction, that a float has not */
};

static inline bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* JSON's grammar, without blanks. */
bool number_is(const char *text, size_t len)
{
	const char *p = text, *end = text + len;
	p += p < end && *p == '-';
	const char *whole = p;
	while (p < end && is_digit(*p))
		p++;
	if (p == whole || (*whole == '0' && p - whole > 1))
		return false;
	if (p < end && *p == '.') {
		const char *point = p++;
		while (p < end && is_digit(*p))
			p++;
		if (p == point + 1)
			return false;
	}
	if (p < end && (*p == 'e' || *p == 'E')) {
		p++;
		p += p < end && (*p == '-' || *p == '+');
		const char *exponent = p;
		while (p < end && is_digit(*p))
			p++;
		if (p == exponent)
			return false;
	}
	return p == end;
}

/* ---- exact ---- */

struct digits {
	const char *p; /* the first one that is no zero */
	size_t n;      /* without zeros at the end; 0: the number is zero */
	int64_t power; /* of ten, of the last one */
	bool negative;
	const char *point; /* or where it would stand: not among the digits */
};

/* Stops where any number is out of every type's range. */
static int64_t read_exponent(const char *p, const char *end)
{
	int64_t v = 0;
	bool negative = p < end && *p == '-';
	p += p < end && (*p == '-' || *p == '+');
	for (; p < end && v < MAX_EXPONENT; p++)
		v = v * 10 + (*p - '0');
	return negative ? -v : v;
}

/* The digits of p .. end, the point passed over. */
static size_t count(const struct digits *d, const char *p, const char *end)
{
	return (size_t)(end - p) - (p <= d->point && d->point < end);
}

/* Zeros at either end are no digits; the point may stand anywhere. */
static struct digits scan(const char *text, size_t len)
{
	struct digits d = {.negative = *text == '-'};
	const char *p = text + d.negative, *end = text + len, *stop = p;
	while (stop < end && (is_digit(*stop) || *stop == '.'))
		stop++;
	const char *point = memchr(p, '.', (size_t)(stop - p));
	d.point = point ? point : stop;
	if (stop < end)
		d.power = read_exponent(stop + 1, end);
	const char *last = stop;
	while (p < last && (*p == '0' || *p == '.'))
		p++;
	while (last > p && (last[-1] == '0' || last[-1] == '.'))
		last--;
	d.p = p;
	d.n = count(&d, p, last);
	/* Digits between the last one and the point, to either side. */
	d.power += d.point >= last ? (int64_t)(d.point - last) : -(int64_t)(last - d.point - 1);
	return d;
}

/* Digit i, from the first. */
static inline unsigned digit(const struct digits *d, size_t i)
{
	const char *p = d->p + i;
	return (unsigned)(p[d->p <= d->point && p >= d->point] - '0');
}

/* Within 64 bits; the sign is put in last, as the lowest has no positive. */
enum number_fit number_int64(const char *text, size_t len, int64_t *v)
{
	struct digits d = scan(text, len);
	uint64_t magnitude = 0;
	*v = 0;
	if (d.n == 0)
		return NUMBER_FITS;
	if (d.power < 0)
		return NUMBER_FRACTION;
	if (d.power > WORD_DIGITS || d.n + (size_t)d.power > WORD_DIGITS)
		return NUMBER_TOO_LARGE;
	for (size_t i = 0; i < d.n + (size_t)d.power; i++)
		magnitude = magnitude * 10 + (i < d.n ? digit(&d, i) : 0);
	if (magnitude > (uint64_t)INT64_MAX + d.negative)
		return NUMBER_TOO_LARGE;
	*v = (int64_t)(d.negative ? 0 - magnitude : magnitude);
	return NUMBER_FITS;
}

/* limb[] is little-endian, base 2^32: n = n * by + add. */
static void multiply_add(uint32_t *limb, size_t *n, uint32_t by, uint32_t add)
{
	uint64_t carry = add;
	for (size_t i = 0; i < *n; i++) {
		carry += (uint64_t)limb[i] * by;
		limb[i] = (uint32_t)carry;
		carry >>= 32;
	}
	if (carry > 0)
		limb[(*n)++] = (uint32_t)carry;
}

/* d times ten to the zeros. Returns the number of limbs. */
static size_t to_limbs(const struct digits *d, size_t zeros, uint32_t *limb)
{
	size_t n = 0, total = d->n + zeros;
	for (size_t i = 0; i < total;) {
		uint32_t by = 1, add = 0;
		for (; i < total && by < 1000000000; i++) {
			by *= 10;
			add = add * 10 + (i < d->n ? digit(d, i) : 0);
		}
		multiply_add(limb, &n, by, add);
	}
	return n;
}

/* Big-endian two's complement, a byte of sign in front unless the first one shows it. */
static void put_limbs(uint32_t *limb, size_t n, bool negative, struct buf *out)
{
	size_t start = out->len;
	if (negative) {
		uint64_t carry = 1;
		for (size_t i = 0; i < n; i++) {
			carry += (uint32_t)~limb[i];
			limb[i] = (uint32_t)carry;
			carry >>= 32;
		}
	}
	uint8_t sign = negative ? 0xff : 0;
	buf_u8(out, sign);
	for (size_t i = n; i-- > 0;)
		buf_be32(out, limb[i]);
	size_t skip = 0;
	const uint8_t *p = out->data + start;
	while (skip + 1 < out->len - start && p[skip] == sign &&
	       (p[skip + 1] & 0x80) == (sign & 0x80))
		skip++;
	memmove(out->data + start, p + skip, out->len - start - skip);
	out->len -= skip;
}

/* Appends to out. The digits are bounded before any arithmetic. */
enum number_fit number_decimal(const char *text, size_t len, uint32_t precision, uint32_t scale,
			       struct buf *out)
{
	struct digits d = scan(text, len);
	uint32_t small[16], *limb = small;
	int64_t zeros = d.power + scale;
	if (d.n > 0 && zeros < 0)
		return NUMBER_FRACTION;
	if (d.n == 0)
		zeros = 0;
	if (d.n + (size_t)zeros > MIN(precision, (uint32_t)MAX_DIGITS))
		return NUMBER_TOO_LARGE;
	size_t limbs = (d.n + (size_t)zeros) / 9 + 2;
	if (limbs > ARRAY_LEN(small))
		limb = xmalloc(limbs * sizeof(*limb));
	put_limbs(limb, to_limbs(&d, (size_t)zeros, limb), d.negative && d.n > 0, out);
	if (limb != small)
		free(limb);
	return NUMBER_FITS;
}

/* ---- floating point ---- */

static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
				1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
				1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

/* |number| = word * 10^power. False: too many digits, or a power without an exact double. */
static inline bool read_word(const char *p, uint64_t *word, int *power)
{
	uint64_t w = 0;
	int exponent = 0;
	p += *p == '-';
	while (*p == '0')
		p++;
	const char *first = p;
	for (; is_digit(*p); p++)
		w = w * 10 + (uint64_t)(*p - '0');
	long n = p - first;
	if (*p == '.') {
		const char *point = ++p;
		if (n == 0)
			while (*p == '0')
				p++;
		first = p;
		for (; is_digit(*p); p++)
			w = w * 10 + (uint64_t)(*p - '0');
		n += p - first;
		exponent = (int)MAX(point - p, -MAX_EXPONENT);
	}
	if (n > WORD_DIGITS)
		return false;
	if ((*p | 0x20) == 'e') {
		const char *end = p + 1 + (p[1] == '-' || p[1] == '+');
		while (is_digit(*end))
			end++;
		exponent += (int)read_exponent(p + 1, end);
	}
	*word = w;
	*power = exponent;
	return exponent >= -EXACT_POWER && exponent <= EXACT_POWER && FLT_EVAL_METHOD == 0;
}

static inline double scaled(uint64_t word, int power)
{
	double d = (double)word;
	return power < 0 ? d / powers[-power] : d * powers[power];
}

/* Units in the last place of a double. */
static const uint64_t doubt = 3;

/* Is a value half-way between two floats too near to tell? */
static inline bool in_doubt(double d)
{
	uint64_t bits;
	memcpy(&bits, &d, sizeof(bits));
	uint64_t rest = bits & ((UINT64_C(1) << FLOAT_BITS_LEFT) - 1);
	uint64_t half = UINT64_C(1) << (FLOAT_BITS_LEFT - 1);
	return rest - (half - doubt) <= 2 * doubt;
}

/* The quick way, or strtof() where it may round otherwise. */
enum number_fit number_float(const char *text, float *v)
{
	uint64_t word;
	int power;
	bool negative = *text == '-';
	if (read_word(text, &word, &power)) {
		double d = scaled(word, power);
		/* 10^-22 is far above the floats with fewer bits; near FLT_MAX it may overflow */
		if (word == 0 || (d < (double)FLT_MAX / 2 && !in_doubt(d))) {
			*v = negative ? -(float)d : (float)d;
			return NUMBER_FITS;
		}
	}
	*v = strtof(text, NULL);
	return isfinite(*v) ? NUMBER_FITS : NUMBER_TOO_LARGE;
}

/* The quick way is exact only while the word has no more bits than a double. */
enum number_fit number_double(const char *text, double *v)
{
	uint64_t word;
	int power;
	if (read_word(text, &word, &power) && word <= UINT64_C(1) << DBL_MANT_DIG) {
		double d = scaled(word, power);
		*v = *text == '-' ? -d : d;
		return NUMBER_FITS;
	}
	*v = strtod(text, NULL);
	return isfinite(*v) ? NUMBER_FITS : NUMBER_TOO_LARGE;
}

/*
 * pgbin_numeric.c - Avro's decimal to PostgreSQL's numeric.
 *
 * Avro: a two's complement big-endian integer of any length, to be divided by 10^scale. PostgreSQL
 * (numeric_recv):
 *
 *   int16 ndigits | int16 weight | int16 sign | int16 dscale | ndigits of int16, base 10000,
 *                                                              most significant first
 *
 *   value = sign * sum(digit[i] * 10000^(weight - i)), shown with dscale decimals; no zero digits
 *   at either end
 *
 * Base-10000 digits stand at the decimal point, so the integer is first multiplied by 10^pad, which
 * makes the scale a multiple of 4; then dividing by 10^8 gives two digits a step, the least
 * significant first. limb[] is little-endian base 2^32, digit[] little-endian base 10^4.
 *
 * The work is quadratic in the length, so the length is bounded before any work, by the schema's
 * precision or by what numeric can hold. Decimals up to 64 bytes (153 digits) use the stack. No
 * state, any thread.
 */
#include <stdlib.h>

#include "codec/pgbin.h"

enum {
	SMALL_BYTES = 64,
	/* one for the rest of a division by 4, one for the pad */
	SMALL_LIMBS = SMALL_BYTES / 4 + 2,
	SMALL_DIGITS = SMALL_BYTES * 5 / 8 + 6,
	SIGN_NEGATIVE = 0x4000,
	MAX_SCALE = 16383,
	MAX_WEIGHT = 32767, /* 131072 digits before the point */
	MAX_DIGITS = 131072 + MAX_SCALE,
};

struct decimal {
	uint32_t *limb;
	size_t nlimbs;
	uint16_t *digit;
	size_t ndigits;
	bool negative;
	uint32_t scale, pad;
};

/* Without leading bytes that only repeat the sign. */
static struct slice trim_sign(struct slice s, bool negative)
{
	uint8_t fill = negative ? 0xff : 0;
	while (s.len > 1 && s.data[0] == fill && (s.data[1] & 0x80) == (fill & 0x80)) {
		s.data++;
		s.len--;
	}
	return s;
}

/* The magnitude of s. */
static void load_limbs(struct decimal *d, struct slice s)
{
	uint8_t flip = d->negative ? 0xff : 0;
	unsigned carry = d->negative; /* -x is ~x + 1 */
	d->nlimbs = (s.len + 3) / 4;
	for (size_t i = 0; i < d->nlimbs; i++)
		d->limb[i] = 0;
	for (size_t i = 0; i < s.len; i++) {
		unsigned byte = (uint8_t)(s.data[s.len - 1 - i] ^ flip) + carry;
		carry = byte >> 8;
		d->limb[i / 4] |= (uint32_t)(byte & 0xff) << (i % 4 * 8);
	}
}

/* The caller has left room for one limb more. */
static void multiply(struct decimal *d, uint32_t by)
{
	uint64_t carry = 0;
	for (size_t i = 0; i < d->nlimbs; i++) {
		carry += (uint64_t)d->limb[i] * by;
		d->limb[i] = (uint32_t)carry;
		carry >>= 32;
	}
	d->limb[d->nlimbs++] = (uint32_t)carry;
}

/* Divides by 10^8 in place and returns the rest. */
static uint32_t divide(struct decimal *d)
{
	uint64_t rest = 0;
	for (size_t i = d->nlimbs; i-- > 0;) {
		rest = rest << 32 | d->limb[i];
		d->limb[i] = (uint32_t)(rest / 100000000);
		rest %= 100000000;
	}
	while (d->nlimbs > 0 && d->limb[d->nlimbs - 1] == 0)
		d->nlimbs--;
	return (uint32_t)rest;
}

/* Scaled to a multiple of four decimals first, as digits stand at the decimal point. */
static void split_digits(struct decimal *d)
{
	static const uint16_t powers[] = {1, 10, 100, 1000};
	multiply(d, powers[d->pad]);
	while (d->nlimbs > 0) {
		uint32_t rest = divide(d);
		d->digit[d->ndigits++] = (uint16_t)(rest % 10000);
		d->digit[d->ndigits++] = (uint16_t)(rest / 10000);
	}
	while (d->ndigits > 0 && d->digit[d->ndigits - 1] == 0)
		d->ndigits--;
}

/* Decimal digits of the unscaled integer. */
static size_t count_decimals(const struct decimal *d)
{
	if (d->ndigits == 0)
		return 0;
	size_t n = (d->ndigits - 1) * 4;
	for (uint16_t top = d->digit[d->ndigits - 1]; top > 0; top /= 10)
		n++;
	return n - d->pad;
}

/* weight counts digits of base 10000 before the point, less one. */
static void write_numeric(struct buf *out, const struct decimal *d)
{
	size_t from = 0; /* zeros at the low end are not written */
	while (from < d->ndigits && d->digit[from] == 0)
		from++;
	size_t n = d->ndigits - from;
	int weight = n == 0 ? 0 : (int)d->ndigits - 1 - (int)((d->scale + d->pad) / 4);
	uint8_t *p = buf_take(out, 12 + n * 2);
	put_be32(p, (uint32_t)(8 + n * 2));
	put_be16(p + 4, (uint16_t)n);
	put_be16(p + 6, (uint16_t)weight);
	put_be16(p + 8, d->negative && n > 0 ? SIGN_NEGATIVE : 0);
	put_be16(p + 10, (uint16_t)d->scale);
	for (size_t i = 0; i < n; i++)
		put_be16(p + 12 + i * 2, d->digit[d->ndigits - 1 - i]);
}

/* The schema's precision first, for its message says more. */
static bool write_checked(struct buf *out, const struct decimal *d, uint32_t precision,
			  struct refusal *why)
{
	size_t decimals = count_decimals(d);
	if (precision && decimals > precision)
		return refuse(why, REASON_OUT_OF_RANGE, "decimal of %zu digits, precision is %u",
			      decimals, precision);
	if (d->ndigits > MAX_WEIGHT + 1 + (d->scale + d->pad) / 4)
		return refuse(why, REASON_OUT_OF_RANGE,
			      "decimal of %zu digits does not fit numeric", decimals);
	write_numeric(out, d);
	return true;
}

/* Small ones on the stack; the length is bounded before anything is computed. */
bool pgbin_numeric(struct buf *out, struct slice unscaled, uint32_t precision, uint32_t scale,
		   struct refusal *why)
{
	if (scale > MAX_SCALE)
		return refuse(why, REASON_OUT_OF_RANGE, "scale %u, numeric has at most %d", scale,
			      MAX_SCALE);
	struct decimal d = {.negative = unscaled.len > 0 && unscaled.data[0] & 0x80,
			    .scale = scale};
	d.pad = (4 - scale % 4) % 4;
	struct slice s = trim_sign(unscaled, d.negative);
	uint64_t digits = precision && precision < MAX_DIGITS ? precision : MAX_DIGITS;
	if (s.len > digits * 4153 / 10000 + 2) /* log256(10) is 0.41524 */
		return refuse(why, REASON_OUT_OF_RANGE,
			      "decimal of %zu bytes has more than %llu digits", s.len,
			      (unsigned long long)digits);
	uint32_t small_limbs[SMALL_LIMBS] = {0};
	uint16_t small_digits[SMALL_DIGITS];
	bool small = s.len <= SMALL_BYTES;
	d.limb = small ? small_limbs : xmalloc((s.len / 4 + 2) * sizeof(*d.limb));
	d.digit = small ? small_digits : xmalloc((s.len * 5 / 8 + 6) * sizeof(*d.digit));
	load_limbs(&d, s);
	split_digits(&d);
	bool fits = write_checked(out, &d, precision, why);
	if (!small) {
		free(d.limb);
		free(d.digit);
	}
	return fits;
}

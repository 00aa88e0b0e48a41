/*
 * number.h - a number in decimal digits as a value of a type: exactly, or not at all. Floating
 * point is the exception, which cannot be exact: it is the nearest value there is.
 *
 * The text is a number of JSON's grammar: [-] digits [. digits] [e [sign] digits]. What stands
 * behind it must not be a digit, a point or an e, and must be readable for one byte.
 */
#pragma once

#include "base/base.h"
#include "base/buf.h"

enum number_fit {
	NUMBER_FITS,
	NUMBER_FRACTION,  /* digits behind the point that the type has no room for */
	NUMBER_TOO_LARGE, /* out of range, or too many digits in front of the point */
};

/* Is this text such a number, and nothing else? */
bool number_is(const char *text, size_t len);

/* 1.0 and 1e3 are integers. */
enum number_fit number_int64(const char *text, size_t len, int64_t *v);

/* Appends the unscaled value, shortest big-endian two's complement. Zeros behind are no digits. */
enum number_fit number_decimal(const char *text, size_t len, uint32_t precision, uint32_t scale,
			       struct buf *out);

/* Correctly rounded. TOO_LARGE: beyond the largest finite value. What is too small is 0. */
enum number_fit number_float(const char *text, float *v);
/* The nearest; NUMBER_TOO_LARGE where that is infinite. */
enum number_fit number_double(const char *text, double *v);

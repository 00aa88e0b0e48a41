/*
 * scalar.h - one value of a text file, a number or a text, as Avro bytes of a type.
 *
 * Each appends the value. On failure out may hold a part of it; err has class POISON and says what
 * was wanted, what was found, and why it does not do.
 */
#pragma once

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"
#include "schema/schema.h"

/* A number (see number.h): for int, long, float, double, and decimals. */
MUST_CHECK bool scalar_number(const struct schema_type *t, const char *text, size_t len,
			      struct buf *out, struct err *err);

/*
 * A text, in UTF-8:
 *
 *   string         as it is; of logical type uuid only what is one
 *   enum           a symbol
 *   date, time ... as moment.h says
 *   decimal        a number in digits
 *   float, double  NaN, Infinity, -Infinity
 *   fixed uuid     its hexadecimal digits
 *   bytes, fixed   scalar_bytes()
 */
MUST_CHECK bool scalar_text(const struct schema_type *t, const char *text, size_t len,
			    struct buf *out, struct err *err);

/* Bytes or fixed, of whatever logical type, as Avro's JSON encoding has them: one code point a
 * byte. */
MUST_CHECK bool scalar_bytes(const struct schema_type *t, const char *text, size_t len,
			     struct buf *out, struct err *err);

/* For a value that none of these take: found is "an array" or the value itself. Returns false. */
bool scalar_refuse(const struct schema_type *t, const char *found, const char *why,
		   struct err *err);

/*
 * pgbin.h - PostgreSQL values in the form of COPY BINARY: appends one field (int32 length, then the
 * value) to a buffer.
 *
 * A function that can refuse a value returns false with *why filled, and leaves out as it was. The
 * others cannot fail. An element of an array has the same form as a field, so the same functions
 * append both. Forms: the *_recv functions of PostgreSQL's backend and of pgvector.
 */
#pragma once

#include "base/base.h"
#include "base/buf.h"
#include "codec/reason.h"

/* OIDs of built-in types that may stand in an array; fixed in every PostgreSQL. */
enum pgbin_oid {
	OID_NONE = 0,
	OID_BOOL = 16,
	OID_BYTEA = 17,
	OID_INT8 = 20,
	OID_INT2 = 21,
	OID_INT4 = 23,
	OID_TEXT = 25,
	OID_FLOAT4 = 700,
	OID_FLOAT8 = 701,
	OID_BPCHAR = 1042,
	OID_VARCHAR = 1043,
	OID_DATE = 1082,
	OID_TIME = 1083,
	OID_TIMESTAMP = 1114,
	OID_TIMESTAMPTZ = 1184,
	OID_INTERVAL = 1186,
	OID_NUMERIC = 1700,
	OID_UUID = 2950,
	OID_JSONB = 3802,
};

/*
 * OID of a type by its SQL name, with or without "(n)" and "[]", any case, in the short and the
 * standard spelling ("int8", "bigint", "timestamp with time zone"). OID_NONE for any other.
 */
enum pgbin_oid pgbin_oid(const char *type);

#define PGBIN_VECTOR_MAX_DIM 16000u /* of vector and halfvec */

/* In an array as well. */
static inline void pgbin_null(struct buf *out)
{
	buf_be32(out, UINT32_MAX);
}

/* Fixed width: these cannot fail. */
static inline void pgbin_bool(struct buf *out, bool v)
{
	uint8_t *p = buf_take(out, 5);
	put_be32(p, 1);
	p[4] = v ? 1 : 0;
}

/* The caller knows that the value fits, here and below. */
static inline void pgbin_int2(struct buf *out, int16_t v)
{
	uint8_t *p = buf_take(out, 6);
	put_be32(p, 2);
	put_be16(p + 4, (uint16_t)v);
}

static inline void pgbin_int4(struct buf *out, int32_t v)
{
	uint8_t *p = buf_take(out, 8);
	put_be32(p, 4);
	put_be32(p + 4, (uint32_t)v);
}

static inline void pgbin_int8(struct buf *out, int64_t v)
{
	uint8_t *p = buf_take(out, 12);
	put_be32(p, 8);
	put_be64(p + 4, (uint64_t)v);
}

static inline void pgbin_float4(struct buf *out, float v)
{
	uint32_t bits;
	memcpy(&bits, &v, sizeof(bits));
	pgbin_int4(out, (int32_t)bits);
}

static inline void pgbin_float8(struct buf *out, double v)
{
	uint64_t bits;
	memcpy(&bits, &v, sizeof(bits));
	pgbin_int8(out, (int64_t)bits);
}

/* Text or bytea, at most INT32_MAX - 1 bytes. The caller checks text (text_check_utf8). */
static inline void pgbin_bytes(struct buf *out, struct slice v)
{
	uint8_t *p = buf_take(out, 4 + v.len);
	put_be32(p, (uint32_t)v.len);
	if (v.len > 0)
		memcpy(p + 4, v.data, v.len);
}

/* JSON is the caller's to check first (text_check_json). */
static inline void pgbin_jsonb(struct buf *out, struct slice json)
{
	uint8_t *p = buf_take(out, 5 + json.len);
	put_be32(p, (uint32_t)json.len + 1);
	p[4] = 1; /* version of jsonb's binary form */
	if (json.len > 0)
		memcpy(p + 5, json.data, json.len);
}

/* Narrowing: REASON_OUT_OF_RANGE when v does not fit. */
MUST_CHECK bool pgbin_int2_checked(struct buf *out, int64_t v, struct refusal *why);
MUST_CHECK bool pgbin_int4_checked(struct buf *out, int64_t v, struct refusal *why);
/* NaN and infinity pass */
MUST_CHECK bool pgbin_float4_checked(struct buf *out, double v, struct refusal *why);

void pgbin_uuid(struct buf *out, const uint8_t v[16]); /* Its 16 bytes in order. */
/* In any form that PostgreSQL reads; else REASON_INVALID_TEXT. */
MUST_CHECK bool pgbin_uuid_text(struct buf *out, struct slice text, struct refusal *why);

/* Days since 1970-01-01 (Avro). REASON_OUT_OF_RANGE outside 4714-11-24 BC .. 5874897-12-31. */
MUST_CHECK bool pgbin_date(struct buf *out, int64_t days, struct refusal *why);
/* Microseconds of the day, 0 .. 86400000000 (24:00:00). */
MUST_CHECK bool pgbin_time(struct buf *out, int64_t micros, struct refusal *why);

enum pgbin_unit { UNIT_MILLIS, UNIT_MICROS, UNIT_NANOS };

/*
 * Since 1970-01-01 in that unit; timestamp and timestamptz. Nanoseconds are cut to microseconds,
 * towards the past. REASON_OUT_OF_RANGE outside 4714-11-24 BC .. 294276-12-31.
 */
MUST_CHECK bool pgbin_timestamp(struct buf *out, int64_t v, enum pgbin_unit unit,
				struct refusal *why);
/* The number that pgbin_timestamp() would write: microseconds since 2000-01-01. */
MUST_CHECK bool pgbin_timestamp_us(int64_t v, enum pgbin_unit unit, int64_t *us,
				   struct refusal *why);

/* Avro's duration: months, days, milliseconds. REASON_OUT_OF_RANGE over INT32_MAX of the former. */
MUST_CHECK bool pgbin_interval(struct buf *out, const uint8_t v[12], struct refusal *why);

/*
 * Avro's decimal: two's complement, big-endian, of any length (an empty one is 0), divided by
 * 10^scale. REASON_OUT_OF_RANGE for more digits than precision (0: unknown, the limits of numeric
 * only).
 */
MUST_CHECK bool pgbin_numeric(struct buf *out, struct slice unscaled, uint32_t precision,
			      uint32_t scale, struct refusal *why);

/* Begin, a field per element (or pgbin_null()), end. To give it up, set out->len to start. */
struct pgbin_array {
	size_t start; /* of the field in out */
};
struct pgbin_array pgbin_array_begin(struct buf *out, enum pgbin_oid element);
void pgbin_array_end(struct buf *out, struct pgbin_array a, uint32_t count, bool has_null);
/* n elements of a real[] at once, from little-endian floats. */
void pgbin_array_floats(struct buf *out, const uint8_t *le, size_t n);

/*
 * A vector or halfvec, in pieces: begin, any number of floats and doubles (little-endian, as Avro
 * has them), end. dim 0 takes 1 .. PGBIN_VECTOR_MAX_DIM. All three refuse with
 * REASON_INVALID_EMBEDDING: another number of elements, NaN, infinity, and what the element type
 * cannot hold; out is then as it was before begin.
 */
enum pgbin_vector_kind { VECTOR_FLOAT4, VECTOR_HALF };
struct pgbin_vector {
	size_t start; /* of the field in out */
	enum pgbin_vector_kind kind;
	uint32_t dim;   /* wanted, or 0 */
	uint64_t count; /* elements so far */
};
/* Fills nothing in yet: end does. */
struct pgbin_vector pgbin_vector_begin(struct buf *out, enum pgbin_vector_kind kind, uint32_t dim);
MUST_CHECK bool pgbin_vector_floats(struct buf *out, struct pgbin_vector *v, const uint8_t *le,
				    size_t n, struct refusal *why);
MUST_CHECK bool pgbin_vector_doubles(struct buf *out, struct pgbin_vector *v, const uint8_t *le,
				     size_t n, struct refusal *why);
/* The vector is complete: checks the number of elements. */
MUST_CHECK bool pgbin_vector_end(struct buf *out, const struct pgbin_vector *v,
				 struct refusal *why);

/* IEEE binary16 of v, ties to even; false when v is finite and too large for it. */
MUST_CHECK bool pgbin_half(float v, uint16_t *half);

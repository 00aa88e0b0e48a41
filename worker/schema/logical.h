/* logical.h - logical types: which there are, and what a schema says of them, valid or not. */
#pragma once

#include "base/base.h"

struct buf;
struct schema;

enum schema_logical {
	LOGICAL_NONE,
	LOGICAL_DATE,             /* int */
	LOGICAL_TIME_MILLIS,      /* int */
	LOGICAL_TIME_MICROS,      /* long, as all of the following */
	LOGICAL_TIMESTAMP_MILLIS, /* an instant */
	LOGICAL_TIMESTAMP_MICROS,
	LOGICAL_TIMESTAMP_NANOS,
	LOGICAL_LOCAL_MILLIS, /* a wall clock without time zone */
	LOGICAL_LOCAL_MICROS,
	LOGICAL_LOCAL_NANOS,
	LOGICAL_UUID,     /* string, or fixed of 16 */
	LOGICAL_DECIMAL,  /* bytes or fixed */
	LOGICAL_DURATION, /* fixed of 12 */
};

#define SCHEMA_UNCLEAR INT64_MIN

/* What "logicalType" says, whether or not Avro takes it: see logical.c. */
struct schema_claim {
	const char *text;            /* as written; NULL: there is none */
	enum schema_logical logical; /* by that name alone; NONE: unknown */
	bool beside;                 /* it stands beside the type, where Avro does not look */
	int64_t precision, scale;    /* of a decimal, or SCHEMA_UNCLEAR */
};

/* A line ("field 'a.b': ...") for each logical type that Avro ignores where it stands. */
void logical_flaws(const struct schema *s, struct buf *out);

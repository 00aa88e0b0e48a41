/*
 * reason.h - why an event became a dead letter: the closed list that tables, metrics and people
 * share.
 */
#pragma once

#include "base/base.h"

enum dead_reason {
	REASON_FRAME, /* the envelope around the Avro bytes is wrong */
	/*
	 * the schema id or fingerprint is known to nobody, or what was written (a record, a branch,
	 * a symbol) has no place in the stream's schema
	 */
	REASON_SCHEMA,
	REASON_DECODE,            /* the bytes are not what the writer schema says */
	REASON_MISSING_FIELD,     /* null where the table wants a value */
	REASON_INVALID_EMBEDDING, /* wrong dimension, NaN or infinity */
	REASON_INVALID_JSON,
	REASON_INVALID_TEXT, /* NUL byte or not UTF-8 */
	REASON_OUT_OF_RANGE, /* an integer, date or timestamp that the column's type cannot hold */
	/* over a limit of the config, or an index key that PostgreSQL cannot store */
	REASON_TOO_LARGE,
	REASON_CONSTRAINT, /* PostgreSQL: class 23 */
	REASON_DATABASE,   /* PostgreSQL refused this row for another reason */
	REASON_EMBED,      /* the model that makes vectors refuses its text */
	REASON_OPERATOR,   /* it halted its partition, and an operator skipped it */
	REASON_COUNT,
};

/* "frame", "schema", ... as written to memingest.dead_letters. */
const char *dead_reason_name(enum dead_reason reason);

/* A function that checks a value answers with it; who knows the field makes an err of it. */
struct refusal {
	enum dead_reason reason;
	/* follows the field's name; no data but numbers */
	char text[200];
};

/* Fills it and returns false, so that "return refuse(...)" reads well. A longer text is cut. */
bool refuse(struct refusal *why, enum dead_reason reason, const char *fmt, ...) PRINTF_LIKE(3, 4);

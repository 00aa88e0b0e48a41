/*
 * decode.h - from the bytes of one datum to the bytes of one row, by a plan.
 *
 * A row is the table's columns in their order as COPY BINARY has them, without the number of fields
 * in front.
 */
#pragma once

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"
#include "codec/reason.h"
#include "codec/table.h"

struct plan;
struct decoder;

/* Bounds on what one event may ask of us; section [limits] of the config. */
struct decode_limits {
	uint32_t max_depth;        /* nested values */
	uint32_t max_items;        /* of all arrays and maps of one datum together */
	uint32_t max_string_bytes; /* one string, bytes or JSON text */
	uint32_t max_row_bytes;    /* the encoded row */
	uint32_t max_key_bytes;    /* the encoded key columns */
};

enum record_op { RECORD_UPSERT, RECORD_DELETE };

/*
 * Where in the row a vector is to be made of a text: fields, with their lengths. The vector stands
 * there at its full size, all zeros.
 */
struct record_want {
	uint32_t vector_at, text_at;
	uint32_t embed; /* which of table->embeds */
};

struct record {
	enum record_op op;
	bool has_version; /* the table has a version column and it is not null */
	/*
	 * comparable among the table's versions, and as it stands in the row: microseconds since
	 * 2000 for timestamps, days since 2000 for dates, the number for integers. (Since 1970, a
	 * timestamp of PostgreSQL's last years does not fit.)
	 */
	int64_t version;
	size_t row_len;                              /* bytes appended to out */
	size_t key_len;                              /* of these, the key columns */
	struct record_want wants[TABLE_EMBEDS_MOST]; /* vectors that are to be made */
	size_t nwants;
	enum dead_reason reason; /* when decoding failed */
	bool other;              /* it failed, since the datum is not the stream's record */
};

/* one per thread; keeps scratch memory */
struct decoder *decoder_new(const struct decode_limits *limits);
void decoder_free(struct decoder *d); /* NULL is fine */

/*
 * Appends one row to out. On failure out is as it was, err has class POISON and a text that names
 * field and position, and record->reason says why; class CONFIG if it is the stream's record, but
 * not as its schema wants it. Reads nothing outside body.
 */
MUST_CHECK bool decode_record(struct decoder *d, const struct plan *plan, struct slice body,
			      struct buf *out, struct record *record, struct err *err);

#define DECODE_NO_VERSION INT64_MIN

/*
 * The same for a message's key, with a plan of plan_new_key(): the row of a delete, with its key
 * columns and nulls. If the table's version is a timestamp, the last microsecond of version_ms
 * (since 1970), so as not to lose to an event just before, stands in its column, unless it is
 * DECODE_NO_VERSION or later than any that PostgreSQL knows: then it is newer than any row.
 */
MUST_CHECK bool decode_key(struct decoder *d, const struct plan *plan, struct slice body,
			   int64_t version_ms, struct buf *out, struct record *record,
			   struct err *err);

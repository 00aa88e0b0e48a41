/*
 * generate.h - real-looking events of any stream, from its schema alone: for "produce", benchmarks
 * and tests. The same options give the same events, byte for byte, if start_time_us is set.
 */
#pragma once

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"
#include "codec/reason.h"
#include "codec/table.h"
#include "schema/frame.h"
#include "schema/schema.h"

struct generator;

struct generator_options {
	uint64_t seed;
	uint64_t keys; /* distinct keys; 0: a new one for each event */
	/* of the events go to a key that was used before; when all keys are used, all do */
	double update_share;
	double delete_share;    /* of the events are deletes, where the schema has a delete field */
	double tombstone_share; /* of the events have a key and no value */
	double late_share;      /* of the events are up to 10 s older than the one before */
	double poison_share;    /* of the events can never be stored; their kinds take turns */
	int64_t start_time_us;  /* event time of the first, microseconds since 1970; 0: the clock */
	int64_t step_us;        /* between event times, with start_time_us; 0: one millisecond */
	enum frame_format format;
	uint64_t schema_id, key_schema_id; /* registry ids or fingerprints, for the envelope */
};

enum generated_op { GENERATED_UPSERT, GENERATED_DELETE, GENERATED_TOMBSTONE, GENERATED_POISON };

struct generated {
	enum generated_op op;
	uint64_t key_index; /* 0 .. keys - 1 */
	bool update;        /* of a key that an earlier event used */
	int64_t time_us;    /* what the version column holds, if it is a time */
	/* what is wrong, of GENERATED_POISON: "wrong dimension", "NaN", ... */
	const char *poison;
	enum dead_reason reason; /* and the dead letter that it must become */
	/* with envelope; value.data is NULL for a tombstone. Until the next call */
	struct slice key, value;
	struct slice datum; /* the value without its envelope */
};

/*
 * Borrows table, its reader schema and key_schema (NULL: the message key is plain text), which must
 * outlive it. NULL with class CONFIG when a key column has a type that cannot count.
 */
struct generator *generator_new(const struct table *table, const struct schema *key_schema,
				const struct generator_options *options, struct err *err);
void generator_free(struct generator *g); /* NULL is fine */

/* The next event. Borrowed from the generator until the next call. */
const struct generated *generator_next(struct generator *g);

/* The message key for a key index alone, as generator_next() has it. Appends to out. */
void generator_key(const struct generator *g, uint64_t key_index, struct buf *out);

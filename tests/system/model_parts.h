/*
 * model_parts.h - the model's own data, shared by model.c (what must be) and model_check.c (whether
 * it is). Nobody else includes it.
 *
 * A value of a column is a json_t: null for SQL null, a number, a boolean, a string; a string of
 * raw float bytes for a vector; {"j": value} for jsonb (whose own null is not SQL null);
 * microseconds since 1970 for a timestamp; an array of strings for text[].
 */
#pragma once

#include <uthash.h>

#include "bed.h"
#include "broker.h"
#include "codec/table.h"
#include "schema/schema.h"

struct model_row {
	UT_hash_handle hh;
	char *key;         /* the key columns as JSON text */
	json_t *values;    /* array, one per column of the table */
	int32_t partition; /* of the last upsert of this key, as the next */
	int64_t offset;
	bool seen; /* by the comparison */
};

struct model_dead {
	const char *topic;
	int32_t partition;
	int64_t offset;
	const char *reason; /* NULL: any */
	bool seen;
};

struct model_partition {
	const char *topic;
	int32_t partition;
	int64_t start;    /* first offset that counts */
	int64_t next;     /* to be read */
	int64_t messages; /* from start on */
	int64_t dead, skipped;
};

struct model_stream {
	struct bed_stream *stream;
	struct schema *schema;
	struct table *table;
	json_t *reader;
	struct model_row *rows; /* by key */
	int32_t partition;      /* of the message that is being applied, as the next */
	int64_t offset;
};

struct model_gap {
	const char *topic;
	int32_t partition;
	int64_t from, to;
};

struct model {
	struct bed *bed;
	void (*hear)(void *ctx, const struct broker_message *msg); /* NULL: nobody does */
	void *hear_ctx;
	struct model_gap *gaps;
	size_t ngaps;
	struct model_stream streams[BED_STREAMS];
	size_t nstreams;
	struct model_stream *current;
	struct model_dead *dead;
	size_t ndead, cap_dead;
	struct model_partition *partitions;
	size_t npartitions;
	json_t *schemas; /* by path at the registry: schema, or null when it has none */
};

char *model_key_text(const struct table *table, json_t *values); /* the caller frees it */
struct model_dead *model_add_dead(struct model *m, const char *topic, int32_t partition,
				  int64_t offset, const char *reason);

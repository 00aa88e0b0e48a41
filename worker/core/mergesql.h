/*
 * mergesql.h - the SQL of one stream, made once from its table: staging table, COPY, merge.
 *
 * Staging table (one per connection and stream, temporary, ON COMMIT DELETE ROWS), columns:
 *
 *   _part int2 | _op "char" | the table's columns in COPY order, with their staging types
 *
 * _part is the index of the row's partition in its batch, _op is 'U' (upsert), 'J' (the same, with
 * JSON objects that were united) or 'D' (delete; only key columns and version matter). A batch
 * hands every key at most once per merge; core/arrange folds the rest.
 */
#pragma once

#include "base/base.h"
#include "base/buf.h"
#include "codec/table.h"
#include "core/config.h"

/* Columns that the staging table has beside the table's own, in front. */
#define MERGESQL_STAGE_COLUMNS 2

/* What a table is like. */
enum trait {
	TRAIT_TYPES = 1,   /* a column is missing or of another type */
	TRAIT_TIES = 2,    /* rows of different keys depend on each other */
	TRAIT_REFUSES = 4, /* a row may be refused by its values */
	TRAIT_INDEXED = 8, /* a column is in an index beside the key's */
	TRAIT_MISFIT = 16, /* no row of the stream can land, whatever its values */
	TRAIT_RISK = 32,   /* nothing for the ways; people should know */
};

struct mergesql {
	char *stage_name; /* qualified and quoted: pg_temp."memingest_stage_memory" */
	/* CREATE TEMP TABLE IF NOT EXISTS ... ON COMMIT DELETE ROWS; ALTER .. */
	char *create_stage;
	char *copy_stage; /* COPY stage FROM STDIN (FORMAT binary) */

	/*
	 * COPY into the table itself, for rows whose keys are new; NULL where a column must be
	 * cast. In front of it lock_table, and check_direct, which fails with 42704 where it would
	 * be wrong: columns of other types, whose fields it would misread, or triggers, which may
	 * drop rows uncounted.
	 */
	char *copy_direct, *lock_table, *check_direct;
	/* What 'D' rows say, honouring on_conflict. A row per partition: _part, count. */
	char *merge_delete;
	/* INSERT ... SELECT ... ON CONFLICT; its row count is the number of rows written. */
	char *merge_upsert;
	/*
	 * In front of merge_upsert if there are 'J' rows: fails with 42704 where the table holds
	 * JSON that is no object under their keys. NULL if no column is merged as JSON.
	 */
	char *check_united;
	/*
	 * After merge_upsert: one row per partition: _part, count of rows that wrote nothing. Not
	 * under a savepoint (rows then carry the savepoint's transaction id). A row that an earlier
	 * round of the transaction wrote counts as written.
	 */
	char *count_skipped;
	char *clear_stage; /* empties the stage within the transaction, between rounds */

	/* merge_upsert for one row, whose fields in COPY order are $1, $2, ... */
	char *upsert_row;
	/*
	 * The same as two statements, of which at most one writes. ON CONFLICT shows the event's
	 * row to BEFORE INSERT triggers, CHECK, NOT NULL and policies before it looks for the key,
	 * also if it will be but a change (amount + -6); these show what lands. update_row is NULL
	 * if events change nothing.
	 */
	char *update_row, *insert_row;
	/* merge_delete: the key's fields, then that of column delete_version, unless it is 0 */
	char *delete_row;
	size_t delete_version;

	/* worker/sql/traits.sql: rows of an enum trait, as a number, and what gives it, in words */
	char *traits;
	/* into the stage, a row that the table holds, if it holds any; and out of the table */
	char *take_witness, *remove_witness;
};

/* Newer without a version column means update: there is nothing to compare. */
struct mergesql *mergesql_new(const char *stream, const struct table *table,
			      enum on_conflict on_conflict);
void mergesql_free(struct mergesql *m); /* NULL is fine */

/*
 * mergesql.h - the SQL of one stream, made once from its table: staging table, COPY, merge.
 *
 * Staging table (one per connection and stream, temporary, ON COMMIT DELETE ROWS), columns:
 *
 *   _part int2 | _op "char" | the table's columns in COPY order, with their staging types
 *
 * _part is the index of the row's partition in its batch, _op is 'U' (upsert) or 'D' (delete; only
 * key columns and version matter). A batch hands every key at most once per merge; core/batch folds
 * the rest.
 */
#ifndef MEMINGEST_MERGESQL_H
#define MEMINGEST_MERGESQL_H

#include "base/base.h"
#include "base/buf.h"
#include "codec/table.h"
#include "core/config.h"

/* Columns that the staging table has beside the table's own, in front. */
#define MERGESQL_STAGE_COLUMNS 2

struct mergesql {
	char *stage_name; /* qualified and quoted: pg_temp."memingest_stage_memory" */
	/* CREATE TEMP TABLE IF NOT EXISTS ... ON COMMIT DELETE ROWS; ALTER .. */
	char *create_stage;
	char *copy_stage; /* COPY stage FROM STDIN (FORMAT binary) */

	/*
	 * Deletes what 'D' rows say, honouring on_conflict. Returns one row per partition: _part,
	 * count.
	 */
	/*
	 * COPY into the table itself, for rows whose keys are new; NULL where a column must be cast
	 */
	char *copy_direct;
	char *merge_delete;
	/* INSERT ... SELECT ... ON CONFLICT; its row count is the number of rows written. */
	char *merge_upsert;
	/*
	 * Fails with 42704 where copy_direct would misread fields: columns of the table are not of
	 * the schema's types.
	 */
	char *check_types;
	char *upsert_row; /* merge_upsert for one row, whose fields in COPY order are $1, $2, ... */
	/*
	 * and merge_delete: the key's fields, then that of column delete_version, unless that is 0
	 */
	char *delete_row;
	size_t delete_version;
	/*
	 * After merge_upsert: one row per partition: _part, count of 'U' rows that wrote nothing.
	 * Not under a savepoint (rows then carry the savepoint's transaction id). A row that an
	 * earlier round of the transaction wrote counts as written.
	 */
	char *count_skipped;
	char *clear_stage; /* empties the stage within the transaction, between rounds */
};

/* Newer without a version column means update: there is nothing to compare. */
struct mergesql *mergesql_new(const char *stream, const struct table *table,
			      enum on_conflict on_conflict);
void mergesql_free(struct mergesql *m);

#endif

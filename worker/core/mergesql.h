/*
 * mergesql.h - the SQL of one stream, made once from its table: staging table, COPY, merge, and the DDL of migrate.
 *
 * Staging table (one per connection and stream, temporary, ON COMMIT DELETE ROWS), columns:
 *
 *   _part int2 | _op "char" | the table's columns in COPY order, with their staging types
 *
 * _part is the index of the row's partition in its batch, _op is 'U' (upsert) or 'D' (delete; only key columns and
 * version matter). A batch hands every key at most once per merge; core/batch folds the rest.
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
	char *stage_name;   /* qualified and quoted: pg_temp."memingest_stage_memory" */
	char *create_stage; /* CREATE TEMP TABLE IF NOT EXISTS ... ON COMMIT DELETE ROWS; ALTER .. */
	char *copy_stage;   /* COPY stage FROM STDIN (FORMAT binary) */

	/* Deletes what 'D' rows say, honouring on_conflict. Returns one row per partition: _part, count. */
	char *copy_direct; /* COPY into the table itself, for rows whose keys are new; NULL where a column must be cast */
	char *merge_delete;
	/* INSERT ... SELECT ... ON CONFLICT; its row count is the number of rows written. */
	char *merge_upsert;
	/* Fails with 42704 where copy_direct would misread fields: columns of the table are not of the schema's types. */
	char *check_types;
	char *upsert_row; /* merge_upsert for one row, whose fields in COPY order are $1, $2, ... */
	char *delete_row; /* and merge_delete: the key's fields, then that of column delete_version, unless that is 0 */
	size_t delete_version;
	/*
	 * After merge_upsert: one row per partition: _part, count of 'U' rows that wrote nothing. Not under a savepoint
	 * (rows then carry the savepoint's transaction id). A row that an earlier round of the transaction wrote counts
	 * as written.
	 */
	char *count_skipped;
	char *clear_stage; /* empties the stage within the transaction, between rounds */
};

/* Newer without a version column means update: there is nothing to compare. */
struct mergesql *mergesql_new(const char *stream, const struct table *table, enum on_conflict on_conflict);
void mergesql_free(struct mergesql *m);

/*
 * DDL for "migrate": CREATE TABLE IF NOT EXISTS with primary key, created_at, updated_at, indexes. The statements stand
 * one per line group, each ending in ";\n", fit to be read and pasted.
 */
void mergesql_ddl(const struct table *table, struct buf *out);
/* The same, piece by piece. */
void mergesql_create_table(const struct table *table, struct buf *out);
/* ALTER COLUMN .. SET setting value, as in SET STORAGE external; nothing if value is NULL. */
void mergesql_set_column(const struct table *table, size_t column, const char *setting, const char *value,
			 struct buf *out);
void mergesql_create_index(const struct table *table, size_t index, struct buf *out);
/* Its name: the annotation's, or one derived from table and definition that stays the same, at most 63 bytes. */
void mergesql_index_name(const struct table *table, size_t index, struct buf *out);

/* ALTER TABLE ... ADD COLUMN for one column that the table lacks. column == ncolumns: created_at, + 1: updated_at. */
void mergesql_add_column(const struct table *table, size_t column, struct buf *out);
/* GRANTs for a worker's role on this table. */
void mergesql_grants(const struct table *table, const char *role, struct buf *out);

/* Appends the table's quoted name, with its schema if it has one: "agents"."memory_entries". */
void mergesql_table_name(const struct table *table, struct buf *out);

/* worker/sql/bookkeeping.sql: idempotent; every statement ends in ";\n" and creates one thing. */
extern const char sql_bookkeeping[];

#endif

/*
 * mergesql.h - the SQL of one stream, made once from its table: staging table, COPY, merge, and the DDL of migrate.
 *
 * Staging table (one per connection and stream, temporary, ON COMMIT DELETE ROWS), columns:
 *
 *   _part int2 | _op "char" | the table's columns in COPY order, with their staging types
 *
 * _part is the index of the row's partition in its batch, _op is 'U' (upsert) or 'D' (delete; only key columns and version matter).
 * A batch hands every key at most once per merge; core/batch folds the rest.
 */
#ifndef MEMINGEST_MERGESQL_H
#define MEMINGEST_MERGESQL_H

#include "base/base.h"
#include "base/buf.h"
#include "codec/table.h"
#include "core/config.h"

struct mergesql {
	char *stage_name;   /* quoted: "memingest_stage_memory" */
	char *create_stage; /* CREATE TEMP TABLE IF NOT EXISTS ... ON COMMIT DELETE ROWS */
	char *copy_stage;   /* COPY stage FROM STDIN (FORMAT binary) */
	char *copy_columns; /* number of fields of a staged tuple is ncolumns + 2 */
	char *merge_delete; /* deletes what 'D' rows say, honouring on_conflict; returns one row per partition: _part, count */
	char *merge_upsert; /* INSERT ... SELECT ... ON CONFLICT; its row count is the number of rows written */
	char *count_skipped; /* after merge_upsert: one row per partition: _part, count of 'U' rows that wrote nothing */
	char *clear_stage;  /* empties the stage within the transaction, between rounds */
};

struct mergesql *mergesql_new(const char *stream, const struct table *table, enum on_conflict on_conflict);
void mergesql_free(struct mergesql *m);

/*
 * DDL for "migrate": CREATE TABLE IF NOT EXISTS with primary key, created_at, updated_at, indexes. The statements stand one
 * per line group, each ending in ";\n", fit to be read and pasted.
 */
void mergesql_ddl(const struct table *table, struct buf *out);
/* ALTER TABLE ... ADD COLUMN for one column that the table lacks. */
void mergesql_add_column(const struct table *table, size_t column, struct buf *out);
/* GRANTs for a worker's role on this table. */
void mergesql_grants(const struct table *table, const char *role, struct buf *out);

#endif

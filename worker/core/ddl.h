/* ddl.h - what a table is made of: CREATE TABLE, columns added later, storage, indexes, rights. */
#pragma once

#include "base/buf.h"
#include "codec/table.h"

/*
 * DDL for "migrate": CREATE TABLE IF NOT EXISTS with primary key, created_at, updated_at, and the
 * indexes that it makes by default. The statements stand one per line group, each ending in ";\n",
 * fit to be read and pasted.
 */
void ddl_table(const struct table *table, struct buf *out);
/* The same, piece by piece. */
void ddl_create_table(const struct table *table, struct buf *out);
/* ALTER COLUMN .. SET setting value, as in SET STORAGE external; nothing if value is NULL. */
void ddl_set_column(const struct table *table, size_t column, const char *setting,
		    const char *value, struct buf *out);
/* PostgreSQL passes SET COMPRESSION on to new partitions only; this is for those there are. */
void ddl_set_in_partitions(const struct table *table, size_t column, const char *setting,
			   const char *value, struct buf *out);
/* IF NOT EXISTS, by its name; "concurrently" lets others write meanwhile. */
void ddl_create_index(const struct table *table, size_t index, bool concurrently, struct buf *out);
/* Of one that a failure left half built. */
void ddl_drop_index(const struct table *table, size_t index, struct buf *out);
/* The annotation's, or one of table and definition that stays the same; at most 63 bytes. */
void ddl_index_name(const struct table *table, size_t index, struct buf *out);

/* One column that the table lacks; column == ncolumns: created_at, + 1: updated_at. */
void ddl_add_column(const struct table *table, size_t column, struct buf *out);
/* GRANTs to a role on this table, and on its schema; rights: "SELECT, INSERT". */
void ddl_grants(const struct table *table, const char *rights, const char *role, struct buf *out);

/*
 * ALTER TABLE table ALTER COLUMN .. SET setting value; nothing if value is NULL. A statement of its
 * own: CREATE TABLE takes STORAGE from PostgreSQL 16 on only. "table" is quoted.
 */
void ddl_put_setting(struct buf *out, const char *table, const struct column *c,
		     const char *setting, const char *value);

/* worker/sql/bookkeeping.sql: idempotent; every statement ends in ";\n" and creates one thing. */
extern const char sql_bookkeeping[];
extern const char sql_embed_books[]; /* where a stream makes vectors */

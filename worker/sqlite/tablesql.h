/*
 * tablesql.h - the SQL of one stream's table in SQLite, made once.
 *
 * Parameters of all four: ?1, ?2, ... are the row's fields in the order of its columns; behind them
 * stands the time, microseconds since 1970 (tablesql.now).
 */
#pragma once

#include "base/buf.h"
#include "codec/table.h"
#include "core/config.h"

struct tablesql {
	char *find;   /* a row, if the table holds the key */
	char *insert; /* for a key that it does not hold */
	/* for one that it does; changes nothing, and no row, where the event does not. NULL: no
	 * event ever changes a row */
	char *update;
	char *delete; /* the key's row, unless it is newer than the event */
	int now;      /* the parameter */
};

struct tablesql *tablesql_new(const struct table *t, enum on_conflict on_conflict);
void tablesql_free(struct tablesql *sql); /* NULL is fine */

/* By what name a row's number is had: one that no column has. */
const char *tablesql_row(const struct table *t);
/* CREATE TABLE IF NOT EXISTS, ending in ";\n". */
void tablesql_create(const struct table *t, struct buf *out);
/* One column that the table lacks; column >= ncolumns: created_at, updated_at. */
void tablesql_add_column(const struct table *t, size_t column, struct buf *out);
/* As far as SQLite has such an index; false, and nothing, for one of a kind of PostgreSQL's. */
bool tablesql_create_index(const struct table *t, size_t index, struct buf *out);

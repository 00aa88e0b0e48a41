/*
 * query.h - questions of commands to a SQLite file: parameters and answers are text, as io/pg.h has
 * them.
 */
#pragma once

#include "sqlite/db.h"

struct db_rows;

/*
 * One statement. Its parameters are $1, $2, ... (NULL for SQL null). Returns new rows, or NULL with
 * class CONFIG where a table is missing, POISON where a value does not fit. Blobs have no text: a
 * question takes hex() of them.
 */
struct db_rows *db_query(struct db *db, const char *sql, const char *const *params, size_t n,
			 struct err *err);
size_t db_rows_count(const struct db_rows *rows);
size_t db_rows_columns(const struct db_rows *rows);
const char *db_rows_name(const struct db_rows *rows, size_t column);
const char *db_value(const struct db_rows *rows, size_t row, size_t column); /* NULL: SQL null */
int64_t db_rows_affected(const struct db_rows *rows); /* by INSERT, UPDATE, DELETE */
void db_rows_free(struct db_rows *rows);              /* NULL is fine */

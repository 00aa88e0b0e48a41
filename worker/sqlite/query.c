/*
 * query.c - a statement run to its end, its rows kept as texts.
 *
 *   rows ->  [ name name name ]                one of each column
 *            [ cell cell cell | cell .. ]      row by row; NULL for SQL null
 *
 * For commands, whose answers a person or a program reads; a batch's statements are prepared once
 * and bound by what they hold (rows.c, accounts.c). What is asked for has to be bounded by its
 * LIMIT: all of it is in memory.
 *
 * Thread: the command's.
 */
#include "sqlite/query.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct db_rows {
	size_t columns, count;
	char **names, **cells;
	int64_t affected;
};

/* A parameter that the text does not have is left out. */
static void bind(sqlite3_stmt *stmt, const char *const *params, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char name[24];
		snprintf(name, sizeof(name), "$%zu", i + 1);
		int at = sqlite3_bind_parameter_index(stmt, name);
		if (at > 0 && params[i])
			sqlite3_bind_text(stmt, at, params[i], -1, SQLITE_STATIC);
	}
}

static char *cell(sqlite3_stmt *stmt, size_t column)
{
	const char *text = (const char *)sqlite3_column_text(stmt, (int)column);
	return text ? xstrdup(text) : NULL;
}

static struct db_rows *rows_of(sqlite3_stmt *stmt)
{
	struct db_rows *rows = xcalloc(1, sizeof(*rows));
	rows->columns = (size_t)sqlite3_column_count(stmt);
	rows->names = xcalloc(rows->columns + 1, sizeof(*rows->names));
	for (size_t i = 0; i < rows->columns; i++)
		rows->names[i] = xstrdup(sqlite3_column_name(stmt, (int)i));
	return rows;
}

static void keep_row(struct db_rows *rows, sqlite3_stmt *stmt)
{
	size_t before = rows->count++ * rows->columns;
	rows->cells = xrealloc(rows->cells, (before + rows->columns) * sizeof(*rows->cells));
	for (size_t i = 0; i < rows->columns; i++)
		rows->cells[before + i] = cell(stmt, i);
}

struct db_rows *db_query(struct db *db, const char *sql, const char *const *params, size_t n,
			 struct err *err)
{
	sqlite3_stmt *stmt = db_prepare(db, sql, err);
	if (!stmt) {
		if (db->trouble == DB_TABLE && (strncmp(err->text, "no such table", 13) == 0 ||
						strncmp(err->text, "no such column", 14) == 0))
			err_wrap(err, "%s: run \"memingest migrate\"", db->path);
		return NULL;
	}
	struct db_rows *rows = rows_of(stmt);
	bool row = true, ok = true;
	bind(stmt, params, n);
	while (ok && row) {
		ok = db_row(db, stmt, &row, err);
		if (ok && row)
			keep_row(rows, stmt);
	}
	rows->affected = sqlite3_stmt_readonly(stmt) ? 0 : sqlite3_changes(db->handle);
	sqlite3_finalize(stmt);
	if (ok)
		return rows;
	db_rows_free(rows);
	return NULL;
}

size_t db_rows_count(const struct db_rows *rows)
{
	return rows->count;
}

size_t db_rows_columns(const struct db_rows *rows)
{
	return rows->columns;
}

const char *db_rows_name(const struct db_rows *rows, size_t column)
{
	return rows->names[column];
}

const char *db_value(const struct db_rows *rows, size_t row, size_t column)
{
	return rows->cells[row * rows->columns + column];
}

int64_t db_rows_affected(const struct db_rows *rows)
{
	return rows->affected;
}

void db_rows_free(struct db_rows *rows)
{
	if (!rows)
		return;
	for (size_t i = 0; i < rows->count * rows->columns; i++)
		free(rows->cells[i]);
	for (size_t i = 0; i < rows->columns; i++)
		free(rows->names[i]);
	free(rows->cells);
	free(rows->names);
	free(rows);
}

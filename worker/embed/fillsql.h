/*
 * fillsql.h - the statements of "embed", for a column of a table, in the words of PostgreSQL or of
 * a SQLite file.
 *
 *                   PostgreSQL                       a file
 *   handle          the key, as text                 the number that SQLite gives the row
 *   a window        key .., text                     key .., text, number
 *   a window made   [{column: text, ..}, ..]         [[number, text, vector], ..]
 *
 * Pure text.
 */
#pragma once

#include "base/base.h"
#include "codec/table.h"

/* Of a window: at most, and about. */
enum { WINDOW_ROWS = 512, WINDOW_BYTES = 4 << 20 };

struct fillsql {
	char *count;        /* rows that want a vector, bytes of their texts */
	char *first, *next; /* a window; next: behind the handle that its parameters are */
	char *write;        /* a window made, which is its parameter, into its rows */
	size_t handle,
		parts; /* the columns of a window that a row is found by: the first, how many */
};

/* Of one of the table's embeds. */
void fillsql_make(struct fillsql *sql, const struct table *t, const struct table_embed *embed,
		  bool file);
void fillsql_free(struct fillsql *sql); /* all zeros are fine */

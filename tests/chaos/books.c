/*
 * books.c - memingest.offsets, or memingest_offsets in a file, read while anything may be wrong
 * with either.
 *
 *   PostgreSQL   a session that is kept, and opened anew after a failure
 *   a file       a connection for each look: one that stayed would hold the file open, so that its
 *                disk could not be made read-only, nor another file put in its place. It only
 *                reads, and leaves the WAL alone when it is the last one to close: what a worker
 *                finds after a kill is what was left of it.
 *
 * Thread: the owner's.
 */
#include "books.h"

#include <check.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS 256
#define CONNECT_US (2 * US_PER_S)

static const char in_postgres[] = "SELECT topic, coalesce(topic_id::text, ''), partition,"
				  " next_offset, coalesce(halted, '') FROM memingest.offsets"
				  " WHERE pipeline = $1 AND partition >= 0",
		  in_file[] = "SELECT topic, coalesce(topic_id, ''), partition, next_offset,"
			      " coalesce(halted, '') FROM memingest_offsets"
			      " WHERE pipeline = $1 AND partition >= 0";

struct books {
	const struct bed *bed;
	const char *who;
	int64_t patience_us;
	struct pg *pg; /* NULL: none now */
	struct books_row rows[ROWS];
	size_t n;
};

struct books *books_new(const struct bed *bed, const char *who, int64_t patience_us)
{
	struct books *b = xcalloc(1, sizeof(*b));
	b->bed = bed;
	b->who = who;
	b->patience_us = patience_us;
	return b;
}

void books_free(struct books *b)
{
	if (!b)
		return;
	pg_free(b->pg);
	free(b);
}

static void add(struct books *b, const char *topic, const char *topic_id, int64_t partition,
		int64_t next_offset, const char *halted)
{
	ck_assert_uint_lt(b->n, ROWS);
	struct books_row *row = &b->rows[b->n++];
	row->partition = partition;
	row->next_offset = next_offset;
	snprintf(row->topic, sizeof(row->topic), "%s", topic);
	snprintf(row->topic_id, sizeof(row->topic_id), "%s", topic_id);
	snprintf(row->halted, sizeof(row->halted), "%s", halted);
}

static bool read_postgres(struct books *b)
{
	struct err err = {0};
	const char *pipeline = b->bed->name;
	const struct config config = {
		.pg_dsn = b->bed->dsn,
		.pg_statement_timeout_us = b->patience_us,
		.pg_lock_timeout_us = b->patience_us,
		.pg_connect_timeout_us = MIN(b->patience_us, CONNECT_US),
	};
	if (!b->pg && !(b->pg = pg_connect(&config, b->who, -1, &err)))
		return false;
	pg_set_timeout(b->pg, 2 * b->patience_us);
	struct pg_rows *rows = pg_query(b->pg, in_postgres, &pipeline, 1, &err);
	if (!rows) {
		pg_free(b->pg);
		b->pg = NULL;
		return false;
	}
	for (size_t r = 0; r < pg_rows_count(rows); r++)
		add(b, pg_value(rows, r, 0), pg_value(rows, r, 1), pg_int(rows, r, 2),
		    pg_int(rows, r, 3), pg_value(rows, r, 4));
	pg_rows_free(rows);
	return true;
}

static const char *text(sqlite3_stmt *stmt, int column)
{
	const unsigned char *t = sqlite3_column_text(stmt, column);
	return t ? (const char *)t : "";
}

static bool read_file(struct books *b)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *stmt = NULL;
	int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, code;
	bool ok = sqlite3_open_v2(b->bed->sqlite, &db, flags, NULL) == SQLITE_OK;
	ok = ok && sqlite3_busy_timeout(db, (int)(b->patience_us / US_PER_MS)) == SQLITE_OK &&
	     sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL) == SQLITE_OK &&
	     sqlite3_prepare_v2(db, in_file, -1, &stmt, NULL) == SQLITE_OK &&
	     sqlite3_bind_text(stmt, 1, b->bed->name, -1, SQLITE_STATIC) == SQLITE_OK;
	for (code = SQLITE_ERROR; ok && (code = sqlite3_step(stmt)) == SQLITE_ROW;)
		add(b, text(stmt, 0), text(stmt, 1), sqlite3_column_int64(stmt, 2),
		    sqlite3_column_int64(stmt, 3), text(stmt, 4));
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	return code == SQLITE_DONE;
}

const struct books_row *books_read(struct books *b, size_t *n)
{
	b->n = 0;
	bool ok = b->bed->sqlite[0] ? read_file(b) : read_postgres(b);
	*n = ok ? b->n : 0;
	return ok ? b->rows : NULL;
}

const struct books_row *books_find(const struct books_row *rows, size_t n, const char *topic,
				   int64_t partition)
{
	for (size_t i = 0; i < n; i++) {
		if (rows[i].partition == partition && strcmp(rows[i].topic, topic) == 0)
			return &rows[i];
	}
	return NULL;
}

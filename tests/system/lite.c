/*
 * lite.c - a SQLite file copied into PostgreSQL, value by value.
 *
 *   memingest_offsets, _batches, _gaps ...     --> memingest.*       columns of the same names
 *   a stream's table                           --> its table         by the schema's columns
 *
 * Each row becomes a literal in one INSERT of up to ROWS rows. Nothing here knows what a value
 * should be; a form that is not the one of docs/SQLITE.md does not fit the literal, or the model.
 */
#include "lite.h"

#include <check.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/table.h"
#include "schema/schema.h"

#define ROWS 500

/* --- the file --- */

static sqlite3 *open_file(const char *path)
{
	sqlite3 *db = NULL;
	ck_assert_msg(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK,
		      "%s: %s", path, sqlite3_errmsg(db));
	sqlite3_busy_timeout(db, 10000);
	return db;
}

static sqlite3_stmt *ask(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *stmt = NULL;
	ck_assert_msg(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK, "%s: %s", sql,
		      sqlite3_errmsg(db));
	return stmt;
}

static bool next_row(sqlite3_stmt *stmt)
{
	int code = sqlite3_step(stmt);
	ck_assert_msg(code == SQLITE_ROW || code == SQLITE_DONE, "%s: %s", sqlite3_sql(stmt),
		      sqlite3_errmsg(sqlite3_db_handle(stmt)));
	return code == SQLITE_ROW;
}

__attribute__((format(printf, 2, 0))) static int64_t run(const char *path, const char *fmt,
							 va_list args)
{
	char *sql = NULL;
	ck_assert_int_ge(vasprintf(&sql, fmt, args), 0);
	sqlite3 *db = open_file(path);
	sqlite3_stmt *stmt = ask(db, sql);
	int64_t n = next_row(stmt) ? sqlite3_column_int64(stmt, 0) : 0;
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	free(sql);
	return n;
}

int64_t lite_int(const char *path, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	int64_t n = run(path, fmt, args);
	va_end(args);
	return n;
}

void lite_sql(const char *path, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	(void)run(path, fmt, args);
	va_end(args);
}

void lite_books_sql(struct bed *bed, const char *fmt, ...)
{
	struct buf sql = {0};
	va_list args;
	char *text = NULL;
	va_start(args, fmt);
	ck_assert_int_ge(vasprintf(&text, fmt, args), 0);
	va_end(args);
	for (const char *p = text, *next; bed->sqlite[0] && *p; p = next) {
		size_t n = strcspn(p, "mn");
		bool name = strncmp(p + n, "memingest.", 10) == 0,
		     now = strncmp(p + n, "now()", 5) == 0;
		buf_put(&sql, p, n);
		buf_puts(&sql, name ? "memingest_" : now ? "1700000000000000" : "");
		next = p + n + (name ? 10 : now ? 5 : 0);
		if (*next && !name && !now)
			buf_u8(&sql, (uint8_t)*next++);
	}
	if (bed->sqlite[0])
		lite_sql(bed->sqlite, "%s", buf_cstr(&sql));
	else
		bed_sql(bed, "%s", text);
	buf_free(&sql);
	free(text);
}

void lite_begin(struct bed *bed, const char *dir)
{
	snprintf(bed->sqlite, sizeof(bed->sqlite), "%s/memories.db", dir ? dir : bed->dir);
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
}

/* --- literals --- */

static void put_vector(struct buf *out, const float *v, size_t n)
{
	buf_puts(out, "'[");
	for (size_t i = 0; i < n; i++)
		buf_printf(out, "%s%.9g", i ? "," : "", (double)v[i]);
	buf_puts(out, "]'");
}

/* As it is: a number, a text, bytes, null. */
static void put_plain(struct buf *out, sqlite3_stmt *stmt, int i)
{
	const uint8_t *bytes = sqlite3_column_blob(stmt, i);
	int n = sqlite3_column_bytes(stmt, i);
	switch (sqlite3_column_type(stmt, i)) {
	case SQLITE_INTEGER:
		buf_printf(out, "%lld", (long long)sqlite3_column_int64(stmt, i));
		break;
	case SQLITE_FLOAT:
		buf_printf(out, "'%.17g'", sqlite3_column_double(stmt, i));
		break;
	case SQLITE_TEXT:
		buf_quoted(out, (const char *)sqlite3_column_text(stmt, i), '\'');
		break;
	case SQLITE_BLOB:
		buf_puts(out, "'\\x");
		for (int b = 0; b < n; b++)
			buf_printf(out, "%02x", bytes[b]);
		buf_puts(out, "'");
		break;
	default:
		buf_puts(out, "NULL");
	}
}

static void put_time(struct buf *out, sqlite3_stmt *stmt, int i)
{
	int type = sqlite3_column_type(stmt, i);
	ck_assert(type == SQLITE_INTEGER || type == SQLITE_NULL);
	if (type == SQLITE_NULL)
		buf_puts(out, "NULL");
	else
		buf_printf(out, "timestamptz '1970-01-01 00:00Z' + %lld * interval '1 us'",
			   (long long)sqlite3_column_int64(stmt, i));
}

/* PostgreSQL's literal of a column's value. */
static void put_value(struct buf *out, const struct column *c, sqlite3_stmt *stmt, int i)
{
	long long n = sqlite3_column_int64(stmt, i);
	if (sqlite3_column_type(stmt, i) == SQLITE_NULL) {
		buf_puts(out, "NULL");
	} else if (c->kind == PG_TIMESTAMP) {
		put_time(out, stmt, i);
	} else if (c->kind == PG_DATE) {
		buf_printf(out, "date '1970-01-01' + %lld", n);
	} else if (c->kind == PG_BOOL) {
		buf_puts(out, n ? "true" : "false");
	} else if (c->kind == PG_VECTOR) {
		ck_assert_int_eq(sqlite3_column_type(stmt, i), SQLITE_BLOB);
		put_vector(out, sqlite3_column_blob(stmt, i),
			   (size_t)sqlite3_column_bytes(stmt, i) / sizeof(float));
	} else if (c->kind == PG_ARRAY) {
		buf_puts(out, "ARRAY(SELECT json_array_elements_text(");
		put_plain(out, stmt, i);
		buf_puts(out, "))");
	} else {
		put_plain(out, stmt, i);
	}
}

/* --- tables --- */

/* Those of a book that are microseconds since 1970. */
static bool is_time(const char *column)
{
	return strcmp(column, "replayed_at") == 0 || strcmp(column, "created_at") == 0;
}

/* columns NULL: values as they are. */
static void copy_rows(struct bed *bed, sqlite3 *db, const char *select, const char *insert,
		      const struct column *columns)
{
	struct buf sql = {0};
	size_t rows = 0;
	sqlite3_stmt *stmt = ask(db, select);
	while (next_row(stmt)) {
		buf_puts(&sql, rows ? ", (" : insert);
		buf_puts(&sql, rows ? "" : " VALUES (");
		for (int i = 0; i < sqlite3_column_count(stmt); i++) {
			buf_puts(&sql, i ? ", " : "");
			if (columns)
				put_value(&sql, &columns[i], stmt, i);
			else if (is_time(sqlite3_column_name(stmt, i)))
				put_time(&sql, stmt, i);
			else
				put_plain(&sql, stmt, i);
		}
		buf_puts(&sql, ")");
		if (++rows < ROWS)
			continue;
		bed_sql(bed, "%s", buf_cstr(&sql));
		sql.len = rows = 0;
	}
	if (rows > 0)
		bed_sql(bed, "%s", buf_cstr(&sql));
	sqlite3_finalize(stmt);
	buf_free(&sql);
}

static const struct book {
	const char *name, *columns;
} books[] = {
	{"offsets", "pipeline, topic, partition, topic_id, next_offset, leader_epoch, owner_epoch,"
		    " owner, halted_at, halted"},
	{"batches", "pipeline, topic, partition, from_offset, to_offset, rows, merged, superseded,"
		    " dead, skipped, owner_epoch"},
	{"dead_letters", "pipeline, topic, partition, \"offset\", stream, reason, detail, key,"
			 " value, headers, replayed_at"},
	{"gaps", "pipeline, topic, partition, from_offset, to_offset, reason, declared_by,"
		 " created_at"},
};

static void copy_book(struct bed *bed, sqlite3 *db, const struct book *book)
{
	char select[256], insert[256];
	snprintf(select, sizeof(select), "SELECT %s FROM memingest_%s", book->columns, book->name);
	snprintf(insert, sizeof(insert), "INSERT INTO memingest.%s (%s)", book->name,
		 book->columns);
	bed_sql(bed, "TRUNCATE memingest.%s", book->name);
	copy_rows(bed, db, select, insert, NULL);
}

static void copy_table(struct bed *bed, sqlite3 *db, const char *schema_path)
{
	struct err err = {0};
	struct buf names = {0};
	struct schema *schema = schema_read(schema_path, &err);
	struct table *t = schema ? table_new(schema, &err) : NULL;
	ck_assert_msg(t != NULL, "%s", err.text);
	for (size_t i = 0; i < t->ncolumns; i++) {
		buf_puts(&names, i ? ", " : "");
		buf_quoted(&names, t->columns[i].name, '"');
	}
	char *select = xasprintf("SELECT %s FROM %s", buf_cstr(&names), t->name);
	char *insert = xasprintf("INSERT INTO %s (%s)", t->name, buf_cstr(&names));
	bed_sql(bed, "TRUNCATE %s", t->name);
	copy_rows(bed, db, select, insert, t->columns);
	free(insert);
	free(select);
	buf_free(&names);
	table_free(t);
	schema_free(schema);
}

static sqlite3 *copy_books(struct bed *bed)
{
	sqlite3 *db = open_file(bed->sqlite);
	sqlite3_stmt *begin = ask(db, "BEGIN");
	(void)next_row(begin);
	sqlite3_finalize(begin);
	for (size_t i = 0; i < ARRAY_LEN(books); i++)
		copy_book(bed, db, &books[i]);
	return db;
}

void lite_copy_books(struct bed *bed)
{
	sqlite3_close(copy_books(bed));
}

void lite_copy(struct bed *bed)
{
	sqlite3 *db = copy_books(bed);
	for (size_t i = 0; i < bed->nstreams; i++)
		copy_table(bed, db, bed->streams[i].schema_path);
	sqlite3_close(db);
}

void lite_copy_offsets(struct bed *bed)
{
	if (!bed->sqlite[0])
		return;
	sqlite3 *db = open_file(bed->sqlite);
	copy_book(bed, db, &books[0]);
	sqlite3_close(db);
}

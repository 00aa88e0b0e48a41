/*
 * asker.c - one question, put to PostgreSQL or to a SQLite file.
 *
 *   asker --+-- io/pg.h          pg_query()
 *           +-- sqlite/query.h   db_query(); now() is there, too: microseconds since 1970
 *
 * Only which of the two is asked is decided here.
 *
 * Thread: the command's.
 */
#include "sqlite/asker.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/sqlname.h"
#include "sqlite/keys.h"
#include "sqlite/query.h"
#include "sqlite/shown.h"
#include "sqlite/writer.h"

/* One of them. */
struct answer {
	struct pg_rows *pg;
	struct db_rows *file;
};

/* --- the session --- */

struct asker asker_of(struct pg *pg)
{
	return (struct asker){.pg = pg, .writer = -1, .turn = -1};
}

bool asker_open_heeding(struct asker *a, const struct config *config, const char *role,
			int abort_fd, struct err *err)
{
	*a = asker_of(NULL);
	if (!config->sqlite_path) {
		a->pg = pg_connect(config, role, abort_fd, err);
		return a->pg != NULL;
	}
	bool ok = db_open(&a->file, config->sqlite_path, DB_EXISTING, abort_fd, err) &&
		  shown_add(&a->file, err) && keys_add(&a->file, err);
	if (!ok)
		db_close(&a->file);
	else if (abort_fd >= 0)
		db_heed(&a->file, abort_fd);
	return ok;
}

bool asker_open(struct asker *a, const struct config *config, const char *role, struct err *err)
{
	return asker_open_heeding(a, config, role, -1, err);
}

void asker_close(struct asker *a)
{
	pg_free(a->pg);
	db_close(&a->file);
	writer_unlock(a->writer);
	writer_unlock(a->turn);
	*a = asker_of(NULL);
}

bool asker_ok(const struct asker *a)
{
	return a->pg ? pg_ok(a->pg) : a->file.trouble != DB_SESSION;
}

bool asker_alive(struct asker *a)
{
	return a->pg ? pg_alive(a->pg) : a->file.handle && asker_ok(a) && db_in_place(&a->file);
}

/* PostgreSQL: lock_not_available, deadlock_detected. */
bool asker_busy(const struct asker *a, const struct err *err)
{
	if (a->pg)
		return strcmp(err->code, "55P03") == 0 || strcmp(err->code, "40P01") == 0;
	return err->class == ERR_RETRY && err->code[0] && a->file.trouble == DB_WAIT;
}

/* --- turns --- */

/* On the lock of two numbers: that of the word's first letters, and the table's name. */
static bool call_lock(struct asker *a, const char *function, const char *what, const char *table,
		      bool *done, struct err *err)
{
	char sql[96];
	snprintf(sql, sizeof(sql), "SELECT %s(%" PRIu32 ", hashtext($1))", function,
		 get_be32((const uint8_t *)what));
	struct pg_rows *rows = pg_query(a->pg, sql, &table, 1, err);
	*done = rows && pg_bool(rows, 0, 0);
	pg_rows_free(rows);
	return rows != NULL;
}

bool asker_take_turn(struct asker *a, const char *what, const char *table, bool *mine,
		     struct err *err)
{
	if (a->pg)
		return call_lock(a, "pg_try_advisory_lock", what, table, mine, err);
	a->turn = writer_turn(a->file.path, what, err);
	*mine = a->turn >= 0;
	return *mine || err->class == ERR_RETRY;
}

void asker_end_turn(struct asker *a, const char *what, const char *table)
{
	struct err ignored = {0};
	bool done;
	if (a->pg && pg_ok(a->pg))
		(void)call_lock(a, "pg_advisory_unlock", what, table, &done, &ignored);
	writer_unlock(a->turn);
	a->turn = -1;
}

const char *asker_words(const struct asker *a, struct asker_sql sql)
{
	return a->pg ? sql.pg : sql.sqlite;
}

char *asker_books(const struct asker *a, const char *sql)
{
	static const struct sqlname_word pg[] = {{"offsets", "memingest.offsets"},
						 {"batches", "memingest.batches"},
						 {"dead_letters", "memingest.dead_letters"},
						 {"gaps", "memingest.gaps"}};
	static const struct sqlname_word file[ARRAY_LEN(pg)] = {
		{"offsets", "memingest_offsets"},
		{"batches", "memingest_batches"},
		{"dead_letters", "memingest_dead_letters"},
		{"gaps", "memingest_gaps"}};
	struct buf out = {0};
	sqlname_fill(&out, sql, a->pg ? pg : file, ARRAY_LEN(pg));
	return buf_take_text(&out);
}

/* --- transactions --- */

bool asker_begin(struct asker *a, struct err *err)
{
	return a->pg ? pg_exec(a->pg, "BEGIN", NULL, 0, err)
		     : db_exec(&a->file, "BEGIN IMMEDIATE", err);
}

bool asker_begin_alone(struct asker *a, const char *path, struct err *err)
{
	if (!a->pg && a->writer < 0)
		a->writer = writer_lock(path, err);
	return (a->pg || a->writer >= 0) && asker_begin(a, err);
}

bool asker_begin_reading(struct asker *a, struct err *err)
{
	return a->pg ? pg_exec(a->pg, "BEGIN ISOLATION LEVEL REPEATABLE READ", NULL, 0, err)
		     : db_exec(&a->file, "BEGIN", err);
}

bool asker_commit(struct asker *a, struct err *err)
{
	return a->pg ? pg_exec(a->pg, "COMMIT", NULL, 0, err) : db_exec(&a->file, "COMMIT", err);
}

/* --- questions --- */

struct answer *asker_query(struct asker *a, struct asker_sql sql, const char *const *params,
			   size_t n, struct err *err)
{
	struct answer rows = {0};
	if (a->pg)
		rows.pg = pg_query(a->pg, sql.pg, params, n, err);
	else
		rows.file = db_query(&a->file, sql.sqlite, params, n, err);
	if (!rows.pg && !rows.file)
		return NULL;
	struct answer *new = xmalloc(sizeof(*new));
	*new = rows;
	return new;
}

size_t answer_count(const struct answer *rows)
{
	return rows->pg ? pg_rows_count(rows->pg) : db_rows_count(rows->file);
}

size_t answer_columns(const struct answer *rows)
{
	return rows->pg ? pg_rows_columns(rows->pg) : db_rows_columns(rows->file);
}

const char *answer_name(const struct answer *rows, size_t column)
{
	return rows->pg ? pg_rows_name(rows->pg, column) : db_rows_name(rows->file, column);
}

const char *answer_value(const struct answer *rows, size_t row, size_t column)
{
	return rows->pg ? pg_value(rows->pg, row, column) : db_value(rows->file, row, column);
}

int64_t answer_int(const struct answer *rows, size_t row, size_t column)
{
	const char *text = answer_value(rows, row, column);
	return text ? strtoll(text, NULL, 10) : 0;
}

bool answer_bool(const struct answer *rows, size_t row, size_t column)
{
	const char *text = answer_value(rows, row, column);
	return text && (text[0] == 't' || text[0] == '1');
}

int64_t answer_affected(const struct answer *rows)
{
	return rows->pg ? pg_rows_affected(rows->pg) : db_rows_affected(rows->file);
}

void answer_free(struct answer *rows)
{
	if (!rows)
		return;
	pg_rows_free(rows->pg);
	db_rows_free(rows->file);
	free(rows);
}

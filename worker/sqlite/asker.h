/*
 * asker.h - the database that the config names, as commands ask it: a session, SQL in, rows of text
 * out. What a command makes of the rows does not know which database it was.
 *
 * Where the two need different words, a statement is a macro of them:
 *
 *   #define FORGET(books, now) "DELETE FROM " books "batches WHERE committed_at < " now
 *   asker_query(a, ASKER_SQL(FORGET), params, n, err)
 *
 * Parameters are $1, $2, ... on both.
 */
#pragma once

#include "io/pg.h"
#include "sqlite/db.h"

struct asker {
	struct pg *pg;  /* PostgreSQL's; NULL: it is a file */
	struct db file; /* SQLite's */
	int writer;     /* the lock's descriptor, or -1 */
	int turn;       /* a file's: the same */
};

/* A session. False: err. role: as pg_connect() wants it. */
MUST_CHECK bool asker_open(struct asker *a, const struct config *config, const char *role,
			   struct err *err);
/* The same; abort_fd: readable, it ends what is waited for and statements that take long. */
MUST_CHECK bool asker_open_heeding(struct asker *a, const struct config *config, const char *role,
				   int abort_fd, struct err *err);
void asker_close(struct asker *a); /* rolls back what is open; not open is fine */
/* One that borrows PostgreSQL's; it needs no asker_close(). */
struct asker asker_of(struct pg *pg);
/* The session is of use; else what failed was the way there. */
bool asker_ok(const struct asker *a);
/* As far as can be told now; a file: it is still the one that its path leads to. */
bool asker_alive(struct asker *a);
/* What failed waited for a lock that somebody holds: soon it may pass. */
bool asker_busy(const struct asker *a, const struct err *err);

/*
 * One at a time does what (a word of four letters or more) with a table; with a file, whatever the
 * table. *mine: it is this one, until asker_end_turn(), or asker_close().
 */
MUST_CHECK bool asker_take_turn(struct asker *a, const char *what, const char *table, bool *mine,
				struct err *err);
/* By word, as a server may end a session some time after it was closed, and another is next. */
void asker_end_turn(struct asker *a, const char *what, const char *table);

/* A statement in the words of each. */
struct asker_sql {
	const char *pg, *sqlite;
};
/* books: what goes before the name of a table of ours; past: a time before all others. */
#define ASKER_SQL(f) ((struct asker_sql){f("memingest.", "'-infinity'"), f("memingest_", "0")})
/* Those of different grammar. */
#define ASKER_WORDS(pg, sqlite) ((struct asker_sql){pg, sqlite})
/* Of the session's database. */
const char *asker_words(const struct asker *a, struct asker_sql sql);
/*
 * A text of worker/sql that both understand, in which :offsets, :batches, :dead_letters and :gaps
 * are our tables. The caller frees it, and asks it by ASKER_TEXT().
 */
char *asker_books(const struct asker *a, const char *sql);
/* A statement that was put together for the session's database. */
#define ASKER_TEXT(sql) ASKER_WORDS(sql, sql)

/*
 * Nobody else changes what is written meanwhile: on PostgreSQL rows are locked one by one (FOR
 * UPDATE); a file as a whole. asker_begin_alone() asks also that no worker has the file: class
 * RETRY names it.
 */
MUST_CHECK bool asker_begin(struct asker *a, struct err *err);
MUST_CHECK bool asker_begin_alone(struct asker *a, const char *path, struct err *err);
/* Whatever is read until asker_commit() is of one moment; nobody is kept from writing. */
MUST_CHECK bool asker_begin_reading(struct asker *a, struct err *err);
MUST_CHECK bool asker_commit(struct asker *a, struct err *err);

struct answer;
/* One statement with text parameters (NULL for SQL null). Returns a new answer, or NULL. */
struct answer *asker_query(struct asker *a, struct asker_sql sql, const char *const *params,
			   size_t n, struct err *err);
size_t answer_count(const struct answer *rows);
size_t answer_columns(const struct answer *rows);
const char *answer_name(const struct answer *rows, size_t column);
const char *answer_value(const struct answer *rows, size_t row, size_t column); /* NULL: null */
int64_t answer_int(const struct answer *rows, size_t row, size_t column);
bool answer_bool(const struct answer *rows, size_t row, size_t column); /* null is false */
int64_t answer_affected(const struct answer *rows); /* by INSERT, UPDATE, DELETE */
void answer_free(struct answer *rows);              /* NULL is fine */

/*
 * pg.h - one connection to PostgreSQL that never waits without a deadline, and what its errors
 * mean.
 *
 * Owned by one thread. Every call that waits has a deadline and also ends when abort_fd turns
 * readable (a lane that must let go of a batch). After a failure with pg_ok() false the connection
 * is dead: free it and connect anew; a COMMIT that failed that way may or may not have happened.
 */
#pragma once

#include "base/base.h"
#include "base/err.h"
#include "core/config.h"

struct pg;
struct pg_rows;

/* What to do about a failed statement, by SQLSTATE: see the table in pg.c. */
enum pg_verdict {
	PG_RETRY,     /* the same again, after a backoff: a lock, a deadlock, a timeout */
	PG_RECONNECT, /* new connection, look at the offsets row, then again */
	PG_DEGRADED,  /* disk full and the like: alert, retry slowly */
	PG_ACCESS,    /* an operator must change something: the login, the database */
	PG_ROW,       /* by its nature a value's fault: this row can not be stored */
	PG_RAISED,    /* a trigger of the user's has raised it, most likely for the values */
	PG_TABLE,     /* by its nature the table's: no row can, as things are */
	PG_EITHER,    /* one of the two: which one is found by trying */
};

/*
 * Opens a session: UTC, statement_timeout and lock_timeout as configured, application_name
 * "memingest/ROLE". Reads secrets anew. NULL with class RETRY or CONFIG (wrong password, no such
 * database). abort_fd: -1 for none.
 */
struct pg *pg_connect(const struct config *config, const char *role, int abort_fd, struct err *err);
void pg_free(struct pg *pg); /* NULL is fine */
bool pg_ok(const struct pg *pg);
/* Between calls: looks, without waiting, whether the server has hung up. */
bool pg_alive(struct pg *pg);
int pg_server_version(const struct pg *pg); /* 160014 */

/* For each following call, from its start; else the statement timeout plus ten seconds. */
void pg_set_timeout(struct pg *pg, int64_t timeout_us);

/*
 * Runs one or more statements (one simple query, one round trip). affected, if not NULL, receives
 * the row count of each of the first n statements. The text ends at the first error.
 */
MUST_CHECK bool pg_exec(struct pg *pg, const char *sql, int64_t *affected, size_t n,
			struct err *err);

/* One statement with text parameters (NULL for SQL null). Returns new rows, or NULL. */
struct pg_rows *pg_query(struct pg *pg, const char *sql, const char *const *params, size_t nparams,
			 struct err *err);
size_t pg_rows_count(const struct pg_rows *rows);   /* of a query without rows: 0 */
size_t pg_rows_columns(const struct pg_rows *rows); /* also of no rows */
const char *pg_rows_name(const struct pg_rows *rows, size_t column); /* lives as long as rows */
const char *pg_value(const struct pg_rows *rows, size_t row, size_t column); /* NULL for SQL null */
int64_t pg_int(const struct pg_rows *rows, size_t row, size_t column);
bool pg_bool(const struct pg_rows *rows, size_t row, size_t column); /* NULL is false */
int64_t pg_rows_affected(const struct pg_rows *rows);                /* by INSERT, UPDATE, DELETE */
void pg_rows_free(struct pg_rows *rows);                             /* NULL is fine */

/*
 * COPY ... FROM STDIN (FORMAT binary). The text may hold statements before it and after it ("BEGIN;
 * UPDATE ...; COPY ...; COMMIT"), of which the server runs those after it once the COPY has ended
 * well. pg_copy_begin() returns when it is ready for data, with the row counts of those before;
 * then any number of pg_copy_data(). pg_copy_end() says that this was all and does not wait;
 * pg_copy_results() does, with the row counts of the COPY and of those after it. pg_copy_abort()
 * instead makes the COPY fail, so that nothing after it runs, and waits. Header and trailer of the
 * format are the caller's.
 */
MUST_CHECK bool pg_copy_begin(struct pg *pg, const char *sql, int64_t *affected, size_t n,
			      struct err *err);
/* In pieces of any size. */
MUST_CHECK bool pg_copy_data(struct pg *pg, const void *data, size_t len, struct err *err);
MUST_CHECK bool pg_copy_end(struct pg *pg, struct err *err); /* Does not wait. */
/* Waits. */
MUST_CHECK bool pg_copy_results(struct pg *pg, int64_t *affected, size_t n, struct err *err);
/* True: nothing of the text was run behind the COPY. */
MUST_CHECK bool pg_copy_abort(struct pg *pg, const char *reason, struct err *err);

/*
 * Prepared statements in one round trip, in pg_pipe.c. pg_pipe_add() queues one with its
 * parameters, a row of COPY BINARY fields without their count; pg_pipe_end() sends all and waits
 * for the n answers, of which it keeps the row counts. Nothing else is allowed between the first
 * add and the end. After an error what follows it has not been run.
 */
#define PG_MAX_FIELDS 1600 /* the most columns that a table can have */
MUST_CHECK bool pg_prepare(struct pg *pg, const char *name, const char *sql, struct err *err);
/* Sends nothing yet, as far as the buffers go. */
MUST_CHECK bool pg_pipe_add(struct pg *pg, const char *name, const uint8_t *row, size_t fields,
			    struct err *err);
/* False: one failed, see pg_passed(), or the session is dead. */
MUST_CHECK bool pg_pipe_end(struct pg *pg, int64_t *affected, size_t n, struct err *err);

/* In test builds (base/failpoint.h): true where the point is to fail, and the session is lost. */
#ifdef FAIL_POINTS
bool pg_fail_point(struct pg *pg, const char *name, struct err *err);
#define FAIL_POINT_PG(name, pg, err) pg_fail_point(pg, name, err)
#else
#define FAIL_POINT_PG(name, pg, err) ((void)(pg), (void)(err), false)
#endif

/* Of the last failed call: what to do. */
enum pg_verdict pg_last_verdict(const struct pg *pg);
/* How many of its statements went well before one failed. */
size_t pg_passed(const struct pg *pg);
/* Of the last failed call: where the server saw it, as far as it says so. */
struct pg_place {
	size_t parameter; /* which one it could not read, from 1 on; 0: none */
	bool nested;      /* within a function of the database, or a statement of one */
};
struct pg_place pg_last_place(const struct pg *pg);
/*
 * What a CONTEXT names, and none of what it quotes: the column of "COPY t, line 3, column x"
 * (length of *name, 0: none), the number in "unnamed portal parameter $3" (0: none).
 */
int pg_context_column(const char *context, const char **name);
size_t pg_context_parameter(const char *context);

/* By the longest prefix of the table; "" is a lost connection. */
enum pg_verdict pg_verdict(const char *sqlstate);

/* Of libpq at run time, "15.18". */
const char *pg_library_version(void);

/* SQL quoting, appended to a buf: 'it''s' and "na me". */
struct buf;
void pg_quote_literal(struct buf *out, const char *s);
void pg_quote_ident(struct buf *out, const char *s);

/*
 * pg.c - one PostgreSQL session through libpq: statements, COPY and what their errors mean.
 *
 * How a session comes about is in pg_connect.c (and pg_dsn.c), prepared statements are in
 * pg_pipe.c; no other file sees libpq's header.
 *
 * libpq's blocking calls have no deadline, so everything here is non-blocking: send, then wait in
 * poll(2) for the socket, the abort descriptor or the deadline, whichever comes first
 * (wait_socket). While sending we also read, or both sides could fill their buffers and wait for
 * each other.
 *
 *   pg_exec         PQsendQuery ----------------------------> results until NULL
 *   pg_copy_begin   PQsendQuery --> results ... COPY_IN
 *   pg_copy_data       PQputCopyData, flushed
 *   pg_copy_end        PQputCopyEnd, flushed
 *   pg_copy_results    --------------------------------------> results until NULL: COPY's, then
 *                      those of what follows it in the text
 *
 * A call that runs out of time or is aborted closes the connection at once: the server notices
 * (client_connection_check_interval) and rolls back. PQcancel is not used: it opens a second,
 * blocking connection. Whether a COMMIT in flight took effect is then for the caller to find out
 * from the offsets row.
 *
 * A failed call leaves its SQLSTATE in err->code and what to do about it in pg_last_verdict(). The
 * error text never carries row data: DETAIL is not read, of CONTEXT only names and numbers, and of
 * the message nothing that it quotes behind a colon.
 *
 * Thread: the one that owns the struct.
 */
#include "io/pg.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/failpoint.h"
#include "base/stats.h"
#include "io/pg_parts.h"
#include "io/wait.h"

struct pg_rows {
	PGresult *res;
};

/*
 * What each SQLSTATE asks for. The longest prefix wins; codes are from PostgreSQL's errcodes.txt.
 * No SQLSTATE at all is a lost connection. The table decides what is the session's, the server's or
 * a lock's matter; row against table only where the state can be nothing else.
 */
static const struct {
	const char *prefix;
	enum pg_verdict verdict;
} verdicts[] = {
	{"", PG_RECONNECT},      {"08", PG_RECONNECT}, /* connection exception */
	{"22", PG_ROW},                                /* data exception */
	{"2200H", PG_TABLE},                           /* sequence generator limit exceeded */
	{"22P04", PG_TABLE},     /* bad COPY file format: before a value is looked at */
	{"23", PG_ROW},          /* integrity constraint violation */
	{"25006", PG_RECONNECT}, /* read-only: a demoted primary */
	{"25P03", PG_RECONNECT}, /* idle in transaction for too long */
	{"25P04", PG_RECONNECT}, /* transaction timeout */
	{"26", PG_RECONNECT},    /* prepared statement gone: a pooler in between */
	{"28", PG_ACCESS},       /* invalid authorization */
	{"3D", PG_ACCESS},       /* no such database */
	{"40", PG_RETRY},        /* serialization failure, deadlock */
	{"40003", PG_RECONNECT}, /* statement completion unknown */
	{"428C9", PG_TABLE},     /* generated always */
	{"44", PG_ROW},          /* WITH CHECK OPTION */
	{"53", PG_DEGRADED},     /* disk full, out of memory */
	{"53300", PG_RETRY},     /* too many connections */
	{"54", PG_EITHER},       /* a limit: stack depth in a trigger, arguments */
	{"54000", PG_ROW},       /* program limit: index row too big */
	{"55", PG_EITHER},       /* object not in prerequisite state */
	{"55006", PG_RETRY},     /* object in use */
	{"55P03", PG_RETRY},     /* lock not available */
	{"57", PG_RECONNECT},    /* shutdown, crash recovery, starting up */
	{"57014", PG_RETRY},     /* cancelled: a timeout of ours, or an operator */
	{"58", PG_DEGRADED},     /* I/O error */
	{"72", PG_RETRY},        /* snapshot too old */
	{"F0", PG_EITHER},       /* configuration file */
	{"HV", PG_EITHER},       /* foreign data wrapper */
	{"P0", PG_RAISED},       /* RAISE EXCEPTION */
	{"XX", PG_EITHER},       /* internal error: an extension's own, most of the time */
	{"XX001", PG_TABLE},     /* data corrupted */
	{"XX002", PG_TABLE},     /* index corrupted */
};

/*
 * Classes that begin with 0 to 4 or A to H are the standard's, any other is free to use (SQL:2016,
 * 24.1): what PostgreSQL does not use itself, listed above, a trigger's author has chosen.
 */
static bool is_users_own(const char *sqlstate)
{
	char c = sqlstate[0];
	return !((c >= '0' && c <= '4') || (c >= 'A' && c <= 'H'));
}

/* The longest prefix in the table counts. */
enum pg_verdict pg_verdict(const char *sqlstate)
{
	enum pg_verdict best = is_users_own(sqlstate) ? PG_RAISED : PG_EITHER;
	size_t best_len = 0;
	for (size_t i = 0; i < ARRAY_LEN(verdicts); i++) {
		size_t len = strlen(verdicts[i].prefix);
		bool match = len == 0 ? sqlstate[0] == '\0'
				      : strncmp(sqlstate, verdicts[i].prefix, len) == 0;
		if (match && len >= best_len) {
			best = verdicts[i].verdict;
			best_len = len;
		}
	}
	return best;
}

/* What a loop needs to know of a verdict. */
static enum err_class verdict_class(enum pg_verdict v)
{
	switch (v) {
	case PG_RETRY:
	case PG_RECONNECT:
	case PG_DEGRADED:
		return ERR_RETRY;
	case PG_ROW:
	case PG_RAISED:
		return ERR_POISON;
	case PG_ACCESS:
	case PG_TABLE:
	case PG_EITHER:
		return ERR_CONFIG;
	}
	return ERR_CONFIG;
}

const char *pg_library_version(void)
{
	static char text[16];
	int v = PQlibVersion();
	snprintf(text, sizeof(text), "%d.%d", v / 10000, v % 10000);
	return text;
}

/* --- errors --- */

/* libpq's texts have several lines. */
static void trim_line(char *text)
{
	size_t len = strlen(text);
	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == ' '))
		text[--len] = '\0';
	for (char *p = text; *p; p++)
		if (*p == '\n' || *p == '\t')
			*p = ' ';
}

/* The connection is lost, or never was: libpq's own words, without a SQLSTATE. */
bool pg_connection_error(struct pg *pg, const char *doing, struct err *err)
{
	char text[400];
	snprintf(text, sizeof(text), "%s", PQerrorMessage(pg->conn));
	trim_line(text);
	pg->verdict = PG_RECONNECT;
	pg->detail[0] = '\0';
	pg->place = (struct pg_place){0};
	stats_add(METRIC_POSTGRES_ERRORS, stats_sqlclass("08"), 0, 1);
	err_set(err, ERR_RETRY, "PostgreSQL: %s: %s", doing, text[0] ? text : "connection lost");
	return false;
}

/* The connection is closed: the server rolls back when it notices. */
static bool ended_early(struct pg *pg, const char *why, struct err *err)
{
	pg->dead = true;
	pg->verdict = PG_RECONNECT;
	pg->detail[0] = '\0';
	pg->place = (struct pg_place){0};
	return err_set(err, ERR_RETRY, "PostgreSQL: %s", why);
}

int pg_context_column(const char *context, const char **name)
{
	const char *column = strstr(context, ", column ");
	size_t line = strcspn(context, "\n");
	if (strncmp(context, "COPY ", 5) != 0 || !column || (size_t)(column - context) > line)
		return 0;
	*name = column + strlen(", column ");
	const char *value = strstr(*name, ": \"");
	size_t len = strcspn(*name, "\n");
	return (int)(value && (size_t)(value - *name) < len ? (size_t)(value - *name) : len);
}

/* In whatever language; where something is quoted in front it is another line. */
size_t pg_context_parameter(const char *context)
{
	const char *dollar = context + strcspn(context, "$\"'\n");
	return *dollar == '$' && dollar != context && dollar[-1] == ' '
		       ? strtoul(dollar + 1, NULL, 10)
		       : 0;
}

/* Names alone: what a context quotes is a value. */
static void keep_place(struct pg *pg, const PGresult *res)
{
	const char *constraint = PQresultErrorField(res, PG_DIAG_CONSTRAINT_NAME);
	const char *column = PQresultErrorField(res, PG_DIAG_COLUMN_NAME);
	const char *context = PQresultErrorField(res, PG_DIAG_CONTEXT);
	int len = column ? (int)strlen(column) : context ? pg_context_column(context, &column) : 0;
	snprintf(pg->detail, sizeof(pg->detail), "%s%s%s%s%.*s", constraint ? "constraint " : "",
		 constraint ? constraint : "", constraint && len ? ", " : "", len ? "column " : "",
		 len, len ? column : "");
	pg->place.parameter = context ? pg_context_parameter(context) : 0;
	pg->place.nested = PQresultErrorField(res, PG_DIAG_INTERNAL_QUERY) ||
			   (context && strstr(context, "PL/"));
}

/*
 * A table of the bookkeeping is missing: whatever was asked for, the answer is a command. Not so
 * for a table of a stream, which somebody may have renamed.
 */
static bool is_before_migrate(const char *state, const char *message)
{
	bool missing = strcmp(state, "42P01") == 0 || strcmp(state, "3F000") == 0;
	return missing && (strstr(message, "memingest.") || strstr(message, "\"memingest\""));
}

/*
 * A DETAIL may have values of events in it, which no log shall have; that of what others depend on
 * (class 2B) has names, and without them there is nothing to be done. Empty: none.
 */
static const char *safe_detail(const PGresult *res, const char *state)
{
	const char *detail = PQresultErrorField(res, PG_DIAG_MESSAGE_DETAIL);
	return detail && strncmp(state, "2B", 2) == 0 ? detail : "";
}

/* A result without a SQLSTATE is libpq's own: the connection is gone. */
bool pg_result_error(struct pg *pg, const PGresult *res, struct err *err)
{
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
	const char *message = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
	if (!state)
		return pg_connection_error(pg, "no answer", err);
	int cut = (int)strlen(message ? message : "");
	/* What a message quotes behind a colon is a value: invalid input syntax for ...: "value" */
	const char *quoted = message ? strstr(message, ": \"") : NULL;
	if (quoted)
		cut = (int)(quoted - message);
	pg->verdict = pg_verdict(state);
	keep_place(pg, res);
	stats_add(METRIC_POSTGRES_ERRORS, stats_sqlclass(state), 0, 1);
	if (message && is_before_migrate(state, message))
		err_set(err, ERR_CONFIG,
			"PostgreSQL: the tables of memingest are not in this database: run "
			"\"memingest migrate\" (SQLSTATE %s)",
			state);
	else
		err_set(err, verdict_class(pg->verdict), "PostgreSQL: %.*s (SQLSTATE %s)%s%s%s%s",
			cut, message ? message : "", state, pg->detail[0] ? ", " : "", pg->detail,
			*safe_detail(res, state) ? ": " : "", safe_detail(res, state));
	snprintf(err->code, sizeof(err->code), "%s", state);
	return false;
}

/* --- waiting --- */

/*
 * Waits until the socket can be read (or written, if want_write), the abort descriptor fires or
 * time is up.
 */
static bool wait_socket(struct pg *pg, bool want_write, const char *doing, struct err *err)
{
	int fd = PQsocket(pg->conn);
	if (fd < 0)
		return pg_connection_error(pg, doing, err);
	switch (wait_fd(fd, (short)(POLLIN | (want_write ? POLLOUT : 0)), pg->abort_fd,
			pg->deadline_us)) {
	case WAIT_READY:
		return true;
	case WAIT_ABORTED:
		return ended_early(pg, "given up on request", err);
	case WAIT_LATE:
		return ended_early(pg, "no answer within the time limit, connection closed", err);
	}
	return false;
}

/* Sends what libpq holds, reading meanwhile. */
bool pg_flush(struct pg *pg, struct err *err)
{
	int left;
	while ((left = PQflush(pg->conn)) == 1) {
		if (!wait_socket(pg, true, "send", err))
			return false;
		if (!PQconsumeInput(pg->conn))
			return pg_connection_error(pg, "send", err);
	}
	return left == 0 ? true : pg_connection_error(pg, "send", err);
}

#ifdef FAIL_POINTS
bool pg_fail_point(struct pg *pg, const char *name, struct err *err)
{
	return failpoint(name) && !ended_early(pg, name, err);
}

/* All has been sent by now: here is the point that was put off until then. */
static bool fails_when_sent(struct pg *pg, struct err *err)
{
	const char *name = failpoint_sent();
	return name && pg_fail_point(pg, name, err);
}
#else
#define fails_when_sent(pg, err) false
#endif

/* Until libpq has a whole result. */
bool pg_wait_result(struct pg *pg, struct err *err)
{
	if (fails_when_sent(pg, err))
		return false;
	while (PQisBusy(pg->conn)) {
		if (!wait_socket(pg, false, "wait", err))
			return false;
		if (!PQconsumeInput(pg->conn))
			return pg_connection_error(pg, "wait", err);
	}
	return true;
}

void pg_start_call(struct pg *pg)
{
	pg->deadline_us = clock_mono_us() + pg->timeout_us;
}

int64_t pg_affected(const PGresult *res)
{
	const char *tuples = PQcmdTuples((PGresult *)res);
	return tuples[0] ? strtoll(tuples, NULL, 10) : 0;
}

enum collected { COLLECTED_ALL, COLLECTED_COPY, COLLECTED_ERROR };

/*
 * Takes results until there is none left, or COPY begins. Row counts go to affected; the last
 * result with rows (else the first) goes to keep, if wanted. After an error the rest is drained, so
 * that the session can be used on.
 */
static enum collected collect(struct pg *pg, int64_t *affected, size_t n, PGresult **keep,
			      struct err *err)
{
	bool failed = false;
	pg->passed = 0;
	for (size_t i = 0;; i++) {
		if (!pg_wait_result(pg, failed ? &(struct err){0} : err))
			return COLLECTED_ERROR;
		PGresult *res = PQgetResult(pg->conn);
		if (!res)
			break;
		ExecStatusType status = PQresultStatus(res);
		if (status == PGRES_COPY_IN) {
			PQclear(res);
			return COLLECTED_COPY;
		}
		if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK &&
		    status != PGRES_EMPTY_QUERY) {
			if (!failed)
				pg_result_error(pg, res, err);
			failed = true;
		} else if (i < n) {
			affected[i] = pg_affected(res);
		}
		pg->passed += !failed;
		if (keep && !failed && (status == PGRES_TUPLES_OK || !*keep)) {
			PQclear(*keep);
			*keep = res;
		} else {
			PQclear(res);
		}
	}
	if (!failed && PQstatus(pg->conn) == CONNECTION_BAD) {
		pg_connection_error(pg, "wait", err);
		failed = true;
	}
	return failed ? COLLECTED_ERROR : COLLECTED_ALL;
}

bool pg_usable(struct pg *pg, struct err *err)
{
	if (pg->dead)
		return err_set(err, ERR_RETRY, "PostgreSQL: connection closed after a time limit");
	return true;
}

/* The call's clock starts here. */
static bool send_query(struct pg *pg, const char *sql, struct err *err)
{
	if (!pg_usable(pg, err))
		return false;
	pg_start_call(pg);
	if (!PQsendQuery(pg->conn, sql))
		return pg_connection_error(pg, "send", err);
	return pg_flush(pg, err);
}

/* --- the session --- */

void pg_free(struct pg *pg)
{
	if (!pg)
		return;
	PQfinish(pg->conn);
	free(pg);
}

bool pg_ok(const struct pg *pg)
{
	return !pg->dead && PQstatus(pg->conn) == CONNECTION_OK;
}

/* Reads what has come, which is where an end would stand. */
bool pg_alive(struct pg *pg)
{
	struct pollfd fd = {.fd = PQsocket(pg->conn), .events = POLLIN};
	/* A server that was shut down says so in a notice first: the end stands behind it. */
	for (int i = 0; i < 3 && pg_ok(pg) && poll(&fd, 1, 0) > 0; i++)
		pg->dead = !PQconsumeInput(pg->conn);
	return pg_ok(pg);
}

int pg_server_version(const struct pg *pg)
{
	return PQserverVersion(pg->conn);
}

void pg_set_timeout(struct pg *pg, int64_t timeout_us)
{
	pg->timeout_us = timeout_us;
}

/* --- statements --- */

/* A COPY that nobody asked for leaves the session of no use. */
static bool collect_all(struct pg *pg, int64_t *affected, size_t n, struct err *err)
{
	switch (collect(pg, affected, n, NULL, err)) {
	case COLLECTED_ALL:
		return true;
	case COLLECTED_COPY:
		pg->dead = true;
		return err_set(err, ERR_FATAL, "PostgreSQL: COPY began where none was meant");
	case COLLECTED_ERROR:
		return false;
	}
	return false;
}

bool pg_exec(struct pg *pg, const char *sql, int64_t *affected, size_t n, struct err *err)
{
	return send_query(pg, sql, err) && collect_all(pg, affected, n, err);
}

/* NULL with the error; of an UPDATE or DELETE there are rows without any. */
struct pg_rows *pg_query(struct pg *pg, const char *sql, const char *const *params, size_t nparams,
			 struct err *err)
{
	if (!pg_usable(pg, err))
		return NULL;
	pg_start_call(pg);
	if (!PQsendQueryParams(pg->conn, sql, (int)nparams, NULL, params, NULL, NULL, 0)) {
		pg_connection_error(pg, "send", err);
		return NULL;
	}
	if (!pg_flush(pg, err))
		return NULL;
	struct pg_rows *rows = xcalloc(1, sizeof(*rows));
	int64_t affected = 0;
	if (collect(pg, &affected, 1, &rows->res, err) != COLLECTED_ALL) {
		pg_rows_free(rows);
		return NULL;
	}
	return rows;
}

size_t pg_rows_count(const struct pg_rows *rows)
{
	return rows->res ? (size_t)PQntuples(rows->res) : 0;
}

size_t pg_rows_columns(const struct pg_rows *rows)
{
	return rows->res ? (size_t)PQnfields(rows->res) : 0;
}

const char *pg_rows_name(const struct pg_rows *rows, size_t column)
{
	return PQfname(rows->res, (int)column);
}

const char *pg_value(const struct pg_rows *rows, size_t row, size_t column)
{
	if (PQgetisnull(rows->res, (int)row, (int)column))
		return NULL;
	return PQgetvalue(rows->res, (int)row, (int)column);
}

int64_t pg_int(const struct pg_rows *rows, size_t row, size_t column)
{
	const char *text = pg_value(rows, row, column);
	return text ? strtoll(text, NULL, 10) : 0;
}

bool pg_bool(const struct pg_rows *rows, size_t row, size_t column)
{
	const char *text = pg_value(rows, row, column);
	return text && text[0] == 't';
}

int64_t pg_rows_affected(const struct pg_rows *rows)
{
	return rows->res ? pg_affected(rows->res) : 0;
}

void pg_rows_free(struct pg_rows *rows)
{
	if (!rows)
		return;
	PQclear(rows->res);
	free(rows);
}

/* --- COPY --- */

/* A text whose COPY never begins is a mistake of ours. */
bool pg_copy_begin(struct pg *pg, const char *sql, int64_t *affected, size_t n, struct err *err)
{
	if (!send_query(pg, sql, err))
		return false;
	switch (collect(pg, affected, n, NULL, err)) {
	case COLLECTED_COPY:
		return true;
	case COLLECTED_ALL:
		return err_set(err, ERR_FATAL, "PostgreSQL: no COPY began");
	case COLLECTED_ERROR:
		return false;
	}
	return false;
}

/* libpq keeps what the socket does not take, so it is flushed each time. */
bool pg_copy_data(struct pg *pg, const void *data, size_t len, struct err *err)
{
	int rc;
	pg_start_call(pg);
	while ((rc = PQputCopyData(pg->conn, data, (int)len)) == 0)
		if (!wait_socket(pg, true, "COPY", err) || !pg_flush(pg, err))
			return false;
	if (rc < 0)
		return pg_connection_error(pg, "COPY", err);
	return pg_flush(pg, err);
}

/* abort_reason NULL: the end is meant. */
static bool put_end(struct pg *pg, const char *abort_reason, struct err *err)
{
	int rc;
	pg_start_call(pg);
	while ((rc = PQputCopyEnd(pg->conn, abort_reason)) == 0)
		if (!wait_socket(pg, true, "COPY", err) || !pg_flush(pg, err))
			return false;
	if (rc < 0)
		return pg_connection_error(pg, "COPY", err);
	return pg_flush(pg, err);
}

bool pg_copy_end(struct pg *pg, struct err *err)
{
	return put_end(pg, NULL, err);
}

bool pg_copy_results(struct pg *pg, int64_t *affected, size_t n, struct err *err)
{
	pg_start_call(pg);
	return collect_all(pg, affected, n, err);
}

/* The COPY has to fail; if it does not, nobody knows what was run. */
bool pg_copy_abort(struct pg *pg, const char *reason, struct err *err)
{
	struct err refused;
	if (!put_end(pg, reason, err))
		return false;
	if (collect(pg, NULL, 0, NULL, &refused) == COLLECTED_ERROR && pg_ok(pg))
		return true;
	pg->dead = true;
	return err_set(err, ERR_RETRY,
		       "PostgreSQL: a COPY that was called off did not end as such");
}

enum pg_verdict pg_last_verdict(const struct pg *pg)
{
	return pg->verdict;
}

size_t pg_passed(const struct pg *pg)
{
	return pg->passed;
}

struct pg_place pg_last_place(const struct pg *pg)
{
	return pg->place;
}

/* --- quoting --- */

/*
 * With standard_conforming_strings on (the default since 9.1), doubling the quote is all that a
 * literal needs.
 */
void pg_quote_literal(struct buf *out, const char *s)
{
	buf_quoted(out, s, '\'');
}

void pg_quote_ident(struct buf *out, const char *s)
{
	buf_quoted(out, s, '"');
}

/*
 * pg_pipe.c - prepared statements, many of them in one round trip (libpq's pipeline mode).
 *
 *   pg_prepare      Parse, Sync ------------------> done
 *   pg_pipe_add     Bind, Execute                    any number, nothing is waited for
 *   pg_pipe_end     Sync -------------------------> one answer each, in order
 *
 * The server skips what follows a failed statement, up to the Sync; the first error is the one that
 * is reported. Parameters come as a row of COPY BINARY, which is what a batch holds: each field a
 * length of four bytes and its bytes, -1 for null.
 *
 * Invariant: the session is in pipeline mode from the first pg_pipe_add() to the end of
 * pg_pipe_end(), or it is dead.
 *
 * Thread: the one that owns the struct.
 */
#include "base/buf.h"
#include "io/pg_parts.h"

/* Waits for its answer: a statement that fails here is not the row's fault. */
bool pg_prepare(struct pg *pg, const char *name, const char *sql, struct err *err)
{
	if (!pg_usable(pg, err))
		return false;
	pg_start_call(pg);
	if (!PQsendPrepare(pg->conn, name, sql, 0, NULL))
		return pg_connection_error(pg, "send", err);
	return pg_flush(pg, err) && pg_copy_results(pg, NULL, 0, err);
}

/* The fields of a row as libpq wants them. */
static void split_row(const uint8_t *row, size_t fields, const char **values, int *lengths,
		      int *formats)
{
	for (size_t i = 0; i < fields; i++) {
		uint32_t len = get_be32(row);
		row += 4;
		values[i] = len == UINT32_MAX ? NULL : (const char *)row;
		lengths[i] = len == UINT32_MAX ? 0 : (int)len;
		formats[i] = 1;
		row += lengths[i];
	}
}

/* Only queued; libpq may send some of it. */
bool pg_pipe_add(struct pg *pg, const char *name, const uint8_t *row, size_t fields,
		 struct err *err)
{
	const char *values[PG_MAX_FIELDS];
	int lengths[PG_MAX_FIELDS], formats[PG_MAX_FIELDS];
	if (!pg_usable(pg, err))
		return false;
	split_row(row, fields, values, lengths, formats);
	if (PQenterPipelineMode(pg->conn) &&
	    PQsendQueryPrepared(pg->conn, name, (int)fields, values, lengths, formats, 0))
		return true;
	pg->dead = true;
	return pg_connection_error(pg, "send", err);
}

/* One statement's answer, and the end that libpq puts behind it. */
static bool take_answer(struct pg *pg, int64_t *affected, bool *failed, struct err *err)
{
	for (PGresult *res;;) {
		if (!pg_wait_result(pg, err))
			return false;
		if (!(res = PQgetResult(pg->conn)))
			return PQstatus(pg->conn) == CONNECTION_OK ||
			       pg_connection_error(pg, "wait", err);
		ExecStatusType status = PQresultStatus(res);
		if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK)
			*affected = pg_affected(res);
		else if (!*failed)
			*failed = !pg_result_error(pg, res, err);
		PQclear(res);
	}
}

/* Ends pipeline mode, or the session is of no use. */
static bool take_sync(struct pg *pg, struct err *err)
{
	if (!pg_wait_result(pg, err))
		return false;
	PGresult *res = PQgetResult(pg->conn);
	bool sync = PQresultStatus(res) == PGRES_PIPELINE_SYNC;
	PQclear(res);
	return (sync && PQexitPipelineMode(pg->conn)) || pg_connection_error(pg, "wait", err);
}

/* All are taken, also behind a failure: those are "not run". */
static bool take_answers(struct pg *pg, int64_t *affected, size_t n, bool *failed, struct err *err)
{
	if (!PQpipelineSync(pg->conn))
		return pg_connection_error(pg, "send", err);
	if (!pg_flush(pg, err))
		return false;
	pg->passed = 0;
	for (size_t i = 0; i < n; i++) {
		if (!take_answer(pg, &affected[i], failed, err))
			return false;
		pg->passed += !*failed;
	}
	return take_sync(pg, err);
}

/* The session survives a failed statement, not a lost answer. */
bool pg_pipe_end(struct pg *pg, int64_t *affected, size_t n, struct err *err)
{
	bool failed = false;
	pg_start_call(pg);
	if (!take_answers(pg, affected, n, &failed, err))
		pg->dead = true;
	return !pg->dead && !failed;
}

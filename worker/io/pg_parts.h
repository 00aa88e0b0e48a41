/*
 * pg_parts.h - the session's own data, shared by the files that make it up: pg_dsn.c (where to
 * connect to), pg_connect.c (connecting), pg.c (statements, COPY, errors) and pg_pipe.c (prepared
 * statements in one go). Nobody else includes it, or libpq's header.
 */
#pragma once

#include <libpq-fe.h>

#include "io/pg.h"

struct pg {
	PGconn *conn;
	int abort_fd;
	int64_t timeout_us, deadline_us;
	bool dead; /* timed out or aborted: the connection must not be used again */
	enum pg_verdict verdict;
	size_t passed; /* statements that went well in the last call */
	struct pg_place place;
	char detail[160]; /* constraint and column that the server named */
};

bool pg_usable(struct pg *pg, struct err *err); /* False with the error if it is dead. */
void pg_start_call(struct pg *pg);              /* its deadline counts from now */
/* Sends what libpq holds, reading meanwhile. */
bool pg_flush(struct pg *pg, struct err *err);
bool pg_wait_result(struct pg *pg, struct err *err); /* Until libpq has one whole result. */
int64_t pg_affected(const PGresult *res);            /* rows, of one result */
/* Both fill err and the session's verdict, and return false. */
bool pg_connection_error(struct pg *pg, const char *doing, struct err *err);
bool pg_result_error(struct pg *pg, const PGresult *res, struct err *err);

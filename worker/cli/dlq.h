/* dlq.h - what the files of "memingest dlq" share: cmd_dlq.c, dlq_replay.c. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "cli/cli.h"
#include "io/pg.h"

/* A condition with its parameters, which are numbered as they come. Parameters are borrowed. */
struct dlq_where {
	struct buf sql;
	const char *params[8];
	size_t n;
};

/* Runs head, the condition and tail as one statement. New rows, or NULL. */
struct pg_rows *dlq_query(struct pg *pg, const char *head, struct dlq_where *w, const char *tail,
			  struct err *err);

/* Prints the error, returns its exit code. */
int dlq_fail(const struct err *err);

/* The byte of two lower-case hex digits. */
uint8_t dlq_hex_byte(const char *hex);

/* Sends what the condition selects, says how many, returns the exit code. */
int dlq_replay(struct cli *cli, struct pg *pg, struct dlq_where *w);

/*
 * dlq.c - what the verbs of "memingest dlq" share: a question to memingest.dead_letters, the end in
 * an error, bytes that came as hex.
 */
#include "cli/dlq.h"

#include <stdlib.h>

#include "cli/report.h"

/* The condition stands in the middle; its parameters go along. */
struct pg_rows *dlq_query(struct pg *pg, const char *head, struct dlq_where *w, const char *tail,
			  struct err *err)
{
	char *sql = xasprintf("%s%s%s", head, buf_cstr(&w->sql), tail);
	struct pg_rows *rows = pg_query(pg, sql, w->params, w->n, err);
	free(sql);
	return rows;
}

int dlq_fail(const struct err *err)
{
	return cli_fail((enum exit_code)report_err_exit_code(err), "%s", err->text);
}

uint8_t dlq_hex_byte(const char *hex)
{
	return (uint8_t)(hex_value((uint8_t)hex[0]) * 16 + hex_value((uint8_t)hex[1]));
}

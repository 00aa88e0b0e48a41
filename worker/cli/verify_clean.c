/*
 * verify_clean.c - what a check leaves behind in PostgreSQL, and who takes it away.
 *
 *   memingest.verify_ID_rows, _was, _found          tables
 *   memingest.offsets, .batches, .dead_letters      rows of pipeline GROUP/verify/ID
 *
 * A check holds an advisory lock of its id's number from its beginning to its end. So whoever gets
 * that lock knows that the check is over, and that what it has left is nobody's: its own end, or,
 * if it was killed, the next check.
 *
 * Thread: the command's. Failure: what could not be removed is left for the next one.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/verify.h"

extern const char sql_verify_left[]; /* worker/sql */

/* What a statement over the whole table may take. */
#define STATEMENT_US (INT64_C(7) * 86400 * US_PER_S)
/* The first of the lock's two numbers: "veri". */
#define LOCK_CLASS "1986359913"

static bool call_lock(struct pg *pg, const char *function, const char *id, bool *done,
		      struct err *err)
{
	char sql[96];
	const char *params[] = {id};
	snprintf(sql, sizeof(sql), "SELECT %s(" LOCK_CLASS ", ('x' || $1)::bit(32)::int)",
		 function);
	struct pg_rows *rows = pg_query(pg, sql, params, 1, err);
	*done = rows && pg_bool(rows, 0, 0);
	pg_rows_free(rows);
	return rows != NULL;
}

static bool drop_tables(struct pg *pg, const char *id, struct err *err)
{
	char sql[200];
	snprintf(sql, sizeof(sql),
		 "DROP TABLE IF EXISTS memingest.verify_%s_rows, memingest.verify_%s_was, "
		 "memingest.verify_%s_found",
		 id, id, id);
	return pg_exec(pg, sql, NULL, 0, err);
}

/* The offsets last: they are what names a check whose tables are gone. */
static bool forget_pipeline(struct pg *pg, const char *id, struct err *err)
{
	static const char *const books[] = {"dead_letters", "batches", "offsets"};
	char sql[160];
	bool ok = true;
	for (size_t i = 0; ok && i < ARRAY_LEN(books); i++) {
		snprintf(sql, sizeof(sql),
			 "DELETE FROM memingest.%s WHERE pipeline LIKE '%%/verify/%s'", books[i],
			 id);
		ok = pg_exec(pg, sql, NULL, 0, err);
	}
	return ok;
}

static bool clean(struct pg *pg, const char *id, struct err *err)
{
	return (drop_tables(pg, id, err) && forget_pipeline(pg, id, err)) ||
	       err_wrap(err, "removing what check %s has left", id);
}

static bool clean_up(struct pg *pg, struct err *err)
{
	struct pg_rows *left = pg_query(pg, sql_verify_left, NULL, 0, err);
	bool ok = left != NULL, mine;
	for (size_t i = 0; ok && i < pg_rows_count(left); i++) {
		const char *id = pg_value(left, i, 0);
		ok = call_lock(pg, "pg_try_advisory_lock", id, &mine, err);
		if (ok && mine)
			ok = clean(pg, id, err) &&
			     call_lock(pg, "pg_advisory_unlock", id, &mine, err);
	}
	pg_rows_free(left);
	return ok;
}

bool verify_choose_id(struct verify *v, struct err *err)
{
	uint32_t number;
	if (getrandom(&number, sizeof(number), 0) != sizeof(number))
		return err_set(err, ERR_FATAL, "getrandom: %s", strerror(errno));
	snprintf(v->id, sizeof(v->id), "%08" PRIx32, number);
	v->pipeline = xasprintf("%s/verify/%s", v->config->group_id, v->id);
	return true;
}

static bool open_session(struct verify *v, struct err *err)
{
	v->db = asker_of(pg_connect(v->config, "verify", v->abort_fd, err));
	if (!v->db.pg)
		return false;
	pg_set_timeout(v->db.pg, STATEMENT_US);
	/*
	 * A policy that hides rows would be an error, not a difference. Nearly all of the work is
	 * in the hashes, of which the planner thinks that they cost nothing.
	 */
	return pg_exec(v->db.pg,
		       "SET statement_timeout = 0; SET idle_session_timeout = 0; SET row_security "
		       "= off; SET "
		       "client_min_messages = warning; SET work_mem = '64MB'; SET "
		       "parallel_tuple_cost = 0; SET parallel_setup_cost = 0",
		       NULL, 0, err);
}

bool verify_pg_begin(struct verify *v, struct err *err)
{
	bool mine;
	if (!open_session(v, err) || !clean_up(v->db.pg, err) || !verify_choose_id(v, err))
		return false;
	v->rows_name = xasprintf("verify_%s_rows", v->id);
	v->rows = xasprintf("memingest.%s", v->rows_name);
	v->was = xasprintf("memingest.verify_%s_was", v->id);
	v->found = xasprintf("memingest.verify_%s_found", v->id);
	if (!call_lock(v->db.pg, "pg_try_advisory_lock", v->id, &mine, err))
		return false;
	return mine || err_set(err, ERR_RETRY, "check %s is under way: try again", v->id);
}

/* By another session where this one is gone, or was told to stop. */
bool verify_pg_end(struct verify *v, struct err *err)
{
	bool mine = true;
	struct pg *pg = v->db.pg;
	if (!v->id[0])
		return true;
	if (!pg || !pg_alive(pg)) {
		pg_free(pg);
		v->db.pg = pg = pg_connect(v->config, "verify", -1, err);
		if (!pg || !call_lock(pg, "pg_advisory_lock", v->id, &mine, err))
			return pg != NULL;
	}
	return clean(pg, v->id, err);
}

void verify_free(struct verify *v)
{
	asker_close(&v->db);
	if (v->abort_fd > 0)
		close(v->abort_fd);
	for (size_t i = 0; v->columns && i < v->stream->table->ncolumns; i++)
		free(v->columns[i].send);
	for (size_t i = 0; i < v->nnotes; i++)
		free(v->notes[i].text);
	free(v->notes);
	free(v->columns);
	free(v->pipeline);
	free(v->rows_name);
	free(v->rows);
	free(v->was);
	free(v->found);
	free(v->folder);
	replay_free(&v->replay);
	stream_free(v->stream);
}

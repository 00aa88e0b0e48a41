/*
 * rows.c - a batch's rows into their table, one by one, in the order of their offsets.
 *
 *   row --> delete                                  changes() says what became of it
 *      \--> find --> insert or update
 *
 * Nothing is folded and nothing sorted: a call of SQLite costs a microsecond, no round trip. So
 * each event meets the table as the one before it left it, and has its own verdict, whatever
 * indexes, checks and triggers the table has.
 *
 * Whose fault a refusal is:
 *
 *   a state that is a value's by its nature       the event's: constraints, a type, a size, a sum
 *   no statement can be prepared                  the table's: a missing table or column
 *   SQLITE_ERROR, which may be anything (a        the event's if another row of the batch, or else
 *   trigger's function, JSON that a CHECK reads)  of the one behind it, passes; else the table's
 *
 * SQLite undoes a statement that it refuses and keeps the transaction, so the batch goes on to its
 * end and all culprits are known at once; then all is rolled back, their messages are read again
 * (write/reader.c), and the batch comes back without them. A trigger's RAISE(ROLLBACK) ends the
 * transaction: then there is but the one culprit, this time.
 *
 * Should many be at fault, the guard stops the stream (dlq.max_ratio).
 *
 * Thread: the lane's. Memory: vectors of one row in their new order; refusals are the batch's.
 */
#include "sqlite/rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/stats.h"
#include "sqlite/form.h"

#define PEER_ROWS 20

void rows_open(struct rows *r, const struct stream *stream)
{
	*r = (struct rows){.stream = stream,
			   .sql = tablesql_new(stream->table, stream->config->on_conflict),
			   .fields = xcalloc(stream->table->ncolumns, sizeof(struct slice))};
}

void rows_close(struct rows *r)
{
	tablesql_free(r->sql);
	buf_free(&r->scratch);
	free(r->fields);
}

void rows_session_lost(struct rows *r)
{
	r->find = r->insert = r->update = r->delete = NULL;
}

static bool prepare_once(struct db *db, sqlite3_stmt **stmt, const char *sql, struct err *err)
{
	if (!*stmt && sql)
		*stmt = db_prepare(db, sql, err);
	return *stmt || !sql;
}

/* What fails here is the table's trouble. */
static bool prepare(struct rows *r, struct db *db, struct err *err)
{
	if (prepare_once(db, &r->find, r->sql->find, err) &&
	    prepare_once(db, &r->insert, r->sql->insert, err) &&
	    prepare_once(db, &r->update, r->sql->update, err) &&
	    prepare_once(db, &r->delete, r->sql->delete, err))
		return true;
	if (db->trouble == DB_TABLE)
		err_wrap(err, "table %s does not fit, run \"memingest migrate\"",
			 r->stream->table->name);
	return false;
}

/* --- one row --- */

/* The fields of a row, each behind its length. */
static void split(struct rows *r, const struct batch_row *row)
{
	const uint8_t *p = row->data.data;
	for (size_t i = 0; i < r->stream->table->ncolumns; i++) {
		uint32_t len = get_be32(p);
		bool null = len == UINT32_MAX;
		p += 4;
		r->fields[i] = (struct slice){null ? NULL : p, null ? 0 : len};
		p += r->fields[i].len;
	}
	r->scratch.len = 0;
	buf_grow(&r->scratch, 2 * row->data.len); /* so that it does not move */
}

static void bind(struct rows *r, sqlite3_stmt *stmt, size_t column)
{
	const struct column *c = &r->stream->table->columns[column];
	form_bind(stmt, (int)column + 1, c, r->fields[column], &r->scratch);
}

/* The first n, and the time. */
static void bind_columns(struct rows *r, sqlite3_stmt *stmt, size_t n, int64_t now_us)
{
	for (size_t i = 0; i < n; i++)
		bind(r, stmt, i);
	if (now_us > 0)
		sqlite3_bind_int64(stmt, r->sql->now, now_us);
}

/* A delete is told by its key and its version. */
static bool delete_row(struct rows *r, struct db *db, struct err *err)
{
	const struct table *t = r->stream->table;
	bind_columns(r, r->delete, t->nkeys, 0);
	if (sqlite3_bind_parameter_count(r->delete) > (int)t->nkeys)
		bind(r, r->delete, (size_t)t->version);
	return db_run(db, r->delete, err);
}

static bool find_row(struct rows *r, struct db *db, bool *there, struct err *err)
{
	bind_columns(r, r->find, r->stream->table->nkeys, 0);
	bool ok = db_row(db, r->find, there, err);
	sqlite3_reset(r->find);
	return ok;
}

/* *changed: rows. */
static bool apply(struct rows *r, struct db *db, const struct batch_row *row, uint64_t *changed,
		  struct err *err)
{
	bool there = false;
	*changed = 0;
	split(r, row);
	if (row->op == RECORD_DELETE) {
		if (!delete_row(r, db, err))
			return false;
		*changed = (uint64_t)sqlite3_changes(db->handle);
		r->deleted += *changed;
		return true;
	}
	if (!find_row(r, db, &there, err))
		return false;
	sqlite3_stmt *stmt = there ? r->update : r->insert;
	if (!stmt)
		return true;
	bind_columns(r, stmt, r->stream->table->ncolumns, r->now_us);
	if (!db_run(db, stmt, err))
		return false;
	*changed = (uint64_t)sqlite3_changes(db->handle);
	return true;
}

/* --- refusals --- */

/* What to make of the refused ones. */
struct trial {
	size_t passed, odd; /* rows; of the refused, by what says nothing about whose fault it is */
	struct err first;
};

static bool is_verdict(const struct db *db)
{
	return db->trouble == DB_EVENT || db->trouble == DB_EITHER;
}

static enum dead_reason reason_of(const struct db *db)
{
	int code = sqlite3_errcode(db->handle) & 0xff;
	if (db->refused)
		return REASON_OUT_OF_RANGE;
	if (code == SQLITE_CONSTRAINT || code == SQLITE_MISMATCH)
		return REASON_CONSTRAINT;
	return code == SQLITE_TOOBIG ? REASON_TOO_LARGE : REASON_DATABASE;
}

/* False: more than the guard admits, so the rest need not be known. */
static bool refuse_row(struct rows *r, const struct db *db, const struct config *config,
		       struct batch *b, uint32_t event, struct trial *t, const struct err *why)
{
	struct err ignored;
	if (t->first.class == ERR_NONE)
		t->first = *why;
	t->odd += db->trouble == DB_EITHER;
	batch_refuse(b, event, reason_of(db), why->text);
	return guard_admits(&r->guard, config, r->stream->config->name, b->narranged,
			    b->nrefused - b->nburied, &ignored);
}

/* One of the next batch's rows passes, in this transaction, which is rolled back after. */
static bool hear_peer(struct rows *r, struct db *db, const struct batch *peer)
{
	size_t n = peer && peer->stream == r->stream ? peer->nevents : 0, tried = 0;
	bool passed = false;
	for (size_t i = 0; i < n && tried < PEER_ROWS && !passed; i++) {
		const struct event *e = &peer->events[i];
		const struct batch_row row = {.data = {peer->rows.data + e->row, e->row_len},
					      .key_len = e->key_len,
					      .op = e->op};
		struct err ignored;
		uint64_t changed;
		if (e->dead)
			continue;
		tried++;
		passed = apply(r, db, &row, &changed, &ignored);
		if (!passed && !is_verdict(db))
			return false;
	}
	return passed;
}

static enum rows_result judge(struct rows *r, struct db *db, const struct config *config,
			      struct batch *b, const struct batch *peer, const struct trial *t,
			      struct err *err)
{
	const char *stream = r->stream->config->name;
	if (t->odd > 0 && t->passed == 0 && !hear_peer(r, db, peer)) {
		*err = t->first;
		err->class = ERR_CONFIG;
		db->trouble = DB_TABLE;
		err_wrap(err,
			 "table %s: no event passes, so the table may be at fault: waiting for one "
			 "that does",
			 r->stream->table->name);
		return ROWS_FAILED;
	}
	if (!guard_admits(&r->guard, config, stream, b->narranged, b->nrefused - b->nburied, err)) {
		db->trouble = DB_TABLE;
		return ROWS_FAILED;
	}
	for (size_t i = b->nburied; i < b->nrefused; i++) {
		const struct event *e = &b->events[b->refused[i].event];
		const struct span *span = &b->spans[e->span];
		log_warn("event refused by SQLite", F_STR("stream", stream),
			 F_STR("topic", span->topic), F_INT("partition", span->partition),
			 F_INT("offset", e->offset), F_STR("error", b->refused[i].why));
	}
	return ROWS_REFUSED;
}

bool rows_refuse_only(struct rows *r, const struct config *config, struct batch *b,
		      const struct err *why, struct err *err)
{
	batch_forgive(b);
	batch_refuse(b, (uint32_t)b->first, REASON_CONSTRAINT, why->text);
	return guard_admits(&r->guard, config, r->stream->config->name, 1, 1, err);
}

/* --- all rows --- */

enum rows_result rows_write(struct rows *r, struct db *db, const struct config *config,
			    struct batch *b, const struct batch *peer, struct err *err)
{
	bool second =
		b->nburied < b->nrefused; /* others wait for their messages: these had passed */
	struct trial t = {0};
	r->deleted = 0;
	r->now_us = clock_wall_us();
	if (!prepare(r, db, err))
		return ROWS_FAILED;
	for (size_t i = 0; i < b->narranged; i++) {
		const struct batch_row *row = &b->arranged[i];
		uint64_t changed;
		if (apply(r, db, row, &changed, err)) {
			b->spans[row->span].now.written += changed;
			t.passed++;
			continue;
		}
		if (!is_verdict(db))
			return ROWS_FAILED;
		if (second) {
			db->trouble = DB_WAIT;
			err_set(err, ERR_RETRY, "a row that passed a moment ago is refused now");
			return ROWS_FAILED;
		}
		if (!refuse_row(r, db, config, b, row->event, &t, err))
			break;
		if (sqlite3_get_autocommit(db->handle))
			break; /* a trigger has rolled back */
	}
	if (t.first.class == ERR_NONE)
		return ROWS_DONE;
	return judge(r, db, config, b, peer, &t, err);
}

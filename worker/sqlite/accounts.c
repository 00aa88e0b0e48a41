/*
 * accounts.c - the SQL of memingest_offsets, memingest_batches and memingest_dead_letters.
 *
 *   in a batch's transaction    swap, batch rows, dead letters      prepared once a session
 *   of their own                claim, halt, prune, forget          BEGIN IMMEDIATE .. COMMIT
 *
 * The tables are those of worker/sql/sqlite_books.sql; what they mean is PostgreSQL's, as
 * write/claim.c and write/fence.c have it: the first claim of a topic decides where all of its
 * partitions start, a claim raises the epoch, and a swap moves a row only as its owner knows it.
 *
 * A refusal by these tables is never an event's fault: its class is CONFIG.
 *
 * Thread: the lane's, or a command's.
 */
#include "sqlite/accounts.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "sqlite/writer.h"

/* At a time: some milliseconds between two batches. */
#define PRUNE_ROWS 5000

static const char *const texts[ACCOUNT_COUNT] = {
	[ACCOUNT_SWAP] = "UPDATE memingest_offsets SET next_offset = ?5, updated_at = ?8,"
			 " leader_epoch = max(coalesce(leader_epoch, ?7), ?7)"
			 " WHERE pipeline = ?1 AND topic = ?2 AND partition = ?3"
			 " AND next_offset = ?4 AND owner_epoch = ?6",
	[ACCOUNT_ROW] = "SELECT next_offset, owner_epoch, owner, topic_id FROM memingest_offsets"
			" WHERE pipeline = ?1 AND topic = ?2 AND partition = ?3",
	[ACCOUNT_BATCH] =
		"INSERT INTO memingest_batches (pipeline, topic, partition, from_offset,"
		" to_offset, owner_epoch, rows, merged, superseded, dead, skipped,"
		" committed_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
	[ACCOUNT_DEAD] =
		"INSERT INTO memingest_dead_letters (pipeline, topic, partition, \"offset\","
		" stream, reason, detail, key, value, headers, event_time, created_at)"
		" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
};

/* Not an event's fault, and the tables are our own. */
static bool failed(struct err *err)
{
	if (err->class == ERR_POISON)
		err->class = ERR_CONFIG;
	return err_wrap(err, "bookkeeping (tables memingest_*)");
}

bool accounts_open(struct accounts *k, struct db *db, const char *pipeline, struct err *err)
{
	*k = (struct accounts){.db = db, .pipeline = pipeline};
	writer_name(k->owner, sizeof(k->owner));
	for (size_t i = 0; i < ACCOUNT_COUNT; i++) {
		k->statements[i] = db_prepare(db, texts[i], err);
		if (!k->statements[i] && db->trouble == DB_TABLE)
			err_wrap(err, "%s: run \"memingest migrate\"", db->path);
		if (!k->statements[i])
			return failed(err);
	}
	return true;
}

static void bind_text(sqlite3_stmt *stmt, int i, const char *text)
{
	sqlite3_bind_text(stmt, i, text, -1, SQLITE_STATIC);
}

/* What all begin with. */
static void bind_place(const struct accounts *k, sqlite3_stmt *stmt, const char *topic,
		       int32_t partition)
{
	bind_text(stmt, 1, k->pipeline);
	bind_text(stmt, 2, topic);
	sqlite3_bind_int(stmt, 3, partition);
}

/* --- of a batch's transaction --- */

bool accounts_swap(struct accounts *k, const struct span *span, bool *moved, struct err *err)
{
	sqlite3_stmt *stmt = k->statements[ACCOUNT_SWAP];
	bind_place(k, stmt, span->topic, span->partition);
	sqlite3_bind_int64(stmt, 4, span->from);
	sqlite3_bind_int64(stmt, 5, span->upto);
	sqlite3_bind_int64(stmt, 6, span->owner_epoch);
	sqlite3_bind_int(stmt, 7, span->leader_epoch);
	sqlite3_bind_int64(stmt, 8, clock_wall_us());
	if (!db_run(k->db, stmt, err))
		return failed(err);
	*moved = sqlite3_changes(k->db->handle) == 1;
	return true;
}

bool accounts_add_batch(struct accounts *k, const struct span *span, int64_t now_us,
			struct err *err)
{
	sqlite3_stmt *stmt = k->statements[ACCOUNT_BATCH];
	const struct tally *t = &span->now;
	if (span->upto == span->from)
		return true;
	bind_place(k, stmt, span->topic, span->partition);
	sqlite3_bind_int64(stmt, 4, span->from);
	sqlite3_bind_int64(stmt, 5, span->upto);
	sqlite3_bind_int64(stmt, 6, span->owner_epoch);
	sqlite3_bind_int64(stmt, 7, (int64_t)t->events);
	sqlite3_bind_int64(stmt, 8, (int64_t)t->written);
	sqlite3_bind_int64(stmt, 9, (int64_t)tally_superseded(t));
	sqlite3_bind_int64(stmt, 10, (int64_t)t->dead);
	sqlite3_bind_int64(stmt, 11, (int64_t)t->skipped);
	sqlite3_bind_int64(stmt, 12, now_us);
	return db_run(k->db, stmt, err) || failed(err);
}

/* Empty is not null. */
static void bind_bytes(sqlite3_stmt *stmt, int i, bool there, struct slice bytes)
{
	if (there)
		sqlite3_bind_blob64(stmt, i, bytes.len ? bytes.data : (const void *)"", bytes.len,
				    SQLITE_STATIC);
	else
		sqlite3_bind_null(stmt, i);
}

bool accounts_add_dead(struct accounts *k, const char *stream, const struct span *span,
		       const struct dead_letter *d, struct err *err)
{
	sqlite3_stmt *stmt = k->statements[ACCOUNT_DEAD];
	int64_t us = clock_ms_to_us(d->timestamp_ms);
	bind_place(k, stmt, span->topic, span->partition);
	sqlite3_bind_int64(stmt, 4, d->offset);
	bind_text(stmt, 5, stream);
	bind_text(stmt, 6, dead_reason_name(d->reason));
	bind_text(stmt, 7, d->detail);
	bind_bytes(stmt, 8, d->has_key, d->key);
	bind_bytes(stmt, 9, d->has_value, d->value);
	bind_text(stmt, 10, d->headers);
	if (d->timestamp_ms >= 0)
		sqlite3_bind_int64(stmt, 11, us);
	else
		sqlite3_bind_null(stmt, 11);
	sqlite3_bind_int64(stmt, 12, clock_wall_us());
	return db_run(k->db, stmt, err) || failed(err);
}

static void copy_text(sqlite3_stmt *stmt, int column, char *out, size_t size)
{
	const char *text = (const char *)sqlite3_column_text(stmt, column);
	snprintf(out, size, "%s", text ? text : "");
}

bool accounts_read(struct accounts *k, const char *topic, int32_t partition,
		   struct accounts_row *row, struct err *err)
{
	sqlite3_stmt *stmt = k->statements[ACCOUNT_ROW];
	*row = (struct accounts_row){0};
	bind_place(k, stmt, topic, partition);
	bool ok = db_row(k->db, stmt, &row->there, err) || failed(err);
	if (row->there) {
		row->next_offset = sqlite3_column_int64(stmt, 0);
		row->owner_epoch = sqlite3_column_int64(stmt, 1);
		copy_text(stmt, 2, row->owner, sizeof(row->owner));
		copy_text(stmt, 3, row->topic_id, sizeof(row->topic_id));
	}
	sqlite3_reset(stmt);
	return ok;
}

/* --- of their own --- */

/* A statement that is needed rarely, bound by what follows; the caller runs it by once(). */
static sqlite3_stmt *begin_once(struct accounts *k, const char *sql, const char *topic,
				int32_t partition, struct err *err)
{
	sqlite3_stmt *stmt = db_prepare(k->db, sql, err);
	if (stmt)
		bind_place(k, stmt, topic, partition);
	return stmt;
}

/* NULL, of a statement that could not be prepared, is a failure. */
static bool once(struct accounts *k, sqlite3_stmt *stmt, struct err *err)
{
	bool ok = stmt && db_run(k->db, stmt, err);
	sqlite3_finalize(stmt);
	return ok || failed(err);
}

static bool begin(struct accounts *k, struct err *err)
{
	return db_exec(k->db, "BEGIN IMMEDIATE", err) || failed(err);
}

/* COMMIT, or all is undone. */
static bool end(struct accounts *k, bool ok, struct err *err)
{
	if (ok && !db_exec(k->db, "COMMIT", err))
		ok = failed(err);
	if (!ok)
		db_rollback(k->db);
	return ok;
}

/* The row of partition -1 says how many there were. */
static bool add_start(struct accounts *k, const struct sink_claim *c, int32_t partition,
		      int64_t offset, struct err *err)
{
	sqlite3_stmt *stmt =
		begin_once(k,
			   "INSERT INTO memingest_offsets (pipeline, topic, partition,"
			   " next_offset, topic_id, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
			   c->topic, partition, err);
	if (stmt) {
		sqlite3_bind_int64(stmt, 4, offset);
		if (partition >= 0 && c->topic_id[0])
			bind_text(stmt, 5, c->topic_id);
		sqlite3_bind_int64(stmt, 6, clock_wall_us());
	}
	return once(k, stmt, err);
}

/* As write/claim.c. */
bool accounts_add_starts(struct accounts *k, const struct sink_claim *c, struct err *err)
{
	bool row = false;
	sqlite3_stmt *stmt = begin_once(k,
					"SELECT 1 FROM memingest_offsets WHERE pipeline = ?1"
					" AND topic = ?2 AND ?3 IS NOT NULL LIMIT 1",
					c->topic, 0, err);
	bool ok = stmt && db_row(k->db, stmt, &row, err);
	sqlite3_finalize(stmt);
	if (!ok)
		return failed(err);
	if (row)
		return true;
	ok = add_start(k, c, -1, c->nstarts, err);
	for (int32_t i = 0; ok && i < c->nstarts; i++)
		ok = add_start(k, c, i, c->starts[i], err);
	return ok;
}

static bool raise_epoch(struct accounts *k, const struct sink_claim *c, struct err *err)
{
	sqlite3_stmt *stmt = begin_once(
		k,
		"INSERT INTO memingest_offsets (pipeline, topic, partition, next_offset, topic_id,"
		" owner_epoch, owner, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6, ?7)"
		" ON CONFLICT (pipeline, topic, partition) DO UPDATE SET owner_epoch ="
		" owner_epoch + 1, owner = excluded.owner, updated_at = excluded.updated_at,"
		" topic_id = coalesce(topic_id, excluded.topic_id)",
		c->topic, c->partition, err);
	if (stmt) {
		sqlite3_bind_int64(stmt, 4, c->low);
		if (c->topic_id[0])
			bind_text(stmt, 5, c->topic_id);
		bind_text(stmt, 6, k->owner);
		sqlite3_bind_int64(stmt, 7, clock_wall_us());
	}
	return once(k, stmt, err);
}

bool accounts_claim(struct accounts *k, struct sink_claim *c, struct err *err)
{
	struct accounts_row row = {0};
	if (!begin(k, err))
		return err_wrap(err, "claim");
	bool ok = (c->nstarts == 0 || accounts_add_starts(k, c, err)) && raise_epoch(k, c, err) &&
		  accounts_read(k, c->topic, c->partition, &row, err) &&
		  !FAIL_POINT_ERR("in_claim", err);
	if (!end(k, ok, err))
		return err_wrap(err, "claim");
	c->next_offset = row.next_offset;
	c->owner_epoch = row.owner_epoch;
	snprintf(c->known_topic_id, sizeof(c->known_topic_id), "%.36s", row.topic_id);
	return true;
}

/* A statement by itself is a transaction. */
bool accounts_tell_halt(struct accounts *k, const struct sink_claim *c, const char *why,
			struct err *err)
{
	sqlite3_stmt *stmt = begin_once(k,
					"UPDATE memingest_offsets SET halted_at = ?4, halted = ?6"
					" WHERE pipeline = ?1 AND topic = ?2 AND partition = ?3"
					" AND owner_epoch = ?5",
					c->topic, c->partition, err);
	if (stmt) {
		sqlite3_bind_int64(stmt, 4, c->next_offset);
		sqlite3_bind_int64(stmt, 5, c->owner_epoch);
		bind_text(stmt, 6, why);
	}
	return once(k, stmt, err) || err_wrap(err, "why %s [%d] is halted", c->topic, c->partition);
}

bool accounts_prune(struct accounts *k, int64_t older_than_us, bool *more, struct err *err)
{
	sqlite3_stmt *stmt = db_prepare(
		k->db,
		"DELETE FROM memingest_batches WHERE (pipeline, topic, partition, from_offset) IN"
		" (SELECT pipeline, topic, partition, from_offset FROM memingest_batches"
		" WHERE pipeline = ?1 AND committed_at < ?2 ORDER BY committed_at LIMIT ?3)",
		err);
	if (stmt) {
		bind_text(stmt, 1, k->pipeline);
		sqlite3_bind_int64(stmt, 2, older_than_us);
		sqlite3_bind_int(stmt, 3, PRUNE_ROWS);
	}
	bool ok = once(k, stmt, err);
	*more = ok && sqlite3_changes(k->db->handle) > 0;
	return ok || err_wrap(err, "pruning memingest_batches");
}

bool accounts_forget(struct accounts *k, const char *topic, bool keep_dead, struct err *err)
{
	static const char *const forget[] = {
		"UPDATE memingest_offsets SET next_offset = 0, topic_id = NULL, halted_at = NULL,"
		" owner_epoch = owner_epoch + 1 WHERE pipeline = ?1 AND topic = ?2"
		" AND ?3 IS NOT NULL",
		"DELETE FROM memingest_batches WHERE pipeline = ?1 AND topic = ?2"
		" AND ?3 IS NOT NULL",
		"DELETE FROM memingest_dead_letters WHERE pipeline = ?1 AND topic = ?2"
		" AND ?3 IS NOT NULL AND replayed_at IS NULL",
	};
	size_t n = keep_dead ? ARRAY_LEN(forget) - 1 : ARRAY_LEN(forget);
	bool ok = begin(k, err);
	for (size_t i = 0; ok && i < n; i++)
		ok = once(k, begin_once(k, forget[i], topic, 0, err), err);
	return end(k, ok, err);
}

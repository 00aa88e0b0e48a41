/*
 * vectors.c - memingest_embed_models and memingest_embed_cache.
 *
 *   model --> number, first canary          (model, digest of a text) --> vector, when it was used
 *
 * Beside the lane's connection, in the same process: SQLite has one writer at a time, so both
 * transactions are short, and each waits for the other. What is lost with the power is asked of the
 * model again.
 *
 * Thread: the embedder's.
 */
#include "sqlite/vectors.h"

#include "base/buf.h"
#include "base/clock.h"

#define PATIENCE_US (1500 * US_PER_MS)
#define PRUNE_ROWS 1000

bool vectors_open(struct db *db, const char *path, int abort_fd, struct err *err)
{
	if (!db_open(db, path, DB_EXISTING, abort_fd, err))
		return false;
	db->patience_us = PATIENCE_US;
	if (db_exec(db, "PRAGMA synchronous = NORMAL; PRAGMA cache_size = -1024", err))
		return true;
	db_close(db);
	return false;
}

/* --- statements --- */

static void bind_blob(sqlite3_stmt *stmt, int i, const uint8_t *bytes, size_t n)
{
	sqlite3_bind_blob64(stmt, i, n ? bytes : (const void *)"", n, SQLITE_STATIC);
}

/* Of (model, digest), in a transaction of its own; each binds the rest. */
typedef void (*bind_more)(sqlite3_stmt *stmt, size_t i, const void *ctx);

static bool for_each(struct db *db, const char *sql, int64_t model, const uint8_t *digests,
		     size_t n, bind_more more, const void *ctx, struct err *err)
{
	bool ok = db_exec(db, "BEGIN IMMEDIATE", err);
	sqlite3_stmt *stmt = ok ? db_prepare(db, sql, err) : NULL;
	ok = stmt != NULL;
	for (size_t i = 0; ok && i < n; i++) {
		sqlite3_bind_int64(stmt, 1, model);
		bind_blob(stmt, 2, digests + i * DIGEST_SIZE, DIGEST_SIZE);
		more(stmt, i, ctx);
		ok = db_run(db, stmt, err);
	}
	sqlite3_finalize(stmt);
	ok = ok && db_exec(db, "COMMIT", err);
	if (!ok)
		db_rollback(db);
	return ok;
}

/* --- models --- */

static bool add_model(struct db *db, const char *model, struct slice vector, struct err *err)
{
	sqlite3_stmt *stmt = db_prepare(db,
					"INSERT INTO memingest_embed_models (model, canary,"
					" created_at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
					err);
	if (!stmt)
		return false;
	sqlite3_bind_text(stmt, 1, model, -1, SQLITE_STATIC);
	bind_blob(stmt, 2, vector.data, vector.len);
	sqlite3_bind_int64(stmt, 3, clock_wall_us());
	bool ok = db_run(db, stmt, err);
	sqlite3_finalize(stmt);
	return ok;
}

bool vectors_model(struct db *db, const char *model, struct slice vector, int64_t *id,
		   struct buf *kept, struct err *err)
{
	bool row = false;
	if (!add_model(db, model, vector, err))
		return false;
	sqlite3_stmt *stmt = db_prepare(
		db, "SELECT id, canary FROM memingest_embed_models WHERE model = ?1", err);
	if (!stmt)
		return false;
	sqlite3_bind_text(stmt, 1, model, -1, SQLITE_STATIC);
	bool ok = db_row(db, stmt, &row, err);
	if (ok && row) {
		const void *canary = sqlite3_column_blob(stmt, 1);
		*id = sqlite3_column_int64(stmt, 0);
		buf_put(kept, canary, (size_t)sqlite3_column_bytes(stmt, 1));
	} else if (ok) {
		ok = err_set(err, ERR_RETRY, "somebody deletes it at the same time");
	}
	sqlite3_finalize(stmt);
	return ok;
}

/* --- vectors --- */

static void bind_time(sqlite3_stmt *stmt, size_t i, const void *ctx)
{
	(void)i;
	(void)ctx;
	sqlite3_bind_int64(stmt, 3, clock_wall_us());
}

/* What is used is marked so, once a day, as what nobody uses is deleted in the end. */
static bool mark_used(struct db *db, int64_t model, const uint8_t *digests, size_t n,
		      struct err *err)
{
	return for_each(db,
			"UPDATE memingest_embed_cache SET used_at = ?3 WHERE model_id = ?1"
			" AND digest = ?2 AND used_at < ?3 - 86400000000",
			model, digests, n, bind_time, NULL, err);
}

bool vectors_find(struct db *db, int64_t model, const uint8_t *digests, size_t n,
		  vectors_found found, void *ctx, struct err *err)
{
	sqlite3_stmt *stmt = db_prepare(db,
					"SELECT vector, used_at FROM memingest_embed_cache"
					" WHERE model_id = ?1 AND digest = ?2",
					err);
	bool ok = stmt != NULL, stale = false;
	int64_t day_ago = clock_wall_us() - DAY_S * US_PER_S;
	for (size_t i = 0; ok && i < n; i++) {
		bool row = false;
		sqlite3_bind_int64(stmt, 1, model);
		bind_blob(stmt, 2, digests + i * DIGEST_SIZE, DIGEST_SIZE);
		ok = db_row(db, stmt, &row, err);
		if (ok && row) {
			const void *vector = sqlite3_column_blob(stmt, 0);
			found(ctx, i, vector, (size_t)sqlite3_column_bytes(stmt, 0));
			stale |= sqlite3_column_int64(stmt, 1) < day_ago;
		}
		sqlite3_reset(stmt);
	}
	sqlite3_finalize(stmt);
	return ok && (!stale || mark_used(db, model, digests, n, err));
}

struct pieces {
	const uint8_t *data;
	size_t size;
};

static void bind_vector(sqlite3_stmt *stmt, size_t i, const void *ctx)
{
	const struct pieces *p = ctx;
	bind_time(stmt, i, NULL);
	bind_blob(stmt, 4, p->data + i * p->size, p->size);
}

bool vectors_keep(struct db *db, int64_t model, const uint8_t *digests, const uint8_t *vectors,
		  size_t size, size_t n, struct err *err)
{
	const struct pieces pieces = {vectors, size};
	return for_each(db,
			"INSERT INTO memingest_embed_cache (model_id, digest, used_at, vector)"
			" VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
			model, digests, n, bind_vector, &pieces, err);
}

bool vectors_prune(struct db *db, int64_t model, int64_t older_than_us, bool *more, struct err *err)
{
	sqlite3_stmt *stmt =
		db_prepare(db,
			   "DELETE FROM memingest_embed_cache WHERE rowid IN (SELECT rowid FROM"
			   " memingest_embed_cache WHERE model_id = ?1 AND used_at < ?2 LIMIT ?3)",
			   err);
	if (!stmt)
		return false;
	sqlite3_bind_int64(stmt, 1, model);
	sqlite3_bind_int64(stmt, 2, older_than_us);
	sqlite3_bind_int(stmt, 3, PRUNE_ROWS);
	bool ok = db_run(db, stmt, err);
	*more = ok && sqlite3_changes(db->handle) > 0;
	sqlite3_finalize(stmt);
	return ok;
}

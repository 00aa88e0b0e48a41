/*
 * archive.c - memingest.embed_models and memingest.embed_cache; in a SQLite file the tables of the
 * same names, by sqlite/vectors.h.
 *
 *   embed_models   a row for each model: its number, what its fixed text was made into
 *   embed_cache    model's number and digest of a text --> vector
 *
 * A vector is kept as soon as it was paid for, by a statement of its own, and not in the
 * transaction of its row: so it is not paid for again where that transaction has to wait or never
 * comes (a table that is locked for an hour, a crash in between). What is in the cache is true
 * whether the row is there or not; and lanes never wait for each other because of it.
 *
 * The cache saves money and is no more: without it (a database that is away, a right that lacks)
 * the worker goes on and asks the model. That models are what they were is asked of embed_models,
 * and not gone without.
 *
 * Failures of the cache are logged once until it works again, and it rests for REST_US. Time: the
 * server ends a statement after PATIENCE_MS, so other models do not wait longer.
 */
#include "embed/archive.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "base/clock.h"
#include "base/log.h"
#include "io/pg_login.h"
#include "io/wait.h"
#include "sqlite/vectors.h"

#define REST_US (10 * US_PER_S)
#define PATIENCE_MS "1500"
#define PATIENCE_US (5 * US_PER_S)

struct archive {
	const struct config *config;
	int abort_fd;
	struct pg *pg;  /* NULL: there is none */
	struct db file; /* SQLite's, in its place */
	int64_t due_us; /* rests until then */
	bool told;      /* that it does not work */
	struct buf keys, values;
};

struct archive *archive_new(const struct config *config, int abort_fd)
{
	struct archive *s = xcalloc(1, sizeof(*s));
	s->config = config;
	s->abort_fd = abort_fd;
	return s;
}

void archive_free(struct archive *s)
{
	if (!s)
		return;
	pg_free(s->pg);
	db_close(&s->file);
	buf_free(&s->keys);
	buf_free(&s->values);
	free(s);
}

/* --- the session --- */

static bool connect(struct archive *s, struct err *err)
{
	int64_t due_us = 0;
	if (s->pg && !pg_alive(s->pg)) {
		pg_free(s->pg);
		s->pg = NULL;
	}
	if (s->pg)
		return true;
	s->pg = pg_login(s->config, "embed", s->abort_fd, &due_us, err);
	if (!s->pg)
		return false;
	pg_set_timeout(s->pg, PATIENCE_US);
	if (pg_exec(s->pg,
		    "SET statement_timeout = " PATIENCE_MS
		    "; SET lock_timeout = 500; SET bytea_output = hex",
		    NULL, 0, err))
		return true;
	pg_free(s->pg);
	s->pg = NULL;
	return false;
}

static bool is_file(const struct archive *s)
{
	return s->config->sqlite_path != NULL;
}

const char *archive_models(const struct archive *s)
{
	return is_file(s) ? "memingest_embed_models" : "memingest.embed_models";
}

static bool connect_file(struct archive *s, struct err *err)
{
	return s->file.handle || vectors_open(&s->file, s->config->sqlite_path, s->abort_fd, err);
}

/* After a failure the session is as good as none. */
static void drop(struct archive *s)
{
	pg_free(s->pg);
	s->pg = NULL;
	db_close(&s->file);
}

static bool is_resting(const struct archive *s)
{
	return clock_mono_us() < s->due_us;
}

/* What was cut off has not failed. */
static bool was_cut_off(const struct archive *s)
{
	return wait_fd(-1, 0, s->abort_fd, 0) == WAIT_ABORTED;
}

static void cache_failed(struct archive *s, const struct err *err)
{
	drop(s);
	if (was_cut_off(s))
		return;
	s->due_us = clock_mono_us() + (err->class == ERR_NONE ? US_PER_S : REST_US);
	if (err->class == ERR_NONE) /* a session of a lane finds out, and says so */
		return;
	if (!s->told)
		log_warn("the cache of vectors in the database is not used for now",
			 F_STR("error", err->text));
	s->told = true;
}

static void cache_works(struct archive *s)
{
	if (s->told)
		log_info("the cache of vectors in the database is used again");
	s->told = false;
}

/* --- bytes as text --- */

static void put_hex(struct buf *out, const uint8_t *bytes, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	uint8_t *p = buf_take(out, 2 * n);
	for (size_t i = 0; i < n; i++) {
		p[2 * i] = (uint8_t)digits[bytes[i] >> 4];
		p[2 * i + 1] = (uint8_t)digits[bytes[i] & 15];
	}
}

/* n pieces of that size, as an array of bytea. */
static const char *hex_array(struct buf *out, const uint8_t *bytes, size_t size, size_t n)
{
	out->len = 0;
	buf_u8(out, '{');
	for (size_t i = 0; i < n; i++) {
		buf_puts(out, i ? ",\"\\\\x" : "\"\\\\x");
		put_hex(out, bytes + i * size, size);
		buf_u8(out, '"');
	}
	buf_u8(out, '}');
	return buf_cstr(out);
}

/* Of bytea's text form, which is hexadecimal. */
static void take_hex(struct buf *out, const char *text)
{
	if (strncmp(text, "\\x", 2) == 0)
		text += 2;
	for (; text[0] && text[1]; text += 2)
		buf_u8(out, (uint8_t)hex_byte(text));
}

/* --- models --- */

/* What is wrong with the table is an operator's matter, whatever row it is said of. */
static bool model_failed(struct archive *s, struct err *err)
{
	drop(s);
	if (was_cut_off(s))
		err_clear(err);
	if (err->class == ERR_NONE)
		return false;
	if (err->class == ERR_POISON)
		err->class = ERR_CONFIG;
	bool missing = strncmp(err->code, "42P01", 5) == 0 || s->file.trouble == DB_TABLE;
	return err_wrap(err, "looking the model up in %s%s", archive_models(s),
			missing ? " (run \"memingest migrate\")" : "");
}

bool archive_model(struct archive *s, const char *model, const uint8_t *vector, size_t size,
		   int64_t *id, struct buf *kept, struct err *err)
{
	if (is_file(s))
		return (connect_file(s, err) &&
			vectors_model(&s->file, model, (struct slice){vector, size}, id, kept,
				      err)) ||
		       model_failed(s, err);
	s->values.len = 0;
	buf_puts(&s->values, "\\x");
	put_hex(&s->values, vector, size);
	const char *params[] = {model, buf_cstr(&s->values)};
	if (!connect(s, err))
		return model_failed(s, err);
	struct pg_rows *rows = pg_query(s->pg,
					"INSERT INTO memingest.embed_models (model, canary)"
					" VALUES ($1, $2::bytea) ON CONFLICT (model) DO NOTHING",
					params, 2, err);
	bool ok = rows != NULL;
	pg_rows_free(rows);
	rows = ok ? pg_query(s->pg,
			     "SELECT id, canary FROM memingest.embed_models WHERE model = $1",
			     params, 1, err)
		  : NULL;
	if (!rows || pg_rows_count(rows) != 1) {
		if (rows)
			err_set(err, ERR_RETRY, "somebody deletes it at the same time");
		pg_rows_free(rows);
		return model_failed(s, err);
	}
	*id = pg_int(rows, 0, 0);
	take_hex(kept, pg_value(rows, 0, 1));
	pg_rows_free(rows);
	return true;
}

/* --- vectors --- */

/* Which of those asked for a row is: by a hash of their digests. */
struct asked {
	const uint8_t *digest;
	size_t i;
	UT_hash_handle hh;
};

static void hand_out(const struct pg_rows *rows, const uint8_t *digests, size_t n,
		     archive_found found, void *ctx)
{
	struct asked *places = xcalloc(n + 1, sizeof(*places)), *all = NULL, *place;
	struct buf digest = {0}, vector = {0};
	for (size_t i = 0; i < n; i++) {
		places[i] = (struct asked){.digest = digests + i * DIGEST_SIZE, .i = i};
		HASH_ADD_KEYPTR(hh, all, places[i].digest, DIGEST_SIZE, &places[i]);
	}
	for (size_t row = 0; row < pg_rows_count(rows); row++) {
		digest.len = vector.len = 0;
		take_hex(&digest, pg_value(rows, row, 0));
		take_hex(&vector, pg_value(rows, row, 1));
		place = NULL;
		HASH_FIND(hh, all, digest.data, digest.len, place);
		if (place)
			found(ctx, place->i, vector.data, vector.len);
	}
	HASH_CLEAR(hh, all);
	free(places);
	buf_free(&digest);
	buf_free(&vector);
}

/* What became of a call on a file. */
static bool settled(struct archive *s, bool ok, const struct err *err)
{
	if (ok)
		cache_works(s);
	else
		cache_failed(s, err);
	return ok;
}

/* What is used is marked so, once a day, as what nobody uses is deleted in the end. */
void archive_find(struct archive *s, int64_t model, const uint8_t *digests, size_t n,
		  archive_found found, void *ctx)
{
	char number[24];
	struct err err = {0};
	if (n == 0 || is_resting(s))
		return;
	if (is_file(s)) {
		bool ok = connect_file(s, &err) &&
			  vectors_find(&s->file, model, digests, n, found, ctx, &err);
		(void)settled(s, ok, &err);
		return;
	}
	snprintf(number, sizeof(number), "%" PRId64, model);
	const char *params[] = {number, hex_array(&s->keys, digests, DIGEST_SIZE, n)};
	struct pg_rows *rows =
		connect(s, &err)
			? pg_query(s->pg,
				   "WITH used AS (UPDATE memingest.embed_cache SET used_at = now()"
				   " WHERE model_id = $1::bigint AND digest = ANY ($2::bytea[])"
				   " AND used_at < now() - interval '1 day')"
				   " SELECT digest, vector FROM memingest.embed_cache"
				   " WHERE model_id = $1::bigint AND digest = ANY ($2::bytea[])",
				   params, 2, &err)
			: NULL;
	if (!rows) {
		cache_failed(s, &err);
		return;
	}
	cache_works(s);
	hand_out(rows, digests, n, found, ctx);
	pg_rows_free(rows);
}

/* In the order of digests, so that two workers that keep the same do not wait for each other in a
 * circle. */
void archive_keep(struct archive *s, int64_t model, const uint8_t *digests, const uint8_t *vectors,
		  size_t size, size_t n)
{
	char number[24];
	struct err err = {0};
	if (n == 0 || is_resting(s))
		return;
	if (is_file(s)) {
		bool ok = connect_file(s, &err) &&
			  vectors_keep(&s->file, model, digests, vectors, size, n, &err);
		(void)settled(s, ok, &err);
		return;
	}
	snprintf(number, sizeof(number), "%" PRId64, model);
	const char *params[] = {number, hex_array(&s->keys, digests, DIGEST_SIZE, n),
				hex_array(&s->values, vectors, size, n)};
	struct pg_rows *rows =
		connect(s, &err)
			? pg_query(s->pg,
				   "INSERT INTO memingest.embed_cache (model_id, digest, vector)"
				   " SELECT $1::bigint, digest, vector"
				   " FROM unnest($2::bytea[], $3::bytea[]) AS t (digest, vector)"
				   " ORDER BY digest ON CONFLICT (model_id, digest) DO NOTHING",
				   params, 3, &err)
			: NULL;
	if (!rows)
		cache_failed(s, &err);
	else
		cache_works(s);
	pg_rows_free(rows);
}

/* A piece at a time, so that nobody waits for long. */
bool archive_prune(struct archive *s, int64_t model, int64_t age_us)
{
	char number[24], seconds[24];
	struct err err = {0};
	if (age_us == 0 || is_resting(s))
		return false;
	if (is_file(s)) {
		bool left = false,
		     ok = connect_file(s, &err) &&
			  vectors_prune(&s->file, model, clock_wall_us() - age_us, &left, &err);
		return settled(s, ok, &err) && left;
	}
	snprintf(number, sizeof(number), "%" PRId64, model);
	snprintf(seconds, sizeof(seconds), "%" PRId64, age_us / US_PER_S);
	const char *params[] = {number, seconds};
	struct pg_rows *rows =
		connect(s, &err)
			? pg_query(s->pg,
				   "DELETE FROM memingest.embed_cache WHERE model_id = $1::bigint"
				   " AND digest = ANY (ARRAY (SELECT digest"
				   " FROM memingest.embed_cache WHERE model_id = $1::bigint"
				   " AND used_at < now() - make_interval(secs => $2::float8)"
				   " ORDER BY used_at LIMIT 1000))",
				   params, 2, &err)
			: NULL;
	bool more = rows && pg_rows_affected(rows) > 0;
	if (!rows)
		cache_failed(s, &err);
	pg_rows_free(rows);
	return more;
}

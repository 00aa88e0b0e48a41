/*
 * verify_file.c - a check of a SQLite file.
 *
 *   memories.db             main   one read transaction, from the offsets to the last comparison
 *   memories.db-verify-ID/
 *     rows.db               topic  what the check's pipeline makes of the topic: the stream's
 * table, and books of its own; attached to the check's connection check-writer locked while the
 * check is under way
 *
 * In a WAL a reader keeps nobody from writing, and what it sees stays as it was. So the table is
 * not copied as on PostgreSQL: once the topic is read, main.TABLE and topic.TABLE are compared
 * value by value, the one as of the offsets that the other was read up to. What that costs is the
 * WAL, which is not emptied while the transaction is open, and so grows by what workers write.
 *
 * A batch's rows have the time of their transaction in updated_at and its line of
 * memingest_batches in committed_at, which is how a row's batch is found.
 *
 * Whoever gets the lock of a folder knows that its check is over, and may remove it: the next check
 * does, of one that was killed.
 *
 * Thread: the command's. Failure: errors of the file, with what was being done.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/verify.h"
#include "core/sqlname.h"
#include "sqlite/form.h"
#include "sqlite/shape.h"
#include "sqlite/shown.h"
#include "sqlite/tablesql.h"
#include "sqlite/writer.h"

extern const char sql_verify_file_found[]; /* worker/sql */

/* A function of SQLite takes so many arguments, here in pairs. */
#define PAIRS 60
#define BEHIND "-verify-"

/* ---- the folder ---- */

/* What is in it are files. One that is gone is as good. */
static bool remove_folder(const char *folder, struct err *err)
{
	DIR *dir = opendir(folder);
	bool ok = dir != NULL || errno == ENOENT;
	for (struct dirent *e; dir && (e = readdir(dir)) != NULL;)
		if (e->d_name[0] != '.')
			ok = (unlinkat(dirfd(dir), e->d_name, 0) == 0 || errno == ENOENT) && ok;
	if (dir)
		closedir(dir);
	ok = ok && (rmdir(folder) == 0 || errno == ENOENT);
	return ok || err_set(err, ERR_CONFIG, "removing %s: %s", folder, strerror(errno));
}

/* Says that the check of this folder is under way. -1: it is another's. */
static int lock_folder(const char *folder, struct err *err)
{
	char *path = xasprintf("%s/check", folder);
	int fd = writer_lock(path, err);
	free(path);
	return fd;
}

static bool is_folder_of_check(const char *name, const char *file)
{
	size_t n = strlen(file), prefix = strlen(BEHIND);
	return strncmp(name, file, n) == 0 && strncmp(name + n, BEHIND, prefix) == 0 &&
	       strspn(name + n + prefix, "0123456789abcdef") == VERIFY_ID - 1 &&
	       name[n + prefix + VERIFY_ID - 1] == '\0';
}

/* Of checks that are not under way. */
static bool clean_up(const char *path, struct err *err)
{
	const char *slash = strrchr(path, '/'), *file = slash ? slash + 1 : path;
	char *where = slash ? xasprintf("%.*s", (int)(file - path), path) : xstrdup("./");
	DIR *dir = opendir(where);
	bool ok = true;
	for (struct dirent *e; ok && dir && (e = readdir(dir)) != NULL;) {
		struct err ignored = {0};
		if (!is_folder_of_check(e->d_name, file))
			continue;
		char *folder = xasprintf("%s%s", where, e->d_name);
		int lock = lock_folder(folder, &ignored);
		ok = lock < 0 || remove_folder(folder, err);
		writer_unlock(lock);
		free(folder);
	}
	if (dir)
		closedir(dir);
	free(where);
	return ok;
}

static bool begin(struct verify *v, struct err *err)
{
	const char *path = v->config->sqlite_path;
	if (!asker_open(&v->db, v->config, NULL, err) || !clean_up(path, err) ||
	    !verify_choose_id(v, err))
		return false;
	db_heed(&v->db.file, v->abort_fd);
	v->folder = xasprintf("%s" BEHIND "%s", path, v->id);
	if (mkdir(v->folder, 0700) != 0)
		return err_set(err, ERR_CONFIG, "making %s: %s", v->folder, strerror(errno));
	v->db.writer = lock_folder(v->folder, err);
	v->rows_name = xasprintf("%s/rows.db", v->folder);
	return v->db.writer >= 0;
}

/* The connections first: the last one of a file empties its WAL. */
static bool end(struct verify *v, struct err *err)
{
	db_close(&v->db.file);
	bool ok = !v->folder || remove_folder(v->folder, err);
	asker_close(&v->db);
	return ok;
}

/* ---- the topic's rows ---- */

/* The worker's books, and the stream's table with what events can change of it. */
static bool make_file(const struct verify *v, struct err *err)
{
	struct table table = *v->stream->table;
	struct shape books = {0};
	struct buf sql = {0};
	struct db db;
	table.stands_in = true;
	tablesql_create(&table, &sql);
	bool ok = db_open(&db, v->rows_name, DB_CREATE, v->abort_fd, err) &&
		  shape_look(&books, &db, NULL, 0, NULL, err) && shape_take(&books, &db, err) &&
		  db_exec(&db, buf_cstr(&sql), err);
	shape_free(&books);
	buf_free(&sql);
	db_close(&db);
	return ok || err_wrap(err, "making a file for what the topic says");
}

/* main keeps the transaction that is open. */
static bool make_rows(struct verify *v, struct err *err)
{
	struct buf sql = {0};
	if (!make_file(v, err))
		return false;
	buf_puts(&sql, "ATTACH ");
	buf_quoted(&sql, v->rows_name, '\'');
	buf_puts(&sql, " AS topic");
	bool ok = db_exec(&v->db.file, buf_cstr(&sql), err);
	buf_free(&sql);
	return ok;
}

/* It is kept by the transaction. */
static bool keep_table(struct verify *v, struct err *err)
{
	(void)v;
	(void)err;
	return true;
}

static bool is_sound(struct verify *v)
{
	(void)v;
	return true;
}

/* ---- words ---- */

static void put_column(struct buf *out, const char *prefix, const struct column *c)
{
	buf_printf(out, "%s.", prefix);
	buf_quoted(out, c->name, '"');
}

void verify_file_put_text(struct buf *out, const char *prefix, const struct column *c)
{
	buf_puts(out, "memingest_text(");
	shown_put_kind(out, c);
	buf_puts(out, ", ");
	put_column(out, prefix, c);
	buf_puts(out, ")");
}

/* memingest_key(kind, prefix."a", ...) */
static void put_key(struct buf *out, const struct table *t, const char *prefix)
{
	for (size_t i = 0; i < t->nkeys; i++) {
		buf_printf(out, "%s%d, ", i ? ", " : "memingest_key(", (int)t->columns[i].kind);
		put_column(out, prefix, &t->columns[i]);
	}
	buf_puts(out, ")");
}

void verify_file_put_key_hex(const struct table *t, const char *prefix, struct buf *out)
{
	buf_puts(out, "hex(");
	put_key(out, t, prefix);
	buf_puts(out, ")");
}

/* The same as verify_wants(). */
static void put_sample(struct buf *out, const struct verify *v)
{
	if (!v->sample) {
		buf_puts(out, "true");
		return;
	}
	buf_puts(out, "memingest_share(");
	put_key(out, v->stream->table, "t");
	buf_printf(out, ") < %" PRIu64, v->sampled);
}

/* Of the judged columns, in calls of at most PAIRS. */
static void put_differ(struct buf *out, const struct verify *v)
{
	const struct table *t = v->stream->table;
	size_t n = 0;
	for (size_t i = t->nkeys; i < t->ncolumns; i++) {
		if (!v->columns[i].judged)
			continue;
		buf_puts(out, n % PAIRS > 0 ? ", "
			      : n > 0       ? ") OR memingest_differ("
					    : "memingest_differ(");
		put_column(out, "t", &t->columns[i]);
		buf_puts(out, ", ");
		put_column(out, "r", &t->columns[i]);
		n++;
	}
	buf_puts(out, n > 0 ? ")" : "false");
}

static void put_newer(struct buf *out, const struct verify *v)
{
	const struct table *t = v->stream->table;
	if (!v->may_be_newer) {
		buf_puts(out, "false");
		return;
	}
	put_column(out, "t", &t->columns[t->version]);
	buf_puts(out, " > ");
	put_column(out, "r", &t->columns[t->version]);
}

/* A text with all words that any of ours has. */
static char *fill(const struct verify *v, const char *sql)
{
	const struct table *t = v->stream->table;
	enum { TABLE, ROWS, FIRST, R_KEYS, T_KEYS, SAME, NEWER, DIFFER, SAMPLE, WORDS };
	struct buf b[WORDS] = {0}, out = {0};
	buf_puts(&b[TABLE], "main.");
	buf_quoted(&b[TABLE], t->name, '"');
	buf_puts(&b[ROWS], "topic.");
	buf_quoted(&b[ROWS], t->name, '"');
	buf_quoted(&b[FIRST], t->columns[0].name, '"');
	sqlname_keys(&b[R_KEYS], t, "r");
	sqlname_keys(&b[T_KEYS], t, "t");
	sqlname_same_key(&b[SAME], t, "t", "r");
	put_newer(&b[NEWER], v);
	put_differ(&b[DIFFER], v);
	put_sample(&b[SAMPLE], v);
	const struct sqlname_word words[] = {
		{"table", buf_cstr(&b[TABLE])},   {"rows", buf_cstr(&b[ROWS])},
		{"first", buf_cstr(&b[FIRST])},   {"r_keys", buf_cstr(&b[R_KEYS])},
		{"t_keys", buf_cstr(&b[T_KEYS])}, {"same_key", buf_cstr(&b[SAME])},
		{"newer", buf_cstr(&b[NEWER])},   {"differ", buf_cstr(&b[DIFFER])},
		{"sample", buf_cstr(&b[SAMPLE])}, {"whole", v->whole ? "true" : "false"}};
	sqlname_fill(&out, sql, words, ARRAY_LEN(words));
	for (size_t i = 0; i < WORDS; i++)
		buf_free(&b[i]);
	return buf_take_text(&out);
}

/* ---- the comparison ---- */

static bool compare(struct verify *v, struct err *err)
{
	char *found = fill(v, sql_verify_file_found);
	char *counts = fill(v, "SELECT (SELECT count(*) FROM :table AS t WHERE :sample), "
			       "(SELECT count(*) FROM :rows), "
			       "count(*) FILTER (WHERE _kind = 'differs'), "
			       "count(*) FILTER (WHERE _kind = 'missing'), "
			       "count(*) FILTER (WHERE _kind = 'extra'), "
			       "count(*) FILTER (WHERE _kind = 'newer') FROM verify_found");
	bool ok = (db_exec(&v->db.file, found, err) && verify_count(v, counts, err)) ||
		  err_wrap(err, "comparing");
	free(found);
	free(counts);
	return ok;
}

/* The first of them, in the order of the key, with their places: f. */
static void put_first(struct buf *out, const struct verify *v, size_t limit)
{
	struct buf keys = {0};
	sqlname_keys(&keys, v->stream->table, "f");
	buf_printf(out,
		   "WITH f AS (SELECT row_number() OVER (ORDER BY %s) AS _n, f.* FROM verify_found "
		   "AS f WHERE _kind <> 'newer' ORDER BY 1 LIMIT %zu) ",
		   buf_cstr(&keys), limit);
	buf_free(&keys);
}

/* CASE c.column1 WHEN 3 THEN what(t."x") WHEN ... END: of the column at hand. */
static void put_case(struct buf *out, const struct verify *v,
		     void (*put)(struct buf *, const char *, const struct column *),
		     const char *prefix)
{
	const struct table *t = v->stream->table;
	buf_puts(out, "CASE c.column1 ");
	for (size_t i = t->nkeys; i < t->ncolumns; i++) {
		if (!v->columns[i].judged)
			continue;
		buf_printf(out, "WHEN %zu THEN ", i);
		put(out, prefix, &t->columns[i]);
		buf_puts(out, " ");
	}
	buf_puts(out, "WHEN -1 THEN NULL END");
}

static void put_column_differs(struct buf *out, const char *prefix, const struct column *c)
{
	(void)prefix;
	buf_puts(out, "memingest_differ(");
	put_column(out, "t", c);
	buf_puts(out, ", ");
	put_column(out, "r", c);
	buf_puts(out, ")");
}

/* (3, 'name of column 3'), ...: those that are judged */
static void put_names(struct buf *out, const struct verify *v)
{
	const struct table *t = v->stream->table;
	buf_puts(out, "(VALUES (-1, NULL)");
	for (size_t i = t->nkeys; i < t->ncolumns; i++) {
		if (!v->columns[i].judged)
			continue;
		buf_printf(out, ", (%zu, ", i);
		buf_quoted(out, t->columns[i].name, '\'');
		buf_puts(out, ")");
	}
	buf_puts(out, ")");
}

/* The table has each row as it was. */
static struct answer *list(struct verify *v, size_t limit, struct err *err)
{
	const struct table *t = v->stream->table;
	struct buf sql = {0};
	put_first(&sql, v, limit);
	buf_puts(&sql, "SELECT f._n, f._kind, true, c.column2, ");
	put_case(&sql, v, verify_file_put_text, "t");
	buf_puts(&sql, ", ");
	put_case(&sql, v, verify_file_put_text, "r");
	for (size_t i = 0; i < t->nkeys; i++) {
		buf_puts(&sql, ", ");
		verify_file_put_text(&sql, "f", &t->columns[i]);
	}
	buf_puts(&sql, " FROM f LEFT JOIN :table AS t ON ");
	sqlname_same_key(&sql, t, "t", "f");
	buf_puts(&sql, " LEFT JOIN :rows AS r ON ");
	sqlname_same_key(&sql, t, "r", "f");
	buf_puts(&sql, " LEFT JOIN ");
	put_names(&sql, v);
	buf_puts(&sql, " AS c ON f._kind = 'differs' AND ");
	put_case(&sql, v, put_column_differs, "");
	buf_puts(&sql, " ORDER BY f._n, c.column2");
	char *text = fill(v, buf_cstr(&sql));
	struct answer *rows = asker_query(&v->db, ASKER_TEXT(text), NULL, 0, err);
	free(text);
	buf_free(&sql);
	return rows;
}

/* Where the stream has an updated_at of its own, a row's batch is not known. */
static struct answer *origins(struct verify *v, size_t limit, struct err *err)
{
	const struct table *t = v->stream->table;
	bool own = !sqlname_has_column(t, table_own_columns[1]);
	struct buf sql = {0};
	put_first(&sql, v, limit);
	buf_puts(&sql, "SELECT f._n, ");
	verify_put_key_hex(v, "f", &sql);
	buf_puts(&sql, ", b.topic, b.partition, b.from_offset, b.to_offset FROM f LEFT JOIN :rows "
		       "AS r ON ");
	sqlname_same_key(&sql, t, "r", "f");
	buf_printf(&sql,
		   " LEFT JOIN topic.memingest_batches AS b ON b.committed_at = %s ORDER BY 1",
		   own ? "r.updated_at" : "NULL");
	char *text = fill(v, buf_cstr(&sql));
	struct answer *rows = asker_query(&v->db, ASKER_TEXT(text), NULL, 0, err);
	free(text);
	buf_free(&sql);
	return rows;
}

const struct verify_way verify_on_file = {
	.begin = begin,
	.keep_table = keep_table,
	.make_rows = make_rows,
	.is_sound = is_sound,
	.compare = compare,
	.list = list,
	.origins = origins,
	.end = end,
};

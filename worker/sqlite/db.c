/*
 * db.c - a connection to a SQLite file, and the one place that knows SQLite's result codes.
 *
 *   WAL                 readers never wait for us, nor we for them
 *   synchronous FULL    the WAL is flushed at each COMMIT: it outlives a loss of power
 *   foreign_keys on     as PostgreSQL has them
 *   cache of 12 MiB, no mmap    so that memory stays bounded, and a file that shrinks kills nobody
 *
 * A lock that another program holds is waited for in wait_for_lock(), until patience_us is over or
 * abort_fd turns readable; that is the only wait.
 *
 * What an error means is read from the table below. The text says what to do; SQLite's own words
 * follow.
 *
 * Thread: the owner's.
 */
#include "sqlite/db.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "sqlite/functions.h"

#define PATIENCE_US (5 * US_PER_S)
#define LOCK_LOOK_MS 5
#define HEED_STEPS 100000 /* of SQLite's machine: some milliseconds */

/* By the primary code, the low byte of an extended one. */
static const struct {
	int code;
	enum err_class class;
	enum db_trouble trouble;
	const char *words;
} meanings[] = {
	{SQLITE_CONSTRAINT, ERR_POISON, DB_EVENT, ""},
	{SQLITE_MISMATCH, ERR_POISON, DB_EVENT, ""},
	{SQLITE_TOOBIG, ERR_POISON, DB_EVENT, ""},
	{SQLITE_ERROR, ERR_POISON, DB_EITHER, ""},
	{SQLITE_BUSY, ERR_RETRY, DB_WAIT, "another program holds the file's lock for writing: "},
	{SQLITE_LOCKED, ERR_RETRY, DB_WAIT, "another program holds the file's lock for writing: "},
	{SQLITE_PROTOCOL, ERR_RETRY, DB_WAIT, "the file's lock could not be had: "},
	{SQLITE_SCHEMA, ERR_RETRY, DB_WAIT, "the tables were changed meanwhile: "},
	{SQLITE_INTERRUPT, ERR_RETRY, DB_WAIT, ""},
	{SQLITE_FULL, ERR_RETRY, DB_FULL, "no space is left for the file, make room: "},
	{SQLITE_READONLY, ERR_CONFIG, DB_SESSION,
	 "the file, or its folder, may not be written by this user: "},
	{SQLITE_PERM, ERR_CONFIG, DB_SESSION, "the file may not be used by this user: "},
	{SQLITE_AUTH, ERR_CONFIG, DB_SESSION, ""},
	{SQLITE_CANTOPEN, ERR_CONFIG, DB_SESSION,
	 "the file, or -wal and -shm beside it, can not be opened; may this user write to the "
	 "folder? "},
	{SQLITE_CORRUPT, ERR_CONFIG, DB_SESSION,
	 "the file is damaged: stop, keep a copy, and restore it or try \"sqlite3 FILE "
	 ".recover\": "},
	{SQLITE_NOTADB, ERR_CONFIG, DB_SESSION, "the file is no SQLite database: "},
	{SQLITE_IOERR, ERR_RETRY, DB_SESSION, "the file can not be read or written: "},
	{SQLITE_NOMEM, ERR_RETRY, DB_SESSION, ""},
};

/* What the library says, and what to do. False. */
static bool failed(struct db *db, int code, struct err *err)
{
	enum err_class class = ERR_RETRY;
	const char *words = "";
	bool full = (code & 0xff) == SQLITE_IOERR && db->handle &&
		    sqlite3_system_errno(db->handle) == ENOSPC;
	code = full ? SQLITE_FULL : code; /* such as that of the file -shm */
	db->trouble = DB_SESSION;
	for (size_t i = 0; i < ARRAY_LEN(meanings); i++) {
		if (meanings[i].code != (code & 0xff))
			continue;
		class = meanings[i].class;
		db->trouble = meanings[i].trouble;
		words = meanings[i].words;
	}
	if (db->trouble == DB_EITHER && db->refused)
		db->trouble = DB_EVENT;
	err_set(err, class, "%s%s", words,
		db->handle && (sqlite3_errcode(db->handle) & 0xff) == (code & 0xff)
			? sqlite3_errmsg(db->handle)
			: sqlite3_errstr(code));
	if (db->trouble == DB_SESSION || db->trouble == DB_FULL || db->trouble == DB_WAIT)
		err_wrap(err, "%s", db->path);
	snprintf(err->code, sizeof(err->code), "%d", code);
	return false;
}

/* SQLite's busy handler: 0 gives up. */
static int wait_for_lock(void *arg, int times)
{
	struct db *db = arg;
	int64_t now = clock_mono_us();
	struct pollfd fd = {.fd = db->abort_fd, .events = POLLIN};
	if (times == 0)
		db->wait_until_us = now + db->patience_us;
	if (now >= db->wait_until_us)
		return 0;
	return poll(&fd, 1, LOCK_LOOK_MS) <= 0;
}

/* --- opening --- */

enum db_place db_place_of(uint32_t magic, const char **name)
{
	static const struct {
		uint32_t magic;
		const char *name;
		enum db_place place;
	} places[] = {{0x6969, "NFS", DB_REMOTE},        {0x517b, "SMB", DB_REMOTE},
		      {0xff534d42, "CIFS", DB_REMOTE},   {0xfe534d42, "SMB2", DB_REMOTE},
		      {0x564c, "NCP", DB_REMOTE},        {0x5346414f, "AFS", DB_REMOTE},
		      {0x73757245, "Coda", DB_REMOTE},   {0x0bd00bd0, "Lustre", DB_REMOTE},
		      {0x00c36400, "Ceph", DB_REMOTE},   {0x47504653, "GPFS", DB_REMOTE},
		      {0x65735546, "FUSE", DB_DOUBTFUL}, {0x01021997, "9P", DB_DOUBTFUL}};
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		*name = places[i].name;
		if (places[i].magic == magic)
			return places[i].place;
	}
	*name = "";
	return DB_LOCAL;
}

/* Of a file that is not there yet, where its folder is. */
enum db_place db_place(const char *path, const char **name)
{
	struct statfs fs;
	const char *slash = strrchr(path, '/');
	char *where = slash ? xasprintf("%.*s", (int)(slash - path) + 1, path) : xstrdup(".");
	bool known = statfs(path, &fs) == 0 || statfs(where, &fs) == 0;
	free(where);
	*name = "";
	return known ? db_place_of((uint32_t)fs.f_type, name) : DB_LOCAL;
}

/* Before SQLite looks, which would say less. Notes which file it is. */
static bool check_path(struct db *db, enum db_mode mode, struct err *err)
{
	struct stat st;
	const char *name, *path = db->path;
	bool there = stat(path, &st) == 0;
	if (!there && errno != ENOENT)
		return err_set(err, ERR_CONFIG, "%s: %s", path, strerror(errno));
	if (!there && mode == DB_EXISTING)
		return err_set(err, ERR_CONFIG, "%s: no such file: \"memingest migrate\" makes it",
			       path);
	if (there && !S_ISREG(st.st_mode))
		return err_set(err, ERR_CONFIG, "%s: is no file", path);
	if (db_place(path, &name) == DB_REMOTE)
		return err_set(err, ERR_CONFIG,
			       "%s: lies on a file system of a network (%s), where SQLite's locks "
			       "do not hold: put it on a local disk",
			       path, name);
	db->device = there ? st.st_dev : 0;
	db->inode = there ? st.st_ino : 0;
	return true;
}

/* A page of 8 KiB holds three or four rows with a vector of 384 floats; of 4 KiB, one or two. */
static const char new_file[] = "PRAGMA page_size = 8192";
static const char settings[] = "PRAGMA synchronous = FULL; PRAGMA cache_size = -12288;"
			       "PRAGMA mmap_size = 0; PRAGMA foreign_keys = ON;"
			       "PRAGMA wal_autocheckpoint = 4000;"
			       "PRAGMA journal_size_limit = 67108864";

static bool use_wal(struct db *db, struct err *err)
{
	bool row = false;
	sqlite3_stmt *stmt = db_prepare(db, "PRAGMA journal_mode = WAL", err);
	if (!stmt || !db_row(db, stmt, &row, err)) {
		sqlite3_finalize(stmt);
		return false;
	}
	const char *mode = row ? (const char *)sqlite3_column_text(stmt, 0) : "";
	bool ok = strcmp(mode, "wal") == 0 || strcmp(mode, "memory") == 0;
	if (!ok)
		err_set(err, ERR_CONFIG, "%s: the file can not be used with a WAL (it stays in %s)",
			db->path, mode);
	sqlite3_finalize(stmt);
	return ok;
}

bool db_open(struct db *db, const char *path, enum db_mode mode, int abort_fd, struct err *err)
{
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
	*db = (struct db){.path = path, .abort_fd = abort_fd, .patience_us = PATIENCE_US};
	if (strcmp(path, ":memory:") != 0 && !check_path(db, mode, err))
		return false;
	flags |= mode == DB_CREATE ? SQLITE_OPEN_CREATE : 0;
	int code = sqlite3_open_v2(path, &db->handle, flags, NULL);
	bool ok = code == SQLITE_OK || failed(db, code, err);
	if (ok)
		sqlite3_busy_handler(db->handle, wait_for_lock, db);
	ok = ok && (mode == DB_EXISTING || db_exec(db, new_file, err)) && use_wal(db, err) &&
	     db_exec(db, settings, err) && functions_add(db, err);
	if (!ok)
		db_close(db);
	return ok;
}

/* By its whole path: one without a slash would be looked for in the system's folders. */
bool db_load(struct db *db, const char *library, struct err *err)
{
	char *path = realpath(library, NULL), *why = NULL;
	if (!path)
		return err_set(err, ERR_CONFIG, "%s: %s", library, strerror(errno));
	sqlite3_db_config(db->handle, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 1, NULL);
	bool ok = sqlite3_load_extension(db->handle, path, NULL, &why) == SQLITE_OK;
	sqlite3_db_config(db->handle, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, NULL);
	if (!ok)
		err_set(err, ERR_CONFIG, "%s: %s", library, why ? why : sqlite3_errmsg(db->handle));
	sqlite3_free(why);
	free(path);
	return ok;
}

bool db_may_write(struct db *db, struct err *err)
{
	return sqlite3_db_readonly(db->handle, "main") != 1 || failed(db, SQLITE_READONLY, err);
}

/* SQLite's progress handler: not 0 interrupts. */
static int is_over(void *arg)
{
	const struct db *db = arg;
	struct pollfd fd = {.fd = db->abort_fd, .events = POLLIN};
	return poll(&fd, 1, 0) > 0;
}

void db_heed(struct db *db, int abort_fd)
{
	db->abort_fd = abort_fd;
	sqlite3_progress_handler(db->handle, HEED_STEPS, is_over, db);
}

/*
 * All complaints are looked at, for damage may stand behind others. What stands in rows is none;
 * and SQLite 3.40 sees NULLs that are none in a table WITHOUT ROWID whose primary key ends behind
 * them, such as memingest_gaps.
 */
bool db_is_whole(struct db *db, struct err *err)
{
	int64_t damaged = 0;
	if (!db_number(db,
		       "SELECT count(*) FROM pragma_quick_check(2147483647) WHERE quick_check <> "
		       "'ok' AND "
		       "quick_check NOT LIKE 'NULL value in %' AND "
		       "quick_check NOT LIKE 'CHECK constraint failed in %'",
		       &damaged, err))
		return false;
	return damaged == 0 || failed(db, SQLITE_CORRUPT, err);
}

/* Not SQLite's own word (HAS_MOVED): it looks where a link led when it was opened. */
bool db_in_place(const struct db *db)
{
	struct stat st;
	return db->inode == 0 ||
	       (stat(db->path, &st) == 0 && st.st_dev == db->device && st.st_ino == db->inode);
}

void db_close(struct db *db)
{
	sqlite3_stmt *stmt;
	while (db->handle && (stmt = sqlite3_next_stmt(db->handle, NULL)))
		sqlite3_finalize(stmt);
	sqlite3_close(db->handle);
	db->handle = NULL;
}

/* --- statements --- */

bool db_exec(struct db *db, const char *sql, struct err *err)
{
	int code = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
	return code == SQLITE_OK || failed(db, code, err);
}

/* Some errors have done it already. What is left of a statement would keep it from ending. */
void db_rollback(struct db *db)
{
	struct err ignored;
	for (sqlite3_stmt *s = NULL; (s = sqlite3_next_stmt(db->handle, s));)
		sqlite3_reset(s);
	enum db_trouble trouble = db->trouble;
	if (!sqlite3_get_autocommit(db->handle) && !db_exec(db, "ROLLBACK", &ignored))
		trouble = DB_SESSION;
	db->trouble = trouble;
}

/* No table, no column: the statement's author and the table's have to agree. */
sqlite3_stmt *db_prepare(struct db *db, const char *sql, struct err *err)
{
	sqlite3_stmt *stmt = NULL;
	int code = sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL);
	if (code == SQLITE_OK)
		return stmt;
	(void)failed(db, code, err);
	if ((code & 0xff) == SQLITE_ERROR) {
		err->class = ERR_CONFIG;
		db->trouble = DB_TABLE;
	}
	return NULL;
}

bool db_row(struct db *db, sqlite3_stmt *stmt, bool *row, struct err *err)
{
	db->refused = false;
	int code = sqlite3_step(stmt);
	*row = code == SQLITE_ROW;
	return *row || code == SQLITE_DONE || failed(db, code, err);
}

bool db_run(struct db *db, sqlite3_stmt *stmt, struct err *err)
{
	bool row = true, ok = true;
	while (ok && row)
		ok = db_row(db, stmt, &row, err);
	sqlite3_reset(stmt);
	return ok;
}

bool db_number(struct db *db, const char *sql, int64_t *n, struct err *err)
{
	bool row = false;
	sqlite3_stmt *stmt = db_prepare(db, sql, err);
	bool ok = stmt && db_row(db, stmt, &row, err);
	*n = row ? sqlite3_column_int64(stmt, 0) : 0;
	sqlite3_finalize(stmt);
	return ok;
}

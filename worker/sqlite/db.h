/*
 * db.h - one connection to a SQLite file: opened as we want it, its locks waited for within a time,
 * and what its errors mean.
 *
 * Owned by one thread.
 */
#pragma once

#include <sqlite3.h>
#include <sys/types.h>

#include "base/base.h"
#include "base/err.h"

/* Whose trouble a failure is. */
enum db_trouble {
	DB_NONE,
	DB_EVENT,   /* by its nature a value's fault: this row can not be stored */
	DB_EITHER,  /* a value's or the table's: which one is found by trying others */
	DB_WAIT,    /* a lock: the same again, soon */
	DB_FULL,    /* no space: the same again, slowly */
	DB_TABLE,   /* the statement does not fit the table, whatever the values */
	DB_SESSION, /* the connection or the file: open anew */
};

struct db {
	sqlite3 *handle;
	const char *path; /* borrowed */
	dev_t device;     /* and inode: what path led to when it was opened; 0: not known */
	ino_t inode;
	int abort_fd; /* readable: nothing is waited for any more; -1: none */
	int64_t patience_us, wait_until_us;
	enum db_trouble trouble; /* of the last call that failed */
	bool refused;            /* by a function of ours: the value's fault */
};

enum db_mode { DB_EXISTING, DB_CREATE };

/*
 * Opens the file with WAL, synchronous = FULL and foreign keys. False with class CONFIG: it is not
 * there (but for DB_CREATE), no database, damaged, may not be written, or on a file system of a
 * network; RETRY: locked, or out of means. db is not open then.
 */
MUST_CHECK bool db_open(struct db *db, const char *path, enum db_mode mode, int abort_fd,
			struct err *err);
/*
 * Loads a library of SQL functions into the process: code, so its path comes from the operator
 * alone. Statements can not (load_extension() stays off). False: class CONFIG.
 */
MUST_CHECK bool db_load(struct db *db, const char *library, struct err *err);
/* False with class CONFIG: it was opened, and can only be read. */
MUST_CHECK bool db_may_write(struct db *db, struct err *err);
/* Reads all of it, so it takes time. False: damaged, or not to be read. */
MUST_CHECK bool db_is_whole(struct db *db, struct err *err);
/* From now on a statement that takes long ends, too, once abort_fd is readable. */
void db_heed(struct db *db, int abort_fd);
/* False: what is open is not what path leads to, by links too: it was moved, deleted or replaced.
 */
bool db_in_place(const struct db *db);
void db_close(struct db *db); /* rolls back what is open; not open is fine */

/* One or more statements without parameters. */
MUST_CHECK bool db_exec(struct db *db, const char *sql, struct err *err);
/* Undoes the open transaction, if there is one. */
void db_rollback(struct db *db);

/* A statement that is kept. NULL: it does not fit the tables (DB_TABLE), or the session is lost. */
sqlite3_stmt *db_prepare(struct db *db, const char *sql, struct err *err);
/* The next row of a statement. False: err. *row: there is one; else the statement has ended. */
MUST_CHECK bool db_row(struct db *db, sqlite3_stmt *stmt, bool *row, struct err *err);
/* Runs a statement to its end and resets it. */
MUST_CHECK bool db_run(struct db *db, sqlite3_stmt *stmt, struct err *err);
/* The one row of a statement without parameters, as a number; 0 if there is none. */
MUST_CHECK bool db_number(struct db *db, const char *sql, int64_t *n, struct err *err);

/*
 * Whether SQLite's locks and WAL hold where a file is: not on a file system of a network; one that
 * a program or a virtual machine's host serves may be one. *name: "NFS", or "".
 */
enum db_place { DB_LOCAL, DB_DOUBTFUL, DB_REMOTE };
enum db_place db_place(const char *path, const char **name);
enum db_place db_place_of(uint32_t magic, const char **name); /* by statfs()'s number */

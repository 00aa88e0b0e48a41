/*
 * faults_file.c - what happens to a SQLite file that workers write, in place of all that happens to
 * PostgreSQL and on the way there.
 *
 *   writer    the process that holds the file killed, its lock's file removed
 *   others    another program locks the file, reads it for long, checkpoints it, rewrites it
 *   disk      full, read-only
 *   file      moved away; as it was some time ago, after a loss of power or from a backup
 *
 * The file lies on a small file system of its own where one can be mounted; else what needs one is
 * left out.
 *
 * A loss of power: the file and its WAL are copied at a moment at which their writer is stopped,
 * wherever it was, with or without bytes behind the WAL's end that were never flushed whole. Later
 * all workers are killed, and the copy is put in place: rows and offsets go back together.
 *
 * Thread: the run's. One fault of this file at a time, hence the statics.
 */
#include <errno.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "chaos.h"
#include "lite.h"
#include "schedule.h"

#define SIZE "size=1g"
#define TORN_MOST 20000 /* bytes behind the WAL's end */

static char disk[160]; /* where the file lies */
static bool mounted;
static sqlite3 *other; /* another program's connection */

void file_disk_make(void)
{
	snprintf(disk, sizeof(disk), "%s/file", stack.dir);
	if (mkdir(disk, 0755) != 0) {
		fprintf(stderr, "chaos: %s: %s\n", disk, strerror(errno));
		exit(EXIT_INTERNAL);
	}
	mounted = mount("tmpfs", disk, "tmpfs", 0, SIZE) == 0;
	if (!mounted)
		printf("chaos: no disk of its own for the file: %s\n", strerror(errno));
}

void file_disk_remove(void)
{
	if (mounted)
		(void)umount2(disk, MNT_DETACH);
}

void file_lay(struct chaos *c)
{
	lite_begin(c->bed, disk);
}

static bool has_disk(struct chaos *c)
{
	(void)c;
	return mounted;
}

/* --- its writer --- */

struct worker *file_writer(struct chaos *c)
{
	char path[224], name[128] = "";
	snprintf(path, sizeof(path), "%s-writer", c->bed->sqlite);
	FILE *in = fopen(path, "r");
	if (in && fgets(name, sizeof(name), in) == NULL)
		name[0] = '\0';
	if (in)
		(void)fclose(in);
	const char *slash = strrchr(name, '/');
	for (size_t i = 0; slash && i < c->nworkers; i++) {
		if (c->workers[i]->pid == (int)strtol(slash + 1, NULL, 10))
			return c->workers[i];
	}
	return NULL;
}

static void kill_one(struct chaos *c, struct worker *w)
{
	chaos_leaves(c, w);
	worker_kill(w);
}

static void kill_writer(struct chaos *c, struct strike *s)
{
	struct worker *w = file_writer(c);
	s->missed = w == NULL;
	if (w)
		kill_one(c, w);
}

static void start_another(struct chaos *c, struct strike *s)
{
	if (!s->missed)
		chaos_join(c);
}

static void kill_all(struct chaos *c)
{
	while (c->nworkers > 0)
		kill_one(c, c->workers[0]);
}

/* From then on two may write. */
static void remove_lock(struct chaos *c, struct strike *s)
{
	char path[224];
	snprintf(path, sizeof(path), "%s-writer", c->bed->sqlite);
	s->missed = unlink(path) != 0;
}

/* --- other programs --- */

static void open_other(struct chaos *c)
{
	ck_assert_int_eq(sqlite3_open_v2(c->bed->sqlite, &other, SQLITE_OPEN_READWRITE, NULL),
			 SQLITE_OK);
	sqlite3_busy_timeout(other, 20);
}

static void close_other(struct chaos *c, struct strike *s)
{
	(void)c;
	(void)s;
	ck_assert_int_eq(sqlite3_close(other), SQLITE_OK);
}

static bool other_does(const char *sql)
{
	int code = sqlite3_exec(other, sql, NULL, NULL, NULL) & 0xff;
	ck_assert_msg(code == SQLITE_OK || code == SQLITE_BUSY || code == SQLITE_LOCKED, "%s: %s",
		      sql, sqlite3_errmsg(other));
	return code == SQLITE_OK;
}

static void lock(struct chaos *c, struct strike *s)
{
	(void)s;
	open_other(c);
	CHAOS_WAIT(c, 60, other_does("BEGIN EXCLUSIVE"));
}

/* No checkpoint gets past what it sees, so the WAL grows. */
static void read_for_long(struct chaos *c, struct strike *s)
{
	(void)s;
	open_other(c);
	CHAOS_WAIT(c, 60, other_does("BEGIN; SELECT count(*) FROM ledger"));
}

static void checkpoint(struct chaos *c, struct strike *s)
{
	static const char *const ways[] = {
		"PRAGMA wal_checkpoint(PASSIVE)", "PRAGMA wal_checkpoint(FULL)",
		"PRAGMA wal_checkpoint(RESTART)", "PRAGMA wal_checkpoint(TRUNCATE)"};
	open_other(c);
	for (unsigned i = 0; i < 10 + s->random % 20; i++) {
		(void)other_does(ways[mix(s->random + i) % ARRAY_LEN(ways)]);
		chaos_for(c, (int64_t)(mix(s->random * 31 + i) % 100));
	}
	close_other(c, s);
}

static void rewrite(struct chaos *c, struct strike *s)
{
	static const char *const ways[] = {"VACUUM", "REINDEX", "ANALYZE"};
	open_other(c);
	CHAOS_WAIT(c, 60, other_does(ways[s->random % ARRAY_LEN(ways)]));
	close_other(c, s);
}

/* --- its disk --- */

/* As large as what it holds. */
static bool try_fill(void)
{
	char size[64];
	struct statvfs fs;
	ck_assert_int_eq(statvfs(disk, &fs), 0);
	snprintf(size, sizeof(size), "size=%llu",
		 (unsigned long long)(fs.f_blocks - fs.f_bfree) * fs.f_frsize);
	return mount(NULL, disk, NULL, MS_REMOUNT, size) == 0;
}

static void fill(struct chaos *c, struct strike *s)
{
	(void)s;
	CHAOS_WAIT(c, 10, try_fill());
}

static void make_room(struct chaos *c, struct strike *s)
{
	(void)c;
	(void)s;
	ck_assert_int_eq(mount(NULL, disk, NULL, MS_REMOUNT, SIZE), 0);
}

/* While the file is open for writing it can not be made so: workers find it when they start. */
static void make_readonly(struct chaos *c, struct strike *s)
{
	size_t n = c->nworkers;
	(void)s;
	kill_all(c);
	CHAOS_WAIT(c, 20, mount(NULL, disk, NULL, MS_REMOUNT | MS_RDONLY, SIZE) == 0);
	chaos_some_join(c, n);
}

/* --- the file --- */

static void path_of(const struct chaos *c, const char *suffix, char *path, size_t size)
{
	snprintf(path, size, "%s%s", c->bed->sqlite, suffix);
}

static void move(struct chaos *c, const char *from, const char *to)
{
	char a[224], b[224];
	path_of(c, from, a, sizeof(a));
	path_of(c, to, b, sizeof(b));
	ck_assert_msg(rename(a, b) == 0, "%s: %s", a, strerror(errno));
}

static void move_away(struct chaos *c, struct strike *s)
{
	(void)s;
	move(c, "", ".away");
}

static void move_back(struct chaos *c, struct strike *s)
{
	(void)s;
	move(c, ".away", "");
}

/* Bytes of no known order. */
static void tear(FILE *out, uint64_t random)
{
	size_t n = random % 3 ? random % TORN_MOST : 0;
	for (size_t i = 0; i < n; i++)
		fputc((int)(mix(random + i) & 0xff), out);
}

static void copy(struct chaos *c, const char *from, const char *to, uint64_t torn)
{
	char a[224], b[224], part[65536];
	path_of(c, from, a, sizeof(a));
	path_of(c, to, b, sizeof(b));
	FILE *in = fopen(a, "r"), *out = fopen(b, "w");
	ck_assert_msg(out != NULL, "%s: %s", b, strerror(errno));
	for (size_t n; in && (n = fread(part, 1, sizeof(part), in)) > 0;)
		ck_assert_uint_eq(fwrite(part, 1, n, out), n);
	if (torn)
		tear(out, torn);
	if (in)
		(void)fclose(in);
	ck_assert_int_eq(fclose(out), 0);
}

/* What a disk would have of it at this moment. */
static void snapshot(struct chaos *c, struct strike *s)
{
	for (size_t i = 0; i < c->nworkers; i++)
		worker_signal(c->workers[i], SIGSTOP);
	copy(c, "", ".kept", 0);
	copy(c, "-wal", ".kept-wal", s->random | 1);
	for (size_t i = 0; i < c->nworkers; i++)
		worker_signal(c->workers[i], SIGCONT);
}

/* In this order nobody takes a file for that of another WAL. */
static void replace(struct chaos *c, bool wal)
{
	char path[224];
	static const char *const parts[] = {"-wal", "-shm"};
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		path_of(c, parts[i], path, sizeof(path));
		ck_assert_msg(unlink(path) == 0 || errno == ENOENT, "%s: %s", path,
			      strerror(errno));
	}
	if (wal)
		move(c, ".kept-wal", "-wal");
	move(c, ".kept", "");
}

static void lose_power(struct chaos *c, struct strike *s)
{
	size_t n = c->nworkers;
	(void)s;
	kill_all(c);
	replace(c, true);
	chaos_some_join(c, n);
}

static void back_up(struct chaos *c, struct strike *s)
{
	char path[224];
	sqlite3 *to = NULL;
	(void)s;
	path_of(c, ".kept", path, sizeof(path));
	(void)unlink(path);
	open_other(c);
	ck_assert_int_eq(sqlite3_open(path, &to), SQLITE_OK);
	sqlite3_backup *backup = sqlite3_backup_init(to, "main", other, "main");
	ck_assert_msg(backup != NULL, "%s", sqlite3_errmsg(to));
	CHAOS_WAIT(c, 60, sqlite3_backup_step(backup, -1) == SQLITE_DONE);
	ck_assert_int_eq(sqlite3_backup_finish(backup), SQLITE_OK);
	ck_assert_int_eq(sqlite3_close(to), SQLITE_OK);
	close_other(c, s);
}

/* Under the workers' hands half of the time. */
static void restore(struct chaos *c, struct strike *s)
{
	size_t n = s->random % 2 ? c->nworkers : 0;
	chaos_note(c, "%s", n ? "the workers are stopped before" : "under the workers' hands");
	if (n)
		chaos_all_leave(c);
	replace(c, false);
	chaos_some_join(c, n);
}

/* A bound of its own: what an operator has to mend is tried every 10 s. */
#define LOOK_S 15

#define FILE_(fault, shortest, longest, ...)                                                       \
	{                                                                                          \
		.name = "file." fault, .scope = SCOPE_FILE, .hold_ms = {shortest, longest},        \
		__VA_ARGS__                                                                        \
	}

const struct fault faults_file[] = {
	FILE_("kill_writer", 0, 3000, .strike = kill_writer, .heal = start_another, .weight = 4),
	FILE_("no_lock", 500, 3000, .strike = remove_lock),
	FILE_("locked", 1000, 12000, .strike = lock, .heal = close_other, .weight = 2),
	FILE_("reader", 2000, 15000, .strike = read_for_long, .heal = close_other, .weight = 2),
	FILE_("checkpoint", 0, 0, .strike = checkpoint, .weight = 2),
	FILE_("rewrite", 0, 0, .strike = rewrite),
	FILE_("full", 1000, 8000, .strike = fill, .heal = make_room, .weight = 2,
	      .recover_s = LOOK_S, .possible = has_disk),
	FILE_("read_only", 1000, 8000, .strike = make_readonly, .heal = make_room,
	      .recover_s = LOOK_S, .possible = has_disk),
	FILE_("moved", 500, 5000, .strike = move_away, .heal = move_back, .recover_s = LOOK_S),
	FILE_("power", 200, 4000, .strike = snapshot, .heal = lose_power, .weight = 4,
	      .recover_s = LOOK_S, .flags = FAULT_MAY_FALL),
	FILE_("restore", 500, 5000, .strike = back_up, .heal = restore, .weight = 2,
	      .recover_s = LOOK_S, .flags = FAULT_MAY_FALL),
	{0},
};

/*
 * test_sqlite_faults.c - what can be wrong with a SQLite file while a worker wants it: a table of
 * faults, each of which is told with the file's name and what to do, holds everything, loses
 * nothing, and needs no restart once it is mended.
 *
 * A full disk, and a table that is not there: test_sqlite.c. Network file systems:
 * tests/unit/test_sqlite.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bed.h"
#include "ledger.h"
#include "lite.h"
#include "model.h"
#include "system.h"

enum { SENT = 50, PAGE = 8192 };

static sqlite3 *other; /* another program's connection */
static char folder[160];

/* --- striking and mending --- */

/* Root may write what has no permission to be written, but not this. */
static bool set_immutable(struct bed *bed, bool on)
{
	int flags = 0, fd = open(bed->sqlite, O_RDONLY);
	bool ok = fd >= 0 && ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0;
	flags = on ? flags | FS_IMMUTABLE_FL : flags & ~FS_IMMUTABLE_FL;
	ok = ok && ioctl(fd, FS_IOC_SETFLAGS, &flags) == 0;
	close(fd);
	return ok;
}

static bool make_immutable(struct bed *bed)
{
	return set_immutable(bed, true);
}

static void make_mutable(struct bed *bed)
{
	ck_assert(set_immutable(bed, false));
}

static void unmount(void)
{
	(void)umount2(folder, MNT_DETACH);
}

static bool make_readonly(struct bed *bed)
{
	(void)bed;
	return mount(NULL, folder, NULL, MS_REMOUNT | MS_RDONLY, NULL) == 0;
}

static void make_writable(struct bed *bed)
{
	(void)bed;
	ck_assert_int_eq(mount(NULL, folder, NULL, MS_REMOUNT, NULL), 0);
}

static void copy_file(const char *from, const char *to)
{
	char line[512];
	snprintf(line, sizeof(line), "cp '%s' '%s'", from, to);
	ck_assert_int_eq(system(line), 0);
}

/* Bytes that are no page, from there to the end; what was there is kept beside it. */
static bool spoil_from(struct bed *bed, long from)
{
	char kept[224];
	struct stat st;
	unsigned seed = 1;
	snprintf(kept, sizeof(kept), "%s.kept", bed->sqlite);
	copy_file(bed->sqlite, kept);
	FILE *f = fopen(bed->sqlite, "r+");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fstat(fileno(f), &st), 0);
	ck_assert_int_gt(st.st_size, from);
	ck_assert_int_eq(fseek(f, from, SEEK_SET), 0);
	for (long i = from; i < st.st_size; i++)
		fputc(rand_r(&seed) & 0xff, f);
	ck_assert_int_eq(fclose(f), 0);
	return true;
}

static bool spoil_pages(struct bed *bed)
{
	return spoil_from(bed, PAGE);
}

static bool spoil_all(struct bed *bed)
{
	return spoil_from(bed, 0);
}

/* As an operator puts a copy in place. */
static void restore(struct bed *bed)
{
	char kept[224];
	snprintf(kept, sizeof(kept), "%s.kept", bed->sqlite);
	copy_file(kept, bed->sqlite);
}

static bool move_away(struct bed *bed)
{
	char kept[224];
	snprintf(kept, sizeof(kept), "%s.kept", bed->sqlite);
	return rename(bed->sqlite, kept) == 0;
}

static void move_back(struct bed *bed)
{
	char kept[224];
	snprintf(kept, sizeof(kept), "%s.kept", bed->sqlite);
	ck_assert_int_eq(rename(kept, bed->sqlite), 0);
}

static bool lock_file(struct bed *bed)
{
	return sqlite3_open(bed->sqlite, &other) == SQLITE_OK &&
	       sqlite3_exec(other, "BEGIN EXCLUSIVE", NULL, NULL, NULL) == SQLITE_OK;
}

static void unlock_file(struct bed *bed)
{
	(void)bed;
	ck_assert_int_eq(sqlite3_close(other), SQLITE_OK);
}

/* --- the table --- */

static const struct fault {
	const char *name;
	bool (*strike)(struct bed *bed); /* false: it can not be done here */
	void (*mend)(struct bed *bed);
	const char *words; /* of the log, which also has the path */
	int check;         /* exit code of "check --online" meanwhile */
} faults[] = {
	{"a file that may not be written", make_immutable, make_mutable,
	 "may not be written by this user", 78},
	{"a folder that may not be written", make_readonly, make_writable,
	 "may this user write to the folder?", 78},
	{"pages of noise", spoil_pages, restore, "the file is damaged: stop, keep a copy", 78},
	{"noise", spoil_all, restore, "the file is no SQLite database", 78},
	{"no file", move_away, move_back, "no such file: \\\"memingest migrate\\\" makes it", 78},
	{"another program's lock", lock_file, unlock_file,
	 "another program holds the file's lock for writing", 0},
};

static void send(struct bed *bed, int from)
{
	for (int i = from; i < from + SENT; i++)
		ledger_send(bed, i % 2, i % 7 ? "a" : "b", 1000 + i, 1);
	bed_flush(bed);
}

/* A disk of its own for the fault that is the folder's. */
static bool mount_folder(void)
{
	snprintf(folder, sizeof(folder), "%s/folder.%d", stack.dir, (int)getpid());
	ck_assert_int_eq(mkdir(folder, 0755), 0);
	return mount("tmpfs", folder, "tmpfs", 0, "size=8m") == 0 && atexit(unmount) == 0;
}

/*
 * Proves: under each fault a worker says what it is, of which file, and goes on asking; "check
 * --online" says the same; once it is mended all events are in the file, each once, without a
 * restart.
 */
START_TEST(told_and_mended)
{
	const struct fault *fault = &faults[_i];
	bool own = fault->strike == make_readonly;
	if (own && !mount_folder()) {
		printf("%s: not tried, mounting: %s\n", fault->name, strerror(errno));
		return;
	}
	struct bed *bed = ledger_bed("litefault", 2);
	lite_begin(bed, own ? folder : NULL);
	struct worker *w = worker_start(bed, NULL);
	send(bed, 0);
	bed_drain(bed, 20);
	worker_stop(w);
	if (!fault->strike(bed)) {
		printf("%s: not tried: %s\n", fault->name, strerror(errno));
		bed_free(bed);
		return;
	}
	send(bed, SENT);
	w = worker_start(bed, NULL);
	worker_wait_log(w, fault->words, 20);
	struct buf log = {0};
	worker_read_log(w, &log);
	ck_assert_msg(strstr(buf_cstr(&log), bed->sqlite) != NULL, "no path: %s", buf_cstr(&log));
	buf_free(&log);
	if (fault->check)
		bed_expect(bed, fault->check, "check --online", bed->sqlite);
	fault->mend(bed);
	bed_drain(bed, 40);
	worker_stop(w);
	ck_assert_int_eq(lite_int(bed->sqlite, "SELECT sum(total) FROM ledger"), 2 * SENT);
	lite_copy(bed);
	model_check(bed);
	bed_free(bed);
}
END_TEST

/*
 * Proves: a file that is put in the place of another one under a running worker is noticed; it goes
 * on from where that one stands, and what the other one had is read again.
 */
START_TEST(replaced_under_its_hands)
{
	char path[224];
	static const char *const parts[] = {"-wal", "-shm"};
	struct bed *bed = ledger_bed("litereplaced", 2);
	lite_begin(bed, NULL);
	struct worker *w = worker_start(bed, NULL);
	send(bed, 0);
	bed_drain(bed, 20);
	lite_sql(bed->sqlite, "VACUUM INTO '%s.kept'", bed->sqlite);
	send(bed, SENT);
	bed_drain(bed, 20);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		snprintf(path, sizeof(path), "%s%s", bed->sqlite, parts[i]);
		ck_assert(unlink(path) == 0 || errno == ENOENT);
	}
	move_back(bed);
	send(bed, 2 * SENT);
	bed_drain(bed, 20);
	worker_wait_log(w, "or another one put in its place", 1);
	ck_assert_int_eq(lite_int(bed->sqlite, "SELECT sum(total) FROM ledger"), 3 * SENT);
	worker_stop(w);
	lite_copy(bed);
	model_check(bed);
	bed_free(bed);
}
END_TEST

/*
 * Proves: the same of a link that leads to another file from one moment to the next; and the lock
 * is then that file's, so a second worker still stands by.
 */
START_TEST(link_led_elsewhere)
{
	char link[192], kept[192], new[192];
	struct bed *bed = ledger_bed("litelink", 2);
	lite_begin(bed, NULL);
	snprintf(link, sizeof(link), "%s/link.db", bed->dir);
	snprintf(kept, sizeof(kept), "%s/kept.db", bed->dir);
	snprintf(new, sizeof(new), "%s/link.new", bed->dir);
	ck_assert_int_eq(symlink(bed->sqlite, link), 0);
	ck_assert_int_eq(symlink(kept, new), 0);
	snprintf(bed->sqlite, sizeof(bed->sqlite), "%s", link);
	struct worker *w = worker_start(bed, NULL);
	send(bed, 0);
	bed_drain(bed, 20);
	lite_sql(bed->sqlite, "VACUUM INTO '%s'", kept);
	ck_assert_int_eq(rename(new, link), 0);
	send(bed, SENT);
	bed_drain(bed, 20);
	worker_wait_log(w, "or another one put in its place", 10);
	ck_assert_int_eq(lite_int(kept, "SELECT sum(total) FROM ledger"), 2 * SENT);
	struct worker *second = worker_start(bed, NULL);
	worker_wait_log(second, "standing by", 10);
	worker_stop(second);
	worker_stop(w);
	lite_copy(bed);
	model_check(bed);
	bed_free(bed);
}
END_TEST

static void sqlite_faults_tests(TCase *tc)
{
	tcase_add_test(tc, replaced_under_its_hands);
	tcase_add_test(tc, link_led_elsewhere);
	tcase_add_loop_test(tc, told_and_mended, 0, ARRAY_LEN(faults));
}
SYSTEM_SUITE("sqlite_faults", 90, sqlite_faults_tests)

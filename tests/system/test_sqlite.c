/*
 * test_sqlite.c - the worker into a SQLite file: the same outcome as the model, through kills,
 * refusals, a full disk, a second worker and copies of the file at any moment.
 *
 * The file is compared by lite.h with the model that PostgreSQL's tables are compared with.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bed.h"
#include "ledger.h"
#include "lite.h"
#include "load.h"
#include "model.h"
#include "system.h"

enum { KILLS = 4, COPIES = 12, ADDED = 6000 };

static void check_file(struct bed *bed)
{
	lite_copy(bed);
	model_check(bed);
}

/* Sends nobody home for long: a killed member is missed after a second. */
static struct bed *lite_ledger(const char *name, const char *dir)
{
	struct bed *bed = ledger_bed(name, 4);
	bed_set(bed, "kafka.session.timeout.ms", "1500");
	bed_set(bed, "kafka.heartbeat.interval.ms", "300");
	lite_begin(bed, dir);
	return bed;
}

/*
 * Proves: upserts, deletes, tombstones, late events and poison of the shipped streams and of every
 * merge rule leave in the file what the model says, under each on_conflict; with the dead letters
 * and books that it says.
 */
START_TEST(as_the_model)
{
	static const char *const streams[] = {"ledger", "memory", "pattern", "trajectory"};
	struct bed *bed = ledger_bed("lite", 2);
	const struct generator_options options = {.seed = 7 + (uint64_t)_i,
						  .keys = 60,
						  .update_share = 0.5,
						  .delete_share = 0.05,
						  .tombstone_share = 0.03,
						  .late_share = 0.2,
						  .poison_share = 0.01};
	for (size_t i = 1; i < ARRAY_LEN(streams); i++)
		bed_stream(bed, streams[i], 2);
	for (size_t i = 0; i < ARRAY_LEN(streams); i++)
		bed->streams[i].on_conflict = (enum on_conflict)_i;
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	lite_begin(bed, NULL);
	for (size_t i = 0; i < ARRAY_LEN(streams); i++)
		load_fill(bed, streams[i], 1500, options);
	struct worker *w = worker_start(bed, NULL);
	bed_drain(bed, 30);
	worker_stop(w);
	check_file(bed);
	for (size_t i = 0; i < ARRAY_LEN(streams); i++)
		ck_assert_uint_gt(model_rows(streams[i]), 20);
	bed_free(bed);
}
END_TEST

/*
 * Proves: a worker killed with SIGKILL in the middle of work, again and again, loses nothing and
 * writes nothing twice.
 */
START_TEST(killed)
{
	struct bed *bed = lite_ledger("litekill", NULL);
	struct pace *pace = pace_open(bed, "ledger", 2000);
	for (int i = 0; i < KILLS; i++) {
		struct worker *w = worker_start(bed, NULL);
		pace_progress(pace, 400 + 137 * i);
		worker_kill(w);
	}
	struct worker *last = worker_start(bed, NULL);
	pace_progress(pace, 300);
	pace_close(pace);
	bed_drain(bed, 30);
	worker_stop(last);
	check_file(bed);
	bed_free(bed);
}
END_TEST

/* By /metrics, which alerts go by, and by /readyz. */
static void says_standby(struct worker *w, bool standby)
{
	struct buf body = {0};
	BED_WAIT(w->bed, 10, worker_metric(w, "memingest_state_info", "standby") == standby);
	BED_WAIT(w->bed, 10, worker_http(w, "/readyz", NULL) == (standby ? 503 : 200));
	(void)worker_http(w, "/readyz", &body);
	ck_assert_msg(!strstr(buf_cstr(&body), "stands by for another process") == !standby, "%s",
		      buf_cstr(&body));
	buf_free(&body);
}

/*
 * Proves: a second worker does not write beside the first, says who does and that it stands by, and
 * takes no partition away from it; when that one is killed it takes over, and all counts once.
 */
START_TEST(second_worker)
{
	struct bed *bed = lite_ledger("litesecond", NULL);
	struct pace *pace = pace_open(bed, "ledger", 500);
	struct worker *first = worker_start(bed, NULL);
	char holder[96], host[64] = "";
	pace_progress(pace, 200);
	(void)gethostname(host, sizeof(host) - 1);
	snprintf(holder, sizeof(holder), "is written by %s/%d, and one process at a time may", host,
		 first->pid);
	struct worker *second = worker_start(bed, NULL);
	worker_wait_log(second, "level=warn msg=\"standing by", 10); /* so "load" says it as well */
	worker_wait_log(second, holder, 10);
	says_standby(second, true);
	pace_progress(pace, 1000);
	bed_drain(bed, 10);
	worker_kill(first);
	pace_progress(pace, 200);
	says_standby(second, false);
	pace_close(pace);
	bed_drain(bed, 30);
	worker_stop(second);
	check_file(bed);
	bed_free(bed);
}
END_TEST

/*
 * Proves: what a trigger or a CHECK refuses is a dead letter with its key, the other events of the
 * batch land, an event that only changes a row is judged by the row that it leaves; and a table
 * that is not there holds its stream until it is.
 */
START_TEST(refused)
{
	struct bed *bed = lite_ledger("literefused", NULL);
	lite_sql(bed->sqlite, "CREATE TRIGGER no_refused BEFORE INSERT ON ledger WHEN new.account"
			      " = 'refused' BEGIN SELECT raise(ABORT, 'not that one'); END");
	lite_sql(bed->sqlite, "CREATE TRIGGER no_debt BEFORE UPDATE ON ledger WHEN new.total < 0"
			      " BEGIN SELECT raise(ROLLBACK, 'no debts'); END");
	ledger_send(bed, 0, "rich", 1000, 10);
	ledger_send(bed, 0, "refused", 1001, 1);
	ledger_send(bed, 0, "rich", 1002, -6);
	ledger_send(bed, 0, "rich", 1003, -6);
	ledger_send(bed, 0, "other", 1004, 3);
	model_expect_dead(bed->streams[0].topic, 0, 1, "constraint");
	model_expect_dead(bed->streams[0].topic, 0, 3, "constraint");
	struct worker *w = worker_start(bed, NULL);
	bed_drain(bed, 20);
	ck_assert_int_eq(lite_int(bed->sqlite, "SELECT total FROM ledger WHERE account = 'rich'"),
			 4);
	ck_assert_int_eq(lite_int(bed->sqlite, "SELECT count(*) FROM memingest_dead_letters WHERE"
					       " detail LIKE '%%not that one%%' AND key IS NOT "
					       "NULL AND value IS NOT NULL"),
			 1);
	check_file(bed);
	lite_sql(bed->sqlite, "ALTER TABLE ledger RENAME TO hidden");
	ledger_send(bed, 0, "late", 1005, 1);
	bed_flush(bed);
	worker_wait_log(w, "no such table: ledger", 10);
	ck_assert_int_eq(lite_int(bed->sqlite, "SELECT count(*) FROM memingest_dead_letters"), 2);
	lite_sql(bed->sqlite, "ALTER TABLE hidden RENAME TO ledger");
	bed_drain(bed, 25);
	worker_stop(w);
	check_file(bed);
	bed_free(bed);
}
END_TEST

static char small[160]; /* a disk */

/* Whatever became of the test. */
static void unmount_small(void)
{
	(void)umount2(small, MNT_DETACH);
}

static void fill_disk(const char *path)
{
	static const char part[4096];
	FILE *out = fopen(path, "w");
	ck_assert_msg(out != NULL, "%s: %s", path, strerror(errno));
	while (fwrite(part, 1, sizeof(part), out) == sizeof(part) && fflush(out) == 0)
		continue;
	(void)fclose(out);
}

/*
 * Proves: a disk that is full holds the batches, with words, and makes no dead letter; with room
 * again they land.
 */
START_TEST(full_disk)
{
	char filler[192];
	snprintf(small, sizeof(small), "%s/small.%d", stack.dir, (int)getpid());
	ck_assert_int_eq(mkdir(small, 0755), 0);
	if (mount("tmpfs", small, "tmpfs", 0, "size=3m") != 0) {
		printf("full_disk: not tried, mounting a small disk: %s\n", strerror(errno));
		return;
	}
	ck_assert_int_eq(atexit(unmount_small), 0);
	struct bed *bed = lite_ledger("litefull", small);
	struct worker *w = worker_start(bed, NULL);
	worker_ready(w);
	snprintf(filler, sizeof(filler), "%s/filler", small);
	fill_disk(filler);
	for (int i = 0; i < 3000; i++)
		ledger_send(bed, i % 4, i % 7 ? "a" : "b", 1000 + i, 1);
	bed_flush(bed);
	worker_wait_log(w, "make room", 15);
	ck_assert_int_eq(unlink(filler), 0);
	bed_drain(bed, 30);
	worker_stop(w);
	ck_assert_int_eq(lite_int(bed->sqlite, "SELECT sum(total) FROM ledger"), 3000);
	check_file(bed);
	bed_free(bed);
}
END_TEST

static void copy_part(const char *from, const char *to, const char *suffix)
{
	char source[224], target[224], part[65536];
	snprintf(source, sizeof(source), "%s%s", from, suffix);
	snprintf(target, sizeof(target), "%s%s", to, suffix);
	FILE *in = fopen(source, "r"), *out = fopen(target, "w");
	ck_assert_msg(out != NULL, "%s: %s", target, strerror(errno));
	for (size_t n; in && (n = fread(part, 1, sizeof(part), in)) > 0;)
		ck_assert_uint_eq(fwrite(part, 1, n, out), n);
	if (in)
		(void)fclose(in);
	ck_assert_int_eq(fclose(out), 0);
}

/*
 * Proves: the file and its WAL, as they are at any moment, open, are whole, and hold the events up
 * to their offsets and no others. Each event adds 1, so the sum is the number of events.
 */
START_TEST(copied_at_any_moment)
{
	struct bed *bed = lite_ledger("litecopy", NULL);
	int64_t before = 0, distinct = 0;
	char copy[192];
	snprintf(copy, sizeof(copy), "%s/copy.db", bed->dir);
	struct worker *w = worker_start(bed, NULL);
	for (int i = 0; i < COPIES; i++) {
		for (int n = 0; n < ADDED / COPIES; n++)
			ledger_send(bed, n % 4, n % 7 ? "a" : "b", 1000 + n, 1);
		bed_flush(bed);
		bed_tick(bed, clock_mono_us() + 7000 * (i % 5));
		worker_signal(w, SIGSTOP);
		copy_part(bed->sqlite, copy, "");
		copy_part(bed->sqlite, copy, "-wal");
		worker_signal(w, SIGCONT);
		ck_assert_int_eq(lite_int(copy, "SELECT count(*) FROM pragma_integrity_check WHERE"
						" integrity_check <> 'ok'"),
				 0);
		int64_t sum = lite_int(copy, "SELECT coalesce(sum(total), 0) FROM ledger");
		ck_assert_int_eq(sum, lite_int(copy, "SELECT coalesce(sum(next_offset), 0) FROM"
						     " memingest_offsets WHERE partition >= 0"));
		ck_assert_int_ge(sum, before);
		distinct += sum > before;
		before = sum;
	}
	ck_assert_int_gt(distinct, 3);
	bed_drain(bed, 20);
	worker_stop(w);
	check_file(bed);
	bed_free(bed);
}
END_TEST

static void sqlite_tests(TCase *tc)
{
	tcase_add_loop_test(tc, as_the_model, 0, CONFLICT_SKIP + 1);
	tcase_add_test(tc, killed);
	tcase_add_test(tc, second_worker);
	tcase_add_test(tc, refused);
	tcase_add_test(tc, full_disk);
	tcase_add_test(tc, copied_at_any_moment);
}
SYSTEM_SUITE("sqlite", 60, sqlite_tests)

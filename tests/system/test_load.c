/*
 * test_load.c - files into tables: every record counts once, whatever ends the load; what cannot be
 * stored is a dead letter that says where it stood; a file that has changed is not gone on with.
 *
 * The stream "ledger" adds, so a record that counts twice or never shows in a sum. What the sums
 * have to be is worked out here, while the file is written.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bed.h"
#include "broker.h"
#include "ledger.h"
#include "lite.h"
#include "model.h"
#include "schema/encode.h"
#include "system.h"

enum { ACCOUNTS = 100 };

static int64_t sums[ACCOUNTS];

static void path_of(struct bed *bed, const char *name, char *path, size_t size)
{
	snprintf(path, size, "%s/%s", bed->dir, name);
}

/* Records first .. first + n - 1; what they add goes into sums. */
static void write_lines(FILE *out, int first, int n)
{
	for (int i = first; i < first + n; i++) {
		int account = (int)((unsigned)i * 7919u % ACCOUNTS), amount = i % 1000 - 300;
		sums[account] += amount;
		fprintf(out,
			"{\"event_time\":%lld,\"account\":\"a%d\",\"total\":%d,\"last\":\"%d\"}\n",
			1700000000000000ll + i, account, amount, i);
	}
}

static void write_file(const char *path, int first, int n)
{
	FILE *out = fopen(path, "w");
	ck_assert_msg(out != NULL, "%s: %s", path, strerror(errno));
	write_lines(out, first, n);
	ck_assert_int_eq(fclose(out), 0);
}

/* "load ledger PATH ARGS...", not waited for; standard input from a descriptor or nothing. */
static int start_load(struct bed *bed, const char *path, const char *option)
{
	char log[192];
	const char *const argv[] = {stack.program, "load", "ledger", "-c",
				    bed->config,   path,   option,   NULL};
	bed_write_config(bed);
	path_of(bed, "load.log", log, sizeof(log));
	return spawn(argv, NULL, log);
}

static void expect_load(struct bed *bed, int status, const char *path, const char *option,
			const char *part)
{
	struct buf out = {0};
	const char *const args[] = {"ledger", path, option, NULL};
	int found = bed_command(bed, "load", args, &out);
	ck_assert_msg(found == status && strstr(buf_cstr(&out), part), "exit %d: %.4000s", found,
		      buf_cstr(&out));
	buf_free(&out);
}

/* What is durable of all files: events of the books. */
static int64_t loaded(struct bed *bed)
{
	return bed_int(bed,
		       "SELECT coalesce(sum(rows), 0)::bigint FROM memingest.batches WHERE "
		       "pipeline = '%s' AND topic LIKE 'file:%%'",
		       bed->name);
}

/* Every account's sum, times as often as the file was loaded; and the books tile. */
static void check_sums(struct bed *bed, int times, int64_t records)
{
	for (int i = 0; i < ACCOUNTS; i++) {
		int64_t found = bed_int(
			bed,
			"SELECT coalesce(sum(total), 0)::bigint FROM ledger WHERE account = 'a%d'",
			i);
		ck_assert_msg(found == times * sums[i], "account a%d: %lld, expected %lld", i,
			      (long long)found, (long long)(times * sums[i]));
	}
	ck_assert_int_eq(loaded(bed), records);
	ck_assert_int_eq(
		bed_int(bed,
			"SELECT count(*) FROM (SELECT from_offset, lag(to_offset, 1, 0::bigint) "
			"OVER (PARTITION BY topic, partition ORDER BY from_offset) AS before FROM "
			"memingest.batches WHERE topic LIKE 'file:%%') AS b WHERE from_offset <> "
			"before"),
		0);
}

/*
 * Proves: a load that is killed with SIGKILL again and again, or told to stop, goes on where it
 * was: nothing is added twice and nothing is left out.
 */
START_TEST(killed_and_goes_on)
{
	struct bed *bed = ledger_bed("loadkill", 1);
	char path[192];
	int kills = 0, ended = -1;
	path_of(bed, "events.jsonl", path, sizeof(path));
	write_file(path, 0, 60000);
	for (int i = 0; i < 7; i++) {
		int pid = start_load(bed, path, NULL);
		int64_t goal = loaded(bed) + 4000 + 531 * i;
		int64_t deadline_us = clock_mono_us() + 20 * US_PER_S;
		while (loaded(bed) < goal && clock_mono_us() < deadline_us)
			bed_tick(bed, clock_mono_us() + 2000);
		kill(pid, i % 3 == 2 ? SIGTERM : SIGKILL);
		ended = wait_exit(pid);
		kills += ended == 128 + SIGKILL;
		ck_assert_msg(ended == 128 + SIGKILL || ended == 75 || ended == 0, "exit %d",
			      ended);
	}
	ck_assert_int_ge(kills, 3);
	expect_load(bed, 0, path, NULL, "");
	check_sums(bed, 1, 60000);
	expect_load(bed, 0, path, NULL, "60000 were loaded before");
	check_sums(bed, 1, 60000);
	bed_free(bed);
}
END_TEST

/* Proves: JSON lines, CSV and both packed say the same; several files are loaded in one go. A
 * folder is refused. */
START_TEST(formats)
{
	struct bed *bed = ledger_bed("loadkinds", 1);
	char json[192], csv[192], command[1200];
	struct buf out = {0};
	path_of(bed, "a.jsonl", json, sizeof(json));
	path_of(bed, "b.csv", csv, sizeof(csv));
	write_file(json, 0, 3000);
	snprintf(command, sizeof(command),
		 "python3 -c 'import json,sys\nprint(\"event_time,account,total,last\")\n"
		 "for l in sys.stdin:\n d=json.loads(l)\n print(\",\".join(str(d[k]) for k in "
		 "(\"event_time\",\"account\",\"total\",\"last\")))' <%s >%s && gzip -k %s",
		 json, csv, csv);
	ck_assert_int_eq(system(command), 0); /* NOLINT(cert-env33-c): a fixed text */
	snprintf(command, sizeof(command), "%s.gz", csv);
	const char *const args[] = {"ledger", json, csv, command, "--json", NULL};
	ck_assert_int_eq(bed_command(bed, "load", args, &out), 0);
	ck_assert_ptr_nonnull(strstr(buf_cstr(&out), "\"records\":9000"));
	ck_assert_ptr_nonnull(strstr(buf_cstr(&out), "\"complete\":true"));
	check_sums(bed, 3, 9000);
	expect_load(bed, 78, bed->dir, NULL, "it is a directory");
	buf_free(&out);
	bed_free(bed);
}
END_TEST

/*
 * Proves: a line that is no record and one that the table refuses are dead letters, with their
 * bytes and their line; the others land, also those of a batch that has to be judged.
 */
START_TEST(dead_letters)
{
	struct bed *bed = ledger_bed("loaddead", 1);
	char path[192];
	path_of(bed, "events.jsonl", path, sizeof(path));
	FILE *out = fopen(path, "w");
	write_lines(out, 0, 500);
	fputs("{\"event_time\": 1, \"account\": \"bad\n", out);
	fputs("{\"event_time\": 1, \"account\": \"refused\", \"total\": 5}\n", out);
	write_lines(out, 500, 500);
	ck_assert_int_eq(fclose(out), 0);
	bed_sql(bed, "ALTER TABLE ledger ADD CHECK (account <> 'refused')");
	expect_load(bed, 65, path, "--dry-run", "events.jsonl:501: not JSON");
	ck_assert_int_eq(loaded(bed), 0);
	expect_load(bed, 65, path, NULL, "2 records are dead letters");
	check_sums(bed, 1, 1002);
	ck_assert_int_eq(
		bed_int(bed,
			"SELECT count(*) FROM memingest.dead_letters WHERE \"offset\" IN (500, "
			"501) AND headers->>'line' = (\"offset\" + 1)::text AND "
			"headers->>'file' LIKE '%%events.jsonl' AND convert_from(value, 'UTF8') "
			"LIKE '{\"event_time\": 1%%'"),
		2);
	bed_free(bed);
}
END_TEST

static void put_text(struct buf *b, const char *text)
{
	encode_bytes(b, text, strlen(text));
}

/* A container of 20 ledger events of account "a0" that add 1, and of 10 records of another type. */
static void write_union(const char *path)
{
	static const char sync[] = "0123456789abcdef";
	struct buf b = {0}, block = {0};
	buf_put(&b, "Obj\1", 4);
	encode_long(&b, 1);
	put_text(&b, "avro.schema");
	put_text(&b, "[{\"type\":\"record\",\"name\":\"tests.ledger.Audit\",\"fields\":["
		     "{\"name\":\"who\",\"type\":\"string\"}]},"
		     "{\"type\":\"record\",\"name\":\"tests.ledger.LedgerEvent\",\"fields\":["
		     "{\"name\":\"event_time\",\"type\":{\"type\":\"long\",\"logicalType\":"
		     "\"timestamp-micros\"}},{\"name\":\"account\",\"type\":\"string\"},"
		     "{\"name\":\"total\",\"type\":\"long\"}]}]");
	encode_long(&b, 0);
	buf_put(&b, sync, 16);
	for (int i = 0; i < 30; i++) {
		bool other = i % 3 == 1;
		encode_long(&block, other ? 0 : 1);
		if (!other)
			encode_long(&block, 1700000000000000ll + i);
		put_text(&block, other ? "somebody" : "a0");
		if (!other)
			encode_long(&block, 1);
	}
	encode_long(&b, 30);
	encode_bytes(&b, block.data, block.len);
	buf_put(&b, sync, 16);
	FILE *out = fopen(path, "w");
	ck_assert_msg(out != NULL, "%s: %s", path, strerror(errno));
	ck_assert_uint_eq(fwrite(b.data, 1, b.len, out), b.len);
	ck_assert_int_eq(fclose(out), 0);
	buf_free(&b);
	buf_free(&block);
}

/*
 * Proves: what becomes of a container's records of another type is what other_types says, as for
 * Kafka's; and a dry run says the same.
 */
START_TEST(another_type)
{
	static const struct {
		int status;
		const char *dry, *load;
	} expected[] = {
		[OTHER_DEAD_LETTER] = {65, "10 would be dead letters",
				       "10 records are dead letters"},
		[OTHER_SKIP] = {0, "10 would be skipped", "10 skipped, 0 dead letters"},
		[OTHER_HALT] = {78, "the load would halt here", "other_types is halt"},
	};
	enum other_types other_types = (enum other_types)_i;
	struct bed *bed = ledger_bed("loadother", 1);
	char path[192];
	bed->streams[0].other_types = other_types;
	bed_set(bed, "dlq.max_ratio", "1");
	path_of(bed, "events.avro", path, sizeof(path));
	write_union(path);
	expect_load(bed, expected[_i].status, path, "--dry-run", expected[_i].dry);
	expect_load(bed, expected[_i].status, path, NULL, expected[_i].load);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memingest.dead_letters"),
			 other_types == OTHER_DEAD_LETTER ? 10 : 0);
	ck_assert_int_eq(bed_int(bed, "SELECT coalesce(sum(total), 0)::bigint FROM ledger"),
			 other_types == OTHER_HALT ? 1 : 20);
	bed_free(bed);
}
END_TEST

/*
 * Proves: a file whose bytes have changed since is not gone on with, and says how to; --restart
 * loads all of it.
 */
START_TEST(changed_file)
{
	struct bed *bed = ledger_bed("loadchange", 1);
	char path[192];
	path_of(bed, "events.jsonl", path, sizeof(path));
	write_file(path, 0, 2000);
	expect_load(bed, 0, path, NULL, "loaded 2000 records");
	FILE *out = fopen(path, "a");
	write_lines(out, 2000, 1);
	ck_assert_int_eq(fclose(out), 0);
	expect_load(bed, 78, path, NULL, "--restart");
	ck_assert_int_eq(loaded(bed), 2000);
	bed_sql(bed, "DELETE FROM ledger");
	expect_load(bed, 78, path, "--restart", "dead_letters");
	bed_sql(bed, "GRANT SELECT, DELETE ON memingest.dead_letters TO memingest");
	expect_load(bed, 0, path, "--restart", "loaded 2001 records");
	check_sums(bed, 1, 2001);
	bed_free(bed);
}
END_TEST

/* Proves: of two loads of one file the second takes over, the first ends with words, all counts
 * once. */
START_TEST(fenced)
{
	struct bed *bed = ledger_bed("loadfence", 1);
	char path[192], log[192];
	path_of(bed, "events.jsonl", path, sizeof(path));
	path_of(bed, "load.log", log, sizeof(log));
	write_file(path, 0, 40000);
	int first = start_load(bed, path, NULL);
	BED_WAIT(bed, 20, loaded(bed) >= 1000);
	kill(first, SIGSTOP);
	expect_load(bed, 0, path, NULL, "loaded ");
	kill(first, SIGCONT);
	ck_assert_int_eq(wait_exit(first), 78);
	char *text = bed_read_file(log);
	ck_assert_msg(strstr(text, "another load has taken over") != NULL, "%.4000s", text);
	free(text);
	check_sums(bed, 1, 40000);
	bed_free(bed);
}
END_TEST

/* Proves: what comes by a pipe is written while the pipe is still open, and SIGTERM is heard then.
 */
START_TEST(pipe_that_waits)
{
	struct bed *bed = ledger_bed("loadpipe", 1);
	char path[192];
	path_of(bed, "events.fifo", path, sizeof(path));
	char command[256];
	snprintf(command, sizeof(command), "mkfifo %s", path);
	ck_assert_int_eq(system(command), 0);      /* NOLINT(cert-env33-c): a fixed text */
	int keep = open(path, O_RDWR | O_CLOEXEC); /* so that opening it does not wait */
	int pid = start_load(bed, path, NULL);
	FILE *out = fopen(path, "w");
	write_lines(out, 0, 700);
	fflush(out);
	BED_WAIT(bed, 20, loaded(bed) == 700);
	write_lines(out, 700, 1);
	fflush(out);
	BED_WAIT(bed, 20, loaded(bed) == 701);
	kill(pid, SIGTERM);
	ck_assert_int_eq(wait_exit(pid), 75);
	fclose(out);
	close(keep);
	check_sums(bed, 1, 701);
	bed_free(bed);
}
END_TEST

/*
 * Proves: --from-now makes the worker begin behind what was in the topic when the load began, and
 * is refused once the topic is consumed.
 */
START_TEST(from_now)
{
	struct bed *bed = ledger_bed("loadnow", 2);
	if (_i)
		lite_begin(bed, NULL);
	char path[192];
	path_of(bed, "events.jsonl", path, sizeof(path));
	write_file(path, 0, 1000);
	for (int i = 0; i < 20; i++)
		ledger_send(bed, i % 2, "a0", 1600000000000000ll, 1000000);
	bed_flush(bed);
	expect_load(bed, 0, path, "--from-now", "loaded 1000 records");
	struct worker *w = worker_start(bed, NULL);
	ledger_send(bed, 0, "a1", 1800000000000000ll, 5);
	sums[1] += 5;
	bed_drain(bed, 30);
	worker_stop(w);
	if (_i)
		lite_copy(bed);
	check_sums(bed, 1, 1000);
	expect_load(bed, 78, path, "--from-now", "is consumed already");
	bed_free(bed);
}
END_TEST

static void load_tests(TCase *tc)
{
	tcase_add_test(tc, killed_and_goes_on);
	tcase_add_test(tc, formats);
	tcase_add_test(tc, dead_letters);
	tcase_add_loop_test(tc, another_type, 0, OTHER_HALT + 1);
	tcase_add_test(tc, changed_file);
	tcase_add_test(tc, fenced);
	tcase_add_test(tc, pipe_that_waits);
	tcase_add_loop_test(tc, from_now, 0, 2); /* into PostgreSQL, into a file */
}
SYSTEM_SUITE("load", 120, load_tests)

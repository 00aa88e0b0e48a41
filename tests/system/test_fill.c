/*
 * test_fill.c - "memingest embed": rows that have a text and no vector get the vector of their very
 * text, whatever happens meanwhile, and each text is paid for once.
 *
 * The server is a stand-in whose vector of a text is a hash of it (vectors.h), so a row with
 * another text's vector shows. Not here: what servers do wrong (test_embed.c).
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include "base/clock.h"
#include "lite.h"
#include "stack.h"
#include "system.h"
#include "vectors.h"

/* Requests under way at most, and the texts of one. */
enum { UNDER_WAY = 4 * 16 };

/* As if they had been there before "embed" came into the schema. */
static void put_rows(struct bed *bed, int from, int to)
{
	bed_sql(bed,
		"INSERT INTO told (event_time, id, note, updated_at) SELECT"
		" '2025-06-15T15:06:40Z', 'id-' || i, 'note \"' || i || E'\" of old\\n',"
		" '2025-06-15' FROM generate_series(%d, %d) i",
		from, to - 1);
}

static int64_t without(struct bed *bed)
{
	return bed_int(bed, "SELECT count(*) FROM told WHERE spot IS NULL AND note <> ''");
}

static int start_embed(struct bed *bed, char log[200])
{
	const char *const argv[] = {stack.program, "embed", "told", "-c", bed->config, NULL};
	bed_write_config(bed);
	snprintf(log, 200, "%s/embed.log", bed->dir);
	return spawn(argv, NULL, log);
}

static void expect_log(const char *log, const char *part)
{
	char *text = bed_read_file(log);
	ck_assert_msg(strstr(text, part) != NULL, "no \"%s\" in: %.4000s", part, text);
	free(text);
}

/* What is held stays so for that time. */
static void hold_on(struct bed *bed, int seconds)
{
	int64_t until_us = clock_mono_us() + seconds * US_PER_S;
	while (bed_tick(bed, until_us))
		continue;
}

/* Queues events of the stream "shelf", whose keys have several columns and types. */
static void send_shelves(struct bed *bed, int n)
{
	for (int i = 0; i < n; i++) {
		json_t *e = json_pack("{s:I, s:i, s:s, s:I, s:o}", "event_time",
				      (json_int_t)1750000000000000, "part", i / 7, "label", "w",
				      "made", (json_int_t)1750000000000001 + i, "words",
				      json_sprintf("\"%d\\ \u00e4\n\t{}'", i));
		bed_event(bed, "shelf", 0, e);
		json_decref(e);
	}
}

/*
 * Proves: rows with a text and no vector get the vector of that text, over several windows, each
 * text for one call; those with a vector of their own, or without a text, are left as they are;
 * --dry-run counts and asks nothing; a second run has nothing to do.
 */
START_TEST(fills)
{
	struct vectors *v;
	struct bed *bed = vectors_migrated("fills", &v);
	put_rows(bed, 0, 1300);
	bed_sql(bed, "INSERT INTO told (event_time, id, note, spot, updated_at) VALUES"
		     " (now(), 'mine', 'any', '[1,2,3,4,5,6,7,8]', '2025-06-15'),"
		     " (now(), 'empty', '', NULL, '2025-06-15'),"
		     " (now(), 'none', NULL, NULL, '2025-06-15'),"
		     " (now(), 'again', E'note \"7\" of old\\n', NULL, '2025-06-15')");
	bed_expect(bed, 0, "embed told --dry-run", "told: 1301 rows have a text and no vector: ");
	bed_expect(bed, 0, "embed told --dry-run --json", "\"wanted\":1301,");
	ck_assert_int_eq(v->inputs + v->canaries, 0);
	bed_expect(bed, 0, "embed told", "told: 1301 of 1301 rows got their vector in ");
	ck_assert_int_eq(vectors_wrong(bed), 1);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM told WHERE id = 'mine' AND spot ="
				      " '[1,2,3,4,5,6,7,8]'"),
			 1);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM told WHERE updated_at = '2025-06-15'"),
			 3);
	ck_assert_int_eq(v->inputs, 1300);
	ck_assert_int_le(v->most_seen, 16);
	bed_expect(bed, 0, "embed told --json",
		   "\"complete\":true,\"wanted\":0,\"filled\":0,\"refused\":0,\"held\":0,");
	ck_assert_int_eq(v->inputs, 1300);
	/* what a worker has paid for is in the cache */
	bed_sql(bed, "UPDATE told SET spot = NULL WHERE id <> 'mine'");
	bed_expect(bed, 0, "embed told", " 0 texts asked for, 0 tokens, 1301 without a call");
	ck_assert_int_eq(v->inputs, 1300);
	ck_assert_int_eq(vectors_wrong(bed), 1);
	vectors_over(bed, v, NULL);
}
END_TEST

/*
 * Proves: keys of several columns, types and odd names, in a table of another schema whose key an
 * operator has made wider; halfvec, made of length 1: the row has what a worker makes of the same
 * text.
 */
START_TEST(as_the_worker)
{
	struct bed *bed = vectors_bed("fillkinds");
	struct vectors *v = vectors_start(bed);
	bed_stream_files(bed, "shelf", 1, "tests/schemas/shelf_event.avsc", NULL);
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	bed_sql(bed, "ALTER TABLE shop.\"Shelf\" ALTER part TYPE bigint");
	struct worker *w = worker_start(bed, NULL);
	send_shelves(bed, 300);
	bed_drain(bed, 30);
	worker_stop(w);
	bed_sql(bed, "INSERT INTO shop.\"Shelf\" (event_time, made, part, \"Its \"\"label\"\"\","
		     " words) SELECT event_time, made, CASE WHEN part = 3 THEN 1::bigint << 40 ELSE"
		     " part END, E'it''s {\\\\\"' || words, words FROM shop.\"Shelf\"");
	bed_expect(bed, 0, "embed shelf", "300 of 300 rows");
	ck_assert_int_eq(v->inputs, 300);
	ck_assert_int_eq(bed_int(bed,
				 "SELECT count(*) FROM shop.\"Shelf\" a JOIN shop.\"Shelf\" b"
				 " USING (made, words) WHERE a.ctid <> b.ctid AND a.\"order\" ="
				 " b.\"order\""),
			 600);
	vectors_over(bed, v, NULL);
}
END_TEST

/*
 * Proves: a database that ends its sessions while the model is asked costs nothing: it logs in
 * again and goes on.
 */
START_TEST(cut_off)
{
	struct vectors *v;
	struct bed *bed = vectors_migrated("fillcut", &v);
	char log[200];
	put_rows(bed, 0, 1000);
	v->delay_ms = 50;
	int pid = start_embed(bed, log);
	BED_WAIT(bed, 30, v->inputs > 600);
	bed_sql(bed, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE"
		     " application_name = 'memingest/embed' AND datname = current_database()");
	ck_assert_int_eq(wait_exit(pid), 0);
	expect_log(log, "1000 of 1000 rows");
	ck_assert_int_eq(v->inputs, 1000);
	ck_assert_int_eq(vectors_wrong(bed), 0);
	vectors_over(bed, v, NULL);
}
END_TEST

/*
 * Proves: while the model thinks, workers and others write the same rows, and what they write
 * stays: an event's text with its vector, a text without one, a vector, a row that is gone.
 */
START_TEST(others_win)
{
	struct vectors *v;
	struct bed *bed = vectors_migrated("others", &v);
	char log[200];
	struct worker *w = worker_start(bed, NULL);
	worker_ready(w);
	put_rows(bed, 0, 500);
	v->delay_ms = 300;
	int pid = start_embed(bed, log);
	BED_WAIT(bed, 20, v->requests > 0);
	bed_sql(bed, "UPDATE told SET note = 'by hand' WHERE id IN ('id-30', 'id-31')");
	bed_sql(bed, "UPDATE told SET spot = '[1,2,3,4,5,6,7,8]' WHERE id = 'id-32'");
	bed_sql(bed, "DELETE FROM told WHERE id = 'id-40'");
	for (int i = 0; i < 20; i++)
		vectors_tell(bed, i, 1, "of an event");
	bed_flush(bed);
	BED_WAIT(bed, 20,
		 bed_int(bed, "SELECT count(*) FROM told WHERE note = 'of an event'") == 20);
	ck_assert_int_gt(without(bed), 400); /* the window is not written yet */
	ck_assert_int_eq(wait_exit(pid), 0);
	expect_log(log, "24 written by somebody else meanwhile");
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM told WHERE note = 'of an event'"), 20);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM told"), 499);
	ck_assert_int_eq(without(bed), 2);
	v->delay_ms = 0;
	bed_expect(bed, 0, "embed told", "2 of 2 rows");
	ck_assert_int_eq(vectors_wrong(bed), 1);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM told WHERE id = 'id-32' AND spot ="
				      " '[1,2,3,4,5,6,7,8]'"),
			 1);
	worker_stop(w);
	vectors_over(bed, v, NULL);
}
END_TEST

/* Proves: killed again and again, it pays twice at most for what was under way. */
START_TEST(killed)
{
	struct vectors *v;
	struct bed *bed = vectors_migrated("fillkill", &v);
	char log[200];
	int kills = 4;
	put_rows(bed, 0, 1500);
	v->delay_ms = 30;
	for (int i = 0; i < kills; i++) {
		int seen = v->inputs, pid = start_embed(bed, log);
		BED_WAIT(bed, 30, v->inputs > seen + 150 + 100 * i);
		kill(pid, SIGKILL);
		ck_assert_int_eq(wait_exit(pid), 128 + SIGKILL);
		ck_assert_int_eq(vectors_wrong(bed), without(bed));
	}
	bed_expect(bed, 0, "embed told", "rows got their vector");
	ck_assert_int_eq(vectors_wrong(bed), 0);
	ck_assert_int_ge(v->inputs, 1500);
	ck_assert_int_le(v->inputs, 1500 + kills * UNDER_WAY);
	vectors_over(bed, v, NULL);
}
END_TEST

/*
 * Proves: told to stop it ends soon, with what is paid for in the table and nothing paid twice; the
 * same command goes on.
 */
START_TEST(stopped)
{
	struct vectors *v;
	struct bed *bed = vectors_migrated("fillstop", &v);
	char log[200];
	put_rows(bed, 0, 1000);
	v->delay_ms = 100;
	int pid = start_embed(bed, log);
	BED_WAIT(bed, 30, v->inputs > 100);
	kill(pid, SIGTERM);
	ck_assert_int_eq(wait_exit(pid), 75);
	expect_log(log, "stopped by a signal");
	expect_log(log, "the same command goes on where it was");
	ck_assert_int_lt(v->inputs, 400);
	ck_assert_int_eq(without(bed), 1000 - v->inputs);
	v->delay_ms = 0;
	bed_expect(bed, 0, "embed told", "rows got their vector");
	ck_assert_int_eq(v->inputs, 1000);
	ck_assert_int_eq(vectors_wrong(bed), 0);
	vectors_over(bed, v, NULL);
}
END_TEST

/* Proves: it asks for no more than the budget, and what is paid for is in the table. */
START_TEST(budget)
{
	struct vectors *v;
	struct bed *bed = vectors_migrated("budget", &v);
	put_rows(bed, 0, 1000);
	bed_expect(bed, 75, "embed told --max-tokens 300", "the budget is spent: ");
	ck_assert_int_ge(v->inputs, 95); /* of 3 tokens each */
	ck_assert_int_le(v->inputs, 100);
	ck_assert_int_eq(without(bed), 1000 - v->inputs);
	bed_expect(bed, 75, "embed told --max-tokens 1800", "the budget is spent: ");
	ck_assert_int_ge(v->inputs, 690);
	ck_assert_int_le(v->inputs, 700);
	bed_expect(bed, 0, "embed told --max-tokens 100000", "rows got their vector");
	ck_assert_int_eq(v->inputs, 1000);
	ck_assert_int_eq(vectors_wrong(bed), 0);
	vectors_over(bed, v, NULL);
}
END_TEST

/*
 * Proves: a text that the model refuses is named with its key and the server's words, its row stays
 * as it is, the others get their vectors, and the end says how many; as on_poison says that is a
 * failure, none, or the end.
 */
START_TEST(refused)
{
	struct vectors *v;
	struct bed *bed = vectors_migrated("fillpoison", &v);
	put_rows(bed, 0, 600);
	bed_sql(bed,
		"INSERT INTO told (event_time, id, note) SELECT now(), 'bad-' || i || E'\\x1b',"
		" i || ' is poison' FROM generate_series(1, 3) i");
	v->poison = "is poison";
	bed_expect(bed, 65, "embed told",
		   "told: row bad-2?: its text is refused: embed.stub: status 400: a text is too "
		   "long for this model");
	ck_assert_int_eq(without(bed), 3);
	ck_assert_int_eq(vectors_wrong(bed), 3);
	bed_expect(bed, 65, "embed told", "the model refuses the texts of 3 rows");
	bed_set(bed, "embed.stub.on_poison", "null");
	bed_expect(bed, 0, "embed told", "; 3 refused\n");
	bed_set(bed, "embed.stub.on_poison", "halt");
	bed_expect(bed, 78, "embed told", "(embed.stub.on_poison = halt)");
	v->poison = NULL;
	bed_expect(bed, 0, "embed told", "3 of 3 rows");
	ck_assert_int_eq(vectors_wrong(bed), 0);
	vectors_over(bed, v, NULL);
}
END_TEST

/*
 * Proves: a row that somebody holds for long is passed over, the others get their vectors, and it
 * is said; a table that somebody holds ends it. Neither waits for ever, and nothing is paid twice.
 */
START_TEST(held)
{
	struct vectors *v;
	struct bed *bed = vectors_migrated("fillheld", &v);
	bed_set(bed, "postgres.lock_timeout", "500ms");
	put_rows(bed, 0, 600);
	bed_sql(bed, "BEGIN");
	bed_sql(bed, "UPDATE told SET tenant = 'x' WHERE id IN ('id-7', 'id-8')");
	bed_expect(bed, 75, "embed told", "2 rows were held by somebody else");
	bed_sql(bed, "COMMIT");
	ck_assert_int_eq(without(bed), 2);
	bed_sql(bed, "BEGIN");
	bed_sql(bed, "LOCK TABLE told");
	bed_expect(bed, 75, "embed told", "lock timeout");
	bed_sql(bed, "COMMIT");
	bed_expect(bed, 0, "embed told", "2 of 2 rows");
	ck_assert_int_eq(v->inputs, 600);
	ck_assert_int_eq(vectors_wrong(bed), 0);
	vectors_over(bed, v, NULL);
}
END_TEST

/* Proves: a row that is held for less than lock_timeout is waited for. */
START_TEST(held_shortly)
{
	struct vectors *v;
	struct bed *bed = vectors_migrated("fillshort", &v);
	char log[200];
	bed_set(bed, "postgres.lock_timeout", "20s");
	put_rows(bed, 0, 100);
	bed_sql(bed, "BEGIN");
	bed_sql(bed, "UPDATE told SET tenant = 'x' WHERE id IN ('id-7', 'id-8')");
	bed_sql(bed, "UPDATE told SET note = 'other' WHERE id = 'id-9'");
	int pid = start_embed(bed, log);
	BED_WAIT(bed, 20, v->inputs == 100);
	hold_on(bed, 1);
	bed_sql(bed, "COMMIT");
	ck_assert_int_eq(wait_exit(pid), 0);
	expect_log(log, "99 of 100 rows");
	expect_log(log, "1 written by somebody else meanwhile");
	ck_assert_int_eq(without(bed), 1);
	ck_assert_int_eq(vectors_wrong(bed), 1);
	vectors_over(bed, v, NULL);
}
END_TEST

/* Rows that a search for their own vector does not bring. */
static int64_t not_found(struct bed *bed)
{
	return bed_int(bed, "SELECT count(*) FROM asked t WHERE note <> '' AND NOT EXISTS (SELECT"
			    " FROM memingest.search_asked(vector_of('tell: ' || t.note, 8), 1) s"
			    " WHERE s.id = t.id AND s.distance < 1e-6)");
}

/*
 * Proves: rows that get their vector are found by searches at once, also where all that was there
 * before is in segments, and once they are in segments themselves. The prefix stands in front.
 */
START_TEST(searched)
{
	struct bed *bed = vectors_bed("fillsearch");
	struct vectors *v = vectors_start(bed);
	bed_stream_files(bed, "asked", 1, "tests/schemas/asked_event.avsc", NULL);
	bed_expect(bed, 0, "migrate", "created the search functions of asked");
	bed_sql(bed, "INSERT INTO asked (event_time, id, note, spot) SELECT now(), 'id-' || i,"
		     " 'note ' || i, CASE WHEN i %% 2 = 0 THEN vector_of('tell: note ' || i, 8) END"
		     " FROM generate_series(1, 400) i");
	ck_assert_int_eq(bed_command(bed, "index", (const char *[]){"build", NULL}, NULL), 0);
	ck_assert_int_eq(not_found(bed), 200);
	bed_expect(bed, 0, "embed asked", "200 of 200 rows");
	ck_assert_int_eq(not_found(bed), 0);
	ck_assert_int_eq(bed_command(bed, "index", (const char *[]){"build", NULL}, NULL), 0);
	ck_assert_int_eq(bed_int(bed, "SELECT unindexed_rows FROM memingest.scope_asked()"), 0);
	ck_assert_int_eq(not_found(bed), 0);
	vectors_over(bed, v, NULL);
}
END_TEST

/*
 * Proves: what is an operator's matter ends it with words, before anything is asked or written; two
 * at a time are not at work on one table; a server that is busy for a while is waited for.
 */
START_TEST(mistakes)
{
	struct vectors *v;
	struct bed *bed = vectors_bed("fillwrong");
	char log[200];
	bed_stream_files(bed, "near", 1, "tests/schemas/near_event.avsc", NULL);
	v = vectors_start(bed);
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	bed_expect(bed, 64, "embed", "of which stream?");
	bed_expect(bed, 64, "embed tell", "told");
	bed_expect(bed, 64, "embed told --max-tokens 0", "a number above 0");
	bed_expect(bed, 78, "embed near", "no field of stream near has \"embed\"");
	put_rows(bed, 0, 200);
	snprintf(v->key, sizeof(v->key), "x");
	bed_expect(bed, 78, "embed told", "status 401: wrong key; set key_file");
	v->key[0] = '\0';
	v->status = 429;
	v->failing = 3;
	v->resets = 2;
	v->delay_ms = 100;
	int pid = start_embed(bed, log);
	BED_WAIT(bed, 20, v->requests > 0);
	bed_expect(bed, 75, "embed told", "another \"memingest embed\" is at work on table told");
	ck_assert_int_eq(wait_exit(pid), 0);
	ck_assert_int_eq(vectors_wrong(bed), 0);
	bed_sql(bed, "UPDATE told SET spot = NULL");
	bed_sql(bed, "DELETE FROM memingest.embed_cache");
	v->salt = 1;
	bed_expect(bed, 78, "embed told", "the model is not the one that made the vectors");
	ck_assert_int_eq(without(bed), 200);
	vectors_over(bed, v, NULL);
}
END_TEST

/* --- a SQLite file --- */

/* n rows as put_rows() makes them, in a file. */
static struct bed *file_with_rows(const char *name, struct vectors **v, int n)
{
	struct bed *bed = vectors_migrated(name, v);
	lite_begin(bed, NULL);
	lite_sql(bed->sqlite,
		 "WITH RECURSIVE i(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM i WHERE i < %d)"
		 " INSERT INTO told (event_time, id, note, updated_at) SELECT 1750000000000000,"
		 " 'id-' || i, 'note \"' || i || '\" of old' || char(10), 0 FROM i",
		 n - 1);
	return bed;
}

/* The file's rows as vectors_wrong() and without() see them. */
static int64_t file_wrong(struct bed *bed)
{
	lite_copy(bed);
	return vectors_wrong(bed);
}

/*
 * Proves: the same on a file, and what somebody has written there that is no text is left alone;
 * what was paid for is remembered in the file.
 */
START_TEST(file_fills)
{
	struct vectors *v;
	struct bed *bed = file_with_rows("filefills", &v, 1300);
	lite_sql(bed->sqlite,
		 "INSERT INTO told (event_time, id, note, spot, updated_at) VALUES"
		 " (0, 'mine', 'any', zeroblob(32), 0), (0, 'empty', '', NULL, 0),"
		 " (0, 'none', NULL, NULL, 0), (0, 'bytes', x'ff', NULL, 0),"
		 " (0, 'no', CAST(x'61ff' AS TEXT), NULL, 0), (0, 'nul', char(97, 0), NULL, 0),"
		 " (0, 'again', 'note \"7\" of old' || char(10), NULL, 0)");
	bed_expect(bed, 0, "embed told --dry-run --json", "\"wanted\":1301,");
	ck_assert_int_eq(v->inputs + v->canaries, 0);
	bed_expect(bed, 75, "embed told --max-tokens 300", "the budget is spent: ");
	ck_assert_int_le(v->inputs, 100);
	bed_expect(bed, 0, "embed told", "rows got their vector in ");
	ck_assert_int_eq(v->inputs, 1300);
	ck_assert_int_eq(lite_int(bed->sqlite, "SELECT count(*) FROM told WHERE updated_at = 0"),
			 6);
	lite_sql(bed->sqlite, "DELETE FROM told WHERE id IN ('bytes', 'no', 'nul')");
	ck_assert_int_eq(file_wrong(bed), 1);
	lite_sql(bed->sqlite, "UPDATE told SET spot = NULL WHERE id <> 'mine'");
	bed_expect(bed, 0, "embed told", " 0 texts asked for, 0 tokens, 1301 without a call");
	ck_assert_int_eq(v->inputs, 1300);
	ck_assert_int_eq(file_wrong(bed), 1);
	lite_sql(bed->sqlite, "UPDATE told SET spot = NULL WHERE id = 'id-5'");
	v->poison = "\"5\"";
	lite_sql(bed->sqlite, "DELETE FROM memingest_embed_cache");
	bed_expect(bed, 65, "embed told", "told: row id-5: its text is refused: ");
	lite_sql(bed->sqlite, "ALTER TABLE told DROP COLUMN spot");
	bed_expect(bed, 78, "embed told", "run \"memingest migrate\"");
	vectors_over(bed, v, NULL);
}
END_TEST

/*
 * Proves: on a file, a halfvec in a row that is found by a key of several columns is, to the bit,
 * what the worker makes of the same text.
 */
START_TEST(file_as_the_worker)
{
	struct bed *bed = vectors_bed("filekinds");
	struct vectors *v = vectors_start(bed);
	bed_stream_files(bed, "shelf", 1, "tests/schemas/shelf_event.avsc", NULL);
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	lite_begin(bed, NULL);
	struct worker *w = worker_start(bed, NULL);
	send_shelves(bed, 30);
	bed_drain(bed, 30);
	worker_stop(w);
	lite_sql(bed->sqlite, "INSERT INTO Shelf (event_time, made, part, \"Its \"\"label\"\"\","
			      " words) SELECT event_time, made, part, 'mine', words FROM Shelf");
	bed_expect(bed, 0, "embed shelf", "30 of 30 rows");
	ck_assert_int_eq(v->inputs, 30);
	ck_assert_int_eq(lite_int(bed->sqlite, "SELECT count(*) FROM Shelf a JOIN Shelf b"
					       " USING (made, words) WHERE a.rowid < b.rowid AND"
					       " a.\"order\" = b.\"order\" AND"
					       " length(a.\"order\") = 32"),
			 30);
	vectors_over(bed, v, NULL);
}
END_TEST

/*
 * Proves: while the model thinks, a worker and another program write the same rows of the file, and
 * what they write stays; one "embed" at a time is at work on it.
 */
START_TEST(file_others_win)
{
	struct vectors *v;
	struct bed *bed = file_with_rows("fileothers", &v, 500);
	char log[200];
	struct worker *w = worker_start(bed, NULL);
	worker_ready(w);
	v->delay_ms = 300;
	int pid = start_embed(bed, log);
	BED_WAIT(bed, 20, v->requests > 0);
	bed_expect(bed, 75, "embed told", "another \"memingest embed\" is at work on ");
	lite_sql(bed->sqlite, "UPDATE told SET note = 'by hand' WHERE id IN ('id-30', 'id-31')");
	lite_sql(bed->sqlite, "UPDATE told SET spot = zeroblob(32) WHERE id = 'id-32'");
	lite_sql(bed->sqlite, "DELETE FROM told WHERE id = 'id-40'");
	for (int i = 0; i < 20; i++)
		vectors_tell(bed, i, 1, "of an event");
	bed_flush(bed);
	BED_WAIT(bed, 20,
		 lite_int(bed->sqlite, "SELECT count(*) FROM told WHERE note = 'of an event'") ==
			 20);
	ck_assert_int_gt(lite_int(bed->sqlite, "SELECT count(*) FROM told WHERE spot IS NULL"),
			 400); /* the window is not written yet */
	ck_assert_int_eq(wait_exit(pid), 0);
	expect_log(log, "24 written by somebody else meanwhile");
	v->delay_ms = 0;
	bed_expect(bed, 0, "embed told", "2 of 2 rows");
	worker_stop(w);
	ck_assert_int_eq(file_wrong(bed), 1);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM told WHERE note = 'of an event'"), 20);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM told"), 499);
	vectors_over(bed, v, NULL);
}
END_TEST

/*
 * Proves: a file that another program has locked when its vectors are to be written is tried again
 * for postgres.lock_timeout, beyond the five seconds that each try waits; then it ends, and says
 * so.
 */
START_TEST(file_locked)
{
	struct vectors *v;
	struct bed *bed = file_with_rows("filelocked", &v, 100);
	sqlite3 *db = NULL;
	char log[200];
	bed_set(bed, "postgres.lock_timeout", _i ? "60s" : "500ms");
	v->delay_ms = 1000;
	int pid = start_embed(bed, log);
	BED_WAIT(bed, 20, v->requests > 0);
	ck_assert_int_eq(sqlite3_open(bed->sqlite, &db), SQLITE_OK);
	sqlite3_busy_timeout(db, 500);
	ck_assert_int_eq(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	BED_WAIT(bed, 20, v->inputs == 100);
	if (_i)
		hold_on(bed, 8);
	else
		ck_assert_int_eq(wait_exit(pid), 75);
	ck_assert_int_eq(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	if (_i)
		ck_assert_int_eq(wait_exit(pid), 0);
	expect_log(log, _i ? "100 of 100 rows" : "another program holds the file's lock");
	v->delay_ms = 0;
	bed_expect(bed, 0, "embed told", _i ? "0 of 0 rows" : "100 of 100 rows");
	ck_assert_int_eq(file_wrong(bed), 0);
	vectors_over(bed, v, NULL);
}
END_TEST

/* Proves: killed again and again, it pays twice at most for what was under way; a file as well. */
START_TEST(file_killed)
{
	struct vectors *v;
	struct bed *bed = file_with_rows("filekill", &v, 1000);
	char log[200];
	int kills = 3;
	v->delay_ms = 30;
	for (int i = 0; i < kills; i++) {
		int seen = v->inputs, pid = start_embed(bed, log);
		BED_WAIT(bed, 30, v->inputs > seen + 100 + 100 * i);
		kill(pid, SIGKILL);
		ck_assert_int_eq(wait_exit(pid), 128 + SIGKILL);
	}
	bed_expect(bed, 0, "embed told", "rows got their vector");
	ck_assert_int_eq(file_wrong(bed), 0);
	ck_assert_int_ge(v->inputs, 1000);
	ck_assert_int_le(v->inputs, 1000 + kills * UNDER_WAY);
	vectors_over(bed, v, NULL);
}
END_TEST

static void fill_tests(TCase *tc)
{
	tcase_add_test(tc, fills);
	tcase_add_test(tc, as_the_worker);
	tcase_add_test(tc, cut_off);
	tcase_add_test(tc, others_win);
	tcase_add_test(tc, killed);
	tcase_add_test(tc, stopped);
	tcase_add_test(tc, budget);
	tcase_add_test(tc, refused);
	tcase_add_test(tc, held);
	tcase_add_test(tc, held_shortly);
	tcase_add_test(tc, searched);
	tcase_add_test(tc, mistakes);
	tcase_add_test(tc, file_fills);
	tcase_add_test(tc, file_as_the_worker);
	tcase_add_test(tc, file_others_win);
	tcase_add_loop_test(tc, file_locked, 0, 2);
	tcase_add_test(tc, file_killed);
}

SYSTEM_SUITE("fill", 60, fill_tests)

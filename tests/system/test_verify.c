/*
 * test_verify.c - "verify" and "why": a table that holds what its topic says is found to, also
 * while workers go on; one that does not is found out, row by row and column by column; what cannot
 * be known is said; and nothing is left behind, by whatever end. On PostgreSQL, and of a SQLite
 * file.
 */
#include <errno.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "bed.h"
#include "broker.h"
#include "ledger.h"
#include "lite.h"
#include "load.h"
#include "system.h"

/* Starts "memingest COMMAND STREAM WORDS... --json" as the owner; words may be NULL. */
static int start(struct bed *bed, const char *command, const char *stream, const char *const *words)
{
	char path[192];
	const char *argv[16] = {stack.program, command, stream, "--json", "-c", bed->owner_config};
	for (size_t i = 0; words && words[i] && i < 8; i++)
		argv[6 + i] = words[i];
	snprintf(path, sizeof(path), "%s/verify.log", bed->dir);
	bed_write_config(bed);
	(void)remove(path);
	return spawn(argv, NULL, path);
}

/* The answer of what was started (the caller releases it); events come in meanwhile, if any do. */
static json_t *answer_of(struct bed *bed, struct pace *pace, int pid, int expected)
{
	char path[192];
	int status = 0, waited;
	while ((waited = waitpid(pid, &status, WNOHANG)) == 0) {
		if (pace)
			pace_turn(pace);
		bed_tick(bed, clock_mono_us() + 10000);
	}
	snprintf(path, sizeof(path), "%s/verify.log", bed->dir);
	char *text = bed_read_file(path);
	ck_assert_int_eq(waited, pid);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == expected, "exit %d: %.4000s",
		      WEXITSTATUS(status), text);
	const char *json = strchr(text, '{');
	json_t *answer = json ? json_loads(json, JSON_DISABLE_EOF_CHECK, NULL) : NULL;
	ck_assert_msg(answer != NULL, "%.4000s", text);
	free(text);
	return answer;
}

static json_t *verify_live(struct bed *bed, struct pace *pace, const char *stream, int expected)
{
	return answer_of(bed, pace, start(bed, "verify", stream, NULL), expected);
}

static json_t *verify_with(struct bed *bed, const char *option, const char *value, int expected)
{
	const char *const words[] = {option, value, NULL};
	return answer_of(bed, NULL, start(bed, "verify", bed->streams[0].name, words), expected);
}

static int64_t number(json_t *answer, const char *name)
{
	return json_integer_value(json_object_get(answer, name));
}

/* One statement in the words of the bed's database. */
static void change(struct bed *bed, const char *pg, const char *file)
{
	if (bed->sqlite[0])
		lite_sql(bed->sqlite, "%s", file);
	else
		bed_sql(bed, "%s", pg);
}

/* From here on the bed's database is a file, if it is to be. */
static void begin(struct bed *bed, int file)
{
	if (file)
		lite_begin(bed, NULL);
}

static void change_both(struct bed *bed, const char *sql)
{
	change(bed, sql, sql);
}

/* The first column of its row; the words are of both. */
static int64_t ask(struct bed *bed, const char *sql)
{
	return bed->sqlite[0] ? lite_int(bed->sqlite, "%s", sql) : bed_int(bed, "%s", sql);
}

static int64_t letters(struct bed *bed)
{
	return ask(bed, bed->sqlite[0] ? "SELECT count(*) FROM memingest_dead_letters"
				       : "SELECT count(*) FROM memingest.dead_letters");
}

/* Files that checks have made beside the file. */
static size_t files_left(struct bed *bed, const char *name, int64_t *bytes)
{
	char pattern[256];
	struct stat st;
	glob_t found;
	snprintf(pattern, sizeof(pattern), "%s-verify-*%s", bed->sqlite, name);
	size_t n = glob(pattern, 0, NULL, &found) == 0 ? found.gl_pathc : 0;
	for (size_t i = 0; bytes && i < n; i++)
		*bytes = stat(found.gl_pathv[i], &st) == 0 ? (int64_t)st.st_size : 0;
	globfree(&found);
	return n;
}

/* Nothing of any check is in the database, or beside the file. */
static void expect_nothing_left(struct bed *bed)
{
	if (bed->sqlite[0]) {
		ck_assert_uint_eq(files_left(bed, "", NULL), 0);
		return;
	}
	ck_assert_int_eq(
		bed_int(bed, "SELECT count(*) FROM pg_class WHERE relname LIKE 'verify%%'"), 0);
	static const char *const books[] = {"offsets", "batches", "dead_letters"};
	for (size_t i = 0; i < ARRAY_LEN(books); i++)
		ck_assert_int_eq(bed_int(bed,
					 "SELECT count(*) FROM memingest.%s WHERE pipeline LIKE "
					 "'%%/verify/%%'",
					 books[i]),
				 0);
}

/*
 * Proves: while two workers (of a file: one) write updates, deletes, late events and poison of
 * every merge rule, a check finds no difference, again and again, and has compared something.
 */
START_TEST(clean_under_load)
{
	struct bed *bed = ledger_bed("verifylive", 3);
	begin(bed, _i);
	struct worker *one = worker_start(bed, NULL), *two = _i ? NULL : worker_start(bed, NULL);
	struct pace *pace = pace_open(bed, "ledger", 2000);
	pace_progress(pace, 3000);
	for (int i = 0; i < 3; i++) {
		json_t *answer = verify_live(bed, pace, "ledger", 0);
		ck_assert_int_gt(number(answer, "rows"), 100);
		ck_assert_int_eq(number(answer, "rows"), number(answer, "by_topic"));
		ck_assert_int_eq(number(answer, "differ") + number(answer, "missing") +
					 number(answer, "extra"),
				 0);
		ck_assert_uint_eq(json_array_size(json_object_get(answer, "cannot_know")), 0);
		json_decref(answer);
		expect_nothing_left(bed);
	}
	pace_close(pace);
	worker_stop(one);
	if (two)
		worker_stop(two);
	ck_assert_int_gt(letters(bed), 0);
	bed_free(bed);
}
END_TEST

/* An event of the stream "memory", whose vector is all n, at the end of partition 0. */
static int64_t remember(struct bed *bed, const char *key, const char *value, int n)
{
	int64_t low, high;
	json_t *vector = json_array();
	for (int i = 0; i < 384; i++)
		json_array_append_new(vector, json_real(n));
	json_t *event = json_pack("{s:I, s:s, s:s, s:s, s:o, s:s, s:[s, s]}", "event_time",
				  (json_int_t)1800000000000000ll + n, "namespace", "planted", "key",
				  key, "value", value, "embedding", vector, "metadata",
				  "{\"b\": 1, \"a\": [2]}", "tags", "x", "y");
	bed_event(bed, "memory", 0, event);
	bed_flush(bed);
	json_decref(event);
	broker_watermarks(bed->streams[0].topic, 0, &low, &high);
	return high - 1;
}

/* Whether the answer says that it cannot know this. */
static bool cannot_know(json_t *answer, const char *code)
{
	size_t i;
	json_t *note;
	json_array_foreach (json_object_get(answer, "cannot_know"), i, note)
		if (strcmp(json_string_value(json_object_get(note, "code")), code) == 0)
			return true;
	return false;
}

/* Of the rows that were found, that of a key; NULL: it is not among them. */
static json_t *found_row(json_t *answer, const char *column, const char *key)
{
	size_t i;
	json_t *row;
	json_array_foreach (json_object_get(answer, "found"), i, row) {
		json_t *name = json_object_get(json_object_get(row, "key"), column);
		if (name && strcmp(json_string_value(name), key) == 0)
			return row;
	}
	return NULL;
}

/* Its kind, the offset that explains it (-1: none), and one column with parts of both values. */
static void expect_row(json_t *answer, const char *key_column, const char *key, const char *kind,
		       int64_t offset, const char *column, const char *in_table,
		       const char *by_topic)
{
	char *text = json_dumps(answer, JSON_COMPACT);
	json_t *row = found_row(answer, key_column, key);
	ck_assert_msg(row != NULL, "%s: %.6000s", key, text);
	ck_assert_str_eq(json_string_value(json_object_get(row, "kind")), kind);
	json_t *event = json_object_get(row, "event"), *columns = json_object_get(row, "columns");
	json_t *at = json_object_get(event, "offset");
	ck_assert_msg((at ? json_integer_value(at) : -1) == offset, "%s: %.6000s", key, text);
	ck_assert_uint_eq(json_array_size(columns), column ? 1 : 0);
	if (column) {
		json_t *c = json_array_get(columns, 0);
		ck_assert_str_eq(json_string_value(json_object_get(c, "name")), column);
		ck_assert_ptr_nonnull(
			strstr(json_string_value(json_object_get(c, "table")), in_table));
		ck_assert_ptr_nonnull(
			strstr(json_string_value(json_object_get(c, "topic")), by_topic));
	}
	free(text);
}

/* The table and the topic agree on which keys are in a sample, so that nothing else differs. */
static void expect_sample(struct bed *bed)
{
	json_t *answer = verify_with(bed, "--sample", "99.99999%", 65);
	int64_t rows = number(answer, "rows");
	ck_assert_int_eq(number(answer, "differ"), 3);
	json_decref(answer);
	change_both(bed, "DELETE FROM memory_entries WHERE namespace = 'planted'");
	change_both(bed, "UPDATE memory_entries SET role = coalesce(role, '') || '!'");
	answer = verify_with(bed, "--sample", "20%", 65);
	ck_assert_int_gt(number(answer, "rows"), rows / 10);
	ck_assert_int_lt(number(answer, "rows"), rows * 3 / 10);
	ck_assert_int_eq(number(answer, "differ"), number(answer, "rows"));
	ck_assert_int_eq(number(answer, "by_topic"),
			 number(answer, "rows") + number(answer, "missing"));
	ck_assert_int_le(number(answer, "missing"), 5);
	ck_assert_int_eq(number(answer, "extra"), 0);
	json_decref(answer);
}

/* In a file a time may be a number of another kind, which would read the same. */
static void expect_alien(struct bed *bed, int64_t offset)
{
	lite_sql(bed->sqlite,
		 "UPDATE memory_entries SET event_time = event_time + 0.5 WHERE key = 'same'");
	json_t *answer = verify_live(bed, NULL, "memory", 65);
	expect_row(answer, "key", "same", "differs", offset, "event_time", "e+", "20");
	json_decref(answer);
	lite_sql(bed->sqlite, "UPDATE memory_entries SET event_time = CAST(event_time - 0.5 AS "
			      "INTEGER) WHERE key = 'same'");
}

/*
 * Proves: among thousands of rows with vectors, a changed number of a vector, a changed member of a
 * JSON object, a changed list, a row that is gone and one that nobody sent are each named, with
 * column, both values and the offset that they come from; the same JSON in another order is not. A
 * value that only in how it is stored is another is shown as it is stored.
 */
START_TEST(planted)
{
	struct bed *bed = bed_new("verifyplant");
	bed_stream(bed, "memory", 2);
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	load_fill(bed, "memory", 3000,
		  (struct generator_options){.seed = 7, .keys = 2000, .update_share = 0.3});
	int64_t vector = remember(bed, "vector", "v", 1), json = remember(bed, "json", "v", 2);
	int64_t tags = remember(bed, "tags", "v", 3), gone = remember(bed, "gone", "v", 4);
	int64_t same = remember(bed, "same", "v", 5);
	begin(bed, _i);
	struct worker *w = worker_start(bed, NULL);
	bed_drain(bed, 60);
	change(bed,
	       "UPDATE memory_entries SET embedding = (SELECT array_agg(CASE i WHEN 200 THEN "
	       "x + 0.5 ELSE x END ORDER BY i) FROM unnest(embedding::real[]) WITH "
	       "ORDINALITY AS u (x, i))::vector WHERE key = 'vector'",
	       "UPDATE memory_entries SET embedding = CAST(substr(embedding, 1, 796) || "
	       "x'0000c03f' || substr(embedding, 801) AS BLOB) WHERE key = 'vector'");
	change(bed,
	       "UPDATE memory_entries SET metadata = '{\"b\": 1, \"a\": [3]}' WHERE key = 'json'",
	       "UPDATE memory_entries SET metadata = '{\"b\":1,\"a\":[3]}' WHERE key = 'json'");
	change(bed, "UPDATE memory_entries SET tags = '{x}' WHERE key = 'tags'",
	       "UPDATE memory_entries SET tags = '[\"x\"]' WHERE key = 'tags'");
	change_both(bed, "DELETE FROM memory_entries WHERE key = 'gone'");
	if (!_i) /* a file keeps JSON as text */
		bed_sql(bed, "UPDATE memory_entries SET metadata = '{\"a\": [2], \"b\": 1}' WHERE "
			     "key = 'same'");
	change(bed,
	       "INSERT INTO memory_entries (namespace, key, event_time) VALUES ('planted', "
	       "'nobody', now())",
	       "INSERT INTO memory_entries (namespace, key, value, tags, event_time) VALUES "
	       "('planted', 'nobody', '', '[]', 1)");
	json_t *answer = verify_live(bed, NULL, "memory", 65);
	ck_assert_int_eq(number(answer, "differ"), 3);
	ck_assert_int_eq(number(answer, "missing"), 1);
	ck_assert_int_eq(number(answer, "extra"), 1);
	expect_row(answer, "key", "vector", "differs", vector, "embedding", "1,1.5,1", "1,1,1");
	expect_row(answer, "key", "json", "differs", json, "metadata", "[3]", "[2]");
	expect_row(answer, "key", "tags", "differs", tags, "tags", _i ? "[\"x\"]" : "{x}",
		   _i ? "[\"x\",\"y\"]" : "{x,y}");
	expect_row(answer, "key", "gone", "missing", gone, NULL, NULL, NULL);
	expect_row(answer, "key", "nobody", "extra", -1, NULL, NULL, NULL);
	json_decref(answer);
	bed_expect(bed, 65, "verify memory", "3 differ, 1 missing, 1 too many");
	if (_i)
		expect_alien(bed, same);
	expect_sample(bed);
	expect_nothing_left(bed);
	worker_stop(w);
	bed_free(bed);
}
END_TEST

/*
 * Proves: of sums and first values, what was changed is named; what became of a deleted row is
 * known by the event that deleted it.
 */
START_TEST(planted_sums)
{
	struct bed *bed = ledger_bed("verifysums", 2);
	begin(bed, _i);
	struct worker *w = worker_start(bed, NULL);
	struct pace *pace = pace_open(bed, "ledger", 3000);
	pace_progress(pace, 2000);
	pace_close(pace);
	for (int i = 0; i < 3; i++)
		ledger_send(bed, 0, "sum", 1800000000000000ll + i, 10);
	ledger_send(bed, 1, "back", 1600000000000000ll, 10);
	json_t *key = json_pack("{s:s}", "account", "back");
	bed_tombstone(bed, "ledger", 1, key);
	bed_drain(bed, 30);
	int64_t low, ends[2];
	for (int i = 0; i < 2; i++)
		broker_watermarks(bed->streams[0].topic, i, &low, &ends[i]);
	change_both(bed, "UPDATE ledger SET total = 40 WHERE account = 'sum'");
	change(bed, "INSERT INTO ledger (event_time, account) VALUES (now(), 'back')",
	       "INSERT INTO ledger (event_time, created_at, account, total) VALUES (1, 1, 'back', "
	       "0)");
	json_t *answer = verify_live(bed, NULL, "ledger", 65);
	ck_assert_int_eq(number(answer, "differ"), 1);
	ck_assert_int_eq(number(answer, "missing"), 0);
	ck_assert_int_eq(number(answer, "extra"), 1);
	expect_row(answer, "account", "sum", "differs", ends[0] - 1, "total", "40", "30");
	expect_row(answer, "account", "back", "extra", ends[1] - 1, NULL, NULL, NULL);
	json_decref(answer);
	json_decref(key);
	expect_nothing_left(bed);
	worker_stop(w);
	bed_free(bed);
}
END_TEST

#define LAST_LETTER(books) "SELECT max(\"offset\") FROM " books "dead_letters WHERE pipeline = 'x'"

/* A letter that is not there any more: what it was about is missed, and it is said why. */
static void expect_purged(struct bed *bed)
{
	lite_books_sql(bed, "UPDATE memingest.dead_letters SET pipeline = 'x' WHERE \"offset\" = "
			    "(SELECT max(\"offset\") FROM memingest.dead_letters WHERE reason = "
			    "'constraint')");
	json_t *answer = verify_live(bed, NULL, "memory", 65);
	ck_assert_int_eq(number(answer, "missing"), 1);
	ck_assert(cannot_know(answer, "purged"));
	expect_row(answer, "key", "two", "missing",
		   ask(bed, bed->sqlite[0] ? LAST_LETTER("memingest_") : LAST_LETTER("memingest.")),
		   NULL, NULL, NULL);
	json_decref(answer);
	lite_books_sql(bed,
		       "UPDATE memingest.dead_letters SET pipeline = '%s' WHERE pipeline = 'x'",
		       bed->name);
}

/*
 * Proves: events that became dead letters, by their bytes or by the table, are not what the table
 * should hold; without the letter they are; replayed, they are.
 */
START_TEST(dead_letters)
{
	struct bed *bed = bed_new("verifydead");
	bed_stream(bed, "memory", 1);
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	begin(bed, _i);
	change(bed, "ALTER TABLE memory_entries ADD CONSTRAINT no CHECK (value <> 'refused')",
	       "CREATE UNIQUE INDEX no ON memory_entries (value) WHERE value = 'refused'");
	if (_i)
		remember(bed, "first", "refused", 1);
	struct worker *w = worker_start(bed, NULL);
	remember(bed, "one", "old", 1);
	remember(bed, "one", "refused", 2);
	remember(bed, "two", "refused", 3);
	bed_raw(bed, "memory", 0, (struct slice){(const uint8_t *)"k", 1},
		(struct slice){(const uint8_t *)"not avro", 8});
	bed_drain(bed, 30);
	ck_assert_int_eq(letters(bed), 3);
	json_t *answer = verify_live(bed, NULL, "memory", 0);
	ck_assert_int_eq(number(answer, "rows"), 1 + _i);
	ck_assert_int_eq(number(answer, "by_topic"), 1 + _i);
	ck_assert_uint_eq(json_array_size(json_object_get(answer, "cannot_know")), 0);
	json_decref(answer);
	expect_purged(bed);
	change(bed, "ALTER TABLE memory_entries DROP CONSTRAINT no", "DROP INDEX no");
	free(bed_says(bed, 0, "dlq replay --reason constraint --yes"));
	bed_drain(bed, 30);
	ck_assert_int_eq(ask(bed, "SELECT count(*) FROM memory_entries WHERE value = 'refused' AND "
				  "key <> 'first'"),
			 2);
	answer = verify_live(bed, NULL, "memory", 0);
	ck_assert_int_eq(number(answer, "by_topic"), 2 + _i);
	json_decref(answer);
	worker_stop(w);
	bed_free(bed);
}
END_TEST

/* One row differs: "sum", with these two sums. */
static void expect_sums(struct bed *bed, const char *in_table, const char *by_topic,
			const char *code)
{
	json_t *answer = verify_live(bed, NULL, "ledger", 65);
	json_t *columns = json_object_get(found_row(answer, "account", "sum"), "columns");
	char *text = json_dumps(columns, JSON_COMPACT);
	ck_assert_int_eq(number(answer, "differ"), 1);
	ck_assert_int_eq(number(answer, "missing") + number(answer, "extra"), 0);
	ck_assert_msg(strstr(text, in_table) && strstr(text, by_topic), "%s", text);
	ck_assert(!code || cannot_know(answer, code));
	free(text);
	json_decref(answer);
}

/*
 * Proves: books that do not fit the table are found out by the sums: an offset that was moved back
 * (what is behind it would count twice) or forth (it was skipped), an event that counted twice, and
 * offsets that were declared lost and are in the table all the same.
 */
START_TEST(books_that_lie)
{
	static const char move[] = "UPDATE memingest.offsets SET next_offset = next_offset %+d "
				   "WHERE partition = 0";
	struct bed *bed = ledger_bed("verifybooks", 1);
	begin(bed, _i);
	struct worker *w = worker_start(bed, NULL);
	for (int i = 0; i < 3; i++)
		ledger_send(bed, 0, "sum", 1800000000000000ll + i, 10);
	bed_drain(bed, 30);
	worker_stop(w);
	lite_books_sql(bed, move, -1);
	expect_sums(bed, "\"30\"", "\"20\"", NULL);
	lite_books_sql(bed, move, 1);
	json_decref(verify_live(bed, NULL, "ledger", 0));
	ledger_send(bed, 0, "sum", 1800000000000003ll, 10);
	bed_flush(bed);
	lite_books_sql(bed, move, 1);
	expect_sums(bed, "\"30\"", "\"40\"", NULL);
	lite_books_sql(bed, move, -1);
	change_both(bed, "UPDATE ledger SET total = total + 10");
	expect_sums(bed, "\"40\"", "\"30\"", NULL);
	change_both(bed, "UPDATE ledger SET total = total - 10");
	lite_books_sql(bed,
		       "INSERT INTO memingest.gaps (pipeline, topic, partition, from_offset, "
		       "to_offset, reason, declared_by, created_at) VALUES ('%s', '%s', 0, 1, "
		       "2, 'lost', 'test', now())",
		       bed->name, bed->streams[0].topic);
	expect_sums(bed, "\"30\"", "\"20\"", "gaps");
	bed_free(bed);
}
END_TEST

/* That no more is claimed than can be known, and that what can be is found nevertheless. */
static void expect_modest(struct bed *bed, const char *code, const char *option, const char *value)
{
	change_both(bed, "UPDATE ledger SET last = 'by hand' WHERE account = 'known'");
	json_t *answer = verify_with(bed, option, value, 0);
	char *text = json_dumps(answer, JSON_COMPACT);
	ck_assert_msg(cannot_know(answer, code), "%s: %.6000s", code, text);
	ck_assert(json_is_null(json_object_get(answer, "extra")));
	free(text);
	json_decref(answer);
	change_both(bed, "UPDATE ledger SET last = 'changed' WHERE account = 'known'");
	answer = verify_with(bed, option, value, 65);
	ck_assert_int_eq(number(answer, "differ"), 1);
	json_t *columns = json_object_get(found_row(answer, "account", "known"), "columns");
	ck_assert_str_eq(json_string_value(json_object_get(json_array_get(columns, 0), "name")),
			 "last");
	json_decref(answer);
	change_both(bed, "UPDATE ledger SET last = 'by hand' WHERE account = 'known'");
}

/*
 * Proves: where the log does not go back to the beginning, by retention or as told, and where it
 * may be compacted, rows without events, sums and first values are not judged, and it is said; what
 * the last event decides still is.
 */
START_TEST(cannot)
{
	struct bed *bed = ledger_bed("verifyless", 2);
	begin(bed, _i);
	struct worker *w = worker_start(bed, NULL);
	BED_WAIT(bed, 30,
		 (lite_copy_offsets(bed), bed_int(bed, "SELECT count(*) FROM "
						       "memingest.offsets WHERE partition >= 0")) ==
			 2);
	json_t *nothing = verify_with(bed, NULL, NULL, 0);
	ck_assert(cannot_know(nothing, "nothing"));
	json_decref(nothing);
	struct pace *pace = pace_open(bed, "ledger", 3000);
	char since[24];
	int64_t low, high;
	pace_progress(pace, 2000);
	broker_flush();
	broker_watermarks(bed->streams[0].topic, 0, &low, &high);
	snprintf(since, sizeof(since), "%lld", (long long)(clock_wall_us() / 1000));
	pace_progress(pace, 1000);
	pace_close(pace);
	for (int i = 0; i < 3; i++)
		ledger_send(bed, 0, "known", 1800000000000000ll + i, 10);
	bed_drain(bed, 30);
	expect_modest(bed, "range", "--from", "700");
	if (!_i) { /* what the brokers know is the same of a file */
		expect_modest(bed, "range", "--since", since);
		expect_modest(bed, "partition", "--partition", "0");
		broker_delete_records(bed->streams[0].topic, 0, high);
		expect_modest(bed, "retention", NULL, NULL);
	}
	expect_nothing_left(bed);
	worker_stop(w);
	bed_free(bed);
}
END_TEST

/* Proves: the same of a topic that is compacted, and of one that was not read from its beginning.
 */
START_TEST(cannot_other)
{
	static const char *const compact[] = {"cleanup.policy=compact",
					      "message.timestamp.after.max.ms=9223372036854775807"};
	struct bed *bed = ledger_bed("verifycompact", 1);
	broker_delete_topic(bed->streams[0].topic);
	broker_create_topic(bed->streams[0].topic, 1, compact, 2);
	for (int i = 0; i < 3; i++)
		ledger_send(bed, 0, "known", 1800000000000000ll + i, 10);
	bed_flush(bed);
	struct worker *w = worker_start(bed, NULL);
	bed_drain(bed, 30);
	expect_modest(bed, "compaction", NULL, NULL);
	worker_stop(w);
	bed_free(bed);
	bed = ledger_bed("verifystart", 1);
	bed_set(bed, "stream.ledger.start", "latest");
	ledger_send(bed, 0, "before", 1800000000000000ll, 10);
	bed_flush(bed);
	w = worker_start(bed, NULL);
	worker_ready(w);
	BED_WAIT(bed, 30,
		 bed_int(bed, "SELECT count(*) FROM memingest.offsets WHERE partition = 0") == 1);
	for (int i = 0; i < 3; i++)
		ledger_send(bed, 0, "known", 1800000000000000ll + i, 10);
	bed_drain(bed, 30);
	expect_modest(bed, "start", NULL, NULL);
	worker_stop(w);
	bed_free(bed);
}
END_TEST

/* Starts a check, and returns once it reads the topic: what an earlier one left does not count. */
static int start_reading(struct bed *bed)
{
	int pid;
	int64_t bytes = 0;
	if (bed->sqlite[0]) {
		pid = start(bed, "verify", "ledger", NULL);
		BED_WAIT(bed, 60, files_left(bed, "/rows.db-wal", &bytes) > 0 && bytes > 200000);
		return pid;
	}
	int64_t before = bed_int(bed, "SELECT (extract(epoch FROM clock_timestamp()) * "
				      "1000000)::bigint");
	pid = start(bed, "verify", "ledger", NULL);
	BED_WAIT(bed, 60,
		 bed_int(bed,
			 "SELECT count(*) FROM memingest.batches WHERE pipeline LIKE "
			 "'%%/verify/%%' AND committed_at > to_timestamp(%lld / 1000000.0)",
			 (long long)before) > 0);
	return pid;
}

/*
 * Proves: a check that is told to stop removes all that it has made; one that is killed leaves it,
 * and the next one removes it; a server that crashes meanwhile, which empties unlogged tables,
 * makes no difference be seen; what a check that is under way has is left alone.
 */
START_TEST(stopped_and_killed)
{
	struct bed *bed = ledger_bed("verifykill", 1);
	begin(bed, _i);
	struct worker *w = worker_start(bed, NULL);
	struct pace *pace = pace_open(bed, "ledger", 4000);
	pace_progress(pace, 3000);
	pace_close(pace);
	bed_drain(bed, 60);
	bed_set(bed, "batch.max_rows", "20");
	int pid = start_reading(bed);
	kill(pid, SIGTERM);
	ck_assert_int_eq(wait_exit(pid), 75);
	expect_nothing_left(bed);
	pid = start_reading(bed);
	kill(pid, SIGKILL);
	wait_exit(pid);
	if (_i) {
		ck_assert_uint_eq(files_left(bed, "", NULL), 1);
		free(bed_says(bed, 0, "verify ledger"));
		expect_nothing_left(bed);
	} else {
		ck_assert_int_gt(
			bed_int(bed, "SELECT count(*) FROM pg_class WHERE relname LIKE 'verify%%'"),
			0);
		pid = start_reading(bed);
		stack_do("pg", "restart", "immediate");
		int status = wait_exit(pid); /* 69: it has begun to compare by then */
		ck_assert_msg(status == 75 || status == 69, "exit %d", status);
		expect_nothing_left(bed);
	}
	pid = start_reading(bed);
	bed_set(bed, "batch.max_rows", "1000");
	char *text = bed_says(bed, 0, "verify ledger");
	free(text);
	json_decref(answer_of(bed, NULL, pid, 0));
	expect_nothing_left(bed);
	worker_stop(w);
	bed_free(bed);
}
END_TEST

/* The fate of the event at an offset of partition 0, in the answer of "why". */
static const char *fate_at(json_t *answer, int64_t offset)
{
	size_t i;
	json_t *event;
	json_array_foreach (json_object_get(answer, "events"), i, event)
		if (number(event, "offset") == offset && number(event, "partition") == 0)
			return json_string_value(json_object_get(event, "fate"));
	return "not there";
}

static json_t *why(struct bed *bed, const char *key, int expected)
{
	const char *const words[] = {"planted", key, NULL};
	return answer_of(bed, NULL, start(bed, "why", "memory", words), expected);
}

/*
 * Proves: of a row, the batch that wrote it, the event that made it, the ones before, one that the
 * table refused, with its dead letter, and one that is not consumed yet; of a row that is gone, the
 * event that deleted it; by the books as well as without them.
 */
START_TEST(story)
{
	struct bed *bed = bed_new("why");
	bed_stream(bed, "memory", 2);
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	begin(bed, _i);
	change(bed, "ALTER TABLE memory_entries ADD CONSTRAINT no CHECK (value <> 'refused')",
	       "CREATE TRIGGER no BEFORE UPDATE ON memory_entries WHEN NEW.value = 'refused' BEGIN "
	       "SELECT RAISE(ABORT, 'no'); END");
	load_fill(bed, "memory", 3000, (struct generator_options){.seed = 3, .keys = 2000});
	int64_t old = remember(bed, "row", "old", 1), made = remember(bed, "row", "new", 5);
	int64_t late = remember(bed, "row", "late", 2), dead = remember(bed, "row", "refused", 9);
	int64_t gone = remember(bed, "gone", "v", 1);
	json_t *event =
		json_pack("{s:I, s:s, s:s, s:s}", "event_time", (json_int_t)1900000000000000ll,
			  "namespace", "planted", "key", "gone", "op", "DELETE");
	bed_event(bed, "memory", 0, event);
	struct worker *w = worker_start(bed, NULL);
	bed_drain(bed, 60);
	worker_stop(w);
	int64_t waiting = remember(bed, "row", "newest", 10);
	for (int turn = 0; turn < 2; turn++) {
		json_t *answer = why(bed, "row", 0);
		json_t *batch = json_object_get(answer, "batch");
		ck_assert_str_eq(
			json_string_value(json_object_get(json_object_get(answer, "row"), "value")),
			"new");
		ck_assert_str_eq(fate_at(answer, old), "superseded");
		ck_assert_str_eq(fate_at(answer, made), "made the row");
		ck_assert_str_eq(fate_at(answer, late), "superseded");
		ck_assert_str_eq(fate_at(answer, dead), "dead letter");
		ck_assert_str_eq(fate_at(answer, waiting), "not consumed yet");
		json_t *letter = json_array_get(json_object_get(answer, "dead_letters"), 0);
		ck_assert_int_eq(number(letter, "offset"), dead);
		if (turn == 0) {
			ck_assert_int_eq(number(batch, "partition"), 0);
			ck_assert_int_le(number(batch, "from"), made);
			ck_assert_int_gt(number(batch, "to"), made);
		} else {
			ck_assert(json_is_null(batch));
		}
		json_decref(answer);
		answer = why(bed, "gone", 0);
		ck_assert(json_is_null(json_object_get(answer, "row")));
		ck_assert_str_eq(fate_at(answer, gone), "superseded");
		ck_assert_str_eq(fate_at(answer, gone + 1), "deleted the row");
		json_decref(answer);
		lite_books_sql(bed, "DELETE FROM memingest.batches");
	}
	json_decref(why(bed, "nobody", 65));
	bed_expect(bed, 0, "why memory key=row namespace=planted",
		   _i ? "not in memingest_batches (any more)" : "cannot be read by this role");
	bed_expect(bed, 64, "why memory row", "namespace key");
	json_decref(event);
	bed_free(bed);
}
END_TEST

static void verify_tests(TCase *tc)
{
	tcase_add_loop_test(tc, cannot, 0, 2); /* in PostgreSQL, in a file */
	tcase_add_test(tc, cannot_other);
	tcase_add_loop_test(tc, stopped_and_killed, 0, 2);
	tcase_add_loop_test(tc, story, 0, 2);
	tcase_add_loop_test(tc, planted, 0, 2);
	tcase_add_loop_test(tc, planted_sums, 0, 2);
	tcase_add_loop_test(tc, dead_letters, 0, 2);
	tcase_add_loop_test(tc, books_that_lie, 0, 2);
	tcase_add_loop_test(tc, clean_under_load, 0, 2);
}
SYSTEM_SUITE("verify", 120, verify_tests)

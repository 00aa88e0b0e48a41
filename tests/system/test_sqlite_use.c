/*
 * test_sqlite_use.c - what is asked of a SQLite file: searches that say what they say on
 * PostgreSQL, vectors made of texts, commands beside a worker, a gateway that waits for it,
 * indexes.
 *
 * That the file holds the right rows: test_sqlite.c. On both databases: offsets and dead letters in
 * test_operate.c, "verify" and "why" in test_verify.c.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bed.h"
#include "gate.h"
#include "ledger.h"
#include "lite.h"
#include "system.h"
#include "vectors.h"

#define SPOTS 40
#define SPOT_DIM 8

/* --- a search on both --- */

/* A column of each form that a value has in a file; filters of each type that can be one. */
static const char spot_schema[] =
	"{\"type\": \"record\", \"name\": \"Spot\", \"pg\": {\"table\": \"spots\", \"key\":"
	" [\"id\", \"born\"], \"version\": \"at\"}, \"fields\": ["
	"{\"name\": \"id\", \"type\": \"string\"},"
	"{\"name\": \"born\", \"type\": {\"type\": \"int\", \"logicalType\": \"date\"}},"
	"{\"name\": \"at\", \"type\": {\"type\": \"long\", \"logicalType\":"
	" \"timestamp-micros\"}},"
	"{\"name\": \"local\", \"type\": {\"type\": \"long\", \"logicalType\":"
	" \"local-timestamp-micros\"}},"
	"{\"name\": \"clock\", \"type\": {\"type\": \"long\", \"logicalType\": \"time-micros\"}},"
	"{\"name\": \"tenant\", \"type\": [\"null\", \"string\"]},"
	"{\"name\": \"rank\", \"type\": \"int\"}, {\"name\": \"rowid\", \"type\": \"int\"},"
	"{\"name\": \"flag\", \"type\": \"boolean\"},"
	"{\"name\": \"who\", \"type\": {\"type\": \"string\", \"logicalType\": \"uuid\"}},"
	"{\"name\": \"price\", \"type\": {\"type\": \"bytes\", \"logicalType\": \"decimal\","
	" \"precision\": 10, \"scale\": 2}},"
	"{\"name\": \"raw\", \"type\": \"bytes\"},"
	"{\"name\": \"single\", \"type\": \"float\"}, {\"name\": \"real\", \"type\": \"double\"},"
	"{\"name\": \"doc\", \"type\": \"string\", \"pg\": {\"type\": \"jsonb\"}},"
	"{\"name\": \"tags\", \"type\": {\"type\": \"array\", \"items\": \"string\"}},"
	"{\"name\": \"note\", \"type\": [\"null\", \"string\"]},"
	"{\"name\": \"spot\", \"type\": [\"null\", {\"type\": \"array\", \"items\": \"float\"}],"
	" \"pg\": {\"type\": \"vector(8)\", \"search\": {\"distance\": \"%s\", \"filter\":"
	" [\"tenant\", \"rank\", \"flag\", \"who\", \"price\", \"raw\", \"born\", \"at\","
	" \"local\", \"clock\"]}}}]}";

static json_t *spot_vector(int i)
{
	json_t *v = json_array();
	for (int d = 0; d < SPOT_DIM; d++)
		json_array_append_new(v, json_real(((i * 37 + d * d * 11) % 101) / 16.0 - 3));
	return v;
}

/* Every ninth has no vector, one has a vector without direction. */
static json_t *spot(int i)
{
	json_t *zero = json_pack("[f,f,f,f,f,f,f,f]", 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
	json_t *vector = i % 9 == 8    ? json_null()
			 : i == 17 + 4 ? json_incref(zero)
				       : spot_vector(i);
	json_decref(zero);
	return json_pack(
		"{s:o, s:s, s:o, s:o, s:o, s:o, s:i, s:i, s:b, s:o, s:o, s:s, s:f, s:f, s:o, "
		"s:[s,s],"
		" s:o, s:o}",
		"id", json_sprintf("id-%d", i), "born", i % 2 ? "2026-01-31" : "1969-12-30", "at",
		json_sprintf("2026-05-01T08:00:%02dZ", i), "local",
		json_sprintf("1999-05-01T08:00:%02d.25", i), "clock", json_sprintf("23:59:%02d", i),
		"tenant", i % 5 ? json_sprintf("t%d", i % 3) : json_null(), "rank", i % 4, "rowid",
		7, "flag", i % 2, "who",
		json_sprintf("00000000-0000-0000-0000-0000000000%02d", i % 10), "price",
		json_sprintf("%d.50", i % 6), "raw", "\001z", "single", i / 3.0, "real", i / 7.0,
		"doc", json_sprintf("{\"n\": %d, \"deep\": [1, {\"a\": null}]}", i), "tags", "a\"b",
		"c,d", "note", json_sprintf("note \"%d\"\nof two lines", i), "spot", vector);
}

static void write_json(const char *path, const json_t *json)
{
	ck_assert_int_eq(json_dump_file(json, path, JSON_ENCODE_ANY | JSON_COMPACT), 0);
}

/* The stream "spots", its events and questions as files of the bed. */
static struct bed *spots_bed(const char *distance, char *events)
{
	struct bed *bed = bed_new("litespots");
	char path[200];
	snprintf(path, sizeof(path), "%s/spot.avsc", bed->dir);
	FILE *out = fopen(path, "w");
	ck_assert_ptr_nonnull(out);
	fprintf(out, spot_schema, distance);
	ck_assert_int_eq(fclose(out), 0);
	bed_stream_files(bed, "spots", 1, path, NULL);
	snprintf(events, 200, "load spots %s/spots.jsonl", bed->dir);
	out = fopen(events + strlen("load spots "), "w");
	for (int i = 0; i < SPOTS; i++) {
		json_t *row = spot(i);
		json_dumpf(row, out, JSON_COMPACT);
		fputc('\n', out);
		json_decref(row);
	}
	ck_assert_int_eq(fclose(out), 0);
	snprintf(path, sizeof(path), "%s/q.json", bed->dir);
	json_t *question = spot_vector(5);
	write_json(path, question);
	json_decref(question);
	return bed;
}

/* But for our own two timestamps, and distances that differ in the last digits of a float. */
static void same_documents(const char *line, char *a, char *b)
{
	char *rest_a = NULL, *rest_b = NULL;
	char *x = strtok_r(a, "\n", &rest_a), *y = strtok_r(b, "\n", &rest_b);
	for (; x && y; x = strtok_r(NULL, "\n", &rest_a), y = strtok_r(NULL, "\n", &rest_b)) {
		json_error_t error;
		json_t *p = json_loads(x, 0, &error), *q = json_loads(y, 0, &error),
		       *row_p = json_object_get(p, "row"), *row_q = json_object_get(q, "row");
		ck_assert_msg(p && q, "%s: %s\n%s\n%s", line, error.text, x, y);
		ck_assert_double_eq_tol(json_number_value(json_object_get(p, "distance")),
					json_number_value(json_object_get(q, "distance")), 1e-5);
		for (int i = 0; i < 2; i++) {
			const char *own = i ? "updated_at" : "created_at",
				   *said = json_string_value(json_object_get(row_q, own));
			ck_assert_msg(said && strstr(said, "T") && strstr(said, "+00:00"), "%s", y);
			json_object_del(row_p, own);
			json_object_del(row_q, own);
		}
		ck_assert_msg(json_equal(row_p, row_q), "%s:\n%s\n%s", line, x, y);
		json_decref(p);
		json_decref(q);
	}
	ck_assert_msg(!x && !y, "%s: %s has more rows", line, x ? "PostgreSQL" : "the file");
}

/*
 * Proves: a search of a file prints, for people and for programs, what the same search prints on
 * PostgreSQL, under each distance and by a filter of each type, also where a column has the name
 * that SQLite has for a row's number; and refuses a value that is none.
 */
START_TEST(searched_as_postgresql)
{
	static const char *const distances[] = {"cosine", "l2", "ip"};
	static const char *const ends[] = {"--k 50",
					   "--k 3",
					   "--filter tenant=t1",
					   "--filter tenant=nobody",
					   "--filter rank=2",
					   "--filter flag=true",
					   "--filter who=00000000-0000-0000-0000-000000000003",
					   "--filter price=2.5",
					   "--filter raw=\\x017a",
					   "--filter born=1969-12-30",
					   "--filter at=2026-05-01T10:00:07+02",
					   "--filter local=1999-05-01T08:00:07.25",
					   "--filter clock=23:59:07"};
	static const char *const wrong[] = {"rank=two", "flag=perhaps", "who=me", "born=soonish",
					    "raw=\\xz", "price=cheap",  "price="};
	char load[200], line[400], *said[ARRAY_LEN(ends)][2], question[200];
	struct bed *bed = spots_bed(distances[_i], load);
	snprintf(question, sizeof(question), "search spots --vector %s/q.json", bed->dir);
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	for (int file = 0; file < 2; file++) {
		if (file)
			lite_begin(bed, NULL);
		bed_expect(bed, 0, load, "40 records");
		for (size_t i = 0; i < ARRAY_LEN(ends); i++)
			for (int json = 0; json < 2; json++) {
				snprintf(line, sizeof(line), "%s %s%s", question, ends[i],
					 json ? " --json" : "");
				char *now = bed_says(bed, 0, line);
				if (!file)
					said[i][json] = now;
				else if (json)
					same_documents(line, said[i][1], now);
				else
					ck_assert_msg(strcmp(said[i][0], now) == 0, "%s:\n%s\n%s",
						      line, said[i][0], now);
				if (file)
					free(now);
			}
		bed_expect(bed, 65, "why spots id-1 soonish", "that is no key of spots");
		for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
			char part[40];
			snprintf(line, sizeof(line), "%s --filter %s", question, wrong[i]);
			snprintf(part, sizeof(part), "--filter %.*s:", (int)strcspn(wrong[i], "="),
				 wrong[i]);
			bed_expect(bed, 65, line, part);
		}
	}
	for (size_t i = 0; i < 2 * ARRAY_LEN(ends); i++)
		free(said[i / 2][i % 2]);
	bed_free(bed);
}
END_TEST

/* A file of the bed; path: its whole name, of 200 bytes. */
static void put_file(const struct bed *bed, char *path, const char *name, const char *text)
{
	snprintf(path, 200, "%s/%s", bed->dir, name);
	FILE *out = fopen(path, "w");
	ck_assert_ptr_nonnull(out);
	fputs(text, out);
	ck_assert_int_eq(fclose(out), 0);
}

/* Proves: a document of more columns than one expression of SQLite's may be deep. */
START_TEST(wide_documents)
{
	struct bed *bed = bed_new("litewide");
	struct buf schema = {0}, row = {0};
	char schema_path[200], row_path[200], line[500];
	buf_puts(&schema, "{\"type\": \"record\", \"name\": \"Wide\", \"pg\": {\"table\":"
			  " \"wide\", \"key\": [\"c0\"]}, \"fields\": [");
	buf_puts(&row, "{");
	for (int i = 0; i < 700; i++) {
		buf_printf(&schema, "{\"name\": \"c%d\", \"type\": \"int\"}, ", i);
		buf_printf(&row, "\"c%d\": %d, ", i, i);
	}
	buf_puts(&schema, "{\"name\": \"v\", \"type\": {\"type\": \"array\", \"items\":"
			  " \"float\"}, \"pg\": {\"type\": \"vector(2)\", \"search\":"
			  " {\"distance\": \"l2\"}}}]}");
	buf_puts(&row, "\"v\": [1, 2]}\n");
	put_file(bed, schema_path, "wide.avsc", buf_cstr(&schema));
	put_file(bed, row_path, "wide.jsonl", buf_cstr(&row));
	bed_stream_files(bed, "wide", 1, schema_path, NULL);
	lite_begin(bed, NULL);
	snprintf(line, sizeof(line), "load wide %s", row_path);
	bed_expect(bed, 0, line, "1 records");
	put_file(bed, row_path, "q.json", "[1, 2]");
	snprintf(line, sizeof(line), "search wide --json --vector %s/q.json", bed->dir);
	char *said = bed_says(bed, 0, line);
	json_t *found = json_loads(said, 0, NULL), *document = json_object_get(found, "row");
	ck_assert_uint_eq(json_object_size(document), 702);
	ck_assert_int_eq(json_integer_value(json_object_get(document, "c699")), 699);
	json_decref(found);
	free(said);
	buf_free(&schema);
	buf_free(&row);
	bed_free(bed);
}
END_TEST

/* --- a search by somebody else --- */

/*
 * A connection to the bed's file with sqlite-vec in it; NULL, and said so: that can not be had
 * here. path: the extension's, of 256 bytes.
 */
static sqlite3 *open_with_vec(const struct bed *bed, char *path)
{
	sqlite3 *db = NULL;
	path[0] = '\0';
	FILE *in = popen("tests/fetch sqlite-vec", "r");
	bool there = in && fgets(path, 256 - 32, in);
	if (in)
		there &= pclose(in) == 0;
	snprintf(path + strcspn(path, "\n"), 32, "/sqlite_vec/vec0.so");
	ck_assert_int_eq(sqlite3_open_v2(bed->sqlite, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
	sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 1, NULL);
	if (there && sqlite3_load_extension(db, path, NULL, NULL) == SQLITE_OK)
		return db;
	sqlite3_close(db); /* a library that was built without it, or another machine's */
	printf("skipped sqlite_use: sqlite-vec can not be had or loaded here\n");
	return NULL;
}

/*
 * Proves: sqlite-vec reads the vectors as they lie in the file, and by its distances the same rows
 * come in the same order as by "memingest search".
 */
START_TEST(read_by_sqlite_vec)
{
	static const struct {
		const char *ours, *theirs;
	} distances[] = {{"cosine", "vec_distance_cosine"}, {"l2", "vec_distance_L2"}};
	char load[200], line[300], sql[200], question[200], path[256];
	size_t n = 0;
	struct bed *bed = spots_bed(distances[_i].ours, load);
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	lite_begin(bed, NULL);
	sqlite3 *db = open_with_vec(bed, path);
	if (!db) {
		bed_free(bed);
		return;
	}
	bed_expect(bed, 0, load, "40 records");
	snprintf(line, sizeof(line), "search spots --vector %s/q.json --k 25 --json", bed->dir);
	char *said = bed_says(bed, 0, line), *rest = NULL;
	snprintf(question, sizeof(question), "%s/q.json", bed->dir);
	char *vector = bed_read_file(question);
	snprintf(sql, sizeof(sql),
		 "SELECT id, %s(spot, vec_f32(?1)) AS d FROM spots WHERE spot IS NOT NULL AND d IS "
		 "NOT "
		 "NULL ORDER BY d LIMIT 25",
		 distances[_i].theirs);
	sqlite3_stmt *stmt = NULL;
	ck_assert_int_eq(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
	sqlite3_bind_text(stmt, 1, vector, -1, SQLITE_STATIC);
	for (char *row = strtok_r(said, "\n", &rest); row; row = strtok_r(NULL, "\n", &rest), n++) {
		json_t *ours = json_loads(row, 0, NULL);
		ck_assert_int_eq(sqlite3_step(stmt), SQLITE_ROW);
		ck_assert_str_eq(
			(const char *)sqlite3_column_text(stmt, 0),
			json_string_value(json_object_get(json_object_get(ours, "row"), "id")));
		ck_assert_double_eq_tol(sqlite3_column_double(stmt, 1),
					json_number_value(json_object_get(ours, "distance")), 1e-5);
		json_decref(ours);
	}
	ck_assert_uint_eq(n, 25);
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	free(said);
	free(vector);
	bed_free(bed);
}
END_TEST

/* Rows that another program has spoilt, each in its way; the first five are near the question. */
static void spoil_spots(const struct bed *bed)
{
	static const char *const blobs[] = {"substr(spot, 1, 28)",
					    "substr(spot, 1, 31)",
					    "spot || spot",
					    "CAST(substr(spot, 1, 28) || x'0000c07f' AS BLOB)",
					    "x''",
					    "'[1,2,3,4,5,6,7,8]'",
					    "12",
					    "NULL"};
	for (size_t i = 0; i < ARRAY_LEN(blobs); i++)
		lite_sql(bed->sqlite, "UPDATE spots SET spot = %s WHERE id = 'id-%zu'", blobs[i],
			 i);
}

/*
 * Proves: with sqlite.vec_extension a search goes by sqlite-vec, and finds the same rows in the
 * same order as without, also by a filter, and passes over the same rows that hold no vector of
 * that length; the inner product, which it has no function for, needs no extension. One that can
 * not be loaded ends the search, and "check" has warned of it.
 */
START_TEST(searched_by_sqlite_vec)
{
	static const char *const distances[] = {"cosine", "l2", "ip"};
	static const char *const ends[] = {"--k 50", "--k 3", "--filter tenant=t1"};
	char load[200], line[300], path[256];
	bool ip = _i == 2;
	struct bed *bed = spots_bed(distances[_i], load);
	lite_begin(bed, NULL);
	sqlite3 *db = open_with_vec(bed, path);
	bed_expect(bed, 0, load, "40 records");
	snprintf(line, sizeof(line), "search spots --vector %s/q.json", bed->dir);
	for (size_t i = 0; db && i < 2 * ARRAY_LEN(ends); i++) {
		if (i == ARRAY_LEN(ends))
			spoil_spots(bed);
		bed_set(bed, "sqlite.vec_extension", "%s", "");
		snprintf(line, sizeof(line), "search spots --vector %s/q.json --json %s", bed->dir,
			 ends[i % ARRAY_LEN(ends)]);
		char *ours = bed_says(bed, 0, line);
		bed_set(bed, "sqlite.vec_extension", "%s", path);
		char *theirs = bed_says(bed, 0, line);
		ck_assert_msg((strcmp(ours, theirs) == 0) == ip, "%s", theirs); /* floats */
		same_documents(line, ours, theirs);
		free(ours);
		free(theirs);
	}
	sqlite3_close(db);
	bed_set(bed, "sqlite.vec_extension", "%s/none.so", bed->dir);
	bed_expect(bed, 0, "check", "none.so: No such file or directory");
	bed_expect(bed, ip ? 0 : 78, line, ip ? "" : "none.so: No such file or directory");
	bed_set(bed, "sqlite.vec_extension", "%s/q.json", bed->dir);
	bed_expect(bed, ip ? 0 : 78, line, ip ? "" : "names no extension that can be loaded here");
	bed_free(bed);
}
END_TEST

/* --- vectors made of texts --- */

/*
 * Proves: texts become vectors on their way into a file, a check of it asks no model, a question in
 * words finds them by the same model, each text is paid for once (the file remembers them through
 * another worker), and another model under the same name is noticed.
 */
START_TEST(asked_in_words)
{
	struct bed *bed = vectors_bed("liteasked");
	struct vectors *v = vectors_start(bed);
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	bed_stream_files(bed, "asked", 1, "tests/schemas/asked_event.avsc", NULL);
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	lite_begin(bed, NULL);
	for (int i = 0; i < 50; i++) {
		json_t *event =
			json_pack("{s:I, s:o, s:s, s:o, s:n, s:n}", "event_time", (json_int_t)i,
				  "id", json_sprintf("id-%d", i), "tenant", i % 2 ? "odd" : "even",
				  "note", json_sprintf("note %d", i % 25), "rank", "spot");
		bed_event(bed, "asked", 0, event);
		json_decref(event);
	}
	struct worker *w = worker_start(bed, NULL);
	bed_drain(bed, 20);
	worker_stop(w);
	ck_assert_int_eq(v->inputs, 25);
	ck_assert_int_eq(
		lite_int(bed->sqlite, "SELECT count(*) FROM asked WHERE length(spot) = 32"), 50);
	ck_assert_int_eq(lite_int(bed->sqlite, "SELECT count(*) FROM memingest_embed_cache"), 25);
	bed_expect(bed, 0, "verify asked",
		   "cannot know: column spot has vectors that a model makes");
	ck_assert_int_eq(v->inputs, 25);
	/* the stub's vector of a text is a hash, so prefixes have to go */
	bed_expect(bed, 0, "search asked note --k 50", " 50 ");
	bed_expect(bed, 0, "search asked note --k 50 --filter tenant=odd", " 25 ");
	lite_sql(bed->sqlite, "DELETE FROM asked");
	int paid = v->inputs;
	const char *rewind[] = {"rewind", bed->streams[1].topic, "all", "--to", "earliest", "--yes",
				NULL};
	ck_assert_int_eq(bed_command(bed, "offsets", rewind, NULL), 0);
	w = worker_start(bed, NULL);
	bed_drain(bed, 20);
	worker_stop(w);
	ck_assert_int_eq(
		lite_int(bed->sqlite, "SELECT count(*) FROM asked WHERE length(spot) = 32"), 50);
	ck_assert_int_eq(v->inputs, paid);
	v->salt = 1;
	vectors_tell(bed, 1, 1, "another text");
	bed_flush(bed);
	w = worker_start(bed, NULL);
	worker_wait_log(w, "is not the one that made", 20);
	worker_kill(w);
	vectors_stop(v);
	bed_free(bed);
}
END_TEST

/*
 * Proves: the README's three lines lead from a file of JSON lines to a searched SQLite file, as
 * they stand. Only the file's place and the model's are the test's.
 */
START_TEST(lines_of_the_readme)
{
	struct bed *bed = vectors_bed("litereadme");
	struct vectors *v = vectors_start(bed);
	char out[192];
	v->dim = 384;
	snprintf(out, sizeof(out), "%s/readme.out", bed->dir);
	char *line = xasprintf(
		"sed -n 's/^    \\(memingest -c deploy.examples.laptop.ini\\)/\\1/p' README.md"
		" >%s/lines && test $(wc -l <%s/lines) = 3 && PATH=$(dirname %s):$PATH"
		" MEMINGEST_SQLITE_PATH=%s/memories.db"
		" MEMINGEST_EMBED_MINILM_URL=http://127.0.0.1:%u/v1 sh -e %s/lines >%s 2>&1",
		bed->dir, bed->dir, stack.program, bed->dir, v->port, bed->dir, out);
	int status = system(line);
	free(line);
	char *said = bed_read_file(out);
	ck_assert_msg(status == 0, "%s", said);
	ck_assert_msg(strstr(said, "\n  1 ") && strstr(said, "\n  2 ") && !strstr(said, "\n  3 "),
		      "%s", said);
	free(said);
	vectors_stop(v);
	bed_free(bed);
}
END_TEST

/* --- beside a worker --- */

/*
 * Proves: what moves a partition asks that no worker has the file, and names the one that has; what
 * reads, and dead letters, do not mind; skip makes the halting message a dead letter; another
 * pipeline is told that this one has been here.
 */
START_TEST(beside_a_worker)
{
	struct bed *bed = ledger_bed("litebeside", 1);
	char line[200], holder[64];
	lite_begin(bed, NULL);
	bed_set(bed, "dlq.max_ratio", "1");
	struct worker *w = worker_start(bed, NULL);
	for (int i = 0; i < 20; i++)
		ledger_send(bed, 0, i == 7 ? "refused" : "a", 1000 + i, 1);
	bed_drain(bed, 20);
	snprintf(holder, sizeof(holder), "/%d, and one process at a time may", w->pid);
	snprintf(line, sizeof(line), "offsets rewind %s 0 --to 5 --yes", bed->streams[0].topic);
	bed_expect(bed, 75, line, holder);
	bed_expect(bed, 75, line, "nothing was changed");
	bed_expect(bed, 0, "offsets show", bed->streams[0].topic);
	bed_expect(bed, 0, "dlq list", "0 of 0 dead letters");
	worker_stop(w);
	bed_expect(bed, 0, line, "next_offset 20 -> 5, owner_epoch");
	snprintf(line, sizeof(line), "offsets skip %s 0 --reason bad --yes", bed->streams[0].topic);
	bed_expect(bed, 0, line, "message at offset 5");
	snprintf(line, sizeof(line), "offsets accept-gap %s 0 --to 8 --yes", bed->streams[0].topic);
	bed_expect(bed, 0, line, "2 offsets given up");
	bed_expect(bed, 0, "dlq list", "skipped by an operator");
	bed_expect(bed, 0, "dlq list", "1 of 1 dead letters");
	bed_expect(bed, 0, "dlq replay --stream ledger", "replayed 1 dead letters");
	w = worker_start(bed, NULL);
	bed_drain(bed, 20);
	worker_stop(w);
	bed_expect(bed, 0, "check --online --set kafka.group.id=another",
		   "column total adds its events twice");
	/* 20 at first, those from 8 on again, and the one that was skipped once more */
	ck_assert_int_eq(lite_int(bed->sqlite, "SELECT sum(total) FROM ledger"), 20 + 12 + 1);
	bed_free(bed);
}
END_TEST

#define TIME "\"event_time\":\"2026-01-31T12:00:00Z\""
static const char wait_stored[] = "?wait=stored&timeout=20s";

/* Asked at once, with the answer's result. */
static void expect_stored(struct gate *g, const char *query, unsigned status, const char *result,
			  json_t **answer)
{
	static const char body[] = "[{" TIME ",\"account\":\"a\",\"total\":1},{" TIME
				   ",\"account\":\"bad\",\"total\":1}]";
	ck_assert_uint_eq(gate_post(g, "ledger", query, body, answer), status);
	ck_assert_str_eq(gate_text(*answer, "result"), result);
}

/*
 * Proves: a gateway's "stored" is a row that the file has, at once; an event that became a dead
 * letter is named, a halted partition is said, and while no worker writes it is not yet stored;
 * after the file was put in its place anew it is the new one that is asked. A request with an
 * Idempotency-Key counts once.
 */
START_TEST(gateway_waits_for_it)
{
	struct bed *bed = ledger_bed("litegate", 1);
	char line[400];
	json_t *answer;
	bed_set(bed, "dlq.max_ratio", "1");
	lite_begin(bed, NULL);
	struct gate *g = gate_start(bed, NULL);
	expect_stored(g, "?wait=stored&timeout=300ms", 504, "not_yet", &answer);
	json_decref(answer);
	lite_sql(bed->sqlite, "CREATE TRIGGER no BEFORE UPDATE ON ledger WHEN NEW.account = 'bad' "
			      "BEGIN SELECT RAISE(ABORT, 'no more of it'); END");
	struct worker *w = worker_start(bed, NULL);
	bed_drain(bed, 20);
	snprintf(g->idempotency, sizeof(g->idempotency), "one-request");
	for (int i = 0; i < 3; i++) {
		expect_stored(g, wait_stored, 207, "partly_stored", &answer);
		ck_assert_int_eq(gate_number(answer, "errors/0/index"), 1);
		ck_assert_ptr_nonnull(strstr(gate_text(answer, "errors/0/message"), "no more"));
		ck_assert_int_eq(
			lite_int(bed->sqlite, "SELECT total FROM ledger WHERE account = 'a'"), 2);
		json_decref(answer);
	}
	g->idempotency[0] = '\0';
	worker_stop(w);
	lite_sql(bed->sqlite, "VACUUM INTO '%s/new.db'", bed->dir);
	snprintf(line, sizeof(line), "cd %s && rm -f memories.db-* && mv new.db memories.db",
		 bed->dir);
	ck_assert_int_eq(system(line), 0);
	lite_sql(bed->sqlite,
		 "UPDATE memingest_offsets SET halted_at = next_offset, halted = 'by a "
		 "test'");
	expect_stored(g, wait_stored, 504, "halted", &answer);
	ck_assert_ptr_nonnull(strstr(gate_text(answer, "message"), "by a test"));
	json_decref(answer);
	gate_stop(g);
	bed_free(bed);
}
END_TEST

/*
 * Proves: migrate makes the indexes that are asked for, of those that a file can have, says which
 * it can not have, and tells its steps to programs.
 */
START_TEST(indexes_asked_for)
{
	static const char count[] =
		"SELECT count(*) FROM sqlite_schema WHERE type = 'index' AND tbl_name = "
		"'memory_entries' AND name NOT LIKE 'sqlite%%'";
	struct bed *bed = bed_new("liteindex");
	bed_stream(bed, "memory", 1);
	snprintf(bed->sqlite, sizeof(bed->sqlite), "%s/memories.db", bed->dir);
	bed_expect(bed, 64, "migrate --indexes nonsense", "none of none, lean, all");
	bed_expect(bed, 0, "migrate --indexes none", "created table memory_entries");
	ck_assert_int_eq(lite_int(bed->sqlite, count), 0);
	bed_expect(bed, 0, "migrate --dry-run --json", "\"applied\": false");
	bed_expect(bed, 0, "migrate --json", "\"done\": \"created index");
	int64_t lean = lite_int(bed->sqlite, count);
	ck_assert_int_gt(lean, 0);
	bed_expect(bed, 0, "migrate --indexes all", "is of a kind that SQLite does not have");
	ck_assert_int_gt(lite_int(bed->sqlite, count), lean);
	bed_expect(bed, 0, "migrate --json", "\"steps\": []");
	lite_sql(bed->sqlite, "ALTER TABLE memory_entries DROP COLUMN value");
	bed_expect(bed, 78, "migrate --json", "lacks column value");
	bed_free(bed);
}
END_TEST

/* Proves: what two streams of one table lack is made once. */
START_TEST(two_streams_of_a_table)
{
	struct bed *bed = bed_new("litetwice");
	for (int i = 0; i < 2; i++)
		bed_stream_files(bed, i ? "one" : "two", 1, "schemas/memory_event.avsc", NULL);
	lite_begin(bed, NULL);
	lite_sql(bed->sqlite, "ALTER TABLE memory_entries DROP COLUMN data_source");
	bed_expect(bed, 78, "check --online", "1 error");
	bed_expect(bed, 0, "migrate", "added column memory_entries.data_source");
	bed_expect(bed, 0, "migrate --json", "\"steps\": []");
	bed_free(bed);
}
END_TEST

/*
 * Proves: names that SQLite can not tell apart are told before anything is made: columns that
 * differ by case only, also from our own, and the last name of a row's number.
 */
START_TEST(names_of_a_file)
{
	static const char schema[] =
		"{\"type\": \"record\", \"name\": \"Names\", \"pg\": {\"table\": \"names\","
		" \"key\": [\"id\"]}, \"fields\": [{\"name\": \"id\", \"type\": \"string\"},"
		"{\"name\": \"Id\", \"type\": \"int\"}, {\"name\": \"Created_At\", \"type\":"
		" \"int\"}, {\"name\": \"oid\", \"type\": \"int\"}, {\"name\": \"rowid\","
		" \"type\": \"int\"}, {\"name\": \"_rowid_\", \"type\": \"int\"}]}";
	struct bed *bed = ledger_bed("litenames", 1);
	char path[200];
	lite_begin(bed, NULL);
	put_file(bed, path, "names.avsc", schema);
	bed_stream_files(bed, "names", 1, path, NULL);
	bed_expect(bed, 78, "migrate", "so columns id and Id would be one");
	bed_expect(bed, 78, "migrate", "so columns Created_At and created_at would be one");
	bed_expect(bed, 78, "migrate", "rowid, oid and _rowid_ can not all be columns");
	ck_assert_int_eq(
		lite_int(bed->sqlite, "SELECT count(*) FROM sqlite_schema WHERE name = 'names'"),
		0);
	bed_free(bed);
}
END_TEST

static void sqlite_use_tests(TCase *tc)
{
	tcase_add_loop_test(tc, searched_as_postgresql, 0, 3);
	tcase_add_test(tc, wide_documents);
	tcase_add_loop_test(tc, read_by_sqlite_vec, 0, 2);
	tcase_add_loop_test(tc, searched_by_sqlite_vec, 0, 3);
	tcase_add_test(tc, asked_in_words);
	tcase_add_test(tc, lines_of_the_readme);
	tcase_add_test(tc, beside_a_worker);
	tcase_add_test(tc, gateway_waits_for_it);
	tcase_add_test(tc, indexes_asked_for);
	tcase_add_test(tc, two_streams_of_a_table);
	tcase_add_test(tc, names_of_a_file);
}
SYSTEM_SUITE("sqlite_use", 60, sqlite_use_tests)

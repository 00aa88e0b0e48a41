/*
 * test_sqlite.c - rows in a SQLite file, here in memory: every sequence of three events against a
 * model of a few lines, forms of values, sums, JSON, and whose fault a refusal is.
 *
 * The sequences and their model (merge_model.h) are also played on PostgreSQL, by
 * tests/system/test_merge.c.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/pgbin.h"
#include "core/arrange.h"
#include "merge_model.h"
#include "sqlite/db.h"
#include "sqlite/form.h"
#include "sqlite/functions.h"
#include "sqlite/keys.h"
#include "sqlite/rows.h"
#include "unit.h"

/* --- a table in memory --- */

struct ground {
	struct db db;
	struct table table;
	struct stream_config config;
	struct stream stream;
	struct config settings;
	struct rows rows;
	struct batch *batch;
};

static void must(struct db *db, const char *sql)
{
	struct err err = {0};
	ck_assert_msg(db_exec(db, sql, &err), "%s: %s", sql, err.text);
}

static struct ground *ground_new(struct column *all, size_t ncolumns, int version,
				 enum on_conflict how)
{
	struct ground *g = xcalloc(1, sizeof(*g));
	struct err err = {0};
	struct buf ddl = {0};
	g->table = (struct table){.name = "t",
				  .columns = all,
				  .ncolumns = ncolumns,
				  .nkeys = 1,
				  .version = version,
				  .delete_field = -1};
	g->config = (struct stream_config){.name = "t", .on_conflict = how};
	g->stream = (struct stream){.config = &g->config, .table = &g->table};
	g->settings = (struct config){.dlq_max_ratio = 1, .dlq_window = 1000};
	ck_assert_msg(db_open(&g->db, ":memory:", DB_CREATE, -1, &err), "%s", err.text);
	tablesql_create(&g->table, &ddl);
	must(&g->db, buf_cstr(&ddl));
	buf_free(&ddl);
	rows_open(&g->rows, &g->stream);
	g->batch = batch_new(KEYS, 4 << 20);
	g->batch->stream = &g->stream;
	return g;
}

static void ground_free(struct ground *g)
{
	rows_close(&g->rows);
	db_close(&g->db);
	batch_free(g->batch);
	free(g);
}

static void put_int8(struct buf *out, int64_t n)
{
	if (n == NONE)
		pgbin_null(out);
	else
		pgbin_int8(out, n);
}

/* The row stands at the end of the batch's bytes, from "start" on; its key is one bigint. */
static void add_event(struct batch *b, size_t start, bool delete)
{
	const struct record record = {.op = delete ? RECORD_DELETE : RECORD_UPSERT,
				      .row_len = b->rows.len - start,
				      .key_len = 12};
	uint32_t span = batch_span(b, "topic", 0, b, 0, 1);
	batch_add(b, span, (int64_t)b->nevents, -1, &record);
}

static enum rows_result write_rows(struct ground *g, struct err *err)
{
	must(&g->db, "BEGIN");
	arrange_in_order(g->batch);
	enum rows_result result = rows_write(&g->rows, &g->db, &g->settings, g->batch, NULL, err);
	if (result == ROWS_DONE)
		must(&g->db, "COMMIT");
	else
		db_rollback(&g->db);
	return result;
}

static void assert_says(struct ground *g, const char *sql, const char *expected)
{
	struct err err = {0};
	bool row = false;
	sqlite3_stmt *stmt = db_prepare(&g->db, sql, &err);
	ck_assert_msg(stmt && db_row(&g->db, stmt, &row, &err) && row, "%s: %s", sql, err.text);
	const char *text = (const char *)sqlite3_column_text(stmt, 0);
	ck_assert_str_eq(text ? text : "null", expected);
	sqlite3_finalize(stmt);
}

/* --- every sequence --- */

static void put_event(struct batch *b, size_t key, const struct play_event *e, size_t ncolumns)
{
	size_t start = b->rows.len;
	char text[64];
	put_int8(&b->rows, (int64_t)key);
	put_int8(&b->rows, e->version);
	snprintf(text, sizeof(text), "{\"p\": %" PRId64 ", \"k%" PRId64 "\": 1}", e->payload,
		 e->payload);
	for (size_t c = REPLACE; c < ncolumns; c++) {
		if (c == JSON && e->payload != NONE)
			pgbin_jsonb(&b->rows, (struct slice){(const uint8_t *)text, strlen(text)});
		else
			put_int8(&b->rows, e->payload);
	}
	add_event(b, start, e->delete);
}

static void assert_cell(sqlite3_stmt *stmt, int column, size_t key, int64_t expected)
{
	char why[80];
	snprintf(why, sizeof(why), "key %03zx column %s", key, columns[column].name);
	if (expected == NONE) {
		ck_assert_msg(sqlite3_column_type(stmt, column) == SQLITE_NULL, "%s", why);
	} else if (column == JSON) {
		const char *text = (const char *)sqlite3_column_text(stmt, column);
		char p[32];
		snprintf(p, sizeof(p), "\"p\":%" PRId64 ",", expected / 4);
		ck_assert_msg(strstr(text, p) && !strstr(text, "k5") == !(expected & 1) &&
				      !strstr(text, "k7") == !(expected & 2),
			      "%s: %s", why, text);
	} else {
		ck_assert_msg(sqlite3_column_int64(stmt, column) == expected, "%s", why);
	}
}

static void assert_table(struct ground *g, const struct row *rows)
{
	struct err err = {0};
	bool there = false;
	sqlite3_stmt *stmt = db_prepare(&g->db, "SELECT * FROM t ORDER BY id", &err);
	for (size_t key = 0; key < KEYS; key++) {
		if (!rows[key].exists)
			continue;
		ck_assert(db_row(&g->db, stmt, &there, &err) && there);
		for (size_t c = 0; c < g->table.ncolumns; c++)
			assert_cell(stmt, (int)c, key, rows[key].v[c]);
	}
	ck_assert(db_row(&g->db, stmt, &there, &err) && !there);
	sqlite3_finalize(stmt);
}

/*
 * Proves: table and counts equal the model after every sequence of three events, under each
 * on_conflict, with columns that accumulate and without.
 */
START_TEST(every_sequence)
{
	enum on_conflict how = (enum on_conflict)(_i / 2);
	struct ground *g = ground_new(columns, _i & 1 ? COLUMNS : SUM, VERSION, how);
	struct row *rows = xcalloc(KEYS, sizeof(*rows));
	struct err err = {0};
	for (int step = 0; step < STEPS; step++) {
		uint64_t effects = 0;
		for (size_t key = 0; key < KEYS; key++) {
			struct play_event e = event_of(key, step);
			effects += apply(&rows[key], key, &e, how, g->table.ncolumns);
			put_event(g->batch, key, &e, g->table.ncolumns);
		}
		ck_assert_int_eq(write_rows(g, &err), ROWS_DONE);
		ck_assert_uint_eq(g->batch->spans[0].now.written, effects);
		batch_reset(g->batch);
	}
	assert_table(g, rows);
	free(rows);
	ground_free(g);
}
END_TEST

/* --- floats --- */

#define DOUBLE .type = "double precision", .stage_type = "double precision", .kind = PG_FLOAT8
static struct column floats[] = {
	{.name = "id", BIGINT, .not_null = true},
	{.name = "low", DOUBLE, .merge = MERGE_MIN},
	{.name = "high", DOUBLE, .merge = MERGE_MAX},
	{.name = "sum", DOUBLE, .merge = MERGE_ADD},
};

static void write_float(struct ground *g, double v)
{
	struct err err = {0};
	size_t start = g->batch->rows.len;
	put_int8(&g->batch->rows, 1);
	for (int i = 0; i < 3; i++)
		pgbin_float8(&g->batch->rows, v);
	add_event(g->batch, start, false);
	ck_assert_msg(write_rows(g, &err) == ROWS_DONE, "%s", err.text);
	batch_reset(g->batch);
}

/*
 * Proves: NaN is greater than any number and poisons a sum, as in PostgreSQL; infinities are kept;
 * -0.0 is 0.
 */
START_TEST(floats_in_order)
{
	struct ground *g = ground_new(floats, ARRAY_LEN(floats), -1, CONFLICT_UPDATE);
	write_float(g, -0.0);
	write_float(g, 2.5);
	assert_says(g, "SELECT low || ' ' || high || ' ' || sum FROM t", "0.0 2.5 2.5");
	write_float(g, (double)NAN);
	assert_says(g, "SELECT low || ' ' || high || ' ' || sum FROM t", "0.0 NaN NaN");
	write_float(g, -(double)INFINITY);
	assert_says(g, "SELECT low || ' ' || high || ' ' || sum FROM t", "-Inf NaN NaN");
	ground_free(g);
}
END_TEST

/* --- functions --- */

static const struct {
	const char *sql, *expected; /* NULL: refused */
} calls[] = {
	{"memingest_add(32767, -1, 1)", "32766"},
	{"memingest_add(32767, 1, 1)", NULL},
	{"memingest_add(-32768, -1, 1)", NULL},
	{"memingest_add(2147483647, 1, 2)", NULL},
	{"memingest_add(9223372036854775807, 0, 3)", "9223372036854775807"},
	{"memingest_add(9223372036854775807, 1, 3)", NULL},
	{"memingest_add(16777216.0, 1.0, 4)", "16777216.0"},
	{"memingest_add(16777216.0, 1.0, 5)", "16777217.0"},
	{"memingest_add(1e308, 1e308, 5)", NULL},
	{"memingest_add(3e38, 3e38, 4)", NULL},
	{"memingest_add(9e999, -9e999, 5)", "NaN"},
	{"memingest_json('{\"a\": 1, \"b\": {\"x\": 1}}', '{\"b\": {\"y\": 2}, \"c\": 1.50}')",
	 "{\"a\":1,\"b\":{\"y\":2},\"c\":1.50}"},
	{"memingest_json('{\"a\": 1}', '{\"a\": null}')", "{\"a\":null}"},
	{"memingest_json('[1]', '[2, 3]')", "[1,2,3]"},
	{"memingest_json('[]', '[2]')", "[2]"},
	{"memingest_json('[1]', '[]')", "[1]"},
	{"memingest_json('[1]', '{\"a\": 2}')", "[1,{\"a\":2}]"},
	{"memingest_json('1', '\"x\"')", "[1,\"x\"]"},
	{"memingest_json('{\"a\": 1}', 'null')", "{\"a\": 1}"},
	{"memingest_json('null', '[1]')", "[1]"},
	{"memingest_differ(1, 1, NULL, NULL, x'00', x'00')", "0"},
	{"memingest_differ(1, 1, 'a', 'A')", "1"},
	{"memingest_differ(NULL, 0)", "1"},
	{"memingest_differ('1', 1)", "1"},
};

/* Proves: sums stay within their type or are refused, and JSON is joined as jsonb's || does it. */
START_TEST(function_calls)
{
	struct db db;
	struct err err = {0};
	bool row;
	char *sql = xasprintf("SELECT %s", calls[_i].sql);
	ck_assert(PG_INT2 == 1 && PG_INT4 == 2 && PG_INT8 == 3 && PG_FLOAT4 == 4 && PG_FLOAT8 == 5);
	ck_assert(db_open(&db, ":memory:", DB_CREATE, -1, &err));
	sqlite3_stmt *stmt = db_prepare(&db, sql, &err);
	ck_assert_msg(stmt != NULL, "%s: %s", sql, err.text);
	bool ok = db_row(&db, stmt, &row, &err);
	ck_assert_msg(ok == (calls[_i].expected != NULL), "%s: %s", sql, err.text);
	if (ok)
		ck_assert_str_eq((const char *)sqlite3_column_text(stmt, 0), calls[_i].expected);
	else
		ck_assert_int_eq(db.trouble, DB_EVENT);
	sqlite3_finalize(stmt);
	db_close(&db);
	free(sql);
}
END_TEST

/*
 * Proves: JSON is stored without blanks, its keys in order and its numbers as they came; of a key
 * that stands twice the last value stays, at any depth.
 */
START_TEST(json_as_stored)
{
	static const char twice[] = "{\"a\": [{\"x\": 1, \"x\": 2}], \"b\": 1.10, \"b\": 2.0}",
			  once[] = "{\"b\": {\"c\": \"\\u00e4\"},\n \"a\": -1.50e+2}";
	struct buf out = {0};
	ck_assert(json_compact((struct slice){(const uint8_t *)twice, strlen(twice)}, &out));
	ck_assert_str_eq(buf_cstr(&out), "{\"a\":[{\"x\":2}],\"b\":2.0}");
	out.len = 0;
	ck_assert(json_compact((struct slice){(const uint8_t *)once, strlen(once)}, &out));
	ck_assert_str_eq(buf_cstr(&out), "{\"b\":{\"c\":\"\u00e4\"},\"a\":-1.50e+2}");
	out.len = 0;
	ck_assert(!json_compact((struct slice){(const uint8_t *)"{", 1}, &out));
	buf_free(&out);
}
END_TEST

/* --- verdicts --- */

static void send(struct ground *g, int64_t id, int64_t n)
{
	size_t start = g->batch->rows.len;
	put_int8(&g->batch->rows, id);
	put_int8(&g->batch->rows, 1);
	put_int8(&g->batch->rows, n);
	add_event(g->batch, start, false);
}

/*
 * Proves: a constraint is the event's fault, all culprits of a batch are found at once, and nothing
 * is left of the transaction.
 */
START_TEST(constraint)
{
	struct ground *g = ground_new(columns, KEEP, VERSION, CONFLICT_NEWER);
	struct err err = {0};
	must(&g->db, "CREATE UNIQUE INDEX u ON t (\"Replace\")");
	send(g, 1, 10);
	send(g, 2, 10);
	send(g, 3, 11);
	send(g, 4, 11);
	ck_assert_int_eq(write_rows(g, &err), ROWS_REFUSED);
	ck_assert_uint_eq(g->batch->nrefused, 2);
	ck_assert_uint_eq(g->batch->refused[0].event, 1);
	ck_assert_uint_eq(g->batch->refused[1].event, 3);
	ck_assert_int_eq(g->batch->refused[0].reason, REASON_CONSTRAINT);
	assert_says(g, "SELECT count(*) FROM t", "0");
	ground_free(g);
}
END_TEST

/*
 * Proves: an error that says nothing about whose fault it is, is the event's if another row passes,
 * else the table's; a missing column is the table's at once.
 */
START_TEST(whose_fault)
{
	struct ground *g = ground_new(columns, KEEP, VERSION, CONFLICT_NEWER);
	struct err err = {0};
	must(&g->db, "CREATE TRIGGER odd BEFORE INSERT ON t WHEN new.\"Replace\" < 0 BEGIN"
		     " SELECT json(CAST(new.\"Replace\" AS TEXT) || 'x'); END");
	send(g, 1, -1);
	ck_assert_int_eq(write_rows(g, &err), ROWS_FAILED);
	ck_assert_int_eq(err.class, ERR_CONFIG);
	ck_assert_int_eq(g->db.trouble, DB_TABLE);
	batch_forgive(g->batch);
	send(g, 2, 1);
	ck_assert_int_eq(write_rows(g, &err), ROWS_REFUSED);
	ck_assert_uint_eq(g->batch->nrefused, 1);
	ck_assert_int_eq(g->batch->refused[0].reason, REASON_DATABASE);
	ground_free(g);
}
END_TEST

/* --- keys --- */

/* A field of that kind, goes into a file and comes back by memingest_key(). */
static void there_and_back(struct db *db, enum pg_kind kind, const struct buf *field)
{
	const struct column c = {.kind = kind, .type = "", .stage_type = ""};
	struct err err = {0};
	struct buf scratch = {0};
	bool row;
	char *sql = xasprintf("SELECT memingest_key(%d, ?1)", (int)kind);
	sqlite3_stmt *stmt = db_prepare(db, sql, &err);
	ck_assert_msg(stmt != NULL, "%s", err.text);
	buf_grow(&scratch, 1000);
	form_bind(stmt, 1, &c, (struct slice){field->data + 4, field->len - 4}, &scratch);
	ck_assert(db_row(db, stmt, &row, &err) && row);
	ck_assert_msg(sqlite3_column_bytes(stmt, 0) == (int)field->len,
		      "kind %d: %d bytes, not %zu", (int)kind, sqlite3_column_bytes(stmt, 0),
		      field->len);
	ck_assert_mem_eq(sqlite3_column_blob(stmt, 0), field->data, field->len);
	sqlite3_finalize(stmt);
	buf_free(&scratch);
	free(sql);
}

/* Unscaled value (big-endian) and scale. */
static void numeric_back(struct db *db, const char *unscaled, size_t len, uint32_t scale)
{
	struct buf field = {0};
	struct refusal why;
	ck_assert(pgbin_numeric(&field, (struct slice){(const uint8_t *)unscaled, len}, 0, scale,
				&why));
	there_and_back(db, PG_NUMERIC, &field);
	buf_free(&field);
}

/*
 * Proves: a key's value, of every type that can be one, is read from a file as the bytes that
 * events of that key have, by which "verify" and "why" find them.
 */
START_TEST(keys_there_and_back)
{
	static const int64_t numbers[] = {0, 1, -1, 32767, -32768};
	struct db db;
	struct err err = {0};
	struct refusal why;
	struct buf f = {0};
	ck_assert(db_open(&db, ":memory:", DB_CREATE, -1, &err) && keys_add(&db, &err));
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		int64_t n = numbers[i];
		f.len = 0, pgbin_int2(&f, (int16_t)n), there_and_back(&db, PG_INT2, &f);
		f.len = 0, pgbin_int4(&f, (int32_t)n), there_and_back(&db, PG_INT4, &f);
		f.len = 0, pgbin_int8(&f, n * INT64_C(1000000007)),
		there_and_back(&db, PG_INT8, &f);
		f.len = 0, pgbin_bool(&f, n != 0), there_and_back(&db, PG_BOOL, &f);
		f.len = 0;
		ck_assert(pgbin_date(&f, n, &why));
		there_and_back(&db, PG_DATE, &f);
		f.len = 0;
		ck_assert(pgbin_time(&f, llabs(n), &why));
		there_and_back(&db, PG_TIME, &f);
		f.len = 0;
		ck_assert(pgbin_timestamp(&f, n * 99999999, UNIT_MICROS, &why));
		there_and_back(&db, PG_TIMESTAMP, &f);
	}
	static const char *const texts[] = {"", "k", "it's \"so\"", "\xc3\xa4\n"};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		const struct slice text = {(const uint8_t *)texts[i], strlen(texts[i])};
		f.len = 0, pgbin_bytes(&f, text), there_and_back(&db, PG_TEXT, &f);
		f.len = 0, pgbin_bytes(&f, text), there_and_back(&db, PG_BYTEA, &f);
	}
	f.len = 0, pgbin_uuid(&f, (const uint8_t *)"\xde\xad\xbe\xef 0123456789a");
	there_and_back(&db, PG_UUID, &f);
	numeric_back(&db, "", 0, 0);
	numeric_back(&db, "\0", 1, 2);
	numeric_back(&db, "\xff", 1, 2);
	numeric_back(&db, "\xfa", 1, 0);
	numeric_back(&db, "\x27\x10", 2, 2);
	numeric_back(&db, "\x7f\xff\xff\xff\xff\xff\xff\xff\xff\xff", 10, 13);
	buf_free(&f);
	db_close(&db);
}
END_TEST

/* File systems of a network by their numbers, those that may be one, and any other. */
START_TEST(places)
{
	static const struct {
		uint32_t magic;
		enum db_place place;
		const char *name;
	} all[] = {{0x6969, DB_REMOTE, "NFS"},
		   {0xff534d42, DB_REMOTE, "CIFS"},
		   {0xfe534d42, DB_REMOTE, "SMB2"},
		   {0x00c36400, DB_REMOTE, "Ceph"},
		   {0x65735546, DB_DOUBTFUL, "FUSE"},
		   {0x01021997, DB_DOUBTFUL, "9P"},
		   {0xef53, DB_LOCAL, ""},
		   {0x01021994, DB_LOCAL, ""}};
	const char *name;
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		ck_assert_int_eq(db_place_of(all[i].magic, &name), all[i].place);
		ck_assert_str_eq(name, all[i].name);
	}
	ck_assert_int_eq(db_place("/proc/nothing", &name), DB_LOCAL);
	ck_assert_int_eq(db_place("nothing", &name), db_place(".", &name));
}
END_TEST

static Suite *sqlite_suite(void)
{
	Suite *s = suite_create("sqlite");
	TCase *tc = tcase_create("sqlite");
	tcase_add_loop_test(tc, every_sequence, 0, 2 * (CONFLICT_SKIP + 1));
	tcase_add_test(tc, places);
	tcase_add_test(tc, floats_in_order);
	tcase_add_loop_test(tc, function_calls, 0, ARRAY_LEN(calls));
	tcase_add_test(tc, json_as_stored);
	tcase_add_test(tc, keys_there_and_back);
	tcase_add_test(tc, constraint);
	tcase_add_test(tc, whose_fault);
	suite_add_tcase(s, tc);
	return s;
}
UNIT_SUITE(sqlite_suite)

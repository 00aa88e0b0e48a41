/*
 * test_merge.c - what the merge statements do on a real server, against a model of a few lines that
 * applies one event at a time.
 *
 * Every sequence of three events of one key is played (tests/unit/merge_model.h): 4,096 keys, three
 * batches; for each on_conflict, with and without columns that accumulate.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/merge_model.h"
#include "base/buf.h"
#include "bed.h"
#include "core/ddl.h"
#include "core/mergesql.h"
#include "system.h"

#define PARTS 3

static struct table table_of(size_t ncolumns)
{
	return (struct table){.name = "merged",
			      .columns = columns,
			      .ncolumns = ncolumns,
			      .nkeys = 1,
			      .version = VERSION,
			      .delete_field = -1};
}

/* --- rows to the server --- */

static void put_int8(struct buf *out, int64_t n)
{
	buf_be32(out, n == NONE ? UINT32_MAX : 8);
	if (n != NONE)
		buf_be64(out, (uint64_t)n);
}

static void put_jsonb(struct buf *out, int64_t payload)
{
	char text[64];
	snprintf(text, sizeof(text), "%c{\"p\": %" PRId64 ", \"k%" PRId64 "\": 1}", 1, payload,
		 payload);
	buf_be32(out, payload == NONE ? UINT32_MAX : (uint32_t)strlen(text));
	if (payload != NONE)
		buf_puts(out, text);
}

static void put_head(struct buf *out, size_t fields, size_t part, bool delete)
{
	buf_be16(out, (uint16_t)fields);
	buf_be32(out, 2);
	buf_be16(out, (uint16_t)part);
	buf_be32(out, 1);
	buf_u8(out, delete ? 'D' : 'U');
}

static void put_event(struct buf *out, size_t key, const struct play_event *e, size_t ncolumns)
{
	put_head(out, ncolumns + MERGESQL_STAGE_COLUMNS, key % PARTS, e->delete);
	put_int8(out, (int64_t)key);
	put_int8(out, e->version);
	for (size_t c = REPLACE; c < ncolumns; c++) {
		if (c == JSON)
			put_jsonb(out, e->payload);
		else
			put_int8(out, e->payload);
	}
}

static void copy(struct pg *pg, const struct mergesql *m, const struct buf *rows)
{
	static const char header[19] = "PGCOPY\n\377\r\n\0", trailer[2] = "\377\377";
	struct err err = {0};
	ck_assert_msg(pg_copy_begin(pg, m->copy_stage, NULL, 0, &err), "%s", err.text);
	ck_assert_msg(pg_copy_data(pg, header, sizeof(header), &err) &&
			      pg_copy_data(pg, rows->data, rows->len, &err) &&
			      pg_copy_data(pg, trailer, sizeof(trailer), &err) &&
			      pg_copy_end(pg, &err) && pg_copy_results(pg, NULL, 0, &err),
		      "%s", err.text);
}

static void execute(struct pg *pg, const char *sql)
{
	struct err err = {0};
	ck_assert_msg(pg_exec(pg, sql, NULL, 0, &err), "%s: %s", sql, err.text);
}

static int64_t upsert(struct pg *pg, const struct mergesql *m)
{
	struct err err = {0};
	int64_t written = -1;
	ck_assert_msg(pg_exec(pg, m->merge_upsert, &written, 1, &err), "%s: %s", m->merge_upsert,
		      err.text);
	return written;
}

/* The counts that merge_delete and count_skipped return, by part. */
static void ask_parts(struct pg *pg, const char *sql, int64_t counts[PARTS])
{
	struct err err = {0};
	struct pg_rows *rows = pg_query(pg, sql, NULL, 0, &err);
	ck_assert_msg(rows != NULL, "%s: %s", sql, err.text);
	memset(counts, 0, PARTS * sizeof(counts[0]));
	for (size_t i = 0; i < pg_rows_count(rows); i++)
		counts[pg_int(rows, i, 0)] = pg_int(rows, i, 1);
	pg_rows_free(rows);
}

/* --- every sequence --- */

struct play {
	struct bed *bed;
	struct table table;
	struct mergesql *sql;
	enum on_conflict on_conflict;
	bool rounds; /* the three batches are rounds of one transaction */
	struct row *rows;
};

static void create(struct bed *bed, const struct table *t)
{
	struct buf ddl = {0};
	ddl_table(t, &ddl);
	bed_sql(bed, "%s", buf_cstr(&ddl));
	buf_free(&ddl);
}

static void play_step(struct play *p, int step)
{
	struct buf rows = {0};
	int64_t deleted[PARTS] = {0}, skipped[PARTS] = {0}, written = 0, found[PARTS];
	for (size_t key = 0; key < KEYS; key++) {
		struct play_event e = event_of(key, step);
		bool effect = apply(&p->rows[key], key, &e, p->on_conflict, p->table.ncolumns);
		put_event(&rows, key, &e, p->table.ncolumns);
		deleted[key % PARTS] += e.delete &&effect;
		skipped[key % PARTS] += !e.delete &&!effect;
		written += !e.delete &&effect;
	}
	struct pg *pg = p->bed->pg;
	if (!p->rounds || step == 0)
		execute(pg, "BEGIN");
	else
		execute(pg, p->sql->clear_stage);
	copy(pg, p->sql, &rows);
	ask_parts(pg, p->sql->merge_delete, found);
	for (int i = 0; i < PARTS; i++)
		ck_assert_int_eq(found[i], deleted[i]);
	ck_assert_int_eq(upsert(pg, p->sql), written);
	ask_parts(pg, p->sql->count_skipped, found);
	for (int i = 0; i < PARTS && !p->rounds; i++)
		ck_assert_int_eq(found[i], skipped[i]);
	if (!p->rounds || step == STEPS - 1)
		execute(pg, "COMMIT");
	buf_free(&rows);
}

static void assert_cell(const struct pg_rows *rows, size_t r, size_t column, int64_t key,
			int64_t expected)
{
	char text[64] = "";
	const char *found = pg_value(rows, r, column);
	if (column == JSON && expected != NONE)
		snprintf(text, sizeof(text), "{\"p\": %" PRId64 "%s%s}", expected / 4,
			 expected & 1 ? ", \"k5\": 1" : "", expected & 2 ? ", \"k7\": 1" : "");
	else if (expected != NONE)
		snprintf(text, sizeof(text), "%" PRId64, expected);
	ck_assert_msg(expected == NONE ? found == NULL : found && strcmp(found, text) == 0,
		      "key %03" PRIx64 " column %s: expected %s, found %s", (uint64_t)key,
		      columns[column].name, expected == NONE ? "null" : text,
		      found ? found : "null");
}

static void assert_table(struct play *p)
{
	struct pg_rows *rows = bed_query(p->bed, "SELECT * FROM merged ORDER BY id");
	size_t r = 0;
	for (size_t key = 0; key < KEYS; key++) {
		if (!p->rows[key].exists)
			continue;
		ck_assert_uint_lt(r, pg_rows_count(rows));
		for (size_t c = 0; c < p->table.ncolumns; c++)
			assert_cell(rows, r, c, (int64_t)key, p->rows[key].v[c]);
		r++;
	}
	ck_assert_uint_eq(r, pg_rows_count(rows));
	pg_rows_free(rows);
}

/*
 * Table and row counts equal the model after every sequence: for newer, update, skip; with
 * accumulating columns and without (two forms of the statement); as three transactions and as three
 * rounds of one.
 */
START_TEST(every_sequence)
{
	struct play p = {.bed = bed_new("merge"),
			 .table = table_of(_i & 1 ? COLUMNS : SUM),
			 .on_conflict = (enum on_conflict)(_i / 4),
			 .rounds = (_i & 2) != 0,
			 .rows = xcalloc(KEYS, sizeof(struct row))};
	p.sql = mergesql_new("merge", &p.table, p.on_conflict);
	create(p.bed, &p.table);
	execute(p.bed->pg, p.sql->create_stage);
	for (int step = 0; step < STEPS; step++)
		play_step(&p, step);
	assert_table(&p);
	mergesql_free(p.sql);
	free(p.rows);
	bed_free(p.bed);
}
END_TEST

/* --- what it costs --- */

enum { TABLE_ROWS = 200000, LATE = 100000, DELETES = 5000 };

static void put_late(struct buf *rows, size_t ncolumns, size_t deletes)
{
	for (size_t i = 0; i < LATE; i++) {
		struct play_event e = {.version = 1, .delete = i < deletes};
		put_event(rows, i * (TABLE_ROWS / LATE), &e, ncolumns);
	}
}

/* In this transaction, and in those before that the server has not counted yet. */
static int64_t whole_reads(struct bed *bed)
{
	return bed_int(bed, "SELECT seq_scan FROM pg_stat_xact_user_tables"
			    " WHERE relname = 'merged'");
}

/*
 * Proves: what a batch costs does not grow with its table. No statement reads all of it, whether
 * the planner knows the table or, as with one that stands in, does not. (The join of the deletes
 * is left to a planner that knows: it takes them for few, and reads a table only if that is small.)
 */
START_TEST(lookups)
{
	struct bed *bed = bed_new("lookups");
	struct table t = table_of(_i & 1 ? COLUMNS : SUM);
	struct buf rows = {0};
	size_t deletes = _i & 2 ? DELETES : 0;
	int64_t counts[PARTS];
	t.stands_in = (_i & 2) != 0;
	struct mergesql *m = mergesql_new("lookups", &t, CONFLICT_NEWER);
	create(bed, &t);
	bed_sql(bed, "ALTER TABLE merged SET (autovacuum_enabled = off)");
	bed_sql(bed, "INSERT INTO merged (id, version) SELECT i, 2 FROM generate_series(0, %d) i",
		TABLE_ROWS);
	if (!t.stands_in)
		bed_sql(bed, "ANALYZE merged");
	execute(bed->pg, m->create_stage);
	execute(bed->pg, "BEGIN");
	int64_t before = whole_reads(bed);
	put_late(&rows, t.ncolumns, deletes);
	copy(bed->pg, m, &rows);
	if (m->check_united)
		execute(bed->pg, m->check_united);
	ask_parts(bed->pg, m->merge_delete, counts);
	upsert(bed->pg, m);
	ask_parts(bed->pg, m->count_skipped, counts);
	ck_assert_int_eq(counts[0] + counts[1] + counts[2], _i & 1 ? 0 : LATE - (int64_t)deletes);
	ck_assert_int_eq(whole_reads(bed), before);
	execute(bed->pg, "COMMIT");
	buf_free(&rows);
	mergesql_free(m);
	bed_free(bed);
}
END_TEST

/* --- updates that change nothing --- */

/*
 * One row of the table "typed", replayed. which: the column that differs from the first time, or
 * -1.
 */
static void put_typed(struct buf *out, int which)
{
	static const char json[2][12] = {"{\"a\": 1}", "{\"a\":  1}"}, text[2][4] = {"abc", "ABC"};
	put_head(out, 5 + MERGESQL_STAGE_COLUMNS, 0, false);
	put_int8(out, 1);
	buf_be32(out, (uint32_t)strlen(json[which == 1]));
	buf_puts(out, json[which == 1]);
	buf_be32(out, 16);
	buf_be64(out, UINT64_C(0x3ff0000000000000));
	buf_be64(out, which == 2 ? 0 : UINT64_C(0x3ff0000000000000));
	buf_be32(out, 3);
	buf_puts(out, text[which == 3]);
	/* real[]: one dimension, no nulls, oid 700, three elements from 1 on */
	buf_be32(out, 20 + 3 * 8);
	buf_be32(out, 1);
	buf_be32(out, 0);
	buf_be32(out, 700);
	buf_be32(out, 3);
	buf_be32(out, 1);
	for (int i = 0; i < 3; i++) {
		buf_be32(out, 4);
		buf_be32(out, which == 4 && i == 2 ? 0 : UINT32_C(0x3f800000));
	}
}

/*
 * The same row again writes nothing, and a change in any one column writes it: also for types that
 * have no equality operator (json, point), for what a cast makes of the staged value (vector), and
 * without a version column.
 */
START_TEST(unchanged_rows)
{
	struct bed *bed = bed_new("unchanged");
	bool vector =
		bed_int(bed, "SELECT count(*) FROM pg_extension WHERE extname = 'vector'") == 1;
	struct column typed[] = {
		columns[ID],
		{.name = "j", .type = "json", .stage_type = "json", .kind = PG_TEXT},
		{.name = "p", .type = "point", .stage_type = "point", .kind = PG_TEXT},
		{.name = "t",
		 .type = "varchar(3)",
		 .stage_type = "text",
		 .cast = true,
		 .kind = PG_TEXT},
		{.name = "v",
		 .type = vector ? "vector(3)" : "real[]",
		 .stage_type = "real[]",
		 .cast = vector},
	};
	struct table t = {.name = "typed",
			  .columns = typed,
			  .ncolumns = 5,
			  .nkeys = 1,
			  .version = -1,
			  .delete_field = -1};
	struct mergesql *m = mergesql_new("typed", &t, CONFLICT_NEWER);
	create(bed, &t);
	execute(bed->pg, m->create_stage);
	for (int which = -2; which < 5; which++) {
		struct buf rows = {0};
		put_typed(&rows, which);
		execute(bed->pg, "BEGIN");
		copy(bed->pg, m, &rows);
		ck_assert_int_eq(upsert(bed->pg, m), which == -1 || which == 0 ? 0 : 1);
		execute(bed->pg, "COMMIT");
		buf_free(&rows);
	}
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM typed"), 1);
	ck_assert_int_eq(bed_int(bed, "SELECT (updated_at > created_at)::int FROM typed"), 1);
	mergesql_free(m);
	bed_free(bed);
}
END_TEST

/*
 * A table that is all key has nothing to update: the statement is valid, and a row again is no
 * error.
 */
START_TEST(all_key)
{
	struct bed *bed = bed_new("allkey");
	struct column both[] = {columns[ID], columns[VERSION]};
	struct table t = {.name = "pairs",
			  .columns = both,
			  .ncolumns = 2,
			  .nkeys = 2,
			  .version = -1,
			  .delete_field = -1};
	struct mergesql *m = mergesql_new("pairs", &t, CONFLICT_NEWER);
	create(bed, &t);
	execute(bed->pg, m->create_stage);
	for (int expected = 1; expected >= 0; expected--) {
		struct buf rows = {0};
		struct play_event e = {.version = 1};
		put_event(&rows, 1, &e, 2);
		execute(bed->pg, "BEGIN");
		copy(bed->pg, m, &rows);
		ck_assert_int_eq(upsert(bed->pg, m), expected);
		execute(bed->pg, "COMMIT");
		buf_free(&rows);
	}
	mergesql_free(m);
	bed_free(bed);
}
END_TEST

/* --- order --- */

/*
 * Rows are merged in the order of the staging table, which is that of the keys: the plan neither
 * sorts nor hashes, and a new table holds them in that order. (Lanes that lock rows in different
 * orders would deadlock.)
 */
START_TEST(key_order)
{
	struct bed *bed = bed_new("order");
	struct table t = table_of(SUM);
	struct mergesql *m = mergesql_new("order", &t, CONFLICT_NEWER);
	struct buf rows = {0};
	create(bed, &t);
	execute(bed->pg, m->create_stage);
	for (size_t key = 0; key < 20000; key++) {
		struct play_event e = {.version = 1, .payload = 5};
		put_event(&rows, key * 7919 % 20000, &e, SUM);
	}
	for (int pass = 0; pass < 2; pass++) {
		execute(bed->pg, "BEGIN");
		copy(bed->pg, m, &rows);
		struct pg_rows *plan = bed_query(bed, "EXPLAIN (COSTS OFF) %s", m->merge_upsert);
		const char *last = pg_value(plan, pg_rows_count(plan) - 2, 0);
		ck_assert_msg(strstr(last, "Seq Scan on memingest_stage_order"), "%s", last);
		for (size_t i = 0; i < pg_rows_count(plan); i++)
			ck_assert_msg(!strstr(pg_value(plan, i, 0), "Sort") &&
					      !strstr(pg_value(plan, i, 0), "Hash"),
				      "%s", pg_value(plan, i, 0));
		pg_rows_free(plan);
		ck_assert_int_eq(upsert(bed->pg, m), pass == 0 ? 20000 : 0);
		execute(bed->pg, "COMMIT; ANALYZE merged");
	}
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM (SELECT id, row_number() OVER (ORDER "
				      "BY ctid) - 1 AS n"
				      " FROM merged) x WHERE id = n * 7919 %% 20000"),
			 20000);
	buf_free(&rows);
	mergesql_free(m);
	bed_free(bed);
}
END_TEST

/* --- two sessions at one key --- */

struct session {
	struct pg *pg;
	const struct mergesql *sql;
	struct play_event event;
};

/* Everything but COMMIT. */
static void merge_one(const struct session *s)
{
	struct buf rows = {0};
	int64_t counts[PARTS];
	execute(s->pg, "BEGIN");
	put_event(&rows, 1, &s->event, COLUMNS);
	copy(s->pg, s->sql, &rows);
	ask_parts(s->pg, s->sql->merge_delete, counts);
	(void)upsert(s->pg, s->sql);
	buf_free(&rows);
}

static void *merge_and_commit(void *arg)
{
	const struct session *s = arg;
	merge_one(s);
	execute(s->pg, "COMMIT");
	return NULL;
}

static struct pg *open_session(struct bed *bed, const struct mergesql *m)
{
	struct config config = {.pg_dsn = bed->dsn,
				.pg_statement_timeout_us = 60 * US_PER_S,
				.pg_lock_timeout_us = 60 * US_PER_S,
				.pg_connect_timeout_us = 10 * US_PER_S};
	struct err err = {0};
	struct pg *pg = pg_connect(&config, "test", -1, &err);
	ck_assert_msg(pg != NULL, "%s", err.text);
	execute(pg, m->create_stage);
	return pg;
}

static const struct {
	bool row; /* a row of version 1 is there before */
	struct play_event first, second;
	int64_t version; /* of the row in the end; NONE: there is none */
	int64_t sum;
} races[] = {
	{false, {false, 2, 5}, {false, 3, 7}, 3, 12}, /* both insert */
	{false, {false, 3, 5}, {false, 2, 7}, 3, 12}, /* both insert, the second is stale */
	{true, {false, 3, 5}, {false, 2, 7}, 3, 13},  /* both update */
	/* the row that the second means to update goes */
	{true, {true, 2, NONE}, {false, 3, 7}, 3, 7},
	/* the row that the second means to delete becomes too new */
	{true, {false, 3, 5}, {true, 2, NONE}, 3, 6},
	{true, {false, 2, 5}, {true, 3, NONE}, NONE, 0},
};

/*
 * The second of two sessions waits for the first and then does what it would have done alone: no
 * error, no lost event.
 */
START_TEST(two_sessions)
{
	struct bed *bed = bed_new("race");
	struct table t = table_of(COLUMNS);
	struct mergesql *m = mergesql_new("race", &t, CONFLICT_NEWER);
	create(bed, &t);
	if (races[_i].row)
		bed_sql(bed, "INSERT INTO merged (id, version, sum) VALUES (1, 1, 1)");
	struct session first = {open_session(bed, m), m, races[_i].first},
		       second = {open_session(bed, m), m, races[_i].second};
	pthread_t thread;
	merge_one(&first);
	ck_assert_int_eq(pthread_create(&thread, NULL, merge_and_commit, &second), 0);
	BED_WAIT(bed, 10,
		 bed_int(bed,
			 "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
			 " AND wait_event_type = 'Lock'") == 1);
	execute(first.pg, "COMMIT");
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	if (races[_i].version == NONE) {
		ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM merged"), 0);
	} else {
		ck_assert_int_eq(bed_int(bed, "SELECT version FROM merged"), races[_i].version);
		ck_assert_int_eq(bed_int(bed, "SELECT sum FROM merged"), races[_i].sum);
	}
	pg_free(first.pg);
	pg_free(second.pg);
	mergesql_free(m);
	bed_free(bed);
}
END_TEST

static void merge_tests(TCase *tc)
{
	tcase_add_loop_test(tc, every_sequence, 0, 12);
	tcase_add_loop_test(tc, lookups, 0, 4);
	tcase_add_test(tc, unchanged_rows);
	tcase_add_test(tc, all_key);
	tcase_add_test(tc, key_order);
	tcase_add_loop_test(tc, two_sessions, 0, ARRAY_LEN(races));
}
SYSTEM_SUITE("merge", 120, merge_tests)

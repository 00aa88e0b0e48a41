/*
 * test_mergesql.c - the SQL made from a table, as text. What the text does on a server is tested in
 * tests/system/test_merge.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/ddl.h"
#include "core/mergesql.h"
#include "unit.h"

static struct column facts_columns[] = {
	{.name = "id", .type = "bigint", .stage_type = "bigint", .kind = PG_INT8, .not_null = true},
	{.name = "at", .type = "timestamptz", .stage_type = "timestamptz", .kind = PG_TIMESTAMP},
	{.name = "we\"ird",
	 .type = "text",
	 .stage_type = "text",
	 .kind = PG_TEXT,
	 .default_sql = "''"},
};

static struct table facts(void)
{
	return (struct table){.schema = "my db",
			      .name = "facts",
			      .columns = facts_columns,
			      .ncolumns = 3,
			      .nkeys = 1,
			      .version = 1,
			      .delete_field = -1};
}

static void assert_has(const char *text, const char *part)
{
	ck_assert_msg(strstr(text, part) != NULL, "expected \"%s\" in: %s", part, text);
}

static void assert_has_not(const char *text, const char *part)
{
	ck_assert_msg(strstr(text, part) == NULL, "did not expect \"%s\" in: %s", part, text);
}

/*
 * What is sent a row at a time has the type that the schema says, without limits that would cut it.
 */
START_TEST(bare_types)
{
	static const char *const types[][2] = {{"varchar(3)", "$1::varchar, "},
					       {"character varying(3)", "$1::character varying, "},
					       {"char(3)", "$1::bpchar, "},
					       {"character(3)[]", "$1::bpchar[], "},
					       {"numeric(10, 2)", "$1::numeric, "},
					       {"text[]", "$1::text[], "},
					       {"double precision", "$1::double precision, "}};
	struct column columns[3];
	memcpy(columns, facts_columns, sizeof(columns));
	struct table t = facts();
	t.columns = columns;
	columns[0].type = columns[0].stage_type = types[_i % 7][0];
	struct mergesql *m = mergesql_new("facts", &t, CONFLICT_NEWER);
	assert_has(m->upsert_row, types[_i % 7][1]);
	mergesql_free(m);
	columns[0].cast = true;
	columns[0].type = "vector(3)";
	m = mergesql_new("facts", &t, CONFLICT_NEWER);
	assert_has(m->upsert_row, "::vector(3), $2");
	mergesql_free(m);
}
END_TEST

/*
 * A table whose columns are all replaced: the whole statement, every name quoted, and staleness
 * decided once in WHERE.
 */
START_TEST(newer_plain)
{
	struct table t = facts();
	struct mergesql *m = mergesql_new("facts", &t, CONFLICT_NEWER);
	ck_assert_str_eq(
		m->merge_upsert,
		"INSERT INTO \"my db\".\"facts\" AS t (\"id\", \"at\", \"we\"\"ird\")"
		" OVERRIDING SYSTEM VALUE SELECT s.\"id\", s.\"at\", s.\"we\"\"ird\" FROM "
		"pg_temp.\"memingest_stage_facts\" s"
		" WHERE s._op <> 'D' ON CONFLICT (\"id\") DO UPDATE SET \"at\" = excluded.\"at\","
		" \"we\"\"ird\" = excluded.\"we\"\"ird\", \"updated_at\" = now()"
		" WHERE (t.\"at\" IS NULL OR excluded.\"at\" >= t.\"at\") AND"
		" (t.\"at\" IS DISTINCT FROM excluded.\"at\" OR"
		" ROW(t.\"we\"\"ird\")::record OPERATOR(pg_catalog.*<>) "
		"ROW(excluded.\"we\"\"ird\")::record)");
	/* a row at a time does the same with it */
	const char *conflict = strstr(m->merge_upsert, " ON CONFLICT");
	char *row = xasprintf("INSERT INTO \"my db\".\"facts\" AS t (\"id\", \"at\", "
			      "\"we\"\"ird\") OVERRIDING SYSTEM VALUE VALUES "
			      "($1::bigint, $2::timestamptz,"
			      " $3::text)%s",
			      conflict);
	ck_assert_str_eq(m->upsert_row, row);
	free(row);
	ck_assert_str_eq(m->delete_row,
			 "DELETE FROM \"my db\".\"facts\" AS t WHERE t.\"id\" = $1::bigint AND"
			 " ($2::timestamptz IS NULL OR t.\"at\" IS NULL OR t.\"at\" <= $2)");
	assert_has(m->check_direct,
		   "CASE WHEN count(*) = 3 AND NOT EXISTS (SELECT FROM "
		   "pg_catalog.pg_trigger WHERE tgrelid = '\"my db\".\"facts\"'::regclass");
	assert_has(m->check_direct,
		   "(attname, atttypid) IN (('id', 'bigint'::regtype), "
		   "('at', 'timestamptz'::regtype), ('we\"ird', 'text'::regtype))");
	ck_assert_str_eq(m->lock_table, "LOCK TABLE \"my db\".\"facts\" IN ROW EXCLUSIVE MODE");
	ck_assert_ptr_null(m->check_united);
	assert_has(m->traits, "AS (VALUES ('id', 'bigint', false, true, false), "
			      "('at', 'timestamptz', true, false, true), "
			      "('we\"ird', 'text', true, false, true))");
	assert_has(m->traits, "a.attrelid = '\"my db\".\"facts\"'::regclass");
	ck_assert_uint_eq(m->delete_version, 1);
	ck_assert_str_eq(m->merge_delete, "WITH gone AS (DELETE FROM \"my db\".\"facts\" AS t "
					  "USING pg_temp.\"memingest_stage_facts\" s"
					  " WHERE s._op = 'D' AND t.\"id\" = s.\"id\" AND "
					  "(s.\"at\" IS NULL OR t.\"at\" IS NULL OR"
					  " t.\"at\" <= s.\"at\") RETURNING s._part) SELECT _part, "
					  "count(*) FROM gone GROUP BY _part");
	ck_assert_str_eq(m->create_stage,
			 "CREATE TEMP TABLE IF NOT EXISTS pg_temp.\"memingest_stage_facts\" (_part "
			 "int2, _op \"char\","
			 " \"id\" bigint, \"at\" timestamptz, \"we\"\"ird\" text) WITH "
			 "(toast_tuple_target = 8160)"
			 " ON COMMIT DELETE ROWS;\n");
	ck_assert_str_eq(m->copy_stage,
			 "COPY pg_temp.\"memingest_stage_facts\" FROM STDIN (FORMAT binary)");
	mergesql_free(m);
}
END_TEST

/*
 * With a column that counts stale events, too, staleness moves from WHERE into each column that
 * follows the version.
 */
START_TEST(newer_accumulating)
{
	struct column columns[] = {facts_columns[0], facts_columns[1], facts_columns[2],
				   facts_columns[0]};
	columns[3].name = "n";
	columns[3].merge = MERGE_ADD;
	struct table t = facts();
	t.columns = columns;
	t.ncolumns = 4;
	struct mergesql *m = mergesql_new("facts", &t, CONFLICT_NEWER);
	assert_has(m->merge_upsert, "\"at\" = greatest(t.\"at\", excluded.\"at\")");
	assert_has(m->merge_upsert,
		   "\"n\" = coalesce(t.\"n\" + excluded.\"n\", t.\"n\", excluded.\"n\")");
	assert_has(m->merge_upsert,
		   "\"we\"\"ird\" = CASE WHEN (t.\"at\" IS NULL OR excluded.\"at\" >= t.\"at\")"
		   " THEN excluded.\"we\"\"ird\" ELSE t.\"we\"\"ird\" END");
	assert_has_not(m->merge_upsert,
		       "WHERE (t.\"at\" IS NULL OR excluded.\"at\" >= t.\"at\") AND");
	mergesql_free(m);
}
END_TEST

/* Each rule's expression; keep is not set at all. */
START_TEST(rules)
{
	struct column columns[] = {facts_columns[0], facts_columns[0], facts_columns[0],
				   facts_columns[0], facts_columns[0], facts_columns[0]};
	static const char *const names[] = {"id", "keep", "coalesce", "min", "max", "json"};
	static const enum merge_rule merge[] = {MERGE_REPLACE, MERGE_KEEP, MERGE_COALESCE,
						MERGE_MIN,     MERGE_MAX,  MERGE_JSON};
	for (size_t i = 0; i < ARRAY_LEN(columns); i++) {
		columns[i].name = names[i];
		columns[i].merge = merge[i];
	}
	struct table t = facts();
	t.columns = columns;
	t.ncolumns = ARRAY_LEN(columns);
	t.version = -1;
	struct mergesql *m = mergesql_new("facts", &t, CONFLICT_UPDATE);
	assert_has_not(m->merge_upsert, "\"keep\" =");
	assert_has(m->merge_upsert,
		   "\"coalesce\" = coalesce(excluded.\"coalesce\", t.\"coalesce\")");
	assert_has(m->merge_upsert, "\"min\" = least(t.\"min\", excluded.\"min\")");
	assert_has(m->merge_upsert, "\"max\" = greatest(t.\"max\", excluded.\"max\")");
	assert_has(m->merge_upsert, "\"json\" = coalesce(nullif(t.\"json\", 'null') || "
				    "nullif(excluded.\"json\", 'null'), "
				    "nullif(excluded.\"json\", 'null'), t.\"json\")");
	assert_has(m->merge_upsert,
		   "WHERE ROW(t.\"coalesce\", t.\"min\", t.\"max\", t.\"json\")::record");
	mergesql_free(m);
}
END_TEST

/* "newer" on a table without version is "update": same text, deletes unconditional. */
START_TEST(newer_without_version)
{
	struct table t = facts();
	t.version = -1;
	struct mergesql *newer = mergesql_new("facts", &t, CONFLICT_NEWER);
	struct mergesql *update = mergesql_new("facts", &t, CONFLICT_UPDATE);
	ck_assert_str_eq(newer->merge_upsert, update->merge_upsert);
	ck_assert_str_eq(newer->merge_delete, update->merge_delete);
	assert_has_not(update->merge_delete, "<=");
	mergesql_free(newer);
	mergesql_free(update);
}
END_TEST

/* "skip", and a table whose columns are all in the key, must not end in an empty SET. */
START_TEST(do_nothing)
{
	struct table t = facts();
	struct mergesql *m = mergesql_new("facts", &t, CONFLICT_SKIP);
	assert_has(m->merge_upsert, "ON CONFLICT (\"id\") DO NOTHING");
	mergesql_free(m);
	t.nkeys = 3;
	for (int c = CONFLICT_NEWER; c <= CONFLICT_UPDATE; c++) {
		m = mergesql_new("facts", &t, (enum on_conflict)c);
		assert_has(m->merge_upsert,
			   "ON CONFLICT (\"id\", \"at\", \"we\"\"ird\") DO NOTHING");
		mergesql_free(m);
	}
}
END_TEST

/*
 * A staged type that is not the table's is cast where it is read: in the SELECT and in key
 * comparisons.
 */
START_TEST(casts)
{
	struct column columns[] = {facts_columns[0], facts_columns[2]};
	columns[0].type = "citext";
	columns[0].stage_type = "text";
	columns[0].cast = true;
	columns[1].name = "v";
	columns[1].type = "sparsevec(3)";
	columns[1].stage_type = "real[]";
	columns[1].cast = true;
	struct table t = facts();
	t.columns = columns;
	t.ncolumns = 2;
	t.version = -1;
	struct mergesql *m = mergesql_new("facts", &t, CONFLICT_UPDATE);
	assert_has(m->create_stage, "\"id\" text, \"v\" real[])");
	assert_has(m->merge_upsert, "SELECT s.\"id\"::citext, s.\"v\"::sparsevec(3) FROM");
	assert_has(m->merge_delete, "t.\"id\" = s.\"id\"::citext");
	assert_has(m->count_skipped, "t.\"id\" = s.\"id\"::citext");
	mergesql_free(m);
}
END_TEST

/*
 * Names longer than PostgreSQL keeps are cut by us, and two that differ only at the end stay
 * different.
 */
START_TEST(long_names)
{
	struct table t = facts();
	char a[120], b[120];
	memset(a, 'x', sizeof(a));
	memset(b, 'x', sizeof(b));
	a[118] = '1';
	b[118] = '2';
	a[119] = b[119] = '\0';
	struct mergesql *one = mergesql_new(a, &t, CONFLICT_SKIP),
			*two = mergesql_new(b, &t, CONFLICT_SKIP);
	ck_assert_uint_eq(strlen(one->stage_name), strlen("pg_temp.\"\"") + 63);
	ck_assert_str_ne(one->stage_name, two->stage_name);
	mergesql_free(one);
	mergesql_free(two);
}
END_TEST

/*
 * The DDL as a person reads it; an own column "updated_at" is neither declared twice nor set by the
 * merge.
 */
START_TEST(ddl)
{
	struct table_index indexes[] = {
		{.sql = "USING gin (we_ird)"},
		{.name = "mine", .sql = "(at)", .unique = true},
	};
	struct column columns[] = {facts_columns[0], facts_columns[1], facts_columns[2]};
	columns[1].name = "updated_at";
	columns[2].storage = "external";
	columns[2].compression = "pglz";
	struct table t = facts();
	t.columns = columns;
	t.indexes = indexes;
	t.nindexes = 2;
	t.storage = "fillfactor = 90";
	struct buf out = {0};
	ddl_table(&t, &out);
	ck_assert_str_eq(
		buf_cstr(&out),
		"CREATE TABLE IF NOT EXISTS \"my db\".\"facts\" (\n"
		"    \"id\" bigint NOT NULL,\n"
		"    \"updated_at\" timestamptz,\n"
		"    \"we\"\"ird\" text DEFAULT '',\n"
		"    \"created_at\" timestamptz NOT NULL DEFAULT now(),\n"
		"    PRIMARY KEY (\"id\")\n"
		") WITH (fillfactor = 90);\n"
		"ALTER TABLE \"my db\".\"facts\" ALTER COLUMN \"we\"\"ird\" SET STORAGE external;\n"
		"ALTER TABLE \"my db\".\"facts\" ALTER COLUMN \"we\"\"ird\" SET COMPRESSION pglz;\n"
		"CREATE INDEX IF NOT EXISTS \"facts_gin_we_ird_idx\" ON \"my db\".\"facts\" USING "
		"gin (we_ird);\n"
		"CREATE UNIQUE INDEX IF NOT EXISTS \"mine\" ON \"my db\".\"facts\" (at);\n");
	out.len = 0;
	ddl_add_column(&t, 2, &out);
	ddl_grants(&t, "SELECT, INSERT, UPDATE, DELETE", "worker", &out);
	ck_assert_str_eq(
		buf_cstr(&out),
		"ALTER TABLE \"my db\".\"facts\" ADD COLUMN IF NOT EXISTS \"we\"\"ird\" text "
		"DEFAULT '';\n"
		"GRANT USAGE ON SCHEMA \"my db\" TO \"worker\";\n"
		"GRANT SELECT, INSERT, UPDATE, DELETE ON \"my db\".\"facts\" TO \"worker\";\n");
	buf_free(&out);
	struct mergesql *m = mergesql_new("facts", &t, CONFLICT_NEWER);
	assert_has_not(m->merge_upsert, "now()");
	/* what the stage has compressed or not comes into the table as it is */
	const char *stage_end = strstr(m->create_stage, ";\n");
	ck_assert_str_eq(stage_end,
			 ";\n"
			 "ALTER TABLE pg_temp.\"memingest_stage_facts\" ALTER COLUMN \"we\"\"ird\""
			 " SET STORAGE external;\n"
			 "ALTER TABLE pg_temp.\"memingest_stage_facts\" ALTER COLUMN \"we\"\"ird\""
			 " SET COMPRESSION pglz;\n");
	mergesql_free(m);
	columns[2].cast = true; /* its staged type may be none that can be compressed */
	m = mergesql_new("facts", &t, CONFLICT_NEWER);
	assert_has_not(m->create_stage, "ALTER");
	mergesql_free(m);
}
END_TEST

/* A derived index name depends on the definition, stays within 63 bytes and stays what it was. */
START_TEST(index_names)
{
	struct table_index indexes[] = {
		{.sql = "USING hnsw (embedding vector_cosine_ops) WITH (m = 16, ef_construction = "
			"64)"},
		{.sql = "USING hnsw (embedding vector_cosine_ops) WITH (m = 16, ef_construction = "
			"96)"},
		{.sql = "(user_id, agent_id)"},
	};
	static const char *const expected[] = {
		"facts_hnsw_embedding_vector_cosine_ops_with_m_16_ef_co_", /* then 8 hex digits */
		"facts_hnsw_embedding_vector_cosine_ops_with_m_16_ef_co_",
		"facts_user_id_agent_id_idx",
	};
	struct table t = facts();
	t.indexes = indexes;
	t.nindexes = ARRAY_LEN(indexes);
	struct buf names[3] = {{0}, {0}, {0}};
	for (size_t i = 0; i < ARRAY_LEN(indexes); i++) {
		ddl_index_name(&t, i, &names[i]);
		ck_assert_uint_le(names[i].len, 63);
		ck_assert_int_eq(strncmp(buf_cstr(&names[i]), expected[i], strlen(expected[i])), 0);
	}
	ck_assert_str_ne(buf_cstr(&names[0]), buf_cstr(&names[1]));
	for (size_t i = 0; i < ARRAY_LEN(indexes); i++)
		buf_free(&names[i]);
}
END_TEST

/*
 * The bookkeeping file is in the program, with all four tables, and each statement can be run
 * again.
 */
START_TEST(bookkeeping)
{
	static const char *const tables[] = {"offsets", "batches", "dead_letters", "gaps"};
	char head[80];
	for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
		snprintf(head, sizeof(head), "CREATE TABLE IF NOT EXISTS memingest.%s (",
			 tables[i]);
		assert_has(sql_bookkeeping, head);
	}
	size_t creates = 0, guarded = 0;
	for (const char *p = sql_bookkeeping; (p = strstr(p, "\nCREATE ")) != NULL; p++)
		creates++;
	for (const char *p = sql_bookkeeping; (p = strstr(p, " IF NOT EXISTS ")) != NULL; p++)
		guarded++;
	ck_assert_uint_eq(creates, 7);
	ck_assert_uint_eq(guarded, creates + 4); /* and columns that older tables lack */
}
END_TEST

static Suite *mergesql_suite(void)
{
	Suite *s = suite_create("mergesql");
	TCase *c = tcase_create("mergesql");
	tcase_add_test(c, newer_plain);
	tcase_add_loop_test(c, bare_types, 0, 7);
	tcase_add_test(c, newer_accumulating);
	tcase_add_test(c, rules);
	tcase_add_test(c, newer_without_version);
	tcase_add_test(c, do_nothing);
	tcase_add_test(c, casts);
	tcase_add_test(c, long_names);
	tcase_add_test(c, ddl);
	tcase_add_test(c, index_names);
	tcase_add_test(c, bookkeeping);
	suite_add_tcase(s, c);
	return s;
}
UNIT_SUITE(mergesql_suite)

/*
 * mergesql.c - from a table's description to the statements that fill it.
 *
 * One batch's rows go by COPY into the staging table, already sorted by key and with each key once.
 * Then
 *
 *   DELETE FROM t USING stage ...            what 'D' rows say (only when the batch has any)
 *   INSERT INTO t SELECT ... FROM stage      the rest, in the order of the stage
 *     ON CONFLICT (key) DO UPDATE ...
 *
 * A sequential scan keeps the stage's order, so every lane and worker locks rows in key order,
 * which keeps them from deadlocking (deletes come first, and so are an order of their own: a
 * deadlock over those is retried).
 *
 * Why ON CONFLICT: it is the one form that gives the right result whatever another transaction does
 * to the same key meanwhile (inserts it, deletes it, updates it), and the one whose plan can not go
 * wrong. MERGE raises 23505 in such a race and needs PostgreSQL 15; UPDATE FROM plus INSERT of what
 * is not there loses an event when another transaction inserts (or deletes) between the two. Both
 * leave a join to the planner, which, once the table has statistics, likes to scan and hash all of
 * it: dearer, and the order is lost. Server time for 5,000 rows of 384 floats into 100,000: 16 to
 * 20 us a row for ON CONFLICT, 26 to 31 for MERGE, 31 to 35 for the pair, whether the keys are new,
 * old or mixed.
 *
 * The staging table must not compress or move values to TOAST: they are read back once and at once.
 * Columns whose staging type is not the table's are cast on the way.
 *
 * Pure text: no connection, no failure. All names are quoted; types, defaults and index definitions
 * are the schema author's SQL.
 */
#include "core/mergesql.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/conflict.h"
#include "core/ddl.h"
#include "core/sqlname.h"

extern const char sql_traits[]; /* worker/sql */

/*
 * What the merge reads of a staged column: cast to the table's type where COPY needed another one.
 */
static void put_staged(struct buf *out, const struct column *c)
{
	conflict_put_column(out, "s", c);
	if (c->cast)
		buf_printf(out, "::%s", c->type);
}

/* The stage's keys are cast as its values are. */
static void put_key_match(struct buf *out, const struct table *t)
{
	for (size_t i = 0; i < t->nkeys; i++) {
		buf_puts(out, i ? " AND " : "");
		conflict_put_column(out, "t", &t->columns[i]);
		buf_puts(out, " = ");
		put_staged(out, &t->columns[i]);
	}
}

/* OVERRIDING: an identity column takes the event's value. */
static void put_insert(struct buf *out, const struct table *t)
{
	buf_puts(out, "INSERT INTO ");
	sqlname_table(t, out);
	buf_puts(out, " AS t (");
	sqlname_columns(out, t, t->ncolumns);
	buf_puts(out, ") OVERRIDING SYSTEM VALUE ");
}

/* The same for a stage and for a single row. */
static void put_on_conflict(struct buf *out, const struct conflict *m)
{
	buf_puts(out, " ON CONFLICT (");
	sqlname_columns(out, m->table, m->table->nkeys);
	/* With no column to set, DO UPDATE would be a syntax error (as in risingwave#25252). */
	if (!conflict_updates(m)) {
		buf_puts(out, ") DO NOTHING");
		return;
	}
	buf_puts(out, ") DO UPDATE SET ");
	conflict_put_set(out, m);
	buf_puts(out, " WHERE ");
	conflict_put_where(out, m);
}

/* In the stage's order, which is that of the keys. */
static char *upsert_sql(const struct conflict *m, const char *stage)
{
	const struct table *t = m->table;
	struct buf b = {0};
	put_insert(&b, t);
	buf_puts(&b, "SELECT ");
	for (size_t i = 0; i < t->ncolumns; i++) {
		buf_puts(&b, i ? ", " : "");
		put_staged(&b, &t->columns[i]);
	}
	buf_printf(&b, " FROM %s s WHERE s._op <> 'D'", stage);
	put_on_conflict(&b, m);
	return buf_take_text(&b);
}

/* --- a row at a time, its fields as parameters --- */

/*
 * A type without its limits: what a value is sent as. An explicit cast to varchar(n) would cut it;
 * so the table refuses it, as in COPY.
 */
static void put_bare_type(struct buf *out, const char *type)
{
	size_t name = strcspn(type, "(["), array = strcspn(type, "[");
	bool blank_padded =
		strncmp(type, "char", name) == 0 || strncmp(type, "character", name) == 0;
	buf_printf(out, "::%.*s%s", blank_padded ? 6 : (int)name, blank_padded ? "bpchar" : type,
		   type + array);
}

/*
 * The type is said, or the parameter would take that of the table's column, which an operator may
 * have changed; then the bytes would be read as something else.
 */
static void put_parameter(struct buf *out, const struct table *t, size_t column)
{
	const struct column *c = &t->columns[column];
	buf_printf(out, "$%zu", column + 1);
	put_bare_type(out, c->stage_type);
	if (c->cast)
		buf_printf(out, "::%s", c->type);
}

static void put_parameters(struct buf *out, const struct table *t)
{
	for (size_t i = 0; i < t->ncolumns; i++) {
		buf_puts(out, i ? ", " : "");
		put_parameter(out, t, i);
	}
}

static char *upsert_row_sql(const struct conflict *m)
{
	struct buf b = {0};
	put_insert(&b, m->table);
	buf_puts(&b, "VALUES (");
	put_parameters(&b, m->table);
	buf_puts(&b, ")");
	put_on_conflict(&b, m);
	return buf_take_text(&b);
}

/* WHERE t's key is the parameters' */
static void put_where_key(struct buf *out, const struct table *t)
{
	for (size_t i = 0; i < t->nkeys; i++) {
		buf_puts(out, i ? " AND " : " WHERE ");
		conflict_put_column(out, "t", &t->columns[i]);
		buf_puts(out, " = ");
		put_parameter(out, t, i);
	}
}

/* The parameters have the schema's types; what the table made of them, only the table knows. */
static char *update_row_sql(const struct conflict *m)
{
	struct conflict as_text = *m;
	struct buf b = {0};
	as_text.as_text = true;
	if (!conflict_updates(m))
		return NULL;
	buf_puts(&b, "UPDATE ");
	sqlname_table(m->table, &b);
	buf_puts(&b, " AS t SET ");
	conflict_put_set(&b, m);
	buf_puts(&b, " FROM (VALUES (");
	put_parameters(&b, m->table);
	buf_puts(&b, ")) AS excluded (");
	sqlname_columns(&b, m->table, m->table->ncolumns);
	buf_puts(&b, ")");
	put_where_key(&b, m->table);
	buf_puts(&b, " AND ");
	conflict_put_where(&b, &as_text);
	return buf_take_text(&b);
}

/* The key is not there; ON CONFLICT is for a race. */
static char *insert_row_sql(const struct conflict *m)
{
	struct buf b = {0};
	put_insert(&b, m->table);
	buf_puts(&b, "SELECT ");
	put_parameters(&b, m->table);
	buf_puts(&b, " WHERE NOT EXISTS (SELECT FROM ");
	sqlname_table(m->table, &b);
	buf_puts(&b, " AS t");
	put_where_key(&b, m->table);
	buf_puts(&b, ")");
	put_on_conflict(&b, m);
	return buf_take_text(&b);
}

/*
 * Under "newer" a delete loses to a newer row. A delete without version, or a row without, leaves
 * nothing to compare: the row goes.
 */
static char *delete_sql(const struct conflict *m, const char *stage)
{
	struct buf b = {0};
	buf_puts(&b, "WITH gone AS (DELETE FROM ");
	sqlname_table(m->table, &b);
	buf_printf(&b, " AS t USING %s s WHERE s._op = 'D' AND ", stage);
	put_key_match(&b, m->table);
	if (m->version) {
		buf_puts(&b, " AND (");
		put_staged(&b, m->version);
		buf_puts(&b, " IS NULL OR ");
		conflict_put_column(&b, "t", m->version);
		buf_puts(&b, " IS NULL OR ");
		conflict_put_column(&b, "t", m->version);
		buf_puts(&b, " <= ");
		put_staged(&b, m->version);
		buf_puts(&b, ")");
	}
	buf_puts(&b, " RETURNING s._part) SELECT _part, count(*) FROM gone GROUP BY _part");
	return buf_take_text(&b);
}

/*
 * The delete of one row: its keys are $1, $2, ..., and behind them comes the version, if one is to
 * be compared.
 */
static char *delete_row_sql(const struct conflict *m)
{
	const struct table *t = m->table;
	struct buf b = {0};
	buf_puts(&b, "DELETE FROM ");
	sqlname_table(t, &b);
	buf_puts(&b, " AS t");
	put_where_key(&b, t);
	if (m->version) {
		buf_printf(&b, " AND ($%zu::%s IS NULL OR ", t->nkeys + 1, m->version->type);
		conflict_put_column(&b, "t", m->version);
		buf_puts(&b, " IS NULL OR ");
		conflict_put_column(&b, "t", m->version);
		buf_printf(&b, " <= $%zu)", t->nkeys + 1);
	}
	return buf_take_text(&b);
}

/*
 * Rows written by this transaction carry its id in xmin. A lookup for each staged row, not a join:
 * the planner takes an unanalyzed stage for ten times its size, and a hash of the whole table for
 * cheaper. Measured: eight seconds a batch on a table of 5 GB.
 */
static char *skipped_sql(const struct table *t, const char *stage)
{
	struct buf b = {0};
	buf_printf(&b,
		   "SELECT s._part, count(*) FROM %s s WHERE s._op <> 'D'"
		   " AND (SELECT bool_or(t.xmin = pg_current_xact_id()::xid) FROM ",
		   stage);
	sqlname_table(t, &b);
	buf_puts(&b, " AS t WHERE ");
	put_key_match(&b, t);
	buf_puts(&b, ") IS NOT TRUE GROUP BY s._part");
	return buf_take_text(&b);
}

/* --- the staging table --- */

/* Of the session, so no other one's of that name is in the way. */
static char *stage_name(const char *stream)
{
	struct buf full = {0}, name = {0}, quoted = {0};
	buf_printf(&full, "memingest_stage_%s", stream);
	sqlname_short(&name, buf_cstr(&full));
	buf_puts(&quoted, "pg_temp.");
	buf_quoted(&quoted, buf_cstr(&name), '"');
	buf_free(&full);
	buf_free(&name);
	return buf_take_text(&quoted);
}

/*
 * toast_tuple_target: the highest, so that only rows that fit no page leave it. Measured with 384
 * floats a row: 2 us a row less of the server's time. What does leave it keeps its form on the way
 * into the table: compressed or not, and how, is decided here.
 *
 * A table that stands in has no statistics, so the planner would read all of it to delete a few
 * rows. It has no triggers either, whose queries might want such joins.
 */
static char *stage_sql(const struct table *t, const char *stage)
{
	struct buf b = {0};
	if (t->stands_in)
		buf_puts(&b, "SET enable_hashjoin = off; SET enable_mergejoin = off;\n");
	buf_printf(&b, "CREATE TEMP TABLE IF NOT EXISTS %s (_part int2, _op \"char\"", stage);
	for (size_t i = 0; i < t->ncolumns; i++) {
		buf_puts(&b, ", ");
		buf_quoted(&b, t->columns[i].name, '"');
		buf_printf(&b, " %s", t->columns[i].stage_type);
	}
	buf_puts(&b, ") WITH (toast_tuple_target = 8160) ON COMMIT DELETE ROWS;\n");
	for (size_t i = 0; i < t->ncolumns; i++) {
		const struct column *c = &t->columns[i];
		ddl_put_setting(&b, stage, c, "STORAGE", c->cast ? NULL : c->storage);
		ddl_put_setting(&b, stage, c, "COMPRESSION", c->cast ? NULL : c->compression);
	}
	return buf_take_text(&b);
}

/* For rows whose keys are new. Fields are those of a staged row without _part and _op. */
static char *direct_sql(const struct table *t)
{
	struct buf b = {0};
	for (size_t i = 0; i < t->ncolumns; i++)
		if (t->columns[i].cast)
			return NULL;
	buf_puts(&b, "COPY ");
	sqlname_table(t, &b);
	buf_puts(&b, " (");
	sqlname_columns(&b, t, t->ncolumns);
	buf_puts(&b, ") FROM STDIN (FORMAT binary)");
	return buf_take_text(&b);
}

/*
 * COPY in binary form believes that fields are of the columns' types: a bigint sent to what an
 * operator has made a numeric would become 0. CASE, with a setting that nobody has, is how plain
 * SQL raises an error.
 */
static char *check_direct_sql(const struct table *t, const char *name)
{
	struct buf b = {0};
	buf_printf(&b,
		   "SELECT CASE WHEN count(*) = %zu AND NOT EXISTS (SELECT FROM"
		   " pg_catalog.pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal"
		   " AND tgenabled <> 'D') THEN '' ELSE"
		   " current_setting('memingest.table_is_not_for_copy') END"
		   " FROM pg_catalog.pg_attribute WHERE attrelid = %s::regclass"
		   " AND NOT attisdropped AND (attname, atttypid) IN (",
		   t->ncolumns, name, name);
	for (size_t i = 0; i < t->ncolumns; i++) {
		buf_puts(&b, i ? ", (" : "(");
		buf_quoted(&b, t->columns[i].name, '\'');
		buf_puts(&b, ", ");
		buf_quoted(&b, t->columns[i].type, '\'');
		buf_puts(&b, "::regtype)");
	}
	buf_puts(&b, ")");
	return buf_take_text(&b);
}

/* Objects that were united in the batch are right on top of an object, or of nothing. */
static char *check_united_sql(const struct table *t, const char *stage)
{
	struct buf b = {0};
	const char * or = "";
	for (size_t i = t->nkeys; i < t->ncolumns; i++) {
		if (t->columns[i].merge != MERGE_JSON)
			continue;
		buf_printf(&b, "%sjsonb_typeof(", or);
		conflict_put_column(&b, "t", &t->columns[i]);
		buf_puts(&b, ") <> 'object'");
		or = " OR ";
	}
	if (b.len == 0)
		return NULL;
	char *kinds = buf_take_text(&b);
	buf_printf(&b,
		   "SELECT CASE WHEN EXISTS (SELECT FROM %s s WHERE s._op = 'J'"
		   " AND (SELECT bool_or(%s) FROM ",
		   stage, kinds);
	free(kinds);
	sqlname_table(t, &b);
	buf_puts(&b, " AS t WHERE ");
	put_key_match(&b, t);
	buf_puts(&b, ")) THEN current_setting('memingest.json_is_no_object') END");
	return buf_take_text(&b);
}

/* --- what the table is like --- */

static const char *yes_no(bool yes)
{
	return yes ? "true" : "false";
}

/* ('name', 'type', may be null, is of the key, is set in a row that is there), ... */
static char *columns_list(const struct conflict *m)
{
	const struct table *t = m->table;
	struct buf b = {0};
	for (size_t i = 0; i < t->ncolumns; i++) {
		const struct column *c = &t->columns[i];
		buf_puts(&b, i ? ", (" : "(");
		buf_quoted(&b, c->name, '\'');
		buf_puts(&b, ", ");
		buf_quoted(&b, c->type, '\'');
		buf_printf(&b, ", %s, %s, %s)", yes_no(!c->not_null && i >= t->nkeys),
			   yes_no(i < t->nkeys), yes_no(conflict_sets(m, i)));
	}
	if (t->nsearches > 0)
		buf_puts(&b, ", ('search_xid', 'xid8', true, false, true)");
	return buf_take_text(&b);
}

static char *traits_sql(const char *table, const char *columns)
{
	const struct sqlname_word words[] = {{"table", table}, {"columns", columns}};
	struct buf b = {0};
	sqlname_fill(&b, sql_traits, words, ARRAY_LEN(words));
	return buf_take_text(&b);
}

/* One row of the table itself, to see whether the stage takes it. */
static char *take_witness_sql(const struct table *t, const char *stage)
{
	struct buf b = {0};
	buf_printf(&b, "INSERT INTO %s (_part, _op, ", stage);
	sqlname_columns(&b, t, t->ncolumns);
	buf_puts(&b, ") SELECT 0, 'U', ");
	for (size_t i = 0; i < t->ncolumns; i++) {
		buf_puts(&b, i ? ", " : "");
		buf_quoted(&b, t->columns[i].name, '"');
		if (t->columns[i].cast)
			buf_printf(&b, "::%s", t->columns[i].stage_type);
	}
	buf_puts(&b, " FROM ");
	sqlname_table(t, &b);
	buf_puts(&b, " LIMIT 1");
	return buf_take_text(&b);
}

/* It leaves the table, so that it can come back as an event would. */
static char *remove_witness_sql(const struct table *t, const char *stage)
{
	struct buf b = {0};
	buf_puts(&b, "DELETE FROM ");
	sqlname_table(t, &b);
	buf_printf(&b, " AS t USING %s s WHERE ", stage);
	put_key_match(&b, t);
	return buf_take_text(&b);
}

/* The statements that look at the table, where none is written. */
static void make_looks(struct mergesql *sql, const struct conflict *m)
{
	struct buf name = {0}, literal = {0};
	sqlname_table(m->table, &name);
	buf_quoted(&literal, buf_cstr(&name), '\'');
	char *columns = columns_list(m);
	sql->check_direct = check_direct_sql(m->table, buf_cstr(&literal));
	sql->traits = traits_sql(buf_cstr(&literal), columns);
	sql->lock_table = xasprintf("LOCK TABLE %s IN ROW EXCLUSIVE MODE", buf_cstr(&name));
	sql->take_witness = take_witness_sql(m->table, sql->stage_name);
	sql->remove_witness = remove_witness_sql(m->table, sql->stage_name);
	free(columns);
	buf_free(&literal);
	buf_free(&name);
}

/* All texts are made at start; none depends on an event. */
struct mergesql *mergesql_new(const char *stream, const struct table *table,
			      enum on_conflict on_conflict)
{
	struct mergesql *sql = xcalloc(1, sizeof(*sql));
	struct conflict m = conflict_of(table, on_conflict);
	sql->stage_name = stage_name(stream);
	sql->create_stage = stage_sql(table, sql->stage_name);
	sql->copy_stage = xasprintf("COPY %s FROM STDIN (FORMAT binary)", sql->stage_name);
	sql->copy_direct = direct_sql(table);
	sql->check_united = check_united_sql(table, sql->stage_name);
	sql->merge_delete = delete_sql(&m, sql->stage_name);
	sql->merge_upsert = upsert_sql(&m, sql->stage_name);
	sql->upsert_row = upsert_row_sql(&m);
	sql->update_row = update_row_sql(&m);
	sql->insert_row = insert_row_sql(&m);
	sql->delete_row = delete_row_sql(&m);
	sql->delete_version = m.version ? (size_t)table->version : 0;
	sql->count_skipped = skipped_sql(table, sql->stage_name);
	/*
	 * Not TRUNCATE: that writes to the catalogs each time. What is deleted goes for good at
	 * COMMIT.
	 */
	sql->clear_stage = xasprintf("DELETE FROM %s", sql->stage_name);
	make_looks(sql, &m);
	return sql;
}

void mergesql_free(struct mergesql *m)
{
	if (!m)
		return;
	free(m->stage_name);
	free(m->create_stage);
	free(m->copy_stage);
	free(m->copy_direct);
	free(m->lock_table);
	free(m->check_direct);
	free(m->check_united);
	free(m->traits);
	free(m->take_witness);
	free(m->remove_witness);
	free(m->merge_delete);
	free(m->merge_upsert);
	free(m->upsert_row);
	free(m->update_row);
	free(m->insert_row);
	free(m->delete_row);
	free(m->count_skipped);
	free(m->clear_stage);
	free(m);
}

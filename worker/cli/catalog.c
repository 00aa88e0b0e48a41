/*
 * catalog.c - reads PostgreSQL's catalogs for one table and says how it differs from what its
 * schema wants.
 *
 * Types are compared by PostgreSQL itself: a temporary table is declared with the wanted types, and
 * pg_attribute of both is joined. So "int8" and "bigint", or "timestamp with time zone" and
 * "timestamptz" are the same, and vector(384) is not vector(512), without this file knowing any
 * type. The temporary table lives for the caller's transaction at most.
 *
 * Reads only; what to do about a difference is decided by the command.
 */
#include "cli/catalog.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mergesql.h"
#include "core/sqlname.h"

const struct catalog_rights catalog_bookkeeping[4] = {
	{"memingest.offsets", {"SELECT", "INSERT", "UPDATE", NULL}},
	{"memingest.batches", {"SELECT", "INSERT", "DELETE", NULL}},
	{"memingest.dead_letters", {"INSERT", NULL}},
	{"memingest.gaps", {"SELECT", "INSERT", NULL}}, /* "offsets accept-gap", as halts advise */
};

const struct catalog_rights catalog_search_books[2] = {
	{"memingest.searches", {"SELECT", "UPDATE", NULL}},
	{"memingest.segments", {"SELECT", "INSERT", "UPDATE", "DELETE", NULL}},
};

const char *const catalog_table_rights[5] = {"SELECT", "INSERT", "UPDATE", "DELETE", NULL};

/* One row, one column; no row is as good as null. The caller frees the answer. */
static bool ask_text(struct pg *pg, const char *sql, const char *param, char **answer,
		     struct err *err)
{
	struct pg_rows *rows = pg_query(pg, sql, &param, param ? 1 : 0, err);
	if (!rows)
		return false;
	const char *text = pg_rows_count(rows) > 0 ? pg_value(rows, 0, 0) : NULL;
	*answer = text ? xstrdup(text) : NULL;
	pg_rows_free(rows);
	return true;
}

/* Null is false. */
bool catalog_ask(struct pg *pg, const char *sql, const char *param, bool *answer, struct err *err)
{
	char *text;
	if (!ask_text(pg, sql, param, &text, err))
		return false;
	*answer = text && text[0] == 't';
	free(text);
	return true;
}

/* By its name, with or without a schema in front. */
bool catalog_is_vector(const char *type)
{
	static const char *const names[] = {"vector", "halfvec", "sparsevec"};
	const char *dot = strchr(type, '.');
	const char *base = dot ? dot + 1 : type;
	size_t len = strcspn(base, "([ ");
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (len == strlen(names[i]) && strncmp(base, names[i], len) == 0)
			return true;
	return false;
}

/* Types of the schema's author: an extension may be missing. */
bool catalog_unknown_type(struct pg *pg, const struct table *t, const struct column **column,
			  struct err *err)
{
	*column = NULL;
	for (size_t i = 0; i < t->ncolumns; i++) {
		bool known;
		if (!catalog_ask(pg, "SELECT to_regtype($1) IS NOT NULL", t->columns[i].type,
				 &known, err))
			return err_wrap(err, "column %s: type %s", t->columns[i].name,
					t->columns[i].type);
		if (known)
			continue;
		*column = &t->columns[i];
		break;
	}
	return true;
}

const char *catalog_column_name(const struct table *t, size_t i)
{
	assert(i < t->ncolumns || i - t->ncolumns < TABLE_OWN_COLUMNS);
	return i < t->ncolumns ? t->columns[i].name : table_own_columns[i - t->ncolumns];
}

/* The schema may declare created_at or updated_at itself. */
static bool declared(const struct table *t, size_t timestamp)
{
	assert(timestamp < TABLE_OWN_COLUMNS);
	for (size_t i = 0; i < t->ncolumns; i++)
		if (strcmp(t->columns[i].name, table_own_columns[timestamp]) == 0)
			return true;
	return false;
}

/* --- reading --- */

/* A name that is not there has no row, which is no error. */
static bool read_relation(struct pg *pg, const char *name, struct catalog *c, struct err *err)
{
	char *kind = NULL;
	if (!ask_text(pg, "SELECT relkind FROM pg_class WHERE oid = to_regclass($1)", name, &kind,
		      err))
		return false;
	c->exists = kind != NULL;
	c->kind = kind ? kind[0] : '\0';
	free(kind);
	return true;
}

/* Declared, so that PostgreSQL itself says what the types are. */
static void wanted_sql(const struct table *t, struct buf *out)
{
	buf_puts(out, "DROP TABLE IF EXISTS pg_temp.memingest_wanted; CREATE TEMP TABLE "
		      "memingest_wanted (");
	for (size_t i = 0; i < t->ncolumns; i++) {
		pg_quote_ident(out, t->columns[i].name);
		buf_printf(out, " %s, ", t->columns[i].type);
	}
	/*
	 * A name that no column of a schema has by accident stands in where the schema declares its
	 * own.
	 */
	for (size_t i = 0; i < TABLE_OWN_COLUMNS; i++)
		buf_printf(out, "%s%s%s timestamptz", i ? ", " : "",
			   declared(t, i) ? "memingest_declared_" : "", table_own_columns[i]);
	buf_puts(out, ") ON COMMIT DROP");
}

/* A column that is not there has no storage either. */
static void take_column(struct catalog_column *c, const struct pg_rows *rows, size_t row)
{
	c->exists = pg_bool(rows, row, 0);
	c->same_type = pg_bool(rows, row, 1);
	c->not_null = pg_bool(rows, row, 2);
	c->has_default = pg_bool(rows, row, 3);
	c->storage = c->exists ? pg_value(rows, row, 4)[0] : '\0';
	c->compression = c->exists ? pg_value(rows, row, 5)[0] : '\0';
	snprintf(c->wanted, sizeof(c->wanted), "%s", pg_value(rows, row, 6));
	snprintf(c->found, sizeof(c->found), "%s", c->exists ? pg_value(rows, row, 7) : "");
}

/* Both tables joined by name; in the order of the schema. */
static bool read_columns(struct pg *pg, const struct table *t, const char *name, struct catalog *c,
			 struct err *err)
{
	struct buf sql = {0};
	wanted_sql(t, &sql);
	bool ok = pg_exec(pg, buf_cstr(&sql), NULL, 0, err);
	buf_free(&sql);
	if (!ok)
		return err_wrap(err, "declaring the wanted columns in a temporary table");
	struct pg_rows *rows =
		pg_query(pg,
			 "SELECT t.attnum IS NOT NULL, w.atttypid = t.atttypid AND w.atttypmod = "
			 "t.atttypmod, "
			 "t.attnotnull, t.atthasdef,"
			 " CASE WHEN differ.storage THEN '?' ELSE t.attstorage END,"
			 " CASE WHEN differ.compression THEN '?' ELSE t.attcompression END,"
			 " format_type(w.atttypid, w.atttypmod), "
			 "format_type(t.atttypid, t.atttypmod)"
			 " FROM pg_attribute w LEFT JOIN pg_attribute t ON t.attrelid = "
			 "to_regclass($1) AND t.attname "
			 "= w.attname"
			 " AND t.attnum > 0 AND NOT t.attisdropped"
			 " CROSS JOIN LATERAL (SELECT"
			 "  bool_or(p.attstorage <> t.attstorage) AS storage,"
			 "  bool_or(p.attcompression <> t.attcompression) AS compression"
			 "  FROM pg_partition_tree(to_regclass($1)) i"
			 "  JOIN pg_attribute p ON p.attrelid = i.relid AND p.attname = t.attname"
			 " ) differ"
			 " WHERE w.attrelid = 'pg_temp.memingest_wanted'::regclass AND w.attnum > "
			 "0 ORDER BY w.attnum",
			 &name, 1, err);
	if (!rows)
		return false;
	c->ncolumns = pg_rows_count(rows);
	c->columns = xcalloc(c->ncolumns, sizeof(*c->columns));
	for (size_t i = 0; i < c->ncolumns; i++) {
		take_column(&c->columns[i], rows, i);
		if (i >= t->ncolumns && declared(t, i - t->ncolumns))
			c->columns[i] = (struct catalog_column){
				.exists = true, .same_type = true, .has_default = true};
	}
	pg_rows_free(rows);
	return true;
}

/* The first n columns, as literals. */
static void put_literals(struct buf *out, const struct table *t, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		buf_puts(out, i ? ", " : "");
		pg_quote_literal(out, t->columns[i].name);
	}
}

/*
 * ON CONFLICT (key) finds a unique index with these columns in any order, whole, valid and not
 * deferrable.
 */
static bool read_key_index(struct pg *pg, const struct table *t, const char *name,
			   struct catalog *c, struct err *err)
{
	struct buf sql = {0};
	buf_printf(&sql,
		   "SELECT EXISTS (SELECT FROM pg_index i WHERE indrelid = to_regclass($1) AND "
		   "indisunique AND "
		   "indimmediate"
		   " AND indisvalid AND indpred IS NULL AND indexprs IS NULL AND indnkeyatts = %zu "
		   "AND %zu = (SELECT "
		   "count(*)"
		   " FROM pg_attribute a WHERE a.attrelid = i.indrelid"
		   " AND a.attnum = ANY ((i.indkey::int2[])[0:indnkeyatts - 1]) AND a.attname IN (",
		   t->nkeys, t->nkeys);
	put_literals(&sql, t, t->nkeys);
	buf_puts(&sql, ")))");
	bool ok = catalog_ask(pg, buf_cstr(&sql), name, &c->key_index, err);
	buf_free(&sql);
	return ok;
}

/* Those that would refuse every row of ours. */
static bool read_foreign_columns(struct pg *pg, const struct table *t, const char *name,
				 struct catalog *c, struct err *err)
{
	struct buf sql = {0};
	char *names = NULL;
	buf_puts(&sql, "SELECT string_agg(attname, ', ' ORDER BY attnum) FROM pg_attribute WHERE "
		       "attrelid = to_regclass($1)"
		       " AND attnum > 0 AND NOT attisdropped AND attnotnull AND NOT atthasdef AND "
		       "attidentity = ''"
		       " AND attname NOT IN (");
	put_literals(&sql, t, t->ncolumns);
	for (size_t i = 0; i < TABLE_OWN_COLUMNS; i++) { /* looked at by compare_present() */
		buf_puts(&sql, ", ");
		pg_quote_literal(&sql, table_own_columns[i]);
	}
	buf_puts(&sql, ")");
	bool ok = ask_text(pg, buf_cstr(&sql), name, &names, err);
	if (ok && names)
		snprintf(c->foreign_not_null, sizeof(c->foreign_not_null), "%s", names);
	free(names);
	buf_free(&sql);
	return ok;
}

/* Each look adds to out; on failure nothing is left to free. */
bool catalog_read(struct pg *pg, const struct table *t, struct catalog *out, struct err *err)
{
	struct buf name = {0};
	*out = (struct catalog){0};
	sqlname_table(t, &name);
	const char *regclass = buf_cstr(&name);
	bool ok = read_relation(pg, regclass, out, err) &&
		  read_columns(pg, t, regclass, out, err) &&
		  read_key_index(pg, t, regclass, out, err) &&
		  read_foreign_columns(pg, t, regclass, out, err);
	if (!ok) {
		err_wrap(err, "table %s", table_full_name(t));
		catalog_free(out);
	}
	buf_free(&name);
	return ok;
}

void catalog_free(struct catalog *c)
{
	free(c->columns);
	*c = (struct catalog){0};
}

/* --- comparing --- */

/* A difference in type is the worst: data could not even be sent. */
static void compare_present(const struct table *t, const struct catalog *c, size_t i,
			    const char *area, struct report *r)
{
	const struct catalog_column *found = &c->columns[i];
	const char *name = catalog_column_name(t, i), *table = table_full_name(t);
	bool fills = i < t->ncolumns && (i < t->nkeys || t->columns[i].not_null);
	if (!found->same_type)
		report_add(r, REPORT_ERROR, area,
			   "table %s: column %s is %s, the schema wants %s: change the schema's "
			   "\"type\", or ALTER TABLE "
			   "by hand",
			   table, name, found->found, found->wanted);
	else if (i < t->ncolumns && found->not_null && !fills)
		report_add(r, REPORT_ERROR, area,
			   "table %s: column %s is NOT NULL, but the schema's field may be null: "
			   "ALTER TABLE ... ALTER "
			   "COLUMN ... DROP NOT NULL, or make the field required",
			   table, name);
	else if (i >= t->ncolumns && found->not_null && !found->has_default)
		report_add(r, REPORT_ERROR, area,
			   "table %s: column %s needs a default: ALTER TABLE ... SET DEFAULT now()",
			   table, name);
}

/* missing: whether migrate's own work is to be reported as well. */
static void compare_absent(const struct table *t, const struct catalog *c, size_t i,
			   const char *area, bool missing, struct report *r)
{
	const char *name = catalog_column_name(t, i), *table = table_full_name(t);
	if (i < t->nkeys)
		report_add(r, REPORT_ERROR, area,
			   "table %s: key column %s is missing: it cannot be added to a table that "
			   "exists",
			   table, name);
	else if (i < t->ncolumns && t->columns[i].not_null && !t->columns[i].default_sql)
		report_add(r, REPORT_ERROR, area,
			   "table %s: column %s is missing, and without a default it cannot be "
			   "added: give the field a "
			   "default "
			   "or let it be null",
			   table, name);
	else if (missing)
		report_add(r, REPORT_ERROR, area,
			   "table %s: column %s %s is missing: run \"memingest migrate\"", table,
			   name, c->columns[i].wanted);
}

/* Of a table that is no table nothing more is said. */
size_t catalog_compare(const struct table *t, const struct catalog *c, const char *area,
		       bool missing, struct report *r)
{
	const char *table = table_full_name(t);
	size_t before = r->counts[REPORT_ERROR];
	if (!c->exists) {
		if (missing)
			report_add(r, REPORT_ERROR, area,
				   "table %s does not exist: run \"memingest migrate\"", table);
		return r->counts[REPORT_ERROR] - before;
	}
	if (c->kind != 'r' && c->kind != 'p') {
		report_add(r, REPORT_ERROR, area, "%s is not a table (relkind %c)", table, c->kind);
		return 1;
	}
	for (size_t i = 0; i < c->ncolumns; i++) {
		if (c->columns[i].exists)
			compare_present(t, c, i, area, r);
		else
			compare_absent(t, c, i, area, missing, r);
	}
	if (c->foreign_not_null[0])
		report_add(r, REPORT_ERROR, area,
			   "table %s: no field fills %s, which is NOT NULL without default: "
			   "inserts would fail",
			   table, c->foreign_not_null);
	if (!c->key_index) {
		struct buf keys = {0};
		for (size_t i = 0; i < t->nkeys; i++)
			buf_printf(&keys, "%s%s", i ? ", " : "", t->columns[i].name);
		report_add(r, REPORT_ERROR, area,
			   "table %s: no primary key or unique index on exactly (%s): events could "
			   "not be merged",
			   table, buf_cstr(&keys));
		buf_free(&keys);
	}
	return r->counts[REPORT_ERROR] - before;
}

/* to_regclass() gives null, and so no finding, where there is no table. */
void catalog_check_rights(struct pg *pg, const char *area, const char *table,
			  const char *const *rights, struct report *r)
{
	struct buf lacking = {0};
	for (size_t i = 0; rights[i]; i++) {
		struct err err = {0};
		char sql[160];
		bool lacks;
		snprintf(sql, sizeof(sql), "SELECT NOT has_table_privilege(to_regclass($1), '%s')",
			 rights[i]);
		if (!catalog_ask(pg, sql, table, &lacks, &err)) {
			report_err(r, area, &err);
			break;
		}
		if (lacks)
			buf_printf(&lacking, "%s%s", lacking.len ? ", " : "", rights[i]);
	}
	if (lacking.len)
		report_add(r, REPORT_ERROR, area,
			   "table %s: the role lacks %s: see \"memingest migrate --grants ROLE\"",
			   table, buf_cstr(&lacking));
	buf_free(&lacking);
}

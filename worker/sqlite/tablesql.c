/*
 * tablesql.c - from a table's description to SQLite's statements: its definition, and what an event
 * does to a row.
 *
 * An event is applied alone, as SQLite is called and not asked over a network: the row is looked
 * for, then inserted or updated. Not INSERT .. ON CONFLICT: that shows CHECK and NOT NULL the
 * event's row also where it is but a change (amount + -6), so it would refuse what PostgreSQL's
 * judge lets pass. There is one writer, so nothing comes between the two.
 *
 * The rules are those of core/conflict.c, on t the row and e the event:
 *
 *   replace  e                         coalesce  coalesce(e, t)                keep  not set
 *   add      memingest_add(t, e)       min, max  of what is not null           json
 * memingest_json(t, e)
 *
 * where a null side leaves the other one. Of equal values min and max leave the row's.
 *
 * A table's SQL schema is left out: a file has none. Defaults are, too: they are PostgreSQL's SQL,
 * and an event names every column.
 *
 * Pure text: no connection, no failure.
 */
#include "sqlite/tablesql.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/conflict.h"
#include "core/ddl.h"
#include "core/sqlname.h"
#include "sqlite/form.h"

/* A function of SQLite takes so many arguments, here in pairs. */
#define PAIRS 60
/* With the few milliseconds that a person's own INSERT may be wrong by. */
#define NOW "(CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000)"

static void put_name(struct buf *out, const struct column *c)
{
	buf_quoted(out, c->name, '"');
}

static bool has_column(const struct table *t, const char *name)
{
	for (size_t i = 0; i < t->ncolumns; i++)
		if (strcasecmp(t->columns[i].name, name) == 0)
			return true;
	return false;
}

/* SQLite has three; a schema with columns of all three is refused (shape.c). */
const char *tablesql_row(const struct table *t)
{
	return !has_column(t, "_rowid_") ? "_rowid_" : !has_column(t, "oid") ? "oid" : "rowid";
}

/* --- what an event makes of a row --- */

static void put_event(struct buf *out, const struct conflict *m, const struct column *c)
{
	buf_printf(out, "?%zu", (size_t)(c - m->table->columns) + 1);
}

/* "before" the one "between" the other "after" */
static void put_pair(struct buf *out, const struct conflict *m, const struct column *c,
		     const char *before, const char *between, const char *after)
{
	buf_puts(out, before);
	put_name(out, c);
	buf_puts(out, between);
	put_event(out, m, c);
	buf_puts(out, after);
}

/* coalesce(both, row, event): a null side leaves the other one. */
static void put_either(struct buf *out, const struct conflict *m, const struct column *c)
{
	put_pair(out, m, c, ", ", ", ", ")");
}

static void put_rule(struct buf *out, const struct conflict *m, const struct column *c)
{
	switch (c->merge) {
	case MERGE_KEEP:
		put_name(out, c);
		break;
	case MERGE_REPLACE:
		put_event(out, m, c);
		break;
	case MERGE_COALESCE:
		buf_puts(out, "coalesce(");
		put_event(out, m, c);
		buf_puts(out, ", ");
		put_name(out, c);
		buf_puts(out, ")");
		break;
	case MERGE_ADD:
	case MERGE_JSON:
		put_pair(out, m, c, "CASE WHEN ", " IS NULL OR ", " IS NULL THEN coalesce(");
		put_pair(out, m, c, "", ", ", ") ELSE ");
		put_pair(out, m, c, c->merge == MERGE_ADD ? "memingest_add(" : "memingest_json(",
			 ", ", "");
		if (c->merge == MERGE_ADD)
			buf_printf(out, ", %d", (int)c->kind);
		buf_puts(out, ") END");
		break;
	case MERGE_MIN: /* of equal ones min() takes the last, max() the first */
		buf_puts(out, "coalesce(min(");
		put_event(out, m, c);
		buf_puts(out, ", ");
		put_name(out, c);
		buf_puts(out, ")");
		put_either(out, m, c);
		break;
	case MERGE_MAX:
		put_pair(out, m, c, "coalesce(max(", ", ", ")");
		put_either(out, m, c);
		break;
	}
}

/* A row without version is older than any event. */
static void put_fresh(struct buf *out, const struct conflict *m)
{
	buf_puts(out, "(");
	put_name(out, m->version);
	buf_puts(out, " IS NULL OR ");
	put_event(out, m, m->version);
	buf_puts(out, " >= ");
	put_name(out, m->version);
	buf_puts(out, ")");
}

static bool accumulates(enum merge_rule rule)
{
	return rule == MERGE_ADD || rule == MERGE_MIN || rule == MERGE_MAX;
}

/* See core/conflict.c: the same value that a column of a row that is there gets in PostgreSQL. */
static void put_new_value(struct buf *out, const struct conflict *m, const struct column *c)
{
	if (c == m->version && m->accumulates) {
		put_pair(out, m, c, "coalesce(max(", ", ", ")");
		put_either(out, m, c);
	} else if (c == m->version) {
		put_event(out, m, c);
	} else if (!m->version || !m->accumulates || accumulates(c->merge)) {
		put_rule(out, m, c);
	} else {
		buf_puts(out, "CASE WHEN ");
		put_fresh(out, m);
		buf_puts(out, " THEN ");
		put_rule(out, m, c);
		buf_puts(out, " ELSE ");
		put_name(out, c);
		buf_puts(out, " END");
	}
}

/* Whether writing would change the row, in calls of at most PAIRS. */
static void put_changed(struct buf *out, const struct conflict *m)
{
	size_t n = 0;
	for (size_t i = 0; i < m->table->ncolumns; i++) {
		if (!conflict_sets(m, i))
			continue;
		buf_puts(out, n % PAIRS > 0 ? ", "
			      : n > 0       ? ") OR memingest_differ("
					    : "memingest_differ(");
		put_name(out, &m->table->columns[i]);
		buf_puts(out, ", ");
		put_new_value(out, m, &m->table->columns[i]);
		n++;
	}
	buf_puts(out, ")");
}

static void put_where_key(struct buf *out, const struct conflict *m)
{
	for (size_t i = 0; i < m->table->nkeys; i++) {
		buf_puts(out, i ? " AND " : " WHERE ");
		put_pair(out, m, &m->table->columns[i], "", " = ", "");
	}
}

static void put_table(struct buf *out, const struct table *t)
{
	buf_quoted(out, t->name, '"');
}

static char *find_sql(const struct conflict *m)
{
	struct buf b = {0};
	buf_puts(&b, "SELECT 1 FROM ");
	put_table(&b, m->table);
	put_where_key(&b, m);
	return buf_take_text(&b);
}

static char *update_sql(const struct conflict *m, int now)
{
	struct buf b = {0};
	const char *comma = "";
	if (!conflict_updates(m))
		return NULL;
	buf_puts(&b, "UPDATE ");
	put_table(&b, m->table);
	buf_puts(&b, " SET ");
	for (size_t i = 0; i < m->table->ncolumns; i++) {
		if (!conflict_sets(m, i))
			continue;
		buf_puts(&b, comma);
		put_name(&b, &m->table->columns[i]);
		buf_puts(&b, " = ");
		put_new_value(&b, m, &m->table->columns[i]);
		comma = ", ";
	}
	if (!sqlname_has_column(m->table, table_own_columns[1]))
		buf_printf(&b, ", \"%s\" = ?%d", table_own_columns[1], now);
	put_where_key(&b, m);
	if (m->version && !m->accumulates) {
		buf_puts(&b, " AND ");
		put_fresh(&b, m);
	}
	buf_puts(&b, " AND (");
	put_changed(&b, m);
	buf_puts(&b, ")");
	return buf_take_text(&b);
}

static char *insert_sql(const struct table *t, int now)
{
	struct buf b = {0}, values = {0};
	buf_puts(&b, "INSERT INTO ");
	put_table(&b, t);
	buf_puts(&b, " (");
	sqlname_columns(&b, t, t->ncolumns);
	for (size_t i = 0; i < t->ncolumns; i++)
		buf_printf(&values, "%s?%zu", i ? ", " : "", i + 1);
	for (size_t i = 0; i < TABLE_OWN_COLUMNS; i++) {
		if (sqlname_has_column(t, table_own_columns[i]))
			continue;
		buf_printf(&b, ", \"%s\"", table_own_columns[i]);
		buf_printf(&values, ", ?%d", now);
	}
	buf_printf(&b, ") VALUES (%s)", buf_cstr(&values));
	buf_free(&values);
	return buf_take_text(&b);
}

/* A delete without version, or a row without, leaves nothing to compare: the row goes. */
static char *delete_sql(const struct conflict *m)
{
	struct buf b = {0};
	buf_puts(&b, "DELETE FROM ");
	put_table(&b, m->table);
	put_where_key(&b, m);
	if (m->version) {
		put_pair(&b, m, m->version, " AND (", " IS NULL OR ", " IS NULL OR ");
		put_pair(&b, m, m->version, "", " <= ", ")");
	}
	return buf_take_text(&b);
}

struct tablesql *tablesql_new(const struct table *t, enum on_conflict on_conflict)
{
	struct tablesql *sql = xcalloc(1, sizeof(*sql));
	struct conflict m = conflict_of(t, on_conflict);
	sql->now = (int)t->ncolumns + 1;
	sql->find = find_sql(&m);
	sql->insert = insert_sql(t, sql->now);
	sql->update = update_sql(&m, sql->now);
	sql->delete = delete_sql(&m);
	return sql;
}

void tablesql_free(struct tablesql *sql)
{
	if (!sql)
		return;
	free(sql->find);
	free(sql->insert);
	free(sql->update);
	free(sql->delete);
	free(sql);
}

/* --- the table --- */

/* Past the schema's columns come our own two timestamps. */
static void put_definition(struct buf *out, const struct table *t, size_t column)
{
	if (column >= t->ncolumns) {
		buf_quoted(out, table_own_columns[column - t->ncolumns], '"');
		buf_puts(out, " INTEGER NOT NULL DEFAULT " NOW);
		return;
	}
	const struct column *c = &t->columns[column];
	put_name(out, c);
	bool refuses = column < t->nkeys || (c->not_null && !t->stands_in);
	buf_printf(out, " %s%s", form_type(c), refuses ? " NOT NULL" : "");
}

void tablesql_create(const struct table *t, struct buf *out)
{
	buf_puts(out, "CREATE TABLE IF NOT EXISTS ");
	put_table(out, t);
	buf_puts(out, " (\n");
	for (size_t i = 0; i < t->ncolumns + TABLE_OWN_COLUMNS; i++) {
		if (i >= t->ncolumns && sqlname_has_column(t, table_own_columns[i - t->ncolumns]))
			continue;
		buf_puts(out, "    ");
		put_definition(out, t, i);
		buf_puts(out, ",\n");
	}
	buf_puts(out, "    PRIMARY KEY (");
	sqlname_columns(out, t, t->nkeys);
	buf_puts(out, ")\n);\n");
}

/* Rows that are there get null, or for our own timestamps 0: SQLite takes no other default here. */
void tablesql_add_column(const struct table *t, size_t column, struct buf *out)
{
	buf_puts(out, "ALTER TABLE ");
	put_table(out, t);
	buf_puts(out, " ADD COLUMN ");
	if (column >= t->ncolumns) {
		buf_quoted(out, table_own_columns[column - t->ncolumns], '"');
		buf_puts(out, " INTEGER NOT NULL DEFAULT 0");
	} else {
		put_definition(out, t, column);
	}
	buf_puts(out, ";\n");
}

bool tablesql_create_index(const struct table *t, size_t index, struct buf *out)
{
	static const char btree[] = "using btree ";
	const char *on = t->indexes[index].sql;
	struct buf name = {0};
	if (strncasecmp(on, btree, strlen(btree)) == 0)
		on += strlen(btree);
	if (on[strspn(on, " ")] != '(')
		return false;
	ddl_index_name(t, index, &name);
	buf_printf(out, "CREATE %sINDEX IF NOT EXISTS ", t->indexes[index].unique ? "UNIQUE " : "");
	buf_quoted(out, buf_cstr(&name), '"');
	buf_puts(out, " ON ");
	put_table(out, t);
	buf_printf(out, " %s;\n", on);
	buf_free(&name);
	return true;
}

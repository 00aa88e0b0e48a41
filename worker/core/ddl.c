/*
 * ddl.c - what a table is made of: CREATE TABLE, columns added later, storage, indexes, rights.
 *
 * For "migrate", which runs the statements one by one, and for people, who read them. Pure text: no
 * connection, no failure. Types, defaults and index definitions are the schema author's SQL.
 */
#include "core/ddl.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/sqlname.h"

/* Nothing where the schema says nothing. */
void ddl_put_setting(struct buf *out, const char *table, const struct column *c,
		     const char *setting, const char *value)
{
	if (!value)
		return;
	buf_printf(out, "ALTER TABLE %s ALTER COLUMN ", table);
	buf_quoted(out, c->name, '"');
	buf_printf(out, " SET %s %s;\n", setting, value);
}

/* Past the schema's columns come our own two timestamps. */
static void put_definition(struct buf *out, const struct table *t, size_t column)
{
	if (column >= t->ncolumns) {
		buf_quoted(out, table_own_columns[column - t->ncolumns], '"');
		buf_puts(out, " timestamptz NOT NULL DEFAULT now()");
		return;
	}
	const struct column *c = &t->columns[column];
	buf_quoted(out, c->name, '"');
	buf_printf(out, " %s", c->type);
	if (c->not_null || column < t->nkeys)
		buf_puts(out, " NOT NULL");
	if (c->default_sql)
		buf_printf(out, " DEFAULT %s", c->default_sql);
}

/* Our timestamps only where the schema has no columns of these names. */
void ddl_create_table(const struct table *t, struct buf *out)
{
	buf_puts(out, "CREATE TABLE IF NOT EXISTS ");
	sqlname_table(t, out);
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
	buf_puts(out, ")\n)");
	if (t->storage)
		buf_printf(out, " WITH (%s)", t->storage);
	buf_puts(out, ";\n");
}

/* The table itself; its partitions are another statement. */
void ddl_set_column(const struct table *t, size_t column, const char *setting, const char *value,
		    struct buf *out)
{
	struct buf name = {0};
	sqlname_table(t, &name);
	ddl_put_setting(out, buf_cstr(&name), &t->columns[column], setting, value);
	buf_free(&name);
}

/* They do not inherit it, and only the server knows which there are. */
void ddl_set_in_partitions(const struct table *t, size_t column, const char *setting,
			   const char *value, struct buf *out)
{
	struct buf name = {0};
	sqlname_table(t, &name);
	buf_puts(out, "DO $$ DECLARE p regclass; BEGIN\n"
		      "    FOR p IN SELECT relid FROM pg_partition_tree(");
	buf_quoted(out, buf_cstr(&name), '\'');
	buf_puts(out, ") WHERE level > 0 LOOP\n"
		      "        EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET ");
	buf_printf(out, "%s %s', p, ", setting, value);
	buf_quoted(out, t->columns[column].name, '\'');
	buf_puts(out, ");\n    END LOOP;\nEND $$;\n");
	buf_free(&name);
}

/* "USING gin (tags)" on memory_entries: memory_entries_gin_tags_idx. */
void ddl_index_name(const struct table *t, size_t index, struct buf *out)
{
	const struct table_index *ix = &t->indexes[index];
	if (ix->name) {
		sqlname_short(out, ix->name);
		return;
	}
	struct buf full = {0};
	buf_puts(&full, t->name);
	const char *p = strncasecmp(ix->sql, "using ", 6) == 0 ? ix->sql + 6 : ix->sql;
	for (bool gap = true; *p; p++) {
		bool word = (*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'z') ||
			    (*p >= 'A' && *p <= 'Z') || *p == '_';
		if (word && gap)
			buf_u8(&full, '_');
		if (word)
			buf_u8(&full, (uint8_t)(*p >= 'A' && *p <= 'Z' ? *p - 'A' + 'a' : *p));
		gap = !word;
	}
	buf_puts(&full, ix->unique ? "_key" : "_idx");
	sqlname_short(out, buf_cstr(&full));
	buf_free(&full);
}

/* By a name of ours, so that "IF NOT EXISTS" can tell. */
void ddl_create_index(const struct table *t, size_t index, bool concurrently, struct buf *out)
{
	struct buf name = {0};
	ddl_index_name(t, index, &name);
	buf_printf(out, "CREATE %sINDEX %sIF NOT EXISTS ",
		   t->indexes[index].unique ? "UNIQUE " : "", concurrently ? "CONCURRENTLY " : "");
	buf_quoted(out, buf_cstr(&name), '"');
	buf_puts(out, " ON ");
	sqlname_table(t, out);
	buf_printf(out, " %s;\n", t->indexes[index].sql);
	buf_free(&name);
}

/* An index lies in the schema of its table. */
void ddl_drop_index(const struct table *t, size_t index, struct buf *out)
{
	struct buf name = {0};
	ddl_index_name(t, index, &name);
	buf_puts(out, "DROP INDEX CONCURRENTLY IF EXISTS ");
	if (t->schema) {
		buf_quoted(out, t->schema, '"');
		buf_puts(out, ".");
	}
	buf_quoted(out, buf_cstr(&name), '"');
	buf_puts(out, ";\n");
	buf_free(&name);
}

void ddl_table(const struct table *t, struct buf *out)
{
	ddl_create_table(t, out);
	for (size_t i = 0; i < t->ncolumns; i++) {
		ddl_set_column(t, i, "STORAGE", t->columns[i].storage, out);
		ddl_set_column(t, i, "COMPRESSION", t->columns[i].compression, out);
	}
	for (size_t i = 0; i < t->nindexes; i++)
		if (t->indexes[i].level != LEVEL_ALL)
			ddl_create_index(t, i, false, out);
}

/* The same definition as in CREATE TABLE. */
void ddl_add_column(const struct table *t, size_t column, struct buf *out)
{
	buf_puts(out, "ALTER TABLE ");
	sqlname_table(t, out);
	buf_puts(out, " ADD COLUMN IF NOT EXISTS ");
	put_definition(out, t, column);
	buf_puts(out, ";\n");
}

/* What writing needs, no more. */
void ddl_grants(const struct table *t, const char *rights, const char *role, struct buf *out)
{
	if (t->schema) {
		buf_puts(out, "GRANT USAGE ON SCHEMA ");
		buf_quoted(out, t->schema, '"');
		buf_puts(out, " TO ");
		buf_quoted(out, role, '"');
		buf_puts(out, ";\n");
	}
	buf_printf(out, "GRANT %s ON ", rights);
	sqlname_table(t, out);
	buf_puts(out, " TO ");
	buf_quoted(out, role, '"');
	buf_puts(out, ";\n");
}

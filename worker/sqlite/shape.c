/*
 * shape.c - a SQLite file against the schemas: what "migrate" adds, and "check" misses.
 *
 *   memingest_* tables     each statement of worker/sql/sqlite_books.sql whose thing is not there
 *   a stream's table       created, or its missing columns added
 *   its indexes            those that are wanted and SQLite can have; a kind of PostgreSQL's (gin,
 *                          hnsw) is left out, with a note
 *
 * It adds and never changes. What would take more is a finding: two streams whose tables have one
 * name in a file (SQL schemas are left out), a table whose primary key is another one, a column
 * that may not be null and is to come into rows that are there.
 *
 * Thread: the command's. Failure: of the connection only.
 */
#include "sqlite/shape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/ddl.h"
#include "core/sqlname.h"
#include "sqlite/tablesql.h"

extern const char sql_sqlite_books[]; /* worker/sql */

/* Takes sql's text over. The same for two streams of one table is one step. */
static void add_step(struct shape *s, struct buf *sql, bool optional, const char *what,
		     const char *name)
{
	for (size_t i = 0; i < s->nsteps; i++) {
		if (strcmp(s->steps[i].sql, buf_cstr(sql)) == 0) {
			buf_free(sql);
			return;
		}
	}
	s->steps = xrealloc(s->steps, (s->nsteps + 1) * sizeof(*s->steps));
	s->steps[s->nsteps++] = (struct shape_step){.sql = buf_take_text(sql),
						    .done = xasprintf("%s %s", what, name),
						    .optional = optional};
}

/* Whether the file has a table or index of that name; *type: which. */
static bool has(struct db *db, const char *name, bool *there, struct err *err)
{
	sqlite3_stmt *stmt =
		db_prepare(db, "SELECT 1 FROM sqlite_schema WHERE name = ?1 COLLATE NOCASE", err);
	if (!stmt)
		return false;
	sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
	bool ok = db_row(db, stmt, there, err);
	sqlite3_finalize(stmt);
	return ok;
}

/* --- the books --- */

/* Each statement of the file says "CREATE KIND IF NOT EXISTS name". */
static bool look_at_books(struct shape *s, struct db *db, struct err *err)
{
	static const char guard[] = " IF NOT EXISTS ";
	const char *end, *p = sql_sqlite_books;
	for (; (end = strstr(p, ";\n")) != NULL; p = end + 2) {
		const char *name = strstr(p, guard) + strlen(guard);
		char text[64];
		bool there = false;
		snprintf(text, sizeof(text), "%.*s", (int)strcspn(name, " \n"), name);
		if (!has(db, text, &there, err))
			return false;
		struct buf sql = {0};
		buf_put(&sql, p + strspn(p, "\n"), (size_t)(end + 2 - p) - strspn(p, "\n"));
		if (there)
			buf_free(&sql);
		else
			add_step(s, &sql, false, "created", text);
	}
	return true;
}

/* --- tables --- */

/* A bit per column of the schema, and behind them our own two: whether the table has it. */
struct columns {
	bool *there;
	bool key; /* the primary key is the schema's */
};

static const char *column_name(const struct table *t, size_t i)
{
	return i < t->ncolumns ? t->columns[i].name : table_own_columns[i - t->ncolumns];
}

/* One row of PRAGMA table_info: name, place in the primary key or 0. */
static void note_column(const struct table *t, struct columns *c, const char *name, int place)
{
	for (size_t i = 0; i < t->ncolumns + TABLE_OWN_COLUMNS; i++)
		if (strcasecmp(column_name(t, i), name) == 0)
			c->there[i] = true;
	if (place > (int)t->nkeys ||
	    (place > 0 && strcasecmp(t->columns[place - 1].name, name) != 0))
		c->key = false;
}

static bool read_columns(struct db *db, const struct table *t, struct columns *c, struct err *err)
{
	sqlite3_stmt *stmt = db_prepare(db, "SELECT name, pk FROM pragma_table_info(?1)", err);
	bool row = true, ok = stmt != NULL;
	size_t keys = 0;
	*c = (struct columns){xcalloc(t->ncolumns + TABLE_OWN_COLUMNS, sizeof(bool)), true};
	if (stmt)
		sqlite3_bind_text(stmt, 1, t->name, -1, SQLITE_STATIC);
	while (ok && row) {
		ok = db_row(db, stmt, &row, err);
		if (!ok || !row)
			break;
		note_column(t, c, (const char *)sqlite3_column_text(stmt, 0),
			    sqlite3_column_int(stmt, 1));
		keys += sqlite3_column_int(stmt, 1) > 0;
	}
	c->key = c->key && keys == t->nkeys;
	sqlite3_finalize(stmt);
	return ok;
}

static void add_column(struct shape *s, const struct stream *stream, size_t i)
{
	const struct table *t = stream->table;
	char name[256];
	struct buf sql = {0};
	if (i >= t->ncolumns && sqlname_has_column(t, column_name(t, i)))
		return;
	if (i < t->ncolumns && (t->columns[i].not_null || i < t->nkeys)) {
		buf_printf(&s->findings,
			   "stream.%s: table %s lacks column %s, which may not be null, so SQLite "
			   "can not add it: make the table anew, or its field nullable\n",
			   stream->config->name, t->name, column_name(t, i));
		return;
	}
	snprintf(name, sizeof(name), "%s.%s", t->name, column_name(t, i));
	tablesql_add_column(t, i, &sql);
	add_step(s, &sql, false, "added column", name);
}

static bool look_at_table(struct shape *s, struct db *db, const struct stream *stream,
			  struct err *err)
{
	const struct table *t = stream->table;
	struct columns c;
	struct buf sql = {0};
	bool there = false;
	if (!has(db, t->name, &there, err))
		return false;
	if (!there) {
		tablesql_create(t, &sql);
		add_step(s, &sql, false, "created table", t->name);
		return true;
	}
	bool ok = read_columns(db, t, &c, err);
	for (size_t i = 0; ok && i < t->ncolumns + TABLE_OWN_COLUMNS; i++)
		if (!c.there[i])
			add_column(s, stream, i);
	if (ok && !c.key)
		buf_printf(&s->findings,
			   "stream.%s: the primary key of table %s is not that of the schema\n",
			   stream->config->name, t->name);
	free(c.there);
	return ok;
}

/* Without a wish all but those of level all. */
static bool is_wanted(const struct shape_wish *wish, const struct table *t, size_t i,
		      const char *name)
{
	return wish ? wish->wants(wish->ctx, t, i, name) : t->indexes[i].level != LEVEL_ALL;
}

static bool look_at_index(struct shape *s, struct db *db, const struct stream *stream, size_t i,
			  const char *name, struct err *err)
{
	const struct table *t = stream->table;
	struct buf sql = {0};
	bool there = false, unique = t->indexes[i].unique;
	if (!has(db, name, &there, err))
		return false;
	if (!there && tablesql_create_index(t, i, &sql))
		add_step(s, &sql, !unique, "created index", name);
	else if (!there)
		buf_printf(unique ? &s->findings : &s->notes,
			   "stream.%s: index %s is of a kind that SQLite does not have: %s\n",
			   stream->config->name, name, t->indexes[i].sql);
	return true;
}

static bool look_at_indexes(struct shape *s, struct db *db, const struct stream *stream,
			    const struct shape_wish *wish, struct err *err)
{
	const struct table *t = stream->table;
	bool ok = true;
	for (size_t i = 0; ok && i < t->nindexes; i++) {
		struct buf name = {0};
		ddl_index_name(t, i, &name);
		ok = !is_wanted(wish, t, i, buf_cstr(&name)) ||
		     look_at_index(s, db, stream, i, buf_cstr(&name), err);
		buf_free(&name);
	}
	return ok;
}

/* Names of a file are one space, without regard to case. */
static void look_for_namesakes(struct shape *s, struct stream *const *streams, size_t i)
{
	const struct table *t = streams[i]->table;
	if (strncasecmp(t->name, "memingest_", 10) == 0 || strncasecmp(t->name, "sqlite_", 7) == 0)
		buf_printf(&s->findings, "stream.%s: a table of SQLite can not be called %s here\n",
			   streams[i]->config->name, t->name);
	for (size_t j = 0; j < i; j++) {
		const struct table *other = streams[j] ? streams[j]->table : NULL;
		if (other && strcasecmp(other->name, t->name) == 0 &&
		    strcmp(table_full_name(other), table_full_name(t)) != 0)
			buf_printf(&s->findings,
				   "stream.%s: a file has no SQL schemas, so its table %s would be "
				   "that of stream.%s\n",
				   streams[i]->config->name, t->name, streams[j]->config->name);
	}
}

/* The table's own two are among them where the schema has none of exactly that name. */
static void look_for_one_column_twice(struct shape *s, const struct stream *stream)
{
	const struct table *t = stream->table;
	size_t of_rows = 0;
	for (size_t i = 0; i < t->ncolumns + TABLE_OWN_COLUMNS; i++) {
		const char *name = column_name(t, i);
		of_rows += strcasecmp(name, "rowid") == 0 || strcasecmp(name, "oid") == 0 ||
			   strcasecmp(name, "_rowid_") == 0;
		for (size_t j = 0; j < MIN(i, t->ncolumns); j++)
			if (strcasecmp(name, column_name(t, j)) == 0 &&
			    strcmp(name, column_name(t, j)) != 0)
				buf_printf(&s->findings,
					   "stream.%s: SQLite does not tell upper case from lower, "
					   "so columns %s and %s would be one\n",
					   stream->config->name, column_name(t, j), name);
	}
	if (of_rows == 3)
		buf_printf(&s->findings,
			   "stream.%s: rowid, oid and _rowid_ can not all be columns here\n",
			   stream->config->name);
}

bool shape_look(struct shape *s, struct db *db, struct stream *const *streams, size_t n,
		const struct shape_wish *wish, struct err *err)
{
	*s = (struct shape){0};
	bool ok = look_at_books(s, db, err);
	for (size_t i = 0; ok && i < n; i++) {
		if (!streams[i])
			continue;
		look_for_namesakes(s, streams, i);
		look_for_one_column_twice(s, streams[i]);
		ok = look_at_table(s, db, streams[i], err) &&
		     look_at_indexes(s, db, streams[i], wish, err);
	}
	return ok;
}

bool shape_take(struct shape *s, struct db *db, struct err *err)
{
	for (size_t i = 0; i < s->nsteps; i++) {
		struct shape_step *step = &s->steps[i];
		if (db_exec(db, step->sql, err))
			continue;
		if (!step->optional || db->trouble != DB_EITHER)
			return err_wrap(err, "nothing was changed: not %s", step->done);
		buf_printf(&s->notes, "not %s: %s\n", step->done, err->text);
		err_clear(err);
		free(step->done);
		step->done = NULL;
	}
	return true;
}

void shape_free(struct shape *s)
{
	for (size_t i = 0; i < s->nsteps; i++) {
		free(s->steps[i].sql);
		free(s->steps[i].done);
	}
	free(s->steps);
	buf_free(&s->findings);
	buf_free(&s->notes);
}

/*
 * migrate_search.c - what "migrate" adds for the search by nearness.
 *
 *   tables of memingest    searches, segments
 *   column search_xid      null in rows that are there, so that no row is rewritten
 *   index on search_xid    here if the table is small; else by the worker, CONCURRENTLY
 *   parent of segments     made anew, and the search begins again, if the annotation has changed
 *   types and functions    made anew if what they are made from has changed
 *   row in searches        rows of before are adopted by the worker
 *
 * A table whose ids of transactions are another cluster's (a dump that was restored) begins again
 * with a new column. Searches are right all the while: what is in no segment is read row by row.
 */
#include "cli/catalog.h"
#include "cli/migration.h"
#include "core/searchsql.h"

#define SMALL_TABLE "67108864" /* bytes: an index takes a second or two */

/* Appends a step of this text. */
static void step(struct migration *m, const char *sql, const char *what, const char *name)
{
	struct buf text = {0};
	buf_puts(&text, sql);
	migration_add(m, &text, what, name);
}

struct found {
	bool column, small, index, row, foreign;
	bool segments, functions; /* there is one, perhaps another */
	bool same_segments, same_functions;
};

/* One row of booleans, in the order of struct found's members. */
static bool look(struct migration *m, const struct searchsql *s, bool books, struct found *f,
		 struct err *err)
{
	const char *params[] = {s->table_name,    s->segments,       s->search,
				s->segments_note, s->functions_note, s->index_path};
	struct pg_rows *rows = pg_query(
		m->pg,
		books ? "SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass($1)"
			" AND attname = 'search_xid' AND NOT attisdropped),"
			" coalesce(pg_relation_size(to_regclass($1)), 0) < " SMALL_TABLE ","
			" to_regclass($6) IS NOT NULL,"
			" EXISTS (SELECT FROM memingest.searches WHERE \"table\" = $1),"
			" EXISTS (SELECT FROM memingest.searches s, pg_control_system() c"
			" WHERE s.\"table\" = $1 AND s.system_id <> c.system_identifier),"
			" to_regclass($2) IS NOT NULL, to_regproc($3) IS NOT NULL,"
			" coalesce(obj_description(to_regclass($2), 'pg_class') = $4, false),"
			" coalesce(obj_description(to_regproc($3), 'pg_proc') = $5, false)"
		      : "SELECT false, coalesce(pg_relation_size(to_regclass($1)), 0) "
			"< " SMALL_TABLE
			", to_regclass($6) IS NOT NULL, false, false, to_regclass($2) IS NOT NULL,"
			" to_regproc($3) IS NOT NULL, $4 = '', $5 = ''",
		params, ARRAY_LEN(params), err);
	if (!rows)
		return false;
	*f = (struct found){pg_bool(rows, 0, 0), pg_bool(rows, 0, 1), pg_bool(rows, 0, 2),
			    pg_bool(rows, 0, 3), pg_bool(rows, 0, 4), pg_bool(rows, 0, 5),
			    pg_bool(rows, 0, 6), pg_bool(rows, 0, 7), pg_bool(rows, 0, 8)};
	pg_rows_free(rows);
	return true;
}

static void add_steps(struct migration *m, const struct searchsql *s, struct found *f)
{
	const char *name = table_full_name(s->table);
	if (f->foreign && f->column) {
		step(m, s->drop_column, "dropped search_xid, of another cluster, of", name);
		f->column = f->index = f->same_segments = false;
	}
	if (!f->column)
		step(m, s->add_column, "added column search_xid to", name);
	if (!f->index && f->small)
		step(m, s->create_index_now, "created the index on search_xid of", name);
	if (f->segments && !f->same_segments)
		step(m, s->drop_segments, "dropped the segments of", name);
	if (!f->same_segments)
		step(m, s->create_segments, "created the segments of", name);
	if (f->functions && !f->same_functions)
		step(m, s->drop_functions, "dropped the search functions of", name);
	if (!f->same_functions)
		step(m, s->create_functions, "created the search functions of", name);
	if (!f->row || !f->same_segments)
		step(m, s->begin, "began the search of", name);
}

bool migration_search(struct migration *m, const struct stream *s, bool there, struct err *err)
{
	struct found f;
	bool books;
	if (!s->search)
		return true;
	if (!catalog_ask(m->pg, "SELECT to_regclass('memingest.searches') IS NOT NULL", NULL,
			 &books, err) ||
	    !migration_books(m, sql_search_books, err) || !look(m, s->search, books, &f, err))
		return false;
	f.column = f.column && there;
	add_steps(m, s->search, &f);
	return true;
}

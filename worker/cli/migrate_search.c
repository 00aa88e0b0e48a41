/*
 * migrate_search.c - what "migrate" adds for the search by nearness.
 *
 *   tables of memingest    searches, segments
 *   column search_xid      null in rows that are there, so that no row is rewritten
 *   index on search_xid    here if the table is small; else by the worker, CONCURRENTLY
 *   parent of segments     made anew, and the search begins again, if the annotation has changed
 *   types, functions       made anew if what they take or return has changed; else a function
 *                          that is another one is replaced, and whoever may call it still may
 *   row in searches        rows of before are adopted by the worker
 *
 * A table whose ids of transactions are another cluster's (a dump that was restored) begins again
 * with a new column. Searches are right all the while: what is in no segment is read row by row.
 */
#include "cli/catalog.h"
#include "cli/catalog_search.h"
#include "cli/migration.h"
#include "core/searchsql.h"

/* Appends a step of this text. */
static void step(struct migration *m, const char *sql, const char *what, const char *name)
{
	struct buf text = {0};
	buf_puts(&text, sql);
	migration_add(m, &text, what, name);
}

static void add_steps(struct migration *m, const struct searchsql *s, struct catalog_search *f)
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
	if ((f->functions || f->types) && !f->same_types)
		step(m, s->drop_functions, "dropped the search functions of", name);
	if (!f->same_types)
		step(m, s->create_types, "created the types of the search of", name);
	if (!f->same_types || !f->same_functions)
		step(m, s->create_functions, "created the search functions of", name);
	if (!f->row || !f->same_segments)
		step(m, s->begin, "began the search of", name);
}

bool migration_search(struct migration *m, const struct stream *s, bool there, struct err *err)
{
	struct catalog_search f;
	bool books;
	if (!s->search)
		return true;
	if (!catalog_ask(m->pg, "SELECT to_regclass('memingest.searches') IS NOT NULL", NULL,
			 &books, err) ||
	    !migration_books(m, sql_search_books, err) ||
	    !catalog_search_read(m->pg, s->search, books, &f, err))
		return false;
	f.column = f.column && there;
	add_steps(m, s->search, &f);
	return true;
}

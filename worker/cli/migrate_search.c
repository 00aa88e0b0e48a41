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
 * Segments, types, functions and that row for each searched column; where there are several, types
 * and functions once more, which go to the live one.
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

/* What all searches of the table share. True: all of them begin again. */
static bool add_column(struct migration *m, const struct searchsql *s, struct catalog_search *f,
		       bool foreign)
{
	const char *name = table_full_name(s->table);
	bool again = foreign && f->column;
	if (again) {
		step(m, s->drop_column, "dropped search_xid, of another cluster, of", name);
		f->column = f->index = false;
	}
	if (!f->column)
		step(m, s->add_column, "added column search_xid to", name);
	if (!f->index && f->small)
		step(m, s->create_index_now, "created the index on search_xid of", name);
	return again;
}

static void add_functions(struct migration *m, const struct searchsql *s,
			  const struct catalog_search *f)
{
	const char *name = table_full_name(s->table);
	if ((f->functions || f->types) && !f->same_types)
		step(m, s->drop_functions, "dropped the search functions of", name);
	if (!f->same_types)
		step(m, s->create_types, "created the types of the search of", name);
	if (!f->same_types || !f->same_functions)
		step(m, s->create_functions, "created the search functions of", name);
	if (f->apart)
		step(m, s->drop_apart, "dropped the search functions of one column of", name);
}

static void add_search(struct migration *m, const struct searchsql *s,
		       const struct catalog_search *f)
{
	const char *name = table_full_name(s->table);
	if (f->segments && !f->same_segments)
		step(m, s->drop_segments, "dropped the segments of", name);
	if (!f->same_segments)
		step(m, s->create_segments, "created the segments of", name);
	add_functions(m, s, f);
	if (!f->row || !f->same_segments)
		step(m, s->begin, "began the search of", name);
}

bool migration_search(struct migration *m, const struct stream *s, bool there, struct err *err)
{
	struct catalog_search f[TABLE_SEARCHES_MOST], front;
	size_t n = s->table->nsearches;
	bool books, foreign = false;
	if (n == 0)
		return true;
	if (!catalog_ask(m->pg, "SELECT to_regclass('memingest.searches') IS NOT NULL", NULL,
			 &books, err) ||
	    !migration_books(m, sql_search_books, err))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!catalog_search_read(m->pg, s->searches[i], books, &f[i], err))
			return false;
		foreign |= f[i].foreign;
	}
	if (s->front && !catalog_search_read(m->pg, s->front, books, &front, err))
		return false;
	f[0].column = f[0].column && there;
	bool again = add_column(m, s->searches[0], &f[0], foreign);
	for (size_t i = 0; i < n; i++) {
		f[i].same_segments = f[i].same_segments && !again;
		add_search(m, s->searches[i], &f[i]);
	}
	if (s->front)
		add_functions(m, s->front, &front);
	return true;
}

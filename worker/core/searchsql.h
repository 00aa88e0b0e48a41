/*
 * searchsql.h - the SQL of a table's searches by nearness, made once from the table.
 *
 * What there is of it in the database: the table's column search_xid, the partitioned table of
 * segments, the functions search_, candidates_ and scope_, their types, and a row in
 * memingest.searches. ARCHITECTURE.md tells how they work together.
 *
 *   one column     search_T            and live_T, which says the column
 *   several        search_T_by_COLUMN  each with segments and a row in memingest.searches,
 *                  search_T            "front": goes to that of the live column; and live_T
 */
#pragma once

#include "base/base.h"
#include "base/buf.h"
#include "codec/table.h"

struct searchsql {
	const struct table *table;
	size_t index;     /* into the table's searches */
	char *table_name; /* quoted */
	char *literal;    /* the same, as a literal */
	char *key;        /* as it stands in memingest.searches; of a front that of the first */
	char *key_literal;
	char *segments;       /* memingest."memory_entries_segments" */
	char *segment_prefix; /* of a segment's: without its number and the last quote */
	char *search;         /* memingest."search_memory_entries", and so on */
	char *candidates;
	char *scope;
	char *live;         /* says which column is */
	int64_t near_bytes; /* of a vector in a segment */

	char *add_column; /* ALTER TABLE: search_xid; takes no time however full the table */
	char *drop_column;
	char *index_path;       /* its index, with its schema */
	char *create_index;     /* CONCURRENTLY */
	char *create_index_now; /* within a transaction */
	char *begin;            /* nothing is sealed yet, or not any more */
	/* The segments, and the functions; before each, its DROP; and what its comment then says.
	 */
	char *create_segments, *drop_segments, *segments_note;
	char *create_types, *types_note;
	char *create_functions, *drop_functions, *functions_note; /* with the types */
	char *found;    /* the type of found rows, which has types_note */
	char *searcher; /* a searcher's rights: GRANT ... TO :role */
	/* Of one column alone: what its functions were called while there were others; or NULL. */
	char *apart, *drop_apart;
	char *owner; /* the segments become :role_literal's, as who keeps them must own them */

	char *drop_index;
	char *look;
	char *cut;                     /* :limit; SELECT: pg_snapshot */
	char *old_key, *old_key_order; /* SELECT: text[]; a condition on t fits between; :limit */

	/* Of one segment, :number; see searchsql_segment(). */
	char *rows;     /* SELECT: those that :upto sees and :after does not */
	char *rows_old; /* SELECT: those without search_xid; a condition on t may follow */
	/* The same, of the first filter alone; NULL if there is none. */
	char *tenant_rows, *tenant_rows_old;
	char *tenants;    /* SELECT: those values in :rows that get a part of their own; or NULL */
	char *add_tenant; /* :part and :part_name for :value, :unlogged or nothing; or NULL */
	char *create;     /* CREATE :unlogged TABLE :parted, either may be nothing */
	char *finish;     /* the indexes */
	char *attach;
	char *common; /* SELECT: jsonb of the frequent values */
	char *stale;  /* counts and notes the stale rows; of :rows there are too many where it lacks
			 some */
	char *drop;
};

/* What a row takes of a server's memory while its graph is built: the vector, and its node. */
static inline int64_t searchsql_row_bytes(const struct searchsql *s)
{
	return s->near_bytes + 800;
}

/* Of one of the table's searches. */
struct searchsql *searchsql_new(const struct table *table, size_t index);
/* Types and functions alone, the rest is NULL. NULL: fewer than two columns are searched. */
struct searchsql *searchsql_new_front(const struct table *table);
void searchsql_free(struct searchsql *s); /* NULL is fine */
/* text with :number, and with another word unless that is NULL. The caller frees it. */
char *searchsql_segment(const char *text, int number, const char *word, const char *meaning);

extern const char sql_search_books[]; /* worker/sql */

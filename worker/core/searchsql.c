/*
 * searchsql.c - from a table's description to the SQL of its search by nearness.
 *
 * The texts are those of worker/sql/search_*.sql; here the words in them (:table, :filters, ...)
 * get their meaning. A database that holds an older text is known by the comment on it, which has a
 * hash of what it was made from.
 *
 * What a segment holds of a vector ("near") is half as wide: halfvec. Under cosine it is made a
 * unit vector first, which a half float then always can hold; under l2 and ip, where it may not,
 * it stays as it is where HNSW takes that. The exact distance is always taken from the table's own
 * vector.
 *
 * Pure text: no connection, no failure.
 */
#include "core/searchsql.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "core/ddl.h"
#include "core/searchlist.h"
#include "core/sqlname.h"

#define HNSW_VECTOR_DIM 2000 /* pgvector's HNSW_MAX_DIM, for vector */
#define PLAIN_BYTES 4000     /* a vector up to here stays in its row */
#define WORDS_MOST 80

extern const char sql_search_segments[], sql_search_types[], sql_search_functions[],
	sql_search_ways[], sql_search_one_by_one[], sql_search_by_graph[], sql_search_by_index[],
	sql_search_tail[], sql_search_segment[], sql_search_tenants[], sql_search_tenant[],
	sql_search_finish[], sql_search_stale[], sql_search_look[], sql_search_cut[],
	sql_search_rows[], sql_search_begin[], sql_search_attach[], sql_search_owner[],
	sql_search_searcher[], sql_search_live[], sql_search_front[];

struct words {
	struct sqlname_word list[WORDS_MOST];
	char *texts[WORDS_MOST]; /* owned */
	size_t n;
};

/* Takes text over. */
static const char *add(struct words *w, const char *word, char *text)
{
	if (w->n == WORDS_MOST)
		abort();
	w->list[w->n] = (struct sqlname_word){word, text};
	w->texts[w->n++] = text;
	return text;
}

static char *fill(const struct words *w, const char *sql)
{
	struct buf b = {0};
	sqlname_fill(&b, sql, w->list, w->n);
	return buf_take_text(&b);
}

static char *literal_of(const char *text)
{
	struct buf b = {0};
	buf_quoted(&b, text, '\'');
	return buf_take_text(&b);
}

/* What the last words say is for one text only. */
static void pop_words(struct words *w, size_t n)
{
	while (w->n > n)
		free(w->texts[--w->n]);
}

/* The text for each filter. */
static char *for_filters(struct words *w, const struct table *t, const char *sql)
{
	struct buf all = {0};
	for (size_t i = 0; i < t->searches[0].nfilters; i++) {
		struct buf name = {0}, want = {0};
		size_t before = w->n;
		buf_quoted(&name, searchlist_filter(t, i)->name, '"');
		searchlist_put_want(&want, searchlist_filter(t, i));
		add(w, "filter", buf_take_text(&name));
		add(w, "filter_literal", literal_of(searchlist_filter(t, i)->name));
		add(w, "want", buf_take_text(&want));
		add(w, "number", xasprintf("%zu", i + 1));
		char *text = fill(w, sql);
		buf_puts(&all, text);
		free(text);
		pop_words(w, before);
	}
	return buf_take_text(&all);
}

static char *choose_ways(struct words *w, const struct table *t)
{
	size_t n = t->searches[0].nfilters, before = w->n;
	if (n == 0)
		return xstrdup("");
	add(w, "estimates", searchlist_estimates(t));
	add(w, "counts", searchlist_numbered(n, "m.f", "", ", "));
	add(w, "sums", searchlist_numbered(n, "sum(m.f", ")", ", "));
	add(w, "sum_cases", searchlist_sum_cases(n));
	add(w, "frequent", searchlist_frequent(n));
	struct buf first = {0};
	searchlist_put_want(&first, searchlist_filter(t, 0));
	add(w, "first", buf_take_text(&first));
	add(w, "by_index", for_filters(w, t, sql_search_by_index));
	char *text = fill(w, sql_search_ways);
	pop_words(w, before);
	return text;
}

/* Appends the text for searches of which when is true. Takes matching over. */
static void put_case(struct buf *out, struct words *w, const char *sql, const char *when,
		     char *matching)
{
	size_t before = w->n;
	add(w, "matches", matching);
	char *text = fill(w, sql);
	buf_printf(out, "        %s\n%s", when, text);
	free(text);
	pop_words(w, before);
}

/*
 * The text for searches without a filter, and for those with: a condition that is none still costs,
 * as a row's columns are taken apart for it.
 */
static char *for_cases(struct words *w, const struct table *t, const char *sql, const char *prefix)
{
	struct buf all = {0};
	if (t->searches[0].nfilters == 0) {
		put_case(&all, w, sql, "-- As there are no filters:", xstrdup(""));
		return buf_take_text(&all);
	}
	put_case(&all, w, sql, "IF NOT filtered THEN", xstrdup(""));
	put_case(&all, w, sql, "ELSE", searchlist_matches(t, prefix));
	buf_puts(&all, "        END IF;\n");
	return buf_take_text(&all);
}

/* --- names, types, operators --- */

/* name without its last quote, as the beginning of a segment's: memingest."t_segment_ */
static char *segment_prefix(const char *segments)
{
	return xasprintf("%.*s_", (int)(strlen(segments) - 2), segments);
}

static const char *operator_of(enum search_distance distance)
{
	switch (distance) {
	case SEARCH_COSINE:
		return "<=>";
	case SEARCH_L2:
		return "<->";
	case SEARCH_IP:
		return "<#>";
	}
	abort();
}

static const char *opclass_of(enum search_distance distance)
{
	switch (distance) {
	case SEARCH_COSINE:
		return "cosine_ops";
	case SEARCH_L2:
		return "l2_ops";
	case SEARCH_IP:
		return "ip_ops";
	}
	abort();
}

static void add_types(struct words *w, struct searchsql *s)
{
	const struct table *t = s->table;
	const struct column *c = &t->columns[t->searches[s->index].vector];
	enum search_distance distance = t->searches[s->index].distance;
	bool half = distance == SEARCH_COSINE || c->kind == PG_HALFVEC || c->dim > HNSW_VECTOR_DIM;
	const char *type = half ? "halfvec" : "vector";
	struct buf name = {0}, of_row = {0};
	buf_quoted(&name, c->name, '"');
	buf_printf(&of_row, distance == SEARCH_COSINE ? "l2_normalize(t.%s)" : "t.%s",
		   buf_cstr(&name));
	char *near_type = xasprintf("%s(%u)", type, c->dim);
	add(w, "vector", buf_take_text(&name));
	add(w, "vector_type", xstrdup(c->type));
	add(w, "near_of_query",
	    xasprintf(distance == SEARCH_COSINE ? "l2_normalize(query)::%s" : "query::%s",
		      near_type));
	add(w, "near_of_row", xasprintf("%s::%s", buf_cstr(&of_row), near_type));
	s->near_bytes = (int64_t)c->dim * (half ? 2 : 4);
	add(w, "near_storage", xstrdup(s->near_bytes <= PLAIN_BYTES ? "PLAIN" : "EXTERNAL"));
	add(w, "near_type", near_type);
	add(w, "operator", xstrdup(operator_of(distance)));
	add(w, "opclass", xasprintf("%s_%s", type, opclass_of(distance)));
	buf_free(&of_row);
}

/* --- the whole --- */

/* by: what stands behind the table's name; "" where the names are the table's own. */
static void add_functions(struct words *w, struct searchsql *s, const char *by)
{
	const struct table *t = s->table;
	char *candidate = xasprintf("%s_candidate", by), *found = xasprintf("%s_found", by);
	s->search = searchlist_object_name(t, "search_", by);
	s->candidates = searchlist_object_name(t, "candidates_", by);
	s->scope = searchlist_object_name(t, "scope_", by);
	s->found = searchlist_object_name(t, "", found);
	s->live = searchlist_object_name(t, "live_", "");
	add(w, "search", xstrdup(s->search));
	add(w, "candidates", xstrdup(s->candidates));
	add(w, "scope", xstrdup(s->scope));
	add(w, "found", xstrdup(s->found));
	add(w, "candidate", searchlist_object_name(t, "", candidate));
	add(w, "live", xstrdup(s->live));
	add(w, "and_live", by[0] ? xstrdup("") : xasprintf(", %s", s->live));
	free(candidate);
	free(found);
}

static void add_names(struct words *w, struct searchsql *s)
{
	const struct table *t = s->table;
	const struct table_search *how = &t->searches[s->index];
	struct buf name = {0}, index = {0}, full = {0}, prefix = {0}, path = {0};
	sqlname_table(t, &name);
	s->table_name = buf_take_text(&name);
	s->literal = literal_of(s->table_name);
	s->key = searchlist_key_of(t, how);
	s->key_literal = literal_of(s->key);
	add(w, "key", xstrdup(s->key_literal));
	add(w, "keys", searchlist_keys_of(t));
	s->segments = searchlist_name_of_segments(t, how);
	buf_printf(&full, "%s_search_xid_idx", t->name);
	sqlname_short(&index, buf_cstr(&full));
	buf_quoted(&name, buf_cstr(&index), '"');
	add(w, "index", buf_take_text(&name));
	if (t->schema) {
		buf_quoted(&path, t->schema, '"');
		buf_puts(&path, ".");
	}
	buf_quoted(&path, buf_cstr(&index), '"');
	add(w, "index_literal", literal_of(buf_cstr(&path)));
	s->index_path = buf_take_text(&path);
	add(w, "index_path", xstrdup(s->index_path));
	char *of_segment = segment_prefix(s->segments);
	buf_quoted(&prefix, of_segment, '\'');
	add(w, "table", xstrdup(s->table_name));
	add(w, "literal", xstrdup(s->literal));
	add(w, "segments", xstrdup(s->segments));
	add(w, "segments_literal", literal_of(s->segments));
	add(w, "segment", xasprintf("%s:number\"", of_segment));
	char *segment = xasprintf("%s:number\"", of_segment);
	add(w, "segment_literal", literal_of(segment));
	free(segment);
	add(w, "segment_prefix", buf_take_text(&prefix));
	s->segment_prefix = of_segment;
	buf_free(&index);
	buf_free(&full);
}

static void add_lists(struct words *w, const struct table *t)
{
	add(w, "key_columns", searchlist_keys(t, NULL));
	add(w, "c_names", searchlist_keys(t, ""));
	add(w, "c_keys", searchlist_keys(t, "c."));
	add(w, "s_keys", searchlist_keys(t, "s."));
	add(w, "t_keys", searchlist_keys(t, "t."));
	add(w, "t_is_c", searchlist_same_key(t, "t", "c"));
	add(w, "t_is_s", searchlist_same_key(t, "t", "s"));
	add(w, "segment_columns", searchlist_segment_columns(t, true));
	add(w, "row_columns", searchlist_segment_columns(t, false));
	add(w, "table_columns", searchlist_table_columns(t, true));
	add(w, "found_columns", searchlist_table_columns(t, false));
	add(w, "filter_parameters", searchlist_filter_parameters(t));
	add(w, "filter_numbers", searchlist_filter_numbers(t));
	add(w, "freshness_number", xasprintf("$%zu", 3 + t->searches[0].nfilters));
	add(w, "want_filters", searchlist_want_filters(t));
	add(w, "s_matches", searchlist_matches(t, "s"));
	add(w, "t_matches", searchlist_matches(t, "t"));
}

/* The text of a comment: a hash of the SQL that it stands at. */
static char *note_of(const char *sql)
{
	return xasprintf("memingest %016llx", (unsigned long long)XXH64(sql, strlen(sql), 0));
}

static char *with_note(struct words *w, const char *sql, char **note)
{
	char *bare = fill(w, sql);
	*note = note_of(bare);
	free(bare);
	size_t before = w->n;
	add(w, "note", literal_of(*note));
	char *text = fill(w, sql);
	pop_words(w, before);
	return text;
}

static char *finish_sql(struct words *w, const struct table *t)
{
	struct buf b = {0};
	char *text = fill(w, sql_search_finish);
	buf_puts(&b, text);
	free(text);
	for (size_t i = 0; i < t->searches[0].nfilters; i++) {
		text = fill(w, "CREATE INDEX ON :segment (");
		buf_puts(&b, text);
		buf_quoted(&b, searchlist_filter(t, i)->name, '"');
		buf_puts(&b, ");\n");
		free(text);
	}
	return buf_take_text(&b);
}

/* {"user_id": {"u1": 2000}}: enough to know of a value whether it is rare */
static char *common_sql(struct words *w, const struct table *t)
{
	struct buf b = {0};
	buf_puts(&b, "SELECT jsonb_build_object(");
	for (size_t i = 0; i < t->searches[0].nfilters; i++) {
		struct buf name = {0};
		buf_quoted(&name, searchlist_filter(t, i)->name, '"');
		buf_puts(&b, i ? ", " : "");
		buf_quoted(&b, searchlist_filter(t, i)->name, '\'');
		buf_printf(&b,
			   ", (SELECT coalesce(jsonb_object_agg(v, n), '{}') FROM (SELECT %s::text"
			   " AS v, count(*) AS n FROM ",
			   buf_cstr(&name));
		char *segment = fill(w, ":segment");
		buf_printf(&b,
			   "%s WHERE part = 0 AND %s IS NOT NULL GROUP BY %s HAVING count(*) >= "
			   "1000) x)",
			   segment, buf_cstr(&name), buf_cstr(&name));
		free(segment);
		buf_free(&name);
	}
	buf_puts(&b, ")");
	return buf_take_text(&b);
}

static const char sql_searcher_of_front[] =
	"GRANT EXECUTE ON FUNCTION :search, :candidates, :scope:and_live TO :role;\n";
static const char sql_rows_old[] =
	"SELECT :row FROM :table t WHERE t.search_xid IS NULL AND t.:vector IS NOT NULL";

/* The values of the first filter may have a part of a segment. */
static void add_tenants(struct words *w, struct searchsql *s)
{
	struct buf name = {0};
	size_t before = w->n;
	if (s->table->searches[0].nfilters == 0)
		return;
	buf_quoted(&name, searchlist_filter(s->table, 0)->name, '"');
	add(w, "filter", xstrdup(buf_cstr(&name)));
	add(w, "row", xasprintf("t.%s", buf_cstr(&name)));
	s->tenant_rows = fill(w, sql_search_rows);
	s->tenant_rows_old = fill(w, sql_rows_old);
	s->tenants = xstrdup(sql_search_tenants);
	s->add_tenant = fill(w, sql_search_tenant);
	pop_words(w, before);
	buf_free(&name);
}

/* --- several columns --- */

/* The types and functions, whoever they belong to. */
static void make_functions(struct words *w, struct searchsql *s, const char *functions)
{
	s->create_types = with_note(w, sql_search_types, &s->types_note);
	s->create_functions = with_note(w, functions, &s->functions_note);
	s->drop_functions =
		fill(w, "DROP FUNCTION IF EXISTS :search, :scope, :candidates:and_live;\n"
			"DROP TYPE IF EXISTS :found, :candidate;\n");
}

/* What is left of the time when the table had other searched columns as well. */
static void add_apart(struct searchsql *s)
{
	struct words w = {0};
	struct searchsql apart = {.table = s->table};
	char *by = searchlist_by_column(s->table, s->index);
	add_functions(&w, &apart, by);
	s->drop_apart = fill(&w, "DROP FUNCTION IF EXISTS :search, :scope, :candidates;\n"
				 "DROP TYPE IF EXISTS :found, :candidate;\n");
	s->apart = xstrdup(apart.search);
	pop_words(&w, 0);
	char *texts[] = {by, apart.search, apart.candidates, apart.scope, apart.found, apart.live};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		free(texts[i]);
}

struct searchsql *searchsql_new_front(const struct table *t)
{
	struct words w = {0};
	if (t->nsearches < 2)
		return NULL;
	struct searchsql *s = xcalloc(1, sizeof(*s));
	s->table = t;
	add_names(&w, s);
	add_functions(&w, s, "");
	add_lists(&w, t);
	add(&w, "columns", searchlist_live_columns(t));
	add(&w, "live_function", fill(&w, sql_search_live));
	char *numbers = searchlist_filter_numbers(t);
	char *arguments = xasprintf("$1, $2%s, $%zu", numbers, 3 + t->searches[0].nfilters);
	add(&w, "candidates_cases", searchlist_cases_of(t, "candidates_", arguments));
	add(&w, "search_cases", searchlist_cases_of(t, "search_", arguments));
	add(&w, "scope_cases", searchlist_cases_of(t, "scope_", "$1"));
	free(numbers);
	free(arguments);
	make_functions(&w, s, sql_search_front);
	s->searcher = fill(&w, sql_searcher_of_front);
	pop_words(&w, 0);
	return s;
}

/* --- a column --- */

struct searchsql *searchsql_new(const struct table *table, size_t index)
{
	struct words w = {0};
	struct searchsql *s = xcalloc(1, sizeof(*s));
	char *by = table->nsearches > 1 ? searchlist_by_column(table, index) : xstrdup("");
	s->table = table;
	s->index = index;
	add_names(&w, s);
	add_functions(&w, s, by);
	add_types(&w, s);
	add(&w, "columns", searchlist_live_columns(table));
	add(&w, "live_function", by[0] ? xstrdup("") : fill(&w, sql_search_live));
	if (!by[0])
		add_apart(s);
	free(by);
	add_lists(&w, table);
	add(&w, "choose_ways", choose_ways(&w, table));
	add(&w, "one_by_one", for_filters(&w, table, sql_search_one_by_one));
	add(&w, "by_graph", for_cases(&w, table, sql_search_by_graph, "s"));
	add(&w, "tail", for_cases(&w, table, sql_search_tail, "t"));
	s->add_column = fill(&w, "ALTER TABLE :table ADD COLUMN search_xid xid8;\n"
				 "ALTER TABLE :table ALTER COLUMN search_xid"
				 " SET DEFAULT pg_current_xact_id();\n");
	s->drop_column = fill(&w, "ALTER TABLE :table DROP COLUMN search_xid;\n");
	s->create_index_now = fill(&w, "CREATE INDEX :index ON :table (search_xid);\n");
	s->begin = fill(&w, sql_search_begin);
	s->create_index = fill(&w, "CREATE INDEX CONCURRENTLY IF NOT EXISTS :index"
				   " ON :table (search_xid)");
	s->create_segments = with_note(&w, sql_search_segments, &s->segments_note);
	s->drop_segments = fill(&w, "DROP TABLE IF EXISTS :segments CASCADE;\n");
	make_functions(&w, s, sql_search_functions);
	s->searcher = fill(&w, sql_search_searcher);
	s->owner = fill(&w, sql_search_owner);
	s->drop_index = fill(&w, "DROP INDEX IF EXISTS :index_path");
	s->look = fill(&w, sql_search_look);
	s->cut = fill(&w, sql_search_cut);
	s->old_key =
		fill(&w, "SELECT ARRAY[:t_keys]::text[] FROM :table t WHERE t.search_xid IS NULL"
			 " AND t.:vector IS NOT NULL");
	s->old_key_order = fill(&w, " ORDER BY :t_keys OFFSET :limit LIMIT 1");
	size_t before = w.n;
	add(&w, "row", fill(&w, ":number, 0, :row_columns, t.search_xid, :near_of_row"));
	s->rows = fill(&w, sql_search_rows);
	s->rows_old = fill(&w, sql_rows_old);
	pop_words(&w, before);
	add_tenants(&w, s);
	s->create = fill(&w, sql_search_segment);
	s->finish = finish_sql(&w, table);
	s->attach = fill(&w, sql_search_attach);
	s->common = common_sql(&w, table);
	s->stale = fill(&w, sql_search_stale);
	s->drop = fill(&w, "DROP TABLE IF EXISTS :segment");
	pop_words(&w, 0);
	return s;
}

void searchsql_free(struct searchsql *s)
{
	if (!s)
		return;
	char *texts[] = {s->table_name,
			 s->literal,
			 s->key,
			 s->key_literal,
			 s->live,
			 s->apart,
			 s->drop_apart,
			 s->segments,
			 s->segment_prefix,
			 s->search,
			 s->candidates,
			 s->scope,
			 s->index_path,
			 s->drop_column,
			 s->create_index_now,
			 s->begin,
			 s->add_column,
			 s->create_index,
			 s->create_segments,
			 s->drop_segments,
			 s->segments_note,
			 s->create_types,
			 s->types_note,
			 s->found,
			 s->create_functions,
			 s->drop_functions,
			 s->functions_note,
			 s->searcher,
			 s->owner,
			 s->drop_index,
			 s->look,
			 s->cut,
			 s->old_key,
			 s->old_key_order,
			 s->rows,
			 s->rows_old,
			 s->tenant_rows,
			 s->tenant_rows_old,
			 s->tenants,
			 s->add_tenant,
			 s->create,
			 s->finish,
			 s->attach,
			 s->common,
			 s->stale,
			 s->drop};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		free(texts[i]);
	free(s);
}

char *searchsql_segment(const char *text, int number, const char *word, const char *meaning)
{
	char digits[16];
	struct buf b = {0};
	snprintf(digits, sizeof(digits), "%d", number);
	const struct sqlname_word words[] = {{"number", digits}, {word, meaning}};
	sqlname_fill(&b, text, words, word ? 2 : 1);
	return buf_take_text(&b);
}

/*
 * search_sql.c - the statement of "memingest search", for PostgreSQL and for a SQLite file.
 *
 *   PostgreSQL   SELECT r.distance, ... FROM memingest.search_TABLE($1, $2, filters) r
 *                (search_TABLE_by_COLUMN, where several columns are searched)
 *   SQLite       SELECT n.distance, ... FROM (the nearest: number, distance) n JOIN TABLE r
 *
 * In a file every vector is read and compared: 2 kB a row, one row at a time. ORDER BY .. LIMIT
 * keeps as many rows as are wanted, of which only its number and distance are held; the rest of
 * them is fetched at the end.
 *
 * Pure text: no connection, no failure.
 */
#include "cli/search.h"

#include <string.h>

#include "core/sqlname.h"
#include "sqlite/form.h"
#include "sqlite/shown.h"
#include "sqlite/tablesql.h"

#define PART 100 /* columns of a document, in one pair of brackets */

/* What a person wants to read of a row: the text that is embedded, else the first that says more
 * than key and filters do; -1: there is none. */
static int text_column(const struct search *s)
{
	const struct table *t = s->stream->table;
	int embed = table_embed_of(t, search_column(s));
	if (embed >= 0 || t->nembeds > 0)
		return (int)t->embeds[MAX(embed, 0)].text;
	for (size_t i = t->nkeys; i < t->ncolumns; i++) {
		bool filter = false;
		for (size_t k = 0; k < t->searches[0].nfilters; k++)
			filter |= t->searches[0].filters[k] == i;
		if (!filter && t->columns[i].kind == PG_TEXT)
			return (int)i;
	}
	return -1;
}

static void put_column(struct buf *sql, const char *name, const char *behind)
{
	buf_puts(sql, "r.");
	buf_quoted(sql, name, '"');
	buf_puts(sql, behind);
}

/* Of no use to a reader: a vector that is searched, or that a model has made. */
static bool is_vector(const struct table *t, size_t column)
{
	bool searched = false;
	for (size_t i = 0; i < t->nsearches; i++)
		searched |= t->searches[i].vector == column;
	return searched || table_embed_of(t, column) >= 0;
}

/* For programs: a document, with all columns but the vectors. */
static void put_document(struct buf *sql, const struct search *s)
{
	const struct table *t = s->stream->table;
	bool any = false;
	buf_puts(sql, "SELECT r.distance, (SELECT row_to_json(c) FROM (SELECT ");
	for (size_t i = 0; i < t->ncolumns + TABLE_OWN_COLUMNS; i++) {
		bool ours = i >= t->ncolumns;
		if (is_vector(t, i) ||
		    (ours && sqlname_has_column(t, table_own_columns[i - t->ncolumns])))
			continue;
		buf_puts(sql, any ? ", " : "");
		put_column(sql, ours ? table_own_columns[i - t->ncolumns] : t->columns[i].name, "");
		any = true;
	}
	buf_puts(sql, ") c)");
}

/* For people: distance, key, text. */
static void put_line(struct buf *sql, const struct search *s)
{
	const struct table *t = s->stream->table;
	int text = text_column(s);
	buf_puts(sql, "SELECT r.distance, concat_ws('/'");
	for (size_t i = 0; i < t->nkeys; i++) {
		buf_puts(sql, ", ");
		put_column(sql, t->columns[i].name, "::text");
	}
	buf_puts(sql, "), ");
	if (text >= 0)
		put_column(sql, t->columns[text].name, "::text");
	else
		buf_puts(sql, "NULL");
}

/*
 * $1 is the vector, $2 the number of rows, $3 and so on are the filters: all of the types that the
 * function has, so that none is named here, whose schema might not be in the search path.
 */
char *search_sql_pg(const struct search *s)
{
	struct buf sql = {0};
	if (s->cli->json)
		put_document(&sql, s);
	else
		put_line(&sql, s);
	buf_printf(&sql, " FROM %s($1, $2", s->stream->searches[s->index]->search);
	for (size_t i = 0; i < s->nfilters; i++) {
		buf_puts(&sql, ", ");
		buf_quoted(&sql, s->filters[i].column->name, '"');
		buf_printf(&sql, " => $%zu", i + 3);
	}
	buf_puts(&sql, ") r ORDER BY r.distance");
	return buf_take_text(&sql);
}

/* --- SQLite --- */

/* memingest_text(kind, zone, r."column"), or memingest_shown() */
static void put_shown(struct buf *sql, const char *function, const struct column *c)
{
	buf_printf(sql, "%s(", function);
	shown_put_kind(sql, c);
	buf_puts(sql, ", ");
	put_column(sql, c->name, ")");
}

/* The table's own timestamps are columns like any other. */
static struct column column_at(const struct table *t, size_t i)
{
	if (i < t->ncolumns)
		return t->columns[i];
	return (struct column){.name = table_own_columns[i - t->ncolumns],
			       .type = "timestamptz",
			       .kind = PG_TIMESTAMP};
}

/*
 * ('{"a":' || memingest_shown(a) || ',"b":' ...) || (...) || '}': put together by hand, as a call
 * takes 100 values, and in parts, as SQLite takes no expression that is 1000 deep.
 */
static void put_file_document(struct buf *sql, const struct search *s)
{
	const struct table *t = s->stream->table;
	size_t n = 0;
	for (size_t i = 0; i < t->ncolumns + TABLE_OWN_COLUMNS; i++) {
		const struct column c = column_at(t, i);
		struct buf name = {0};
		if (is_vector(t, i) || (i >= t->ncolumns && sqlname_has_column(t, c.name)))
			continue;
		buf_puts(&name, n ? "," : "{");
		form_put_string((struct slice){(const uint8_t *)c.name, strlen(c.name)}, &name);
		buf_puts(&name, ":");
		buf_puts(sql, n == 0 ? "(" : n % PART == 0 ? ") || (" : " || ");
		buf_quoted(sql, buf_cstr(&name), '\'');
		buf_puts(sql, " || ");
		put_shown(sql, "memingest_shown", &c);
		buf_free(&name);
		n++;
	}
	buf_puts(sql, ") || '}'");
}

static void put_file_line(struct buf *sql, const struct search *s)
{
	const struct table *t = s->stream->table;
	int text = text_column(s);
	for (size_t i = 0; i < t->nkeys; i++) {
		buf_puts(sql, i ? " || '/' || " : "");
		put_shown(sql, "memingest_text", &t->columns[i]);
	}
	buf_puts(sql, ", ");
	if (text >= 0)
		put_shown(sql, "memingest_text", &t->columns[text]);
	else
		buf_puts(sql, "NULL");
}

/* " AND r.column = value"; numbers of any scale are compared as floats. */
static void put_filter(struct buf *sql, const struct column *c, size_t parameter)
{
	const char *before = c->kind == PG_NUMERIC ? "CAST(" : "",
		   *behind = c->kind == PG_NUMERIC ? " AS REAL)" : "";
	struct buf name = {0};
	buf_printf(sql, " AND %s", before);
	put_column(sql, c->name, behind);
	buf_printf(sql, " = %smemingest_wanted(", before);
	shown_put_kind(sql, c);
	buf_puts(sql, ", ");
	buf_puts(&name, "--filter ");
	buf_puts(&name, c->name);
	buf_quoted(sql, buf_cstr(&name), '\'');
	buf_printf(sql, ", $%zu)%s", parameter, behind);
	buf_free(&name);
}

/*
 * memingest_distance(distance, r."column", $1), or sqlite-vec's, which is only shown what ours does
 * not pass over; it takes an error for a blob of another length. Both are null for no number.
 */
static void put_distance(struct buf *sql, const struct search *s)
{
	const struct column *vector = &s->stream->table->columns[search_column(s)];
	enum search_distance how = s->stream->table->searches[s->index].distance;
	bool vec = search_by_vec(s);
	if (vec) {
		buf_puts(sql, "CASE WHEN typeof(");
		put_column(sql, vector->name, ") = 'blob' AND length(");
		put_column(sql, vector->name, ") = ");
		buf_printf(sql, "%zu THEN vec_distance_%s(", vector->dim * sizeof(float),
			   how == SEARCH_COSINE ? "cosine" : "L2");
	} else {
		buf_printf(sql, "memingest_distance(%d, ", (int)how);
	}
	put_column(sql, vector->name, "");
	if (vec) /* a query of its own, which is asked once */
		buf_printf(sql, ", (SELECT memingest_wanted(%d, 0, '--vector', $1))) END",
			   (int)PG_VECTOR);
	else
		buf_puts(sql, ", $1)");
}

char *search_sql_file(const struct search *s)
{
	const struct table *t = s->stream->table;
	struct buf sql = {0}, table = {0};
	buf_quoted(&table, t->name, '"');
	buf_puts(&sql, "SELECT n.distance, ");
	if (s->cli->json)
		put_file_document(&sql, s);
	else
		put_file_line(&sql, s);
	buf_printf(&sql, " FROM (SELECT r.%s AS id, ", tablesql_row(t));
	put_distance(&sql, s);
	buf_printf(&sql, " AS distance FROM %s r WHERE true", buf_cstr(&table));
	for (size_t i = 0; i < s->nfilters; i++)
		put_filter(&sql, s->filters[i].column, 3 + i);
	buf_printf(&sql,
		   " ORDER BY distance NULLS LAST LIMIT $2) n JOIN %s r ON r.%s = n.id"
		   " WHERE n.distance IS NOT NULL ORDER BY n.distance, n.id",
		   buf_cstr(&table), tablesql_row(t));
	buf_free(&table);
	return buf_take_text(&sql);
}

/*
 * fillsql.c - the words of worker/sql/embed_*.sql for a table.
 *
 *   embed_window.sql, embed_fill.sql               PostgreSQL
 *   embed_file_window.sql, embed_file_fill.sql     a SQLite file
 *
 * In a file a row is found by its number and not by its key: that is the order in which it lies
 * there, and no value has to come back from its text as it was. VACUUM may number the rows of a
 * table anew. Then a vector meets a row of another text, and is not written, or one of the same
 * text, which it fits.
 *
 * A file's column takes whatever somebody writes by hand: bytes, or a text that is no UTF-8 or has
 * a NUL, which no model can be asked for. Those do not count as texts.
 *
 * Thread: any.
 */
#include "embed/fillsql.h"

#include <assert.h>
#include <stdlib.h>

#include "core/sqlname.h"
#include "sqlite/shown.h"
#include "sqlite/tablesql.h"

extern const char sql_embed_window[], sql_embed_fill[], sql_embed_file_window[],
	sql_embed_file_fill[]; /* worker/sql */

/* Those that only one database's texts have stay empty for the other. */
enum {
	TABLE,
	VECTOR,
	TEXT,
	WANTS,
	T_KEYS,
	R_KEYS,
	W_KEYS,
	T_IS_M,
	SAME,
	SET,
	ROW,
	MADE,
	AFTER,
	WORDS
};

/* --- PostgreSQL --- */

/* Whatever the text's collation thinks is equal. */
static void put_same(const char *vector, const char *text, struct buf *out)
{
	buf_printf(out, "t.%s IS NULL AND t.%s::text COLLATE \"C\" = m.%s::text COLLATE \"C\"",
		   vector, text, text);
}

static void put_pg(const struct table *t, size_t vector, struct buf words[WORDS])
{
	const char *v = buf_cstr(&words[VECTOR]), *text = buf_cstr(&words[TEXT]);
	sqlname_table(t, &words[TABLE]);
	buf_printf(&words[WANTS], "t.%s IS NULL AND t.%s <> ''", v, text);
	sqlname_keys(&words[T_KEYS], t, "t");
	sqlname_keys(&words[R_KEYS], t, "r");
	sqlname_keys(&words[W_KEYS], t, "w");
	sqlname_same_key(&words[T_IS_M], t, "t", "m");
	put_same(v, text, &words[SAME]);
	if (table_is_searched(t, vector))
		buf_puts(&words[SET], ", \"search_xid\" = pg_current_xact_id()");
}

/* Behind the key that the parameters are. */
static void put_after(const struct table *t, struct buf *out)
{
	buf_puts(out, " AND (");
	sqlname_keys(out, t, "t");
	buf_puts(out, ") > (");
	for (size_t i = 0; i < t->nkeys; i++)
		buf_printf(out, "%s$%zu", i ? ", " : "", i + 1);
	buf_puts(out, ")");
}

/* --- a file --- */

/* memingest_NAME(kind, zone */
static void put_call(const char *name, const struct column *c, struct buf *out)
{
	buf_printf(out, "memingest_%s(", name);
	shown_put_kind(out, c);
}

/* As PostgreSQL prints them. */
static void put_shown_keys(const struct table *t, struct buf *out)
{
	for (size_t i = 0; i < t->nkeys; i++) {
		buf_puts(out, i ? ", " : "");
		put_call("text", &t->columns[i], out);
		buf_puts(out, ", t.");
		buf_quoted(out, t->columns[i].name, '"');
		buf_puts(out, ")");
	}
}

static void put_file(const struct table *t, size_t vector, struct buf words[WORDS])
{
	const char *v = buf_cstr(&words[VECTOR]), *text = buf_cstr(&words[TEXT]);
	buf_quoted(&words[TABLE], t->name, '"');
	buf_printf(&words[WANTS], "t.%s IS NULL AND t.%s <> '' AND memingest_utf8(t.%s)", v, text,
		   text);
	put_shown_keys(t, &words[T_KEYS]);
	buf_puts(&words[ROW], tablesql_row(t));
	buf_printf(&words[SAME], "t.%s IS NULL AND t.%s = (m.value ->> 1) COLLATE BINARY", v, text);
	put_call("wanted", &t->columns[vector], &words[MADE]);
	buf_puts(&words[MADE], ", 'vector', m.value ->> 2)");
}

/* --- both --- */

static char *fill_in(const char *sql, struct buf words[WORDS])
{
	static const char *const names[WORDS] = {"table",  "vector", "text",   "wants", "t_keys",
						 "r_keys", "w_keys", "t_is_m", "same",  "set",
						 "row",    "made",   "after"};
	struct sqlname_word all[WORDS + 2] = {{"rows", "512"}, {"bytes", "4194304"}};
	struct buf out = {0};
	static_assert(WINDOW_ROWS == 512 && WINDOW_BYTES == 4194304, "as the words say");
	for (size_t i = 0; i < WORDS; i++)
		all[2 + i] = (struct sqlname_word){names[i], buf_cstr(&words[i])};
	sqlname_fill(&out, sql, all, WORDS + 2);
	return buf_take_text(&out);
}

static const char count_pg[] = "SELECT count(*), coalesce(sum(octet_length(t.:text::text)), 0)"
			       " FROM :table t WHERE :wants";
static const char count_file[] = "SELECT count(*), coalesce(sum(length(CAST(t.:text AS BLOB))), 0)"
				 " FROM :table t WHERE :wants";

void fillsql_make(struct fillsql *sql, const struct table *t, const struct table_embed *embed,
		  bool file)
{
	struct buf words[WORDS] = {0};
	const char *window = file ? sql_embed_file_window : sql_embed_window;
	buf_quoted(&words[VECTOR], t->columns[embed->vector].name, '"');
	buf_quoted(&words[TEXT], t->columns[embed->text].name, '"');
	buf_puts(&words[SET], ", \"updated_at\" = now()"); /* as an event's: core/conflict.c */
	if (file)
		put_file(t, embed->vector, words);
	else
		put_pg(t, embed->vector, words);
	sql->count = fill_in(file ? count_file : count_pg, words);
	sql->first = fill_in(window, words);
	sql->write = fill_in(file ? sql_embed_file_fill : sql_embed_fill, words);
	if (file)
		buf_printf(&words[AFTER], " AND t.%s > $1", buf_cstr(&words[ROW]));
	else
		put_after(t, &words[AFTER]);
	sql->next = fill_in(window, words);
	sql->handle = file ? t->nkeys + 1 : 0;
	sql->parts = file ? 1 : t->nkeys;
	for (size_t i = 0; i < WORDS; i++)
		buf_free(&words[i]);
}

void fillsql_free(struct fillsql *sql)
{
	free(sql->count);
	free(sql->first);
	free(sql->next);
	free(sql->write);
}

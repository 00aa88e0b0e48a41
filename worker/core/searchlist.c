/*
 * searchlist.c - lists of columns, conditions and names, as the SQL of searches wants them.
 *
 *   table --> "a", "b"   t."a" = c."a" AND ..   (want_a IS NULL OR s."a" = want_a)   ..
 *
 * What the whole is put together from these for is searchsql.c's.
 *
 * Pure text: no connection, no failure.
 */
#include "core/searchlist.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "core/sqlname.h"

/* --- columns --- */

const struct column *searchlist_filter(const struct table *t, size_t i)
{
	return &t->columns[t->searches[0].filters[i]];
}

char *searchlist_keys(const struct table *t, const char *prefix)
{
	struct buf b = {0};
	for (size_t i = 0; i < t->nkeys; i++) {
		buf_printf(&b, "%s%s", i ? ", " : "", prefix ? prefix : "");
		buf_quoted(&b, t->columns[i].name, '"');
		if (!prefix)
			buf_printf(&b, " %s", t->columns[i].type);
	}
	return buf_take_text(&b);
}

char *searchlist_same_key(const struct table *t, const char *a, const char *b)
{
	struct buf out = {0};
	sqlname_same_key(&out, t, a, b);
	return buf_take_text(&out);
}

static bool is_filter(const struct table *t, size_t column)
{
	for (size_t i = 0; i < t->searches[0].nfilters; i++)
		if (t->searches[0].filters[i] == column)
			return true;
	return false;
}

char *searchlist_segment_columns(const struct table *t, bool types)
{
	struct buf b = {0};
	for (size_t i = 0; i < t->ncolumns; i++) {
		if (i >= t->nkeys && !is_filter(t, i))
			continue;
		buf_puts(&b, b.len > 0 ? ", " : "");
		buf_puts(&b, types ? "" : "t.");
		buf_quoted(&b, t->columns[i].name, '"');
		if (types)
			buf_printf(&b, " %s", t->columns[i].type);
	}
	return buf_take_text(&b);
}

char *searchlist_table_columns(const struct table *t, bool types)
{
	struct buf b = {0};
	for (size_t i = 0; i < t->ncolumns + TABLE_OWN_COLUMNS; i++) {
		bool ours = i >= t->ncolumns;
		const char *name = ours ? table_own_columns[i - t->ncolumns] : t->columns[i].name;
		if (ours && sqlname_has_column(t, name))
			continue;
		buf_printf(&b, "%s%s", i ? ", " : "", types ? "" : "t.");
		buf_quoted(&b, name, '"');
		if (types)
			buf_printf(&b, " %s", ours ? "timestamptz" : t->columns[i].type);
	}
	return buf_take_text(&b);
}

/* --- filters --- */

void searchlist_put_want(struct buf *out, const struct column *c)
{
	struct buf full = {0}, name = {0};
	buf_printf(&full, "want_%s", c->name);
	sqlname_short(&name, buf_cstr(&full));
	buf_quoted(out, buf_cstr(&name), '"');
	buf_free(&full);
	buf_free(&name);
}

char *searchlist_filter_parameters(const struct table *t)
{
	struct buf b = {0};
	for (size_t i = 0; i < t->searches[0].nfilters; i++) {
		buf_puts(&b, ",\n    ");
		buf_quoted(&b, searchlist_filter(t, i)->name, '"');
		buf_printf(&b, " %s DEFAULT NULL", searchlist_filter(t, i)->type);
	}
	return buf_take_text(&b);
}

char *searchlist_filter_numbers(const struct table *t)
{
	struct buf b = {0};
	for (size_t i = 0; i < t->searches[0].nfilters; i++)
		buf_printf(&b, ", $%zu", 3 + i);
	return buf_take_text(&b);
}

char *searchlist_want_filters(const struct table *t)
{
	struct buf b = {0};
	for (size_t i = 0; i < t->searches[0].nfilters; i++) {
		buf_puts(&b, "    ");
		searchlist_put_want(&b, searchlist_filter(t, i));
		buf_printf(&b, " %s := ", searchlist_filter(t, i)->type);
		buf_quoted(&b, searchlist_filter(t, i)->name, '"');
		buf_puts(&b, ";\n");
	}
	for (size_t i = 0; i < t->searches[0].nfilters; i++) {
		buf_puts(&b, i ? "\n        OR " : "    filtered boolean := ");
		searchlist_put_want(&b, searchlist_filter(t, i));
		buf_puts(&b, " IS NOT NULL");
	}
	buf_puts(&b, t->searches[0].nfilters ? ";\n" : "");
	return buf_take_text(&b);
}

char *searchlist_matches(const struct table *t, const char *prefix)
{
	struct buf b = {0};
	for (size_t i = 0; i < t->searches[0].nfilters; i++) {
		buf_puts(&b, "\n                    AND (");
		searchlist_put_want(&b, searchlist_filter(t, i));
		buf_printf(&b, " IS NULL OR %s.", prefix);
		buf_quoted(&b, searchlist_filter(t, i)->name, '"');
		buf_puts(&b, " = ");
		searchlist_put_want(&b, searchlist_filter(t, i));
		buf_puts(&b, ")");
	}
	return buf_take_text(&b);
}

char *searchlist_estimates(const struct table *t)
{
	struct buf b = {0};
	for (size_t i = 0; i < t->searches[0].nfilters; i++) {
		buf_puts(&b, i ? ",\n                CASE WHEN " : "\n                CASE WHEN ");
		searchlist_put_want(&b, searchlist_filter(t, i));
		buf_puts(&b, " IS NOT NULL THEN coalesce((s.common -> ");
		buf_quoted(&b, searchlist_filter(t, i)->name, '\'');
		buf_puts(&b, " ->> ");
		searchlist_put_want(&b, searchlist_filter(t, i));
		buf_printf(&b, "::text)::bigint, 999) END AS f%zu", i + 1);
	}
	return buf_take_text(&b);
}

char *searchlist_numbered(size_t n, const char *before, const char *after, const char *between)
{
	struct buf b = {0};
	for (size_t i = 1; i <= n; i++)
		buf_printf(&b, "%s%s%zu%s", i > 1 ? between : "", before, i, after);
	return buf_take_text(&b);
}

char *searchlist_sum_cases(size_t n)
{
	struct buf b = {0};
	for (size_t i = 1; i <= n; i++)
		buf_printf(&b, " WHEN sum(m.f%zu) THEN %zu", i, i);
	return buf_take_text(&b);
}

char *searchlist_frequent(size_t n)
{
	struct buf b = {0};
	for (size_t i = 1; i <= n; i++)
		buf_printf(&b, "%ssum(m.f%zu) FILTER (WHERE m.f%zu >= 1000)", i > 1 ? ", " : "", i,
			   i);
	return buf_take_text(&b);
}

/* --- names --- */

char *searchlist_object_name(const struct table *t, const char *prefix, const char *suffix)
{
	struct buf full = {0}, name = {0};
	buf_puts(&full, prefix);
	if (t->schema && strcmp(t->schema, "public") != 0)
		buf_printf(&full, "%s_", t->schema);
	buf_printf(&full, "%s%s", t->name, suffix);
	if (full.len > 50) {
		unsigned hash = (unsigned)XXH32(buf_cstr(&full), full.len, 0);
		full.len = 40;
		buf_printf(&full, "_%08x", hash);
	}
	buf_puts(&name, "memingest.");
	buf_quoted(&name, buf_cstr(&full), '"');
	buf_free(&full);
	return buf_take_text(&name);
}

char *searchlist_key_of(const struct table *t, const struct table_search *how)
{
	struct buf key = {0};
	sqlname_table(t, &key);
	if (how->name)
		buf_printf(&key, "/%s", how->name);
	return buf_take_text(&key);
}

char *searchlist_keys_of(const struct table *t)
{
	struct buf b = {0};
	for (size_t i = 0; i < t->nsearches; i++) {
		char *key = searchlist_key_of(t, &t->searches[i]);
		buf_puts(&b, i ? ", " : "");
		buf_quoted(&b, key, '\'');
		free(key);
	}
	return buf_take_text(&b);
}

char *searchlist_by_column(const struct table *t, size_t index)
{
	return xasprintf("_by_%s", t->columns[t->searches[index].vector].name);
}

char *searchlist_name_of_segments(const struct table *t, const struct table_search *how)
{
	char *suffix = how->name ? xasprintf("/%s_segments", how->name) : xstrdup("_segments");
	char *name = searchlist_object_name(t, "", suffix);
	free(suffix);
	return name;
}

/* --- several columns --- */

char *searchlist_live_columns(const struct table *t)
{
	struct buf b = {0};
	for (size_t i = 0; i < t->nsearches; i++) {
		int embed = table_embed_of(t, t->searches[i].vector);
		char *key = searchlist_key_of(t, &t->searches[i]);
		buf_printf(&b, "%s(%zu, ", i ? ", " : "", i + 1);
		buf_quoted(&b, key, '\'');
		buf_puts(&b, ", ");
		buf_quoted(&b, t->columns[t->searches[i].vector].name, '\'');
		buf_puts(&b, ", ");
		if (embed >= 0)
			buf_quoted(&b, t->embeds[embed].model, '\'');
		else
			buf_puts(&b, "NULL::text");
		buf_puts(&b, ")");
		free(key);
	}
	return buf_take_text(&b);
}

char *searchlist_cases_of(const struct table *t, const char *prefix, const char *arguments)
{
	struct buf b = {0};
	for (size_t i = 0; i < t->nsearches; i++) {
		char *by = searchlist_by_column(t, i),
		     *name = searchlist_object_name(t, prefix, by);
		buf_puts(&b, "    WHEN ");
		buf_quoted(&b, t->columns[t->searches[i].vector].name, '\'');
		buf_printf(&b, " THEN\n        RETURN QUERY SELECT * FROM %s (%s);\n", name,
			   arguments);
		free(name);
		free(by);
	}
	return buf_take_text(&b);
}

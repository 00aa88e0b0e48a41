/*
 * sqlname.c - names as they stand in SQL: quoted, with their schema, and short enough.
 *
 * Pure text: no connection, no failure.
 */
#include "core/sqlname.h"

#include <string.h>
#include <xxhash.h>

/* NAMEDATALEN - 1: PostgreSQL cuts longer names, and then two may meet. */
#define MAX_NAME 63

void sqlname_columns(struct buf *out, const struct table *t, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		buf_puts(out, i ? ", " : "");
		buf_quoted(out, t->columns[i].name, '"');
	}
}

void sqlname_keys(struct buf *out, const struct table *t, const char *prefix)
{
	for (size_t i = 0; i < t->nkeys; i++) {
		buf_printf(out, "%s%s.", i ? ", " : "", prefix);
		buf_quoted(out, t->columns[i].name, '"');
	}
}

void sqlname_same_key(struct buf *out, const struct table *t, const char *a, const char *b)
{
	for (size_t i = 0; i < t->nkeys; i++) {
		buf_printf(out, "%s%s.", i ? " AND " : "", a);
		buf_quoted(out, t->columns[i].name, '"');
		buf_printf(out, " = %s.", b);
		buf_quoted(out, t->columns[i].name, '"');
	}
}

/* For use in SQL; for people there is table_full_name(). */
void sqlname_table(const struct table *t, struct buf *out)
{
	if (t->schema) {
		buf_quoted(out, t->schema, '"');
		buf_u8(out, '.');
	}
	buf_quoted(out, t->name, '"');
}

bool sqlname_has_column(const struct table *t, const char *name)
{
	for (size_t i = 0; i < t->ncolumns; i++)
		if (strcmp(t->columns[i].name, name) == 0)
			return true;
	return false;
}

/* A hash at the end keeps long names apart. */
void sqlname_short(struct buf *out, const char *text)
{
	size_t len = strlen(text);
	if (len <= MAX_NAME)
		buf_puts(out, text);
	else
		buf_printf(out, "%.*s_%08x", MAX_NAME - 9, text, (unsigned)XXH32(text, len, 0));
}

static const struct sqlname_word *word_at(const char *p, size_t *len,
					  const struct sqlname_word *words, size_t n)
{
	*len = strspn(p + 1, "abcdefghijklmnopqrstuvwxyz_");
	for (size_t i = 0; i < n; i++)
		if (strlen(words[i].word) == *len && memcmp(words[i].word, p + 1, *len) == 0)
			return &words[i];
	return NULL;
}

void sqlname_fill(struct buf *out, const char *sql, const struct sqlname_word *words, size_t n)
{
	for (const char *colon; (colon = strchr(sql, ':')) != NULL;) {
		size_t len;
		const struct sqlname_word *word = word_at(colon, &len, words, n);
		buf_put(out, sql, (size_t)(colon - sql));
		if (word)
			buf_puts(out, word->text);
		else
			buf_put(out, colon, 1 + (len == 0 && colon[1] == ':'));
		sql = colon + 1 + (word ? len : len == 0 && colon[1] == ':');
	}
	buf_puts(out, sql);
}

/* sqlname.h - names as they stand in SQL: quoted, with their schema, and short enough. */
#pragma once

#include "base/buf.h"
#include "codec/table.h"

/* Appends the table's quoted name, with its schema if it has one: "agents"."memory_entries". */
void sqlname_table(const struct table *t, struct buf *out);
/* Appends the first n columns: "a", "b". */
void sqlname_columns(struct buf *out, const struct table *t, size_t n);
/* Appends the columns of the key: t."a", t."b"; or a."a" = b."a" AND a."b" = b."b". */
void sqlname_keys(struct buf *out, const struct table *t, const char *prefix);
void sqlname_same_key(struct buf *out, const struct table *t, const char *a, const char *b);
/* Appends text or, if that is longer than a name may be, its beginning and a hash of all of it. */
void sqlname_short(struct buf *out, const char *text);

/* A :word of a text of worker/sql, and what stands for it. */
struct sqlname_word {
	const char *word, *text;
};
/* Appends the text with its words filled in; "::" and words that are not in the list stay. */
void sqlname_fill(struct buf *out, const char *sql, const struct sqlname_word *words, size_t n);
/* Whether the schema declares a column of that name. */
bool sqlname_has_column(const struct table *t, const char *name);

/*
 * table_parts.h - what the files that read the annotation "pg" share. Private to codec/table*.c.
 */
#pragma once

#include <jansson.h>

#include "codec/table.h"

struct schema_type;

struct table_builder {
	struct table *t;
	struct arena *arena;
	const struct schema_type *record;
	struct err *err;
};

/* A string without a NUL within; else NULL. */
const char *table_text(const json_t *json);
bool table_in_list(const char *const *list, const char *s); /* the list ends with NULL */
/* Fit for a name in SQL; "what" is named where it is not. */
MUST_CHECK bool table_check_identifier(struct table_builder *b, const char *s, const char *what);
/* An object that has no other keys than the known ones. */
MUST_CHECK bool table_check_keys(struct table_builder *b, const json_t *object, const char *what,
				 const char *const *known);
/* One of the known words, or nothing at all: *out is NULL then. */
MUST_CHECK bool table_parse_word(struct table_builder *b, const json_t *json,
				 const char *const *known, const char *complaint, const char **out);
/* A column by its SQL name or by the name of its field; -1 if there is none. */
int table_find_column(const struct table_builder *b, const char *name);
/* Columns stand where they will stay: behind the key. */
MUST_CHECK bool table_parse_search(struct table_builder *b);
MUST_CHECK bool table_parse_embed(struct table_builder *b); /* The same. */
/* They may name the columns of table_own_columns too. */
MUST_CHECK bool table_parse_indexes(struct table_builder *b);

/*
 * table_index.c - the annotation "indexes" of a record: what makes queries of the table fast.
 *
 *   {"columns": ["user_id", "created_at DESC"]}, with "using", "unique", "name", "level"
 *   {"sql": "USING gin (tags)"}, which is what follows ON table
 *
 * A column is one of the schema's or of the worker's own, with the order that PostgreSQL knows
 * behind it. "level" says for whom the index is: "lean" is made by default, "all" on request. One
 * that is unique is a rule about the rows and has no level.
 *
 * Failure: class CONFIG. Memory: the table's arena.
 */
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "base/buf.h"
#include "codec/table_parts.h"
#include "schema/schema.h"

/* A column's SQL name, by that or by its field's; ours too. NULL: there is none. */
static const char *column_name(const struct table_builder *b, const char *name)
{
	int at = table_find_column(b, name);
	if (at >= 0)
		return b->t->columns[at].name;
	return table_in_list(table_own_columns, name) ? name : NULL;
}

/* "created_at DESC": the column, if what is in front of that order is one. */
static const char *ordered_column(const struct table_builder *b, const char *text,
				  const char *order)
{
	size_t len = strlen(text), tail = strlen(order);
	if (len < tail || strcasecmp(text + len - tail, order) != 0)
		return NULL;
	char *name = arena_strdup(b->arena, text);
	name[len - tail] = '\0';
	return column_name(b, name);
}

static bool put_column(struct table_builder *b, const char *text, struct buf *out)
{
	static const char *const orders[] = {
		"",
		" ASC",
		" DESC",
		" NULLS FIRST",
		" NULLS LAST",
		" ASC NULLS FIRST",
		" ASC NULLS LAST",
		" DESC NULLS FIRST",
		" DESC NULLS LAST",
	};
	for (size_t i = 0; i < ARRAY_LEN(orders); i++) {
		const char *name = ordered_column(b, text, orders[i]);
		if (!name)
			continue;
		buf_quoted(out, name, '"');
		buf_puts(out, orders[i]);
		return true;
	}
	return err_set(b->err, ERR_CONFIG,
		       "an index names '%s', which is no column, and none with ASC, DESC, NULLS "
		       "FIRST or NULLS LAST behind it",
		       text);
}

/* From "columns", what follows ON table. */
static bool index_sql(struct table_builder *b, const json_t *json, struct buf *out)
{
	const json_t *columns = json_object_get(json, "columns"),
		     *using = json_object_get(json, "using");
	if (!json_is_array(columns) || json_array_size(columns) == 0)
		return err_set(b->err, ERR_CONFIG, "an index has neither \"columns\" nor \"sql\"");
	if (using && !table_check_identifier(b, table_text(using), "\"using\""))
		return false;
	if (using) {
		buf_puts(out, "USING ");
		buf_quoted(out, table_text(using), '"');
		buf_puts(out, " ");
	}
	for (size_t i = 0; i < json_array_size(columns); i++) {
		const char *text = table_text(json_array_get(columns, i));
		buf_puts(out, i == 0 ? "(" : ", ");
		if (!put_column(b, text ? text : "", out))
			return false;
	}
	buf_puts(out, ")");
	return true;
}

/* Of a unique one "level" would be a promise that is not kept. */
static bool parse_level(struct table_builder *b, const json_t *json, struct table_index *x)
{
	static const char *const levels[] = {"lean", "all", NULL};
	const char *level;
	if (!table_parse_word(b, json_object_get(json, "level"), levels,
			      "\"level\" of an index is none of lean, all", &level))
		return false;
	x->unique = json_is_true(json_object_get(json, "unique"));
	if (x->unique && level)
		return err_set(b->err, ERR_CONFIG,
			       "a unique index is always made, so it has no \"level\"");
	x->level = level && strcmp(level, "all") == 0 ? LEVEL_ALL : LEVEL_LEAN;
	x->level = x->unique ? LEVEL_ALWAYS : x->level;
	return true;
}

/* "sql" is taken as it is, the operator's own. */
static bool parse_index(struct table_builder *b, const json_t *json, struct table_index *x)
{
	static const char *const known[] = {"name",  "columns", "using", "unique",
					    "level", "sql",     NULL};
	const json_t *name = json_object_get(json, "name"), *sql = json_object_get(json, "sql");
	if (!table_check_keys(b, json, "pg.indexes", known) || !parse_level(b, json, x) ||
	    (name && !table_check_identifier(b, table_text(name), "an index's name")))
		return false;
	x->name = table_text(name);
	x->sql = table_text(sql);
	if (sql && (json_object_get(json, "columns") || json_object_get(json, "using")))
		return err_set(
			b->err, ERR_CONFIG,
			"an index has \"sql\", which says all, or \"columns\" and \"using\"");
	if (sql)
		return (x->sql && *x->sql) ||
		       err_set(b->err, ERR_CONFIG, "\"sql\" of an index is no text");
	struct buf text = {0};
	bool ok = index_sql(b, json, &text);
	if (ok)
		x->sql = arena_strdup(b->arena, buf_cstr(&text));
	buf_free(&text);
	return ok;
}

/* The second of a name would never be made, since an index is known by it. */
static bool is_new_name(struct table_builder *b, size_t index)
{
	const struct table_index *all = b->t->indexes;
	for (size_t i = 0; all[index].name && i < index; i++)
		if (all[i].name && strcmp(all[i].name, all[index].name) == 0)
			return err_set(b->err, ERR_CONFIG, "two indexes have the name \"%s\"",
				       all[i].name);
	return true;
}

bool table_parse_indexes(struct table_builder *b)
{
	const json_t *list = json_object_get(b->record->pg, "indexes");
	if (list && !json_is_array(list))
		return err_set(b->err, ERR_CONFIG, "pg.indexes is no list");
	b->t->nindexes = json_array_size(list);
	b->t->indexes = arena_calloc(b->arena, b->t->nindexes + 1, sizeof(*b->t->indexes));
	for (size_t i = 0; i < b->t->nindexes; i++)
		if (!parse_index(b, json_array_get(list, i), &b->t->indexes[i]) ||
		    !is_new_name(b, i))
			return false;
	return true;
}

/*
 * table_embed.c - the annotation "embed" of a field: its vectors are made of a text.
 *
 *   "embed": {"from": "value", "model": "e5", "prefix": "passage: ", "query_prefix": "query: ",
 *             "normalize": true}
 *
 * "model" is the NAME of a section [embed.NAME], where the rest stands: server, key, limits. What
 * it takes: a vector of a fixed dimension that may be null, and a column of text. Several columns
 * may have it, each of another model, as one that is to take over from another one.
 *
 * Both columns have the rule "replace". With any other the row could keep one of the two and take
 * the other from an event (a text that is empty or refused has no vector), and the vector of a text
 * that is not there is a wrong answer of each search.
 *
 * Pure; failures are of class CONFIG.
 */
#include <jansson.h>
#include <string.h>

#include "base/arena.h"
#include "codec/table_parts.h"
#include "codec/vector.h"
#include "schema/schema.h"

/* A placeholder is written before the vector is known, so its size has to be. */
static bool embed_vector(struct table_builder *b, const struct column *c)
{
	if (c->cast || c->dim == 0 || vector_field_size(c) == 0)
		return err_set(b->err, ERR_CONFIG,
			       "pg.embed: column %s is no vector(n) or halfvec(n), but %s", c->name,
			       c->type);
	if (c->not_null)
		return err_set(b->err, ERR_CONFIG,
			       "pg.embed: the field's type has no null, so each event has to bring "
			       "its vector: make it [\"null\", ...] with default null");
	if (c->merge != MERGE_REPLACE)
		return err_set(b->err, ERR_CONFIG, "pg.embed: column %s has a merge rule", c->name);
	return true;
}

static bool embed_text(struct table_builder *b, const json_t *json, struct table_embed *embed)
{
	const char *name = table_text(json);
	int at = name ? table_find_column(b, name) : -1;
	if (at < 0)
		return err_set(b->err, ERR_CONFIG,
			       "pg.embed.from: '%s' is no column to take the text from",
			       name ? name : "");
	const struct column *c = &b->t->columns[at];
	if (c->kind != PG_TEXT || c->cast)
		return err_set(b->err, ERR_CONFIG, "pg.embed.from: column %s of type %s is no text",
			       c->name, c->type);
	if (c->merge != MERGE_REPLACE)
		return err_set(b->err, ERR_CONFIG, "pg.embed.from: column %s has a merge rule",
			       c->name);
	embed->text = (size_t)at;
	return true;
}

/* A member that is a text, or the fallback; a fallback of NULL: it has to be there. */
static bool text_member(struct table_builder *b, const json_t *json, const char *member,
			const char *fallback, const char **out)
{
	const json_t *v = json_object_get(json, member);
	*out = v ? table_text(v) : fallback;
	return *out ||
	       err_set(b->err, ERR_CONFIG, "pg.embed.%s is %s", member, v ? "no text" : "missing");
}

/* So that a model's name says which column is meant. */
static bool is_new_model(struct table_builder *b, const struct table_embed *embed)
{
	for (size_t i = 0; embed->model && i < b->t->nembeds; i++)
		if (strcmp(b->t->embeds[i].model, embed->model) == 0)
			return err_set(b->err, ERR_CONFIG,
				       "pg.embed.model: columns %s and %s are both of \"%s\": give "
				       "each a section of its own",
				       b->t->columns[b->t->embeds[i].vector].name,
				       b->t->columns[embed->vector].name, embed->model);
	return true;
}

int table_embed_of(const struct table *t, size_t column)
{
	for (size_t i = 0; i < t->nembeds; i++)
		if (t->embeds[i].vector == column)
			return (int)i;
	return -1;
}

bool table_parse_embed(struct table_builder *b)
{
	static const char *const known[] = {"from",         "model",     "prefix",
					    "query_prefix", "normalize", NULL};
	b->t->embeds = arena_calloc(b->arena, TABLE_EMBEDS_MOST, sizeof(*b->t->embeds));
	for (size_t i = 0; i < b->t->ncolumns; i++) {
		const json_t *pg = b->record->fields[b->t->columns[i].field].pg,
			     *json = json_object_get(pg, "embed");
		if (!json || json_is_false(json))
			continue;
		if (b->t->nembeds == TABLE_EMBEDS_MOST)
			return err_set(b->err, ERR_CONFIG, "pg.embed stands at more than %d fields",
				       TABLE_EMBEDS_MOST);
		struct table_embed *embed = &b->t->embeds[b->t->nembeds];
		const json_t *normalize = json_object_get(json, "normalize");
		embed->vector = i;
		embed->normalize = !json_is_false(normalize);
		if (!table_check_keys(b, json, "pg.embed", known) ||
		    !text_member(b, json, "model", NULL, &embed->model) ||
		    !text_member(b, json, "prefix", "", &embed->prefix) ||
		    !text_member(b, json, "query_prefix", embed->prefix, &embed->query_prefix) ||
		    !embed_vector(b, &b->t->columns[i]) ||
		    !embed_text(b, json_object_get(json, "from"), embed) || !is_new_model(b, embed))
			return false;
		if (normalize && !json_is_boolean(normalize))
			return err_set(b->err, ERR_CONFIG,
				       "pg.embed.normalize is neither true nor false");
		b->t->nembeds++;
	}
	return true;
}

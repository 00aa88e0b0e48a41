/*
 * table_search.c - the annotation "search" of a field: its vectors are searched by nearness.
 *
 *   "search": {"distance": "cosine | l2 | ip", "filter": ["namespace", "user_id"], "name": "new"}
 *
 * What it takes: a vector(n) or halfvec(n) that pgvector can index, and filter columns that are
 * compared as bytes are. Parameters of the search functions have the filters' names, so these must
 * not be those of the other parameters. Several columns may be searched, as where vectors of
 * another model are to take over; then all of them but one have a "name", after which their
 * segments are called, so that these stay what they are when the other field leaves the schema.
 *
 * Pure; failures are of class CONFIG.
 */
#include <jansson.h>
#include <string.h>

#include "base/arena.h"
#include "codec/sqltype.h"
#include "codec/table_parts.h"
#include "schema/schema.h"

enum {
	SEARCH_DIM_MOST = 4000, /* of halfvec in HNSW_MAX_DIM, pgvector's hnsw.h */
	SEARCH_FILTERS_MOST = 16,
};

static bool search_vector(struct table_builder *b, const struct column *c)
{
	struct sqltype st;
	if (c->cast || !sqltype_parse(c->type, &st) ||
	    (st.kind != PG_VECTOR && st.kind != PG_HALFVEC) || c->dim == 0)
		return err_set(b->err, ERR_CONFIG,
			       "pg.search: column %s is no vector(n) or halfvec(n), but %s",
			       c->name, c->type);
	if (c->dim > SEARCH_DIM_MOST)
		return err_set(b->err, ERR_CONFIG,
			       "pg.search: an HNSW index of pgvector takes %d dimensions at most",
			       SEARCH_DIM_MOST);
	if (table_find_column(b, "distance") >= 0)
		return err_set(b->err, ERR_CONFIG,
			       "pg.search: a column is named distance, as what a search returns");
	return true;
}

static bool search_filters(struct table_builder *b, const json_t *list, struct table_search *search)
{
	static const char *const taken[] = {"query", "k", "n", "freshness", NULL};
	if (list && (!json_is_array(list) || json_array_size(list) > SEARCH_FILTERS_MOST))
		return err_set(b->err, ERR_CONFIG,
			       "pg.search.filter is no list of %d columns at most",
			       SEARCH_FILTERS_MOST);
	search->nfilters = json_array_size(list);
	search->filters = arena_calloc(b->arena, search->nfilters + 1, sizeof(size_t));
	for (size_t i = 0; i < search->nfilters; i++) {
		const char *name = table_text(json_array_get(list, i));
		int at = name ? table_find_column(b, name) : -1;
		if (at < 0 || (size_t)at == search->vector)
			return err_set(b->err, ERR_CONFIG,
				       "pg.search.filter: '%s' is no column to filter by",
				       name ? name : "");
		if (table_in_list(taken, b->t->columns[at].name))
			return err_set(b->err, ERR_CONFIG,
				       "pg.search.filter: column %s is named as a parameter that "
				       "every search has",
				       b->t->columns[at].name);
		struct sqltype st;
		if (b->t->columns[at].cast || !sqltype_parse(b->t->columns[at].type, &st) ||
		    !st.key)
			return err_set(b->err, ERR_CONFIG,
				       "pg.search.filter: column %s of type %s is not filtered by",
				       b->t->columns[at].name, b->t->columns[at].type);
		for (size_t k = 0; k < i; k++)
			if (search->filters[k] == (size_t)at)
				return err_set(b->err, ERR_CONFIG,
					       "pg.search.filter: '%s' stands twice", name);
		search->filters[i] = (size_t)at;
	}
	return true;
}

static bool search_name(struct table_builder *b, const json_t *json, struct table_search *search)
{
	search->name = json ? table_text(json) : NULL;
	if (json && !search->name)
		return err_set(b->err, ERR_CONFIG, "pg.search.name is no text");
	if (json && !table_check_identifier(b, search->name, "pg.search.name"))
		return false;
	for (size_t i = 0; i < b->t->nsearches; i++) {
		const struct table_search *other = &b->t->searches[i];
		if ((!search->name && !other->name) ||
		    (search->name && other->name && strcmp(search->name, other->name) == 0))
			return err_set(b->err, ERR_CONFIG,
				       "pg.search: columns %s and %s are both searched: give the "
				       "later one a \"name\" of its own",
				       b->t->columns[other->vector].name,
				       b->t->columns[search->vector].name);
	}
	return true;
}

/* The functions that go to either of them take one list of parameters. */
static bool same_filters(struct table_builder *b, const struct table_search *search)
{
	const struct table_search *first = &b->t->searches[0];
	if (first->nfilters != search->nfilters ||
	    memcmp(first->filters, search->filters, search->nfilters * sizeof(size_t)) != 0)
		return err_set(b->err, ERR_CONFIG,
			       "pg.search.filter: columns %s and %s are not searched by the same "
			       "filters in the same order",
			       b->t->columns[first->vector].name,
			       b->t->columns[search->vector].name);
	return true;
}

bool table_is_searched(const struct table *t, size_t column)
{
	for (size_t i = 0; i < t->nsearches; i++) {
		const struct table_search *search = &t->searches[i];
		bool found = search->vector == column;
		for (size_t k = 0; k < search->nfilters; k++)
			found |= search->filters[k] == column;
		if (found)
			return true;
	}
	return false;
}

bool table_parse_search(struct table_builder *b)
{
	static const char *const known[] = {"distance", "filter", "name", NULL},
				 *const distances[] = {"cosine", "l2", "ip", NULL};
	b->t->searches = arena_calloc(b->arena, TABLE_SEARCHES_MOST, sizeof(*b->t->searches));
	for (size_t i = 0; i < b->t->ncolumns; i++) {
		const json_t *pg = b->record->fields[b->t->columns[i].field].pg,
			     *json = json_object_get(pg, "search");
		const char *distance;
		if (!json || json_is_false(json))
			continue;
		if (b->t->nsearches == TABLE_SEARCHES_MOST)
			return err_set(b->err, ERR_CONFIG,
				       "pg.search stands at more than %d fields",
				       TABLE_SEARCHES_MOST);
		struct table_search *search = &b->t->searches[b->t->nsearches];
		search->vector = i;
		if (!table_check_keys(b, json, "pg.search", known) ||
		    !table_parse_word(b, json_object_get(json, "distance"), distances,
				      "pg.search.distance is none of cosine, l2, ip", &distance) ||
		    !search_vector(b, &b->t->columns[i]) ||
		    !search_filters(b, json_object_get(json, "filter"), search) ||
		    !search_name(b, json_object_get(json, "name"), search) ||
		    !same_filters(b, search))
			return false;
		if (distance)
			search->distance = distance[0] == 'c'   ? SEARCH_COSINE
					   : distance[0] == 'l' ? SEARCH_L2
								: SEARCH_IP;
		b->t->nsearches++;
	}
	return true;
}

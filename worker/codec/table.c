/*
 * table.c - from the annotation "pg" of a record schema to the table that it describes.
 *
 *   record "pg": table, key [..], version, delete {field, symbol}, created_at (a column),
 *                indexes [..], storage {..}
 *   field  "pg": type, via, column (a name, or false), merge, default (SQL), storage, compression,
 *                search {distance, filter [..]}, embed {from, model, prefix, normalize}
 *   an index:    see table_index.c
 *
 * A field without annotation becomes a column of its own name, with the type that sqltype_derive()
 * gives. The work is done in this order, for each step needs the one before: fields to columns, key
 * columns moved to the front, then what names columns (version, delete, created_at, indexes).
 *
 * Everything that goes into SQL text is checked here, once: identifiers by length, types by their
 * characters, storage parameters by form; "default" and an index's "sql" are SQL that the operator
 * wrote, as trusted as the config file.
 *
 * An attribute that we do not know is an error, as a misspelt "merge" would otherwise be a wrong
 * sum years later.
 *
 * Failure: class CONFIG, "record 'a.B': field 'tags': ...". Memory: an arena, freed with the table.
 */
#include "codec/table.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "codec/sqltype.h"
#include "codec/table_parts.h"
#include "schema/schema.h"

enum {
	MAX_IDENTIFIER = 63, /* NAMEDATALEN - 1 */
	MAX_COLUMNS =
		/*
		 * MaxHeapAttributeNumber, less created_at and updated_at (or _part and _op in the
		 * stage)
		 */
	1600 - 2,
};

struct table_box {
	struct table table; /* first: what callers hold is this */
	struct arena *arena;
	const char *full_name;
};

const char *const table_own_columns[3] = {"created_at", "updated_at", NULL};

/* --- small checks --- */

const char *table_text(const json_t *json)
{
	const char *s = json_string_value(json);
	return s && strlen(s) == json_string_length(json) ? s : NULL;
}

bool table_in_list(const char *const *list, const char *s)
{
	for (; *list; list++)
		if (strcmp(*list, s) == 0)
			return true;
	return false;
}

/* A misspelt attribute would be ignored in silence. */
bool table_check_keys(struct table_builder *b, const json_t *object, const char *what,
		      const char *const *known)
{
	const char *key;
	json_t *value;
	if (!json_is_object(object))
		return err_set(b->err, ERR_CONFIG, "\"%s\" is no object", what);
	json_object_foreach ((json_t *)object, key, value) {
		if (!table_in_list(known, key))
			return err_set(b->err, ERR_CONFIG, "\"%s\" has an unknown attribute \"%s\"",
				       what, key);
	}
	return true;
}

bool table_check_identifier(struct table_builder *b, const char *s, const char *what)
{
	if (s && s[0] != '\0' && strlen(s) <= MAX_IDENTIFIER)
		return true;
	return err_set(b->err, ERR_CONFIG, "%s is no SQL name of 1 to %d bytes", what,
		       MAX_IDENTIFIER);
}

/*
 * A type goes into SQL as it stands: letters, digits and what types are made of, but nothing that
 * ends a statement.
 */
static bool check_type_text(struct table_builder *b, const json_t *json, const char *what)
{
	const char *s = table_text(json);
	if (!json)
		return true;
	if (!s || s[0] == '\0' ||
	    strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_ .,()[]\"") !=
		    strlen(s))
		return err_set(b->err, ERR_CONFIG, "pg.%s is no SQL type", what);
	return true;
}

/* --- columns --- */

/* Whether the rule fits the column's type is checked later (check_merge). */
static bool parse_merge(struct table_builder *b, const json_t *json, struct column *c)
{
	static const char *const names[] = {
		[MERGE_REPLACE] = "replace", [MERGE_KEEP] = "keep", [MERGE_COALESCE] = "coalesce",
		[MERGE_ADD] = "add",         [MERGE_MIN] = "min",   [MERGE_MAX] = "max",
		[MERGE_JSON] = "json",
	};
	c->merge = MERGE_REPLACE;
	if (!json)
		return true;
	for (size_t i = 0; table_text(json) && i < ARRAY_LEN(names); i++) {
		if (strcmp(table_text(json), names[i]) == 0) {
			c->merge = (enum merge_rule)i;
			return true;
		}
	}
	return err_set(b->err, ERR_CONFIG,
		       "pg.merge is none of replace, keep, coalesce, add, min, max, json");
}

static bool is_number(enum pg_kind k)
{
	return k == PG_INT2 || k == PG_INT4 || k == PG_INT8 || k == PG_FLOAT4 || k == PG_FLOAT8;
}

/* The fold in the batch and the merge in SQL both have to know the rule for the column's type. */
static bool check_merge(struct table_builder *b, const struct column *c)
{
	bool ordered = is_number(c->kind) || c->kind == PG_DATE || c->kind == PG_TIME ||
		       c->kind == PG_TIMESTAMP;
	bool ok = true;
	switch (c->merge) {
	case MERGE_REPLACE:
	case MERGE_KEEP:
	case MERGE_COALESCE:
		return true;
	case MERGE_ADD:
		ok = is_number(c->kind);
		break;
	case MERGE_MIN:
	case MERGE_MAX:
		ok = ordered;
		break;
	case MERGE_JSON:
		ok = c->kind == PG_JSONB;
		break;
	}
	if (ok && !c->cast)
		return true;
	return err_set(b->err, ERR_CONFIG, "pg.merge: a column of type %s cannot be merged so",
		       c->type);
}

bool table_parse_word(struct table_builder *b, const json_t *json, const char *const *known,
		      const char *complaint, const char **out)
{
	*out = table_text(json);
	return !json || (*out && table_in_list(known, *out)) ||
	       err_set(b->err, ERR_CONFIG, "%s", complaint);
}

/* Whether the column's type can be compressed, and whether the server has lz4, PostgreSQL says. */
static bool parse_toast(struct table_builder *b, const json_t *pg, struct column *c)
{
	static const char *const storage[] = {"plain", "external", "extended", "main", NULL};
	static const char *const compression[] = {"pglz", "lz4", NULL};
	return table_parse_word(b, json_object_get(pg, "storage"), storage,
				"pg.storage is none of plain, external, extended, main",
				&c->storage) &&
	       table_parse_word(b, json_object_get(pg, "compression"), compression,
				"pg.compression is none of pglz, lz4", &c->compression);
}

/* A logical type that Avro ignores would be a column of another type than its author wants. */
static bool logical_lost(const struct schema_type *t)
{
	return t->claim.text && !t->claim.beside && t->logical == LOGICAL_NONE;
}

/* A logical type that was lost is the likely cause, so it is named. */
static bool refuse_type(struct table_builder *b, const struct schema_type *t, const char *sql,
			const char *hint)
{
	char text[160];
	schema_describe(t, text, sizeof(text));
	if (logical_lost(t))
		return err_set(b->err, ERR_CONFIG,
			       "type %s: the logical type '%s' does not exist for it, or has wrong "
			       "attributes",
			       text, t->claim.text);
	return err_set(b->err, ERR_CONFIG, "type %s %s%s%s", text,
		       sql ? "cannot be stored as " : "has no column type", sql ? sql : "", hint);
}

/* Fills in types and kinds from the annotation, or from the Avro type. */
static bool column_type(struct table_builder *b, const struct schema_field *f, struct column *c)
{
	const json_t *type = json_object_get(f->pg, "type"), *via = json_object_get(f->pg, "via");
	if (!check_type_text(b, type, "type") || !check_type_text(b, via, "via"))
		return false;
	bool nullable;
	const struct schema_type *t = schema_unwrap(f->type, &nullable);
	char derived[64];
	const char *sql = table_text(type);
	bool lost = t && logical_lost(t);
	if (!t)
		t = f->type; /* several types in a union: only jsonb holds them */
	if (!sql && (lost || !sqltype_derive(t, derived, sizeof(derived))))
		return refuse_type(b, t, NULL, "; set pg.type, or \"column\": false");
	c->type = sql ? sql : arena_strdup(b->arena, derived);
	c->stage_type = via ? table_text(via) : c->type;
	c->cast = strcmp(c->type, c->stage_type) != 0;
	c->not_null = !nullable;
	struct sqltype st;
	if (!sqltype_parse(c->stage_type, &st))
		return err_set(b->err, ERR_CONFIG,
			       "the binary form of SQL type %s is not known; set pg.via to a type "
			       "to stage it as, such "
			       "as text",
			       c->stage_type);
	if (!sqltype_stores(&st, t))
		return refuse_type(b, t, c->stage_type,
				   via ? "" : "; pg.via names a type to stage it as, to be cast");
	c->kind = st.kind;
	c->element = st.element;
	c->element_oid = st.element_oid;
	struct sqltype final;
	if (sqltype_parse(c->type, &final) && (final.kind == PG_VECTOR || final.kind == PG_HALFVEC))
		c->dim = final.arg[0];
	c->max_chars = st.kind == PG_TEXT || (st.kind == PG_ARRAY && st.element == PG_TEXT)
			       ? st.arg[0]
			       : 0;
	return true;
}

/* E'' only where a backslash needs it; the result is the arena's. */
static const char *quote_literal(struct table_builder *b, const char *s)
{
	struct buf out = {0};
	buf_puts(&out, strchr(s, '\\') ? "E'" : "'");
	for (; *s; s++) {
		if (*s == '\'' || *s == '\\')
			buf_u8(&out, (uint8_t)*s);
		buf_u8(&out, (uint8_t)*s);
	}
	buf_puts(&out, "'");
	const char *kept = arena_strdup(b->arena, buf_cstr(&out));
	buf_free(&out);
	return kept;
}

static bool empty_default(const json_t *v)
{
	return (json_is_array(v) && json_array_size(v) == 0) ||
	       (json_is_object(v) && json_object_size(v) == 0);
}

/*
 * DEFAULT of the column, so that a NOT NULL column can be added to a table that has rows: the
 * annotation's, else the schema's where it is a plain number, text or empty list.
 */
static const char *default_sql(struct table_builder *b, const struct schema_field *f,
			       const struct column *c)
{
	const json_t *v = f->default_json;
	bool nullable;
	const struct schema_type *t = schema_unwrap(f->type, &nullable);
	char text[40];
	if (table_text(json_object_get(f->pg, "default")))
		return table_text(json_object_get(f->pg, "default"));
	if (!t || t->logical != LOGICAL_NONE || c->cast)
		return NULL;
	if (c->kind == PG_BOOL && json_is_boolean(v))
		return json_is_true(v) ? "true" : "false";
	if (is_number(c->kind) && json_is_integer(v))
		snprintf(text, sizeof(text), "%lld", (long long)json_integer_value(v));
	else if (is_number(c->kind) && json_is_real(v))
		snprintf(text, sizeof(text), "%.17g", json_real_value(v));
	else if ((c->kind == PG_TEXT || (c->kind == PG_JSONB && t->kind == SCHEMA_STRING)) &&
		 table_text(v))
		return quote_literal(b, table_text(v));
	else if (empty_default(v) && (c->kind == PG_ARRAY || c->kind == PG_JSONB))
		return c->kind == PG_JSONB && json_is_array(v) ? "'[]'" : "'{}'";
	else
		return NULL;
	return arena_strdup(b->arena, text);
}

/* Ours and PostgreSQL's own columns, and one that is there already. */
static bool check_name(struct table_builder *b, const char *name)
{
	/* Ours, and the system columns that every table has. */
	static const char *const reserved[] = {"search_xid", "_part", "_op",  "tableoid", "xmin",
					       "xmax",       "cmin",  "cmax", "ctid",     NULL};
	if (!table_check_identifier(b, name, "the column's name"))
		return false;
	if (table_in_list(reserved, name) || table_in_list(table_own_columns, name))
		return err_set(b->err, ERR_CONFIG,
			       "the column name %s is reserved; set pg.column to another", name);
	for (size_t i = 0; i < b->t->ncolumns; i++)
		if (strcmp(b->t->columns[i].name, name) == 0)
			return err_set(b->err, ERR_CONFIG,
				       "column %s belongs to field '%s' already", name,
				       b->record->fields[b->t->columns[i].field].name);
	return true;
}

/* A field with "column": false has no column and no further say. */
static bool add_column(struct table_builder *b, const struct schema_field *f, uint32_t index)
{
	static const char *const known[] = {"type",    "via",         "column", "merge", "default",
					    "storage", "compression", "search", "embed", NULL};
	const json_t *name = json_object_get(f->pg, "column");
	if (f->pg && !table_check_keys(b, f->pg, "pg", known))
		return false;
	if (json_is_false(name))
		return true;
	if (b->t->ncolumns == MAX_COLUMNS)
		return err_set(b->err, ERR_CONFIG, "it is one too many: a table has at most %d",
			       MAX_COLUMNS);
	struct column *c = &b->t->columns[b->t->ncolumns];
	c->field = index;
	c->name = name ? table_text(name) : f->name;
	bool ok = check_name(b, c->name) && column_type(b, f, c) &&
		  parse_merge(b, json_object_get(f->pg, "merge"), c) && check_merge(b, c) &&
		  parse_toast(b, f->pg, c);
	if (ok && f->default_error)
		ok = err_set(b->err, ERR_CONFIG, "%s", f->default_error);
	if (!ok)
		return false;
	c->default_sql = default_sql(b, f, c);
	b->t->ncolumns++;
	return true;
}

static bool add_columns(struct table_builder *b)
{
	size_t room = MIN(b->record->nfields, (size_t)MAX_COLUMNS) + 2; /* created_at, and one */
	b->t->columns = arena_calloc(b->arena, room, sizeof(*b->t->columns));
	for (size_t i = 0; i < b->record->nfields; i++)
		if (!add_column(b, &b->record->fields[i], (uint32_t)i))
			return err_wrap(b->err, "field '%s'", b->record->fields[i].name);
	return b->t->ncolumns > 0 || err_set(b->err, ERR_CONFIG, "it has no columns");
}

/* --- key, version, delete --- */

/* A column by its SQL name or by the name of its field; -1 if there is none. */
int table_find_column(const struct table_builder *b, const char *name)
{
	for (size_t i = 0; i < b->t->ncolumns; i++)
		if (strcmp(b->t->columns[i].name, name) == 0)
			return (int)i;
	for (size_t i = 0; i < b->t->ncolumns; i++)
		if (strcmp(b->record->fields[b->t->columns[i].field].name, name) == 0)
			return (int)i;
	return -1;
}

/* numeric(10,2) for a decimal of scale 4 would make one key of two that fold as two. */
static bool rounds(const struct table_builder *b, const struct column *c, const struct sqltype *st)
{
	bool nullable;
	const struct schema_type *t = schema_unwrap(b->record->fields[c->field].type, &nullable);
	return st->kind == PG_NUMERIC && strchr(c->type, '(') && t &&
	       t->logical == LOGICAL_DECIMAL && t->scale != st->arg[1];
}

/* Equal values have to be equal in bytes: events are folded by the bytes of their key. */
static bool check_key(struct table_builder *b, const struct column *c)
{
	struct sqltype st;
	if (!c->not_null)
		return err_set(b->err, ERR_CONFIG, "pg.key: column %s may be null", c->name);
	if (c->cast || !sqltype_parse(c->stage_type, &st) || !st.key)
		return err_set(b->err, ERR_CONFIG,
			       "pg.key: column %s of type %s cannot be a key: its equal values may "
			       "differ in bytes",
			       c->name, c->type);
	if (rounds(b, c, &st))
		return err_set(b->err, ERR_CONFIG,
			       "pg.key: column %s is %s, and its field a decimal of another scale: "
			       "give both the same",
			       c->name, c->type);
	if (c->merge != MERGE_REPLACE)
		return err_set(b->err, ERR_CONFIG, "pg.key: column %s has a merge rule", c->name);
	return true;
}

/* Moves the key's columns to the front, in the key's order. */
static bool parse_key(struct table_builder *b)
{
	const json_t *list = json_object_get(b->record->pg, "key");
	struct table *t = b->t;
	if (!json_is_array(list) || json_array_size(list) == 0 || json_array_size(list) > 32)
		return err_set(b->err, ERR_CONFIG, "pg.key is no list of 1 to 32 columns");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *name = table_text(json_array_get(list, i));
		int at = name ? table_find_column(b, name) : -1;
		if (at < 0 || (size_t)at < i)
			return err_set(b->err, ERR_CONFIG,
				       "pg.key: '%s' is no column, or stands twice",
				       name ? name : "");
		if (!check_key(b, &t->columns[at]))
			return false;
		struct column key = t->columns[at];
		memmove(&t->columns[i + 1], &t->columns[i], ((size_t)at - i) * sizeof(key));
		t->columns[i] = key;
	}
	t->nkeys = json_array_size(list);
	return true;
}

/* Has to be a column with an order that 64 bits hold. */
static bool parse_version(struct table_builder *b)
{
	const json_t *json = json_object_get(b->record->pg, "version");
	b->t->version = -1;
	if (!json)
		return true;
	int at = table_text(json) ? table_find_column(b, table_text(json)) : -1;
	if (at < 0 || (size_t)at < b->t->nkeys)
		return err_set(b->err, ERR_CONFIG, "pg.version names no column outside the key");
	const struct column *c = &b->t->columns[at];
	bool ordered = c->kind == PG_INT2 || c->kind == PG_INT4 || c->kind == PG_INT8 ||
		       c->kind == PG_DATE || c->kind == PG_TIMESTAMP;
	if (!ordered || c->cast || c->merge != MERGE_REPLACE)
		return err_set(b->err, ERR_CONFIG,
			       "pg.version: column %s is no integer, date or timestamp, or has a "
			       "merge rule",
			       c->name);
	b->t->version = at;
	return true;
}

/*
 * created_at from the event: one more column over the field of another. "min" is what makes it the
 * first event's, in whatever order they arrive; and is all that fold and merge need to know.
 */
static bool parse_created_at(struct table_builder *b)
{
	const json_t *json = json_object_get(b->record->pg, "created_at");
	struct table *t = b->t;
	int at = table_text(json) ? table_find_column(b, table_text(json)) : -1;
	if (!json)
		return true;
	const struct column *from = at >= 0 ? &t->columns[at] : NULL;
	if (!from || strcmp(from->type, "timestamptz") != 0 || from->cast || !from->not_null)
		return err_set(b->err, ERR_CONFIG,
			       "pg.created_at names no column of type timestamptz that is never "
			       "null");
	t->columns[t->ncolumns++] = (struct column){.name = table_own_columns[0],
						    .type = from->type,
						    .stage_type = from->stage_type,
						    .kind = from->kind,
						    .merge = MERGE_MIN,
						    .not_null = true,
						    .default_sql = "now()",
						    .field = from->field};
	return true;
}

/* The field has to be an enum with that symbol; it may be a column or not. */
static bool parse_delete(struct table_builder *b)
{
	static const char *const known[] = {"field", "symbol", NULL};
	const json_t *json = json_object_get(b->record->pg, "delete");
	b->t->delete_field = -1;
	if (!json)
		return true;
	if (!table_check_keys(b, json, "pg.delete", known))
		return false;
	const char *field = table_text(json_object_get(json, "field")),
		   *symbol = table_text(json_object_get(json, "symbol"));
	for (size_t i = 0; field && symbol && i < b->record->nfields; i++) {
		bool nullable;
		const struct schema_type *t = schema_unwrap(b->record->fields[i].type, &nullable);
		if (strcmp(b->record->fields[i].name, field) != 0 || !t || t->kind != SCHEMA_ENUM)
			continue;
		for (size_t s = 0; s < t->nsymbols; s++) {
			if (strcmp(t->symbols[s], symbol) == 0) {
				b->t->delete_field = (int)i;
				b->t->delete_symbol = (uint32_t)s;
			}
		}
	}
	return b->t->delete_field >= 0 ||
	       err_set(b->err, ERR_CONFIG,
		       "pg.delete needs the name of an enum field and one of its symbols");
}

/* --- storage, name --- */

/* Goes into SQL without quotes, so only letters, digits and "_.-" pass. */
static bool put_parameter(struct table_builder *b, const char *key, const json_t *v,
			  struct buf *out)
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
	const char *s = table_text(v);
	bool ok = key[0] != '\0' && strspn(key, letters) == strlen(key);
	buf_printf(out, "%s%s = ", out->len > 0 ? ", " : "", key);
	if (json_is_integer(v))
		buf_printf(out, "%lld", (long long)json_integer_value(v));
	else if (json_is_real(v))
		buf_printf(out, "%.17g", json_real_value(v));
	else if (json_is_boolean(v))
		buf_puts(out, json_is_true(v) ? "true" : "false");
	else if (s && s[0] != '\0' && strspn(s, letters) == strlen(s))
		buf_puts(out, s);
	else
		ok = false;
	return ok || err_set(b->err, ERR_CONFIG,
			     "pg.storage: parameter \"%s\" or its value has no plain form", key);
}

/* To one text, as WITH (...) wants it. */
static bool parse_storage(struct table_builder *b)
{
	const json_t *json = json_object_get(b->record->pg, "storage");
	const char *key;
	json_t *value;
	struct buf text = {0};
	bool ok = !json || json_is_object(json) ||
		  err_set(b->err, ERR_CONFIG, "pg.storage is no object");
	if (ok && json) {
		json_object_foreach ((json_t *)json, key, value) {
			ok = ok && put_parameter(b, key, value, &text);
		}
	}
	if (ok && text.len > 0)
		b->t->storage = arena_strdup(b->arena, buf_cstr(&text));
	buf_free(&text);
	return ok;
}

/* With or without a schema; each part a valid identifier. */
static bool parse_name(struct table_builder *b, struct table_box *box)
{
	static const char *const known[] = {"table",      "key",     "version", "delete",
					    "created_at", "indexes", "storage", NULL};
	if (!b->record->pg)
		return err_set(b->err, ERR_CONFIG,
			       "it has no annotation \"pg\", so there is no table for it");
	if (!table_check_keys(b, b->record->pg, "pg", known))
		return false;
	const char *name = table_text(json_object_get(b->record->pg, "table"));
	if (!name)
		return err_set(b->err, ERR_CONFIG, "pg.table is missing");
	box->full_name = name;
	const char *dot = strchr(name, '.');
	if (dot) {
		char *schema = arena_strdup(b->arena, name);
		schema[dot - name] = '\0';
		b->t->schema = schema;
	}
	b->t->name = dot ? dot + 1 : name;
	return (!dot || table_check_identifier(b, b->t->schema, "pg.table: the schema")) &&
	       table_check_identifier(b, b->t->name, "pg.table");
}

/* --- the whole --- */

/* The order of the steps matters: see the essay. */
struct table *table_new(const struct schema *reader, struct err *err)
{
	if (reader->root->kind != SCHEMA_RECORD) {
		err_set(err, ERR_CONFIG, "a stream's schema is a record, not %s",
			schema_kind_name(reader->root->kind));
		return NULL;
	}
	struct table_box *box = xcalloc(1, sizeof(*box));
	box->arena = arena_new();
	box->table.reader = reader;
	struct table_builder b = {
		.t = &box->table, .arena = box->arena, .record = reader->root, .err = err};
	if (parse_name(&b, box) && add_columns(&b) && parse_key(&b) && parse_version(&b) &&
	    parse_delete(&b) && parse_created_at(&b) && table_parse_search(&b) &&
	    table_parse_embed(&b) && table_parse_indexes(&b) && parse_storage(&b))
		return &box->table;
	err_wrap(err, "record '%s'", reader->root->full_name);
	table_free(&box->table);
	return NULL;
}

/* The table is the first member of its box. */
void table_free(struct table *t)
{
	if (!t)
		return;
	struct table_box *box = (struct table_box *)t;
	arena_free(box->arena);
	free(box);
}

const char *table_full_name(const struct table *t)
{
	return ((const struct table_box *)t)->full_name;
}

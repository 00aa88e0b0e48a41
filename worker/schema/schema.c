/*
 * schema.c - from the JSON text of an Avro schema to the tree of schema.h.
 *
 *   text --jansson--> json_t --parse_type, one pass--> tree --> defaults as datums
 *        --> canonical form --> fingerprint
 *
 * Not Avro-C: that library drops defaults, aliases, logical types and custom attributes, and does
 * not bound what it recurses into.
 *
 * Names resolve as the specification says: a dotted name is full, another takes the namespace of
 * the innermost named type around it. A named type is entered into the table of names before its
 * fields are parsed, so that a record may hold itself; hence defaults, which need whole types, are
 * encoded afterwards.
 *
 * Bounds: 1 MiB of text, 64 levels of types. A text may come from a registry that anybody writes
 * to. An unknown logical type is no error (the specification says to ignore it); it stays visible
 * as a claim (logical.c).
 *
 * Failure: class CONFIG; each level puts its place in front ("record 'a.B': field 'tags': unknown
 * type 'strin'"). Memory: an arena per schema, and the json_t, which annotations and defaults point
 * into.
 */
#include "schema/schema.h"

#include <assert.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "schema/schema_parts.h"

enum {
	DEFAULT_VALUES = 1000000,
	DEFAULT_BYTES = 4 * 1024 * 1024,
	MAX_NAME = 512, /* of a full name: each reference to it repeats it in the canonical form */
	MAX_BRANCHES = 4096,
};

struct parser {
	struct arena *arena;
	json_t *ids; /* full name -> index into types, as a JSON object, for its hash */
	struct schema_type **types;
	size_t ntypes, cap;
	int depth;
	struct err *err;
};

static const struct {
	const char *name;
	enum schema_kind kind;
} kinds[] = {
	{"null", SCHEMA_NULL},     {"boolean", SCHEMA_BOOLEAN}, {"int", SCHEMA_INT},
	{"long", SCHEMA_LONG},     {"float", SCHEMA_FLOAT},     {"double", SCHEMA_DOUBLE},
	{"bytes", SCHEMA_BYTES},   {"string", SCHEMA_STRING},   {"fixed", SCHEMA_FIXED},
	{"enum", SCHEMA_ENUM},     {"array", SCHEMA_ARRAY},     {"map", SCHEMA_MAP},
	{"record", SCHEMA_RECORD}, {"union", SCHEMA_UNION},
};

static struct schema_type *parse_type(struct parser *p, const json_t *json, const char *space);

/* --- names --- */

/* [A-Za-z_][A-Za-z0-9_]*, with dots between such parts if dots are allowed. */
static bool name_valid(const char *s, bool dots)
{
	bool first = true;
	for (; *s; s++) {
		bool letter = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || *s == '_';
		bool digit = *s >= '0' && *s <= '9';
		if (!letter && !(digit && !first) && !(*s == '.' && dots && !first))
			return false;
		first = *s == '.';
	}
	return !first;
}

/* A string without NUL inside, or NULL. */
static const char *text_of(const json_t *json)
{
	const char *s = json_string_value(json);
	return s && strlen(s) == json_string_length(json) ? s : NULL;
}

/* "name" as a full name, given the namespace it stands in. Fills buf. */
static const char *qualify(const char *name, const char *space, char buf[static MAX_NAME])
{
	bool full = strchr(name, '.') || space[0] == '\0';
	snprintf(buf, MAX_NAME, "%s%s%s", full ? "" : space, full ? "" : ".", name);
	return buf;
}

static const char *last_part(const char *full)
{
	const char *dot = strrchr(full, '.');
	return dot ? dot + 1 : full;
}

/*
 * The namespace in which names inside a type resolve: everything before the last dot of its full
 * name.
 */
static const char *space_of(struct parser *p, const char *full)
{
	size_t n = (size_t)(last_part(full) - full);
	char *space = arena_strdup(p->arena, full);
	space[n > 0 ? n - 1 : 0] = '\0';
	return space;
}

/* A type that is still being parsed is found too: a record may hold itself. */
static struct schema_type *lookup(const struct parser *p, const char *full)
{
	const json_t *id = json_object_get(p->ids, full);
	if (!id)
		return NULL;
	assert((size_t)json_integer_value(id) < p->ntypes);
	return p->types[json_integer_value(id)];
}

/* Before its fields are parsed, as these may name it. */
static bool enter(struct parser *p, struct schema_type *t)
{
	if (lookup(p, t->full_name))
		return err_set(p->err, ERR_CONFIG, "the name is defined twice");
	if (p->ntypes == p->cap) {
		p->cap = MAX(p->cap * 2, 16);
		p->types = xrealloc(p->types, p->cap * sizeof(struct schema_type *));
	}
	t->id = (uint32_t)p->ntypes;
	p->types[p->ntypes++] = t;
	json_object_set_new(p->ids, t->full_name, json_integer(t->id));
	return true;
}

/* A list of names; "what" for the message. */
static bool parse_names(struct parser *p, const json_t *list, const char *what, const char ***out,
			size_t *n)
{
	if (!list)
		return true;
	if (!json_is_array(list))
		return err_set(p->err, ERR_CONFIG, "\"%s\" is no list", what);
	*n = json_array_size(list);
	*out = arena_calloc(p->arena, *n + 1, sizeof(**out));
	for (size_t i = 0; i < *n; i++) {
		(*out)[i] = text_of(json_array_get(list, i));
		if (!(*out)[i] || !name_valid((*out)[i], true))
			return err_set(p->err, ERR_CONFIG, "\"%s\" holds something that is no name",
				       what);
	}
	return true;
}

/* Name, namespace and aliases of a named type, which is entered under its full name. */
static bool parse_header(struct parser *p, const json_t *json, const char *space,
			 struct schema_type *t)
{
	const char *name = text_of(json_object_get(json, "name"));
	const json_t *ns = json_object_get(json, "namespace");
	if (!name || !name_valid(name, true))
		return err_set(p->err, ERR_CONFIG, "%s '%s': it has no valid name",
			       schema_kind_name(t->kind), name ? name : "");
	if (ns && !json_is_null(ns) &&
	    (!text_of(ns) || (text_of(ns)[0] != '\0' && !name_valid(text_of(ns), true))))
		return err_set(p->err, ERR_CONFIG, "%s '%s': its namespace is no valid name",
			       schema_kind_name(t->kind), name);
	if (!text_of(ns))
		ns = NULL;
	if (strlen(name) + strlen(ns ? text_of(ns) : space) + 2 > MAX_NAME)
		return err_set(p->err, ERR_CONFIG, "a name is longer than %d bytes", MAX_NAME - 1);
	char full[MAX_NAME];
	t->full_name = arena_strdup(p->arena, qualify(name, ns ? text_of(ns) : space, full));
	t->name = last_part(t->full_name);
	bool ok = parse_names(p, json_object_get(json, "aliases"), "aliases", &t->aliases,
			      &t->naliases) &&
		  enter(p, t);
	if (!ok)
		return err_wrap(p->err, "%s '%s'", schema_kind_name(t->kind), t->full_name);
	const char *own = space_of(p, t->full_name);
	for (size_t i = 0; i < t->naliases; i++)
		t->aliases[i] = arena_strdup(p->arena, qualify(t->aliases[i], own, full));
	return true;
}

/* --- complex types --- */

/* Only kept and checked: sort order means nothing to us. */
static bool parse_order(struct parser *p, const json_t *json, struct schema_field *f)
{
	static const char *const names[] = {[ORDER_ASCENDING] = "ascending",
					    [ORDER_DESCENDING] = "descending",
					    [ORDER_IGNORE] = "ignore"};
	if (!json)
		return true;
	for (size_t i = 0; text_of(json) && i < ARRAY_LEN(names); i++) {
		if (strcmp(text_of(json), names[i]) == 0) {
			f->order = (enum schema_order)i;
			return true;
		}
	}
	return err_set(p->err, ERR_CONFIG, "\"order\" is none of ascending, descending, ignore");
}

/* Its default stays JSON until all types are known. */
static bool parse_field(struct parser *p, const json_t *json, const char *space,
			struct schema_field *f)
{
	f->name = text_of(json_object_get(json, "name"));
	if (!f->name || !name_valid(f->name, false))
		return err_set(p->err, ERR_CONFIG, "a field has no valid name ('%s')",
			       f->name ? f->name : "");
	const json_t *type = json_object_get(json, "type");
	bool ok = type ? (f->type = parse_type(p, type, space)) != NULL
		       : err_set(p->err, ERR_CONFIG, "it has no type");
	ok = ok &&
	     parse_names(p, json_object_get(json, "aliases"), "aliases", &f->aliases,
			 &f->naliases) &&
	     parse_order(p, json_object_get(json, "order"), f);
	if (!ok)
		return err_wrap(p->err, "field '%s'", f->name);
	f->beside = logical_beside(f->type, json);
	f->default_json = json_object_get(json, "default");
	f->pg = json_object_get(json, "pg");
	return true;
}

/* Names within a record are unique; space is the record's own namespace. */
static bool parse_fields(struct parser *p, const json_t *list, struct schema_type *t)
{
	if (!json_is_array(list))
		return err_set(p->err, ERR_CONFIG, "\"fields\" is no list");
	const char *space = space_of(p, t->full_name);
	json_t *seen = json_object();
	bool ok = true;
	t->nfields = json_array_size(list);
	t->fields = arena_calloc(p->arena, t->nfields + 1, sizeof(*t->fields));
	for (size_t i = 0; i < t->nfields && ok; i++) {
		struct schema_field *f = &t->fields[i];
		ok = parse_field(p, json_array_get(list, i), space, f);
		if (ok && json_object_get(seen, f->name))
			ok = err_set(p->err, ERR_CONFIG, "field '%s': the name stands twice",
				     f->name);
		if (ok)
			json_object_set_new(seen, f->name, json_true());
	}
	json_decref(seen);
	return ok;
}

/* "pg" is table.c's to read. */
static bool parse_record(struct parser *p, const json_t *json, const char *space,
			 struct schema_type *t)
{
	if (!parse_header(p, json, space, t))
		return false;
	t->pg = json_object_get(json, "pg");
	return parse_fields(p, json_object_get(json, "fields"), t) ||
	       err_wrap(p->err, "record '%s'", t->full_name);
}

/* A default symbol has to be one of them. */
static bool parse_symbols(struct parser *p, const json_t *json, struct schema_type *t)
{
	const json_t *list = json_object_get(json, "symbols"),
		     *def = json_object_get(json, "default");
	if (!json_is_array(list) || json_array_size(list) == 0)
		return err_set(p->err, ERR_CONFIG, "it has no symbols");
	if (!parse_names(p, list, "symbols", &t->symbols, &t->nsymbols))
		return false;
	json_t *seen = json_object();
	bool ok = true;
	t->default_symbol = -1;
	for (size_t i = 0; i < t->nsymbols && ok; i++) {
		if (!name_valid(t->symbols[i], false) || json_object_get(seen, t->symbols[i]))
			ok = err_set(p->err, ERR_CONFIG, "symbol '%s' is no name or stands twice",
				     t->symbols[i]);
		json_object_set_new(seen, t->symbols[i], json_true());
		if (text_of(def) && strcmp(text_of(def), t->symbols[i]) == 0)
			t->default_symbol = (int32_t)i;
	}
	json_decref(seen);
	if (ok && def && t->default_symbol < 0)
		return err_set(p->err, ERR_CONFIG, "its default is none of its symbols");
	return ok;
}

static bool parse_enum(struct parser *p, const json_t *json, const char *space,
		       struct schema_type *t)
{
	return parse_header(p, json, space, t) &&
	       (parse_symbols(p, json, t) || err_wrap(p->err, "enum '%s'", t->full_name));
}

static bool parse_fixed(struct parser *p, const json_t *json, const char *space,
			struct schema_type *t)
{
	if (!parse_header(p, json, space, t))
		return false;
	const json_t *size = json_object_get(json, "size");
	if (!json_is_integer(size) || json_integer_value(size) < 0 ||
	    json_integer_value(size) > INT32_MAX)
		return err_set(p->err, ERR_CONFIG,
			       "fixed '%s': \"size\" is no number from 0 to 2147483647",
			       t->full_name);
	t->size = (uint32_t)json_integer_value(size);
	return true;
}

/* "items" of an array, "values" of a map: one type. */
static bool parse_items(struct parser *p, const json_t *json, const char *space,
			struct schema_type *t)
{
	const char *attribute = t->kind == SCHEMA_ARRAY ? "items" : "values";
	const json_t *items = json_object_get(json, attribute);
	if (!items)
		return err_set(p->err, ERR_CONFIG, "%s without \"%s\"", schema_kind_name(t->kind),
			       attribute);
	t->items = parse_type(p, items, space);
	return t->items || err_wrap(p->err, "\"%s\"", attribute);
}

/*
 * The specification: at most one branch per kind, but for named types, where the name tells them
 * apart; no union in a union.
 */
static bool branch_clashes(const struct schema_type *t, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (t->branches[i]->kind == t->branches[n]->kind &&
		    (!t->branches[n]->full_name || t->branches[i] == t->branches[n]))
			return true;
	return t->branches[n]->kind == SCHEMA_UNION;
}

/* The number of branches is bounded, as each is compared with all before it. */
static struct schema_type *parse_union(struct parser *p, const json_t *json, const char *space)
{
	struct schema_type *t = arena_calloc(p->arena, 1, sizeof(*t));
	char text[80];
	t->kind = SCHEMA_UNION;
	t->nbranches = json_array_size(json);
	t->branches = arena_calloc(p->arena, t->nbranches + 1, sizeof(struct schema_type *));
	if (t->nbranches == 0 || t->nbranches > MAX_BRANCHES) {
		err_set(p->err, ERR_CONFIG, "a union of %zu branches", t->nbranches);
		return NULL;
	}
	for (size_t i = 0; i < t->nbranches; i++) {
		t->branches[i] = parse_type(p, json_array_get(json, i), space);
		if (!t->branches[i])
			return NULL;
		if (branch_clashes(t, i)) {
			err_set(p->err, ERR_CONFIG, "a union holds '%s' twice, or another union",
				schema_describe(t->branches[i], text, sizeof(text)));
			return NULL;
		}
	}
	return t;
}

/* --- any type --- */

/* The kinds that are an object; primitives have been dealt with. */
static bool parse_complex(struct parser *p, const json_t *json, const char *space,
			  struct schema_type *t)
{
	switch (t->kind) {
	case SCHEMA_NULL:
	case SCHEMA_BOOLEAN:
	case SCHEMA_INT:
	case SCHEMA_LONG:
	case SCHEMA_FLOAT:
	case SCHEMA_DOUBLE:
	case SCHEMA_BYTES:
	case SCHEMA_STRING:
		return true;
	case SCHEMA_FIXED:
		return parse_fixed(p, json, space, t);
	case SCHEMA_ENUM:
		return parse_enum(p, json, space, t);
	case SCHEMA_ARRAY:
	case SCHEMA_MAP:
		return parse_items(p, json, space, t);
	case SCHEMA_RECORD:
		return parse_record(p, json, space, t);
	case SCHEMA_UNION:
		break;
	}
	return err_set(p->err, ERR_CONFIG, "a union is written as a list");
}

static int kind_by_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (strcmp(kinds[i].name, name) == 0)
			return (int)kinds[i].kind;
	return strcmp(name, "error") == 0 ? SCHEMA_RECORD : -1; /* of Avro protocols */
}

static bool is_primitive(int kind)
{
	return kind >= SCHEMA_NULL && kind <= SCHEMA_STRING;
}

/* "string", "a.b.Name" or "Name": a primitive or a type that was defined before. */
static struct schema_type *parse_reference(struct parser *p, const char *name, const char *space)
{
	int kind = name ? kind_by_name(name) : -1;
	if (is_primitive(kind)) {
		struct schema_type *t = arena_calloc(p->arena, 1, sizeof(*t));
		t->kind = (enum schema_kind)kind;
		return t;
	}
	char full[MAX_NAME];
	struct schema_type *t = name ? lookup(p, qualify(name, space, full)) : NULL;
	if (!t && name)
		t = lookup(p, name); /* a name of the null namespace, as Java's library finds it */
	if (!t)
		err_set(p->err, ERR_CONFIG, "unknown type '%s'", name ? name : "");
	return t;
}

/* "type" may be a primitive, a complex kind, a name, or a whole type once more. */
static struct schema_type *parse_object(struct parser *p, const json_t *json, const char *space)
{
	const json_t *type = json_object_get(json, "type");
	const char *name = text_of(type);
	int kind = name ? kind_by_name(name) : -1;
	if (!type) {
		err_set(p->err, ERR_CONFIG, "a type has no \"type\"");
		return NULL;
	}
	if (kind < 0) { /* {"type": {...}} and {"type": "Name"} mean what is inside */
		struct schema_type *inner = parse_type(p, type, space);
		if (inner)
			(void)logical_beside(inner, json);
		return inner;
	}
	struct schema_type *t = arena_calloc(p->arena, 1, sizeof(*t));
	t->kind = (enum schema_kind)kind;
	if (!parse_complex(p, json, space, t))
		return NULL;
	logical_parse(t, json);
	return t;
}

/* The one place that recurses, so depth is counted here. */
static struct schema_type *parse_type(struct parser *p, const json_t *json, const char *space)
{
	struct schema_type *t = NULL;
	if (p->depth >= SCHEMA_MAX_DEPTH) {
		err_set(p->err, ERR_CONFIG, "types are nested deeper than %d levels",
			SCHEMA_MAX_DEPTH);
		return NULL;
	}
	p->depth++;
	if (json_is_string(json))
		t = parse_reference(p, text_of(json), space);
	else if (json_is_object(json))
		t = parse_object(p, json, space);
	else if (json_is_array(json))
		t = parse_union(p, json, space);
	else
		err_set(p->err, ERR_CONFIG, "a type is neither a name nor an object nor a list");
	p->depth--;
	return t;
}

/* --- the whole --- */

/* One budget for all fields: defaults may lean on each other. */
static void encode_defaults(struct parser *p)
{
	struct default_budget budget = {.values = DEFAULT_VALUES, .bytes = DEFAULT_BYTES};
	for (size_t i = 0; i < p->ntypes; i++)
		for (size_t j = 0; j < p->types[i]->nfields; j++)
			if (p->types[i]->fields[j].default_json)
				default_encode(&p->types[i]->fields[j], &budget, p->arena);
}

/* What needs all types: defaults, the canonical forms, the fingerprints. */
static void finish(struct schema *s, struct parser *p)
{
	struct buf text = {0};
	encode_defaults(p);
	s->ntypes = p->ntypes;
	canonical_write(s->root, p->ntypes, false, &text);
	s->canonical = arena_strdup(s->arena, buf_cstr(&text));
	s->fingerprint = canonical_fingerprint((struct slice){text.data, text.len});
	text.len = 0;
	canonical_write(s->root, p->ntypes, true, &text);
	s->fingerprint_logical = canonical_fingerprint((struct slice){text.data, text.len});
	buf_free(&text);
}

/* Duplicate names are refused: which of two counts would depend on the library. */
static json_t *load_json(const char *text, size_t len, struct err *err)
{
	json_error_t at;
	if (len > SCHEMA_MAX_BYTES) {
		err_set(err, ERR_CONFIG, "schema: %zu bytes, at most %d are read", len,
			SCHEMA_MAX_BYTES);
		return NULL;
	}
	json_t *json = json_loadb(text, len,
				  JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &at);
	if (!json)
		err_set(err, ERR_CONFIG, "schema: no valid JSON: line %d, column %d: %s", at.line,
			at.column, at.text);
	return json;
}

/* The json_t lives as long as the schema, which points into it. */
struct schema *schema_parse(const char *text, size_t len, struct err *err)
{
	json_t *json = load_json(text, len, err);
	if (!json)
		return NULL;
	struct schema *s = xcalloc(1, sizeof(*s));
	s->arena = arena_new();
	s->json = json;
	struct parser p = {.arena = s->arena, .ids = json_object(), .err = err};
	s->root = parse_type(&p, json, "");
	if (s->root) {
		finish(s, &p);
	} else {
		err_wrap(err, "schema");
		schema_free(s);
		s = NULL;
	}
	json_decref(p.ids);
	free(p.types);
	return s;
}

void schema_free(struct schema *s)
{
	if (!s)
		return;
	json_decref(s->json);
	arena_free(s->arena);
	free(s);
}

const char *schema_canonical(const struct schema *s)
{
	return s->canonical;
}

uint64_t schema_fingerprint(const struct schema *s)
{
	return s->fingerprint;
}

uint64_t schema_fingerprint_logical(const struct schema *s)
{
	return s->fingerprint_logical;
}

/* --- files --- */

/* Reads one byte more than allowed, which tells a file that is too long. */
static bool read_text(const char *path, struct buf *out, struct err *err)
{
	FILE *f = fopen(path, "re");
	if (!f)
		return err_set(err, ERR_CONFIG, "%s: %s", path, strerror(errno));
	out->len = fread(buf_take(out, SCHEMA_MAX_BYTES + 1), 1, SCHEMA_MAX_BYTES + 1, f);
	bool ok = !ferror(f);
	if (!ok)
		err_set(err, ERR_CONFIG, "%s: cannot be read: %s", path, strerror(errno));
	else if (out->len > SCHEMA_MAX_BYTES)
		ok = err_set(err, ERR_CONFIG, "%s: longer than 1 MiB, no schema", path);
	(void)fclose(f);
	return ok;
}

/* The path stands in front of the error. */
struct schema *schema_read(const char *path, struct err *err)
{
	struct buf text = {0};
	struct schema *schema = NULL;
	if (read_text(path, &text, err)) {
		schema = schema_parse((const char *)text.data, text.len, err);
		if (!schema)
			err_wrap(err, "%s", path);
	}
	buf_free(&text);
	return schema;
}

/* --- words --- */

const char *schema_kind_name(enum schema_kind kind)
{
	return kinds[kind].name;
}

static void describe_branches(const struct schema_type *t, char *buf, size_t size)
{
	snprintf(buf, size, "union [");
	for (size_t i = 0; i < t->nbranches; i++) {
		size_t n = strlen(buf);
		const char *name = t->branches[i]->full_name;
		snprintf(buf + n, size - n, "%s%s%s", i > 0 ? ", " : "",
			 name ? name : schema_kind_name(t->branches[i]->kind),
			 i + 1 == t->nbranches ? "]" : "");
	}
}

/* A claim is shown even if it is not valid, for it may be what is wrong. */
const char *schema_describe(const struct schema_type *t, char *buf, size_t size)
{
	char inner[80];
	if (t->kind == SCHEMA_UNION)
		describe_branches(t, buf, size);
	else if (t->claim.text)
		logical_describe(t, buf, size);
	else if (t->kind == SCHEMA_FIXED)
		snprintf(buf, size, "fixed %s of %u bytes", t->full_name, t->size);
	else if (t->full_name)
		snprintf(buf, size, "%s %s", schema_kind_name(t->kind), t->full_name);
	else if (t->items && t->items->kind != SCHEMA_ARRAY && t->items->kind != SCHEMA_MAP)
		snprintf(buf, size, "%s of %s", schema_kind_name(t->kind),
			 schema_describe(t->items, inner, sizeof(inner)));
	else
		snprintf(buf, size, "%s", schema_kind_name(t->kind));
	return buf;
}

/* Two branches of which none is null are a union like any other. */
const struct schema_type *schema_unwrap(const struct schema_type *t, bool *nullable)
{
	*nullable = false;
	if (t->kind != SCHEMA_UNION)
		return t;
	const struct schema_type *only = NULL;
	size_t others = 0;
	for (size_t i = 0; i < t->nbranches; i++) {
		if (t->branches[i]->kind == SCHEMA_NULL) {
			*nullable = true;
		} else {
			only = t->branches[i];
			others++;
		}
	}
	return others == 1 ? only : NULL;
}

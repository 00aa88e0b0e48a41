/*
 * schemaref.c - makes one self-contained Avro schema of a schema and what it references.
 *
 * In the registry an Avro schema may use a named type that another subject defines ("references").
 * Avro itself knows no such thing: a name must be defined before it is used, in reading order. So
 * the schema is walked in reading order, and the first mention of a referenced name becomes its
 * definition, which is then walked itself; later mentions are left, as the name is in scope by
 * then. That one rule serves chains, diamonds and a definition that mentions itself.
 *
 *   {"fields":[{"type":"a.Point"},{"type":"a.Point"}]}   defs: a.Point
 *   -> {"fields":[{"type":{"type":"record","name":"Point","namespace":"a",..}},
 *                 {"type":"a.Point"}]}
 *
 * Only the name that a reference gives is looked for. A type nested in a definition is usable after
 * it, as Avro has it, and not before: such a schema stays incomplete, and parsing it names the
 * unknown type.
 *
 * Names follow Avro 1.11, "Names": a name with a dot is full, one without takes the namespace of
 * the enclosing definition. Depth is bounded by jansson's parser (2048 levels) and the number of
 * definitions, each of which is walked once.
 *
 * No state, any thread.
 */
#include "io/schemaref.h"

#include <stdio.h>
#include <string.h>

struct walk {
	const json_t *defs;
	json_t *placed; /* names whose definition stands in the result already */
};

/* Takes schema, returns what stands in its place. */
static json_t *walk_schema(struct walk *w, json_t *schema, const char *ns);

/* The definition's namespace into out, as its types see it. */
static void namespace_of(const json_t *named, const char *enclosing, char *out, size_t size)
{
	const char *name = json_string_value(json_object_get(named, "name"));
	const char *ns = json_string_value(json_object_get(named, "namespace"));
	const char *dot = name != NULL ? strrchr(name, '.') : NULL;
	if (dot != NULL)
		snprintf(out, size, "%.*s", (int)(dot - name), name);
	else
		snprintf(out, size, "%s", ns != NULL ? ns : enclosing);
}

/* A definition without a namespace must not inherit that of the place where it is put. */
static json_t *placed_copy(const json_t *def)
{
	json_t *copy = json_deep_copy(def);
	const char *name = json_string_value(json_object_get(copy, "name"));
	if (name != NULL && strchr(name, '.') == NULL && json_object_get(copy, "namespace") == NULL)
		json_object_set_new(copy, "namespace", json_string(""));
	return copy;
}

/* The first mention becomes the definition, which is walked in its own place. */
static json_t *walk_name(struct walk *w, json_t *schema, const char *ns)
{
	const char *name = json_string_value(schema);
	char full[512];
	if (strchr(name, '.') != NULL || ns[0] == '\0')
		snprintf(full, sizeof(full), "%s", name);
	else
		snprintf(full, sizeof(full), "%s.%s", ns, name);
	const json_t *def = json_object_get(w->defs, full);
	if (def == NULL || json_object_get(w->placed, full) != NULL)
		return schema;
	json_object_set_new(w->placed, full, json_true());
	json_decref(schema);
	return walk_schema(w, placed_copy(def), "");
}

static void walk_member(struct walk *w, json_t *object, const char *member, const char *ns)
{
	json_t *value = json_object_get(object, member);
	if (value != NULL)
		json_object_set_new(object, member, walk_schema(w, json_incref(value), ns));
}

/* In the namespace of the record. */
static void walk_fields(struct walk *w, json_t *record, const char *ns)
{
	char inner[512];
	namespace_of(record, ns, inner, sizeof(inner));
	size_t i;
	json_t *field;
	json_array_foreach (json_object_get(record, "fields"), i, field) {
		walk_member(w, field, "type", inner);
	}
}

/* A "type" may be a whole schema once more. */
static json_t *walk_object(struct walk *w, json_t *schema, const char *ns)
{
	const json_t *type = json_object_get(schema, "type");
	const char *kind = json_is_string(type) ? json_string_value(type) : "";
	if (strcmp(kind, "record") == 0 || strcmp(kind, "error") == 0)
		walk_fields(w, schema, ns);
	else if (strcmp(kind, "array") == 0)
		walk_member(w, schema, "items", ns);
	else if (strcmp(kind, "map") == 0)
		walk_member(w, schema, "values", ns);
	else if (!json_is_string(type) || json_object_get(schema, "name") == NULL)
		walk_member(w, schema, "type", ns); /* {"type": {...}}, {"type": "a.Point"} */
	return schema;
}

/* Takes a reference, and gives back the schema that stands there now. */
static json_t *walk_schema(struct walk *w, json_t *schema, const char *ns)
{
	if (json_is_string(schema))
		return walk_name(w, schema, ns);
	if (json_is_object(schema))
		return walk_object(w, schema, ns);
	for (size_t i = 0; i < json_array_size(schema); i++)
		json_array_set_new(schema, i,
				   walk_schema(w, json_incref(json_array_get(schema, i)), ns));
	return schema;
}

json_t *schemaref_inline(json_t *schema, const json_t *defs)
{
	struct walk w = {.defs = defs, .placed = json_object()};
	schema = walk_schema(&w, schema, "");
	json_decref(w.placed);
	return schema;
}

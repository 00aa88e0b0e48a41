/*
 * jsondatum.c - a JSON value as Avro bytes, by the schema of a stream.
 *
 * People write JSON lines by hand, exporters write plain JSON, other programs write Avro's JSON
 * encoding; all are taken as far as they do not contradict each other:
 *
 *   union             the plain value, or {"string": "x"} as in Avro's encoding; null for null
 *   field left out    its default; an error where there is none
 *   string            a string; an object or array is taken as its JSON text (columns of jsonb)
 *   int, long         a whole number (also 1.0, 1e3)
 *   timestamp, date,  a number in the type's unit, or "2026-01-31T12:30:00.125Z", "2026-01-31",
 *   time              "12:30:00"
 *   decimal           a number, also as text: "12.34"; {"bytes": "..."} in a union as in Avro's
 *                     encoding
 *   float, double     a number, or "NaN", "Infinity", "-Infinity"
 *   bytes, fixed      a string of code points 0 to 255 (Avro's encoding); where the column is a
 *                     vector, also an array of numbers: packed little-endian floats
 *
 * An array of numbers for other bytes is refused: one person means bytes by it, the next one
 * floats. So is a field that the schema does not know, a typing mistake more often than not, and a
 * key that stands twice, of which every parser takes another one.
 *
 * Of a plain union the branch is the first that takes the value, those that JSON would call the
 * same first: a string is a string before it is a decimal or a date.
 *
 * Memory: what the places of a record's fields need; kept. Thread: its owner's. Failure: class
 * POISON; the text leads to the value.
 */
#include "file/jsondatum.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/suggest.h"
#include "file/scalar.h"
#include "schema/encode.h"

enum { MAX_DEPTH = 64, MISSING = 0 };

struct jsondatum {
	const struct schema_type *root;
	bool *packed; /* by field of the root: a vector in bytes */
	/* For the records that are open: by field, how far behind the object its value stands, or
	 * MISSING. */
	uint32_t *places;
	size_t nplaces, cap;
	/* of one call */
	struct buf *out;
	struct err *err;
	int depth;
	bool in_packed;
};

static bool put(struct jsondatum *e, const struct schema_type *t, const struct jtoken *v);

/* ---- refusals ---- */

/* What the schema wants and what stands there. Returns false. */
static bool wants(struct jsondatum *e, const struct schema_type *t, const struct jtoken *v)
{
	static const char *const found[] = {
		[JTOKEN_OBJECT] = "an object", [JTOKEN_ARRAY] = "an array",
		[JTOKEN_STRING] = "a string",  [JTOKEN_NUMBER] = "a number",
		[JTOKEN_TRUE] = "true",        [JTOKEN_FALSE] = "false",
		[JTOKEN_NULL] = "null",
	};
	return scalar_refuse(t, found[v->kind], NULL, e->err);
}

/* With the nearest name, as it is mostly a typing mistake. */
static bool no_such_field(struct jsondatum *e, const struct schema_type *t, const struct jtoken *k)
{
	char name[81];
	snprintf(name, sizeof(name), "%.*s", (int)MIN(k->n, 80u), k->text);
	struct suggest near = suggest_for(name);
	for (size_t i = 0; i < t->nfields; i++)
		suggest_offer(&near, t->fields[i].name);
	return err_set(e->err, ERR_POISON, "record %s has no field '%s'%s%s%s", t->name, name,
		       near.best ? "; did you mean '" : "", near.best ? near.best : "",
		       near.best ? "'?" : "");
}

static bool twice(struct jsondatum *e, const struct jtoken *k)
{
	return err_set(e->err, ERR_POISON, "the key \"%.*s\" stands twice", (int)MIN(k->n, 80u),
		       k->text);
}

/* ---- scalars ---- */

/* Only texts and numbers: null and booleans have been dealt with. */
static bool put_scalar(struct jsondatum *e, const struct schema_type *t, const struct jtoken *v)
{
	switch (v->kind) {
	case JTOKEN_STRING:
		return scalar_text(t, v->text, v->n, e->out, e->err);
	case JTOKEN_NUMBER:
		return scalar_number(t, v->text, v->n, e->out, e->err);
	case JTOKEN_TRUE:
	case JTOKEN_FALSE:
	case JTOKEN_NULL:
	case JTOKEN_OBJECT:
	case JTOKEN_ARRAY:
		break;
	}
	return wants(e, t, v);
}

/* Objects and arrays as JSON text. Its length goes in front, so it is written beside first. */
static bool put_json(struct jsondatum *e, const struct jtoken *v)
{
	struct buf text = {0};
	bool ok = jtape_write(v, &text, e->err);
	if (ok)
		encode_bytes(e->out, text.data, text.len);
	buf_free(&text);
	return ok;
}

/* An array of numbers as packed floats. */
static bool put_packed(struct jsondatum *e, const struct schema_type *t, const struct jtoken *v)
{
	static const struct schema_type item = {.kind = SCHEMA_FLOAT};
	const struct jtoken *at = v + 1;
	if (t->kind == SCHEMA_FIXED && v->n * sizeof(float) != t->size)
		return err_set(e->err, ERR_POISON, "wants %zu numbers, found %u",
			       t->size / sizeof(float), v->n);
	if (t->kind == SCHEMA_BYTES)
		encode_long(e->out, (int64_t)(v->n * sizeof(float)));
	for (uint32_t i = 0; i < v->n; i++, at = jtape_next(at))
		if (!put_scalar(e, &item, at))
			return err_wrap(e->err, "item %u", i + 1);
	return true;
}

/* ---- nesting ---- */

/* One block; an item's error says which it is. */
static bool put_array(struct jsondatum *e, const struct schema_type *t, const struct jtoken *v)
{
	const struct jtoken *at = v + 1;
	if (v->kind != JTOKEN_ARRAY)
		return wants(e, t, v);
	if (v->n > 0)
		encode_long(e->out, v->n);
	for (uint32_t i = 0; i < v->n; i++, at = jtape_next(at))
		if (!put(e, t->items, at))
			return err_wrap(e->err, "item %u", i + 1);
	encode_long(e->out, 0);
	return true;
}

/* A key that stands twice is refused, as every parser takes another one. */
static bool put_map(struct jsondatum *e, const struct schema_type *t, const struct jtoken *v)
{
	const struct jtoken *at = v + 1, *again;
	if (v->kind != JTOKEN_OBJECT)
		return wants(e, t, v);
	if ((again = jtape_duplicate(v)))
		return twice(e, again);
	if (v->n > 0)
		encode_long(e->out, v->n);
	for (uint32_t i = 0; i < v->n; i++, at = jtape_next(at + 1)) {
		encode_bytes(e->out, at->text, at->n);
		if (!put(e, t->items, at + 1))
			return err_wrap(e->err, "key \"%.*s\"", (int)MIN(at->n, 60u), at->text);
	}
	encode_long(e->out, 0);
	return true;
}

/* Fields mostly stand in the order of the schema: the search begins behind the last one. */
static size_t field_named(const struct schema_type *t, const struct jtoken *k, size_t begin)
{
	for (size_t n = 0, i = begin; n < t->nfields; n++, i++) {
		i = i < t->nfields ? i : 0;
		if (jtoken_is(k, t->fields[i].name))
			return i;
	}
	return t->nfields;
}

/* Pass 1: where each field's value stands among the tokens. */
static bool find_fields(struct jsondatum *e, const struct schema_type *t, const struct jtoken *v,
			size_t base)
{
	size_t i = 0;
	const struct jtoken *k = v + 1;
	for (uint32_t n = 0; n < v->n; n++, k = jtape_next(k + 1), i++) {
		i = field_named(t, k, i);
		if (i == t->nfields)
			return no_such_field(e, t, k);
		if (e->places[base + i] != MISSING)
			return twice(e, k);
		e->places[base + i] = (uint32_t)(k + 1 - v);
	}
	return true;
}

/* A default that does not fit its type matters only here, where it is needed. */
static bool put_default(struct jsondatum *e, const struct schema_field *f)
{
	if (!f->default_json)
		return err_set(e->err, ERR_POISON, "is missing and has no default");
	if (f->default_error)
		return err_set(e->err, ERR_POISON, "is missing, and its default is wrong: %s",
			       f->default_error);
	buf_put(e->out, f->default_datum.data, f->default_datum.len);
	return true;
}

/* Pass 2, in the order of the schema. packed is known of the outermost fields only. */
static bool put_fields(struct jsondatum *e, const struct schema_type *t, const struct jtoken *v,
		       size_t base)
{
	bool outermost = e->depth == 1 && t == e->root;
	for (size_t i = 0; i < t->nfields; i++) {
		uint32_t place = e->places[base + i];
		if (outermost)
			e->in_packed = e->packed[i];
		if (place == MISSING ? !put_default(e, &t->fields[i])
				     : !put(e, t->fields[i].type, v + place))
			return err_wrap(e->err, "field '%s'", t->fields[i].name);
	}
	return true;
}

/* Its places stand behind those of the record around it. */
static bool put_record(struct jsondatum *e, const struct schema_type *t, const struct jtoken *v)
{
	size_t base = e->nplaces;
	if (v->kind != JTOKEN_OBJECT)
		return wants(e, t, v);
	if (base + t->nfields > e->cap) {
		e->cap = MAX(e->cap * 2, base + t->nfields);
		e->places = xrealloc(e->places, e->cap * sizeof(*e->places));
	}
	e->nplaces += t->nfields;
	for (size_t i = base; i < e->nplaces; i++)
		e->places[i] = MISSING;
	bool ok = find_fields(e, t, v, base) && put_fields(e, t, v, base);
	e->nplaces = base;
	return ok;
}

/* ---- unions ---- */

static bool is_named(const struct schema_type *t, const struct jtoken *k)
{
	return jtoken_is(k, schema_kind_name(t->kind)) || (t->name && jtoken_is(k, t->name)) ||
	       (t->full_name && jtoken_is(k, t->full_name));
}

static bool is_whole(const struct jtoken *v)
{
	for (uint32_t i = 0; i < v->n; i++)
		if (v->text[i] == '.' || v->text[i] == 'e' || v->text[i] == 'E')
			return false;
	return true;
}

/* Would JSON itself call the value by this name? */
static bool is_natural(const struct schema_type *t, const struct jtoken *v)
{
	switch (t->kind) {
	case SCHEMA_NULL:
		return v->kind == JTOKEN_NULL;
	case SCHEMA_BOOLEAN:
		return v->kind == JTOKEN_TRUE || v->kind == JTOKEN_FALSE;
	case SCHEMA_INT:
	case SCHEMA_LONG:
		return v->kind == JTOKEN_NUMBER && is_whole(v);
	case SCHEMA_FLOAT:
	case SCHEMA_DOUBLE:
		return v->kind == JTOKEN_NUMBER && !is_whole(v);
	case SCHEMA_STRING:
	case SCHEMA_ENUM:
		return v->kind == JTOKEN_STRING;
	case SCHEMA_ARRAY:
		return v->kind == JTOKEN_ARRAY;
	case SCHEMA_MAP:
	case SCHEMA_RECORD:
		return v->kind == JTOKEN_OBJECT;
	case SCHEMA_BYTES:
	case SCHEMA_FIXED:
	case SCHEMA_UNION:
		return false;
	}
	return false;
}

/* A branch that is named says how its value is encoded: bytes are bytes, of a decimal, too. */
static bool put_inner(struct jsondatum *e, const struct schema_type *t, const struct jtoken *v)
{
	if (v->kind == JTOKEN_STRING && t->logical == LOGICAL_DECIMAL)
		return scalar_bytes(t, v->text, v->n, e->out, e->err);
	return put(e, t, v);
}

/* What was written of a branch that does not fit is taken back. */
static bool put_branch(struct jsondatum *e, const struct schema_type *t, size_t branch,
		       const struct jtoken *v, bool named)
{
	size_t begin = e->out->len;
	encode_long(e->out, (int64_t)branch);
	if (named ? put_inner(e, t->branches[branch], v) : put(e, t->branches[branch], v))
		return true;
	e->out->len = begin;
	return false;
}

/* As Avro's JSON encoding has it: an object whose one key is the branch. */
static bool put_named(struct jsondatum *e, const struct schema_type *t, const struct jtoken *v)
{
	if (v->kind != JTOKEN_OBJECT || v->n != 1)
		return false;
	for (size_t i = 0; i < t->nbranches; i++)
		if (is_named(t->branches[i], v + 1) && put_branch(e, t, i, v + 2, true))
			return true;
	return false;
}

/* Null never is what another type could take, nor the other way round. */
static bool put_plain(struct jsondatum *e, const struct schema_type *t, const struct jtoken *v)
{
	for (int natural = 1; natural >= 0; natural--) {
		for (size_t i = 0; i < t->nbranches; i++) {
			bool null = t->branches[i]->kind == SCHEMA_NULL;
			if (null == (v->kind == JTOKEN_NULL) &&
			    is_natural(t->branches[i], v) == natural &&
			    put_branch(e, t, i, v, false))
				return true;
		}
	}
	return false;
}

/* Of one type beside null its error says most; of a branch that was named, that one's. */
static bool put_union(struct jsondatum *e, const struct schema_type *t, const struct jtoken *v)
{
	bool nullable;
	struct err named = {0};
	err_clear(e->err);
	if (put_named(e, t, v))
		return true;
	if (e->err->class != ERR_NONE)
		named = *e->err;
	err_clear(e->err);
	if (put_plain(e, t, v))
		return true;
	if (named.class != ERR_NONE)
		*e->err = named;
	else if (e->err->class == ERR_NONE || !schema_unwrap(t, &nullable))
		wants(e, t, v);
	return false;
}

/* ---- any value ---- */

/* Depth is charged here, as this is where the recursion is. */
static bool put_nested(struct jsondatum *e, const struct schema_type *t, const struct jtoken *v)
{
	bool ok = false;
	if (e->depth >= MAX_DEPTH)
		return err_set(e->err, ERR_POISON, "nested deeper than %d", MAX_DEPTH);
	e->depth++;
	if (t->kind == SCHEMA_ARRAY)
		ok = put_array(e, t, v);
	else if (t->kind == SCHEMA_MAP)
		ok = put_map(e, t, v);
	else if (t->kind == SCHEMA_RECORD)
		ok = put_record(e, t, v);
	else if (t->kind == SCHEMA_UNION)
		ok = put_union(e, t, v);
	e->depth--;
	return ok;
}

/* t as it stands, a union included. */
static bool put(struct jsondatum *e, const struct schema_type *t, const struct jtoken *v)
{
	switch (t->kind) {
	case SCHEMA_NULL:
		return v->kind == JTOKEN_NULL || wants(e, t, v);
	case SCHEMA_BOOLEAN:
		if (v->kind != JTOKEN_TRUE && v->kind != JTOKEN_FALSE)
			return wants(e, t, v);
		encode_bool(e->out, v->kind == JTOKEN_TRUE);
		return true;
	case SCHEMA_STRING:
		if (v->kind == JTOKEN_OBJECT || v->kind == JTOKEN_ARRAY)
			return put_json(e, v);
		return put_scalar(e, t, v);
	case SCHEMA_BYTES:
	case SCHEMA_FIXED:
		if (v->kind == JTOKEN_ARRAY && e->in_packed)
			return put_packed(e, t, v);
		return put_scalar(e, t, v);
	case SCHEMA_INT:
	case SCHEMA_LONG:
	case SCHEMA_FLOAT:
	case SCHEMA_DOUBLE:
	case SCHEMA_ENUM:
		return put_scalar(e, t, v);
	case SCHEMA_ARRAY:
	case SCHEMA_MAP:
	case SCHEMA_RECORD:
	case SCHEMA_UNION:
		return put_nested(e, t, v);
	}
	return false;
}

/* A failure leaves out as it was. */
bool jsondatum_encode(struct jsondatum *j, const struct jtape *value, struct buf *out,
		      struct err *err)
{
	size_t begin = out->len;
	j->out = out;
	j->err = err;
	j->depth = 0;
	j->in_packed = false;
	assert(j->nplaces == 0);
	err_clear(err);
	if (put(j, j->root, &value->tokens[0])) {
		err_clear(err); /* of branches that were tried in vain */
		return true;
	}
	out->len = begin;
	return false;
}

/* table NULL: no field is a vector. */
struct jsondatum *jsondatum_new(const struct schema *schema, const struct table *table)
{
	struct jsondatum *j = xcalloc(1, sizeof(*j));
	j->root = schema->root;
	j->packed = xcalloc(j->root->nfields + 1, sizeof(*j->packed));
	for (size_t i = 0; table && i < table->ncolumns; i++) {
		const struct column *c = &table->columns[i];
		bool vector = c->kind == PG_VECTOR || c->kind == PG_HALFVEC || c->dim > 0;
		j->packed[c->field] = vector;
	}
	return j;
}

bool jsondatum_packed(const struct jsondatum *j, size_t field)
{
	return j->packed[field];
}

void jsondatum_free(struct jsondatum *j)
{
	if (!j)
		return;
	free(j->packed);
	free(j->places);
	free(j);
}

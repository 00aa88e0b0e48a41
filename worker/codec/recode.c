/*
 * recode.c - a datum of a writer's schema as the datum of a reader's schema: Avro's schema
 * resolution from bytes to bytes.
 *
 *   writer:  id | ts (millis) | extra        the steps of resolve.c say what is read as what; here
 *             \       \                      it is written again, in the order of the reader
 *   reader:  ts (micros) | id | n: default
 *
 * For what is not on its way to a table but to a topic: "produce" sends every event in the stream's
 * own schema, whatever schema its file has.
 *
 * A record is read in two passes, as in decode.c: first where each of the writer's fields begins,
 * then the reader's fields in their order. Which one that is, is found once, when a step is met for
 * the first time (struct shape).
 *
 * Exact, like everything that comes out of a file: a timestamp is converted to a coarser unit only
 * if nothing is lost. The promotions of the specification (long to float) round as it allows.
 *
 * Memory: an arena of steps; scratch for the places of fields, kept. Thread: the owner's. Failure:
 * class POISON, with the way to the value.
 */
#include "codec/recode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/resolve.h"
#include "schema/encode.h"

enum { HARD_DEPTH = 512 }; /* levels are C stack */

/* A record of the writer as one of the reader. */
struct shape {
	const struct step *step; /* whose: the key of the table of shapes */
	const struct schema_type *reader;
	size_t *from; /* by field of the reader: the writer's field, or RESOLVE_NONE */
};

struct recoder {
	/* of a writer whose data are a union: one for each branch, NULL where it is another record
	 */
	struct recoder **branches;
	size_t nbranches;
	struct arena *arena;
	struct step root;     /* the writer's outermost record */
	struct shape *shapes; /* of nested records, in the order in which they were met */
	size_t nshapes, cap;
	struct shape outermost;
	struct decode_limits limits;
	const uint8_t **places; /* where fields begin, of the records that are open */
	size_t nplaces, places_cap;
	/* of one call */
	struct buf *out;
	struct err *err;
	struct refusal why;
};

static bool put(struct recoder *r, struct cursor *c, const struct step *s,
		const struct schema_type *t);

static bool fail(struct recoder *r)
{
	return err_set(r->err, ERR_POISON, "%s", r->why.text);
}

/* ---- shapes ---- */

/* resolve.c notes with each of the writer's fields the reader's name, as JSON has it: "name": */
static bool takes(const struct step_field *f, const char *name)
{
	size_t n = strlen(name);
	return f->key.len == n + 3 && memcmp(f->key.data + 1, name, n) == 0;
}

static size_t source_of(const struct step *s, const char *name)
{
	for (size_t i = 0; i < s->n; i++)
		if (takes(&s->fields[i], name))
			return i;
	return RESOLVE_NONE;
}

/* Made at the first meeting; the pointer is good until the next shape is made. */
static const struct shape *shape_of(struct recoder *r, const struct step *s)
{
	for (size_t i = 0; i < r->nshapes; i++)
		if (r->shapes[i].step == s)
			return &r->shapes[i];
	if (r->nshapes == r->cap) {
		r->cap = MAX(r->cap * 2, (size_t)8);
		r->shapes = xrealloc(r->shapes, r->cap * sizeof(*r->shapes));
	}
	struct shape *shape = &r->shapes[r->nshapes++];
	*shape = (struct shape){.step = s, .reader = s->reader};
	shape->from = arena_calloc(r->arena, s->reader->nfields + 1, sizeof(*shape->from));
	for (size_t i = 0; i < s->reader->nfields; i++)
		shape->from[i] = source_of(s, s->reader->fields[i].name);
	return shape;
}

/* ---- scalars ---- */

/* There and back has to give the same number, else the unit is too coarse. */
static bool put_integer(struct recoder *r, struct cursor *c, const struct step *s)
{
	const struct schema_type *t = s->reader;
	enum pgbin_unit unit = unit_of(t->logical);
	int64_t v, converted, back;
	if (!walk_number(c, s, &v))
		return fail(r);
	if (s->unit != unit) {
		if (!unit_convert(v, s->unit, unit, &converted))
			return err_set(r->err, ERR_POISON,
				       "it is out of range in the stream's unit");
		if (!unit_convert(converted, unit, s->unit, &back) || back != v)
			return err_set(r->err, ERR_POISON,
				       "it is finer than the stream's unit of time");
		v = converted;
	}
	if (t->kind == SCHEMA_INT && v != (int32_t)v)
		return err_set(r->err, ERR_POISON, "it is out of range for an int");
	encode_long(r->out, v);
	return true;
}

static bool put_real(struct recoder *r, struct cursor *c, const struct step *s)
{
	double d;
	if (!walk_real(c, s, &d))
		return fail(r);
	if (s->reader->kind == SCHEMA_FLOAT)
		encode_float(r->out, (float)d);
	else
		encode_double(r->out, d);
	return true;
}

static bool put_number(struct recoder *r, struct cursor *c, const struct step *s)
{
	bool real = s->reader->kind == SCHEMA_FLOAT || s->reader->kind == SCHEMA_DOUBLE;
	return real ? put_real(r, c, s) : put_integer(r, c, s);
}

/* A fixed has no length in front. */
static bool put_blob(struct recoder *r, struct cursor *c, const struct step *s)
{
	struct slice v;
	if (!walk_blob(c, s, &v))
		return fail(r);
	if (s->kind == SCHEMA_FIXED)
		buf_put(r->out, v.data, v.len);
	else
		encode_bytes(r->out, v.data, v.len);
	return true;
}

/* The step has turned the writer's index into the reader's. */
static bool put_enum(struct recoder *r, struct cursor *c, const struct step *s)
{
	uint32_t symbol;
	if (!walk_symbol(c, s, &symbol))
		return fail(r);
	encode_long(r->out, symbol);
	return true;
}

/* ---- nesting ---- */

/* Numbers of one width that stay what they are go in one piece. */
static bool put_items(struct recoder *r, struct cursor *c, const struct step *s,
		      const struct schema_type *t, uint64_t count)
{
	const uint8_t *p;
	struct slice key;
	uint8_t width = s->items->width;
	if (s->kind == SCHEMA_ARRAY && width > 0 && s->items->kind == t->items->kind) {
		if (count > (uint64_t)(c->end - c->p) / width || !walk_raw(c, count * width, &p))
			return walk_short(c) || fail(r);
		buf_put(r->out, p, count * width);
		return true;
	}
	for (uint64_t i = 0; i < count; i++) {
		if (s->kind == SCHEMA_MAP) {
			if (!walk_bytes(c, &key))
				return fail(r);
			encode_bytes(r->out, key.data, key.len);
		}
		if (!put(r, c, s->items, t->items))
			return false;
	}
	return true;
}

/* Blocks as the writer has them; stated sizes are dropped. */
static bool put_blocks(struct recoder *r, struct cursor *c, const struct step *s)
{
	struct walk_blocks blocks = {0};
	uint64_t count;
	do {
		if (!walk_block(c, &blocks, &count))
			return fail(r);
		encode_long(r->out, (int64_t)count);
		if (!put_items(r, c, s, s->reader, count))
			return false;
	} while (count > 0);
	return true;
}

/* Pass 1: places of the nested records stand behind those of the outer one. */
static bool find_places(struct recoder *r, struct cursor *c, const struct step *s, size_t base)
{
	if (base + s->n > r->places_cap) {
		r->places_cap = MAX(r->places_cap * 2, base + s->n);
		r->places = xrealloc(r->places, r->places_cap * sizeof(const uint8_t *));
	}
	r->nplaces += s->n;
	for (uint32_t i = 0; i < s->n; i++) {
		r->places[base + i] = c->p;
		if (!walk_skip(c, s->fields[i].step))
			return fail(r) || err_wrap(r->err, "field '%s'", s->fields[i].name);
	}
	return true;
}

/* Pass 2. Items are not charged again: pass 1 has counted them. */
static bool put_fields(struct recoder *r, struct cursor *c, const struct shape *shape,
		       const struct step *s, size_t base)
{
	const struct schema_type *t = shape->reader;
	const size_t *from = shape->from; /* shapes may move */
	for (size_t i = 0; i < t->nfields; i++) {
		const struct schema_field *f = &t->fields[i];
		if (from[i] == RESOLVE_NONE) {
			buf_put(r->out, f->default_datum.data, f->default_datum.len);
			continue;
		}
		struct cursor at = *c;
		at.p = r->places[base + from[i]];
		at.items = r->limits.max_items; /* they were counted when it was passed over */
		if (!put(r, &at, s->fields[from[i]].step, f->type))
			return err_wrap(r->err, "field '%s'", f->name);
	}
	return true;
}

/* Gives its places back when it is done. */
static bool put_record(struct recoder *r, struct cursor *c, const struct shape *shape,
		       const struct step *s)
{
	size_t base = r->nplaces;
	bool ok = find_places(r, c, s, base) && put_fields(r, c, shape, s, base);
	r->nplaces = base;
	return ok;
}

/* Depth is charged here, as this is where the recursion is. */
static bool put_nested(struct recoder *r, struct cursor *c, const struct step *s)
{
	if (!walk_enter(c))
		return fail(r);
	bool ok = s->kind == SCHEMA_RECORD ? put_record(r, c, shape_of(r, s), s)
					   : put_blocks(r, c, s);
	walk_leave(c);
	return ok;
}

/* ---- any value ---- */

static struct cursor cursor_on(struct recoder *r, struct slice datum)
{
	return (struct cursor){.p = datum.data,
			       .end = datum.data + datum.len,
			       .depth = MIN(r->limits.max_depth, (uint32_t)HARD_DEPTH),
			       .items = r->limits.max_items,
			       .why = &r->why};
}

/* s is no union. */
static bool put_value(struct recoder *r, struct cursor *c, const struct step *s)
{
	bool b;
	switch (s->kind) {
	case SCHEMA_NULL:
		return true;
	case SCHEMA_BOOLEAN:
		if (!walk_bool(c, &b))
			return fail(r);
		encode_bool(r->out, b);
		return true;
	case SCHEMA_INT:
	case SCHEMA_LONG:
	case SCHEMA_FLOAT:
	case SCHEMA_DOUBLE:
		return put_number(r, c, s);
	case SCHEMA_BYTES:
	case SCHEMA_STRING:
	case SCHEMA_FIXED:
		return put_blob(r, c, s);
	case SCHEMA_ENUM:
		return put_enum(r, c, s);
	case SCHEMA_ARRAY:
	case SCHEMA_MAP:
	case SCHEMA_RECORD:
		return put_nested(r, c, s);
	case SCHEMA_UNION:
		break; /* put() has followed it */
	}
	return false;
}

/* The reader's branch that the step's type stands at. */
static size_t branch_of(const struct schema_type *t, const struct step *s)
{
	size_t i = 0;
	while (i < t->nbranches && t->branches[i] != s->reader &&
	       (t->branches[i]->kind != SCHEMA_NULL || s->kind != SCHEMA_NULL))
		i++;
	return i;
}

/* t: as the reader's schema has it, a union included; the step has only the branch. */
static bool put(struct recoder *r, struct cursor *c, const struct step *s,
		const struct schema_type *t)
{
	if (!walk_branch(c, &s) || !walk_wanted(c, s))
		return fail(r);
	if (!s->reader)
		return err_set(r->err, ERR_POISON,
			       "holds a null where the schema of the stream has none");
	if (t->kind == SCHEMA_UNION)
		encode_long(r->out, (int64_t)branch_of(t, s));
	return put_value(r, c, s);
}

/* The root has no step of its own, since its fields are matched by the recoder. */
static bool recode_record(struct recoder *r, struct slice datum, struct buf *out, struct err *err)
{
	size_t begin = out->len;
	struct cursor c = cursor_on(r, datum);
	r->out = out;
	r->err = err;
	r->nplaces = 0;
	if (!find_places(r, &c, &r->root, 0))
		return false;
	if (c.p != c.end)
		return err_set(err, ERR_POISON, "%zu bytes are left behind the last field",
			       (size_t)(c.end - c.p));
	if (put_fields(r, &c, &r->outermost, &r->root, 0))
		return true;
	out->len = begin;
	return false;
}

/* Of a writer's union the branch says which record it is. */
bool recode(struct recoder *r, struct slice datum, struct buf *out, struct err *err)
{
	uint32_t index;
	struct cursor c = cursor_on(r, datum);
	if (!r->branches)
		return recode_record(r, datum, out, err);
	if (!walk_index(&c, (uint32_t)r->nbranches, "union", &index))
		return err_set(err, ERR_POISON, "which record it is: %s", r->why.text);
	if (!r->branches[index])
		return err_set(err, ERR_POISON, "it is a record of another type");
	return recode_record(r->branches[index], (struct slice){c.p, (size_t)(c.end - c.p)}, out,
			     err);
}

/* ---- compiling ---- */

/* The root's fields are the writer's; steps are filled in by the caller. */
static struct recoder *new_recoder(const struct schema_type *w, const struct decode_limits *limits)
{
	struct recoder *r = xcalloc(1, sizeof(*r));
	r->arena = arena_new();
	r->limits = *limits;
	r->root = (struct step){.kind = SCHEMA_RECORD, .n = (uint32_t)w->nfields};
	r->root.fields = arena_calloc(r->arena, w->nfields + 1, sizeof(*r->root.fields));
	for (size_t i = 0; i < w->nfields; i++)
		r->root.fields[i].name = arena_strdup(r->arena, w->fields[i].name);
	return r;
}

/* A key has no defaults: it has to be what it was. */
static bool use_default(const struct schema_field *f, bool key, struct err *err)
{
	char type[200];
	if (key || !f->default_json)
		return err_set(err, ERR_CONFIG, "the writer has no field '%s' (%s)%s", f->name,
			       schema_describe(f->type, type, sizeof(type)),
			       key ? ", which the key wants"
				   : ", and the stream's schema has no default for it");
	return !f->default_error ||
	       err_set(err, ERR_CONFIG, "field '%s': %s", f->name, f->default_error);
}

static bool resolve_field(struct resolver *k, struct recoder *r, const struct schema_field *from,
			  size_t at, const struct schema_field *to)
{
	r->root.fields[at].step = resolve(k, from->type, to->type);
	return r->root.fields[at].step ||
	       err_wrap(k->err, "writer's field '%s', stream's field '%s'", from->name, to->name);
}

/* The reader's fields, each from one of the writer's, or by default. */
static bool compile(struct resolver *k, struct recoder *r, const struct schema_type *w,
		    const struct schema_type *t, bool key)
{
	size_t *from = arena_calloc(r->arena, t->nfields + 1, sizeof(*from));
	resolve_fields(w, t, from);
	r->outermost = (struct shape){.step = &r->root, .reader = t, .from = from};
	for (size_t i = 0; i < t->nfields; i++) {
		const struct schema_field *f = &t->fields[i];
		if (from[i] == RESOLVE_NONE ? !use_default(f, key, k->err)
					    : !resolve_field(k, r, &w->fields[from[i]], from[i], f))
			return false;
	}
	return true;
}

/* Fields that nobody takes are walked over. Frees r if it was not ok. */
static struct recoder *finish(struct resolver *k, struct recoder *r, const struct schema_type *w,
			      bool ok)
{
	for (size_t i = 0; i < w->nfields && ok; i++)
		if (!r->root.fields[i].step)
			r->root.fields[i].step = resolve_skip(k, w->fields[i].type);
	free(k->pairs);
	if (ok)
		return r;
	recoder_free(r);
	return NULL;
}

static struct recoder *record_recoder(const struct schema_type *w, const struct schema_type *t,
				      const struct decode_limits *limits, struct err *err)
{
	if (w->kind != SCHEMA_RECORD || t->kind != SCHEMA_RECORD || !resolve_names_match(w, t)) {
		char a[200], b[200];
		err_set(err, ERR_CONFIG,
			"the writer has %s, which is neither the stream's %s nor one of its "
			"aliases",
			schema_describe(w, a, sizeof(a)), schema_describe(t, b, sizeof(b)));
		return NULL;
	}
	struct recoder *r = new_recoder(w, limits);
	struct resolver k = {.arena = r->arena, .err = err};
	resolve_skip(&k, w); /* in the order of definition, which bounds how deep it recurses */
	return finish(&k, r, w, compile(&k, r, w, t, false));
}

/* err has what is wrong with the last branch that is not to be had. */
static struct recoder *union_recoder(const struct schema_type *w, const struct schema_type *t,
				     const struct decode_limits *limits, struct err *err)
{
	struct recoder *r = xcalloc(1, sizeof(*r));
	bool any = false;
	r->limits = *limits;
	r->nbranches = w->nbranches;
	r->branches = xcalloc(w->nbranches, sizeof(struct recoder *));
	for (size_t i = 0; i < w->nbranches; i++) {
		r->branches[i] = record_recoder(w->branches[i], t, limits, err);
		any |= r->branches[i] != NULL;
	}
	if (any)
		return r;
	recoder_free(r);
	return NULL;
}

struct recoder *recoder_new(const struct schema *writer, const struct schema *reader,
			    const struct decode_limits *limits, struct err *err)
{
	if (writer->root->kind == SCHEMA_UNION)
		return union_recoder(writer->root, reader->root, limits, err);
	return record_recoder(writer->root, reader->root, limits, err);
}

/* A bare key is the record of one field that it would be with a record around: the same bytes. */
static const struct schema_type *as_record(struct recoder *r, const struct schema_type *w,
					   size_t field, const struct schema_type *key)
{
	if (key->kind == SCHEMA_RECORD)
		return key;
	struct schema_type *t = arena_calloc(r->arena, 1, sizeof(*t));
	t->kind = SCHEMA_RECORD;
	t->nfields = 1;
	t->fields = arena_calloc(r->arena, 1, sizeof(*t->fields));
	t->fields[0] = (struct schema_field){
		.name = arena_strdup(r->arena, w->fields[field].name),
		.type = (struct schema_type *)key,
	};
	return t;
}

/* field: the one that a bare key stands for. */
struct recoder *recoder_new_key(const struct schema *writer, const struct schema *key, size_t field,
				const struct decode_limits *limits, struct err *err)
{
	const struct schema_type *w = writer->root;
	struct recoder *r = new_recoder(w, limits);
	struct resolver k = {.arena = r->arena, .err = err};
	resolve_skip(&k, w);
	return finish(&k, r, w, compile(&k, r, w, as_record(r, w, field, key->root), true));
}

void recoder_free(struct recoder *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->nbranches; i++)
		recoder_free(r->branches[i]);
	free(r->branches);
	arena_free(r->arena);
	free(r->shapes);
	free(r->places);
	free(r);
}

/*
 * plan.c - a plan is resolution (resolve.c) seen from the columns of a table.
 *
 *   writer's record        table
 *   0: field op             column key    <- 1
 *   1: field key            column tags   <- constant: the writer lacks it; its default,
 *                                            encoded here, once
 *   2: field old            (op is no column, but says DELETE <- 0)
 *
 * A writer's field that no column takes is only skipped; its type is then nobody's business. A
 * default goes through the same code as data, from the datum that schema_parse() made of it to a
 * COPY field.
 *
 * A plan for keys has the table's key columns; the others are constant nulls.
 *
 * Which record is the stream's, where a topic has several types of them:
 *
 *   SAME       its full name or one of its aliases; where either has no namespace, its bare name
 *   NAMESAKE   its bare name in another namespace: a record that was moved, or another one. It
 *              is the stream's if it resolves, and if its union holds no SAME
 *   UNLIKE     anything else
 *
 * Failure: class CONFIG, naming the writer's field, the stream's field and both types. Memory: one
 * arena per plan. Copies what it needs of the writer; points into the table and its reader schema.
 */
#include "codec/plan.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "codec/resolve.h"

struct builder {
	struct plan *plan;
	struct resolver *k;
	const struct schema_type *writer, *reader;
	size_t *from; /* reader's field to writer's field */
};

/* --- columns --- */

static bool is_json_text(const struct schema_type *t, enum pg_kind kind)
{
	bool nullable;
	const struct schema_type *inner = schema_unwrap(t, &nullable);
	return kind == PG_JSONB && inner && inner->kind == SCHEMA_STRING;
}

/* What the table says of the column; where its value comes from is not known yet. */
static void fill_column(struct builder *b, size_t i)
{
	const struct column *c = &b->plan->table->columns[i];
	const struct schema_field *f = &b->reader->fields[c->field];
	struct plan_column *pc = &b->plan->columns[i];
	bool nullable;
	const struct schema_type *t = schema_unwrap(f->type, &nullable);
	pc->name = f->name;
	pc->slot = STEP_NO_SLOT;
	pc->on_delete = i < b->plan->table->nkeys || (int)i == b->plan->table->version;
	pc->target = (struct target){.kind = c->kind,
				     .dim = c->dim,
				     .max_chars = c->max_chars,
				     .json_text = is_json_text(f->type, c->kind),
				     .null_json = c->merge == MERGE_JSON && !c->not_null};
	pc->element_oid = (enum pgbin_oid)c->element_oid;
	pc->element = (struct target){.kind = c->element, .max_chars = c->max_chars};
	pc->element.finite = c->kind == PG_ARRAY && c->element == PG_FLOAT4;
	if (t && t->items)
		pc->element.json_text = is_json_text(t->items, c->element);
}

/* The writer's field is read as that field of the reader says. */
static bool take_field(struct builder *b, size_t from, const struct schema_field *f)
{
	struct step_field *top = &b->plan->top[from];
	top->step = resolve(b->k, b->writer->fields[from].type, f->type);
	return top->step ||
	       err_wrap(b->k->err, "writer's field '%s', stream's field '%s'", top->name, f->name);
}

static void keep_constant(struct builder *b, struct plan_column *pc, const struct buf *field)
{
	pc->constant =
		(struct slice){arena_memdup(b->plan->arena, field->data, field->len), field->len};
}

/* Encoded once, here. */
static void constant_null(struct builder *b, struct plan_column *pc)
{
	struct buf field = {0};
	pgbin_null(&field);
	keep_constant(b, pc, &field);
	buf_free(&field);
}

/* A default is a datum like any other, with limits of its own. */
static struct cursor cursor_on_default(const struct schema_field *f, struct refusal *why)
{
	return (struct cursor){.p = f->default_datum.data,
			       .end = f->default_datum.data + f->default_datum.len,
			       .depth = resolve_default_limits.max_depth,
			       .items = resolve_default_limits.max_items,
			       .why = why};
}

/* False with the reason: there is none, or it does not fit its type. */
static bool has_default(struct builder *b, const struct schema_field *f)
{
	char type[200];
	if (!f->default_json)
		return err_set(b->k->err, ERR_CONFIG,
			       "the writer has no field '%s' (%s), and the stream's schema has no "
			       "default for it",
			       f->name, schema_describe(f->type, type, sizeof(type)));
	return !f->default_error ||
	       err_set(b->k->err, ERR_CONFIG, "field '%s': %s", f->name, f->default_error);
}

/* By the code that reads data, so that a default is checked as those are. */
static bool constant_default(struct builder *b, struct plan_column *pc,
			     const struct schema_field *f)
{
	struct refusal why = {0};
	struct buf field = {0};
	if (!has_default(b, f))
		return false;
	struct cursor c = cursor_on_default(f, &why);
	const struct step *s = resolve(b->k, f->type, f->type);
	if (!s)
		return false;
	bool ok = walk_branch(&c, &s) && decode_column(pc, s, &c, &resolve_default_limits, &field);
	if (ok)
		keep_constant(b, pc, &field);
	else
		err_set(b->k->err, ERR_CONFIG, "the default of field '%s': %s", f->name, why.text);
	buf_free(&field);
	return ok;
}

/* Each from one of the writer's fields, or a constant. */
static bool add_columns(struct builder *b)
{
	const struct table *t = b->plan->table;
	bool ok = true;
	for (size_t i = 0; i < t->ncolumns && ok; i++) {
		struct plan_column *pc = &b->plan->columns[i];
		const struct schema_field *f = &b->reader->fields[t->columns[i].field];
		size_t from = b->from[t->columns[i].field];
		fill_column(b, i);
		if (from == RESOLVE_NONE) {
			ok = constant_default(b, pc, f);
		} else {
			pc->slot = (uint32_t)from;
			ok = take_field(b, from, f);
		}
	}
	return ok;
}

/* --- the field that says DELETE --- */

/* The writer lacks the field: its default says of all events whether they delete. */
static bool default_op(struct builder *b, const struct schema_field *f)
{
	struct refusal why = {0};
	uint32_t symbol;
	if (!has_default(b, f))
		return false;
	struct cursor c = cursor_on_default(f, &why);
	const struct step *s = resolve(b->k, f->type, f->type);
	if (!s)
		return false;
	if (walk_branch(&c, &s) && s->kind == SCHEMA_ENUM &&
	    walk_index(&c, s->n, "enum", &symbol) && symbol == b->plan->table->delete_symbol)
		b->plan->op = RECORD_DELETE;
	return true;
}

/* The field that says what an event is need not be a column. */
static bool add_delete(struct builder *b)
{
	const struct table *t = b->plan->table;
	if (t->delete_field < 0)
		return true;
	const struct schema_field *f = &b->reader->fields[t->delete_field];
	size_t from = b->from[t->delete_field];
	if (from == RESOLVE_NONE)
		return default_op(b, f);
	b->plan->delete_slot = (uint32_t)from; /* it may be a column as well */
	return b->plan->top[from].step || take_field(b, from, f);
}

/* --- one record --- */

/* A bare key is one field, called "key" in messages. */
static void add_top(struct builder *b, size_t n)
{
	b->plan->ntop = (uint32_t)n;
	b->plan->top = arena_calloc(b->plan->arena, n + 1, sizeof(*b->plan->top));
	b->plan->top[0].name = "key";
	for (size_t i = 0; i < n && b->writer->kind == SCHEMA_RECORD; i++)
		b->plan->top[i].name = arena_strdup(b->plan->arena, b->writer->fields[i].name);
}

/* Fields that nobody takes are walked over by the writer's type alone. */
static void skip_the_rest(struct builder *b)
{
	for (uint32_t i = 0; i < b->plan->ntop; i++)
		if (!b->plan->top[i].step)
			b->plan->top[i].step = resolve_skip(b->k, b->writer->fields[i].type);
}

static struct builder new_builder(struct resolver *k, struct plan *p, const struct schema_type *w)
{
	struct builder b = {.plan = p, .k = k, .writer = w, .reader = p->table->reader->root};
	b.from = xcalloc(b.reader->nfields + 1, sizeof(*b.from));
	p->columns = arena_calloc(p->arena, p->table->ncolumns, sizeof(*p->columns));
	return b;
}

/* b.from is needed while the columns are found, and no longer. */
static bool add_row(struct resolver *k, struct plan *p, const struct schema_type *w)
{
	struct builder b = new_builder(k, p, w);
	resolve_fields(w, b.reader, b.from);
	add_top(&b, w->nfields);
	bool ok = add_columns(&b) && add_delete(&b);
	if (ok)
		skip_the_rest(&b);
	free(b.from);
	return ok;
}

/* --- one key --- */

/* A key's field is named like the stream's field, one of its aliases, or the column. */
static bool add_key_column(struct builder *b, size_t i)
{
	const struct column *c = &b->plan->table->columns[i];
	const struct schema_field *f = &b->reader->fields[c->field];
	struct plan_column *pc = &b->plan->columns[i];
	size_t from = b->from[c->field];
	for (size_t j = 0; from == RESOLVE_NONE && j < b->writer->nfields; j++)
		if (strcmp(b->writer->fields[j].name, c->name) == 0 && !b->plan->top[j].step)
			from = j;
	if (from == RESOLVE_NONE)
		return err_set(b->k->err, ERR_CONFIG, "the key has no field '%s'", f->name);
	pc->slot = (uint32_t)from;
	return take_field(b, from, f);
}

/* A key that is no record can only be one column. */
static bool add_bare_key(struct builder *b)
{
	struct plan_column *pc = &b->plan->columns[0];
	const struct schema_field *f = &b->reader->fields[b->plan->table->columns[0].field];
	if (b->plan->table->nkeys != 1)
		return err_set(b->k->err, ERR_CONFIG,
			       "the key is one %s, the table has %zu key columns",
			       schema_kind_name(b->writer->kind), b->plan->table->nkeys);
	pc->slot = 0;
	b->plan->top[0].step = resolve(b->k, b->writer, f->type);
	return b->plan->top[0].step || err_wrap(b->k->err, "the key, stream's field '%s'", f->name);
}

/* Only key columns have values; a delete needs no others. */
static bool add_key_row(struct resolver *k, struct plan *p, const struct schema_type *w)
{
	struct builder b = new_builder(k, p, w);
	bool record = w->kind == SCHEMA_RECORD, ok = true;
	add_top(&b, record ? w->nfields : 1);
	if (record)
		resolve_fields(w, b.reader, b.from);
	for (size_t i = 0; i < p->table->ncolumns && ok; i++) {
		fill_column(&b, i);
		if (i >= p->table->nkeys)
			constant_null(&b, &p->columns[i]);
		else if (record)
			ok = add_key_column(&b, i);
	}
	ok = ok && (record || add_bare_key(&b));
	if (ok)
		skip_the_rest(&b);
	free(b.from);
	return ok;
}

/* --- which record --- */

enum likeness { UNLIKE, NAMESAKE, SAME };

static bool has_namespace(const struct schema_type *t)
{
	return t->name != t->full_name;
}

/* Whether the writer's record is the stream's: see the essay. */
static enum likeness likeness(const struct schema_type *w, const struct schema_type *r)
{
	if (w->kind != SCHEMA_RECORD || !resolve_names_match(w, r))
		return UNLIKE;
	if (!has_namespace(w) || !has_namespace(r) || strcmp(w->full_name, r->full_name) == 0)
		return SAME;
	for (size_t i = 0; i < r->naliases; i++)
		if (strcmp(r->aliases[i], w->full_name) == 0)
			return SAME;
	return NAMESAKE;
}

/* What a schema is compiled for. */
struct task {
	struct resolver k;
	const struct table *table;
	const struct schema_type *like; /* the stream's record, or that of its keys; or NULL */
	bool key;
	enum likeness least; /* what is less like it is another record */
};

/* The error that has just been found says why. */
static void set_aside(struct task *t, struct plan *p, enum plan_shape shape)
{
	p->shape = shape;
	p->why = arena_strdup(t->k.arena, t->k.err->text);
	if (t->k.nnotes++ == 0)
		t->k.note = p->why;
	t->k.differs = false;
	err_clear(t->k.err);
}

/* A record of the stream's own name that does not resolve is an error of the schema. */
static bool add_value(struct task *t, struct plan *p, const struct schema_type *w)
{
	char type[200];
	assert(t->like);
	enum likeness l = likeness(w, t->like);
	if (l >= t->least && add_row(&t->k, p, w))
		return true;
	if (l == SAME)
		return false;
	if (l < t->least)
		err_set(t->k.err, ERR_CONFIG, "the writer has %s, the stream's schema record %s",
			schema_describe(w, type, sizeof(type)), t->like->full_name);
	set_aside(t, p, PLAN_OTHER);
	return true;
}

/* Keys are known by their fields: a name only tells whether one that does not fit should. */
static bool add_key(struct task *t, struct plan *p, const struct schema_type *w)
{
	if (add_key_row(&t->k, p, w))
		return true;
	if (!t->like || w->kind != SCHEMA_RECORD || likeness(w, t->like) == SAME)
		return false;
	set_aside(t, p, PLAN_OTHER);
	return true;
}

static bool add_type(struct task *t, struct plan *p, const struct schema_type *w)
{
	return t->key ? add_key(t, p, w) : add_value(t, p, w);
}

/* --- the whole --- */

static struct plan new_plan(const struct table *table, struct arena *arena, bool key)
{
	return (struct plan){.table = table,
			     .arena = arena,
			     .op = key ? RECORD_DELETE : RECORD_UPSERT,
			     .delete_slot = STEP_NO_SLOT};
}

/* A branch that should fit and does not is an error of the data that have it. */
static void add_branches(struct task *t, struct plan *p, const struct schema_type *w)
{
	p->shape = PLAN_CHOICE;
	p->nbranches = (uint32_t)w->nbranches;
	p->branches = arena_calloc(p->arena, w->nbranches, sizeof(*p->branches));
	for (size_t i = 0; i < w->nbranches; i++)
		if (t->like && likeness(w->branches[i], t->like) == SAME)
			t->least = SAME;
	for (size_t i = 0; i < w->nbranches; i++) {
		p->branches[i] = new_plan(p->table, p->arena, t->key);
		if (!add_type(t, &p->branches[i], w->branches[i]))
			set_aside(t, &p->branches[i], PLAN_MISFIT);
	}
}

/* The first thing that the reader cannot take, and how many more there are. */
static void keep_note(const struct resolver *k, struct plan *p)
{
	p->note = k->note;
	if (k->nnotes <= 1)
		return;
	char *text = xasprintf("%s (and %zu more)", k->note, k->nnotes - 1);
	p->note = arena_strdup(p->arena, text);
	free(text);
}

/* A bare key may be a union, like any value of a field. */
static bool is_choice(const struct task *t, const struct schema_type *w)
{
	bool records = false;
	for (size_t i = 0; w->kind == SCHEMA_UNION && i < w->nbranches; i++)
		records |= w->branches[i]->kind == SCHEMA_RECORD;
	return records || (w->kind == SCHEMA_UNION && !t->key);
}

/* For values and for keys; what fails leaves no plan. */
static struct plan *compile(struct task *t, const struct schema_type *w, struct err *err)
{
	struct plan *p = xcalloc(1, sizeof(*p));
	*p = new_plan(t->table, arena_new(), t->key);
	t->k = (struct resolver){.arena = p->arena, .err = err};
	/*
	 * Meets every record of the writer in the order of definition, which bounds how deep
	 * resolve_skip() recurses.
	 */
	resolve_skip(&t->k, w);
	bool ok = true;
	if (is_choice(t, w))
		add_branches(t, p, w);
	else
		ok = add_type(t, p, w);
	free(t->k.pairs);
	if (ok) {
		keep_note(&t->k, p);
		return p;
	}
	err_wrap(err, "the writer's schema does not fit table %s", table_full_name(t->table));
	plan_free(p);
	return NULL;
}

struct plan *plan_new(const struct schema *writer, const struct table *table, struct err *err)
{
	struct task t = {.table = table, .like = table->reader->root, .least = NAMESAKE};
	return compile(&t, writer->root, err);
}

/* own: the key's own schema, whose name says whether a key should fit. */
struct plan *plan_new_key(const struct schema *writer, const struct table *table,
			  const struct schema *own, struct err *err)
{
	struct task t = {.table = table, .key = true};
	if (own && own->root->kind == SCHEMA_RECORD)
		t.like = own->root;
	return compile(&t, writer->root, err);
}

const char *plan_note(const struct plan *p)
{
	return p->note;
}

void plan_free(struct plan *p)
{
	if (!p)
		return;
	arena_free(p->arena);
	free(p);
}

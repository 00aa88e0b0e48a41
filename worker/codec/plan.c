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
 * Failure: class CONFIG, naming the writer's field, the stream's field and both types. Memory: one
 * arena per plan. Copies what it needs of the writer; points into the table and its reader schema.
 */
#include "codec/plan.h"

#include <stdlib.h>
#include <string.h>

#include "codec/resolve.h"

struct builder {
	struct plan *plan;
	struct resolver k;
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
	top->step = resolve(&b->k, b->writer->fields[from].type, f->type);
	return top->step ||
	       err_wrap(b->k.err, "writer's field '%s', stream's field '%s'", top->name, f->name);
}

static void keep_constant(struct builder *b, struct plan_column *pc, const struct buf *field)
{
	pc->constant =
		(struct slice){arena_memdup(b->plan->arena, field->data, field->len), field->len};
}

static void constant_null(struct builder *b, struct plan_column *pc)
{
	struct buf field = {0};
	pgbin_null(&field);
	keep_constant(b, pc, &field);
	buf_free(&field);
}

static struct cursor cursor_on_default(const struct schema_field *f, struct refusal *why)
{
	return (struct cursor){.p = f->default_datum.data,
			       .end = f->default_datum.data + f->default_datum.len,
			       .depth = resolve_default_limits.max_depth,
			       .items = resolve_default_limits.max_items,
			       .why = why};
}

static bool has_default(struct builder *b, const struct schema_field *f)
{
	char type[200];
	if (!f->default_json)
		return err_set(b->k.err, ERR_CONFIG,
			       "the writer has no field '%s' (%s), and the stream's schema has no "
			       "default for it",
			       f->name, schema_describe(f->type, type, sizeof(type)));
	return !f->default_error ||
	       err_set(b->k.err, ERR_CONFIG, "field '%s': %s", f->name, f->default_error);
}

static bool constant_default(struct builder *b, struct plan_column *pc,
			     const struct schema_field *f)
{
	struct refusal why = {0};
	struct buf field = {0};
	if (!has_default(b, f))
		return false;
	struct cursor c = cursor_on_default(f, &why);
	const struct step *s = resolve(&b->k, f->type, f->type);
	if (!s)
		return false;
	bool ok = walk_branch(&c, &s) && decode_column(pc, s, &c, &resolve_default_limits, &field);
	if (ok)
		keep_constant(b, pc, &field);
	else
		err_set(b->k.err, ERR_CONFIG, "the default of field '%s': %s", f->name, why.text);
	buf_free(&field);
	return ok;
}

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

static bool default_op(struct builder *b, const struct schema_field *f)
{
	struct refusal why = {0};
	uint32_t symbol;
	if (!has_default(b, f))
		return false;
	struct cursor c = cursor_on_default(f, &why);
	const struct step *s = resolve(&b->k, f->type, f->type);
	if (!s)
		return false;
	if (walk_branch(&c, &s) && s->kind == SCHEMA_ENUM &&
	    walk_index(&c, s->n, "enum", &symbol) && symbol == b->plan->table->delete_symbol)
		b->plan->op = RECORD_DELETE;
	return true;
}

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

/* --- the whole --- */

static struct plan *new_plan(const struct table *table)
{
	struct plan *p = xcalloc(1, sizeof(*p));
	p->table = table;
	p->arena = arena_new();
	p->op = RECORD_UPSERT;
	p->delete_slot = STEP_NO_SLOT;
	p->columns = arena_calloc(p->arena, table->ncolumns, sizeof(*p->columns));
	return p;
}

static void add_top(struct builder *b, size_t n)
{
	b->plan->ntop = (uint32_t)n;
	b->plan->top = arena_calloc(b->plan->arena, n + 1, sizeof(*b->plan->top));
	b->plan->top[0].name = "key";
	for (size_t i = 0; i < n && b->writer->kind == SCHEMA_RECORD; i++)
		b->plan->top[i].name = arena_strdup(b->plan->arena, b->writer->fields[i].name);
}

static void skip_the_rest(struct builder *b)
{
	for (uint32_t i = 0; i < b->plan->ntop; i++)
		if (!b->plan->top[i].step)
			b->plan->top[i].step = resolve_skip(&b->k, b->writer->fields[i].type);
}

static struct plan *finish(struct builder *b, bool ok)
{
	free(b->from);
	free(b->k.pairs);
	if (ok)
		return b->plan;
	err_wrap(b->k.err, "the writer's schema does not fit table %s",
		 table_full_name(b->plan->table));
	plan_free(b->plan);
	return NULL;
}

static struct builder new_builder(const struct schema *writer, const struct table *table,
				  struct err *err)
{
	struct builder b = {
		.plan = new_plan(table), .writer = writer->root, .reader = table->reader->root};
	b.k = (struct resolver){.arena = b.plan->arena, .err = err};
	b.from = xcalloc(b.reader->nfields + 1, sizeof(*b.from));
	/*
	 * Meets every record of the writer in the order of definition, which bounds how deep
	 * resolve_skip() recurses.
	 */
	resolve_skip(&b.k, b.writer);
	return b;
}

static bool check_root(struct builder *b)
{
	if (b->writer->kind != SCHEMA_RECORD)
		return err_set(b->k.err, ERR_CONFIG,
			       "the writer has %s, the stream's schema record %s",
			       schema_kind_name(b->writer->kind), b->reader->full_name);
	return resolve_names_match(b->writer, b->reader) ||
	       err_set(b->k.err, ERR_CONFIG,
		       "the writer's record %s is neither %s nor one of its aliases",
		       b->writer->full_name, b->reader->full_name);
}

struct plan *plan_new(const struct schema *writer, const struct table *table, struct err *err)
{
	struct builder b = new_builder(writer, table, err);
	if (!check_root(&b))
		return finish(&b, false);
	resolve_fields(b.writer, b.reader, b.from);
	add_top(&b, b.writer->nfields);
	bool ok = add_columns(&b) && add_delete(&b);
	if (ok)
		skip_the_rest(&b);
	return finish(&b, ok);
}

/* --- keys --- */

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
		return err_set(b->k.err, ERR_CONFIG, "the key has no field '%s'", f->name);
	pc->slot = (uint32_t)from;
	return take_field(b, from, f);
}

static bool add_bare_key(struct builder *b)
{
	struct plan_column *pc = &b->plan->columns[0];
	const struct schema_field *f = &b->reader->fields[b->plan->table->columns[0].field];
	if (b->plan->table->nkeys != 1)
		return err_set(b->k.err, ERR_CONFIG,
			       "the key is one %s, the table has %zu key columns",
			       schema_kind_name(b->writer->kind), b->plan->table->nkeys);
	pc->slot = 0;
	b->plan->top[0].step = resolve(&b->k, b->writer, f->type);
	return b->plan->top[0].step || err_wrap(b->k.err, "the key, stream's field '%s'", f->name);
}

struct plan *plan_new_key(const struct schema *writer, const struct table *table, struct err *err)
{
	struct builder b = new_builder(writer, table, err);
	bool record = b.writer->kind == SCHEMA_RECORD, ok = true;
	b.plan->op = RECORD_DELETE;
	add_top(&b, record ? b.writer->nfields : 1);
	if (record)
		resolve_fields(b.writer, b.reader, b.from);
	for (size_t i = 0; i < table->ncolumns && ok; i++) {
		fill_column(&b, i);
		if (i >= table->nkeys)
			constant_null(&b, &b.plan->columns[i]);
		else if (record)
			ok = add_key_column(&b, i);
	}
	ok = ok && (record || add_bare_key(&b));
	if (ok)
		skip_the_rest(&b);
	return finish(&b, ok);
}

void plan_free(struct plan *p)
{
	if (!p)
		return;
	arena_free(p->arena);
	free(p);
}

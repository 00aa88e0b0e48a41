/*
 * resolve.c - does what the writer wrote fit what the reader expects, and how is it to be read?
 *
 * Avro 1.11 specification, "Schema Resolution", all of it, decided at compile time wherever types
 * alone decide:
 *
 *   same kind                       records, enums and fixed also by name (last part, or an alias
 *                                   of the reader's)
 *   int -> long -> float -> double  any step to the right; string <-> bytes
 *   record                          field by field, by name, then alias; a field that the writer
 *                                   lacks has its default
 *   enum                            symbol by symbol; unknown ones are the reader's default
 *   union                           a writer's branch is resolved by itself; of a reader's union
 *                                   the branch of the same type, else the first that the value can
 *                                   be promoted to
 *
 * As the specification has it, a writer's branch or symbol that the reader cannot take is no fault
 * of the schema but of each datum that uses it: such a branch becomes a step that skips the value
 * and refuses it where it is wanted. Only where nothing at all can be read (no branch of a union,
 * no symbol of an enum) the schemas do not resolve. What the reader cannot take is noted, so that
 * somebody can be told before an event uses it. Null, where the reader has none, is refused for a
 * reason of its own: it is what "missing_field" is for.
 *
 * Logical types: the specification ignores them in resolution (but for decimals). Two of one family
 * are converted (timestamp-millis read as timestamp-micros is the same instant); two of different
 * families are an error, for date and time would trade places silently. Where the writer has none,
 * the reader's counts, and where the reader has none, the plain number does. A writer's that is not
 * valid is held against the reader's all the same, by what it claims (schema/logical.c): with the
 * same family, unit and scale the value is sure; else it is an error, and never the reader's scale.
 * That somebody counts otherwise than the stream is for a person to see: if but for nulls it is all
 * that a union holds, it is an error of the schema too.
 *
 * Records that hold themselves: each pair (writer's, reader's) of records has one step, entered
 * before its fields are resolved. Where they then do not resolve, the step itself becomes one that
 * refuses, as steps met meanwhile may point to it.
 */
#include "codec/resolve.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_RESOLVE_DEPTH = 1000 };

struct resolve_pair {
	const struct schema_type *w, *r; /* r NULL: skipped */
	struct step *step;
	bool differs; /* see struct resolver; of a step that refuses */
};

const struct decode_limits resolve_default_limits = {.max_depth = SCHEMA_MAX_DEPTH,
						     .max_items = 1000000,
						     .max_string_bytes = 4 * SCHEMA_MAX_BYTES,
						     .max_row_bytes = 16 * SCHEMA_MAX_BYTES,
						     .max_key_bytes = SCHEMA_MAX_BYTES};

/* r NULL: nobody reads the value. */
static struct step *new_step(struct resolver *k, const struct schema_type *w,
			     const struct schema_type *r)
{
	struct step *s = arena_calloc(k->arena, 1, sizeof(*s));
	s->kind = w->kind;
	s->reader = r;
	s->size = w->size;
	s->width = w->kind == SCHEMA_FLOAT ? 4 : w->kind == SCHEMA_DOUBLE ? 8 : 0;
	return s;
}

/* A list is enough: a schema has few records. */
static struct resolve_pair *find_pair(const struct resolver *k, const struct schema_type *w,
				      const struct schema_type *r)
{
	for (size_t i = 0; i < k->npairs; i++)
		if (k->pairs[i].w == w && k->pairs[i].r == r)
			return &k->pairs[i];
	return NULL;
}

/* Entered among the pairs before its fields are resolved, as they may hold it. */
static struct step *new_record(struct resolver *k, const struct schema_type *w,
			       const struct schema_type *r)
{
	struct step *s = new_step(k, w, r);
	if (k->npairs == k->cap) {
		k->cap = MAX(k->cap * 2, 16);
		k->pairs = xrealloc(k->pairs, k->cap * sizeof(*k->pairs));
	}
	k->pairs[k->npairs++] = (struct resolve_pair){.w = w, .r = r, .step = s};
	s->n = (uint32_t)w->nfields;
	s->fields = arena_calloc(k->arena, w->nfields + 1, sizeof(*s->fields));
	for (size_t i = 0; i < w->nfields; i++)
		s->fields[i] =
			(struct step_field){.name = arena_strdup(k->arena, w->fields[i].name)};
	return s;
}

/* --- skipping --- */

/* Once per record, so that one that holds itself ends. */
static struct step *skip_record(struct resolver *k, const struct schema_type *w)
{
	const struct resolve_pair *met = find_pair(k, w, NULL);
	if (met)
		return met->step;
	struct step *s = new_record(k, w, NULL);
	for (size_t i = 0; i < w->nfields; i++)
		s->fields[i].step = resolve_skip(k, w->fields[i].type);
	return s;
}

/*
 * The recursion is as deep as the schema's text at most: parts of a schema refer by name only to
 * what was defined before them, and what was defined before them has been met before them here,
 * too.
 */
struct step *resolve_skip(struct resolver *k, const struct schema_type *w)
{
	if (w->kind == SCHEMA_RECORD)
		return skip_record(k, w);
	struct step *s = new_step(k, w, NULL);
	if (w->items)
		s->items = resolve_skip(k, w->items);
	s->n = (uint32_t)(w->kind == SCHEMA_ENUM ? w->nsymbols : w->nbranches);
	if (w->kind == SCHEMA_UNION)
		s->branches = arena_calloc(k->arena, w->nbranches, sizeof(struct step *));
	for (size_t i = 0; i < w->nbranches; i++)
		s->branches[i] = resolve_skip(k, w->branches[i]);
	return s;
}

/* --- refusing --- */

/* The first is kept, the others are counted. */
static void note(struct resolver *k, const char *text)
{
	if (k->nnotes++ == 0)
		k->note = arena_strdup(k->arena, text);
}

/*
 * The error that has just been found is one of each datum. The step is a record of one field, which
 * is nothing on the wire: so whoever looks for a text or a number passes it by.
 */
static struct step *refuse_branch(struct resolver *k, const struct schema_type *w)
{
	struct step *s = arena_calloc(k->arena, 1, sizeof(*s));
	s->kind = SCHEMA_RECORD;
	s->n = 1;
	s->fields = arena_calloc(k->arena, 1, sizeof(*s->fields));
	s->fields[0] = (struct step_field){.name = "", .step = resolve_skip(k, w)};
	s->refusal = arena_strdup(k->arena, k->err->text);
	note(k, s->refusal);
	err_clear(k->err);
	return s;
}

/* --- matching --- */

/* The usual error: both types in words, and why. */
static struct step *mismatch(struct resolver *k, const struct schema_type *w,
			     const struct schema_type *r, const char *why)
{
	char a[200], b[200];
	err_set(k->err, ERR_CONFIG, "the writer has %s, the stream's schema %s%s",
		schema_describe(w, a, sizeof(a)), schema_describe(r, b, sizeof(b)), why);
	return NULL;
}

static const char *last_part(const char *full)
{
	const char *dot = strrchr(full, '.');
	return dot ? dot + 1 : full;
}

/* Without namespaces, as the specification allows. */
bool resolve_names_match(const struct schema_type *w, const struct schema_type *r)
{
	if (strcmp(w->name, r->name) == 0)
		return true;
	for (size_t i = 0; i < r->naliases; i++)
		if (strcmp(r->aliases[i], w->full_name) == 0 ||
		    strcmp(last_part(r->aliases[i]), w->name) == 0)
			return true;
	return false;
}

/* To the right in int, long, float, double; strings and bytes both ways. */
static bool promotes(enum schema_kind w, enum schema_kind r)
{
	bool number =
		w >= SCHEMA_INT && w <= SCHEMA_DOUBLE && r >= SCHEMA_INT && r <= SCHEMA_DOUBLE;
	bool blob = (w == SCHEMA_STRING && r == SCHEMA_BYTES) ||
		    (w == SCHEMA_BYTES && r == SCHEMA_STRING);
	return (number && w < r) || blob;
}

/* Types that are no unions: may a w be read as an r, as far as the outside shows? */
static bool matches(const struct schema_type *w, const struct schema_type *r)
{
	if (w->kind != r->kind)
		return promotes(w->kind, r->kind);
	if (w->full_name && !resolve_names_match(w, r))
		return false;
	return w->kind != SCHEMA_FIXED || w->size == r->size;
}

/* Equal without promotion: of two that are, one with the same namespace is the better. */
static int closeness(const struct schema_type *w, const struct schema_type *r)
{
	if (w->kind != r->kind)
		return 1;
	return w->full_name && strcmp(w->full_name, r->full_name) == 0 ? 3 : 2;
}

/* The same type if there is one, else the first that it can be promoted to. */
static const struct schema_type *best_branch(const struct schema_type *w,
					     const struct schema_type *r)
{
	const struct schema_type *best = NULL;
	for (size_t i = 0; i < r->nbranches; i++)
		if (matches(w, r->branches[i]) &&
		    (!best || closeness(w, r->branches[i]) > closeness(w, best)))
			best = r->branches[i];
	return best;
}

enum family { NO_FAMILY, DATES, TIMES, INSTANTS, LOCAL_TIMES, UUIDS, DECIMALS, DURATIONS };

/* Within a family values can be converted; between two they would change their meaning. */
static enum family family_of(enum schema_logical logical)
{
	static const enum family families[] = {
		[LOGICAL_NONE] = NO_FAMILY,
		[LOGICAL_DATE] = DATES,
		[LOGICAL_TIME_MILLIS] = TIMES,
		[LOGICAL_TIME_MICROS] = TIMES,
		[LOGICAL_TIMESTAMP_MILLIS] = INSTANTS,
		[LOGICAL_TIMESTAMP_MICROS] = INSTANTS,
		[LOGICAL_TIMESTAMP_NANOS] = INSTANTS,
		[LOGICAL_LOCAL_MILLIS] = LOCAL_TIMES,
		[LOGICAL_LOCAL_MICROS] = LOCAL_TIMES,
		[LOGICAL_LOCAL_NANOS] = LOCAL_TIMES,
		[LOGICAL_UUID] = UUIDS,
		[LOGICAL_DECIMAL] = DECIMALS,
		[LOGICAL_DURATION] = DURATIONS,
	};
	return families[logical];
}

/* A scale that nobody can read is no scale; a precision only bounds, and data are held to it. */
static bool decimals_match(const struct schema_claim *w, const struct schema_type *r)
{
	return w->scale == (int64_t)r->scale &&
	       (w->precision == SCHEMA_UNCLEAR || w->precision <= (int64_t)r->precision);
}

/* By what the writer says, be it valid or not. */
static bool logicals_match(const struct schema_type *w, const struct schema_type *r)
{
	enum family a = family_of(w->claim.logical), b = family_of(r->logical);
	if (b == NO_FAMILY)
		return true;
	if (!w->claim.text) /* but the digits of a text are no number's bytes */
		return b != DECIMALS || w->kind != SCHEMA_STRING;
	if (a == NO_FAMILY) /* a name that we do not know; the text of a uuid speaks for itself */
		return b == UUIDS && r->kind == SCHEMA_STRING;
	return a == b && (a != DECIMALS || decimals_match(&w->claim, r));
}

/* --- records --- */

static size_t writer_field(const struct schema_type *w, const char *name)
{
	for (size_t i = 0; i < w->nfields; i++)
		if (strcmp(w->fields[i].name, name) == 0)
			return i;
	return RESOLVE_NONE;
}

/* A writer's field that a name has taken is not taken again. */
static size_t by_alias(const struct schema_type *w, const struct schema_type *r, size_t field,
		       const bool *taken)
{
	const struct schema_field *f = &r->fields[field];
	for (size_t i = 0; i < f->naliases; i++) {
		size_t at = writer_field(w, f->aliases[i]);
		if (at != RESOLVE_NONE && !taken[at])
			return at;
	}
	return RESOLVE_NONE;
}

/* All names first: a name goes before an alias, whatever the order of fields. */
void resolve_fields(const struct schema_type *w, const struct schema_type *r, size_t *from)
{
	bool *taken = xcalloc(w->nfields + 1, sizeof(*taken));
	for (size_t i = 0; i < r->nfields; i++) {
		from[i] = writer_field(w, r->fields[i].name);
		if (from[i] != RESOLVE_NONE)
			taken[from[i]] = true;
	}
	for (size_t i = 0; i < r->nfields; i++) {
		if (from[i] == RESOLVE_NONE)
			from[i] = by_alias(w, r, i, taken);
		if (from[i] != RESOLVE_NONE)
			taken[from[i]] = true;
	}
	free(taken);
}

static struct slice keep(struct resolver *k, struct buf *text)
{
	struct slice kept = {
		arena_memdup(k->arena, text->data ? (void *)text->data : "", text->len), text->len};
	buf_free(text);
	return kept;
}

/* ,"name":default as JSON, for a field of a nested record that the writer lacks. */
static bool add_default(struct resolver *k, const struct schema_field *f, struct buf *rest)
{
	struct refusal why = {0};
	char type[200];
	if (!f->default_json)
		return err_set(k->err, ERR_CONFIG,
			       "the writer lacks field '%s' (%s), which has no default", f->name,
			       schema_describe(f->type, type, sizeof(type)));
	if (f->default_error)
		return err_set(k->err, ERR_CONFIG, "field '%s': %s", f->name, f->default_error);
	struct step *s = resolve(k, f->type, f->type);
	if (!s)
		return false;
	buf_printf(rest, "%s\"%s\":", rest->len > 0 ? "," : "", f->name);
	struct cursor c = {.p = f->default_datum.data,
			   .end = f->default_datum.data + f->default_datum.len,
			   .depth = resolve_default_limits.max_depth,
			   .items = resolve_default_limits.max_items,
			   .why = &why};
	struct jsonout j = {
		.out = rest, .start = rest->len, .max = resolve_default_limits.max_string_bytes};
	return jsonout_value(&j, &c, s) ||
	       err_set(k->err, ERR_CONFIG, "the default of field '%s': %s", f->name, why.text);
}

/* What the writer lacks becomes JSON text, for who writes the record as JSON (jsonout.c). */
static bool resolve_record_fields(struct resolver *k, const struct schema_type *w,
				  const struct schema_type *r, const size_t *from, struct step *s)
{
	struct buf rest = {0};
	bool ok = true;
	for (size_t i = 0; i < r->nfields && ok; i++) {
		if (from[i] == RESOLVE_NONE) {
			ok = add_default(k, &r->fields[i], &rest);
			continue;
		}
		struct step_field *f = &s->fields[from[i]];
		struct buf key = {0};
		buf_printf(&key, "\"%s\":", r->fields[i].name);
		f->key = keep(k, &key);
		f->step = resolve(k, w->fields[from[i]].type, r->fields[i].type);
		ok = f->step || err_wrap(k->err, "writer's field '%s', stream's field '%s'",
					 f->name, r->fields[i].name);
	}
	s->rest = keep(k, &rest);
	for (size_t i = 0; i < w->nfields && ok; i++)
		if (!s->fields[i].step)
			s->fields[i].step = resolve_skip(k, w->fields[i].type);
	return ok;
}

/* A record that turned out not to resolve: steps met meanwhile may point to it. */
static void spoil(struct resolver *k, const struct schema_type *w, const struct schema_type *r)
{
	struct resolve_pair *pair = find_pair(k, w, r);
	struct step *s = pair->step;
	pair->differs = k->differs;
	s->reader = NULL;
	s->refusal = arena_strdup(k->arena, k->err->text);
	for (size_t i = 0; i < w->nfields; i++)
		s->fields[i].step = resolve_skip(k, w->fields[i].type);
}

/* A pair that did not resolve says so again, with its first reason. */
static struct step *met_before(struct resolver *k, const struct resolve_pair *pair)
{
	if (!pair->step->refusal)
		return pair->step;
	k->differs = pair->differs;
	err_set(k->err, ERR_CONFIG, "%s", pair->step->refusal);
	return NULL;
}

/* The pair is there before the fields are resolved. */
static struct step *resolve_record(struct resolver *k, const struct schema_type *w,
				   const struct schema_type *r)
{
	const struct resolve_pair *met = find_pair(k, w, r);
	if (met)
		return met_before(k, met);
	struct step *s = new_record(k, w, r);
	size_t *from = xcalloc(r->nfields + 1, sizeof(*from));
	resolve_fields(w, r, from);
	bool ok = resolve_record_fields(k, w, r, from, s);
	free(from);
	if (!ok)
		spoil(k, w, r);
	return ok ? s : NULL;
}

/* --- other types --- */

static int32_t find_symbol(const struct schema_type *r, const char *symbol)
{
	for (size_t i = 0; i < r->nsymbols; i++)
		if (strcmp(r->symbols[i], symbol) == 0)
			return (int32_t)i;
	return r->default_symbol;
}

/* A symbol that the reader cannot take is refused where a datum has it. */
static const char *refuse_symbol(struct resolver *k, const struct schema_type *w,
				 const char *symbol)
{
	err_set(k->err, ERR_CONFIG,
		"symbol '%s' of the writer's enum %s is not in the stream's, which has no default",
		symbol, w->full_name);
	note(k, k->err->text);
	return arena_strdup(k->arena, k->err->text);
}

/* Fails only if no symbol at all can be taken. */
static struct step *resolve_enum(struct resolver *k, const struct schema_type *w,
				 const struct schema_type *r)
{
	struct step *s = new_step(k, w, r);
	struct step_symbol *symbols = arena_calloc(k->arena, w->nsymbols, sizeof(*symbols));
	bool some = false;
	for (size_t i = 0; i < w->nsymbols; i++) {
		int32_t at = find_symbol(r, w->symbols[i]);
		if (at < 0)
			symbols[i].refusal = refuse_symbol(k, w, w->symbols[i]);
		else
			symbols[i].at = (uint32_t)at;
		some |= at >= 0;
	}
	if (!some)
		return NULL;
	err_clear(k->err);
	s->symbols = symbols;
	s->n = (uint32_t)w->nsymbols;
	return s;
}

/* As a type or as a branch. */
static bool takes_null(const struct schema_type *r)
{
	for (size_t i = 0; i < r->nbranches; i++)
		if (r->branches[i]->kind == SCHEMA_NULL)
			return true;
	return r->kind == SCHEMA_NULL;
}

/* What the branches of a union have come to. */
struct union_fit {
	bool fits, nulls; /* one that is no null resolves; null does */
	const char *why;  /* of the first that does not, or of one whose logical type differs */
};

/* Null that the reader has not is a step without reader: refused where it stands. */
static struct step *resolve_branch(struct resolver *k, const struct schema_type *w,
				   const struct schema_type *r, struct union_fit *t)
{
	if (w->kind == SCHEMA_NULL) {
		t->nulls |= takes_null(r);
		return new_step(k, w, takes_null(r) ? r : NULL);
	}
	struct step *s = resolve(k, w, r);
	t->fits |= s != NULL;
	if (s)
		return s;
	s = refuse_branch(k, w);
	if (!t->why || k->differs)
		t->why = s->refusal;
	return s;
}

/* Fails if no branch can be read, or null alone where another would be but counts otherwise. */
static struct step *resolve_union(struct resolver *k, const struct schema_type *w,
				  const struct schema_type *r)
{
	struct step *s = new_step(k, w, r);
	struct union_fit t = {0};
	bool differs = false;
	s->n = (uint32_t)w->nbranches;
	s->branches = arena_calloc(k->arena, w->nbranches, sizeof(struct step *));
	for (size_t i = 0; i < w->nbranches; i++) {
		k->differs = false;
		s->branches[i] = resolve_branch(k, w->branches[i], r, &t);
		differs |= k->differs;
	}
	k->differs = differs && !t.fits;
	if (t.fits || (t.nulls && !differs))
		return s;
	err_set(k->err, ERR_CONFIG, "%s", t.why ? t.why : "the writer has nothing but null");
	return NULL;
}

/* Neither is a union. */
static struct step *resolve_plain(struct resolver *k, const struct schema_type *w,
				  const struct schema_type *r)
{
	if (!matches(w, r))
		return mismatch(k, w, r,
				w->full_name && w->kind == r->kind
					? "; names and sizes have to agree, or an alias"
					: "");
	if (!logicals_match(w, r)) {
		k->differs = true;
		return mismatch(k, w, r, "; the logical types differ");
	}
	if (w->kind == SCHEMA_RECORD)
		return resolve_record(k, w, r);
	if (w->kind == SCHEMA_ENUM)
		return resolve_enum(k, w, r);
	struct step *s = new_step(k, w, r);
	bool claimed = family_of(w->claim.logical) == family_of(r->logical);
	s->unit = unit_of(claimed ? w->claim.logical : r->logical);
	if (w->items) {
		s->items = resolve(k, w->items, r->items);
		if (!s->items)
			return NULL;
	}
	return s;
}

/* The one place that recurses, so depth is counted here. */
struct step *resolve(struct resolver *k, const struct schema_type *w, const struct schema_type *r)
{
	struct step *s;
	if (k->depth >= MAX_RESOLVE_DEPTH) {
		err_set(k->err, ERR_CONFIG, "types are nested too deep");
		return NULL;
	}
	k->depth++;
	if (w->kind == SCHEMA_UNION) {
		s = resolve_union(k, w, r);
	} else {
		const struct schema_type *branch = r->kind == SCHEMA_UNION ? best_branch(w, r) : r;
		s = branch ? resolve_plain(k, w, branch) : mismatch(k, w, r, "");
	}
	k->depth--;
	return s;
}

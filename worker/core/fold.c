/*
 * fold.c - when two events of a key may become one row, and what that row is.
 *
 * Let v0 be the version of the row that the table holds (unknown here; there may be none), a the
 * earlier event and b the later one. An upsert applies when v0 <= v; a delete removes the row when
 * v0 <= v. A null version of an upsert is older than any; a delete without version (a tombstone of
 * a table whose version is no timestamp) is newer than any. Under "newer":
 *
 *   a       b       v(b) >= v(a)                           v(b) < v(a)
 *   upsert  upsert  b, unless coalesce or json must know   a: where a applies, b is stale; where a
 *                   whether a applied (v(a) < v0 <=        is stale, so is b. add, min and max
 *                   v(b)): apart                           take b in
 *   upsert  delete  b; apart if a accumulates (v0 > v(b):  a: b is stale in any case
 *                   a's sum counts) and b has a version
 *   delete  upsert  apart: what the schema does not know   apart: b comes back where a deleted
 *                   of (created_at) begins anew
 *   delete  delete  b                                      a
 *
 * Under "update" the later event always applies, so everything folds but an upsert after a delete.
 * Under "skip" the first upsert stays; an upsert after a delete is apart. A delete forgets the row
 * and its version.
 *
 * Column by column, with t what the table holds, the fold must give the same for every t:
 *
 *   add     integers of one sign: t + a leaves the type's range only if t + a + b does, and then
 *           PostgreSQL says so. Signs that differ could hide it, and floats do not add up the same
 *           in another order (1e16 + 1 + 1): apart.
 *   json    t || a || b is t || (a || b) if a is an array, whatever t and b are. If both are
 *           objects it is so for every t but an array or a scalar: "united" says that somebody
 *           has to look. Anything else: apart; so is the JSON null of a column that is NOT NULL,
 *           for it changes nothing (of another column it has been decoded as null).
 *
 * A row into which something was merged is kept by column, JSON as a list of pieces:
 *
 *   fields:  [ value ][ value ][ pieces: {"a":1} -> {"b":2} -> ... ]   packed in the end, once
 *
 * so that n events of a key cost n events' time and memory, however long the JSON becomes.
 *
 * Rows are COPY BINARY fields: integers and floats are added and compared as the values they are,
 * jsonb || is done on the text (objects spliced as '{a' || ',' || 'b}': jsonb itself lets the last
 * of two equal keys win). table_new() admits add, min and max only for the kinds handled here.
 *
 * Pure: no thread, no failure but "apart". Memory: the batch's arena of folded rows.
 */
#include "core/fold.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/buf.h"

struct piece {
	struct slice text; /* members of an object or elements of an array, not empty */
	struct piece *next;
};

struct fold_field {
	struct slice value; /* NULL data: null */
	/* JSON of several events; then value is the first one's */
	struct piece *first, *last;
	size_t bytes; /* of all pieces, a comma behind each */
};

/* What the table as a whole needs to know, found once. */
struct fold_rules fold_rules(const struct table *table, enum on_conflict on_conflict)
{
	struct fold_rules rules = {.table = table, .on_conflict = on_conflict, .unite = true};
	if (on_conflict == CONFLICT_NEWER && table->version < 0)
		rules.on_conflict = CONFLICT_UPDATE;
	for (size_t i = 0; i < table->ncolumns; i++) {
		switch (table->columns[i].merge) {
		case MERGE_REPLACE:
			break;
		case MERGE_KEEP:
			rules.keeps = true;
			break;
		case MERGE_COALESCE:
		case MERGE_JSON:
			rules.partial = true;
			break;
		case MERGE_ADD:
		case MERGE_MIN:
		case MERGE_MAX:
			rules.accumulates = true;
			break;
		}
	}
	return rules;
}

/* --- numbers --- */

/* The width is the field's length. */
static int64_t load_int(struct slice v)
{
	switch (v.len) {
	case 2:
		return (int16_t)get_be16(v.data);
	case 4:
		return (int32_t)get_be32(v.data);
	default:
		return (int64_t)get_be64(v.data);
	}
}

/* Both widths as a double, which holds each exactly. */
static double load_real(struct slice v)
{
	if (v.len == 4) {
		uint32_t bits = get_be32(v.data);
		float f;
		memcpy(&f, &bits, sizeof(f));
		return (double)f;
	}
	uint64_t bits = get_be64(v.data);
	double d;
	memcpy(&d, &bits, sizeof(d));
	return d;
}

static bool is_real(const struct column *c)
{
	return c->kind == PG_FLOAT4 || c->kind == PG_FLOAT8;
}

/* The caller knows that it fits. */
static struct slice store_int(struct arena *arena, size_t len, int64_t n)
{
	uint8_t *p = arena_alloc(arena, len);
	if (len == 2)
		put_be16(p, (uint16_t)n);
	else if (len == 4)
		put_be32(p, (uint32_t)n);
	else
		put_be64(p, (uint64_t)n);
	return (struct slice){p, len};
}

static bool fits(size_t len, int64_t n)
{
	return len == 8 || (len == 4 && n == (int32_t)n) || (len == 2 && n == (int16_t)n);
}

/* See the essay: of one sign, and within the type's range. */
static bool may_add(const struct column *c, struct slice a, struct slice b)
{
	int64_t x, y, sum;
	if (is_real(c))
		return false;
	x = load_int(a);
	y = load_int(b);
	return (x < 0) == (y < 0) && !__builtin_add_overflow(x, y, &sum) && fits(a.len, sum);
}

/* As PostgreSQL orders floats: NaN is greater than any number. */
static bool less(const struct column *c, struct slice a, struct slice b)
{
	if (!is_real(c))
		return load_int(a) < load_int(b);
	double x = load_real(a), y = load_real(b);
	if (isnan(x) || isnan(y))
		return !isnan(x) && isnan(y);
	return x < y;
}

/* --- JSON --- */

/* The text of a jsonb field without its version byte and the white space around it. */
static struct slice json_text(struct slice v)
{
	const uint8_t *p = v.data + 1, *end = v.data + v.len;
	while (p < end && strchr(" \t\r\n", *p))
		p++;
	while (end > p && strchr(" \t\r\n", end[-1]))
		end--;
	return (struct slice){p, (size_t)(end - p)};
}

static bool json_is(struct slice v, char opening)
{
	return json_text(v).data[0] == (uint8_t)opening;
}

/* What is between the brackets, without the white space in front. */
static struct slice json_inside(struct slice text)
{
	struct slice in = {text.data + 1, text.len - 2};
	while (in.len > 0 && strchr(" \t\r\n", in.data[0]))
		in = (struct slice){in.data + 1, in.len - 1};
	return in;
}

/* See the essay under "json". */
static bool may_join(const struct fold_rules *rules, struct slice a, struct slice b)
{
	if (json_is(b, 'n'))
		return false;
	return json_is(a, '[') || (rules->unite && json_is(a, '{') && json_is(b, '{'));
}

/* Linked, not copied: n events cost n pieces. */
static void add_piece(struct fold_field *f, struct slice text, struct arena *arena)
{
	if (text.len == 0)
		return;
	struct piece *p = arena_alloc(arena, sizeof(*p));
	*p = (struct piece){.text = text};
	if (f->last)
		f->last->next = p;
	else
		f->first = p;
	f->last = p;
	f->bytes += text.len + 1;
}

/* f || b, where may_join() */
static void join(struct fold_row *row, struct fold_field *f, struct slice b, struct arena *arena)
{
	struct slice text = json_text(b);
	bool array = json_is(f->value, '[');
	if (!f->first)
		add_piece(f, json_inside(json_text(f->value)), arena);
	add_piece(f, !array || text.data[0] == '[' ? json_inside(text) : text, arena);
	row->united |= !array;
}

/* The field as one value again: version byte, bracket, pieces with commas between, bracket. */
static void pack_json(struct fold_field *f, struct arena *arena)
{
	bool array = json_is(f->value, '[');
	uint8_t *p = arena_alloc(arena, f->bytes + 3), *start = p;
	*p++ = 1;
	*p++ = array ? '[' : '{';
	for (struct piece *piece = f->first; piece; piece = piece->next) {
		memcpy(p, piece->text.data, piece->text.len);
		p += piece->text.len;
		if (piece->next)
			*p++ = ',';
	}
	*p++ = array ? ']' : '}';
	f->value = (struct slice){start, (size_t)(p - start)};
	f->first = f->last = NULL;
}

/* --- columns --- */

struct job {
	const struct fold_rules *rules;
	struct arena *arena;
	struct fold_row *row;
	bool second_newer; /* columns that follow the version take the second event's value */
	bool both_apply;   /* whatever the table holds, both events apply or neither does */
};

/* Whether column c of a, into which b's value comes, is right for every row of the table. */
static bool may_fold(const struct job *job, const struct column *c, struct slice a, struct slice b)
{
	switch (c->merge) {
	case MERGE_REPLACE:
	case MERGE_KEEP:
	case MERGE_MIN:
	case MERGE_MAX:
		return true;
	case MERGE_COALESCE:
		return !job->second_newer || b.data || !a.data || job->both_apply;
	case MERGE_JSON:
		return !job->second_newer || !a.data ||
		       (job->both_apply && (!b.data || may_join(job->rules, a, b)));
	case MERGE_ADD:
		return !a.data || !b.data || may_add(c, a, b);
	}
	return false;
}

/* may_fold() has said yes to every column before. */
static void fold_field(const struct job *job, const struct column *c, struct fold_field *f,
		       struct slice b)
{
	struct slice a = f->value;
	switch (c->merge) {
	case MERGE_REPLACE:
		if (job->second_newer)
			f->value = b;
		return;
	case MERGE_KEEP:
		return;
	case MERGE_COALESCE:
		if (job->second_newer && b.data)
			f->value = b;
		return;
	case MERGE_JSON:
		if (!job->second_newer || !b.data)
			return;
		if (a.data)
			join(job->row, f, b, job->arena);
		else
			f->value = b;
		return;
	case MERGE_ADD:
		if (a.data && b.data)
			f->value = store_int(job->arena, a.len, load_int(a) + load_int(b));
		else if (b.data)
			f->value = b;
		return;
	case MERGE_MIN:
		if (!a.data || (b.data && less(c, b, a)))
			f->value = b;
		return;
	case MERGE_MAX:
		if (!a.data || (b.data && less(c, a, b)))
			f->value = b;
		return;
	}
}

static struct slice next_field(const uint8_t **p)
{
	int32_t len = (int32_t)get_be32(*p);
	struct slice field = {len < 0 ? NULL : *p + 4, len < 0 ? 0 : (size_t)len};
	*p += 4 + field.len;
	return field;
}

/* Once per row; from then on the fields are the row. */
static void unpack(const struct table *table, struct fold_row *row, struct arena *arena)
{
	const uint8_t *p = row->row.data;
	if (row->fields)
		return;
	row->fields = arena_calloc(arena, table->ncolumns, sizeof(*row->fields));
	for (size_t i = 0; i < table->ncolumns; i++)
		row->fields[i].value = next_field(&p);
}

/* The pieces are joined only here, once for all events of the key. */
void fold_pack(const struct table *table, struct fold_row *row, struct arena *arena)
{
	size_t len = 0;
	if (!row->fields)
		return;
	for (size_t i = 0; i < table->ncolumns; i++) {
		if (row->fields[i].first)
			pack_json(&row->fields[i], arena);
		len += 4 + row->fields[i].value.len;
	}
	uint8_t *p = arena_alloc(arena, len);
	row->row = (struct slice){p, len};
	for (size_t i = 0; i < table->ncolumns; i++) {
		struct slice v = row->fields[i].value;
		put_be32(p, v.data ? (uint32_t)v.len : UINT32_MAX);
		p += 4;
		if (v.data)
			memcpy(p, v.data, v.len);
		p += v.len;
	}
	row->fields = NULL;
}

/* Looks at every column before it changes any. */
static bool fold_columns(const struct job *job, struct slice second)
{
	const struct table *table = job->rules->table;
	const uint8_t *p = second.data, *q = job->row->row.data;
	for (size_t i = 0; i < table->ncolumns; i++) {
		struct slice a = job->row->fields ? job->row->fields[i].value : next_field(&q);
		if (!may_fold(job, &table->columns[i], a, next_field(&p)))
			return false;
	}
	unpack(table, job->row, job->arena);
	p = second.data;
	for (size_t i = 0; i < table->ncolumns; i++)
		fold_field(job, &table->columns[i], &job->row->fields[i], next_field(&p));
	return true;
}

/* --- whole events --- */

static bool plain(const struct fold_rules *rules)
{
	return !rules->keeps && !rules->accumulates && !rules->partial;
}

/* Without one an upsert is the oldest and a delete the newest: see the essay. */
static int compare_versions(const struct fold_row *a, const struct fold_row *b)
{
	int64_t low = INT64_MIN, high = INT64_MAX;
	int64_t x = a->has_version ? a->version : a->op == RECORD_DELETE ? high : low;
	int64_t y = b->has_version ? b->version : b->op == RECORD_DELETE ? high : low;
	return x < y ? -1 : x > y;
}

/* The first line of the table in the essay; under "update" both apply. */
static enum fold_result fold_upserts(const struct fold_rules *rules, struct fold_row *a,
				     const struct fold_row *b, struct arena *arena)
{
	int order = rules->on_conflict == CONFLICT_NEWER ? compare_versions(a, b) : 0;
	struct job job = {.rules = rules,
			  .arena = arena,
			  .row = a,
			  .second_newer = order <= 0,
			  .both_apply = order == 0};
	if (!job.second_newer && !rules->accumulates)
		return FOLD_FIRST;
	if (plain(rules))
		return job.second_newer ? FOLD_SECOND : FOLD_FIRST;
	if (!fold_columns(&job, b->row))
		return FOLD_APART;
	if (job.second_newer) {
		a->has_version = b->has_version;
		a->version = b->version;
	}
	return FOLD_MERGED;
}

/* See the essay's table; a delete never folds into what comes behind it. */
static enum fold_result fold_newer(const struct fold_rules *rules, struct fold_row *a,
				   const struct fold_row *b, struct arena *arena)
{
	if (b->op == RECORD_UPSERT)
		return a->op == RECORD_UPSERT ? fold_upserts(rules, a, b, arena) : FOLD_APART;
	if (compare_versions(a, b) > 0)
		return FOLD_FIRST;
	if (a->op == RECORD_UPSERT && rules->accumulates && b->has_version)
		return FOLD_APART;
	return FOLD_SECOND;
}

/* Says what the outcome allows; the caller keeps the rows. */
enum fold_result fold(const struct fold_rules *rules, struct fold_row *first,
		      const struct fold_row *second, struct arena *arena)
{
	assert(!second->fields);
	switch (rules->on_conflict) {
	case CONFLICT_NEWER:
		return fold_newer(rules, first, second, arena);
	case CONFLICT_UPDATE:
		if (second->op == RECORD_DELETE)
			return FOLD_SECOND;
		return first->op == RECORD_UPSERT ? fold_upserts(rules, first, second, arena)
						  : FOLD_APART;
	case CONFLICT_SKIP:
		if (second->op == RECORD_DELETE)
			return FOLD_SECOND;
		return first->op == RECORD_UPSERT ? FOLD_FIRST : FOLD_APART;
	}
	return FOLD_APART;
}

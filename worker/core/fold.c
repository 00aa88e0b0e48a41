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
 *   delete  upsert  b, if every column is replaced and a   apart: b comes back where a deleted
 *                   has a version; else apart (sums begin
 *                   anew)
 *   delete  delete  b                                      a
 *
 * Under "update" the later event always applies, so everything folds but a delete that resets kept
 * or summed columns. Under "skip" the first upsert stays; an upsert after a delete is apart. A
 * delete forgets the row and its version.
 *
 * Rows are COPY BINARY fields, so folding a column means working on those bytes: integers and
 * floats are added and compared as the values they are, jsonb || is done on the text (objects
 * spliced as '{a' || ',' || 'b}': jsonb itself lets the last of two equal keys win). table_new()
 * admits add, min and max only for the kinds handled here.
 *
 * Sums that leave the type's range are not folded (apart): PostgreSQL then raises 22003 for the
 * event that did it.
 *
 * Pure: no thread, no failure but "apart".
 */
#include "core/fold.h"

#include <math.h>
#include <string.h>

#include "base/buf.h"

struct fold_rules fold_rules(const struct table *table, enum on_conflict on_conflict)
{
	struct fold_rules rules = {.table = table, .on_conflict = on_conflict};
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

/* --- one column: NULL data means SQL null --- */

static int64_t load_int(const struct column *c, struct slice v)
{
	switch (v.len) {
	case 2:
		return (int16_t)get_be16(v.data);
	case 4:
		return (int32_t)get_be32(v.data);
	default:
		(void)c;
		return (int64_t)get_be64(v.data);
	}
}

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

static bool add_real(struct arena *arena, struct slice a, struct slice b, struct slice *out)
{
	uint8_t *p = arena_alloc(arena, a.len);
	if (a.len == 4) {
		float sum = (float)load_real(a) + (float)load_real(b);
		uint32_t bits;
		memcpy(&bits, &sum, sizeof(bits));
		put_be32(p, bits);
		*out = (struct slice){p, 4};
		return isfinite(sum);
	}
	double sum = load_real(a) + load_real(b);
	uint64_t bits;
	memcpy(&bits, &sum, sizeof(bits));
	put_be64(p, bits);
	*out = (struct slice){p, 8};
	return isfinite(sum);
}

static bool add(const struct column *c, struct arena *arena, struct slice a, struct slice b,
		struct slice *out)
{
	if (is_real(c))
		return add_real(arena, a, b, out);
	int64_t sum;
	if (__builtin_add_overflow(load_int(c, a), load_int(c, b), &sum) || !fits(a.len, sum))
		return false;
	*out = store_int(arena, a.len, sum);
	return true;
}

/* As PostgreSQL orders floats: NaN is greater than any number. */
static bool less(const struct column *c, struct slice a, struct slice b)
{
	if (!is_real(c))
		return load_int(c, a) < load_int(c, b);
	double x = load_real(a), y = load_real(b);
	if (isnan(x) || isnan(y))
		return !isnan(x) && isnan(y);
	return x < y;
}

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

static struct slice json_inside(struct slice text)
{
	struct slice in = {text.data + 1, text.len - 2};
	while (in.len > 0 && strchr(" \t\r\n", in.data[0]))
		in = (struct slice){in.data + 1, in.len - 1};
	return in;
}

/*
 * jsonb || jsonb: two objects are united, anything else is a concatenation of arrays, a non-array
 * counting as one element.
 */
static struct slice json_concat(struct arena *arena, struct slice a, struct slice b)
{
	struct slice x = json_text(a), y = json_text(b);
	bool objects = x.data[0] == '{' && y.data[0] == '{';
	struct slice parts[2] = {x, y};
	for (int i = 0; i < 2; i++)
		if (objects || parts[i].data[0] == '[')
			parts[i] = json_inside(parts[i]);
	uint8_t *p = arena_alloc(arena, parts[0].len + parts[1].len + 4);
	size_t n = 0;
	p[n++] = 1;
	p[n++] = objects ? '{' : '[';
	memcpy(p + n, parts[0].data, parts[0].len);
	n += parts[0].len;
	if (parts[0].len > 0 && parts[1].len > 0)
		p[n++] = ',';
	memcpy(p + n, parts[1].data, parts[1].len);
	n += parts[1].len;
	p[n++] = objects ? '}' : ']';
	return (struct slice){p, n};
}

struct columns_job {
	const struct fold_rules *rules;
	struct arena *arena;
	bool second_newer; /* columns that follow the version take the second event's value */
	bool both_apply;   /* whatever the table holds, both events apply or neither does */
};

/* False: can not be folded. */
static bool fold_column(const struct columns_job *job, const struct column *c, struct slice a,
			struct slice b, struct slice *out)
{
	*out = job->second_newer ? b : a;
	switch (c->merge) {
	case MERGE_REPLACE:
		return true;
	case MERGE_KEEP:
		*out = a;
		return true;
	case MERGE_COALESCE:
		if (!job->second_newer || b.data || !a.data)
			return true;
		*out = a;
		return job->both_apply;
	case MERGE_JSON:
		if (!job->second_newer || !a.data)
			return true;
		*out = b.data ? json_concat(job->arena, a, b) : a;
		return job->both_apply;
	case MERGE_ADD:
		*out = a.data ? a : b;
		return !a.data || !b.data || add(c, job->arena, a, b, out);
	case MERGE_MIN:
		*out = !a.data || (b.data && less(c, b, a)) ? b : a;
		return true;
	case MERGE_MAX:
		*out = !a.data || (b.data && less(c, a, b)) ? b : a;
		return true;
	}
	return false;
}

static struct slice next_field(const uint8_t **p)
{
	int32_t len = (int32_t)get_be32(*p);
	struct slice field = {len < 0 ? NULL : *p + 4, len < 0 ? 0 : (size_t)len};
	*p += 4 + field.len;
	return field;
}

static bool fold_columns(const struct columns_job *job, struct slice first, struct slice second,
			 struct slice *row)
{
	struct buf out = {0};
	const uint8_t *p = first.data, *q = second.data;
	const struct table *table = job->rules->table;
	bool folded = true;
	for (size_t i = 0; folded && i < table->ncolumns; i++) {
		struct slice a = next_field(&p), b = next_field(&q), v;
		folded = fold_column(job, &table->columns[i], a, b, &v);
		if (!folded)
			break;
		buf_be32(&out, v.data ? (uint32_t)v.len : UINT32_MAX);
		if (v.data)
			buf_put(&out, v.data, v.len);
	}
	if (folded)
		*row = (struct slice){arena_memdup(job->arena, out.data, out.len), out.len};
	buf_free(&out);
	return folded;
}

/* --- whole events --- */

static bool plain(const struct fold_rules *rules)
{
	return !rules->keeps && !rules->accumulates && !rules->partial;
}

static int compare_versions(const struct fold_row *a, const struct fold_row *b)
{
	int64_t low = INT64_MIN, high = INT64_MAX;
	int64_t x = a->has_version ? a->version : a->op == RECORD_DELETE ? high : low;
	int64_t y = b->has_version ? b->version : b->op == RECORD_DELETE ? high : low;
	return x < y ? -1 : x > y;
}

static enum fold_result fold_upserts(const struct fold_rules *rules, const struct fold_row *a,
				     const struct fold_row *b, struct arena *arena,
				     struct fold_row *merged)
{
	bool newer = rules->on_conflict == CONFLICT_NEWER;
	struct columns_job job = {
		.rules = rules, .arena = arena, .second_newer = true, .both_apply = true};
	if (newer) {
		int order = compare_versions(a, b);
		job.second_newer = order <= 0;
		job.both_apply = order == 0;
	}
	if (!job.second_newer && !rules->accumulates)
		return FOLD_FIRST;
	if (plain(rules))
		return job.second_newer ? FOLD_SECOND : FOLD_FIRST;
	*merged = job.second_newer ? *b : *a;
	return fold_columns(&job, a->row, b->row, &merged->row) ? FOLD_MERGED : FOLD_APART;
}

static enum fold_result fold_newer(const struct fold_rules *rules, const struct fold_row *a,
				   const struct fold_row *b, struct arena *arena,
				   struct fold_row *merged)
{
	bool second_newer = compare_versions(a, b) <= 0;
	if (a->op == RECORD_UPSERT && b->op == RECORD_UPSERT)
		return fold_upserts(rules, a, b, arena, merged);
	if (b->op == RECORD_UPSERT)
		return second_newer && a->has_version && plain(rules) ? FOLD_SECOND : FOLD_APART;
	if (!second_newer)
		return FOLD_FIRST;
	if (a->op == RECORD_UPSERT && rules->accumulates && b->has_version)
		return FOLD_APART;
	return FOLD_SECOND;
}

enum fold_result fold(const struct fold_rules *rules, const struct fold_row *a,
		      const struct fold_row *b, struct arena *arena, struct fold_row *merged)
{
	switch (rules->on_conflict) {
	case CONFLICT_NEWER:
		return fold_newer(rules, a, b, arena, merged);
	case CONFLICT_UPDATE:
		if (b->op == RECORD_DELETE)
			return FOLD_SECOND;
		if (a->op == RECORD_DELETE)
			return plain(rules) ? FOLD_SECOND : FOLD_APART;
		return fold_upserts(rules, a, b, arena, merged);
	case CONFLICT_SKIP:
		if (b->op == RECORD_DELETE)
			return FOLD_SECOND;
		return a->op == RECORD_UPSERT ? FOLD_FIRST : FOLD_APART;
	}
	return FOLD_APART;
}

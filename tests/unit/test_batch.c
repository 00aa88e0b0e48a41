/*
 * test_batch.c - folding and arranging: whatever arrange_folded() makes of a sequence of events,
 * merging its rounds must leave the table as applying the events one by one does, for every row
 * that the table may hold beforehand.
 *
 * The model here knows rows of numbers, floats (with infinities, NaN and sums that depend on their
 * order) and JSON of every kind, and the merge rules as design and mergesql state them; it knows
 * nothing of folding. tests/system/test_judge.c compares it with PostgreSQL.
 */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/table.h"
#include "core/arrange.h"
#include "unit.h"

enum {
	KEY,
	VERSION,
	REPLACED,
	KEPT,
	COALESCED,
	ADDED,
	LEAST,
	GREATEST,
	FLOAT_ADDED,
	FLOAT_LEAST,
	FLOAT_GREATEST,
	DOC,
	NCOLUMNS
};

#define NUMBER(n, of, rule)                                                                        \
	{                                                                                          \
		.name = n, .type = "t", .stage_type = "t", .kind = of, .merge = rule               \
	}

static struct column columns[NCOLUMNS] = {
	[KEY] = NUMBER("key", PG_INT8, MERGE_REPLACE),
	[VERSION] = NUMBER("version", PG_INT8, MERGE_REPLACE),
	[REPLACED] = NUMBER("replaced", PG_INT8, MERGE_REPLACE),
	[KEPT] = NUMBER("kept", PG_INT8, MERGE_KEEP),
	[COALESCED] = NUMBER("coalesced", PG_INT8, MERGE_COALESCE),
	[ADDED] = NUMBER("added", PG_INT8, MERGE_ADD),
	[LEAST] = NUMBER("least", PG_INT8, MERGE_MIN),
	[GREATEST] = NUMBER("greatest", PG_INT8, MERGE_MAX),
	[FLOAT_ADDED] = NUMBER("float_added", PG_FLOAT8, MERGE_ADD),
	[FLOAT_LEAST] = NUMBER("float_least", PG_FLOAT8, MERGE_MIN),
	[FLOAT_GREATEST] = NUMBER("float_greatest", PG_FLOAT8, MERGE_MAX),
	[DOC] = NUMBER("doc", PG_JSONB, MERGE_JSON),
};
static const struct table full = {.name = "t",
				  .columns = columns,
				  .ncolumns = NCOLUMNS,
				  .nkeys = 1,
				  .version = VERSION,
				  .delete_field = -1};
/* Plain replacement only: the first columns. */
static const struct table plain = {.name = "t",
				   .columns = columns,
				   .ncolumns = KEPT,
				   .nkeys = 1,
				   .version = VERSION,
				   .delete_field = -1};
/* All but floats, which fold so seldom that the others would hardly ever. */
static struct column some[NCOLUMNS - 3];
static struct table integers = {
	.name = "t", .columns = some, .nkeys = 1, .version = VERSION, .delete_field = -1};

/* A number, or an object with members "0", "1", "2" (-1: not there). */
struct element {
	bool object;
	int n, members[3];
};

/* JSON: one element, or an array of them. */
struct doc {
	bool array;
	int n;
	struct element e[64];
};

struct value {
	bool null;
	int64_t n;
	double d;
	struct doc doc;
};

struct model_row {
	bool exists;
	struct value v[NCOLUMNS];
};

struct sample {
	enum record_op op;
	bool tombstone; /* a delete without version */
	struct value v[NCOLUMNS];
};

/* Of a table's column, which of the values it is. */
static size_t meaning(const struct table *t, size_t column)
{
	for (size_t i = 0; i < NCOLUMNS; i++)
		if (strcmp(columns[i].name, t->columns[column].name) == 0)
			return i;
	return NCOLUMNS;
}

static bool is_float(size_t column)
{
	return columns[column].kind == PG_FLOAT8;
}

/* --- encoding and reading back --- */

static void put_element(struct buf *text, const struct element *e)
{
	const char *comma = "";
	if (!e->object) {
		buf_printf(text, "%d", e->n);
		return;
	}
	buf_puts(text, "{ ");
	for (int i = 0; i < 3; i++) {
		if (e->members[i] < 0)
			continue;
		buf_printf(text, "%s \"%d\": %d", comma, i, e->members[i]);
		comma = ",";
	}
	buf_puts(text, " } ");
}

static void put_doc(struct buf *text, const struct doc *doc)
{
	buf_puts(text, doc->array ? "\1 [ " : "\1 ");
	for (int i = 0; i < doc->n; i++) {
		buf_puts(text, i ? " ," : "");
		put_element(text, &doc->e[i]);
	}
	buf_puts(text, doc->array ? "] " : "");
}

static void put_value(struct buf *out, size_t column, const struct value *v)
{
	struct buf text = {0};
	uint64_t bits = (uint64_t)v->n;
	if (v->null) {
		buf_be32(out, UINT32_MAX);
		return;
	}
	if (column != DOC) {
		if (is_float(column))
			memcpy(&bits, &v->d, sizeof(bits));
		buf_be32(out, 8);
		buf_be64(out, bits);
		return;
	}
	put_doc(&text, &v->doc);
	buf_be32(out, (uint32_t)text.len);
	buf_put(out, text.data, text.len);
	buf_free(&text);
}

static struct element read_element(const json_t *json)
{
	struct element e = {.object = json_is_object(json), .n = (int)json_integer_value(json)};
	for (int k = 0; k < 3; k++) {
		char name[2] = {(char)('0' + k), 0};
		const json_t *member = json_object_get(json, name);
		e.members[k] = member ? (int)json_integer_value(member) : -1;
	}
	return e;
}

static struct doc read_doc(const uint8_t *p, size_t len)
{
	struct doc doc = {.n = 1};
	json_t *json = json_loadb((const char *)p + 1, len - 1, JSON_DECODE_ANY, NULL);
	ck_assert_msg(json != NULL, "folded JSON does not parse: %.*s", (int)len - 1,
		      (const char *)p + 1);
	doc.array = json_is_array(json);
	if (doc.array)
		doc.n = (int)json_array_size(json);
	for (int i = 0; i < doc.n; i++)
		doc.e[i] = read_element(doc.array ? json_array_get(json, (size_t)i) : json);
	json_decref(json);
	return doc;
}

static void read_row(const struct table *t, struct slice row, struct value *v)
{
	const uint8_t *p = row.data;
	for (size_t i = 0; i < t->ncolumns; i++) {
		size_t column = meaning(t, i);
		int32_t len = (int32_t)get_be32(p);
		p += 4;
		v[column] = (struct value){.null = len < 0};
		if (len < 0)
			continue;
		if (column == DOC) {
			v[column].doc = read_doc(p, (size_t)len);
		} else {
			uint64_t bits = get_be64(p);
			v[column].n = (int64_t)bits;
			if (is_float(column))
				memcpy(&v[column].d, &bits, sizeof(bits));
		}
		p += len;
	}
	ck_assert_ptr_eq(p, row.data + row.len);
}

/* --- the model: what one merged row does to the table's row --- */

static bool fresh(const struct model_row *row, const struct value *version)
{
	if (row->v[VERSION].null)
		return true;
	return !version->null && version->n >= row->v[VERSION].n;
}

/* jsonb ||: two objects are united, all else are arrays, a non-array being one element. */
static void concat(struct doc *t, const struct doc *e)
{
	if (!t->array && !e->array && t->e[0].object && e->e[0].object) {
		for (int i = 0; i < 3; i++)
			if (e->e[0].members[i] >= 0)
				t->e[0].members[i] = e->e[0].members[i];
		return;
	}
	ck_assert_int_le(t->n + e->n, (int)ARRAY_LEN(t->e));
	memcpy(t->e + t->n, e->e, (size_t)e->n * sizeof(e->e[0]));
	t->n += e->n;
	t->array = true;
}

/* PostgreSQL's order: NaN is the greatest. */
static bool is_less(size_t column, const struct value *a, const struct value *b)
{
	if (!is_float(column))
		return a->n < b->n;
	if (isnan(a->d) || isnan(b->d))
		return !isnan(a->d) && isnan(b->d);
	return a->d < b->d;
}

static void merge_value(size_t column, struct value *t, const struct value *e, bool applies)
{
	switch (columns[column].merge) {
	case MERGE_REPLACE:
		if (applies)
			*t = *e;
		return;
	case MERGE_KEEP:
		return;
	case MERGE_COALESCE:
		if (applies && !e->null)
			*t = *e;
		return;
	case MERGE_JSON:
		if (!applies || e->null)
			return;
		if (t->null)
			*t = *e;
		else
			concat(&t->doc, &e->doc);
		return;
	case MERGE_ADD:
		if (t->null) {
			*t = *e;
		} else if (!e->null) {
			/* of a float, n is its bits */
			t->n = is_float(column) ? t->n : t->n + e->n;
			t->d += e->d;
		}
		return;
	case MERGE_MIN:
		if (t->null || (!e->null && is_less(column, e, t)))
			*t = *e;
		return;
	case MERGE_MAX:
		if (t->null || (!e->null && is_less(column, t, e)))
			*t = *e;
		return;
	}
}

static void apply(const struct table *t, enum on_conflict mode, struct model_row *row,
		  enum record_op op, bool has_version, const struct value *v)
{
	bool newer = mode == CONFLICT_NEWER;
	if (op == RECORD_DELETE) {
		if (row->exists && (!newer || !has_version || fresh(row, &v[VERSION])))
			row->exists = false;
		return;
	}
	if (!row->exists) {
		row->exists = true;
		memcpy(row->v, v, sizeof(row->v));
		return;
	}
	if (mode == CONFLICT_SKIP)
		return;
	bool applies = !newer || fresh(row, &v[VERSION]);
	for (size_t i = 1; i < t->ncolumns; i++)
		merge_value(meaning(t, i), &row->v[meaning(t, i)], &v[meaning(t, i)], applies);
}

static bool same_doc(const struct doc *a, const struct doc *b)
{
	if (a->array != b->array || a->n != b->n)
		return false;
	for (int i = 0; i < a->n; i++) {
		const struct element *x = &a->e[i], *y = &b->e[i];
		if (x->object != y->object || (!x->object && x->n != y->n) ||
		    (x->object && memcmp(x->members, y->members, sizeof(x->members)) != 0))
			return false;
	}
	return true;
}

static bool same_value(size_t column, const struct value *a, const struct value *b)
{
	if (a->null || b->null)
		return a->null == b->null;
	if (column == DOC)
		return same_doc(&a->doc, &b->doc);
	if (is_float(column))
		return (isnan(a->d) && isnan(b->d)) || a->d == b->d;
	return a->n == b->n;
}

static bool same(const struct table *t, const struct model_row *a, const struct model_row *b)
{
	if (a->exists != b->exists)
		return false;
	for (size_t i = 0; a->exists && i < t->ncolumns; i++)
		if (!same_value(meaning(t, i), &a->v[meaning(t, i)], &b->v[meaning(t, i)]))
			return false;
	return true;
}

/* --- random events --- */

static uint64_t rng;

static uint32_t pick(uint32_t n)
{
	rng = rng * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(rng >> 33) % n;
}

static struct element random_element(void)
{
	struct element e = {.object = pick(4) > 0, .n = (int)pick(100)};
	for (int i = 0; i < 3; i++)
		e.members[i] = pick(2) ? (int)pick(100) : -1;
	return e;
}

static struct doc random_doc(void)
{
	struct doc doc = {.array = pick(4) == 0, .n = 1};
	if (doc.array)
		doc.n = (int)pick(4);
	for (int i = 0; i < doc.n; i++)
		doc.e[i] = random_element();
	return doc;
}

static struct value random_value(int column, uint32_t key)
{
	static const double reals[] = {
		1e16, 1, -1e16, 0.1, -0.25, 0, 7, (double)INFINITY, -(double)INFINITY, (double)NAN};
	struct value v = {.null = column > VERSION && pick(3) == 0,
			  .n = (int64_t)pick(9) - 4,
			  .d = reals[pick(ARRAY_LEN(reals))],
			  .doc = random_doc()};
	if (column == KEY)
		v.n = key;
	if (column == VERSION)
		v = (struct value){.null = pick(12) == 0, .n = pick(6)};
	return v;
}

static struct sample random_sample(uint32_t keys)
{
	struct sample s = {.op = pick(4) == 0 ? RECORD_DELETE : RECORD_UPSERT};
	uint32_t key = pick(keys);
	for (int i = 0; i < NCOLUMNS; i++)
		s.v[i] = random_value(i, key);
	s.tombstone = s.op == RECORD_DELETE && (s.v[VERSION].null || pick(3) == 0);
	return s;
}

static void add_sample(struct batch *b, const struct table *t, uint32_t span, int64_t offset,
		       const struct sample *s)
{
	size_t start = b->rows.len;
	for (size_t i = 0; i < t->ncolumns; i++)
		put_value(&b->rows, meaning(t, i), &s->v[meaning(t, i)]);
	bool has_version = !s->v[VERSION].null && !s->tombstone;
	batch_add(b, span, offset, 1000 + offset,
		  &(struct record){.op = s->op,
				   .has_version = has_version,
				   .version = s->v[VERSION].n,
				   .row_len = b->rows.len - start,
				   .key_len = 12});
}

enum { KEYS = 3, MOST = 12 };

static void run_rounds(const struct table *t, enum on_conflict mode, const struct batch *b,
		       struct model_row *table)
{
	for (size_t i = 0; i < b->narranged; i++) {
		const struct batch_row *row = &b->arranged[i];
		const struct event *e = &b->events[row->event];
		struct value v[NCOLUMNS] = {0};
		read_row(t, row->data, v);
		/*
		 * The version of a folded row stands in the row; only a tombstone has none although
		 * the field may be set.
		 */
		bool has_version = row->op == RECORD_DELETE ? e->has_version : !v[VERSION].null;
		apply(t, mode, &table[v[KEY].n], (enum record_op)row->op, has_version, v);
	}
}

/* What check_united (mergesql.h) looks for: JSON that is no object, under objects that were united.
 */
static bool united_wrongly(const struct table *t, const struct batch *b,
			   const struct model_row *table)
{
	for (size_t i = 0; i < b->narranged; i++) {
		struct value v[NCOLUMNS] = {0};
		read_row(t, b->arranged[i].data, v);
		const struct model_row *row = &table[v[KEY].n];
		const struct doc *doc = &row->v[DOC].doc;
		if (b->arranged[i].united && row->exists && !row->v[DOC].null &&
		    (doc->array || !doc->e[0].object))
			return true;
	}
	return false;
}

/* As the sink does: with every round the table is another one. */
static bool merge_all(const struct table *t, enum on_conflict mode, struct batch *b,
		      const struct fold_rules *rules, struct model_row *table)
{
	struct model_row before[KEYS];
	memcpy(before, table, sizeof(before));
	arrange_folded(b, rules);
	for (size_t r = 0; r < b->nrounds; r++) {
		struct batch round = *b;
		round.arranged += b->rounds[r];
		round.narranged = b->rounds[r + 1] - b->rounds[r];
		if (united_wrongly(t, &round, table)) {
			memcpy(table, before, sizeof(before));
			return false;
		}
		run_rounds(t, mode, &round, table);
	}
	return true;
}

static void one_case(const struct table *t, enum on_conflict mode, uint64_t seed)
{
	static struct sample samples[MOST];
	static struct model_row before[KEYS], one_by_one[KEYS], merged[KEYS];
	rng = seed;
	size_t n = 1 + pick(MOST);
	struct batch *b = batch_new(MOST, 1 << 16);
	uint32_t span = batch_span(b, "topic", 0, b, 0, 1);
	for (uint32_t k = 0; k < KEYS; k++) {
		before[k].exists = pick(3) > 0;
		for (int i = 0; i < NCOLUMNS; i++)
			before[k].v[i] = random_value(i, k);
	}
	memcpy(one_by_one, before, sizeof(before));
	memcpy(merged, before, sizeof(before));
	for (size_t i = 0; i < n; i++) {
		samples[i] = random_sample(KEYS);
		add_sample(b, t, span, (int64_t)i, &samples[i]);
		bool has_version = !samples[i].v[VERSION].null && !samples[i].tombstone;
		apply(t, mode, &one_by_one[samples[i].v[KEY].n], samples[i].op, has_version,
		      samples[i].v);
	}
	struct fold_rules rules = fold_rules(t, mode);
	if (!merge_all(t, mode, b, &rules, merged)) {
		rules.unite = false;
		ck_assert(merge_all(t, mode, b, &rules, merged));
	}
	for (uint32_t k = 0; k < KEYS; k++)
		ck_assert_msg(same(t, &one_by_one[k], &merged[k]),
			      "seed %llu, mode %d, key %u differs", (unsigned long long)seed,
			      (int)mode, k);
	batch_free(b);
}

/*
 * Proves: folding and rounds never change the outcome, for every conflict mode, with all merge
 * rules and with none.
 */
START_TEST(arranging_changes_nothing)
{
	const struct table *tables[] = {&full, &plain, &integers};
	for (uint64_t seed = 1; seed <= 30000; seed++)
		one_case(tables[seed % 3], (enum on_conflict)(seed / 3 % 3), seed * 7919);
}
END_TEST

static struct sample upsert(int64_t key, int64_t version)
{
	struct sample s = {.op = RECORD_UPSERT};
	for (int i = 0; i < NCOLUMNS; i++)
		s.v[i] = (struct value){.null = i > REPLACED};
	s.v[KEY].n = key;
	s.v[VERSION].n = version;
	s.v[REPLACED].n = version;
	return s;
}

/*
 * Proves: plain upserts of a key become one row in one round, rows come sorted by key, and the
 * counters of the span hold.
 */
START_TEST(plain_upserts_take_one_round)
{
	struct batch *b = batch_new(16, 1 << 12);
	uint32_t span = batch_span(b, "topic", 3, b, 100, 7);
	const int64_t keys[] = {5, 1, 5, 3, 5, 1}, sorted[] = {1, 3, 5};
	for (int i = 0; i < 6; i++) {
		struct sample s = upsert(keys[i], i);
		add_sample(b, &plain, span, 100 + 2 * i, &s);
	}
	struct fold_rules rules = fold_rules(&plain, CONFLICT_NEWER);
	arrange_folded(b, &rules);
	ck_assert_uint_eq(b->nrounds, 1);
	ck_assert_uint_eq(b->narranged, 3);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq((int64_t)get_be64(b->arranged[i].data.data + 4), sorted[i]);
	ck_assert_int_eq(b->events[b->arranged[2].event].offset, 108);
	ck_assert_int_eq(b->spans[span].from, 100);
	ck_assert_int_eq(b->spans[span].to, 111);
	ck_assert_uint_eq(b->spans[span].now.events, 6);
	batch_free(b);
}
END_TEST

static int compare_key_bytes(const struct batch_row *a, const struct batch_row *b)
{
	int order = memcmp(a->data.data, b->data.data, MIN(a->key_len, b->key_len));
	return order ? order : (a->key_len > b->key_len) - (a->key_len < b->key_len);
}

/* A key that differs from others late, early, by zeros, or by its length only. */
static void add_key(struct batch *b, uint32_t span, int64_t offset, size_t shared)
{
	static const uint8_t bytes[] = {0, 1, 'a', 0xff};
	struct record record = {.op = RECORD_UPSERT};
	record.row_len = record.key_len = shared + pick(13);
	uint8_t *p = buf_take(&b->rows, record.row_len);
	for (size_t i = 0; i < record.row_len; i++)
		p[i] = i < shared ? 'k' : bytes[pick(sizeof(bytes))];
	batch_add(b, span, offset, 0, &record);
}

static bool comes_again(const struct batch *b, size_t event)
{
	const struct event *e = &b->events[event];
	for (const struct event *f = e + 1; f < b->events + b->nevents; f++)
		if (f->key_len == e->key_len &&
		    memcmp(b->rows.data + f->row, b->rows.data + e->row, e->key_len) == 0)
			return true;
	return false;
}

/*
 * Proves: whatever keys begin with and however long they are, rows come in the order of their
 * bytes, each key once, the newest.
 */
START_TEST(rows_are_sorted_by_key)
{
	struct fold_rules rules = fold_rules(&plain, CONFLICT_UPDATE);
	struct batch *b = batch_new(300, 1 << 14);
	for (rng = 1; rng < 400; rng++) {
		uint64_t seed = rng;
		size_t shared = pick(12), n = 1 + pick(300), keys = 0;
		batch_reset(b);
		uint32_t span = batch_span(b, "topic", 3, b, 0, 7);
		for (size_t i = 0; i < n; i++)
			add_key(b, span, (int64_t)i, shared);
		arrange_folded(b, &rules);
		for (size_t i = 0; i < n; i++)
			keys += !comes_again(b, i);
		ck_assert_uint_eq(b->narranged, keys);
		for (size_t i = 0; i < keys; i++) {
			ck_assert(!comes_again(b, b->arranged[i].event));
			ck_assert(i == 0 ||
				  compare_key_bytes(&b->arranged[i - 1], &b->arranged[i]) < 0);
		}
		rng = seed;
	}
	batch_free(b);
}
END_TEST

/* Proves: a dead event's neighbour of the same key comes back when the batch is arranged again. */
START_TEST(killed_event_uncovers_the_one_before)
{
	struct batch *b = batch_new(4, 1 << 12);
	uint32_t span = batch_span(b, "topic", 0, b, 0, 1);
	struct sample first = upsert(1, 1), second = upsert(1, 2);
	add_sample(b, &plain, span, 0, &first);
	add_sample(b, &plain, span, 1, &second);
	struct fold_rules rules = fold_rules(&plain, CONFLICT_NEWER);
	arrange_folded(b, &rules);
	ck_assert_uint_eq(b->arranged[0].event, 1);
	batch_refuse(b, 1, REASON_CONSTRAINT, "refused");
	batch_bury(b, &(struct dead_letter){.timestamp_ms = -1});
	arrange_folded(b, &rules);
	ck_assert_uint_eq(b->narranged, 1);
	ck_assert_uint_eq(b->arranged[0].event, 0);
	ck_assert_uint_eq(b->spans[span].now.dead, 1);
	batch_free(b);
}
END_TEST

/*
 * Proves: events of a span that is decided are left out, and a new span of the same partition is a
 * new one.
 */
START_TEST(decided_spans_are_left_out)
{
	struct batch *b = batch_new(4, 1 << 12);
	uint32_t a = batch_span(b, "topic", 0, b, 0, 1);
	struct sample s = upsert(1, 1);
	add_sample(b, &plain, a, 0, &s);
	b->spans[a].result = SPAN_FENCED;
	uint32_t again = batch_span(b, "topic", 0, b, 0, 2);
	ck_assert_uint_ne(a, again);
	struct fold_rules rules = fold_rules(&plain, CONFLICT_NEWER);
	arrange_folded(b, &rules);
	ck_assert_uint_eq(b->narranged, 0);
	ck_assert_uint_eq(b->nrounds, 0);
	batch_free(b);
}
END_TEST

/*
 * Proves: a sum that leaves the type's range is not folded, so that PostgreSQL refuses just the
 * event that did it.
 */
START_TEST(overflowing_sum_is_apart)
{
	struct batch *b = batch_new(4, 1 << 12);
	uint32_t span = batch_span(b, "topic", 0, b, 0, 1);
	struct sample s = upsert(1, 1);
	s.v[ADDED] = (struct value){.n = INT64_MAX};
	add_sample(b, &full, span, 0, &s);
	add_sample(b, &full, span, 1, &s);
	struct fold_rules rules = fold_rules(&full, CONFLICT_NEWER);
	arrange_folded(b, &rules);
	ck_assert_uint_eq(b->nrounds, 2);
	batch_free(b);
}
END_TEST

/* An event of one key whose JSON is one object with one long member. */
static void add_object(struct batch *b, uint32_t span, int64_t offset, size_t len)
{
	struct buf text = {0};
	size_t start = b->rows.len;
	buf_printf(&text, "\1{\"m%lld\": \"", (long long)offset);
	memset(buf_take(&text, len), 'x', len);
	buf_puts(&text, "\"}");
	for (int i = 0; i < NCOLUMNS - 4; i++)
		put_value(&b->rows, (size_t)i, &(struct value){.null = i > VERSION, .n = 1});
	buf_be32(&b->rows, (uint32_t)text.len);
	buf_put(&b->rows, text.data, text.len);
	batch_add(b, span, offset, 0,
		  &(struct record){.has_version = true,
				   .version = 1,
				   .row_len = b->rows.len - start,
				   .key_len = 12});
	buf_free(&text);
}

/*
 * Proves: thousands of events of one key whose JSON is united cost memory by what they hold, not by
 * its square, and the batch says what it is.
 */
START_TEST(a_hot_key_costs_its_own_length)
{
	enum { EVENTS = 5000, LENGTH = 500 };
	struct batch *b = batch_new(EVENTS, EVENTS * 2 * LENGTH);
	uint32_t span = batch_span(b, "topic", 0, b, 0, 1);
	struct fold_rules rules = fold_rules(&integers, CONFLICT_NEWER);
	for (int64_t i = 0; i < EVENTS; i++)
		add_object(b, span, i, LENGTH);
	batch_account(b);
	size_t before = atomic_load(&b->bytes);
	arrange_folded(b, &rules);
	ck_assert_uint_eq(b->narranged, 1);
	ck_assert_uint_eq(b->nunited, 1);
	ck_assert_uint_ge(b->arranged[0].data.len, EVENTS * LENGTH);
	size_t grown = atomic_load(&b->bytes) - before;
	ck_assert_uint_ge(grown, EVENTS * LENGTH);
	ck_assert_uint_le(grown, 3 * EVENTS * LENGTH);
	batch_free(b);
}
END_TEST

/* Proves: a delete and an upsert behind it are two rows: created_at begins anew. */
START_TEST(an_upsert_behind_a_delete_is_apart)
{
	struct batch *b = batch_new(4, 1 << 12);
	uint32_t span = batch_span(b, "topic", 0, b, 0, 1);
	struct sample gone = upsert(1, 1), back = upsert(1, 2);
	gone.op = RECORD_DELETE;
	add_sample(b, &plain, span, 0, &gone);
	add_sample(b, &plain, span, 1, &back);
	struct fold_rules rules = fold_rules(&plain, (enum on_conflict)_i);
	arrange_folded(b, &rules);
	ck_assert_uint_eq(b->nrounds, 2);
	batch_free(b);
}
END_TEST

/*
 * Proves: in order of arrival nothing is folded or sorted, and a batch that was cut takes one part
 * after the other: the spans say how far, and count each event once.
 */
START_TEST(a_cut_batch_takes_its_parts)
{
	struct batch *b = batch_new(16, 1 << 12);
	uint32_t x = batch_span(b, "topic", 0, b, 10, 1), y = batch_span(b, "topic", 1, &x, 20, 1);
	for (int64_t i = 0; i < 8; i++) {
		struct sample s = upsert(5 - i % 3, i);
		add_sample(b, &plain, i % 2 ? y : x, (i % 2 ? 20 : 10) + i / 2, &s);
	}
	batch_add_dead(b, &(struct dead_letter){.span = x, .offset = 20, .detail = "at the end"});
	batch_cut(b, 3);
	arrange_in_order(b);
	ck_assert_uint_eq(b->narranged, 3);
	ck_assert_uint_eq(b->nrounds, 1);
	for (size_t i = 0; i < 3; i++)
		ck_assert_uint_eq(b->arranged[i].event, i);
	ck_assert_int_eq(b->spans[x].upto, 12);
	ck_assert_int_eq(b->spans[y].upto, 21);
	ck_assert_uint_eq(b->spans[x].now.events, 2);
	ck_assert_uint_eq(b->spans[x].now.dead, 0);
	b->spans[x].now.written = 2;
	ck_assert(!batch_committed(b));
	ck_assert_int_eq(b->spans[x].from, 12);
	arrange_folded(b, &(struct fold_rules){.table = &plain, .on_conflict = CONFLICT_NEWER});
	ck_assert_uint_eq(b->narranged, 3);
	ck_assert_int_eq(b->spans[x].upto, 21);
	ck_assert_uint_eq(b->spans[x].now.events, 3);
	ck_assert_uint_eq(b->spans[x].now.dead, 1);
	ck_assert(batch_committed(b));
	ck_assert_int_eq(b->spans[x].result, SPAN_COMMITTED);
	ck_assert_uint_eq(b->spans[x].done.events, 5);
	ck_assert_uint_eq(b->spans[x].done.dead, 1);
	ck_assert_uint_eq(b->spans[x].done.written, 2);
	ck_assert_uint_eq(b->spans[y].done.events, 4);
	ck_assert(b->dead[0].written);
	batch_free(b);
}
END_TEST

/*
 * Proves: skipped events have no row, are counted with the part of a batch that they lie in, and
 * are neither written nor superseded.
 */
START_TEST(skipped_events_are_counted)
{
	struct batch *b = batch_new(16, 1 << 12);
	uint32_t x = batch_span(b, "topic", 0, b, 10, 1);
	struct sample s = upsert(5, 1);
	batch_skip(b, x, 10, 7000);
	add_sample(b, &plain, x, 11, &s);
	batch_skip(b, x, 12, 7001);
	batch_add_dead(b, &(struct dead_letter){.span = x, .offset = 13, .detail = "dead"});
	add_sample(b, &plain, x, 14, &s);
	batch_skip(b, x, 15, 7002);
	ck_assert_int_eq(b->spans[x].first_ts_ms, 7000);
	batch_cut(b, 3);
	arrange_in_order(b);
	ck_assert_uint_eq(b->narranged, 1);
	ck_assert_uint_eq(b->arranged[0].event, 1);
	ck_assert_int_eq(b->spans[x].upto, 13);
	ck_assert_uint_eq(b->spans[x].now.events, 3);
	ck_assert_uint_eq(b->spans[x].now.skipped, 2);
	b->spans[x].now.written = 1;
	ck_assert_uint_eq(tally_superseded(&b->spans[x].now), 0);
	ck_assert(!batch_committed(b));
	arrange_folded(b, &(struct fold_rules){.table = &plain, .on_conflict = CONFLICT_NEWER});
	ck_assert_uint_eq(b->narranged, 1);
	ck_assert_int_eq(b->spans[x].upto, 16);
	ck_assert_uint_eq(b->spans[x].now.events, 3);
	ck_assert_uint_eq(b->spans[x].now.skipped, 1);
	ck_assert_uint_eq(b->spans[x].now.dead, 1);
	ck_assert_uint_eq(tally_superseded(&b->spans[x].now), 1);
	ck_assert(batch_committed(b));
	ck_assert_uint_eq(b->spans[x].done.events, 6);
	ck_assert_uint_eq(b->spans[x].done.skipped, 3);
	batch_reset(b);
	ck_assert_uint_eq(b->nevents, 0);
	batch_free(b);
}
END_TEST

/* Proves: refused events end the transaction's part until each has its dead letter, in order. */
START_TEST(refused_events_cut_the_batch)
{
	struct batch *b = batch_new(16, 1 << 12);
	uint32_t span = batch_span(b, "topic", 0, b, 0, 1);
	for (int64_t i = 0; i < 6; i++) {
		struct sample s = upsert(i, i);
		add_sample(b, &plain, span, i, &s);
	}
	batch_refuse(b, 1, REASON_CONSTRAINT, "one");
	batch_refuse(b, 4, REASON_DATABASE, "four");
	ck_assert_uint_eq(b->limit, 1);
	batch_bury(b, &(struct dead_letter){.timestamp_ms = 7, .has_value = true});
	ck_assert_uint_eq(b->limit, 4);
	arrange_in_order(b);
	ck_assert_uint_eq(b->narranged, 3);
	ck_assert_int_eq(b->spans[span].upto, 4);
	ck_assert_uint_eq(b->spans[span].now.dead, 1);
	ck_assert(!batch_committed(b));
	ck_assert_uint_eq(b->limit, 4);
	ck_assert_uint_eq(b->first, 4);
	batch_bury(b, &(struct dead_letter){.timestamp_ms = 7, .detail = "said anew"});
	arrange_in_order(b);
	ck_assert_uint_eq(b->narranged, 1);
	ck_assert(batch_committed(b));
	ck_assert_uint_eq(b->spans[span].done.dead, 2);
	ck_assert_str_eq(b->dead[0].detail, "one");
	ck_assert_str_eq(b->dead[1].detail, "said anew");
	ck_assert_int_eq(b->dead[1].reason, REASON_DATABASE);
	ck_assert_int_eq(b->dead[1].offset, 4);
	batch_free(b);
}
END_TEST

/* Proves: what dead letters carry is counted, all of it. */
START_TEST(dead_letters_count)
{
	struct batch *b = batch_new(4, 1 << 12);
	char *text = xmalloc(100000);
	memset(text, 't', 99999);
	text[99999] = '\0';
	struct slice bytes = {(const uint8_t *)text, 100000};
	struct dead_letter letters[] = {{.detail = text},
					{.detail = "", .has_key = true, .key = bytes},
					{.detail = "", .has_value = true, .value = bytes},
					{.detail = "", .headers = text}};
	for (int i = 0; i < 4; i++) {
		batch_reset(b);
		letters[i].span = batch_span(b, "topic", 0, b, 0, 1);
		batch_add_dead(b, &letters[i]);
		batch_account(b);
		size_t held = atomic_load(&b->bytes);
		ck_assert_uint_ge(held, 100000);
	}
	free(text);
	batch_free(b);
}
END_TEST

static void setup(void)
{
	integers.ncolumns = 0;
	for (size_t i = 0; i < NCOLUMNS; i++)
		if (!is_float(i))
			some[integers.ncolumns++] = columns[i];
}

static Suite *batch_suite(void)
{
	Suite *suite = suite_create("batch");
	TCase *tc = tcase_create("batch");
	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, arranging_changes_nothing);
	tcase_add_test(tc, plain_upserts_take_one_round);
	tcase_add_test(tc, rows_are_sorted_by_key);
	tcase_add_test(tc, killed_event_uncovers_the_one_before);
	tcase_add_test(tc, decided_spans_are_left_out);
	tcase_add_test(tc, overflowing_sum_is_apart);
	tcase_add_test(tc, a_hot_key_costs_its_own_length);
	tcase_add_loop_test(tc, an_upsert_behind_a_delete_is_apart, 0, 3);
	tcase_add_test(tc, a_cut_batch_takes_its_parts);
	tcase_add_test(tc, skipped_events_are_counted);
	tcase_add_test(tc, refused_events_cut_the_batch);
	tcase_add_test(tc, dead_letters_count);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(suite, tc);
	return suite;
}
UNIT_SUITE(batch_suite)

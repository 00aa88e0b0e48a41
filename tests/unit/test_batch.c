/*
 * test_batch.c - folding and arranging: whatever batch_arrange() makes of a sequence of events,
 * merging its rounds must leave the table as applying the events one by one does, for every row
 * that the table may hold beforehand.
 *
 * The model here knows rows of plain numbers (and one JSON object) and the merge rules as design
 * and mergesql state them; it knows nothing of folding.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/table.h"
#include "core/batch.h"
#include "unit.h"

enum { KEY, VERSION, REPLACED, KEPT, COALESCED, ADDED, LEAST, GREATEST, DOC, NCOLUMNS };

#define INT8(n, rule)                                                                              \
	{                                                                                          \
		.name = n, .type = "bigint", .stage_type = "bigint", .kind = PG_INT8,              \
		.merge = rule                                                                      \
	}

static struct column columns[NCOLUMNS] = {
	[KEY] = INT8("key", MERGE_REPLACE),
	[VERSION] = INT8("version", MERGE_REPLACE),
	[REPLACED] = INT8("replaced", MERGE_REPLACE),
	[KEPT] = INT8("kept", MERGE_KEEP),
	[COALESCED] = INT8("coalesced", MERGE_COALESCE),
	[ADDED] = INT8("added", MERGE_ADD),
	[LEAST] = INT8("least", MERGE_MIN),
	[GREATEST] = INT8("greatest", MERGE_MAX),
	[DOC] = {.name = "doc",
		 .type = "jsonb",
		 .stage_type = "jsonb",
		 .kind = PG_JSONB,
		 .merge = MERGE_JSON},
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

struct value {
	bool null;
	int64_t n;
	int doc[3]; /* members "0", "1", "2"; -1: not there */
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

/* --- encoding and reading back --- */

static void put_value(struct buf *out, int column, const struct value *v)
{
	if (v->null) {
		buf_be32(out, UINT32_MAX);
		return;
	}
	if (column != DOC) {
		buf_be32(out, 8);
		buf_be64(out, (uint64_t)v->n);
		return;
	}
	char text[64] = "\1 {";
	size_t len = 3;
	for (int i = 0; i < 3; i++)
		if (v->doc[i] >= 0)
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s \"%d\": %d",
						len > 3 ? "," : "", i, v->doc[i]);
	len += (size_t)snprintf(text + len, sizeof(text) - len, " } ");
	buf_be32(out, (uint32_t)len);
	buf_put(out, text, len);
}

static void read_row(const struct table *t, struct slice row, struct value *v)
{
	const uint8_t *p = row.data;
	for (size_t i = 0; i < t->ncolumns; i++) {
		int32_t len = (int32_t)get_be32(p);
		p += 4;
		v[i] = (struct value){.null = len < 0, .doc = {-1, -1, -1}};
		if (len < 0)
			continue;
		if (i != DOC) {
			v[i].n = (int64_t)get_be64(p);
		} else {
			json_t *doc = json_loadb((const char *)p + 1, (size_t)len - 1, 0, NULL);
			ck_assert_msg(doc != NULL, "folded JSON does not parse: %.*s", len - 1,
				      (const char *)p + 1);
			for (int k = 0; k < 3; k++) {
				char name[2] = {(char)('0' + k), 0};
				json_t *member = json_object_get(doc, name);
				v[i].doc[k] = member ? (int)json_integer_value(member) : -1;
			}
			json_decref(doc);
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

static void merge_value(const struct column *c, struct value *t, const struct value *e,
			bool applies)
{
	switch (c->merge) {
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
		for (int i = 0; i < 3; i++)
			t->doc[i] = e->doc[i] >= 0 ? e->doc[i] : t->doc[i];
		return;
	case MERGE_ADD:
		if (t->null)
			*t = *e;
		else if (!e->null)
			t->n += e->n;
		return;
	case MERGE_MIN:
		if (t->null || (!e->null && e->n < t->n))
			*t = *e;
		return;
	case MERGE_MAX:
		if (t->null || (!e->null && e->n > t->n))
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
		merge_value(&t->columns[i], &row->v[i], &v[i], applies);
}

static bool same(const struct table *t, const struct model_row *a, const struct model_row *b)
{
	if (a->exists != b->exists)
		return false;
	for (size_t i = 0; a->exists && i < t->ncolumns; i++) {
		const struct value *x = &a->v[i], *y = &b->v[i];
		if (x->null != y->null || (!x->null && i != DOC && x->n != y->n))
			return false;
		if (!x->null && i == DOC && memcmp(x->doc, y->doc, sizeof(x->doc)) != 0)
			return false;
	}
	return true;
}

/* --- random events --- */

static uint64_t rng;

static uint32_t pick(uint32_t n)
{
	rng = rng * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(rng >> 33) % n;
}

static struct value random_value(int column, uint32_t key)
{
	struct value v = {.null = column > VERSION && pick(3) == 0,
			  .n = (int64_t)pick(9) - 4,
			  .doc = {-1, -1, -1}};
	if (column == KEY)
		v.n = key;
	if (column == VERSION)
		v = (struct value){.null = pick(12) == 0, .n = pick(6)};
	for (int i = 0; i < 3; i++)
		if (pick(2))
			v.doc[i] = (int)pick(100);
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
		put_value(&b->rows, (int)i, &s->v[i]);
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

static void one_case(const struct table *t, enum on_conflict mode, uint64_t seed)
{
	rng = seed;
	struct sample samples[MOST];
	size_t n = 1 + pick(MOST);
	struct batch *b = batch_new(MOST, 1 << 16);
	uint32_t span = batch_span(b, "topic", 0, b, 0, 1);
	struct model_row before[KEYS] = {0};
	for (uint32_t k = 0; k < KEYS; k++) {
		before[k].exists = pick(3) > 0;
		for (int i = 0; i < NCOLUMNS; i++)
			before[k].v[i] = random_value(i, k);
	}
	struct model_row one_by_one[KEYS], merged[KEYS];
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
	batch_arrange(b, &rules);
	run_rounds(t, mode, b, merged);
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
	const struct table *tables[] = {&full, &plain};
	for (uint64_t seed = 1; seed <= 20000; seed++)
		one_case(tables[seed % 2], (enum on_conflict)(seed / 2 % 3), seed * 7919);
}
END_TEST

static struct sample upsert(int64_t key, int64_t version)
{
	struct sample s = {.op = RECORD_UPSERT};
	for (int i = 0; i < NCOLUMNS; i++)
		s.v[i] = (struct value){.null = i > REPLACED, .doc = {-1, -1, -1}};
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
	batch_arrange(b, &rules);
	ck_assert_uint_eq(b->nrounds, 1);
	ck_assert_uint_eq(b->narranged, 3);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq((int64_t)get_be64(b->arranged[i].data.data + 4), sorted[i]);
	ck_assert_int_eq(b->events[b->arranged[2].event].offset, 108);
	ck_assert_int_eq(b->spans[span].from, 100);
	ck_assert_int_eq(b->spans[span].to, 111);
	ck_assert_uint_eq(b->spans[span].events, 6);
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
		batch_arrange(b, &rules);
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
	batch_arrange(b, &rules);
	ck_assert_uint_eq(b->arranged[0].event, 1);
	batch_kill(b, 1, &(struct dead_letter){.span = span, .offset = 1, .detail = "refused"});
	batch_arrange(b, &rules);
	ck_assert_uint_eq(b->narranged, 1);
	ck_assert_uint_eq(b->arranged[0].event, 0);
	ck_assert_uint_eq(b->spans[span].dead, 1);
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
	batch_arrange(b, &rules);
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
	batch_arrange(b, &rules);
	ck_assert_uint_eq(b->nrounds, 2);
	batch_free(b);
}
END_TEST

static Suite *batch_suite(void)
{
	Suite *suite = suite_create("batch");
	TCase *tc = tcase_create("batch");
	tcase_add_test(tc, arranging_changes_nothing);
	tcase_add_test(tc, plain_upserts_take_one_round);
	tcase_add_test(tc, rows_are_sorted_by_key);
	tcase_add_test(tc, killed_event_uncovers_the_one_before);
	tcase_add_test(tc, decided_spans_are_left_out);
	tcase_add_test(tc, overflowing_sum_is_apart);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(suite, tc);
	return suite;
}
UNIT_SUITE(batch_suite)

/*
 * test_generate.c - generated events are what they say they are: the worker's own decoder takes the
 * good ones and refuses the poison for the reason given.
 */
#include <math.h>
#include <stdlib.h>

#include "codec/decode.h"
#include "codec/plan.h"
#include "gen/fake.h"
#include "gen/generate.h"
#include "schema/encode.h"
#include "unit.h"

/* Every type, so that no kind of value is left out; nothing of the shipped streams. */
static const char everything[] =
	"{\"type\":\"record\",\"name\":\"Everything\",\"pg\":{\"table\":\"everything\",\"key\":["
	"\"tenant\",\"part\"],"
	"\"version\":\"at\",\"delete\":{\"field\":\"what\",\"symbol\":\"GONE\"}},\"fields\":["
	"{\"name\":\"what\",\"type\":{\"type\":\"enum\",\"name\":\"What\",\"symbols\":[\"GONE\","
	"\"HERE\"]},\"pg\":{"
	"\"column\":false}},"
	"{\"name\":\"at\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-millis\"}},"
	"{\"name\":\"tenant\",\"type\":{\"type\":\"string\",\"logicalType\":\"uuid\"}},"
	"{\"name\":\"part\",\"type\":\"int\"},"
	"{\"name\":\"a\",\"type\":\"boolean\"},{\"name\":\"b\",\"type\":[\"null\",\"long\"]},{"
	"\"name\":\"c\",\"type\":"
	"\"float\"},"
	"{\"name\":\"d\",\"type\":[\"null\",\"double\"],\"default\":null},{\"name\":\"e\",\"type\":"
	"\"bytes\"},"
	"{\"name\":\"f\",\"type\":{\"type\":\"fixed\",\"name\":\"F\",\"size\":5}},"
	"{\"name\":\"g\",\"type\":{\"type\":\"map\",\"values\":\"long\"},\"pg\":{\"type\":"
	"\"jsonb\"}},"
	"{\"name\":\"h\",\"type\":{\"type\":\"record\",\"name\":\"H\",\"fields\":[{\"name\":\"x\","
	"\"type\":\"int\"},"
	"{\"name\":\"next\",\"type\":[\"null\",\"H\"]}]},\"pg\":{\"type\":\"jsonb\"}},"
	"{\"name\":\"i\",\"type\":{\"type\":\"int\",\"logicalType\":\"date\"}},"
	"{\"name\":\"j\",\"type\":{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":9,"
	"\"scale\":2}},"
	"{\"name\":\"k\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-nanos\"}},"
	"{\"name\":\"l\",\"type\":{\"type\":\"array\",\"items\":\"double\"},\"pg\":{\"type\":"
	"\"vector(5)\"}},"
	"{\"name\":\"m\",\"type\":\"bytes\",\"pg\":{\"type\":\"halfvec(7)\"}},"
	"{\"name\":\"n\",\"type\":[\"null\",\"string\"],\"pg\":{\"type\":\"jsonb\"}},"
	"{\"name\":\"o\",\"type\":{\"type\":\"int\",\"logicalType\":\"time-millis\"}},"
	"{\"name\":\"p\",\"type\":[\"null\",\"string\"],\"pg\":{\"type\":\"varchar(12)\"}},"
	"{\"name\":\"q\",\"type\":{\"type\":\"fixed\",\"name\":\"Q\",\"size\":12,\"logicalType\":"
	"\"duration\"}},"
	"{\"name\":\"r\",\"type\":{\"type\":\"array\",\"items\":\"string\"}}]}";

static const char everything_key[] = "{\"type\":\"record\",\"name\":\"Key\",\"fields\":[{\"name\":"
				     "\"tenant\",\"type\":\"string\"},"
				     "{\"name\":\"part\",\"type\":\"int\"}]}";

struct world {
	struct schema *schema, *key;
	struct table *table;
	struct plan *plan, *key_plan;
	struct decoder *decoder;
};

static struct world w;

static const struct decode_limits limits = {
	.max_depth = 64,
	.max_items = 100000,
	.max_string_bytes = 1 << 20,
	.max_row_bytes = 1 << 20,
	.max_key_bytes = 2000,
};

static void world_open(void)
{
	struct err err = {0};
	w.schema = schema_parse(everything, strlen(everything), &err);
	ck_assert_msg(w.schema != NULL, "%s", err.text);
	w.key = schema_parse(everything_key, strlen(everything_key), &err);
	ck_assert_msg(w.key != NULL, "%s", err.text);
	w.table = table_new(w.schema, &err);
	ck_assert_msg(w.table != NULL, "%s", err.text);
	w.plan = plan_new(w.schema, w.table, &err);
	ck_assert_msg(w.plan != NULL, "%s", err.text);
	w.key_plan = plan_new_key(w.key, w.table, NULL, &err);
	ck_assert_msg(w.key_plan != NULL, "%s", err.text);
	w.decoder = decoder_new(&limits);
}

static void world_close(void)
{
	decoder_free(w.decoder);
	plan_free(w.plan);
	plan_free(w.key_plan);
	table_free(w.table);
	schema_free(w.schema);
	schema_free(w.key);
}

static struct generator *make(const struct generator_options *options)
{
	struct err err = {0};
	struct generator *g = generator_new(w.table, w.key, options, &err);
	ck_assert_msg(g != NULL, "%s", err.text);
	return g;
}

static void expect_poison(const struct generated *e, const struct generator_options *o)
{
	struct frame frame;
	struct record record;
	struct buf row = {0};
	struct err err = {0};
	enum dead_reason reason;
	ck_assert_ptr_nonnull(e->poison);
	if (!frame_split(o->format, e->value, &frame, &err))
		reason = REASON_FRAME;
	else if (frame.id.number != o->schema_id)
		reason = REASON_SCHEMA;
	else if (!decode_record(w.decoder, w.plan, frame.body, &row, &record, &err))
		reason = record.reason;
	else
		reason = REASON_COUNT;
	ck_assert_msg(reason == e->reason, "%s: found %d, wanted %s: %s", e->poison, reason,
		      dead_reason_name(e->reason), err.text);
	buf_free(&row);
}

static void expect_good(const struct generated *e, const struct generator_options *o,
			struct buf *row, struct record *record)
{
	struct frame frame;
	struct err err = {0};
	const struct plan *plan = e->value.data ? w.plan : w.key_plan;
	row->len = 0;
	ck_assert(frame_split(o->format, e->value.data ? e->value : e->key, &frame, &err));
	ck_assert(frame.id.number == (e->value.data ? o->schema_id : o->key_schema_id));
	ck_assert_msg(decode_record(w.decoder, plan, frame.body, row, record, &err), "%s",
		      err.text);
	if (e->value.data) {
		ck_assert_int_eq(record->op,
				 e->op == GENERATED_DELETE ? RECORD_DELETE : RECORD_UPSERT);
		ck_assert(record->has_version);
	}
}

/*
 * Everything that the decoder should take it takes, with the operation and the key that the event
 * announces; everything else it refuses for the reason announced; and all kinds of both occur. The
 * key columns are the same for the same key index, in values and in message keys, and differ
 * otherwise.
 */
START_TEST(test_decoder_agrees)
{
	enum { KEYS = 200, EVENTS = 20000 };
	struct generator_options o = {
		.seed = 7,
		.keys = KEYS,
		.delete_share = 0.1,
		.tombstone_share = 0.05,
		.late_share = 0.1,
		.poison_share = 0.02,
		.start_time_us = INT64_C(1700000000000000),
		.format = FRAME_CONFLUENT,
		.schema_id = 11,
		.key_schema_id = 12,
	};
	struct buf row = {0}, keys[KEYS] = {{0}};
	size_t ops[4] = {0}, poisons[REASON_COUNT] = {0};
	struct record record;
	struct generator *g = make(&o);
	for (int i = 0; i < EVENTS; i++) {
		const struct generated *e = generator_next(g);
		ops[e->op]++;
		ck_assert_uint_lt(e->key_index, KEYS);
		if (e->op == GENERATED_POISON) {
			poisons[e->reason]++;
			expect_poison(e, &o);
			continue;
		}
		expect_good(e, &o, &row, &record);
		struct buf *key = &keys[e->key_index];
		if (key->len == 0)
			buf_put(key, row.data, record.key_len);
		ck_assert_uint_eq(key->len, record.key_len);
		ck_assert_mem_eq(key->data, row.data, record.key_len);
	}
	for (size_t i = 0; i < ARRAY_LEN(ops); i++)
		ck_assert_uint_gt(ops[i], 200);
	ck_assert_uint_gt(poisons[REASON_FRAME], 0);
	ck_assert_uint_gt(poisons[REASON_SCHEMA], 0);
	ck_assert_uint_gt(poisons[REASON_DECODE], 0);
	ck_assert_uint_gt(poisons[REASON_INVALID_EMBEDDING], 0);
	ck_assert_uint_gt(poisons[REASON_INVALID_JSON], 0);
	ck_assert_uint_gt(poisons[REASON_INVALID_TEXT], 0);
	for (size_t i = 0; i < KEYS; i++) {
		for (size_t j = 0; j < i; j++)
			ck_assert(keys[i].len != keys[j].len ||
				  memcmp(keys[i].data, keys[j].data, keys[i].len) != 0);
		buf_free(&keys[i]);
	}
	buf_free(&row);
	generator_free(g);
}
END_TEST

static uint64_t run(uint64_t seed, int64_t start_us, int events)
{
	struct generator_options o = {.seed = seed,
				      .start_time_us = start_us,
				      .update_share = 0.5,
				      .poison_share = 0.1,
				      .format = FRAME_RAW};
	struct generator *g = make(&o);
	uint64_t sum = 0;
	for (int i = 0; i < events; i++) {
		const struct generated *e = generator_next(g);
		for (size_t b = 0; b < e->value.len; b++)
			sum = (sum ^ e->value.data[b]) * UINT64_C(0x100000001b3);
		for (size_t b = 0; b < e->key.len; b++)
			sum = (sum ^ e->key.data[b]) * UINT64_C(0x100000001b3);
	}
	generator_free(g);
	return sum;
}

/* The same seed gives the same bytes, another seed or another time does not. */
START_TEST(test_reproducible)
{
	ck_assert(run(1, 1000000, 500) == run(1, 1000000, 500));
	ck_assert(run(1, 1000000, 500) != run(2, 1000000, 500));
	ck_assert(run(1, 1000000, 500) != run(1, 2000000, 500));
}
END_TEST

/*
 * Times rise strictly, but for the late ones; keys are new until they run out or an update is
 * drawn.
 */
START_TEST(test_times_and_keys)
{
	struct generator_options o = {.seed = 3, .keys = 50};
	struct generator *g = make(&o);
	int64_t last = 0;
	for (uint64_t i = 0; i < 500; i++) {
		const struct generated *e = generator_next(g);
		ck_assert(e->time_us > last);
		last = e->time_us;
		ck_assert(e->update == (i >= 50));
		if (i < 50)
			ck_assert_uint_eq(e->key_index, i);
	}
	generator_free(g);
}
END_TEST

/* Vectors have length 1, and the one that comes next is another. */
START_TEST(test_unit_vectors)
{
	struct fake *f = fake_new(5);
	float before[384] = {0};
	for (int i = 0; i < 200; i++) {
		const float *v = fake_vector(f, 384);
		double sum = 0;
		for (int k = 0; k < 384; k++)
			sum += (double)v[k] * v[k];
		ck_assert_msg(fabs(sum - 1) < 1e-4, "length %f", sqrt(sum));
		ck_assert(memcmp(v, before, sizeof(before)) != 0);
		memcpy(before, v, sizeof(before));
	}
	for (uint32_t dim = 1; dim < 20; dim++) /* more dimensions than pools */
		ck_assert(fabsf(fake_vector(f, dim)[0]) <= 1.0001f);
	fake_free(f);
}
END_TEST

/* A key that no number fits into is refused at the start. */
START_TEST(test_key_must_count)
{
	static const char text[] =
		"{\"type\":\"record\",\"name\":\"R\",\"pg\":{\"table\":\"t\",\"key\":[\"b\"]},"
		"\"fields\":[{\"name\":\"b\",\"type\":\"boolean\"}]}";
	struct err err = {0};
	struct generator_options o = {.seed = 1};
	struct schema *schema = schema_parse(text, strlen(text), &err);
	struct table *table = table_new(schema, &err);
	ck_assert_ptr_nonnull(table);
	ck_assert_ptr_null(generator_new(table, NULL, &o, &err));
	ck_assert_int_eq(err.class, ERR_CONFIG);
	table_free(table);
	schema_free(schema);
}
END_TEST

static Suite *generate_suite(void)
{
	Suite *suite = suite_create("generate");
	TCase *tc = tcase_create("generate");
	tcase_add_checked_fixture(tc, world_open, world_close);
	tcase_add_test(tc, test_decoder_agrees);
	tcase_add_test(tc, test_reproducible);
	tcase_add_test(tc, test_times_and_keys);
	tcase_add_test(tc, test_unit_vectors);
	tcase_add_test(tc, test_key_must_count);
	suite_add_tcase(suite, tc);
	return suite;
}

UNIT_SUITE(generate_suite)

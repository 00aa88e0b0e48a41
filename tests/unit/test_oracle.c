/*
 * test_oracle.c - our decoder against Avro-C, over random schemas and random data.
 *
 *   random_pair --> writer: schema_parse --> plan --decode_record--> row ------+
 *              |                              ^                                 |  oracle_row:
 *              |    random value --> Avro-C's bytes, also cut into blocks       |  field by field
 *              |                              v                                 |
 *              +-> reader: Avro-C --> resolved writer --avro_value_read--> reader's value
 *
 * By way of the resolved writer, because Avro-C's resolved reader crashes on arrays in maps
 * (1.11.1: the children of a resolved map are never initialised).
 *
 * MEMINGEST_SEED=n runs another sequence, MEMINGEST_ROUNDS=n more of it. A failure names the seed
 * and the round.
 */
#include "oracle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/plan.h"
#include "random_avro.h"
#include "unit.h"

enum { ROUNDS = 300, DATA = 12 };

static const struct decode_limits limits = {.max_depth = 64,
					    .max_items = 100000,
					    .max_string_bytes = 1 << 20,
					    .max_row_bytes = 1 << 22,
					    .max_key_bytes = 1 << 20};

/* Everything of one pair of schemas. */
struct setup {
	struct random *random;
	uint64_t seed, round;
	struct random_pair pair;
	struct schema *writer, *reader;
	struct table *table;
	struct plan *plan;
	struct decoder *decoder;
	avro_schema_t avro_writer, avro_reader;
	avro_value_iface_t *class, *view_class, *resolver;
	avro_value_t value, view; /* of the writer's schema, and of Avro-C's reader schema */
	avro_value_t into;        /* looks like the writer's, fills view */
	unsigned refused;         /* data */
};

static uint64_t from_env(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);
	return text ? strtoull(text, NULL, 10) : otherwise;
}

static void give_up(const struct setup *s, const char *what, const char *why)
{
	ck_abort_msg("MEMINGEST_SEED=%llu, round %llu: %s: %s\nwriter: %.*s\nreader: %.*s",
		     (unsigned long long)s->seed, (unsigned long long)s->round, what, why,
		     (int)s->pair.writer.len, (char *)s->pair.writer.data, (int)s->pair.reader.len,
		     (char *)s->pair.reader.data);
}

static struct schema *parse(struct setup *s, const struct buf *text)
{
	struct err err = {0};
	struct schema *schema = schema_parse((const char *)text->data, text->len, &err);
	if (!schema)
		give_up(s, "schema_parse", err.text);
	return schema;
}

static void setup_ours(struct setup *s)
{
	struct err err = {0};
	s->writer = parse(s, &s->pair.writer);
	s->reader = parse(s, &s->pair.reader);
	s->table = table_new(s->reader, &err);
	if (!s->table)
		give_up(s, "table_new", err.text);
	s->plan = plan_new(s->writer, s->table, &err);
	if (!s->plan)
		give_up(s, "plan_new", err.text);
	s->decoder = decoder_new(&limits);
}

static void setup_avro(struct setup *s)
{
	if (avro_schema_from_json_length((char *)s->pair.writer.data, s->pair.writer.len,
					 &s->avro_writer) != 0 ||
	    avro_schema_from_json_length((char *)s->pair.avro_reader.data, s->pair.avro_reader.len,
					 &s->avro_reader) != 0)
		give_up(s, "avro_schema_from_json", avro_strerror());
	s->class = avro_generic_class_from_schema(s->avro_writer);
	s->view_class = avro_generic_class_from_schema(s->avro_reader);
	s->resolver = avro_resolved_writer_new(s->avro_writer, s->avro_reader);
	if (!s->resolver)
		give_up(s, "avro_resolved_writer_new", avro_strerror());
	avro_generic_value_new(s->class, &s->value);
	avro_generic_value_new(s->view_class, &s->view);
	avro_resolved_writer_new_value(s->resolver, &s->into);
	avro_resolved_writer_set_dest(&s->into, &s->view);
}

static void teardown(struct setup *s)
{
	avro_value_decref(&s->into);
	avro_value_decref(&s->view);
	avro_value_decref(&s->value);
	avro_value_iface_decref(s->resolver);
	avro_value_iface_decref(s->view_class);
	avro_value_iface_decref(s->class);
	avro_schema_decref(s->avro_reader);
	avro_schema_decref(s->avro_writer);
	decoder_free(s->decoder);
	plan_free(s->plan);
	table_free(s->table);
	schema_free(s->reader);
	schema_free(s->writer);
	random_pair_free(&s->pair);
}

/* What the row has to be according to the field that says DELETE. */
static enum record_op wanted_op(const struct setup *s)
{
	avro_value_t op, value = s->view;
	int symbol = 0;
	if (s->table->delete_field < 0 || avro_value_get_by_name(&value, "op", &op, NULL) != 0 ||
	    avro_value_get_enum(&op, &symbol) != 0)
		return RECORD_UPSERT;
	return symbol == 1 ? RECORD_DELETE : RECORD_UPSERT;
}

/*
 * From a copy that ends where the datum ends, so that AddressSanitizer sees a byte read behind it.
 */
static bool decode(struct setup *s, struct slice body, struct buf *row, struct record *record,
		   struct err *err)
{
	uint8_t *copy = xmalloc(body.len);
	if (body.len > 0)
		memcpy(copy, body.data, body.len);
	bool good = decode_record(s->decoder, s->plan, (struct slice){copy, body.len}, row, record,
				  err);
	free(copy);
	return good;
}

/*
 * Avro-C cannot resolve it: a branch that the reader does not have. Unless it is a delete, whose
 * other columns nobody reads.
 */
static void check_refused(struct setup *s, struct slice body)
{
	struct buf row = {0};
	struct record record;
	struct err err = {0};
	if (decode(s, body, &row, &record, &err) && record.op != RECORD_DELETE)
		give_up(s, "a branch that the reader lacks", "was taken");
	if (row.len == 0 && record.reason != REASON_SCHEMA)
		give_up(s, "avro_value_read", avro_strerror());
	s->refused++;
	buf_free(&row);
}

static void check_row(struct setup *s, struct slice body)
{
	struct buf row = {0};
	struct record record;
	struct err err = {0};
	struct oracle oracle = {0};
	avro_reader_t in = avro_reader_memory((const char *)body.data, (int64_t)body.len);
	/* a new one: avro_value_reset() leaves unions with the branch they had */
	avro_value_decref(&s->view);
	avro_generic_value_new(s->view_class, &s->view);
	avro_resolved_writer_set_dest(&s->into, &s->view);
	bool resolves = avro_value_read(in, &s->into) == 0;
	avro_reader_free(in);
	if (!resolves) {
		check_refused(s, body);
		return;
	}
	if (!decode(s, body, &row, &record, &err))
		give_up(s, "decode_record", err.text);
	if (record.op != wanted_op(s))
		give_up(s, "op", "differs");
	if (!oracle_row(&oracle, s->table, &s->view, record.op, (struct slice){row.data, row.len}))
		give_up(s, "row", oracle.why);
	ck_assert_uint_eq(record.row_len, row.len);
	buf_free(&row);
}

/*
 * A datum cut short, or with a byte behind it, is an error and leaves nothing; one with a wrong
 * byte leaves nothing or a row.
 */
static void check_damage(struct setup *s, struct buf *datum)
{
	struct buf row = {0};
	struct record record;
	struct err err = {0};
	struct slice cut = {datum->data, random_below(s->random, datum->len)};
	if (decode(s, cut, &row, &record, &err) || row.len > 0)
		give_up(s, "a datum cut short", "was taken");
	ck_assert_int_eq(err.class, ERR_POISON);
	buf_u8(datum, 0);
	if (decode(s, (struct slice){datum->data, datum->len}, &row, &record, &err) || row.len > 0)
		give_up(s, "a datum with a byte behind it", "was taken");
	datum->len--;
	datum->data[random_below(s->random, datum->len)] = (uint8_t)random_bits(s->random);
	if (!decode(s, (struct slice){datum->data, datum->len}, &row, &record, &err))
		ck_assert_uint_eq(row.len, 0);
	buf_free(&row);
}

static void check_datum(struct setup *s)
{
	struct buf blocks = {0};
	size_t size = 0;
	random_fill(s->random, s->writer->root, &s->value);
	ck_assert_int_eq(avro_value_sizeof(&s->value, &size), 0);
	char *bytes = xmalloc(size);
	avro_writer_t out = avro_writer_memory(bytes, (int64_t)size);
	if (avro_value_write(out, &s->value) != 0)
		give_up(s, "avro_value_write", avro_strerror());
	check_row(s, (struct slice){(uint8_t *)bytes, (size_t)avro_writer_tell(out)});
	avro_writer_free(out);
	free(bytes);
	random_encode(s->random, &s->value, &blocks);
	check_row(s, (struct slice){blocks.data, blocks.len});
	check_damage(s, &blocks);
	buf_free(&blocks);
}

/*
 * Proves, for each of the schema pairs, that every row equals what Avro-C's resolved reader gives,
 * whichever way the datum's arrays and maps are cut into blocks; that what it cannot resolve is
 * refused; and that damaged data leaves the buffer as it was.
 */
START_TEST(test_random_schemas)
{
	uint64_t seed = from_env("MEMINGEST_SEED", 20261121),
		 rounds = from_env("MEMINGEST_ROUNDS", ROUNDS);
	fprintf(stderr, "oracle: MEMINGEST_SEED=%llu, %llu schema pairs\n",
		(unsigned long long)seed, (unsigned long long)rounds);
	unsigned refused = 0;
	for (uint64_t round = 0; round < rounds; round++) {
		struct random random = {.state = seed * 1000003 + round};
		struct setup s = {.random = &random, .seed = seed, .round = round};
		random_pair(&random, &s.pair);
		setup_ours(&s);
		setup_avro(&s);
		for (int i = 0; i < DATA; i++)
			check_datum(&s);
		refused += s.refused;
		teardown(&s);
	}
	ck_assert_msg(rounds < ROUNDS || refused > 20, "only %u data were refused", refused);
}
END_TEST

static Suite *oracle_suite(void)
{
	Suite *s = suite_create("oracle");
	TCase *t = tcase_create("avro-c");
	tcase_set_timeout(t, 120);
	tcase_add_test(t, test_random_schemas);
	suite_add_tcase(s, t);
	return s;
}
UNIT_SUITE(oracle_suite)

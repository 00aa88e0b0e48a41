/*
 * test_recode_rows.c - recoding changes nothing that a table would see: over the data of another
 * implementation, and over random schemas and data.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/plan.h"
#include "codec/recode.h"
#include "codec/table.h"
#include "random_avro.h"
#include "same_rows.h"
#include "unit.h"

static const struct decode_limits limits = {.max_depth = 64,
					    .max_items = 100000,
					    .max_string_bytes = 1 << 20,
					    .max_row_bytes = 1 << 22,
					    .max_key_bytes = 1 << 20};

/* The row of a datum by the plan of its schema; false: refused. */
static bool row_of(const struct schema *writer, const struct table *table, struct slice datum,
		   struct buf *row)
{
	struct decoder *d = decoder_new(&limits);
	struct record record;
	struct err err = {0};
	struct plan *plan = plan_new(writer, table, &err);
	ck_assert_msg(plan != NULL, "%s", err.text);
	row->len = 0;
	bool ok = decode_record(d, plan, datum, row, &record, &err);
	buf_u8(row, (uint8_t)record.op);
	plan_free(plan);
	decoder_free(d);
	return ok;
}

/*
 * The one thing that matters: the row of the datum, read with the writer's schema, and the row of
 * what it was recoded to, read with the reader's, are the same.
 */
static void check_rows(const char *name, const struct schema *w, const struct schema *r,
		       struct slice datum)
{
	struct err err = {0};
	struct buf out = {0}, before = {0}, after = {0};
	struct table *table = table_new(r, &err);
	ck_assert_msg(table != NULL, "%s: %s", name, err.text);
	struct recoder *recoder = recoder_new(w, r, &limits, &err);
	bool taken = row_of(w, table, datum, &before);
	/* of a delete only the key is looked at */
	bool deletes = taken && before.data[before.len - 1] == RECORD_DELETE;
	if (!recoder)
		ck_assert_msg(!taken, "%s: %s", name, err.text);
	else if (taken && !recode(recoder, datum, &out, &err))
		ck_assert_msg(deletes || strstr(err.text, "finer than") != NULL, "%s: %s", name,
			      err.text);
	else if (taken)
		ck_assert_msg(row_of(r, table, (struct slice){out.data, out.len}, &after) &&
				      before.data[before.len - 1] == after.data[after.len - 1] &&
				      same_rows(table, (struct slice){before.data, before.len - 1},
						(struct slice){after.data, after.len - 1}),
			      "%s: another row", name);
	recoder_free(recoder);
	table_free(table);
	buf_free(&out);
	buf_free(&before);
	buf_free(&after);
}

static struct schema *schema_of(const json_t *json)
{
	struct err err = {0};
	char *text = json_dumps(json, JSON_COMPACT);
	struct schema *s = schema_parse(text, strlen(text), &err);
	ck_assert_msg(s != NULL, "%s", err.text);
	free(text);
	return s;
}

/* Over the data that fastavro wrote: defaults, aliases, enums, promotions. */
START_TEST(test_golden_rows)
{
	json_t *all = json_load_file("tests/golden/cases.json", JSON_ALLOW_NUL, NULL), *test;
	size_t i;
	ck_assert_uint_gt(json_array_size(all), 10);
	json_array_foreach (all, i, test) {
		struct schema *w = schema_of(json_object_get(test, "writer")),
			      *r = schema_of(json_object_get(test, "reader"));
		struct buf datum = {0};
		for (const char *hex = json_string_value(json_object_get(test, "datum"));
		     hex[0] && hex[1]; hex += 2) {
			unsigned byte = 0;
			ck_assert_int_eq(sscanf(hex, "%2x", &byte), 1);
			buf_u8(&datum, (uint8_t)byte);
		}
		check_rows(json_string_value(json_object_get(test, "name")), w, r,
			   (struct slice){datum.data, datum.len});
		buf_free(&datum);
		schema_free(w);
		schema_free(r);
	}
	json_decref(all);
}
END_TEST

/* Over random schemas and random data. */
START_TEST(test_random_rows)
{
	struct random random = {.state = 20240229};
	struct random_pair pair = {0};
	for (int round = 0; round < 150; round++) {
		char name[40];
		avro_schema_t schema;
		avro_value_t value;
		struct buf datum = {0};
		struct err err = {0};
		random_pair(&random, &pair);
		struct schema *w = schema_parse((char *)pair.writer.data, pair.writer.len, &err),
			      *r = schema_parse((char *)pair.reader.data, pair.reader.len, &err);
		ck_assert_msg(w && r, "%s", err.text);
		ck_assert_int_eq(avro_schema_from_json_length((char *)pair.writer.data,
							      pair.writer.len, &schema),
				 0);
		avro_value_iface_t *class = avro_generic_class_from_schema(schema);
		avro_generic_value_new(class, &value);
		for (int i = 0; i < 6; i++) {
			snprintf(name, sizeof(name), "round %d, %d", round, i);
			avro_value_reset(&value);
			random_fill(&random, w->root, &value);
			datum.len = 0;
			random_encode(&random, &value, &datum);
			check_rows(name, w, r, (struct slice){datum.data, datum.len});
		}
		avro_value_decref(&value);
		avro_value_iface_decref(class);
		avro_schema_decref(schema);
		buf_free(&datum);
		schema_free(w);
		schema_free(r);
	}
	random_pair_free(&pair);
}
END_TEST

static Suite *recode_rows_suite(void)
{
	Suite *suite = suite_create("recode_rows");
	TCase *tc = tcase_create("recode_rows");
	tcase_add_test(tc, test_golden_rows);
	tcase_add_test(tc, test_random_rows);
	suite_add_tcase(suite, tc);
	return suite;
}

UNIT_SUITE(recode_rows_suite)

/*
 * test_golden.c - the rules of schema resolution that Avro-C does not have, against rows of another
 * implementation: data that fastavro wrote and read, with what it read as COPY fields
 * (tests/golden/make.py, tests/golden/cases.json).
 *
 * A file can also be named by MEMINGEST_GOLDEN.
 */
#include <jansson.h>
#include <math.h>

#include "codec_rig.h"

static const char *text_of(const json_t *test, const char *key)
{
	return json_string_value(json_object_get(test, key));
}

static struct schema *schema_of(const json_t *test, const char *key)
{
	struct err err = {0};
	char *text = json_dumps(json_object_get(test, key), JSON_COMPACT);
	struct schema *s = schema_parse(text, strlen(text), &err);
	ck_assert_msg(s, "%s: %s: %s", text_of(test, "name"), key, err.text);
	free(text);
	return s;
}

static void put_hex(struct buf *out, const char *hex)
{
	out->len = 0;
	for (; hex[0] && hex[1]; hex += 2) {
		unsigned byte = 0;
		ck_assert_int_eq(sscanf(hex, "%2x", &byte), 1);
		buf_u8(out, (uint8_t)byte);
	}
}

/*
 * As json_equal(), but 1 is 1.0, and reals may differ in the last place (a decimal became a double
 * in the file).
 */
static bool same_json(const json_t *a, const json_t *b)
{
	if (json_is_number(a) && json_is_number(b)) {
		double x = json_number_value(a), y = json_number_value(b);
		return fabs(x - y) <= fabs(x) * 1e-15;
	}
	if (json_typeof(a) != json_typeof(b))
		return false;
	if (json_is_array(a)) {
		bool same = json_array_size(a) == json_array_size(b);
		for (size_t i = 0; i < json_array_size(a) && same; i++)
			same = same_json(json_array_get(a, i), json_array_get(b, i));
		return same;
	}
	if (!json_is_object(a))
		return json_equal(a, b);
	const char *key;
	json_t *value;
	bool same = json_object_size(a) == json_object_size(b);
	json_object_foreach ((json_t *)a, key, value) {
		const json_t *other = json_object_get(b, key);
		same = same && other && same_json(value, other);
	}
	return same;
}

static void check_json(const char *name, const char *column, const json_t *want, struct slice got)
{
	json_error_t at;
	ck_assert_msg(got.len > 1 && got.data[0] == 1, "%s: %s: no jsonb", name, column);
	json_t *j = json_loadb((const char *)got.data + 1, got.len - 1, JSON_DECODE_ANY, &at);
	ck_assert_msg(j && same_json(want, j), "%s: %s: got %.*s", name, column, (int)got.len - 1,
		      (const char *)got.data + 1);
	json_decref(j);
}

static void check_column(const struct rig *r, const json_t *test, size_t i, struct buf *want)
{
	const json_t *c = json_array_get(json_object_get(test, "columns"), i);
	const char *name = text_of(test, "name"), *column = text_of(c, "name");
	struct slice got = rig_field(r, i);
	ck_assert_str_eq(r->table->columns[i].name, column);
	if (json_object_get(c, "null")) {
		ck_assert_msg(!got.data, "%s: %s is not null", name, column);
	} else if (json_object_get(c, "json")) {
		check_json(name, column, json_object_get(c, "json"), got);
	} else {
		put_hex(want, text_of(c, "hex"));
		ck_assert_msg(got.data && got.len == want->len &&
				      (got.len == 0 || memcmp(got.data, want->data, got.len) == 0),
			      "%s: %s: %zu bytes differ from %s", name, column, got.len,
			      text_of(c, "hex"));
	}
}

/* fastavro cannot resolve the datum: a fault of the datum alone, as its schema has a plan. */
static void check_refused(struct rig *r, const json_t *test)
{
	ck_assert_msg(!rig_try_decode(r), "%s: taken", text_of(test, "name"));
	ck_assert_msg(r->record.reason == REASON_SCHEMA, "%s: reason %s", text_of(test, "name"),
		      dead_reason_name(r->record.reason));
	ck_assert_ptr_nonnull(plan_note(r->plan));
	rig_free(r);
}

static void check_case(const json_t *test)
{
	struct rig r;
	struct buf want = {0};
	ck_assert_msg(rig_try_open(&r, schema_of(test, "writer"), schema_of(test, "reader")),
		      "%s: %s", text_of(test, "name"), r.err.text);
	put_hex(&r.in, text_of(test, "datum"));
	if (json_object_get(test, "refused")) {
		check_refused(&r, test);
		return;
	}
	ck_assert_uint_eq(json_array_size(json_object_get(test, "columns")), r.table->ncolumns);
	ck_assert_msg(rig_try_decode(&r), "%s: %s", text_of(test, "name"), r.err.text);
	ck_assert_msg((r.record.op == RECORD_DELETE) ==
			      json_is_true(json_object_get(test, "delete")),
		      "%s: the operation", text_of(test, "name"));
	for (size_t i = 0; i < r.table->ncolumns; i++)
		check_column(&r, test, i, &want);
	buf_free(&want);
	rig_free(&r);
}

/*
 * Proves, case by case, that a row is what fastavro read with the same two schemas. The cases'
 * names are in the file.
 */
START_TEST(test_cases)
{
	const char *path = getenv("MEMINGEST_GOLDEN");
	json_error_t at;
	json_t *cases =
		json_load_file(path ? path : "tests/golden/cases.json", JSON_ALLOW_NUL, &at);
	ck_assert_msg(json_is_array(cases), "%s:%d: %s (tests run from the top of the tree)",
		      at.source, at.line, at.text);
	ck_assert_uint_gt(json_array_size(cases), 130);
	for (size_t i = 0; i < json_array_size(cases); i++)
		check_case(json_array_get(cases, i));
	json_decref(cases);
}
END_TEST

static Suite *golden_suite(void)
{
	Suite *s = suite_create("golden");
	TCase *t = tcase_create("fastavro");
	tcase_add_test(t, test_cases);
	suite_add_tcase(s, t);
	return s;
}
UNIT_SUITE(golden_suite)

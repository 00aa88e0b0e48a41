/*
 * test_jsondatum.c - events written as JSON become the Avro bytes that they mean, or an error that
 * leads to the mistake.
 */
#include <avro.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/jsondatum.h"
#include "io/avrofile.h"
#include "schema/encode.h"
#include "unit.h"

static struct schema *parse(const char *text)
{
	struct err err = {0};
	struct schema *s = schema_parse(text, strlen(text), &err);
	ck_assert_msg(s != NULL, "%s", err.text);
	return s;
}

/* Encodes value by type; error: what the error text must hold, or NULL. */
static void check(const char *type, const char *value, const void *bytes, size_t n,
		  const char *error)
{
	struct buf out = {0};
	struct err err = {0};
	struct schema *schema = parse(type);
	json_t *json = json_loads(value, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	ck_assert_msg(json != NULL, "%s", value);
	buf_puts(&out, "kept");
	bool ok = jsondatum_encode(schema->root, json, &out, &err);
	if (error) {
		ck_assert_msg(!ok, "%s as %s: no error", value, type);
		ck_assert_int_eq(err.class, ERR_POISON);
		ck_assert_msg(strstr(err.text, error) != NULL, "%s: %s", value, err.text);
		ck_assert_uint_eq(out.len, 4);
	} else {
		ck_assert_msg(ok, "%s: %s", value, err.text);
		ck_assert_int_eq(err.class, ERR_NONE);
		ck_assert_uint_eq(out.len, n + 4);
		ck_assert_mem_eq(out.data + 4, bytes, n);
	}
	json_decref(json);
	schema_free(schema);
	buf_free(&out);
}

#define GOOD(type, value, bytes) check(type, value, bytes, sizeof(bytes) - 1, NULL)
#define BAD(type, value, error) check(type, value, NULL, 0, error)

/* Plain values, and the ways to write those that JSON has no word for. */
START_TEST(test_plain)
{
	GOOD("\"long\"", "-64", "\x7f");
	GOOD("\"int\"", "2147483647", "\xfe\xff\xff\xff\x0f");
	BAD("\"int\"", "2147483648", "out of range");
	BAD("\"long\"", "1.5", "wants long, found a number");
	GOOD("\"boolean\"", "true", "\x01");
	GOOD("\"float\"", "1", "\0\0\x80\x3f");
	GOOD("\"float\"", "\"-Infinity\"", "\0\0\x80\xff");
	GOOD("\"double\"", "-2.0", "\0\0\0\0\0\0\0\xc0");
	GOOD("\"string\"", "\"a\\u0000b\"",
	     "\x06"
	     "a\0b");
	GOOD("\"string\"", "{\"a\":1}", "\x0e{\"a\":1}");
	BAD("\"string\"", "7", "wants string, found a number");
	GOOD("\"bytes\"", "\"\\u00ff\\u0001\"", "\x04\xff\x01");
	BAD("\"bytes\"", "\"\\u0100\"", "wants bytes");
	GOOD("\"bytes\"", "[1]", "\x08\0\0\x80\x3f");
	BAD("{\"type\":\"fixed\",\"name\":\"F\",\"size\":3}", "\"ab\"", "wants 3 bytes, found 2");
	GOOD("{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"]}", "\"B\"", "\x02");
	BAD("{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"]}", "\"C\"",
	    "\"C\" is no symbol of enum E");
	GOOD("{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":9,\"scale\":2}",
	     "-1.29", "\x04\xff\x7f");
}
END_TEST

/* Times as people write them, with zones and fractions, in each unit. */
START_TEST(test_times)
{
	GOOD("{\"type\":\"long\",\"logicalType\":\"timestamp-millis\"}",
	     "\"1970-01-01T00:00:01.5Z\"", "\xb8\x17");
	GOOD("{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}",
	     "\"1970-01-01T01:00:00.00006+01:00\"", "\x78");
	GOOD("{\"type\":\"long\",\"logicalType\":\"timestamp-nanos\"}",
	     "\"1969-12-31 23:59:59.999999999\"", "\x01");
	GOOD("{\"type\":\"int\",\"logicalType\":\"date\"}", "\"1970-02-01\"", "\x3e");
	BAD("{\"type\":\"int\",\"logicalType\":\"date\"}", "\"1970-02-01x\"", "found a string");
	BAD("{\"type\":\"long\",\"logicalType\":\"timestamp-millis\"}", "\"yesterday\"",
	    "found a string");
	BAD("\"long\"", "\"1970-02-01\"", "wants long");
}
END_TEST

/* Unions are plain or named; records have defaults; an error tells the way to the value. */
START_TEST(test_nested)
{
	static const char record[] = "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":"
				     "\"a\",\"type\":\"int\",\"default\":5},"
				     "{\"name\":\"b\",\"type\":[\"null\",{\"type\":\"array\","
				     "\"items\":\"float\"}],\"default\":null},"
				     "{\"name\":\"c\",\"type\":[\"null\",\"string\"]}]}";
	GOOD("[\"null\",\"long\",\"string\"]", "null", "\0");
	GOOD("[\"null\",\"long\",\"string\"]", "3", "\x02\x06");
	GOOD("[\"null\",\"long\",\"string\"]", "\"x\"", "\x04\x02x");
	GOOD("[\"null\",\"long\",\"string\"]", "{\"string\":\"x\"}", "\x04\x02x");
	BAD("[\"null\",\"long\"]", "\"x\"", "wants long, found a string");
	GOOD(record, "{\"c\":null}", "\x0a\0\0");
	GOOD(record, "{\"a\":1,\"b\":[0.5],\"c\":\"z\"}", "\x02\x02\x02\0\0\0\x3f\0\x02\x02z");
	GOOD(record, "{\"a\":1,\"b\":{\"array\":[]},\"c\":{\"string\":\"z\"}}",
	     "\x02\x02\0\x02\x02z");
	BAD(record, "{\"a\":1}", "field 'c': is missing and has no default");
	BAD(record, "{\"a\":1,\"c\":null,\"d\":2}", "record R has no field 'd'");
	BAD(record, "{\"b\":[1,\"two\"],\"c\":null}",
	    "field 'b': item 2: wants float, found a string");
	GOOD("{\"type\":\"map\",\"values\":\"int\"}", "{\"k\":1}", "\x02\x02k\x02\0");
	BAD("{\"type\":\"map\",\"values\":\"int\"}", "{\"k\":true}",
	    "key \"k\": wants int, found a boolean");
}
END_TEST

/* A message key is taken out of an event that has more fields. */
START_TEST(test_some)
{
	struct schema *schema = parse("{\"type\":\"record\",\"name\":\"K\",\"fields\":[{\"name\":"
				      "\"k\",\"type\":\"string\"}]}");
	struct buf out = {0};
	struct err err = {0};
	json_t *json = json_loads("{\"x\":1,\"k\":\"v\"}", 0, NULL);
	ck_assert(!jsondatum_encode(schema->root, json, &out, &err));
	ck_assert(jsondatum_encode_some(schema->root, json, &out, &err));
	ck_assert_uint_eq(out.len, 2);
	ck_assert_mem_eq(out.data, "\x02v", 2);
	json_decref(json);
	schema_free(schema);
	buf_free(&out);
}
END_TEST

static void write_container(const char *path, const char *schema_json)
{
	avro_schema_t schema;
	avro_file_writer_t writer;
	avro_value_t value, field, branch;
	ck_assert_int_eq(avro_schema_from_json_length(schema_json, strlen(schema_json), &schema),
			 0);
	ck_assert_int_eq(avro_file_writer_create(path, schema, &writer), 0);
	avro_value_iface_t *iface = avro_generic_class_from_schema(schema);
	avro_generic_value_new(iface, &value);
	for (int i = 0; i < 3; i++) {
		avro_value_get_by_index(&value, 0, &field, NULL);
		avro_value_set_int(&field, i);
		avro_value_get_by_index(&value, 1, &field, NULL);
		avro_value_set_branch(&field, 1, &branch);
		avro_value_set_string(&branch, "text");
		ck_assert_int_eq(avro_file_writer_append_value(writer, &value), 0);
	}
	avro_value_decref(&value);
	avro_value_iface_decref(iface);
	avro_file_writer_close(writer);
	avro_schema_decref(schema);
}

/* The records of a container file come out as JSON that encodes into the same bytes. */
START_TEST(test_container)
{
	static const char text[] =
		"{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"a\",\"type\":\"int\"},"
		"{\"name\":\"b\",\"type\":[\"null\",\"string\"]}]}";
	char path[] = "/tmp/memingest-unit-XXXXXX", *record;
	struct err err = {0};
	struct buf out = {0};
	int fd = mkstemp(path);
	close(fd);
	ck_assert(!avrofile_is(path));
	ck_assert_ptr_null(avrofile_open(path, &err));
	ck_assert_int_eq(err.class, ERR_CONFIG);
	unlink(path); /* Avro-C creates it only when it is not there */
	write_container(path, text);
	ck_assert(avrofile_is(path));

	struct schema *schema = parse(text);
	struct avrofile *file = avrofile_open(path, &err);
	ck_assert_ptr_nonnull(file);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(avrofile_next(file, &record, &err), AVROFILE_RECORD);
		json_t *json = json_loads(record, 0, NULL);
		out.len = 0;
		ck_assert_msg(jsondatum_encode(schema->root, json, &out, &err), "%s", err.text);
		ck_assert_mem_eq(out.data, ((uint8_t[]){(uint8_t)(2 * i), 2, 8, 't'}), 4);
		json_decref(json);
		free(record);
	}
	ck_assert_int_eq(avrofile_next(file, &record, &err), AVROFILE_END);
	avrofile_close(file);
	schema_free(schema);
	buf_free(&out);
	unlink(path);
}
END_TEST

static Suite *jsondatum_suite(void)
{
	Suite *suite = suite_create("jsondatum");
	TCase *tc = tcase_create("jsondatum");
	tcase_add_test(tc, test_plain);
	tcase_add_test(tc, test_times);
	tcase_add_test(tc, test_nested);
	tcase_add_test(tc, test_some);
	tcase_add_test(tc, test_container);
	suite_add_tcase(suite, tc);
	return suite;
}

UNIT_SUITE(jsondatum_suite)

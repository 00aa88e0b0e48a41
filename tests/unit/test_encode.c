/*
 * test_encode.c - Avro bytes as the specification has them, and as Avro-C reads them.
 */
#include <avro.h>
#include <math.h>

#include "schema/encode.h"
#include "unit.h"

static struct schema *parse(const char *text)
{
	struct err err = {0};
	struct schema *s = schema_parse(text, strlen(text), &err);
	ck_assert_msg(s != NULL, "%s", err.text);
	return s;
}

static void expect(struct buf *b, const void *bytes, size_t n)
{
	ck_assert_uint_eq(b->len, n);
	ck_assert_mem_eq(b->data, bytes, n);
	b->len = 0;
}

/* The examples of the specification, and the ends of the range. */
START_TEST(test_numbers)
{
	struct buf b = {0};
	encode_long(&b, 0);
	encode_long(&b, -1);
	encode_long(&b, 1);
	encode_long(&b, -64);
	encode_long(&b, 64);
	expect(&b, "\x00\x01\x02\x7f\x80\x01", 6);
	encode_long(&b, INT64_MAX);
	expect(&b, "\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10);
	encode_long(&b, INT64_MIN);
	expect(&b, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10);
	encode_float(&b, 1.0f);
	encode_double(&b, -2.0);
	expect(&b, "\0\0\x80\x3f\0\0\0\0\0\0\0\xc0", 12);
	encode_bytes(&b, "foo", 3);
	expect(&b,
	       "\x06"
	       "foo",
	       4);
	buf_free(&b);
}
END_TEST

/* Avro-C reads back what was written, field by field. */
START_TEST(test_against_avro_c)
{
	static const char text[] = "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":"
				   "\"l\",\"type\":\"long\"},"
				   "{\"name\":\"f\",\"type\":{\"type\":\"array\",\"items\":"
				   "\"float\"}},{\"name\":\"s\",\"type\":"
				   "\"string\"},"
				   "{\"name\":\"u\",\"type\":[\"null\",\"double\"]},{\"name\":"
				   "\"b\",\"type\":\"boolean\"}]}";
	float floats[] = {0.5f, -1.25f, INFINITY};
	struct buf b = {0};
	struct schema *schema = parse(text);
	avro_schema_t oracle;
	avro_value_t value, field, item;
	int64_t l;
	float f;
	double d;
	int flag;
	const char *s;
	size_t n;

	encode_long(&b, -123456789012345);
	encode_float_array(&b, floats, 3);
	encode_bytes(&b, "h\xc3\xa9", 3);
	encode_long(&b, encode_branch(schema->root->fields[3].type, SCHEMA_DOUBLE));
	encode_double(&b, 0.1);
	encode_bool(&b, true);

	ck_assert_int_eq(avro_schema_from_json_length(text, strlen(text), &oracle), 0);
	avro_value_iface_t *iface = avro_generic_class_from_schema(oracle);
	avro_generic_value_new(iface, &value);
	avro_reader_t reader = avro_reader_memory((const char *)b.data, (int64_t)b.len);
	ck_assert_int_eq(avro_value_read(reader, &value), 0);
	avro_value_get_by_index(&value, 0, &field, NULL);
	avro_value_get_long(&field, &l);
	ck_assert(l == -123456789012345);
	avro_value_get_by_index(&value, 1, &field, NULL);
	avro_value_get_size(&field, &n);
	ck_assert_uint_eq(n, 3);
	for (size_t i = 0; i < 3; i++) {
		avro_value_get_by_index(&field, i, &item, NULL);
		avro_value_get_float(&item, &f);
		ck_assert(f == floats[i]);
	}
	avro_value_get_by_index(&value, 2, &field, NULL);
	avro_value_get_string(&field, &s, &n);
	ck_assert_str_eq(s, "h\xc3\xa9");
	avro_value_get_by_index(&value, 3, &field, NULL);
	avro_value_get_current_branch(&field, &item);
	avro_value_get_double(&item, &d);
	ck_assert(d == 0.1);
	avro_value_get_by_index(&value, 4, &field, NULL);
	avro_value_get_boolean(&field, &flag);
	ck_assert_int_eq(flag, 1);
	avro_reader_free(reader);
	avro_value_decref(&value);
	avro_value_iface_decref(iface);
	avro_schema_decref(oracle);
	schema_free(schema);
	buf_free(&b);
}
END_TEST

/* Decimals are the shortest two's complement, or fill a fixed. */
START_TEST(test_decimals)
{
	struct schema *bytes = parse(
		"{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":18,\"scale\":2}");
	struct schema *fixed = parse("{\"type\":\"fixed\",\"name\":\"D\",\"size\":10,"
				     "\"logicalType\":\"decimal\",\"precision\":20}");
	struct buf b = {0};
	encode_decimal(&b, bytes->root, 0);
	expect(&b, "\x02\x00", 2);
	encode_decimal(&b, bytes->root, 128);
	expect(&b, "\x04\x00\x80", 3);
	encode_decimal(&b, bytes->root, -128);
	expect(&b, "\x02\x80", 2);
	encode_decimal(&b, bytes->root, -129);
	expect(&b, "\x04\xff\x7f", 3);
	encode_decimal(&b, bytes->root, INT64_MIN);
	expect(&b, "\x10\x80\0\0\0\0\0\0\0", 9);
	encode_decimal(&b, fixed->root, -2);
	expect(&b, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe", 10);
	encode_decimal(&b, fixed->root, 258);
	expect(&b, "\0\0\0\0\0\0\0\0\x01\x02", 10);
	schema_free(bytes);
	schema_free(fixed);
	buf_free(&b);
}
END_TEST

/* What encode_frame() puts in front, frame_split() takes off again. */
START_TEST(test_frames)
{
	static const enum frame_format formats[] = {FRAME_CONFLUENT, FRAME_SINGLE_OBJECT,
						    FRAME_RAW};
	static const uint64_t keys[] = {0x01020304, UINT64_C(0x1122334455667788), 0};
	for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
		struct buf b = {0};
		struct frame frame;
		struct err err = {0};
		encode_frame(&b, formats[i], keys[i]);
		buf_puts(&b, "datum");
		ck_assert(frame_split(formats[i], (struct slice){b.data, b.len}, &frame, &err));
		ck_assert(frame.id.number == keys[i]);
		ck_assert_uint_eq(frame.body.len, 5);
		ck_assert_mem_eq(frame.body.data, "datum", 5);
		buf_free(&b);
	}
}
END_TEST

static Suite *encode_suite(void)
{
	Suite *suite = suite_create("encode");
	TCase *tc = tcase_create("encode");
	tcase_add_test(tc, test_numbers);
	tcase_add_test(tc, test_against_avro_c);
	tcase_add_test(tc, test_decimals);
	tcase_add_test(tc, test_frames);
	suite_add_tcase(suite, tc);
	return suite;
}

UNIT_SUITE(encode_suite)

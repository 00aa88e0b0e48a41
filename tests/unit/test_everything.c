/*
 * test_everything.c - the made-up stream that uses every type and annotation, whole, cut and
 * mutated.
 */
#include "codec_rig.h"

static void put_node(struct buf *b, bool next)
{
	avro_string(b, "label");
	avro_long(b, 2);
	avro_long(b, 1);
	avro_long(b, 1700000000123);
	avro_long(b, 1);
	avro_bytes(b, "\xfb\x2e", 2);
	avro_bytes(b, "raw", 3);
	avro_long(b, 3);
	avro_string(b, "a");
	avro_long(b, 0);
	avro_string(b, "b");
	avro_long(b, 1);
	avro_float(b, 0.5f);
	avro_string(b, "c");
	avro_long(b, 2);
	avro_string(b, "text");
	avro_long(b, 0);
	avro_long(b, next);
	if (next)
		put_node(b, false);
}

static void some(struct buf *b)
{
	avro_long(b, 1);
}

static void put_times(struct buf *b)
{
	static const int64_t values[] = {19782,         45296789,         45296789012,
					 1700000000123, 1700000000123456, 1700000000123456789,
					 1700000000123, 1700000000123456, 1700000000123456789};
	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		some(b);
		avro_long(b, values[i]);
	}
}

static void put_arrays(struct buf *b)
{
	some(b); /* a_string */
	avro_long(b, 2);
	some(b);
	avro_string(b, "x");
	avro_long(b, 0);
	avro_long(b, 0);
	avro_long(b, 1); /* a_long */
	avro_long(b, 7);
	avro_long(b, 0);
	some(b); /* a_double */
	avro_long(b, 1);
	avro_double(b, 0.25);
	avro_long(b, 0);
	some(b); /* a_uuid */
	avro_long(b, 1);
	avro_string(b, "00010203-0405-0607-0809-0a0b0c0d0e0f");
	avro_long(b, 0);
	some(b); /* a_time */
	avro_long(b, 1);
	avro_long(b, 1700000000123);
	avro_long(b, 0);
	some(b); /* a_decimal */
	avro_long(b, 1);
	avro_bytes(b, "\x04\xd2", 2);
	avro_long(b, 0);
	some(b); /* m_map */
	avro_long(b, 1);
	avro_string(b, "pi");
	avro_double(b, 3.5);
	avro_long(b, 0);
	some(b); /* r_record */
	put_node(b, true);
	some(b); /* a_record */
	avro_long(b, 1);
	put_node(b, false);
	avro_long(b, 0);
	avro_long(b, 2); /* u_any */
	avro_string(b, "any");
}

static void put_vectors(struct buf *b)
{
	static const float f[] = {0, 0.5f, 1};
	some(b); /* v_float */
	avro_floats(b, 3);
	some(b); /* v_double */
	avro_long(b, 3);
	for (int i = 0; i < 3; i++)
		avro_double(b, i / 2.0);
	avro_long(b, 0);
	some(b); /* v_packed */
	avro_bytes(b, f, sizeof(f));
	some(b); /* v_fixed */
	buf_put(b, f, sizeof(f));
	for (int i = 0; i < 3; i++) { /* v_half, v_real, v_via */
		some(b);
		avro_floats(b, 3);
	}
}

static void put_everything(struct buf *b, int change)
{
	avro_long(b, change);
	avro_long(b, 0);
	avro_long(b, 5);  /* revision */
	avro_long(b, 77); /* part */
	avro_string(b, "00010203-0405-0607-0809-0a0b0c0d0e0f");
	avro_string(b, "order");
	buf_u8(b, 1);
	avro_long(b, 1); /* i_int */
	avro_long(b, 2);
	some(b);
	avro_long(b, 3);
	avro_float(b, 0.5f);
	some(b);
	avro_double(b, 0.25);
	avro_bytes(b, "\xff\0", 2);
	for (int i = 0; i < 2; i++) { /* s_string, s_short */
		some(b);
		avro_string(b, "text");
	}
	some(b);
	avro_string(b, "{\"a\":1}");
	some(b);
	avro_string(b, "127.0.0.1");
	some(b);
	buf_puts(b, "four");
	some(b);
	avro_long(b, 1);
	put_times(b);
	some(b);
	buf_puts(b, "0123456789abcdef");
	some(b);
	avro_bytes(b, "\x01\xe2\x40", 3);
	some(b);
	buf_put(b, "\0\0\0\0\0\0\0\x04\xd2", 9);
	some(b);
	buf_put(b, "\1\0\0\0\2\0\0\0\3\0\0\0", 12);
	put_arrays(b);
	put_vectors(b);
	some(b); /* first_seen */
	avro_long(b, 1700000000123456);
	some(b);
	avro_string(b, "nick");
	avro_long(b, 3);
	some(b);
	avro_double(b, -1.5);
	some(b);
	avro_long(b, 1700000000123);
	avro_long(b, 0);
}

static size_t column(const struct rig *r, const char *name)
{
	for (size_t i = 0; i < r->table->ncolumns; i++)
		if (strcmp(r->table->columns[i].name, name) == 0)
			return i;
	ck_abort_msg("no column %s", name);
	return 0;
}

/* Every type and annotation at once; the schema is written with itself. */
START_TEST(everything)
{
	struct rig r;
	rig_open(&r, NULL, rig_schema_file("tests/schemas/everything.avsc"));
	put_everything(&r.in, 0);
	rig_decode(&r);
	ck_assert_int_eq(r.record.op, RECORD_UPSERT);
	ck_assert_int_eq(r.record.version, 5);
	ck_assert_uint_eq(r.record.key_len, 4 + 16 + 4 + 4);
	ck_assert_int_eq(rig_int(&r, column(&r, "part")), 77);
	rig_text(&r, column(&r, "renamed_text"), "text");
	rig_text(&r, column(&r, "s_cast"), "127.0.0.1");
	rig_text(&r, column(&r, "colour"), "GREEN");
	ck_assert_int_eq(rig_int(&r, column(&r, "t_time_ms")), INT64_C(45296789000));
	ck_assert_int_eq(rig_int(&r, column(&r, "t_ns")),
			 INT64_C(1700000000123456) - INT64_C(946684800000000));
	rig_json(&r, column(&r, "m_map"), "{'pi':3.5}");
	rig_json(&r, column(&r, "u_any"), "'any'");
#define NODE                                                                                       \
	"{'label':'label','colour':'BLUE','seen':'2023-11-14T22:13:20.123Z','price':-12.34,'raw':" \
	"'raw',"                                                                                   \
	"'weights':{'a':null,'b':0.5,'c':'text'},'next':"
	rig_json(&r, column(&r, "r_record"), NODE NODE "null}}");
	rig_json(&r, column(&r, "a_record"), "[" NODE "null}]");
	static const char *const vectors[] = {"v_float", "v_double", "v_packed", "v_fixed"};
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++)
		rig_vector(&r, column(&r, vectors[i]), 3);
	ck_assert_uint_eq(rig_field(&r, column(&r, "v_via")).len, 44);
	for (size_t i = 0; i < r.table->ncolumns; i++)
		ck_assert_msg(rig_field(&r, i).data ||
				      strcmp(r.table->columns[i].name, "attributes") == 0,
			      "%s is null", r.table->columns[i].name);
	r.in.len = 0;
	put_everything(&r.in, 1);
	rig_decode(&r);
	ck_assert_int_eq(r.record.op, RECORD_DELETE);
	rig_free(&r);
}
END_TEST

/* Cut at every byte, the datum is refused, and for the one reason. */
START_TEST(truncated_at_every_byte)
{
	struct rig r;
	rig_open(&r, NULL, rig_schema_file("tests/schemas/everything.avsc"));
	put_everything(&r.in, 0);
	for (size_t len = r.in.len; len-- > 0;) {
		r.in.len = len;
		ck_assert_msg(!rig_try_decode(&r), "taken with %zu bytes", len);
		ck_assert_int_eq(r.record.reason, REASON_DECODE);
	}
	rig_free(&r);
}
END_TEST

/*
 * Every byte of it changed, to some values that matter and to random ones: any answer, but no crash
 * and no byte read outside.
 */
START_TEST(mutated)
{
	static const uint8_t values[] = {0x00, 0x01, 0x02, 0x7f, 0x80, 0xff};
	struct rig r;
	uint32_t seed = 1, taken = 0;
	rig_open(&r, NULL, rig_schema_file("tests/schemas/everything.avsc"));
	put_everything(&r.in, 0);
	for (size_t i = 0; i < r.in.len; i++) {
		uint8_t kept = r.in.data[i];
		for (size_t k = 0; k < ARRAY_LEN(values) + 4; k++) {
			seed = seed * 1664525 + 1013904223;
			r.in.data[i] = k < ARRAY_LEN(values) ? values[k] : (uint8_t)(seed >> 24);
			taken += rig_try_decode(&r);
		}
		r.in.data[i] = kept;
	}
	ck_assert_uint_gt(taken, 0);
	rig_free(&r);
}
END_TEST

static Suite *everything_suite(void)
{
	Suite *s = suite_create("everything");
	TCase *t = tcase_create("everything");
	tcase_add_test(t, everything);
	tcase_add_test(t, truncated_at_every_byte);
	tcase_add_test(t, mutated);
	suite_add_tcase(s, t);
	return s;
}
UNIT_SUITE(everything_suite)

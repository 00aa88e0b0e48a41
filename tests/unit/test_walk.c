/*
 * test_walk.c - hostile data: numbers, lengths, counts, sizes and nesting that lie. Each input ends
 * at the end of a heap block (codec_rig.h), so that a sanitizer sees one byte read too many.
 */
#include "codec_rig.h"

/* Varints: five and ten bytes are the most, and what they hold has to fit. */
START_TEST(varints)
{
	struct rig r;
	rig_open_one(&r, "'int'", "");
	buf_put(&r.in, "\xff\xff\xff\xff\x0f", 5);
	rig_decode(&r);
	ck_assert_int_eq(rig_int(&r, 1), INT32_MIN);
	rig_start(&r);
	buf_put(&r.in, "\xff\xff\xff\xff\x1f", 5);
	rig_refused(&r, REASON_DECODE, "more bits");
	rig_start(&r);
	buf_put(&r.in, "\x80\x80\x80\x80\x80\x00", 6);
	rig_refused(&r, REASON_DECODE, "more bits");
	rig_free(&r);
	rig_open_one(&r, "'long'", "");
	buf_put(&r.in, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10);
	rig_decode(&r);
	ck_assert_int_eq(rig_int(&r, 1), INT64_MIN);
	rig_start(&r);
	buf_put(&r.in, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10);
	rig_refused(&r, REASON_DECODE, "more bits");
	rig_start(&r);
	buf_put(&r.in, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00", 11);
	rig_refused(&r, REASON_DECODE, "more bits");
	rig_start(&r);
	buf_put(&r.in, "\x82\x00", 2); /* longer than need be, which no rule forbids */
	rig_decode(&r);
	ck_assert_int_eq(rig_int(&r, 1), 1);
	rig_free(&r);
}
END_TEST

/* Bytes behind the datum, and none at all. */
START_TEST(trailing_and_empty)
{
	struct rig r;
	rig_open_one(&r, "'long'", "");
	avro_long(&r.in, 7);
	buf_u8(&r.in, 0);
	rig_refused(&r, REASON_DECODE, "1 bytes are left behind the last field");
	r.in.len = 0;
	rig_refused(&r, REASON_DECODE, "field 'k' at byte 0: the datum ends inside");
	rig_free(&r);
}
END_TEST

/* Blocks: counts and sizes that lie, where the items are read and where they are skipped. */
START_TEST(lying_blocks)
{
	static const char *const readers[] = {"{'type':'vector(1)'}", "", "{'type':'jsonb'}",
					      "{'column':false}"};
	for (size_t i = 0; i < ARRAY_LEN(readers); i++) {
		struct rig r;
		bool read = i < 3;
		rig_open_one(&r, "{'type':'array','items':'float'}", readers[i]);
		avro_long(&r.in, INT64_MIN);
		avro_long(&r.in, 4);
		avro_float(&r.in, 1);
		avro_long(&r.in, 0);
		rig_refused(&r, REASON_DECODE, "count is out of range");
		rig_start(&r);
		avro_long(&r.in, INT64_MAX);
		avro_float(&r.in, 1);
		rig_refused(&r, REASON_TOO_LARGE, "items");
		rig_start(&r);
		avro_long(&r.in, 9999); /* within the limit, but not there */
		avro_float(&r.in, 1);
		rig_refused(&r, REASON_DECODE, "ends inside");
		rig_start(&r);
		avro_long(&r.in, -1);
		avro_long(&r.in, -4);
		avro_float(&r.in, 1);
		avro_long(&r.in, 0);
		rig_refused(&r, REASON_DECODE, "size is negative");
		rig_start(&r);
		avro_long(&r.in, -1);
		avro_long(&r.in, INT64_MAX);
		avro_float(&r.in, 1);
		avro_long(&r.in, 0);
		rig_refused(&r, REASON_DECODE, "more than what is left");
		rig_start(&r);
		avro_long(&r.in, -1);
		avro_long(&r.in, 8); /* of which the item has 4 */
		avro_float(&r.in, 1);
		avro_float(&r.in, 1);
		avro_long(&r.in, 0);
		if (read)
			rig_refused(&r, REASON_DECODE, "size does not agree");
		else
			rig_decode(&r); /* nobody looks inside */
		rig_start(&r);
		avro_long(&r.in, -2);
		/* too little: the second item would be the end and what follows */
		avro_long(&r.in, 4);
		avro_float(&r.in, 1);
		avro_long(&r.in, 0);
		if (read)
			ck_assert(!rig_try_decode(&r));
		rig_free(&r);
	}
}
END_TEST

/* The limit of one string, exactly, as a column of text and of JSON. */
START_TEST(long_strings)
{
	static const char *const readers[] = {"{'name':'x','type':'string'}",
					      "{'name':'x','type':'string','pg':{'type':'jsonb'}}"};
	for (size_t i = 0; i < ARRAY_LEN(readers); i++) {
		struct rig r;
		rig_open_fields(&r, "{'name':'x','type':'string'}", readers[i]);
		for (size_t n = 100000; n <= 100001; n++) {
			rig_start(&r);
			avro_long(&r.in, (int64_t)n);
			memset(buf_take(&r.in, n), '"', n);
			memset(r.in.data + r.in.len - n + 1, 'a', n - 2);
			if (n == 100000)
				rig_decode(&r);
			else
				rig_refused(&r, REASON_TOO_LARGE, "limits.max_string");
		}
		rig_free(&r);
	}
}
END_TEST

/*
 * Items without bytes are bounded by count, in one block and in many, in arrays in arrays, and in
 * an instant.
 */
START_TEST(items_without_bytes)
{
	static const char *const types[] = {
		"{'type':'array','items':'null'}",
		"{'type':'array','items':{'type':'record','name':'S','fields':[]}}",
		"{'type':'array','items':{'type':'fixed','name':'Z','size':0}}"};
	static const char *const pgs[] = {"{'type':'jsonb'}", "{'column':false}"};
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		for (size_t k = 0; k < ARRAY_LEN(pgs); k++) {
			struct rig r;
			rig_open_one(&r, types[i], pgs[k]);
			avro_long(&r.in, INT64_C(1) << 40);
			avro_long(&r.in, 0);
			rig_refused(&r, REASON_TOO_LARGE, "limits.max_items");
			rig_start(&r);
			for (int block = 0; block < 101; block++)
				avro_long(&r.in, 100);
			avro_long(&r.in, 0);
			rig_refused(&r, REASON_TOO_LARGE, "limits.max_items");
			/* in blocks with a head of one byte */
			for (int more = 0; more < 2; more++) {
				rig_start(&r);
				for (int block = 0; block < 200; block++)
					avro_long(&r.in, 50);
				if (more)
					avro_long(&r.in, 1);
				avro_long(&r.in, 0);
				if (more)
					rig_refused(&r, REASON_TOO_LARGE, "limits.max_items");
				else
					rig_decode(&r);
			}
			rig_start(&r);
			avro_long(&r.in, 10000);
			avro_long(&r.in, 0);
			rig_decode(&r);
			rig_free(&r);
		}
	}
}
END_TEST

/*
 * Nesting to 100,000 levels: by a record that holds itself, an array and a map of it; read and
 * skipped. Avro-C crashes here.
 */
START_TEST(deep_nesting)
{
	static const struct {
		const char *type, *level;
	} cases[] = {
		{"{'type':'record','name':'N','fields':[{'name':'n','type':['null','N']}]}", "\2"},
		{"{'type':'record','name':'N','fields':[{'name':'n','type':{'type':'array','items':"
		 "'N'}}]}",
		 "\2"},
		{"{'type':'record','name':'N','fields':[{'name':'n','type':{'type':'map','values':'"
		 "N'}}]}",
		 "\2\2a"},
	};
	static const char *const pgs[] = {"", "{'column':false}"};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (size_t k = 0; k < ARRAY_LEN(pgs); k++) {
			struct rig r;
			rig_open_one(&r, cases[i].type, pgs[k]);
			for (int level = 0; level < 100000; level++)
				buf_puts(&r.in, cases[i].level);
			rig_refused(&r, REASON_TOO_LARGE, "limits.max_depth");
			rig_free(&r);
		}
	}
}
END_TEST

/* A map's key is text like any other. */
START_TEST(map_keys)
{
	struct rig r;
	rig_open_one(&r, "{'type':'map','values':'int'}", "");
	avro_long(&r.in, 1);
	avro_bytes(&r.in, "a\0", 2);
	avro_long(&r.in, 1);
	avro_long(&r.in, 0);
	rig_refused(&r, REASON_INVALID_TEXT, "field 'f'");
	rig_start(&r);
	avro_long(&r.in, 1);
	avro_long(&r.in, -3);
	rig_refused(&r, REASON_DECODE, "negative");
	rig_free(&r);
}
END_TEST

static Suite *walk_suite(void)
{
	Suite *s = suite_create("walk");
	TCase *t = tcase_create("walk");
	tcase_add_test(t, varints);
	tcase_add_test(t, trailing_and_empty);
	tcase_add_test(t, lying_blocks);
	tcase_add_test(t, long_strings);
	tcase_add_test(t, items_without_bytes);
	tcase_add_test(t, deep_nesting);
	tcase_add_test(t, map_keys);
	suite_add_tcase(s, t);
	return s;
}
UNIT_SUITE(walk_suite)

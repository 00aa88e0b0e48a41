/* test_frame.c - the three envelopes, whole and broken, and the names of the reasons. */
#include <string.h>

#include "codec/reason.h"
#include "schema/frame.h"
#include "unit.h"

#define SPLIT(format, bytes, frame, err)                                                           \
	frame_split(format, (struct slice){(const uint8_t *)(bytes), sizeof(bytes) - 1}, frame, err)

/*
 * Proves that the id is read big-endian, and that the body is what follows, an empty one included.
 */
START_TEST(test_confluent)
{
	struct frame f;
	struct err err = {0};
	ck_assert(SPLIT(FRAME_CONFLUENT,
			"\0\x01\x02\x03\x04"
			"ab",
			&f, &err));
	ck_assert(f.schema == 0x01020304);
	ck_assert_uint_eq(f.body.len, 2);
	ck_assert_int_eq(memcmp(f.body.data, "ab", 2), 0);
	ck_assert(SPLIT(FRAME_CONFLUENT, "\0\xff\xff\xff\xff", &f, &err));
	ck_assert(f.schema == UINT32_MAX);
	ck_assert_uint_eq(f.body.len, 0);
}
END_TEST

/*
 * Proves that a short message and a wrong first byte are poison, and that the error names the
 * format that it looks like.
 */
START_TEST(test_confluent_broken)
{
	struct frame f;
	struct err err = {0};
	ck_assert(!SPLIT(FRAME_CONFLUENT, "\0\x01\x02\x03", &f, &err));
	ck_assert_int_eq(err.class, ERR_POISON);
	ck_assert(!frame_split(FRAME_CONFLUENT, (struct slice){NULL, 0}, &f, &err));
	ck_assert(!SPLIT(FRAME_CONFLUENT, "\x01\x01\x02\x03\x04", &f, &err));
	ck_assert_ptr_nonnull(strstr(err.text, "01"));
	ck_assert_ptr_null(strstr(err.text, "single-object"));
	ck_assert(!SPLIT(FRAME_CONFLUENT, "\xc3\x01\x01\x02\x03\x04\x05\x06\x07\x08", &f, &err));
	ck_assert_ptr_nonnull(strstr(err.text, "looks like format single-object"));
}
END_TEST

/* Proves that the fingerprint is read little-endian, and what is refused. */
START_TEST(test_single_object)
{
	struct frame f;
	struct err err = {0};
	ck_assert(SPLIT(FRAME_SINGLE_OBJECT,
			"\xc3\x01\x01\x02\x03\x04\x05\x06\x07\x08"
			"x",
			&f, &err));
	ck_assert(f.schema == UINT64_C(0x0807060504030201));
	ck_assert_uint_eq(f.body.len, 1);
	ck_assert(!SPLIT(FRAME_SINGLE_OBJECT, "\xc3\x01\x01\x02\x03\x04\x05\x06\x07", &f, &err));
	ck_assert_int_eq(err.class, ERR_POISON);
	ck_assert(
		!SPLIT(FRAME_SINGLE_OBJECT, "\xc3\x02\x01\x02\x03\x04\x05\x06\x07\x08", &f, &err));
	ck_assert(!SPLIT(FRAME_SINGLE_OBJECT, "\0\x00\x01\x02\x03\x04\x05\x06\x07\x08", &f, &err));
	ck_assert_ptr_nonnull(strstr(err.text, "looks like format confluent"));
}
END_TEST

/* Proves that raw takes any bytes whole, an empty message too. */
START_TEST(test_raw)
{
	struct frame f = {.schema = 7};
	struct err err = {0};
	ck_assert(SPLIT(FRAME_RAW, "\0\1\2", &f, &err));
	ck_assert(f.schema == 0);
	ck_assert_uint_eq(f.body.len, 3);
	ck_assert(frame_split(FRAME_RAW, (struct slice){NULL, 0}, &f, &err));
	ck_assert_uint_eq(f.body.len, 0);
}
END_TEST

/*
 * Proves that every reason has a name of its own, and the ends of the list the names of the
 * contract.
 */
START_TEST(test_reason_names)
{
	for (int i = 0; i < REASON_COUNT; i++) {
		ck_assert_ptr_nonnull(dead_reason_name((enum dead_reason)i));
		for (int j = 0; j < i; j++)
			ck_assert_str_ne(dead_reason_name((enum dead_reason)i),
					 dead_reason_name((enum dead_reason)j));
	}
	ck_assert_str_eq(dead_reason_name(REASON_FRAME), "frame");
	ck_assert_str_eq(dead_reason_name(REASON_INVALID_EMBEDDING), "invalid_embedding");
	ck_assert_str_eq(dead_reason_name(REASON_DATABASE), "database");
}
END_TEST

/*
 * Proves that a refusal is filled, that a long text is cut to the room there is, and that it
 * returns false.
 */
START_TEST(test_refuse)
{
	struct refusal why;
	ck_assert(!refuse(&why, REASON_TOO_LARGE, "%d of %s", 3, "them"));
	ck_assert_int_eq(why.reason, REASON_TOO_LARGE);
	ck_assert_str_eq(why.text, "3 of them");
	ck_assert(!refuse(&why, REASON_DECODE, "%0500d", 1));
	ck_assert_uint_eq(strlen(why.text), sizeof(why.text) - 1);
}
END_TEST

static Suite *frame_suite(void)
{
	Suite *s = suite_create("frame");
	TCase *t = tcase_create("envelopes");
	tcase_add_test(t, test_confluent);
	tcase_add_test(t, test_confluent_broken);
	tcase_add_test(t, test_single_object);
	tcase_add_test(t, test_raw);
	tcase_add_test(t, test_reason_names);
	tcase_add_test(t, test_refuse);
	suite_add_tcase(s, t);
	return s;
}
UNIT_SUITE(frame_suite)

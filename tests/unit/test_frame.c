/*
 * test_frame.c - the three envelopes, whole and broken; ids in headers; the names of ids and
 * reasons.
 */
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
	ck_assert(f.id.kind == SCHEMA_ID_NUMBER && f.id.number == 0x01020304);
	ck_assert_uint_eq(f.body.len, 2);
	ck_assert_int_eq(memcmp(f.body.data, "ab", 2), 0);
	ck_assert(SPLIT(FRAME_CONFLUENT, "\0\xff\xff\xff\xff", &f, &err));
	ck_assert(f.id.number == UINT32_MAX);
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
	ck_assert(f.id.kind == SCHEMA_ID_FINGERPRINT);
	ck_assert(f.id.number == UINT64_C(0x0807060504030201));
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
	struct frame f = {.id = {.kind = SCHEMA_ID_NUMBER, .number = 7}};
	struct err err = {0};
	ck_assert(SPLIT(FRAME_RAW, "\0\1\2", &f, &err));
	ck_assert(f.id.kind == SCHEMA_ID_NONE);
	ck_assert_uint_eq(f.body.len, 3);
	ck_assert(frame_split(FRAME_RAW, (struct slice){NULL, 0}, &f, &err));
	ck_assert_uint_eq(f.body.len, 0);
}
END_TEST

/* Proves that four bytes of 0 begin an id of eight, unless there are not so many. */
START_TEST(test_eight_bytes)
{
	struct frame f;
	struct err err = {0};
	ck_assert(SPLIT(FRAME_CONFLUENT, "\0\0\0\0\0\0\0\1\2ab", &f, &err));
	ck_assert(f.id.kind == SCHEMA_ID_APICURIO && f.id.number == 0x0102);
	ck_assert_uint_eq(f.body.len, 2);
	ck_assert(SPLIT(FRAME_CONFLUENT, "\0\0\0\0\0\0\0\1", &f, &err));
	ck_assert(f.id.kind == SCHEMA_ID_NUMBER && f.id.number == 0);
	ck_assert_uint_eq(f.body.len, 3);
}
END_TEST

/* --- headers --- */

#define GUID "\x01\x89\x79\x17\x62\x23\x36\x41\x86\x96\x74\x29\x9b\x90\xa8\x02\xe2"
#define HEADER(name, bytes, key, id, err)                                                          \
	frame_header(name, (struct slice){(const uint8_t *)(bytes), sizeof(bytes) - 1}, key, id,   \
		     err)

/* Proves that Confluent's header is read, for value and key apart, and that the last one counts. */
START_TEST(test_confluent_header)
{
	struct schema_id id = {0};
	struct err err = {0};
	char text[SCHEMA_ID_TEXT];
	ck_assert(HEADER("__key_schema_id", GUID, false, &id, &err));
	ck_assert(HEADER("trace", "\x01", false, &id, &err));
	ck_assert(HEADER("__value_schema_id_", "\x01", false, &id, &err));
	ck_assert(frame_header("__value_schema_id", (struct slice){0}, false, &id, &err));
	ck_assert(id.kind == SCHEMA_ID_NONE);
	ck_assert(HEADER("__value_schema_id", GUID, false, &id, &err));
	ck_assert_str_eq(schema_id_text(&id, text), "GUID 89791762-2336-4186-9674-299b90a802e2");
	ck_assert(HEADER("__value_schema_id", "\0\0\0\1\1", false, &id, &err));
	ck_assert_str_eq(schema_id_text(&id, text), "id 257");
	id = (struct schema_id){0};
	ck_assert(HEADER("__key_schema_id", GUID, true, &id, &err));
	ck_assert(id.kind == SCHEMA_ID_GUID);
}
END_TEST

/* Proves that a header that cannot be is poison that names it. */
START_TEST(test_broken_headers)
{
	struct schema_id id = {0};
	struct err err = {0};
	ck_assert(!HEADER("__value_schema_id", "", false, &id, &err));
	ck_assert(!HEADER("__value_schema_id", "\1\2\3", false, &id, &err));
	ck_assert(!HEADER("__value_schema_id", "\0\2\3", false, &id, &err));
	ck_assert(!HEADER("__value_schema_id", "89791762-2336-4186-9674-299b90a802e2", false, &id,
			  &err));
	ck_assert_int_eq(err.class, ERR_POISON);
	ck_assert_ptr_nonnull(strstr(err.text, "header __value_schema_id"));
	ck_assert(!HEADER("apicurio.key.globalId", "7", true, &id, &err));
	ck_assert_ptr_nonnull(strstr(err.text, "header apicurio.key.globalId"));
	ck_assert(!HEADER("apicurio.value.encoding", "JSON", false, &id, &err));
	ck_assert_ptr_nonnull(strstr(err.text, "BINARY"));
}
END_TEST

/* Proves which of Apicurio's headers says what, and that Confluent's comes before them. */
START_TEST(test_apicurio_headers)
{
	static const char seven[] = "\0\0\0\0\0\0\0\7";
	struct schema_id id = {0};
	struct err err = {0};
	char text[SCHEMA_ID_TEXT];
	ck_assert(HEADER("apicurio.value.encoding", "BINARY", false, &id, &err));
	ck_assert(HEADER("apicurio.key.globalId", seven, false, &id, &err));
	ck_assert(id.kind == SCHEMA_ID_NONE);
	ck_assert(HEADER("apicurio.value.artifactId", "note", false, &id, &err));
	ck_assert(id.kind == SCHEMA_ID_APICURIO_NAME);
	ck_assert(HEADER("apicurio.value.globalId", seven, false, &id, &err));
	ck_assert_str_eq(schema_id_text(&id, text), "globalId 7");
	ck_assert(HEADER("apicurio.value.version", "2", false, &id, &err));
	ck_assert(HEADER("apicurio.value.artifactId", "note", false, &id, &err));
	ck_assert(id.kind == SCHEMA_ID_APICURIO_GLOBAL);
	ck_assert(HEADER("apicurio.value.contentId", seven, false, &id, &err));
	ck_assert_str_eq(schema_id_text(&id, text), "contentId 7");
	ck_assert(HEADER("__value_schema_id", GUID, false, &id, &err));
	ck_assert(HEADER("apicurio.value.contentId", seven, false, &id, &err));
	ck_assert(id.kind == SCHEMA_ID_GUID);
}
END_TEST

/* Proves that a fingerprint is shown as the number that "check" shows. */
START_TEST(test_id_texts)
{
	char text[SCHEMA_ID_TEXT];
	struct schema_id id = {.kind = SCHEMA_ID_FINGERPRINT, .number = 0xabc};
	ck_assert_str_eq(schema_id_text(&id, text), "fingerprint 0000000000000abc");
	id = (struct schema_id){.kind = SCHEMA_ID_APICURIO, .number = 5};
	ck_assert_str_eq(schema_id_text(&id, text), "8-byte id 5");
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
	tcase_add_test(t, test_eight_bytes);
	tcase_add_test(t, test_confluent_header);
	tcase_add_test(t, test_broken_headers);
	tcase_add_test(t, test_apicurio_headers);
	tcase_add_test(t, test_id_texts);
	tcase_add_test(t, test_reason_names);
	tcase_add_test(t, test_refuse);
	suite_add_tcase(s, t);
	return s;
}
UNIT_SUITE(frame_suite)

/*
 * test_decode.c - rows from data: columns of every kind, the key, the version, deletes, limits.
 */
#include <math.h>

#include "codec_rig.h"

/*
 * Numbers and booleans, at the ends of their ranges, in columns of their own and of other widths.
 */
START_TEST(numbers)
{
	static const struct {
		const char *type, *pg;
		int64_t value;
		bool fits;
	} cases[] = {
		{"'int'", "", INT32_MIN, true},
		{"'int'", "", INT32_MAX, true},
		{"'long'", "", INT64_MIN, true},
		{"'long'", "", INT64_MAX, true},
		{"'int'", "{'type':'smallint'}", 32767, true},
		{"'int'", "{'type':'smallint'}", 32768, false},
		{"'long'", "{'type':'integer'}", INT64_C(-2147483649), false},
		{"'int'", "{'type':'bigint'}", -1, true},
	};
	struct rig r;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		rig_open_one(&r, cases[i].type, cases[i].pg);
		avro_long(&r.in, cases[i].value);
		if (cases[i].fits) {
			rig_decode(&r);
			ck_assert_int_eq(rig_int(&r, 1), cases[i].value);
		} else {
			rig_refused(&r, REASON_OUT_OF_RANGE, "field 'f' at byte 1");
		}
		rig_free(&r);
	}
	rig_open_one(&r, "'boolean'", "");
	buf_u8(&r.in, 1);
	rig_decode(&r);
	ck_assert_int_eq(rig_field(&r, 1).data[0], 1);
	r.in.data[1] = 2;
	rig_refused(&r, REASON_DECODE, "neither 0 nor 1");
	rig_free(&r);
	rig_open_one(&r, "'double'", "{'type':'real'}");
	avro_double(&r.in, 1e300);
	rig_refused(&r, REASON_OUT_OF_RANGE, "field 'f'");
	rig_start(&r);
	avro_double(&r.in, 0.5);
	rig_decode(&r);
	ck_assert_double_eq(rig_real(&r, 1), 0.5);
	rig_free(&r);
	rig_open_one(&r, "'float'", "");
	avro_float(&r.in, NAN);
	rig_decode(&r);
	ck_assert(isnan(rig_real(&r, 1)));
	rig_free(&r);
}
END_TEST

/* Text: checked, limited; enums as their symbols; varchar(n) counts characters. */
START_TEST(texts)
{
	struct rig r;
	rig_open_one(&r, "'string'", "{'type':'varchar(3)'}");
	avro_string(&r.in, "\xc3\xa4\xc3\xa4\xc3\xa4");
	rig_decode(&r);
	rig_text(&r, 1, "\xc3\xa4\xc3\xa4\xc3\xa4");
	rig_start(&r);
	avro_string(&r.in, "abcd");
	rig_refused(&r, REASON_TOO_LARGE, "field 'f' at byte 1: 4 characters, the column takes 3");
	rig_start(&r);
	avro_bytes(&r.in, "a\0", 2);
	rig_refused(&r, REASON_INVALID_TEXT, "field 'f'");
	rig_start(&r);
	avro_string(&r.in, "\xed\xa0\x80");
	rig_refused(&r, REASON_INVALID_TEXT, "field 'f'");
	rig_start(&r);
	avro_long(&r.in, -1);
	rig_refused(&r, REASON_DECODE, "a length is negative");
	rig_start(&r);
	avro_long(&r.in, INT64_MIN);
	rig_refused(&r, REASON_DECODE, "a length is negative");
	rig_start(&r);
	avro_long(&r.in, INT64_MAX);
	rig_refused(&r, REASON_DECODE, "ends inside");
	rig_free(&r);
	rig_open_one(&r, "'string'", "");
	struct buf big = {0};
	memset(buf_take(&big, 100001), 'x', 100001);
	avro_bytes(&r.in, big.data, 100000);
	rig_decode(&r);
	rig_start(&r);
	avro_bytes(&r.in, big.data, 100001);
	rig_refused(&r, REASON_TOO_LARGE, "100001 bytes are over the limit of 100000");
	buf_free(&big);
	rig_free(&r);
}
END_TEST

/* uuid from text and from 16 bytes; bytea; decimal and interval. */
START_TEST(binaries)
{
	struct rig r;
	rig_open_one(&r, "{'type':'string','logicalType':'uuid'}", "");
	avro_string(&r.in, "00010203-0405-0607-0809-0a0B0C0D0E0F");
	rig_decode(&r);
	ck_assert_uint_eq(rig_field(&r, 1).len, 16);
	ck_assert_int_eq(rig_field(&r, 1).data[15], 15);
	rig_start(&r);
	avro_string(&r.in, "no uuid");
	rig_refused(&r, REASON_INVALID_TEXT, "field 'f'");
	rig_free(&r);
	rig_open_one(&r, "{'type':'fixed','name':'F','size':16}", "{'type':'uuid'}");
	buf_puts(&r.in, "0123456789abcdef");
	rig_decode(&r);
	rig_text(&r, 1, "0123456789abcdef");
	rig_free(&r);
	rig_open_one(&r, "{'type':'fixed','name':'D','size':12,'logicalType':'duration'}", "");
	buf_put(&r.in, "\1\0\0\0\2\0\0\0\3\0\0\0", 12);
	rig_decode(&r);
	ck_assert(memcmp(rig_field(&r, 1).data, "\0\0\0\0\0\0\x0b\xb8\0\0\0\2\0\0\0\1", 16) == 0);
	rig_free(&r);
	rig_open_one(&r, "{'type':'bytes','logicalType':'decimal','precision':3,'scale':1}", "");
	avro_bytes(&r.in, "\x7b", 1); /* 12.3 */
	rig_decode(&r);
	ck_assert(memcmp(rig_field(&r, 1).data, "\0\2\0\0\0\0\0\1\0\x0c\x0b\xb8", 12) == 0);
	rig_start(&r);
	avro_bytes(&r.in, "\x03\xe8", 2); /* 100.0 */
	rig_refused(&r, REASON_OUT_OF_RANGE, "field 'f'");
	rig_free(&r);
	rig_open_one(&r, "'long'", "{'type':'numeric'}");
	avro_long(&r.in, -20001);
	rig_decode(&r);
	ck_assert(memcmp(rig_field(&r, 1).data, "\0\2\0\1\x40\0\0\0\0\2\0\1", 12) == 0);
	rig_free(&r);
}
END_TEST

/* Dates and times outside of what PostgreSQL holds. */
START_TEST(time_ranges)
{
	static const struct {
		const char *type;
		int64_t value;
	} cases[] = {
		{"{'type':'int','logicalType':'date'}", INT32_MAX},
		{"{'type':'int','logicalType':'time-millis'}", -1},
		{"{'type':'int','logicalType':'time-millis'}", 86400001},
		{"{'type':'long','logicalType':'timestamp-millis'}", INT64_MAX},
		{"{'type':'long','logicalType':'timestamp-micros'}", INT64_MIN},
		{"{'type':'long','logicalType':'time-micros'}", INT64_MAX},
	};
	struct rig r;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		rig_open_one(&r, cases[i].type, "");
		avro_long(&r.in, cases[i].value);
		rig_refused(&r, REASON_OUT_OF_RANGE, "field 'f' at byte 1");
		rig_free(&r);
	}
	rig_open_one(&r, cases[0].type, "");
	avro_long(&r.in, -1);
	rig_decode(&r);
	ck_assert_int_eq(rig_int(&r, 1), -1 - 10957);
	rig_free(&r);
}
END_TEST

/* null where the table takes none, at the top and inside of arrays and JSON. */
START_TEST(nulls)
{
	struct rig r;
	rig_open_fields(&r,
			"{'name':'f','type':{'type':'array','items':['null','int']}},{'name':'g','"
			"type':{'type':'map','values':"
			"['null','int']}}",
			"{'name':'f','type':{'type':'array','items':'int'}},{'name':'g','type':{'"
			"type':'map','values':'int'}}");
	avro_long(&r.in, 1);
	avro_long(&r.in, 1);
	avro_long(&r.in, 0);
	avro_long(&r.in, 0);
	avro_long(&r.in, 0);
	rig_refused(&r, REASON_MISSING_FIELD, "field 'f' at byte 1");
	rig_start(&r);
	avro_long(&r.in, 0);
	avro_long(&r.in, 1);
	avro_string(&r.in, "");
	avro_long(&r.in, 0);
	avro_long(&r.in, 0);
	rig_refused(&r, REASON_MISSING_FIELD, "field 'g' at byte 2");
	rig_free(&r);
}
END_TEST

/*
 * Arrays of text with nulls, of timestamps, of decimals; empty; with the element's id that
 * array_recv wants.
 */
START_TEST(arrays)
{
	struct rig r;
	rig_open_one(&r, "{'type':'array','items':['null','string']}", "");
	avro_long(&r.in, 3);
	avro_long(&r.in, 1);
	avro_string(&r.in, "ab");
	avro_long(&r.in, 0);
	avro_long(&r.in, 1);
	avro_string(&r.in, "");
	avro_long(&r.in, 0);
	rig_decode(&r);
	static const char want[] =
		"\0\0\0\1\0\0\0\1\0\0\0\x19\0\0\0\3\0\0\0\1\0\0\0\2ab\xff\xff\xff\xff\0\0\0";
	ck_assert_uint_eq(rig_field(&r, 1).len, sizeof(want));
	ck_assert(memcmp(rig_field(&r, 1).data, want, sizeof(want)) == 0);
	rig_start(&r);
	avro_long(&r.in, 0);
	rig_decode(&r);
	ck_assert_uint_eq(rig_field(&r, 1).len, 12);
	rig_free(&r);
	rig_open_one(
		&r,
		"{'type':'array','items':{'type':'long','logicalType':'local-timestamp-millis'}}",
		"");
	avro_long(&r.in, 1);
	avro_long(&r.in, 946684800001);
	avro_long(&r.in, 0);
	rig_decode(&r);
	ck_assert_uint_eq(get_be32(rig_field(&r, 1).data + 8), 1114);
	ck_assert_uint_eq(get_be64(rig_field(&r, 1).data + 24), 1000);
	rig_free(&r);
	rig_open_one(&r, "{'type':'array','items':'string'}", "{'type':'varchar(2)[]'}");
	avro_long(&r.in, 1);
	avro_string(&r.in, "abc");
	avro_long(&r.in, 0);
	rig_refused(&r, REASON_TOO_LARGE, "3 characters");
	rig_free(&r);
}
END_TEST

/* JSON text in a string: kept as it is when it is JSON, else refused. */
START_TEST(json_strings)
{
	struct rig r;
	rig_open_one(&r, "['null','string']", "{'type':'jsonb'}");
	avro_long(&r.in, 1);
	avro_string(&r.in, " {\"a\": [1, 2]} ");
	rig_decode(&r);
	rig_json(&r, 1, " {'a': [1, 2]} ");
	static const char *const bad[] = {"",    "{",   "{\"a\":1,}", "\"\\u0000\"",
					  "'a'", "nul", "1 2"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		rig_start(&r);
		avro_long(&r.in, 1);
		avro_string(&r.in, bad[i]);
		rig_refused(&r, REASON_INVALID_JSON, "field 'f' at byte 2");
	}
	rig_start(&r);
	avro_long(&r.in, 0);
	rig_decode(&r);
	rig_is_null(&r, 1);
	rig_free(&r);
}
END_TEST

#define EVENT                                                                                      \
	"{'type':'record','name':'R','pg':{'table':'t','key':['k'],'version':'v','delete':{'"      \
	"field':'op','symbol':'"                                                                   \
	"DEL'}},'fields':["                                                                        \
	"{'name':'op','type':['null',{'type':'enum','name':'O','symbols':['PUT','DEL']}],'"        \
	"default':null,'pg':{'"                                                                    \
	"column':false}},"                                                                         \
	"{'name':'e','type':{'type':'array','items':'float'},'pg':{'type':'vector(2)'}},{'name':'" \
	"k','type':'string'},"                                                                     \
	"{'name':'v','type':['null',%s]},{'name':'j','type':'string','pg':{'type':'jsonb'}}]}"

static void open_event(struct rig *r, const char *version_type)
{
	char *text = xasprintf(EVENT, version_type);
	rig_open(r, NULL, rig_schema(text));
	free(text);
}

static void put_event(struct rig *r, int op, size_t dims, int64_t version, const char *json)
{
	r->in.len = 0;
	avro_long(&r->in, op >= 0);
	if (op >= 0)
		avro_long(&r->in, op);
	avro_floats(&r->in, dims);
	avro_string(&r->in, "key");
	avro_long(&r->in, 1);
	avro_long(&r->in, version);
	avro_string(&r->in, json);
}

/* Key first; its length; the version as it stands in the row, to the last that PostgreSQL holds. */
#define EPOCH_US INT64_C(946684800000000)
START_TEST(key_and_version)
{
	static const struct {
		const char *type;
		int64_t value, want;
	} cases[] = {
		{"'long'", -5, -5},
		{"'int'", INT32_MAX, INT32_MAX},
		{"{'type':'int','logicalType':'date'}", 19782, 19782 - 10957},
		{"{'type':'long','logicalType':'timestamp-millis'}", 1700000000123,
		 1700000000123000 - EPOCH_US},
		{"{'type':'long','logicalType':'timestamp-millis'}", 9224318015999999,
		 9223371331199999000},
		{"{'type':'long','logicalType':'timestamp-millis'}", -210866803200000,
		 -211813488000000000},
		{"{'type':'long','logicalType':'timestamp-micros'}", -1, -1 - EPOCH_US},
		{"{'type':'long','logicalType':'timestamp-micros'}", INT64_MAX,
		 INT64_MAX - EPOCH_US},
		{"{'type':'long','logicalType':'timestamp-nanos'}", 1700000000123456789,
		 1700000000123456 - EPOCH_US},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct rig r;
		open_event(&r, cases[i].type);
		put_event(&r, 0, 2, cases[i].value, "{}");
		rig_decode(&r);
		rig_text(&r, 0, "key");
		ck_assert_uint_eq(r.record.key_len, 7);
		ck_assert_int_eq(r.record.op, RECORD_UPSERT);
		ck_assert(r.record.has_version);
		ck_assert_int_eq(r.record.version, cases[i].want);
		rig_free(&r);
	}
	struct rig r;
	open_event(&r, "{'type':'long','logicalType':'timestamp-millis'}");
	put_event(&r, 0, 2, 9224318016000000, "{}");
	rig_refused(&r, REASON_OUT_OF_RANGE,
		    "milliseconds since 1970 are out of timestamp's range");
	rig_free(&r);
	open_event(&r, "'long'");
	put_event(&r, 0, 2, 0, "{}");
	r.in.len -= 5; /* the version and the JSON */
	avro_long(&r.in, 0);
	avro_string(&r.in, "{}");
	rig_decode(&r);
	ck_assert(!r.record.has_version);
	rig_free(&r);
}
END_TEST

/*
 * A delete writes key and version; what else it carries may be as wrong as it likes, within the
 * wire.
 */
START_TEST(deletes)
{
	struct rig r;
	open_event(&r, "'long'");
	put_event(&r, 1, 7, 42, "no json");
	rig_decode(&r);
	ck_assert_int_eq(r.record.op, RECORD_DELETE);
	rig_text(&r, 0, "key");
	rig_is_null(&r, 1);
	ck_assert_int_eq(rig_int(&r, 2), 42);
	rig_is_null(&r, 3);
	ck_assert_int_eq(r.record.version, 42);
	put_event(&r, 0, 7, 42, "{}");
	rig_refused(&r, REASON_INVALID_EMBEDDING, "field 'e'");
	put_event(&r, -1, 2, 42, "{}"); /* null: no delete */
	rig_decode(&r);
	ck_assert_int_eq(r.record.op, RECORD_UPSERT);
	put_event(&r, 2, 2, 42, "{}");
	rig_refused(&r, REASON_DECODE, "field 'op' at byte 0: enum index 2 of 2");
	put_event(&r, 1, 2, 42, "{}");
	r.in.len--;
	rig_refused(&r, REASON_DECODE, "field 'j'");
	rig_free(&r);
}
END_TEST

/* A writer without the delete field: the default says what it is. */
START_TEST(default_op)
{
	static const char *const defaults[] = {"'PUT'", "'DEL'"};
	for (int i = 0; i < 2; i++) {
		struct rig r;
		char *reader = xasprintf("{'type':'record','name':'R','pg':{'table':'t','key':['k']"
					 ",'delete':{'field':'op','"
					 "symbol':'DEL'}},"
					 "'fields':[{'name':'k','type':'long'},{'name':'op','type':"
					 "{'type':'enum','name':'O',"
					 "'symbols':['PUT','DEL']},'default':%s}]}",
					 defaults[i]);
		rig_open(&r, rig_fields("", ""), rig_schema(reader));
		avro_long(&r.in, 1);
		rig_decode(&r);
		ck_assert_int_eq(r.record.op, i == 0 ? RECORD_UPSERT : RECORD_DELETE);
		free(reader);
		rig_free(&r);
	}
}
END_TEST

/* Limits of the key and of the row. */
START_TEST(row_limits)
{
	struct rig r;
	struct buf text = {0};
	memset(buf_take(&text, 100000), 'x', 100000);
	rig_open(&r, NULL,
		 rig_schema("{'type':'record','name':'R','pg':{'table':'t','key':['k']},'fields':[{"
			    "'name':'k','type':'"
			    "string'},"
			    "{'name':'a','type':'string'},{'name':'b','type':'string'}]}"));
	avro_bytes(&r.in, text.data, 2600);
	avro_string(&r.in, "");
	avro_string(&r.in, "");
	rig_decode(&r);
	r.in.len = 0;
	avro_bytes(&r.in, text.data, 2601);
	avro_string(&r.in, "");
	avro_string(&r.in, "");
	rig_refused(&r, REASON_TOO_LARGE, "the key of 2601 bytes is over the limit of 2600");
	r.in.len = 0;
	avro_string(&r.in, "");
	avro_bytes(&r.in, text.data, 100000);
	avro_bytes(&r.in, text.data, 99988);
	rig_decode(&r);
	ck_assert_uint_eq(r.record.row_len, 200000);
	r.in.len = 0;
	avro_string(&r.in, "");
	avro_bytes(&r.in, text.data, 100000);
	avro_bytes(&r.in, text.data, 99989);
	rig_refused(&r, REASON_TOO_LARGE, "the row of 200001 bytes");
	buf_free(&text);
	rig_free(&r);
}
END_TEST

/* A text about a refusal holds no data. */
START_TEST(no_data_in_texts)
{
	struct rig r;
	rig_open_one(&r, "'string'", "{'type':'jsonb'}");
	avro_string(&r.in, "{\"secret\": SECRET}");
	rig_refused(&r, REASON_INVALID_JSON, "field 'f' at byte 1");
	ck_assert_ptr_null(strstr(r.err.text, "SECRET"));
	ck_assert_ptr_null(strstr(r.err.text, "secret"));
	rig_free(&r);
}
END_TEST

static Suite *decode_suite(void)
{
	Suite *s = suite_create("decode");
	TCase *t = tcase_create("decode");
	tcase_add_test(t, numbers);
	tcase_add_test(t, texts);
	tcase_add_test(t, binaries);
	tcase_add_test(t, time_ranges);
	tcase_add_test(t, nulls);
	tcase_add_test(t, arrays);
	tcase_add_test(t, json_strings);
	tcase_add_test(t, key_and_version);
	tcase_add_test(t, deletes);
	tcase_add_test(t, default_op);
	tcase_add_test(t, row_limits);
	tcase_add_test(t, no_data_in_texts);
	suite_add_tcase(s, t);
	return s;
}
UNIT_SUITE(decode_suite)

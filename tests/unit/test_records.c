/*
 * test_records.c - the events of whole files: the good ones as datums, the bad ones by name and
 * line, whatever the file is.
 */
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

#include "codec_rig.h"
#include "container_put.h"
#include "file/records.h"

static const char stream[] =
	"{'type':'record','name':'Note','namespace':'t','pg':{'table':'notes','key':['id']},"
	"'fields':[{'name':'id','type':'string'},"
	"{'name':'ts','type':['null',{'type':'long','logicalType':'timestamp-millis'}],'default':"
	"null},"
	"{'name':'d','type':['null',{'type':'bytes','logicalType':'decimal','precision':38,'scale':"
	"2}],"
	"'default':null}]}";

/* What a file gives: datums in brackets as hex, errors in angles without the file's name. */
static void read_file(const char *path, struct buf *out, struct records_place *place)
{
	struct schema *schema = rig_schema(stream);
	struct err err = {0};
	struct table *table = table_new(schema, &err);
	ck_assert_msg(table != NULL, "%s", err.text);
	struct records *r = records_open(path, table, &err);
	enum records_result result = RECORDS_RECORD;
	struct slice datum;
	out->len = 0;
	if (!r)
		buf_printf(out, "<%s>", err.text + strlen(path));
	while (r && result != RECORDS_END && result != RECORDS_BROKEN) {
		result = records_next(r, &datum, &err);
		if (result == RECORDS_RECORD) {
			buf_puts(out, "[");
			for (size_t i = 0; i < datum.len; i++)
				buf_printf(out, "%02x", datum.data[i]);
			buf_puts(out, "]");
		} else if (result != RECORDS_END) {
			ck_assert_int_eq(err.class, ERR_POISON);
			ck_assert_mem_eq(err.text, path, strlen(path));
			buf_printf(out, "<%s>", err.text + strlen(path));
		}
		*place = records_place(r);
	}
	if (r)
		ck_assert((records_schema(r) == schema) ==
			  (place->line > 0 || place->records == 0));
	records_close(r);
	table_free(table);
	schema_free(schema);
}

static struct records_place check(const void *bytes, size_t n, const char *wanted)
{
	char path[] = FILE_TEMPLATE;
	struct buf out = {0};
	struct records_place place = {0};
	file_put(path, bytes, n);
	read_file(path, &out, &place);
	ck_assert_str_eq(buf_cstr(&out), wanted);
	buf_free(&out);
	unlink(path);
	return place;
}

#define FILE_GIVES(bytes, wanted) check(bytes, sizeof(bytes) - 1, wanted)

/* Each bad line is named with its number and costs itself alone; blank lines are nothing. */
START_TEST(test_lines)
{
	struct records_place place =
		FILE_GIVES("\xef\xbb\xbf{\"id\": \"1\", \"d\": \"12.34\"}\r\n"
			   "\r\n"
			   "{\"id\": \"2\", \"d\": 12.345}\n"
			   "{\"id\": \"3\", \"ts\": \"2024-02-30T00:00:00Z\"}\n"
			   "{\"id\": \"4\", \"sd\": null}\n"
			   "  \t\n"
			   "{\"ts\": 5}\n"
			   "{\"id\": \"6\"} {\"id\": \"7\"}\n"
			   "{\"id\": \"7\", \"id\": \"8\"}\n"
			   "{\"id\": \"8\"}",
			   "[023100020404d2]"
			   "<:3: field 'd': wants bytes (decimal 38,2), found 12.345: it has more "
			   "digits behind "
			   "the point than the scale>"
			   "<:4: field 'ts': wants long (timestamp-millis), found "
			   "\"2024-02-30T00:00:00Z\": there "
			   "is no such day in that month>"
			   "<:5: record Note has no field 'sd'; did you mean 'id'?>"
			   "<:7: field 'id': is missing and has no default>"
			   "<:8: not JSON: '{' where the end of the line should stand (column 13)>"
			   "<:9: the key \"id\" stands twice>"
			   "[02380000]");
	ck_assert_uint_eq(place.records, 8);
	ck_assert_uint_eq(place.line, 10);
}
END_TEST

/* Files without events, and files that are something else. */
START_TEST(test_others)
{
	FILE_GIVES("", "");
	FILE_GIVES("\n\n", "");
	FILE_GIVES("\xef\xbb\xbf", "");
	FILE_GIVES("\xff\xfe{\0",
		   "<: it is UTF-16 (its byte order mark says so): save it as UTF-8>");
	FILE_GIVES("Obj", "<:1: not JSON: 'O' where a value should stand (column 1)>");
	FILE_GIVES("Obj\1", "<: the header of the Avro container: the file is cut off>");
	FILE_GIVES("[{\"id\":\"1\"}]", "<:1: wants record t.Note, found an array>");
	FILE_GIVES("{\n\"id\":\"1\"}",
		   "<:1: not JSON: the text ends where a key in quotes should stand (column 2)>"
		   "<:2: not JSON: ':' where the end of the line should stand (column 5)>");
	FILE_GIVES("id,ts\n1,2\n", "[0231020400]");
	FILE_GIVES("ident,ts\n1,2\n",
		   "<:1: not JSON: 'i' where a value should stand (column 1)>"
		   "<:2: not JSON: ',' where the end of the line should stand (column "
		   "2)>");
	FILE_GIVES("{\"id\":\"a\0b\"}",
		   "<:1: not JSON: a control character in a string (column 9)>");
}
END_TEST

/* A container gives its datums as they are, in its own schema; damage ends it, with its place. */
START_TEST(test_container)
{
	static const char schema[] = "{\"type\":\"record\",\"name\":\"Note\",\"fields\":[{\"name\":"
				     "\"extra\",\"type\":\"int\"},{\"name\":\"id\",\"type\":"
				     "\"string\"}]}";
	struct buf b = {0}, packed = {0};
	container_header(&b, schema, NULL);
	container_block_put(&b, 2,
			    "\x02\x02"
			    "a\x04\x02"
			    "b",
			    6);
	char wanted[200];
	size_t whole = b.len;
	struct records_place place = check(b.data, b.len, "[020261][040262]");
	ck_assert_uint_eq(place.records, 2);
	ck_assert_uint_eq(place.line, 0);
	/* the same, packed as a whole */
	z_stream z = {.next_in = b.data, .avail_in = (uInt)b.len, .avail_out = 2000};
	z.next_out = buf_take(&packed, 2000);
	ck_assert_int_eq(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, 0), Z_OK);
	ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
	check(packed.data, z.total_out, "[020261][040262]");
	deflateEnd(&z);
	container_block_put(&b, 1, "\x02\x02", 2);
	snprintf(wanted, sizeof(wanted),
		 "[020261][040262]<: behind record 2: block 2 at offset %zu: record 1 of 1: at "
		 "byte ",
		 whole);
	char path[] = FILE_TEMPLATE;
	struct buf out = {0};
	file_put(path, b.data, b.len);
	read_file(path, &out, &place);
	ck_assert_msg(strncmp(buf_cstr(&out), wanted, strlen(wanted)) == 0, "%s", out.data);
	unlink(path);
	buf_free(&b);
	buf_free(&packed);
	buf_free(&out);
}
END_TEST

static Suite *records_suite(void)
{
	Suite *suite = suite_create("records");
	TCase *tc = tcase_create("records");
	tcase_add_test(tc, test_lines);
	tcase_add_test(tc, test_others);
	tcase_add_test(tc, test_container);
	suite_add_tcase(suite, tc);
	return suite;
}

UNIT_SUITE(records_suite)

/*
 * test_csv.c - rows of CSV say what lines of JSON say, and what is neither is refused by line and
 * field.
 */
#include <stdio.h>
#include <stdlib.h>

#include "codec_rig.h"
#include "container_put.h"
#include "file/csv.h"
#include "file/records.h"

static const char stream[] =
	"{'type':'record','name':'Note','pg':{'table':'notes','key':['id']},'fields':["
	"{'name':'id','type':'string'},"
	"{'name':'n','type':['null','int'],'default':null},"
	"{'name':'count','type':'long','default':7},"
	"{'name':'ok','type':'boolean','default':true},"
	"{'name':'score','type':['double','null'],'default':0},"
	"{'name':'ts','type':['null',{'type':'long','logicalType':'timestamp-millis'}],"
	"'default':null},"
	"{'name':'price','type':['null',{'type':'bytes','logicalType':'decimal','precision':9,"
	"'scale':2}],'default':null},"
	"{'name':'raw','type':['null','bytes'],'default':null},"
	"{'name':'tags','type':{'type':'array','items':['null','string']},'default':[]},"
	"{'name':'nested','type':{'type':'array','items':{'type':'array','items':'int'}},"
	"'default':[],'pg':{'type':'jsonb'}},"
	"{'name':'kind','type':['null',{'type':'enum','name':'Kind','symbols':['A','B']}],"
	"'default':null},"
	"{'name':'meta','type':['null',{'type':'map','values':'int'}],'default':null},"
	"{'name':'near','type':['null','bytes'],'default':null,'pg':{'type':'vector(3)'}},"
	"{'name':'list','type':['null',{'type':'array','items':'float'}],'default':null,"
	"'pg':{'type':'vector(3)'}}]}";

/* What a file gives: datums in brackets as hex, errors in angles without the file's name. */
static void read_text(const char *text, size_t len, const char *suffix, struct buf *out)
{
	char path[64] = FILE_TEMPLATE, named[80];
	struct schema *schema = rig_schema(stream);
	struct err err = {0};
	struct table *table = table_new(schema, &err);
	ck_assert_msg(table != NULL, "%s", err.text);
	file_put(path, text, len);
	snprintf(named, sizeof(named), "%s%s", path, suffix);
	ck_assert_int_eq(rename(path, named), 0);
	struct records *r = records_open(named, table, &err);
	enum records_result result = RECORDS_RECORD;
	struct slice datum;
	if (!r)
		buf_printf(out, "<%s>", err.text + strlen(named));
	while (r && result != RECORDS_END && result != RECORDS_BROKEN) {
		result = records_next(r, &datum, &err);
		if (result == RECORDS_RECORD) {
			buf_puts(out, "[");
			for (size_t i = 0; i < datum.len; i++)
				buf_printf(out, "%02x", datum.data[i]);
			buf_puts(out, "]");
		} else if (result != RECORDS_END) {
			ck_assert_int_eq(err.class, ERR_POISON);
			buf_printf(out, "<%s>", err.text + strlen(named));
		}
	}
	records_close(r);
	table_free(table);
	schema_free(schema);
	unlink(named);
}

/* The same datums, none of them refused. */
static void same_as(const char *csv, const char *json)
{
	struct buf a = {0}, b = {0};
	read_text(csv, strlen(csv), "", &a);
	read_text(json, strlen(json), "", &b);
	ck_assert_ptr_null(strchr(buf_cstr(&b), '<'));
	ck_assert_ptr_nonnull(strchr(buf_cstr(&b), '['));
	ck_assert_msg(strcmp(buf_cstr(&a), buf_cstr(&b)) == 0, "%s\ngives %s\n%s\ngives %s", csv,
		      buf_cstr(&a), json, buf_cstr(&b));
	buf_free(&a);
	buf_free(&b);
}

static void gives(const char *csv, const char *suffix, const char *wanted)
{
	struct buf a = {0};
	read_text(csv, strlen(csv), suffix, &a);
	ck_assert_str_eq(buf_cstr(&a), wanted);
	buf_free(&a);
}

/* Cells by the type of their column. */
START_TEST(test_cells)
{
	static const char *const same[][2] = {
		{"id,n,score\nx,5,1.5\n", "{\"id\":\"x\",\"n\":5,\"score\":1.5}"},
		{"n,id\r\n-5,\"007\"\r\n", "{\"id\":\"007\",\"n\":-5}"},
		{"id,n\n007,7.0\n", "{\"id\":\"007\",\"n\":7}"},
		{"id,ok\na,t\nb,FALSE\nc,No\nd,1\n",
		 "{\"id\":\"a\",\"ok\":true}\n{\"id\":\"b\",\"ok\":false}\n"
		 "{\"id\":\"c\",\"ok\":false}\n{\"id\":\"d\",\"ok\":true}"},
		{"id,ts\na,2024-01-31 12:30:00Z\nb,1706704200000\n",
		 "{\"id\":\"a\",\"ts\":\"2024-01-31T12:30:00Z\"}\n{\"id\":\"b\",\"ts\":"
		 "1706704200000}"},
		{"id,price,score\na,12.34,NaN\n",
		 "{\"id\":\"a\",\"price\":12.34,\"score\":\"NaN\"}"},
		{"id,raw\na,\\x00ff41\nb,AB\nc,\\x\n",
		 "{\"id\":\"a\",\"raw\":\"\\u0000\\u00ffA\"}\n{\"id\":\"b\",\"raw\":\"AB\"}\n"
		 "{\"id\":\"c\",\"raw\":\"\"}"},
		{"id,kind,meta\na,B,\"{\"\"x\"\": 1}\"\n",
		 "{\"id\":\"a\",\"kind\":\"B\",\"meta\":{\"x\":1}}"},
		{"id,near,list\na,\"[1,2.5,-3e0]\",\"{1, 2.5 ,-3}\"\n",
		 "{\"id\":\"a\",\"near\":[1,2.5,-3],\"list\":[1,2.5,-3]}"},
	};
	same_as(same[_i][0], same[_i][1]);
}
END_TEST

/* PostgreSQL's arrays and JSON's. */
START_TEST(test_arrays)
{
	static const char *const same[][2] = {
		{"{}", "[]"},
		{"[]", "[]"},
		{" { a , b c } ", NULL}, /* blanks in front: no array of PostgreSQL's, no JSON */
		{"{ a , b c }", "[\"a\",\"b c\"]"},
		{"{NULL,\"\"NULL\"\",null}", "[null,\"NULL\",null]"},
		{"{\"\"a,b\"\",\"\"{\"\",\"\"\"\"}", "[\"a,b\",\"{\",\"\"]"},
		{"{\"\"a\\\\\"\"b\\\\\\\\\"\"}", NULL},
		{"{\"\"q\\\"\"q\"\",\"\"\\\\\"\"}", "[\"q\\\"q\",\"\\\\\"]"},
		{"[\"\"a\"\", null, \"\"\\u00e4\"\"]", "[\"a\",null,\"\u00e4\"]"},
		{"{12,true}", "[\"12\",\"true\"]"},
	};
	char csv[200], json[200];
	snprintf(csv, sizeof(csv), "id,tags\nx,\"%s\"\n", same[_i][0]);
	snprintf(json, sizeof(json), "{\"id\":\"x\",\"tags\":%s}", same[_i][1] ? same[_i][1] : "");
	if (same[_i][1]) {
		same_as(csv, json);
		return;
	}
	struct buf out = {0};
	read_text(csv, strlen(csv), "", &out);
	ck_assert_msg(strncmp(buf_cstr(&out), "<:2: ", 5) == 0, "%s", out.data);
	buf_free(&out);
}
END_TEST

/* Nothing is null where null is a value, else the default; "" is an empty text. */
START_TEST(test_nothing)
{
	same_as("id,n,count,score,tags,kind\n,,,,,\n\"\",1,2,,{},\n",
		"{\"id\":\"\",\"n\":null,\"score\":null,\"kind\":null}\n"
		"{\"id\":\"\",\"n\":1,\"count\":2,\"score\":null,\"kind\":null}");
	gives("id,n\nx,\"\"\n", "", "<:2: field 'n': wants int, found \"\">");
}
END_TEST

/* Cells in quotes may hold all that is between cells and rows; lines are counted on. */
START_TEST(test_quotes)
{
	same_as("id;n\n\"a;\"\"b\"\"\r\nc\";1\r\n\r\nd;2",
		"{\"id\":\"a;\\\"b\\\"\\r\\nc\",\"n\":1}\n{\"id\":\"d\",\"n\":2}");
	same_as("id\tn\na,b\t1\n", "{\"id\":\"a,b\",\"n\":1}");
	same_as("\xef\xbb\xbf id , \tn \nx,1\n", "{\"id\":\"x\",\"n\":1}");
	gives("id,n\n\"a\nb\",1\nc,x\n\nd,2\n", "",
	      "[06610a6202020e01000000000000000000000000000000000000]"
	      "<:4: field 'n': wants int, found \"x\">"
	      "[026402040e01000000000000000000000000000000000000]");
}
END_TEST

/* What is no row is refused alone; where rows could be taken for texts, the file ends. */
START_TEST(test_refusals)
{
	static const struct {
		const char *csv, *wanted;
	} all[] = {
		{"id,n\na,1,2\nb\n",
		 "<:2: the row has 3 cells, the header 2><:3: the row has 1 cells, the header 2>"},
		{"id,n\n5\" disk,1\n\"a\"b,1\n",
		 "<: behind line 2: a quote that is opened in this row is not closed>"},
		{"id,n\n5\" by 3\",1\n\"a\"b,1\n",
		 "<:2: cell 1: a quote in a cell that does not begin with one>"
		 "<:3: cell 1: text behind a closing quote>"},
		{"id,nn\na,1\n",
		 "<: the header: record Note has no field 'nn'; did you mean 'n'?>"},
		{"id,n,id\na,1,b\n", "<: the header: column 'id' stands twice>"},
		{"id,ok\na,maybe\n", "<:2: field 'ok': wants true or false>"},
		{"id,raw\na,\\x0g\nb,\\x0\n",
		 "<:2: field 'raw': \\x with something else than hexadecimal digits behind it>"
		 "<:3: field 'raw': \\x with an odd number of digits behind it>"},
		{"id,tags\na,\"{a,,b}\"\nb,{a\nc,{a}b\nd,\"[1\"\n",
		 "<:2: field 'tags': an item of the array is missing>"
		 "<:3: field 'tags': an array without comma or } behind an item>"
		 "<:4: field 'tags': text behind the array>"
		 "<:5: field 'tags': the text ends where a comma or ] should stand (column 3)>"},
		{"n\n1\n", "<:2: field 'id': is missing and has no default>"},
		{"id,near\na,\"[1,x]\"\n",
		 "<:2: field 'near': 'x' where a value should stand (column 4)>"},
		{"id,n\n\xff,1\nb,99999999999\n", NULL},
	};
	struct buf out = {0};
	if (all[_i].wanted) {
		gives(all[_i].csv, "", all[_i].wanted);
		return;
	}
	read_text(all[_i].csv, strlen(all[_i].csv), "", &out);
	ck_assert_ptr_nonnull(strstr(buf_cstr(&out), "<:2: "));
	ck_assert_ptr_nonnull(strstr(buf_cstr(&out), "<:3: field 'n': wants int"));
	buf_free(&out);
}
END_TEST

/* A file that says by its name that it is CSV is taken at its word. */
START_TEST(test_name)
{
	gives("Id,n\na,1\n", ".csv",
	      "<: the header: record Note has no field 'Id'; did you mean 'id'?>");
	gives("", ".CSV.gz", "<: an empty file is no CSV file: it has no header>");
	gives("Id,n\n", ".txt", "<:1: not JSON: 'I' where a value should stand (column 1)>");
}
END_TEST

static Suite *csv_suite(void)
{
	Suite *suite = suite_create("csv");
	TCase *tc = tcase_create("csv");
	tcase_add_loop_test(tc, test_cells, 0, 9);
	tcase_add_loop_test(tc, test_arrays, 0, 10);
	tcase_add_test(tc, test_nothing);
	tcase_add_test(tc, test_quotes);
	tcase_add_loop_test(tc, test_refusals, 0, 11);
	tcase_add_test(tc, test_name);
	suite_add_tcase(suite, tc);
	return suite;
}

UNIT_SUITE(csv_suite)

/*
 * test_recode.c - a datum of one schema becomes the datum of another by Avro's rules: fields by
 * name and alias, defaults, promotions, unions; and what it cannot become exactly is refused.
 */
#include "codec/recode.h"

#include "codec_rig.h"

static struct recoder *open_recoder(const struct schema *w, const struct schema *r)
{
	struct err err = {0};
	struct recoder *recoder = recoder_new(w, r, &rig_limits, &err);
	ck_assert_msg(recoder != NULL, "%s", err.text);
	return recoder;
}

/* Fields of the writer's and the reader's record R, behind k, a long; error: NULL, or what it says.
 */
static void check(const char *writer, const char *reader, const void *in, size_t n,
		  const void *wanted, size_t m, const char *error)
{
	struct schema *w = rig_fields("", writer), *r = rig_fields("", reader);
	struct recoder *recoder = open_recoder(w, r);
	struct buf out = {0}, datum = {0};
	struct err err = {0};
	buf_puts(&out, "kept");
	buf_u8(&datum, 2);
	buf_put(&datum, in, n);
	bool ok = recode(recoder, (struct slice){datum.data, datum.len}, &out, &err);
	if (error) {
		ck_assert_msg(!ok, "no error");
		ck_assert_int_eq(err.class, ERR_POISON);
		ck_assert_msg(strstr(err.text, error) != NULL, "%s", err.text);
		ck_assert_uint_eq(out.len, 4);
	} else {
		ck_assert_msg(ok, "%s", err.text);
		ck_assert_uint_eq(out.len, 5 + m);
		ck_assert_uint_eq(out.data[4], 2);
		ck_assert_mem_eq(out.data + 5, wanted, m);
	}
	buf_free(&out);
	buf_free(&datum);
	recoder_free(recoder);
	schema_free(w);
	schema_free(r);
}

#define GOOD(writer, reader, in, out)                                                              \
	check(writer, reader, in, sizeof(in) - 1, out, sizeof(out) - 1, NULL)
#define BAD(writer, reader, in, error) check(writer, reader, in, sizeof(in) - 1, NULL, 0, error)

/* Order, fields that one side lacks, aliases. */
START_TEST(test_fields)
{
	GOOD("{'name':'a','type':'int'},{'name':'b','type':'string'}",
	     "{'name':'b','type':'string'},{'name':'a','type':'int'}", "\x04\x02x", "\x02x\x04");
	GOOD("{'name':'a','type':{'type':'array','items':'string'}},{'name':'b','type':'int'}",
	     "{'name':'b','type':'int'}", "\x02\x02x\0\x06", "\x06");
	GOOD("",
	     "{'name':'d','type':['null','int'],'default':null},{'name':'e','type':'int',"
	     "'default':-1}",
	     "", "\0\x01");
	GOOD("{'name':'old','type':'int'}", "{'name':'new','aliases':['old'],'type':'int'}", "\x06",
	     "\x06");
}
END_TEST

/* Every promotion, and values that stay. */
START_TEST(test_scalars)
{
#define ONE(w, r, in, out) GOOD("{'name':'f','type':" w "}", "{'name':'f','type':" r "}", in, out)
#define NOT(w, r, in, error)                                                                       \
	BAD("{'name':'f','type':" w "}", "{'name':'f','type':" r "}", in, error)
	ONE("'int'", "'long'", "\x07", "\x07");
	ONE("'int'", "'float'", "\x02", "\0\0\x80\x3f");
	ONE("'long'", "'double'", "\x02", "\0\0\0\0\0\0\xf0\x3f");
	ONE("'float'", "'double'", "\0\0\x80\x3f", "\0\0\0\0\0\0\xf0\x3f");
	ONE("'string'", "'bytes'", "\x02x", "\x02x");
	ONE("'bytes'", "'string'", "\x02x", "\x02x");
	ONE("'boolean'", "'boolean'", "\x01", "\x01");
	ONE("{'type':'fixed','name':'F','size':3}", "{'type':'fixed','name':'F','size':3}", "abc",
	    "abc");
	ONE("{'type':'enum','name':'E','symbols':['A','B','C']}",
	    "{'type':'enum','name':'E','symbols':['C','A'],'default':'A'}", "\x04", "\0");
	ONE("{'type':'enum','name':'E','symbols':['A','B','C']}",
	    "{'type':'enum','name':'E','symbols':['C','A'],'default':'A'}", "\x02", "\x02");
	ONE("{'type':'array','items':'float'}", "{'type':'array','items':'float'}",
	    "\x04\0\0\x80\x3f\0\0\0\x40\0", "\x04\0\0\x80\x3f\0\0\0\x40\0");
	ONE("{'type':'array','items':'float'}", "{'type':'array','items':'double'}",
	    "\x02\0\0\x80\x3f\0", "\x02\0\0\0\0\0\0\xf0\x3f\0");
	/* a block with its size in front; the size goes */
	ONE("{'type':'array','items':'int'}", "{'type':'array','items':'long'}",
	    "\x03\x04\x02\x04\0", "\x04\x02\x04\0");
	ONE("{'type':'map','values':'int'}", "{'type':'map','values':'int'}", "\x02\x02k\x02\0",
	    "\x02\x02k\x02\0");
	NOT("{'type':'array','items':'int'}", "{'type':'array','items':'long'}",
	    "\x03\x06\x02\x04\0\0", "size does not agree");
}
END_TEST

/* Units of time are converted where that is exact. */
START_TEST(test_units)
{
#define LONG(l) "{'type':'long','logicalType':'" l "'}"
	ONE(LONG("timestamp-millis"), LONG("timestamp-micros"), "\x02", "\xd0\x0f");
	ONE(LONG("timestamp-micros"), LONG("timestamp-millis"), "\xd0\x0f", "\x02");
	ONE(LONG("timestamp-micros"), LONG("timestamp-micros"), "\x02", "\x02");
	ONE("'long'", LONG("timestamp-millis"), "\x02", "\x02");
	ONE(LONG("timestamp-millis"), "'long'", "\x02", "\x02");
	NOT(LONG("timestamp-micros"), LONG("timestamp-millis"), "\x02",
	    "field 'f': it is finer than the stream's unit of time");
	NOT(LONG("timestamp-nanos"), LONG("timestamp-micros"), "\x01", "finer than");
	NOT(LONG("timestamp-millis"), LONG("timestamp-nanos"),
	    "\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", "out of range");
	ONE("{'type':'int','logicalType':'time-millis'}", LONG("time-micros"), "\x02", "\xd0\x0f");
}
END_TEST

/* Unions on either side. */
START_TEST(test_unions)
{
	ONE("['null','int']", "['long','null']", "\0", "\x02");
	ONE("['null','int']", "['long','null']", "\x02\x06", "\0\x06");
	ONE("'int'", "['null','string','long']", "\x06", "\x04\x06");
	ONE("['null','int']", "'int'", "\x02\x06", "\x06");
	NOT("['null','int']", "'int'", "\0", "field 'f': holds a null where the schema");
	ONE("{'type':'array','items':['null','string']}",
	    "{'type':'array','items':['string','null']}", "\x04\0\x02\x02x\0", "\x04\x02\0\x02x\0");
}
END_TEST

/* Records in records: other order, defaults, one that holds itself. */
START_TEST(test_nested)
{
	ONE("{'type':'record','name':'N','fields':[{'name':'a','type':'int'},{'name':'b','type':'"
	    "int'}"
	    "]}",
	    "{'type':'record','name':'N','fields':[{'name':'c','type':'int','default':7},{'name':'"
	    "b',"
	    "'type':'int'}]}",
	    "\x02\x04", "\x0e\x04");
	ONE("{'type':'record','name':'N','fields':[{'name':'v','type':'int'},{'name':'next','type':"
	    "["
	    "'null','N']}]}",
	    "{'type':'record','name':'N','fields':[{'name':'next','type':['N','null']},{'name':'v',"
	    "'type':'long'}]}",
	    "\x02\x02\x04\0", "\0\x02\x04\x02");
	NOT("{'type':'record','name':'N','fields':[{'name':'a','type':['null','int']}]}",
	    "{'type':'record','name':'N','fields':[{'name':'a','type':'int'}]}", "\0",
	    "field 'f': field 'a': holds a null");
}
END_TEST

/* Bytes that are no datum of the writer. */
START_TEST(test_damaged)
{
	NOT("'string'", "'string'", "\x06xy", "field 'f': ");
	NOT("'string'", "'string'", "\x02xy", "1 bytes are left behind the last field");
	NOT("'string'", "'string'", "", "field 'f': ");
	NOT("{'type':'enum','name':'E','symbols':['A']}",
	    "{'type':'enum','name':'E','symbols':['A']}", "\x02", "field 'f': ");
}
END_TEST

static void check_schemas(const char *writer, const char *reader, const char *error)
{
	struct schema *w = rig_schema(writer), *r = rig_schema(reader);
	struct err err = {0};
	ck_assert_ptr_null(recoder_new(w, r, &rig_limits, &err));
	ck_assert_int_eq(err.class, ERR_CONFIG);
	ck_assert_msg(strstr(err.text, error) != NULL, "%s", err.text);
	schema_free(w);
	schema_free(r);
}

/* Schemas that do not resolve. */
START_TEST(test_refused)
{
#define R(name, fields) "{'type':'record','name':'" name "','fields':[" fields "]}"
	check_schemas("'int'", R("R", ""),
		      "the writer has int, which is neither the stream's record R");
	check_schemas(R("S", ""), R("R", ""), "the writer has record S, which is neither");
	check_schemas(R("R", ""), R("R", "{'name':'a','type':'int'}"),
		      "the writer has no field 'a' (int), and the stream's schema has no default");
	check_schemas(R("R", "{'name':'a','type':'string'}"), R("R", "{'name':'a','type':'int'}"),
		      "writer's field 'a', stream's field 'a': the writer has string");
}
END_TEST

static void check_key(const char *key, const char *in, size_t n, const char *wanted, size_t m)
{
	struct schema *w = rig_schema(R("Event",
					"{'name':'v','type':'string'},{'name':'b','type':'int'"
					"},{'name':'a','type':'string'}")),
		      *k = rig_schema(key);
	struct err err = {0};
	struct buf out = {0};
	struct recoder *r = recoder_new_key(w, k, 1, &rig_limits, &err);
	ck_assert_msg(r != NULL, "%s", err.text);
	ck_assert_msg(recode(r, (struct slice){(const uint8_t *)in, n}, &out, &err), "%s",
		      err.text);
	ck_assert_uint_eq(out.len, m);
	ck_assert_mem_eq(out.data, wanted, m);
	recoder_free(r);
	schema_free(w);
	schema_free(k);
	buf_free(&out);
}

/* A key is a part of the event, as a record of another name, or bare; it has no defaults. */
START_TEST(test_keys)
{
	static const char datum[] = "\x02v\x08\x02x";
	check_key(R("Key", "{'name':'a','type':'string'},{'name':'b','type':'long'}"), datum, 5,
		  "\x02x\x08", 3);
	check_key("'long'", datum, 5, "\x08", 1);
	struct schema *w = rig_schema(R("Event", "{'name':'a','type':'int'}")),
		      *k = rig_schema(R("Key", "{'name':'b','type':'int','default':1}"));
	struct err err = {0};
	ck_assert_ptr_null(recoder_new_key(w, k, 0, &rig_limits, &err));
	ck_assert_ptr_nonnull(strstr(err.text, "no field 'b' (int), which the key wants"));
	schema_free(w);
	schema_free(k);
}
END_TEST

static Suite *recode_suite(void)
{
	Suite *suite = suite_create("recode");
	TCase *tc = tcase_create("recode");
	tcase_add_test(tc, test_fields);
	tcase_add_test(tc, test_scalars);
	tcase_add_test(tc, test_units);
	tcase_add_test(tc, test_unions);
	tcase_add_test(tc, test_nested);
	tcase_add_test(tc, test_damaged);
	tcase_add_test(tc, test_refused);
	tcase_add_test(tc, test_keys);
	suite_add_tcase(suite, tc);
	return suite;
}

UNIT_SUITE(recode_suite)

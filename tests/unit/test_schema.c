/*
 * test_schema.c - what an Avro schema says, and what is no schema.
 */
#include <inttypes.h>

#include "codec_rig.h"

static void refused(const char *text, const char *words)
{
	struct err err = {0};
	struct schema *s = rig_try_schema(text, &err);
	ck_assert_msg(!s, "taken, but it should be refused: %s", words);
	ck_assert_int_eq(err.class, ERR_CONFIG);
	ck_assert_msg(strstr(err.text, words), "'%s' lacks '%s'", err.text, words);
}

/* Each primitive, alone, by name and as an object. */
START_TEST(primitives)
{
	for (int k = SCHEMA_NULL; k <= SCHEMA_STRING; k++) {
		char text[60];
		snprintf(text, sizeof(text), "'%s'", schema_kind_name((enum schema_kind)k));
		struct schema *s = rig_schema(text);
		ck_assert_int_eq(s->root->kind, k);
		ck_assert_str_eq(schema_canonical(s),
				 (snprintf(text, sizeof(text), "\"%s\"",
					   schema_kind_name((enum schema_kind)k)),
				  text));
		schema_free(s);
		snprintf(text, sizeof(text), "{'type':{'type':'%s'}}",
			 schema_kind_name((enum schema_kind)k));
		s = rig_schema(text);
		ck_assert_int_eq(s->root->kind, k);
		schema_free(s);
	}
}
END_TEST

/*
 * Names resolve in the namespace of the innermost named type; a dotted name is full; aliases are
 * qualified by the type's own namespace; a record may hold itself. Order and aliases of fields are
 * kept.
 */
START_TEST(names)
{
	struct schema *s = rig_schema("{'type':'record','name':'R','namespace':'a.b','aliases':['"
				      "Old','c.Older'],'fields':["
				      "{'name':'e','type':{'type':'enum','name':'x.E','symbols':['"
				      "A','B'],'default':'B'},'aliases':['f','g']}"
				      ","
				      "{'name':'n','type':{'type':'record','name':'N','fields':[{'"
				      "name':'up','type':['null','R','x.E']}]},'"
				      "order':'ignore'},"
				      "{'name':'m','type':'a.b.N'},{'name':'o','type':{'type':'"
				      "fixed','name':'F','namespace':'','size':3}},"
				      "{'name':'q','type':'F'}]}");
	const struct schema_type *r = s->root;
	ck_assert_str_eq(r->full_name, "a.b.R");
	ck_assert_str_eq(r->name, "R");
	ck_assert_str_eq(r->aliases[0], "a.b.Old");
	ck_assert_str_eq(r->aliases[1], "c.Older");
	ck_assert_uint_eq(r->fields[0].naliases, 2);
	ck_assert_str_eq(r->fields[0].aliases[1], "g");
	ck_assert_int_eq(r->fields[0].type->default_symbol, 1);
	ck_assert_int_eq(r->fields[1].order, ORDER_IGNORE);
	const struct schema_type *n = r->fields[1].type;
	ck_assert_str_eq(n->full_name, "a.b.N");
	ck_assert_ptr_eq(n->fields[0].type->branches[1], r);
	ck_assert_ptr_eq(n->fields[0].type->branches[2], r->fields[0].type);
	ck_assert_ptr_eq(r->fields[2].type, n);
	ck_assert_str_eq(r->fields[3].type->full_name, "F");
	ck_assert_ptr_eq(r->fields[4].type, r->fields[3].type);
	schema_free(s);
}
END_TEST

/*
 * The canonical form drops what the specification drops, writes names in full, and each definition
 * once.
 */
START_TEST(canonical)
{
	struct schema *s = rig_schema(
		"{ 'type' : 'record', 'doc':'x', 'name':'R', 'namespace':'a', 'fields': ["
		"{'default':1, "
		"'type':{'type':'int','logicalType':'date'},'name':'i','aliases':['j']},"
		"{'name':'f','type':{'name':'F','type':'fixed','size':12,'aliases':['G']}},"
		"{'name':'l','type':{'type':'array','items':['null','F','R']}},"
		"{'name':'m','type':{'type':'map','values':{'type':'enum','symbols':['A','B'],'"
		"name':'E'}}}]}");
	ck_assert_str_eq(
		schema_canonical(s),
		"{\"name\":\"a.R\",\"type\":\"record\",\"fields\":[{\"name\":\"i\",\"type\":"
		"\"int\"},"
		"{\"name\":\"f\",\"type\":{\"name\":\"a.F\",\"type\":\"fixed\",\"size\":12}},"
		"{\"name\":\"l\",\"type\":{\"type\":\"array\",\"items\":[\"null\",\"a.F\",\"a.R\"]}"
		"},"
		"{\"name\":\"m\",\"type\":{\"type\":\"map\",\"values\":{\"name\":\"a.E\",\"type\":"
		"\"enum\","
		"\"symbols\":[\"A\",\"B\"]}}}]}");
	schema_free(s);
}
END_TEST

/*
 * CRC-64-AVRO against the values of the Avro project's own test data
 * (share/test/data/schema-tests.txt).
 */
START_TEST(fingerprints)
{
	static const struct {
		const char *text;
		int64_t fingerprint;
	} known[] = {
		{"'null'", INT64_C(7195948357588979594)},
		{"'boolean'", INT64_C(-6970731678124411036)},
		{"'int'", INT64_C(8247732601305521295)},
		{"'long'", INT64_C(-3434872931120570953)},
		{"'float'", INT64_C(5583340709985441680)},
		{"'double'", INT64_C(-8181574048448539266)},
		{"'bytes'", INT64_C(5746618253357095269)},
		{"'string'", INT64_C(-8142146995180207161)},
		{"['int']", INT64_C(-5232228896498058493)},
		{"['int','boolean']", INT64_C(5392556393470105090)},
		{"{'fields':[],'type':'record','name':'foo'}", INT64_C(-4824392279771201922)},
		{"{'fields':[],'type':'record','name':'foo','namespace':'x.y'}",
		 INT64_C(5916914534497305771)},
		{"{'fields':[],'type':'record','name':'a.b.foo','namespace':'x.y'}",
		 INT64_C(-4616218487480524110)},
	};
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		struct schema *s = rig_schema(known[i].text);
		ck_assert_msg((int64_t)schema_fingerprint(s) == known[i].fingerprint,
			      "%s: %" PRId64, known[i].text, (int64_t)schema_fingerprint(s));
		schema_free(s);
	}
}
END_TEST

/*
 * The fingerprint of the form that keeps logical types, against what github.com/hamba/avro v2.30
 * makes of the same schemas; without logical types it is the other one.
 */
START_TEST(fingerprints_logical)
{
	static const struct {
		const char *path;
		uint64_t fingerprint;
	} files[] = {
		{"schemas/memory_event.avsc", UINT64_C(0xcb3df57194547262)},
		{"schemas/memory_key.avsc", UINT64_C(0x502a3d9f27def50c)},
		{"schemas/pattern_event.avsc", UINT64_C(0x0d58f726f93ea5af)},
		{"schemas/trajectory_event.avsc", UINT64_C(0x96449b7b9ce462d8)},
		{"tests/schemas/everything.avsc", UINT64_C(0xd83134daa09faf75)},
		{"tests/schemas/everything_key.avsc", UINT64_C(0x857737fb7aee5eea)},
	};
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		struct schema *s = rig_schema_file(files[i].path);
		ck_assert_msg(schema_fingerprint_logical(s) == files[i].fingerprint,
			      "%s: %016" PRIx64, files[i].path, schema_fingerprint_logical(s));
		schema_free(s);
	}
	struct schema *s = rig_schema(
		"{'type':'record','name':'R','namespace':'n','fields':[{'name':'a','type':{'type':"
		"'fixed','name':'D','size':12,'logicalType':'duration'}},{'name':'b','type':['null'"
		","
		"{'type':'bytes','logicalType':'decimal','precision':9}]},{'name':'c','type':{'"
		"type':"
		"'fixed','name':'F','size':8,'logicalType':'decimal','precision':18,'scale':4}},{"
		"'name':'d','type':{'type':'array','items':{'type':'string','logicalType':'uuid'}}}"
		","
		"{'name':'e','type':{'type':'map','values':{'type':'int','logicalType':'time-"
		"millis'"
		"}}},{'name':'f','type':{'type':'fixed','name':'U','size':16,'logicalType':'uuid'}}"
		","
		"{'name':'g','type':{'type':'long','logicalType':'timestamp-nanos'}},{'name':'h',"
		"'type':'F'},{'name':'i','type':{'type':'long','logicalType':'local-timestamp-"
		"millis'"
		"}},{'name':'j','type':{'type':'bytes','logicalType':'decimal','precision':2,'"
		"scale'"
		":4}}]}");
	ck_assert_msg(schema_fingerprint_logical(s) == UINT64_C(0xa6f184c66626dfa6), "%016" PRIx64,
		      schema_fingerprint_logical(s));
	schema_free(s);
	s = rig_schema("{'type':'map','values':['null','long']}");
	ck_assert(schema_fingerprint_logical(s) == schema_fingerprint(s));
	schema_free(s);
}
END_TEST

static void flaws_are(const char *text, const char *want)
{
	struct buf out = {0};
	struct schema *s = rig_schema(text);
	logical_flaws(s, &out);
	ck_assert_msg(strstr(buf_cstr(&out), want) && (*want || out.len == 0),
		      "%s: '%s' lacks '%s'", text, buf_cstr(&out), want);
	buf_free(&out);
	schema_free(s);
}

/* What Avro ignores is found wherever it stands, once, with its place. */
START_TEST(flaws)
{
	flaws_are("{'type':'record','name':'R','fields':[{'name':'f','type':{'type':'long',"
		  "'logicalType':'timestamp-millis'}},{'name':'next','type':['null','R']}]}",
		  "");
	flaws_are("{'type':'record','name':'R','fields':[{'name':'f','type':'long','logicalType':"
		  "'timestamp-millis'}]}",
		  "field 'f': \"logicalType\": \"timestamp-millis\" stands beside the type");
	flaws_are("{'type':'record','name':'R','fields':[{'name':'f','type':['null','bytes'],"
		  "'logicalType':'decimal','precision':9}]}",
		  "field 'f': \"logicalType\": \"decimal\" stands beside");
	flaws_are("{'type':'record','name':'R','fields':[{'name':'f','type':{'type':{'type':'int'},"
		  "'logicalType':'date'}}]}",
		  "field 'f': type int (date beside the type): Avro ignores this logical type\n");
	flaws_are(
		"{'type':'record','name':'R','fields':[{'name':'a','type':{'type':'array','items':"
		"{'type':'record','name':'S','fields':[{'name':'m','type':{'type':'map','values':["
		"'null',{'type':'bytes','logicalType':'decimal','precision':2,'scale':3}]}}]}}}]}",
		"field 'a.m': type bytes (decimal 2,3, which is not valid)");
}
END_TEST

/*
 * A logical type counts where it fits its type; elsewhere it is ignored, as the specification says,
 * but stays visible.
 */
START_TEST(logical_types)
{
	static const struct {
		const char *text;
		enum schema_logical logical;
	} cases[] = {
		{"{'type':'int','logicalType':'date'}", LOGICAL_DATE},
		{"{'type':'long','logicalType':'date'}", LOGICAL_NONE},
		{"{'type':'int','logicalType':'time-millis'}", LOGICAL_TIME_MILLIS},
		{"{'type':'long','logicalType':'time-micros'}", LOGICAL_TIME_MICROS},
		{"{'type':'long','logicalType':'timestamp-millis'}", LOGICAL_TIMESTAMP_MILLIS},
		{"{'type':'long','logicalType':'timestamp-micros'}", LOGICAL_TIMESTAMP_MICROS},
		{"{'type':'long','logicalType':'timestamp-nanos'}", LOGICAL_TIMESTAMP_NANOS},
		{"{'type':'long','logicalType':'local-timestamp-millis'}", LOGICAL_LOCAL_MILLIS},
		{"{'type':'long','logicalType':'local-timestamp-micros'}", LOGICAL_LOCAL_MICROS},
		{"{'type':'long','logicalType':'local-timestamp-nanos'}", LOGICAL_LOCAL_NANOS},
		{"{'type':'string','logicalType':'uuid'}", LOGICAL_UUID},
		{"{'type':'fixed','name':'F','size':16,'logicalType':'uuid'}", LOGICAL_UUID},
		{"{'type':'fixed','name':'F','size':15,'logicalType':'uuid'}", LOGICAL_NONE},
		{"{'type':'fixed','name':'F','size':12,'logicalType':'duration'}",
		 LOGICAL_DURATION},
		{"{'type':'fixed','name':'F','size':11,'logicalType':'duration'}", LOGICAL_NONE},
		{"{'type':'bytes','logicalType':'decimal','precision':9,'scale':2}",
		 LOGICAL_DECIMAL},
		{"{'type':'bytes','logicalType':'decimal','precision':9}", LOGICAL_DECIMAL},
		{"{'type':'bytes','logicalType':'decimal','precision':2,'scale':3}", LOGICAL_NONE},
		{"{'type':'bytes','logicalType':'decimal'}", LOGICAL_NONE},
		{"{'type':'fixed','name':'F','size':2,'logicalType':'decimal','precision':4}",
		 LOGICAL_DECIMAL},
		{"{'type':'fixed','name':'F','size':2,'logicalType':'decimal','precision':5}",
		 LOGICAL_NONE},
		{"{'type':'string','logicalType':'made-up'}", LOGICAL_NONE},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct schema *s = rig_schema(cases[i].text);
		ck_assert_msg(s->root->logical == cases[i].logical, "%s", cases[i].text);
		ck_assert_ptr_nonnull(s->root->claim.text);
		schema_free(s);
	}
	struct schema *s =
		rig_schema("{'type':'bytes','logicalType':'decimal','precision':9,'scale':2}");
	ck_assert_uint_eq(s->root->precision, 9);
	ck_assert_uint_eq(s->root->scale, 2);
	schema_free(s);
}
END_TEST

/*
 * Defaults become Avro bytes of the field's type; what does not fit is remembered, and the schema
 * still stands.
 */
START_TEST(defaults)
{
	static const struct {
		const char *type, *json;
		const char *bytes; /* NULL: does not fit */
		size_t len;
	} cases[] = {
		{"'int'", "-1", "\x01", 1},
		{"'int'", "2147483648", NULL, 0},
		{"'long'", "64", "\x80\x01", 2},
		{"'long'", "1.5", NULL, 0},
		{"'boolean'", "true", "\x01", 1},
		{"'boolean'", "1", NULL, 0},
		{"'float'", "1", "\0\0\x80\x3f", 4},
		{"'double'", "-2.0", "\0\0\0\0\0\0\0\xc0", 8},
		{"'string'", "'ab'",
		 "\x04"
		 "ab",
		 3},
		{"'string'", "null", NULL, 0},
		{"'bytes'", "'\\u00ff\\u0000a'", "\x06\xff\0a", 4},
		{"'bytes'", "'\\u0100'", NULL, 0},
		{"{'type':'fixed','name':'F','size':2}", "'xy'", "xy", 2},
		{"{'type':'fixed','name':'F','size':2}", "'x'", NULL, 0},
		{"{'type':'enum','name':'E','symbols':['A','B']}", "'B'", "\x02", 1},
		{"{'type':'enum','name':'E','symbols':['A','B']}", "'C'", NULL, 0},
		{"{'type':'array','items':'int'}", "[1,2]", "\x04\x02\x04\0", 4},
		{"{'type':'array','items':'int'}", "[]", "\0", 1},
		{"{'type':'map','values':'int'}", "{'a':1}",
		 "\x02\x02"
		 "a\x02\0",
		 5},
		{"['null','int']", "null", "\0", 1},
		{"['null','int']", "5", "\x02\x0a", 2},
		{"['int','null']", "null", "\x02", 1},
		{"['int','null']", "'x'", NULL, 0},
		{"{'type':'record','name':'S','fields':[{'name':'a','type':'int'},{'name':'b','"
		 "type':'int','default':3}"
		 "]}",
		 "{'a':1}", "\x02\x06", 2},
		{"{'type':'record','name':'S','fields':[{'name':'a','type':'int'}]}", "{}", NULL,
		 0},
		{"['null','R']", "null", "\0", 1},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char *text = xasprintf("{'type':'record','name':'R','fields':[{'name':'f','type':%"
				       "s,'default':%s}]}",
				       cases[i].type, cases[i].json);
		struct schema *s = rig_schema(text);
		const struct schema_field *f = &s->root->fields[0];
		ck_assert_msg((f->default_error == NULL) == (cases[i].bytes != NULL), "%s: %s",
			      text, f->default_error ? f->default_error : "fits");
		if (cases[i].bytes)
			ck_assert_msg(f->default_datum.len == cases[i].len &&
					      memcmp(f->default_datum.data, cases[i].bytes,
						     cases[i].len) == 0,
				      "%s", text);
		schema_free(s);
		free(text);
	}
}
END_TEST

/*
 * A default that leans on defaults without end, and one that doubles at each level, are refused in
 * bounded time.
 */
START_TEST(endless_defaults)
{
	struct schema *s = rig_schema(
		"{'type':'record','name':'R','fields':[{'name':'r','type':'R','default':{}}]}");
	ck_assert_ptr_nonnull(s->root->fields[0].default_error);
	schema_free(s);

	struct buf text = {0};
	buf_puts(&text, "{'type':'record','name':'R','fields':[{'name':'a','type':{'type':'record',"
			"'name':'T0','fields':[]}}");
	for (int i = 1; i < 60; i++)
		buf_printf(&text,
			   ",{'name':'a%d','type':{'type':'record','name':'T%d','fields':[{'name':'"
			   "x','type':'T%d','"
			   "default':{}},"
			   "{'name':'y','type':'T%d','default':{}}]},'default':{}}",
			   i, i, i - 1, i - 1);
	buf_puts(&text, "]}");
	s = rig_schema(buf_cstr(&text));
	ck_assert_ptr_nonnull(s->root->fields[59].default_error);
	schema_free(s);
	buf_free(&text);
}
END_TEST

/* Each error leads to its place. */
START_TEST(errors)
{
	refused("{'type':'record','name':'R','fields':[{'name':'tags','type':'strin'}]}",
		"record 'R': field 'tags': unknown type 'strin'");
	refused("{'type':'record','name':'a.R','fields':[{'name':'t','type':{'type':'array','items'"
		":['null','x']}}]}",
		"record 'a.R': field 't': \"items\": unknown type 'x'");
	refused("{'type':'record','name':'R','fields':[{'name':'a','type':'int'},{'name':'a','type'"
		":'int'}]}",
		"field 'a'");
	refused("{'type':'record','name':'R','fields':[{'name':'a-b','type':'int'}]}", "'a-b'");
	refused("{'type':'record','name':'R','fields':[{'name':'a'}]}",
		"field 'a': it has no type");
	refused("{'type':'record','name':'R','fields':{}}", "no list");
	refused("{'type':'record','fields':[]}", "no valid name");
	refused("{'type':'record','name':'1R','fields':[]}", "no valid name");
	refused("{'type':'record','name':'R','fields':[{'name':'a','type':'int','order':'up'}]}",
		"order");
	refused("{'type':'enum','name':'E','symbols':[]}", "symbols");
	refused("{'type':'enum','name':'E','symbols':['A','A']}", "twice");
	refused("{'type':'enum','name':'E','symbols':['A'],'default':'B'}", "default");
	refused("{'type':'fixed','name':'F','size':-1}", "size");
	refused("{'type':'fixed','name':'F'}", "size");
	refused("{'type':'array'}", "items");
	refused("{'type':'map'}", "values");
	refused("{'type':'union'}", "list");
	refused("['int','int']", "twice");
	refused("['int',['null']]", "another union");
	refused("[]", "union");
	refused("[{'type':'enum','name':'E','symbols':['A']},{'type':'enum','name':'E','symbols':['"
		"A']}]",
		"defined twice");
	refused("{}", "no \"type\"");
	refused("7", "neither a name nor");
	refused("{'type':'int'", "line 1");
	refused("", "no valid JSON");
}
END_TEST

/* Bounds: size, depth of types (also where JSON itself would go deeper), length of names. */
START_TEST(bounds)
{
	struct buf text = {0};
	for (int i = 0; i < 64; i++)
		buf_puts(&text, "{'type':'array','items':");
	buf_puts(&text, "'int'");
	for (int i = 0; i < 64; i++)
		buf_puts(&text, "}");
	refused(buf_cstr(&text), "nested deeper");
	text.len = 0;
	for (int i = 0; i < 100000; i++)
		buf_puts(&text, "[");
	refused(buf_cstr(&text), "no valid JSON");
	text.len = 0;
	buf_puts(&text, "{'type':'fixed','size':1,'name':'");
	for (int i = 0; i < 600; i++)
		buf_puts(&text, "a");
	buf_puts(&text, "'}");
	refused(buf_cstr(&text), "longer than");
	text.len = 0;
	for (size_t i = 0; i <= SCHEMA_MAX_BYTES; i++)
		buf_puts(&text, " ");
	refused(buf_cstr(&text), "at most");
	buf_free(&text);
}
END_TEST

/* The shipped schemas and the made-up one are schemas, with annotations. */
START_TEST(shipped)
{
	static const char *const paths[] = {
		"schemas/memory_event.avsc", "schemas/pattern_event.avsc",
		"schemas/trajectory_event.avsc", "tests/schemas/everything.avsc"};
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		struct schema *s = rig_schema_file(paths[i]);
		ck_assert_ptr_nonnull(s->root->pg);
		for (size_t f = 0; f < s->root->nfields; f++)
			ck_assert_msg(!s->root->fields[f].default_error, "%s: %s",
				      s->root->fields[f].name, s->root->fields[f].default_error);
		schema_free(s);
	}
}
END_TEST

static Suite *schema_suite(void)
{
	Suite *s = suite_create("schema");
	TCase *t = tcase_create("schema");
	tcase_add_test(t, primitives);
	tcase_add_test(t, names);
	tcase_add_test(t, canonical);
	tcase_add_test(t, fingerprints);
	tcase_add_test(t, fingerprints_logical);
	tcase_add_test(t, flaws);
	tcase_add_test(t, logical_types);
	tcase_add_test(t, defaults);
	tcase_add_test(t, endless_defaults);
	tcase_add_test(t, errors);
	tcase_add_test(t, bounds);
	tcase_add_test(t, shipped);
	suite_add_tcase(s, t);
	return s;
}
UNIT_SUITE(schema_suite)

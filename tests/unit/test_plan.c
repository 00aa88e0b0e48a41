/*
 * test_plan.c - Avro's schema resolution, rule by rule: what a writer's datum becomes under another
 * reader's schema, and which writers are refused. Each datum is written by hand; the row tells what
 * the plan made of it.
 */
#include <math.h>
#include <stdlib.h>

#include "codec_rig.h"

/* One field f, written as one type and read as another. The datum begins with the key. */
static void open_one(struct rig *r, const char *written, const char *read)
{
	char *w = xasprintf("{'name':'f','type':%s}", written),
	     *d = xasprintf("{'name':'f','type':%s}", read);
	rig_open_fields(r, w, d);
	free(w);
	free(d);
	avro_long(&r->in, 1);
}

static void refused(const char *writer_fields, const char *reader_fields, const char *words)
{
	struct rig r;
	ck_assert_msg(
		!rig_try_open(&r, rig_fields("", writer_fields), rig_fields("", reader_fields)),
		"taken, but: %s", words);
	ck_assert_int_eq(r.err.class, ERR_CONFIG);
	ck_assert_msg(strstr(r.err.text, words), "'%s' lacks '%s'", r.err.text, words);
	rig_free(&r);
}

static void refused_types(const char *written, const char *read, const char *words)
{
	char *w = xasprintf("{'name':'f','type':%s}", written),
	     *d = xasprintf("{'name':'f','type':%s,'pg':{'type':'jsonb'}}", read);
	refused(w, d, words);
	free(w);
	free(d);
}

/*
 * Fields in another order, fields that the reader does not know (of every kind of type), and a new
 * field with its default.
 */
START_TEST(reordered_added_removed)
{
	struct rig r;
	rig_open_fields(
		&r,
		"{'name':'gone1','type':{'type':'map','values':['null','string']}},{'name':'b','"
		"type':'string'},"
		"{'name':'gone2','type':{'type':'record','name':'G','fields':[{'name':'x','type':'"
		"double'},"
		"{'name':'y','type':{'type':'array','items':'G'}}]}},"
		"{'name':'gone3','type':{'type':'fixed','name':'F','size':2}},{'name':'a','type':'"
		"int'},"
		"{'name':'gone4','type':'G'}",
		"{'name':'a','type':'int'},{'name':'new','type':['null','string'],'default':null},"
		"{'name':'new2','type':{'type':'array','items':'string'},'default':['x','y']},{'"
		"name':'b','type':'"
		"string'},"
		"{'name':'new3','type':'string','default':'it'}");
	avro_long(&r.in, 9);
	avro_long(&r.in, 1); /* gone1 */
	avro_string(&r.in, "key");
	avro_long(&r.in, 1);
	avro_string(&r.in, "value");
	avro_long(&r.in, 0);
	avro_string(&r.in, "text"); /* b */
	avro_double(&r.in, 1);      /* gone2 with one G inside */
	avro_long(&r.in, 1);
	avro_double(&r.in, 2);
	avro_long(&r.in, 0);
	avro_long(&r.in, 0);
	buf_puts(&r.in, "ff");
	avro_long(&r.in, -5); /* a */
	avro_double(&r.in, 1);
	avro_long(&r.in, 0);
	schema_free(r.writer); /* a plan needs its writer's schema no more */
	r.writer = r.reader;
	rig_decode(&r);
	ck_assert_int_eq(rig_int(&r, 0), 9);
	ck_assert_int_eq(rig_int(&r, 1), -5);
	rig_is_null(&r, 2);
	struct slice array = rig_field(&r, 3);
	ck_assert_uint_eq(array.len, 20 + 5 + 5);
	ck_assert_int_eq(array.data[24], 'x');
	ck_assert_int_eq(array.data[29], 'y');
	rig_text(&r, 4, "text");
	rig_text(&r, 5, "it");
	rig_free(&r);
}
END_TEST

/*
 * A reader's field takes the writer's field of its name, else of its first alias that is there and
 * that nobody takes by name.
 */
START_TEST(aliases)
{
	struct rig r;
	rig_open_fields(&r,
			"{'name':'old','type':'int'},{'name':'b','type':'int'},{'name':'older','"
			"type':'int'}",
			"{'name':'new','type':'int','aliases':['b','old','older']},{'name':'b','"
			"type':'int'},"
			"{'name':'c','type':'int','aliases':['nope','older']}");
	avro_long(&r.in, 0);
	avro_long(&r.in, 1);
	avro_long(&r.in, 2);
	avro_long(&r.in, 3);
	rig_decode(&r);
	ck_assert_int_eq(rig_int(&r, 1), 1);
	ck_assert_int_eq(rig_int(&r, 2), 2);
	ck_assert_int_eq(rig_int(&r, 3), 3);
	rig_free(&r);
}
END_TEST

/*
 * int -> long, float, double; long -> float, double; float -> double; string <-> bytes. And not the
 * other way.
 */
START_TEST(promotions)
{
	static const char *const to[] = {"'long'", "'float'", "'double'"};
	struct rig r;
	for (int from = 0; from < 2; from++) {
		for (size_t i = (size_t)from; i < ARRAY_LEN(to); i++) {
			open_one(&r, from ? "'long'" : "'int'", to[i]);
			avro_long(&r.in, -77);
			rig_decode(&r);
			if (i == 0)
				ck_assert_int_eq(rig_int(&r, 1), -77);
			else
				ck_assert_double_eq(rig_real(&r, 1), -77);
			ck_assert_uint_eq(rig_field(&r, 1).len, i == 1 ? 4 : 8);
			rig_free(&r);
		}
	}
	open_one(&r, "'float'", "'double'");
	avro_float(&r.in, 0.1f);
	rig_decode(&r);
	ck_assert_double_eq(rig_real(&r, 1), (double)0.1f);
	rig_free(&r);
	open_one(&r, "'string'", "'bytes'");
	avro_bytes(&r.in, "\xff\0", 2);
	rig_decode(&r);
	ck_assert_uint_eq(rig_field(&r, 1).len, 2);
	rig_free(&r);
	open_one(&r, "'bytes'", "'string'");
	avro_bytes(&r.in, "ok", 2);
	rig_decode(&r);
	rig_text(&r, 1, "ok");
	r.in.len -= 1;
	buf_u8(&r.in, 0xff);
	rig_refused(&r, REASON_INVALID_TEXT, "field 'f' at byte 1");
	rig_free(&r);
	refused_types("'long'", "'int'", "the writer has long, the stream's schema int");
	refused_types("'float'", "'int'", "the writer has float, the stream's schema int");
	refused_types("'double'", "'float'", "the writer has double, the stream's schema float");
	refused_types("'boolean'", "'int'", "the writer has boolean, the stream's schema int");
	refused_types("'string'", "'int'",
		      "writer's field 'f', stream's field 'f': the writer has string, the stream's "
		      "schema int");
	refused_types("'int'", "{'type':'array','items':'int'}", "the writer has int");
}
END_TEST

/* A long that becomes a float is rounded once: by way of double it would be another float. */
START_TEST(long_to_float)
{
	struct rig r;
	int64_t n = (INT64_C(1) << 53) + (INT64_C(1) << 29) + 1;
	if (getenv("MEMINGEST_TEST_VALGRIND"))
		return; /* its own processor goes by way of double */
	open_one(&r, "'long'", "'float'");
	avro_long(&r.in, n);
	rig_decode(&r);
	ck_assert_double_eq(rig_real(&r, 1), (double)(float)n);
	ck_assert_double_ne(rig_real(&r, 1), (double)(float)(double)n);
	rig_free(&r);
}
END_TEST

/*
 * Symbols by name; unknown ones are the reader's default; without one a datum that has it is
 * refused, and the writer if nothing of it is known.
 */
START_TEST(enums)
{
	struct rig r;
	open_one(&r, "{'type':'enum','name':'E','symbols':['A','B','C']}",
		 "{'type':'enum','name':'n.E','symbols':['C','X','A'],'default':'X'}");
	static const char *const want[] = {"A", "X", "C"};
	for (int i = 0; i < 3; i++) {
		r.in.len = 1;
		avro_long(&r.in, i);
		rig_decode(&r);
		rig_text(&r, 1, want[i]);
	}
	r.in.len = 1;
	avro_long(&r.in, 3);
	rig_refused(&r, REASON_DECODE, "enum index 3 of 3");
	rig_free(&r);
	open_one(&r, "{'type':'enum','name':'E','symbols':['A','B','C']}",
		 "{'type':'enum','name':'E','symbols':['C','A']}");
	ck_assert_ptr_nonnull(strstr(plan_note(r.plan), "symbol 'B'"));
	avro_long(&r.in, 2);
	rig_decode(&r);
	rig_text(&r, 1, "C");
	r.in.len = 1;
	avro_long(&r.in, 1);
	rig_refused(&r, REASON_SCHEMA, "field 'f' at byte 1: symbol 'B' of the writer's enum E");
	rig_free(&r);
	refused_types("{'type':'enum','name':'E','symbols':['A','B']}",
		      "{'type':'enum','name':'E','symbols':['C']}",
		      "symbol 'B' of the writer's enum E");
	refused_types("{'type':'enum','name':'E','symbols':['A']}",
		      "{'type':'enum','name':'D','symbols':['A']}",
		      "names and sizes have to agree");
	open_one(&r, "{'type':'enum','name':'a.E','symbols':['A']}",
		 "{'type':'enum','name':'D','aliases':['a.E'],'symbols':['A']}");
	avro_long(&r.in, 0);
	rig_decode(&r);
	rig_text(&r, 1, "A");
	rig_free(&r);
}
END_TEST

/* fixed by name (or alias) and size. */
START_TEST(fixeds)
{
	struct rig r;
	open_one(&r, "{'type':'fixed','name':'F','size':2}",
		 "{'type':'fixed','name':'x.F','size':2}");
	buf_puts(&r.in, "ab");
	rig_decode(&r);
	rig_text(&r, 1, "ab");
	rig_free(&r);
	refused_types("{'type':'fixed','name':'F','size':2}",
		      "{'type':'fixed','name':'F','size':3}", "fixed F of 2 bytes");
	refused_types("{'type':'fixed','name':'F','size':2}",
		      "{'type':'fixed','name':'G','size':2}", "fixed F of 2 bytes");
}
END_TEST

/*
 * A union on either side, or both; the branch that is there decides; null where there is none fails
 * alone.
 */
START_TEST(unions)
{
	struct rig r;
	open_one(&r, "'int'", "['null','long']");
	avro_long(&r.in, 5);
	rig_decode(&r);
	ck_assert_int_eq(rig_int(&r, 1), 5);
	rig_free(&r);

	open_one(&r, "['null','int']", "['long','null']");
	avro_long(&r.in, 1);
	avro_long(&r.in, 6);
	rig_decode(&r);
	ck_assert_int_eq(rig_int(&r, 1), 6);
	r.in.len = 1;
	avro_long(&r.in, 0);
	rig_decode(&r);
	rig_is_null(&r, 1);
	r.in.len = 1;
	avro_long(&r.in, 2);
	rig_refused(&r, REASON_DECODE, "union index 2 of 2");
	r.in.len = 1;
	avro_long(&r.in, -1);
	rig_refused(&r, REASON_DECODE, "union index -1 of 2");
	rig_free(&r);

	open_one(&r, "['null','int','long']", "'double'");
	avro_long(&r.in, 2);
	avro_long(&r.in, 7);
	rig_decode(&r);
	ck_assert_double_eq(rig_real(&r, 1), 7);
	r.in.len = 1;
	avro_long(&r.in, 0);
	rig_refused(&r, REASON_MISSING_FIELD, "field 'f' at byte 2: is null");
	rig_free(&r);

	open_one(&r, "'null'", "['null','long']");
	rig_decode(&r);
	rig_is_null(&r, 1);
	rig_free(&r);

	open_one(&r, "['null','int','string']", "['null','int']");
	ck_assert_str_eq(plan_note(r.plan),
			 "the writer has string, the stream's schema union [null, int]");
	avro_long(&r.in, 1);
	avro_long(&r.in, 8);
	rig_decode(&r);
	ck_assert_int_eq(rig_int(&r, 1), 8);
	r.in.len = 1;
	avro_long(&r.in, 2);
	avro_string(&r.in, "s");
	rig_refused(&r, REASON_SCHEMA, "field 'f' at byte 2: the writer has string");
	rig_free(&r);

	refused_types("['null','string']", "'int'",
		      "the writer has string, the stream's schema int");
	refused_types("['string','bytes']", "['null','int']", "the writer has string");
	refused_types("'null'", "'int'", "the writer has null");
	refused_types("['null']", "'int'", "the writer has nothing but null");
	refused_types("'string'", "['null','int']",
		      "the writer has string, the stream's schema union [null, int]");
}
END_TEST

/*
 * Of a reader's union the branch of the same type is taken, not the first that the value could be
 * promoted to.
 */
START_TEST(best_branch)
{
	struct rig r;
	rig_open_fields(&r,
			"{'name':'f','type':'int'},{'name':'g','type':'string'},{'name':'h','type':"
			"{'type':'fixed','"
			"name':'b.F','size':1}}",
			"{'name':'f','type':['double','int'],'pg':{'type':'jsonb'}},{'name':'g','"
			"type':['bytes','"
			"string'],'pg':{'type':'jsonb'}},"
			"{'name':'h','type':[{'type':'fixed','name':'a.F','size':1},{'type':'fixed'"
			",'name':'b.F','size'"
			":1}],'pg':{'type':'jsonb'}}");
	avro_long(&r.in, 1);
	avro_long(&r.in, 16777217);
	avro_string(&r.in, "\xc3\xa4"); /* as bytes this would be two escapes */
	buf_puts(&r.in, "x");
	rig_decode(&r);
	rig_json(&r, 1, "16777217");
	rig_json(&r, 2, "'\xc3\xa4'");
	rig_json(&r, 3, "'x'");
	rig_free(&r);
}
END_TEST

#define LOGICAL(type, name) "{'type':'" type "','logicalType':'" name "'}"

/* Two units of time meet: the instant is the same. A plain number is read in the reader's unit. */
START_TEST(units_of_time)
{
	static const struct {
		const char *written, *read;
		int64_t value, want; /* want: microseconds since 1970, or of the day */
	} cases[] = {
		{LOGICAL("long", "timestamp-millis"), LOGICAL("long", "timestamp-micros"),
		 1700000000123, 1700000000123000},
		{LOGICAL("long", "timestamp-micros"), LOGICAL("long", "timestamp-millis"),
		 1700000000123456, 1700000000123456},
		{LOGICAL("long", "timestamp-nanos"), LOGICAL("long", "timestamp-millis"),
		 1700000000123456789, 1700000000123456},
		{LOGICAL("long", "timestamp-nanos"), LOGICAL("long", "timestamp-micros"), -1, -1},
		{"'long'", LOGICAL("long", "timestamp-millis"), 1700000000123, 1700000000123000},
		{"'int'", LOGICAL("long", "timestamp-millis"), 1000, 1000000},
		{LOGICAL("long", "local-timestamp-millis"),
		 LOGICAL("long", "local-timestamp-nanos"), 5, 5000},
		{LOGICAL("int", "time-millis"), LOGICAL("long", "time-micros"), 1500, 1500000},
		{LOGICAL("long", "time-micros"), LOGICAL("long", "time-micros"), 1500, 1500},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct rig r;
		open_one(&r, cases[i].written, cases[i].read);
		avro_long(&r.in, cases[i].value);
		rig_decode(&r);
		int64_t epoch = strstr(cases[i].read, "'time-") ? 0 : INT64_C(946684800000000);
		ck_assert_msg(rig_int(&r, 1) + epoch == cases[i].want, "case %zu", i);
		rig_free(&r);
	}
	/* as a plain number in a bigint column, in the reader's unit; cut towards the past */
	static const struct {
		const char *written;
		int64_t value, want;
	} plain[] = {{LOGICAL("long", "timestamp-millis"), 7, 7000},
		     {LOGICAL("long", "timestamp-nanos"), -1, -1}};
	for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
		struct rig r;
		char *writer = xasprintf("{'name':'f','type':%s}", plain[i].written);
		rig_open_fields(&r, writer,
				"{'name':'f','type':" LOGICAL(
					"long", "timestamp-micros") ",'pg':{'type':'bigint'}}");
		avro_long(&r.in, 1);
		avro_long(&r.in, plain[i].value);
		rig_decode(&r);
		ck_assert_int_eq(rig_int(&r, 1), plain[i].want);
		free(writer);
		rig_free(&r);
	}
}
END_TEST

/* Logical types of different families do not meet, nor decimals of different scales. */
START_TEST(logical_families)
{
	refused_types(LOGICAL("int", "date"), LOGICAL("long", "timestamp-millis"),
		      "the logical types differ");
	refused_types(LOGICAL("long", "local-timestamp-millis"),
		      LOGICAL("long", "timestamp-millis"), "the logical types differ");
	refused_types(LOGICAL("int", "time-millis"), LOGICAL("int", "date"),
		      "the logical types differ");
	refused_types("{'type':'bytes','logicalType':'decimal','precision':9,'scale':2}",
		      "{'type':'bytes','logicalType':'decimal','precision':9,'scale':3}",
		      "decimal 9,2");
	refused_types("{'type':'bytes','logicalType':'decimal','precision':10,'scale':2}",
		      "{'type':'bytes','logicalType':'decimal','precision':9,'scale':2}",
		      "decimal 10,2");
	struct rig r;
	open_one(&r, "{'type':'bytes','logicalType':'decimal','precision':4,'scale':2}",
		 "{'type':'bytes','logicalType':'decimal','precision':9,'scale':2}");
	avro_bytes(&r.in, "\x01", 1);
	rig_decode(&r);
	rig_free(&r);
}
END_TEST

/*
 * Nested: arrays, maps and records resolve inside, with aliases, defaults and promotions there,
 * too.
 */
START_TEST(nested)
{
	struct rig r;
	rig_open_fields(
		&r,
		"{'name':'f','type':{'type':'array','items':{'type':'record','name':'S','fields':["
		"{'name':'drop','type':'string'},{'name':'old','type':'int'},{'name':'m','type':{'"
		"type':'map','"
		"values':'int'}}]}}}",
		"{'name':'f','type':{'type':'array','items':{'type':'record','name':'S','fields':["
		"{'name':'m','type':{'type':'map','values':'double'}},{'name':'added','type':['"
		"null','string'],"
		"'default':null},"
		"{'name':'new','type':'long','aliases':['old']},{'name':'l','type':{'type':'array',"
		"'items':'"
		"int'},'default':[1,2]}]}}}");
	avro_long(&r.in, 1);
	avro_long(&r.in, 1);
	avro_string(&r.in, "dropped");
	avro_long(&r.in, 4);
	avro_long(&r.in, 1);
	avro_string(&r.in, "a");
	avro_long(&r.in, 3);
	avro_long(&r.in, 0);
	avro_long(&r.in, 0);
	rig_decode(&r);
	rig_json(&r, 1, "[{'new':4,'m':{'a':3},'added':null,'l':[1,2]}]");
	rig_free(&r);
	refused("{'name':'f','type':{'type':'record','name':'S','fields':[]}}",
		"{'name':'f','type':{'type':'record','name':'S','fields':[{'name':'x','type':'int'}"
		"]}}",
		"the writer lacks field 'x' (int), which has no default");
	refused("{'name':'f','type':{'type':'map','values':'string'}}",
		"{'name':'f','type':{'type':'map','values':'int'}}",
		"writer's field 'f', stream's field 'f': the writer has string, the stream's "
		"schema int");
}
END_TEST

/* Records that hold themselves, on both sides and with a field that only the reader knows. */
START_TEST(recursive)
{
	struct rig r;
	rig_open_fields(&r,
			"{'name':'f','type':{'type':'record','name':'N','fields':[{'name':'v','"
			"type':'int'},{'name':'"
			"next','type':['null','N']}]}}",
			"{'name':'f','type':{'type':'record','name':'N','fields':[{'name':'next','"
			"type':['null','N']},{"
			"'name':'v','type':'long'},"
			"{'name':'other','type':['null','N'],'default':null}]}}");
	avro_long(&r.in, 1);
	avro_long(&r.in, 10);
	avro_long(&r.in, 1);
	avro_long(&r.in, 11);
	avro_long(&r.in, 0);
	rig_decode(&r);
	rig_json(&r, 1, "{'v':10,'next':{'v':11,'next':null,'other':null},'other':null}");
	rig_free(&r);
}
END_TEST

/* Writers that do not fit: each message names the fields and the types. */
START_TEST(incompatible)
{
	refused("", "{'name':'f','type':'string'}", "the writer has no field 'f' (string)");
	refused("{'name':'old','type':'string'}", "{'name':'f','type':'int','aliases':['old']}",
		"writer's field 'old', stream's field 'f': the writer has string, the stream's "
		"schema int");
	refused("",
		"{'name':'f','type':['null','string'],'default':null,'pg':{'type':'jsonb'}},{'name'"
		":'g','type':'int'}",
		"no field 'g'");
	refused("", "{'name':'f','type':'string','default':'{','pg':{'type':'jsonb'}}",
		"the default of field 'f'");
}
END_TEST

/* A writer's field that no column takes may be of any type: only what is needed has to fit. */
START_TEST(unused_field_of_another_type)
{
	struct rig r;
	rig_open(&r, rig_fields("", "{'name':'f','type':{'type':'map','values':'bytes'}}"),
		 rig_fields("", "{'name':'f','type':'int','pg':{'column':false}}"));
	avro_long(&r.in, 1);
	avro_long(&r.in, 0);
	rig_decode(&r);
	ck_assert_uint_eq(r.record.row_len, 12);
	rig_free(&r);
}
END_TEST

/* --- keys --- */

#define KEYED                                                                                      \
	"{'type':'record','name':'R','pg':{'table':'t','key':['b','a'],'version':'v'},'fields':[{" \
	"'name':'a','type':'"                                                                      \
	"long'},"                                                                                  \
	"{'name':'b','type':'string','aliases':['bee'],'pg':{'column':'bb'}},{'name':'v','type'"   \
	":" LOGICAL("long", "timestamp-micros") "},"                                               \
						"{'name':'x','type':'string'}]}"

static bool open_key(struct rig *r, const char *key, const char *reader)
{
	*r = (struct rig){.reader = rig_schema(reader), .writer = rig_schema(key)};
	r->table = table_new(r->reader, &r->err);
	ck_assert_msg(r->table, "%s", r->err.text);
	r->decoder = decoder_new(&rig_limits);
	r->plan = plan_new_key(r->writer, r->table, NULL, &r->err);
	return r->plan != NULL;
}

/*
 * A key's fields go by the name of the stream's field, its alias, or its column; the rest of the
 * row is null.
 */
START_TEST(key_records)
{
	static const char *const names[] = {"b", "bee", "bb"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct rig r;
		char *key = xasprintf("{'type':'record','name':'K','fields':[{'name':'junk','type':"
				      "'int'},{'name':'a','type':'int'},"
				      "{'name':'%s','type':'string'}]}",
				      names[i]);
		ck_assert_msg(open_key(&r, key, KEYED), "%s", r.err.text);
		avro_long(&r.in, 99);
		avro_long(&r.in, -3);
		avro_string(&r.in, "key");
		rig_decode(&r);
		rig_text(&r, 0, "key");
		ck_assert_int_eq(rig_int(&r, 1), -3);
		rig_is_null(&r, 2);
		rig_is_null(&r, 3);
		ck_assert_int_eq(r.record.op, RECORD_DELETE);
		ck_assert(!r.record.has_version);
		ck_assert_uint_eq(r.record.key_len, 4 + 3 + 4 + 8);
		rig_free(&r);
		free(key);
	}
}
END_TEST

/* decode_key() puts a version into the row, where the version column is a timestamp. */
START_TEST(key_with_version)
{
	struct rig r;
	ck_assert(open_key(&r,
			   "{'type':'record','name':'K','fields':[{'name':'a','type':'int'},{'name'"
			   ":'b','type':'string'}]}",
			   KEYED));
	avro_long(&r.in, 4);
	avro_string(&r.in, "key");
	struct slice body = {r.in.data, r.in.len};
	buf_puts(&r.out, "before");
	ck_assert(decode_key(r.decoder, r.plan, body, INT64_C(1700000000000), &r.out, &r.record,
			     &r.err));
	ck_assert_uint_eq(r.record.row_len, r.out.len - 6);
	rig_text(&r, 0, "key");
	ck_assert_int_eq(rig_int(&r, 2), INT64_C(1700000000000999) - INT64_C(946684800000000));
	rig_is_null(&r, 3);
	ck_assert(r.record.has_version);
	ck_assert_int_eq(r.record.version, rig_int(&r, 2));
	r.out.len = 6; /* the last that PostgreSQL holds, and the one behind it */
	ck_assert(decode_key(r.decoder, r.plan, body, INT64_C(9224318015999999), &r.out, &r.record,
			     &r.err));
	ck_assert_int_eq(r.record.version, INT64_C(9223371331199999999));
	r.out.len = 6;
	ck_assert(decode_key(r.decoder, r.plan, body, INT64_C(9224318016000000), &r.out, &r.record,
			     &r.err));
	ck_assert(!r.record.has_version);
	rig_is_null(&r, 2);
	r.out.len = 6;
	ck_assert(
		decode_key(r.decoder, r.plan, body, DECODE_NO_VERSION, &r.out, &r.record, &r.err));
	rig_is_null(&r, 2);
	ck_assert(!r.record.has_version);
	rig_free(&r);
}
END_TEST

/* A bare value is the key of a table with one key column. */
START_TEST(bare_keys)
{
	struct rig r;
	ck_assert_msg(open_key(&r, "'int'",
			       "{'type':'record','name':'R','pg':{'table':'t','key':['k']},'fields'"
			       ":[{'name':'k','type'"
			       ":'long'}]}"),
		      "%s", r.err.text);
	avro_long(&r.in, 12);
	rig_decode(&r);
	ck_assert_int_eq(rig_int(&r, 0), 12);
	buf_u8(&r.in, 0);
	rig_refused(&r, REASON_DECODE, "1 bytes are left");
	rig_free(&r);
	ck_assert(!open_key(&r, "'int'", KEYED));
	ck_assert_msg(strstr(r.err.text, "2 key columns"), "%s", r.err.text);
	rig_free(&r);
	ck_assert(!open_key(&r, "{'type':'record','name':'K','fields':[{'name':'a','type':'int'}]}",
			    KEYED));
	ck_assert_msg(strstr(r.err.text, "the key has no field 'b'"), "%s", r.err.text);
	rig_free(&r);
	ck_assert(!open_key(&r,
			    "{'type':'record','name':'K','fields':[{'name':'a','type':'string'},{'"
			    "name':'b','type':'string'}]}",
			    KEYED));
	ck_assert_msg(strstr(r.err.text, "'a'"), "%s", r.err.text);
	rig_free(&r);
}
END_TEST

/* The shipped key schemas fit the shipped streams. */
START_TEST(shipped_keys)
{
	static const char *const streams[] = {"schemas/memory", "schemas/pattern",
					      "schemas/trajectory", "tests/schemas/everything"};
	for (size_t i = 0; i < ARRAY_LEN(streams); i++) {
		struct err err = {0};
		char *path = xasprintf("%s%s", streams[i], i < 3 ? "_event.avsc" : ".avsc"),
		     *key = xasprintf("%s_key.avsc", streams[i]);
		struct schema *reader = rig_schema_file(path), *writer = rig_schema_file(key);
		struct table *t = table_new(reader, &err);
		ck_assert_msg(t, "%s", err.text);
		struct plan *plan = plan_new(reader, t, &err),
			    *key_plan = plan_new_key(writer, t, NULL, &err);
		ck_assert_msg(plan && key_plan, "%s: %s", path, err.text);
		plan_free(plan);
		plan_free(key_plan);
		table_free(t);
		schema_free(reader);
		schema_free(writer);
		free(path);
		free(key);
	}
}
END_TEST

static Suite *plan_suite(void)
{
	Suite *s = suite_create("plan");
	TCase *t = tcase_create("resolution");
	tcase_add_test(t, reordered_added_removed);
	tcase_add_test(t, aliases);
	tcase_add_test(t, promotions);
	tcase_add_test(t, long_to_float);
	tcase_add_test(t, enums);
	tcase_add_test(t, fixeds);
	tcase_add_test(t, unions);
	tcase_add_test(t, best_branch);
	tcase_add_test(t, units_of_time);
	tcase_add_test(t, logical_families);
	tcase_add_test(t, nested);
	tcase_add_test(t, recursive);
	tcase_add_test(t, incompatible);
	tcase_add_test(t, unused_field_of_another_type);
	suite_add_tcase(s, t);
	t = tcase_create("keys");
	tcase_add_test(t, key_records);
	tcase_add_test(t, key_with_version);
	tcase_add_test(t, bare_keys);
	tcase_add_test(t, shipped_keys);
	suite_add_tcase(s, t);
	return s;
}
UNIT_SUITE(plan_suite)

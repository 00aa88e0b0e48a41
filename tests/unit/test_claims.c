/*
 * test_claims.c - a writer's logical type that is not valid: its values are never read in the
 * stream's own scale or unit. Either they come out as a valid writer of the same meaning would have
 * them, or the writer is refused, with both meanings in the text.
 */
#include "codec_rig.h"

#define DECIMAL(attributes) "{'type':'bytes','logicalType':'decimal'" attributes "}"
#define FIXED(size, more) "{'type':'fixed','name':'F','size':" size more "}"
#define LOGICAL(type, name) "{'type':'" type "','logicalType':'" name "'}"
#define D10_2 DECIMAL(",'precision':10,'scale':2")
#define D10_4 DECIMAL(",'precision':10,'scale':4")
#define MILLIS LOGICAL("long", "timestamp-millis")
#define MICROS LOGICAL("long", "timestamp-micros")

/* The bytes of a value of that type: the number 12345, or the text of a uuid. */
static void put_value(struct buf *out, const char *type)
{
	if (strstr(type, "'fixed'")) {
		size_t size = (size_t)strtol(strstr(type, "'size':") + 7, NULL, 10);
		for (size_t i = 0; i + 2 < size; i++)
			buf_u8(out, 0);
		buf_put(out, "\x30\x39", 2);
	} else if (strstr(type, "uuid") || strstr(type, "'string'")) {
		avro_string(out, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
	} else if (strstr(type, "'bytes'")) {
		avro_bytes(out, "\x30\x39", 2);
	} else {
		avro_long(out, 12345);
	}
}

static struct schema *one(const char *type)
{
	char *fields = xasprintf("{'name':'f','type':%s}", type);
	struct schema *s = rig_fields("", fields);
	free(fields);
	return s;
}

/* The row of a value of the written type. */
static void decode_one(struct rig *r, struct schema *writer, const char *written, const char *read)
{
	rig_open(r, writer, one(read));
	avro_long(&r->in, 1);
	put_value(&r->in, written);
	rig_decode(r);
}

static void check_same(const char *written, struct schema *writer, const char *valid,
		       const char *read)
{
	struct rig a, b;
	decode_one(&a, writer, written, read);
	decode_one(&b, one(valid), valid, read);
	ck_assert_msg(a.out.len == b.out.len && memcmp(a.out.data, b.out.data, a.out.len) == 0,
		      "%s read as %s is not as if written as %s", written, read, valid);
	rig_free(&a);
	rig_free(&b);
}

static void check_refused(struct schema *writer, const char *written, const char *read,
			  const char *words)
{
	struct rig r;
	ck_assert_msg(!rig_try_open(&r, writer, one(read)), "%s read as %s is taken", written,
		      read);
	ck_assert_int_eq(r.err.class, ERR_CONFIG);
	ck_assert_msg(strstr(r.err.text, words), "'%s' lacks '%s'", r.err.text, words);
	rig_free(&r);
}

struct claim {
	const char *written, *read;
	const char *valid; /* a writer that means the same; NULL: refused */
	const char *words;
};

static void check(const struct claim *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct claim *c = &cases[i];
		if (c->valid)
			check_same(c->written, one(c->written), c->valid, c->read);
		else
			check_refused(one(c->written), c->written, c->read, c->words);
	}
}

/* The scale that the writer claims has to be the reader's, however it is written down. */
START_TEST(decimals)
{
	static const struct claim cases[] = {
		{DECIMAL(",'precision':2,'scale':4"), D10_2, NULL,
		 "decimal 2,4, which is not valid"},
		{DECIMAL(",'precision':2,'scale':4"), D10_4, D10_4, NULL},
		{DECIMAL(",'scale':4"), D10_2, NULL, "decimal ?,4, which is not valid"},
		{DECIMAL(",'scale':4"), D10_2, NULL, "decimal 10,2"},
		{DECIMAL(",'scale':4"), D10_4, D10_4, NULL},
		{DECIMAL(""), D10_2, NULL, "decimal ?,0"},
		{DECIMAL(""), DECIMAL(",'precision':10"), DECIMAL(",'precision':10"), NULL},
		{DECIMAL(",'precision':'10','scale':'4'"), D10_2, NULL, "decimal 10,4"},
		{DECIMAL(",'precision':'10','scale':'4'"), D10_4, D10_4, NULL},
		{DECIMAL(",'precision':10.0,'scale':4.0"), D10_4, D10_4, NULL},
		{DECIMAL(",'precision':10,'scale':'four'"), D10_4, NULL, "decimal 10,?"},
		{DECIMAL(",'precision':10,'scale':null"), D10_4, NULL, "decimal 10,?"},
		{DECIMAL(",'precision':10,'scale':2.5"), D10_2, NULL, "decimal 10,?"},
		{DECIMAL(",'precision':10,'scale':true"), D10_2, NULL, "decimal 10,?"},
		{DECIMAL(",'precision':10,'scale':[2]"), D10_2, NULL, "decimal 10,?"},
		{DECIMAL(",'precision':10,'scale':99999999999999999999.0"), D10_2, NULL, "10,?"},
		{DECIMAL(",'precision':10,'scale':-2"), D10_2, NULL, "decimal 10,-2"},
		{DECIMAL(",'precision':0,'scale':2"), D10_2, D10_2, NULL},
		{DECIMAL(",'precision':-3,'scale':4"), D10_2, NULL, "decimal -3,4"},
		{DECIMAL(",'precision':'12','scale':2"), D10_2, NULL, "decimal 12,2"},
		{FIXED("2", ",'logicalType':'decimal','precision':10,'scale':4"),
		 FIXED("2", ",'logicalType':'decimal','precision':4,'scale':2"), NULL,
		 "fixed F of 2 bytes (decimal 10,4, which is not valid)"},
		{FIXED("4", ",'logicalType':'decimal','scale':2"),
		 FIXED("4", ",'logicalType':'decimal','precision':9,'scale':2"),
		 FIXED("4", ",'logicalType':'decimal','precision':9,'scale':2"), NULL},
		{LOGICAL("string", "decimal"), D10_2, NULL, "decimal"},
		{"'string'", D10_2, NULL, "the writer has string"},
		{LOGICAL("bytes", "Decimal"), D10_2, NULL, "bytes (Decimal, which is unknown)"},
		{LOGICAL("bytes", "uuid"), D10_2, NULL, "uuid"},
		{"'bytes'", D10_2, D10_2, NULL}, /* nothing is claimed: the reader's */
	};
	check(cases, ARRAY_LEN(cases));
}
END_TEST

/* Digits beyond the reader's precision are the fault of the value, not of the schema. */
START_TEST(digits_are_counted)
{
	struct rig r;
	rig_open(&r, one(DECIMAL(",'scale':2")), one(DECIMAL(",'precision':4,'scale':2")));
	avro_long(&r.in, 1);
	put_value(&r.in, "'bytes'");
	rig_refused(&r, REASON_OUT_OF_RANGE, "field 'f'");
	rig_free(&r);
}
END_TEST

/* A unit on the wrong base is that unit; of another family it is refused. */
START_TEST(units)
{
	static const struct claim cases[] = {
		{LOGICAL("int", "timestamp-millis"), MICROS, MILLIS, NULL},
		{LOGICAL("int", "timestamp-micros"), MILLIS, MICROS, NULL},
		{LOGICAL("int", "timestamp-nanos"), MICROS, LOGICAL("long", "timestamp-nanos"),
		 NULL},
		{LOGICAL("int", "local-timestamp-millis"), MICROS, NULL,
		 "the logical types differ"},
		{LOGICAL("int", "local-timestamp-millis"),
		 LOGICAL("long", "local-timestamp-micros"),
		 LOGICAL("long", "local-timestamp-millis"), NULL},
		{LOGICAL("int", "time-micros"), LOGICAL("long", "time-micros"),
		 LOGICAL("long", "time-micros"), NULL},
		{LOGICAL("long", "time-millis"), LOGICAL("long", "time-micros"),
		 LOGICAL("int", "time-millis"), NULL},
		{LOGICAL("int", "time-micros"), LOGICAL("int", "time-millis"),
		 LOGICAL("int", "time-micros"), NULL},
		{LOGICAL("long", "date"), MILLIS, NULL,
		 "long (date, which is not valid), the stream's schema long (timestamp-millis)"},
		{LOGICAL("long", "date"), LOGICAL("int", "date"), NULL, "the writer has long"},
		{LOGICAL("int", "timestamp-millis"), LOGICAL("int", "date"), NULL, "differ"},
		{LOGICAL("long", "timestamp-seconds"), MILLIS, NULL,
		 "long (timestamp-seconds, which is unknown)"},
		{LOGICAL("long", "Timestamp-Millis"), MILLIS, NULL, "Timestamp-Millis"},
		{LOGICAL("long", ""), MILLIS, NULL, "which is unknown"},
		{LOGICAL("long", "decimal"), MILLIS, NULL, "decimal ?,0"},
		{"'long'", MILLIS, MILLIS, NULL},
		{LOGICAL("long", "timestamp-seconds"), "'long'", "'long'", NULL},
		{LOGICAL("int", "timestamp-millis"), "'long'", "'long'", NULL},
		{LOGICAL("long", "timestamp-seconds"), "'double'", "'long'", NULL},
	};
	check(cases, ARRAY_LEN(cases));
}
END_TEST

#define UUID LOGICAL("string", "uuid")
#define UUID16 FIXED("16", ",'logicalType':'uuid'")

/* The text of a uuid is checked as such; 16 bytes are taken only from one who says that they are.
 */
START_TEST(uuids_and_durations)
{
	static const struct claim cases[] = {
		{LOGICAL("bytes", "uuid"), UUID, UUID, NULL},
		{"'string'", UUID, UUID, NULL},
		{LOGICAL("string", "guid"), UUID, UUID, NULL},
		{FIXED("16", ""), UUID16, UUID16, NULL},
		{FIXED("16", ",'logicalType':'guid'"), UUID16, NULL, "guid, which is unknown"},
		{FIXED("15", ",'logicalType':'uuid'"), UUID16, NULL, "fixed F of 15 bytes"},
		{FIXED("16", ",'logicalType':'decimal','precision':2"), UUID16, NULL,
		 "decimal 2,0"},
		{FIXED("11", ",'logicalType':'duration'"), FIXED("12", ",'logicalType':'duration'"),
		 NULL, "names and sizes"},
		{FIXED("12", ",'logicalType':'decimal','scale':1"),
		 FIXED("12", ",'logicalType':'duration'"), NULL, "differ"},
	};
	check(cases, ARRAY_LEN(cases));
}
END_TEST

static struct schema *beside(const char *type, const char *attributes)
{
	char *fields = xasprintf("{'name':'f','type':%s,%s}", type, attributes);
	struct schema *s = rig_fields("", fields);
	free(fields);
	return s;
}

/* What a writer says beside the type, where Avro does not look, is what it means. */
START_TEST(beside_the_type)
{
	static const struct {
		const char *type, *attributes, *read, *valid, *words;
	} cases[] = {
		{"'bytes'", "'logicalType':'decimal','precision':10,'scale':4", D10_2, NULL,
		 "bytes (decimal 10,4 beside the type)"},
		{"'bytes'", "'logicalType':'decimal','precision':10,'scale':4", D10_4, D10_4, NULL},
		{"'long'", "'logicalType':'timestamp-millis'", MICROS, MILLIS, NULL},
		{"'long'", "'logicalType':'timestamp-seconds'", MICROS, NULL, "timestamp-seconds"},
		{"{'type':{'type':'long'},'logicalType':'timestamp-millis'}", "'doc':''", MICROS,
		 MILLIS, NULL},
		{MICROS, "'logicalType':'timestamp-millis'", MICROS, MICROS, NULL},
		{FIXED("2", ""), "'logicalType':'decimal','precision':4,'scale':1",
		 FIXED("2", ",'logicalType':'decimal','precision':4,'scale':2"), NULL,
		 "decimal 4,1"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct schema *writer = beside(cases[i].type, cases[i].attributes);
		if (cases[i].valid)
			check_same(cases[i].type, writer, cases[i].valid, cases[i].read);
		else
			check_refused(writer, cases[i].type, cases[i].read, cases[i].words);
	}
}
END_TEST

/* Of a union with null it means the other branch. */
START_TEST(beside_a_union)
{
	struct rig r;
	rig_open(&r, beside("['null','long']", "'logicalType':'timestamp-millis'"),
		 one("['null'," MICROS "]"));
	avro_long(&r.in, 1);
	avro_long(&r.in, 1);
	avro_long(&r.in, 1500);
	rig_decode(&r);
	ck_assert_int_eq(rig_int(&r, 1) + INT64_C(946684800000000), 1500000);
	rig_free(&r);
	check_refused(beside("['null','bytes']", "'logicalType':'decimal','precision':9,'scale':3"),
		      "beside", "['null'," D10_2 "]", "decimal 9,3 beside the type");
}
END_TEST

/* In the stream's own schema it means nothing, as Avro has it; the column is of the plain type. */
START_TEST(readers_own)
{
	struct rig r;
	rig_open(&r, NULL, beside("'long'", "'logicalType':'timestamp-millis'"));
	ck_assert_str_eq(r.table->columns[1].type, "bigint");
	ck_assert_str_eq(r.reader->root->fields[1].beside, "timestamp-millis");
	rig_free(&r);
	struct err err = {0};
	struct schema *s = one(DECIMAL(",'precision':2,'scale':4"));
	ck_assert_ptr_null(table_new(s, &err));
	ck_assert_msg(strstr(err.text, "wrong attributes"), "%s", err.text);
	schema_free(s);
}
END_TEST

/* Inside records, arrays, maps and unions it is the same, and a key is a value like any other. */
START_TEST(nested)
{
	static const char *const shapes[][2] = {
		{"{'type':'array','items':", "}"},
		{"{'type':'map','values':", "}"},
		{"['null',", "]"},
		{"{'type':'record','name':'N','fields':[{'name':'x','type':", "}]}"}};
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
		const char *before = shapes[i][0], *behind = shapes[i][1];
		char *written = xasprintf("%s%s%s", before, DECIMAL(",'scale':4"), behind),
		     *read = xasprintf("%s%s%s", before, D10_2, behind),
		     *fits = xasprintf("%s%s%s", before, D10_4, behind);
		check_refused(one(written), written, read, "decimal ?,4");
		struct rig r;
		rig_open(&r, one(written), one(fits));
		rig_free(&r);
		free(written);
		free(read);
		free(fits);
	}
	struct err err = {0};
	struct schema *reader = rig_schema("{'type':'record','name':'R','pg':{'table':'t','key':["
					   "'k']},'fields':[{'name':'k','type':" MILLIS "}]}");
	struct schema *key = rig_schema("{'type':'record','name':'K','fields':[{'name':'k','type':"
					"" LOGICAL("int", "date") "}]}");
	struct table *t = table_new(reader, &err);
	ck_assert_ptr_null(plan_new_key(key, t, NULL, &err));
	ck_assert_msg(strstr(err.text, "the logical types differ"), "%s", err.text);
	table_free(t);
	schema_free(key);
	schema_free(reader);
}
END_TEST

/*
 * A logical type that differs in the only branch beside null stops the writer, so that a field does
 * not differ from one that may be null; so it does in a record there, met once or twice. Beside a
 * branch that fits it is refused with its datum.
 */
START_TEST(in_a_branch)
{
	check_refused(one("['null','int'," DECIMAL(",'scale':4") "]"), "a union",
		      "['null'," D10_2 "]", "the logical types differ");
	check_refused(one("['null',{'type':'record','name':'N','fields':[{'name':'x','type':" D10_4
			  "}]}]"),
		      "a record",
		      "['null',{'type':'record','name':'N','fields':[{'name':'x','type':" D10_2
		      "}]}]",
		      "decimal 10,4");
	struct rig r;
	rig_open(&r, one("['null'," MILLIS "," LOGICAL("int", "date") "]"),
		 one("['null'," MILLIS "]"));
	avro_long(&r.in, 1);
	avro_long(&r.in, 1);
	avro_long(&r.in, 1500);
	rig_decode(&r);
	r.in.data[1] = 4;
	rig_refused(&r, REASON_SCHEMA, "int (date), the stream's schema long (timestamp-millis)");
	rig_free(&r);
}
END_TEST

#define TWICE(decimal)                                                                             \
	"{'type':'record','name':'M','fields':[{'name':'a','type':['int',{'type':'record','name'"  \
	":'N','fields':[{'name':'x','type':" decimal "}]}]},{'name':'b','type':['null','N']}]}"

/* The same where the record was met before, in a union where another branch fits. */
START_TEST(met_before)
{
	check_refused(one(TWICE(D10_4)), "a record met twice", TWICE(D10_2), "decimal 10,4");
}
END_TEST

static Suite *claims_suite(void)
{
	Suite *s = suite_create("claims");
	TCase *t = tcase_create("claims");
	tcase_add_test(t, decimals);
	tcase_add_test(t, digits_are_counted);
	tcase_add_test(t, units);
	tcase_add_test(t, uuids_and_durations);
	tcase_add_test(t, beside_the_type);
	tcase_add_test(t, beside_a_union);
	tcase_add_test(t, readers_own);
	tcase_add_test(t, nested);
	tcase_add_test(t, in_a_branch);
	tcase_add_test(t, met_before);
	suite_add_tcase(s, t);
	return s;
}
UNIT_SUITE(claims_suite)

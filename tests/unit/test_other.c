/*
 * test_other.c - what of a writer's the stream cannot take: types of record beside its own,
 * branches and symbols, wherever they stand. Data that have them are refused one by one, data that
 * have not land, and a writer of whom nothing can be read does not get a plan.
 *
 * Where fastavro has the same rule, tests/golden has the cases.
 */
#include "codec_rig.h"

#define NOTE "{'type':'record','name':'Note','namespace':'t','fields':[{'name':'k','type':'long'}]}"
#define OTHER                                                                                      \
	"{'type':'record','name':'Other','namespace':'t','fields':[{'name':'x','type':'int'}]}"
#define READER                                                                                     \
	"{'type':'record','name':'Note','namespace':'t','aliases':['old.Memo'],'pg':{'table':'t'," \
	"'key':['k']},'fields':[{'name':'k','type':'long'},{'name':'f','type':['null','string'],"  \
	"'default':null}]}"

static void open_types(struct rig *r, const char *writer)
{
	rig_open(r, rig_schema(writer), rig_schema(READER));
}

/* The datum is another record's, which is no fault of it. */
static void is_other(struct rig *r, const char *words)
{
	rig_refused(r, REASON_SCHEMA, words);
	ck_assert(r->record.other);
	ck_assert_int_eq(r->err.class, ERR_POISON);
}

static void is_row(struct rig *r, int64_t key)
{
	rig_decode(r);
	ck_assert_int_eq(rig_int(r, 0), key);
	ck_assert(!r->record.other);
}

/* The branch that was written decides, wherever the stream's record stands in the union. */
START_TEST(union_of_records)
{
	static const char *const unions[] = {"[" NOTE "," OTHER "]", "[" OTHER ",'null'," NOTE "]"};
	static const int note[] = {0, 2}, other[] = {1, 0};
	for (size_t i = 0; i < ARRAY_LEN(unions); i++) {
		struct rig r;
		open_types(&r, unions[i]);
		ck_assert_ptr_nonnull(strstr(plan_note(r.plan), "record t.Other"));
		avro_long(&r.in, note[i]);
		avro_long(&r.in, 77);
		is_row(&r, 77);
		rig_is_null(&r, 1);
		r.in.len = 0;
		avro_long(&r.in, other[i]);
		avro_long(&r.in, 5);
		is_other(&r, "the writer has record t.Other, the stream's schema record t.Note");
		r.in.len = 0;
		avro_long(&r.in, 3);
		rig_refused(&r, REASON_DECODE, "union index 3 of");
		ck_assert(!r.record.other);
		r.in.len = 0;
		rig_refused(&r, REASON_DECODE, "ends inside");
		rig_free(&r);
	}
}
END_TEST

/* A datum of the stream's record in a union is checked to its end, as without one. */
START_TEST(union_is_checked)
{
	struct rig r;
	open_types(&r, "[" OTHER "," NOTE "]");
	avro_long(&r.in, 1);
	rig_refused(&r, REASON_DECODE, "field 'k'");
	avro_long(&r.in, 1);
	buf_u8(&r.in, 0);
	rig_refused(&r, REASON_DECODE, "1 bytes are left");
	rig_free(&r);
}
END_TEST

/* A writer of another record, or of no record, has a plan, and none of its data is a row. */
START_TEST(another_record)
{
	static const struct {
		const char *writer, *words;
	} cases[] = {
		{OTHER, "the writer has record t.Other, the stream's schema record t.Note"},
		{"'string'", "the writer has string"},
		{"{'type':'array','items':" NOTE "}", "the writer has array of record t.Note"},
		{"{'type':'enum','name':'Note','symbols':['A']}", "the writer has enum Note"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct rig r;
		open_types(&r, cases[i].writer);
		ck_assert_ptr_nonnull(plan_note(r.plan));
		avro_long(&r.in, 0);
		is_other(&r, cases[i].words);
		rig_free(&r);
	}
}
END_TEST

#define RECORD(space, name, fields)                                                                \
	"{'type':'record','name':'" name "','namespace':'" space "','fields':[" fields "]}"
#define K "{'name':'k','type':'long'}"
#define X "{'name':'x','type':'int'}"

/* Whether a writer has a plan, and of what its datum, the long 1, is. */
enum verdict { ROW, AN_OTHER, NO_PLAN };

static enum verdict judge(const char *writer)
{
	struct rig r;
	enum verdict v = NO_PLAN;
	if (rig_try_open(&r, rig_schema(writer), rig_schema(READER))) {
		avro_long(&r.in, 1);
		v = rig_try_decode(&r) ? ROW : AN_OTHER;
		ck_assert(v == ROW || r.record.other);
	} else {
		ck_assert_int_eq(r.err.class, ERR_CONFIG);
	}
	rig_free(&r);
	return v;
}

/*
 * By its full name, an alias, or without a namespace a record is the stream's: it fits, or the
 * writer is refused. The same bare name in another namespace is the stream's only if it fits.
 */
START_TEST(names)
{
	ck_assert_int_eq(judge(RECORD("t", "Note", K)), ROW);
	ck_assert_int_eq(judge(RECORD("t", "Note", X)), NO_PLAN);
	ck_assert_int_eq(judge(RECORD("old", "Memo", K)), ROW);
	ck_assert_int_eq(judge(RECORD("old", "Memo", X)), NO_PLAN);
	ck_assert_int_eq(judge(RECORD("", "Note", K)), ROW);
	ck_assert_int_eq(judge(RECORD("", "Note", X)), NO_PLAN);
	ck_assert_int_eq(judge(RECORD("u", "Note", K)), ROW);
	ck_assert_int_eq(judge(RECORD("u", "Note", X)), AN_OTHER);
	ck_assert_int_eq(judge(RECORD("t", "Memory", K)), AN_OTHER);
}
END_TEST

/* Beside the stream's own record its namesake is another one, even if it would fit. */
START_TEST(namesakes)
{
	struct rig r;
	open_types(&r, "[" RECORD("u", "Note", K) "," NOTE "]");
	avro_long(&r.in, 0);
	avro_long(&r.in, 1);
	is_other(&r, "the writer has record u.Note, the stream's schema record t.Note");
	r.in.data[0] = 2;
	is_row(&r, 1);
	rig_free(&r);
	open_types(&r, "[" RECORD("u", "Note", X) "," RECORD("v", "Note", K) "]");
	avro_long(&r.in, 1);
	avro_long(&r.in, 1);
	is_row(&r, 1);
	rig_free(&r);
}
END_TEST

/*
 * The stream's own record in a union, but it does not resolve: the data that have it wait for a
 * person (class CONFIG), the others are what they are.
 */
START_TEST(misfit_in_a_union)
{
	struct rig r;
	open_types(&r, "[" RECORD("t", "Note", X) "," OTHER "]");
	avro_long(&r.in, 0);
	avro_long(&r.in, 1);
	struct slice body = {r.in.data, r.in.len};
	ck_assert(!decode_record(r.decoder, r.plan, body, &r.out, &r.record, &r.err));
	ck_assert_int_eq(r.err.class, ERR_CONFIG);
	ck_assert(!r.record.other);
	ck_assert_msg(strstr(r.err.text, "no field 'k'"), "%s", r.err.text);
	r.in.data[0] = 2;
	is_other(&r, "record t.Other");
	rig_free(&r);
}
END_TEST

/* --- keys --- */

static bool open_key(struct rig *r, const char *key, const char *own)
{
	struct schema *like = own ? rig_schema(own) : NULL;
	*r = (struct rig){.reader = rig_schema(READER), .writer = rig_schema(key)};
	r->table = table_new(r->reader, &r->err);
	r->decoder = decoder_new(&rig_limits);
	r->plan = plan_new_key(r->writer, r->table, like, &r->err);
	schema_free(like);
	return r->plan != NULL;
}

/*
 * A key that does not fit is another record's if it has another name than the stream's keys, and
 * else a mistake; one that fits is the stream's whatever its name.
 */
START_TEST(keys)
{
	struct rig r;
	ck_assert(open_key(&r, RECORD("t", "OtherKey", X), RECORD("t", "NoteKey", K)));
	avro_long(&r.in, 1);
	is_other(&r, "the key has no field 'k'");
	rig_free(&r);
	ck_assert(!open_key(&r, RECORD("t", "NoteKey", X), RECORD("t", "NoteKey", K)));
	rig_free(&r);
	ck_assert(!open_key(&r, RECORD("t", "OtherKey", X), NULL));
	rig_free(&r);
	ck_assert(open_key(&r, RECORD("t", "AnyKey", K), RECORD("t", "NoteKey", K)));
	avro_long(&r.in, 9);
	is_row(&r, 9);
	rig_free(&r);
	ck_assert(open_key(&r, "[" RECORD("t", "OtherKey", X) "," RECORD("t", "NoteKey", K) "]",
			   RECORD("t", "NoteKey", K)));
	avro_long(&r.in, 0);
	avro_long(&r.in, 9);
	is_other(&r, "the key has no field 'k'");
	r.in.data[0] = 2;
	is_row(&r, 9);
	ck_assert_int_eq(r.record.op, RECORD_DELETE);
	rig_free(&r);
	ck_assert(open_key(&r, "['null','long']", NULL)); /* a bare key may be a union */
	avro_long(&r.in, 1);
	avro_long(&r.in, 9);
	is_row(&r, 9);
	rig_free(&r);
}
END_TEST

/* --- branches and symbols --- */

#define ENUM "{'type':'enum','name':'E','symbols':['A','B']}"

/*
 * A string of a branch that the reader cannot take is no text, although it stands where text is
 * wanted: of an enum's column, of one that holds JSON, of an array's elements.
 */
START_TEST(strings_that_are_no_text)
{
	struct rig r;
	rig_open_fields(&r,
			"{'name':'e','type':['string'," ENUM
			"]},{'name':'j','type':['null','string'"
			",{'type':'array','items':'int'}]},{'name':'a','type':{'type':'array',"
			"'items':['string','E']}}",
			"{'name':'e','type':" ENUM "},{'name':'j','type':['null',{'type':'array',"
			"'items':'int'}],'pg':{'type':'jsonb'}},{'name':'a','type':{'type':'array',"
			"'items':'E'}}");
	avro_long(&r.in, 1);
	avro_long(&r.in, 1); /* e: E.B */
	avro_long(&r.in, 1);
	avro_long(&r.in, 2); /* j: [] */
	avro_long(&r.in, 0);
	avro_long(&r.in, 1); /* a: [E.A] */
	avro_long(&r.in, 1);
	avro_long(&r.in, 0);
	avro_long(&r.in, 0);
	rig_decode(&r);
	rig_text(&r, 1, "B");
	rig_json(&r, 2, "[]");
	struct buf good = {0};
	buf_put(&good, r.in.data, r.in.len);
	static const struct {
		size_t at, len; /* what is replaced */
		const char *by, *words;
	} faults[] = {
		{1, 2, "\0\2A",
		 "field 'e' at byte 2: the writer has string, the stream's schema enum E"},
		{3, 2, "\2\4[]", "field 'j' at byte 4: the writer has string"},
		{6, 2, "\0\2A", "field 'a' at byte 5: the writer has string"},
	};
	for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
		size_t behind = faults[i].at + faults[i].len;
		r.in.len = 0;
		buf_put(&r.in, good.data, faults[i].at);
		buf_put(&r.in, faults[i].by, i == 1 ? 4 : 3);
		buf_put(&r.in, good.data + behind, good.len - behind);
		rig_refused(&r, REASON_SCHEMA, faults[i].words);
	}
	buf_free(&good);
	rig_free(&r);
}
END_TEST

/* Nor is a number the text of a column that holds JSON as text. */
START_TEST(numbers_that_are_no_json)
{
	struct rig r;
	rig_open_fields(&r, "{'name':'j','type':['null','string','long']}",
			"{'name':'j','type':['null','string'],'pg':{'type':'jsonb'}}");
	avro_long(&r.in, 1);
	avro_long(&r.in, 1);
	avro_string(&r.in, "[1]");
	rig_decode(&r);
	rig_json(&r, 1, "[1]");
	r.in.len = 1;
	avro_long(&r.in, 2);
	avro_long(&r.in, 0); /* as a length: an empty text */
	rig_refused(&r, REASON_SCHEMA, "field 'j' at byte 2: the writer has long");
	rig_free(&r);
}
END_TEST

/* What nobody reads is refused by nobody: a field that the reader lacks, the rest of a delete. */
START_TEST(unread_branches)
{
	struct rig r;
	char *pg = ",'delete':{'field':'op','symbol':'D'}";
	rig_open(&r,
		 rig_fields("", "{'name':'op','type':{'type':'enum','name':'Op','symbols':['U','D',"
				"'T']}},{'name':'gone','type':['int','string']},{'name':'f','type':"
				"['int','string']}"),
		 rig_fields(pg,
			    "{'name':'op','type':{'type':'enum','name':'Op','symbols':['U','D']}"
			    ",'pg':{'column':false}},{'name':'f','type':'int'}"));
	avro_long(&r.in, 1);
	avro_long(&r.in, 0);
	avro_long(&r.in, 1);
	avro_string(&r.in, "skipped");
	avro_long(&r.in, 1);
	avro_string(&r.in, "s");
	rig_refused(&r, REASON_SCHEMA, "field 'f'");
	r.in.data[1] = 2;
	rig_decode(&r);
	ck_assert_int_eq(r.record.op, RECORD_DELETE);
	r.in.data[1] = 4;
	rig_refused(&r, REASON_SCHEMA, "field 'op' at byte 1: symbol 'T' of the writer's enum Op");
	rig_free(&r);
}
END_TEST

/* An operation in a branch that is no enum says neither delete nor the other thing. */
START_TEST(operation_that_is_none)
{
	struct rig r;
	rig_open(&r, rig_fields("", "{'name':'op','type':['string'," ENUM "]}"),
		 rig_fields(",'delete':{'field':'op','symbol':'B'}",
			    "{'name':'op','type':" ENUM ",'pg':{'column':false}}"));
	avro_long(&r.in, 1);
	avro_long(&r.in, 1);
	avro_long(&r.in, 1);
	rig_decode(&r);
	ck_assert_int_eq(r.record.op, RECORD_DELETE);
	r.in.len = 1;
	avro_long(&r.in, 0);
	avro_string(&r.in, "B");
	rig_refused(&r, REASON_SCHEMA, "field 'op'");
	rig_free(&r);
}
END_TEST

/* Vectors take the branches that are numbers; null and what does not resolve have no place there.
 */
START_TEST(vector_of_a_union)
{
	struct rig r;
	rig_open_fields(
		&r, "{'name':'v','type':{'type':'array','items':['null','float','int','string']}}",
		"{'name':'v','type':{'type':'array','items':'float'},'pg':{'type':'vector(2)'"
		"}}");
	avro_long(&r.in, 1);
	avro_long(&r.in, 2);
	avro_long(&r.in, 2);
	avro_long(&r.in, 0);
	avro_long(&r.in, 1);
	avro_float(&r.in, 0.5f);
	avro_long(&r.in, 0);
	rig_decode(&r);
	rig_vector(&r, 1, 2);
	r.in.len = 2;
	avro_long(&r.in, 0);
	avro_long(&r.in, 0);
	avro_long(&r.in, 0);
	rig_refused(&r, REASON_MISSING_FIELD, "a vector holds no null");
	r.in.len = 2;
	avro_long(&r.in, 3);
	avro_string(&r.in, "abcdefgh");
	avro_long(&r.in, 3);
	avro_string(&r.in, "");
	avro_long(&r.in, 0);
	rig_refused(&r, REASON_SCHEMA, "the writer has string");
	rig_free(&r);
}
END_TEST

/*
 * Records that hold each other, one of which does not resolve after the other has been met: a datum
 * that reaches it is refused, wherever it is reached from, and never read.
 */
START_TEST(mutual_recursion)
{
	struct rig r;
	const char *writer = "{'name':'f','type':['null',{'type':'record','name':'A','fields':["
			     "{'name':'b','type':['null',{'type':'record','name':'B','fields':["
			     "{'name':'v','type':'int'},{'name':'a','type':['null','A']}]}]},"
			     "{'name':'x','type':'string'}]}]},{'name':'g','type':['null','B']}";
	const char *reader = "{'name':'f','type':['null',{'type':'record','name':'A','fields':["
			     "{'name':'b','type':['null',{'type':'record','name':'B','fields':["
			     "{'name':'v','type':'long'},{'name':'a','type':['null','A']}]}]},"
			     "{'name':'x','type':'int'}]}]},{'name':'g','type':['null','B']}";
	rig_open_fields(&r, writer, reader);
	avro_long(&r.in, 1);
	avro_long(&r.in, 0); /* f: null */
	avro_long(&r.in, 1); /* g: B */
	avro_long(&r.in, 7);
	avro_long(&r.in, 0);
	rig_decode(&r);
	rig_json(&r, 2, "{'v':7,'a':null}");
	r.in.len--;
	avro_long(&r.in, 1); /* with an A inside */
	avro_long(&r.in, 0);
	avro_string(&r.in, "x");
	rig_refused(&r, REASON_SCHEMA, "field 'g'");
	ck_assert_msg(strstr(r.err.text, "writer's field 'x', stream's field 'x'"), "%s",
		      r.err.text);
	r.in.len = 1;
	avro_long(&r.in, 1); /* f: A */
	avro_long(&r.in, 0);
	avro_string(&r.in, "x");
	avro_long(&r.in, 0);
	rig_refused(&r, REASON_SCHEMA, "field 'f'");
	rig_free(&r);
}
END_TEST

/* The note counts, and names the first. */
START_TEST(notes)
{
	struct rig r;
	rig_open_fields(&r, NULL, "{'name':'f','type':'int'}");
	ck_assert_ptr_null(plan_note(r.plan));
	rig_free(&r);
	rig_open_fields(&r,
			"{'name':'f','type':['int','string','bytes']},{'name':'e','type':{'type':"
			"'enum','name':'E','symbols':['A','B','C']}}",
			"{'name':'f','type':'int'},{'name':'e','type':" ENUM "}");
	ck_assert_str_eq(plan_note(r.plan),
			 "the writer has string, the stream's schema int (and 2 more)");
	rig_free(&r);
}
END_TEST

static Suite *other_suite(void)
{
	Suite *s = suite_create("other");
	TCase *t = tcase_create("records");
	tcase_add_test(t, union_of_records);
	tcase_add_test(t, union_is_checked);
	tcase_add_test(t, another_record);
	tcase_add_test(t, names);
	tcase_add_test(t, namesakes);
	tcase_add_test(t, misfit_in_a_union);
	tcase_add_test(t, keys);
	suite_add_tcase(s, t);
	t = tcase_create("branches");
	tcase_add_test(t, strings_that_are_no_text);
	tcase_add_test(t, numbers_that_are_no_json);
	tcase_add_test(t, unread_branches);
	tcase_add_test(t, operation_that_is_none);
	tcase_add_test(t, vector_of_a_union);
	tcase_add_test(t, mutual_recursion);
	tcase_add_test(t, notes);
	suite_add_tcase(s, t);
	return s;
}
UNIT_SUITE(other_suite)

/*
 * test_event.c - "check --event" and "new-stream": what an event would become, and what a schema
 * still needs, without any server.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli_capture.h"
#include "unit.h"

static const struct command *const commands[] = {&command_check, &command_new_stream, NULL};

static char folder[] = "/tmp/memingest-event-XXXXXX";
static char config[64], events[64];
static char *const out = captured_out, *const errors = captured_errors;

#define HEAD                                                                                       \
	"[kafka]\nbootstrap.servers=nowhere:1\ngroup.id=g\n[postgres]\ndsn=host=nowhere\n"         \
	"[registry]\nurl=http://nowhere:1\n"
#define ALL                                                                                        \
	"[stream.all]\ntopic=all\nschema=tests/schemas/everything.avsc\n"                          \
	"key_schema=tests/schemas/everything_key.avsc\n"
#define MEMORY "[stream.memory]\ntopic=m\nschema=schemas/memory_event.avsc\n"

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

static void begin(void)
{
	memcpy(folder + sizeof(folder) - 7, "XXXXXX", 6);
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(config, sizeof(config), "%s/m.ini", folder);
	snprintf(events, sizeof(events), "%s/event.json", folder);
}

static void end(void)
{
	unlink(config);
	unlink(events);
	rmdir(folder);
}

/* Runs with these arguments (the last one NULL), keeps what it prints, and compares its status. */
static void run(int status, const char *const *args)
{
	int code = capture_cli(commands, args);
	ck_assert_msg(code == status, "exit %d, expected %d: %s%s", code, status, out, errors);
}

#define RUN(status, ...) run(status, (const char *const[]){__VA_ARGS__, NULL})
#define EVENT(status, ...)                                                                         \
	RUN(status, "check", "-c", config, "--event", events __VA_OPT__(, ) __VA_ARGS__)

/* Check takes messages of up to 8 KiB, and ends the test without one if it is longer. */
static void said(const char *part)
{
	ck_assert_msg(strstr(out, part) || strstr(errors, part),
		      "expected \"%s\" in: %.4000s%.2000s", part, out, errors);
}

/* As PostgreSQL would order it. */
static bool same_json(const char *one, const char *two)
{
	json_t *a = json_loads(one, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, NULL),
	       *b = json_loads(two, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, NULL);
	bool same = a && b && json_equal(a, b);
	json_decref(a);
	json_decref(b);
	return same;
}

/* The event "full", as people write its values in JSON. */
static json_t *full_event(const json_t *all)
{
	json_t *event = json_deep_copy(json_object_get(all, "full")),
	       *written = json_pack("{s:s, s:f, s:[s,f], s:s, s:s, s:s, s:s, s:{s:i}}", "n_bytes",
				    "-1.2345", "n_fixed", 123.45, "a_decimal", "0.5", -0.001,
				    "t_date", "1969-12-31", "t_us", "2023-11-14 23:13:20.123456+01",
				    "t_ns", "2023-11-14T22:13:20.123456789Z", "u_fixed",
				    "01234567-89ab-cdef-0123-456789abcdef", "attributes", "z", 1);
	ck_assert_ptr_nonnull(written);
	json_object_update(event, written);
	json_object_set_new(json_object_get(event, "r_record"), "price", json_string("12.34"));
	json_decref(written);
	return event;
}

/*
 * Every column of every type has the text that the golden row has, which the system tests hold
 * against PostgreSQL; JSON in another order, and what only the server's cast makes, apart.
 */
START_TEST(every_type)
{
	json_t *all = json_load_file("tests/schemas/everything_events.json", JSON_ALLOW_NUL, NULL),
	       *event = full_event(all), *wanted = json_object_get(all, "full_row"), *value;
	const char *column;
	write_file(config, HEAD ALL);
	ck_assert_int_eq(json_dump_file(event, events, JSON_COMPACT), 0);
	EVENT(0, "--json");
	json_t *found = json_loads(out, 0, NULL), *row = json_object_get(found, "row");
	ck_assert_str_eq(json_string_value(json_object_get(found, "outcome")), "row");
	ck_assert_uint_ge(json_object_size(row), json_object_size(wanted));
	json_object_foreach (wanted, column, value) {
		const char *is = json_string_value(json_object_get(row, column)),
			   *want = json_string_value(value);
		ck_assert_msg(is && (strcmp(is, want) == 0 || same_json(is, want) ||
				     strcmp(column, "s_cast") == 0 || strcmp(column, "v_via") == 0),
			      "column %s: should be %s, is %s", column, want, is ? is : "null");
	}
	json_decref(found);
	json_decref(event);
	json_decref(all);
}
END_TEST

/* One object over several lines is one event; what the columns do to a row that is there is said.
 */
START_TEST(for_people)
{
	write_file(config, HEAD ALL);
	write_file(events, "{\n \"revision\": 1,\n \"part\": -3,\n \"tenant\":\n"
			   "   \"ffffffff-ffff-ffff-ffff-ffffffffffff\"\n}\n");
	EVENT(0);
	said("event.json:1: a row of everything.all_of_it\n");
	said("= -3    -- key\n");
	said("= 0    -- add: to the row's value\n");
	said("first_seen   = null    -- keep: the row's first value stays\n");
	said("newer: a row of this key that is there is updated, unless its revision is higher\n");
	EVENT(0, "--set", "stream.all.on_conflict=skip");
	said("skip: a row of this key that is there stays as it is\n");
	write_file(events, "{\"change\": \"REMOVE\", \"revision\": 1, \"part\": -3, \"tenant\": "
			   "\"ffffffff-ffff-ffff-ffff-ffffffffffff\"}");
	EVENT(0);
	said("a delete in everything.all_of_it\n");
	said("is deleted, unless its revision is higher\n");
}
END_TEST

/* What would not land is said with its reason and field, the others are shown, and it exits 65. */
START_TEST(would_not_land)
{
	write_file(config, HEAD MEMORY);
	write_file(events, "{\"event_time\": 1, \"namespace\": \"n\", \"key\": \"k\"}\n"
			   "{\"event_time\": 1, \"namespace\": \"n\", \"key\": \"k\","
			   " \"embedding\": [1, 2]}\n"
			   "{\"event_time\": 1, \"namespace\": \"n\", \"kye\": \"k\"}\n");
	EVENT(65);
	said("event.json:1: a row of memory_entries\n");
	said("event.json:2: a dead letter, reason invalid_embedding: field 'embedding'");
	said("event.json:3: no event by this schema: record MemoryEvent has no field 'kye'");
	EVENT(65, "--json");
	said("\"outcome\":\"dead_letter\",\"reason\":\"invalid_embedding\",\"detail\":\"field");
	EVENT(0, "--json", "--stream", "memory", "--set", "limits.max_key=2600", "--help");
	write_file(events, "\n");
	EVENT(65);
	said("event.json: there is no event in it");
	unlink(events);
	EVENT(78);
	said("event.json");
}
END_TEST

#define MINIMUM "\"event_time\": 1,\n \"namespace\": \"n\", \"key\": \"k\""

/*
 * Values over several lines, as jq prints them, keep the number of the line where they begin; a
 * mistake in one of them is one mistake, and the others are read. A line break within a string is
 * none of JSON's, and \u0000 is said to be what it is.
 */
START_TEST(folded)
{
	write_file(config, HEAD MEMORY);
	write_file(events, "{\n " MINIMUM "\n}\n{\n " MINIMUM ",\n}\n\n{\n " MINIMUM "}\n");
	EVENT(65);
	said("event.json:1: a row of");
	said("event.json:5: no event by this schema: not JSON: '}'");
	said("event.json:10: a row of");
	ck_assert_ptr_null(strstr(out, "event.json:2"));
	write_file(events, "{\n \"value\": \"a\nb\"\n}");
	EVENT(65);
	said("event.json:1: no event by this schema: not JSON: a control character in a string");
	write_file(events, "{\n " MINIMUM ", \"value\": \"}\\\"{\\u0000\"}");
	EVENT(65);
	said("event.json:1: a dead letter, reason invalid_text: field 'value'");
	write_file(events, "[\n {" MINIMUM "},\n {" MINIMUM "}\n]");
	EVENT(65);
	said("event.json:1: no event by this schema: wants record memingest.MemoryEvent, found an "
	     "array");
}
END_TEST

/* Text stands in quotes, an empty one is there, and nothing of it steers a terminal. */
START_TEST(harmless)
{
	write_file(config, HEAD MEMORY);
	write_file(events, "{\n" MINIMUM ", \"role\": \"null\", \"user_id\":"
			   " \"\\u009b\\u001b[1m\", \"tags\": [\"\\u009b\", \"\xc3\xa4\"]}");
	EVENT(0);
	said("value        = \"\"\n");
	said("role         = \"null\"\n");
	said("agent_id     = null\n");
	said("user_id      = \"\\xc2\\x9b\\x1b[1m\"\n");
	said("tags         = {?,\xc3\xa4}\n");
	EVENT(0, "--json");
	said("\"value\":\"\"");
	write_file(events, "{\"event_time\": \"\\u009b\"}");
	EVENT(65);
	ck_assert_ptr_null(strchr(out, '\x9b'));
}
END_TEST

/* Whose event it is has to be clear, and no server is asked beside it. */
START_TEST(usage)
{
	write_file(config, HEAD MEMORY ALL);
	write_file(events, "{}");
	EVENT(64);
	said("--stream NAME; there are: memory, all");
	EVENT(64, "--stream", "al");
	said("there is no stream \"al\" in the config; did you mean all?; there are: memory, all");
	EVENT(64, "--online");
	RUN(64, "check", "-c", config, "--stream", "all");
	RUN(64, "new-stream");
}
END_TEST

/*
 * From a plain Avro schema: the annotation is guessed, every field that fits no column is named at
 * once, with the table's own words, and section and SQL are as if that were mended.
 */
START_TEST(new_stream)
{
	write_file(events,
		   "{\"type\": \"record\", \"name\": \"OrderLineEvent\", \"fields\": ["
		   "{\"name\": \"op\", \"type\": {\"type\": \"enum\", \"name\": \"Op\","
		   " \"symbols\": [\"UPSERT\", \"DELETE\"]}},"
		   "{\"name\": \"changed\", \"type\": {\"type\": \"long\","
		   " \"logicalType\": \"timestamp-micros\"}},"
		   "{\"name\": \"note\", \"type\": \"string\"},"
		   "{\"name\": \"near\", \"type\": {\"type\": \"array\", \"items\": \"float\"}},"
		   "{\"name\": \"order_line_id\", \"type\": \"string\"},"
		   "{\"name\": \"what\", \"type\": [\"string\", \"long\"]},"
		   "{\"name\": \"nothing\", \"type\": \"null\"}]}");
	RUN(78, "new-stream", events);
	said("\"pg\": {\"table\": \"order_lines\", \"key\": [\"order_line_id\"], \"version\": "
	     "\"changed\", \"delete\": {\"field\": \"op\", \"symbol\": \"DELETE\"}}\n");
	said("#   field 'what': type union [string, long] has no column type; set pg.type");
	said("#   field 'nothing': type null has no column type");
	said("# field 'near': a column of type real[]. If it is an embedding: ");
	said("[stream.order_line]\ntopic = order_line.events\nschema = ");
	said("CREATE TABLE IF NOT EXISTS \"order_lines\" (\n    \"order_line_id\" text NOT "
	     "NULL,\n");
	ck_assert_ptr_null(strstr(out, "\"what\""));
	RUN(78, "new-stream", events, "--name", "lines", "--topic=shop.lines");
	said("[stream.lines]\ntopic = shop.lines\n");
	write_file(events, "{\"type\": \"record\", \"name\": \"R\", \"fields\": ["
			   "{\"name\": \"a\", \"type\": \"double\"}]}");
	RUN(78, "new-stream", events);
	said("nothing in it looks like a key");
	RUN(64, "new-stream", events, "--name", "a b");
	RUN(64, "new-stream", events, "--json");
	write_file(events, "\"string\"");
	RUN(78, "new-stream", events);
	said("a stream's schema is a record, not string");
}
END_TEST

/*
 * A guess never names a field that has no column, be it for its type or for its name; what is left
 * out is said also where no table can be made.
 */
START_TEST(new_stream_odd)
{
	write_file(events, "{\"type\": \"record\", \"name\": \"HTTPCall\", \"fields\": ["
			   "{\"name\": \"created_at\", \"type\": {\"type\": \"long\","
			   " \"logicalType\": \"timestamp-millis\"}},"
			   "{\"name\": \"xmin\", \"type\": \"string\"},"
			   "{\"name\": \"seen\", \"type\": {\"type\": \"long\","
			   " \"logicalType\": \"timestamp-millis\"}},"
			   "{\"name\": \"url\", \"type\": \"string\"}]}");
	RUN(78, "new-stream", events);
	said("\"pg\": {\"table\": \"http_calls\", \"key\": [\"url\"], \"version\": \"seen\"}\n");
	said("#   field 'created_at': the column name created_at is reserved");
	said("#   field 'xmin': the column name xmin is reserved");
	said("[stream.http_call]\n");
	write_file(events, "{\"type\": \"record\", \"name\": \"R\", \"pg\": {\"key\": [\"a\"]},"
			   " \"fields\": [{\"name\": \"a\", \"type\": [\"int\", \"string\"]},"
			   "{\"name\": \"b\", \"type\": \"int\"}]}");
	RUN(78, "new-stream", events);
	said("#   field 'a': type union");
	said("pg.key: 'a' is no column");
}
END_TEST

/* A schema that is annotated needs nothing: exit 0, and what it leaves out on purpose stays out. */
START_TEST(new_stream_annotated)
{
	RUN(0, "new-stream", "tests/schemas/everything.avsc");
	ck_assert_ptr_null(strstr(out, "# Add to the record"));
	RUN(0, "new-stream", "schemas/memory_event.avsc");
	said("[stream.memory]\n");
	said("CREATE OR REPLACE FUNCTION");
}
END_TEST

static Suite *event_suite(void)
{
	Suite *s = suite_create("event");
	TCase *t = tcase_create("event");
	tcase_add_checked_fixture(t, begin, end);
	tcase_add_test(t, every_type);
	tcase_add_test(t, for_people);
	tcase_add_test(t, would_not_land);
	tcase_add_test(t, folded);
	tcase_add_test(t, harmless);
	tcase_add_test(t, usage);
	tcase_add_test(t, new_stream);
	tcase_add_test(t, new_stream_odd);
	tcase_add_test(t, new_stream_annotated);
	suite_add_tcase(s, t);
	return s;
}
UNIT_SUITE(event_suite)

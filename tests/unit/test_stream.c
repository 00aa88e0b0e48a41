/*
 * test_stream.c - a stream loaded from schema files, its cache of plans, and which stream a topic
 * belongs to.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/stream.h"
#include "unit.h"

#define FIELDS                                                                                     \
	"{\"name\": \"id\", \"type\": \"long\"}, {\"name\": \"note\", \"type\": [\"null\", "       \
	"\"string\"], \"default\": "                                                               \
	"null}"
#define SCHEMA                                                                                     \
	"{\"type\": \"record\", \"name\": \"Fact\", \"pg\": {\"table\": \"facts\", \"key\": "      \
	"[\"id\"]}, \"fields\": "                                                                  \
	"[" FIELDS "]}"
#define KEY                                                                                        \
	"{\"type\": \"record\", \"name\": \"FactKey\", \"fields\": [{\"name\": \"id\", \"type\": " \
	"\"long\"}]}"

static char dir[64];

static void make_dir(void)
{
	snprintf(dir, sizeof(dir), "/tmp/memingest-stream-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
}

/* Writes a file into the test's folder; returns its path (the caller frees it). */
static char *put_file(const char *name, const char *text)
{
	char *path = xasprintf("%s/%s", dir, name);
	FILE *f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs(text, f), 0);
	ck_assert_int_eq(fclose(f), 0);
	return path;
}

static void remove_file(char *path)
{
	ck_assert_int_eq(unlink(path), 0);
	free(path);
}

static void remove_dir(void)
{
	ck_assert_int_eq(rmdir(dir), 0);
}

static const char *fact_topics[] = {"facts"};

static struct stream *load(const char *schema, const char *key, struct err *err)
{
	static struct stream_config sc;
	static struct config config;
	sc = (struct stream_config){.name = "facts",
				    .topics = fact_topics,
				    .ntopics = 1,
				    .schema = schema,
				    .key_schema = key};
	config = (struct config){.streams = &sc, .nstreams = 1};
	return stream_new(&config, 0, err);
}

static struct schema *parse(const char *text)
{
	struct err err = {0};
	struct schema *s = schema_parse(text, strlen(text), &err);
	ck_assert_msg(s != NULL, "%s", err.text);
	return s;
}

/* Files become schema, table and SQL. */
START_TEST(loads)
{
	struct err err = {0};
	make_dir();
	char *schema = put_file("fact.avsc", SCHEMA), *key = put_file("key.avsc", KEY);
	struct stream *s = load(schema, key, &err);
	ck_assert_msg(s != NULL, "%s", err.text);
	ck_assert_str_eq(s->table->name, "facts");
	ck_assert_ptr_nonnull(s->key_reader);
	ck_assert_ptr_nonnull(strstr(s->sql->merge_upsert, "\"facts\""));
	stream_free(s);
	remove_file(schema);
	remove_file(key);
	remove_dir();
}
END_TEST

/*
 * Each mistake is a CONFIG error that names stream and file: no file, no JSON, no table, a key
 * schema without the key.
 */
START_TEST(mistakes)
{
	static const struct {
		const char *schema, *key, *file;
	} cases[] = {
		{NULL, NULL, "absent.avsc"},
		{"{\"type\": ", NULL, "fact.avsc"},
		{"{\"type\": \"record\", \"name\": \"Fact\", \"fields\": [" FIELDS "]}", NULL,
		 "fact.avsc"},
		{SCHEMA, "{\"type\": \"record\", \"name\": \"K\", \"fields\": []}", "key.avsc"},
	};
	make_dir();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err err = {0};
		char *schema = cases[i].schema ? put_file("fact.avsc", cases[i].schema)
					       : xasprintf("%s/absent.avsc", dir);
		char *key = cases[i].key ? put_file("key.avsc", cases[i].key) : NULL;
		ck_assert_ptr_null(load(schema, key, &err));
		ck_assert_int_eq(err.class, ERR_CONFIG);
		ck_assert_msg(strstr(err.text, "stream.facts") && strstr(err.text, cases[i].file),
			      "%s", err.text);
		if (cases[i].schema)
			remove_file(schema);
		else
			free(schema);
		if (key)
			remove_file(key);
	}
	remove_dir();
}
END_TEST

static const struct schema_id seven = {.kind = SCHEMA_ID_NUMBER, .number = 7},
			      nine = {.kind = SCHEMA_ID_NUMBER, .number = 9};

/* A plan is compiled once per schema and use; later calls do without the writer schema. */
START_TEST(plans_are_cached)
{
	struct err err = {0};
	const struct plan *plan, *again;
	make_dir();
	char *path = put_file("fact.avsc", SCHEMA);
	struct stream *s = load(path, NULL, &err);
	struct schema *writer = parse(SCHEMA), *key = parse(KEY);
	ck_assert(!stream_plan_cached(s, &seven, false, &plan, &err));
	plan = stream_plan(s, &seven, false, writer, &err);
	ck_assert_ptr_nonnull(plan);
	const struct plan *key_plan = stream_plan(s, &seven, true, key, &err);
	ck_assert_ptr_nonnull(key_plan);
	ck_assert_ptr_ne(key_plan, plan);
	ck_assert(stream_plan_cached(s, &seven, false, &again, &err));
	ck_assert_ptr_eq(again, plan);
	ck_assert_ptr_eq(stream_plan(s, &seven, true, NULL, &err), key_plan);
	ck_assert_uint_eq(s->nplans, 2);
	schema_free(writer);
	schema_free(key);
	stream_free(s);
	remove_file(path);
	remove_dir();
}
END_TEST

/* So is the answer that a schema does not fit, with its reason. */
START_TEST(misfits_are_cached)
{
	struct err err = {0}, later = {0};
	const struct plan *plan;
	make_dir();
	char *path = put_file("fact.avsc", SCHEMA);
	struct stream *s = load(path, NULL, &err);
	struct schema *writer =
		parse("{\"type\": \"record\", \"name\": \"Fact\", \"fields\": [{\"name\": \"id\","
		      " \"type\": {\"type\": \"map\", \"values\": \"long\"}}]}");
	ck_assert_ptr_null(stream_plan(s, &nine, false, writer, &err));
	ck_assert_int_eq(err.class, ERR_CONFIG);
	ck_assert_ptr_nonnull(strstr(err.text, "id 9"));
	ck_assert(stream_plan_cached(s, &nine, false, &plan, &later));
	ck_assert_ptr_null(plan);
	ck_assert_int_eq(later.class, ERR_CONFIG);
	ck_assert_str_eq(later.text, err.text);
	ck_assert_uint_eq(s->nplans, 1);
	schema_free(writer);
	stream_free(s);
	remove_file(path);
	remove_dir();
}
END_TEST

/*
 * A name comes before a pattern, whatever the order of the streams; a pattern is anchored at the
 * beginning only.
 */
START_TEST(topics)
{
	const char *pattern[] = {"^mem(ory)?\\.ev"}, *name[] = {"other", "memory.events"};
	struct stream_config streams[] = {{.topics = pattern, .ntopics = 1},
					  {.topics = name, .ntopics = 2}};
	struct config config = {.streams = streams, .nstreams = 2};
	ck_assert_uint_eq(stream_of_topic(&config, "memory.events"), 1);
	ck_assert_uint_eq(stream_of_topic(&config, "memory.events.eu"), 0);
	ck_assert_uint_eq(stream_of_topic(&config, "mem.events"), 0);
	ck_assert_uint_eq(stream_of_topic(&config, "my.memory.events"), 2);
	ck_assert_uint_eq(stream_of_topic(&config, "others"), 2);
}
END_TEST

static Suite *stream_suite(void)
{
	Suite *s = suite_create("stream");
	TCase *c = tcase_create("stream");
	tcase_add_test(c, loads);
	tcase_add_test(c, mistakes);
	tcase_add_test(c, plans_are_cached);
	tcase_add_test(c, misfits_are_cached);
	tcase_add_test(c, topics);
	suite_add_tcase(s, c);
	return s;
}
UNIT_SUITE(stream_suite)

/*
 * test_made_up.c - a stream that nobody ships (tests/schemas/everything.avsc), with every
 * annotation and every type, on the real database: no C code knows the shipped three.
 *
 * What PostgreSQL must show for each column of hand-made events stands in
 * tests/schemas/everything_events.json as text, worked out by hand; the key columns stand in
 * another order in the schema than in the key.
 */
#include <stdio.h>
#include <string.h>

#include "bed.h"
#include "load.h"
#include "system.h"

#define EVENTS 20000
#define TABLE "everything.all_of_it"

static struct bed *made_up_bed(const char *name, int partitions)
{
	struct bed *bed = bed_new(name);
	bed_stream_files(bed, "all", partitions, "tests/schemas/everything.avsc",
			 "tests/schemas/everything_key.avsc");
	bed_set(bed, "batch.max_age", "50ms");
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	return bed;
}

static json_t *load_events(void)
{
	json_error_t error;
	json_t *events =
		json_load_file("tests/schemas/everything_events.json", JSON_ALLOW_NUL, &error);
	ck_assert_msg(events != NULL, "everything_events.json:%d: %s", error.line, error.text);
	return events;
}

static void compare_columns(struct bed *bed, json_t *wanted, const char *where)
{
	const char *column;
	json_t *value;
	json_object_foreach (wanted, column, value) {
		struct pg_rows *rows = bed_query(bed, "SELECT \"%s\"::text FROM " TABLE " WHERE %s",
						 column, where);
		ck_assert_uint_eq(pg_rows_count(rows), 1);
		const char *found = pg_value(rows, 0, 0), *want = json_string_value(value);
		ck_assert_msg(found ? want && strcmp(want, found) == 0 : !want,
			      "column %s: should be %s, is %s", column, want ? want : "null",
			      found ? found : "null");
		pg_rows_free(rows);
	}
}

static void send(struct bed *bed, json_t *events, const char *name)
{
	bed_event(bed, "all", 0, json_object_get(events, name));
	bed_drain(bed, 20);
}

/*
 * Proves: each type arrives as the value it is, defaults fill what is missing, each merge rule does
 * what it says for newer and for late events, deletes and tombstones remove the row; migrating
 * again changes nothing.
 */
START_TEST(every_type)
{
	static const char one[] = "part = 3", other[] = "part = -3";
	struct bed *bed = made_up_bed("types", 1);
	json_t *events = load_events(),
	       *key = json_pack("{s:s, s:i}", "tenant", "ffffffff-ffff-ffff-ffff-ffffffffffff",
				"part", -3);
	struct worker *w = worker_start(bed, NULL);
	send(bed, events, "full");
	compare_columns(bed, json_object_get(events, "full_row"), one);
	send(bed, events, "bare");
	compare_columns(bed, json_object_get(events, "bare_row"), other);
	send(bed, events, "update");
	compare_columns(bed, json_object_get(events, "update_row"), one);
	send(bed, events, "late");
	compare_columns(bed, json_object_get(events, "late_row"), one);
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	send(bed, events, "remove");
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM " TABLE), 1);
	bed_tombstone(bed, "all", 0, key);
	bed_drain(bed, 20);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM " TABLE), 0);
	worker_stop(w);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memingest.dead_letters"), 0);
	json_decref(events);
	json_decref(key);
	bed_free(bed);
}
END_TEST

/* Proves: the same in one batch gives the same row as one by one. */
START_TEST(every_type_in_one_batch)
{
	struct bed *bed = made_up_bed("batch", 1);
	json_t *events = load_events();
	bed_event(bed, "all", 0, json_object_get(events, "full"));
	bed_event(bed, "all", 0, json_object_get(events, "update"));
	bed_event(bed, "all", 0, json_object_get(events, "late"));
	bed_flush(bed);
	struct worker *w = worker_start(bed, NULL);
	bed_drain(bed, 20);
	json_object_update(json_object_get(events, "update_row"),
			   json_object_get(events, "late_row"));
	compare_columns(bed, json_object_get(events, "update_row"), "part = 3");
	worker_stop(w);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memingest.batches"), 1);
	json_decref(events);
	bed_free(bed);
}
END_TEST

static json_t *field(json_t *record, const char *name, size_t *at)
{
	json_t *f, *fields = json_object_get(record, "fields");
	for (*at = 0; (f = json_array_get(fields, *at)); ++*at) {
		if (strcmp(json_string_value(json_object_get(f, "name")), name) == 0)
			return f;
	}
	ck_abort_msg("no field %s", name);
	return NULL;
}

/*
 * The schema without what random values do not fit: addresses for inet, and bytes within jsonb,
 * which holds no zero.
 */
static const char *tame_schema(struct bed *bed)
{
	static char path[192];
	size_t at;
	json_t *schema = json_load_file("tests/schemas/everything.avsc", JSON_ALLOW_NUL, NULL);
	json_object_del(field(schema, "s_cast", &at), "pg");
	json_t *node = json_array_get(json_object_get(field(schema, "r_record", &at), "type"), 1);
	field(node, "raw", &at);
	json_array_remove(json_object_get(node, "fields"), at);
	snprintf(path, sizeof(path), "%s/tame.avsc", bed->dir);
	ck_assert_int_eq(json_dump_file(schema, path, 0), 0);
	json_decref(schema);
	return path;
}

/*
 * Proves: 20,000 generated events of all types: every one that is not poison becomes the one row of
 * its key, the others are dead letters.
 */
START_TEST(many)
{
	const struct generator_options options = {.seed = 11, .poison_share = 0.001};
	struct bed *bed = bed_new("many");
	bed_stream_files(bed, "all", 3, tame_schema(bed), "tests/schemas/everything_key.avsc");
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	load_fill(bed, "all", EVENTS, options);
	struct worker *w = worker_start(bed, NULL);
	bed_drain(bed, 50);
	worker_stop(w);
	int64_t dead = bed_int(bed, "SELECT count(*) FROM memingest.dead_letters");
	ck_assert_int_gt(dead, 5);
	ck_assert_int_lt(dead, 60);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM " TABLE), EVENTS - dead);
	ck_assert_int_eq(bed_int(bed, "SELECT sum(rows)::bigint FROM memingest.batches"), EVENTS);
	ck_assert_int_eq(bed_int(bed, "SELECT sum(merged)::bigint FROM memingest.batches"),
			 EVENTS - dead);
	ck_assert_int_eq(bed_int(bed, "SELECT sum(dead)::bigint FROM memingest.batches"), dead);
	bed_free(bed);
}
END_TEST

static void made_up_tests(TCase *tc)
{
	tcase_add_test(tc, every_type);
	tcase_add_test(tc, every_type_in_one_batch);
	tcase_add_test(tc, many);
}
SYSTEM_SUITE("made_up", 90, made_up_tests)

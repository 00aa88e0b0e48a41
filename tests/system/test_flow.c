/*
 * test_flow.c - what a single worker does with events: order, versions, deletes, poison, schema
 * changes, silence.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "bed.h"
#include "broker.h"
#include "load.h"
#include "model.h"
#include "system.h"

static json_t *memory(const char *key, int64_t time, const char *value)
{
	json_t *event = json_pack("{s:s, s:s, s:I, s:s, s:s, s:[s,s]}", "namespace", "test", "key",
				  key, "event_time", (json_int_t)time, "value", value, "metadata",
				  "{\"n\": [1, null, \"\\u00e4\"]}", "tags", "a", "b");
	json_t *vector = json_array();
	for (int i = 0; i < 384; i++)
		json_array_append_new(vector, json_real((double)(i % 7) / 8.0));
	json_object_set_new(event, "embedding", vector);
	return event;
}

static void send_memory(struct bed *bed, const char *key, int64_t time, const char *value)
{
	json_t *event = memory(key, time, value);
	bed_event(bed, "memory", 0, event);
	json_decref(event);
}

static void send_delete(struct bed *bed, const char *key, int64_t time)
{
	json_t *event = memory(key, time, "");
	json_object_set_new(event, "op", json_string("DELETE"));
	bed_event(bed, "memory", 0, event);
	json_decref(event);
}

static void send_tombstone(struct bed *bed, const char *key)
{
	json_t *columns = json_pack("{s:s, s:s}", "namespace", "test", "key", key);
	bed_tombstone(bed, "memory", 0, columns);
	json_decref(columns);
}

static struct bed *memory_bed(const char *name, const char *on_conflict)
{
	struct bed *bed = bed_new(name);
	bed_stream(bed, "memory", 1);
	bed_set(bed, "stream.memory.on_conflict", "%s", on_conflict);
	bed->streams[0].on_conflict = strcmp(on_conflict, "update") == 0 ? CONFLICT_UPDATE
				      : strcmp(on_conflict, "skip") == 0 ? CONFLICT_SKIP
									 : CONFLICT_NEWER;
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	return bed;
}

static const char *const batch_sizes[] = {"1", "2", "5000"};

/*
 * Proves: newer, update and skip with older after newer, equal versions, deletes, stale deletes and
 * tombstones give the model's table, the same whether each event is a batch of its own or all share
 * one.
 */
START_TEST(conflicts)
{
	static const char *const modes[] = {"newer", "update", "skip"};
	const char *mode = modes[_i % 3], *rows = batch_sizes[_i / 3];
	struct bed *bed = memory_bed("conflicts", mode);
	bed_set(bed, "batch.max_rows", "%s", rows);
	bed_set(bed, "batch.max_age", "20ms");
	send_memory(bed, "k1", 100, "first");
	send_memory(bed, "k1", 50, "older");
	send_memory(bed, "k2", 10, "old");
	send_memory(bed, "k2", 20, "new");
	send_memory(bed, "k2", 20, "equal, later offset");
	send_memory(bed, "k3", 30, "goes");
	send_delete(bed, "k3", 31);
	send_memory(bed, "k4", 30, "stays under newer");
	send_delete(bed, "k4", 29);
	send_memory(bed, "k5", 10, "falls to a tombstone");
	send_tombstone(bed, "k5");
	send_memory(bed, "k6", 10, "deleted and made again");
	send_delete(bed, "k6", 11);
	send_memory(bed, "k6", 5, "again, with an older version");
	send_tombstone(bed, "k7");
	send_memory(bed, "k7", 1, "after a tombstone of nothing");
	send_memory(bed, "k8", 4102444800000000,
		    "of the year 2100: newer than any tombstone of today");
	send_tombstone(bed, "k8");
	bed_flush(bed);
	struct worker *w = worker_start(bed, NULL);
	bed_drain(bed, 30);
	worker_stop(w);
	model_check(bed);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memory_entries WHERE key = 'k8'"),
			 strcmp(mode, "newer") == 0);
	bed_free(bed);
}
END_TEST

/*
 * Proves: a poison event first, in the middle, last, or being all of a batch becomes a dead letter
 * and its neighbours land. Odd runs take poison that only PostgreSQL can find: in COPY (a trigger's
 * domain is out of reach there), here a check constraint in the merge.
 */
START_TEST(poison)
{
	static const int patterns[][6] = {
		{1, 0, 0, 0, 0, 0}, {0, 0, 1, 1, 0, 0}, {0, 0, 0, 0, 0, 1}, {1, 1, 1, 1, 1, 1}};
	const int *pattern = patterns[_i / 2];
	bool by_database = _i % 2;
	struct bed *bed = memory_bed("poison", "newer");
	if (by_database)
		bed_sql(bed, "ALTER TABLE memory_entries ADD CHECK (value <> 'bad')");
	for (int i = 0; i < 6; i++) {
		char key[8];
		snprintf(key, sizeof(key), "k%d", i);
		json_t *event = memory(key, i, pattern[i] && by_database ? "bad" : "good");
		if (pattern[i] && !by_database)
			json_array_clear(json_object_get(event, "embedding"));
		if (pattern[i] && by_database)
			model_expect_dead(bed->streams[0].topic, 0, i, "constraint");
		bed_event(bed, "memory", 0, event);
		json_decref(event);
	}
	bed_flush(bed);
	struct worker *w = worker_start(bed, NULL);
	bed_drain(bed, 30);
	worker_stop(w);
	model_check(bed);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memingest.dead_letters WHERE value IS "
				      "NOT NULL AND key IS NOT NULL"),
			 pattern[0] + pattern[1] + pattern[2] + pattern[3] + pattern[4] +
				 pattern[5]);
	bed_free(bed);
}
END_TEST

/*
 * Proves: on a silent topic one event becomes visible after batch.max_age, not only when more come;
 * and with batch.adaptive the very first one of a lane at once, however long max_age is.
 */
START_TEST(max_age_on_a_silent_topic)
{
	struct bed *bed = memory_bed("age", "newer");
	bed_set(bed, "batch.max_age", _i ? "1h" : "300ms");
	bed_set(bed, "batch.adaptive", _i ? "on" : "off");
	struct worker *w = worker_start(bed, NULL);
	worker_ready(w);
	send_memory(bed, "k", 1, "alone");
	bed_flush(bed);
	BED_WAIT(bed, 10, bed_int(bed, "SELECT count(*) FROM memory_entries") == 1);
	bed_drain(bed, 10);
	worker_stop(w);
	model_check(bed);
	bed_free(bed);
}
END_TEST

/*
 * Proves: the events that end a backlog, too few for a full batch, wait for an idle lane's
 * transaction (batch.adaptive), not for max_age.
 */
START_TEST(end_of_a_backlog)
{
	struct bed *bed = memory_bed("end_of_backlog", "newer");
	bed_set(bed, "batch.max_rows", "100");
	bed_set(bed, "batch.max_age", "1h");
	for (int i = 0; i < 250; i++)
		send_memory(bed, "k", i, "one of a backlog");
	bed_flush(bed);
	struct worker *w = worker_start(bed, NULL);
	bed_drain(bed, 30);
	worker_stop(w);
	model_check(bed);
	bed_free(bed);
}
END_TEST

/* The first of its partitions. */
static bool is_paused_for_batches(struct worker *w)
{
	json_t *status = worker_status(w);
	json_t *partition = json_array_get(json_object_get(status, "partitions"), 0);
	const char *cause = json_string_value(json_object_get(partition, "paused"));
	bool is = cause && strcmp(cause, "batches") == 0;
	json_decref(status);
	return is;
}

/*
 * Proves: after a time in which nothing could be written, a backlog is read as fast as it is
 * written, although the partition is paused after every two batches: librdkafka would sleep for up
 * to a second each time, and take 40 s and more (io/nudge.c).
 */
START_TEST(backlog_after_trouble)
{
	struct bed *bed = memory_bed("trouble", "newer");
	bed_set(bed, "batch.max_rows", "50");
	bed_sql(bed, "BEGIN; LOCK TABLE memory_entries");
	load_fill(bed, "memory", 6000, (struct generator_options){0});
	struct worker *w = worker_start(bed, NULL);
	BED_WAIT(bed, 20, worker_http(w, "/livez", NULL) == 200);
	BED_WAIT(bed, 20, is_paused_for_batches(w));
	bed_sql(bed, "COMMIT");
	bed_drain(bed, 15);
	worker_stop(w);
	bed_free(bed);
}
END_TEST

/*
 * Proves: writer schemas with a field more, a field less and another order, within one batch, land
 * as schema resolution says.
 */
START_TEST(evolution_in_a_batch)
{
	struct bed *bed = memory_bed("evolution", "newer");
	json_t *original = json_deep_copy(bed->streams[0].schema);
	send_memory(bed, "k1", 1, "by the first schema");
	json_t *more = json_deep_copy(original);
	json_array_append_new(
		json_object_get(more, "fields"),
		json_pack("{s:s, s:s, s:s}", "name", "mood", "type", "string", "default", ""));
	bed_writer_schema(bed, "memory", more);
	json_t *event = memory("k2", 1, "by a schema with one field more");
	json_object_set_new(event, "mood", json_string("fine"));
	bed_event(bed, "memory", 0, event);
	json_decref(event);
	json_t *less = json_deep_copy(original), *fields = json_object_get(less, "fields");
	json_t *first = json_incref(json_array_get(fields, 0));
	json_array_remove(fields, json_array_size(fields) - 1);
	json_array_remove(fields, 0);
	json_array_append_new(fields, first);
	bed_writer_schema(bed, "memory", less);
	send_memory(bed, "k3", 1, "by a schema with one field less and another order");
	bed_writer_schema(bed, "memory", original);
	send_memory(bed, "k4", 1, "by the first schema again");
	bed_flush(bed);
	struct worker *w = worker_start(bed, NULL);
	bed_drain(bed, 30);
	worker_stop(w);
	model_check(bed);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memory_entries"), 4);
	json_decref(original);
	json_decref(more);
	json_decref(less);
	bed_free(bed);
}
END_TEST

/*
 * Proves: a writer schema that does not resolve halts the partition with both fields named; nothing
 * becomes a dead letter, and what came before is written.
 */
START_TEST(incompatible_schema_halts)
{
	struct bed *bed = memory_bed("incompatible", "newer");
	send_memory(bed, "k1", 1, "fine");
	json_t *wrong = json_deep_copy(bed->streams[0].schema), *field;
	size_t i;
	json_array_foreach (json_object_get(wrong, "fields"), i, field) {
		if (strcmp(json_string_value(json_object_get(field, "name")), "event_time") == 0)
			json_object_set_new(field, "type", json_string("string"));
	}
	bed_writer_schema(bed, "memory", wrong);
	json_t *event = memory("k2", 1, "not fine");
	json_object_set_new(event, "event_time", json_string("yesterday"));
	bed_event(bed, "memory", 0, event);
	bed_flush(bed);
	struct worker *w = worker_start(bed, NULL);
	worker_wait_log(w, "partition halted", 20);
	BED_WAIT(bed, 10, bed_int(bed, "SELECT count(*) FROM memory_entries") == 1);
	BED_WAIT(bed, 5, worker_metric(w, "memingest_halted_partitions", "memory") == 1);
	json_t *status = worker_status(w);
	char *text = json_dumps(status, 0);
	ck_assert_msg(strstr(text, "event_time") != NULL, "no field is named: %s", text);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memingest.dead_letters"), 0);
	worker_stop(w);
	free(text);
	json_decref(status);
	json_decref(event);
	json_decref(wrong);
	bed_free(bed);
}
END_TEST

/*
 * Proves: single-object and raw messages, as "produce" writes them, land as rows; tombstones among
 * them delete.
 */
START_TEST(other_wire_formats)
{
	static const char *const formats[] = {"single-object", "raw"};
	struct bed *bed = memory_bed("formats", "newer");
	bed_set(bed, "stream.memory.format", "%s", formats[_i]);
	const char *const plain[] = {"memory", "--count", "500", "--update-share",
				     "0",      "--seed",  "1",   NULL};
	const char *const gone[] = {"memory", "--count", "500", "--update-share",
				    "0",      "--seed",  "1",   "--tombstone-share",
				    "1",      NULL};
	ck_assert_int_eq(bed_command(bed, "produce", plain, NULL), 0);
	struct worker *w = worker_start(bed, NULL);
	bed_drain(bed, 30);
	ck_assert_int_eq(
		bed_int(bed,
			"SELECT count(*) FROM memory_entries WHERE vector_dims(embedding) = 384"),
		500);
	ck_assert_int_eq(bed_command(bed, "produce", gone, NULL), 0);
	bed_drain(bed, 30);
	worker_stop(w);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memingest.dead_letters"), 0);
	ck_assert_int_lt(bed_int(bed, "SELECT count(*) FROM memory_entries"), 500);
	bed_free(bed);
}
END_TEST

static void write_file(const struct bed *bed, const char *name, const char *text)
{
	char path[192];
	snprintf(path, sizeof(path), "%s/%s", bed->dir, name);
	FILE *out = fopen(path, "w");
	ck_assert_ptr_nonnull(out);
	fputs(text, out);
	ck_assert_int_eq(fclose(out), 0);
}

/* Proves: a key schema may be a bare type, for "produce" and the registry too. */
START_TEST(bare_key)
{
	struct bed *bed = bed_new("bare");
	char topic[80];
	int64_t low, high;
	snprintf(topic, sizeof(topic), "%s.bare", bed->name);
	broker_create_topic(topic, 1, NULL, 0);
	write_file(bed, "bare.avsc",
		   "{\"type\": \"record\", \"name\": \"Bare\", \"pg\": {\"table\": \"bare\", "
		   "\"key\": [\"id\"]}, "
		   "\"fields\": [{\"name\": \"id\", \"type\": \"long\"}]}");
	write_file(bed, "bare_key.avsc", "\"long\"");
	bed_set(bed, "stream.bare.topic", "%s", topic);
	bed_set(bed, "stream.bare.schema", "%s/bare.avsc", bed->dir);
	bed_set(bed, "stream.bare.key_schema", "%s/bare_key.avsc", bed->dir);
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	const char *const arguments[] = {"bare", "--count", "50", "--update-share", "0", NULL};
	ck_assert_int_eq(bed_command(bed, "produce", arguments, NULL), 0);
	broker_watermarks(topic, 0, &low, &high);
	ck_assert_int_eq(high, 50);
	struct worker *w = worker_start(bed, NULL);
	BED_WAIT(bed, 30, bed_int(bed, "SELECT count(*) FROM bare") == 50);
	worker_stop(w);
	bed_free(bed);
}
END_TEST

static void flow_tests(TCase *tc)
{
	tcase_add_loop_test(tc, conflicts, 0, 9);
	tcase_add_loop_test(tc, poison, 0, 8);
	tcase_add_loop_test(tc, max_age_on_a_silent_topic, 0, 2);
	tcase_add_test(tc, end_of_a_backlog);
	tcase_add_test(tc, backlog_after_trouble);
	tcase_add_loop_test(tc, other_wire_formats, 0, 2);
	tcase_add_test(tc, bare_key);
	tcase_add_test(tc, evolution_in_a_batch);
	tcase_add_test(tc, incompatible_schema_halts);
}
SYSTEM_SUITE("flow", 90, flow_tests)

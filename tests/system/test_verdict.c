/*
 * test_verdict.c - whose fault it is that PostgreSQL refuses: the event's, the table's, our own.
 *
 * test_judge.c proves that what lands is right; this file, that the right one is blamed, whatever
 * the SQLSTATE says.
 */
#include <stdio.h>
#include <string.h>

#include "bed.h"
#include "broker.h"
#include "system.h"

static int64_t consumed(struct bed *bed)
{
	return bed_int(bed, "SELECT coalesce(sum(next_offset), 0) FROM memingest.offsets");
}

static int64_t dead(struct bed *bed)
{
	return bed_int(bed, "SELECT count(*) FROM memingest.dead_letters");
}

/* The stream "facts", one field's annotation replaced if there is one. */
static struct bed *facts_bed(const char *name, const char *field, json_t *pg)
{
	char path[256];
	size_t i;
	json_t *f, *schema = json_load_file("tests/schemas/facts_event.avsc", 0, NULL);
	struct bed *bed = bed_new(name);
	json_array_foreach (json_object_get(schema, "fields"), i, f)
		if (field && strcmp(json_string_value(json_object_get(f, "name")), field) == 0)
			json_object_set(f, "pg", pg);
	snprintf(path, sizeof(path), "%s/facts.avsc", bed->dir);
	ck_assert_int_eq(json_dump_file(schema, path, 0), 0);
	json_decref(schema);
	json_decref(pg);
	bed_stream_files(bed, "facts", 1, path, NULL);
	bed_set(bed, "batch.max_age", "100ms");
	return bed;
}

static void send_fact(struct bed *bed, const char *id, int64_t time_us, const char *spot)
{
	json_t *e = json_pack("{s:s, s:I, s:s, s:s?, s:i}", "op", "UPSERT", "event_time",
			      (json_int_t)time_us, "id", id, "spot", spot, "place", 1);
	bed_event(bed, "facts", 0, e);
	json_decref(e);
}

/* n facts, each with a key of its own, of which that one has another spot. */
static void send_facts(struct bed *bed, int n, const char *spot, int bad, const char *bad_spot)
{
	char id[32];
	for (int i = 0; i < n; i++) {
		snprintf(id, sizeof(id), "id-%d", i);
		send_fact(bed, id, i, i == bad ? bad_spot : spot);
	}
	bed_flush(bed);
}

/* --- the event's fault --- */

static const struct {
	const char *type, *via; /* of the schema's field */
	const char *before;     /* SQL before migrate */
	const char *twist;      /* SQL on the table */
	const char *good, *bad, *reason;
	const char *detail; /* of the dead letter, or a part of it; NULL: any */
} values[] = {
	{"tsquery", "text", NULL, NULL, "a & b", "((", "database"},
	{"inet", "text", NULL, NULL, "10.0.0.1", "10.0.0.256", "database"},
	{"mood", "text", "CREATE TYPE mood AS ENUM ('calm', 'wild')", NULL, "calm", "sad",
	 "database"},
	{"jsonpath", "text", NULL, NULL, "$.a", "$.", "database"},
	{NULL, NULL, NULL,
	 "CREATE DOMAIN short AS text CHECK (VALUE <> 'bad');"
	 "ALTER TABLE facts ALTER spot TYPE short",
	 "good", "bad", "constraint"},
	{"json", "text", NULL, NULL, "{}", "{", "invalid_json", "type json"},
	{NULL, NULL, NULL,
	 "CREATE FUNCTION parsed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM "
	 "NEW.spot::json; RETURN NEW; END $$;"
	 "CREATE TRIGGER parsed BEFORE INSERT ON facts FOR EACH ROW EXECUTE FUNCTION parsed()",
	 "{}", "{", "database", "type json"},
	{NULL, NULL, NULL, "ALTER TABLE facts ADD CONSTRAINT calm CHECK (spot <> 'bad')", "good",
	 "bad", "constraint", "constraint calm"},
	{NULL, NULL, NULL, "ALTER TABLE facts ALTER spot SET NOT NULL", "good", NULL, "constraint",
	 ", column spot"},
	{NULL, NULL, NULL,
	 "CREATE FUNCTION own() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.spot = 'bad' "
	 "THEN RAISE EXCEPTION 'no more' USING ERRCODE = '42P01'; END IF; RETURN NEW; END $$;"
	 "CREATE TRIGGER own BEFORE INSERT ON facts FOR EACH ROW EXECUTE FUNCTION own()",
	 "good", "bad", "database"},
};

/*
 * Proves: one value that only PostgreSQL can refuse, with whatever SQLSTATE its type, domain or
 * trigger has for that (a syntax error, a full disk), is one dead letter, and all others land; in a
 * small batch as in a large one.
 */
START_TEST(one_value)
{
	static const int sizes[] = {3, 700};
	const size_t v = (size_t)_i / 2;
	const int n = sizes[_i % 2];
	json_t *pg = values[v].type
			     ? json_pack("{s:s, s:s}", "type", values[v].type, "via", values[v].via)
			     : json_object();
	struct bed *bed = facts_bed("value", "spot", pg);
	if (values[v].before)
		bed_sql(bed, "%s", values[v].before);
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	if (values[v].twist)
		bed_sql(bed, "%s", values[v].twist);
	send_facts(bed, n, values[v].good, 1, values[v].bad);
	struct worker *w = worker_start(bed, NULL);
	bed_drain(bed, 30);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM facts"), n - 1);
	ck_assert_int_eq(dead(bed), 1);
	ck_assert_int_eq(bed_int(bed,
				 "SELECT count(*) FROM memingest.dead_letters WHERE \"offset\" = 1 "
				 "AND reason = '%s' AND strpos(detail, '%s') > 0",
				 values[v].reason, values[v].detail ? values[v].detail : ""),
			 1);
	worker_stop(w);
	bed_free(bed);
}
END_TEST

/* --- the table's trouble --- */

static const struct {
	const char *what, *broken, *said, *mended;
} troubles[] = {
	{"a sequence that is used up",
	 "CREATE SEQUENCE numbers MAXVALUE 2; GRANT ALL ON SEQUENCE numbers TO memingest;"
	 "ALTER TABLE facts ADD n bigint DEFAULT nextval('numbers')",
	 "numbers", "ALTER SEQUENCE numbers MAXVALUE 1000000"},
	{"a column that is gone", "ALTER TABLE facts RENAME note TO other",
	 "column note is not in the table", "ALTER TABLE facts RENAME other TO note"},
	{"a column that nobody fills",
	 "ALTER TABLE facts ADD must int NOT NULL DEFAULT 1; ALTER TABLE facts ALTER must DROP "
	 "DEFAULT",
	 "no field of the stream fills it", "ALTER TABLE facts DROP must"},
	{"a generated column",
	 "ALTER TABLE facts DROP note; ALTER TABLE facts ADD note text GENERATED ALWAYS AS ('x') "
	 "STORED",
	 "note", "ALTER TABLE facts DROP note; ALTER TABLE facts ADD note text"},
	{"a missing right",
	 "REVOKE INSERT ON facts FROM memingest; ALTER TABLE facts OWNER TO "
	 "postgres; GRANT SELECT, UPDATE, DELETE ON facts TO memingest",
	 "permission denied for table facts", "GRANT INSERT ON facts TO memingest"},
	{"a trigger that refuses all",
	 "CREATE FUNCTION closed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION "
	 "'closed' USING ERRCODE = 'Q0001'; END $$;"
	 "CREATE TRIGGER closed BEFORE INSERT ON facts FOR EACH ROW EXECUTE FUNCTION closed()",
	 "closed", "DROP TRIGGER closed ON facts"},
	{"a type that reads nothing any more",
	 "ALTER TABLE facts ALTER spot TYPE int4range USING NULL", "spot",
	 "ALTER TABLE facts ALTER spot TYPE text"},
};

/*
 * Proves: what refuses every row is no event's fault: the stream halts, the message names table and
 * topic and the thing itself, nothing becomes a dead letter, and once it is mended all of them
 * land; in an empty table, and in one that holds rows. The first two wait for the worker's own next
 * look (10 s); the others get there by a restart.
 */
START_TEST(table_trouble)
{
	struct bed *bed = facts_bed("trouble", NULL, NULL);
	const size_t t = (size_t)_i / 2;
	char topic[128];
	bed_set(bed, "dlq.max_ratio", "1");
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	if (_i % 2)
		bed_sql(bed, "INSERT INTO facts (id, event_time, place) VALUES ('old', now(), 1)");
	bed_sql(bed, "%s", troubles[t].broken);
	send_facts(bed, 100, "x", -1, NULL);
	struct worker *w = worker_start(bed, NULL);
	worker_wait_log(w, "batch halted, an operator must act", 20);
	ck_assert_msg(worker_logged(w, troubles[t].said), "%s", troubles[t].what);
	snprintf(topic, sizeof(topic), "topic=%s partition=0 from_offset=0", bed->streams[0].topic);
	ck_assert(worker_logged(w, topic));
	ck_assert_int_eq(consumed(bed), 0);
	bed_sql(bed, "%s", troubles[t].mended);
	if (t > 0) {
		worker_stop(w);
		w = worker_start(bed, NULL);
	}
	bed_drain(bed, 30);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM facts"), 100 + _i % 2);
	ck_assert_int_eq(dead(bed), 0);
	worker_stop(w);
	bed_free(bed);
}
END_TEST

/* --- our own bookkeeping --- */

/*
 * Proves: a dead letter whose header or time the database cannot hold lands all the same, what
 * cannot be stored escaped or left out; nothing waits for it.
 */
START_TEST(letters_that_do_not_fit)
{
	struct bed *bed = bed_new_latin1("letters");
	struct broker_header header = {"note", {(const uint8_t *)"\xf0\x9f\x98\x80 smile", 10}};
	struct slice junk = {(const uint8_t *)"junk", 4};
	bed_stream_files(bed, "facts", 1, "tests/schemas/facts_event.avsc", NULL);
	bed_set(bed, "dlq.max_ratio", "1");
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	broker_produce_headers(bed->streams[0].topic, 0, junk, junk, &header, 1);
	broker_produce(bed->streams[0].topic, 0, junk, junk, INT64_C(1750000000000000000));
	broker_produce(bed->streams[0].topic, 0, junk, junk, INT64_MAX);
	broker_flush();
	send_fact(bed, "caf\xc3\xa9", 1, "x");
	send_fact(bed, "smile", 2, "\xf0\x9f\x98\x80");
	struct worker *w = worker_start(bed, NULL);
	bed_drain(bed, 30);
	ck_assert_int_eq(dead(bed), 4);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM facts"), 1);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memingest.dead_letters WHERE reason = "
				      "'invalid_text' AND \"offset\" = 4 AND detail LIKE "
				      "'%%, column spot%%'"),
			 1);
	worker_stop(w);
	bed_free(bed);
}
END_TEST

/* --- rows that are not what they were --- */

/*
 * Proves: keys that differ in bytes and are one key for PostgreSQL (a trigger that changes them, a
 * coarser type) end nothing: the row is as if the events had come one by one.
 */
START_TEST(keys_that_are_one)
{
	static const char *const twists[] = {
		"CREATE FUNCTION fold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.id := "
		"lower(NEW.id); RETURN NEW; END $$;"
		"CREATE TRIGGER fold BEFORE INSERT ON facts FOR EACH ROW EXECUTE FUNCTION fold()",
		"ALTER TABLE facts ALTER id TYPE char(8)",
	};
	static const char *const keys[][2] = {{"key", "KEY"}, {"key", "key "}};
	struct bed *bed = facts_bed("onekey", NULL, NULL);
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	bed_sql(bed, "%s", twists[_i / 2]);
	const int n = _i % 2 ? 300 : 4;
	for (int i = 0; i < n; i++)
		send_fact(bed, keys[_i / 2][i % 2], i, i == n - 1 ? "last" : "x");
	struct worker *w = worker_start(bed, NULL);
	bed_drain(bed, 30);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM facts"), 1);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM facts WHERE spot = 'last'"), 1);
	ck_assert_int_eq(dead(bed), 0);
	worker_stop(w);
	bed_free(bed);
}
END_TEST

/*
 * Proves: a trigger that drops rows is counted right on every way: what it dropped is superseded,
 * not merged.
 */
START_TEST(dropped_by_a_trigger)
{
	static const int sizes[] = {5, 60, 900};
	struct bed *bed = facts_bed("dropped", NULL, NULL);
	char id[32];
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	bed_sql(bed,
		"CREATE FUNCTION drop_odd() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF "
		"right(NEW.id, 1) IN ('1', '3', '5', '7', '9') THEN RETURN NULL; END IF; RETURN "
		"NEW; END $$;"
		"CREATE TRIGGER drop_odd BEFORE INSERT ON facts FOR EACH ROW EXECUTE FUNCTION "
		"drop_odd()");
	for (int i = 0; i < sizes[_i]; i++) {
		snprintf(id, sizeof(id), "%d", i);
		send_fact(bed, id, i, "x");
	}
	struct worker *w = worker_start(bed, NULL);
	bed_drain(bed, 30);
	int64_t rows = bed_int(bed, "SELECT count(*) FROM facts");
	ck_assert_int_eq(rows, (sizes[_i] + 1) / 2);
	ck_assert_int_eq(bed_int(bed, "SELECT sum(merged) FROM memingest.batches"), rows);
	ck_assert_int_eq(bed_int(bed, "SELECT sum(superseded) FROM memingest.batches"),
			 sizes[_i] - rows);
	worker_stop(w);
	bed_free(bed);
}
END_TEST

/*
 * Proves: a row that is deleted and comes again within one batch is a new row, also in the columns
 * that the stream does not fill.
 */
START_TEST(comes_again)
{
	struct bed *bed = facts_bed("again", NULL, NULL);
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	bed_sql(bed, "INSERT INTO facts (id, event_time, spot, created_at) VALUES ('a', "
		     "'2000-01-01', 'old', '2000-01-01')");
	for (int i = 0; i < 3; i++) {
		json_t *e = json_pack("{s:s, s:I, s:s, s:i}", "op", i == 1 ? "DELETE" : "UPSERT",
				      "event_time", (json_int_t)1750000000000000 + i, "id", "a",
				      "place", i);
		bed_event(bed, "facts", 0, e);
		json_decref(e);
	}
	struct worker *w = worker_start(bed, NULL);
	bed_drain(bed, 30);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memingest.batches"), 1);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM facts WHERE place = 2 AND created_at > "
				      "'2020-01-01' AND spot IS NULL"),
			 1);
	worker_stop(w);
	bed_free(bed);
}
END_TEST

static void verdict_tests(TCase *tc)
{
	tcase_add_loop_test(tc, one_value, 0, 2 * (int)ARRAY_LEN(values));
	tcase_add_loop_test(tc, table_trouble, 0, 2 * (int)ARRAY_LEN(troubles));
	tcase_add_test(tc, letters_that_do_not_fit);
	tcase_add_loop_test(tc, keys_that_are_one, 0, 4);
	tcase_add_loop_test(tc, dropped_by_a_trigger, 0, 3);
	tcase_add_test(tc, comes_again);
}
SYSTEM_SUITE("verdict", 60, verdict_tests)

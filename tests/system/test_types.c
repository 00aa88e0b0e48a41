/*
 * test_types.c - what a topic may hold beside the stream's own record, and the ways in which a
 * message says which schema wrote it: several types of record, branches and symbols that the stream
 * lacks, ids in headers.
 *
 * What the tables must hold, and that every event is counted once, the model says (model.h).
 */
#include <stdio.h>
#include <string.h>

#include "bed.h"
#include "broker.h"
#include "event.h"
#include "ledger.h"
#include "model.h"
#include "schema/schema.h"
#include "system.h"

#define RETRY_S 25 /* a halted partition is looked at every 10 s */
#define T0 INT64_C(1750000000000000)

static int64_t dead_letters(struct bed *bed, const char *where)
{
	return bed_int(bed, "SELECT count(*) FROM memingest.dead_letters WHERE %s", where);
}

static json_t *other_record(void)
{
	return json_pack("{s:s, s:s, s:s, s:[{s:s, s:s}]}", "type", "record", "name", "Audit",
			 "namespace", "tests.ledger", "fields", "name", "who", "type", "string");
}

static void send_other(struct bed *bed, int n)
{
	json_t *event = json_pack("{s:s}", "who", "somebody");
	struct buf value = {0};
	ck_assert(
		event_confluent(bed->streams[0].schema, bed->streams[0].schema_id, event, &value));
	for (int i = 0; i < n; i++)
		bed_raw(bed, "ledger", 0, (struct slice){0}, (struct slice){value.data, value.len});
	buf_free(&value);
	json_decref(event);
}

static void send_ledger(struct bed *bed, int n)
{
	static int64_t time_us = T0;
	char account[16];
	for (int i = 0; i < n; i++) {
		snprintf(account, sizeof(account), "a%d", i % 7);
		ledger_send(bed, 0, account, ++time_us, i);
	}
}

/* --- records --- */

/*
 * The stream's events among those of another record: in a union with it, then in a schema of its
 * own, then only the other's, which fill batches alone.
 */
static void send_mixture(struct bed *bed)
{
	json_t *own = json_incref(bed->streams[0].schema), *other = other_record();
	json_t *both = json_pack("[o, O]", other_record(), own);
	bed_writer_schema(bed, "ledger", both);
	for (int i = 0; i < 20; i++) {
		send_ledger(bed, i % 4);
		send_other(bed, i % 3);
	}
	bed_writer_schema(bed, "ledger", other);
	send_other(bed, 10);
	bed_writer_schema(bed, "ledger", own);
	send_ledger(bed, 20);
	bed_writer_schema(bed, "ledger", other);
	send_other(bed, 250);
	bed_writer_schema(bed, "ledger", own);
	json_decref(own);
	json_decref(both);
	json_decref(other);
}

/*
 * Proves: the branch or the schema that wrote an event decides; those of another record become dead
 * letters (0) or are skipped (1), the stream's land, and the books count each once.
 */
START_TEST(several_records)
{
	enum other_types other_types = (enum other_types)_i;
	struct bed *bed = ledger_bed("records", 1);
	bed->streams[0].other_types = other_types;
	bed_set(bed, "dlq.max_ratio", "1");
	send_mixture(bed);
	struct worker *w = worker_start(bed, NULL);
	bed_drain(bed, 30);
	model_check(bed);
	bool skips = other_types == OTHER_SKIP;
	ck_assert_int_eq(dead_letters(bed, "reason = 'schema'"), skips ? 0 : 279);
	ck_assert_int_eq(bed_int(bed, "SELECT sum(skipped)::bigint FROM memingest.batches"),
			 skips ? 279 : 0);
	BED_WAIT(bed, 5,
		 worker_metric(w, "memingest_records_skipped_total", NULL) == (skips ? 279 : 0));
	ck_assert(worker_logged(w, "a writer may write what the stream cannot take"));
	worker_stop(w);
	ck_assert_int_gt((int64_t)model_rows("ledger"), 5);
	bed_free(bed);
}
END_TEST

/*
 * Proves: with other_types = halt the partition stops at the first event of another record, and the
 * text says what to set; with that set, it goes on from there.
 */
START_TEST(another_record_halts)
{
	struct bed *bed = ledger_bed("halts", 1);
	json_t *own = json_incref(bed->streams[0].schema), *other = other_record();
	bed->streams[0].other_types = OTHER_HALT;
	send_ledger(bed, 5);
	bed_writer_schema(bed, "ledger", other);
	send_other(bed, 3);
	bed_writer_schema(bed, "ledger", own);
	send_ledger(bed, 5);
	bed_flush(bed);
	struct worker *w = worker_start(bed, NULL);
	worker_wait_log(w, "partition halted, an operator must act", 20);
	ck_assert(worker_logged(w, "stream.ledger.other_types is halt; set it to skip"));
	BED_WAIT(bed, 10, ledger_durable(bed) == 5);
	worker_stop(w);
	ck_assert_int_eq(dead_letters(bed, "true"), 0);
	bed->streams[0].other_types = OTHER_SKIP;
	w = worker_start(bed, NULL);
	bed_drain(bed, 20);
	worker_stop(w);
	model_check(bed);
	json_decref(own);
	json_decref(other);
	bed_free(bed);
}
END_TEST

/*
 * Proves: the stream's own record in a union, of which it does not resolve, halts when an event has
 * it, and not before: what the union holds besides is taken.
 */
START_TEST(misfit_in_a_union)
{
	struct bed *bed = ledger_bed("misfit", 1);
	json_t *own = json_incref(bed->streams[0].schema);
	json_t *wrong = json_pack("{s:s, s:s, s:s, s:[{s:s, s:s}]}", "type", "record", "name",
				  "LedgerEvent", "namespace", "tests.ledger", "fields", "name",
				  "account", "type", "string");
	json_t *both = json_pack("[o, O]", other_record(), wrong);
	bed->streams[0].other_types = OTHER_SKIP;
	bed_writer_schema(bed, "ledger", both);
	send_other(bed, 4);
	json_t *event = json_pack("{s:s}", "account", "x");
	bed_event(bed, "ledger", 0, event);
	bed_flush(bed);
	struct worker *w = worker_start(bed, NULL);
	worker_wait_log(w, "partition halted, an operator must act", 20);
	ck_assert(worker_logged(w, "the writer has no field 'event_time'"));
	BED_WAIT(bed, 10, ledger_durable(bed) == 4);
	worker_stop(w);
	ck_assert_int_eq(dead_letters(bed, "true"), 0);
	json_decref(event);
	json_decref(both);
	json_decref(wrong);
	json_decref(own);
	bed_free(bed);
}
END_TEST

/* One of the stream's events that its table refuses. */
static void send_refused(struct bed *bed, const char *account)
{
	json_t *event = json_pack("{s:I, s:s, s:s}", "event_time", (json_int_t)T0, "account",
				  account, "last", "refused");
	bed_event(bed, "ledger", 0, event);
	json_decref(event);
}

/*
 * Proves: events that PostgreSQL refuses are found, and their neighbours land, in batches that hold
 * skipped events before, between and behind them, and nothing but them and skipped ones.
 */
START_TEST(refused_among_skipped)
{
	struct bed *bed = ledger_bed("among", 1);
	json_t *both = json_pack("[o, O]", other_record(), bed->streams[0].schema);
	static const char order[] = "ooloorlorooloolrrlooolo";
	bed->streams[0].other_types = OTHER_SKIP;
	bed_set(bed, "batch.max_rows", "%d", _i);
	bed_set(bed, "dlq.max_ratio", "1");
	bed_sql(bed, "ALTER TABLE ledger ADD CHECK (last <> 'refused')");
	bed_writer_schema(bed, "ledger", both);
	for (int i = 0; order[i]; i++) {
		char account[8];
		snprintf(account, sizeof(account), "r%d", i);
		if (order[i] == 'o')
			send_other(bed, 1);
		else if (order[i] == 'l')
			send_ledger(bed, 1);
		else
			send_refused(bed, account);
		if (order[i] == 'r')
			model_expect_dead(bed->streams[0].topic, 0, i, "constraint");
	}
	bed_flush(bed);
	struct worker *w = worker_start(bed, NULL);
	bed_drain(bed, 30);
	worker_stop(w);
	model_check(bed);
	json_decref(both);
	bed_free(bed);
}
END_TEST

/*
 * Proves: where a lone event is refused in a way that may be the table's fault, the first event
 * with a row of the next batch is the witness, behind those that are skipped.
 */
START_TEST(witness_behind_skipped)
{
	struct bed *bed = ledger_bed("witness", 1);
	json_t *both = json_pack("[o, O]", other_record(), bed->streams[0].schema);
	bed->streams[0].other_types = OTHER_SKIP;
	bed_set(bed, "batch.max_rows", "4");
	bed_set(bed, "dlq.max_ratio", "1");
	bed_sql(bed,
		"CREATE FUNCTION odd() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN "
		"IF NEW.last = 'refused' THEN RAISE 'odd' USING ERRCODE = '42601'; END IF; "
		"RETURN NEW; END$$; "
		"CREATE TRIGGER odd BEFORE INSERT ON ledger FOR EACH ROW EXECUTE FUNCTION odd()");
	bed_writer_schema(bed, "ledger", both);
	send_refused(bed, "r");
	send_other(bed, 6);
	send_ledger(bed, 1);
	model_expect_dead(bed->streams[0].topic, 0, 0, "database");
	bed_flush(bed);
	struct worker *w = worker_start(bed, NULL);
	bed_drain(bed, 30);
	worker_stop(w);
	model_check(bed);
	json_decref(both);
	bed_free(bed);
}
END_TEST

/* --- branches and symbols --- */

/* The writer's schema with a type of one field replaced. */
static void write_field(struct bed *bed, const char *name, json_t *type)
{
	size_t i;
	json_t *field, *schema = json_deep_copy(bed->streams[0].schema);
	json_array_foreach (json_object_get(schema, "fields"), i, field) {
		if (strcmp(json_string_value(json_object_get(field, "name")), name) == 0)
			json_object_set_new(field, "type", json_incref(type));
	}
	bed_writer_schema(bed, "ledger", schema);
	json_decref(schema);
	json_decref(type);
}

static void send_with(struct bed *bed, const char *field, json_t *value)
{
	static int64_t time_us = T0;
	json_t *event =
		json_pack("{s:I, s:s}", "event_time", (json_int_t)++time_us, "account", "a");
	json_object_set_new(event, field, value);
	bed_event(bed, "ledger", 0, event);
	json_decref(event);
}

/*
 * Proves: a branch and a symbol that the stream lacks stop nobody; events that have them become
 * dead letters, and the others land.
 */
START_TEST(branches_and_symbols)
{
	struct bed *bed = ledger_bed("branches", 1);
	write_field(bed, "last", json_pack("[s, s, s]", "null", "string", "int"));
	write_field(bed, "op",
		    json_pack("{s:s, s:s, s:[s, s, s]}", "type", "enum", "name", "Op", "symbols",
			      "UPSERT", "DELETE", "TRUNCATE"));
	/* The stream's enum has a default, which would take the symbol; so has the model. */
	send_with(bed, "last", json_string("text"));
	send_with(bed, "last", json_null());
	send_with(bed, "last", json_integer(5));
	send_with(bed, "op", json_string("TRUNCATE"));
	send_with(bed, "note", json_string("last"));
	model_expect_dead(bed->streams[0].topic, 0, 2, "schema");
	struct worker *w = worker_start(bed, NULL);
	bed_drain(bed, 20);
	worker_stop(w);
	model_check(bed);
	ck_assert_int_eq(dead_letters(bed, "reason = 'schema' AND detail LIKE '%%has int%%'"), 1);
	bed_free(bed);
}
END_TEST

/*
 * Proves: a writer's invalid decimal is not read in the stream's scale: the partition halts, with
 * both in the text, and nothing is lost.
 */
START_TEST(invalid_logical_type)
{
	struct bed *bed = ledger_bed("claims", 1);
	send_ledger(bed, 3);
	write_field(bed, "event_time",
		    json_pack("{s:s, s:s}", "type", "long", "logicalType", "timestamp-seconds"));
	send_ledger(bed, 3);
	bed_flush(bed);
	struct worker *w = worker_start(bed, NULL);
	worker_wait_log(w, "partition halted, an operator must act", 20);
	ck_assert(worker_logged(w, "long (timestamp-seconds, which is unknown)"));
	ck_assert(worker_logged(w, "long (timestamp-micros)"));
	BED_WAIT(bed, 10, ledger_durable(bed) == 3);
	worker_stop(w);
	ck_assert_int_eq(dead_letters(bed, "true"), 0);
	bed_free(bed);
}
END_TEST

/* --- ids in headers --- */

struct identified {
	uint8_t bytes[17];
};

/* 01 and the GUID that the registry has for a schema. */
static struct identified guid_of(uint32_t id)
{
	char path[64];
	struct buf body = {0};
	struct identified header = {.bytes = {1}};
	snprintf(path, sizeof(path), "/schemas/ids/%u", id);
	ck_assert_uint_eq(http(stack.registry_port, path, NULL, &body), 200);
	json_t *answer = json_loadb((const char *)body.data, body.len, 0, NULL);
	const char *text = json_string_value(json_object_get(answer, "guid"));
	ck_assert_ptr_nonnull(text);
	for (size_t i = 1; i < 17; i++, text += 2) {
		unsigned byte;
		text += *text == '-';
		ck_assert_int_eq(sscanf(text, "%2x", &byte), 1);
		header.bytes[i] = (uint8_t)byte;
	}
	json_decref(answer);
	buf_free(&body);
	return header;
}

static struct slice as_slice(const struct identified *id)
{
	return (struct slice){id->bytes, sizeof(id->bytes)};
}

/* Key and value bare, what wrote them in headers; without value it is a tombstone. */
static void send_headed(struct bed *bed, const char *account, bool tombstone, int64_t time_us)
{
	const struct bed_stream *s = &bed->streams[0];
	struct identified value_id = guid_of(s->schema_id), key_id = guid_of(s->key_id);
	const struct broker_header headers[] = {{"trace", {(const uint8_t *)"x", 1}},
						{"__key_schema_id", as_slice(&key_id)},
						{"__value_schema_id", as_slice(&value_id)}};
	json_t *event = json_pack("{s:I, s:s, s:i, s:s}", "event_time", (json_int_t)time_us,
				  "account", account, "total", 1, "last", "by header");
	struct buf key = {0}, value = {0};
	ck_assert(event_encode(s->key_schema, event, &key));
	ck_assert(event_encode(s->schema, event, &value));
	broker_produce_headers(s->topic, 0, (struct slice){key.data, key.len},
			       tombstone ? (struct slice){0}
					 : (struct slice){value.data, value.len},
			       headers, tombstone ? 2 : 3);
	buf_free(&key);
	buf_free(&value);
	json_decref(event);
}

/*
 * Proves: events and tombstones whose schemas stand in headers are read by them, mixed with others
 * whose envelope has an id; one whose GUID nobody knows, and one whose header is broken, are dead
 * letters that name the header; and the registry is asked once for each, not for each event.
 */
START_TEST(guids_in_headers)
{
	static const uint8_t nobody[17] = {1, 2, 3}, broken[3] = {1, 2, 3};
	struct bed *bed = ledger_bed("guids", 1);
	const char *topic = bed->streams[0].topic;
	send_ledger(bed, 5);
	for (int i = 0; i < 20; i++)
		send_headed(bed, i % 2 ? "odd" : "even", i == 18, T0 + i);
	send_headed(bed, "last", false, T0);
	for (int i = 0; i < 3; i++) {
		struct broker_header header = {"__value_schema_id",
					       {i < 2 ? nobody : broken, i < 2 ? 17 : 3}};
		broker_produce_headers(topic, 0, (struct slice){0},
				       (struct slice){(const uint8_t *)"\0\0\0\0\1", 5}, &header,
				       1);
	}
	send_ledger(bed, 5);
	bed_set(bed, "dlq.max_ratio", "1");
	bed_set(bed, "registry.unknown_wait", "0");
	struct worker *w = worker_start(bed, NULL);
	bed_drain(bed, 20);
	ck_assert_double_le(worker_metric(w, "memingest_schema_requests_total", NULL), 6);
	worker_stop(w);
	model_check(bed);
	ck_assert_int_eq(dead_letters(bed, "reason = 'schema' AND detail LIKE "
					   "'%%__value_schema_id%%'"),
			 2);
	ck_assert_int_eq(dead_letters(bed, "reason = 'frame' AND detail LIKE "
					   "'%%__value_schema_id%%'"),
			 1);
	bed_free(bed);
}
END_TEST

/*
 * Proves: an id of Apicurio's own, in the envelope (0) or in a header (1), halts the partition with
 * what to set; nothing is guessed, and with registry.apicurio_ids set the events land.
 */
START_TEST(apicurio_ids)
{
	struct bed *bed = ledger_bed("apicurio", 1);
	const struct bed_stream *s = &bed->streams[0];
	uint8_t id[8] = {[4] = (uint8_t)(s->schema_id >> 24),
			 (uint8_t)(s->schema_id >> 16),
			 (uint8_t)(s->schema_id >> 8),
			 (uint8_t)s->schema_id};
	struct broker_header header = {"apicurio.value.contentId", {id, sizeof(id)}};
	struct buf value = {0};
	json_t *event = json_pack("{s:I, s:s, s:i}", "event_time", (json_int_t)T0, "account", "a",
				  "total", 12);
	if (_i == 0) {
		buf_u8(&value, 0);
		buf_put(&value, id, sizeof(id));
	}
	ck_assert(event_encode(s->schema, event, &value));
	broker_produce_headers(s->topic, 0, (struct slice){0},
			       (struct slice){value.data, value.len}, &header, (size_t)_i);
	bed_flush(bed);
	struct worker *w = worker_start(bed, NULL);
	worker_wait_log(w, "partition halted, an operator must act", 20);
	ck_assert(worker_logged(w, "registry.apicurio_ids"));
	ck_assert(worker_logged(w, _i == 0 ? "8-byte id" : "header apicurio.value."));
	worker_stop(w);
	ck_assert_int_eq(dead_letters(bed, "true"), 0);
	bed_set(bed, "registry.apicurio_ids", "content");
	w = worker_start(bed, NULL);
	bed_drain(bed, RETRY_S);
	worker_stop(w);
	ck_assert_int_eq(bed_int(bed, "SELECT sum(total)::bigint FROM ledger WHERE account = 'a'"),
			 12);
	json_decref(event);
	buf_free(&value);
	bed_free(bed);
}
END_TEST

/* --- far times --- */

static void send_note(struct bed *bed, const char *id, int64_t ms, const char *text)
{
	json_t *event = json_pack("{s:s, s:I, s:s}", "id", id, "at", (json_int_t)ms, "text", text);
	bed_event(bed, "note", 0, event);
	json_decref(event);
}

/*
 * Proves: versions to PostgreSQL's last moment (the year 294276, beyond what fits in microseconds
 * since 1970) are compared right, in a batch and with the table; one behind it is a dead letter
 * that says so.
 */
START_TEST(far_versions)
{
	static const char schema[] =
		"{\"type\":\"record\",\"name\":\"Note\",\"pg\":{\"table\":\"notes\",\"key\":"
		"[\"id\"],\"version\":\"at\"},\"fields\":[{\"name\":\"id\",\"type\":"
		"\"string\"},{\"name\":\"at\",\"type\":{\"type\":\"long\",\"logicalType\":"
		"\"timestamp-millis\"}},{\"name\":\"text\",\"type\":\"string\"}]}";
	const int64_t last = 9224318015999999, before = 9223372036854775;
	char path[192];
	struct bed *bed = bed_new("far");
	snprintf(path, sizeof(path), "%s/note.avsc", bed->dir);
	FILE *f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fputs(schema, f);
	ck_assert_int_eq(fclose(f), 0);
	bed_stream_files(bed, "note", 1, path, NULL);
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	send_note(bed, "a", last, "newest");
	send_note(bed, "a", before, "older");
	send_note(bed, "b", before, "older");
	send_note(bed, "b", before + 1, "newest");
	send_note(bed, "c", last + 1, "never");
	struct worker *w = worker_start(bed, NULL);
	bed_drain(bed, 20);
	send_note(bed, "a", last - 1, "between");
	send_note(bed, "b", last, "newest");
	bed_drain(bed, 20);
	worker_stop(w);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM notes WHERE text = 'newest'"), 2);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM notes"), 2);
	ck_assert_int_eq(dead_letters(bed, "reason = 'out_of_range' AND \"offset\" = 4 AND detail "
					   "LIKE '%out of timestamp''s range%'"),
			 1);
	bed_free(bed);
}
END_TEST

/* --- what check says --- */

/*
 * Proves: "check" warns of logical types that Avro ignores in the stream's own schema, and of no
 * others; for single objects it shows both fingerprints of each schema.
 */
START_TEST(check_says)
{
	static const char schema[] = "{\"type\":\"record\",\"name\":\"Note\",\"pg\":{\"table\":"
				     "\"notes\",\"key\":[\"id\"]},"
				     "\"fields\":[{\"name\":\"id\",\"type\":\"string\"},{\"name\":"
				     "\"at\",\"type\":\"long\","
				     "\"logicalType\":\"timestamp-millis\"},{\"name\":\"good\","
				     "\"type\":{\"type\":\"long\","
				     "\"logicalType\":\"timestamp-millis\"}}]}";
	char path[192];
	struct err err = {0};
	struct buf out = {0};
	struct bed *bed = bed_new("says");
	snprintf(path, sizeof(path), "%s/note.avsc", bed->dir);
	FILE *f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fputs(schema, f);
	ck_assert_int_eq(fclose(f), 0);
	bed_stream_files(bed, "note", 1, path, NULL);
	bed_set(bed, "stream.note.format", "single-object");
	ck_assert_int_eq(bed_command(bed, "check", NULL, &out), 0);
	const char *said = buf_cstr(&out);
	ck_assert_msg(strstr(said, "field 'at'") && strstr(said, "stands beside the type") &&
			      !strstr(said, "field 'good'"),
		      "%s", said);
	struct schema *s = schema_parse(schema, sizeof(schema) - 1, &err);
	char fingerprint[64];
	snprintf(fingerprint, sizeof(fingerprint), "fingerprint %016llx;",
		 (unsigned long long)schema_fingerprint(s));
	ck_assert_msg(strstr(said, fingerprint), "%s lacks %s", said, fingerprint);
	snprintf(fingerprint, sizeof(fingerprint), "has it, %016llx",
		 (unsigned long long)schema_fingerprint_logical(s));
	ck_assert_msg(strstr(said, fingerprint), "%s lacks %s", said, fingerprint);
	schema_free(s);
	buf_free(&out);
	bed_free(bed);
}
END_TEST

/* --- the books of an older version --- */

/*
 * Proves: "check" names the column that an older version's table lacks, and "migrate" adds it; the
 * batches of before count nothing as skipped.
 */
START_TEST(books_are_extended)
{
	static const char *const online[] = {"--online", NULL};
	struct bed *bed = ledger_bed("books", 1);
	struct worker *w = worker_start(bed, NULL);
	struct buf out = {0};
	send_ledger(bed, 10);
	bed_drain(bed, 20);
	worker_stop(w);
	bed_sql(bed, "ALTER TABLE memingest.batches DROP COLUMN skipped; ALTER TABLE "
		     "memingest.offsets DROP COLUMN halted, DROP COLUMN halted_at");
	ck_assert_int_eq(bed_command(bed, "check", online, &out), 78);
	ck_assert_msg(strstr(buf_cstr(&out), "memingest.batches lacks column skipped") &&
			      strstr(buf_cstr(&out), "memingest.offsets lacks column halted"),
		      "%s", buf_cstr(&out));
	out.len = 0;
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, &out), 0);
	ck_assert_msg(strstr(buf_cstr(&out), "column skipped of memingest.batches"), "%s",
		      buf_cstr(&out));
	ck_assert_int_eq(bed_command(bed, "check", online, NULL), 0);
	w = worker_start(bed, NULL);
	send_ledger(bed, 10);
	bed_drain(bed, 20);
	worker_stop(w);
	model_check(bed);
	buf_free(&out);
	bed_free(bed);
}
END_TEST

static void types_tests(TCase *tc)
{
	tcase_add_loop_test(tc, several_records, OTHER_DEAD_LETTER, OTHER_SKIP + 1);
	tcase_add_test(tc, another_record_halts);
	tcase_add_test(tc, misfit_in_a_union);
	tcase_add_loop_test(tc, refused_among_skipped, 3, 6);
	tcase_add_test(tc, witness_behind_skipped);
	tcase_add_test(tc, branches_and_symbols);
	tcase_add_test(tc, invalid_logical_type);
	tcase_add_test(tc, guids_in_headers);
	tcase_add_loop_test(tc, apicurio_ids, 0, 2);
	tcase_add_test(tc, far_versions);
	tcase_add_test(tc, check_says);
	tcase_add_test(tc, books_are_extended);
}
SYSTEM_SUITE("types", 120, types_tests)

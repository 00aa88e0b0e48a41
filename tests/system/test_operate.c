/*
 * test_operate.c - the commands that an operator runs: migrate, check and offsets, on a real broker
 * and database.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "bed.h"
#include "broker.h"
#include "lite.h"
#include "system.h"

static void assert_has(char *text, const char *part)
{
	ck_assert_msg(strstr(text, part) != NULL, "expected \"%s\" in: %.4000s", part, text);
}

/* A copy of the shipped schema of memory events with one thing changed, for the stream "memory". */
static void change_schema(struct bed *bed, void (*change)(json_t *fields))
{
	struct bed_stream *s = &bed->streams[0];
	json_t *schema = json_load_file("schemas/memory_event.avsc", 0, NULL);
	change(json_object_get(schema, "fields"));
	snprintf(s->schema_path, sizeof(s->schema_path), "%s/changed.avsc", bed->dir);
	ck_assert_int_eq(json_dump_file(schema, s->schema_path, 0), 0);
	json_decref(schema);
}

static void add_field(json_t *fields)
{
	json_array_append_new(fields, json_pack("{s:s, s:[s,s], s:n}", "name", "mood", "type",
						"null", "string", "default"));
}

static void add_field_and_change_type(json_t *fields)
{
	size_t i;
	json_t *field;
	add_field(fields);
	json_array_append_new(fields, json_pack("{s:s, s:[s,s], s:n}", "name", "late", "type",
						"null", "string", "default"));
	json_array_foreach (fields, i, field) {
		if (strcmp(json_string_value(json_object_get(field, "name")), "role") == 0)
			json_object_set_new(field, "type", json_pack("[s,s]", "null", "long"));
	}
}

static void add_field_with_settings(json_t *fields)
{
	json_array_append_new(fields, json_pack("{s:s, s:[s,s], s:n, s:{s:s, s:s}}", "name", "mood",
						"type", "null", "string", "default", "pg",
						"storage", "extended", "compression", "pglz"));
}

static void compress_fixed_size(json_t *fields)
{
	json_array_append_new(fields,
			      json_pack("{s:s, s:[s,s], s:n, s:{s:s}}", "name", "mass", "type",
					"null", "long", "default", "pg", "compression", "pglz"));
}

/* --- migrate --- */

/*
 * A dry run changes nothing; the first run creates all, the second finds nothing to do; a new
 * nullable field adds a column.
 */
START_TEST(migrate_twice)
{
	struct bed *bed = bed_new("migrate");
	bed_stream(bed, "memory", 1);
	bed_expect(bed, 0, "migrate --dry-run", "CREATE TABLE IF NOT EXISTS \"memory_entries\"");
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM pg_tables WHERE schemaname IN "
				      "('public', 'memingest')"),
			 0);
	bed_expect(bed, 0, "migrate", "created table memory_entries");
	ck_assert_int_eq(
		bed_int(bed, "SELECT count(*) FROM pg_tables WHERE schemaname = 'memingest'"), 7);
	bed_expect(bed, 0, "migrate", "nothing to do");
	change_schema(bed, add_field);
	bed_expect(bed, 0, "migrate", "added column memory_entries.mood");
	bed_expect(bed, 0, "migrate", "nothing to do");
	bed_free(bed);
}
END_TEST

/*
 * Storage and compression are set where they differ, and only there; what PostgreSQL refuses is
 * said in its words.
 */
START_TEST(migrate_settings)
{
	struct bed *bed = bed_new("settings");
	bed_stream(bed, "memory", 1);
	change_schema(bed, add_field_with_settings);
	bed_expect(bed, 0, "migrate", "set COMPRESSION of column memory_entries.mood");
	bed_expect(bed, 0, "migrate", "nothing to do");
	bed_sql(bed, "ALTER TABLE memory_entries ALTER mood SET STORAGE external, ALTER mood SET "
		     "COMPRESSION default");
	bed_expect(bed, 0, "migrate",
		   "set STORAGE of column memory_entries.mood\nset COMPRESSION of column");
	ck_assert_int_eq(
		bed_int(bed, "SELECT count(*) FROM pg_attribute WHERE attrelid = "
			     "'memory_entries'::regclass"
			     " AND attname = 'mood' AND attstorage = 'x' AND attcompression = 'p'"),
		1);
	bed_expect(bed, 0, "migrate", "nothing to do");
	change_schema(bed, compress_fixed_size);
	bed_expect(bed, 78, "migrate", "column data type bigint does not support compression");
	bed_free(bed);
}
END_TEST

/* Of a partitioned table they are set in the partitions that there are, too. */
START_TEST(migrate_settings_of_partitions)
{
	struct bed *bed = bed_new("partitions");
	bed_stream(bed, "memory", 1);
	bed_expect(bed, 0, "migrate", "created table memory_entries");
	bed_sql(bed, "CREATE TABLE parted (LIKE memory_entries INCLUDING DEFAULTS, PRIMARY KEY "
		     "(namespace, key))"
		     " PARTITION BY HASH (namespace, key);"
		     "CREATE TABLE \"half 0\" PARTITION OF parted FOR VALUES WITH (MODULUS 2, "
		     "REMAINDER 0);"
		     "CREATE TABLE half1 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER "
		     "1);"
		     "ALTER TABLE parted OWNER TO memingest_owner; ALTER TABLE half1 OWNER TO "
		     "memingest_owner;"
		     "ALTER TABLE \"half 0\" OWNER TO memingest_owner;"
		     "DROP TABLE memory_entries; ALTER TABLE parted RENAME TO memory_entries");
	change_schema(bed, add_field_with_settings);
	bed_expect(bed, 0, "migrate", "added column memory_entries.mood");
	bed_expect(bed, 0, "migrate", "nothing to do");
	ck_assert_int_eq(bed_int(bed,
				 "SELECT count(*) FROM pg_attribute WHERE attname = 'mood' AND "
				 "attstorage = 'x' AND attcompression = 'p' AND attrelid IN "
				 "('memory_entries'::regclass, 'half1'::regclass, "
				 "'\"half 0\"'::regclass)"),
			 3);
	bed_sql(bed, "ALTER TABLE half1 ALTER mood SET COMPRESSION default");
	bed_expect(bed, 0, "migrate", "set COMPRESSION of column memory_entries.mood");
	bed_expect(bed, 0, "migrate", "nothing to do");
	bed_free(bed);
}
END_TEST

/*
 * What cannot be made up for by adding is reported, all of it, and then nothing at all is changed.
 */
START_TEST(migrate_refuses)
{
	struct bed *bed = bed_new("refuses");
	bed_stream(bed, "memory", 1);
	bed_expect(bed, 0, "migrate", "created");
	change_schema(bed, add_field_and_change_type);
	bed_sql(bed, "ALTER TABLE memory_entries DROP CONSTRAINT memory_entries_pkey, ADD mine int "
		     "NOT NULL; DROP "
		     "TABLE memingest.gaps");
	char *text = bed_says(bed, 78, "migrate");
	assert_has(text, "column role is text, the schema wants bigint");
	assert_has(text, "no primary key or unique index on exactly (namespace, key)");
	assert_has(text, "no field fills mine");
	free(text);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM pg_attribute WHERE attrelid = "
				      "'memory_entries'::regclass"
				      " AND attname IN ('mood', 'late')"),
			 0);
	ck_assert_int_eq(
		bed_int(bed, "SELECT count(*) FROM pg_tables WHERE schemaname = 'memingest'"), 6);
	bed_free(bed);
}
END_TEST

/* Four at once: all end well, and the table is there once. */
START_TEST(migrate_at_once)
{
	struct bed *bed = bed_new("atonce");
	int pids[4];
	bed_stream(bed, "memory", 1);
	bed_write_config(bed);
	const char *argv[] = {stack.program, "migrate", "-c", bed->owner_config, NULL};
	char log[200];
	snprintf(log, sizeof(log), "%s/migrate.log", bed->dir);
	for (size_t i = 0; i < ARRAY_LEN(pids); i++)
		pids[i] = spawn(argv, NULL, log);
	for (size_t i = 0; i < ARRAY_LEN(pids); i++)
		ck_assert_int_eq(wait_exit(pids[i]), 0);
	ck_assert_int_eq(
		bed_int(bed, "SELECT count(*) FROM pg_tables WHERE tablename = 'memory_entries'"),
		1);
	bed_free(bed);
}
END_TEST

/* --- check --- */

/*
 * The rights that --grants prints are enough for check, and one less is a finding; a role without
 * any gets them all named. --grant-to gives back what is missing.
 */
START_TEST(least_rights)
{
	struct bed *bed = bed_new("rights");
	char line[200];
	bed_stream(bed, "memory", 1);
	bed_expect(bed, 0, "migrate", "created");
	bed_sql(bed,
		"DROP ROLE IF EXISTS %s; CREATE ROLE %s LOGIN; REVOKE ALL ON DATABASE %s FROM "
		"PUBLIC;"
		"GRANT CONNECT ON DATABASE %s TO %s",
		bed->name, bed->name, bed->name, bed->name, bed->name);
	snprintf(line, sizeof(line),
		 "check --online --set postgres.dsn=postgresql://%s@127.0.0.1:%u/%s", bed->name,
		 stack.pg_port, bed->name);
	char *text = bed_says(bed, 78, line);
	assert_has(text, "may not create temporary tables");
	assert_has(text, "lacks USAGE on schema memingest");
	free(text);
	char grants[80];
	snprintf(grants, sizeof(grants), "migrate --grants %s", bed->name);
	text = bed_says(bed, 0, grants);
	bed_sql(bed, "%s", text);
	free(text);
	bed_expect(bed, 0, line, "table memory_entries fits the schema");
	bed_sql(bed,
		"REVOKE DELETE ON memory_entries FROM %s; REVOKE UPDATE, INSERT ON "
		"memingest.offsets FROM %s",
		bed->name, bed->name);
	text = bed_says(bed, 78, line);
	assert_has(text, "the role lacks DELETE");
	assert_has(text, "table memingest.offsets: the role lacks INSERT, UPDATE");
	free(text);
	snprintf(grants, sizeof(grants), "migrate --grant-to %s", bed->name);
	bed_expect(bed, 0, grants, "granted a worker's rights");
	bed_expect(bed, 0, line, "table memory_entries fits the schema");
	bed_sql(bed, "DROP OWNED BY %s; DROP ROLE %s", bed->name, bed->name);
	bed_free(bed);
}
END_TEST

/*
 * One report names what is wrong in Kafka, in the registry and in the database; servers that are
 * away alone are exit 69.
 */
START_TEST(check_all_at_once)
{
	struct bed *bed = bed_new("check");
	bed_stream(bed, "memory", 1);
	bed_expect(bed, 0, "migrate", "created");
	bed_expect(bed, 0, "check --online", "fits the schema");
	broker_delete_topic(bed->streams[0].topic);
	bed_sql(bed, "ALTER TABLE memory_entries ALTER embedding TYPE vector(3), DROP doc_id");
	char *text = bed_says(bed, 78, "check --online --set registry.url=http://127.0.0.1:1");
	assert_has(text, "does not exist: create it");
	assert_has(text, "error  registry");
	assert_has(text, "column embedding is vector(3), the schema wants vector(384)");
	assert_has(text, "column doc_id text is missing");
	free(text);
	bed_expect(bed, 0, "check", "table memory_entries");
	text = bed_says(bed, 69,
			"check --online --json --set kafka.bootstrap.servers=127.0.0.1:1 --set "
			"postgres.dsn=postgresql://x@127.0.0.1:1/x");
	json_t *report = json_loads(strchr(text, '{'), JSON_DISABLE_EOF_CHECK, NULL);
	ck_assert_ptr_nonnull(report);
	ck_assert(json_is_false(json_object_get(report, "ok")));
	ck_assert_int_eq(json_integer_value(json_object_get(report, "errors")), 2);
	json_decref(report);
	free(text);
	bed_free(bed);
}
END_TEST

/*
 * Proves: "check" sees what would hurt only later: a table that a crash empties, row security, a
 * column that no update may set, another pipeline whose events would be added twice; and offline
 * what librdkafka and libpq would not take, each with its place and what to write.
 */
START_TEST(check_foresees)
{
	struct bed *bed = bed_new("foresees");
	struct bed_stream *s = bed_stream_files(bed, "ledger", 1, "tests/schemas/ledger_event.avsc",
						"tests/schemas/ledger_key.avsc");
	bed_expect(bed, 0, "migrate", "created");
	char *text = bed_says(bed, 0, "check --online");
	ck_assert_msg(!strstr(text, "warn   stream"), "%s", text);
	free(text);
	bed_sql(bed,
		"ALTER TABLE ledger SET UNLOGGED; ALTER TABLE ledger ENABLE ROW LEVEL SECURITY;"
		"INSERT INTO memingest.offsets (pipeline, topic, partition, next_offset, "
		"owner_epoch,"
		" leader_epoch, owner) VALUES ('former', '%s', 0, 120, 7, 3, 'a worker'),"
		" ('%s', '%s', 0, 120, 7, 3, 'a worker'), ('other', 'another.topic', 0, 1, 1, 1, "
		"'')",
		s->topic, bed->name, s->topic);
	text = bed_says(bed, 0, "check --online");
	assert_has(text, "ledger is UNLOGGED: a crash of PostgreSQL empties it");
	assert_has(text, "ledger has row security");
	assert_has(text, "pipeline former (kafka.group.id) has consumed topic");
	assert_has(text, "column total adds its events twice");
	ck_assert_msg(!strstr(text, "pipeline other") && !strstr(text, "encoding"), "%s", text);
	free(text);
	bed_sql(bed, "ALTER TABLE ledger ALTER highest DROP DEFAULT, ALTER highest SET NOT NULL");
	bed_sql(bed, "ALTER TABLE ledger ALTER highest ADD GENERATED ALWAYS AS IDENTITY");
	bed_expect(bed, 78, "check --online", "column highest of the table is GENERATED ALWAYS AS");
	text = bed_says(
		bed, 78,
		"check --set kafka.sesion.timeout.ms=1 --set kafka.session.timeout.ms=many");
	assert_has(text, "--set: kafka.sesion.timeout.ms: librdkafka");
	assert_has(text, "did you mean session.timeout.ms?");
	assert_has(text, "--set: kafka.session.timeout.ms: ");
	free(text);
	bed_expect(bed, 78, "check --set kafka.isolation.level=read_uncommitted",
		   "refused, because");
	bed_expect(bed, 78, "check --set batch.max_rowz=1",
		   "--set: batch.max_rowz: unknown key; did");
	bed_expect(bed, 78, "check --set stream.ledger.topic=^a[b", "is no regular expression");
	bed_expect(bed, 78, "check --set postgres.dsn=postgresql://u@h:x/d",
		   "--set: postgres.dsn: ");
	bed_free(bed);

	bed = bed_new_latin1("latin");
	bed_stream_files(bed, "ledger", 1, "tests/schemas/ledger_event.avsc", NULL);
	bed_expect(bed, 0, "migrate", "created");
	bed_expect(bed, 0, "check --online", "encoding is LATIN1");
	bed_free(bed);
}
END_TEST

/* --- offsets --- */

/*
 * A partition as a worker would leave it: batches [0, 40) [40, 100), dead letters at 10, 50 and
 * (replayed) 60, a gap [100, 120), next_offset 120; its log has 150 messages.
 */
static void books(struct bed *bed)
{
	const char *topic = bed->streams[0].topic;
	for (int i = 0; i < 150; i++)
		bed_raw(bed, "memory", 0, (struct slice){(const uint8_t *)"k", 1},
			(struct slice){(const uint8_t *)"v", 1});
	bed_flush(bed);
	lite_books_sql(bed,
		       "INSERT INTO memingest.offsets (pipeline, topic, partition, next_offset,"
		       " owner_epoch, leader_epoch, owner, updated_at)"
		       " VALUES ('%s', '%s', 0, 120, 7, 3, 'a worker', now())",
		       bed->name, topic);
	lite_books_sql(bed,
		       "INSERT INTO memingest.batches (pipeline, topic, partition, from_offset,"
		       " to_offset, rows, merged, superseded, dead, skipped, owner_epoch,"
		       " committed_at) VALUES ('%s', '%s', 0, 0, 40, 40, 39, 0, 1, 0, 7, now()),"
		       " ('%s', '%s', 0, 40, 100, 60, 58, 0, 2, 0, 7, now())",
		       bed->name, topic, bed->name, topic);
	lite_books_sql(bed,
		       "INSERT INTO memingest.dead_letters (pipeline, topic, partition, \"offset\","
		       " stream, reason, created_at, replayed_at)"
		       " VALUES ('%s', '%s', 0, 10, 'memory', 'frame', now(), NULL),"
		       " ('%s', '%s', 0, 50, 'memory', 'frame', now(), NULL),"
		       " ('%s', '%s', 0, 60, 'memory', 'frame', now(), now())",
		       bed->name, topic, bed->name, topic, bed->name, topic);
	lite_books_sql(bed,
		       "INSERT INTO memingest.gaps (pipeline, topic, partition, from_offset,"
		       " to_offset, reason, declared_by, created_at)"
		       " VALUES ('%s', '%s', 0, 100, 120, 'x', 'y', now())",
		       bed->name, topic);
}

/* In PostgreSQL, or in a file. */
static struct bed *bed_on(const char *name, bool file)
{
	struct bed *bed = bed_new(name);
	bed_stream(bed, "memory", 1);
	bed_expect(bed, 0, "migrate", "created");
	if (file)
		lite_begin(bed, NULL);
	return bed;
}

static struct bed *bed_with_books(const char *name, bool file)
{
	struct bed *bed = bed_on(name, file);
	books(bed);
	return bed;
}

/* "offsets VERB TOPIC REST" */
static void offsets(struct bed *bed, int status, const char *verb, const char *rest,
		    const char *part)
{
	char line[256];
	snprintf(line, sizeof(line), "offsets %s %s %s", verb, bed->streams[0].topic, rest);
	bed_expect(bed, status, line, part);
}

/* Of a file's books a copy is asked. */
static void at(struct bed *bed, int64_t expected, const char *what)
{
	if (bed->sqlite[0])
		lite_copy_books(bed);
	ck_assert_int_eq(bed_int(bed, "SELECT %s", what), expected);
}

/*
 * Going back into the middle of a batch: that one is cut, later ones go, as do dead letters (but a
 * replayed one) and gaps.
 */
START_TEST(rewind_into_a_batch)
{
	struct bed *bed = bed_with_books("rewind", _i);
	offsets(bed, 0, "rewind", "0 --to 30 --dry-run", "next_offset 120 -> 30");
	at(bed, 120, "next_offset FROM memingest.offsets");
	offsets(bed, 0, "rewind", "0 --to 30 --yes", "owner_epoch 7 -> 8");
	at(bed, 30, "next_offset FROM memingest.offsets");
	at(bed, 8, "owner_epoch FROM memingest.offsets");
	at(bed, 1, "(leader_epoch IS NULL AND owner LIKE '%@%')::int FROM memingest.offsets");
	at(bed, 1, "count(*) FROM memingest.batches");
	at(bed, 30, "max(to_offset) FROM memingest.batches");
	at(bed, 1, "count(*) FROM memingest.dead_letters WHERE \"offset\" = 10");
	at(bed, 2, "count(*) FROM memingest.dead_letters");
	at(bed, 0, "count(*) FROM memingest.gaps");
	offsets(bed, 65, "rewind", "0 --to 31", "rewind only goes back");
	offsets(bed, 0, "rewind", "0 --to 30 --yes", "next_offset 30 -> 30, owner_epoch 8 -> 9");
	offsets(bed, 0, "rewind", "all --to earliest --yes", "next_offset 30 -> 0");
	at(bed, 0, "count(*) FROM memingest.batches");
	offsets(bed, 0, "rewind", "0 --to earliest", "nothing to do");
	bed_free(bed);
}
END_TEST

/*
 * By time, and what makes no sense: exit 64 for what cannot be read, 65 for what does not fit the
 * log.
 */
START_TEST(rewind_by_time)
{
	struct bed *bed = bed_with_books("time", _i);
	broker_delete_records(bed->streams[0].topic, 0, 20);
	offsets(bed, 65, "rewind", "0 --to 19", "Kafka's log begins at 20");
	offsets(bed, 65, "rewind", "0 --to 151", "ends at 150");
	offsets(bed, 65, "rewind", "5 --to 19", "no row for that");
	offsets(bed, 64, "rewind", "0 --to latest", "--to wants");
	offsets(bed, 64, "rewind", "zero --to 5", "no partition");
	offsets(bed, 64, "rewind", "0", "--to wants");
	offsets(bed, 0, "rewind", "0 --to 2099-01-01T00:00:00Z", "nothing to do");
	offsets(bed, 0, "rewind", "0 --to 2020-01-01T00:00:00Z --yes", "next_offset 120 -> 20");
	bed_free(bed);
}
END_TEST

/*
 * The lost range becomes a row with who and why, and next_offset moves behind it; batches and gaps
 * together tile.
 */
START_TEST(accept_gap)
{
	struct bed *bed = bed_with_books("gap", _i);
	offsets(bed, 65, "accept-gap", "0", "no gap");
	broker_delete_records(bed->streams[0].topic, 0, 130);
	bed_expect(bed, 0, "offsets show", "retention passed it: accept-gap");
	bed_expect(bed, 0, "offsets show --set stream.memory.topic=nowhere",
		   "stream memory: topic nowhere does not exist");
	offsets(bed, 0, "accept-gap", "0 --yes", "next_offset 120 -> 130, 10 offsets given up");
	at(bed, 130, "next_offset FROM memingest.offsets");
	at(bed, 8, "owner_epoch FROM memingest.offsets");
	at(bed, 1,
	   "count(*) FROM memingest.gaps WHERE from_offset = 120 AND to_offset = 130 AND "
	   "declared_by LIKE '%@%'"
	   " AND reason LIKE '%retention%'");
	offsets(bed, 0, "accept-gap", "0 --to 139 --reason=poison --yes", "130 -> 139");
	at(bed, 1,
	   "count(*) FROM memingest.gaps WHERE from_offset = 130 AND to_offset = 139 AND reason = "
	   "'poison'");
	offsets(bed, 65, "accept-gap", "0 --to 139", "--to 140 gives up the one offset 139");
	offsets(bed, 64, "accept-gap", "0 --to 150", "There is no terminal");
	offsets(bed, 0, "accept-gap", "0 --to 140 --yes", "1 offset given up (--to 140)");
	at(bed, 140,
	   "sum(n) FROM (SELECT to_offset - from_offset AS n FROM memingest.batches UNION ALL"
	   " SELECT to_offset - from_offset FROM memingest.gaps) x");
	offsets(bed, 65, "accept-gap", "0 --to 151", "ends at 150");
	bed_free(bed);
}
END_TEST

/*
 * After the topic was deleted and created anew: consumption begins at its low watermark, the old
 * log's end is on record, its batches are forgotten; a later rewind does not touch what belongs to
 * the old log.
 */
START_TEST(adopt_topic)
{
	struct bed *bed = bed_with_books("adopt", _i);
	const char *topic = bed->streams[0].topic;
	broker_delete_topic(topic);
	BED_WAIT(bed, 10, broker_partitions(topic) == 0);
	broker_create_topic(topic, 2, NULL, 0);
	for (int i = 0; i < 9; i++)
		bed_raw(bed, "memory", 0, (struct slice){(const uint8_t *)"k", 1},
			(struct slice){(const uint8_t *)"v", 1});
	bed_flush(bed);
	broker_delete_records(topic, 0, 4);
	bed_expect(bed, 0, "offsets show", "beyond the log's end");
	offsets(bed, 0, "adopt-topic", "--yes", "next_offset 120 -> 4");
	at(bed, 4, "next_offset FROM memingest.offsets");
	at(bed, 8, "owner_epoch FROM memingest.offsets");
	at(bed, 0, "count(*) FROM memingest.batches");
	at(bed, 3, "count(*) FROM memingest.dead_letters");
	at(bed, 1, "count(*) FROM memingest.gaps WHERE from_offset = 120 AND to_offset = 120");
	at(bed, 1, "count(*) FROM memingest.gaps WHERE from_offset = 0 AND to_offset = 4");
	lite_books_sql(bed, "UPDATE memingest.offsets SET next_offset = 9");
	lite_books_sql(bed,
		       "INSERT INTO memingest.batches (pipeline, topic, partition, from_offset,"
		       " to_offset, rows, merged, superseded, dead, skipped, owner_epoch,"
		       " committed_at) VALUES ('%s', '%s', 0, 4, 9, 5, 5, 0, 0, 0, 8, now())",
		       bed->name, topic);
	offsets(bed, 0, "rewind", "0 --to earliest --yes", "next_offset 9 -> 4");
	at(bed, 3, "count(*) FROM memingest.dead_letters");
	at(bed, 3, "count(*) FROM memingest.gaps");
	bed_free(bed);
}
END_TEST

/*
 * Proves: a topic that is the one that was consumed is not adopted, whether topic ids are known (as
 * the row's and Kafka's are here, if the library tells them) or not: every next_offset within the
 * log, and one behind retention, are no sign of a new topic. With a reason it is done.
 */
START_TEST(adopt_healthy)
{
	struct bed *bed = bed_with_books("healthy", _i);
	offsets(bed, 65, "adopt-topic", "--yes", "seems to be the topic that was consumed");
	broker_delete_records(bed->streams[0].topic, 0, 130);
	offsets(bed, 65, "adopt-topic", "--yes", "seems to be the topic that was consumed");
	at(bed, 120, "next_offset FROM memingest.offsets");
	at(bed, 7, "owner_epoch FROM memingest.offsets");
	at(bed, 2, "count(*) FROM memingest.batches");
	offsets(bed, 0, "adopt-topic", "--yes --reason anew", "next_offset 120 -> 130");
	bed_free(bed);
}
END_TEST

/*
 * Proves: nothing that can not be undone is done without a word: where no terminal is there to ask
 * on, "no" is the answer, exit 64, whatever stands on standard input.
 */
START_TEST(asks_first)
{
	struct bed *bed = bed_with_books("asks", _i);
	offsets(bed, 64, "rewind", "0 --to 30", "say --yes");
	offsets(bed, 64, "accept-gap", "0 --to 140", "say --yes");
	offsets(bed, 64, "adopt-topic", "--reason anew", "say --yes");
	offsets(bed, 64, "skip", "0 --reason bad", "say --yes");
	bed_expect(bed, 64, "dlq purge --before 0s", "say --yes");
	if (!_i)
		bed_expect(bed, 64, "index drop memory", "say --yes");
	at(bed, 120, "next_offset FROM memingest.offsets");
	at(bed, 7, "owner_epoch FROM memingest.offsets");
	at(bed, 3, "count(*) FROM memingest.dead_letters");
	bed_free(bed);
}
END_TEST

/*
 * Proves: a stream that is not in the config is a mistake, not an empty answer, for each command
 * that takes one; and before "migrate" each that reads the bookkeeping says what to run.
 */
START_TEST(not_there)
{
	static const char *const streams[] = {
		"dlq list --stream memori", "dlq purge --before 1d --stream memori",
		"dlq replay --stream memori", "index status memori", "produce memori"};
	static const char *const books[] = {"offsets show", "offsets rewind t 0 --to 5", "dlq list",
					    "dlq show 1", "index status"};
	struct bed *bed = bed_new("nothere");
	bed_stream(bed, "memory", 1);
	bed_sql(bed, "GRANT CONNECT ON DATABASE %s TO memingest", bed->name);
	for (size_t i = 0; i < ARRAY_LEN(streams); i++)
		bed_expect(bed, 64, streams[i], "did you mean memory?; there are: memory");
	for (size_t i = 0; i < ARRAY_LEN(books); i++)
		bed_expect(bed, 78, books[i], "run \"memingest migrate\"");
	bed_free(bed);
}
END_TEST

/* "show" tells lag and partitions without a row, as JSON too, and goes without Kafka. */
START_TEST(show)
{
	struct bed *bed = bed_with_books("show", _i);
	broker_add_partitions(bed->streams[0].topic, 2);
	char *text = bed_says(bed, 0, "offsets show --json");
	json_t *all = json_loads(strchr(text, '{'), JSON_DISABLE_EOF_CHECK, NULL),
	       *list = json_object_get(all, "partitions");
	ck_assert_uint_eq(json_array_size(list), 2);
	ck_assert_int_eq(json_integer_value(json_object_get(json_array_get(list, 0), "lag")), 30);
	ck_assert_int_eq(
		json_integer_value(json_object_get(json_array_get(list, 0), "next_offset")), 120);
	ck_assert(json_is_null(json_object_get(json_array_get(list, 1), "next_offset")));
	json_decref(all);
	free(text);
	bed_expect(bed, 0, "offsets show --set kafka.bootstrap.servers=127.0.0.1:1", "a worker");
	bed_expect(bed, 64, "offsets shwo", "show");
	bed_free(bed);
}
END_TEST

static void send_memory(struct bed *bed, int i)
{
	json_t *event = json_pack("{s:s, s:I, s:s, s:o}", "op", "UPSERT", "event_time",
				  (json_int_t)i, "namespace", "n", "key", json_sprintf("k%d", i));
	bed_event(bed, "memory", 0, event);
	json_decref(event);
}

/*
 * A running worker drops what it had in flight, claims the partition anew and reads it again; the
 * table stays what it was.
 */
START_TEST(rewind_under_a_worker)
{
	struct bed *bed = bed_new("fenced");
	bed_stream(bed, "memory", 1);
	bed_expect(bed, 0, "migrate", "created");
	for (int i = 0; i < 500; i++)
		send_memory(bed, i);
	struct worker *w = worker_start(bed, NULL);
	bed_drain(bed, 30);
	int64_t epoch =
		bed_int(bed, "SELECT owner_epoch FROM memingest.offsets WHERE partition = 0");
	offsets(bed, 0, "rewind", "all --to earliest --yes", "-> 0");
	send_memory(bed, 500);
	bed_drain(bed, 30);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memory_entries"), 501);
	ck_assert_int_eq(bed_int(bed, "SELECT sum(rows) FROM memingest.batches"), 501);
	ck_assert_int_gt(
		bed_int(bed, "SELECT owner_epoch FROM memingest.offsets WHERE partition = 0"),
		epoch + 1);
	worker_stop(w);
	bed_free(bed);
}
END_TEST

/* What a command prints with --json. */
static json_t *json_of(struct bed *bed, const char *line)
{
	char *text = bed_says(bed, 0, line);
	json_error_t error;
	json_t *json = json_loads(text, 0, &error);
	ck_assert_msg(json != NULL, "%s: %s in %s", line, error.text, text);
	free(text);
	return json;
}

/* Proves: --json is JSON where it is taken, and refused where it would mean nothing. */
START_TEST(for_programs)
{
	static const char *const lines[] = {"migrate --dry-run --json",
					    "migrate --json",
					    "migrate --json",
					    "offsets show --json",
					    "dlq list --json",
					    "index status memory --json",
					    "migrate --grants x --json",
					    "config show --json",
					    "check --json",
					    "version --json",
					    "produce memory --json --count 1"};
	static const char *const refused[] = {"run --json", "manual program --json",
					      "config keys --json", "index build --json",
					      "top 127.0.0.1:1 --json"};
	struct bed *bed = bed_new("programs");
	bed_stream(bed, "memory", 1);
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		json_decref(json_of(bed, lines[i]));
	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		bed_expect(bed, 64, refused[i], "for programs");
	bed_free(bed);
}
END_TEST

/* A letter of the stream "memory" with these bytes, as hex. */
static void letter(struct bed *bed, int id, const char *value)
{
	bool file = bed->sqlite[0];
	lite_books_sql(bed,
		       "INSERT INTO memingest.dead_letters (id, pipeline, topic, partition,"
		       " \"offset\", stream, reason, created_at, headers, key, value) %s"
		       " VALUES (%d, '%s', '%s', 0, %d, 'memory', 'decode', now(),"
		       " '{\"by\":\"hand\"}', %s, %s%s')",
		       file ? "" : "OVERRIDING SYSTEM VALUE", id, bed->name, bed->streams[0].topic,
		       id, file ? "x'6b'" : "'k'", file ? "x'" : "'\\x", value);
}

/*
 * Proves: "dlq show" reads Avro by the schema that the bytes name, as far as it goes, JSON, and
 * text; what it cannot read it says, with the reason; bytes come on request.
 */
START_TEST(letters_are_read)
{
	struct bed *bed = bed_on("letters", _i);
	char good[64];
	/* op UPSERT, event_time 1, namespace "ab", and there it ends */
	snprintf(good, sizeof(good), "00%08x0002046162", bed->streams[0].schema_id);
	letter(bed, 1, good);
	letter(bed, 2, "7b2261223a5b317d7d"); /* {"a":[1} */
	letter(bed, 3, "7b2261223a5b315d7d"); /* {"a":[1]} */
	letter(bed, 4, "001b5b31");
	bed_expect(bed, 0, "dlq show 1", "\"namespace\": \"ab\"");
	bed_expect(bed, 0, "dlq show 1", "<the datum ends inside this value>");
	bed_expect(bed, 0, "dlq show 2", "text");
	bed_expect(bed, 0, "dlq show 3", "JSON");
	bed_expect(bed, 0, "dlq show 4", "not to be read: ");
	bed_expect(bed, 0, "dlq show 4 --hex", "00 1b 5b 31");
	json_decref(json_of(bed, "dlq show 1 --json"));
	bed_expect(bed, 65, "dlq show 5", "has no dead letter 5");
	json_t *list = json_of(bed, "dlq list --json --limit 3");
	ck_assert_uint_eq(json_array_size(list), 3);
	ck_assert_int_eq(json_integer_value(json_object_get(json_array_get(list, 1), "key_bytes")),
			 1);
	json_decref(list);
	bed_expect(bed, 0, "dlq list", "4 of 4 dead letters");
	bed_expect(bed, 0, "dlq list --reason frame", "0 of 0 dead letters");
	bed_expect(bed, 0, "dlq replay 1 2 --dry-run", "would replay 2 dead letters");
	bed_expect(bed, 0, "dlq replay 1 2", "replayed 2 dead letters");
	bed_expect(bed, 65, "dlq replay 2 3", "of these ids, 1 can be replayed");
	at(bed, 2, "count(*) FROM memingest.dead_letters WHERE replayed_at > '2026-01-01'");
	bed_expect(bed, 0, "dlq purge --before 1d --replayed --yes",
		   _i ? "purged 2 " : "purged 0 ");
	bed_expect(bed, 0, "dlq purge --before 0s --yes", _i ? "purged 2 " : "purged 4 ");
	bed_free(bed);
}
END_TEST

/*
 * Proves: "produce" says what it registers, once; with --no-register it takes what is registered,
 * and registers nothing where something is missing. --rate holds for a file as well.
 */
START_TEST(produce_and_registry)
{
	struct bed *bed = bed_new("registers");
	char line[256], path[200];
	bed_stream(bed, "memory", 1);
	broker_create_topic("registers", 1, NULL, 0);
	bed_expect(bed, 78, "produce memory --count 1 --topic registers --no-register",
		   "subject \"registers-value\"");
	bed_expect(bed, 78, "produce memory --count 1 --topic registers --no-register",
		   "does not have this schema");
	bed_expect(bed, 0, "produce memory --count 1 --topic registers",
		   "registered the schema of subject registers-value");
	char *text = bed_says(bed, 0, "produce memory --count 1 --topic registers");
	ck_assert_msg(!strstr(text, "registered"), "%s", text);
	free(text);
	bed_expect(bed, 0, "produce memory --count 1 --topic registers --no-register",
		   "produced 1 ");
	snprintf(path, sizeof(path), "%s/events.jsonl", bed->dir);
	FILE *file = fopen(path, "w");
	for (int i = 0; i < 21; i++)
		fprintf(file, "{\"event_time\": %d, \"namespace\": \"n\", \"key\": \"k\"}\n", i);
	fclose(file);
	snprintf(line, sizeof(line), "produce memory --topic registers --rate 20 --file %s", path);
	int64_t begun = clock_mono_us();
	bed_expect(bed, 0, line, "produced 21 ");
	ck_assert_int_ge(clock_mono_us() - begun, US_PER_S);
	bed_free(bed);
}
END_TEST

static bool strictly_ready(struct worker *w, unsigned code, const char *word)
{
	struct buf text = {0};
	bool is = worker_http(w, "/readyz/strict", &text) == code && strstr(buf_cstr(&text), word);
	buf_free(&text);
	return is;
}

/*
 * Proves: a topic that does not exist is said by "produce", at once and without sending; by the
 * worker's readiness, which it leaves ready, and strictly not; and by "status", with exit code 75
 * if asked. Once the topic is made all of it passes, and its events land.
 */
START_TEST(missing_topic)
{
	struct bed *bed = bed_new("missing");
	char line[128], listen[64];
	bed_stream(bed, "memory", 1);
	bed_stream(bed, "pattern", 1);
	const char *topic = bed->streams[0].topic;
	bed_expect(bed, 0, "migrate", "created");
	broker_delete_topic(topic);
	BED_WAIT(bed, 10, broker_partitions(topic) == 0);
	int64_t begun = clock_mono_us();
	bed_expect(bed, 78, "produce memory --count 5", "does not exist: create it");
	ck_assert_int_lt(clock_mono_us() - begun, 10 * US_PER_S);
	struct worker *w = worker_start(bed, NULL);
	snprintf(listen, sizeof(listen), "status 127.0.0.1:%u", w->http_port);
	BED_WAIT(bed, 20, strictly_ready(w, 503, "does not exist"));
	worker_ready(w);
	bed_expect(bed, 0, listen, "1 stream without a topic");
	snprintf(line, sizeof(line), "%s --strict", listen);
	bed_expect(bed, 75, line, "does not exist");
	broker_create_topic(topic, 1, NULL, 0);
	BED_WAIT(bed, 60, strictly_ready(w, 200, "ok"));
	bed_expect(bed, 0, line, "1 of 1 ready  behind");
	send_memory(bed, 1);
	bed_drain(bed, 60);
	worker_stop(w);
	bed_free(bed);
}
END_TEST

static void operate_tests(TCase *tc)
{
	tcase_add_test(tc, migrate_twice);
	tcase_add_test(tc, migrate_settings);
	tcase_add_test(tc, migrate_settings_of_partitions);
	tcase_add_test(tc, migrate_refuses);
	tcase_add_test(tc, migrate_at_once);
	tcase_add_test(tc, least_rights);
	tcase_add_test(tc, check_all_at_once);
	tcase_add_test(tc, check_foresees);
	tcase_add_loop_test(tc, rewind_into_a_batch, 0, 2); /* in PostgreSQL, in a file */
	tcase_add_loop_test(tc, rewind_by_time, 0, 2);
	tcase_add_loop_test(tc, accept_gap, 0, 2);
	tcase_add_loop_test(tc, adopt_topic, 0, 2);
	tcase_add_loop_test(tc, adopt_healthy, 0, 2);
	tcase_add_loop_test(tc, asks_first, 0, 2);
	tcase_add_test(tc, not_there);
	tcase_add_loop_test(tc, show, 0, 2);
	tcase_add_test(tc, rewind_under_a_worker);
	tcase_add_test(tc, missing_topic);
	tcase_add_test(tc, for_programs);
	tcase_add_test(tc, produce_and_registry);
	tcase_add_loop_test(tc, letters_are_read, 0, 2);
}
SYSTEM_SUITE("operate", 120, operate_tests)

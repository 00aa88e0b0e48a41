/*
 * bed.c - database, streams, config file and SQL of one test.
 *
 * Tests of a suite share a broker and a server but nothing in them: a bed's database is a copy of
 * "agents" (extension vector is there), its topics and its group carry the bed's name.
 *
 * Two roles, as docs/OPERATIONS.md has it: memingest_owner owns the database and migrates,
 * memingest is the workers'. What PUBLIC has by default is taken away, so that a worker lives on
 * what "migrate --grants" gives.
 *
 *   bed ---- database NAME ---- tables, schema memingest
 *    +------ topics NAME.stream, group NAME
 *    +------ folder DIR/NAME: memingest.ini, worker-N.log, command.log
 *
 * The superuser's session is opened anew when it is found dead, so that tests may restart the
 * server.
 */
#include "bed.h"

#include <check.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker.h"
#include "event.h"
#include "lite.h"
#include "proxy.h"

/* --- SQL --- */

static struct pg *session(const char *dsn)
{
	struct config config = {
		.pg_dsn = dsn,
		.pg_statement_timeout_us = 60 * US_PER_S,
		.pg_lock_timeout_us = 30 * US_PER_S,
		.pg_connect_timeout_us = 10 * US_PER_S,
	};
	struct err err = {0};
	struct pg *pg = pg_connect(&config, "test", -1, &err);
	ck_assert_msg(pg != NULL, "%s: %s", dsn, err.text);
	return pg;
}

static struct pg *bed_pg(struct bed *bed)
{
	struct err err = {0};
	if (bed->pg && !pg_exec(bed->pg, "SELECT 1", NULL, 0, &err)) {
		pg_free(bed->pg);
		bed->pg = NULL;
	}
	if (!bed->pg)
		bed->pg = session(bed->dsn);
	return bed->pg;
}

__attribute__((format(printf, 1, 0))) static char *format(const char *fmt, va_list args)
{
	char *text = NULL;
	ck_assert_int_ge(vasprintf(&text, fmt, args), 0);
	return text;
}

void bed_sql(struct bed *bed, const char *fmt, ...)
{
	struct err err = {0};
	va_list args;
	va_start(args, fmt);
	char *sql = format(fmt, args);
	va_end(args);
	ck_assert_msg(pg_exec(bed_pg(bed), sql, NULL, 0, &err), "%s: %s", sql, err.text);
	free(sql);
}

static struct pg_rows *query(struct bed *bed, char *sql)
{
	struct err err = {0};
	struct pg_rows *rows = pg_query(bed_pg(bed), sql, NULL, 0, &err);
	ck_assert_msg(rows != NULL, "%s: %s", sql, err.text);
	free(sql);
	return rows;
}

struct pg_rows *bed_query(struct bed *bed, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	char *sql = format(fmt, args);
	va_end(args);
	return query(bed, sql);
}

int64_t bed_int(struct bed *bed, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	struct pg_rows *rows = query(bed, format(fmt, args));
	va_end(args);
	ck_assert_uint_eq(pg_rows_count(rows), 1);
	int64_t value = pg_value(rows, 0, 0) ? pg_int(rows, 0, 0) : 0;
	pg_rows_free(rows);
	return value;
}

/* --- the bed --- */

#define OWNER "memingest_owner"

/* A member of the worker's role, so that it may hand over the segments of searches. */
static const char owner_role[] =
	"DO $$BEGIN IF to_regrole('" OWNER "') IS NULL THEN CREATE ROLE " OWNER " LOGIN IN ROLE"
	" memingest; END IF; END$$";

static void create_database(struct bed *bed, const char *how)
{
	char dsn[128], sql[256];
	struct err err = {0};
	snprintf(dsn, sizeof(dsn), "postgresql://postgres@127.0.0.1:%u/postgres", stack.pg_port);
	snprintf(sql, sizeof(sql), "CREATE DATABASE %s OWNER " OWNER " %s", bed->name, how);
	struct pg *pg = session(dsn);
	ck_assert_msg(pg_exec(pg, owner_role, NULL, 0, &err), "%s", err.text);
	ck_assert_msg(pg_exec(pg, sql, NULL, 0, &err), "%s", err.text);
	pg_free(pg);
	bed_sql(bed,
		"REVOKE ALL ON DATABASE %s FROM PUBLIC; REVOKE ALL ON SCHEMA public FROM PUBLIC",
		bed->name);
}

static struct bed *new_bed(const char *name, const char *database)
{
	struct bed *bed = xcalloc(1, sizeof(*bed));
	snprintf(bed->name, sizeof(bed->name), "t_%s_%d", name, (int)getpid());
	snprintf(bed->dir, sizeof(bed->dir), "%s/%s", stack.dir, bed->name);
	snprintf(bed->config, sizeof(bed->config), "%s/memingest.ini", bed->dir);
	snprintf(bed->owner_config, sizeof(bed->owner_config), "%s/owner.ini", bed->dir);
	snprintf(bed->role, sizeof(bed->role), "memingest");
	snprintf(bed->dsn, sizeof(bed->dsn), "postgresql://postgres@127.0.0.1:%u/%s", stack.pg_port,
		 bed->name);
	bed->pg_port = stack.pg_port;
	ck_assert_msg(mkdir(bed->dir, 0755) == 0, "%s: %s", bed->dir, strerror(errno));
	create_database(bed, database);
	bed_set(bed, "kafka.bootstrap.servers", "%s", stack.bootstrap);
	bed_set(bed, "kafka.group.id", "%s", bed->name);
	bed_set(bed, "registry.url", "http://127.0.0.1:%u", stack.registry_port);
	return bed;
}

struct bed *bed_new(const char *name)
{
	return new_bed(name, "TEMPLATE agents");
}

struct bed *bed_new_latin1(const char *name)
{
	return new_bed(name, "TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'");
}

static void remove_folder(struct bed *bed)
{
	const char *const argv[] = {"/bin/rm", "-rf", bed->dir, NULL};
	wait_exit(spawn(argv, NULL, NULL));
}

void bed_free(struct bed *bed)
{
	while (bed->nworkers > 0)
		worker_kill(bed->workers[0]);
	for (size_t i = 0; i < bed->nstreams; i++) {
		json_decref(bed->streams[i].schema);
		json_decref(bed->streams[i].key_schema);
	}
	pg_free(bed->pg);
	remove_folder(bed);
	broker_close();
	free(bed);
}

/* --- streams --- */

static uint32_t register_schema(const char *subject, json_t *schema)
{
	char path[256];
	struct buf answer = {0};
	char *text = json_dumps(schema, JSON_COMPACT);
	json_t *request = json_pack("{s:s}", "schema", text);
	char *body = json_dumps(request, JSON_COMPACT);
	snprintf(path, sizeof(path), "/subjects/%s/versions", subject);
	unsigned status = http(stack.registry_port, path, body, &answer);
	ck_assert_msg(status == 200, "registry: %s: HTTP %u", path, status);
	json_t *parsed = json_loadb((const char *)answer.data, answer.len, 0, NULL);
	uint32_t id = (uint32_t)json_integer_value(json_object_get(parsed, "id"));
	json_decref(parsed);
	json_decref(request);
	buf_free(&answer);
	free(body);
	free(text);
	return id;
}

static struct bed_stream *find_stream(struct bed *bed, const char *name)
{
	for (size_t i = 0; i < bed->nstreams; i++) {
		if (strcmp(bed->streams[i].name, name) == 0)
			return &bed->streams[i];
	}
	ck_abort_msg("the bed has no stream %s", name);
	return NULL;
}

struct bed_stream *bed_stream_files(struct bed *bed, const char *name, int partitions,
				    const char *schema_path, const char *key_path)
{
	char topic[96], value_subject[128], key_subject[128];
	ck_assert_uint_lt(bed->nstreams, BED_STREAMS);
	snprintf(topic, sizeof(topic), "%s.%s", bed->name, name);
	snprintf(value_subject, sizeof(value_subject), "%s-value", topic);
	snprintf(key_subject, sizeof(key_subject), "%s-key", topic);
	struct bed_stream *s = &bed->streams[bed->nstreams++];
	snprintf(s->name, sizeof(s->name), "%s", name);
	memcpy(s->topic, topic, sizeof(topic));
	memcpy(s->subject, value_subject, sizeof(value_subject));
	snprintf(s->schema_path, sizeof(s->schema_path), "%s", schema_path);
	snprintf(s->key_path, sizeof(s->key_path), "%s", key_path ? key_path : "");
	s->partitions = partitions;
	s->schema = event_schema(schema_path);
	s->schema_id = register_schema(s->subject, s->schema);
	if (key_path) {
		s->key_schema = event_schema(key_path);
		s->key_id = register_schema(key_subject, s->key_schema);
	}
	/* a producer's clock may say anything */
	broker_create_topic(s->topic, partitions,
			    (const char *const[]){"message.timestamp.after.max.ms="
						  "9223372036854775807"},
			    1);
	return s;
}

struct bed_stream *bed_stream(struct bed *bed, const char *name, int partitions)
{
	char schema[256], key[256];
	snprintf(schema, sizeof(schema), "schemas/%s_event.avsc", name);
	snprintf(key, sizeof(key), "schemas/%s_key.avsc", name);
	return bed_stream_files(bed, name, partitions, schema, key);
}

void bed_writer_schema(struct bed *bed, const char *stream, json_t *schema)
{
	struct bed_stream *s = find_stream(bed, stream);
	json_incref(schema);
	json_decref(s->schema);
	s->schema = schema;
	s->schema_id = register_schema(s->subject, schema);
}

/* --- events --- */

static uint32_t hash_of(struct slice key)
{
	uint32_t h = 2166136261u; /* FNV-1a */
	for (size_t i = 0; i < key.len; i++)
		h = (h ^ key.data[i]) * 16777619u;
	return h;
}

static void send_raw(struct bed_stream *s, int partition, struct slice key, struct slice value)
{
	if (partition < 0)
		partition = (int)(hash_of(key) % (uint32_t)s->partitions);
	broker_produce(s->topic, partition, key, value, 0);
}

static void send_event(struct bed_stream *s, int partition, json_t *keyed, struct slice value)
{
	struct buf key = {0};
	if (s->key_schema)
		ck_assert_msg(event_confluent(s->key_schema, s->key_id, keyed, &key),
			      "no key of %s in the event", s->name);
	struct slice k = {key.data, key.len};
	send_raw(s, partition, k, value);
	buf_free(&key);
}

void bed_event(struct bed *bed, const char *stream, int partition, json_t *event)
{
	struct bed_stream *s = find_stream(bed, stream);
	struct buf value = {0};
	char *text;
	if (!event_confluent(s->schema, s->schema_id, event, &value)) {
		text = json_dumps(event, JSON_COMPACT);
		ck_abort_msg("the event does not fit the schema of %s: %s", stream, text);
	}
	send_event(s, partition, event, (struct slice){value.data, value.len});
	buf_free(&value);
}

void bed_tombstone(struct bed *bed, const char *stream, int partition, json_t *key)
{
	send_event(find_stream(bed, stream), partition, key, (struct slice){0});
}

void bed_raw(struct bed *bed, const char *stream, int partition, struct slice key,
	     struct slice value)
{
	send_raw(find_stream(bed, stream), partition, key, value);
}

void bed_flush(struct bed *bed)
{
	(void)bed;
	broker_flush();
}

/* --- config file --- */

void bed_set(struct bed *bed, const char *key, const char *fmt, ...)
{
	size_t i = 0;
	va_list args;
	while (i < bed->nsettings && strcmp(bed->settings[i].key, key) != 0)
		i++;
	ck_assert_uint_lt(i, BED_SETTINGS);
	if (i == bed->nsettings)
		bed->nsettings++;
	snprintf(bed->settings[i].key, sizeof(bed->settings[i].key), "%s", key);
	va_start(args, fmt);
	vsnprintf(bed->settings[i].value, sizeof(bed->settings[i].value), fmt, args);
	va_end(args);
}

struct proxy *bed_proxy_kafka(struct bed *bed)
{
	bed_set(bed, "kafka.bootstrap.servers", "127.0.0.1:%u", stack.proxy_port);
	return proxy_start_plain(stack.proxy_port, stack.proxied_port);
}

/*
 * "kafka.group.id" is key "group.id" of [kafka]; "stream.memory.start" is "start" of
 * [stream.memory].
 */
static size_t section_length(const char *key)
{
	const char *dot = strchr(key, '.');
	if (strncmp(key, "stream.", 7) == 0 || strncmp(key, "embed.", 6) == 0)
		dot = strchr(dot + 1, '.');
	return (size_t)(dot - key);
}

static void write_section(struct bed *bed, FILE *out, const char *section, size_t len)
{
	fprintf(out, "[%.*s]\n", (int)len, section);
	for (size_t i = 0; i < bed->nsettings; i++) {
		const struct bed_setting *s = &bed->settings[i];
		if (section_length(s->key) == len && strncmp(s->key, section, len) == 0)
			fprintf(out, "%s = %s\n", s->key + len + 1, s->value);
	}
}

static void set_derived(struct bed *bed, const char *role)
{
	static const char *const conflicts[] = {"newer", "update", "skip"};
	static const char *const others[] = {"dead_letter", "skip", "halt"};
	char key[96];
	bed_set(bed, "postgres.dsn", "postgresql://%s@127.0.0.1:%u/%s", role, bed->pg_port,
		bed->name);
	if (bed->sqlite[0]) {
		bed_set(bed, "postgres.dsn", "%s", "");
		bed_set(bed, "sqlite.path", "%s", bed->sqlite);
	}
	for (size_t i = 0; i < bed->nstreams; i++) {
		struct bed_stream *s = &bed->streams[i];
		snprintf(key, sizeof(key), "stream.%s.topic", s->name);
		bed_set(bed, key, "%s", s->topic);
		snprintf(key, sizeof(key), "stream.%s.schema", s->name);
		bed_set(bed, key, "%s", s->schema_path);
		snprintf(key, sizeof(key), "stream.%s.on_conflict", s->name);
		bed_set(bed, key, "%s", conflicts[s->on_conflict]);
		snprintf(key, sizeof(key), "stream.%s.other_types", s->name);
		bed_set(bed, key, "%s", others[s->other_types]);
		snprintf(key, sizeof(key), "stream.%s.key_schema", s->name);
		if (s->key_path[0])
			bed_set(bed, key, "%s", s->key_path);
	}
}

static void write_config(struct bed *bed, const char *path, const char *role)
{
	char new[192]; /* then renamed: a worker that has just been started may be reading it */
	set_derived(bed, role);
	snprintf(new, sizeof(new), "%s.new", path);
	FILE *out = fopen(new, "w");
	ck_assert_msg(out != NULL, "%s: %s", new, strerror(errno));
	for (size_t i = 0; i < bed->nsettings; i++) {
		const char *key = bed->settings[i].key;
		size_t len = section_length(key);
		bool first = true;
		for (size_t j = 0; j < i; j++) {
			if (section_length(bed->settings[j].key) == len &&
			    strncmp(bed->settings[j].key, key, len) == 0)
				first = false;
		}
		if (first)
			write_section(bed, out, key, len);
	}
	ck_assert_int_eq(fclose(out), 0);
	ck_assert_int_eq(rename(new, path), 0);
}

void bed_write_config(struct bed *bed)
{
	write_config(bed, bed->owner_config, OWNER);
	write_config(bed, bed->config, bed->role);
}

/* --- draining --- */

/* ('topic', partition, end), ... of every partition that holds anything. Empty: none does. */
static void log_ends(struct bed *bed, struct buf *out)
{
	int64_t low, high;
	for (size_t i = 0; i < bed->nstreams; i++) {
		int n = broker_partitions(bed->streams[i].topic);
		for (int p = 0; p < n; p++) {
			broker_watermarks(bed->streams[i].topic, p, &low, &high);
			if (high > 0)
				buf_printf(out, "%s('%s', %d, %lld)", out->len ? ", " : "",
					   bed->streams[i].topic, p, (long long)high);
		}
	}
}

static bool reached(struct bed *bed, struct buf *ends)
{
	lite_copy_offsets(bed);
	return ends->len == 0 ||
	       bed_int(bed,
		       "SELECT count(*) FROM (VALUES %s) AS v(topic, partition, log_end) LEFT JOIN "
		       "memingest.offsets o "
		       "ON o.pipeline = '%s' AND o.topic = v.topic AND o.partition = v.partition "
		       "WHERE o.next_offset IS DISTINCT FROM v.log_end",
		       buf_cstr(ends), bed->name) == 0;
}

bool bed_drained(struct bed *bed)
{
	struct buf ends = {0};
	log_ends(bed, &ends);
	bool done = reached(bed, &ends);
	buf_free(&ends);
	return done;
}

void bed_drain(struct bed *bed, int seconds)
{
	struct buf ends = {0};
	bed_flush(bed);
	log_ends(bed, &ends);
	BED_WAIT(bed, seconds, reached(bed, &ends));
	buf_free(&ends);
}

char *bed_read_file(const char *path)
{
	struct buf text = {0};
	char part[4096];
	FILE *in = fopen(path, "r");
	ck_assert_msg(in != NULL, "%s", path);
	for (size_t n; (n = fread(part, 1, sizeof(part), in)) > 0;)
		buf_put(&text, part, n);
	(void)fclose(in);
	return buf_take_text(&text);
}

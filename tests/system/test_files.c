/*
 * test_files.c - "produce --file": what stands in a file arrives in the table exactly, or is named
 * with its line and does not arrive at all.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bed.h"
#include "broker.h"
#include "schema/encode.h"
#include "system.h"

/* Runs produce; the exit status and some of what it says, NULL-terminated. */
static void produce(struct bed *bed, const char *stream, const char *path, int status, ...)
{
	const char *args[] = {stream, "--file", path, NULL}, *part;
	struct buf out = {0};
	va_list parts;
	int found = bed_command(bed, "produce", args, &out);
	ck_assert_msg(found == status, "exit %d, expected %d: %s", found, status, buf_cstr(&out));
	va_start(parts, status);
	while ((part = va_arg(parts, const char *)))
		ck_assert_msg(strstr(buf_cstr(&out), part) != NULL, "expected \"%s\" in: %s", part,
			      out.data);
	va_end(parts);
	buf_free(&out);
}

static const char *in_bed(const struct bed *bed, const char *name, char path[static 200])
{
	snprintf(path, 200, "%s/%s", bed->dir, name);
	return path;
}

static const char *write_file(const struct bed *bed, const char *name, const void *bytes, size_t n,
			      char path[static 200])
{
	FILE *file = fopen(in_bed(bed, name, path), "wb");
	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(bytes, 1, n, file), n);
	fclose(file);
	return path;
}

/*
 * Proves: every type, in the ways that people and exporters write it, is the value that it says.
 * The row is the one that made_up wants for the same event in Avro's own terms.
 */
START_TEST(every_type)
{
	char path[200];
	json_t *events =
		       json_load_file("tests/schemas/everything_events.json", JSON_ALLOW_NUL, NULL),
	       *event = json_object_get(events, "full"),
	       *wanted = json_object_get(events, "full_row");
	json_t *written = json_pack(
		"{s:s, s:f, s:[s,f], s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:[i,i,i], s:[i,i,i],"
		" s:{s:[i,n], s:i}, s:s, s:{s:i}}",
		"n_bytes", "-1.2345", "n_fixed", 123.45, "a_decimal", "0.5", -0.001, "t_date",
		"1969-12-31", "t_time_ms", "01:02:03.004", "t_time_us", "01:02:03.000005", "t_ms",
		"2023-11-14T22:13:20.123Z", "t_us", "2023-11-14 23:13:20.123456+01", "t_ns",
		"2023-11-14T22:13:20.123456789Z", "t_local_ms", "2023-11-14T22:13:20.123",
		"t_local_us", "2023-11-14T22:13:20.123456000", "v_packed", 1, 0, -1, "v_fixed", 2,
		1, 0, "s_json", "b", 1, "a", 2, "u_fixed", "01234567-89ab-cdef-0123-456789abcdef",
		"attributes", "z", 1);
	ck_assert_ptr_nonnull(written);
	json_object_update(event, written);
	json_object_set_new(json_object_get(event, "r_record"), "price", json_string("12.34"));
	struct bed *bed = bed_new("types");
	bed_stream_files(bed, "all", 1, "tests/schemas/everything.avsc",
			 "tests/schemas/everything_key.avsc");
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	ck_assert_int_eq(json_dump_file(event, in_bed(bed, "full.jsonl", path), JSON_COMPACT), 0);
	produce(bed, "all", path, 0, "produced 1 events of all", NULL);
	struct worker *w = worker_start(bed, NULL);
	bed_drain(bed, 20);
	worker_stop(w);
	const char *column;
	json_t *value;
	json_object_foreach (wanted, column, value) {
		struct pg_rows *rows =
			bed_query(bed, "SELECT \"%s\"::text FROM everything.all_of_it", column);
		ck_assert_uint_eq(pg_rows_count(rows), 1);
		ck_assert_msg(pg_value(rows, 0, 0) != NULL, "column %s is null", column);
		ck_assert_msg(strcmp(pg_value(rows, 0, 0), json_string_value(value)) == 0,
			      "column %s: should be %s, is %s", column, json_string_value(value),
			      pg_value(rows, 0, 0));
		pg_rows_free(rows);
	}
	json_decref(written);
	json_decref(events);
	bed_free(bed);
}
END_TEST

/*
 * Proves: bad lines are named with file and line and nothing of them is sent, the good ones arrive;
 * what only the table refuses (the dimension of a vector, JSON that is none) is refused here
 * already; the message key is the event's, by the key schema.
 */
START_TEST(lines)
{
#define LINE(key, rest)                                                                            \
	"{\"event_time\": \"2026-01-31T12:30:00Z\", \"namespace\": \"n\", \"key\": \"" key         \
	"\"" rest "}\n"
	static const char text[] =
		"\xef\xbb\xbf" LINE("k1", "") LINE("k2", ", \"embedding\": [1, 2, 3]")
			LINE("k3", ", \"metadata\": \"{no json\"") LINE("k4", ", \"rol\": \"user\"")
				LINE("k5", ", \"value\": \"a\\u0000b\"") "\r\n" LINE(
					"k6", ", \"role\": \"bad\", \"metadata\": {\"a\": [1, "
					      "2]}") "{\"event_time\": \"2026-02-30T12:30:00Z\", "
						     "\"namespace\": \"n\", \"key\": \"k7\"}\n"
						     "{\"event_time\": 5, \"namespace\": \"n\"";
	char path[200];
	struct bed *bed = bed_new("lines");
	bed_stream(bed, "memory", 1);
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	bed_sql(bed, "ALTER TABLE memory_entries ADD CHECK (role <> 'bad')");
	write_file(bed, "lines.jsonl", text, sizeof(text) - 1, path);
	produce(bed, "memory", path, 65, "produced 2 events", "; 6 bad",
		"lines.jsonl:2: the table would not take it: field 'embedding'",
		"has 3 dimensions, the column wants 384",
		"lines.jsonl:3: the table would not take it: field 'metadata'",
		"lines.jsonl:4: record MemoryEvent has no field 'rol'; did you mean 'role'?",
		"lines.jsonl:5: the table would not take it: field 'value'",
		"lines.jsonl:8: field 'event_time': wants long (timestamp-micros), found "
		"\"2026-02-30T12:30:00Z\": there is no such day in that month",
		"lines.jsonl:9: not JSON: the text ends", NULL);
	struct worker *w = worker_start(bed, NULL);
	bed_drain(bed, 20);
	worker_stop(w);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memory_entries WHERE key = 'k1'"), 1);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memory_entries"), 1);
	/* k6 was refused by the table's own check; what was sent shows in the dead letter */
	ck_assert_int_eq(
		bed_int(bed,
			"SELECT count(*) FROM memingest.dead_letters WHERE encode(key, 'hex') = "
			"'00%08x026e046b36' AND encode(value, 'hex') LIKE '%%%s%%'",
			bed->streams[0].key_id, "7b2261223a5b312c325d7d"), /* {"a":[1,2]} */
		1);
	bed_free(bed);
}
END_TEST

/* ---- containers ---- */

static void put_entry(struct buf *b, const char *key, const char *value)
{
	encode_bytes(b, key, strlen(key));
	encode_bytes(b, value, strlen(value));
}

/*
 * Of memory events as another program would have them: other order, milliseconds, a field that the
 * stream lacks; most of the stream's fields are missing.
 */
static void put_container(struct buf *b, const char *codec, int blocks)
{
	static const char sync[] = "0123456789abcdef";
	struct buf block = {0};
	char key[20];
	buf_put(b, "Obj\1", 4);
	encode_long(b, 2);
	put_entry(b, "avro.schema",
		  "{\"type\":\"record\",\"name\":\"MemoryEvent\",\"fields\":["
		  "{\"name\":\"key\",\"type\":\"string\"},{\"name\":\"extra\",\"type\":\"int\"},"
		  "{\"name\":\"event_time\",\"type\":{\"type\":\"long\",\"logicalType\":"
		  "\"timestamp-millis\"}},{\"name\":\"namespace\",\"type\":\"string\"}]}");
	put_entry(b, "avro.codec", codec);
	encode_long(b, 0);
	buf_put(b, sync, 16);
	for (int i = 0; i < blocks; i++) {
		block.len = 0;
		encode_bytes(&block, key, (size_t)snprintf(key, sizeof(key), "k%d", i));
		encode_long(&block, 12345);
		encode_long(&block, 1700000000123 + i);
		encode_bytes(&block, "n", 1);
		encode_long(b, 1);
		encode_bytes(b, block.data, block.len);
		buf_put(b, sync, 16);
	}
	buf_free(&block);
}

/*
 * Proves: a container is resolved by its own schema; one that is cut off gives what stands before
 * the cut, and block and offset; a codec that is not known is named; one that does not fit is the
 * file's fault.
 */
START_TEST(containers)
{
	char path[200], where[80];
	struct buf b = {0};
	struct bed *bed = bed_new("containers");
	bed_stream(bed, "memory", 1);
	bed_stream(bed, "pattern", 1);
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	put_container(&b, "null", 3);
	write_file(bed, "three.avro", b.data, b.len, path);
	produce(bed, "memory", path, 0, "produced 3 events", NULL);
	produce(bed, "pattern", path, 65, "three.avro: the writer has record MemoryEvent", NULL);
	size_t last = b.len;
	b.len = 0;
	put_container(&b, "null", 4);
	snprintf(where, sizeof(where), "cut.avro: behind record 3: block 4 at offset %zu: ", last);
	write_file(bed, "cut.avro", b.data, b.len - 20, path);
	produce(bed, "memory", path, 65, "produced 3 events", "1 bad", where, "the file is cut off",
		NULL);
	b.len = 0;
	put_container(&b, "lzo", 1);
	write_file(bed, "lzo.avro", b.data, b.len, path);
	produce(bed, "memory", path, 65, "codec \"lzo\" is not known", NULL);
	struct worker *w = worker_start(bed, NULL);
	bed_drain(bed, 20);
	worker_stop(w);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memory_entries"), 3);
	ck_assert_int_eq(
		bed_int(bed, "SELECT count(*) FROM memory_entries WHERE key = 'k2' AND value = '' "
			     "AND tags = '{}' AND role IS NULL AND event_time = "
			     "'2023-11-14 22:13:20.125+00'"),
		1);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memingest.dead_letters"), 0);
	buf_free(&b);
	bed_free(bed);
}
END_TEST

/* Proves: what is not there, a folder, and another format are said, and how the exit code tells. */
START_TEST(other_files)
{
	char path[200];
	struct bed *bed = bed_new("others");
	bed_stream(bed, "memory", 1);
	produce(bed, "memory", in_bed(bed, "nowhere.jsonl", path), 78,
		"nowhere.jsonl: No such file or directory", NULL);
	produce(bed, "memory", bed->dir, 78, "it is a directory", NULL);
	write_file(bed, "empty.jsonl", "", 0, path);
	produce(bed, "memory", path, 0, "produced 0 events", NULL);
	write_file(bed, "utf16.jsonl", "\xff\xfe{\0}\0", 6, path);
	produce(bed, "memory", path, 65, "utf16.jsonl: it is UTF-16", "save it as UTF-8", NULL);
	bed_free(bed);
}
END_TEST

static int64_t log_end(const struct bed *bed)
{
	int64_t low = 0, high = 0;
	broker_watermarks(bed->streams[0].topic, 0, &low, &high);
	return high;
}

/*
 * Proves: a line from a pipe is sent when it is there; a signal ends the wait for more, exit 75.
 */
START_TEST(interrupted)
{
	char path[200], log[200];
	int fd, code;
	struct bed *bed = bed_new("interrupted");
	bed_stream(bed, "memory", 1);
	bed_write_config(bed);
	ck_assert_int_eq(mkfifo(in_bed(bed, "pipe", path), 0600), 0);
	in_bed(bed, "produce.log", log);
	const char *argv[] = {stack.program, "produce", "memory", "-c",
			      bed->config,   "--file",  path,     NULL};
	int pid = spawn(argv, NULL, log);
	fd = open(path, O_WRONLY);
	ck_assert_int_ge(fd, 0);
	for (int n = 1; n <= 2; n++) {
		ck_assert_int_eq(write(fd, LINE("k1", ""), sizeof(LINE("k1", "")) - 1),
				 sizeof(LINE("k1", "")) - 1);
		BED_WAIT(bed, 20, log_end(bed) == n);
	}
	ck_assert_int_eq(kill(pid, SIGTERM), 0);
	code = wait_exit(pid);
	close(fd);
	ck_assert_int_eq(code, 75);
	bed_free(bed);
}
END_TEST

static void files_tests(TCase *tc)
{
	tcase_add_test(tc, every_type);
	tcase_add_test(tc, lines);
	tcase_add_test(tc, containers);
	tcase_add_test(tc, other_files);
	tcase_add_test(tc, interrupted);
}
SYSTEM_SUITE("files", 90, files_tests)

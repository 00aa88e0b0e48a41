/*
 * records.c - what reading an event out of a file costs: JSON lines, CSV and an Avro container,
 * from the bytes of the file to the bytes of a row.
 *
 *   records SCHEMA [COUNT]          SCHEMA: schemas/memory_event.avsc
 *
 * Makes its files first: the same events of 384 floats as JSON with 17 digits (a float32 that
 * Python printed), as JSON with 9 digits (what a float32 needs), as CSV with 9 digits, the vector
 * in JSON's and in PostgreSQL's notation, and as an Avro container without a codec. Then each is
 * read once: records_next(), which for text includes the encoding by the stream's schema, and
 * decode_record(). One thread; CPU time, as the machine may be shared.
 *
 * Failure ends the program with a message.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "codec/decode.h"
#include "codec/plan.h"
#include "file/records.h"
#include "schema/encode.h"
#include "schema/schema.h"

enum { DIMENSIONS = 384, BLOCK = 64 * 1024, SYNC = 16 };

static void die(const char *what, const char *why)
{
	fprintf(stderr, "records: %s: %s\n", what, why);
	exit(70);
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* --- data --- */

static float random_float(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return ((float)(*state >> 40) / (float)(1 << 24) - 0.5f) / 8;
}

static void put_json(struct buf *out, uint64_t i, int digits, uint64_t *state)
{
	buf_printf(
		out,
		"{\"op\": \"UPSERT\", \"event_time\": \"2026-01-31T12:30:00.%06uZ\", "
		"\"namespace\": \"agent-%u\", \"key\": \"note/%llu\", \"value\": \"The user asked "
		"for \\\"this\\\" and was told that it is not there, but might be found "
		"elsewhere.\", \"embedding\": [",
		(unsigned)(i % 1000000), (unsigned)(i % 7), (unsigned long long)i);
	for (int n = 0; n < DIMENSIONS; n++)
		buf_printf(out, "%s%.*g", n ? ", " : "", digits, (double)random_float(state));
	buf_puts(out,
		 "], \"metadata\": \"{\\\"a\\\": 1, \\\"b\\\": [1, 2, 3]}\", \"tags\": [\"a\", "
		 "\"b\"], \"user_id\": null, \"agent_id\": \"x\", \"role\": \"user\"}\n");
}

/* brackets: of the vector, "[]" or "{}". */
static void write_csv(FILE *file, uint64_t count, const char *brackets)
{
	uint64_t state = 7;
	fputs("op,event_time,namespace,key,value,embedding,metadata,tags,user_id,agent_id,role\n",
	      file);
	for (uint64_t i = 0; i < count; i++) {
		fprintf(file,
			"UPSERT,2026-01-31 12:30:00.%06uZ,agent-%u,note/%llu,\"The user asked for "
			"\"\"this\"\" and was told that it is not there, but might be found "
			"elsewhere.\",\"%c",
			(unsigned)(i % 1000000), (unsigned)(i % 7), (unsigned long long)i,
			brackets[0]);
		for (int n = 0; n < DIMENSIONS; n++)
			fprintf(file, "%s%.9g", n ? "," : "", (double)random_float(&state));
		fprintf(file, "%c\",\"{\"\"a\"\": 1, \"\"b\"\": [1, 2, 3]}\",\"{a,b}\",,x,user\n",
			brackets[1]);
	}
}

static void write_json(FILE *file, uint64_t count, int digits)
{
	struct buf line = {0};
	uint64_t state = 7;
	for (uint64_t i = 0; i < count; i++) {
		line.len = 0;
		put_json(&line, i, digits, &state);
		fwrite(line.data, 1, line.len, file);
	}
	buf_free(&line);
}

static void put_entry(struct buf *out, const char *key, struct slice value)
{
	encode_bytes(out, key, strlen(key));
	encode_bytes(out, value.data, value.len);
}

/* The datums of the JSON file, in a container. */
static void write_container(FILE *file, struct slice schema, struct records *from)
{
	static const uint8_t sync[SYNC] = "0123456789abcde";
	struct buf out = {0}, block = {0};
	struct slice datum;
	struct err err = {0};
	int64_t n = 0;
	buf_put(&out, "Obj\1", 4);
	encode_long(&out, 1);
	put_entry(&out, "avro.schema", schema);
	encode_long(&out, 0);
	buf_put(&out, sync, SYNC);
	for (bool more = true; more;) {
		more = records_next(from, &datum, &err) == RECORDS_RECORD;
		if (more) {
			buf_put(&block, datum.data, datum.len);
			n++;
		}
		if (block.len < BLOCK && more)
			continue;
		encode_long(&out, n);
		encode_bytes(&out, block.data, block.len);
		buf_put(&out, sync, SYNC);
		fwrite(out.data, 1, out.len, file);
		out.len = block.len = 0;
		n = 0;
	}
	buf_free(&out);
	buf_free(&block);
}

/* --- measuring --- */

static void measure(const char *what, const char *path, const struct table *table)
{
	struct decode_limits limits = {64, 100000, 4 << 20, 8 << 20, 2600};
	struct err err = {0};
	struct records *r = records_open(path, table, &err);
	struct decoder *decoder = decoder_new(&limits);
	struct plan *plan = r ? plan_new(records_schema(r), table, &err) : NULL;
	if (!plan)
		die(path, err.text);
	struct buf row = {0};
	struct record record;
	struct slice datum;
	uint64_t n = 0;
	enum records_result result;
	double begin = now(), reading = 0;
	while ((result = records_next(r, &datum, &err)) == RECORDS_RECORD) {
		row.len = 0;
		if (!decode_record(decoder, plan, datum, &row, &record, &err))
			die(path, err.text);
		n++;
	}
	reading = now() - begin;
	if (result != RECORDS_END)
		die(path, err.text);
	printf("%-28s %9.0f events/s  %6.2f us each\n", what, (double)n / reading,
	       reading / (double)n * 1e6);
	records_close(r);
	plan_free(plan);
	decoder_free(decoder);
	buf_free(&row);
}

static FILE *make_file(char *path)
{
	int fd = mkstemp(path);
	FILE *file = fd >= 0 ? fdopen(fd, "wb") : NULL;
	if (!file)
		die(path, "cannot be made");
	return file;
}

static void read_text(const char *path, struct buf *text)
{
	int c;
	FILE *file = fopen(path, "rb");
	if (!file)
		die(path, "cannot be read");
	while ((c = fgetc(file)) != EOF)
		buf_u8(text, (uint8_t)c);
	fclose(file);
}

/* What each file holds, and how it is called. */
static const struct {
	const char *what;
	int digits;           /* of JSON lines */
	const char *brackets; /* of CSV */
} kinds[] = {
	{"JSON lines, 17 digits", 17, NULL}, {"JSON lines, 9 digits", 9, NULL},
	{"CSV, 9 digits, [1,2]", 0, "[]"},   {"CSV, 9 digits, {1,2}", 0, "{}"},
	{"Avro container", 0, NULL},
};

static void measure_kind(size_t k, struct slice schema, const struct table *table, uint64_t count)
{
	char path[] = "/tmp/records-XXXXXX", json[] = "/tmp/records-XXXXXX";
	struct err err = {0};
	FILE *file = make_file(path);
	if (kinds[k].digits > 0) {
		write_json(file, count, kinds[k].digits);
	} else if (kinds[k].brackets) {
		write_csv(file, count, kinds[k].brackets);
	} else {
		FILE *lines = make_file(json);
		write_json(lines, count, 9);
		fclose(lines);
		struct records *r = records_open(json, table, &err);
		if (!r)
			die(json, err.text);
		write_container(file, schema, r);
		records_close(r);
		unlink(json);
	}
	fclose(file);
	measure(kinds[k].what, path, table);
	unlink(path);
}

int main(int argc, char **argv)
{
	uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 20000;
	struct err err = {0};
	struct buf text = {0};
	if (argc < 2)
		die("usage", "records SCHEMA [COUNT]");
	read_text(argv[1], &text);
	struct schema *schema = schema_parse((const char *)text.data, text.len, &err);
	struct table *table = schema ? table_new(schema, &err) : NULL;
	if (!table)
		die(argv[1], err.text);
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
		measure_kind(k, (struct slice){text.data, text.len}, table, count);
	table_free(table);
	schema_free(schema);
	buf_free(&text);
	return 0;
}

/*
 * decode.c - what one event costs in the codec: nanoseconds here, instructions under callgrind.
 *
 *   decode -c FILE --stream NAME
 *        JSON: ns an event of our decoder, and of Avro-C's generic value, on the same bytes
 *   decode -c FILE --stream NAME --dump FILE [--events N]
 *        the same data for other implementations: each datum as int32 length and bytes
 *   valgrind --tool=callgrind --toggle-collect=measured_... decode -c FILE --stream NAME --once
 *        one pass over fixed data, its keys in no order, through what callgrind looks for
 *
 * Ours is everything from the datum's bytes to the bytes of a row, checks included (UTF-8, JSON,
 * dimension, NaN). Avro-C's is reading the datum into a generic value that is reused: no row comes
 * out, so the comparison favours it. The data cycles through enough events (4 MB and more) that
 * neither works from the first-level cache, as in the worker.
 *
 * measured_* are not inlined, so that callgrind can name them: decode (decode_record), batch
 * (batch_add), arrange (arrange_folded).
 *
 * Failure ends the program with a message.
 */
#include <avro.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "events.h"

#define EVENTS (size_t)2000
#define SECONDS 0.5
#define KEEP __attribute__((noinline, used))

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *what, const char *why)
{
	fprintf(stderr, "decode: %s: %s\n", what, why);
	exit(70);
}

/* --- ours --- */

void measured_decode(const struct events *e, struct buf *out, struct record *records);
KEEP void measured_decode(const struct events *e, struct buf *out, struct record *records)
{
	struct err err = {0};
	out->len = 0;
	for (size_t i = 0; i < e->n; i++)
		if (!decode_record(e->decoder, e->plan, events_datum(e, i), out, &records[i], &err))
			die("decode_record", err.text);
}

/* The rows lie in b->rows already; batch_add() takes the one that ends where the rows end. */
void measured_batch(struct batch *b, const struct record *records, size_t n);
KEEP void measured_batch(struct batch *b, const struct record *records, size_t n)
{
	uint32_t span = batch_span(b, "bench", 0, b, 0, 1);
	size_t end = 0;
	for (size_t i = 0; i < n; i++) {
		b->rows.len = end += records[i].row_len;
		batch_add(b, span, (int64_t)i, 0, &records[i]);
	}
}

void measured_arrange(struct batch *b, const struct fold_rules *rules);
KEEP void measured_arrange(struct batch *b, const struct fold_rules *rules)
{
	arrange_folded(b, rules);
}

static void once(const struct events *e)
{
	struct record *records = xcalloc(e->n, sizeof(*records));
	struct fold_rules rules = fold_rules(e->stream->table, e->stream->config->on_conflict);
	struct batch *b = batch_new(e->n, e->bytes.len * 2);
	batch_reset(b);
	b->stream = e->stream;
	measured_decode(e, &b->rows, records);
	measured_batch(b, records, e->n);
	measured_arrange(b, &rules);
	printf("{\"stream\": \"%s\", \"events\": %zu}\n", e->stream->config->name, e->n);
	batch_free(b);
	free(records);
}

static double time_ours(const struct events *e)
{
	struct record *records = xcalloc(e->n, sizeof(*records));
	struct buf out = {0};
	size_t rounds = 0;
	measured_decode(e, &out, records);
	double start = now();
	for (; rounds == 0 || now() - start < SECONDS; rounds++)
		measured_decode(e, &out, records);
	double ns = (now() - start) * 1e9 / (double)(rounds * e->n);
	buf_free(&out);
	free(records);
	return ns;
}

/* --- Avro-C --- */

static void avro_round(const struct events *e, avro_value_t *value)
{
	for (size_t i = 0; i < e->n; i++) {
		struct slice datum = events_datum(e, i);
		avro_reader_t reader =
			avro_reader_memory((const char *)datum.data, (int64_t)datum.len);
		if (avro_value_reset(value) != 0 || avro_value_read(reader, value) != 0)
			die("Avro-C", avro_strerror());
		avro_reader_free(reader);
	}
}

static double time_avro(const struct events *e)
{
	avro_schema_t schema;
	avro_value_t value;
	const char *json = schema_canonical(e->stream->reader);
	if (avro_schema_from_json_length(json, strlen(json), &schema) != 0)
		die("Avro-C", avro_strerror());
	avro_value_iface_t *iface = avro_generic_class_from_schema(schema);
	avro_generic_value_new(iface, &value);
	size_t rounds = 0;
	avro_round(e, &value);
	double start = now();
	for (; rounds == 0 || now() - start < SECONDS; rounds++)
		avro_round(e, &value);
	double ns = (now() - start) * 1e9 / (double)(rounds * e->n);
	avro_value_decref(&value);
	avro_value_iface_decref(iface);
	avro_schema_decref(schema);
	return ns;
}

static void dump(const struct events *e, const char *path)
{
	FILE *f = fopen(path, "wb");
	for (size_t i = 0; f && i < e->n; i++) {
		struct slice datum = events_datum(e, i);
		uint8_t len[4];
		put_be32(len, (uint32_t)datum.len);
		if (fwrite(len, 4, 1, f) != 1 || fwrite(datum.data, datum.len, 1, f) != 1)
			die(path, "cannot be written");
	}
	if (!f || fclose(f) != 0)
		die(path, "cannot be written");
}

static void compare(const struct events *e)
{
	double ours = time_ours(e), avro = time_avro(e);
	printf("{\"stream\": \"%s\", \"bytes\": %.0f, \"ours_ns\": %.1f, \"avro_c_ns\": %.1f, "
	       "\"ratio\": %.1f}\n",
	       e->stream->config->name, (double)e->bytes.len / (double)e->n, ours, avro,
	       avro / ours);
}

int main(int argc, char **argv)
{
	static const struct option known[] = {{"config", 1, 0, 'c'}, {"stream", 1, 0, 's'},
					      {"dump", 1, 0, 'd'},   {"events", 1, 0, 'e'},
					      {"once", 0, 0, 'o'},   {0}};
	const char *config = NULL, *stream = "memory", *dump_path = NULL;
	bool single = false;
	size_t count = EVENTS;
	for (int c; (c = getopt_long(argc, argv, "c:", known, NULL)) != -1;) {
		if (c == 'c')
			config = optarg;
		else if (c == 's')
			stream = optarg;
		else if (c == 'd')
			dump_path = optarg;
		else if (c == 'e')
			count = strtoul(optarg, NULL, 10);
		else if (c == 'o')
			single = true;
		else
			return 64;
	}
	if (!config)
		die("usage", "decode -c FILE [--stream NAME] [--once | --dump FILE]");
	struct events_request request = {
		.count = single ? EVENTS / 4 : count, .seed = 1, .shuffled = single};
	struct events *e = events_make(events_open(config, stream), &request);
	if (single)
		once(e);
	else if (dump_path)
		dump(e, dump_path);
	else
		compare(e);
	events_free(e);
	events_close();
	return 0;
}

/*
 * events.c - a config's stream, and events of it made before any clock runs.
 *
 *   generator --datum--> bytes | datum 0 | datum 1 | ...      places: where each lies
 *                                   '--decode--> struct batch, when asked
 *
 * Not part of any measurement itself, but for events_decode(), whose two steps (decode_record,
 * batch_add) are the worker's own. Event times begin at a fixed moment, so the same request gives
 * the same bytes today and tomorrow: bench-instructions needs that.
 *
 * Thread: the main one. Memory: the process's. Failure ends the program.
 */
#include "events.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/config.h"
#include "gen/generate.h"

#define FIRST_EVENT_US INT64_C(1767225600000000) /* 2026-01-01 */

static struct config *config;
static struct stream *opened;
static char *dsn;

static void die(const struct err *err)
{
	fprintf(stderr, "bench: %s\n", err->text);
	exit(78);
}

struct stream *events_open(const char *config_path, const char *stream_name)
{
	struct err err = {0};
	if (!config && !(config = config_load(config_path, NULL, 0, NULL, &err)))
		die(&err);
	stream_free(opened);
	opened = NULL;
	for (size_t i = 0; i < config->nstreams && !opened; i++)
		if (strcmp(config->streams[i].name, stream_name) == 0 &&
		    !(opened = stream_new(config, i, &err)))
			die(&err);
	if (!opened) {
		err_set(&err, ERR_CONFIG, "%s has no [stream.%s]", config_path, stream_name);
		die(&err);
	}
	return opened;
}

const char *events_dsn(void)
{
	struct err err = {0};
	if (!dsn && !(dsn = config_secret(config->pg_dsn, config->pg_dsn_file, &err)))
		die(&err);
	return dsn;
}

const char *events_file(void)
{
	return config->sqlite_path;
}

void events_close(void)
{
	stream_free(opened);
	config_free(config);
	free(dsn);
	opened = NULL;
	config = NULL;
	dsn = NULL;
}

/* Fisher and Yates, with a generator that is good enough and the same everywhere. */
static void shuffle(struct events *e)
{
	uint64_t x = 88172645463325252u;
	for (size_t i = e->n; i > 1; i--) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		struct place *other = &e->places[x % i], last = e->places[i - 1];
		e->places[i - 1] = *other;
		*other = last;
	}
}

struct events *events_make(struct stream *stream, const struct events_request *request)
{
	struct err err = {0};
	const struct schema_id own = {.kind = SCHEMA_ID_NONE};
	struct generator_options options = {.seed = request->seed,
					    .keys = request->keys,
					    .start_time_us = FIRST_EVENT_US,
					    .format = FRAME_RAW};
	struct generator *g = generator_new(stream->table, stream->key_reader, &options, &err);
	struct events *e = xcalloc(1, sizeof(*e));
	if (!g || !(e->plan = stream_plan(stream, &own, false, stream->reader, &err)))
		die(&err);
	e->stream = stream;
	e->decoder = decoder_new(&config->limits);
	e->n = request->count;
	e->places = xmalloc((e->n + 1) * sizeof(*e->places));
	for (size_t i = 0; i < e->n; i++) {
		struct slice datum = generator_next(g)->datum;
		e->places[i] = (struct place){e->bytes.len, datum.len};
		buf_put(&e->bytes, datum.data, datum.len);
	}
	generator_free(g);
	if (request->shuffled)
		shuffle(e);
	return e;
}

void events_deal(struct events *e, size_t n)
{
	struct place *dealt = xmalloc((e->n + 1) * sizeof(*dealt));
	size_t at = 0;
	for (size_t first = 0; first < n; first++)
		for (size_t i = first; i < e->n; i += n)
			dealt[at++] = e->places[i];
	free(e->places);
	e->places = dealt;
}

void events_free(struct events *e)
{
	decoder_free(e->decoder);
	buf_free(&e->bytes);
	free(e->places);
	free(e);
}

void events_decode(const struct events *e, size_t from, size_t n, struct batch *b)
{
	struct err err = {0};
	struct record record;
	batch_reset(b);
	b->stream = e->stream;
	uint32_t span = batch_span(b, "bench", 0, b, (int64_t)from, 1);
	for (size_t i = from; i < from + n; i++) {
		if (!decode_record(e->decoder, e->plan, events_datum(e, i), &b->rows, &record,
				   &err))
			die(&err);
		batch_add(b, span, (int64_t)i, 0, &record);
	}
}

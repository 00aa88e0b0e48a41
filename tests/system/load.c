/*
 * load.c - the worker's own generator as the source of bulk events.
 *
 * The model does not believe the generator: it reads back what is in the topic. So a defect of the
 * generator shows as a difference, or as an event that the model calls poison although the
 * generator did not mean it.
 *
 *   schema file --> schema --> table --> generator --> key, value --> partition by the key's hash
 */
#include "load.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "broker.h"
#include "event.h"

struct load {
	struct bed *bed;
	struct bed_stream *stream;
	struct schema *schema, *key_schema;
	struct table *table;
	struct generator *generator;
};

static struct schema *parse(json_t *json)
{
	struct err err = {0};
	char *text = json_dumps(json, JSON_COMPACT);
	struct schema *s = schema_parse(text, strlen(text), &err);
	ck_assert_msg(s != NULL, "%s", err.text);
	free(text);
	return s;
}

struct load *load_open(struct bed *bed, const char *stream, struct generator_options options)
{
	struct load *l = xcalloc(1, sizeof(*l));
	struct err err = {0};
	l->bed = bed;
	for (size_t i = 0; i < bed->nstreams; i++) {
		if (strcmp(bed->streams[i].name, stream) == 0)
			l->stream = &bed->streams[i];
	}
	ck_assert_msg(l->stream != NULL, "the bed has no stream %s", stream);
	l->schema = parse(l->stream->schema);
	l->key_schema = l->stream->key_schema ? parse(l->stream->key_schema) : NULL;
	l->table = table_new(l->schema, &err);
	ck_assert_msg(l->table != NULL, "%s", err.text);
	options.format = FRAME_CONFLUENT;
	options.schema_id = l->stream->schema_id;
	options.key_schema_id = l->stream->key_id;
	l->generator = generator_new(l->table, l->key_schema, &options, &err);
	ck_assert_msg(l->generator != NULL, "%s", err.text);
	return l;
}

void load_send(struct load *l, size_t events)
{
	for (size_t i = 0; i < events; i++) {
		const struct generated *g = generator_next(l->generator);
		bed_raw(l->bed, l->stream->name, -1, g->key, g->value);
	}
}

void load_close(struct load *l)
{
	generator_free(l->generator);
	table_free(l->table);
	schema_free(l->schema);
	schema_free(l->key_schema);
	free(l);
}

void load_fill(struct bed *bed, const char *stream, size_t events, struct generator_options options)
{
	struct load *l = load_open(bed, stream, options);
	load_send(l, events);
	load_close(l);
	bed_flush(bed);
}

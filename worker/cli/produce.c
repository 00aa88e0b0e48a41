/*
 * produce.c - events of one stream into its topic, from the generator or (produce_file.c) from a
 * file; for "memingest produce".
 *
 *   gen/generate ------------> message --> io/producer --> topic
 *   file/records --> recode --> message
 *
 * The stream of the config says everything: topic, schema, key schema, wire format. In the
 * Confluent format both schemas are registered under "TOPIC-value" and "TOPIC-key" first, as other
 * producers do. Each message has its key (the key columns by the key schema), so that a message
 * without value can delete, and its event time as its timestamp.
 *
 * Thread: the command's. Failure: of the broker: class RETRY after a minute without progress.
 */
#include "cli/produce.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "io/registry.h"

enum { SEND_TIMEOUT_MS = 60000 };

/* ---- open and close ---- */

/* With a list of those that there are. */
static bool find_stream(struct produce *p, const char *name, struct err *err)
{
	struct buf names = {0};
	for (size_t i = 0; i < p->config->nstreams; i++) {
		if (strcmp(p->config->streams[i].name, name) == 0) {
			p->stream = stream_new(p->config, i, err);
			buf_free(&names);
			return p->stream != NULL;
		}
		buf_printf(&names, "%s%s", i ? ", " : "", p->config->streams[i].name);
	}
	err_set(err, ERR_CONFIG, "there is no stream \"%s\" in the config; there are: %s", name,
		buf_cstr(&names));
	buf_free(&names);
	return false;
}

/* The first that is a name: a pattern is no place to send to. */
static bool choose_topic(struct produce *p, const char *topic, struct err *err)
{
	const struct stream_config *c = p->stream->config;
	p->topic = topic;
	for (size_t i = 0; !p->topic && i < c->ntopics; i++)
		if (c->topics[i][0] != '^')
			p->topic = c->topics[i];
	return p->topic ||
	       err_set(err, ERR_CONFIG,
		       "stream.%s names its topics by pattern only: say which with --topic",
		       c->name);
}

/* Under the subject that other producers use. */
static bool register_schema(struct produce *p, const struct schema *schema, const char *what,
			    uint64_t *id, struct err *err)
{
	uint32_t registered = 0;
	if (p->config->nregistry_urls == 0)
		return err_set(err, ERR_CONFIG,
			       "format confluent needs a schema registry: set registry.url");
	char *subject = xasprintf("%s-%s", p->topic, what);
	char *text = json_dumps(schema->json, JSON_COMPACT | JSON_ENCODE_ANY);
	bool ok = registry_register(p->config, subject, text, &registered, err);
	*id = registered;
	free(text);
	free(subject);
	return ok;
}

/* What stands in front of each value and key. */
static bool name_schemas(struct produce *p, struct err *err)
{
	const struct stream *s = p->stream;
	switch (s->config->format) {
	case FRAME_CONFLUENT:
		return register_schema(p, s->reader, "value", &p->schema_id, err) &&
		       (!s->key_reader ||
			register_schema(p, s->key_reader, "key", &p->key_schema_id, err));
	case FRAME_SINGLE_OBJECT:
		p->schema_id = schema_fingerprint(s->reader);
		p->key_schema_id = s->key_reader ? schema_fingerprint(s->key_reader) : 0;
		return true;
	case FRAME_RAW:
		return true;
	}
	return true;
}

/* On failure produce_close() is still to be called. */
bool produce_open(struct produce *p, const struct config *config, const char *stream,
		  const char *topic, struct err *err)
{
	p->config = config;
	if (!find_stream(p, stream, err) || !choose_topic(p, topic, err) || !name_schemas(p, err))
		return false;
	p->producer = producer_new(config, NULL, NULL, err);
	p->start_us = clock_mono_us();
	return p->producer != NULL;
}

void produce_close(struct produce *p)
{
	producer_free(p->producer);
	stream_free(p->stream);
}

/* Counted as sent; whether it arrived, the reports say. */
bool produce_send(struct produce *p, struct slice key, struct slice value, int64_t timestamp_ms,
		  struct err *err)
{
	struct producer_message m = {
		.topic = p->topic,
		.partition = -1,
		.timestamp_ms = timestamp_ms,
		.key = key,
		.value = value,
	};
	if (!producer_send(p->producer, &m, SEND_TIMEOUT_MS, err))
		return false;
	p->sent++;
	return true;
}

/* ---- generated ---- */

/* Waits until event number sent is due. */
static void keep_pace(struct produce *p, double rate)
{
	int64_t due_us = p->start_us + (int64_t)((double)p->sent * (double)US_PER_S / rate);
	while (p->going(p) && clock_mono_us() < due_us)
		producer_poll(p->producer, MIN(clock_poll_ms(due_us), 100));
}

/* Ends at the count, at a failure, or when going() says so. */
bool produce_generated(struct produce *p, struct generator_options *options, uint64_t count,
		       double rate, struct err *err)
{
	bool ok = true;
	options->format = p->stream->config->format;
	options->schema_id = p->schema_id;
	options->key_schema_id = p->key_schema_id;
	p->total = count;
	struct generator *g = generator_new(p->stream->table, p->stream->key_reader, options, err);
	if (!g)
		return false;
	p->start_us = clock_mono_us();
	while (ok && p->sent < count && (p->sent % PRODUCE_LOOK_EVERY != 0 || p->going(p))) {
		if (rate > 0)
			keep_pace(p, rate);
		const struct generated *e = generator_next(g);
		ok = produce_send(p, e->key, e->value, e->time_us / US_PER_MS, err);
		p->ops[e->op] += ok;
	}
	p->complete = p->sent == count;
	generator_free(g);
	return ok;
}

/* As long as something is still confirmed now and then. */
bool produce_finish(struct produce *p, struct err *err)
{
	int64_t deadline_us = clock_mono_us() + SEND_TIMEOUT_MS * US_PER_MS;
	while (producer_queued(p->producer) > 0 && clock_poll_ms(deadline_us) > 0) {
		uint64_t before = producer_delivered(p->producer);
		producer_poll(p->producer, 100);
		if (producer_delivered(p->producer) > before)
			deadline_us = clock_mono_us() + SEND_TIMEOUT_MS * US_PER_MS;
		p->going(p);
	}
	return producer_flush(p->producer, 100, err);
}

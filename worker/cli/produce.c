/*
 * produce.c - events of one stream into its topic, from the generator or (produce_file.c) from a
 * file; for "memingest produce".
 *
 *   gen/generate ------------> message --> io/producer --> topic
 *   file/records --> core/message --> message
 *
 * The stream of the config says everything: topic, schema, key schema, wire format. In the
 * Confluent format both schemas are looked for under "TOPIC-value" and "TOPIC-key" first, and
 * registered there if they are missing, as other producers do; that is said, since it changes
 * something that others use. Each message has its key (the key columns by the key schema), so that
 * a message without value can delete, and its event time as its timestamp.
 *
 * Thread: the command's. Failure: of the broker: class RETRY after a minute without progress.
 */
#include "cli/produce.h"

#include <stdio.h>

#include "base/clock.h"

enum { SEND_TIMEOUT_MS = 60000, TOPIC_TIMEOUT_MS = 10000 };

/* ---- open and close ---- */

/* A pattern is no place to send to. */
static bool choose_topic(struct produce *p, const char *topic, struct err *err)
{
	p->topic = topic ? topic : envelope_topic(p->stream);
	return p->topic ||
	       err_set(err, ERR_CONFIG,
		       "stream.%s names its topics by pattern only: say which with --topic",
		       p->stream->config->name);
}

static void tell_new(const char *subject, uint32_t id)
{
	fprintf(stderr, "registered the schema of subject %s with the registry: id %u\n", subject,
		id);
}

/* On failure produce_close() is still to be called. */
bool produce_open(struct produce *p, const struct config *config, size_t stream, const char *topic,
		  bool registers, struct err *err)
{
	p->config = config;
	if (!(p->stream = stream_new(config, stream, err)) || !choose_topic(p, topic, err) ||
	    !(p->producer = producer_new(config, NULL, NULL, err)) ||
	    !producer_sees_topic(p->producer, p->topic, TOPIC_TIMEOUT_MS, err) ||
	    !envelope_find(&p->envelope, config, p->stream, p->topic, registers, tell_new, err))
		return false;
	p->start_us = clock_mono_us();
	return true;
}

void produce_close(struct produce *p)
{
	producer_free(p->producer);
	stream_free(p->stream);
}

/* Waits until event number sent is due. */
static void keep_pace(struct produce *p)
{
	int64_t due_us = p->start_us + (int64_t)((double)p->sent * (double)US_PER_S / p->rate);
	while (p->going(p) && clock_mono_us() < due_us)
		producer_poll(p->producer, MIN(clock_poll_ms(due_us), 100));
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
	if (p->rate > 0)
		keep_pace(p);
	if (!producer_send(p->producer, &m, SEND_TIMEOUT_MS, err))
		return false;
	p->sent++;
	return true;
}

/* ---- generated ---- */

/* Ends at the count, at a failure, or when going() says so. */
bool produce_generated(struct produce *p, struct generator_options *options, uint64_t count,
		       struct err *err)
{
	bool ok = true;
	options->format = p->envelope.format;
	options->schema_id = p->envelope.value;
	options->key_schema_id = p->envelope.key;
	p->total = count;
	struct generator *g = generator_new(p->stream->table, p->stream->key_reader, options, err);
	if (!g)
		return false;
	p->start_us = clock_mono_us();
	while (ok && p->sent < count && (p->sent % PRODUCE_LOOK_EVERY != 0 || p->going(p))) {
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

/*
 * events.c - the events of a part of the log.
 *
 *   replay (io/replay.c) --> frame --> plan --> decode --> take()
 *
 * What the poll thread does with a pipeline behind it (flow/intake.c), this does for one who only
 * looks: there are no batches and no dead letters, and a schema that is not known yet is waited
 * for.
 *
 * Thread: the command's; all happens inside events_read(). Failure: of an event, take() is told
 * why; Kafka that is silent, or a registry, ends it.
 */
#include "cli/events.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "codec/decode.h"
#include "io/registry.h"

enum { REGISTRY_WAIT_MS = 10000, POLL_MESSAGES = 1000, TURN_MS = 100 };
#define SILENT_US (30 * US_PER_S)

struct reading {
	struct stream *stream;
	const struct replay *what;
	struct registry *registry;
	struct decoder *decoder;
	struct buf row;
	struct source *source;
	struct source_partition **sps;
	bool *started, *ended; /* of each */
	size_t n;
	int64_t heard_us;
	void (*take)(void *ctx, const struct event *e);
	void *ctx;
	struct err err; /* why it cannot go on */
};

/* ---- one event ---- */

static bool ask_registry(struct reading *r, const struct schema_id *id,
			 const struct schema **writer, struct err *err)
{
	struct pollfd fd = {.fd = registry_fd(r->registry), .events = POLLIN};
	enum registry_answer answer;
	while ((answer = registry_get(r->registry, id, writer, err)) == REGISTRY_PENDING &&
	       poll(&fd, 1, REGISTRY_WAIT_MS) > 0)
		registry_ack(r->registry);
	if (answer == REGISTRY_PENDING && err->class == ERR_NONE)
		err_set(err, ERR_RETRY, "the schema registry does not answer");
	return answer == REGISTRY_FOUND;
}

static const struct plan *plan_of(struct reading *r, const struct schema_id *id, bool key,
				  struct err *err)
{
	const struct plan *plan = NULL;
	const struct schema *writer = key ? r->stream->key_reader : r->stream->reader;
	if (stream_plan_cached(r->stream, id, key, &plan, err))
		return plan;
	if (id->kind != SCHEMA_ID_NONE && !ask_registry(r, id, &writer, err))
		return NULL;
	return stream_plan(r->stream, id, key, writer, err);
}

static bool decode(struct reading *r, const struct source_message *m, struct record *record,
		   struct err *err)
{
	struct frame frame = {0};
	bool key = m->value.data == NULL, in_header;
	if (key && (!m->key.data || !r->stream->key_reader))
		return err_set(err, ERR_POISON, "a message without value, and no key to read");
	if (!source_frame(m, r->stream->config->format, key, &frame, &in_header, err))
		return false;
	const struct plan *plan = plan_of(r, &frame.id, key, err);
	if (!plan)
		return false;
	r->row.len = 0;
	if (!key)
		return decode_record(r->decoder, plan, frame.body, &r->row, record, err);
	return decode_key(r->decoder, plan, frame.body,
			  m->timestamp_ms < 0 ? DECODE_NO_VERSION : m->timestamp_ms, &r->row,
			  record, err);
}

static bool on_message(void *ctx, const struct source_message *m)
{
	struct reading *r = ctx;
	struct event e = {.m = m};
	struct err err = {0};
	r->heard_us = clock_mono_us();
	e.ok = decode(r, m, &e.record, &err);
	e.why = err.text;
	if (e.ok)
		e.row = (struct slice){r->row.data, r->row.len};
	if (!e.ok && err.class == ERR_RETRY && r->err.class == ERR_NONE)
		r->err = err;
	else
		r->take(r->ctx, &e);
	return r->err.class == ERR_NONE;
}

/* ---- the source ---- */

static void on_assigned(void *ctx, struct source_partition **sps, size_t n)
{
	struct reading *r = ctx;
	for (size_t i = 0; i < n; i++) {
		sps[i]->user = (void *)(uintptr_t)i;
		r->sps[i] = sps[i];
		r->started[i] = r->ended[i] = false;
	}
	r->n = n;
}

static void on_revoked(void *ctx, struct source_partition **sps, size_t n, bool lost)
{
	struct reading *r = ctx;
	(void)sps;
	(void)n;
	(void)lost;
	r->n = 0;
}

static void on_eof(void *ctx, struct source_partition *sp, int64_t offset)
{
	struct reading *r = ctx;
	const struct replay_part *part = replay_find(r->what, sp->topic, sp->partition);
	r->heard_us = clock_mono_us();
	if (offset >= part->end)
		r->ended[(uintptr_t)sp->user] = true;
}

static void on_fault(void *ctx, struct source_partition *sp, enum source_fault fault,
		     const char *text)
{
	struct reading *r = ctx;
	(void)fault;
	if (r->err.class == ERR_NONE)
		err_set(&r->err, ERR_CONFIG, "%s [%d]: %s", sp->topic, sp->partition, text);
}

static void on_fatal(void *ctx, const struct err *why)
{
	struct reading *r = ctx;
	if (r->err.class == ERR_NONE)
		err_set(&r->err, ERR_RETRY, "%s", why->text);
}

static void on_statistics(void *ctx, const char *json, size_t len)
{
	(void)ctx;
	(void)json;
	(void)len;
}

static const struct source_ops callbacks = {.assigned = on_assigned,
					    .revoked = on_revoked,
					    .message = on_message,
					    .eof = on_eof,
					    .fault = on_fault,
					    .fatal = on_fatal,
					    .statistics = on_statistics};

/* ---- the loop ---- */

/* Fetching may not be possible yet; then it is tried at the next turn. */
static bool start_all(struct reading *r)
{
	bool all = r->n > 0;
	struct err later = {0};
	for (size_t i = 0; i < r->n; i++) {
		int64_t from = replay_find(r->what, r->sps[i]->topic, r->sps[i]->partition)->from;
		if (!r->started[i])
			r->started[i] = source_start(r->source, r->sps[i], from, &later);
		all &= r->started[i];
	}
	return all;
}

static bool is_done(const struct reading *r)
{
	bool all = r->n > 0;
	for (size_t i = 0; i < r->n; i++)
		all &= r->ended[i];
	return all;
}

static bool turn(struct reading *r, int abort_fd)
{
	size_t n = source_poll(r->source, POLL_MESSAGES);
	bool all = start_all(r);
	struct pollfd fds[] = {{.fd = source_fd(r->source), .events = POLLIN},
			       {.fd = abort_fd, .events = POLLIN}};
	if (r->err.class != ERR_NONE || is_done(r))
		return false;
	if (n == 0 && clock_mono_us() - r->heard_us > SILENT_US)
		return err_set(&r->err, ERR_RETRY, "no answer from the brokers in time");
	if (poll(fds, 2, n > 0 ? 0 : all ? TURN_MS : TURN_MS / 10) > 0 && fds[1].revents)
		return err_set(&r->err, ERR_RETRY, "given up on request");
	return true;
}

static void close_all(struct reading *r)
{
	(void)source_close(r->source, 0); /* what does not end, ends with the process */
	registry_free(r->registry);
	decoder_free(r->decoder);
	buf_free(&r->row);
	free(r->sps);
	free(r->started);
	free(r->ended);
}

bool events_read(const struct config *config, struct stream *stream, const struct replay *what,
		 int abort_fd, void (*take)(void *ctx, const struct event *e), void *ctx,
		 struct err *err)
{
	struct reading r = {.stream = stream,
			    .what = what,
			    .take = take,
			    .ctx = ctx,
			    .heard_us = clock_mono_us()};
	if (what->n == 0)
		return true;
	r.sps = xcalloc(what->n, sizeof(struct source_partition *));
	r.started = xcalloc(what->n, sizeof(*r.started));
	r.ended = xcalloc(what->n, sizeof(*r.ended));
	r.decoder = decoder_new(&config->limits);
	r.registry = registry_new(config, &r.err);
	r.source = r.registry ? replay_open((void *)(uintptr_t)what, config, &callbacks, &r, &r.err)
			      : NULL;
	while (r.source && turn(&r, abort_fd))
		;
	close_all(&r);
	if (r.err.class != ERR_NONE)
		*err = r.err;
	return r.err.class == ERR_NONE;
}

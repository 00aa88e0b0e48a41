/*
 * offsets_skip.c - one message that halts its partition, into the dead letters on an operator's
 * word.
 *
 *   read the message (the first at or behind next_offset)
 *   claim                                       fences a running worker's batch in flight
 *   BEGIN; swap; dead letter; batch row; COMMIT the worker's own transaction (write/store.h)
 *
 * It is a batch of one event, written as a worker would write it, by the worker's own code: the
 * swap makes it happen once, the ranges of memingest.batches tile, and the letter lands whatever it
 * quotes. A running worker finds the row moved at its next look and goes on from there.
 *
 * A partition that is merely behind has a good message at its position. So a worker must have
 * written down that it halts there (memingest.offsets.halted_at), or the operator says why.
 *
 * What it is not: a way past a range of offsets (accept-gap), and no verdict on the message.
 *
 * Thread: the command's. Failure: whatever fails before COMMIT changes nothing but the epoch.
 */
#include "cli/offsets_skip.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/database.h"
#include "core/batch.h"
#include "core/stream.h"

#define KAFKA_TIMEOUT_MS 10000

/* --- plan --- */

static bool find_position(const struct positions *positions, int32_t partition,
			  const struct position **p, struct err *err)
{
	for (size_t i = 0; i < positions->n; i++) {
		*p = &positions->all[i];
		if ((*p)->known && (*p)->partition == partition)
			return true;
	}
	return err_set(err, ERR_POISON,
		       "memingest.offsets has no row for that: nothing of it was ever consumed");
}

static bool is_in_log(const struct position *p, struct err *err)
{
	if (p->topic_id[0] && p->kafka_topic_id[0] && strcmp(p->topic_id, p->kafka_topic_id) != 0)
		return err_set(err, ERR_POISON,
			       "%s [%d]: the topic was created anew: use adopt-topic", p->topic,
			       p->partition);
	if (!p->answered)
		return err_set(err, ERR_POISON, "%s [%d]: Kafka knows no such partition", p->topic,
			       p->partition);
	if (p->next_offset < p->low)
		return err_set(err, ERR_POISON,
			       "%s [%d]: next_offset is %" PRId64
			       ", and Kafka's log begins at %" PRId64 ": use accept-gap",
			       p->topic, p->partition, p->next_offset, p->low);
	if (p->next_offset >= p->high)
		return err_set(err, ERR_POISON,
			       "%s [%d]: there is no message to skip: next_offset is %" PRId64
			       ", and Kafka's log ends at %" PRId64,
			       p->topic, p->partition, p->next_offset, p->high);
	return true;
}

/* Or the operator knows why. */
static bool is_stuck(const struct position *p, struct err *err)
{
	if (p->halted_at == p->next_offset)
		return true;
	if (p->halted_at > p->next_offset)
		return err_set(err, ERR_RETRY,
			       "%s [%d]: it halts at offset %" PRId64
			       ", but next_offset is %" PRId64
			       ": what is before has to be written first: try again",
			       p->topic, p->partition, p->halted_at, p->next_offset);
	return err_set(err, ERR_POISON,
		       "%s [%d]: no worker has said that the message at next_offset, %" PRId64
		       ", halts it: say with --reason TEXT why it is to be skipped",
		       p->topic, p->partition, p->next_offset);
}

bool offsets_skip_plan(struct offsets_skip *skip, const struct config *config,
		       const struct positions *positions, int32_t partition, const char *reason,
		       struct err *err)
{
	*skip = (struct offsets_skip){.config = config, .reason = reason};
	if (!find_position(positions, partition, &skip->position, err) ||
	    !is_in_log(skip->position, err) || (!reason && !is_stuck(skip->position, err)))
		return false;
	const struct position *p = skip->position;
	struct refetch *reader = refetch_new(config);
	bool ok = refetch_first(reader, p->topic, partition, p->next_offset, KAFKA_TIMEOUT_MS,
				&skip->message, err);
	refetch_free(reader);
	return ok;
}

void offsets_skip_print(const struct offsets_skip *skip, bool done)
{
	const struct position *p = skip->position;
	const struct refetched *m = &skip->message;
	printf("%s [%d]: message at offset %" PRId64 " (key of %zu bytes, value of %zu) %s dead "
	       "letter, next_offset %" PRId64 " -> %" PRId64 "\n",
	       p->topic, p->partition, m->offset, m->key_len, m->value_len,
	       done ? "is a" : "becomes a", p->next_offset, m->offset + 1);
}

void offsets_skip_free(struct offsets_skip *skip)
{
	refetched_free(&skip->message);
}

/* --- apply --- */

static bool load_streams(const struct config *config, struct stream **streams, struct err *err)
{
	for (size_t i = 0; i < config->nstreams; i++)
		if (!(streams[i] = stream_new(config, i, err)))
			return false;
	return true;
}

static bool moved(const struct position *p, struct err *err)
{
	return err_set(err, ERR_RETRY,
		       "%s [%d]: the partition moved meanwhile: look again and try again", p->topic,
		       p->partition);
}

/* "user@host skipped it: WHY; it halted: ..." New. */
static char *detail_of(const struct offsets_skip *skip, const char *who)
{
	const struct position *p = skip->position;
	bool halts = p->halted_at == p->next_offset;
	return xasprintf("skipped by an operator, %s%s%s%s%s", who, skip->reason ? ": " : "",
			 skip->reason ? skip->reason : "",
			 halts ? "; it halted the partition: " : "", halts ? p->halted : "");
}

static void fill_batch(struct batch *b, const struct offsets_skip *skip,
		       const struct sink_claim *claim, const char *detail)
{
	const struct refetched *m = &skip->message;
	uint32_t span = batch_span(b, claim->topic, claim->partition, NULL, claim->next_offset,
				   claim->owner_epoch);
	struct dead_letter letter = {.span = span,
				     .offset = m->offset,
				     .timestamp_ms = m->timestamp_ms,
				     .reason = REASON_OPERATOR,
				     .detail = detail,
				     .has_key = m->key != NULL,
				     .key = {m->key, m->key_len},
				     .has_value = m->value != NULL,
				     .value = {m->value, m->value_len},
				     .headers = m->headers};
	batch_add_dead(b, &letter);
}

static bool write_batch(struct store *store, struct batch *b, const struct position *p,
			struct err *err)
{
	struct sink_try how = {0};
	enum sink_result result = SINK_AGAIN;
	while (result == SINK_AGAIN)
		result = store_write(store, b, &how, err);
	if (result != SINK_DONE)
		return false;
	return b->spans[0].result == SPAN_COMMITTED || moved(p, err);
}

static bool claim_and_write(struct offsets_skip *skip, struct store *store, struct stream *stream,
			    const char *who, struct err *err)
{
	const struct position *p = skip->position;
	struct sink_claim claim = {.topic = p->topic,
				   .partition = p->partition,
				   .topic_id = p->topic_id,
				   .low = p->low};
	bool ok = store_claim(store, &claim, err);
	if (ok && claim.next_offset == p->next_offset) {
		struct batch *b = batch_new(1, 0);
		b->stream = stream;
		char *detail = detail_of(skip, who);
		fill_batch(b, skip, &claim, detail);
		ok = write_batch(store, b, p, err);
		free(detail);
		batch_free(b);
	} else if (ok) {
		return moved(p, err);
	}
	skip->lost = !ok && store_trouble(store, err) == STORE_SESSION;
	return ok;
}

/* In a session like a worker's lane's; a file that a worker has is not had. */
static bool with_store(struct offsets_skip *skip, struct stream **streams, struct stream *stream,
		       const char *who, struct err *err)
{
	const struct store_setup setup = {.config = skip->config,
					  .streams = streams,
					  .nstreams = skip->config->nstreams,
					  .abort_fd = -1};
	int64_t due_us;
	struct store *store = database_store(skip->config)->create(&setup);
	bool ok = store_open(store, &due_us, err);
	skip->lost = !ok && !skip->config->sqlite_path;
	ok = ok && claim_and_write(skip, store, stream, who, err);
	store->class->destroy(store);
	return ok;
}

bool offsets_skip_apply(struct offsets_skip *skip, const char *who, struct err *err)
{
	const struct config *config = skip->config;
	const char *topic = skip->position->topic;
	size_t index = stream_of_topic(config, topic);
	if (index == config->nstreams)
		return err_set(err, ERR_CONFIG, "topic %s belongs to no stream of the config",
			       topic);
	struct stream **streams = xcalloc(config->nstreams, sizeof(struct stream *));
	bool ok = load_streams(config, streams, err) &&
		  with_store(skip, streams, streams[index], who, err);
	for (size_t i = 0; i < config->nstreams; i++)
		stream_free(streams[i]);
	free(streams);
	return ok;
}

/*
 * partition.c - the states of a partition, every change of them, and the look at its log.
 *
 * What a change of state asks of librdkafka (pause, seek, resume) stands beside it, so that the two
 * can not differ: a partition fetches if and only if it is ACTIVE.
 *
 * Offsets only mean something within one log. If retention, truncation or a re-created topic has
 * changed the log under the stored offset, going on would skip or replay events silently, whichever
 * way one chose; so the partition halts and an operator chooses, with a verb that leaves a record.
 * (auto.offset.reset never acts: the source sets it to error.)
 *
 * A topic re-created with a longer log than before can be told only by its id, which librdkafka
 * reports from 2.3 on. Without ids there is one more sign: Kafka said "out of range" of a position
 * that a look at the log finds inside it. Then the log was another one in between, and what now
 * stands below the position has never been read.
 *
 * Thread: the poll thread. Failure: what librdkafka can not do yet is tried again.
 */
#include "flow/partition.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "core/stream.h"
#include "io/origin.h"

#define HALTED_LOOK_US (10 * US_PER_S)

#define TO(state) (1u << PARTITION_##state)

static const struct {
	const char *name;
	unsigned next;
} states[PARTITION_STATE_COUNT] = {
	[PARTITION_ASSIGNED] = {"assigned", TO(ASSIGNED) | TO(LOOKING) | TO(HALTED) | TO(GONE)},
	[PARTITION_LOOKING] = {"looking", TO(ASSIGNED) | TO(CLAIMING) | TO(GONE)},
	[PARTITION_CLAIMING] = {"claiming", TO(ASSIGNED) | TO(STARTING) | TO(HALTED) | TO(GONE)},
	[PARTITION_STARTING] = {"starting", TO(ASSIGNED) | TO(ACTIVE) | TO(HALTED) | TO(GONE)},
	[PARTITION_ACTIVE] = {"active", TO(ASSIGNED) | TO(PAUSED) | TO(HALTED) | TO(GONE)},
	[PARTITION_PAUSED] = {"paused", TO(ASSIGNED) | TO(STARTING) | TO(HALTED) | TO(GONE)},
	[PARTITION_HALTED] = {"halted", TO(ASSIGNED) | TO(HALTED) | TO(GONE)},
	[PARTITION_GONE] = {"gone", 0},
};

const char *partition_state_name(enum partition_state state)
{
	return states[state].name;
}

const char *pause_cause_name(enum pause_cause cause)
{
	static const char *const names[] = {
		[PAUSE_NONE] = "", [PAUSE_BATCHES] = "batches", [PAUSE_SCHEMA] = "schema"};
	return names[cause];
}

/* The one place where a state changes. */
static void set_state(struct partition *part, enum partition_state state)
{
	assert(states[part->state].next & 1u << state);
	part->state = state;
}

/* Whether librdkafka fetches it, or is to fetch it soon. */
static bool is_on(const struct partition *part)
{
	return part->state == PARTITION_STARTING || part->state == PARTITION_ACTIVE ||
	       part->state == PARTITION_PAUSED;
}

/* --- the set --- */

void partitions_open(struct partitions *ps, const char *config_path)
{
	*ps = (struct partitions){.names = arena_new(), .option = ""};
	if (!config_path)
		return;
	char *option = xasprintf(" -c %s", config_path);
	ps->option = arena_strdup(ps->names, option);
	free(option);
}

void partitions_close(struct partitions *ps)
{
	for (size_t i = 0; i < ps->n; i++)
		free(ps->all[i]);
	for (size_t i = 0; i < ps->ntopics; i++)
		free(ps->topics[i]->offsets);
	free(ps->all);
	free(ps->topics);
	arena_free(ps->names);
}

/* Spans outlive partitions, so topics' names live as long as the process. */
struct topic_starts *partitions_topic(struct partitions *ps, const char *topic)
{
	for (size_t i = 0; i < ps->ntopics; i++)
		if (strcmp(ps->topics[i]->topic, topic) == 0)
			return ps->topics[i];
	struct topic_starts *new = arena_calloc(ps->names, 1, sizeof(*new));
	new->topic = arena_strdup(ps->names, topic);
	ps->topics = xrealloc(ps->topics, (ps->ntopics + 1) * sizeof(struct topic_starts *));
	return ps->topics[ps->ntopics++] = new;
}

struct partition *partitions_add(struct partitions *ps, struct source_partition *sp,
				 struct slot *slot)
{
	struct partition *part = xcalloc(1, sizeof(*part));
	part->sp = sp;
	part->slot = slot;
	part->starts = partitions_topic(ps, sp->topic);
	part->topic = part->starts->topic;
	part->partition = sp->partition;
	part->state = PARTITION_ASSIGNED;
	part->durable_ts_ms = part->pending_ts_ms = -1;
	part->durable = part->position = part->awaited = part->stuck_at = -1;
	sp->user = part;
	if (ps->n == ps->cap) {
		ps->cap = ps->cap ? 2 * ps->cap : 16;
		ps->all = xrealloc(ps->all, ps->cap * sizeof(struct partition *));
	}
	return ps->all[ps->n++] = part;
}

/* An open batch may still name it in a dropped span. */
static bool is_named(const struct partition *part)
{
	const struct batch *b = part->slot->open;
	for (size_t i = 0; b && i < b->nspans; i++)
		if (b->spans[i].owner == part)
			return true;
	return false;
}

/* The last of those who name it frees it. */
void partition_release(struct partitions *ps, struct partition *part)
{
	if (part->state != PARTITION_GONE || part->in_flight > 0 || part->looks > 0 ||
	    is_named(part))
		return;
	for (size_t i = 0; i < ps->n; i++)
		if (ps->all[i] == part)
			ps->all[i--] = ps->all[--ps->n];
	free(part);
}

/* --- forward --- */

void partition_look(struct partition *part)
{
	set_state(part, PARTITION_LOOKING);
	part->looks++;
}

void partition_claim(struct partition *part)
{
	set_state(part, PARTITION_CLAIMING);
	part->in_flight++;
}

/* True: it may start where the row says. */
bool partition_claimed(struct partitions *ps, struct partition *part, int64_t next_offset,
		       int64_t epoch, const char *topic_id)
{
	struct err err = {0};
	/* Somebody else raised the epoch since our last claim: an operator has decided. */
	if (epoch > part->epoch + 1)
		part->suspect = false;
	part->position = part->durable = next_offset;
	part->epoch = epoch;
	part->sure_us = clock_mono_us();
	snprintf(part->known_topic_id, sizeof(part->known_topic_id), "%s", topic_id);
	if (partition_check_log(part, ps->option, &err)) {
		part->error[0] = '\0';
		part->suspect = part->past_end = false;
		part->retry_us = 0;
		set_state(part, PARTITION_STARTING);
		return true;
	}
	/* The row may have moved on between the look and the claim: then a second look says so. */
	if (part->durable > part->high && !part->past_end) {
		part->past_end = true;
		partition_try_again(part, &(struct err){0}, 0);
	} else {
		partition_halt(ps, part, &err);
	}
	return false;
}

/* False: librdkafka cannot seek yet; nothing has changed. */
bool partition_start(struct partitions *ps, struct partition *part, struct err *err)
{
	if (!source_start(ps->source, part->sp, part->position, err))
		return false;
	set_state(part, PARTITION_ACTIVE);
	part->cause = PAUSE_NONE;
	part->heard_us = clock_mono_us();
	return true;
}

void partition_try_again(struct partition *part, const struct err *err, int64_t delay_us)
{
	set_state(part, PARTITION_ASSIGNED);
	part->retry_us = clock_mono_us() + delay_us;
	snprintf(part->error, sizeof(part->error), "%s", err->text);
}

/* --- aside --- */

void partition_pause(struct partitions *ps, struct partition *part, enum pause_cause cause)
{
	source_pause(ps->source, part->sp);
	set_state(part, PARTITION_PAUSED);
	part->cause = cause;
	part->paused_us = clock_mono_us();
}

void partition_await_schema(struct partitions *ps, struct partition *part, struct err *what)
{
	char since[CLOCK_TEXT];
	if (part->awaited != part->position)
		part->awaited_us = clock_wall_us();
	part->awaited = part->position;
	err_wrap(what, "waits since %s", clock_text(part->awaited_us, since));
	/* A first answer takes a moment, which is not worth a line. */
	if (what->class != ERR_NONE && strcmp(part->error, what->text) != 0)
		log_warn("partition waits for a schema",
			 F_STR("stream", part->slot->stream->config->name),
			 F_STR("topic", part->topic), F_INT("partition", part->partition),
			 F_INT("offset", part->position), F_STR("error", what->text));
	snprintf(part->error, sizeof(part->error), "%s", what->text);
	partition_pause(ps, part, PAUSE_SCHEMA);
}

void partition_has_schema(struct partition *part)
{
	if (part->awaited < 0)
		return;
	part->awaited = -1;
	part->error[0] = '\0';
}

void partition_resume(struct partition *part)
{
	set_state(part, PARTITION_STARTING);
	part->retry_us = 0;
}

/* A slot that is shut or takes again takes all its partitions along. */
void partitions_follow_slots(struct partitions *ps)
{
	for (size_t i = 0; i < ps->n; i++) {
		struct partition *part = ps->all[i];
		if (part->state == PARTITION_ACTIVE && part->slot->state == SLOT_SHUT)
			partition_pause(ps, part, PAUSE_BATCHES);
		else if (part->state == PARTITION_PAUSED && part->cause == PAUSE_BATCHES &&
			 part->slot->state == SLOT_TAKES)
			partition_resume(part);
	}
}

/* --- back --- */

/* Logged only when the reason is a new one. */
void partition_halt(struct partitions *ps, struct partition *part, const struct err *err)
{
	bool news = strcmp(part->error, err->text) != 0;
	if (is_on(part))
		source_pause(ps->source, part->sp);
	set_state(part, PARTITION_HALTED);
	part->untold = 0;
	part->retry_us = clock_mono_us() + HALTED_LOOK_US;
	snprintf(part->error, sizeof(part->error), "%s", err->text);
	if (news)
		log_error("partition halted, an operator must act",
			  F_STR("stream", part->slot->stream->config->name),
			  F_STR("topic", part->topic), F_INT("partition", part->partition),
			  F_INT("offset", part->position), F_STR("error", err->text));
}

/* The command stays whole, however long the reason is. */
void partition_stuck(struct partitions *ps, struct partition *part, const struct err *err)
{
	struct err all = *err;
	if (origin_is_file(part->topic)) {
		partition_halt(ps, part, err);
		return;
	}
	char *way_on = xasprintf("; to go on behind it: memingest offsets skip %s %d "
				 "--to-dead-letters%s",
				 part->topic, part->partition, ps->option);
	size_t room = sizeof(all.text) - 1, tail = MIN(strlen(way_on), room);
	size_t why = MIN(strlen(err->text), room - tail);
	snprintf(all.text + why, sizeof(all.text) - why, "%s", way_on);
	free(way_on);
	partition_halt(ps, part, &all);
	part->untold = why;
}

/* Its events in the open batch have not been sealed. */
bool partition_is_open(const struct partition *part)
{
	const struct batch *b = part->slot->open;
	for (size_t i = 0; b && i < b->nspans; i++)
		if (b->spans[i].owner == part && b->spans[i].result == SPAN_OPEN)
			return true;
	return false;
}

/* Rows stay in the batch; their span says that they are nobody's. */
void partition_drop_open(struct partition *part)
{
	struct batch *b = part->slot->open;
	for (size_t i = 0; b && i < b->nspans; i++)
		if (b->spans[i].owner == part && b->spans[i].result == SPAN_OPEN)
			b->spans[i].result = SPAN_DROPPED;
}

/* What was read and not written will be read again. */
void partition_rewind(struct partitions *ps, struct partition *part, int64_t delay_us)
{
	if (!is_on(part) && part->state != PARTITION_HALTED)
		return;
	source_pause(ps->source, part->sp);
	partition_drop_open(part);
	set_state(part, PARTITION_ASSIGNED);
	part->retry_us = clock_mono_us() + delay_us;
	part->pending_ts_ms = -1;
	part->commit_due = false;
}

void partition_gone(struct partition *part)
{
	set_state(part, PARTITION_GONE);
	part->sp->user = NULL;
	part->sp = NULL;
}

/* --- the log --- */

/* Pure: from what the look and the claim have found. */
bool partition_check_log(const struct partition *part, const char *option, struct err *err)
{
	bool anew = part->topic_id[0] && part->known_topic_id[0] &&
		    strcmp(part->topic_id, part->known_topic_id) != 0;
	if (anew && origin_is_file(part->topic))
		return err_set(err, ERR_CONFIG,
			       "%s is not the file any more of which records were loaded before "
			       "(its size, its first or its last bytes have changed); to load all "
			       "of it, from its beginning: --restart",
			       part->topic + strlen(ORIGIN_FILE));
	if (anew)
		return err_set(err, ERR_CONFIG,
			       "%s was created anew: its id is %s, the offsets row of partition %d "
			       "(next_offset %" PRId64
			       ") belongs to %s; run: memingest offsets adopt-topic %s%s",
			       part->topic, part->topic_id, part->partition, part->durable,
			       part->known_topic_id, part->topic, option);
	if (part->durable > part->high)
		return err_set(err, ERR_CONFIG,
			       "%s [%d] ends at offset %" PRId64 ", but everything below %" PRId64
			       " was consumed: the log was truncated or the topic created anew; "
			       "run: memingest offsets "
			       "rewind %s %d"
			       " --to %" PRId64
			       "%s, or for a new topic: memingest offsets adopt-topic %s%s",
			       part->topic, part->partition, part->high, part->durable, part->topic,
			       part->partition, part->high, option, part->topic, option);
	if (part->durable < part->low)
		return err_set(err, ERR_CONFIG,
			       "%s [%d] begins at offset %" PRId64
			       ", but only what is below %" PRId64
			       " was consumed: retention deleted the %" PRId64
			       " offsets between; to go on without them run: memingest offsets "
			       "accept-gap %s %d%s",
			       part->topic, part->partition, part->low, part->durable,
			       part->low - part->durable, part->topic, part->partition, option);
	if (part->suspect && !(part->topic_id[0] && part->known_topic_id[0]))
		return err_set(
			err, ERR_CONFIG,
			"%s [%d]: Kafka said that offset %" PRId64
			" is not in the log, which now reaches from %" PRId64 " to %" PRId64
			": the topic was probably created anew (librdkafka before 2.3 can "
			"not compare ids);"
			" run: memingest offsets adopt-topic %s --reason anew%s, or to go "
			"on where it stood: memingest offsets rewind %s %d --to %" PRId64 "%s",
			part->topic, part->partition, part->durable, part->low, part->high,
			part->topic, option, part->topic, part->partition, part->durable, option);
	return true;
}

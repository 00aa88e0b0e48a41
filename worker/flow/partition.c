/*
 * partition.c - the states of a partition and the look at its log before anything is fetched.
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
 * Thread: the poll thread.
 */
#include "flow/partition.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#define TO(state) (1u << PARTITION_##state)

static const struct {
	const char *name;
	unsigned next;
} states[PARTITION_STATE_COUNT] = {
	[PARTITION_ASSIGNED] = {"assigned", TO(ASSIGNED) | TO(CLAIMING) | TO(HALTED) | TO(GONE)},
	[PARTITION_CLAIMING] = {"claiming", TO(ASSIGNED) | TO(STARTING) | TO(HALTED) | TO(GONE)},
	[PARTITION_STARTING] = {"starting", TO(ASSIGNED) | TO(ACTIVE) | TO(HALTED) | TO(GONE)},
	[PARTITION_ACTIVE] = {"active", TO(ASSIGNED) | TO(PAUSED) | TO(HALTED) | TO(GONE)},
	[PARTITION_PAUSED] = {"paused", TO(ASSIGNED) | TO(STARTING) | TO(HALTED) | TO(GONE)},
	[PARTITION_HALTED] = {"halted", TO(ASSIGNED) | TO(HALTED) | TO(GONE)},
	[PARTITION_GONE] = {"gone", 0},
};

void partition_set(struct partition *part, enum partition_state state)
{
	assert(states[part->state].next & 1u << state);
	part->state = state;
}

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

bool partition_check_log(const struct partition *part, int64_t next_offset,
			 const char *known_topic_id, struct err *err)
{
	if (part->topic_id[0] && known_topic_id[0] && strcmp(part->topic_id, known_topic_id) != 0)
		return err_set(err, ERR_CONFIG,
			       "%s was created anew: its id is %s, the offsets row of partition %d "
			       "(next_offset %" PRId64
			       ") belongs to %s; run: memingest offsets adopt-topic %s",
			       part->topic, part->topic_id, part->partition, next_offset,
			       known_topic_id, part->topic);
	if (next_offset > part->high)
		return err_set(err, ERR_CONFIG,
			       "%s [%d] ends at offset %" PRId64 ", but everything below %" PRId64
			       " was consumed: the log was truncated or the topic created anew; "
			       "run: memingest offsets "
			       "rewind %s %d"
			       " --to %" PRId64
			       ", or for a new topic: memingest offsets adopt-topic %s",
			       part->topic, part->partition, part->high, next_offset, part->topic,
			       part->partition, part->high, part->topic);
	if (next_offset < part->low)
		return err_set(err, ERR_CONFIG,
			       "%s [%d] begins at offset %" PRId64
			       ", but only what is below %" PRId64
			       " was consumed: retention deleted the %" PRId64
			       " offsets between; to go on without them run: memingest offsets "
			       "accept-gap %s %d",
			       part->topic, part->partition, part->low, next_offset,
			       part->low - next_offset, part->topic, part->partition);
	if (part->suspect && !(part->topic_id[0] && known_topic_id[0]))
		return err_set(err, ERR_CONFIG,
			       "%s [%d]: Kafka said that offset %" PRId64
			       " is not in the log, which now reaches from %" PRId64 " to %" PRId64
			       ": the topic was probably created anew (librdkafka before 2.3 can "
			       "not compare ids);"
			       " run: memingest offsets adopt-topic %s, or to go on where it "
			       "stood: memingest offsets "
			       "rewind %s %d --to"
			       " %" PRId64,
			       part->topic, part->partition, next_offset, part->low, part->high,
			       part->topic, part->topic, part->partition, next_offset);
	return true;
}

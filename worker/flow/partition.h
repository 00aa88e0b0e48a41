/*
 * partition.h - one partition of the current assignment: where it stands, and where it may go from
 * there.
 *
 *                    logs known, claim sent           row locked, epoch raised
 *   ASSIGNED ------------------------------> CLAIMING -----------------------> STARTING
 *    ^ ^ ^    <-- claim failed, try again --    |                              |  ^  |
 *    | | |                                      | offset not in the log        |  |  | fetch began
 *    | | +--- every 15 s --- HALTED <-----------+                              |  |  v
 *    | |                       ^  ^------------ fault, schema, dead letters ---|--|- ACTIVE
 *    | |                       |                                               |  |  |
 *    | |                       +------------ ... -----------------+            |  +-PAUSED
 *    | +-- fenced or abandoned: back to what is durable ----------+--(from any)+     |
 *    +-------------------------------------------------------------------------------+
 *
 *   any --revoked--> GONE   (freed once no batch and no claim of it is on its way)
 */
#ifndef MEMINGEST_PARTITION_H
#define MEMINGEST_PARTITION_H

#include "base/base.h"
#include "base/err.h"

struct source_partition;
struct stream;

enum partition_state {
	PARTITION_ASSIGNED, /* ours by Kafka's word; the offsets row is not claimed */
	PARTITION_CLAIMING, /* a lane is locking the offsets row */
	PARTITION_STARTING, /* position known, librdkafka does not fetch yet */
	PARTITION_ACTIVE,   /* messages come */
	PARTITION_PAUSED,   /* waiting for a batch or a schema */
	PARTITION_HALTED,   /* waiting for an operator; looked at again every 15 s */
	PARTITION_GONE,     /* revoked */
	PARTITION_STATE_COUNT,
};

enum pause_cause { PAUSE_NONE, PAUSE_BATCHES, PAUSE_SCHEMA };

struct partition {
	struct source_partition *sp;
	struct stream *stream;
	size_t lane;
	const char *topic; /* interned */
	int32_t partition;

	enum partition_state state;
	enum pause_cause cause;
	int64_t retry_us;  /* ASSIGNED, STARTING, HALTED: when to go on; monotonic */
	int64_t paused_us; /* PAUSED: since when; monotonic */
	int64_t sure_us;   /* when the offsets row was last known to be as we think; monotonic */

	/* next offset expected from Kafka: everything below is in a batch or durable */
	int64_t position;
	int64_t durable; /* next_offset of the offsets row, as far as we know */
	int64_t epoch;
	int64_t low, high, start; /* of the log, when last asked */
	int32_t partitions;       /* of the topic */
	char topic_id[37];
	bool suspect;       /* Kafka said that the position is not in the log */
	unsigned in_flight; /* batches and claims with a lane */

	bool commit_due;       /* durable moved since Kafka was told */
	int64_t durable_ts_ms; /* timestamp of the last durable record; -1 none */
	/* timestamp of the oldest record taken but not durable; -1 none */
	int64_t pending_ts_ms;
	char error[ERR_TEXT_SIZE]; /* why it is halted, or the last failure */
};

/* Asserts that the transition is in the diagram. */
void partition_set(struct partition *part, enum partition_state state);
const char *partition_state_name(enum partition_state state);
const char *pause_cause_name(enum pause_cause cause);

/*
 * Whether the claimed offset lies in the log that Kafka has now. False with class CONFIG and the
 * verb that an operator needs: accept-gap (retention passed it), rewind (the log ends before it),
 * adopt-topic (the topic was created anew). A suspect position that is in the log after all means a
 * new topic too, unless the topic's id says otherwise.
 */
MUST_CHECK bool partition_check_log(const struct partition *part, int64_t next_offset,
				    const char *known_topic_id, struct err *err);

#endif

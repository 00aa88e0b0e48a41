/*
 * partition.h - the partitions of the assignment: where each stands, and where it may go from
 * there.
 *
 *   ASSIGNED --asked--> LOOKING --logs known--> CLAIMING --row locked--> STARTING --fetch--> ACTIVE
 *      ^                   |                       |                        ^                  |
 *      +---- no answer ----+------ not claimed ----+                        +---- PAUSED <-----+
 *      ^                                           |
 *      |                                           | the offset is not in the log
 *      +------ every 10 s ------ HALTED <----------+
 *      ^                           ^
 *      |                           +-- fault, schema, dead letters: from STARTING, ACTIVE, PAUSED
 *      +-- fenced or given back: from STARTING, ACTIVE, PAUSED, HALTED
 *
 *   any --revoked--> GONE   (freed once no batch, claim or look of it is on its way)
 *
 * partition.c is the only file that changes a state.
 */
#pragma once

#include "base/arena.h"
#include "base/base.h"
#include "base/err.h"
#include "core/pool.h"
#include "io/source.h"

enum partition_state {
	PARTITION_ASSIGNED, /* ours by Kafka's word; the offsets row is not claimed */
	PARTITION_LOOKING,  /* the brokers are asked where its log begins and ends */
	PARTITION_CLAIMING, /* a lane is locking the offsets row */
	PARTITION_STARTING, /* position known, librdkafka does not fetch yet */
	PARTITION_ACTIVE,   /* messages come */
	PARTITION_PAUSED,   /* waiting for a batch, memory or a schema */
	PARTITION_HALTED,   /* waiting for an operator; looked at again every 10 s */
	PARTITION_GONE,     /* revoked */
	PARTITION_STATE_COUNT,
};

enum pause_cause { PAUSE_NONE, PAUSE_BATCHES, PAUSE_SCHEMA };

/*
 * Where the stream starts in the partitions that a topic had when this process first looked. Never
 * changed then, so lanes may read it. And the topic's id, which is the poll thread's alone.
 */
struct topic_starts {
	const char *topic; /* interned */
	int64_t *offsets;  /* by partition; NULL: not known, or start = earliest */
	int32_t n;
	char id[37]; /* as Kafka last had it; empty: not known */
};

struct partition {
	struct source_partition *sp; /* NULL: gone */
	struct slot *slot;           /* its lane and stream */
	const char *topic;           /* interned */
	struct topic_starts *starts; /* its topic's */
	int32_t partition;

	enum partition_state state;
	enum pause_cause cause;
	int64_t retry_us;  /* ASSIGNED, STARTING, HALTED: when to go on; monotonic */
	int64_t paused_us; /* PAUSED: since when; monotonic */
	/* the offset whose schema was waited for last, since when (wall clock); -1 none */
	int64_t awaited, awaited_us;
	int64_t sure_us;  /* when the offsets row was last known to be as we think; monotonic */
	int64_t heard_us; /* when Kafka last sent anything of it; monotonic */
	int64_t asked_us; /* when the brokers were last asked about it because it was silent */
	int64_t stuck_at; /* the position at which nothing came although there was more; -1 none */

	/* next offset expected from Kafka: everything below is in a batch or durable */
	int64_t position;
	int64_t durable;    /* next_offset of the offsets row, as far as we know */
	int64_t epoch;      /* of our claim */
	int64_t low, high;  /* of the log, when last asked */
	int64_t committed;  /* what Kafka had then for the group; see struct sight */
	int32_t partitions; /* of the topic */
	char topic_id[37];
	char known_topic_id[37]; /* of the offsets row */
	bool past_end;           /* the last look said that the log ends before the row's offset */
	bool suspect;            /* Kafka said that the position is not in the log */
	unsigned in_flight;      /* batches and claims with a lane */
	unsigned looks;          /* under way */

	bool commit_due;       /* durable moved since Kafka was told */
	int64_t durable_ts_ms; /* timestamp of the last durable record; -1 none */
	/* timestamp of the oldest record taken but not durable; -1 none */
	int64_t pending_ts_ms;
	char error[ERR_TEXT_SIZE]; /* why it is halted, or the last failure */
	/* Of the error: why the message at the position halts it, still to be written down. */
	size_t untold;
};

/* Of the assignment, and GONE ones with work under way. */
struct partitions {
	struct source *source;
	struct partition **all;
	size_t n, cap;
	struct arena *names; /* topics, interned, and their starts */
	struct topic_starts **topics;
	size_t ntopics;
	const char *option; /* " -c FILE": what commands that messages name have to be given */
};

/* config_path: of the file, or NULL. */
void partitions_open(struct partitions *ps, const char *config_path);
void partitions_close(struct partitions *ps);

/* What is known of a topic, whether or not there are partitions of it; borrowed, for good. */
struct topic_starts *partitions_topic(struct partitions *ps, const char *topic);
/* A new one, ASSIGNED. Its lane and stream are the slot's. */
struct partition *partitions_add(struct partitions *ps, struct source_partition *sp,
				 struct slot *slot);
/* Frees a GONE one once nothing of it is under way. */
void partition_release(struct partitions *ps, struct partition *part);

/* The steps forward: asked, claim sent, claimed; then partition_start(), until it returns true. */
void partition_look(struct partition *part);
void partition_claim(struct partition *part); /* Its claim is under way. */
/* False: what the row says is not in the log; the partition is halted, or looked at again. */
bool partition_claimed(struct partitions *ps, struct partition *part, int64_t next_offset,
		       int64_t epoch, const char *topic_id);
/* Fetches from its position; false: not yet, try again. */
MUST_CHECK bool partition_start(struct partitions *ps, struct partition *part, struct err *err);
/* Back to ASSIGNED, from LOOKING or CLAIMING, to be tried again. */
void partition_try_again(struct partition *part, const struct err *err, int64_t delay_us);

/* Fetches nothing until partition_resume(). */
void partition_pause(struct partitions *ps, struct partition *part, enum pause_cause cause);
/*
 * Paused until the message at its position has a schema; what: which, of whom, and what is wrong,
 * which is logged (ERR_NONE: nothing is). When the message is taken, partition_has_schema().
 */
void partition_await_schema(struct partitions *ps, struct partition *part, struct err *what);
void partition_has_schema(struct partition *part);
void partition_resume(struct partition *part);
/* Pauses those whose slot is shut, resumes those whose slot takes again. */
void partitions_follow_slots(struct partitions *ps);

/* An operator must act. Logged when it is news. */
void partition_halt(struct partitions *ps, struct partition *part, const struct err *err);
/* The same over the next message, which "offsets skip" can take out of the way. */
void partition_stuck(struct partitions *ps, struct partition *part, const struct err *err);
/*
 * Whatever was taken but is not durable is dropped and will be read again, from the offset that
 * PostgreSQL says. Not while it is being looked at or claimed: that says it anyway.
 */
void partition_rewind(struct partitions *ps, struct partition *part, int64_t delay_us);
/* Revoked: the source's partition is gone with it. */
void partition_gone(struct partition *part);

/* What the open batch holds of it counts no more. */
void partition_drop_open(struct partition *part);
/* Whether the open batch holds anything of it. */
bool partition_is_open(const struct partition *part);

/* A contract: labels and readers of /status know these words. */
const char *partition_state_name(enum partition_state state);
const char *pause_cause_name(enum pause_cause cause); /* "" for none */

/*
 * Whether the claimed offset lies in the log that Kafka has now. False with class CONFIG and the
 * verb that an operator needs: accept-gap (retention passed it), rewind (the log ends before it),
 * adopt-topic (the topic was created anew). A suspect position that is in the log after all means a
 * new topic too, unless the topic's id says otherwise. option: of struct partitions.
 */
MUST_CHECK bool partition_check_log(const struct partition *part, const char *option,
				    struct err *err);

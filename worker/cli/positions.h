/*
 * positions.h - where each partition stands: the offsets rows of the database beside what Kafka's
 * log holds. For "offsets".
 */
#pragma once

#include "base/base.h"
#include "base/err.h"
#include "core/config.h"
#include "sqlite/asker.h"

struct position {
	char topic[250]; /* Kafka's limit is 249 */
	int32_t partition;

	bool known; /* there is a row in memingest.offsets */
	int64_t next_offset, owner_epoch;
	char topic_id[37];
	char *owner, *updated_at; /* never NULL */
	/* where next_offset was when a message last halted it (-1: never), and why; never NULL */
	int64_t halted_at;
	char *halted;

	bool answered; /* Kafka named the log's ends */
	int64_t low, high;
	/* the offset that positions_ask()'s time means, within [low, high] */
	int64_t at;
	char kafka_topic_id[37]; /* or empty: it cannot tell */
};

struct positions {
	struct position *all; /* by topic and partition */
	size_t n;
};

/* The rows of this pipeline: of one topic, or (NULL) of all. */
MUST_CHECK bool positions_read(struct asker *a, const struct config *config, const char *topic,
			       struct positions *p, struct err *err);

/*
 * Asks Kafka about the topics of the positions (and about topic, or, if that is NULL, those that
 * the config names) and adds the partitions that have no row. at_ms: a time to look up, or -1.
 * False if something stayed without answer; the rest is filled.
 */
MUST_CHECK bool positions_ask(const struct config *config, const char *topic, int64_t at_ms,
			      struct positions *p, struct err *err);

/*
 * The same of one stream alone, both from the database and Kafka; partition -1: all. False with
 * class CONFIG where nothing of it was consumed.
 */
MUST_CHECK bool positions_of_stream(struct asker *a, const struct config *config, size_t stream,
				    int32_t partition, int64_t at_ms, struct positions *p,
				    struct err *err);
void positions_free(struct positions *p); /* may be used again */

/*
 * origin.h - where a pipeline's events come from: all in which Kafka and files differ for it.
 *
 * Kafka is its topics, which somebody else writes to for ever, and from which other workers read;
 * files are read by this process alone, to their end.
 */
#pragma once

#include <stdatomic.h>

#include "io/lookout.h"
#include "io/refetch.h"
#include "io/source.h"

struct origin {
	/* As consumer_open(). */
	struct source *(*open)(void *self, const struct config *config,
			       const struct source_ops *ops, void *ctx, struct err *err);
	/* Fills in what is known of the partitions. The lookout's thread. NULL: Kafka is asked. */
	void (*look)(void *self, struct look *look);
	/* As refetch_read(). The reader's thread. NULL: from Kafka. */
	bool (*reread)(void *self, const char *topic, int32_t partition, int64_t offset,
		       struct refetched *out, struct err *err);
	/*
	 * Whether the event counts that has this key, as it stands in a row; an event that does not
	 * leaves no trace. The poll thread. NULL: all do.
	 */
	bool (*wants)(void *self, struct slice key);
	/* About once a second, and at the end; or NULL. The poll thread. */
	void (*watch)(void *self, bool end);
	/*
	 * The pipeline ends when all of it is durable, and when it can not go on; whoever fences it
	 * has taken it over for good.
	 */
	bool finite;
	void *self;
};

extern const struct origin origin_kafka;

/* A file's topic: no topic of Kafka's has a colon in its name. */
#define ORIGIN_FILE "file:"
bool origin_is_file(const char *topic);

/*
 * indexer.h - a thread that keeps the segments of searches: one at a time in the whole database.
 */
#pragma once

#include "base/base.h"
#include "core/config.h"
#include "core/stream.h"
#include "search/seal.h"

struct indexer;

/* NULL if no stream is searched, or never here. Borrows config and streams. */
struct indexer *indexer_start(const struct config *config, struct stream *const *streams,
			      size_t nstreams);
/* Ends what it is doing, which is then done by the next one. NULL is fine. */
void indexer_stop(struct indexer *ix);

/* The rules and means that the config states, for a table. */
struct upkeep_rules indexer_rules(const struct config *config, const struct searchsql *sql);
struct seal_means indexer_means(const struct config *config, const struct searchsql *sql);

/* Whether upkeep is on at this time: wall clock, in microseconds. */
bool indexer_is_time(const struct config *config, int64_t wall_us, bool idle);

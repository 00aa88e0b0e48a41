/*
 * guard.h - the share of dead letters above which a stream halts instead of emptying its topic into
 * them.
 *
 * Counts over windows of dlq.window events. A window admits dlq.max_ratio of its events as dead
 * letters; the next one asks an operator. Not shared: the poll thread has one per stream for what
 * it can not decode, each lane one per stream for what PostgreSQL refuses.
 */
#pragma once

#include "base/base.h"
#include "base/err.h"
#include "core/config.h"

struct guard {
	uint64_t events, dead;
};

/* That many more events have been decided; may begin a new window. */
void guard_count(struct guard *g, const struct config *config, uint64_t events);

/* How many more dead letters the window admits. */
uint64_t guard_room(const struct guard *g, const struct config *config);

/*
 * True: they may become dead letters, and are counted. False with class CONFIG: the stream has to
 * halt; nothing is counted.
 */
MUST_CHECK bool guard_admit(struct guard *g, const struct config *config, const char *stream,
			    uint64_t dead, struct err *err);

/*
 * guard.h - the share of dead letters above which a stream halts instead of emptying its topic into
 * them: dlq.max_ratio of each dlq.window events. Each has its own: the poll thread for what it
 * cannot decode, a lane for what PostgreSQL refuses.
 */
#pragma once

#include "base/base.h"
#include "base/err.h"
#include "core/config.h"

struct guard {
	uint64_t events, dead; /* of this window; what is not durable yet may be missing */
};

/* That many more events have been decided, so many of them dead; may begin a new window. */
void guard_count(struct guard *g, const struct config *config, uint64_t events, uint64_t dead);

/*
 * Whether so many of the next events may become dead letters, none of which is counted yet. False
 * with class CONFIG: the stream has to halt.
 */
MUST_CHECK bool guard_admits(const struct guard *g, const struct config *config, const char *stream,
			     uint64_t events, uint64_t dead, struct err *err);

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
	uint64_t events, dead;
};

/* That many more events have been decided; may begin a new window. */
void guard_count(struct guard *g, const struct config *config, uint64_t events);

/* How many more dead letters the window admits. */
uint64_t guard_room(const struct guard *g, const struct config *config);

/*
 * True: they may become dead letters, and count. False with class CONFIG: the stream has to halt.
 */
MUST_CHECK bool guard_admit(struct guard *g, const struct config *config, const char *stream,
			    uint64_t dead, struct err *err);

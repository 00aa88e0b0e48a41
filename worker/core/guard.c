/*
 * guard.c - a tumbling window: simple, and its limit is a number that an operator can compute
 * (max_ratio x window).
 *
 * A wrong producer or a changed constraint makes every event poison; without the guard the topic
 * would drain into the dead letters overnight, orderly and useless. A refused event is not counted,
 * so it is asked about again when the partition is tried anew, and goes through once the cause is
 * gone.
 */
#include "core/guard.h"

#include <inttypes.h>

void guard_count(struct guard *g, const struct config *config, uint64_t events)
{
	g->events += events;
	if (g->events >= config->dlq_window)
		*g = (struct guard){0};
}

/* In events, of one window. */
static uint64_t limit_of(const struct config *config)
{
	return (uint64_t)(config->dlq_max_ratio * (double)config->dlq_window);
}

uint64_t guard_room(const struct guard *g, const struct config *config)
{
	uint64_t limit = limit_of(config);
	return limit - MIN(g->dead, limit);
}

/* Refused ones are not counted: they will be asked about again. */
bool guard_admit(struct guard *g, const struct config *config, const char *stream, uint64_t dead,
		 struct err *err)
{
	uint64_t limit = limit_of(config);
	if (g->dead + dead > limit)
		return err_set(err, ERR_CONFIG,
			       "stream %s: more than %" PRIu64
			       " dead letters within %u events (dlq.max_ratio, dlq.window): halted;"
			       " look at them with \"memingest dlq list\", mend the cause or raise "
			       "dlq.max_ratio",
			       stream, limit, config->dlq_window);
	g->dead += dead;
	return true;
}

/*
 * guard.c - a tumbling window: simple, and its limit is a number that an operator can compute
 * (max_ratio x window).
 *
 * A wrong producer or a changed constraint makes every event poison; without the guard the topic
 * would drain into the dead letters overnight, orderly and useless. What was not admitted is not
 * counted, so it is asked about again when the partition is tried anew, and goes through once the
 * cause is gone.
 */
#include "core/guard.h"

#include <inttypes.h>

void guard_count(struct guard *g, const struct config *config, uint64_t events, uint64_t dead)
{
	g->events += events;
	g->dead += dead;
	if (g->events >= config->dlq_window)
		*g = (struct guard){0};
}

/* Events are decided many at a time, so a window may be longer than dlq.window: the share counts.
 */
bool guard_admits(const struct guard *g, const struct config *config, const char *stream,
		  uint64_t events, uint64_t dead, struct err *err)
{
	uint64_t window = MAX(config->dlq_window, g->events + events);
	uint64_t limit = (uint64_t)(config->dlq_max_ratio * (double)window);
	return g->dead + dead <= limit ||
	       err_set(err, ERR_CONFIG,
		       "stream %s: more than %" PRIu64 " dead letters within %" PRIu64
		       " events (dlq.max_ratio, dlq.window): halted; look at them with \"memingest "
		       "dlq list\", mend the cause or raise dlq.max_ratio",
		       stream, limit, window);
}

/*
 * patience.c - a registry that says "unknown" may lag: a follower behind its leader, a producer's
 * write not yet read. So it is asked again after 0.2 s, 0.4 s and so on up to 10 s, until limit_us
 * have gone by from one such answer to the next; the last question falls on the end of that time.
 *
 * Only time between two answers counts. A registry that was away in between said nothing, and when
 * it is back it may lag all the more.
 *
 * Once the limit is reached it stays so: who asks later is told at the first answer.
 */
#include "io/patience.h"

#include "base/clock.h"

static const int64_t PAUSE_MIN_US = 200 * US_PER_MS;
static const int64_t PAUSE_MAX_US = 10 * US_PER_S;

bool patience_missed(struct patience *p, int64_t now_us, int64_t limit_us, int64_t *due_us)
{
	if (p->missed_us != 0)
		p->waited_us += now_us - p->missed_us;
	p->missed_us = now_us;
	if (p->waited_us >= limit_us)
		return false;
	p->pause_us = p->pause_us == 0 ? PAUSE_MIN_US : MIN(p->pause_us * 2, PAUSE_MAX_US);
	*due_us = now_us + MIN(p->pause_us, limit_us - p->waited_us);
	return true;
}

void patience_interrupted(struct patience *p)
{
	p->missed_us = 0;
}

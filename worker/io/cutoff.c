/*
 * cutoff.c - when to give up on a Kafka client and open another.
 *
 *            saw(connected, joined)         for session.timeout, at least 10 s
 *   FINE ------------------------> DOWN --------------------------------------------> due
 *    ^  \
 *    |   \---- connected, not joined ----> OUTSIDE --- for max.poll.interval more ---> due
 *    |                                                                                  |
 *    +--------------------------- connected and joined <--------------------------------+
 *                                              renewed: the next one waits twice as long
 *
 * Why at all: librdkafka has lost all its brokers for good before (#5301), without an error that
 * would tell so, and its state machines have hung in other ways. A new client is what a restart of
 * the process would bring, so the worker does not wait to be restarted.
 *
 * Why so late: after session.timeout.ms without a connection the group has given the partitions
 * away; nothing is lost any more by coming as a new member. Not being in the group while brokers
 * answer is what a rebalance looks like from inside, and that lasts as long as its slowest member,
 * which is max.poll.interval.ms; a new member would only prolong it.
 *
 * All brokers may really be away. Renewing is of no use then, but does no harm: it costs a few
 * threads and sockets each time, which is why each in a row waits twice as long as the one before,
 * up to five minutes. When brokers come back the client that is there connects by itself.
 *
 * What it is not: liveness. A restart brings no more than a renewal, see consumer_client.c.
 */
#include "io/cutoff.h"

#include "base/clock.h"

#define LEAST_US (10 * US_PER_S)
#define MOST_US (300 * US_PER_S)
#define DOUBLINGS 6

/* Each clock starts when its trouble is first seen and stops when it is over. */
void cutoff_saw(struct cutoff *c, bool connected, bool joined, int64_t now_us)
{
	if (connected)
		c->down_us = 0;
	else if (c->down_us == 0)
		c->down_us = now_us;
	if (!connected || joined)
		c->outside_us = 0;
	else if (c->outside_us == 0)
		c->outside_us = now_us;
	if (connected && joined)
		c->renewals = 0;
}

/* Twice as long for each renewal in a row, to a limit. */
static int64_t patience(const struct cutoff *c)
{
	int64_t first = MAX(c->session_us, LEAST_US);
	int64_t doubled = first << MIN(c->renewals, DOUBLINGS);
	return MIN(doubled, MAX(first, MOST_US));
}

/* A renewal begins a new wait: the new client gets its time. */
static bool over(const struct cutoff *c, int64_t since_us, int64_t patience_us, int64_t now_us)
{
	if (since_us == 0)
		return false;
	int64_t from = c->renewals > 0 ? MAX(since_us, c->renewed_us) : since_us;
	return now_us - from >= patience_us;
}

/* Without a connection first: then nothing can be said of the group. */
enum cutoff_why cutoff_due(const struct cutoff *c, int64_t now_us)
{
	if (over(c, c->down_us, patience(c), now_us))
		return CUTOFF_DOWN;
	if (over(c, c->outside_us, c->rebalance_us + patience(c), now_us))
		return CUTOFF_OUTSIDE;
	return CUTOFF_NOT;
}

void cutoff_renewed(struct cutoff *c, int64_t now_us)
{
	c->renewals++;
	c->renewed_us = now_us;
}

int64_t cutoff_since_us(const struct cutoff *c, int64_t now_us)
{
	int64_t since = c->down_us ? c->down_us : c->outside_us;
	return since ? now_us - since : 0;
}

/*
 * cutoff.h - has the Kafka client been without Kafka for so long that a new one should take over?
 *
 * A judgement only: it sees what the client says of itself and knows no librdkafka. Times are
 * monotonic microseconds. Of the poll thread.
 */
#pragma once

#include "base/base.h"

enum cutoff_why {
	CUTOFF_NOT,
	CUTOFF_DOWN,    /* no broker has been connected */
	CUTOFF_OUTSIDE, /* brokers are connected, but the group has not been joined */
};

struct cutoff {
	int64_t session_us, rebalance_us; /* session.timeout.ms, max.poll.interval.ms */
	int64_t down_us, outside_us;      /* since when; 0: not */
	int64_t renewed_us;               /* the last renewal that was not yet of use */
	unsigned renewals;                /* in a row, without use */
};

/* What the client says of itself, every few seconds. */
void cutoff_saw(struct cutoff *c, bool connected, bool joined, int64_t now_us);
/* Should the client be renewed now? */
enum cutoff_why cutoff_due(const struct cutoff *c, int64_t now_us);
/* It was, or it could not be: the next time is later. */
void cutoff_renewed(struct cutoff *c, int64_t now_us);
/* How long it has been so. */
int64_t cutoff_since_us(const struct cutoff *c, int64_t now_us);

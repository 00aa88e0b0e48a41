/*
 * allowance.h - how soon an idle lane writes: a transaction costs something before its first row,
 * and a small part of the lane's time may go into that.
 *
 * Poll thread.
 */
#pragma once

#include "base/base.h"

struct allowance {
	int64_t cost_us; /* of a transaction before its first row; 0: not known yet */
	int64_t paid_us; /* up to when the lane's time has been spent in advance; monotonic */
};

/* A transaction with so many events took so long; 0: it was none. */
void allowance_learn(struct allowance *a, int64_t took_us, size_t events);
/* A batch of so many is sent. */
void allowance_spend(struct allowance *a, int64_t now_us, size_t events);
/*
 * When a batch that was opened then and has so many is worth a transaction; at most max_age_us
 * later. For an idle lane: a busy one lets its batches grow.
 */
int64_t allowance_due(const struct allowance *a, int64_t opened_us, size_t events,
		      int64_t max_age_us);

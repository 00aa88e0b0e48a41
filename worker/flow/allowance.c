/*
 * allowance.c - how soon an idle lane writes.
 *
 * A transaction costs a millisecond or two before its first row. A lane that begins one for each
 * event would do little else under load; one that waits makes an agent wait who wants to find what
 * it has just stored. So a transaction is paid for with SHARE times its cost of the lane's time, in
 * advance or afterwards, up to BURST of them at once:
 *
 *   paid_us <= now                      the lane was idle for long: the next ones go at once
 *   each one moves it on by SHARE * cost
 *   paid_us > now + (BURST - 1) * SHARE * cost     the next one waits until that is over
 *
 * Before the lane's first transaction nothing is known and nothing costs: the first batch goes at
 * once, and tells.
 *
 * So over time that cost takes a twentieth of the lane at most; a lone event, or a burst of some
 * hundred that arrives in a few pieces, does not wait; and under a steady stream there is one batch
 * every SHARE times the cost.
 *
 * Thread: the poll thread's. It does not fail.
 */
#include "flow/allowance.h"

#define SHARE 20
#define BURST 4
#define FIXED_COST_ROWS 200

/*
 * Learns the part of a transaction's time that does not grow with its rows: about as long as
 * FIXED_COST_ROWS rows take. It at most doubles, so that one slow flush of the disk does not make
 * the next events wait long. A batch that was given back unwritten took no time, and teaches
 * nothing.
 */
void allowance_learn(struct allowance *a, int64_t took_us, size_t events)
{
	if (took_us == 0)
		return;
	int64_t cost = took_us * FIXED_COST_ROWS / (FIXED_COST_ROWS + (int64_t)events);
	a->cost_us = a->cost_us > 0 ? MIN(cost, 2 * a->cost_us) : cost;
}

/* What a backlog takes beyond that is forgotten: its batches were worth it. */
void allowance_spend(struct allowance *a, int64_t now_us)
{
	int64_t price = SHARE * a->cost_us;
	a->paid_us = MIN(MAX(a->paid_us, now_us) + price, now_us + BURST * price);
}

int64_t allowance_due(const struct allowance *a, int64_t opened_us, int64_t max_age_us)
{
	int64_t price = SHARE * a->cost_us;
	int64_t affordable = MAX(opened_us, a->paid_us - (BURST - 1) * price);
	return MIN(affordable, opened_us + MIN(price, max_age_us));
}

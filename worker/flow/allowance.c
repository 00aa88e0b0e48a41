/*
 * allowance.c - how soon an idle lane writes.
 *
 * A transaction costs a millisecond or two before its first row. A lane that begins one for each
 * event would do little else under load; one that waits makes an agent wait who wants to find what
 * it has just stored. So a transaction is paid for with SHARE times its cost of the lane's time, in
 * advance or afterwards, up to BURST of them at once, and by its rows: each takes a part off the
 * price, and FIXED_COST_ROWS of them, which take as long as the rest, make it free.
 *
 *   paid_us <= now                      the lane was idle for long: the next ones go at once
 *   each one moves it on by its price
 *   paid_us > now + (BURST - 1) * SHARE * cost     the next one waits until that is over, or for
 *                                                  its price
 *
 * Before the lane's first transaction nothing is known and nothing costs: the first batch goes at
 * once, and tells.
 *
 * So over time that cost takes a twentieth of the lane at most, or no more than the rows do; a lone
 * event, or a request of a thousand that arrives in pieces, does not wait; and under a steady
 * stream there is one batch every SHARE times the cost, or every FIXED_COST_ROWS rows.
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

static int64_t price(const struct allowance *a, size_t events)
{
	int64_t rows = (int64_t)MIN(events, FIXED_COST_ROWS);
	return SHARE * a->cost_us * (FIXED_COST_ROWS - rows) / FIXED_COST_ROWS;
}

/* The debt is bounded: a bad time does not make the next one wait long. */
void allowance_spend(struct allowance *a, int64_t now_us, size_t events)
{
	a->paid_us = MIN(MAX(a->paid_us, now_us) + price(a, events), now_us + BURST * price(a, 0));
}

int64_t allowance_due(const struct allowance *a, int64_t opened_us, size_t events,
		      int64_t max_age_us)
{
	int64_t affordable = MAX(opened_us, a->paid_us - (BURST - 1) * price(a, 0));
	return MIN(affordable, opened_us + MIN(price(a, events), max_age_us));
}

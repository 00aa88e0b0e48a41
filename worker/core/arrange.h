/* arrange.h - the order in which a batch's events go to PostgreSQL. */
#pragma once

#include "core/batch.h"
#include "core/fold.h"

/*
 * Folds events of one key and sorts what is left by key within each round. Takes the transaction's
 * events, but for dead ones and those of spans that are not SPAN_OPEN. May be called again after
 * events died or spans were dropped.
 */
void arrange_folded(struct batch *b, const struct fold_rules *rules);

/* Every event a row of its own, in order of arrival, one round. Else the same. */
void arrange_in_order(struct batch *b);

/*
 * suggest.h - "did you mean": of the names on offer, the one that was probably meant.
 *
 *   struct suggest s = suggest_for(wrong);
 *   suggest_offer(&s, "max_rows"); ...
 *   if (s.best) ...
 */
#pragma once

#include "base/base.h"

struct suggest {
	const char *wrong, *best; /* best: borrowed from its offer, NULL if nothing is near */
	unsigned distance;        /* of best; offers must be nearer */
};

struct suggest suggest_for(const char *wrong); /* wrong is borrowed */
/* One of the names that would have been right; borrowed while s is used. */
void suggest_offer(struct suggest *s, const char *candidate);

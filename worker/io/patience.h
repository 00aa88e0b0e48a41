/*
 * patience.h - how long a schema that the registry does not know is asked for again before that is
 * believed. Pure: the caller has the clock.
 */
#pragma once

#include "base/base.h"

/* Zeroed: not asked yet. */
struct patience {
	int64_t missed_us; /* the last answer "unknown"; 0: none, or there was another one since */
	int64_t waited_us; /* so far, from one such answer to the next */
	int64_t pause_us;  /* the last one */
};

/* "Unknown" again, at now_us. True: ask at *due_us; false: limit_us are over, believe it. */
MUST_CHECK bool patience_missed(struct patience *p, int64_t now_us, int64_t limit_us,
				int64_t *due_us);
/* There was no answer at all: that time counts for nothing. */
void patience_interrupted(struct patience *p);

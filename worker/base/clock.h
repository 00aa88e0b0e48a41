/* clock.h - the two clocks: one for deadlines, one to show people. */
#pragma once

#include "base/base.h"

#define US_PER_MS INT64_C(1000)
#define US_PER_S INT64_C(1000000)
#define DAY_S INT64_C(86400)
#define CLOCK_NEVER INT64_MAX

int64_t clock_mono_us(void); /* monotonic microseconds: deadlines and durations */
int64_t clock_wall_us(void); /* microseconds since 1970 UTC: what people and PostgreSQL see */

enum { CLOCK_TEXT = 24 };
/* "2026-11-30T05:48:04Z". Fills buf and returns it. */
const char *clock_text(int64_t wall_us, char buf[static CLOCK_TEXT]);

/* Milliseconds that somebody else chose, as microseconds; at the end of the range if out of it. */
int64_t clock_ms_to_us(int64_t ms);

/* For poll(2): milliseconds to a monotonic deadline, rounded up; 0 if past, -1 for CLOCK_NEVER. */
int clock_poll_ms(int64_t deadline_us);

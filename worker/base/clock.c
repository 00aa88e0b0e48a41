/*
 * clock.c - reads the kernel's two clocks.
 *
 * Deadlines and durations use the monotonic clock, so that a stepped wall clock neither seals a
 * batch early nor keeps one open for ever. The wall clock is for people, for PostgreSQL's
 * timestamps and for the lag against Kafka's record timestamps. Both calls go through the vDSO: a
 * few tens of nanoseconds, no system call. Any thread, no state.
 */
#include <limits.h>
#include <time.h>

#include "base/clock.h"

/* clock_gettime() cannot fail for these two clocks. */
static int64_t read_clock(clockid_t id)
{
	struct timespec ts = {0};
	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * US_PER_S + ts.tv_nsec / 1000;
}

int64_t clock_mono_us(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

int64_t clock_wall_us(void)
{
	return read_clock(CLOCK_REALTIME);
}

const char *clock_text(int64_t wall_us, char buf[static CLOCK_TEXT])
{
	struct tm tm = {0};
	time_t seconds = (time_t)(wall_us / US_PER_S);
	gmtime_r(&seconds, &tm);
	strftime(buf, CLOCK_TEXT, "%Y-%m-%dT%H:%M:%SZ", &tm);
	return buf;
}

/* Saturates, as a record's timestamp may be any number. */
int64_t clock_ms_to_us(int64_t ms)
{
	int64_t us;
	return __builtin_mul_overflow(ms, US_PER_MS, &us) ? (ms < 0 ? INT64_MIN : INT64_MAX) : us;
}

int clock_poll_ms(int64_t deadline_us)
{
	if (deadline_us == CLOCK_NEVER)
		return -1;
	int64_t left = deadline_us - clock_mono_us();
	if (left <= 0)
		return 0;
	/* Up, not down: rounding down would spin through the last millisecond. */
	int64_t ms = left / US_PER_MS + (left % US_PER_MS != 0);
	return ms > INT_MAX ? INT_MAX : (int)ms;
}

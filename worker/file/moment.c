/*
 * moment.c - dates, times of day and timestamps as people and programs write them, in the units of
 * Avro's logical types: exactly, or not at all.
 *
 * A subset of ISO 8601 that RFC 3339, Python's isoformat(), Java's Instant and PostgreSQL's output
 * all stay within. Not strptime(): it takes one digit where two should be, skips blanks, and
 * timegm() makes a 1st of March of the 30th of February.
 *
 *   days since 1970 of the date --> * 86400 + seconds of the day - offset --> * units + fraction
 *
 * Refused, as it could only be changed: days that are not in the calendar, 24:00:00 and the leap
 * second :60 (both name a moment that has another name, and the second one's is a convention), a
 * fraction finer than the unit unless the rest is zeros, a zone on a local timestamp, what does not
 * fit in 64 bits.
 *
 * Years have four digits; as ISO 8601 asks, other years have a sign. The calendar is the Gregorian
 * one, before 1582 too, as PostgreSQL has it. Pure, any thread.
 */
#include "file/moment.h"

#include "base/clock.h"

enum { MAX_YEAR_DIGITS = 6, MAX_OFFSET_HOURS = 15 };

static const char not_read[] = "it is not written as 2026-01-31T12:30:00.125Z";
static const char no_date[] = "it is not written as 2026-01-31";
static const char no_time[] = "it is not written as 12:30:00.125";

struct text {
	const char *p, *end;
};

static bool take(struct text *t, char c)
{
	if (t->p == t->end || *t->p != c)
		return false;
	t->p++;
	return true;
}

/* Exactly n digits. */
static bool number(struct text *t, int n, int64_t *v)
{
	*v = 0;
	if (t->end - t->p < n)
		return false;
	for (; n > 0; n--, t->p++) {
		if (*t->p < '0' || *t->p > '9')
			return false;
		*v = *v * 10 + (*t->p - '0');
	}
	return true;
}

static int digits_ahead(const struct text *t)
{
	int n = 0;
	while (t->end - t->p > n && t->p[n] >= '0' && t->p[n] <= '9')
		n++;
	return n;
}

/* 0: the type knows no seconds. */
static int64_t per_second(enum schema_logical logical)
{
	switch (logical) {
	case LOGICAL_TIME_MILLIS:
	case LOGICAL_TIMESTAMP_MILLIS:
	case LOGICAL_LOCAL_MILLIS:
		return 1000;
	case LOGICAL_TIME_MICROS:
	case LOGICAL_TIMESTAMP_MICROS:
	case LOGICAL_LOCAL_MICROS:
		return 1000000;
	case LOGICAL_TIMESTAMP_NANOS:
	case LOGICAL_LOCAL_NANOS:
		return 1000000000;
	case LOGICAL_NONE:
	case LOGICAL_DATE:
	case LOGICAL_UUID:
	case LOGICAL_DECIMAL:
	case LOGICAL_DURATION:
		return 0;
	}
	return 0;
}

static bool is_time(enum schema_logical logical)
{
	return logical == LOGICAL_TIME_MILLIS || logical == LOGICAL_TIME_MICROS;
}

static bool is_local(enum schema_logical logical)
{
	return logical == LOGICAL_LOCAL_MILLIS || logical == LOGICAL_LOCAL_MICROS ||
	       logical == LOGICAL_LOCAL_NANOS;
}

bool moment_is(enum schema_logical logical)
{
	return logical == LOGICAL_DATE || per_second(logical) > 0;
}

int64_t moment_day(enum schema_logical logical)
{
	return is_time(logical) ? DAY_S * per_second(logical) : 0;
}

/* ---- dates ---- */

static bool is_leap(int64_t year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* Days since 1970-01-01 (H. Hinnant, "chrono-compatible low-level date algorithms"). */
static int64_t to_days(int64_t year, int64_t month, int64_t day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t yoe = y - era * 400;
	int64_t doy = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

/* Four digits, or a sign and at least four. */
static bool year(struct text *t, int64_t *v)
{
	bool negative = take(t, '-'), sign = negative || take(t, '+');
	int n = digits_ahead(t);
	if (sign ? n < 4 || n > MAX_YEAR_DIGITS : n != 4)
		return false;
	bool ok = number(t, n, v);
	*v = negative ? -*v : *v;
	return ok;
}

static const char *date(struct text *t, int64_t *days)
{
	static const uint8_t lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int64_t y, month, day;
	if (!year(t, &y) || !take(t, '-') || !number(t, 2, &month) || !take(t, '-') ||
	    !number(t, 2, &day))
		return no_date;
	if (month < 1 || month > 12)
		return "there is no such month";
	if (day < 1 || day > lengths[month - 1] + (month == 2 && is_leap(y)))
		return "there is no such day in that month";
	*days = to_days(y, month, day);
	return NULL;
}

/* ---- times ---- */

/* ".125" in units. */
static const char *fraction(struct text *t, int64_t units, int64_t *v)
{
	*v = 0;
	if (!take(t, '.'))
		return NULL;
	if (digits_ahead(t) == 0)
		return no_time;
	for (; digits_ahead(t) > 0; t->p++) {
		units /= 10;
		*v += units * (*t->p - '0');
		if (units == 0 && *t->p != '0')
			return "its fraction of a second is finer than the type's unit";
	}
	return NULL;
}

/* Seconds of the day, and the fraction in units. */
static const char *clock_time(struct text *t, int64_t units, int64_t *seconds, int64_t *rest)
{
	int64_t hour, minute, second;
	if (!number(t, 2, &hour) || !take(t, ':') || !number(t, 2, &minute) || !take(t, ':') ||
	    !number(t, 2, &second))
		return no_time;
	if (hour == 24 && minute == 0 && second == 0)
		return "24:00:00 is 00:00:00 of the next day: write that";
	if (second == 60)
		return "a leap second has no place in the type";
	if (hour > 23 || minute > 59 || second > 59)
		return "there is no such time of day";
	*seconds = hour * 3600 + minute * 60 + second;
	return fraction(t, units, rest);
}

/* "Z", "+01:00", "+0100", "+01", or nothing. */
static const char *zone(struct text *t, int64_t *offset_s)
{
	int64_t hours, minutes = 0;
	*offset_s = 0;
	if (t->p == t->end || take(t, 'Z'))
		return NULL;
	bool west = take(t, '-');
	if ((!west && !take(t, '+')) || !number(t, 2, &hours))
		return not_read;
	bool colon = take(t, ':');
	if ((colon || t->p < t->end) && !number(t, 2, &minutes))
		return not_read;
	if (hours > MAX_OFFSET_HOURS || minutes > 59)
		return "there is no such time zone";
	*offset_s = (hours * 3600 + minutes * 60) * (west ? -1 : 1);
	return NULL;
}

/* A part that is no date at all makes the whole "not read". */
static const char *timestamp(struct text *t, enum schema_logical logical, int64_t *v)
{
	int64_t days, seconds, rest, offset_s = 0, units = per_second(logical);
	const char *why = date(t, &days);
	if (why)
		return why == no_date ? not_read : why;
	if (!take(t, 'T') && !take(t, ' '))
		return not_read;
	why = clock_time(t, units, &seconds, &rest);
	if (why)
		return why == no_time ? not_read : why;
	if (is_local(logical) && t->p < t->end)
		return "a local time has no zone";
	why = zone(t, &offset_s);
	if (why)
		return why;
	if (__builtin_mul_overflow(days * DAY_S + seconds - offset_s, units, v) ||
	    __builtin_add_overflow(*v, rest, v))
		return "it is out of range";
	return NULL;
}

/* NULL, or why not. What is left behind the moment makes it none. */
const char *moment_parse(enum schema_logical logical, const char *text, size_t len, int64_t *v)
{
	struct text t = {text, text + len};
	int64_t seconds, rest;
	const char *why, *otherwise = not_read;
	if (logical == LOGICAL_DATE) {
		why = date(&t, v);
		otherwise = no_date;
	} else if (is_time(logical)) {
		why = clock_time(&t, per_second(logical), &seconds, &rest);
		if (!why)
			*v = seconds * per_second(logical) + rest;
		otherwise = no_time;
	} else {
		why = timestamp(&t, logical, v);
	}
	return why ? why : t.p < t.end ? otherwise : NULL;
}

/*
 * pgtext.c - what pgbin.c wrote, as text again: for "check --event", which shows a row without a
 * database.
 *
 * The forms are those of PostgreSQL's output functions (ISO dates, zone UTC, arrays in braces), but
 * for jsonb, whose keys only the server sorts, for booleans, which are true and false, and for
 * floats, which may be the same number in other digits (make fuzz-copy compares). It reads what our
 * own code has just made, so lengths and counts are taken as they stand; nothing from outside comes
 * here.
 *
 * Pure; appends to the caller's buffer and cannot fail.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/clock.h"
#include "codec/pgbin.h"
#include "codec/pgtext.h"

#define EPOCH_2000_S INT64_C(946684800) /* 2000-01-01 in seconds since 1970 */

/* ---- numbers ---- */

static double get_float(const uint8_t *p)
{
	uint32_t bits = get_be32(p);
	float v;
	memcpy(&v, &bits, sizeof(v));
	return (double)v;
}

static double get_double(const uint8_t *p)
{
	uint64_t bits = get_be64(p);
	double v;
	memcpy(&v, &bits, sizeof(v));
	return v;
}

/* IEEE binary16; vectors hold no NaN and no infinity. */
static double get_half(const uint8_t *p)
{
	uint16_t bits = get_be16(p);
	int exponent = bits >> 10 & 31, fraction = bits & 1023;
	double v = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
	return bits & 0x8000 ? -v : v;
}

/* Digit group i of a numeric, whose first one counts 10000^weight. */
static int numeric_group(const uint8_t *p, int i)
{
	return i >= 0 && i < get_be16(p) ? get_be16(p + 8 + 2 * (size_t)i) : 0;
}

static void put_numeric(const uint8_t *p, struct buf *out)
{
	int weight = (int16_t)get_be16(p + 2), scale = get_be16(p + 6);
	buf_puts(out, get_be16(p + 4) ? "-" : "");
	if (weight < 0)
		buf_puts(out, "0");
	for (int i = 0; i <= weight; i++)
		buf_printf(out, i ? "%04d" : "%d", numeric_group(p, i));
	if (scale > 0)
		buf_puts(out, ".");
	for (int group = weight + 1, left = scale; left > 0; group++, left -= 4) {
		char digits[8];
		snprintf(digits, sizeof(digits), "%04d", numeric_group(p, group) % 10000);
		buf_put(out, digits, (size_t)MIN(left, 4));
	}
}

/* ---- time ---- */

/* A day before the year 1 has its era behind it. Returns what stands there. */
static const char *put_date(int64_t seconds, struct buf *out)
{
	struct tm tm;
	time_t t = (time_t)seconds;
	gmtime_r(&t, &tm);
	long year = tm.tm_year + 1900L;
	buf_printf(out, "%04ld-%02d-%02d", year > 0 ? year : 1 - year, tm.tm_mon + 1, tm.tm_mday);
	return year > 0 ? "" : " BC";
}

/* us: within a day. Digits as far as they say something. */
static void put_clock(int64_t us, struct buf *out)
{
	int64_t s = us / US_PER_S, fraction = us % US_PER_S;
	buf_printf(out, "%02" PRId64 ":%02" PRId64 ":%02" PRId64, s / 3600, s / 60 % 60, s % 60);
	if (fraction == 0)
		return;
	int digits = 6;
	for (; fraction % 10 == 0; digits--)
		fraction /= 10;
	buf_printf(out, ".%0*" PRId64, digits, fraction);
}

/* us: since 2000. zone: "+00" where the type has one. */
static void put_timestamp(int64_t us, const char *zone, struct buf *out)
{
	int64_t day_us = DAY_S * US_PER_S, days = us / day_us - (us % day_us < 0);
	const char *era = put_date(EPOCH_2000_S + days * DAY_S, out);
	buf_puts(out, " ");
	put_clock(us - days * day_us, out);
	buf_printf(out, "%s%s", zone, era);
}

static void put_count(int32_t n, const char *what, struct buf *out)
{
	if (n)
		buf_printf(out, "%" PRId32 " %s%s ", n, what, n == 1 ? "" : "s");
}

static void put_interval(const uint8_t *p, struct buf *out)
{
	int32_t days = (int32_t)get_be32(p + 8), months = (int32_t)get_be32(p + 12);
	put_count(months / 12, "year", out);
	put_count(months % 12, "mon", out);
	put_count(days, "day", out);
	put_clock((int64_t)get_be64(p), out);
}

/* ---- bytes and lists ---- */

static void put_hex(const char *prefix, struct slice v, struct buf *out)
{
	buf_puts(out, prefix);
	for (size_t i = 0; i < v.len; i++)
		buf_printf(out, "%02x", v.data[i]);
}

static void put_uuid(const uint8_t *p, struct buf *out)
{
	static const size_t ends[] = {4, 6, 8, 10, 16};
	for (size_t i = 0, from = 0; i < ARRAY_LEN(ends); from = ends[i++])
		put_hex(i ? "-" : "", (struct slice){p + from, ends[i] - from}, out);
}

static void put_vector(struct slice v, bool half, struct buf *out)
{
	size_t n = get_be16(v.data), size = half ? 2 : 4;
	buf_puts(out, "[");
	for (size_t i = 0; i < n; i++) {
		const uint8_t *p = v.data + 4 + i * size;
		buf_puts(out, i ? "," : "");
		buf_real(out, half ? get_half(p) : get_float(p), true);
	}
	buf_puts(out, "]");
}

static void put_array(const struct column *c, struct slice v, struct buf *out);

/* One value of that kind. */
static void put_value(const struct column *c, enum pg_kind kind, struct slice v, struct buf *out)
{
	bool zone = strstr(c->stage_type, "timestamptz") || strstr(c->stage_type, "with time zone");
	switch (kind) {
	case PG_BOOL:
		buf_puts(out, v.data[0] ? "true" : "false");
		break;
	case PG_INT2:
		buf_printf(out, "%d", (int16_t)get_be16(v.data));
		break;
	case PG_INT4:
		buf_printf(out, "%" PRId32, (int32_t)get_be32(v.data));
		break;
	case PG_INT8:
		buf_printf(out, "%" PRId64, (int64_t)get_be64(v.data));
		break;
	case PG_FLOAT4:
		buf_real(out, get_float(v.data), true);
		break;
	case PG_FLOAT8:
		buf_real(out, get_double(v.data), false);
		break;
	case PG_TEXT:
		buf_put(out, v.data, v.len);
		break;
	case PG_BYTEA:
		put_hex("\\x", v, out);
		break;
	case PG_JSONB: /* behind the version of the form */
		buf_put(out, v.data + 1, v.len - 1);
		break;
	case PG_UUID:
		put_uuid(v.data, out);
		break;
	case PG_DATE:
		buf_puts(out, put_date(EPOCH_2000_S + (int32_t)get_be32(v.data) * DAY_S, out));
		break;
	case PG_TIME:
		put_clock((int64_t)get_be64(v.data), out);
		break;
	case PG_TIMESTAMP:
		put_timestamp((int64_t)get_be64(v.data), zone ? "+00" : "", out);
		break;
	case PG_INTERVAL:
		put_interval(v.data, out);
		break;
	case PG_NUMERIC:
		put_numeric(v.data, out);
		break;
	case PG_VECTOR:
		put_vector(v, false, out);
		break;
	case PG_HALFVEC:
		put_vector(v, true, out);
		break;
	case PG_ARRAY:
		put_array(c, v, out);
		break;
	}
}

/* In quotes where PostgreSQL has them. */
static void put_element(struct buf *text, struct buf *out)
{
	const char *s = buf_cstr(text);
	if (*s && !strpbrk(s, " \t\n\r\v\f\"\\{},") && strcasecmp(s, "null") != 0) {
		buf_puts(out, s);
		return;
	}
	buf_puts(out, "\"");
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			buf_puts(out, "\\");
		buf_u8(out, (uint8_t)*s);
	}
	buf_puts(out, "\"");
}

/* Behind dimensions, flag, oid, count and lower bound, of one dimension or none. */
static void put_array(const struct column *c, struct slice v, struct buf *out)
{
	uint32_t count = get_be32(v.data) ? get_be32(v.data + 12) : 0;
	const uint8_t *p = v.data + 20;
	buf_puts(out, "{");
	for (uint32_t i = 0; i < count; i++) {
		struct buf text = {0};
		uint32_t len = get_be32(p);
		buf_puts(out, i ? "," : "");
		p += 4;
		if (len == UINT32_MAX) {
			buf_puts(out, "NULL");
			continue;
		}
		put_value(c, c->element, (struct slice){p, len}, &text);
		put_element(&text, out);
		buf_free(&text);
		p += len;
	}
	buf_puts(out, "}");
}

void pgtext_value(const struct column *c, struct slice value, struct buf *out)
{
	put_value(c, c->kind, value, out);
}

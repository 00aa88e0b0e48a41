/*
 * jsonout.c - an Avro value as JSON text for jsonb, straight from the wire.
 *
 *   boolean, int, long        as they are             date               "2026-01-31"
 *   float, double             shortest that reads     time-*             "12:30:00.125"
 *                             back as the same        timestamp-*        "2026-01-31T12:30:00.125Z"
 *   string, uuid, enum        string                  local-timestamp-*  "2026-01-31T12:30:00.125"
 *   bytes, fixed              string, one code point  decimal            number
 *                             per byte (Avro's JSON   duration           "P1M2DT3.004S"
 *                             encoding)               fixed uuid         "01020304-..."
 *   array, map, record        array, object, object   union              the value alone
 *
 * Fractions of a second have the digits of the writer's unit: 3, 6 or 9. Years past 9999 or before
 * 0 have a sign, as ISO 8601 asks.
 *
 * What jsonb cannot hold is refused: NaN and infinity, a byte 0 in bytes or text, text that is no
 * UTF-8. The text is valid JSON by construction, so nobody checks it again. Small input can make
 * long text (escapes, defaults that repeat with each item of an array), so its length is compared
 * with the limit after every value.
 *
 * Pure; appends to the caller's buffer, who cuts it back on failure.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/plan_steps.h"
#include "codec/text.h"

enum {
	MAX_DECIMAL_BYTES = 512,   /* 1,233 digits: the conversion is quadratic */
	MAX_DECIMAL_SCALE = 16383, /* of a numeric, hence of a number in jsonb */
};

/* --- strings --- */

/* The short form where JSON has one. */
static void put_escape(struct buf *out, uint8_t c)
{
	static const char hex[] = "0123456789abcdef";
	buf_put(out, "\\u00", 4);
	buf_u8(out, (uint8_t)hex[c >> 4]);
	buf_u8(out, (uint8_t)hex[c & 15]);
}

static bool is_plain(uint8_t c)
{
	return c >= 0x20 && c != '"' && c != '\\';
}

/* Plain runs go in one piece; what has to be escaped goes alone. */
static bool put_string(struct jsonout *j, struct cursor *c, struct slice s)
{
	if (s.len > j->max)
		return refuse(c->why, REASON_TOO_LARGE,
			      "a string of %zu bytes is over the limit of %zu", s.len, j->max);
	if (!text_check_utf8(s, c->why))
		return false;
	buf_u8(j->out, '"');
	for (size_t i = 0; i < s.len;) {
		size_t run = i;
		while (run < s.len && is_plain(s.data[run]))
			run++;
		buf_put(j->out, s.data + i, run - i);
		i = run;
		if (i < s.len)
			put_escape(j->out, s.data[i++]);
	}
	buf_u8(j->out, '"');
	return true;
}

/* Avro's JSON encoding: a byte is the code point of its number. */
static bool put_bytes(struct jsonout *j, struct cursor *c, struct slice s)
{
	if (s.len > j->max)
		return refuse(c->why, REASON_TOO_LARGE, "%zu bytes are over the limit of %zu",
			      s.len, j->max);
	if (s.len > 0 && memchr(s.data, 0, s.len))
		return refuse(c->why, REASON_INVALID_JSON,
			      "bytes that hold a zero cannot stand in jsonb");
	buf_u8(j->out, '"');
	for (size_t i = 0; i < s.len; i++) {
		if (is_plain(s.data[i]) && s.data[i] < 0x7f)
			buf_u8(j->out, s.data[i]);
		else
			put_escape(j->out, s.data[i]);
	}
	buf_u8(j->out, '"');
	return true;
}

static void put_uuid(struct buf *out, const uint8_t *u)
{
	buf_printf(out, "\"%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x\"",
		   u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12],
		   u[13], u[14], u[15]);
}

/* --- time --- */

static const int64_t per_second[] = {
	[UNIT_MILLIS] = 1000, [UNIT_MICROS] = 1000000, [UNIT_NANOS] = 1000000000};
static const int fraction_digits[] = {[UNIT_MILLIS] = 3, [UNIT_MICROS] = 6, [UNIT_NANOS] = 9};

/*
 * Proleptic Gregorian date of a day since 1970-01-01 (H. Hinnant, "chrono-compatible low-level date
 * algorithms").
 */
static void put_date(struct buf *out, int64_t days)
{
	int64_t z = days + 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;
	int64_t month = mp < 10 ? mp + 3 : mp - 9;
	int64_t year = yoe + era * 400 + (month <= 2);
	const char *sign = year < 0 ? "-" : year > 9999 ? "+" : "";
	buf_printf(out, "%s%04" PRId64 "-%02" PRId64 "-%02" PRId64, sign, year < 0 ? -year : year,
		   month, doy - (153 * mp + 2) / 5 + 1);
}

/* within: of a day, in that unit. */
static void put_clock(struct buf *out, int64_t within, enum pgbin_unit unit)
{
	int64_t seconds = within / per_second[unit];
	buf_printf(out, "%02" PRId64 ":%02" PRId64 ":%02" PRId64 ".%0*" PRId64, seconds / 3600,
		   seconds / 60 % 60, seconds % 60, fraction_digits[unit],
		   within % per_second[unit]);
}

/* 24:00:00 passes, as PostgreSQL takes it. */
static bool put_time(struct buf *out, struct cursor *c, int64_t v, enum pgbin_unit unit)
{
	if (v < 0 || v > 86400 * per_second[unit])
		return refuse(c->why, REASON_OUT_OF_RANGE, "a time of day is outside the day");
	buf_puts(out, "\"");
	put_clock(out, v, unit);
	buf_puts(out, "\"");
	return true;
}

/* Rounds down, so that times before 1970 have the right day. */
static void put_timestamp(struct buf *out, int64_t v, enum pgbin_unit unit, const char *zone)
{
	int64_t day = 86400 * per_second[unit];
	int64_t days = v / day - (v % day < 0);
	buf_puts(out, "\"");
	put_date(out, days);
	buf_puts(out, "T");
	put_clock(out, v % day + (v % day < 0 ? day : 0), unit);
	buf_printf(out, "%s\"", zone);
}

static void put_duration(struct buf *out, const uint8_t *p)
{
	uint32_t millis = get_le32(p + 8);
	buf_printf(out, "\"P%" PRIu32 "M%" PRIu32 "DT%" PRIu32 ".%03" PRIu32 "S\"", get_le32(p),
		   get_le32(p + 4), millis / 1000, millis % 1000);
}

/* --- numbers --- */

/* As few digits as read back the same number. */
static bool put_real(struct buf *out, struct cursor *c, double d, bool single)
{
	char text[40];
	if (!isfinite(d))
		return refuse(c->why, REASON_OUT_OF_RANGE,
			      "NaN and infinity cannot stand in jsonb");
	for (int digits = single ? 6 : 15; digits <= (single ? 9 : 17); digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, d);
		if (single ? strtof(text, NULL) == (float)d : strtod(text, NULL) == d)
			break;
	}
	buf_puts(out, text);
	return true;
}

/*
 * Decimal digits of a magnitude given as big-endian bytes, without leading zeros ("" for zero).
 * Returns how many.
 */
static size_t to_digits(uint8_t *magnitude, size_t len, char *digits, size_t room)
{
	size_t n = room;
	for (size_t first = 0; first < len;) {
		uint32_t rest = 0;
		for (size_t i = first; i < len; i++) {
			rest = rest << 8 | magnitude[i];
			magnitude[i] = (uint8_t)(rest / 10);
			rest %= 10;
		}
		digits[--n] = (char)('0' + rest);
		while (first < len && magnitude[first] == 0)
			first++;
	}
	while (n < room && digits[n] == '0')
		n++;
	memmove(digits, digits + n, room - n);
	return room - n;
}

/* Two's complement, in place. */
static void negate(uint8_t *p, size_t len)
{
	unsigned carry = 1;
	for (size_t i = len; i-- > 0;) {
		carry += (uint8_t)~p[i];
		p[i] = (uint8_t)carry;
		carry >>= 8;
	}
}

/* Digits with the point put in; the length is bounded before any work. */
static bool put_decimal(struct buf *out, struct cursor *c, struct slice v,
			const struct schema_type *t)
{
	uint8_t magnitude[MAX_DECIMAL_BYTES];
	char digits[MAX_DECIMAL_BYTES * 3];
	bool negative = v.len > 0 && v.data[0] >= 0x80;
	while (v.len > 1 && v.data[0] == (negative ? 0xff : 0x00) &&
	       (v.data[1] >= 0x80) == negative)
		v = (struct slice){v.data + 1, v.len - 1}; /* sign extension */
	if (v.len > sizeof(magnitude) || t->scale > MAX_DECIMAL_SCALE)
		return refuse(c->why, REASON_OUT_OF_RANGE, "a decimal has too many digits");
	if (v.len > 0)
		memcpy(magnitude, v.data, v.len);
	if (negative)
		negate(magnitude, v.len);
	size_t n = to_digits(magnitude, v.len, digits, sizeof(digits));
	if (n > t->precision)
		return refuse(c->why, REASON_OUT_OF_RANGE,
			      "a decimal has %zu digits, its precision is %u", n, t->precision);
	buf_puts(out, negative ? "-" : "");
	if (n > t->scale)
		buf_put(out, digits, n - t->scale);
	else
		buf_puts(out, "0");
	if (t->scale == 0)
		return true;
	buf_puts(out, ".");
	for (size_t zeros = t->scale > n ? t->scale - n : 0; zeros > 0; zeros--)
		buf_u8(out, '0');
	buf_put(out, digits + (n > t->scale ? n - t->scale : 0), MIN(n, t->scale));
	return true;
}

/* By the reader's logical type: a date, a time or the plain number. */
static bool put_integer(struct jsonout *j, struct cursor *c, const struct step *s)
{
	int64_t v;
	if (!walk_number(c, s, &v))
		return false;
	switch (s->reader->logical) {
	case LOGICAL_DATE:
		buf_puts(j->out, "\"");
		put_date(j->out, v);
		buf_puts(j->out, "\"");
		return true;
	case LOGICAL_TIME_MILLIS:
	case LOGICAL_TIME_MICROS:
		return put_time(j->out, c, v, s->unit);
	case LOGICAL_TIMESTAMP_MILLIS:
	case LOGICAL_TIMESTAMP_MICROS:
	case LOGICAL_TIMESTAMP_NANOS:
		put_timestamp(j->out, v, s->unit, "Z");
		return true;
	case LOGICAL_LOCAL_MILLIS:
	case LOGICAL_LOCAL_MICROS:
	case LOGICAL_LOCAL_NANOS:
		put_timestamp(j->out, v, s->unit, "");
		return true;
	case LOGICAL_NONE:
	case LOGICAL_UUID:
	case LOGICAL_DECIMAL:
	case LOGICAL_DURATION:
		break;
	}
	buf_printf(j->out, "%" PRId64, v);
	return true;
}

/* --- values --- */

/* By the reader's type: text, decimal, UUID, duration or plain bytes. */
static bool put_blob(struct jsonout *j, struct cursor *c, const struct step *s)
{
	struct slice v;
	if (!walk_blob(c, s, &v))
		return false;
	if (s->reader->kind == SCHEMA_STRING)
		return put_string(j, c, v);
	if (s->reader->logical == LOGICAL_DECIMAL)
		return put_decimal(j->out, c, v, s->reader);
	if (s->reader->logical == LOGICAL_UUID)
		put_uuid(j->out, v.data);
	else if (s->reader->logical == LOGICAL_DURATION)
		put_duration(j->out, v.data);
	else
		return put_bytes(j, c, v);
	return true;
}

/* A symbol has no characters that would need escaping. */
static bool put_enum(struct jsonout *j, struct cursor *c, const struct step *s)
{
	uint32_t symbol;
	if (!walk_symbol(c, s, &symbol))
		return false;
	buf_printf(j->out, "\"%s\"", s->reader->symbols[symbol]);
	return true;
}

/* Arrays and maps: blocks of any number, read as one list. */
static bool put_items(struct jsonout *j, struct cursor *c, const struct step *s)
{
	struct walk_blocks blocks = {0};
	uint64_t count;
	struct slice key;
	bool map = s->kind == SCHEMA_MAP, first = true;
	buf_puts(j->out, map ? "{" : "[");
	for (;;) {
		if (!walk_block(c, &blocks, &count))
			return false;
		if (count == 0)
			break;
		for (; count > 0; count--, first = false) {
			buf_puts(j->out, first ? "" : ",");
			if (map && (!walk_bytes(c, &key) || !put_string(j, c, key)))
				return false;
			buf_puts(j->out, map ? ":" : "");
			if (!jsonout_value(j, c, s->items))
				return false;
		}
	}
	buf_puts(j->out, map ? "}" : "]");
	return true;
}

/* A field without a key is one that the reader does not have. */
static bool put_record(struct jsonout *j, struct cursor *c, const struct step *s)
{
	bool first = true;
	buf_puts(j->out, "{");
	for (uint32_t i = 0; i < s->n; i++) {
		const struct step_field *f = &s->fields[i];
		if (f->key.len == 0) {
			if (!walk_skip(c, f->step))
				return false;
			continue;
		}
		buf_puts(j->out, first ? "" : ",");
		buf_put(j->out, f->key.data, f->key.len);
		if (!jsonout_value(j, c, f->step))
			return false;
		first = false;
	}
	buf_puts(j->out, first || s->rest.len == 0 ? "" : ",");
	buf_put(j->out, s->rest.data, s->rest.len);
	buf_puts(j->out, "}");
	return true;
}

/* Depth is charged here, as this is where the recursion is. */
static bool put_nested(struct jsonout *j, struct cursor *c, const struct step *s)
{
	bool ok;
	if (!walk_wanted(c, s) || !walk_enter(c))
		return false;
	if (s->kind == SCHEMA_RECORD)
		ok = put_record(j, c, s);
	else
		ok = put_items(j, c, s);
	walk_leave(c);
	return ok;
}

/* A step without a reader is a value that the stream's schema has no place for. */
static bool put_value(struct jsonout *j, struct cursor *c, const struct step *s)
{
	double d;
	bool b;
	switch (s->kind) {
	case SCHEMA_NULL:
		if (!s->reader)
			return refuse(c->why, REASON_MISSING_FIELD,
				      "holds a null where the schema of the stream has none");
		buf_puts(j->out, "null");
		return true;
	case SCHEMA_BOOLEAN:
		if (!walk_bool(c, &b))
			return false;
		buf_puts(j->out, b ? "true" : "false");
		return true;
	case SCHEMA_INT:
	case SCHEMA_LONG:
		if (s->reader->kind == SCHEMA_INT || s->reader->kind == SCHEMA_LONG)
			return put_integer(j, c, s);
		return walk_real(c, s, &d) &&
		       put_real(j->out, c, d, s->reader->kind == SCHEMA_FLOAT);
	case SCHEMA_FLOAT:
	case SCHEMA_DOUBLE:
		return walk_real(c, s, &d) &&
		       put_real(j->out, c, d, s->reader->kind == SCHEMA_FLOAT);
	case SCHEMA_BYTES:
	case SCHEMA_STRING:
	case SCHEMA_FIXED:
		return put_blob(j, c, s);
	case SCHEMA_ENUM:
		return put_enum(j, c, s);
	case SCHEMA_ARRAY:
	case SCHEMA_MAP:
	case SCHEMA_RECORD:
		return put_nested(j, c, s);
	case SCHEMA_UNION:
		return walk_branch(c, &s) && put_value(j, c, s);
	}
	return false;
}

/* The limit is looked at after each value, so the text is never much longer. */
bool jsonout_value(struct jsonout *j, struct cursor *c, const struct step *s)
{
	if (!put_value(j, c, s))
		return false;
	if (j->out->len - j->start > j->max)
		return refuse(c->why, REASON_TOO_LARGE,
			      "its JSON text is over the limit of %zu bytes (limits.max_string)",
			      j->max);
	return true;
}

/*
 * peek.c - an Avro datum as text for a person, straight from the wire, by the writer's schema
 * alone.
 *
 *   {
 *     "op": "UPSERT",
 *     "event_time": 1750000000000000 (2025-06-15T15:06:40.000000Z),
 *     "embedding": [0.1, NaN, 0.25, 0.5, 0.5, 0.5, 0.5, 0.5, ... (384 items)],
 *     "tags": <the datum ends inside this value>
 *
 * For dead letters, which are the events that something is wrong with: NaN, a byte 0 and text that
 * is no UTF-8 are shown and not refused, and what was read before a fault stays. What it is not:
 * the JSON for jsonb (jsonout.c), which takes nothing that jsonb would not, and cuts nothing.
 *
 * Pure; its length is bounded by CUT, whatever the datum.
 */
#include "codec/peek.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "codec/text.h"
#include "codec/walk.h"

enum { TEXT_SHOWN = 400, BYTES_SHOWN = 64, NUMBERS_SHOWN = 8, ITEMS_SHOWN = 20 };
enum { MAX_DEPTH = 64, MAX_ITEMS = 1 << 24, CUT = 256 * 1024 };

struct peek {
	struct cursor c;
	struct buf *out;
	size_t most; /* length of out from which on nothing is appended */
	int indent;
};

static bool put(struct peek *p, const struct schema_type *t);

/* --- scalars --- */

/* The length of the valid UTF-8 character there; 0: it is none, or would steer a terminal. */
static size_t character(const uint8_t *s, size_t left)
{
	struct refusal ignored;
	size_t n = *s < 0x80 ? 1 : *s < 0xe0 ? 2 : *s < 0xf0 ? 3 : 4;
	bool control = *s < 0x20 || *s == 0x7f || (*s == 0xc2 && left > 1 && s[1] < 0xa0);
	return n <= left && !control && text_check_utf8((struct slice){s, n}, &ignored) ? n : 0;
}

void peek_plain(struct slice text, struct buf *out)
{
	for (size_t i = 0; i < text.len;) {
		size_t n = character(text.data + i, text.len - i);
		bool latin = n == 0 && text.data[i] == 0xc2 && i + 1 < text.len;
		if (n > 0)
			buf_put(out, text.data + i, n);
		else
			buf_u8(out, '?');
		i += latin ? 2 : MAX(n, (size_t)1);
	}
}

void peek_text(struct slice text, size_t most, struct buf *out)
{
	size_t shown = MIN(text.len, most), i = 0;
	buf_u8(out, '"');
	while (i < shown) {
		size_t n = character(text.data + i, text.len - i);
		if (n == 1 && (text.data[i] == '"' || text.data[i] == '\\'))
			buf_u8(out, '\\');
		if (n > 0)
			buf_put(out, text.data + i, n);
		else if (text.data[i] == '\n')
			buf_puts(out, "\\n");
		else
			buf_printf(out, "\\x%02x", text.data[i]);
		i += MAX(n, (size_t)1);
	}
	buf_u8(out, '"');
	if (i < text.len)
		buf_printf(out, " ... (%zu bytes)", text.len);
}

static void put_bytes(struct buf *out, const uint8_t *data, size_t len)
{
	buf_puts(out, "0x");
	for (size_t i = 0; i < MIN(len, (size_t)BYTES_SHOWN); i++)
		buf_printf(out, "%02x", data[i]);
	if (len > BYTES_SHOWN)
		buf_printf(out, " ... (%zu bytes)", len);
}

/* A day or a time that a calendar has, behind its number. */
static void put_time(struct buf *out, const struct schema_type *t, int64_t n)
{
	static const int64_t per_second[] = {
		[UNIT_MILLIS] = 1000, [UNIT_MICROS] = US_PER_S, [UNIT_NANOS] = 1000 * US_PER_S};
	bool day = t->logical == LOGICAL_DATE, zoned = t->logical == LOGICAL_TIMESTAMP_MILLIS ||
						       t->logical == LOGICAL_TIMESTAMP_MICROS ||
						       t->logical == LOGICAL_TIMESTAMP_NANOS;
	char text[40];
	struct tm tm;
	if (!zoned && !day)
		return;
	int64_t unit = day ? 1 : per_second[unit_of(t->logical)], rest = n % unit, whole = n / unit;
	whole -= rest < 0;
	rest += rest < 0 ? unit : 0;
	time_t seconds = (time_t)whole;
	if (day && __builtin_mul_overflow(n, DAY_S, &seconds))
		return;
	if (!gmtime_r(&seconds, &tm) || tm.tm_year > 8099 || tm.tm_year < -1900)
		return;
	strftime(text, sizeof(text), day ? "%Y-%m-%d" : "%Y-%m-%dT%H:%M:%S", &tm);
	if (day)
		buf_printf(out, " (%s)", text);
	else
		buf_printf(out, " (%s.%06" PRId64 "Z)", text, rest * US_PER_S / unit);
}

/* Of a decimal, behind its bytes: big-endian, two's complement. Longer ones stay bytes. */
static void put_decimal(struct buf *out, struct slice s, uint32_t scale)
{
	char digits[48]; /* from the end; 16 bytes have 39 */
	size_t n = sizeof(digits);
	if (s.len == 0 || s.len > sizeof(unsigned __int128) || scale > 38)
		return;
	bool negative = s.data[0] & 0x80;
	unsigned __int128 v = negative ? ~(unsigned __int128)0 : 0;
	for (size_t i = 0; i < s.len; i++)
		v = v << 8 | s.data[i];
	v = negative ? -v : v;
	for (uint32_t i = 0; v > 0 || i <= scale; i++, v /= 10) {
		if (i == scale && scale > 0)
			digits[--n] = '.';
		digits[--n] = (char)('0' + (int)(v % 10));
	}
	buf_printf(out, " (%s%.*s)", negative ? "-" : "", (int)(sizeof(digits) - n), digits + n);
}

/* int, long */
static bool put_integer(struct peek *p, const struct schema_type *t)
{
	int64_t n;
	if (!walk_long(&p->c, &n))
		return false;
	buf_printf(p->out, "%" PRId64, n);
	put_time(p->out, t, n);
	return true;
}

static bool put_float(struct peek *p)
{
	const uint8_t *raw;
	float f;
	if (!walk_raw(&p->c, sizeof(f), &raw))
		return false;
	memcpy(&f, raw, sizeof(f));
	buf_real(p->out, (double)f, true);
	return true;
}

static bool put_double(struct peek *p)
{
	const uint8_t *raw;
	double d;
	if (!walk_raw(&p->c, sizeof(d), &raw))
		return false;
	memcpy(&d, raw, sizeof(d));
	buf_real(p->out, d, false);
	return true;
}

static bool put_blob(struct peek *p, const struct schema_type *t)
{
	struct slice s = {.len = t->size};
	bool ok =
		t->kind == SCHEMA_FIXED ? walk_raw(&p->c, t->size, &s.data) : walk_bytes(&p->c, &s);
	if (ok && t->kind == SCHEMA_STRING)
		peek_text(s, TEXT_SHOWN, p->out);
	else if (ok)
		put_bytes(p->out, s.data, s.len);
	if (ok && t->logical == LOGICAL_DECIMAL)
		put_decimal(p->out, s, t->scale);
	return ok;
}

static bool put_choice(struct peek *p, const struct schema_type *t)
{
	uint32_t i, n = (uint32_t)(t->kind == SCHEMA_ENUM ? t->nsymbols : t->nbranches);
	if (!walk_index(&p->c, n, t->kind == SCHEMA_ENUM ? "symbol" : "branch", &i))
		return false;
	if (t->kind == SCHEMA_UNION)
		return put(p, t->branches[i]);
	buf_printf(p->out, "\"%s\"", t->symbols[i]);
	return true;
}

/* --- nested --- */

static void new_line(struct peek *p, int indent)
{
	p->indent += indent;
	buf_printf(p->out, "\n%*s", 2 * p->indent, "");
}

static bool put_record(struct peek *p, const struct schema_type *t)
{
	bool ok = true;
	buf_u8(p->out, '{');
	p->indent++;
	for (size_t i = 0; ok && i < t->nfields; i++) {
		buf_puts(p->out, i > 0 ? "," : "");
		new_line(p, 0);
		buf_printf(p->out, "\"%s\": ", t->fields[i].name);
		ok = put(p, t->fields[i].type);
	}
	if (!ok)
		return false;
	new_line(p, -1);
	buf_u8(p->out, '}');
	return true;
}

static bool is_number(const struct schema_type *t)
{
	return t->kind == SCHEMA_INT || t->kind == SCHEMA_LONG || t->kind == SCHEMA_FLOAT ||
	       t->kind == SCHEMA_DOUBLE;
}

/* All are read, those that are not shown too: a fault may be behind. */
static bool put_item(struct peek *p, const struct schema_type *t, uint64_t i)
{
	bool numbers = t->kind == SCHEMA_ARRAY && is_number(t->items);
	struct slice key;
	size_t before = p->out->len;
	bool shown = i < (numbers ? NUMBERS_SHOWN : ITEMS_SHOWN);
	buf_puts(p->out, i == 0 ? "" : numbers ? ", " : ",");
	if (!numbers)
		new_line(p, 0);
	if (t->kind == SCHEMA_MAP) {
		if (!walk_bytes(&p->c, &key))
			return false;
		peek_text(key, TEXT_SHOWN, p->out);
		buf_puts(p->out, ": ");
	}
	bool ok = put(p, t->items);
	if (ok && !shown)
		p->out->len = before;
	return ok;
}

/* array, map */
static bool put_items(struct peek *p, const struct schema_type *t)
{
	bool map = t->kind == SCHEMA_MAP, numbers = !map && is_number(t->items);
	struct walk_blocks blocks = {0};
	uint64_t n = 0, count = 0;
	buf_u8(p->out, map ? '{' : '[');
	p->indent += !numbers;
	do {
		if (!walk_block(&p->c, &blocks, &count))
			return false;
		for (uint64_t i = 0; i < count; i++)
			if (!put_item(p, t, n++))
				return false;
	} while (count > 0);
	if (n > (numbers ? NUMBERS_SHOWN : ITEMS_SHOWN))
		buf_printf(p->out, ", ... (%" PRIu64 " items)", n);
	if (!numbers)
		new_line(p, -1);
	buf_u8(p->out, map ? '}' : ']');
	return true;
}

static bool put_nested(struct peek *p, const struct schema_type *t)
{
	if (!walk_enter(&p->c))
		return false;
	bool ok = t->kind == SCHEMA_RECORD ? put_record(p, t) : put_items(p, t);
	walk_leave(&p->c);
	return ok;
}

/* What is more than a person reads is passed over by writing it over again. */
static bool put(struct peek *p, const struct schema_type *t)
{
	bool b;
	if (p->out->len > p->most)
		p->out->len = p->most;
	switch (t->kind) {
	case SCHEMA_NULL:
		buf_puts(p->out, "null");
		return true;
	case SCHEMA_BOOLEAN:
		if (!walk_bool(&p->c, &b))
			return false;
		buf_puts(p->out, b ? "true" : "false");
		return true;
	case SCHEMA_INT:
	case SCHEMA_LONG:
		return put_integer(p, t);
	case SCHEMA_FLOAT:
		return put_float(p);
	case SCHEMA_DOUBLE:
		return put_double(p);
	case SCHEMA_BYTES:
	case SCHEMA_STRING:
	case SCHEMA_FIXED:
		return put_blob(p, t);
	case SCHEMA_ENUM:
	case SCHEMA_UNION:
		return put_choice(p, t);
	case SCHEMA_ARRAY:
	case SCHEMA_MAP:
	case SCHEMA_RECORD:
		return put_nested(p, t);
	}
	return false;
}

void peek_datum(const struct schema *writer, struct slice datum, struct buf *out)
{
	struct refusal why = {0};
	struct peek p = {.c = {.p = datum.data,
			       .end = datum.data + datum.len,
			       .depth = MAX_DEPTH,
			       .items = MAX_ITEMS,
			       .why = &why},
			 .out = out,
			 .most = out->len + CUT};
	if (!put(&p, writer->root))
		buf_printf(out, "<%s>", why.text);
	else if (p.c.p < p.c.end)
		buf_printf(out, " <%zu more bytes follow>", (size_t)(p.c.end - p.c.p));
}

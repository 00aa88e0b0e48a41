/*
 * text.c - what PostgreSQL would refuse in text and jsonb, found before the row is sent.
 *
 * Purpose: one bad string costs a whole COPY, so it must not reach it. PostgreSQL checks again; this check has to be
 * at least as strict, and no stricter than needed. It is not a parser: nothing is built, copied or allocated, and
 * numbers are not computed.
 *
 * UTF-8 (pg_utf8_verifystr): the table of Unicode 15, D92, and no NUL. ASCII is the usual case and goes 16 bytes at a
 * time.
 *
 * JSON: the bytes are checked as UTF-8 first, so the scan below meets only whole characters and stops at three kinds
 * of byte: the quote, the backslash, and controls. Nesting is one bit per level (array or object), which is all that
 * the grammar needs:
 *
 *        value --{--> key ':' value          after a value: ',' more of the container
 *              --[--> value                                 the closing bracket: pop, again "after a value"
 *              scalar --> after                             end of text, at depth 0
 *
 * Beyond RFC 8259, as jsonb has it: \u0000 has no text (22P05), a surrogate escape stands in a pair (22P02), a number
 * becomes a numeric (22003: at most 131072 digits before the point, 16383 after, trailing zeros counted), a string has
 * at most 2^28-1 bytes (54000).
 *
 * Invariant: begin <= p <= end, and *p is read only where p < end. No state between calls, any thread.
 */
#include <string.h>

#include "codec/text.h"

#define ONES UINT64_C(0x0101010101010101)
#define HIGHS UINT64_C(0x8080808080808080)

#define JSONB_MAX_STRING 268435455u /* JENTRY_OFFLENMASK */
#define NUMERIC_MAX_WEIGHT 131071   /* power of ten of the first digit: 32767 * 4 + 3 */
#define NUMERIC_MAX_SCALE 16383
#define NUMERIC_MAX_EXPONENT (INT32_MAX / 2 - 1) /* more is an error even for 0e... */

static uint64_t load64(const uint8_t *p)
{
	uint64_t w;
	memcpy(&w, p, sizeof(w));
	return w;
}

/* Bytes from p on that are ASCII without NUL, in steps of 16. */
static const uint8_t *skip_ascii(const uint8_t *p, const uint8_t *end)
{
	for (; end - p >= 16; p += 16) {
		uint64_t a = load64(p), b = load64(p + 8);
		/* A byte of 0 borrows and so sets its high bit; no byte of 1 .. 127 does. */
		if ((a | (a - ONES) | b | (b - ONES)) & HIGHS)
			break;
	}
	return p;
}

static bool is_tail(uint8_t c)
{
	return (c & 0xc0) == 0x80;
}

/* Length of the character at p, or 0. */
static size_t utf8_length(const uint8_t *p, size_t left)
{
	uint8_t c = p[0];
	if (c < 0x80)
		return c != 0;
	if (c < 0xc2) /* a tail byte, or an overlong form */
		return 0;
	if (c < 0xe0)
		return left >= 2 && is_tail(p[1]) ? 2 : 0;
	if (c < 0xf0) {
		if (left < 3 || !is_tail(p[1]) || !is_tail(p[2]))
			return 0;
		bool overlong = c == 0xe0 && p[1] < 0xa0, surrogate = c == 0xed && p[1] >= 0xa0;
		return overlong || surrogate ? 0 : 3;
	}
	if (c > 0xf4 || left < 4 || !is_tail(p[1]) || !is_tail(p[2]) || !is_tail(p[3]))
		return 0;
	bool overlong = c == 0xf0 && p[1] < 0x90, beyond = c == 0xf4 && p[1] >= 0x90;
	return overlong || beyond ? 0 : 4;
}

bool text_check_utf8(struct slice s, struct refusal *why)
{
	const uint8_t *p = s.data, *end = s.data + s.len;
	while (p < end) {
		p = skip_ascii(p, end);
		/* At the end, or something else than ASCII within 16 bytes: character by character up to there. */
		for (const uint8_t *stop = end - p < 16 ? end : p + 16; p < stop;) {
			size_t n = utf8_length(p, (size_t)(end - p));
			if (n == 0)
				return refuse(why, REASON_INVALID_TEXT, "%s at byte %zu", *p == 0 ? "NUL" : "not UTF-8",
					      (size_t)(p - s.data));
			p += n;
		}
	}
	return true;
}

struct json {
	const uint8_t *begin, *p, *end;
	uint32_t depth, max_depth;
	uint64_t is_object[TEXT_JSON_MAX_DEPTH / 64]; /* bit per level, from 0; valid below depth */
	struct refusal *why;
};

static bool json_bad(struct json *j, const char *what)
{
	return refuse(j->why, REASON_INVALID_JSON, "%s at byte %zu", what, (size_t)(j->p - j->begin));
}

static void json_space(struct json *j)
{
	while (j->p < j->end && (*j->p == ' ' || *j->p == '\n' || *j->p == '\t' || *j->p == '\r'))
		j->p++;
}

static bool json_next_is(struct json *j, uint8_t c)
{
	if (j->p == j->end || *j->p != c)
		return false;
	j->p++;
	return true;
}

static int hex_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits after \u, or -1. */
static int32_t json_hex4(struct json *j)
{
	if (j->end - j->p < 4)
		return -1;
	int32_t v = 0;
	for (int i = 0; i < 4; i++) {
		int h = hex_value(j->p[i]);
		if (h < 0)
			return -1;
		v = v << 4 | h;
	}
	j->p += 4;
	return v;
}

/* After \u: adds the bytes that the character has in UTF-8. */
static bool json_unicode(struct json *j, size_t *len)
{
	int32_t c = json_hex4(j);
	if (c < 0)
		return json_bad(j, "\\u without four hexadecimal digits");
	if (c == 0)
		return json_bad(j, "\\u0000, which text cannot hold,");
	if (c >= 0xdc00 && c <= 0xdfff)
		return json_bad(j, "second half of a surrogate pair without the first");
	if (c < 0xd800 || c > 0xdbff) {
		*len += c < 0x80 ? 1 : c < 0x800 ? 2 : 3;
		return true;
	}
	int32_t low = json_next_is(j, '\\') && json_next_is(j, 'u') ? json_hex4(j) : -1;
	if (low < 0xdc00 || low > 0xdfff)
		return json_bad(j, "first half of a surrogate pair without the second");
	*len += 4;
	return true;
}

static bool json_escape(struct json *j, size_t *len)
{
	if (j->p == j->end)
		return json_bad(j, "string without an end");
	uint8_t c = *j->p;
	if (c == 0 || !strchr("\"\\/bfnrtu", c))
		return json_bad(j, "unknown escape");
	j->p++;
	if (c == 'u')
		return json_unicode(j, len);
	*len += 1;
	return true;
}

/* To the next quote, backslash or control character. */
static void json_plain(struct json *j)
{
	for (; j->end - j->p >= 8; j->p += 8) {
		uint64_t w = load64(j->p), quote = w ^ ONES * '"', slash = w ^ ONES * '\\';
		/* Exact in whether there is any; bytes over 127 have their high bit cleared by ~w. */
		uint64_t hit = ((w - ONES * 0x20) | (quote - ONES) | (slash - ONES)) & ~w & HIGHS;
		if (hit)
			break;
	}
	while (j->p < j->end && *j->p >= 0x20 && *j->p != '"' && *j->p != '\\')
		j->p++;
}

/* After the opening quote. */
static bool json_string(struct json *j)
{
	size_t len = 0; /* of the text, without escapes */
	for (;;) {
		const uint8_t *from = j->p;
		json_plain(j);
		len += (size_t)(j->p - from);
		if (len > JSONB_MAX_STRING)
			return refuse(j->why, REASON_TOO_LARGE, "JSON string of more than %u bytes", JSONB_MAX_STRING);
		if (j->p == j->end)
			return json_bad(j, "string without an end");
		if (json_next_is(j, '"'))
			return true;
		if (!json_next_is(j, '\\'))
			return json_bad(j, "control character in a string");
		if (!json_escape(j, &len))
			return false;
	}
}

static int64_t json_digits(struct json *j)
{
	const uint8_t *from = j->p;
	while (j->p < j->end && *j->p >= '0' && *j->p <= '9')
		j->p++;
	return j->p - from;
}

/* After the e. Stops counting where numeric has long given up. */
static bool json_exponent(struct json *j, int64_t *exponent)
{
	bool negative = json_next_is(j, '-');
	if (!negative)
		(void)json_next_is(j, '+');
	const uint8_t *from = j->p;
	if (json_digits(j) == 0)
		return json_bad(j, "exponent without digits");
	int64_t v = 0;
	for (; from < j->p && v <= NUMERIC_MAX_EXPONENT; from++)
		v = v * 10 + (*from - '0');
	*exponent = negative ? -v : v;
	return true;
}

/* Power of ten of the first digit that is not 0, before the exponent; INT64_MIN when all are. */
static int64_t json_weight(const uint8_t *digits, int64_t whole, int64_t fraction)
{
	for (int64_t i = 0; i < whole; i++)
		if (digits[i] != '0')
			return whole - 1 - i;
	for (int64_t i = 0; i < fraction; i++)
		if (digits[whole + 1 + i] != '0')
			return -1 - i;
	return INT64_MIN;
}

static bool json_number(struct json *j)
{
	(void)json_next_is(j, '-');
	const uint8_t *digits = j->p;
	int64_t whole = json_digits(j), fraction = 0, exponent = 0;
	if (whole == 0)
		return json_bad(j, "unexpected character");
	if (whole > 1 && digits[0] == '0')
		return json_bad(j, "number with a leading zero");
	if (json_next_is(j, '.')) {
		fraction = json_digits(j);
		if (fraction == 0)
			return json_bad(j, "decimal point without digits");
	}
	if (json_next_is(j, 'e') || json_next_is(j, 'E')) {
		if (!json_exponent(j, &exponent))
			return false;
	} else if (whole + fraction <= NUMERIC_MAX_SCALE) {
		return true; /* the usual case */
	}
	int64_t weight = json_weight(digits, whole, fraction);
	bool fits = exponent <= NUMERIC_MAX_EXPONENT && exponent >= -NUMERIC_MAX_EXPONENT &&
		    fraction - exponent <= NUMERIC_MAX_SCALE &&
		    (weight == INT64_MIN || weight + exponent <= NUMERIC_MAX_WEIGHT);
	return fits || json_bad(j, "number that numeric cannot hold");
}

static bool json_word(struct json *j, const char *word)
{
	size_t n = strlen(word);
	if ((size_t)(j->end - j->p) < n || memcmp(j->p, word, n) != 0)
		return json_bad(j, "unexpected character");
	j->p += n;
	return true;
}

static bool json_in_object(const struct json *j)
{
	uint32_t level = j->depth - 1;
	return j->is_object[level / 64] >> (level % 64) & 1;
}

static bool json_push(struct json *j, bool object)
{
	if (j->depth == j->max_depth)
		return refuse(j->why, REASON_TOO_LARGE, "JSON nested more than %u deep at byte %zu", j->max_depth,
			      (size_t)(j->p - j->begin));
	uint64_t bit = UINT64_C(1) << (j->depth % 64), *word = &j->is_object[j->depth / 64];
	*word = object ? *word | bit : *word & ~bit;
	j->depth++;
	return true;
}

static bool json_key(struct json *j)
{
	json_space(j);
	if (!json_next_is(j, '"'))
		return json_bad(j, "no key of an object");
	if (!json_string(j))
		return false;
	json_space(j);
	return json_next_is(j, ':') || json_bad(j, "no colon after a key");
}

/* After an opening bracket: *whole says whether the container ended at once. */
static bool json_open(struct json *j, bool object, bool *whole)
{
	if (!json_push(j, object))
		return false;
	json_space(j);
	*whole = json_next_is(j, object ? '}' : ']');
	if (*whole)
		j->depth--;
	return *whole || !object || json_key(j);
}

/* One scalar, or the opening of a container (*whole false: a value comes next). */
static bool json_value(struct json *j, bool *whole)
{
	*whole = true;
	json_space(j);
	switch (j->p < j->end ? *j->p : 0) {
	case '{':
		j->p++;
		return json_open(j, true, whole);
	case '[':
		j->p++;
		return json_open(j, false, whole);
	case '"':
		j->p++;
		return json_string(j);
	case 't':
		return json_word(j, "true");
	case 'f':
		return json_word(j, "false");
	case 'n':
		return json_word(j, "null");
	default:
		return j->p < j->end ? json_number(j) : json_bad(j, "no value");
	}
}

/* After a value: closes what ends here. *more: a value comes next; otherwise the text is at its end. */
static bool json_after(struct json *j, bool *more)
{
	*more = false;
	for (;;) {
		json_space(j);
		if (j->depth == 0)
			return j->p == j->end || json_bad(j, "something after the value");
		bool object = json_in_object(j);
		if (json_next_is(j, ',')) {
			*more = true;
			return !object || json_key(j);
		}
		if (!json_next_is(j, object ? '}' : ']'))
			return json_bad(j, object ? "neither , nor } in an object" : "neither , nor ] in an array");
		j->depth--;
	}
}

bool text_check_json(struct slice s, uint32_t max_depth, struct refusal *why)
{
	if (!text_check_utf8(s, why))
		return false;
	struct json j = {.begin = s.data, .p = s.data, .end = s.data + s.len, .why = why};
	j.max_depth = MIN(max_depth, TEXT_JSON_MAX_DEPTH);
	for (bool more = true; more;) {
		bool whole;
		if (!json_value(&j, &whole))
			return false;
		if (whole && !json_after(&j, &more))
			return false;
	}
	return true;
}

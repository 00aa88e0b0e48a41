/*
 * text.c - what PostgreSQL would refuse in text and jsonb, found before the row is sent.
 *
 * Purpose: one bad string costs a whole COPY, so it must not reach it. PostgreSQL checks again;
 * this check has to be at least as strict, and no stricter than needed. It is not a parser: nothing
 * is built, copied or allocated, and numbers are not computed.
 *
 * UTF-8 (pg_utf8_verifystr): the table of Unicode 15, D92, and no NUL. ASCII is the usual case and
 * goes 16 bytes at a time, copied on the way. Only a text that is more than ASCII is walked by
 * character.
 *
 * JSON: one pass over a copy that ends in zero bytes (TEXT_PAD). Zero is bad wherever the grammar
 * may stand, and so stops every loop: nothing below compares with the end, and a string is searched
 * 16 bytes at a time for what ends a plain run: quote, backslash, control, or the first byte of a
 * character beyond ASCII. Nesting is one bit per level (array or object), which is all that the
 * grammar needs:
 *
 *        value --{--> key ':' value          after a value: ',' more of the container
 *              --[--> value                                 the closing bracket: pop, again "after
 *                                                           a value"
 *              scalar --> after                             end of text, at depth 0
 *
 * Beyond RFC 8259, as jsonb has it: \u0000 has no text (22P05), a surrogate escape stands in a pair
 * (22P02), a number becomes a numeric (22003: at most 131072 digits before the point, 16383 after,
 * trailing zeros counted), a string has at most 2^28-1 bytes (54000).
 *
 * Invariants: in UTF-8, *p is read only where p < end. In JSON, p moves only past bytes that are
 * not zero, so p <= end, and reads no more than TEXT_PAD bytes from p on. No state between calls,
 * any thread.
 */
#include <assert.h>
#include <string.h>

#include "base/buf.h"
#include "codec/text.h"

#define ONES UINT64_C(0x0101010101010101)
#define HIGHS UINT64_C(0x8080808080808080)

#define JSONB_MAX_STRING 268435455u /* JENTRY_OFFLENMASK */
#define NUMERIC_MAX_WEIGHT 131071   /* power of ten of the first digit: 32767 * 4 + 3 */
#define NUMERIC_MAX_SCALE 16383
#define NUMERIC_MAX_EXPONENT (INT32_MAX / 2 - 1) /* more is an error even for 0e... */

/*
 * Vectors of the compiler: SSE2 or NEON, or two words where there is neither. Bytes from 0x80 on
 * are negative.
 */
typedef int8_t bytes16 __attribute__((vector_size(16)));
typedef uint64_t words2 __attribute__((vector_size(16)));

static inline uint64_t load64(const uint8_t *p)
{
	uint64_t w;
	memcpy(&w, p, sizeof(w));
	return w;
}

static inline uint32_t load32(const uint8_t *p)
{
	uint32_t w;
	memcpy(&w, p, sizeof(w));
	return w;
}

static inline bytes16 load16(const uint8_t *p)
{
	bytes16 v;
	memcpy(&v, p, sizeof(v));
	return v;
}

/*
 * Not 0 when a byte is 0 or over 127: a byte of 0 borrows and so sets its high bit; no byte of 1 ..
 * 127 does.
 */
static inline uint64_t not_plain(uint64_t w)
{
	return (w | (w - ONES)) & HIGHS;
}

/* Bytes from p on that are ASCII without NUL, in steps of 16. */
static const uint8_t *skip_ascii(const uint8_t *p, const uint8_t *end)
{
	for (; end - p >= 16; p += 16)
		if (not_plain(load64(p)) | not_plain(load64(p + 8)))
			break;
	return p;
}

/* Index of the first byte that is not 0 of a comparison's result; 16: none. */
static inline unsigned first_set(bytes16 v)
{
#ifdef __SSE2__
	typedef char chars16 __attribute__((vector_size(16)));
	return (unsigned)__builtin_ctz((unsigned)__builtin_ia32_pmovmskb128((chars16)v) | 1u << 16);
#else
	words2 w = (words2)v;
	return w[0]   ? (unsigned)__builtin_ctzll(w[0]) / 8
	       : w[1] ? 8 + (unsigned)__builtin_ctzll(w[1]) / 8
		      : 16;
#endif
}

static inline bytes16 copy16(uint8_t *to, const uint8_t *p)
{
	bytes16 v = load16(p);
	memcpy(to, &v, sizeof(v));
	return v < 1;
}

/* The first and the last half of a text overlap where its length is no power of two. */
bool text_copy(uint8_t *to, struct slice s)
{
	const uint8_t *p = s.data;
	size_t n = s.len;
	if (n >= 16) {
		bytes16 bad = copy16(to + n - 16, p + n - 16);
		for (size_t i = 0; i < n - 16; i += 16)
			bad |= copy16(to + i, p + i);
		return first_set(bad) == 16;
	}
	if (n >= 8) {
		uint64_t first = load64(p), last = load64(p + n - 8);
		memcpy(to, &first, 8);
		memcpy(to + n - 8, &last, 8);
		return (not_plain(first) | not_plain(last)) == 0;
	}
	if (n >= 4) {
		uint32_t first = load32(p), last = load32(p + n - 4);
		memcpy(to, &first, 4);
		memcpy(to + n - 4, &last, 4);
		return not_plain((uint64_t)first << 32 | last) == 0;
	}
	if (n == 0)
		return true;
	uint8_t first = p[0], middle = p[n / 2], last = p[n - 1];
	to[0] = first;
	to[n / 2] = middle;
	to[n - 1] = last;
	return (int8_t)first > 0 && (int8_t)middle > 0 && (int8_t)last > 0;
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

/* Runs of ASCII are jumped over; each other character is looked at. */
bool text_check_utf8(struct slice s, struct refusal *why)
{
	const uint8_t *p = s.data, *end = s.data + s.len;
	while (p < end) {
		p = skip_ascii(p, end);
		/*
		 * At the end, or something else than ASCII within 16 bytes: character by character
		 * up to there.
		 */
		for (const uint8_t *stop = end - p < 16 ? end : p + 16; p < stop;) {
			size_t n = utf8_length(p, (size_t)(end - p));
			if (n == 0)
				return refuse(why, REASON_INVALID_TEXT, "%s at byte %zu",
					      *p == 0 ? "NUL" : "not UTF-8", (size_t)(p - s.data));
			p += n;
		}
	}
	return true;
}

struct json {
	const uint8_t *begin, *end;
	uint32_t depth, max_depth;
	uint64_t is_object[TEXT_JSON_MAX_DEPTH / 64]; /* bit per level, from 0; valid below depth */
	struct refusal *why;
};

/*
 * Every step below takes the place where it begins, and gives the place behind what it has read, or
 * NULL.
 */
static const uint8_t *json_bad(struct json *j, const uint8_t *p, const char *what)
{
	refuse(j->why, REASON_INVALID_JSON, "%s at byte %zu", what, (size_t)(p - j->begin));
	return NULL;
}

static inline const uint8_t *json_space(const uint8_t *p)
{
	while (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r')
		p++;
	return p;
}

/* Four digits, or -1. */
static int32_t json_hex4(const uint8_t *p)
{
	int32_t v = 0;
	for (int i = 0; i < 4; i++) {
		int h = hex_value(p[i]);
		if (h < 0)
			return -1;
		v = v << 4 | h;
	}
	return v;
}

/* After \u. Takes from *spare what the character is shorter in UTF-8 than here. */
static const uint8_t *json_unicode(struct json *j, const uint8_t *p, size_t *spare)
{
	int32_t c = json_hex4(p);
	if (c < 0)
		return json_bad(j, p, "\\u without four hexadecimal digits");
	p += 4;
	if (c == 0)
		return json_bad(j, p, "\\u0000, which text cannot hold,");
	if (c >= 0xdc00 && c <= 0xdfff)
		return json_bad(j, p, "second half of a surrogate pair without the first");
	if (c < 0xd800 || c > 0xdbff) {
		*spare += c < 0x80 ? 5 : c < 0x800 ? 4 : 3;
		return p;
	}
	int32_t low = p[0] == '\\' && p[1] == 'u' ? json_hex4(p + 2) : -1;
	if (low < 0xdc00 || low > 0xdfff)
		return json_bad(j, p, "first half of a surrogate pair without the second");
	*spare += 8;
	return p + 6;
}

/* After the backslash. */
static const uint8_t *json_escape(struct json *j, const uint8_t *p, size_t *spare)
{
	if (p == j->end)
		return json_bad(j, p, "string without an end");
	if (*p == 0 || !strchr("\"\\/bfnrtu", *p))
		return json_bad(j, p, "unknown escape");
	if (*p == 'u')
		return json_unicode(j, p + 1, spare);
	*spare += 1;
	return p + 1;
}

/* To the next quote, backslash, control character, or byte beyond ASCII. */
static inline const uint8_t *json_plain(const uint8_t *p)
{
	for (;; p += 16) {
		bytes16 v = load16(p);
		unsigned n = first_set((v < 0x20) | (v == '"') | (v == '\\'));
		if (n < 16)
			return p + n;
	}
}

/* What stands between plain runs: an escape, or characters beyond ASCII. */
static const uint8_t *json_special(struct json *j, const uint8_t *p, size_t *spare)
{
	if (*p == '\\')
		return json_escape(j, p + 1, spare);
	if (*p < 0x80)
		return json_bad(j, p,
				p == j->end ? "string without an end"
					    : "control character in a string");
	while (*p >= 0x80) {
		size_t n = utf8_length(p, (size_t)(j->end - p));
		if (n == 0)
			return json_bad(j, p, "not UTF-8");
		p += n;
	}
	return p;
}

/* After the opening quote. */
static inline const uint8_t *json_string(struct json *j, const uint8_t *p)
{
	const uint8_t *from = p;
	size_t spare = 0; /* by how much the text is shorter than what stands here */
	for (p = json_plain(p); *p != '"'; p = json_plain(p))
		if (!(p = json_special(j, p, &spare)))
			return NULL;
	if ((size_t)(p - from) - spare <= JSONB_MAX_STRING)
		return p + 1;
	refuse(j->why, REASON_TOO_LARGE, "JSON string of more than %u bytes", JSONB_MAX_STRING);
	return NULL;
}

static inline const uint8_t *json_digits(const uint8_t *p)
{
	while (*p >= '0' && *p <= '9')
		p++;
	return p;
}

/* After the e. Stops counting where numeric has long given up. */
static const uint8_t *json_exponent(struct json *j, const uint8_t *p, int64_t *exponent)
{
	bool negative = *p == '-';
	if (*p == '-' || *p == '+')
		p++;
	const uint8_t *end = json_digits(p);
	if (end == p)
		return json_bad(j, p, "exponent without digits");
	int64_t v = 0;
	for (; p < end && v <= NUMERIC_MAX_EXPONENT; p++)
		v = v * 10 + (*p - '0');
	*exponent = negative ? -v : v;
	return end;
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

/*
 * The parts of a number that may be too large, or too fine: at p stands what comes behind its
 * digits.
 */
static const uint8_t *json_numeric(struct json *j, const uint8_t *p, const uint8_t *digits,
				   int64_t whole, int64_t fraction)
{
	int64_t exponent = 0;
	if ((*p == 'e' || *p == 'E') && !(p = json_exponent(j, p + 1, &exponent)))
		return NULL;
	int64_t weight = json_weight(digits, whole, fraction);
	bool fits = exponent <= NUMERIC_MAX_EXPONENT && exponent >= -NUMERIC_MAX_EXPONENT &&
		    fraction - exponent <= NUMERIC_MAX_SCALE &&
		    (weight == INT64_MIN || weight + exponent <= NUMERIC_MAX_WEIGHT);
	return fits ? p : json_bad(j, p, "number that numeric cannot hold");
}

/* No number is computed: numeric's limits are on how many digits there are. */
static const uint8_t *json_number(struct json *j, const uint8_t *p)
{
	if (*p == '-')
		p++;
	const uint8_t *digits = p;
	int64_t fraction = 0;
	p = json_digits(p);
	int64_t whole = p - digits;
	if (whole == 0)
		return json_bad(j, p, "unexpected character");
	if (whole > 1 && digits[0] == '0')
		return json_bad(j, p, "number with a leading zero");
	if (*p == '.') {
		const uint8_t *point = p++;
		p = json_digits(p);
		fraction = p - point - 1;
		if (fraction == 0)
			return json_bad(j, p, "decimal point without digits");
	}
	if (*p != 'e' && *p != 'E' && whole + fraction <= NUMERIC_MAX_SCALE)
		return p; /* the usual case */
	return json_numeric(j, p, digits, whole, fraction);
}

static const uint8_t *json_word(struct json *j, const uint8_t *p)
{
	if (memcmp(p, "true", 4) == 0 || memcmp(p, "null", 4) == 0)
		return p + 4;
	return memcmp(p, "false", 5) == 0 ? p + 5 : json_bad(j, p, "unexpected character");
}

static inline bool json_in_object(const struct json *j)
{
	uint32_t level = j->depth - 1;
	return j->is_object[level / 64] >> (level % 64) & 1;
}

/* One bit a level is all that the grammar needs. */
static inline bool json_push(struct json *j, const uint8_t *p, bool object)
{
	if (j->depth == j->max_depth)
		return refuse(j->why, REASON_TOO_LARGE, "JSON nested more than %u deep at byte %zu",
			      j->max_depth, (size_t)(p - j->begin));
	uint64_t *word = &j->is_object[j->depth / 64], level = j->depth % 64;
	uint64_t below = level == 0 ? 0 : *word & ((UINT64_C(1) << level) - 1);
	*word = below | (uint64_t)object << level;
	j->depth++;
	return true;
}

static inline const uint8_t *json_key(struct json *j, const uint8_t *p)
{
	p = json_space(p);
	if (*p != '"')
		return json_bad(j, p, "no key of an object");
	if (!(p = json_string(j, p + 1)))
		return NULL;
	p = json_space(p);
	return *p == ':' ? p + 1 : json_bad(j, p, "no colon after a key");
}

/*
 * One value, down to the first scalar or empty container in it; the containers around that stay
 * open.
 */
static const uint8_t *json_value(struct json *j, const uint8_t *p)
{
	for (;;) {
		p = json_space(p);
		bool object = *p == '{';
		if (*p == '"')
			return json_string(j, p + 1);
		if ((*p >= '0' && *p <= '9') || *p == '-')
			return json_number(j, p);
		if (!object && *p != '[')
			return p == j->end ? json_bad(j, p, "no value") : json_word(j, p);
		if (!json_push(j, p + 1, object))
			return NULL;
		p = json_space(p + 1);
		if (*p == (object ? '}' : ']')) {
			j->depth--;
			return p + 1;
		}
		if (object && !(p = json_key(j, p)))
			return NULL;
	}
}

/*
 * After a value: closes what ends here. Then, at depth 0, the text has ended; else a value comes
 * next.
 */
static const uint8_t *json_after(struct json *j, const uint8_t *p)
{
	for (;;) {
		p = json_space(p);
		if (j->depth == 0)
			return p == j->end ? p : json_bad(j, p, "something after the value");
		bool object = json_in_object(j);
		if (*p == ',')
			return object ? json_key(j, p + 1) : p + 1;
		if (*p != (object ? '}' : ']'))
			return json_bad(j, p,
					object ? "neither , nor } in an object"
					       : "neither , nor ] in an array");
		p++;
		j->depth--;
	}
}

/* Zeros behind the text are the caller's to see to (TEXT_PAD). */
bool text_check_json(struct slice s, uint32_t max_depth, struct refusal *why)
{
	struct json j;
	struct refusal text;
	const uint8_t *p = s.data;
	assert(load64(s.data + s.len) == 0 && load64(s.data + s.len + 8) == 0);
	j.begin = s.data;
	j.end = s.data + s.len;
	j.depth = 0;
	j.max_depth = MIN(max_depth, TEXT_JSON_MAX_DEPTH);
	j.why = why;
	do {
		p = json_value(&j, p);
		if (p)
			p = json_after(&j, p);
	} while (p && j.depth > 0);
	if (!p && !text_check_utf8(s, &text))
		*why = text; /* what is no text is refused as such, wherever that shows */
	return p != NULL;
}

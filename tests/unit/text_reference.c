/*
 * text_reference.c - the checks of codec/text.c once more, as plain as can be: for comparison, not
 * for speed.
 *
 * Recursive descent over the bytes, every read behind a comparison with the end. UTF-8 is decoded
 * and compared with the shortest form. Shared by the unit tests and the fuzzer of text. No state.
 */
#include "text_reference.h"

#include <string.h>

bool reference_utf8(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n;) {
		static const uint32_t least[] = {1, 1, 0x80, 0x800, 0x10000};
		uint8_t c = p[i++];
		size_t len = c < 0x80   ? 1
			     : c < 0xc0 ? 0
			     : c < 0xe0 ? 2
			     : c < 0xf0 ? 3
			     : c < 0xf8 ? 4
					: 0;
		if (len == 0)
			return false;
		uint32_t v = len == 1 ? c : c & (0x7fu >> len);
		for (size_t k = 1; k < len; k++, i++) {
			if (i >= n || (p[i] & 0xc0) != 0x80)
				return false;
			v = v << 6 | (p[i] & 0x3f);
		}
		if (v < least[len] || v > 0x10ffff || (v >= 0xd800 && v < 0xe000))
			return false;
	}
	return true;
}

struct reader {
	const uint8_t *p, *end;
	unsigned depth;
	bool vast;
};

/* The next byte, or -1. */
static int peek(const struct reader *r)
{
	return r->p < r->end ? *r->p : -1;
}

static bool take(struct reader *r, int c)
{
	if (peek(r) != c)
		return false;
	r->p++;
	return true;
}

static bool take_any(struct reader *r, const char *set)
{
	if (peek(r) <= 0 || !strchr(set, peek(r)))
		return false;
	r->p++;
	return true;
}

static void skip_space(struct reader *r)
{
	while (take_any(r, " \t\r\n"))
		;
}

static bool word(struct reader *r, const char *w)
{
	for (; *w; w++)
		if (!take(r, *w))
			return false;
	return true;
}

static bool hex4(struct reader *r, unsigned *v)
{
	static const char digits[] = "0123456789abcdef0123456789ABCDEF";
	*v = 0;
	for (int i = 0; i < 4; i++) {
		const char *at = peek(r) > 0 ? strchr(digits, peek(r)) : NULL;
		if (!at)
			return false;
		*v = *v * 16 + (unsigned)(at - digits) % 16;
		r->p++;
	}
	return true;
}

static bool unicode(struct reader *r)
{
	unsigned v, low;
	if (!hex4(r, &v) || v == 0)
		return false;
	if (v / 0x400 == 0xd800 / 0x400)
		return word(r, "\\u") && hex4(r, &low) && low / 0x400 == 0xdc00 / 0x400;
	return v / 0x400 != 0xdc00 / 0x400;
}

static bool string(struct reader *r)
{
	if (!take(r, '"'))
		return false;
	while (!take(r, '"')) {
		if (take(r, '\\')) {
			if (take(r, 'u') ? !unicode(r) : !take_any(r, "\"\\/bfnrt"))
				return false;
		} else if (peek(r) < 0x20) {
			return false;
		} else {
			r->p++;
		}
	}
	return true;
}

static size_t digits(struct reader *r)
{
	size_t n = 0;
	while (take_any(r, "0123456789"))
		n++;
	return n;
}

static bool number(struct reader *r)
{
	(void)take(r, '-');
	if (!take(r, '0') && digits(r) == 0)
		return false;
	if (take(r, '.') && digits(r) == 0)
		return false;
	if (!take_any(r, "eE"))
		return true;
	(void)take_any(r, "+-");
	size_t n = digits(r);
	r->vast = r->vast || n > 4;
	return n > 0;
}

static bool value(struct reader *r);

static bool container(struct reader *r, bool object)
{
	char close = object ? '}' : ']';
	r->p++;
	if (r->depth == 0)
		return false;
	r->depth--;
	skip_space(r);
	for (bool first = true; !take(r, close); first = false) {
		if (!first && !take(r, ','))
			return false;
		skip_space(r);
		if (object) {
			if (!string(r))
				return false;
			skip_space(r);
			if (!take(r, ':'))
				return false;
		}
		if (!value(r))
			return false;
	}
	r->depth++;
	return true;
}

/* With the space around it. */
static bool value(struct reader *r)
{
	bool good;
	skip_space(r);
	if (peek(r) == '{' || peek(r) == '[')
		good = container(r, peek(r) == '{');
	else if (peek(r) == '"')
		good = string(r);
	else if (peek(r) == 't')
		good = word(r, "true");
	else if (peek(r) == 'f')
		good = word(r, "false");
	else if (peek(r) == 'n')
		good = word(r, "null");
	else
		good = number(r);
	skip_space(r);
	return good;
}

bool reference_json(const uint8_t *p, size_t n, unsigned max_depth, bool *vast)
{
	struct reader r = {.p = p, .end = p + n, .depth = max_depth};
	bool good = reference_utf8(p, n) && value(&r) && r.p == r.end;
	*vast = r.vast;
	return good;
}

/*
 * wrap.c - texts that come from elsewhere, for a terminal.
 *
 *   Jonas carries an adrenaline      |at = 0, width = 36
 *       pen in his yellow raincoat.  |indent = 4
 *
 * A character is a code point: combining and double-width ones are counted as one column, so their
 * lines are off by a few. Words longer than a line are broken. Pure functions; no failure.
 */
#include "cli/wrap.h"

#include <string.h>

#include "base/utf8.h"

size_t wrap_character(struct buf *out, const char *s)
{
	const unsigned char *u = (const unsigned char *)s;
	size_t n = utf8_sequence(u);
	bool control = *u < 0x20 || *u == 0x7f || (*u == 0xc2 && u[1] < 0xa0);
	if (n == 0 || control)
		buf_u8(out, '?');
	else
		buf_put(out, s, n);
	return MAX(n, (size_t)1);
}

/* Bytes of the character at s. */
static size_t character_size(const char *s)
{
	return MAX(utf8_sequence((const unsigned char *)s), (size_t)1);
}

size_t wrap_width(const char *s)
{
	size_t n = 0;
	for (; *s; s += character_size(s))
		n++;
	return n;
}

static bool is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Characters up to the next blank. */
static size_t word_width(const char *s)
{
	size_t n = 0;
	for (; *s && !is_blank(*s); s += character_size(s))
		n++;
	return n;
}

static void begin_line(struct buf *out, size_t indent)
{
	buf_puts(out, "\n");
	buf_printf(out, "%*s", (int)indent, "");
}

void wrap_text(struct buf *out, const char *text, size_t at, size_t indent, size_t width)
{
	size_t line = width > indent ? width : SIZE_MAX;
	bool first = true;
	while (*text) {
		if (is_blank(*text)) {
			text++;
			continue;
		}
		size_t word = word_width(text), blank = first ? 0 : 1;
		if (!first && at + blank + word > line) {
			begin_line(out, indent);
			at = indent;
			blank = 0;
		}
		buf_puts(out, blank ? " " : "");
		at += blank;
		for (first = false; *text && !is_blank(*text); at++) {
			if (at >= line) {
				begin_line(out, indent);
				at = indent;
			}
			text += wrap_character(out, text);
		}
	}
	buf_puts(out, "\n");
}

/*
 * buf.c - the slow half of buf.h: growing, formatted text, freeing.
 *
 * Capacity doubles from 256 bytes, so appending n bytes costs O(n). realloc may move the bytes: a
 * pointer from buf_take() is good until the next call that may grow. One owner, no lock. Out of
 * memory ends the process (mem.c).
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"

/* Also from a buf of zeros: realloc of NULL is malloc. */
void buf_grow(struct buf *b, size_t more)
{
	size_t need;
	if (__builtin_add_overflow(b->len, more, &need))
		need = SIZE_MAX; /* malloc refuses it, and mem.c says so */
	if (need <= b->cap)
		return;
	size_t cap = b->cap ? b->cap : 256;
	while (cap < need)
		cap = cap > SIZE_MAX / 2 ? need : cap * 2;
	b->data = xrealloc(b->data, cap);
	b->cap = cap;
}

void buf_free(struct buf *b)
{
	free(b->data);
	*b = (struct buf){0};
}

/* Tries the room there is first; only a text that does not fit is formatted twice. */
void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list args, again;
	buf_grow(b, 64); /* most texts are short; also, NULL has no end to write at */
	va_start(args, fmt);
	va_copy(again, args);
	int n = vsnprintf((char *)b->data + b->len, b->cap - b->len, fmt, args);
	va_end(args);
	if (n > 0 && (size_t)n >= b->cap - b->len) { /* vsnprintf wants room for its NUL as well */
		buf_grow(b, (size_t)n + 1);
		n = vsnprintf((char *)b->data + b->len, b->cap - b->len, fmt, again);
	}
	va_end(again);
	if (n > 0)
		b->len += (size_t)n;
}

void buf_real(struct buf *b, double v, bool single)
{
	char text[40];
	for (int digits = single ? 6 : 15; digits <= (single ? 9 : 17); digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, v);
		if (single ? strtof(text, NULL) == (float)v : strtod(text, NULL) == v)
			break;
	}
	buf_puts(b, isnan(v) ? "NaN" : isinf(v) ? (v > 0 ? "Infinity" : "-Infinity") : text);
}

void buf_base64(struct buf *b, struct slice bytes)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	for (size_t i = 0; i < bytes.len; i += 3) {
		const uint8_t *p = bytes.data + i;
		size_t have = MIN(bytes.len - i, (size_t)3);
		uint32_t bits = (uint32_t)p[0] << 16;
		bits |= have > 1 ? (uint32_t)p[1] << 8 : 0;
		bits |= have > 2 ? p[2] : 0;
		uint8_t *d = buf_take(b, 4);
		d[0] = (uint8_t)digits[bits >> 18];
		d[1] = (uint8_t)digits[bits >> 12 & 63];
		d[2] = have > 1 ? (uint8_t)digits[bits >> 6 & 63] : '=';
		d[3] = have > 2 ? (uint8_t)digits[bits & 63] : '=';
	}
}

void buf_puts(struct buf *b, const char *s)
{
	buf_put(b, s, strlen(s));
}

const char *buf_cstr(struct buf *b)
{
	buf_grow(b, 1);
	b->data[b->len] = '\0';
	return (const char *)b->data;
}

char *buf_take_text(struct buf *b)
{
	char *text = xstrdup(buf_cstr(b));
	buf_free(b);
	return text;
}

/* PostgreSQL's rule for both kinds of quotes: a mark within is written twice. */
void buf_quoted(struct buf *b, const char *s, char mark)
{
	buf_u8(b, (uint8_t)mark);
	for (; *s; s++) {
		if (*s == mark)
			buf_u8(b, (uint8_t)mark);
		buf_u8(b, (uint8_t)*s);
	}
	buf_u8(b, (uint8_t)mark);
}

/* -1: no digit of base64, URL-safe ones included. */
static int base64_value(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

bool buf_unbase64(struct buf *out, const char *text, size_t len)
{
	uint32_t bits = 0;
	size_t have = 0;
	while (len > 0 && text[len - 1] == '=')
		len--;
	for (size_t i = 0; i < len; i++) {
		int v = base64_value((uint8_t)text[i]);
		if (v < 0)
			return false;
		bits = bits << 6 | (uint32_t)v;
		have += 6;
		if (have >= 8) {
			have -= 8;
			buf_u8(out, (uint8_t)(bits >> have));
		}
	}
	return true;
}

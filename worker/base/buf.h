/*
 * buf.h - growable bytes with big-endian puts, for COPY BINARY and SQL text. Zero-initialised is
 * empty and valid; out of memory ends the process.
 */
#pragma once

#include <string.h>

#include "base/base.h"

struct buf {
	uint8_t *data;
	size_t len, cap;
};

void buf_grow(struct buf *b, size_t more); /* makes room for that many bytes past len; len stays */
void buf_free(struct buf *b);
/* without the closing NUL */
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void buf_puts(struct buf *b, const char *s); /* without the closing NUL */
/* The bytes of base64, also URL-safe, with or without "=". False: it is none; some may be there. */
MUST_CHECK bool buf_unbase64(struct buf *out, const char *text, size_t len);
/* as few digits as read back the same number (single: the same float); NaN, Infinity */
void buf_real(struct buf *b, double v, bool single);
void buf_quoted(struct buf *b, const char *s, char mark); /* SQL: 'it''s' or "na""me" */
void buf_base64(struct buf *b, struct slice bytes);       /* with = at its end */
/* puts a NUL behind len (len stays) and returns data */
const char *buf_cstr(struct buf *b);
/* Its text as a string of the caller's; the buffer is empty then. */
char *buf_take_text(struct buf *b);

/* Room for n bytes, len moved past them: the caller fills all n. */
static inline uint8_t *buf_take(struct buf *b, size_t n)
{
	if (b->cap - b->len < n)
		buf_grow(b, n);
	uint8_t *p = b->data + b->len;
	b->len += n;
	return p;
}

/* Copies n bytes behind the end; p may be NULL if n is 0. */
static inline void buf_put(struct buf *b, const void *p, size_t n)
{
	if (n > 0)
		memcpy(buf_take(b, n), p, n);
}

/* Big-endian, at any alignment, as all of these. */
static inline void put_be16(uint8_t *p, uint16_t v)
{
	v = __builtin_bswap16(v);
	memcpy(p, &v, sizeof(v));
}

static inline void put_be32(uint8_t *p, uint32_t v)
{
	v = __builtin_bswap32(v);
	memcpy(p, &v, sizeof(v));
}

static inline void put_be64(uint8_t *p, uint64_t v)
{
	v = __builtin_bswap64(v);
	memcpy(p, &v, sizeof(v));
}

static inline uint16_t get_be16(const uint8_t *p)
{
	uint16_t v;
	memcpy(&v, p, sizeof(v));
	return __builtin_bswap16(v);
}

static inline uint32_t get_be32(const uint8_t *p)
{
	uint32_t v;
	memcpy(&v, p, sizeof(v));
	return __builtin_bswap32(v);
}

static inline uint64_t get_be64(const uint8_t *p)
{
	uint64_t v;
	memcpy(&v, p, sizeof(v));
	return __builtin_bswap64(v);
}

/* What Avro's floats and single objects have. */
static inline uint32_t get_le32(const uint8_t *p)
{
	return __builtin_bswap32(get_be32(p));
}

static inline uint64_t get_le64(const uint8_t *p)
{
	return __builtin_bswap64(get_be64(p));
}

/* Of a hexadecimal digit, or -1. */
static inline int hex_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Of two hexadecimal digits, or -1. */
static inline int hex_byte(const char *hex)
{
	int high = hex_value((uint8_t)hex[0]), low = hex_value((uint8_t)hex[1]);
	return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* Appended, big-endian. */
static inline void buf_u8(struct buf *b, uint8_t v)
{
	*buf_take(b, 1) = v;
}

static inline void buf_be16(struct buf *b, uint16_t v)
{
	put_be16(buf_take(b, sizeof(v)), v);
}

static inline void buf_be32(struct buf *b, uint32_t v)
{
	put_be32(buf_take(b, sizeof(v)), v);
}

static inline void buf_be64(struct buf *b, uint64_t v)
{
	put_be64(buf_take(b, sizeof(v)), v);
}

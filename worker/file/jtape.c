/*
 * jtape.c - a JSON text (RFC 8259) as a flat row of tokens.
 *
 * Our own, because measured with lines of 384 floats the packaged C libraries, which build a tree,
 * take eight times as long (jansson 89 to 156 us a line, json-c 73 to 91, this with its floats 10
 * to 19), and because both make a double of a number before anybody can ask for its digits: 12.345
 * for a decimal(9,2), or 0.1234567890123456789 for a decimal(38,20), would be changed without a
 * word. yyjson (6 to 10) can keep digits, but Debian 12 does not have it; simdjson is C++.
 *
 *        value --{--> key ':' value          after a value: ',' more of the container
 *              --[--> value                                 the closing bracket: pop, again "after
 *                                                           a value"
 *              scalar --> after                             end of text, at depth 0
 *
 * Strict: no comments, trailing commas, leading zeros, NaN; strings are UTF-8 with escapes in
 * pairs; NUL is allowed as \u0000 (whether a column takes it is not for us to say). Exactly one
 * value.
 *
 * Invariants: text[len] is 0, which is bad everywhere in the grammar, so no loop compares with the
 * end. A resolved escape is never longer than what it stands for, so strings are rewritten where
 * they stand. Offsets are 32 bits: a line is bounded far below.
 *
 * Memory: the tokens, as many as the largest text had. Thread: any; a tape has one owner.
 */
#include "file/jtape.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/text.h"

struct parser {
	struct jtape *tape;
	const char *begin, *end;
	uint32_t open[JTAPE_MAX_DEPTH]; /* tokens of the containers around */
	uint32_t depth;
	struct err *err;
};

/*
 * Every step below takes the place where it begins, and gives the place behind what it has read, or
 * NULL.
 */
static char *bad(struct parser *p, const char *at, const char *what)
{
	err_set(p->err, ERR_POISON, "%s (column %zu)", what, (size_t)(at - p->begin) + 1);
	return NULL;
}

/* What stands where something else should. */
static char *unexpected(struct parser *p, const char *at, const char *wanted)
{
	char what[120];
	if (at == p->end)
		snprintf(what, sizeof(what), "the text ends where %s should stand", wanted);
	else if (*at > 0x20 && *at < 0x7f)
		snprintf(what, sizeof(what), "'%c' where %s should stand", *at, wanted);
	else
		snprintf(what, sizeof(what), "byte %02x where %s should stand", (uint8_t)*at,
			 wanted);
	return bad(p, at, what);
}

static inline char *space(char *p)
{
	while (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r')
		p++;
	return p;
}

static inline void add(struct jtape *t, enum jtoken_kind kind, const char *at, uint32_t n)
{
	if (t->n == t->cap) {
		t->cap = MAX(t->cap * 2, 64u);
		t->tokens = xrealloc(t->tokens, t->cap * sizeof(*t->tokens));
	}
	t->tokens[t->n++] = (struct jtoken){.kind = kind, .n = n, .text = at, .size = 1};
}

void jtape_add(struct jtape *t, enum jtoken_kind kind, const char *text, uint32_t n)
{
	add(t, kind, text, n);
}

/* ---- strings ---- */

/* Four digits, or -1. */
static int32_t hex4(const char *p)
{
	int32_t v = 0;
	for (int i = 0; i < 4; i++) {
		int h = hex_value((uint8_t)p[i]);
		if (h < 0)
			return -1;
		v = v << 4 | h;
	}
	return v;
}

/* c is a scalar value, never half of a pair. */
static char *put_utf8(char *to, int32_t c)
{
	if (c < 0x80) {
		*to++ = (char)c;
		return to;
	}
	if (c < 0x800) {
		*to++ = (char)(0xc0 | c >> 6);
	} else if (c < 0x10000) {
		*to++ = (char)(0xe0 | c >> 12);
		*to++ = (char)(0x80 | (c >> 6 & 0x3f));
	} else {
		*to++ = (char)(0xf0 | c >> 18);
		*to++ = (char)(0x80 | (c >> 12 & 0x3f));
		*to++ = (char)(0x80 | (c >> 6 & 0x3f));
	}
	*to++ = (char)(0x80 | (c & 0x3f));
	return to;
}

/* After \u; *to is moved past what it stands for. */
static char *unicode(struct parser *p, char *at, char **to)
{
	int32_t c = hex4(at);
	if (c < 0)
		return bad(p, at, "\\u without four hexadecimal digits");
	at += 4;
	if (c >= 0xdc00 && c <= 0xdfff)
		return bad(p, at - 6, "the second half of a surrogate pair without the first");
	if (c >= 0xd800 && c <= 0xdbff) {
		int32_t low = at[0] == '\\' && at[1] == 'u' ? hex4(at + 2) : -1;
		if (low < 0xdc00 || low > 0xdfff)
			return bad(p, at - 6,
				   "the first half of a surrogate pair without the second");
		c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
		at += 6;
	}
	*to = put_utf8(*to, c);
	return at;
}

/* After the backslash. */
static char *escape(struct parser *p, char *at, char **to)
{
	static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
	if (*at == 'u')
		return unicode(p, at + 1, to);
	const char *known = *at ? strchr(from, *at) : NULL;
	if (!known)
		return bad(p, at - 1, "an unknown escape");
	*(*to)++ = into[known - from];
	return at + 1;
}

/* Neither quote, backslash, nor control character. */
static inline bool is_plain(char c)
{
	return (uint8_t)c >= 0x20 && c != '"' && c != '\\';
}

/* The raw text of a string: escapes are ASCII, and there is no NUL in it. */
static bool check_utf8(struct parser *p, const char *from, size_t len)
{
	struct refusal why;
	char what[256];
	if (text_check_utf8((struct slice){(const uint8_t *)from, len}, &why))
		return true;
	snprintf(what, sizeof(what), "a string: %s", why.text);
	return bad(p, from, what) != NULL;
}

/* From the first backslash on: the rest of the string is rewritten where it stands. */
static char *rewrite(struct parser *p, char *at, char **to)
{
	while (*at != '"') {
		if (*at == '\\') {
			if (!(at = escape(p, at + 1, to)))
				return NULL;
		} else {
			*(*to)++ = *at++;
		}
	}
	return at + 1;
}

/* After the opening quote. First its end, and whether it is text; only then it is changed. */
static char *string(struct parser *p, char *at)
{
	char *from = at, *first_escape = NULL;
	uint8_t seen = 0;
	for (;; at++) {
		while (is_plain(*at))
			seen |= (uint8_t)*at++;
		if (*at == '"')
			break;
		if (*at != '\\')
			return at == p->end ? unexpected(p, at, "the end of a string")
					    : bad(p, at, "a control character in a string");
		if (!first_escape)
			first_escape = at;
		if (*++at == '\0')
			return unexpected(p, at, "the rest of an escape");
	}
	if (seen >= 0x80 && !check_utf8(p, from, (size_t)(at - from)))
		return NULL;
	char *end = first_escape ? first_escape : at;
	at = first_escape ? rewrite(p, first_escape, &end) : at + 1;
	if (at)
		add(p->tape, JTOKEN_STRING, from, (uint32_t)(end - from));
	return at;
}

/* ---- scalars ---- */

static inline char *digits(char *p)
{
	while (*p >= '0' && *p <= '9')
		p++;
	return p;
}

/* Its digits stay text: what they are worth depends on the type they are for. */
static char *number(struct parser *p, char *at)
{
	char *from = at, *whole = at + (*at == '-');
	at = digits(whole);
	if (at == whole)
		return unexpected(p, at, "a digit");
	if (at - whole > 1 && *whole == '0')
		return bad(p, from, "a number with a leading zero");
	if (*at == '.') {
		char *point = at++;
		at = digits(at);
		if (at == point + 1)
			return unexpected(p, at, "a digit");
	}
	if (*at == 'e' || *at == 'E') {
		at += at[1] == '-' || at[1] == '+' ? 2 : 1;
		char *exponent = at;
		at = digits(at);
		if (at == exponent)
			return unexpected(p, at, "a digit");
	}
	add(p->tape, JTOKEN_NUMBER, from, (uint32_t)(at - from));
	return at;
}

/* true, false or null, nothing else. */
static char *word(struct parser *p, char *at)
{
	static const struct {
		const char *text;
		size_t len;
		enum jtoken_kind kind;
	} words[] = {
		{"true", 4, JTOKEN_TRUE}, {"false", 5, JTOKEN_FALSE}, {"null", 4, JTOKEN_NULL}};
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (strncmp(at, words[i].text, words[i].len) == 0) {
			add(p->tape, words[i].kind, at, 0);
			return at + words[i].len;
		}
	}
	if (strncmp(at, "NaN", 3) == 0 || strncmp(at, "Infinity", 8) == 0 ||
	    strncmp(at, "-Infinity", 9) == 0)
		return bad(p, at, "JSON has no NaN and no infinity; as text, \"NaN\", it is read");
	return unexpected(p, at, "a value");
}

/* ---- the grammar ---- */

/* Its size is filled in by pop(), its count as the members come. */
static bool push(struct parser *p, char *at)
{
	if (p->depth == JTAPE_MAX_DEPTH)
		return bad(p, at, "nested too deep") != NULL;
	p->open[p->depth++] = p->tape->n;
	add(p->tape, *at == '{' ? JTOKEN_OBJECT : JTOKEN_ARRAY, at, 0);
	return true;
}

static void pop(struct parser *p)
{
	uint32_t at = p->open[--p->depth];
	p->tape->tokens[at].size = p->tape->n - at;
}

/* A key and its colon. */
static char *key(struct parser *p, char *at)
{
	at = space(at);
	if (*at != '"')
		return unexpected(p, at, "a key in quotes");
	if (!(at = string(p, at + 1)))
		return NULL;
	at = space(at);
	return *at == ':' ? at + 1 : unexpected(p, at, "the colon behind a key");
}

/* One value, down to the first scalar or empty container in it; those around it stay open. */
static char *value(struct parser *p, char *at)
{
	for (;;) {
		at = space(at);
		if (p->depth > 0)
			p->tape->tokens[p->open[p->depth - 1]].n++;
		if (*at == '"')
			return string(p, at + 1);
		if ((*at >= '0' && *at <= '9') || (*at == '-' && at[1] != 'I'))
			return number(p, at);
		bool object = *at == '{';
		if (!object && *at != '[')
			return word(p, at);
		if (!push(p, at))
			return NULL;
		at = space(at + 1);
		if (*at == (object ? '}' : ']')) {
			pop(p);
			return at + 1;
		}
		if (object && !(at = key(p, at)))
			return NULL;
	}
}

/*
 * After a value: closes what ends here. *more: a value comes next; else, at depth 0, the whole
 * value has ended.
 */
static char *after(struct parser *p, char *at, bool *more)
{
	for (at = space(at); p->depth > 0; at = space(at + 1)) {
		bool object = p->tape->tokens[p->open[p->depth - 1]].kind == JTOKEN_OBJECT;
		if (*at == ',') {
			*more = true;
			return object ? key(p, at + 1) : at + 1;
		}
		if (*at != (object ? '}' : ']'))
			return unexpected(p, at, object ? "a comma or }" : "a comma or ]");
		pop(p);
	}
	*more = false;
	return at;
}

/* One whole value; returns the place behind it and the blanks that follow, or NULL. */
static char *whole(struct parser *p, char *at)
{
	bool more = true;
	while (more && at) {
		at = value(p, at);
		at = at ? after(p, at, &more) : NULL;
	}
	return at;
}

/* Rewrites strings in text, which the tokens point into. */
bool jtape_append(struct jtape *t, char *text, size_t len, struct err *err)
{
	struct parser p = {.tape = t, .begin = text, .end = text + len, .err = err};
	assert(text[len] == '\0' && len < UINT32_MAX);
	char *at = whole(&p, text);
	return at && (at == p.end || unexpected(&p, at, "the end of the line"));
}

bool jtape_parse(struct jtape *t, char *text, size_t len, struct err *err)
{
	t->n = 0;
	return jtape_append(t, text, len, err);
}

char *jtape_one(struct jtape *t, char *text, size_t len, struct err *err)
{
	struct parser p = {.tape = t, .begin = text, .end = text + len, .err = err};
	assert(text[len] == '\0' && len < UINT32_MAX);
	t->n = 0;
	return whole(&p, text);
}

void jtape_free(struct jtape *t)
{
	free(t->tokens);
}

/* ---- keys that stand twice ---- */

static int by_text(const void *a, const void *b)
{
	const struct jtoken *x = *(const struct jtoken *const *)a,
			    *y = *(const struct jtoken *const *)b;
	int order = memcmp(x->text, y->text, MIN(x->n, y->n));
	return order != 0 ? order : (x->n > y->n) - (x->n < y->n);
}

/* By sorting, as an object may have any number of keys. */
const struct jtoken *jtape_duplicate(const struct jtoken *object)
{
	const struct jtoken **keys = xmalloc((object->n + 1) * sizeof(const struct jtoken *));
	const struct jtoken *k = object + 1, *twice = NULL;
	for (uint32_t i = 0; i < object->n; i++, k = jtape_next(k + 1))
		keys[i] = k;
	qsort(keys, object->n, sizeof(const struct jtoken *), by_text);
	for (uint32_t i = 1; i < object->n && !twice; i++)
		if (by_text(&keys[i - 1], &keys[i]) == 0)
			twice = keys[i];
	free(keys);
	return twice;
}

/* ---- writing ---- */

/* Escapes what has to be; other characters stand as they are. */
static void write_string(const struct jtoken *v, struct buf *out)
{
	buf_u8(out, '"');
	for (uint32_t i = 0; i < v->n; i++) {
		uint8_t c = (uint8_t)v->text[i];
		if (c == '"' || c == '\\')
			buf_u8(out, '\\');
		if (c < 0x20)
			buf_printf(out, "\\u%04x", c);
		else
			buf_u8(out, c);
	}
	buf_u8(out, '"');
}

/* Keys that stand twice are found here, since jsonb would drop one silently. */
static bool write_members(const struct jtoken *v, struct buf *out, struct err *err)
{
	bool object = v->kind == JTOKEN_OBJECT;
	const struct jtoken *twice = object ? jtape_duplicate(v) : NULL, *at = v + 1;
	if (twice)
		return err_set(err, ERR_POISON, "the key \"%.*s\" stands twice",
			       (int)MIN(twice->n, 60u), twice->text);
	buf_u8(out, object ? '{' : '[');
	for (uint32_t i = 0; i < v->n; i++, at = jtape_next(at)) {
		if (i > 0)
			buf_u8(out, ',');
		if (object) {
			write_string(at++, out);
			buf_u8(out, ':');
		}
		if (!jtape_write(at, out, err))
			return false;
	}
	buf_u8(out, object ? '}' : ']');
	return true;
}

/* As deep as the text is nested: at most JTAPE_MAX_DEPTH. */
bool jtape_write(const struct jtoken *v, struct buf *out, struct err *err)
{
	switch (v->kind) {
	case JTOKEN_OBJECT:
	case JTOKEN_ARRAY:
		return write_members(v, out, err);
	case JTOKEN_STRING:
		write_string(v, out);
		return true;
	case JTOKEN_NUMBER:
		buf_put(out, v->text, v->n);
		return true;
	case JTOKEN_TRUE:
	case JTOKEN_FALSE:
	case JTOKEN_NULL:
		buf_puts(out, v->kind == JTOKEN_TRUE    ? "true"
			      : v->kind == JTOKEN_FALSE ? "false"
							: "null");
		return true;
	}
	return false;
}

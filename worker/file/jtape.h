/*
 * jtape.h - a JSON text (RFC 8259) as a flat row of tokens.
 *
 *   {"a": [1, 2], "b": "x"}
 *   object(2)  string a  array(2)  number 1  number 2  string b  string x
 *
 * An object is followed by its members, each a string and a value; an array by its values. Numbers
 * keep their digits, so that whoever knows the type decides what fits.
 */
#pragma once

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"

#define JTAPE_MAX_DEPTH 512u

enum jtoken_kind {
	JTOKEN_OBJECT,
	JTOKEN_ARRAY,
	JTOKEN_STRING,
	JTOKEN_NUMBER,
	JTOKEN_TRUE,
	JTOKEN_FALSE,
	JTOKEN_NULL,
};

struct jtoken {
	enum jtoken_kind kind;
	/* members of an object, values of an array, bytes of a string or number */
	uint32_t n;
	/* of a string: without quotes, escapes resolved, UTF-8; of a number: as written. No NUL
	 * behind it. Elsewhere: where it begins */
	const char *text;
	uint32_t size; /* tokens that this value consists of: the next value is so many further */
};

/* Zero-initialised is valid. Points into the text that was parsed last. */
struct jtape {
	struct jtoken *tokens; /* the value is tokens[0] */
	uint32_t n, cap;
};

/*
 * Parses in place: escapes are resolved in text, so it is spoilt for a second time. text[len] is
 * 0, and so are 8 bytes behind it. False with class POISON and a text like "no comma behind a value
 * (column 17)"; columns are bytes, from 1.
 */
MUST_CHECK bool jtape_parse(struct jtape *t, char *text, size_t len, struct err *err);
/* The same behind the tokens that are there: another value, of another text. */
MUST_CHECK bool jtape_append(struct jtape *t, char *text, size_t len, struct err *err);
/*
 * Parses the one value that text begins with, whatever follows it. Returns the place behind it and
 * the blanks that follow, or NULL.
 */
char *jtape_one(struct jtape *t, char *text, size_t len, struct err *err);
/* Adds one token, of which the caller knows what it says. */
void jtape_add(struct jtape *t, enum jtoken_kind kind, const char *text, uint32_t n);
void jtape_free(struct jtape *t); /* the tokens; the text is the caller's */

/*
 * Appends the value as JSON text without blanks; numbers as they were written. False with class
 * POISON when an object in it has a key twice.
 */
MUST_CHECK bool jtape_write(const struct jtoken *v, struct buf *out, struct err *err);

/* A key that stands twice in the object, or NULL. */
const struct jtoken *jtape_duplicate(const struct jtoken *object);

/* Behind a value and all that is in it. */
static inline const struct jtoken *jtape_next(const struct jtoken *v)
{
	return v + v->size;
}

/* Whether a key or string is that text. */
static inline bool jtoken_is(const struct jtoken *v, const char *text)
{
	return v->n == strlen(text) && memcmp(v->text, text, v->n) == 0;
}

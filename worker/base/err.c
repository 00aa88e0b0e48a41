/*
 * err.c - filling and extending an error value.
 *
 *   read topic memory.events[3]@17: decode: string of 9 bytes, 4 left
 *   ^ added last                    ^ added  ^ set where it happened
 *
 * The text is one line: line breaks and other control characters (libpq's messages have them)
 * become spaces, so that a log line and a finding of "check" stay one line each. It is UTF-8: a
 * byte that is none (names in files may have such) becomes "?", or the error could be neither a
 * dead letter's detail nor JSON. What does not fit is cut at the end, between two characters, and
 * marked "...": the context in front matters more than the tail.
 *
 * A NULL err is fine: the caller wanted the yes or no only. Arguments may point into the error's
 * own text. No thread of its own.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/utf8.h"

/* One line of UTF-8, no blank at the end. */
static void flatten(char *text)
{
	for (char *p = text; *p;) {
		size_t n = utf8_sequence((unsigned char *)p);
		if (n == 0)
			*p = '?';
		else if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = ' ';
		p += MAX(n, (size_t)1);
	}
	size_t len = strlen(text);
	while (len > 0 && text[len - 1] == ' ')
		text[--len] = '\0';
}

/* The text was cut: end it with "..." and never within a UTF-8 sequence. */
static void mark_cut(char *text, size_t size)
{
	size_t end = size - sizeof("...");
	while (end > 0 && ((unsigned char)text[end] & 0xc0) == 0x80)
		end--;
	memcpy(text + end, "...", sizeof("..."));
}

/* By way of a copy, since an argument may be the error's own text. */
bool err_set(struct err *err, enum err_class class, const char *fmt, ...)
{
	if (!err)
		return false;
	char text[sizeof(err->text)];
	va_list args;
	va_start(args, fmt);
	int n = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (n < 0)
		text[0] = '\0';
	if (n >= (int)sizeof(text))
		mark_cut(text, sizeof(text));
	flatten(text);
	err->class = class;
	err->code[0] = '\0';
	memcpy(err->text, text, sizeof(text));
	return false;
}

/* By way of a copy as err_set(); the context stays whole, the end of the text is cut. */
bool err_wrap(struct err *err, const char *fmt, ...)
{
	if (!err)
		return false;
	char context[sizeof(err->text)], text[sizeof(err->text)];
	va_list args;
	va_start(args, fmt);
	int n = vsnprintf(context, sizeof(context), fmt, args);
	va_end(args);
	if (n < 0)
		context[0] = '\0';
	flatten(context);
	size_t len = strnlen(context, sizeof(context) - 1), room = sizeof(text) - len;
	memcpy(text, context, len);
	n = snprintf(text + len, room, ": %s", err->text);
	if (n < 0 || (size_t)n >= room)
		mark_cut(text, sizeof(text));
	memcpy(err->text, text, sizeof(text));
	return false;
}

void err_clear(struct err *err)
{
	if (!err)
		return;
	err->class = ERR_NONE;
	err->code[0] = err->text[0] = '\0';
}

const char *err_class_name(enum err_class class)
{
	static const char *const names[] = {
		[ERR_NONE] = "none",     [ERR_RETRY] = "retry", [ERR_POISON] = "poison",
		[ERR_CONFIG] = "config", [ERR_FATAL] = "fatal",
	};
	return (size_t) class < ARRAY_LEN(names) ? names[class] : "unknown";
}

/*
 * ini.c - the syntax of the config file, and nothing of its meaning.
 *
 * Not a library's parser, for two reasons, both measured with inih r55 as Debian builds it: it cuts
 * a line at 200 bytes and drops the rest without a word, which a list of brokers or a DSN with
 * options easily passes; and it does not say which line it is at.
 *
 * The text is cut up in place: every string that the handler gets points into it, so whoever owns
 * the text owns them all. A line that makes no sense is handed on as a problem and the next one is
 * read, so that all mistakes are found in one go.
 */
#include <ctype.h>
#include <string.h>

#include "core/ini.h"

static char *trim(char *s)
{
	while (isspace((unsigned char)*s))
		s++;
	size_t len = strlen(s);
	while (len > 0 && isspace((unsigned char)s[len - 1]))
		s[--len] = '\0';
	return s;
}

/* Ends s at a ';' that stands first or behind a blank. */
static void cut_comment(char *s)
{
	for (char *p = s; *p; p++)
		if (*p == ';' && (p == s || isspace((unsigned char)p[-1]))) {
			*p = '\0';
			return;
		}
}

/* The value behind '='; NULL if its quotes do not close. */
static char *parse_value(char *s)
{
	s = trim(s);
	if (*s != '"') {
		cut_comment(s);
		return trim(s);
	}
	char *end = strchr(++s, '"');
	if (!end)
		return NULL;
	*end++ = '\0';
	cut_comment(end);
	return *trim(end) ? NULL : s;
}

/* What stands behind the bracket can only be a comment. */
static void parse_section(char *s, struct ini_line *line)
{
	char *end = strchr(s, ']');
	if (!end) {
		line->problem = "the section's name does not end with ]";
		return;
	}
	*end++ = '\0';
	cut_comment(end);
	if (*trim(end))
		line->problem = "something follows the ] of the section";
	else
		line->section = trim(s + 1);
}

/* The value may be quoted; the key may not. */
static void parse_key(char *s, struct ini_line *line)
{
	char *equals = strchr(s, '=');
	if (!equals || equals == s) {
		line->problem = "neither [section] nor key = value";
		return;
	}
	*equals = '\0';
	line->value = parse_value(equals + 1);
	if (line->value)
		line->key = trim(s);
	else
		line->problem = "a value that begins with a quote has to end with one";
}

/* One call of the handler for each line that is not empty. */
void ini_parse(char *text, void (*handler)(void *ctx, const struct ini_line *line), void *ctx)
{
	const char *section = "";
	if (strncmp(text, "\xef\xbb\xbf", 3) == 0) /* some editors write a byte order mark */
		text += 3;
	for (unsigned number = 1; text; number++) {
		char *next = strchr(text, '\n');
		if (next)
			*next++ = '\0';
		char *s = trim(text);
		text = next;
		if (*s == '\0' || *s == ';' || *s == '#')
			continue;
		struct ini_line line = {.number = number, .section = section};
		if (*s == '[')
			parse_section(s, &line);
		else
			parse_key(s, &line);
		section = line.section;
		handler(ctx, &line);
	}
}

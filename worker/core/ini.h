/*
 * ini.h - an INI text, line by line.
 *
 *   [section]
 *   key = value        ; a comment: after a blank, or alone on its line (there # does as well)
 *   key = "a ; value"  quotes are taken off; they keep blanks and semicolons
 *
 * No continued lines. Any length.
 */
#pragma once

#include "base/base.h"

struct ini_line {
	unsigned number;     /* from 1 */
	const char *section; /* "" before the first */
	const char *key;     /* NULL: this line opens the section */
	const char *value;   /* of the key, maybe empty */
	const char *problem; /* what is wrong with the line; key and value are NULL then */
};

/* A call for each line that says something. Cuts up text, which the lines' strings point into. */
void ini_parse(char *text, void (*handler)(void *ctx, const struct ini_line *line), void *ctx);

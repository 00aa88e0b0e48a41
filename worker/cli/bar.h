/*
 * bar.h - how far a long command is: a bar on a terminal, else a line now and then; nothing where a
 * program reads the output. To standard error.
 */
#pragma once

#include "base/base.h"
#include "cli/cli.h"

struct bar {
	bool drawn, quiet;
	int64_t start_us, told_us; /* monotonic */
};

struct bar bar_new(const struct cli *cli); /* which begins now */
double bar_seconds(const struct bar *b);   /* since then */
/* share: from 0 to 1, or negative: not known. The text stands behind it. */
void bar_tell(struct bar *b, double share, const char *fmt, ...) PRINTF_LIKE(3, 4);
void bar_clear(const struct bar *b); /* A line of its own for what comes next. */

/*
 * bar.c - how far a long command is.
 *
 *   [#########.....................]  30%, 0:25 left  1200000 rows, 81000/s
 *
 * Thread: the caller's. What is left is reckoned from the share and the time so far.
 */
#include "cli/bar.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"

enum { BAR_WIDTH = 30 };
#define LINE_EVERY_US (10 * US_PER_S)

struct bar bar_new(const struct cli *cli)
{
	int64_t now = clock_mono_us();
	bool terminal = isatty(STDERR_FILENO);
	return (struct bar){.drawn = terminal && !cli->json,
			    .quiet = cli->json,
			    .start_us = now,
			    .told_us = now};
}

double bar_seconds(const struct bar *b)
{
	return (double)(clock_mono_us() - b->start_us) / (double)US_PER_S;
}

static void put_share(const struct bar *b, double share)
{
	double left = share > 0 ? bar_seconds(b) * (1 - share) / share : 0;
	int filled = (int)(fmin(fmax(share, 0), 1) * BAR_WIDTH);
	if (b->drawn)
		fprintf(stderr, "\r[%.*s%.*s] ", filled, "##############################",
			BAR_WIDTH - filled, "..............................");
	if (share > 0)
		fprintf(stderr, "%3.0f%%, %.0f:%02.0f left  ", 100 * share, floor(left / 60),
			floor(fmod(left, 60)));
}

void bar_tell(struct bar *b, double share, const char *fmt, ...)
{
	va_list args;
	if (b->quiet || (!b->drawn && clock_mono_us() - b->told_us < LINE_EVERY_US))
		return;
	b->told_us = clock_mono_us();
	put_share(b, share);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputs(b->drawn ? "\033[K" : "\n", stderr);
}

void bar_clear(const struct bar *b)
{
	if (b->drawn)
		fputs("\r\033[K", stderr);
}

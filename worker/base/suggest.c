/*
 * suggest.c - edit distance between what was written and what could have been.
 *
 * Optimal string alignment: insert, delete, replace, and swap of two neighbours, each at a cost of
 * 1, case ignored. '-', '_' and '.' are one character, because people mix them up. A name is near
 * if at most a third of what was written changes, and at least one change is always allowed. Of
 * equally near names the first offered wins. Names beyond 63 bytes are not compared.
 *
 * Pure functions; used when something is wrong, so speed is no matter.
 */
#include <ctype.h>
#include <string.h>

#include "base/suggest.h"

enum { LONGEST = 63 };

static int fold_case(char c)
{
	return c == '-' || c == '_' || c == '.' ? '_' : tolower((unsigned char)c);
}

/* Three rows are enough, as a swap looks back by two. */
static unsigned distance(const char *a, size_t n, const char *b, size_t m)
{
	unsigned rows[3][LONGEST + 1];
	unsigned *before = rows[0], *last = rows[1], *row = rows[2];
	for (size_t j = 0; j <= m; j++)
		last[j] = (unsigned)j;
	for (size_t i = 1; i <= n; i++) {
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= m; j++) {
			int x = fold_case(a[i - 1]), y = fold_case(b[j - 1]);
			unsigned best = last[j - 1] + (x != y);
			best = MIN(best, last[j] + 1);
			best = MIN(best, row[j - 1] + 1);
			if (i > 1 && j > 1 && x == fold_case(b[j - 2]) && fold_case(a[i - 2]) == y)
				best = MIN(best, before[j - 2] + 1);
			row[j] = best;
		}
		unsigned *free_row = before;
		before = last;
		last = row;
		row = free_row;
	}
	return last[m];
}

struct suggest suggest_for(const char *wrong)
{
	return (struct suggest){.wrong = wrong,
				.distance = (unsigned)MAX(strlen(wrong) / 3, (size_t)1) + 1};
}

/* Only what is strictly nearer replaces the best so far: the first of equals wins. */
void suggest_offer(struct suggest *s, const char *candidate)
{
	size_t n = strlen(s->wrong), m = strlen(candidate);
	if (n == 0 || n > LONGEST || m > LONGEST)
		return;
	unsigned d = distance(s->wrong, n, candidate, m);
	if (d < s->distance) {
		s->distance = d;
		s->best = candidate;
	}
}

/*
 * mem.c - the allocations that cannot fail.
 *
 * Not an allocator: malloc with a decision. Out of memory ends the process, with one line on stderr
 * and exit code 70 (internal). No caller could do better: what is not committed in PostgreSQL is
 * read from Kafka again by the next process, so nothing is lost, while error paths that nobody ever
 * runs would only hide defects. Memory is bounded elsewhere (batch.memory, limits.*); this is what
 * happens when the machine has less than the configuration promised.
 *
 * A size of 0 is served as 1, so that NULL never means "empty". Any thread.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"

/* write(2), as stdio may allocate. */
static _Noreturn void out_of_memory(void)
{
	static const char text[] = "memingest: out of memory; lower batch.memory or limits.*, or "
				   "give the process more\n";
	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		_exit(EXIT_INTERNAL);
	_exit(EXIT_INTERNAL);
}

void *xmalloc(size_t size)
{
	void *p = malloc(size ? size : 1);
	if (!p)
		out_of_memory();
	return p;
}

/* calloc checks the product, so the two sizes stay apart. */
void *xcalloc(size_t count, size_t size)
{
	if (count == 0 || size == 0)
		count = size = 1;
	void *p = calloc(count, size);
	if (!p)
		out_of_memory();
	return p;
}

void *xrealloc(void *p, size_t size)
{
	p = realloc(p, size ? size : 1);
	if (!p)
		out_of_memory();
	return p;
}

char *xstrdup(const char *s)
{
	size_t size = strlen(s) + 1;
	return memcpy(xmalloc(size), s, size);
}

char *xasprintf(const char *fmt, ...)
{
	char *s;
	va_list args;
	va_start(args, fmt);
	int n = vasprintf(&s, fmt, args);
	va_end(args);
	if (n < 0)
		out_of_memory();
	return s;
}

/*
 * mem.c - the allocations that cannot fail, and the end of a process without what it needs.
 *
 * Not an allocator: malloc with a decision. Out of memory ends the process, with one line on stderr
 * and exit code 70 (internal). No caller could do better: what is not committed in PostgreSQL is
 * read from Kafka again by the next process, so nothing is lost, while error paths that nobody ever
 * runs would only hide defects. Memory is bounded elsewhere (batch.memory, limits.*); this is what
 * happens when the machine has less than the configuration promised.
 *
 * So it is with the libraries that let us say how: jansson (cli.c) and curl (http_client.c), whose
 * "no" for want of memory would look like a text that is no JSON, or a server that is away. libpq
 * does not; where its answer could be taken for another one it is asked for (pg_dsn.c).
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
void mem_exhausted(void)
{
	static const char text[] = "memingest: out of memory; lower batch.memory or limits.*, or "
				   "give the process more\n";
	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		_exit(EXIT_INTERNAL);
	_exit(EXIT_INTERNAL);
}

void die_without(const char *what, int error, const char *remedy)
{
	dprintf(STDERR_FILENO, "memingest: no %s: %s; %s\n", what, strerror(error), remedy);
	_exit(EXIT_INTERNAL);
}

void *xmalloc(size_t size)
{
	void *p = malloc(size ? size : 1);
	if (!p)
		mem_exhausted();
	return p;
}

/* calloc checks the product, so the two sizes stay apart. */
void *xcalloc(size_t count, size_t size)
{
	if (count == 0 || size == 0)
		count = size = 1;
	void *p = calloc(count, size);
	if (!p)
		mem_exhausted();
	return p;
}

void *xrealloc(void *p, size_t size)
{
	p = realloc(p, size ? size : 1);
	if (!p)
		mem_exhausted();
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
		mem_exhausted();
	return s;
}

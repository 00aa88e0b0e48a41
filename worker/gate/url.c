/*
 * url.c - pieces of a request's target (RFC 3986).
 *
 * Pure functions. A segment is decoded only after the path was cut at its slashes, so that a key
 * may have one ("%2F").
 */
#include "gate/url.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

long url_decode(char *text, size_t len, bool plus)
{
	size_t n = 0;
	for (size_t i = 0; i < len; i++) {
		if (text[i] != '%') {
			text[n++] = plus && text[i] == '+' ? ' ' : text[i];
			continue;
		}
		int byte = i + 2 < len ? hex_byte(text + i + 1) : -1;
		if (byte < 0)
			return -1;
		text[n++] = (char)byte;
		i += 2;
	}
	text[n] = '\0';
	return (long)n;
}

/* Where the value of "name=value" begins in a query, up to the next &; NULL: it has none. */
static const char *find(const char *query, const char *name, size_t *len)
{
	size_t n = strlen(name);
	for (const char *p = query; *p; p += strcspn(p, "&"), p += *p == '&') {
		size_t all = strcspn(p, "&");
		if (all < n || memcmp(p, name, n) != 0 || (all > n && p[n] != '='))
			continue;
		*len = all > n ? all - n - 1 : 0;
		return all > n ? p + n + 1 : p + n;
	}
	return NULL;
}

char *url_parameter(const char *query, const char *name, bool *bad)
{
	size_t len;
	const char *from = find(query, name, &len);
	*bad = false;
	if (!from)
		return NULL;
	char *value = xmalloc(len + 1);
	memcpy(value, from, len);
	value[len] = '\0';
	long n = url_decode(value, len, true);
	*bad = n < 0 || strlen(value) != (size_t)n;
	if (!*bad)
		return value;
	free(value);
	return NULL;
}

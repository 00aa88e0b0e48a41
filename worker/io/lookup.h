/*
 * lookup.h - the addresses of a host name, asked for off the thread: getaddrinfo(3) heeds no
 * deadline.
 */
#pragma once

#include "base/base.h"
#include "base/err.h"

#define LOOKUP_ADDRESS_SIZE 64 /* "fe80::1%eth0" and the like, with the NUL */

struct lookup_answer {
	char (*addresses)[LOOKUP_ADDRESS_SIZE]; /* numeric, in the order to try them */
	size_t n;                               /* at least one */
};

/*
 * Waits for the addresses of host until the deadline (monotonic microseconds), or until abort_fd
 * (-1: none) is readable. What is an address already is its own answer, at once. False with class
 * RETRY. The caller frees answer->addresses.
 */
MUST_CHECK bool lookup_host(const char *host, int abort_fd, int64_t deadline_us,
			    struct lookup_answer *answer, struct err *err);

/* Is it numeric, so that there is nothing to look up? */
bool lookup_is_address(const char *host);

/* Look-ups whose threads still run; for tests. */
size_t lookup_under_way(void);

/* What is called in place of getaddrinfo(3), for tests. Set before the first look-up. */
struct addrinfo;
typedef int (*lookup_function)(const char *node, const char *service, const struct addrinfo *hints,
			       struct addrinfo **found);
void lookup_use(lookup_function function); /* For tests: another getaddrinfo(). */

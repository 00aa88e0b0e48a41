/*
 * proxy.h - a TCP proxy between workers and PostgreSQL that can hurt the connection on purpose.
 *
 * A thread of the test's process. Understands as much of PostgreSQL's protocol as it takes to see a
 * COMMIT go by.
 */
#ifndef MEMINGEST_TEST_PROXY_H
#define MEMINGEST_TEST_PROXY_H

#include "base/base.h"

struct proxy;

enum proxy_mode {
	PROXY_PASS,
	/*
	 * connections stay, nothing moves in either direction; what was said meanwhile arrives
	 * afterwards
	 */
	PROXY_BLACKHOLE,
	PROXY_RESET, /* every connection, old and new, is reset at once */
};

/* What happens to one COMMIT. Afterwards the proxy goes on in its mode. */
enum proxy_fault {
	PROXY_FAULT_NONE,
	PROXY_COMMIT_LOST, /* the COMMIT is not forwarded, both sides are reset: not applied */
	/*
	 * the COMMIT is forwarded, the server's answer awaited and dropped, then both sides are
	 * reset: applied
	 */
	PROXY_ANSWER_LOST,
	PROXY_ANSWER_STUCK, /* the same, but the client's connection stays open and silent */
};

/* Listens on a free port of 127.0.0.1 and forwards to port "to". */
struct proxy *proxy_start(unsigned to);
void proxy_stop(struct proxy *p);
unsigned proxy_port(const struct proxy *p);

void proxy_mode(struct proxy *p, enum proxy_mode mode);
void proxy_delay(struct proxy *p, int64_t one_way_us); /* added to each direction */
/* The nth COMMIT from now on (1: the next one), over all connections. */
void proxy_arm(struct proxy *p, enum proxy_fault fault, unsigned nth);
unsigned proxy_fired(struct proxy *p);   /* how many faults have happened */
unsigned proxy_commits(struct proxy *p); /* how many COMMITs were seen */

#endif

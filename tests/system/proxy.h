/*
 * proxy.h - a TCP proxy between workers and a server that can hurt the connections on purpose.
 *
 * A thread of the test's process. Before PostgreSQL it understands as much of the protocol as it
 * takes to see a COMMIT go by; before the broker it looks at nothing.
 */
#pragma once

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
	/*
	 * whatever is said, in either direction, is thrown away; a connection that lost bytes so
	 * stays silent also afterwards, until one side closes it
	 */
	PROXY_SWALLOW,
	PROXY_MUTE, /* the same with what clients say only: they still hear the server */
	PROXY_DEAF, /* the same with what the server says only */
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

/* Before PostgreSQL: listens on a free port of 127.0.0.1 and forwards to port "to". */
struct proxy *proxy_start(unsigned to);
/* Before any server: listens on this port. No COMMITs here. */
struct proxy *proxy_start_plain(unsigned port, unsigned to);
void proxy_stop(struct proxy *p);
unsigned proxy_port(const struct proxy *p);

void proxy_mode(struct proxy *p, enum proxy_mode mode);
void proxy_delay(struct proxy *p, int64_t one_way_us); /* added to each direction */
/*
 * What comes from now on is passed on in pieces of that many bytes, one each gap: sliced, and slow.
 * 0: as it comes.
 */
void proxy_slice(struct proxy *p, size_t bytes, int64_t gap_us);
/* New connections go to another port. */
void proxy_target(struct proxy *p, unsigned to);
/* The nth COMMIT from now on (1: the next one), over all connections. */
void proxy_arm(struct proxy *p, enum proxy_fault fault, unsigned nth);
unsigned proxy_fired(struct proxy *p);    /* how many faults have happened */
unsigned proxy_accepted(struct proxy *p); /* connections, so far */
unsigned proxy_commits(struct proxy *p);  /* how many COMMITs were seen */

/*
 * wait.c - poll(2) on two descriptors and a deadline.
 *
 * Not an event loop: one wait, one answer. Any thread, no state, no failure: what else poll() may
 * say of its descriptors (an error, a hang-up) the next call on them says better, so it is "ready".
 */
#include "io/wait.h"

#include <errno.h>
#include <poll.h>

#include "base/clock.h"

/* The abort goes before everything else. */
enum waited wait_fd(int fd, short events, int abort_fd, int64_t deadline_us)
{
	struct pollfd fds[2] = {{.fd = fd, .events = events}, {.fd = abort_fd, .events = POLLIN}};
	int n;
	while ((n = poll(fds, 2, clock_poll_ms(deadline_us))) < 0 && errno == EINTR)
		;
	if (fds[1].revents)
		return WAIT_ABORTED;
	return n == 0 ? WAIT_LATE : WAIT_READY;
}

/*
 * wait.h - the wait of a thread that talks to a server: for a descriptor, a request to let go, or
 * a deadline, whichever comes first.
 */
#pragma once

#include "base/base.h"

enum waited {
	WAIT_READY,
	WAIT_ABORTED, /* abort_fd is readable, whatever else is */
	WAIT_LATE,
};

/*
 * events as poll(2) has them; an error or a hang-up of fd counts as ready. abort_fd: -1 for none.
 * The deadline is monotonic, in microseconds.
 */
enum waited wait_fd(int fd, short events, int abort_fd, int64_t deadline_us);

/*
 * notify.c - one datagram to a unix socket per message.
 *
 *   READY=1       the worker runs                     STATUS=text   one line for "systemctl status"
 *   STOPPING=1    it drains                           WATCHDOG=1    its threads go round
 *
 * The socket's name begins with "/" or, in the abstract namespace, with "@". What else systemd
 * knows (vsock) is for virtual machines. The environment is left as it is: the worker starts no
 * processes that could inherit it.
 *
 * Thread: the poll thread. Failure: a name that is no use is logged once; a datagram that does not
 * fit into the manager's queue is dropped, the next one comes in a second.
 */
#include "io/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

/*
 * "WATCHDOG=1" is sent about once a second, and a revocation may keep the poll thread for this
 * long.
 */
#define WATCHDOG_MIN_US (60 * US_PER_S)

struct notify {
	int fd;
	bool watchdog;
	struct sockaddr_un address;
	socklen_t address_len;
};

/* An abstract name has a zero for its "@". */
static bool set_address(struct notify *n, const char *name)
{
	size_t len = strlen(name);
	if ((name[0] != '/' && name[0] != '@') || len < 2 || len >= sizeof(n->address.sun_path))
		return false;
	n->address.sun_family = AF_UNIX;
	memcpy(n->address.sun_path, name, len);
	if (name[0] == '@')
		n->address.sun_path[0] = '\0';
	n->address_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	return true;
}

/* A pid in the environment means only that process. */
static bool watchdog_wanted(void)
{
	const char *limit = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	int64_t us = limit != NULL ? strtoll(limit, NULL, 10) : 0;
	if (us <= 0 || (pid != NULL && strtoll(pid, NULL, 10) != getpid()))
		return false;
	if (us < WATCHDOG_MIN_US)
		log_warn("the service's watchdog is impatient: a rebalance may take longer, set "
			 "WatchdogSec to 120",
			 F_REAL("watchdog_s", (double)us / US_PER_S));
	return true;
}

/* NULL where nobody wants to be told, which the others accept. */
struct notify *notify_open(void)
{
	const char *name = getenv("NOTIFY_SOCKET");
	if (name == NULL || name[0] == '\0')
		return NULL;
	struct notify *n = xcalloc(1, sizeof(*n));
	n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (n->fd < 0 || !set_address(n, name)) {
		log_warn("the service manager cannot be told anything",
			 F_STR("NOTIFY_SOCKET", name),
			 F_STR("error", n->fd < 0 ? strerror(errno) : "neither a path nor @name"));
		notify_close(n);
		return NULL;
	}
	n->watchdog = watchdog_wanted();
	return n;
}

void notify_close(struct notify *n)
{
	if (n == NULL)
		return;
	if (n->fd >= 0)
		close(n->fd);
	free(n);
}

/* Lost if the manager does not take it: the next one comes in a second. */
void notify_send(struct notify *n, const char *text)
{
	if (n == NULL)
		return;
	if (sendto(n->fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&n->address,
		   n->address_len) < 0)
		log_debug("the service manager was not told", F_STR("text", text),
			  F_STR("error", strerror(errno)));
}

bool notify_watchdog(const struct notify *n)
{
	return n != NULL && n->watchdog;
}

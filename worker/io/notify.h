/*
 * notify.h - tells a service manager (systemd, Type=notify) how the worker is doing: sd_notify(3)
 * without libsystemd.
 */
#pragma once

#include "base/base.h"

struct notify;

/* By $NOTIFY_SOCKET and $WATCHDOG_*. NULL: nobody wants to be told; fine for all below. */
struct notify *notify_open(void);
void notify_close(struct notify *n); /* NULL is fine */

/* "READY=1", "STATUS=text"; several lines are one message. Never waits; what is lost is lost. */
void notify_send(struct notify *n, const char *text);

/* True: the manager restarts us if it does not hear "WATCHDOG=1" in time. */
bool notify_watchdog(const struct notify *n);

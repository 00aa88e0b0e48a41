/*
 * pg_login.h - the sessions of one worker log in by one role: what the database says to one of
 * them it would say to all.
 */
#pragma once

#include "io/pg.h"

/*
 * pg_connect() for a worker's sessions, of any thread. NULL with *due_us set: not before then,
 * since the database refuses this login (err says how; it has been logged), or, with err of class
 * NONE, since another session is finding out whether it does. NULL with *due_us 0: any other
 * trouble, the caller's to log.
 */
struct pg *pg_login(const struct config *config, const char *role, int abort_fd, int64_t *due_us,
		    struct err *err);

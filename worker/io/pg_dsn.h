/*
 * pg_dsn.h - postgres.dsn taken apart: where to connect to, one host at a time, and with what.
 *
 * What a message says of a DSN never quotes it: a password with a character that should have been
 * encoded makes any part of it look like a host, a port or an option.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "core/config.h"

struct pg_host {
	const char *host; /* a name, an address, or the folder of a socket; never empty */
	const char *addr; /* its address where the DSN gives one ("hostaddr"), or NULL */
	const char *port; /* a number */
};

struct pg_dsn {
	struct arena *arena; /* owns all of it */
	struct pg_host *hosts;
	size_t nhosts; /* at least one */
	bool shuffled; /* load_balance_hosts=random: to be tried in any order */
	/* Every other option that is set, environment and service file included, as libpq wants it.
	 */
	const char **keywords, **values;
	size_t noptions;
};

/*
 * Reads DSN and password file anew and completes them as libpq does: our own defaults (keepalives,
 * target_session_attrs=read-write, application_name as a fallback), then the DSN over them, then
 * service file and environment for what neither says; the password file over the DSN's password.
 * False with class CONFIG for a DSN that libpq would not take or that can be read in two ways, or
 * RETRY for a file that can not be read; dsn need not be freed then.
 */
MUST_CHECK bool pg_dsn_read(const struct config *config, const char *application,
			    struct pg_dsn *dsn, struct err *err);
void pg_dsn_free(struct pg_dsn *dsn); /* all that was read */

/*
 * The same for the answer alone, and without the password file. Connects to nothing. exposed, if
 * not NULL, gets why the connection would be (core/exposed.h), and what to write; nothing if it
 * would not. With security.require_tls such a DSN is refused, here and above.
 */
MUST_CHECK bool pg_dsn_check(const struct config *config, struct buf *exposed, struct err *err);

/* Is it the folder of a Unix-domain socket (or "@name", an abstract one), not a host? */
bool pg_dsn_is_socket(const char *host);

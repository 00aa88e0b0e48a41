/*
 * faults_database.c - what happens to PostgreSQL and to what is in it.
 *
 * strike() and heal() speak to it as superuser, straight and not by the proxy.
 */
#include "chaos.h"

/* A session of a worker's lane, preferably in a transaction. */
static void backend_strike(struct chaos *c, struct strike *s)
{
	bed_sql(c->bed,
		"SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity WHERE "
		"datname = current_database() AND application_name LIKE 'memingest/lane%%' ORDER "
		"BY backend_xid IS NULL, hashint8(pid + %d) LIMIT 1) t",
		(int)(s->random % 1000000));
}

const struct fault faults_database[] = {
	{.name = "database.backend_terminated",
	 .scope = SCOPE_DATABASE,
	 .weight = 2,
	 .strike = backend_strike},
	{0},
};

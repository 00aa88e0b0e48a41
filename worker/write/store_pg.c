/*
 * store_pg.c - a lane's store in PostgreSQL: a session (io/pg_login.h), and the sink that writes in
 * it.
 *
 *   lane --> struct store_pg --+-- session: logged in, lost by what its verdicts say
 *                              +-- sink (write/sink.h): transactions, claims, housekeeping
 *
 * What is here is only which of the two is asked. Thread: the lane's.
 */
#include <stdio.h>
#include <stdlib.h>

#include "io/pg.h"
#include "io/pg_login.h"
#include "write/sink.h"
#include "write/store.h"

struct postgres {
	struct store base;
	const struct config *config;
	size_t lane;
	int abort_fd;
	struct pg *pg; /* NULL: there is none */
	struct sink *sink;
};

static struct store *create(const struct store_setup *setup)
{
	struct postgres *p = xcalloc(1, sizeof(*p));
	p->base.class = &store_pg;
	p->config = setup->config;
	p->lane = setup->lane;
	p->abort_fd = setup->abort_fd;
	p->sink = sink_new(setup->config, setup->streams, setup->nstreams);
	sink_when_waiting(p->sink, setup->idle, setup->idle_ctx);
	return &p->base;
}

static void destroy(struct store *s)
{
	struct postgres *p = (struct postgres *)s;
	pg_free(p->pg);
	sink_free(p->sink);
	free(p);
}

/* --- the session --- */

static bool open_session(struct store *s, int64_t *due_us, struct err *err)
{
	struct postgres *p = (struct postgres *)s;
	char role[32];
	snprintf(role, sizeof(role), "lane %zu", p->lane);
	p->pg = pg_login(p->config, role, p->abort_fd, due_us, err);
	if (p->pg)
		sink_connected(p->sink, p->pg);
	return p->pg != NULL;
}

/* Never reused: what it was doing is not known. */
static void close_session(struct store *s)
{
	struct postgres *p = (struct postgres *)s;
	pg_free(p->pg);
	p->pg = NULL;
}

static bool alive(struct store *s)
{
	return pg_alive(((struct postgres *)s)->pg);
}

/* Also where the server says that this session, or its login, is of no use any more. */
static enum store_trouble trouble(const struct store *s, const struct err *err)
{
	const struct pg *pg = ((const struct postgres *)s)->pg;
	enum pg_verdict verdict = pg_last_verdict(pg);
	if (!pg_ok(pg) || (err->class == ERR_RETRY && verdict == PG_RECONNECT) ||
	    (err->class == ERR_CONFIG && verdict == PG_ACCESS))
		return STORE_SESSION;
	return verdict == PG_DEGRADED ? STORE_SLOWLY : STORE_BATCH;
}

/* --- the sink --- */

static struct sink *sink_of(const struct store *s)
{
	return ((const struct postgres *)s)->sink;
}

static enum sink_result write_batch(struct store *s, struct batch *b, const struct sink_try *how,
				    struct err *err)
{
	return sink_write(sink_of(s), b, how, err);
}

static void prepare(struct store *s, struct batch *next)
{
	sink_prepare(sink_of(s), next);
}

static const char *phase(const struct store *s)
{
	return sink_phase(sink_of(s));
}

static bool claim(struct store *s, struct sink_claim *c, struct err *err)
{
	return sink_claim(sink_of(s), c, err);
}

static bool tell_halt(struct store *s, const struct sink_claim *c, const char *why, struct err *err)
{
	return sink_tell_halt(sink_of(s), c, why, err);
}

static bool prune(struct store *s, bool *more, struct err *err)
{
	return sink_prune(sink_of(s), more, err);
}

const struct store_class store_pg = {
	.name = "PostgreSQL",
	.searches = true,
	.create = create,
	.destroy = destroy,
	.open = open_session,
	.close = close_session,
	.alive = alive,
	.trouble = trouble,
	.write = write_batch,
	.prepare = prepare,
	.phase = phase,
	.claim = claim,
	.tell_halt = tell_halt,
	.prune = prune,
};

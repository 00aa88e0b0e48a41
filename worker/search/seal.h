/*
 * seal.h - the steps of upkeep, done: segments are built, published and dropped.
 *
 * On a session of the caller's, which has nothing else to do meanwhile; each step is a transaction
 * or two. After a failure the database is as before the step, or one transaction further, and the
 * next look finds what is left to do.
 */
#pragma once

#include "base/base.h"
#include "base/err.h"
#include "core/searchsql.h"
#include "io/pg.h"
#include "search/upkeep.h"

struct seal_means {
	int64_t memory; /* bytes that a build may take: maintenance_work_mem */
	unsigned cores; /* of the server that it may keep busy */
	int64_t segment_rows;
	bool logged; /* with WAL */
};

/* What a step did. */
struct seal_done {
	int64_t rows; /* that are in the new segment */
	int64_t took_us;
};

/* Settings of a session for these steps; and the right to take them, as one at a time may. */
MUST_CHECK bool seal_prepare(struct pg *pg, struct err *err);
MUST_CHECK bool seal_lock(struct pg *pg, bool *mine, struct err *err);
MUST_CHECK bool seal_unlock(struct pg *pg, struct err *err);

/* Fills view, whose memory is then search_view_clear()'s. */
MUST_CHECK bool seal_look(struct pg *pg, const struct searchsql *sql, struct search_view *view,
			  struct err *err);
MUST_CHECK bool seal_do(struct pg *pg, const struct searchsql *sql, const struct search_view *view,
			const struct upkeep_plan *plan, const struct seal_means *means,
			struct seal_done *done, struct err *err);
/* Counts the stale rows of a segment and writes the number down. */
MUST_CHECK bool seal_count_stale(struct pg *pg, const struct searchsql *sql, struct segment *s,
				 struct err *err);

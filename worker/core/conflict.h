/*
 * conflict.h - what an event does to the row of its key that the table holds already, as SQL.
 *
 * The row is called t, the event's row excluded, as in INSERT ... ON CONFLICT DO UPDATE.
 */
#pragma once

#include "base/base.h"
#include "base/buf.h"
#include "codec/table.h"
#include "core/config.h"

struct conflict {
	const struct table *table;
	enum on_conflict on_conflict;
	const struct column *version; /* of "newer", if it is not a key column; else NULL */
	bool accumulates;             /* add, min or max: stale events count, too */
	bool as_text; /* compare rows as text: excluded's columns may be of other types than t's */
};

/* Newer without a version column means update: there is nothing to compare. */
struct conflict conflict_of(const struct table *t, enum on_conflict on_conflict);
/* Whether an event sets column i of a row that is there. */
bool conflict_sets(const struct conflict *c, size_t i);
/* Whether there is anything that an event could change. */
bool conflict_updates(const struct conflict *c);
/* "a" = ..., "b" = ...: what the columns become. If conflict_updates(). */
void conflict_put_set(struct buf *out, const struct conflict *c);
/* The condition: the event counts, and it would change the row. */
void conflict_put_where(struct buf *out, const struct conflict *c);
/* prefix."name" */
void conflict_put_column(struct buf *out, const char *prefix, const struct column *c);

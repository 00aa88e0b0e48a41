/*
 * shape.h - what a SQLite file lacks of what the schemas want: steps that add it, and findings that
 * only a person can settle.
 */
#pragma once

#include "base/buf.h"
#include "core/config.h"
#include "core/stream.h"
#include "sqlite/db.h"

struct shape_step {
	char *sql, *done; /* "created table memory_entries" */
	bool optional; /* an index that only makes searches fast: left out if SQLite refuses it */
};

struct shape {
	struct shape_step *steps;
	size_t nsteps;
	struct buf findings, notes; /* a line each, "stream.memory: text" */
};

/* Whether an index of that name is to be made. */
struct shape_wish {
	bool (*wants)(void *ctx, const struct table *t, size_t index, const char *name);
	void *ctx;
};

/* Compares; changes nothing. Streams that are NULL are left out. wish: NULL: level lean. */
MUST_CHECK bool shape_look(struct shape *s, struct db *db, struct stream *const *streams, size_t n,
			   const struct shape_wish *wish, struct err *err);
/* Takes the steps, in the caller's transaction. What was left out goes to the notes. */
MUST_CHECK bool shape_take(struct shape *s, struct db *db, struct err *err);
void shape_free(struct shape *s);

/*
 * plan.h - Avro schema resolution, done once: what to do with each piece of a writer's datum to get
 * a row of a table. Immutable and free to share.
 */
#pragma once

#include "base/base.h"
#include "base/err.h"

struct plan;
struct schema;
struct table;

/*
 * Returns a new plan, or NULL with class CONFIG: a writer schema of the stream's record that does
 * not resolve to the table's reader schema, naming both fields. A writer's schema of something else
 * has a plan too, by which decode_record() says of each datum that it is not the stream's; so have
 * a union's other branches. Copies what it needs of writer; borrows table, which must outlive it.
 */
struct plan *plan_new(const struct schema *writer, const struct table *table, struct err *err);

/*
 * The plan for message keys: a record (or, for a single key column, a bare value) whose fields are
 * the table's key columns. Decoded with it, a row has its key columns and nulls. own: the stream's
 * key schema, or NULL; a record of another name that does not fit is not the stream's.
 */
struct plan *plan_new_key(const struct schema *writer, const struct table *table,
			  const struct schema *own, struct err *err);

/* What data may hold and the stream cannot take, in words, or NULL. */
const char *plan_note(const struct plan *p);

void plan_free(struct plan *p); /* NULL is fine */

/*
 * plan.h - Avro schema resolution, done once: what to do with each piece of a writer's datum to get
 * a row of a table.
 *
 * Compiled from (writer schema, table); immutable afterwards and free to share. Rules: Avro 1.11
 * specification, "Schema Resolution": fields by name and alias, promotions, defaults, unknown
 * fields skipped, enum defaults, unions.
 */
#ifndef MEMINGEST_PLAN_H
#define MEMINGEST_PLAN_H

#include "base/base.h"
#include "base/err.h"

struct plan;
struct schema;
struct table;

/*
 * Returns a new plan, or NULL with class CONFIG: a writer schema that does not resolve to the
 * table's reader schema, naming both fields. Copies what it needs of writer; borrows table, which
 * must outlive it.
 */
struct plan *plan_new(const struct schema *writer, const struct table *table, struct err *err);

/*
 * The plan for message keys: a record (or, for a single key column, a bare value) whose fields are
 * the table's key columns. Decoded with it, a row has its key columns and nulls.
 */
struct plan *plan_new_key(const struct schema *writer, const struct table *table, struct err *err);
void plan_free(struct plan *p); /* NULL is fine */

#endif

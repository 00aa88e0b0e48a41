/*
 * plan_steps.h - what a plan consists of: written by plan.c and resolve.c, read by walk.c,
 * decode.c, jsonout.c and recode.c, and by nobody else.
 *
 *   plan.top[]      the writer's fields in the order of the wire: slot i is where the value of
 *                   top[i] stands
 *   plan.columns[]  the table's columns in their order: each takes a slot, or is a constant
 *
 * A step says how one value of the writer stands on the wire and, if the row needs it, which reader
 * type it resolves to. Steps form a tree, with a loop where a record holds itself. All memory is
 * the plan's arena.
 */
#ifndef MEMINGEST_PLAN_STEPS_H
#define MEMINGEST_PLAN_STEPS_H

#include "base/arena.h"
#include "base/base.h"
#include "codec/decode.h"
#include "codec/pgbin.h"
#include "codec/plan.h"
#include "codec/table.h"
#include "codec/walk.h"
#include "schema/schema.h"

#define STEP_NO_SLOT UINT32_MAX

struct step {
	enum schema_kind kind; /* of the writer's value */
	uint8_t width;         /* bytes of every such value where that is 1, 4 or 8; else 0 */
	/* of the writer's number, where the reader's logical type is a time or timestamp */
	enum pgbin_unit unit;
	/*
	 * What the reader makes of it; never a union: its branch. NULL: the value is skipped, or
	 * (kind null) the reader has no null there.
	 */
	const struct schema_type *reader;
	uint32_t size;          /* of fixed */
	uint32_t n;             /* number of fields, branches or symbols */
	struct step *items;     /* of array and map */
	struct step **branches; /* of a union */
	struct step_field *fields;
	/* of an enum: the writer's index to the reader's; NULL when skipped */
	const uint32_t *symbols;
	/* of a record: "name":value,... of the reader's fields that the writer lacks, as JSON */
	struct slice rest;
};

struct step_field {
	const char *name; /* the writer's, for messages */
	struct step *step;
	/* "name": as JSON, by the reader's name; empty: the reader has no such field */
	struct slice key;
};

/* bytes, string or fixed. */
MUST_CHECK static inline bool walk_blob(struct cursor *c, const struct step *s, struct slice *v)
{
	if (s->kind != SCHEMA_FIXED)
		return walk_bytes(c, v);
	v->len = s->size;
	return walk_raw(c, s->size, &v->data);
}

/* Follows a union down to the value that is there. */
MUST_CHECK static inline bool walk_branch(struct cursor *c, const struct step **s)
{
	uint32_t index;
	if ((*s)->kind != SCHEMA_UNION)
		return true;
	if (!walk_index(c, (*s)->n, "union", &index))
		return false;
	*s = (*s)->branches[index]; /* a union holds no union */
	return true;
}

/* Where a value goes: a column, or the elements of an array column. */
struct target {
	enum pg_kind kind;
	uint32_t dim, max_chars;
	bool json_text; /* a string that holds JSON, rather than a string to put into JSON */
	bool null_json; /* the JSON text null is no value: the column is null */
	bool finite;    /* floats of a real[]: an embedding, so no NaN and no infinity */
};

struct plan_column {
	const char *name; /* of the reader's field, for messages */
	struct target target, element;
	enum pgbin_oid element_oid;
	uint32_t slot;         /* index into top, or STEP_NO_SLOT: constant */
	struct slice constant; /* a COPY field, with its length */
	bool on_delete;        /* a delete needs it: key and version */
};

struct plan {
	const struct table *table; /* borrowed */
	struct arena *arena;
	struct step_field *top;
	uint32_t ntop;
	struct plan_column *columns; /* table->ncolumns */
	/* of the enum that says DELETE, or STEP_NO_SLOT: every datum is an "op" */
	uint32_t delete_slot;
	enum record_op op;
};

/* jsonout.c: appends the value as JSON text. max: bytes that the text may have, from start on. */
struct jsonout {
	struct buf *out;
	size_t start, max;
};
MUST_CHECK bool jsonout_value(struct jsonout *j, struct cursor *c, const struct step *s);

/* decode.c, for plan.c: one COPY field from a datum of that step, as decode_record() makes it. */
MUST_CHECK bool decode_column(const struct plan_column *column, const struct step *s,
			      struct cursor *c, const struct decode_limits *limits,
			      struct buf *out);

#endif

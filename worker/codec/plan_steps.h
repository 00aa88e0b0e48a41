/*
 * plan_steps.h - what a plan consists of: written by plan.c, read by walk.c, decode.c and
 * jsonout.c, and by nobody else.
 *
 *   plan.top[]      the writer's fields in the order of the wire: slot i is where the value of
 *                   top[i] stands
 *   plan.columns[]  the table's columns in their order: each takes a slot, or is a constant
 *
 * A union has such a plan for each of its branches that is the stream's record.
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
	 * What the reader makes of it; never a union: its branch. NULL: the value is skipped or
	 * refused, or (kind null) the reader has no null there.
	 */
	const struct schema_type *reader;
	uint32_t size;          /* of fixed */
	uint32_t n;             /* number of fields, branches or symbols */
	struct step *items;     /* of array and map */
	struct step **branches; /* of a union */
	struct step_field *fields;
	const struct step_symbol
		*symbols; /* of an enum, by the writer's index; NULL when skipped */
	/*
	 * of a record: why the reader cannot take the value, which is only skipped, or NULL. A
	 * branch of any type that is refused is such a record, around it.
	 */
	const char *refusal;
	/* of a record: "name":value,... of the reader's fields that the writer lacks, as JSON */
	struct slice rest;
};

struct step_symbol {
	uint32_t at;         /* among the reader's */
	const char *refusal; /* why the reader cannot take it, or NULL */
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

/* Returns false: the reader cannot take what the datum has. */
bool walk_refused(struct cursor *c, const char *refusal);

/* Of a value that is wanted: whether its step does not refuse it. */
MUST_CHECK static inline bool walk_wanted(struct cursor *c, const struct step *s)
{
	return !s->refusal || walk_refused(c, s->refusal);
}

/* The reader's symbol of the writer's enum. */
MUST_CHECK static inline bool walk_symbol(struct cursor *c, const struct step *s, uint32_t *symbol)
{
	uint32_t index;
	if (!walk_index(c, s->n, "enum", &index))
		return false;
	*symbol = s->symbols[index].at;
	return !s->symbols[index].refusal || walk_refused(c, s->symbols[index].refusal);
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

enum plan_shape {
	PLAN_ROW,    /* the stream's record: top and columns say how it becomes a row */
	PLAN_CHOICE, /* a union: the branch that a datum has says which plan */
	PLAN_OTHER,  /* not the stream's record; see why */
	PLAN_MISFIT, /* the stream's record, but it does not resolve; see why */
};

struct plan {
	enum plan_shape shape;
	const struct table *table; /* borrowed */
	struct arena *arena;       /* a branch's is that of the whole */
	const char *why;
	struct plan *branches; /* none of them a PLAN_CHOICE */
	uint32_t nbranches;
	const char *note; /* of the whole: what data may hold and the stream cannot take, or NULL */
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

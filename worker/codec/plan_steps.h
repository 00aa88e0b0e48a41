/*
 * plan_steps.h - what a plan consists of: written by plan.c and resolve.c, read by walk.c,
 * decode.c, jsonout.c and recode.c, and by nobody else.
 *
 *   plan.top[]      the writer's fields in the order of the wire: slot i is where the value of
 *                   top[i] stands
 *   plan.columns[]  the table's columns in their order: each takes a slot, or is a constant
 *
 * A union has such a plan for each of its branches that is the stream's record.
 *
 * All memory is the plan's arena.
 */
#pragma once

#include "base/arena.h"
#include "base/base.h"
#include "codec/decode.h"
#include "codec/pgbin.h"
#include "codec/plan.h"
#include "codec/step.h"
#include "codec/table.h"
#include "schema/schema.h"

#define STEP_NO_SLOT UINT32_MAX

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
/* False with the cursor's refusal filled; the caller cuts out back. */
MUST_CHECK bool jsonout_value(struct jsonout *j, struct cursor *c, const struct step *s);

/* decode.c, for plan.c: one COPY field from a datum of that step, as decode_record() makes it. */
MUST_CHECK bool decode_column(const struct plan_column *column, const struct step *s,
			      struct cursor *c, const struct decode_limits *limits,
			      struct buf *out);

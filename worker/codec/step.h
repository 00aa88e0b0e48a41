/*
 * step.h - how one value of a writer stands on the wire and, if the row needs it, which reader type
 * it resolves to. Made by resolve.c, followed by whoever reads a datum.
 *
 * Steps form a tree, with a loop where a record holds itself. All memory is the plan's arena.
 */
#pragma once

#include "base/base.h"
#include "codec/walk.h"
#include "schema/schema.h"

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
	/* of an enum, by the writer's index; NULL when skipped */
	const struct step_symbol *symbols;
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

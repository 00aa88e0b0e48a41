/*
 * resolve.h - Avro schema resolution: (writer type, reader type) into steps. Internal to the
 * files of codec.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "codec/plan_steps.h"

struct resolve_pair;

/* Zero-initialised but for arena and err. */
struct resolver {
	struct arena *arena;
	struct err *err;
	struct resolve_pair *pairs; /* records met so far: free() when done */
	size_t npairs, cap;
	int depth;
	bool differs; /* the error, or what led to it, is that logical types differ */
	/* what the reader cannot take, should a datum have it: the first, and how many */
	const char *note;
	size_t nnotes;
};

#define RESOLVE_NONE SIZE_MAX

/* Bounds for values that come out of the schema itself. */
extern const struct decode_limits resolve_default_limits;

/* NULL with class CONFIG when no w resolves to r. Single branches and symbols are noted. */
struct step *resolve(struct resolver *k, const struct schema_type *w, const struct schema_type *r);
/* How to pass over a w. Never NULL. */
struct step *resolve_skip(struct resolver *k, const struct schema_type *w);

/* Same last part of the name, or an alias of r: for records, enums and fixed. */
bool resolve_names_match(const struct schema_type *w, const struct schema_type *r);

/*
 * For each field of record r the index of the writer's field that it takes, or RESOLVE_NONE: by
 * name, then by alias; a field that one takes by name no other takes by alias. Room for r->nfields.
 */
void resolve_fields(const struct schema_type *w, const struct schema_type *r, size_t *from);

/*
 * pairs.h - writer's and reader's schemas by number: the shipped events, the schema of everything,
 * then random pairs (tests/unit/random_avro.c). A number always means the same pair.
 */
#pragma once

#include "base/buf.h"
#include "codec/plan.h"
#include "codec/table.h"
#include "schema/schema.h"

enum { PAIRS = 96 };

struct pair {
	struct schema *writer, *reader;
	struct table *table;
	struct plan *plan; /* of the writer's data */
};

/*
 * Fills p. The writer's schema as text goes to writer_text, if that is not NULL. Ends the process
 * when there is no such pair: from the top of the tree there is.
 */
void pair_make(struct pair *p, size_t number, struct buf *writer_text);
void pair_free(struct pair *p);

/*
 * fold.h - two events of one key made one, where that changes nothing about the outcome.
 *
 * The table must end as if every event had been applied alone, in offset order, wherever batches
 * begin and end. The row that the table already holds is not known here, so folding is right only
 * where it is right for every such row; else the later event goes into the batch's next round,
 * which is merged after the first.
 */
#ifndef MEMINGEST_FOLD_H
#define MEMINGEST_FOLD_H

#include "base/arena.h"
#include "base/base.h"
#include "codec/decode.h"
#include "codec/table.h"
#include "core/config.h"

struct fold_row {
	enum record_op op;
	bool has_version;
	int64_t version;
	struct slice row; /* columns in table order, each int32 length and value */
};

enum fold_result {
	FOLD_FIRST,  /* the first event's row stands for both */
	FOLD_SECOND, /* the second event's row stands for both */
	FOLD_MERGED, /* "merged" is a new row, in the arena */
	FOLD_APART,  /* the second must be merged in a later round */
};

/* Which merge rules a table has, beyond plain replacement. */
struct fold_rules {
	const struct table *table;
	enum on_conflict on_conflict;
	bool keeps;       /* keep */
	bool accumulates; /* add, min, max */
	bool partial;     /* coalesce, json */
};

/* newer without a version column means update: there is nothing to compare. */
struct fold_rules fold_rules(const struct table *table, enum on_conflict on_conflict);

/* first arrived before second; both have the same key. */
enum fold_result fold(const struct fold_rules *rules, const struct fold_row *first,
		      const struct fold_row *second, struct arena *arena, struct fold_row *merged);

#endif

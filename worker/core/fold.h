/*
 * fold.h - two events of one key made one, where that changes nothing about the outcome, whatever
 * row the table holds; else the later one goes into the batch's next round.
 *
 * For tables that refuse nothing by a value (enum trait), as PostgreSQL never sees what a fold
 * makes void: the caller's to know.
 */
#pragma once

#include "base/arena.h"
#include "base/base.h"
#include "codec/decode.h"
#include "codec/table.h"
#include "core/config.h"

struct fold_field;

/* One key's row so far: an event's as it came, or what several events have made. */
struct fold_row {
	enum record_op op;
	bool has_version;
	int64_t version;
	struct slice row; /* columns in table order, each int32 length and value */
	/* by column, once something was merged into the row; fold_pack() makes it a row again */
	struct fold_field *fields;
	/* JSON objects were united: right only where the table holds an object, or nothing */
	bool united;
};

enum fold_result {
	FOLD_FIRST,  /* the first event's row stands for both */
	FOLD_SECOND, /* the second event's row stands for both */
	FOLD_MERGED, /* the second was merged into the first, which has changed */
	FOLD_APART,  /* the second must be merged in a later round; nothing has changed */
};

/* Which merge rules a table has, beyond plain replacement. */
struct fold_rules {
	const struct table *table;
	enum on_conflict on_conflict;
	bool keeps;       /* keep */
	bool accumulates; /* add, min, max */
	bool partial;     /* coalesce, json */
	bool unite;       /* JSON objects may be united; off where a table holds something else */
	bool *indexed;    /* by column: it is in an index beside the key's; the caller's */
};

/* newer without a version column means update: there is nothing to compare. */
struct fold_rules fold_rules(const struct table *table, enum on_conflict on_conflict);

/* first arrived before second; both have the same key. Costs time and memory by the second alone.
 */
enum fold_result fold(const struct fold_rules *rules, struct fold_row *first,
		      const struct fold_row *second, struct arena *arena);

/* Makes a merged row one piece of memory again, in the arena. */
void fold_pack(const struct table *table, struct fold_row *row, struct arena *arena);

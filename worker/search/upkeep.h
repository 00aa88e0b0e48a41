/*
 * upkeep.h - what is to be done next for the segments of a table: a decision, without a database.
 *
 * A table's rows are in its tail (in no segment yet) or in segments that never change. Upkeep
 * seals the tail into new segments, adopts rows that are older than the search, builds anew what
 * has many stale rows, merges small segments, and drops what no search reads any more.
 */
#pragma once

#include "base/base.h"

enum segment_state { SEGMENT_BUILT, SEGMENT_LIVE, SEGMENT_DEAD };

struct segment {
	int number;
	enum segment_state state;
	bool exists;                /* there is a partition of that number */
	bool adopted;               /* holds rows without search_xid */
	char *after, *upto;         /* pg_snapshot as text, or NULL */
	char *after_key, *upto_key; /* text[] as text, or NULL */
	int64_t rows, stale;
	int64_t state_s; /* since when it is in its state, in seconds */
};

/* What a table looks like. Segments in the order in which they cover transactions. */
struct search_view {
	bool exists;  /* there is a row for it in memingest.searches */
	bool foreign; /* its transactions are another cluster's: a dump that was restored */
	bool indexed; /* there is a valid index on search_xid */
	bool adopted; /* rows older than the search are in segments */
	char *sealed; /* pg_snapshot as text, or NULL */
	int next_segment;
	int64_t tail;       /* rows in no segment, but for those to be adopted */
	int64_t tail_age_s; /* of the oldest of them */
	struct segment *segments;
	size_t nsegments;
};

/* Frees what the view holds. */
void search_view_clear(struct search_view *v);

struct upkeep_rules {
	int64_t segment_rows; /* a segment has about this many */
	int64_t tail_rows;    /* a tail of this many is sealed */
	double stale_share;   /* a segment with a greater share of stale rows is built anew */
	int64_t merge_rows;   /* small segments are merged up to this many rows at a time */
	bool all;             /* seal whatever is in the tail */
	bool rests;           /* time for what only makes searches cheaper: rewriting, merging */
};

enum upkeep_step {
	UPKEEP_NONE,
	UPKEEP_RESET,   /* nothing is sealed any more, as its transactions are another cluster's */
	UPKEEP_INDEX,   /* create the index on search_xid */
	UPKEEP_PUBLISH, /* segment "first" is built and not live */
	UPKEEP_SEAL,    /* a new segment from the tail */
	UPKEEP_ADOPT,   /* a new segment from the rows without search_xid, or they are all in one */
	UPKEEP_REWRITE, /* segments first to last (indexes into the view) into one new segment */
	UPKEEP_DROP,    /* segment "first" */
};

struct upkeep_plan {
	enum upkeep_step step;
	size_t first, last;
	int64_t rows; /* of UPKEEP_SEAL: about as many of the tail's oldest */
};

struct upkeep_plan upkeep_decide(const struct search_view *v, const struct upkeep_rules *rules);
const char *upkeep_step_name(enum upkeep_step step);

/* How long a segment stays that no new search reads, for those that are under way. */
#define UPKEEP_KEEP_S 60

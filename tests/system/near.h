/*
 * near.h - the ground of tests of the search by nearness.
 *
 * The stream "near" has vectors of 8 dimensions, and settings that make segments of a few hundred
 * rows, so that sealing, merging and rewriting all happen within seconds. A row is looked for by
 * its own vector, which no other row has.
 */
#pragma once

#include "bed.h"

/* The vector of row number i, in SQL. */
#define NEAR_VECTOR                                                                                \
	"(SELECT array_agg(hashtext(i || '/' || d)) FROM generate_series(1, 8) d)::vector"

struct bed *near_bed(const char *name);

/* SQL instead of events: rows of a transaction of their own, of tenants t0 to t4. */
void near_insert(struct bed *bed, int from, int to);
/* "memingest index build" */
void near_build(struct bed *bed);

/* Of a share of the rows those that a search for their own vector does not bring. */
int64_t near_missed_of(struct bed *bed, const char *which);
/* The same of every third. */
int64_t near_missed(struct bed *bed);
int64_t near_live(struct bed *bed); /* segments */
int64_t near_unindexed(struct bed *bed);
/* No table of a segment without its row, and no row without its tables. */
void near_no_leftovers(struct bed *bed);

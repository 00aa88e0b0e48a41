/*
 * test_upkeep.c - what is done next for the segments of a search: decisions, without a database.
 */
#include <stdlib.h>
#include <string.h>

#include "search/indexer.h"
#include "search/upkeep.h"
#include "unit.h"

static const struct upkeep_rules rules = {.segment_rows = 1000,
					  .tail_rows = 50,
					  .stale_share = 0.2,
					  .merge_rows = INT64_MAX,
					  .rests = true};

static struct segment segments[16];

static struct search_view view_of(size_t n)
{
	return (struct search_view){.exists = true,
				    .indexed = true,
				    .adopted = true,
				    .sealed = (char *)"9:9:",
				    .segments = segments,
				    .nsegments = n};
}

/* A live one that covers what the text says, and goes on where the one before ended. */
static struct segment live(int number, const char *after, const char *upto, int64_t rows)
{
	return (struct segment){.number = number,
				.state = SEGMENT_LIVE,
				.exists = true,
				.after = (char *)after,
				.upto = (char *)upto,
				.rows = rows};
}

static struct segment old(int number, enum segment_state state, const char *after_key,
			  const char *upto_key)
{
	return (struct segment){.number = number,
				.state = state,
				.exists = true,
				.adopted = true,
				.after_key = (char *)after_key,
				.upto_key = (char *)upto_key,
				.rows = 900};
}

static void assert_plan(const struct search_view *v, const struct upkeep_rules *r,
			enum upkeep_step step, size_t first, size_t last)
{
	struct upkeep_plan plan = upkeep_decide(v, r);
	ck_assert_str_eq(upkeep_step_name(plan.step), upkeep_step_name(step));
	if (step == UPKEEP_REWRITE || step == UPKEEP_DROP || step == UPKEEP_PUBLISH) {
		ck_assert_uint_eq(plan.first, first);
		ck_assert_uint_eq(plan.last, last);
	}
}

/* Proves: nothing is touched that is not ours, or another cluster's; the index comes first. */
START_TEST(before_all)
{
	struct search_view v = view_of(0);
	v.tail = 1000;
	assert_plan(&v, &rules, UPKEEP_SEAL, 0, 0);
	v.indexed = false;
	assert_plan(&v, &rules, UPKEEP_INDEX, 0, 0);
	v.foreign = true;
	assert_plan(&v, &rules, UPKEEP_RESET, 0, 0);
	v.sealed = NULL;
	assert_plan(&v, &rules, UPKEEP_NONE, 0, 0);
	v.foreign = false;
	v.exists = false;
	assert_plan(&v, &rules, UPKEEP_NONE, 0, 0);
}
END_TEST

/* Proves: a tail is sealed from tail_rows on, and by "all" whatever it holds, but never empty. */
START_TEST(tails)
{
	struct search_view v = view_of(0);
	struct upkeep_rules all = rules;
	all.all = true;
	v.tail = 49;
	assert_plan(&v, &rules, UPKEEP_NONE, 0, 0);
	assert_plan(&v, &all, UPKEEP_SEAL, 0, 0);
	v.tail = 50;
	assert_plan(&v, &rules, UPKEEP_SEAL, 0, 0);
	v.tail = 0;
	assert_plan(&v, &all, UPKEEP_NONE, 0, 0);
	v.adopted = false;
	assert_plan(&v, &rules, UPKEEP_ADOPT, 0, 0);
}
END_TEST

/*
 * Proves: a long tail is sealed in small pieces, and what would be left of it that is no graph's
 * worth goes along; with "all" it goes in pieces of a segment.
 */
START_TEST(pieces)
{
	static const int64_t lengths[][3] = {{60, 60, 60},
					     {149, 149, 149},
					     {150, 100, 150},
					     {1040, 100, 1000},
					     {9000, 100, 1000}};
	struct search_view v = view_of(0);
	struct upkeep_rules all = rules;
	all.all = true;
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		v.tail = lengths[i][0];
		ck_assert_int_eq(upkeep_decide(&v, &rules).rows, lengths[i][1]);
		ck_assert_int_eq(upkeep_decide(&v, &all).rows, lengths[i][2]);
	}
}
END_TEST

/*
 * Proves: what a crash left is published if it goes on where the sealed part ends, else dropped;
 * pieces of an adoption wait until it is complete, and go if it is complete without them.
 */
START_TEST(half_done)
{
	struct search_view v = view_of(1);
	segments[0] = live(1, "9:9:", "12:12:", 10);
	segments[0].state = SEGMENT_BUILT;
	assert_plan(&v, &rules, UPKEEP_PUBLISH, 0, 0);
	segments[0].exists = false;
	assert_plan(&v, &rules, UPKEEP_DROP, 0, 0);
	segments[0].exists = true;
	segments[0].after = (char *)"5:5:";
	assert_plan(&v, &rules, UPKEEP_DROP, 0, 0);
	segments[0].after = NULL;
	assert_plan(&v, &rules, UPKEEP_DROP, 0, 0);
	v.sealed = NULL;
	assert_plan(&v, &rules, UPKEEP_PUBLISH, 0, 0);
	segments[0] = old(1, SEGMENT_BUILT, NULL, "{a}");
	assert_plan(&v, &rules, UPKEEP_DROP, 0, 0);
	v.adopted = false;
	assert_plan(&v, &rules, UPKEEP_ADOPT, 0, 0);
}
END_TEST

/* Proves: a segment whose table is gone is built again before anything else is sealed. */
START_TEST(lost)
{
	struct search_view v = view_of(2);
	segments[0] = live(1, NULL, "5:5:", 900);
	segments[1] = live(2, "5:5:", "9:9:", 900);
	segments[1].exists = false;
	v.tail = 500;
	assert_plan(&v, &rules, UPKEEP_REWRITE, 1, 1);
}
END_TEST

/* Proves: dead ones stay for a minute, unless there is nothing left of them. */
START_TEST(dead)
{
	struct search_view v = view_of(1);
	segments[0] = live(1, NULL, "9:9:", 900);
	segments[0].state = SEGMENT_DEAD;
	segments[0].state_s = UPKEEP_KEEP_S - 1;
	assert_plan(&v, &rules, UPKEEP_NONE, 0, 0);
	segments[0].state_s = UPKEEP_KEEP_S;
	assert_plan(&v, &rules, UPKEEP_DROP, 0, 0);
	segments[0].state_s = 0;
	segments[0].exists = false;
	assert_plan(&v, &rules, UPKEEP_DROP, 0, 0);
}
END_TEST

/* Proves: over its share of stale rows a segment is built anew, and only while there is time. */
START_TEST(stale)
{
	struct search_view v = view_of(1);
	struct upkeep_rules busy = rules;
	busy.rests = false;
	segments[0] = live(1, NULL, "9:9:", 900);
	segments[0].stale = 180;
	assert_plan(&v, &rules, UPKEEP_NONE, 0, 0);
	segments[0].stale = 181;
	assert_plan(&v, &rules, UPKEEP_REWRITE, 0, 0);
	assert_plan(&v, &busy, UPKEEP_NONE, 0, 0);
}
END_TEST

static void small_ones(struct search_view *v, const int64_t *rows, size_t n)
{
	static const char *const ends[] = {
		"1:1:", "2:2:", "3:3:", "4:4:", "5:5:", "6:6:", "7:7:", "8:8:", "9:9:"};
	*v = view_of(n);
	for (size_t i = 0; i < n; i++)
		segments[i] = live((int)i + 1, i ? ends[i - 1] : NULL, ends[i], rows[i]);
}

/*
 * Proves: small segments are merged from the oldest on that the younger ones together outweigh,
 * three at least; and only neighbours, for a segment says from where to where it reaches.
 */
START_TEST(small)
{
	struct search_view v;
	small_ones(&v, (int64_t[]){60, 60}, 2);
	assert_plan(&v, &rules, UPKEEP_NONE, 0, 0);
	small_ones(&v, (int64_t[]){60, 60, 60}, 3);
	assert_plan(&v, &rules, UPKEEP_REWRITE, 0, 2);
	small_ones(&v, (int64_t[]){180, 60, 60}, 3);
	assert_plan(&v, &rules, UPKEEP_NONE, 0, 0);
	small_ones(&v, (int64_t[]){400, 60, 60, 60}, 4);
	assert_plan(&v, &rules, UPKEEP_REWRITE, 1, 3);
	small_ones(&v, (int64_t[]){180, 60, 60, 60}, 4);
	assert_plan(&v, &rules, UPKEEP_REWRITE, 0, 3);
	segments[1].state = SEGMENT_DEAD; /* is none of three */
	segments[0].upto = segments[1].upto;
	assert_plan(&v, &rules, UPKEEP_NONE, 0, 0);
	small_ones(&v, (int64_t[]){60, 500, 60, 60}, 4); /* a large one parts them */
	assert_plan(&v, &rules, UPKEEP_NONE, 0, 0);
	small_ones(&v, (int64_t[]){300, 300, 300, 300}, 4); /* no more than make a segment */
	assert_plan(&v, &rules, UPKEEP_REWRITE, 1, 3);
	small_ones(&v, (int64_t[]){60, 60, 60}, 3);
	segments[2].after = (char *)"0:0:"; /* no neighbours */
	assert_plan(&v, &rules, UPKEEP_NONE, 0, 0);
}
END_TEST

/* Proves: no more is merged at a time than there is time for, so far as that goes. */
START_TEST(merges_in_time)
{
	struct search_view v;
	struct upkeep_rules r = rules;
	small_ones(&v, (int64_t[]){300, 150, 60, 60, 60}, 5);
	assert_plan(&v, &r, UPKEEP_REWRITE, 0, 4);
	r.merge_rows = 629;
	assert_plan(&v, &r, UPKEEP_REWRITE, 1, 4);
	r.merge_rows = 329;
	assert_plan(&v, &r, UPKEEP_REWRITE, 2, 4);
	r.merge_rows = 179;
	assert_plan(&v, &r, UPKEEP_NONE, 0, 0);
	segments[0].stale = 100; /* a third: worth it only if it takes little time */
	assert_plan(&v, &r, UPKEEP_NONE, 0, 0);
	segments[0].stale = 121;
	assert_plan(&v, &r, UPKEEP_REWRITE, 0, 0);
}
END_TEST

/* Proves: windows, also over midnight, and idleness. */
START_TEST(times)
{
	const int64_t hour = 3600 * INT64_C(1000000);
	struct config c = {
		.index_when = INDEX_WINDOW, .index_from_us = 22 * hour, .index_until_us = 6 * hour};
	ck_assert(indexer_is_time(&c, 100 * 24 * hour + 23 * hour, false));
	ck_assert(indexer_is_time(&c, 100 * 24 * hour + 5 * hour, false));
	ck_assert(!indexer_is_time(&c, 100 * 24 * hour + 6 * hour, true));
	c.index_from_us = 1 * hour;
	ck_assert(indexer_is_time(&c, 2 * hour, false));
	ck_assert(!indexer_is_time(&c, 23 * hour, false));
	c.index_when = INDEX_IDLE;
	ck_assert(indexer_is_time(&c, 0, true));
	ck_assert(!indexer_is_time(&c, 0, false));
	c.index_when = INDEX_NEVER;
	ck_assert(!indexer_is_time(&c, 0, true));
}
END_TEST

static Suite *upkeep_suite(void)
{
	Suite *suite = suite_create("upkeep");
	TCase *tc = tcase_create("upkeep");
	tcase_add_test(tc, before_all);
	tcase_add_test(tc, tails);
	tcase_add_test(tc, pieces);
	tcase_add_test(tc, half_done);
	tcase_add_test(tc, lost);
	tcase_add_test(tc, dead);
	tcase_add_test(tc, stale);
	tcase_add_test(tc, small);
	tcase_add_test(tc, merges_in_time);
	tcase_add_test(tc, times);
	suite_add_tcase(suite, tc);
	return suite;
}
UNIT_SUITE(upkeep_suite)

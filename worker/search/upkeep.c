/*
 * upkeep.c - what is to be done next for the segments of a table.
 *
 *   tail --seal--> small segments --merge--> big ones --rewrite--> big ones without stale rows
 *                                   \__________________________ dead, a minute later dropped
 *   rows older than the search --adopt--> big segments
 *
 * In another cluster than that of the segments' transactions (a dump that was restored) nothing is
 * sealed any more, at once: later, its own would seem to be. The rest is migrate's.
 *
 * A tail is read row by row at each search, so it is sealed as soon as it is worth a graph; a long
 * one in small pieces too, as a row takes less than half of the time in a graph of 10,000 of that
 * in one of 200,000, and searches suffer from the tail ten times as much as from such a graph. But
 * they cost about the same in each graph, however large it is, so small ones are merged when there
 * is time; no more at a time than leaves the tail short meanwhile.
 *
 * Not here: how any of it is done (seal.c), and when (indexer.c). Pure: no connection, no clock.
 */
#include "search/upkeep.h"

#include <stdlib.h>
#include <string.h>

#define MERGE_LEAST 3 /* segments that become one */
#define LARGE_STALE 2 /* so many times stale_share, where building anew lets the tail grow long */

void search_view_clear(struct search_view *v)
{
	for (size_t i = 0; i < v->nsegments; i++) {
		free(v->segments[i].after);
		free(v->segments[i].upto);
		free(v->segments[i].after_key);
		free(v->segments[i].upto_key);
	}
	free(v->segments);
	free(v->sealed);
	*v = (struct search_view){0};
}

static struct upkeep_plan plan(enum upkeep_step step, size_t first, size_t last)
{
	return (struct upkeep_plan){.step = step, .first = first, .last = last};
}

static bool is_next(const struct search_view *v, const struct segment *s)
{
	return !s->adopted && strcmp(s->after ? s->after : "", v->sealed ? v->sealed : "") == 0;
}

/*
 * One that was built and not published: its builder died in between. Adopted ones wait for the last
 * of them; what was to replace others is in nobody's way, and goes.
 */
static bool find_built(const struct search_view *v, struct upkeep_plan *found)
{
	for (size_t i = 0; i < v->nsegments; i++) {
		const struct segment *s = &v->segments[i];
		if (s->state != SEGMENT_BUILT || (s->adopted && !v->adopted))
			continue;
		*found = plan(s->exists && is_next(v, s) ? UPKEEP_PUBLISH : UPKEEP_DROP, i, i);
		return true;
	}
	return false;
}

static bool find_dead(const struct search_view *v, struct upkeep_plan *found)
{
	for (size_t i = 0; i < v->nsegments; i++) {
		const struct segment *s = &v->segments[i];
		if (s->state != SEGMENT_DEAD || (s->exists && s->state_s < UPKEEP_KEEP_S))
			continue;
		*found = plan(UPKEEP_DROP, i, i);
		return true;
	}
	return false;
}

/* Its table is gone: until it is there again, searches read all rows. */
static bool find_lost(const struct search_view *v, struct upkeep_plan *found)
{
	for (size_t i = 0; i < v->nsegments; i++) {
		if (v->segments[i].exists || v->segments[i].state == SEGMENT_DEAD)
			continue;
		*found = plan(UPKEEP_REWRITE, i, i);
		return true;
	}
	return false;
}

static bool find_stale(const struct search_view *v, const struct upkeep_rules *rules,
		       struct upkeep_plan *found)
{
	for (size_t i = 0; i < v->nsegments; i++) {
		const struct segment *s = &v->segments[i];
		double most = rules->stale_share * (double)s->rows;
		if (s->rows > rules->merge_rows)
			most *= LARGE_STALE;
		if (s->state != SEGMENT_LIVE || (double)s->stale <= most)
			continue;
		*found = plan(UPKEEP_REWRITE, i, i);
		return true;
	}
	return false;
}

/* b begins where a ends. */
static bool adjoins(const struct segment *a, const struct segment *b)
{
	return a->upto && b->after && strcmp(a->upto, b->after) == 0;
}

static bool is_small(const struct segment *s, const struct upkeep_rules *rules)
{
	return s->state == SEGMENT_LIVE && !s->adopted && 2 * s->rows < rules->segment_rows;
}

/*
 * The neighbours from the oldest one on that is no greater than all younger ones together: so sizes
 * double from each to the next older one, there are few, and a vector is built in again a few times
 * only. Three at least, so that a merge is worth its work.
 */
static bool find_small(const struct search_view *v, const struct upkeep_rules *rules,
		       struct upkeep_plan *found)
{
	const struct segment *younger = NULL;
	int64_t rows = 0;
	size_t n = 0, last = 0;
	bool any = false;
	for (size_t i = v->nsegments; i-- > 0;) {
		const struct segment *s = &v->segments[i];
		if (s->state == SEGMENT_DEAD)
			continue;
		if (!is_small(s, rules) || (n > 0 && !adjoins(s, younger)))
			n = 0;
		if (!is_small(s, rules))
			continue;
		if (n == 0)
			rows = 0, last = i;
		bool fit = rows + s->rows <= MIN(rules->merge_rows, rules->segment_rows);
		if (n + 1 >= MERGE_LEAST && s->rows <= rows && fit) {
			*found = plan(UPKEEP_REWRITE, i, last);
			any = true;
		}
		rows += s->rows;
		younger = s;
		n++;
	}
	return any;
}

/*
 * A rest that is not worth a graph goes with it. all: each row is built in once, whatever searches
 * pay meanwhile.
 */
static int64_t piece_of(int64_t tail, const struct upkeep_rules *rules)
{
	int64_t piece = rules->all ? tail : 2 * rules->tail_rows;
	return MIN(tail - piece < rules->tail_rows ? tail : piece, rules->segment_rows);
}

struct upkeep_plan upkeep_decide(const struct search_view *v, const struct upkeep_rules *rules)
{
	struct upkeep_plan found = {0};
	if (!v->exists)
		return plan(UPKEEP_NONE, 0, 0);
	if (v->foreign)
		return find_dead(v, &found) ? found
					    : plan(v->sealed ? UPKEEP_RESET : UPKEEP_NONE, 0, 0);
	if (!v->indexed)
		return plan(UPKEEP_INDEX, 0, 0);
	if (find_built(v, &found) || find_lost(v, &found) || find_dead(v, &found))
		return found;
	if (v->tail >= rules->tail_rows || (rules->all && v->tail > 0))
		return (struct upkeep_plan){.step = UPKEEP_SEAL, .rows = piece_of(v->tail, rules)};
	if (!v->adopted)
		return plan(UPKEEP_ADOPT, 0, 0);
	if (rules->rests && (find_stale(v, rules, &found) || find_small(v, rules, &found)))
		return found;
	return plan(UPKEEP_NONE, 0, 0);
}

const char *upkeep_step_name(enum upkeep_step step)
{
	switch (step) {
	case UPKEEP_NONE:
		return "nothing";
	case UPKEEP_RESET:
		return "reset";
	case UPKEEP_INDEX:
		return "index";
	case UPKEEP_PUBLISH:
		return "publish";
	case UPKEEP_SEAL:
		return "seal";
	case UPKEEP_ADOPT:
		return "adopt";
	case UPKEEP_REWRITE:
		return "rewrite";
	case UPKEEP_DROP:
		return "drop";
	}
	return "?";
}

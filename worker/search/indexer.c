/*
 * indexer.c - a thread that keeps the segments of searches.
 *
 *   every second, for each search:  look --> gauges
 *                                   decide (upkeep.c) --> do (seal.c), with the database's one lock
 *
 * Each worker looks, so each one's metrics are true; whoever gets the lock does a step and lets go
 * of it, so workers and "memingest index" take turns. After a step comes the next one at once, as
 * long as there is something to do. While ingest waits for PostgreSQL a build gets one core and
 * rests four times as long as it has worked, so as to cost ingest a tenth at most.
 *
 * Not here: what is right to do (upkeep.c) and how (seal.c).
 *
 * Thread: its own, and a session of its own. The stop descriptor ends whatever it waits for, also a
 * build. Failures: logged when they are new, tried again in ten seconds; searches are slower
 * meanwhile, and right.
 */
#include "search/indexer.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/beat.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/stats.h"
#include "base/thread.h"
#include "io/pg_login.h"
#include "io/wait.h"

#define LOOK_US US_PER_S
#define FAILED_US (10 * US_PER_S)
#define COUNT_STALE_US (60 * US_PER_S)
#define BEHIND_RESTS 4
#define TAILS_MEANWHILE 4     /* a merge may last until the tail is this many times tail_rows */
#define ROW_US 1000           /* to build a row in, until it is known */
#define GROWTH_LOOKS 10       /* over which the growth of a tail is averaged */
#define WAIT_MOST_US US_PER_S /* or it would miss its beat */

/* What the gauges show: of a stream with several searches the sum, and the greatest age. */
struct search_sizes {
	int64_t tail, tail_age_s, segments, sealed, stale;
};

/* A search of a table, once, whatever number of streams fill it. */
struct search_table {
	const struct stream *stream;
	const struct searchsql *sql;
	struct search_sizes sizes; /* as last seen */
	int64_t count_due_us;
	size_t count_next;         /* the segment whose stale rows are counted next */
	int64_t tail, seen_us;     /* as last looked at */
	double rows_s;             /* by which the tail grows in a second, about */
	double row_us;             /* what a row in a segment has taken lately; 0: none was built */
	char error[ERR_TEXT_SIZE]; /* of the last failure, empty after a success */
};

struct indexer {
	const struct config *config;
	struct search_table *tables;
	size_t ntables;
	pthread_t thread;
	int stop_fd;
	/* The thread's own. */
	struct pg *pg; /* NULL: there is none */
	int64_t due_us;
	bool behind;                 /* ingest is, */
	int64_t looked_us, stood_us; /* as found then, by how long it had stood still in all */
};

/* A graph that does not fit into memory would be built several times as slowly. */
static int64_t segment_rows(const struct config *config, const struct searchsql *sql)
{
	int64_t fit = (int64_t)config->index_memory / searchsql_row_bytes(sql);
	return MAX(MIN(fit, (int64_t)config->index_segment_rows), (int64_t)1);
}

struct upkeep_rules indexer_rules(const struct config *config, const struct searchsql *sql)
{
	return (struct upkeep_rules){.segment_rows = segment_rows(config, sql),
				     .tail_rows = config->index_tail_rows,
				     .stale_share = config->index_stale_share,
				     .merge_rows = INT64_MAX};
}

struct seal_means indexer_means(const struct config *config, const struct searchsql *sql)
{
	return (struct seal_means){.memory = (int64_t)config->index_memory,
				   .cores = config->index_cores,
				   .segment_rows = segment_rows(config, sql),
				   .logged = config->index_logged};
}

bool indexer_is_time(const struct config *config, int64_t wall_us, bool idle)
{
	int64_t from = config->index_from_us, until = config->index_until_us,
		now = wall_us % (INT64_C(24) * 3600 * US_PER_S);
	switch (config->index_when) {
	case INDEX_ALWAYS:
		return true;
	case INDEX_IDLE:
		return idle;
	case INDEX_WINDOW:
		return from <= until ? now >= from && now < until : now >= from || now < until;
	case INDEX_NEVER:
		return false;
	}
	return false;
}

/*
 * Intake stood still for batches or memory in a tenth of the time since the last look: it is the
 * database that holds ingest up.
 */
static void look_at_ingest(struct indexer *ix)
{
	int64_t now = clock_mono_us(), stood = stats_sum(METRIC_BACKPRESSURE_SECONDS);
	if (now - ix->looked_us < LOOK_US)
		return;
	ix->behind = 10 * (stood - ix->stood_us) > now - ix->looked_us;
	ix->looked_us = now;
	ix->stood_us = stood;
}

static bool is_idle(void)
{
	return stats_sum(METRIC_BATCHES_IN_FLIGHT) == 0;
}

/* --- failures --- */

/* What was given up for it has not failed. */
static bool told_to_stop(const struct indexer *ix)
{
	return wait_fd(-1, 0, ix->stop_fd, 0) == WAIT_ABORTED;
}

static void failed(struct indexer *ix, struct search_table *t, const struct err *err)
{
	size_t stream = t->stream->index;
	if (told_to_stop(ix))
		return;
	ix->due_us = clock_mono_us() + FAILED_US;
	stats_add(METRIC_SEARCH_FAILURES, stream, 0, 1);
	if (strcmp(t->error, err->text) == 0)
		return;
	snprintf(t->error, sizeof(t->error), "%s", err->text);
	if (strcmp(err->code, "42501") == 0)
		log_error("the search is not kept: this role lacks a right; see \"memingest migrate"
			  " --grants ROLE\"",
			  F_STR("stream", t->stream->config->name), F_STR("error", err->text));
	else
		log_error(
			"the search is not kept, will try again; searches read more rows meanwhile",
			F_STR("stream", t->stream->config->name), F_STR("error", err->text));
}

/* --- a table --- */

static struct search_sizes sizes_of(const struct search_view *v)
{
	struct search_sizes sizes = {.tail = v->tail, .tail_age_s = v->tail_age_s};
	for (size_t i = 0; i < v->nsegments; i++) {
		if (v->segments[i].state != SEGMENT_LIVE)
			continue;
		sizes.segments++;
		sizes.sealed += v->segments[i].rows;
		sizes.stale += v->segments[i].stale;
	}
	return sizes;
}

static void show(const struct indexer *ix, const struct stream *s)
{
	struct search_sizes all = {0};
	for (size_t i = 0; i < ix->ntables; i++) {
		const struct search_sizes *one = &ix->tables[i].sizes;
		if (ix->tables[i].stream != s)
			continue;
		all.tail += one->tail;
		all.tail_age_s = MAX(all.tail_age_s, one->tail_age_s);
		all.segments += one->segments;
		all.sealed += one->sealed;
		all.stale += one->stale;
	}
	stats_set(METRIC_SEARCH_UNINDEXED, s->index, 0, all.tail);
	stats_set(METRIC_SEARCH_UNINDEXED_AGE, s->index, 0, all.tail_age_s * US_PER_S);
	stats_set(METRIC_SEARCH_SEGMENTS, s->index, 0, all.segments);
	stats_set(METRIC_SEARCH_SEALED, s->index, 0, all.sealed);
	stats_set(METRIC_SEARCH_STALE, s->index, 0, all.stale);
}

/* One segment a minute: what is stale shows in no cheaper way. */
static bool count_stale(struct indexer *ix, struct search_table *t, struct search_view *v,
			struct err *err)
{
	if (clock_mono_us() < t->count_due_us || v->nsegments == 0)
		return true;
	struct segment *s = &v->segments[t->count_next++ % v->nsegments];
	t->count_due_us = clock_mono_us() + COUNT_STALE_US;
	return s->state != SEGMENT_LIVE || !s->exists || seal_count_stale(ix->pg, t->sql, s, err);
}

static bool take_step(struct indexer *ix, struct search_table *t, struct search_view *v,
		      const struct upkeep_plan *plan, struct err *err)
{
	struct seal_means means = indexer_means(ix->config, t->sql);
	struct seal_done done;
	if (ix->behind)
		means.cores = 1;
	if (!seal_do(ix->pg, t->sql, v, plan, &means, &done, err))
		return false;
	stats_add(METRIC_SEARCH_BUILT, t->stream->index, 0, done.rows);
	if (done.rows > 0) {
		t->row_us = (double)done.took_us / (double)done.rows;
		stats_observe(METRIC_SEARCH_BUILD_SECONDS, t->stream->index, done.took_us);
		log_info("segment of a search built", F_STR("stream", t->stream->config->name),
			 F_STR("step", upkeep_step_name(plan->step)), F_INT("rows", done.rows),
			 F_REAL("took_s", (double)done.took_us / (double)US_PER_S));
	}
	ix->due_us = clock_mono_us() + (ix->behind ? BEHIND_RESTS * done.took_us : 0);
	return true;
}

/* About, as another worker may have sealed meanwhile: then it has not grown, which says nothing. */
static void look_at_growth(struct search_table *t, const struct search_view *v)
{
	int64_t now = clock_mono_us(), took = now - t->seen_us;
	if (v->tail >= t->tail && t->seen_us > 0 && took > 0) {
		double rate = (double)(v->tail - t->tail) * (double)US_PER_S / (double)took;
		t->rows_s += (rate - t->rows_s) / GROWTH_LOOKS;
	}
	t->tail = v->tail;
	t->seen_us = now;
}

/* As many rows as are built while the tail grows by TAILS_MEANWHILE of those that are sealed. */
static int64_t merge_most(const struct search_table *t, const struct upkeep_rules *rules)
{
	double row_us = t->row_us > 0 ? t->row_us : ROW_US,
	       meanwhile = TAILS_MEANWHILE * (double)rules->tail_rows,
	       most = meanwhile * (double)US_PER_S / MAX(t->rows_s * row_us, 1e-3);
	return most < 1e9 ? (int64_t)most : INT64_MAX;
}

static bool decide(struct indexer *ix, struct search_table *t, struct search_view *v,
		   struct err *err)
{
	struct upkeep_rules rules = indexer_rules(ix->config, t->sql);
	bool mine = false, ok;
	if (!indexer_is_time(ix->config, clock_wall_us(), is_idle()))
		return true;
	rules.rests = !ix->behind;
	rules.merge_rows = merge_most(t, &rules);
	if (upkeep_decide(v, &rules).step == UPKEEP_NONE && clock_mono_us() < t->count_due_us)
		return true;
	if (!seal_lock(ix->pg, &mine, err))
		return false;
	if (!mine)
		return true;
	search_view_clear(v); /* it may be of before another's step */
	ok = seal_look(ix->pg, t->sql, v, err) && count_stale(ix, t, v, err);
	struct upkeep_plan plan = upkeep_decide(v, &rules);
	if (ok && plan.step != UPKEEP_NONE)
		ok = take_step(ix, t, v, &plan, err);
	struct err ignored = {0};
	return seal_unlock(ix->pg, ok ? err : &ignored) && ok;
}

static void look_after(struct indexer *ix, struct search_table *t)
{
	struct search_view v;
	struct err err = {0};
	bool ok = seal_look(ix->pg, t->sql, &v, &err);
	if (ok) {
		t->sizes = sizes_of(&v);
		show(ix, t->stream);
		look_at_growth(t, &v);
		ok = decide(ix, t, &v, &err);
		search_view_clear(&v);
	}
	if (ok)
		t->error[0] = '\0';
	else
		failed(ix, t, &err);
}

/* --- the thread --- */

static bool connect(struct indexer *ix)
{
	struct err err = {0};
	int64_t due_us = 0;
	if (ix->pg && pg_ok(ix->pg))
		return true;
	pg_free(ix->pg);
	ix->pg = pg_login(ix->config, "indexer", ix->stop_fd, &due_us, &err);
	if (ix->pg && seal_prepare(ix->pg, &err))
		return true;
	pg_free(ix->pg);
	ix->pg = NULL;
	if (due_us > 0)
		ix->due_us = due_us; /* nobody is let in, which has been said */
	else
		failed(ix, &ix->tables[0], &err);
	return false;
}

static bool is_stopped(struct indexer *ix, size_t beats)
{
	for (;;) {
		int64_t now = clock_mono_us();
		beat(beats);
		if (wait_fd(-1, 0, ix->stop_fd, MIN(ix->due_us, now + WAIT_MOST_US)) ==
		    WAIT_ABORTED)
			return true;
		if (clock_mono_us() >= ix->due_us)
			return false;
	}
}

static void *indexer_main(void *arg)
{
	struct indexer *ix = arg;
	size_t beats = beat_join("indexer");
	while (!is_stopped(ix, beats)) {
		ix->due_us = clock_mono_us() + LOOK_US;
		beat_rest(beats);
		look_at_ingest(ix);
		if (!connect(ix))
			continue;
		for (size_t i = 0; i < ix->ntables && pg_ok(ix->pg); i++)
			look_after(ix, &ix->tables[i]);
	}
	pg_free(ix->pg);
	beat_leave(beats);
	return NULL;
}

static bool has_search(const struct indexer *ix, const struct searchsql *sql)
{
	for (size_t i = 0; i < ix->ntables; i++)
		if (strcmp(ix->tables[i].sql->key, sql->key) == 0)
			return true;
	return false;
}

static void add_searches(struct indexer *ix, const struct stream *s)
{
	for (size_t i = 0; i < s->table->nsearches; i++)
		if (!has_search(ix, s->searches[i]))
			ix->tables[ix->ntables++] =
				(struct search_table){.stream = s, .sql = s->searches[i]};
}

struct indexer *indexer_start(const struct config *config, struct stream *const *streams,
			      size_t nstreams)
{
	struct indexer *ix = xcalloc(1, sizeof(*ix));
	ix->config = config;
	ix->tables = xcalloc(nstreams * TABLE_SEARCHES_MOST + 1, sizeof(*ix->tables));
	for (size_t i = 0; i < nstreams; i++)
		add_searches(ix, streams[i]);
	if (ix->ntables == 0) {
		free(ix->tables);
		free(ix);
		return NULL;
	}
	ix->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (ix->stop_fd < 0)
		die_without("eventfd", errno, "raise the limit of open files (ulimit -n)");
	thread_start(&ix->thread, indexer_main, ix);
	return ix;
}

void indexer_stop(struct indexer *ix)
{
	uint64_t one = 1;
	if (!ix)
		return;
	if (write(ix->stop_fd, &one, sizeof(one)) < 0)
		log_warn("the indexer is not told to stop");
	pthread_join(ix->thread, NULL);
	close(ix->stop_fd);
	free(ix->tables);
	free(ix);
}

/*
 * status.c - hands the poll thread's facts to the HTTP thread.
 *
 *   poll thread                                    HTTP thread
 *   status_publish: deep copy -> snapshot          take: newest, users + 1
 *     lock; newest <-> snapshot; unlock            render (no lock held)
 *     old one: users - 1, freed by the last        drop: users - 1, freed by the last
 *
 * The lock is held for the swap of a pointer, so a slow client, or a scrape of ten thousand
 * partitions, never holds up the poll thread. A snapshot is immutable and owns all it shows (one
 * arena), so nothing of the pipeline's can be freed under the HTTP thread.
 *
 * librdkafka's statistics are kept as text, one copy, the newest; a scrape copies it and parses.
 * Most texts are never read.
 *
 * /livez looks at the heartbeats alone (base/beat.h), never at Kafka or PostgreSQL: restarting a
 * worker does not mend a database. /readyz looks at the snapshot; a snapshot that is old (the poll
 * thread hangs) is not ready either. A partition that is halted or waits, or a topic that is
 * missing, leaves a worker ready, as it works on the others and no other worker would do better;
 * /readyz/strict says no for these, too.
 *
 * Rendering is in status_render.c (Prometheus) and status_json.c (people).
 */
#include "show/status.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/beat.h"
#include "base/clock.h"
#include "base/stats.h"
#include "show/status_parts.h"
#include "show/troubles.h"

#define SNAPSHOT_MAX_US (30 * US_PER_S)

struct status {
	const struct config *config; /* borrowed */
	struct libraries libraries;  /* borrowed */
	struct snapshot *previous;   /* poll thread: a user of the newest */

	pthread_mutex_t lock; /* guards what follows, and every snapshot's users */
	struct snapshot *newest;
	struct buf statistics;
};

/* A contract: labels and readers of /status know these words. */
const char *worker_state_name(enum worker_state state)
{
	static const char *const names[] = {
		[WORKER_STARTING] = "starting", [WORKER_STANDBY] = "standby",
		[WORKER_RUNNING] = "running",   [WORKER_DRAINING] = "draining",
		[WORKER_STOPPED] = "stopped",
	};
	_Static_assert(ARRAY_LEN(names) == WORKER_STATE_COUNT, "names of enum worker_state");
	return names[state];
}

/* The library versions are asked for by the caller, who links them. */
struct status *status_new(const struct config *config, const char *librdkafka, const char *libpq)
{
	struct status *s = xcalloc(1, sizeof(*s));
	s->config = config;
	s->libraries = (struct libraries){.librdkafka = librdkafka, .libpq = libpq};
	pthread_mutex_init(&s->lock, NULL);
	troubles_begin();
	return s;
}

/* --- snapshots --- */

/* Whoever takes it drops it. */
static struct snapshot *take(struct status *s)
{
	pthread_mutex_lock(&s->lock);
	struct snapshot *snapshot = s->newest;
	if (snapshot != NULL)
		snapshot->users++;
	pthread_mutex_unlock(&s->lock);
	return snapshot;
}

/* snapshot NULL: nothing was published yet. */
static struct view look(struct status *s)
{
	return (struct view){.snapshot = take(s), .libraries = &s->libraries, .config = s->config};
}

/* The last of its users frees it. */
static void drop(struct status *s, const struct snapshot *taken)
{
	struct snapshot *snapshot = (struct snapshot *)taken; /* const was for the renderers */
	if (snapshot == NULL)
		return;
	pthread_mutex_lock(&s->lock);
	bool last = --snapshot->users == 0;
	pthread_mutex_unlock(&s->lock);
	if (last)
		arena_free(snapshot->arena);
}

/* One copy of texts that many partitions share in a row, as topics and streams do. */
static const char *copy_text(struct arena *a, const char *text, const char *previous)
{
	if (text == NULL || text[0] == '\0')
		return NULL;
	return previous != NULL && strcmp(text, previous) == 0 ? previous : arena_strdup(a, text);
}

/* Names repeat from one to the next, and are then stored once. */
static void copy_partitions(struct snapshot *to, const struct status_facts *from)
{
	struct arena *a = to->arena;
	struct status_partition *copy = arena_calloc(a, MAX(from->npartitions, 1), sizeof(*copy));
	static const struct status_partition none;
	const struct status_partition *previous = &none;
	for (size_t i = 0; i < from->npartitions; i++) {
		const struct status_partition *p = &from->partitions[i];
		copy[i] = *p;
		copy[i].stream = copy_text(a, p->stream, previous->stream);
		copy[i].topic = copy_text(a, p->topic, previous->topic);
		copy[i].state = copy_text(a, p->state, previous->state);
		copy[i].paused = copy_text(a, p->paused, previous->paused);
		copy[i].error = copy_text(a, p->error, previous->error);
		previous = &copy[i];
	}
	to->facts.partitions = copy;
}

static void copy_lanes(struct snapshot *to, const struct status_facts *from)
{
	struct status_lane *copy = arena_calloc(to->arena, MAX(from->nlanes, 1), sizeof(*copy));
	for (size_t i = 0; i < from->nlanes; i++) {
		copy[i] = from->lanes[i];
		copy[i].state = copy_text(to->arena, from->lanes[i].state, NULL);
		copy[i].phase = copy_text(to->arena, from->lanes[i].phase, NULL);
		copy[i].stream = copy_text(to->arena, from->lanes[i].stream, NULL);
		copy[i].error = copy_text(to->arena, from->lanes[i].error, NULL);
	}
	to->facts.lanes = copy;
}

static void copy_searches(struct snapshot *to, const struct status_facts *from)
{
	struct status_search *copy =
		arena_calloc(to->arena, MAX(from->nsearches, 1), sizeof(*copy));
	for (size_t i = 0; i < from->nsearches; i++) {
		copy[i].stream = copy_text(to->arena, from->searches[i].stream, NULL);
		copy[i].state = copy_text(to->arena, from->searches[i].state, NULL);
	}
	to->facts.searches = copy;
}

static void copy_models(struct snapshot *to, const struct status_facts *from)
{
	struct status_model *copy = arena_calloc(to->arena, MAX(from->nmodels, 1), sizeof(*copy));
	for (size_t i = 0; i < from->nmodels; i++) {
		copy[i] = from->models[i];
		copy[i].name = copy_text(to->arena, from->models[i].name, NULL);
		copy[i].state = copy_text(to->arena, from->models[i].state, NULL);
		copy[i].error = copy_text(to->arena, from->models[i].error, NULL);
	}
	to->facts.models = copy;
}

static void copy_missing(struct snapshot *to, const struct status_facts *from, size_t nstreams)
{
	const char **copy = arena_calloc(to->arena, nstreams + 1, sizeof(*copy));
	for (size_t i = 0; from->missing && i < nstreams; i++)
		copy[i] = copy_text(to->arena, from->missing[i], NULL);
	to->facts.missing = copy;
}

static bool same_partition(const struct status_partition *a, const struct status_partition *b)
{
	return a->partition == b->partition && a->topic != NULL && b->topic != NULL &&
	       strcmp(a->topic, b->topic) == 0;
}

/* The partition's index in the snapshot before: nearly always the same as now. */
static bool find_before(const struct snapshot *before, const struct status_partition *p,
			size_t guess, size_t *found)
{
	if (before == NULL)
		return false;
	size_t n = before->facts.npartitions;
	for (size_t i = 0; i < n; i++) {
		*found = (guess + i) % n;
		if (same_partition(&before->facts.partitions[*found], p))
			return true;
	}
	return false;
}

/* What was behind before keeps its time; what was not known is marked as such. */
static void note_behind(struct snapshot *now, const struct snapshot *before)
{
	now->behind =
		arena_calloc(now->arena, MAX(now->facts.npartitions, 1), sizeof(struct behind));
	for (size_t i = 0; i < now->facts.npartitions; i++) {
		size_t j;
		if (lag_records(&now->facts.partitions[i]) <= 0)
			continue;
		bool found = find_before(before, &now->facts.partitions[i], i, &j);
		int64_t lag_before = found ? lag_records(&before->facts.partitions[j]) : -1;
		now->behind[i] = lag_before > 0 ? before->behind[j]
						: (struct behind){clock_wall_us(), lag_before < 0};
	}
}

/* Copied outside the lock, swapped within. */
void status_publish(struct status *s, const struct status_facts *facts)
{
	struct arena *a = arena_new();
	struct snapshot *fresh = arena_calloc(a, 1, sizeof(*fresh));
	fresh->arena = a;
	fresh->users = 2; /* newest and previous */
	fresh->taken_us = clock_mono_us();
	fresh->facts = *facts;
	copy_partitions(fresh, facts);
	copy_lanes(fresh, facts);
	copy_searches(fresh, facts);
	copy_models(fresh, facts);
	copy_missing(fresh, facts, s->config->nstreams);
	note_behind(fresh, s->previous);

	pthread_mutex_lock(&s->lock);
	struct snapshot *old = s->newest;
	s->newest = fresh;
	pthread_mutex_unlock(&s->lock);
	drop(s, old);
	drop(s, s->previous);
	s->previous = fresh;
}

void status_statistics(struct status *s, const char *json, size_t len)
{
	pthread_mutex_lock(&s->lock);
	s->statistics.len = 0;
	buf_put(&s->statistics, json, len);
	pthread_mutex_unlock(&s->lock);
}

/* After the HTTP thread has ended. */
void status_free(struct status *s)
{
	if (s == NULL)
		return;
	troubles_end();
	drop(s, s->newest);
	drop(s, s->previous);
	buf_free(&s->statistics);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* --- routes; HTTP thread --- */

/* librdkafka's text is copied under the lock and parsed outside. */
static unsigned serve_metrics(void *ctx, struct buf *body)
{
	struct status *s = ctx;
	struct buf statistics = {0};
	pthread_mutex_lock(&s->lock);
	buf_put(&statistics, s->statistics.data, s->statistics.len);
	pthread_mutex_unlock(&s->lock);
	struct view v = look(s);
	stats_expose(body);
	render_metrics(&v, (struct slice){statistics.data, statistics.len}, body);
	drop(s, v.snapshot);
	buf_free(&statistics);
	return 200;
}

static unsigned serve_status(void *ctx, struct buf *body)
{
	struct status *s = ctx;
	struct view v = look(s);
	render_status(&v, body);
	drop(s, v.snapshot);
	return 200;
}

void status_line(struct status *s, struct buf *out)
{
	struct view v = look(s);
	render_line(&v, out);
	drop(s, v.snapshot);
}

/* The body says why not; troubles that keep nobody from working stand behind "ok". */
static unsigned readyz(struct status *s, bool strict, struct buf *body)
{
	struct view v = look(s);
	struct buf troubles = {0};
	render_unready(v.snapshot, body);
	if (v.snapshot != NULL && clock_mono_us() - v.snapshot->taken_us > SNAPSHOT_MAX_US)
		buf_puts(body, "the poll thread has published nothing for 30 s\n");
	render_troubles(&v, &troubles);
	drop(s, v.snapshot);
	bool ready = body->len == 0 && !(strict && troubles.len > 0);
	if (ready)
		buf_puts(body, "ok\n");
	buf_put(body, troubles.data, troubles.len);
	buf_free(&troubles);
	return ready ? 200 : 503;
}

static unsigned serve_readyz(void *ctx, struct buf *body)
{
	return readyz(ctx, false, body);
}

static unsigned serve_readyz_strict(void *ctx, struct buf *body)
{
	return readyz(ctx, true, body);
}

static unsigned serve_version(void *ctx, struct buf *body)
{
	struct status *s = ctx;
	struct view v = look(s);
	render_version(&v, body);
	drop(s, v.snapshot);
	return 200;
}

/* All there are, each with its type. */
const struct httpd_route *status_routes(size_t *n)
{
	static const char text[] = "text/plain; charset=utf-8", json[] = "application/json";
	static const struct httpd_route routes[] = {
		{"/metrics", "text/plain; version=0.0.4; charset=utf-8", false, serve_metrics},
		{"/status", json, false, serve_status},
		{"/livez", text, true, beat_serve},
		{"/readyz", text, true, serve_readyz},
		{"/readyz/strict", text, true, serve_readyz_strict},
		{"/version", json, false, serve_version},
	};
	*n = ARRAY_LEN(routes);
	return routes;
}

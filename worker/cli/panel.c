/*
 * panel.c - draws the newest look at a fleet, with rates since the look before.
 *
 *   title        time, workers, what is halted, waits or has no topic, lag, rates
 *   WORKER       one line each; the share of time that its threads spend in each phase
 *   STREAM       summed over the workers
 *   SEARCH       of streams that are searched by nearness: what is in segments, and what is not
 *   LANE         what each is at
 *   PARTITION    those in trouble first, then the ones furthest behind (or these alone): as many
 *                as there is room for
 *   ERRORS       newest first, over all workers
 *
 * A rate needs two looks at the same process: after a restart, or a first look, it is "-". All
 * texts come from a server: what could steer a terminal is replaced, and lines are cut at the
 * width, counted in characters.
 *
 * A function of its arguments; no state, no input, no output.
 */
#include "cli/panel_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SHORT_PARTITIONS 10
#define SHORT_ERRORS 5

struct sums {
	double lag, age, in_flight, partitions;
	double in, out, superseded, dead, batches, dead_total;
};

static const struct sums no_sums = {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1};

/* Adds what a worker says of one stream, or of all (name NULL). */
static void add_streams(struct sums *s, const struct fleet_worker *w, const char *name)
{
	size_t i;
	json_t *now;
	json_array_foreach (json_object_get(w->now, "streams"), i, now) {
		if (name && strcmp(panel_text(now, "stream"), name) != 0)
			continue;
		const json_t *before = panel_find_stream(w->before, panel_text(now, "stream"));
		panel_add(&s->lag, panel_number(now, "lag_records"));
		s->age = MAX(s->age, panel_number(now, "lag_seconds"));
		panel_add(&s->in_flight, panel_number(now, "in_flight_records"));
		panel_add(&s->partitions, panel_number(now, "partitions"));
		panel_add(&s->in, panel_rate(w, now, before, "consumed"));
		panel_add(&s->out, panel_rate(w, now, before, "merged"));
		panel_add(&s->out, panel_rate(w, now, before, "superseded"));
		panel_add(&s->superseded, panel_rate(w, now, before, "superseded"));
		panel_add(&s->dead, panel_rate(w, now, before, "dead_letters"));
		panel_add(&s->batches, panel_rate(w, now, before, "batches"));
		panel_add(&s->dead_total, panel_number(now, "dead_letters"));
	}
}

/* --- title and workers --- */

static bool ready(const struct fleet_worker *w)
{
	return json_is_true(json_object_get(w->now, "ready"));
}

/* A stream is drawn with the first worker that has it. */
static bool drawn_before(const struct fleet *f, size_t worker, const char *name)
{
	for (size_t i = 0; i < worker; i++)
		if (panel_find_stream(f->workers[i].now, name))
			return true;
	return false;
}

static bool lacks_topic(const struct fleet *f, const char *name)
{
	for (size_t i = 0; i < f->n; i++)
		if (*panel_text(panel_find_stream(f->workers[i].now, name), "missing_topics"))
			return true;
	return false;
}

/* Halted: an operator must act. Waiting: for something else than its turn, which it names. */
static void count_partitions(struct panel_troubles *t, const struct fleet_worker *w)
{
	size_t i;
	json_t *p;
	json_array_foreach (panel_list(w->now, "partitions"), i, p) {
		bool halted = strcmp(panel_text(p, "state"), "halted") == 0;
		t->halted += halted;
		t->waiting += !halted && *panel_text(p, "error");
	}
}

struct panel_troubles panel_count_troubles(const struct fleet *f)
{
	struct panel_troubles t = {0};
	for (size_t i = 0; i < f->n; i++) {
		size_t k;
		json_t *stream;
		count_partitions(&t, &f->workers[i]);
		json_array_foreach (panel_list(f->workers[i].now, "streams"), k, stream) {
			const char *name = panel_text(stream, "stream");
			t.streams += !drawn_before(f, i, name) && lacks_topic(f, name);
		}
	}
	return t;
}

bool panel_is_troubled(const struct panel_troubles *t)
{
	return t->halted + t->waiting + t->streams > 0;
}

static void put_troubles(struct buf *out, const struct panel_troubles *t)
{
	const char *before = "  ";
	if (t->halted > 0)
		buf_printf(out, "%s%zu halted", before, t->halted);
	before = t->halted > 0 ? ", " : before;
	if (t->waiting > 0)
		buf_printf(out, "%s%zu waiting", before, t->waiting);
	before = t->waiting > 0 ? ", " : before;
	if (t->streams > 0)
		buf_printf(out, "%s%zu stream%s without a topic", before, t->streams,
			   t->streams == 1 ? "" : "s");
}

static void draw_title(struct panel *f)
{
	struct panel_troubles troubles = panel_count_troubles(f->fleet);
	struct sums all = no_sums;
	size_t nready = 0;
	char clock[16] = "";
	time_t now = time(NULL);
	struct tm tm;
	for (size_t i = 0; i < f->fleet->n; i++) {
		add_streams(&all, &f->fleet->workers[i], NULL);
		nready += ready(&f->fleet->workers[i]);
	}
	if (localtime_r(&now, &tm))
		strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	buf_printf(&f->line, "%s  %s  %zu of %zu ready", f->style->title, clock, nready,
		   f->fleet->n);
	put_troubles(&f->line, &troubles);
	buf_printf(&f->line, "  behind %s records, %s  dead letters %s",
		   panel_count_cell(all.lag).text, panel_time_cell(all.age).text,
		   panel_count_cell(all.dead_total).text);
	if (all.in >= 0)
		buf_printf(&f->line, "  in %s/s  out %s/s", panel_count_cell(all.in).text,
			   panel_count_cell(all.out).text);
	panel_end_line(f, troubles.halted + troubles.streams > 0 ? BAD
			  : troubles.waiting > 0                 ? WARN
								 : HEAD);
}

/* Share of the time of all threads of a kind that went into a stage. */
static double stage_share(const struct fleet_worker *w, const char *stage, size_t threads)
{
	double per_second = panel_rate(w, json_object_get(w->now, "busy_seconds"),
				       json_object_get(w->before, "busy_seconds"), stage);
	return per_second < 0 || threads == 0 ? -1 : MIN(per_second / (double)threads, 1);
}

static size_t connected_lanes(const json_t *lanes)
{
	size_t i, n = 0;
	json_t *lane;
	json_array_foreach ((json_t *)lanes, i, lane) {
		n += json_is_true(json_object_get(lane, "connected"));
	}
	return n;
}

/* One that does not answer has its reason instead. */
static void draw_worker(struct panel *f, const struct fleet_worker *w, int width)
{
	static const char *const stages[] = {"lane_fold", "lane_copy", "lane_merge", "lane_commit",
					     "lane_wait"};
	const json_t *lanes = panel_list(w->now, "lanes"),
		     *memory = json_object_get(w->now, "memory");
	struct sums s = no_sums;
	char on[24];
	buf_printf(&f->line, "%-*s", width, w->name);
	if (!w->now) {
		buf_printf(&f->line, "  %s", w->error);
		panel_end_line(f, BAD);
		return;
	}
	add_streams(&s, w, NULL);
	snprintf(on, sizeof(on), "%zu/%zu", connected_lanes(lanes), json_array_size(lanes));
	buf_printf(&f->line, "  %-8s  %6s  %6s  %5s  %8s  %6s  %8s  %8s  %4s  %5s",
		   panel_text(w->now, "state"),
		   panel_time_cell(panel_number(w->now, "time") - panel_number(w->now, "started"))
			   .text,
		   on, panel_count_cell(s.partitions).text, panel_count_cell(s.lag).text,
		   panel_time_cell(s.age).text, panel_count_cell(s.in).text,
		   panel_count_cell(s.out).text,
		   panel_share_cell(panel_number(memory, "batch_bytes") /
				    MAX(panel_number(memory, "limit_bytes"), 1))
			   .text,
		   panel_share_cell(stage_share(w, "poll", 1)).text);
	for (size_t i = 0; i < ARRAY_LEN(stages); i++)
		buf_printf(
			&f->line, "  %6s",
			panel_share_cell(stage_share(w, stages[i], json_array_size(lanes))).text);
	panel_end_line(f, ready(w) ? PLAIN : WARN);
	if (ready(w))
		return;
	buf_printf(&f->line, "  not ready: %s", panel_text(w->now, "unready"));
	panel_end_line(f, WARN);
}

static int name_width(const struct panel *f)
{
	int width = 6;
	for (size_t i = 0; i < f->fleet->n; i++)
		width = MAX(width, (int)strlen(f->fleet->workers[i].name));
	return MIN(width, 32);
}

static void draw_workers(struct panel *f)
{
	char head[256];
	int width = name_width(f);
	snprintf(head, sizeof(head),
		 "%-*s  %-8s  %6s  %6s  %5s  %8s  %6s  %8s  %8s  %4s  %5s  %6s  %6s  %6s  %6s  %6s",
		 width, "WORKER", "STATE", "UP", "LANES", "PARTS", "BEHIND", "AGE", "IN/S", "OUT/S",
		 "MEM", "POLL", "FOLD", "COPY", "MERGE", "COMMIT", "WAIT");
	panel_heading(f, head);
	for (size_t i = 0; i < f->fleet->n; i++)
		draw_worker(f, &f->fleet->workers[i], width);
}

/* --- streams and lanes --- */

static void draw_stream(struct panel *f, const char *name)
{
	struct sums s = no_sums;
	for (size_t i = 0; i < f->fleet->n; i++)
		add_streams(&s, &f->fleet->workers[i], name);
	buf_printf(&f->line, "%-20s  %5s  %8s  %6s  %9s  %8s  %8s  %12s  %6s  %7s  %8s", name,
		   panel_count_cell(s.partitions).text, panel_count_cell(s.lag).text,
		   panel_time_cell(s.age).text, panel_count_cell(s.in_flight).text,
		   panel_count_cell(s.in).text, panel_count_cell(s.out).text,
		   panel_count_cell(s.superseded).text, panel_count_cell(s.dead).text,
		   panel_count_cell(s.batches).text,
		   s.batches > 0 ? panel_count_cell(s.out / s.batches).text : "-");
	panel_end_line(f, s.dead > 0 ? WARN : PLAIN);
	for (size_t i = 0; i < f->fleet->n; i++) {
		const json_t *stream = panel_find_stream(f->fleet->workers[i].now, name);
		const char *missing = panel_text(stream, "missing_topics");
		if (!*missing)
			continue;
		buf_printf(&f->line, "  %s", missing);
		panel_end_line(f, BAD);
		return;
	}
}

static void draw_streams(struct panel *f)
{
	panel_heading(
		f, "STREAM                PARTS    BEHIND     AGE  IN FLIGHT      IN/S     OUT/S  "
		   "SUPERSEDED/S  DEAD/S  "
		   "BATCH/S  ROWS/BAT");
	for (size_t i = 0; i < f->fleet->n; i++) {
		size_t k;
		json_t *stream;
		json_array_foreach (json_object_get(f->fleet->workers[i].now, "streams"), k,
				    stream) {
			if (!drawn_before(f->fleet, i, panel_text(stream, "stream")))
				draw_stream(f, panel_text(stream, "stream"));
		}
	}
}

/* Of all workers: they see the same table, and the one that builds has not looked for a while. */
struct search_sums {
	const char *state, *error;
	double unindexed, age, segments, sealed, stale, built, failures;
};

/* The worst word wins. */
static int search_rank(const char *state)
{
	static const char *const words[] = {"off", "settled", "waiting", "building", "failing"};
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcmp(words[i], state) == 0)
			return (int)i;
	return -1;
}

static bool add_search(struct search_sums *s, const struct fleet_worker *w, const char *name)
{
	const json_t *now = json_object_get(panel_find_stream(w->now, name), "search"),
		     *before = json_object_get(panel_find_stream(w->before, name), "search");
	if (!json_is_object(now))
		return false;
	if (search_rank(panel_text(now, "state")) > search_rank(s->state)) {
		s->state = panel_text(now, "state");
		s->error = panel_text(now, "error");
	}
	s->unindexed = MAX(s->unindexed, panel_number(now, "unindexed_rows"));
	s->age = MAX(s->age, panel_number(now, "unindexed_seconds"));
	s->segments = MAX(s->segments, panel_number(now, "segments"));
	s->sealed = MAX(s->sealed, panel_number(now, "sealed_rows"));
	s->stale = MAX(s->stale, panel_number(now, "stale_rows"));
	panel_add(&s->built, panel_rate(w, now, before, "built_rows"));
	panel_add(&s->failures, panel_number(now, "failures"));
	return true;
}

/* False if the stream is not searched. */
static bool draw_search(struct panel *f, const char *name, bool head)
{
	struct search_sums s = {"", "", -1, -1, -1, -1, -1, -1, -1};
	bool any = false;
	for (size_t i = 0; i < f->fleet->n; i++)
		any |= add_search(&s, &f->fleet->workers[i], name);
	if (!any)
		return false;
	if (head)
		panel_heading(
			f, "SEARCH                UNINDEXED  OLDEST  SEGMENTS    SEALED  STALE   "
			   "BUILT/S  FAILED  STATE");
	buf_printf(&f->line, "%-20s  %9s  %6s  %8s  %8s  %5s  %8s  %6s  %s%s%s", name,
		   panel_count_cell(s.unindexed).text, panel_time_cell(s.age).text,
		   panel_count_cell(s.segments).text, panel_count_cell(s.sealed).text,
		   panel_share_cell(s.sealed > 0 ? s.stale / s.sealed : -1).text,
		   panel_count_cell(s.built).text, panel_count_cell(s.failures).text, s.state,
		   *s.error ? ": " : "", s.error);
	panel_end_line(f, strcmp(s.state, "failing") == 0 ? WARN : PLAIN);
	return true;
}

static void draw_searches(struct panel *f)
{
	bool head = true;
	for (size_t i = 0; i < f->fleet->n; i++) {
		size_t k;
		json_t *stream;
		json_array_foreach (json_object_get(f->fleet->workers[i].now, "streams"), k,
				    stream) {
			if (!drawn_before(f->fleet, i, panel_text(stream, "stream")) &&
			    draw_search(f, panel_text(stream, "stream"), head))
				head = false;
		}
	}
}

static void draw_lane(struct panel *f, const struct fleet_worker *w, const json_t *lane, int width)
{
	const char *error = panel_text(lane, "error");
	bool halted = strcmp(panel_text(lane, "state"), "halted") == 0;
	buf_printf(&f->line, "%-*s  %4.0f  %-10s  %-12s  %-20s  %7s  %6s  %4.0f  %9s  %5.0f  %s",
		   width, w->name, panel_number(lane, "lane"), panel_text(lane, "state"),
		   panel_text(lane, "phase"), panel_text(lane, "stream"),
		   panel_count_cell(panel_number(lane, "events")).text,
		   panel_time_cell(panel_number(lane, "seconds")).text, panel_number(lane, "jobs"),
		   panel_count_cell(panel_number(lane, "batches")).text,
		   panel_number(lane, "attempts"), error);
	panel_end_line(f, halted ? BAD : *error ? WARN : PLAIN);
}

static void draw_lanes(struct panel *f)
{
	char head[256];
	int width = name_width(f);
	snprintf(head, sizeof(head), "%-*s  LANE  %-10s  %-12s  %-20s  %7s  %6s  %4s  %9s  %5s  %s",
		 width, "WORKER", "STATE", "PHASE", "STREAM", "EVENTS", "FOR", "JOBS", "BATCHES",
		 "TRIES", "LAST ERROR");
	panel_heading(f, head);
	for (size_t i = 0; i < f->fleet->n; i++) {
		size_t k;
		json_t *lane;
		json_array_foreach (json_object_get(f->fleet->workers[i].now, "lanes"), k, lane) {
			draw_lane(f, &f->fleet->workers[i], lane, width);
		}
	}
}

/* --- partitions --- */

struct row {
	const struct fleet_worker *worker;
	const json_t *partition;
	double trouble, age, lag;
};

/* 2: an operator must act; 1: it does not go on by itself right now; 0: fine. */
static double trouble_of(const json_t *partition)
{
	if (strcmp(panel_text(partition, "state"), "halted") == 0)
		return 2;
	return strcmp(panel_text(partition, "state"), "active") != 0;
}

/* By name where all else is equal, so that lines stay. */
static int compare_names(const struct row *a, const struct row *b)
{
	int topic = strcmp(panel_text(a->partition, "topic"), panel_text(b->partition, "topic"));
	double pa = panel_number(a->partition, "partition"),
	       pb = panel_number(b->partition, "partition");
	return topic ? topic : (pa > pb) - (pa < pb);
}

static int compare_lag(const void *x, const void *y)
{
	const struct row *a = x, *b = y;
	if (a->lag != b->lag)
		return a->lag < b->lag ? 1 : -1;
	return compare_names(a, b);
}

/* Trouble first, then age, then how much. */
static int compare_rows(const void *x, const void *y)
{
	const struct row *a = x, *b = y;
	if (a->trouble != b->trouble)
		return a->trouble < b->trouble ? 1 : -1;
	if (a->age != b->age)
		return a->age < b->age ? 1 : -1;
	return compare_lag(a, b);
}

static size_t count_items(const struct fleet *f, const char *key)
{
	size_t total = 0;
	for (size_t i = 0; i < f->n; i++)
		total += json_array_size(panel_list(f->workers[i].now, key));
	return total;
}

/* The caller frees them. */
static size_t gather_rows(const struct panel *panel, struct row **rows)
{
	const struct fleet *f = panel->fleet;
	size_t n = 0;
	*rows = xcalloc(count_items(f, "partitions") + 1, sizeof(**rows));
	for (size_t i = 0; i < f->n; i++) {
		size_t k;
		json_t *p;
		json_array_foreach (json_object_get(f->workers[i].now, "partitions"), k, p) {
			(*rows)[n++] = (struct row){.worker = &f->workers[i],
						    .partition = p,
						    .trouble = trouble_of(p),
						    .age = panel_number(p, "lag_seconds"),
						    .lag = panel_number(p, "lag_records")};
		}
	}
	qsort(*rows, n, sizeof(**rows), panel->style->by_lag ? compare_lag : compare_rows);
	return n;
}

/*
 * The same partition in the look before: at the same place, or it moved and has no rate for once.
 */
static const json_t *partition_before(const struct row *row)
{
	const json_t *now = panel_list(row->worker->now, "partitions"),
		     *before = panel_list(row->worker->before, "partitions");
	for (size_t i = 0; i < json_array_size(now); i++) {
		const json_t *old = json_array_get(before, i);
		if (json_array_get(now, i) == row->partition)
			return panel_number(old, "partition") ==
						       panel_number(row->partition, "partition") &&
					       strcmp(panel_text(old, "topic"),
						      panel_text(row->partition, "topic")) == 0
				       ? old
				       : NULL;
	}
	return NULL;
}

/* With the reason, where it does not go on. */
static void draw_partition(struct panel *f, const struct row *row, int width)
{
	const json_t *p = row->partition;
	const char *paused = panel_text(p, "paused");
	buf_printf(
		&f->line, "%-28s  %4.0f  %-*s  %-9s  %4.0f  %12.0f  %12.0f  %8s  %6s  %8s  %s%s%s",
		panel_text(p, "topic"), panel_number(p, "partition"), width, row->worker->name,
		panel_text(p, "state"), panel_number(p, "lane"), panel_number(p, "next_offset"),
		panel_number(p, "high_watermark"), panel_count_cell(row->lag).text,
		panel_time_cell(row->age).text,
		panel_count_cell(panel_rate(row->worker, p, partition_before(row), "next_offset"))
			.text,
		paused, *paused && *panel_text(p, "error") ? ": " : "", panel_text(p, "error"));
	panel_end_line(f, row->trouble > 1 ? BAD : row->trouble > 0 ? WARN : PLAIN);
}

/* The last line says how many more there are. */
static void draw_partitions(struct panel *f, int room)
{
	char head[256];
	struct row *rows;
	int width = name_width(f);
	size_t n = gather_rows(f, &rows), shown = n;
	if (n > (size_t)MAX(room, 1))
		shown = (size_t)MAX(room - 1, 1);
	snprintf(head, sizeof(head), "%-28s  PART  %-*s  %-9s  LANE  %12s  %12s  %8s  %6s  %8s  %s",
		 "TOPIC", width, "WORKER", "STATE", "NEXT", "HIGH", "BEHIND", "AGE", "OFFSET/S",
		 "WHY");
	panel_heading(f, head);
	for (size_t i = 0; i < shown; i++)
		draw_partition(f, &rows[i], width);
	if (shown < n) {
		buf_printf(&f->line, "... and %zu partitions that are less behind", n - shown);
		panel_end_line(f, PLAIN);
	}
	free(rows);
}

/* --- errors --- */

struct trouble_row {
	const struct fleet_worker *worker;
	const json_t *trouble;
};

static int compare_troubles(const void *x, const void *y)
{
	double a = panel_number(((const struct trouble_row *)x)->trouble, "time");
	double b = panel_number(((const struct trouble_row *)y)->trouble, "time");
	return (a < b) - (a > b);
}

/* Newest first, over all workers. The caller frees them. */
static size_t gather_troubles(const struct fleet *f, struct trouble_row **rows)
{
	size_t n = 0;
	*rows = xcalloc(count_items(f, "errors") + 1, sizeof(**rows));
	for (size_t i = 0; i < f->n; i++) {
		size_t k;
		json_t *t;
		json_array_foreach (json_object_get(f->workers[i].now, "errors"), k, t) {
			(*rows)[n++] = (struct trouble_row){&f->workers[i], t};
		}
	}
	qsort(*rows, n, sizeof(**rows), compare_troubles);
	return n;
}

/* In local time, as people look at it. */
static void draw_trouble(struct panel *f, const struct trouble_row *row, int width)
{
	const json_t *t = row->trouble;
	char when[24] = "";
	time_t seconds = (time_t)panel_number(t, "time");
	struct tm tm;
	if (localtime_r(&seconds, &tm))
		strftime(when, sizeof(when), "%m-%d %H:%M:%S", &tm);
	buf_printf(&f->line, "%s  %-*s  %-5s  %4.0fx  ", when, width, row->worker->name,
		   panel_text(t, "level"), panel_number(t, "times"));
	buf_puts(&f->line, panel_text(t, "topic"));
	if (*panel_text(t, "topic") && panel_number(t, "partition") >= 0)
		buf_printf(&f->line, " [%.0f]", panel_number(t, "partition"));
	if (*panel_text(t, "topic") && panel_number(t, "offset") >= 0)
		buf_printf(&f->line, " offset %.0f", panel_number(t, "offset"));
	buf_printf(&f->line, "%s%s%s%s", *panel_text(t, "topic") ? ": " : "",
		   panel_text(t, "message"), *panel_text(t, "error") ? ": " : "",
		   panel_text(t, "error"));
	panel_end_line(f, strcmp(panel_text(t, "level"), "error") == 0 ? BAD : WARN);
}

static void draw_troubles(struct panel *f, const struct trouble_row *rows, size_t n)
{
	if (n == 0)
		return;
	panel_heading(f, "LAST WARNINGS AND ERRORS");
	for (size_t i = 0; i < n; i++)
		draw_trouble(f, &rows[i], name_width(f));
}

/* Errors have their place at the end, so partitions get what is left. */
void panel_draw(const struct fleet *fleet, const struct panel_style *style, struct buf *out)
{
	struct panel f = {.fleet = fleet, .style = style, .out = out};
	struct trouble_row *troubles;
	size_t all = gather_troubles(fleet, &troubles), n = MIN(all, (size_t)SHORT_ERRORS);
	draw_title(&f);
	draw_workers(&f);
	draw_streams(&f);
	draw_searches(&f);
	draw_lanes(&f);
	int below = n > 0 ? (int)n + 2 : 0;
	draw_partitions(&f,
			style->height > 0 ? style->height - f.lines - 2 - below : SHORT_PARTITIONS);
	draw_troubles(&f, troubles, n);
	free(troubles);
	buf_free(&f.line);
}

/*
 * panel.c - draws the newest look at a fleet, with rates since the look before.
 *
 *   title        time, workers, lag, rates
 *   WORKER       one line each; the share of time that its threads spend in each phase
 *   STREAM       summed over the workers
 *   SEARCH       of streams that are searched by nearness: what is in segments, and what is not
 *   LANE         what each is at
 *   PARTITION    those in trouble first, then the ones furthest behind: as many as there is room
 *                for
 *   ERRORS       newest first, over all workers
 *
 * A rate needs two looks at the same process: after a restart, or a first look, it is "-". All
 * texts come from a server: what could steer a terminal is replaced, and lines are cut at the
 * width, counted in characters.
 *
 * A function of its arguments; no state, no input, no output.
 */
#include "cli/panel.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SHORT_PARTITIONS 10
#define SHORT_ERRORS 5

enum tone { PLAIN, HEAD, GOOD, WARN, BAD };

struct panel {
	const struct fleet *fleet;
	const struct panel_style *style;
	struct buf *out;
	struct buf line; /* being put together */
	int lines;
};

/* --- lines --- */

/*
 * The next character of a line, made harmless: control characters (C0, C1, DEL) become a question
 * mark.
 */
static size_t put_character(struct buf *out, const unsigned char *s)
{
	size_t n = 1;
	while (*s >= 0xc0 && (s[n] & 0xc0) == 0x80)
		n++;
	bool control =
		*s < 0x20 || *s == 0x7f || (*s == 0xc2 && s[1] < 0xa0) || (*s >= 0x80 && *s < 0xc0);
	if (control)
		buf_u8(out, '?');
	else
		buf_put(out, s, n);
	return n;
}

/* Cuts at the width, counted in characters; colors are not counted. */
static void end_line(struct panel *f, enum tone tone)
{
	static const char *const codes[] = {[PLAIN] = NULL,
					    [HEAD] = "\033[1m",
					    [GOOD] = "\033[32m",
					    [WARN] = "\033[33m",
					    [BAD] = "\033[31m"};
	const char *code = f->style->color ? codes[tone] : NULL;
	const unsigned char *s = (const unsigned char *)buf_cstr(&f->line);
	size_t len = f->line.len;
	while (len > 0 && s[len - 1] == ' ')
		len--;
	buf_puts(f->out, code ? code : "");
	for (int width = 0;
	     (size_t)(s - f->line.data) < len && (f->style->width == 0 || width < f->style->width);
	     width++)
		s += put_character(f->out, s);
	buf_puts(f->out, code ? "\033[0m\n" : "\n");
	f->line.len = 0;
	f->lines++;
}

static void heading(struct panel *f, const char *text)
{
	end_line(f, PLAIN);
	buf_puts(&f->line, text);
	end_line(f, HEAD);
}

/* --- numbers for people --- */

struct cell {
	char text[24];
};

/* At most five characters. */
static struct cell count_cell(double n)
{
	static const char units[] = " kMGT";
	struct cell c;
	size_t unit = 0;
	if (n < 0)
		return (struct cell){"-"};
	if (n < 100000) {
		snprintf(c.text, sizeof(c.text), n < 10 && n != (double)(int)n ? "%.1f" : "%.0f",
			 n);
		return c;
	}
	while (n >= 1000 && unit + 2 < sizeof(units)) {
		n /= 1000;
		unit++;
	}
	snprintf(c.text, sizeof(c.text), n < 100 ? "%.1f%c" : "%.0f%c", n, units[unit]);
	return c;
}

static struct cell time_cell(double s)
{
	struct cell c;
	if (s < 0)
		return (struct cell){"-"};
	if (s < 10)
		snprintf(c.text, sizeof(c.text), "%.1fs", s);
	else if (s < 120)
		snprintf(c.text, sizeof(c.text), "%.0fs", s);
	else if (s < 7200)
		snprintf(c.text, sizeof(c.text), "%dm%02d", (int)s / 60, (int)s % 60);
	else if (s < 172800)
		snprintf(c.text, sizeof(c.text), "%dh%02d", (int)s / 3600, (int)s % 3600 / 60);
	else
		snprintf(c.text, sizeof(c.text), "%.0fd", s / 86400);
	return c;
}

static struct cell share_cell(double share)
{
	struct cell c = {"-"};
	if (share >= 0)
		snprintf(c.text, sizeof(c.text), "%.0f%%", share * 100);
	return c;
}

/* --- the documents --- */

static double number(const json_t *object, const char *member)
{
	const json_t *value = json_object_get(object, member);
	return json_is_number(value) ? json_number_value(value) : -1;
}

static const char *text(const json_t *object, const char *member)
{
	const char *value = json_string_value(json_object_get(object, member));
	return value ? value : "";
}

static const json_t *list(const json_t *object, const char *member)
{
	return json_object_get(object, member);
}

/* Seconds between the two looks at one process; 0: there are none. */
static double elapsed(const struct fleet_worker *w)
{
	if (!w->now || !w->before || number(w->now, "started") != number(w->before, "started"))
		return 0;
	return number(w->now, "time") - number(w->before, "time");
}

/* How fast the member of an object grows; -1 unknown. */
static double rate(const struct fleet_worker *w, const json_t *now, const json_t *before,
		   const char *member)
{
	double seconds = elapsed(w);
	if (seconds <= 0 || !now || !before)
		return -1;
	double to = number(now, member), from = number(before, member);
	return from < 0 || to < from ? -1 : (to - from) / seconds;
}

/* By name: workers may have different streams. */
static const json_t *find_stream(const json_t *document, const char *name)
{
	size_t i;
	json_t *stream;
	json_array_foreach (json_object_get(document, "streams"), i, stream) {
		if (strcmp(text(stream, "stream"), name) == 0)
			return stream;
	}
	return NULL;
}

/* Unknown is not added; a sum of unknowns is unknown. */
static void add(double *sum, double n)
{
	if (n >= 0)
		*sum = *sum < 0 ? n : *sum + n;
}

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
		if (name && strcmp(text(now, "stream"), name) != 0)
			continue;
		const json_t *before = find_stream(w->before, text(now, "stream"));
		add(&s->lag, number(now, "lag_records"));
		s->age = MAX(s->age, number(now, "lag_seconds"));
		add(&s->in_flight, number(now, "in_flight_records"));
		add(&s->partitions, number(now, "partitions"));
		add(&s->in, rate(w, now, before, "consumed"));
		add(&s->out, rate(w, now, before, "merged"));
		add(&s->out, rate(w, now, before, "superseded"));
		add(&s->superseded, rate(w, now, before, "superseded"));
		add(&s->dead, rate(w, now, before, "dead_letters"));
		add(&s->batches, rate(w, now, before, "batches"));
		add(&s->dead_total, number(now, "dead_letters"));
	}
}

/* --- title and workers --- */

static bool ready(const struct fleet_worker *w)
{
	return json_is_true(json_object_get(w->now, "ready"));
}

static void draw_title(struct panel *f)
{
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
	buf_printf(&f->line, "%s  %s  %zu of %zu ready  behind %s records, %s  dead letters %s",
		   f->style->title, clock, nready, f->fleet->n, count_cell(all.lag).text,
		   time_cell(all.age).text, count_cell(all.dead_total).text);
	if (all.in >= 0)
		buf_printf(&f->line, "  in %s/s  out %s/s", count_cell(all.in).text,
			   count_cell(all.out).text);
	end_line(f, HEAD);
}

/* Share of the time of all threads of a kind that went into a stage. */
static double stage_share(const struct fleet_worker *w, const char *stage, size_t threads)
{
	double per_second = rate(w, json_object_get(w->now, "busy_seconds"),
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
	const json_t *lanes = list(w->now, "lanes"), *memory = json_object_get(w->now, "memory");
	struct sums s = no_sums;
	char on[24];
	buf_printf(&f->line, "%-*s", width, w->name);
	if (!w->now) {
		buf_printf(&f->line, "  %s", w->error);
		end_line(f, BAD);
		return;
	}
	add_streams(&s, w, NULL);
	snprintf(on, sizeof(on), "%zu/%zu", connected_lanes(lanes), json_array_size(lanes));
	buf_printf(&f->line, "  %-8s  %6s  %6s  %5s  %8s  %6s  %8s  %8s  %4s  %5s",
		   text(w->now, "state"),
		   time_cell(number(w->now, "time") - number(w->now, "started")).text, on,
		   count_cell(s.partitions).text, count_cell(s.lag).text, time_cell(s.age).text,
		   count_cell(s.in).text, count_cell(s.out).text,
		   share_cell(number(memory, "batch_bytes") / MAX(number(memory, "limit_bytes"), 1))
			   .text,
		   share_cell(stage_share(w, "poll", 1)).text);
	for (size_t i = 0; i < ARRAY_LEN(stages); i++)
		buf_printf(&f->line, "  %6s",
			   share_cell(stage_share(w, stages[i], json_array_size(lanes))).text);
	end_line(f, ready(w) ? PLAIN : WARN);
	if (ready(w))
		return;
	buf_printf(&f->line, "  not ready: %s", text(w->now, "unready"));
	end_line(f, WARN);
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
	heading(f, head);
	for (size_t i = 0; i < f->fleet->n; i++)
		draw_worker(f, &f->fleet->workers[i], width);
}

/* --- streams and lanes --- */

/* A stream is drawn with the first worker that has it. */
static bool drawn_before(const struct panel *f, size_t worker, const char *name)
{
	for (size_t i = 0; i < worker; i++)
		if (find_stream(f->fleet->workers[i].now, name))
			return true;
	return false;
}

static void draw_stream(struct panel *f, const char *name)
{
	struct sums s = no_sums;
	for (size_t i = 0; i < f->fleet->n; i++)
		add_streams(&s, &f->fleet->workers[i], name);
	buf_printf(&f->line, "%-20s  %5s  %8s  %6s  %9s  %8s  %8s  %12s  %6s  %7s  %8s", name,
		   count_cell(s.partitions).text, count_cell(s.lag).text, time_cell(s.age).text,
		   count_cell(s.in_flight).text, count_cell(s.in).text, count_cell(s.out).text,
		   count_cell(s.superseded).text, count_cell(s.dead).text,
		   count_cell(s.batches).text,
		   s.batches > 0 ? count_cell(s.out / s.batches).text : "-");
	end_line(f, s.dead > 0 ? WARN : PLAIN);
}

static void draw_streams(struct panel *f)
{
	heading(f, "STREAM                PARTS    BEHIND     AGE  IN FLIGHT      IN/S     OUT/S  "
		   "SUPERSEDED/S  DEAD/S  "
		   "BATCH/S  ROWS/BAT");
	for (size_t i = 0; i < f->fleet->n; i++) {
		size_t k;
		json_t *stream;
		json_array_foreach (json_object_get(f->fleet->workers[i].now, "streams"), k,
				    stream) {
			if (!drawn_before(f, i, text(stream, "stream")))
				draw_stream(f, text(stream, "stream"));
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
	const json_t *now = json_object_get(find_stream(w->now, name), "search"),
		     *before = json_object_get(find_stream(w->before, name), "search");
	if (!json_is_object(now))
		return false;
	if (search_rank(text(now, "state")) > search_rank(s->state)) {
		s->state = text(now, "state");
		s->error = text(now, "error");
	}
	s->unindexed = MAX(s->unindexed, number(now, "unindexed_rows"));
	s->age = MAX(s->age, number(now, "unindexed_seconds"));
	s->segments = MAX(s->segments, number(now, "segments"));
	s->sealed = MAX(s->sealed, number(now, "sealed_rows"));
	s->stale = MAX(s->stale, number(now, "stale_rows"));
	add(&s->built, rate(w, now, before, "built_rows"));
	add(&s->failures, number(now, "failures"));
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
		heading(f, "SEARCH                UNINDEXED  OLDEST  SEGMENTS    SEALED  STALE   "
			   "BUILT/S  FAILED  STATE");
	buf_printf(&f->line, "%-20s  %9s  %6s  %8s  %8s  %5s  %8s  %6s  %s%s%s", name,
		   count_cell(s.unindexed).text, time_cell(s.age).text, count_cell(s.segments).text,
		   count_cell(s.sealed).text,
		   share_cell(s.sealed > 0 ? s.stale / s.sealed : -1).text,
		   count_cell(s.built).text, count_cell(s.failures).text, s.state,
		   *s.error ? ": " : "", s.error);
	end_line(f, strcmp(s.state, "failing") == 0 ? WARN : PLAIN);
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
			if (!drawn_before(f, i, text(stream, "stream")) &&
			    draw_search(f, text(stream, "stream"), head))
				head = false;
		}
	}
}

static void draw_lane(struct panel *f, const struct fleet_worker *w, const json_t *lane, int width)
{
	const char *error = text(lane, "error");
	bool halted = strcmp(text(lane, "state"), "halted") == 0;
	buf_printf(&f->line, "%-*s  %4.0f  %-10s  %-12s  %-20s  %7s  %6s  %4.0f  %9s  %5.0f  %s",
		   width, w->name, number(lane, "lane"), text(lane, "state"), text(lane, "phase"),
		   text(lane, "stream"), count_cell(number(lane, "events")).text,
		   time_cell(number(lane, "seconds")).text, number(lane, "jobs"),
		   count_cell(number(lane, "batches")).text, number(lane, "attempts"), error);
	end_line(f, halted ? BAD : *error ? WARN : PLAIN);
}

static void draw_lanes(struct panel *f)
{
	char head[256];
	int width = name_width(f);
	snprintf(head, sizeof(head), "%-*s  LANE  %-10s  %-12s  %-20s  %7s  %6s  %4s  %9s  %5s  %s",
		 width, "WORKER", "STATE", "PHASE", "STREAM", "EVENTS", "FOR", "JOBS", "BATCHES",
		 "TRIES", "LAST ERROR");
	heading(f, head);
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
	if (strcmp(text(partition, "state"), "halted") == 0)
		return 2;
	return strcmp(text(partition, "state"), "active") != 0;
}

/* Trouble first, then age, then how much; then by name, so that lines stay. */
static int compare_rows(const void *x, const void *y)
{
	const struct row *a = x, *b = y;
	if (a->trouble != b->trouble)
		return a->trouble < b->trouble ? 1 : -1;
	if (a->age != b->age)
		return a->age < b->age ? 1 : -1;
	if (a->lag != b->lag)
		return a->lag < b->lag ? 1 : -1;
	int topic = strcmp(text(a->partition, "topic"), text(b->partition, "topic"));
	double pa = number(a->partition, "partition"), pb = number(b->partition, "partition");
	return topic ? topic : (pa > pb) - (pa < pb);
}

static size_t count_items(const struct fleet *f, const char *key)
{
	size_t total = 0;
	for (size_t i = 0; i < f->n; i++)
		total += json_array_size(list(f->workers[i].now, key));
	return total;
}

/* The caller frees them. */
static size_t gather_rows(const struct fleet *f, struct row **rows)
{
	size_t n = 0;
	*rows = xcalloc(count_items(f, "partitions") + 1, sizeof(**rows));
	for (size_t i = 0; i < f->n; i++) {
		size_t k;
		json_t *p;
		json_array_foreach (json_object_get(f->workers[i].now, "partitions"), k, p) {
			(*rows)[n++] = (struct row){.worker = &f->workers[i],
						    .partition = p,
						    .trouble = trouble_of(p),
						    .age = number(p, "lag_seconds"),
						    .lag = number(p, "lag_records")};
		}
	}
	qsort(*rows, n, sizeof(**rows), compare_rows);
	return n;
}

/*
 * The same partition in the look before: at the same place, or it moved and has no rate for once.
 */
static const json_t *partition_before(const struct row *row)
{
	const json_t *now = list(row->worker->now, "partitions"),
		     *before = list(row->worker->before, "partitions");
	for (size_t i = 0; i < json_array_size(now); i++) {
		const json_t *old = json_array_get(before, i);
		if (json_array_get(now, i) == row->partition)
			return number(old, "partition") == number(row->partition, "partition") &&
					       strcmp(text(old, "topic"),
						      text(row->partition, "topic")) == 0
				       ? old
				       : NULL;
	}
	return NULL;
}

/* With the reason, where it does not go on. */
static void draw_partition(struct panel *f, const struct row *row, int width)
{
	const json_t *p = row->partition;
	const char *paused = text(p, "paused");
	buf_printf(&f->line,
		   "%-28s  %4.0f  %-*s  %-9s  %4.0f  %12.0f  %12.0f  %8s  %6s  %8s  %s%s%s",
		   text(p, "topic"), number(p, "partition"), width, row->worker->name,
		   text(p, "state"), number(p, "lane"), number(p, "next_offset"),
		   number(p, "high_watermark"), count_cell(row->lag).text, time_cell(row->age).text,
		   count_cell(rate(row->worker, p, partition_before(row), "next_offset")).text,
		   paused, *paused && *text(p, "error") ? ": " : "", text(p, "error"));
	end_line(f, row->trouble > 1 ? BAD : row->trouble > 0 ? WARN : PLAIN);
}

/* The last line says how many more there are. */
static void draw_partitions(struct panel *f, int room)
{
	char head[256];
	struct row *rows;
	int width = name_width(f);
	size_t n = gather_rows(f->fleet, &rows), shown = n;
	if (n > (size_t)MAX(room, 1))
		shown = (size_t)MAX(room - 1, 1);
	snprintf(head, sizeof(head), "%-28s  PART  %-*s  %-9s  LANE  %12s  %12s  %8s  %6s  %8s  %s",
		 "TOPIC", width, "WORKER", "STATE", "NEXT", "HIGH", "BEHIND", "AGE", "OFFSET/S",
		 "WHY");
	heading(f, head);
	for (size_t i = 0; i < shown; i++)
		draw_partition(f, &rows[i], width);
	if (shown < n) {
		buf_printf(&f->line, "... and %zu partitions that are less behind", n - shown);
		end_line(f, PLAIN);
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
	double a = number(((const struct trouble_row *)x)->trouble, "time");
	double b = number(((const struct trouble_row *)y)->trouble, "time");
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
	time_t seconds = (time_t)number(t, "time");
	struct tm tm;
	if (localtime_r(&seconds, &tm))
		strftime(when, sizeof(when), "%m-%d %H:%M:%S", &tm);
	buf_printf(&f->line, "%s  %-*s  %-5s  %4.0fx  ", when, width, row->worker->name,
		   text(t, "level"), number(t, "times"));
	if (*text(t, "topic"))
		buf_printf(&f->line, "%s [%.0f]", text(t, "topic"), number(t, "partition"));
	if (*text(t, "topic") && number(t, "offset") >= 0)
		buf_printf(&f->line, " offset %.0f", number(t, "offset"));
	buf_printf(&f->line, "%s%s%s%s", *text(t, "topic") ? ": " : "", text(t, "message"),
		   *text(t, "error") ? ": " : "", text(t, "error"));
	end_line(f, strcmp(text(t, "level"), "error") == 0 ? BAD : WARN);
}

static void draw_troubles(struct panel *f, const struct trouble_row *rows, size_t n)
{
	if (n == 0)
		return;
	heading(f, "LAST WARNINGS AND ERRORS");
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

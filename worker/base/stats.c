/*
 * stats.c - storage and exposition of the METRICS table.
 *
 * A metric has a rectangle of series (first label x second label), a series one cell; a histogram's
 * series has one cell per bucket, one for "above all bounds" and one for the sum. All cells lie in
 * one array, made once by stats_init():
 *
 *   cells:  [ metric 0: a0b0 a0b1 a1b0 a1b1 ][ metric 1: ... ]
 *           [ histogram: a0: b0 b1 .. bn inf sum  a1: ... ]
 *
 * Histogram cells hold single buckets, not running totals: an observation touches two cells, and a
 * scrape adds them up, so that "+Inf" and "_count" always agree, even while threads add.
 *
 * Durations and timestamps are stored in microseconds and shown in seconds: a metric is one of time
 * if its name has "_seconds". Relaxed atomics: a scrape may see one cell of a batch and not yet the
 * next, which no rate() can notice. Every series is exposed from the start, with 0: a counter that
 * appears with its first error hides that error from increase().
 */
#include <assert.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/stats.h"

#define PREFIX "memingest_"

struct metric_def {
	const char *name, *help;
	enum metric_type type;
	enum label_set labels[2];
};

static const struct metric_def defs[METRIC_COUNT] = {
#define METRIC_DEF(id, kind, metric_name, l1, l2, text)                                            \
	[METRIC_##id] = {metric_name, text, METRIC_##kind, {LABEL_##l1, LABEL_##l2}},
	METRICS(METRIC_DEF)
#undef METRIC_DEF
};

struct label_def {
	const char *name;
	const char *const *values; /* NULL: handed to stats_init() */
	size_t count;
	const char *source; /* for the documentation, where values is NULL */
};

static const char *const seals[] = {"rows", "bytes", "age", "revoke", "drain", "memory"};
static const char *const sqlclasses[] = {"08", "22", "23", "25", "28", "40",   "42",
					 "53", "55", "57", "58", "XX", "other"};
static const char *const results[] = {"ok", "error"};
static const char *const rebalances[] = {"assign", "revoke", "lost"};
static const char *const causes[] = {"batches", "memory"};
static const char *const stages[] = {"poll",        "lane_fold", "lane_copy", "lane_merge",
				     "lane_commit", "lane_wait", "lane_idle"};
static const char *const ops[] = {"insert", "upsert", "delete"};
static const char *const levels[] = {"warn", "error"};
static const char *const answers[] = {"stored",       "accepted",   "partly_stored", "malformed",
				      "unauthorized", "forbidden",  "not_found",     "wrong_method",
				      "late",         "in_flight",  "too_large",     "wrong_type",
				      "invalid",      "other_body", "too_fast",      "busy",
				      "undelivered",  "not_yet",    "halted"};

_Static_assert(ARRAY_LEN(seals) == SEAL_COUNT, "names of enum SEAL_*");
_Static_assert(ARRAY_LEN(results) == RESULT_COUNT, "names of enum RESULT_*");
_Static_assert(ARRAY_LEN(rebalances) == REBALANCE_COUNT, "names of enum REBALANCE_*");
_Static_assert(ARRAY_LEN(causes) == CAUSE_COUNT, "names of enum CAUSE_*");
_Static_assert(ARRAY_LEN(stages) == STAGE_COUNT, "names of enum STAGE_*");
_Static_assert(ARRAY_LEN(ops) == OP_COUNT, "names of enum OP_*");
_Static_assert(ARRAY_LEN(levels) == LEVEL_COUNT, "names of enum LEVEL_*");
_Static_assert(ARRAY_LEN(answers) == ANSWER_COUNT, "words of gate/reply.h");

static const struct label_def labels[LABEL_SET_COUNT] = {
	[LABEL_NONE] = {NULL, NULL, 1, NULL},
	[LABEL_STREAM] = {"stream", NULL, 0, "NAME of each `[stream.NAME]`"},
	[LABEL_REASON] = {"reason", NULL, 0, "the reasons of `memingest.dead_letters`"},
	[LABEL_SEAL] = {"reason", seals, ARRAY_LEN(seals), NULL},
	[LABEL_SQLCLASS] = {"sqlstate_class", sqlclasses, ARRAY_LEN(sqlclasses), NULL},
	[LABEL_RESULT] = {"result", results, ARRAY_LEN(results), NULL},
	[LABEL_REBALANCE] = {"type", rebalances, ARRAY_LEN(rebalances), NULL},
	[LABEL_CAUSE] = {"cause", causes, ARRAY_LEN(causes), NULL},
	[LABEL_STAGE] = {"stage", stages, ARRAY_LEN(stages), NULL},
	[LABEL_OP] = {"op", ops, ARRAY_LEN(ops), NULL},
	[LABEL_LEVEL] = {"level", levels, ARRAY_LEN(levels), NULL},
	[LABEL_ANSWER] = {"result", answers, ARRAY_LEN(answers), NULL},
};

struct bounds {
	size_t count;
	int64_t upper[16];
};

#define MS(n) ((n)*US_PER_MS)
#define S(n) ((n)*US_PER_S)
static const struct bounds duration_bounds = {12,
					      {MS(1), 2500, MS(6), MS(15), MS(40), MS(100), MS(250),
					       MS(600), MS(1500), S(4), S(10), S(30)}};
static const struct bounds latency_bounds = {14,
					     {MS(10), MS(25), MS(60), MS(150), MS(400), S(1),
					      MS(2500), S(6), S(15), S(60), S(100), S(300), S(900),
					      S(3600)}};
static const struct bounds rows_bounds = {9, {1, 4, 16, 64, 256, 1024, 4096, 16384, 65536}};
static const struct bounds bytes_bounds = {
	9, {1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 22, 1 << 24, 1 << 26}};

static struct {
	int64_t *cells; /* relaxed atomics */
	size_t first[METRIC_COUNT];
	const char **names[LABEL_SET_COUNT]; /* of streams and reasons */
	size_t counts[LABEL_SET_COUNT];
	int64_t started_us; /* wall clock */
	bool gateway;
} stats;

/* The few with bounds of their own; the others are durations. */
static const struct bounds *bounds_of(enum metric m)
{
	return m == METRIC_BATCH_ROWS           ? &rows_bounds
	       : m == METRIC_BATCH_BYTES        ? &bytes_bounds
	       : m == METRIC_END_TO_END_SECONDS ? &latency_bounds
						: &duration_bounds;
}

/* Stored in microseconds, shown in seconds. */
static bool of_time(enum metric m)
{
	return strstr(defs[m].name, "_seconds") != NULL;
}

/* Cells per series. */
static size_t series_size(enum metric m)
{
	return defs[m].type == METRIC_HISTOGRAM ? bounds_of(m)->count + 2 : 1;
}

/* Frees those of an earlier stats_init(): tests call it again. */
static void copy_names(enum label_set set, const char *const *names, size_t n)
{
	for (size_t i = 0; i < stats.counts[set] && stats.names[set]; i++)
		free((char *)stats.names[set][i]);
	free(stats.names[set]);
	stats.names[set] = xcalloc(n, sizeof(char *));
	stats.counts[set] = n;
	for (size_t i = 0; i < n; i++)
		stats.names[set][i] = xstrdup(names[i]);
}

/* Lays the cells out one metric after another and clears them. */
void stats_init(const char *const *streams, size_t nstreams, const char *const *reasons,
		size_t nreasons)
{
	copy_names(LABEL_STREAM, streams, nstreams);
	copy_names(LABEL_REASON, reasons, nreasons);
	for (size_t set = 0; set < LABEL_SET_COUNT; set++)
		if (set != LABEL_STREAM && set != LABEL_REASON)
			stats.counts[set] = labels[set].count;
	size_t total = 0;
	for (size_t m = 0; m < METRIC_COUNT; m++) {
		stats.first[m] = total;
		total += stats.counts[defs[m].labels[0]] * stats.counts[defs[m].labels[1]] *
			 series_size(m);
	}
	free(stats.cells);
	stats.cells = xcalloc(total, sizeof(*stats.cells));
	stats.started_us = clock_wall_us();
	stats.gateway = false;
}

/* First cell of a series; NULL before stats_init(). */
static int64_t *series(enum metric m, size_t a, size_t b)
{
	if (!stats.cells)
		return NULL;
	size_t width = stats.counts[defs[m].labels[1]];
	assert(a < stats.counts[defs[m].labels[0]] && b < width);
	return stats.cells + stats.first[m] + (a * width + b) * series_size(m);
}

/* Relaxed: nothing else is read by what a cell says. */
static void cell_add(int64_t *cell, int64_t n)
{
	__atomic_fetch_add(cell, n, __ATOMIC_RELAXED);
}

static int64_t cell_get(const int64_t *cell)
{
	return __atomic_load_n(cell, __ATOMIC_RELAXED);
}

void stats_add(enum metric m, size_t a, size_t b, int64_t n)
{
	assert(defs[m].type == METRIC_COUNTER && n >= 0);
	int64_t *cell = series(m, a, b);
	if (cell)
		cell_add(cell, n);
}

void stats_set(enum metric m, size_t a, size_t b, int64_t n)
{
	assert(defs[m].type == METRIC_GAUGE);
	int64_t *cell = series(m, a, b);
	if (cell)
		__atomic_store_n(cell, n, __ATOMIC_RELAXED);
}

void stats_gauge_add(enum metric m, size_t a, size_t b, int64_t n)
{
	assert(defs[m].type == METRIC_GAUGE);
	int64_t *cell = series(m, a, b);
	if (cell)
		cell_add(cell, n);
}

/* Two cells: the bucket, and the sum behind the last one. */
void stats_observe(enum metric m, size_t a, int64_t value)
{
	assert(defs[m].type == METRIC_HISTOGRAM);
	int64_t *cells = series(m, a, 0);
	if (!cells)
		return;
	value = MAX(value, 0); /* a record's timestamp may lie in the future of our clock */
	const struct bounds *bounds = bounds_of(m);
	size_t i = 0;
	while (i < bounds->count && value > bounds->upper[i])
		i++;
	cell_add(&cells[i], 1);
	cell_add(&cells[bounds->count + 1], value);
}

/* Of a histogram the number of observations. */
int64_t stats_get(enum metric m, size_t a, size_t b)
{
	const int64_t *cells = series(m, a, b);
	if (!cells)
		return 0;
	if (defs[m].type != METRIC_HISTOGRAM)
		return cell_get(cells);
	int64_t count = 0;
	for (size_t i = 0; i <= bounds_of(m)->count; i++)
		count += cell_get(&cells[i]);
	return count;
}

int64_t stats_started_us(void)
{
	return stats.started_us;
}

int64_t stats_sum_of(enum metric m, size_t a)
{
	int64_t sum = 0;
	for (size_t b = 0; b < stats.counts[defs[m].labels[1]]; b++)
		sum += stats_get(m, a, b);
	return sum;
}

int64_t stats_sum(enum metric m)
{
	int64_t sum = 0;
	for (size_t a = 0; a < stats.counts[defs[m].labels[0]]; a++)
		sum += stats_sum_of(m, a);
	return sum;
}

const char *stats_label(enum label_set set, size_t i)
{
	if (i >= stats.counts[set])
		return NULL;
	return stats.names[set] ? stats.names[set][i] : labels[set].values[i];
}

size_t stats_sqlclass(const char *sqlstate)
{
	for (size_t i = 0; i + 1 < ARRAY_LEN(sqlclasses); i++)
		if (strncmp(sqlstate, sqlclasses[i], 2) == 0)
			return i;
	return ARRAY_LEN(sqlclasses) - 1;
}

/* A number as the text format wants it; microseconds as seconds, exactly. */
static void put_number(struct buf *out, int64_t n, bool time)
{
	if (!time) {
		buf_printf(out, "%lld", (long long)n);
		return;
	}
	uint64_t u = n < 0 ? -(uint64_t)n : (uint64_t)n;
	buf_printf(out, "%s%llu", n < 0 ? "-" : "", (unsigned long long)(u / US_PER_S));
	if (u % US_PER_S == 0)
		return;
	buf_printf(out, ".%06u", (unsigned)(u % US_PER_S));
	while (out->data[out->len - 1] == '0')
		out->len--;
}

/* separator is '{' before the first label and ',' from then on. */
static void put_label(struct buf *out, enum label_set set, size_t i, char *separator)
{
	if (set == LABEL_NONE)
		return;
	const char *value = stats_label(set, i);
	buf_printf(out, "%c%s=\"", *separator, labels[set].name);
	for (const char *s = value; *s; s++) {
		if (*s == '\\' || *s == '"')
			buf_u8(out, '\\');
		if (*s == '\n')
			buf_puts(out, "\\n");
		else
			buf_u8(out, (uint8_t)*s);
	}
	buf_u8(out, '"');
	*separator = ',';
}

/* One line: name, labels, value. upper: the bound of a bucket, or NULL. */
static void put_sample(struct buf *out, enum metric m, const char *suffix, size_t a, size_t b,
		       const char *upper)
{
	char separator = '{';
	buf_printf(out, PREFIX "%s%s", defs[m].name, suffix);
	put_label(out, defs[m].labels[0], a, &separator);
	put_label(out, defs[m].labels[1], b, &separator);
	if (upper)
		buf_printf(out, "%cle=\"%s\"", separator, upper);
	buf_puts(out, upper || separator == ',' ? "} " : " ");
}

/* Running totals are made here; the cells hold single buckets. */
static void put_histogram(struct buf *out, enum metric m, size_t a, size_t b)
{
	const struct bounds *bounds = bounds_of(m);
	const int64_t *cells = series(m, a, b);
	struct buf upper = {0};
	int64_t count = 0;
	for (size_t i = 0; i <= bounds->count; i++) {
		count += cell_get(&cells[i]);
		upper.len = 0;
		if (i < bounds->count)
			put_number(&upper, bounds->upper[i], of_time(m));
		else
			buf_puts(&upper, "+Inf");
		put_sample(out, m, "_bucket", a, b, buf_cstr(&upper));
		buf_printf(out, "%lld\n", (long long)count);
	}
	buf_free(&upper);
	put_sample(out, m, "_sum", a, b, NULL);
	put_number(out, cell_get(&cells[bounds->count + 1]), of_time(m));
	buf_u8(out, '\n');
	put_sample(out, m, "_count", a, b, NULL);
	buf_printf(out, "%lld\n", (long long)count);
}

static const char *const type_names[] = {
	[METRIC_COUNTER] = "counter", [METRIC_GAUGE] = "gauge", [METRIC_HISTOGRAM] = "histogram"};

/* All series, those at 0 as well. */
static void put_metric(struct buf *out, enum metric m)
{
	const struct metric_def *def = &defs[m];
	buf_printf(out, "# HELP " PREFIX "%s %s\n# TYPE " PREFIX "%s %s\n", def->name, def->help,
		   def->name, type_names[def->type]);
	for (size_t a = 0; a < stats.counts[def->labels[0]]; a++) {
		for (size_t b = 0; b < stats.counts[def->labels[1]]; b++) {
			if (def->type == METRIC_HISTOGRAM) {
				put_histogram(out, m, a, b);
				continue;
			}
			put_sample(out, m, "", a, b, NULL);
			put_number(out, stats_get(m, a, b), of_time(m));
			buf_u8(out, '\n');
		}
	}
}

/*
 * What Prometheus' client libraries call the standard process metrics ("Writing client libraries",
 * "Standard and runtime metrics"), and the version. Read at scrape time; what /proc does not give
 * is 0.
 */
static double cpu_seconds(void)
{
	struct timespec ts = {0};
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* field: 0 virtual, 1 resident. 0 where /proc is not there. */
static double statm_bytes(int field)
{
	long values[2] = {0};
	FILE *f = fopen("/proc/self/statm", "re");
	if (f) {
		if (fscanf(f, "%ld %ld", &values[0], &values[1]) != 2)
			values[field] = 0;
		fclose(f);
	}
	return (double)values[field] * (double)sysconf(_SC_PAGESIZE);
}

static double virtual_bytes(void)
{
	return statm_bytes(0);
}

static double resident_bytes(void)
{
	return statm_bytes(1);
}

/* Counts as /proc shows them, without those of the counting. */
static double open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	double n = -3; /* ".", ".." and the descriptor of dir itself */
	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return MAX(n, 0);
}

static double max_fds(void)
{
	struct rlimit limit = {0};
	getrlimit(RLIMIT_NOFILE, &limit);
	return (double)limit.rlim_cur;
}

static double start_time(void)
{
	return (double)stats.started_us / 1e6;
}

static double one(void)
{
	return 1;
}

static const struct {
	const char *name, *type, *help;
	double (*read)(void);
} process_defs[] = {
	{PREFIX "build_info{version=\"" MEMINGEST_VERSION "\"}", "gauge", "Which program this is.",
	 one},
	{"process_cpu_seconds_total", "counter", "User and system time spent.", cpu_seconds},
	{"process_resident_memory_bytes", "gauge", "Resident memory.", resident_bytes},
	{"process_virtual_memory_bytes", "gauge", "Virtual memory.", virtual_bytes},
	{"process_open_fds", "gauge", "Open file descriptors.", open_fds},
	{"process_max_fds", "gauge", "Limit of open file descriptors.", max_fds},
	{"process_start_time_seconds", "gauge", "When the worker started, since 1970.", start_time},
};

void stats_of_gateway(void)
{
	stats.gateway = true;
}

/* Zeros of a process of another kind would only be in the way. */
static bool is_shown(const struct metric_def *def)
{
	bool gateway = strncmp(def->name, "gateway_", 8) == 0;
	bool both = strncmp(def->name, "log_", 4) == 0 || strncmp(def->name, "last_error", 10) == 0;
	return both || gateway == stats.gateway;
}

/* Before stats_init() the process's own metrics only. */
void stats_expose(struct buf *out)
{
	for (size_t m = 0; stats.cells && m < METRIC_COUNT; m++)
		if (is_shown(&defs[m]))
			put_metric(out, m);
	for (size_t i = 0; i < ARRAY_LEN(process_defs); i++) {
		const char *name = process_defs[i].name;
		int len = (int)strcspn(name, "{");
		buf_printf(out, "# HELP %.*s %s\n# TYPE %.*s %s\n", len, name, process_defs[i].help,
			   len, name, process_defs[i].type);
		buf_printf(out, "%s %.15g\n", name, process_defs[i].read());
	}
}

static void doc_bounds(struct buf *out, const char *title, const struct bounds *bounds, bool time)
{
	buf_printf(out, "- %s:", title);
	for (size_t i = 0; i < bounds->count; i++) {
		buf_puts(out, i ? ", " : " ");
		put_number(out, bounds->upper[i], time);
	}
	buf_puts(out, time ? " seconds\n" : "\n");
}

/* Streams are named by the configuration, so their values are not listed. */
static void doc_labels(struct buf *out)
{
	buf_puts(out, "\n## Labels\n\n| label | of | values |\n|---|---|---|\n");
	for (size_t set = LABEL_NONE + 1; set < LABEL_SET_COUNT; set++) {
		buf_printf(out, "| `%s` |", labels[set].name);
		const char *separator = " ";
		for (size_t m = 0; m < METRIC_COUNT; m++) {
			if (defs[m].labels[0] != set && defs[m].labels[1] != set)
				continue;
			if (set == LABEL_STREAM)
				continue;
			buf_printf(out, "%s`%s`", separator, defs[m].name);
			separator = ", ";
		}
		buf_puts(out, set == LABEL_STREAM ? " most |" : " |");
		for (size_t i = 0; i < labels[set].count; i++)
			buf_printf(out, "%s`%s`", i ? ", " : " ", labels[set].values[i]);
		buf_printf(out, "%s%s |\n", labels[set].source ? " " : "",
			   labels[set].source ? labels[set].source : "");
	}
}

void stats_write_docs(struct buf *out)
{
	buf_puts(out, "# Metrics\n\n"
		      "Generated by `memingest config metrics` from the table in "
		      "`worker/base/stats.h`; do not edit.\n\n"
		      "`/metrics` answers in Prometheus text format 0.0.4. Labels never carry "
		      "message content. Series per\n"
		      "partition are added when `http.partition_metrics` is on.\n\n"
		      "| metric | type | labels | meaning |\n|---|---|---|---|\n");
	for (size_t m = 0; m < METRIC_COUNT; m++) {
		const struct metric_def *def = &defs[m];
		buf_printf(out, "| `" PREFIX "%s` | %s |", def->name, type_names[def->type]);
		for (size_t l = 0; l < 2 && def->labels[l] != LABEL_NONE; l++)
			buf_printf(out, "%s`%s`", l ? ", " : " ", labels[def->labels[l]].name);
		buf_printf(out, " | %s |\n", def->help);
	}
	for (size_t i = 0; i < ARRAY_LEN(process_defs); i++) {
		const char *name = process_defs[i].name;
		buf_printf(out, "| `%.*s` | %s |%s | %s |\n", (int)strcspn(name, "{"), name,
			   process_defs[i].type, strchr(name, '{') ? " `version`" : "",
			   process_defs[i].help);
	}
	doc_labels(out);
	buf_puts(out, "\n## Buckets\n\n");
	doc_bounds(out, "durations", &duration_bounds, true);
	doc_bounds(out, "`" PREFIX "end_to_end_latency_seconds`", &latency_bounds, true);
	doc_bounds(out, "`" PREFIX "batch_rows`", &rows_bounds, false);
	doc_bounds(out, "`" PREFIX "batch_bytes`", &bytes_bounds, false);
}

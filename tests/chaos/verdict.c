/*
 * verdict.c - the findings of a run, and what they come to.
 *
 *   run's process ---writes---> shared memory ---reads, at its end---> parent: text, JSON, exit
 *
 * The record is one fixed struct, so that it can be shared and needs no memory of its own; what
 * does not fit is counted. Writers of the run's process are its main thread and the sampler, hence
 * the mutex. The parent reads when that process is gone, so it needs none.
 *
 * The bounds of recovery are judged here: each recovery against its fault's bound while the run
 * goes on (supervisor.c), the medians at the end.
 */
#include "verdict.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "schedule.h"

#define KINDS 128
#define RECOVERIES 1024 /* of each kind that are kept */
#define LINES 16384
#define VIOLATIONS 64
#define FEW 5 /* recoveries that have no median worth a bound */

struct kind {
	unsigned struck, left_out, recoveries;
	int32_t ms[RECOVERIES];
};

static struct verdict {
	struct chaos_options options;
	char librdkafka[32];
	char started[CLOCK_TEXT];
	int64_t began_us;
	double seconds;
	bool finished;
	uint64_t sent, acknowledged, failed;
	int64_t durable;
	long rss_kib;
	int descriptors, threads;
	unsigned samples, accountings, nlines, nviolations;
	char tampers[128];
	struct kind kinds[KINDS], pairs;
	struct line {
		double at_s;
		char text[160];
	} lines[LINES];
	char violations[VIOLATIONS][512];
} * verdict;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void verdict_open(const struct chaos_options *options)
{
	verdict = mmap(NULL, sizeof(*verdict), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	if (verdict == MAP_FAILED) {
		fprintf(stderr, "chaos: %s\n", strerror(errno));
		exit(EXIT_INTERNAL);
	}
	verdict->options = *options;
}

/* --- writing --- */

void verdict_begin(const char *librdkafka)
{
	verdict->began_us = clock_mono_us();
	clock_text(clock_wall_us(), verdict->started);
	snprintf(verdict->librdkafka, sizeof(verdict->librdkafka), "%s", librdkafka);
}

void verdict_history(double at_s, const char *text)
{
	pthread_mutex_lock(&lock);
	if (verdict->nlines < LINES) {
		struct line *line = &verdict->lines[verdict->nlines];
		line->at_s = at_s;
		snprintf(line->text, sizeof(line->text), "%s", text);
	}
	verdict->nlines++;
	pthread_mutex_unlock(&lock);
}

void verdict_violation(const char *text)
{
	pthread_mutex_lock(&lock);
	if (verdict->nviolations < VIOLATIONS)
		snprintf(verdict->violations[verdict->nviolations], sizeof(verdict->violations[0]),
			 "%s", text);
	verdict->nviolations++;
	pthread_mutex_unlock(&lock);
}

unsigned verdict_violations(void)
{
	pthread_mutex_lock(&lock);
	unsigned n = verdict->nviolations;
	pthread_mutex_unlock(&lock);
	return n;
}

static struct kind *kind_of(const struct fault *fault)
{
	size_t i = 0;
	while (fault_at(i) != fault)
		i++;
	ck_assert_uint_lt(i, KINDS);
	return &verdict->kinds[i];
}

void verdict_left_out(const struct fault *fault)
{
	kind_of(fault)->left_out++;
}

static void keep_ms(struct kind *kind, int64_t ms)
{
	if (kind->recoveries < RECOVERIES)
		kind->ms[kind->recoveries++] = (int32_t)ms;
}

void verdict_struck(const struct fault *fault)
{
	kind_of(fault)->struck++;
}

void verdict_recovered(const struct fault *fault, int64_t ms)
{
	keep_ms(fault ? kind_of(fault) : &verdict->pairs, ms);
}

void verdict_events(uint64_t sent, uint64_t acknowledged, uint64_t failed, int64_t durable)
{
	verdict->sent = sent;
	verdict->acknowledged = acknowledged;
	verdict->failed = failed;
	verdict->durable = durable;
	verdict->seconds = (double)(clock_mono_us() - verdict->began_us) / (double)US_PER_S;
}

void verdict_peaks(long rss_kib, int descriptors, int threads)
{
	if (!verdict) /* tests of the parts have none */
		return;
	verdict->rss_kib = MAX(verdict->rss_kib, rss_kib);
	verdict->descriptors = MAX(verdict->descriptors, descriptors);
	verdict->threads = MAX(verdict->threads, threads);
}

void verdict_sampled(void)
{
	pthread_mutex_lock(&lock);
	verdict->samples++;
	pthread_mutex_unlock(&lock);
}

void verdict_accounted(void)
{
	verdict->accountings++;
}

void verdict_tamper_caught(const char *what)
{
	size_t n = strlen(verdict->tampers);
	snprintf(verdict->tampers + n, sizeof(verdict->tampers) - n, "%s%s", n ? ", " : "", what);
}

void verdict_finished(void)
{
	verdict->finished = true;
}

/* --- judging --- */

unsigned verdict_slack(void)
{
	const char *factor = getenv("CK_TIMEOUT_MULTIPLIER");
	return factor ? MAX((unsigned)strtoul(factor, NULL, 10), 1) : 1;
}

static int by_size(const void *a, const void *b)
{
	int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
	return (x > y) - (x < y);
}

/* Sorts. */
static double median_s(int32_t *ms, size_t n)
{
	if (n == 0)
		return 0;
	qsort(ms, n, sizeof(*ms), by_size);
	size_t below = (n - 1) / 2, above = n / 2;
	return (double)(ms[below] + ms[above]) / 2000;
}

/* Of all kinds; new. */
static int32_t *all_recoveries(size_t *n)
{
	int32_t *all = xcalloc((size_t)(KINDS + 1) * RECOVERIES, sizeof(*all));
	*n = 0;
	for (size_t i = 0; i < KINDS; i++) {
		memcpy(all + *n, verdict->kinds[i].ms, verdict->kinds[i].recoveries * sizeof(*all));
		*n += verdict->kinds[i].recoveries;
	}
	memcpy(all + *n, verdict->pairs.ms, verdict->pairs.recoveries * sizeof(*all));
	*n += verdict->pairs.recoveries;
	return all;
}

/*
 * A kind with a bound of its own waits for a deadline by its nature, so its median is no measure;
 * that of all recoveries is.
 */
static void judge_median(const char *what, int32_t *ms, size_t n)
{
	char text[256];
	double median = median_s(ms, n);
	if (n < FEW || median <= RECOVER_MEDIAN_S * verdict_slack())
		return;
	snprintf(text, sizeof(text), "%s: the median of %zu recoveries is %.1f s, more than %u s",
		 what, n, median, RECOVER_MEDIAN_S * verdict_slack());
	verdict_violation(text);
}

static void judge_medians(void)
{
	size_t n;
	int32_t *all = all_recoveries(&n);
	for (size_t i = 0; fault_at(i); i++) {
		if (fault_at(i)->recover_s == 0)
			judge_median(fault_at(i)->name, verdict->kinds[i].ms,
				     verdict->kinds[i].recoveries);
	}
	judge_median("all", all, n);
	free(all);
}

static double longest_s(const int32_t *ms, size_t n)
{
	int32_t longest = 0;
	for (size_t i = 0; i < n; i++)
		longest = MAX(longest, ms[i]);
	return longest / 1000.0;
}

/* --- giving --- */

static unsigned faults_struck(void)
{
	unsigned n = 0;
	for (size_t i = 0; i < KINDS; i++)
		n += verdict->kinds[i].struck;
	return n;
}

/* Times of what never struck alone are not known. */
static void print_kind(const char *name, unsigned times, struct kind *kind)
{
	if (kind->recoveries == 0)
		printf("  %-28s %6u %9s %9s\n", name, times, "-", "-");
	else
		printf("  %-28s %6u %9.1f %9.1f\n", name, times,
		       median_s(kind->ms, kind->recoveries), longest_s(kind->ms, kind->recoveries));
}

static void print_kinds(void)
{
	printf("  %-28s %6s %9s %9s\n", "fault", "times", "median s", "longest s (alone)");
	for (size_t i = 0; fault_at(i); i++) {
		struct kind *kind = &verdict->kinds[i];
		if (kind->struck)
			print_kind(fault_at(i)->name, kind->struck, kind);
		else if (kind->left_out)
			printf("  %-28s   none, left out %u times\n", fault_at(i)->name,
			       kind->left_out);
	}
	print_kind("two at a time", verdict->pairs.recoveries, &verdict->pairs);
}

static void print_verdict(bool good)
{
	size_t n;
	int32_t *all = all_recoveries(&n);
	print_kinds();
	printf("  %u faults, recovered after %.1f s in the median, %.1f s at the longest\n",
	       faults_struck(), median_s(all, n), longest_s(all, n));
	printf("  %llu events acknowledged in %.0f s, %lld offsets durable; accounted for %u "
	       "times, "
	       "%u samples\n",
	       (unsigned long long)verdict->acknowledged, verdict->seconds,
	       (long long)verdict->durable, verdict->accountings, verdict->samples);
	printf("  at most %ld MiB, %d descriptors, %d threads a worker\n", verdict->rss_kib / 1024,
	       verdict->descriptors, verdict->threads);
	printf("  tampering that was caught: %s\n",
	       verdict->tampers[0] ? verdict->tampers : "none");
	for (unsigned i = 0; i < MIN(verdict->nviolations, VIOLATIONS); i++)
		printf("  %s: %s\n", i == 0 ? "FIRST VIOLATION" : "violation",
		       verdict->violations[i]);
	if (verdict->nviolations > VIOLATIONS)
		printf("  and %u more\n", verdict->nviolations - VIOLATIONS);
	printf("%s  seed %llu, librdkafka %s: %u violations\n", good ? "ok" : "FAILED",
	       (unsigned long long)verdict->options.seed, verdict->librdkafka,
	       verdict->nviolations);
	free(all);
}

static json_t *kind_json(struct kind *kind)
{
	json_t *json = json_pack("{s:i, s:i, s:i}", "count", (int)kind->struck, "left_out",
				 (int)kind->left_out, "recoveries_alone", (int)kind->recoveries);
	if (kind->recoveries > 0) {
		json_object_set_new(json, "median_s",
				    json_real(median_s(kind->ms, kind->recoveries)));
		json_object_set_new(json, "longest_s",
				    json_real(longest_s(kind->ms, kind->recoveries)));
	}
	return json;
}

static json_t *kinds_json(void)
{
	json_t *kinds = json_object();
	for (size_t i = 0; fault_at(i); i++) {
		struct kind *kind = &verdict->kinds[i];
		if (kind->struck + kind->left_out == 0)
			continue;
		json_object_set_new(kinds, fault_at(i)->name, kind_json(kind));
	}
	return kinds;
}

static json_t *lines_json(void)
{
	json_t *lines = json_array();
	for (unsigned i = 0; i < MIN(verdict->nlines, LINES); i++)
		json_array_append_new(lines, json_pack("{s:f, s:s}", "at_s", verdict->lines[i].at_s,
						       "what", verdict->lines[i].text));
	return lines;
}

static json_t *violations_json(void)
{
	json_t *violations = json_array();
	for (unsigned i = 0; i < MIN(verdict->nviolations, VIOLATIONS); i++)
		json_array_append_new(violations, json_string(verdict->violations[i]));
	return violations;
}

/* What was run, and what it came to; a part each, so that a format can be read. */
static json_t *run_json(void)
{
	const struct verdict *v = verdict;
	return json_pack("{s:s, s:I, s:s, s:s, s:f, s:f, s:s}", "started", v->started, "seed",
			 (json_int_t)v->options.seed, "librdkafka", v->librdkafka, "database",
			 v->options.file ? "sqlite" : "postgres", "minutes", v->options.minutes,
			 "seconds", v->seconds, "only", v->options.faults ? v->options.faults : "");
}

static json_t *events_json(void)
{
	const struct verdict *v = verdict;
	return json_pack("{s:I, s:I, s:I, s:I}", "sent", (json_int_t)v->sent, "acknowledged",
			 (json_int_t)v->acknowledged, "failed", (json_int_t)v->failed, "durable",
			 (json_int_t)v->durable);
}

static json_t *checks_json(void)
{
	const struct verdict *v = verdict;
	return json_pack("{s:i, s:i, s:s, s:i, s:i, s:i}", "samples", (int)v->samples,
			 "accountings", (int)v->accountings, "tampering_caught", v->tampers,
			 "peak_rss_kib", (int)v->rss_kib, "peak_descriptors", v->descriptors,
			 "peak_threads", v->threads);
}

static json_t *recovery_json(void)
{
	size_t n;
	int32_t *all = all_recoveries(&n);
	json_t *recovery = json_pack("{s:i, s:f, s:f}", "faults", (int)faults_struck(), "median_s",
				     median_s(all, n), "longest_s", longest_s(all, n));
	free(all);
	return recovery;
}

static bool write_json(const char *path, bool good)
{
	json_t *json =
		json_pack("{s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:i, s:o, s:o}", "ok", good, "run",
			  run_json(), "events", events_json(), "checks", checks_json(), "recovery",
			  recovery_json(), "kinds", kinds_json(), "two_at_a_time",
			  kind_json(&verdict->pairs), "violations_count", (int)verdict->nviolations,
			  "violations", violations_json(), "history", lines_json());
	bool ok = json && json_dump_file(json, path, JSON_INDENT(2)) == 0;
	json_decref(json);
	return ok;
}

bool verdict_give(const char *json_path)
{
	if (!verdict->finished && verdict->nviolations == 0)
		verdict_violation("the run did not come to its end");
	judge_medians();
	bool good = verdict->nviolations == 0;
	if (!write_json(json_path, good)) {
		verdict_violation("the verdict could not be written");
		good = false;
	}
	print_verdict(good);
	printf("  %s\n", json_path);
	return good;
}

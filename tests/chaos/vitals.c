/*
 * vitals.c - what each worker uses, by /proc, once a second.
 *
 *   worker (by pid) --> one look a second: RSS, descriptors, threads --> series
 *   at its end: bounds at every look; the median of the last third against the most of the first
 *
 * The bounds are far above what a worker of these settings needs and far below what a leak would
 * make of it; a faster leak shows in the comparison of thirds, a slower one in a longer run. A
 * worker that lived for less than a minute is only held against the bounds: faults and the caches
 * that fill at its start are most of its life. That of a worker that waits for a file begins when
 * it has it.
 */
#include "vitals.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "verdict.h"

#define RSS_MAX_KIB (256 * 1024)
#define RSS_MAX_FILE_KIB (64 * 1024) /* of a worker that writes a SQLite file */
#define DESCRIPTORS_MAX 128
#define THREADS_MAX 64
#define LONG_LIFE 60 /* looks */

/* What the last third may be above the first. */
#define RSS_MORE_KIB (32 * 1024)
#define DESCRIPTORS_MORE 16
#define THREADS_MORE 8

enum vital { RSS, DESCRIPTORS, THREADS, VITALS };

static const struct {
	const char *name;
	int32_t most, more;
} bounds[VITALS] = {
	[RSS] = {"KiB of memory", RSS_MAX_KIB, RSS_MORE_KIB},
	[DESCRIPTORS] = {"descriptors", DESCRIPTORS_MAX, DESCRIPTORS_MORE},
	[THREADS] = {"threads", THREADS_MAX, THREADS_MORE},
};

struct look {
	int32_t of[VITALS];
};

struct series {
	int pid;
	bool reported[VITALS];
	struct look *looks;
	size_t n, capacity;
};

struct vitals {
	struct chaos *c;
	struct series series[CHAOS_WORKERS_MAX];
};

struct vitals *vitals_new(struct chaos *c)
{
	struct vitals *v = xcalloc(1, sizeof(*v));
	v->c = c;
	return v;
}

void vitals_free(struct vitals *v)
{
	for (size_t i = 0; i < CHAOS_WORKERS_MAX; i++)
		free(v->series[i].looks);
	free(v);
}

/* --- looking --- */

static int32_t descriptors_of(int pid)
{
	char path[64];
	int32_t n = -2; /* . and .. */
	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	DIR *dir = opendir(path);
	if (!dir)
		return 0;
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* False: it is gone, which somebody else will notice. */
static bool read_status(int pid, struct look *look)
{
	char path[64], line[256];
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	FILE *in = fopen(path, "r");
	if (!in)
		return false;
	while (fgets(line, sizeof(line), in)) {
		if (strncmp(line, "VmRSS:", 6) == 0)
			look->of[RSS] = (int32_t)strtol(line + 6, NULL, 10);
		else if (strncmp(line, "Threads:", 8) == 0)
			look->of[THREADS] = (int32_t)strtol(line + 8, NULL, 10);
	}
	fclose(in);
	look->of[DESCRIPTORS] = descriptors_of(pid);
	return look->of[RSS] > 0;
}

/* The worker's, or a free one. */
static struct series *series_of(struct vitals *v, int pid)
{
	for (size_t i = 0; i < CHAOS_WORKERS_MAX; i++) {
		if (v->series[i].pid == pid)
			return &v->series[i];
	}
	return NULL;
}

static void check_bounds(struct vitals *v, struct series *s, const struct look *look)
{
	bool file = v->c->bed && v->c->bed->sqlite[0];
	for (int i = 0; i < VITALS; i++) {
		int32_t most = i == RSS && file ? RSS_MAX_FILE_KIB : bounds[i].most;
		if (look->of[i] <= most || s->reported[i])
			continue;
		chaos_difference(v->c, "worker of pid %d: %d %s, more than %d", s->pid, look->of[i],
				 bounds[i].name, most);
		s->reported[i] = true;
	}
}

/* It rests until it takes over a file, and needs more from then on: a life of its own. */
static bool stands_by(struct chaos *c, const struct worker *w)
{
	return c->bed && c->bed->sqlite[0] && file_writer(c) != w;
}

void vitals_look(struct vitals *v)
{
	for (size_t i = 0; i < v->c->nworkers; i++) {
		struct look look = {0};
		int pid = v->c->workers[i]->pid;
		struct series *s = series_of(v, pid);
		if (!s)
			s = series_of(v, 0);
		if (!s || !read_status(pid, &look))
			continue;
		s->pid = pid;
		if (stands_by(v->c, v->c->workers[i]))
			s->n = 0;
		if (s->n == s->capacity) {
			s->capacity = s->capacity ? 2 * s->capacity : 64;
			s->looks = xrealloc(s->looks, s->capacity * sizeof(*s->looks));
		}
		s->looks[s->n++] = look;
		check_bounds(v, s, &look);
		verdict_peaks(look.of[RSS], look.of[DESCRIPTORS], look.of[THREADS]);
	}
}

/* --- flat --- */

static int by_size(const void *a, const void *b)
{
	int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
	return (x > y) - (x < y);
}

static void check_flat(struct vitals *v, const struct series *s, enum vital vital)
{
	size_t third = s->n / 3;
	int32_t *last = xcalloc(third, sizeof(*last)), most = 0;
	for (size_t i = 0; i < third; i++) {
		most = MAX(most, s->looks[i].of[vital]);
		last[i] = s->looks[s->n - third + i].of[vital];
	}
	qsort(last, third, sizeof(*last), by_size);
	if (last[third / 2] > most + bounds[vital].more)
		chaos_difference(
			v->c,
			"worker of pid %d: %d %s in the last third of its life, at most %d "
			"in the first",
			s->pid, last[third / 2], bounds[vital].name, most);
	free(last);
}

void vitals_end(struct vitals *v, struct worker *w)
{
	struct series *s = series_of(v, w->pid);
	if (!s)
		return;
	for (int i = 0; i < VITALS && s->n >= LONG_LIFE; i++)
		check_flat(v, s, (enum vital)i);
	free(s->looks);
	*s = (struct series){0};
}

/*
 * procfs.c - reads /proc, for the benchmark alone.
 *
 *   postmaster --+-- backend        utime + stime of each that lives,
 *                +-- checkpointer   cutime + cstime of each that lives (its ended children)
 *                +-- walwriter ...
 *
 * When a child ends its times move into cutime and cstime of its parent, so the sum over the tree
 * does not jump. The kernel scales utime and stime to the scheduler's exact run time, so the error
 * is one clock tick (10 ms) a process, no more.
 *
 * Children are taken from /proc/PID/task/PID/children; one level is enough for PostgreSQL, but it
 * costs nothing to go all the way.
 */
#include "procfs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static size_t read_text(const char *path, char *text, size_t size)
{
	FILE *f = fopen(path, "r");
	size_t n = 0;
	if (f) {
		n = fread(text, 1, size - 1, f);
		(void)fclose(f);
	}
	text[n] = '\0';
	return n;
}

/*
 * utime, stime, cutime and cstime are the 14th to 17th field; the second is a name that may hold
 * anything.
 */
static int64_t own_ticks(int pid)
{
	char path[64], text[1024];
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (read_text(path, text, sizeof(text)) == 0)
		return -1;
	char *p = strrchr(text, ')');
	int64_t sum = 0;
	for (int field = 2; p && field <= 17; field++) {
		if (field >= 14)
			sum += strtoll(p, NULL, 10);
		p = strchr(p + 1, ' ');
	}
	return p ? sum : -1;
}

static int64_t tree_ticks(int pid)
{
	char path[64], text[8192];
	int64_t sum = own_ticks(pid);
	if (sum < 0)
		return -1;
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
	read_text(path, text, sizeof(text));
	for (char *p = text, *end; *p; p = end) {
		long child = strtol(p, &end, 10);
		if (end == p)
			break;
		sum += MAX(tree_ticks((int)child), 0);
	}
	return sum;
}

int64_t procfs_tree_cpu_us(int pid)
{
	int64_t ticks = tree_ticks(pid);
	return ticks < 0 ? -1 : ticks * 1000000 / sysconf(_SC_CLK_TCK);
}

int64_t procfs_peak_kib(void)
{
	char text[8192];
	read_text("/proc/self/status", text, sizeof(text));
	const char *p = strstr(text, "VmHWM:");
	return p ? strtoll(p + strlen("VmHWM:"), NULL, 10) : -1;
}

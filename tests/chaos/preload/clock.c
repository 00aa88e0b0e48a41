/*
 * clock.c - a wall clock that jumps, for one process and its threads: a library for LD_PRELOAD.
 *
 * The machine's clock belongs to everybody, and a time namespace has no wall clock of its own. So
 * the three functions that read it add a number of seconds, which is read anew at each call from
 * the file that MEMINGEST_TEST_CLOCK names (eight bytes, mapped). Whoever writes another number
 * there lets the clock of a running worker jump.
 *
 *   worker --> clock_gettime(), gettimeofday(), time() --> kernel's clock + *shift
 *
 * What the C library itself reads stays the kernel's: waits with a wall clock's deadline and
 * timespec_get(). Both go together (librdkafka's waits take the one for the other), so nobody
 * sleeps for the length of a jump.
 *
 * Without the variable, or when its file can not be mapped, the clock is right: the fault that uses
 * it looks at a worker's time and fails.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *shift;

__attribute__((constructor)) static void map_shift(void)
{
	const char *path = getenv("MEMINGEST_TEST_CLOCK");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (fd < 0)
		return;
	void *at = mmap(NULL, sizeof(*shift), PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	shift = at == MAP_FAILED ? NULL : at;
}

int clock_gettime(clockid_t id, struct timespec *ts)
{
	long failed = syscall(SYS_clock_gettime, id, ts);
	if (failed == 0 && shift && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
		ts->tv_sec += *shift;
	return (int)failed;
}

int gettimeofday(struct timeval *restrict tv, void *restrict tz)
{
	long failed = syscall(SYS_gettimeofday, tv, tz);
	if (failed == 0 && shift)
		tv->tv_sec += *shift;
	return (int)failed;
}

time_t time(time_t *out)
{
	struct timespec ts;
	(void)clock_gettime(CLOCK_REALTIME, &ts);
	if (out)
		*out = ts.tv_sec;
	return ts.tv_sec;
}

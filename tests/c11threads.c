/*
 * c11threads.c - C11's threads, mutexes and conditions by way of POSIX': linked into builds for
 * ThreadSanitizer alone.
 *
 * librdkafka uses C11's, which that sanitizer does not see: its threads would be strangers to it
 * (the first allocation in one crashes), and its locks no locks. A symbol of the program goes
 * before that of libc. In glibc mtx_t and cnd_t are the POSIX ones under another name.
 * Nor does it see pthread_clockjoin_np(), by which some of our own threads are joined.
 */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <threads.h>
#include <time.h>

struct start {
	thrd_start_t run;
	void *arg;
};

static void *run_thread(void *arg)
{
	struct start s = *(struct start *)arg;
	free(arg);
	return (void *)(intptr_t)s.run(s.arg);
}

static int result(int rc)
{
	return rc == 0           ? thrd_success
	       : rc == EBUSY     ? thrd_busy
	       : rc == ETIMEDOUT ? thrd_timedout
	       : rc == ENOMEM    ? thrd_nomem
				 : thrd_error;
}

int thrd_create(thrd_t *thread, thrd_start_t run, void *arg)
{
	struct start *s = malloc(sizeof(*s));
	if (!s)
		return thrd_nomem;
	*s = (struct start){run, arg};
	return result(pthread_create(thread, NULL, run_thread, s));
}

int thrd_join(thrd_t thread, int *code)
{
	void *value;
	int rc = pthread_join(thread, &value);
	if (rc == 0 && code)
		*code = (int)(intptr_t)value;
	return result(rc);
}

int thrd_detach(thrd_t thread)
{
	return result(pthread_detach(thread));
}

int mtx_init(mtx_t *m, int type)
{
	pthread_mutexattr_t attr;
	pthread_mutexattr_init(&attr);
	if (type & mtx_recursive)
		pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
	int rc = pthread_mutex_init((pthread_mutex_t *)m, &attr);
	pthread_mutexattr_destroy(&attr);
	return result(rc);
}

void mtx_destroy(mtx_t *m)
{
	pthread_mutex_destroy((pthread_mutex_t *)m);
}

int mtx_lock(mtx_t *m)
{
	return result(pthread_mutex_lock((pthread_mutex_t *)m));
}

int mtx_trylock(mtx_t *m)
{
	return result(pthread_mutex_trylock((pthread_mutex_t *)m));
}

int mtx_unlock(mtx_t *m)
{
	return result(pthread_mutex_unlock((pthread_mutex_t *)m));
}

int cnd_init(cnd_t *c)
{
	return result(pthread_cond_init((pthread_cond_t *)c, NULL));
}

void cnd_destroy(cnd_t *c)
{
	pthread_cond_destroy((pthread_cond_t *)c);
}

int cnd_signal(cnd_t *c)
{
	return result(pthread_cond_signal((pthread_cond_t *)c));
}

int cnd_broadcast(cnd_t *c)
{
	return result(pthread_cond_broadcast((pthread_cond_t *)c));
}

int cnd_wait(cnd_t *c, mtx_t *m)
{
	return result(pthread_cond_wait((pthread_cond_t *)c, (pthread_mutex_t *)m));
}

int cnd_timedwait(cnd_t *c, mtx_t *m, const struct timespec *until)
{
	return result(pthread_cond_timedwait((pthread_cond_t *)c, (pthread_mutex_t *)m, until));
}

/* By the wall clock, as that one is known. */
int pthread_clockjoin_np(pthread_t thread, void **value, clockid_t clock,
			 const struct timespec *until)
{
	struct timespec now, wall;
	clock_gettime(clock, &now);
	clock_gettime(CLOCK_REALTIME, &wall);
	wall.tv_sec += until->tv_sec - now.tv_sec + 1;
	return pthread_timedjoin_np(thread, value, &wall);
}

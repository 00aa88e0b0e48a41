/*
 * thread.c - a thread, or the end of the process in words.
 *
 * Threads are made at start, and few later; where the system has no more of them (ulimit -u, the
 * pids.max of a container) there is nothing that the process could do instead. What is not
 * committed is read again by the next one.
 */
#include "base/thread.h"

#include <signal.h>
#include <sys/signalfd.h>

#include "base/base.h"

void thread_start(pthread_t *thread, void *(*run)(void *arg), void *arg)
{
	int rc = pthread_create(thread, NULL, run, arg);
	if (rc != 0)
		die_without("thread", rc, "raise the limit of processes (ulimit -u, pids.max)");
}

int thread_signals(const int *signals, size_t n)
{
	sigset_t set;
	sigemptyset(&set);
	for (size_t i = 0; i < n; i++)
		sigaddset(&set, signals[i]);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

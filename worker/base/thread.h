/* thread.h - a thread that the process cannot do without, and signals that no thread is hit by. */
#pragma once

#include <pthread.h>
#include <stddef.h>

/* As pthread_create(). Without a thread the process says so and ends (exit 70). */
void thread_start(pthread_t *thread, void *(*run)(void *arg), void *arg);

/*
 * From now on these signals come by a descriptor (of signalfd_siginfo, not blocking), for this
 * thread and those that it starts. -1 with errno.
 */
int thread_signals(const int *signals, size_t n);

/* thread.h - a thread that the process cannot do without. */
#pragma once

#include <pthread.h>

/* As pthread_create(). Without a thread the process says so and ends (exit 70). */
void thread_start(pthread_t *thread, void *(*run)(void *arg), void *arg);

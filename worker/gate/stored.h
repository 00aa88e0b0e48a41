/*
 * stored.h - requests that wait until the database has what they brought: ?wait=stored. One thread
 * and one session for all of them.
 */
#pragma once

#include "core/config.h"

struct job;
struct stored;

struct stored *stored_start(const struct config *config);
/* The job is its own from now on; it answers it. Any thread. */
void stored_wait(struct stored *s, struct job *j);
/* Answers those whose time is over, or all; to be called a few times a second. */
void stored_expire(struct stored *s, bool all);
size_t stored_waiting(struct stored *s);
void stored_stop(struct stored *s); /* nobody waits any more; NULL is fine */

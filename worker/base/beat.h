/*
 * beat.h - heartbeats: each thread says every few seconds that it goes round, also while it waits.
 * One that is silent for a minute is what /livez and the service manager's watchdog call dead.
 */
#pragma once

#include "base/base.h"
#include "base/buf.h"

/* A place for a thread; the name is kept, up to 15 bytes. Counts as its first beat. */
size_t beat_join(const char *name);
void beat(size_t place); /* alive now; any thread, a store */
/* Rests: it does something that may take as long as it likes, within deadlines of its own. */
void beat_rest(size_t place);
void beat_leave(size_t place); /* the place may be another thread's from now on */

/* Appends a line for each thread that has been silent for too long. False if there is any. */
bool beat_all(struct buf *silent);
/* /livez: the status, and its body. Of heartbeats alone: a restart does not mend a database. */
unsigned beat_serve(void *ctx, struct buf *body);

/* beat() as of a given monotonic time, for tests. */
void beat_at(size_t place, int64_t mono_us);

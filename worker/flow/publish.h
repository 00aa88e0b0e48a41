/* publish.h - what the poll thread tells the world of itself, about once a second. Poll thread. */
#pragma once

#include "flow/assignment.h"
#include "flow/intake.h"
#include "flow/lanes.h"
#include "flow/partition.h"
#include "io/notify.h"
#include "show/status.h"

struct publish {
	const struct config *config;
	struct stream *const *streams;
	struct search_seen *searches; /* one per stream; publish_close() frees them */
	int64_t *paused_us; /* the same: since when its intake is paused, as was logged; 0: it is
			       not */
	struct pool *pool;
	struct lanes *lanes;
	struct partitions *partitions;
	const struct assignment *assignment;
	struct source *source;
	struct status *status;
	struct notify *notify; /* NULL: no service manager asked */
	size_t beat;           /* this thread's */
	int64_t due_us;        /* when to do it again */
};

/* How upkeep of a stream's search has failed, as far as its metrics tell. */
struct search_seen {
	int64_t failures, failed_us; /* how many there were, and when the last one was seen */
};

/* Says it all, in the state that the worker is in. Sets due_us. */
void publish_now(struct publish *pub, enum worker_state state);
void publish_close(struct publish *pub);

/* assignment.h - partitions come and go: looks, claims, starts, halts, revocations. Poll thread. */
#pragma once

#include "flow/settle.h"
#include "io/lookout.h"
#include "io/source.h"

struct assignment {
	const struct config *config;
	struct pool *pool;
	struct lanes *lanes;
	struct partitions *partitions;
	struct settle *settle;
	struct lookout *lookout;
	struct source *source;
	bool looking; /* a look is under way */
	bool stuck;   /* a lane did not give its batches back: the process has to end */
};

/* For struct source_ops, with the assignment as ctx. */
void assignment_assigned(struct assignment *a, struct source_partition **sps, size_t n);
/* Returns when nothing of them can be written any more. lost: nothing may be. */
void assignment_revoked(struct assignment *a, struct source_partition **sps, size_t n, bool lost);
/* sp: of the source's callback; text: librdkafka's. */
void assignment_fault(struct assignment *a, struct source_partition *sp, enum source_fault fault,
		      const char *text);

/* Drives what is due. Returns when something is due next (monotonic). */
int64_t assignment_drive(struct assignment *a);
/* The registry has news: partitions that wait for a schema go on. */
void assignment_schemas(struct assignment *a);

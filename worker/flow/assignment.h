/*
 * assignment.h - partitions come and go: looks, claims, starts, halts, revocations. Poll thread.
 */
#ifndef MEMINGEST_ASSIGNMENT_H
#define MEMINGEST_ASSIGNMENT_H

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
void assignment_revoked(struct assignment *a, struct source_partition **sps, size_t n, bool lost);
void assignment_fault(struct assignment *a, struct source_partition *sp, enum source_fault fault,
		      const char *text);

/* Drives what is due. Returns when something is due next (monotonic). */
int64_t assignment_drive(struct assignment *a);
/* The registry has news: partitions that wait for a schema go on. */
void assignment_schemas(struct assignment *a);

#endif

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
	char **missing;        /* per stream, in words: topics that Kafka does not have; or NULL */
	int64_t topics_due_us; /* when to ask for them again */
	bool looking;          /* a look is under way */
	bool news;             /* what the source called since the last drive: it is due again */
	bool stuck;            /* a lane did not give its batches back: the process has to end */
};

/* For struct source_ops, with the assignment as ctx. */
void assignment_assigned(struct assignment *a, struct source_partition **sps, size_t n);
/* Returns when nothing of them can be written any more. lost: nothing may be. */
void assignment_revoked(struct assignment *a, struct source_partition **sps, size_t n, bool lost);
/* sp: of the source's callback; text: librdkafka's. */
void assignment_fault(struct assignment *a, struct source_partition *sp, enum source_fault fault,
		      const char *text);

void assignment_close(struct assignment *a); /* what it has learned; zeroed is fine */

/* Drives what is due. Returns when something is due next (monotonic). */
int64_t assignment_drive(struct assignment *a);
/* The registry has news: partitions that wait for a schema go on. */
void assignment_schemas(struct assignment *a);

/* settle.h - what comes back from the lanes, to the partitions and the pool. Poll thread. */
#pragma once

#include "core/pool.h"
#include "flow/lanes.h"
#include "flow/partition.h"

struct settle {
	struct pool *pool;
	struct lanes *lanes;
	struct partitions *partitions;
	bool finite;                   /* of the origin: being fenced is the end */
	char unclaimed[ERR_TEXT_SIZE]; /* why, of the last claim that failed; logged */
};

/* Takes all that has come. */
void settle_results(struct settle *s);

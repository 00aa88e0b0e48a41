/*
 * offsets_skip.h - "offsets skip": the one message that a partition is stuck at becomes a dead
 * letter, and the partition goes on behind it.
 */
#pragma once

#include "cli/positions.h"
#include "core/config.h"
#include "io/refetch.h"

struct offsets_skip {
	const struct config *config;
	const struct position *position;
	const char *reason; /* the operator's, or NULL */
	struct refetched message;
	bool lost; /* result: it failed for lack of a session, which another try would not have */
};

/*
 * Reads the message at the partition's position, and whether it may go: a worker has written down
 * that it halts there, or there is a reason. Borrows all. False with class POISON when the request
 * makes no sense as things stand, RETRY when it may soon.
 */
MUST_CHECK bool offsets_skip_plan(struct offsets_skip *skip, const struct config *config,
				  const struct positions *positions, int32_t partition,
				  const char *reason, struct err *err);
/* One line: as it is meant (done: as it was done). */
void offsets_skip_print(const struct offsets_skip *skip, bool done);
/* All or nothing; RETRY: the partition moved meanwhile. who: for the letter. */
MUST_CHECK bool offsets_skip_apply(struct offsets_skip *skip, const char *who, struct err *err);
void offsets_skip_free(struct offsets_skip *skip);

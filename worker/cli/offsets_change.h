/*
 * offsets_change.h - what an operator may do to a partition's offset: go back, give up a range,
 * adopt a topic that was created anew.
 *
 * A plan is made first and can be shown; applied, it looks again, in one transaction. Every change
 * raises owner_epoch, which fences a running worker.
 */
#pragma once

#include "base/base.h"
#include "base/err.h"
#include "cli/positions.h"
#include "core/config.h"

enum offsets_verb { OFFSETS_REWIND, OFFSETS_ACCEPT_GAP, OFFSETS_ADOPT };

/* What --to says. */
enum offsets_to { TO_NONE, TO_EARLIEST, TO_OFFSET, TO_TIME };

struct offsets_request {
	enum offsets_verb verb;
	const char *topic;
	int32_t partition; /* -1: all */
	enum offsets_to to;
	int64_t to_value;   /* an offset, or milliseconds since 1970 */
	const char *reason; /* or NULL */
};

struct offsets_change {
	const struct position *position;
	int64_t to;
	bool gone; /* adopt: the new topic has no such partition */
	/* Result. */
	int64_t before, epoch;
	int64_t batches, cut, dead, gaps;
};

struct offsets_plan {
	struct offsets_request request;
	/* by topic and partition: the order in which rows are locked everywhere */
	struct offsets_change *changes;
	size_t n;
};

/* False with class POISON when the request makes no sense as things stand; borrows positions. */
MUST_CHECK bool offsets_plan(const struct offsets_request *request,
			     const struct positions *positions, struct offsets_plan *plan,
			     struct err *err);
/* One line per change, as it is meant (done: as it was done). */
void offsets_plan_print(const struct offsets_plan *plan, bool done);
void offsets_plan_print_json(const struct offsets_plan *plan, bool done); /* the same as an array */
/* All or nothing. who: for the rows' owner and the gaps' declared_by. */
MUST_CHECK bool offsets_apply(struct asker *asker, const struct config *config,
			      struct offsets_plan *plan, const char *who, struct err *err);
void offsets_plan_free(struct offsets_plan *plan); /* its changes; positions are the caller's */

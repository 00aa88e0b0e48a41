/*
 * replay.h - a part of Kafka's log as a source of events, read once more, outside any group: from
 * an offset to another in each partition, without what is left out. See io/source.h, io/origin.h.
 */
#pragma once

#include "base/base.h"
#include "base/err.h"
#include "io/lookout.h"
#include "io/source.h"

/* Offsets [from, to). */
struct replay_range {
	int64_t from, to;
};

struct replay_part {
	char *topic;
	int32_t partition;
	int64_t from, end; /* what is read: [from, end) */
	/* of it what is not handed over, ascending; ranges may touch and overlap */
	struct replay_range *left_out;
	size_t nleft_out;
};

/* Read-only while it is read. Zeroed is empty. */
struct replay {
	struct replay_part *parts;
	size_t n;
};

/* from < end. */
void replay_add(struct replay *r, const char *topic, int32_t partition, int64_t from, int64_t end);
struct replay_part *replay_find(const struct replay *r, const char *topic, int32_t partition);
/* Called with ascending "from". */
void replay_leave_out(struct replay_part *part, int64_t from, int64_t to);
bool replay_leaves_out(const struct replay_part *part, int64_t offset);
void replay_free(struct replay *r); /* what it holds */

/* For struct origin; self is the struct replay. */
struct source *replay_open(void *self, const struct config *config, const struct source_ops *ops,
			   void *ctx, struct err *err);
void replay_look(void *self, struct look *look);

/* How far it has come. The poll thread's. */
struct replay_view {
	int64_t read, total; /* offsets */
	int64_t holes;       /* offsets that hold no message: a transaction's marks, compaction */
	bool lost;           /* the log lost its beginning meanwhile: the rest cannot be read */
};
void replay_view(const struct source *s, struct replay_view *view);

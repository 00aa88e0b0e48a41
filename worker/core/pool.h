/*
 * pool.h - the batches there are, and whether an event of a stream may come in now.
 *
 * A slot is the place of one (lane, stream). It owns two batches: one fills while the other is
 * written. A slot that has none to fill, or no memory, takes nothing; the pool says since when,
 * why, and what that means for the partitions behind it:
 *
 *   SLOT_TAKES   events may come
 *   SLOT_WAITS   not now; worth waiting for, since a pause would throw away what has been fetched
 *   SLOT_SHUT    not for long: its partitions are to be paused, so that all others go on
 *
 * Pure: no threads, no clock of its own. Poll thread.
 */
#pragma once

#include "base/base.h"
#include "core/batch.h"

#define POOL_BATCHES_PER_SLOT 2

enum slot_state { SLOT_TAKES, SLOT_WAITS, SLOT_SHUT };
enum slot_lack { LACKS_NOTHING, LACKS_BATCH, LACKS_MEMORY };

struct slot {
	size_t lane;
	struct stream *stream;
	enum slot_state state;
	enum slot_lack lack;
	int64_t since_us; /* since when it takes nothing; monotonic */
	/* Its own. */
	struct batch *open, *spare; /* open: fills, or NULL; spare: empty, or NULL */
	struct batch *all[POOL_BATCHES_PER_SLOT];
	int64_t slow_until_us; /* until then it is shut as soon as it can not take */
};

struct pool_limits {
	size_t lanes, streams;
	size_t rows,
		bytes; /* events of a batch, and bytes of rows and dead letters: then it is full */
	size_t row_bytes; /* of one row, at most */
	size_t memory;    /* bytes in all batches together */
};

struct pool;

/* streams: "streams" of them, borrowed. Every slot has its batches at once. */
struct pool *pool_new(const struct pool_limits *limits, struct stream *const *streams);
void pool_free(struct pool *p); /* NULL is fine; frees all batches, wherever they are */

struct slot *pool_slots(struct pool *p, size_t *n); /* All of them, lane by lane. */
/* The slot of that stream at that lane. */
struct slot *pool_slot(struct pool *p, size_t lane, size_t stream);

/* The open batch, of a slot that takes, holds something since now_us, if it did not before. */
struct batch *pool_begin(struct slot *slot, int64_t now_us);
/* Whether anything is in it. */
bool pool_begun(const struct slot *slot);

enum fullness { NOT_FULL, FULL_ROWS, FULL_BYTES, FULL_MEMORY };
/* The open batch has grown: must it be sealed? */
enum fullness pool_grew(struct pool *p, struct slot *slot);

/* Takes the open batch out, to be written. It comes back by pool_back(), empty or not. */
struct batch *pool_seal(struct pool *p, struct slot *slot, int64_t now_us);
/* A lane has given it back: emptied, it is the slot's spare or open one. */
void pool_back(struct pool *p, struct batch *b, int64_t now_us);

/*
 * Looks at every slot: what batches with lanes hold by now, who takes again, who has waited for too
 * long. Returns when to look again, CLOCK_NEVER if only a batch that comes back changes anything.
 */
int64_t pool_look(struct pool *p, int64_t now_us);

/* A slot waits: nothing should be taken from Kafka before pool_look()'s time or a batch is back. */
bool pool_waits(const struct pool *p);
enum slot_lack pool_lack(const struct pool *p); /* of such a slot */

size_t pool_bytes(const struct pool *p);     /* in all batches */
size_t pool_in_flight(const struct pool *p); /* batches sealed and not back */

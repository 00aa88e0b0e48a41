/*
 * status_parts.h - the published snapshot, shared by status.c (who publishes, who reads) and status_render.c (what
 * it looks like).
 */
#ifndef MEMINGEST_STATUS_PARTS_H
#define MEMINGEST_STATUS_PARTS_H

#include "base/arena.h"
#include "base/buf.h"
#include "flow/status.h"

/* Since when a partition is behind, as far as we saw it. Wall clock; 0: it is not. */
struct behind {
	int64_t since_us;
	bool always; /* it was behind when we first knew: its records may be older than since_us */
};

/* Immutable once published. */
struct snapshot {
	struct arena *arena; /* of the arrays and texts */
	unsigned users;      /* guarded by the status's lock */
	int64_t taken_us;    /* wall clock */
	struct status_facts facts;
	struct behind *behind; /* per partition */
};

struct libraries {
	const char *librdkafka, *libpq;
};

/* status_beat() at a given monotonic time, for tests. */
void status_beat_at(size_t thread, int64_t mono_us);

/* Kafka's next record minus ours; -1 unknown. */
int64_t lag_records(const struct status_partition *p);
/* Age of the oldest record that is not durable; 0 when caught up, -1 unknown. */
int64_t lag_us(const struct snapshot *s, size_t partition, int64_t now_us);

/* Reasons why the worker is not ready, one per line; nothing if it is. snapshot may be NULL. */
void render_unready(const struct snapshot *snapshot, struct buf *out);
/* What stats_expose() does not know. statistics: librdkafka's JSON, or NULL. */
void render_metrics(const struct snapshot *snapshot, const struct libraries *libraries, bool per_partition,
		    struct slice statistics, struct buf *out);
void render_status(const struct snapshot *snapshot, const struct libraries *libraries, struct buf *out);
void render_version(const struct libraries *libraries, struct buf *out);

#endif

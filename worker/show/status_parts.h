/*
 * status_parts.h - the published snapshot, shared by status.c (who publishes, who reads),
 * status_render.c (what it looks like to Prometheus) and status_json.c (to people).
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "show/status.h"

/* Since when a partition is behind, as far as we saw it. Wall clock; 0: it is not. */
struct behind {
	int64_t since_us;
	bool always; /* it was behind when we first knew: its records may be older than since_us */
};

/* Immutable once published. */
struct snapshot {
	struct arena *arena; /* of the arrays and texts */
	unsigned users;      /* guarded by the status's lock */
	int64_t taken_us;    /* monotonic: its age is what counts */
	struct status_facts facts;
	struct behind *behind; /* per partition */
};

struct libraries {
	const char *librdkafka, *libpq;
};

/* What the renderers know. snapshot is NULL before the first. */
struct view {
	const struct snapshot *snapshot;
	const struct libraries *libraries;
	const struct config *config;
};

/* Of a stream's partitions. */
struct stream_sum {
	int64_t lag_records, lag_us; /* sum and maximum; -1: of none known */
	int64_t in_flight;           /* offsets taken and not durable */
	size_t partitions;
};

/* Kafka's next record minus ours; -1 unknown. */
int64_t lag_records(const struct status_partition *p);
/* Age of the oldest record that is not durable; 0 when caught up, -1 unknown. */
int64_t lag_us(const struct snapshot *s, size_t partition, int64_t now_us);

/* Of the stream's partitions in the snapshot, which may be NULL. */
struct stream_sum sum_stream(const struct snapshot *s, const char *stream, int64_t now_us);

/* Reasons why the worker is not ready, one per line; nothing if it is. snapshot may be NULL. */
void render_unready(const struct snapshot *snapshot, struct buf *out);
/*
 * What keeps a part of the work from being done, one per line: partitions that are halted or wait,
 * and topics that there are not.
 */
void render_troubles(const struct view *v, struct buf *out);
/* status_render.c: what stats_expose() does not know. statistics: librdkafka's JSON, or empty. */
void render_metrics(const struct view *v, struct slice statistics, struct buf *out);
/* status_json.c */
void render_status(const struct view *v, struct buf *out);
void render_version(const struct view *v, struct buf *out); /* /version */
void render_line(const struct view *v, struct buf *out);    /* for the service manager */

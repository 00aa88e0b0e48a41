/*
 * status.h - what the worker shows of itself: /metrics, /status, /livez, /readyz, /version.
 *
 * The poll thread publishes facts, at most once a second; the HTTP thread renders the newest ones
 * when asked. Nobody waits for anybody.
 *
 *   status_new() -> httpd_start(status_routes()) -> status_publish() .. -> httpd_stop()
 *                -> status_free()
 */
#pragma once

#include "base/base.h"
#include "core/config.h"
#include "io/httpd.h"

struct status;

enum worker_state {
	WORKER_STARTING, /* the group has not answered yet */
	WORKER_STANDBY,  /* not in the group: another process has what only one may write */
	WORKER_RUNNING,
	WORKER_DRAINING, /* told to stop: writes what it has */
	WORKER_STOPPED,
	WORKER_STATE_COUNT,
};

/* One partition of the assignment. Unknown numbers are -1, texts that say nothing NULL or empty. */
struct status_partition {
	const char *stream, *topic;
	int32_t partition;
	const char *state;  /* partition_state_name() */
	const char *paused; /* why it is paused */
	const char *error;  /* the last failure, or why it is halted */
	size_t lane;
	int32_t of;            /* partitions that the topic has; 0 unknown */
	int64_t next_offset;   /* durable: everything below is in PostgreSQL */
	int64_t position;      /* everything below was taken from Kafka */
	int64_t high;          /* high watermark */
	int64_t epoch;         /* of the claim */
	int64_t durable_ts_ms; /* timestamp of the last durable record */
	int64_t pending_ts_ms; /* timestamp of the oldest record taken but not durable */
};

struct status_lane {
	const char *state;  /* lane_state_name() */
	const char *phase;  /* of its transaction; NULL: in none */
	const char *stream; /* of the batch at hand; NULL: none */
	const char *error;
	bool connected;
	uint64_t batches;  /* written so far */
	size_t events;     /* of the batch at hand */
	unsigned attempts; /* at it that failed */
	unsigned jobs;     /* with the lane, the one at hand included */
	int64_t busy_us;   /* how long it has had that batch; -1: none */
};

/* The search of a stream's table by nearness; its numbers are metrics. */
struct status_search {
	const char *stream;
	const char *state; /* off, failing, waiting, building, settled */
};

/* A model that makes vectors. */
struct status_model {
	const char *name;  /* of [embed.NAME] */
	const char *state; /* model_state_name() */
	const char *error; /* the last failure; NULL or empty: it is fine */
	size_t waiting;    /* texts */
	size_t requests;   /* under way */
	uint32_t inputs;   /* texts of one request at most, as things are */
};

struct status_facts {
	enum worker_state state;
	bool joined; /* the group has answered, be it with an empty assignment */
	const struct status_partition *partitions;
	size_t npartitions;
	const struct status_lane *lanes;
	size_t nlanes;
	const struct status_search *searches; /* of the streams that are searched */
	size_t nsearches;
	const struct status_model *models;
	size_t nmodels;
	/* per stream of the config: its topics that there are not, in words, or NULL; NULL: unknown
	 */
	const char *const *missing;
};

/* Borrows config. library: "2.0.2" of librdkafka, "15.18" of libpq, for /version and a metric. */
struct status *status_new(const struct config *config, const char *librdkafka, const char *libpq);
void status_free(struct status *s); /* NULL is fine */

/* Poll thread. Copies everything. */
void status_publish(struct status *s, const struct status_facts *facts);
/* Poll thread. Keeps librdkafka's newest statistics, for when somebody asks for /metrics. */
void status_statistics(struct status *s, const char *json, size_t len);

/* The state in one line, for a service manager; without a newline. */
void status_line(struct status *s, struct buf *out);

/* For httpd_start(), with the status as ctx. */
const struct httpd_route *status_routes(size_t *n);

const char *worker_state_name(enum worker_state state); /* as labels and /status have it */

/* The metrics that are not in the stats table, to follow stats_write_docs(). */
void status_write_docs(struct buf *out);

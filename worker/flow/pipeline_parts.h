/*
 * pipeline_parts.h - the pipeline's own data, shared by the four files that make it up: pipeline.c
 * (the loop, results, shutdown), intake.c (a message into a batch), assignment.c (claims,
 * revocations, rewinds) and publish.c (what it tells of itself). Nobody else includes it.
 */
#ifndef MEMINGEST_PIPELINE_PARTS_H
#define MEMINGEST_PIPELINE_PARTS_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/queue.h"
#include "core/batch.h"
#include "core/config.h"
#include "core/guard.h"
#include "core/stream.h"
#include "flow/partition.h"
#include "io/httpd.h"
#include "io/notify.h"
#include "io/registry.h"
#include "io/source.h"
#include "show/status.h"
#include "write/lane.h"

/* A fenced partition that is still ours is claimed again after this; see assignment.c. */
#define FENCED_DELAY_US (3 * US_PER_S)
/* Claims that may be with one lane at a time: as many as one assignment can have partitions. */
#define MAX_CLAIMS 10000

/* The open batch of one (lane, stream). */
struct slot {
	size_t lane;
	struct stream *stream;
	struct batch *batch;    /* NULL: starved */
	int64_t starved_us;     /* since when it has none; 0: it has one */
	bool partitions_paused; /* starved for so long that its partitions were paused */
	/* why the lane holds its batches, when that was last looked at; empty: it does not */
	char held[ERR_TEXT_SIZE];
};

struct pipeline {
	const struct config *config;
	struct stream **streams;
	struct slot *slots; /* [lane * nstreams + stream] */
	size_t nslots;
	struct lane **lanes;
	struct batch ***free_batches; /* per lane, a stack */
	size_t *nfree;
	size_t batches_per_lane;
	unsigned *lane_jobs; /* jobs with each lane */
	/* what a transaction of each lane costs before its first row; 0: not known yet */
	int64_t *lane_cost_us;
	struct queue *inbox;
	struct source *source;
	struct registry *registry;
	struct status *status;
	struct httpd *httpd;
	struct notify *notify; /* NULL: no service manager asked */
	struct decoder *decoder;
	struct guard *guards; /* per stream: what could not be decoded */
	struct arena *names;  /* interned topic names */
	const char **topics;
	size_t ntopics;

	struct partition **partitions; /* of the assignment, and GONE ones with work in flight */
	size_t npartitions, cap_partitions;
	/* slots that are starved and whose partitions are not paused: intake must wait */
	size_t blocking;
	uint64_t memory; /* bytes in all batches */
	/* bytes of pages that free batches keep, and had before they were filled */
	uint64_t resident;
	uint64_t batch_number;
	struct taken_count {
		uint64_t events, decoded, bytes;
	} * taken; /* per stream, since the last stats_add() */

	size_t beat; /* this thread's */
	int signal_fd;
	bool draining;   /* SIGTERM came */
	int64_t told_us; /* when */
	int64_t drain_deadline_us;
	bool source_drained; /* the last source_poll() found nothing more */
	int64_t next_commit_us, next_status_us;
	bool stopped;
	int exit_code;
};

/* --- intake.c --- */

bool intake_message(void *ctx, const struct source_message *m);
void intake_eof(void *ctx, struct source_partition *sp, int64_t offset);
bool intake_ready(const struct pipeline *p); /* every slot that may receive an event can take one */
/* SEAL_*; the batch goes to its lane */
void slot_seal(struct pipeline *p, struct slot *slot, size_t reason);
/* a free batch for a starved slot, if there is one */
void slot_feed(struct pipeline *p, struct slot *slot);
struct slot *slot_of(struct pipeline *p, const struct partition *part);
void batch_release(struct pipeline *p, struct batch *b); /* back to its lane's free stack */

/* --- assignment.c --- */

void assignment_assigned(void *ctx, struct source_partition **sps, size_t n);
void assignment_revoked(void *ctx, struct source_partition **sps, size_t n, bool lost);
void assignment_fault(void *ctx, struct source_partition *sp, enum source_fault fault,
		      const char *text);
/*
 * Drives what is due: claims, seeks, second looks at halted partitions. Returns when something is
 * due next (monotonic).
 */
int64_t assignment_drive(struct pipeline *p);
void assignment_claimed(struct pipeline *p, struct job *job);
void partition_halt(struct pipeline *p, struct partition *part, const struct err *err);
void partition_pause(struct pipeline *p, struct partition *part, enum pause_cause cause);
/*
 * Whatever was taken but is not durable is dropped and will be read again, from the offset that
 * PostgreSQL says.
 */
void partition_rewind(struct pipeline *p, struct partition *part, int64_t delay_us);
/* frees a GONE one once nothing is in flight */
void partition_release(struct pipeline *p, struct partition *part);

/* --- publish.c --- */

void publish_counts(struct pipeline *p); /* per turn */
void publish_status(struct pipeline *p); /* about once a second; sets next_status_us */

/* --- pipeline.c --- */

void pipeline_take_results(struct pipeline *p);
void pipeline_wait_jobs(struct pipeline *p, bool (*done)(const struct pipeline *p, const void *arg),
			const void *arg, int64_t deadline_us);
void pipeline_push(struct pipeline *p, size_t lane, struct job *job);
const char *pipeline_intern(struct pipeline *p, const char *topic);
void pipeline_fail(struct pipeline *p, int exit_code, const char *why);

#endif

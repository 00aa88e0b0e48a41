/*
 * lanes.c - what goes to the lanes, what comes back, and when a batch is worth sending.
 *
 * While a lane is busy its next batch grows, which is what the database needs when it is the
 * bottleneck. Once the lane is idle a batch goes as soon as it is worth a transaction
 * (allowance.c), so that events, those that end a backlog too, do not wait for nothing.
 *
 * Invariant: a batch has one owner: a slot, a job on its way, the embedder, a lane, the reader, or
 * the slot's spare place. It moves only through queues, each of which has room for every job there
 * can be.
 *
 * Thread: the poll thread.
 */
#include "flow/lanes.h"

#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/stats.h"
#include "core/stream.h"

/* Claims that may be with one lane at a time: as many as one assignment can have partitions. */
#define MAX_CLAIMS 10000

/* Queues have room for every job there can be, so pushing cannot fail. */
void lanes_open(struct lanes *ls, const struct config *config, const struct origin *origin,
		const struct store_class *store, struct pool *pool, struct stream *const *streams)
{
	size_t batches = POOL_BATCHES_PER_SLOT * config->nstreams, jobs = batches + MAX_CLAIMS;
	*ls = (struct lanes){.config = config, .pool = pool, .n = config->lanes};
	ls->inbox = queue_new(ls->n * jobs);
	ls->reader = reader_start(config, origin, ls->n * batches);
	ls->all = xcalloc(ls->n, sizeof(struct lane *));
	ls->jobs = xcalloc(ls->n, sizeof(*ls->jobs));
	ls->allowance = xcalloc(ls->n, sizeof(*ls->allowance));
	for (size_t i = 0; i < ls->n; i++)
		ls->all[i] = lane_start(config, store, streams, config->nstreams, i, ls->reader,
					ls->inbox, jobs);
	ls->embedder = embedder_start(config, streams, config->nstreams, ls->all, ls->n, ls->reader,
				      ls->inbox, ls->n * batches);
}

/* The embedder first: it gives jobs to lanes. */
void lanes_stop(struct lanes *ls)
{
	embedder_stop(ls->embedder);
	ls->embedder = NULL;
	for (size_t i = 0; ls->all && i < ls->n; i++)
		lane_stop(ls->all[i]);
	reader_stop(ls->reader);
}

void lanes_close(struct lanes *ls)
{
	queue_free(ls->inbox);
	free(ls->all);
	free(ls->jobs);
	free(ls->allowance);
}

/* --- out --- */

/* Counted until it is back. */
static void push(struct lanes *ls, size_t lane, struct job *job)
{
	ls->jobs[lane]++;
	job->lane = lane;
	if (job->kind == JOB_WRITE && job->batch->stream->table->nembeds > 0)
		embedder_push(ls->embedder, job);
	else
		lane_push(ls->all[lane], job);
}

/* From here on the batch is the lane's. */
void lanes_seal(struct lanes *ls, struct slot *slot, size_t reason)
{
	int64_t now = clock_mono_us();
	struct batch *b = pool_seal(ls->pool, slot, now);
	struct job *job = xcalloc(1, sizeof(*job));
	job->kind = JOB_WRITE;
	job->batch = b;
	job->pushed_us = now;
	stats_add(METRIC_BATCHES_SEALED, slot->stream->index, reason, 1);
	stats_observe(METRIC_BATCH_FILL_SECONDS, slot->stream->index, now - b->opened_us);
	for (size_t i = 0; i < b->nspans; i++)
		((struct partition *)b->spans[i].owner)->in_flight++;
	allowance_spend(&ls->allowance[slot->lane], now, b->nevents + b->ndead);
	push(ls, slot->lane, job);
}

/* What waits for its vectors does not keep the lane busy. */
static unsigned at_lane(const struct lanes *ls, size_t lane)
{
	unsigned elsewhere = ls->embedder ? embedder_jobs(ls->embedder, lane) : 0;
	return ls->jobs[lane] - MIN(ls->jobs[lane], elsewhere);
}

int64_t lanes_seal_due(const struct lanes *ls, const struct slot *slot)
{
	const struct batch *b = slot->open;
	int64_t age = ls->config->batch_max_age_us;
	if (ls->config->batch_adaptive && at_lane(ls, slot->lane) == 0)
		return allowance_due(&ls->allowance[slot->lane], b->opened_us,
				     b->nevents + b->ndead, age);
	return b->opened_us + age;
}

/* The answer comes by the inbox, in the same job. */
void lanes_claim(struct lanes *ls, struct partition *part)
{
	struct job *job = xcalloc(1, sizeof(*job));
	job->kind = JOB_CLAIM;
	job->owner = part;
	job->claim = (struct sink_claim){.topic = part->topic,
					 .partition = part->partition,
					 .topic_id = part->topic_id,
					 .low = part->low,
					 .starts = part->starts->offsets,
					 .nstarts = part->starts->n};
	push(ls, part->slot->lane, job);
}

void lanes_tell_halt(struct lanes *ls, struct partition *part)
{
	struct job *job = xcalloc(1, sizeof(*job));
	job->kind = JOB_HALT;
	job->owner = part;
	job->claim = (struct sink_claim){.topic = part->topic,
					 .partition = part->partition,
					 .next_offset = part->position,
					 .owner_epoch = part->epoch};
	err_set(&job->err, ERR_CONFIG, "%.*s", (int)part->untold, part->error);
	part->untold = 0;
	part->in_flight++;
	push(ls, part->slot->lane, job);
}

/* --- letting go --- */

void lanes_abort(struct lanes *ls, size_t lane)
{
	if (ls->embedder)
		embedder_abort(ls->embedder, lane);
	lane_abort(ls->all[lane]);
}

void lanes_resume(struct lanes *ls, size_t lane)
{
	if (ls->embedder)
		embedder_resume(ls->embedder, lane);
	lane_resume(ls->all[lane]);
}

void lanes_release(struct lanes *ls, size_t lane)
{
	if (ls->embedder)
		embedder_release(ls->embedder, lane);
	lane_release(ls->all[lane]);
}

void lanes_drain(struct lanes *ls)
{
	if (ls->embedder)
		embedder_drain(ls->embedder);
	for (size_t i = 0; i < ls->n; i++)
		lane_drain(ls->all[i]);
}

bool lanes_connected(const struct lanes *ls)
{
	bool connected = true;
	for (size_t i = 0; i < ls->n; i++) {
		struct lane_view view;
		lane_look(ls->all[i], &view);
		connected &= view.connected;
	}
	return connected;
}

bool lanes_stand_by(const struct lanes *ls)
{
	bool stands_by = false;
	for (size_t i = 0; i < ls->n; i++) {
		struct lane_view view;
		lane_look(ls->all[i], &view);
		stands_by |= view.stands_by;
	}
	return stands_by;
}

/* What is at the lane came before what waits for its vectors. */
void lanes_look_at_line(struct lanes *ls, const struct slot *slot, struct line_view *view)
{
	lane_look_at_line(ls->all[slot->lane], slot->stream->index, view);
	if (view->state == LINE_FLOWS && slot->stream->table->nembeds > 0 && ls->embedder)
		embedder_look(ls->embedder, slot->lane, slot->stream->index, view);
}

/* --- back --- */

/* NULL: none is back. */
struct job *lanes_take(struct lanes *ls)
{
	struct job *job = queue_pop(ls->inbox);
	if (!job)
		return NULL;
	ls->jobs[job->lane]--;
	if (job->kind == JOB_WRITE) {
		allowance_learn(&ls->allowance[job->lane], job->took_us,
				job->batch->nevents + job->batch->ndead);
		stats_observe(METRIC_BATCH_QUEUE_SECONDS, job->batch->stream->index,
			      MAX(clock_mono_us() - job->pushed_us - job->took_us, 0));
	}
	return job;
}

size_t lanes_jobs(const struct lanes *ls)
{
	size_t n = 0;
	for (size_t i = 0; i < ls->n; i++)
		n += ls->jobs[i];
	return n;
}

/*
 * pipeline.c - the poll thread's loop, and the only place that knows all the others.
 *
 *               +-------------------- this thread ---------------------+
 *   Kafka ----> source --> intake (decode) --> slot's open batch        |    lanes, a thread each
 *               |  ^                             | sealed: full or old  |
 *               |  |  pause, seek, commit        +----- job queue ------+----> sink --> PostgreSQL
 *               |  +---- assignment <---- inbox (results) <-------------+---- decided batch
 *               +------------------------------------------------------+
 *
 * What must always hold:
 *   1. Kafka's committed offset never passes the offset that is durable in PostgreSQL:
 * source_commit() gets part->durable only.
 *   2. Rows, dead letters and offsets of a batch commit in one transaction or not at all (sink.c).
 *   3. A worker that lost a partition can commit nothing for it: the swap on (next_offset,
 * owner_epoch) fails (sink.c).
 *   4. A batch has one owner: a slot, a job on its way, a lane, or the free stack. It moves only
 * through queues.
 *   5. Memory is bounded: a fixed number of batches per lane, batch.memory over all, librdkafka's
 * queue by its own limit.
 *   6. Order per key: a partition has one lane, a lane writes in order, a batch folds in order
 * (core/fold.c).
 *   7. Every event ends merged, superseded, dead-lettered or in a declared gap; the counters of the
 * four add up.
 *
 * One wait per turn: Kafka's descriptor, the inbox, the registry and signals, until the earliest
 * deadline (oldest open batch, next retry, next offset commit, next status).
 *
 * A SIGTERM drains: no more intake, every open batch is sealed, results are awaited for
 * shutdown.timeout, then the lanes are aborted and the group is left, which is waited for some
 * seconds only. What was not written is not committed. A second SIGTERM, a second or more after the
 * first, ends the process at once, which is safe as well. SIGHUP opens a new Kafka client, because
 * librdkafka reads certificates and secrets only then; PostgreSQL's and the registry's are read at
 * each login and request anyway.
 */
#include "flow/pipeline.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/beat.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/stats.h"
#include "codec/reason.h"
#include "codec/table.h"
#include "flow/pipeline_parts.h"
#include "io/kafka_client.h"
#include "io/pg.h"

#define POLL_MESSAGES 1000
#define COMMIT_EVERY_US (200 * US_PER_MS)
#define STARVED_PAUSE_US US_PER_S
#define SAME_SIGNAL_US US_PER_S
#define ABANDON_MS 300
#define LEAVE_QUIET_US US_PER_S
#define LEAVE_BUDGET_US (5 * US_PER_S)
#define ADAPTIVE_WAIT 20
#define FIXED_COST_ROWS 200
#define EXIT_INTERNAL_ERROR 70
#define EXIT_BAD_CONFIG 78

const char *pipeline_intern(struct pipeline *p, const char *topic)
{
	for (size_t i = 0; i < p->ntopics; i++)
		if (strcmp(p->topics[i], topic) == 0)
			return p->topics[i];
	p->topics = xrealloc(p->topics, (p->ntopics + 1) * sizeof(*p->topics));
	return p->topics[p->ntopics++] = arena_strdup(p->names, topic);
}

void pipeline_fail(struct pipeline *p, int exit_code, const char *why)
{
	log_error("the worker can not go on", F_STR("error", why));
	notify_send(p->notify, "STOPPING=1");
	p->stopped = true;
	p->exit_code = exit_code;
}

void pipeline_push(struct pipeline *p, size_t lane, struct job *job)
{
	p->lane_jobs[lane]++;
	lane_push(p->lanes[lane], job);
}

/* --- results --- */

static void span_committed(struct partition *part, const struct span *span)
{
	part->durable = span->to;
	part->commit_due = part->commit_due || span->to > span->from;
	part->sure_us = clock_mono_us();
	if (span->last_ts_ms >= 0)
		part->durable_ts_ms = span->last_ts_ms;
	if (part->position == span->to)
		part->pending_ts_ms = -1;
}

static void span_decided(struct pipeline *p, struct batch *b, struct span *span)
{
	struct partition *part = span->owner;
	size_t stream = b->stream->index;
	part->in_flight--;
	switch (span->result) {
	case SPAN_COMMITTED:
		span_committed(part, span);
		stats_add(METRIC_RECORDS_MERGED, stream, 0, span->written);
		stats_add(METRIC_RECORDS_SUPERSEDED, stream, 0, span_superseded(span));
		if (span->first_ts_ms >= 0)
			stats_observe(METRIC_END_TO_END_SECONDS, stream,
				      clock_wall_us() - span->first_ts_ms * US_PER_MS);
		break;
	case SPAN_FENCED:
		stats_add(METRIC_FENCED, 0, 0, 1);
		log_warn("fenced: another worker or an operator moved the offset, nothing was "
			 "written",
			 F_STR("topic", span->topic), F_INT("partition", span->partition),
			 F_INT("from_offset", span->from), F_STR("found", span->note));
		partition_rewind(p, part, FENCED_DELAY_US);
		break;
	case SPAN_DROPPED:
		break;
	case SPAN_ABANDONED:
		partition_rewind(p, part, 0);
		break;
	case SPAN_OPEN:
		abort(); /* a lane decides every span */
	}
	partition_release(p, part);
}

static void count_dead(const struct batch *b)
{
	for (size_t i = 0; i < b->ndead; i++)
		if (b->spans[b->dead[i].span].result == SPAN_COMMITTED)
			stats_add(METRIC_DEAD_LETTERS, b->stream->index, b->dead[i].reason, 1);
}

static void batch_back(struct pipeline *p, struct batch *b)
{
	struct slot *slot = &p->slots[b->lane * p->config->nstreams + b->stream->index];
	bool committed = false;
	for (size_t i = 0; i < b->nspans; i++)
		committed = committed || (b->spans[i].result == SPAN_COMMITTED &&
					  b->spans[i].to > b->spans[i].from);
	if (committed) {
		stats_add(METRIC_BATCHES_COMMITTED, b->stream->index, 0, 1);
		stats_observe(METRIC_BATCH_ROWS, b->stream->index,
			      (int64_t)(b->nevents + b->ndead));
		stats_observe(METRIC_BATCH_BYTES, b->stream->index, (int64_t)b->rows.len);
		stats_set(METRIC_LAST_PROGRESS, 0, 0, clock_wall_us());
	}
	count_dead(b);
	for (size_t i = 0; i < b->nspans; i++)
		span_decided(p, b, &b->spans[i]);
	batch_release(p, b);
	slot_feed(p, slot);
	for (size_t i = 0; i < p->nslots; i++)
		slot_feed(p, &p->slots[i]);
}

/*
 * Learns the part of a transaction's time that does not grow with its rows: about as long as
 * FIXED_COST_ROWS rows take. It at most doubles, so that one slow flush of the disk does not make
 * the next events wait long.
 */
static void learn_cost(int64_t *cost_us, const struct job *job)
{
	int64_t events = (int64_t)(job->batch->nevents + job->batch->ndead);
	int64_t cost = job->took_us * FIXED_COST_ROWS / (FIXED_COST_ROWS + events);
	*cost_us = *cost_us > 0 ? MIN(cost, 2 * *cost_us) : cost;
}

void pipeline_take_results(struct pipeline *p)
{
	struct job *job;
	assert(p->lane_jobs); /* made together with the inbox */
	while ((job = queue_pop(p->inbox))) {
		p->lane_jobs[job->lane]--;
		switch (job->kind) {
		case JOB_WRITE:
			if (job->err.class == ERR_FATAL)
				pipeline_fail(p, EXIT_INTERNAL_ERROR, job->err.text);
			learn_cost(&p->lane_cost_us[job->lane], job);
			stats_observe(METRIC_BATCH_QUEUE_SECONDS, job->batch->stream->index,
				      clock_mono_us() - job->pushed_us - job->took_us);
			batch_back(p, job->batch);
			break;
		case JOB_CLAIM:
			assignment_claimed(p, job);
			partition_release(p, job->owner);
			break;
		case JOB_STOP:
			abort();
		}
		free(job);
	}
}

static void take_signals(struct pipeline *p);

void pipeline_wait_jobs(struct pipeline *p, bool (*done)(const struct pipeline *p, const void *arg),
			const void *arg, int64_t deadline_us)
{
	struct pollfd fds[2] = {{.fd = queue_fd(p->inbox), .events = POLLIN},
				{.fd = p->signal_fd, .events = POLLIN}};
	for (;;) {
		pipeline_take_results(p);
		take_signals(p);
		int wait = clock_poll_ms(deadline_us);
		if (done(p, arg) || wait == 0)
			return;
		beat(p->beat);
		(void)poll(fds, 2, wait);
	}
}

/* --- what is due --- */

/*
 * When the open batch has waited long enough. While its lane is busy, as long as max_age allows:
 * the batch grows, which is what PostgreSQL needs when it is the bottleneck. Once the lane is idle,
 * ADAPTIVE_WAIT times what a transaction costs before its first row: then that cost takes up at
 * most a twentieth of the lane's time, and events, those that end a backlog too, do not wait for
 * nothing.
 */
static int64_t seal_due(const struct pipeline *p, const struct slot *slot)
{
	int64_t age = p->config->batch_max_age_us, cost = p->lane_cost_us[slot->lane];
	if (p->config->batch_adaptive && cost > 0 && p->lane_jobs[slot->lane] == 0)
		age = MIN(age, ADAPTIVE_WAIT * cost);
	return slot->batch->opened_us + age;
}

static int64_t seal_aged(struct pipeline *p)
{
	int64_t now = clock_mono_us(), next = CLOCK_NEVER;
	for (size_t i = 0; i < p->nslots; i++) {
		struct batch *b = p->slots[i].batch;
		if (!b || b->opened_us == 0)
			continue;
		int64_t due = seal_due(p, &p->slots[i]);
		if (due <= now || p->draining)
			slot_seal(p, &p->slots[i], p->draining ? SEAL_DRAIN : SEAL_AGE);
		else
			next = MIN(next, due);
	}
	return next;
}

static int64_t commit_offsets(struct pipeline *p)
{
	int64_t now = clock_mono_us();
	bool later = false;
	for (size_t i = 0; i < p->npartitions; i++) {
		struct partition *part = p->partitions[i];
		if (!part->commit_due || !part->sp)
			continue;
		if (now < p->next_commit_us) {
			later = true;
			continue;
		}
		part->commit_due = false;
		source_commit(p->source, part->sp, part->durable);
	}
	if (!later && now >= p->next_commit_us)
		p->next_commit_us = now + COMMIT_EVERY_US;
	return later ? p->next_commit_us : CLOCK_NEVER;
}

static void pause_partitions_of(struct pipeline *p, struct slot *slot)
{
	for (size_t i = 0; i < p->npartitions; i++) {
		struct partition *part = p->partitions[i];
		if (part->state == PARTITION_ACTIVE && slot_of(p, part) == slot)
			partition_pause(p, part, PAUSE_BATCHES);
	}
	slot->partitions_paused = true;
	p->blocking--;
}

/*
 * Slots that have starved for long stop holding up the others, and the group hears from us again.
 */
static int64_t relieve_starved(struct pipeline *p)
{
	int64_t now = clock_mono_us(), next = CLOCK_NEVER;
	for (size_t i = 0; i < p->nslots; i++) {
		struct slot *slot = &p->slots[i];
		slot_feed(p, slot);
		if (slot->batch || slot->partitions_paused)
			continue;
		int64_t due = slot->starved_us + STARVED_PAUSE_US;
		if (due <= now) {
			log_warn("intake paused: every batch of the lane is waiting for PostgreSQL",
				 F_STR("stream", slot->stream->config->name),
				 F_INT("lane", slot->lane));
			pause_partitions_of(p, slot);
		} else {
			next = MIN(next, due);
		}
	}
	return next;
}

static void serve_registry(struct pipeline *p)
{
	struct pollfd fd = {.fd = registry_fd(p->registry), .events = POLLIN};
	if (poll(&fd, 1, 0) <= 0)
		return;
	registry_ack(p->registry);
	for (size_t i = 0; i < p->npartitions; i++) {
		struct partition *part = p->partitions[i];
		if (part->state != PARTITION_PAUSED || part->cause != PAUSE_SCHEMA)
			continue;
		partition_set(part, PARTITION_STARTING);
		part->retry_us = 0;
	}
}

/* --- signals and the end --- */

static void start_draining(struct pipeline *p, uint32_t signo)
{
	log_info("draining", F_INT("signal", signo),
		 F_REAL("timeout_s", (double)p->config->shutdown_timeout_us / (double)US_PER_S));
	p->draining = true;
	publish_status(p);
	p->told_us = clock_mono_us();
	p->drain_deadline_us = p->told_us + p->config->shutdown_timeout_us;
}

/*
 * A second signal that follows at once is the first, sent twice (a shell and its process group, a
 * service manager and an operator).
 */
static void take_signal(struct pipeline *p, uint32_t signo)
{
	if (signo == SIGHUP && !p->draining) {
		log_info("SIGHUP: certificates and secrets are read anew");
		source_reload(p->source);
	} else if (signo != SIGHUP && !p->draining) {
		start_draining(p, signo);
	} else if (signo != SIGHUP && clock_mono_us() - p->told_us >= SAME_SIGNAL_US) {
		log_warn("second signal, ending at once", F_INT("signal", signo));
		source_abandon(p->source, ABANDON_MS);
		_exit(0);
	}
}

static void take_signals(struct pipeline *p)
{
	struct signalfd_siginfo info;
	while (read(p->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		take_signal(p, info.ssi_signo);
}

static size_t jobs_under_way(const struct pipeline *p)
{
	size_t n = 0;
	for (size_t i = 0; i < p->config->lanes; i++)
		n += p->lane_jobs[i];
	return n;
}

static bool all_done(const struct pipeline *p, const void *arg)
{
	(void)arg;
	return jobs_under_way(p) == 0;
}

static void finish(struct pipeline *p)
{
	seal_aged(p);
	pipeline_wait_jobs(p, all_done, NULL, p->drain_deadline_us);
	if (jobs_under_way(p) > 0) {
		log_warn("shutdown.timeout is over: what is not written will be read again",
			 F_INT("batches", jobs_under_way(p)));
		for (size_t i = 0; i < p->config->lanes; i++)
			lane_abort(p->lanes[i]);
		pipeline_wait_jobs(p, all_done, NULL, clock_mono_us() + US_PER_S);
	}
	p->stopped = true;
}

/* --- the loop --- */

static bool intake_turn(struct pipeline *p)
{
	if (!intake_ready(p))
		return false;
	int64_t start = clock_mono_us();
	size_t n = source_poll(p->source, POLL_MESSAGES);
	int64_t took = clock_mono_us() - start;
	stats_add(METRIC_BUSY_SECONDS, STAGE_POLL, 0, took);
	if (n > 0)
		stats_observe(METRIC_DECODE_SECONDS, 0, took);
	p->source_drained = n < POLL_MESSAGES && intake_ready(p);
	return n > 0;
}

static void wait_turn(struct pipeline *p, int64_t deadline_us)
{
	bool intake = intake_ready(p);
	struct pollfd fds[] = {
		{.fd = queue_fd(p->inbox), .events = POLLIN},
		{.fd = p->signal_fd, .events = POLLIN},
		{.fd = registry_fd(p->registry), .events = POLLIN},
		{.fd = intake ? source_fd(p->source) : -1, .events = POLLIN},
	};
	int64_t start = clock_mono_us();
	(void)poll(fds, ARRAY_LEN(fds), clock_poll_ms(deadline_us));
	if (!intake && !p->draining)
		stats_add(METRIC_BACKPRESSURE_SECONDS, p->blocking ? CAUSE_BATCHES : CAUSE_MEMORY,
			  0, clock_mono_us() - start);
}

static void pipeline_turn(struct pipeline *p)
{
	take_signals(p);
	if (p->draining) {
		finish(p);
		return;
	}
	pipeline_take_results(p);
	serve_registry(p);
	int64_t next = assignment_drive(p);
	next = MIN(next, seal_aged(p));
	next = MIN(next, relieve_starved(p));
	next = MIN(next, commit_offsets(p));
	intake_turn(p);
	publish_counts(p);
	if (clock_mono_us() >= p->next_status_us)
		publish_status(p);
	next = MIN(next, p->next_status_us);
	if (intake_ready(p) && !p->source_drained)
		return;
	wait_turn(p, MIN(next, seal_aged(p)));
}

static void source_failed(void *ctx, const char *text)
{
	pipeline_fail(ctx, EXIT_INTERNAL_ERROR, text);
}

static void source_statistics(void *ctx, const char *json, size_t len)
{
	const struct pipeline *p = ctx;
	status_statistics(p->status, json, len);
}

static const struct source_ops source_callbacks = {
	.assigned = assignment_assigned,
	.revoked = assignment_revoked,
	.message = intake_message,
	.eof = intake_eof,
	.fault = assignment_fault,
	.fatal = source_failed,
	.statistics = source_statistics,
};

/* --- set-up and tear-down --- */

static bool block_signals(struct pipeline *p)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	signal(SIGPIPE, SIG_IGN);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	p->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return p->signal_fd >= 0;
}

static bool load_streams(struct pipeline *p, struct err *err)
{
	const struct config *c = p->config;
	p->streams = xcalloc(c->nstreams, sizeof(struct stream *));
	for (size_t i = 0; i < c->nstreams; i++)
		if (!(p->streams[i] = stream_new(c, i, err)))
			return false;
	return true;
}

static void name_stats(const struct config *c)
{
	const char **names = xcalloc(c->nstreams, sizeof(*names));
	const char *reasons[REASON_COUNT];
	for (size_t i = 0; i < c->nstreams; i++)
		names[i] = c->streams[i].name;
	for (size_t i = 0; i < REASON_COUNT; i++)
		reasons[i] = dead_reason_name((enum dead_reason)i);
	stats_init(names, c->nstreams, reasons, REASON_COUNT);
	free(names);
	stats_set(METRIC_BATCH_MEMORY_LIMIT, 0, 0, (int64_t)c->batch_memory);
	stats_set(METRIC_BATCHES_LIMIT, 0, 0, (int64_t)(c->lanes * (c->nstreams + 1)));
}

/* Per lane: one open batch per stream, one being written. */
static void make_lanes(struct pipeline *p)
{
	const struct config *c = p->config;
	p->batches_per_lane = c->nstreams + 1;
	p->inbox = queue_new(c->lanes * (p->batches_per_lane + MAX_CLAIMS));
	p->lanes = xcalloc(c->lanes, sizeof(struct lane *));
	p->lane_jobs = xcalloc(c->lanes, sizeof(*p->lane_jobs));
	p->lane_cost_us = xcalloc(c->lanes, sizeof(*p->lane_cost_us));
	p->nfree = xcalloc(c->lanes, sizeof(*p->nfree));
	p->free_batches = xcalloc(c->lanes, sizeof(struct batch **));
	p->nslots = c->lanes * c->nstreams;
	p->slots = xcalloc(p->nslots, sizeof(*p->slots));
	for (size_t lane = 0; lane < c->lanes; lane++) {
		p->free_batches[lane] = xcalloc(p->batches_per_lane, sizeof(struct batch *));
		for (size_t i = 0; i < p->batches_per_lane; i++) {
			struct batch *b = batch_new(c->batch_max_rows,
						    c->batch_max_bytes + c->limits.max_row_bytes);
			b->lane = lane;
			p->free_batches[lane][p->nfree[lane]++] = b;
		}
		p->lanes[lane] = lane_start(c, p->streams, c->nstreams, lane, p->inbox,
					    p->batches_per_lane + MAX_CLAIMS);
		for (size_t i = 0; i < c->nstreams; i++) {
			struct slot *slot = &p->slots[lane * c->nstreams + i];
			*slot = (struct slot){.lane = lane, .stream = p->streams[i]};
			slot_feed(p, slot);
		}
	}
}

static bool open_http(struct pipeline *p, struct err *err)
{
	size_t n;
	const struct httpd_route *routes = status_routes(&n);
	if (strcmp(p->config->http_listen, "off") == 0)
		return true;
	p->httpd = httpd_start(p->config->http_listen, routes, n, p->status, err);
	if (p->httpd)
		log_info("listening for HTTP", F_STR("listen", p->config->http_listen),
			 F_INT("port", httpd_port(p->httpd)));
	return p->httpd != NULL;
}

static bool pipeline_open(struct pipeline *p, struct err *err)
{
	const struct config *c = p->config;
	if (!block_signals(p))
		return err_set(err, ERR_FATAL, "signalfd: %s", strerror(errno));
	name_stats(c);
	if (!load_streams(p, err))
		return false;
	p->names = arena_new();
	p->status = status_new(c, kafka_version(), pg_library_version());
	p->decoder = decoder_new(&c->limits);
	p->guards = xcalloc(c->nstreams, sizeof(*p->guards));
	p->taken = xcalloc(c->nstreams, sizeof(*p->taken));
	if (!(p->registry = registry_new(c, err)))
		return false;
	make_lanes(p);
	p->source = source_new(c, &source_callbacks, p, err);
	if (!p->source)
		return false;
	p->notify = notify_open();
	publish_status(p);
	return open_http(p, err);
}

/*
 * Everything that could be written is durable by now, so Kafka is not waited for long. True if
 * nothing of the client is left.
 */
static bool close_source(struct pipeline *p)
{
	int64_t begun = clock_mono_us();
	bool told = false;
	while (p->source && !source_leave(p->source, 100)) {
		int64_t took = clock_mono_us() - begun;
		beat(p->beat);
		take_signals(p);
		if (took >= LEAVE_BUDGET_US) {
			log_warn("the group was not left in time, it will miss this member for "
				 "session.timeout.ms",
				 F_STR("group", p->config->group_id));
			break;
		}
		if (took >= LEAVE_QUIET_US && !told)
			log_info("waiting for Kafka to let this member leave the group",
				 F_STR("group", p->config->group_id));
		told = told || took >= LEAVE_QUIET_US;
	}
	if (source_close(p->source, 0))
		return true;
	log_warn("the Kafka client does not end and is left behind");
	return false;
}

static void free_batches(struct pipeline *p)
{
	for (size_t i = 0; i < p->nslots; i++)
		batch_free(p->slots[i].batch);
	for (size_t lane = 0; p->nfree && lane < p->config->lanes; lane++) {
		for (size_t i = 0; i < p->nfree[lane]; i++)
			batch_free(p->free_batches[lane][i]);
		free(p->free_batches[lane]);
	}
}

/* False if threads of the Kafka client are left. */
static bool pipeline_close(struct pipeline *p)
{
	bool clean = close_source(p);
	httpd_stop(p->httpd);
	for (size_t i = 0; p->lanes && i < p->config->lanes; i++)
		lane_stop(p->lanes[i]);
	if (p->inbox)
		pipeline_take_results(p);
	free_batches(p);
	for (size_t i = 0; i < p->npartitions; i++)
		free(p->partitions[i]);
	beat_leave(p->beat);
	status_free(p->status);
	notify_close(p->notify);
	registry_free(p->registry);
	decoder_free(p->decoder);
	for (size_t i = 0; p->streams && i < p->config->nstreams; i++)
		stream_free(p->streams[i]);
	queue_free(p->inbox);
	arena_free(p->names);
	free(p->streams);
	free(p->slots);
	free(p->lanes);
	free(p->lane_jobs);
	free(p->lane_cost_us);
	free(p->nfree);
	free(p->free_batches);
	free(p->partitions);
	free(p->topics);
	free(p->guards);
	free(p->taken);
	if (p->signal_fd > 0)
		close(p->signal_fd);
	return clean;
}

int pipeline_run(const struct config *config)
{
	struct pipeline p = {.config = config, .beat = beat_join("poll")};
	struct err err = {0};
	if (!pipeline_open(&p, &err)) {
		log_error("the worker can not start", F_STR("error", err.text));
		p.exit_code = err.class == ERR_CONFIG ? EXIT_BAD_CONFIG : EXIT_INTERNAL_ERROR;
	} else {
		log_info("running", F_STR("group", config->group_id),
			 F_INT("streams", config->nstreams), F_INT("lanes", config->lanes));
		notify_send(p.notify, "READY=1");
		while (!p.stopped)
			pipeline_turn(&p);
	}
	bool clean = pipeline_close(&p);
	log_info("stopped", F_INT("exit_code", p.exit_code));
	if (!clean)
		_exit(p.exit_code); /* see source_close() */
	return p.exit_code;
}

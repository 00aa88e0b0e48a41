/*
 * pipeline.c - the poll thread's loop, and the only place that knows all the others.
 *
 *               +-------------------- this thread --------------------+
 *   Kafka ----> source --> intake (decode) --> slot's open batch       |    lanes, a thread each
 *               |  ^                             | sealed: full, old   |
 *               |  |  pause, seek, commit        +------ lanes --------+----> sink --> PostgreSQL
 *               |  +---- assignment <---- settle (results) <-----------+---- decided batch
 *               +------------------------------------------------------+
 *      lookout: log ends, topic ids      registry: writer schemas       reader: messages again
 *
 * What must always hold:
 *   1. Kafka's committed offset never passes the offset that is durable in PostgreSQL: it is told
 *      part->durable only.
 *   2. Rows, dead letters and offsets of a batch commit in one transaction or not at all.
 *   3. A worker that lost a partition can commit nothing for it: the swap on (next_offset,
 *      owner_epoch) fails.
 *   4. A batch has one owner: a slot, a job on its way, the embedder, a lane, the reader. It moves
 * only through queues.
 *   5. Memory is bounded: two batches per slot, batch.memory over all, librdkafka's queue by its
 *      own limit.
 *   6. Order per key: a partition has one lane, a lane writes a stream's batches in order, a batch
 *      folds in order.
 *   7. Every event ends merged, superseded, skipped, dead-lettered or in a declared gap; the
 *      counters add up.
 *   8. The table does not depend on where batches begin and end: it is as if every event had been
 *      applied alone, in offset order.
 *
 * One wait per turn: Kafka's descriptor, results, answers, signals, until the earliest deadline.
 * The loop polls Kafka at all times, but for the short wait that a slot may ask for (core/pool.h).
 *
 * A SIGTERM drains: no more intake, every open batch is sealed, what can be written is written
 * within shutdown.timeout, what is held is given back at once, and the group is left, which is
 * waited for some seconds only. What was not written is not committed. A second SIGTERM, a second
 * or more after the first, ends the process at once, which is safe as well. SIGHUP opens a new
 * Kafka client, because librdkafka reads certificates and secrets only then; PostgreSQL's and the
 * registry's are read at each login and request anyway.
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
#include "base/failpoint.h"
#include "base/log.h"
#include "base/stats.h"
#include "base/thread.h"
#include "core/stream.h"
#include "flow/assignment.h"
#include "flow/intake.h"
#include "flow/publish.h"
#include "io/httpd.h"
#include "io/kafka_client.h"
#include "io/origin.h"
#include "io/pg.h" /* only its version */
#include "search/indexer.h"

#define POLL_MESSAGES 1000
#define COMMIT_EVERY_US (200 * US_PER_MS)
#define SAME_SIGNAL_US US_PER_S
#define ABANDON_MS 300
#define LEAVE_QUIET_US US_PER_S
#define LEAVE_BUDGET_US (5 * US_PER_S)
#define STAND_BY_LOOK_US (100 * US_PER_MS)

struct pipeline {
	const struct config *config;
	const struct origin *origin;
	const struct store_class *store;
	struct stream **streams;
	struct pool *pool;
	struct partitions partitions;
	struct lanes lanes;
	struct intake intake;
	struct settle settle;
	struct assignment assignment;
	struct publish publish;
	struct source *source;
	struct indexer *indexer; /* NULL: nothing is searched */
	struct lookout *lookout;
	struct registry *registry;
	struct httpd *httpd;

	int signal_fd;
	bool draining;   /* SIGTERM came */
	int64_t told_us; /* when */
	int64_t drain_deadline_us;
	bool source_drained; /* the last source_poll() found nothing more */
	int64_t next_commit_us;
	bool stopped;
	int exit_code;
};

/* Before the group is joined it is starting, however long that takes, or it stands by. */
static enum worker_state worker_state(const struct pipeline *p)
{
	if (p->stopped)
		return WORKER_STOPPED;
	if (p->draining)
		return WORKER_DRAINING;
	if (!p->source && lanes_stand_by(&p->lanes))
		return WORKER_STANDBY;
	return p->source && source_joined(p->source) ? WORKER_RUNNING : WORKER_STARTING;
}

/* The loop ends after this turn; what is not durable will be read again. */
static void fail(struct pipeline *p, const struct err *why)
{
	log_error("the worker can not go on", F_STR("error", why->text));
	notify_send(p->publish.notify, "STOPPING=1");
	p->stopped = true;
	p->exit_code = why->class == ERR_CONFIG ? EXIT_CONFIG : EXIT_INTERNAL;
}

/* --- what is due --- */

/* Else *next is when it will be due, if that is sooner. */
static void seal_if_due(struct pipeline *p, struct slot *slot, int64_t now, int64_t *next)
{
	if (!pool_begun(slot))
		return;
	int64_t due = lanes_seal_due(&p->lanes, slot);
	if (p->draining)
		lanes_seal(&p->lanes, slot, SEAL_DRAIN);
	else if (slot->lack == LACKS_MEMORY)
		lanes_seal(&p->lanes, slot, SEAL_MEMORY);
	else if (due <= now)
		lanes_seal(&p->lanes, slot, SEAL_AGE);
	else
		*next = MIN(*next, due);
}

/* Batches that have waited long enough, or whose slot has no memory for more. */
static int64_t seal_due(struct pipeline *p)
{
	int64_t now = clock_mono_us(), next = CLOCK_NEVER;
	size_t n;
	struct slot *slots = pool_slots(p->pool, &n);
	for (size_t i = 0; i < n; i++)
		seal_if_due(p, &slots[i], now, &next);
	return next;
}

/* One request for all that is due. */
static void commit_now(struct pipeline *p)
{
	struct source_partition **sps = xcalloc(p->partitions.n, sizeof(struct source_partition *));
	int64_t *offsets = xcalloc(p->partitions.n, sizeof(*offsets));
	size_t n = 0;
	for (size_t i = 0; i < p->partitions.n; i++) {
		struct partition *part = p->partitions.all[i];
		if (!part->commit_due || !part->sp)
			continue;
		part->commit_due = false;
		sps[n] = part->sp;
		offsets[n++] = part->durable;
	}
	source_commit(p->source, sps, offsets, n);
	free(sps);
	free(offsets);
}

/* Now and then: it is a courtesy to tools that show lag. */
static int64_t commit_offsets(struct pipeline *p)
{
	int64_t now = clock_mono_us();
	bool due = false;
	for (size_t i = 0; i < p->partitions.n; i++)
		due |= p->partitions.all[i]->commit_due && p->partitions.all[i]->sp;
	if (!due)
		return CLOCK_NEVER;
	if (now < p->next_commit_us)
		return p->next_commit_us;
	commit_now(p);
	p->next_commit_us = now + COMMIT_EVERY_US;
	return CLOCK_NEVER;
}

/* All that wait are asked, since an answer does not say for whom it was. */
static void serve_registry(struct pipeline *p)
{
	struct pollfd fd = {.fd = registry_fd(p->registry), .events = POLLIN};
	if (poll(&fd, 1, 0) <= 0)
		return;
	registry_ack(p->registry);
	assignment_schemas(&p->assignment);
}

/* --- signals and the end --- */

/* From now on nothing is taken. */
static void start_draining(struct pipeline *p, uint32_t signo)
{
	log_info("draining", F_INT("signal", signo),
		 F_REAL("timeout_s", (double)p->config->shutdown_timeout_us / (double)US_PER_S));
	if (p->origin->finite && p->exit_code == EXIT_OK)
		p->exit_code = EXIT_AGAIN;
	p->draining = true;
	p->told_us = clock_mono_us();
	p->drain_deadline_us = p->told_us + p->config->shutdown_timeout_us;
	publish_now(&p->publish, WORKER_DRAINING);
}

/*
 * A second signal that follows at once is the first, sent twice (a shell and its process group, a
 * service manager and an operator).
 */
static void take_signal(struct pipeline *p, uint32_t signo)
{
	if (signo == SIGHUP && !p->draining) {
		log_info("SIGHUP: certificates and secrets are read anew");
		if (p->source)
			source_reload(p->source);
	} else if (signo != SIGHUP && !p->draining) {
		start_draining(p, signo);
	} else if (signo != SIGHUP && clock_mono_us() - p->told_us >= SAME_SIGNAL_US) {
		log_warn("second signal, ending at once", F_INT("signal", signo));
		source_abandon(p->source, ABANDON_MS);
		_exit(p->exit_code);
	}
}

/* By signalfd: no handler runs in the middle of anything. */
static void take_signals(struct pipeline *p)
{
	struct signalfd_siginfo info;
	while (read(p->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		take_signal(p, info.ssi_signo);
}

/* Until the lanes have nothing, or the deadline; signals are still heard. */
static void await_lanes(struct pipeline *p, int64_t deadline_us)
{
	struct pollfd fds[2] = {{.fd = queue_fd(p->lanes.inbox), .events = POLLIN},
				{.fd = p->signal_fd, .events = POLLIN}};
	for (;;) {
		settle_results(&p->settle);
		take_signals(p);
		int wait = clock_poll_ms(deadline_us);
		if (lanes_jobs(&p->lanes) == 0 || wait == 0)
			return;
		beat(p->publish.beat);
		(void)poll(fds, 2, wait);
	}
}

/* What is not written in time is given up: it will be read again. */
static void finish(struct pipeline *p)
{
	seal_due(p);
	lanes_drain(&p->lanes);
	await_lanes(p, p->drain_deadline_us);
	if (lanes_jobs(&p->lanes) > 0) {
		log_warn("shutdown.timeout is over: what is not written will be read again",
			 F_INT("batches", lanes_jobs(&p->lanes)));
		for (size_t i = 0; i < p->lanes.n; i++)
			lanes_abort(&p->lanes, i);
		await_lanes(p, clock_mono_us() + US_PER_S);
	}
	p->stopped = true;
}

/* --- the end of a finite origin --- */

/* All partitions are there, and the row of each says that nothing is left. */
static bool all_durable(const struct pipeline *p)
{
	bool all = p->partitions.n > 0;
	for (size_t i = 0; all && i < p->partitions.n; i++) {
		const struct partition *part = p->partitions.all[i];
		int64_t end = part->sp ? source_high_watermark(p->source, part->sp) : -1;
		all = end >= 0 && part->state != PARTITION_GONE && part->durable >= end;
	}
	return all;
}

static bool any_halted(const struct pipeline *p)
{
	bool any = false;
	for (size_t i = 0; i < p->partitions.n; i++)
		any |= p->partitions.all[i]->state == PARTITION_HALTED;
	return any;
}

/* Nobody comes to mend what halts, and nothing follows what is durable. */
static void end_if_finished(struct pipeline *p)
{
	if (p->draining)
		return;
	if (any_halted(p)) {
		p->exit_code = EXIT_CONFIG;
		start_draining(p, 0);
	} else if (all_durable(p)) {
		p->stopped = true;
	}
}

/* --- the loop --- */

/* Not at all while a slot waits: what came would have no place. */
static void intake_turn(struct pipeline *p)
{
	if (pool_waits(p->pool))
		return;
	int64_t start = clock_mono_us();
	size_t n = source_poll(p->source, POLL_MESSAGES);
	int64_t took = clock_mono_us() - start;
	stats_add(METRIC_BUSY_SECONDS, STAGE_POLL, 0, took);
	if (n > 0)
		stats_observe(METRIC_DECODE_SECONDS, 0, took);
	p->source_drained = n < POLL_MESSAGES && !pool_waits(p->pool);
	intake_count(&p->intake);
	if (n > 0 && FAIL_POINT("after_poll"))
		source_reload(p->source);
}

/* The one wait. Kafka's descriptor is left out while a slot waits. */
static void wait_turn(struct pipeline *p, int64_t deadline_us)
{
	bool waits = pool_waits(p->pool);
	struct pollfd fds[] = {
		{.fd = queue_fd(p->lanes.inbox), .events = POLLIN},
		{.fd = p->signal_fd, .events = POLLIN},
		{.fd = registry_fd(p->registry), .events = POLLIN},
		{.fd = lookout_fd(p->lookout), .events = POLLIN},
		{.fd = waits ? -1 : source_fd(p->source), .events = POLLIN},
	};
	int64_t start = clock_mono_us();
	size_t cause = pool_lack(p->pool) == LACKS_MEMORY ? CAUSE_MEMORY : CAUSE_BATCHES;
	(void)poll(fds, ARRAY_LEN(fds), clock_poll_ms(deadline_us));
	if (waits)
		stats_add(METRIC_BACKPRESSURE_SECONDS, cause, 0, clock_mono_us() - start);
}

/* Results first: they free batches for what comes in. */
static void pipeline_turn(struct pipeline *p)
{
	take_signals(p);
	if (p->draining) {
		finish(p);
		return;
	}
	settle_results(&p->settle);
	serve_registry(p);
	int64_t next = pool_look(p->pool, clock_mono_us());
	next = MIN(next, assignment_drive(&p->assignment));
	next = MIN(next, seal_due(p));
	next = MIN(next, commit_offsets(p));
	intake_turn(p);
	if (p->origin->finite)
		end_if_finished(p);
	if (clock_mono_us() >= p->publish.due_us) {
		publish_now(&p->publish, worker_state(p));
		if (p->origin->watch)
			p->origin->watch(p->origin->self, false);
	}
	next = MIN(next, p->publish.due_us);
	if (p->assignment.stuck) {
		const struct err why = {.class = ERR_FATAL,
					.text = "a lane did not give its batches back"};
		fail(p, &why);
	}
	if (p->stopped)
		return;
	bool more = !pool_waits(p->pool) && !p->source_drained;
	if (more || p->assignment.news)
		return;
	next = MIN(next, seal_due(p));
	wait_turn(p, MIN(next, pool_look(p->pool, clock_mono_us())));
}

/* --- what the source calls --- */

static void on_assigned(void *ctx, struct source_partition **sps, size_t n)
{
	struct pipeline *p = ctx;
	assignment_assigned(&p->assignment, sps, n);
}

static void on_revoked(void *ctx, struct source_partition **sps, size_t n, bool lost)
{
	struct pipeline *p = ctx;
	assignment_revoked(&p->assignment, sps, n, lost);
}

static bool on_message(void *ctx, const struct source_message *m)
{
	struct pipeline *p = ctx;
	return intake_message(&p->intake, m);
}

static void on_eof(void *ctx, struct source_partition *sp, int64_t offset)
{
	struct pipeline *p = ctx;
	intake_eof(&p->intake, sp, offset);
}

static void on_fault(void *ctx, struct source_partition *sp, enum source_fault fault,
		     const char *text)
{
	struct pipeline *p = ctx;
	assignment_fault(&p->assignment, sp, fault, text);
}

static void on_fatal(void *ctx, const struct err *why)
{
	fail(ctx, why);
}

static void on_statistics(void *ctx, const char *json, size_t len)
{
	struct pipeline *p = ctx;
	status_statistics(p->publish.status, json, len);
}

static const struct source_ops source_callbacks = {
	.assigned = on_assigned,
	.revoked = on_revoked,
	.message = on_message,
	.eof = on_eof,
	.fault = on_fault,
	.fatal = on_fatal,
	.statistics = on_statistics,
};

/* --- set-up and tear-down --- */

/* Read once: a changed schema needs a restart. */
static bool load_streams(struct pipeline *p, struct err *err)
{
	const struct config *c = p->config;
	p->streams = xcalloc(c->nstreams, sizeof(struct stream *));
	for (size_t i = 0; i < c->nstreams; i++)
		if (!(p->streams[i] = stream_new(c, i, err)))
			return false;
	return stream_models_agree(p->streams, c->nstreams, err);
}

/* The closed lists of labels, before the first thread counts. */
static void name_stats(const struct config *c)
{
	size_t batches = c->lanes * c->nstreams * POOL_BATCHES_PER_SLOT;
	stream_name_stats(c);
	stats_set(METRIC_BATCH_MEMORY_LIMIT, 0, 0, (int64_t)c->batch_memory);
	stats_set(METRIC_BATCHES_LIMIT, 0, 0, (int64_t)batches);
}

static struct pool *new_pool(const struct config *c, struct stream *const *streams)
{
	const struct pool_limits limits = {.lanes = c->lanes,
					   .streams = c->nstreams,
					   .rows = c->batch_max_rows,
					   .bytes = c->batch_max_bytes,
					   .row_bytes = c->limits.max_row_bytes,
					   .memory = c->batch_memory};
	return pool_new(&limits, streams);
}

/* Who knows whom, from the bottom up. */
static void wire(struct pipeline *p)
{
	p->intake.pool = p->pool;
	p->intake.lanes = &p->lanes;
	p->intake.partitions = &p->partitions;
	p->intake.registry = p->registry;
	p->intake.origin = p->origin;
	p->settle = (struct settle){.pool = p->pool,
				    .lanes = &p->lanes,
				    .partitions = &p->partitions,
				    .finite = p->origin->finite};
	p->assignment = (struct assignment){.config = p->config,
					    .pool = p->pool,
					    .lanes = &p->lanes,
					    .partitions = &p->partitions,
					    .settle = &p->settle,
					    .lookout = p->lookout};
	p->publish.streams = p->streams;
	p->publish.pool = p->pool;
	p->publish.lanes = &p->lanes;
	p->publish.partitions = &p->partitions;
	p->publish.assignment = &p->assignment;
}

static bool open_source(struct pipeline *p, struct err *err)
{
	p->source = p->origin->open(p->origin->self, p->config, &source_callbacks, p, err);
	p->partitions.source = p->assignment.source = p->publish.source = p->source;
	return p->source != NULL;
}

/*
 * While another process has what only one may write: not in the group, which would give this one
 * partitions that nobody reads. The same while the file can not be had for another reason: then
 * the worker is starting.
 */
static bool stands_by(const struct pipeline *p)
{
	return !p->source && p->store->one_writer && !p->origin->finite &&
	       !lanes_connected(&p->lanes);
}

static void stand_by_turn(struct pipeline *p)
{
	struct pollfd fd = {.fd = p->signal_fd, .events = POLLIN};
	int64_t next = MIN(p->publish.due_us, clock_mono_us() + STAND_BY_LOOK_US);
	(void)poll(&fd, 1, clock_poll_ms(next));
	take_signals(p);
	p->stopped = p->draining;
	if (clock_mono_us() >= p->publish.due_us)
		publish_now(&p->publish, worker_state(p));
}

/* True: the source is there. */
static bool has_source(struct pipeline *p)
{
	struct err err = {0};
	while (!p->stopped && stands_by(p))
		stand_by_turn(p);
	if (!p->stopped && !p->source && !open_source(p, &err))
		fail(p, &err);
	return p->source != NULL;
}

static bool open_http(struct pipeline *p, struct err *err)
{
	size_t n;
	const struct httpd_route *routes = status_routes(&n);
	if (strcmp(p->config->http_listen, "off") == 0)
		return true;
	const struct httpd_options options = {
		.listen = p->config->http_listen,
		.routes = routes,
		.nroutes = n,
		.ctx = p->publish.status,
		.token_file = p->config->http_token_file,
	};
	p->httpd = httpd_start(&options, err);
	if (p->httpd)
		log_info("listening for HTTP", F_STR("listen", p->config->http_listen),
			 F_INT("port", httpd_port(p->httpd)));
	return p->httpd != NULL;
}

/* What fails leaves pipeline_close() to undo what there is. */
static bool pipeline_open(struct pipeline *p, struct err *err)
{
	const struct config *c = p->config;
	static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
	signal(SIGPIPE, SIG_IGN);
	p->signal_fd = thread_signals(signals, ARRAY_LEN(signals)); /* before any thread starts */
	if (p->signal_fd < 0)
		return err_set(err, ERR_FATAL, "signalfd: %s", strerror(errno));
	name_stats(c);
	partitions_open(&p->partitions, c->path);
	p->publish.config = c;
	p->publish.status = status_new(c, kafka_version(), pg_library_version());
	if (!load_streams(p, err))
		return false;
	intake_open(&p->intake, c);
	if (!(p->registry = registry_new(c, err)))
		return false;
	p->pool = new_pool(c, p->streams);
	lanes_open(&p->lanes, c, p->origin, p->store, p->pool, p->streams);
	p->lookout = lookout_start(c, p->origin->look, p->origin->self);
	if (p->store->searches &&
	    !p->origin->finite) /* it would take from the cores what the load needs */
		p->indexer = indexer_start(c, p->streams, c->nstreams);
	wire(p);
	if (!stands_by(p) && !open_source(p, err))
		return false;
	p->publish.notify = notify_open();
	publish_now(&p->publish, WORKER_STARTING);
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
		beat(p->publish.beat);
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

/* False if threads of the Kafka client are left. */
static bool pipeline_close(struct pipeline *p)
{
	bool clean = close_source(p);
	httpd_stop(p->httpd);
	indexer_stop(p->indexer);
	lookout_stop(p->lookout);
	lanes_stop(&p->lanes);
	if (p->pool)
		settle_results(&p->settle);
	lanes_close(&p->lanes);
	partitions_close(&p->partitions);
	assignment_close(&p->assignment);
	pool_free(p->pool);
	beat_leave(p->publish.beat);
	status_free(p->publish.status);
	publish_close(&p->publish);
	notify_close(p->publish.notify);
	registry_free(p->registry);
	intake_close(&p->intake);
	for (size_t i = 0; p->streams && i < p->config->nstreams; i++)
		stream_free(p->streams[i]);
	free(p->streams);
	if (p->signal_fd > 0)
		close(p->signal_fd);
	return clean;
}

/* Until a signal ends it, or what cannot be mended. Returns the exit code. */
int pipeline_run(const struct config *config, const struct origin *origin,
		 const struct store_class *store)
{
	struct pipeline p = {.config = config,
			     .origin = origin,
			     .store = store,
			     .publish = {.beat = beat_join("poll")}};
	struct err err = {0};
	if (!pipeline_open(&p, &err)) {
		log_error("the worker can not start", F_STR("error", err.text));
		p.exit_code = err.class == ERR_CONFIG ? EXIT_CONFIG : EXIT_INTERNAL;
	} else {
		log_info("running", F_STR("group", config->group_id),
			 F_INT("streams", config->nstreams), F_INT("lanes", config->lanes));
		notify_send(p.publish.notify, "READY=1");
		while (has_source(&p) && !p.stopped)
			pipeline_turn(&p);
		if (origin->watch)
			origin->watch(origin->self, true);
	}
	bool clean = pipeline_close(&p);
	log_info("stopped", F_INT("exit_code", p.exit_code));
	if (!clean)
		_exit(p.exit_code); /* see source_close() */
	return p.exit_code;
}

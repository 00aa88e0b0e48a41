/*
 * lane.c - the writer thread: connects, writes, and decides by class of error how to go on.
 *
 *        +----------------- job done, or its batch held ------------------+
 *        v                                                                |
 *   LANE_IDLE ------job------> LANE_CONNECTING --session--> LANE_WRITING -+
 *   LANE_HALTED                 ^     |  failed               |  failed, may pass
 *                               |     v                       |
 *                               +-- LANE_WAITING <------------+
 *                                     backoff 0.1 s .. 10 s, jitter
 *
 *   LANE_WRITING --again at once, but the session died in its rollback--> LANE_CONNECTING
 *   any --lane_stop()--> LANE_STOPPED
 *
 * Between jobs a lane is idle, or halted as long as it holds a batch; it also waits as halted for a
 * session that it needs an operator for (a wrong password).
 *
 * A batch that an operator must do something for is held, with all that come behind it in its
 * stream, so order stays. Other streams go on:
 *
 *   held[memory]  batch --> batch     tried every 10 s, the first one first; then the next at once
 *   held[pattern] -
 *
 * A batch that can not be written stays here and is tried until it is written, however long the
 * database is away: that is what bounds memory, because no free batch means paused partitions. Only
 * lane_abort() makes the lane give it back: on a revocation that can not wait, or when the process
 * ends. Giving back is always safe, since the offsets row decides what counts.
 *
 * After an error without an answer (a lost connection, a time limit) the session is dropped, never
 * reused.
 *
 * Thread: lane_main() is the lane's; the functions of the header are the pipeline's. They share two
 * queues, the abort descriptor and the view behind its mutex.
 */
#include "write/lane.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/beat.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/stats.h"
#include "core/stream.h"

#define BACKOFF_FIRST_US (100 * US_PER_MS)
#define BACKOFF_LAST_US (10 * US_PER_S)
#define PRUNE_EVERY_US (600 * US_PER_S)
#define BEAT_EVERY_US (5 * US_PER_S)
#define HELD_RETRY_US (10 * US_PER_S)

/* A stream's batches that wait for an operator. */
struct held {
	struct job *first;
	int64_t due_us;
	unsigned attempts;
	/* of the first one; others read it, behind view_lock; empty: nothing is held */
	char why[ERR_TEXT_SIZE];
};

struct lane {
	const struct config *config;
	size_t index;
	struct queue *jobs, *inbox;
	int abort_fd;
	atomic_bool aborting;
	struct job stop;
	pthread_t thread;

	/* The thread's own. */
	struct sink *sink;
	struct pg *pg;
	struct job *next;   /* taken ahead, arranged while the server was at work */
	struct held *helds; /* per stream */
	size_t nstreams, nheld;
	bool connected_before;
	unsigned failures; /* in a row */
	int64_t next_prune_us;
	uint32_t jitter;

	pthread_mutex_t view_lock;
	struct lane_view view;
};

const char *lane_state_name(enum lane_state state)
{
	static const char *const names[] = {
		[LANE_IDLE] = "idle",       [LANE_CONNECTING] = "connecting",
		[LANE_WRITING] = "writing", [LANE_WAITING] = "waiting",
		[LANE_HALTED] = "halted",   [LANE_STOPPED] = "stopped",
	};
	return names[state];
}

/* Which states may follow which; the diagram above, as bits. */
static const unsigned next_states[] = {
	[LANE_IDLE] =
		1u << LANE_IDLE | 1u << LANE_CONNECTING | 1u << LANE_WRITING | 1u << LANE_STOPPED,
	[LANE_CONNECTING] =
		1u << LANE_WRITING | 1u << LANE_WAITING | 1u << LANE_HALTED | 1u << LANE_IDLE,
	[LANE_WRITING] = 1u << LANE_WRITING | 1u << LANE_IDLE | 1u << LANE_WAITING |
			 1u << LANE_HALTED | 1u << LANE_CONNECTING,
	[LANE_WAITING] = 1u << LANE_CONNECTING | 1u << LANE_WRITING | 1u << LANE_IDLE |
			 1u << LANE_WAITING | 1u << LANE_HALTED,
	[LANE_HALTED] =
		1u << LANE_CONNECTING | 1u << LANE_WRITING | 1u << LANE_IDLE | 1u << LANE_HALTED,
	[LANE_STOPPED] = 0,
};

static void set_state(struct lane *lane, enum lane_state state, const char *error)
{
	pthread_mutex_lock(&lane->view_lock);
	assert(next_states[lane->view.state] & 1u << state);
	lane->view.state = state;
	lane->view.connected = lane->pg != NULL;
	lane->view.attempts = lane->failures;
	if (error)
		snprintf(lane->view.error, sizeof(lane->view.error), "%s", error);
	pthread_mutex_unlock(&lane->view_lock);
}

void lane_look(struct lane *lane, struct lane_view *view)
{
	pthread_mutex_lock(&lane->view_lock);
	*view = lane->view;
	pthread_mutex_unlock(&lane->view_lock);
	view->phase = view->state == LANE_WRITING ? sink_phase(lane->sink) : NULL;
}

bool lane_holds(struct lane *lane, size_t stream, char why[ERR_TEXT_SIZE])
{
	pthread_mutex_lock(&lane->view_lock);
	memcpy(why, lane->helds[stream].why, ERR_TEXT_SIZE);
	pthread_mutex_unlock(&lane->view_lock);
	return why[0] != '\0';
}

static void set_why(struct lane *lane, struct held *held, const char *why)
{
	pthread_mutex_lock(&lane->view_lock);
	snprintf(held->why, sizeof(held->why), "%s", why);
	pthread_mutex_unlock(&lane->view_lock);
}

/* Between two jobs. */
static void set_resting(struct lane *lane, const char *error)
{
	set_state(lane, lane->nheld > 0 ? LANE_HALTED : LANE_IDLE, error);
}

/* --- the session --- */

static void drop_session(struct lane *lane)
{
	if (!lane->pg)
		return;
	pg_free(lane->pg);
	lane->pg = NULL;
	stats_gauge_add(METRIC_POSTGRES_CONNECTIONS, 0, 0, -1);
}

static bool have_session(struct lane *lane, struct err *err)
{
	if (lane->pg && pg_ok(lane->pg))
		return true;
	drop_session(lane);
	set_state(lane, LANE_CONNECTING, NULL);
	char role[32];
	snprintf(role, sizeof(role), "lane %zu", lane->index);
	lane->pg = pg_connect(lane->config, role, lane->abort_fd, err);
	if (!lane->pg)
		return false;
	sink_connected(lane->sink, lane->pg);
	stats_gauge_add(METRIC_POSTGRES_CONNECTIONS, 0, 0, 1);
	if (lane->connected_before) {
		stats_add(METRIC_POSTGRES_RECONNECTS, 0, 0, 1);
		log_info("connected to PostgreSQL again", F_INT("lane", lane->index));
	}
	lane->connected_before = true;
	return true;
}

/* Waits for a job (jobs) or just for time to pass; ends at once when the lane is aborted. */
static void wait_until(struct lane *lane, int64_t deadline_us, bool jobs)
{
	struct pollfd fds[2] = {{.fd = lane->abort_fd, .events = POLLIN},
				{.fd = jobs ? queue_fd(lane->jobs) : -1, .events = POLLIN}};
	int64_t start = clock_mono_us();
	/* An abort that has been obeyed leaves the descriptor readable until lane_resume(). */
	if (jobs && atomic_load(&lane->aborting) && lane->nheld == 0)
		fds[0].fd = -1;
	while (poll(fds, 2, clock_poll_ms(deadline_us)) < 0 && errno == EINTR)
		;
	stats_add(METRIC_BUSY_SECONDS, jobs ? STAGE_IDLE : STAGE_WAIT, 0, clock_mono_us() - start);
}

/* Half fixed, half random, so that workers that lost the same database do not come back in step. */
static int64_t backoff_us(struct lane *lane)
{
	int64_t wait = BACKOFF_FIRST_US << MIN(lane->failures, 7u);
	lane->jitter = lane->jitter * 1664525u + 1013904223u;
	wait = MIN(wait, BACKOFF_LAST_US);
	return wait / 2 + (int64_t)(lane->jitter >> 8) % (wait / 2 + 1);
}

/* --- failures --- */

static void report_failure(struct lane *lane, const struct batch *b, unsigned attempts,
			   const struct err *err, int64_t wait_us)
{
	const struct span *span = b->nspans ? &b->spans[0] : NULL;
	log_error(err->class == ERR_CONFIG ? "batch halted, an operator must act"
					   : "batch not written, will try again",
		  F_STR("stream", b->stream->config->name), F_STR("topic", span ? span->topic : ""),
		  F_INT("partition", span ? span->partition : -1),
		  F_INT("from_offset", span ? span->from : -1),
		  F_INT("to_offset", span ? span->to : -1), F_INT("partitions", b->nspans),
		  F_INT("lane", lane->index), F_INT("attempt", attempts),
		  F_REAL("retry_in_s", (double)wait_us / (double)US_PER_S),
		  F_STR("error", err->text));
	stats_add(METRIC_POSTGRES_RETRIES, stats_sqlclass(err->code), 0, 1);
}

static void after_failure(struct lane *lane, const struct batch *b, const struct err *err)
{
	bool slowly = err->class == ERR_CONFIG || (lane->pg && err->class == ERR_RETRY &&
						   pg_last_verdict(lane->pg) == PG_DEGRADED);
	if (!lane->pg || !pg_ok(lane->pg) ||
	    (err->class == ERR_RETRY && pg_last_verdict(lane->pg) == PG_RECONNECT))
		drop_session(lane);
	if (atomic_load(&lane->aborting))
		return;
	lane->failures++;
	int64_t wait = slowly ? BACKOFF_LAST_US : backoff_us(lane);
	report_failure(lane, b, lane->failures, err, wait);
	set_state(lane, err->class == ERR_CONFIG ? LANE_HALTED : LANE_WAITING, err->text);
	wait_until(lane, clock_mono_us() + wait, false);
}

static void abandon(struct batch *b)
{
	for (size_t i = 0; i < b->nspans; i++)
		if (b->spans[i].result == SPAN_OPEN)
			b->spans[i].result = SPAN_ABANDONED;
}

static void show_batch(struct lane *lane, const struct batch *b)
{
	pthread_mutex_lock(&lane->view_lock);
	lane->view.stream = b ? b->stream->config->name : NULL;
	lane->view.events = b ? b->nevents + b->ndead : 0;
	lane->view.since_us = clock_mono_us();
	lane->view.attempts = 0;
	pthread_mutex_unlock(&lane->view_lock);
}

/* --- what is held --- */

static struct held *held_of(struct lane *lane, const struct job *job)
{
	return &lane->helds[job->batch->stream->index];
}

/* In front of what is held already: it was the first to be tried. */
static void hold(struct lane *lane, struct job *job, const struct err *err)
{
	struct held *held = held_of(lane, job);
	lane->nheld += held->first == NULL;
	job->behind = held->first;
	held->first = job;
	held->due_us = clock_mono_us() + HELD_RETRY_US;
	held->attempts++;
	report_failure(lane, job->batch, held->attempts, err, HELD_RETRY_US);
	set_why(lane, held, err->text);
}

static void hold_behind(struct held *held, struct job *job)
{
	struct job **last = &held->first;
	while (*last)
		last = &(*last)->behind;
	job->behind = NULL;
	*last = job;
}

/* The batch that is due, or any when the lane is aborted: then it is only given back. */
static struct job *take_held(struct lane *lane)
{
	int64_t now = clock_mono_us();
	for (size_t i = 0; lane->nheld > 0 && i < lane->nstreams; i++) {
		struct held *held = &lane->helds[i];
		struct job *job = held->first;
		if (!job || (now < held->due_us && !atomic_load(&lane->aborting)))
			continue;
		held->first = job->behind;
		lane->nheld -= held->first == NULL;
		return job;
	}
	return NULL;
}

/* A batch of the stream is decided: what is held behind it need not wait. */
static void let_go(struct lane *lane, struct held *held)
{
	held->due_us = 0;
	held->attempts = 0;
	if (held->why[0] != '\0')
		set_why(lane, held, "");
}

static int64_t next_due(const struct lane *lane)
{
	int64_t next = CLOCK_NEVER;
	for (size_t i = 0; i < lane->nstreams; i++)
		if (lane->helds[i].first)
			next = MIN(next, lane->helds[i].due_us);
	return next;
}

/* --- writing --- */

enum written { DECIDED, TRY_AGAIN, HELD };

static enum written try_write(struct lane *lane, struct job *job)
{
	struct err err = {0};
	if (!have_session(lane, &err)) {
		after_failure(lane, job->batch, &err);
		return TRY_AGAIN;
	}
	set_state(lane, LANE_WRITING, NULL);
	switch (sink_write(lane->sink, job->batch, &err)) {
	case SINK_DONE:
		return DECIDED;
	case SINK_AGAIN:
		return TRY_AGAIN;
	case SINK_FAILED:
		break;
	}
	if (err.class == ERR_FATAL) {
		job->err = err;
		abandon(job->batch);
		return DECIDED;
	}
	if (err.class == ERR_CONFIG && !atomic_load(&lane->aborting)) {
		hold(lane, job, &err);
		return HELD;
	}
	after_failure(lane, job->batch, &err);
	return TRY_AGAIN;
}

static void count_written(struct lane *lane)
{
	lane->failures = 0;
	pthread_mutex_lock(&lane->view_lock);
	lane->view.batches++;
	if (lane->nheld == 0)
		lane->view.error[0] = '\0';
	pthread_mutex_unlock(&lane->view_lock);
}

/* False: the batch is held. */
static bool write_batch(struct lane *lane, struct job *job)
{
	enum written written = TRY_AGAIN;
	while (written == TRY_AGAIN && !atomic_load(&lane->aborting))
		written = try_write(lane, job);
	if (written == HELD)
		return false;
	let_go(lane, held_of(lane, job));
	if (written == DECIDED)
		count_written(lane);
	else
		abandon(job->batch);
	return true;
}

static void claim(struct lane *lane, struct job *job)
{
	job->ok = false;
	if (atomic_load(&lane->aborting)) {
		err_set(&job->err, ERR_RETRY, "given up on request");
		return;
	}
	if (!have_session(lane, &job->err))
		return;
	set_state(lane, LANE_WRITING, NULL);
	job->ok = sink_claim(lane->sink, &job->claim, &job->err);
	if (!job->ok && (!pg_ok(lane->pg) || pg_last_verdict(lane->pg) == PG_RECONNECT))
		drop_session(lane);
}

/*
 * While there is nothing to do: keeps the session open, so that readiness tells the truth about the
 * database.
 */
static void keep_session(struct lane *lane)
{
	struct err err = {0};
	if (lane->pg && pg_alive(lane->pg))
		return;
	if (have_session(lane, &err)) {
		lane->failures = 0;
		set_resting(lane, lane->nheld > 0 ? NULL : "");
		return;
	}
	lane->failures++;
	log_error("no session with PostgreSQL, will try again", F_INT("lane", lane->index),
		  F_STR("error", err.text));
	set_resting(lane, err.text);
	wait_until(lane, clock_mono_us() + backoff_us(lane), true);
}

static void housekeeping(struct lane *lane)
{
	struct err err = {0};
	if (atomic_load(&lane->aborting))
		return;
	keep_session(lane);
	if (lane->index != 0 || !lane->pg || clock_mono_us() < lane->next_prune_us)
		return;
	lane->next_prune_us = clock_mono_us() + PRUNE_EVERY_US;
	if (!sink_prune(lane->sink, &err))
		log_warn("housekeeping failed", F_STR("error", err.text));
}

/* The sink waits for the server: time to get the next batch ready. */
static void take_ahead(void *arg)
{
	struct lane *lane = arg;
	if (lane->next || !(lane->next = queue_pop(lane->jobs)))
		return;
	if (lane->next->kind == JOB_WRITE)
		sink_prepare(lane->sink, lane->next->batch);
}

static struct job *next_job(struct lane *lane)
{
	struct job *job = take_held(lane);
	while (!job) {
		job = lane->next ? lane->next : queue_pop(lane->jobs);
		lane->next = NULL;
		if (!job || job->kind != JOB_WRITE || !held_of(lane, job)->first)
			return job;
		hold_behind(held_of(lane, job), job);
		job = take_held(lane); /* if the lane was aborted meanwhile, nothing stays */
	}
	return job;
}

static void *lane_main(void *arg)
{
	struct lane *lane = arg;
	char name[16]; /* for top -H, perf and gdb */
	snprintf(name, sizeof(name), "lane %zu", lane->index);
	pthread_setname_np(pthread_self(), name);
	size_t place = beat_join(name);
	for (bool running = true; running;) {
		struct job *job = next_job(lane);
		if (!job) {
			beat(place);
			housekeeping(lane);
			wait_until(lane, MIN(clock_mono_us() + BEAT_EVERY_US, next_due(lane)),
				   true);
			continue;
		}
		/*
		 * A job may wait for the database as long as it takes; its waits have deadlines of
		 * their own.
		 */
		beat_rest(place);
		int64_t taken = clock_mono_us();
		bool held = false;
		switch (job->kind) {
		case JOB_WRITE:
			show_batch(lane, job->batch);
			held = !write_batch(lane, job);
			show_batch(lane, NULL);
			job->took_us = clock_mono_us() - taken;
			break;
		case JOB_CLAIM:
			claim(lane, job);
			break;
		case JOB_STOP:
			running = false;
			continue;
		}
		set_resting(lane, held ? held_of(lane, job)->why : NULL);
		if (!held && !queue_push(lane->inbox, job))
			abort(); /* sized for every job there is */
	}
	beat_leave(place);
	drop_session(lane);
	set_state(lane, LANE_STOPPED, NULL);
	return NULL;
}

/* --- the pipeline's side --- */

struct lane *lane_start(const struct config *config, struct stream *const *streams, size_t nstreams,
			size_t index, struct queue *inbox, size_t max_jobs)
{
	struct lane *lane = xcalloc(1, sizeof(*lane));
	lane->config = config;
	lane->index = index;
	lane->inbox = inbox;
	lane->jobs = queue_new(max_jobs + 1);
	lane->sink = sink_new(config, streams, nstreams);
	lane->nstreams = nstreams;
	lane->helds = xcalloc(nstreams, sizeof(*lane->helds));
	sink_when_waiting(lane->sink, take_ahead, lane);
	lane->abort_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	lane->jitter = (uint32_t)clock_wall_us() ^ (uint32_t)index;
	lane->next_prune_us = clock_mono_us() + US_PER_S;
	pthread_mutex_init(&lane->view_lock, NULL);
	if (lane->abort_fd < 0 || pthread_create(&lane->thread, NULL, lane_main, lane) != 0)
		abort();
	return lane;
}

void lane_push(struct lane *lane, struct job *job)
{
	job->lane = lane->index;
	if (!queue_push(lane->jobs, job))
		abort(); /* sized for every job there is */
}

void lane_abort(struct lane *lane)
{
	uint64_t one = 1;
	atomic_store(&lane->aborting, true);
	if (write(lane->abort_fd, &one, sizeof(one)) != (ssize_t)sizeof(one))
		log_error("abort signal lost", F_INT("lane", lane->index));
}

void lane_resume(struct lane *lane)
{
	uint64_t count;
	atomic_store(&lane->aborting, false);
	if (read(lane->abort_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		log_error("abort signal not cleared", F_INT("lane", lane->index));
}

void lane_stop(struct lane *lane)
{
	if (!lane)
		return;
	lane->stop.kind = JOB_STOP;
	lane_abort(lane);
	lane_push(lane, &lane->stop);
	pthread_join(lane->thread, NULL);
	free(lane->helds);
	queue_free(lane->jobs);
	sink_free(lane->sink);
	close(lane->abort_fd);
	pthread_mutex_destroy(&lane->view_lock);
	free(lane);
}

/*
 * lane.c - the writer thread: one session, and a line of batches for each stream.
 *
 *               +--> line of memory    batch, batch       first come, first served, of those that
 *   jobs -------+--> line of pattern   batch (held)       are not held
 *   (queue)     +--> claims            claim, claim       before any batch
 *
 * A batch that can not be written holds its line: it is tried again at due_us, with all that came
 * behind it waiting, so order stays. Other lines go on. A line is away while the reader reads
 * messages again for the dead letters of its first batch.
 *
 *   LINE_FLOWS --refused: a lock, a deadlock, a full disk, Kafka does not answer--> LINE_WAITS
 *              --refused: an operator must act-----------------------------------> LINE_HALTED
 *   LINE_WAITS, LINE_HALTED --written, or given back--> LINE_FLOWS
 *
 * What is wrong with the session (it is lost, or can not be had) concerns all lines: it is opened
 * again at session_due_us. The batch that was under way is tried a little later than the others
 * then, in case it is what ends sessions.
 *
 * The lane itself:
 *
 *   at rest: IDLE, or WAITING, HALTED if the session or a line is   --stop--> STOPPED
 *     |  ^                                    |  ^
 *     |  | session, or none                   |  | written, held, claimed
 *     v  |                                    v  |
 *   CONNECTING                               WRITING
 *
 * A batch stays here and is tried until it is written, however long the database is away: that is
 * what bounds memory, because no free batch means paused partitions. It is given back
 *
 *   lane_release()   if it is held, or there is no session: a revocation does not wait for it
 *   lane_drain()     the same from now on: the process ends
 *   lane_abort()     in any case, and what is in flight is cut off
 *
 * which is always safe, since the offsets row decides what counts.
 *
 * Thread: lane_main() is the lane's; the functions of the header are the pipeline's. They share two
 * queues, flags, two descriptors (one that cuts off what waits for the database, one that only
 * wakes), and the views behind their mutex. One wait: rest().
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
#include "base/thread.h"
#include "core/stream.h"
#include "write/session.h"

#define BEAT_EVERY_US (5 * US_PER_S)
#define PRUNE_EVERY_US (60 * US_PER_S)
#define PRUNE_MORE_US (200 * US_PER_MS)

struct lane {
	const struct config *config;
	size_t index;
	struct reader *reader;
	struct queue *jobs, *inbox;
	int abort_fd, wake_fd;
	atomic_bool aborting, releasing, draining, stopping;
	atomic_bool give_up; /* for the reader: any of them */
	pthread_t thread;

	/* The thread's own. */
	struct store *store;
	struct session session;
	struct line *lines; /* per stream */
	size_t nlines;
	struct line claims;   /* JOB_CLAIM, JOB_HALT; only first and last count */
	struct line *at_work; /* its first batch is being written; or NULL */
	uint64_t arrived;     /* jobs */
	int64_t next_prune_us;

	pthread_mutex_t view_lock;
	struct lane_view view;
};

/* --- what others see --- */

#define AT_REST (1u << LANE_IDLE | 1u << LANE_WAITING | 1u << LANE_HALTED)

static const struct {
	const char *name;
	unsigned next;
} states[LANE_STATE_COUNT] = {
	[LANE_IDLE] = {"idle",
		       AT_REST | 1u << LANE_CONNECTING | 1u << LANE_WRITING | 1u << LANE_STOPPED},
	[LANE_CONNECTING] = {"connecting", AT_REST},
	[LANE_WRITING] = {"writing", AT_REST},
	[LANE_WAITING] = {"waiting", AT_REST | 1u << LANE_CONNECTING | 1u << LANE_WRITING |
					     1u << LANE_STOPPED},
	[LANE_HALTED] = {"halted",
			 AT_REST | 1u << LANE_CONNECTING | 1u << LANE_WRITING | 1u << LANE_STOPPED},
	[LANE_STOPPED] = {"stopped", 0},
};

const char *lane_state_name(enum lane_state state)
{
	return states[state].name;
}

/* error: of the last failure, NULL to leave what there is. */
static void set_state(struct lane *lane, enum lane_state state, const char *error)
{
	pthread_mutex_lock(&lane->view_lock);
	assert(states[lane->view.state].next & 1u << state);
	lane->view.state = state;
	lane->view.connected = lane->session.open;
	lane->view.stands_by = lane->store->stands_by;
	if (error)
		snprintf(lane->view.error, sizeof(lane->view.error), "%s", error);
	pthread_mutex_unlock(&lane->view_lock);
}

/* Nothing is locked for a line that flows and goes on flowing. */
static void set_line(struct lane *lane, struct line *line, enum line_state state, const char *why)
{
	if (line->view.state == LINE_FLOWS && state == LINE_FLOWS)
		return;
	pthread_mutex_lock(&lane->view_lock);
	line->view.state = state;
	snprintf(line->view.why, sizeof(line->view.why), "%s", why);
	pthread_mutex_unlock(&lane->view_lock);
}

/* Between two steps. */
static void set_at_rest(struct lane *lane, const char *error)
{
	enum lane_state state = LANE_IDLE;
	for (size_t i = 0; i < lane->nlines; i++) {
		enum line_state line = lane->lines[i].view.state;
		if (line == LINE_WAITS && state == LANE_IDLE)
			state = LANE_WAITING;
		if (line == LINE_HALTED)
			state = LANE_HALTED;
	}
	if (!lane->session.open && lane->session.failures > 0)
		state = lane->session.class == ERR_CONFIG ? LANE_HALTED : LANE_WAITING;
	set_state(lane, state, error ? error : state == LANE_IDLE ? "" : NULL);
}

void lane_look(struct lane *lane, struct lane_view *view)
{
	pthread_mutex_lock(&lane->view_lock);
	*view = lane->view;
	pthread_mutex_unlock(&lane->view_lock);
	view->phase = view->state == LANE_WRITING ? store_phase(lane->store) : NULL;
}

void lane_look_at_line(struct lane *lane, size_t stream, struct line_view *view)
{
	pthread_mutex_lock(&lane->view_lock);
	*view = lane->lines[stream].view;
	pthread_mutex_unlock(&lane->view_lock);
}

/* b NULL: nothing is under way. */
static void show_batch(struct lane *lane, const struct batch *b, unsigned attempts)
{
	pthread_mutex_lock(&lane->view_lock);
	lane->view.stream = b ? b->stream->config->name : NULL;
	lane->view.events = b ? b->nevents + b->ndead : 0;
	lane->view.since_us = clock_mono_us();
	lane->view.attempts = attempts;
	pthread_mutex_unlock(&lane->view_lock);
}

/* --- lines --- */

static struct line *line_of(struct lane *lane, const struct job *job)
{
	return job->kind == JOB_WRITE ? &lane->lines[job->batch->stream->index] : &lane->claims;
}

/* What has come since: new jobs to the end of their lines, and those that were away. */
static void take_jobs(struct lane *lane)
{
	struct job *job;
	while ((job = queue_pop(lane->jobs))) {
		struct line *line = line_of(lane, job);
		if (line->away && line->first == job) {
			line->away = false;
			continue;
		}
		job->number = lane->arrived++;
		line_add(line, job);
	}
}

/* The inbox has room for every job there can be. The job is the poll thread's from then on. */
static void send_back(struct lane *lane, struct job *job)
{
	if (!queue_push(lane->inbox, job))
		abort(); /* sized for every job there is */
}

/* One that is away stays: the reader has it. */
static void give_back_line(struct lane *lane, struct line *line)
{
	while (line->first && !line->away) {
		struct job *job = line_take(line);
		if (job->kind != JOB_WRITE) {
			job->ok = false;
			err_clear(&job->err); /* it was not tried */
		} else {
			for (size_t i = 0; i < job->batch->nspans; i++)
				if (job->batch->spans[i].result == SPAN_OPEN)
					job->batch->spans[i].result = SPAN_ABANDONED;
		}
		send_back(lane, job);
	}
	line->leaving = line->away;
	line_moved(line);
	set_line(lane, line, LINE_FLOWS, "");
}

/* Obeys lane_abort(), lane_release(), lane_drain() and lane_stop(). */
static void give_back(struct lane *lane)
{
	bool all = atomic_load(&lane->aborting) || atomic_load(&lane->stopping);
	bool held = atomic_exchange(&lane->releasing, false) || atomic_load(&lane->draining);
	bool session = lane->session.open || lane->session.failures == 0;
	int64_t now = clock_mono_us();
	if (all || (held && !session))
		give_back_line(lane, &lane->claims);
	for (size_t i = 0; i < lane->nlines; i++) {
		struct line *line = &lane->lines[i];
		bool is_held = line->first && (line->due_us > now || line->away || !session);
		if (all || line->leaving || (held && is_held))
			give_back_line(lane, line);
	}
	bool away = false;
	for (size_t i = 0; i < lane->nlines; i++)
		away |= lane->lines[i].leaving;
	atomic_store(&lane->give_up, all || away || atomic_load(&lane->draining));
}

/* --- the session --- */

/* A failure is logged unless it is everybody's, or one that we cut off ourselves. */
static void open_session(struct lane *lane)
{
	struct err err = {0};
	set_state(lane, LANE_CONNECTING, NULL);
	if (!session_open(&lane->session, &err) && !lane->session.told &&
	    !atomic_load(&lane->aborting))
		log_error("no session with the database, will try again",
			  F_STR("database", lane->store->class->name), F_INT("lane", lane->index),
			  F_INT("attempt", lane->session.failures), F_STR("error", err.text));
	set_at_rest(lane, err.class == ERR_NONE ? NULL : err.text);
}

/* True if there is one. Also while there is nothing to do: readiness tells of the database. */
static bool keep_session(struct lane *lane)
{
	if (lane->session.open && !store_alive(lane->store))
		session_drop(&lane->session);
	if (!lane->session.open && clock_mono_us() >= lane->session.due_us)
		open_session(lane);
	return lane->session.open;
}

/* --- failures --- */

/* Names the first span only; the others of the batch wait with it. */
static void report(struct lane *lane, const struct batch *b, unsigned attempts,
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

/* The line's first batch waits, and what is behind it. */
static void hold(struct lane *lane, struct line *line, const struct err *err, bool slowly)
{
	int64_t wait =
		slowly ? SESSION_SLOW_US : session_backoff_us(&lane->session, line->attempts);
	line_hold(line, err, clock_mono_us(), wait);
	report(lane, line->first->batch, line->attempts, err, wait);
}

/* The session's trouble concerns all lines, anything else only this one. */
static void write_failed(struct lane *lane, struct line *line, const struct err *err)
{
	if (atomic_load(&lane->aborting)) { /* what failed was cut off */
		if (session_lost(&lane->session, err))
			session_drop(&lane->session);
		return;
	}
	if (session_lost(&lane->session, err)) {
		hold(lane, line, err, false);
		session_failed(&lane->session, err);
		return;
	}
	bool slowly = err->class == ERR_CONFIG || store_trouble(lane->store, err) == STORE_SLOWLY;
	hold(lane, line, err, slowly);
	set_line(lane, line, err->class == ERR_CONFIG ? LINE_HALTED : LINE_WAITS, err->text);
}

/* --- writing --- */

/* Decided in full: the job goes home, the line goes on. */
static void written(struct lane *lane, struct line *line, int64_t taken_us)
{
	struct job *job = line_take(line);
	job->took_us = clock_mono_us() - taken_us;
	line_moved(line);
	line->locked = false;
	set_line(lane, line, LINE_FLOWS, "");
	pthread_mutex_lock(&lane->view_lock);
	lane->view.batches++;
	pthread_mutex_unlock(&lane->view_lock);
	send_back(lane, job);
}

/* The first batch of the line goes to the reader, and will come back by the job queue. */
static void send_to_reader(struct lane *lane, struct line *line)
{
	struct job *job = line->first;
	job->read = (struct errand){
		.batch = job->batch, .home = lane->jobs, .job = job, .give_up = &lane->give_up};
	line->away = true;
	reader_send(lane->reader, &job->read);
}

/* It is here again. False: nothing was read. */
static bool back_from_reader(struct lane *lane, struct line *line)
{
	struct errand *read = &line->first->read;
	bool ok = read->ok || !read->batch;
	if (!ok) {
		hold(lane, line, &read->err, false);
		set_line(lane, line, LINE_WAITS, read->err.text);
	}
	read->batch = NULL;
	return ok;
}

/* One try. It ends written, held, or at the reader. */
static void write_first(struct lane *lane, struct line *line)
{
	struct job *job = line->first;
	struct sink_try how = {.hurry = line->locked,
			       .peer = job->behind ? job->behind->batch : NULL};
	int64_t taken = clock_mono_us();
	struct err err = {0};
	enum sink_result result = SINK_AGAIN;
	if (!back_from_reader(lane, line))
		return;
	set_state(lane, LANE_WRITING, NULL);
	show_batch(lane, job->batch, line->attempts);
	lane->at_work = line;
	while (result == SINK_AGAIN && !atomic_load(&lane->aborting))
		result = store_write(lane->store, job->batch, &how, &err);
	lane->at_work = NULL;
	show_batch(lane, NULL, 0);
	switch (result) {
	case SINK_DONE:
		written(lane, line, taken);
		break;
	case SINK_READ:
		send_to_reader(lane, line);
		break;
	case SINK_FAILED:
		write_failed(lane, line, &err);
		break;
	case SINK_AGAIN: /* aborted */
		break;
	}
	set_at_rest(lane, err.class == ERR_NONE ? NULL : err.text);
}

static bool tell_halt(struct lane *lane, struct job *job)
{
	struct err why = job->err;
	return store_tell_halt(lane->store, &job->claim, why.text, &job->err);
}

/* A claim is answered at once, whatever came of it: the pipeline asks again. */
static void claim_first(struct lane *lane)
{
	struct job *job = line_take(&lane->claims);
	set_state(lane, LANE_WRITING, NULL);
	job->ok = job->kind == JOB_HALT ? tell_halt(lane, job)
					: store_claim(lane->store, &job->claim, &job->err);
	if (!job->ok && session_lost(&lane->session, &job->err))
		session_failed(&lane->session, &job->err);
	bool ok = job->ok;
	send_back(lane, job);
	set_at_rest(lane, ok ? NULL : "");
}

/* Of the lines that are ready the one whose first batch came first; NULL: none. */
static struct line *next_line(struct lane *lane, int64_t now)
{
	struct line *next = NULL;
	for (size_t i = 0; i < lane->nlines; i++) {
		struct line *line = &lane->lines[i];
		if (line_ready(line, now) && (!next || line->first->number < next->first->number))
			next = line;
	}
	return next;
}

/* The store waits for its server: time to get the next batch ready. */
static void arrange_ahead(void *arg)
{
	struct lane *lane = arg;
	struct job *next = NULL;
	take_jobs(lane);
	for (size_t i = 0; i < lane->nlines; i++) {
		struct line *line = &lane->lines[i];
		struct job *job = line->first;
		if (job && line == lane->at_work)
			job = job->behind;
		else if (job && (line->away || line->due_us > 0))
			job = NULL;
		if (job && !job->batch->prepared && (!next || job->number < next->number))
			next = job;
	}
	if (next)
		store_prepare(lane->store, next->batch);
}

/* One lane does it for all of them. */
static void prune(struct lane *lane)
{
	struct err err = {0};
	bool more = false;
	if (lane->index != 0 || clock_mono_us() < lane->next_prune_us)
		return;
	if (!store_prune(lane->store, &more, &err)) {
		log_warn("housekeeping failed", F_STR("error", err.text));
		if (session_lost(&lane->session, &err))
			session_failed(&lane->session, &err);
	}
	lane->next_prune_us = clock_mono_us() + (more ? PRUNE_MORE_US : PRUNE_EVERY_US);
}

/* --- the loop --- */

/* When the lane has to look again although nobody wakes it. */
static int64_t next_due(const struct lane *lane)
{
	int64_t next = clock_mono_us() + BEAT_EVERY_US;
	if (atomic_load(&lane->aborting))
		return next;
	if (!lane->session.open)
		return MIN(next, lane->session.due_us);
	for (size_t i = 0; i < lane->nlines; i++)
		if (lane->lines[i].first && !lane->lines[i].away)
			next = MIN(next, lane->lines[i].due_us);
	return lane->index == 0 ? MIN(next, lane->next_prune_us) : next;
}

/* The one wait. */
static void rest(struct lane *lane, size_t place)
{
	struct pollfd fds[2] = {{.fd = lane->wake_fd, .events = POLLIN},
				{.fd = queue_fd(lane->jobs), .events = POLLIN}};
	int64_t start = clock_mono_us();
	uint64_t count;
	beat(place);
	(void)poll(fds, 2, clock_poll_ms(next_due(lane)));
	if (read(lane->wake_fd, &count, sizeof(count)) < 0)
		assert(errno == EAGAIN || errno == EINTR);
	stats_add(METRIC_BUSY_SECONDS, lane->view.state == LANE_IDLE ? STAGE_IDLE : STAGE_WAIT, 0,
		  clock_mono_us() - start);
}

/* True: something was done, and there may be more. */
static bool step(struct lane *lane)
{
	if (atomic_load(&lane->aborting) || !keep_session(lane))
		return false;
	prune(lane);
	if (!lane->session.open)
		return true;
	if (lane->claims.first) {
		claim_first(lane);
		return true;
	}
	struct line *line = next_line(lane, clock_mono_us());
	if (line)
		write_first(lane, line);
	return line != NULL;
}

static bool has_jobs(const struct lane *lane)
{
	for (size_t i = 0; i < lane->nlines; i++)
		if (lane->lines[i].first)
			return true;
	return lane->claims.first != NULL;
}

/* Ends when it is told to stop and every job has gone home. */
static void *lane_main(void *arg)
{
	struct lane *lane = arg;
	char name[16]; /* for top -H, perf and gdb */
	snprintf(name, sizeof(name), "lane %zu", lane->index);
	pthread_setname_np(pthread_self(), name);
	size_t place = beat_join(name);
	for (;;) {
		take_jobs(lane);
		give_back(lane);
		if (atomic_load(&lane->stopping) && !has_jobs(lane))
			break;
		/* A job's waits have deadlines of their own. */
		beat_rest(place);
		if (!step(lane))
			rest(lane, place);
	}
	beat_leave(place);
	session_drop(&lane->session);
	set_state(lane, LANE_STOPPED, NULL);
	return NULL;
}

/* --- the pipeline's side --- */

/* The lane has its thread at once; its session comes when it first looks. */
struct lane *lane_start(const struct config *config, const struct store_class *class,
			struct stream *const *streams, size_t nstreams, size_t index,
			struct reader *reader, struct queue *inbox, size_t max_jobs)
{
	struct lane *lane = xcalloc(1, sizeof(*lane));
	lane->config = config;
	lane->index = index;
	lane->reader = reader;
	lane->inbox = inbox;
	lane->jobs = queue_new(max_jobs);
	lane->nlines = nstreams;
	lane->lines = xcalloc(nstreams, sizeof(*lane->lines));
	lane->abort_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	lane->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	const struct store_setup setup = {.config = config,
					  .streams = streams,
					  .nstreams = nstreams,
					  .lane = index,
					  .abort_fd = lane->abort_fd,
					  .idle = arrange_ahead,
					  .idle_ctx = lane};
	lane->store = class->create(&setup);
	session_init(&lane->session, lane->store, index);
	lane->next_prune_us = clock_mono_us() + US_PER_S;
	pthread_mutex_init(&lane->view_lock, NULL);
	if (lane->abort_fd < 0 || lane->wake_fd < 0)
		die_without("eventfd", errno, "raise the limit of open files (ulimit -n)");
	thread_start(&lane->thread, lane_main, lane);
	return lane;
}

void lane_push(struct lane *lane, struct job *job)
{
	job->lane = lane->index;
	if (!queue_push(lane->jobs, job))
		abort(); /* sized for every job there is */
}

/* An eventfd: counts, so no signal is lost. */
static void signal_fd(struct lane *lane, int fd)
{
	static const uint64_t one = 1;
	if (write(fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		log_error("signal to a lane lost", F_INT("lane", lane->index));
}

/* What waits for the database is woken by the descriptor. */
void lane_abort(struct lane *lane)
{
	atomic_store(&lane->aborting, true);
	atomic_store(&lane->give_up, true);
	signal_fd(lane, lane->abort_fd);
	signal_fd(lane, lane->wake_fd);
}

/* After an abort: takes jobs and opens a session again. */
void lane_resume(struct lane *lane)
{
	uint64_t count;
	atomic_store(&lane->aborting, false);
	if (read(lane->abort_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		log_error("abort signal not cleared", F_INT("lane", lane->index));
	signal_fd(lane, lane->wake_fd);
}

void lane_release(struct lane *lane)
{
	atomic_store(&lane->releasing, true);
	signal_fd(lane, lane->wake_fd);
}

void lane_drain(struct lane *lane)
{
	atomic_store(&lane->draining, true);
	atomic_store(&lane->give_up, true);
	signal_fd(lane, lane->wake_fd);
}

/* NULL is fine. What is in flight is cut off. */
void lane_stop(struct lane *lane)
{
	if (!lane)
		return;
	atomic_store(&lane->stopping, true);
	lane_abort(lane);
	pthread_join(lane->thread, NULL);
	free(lane->lines);
	queue_free(lane->jobs);
	lane->store->class->destroy(lane->store);
	close(lane->abort_fd);
	close(lane->wake_fd);
	pthread_mutex_destroy(&lane->view_lock);
	free(lane);
}

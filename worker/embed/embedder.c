/*
 * embedder.c - the thread between a sealed batch and its lane.
 *
 *   jobs ----> track of (lane, stream):  work, work          in order, whatever comes first
 *  (queue)                                |  each event's wants, one for each column
 *                                         v
 *                          the column's model (model.c): texts of all batches, requests
 *                                         |
 *               vector into the row, or the event refused
 *                                         |
 *   lane <---- the first of a track whose wants are all settled
 *
 * A work waits, at the head of its track, until each of its wants is settled; then
 *
 *   none refused                         it is the lane's
 *   some refused, on_poison dead_letter  the reader reads their messages again, then it is the
 *                                        lane's: there they are dead letters like any other, one
 *                                        for each event, whoever refuses it
 *   on_poison null                       their vectors are NULL, which costs no more
 *   on_poison halt, or too many of them  the track is halted, and tries again
 *
 * The slot has a second batch that fills meanwhile; then its partitions pause (core/pool.h), and no
 * others. Nothing of this needs a transaction or a lane's session.
 *
 * Invariant: a batch that leaves for its lane wants nothing any more (asserted): zeros never land.
 *
 * Thread: embedder_main() is the embedder's; the header's functions are the poll thread's. They
 * share the job queue, flags, and the views behind their mutex. One wait: the HTTP client's.
 */
#include "embed/embedder.h"

#include <assert.h>
#include <errno.h>
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
#include "core/guard.h"
#include "core/stream.h"
#include "io/embed_answer.h"

#define BEAT_EVERY_US (5 * US_PER_S)
#define READ_AGAIN_US US_PER_S

/* An event that the model refuses. */
struct poisoned {
	uint32_t event;
	char *why;
};

/* A batch that is here. */
struct work {
	struct job *job;
	struct work *next;
	struct want *wants;
	/* wants that are not settled: all, and by the table's embeds */
	size_t pending, pending_of[TABLE_EMBEDS_MOST];
	struct poisoned *poisoned;
	size_t npoisoned;
	bool told;                  /* the batch knows of them */
	char halted[ERR_TEXT_SIZE]; /* why a want can not be settled; empty: it can */
	/* the last one that it took part in, by the table's embeds */
	uint64_t requests[TABLE_EMBEDS_MOST];
};

/* Batches of one stream for one lane, oldest first. */
struct track {
	struct model *models[TABLE_EMBEDS_MOST]; /* of the table's embeds */
	size_t nmodels;                          /* 0: the stream makes no vectors */
	struct work *first, *last;
	int64_t due_us; /* the first one is not to be read for again before */
	bool away;      /* the first one is with the reader, */
	bool leaving;   /* and is to be given back when it is here again */
	struct line_view view;
};

/* What the poll thread asks for, by lane. */
struct wish {
	atomic_uint jobs; /* for that lane, that are here */
	atomic_bool aborting, releasing;
	atomic_bool give_up; /* for the reader: either of them, or the end */
};

struct embedder {
	const struct config *config;
	struct stream *const *streams;
	size_t nstreams, nlanes;
	struct lane *const *lanes;
	struct reader *reader;
	struct queue *jobs, *inbox;
	struct http_client *http;
	int abort_fd; /* ends what waits for the database */
	struct wish *wishes;
	atomic_bool draining, stopping;
	pthread_t thread;

	/* The thread's own. */
	struct archive *archive;
	struct model *models;
	size_t nmodels;
	struct guard *guards; /* by stream */
	struct track *tracks; /* lane by lane, stream by stream */

	pthread_mutex_t view_lock;
	struct embed_view *views;
};

static struct track *track_of(const struct embedder *e, size_t lane, size_t stream)
{
	return &e->tracks[lane * e->nstreams + stream];
}

/* --- what others see --- */

void embedder_look(struct embedder *e, size_t lane, size_t stream, struct line_view *view)
{
	pthread_mutex_lock(&e->view_lock);
	*view = track_of(e, lane, stream)->view;
	pthread_mutex_unlock(&e->view_lock);
}

size_t embedder_models(struct embedder *e, struct embed_view *views)
{
	pthread_mutex_lock(&e->view_lock);
	memcpy(views, e->views, e->nmodels * sizeof(*views));
	pthread_mutex_unlock(&e->view_lock);
	return e->nmodels;
}

/* The model that the work waits for and that is in trouble; what an operator must mend first. */
static const struct model *troubled(const struct track *t, const struct work *w)
{
	const struct model *found = NULL;
	for (size_t i = 0; i < t->nmodels; i++) {
		const struct model *m = t->models[i];
		if (w->pending_of[i] > 0 && m->why[0] != '\0' &&
		    (!found || (found->state != MODEL_HALTED && m->state == MODEL_HALTED)))
			found = m;
	}
	return found;
}

/* Why the first batch of the track waits; NULL: it does not, or for its turn only. */
static const char *reason(const struct track *t, enum line_state *state)
{
	const struct work *w = t->first;
	*state = LINE_FLOWS;
	if (!w)
		return NULL;
	if (w->halted[0]) {
		*state = LINE_HALTED;
		return w->halted;
	}
	if (t->due_us > 0) {
		*state = LINE_WAITS;
		return w->job->read.err.text;
	}
	const struct model *m = troubled(t, w);
	if (m)
		*state = m->state == MODEL_HALTED ? LINE_HALTED : LINE_WAITS;
	return m ? m->why : NULL;
}

static void show_track(struct track *t)
{
	enum line_state state;
	const char *why = reason(t, &state);
	t->view.state = state;
	snprintf(t->view.why, sizeof(t->view.why), "%s", why ? why : "");
}

static void show(struct embedder *e)
{
	pthread_mutex_lock(&e->view_lock);
	for (size_t i = 0; i < e->nlanes * e->nstreams; i++)
		show_track(&e->tracks[i]);
	for (size_t i = 0; i < e->nmodels; i++) {
		const struct model *m = &e->models[i];
		struct embed_view *v = &e->views[i];
		*v = (struct embed_view){.name = m->config->name,
					 .state = m->state,
					 .waiting = HASH_COUNT(m->texts.all),
					 .requests = m->nrequests,
					 .inputs = m->texts.inputs};
		snprintf(v->error, sizeof(v->error), "%s", m->why);
	}
	pthread_mutex_unlock(&e->view_lock);
}

/* --- in --- */

/* Every vector that is wanted waits for its text. What is known already is settled on the way. */
static void enroll(struct track *t, struct work *w)
{
	struct batch *b = w->job->batch;
	const struct table_embed *embeds = b->stream->table->embeds;
	w->wants = xcalloc(b->nwants + 1, sizeof(*w->wants));
	b->embedding.wanted = (uint32_t)b->nwants;
	stats_gauge_add(METRIC_EMBED_WAITING, b->stream->index, 0, (int64_t)b->nwants);
	w->pending = b->nwants;
	for (uint32_t i = 0; i < b->nwants; i++)
		w->pending_of[b->wants[i].at.embed]++;
	for (uint32_t i = 0; i < b->nwants; i++) {
		uint32_t embed = b->wants[i].at.embed;
		struct want *want = &w->wants[i];
		*want = (struct want){.bytes = batch_text(b, i), .owner = w, .number = i};
		model_want(t->models[embed], embeds[embed].prefix, want);
	}
}

static void take_job(struct embedder *e, struct job *job)
{
	struct track *t = track_of(e, job->lane, job->batch->stream->index);
	if (t->away && t->first->job == job) {
		t->away = false;
		return;
	}
	struct work *w = xcalloc(1, sizeof(*w));
	w->job = job;
	*(t->last ? &t->last->next : &t->first) = w;
	t->last = w;
	enroll(t, w);
}

/* --- what came of a want --- */

static void log_poisoned(const struct batch *b, uint32_t event, const char *why)
{
	const struct event *ev = &b->events[event];
	const struct span *span = &b->spans[ev->span];
	log_warn("the text of an event is refused by the model",
		 F_STR("stream", b->stream->config->name), F_STR("topic", span->topic),
		 F_INT("partition", span->partition), F_INT("offset", ev->offset),
		 F_STR("error", why));
}

static bool halt(struct work *w, const char *why)
{
	if (strcmp(w->halted, why) != 0)
		log_error("batch halted, an operator must act",
			  F_STR("stream", w->job->batch->stream->config->name),
			  F_STR("error", why));
	snprintf(w->halted, sizeof(w->halted), "%s", why);
	return false;
}

static bool is_poisoned(const struct work *w, uint32_t event)
{
	for (size_t i = 0; i < w->npoisoned; i++)
		if (w->poisoned[i].event == event)
			return true;
	return false;
}

static void bury_later(struct work *w, uint32_t event, const char *why)
{
	w->poisoned = xrealloc(w->poisoned, (w->npoisoned + 1) * sizeof(*w->poisoned));
	w->poisoned[w->npoisoned++] = (struct poisoned){event, xstrdup(why)};
}

/* As on_poison says. False: it stays as it is, and will be asked for again. */
static bool poisoned(struct embedder *e, struct work *w, uint32_t want, const char *why)
{
	struct batch *b = w->job->batch;
	struct stream *stream = b->stream;
	const struct embed_config *config = stream->embeds[b->wants[want].at.embed];
	uint32_t event = b->wants[want].event;
	struct err err = {0};
	bool ok = true;
	switch (config->on_poison) {
	case POISON_DEAD_LETTER:
		if (is_poisoned(w, event)) /* by another model */
			break;
		ok = guard_admits(&e->guards[stream->index], e->config, stream->config->name,
				  b->nevents, w->npoisoned + 1, &err);
		if (ok)
			bury_later(w, event, why);
		else
			err_wrap(&err, "%s", why);
		break;
	case POISON_NULL:
		ok = batch_embed(b, want, NULL);
		break;
	case POISON_HALT:
		ok = err_set(&err, ERR_CONFIG, "%s (embed.%s.on_poison = halt)", why, config->name);
		break;
	}
	if (!ok) {
		const struct event *ev = &b->events[event];
		err_wrap(&err, "%s [%d] offset %lld", b->spans[ev->span].topic,
			 b->spans[ev->span].partition, (long long)ev->offset);
		return halt(w, err.text);
	}
	log_poisoned(b, event, why);
	stats_add(METRIC_EMBED_REFUSED, stream->index, 0, 1);
	return true;
}

/* Into the row. False: the column has no room for such numbers. */
static bool fill(struct batch *b, uint32_t want, const uint8_t *vector)
{
	uint32_t embed = b->wants[want].at.embed;
	size_t dim = stream_embed_dim(b->stream, embed);
	if (!b->stream->table->embeds[embed].normalize)
		return batch_embed(b, want, vector);
	uint8_t *unit = xmalloc(4 * dim);
	memcpy(unit, vector, 4 * dim);
	embed_normalize(unit, dim);
	bool ok = batch_embed(b, want, unit);
	free(unit);
	return ok;
}

static void count_cost(struct work *w, uint32_t embed, const struct want_cost *cost)
{
	struct batch *b = w->job->batch;
	size_t stream = b->stream->index;
	b->embedding.cached += cost->cached;
	stats_add(METRIC_EMBED_TEXTS, stream, 0, 1);
	stats_add(METRIC_EMBED_CACHED, stream, 0, cost->cached);
	if (cost->cached)
		return;
	b->embedding.tokens += cost->tokens;
	b->embedding.requests += w->requests[embed] != cost->request;
	w->requests[embed] = cost->request;
	stats_add(METRIC_EMBED_TOKENS, stream, 0, cost->tokens);
}

static bool on_settled(void *ctx, struct want *want, const uint8_t *vector, const char *why,
		       const struct want_cost *cost)
{
	struct embedder *e = ctx;
	struct work *w = want->owner;
	struct batch *b = w->job->batch;
	uint32_t embed = b->wants[want->number].at.embed;
	bool filled = vector && fill(b, want->number, vector);
	if (filled)
		count_cost(w, embed, cost);
	else if (!poisoned(e, w, want->number,
			   why ? why : "the vector has numbers beyond what the column holds"))
		return false;
	b->embedding.spent_twice += cost->spent_twice;
	w->halted[0] = '\0';
	w->pending--;
	w->pending_of[embed]--;
	stats_gauge_add(METRIC_EMBED_WAITING, b->stream->index, 0, -1);
	return true;
}

/* --- out --- */

static struct work *track_take(struct track *t)
{
	struct work *w = t->first;
	t->first = w->next;
	if (!t->first)
		t->last = NULL;
	t->due_us = 0;
	return w;
}

/* Its wants wait no more. */
static void free_work(struct work *w)
{
	struct batch *b = w->job->batch;
	for (size_t i = 0; i < b->embedding.wanted; i++)
		texts_leave(&w->wants[i]);
	stats_gauge_add(METRIC_EMBED_WAITING, b->stream->index, 0, -(int64_t)w->pending);
	for (size_t i = 0; i < w->npoisoned; i++)
		free(w->poisoned[i].why);
	free(w->poisoned);
	free(w->wants);
	free(w);
}

static int by_event(const void *x, const void *y)
{
	uint32_t a = ((const struct poisoned *)x)->event, b = ((const struct poisoned *)y)->event;
	return (a > b) - (a < b);
}

/* Their messages are read again. */
static void send_to_reader(struct embedder *e, struct track *t)
{
	struct work *w = t->first;
	struct batch *b = w->job->batch;
	if (!w->told)
		qsort(w->poisoned, w->npoisoned, sizeof(*w->poisoned), by_event);
	for (size_t i = 0; !w->told && i < w->npoisoned; i++)
		batch_refuse(b, w->poisoned[i].event, REASON_EMBED, w->poisoned[i].why);
	w->told = true;
	w->job->read = (struct errand){.batch = b,
				       .home = e->jobs,
				       .job = w->job,
				       .give_up = &e->wishes[w->job->lane].give_up};
	t->away = true;
	t->due_us = 0;
	reader_send(e->reader, &w->job->read);
}

/* From the reader. False: it could not be read, which is tried again. */
static bool came_back(struct track *t, int64_t now_us)
{
	struct errand *read = &t->first->job->read;
	bool ok = read->ok || !read->batch;
	if (!ok)
		t->due_us = now_us + READ_AGAIN_US;
	read->batch = NULL;
	return ok;
}

static void forward(struct embedder *e, struct track *t)
{
	struct work *w = track_take(t);
	struct job *job = w->job;
	struct batch *b = job->batch;
	assert(b->nopen == 0);
	int64_t now = clock_mono_us();
	b->embedding.waited_us = now - job->pushed_us;
	job->pushed_us = now;
	stats_observe(METRIC_EMBED_WAIT_SECONDS, b->stream->index, b->embedding.waited_us);
	guard_count(&e->guards[b->stream->index], e->config, b->nevents, w->npoisoned);
	free_work(w);
	e->wishes[job->lane].jobs--;
	lane_push(e->lanes[job->lane], job);
}

/* True: the first one moved. */
static bool move_first(struct embedder *e, struct track *t, int64_t now_us)
{
	struct work *w = t->first;
	if (!w || t->away || t->leaving || w->pending > 0 || t->due_us > now_us)
		return false;
	if (!came_back(t, now_us))
		return false;
	const struct batch *b = w->job->batch;
	if (w->npoisoned > 0 && (!w->told || b->nburied < b->nrefused)) {
		send_to_reader(e, t);
		return false;
	}
	forward(e, t);
	return true;
}

static int64_t move(struct embedder *e)
{
	int64_t now = clock_mono_us(), next = CLOCK_NEVER;
	for (size_t i = 0; i < e->nlanes * e->nstreams; i++) {
		struct track *t = &e->tracks[i];
		while (move_first(e, t, now))
			continue;
		if (t->first && t->due_us > 0)
			next = MIN(next, t->due_us);
	}
	return next;
}

/* --- giving back --- */

/* One that is with the reader stays until it is here. */
static void give_back_track(struct embedder *e, struct track *t)
{
	while (t->first && !t->away) {
		struct work *w = track_take(t);
		struct job *job = w->job;
		for (size_t i = 0; i < job->batch->nspans; i++)
			if (job->batch->spans[i].result == SPAN_OPEN)
				job->batch->spans[i].result = SPAN_ABANDONED;
		free_work(w);
		e->wishes[job->lane].jobs--;
		if (!queue_push(e->inbox, job))
			abort(); /* sized for every job there is */
	}
	t->leaving = t->away;
}

/* More than its turn is what the first one waits for. */
static bool is_held(const struct track *t)
{
	enum line_state state;
	(void)reason(t, &state);
	bool held = t->first && (state != LINE_FLOWS || t->away);
	for (size_t i = 0; t->first && i < t->nmodels; i++)
		held |= t->first->pending_of[i] > 0 && t->models[i]->state != MODEL_READY;
	return held;
}

/* Obeys embedder_abort(), _release(), _drain() and _stop(). */
static void give_back(struct embedder *e)
{
	bool stop = atomic_load(&e->stopping), drain = atomic_load(&e->draining);
	for (size_t lane = 0; lane < e->nlanes; lane++) {
		struct wish *wish = &e->wishes[lane];
		bool all = stop || atomic_load(&wish->aborting), away = false;
		bool held = atomic_exchange(&wish->releasing, false) || drain;
		for (size_t i = 0; i < e->nstreams; i++) {
			struct track *t = track_of(e, lane, i);
			if (all || t->leaving || (held && is_held(t)))
				give_back_track(e, t);
			away |= t->leaving;
		}
		atomic_store(&wish->give_up, all || away || drain);
	}
}

/* --- the loop --- */

static bool has_jobs(const struct embedder *e)
{
	for (size_t i = 0; i < e->nlanes * e->nstreams; i++)
		if (e->tracks[i].first)
			return true;
	return false;
}

/* An abort that came before has been heard once give_back() has looked. */
static void hear(struct embedder *e)
{
	uint64_t count;
	if (read(e->abort_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		log_warn("a signal to the embedder is not cleared");
}

/* One turn. Returns when the next one is due. */
static int64_t turn(struct embedder *e)
{
	int64_t next = CLOCK_NEVER;
	struct job *job;
	while ((job = queue_pop(e->jobs)))
		take_job(e, job);
	hear(e);
	give_back(e);
	if (atomic_load(&e->stopping))
		return next;
	http_client_turn(e->http);
	for (size_t i = 0; i < e->nmodels; i++)
		next = MIN(next, model_turn(&e->models[i], clock_mono_us()));
	next = MIN(next, move(e));
	show(e);
	return next;
}

/* Ends when it is told to stop and every job has gone home. */
static void *embedder_main(void *arg)
{
	struct embedder *e = arg;
	pthread_setname_np(pthread_self(), "embed");
	size_t place = beat_join("embed");
	for (;;) {
		beat_rest(place);
		int64_t next = turn(e);
		if (atomic_load(&e->stopping) && !has_jobs(e))
			break;
		beat(place);
		http_client_wait_for(e->http, queue_fd(e->jobs),
				     MIN(next, clock_mono_us() + BEAT_EVERY_US));
	}
	beat_leave(place);
	return NULL;
}

/* --- the poll thread's side --- */

static struct model *model_named(const struct embedder *e, const char *name)
{
	for (size_t i = 0; i < e->nmodels; i++)
		if (strcmp(e->models[i].config->name, name) == 0)
			return &e->models[i];
	return NULL;
}

/* Where columns have the same model they have one dimension: stream_models_agree(). */
static void open_model(struct embedder *e, size_t stream, size_t embed)
{
	const struct stream *s = e->streams[stream];
	struct model *m = model_named(e, s->embeds[embed]->name);
	if (!m) {
		m = &e->models[e->nmodels++];
		model_open(m, s->embeds[embed], stream_embed_dim(s, embed), e->archive, e->http,
			   on_settled, e);
	}
	for (size_t lane = 0; lane < e->nlanes; lane++) {
		struct track *t = track_of(e, lane, stream);
		t->models[t->nmodels++] = m;
	}
}

static void open_models(struct embedder *e)
{
	e->models = xcalloc(e->config->nembeds + 1, sizeof(*e->models));
	e->views = xcalloc(e->config->nembeds + 1, sizeof(*e->views));
	for (size_t i = 0; i < e->nstreams; i++)
		for (size_t k = 0; k < e->streams[i]->table->nembeds; k++)
			open_model(e, i, k);
}

struct embedder *embedder_start(const struct config *config, struct stream *const *streams,
				size_t nstreams, struct lane *const *lanes, size_t nlanes,
				struct reader *reader, struct queue *inbox, size_t max_jobs)
{
	if (!stream_any_embeds(streams, nstreams))
		return NULL;
	struct embedder *e = xcalloc(1, sizeof(*e));
	*e = (struct embedder){.config = config,
			       .streams = streams,
			       .nstreams = nstreams,
			       .lanes = lanes,
			       .nlanes = nlanes,
			       .reader = reader,
			       .inbox = inbox};
	e->jobs = queue_new(max_jobs);
	e->http = http_client_new();
	e->abort_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (e->abort_fd < 0)
		die_without("eventfd", errno, "raise the limit of open files (ulimit -n)");
	e->archive = archive_new(config, e->abort_fd);
	e->wishes = xcalloc(nlanes, sizeof(*e->wishes));
	e->guards = xcalloc(nstreams, sizeof(*e->guards));
	e->tracks = xcalloc(nlanes * nstreams, sizeof(*e->tracks));
	pthread_mutex_init(&e->view_lock, NULL);
	open_models(e);
	thread_start(&e->thread, embedder_main, e);
	return e;
}

unsigned embedder_jobs(struct embedder *e, size_t lane)
{
	return atomic_load(&e->wishes[lane].jobs);
}

void embedder_push(struct embedder *e, struct job *job)
{
	e->wishes[job->lane].jobs++;
	if (!queue_push(e->jobs, job))
		abort(); /* sized for every job there is */
}

/* Also out of a wait for the database. */
static void interrupt(struct embedder *e)
{
	static const uint64_t one = 1;
	if (write(e->abort_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		log_warn("a signal to the embedder is lost");
	http_client_wake(e->http);
}

void embedder_abort(struct embedder *e, size_t lane)
{
	atomic_store(&e->wishes[lane].aborting, true);
	atomic_store(&e->wishes[lane].give_up, true);
	interrupt(e);
}

void embedder_resume(struct embedder *e, size_t lane)
{
	atomic_store(&e->wishes[lane].aborting, false);
}

void embedder_release(struct embedder *e, size_t lane)
{
	atomic_store(&e->wishes[lane].releasing, true);
	http_client_wake(e->http);
}

void embedder_drain(struct embedder *e)
{
	atomic_store(&e->draining, true);
	http_client_wake(e->http);
}

void embedder_stop(struct embedder *e)
{
	if (!e)
		return;
	atomic_store(&e->stopping, true);
	for (size_t i = 0; i < e->nlanes; i++)
		atomic_store(&e->wishes[i].give_up, true);
	interrupt(e);
	pthread_join(e->thread, NULL);
	for (size_t i = 0; i < e->nmodels; i++)
		model_close(&e->models[i]);
	archive_free(e->archive);
	http_client_free(e->http);
	queue_free(e->jobs);
	close(e->abort_fd);
	pthread_mutex_destroy(&e->view_lock);
	free(e->wishes);
	free(e->guards);
	free(e->tracks);
	free(e->models);
	free(e->views);
	free(e);
}

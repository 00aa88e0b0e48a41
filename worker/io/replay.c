/*
 * replay.c - a part of Kafka's log, read once more.
 *
 *   consumer, assigned by hand --> below the end, and not left out? --> ops->message
 *                                  at the end --> ops->eof(end), and the partition rests
 *
 * It is Kafka's consumer (consumer.c) with three things changed. No group assigns: all partitions
 * are there from the beginning, whoever else reads them, and nothing is committed. A partition ends
 * at an offset that was set before, although its log goes on. And some offsets are left out: they
 * count as offsets without a message, as after compaction.
 *
 *        start(offset < end)            a message or an end at or behind the end
 *   OFF ---------------------> FETCHES ------------------------------------------> ENDED
 *    ^ \                          |                                                 | ^
 *    |  '---start(offset >= end)--|---------------------------------------------------'
 *    '---------- pause -----------+----------------------- pause -------------------+
 *
 * The end is told at every poll: a partition whose batch had no room for it takes it later.
 *
 * Thread: the poll thread; replay_look() the lookout's. Failure: a log whose beginning moved past
 * what is to be read is fatal, and the view says so; else as the consumer's.
 */
#include "io/replay.h"

#include <stdlib.h>
#include <string.h>

/* ---- what is to be read ---- */

void replay_add(struct replay *r, const char *topic, int32_t partition, int64_t from, int64_t end)
{
	r->parts = xrealloc(r->parts, (r->n + 1) * sizeof(*r->parts));
	r->parts[r->n++] = (struct replay_part){
		.topic = xstrdup(topic), .partition = partition, .from = from, .end = end};
}

struct replay_part *replay_find(const struct replay *r, const char *topic, int32_t partition)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->parts[i].partition == partition && strcmp(r->parts[i].topic, topic) == 0)
			return &r->parts[i];
	return NULL;
}

/* Its room doubles. */
void replay_leave_out(struct replay_part *part, int64_t from, int64_t to)
{
	size_t n = part->nleft_out;
	if (n > 0 && from <= part->left_out[n - 1].to) {
		part->left_out[n - 1].to = MAX(part->left_out[n - 1].to, to);
		return;
	}
	if ((n & (n - 1)) == 0)
		part->left_out =
			xrealloc(part->left_out, MAX(2 * n, (size_t)1) * sizeof(*part->left_out));
	part->left_out[part->nleft_out++] = (struct replay_range){from, to};
}

bool replay_leaves_out(const struct replay_part *part, int64_t offset)
{
	size_t low = 0, high = part->nleft_out;
	while (low < high) { /* the first that ends behind it */
		size_t middle = low + (high - low) / 2;
		if (part->left_out[middle].to <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low < part->nleft_out && part->left_out[low].from <= offset;
}

void replay_free(struct replay *r)
{
	for (size_t i = 0; i < r->n; i++) {
		free(r->parts[i].topic);
		free(r->parts[i].left_out);
	}
	free(r->parts);
	*r = (struct replay){0};
}

/* The lookout's question: the part begins and ends where it was told to. */
void replay_look(void *self, struct look *look)
{
	const struct replay *r = self;
	for (size_t i = 0; i < look->n; i++) {
		struct sight *s = &look->sights[i];
		const struct replay_part *part = replay_find(r, s->log.topic, s->log.partition);
		s->log.low = part ? part->from : -1;
		s->log.high = part ? part->end : -1;
		s->log.partitions = s->log.partition + 1;
		s->committed = -1;
	}
	look->topics_answered = look->nmissing > 0;
}

/* ---- the source ---- */

enum place_state { PLACE_OFF, PLACE_FETCHES, PLACE_ENDED };

struct place {
	const struct replay_part *part;
	struct source_partition *sp; /* NULL: not assigned now */
	enum place_state state;
	int64_t next; /* the offset after the last that was seen */
	size_t range; /* of those left out, the first that may hold it */
};

struct replayer {
	struct source base;
	struct source *inner; /* the consumer */
	const struct source_ops *ops;
	void *ctx;
	struct source_ops between; /* what the consumer calls */
	struct source_place *where;
	struct place *places;
	size_t n;
	struct place *last; /* of the last message: most follow their like */
	struct replay_view view;
};

static struct place *place_of(struct replayer *r, const struct source_partition *sp)
{
	if (r->last && r->last->sp == sp)
		return r->last;
	for (size_t i = 0; i < r->n; i++)
		if (r->places[i].sp == sp)
			return r->last = &r->places[i];
	abort(); /* it was assigned */
}

static void rest(struct replayer *r, struct place *p)
{
	if (p->state == PLACE_FETCHES)
		source_pause(r->inner, p->sp);
}

static void end_here(struct replayer *r, struct place *p)
{
	rest(r, p);
	p->state = PLACE_ENDED;
	p->next = p->part->end;
}

/* Offsets come in their order, but for a start further back. */
static bool is_left_out(struct place *p, int64_t offset)
{
	const struct replay_part *part = p->part;
	while (p->range < part->nleft_out && part->left_out[p->range].to <= offset)
		p->range++;
	return p->range < part->nleft_out && part->left_out[p->range].from <= offset;
}

/* ---- what the consumer calls ---- */

static void on_assigned(void *ctx, struct source_partition **sps, size_t n)
{
	struct replayer *r = ctx;
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < r->n; k++)
			if (r->places[k].part->partition == sps[i]->partition &&
			    strcmp(r->places[k].part->topic, sps[i]->topic) == 0)
				r->places[k].sp = sps[i];
	r->ops->assigned(r->ctx, sps, n);
}

static void on_revoked(void *ctx, struct source_partition **sps, size_t n, bool lost)
{
	struct replayer *r = ctx;
	r->ops->revoked(r->ctx, sps, n, lost);
	for (size_t i = 0; i < n; i++) {
		struct place *p = place_of(r, sps[i]);
		p->sp = NULL;
		p->state = PLACE_OFF;
	}
	r->last = NULL;
}

static bool on_message(void *ctx, const struct source_message *m)
{
	struct replayer *r = ctx;
	struct place *p = place_of(r, m->sp);
	if (m->offset >= p->part->end) {
		r->view.holes += p->part->end - MIN(p->next, p->part->end);
		end_here(r, p);
		return true;
	}
	r->view.holes += MAX(m->offset - p->next, (int64_t)0);
	p->next = m->offset + 1;
	if (!is_left_out(p, m->offset))
		return r->ops->message(r->ctx, m);
	r->ops->eof(r->ctx, m->sp, m->offset + 1);
	return true;
}

static void on_eof(void *ctx, struct source_partition *sp, int64_t offset)
{
	struct replayer *r = ctx;
	struct place *p = place_of(r, sp);
	r->view.holes += MAX(MIN(offset, p->part->end) - p->next, (int64_t)0);
	p->next = MAX(p->next, MIN(offset, p->part->end));
	if (offset >= p->part->end)
		end_here(r, p);
	else
		r->ops->eof(r->ctx, sp, offset);
}

static void on_fault(void *ctx, struct source_partition *sp, enum source_fault fault,
		     const char *text)
{
	struct replayer *r = ctx;
	if (fault != SOURCE_FAULT_OFFSET) {
		r->ops->fault(r->ctx, sp, fault, text);
		return;
	}
	const struct err why = {.class = ERR_FATAL,
				.text = "the log has lost its beginning meanwhile"};
	r->view.lost = true;
	r->ops->fatal(r->ctx, &why);
}

static void on_fatal(void *ctx, const struct err *why)
{
	struct replayer *r = ctx;
	r->ops->fatal(r->ctx, why);
}

static void on_statistics(void *ctx, const char *json, size_t len)
{
	struct replayer *r = ctx;
	r->ops->statistics(r->ctx, json, len);
}

/* ---- what the pipeline calls ---- */

static int replay_fd(const void *self)
{
	return source_fd(((const struct replayer *)self)->inner);
}

static size_t replay_poll(void *self, size_t max)
{
	struct replayer *r = self;
	size_t n = source_poll(r->inner, max);
	for (size_t i = 0; i < r->n; i++)
		if (r->places[i].state == PLACE_ENDED)
			r->ops->eof(r->ctx, r->places[i].sp, r->places[i].part->end);
	return n;
}

static void replay_pause(void *self, struct source_partition *sp)
{
	struct replayer *r = self;
	struct place *p = place_of(r, sp);
	rest(r, p);
	p->state = PLACE_OFF;
}

static bool replay_start(void *self, struct source_partition *sp, int64_t offset, struct err *err)
{
	struct replayer *r = self;
	struct place *p = place_of(r, sp);
	bool behind = offset >= p->part->end;
	if (!behind && !source_start(r->inner, sp, offset, err))
		return false;
	p->state = behind ? PLACE_ENDED : PLACE_FETCHES;
	p->next = MIN(offset, p->part->end);
	p->range = 0;
	return true;
}

static int64_t replay_end(void *self, const struct source_partition *sp)
{
	return place_of(self, sp)->part->end;
}

static void replay_commit(void *self, struct source_partition *const *sps, const int64_t *next,
			  size_t n)
{
	struct replayer *r = self;
	source_commit(r->inner, sps, next, n); /* which it does not do, without a group */
}

static void replay_commit_now(void *self, struct source_partition *const *sps, const int64_t *next,
			      size_t n, int timeout_ms)
{
	struct replayer *r = self;
	source_commit_now(r->inner, sps, next, n, timeout_ms);
}

static bool replay_joined(const void *self)
{
	return source_joined(((const struct replayer *)self)->inner);
}

static void replay_reload(void *self)
{
	source_reload(((struct replayer *)self)->inner);
}

static bool replay_leave(void *self, int wait_ms)
{
	return source_leave(((struct replayer *)self)->inner, wait_ms);
}

static void replay_abandon(void *self, int wait_ms)
{
	source_abandon(((struct replayer *)self)->inner, wait_ms);
}

static bool replay_close(void *self, int leave_ms)
{
	struct replayer *r = self;
	bool clean = source_close(r->inner, leave_ms);
	free(r->where);
	free(r->places);
	free(r);
	return clean;
}

void replay_view(const struct source *s, struct replay_view *view)
{
	const struct replayer *r = s->self;
	*view = r->view;
	for (size_t i = 0; i < r->n; i++) {
		view->read += r->places[i].next - r->places[i].part->from;
		view->total += r->places[i].part->end - r->places[i].part->from;
	}
}

static const struct source_class replay_class = {
	.fd = replay_fd,
	.poll = replay_poll,
	.pause = replay_pause,
	.start = replay_start,
	.high_watermark = replay_end,
	.commit = replay_commit,
	.commit_now = replay_commit_now,
	.joined = replay_joined,
	.reload = replay_reload,
	.leave = replay_leave,
	.abandon = replay_abandon,
	.close = replay_close,
};

struct source *replay_open(void *self, const struct config *config, const struct source_ops *ops,
			   void *ctx, struct err *err)
{
	const struct replay *replay = self;
	struct replayer *r = xcalloc(1, sizeof(*r));
	r->base = (struct source){.class = &replay_class, .self = r};
	r->ops = ops;
	r->ctx = ctx;
	r->n = replay->n;
	r->where = xcalloc(r->n, sizeof(*r->where));
	r->places = xcalloc(r->n, sizeof(*r->places));
	for (size_t i = 0; i < r->n; i++) {
		const struct replay_part *part = &replay->parts[i];
		r->where[i] = (struct source_place){part->topic, part->partition};
		r->places[i] = (struct place){.part = part, .next = part->from};
	}
	r->between = (struct source_ops){.assigned = on_assigned,
					 .revoked = on_revoked,
					 .message = on_message,
					 .eof = on_eof,
					 .fault = on_fault,
					 .fatal = on_fatal,
					 .statistics = on_statistics};
	r->inner = consumer_open_at(config, r->where, r->n, &r->between, r, err);
	if (r->inner)
		return &r->base;
	free(r->where);
	free(r->places);
	free(r);
	return NULL;
}

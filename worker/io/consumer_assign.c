/*
 * consumer_assign.c - which partitions the consumer has, and which of them it fetches.
 *
 *   struct consumer -- topics[] -- parts[partition]        topics live as long as the source, a
 * part as long as its assignment
 *
 *                 assigned()               consumer_start()
 *   (unknown) ------------------> IDLE ------------------> STARTED --+
 *        ^                         |  ^                      |       | message(), eof()
 *        |        revoked()        |  +--- consumer_pause() ---+  <----+
 *        +-------------------------+--------------------------+
 *
 * Rules, and where they come from (read in librdkafka 2.0.2 and 2.15):
 *
 * - A fresh partition is assigned at the absolute offset 0 and paused. An absolute offset needs no
 *   lookup: with OFFSET_BEGINNING a ListOffsets request is on its way when the pause comes; its
 *   answer is then "outdated" and is asked for again 500 ms later, which would silently move a
 *   partition that has been sought to its place meanwhile (rd_kafka_toppar_handle_Offset). The
 *   pause is tried before the assign as well, so that in general no fetch goes out at all: the
 *   topic object that topic_get() holds makes the partition known by then. If a fetch slipped
 *   through and the log does not begin at 0, the fetcher stops with an error; that is not the
 *   application's business: consumer_start() then assigns the partition anew at the right offset.
 * - Seek, then resume: a seek needs a started fetcher, not an unpaused one, and clears the position
 *   that resume would go back to (#3567). Every op raises the partition's version, so no message
 *   from before is delivered after it.
 * - The application's pause flag outlives the assignment (rdkafka_assignment.c resets its own flag
 *   alone): every assignment pauses, every start resumes.
 *
 * Thread: the poll thread; consumer_on_rebalance() runs inside consumer_poll() and
 * consumer_close(). Failure: what librdkafka refuses is logged, or returned as class RETRY where
 * the caller tries again.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "io/consumer_parts.h"

#define SEEK_TIMEOUT_MS 1000
/* How long a fetcher may be "not started yet" before it is assigned anew. */
#define SEEK_PATIENCE_US (1 * US_PER_S)

/* --- topics and partitions --- */

struct topic *consumer_topic(const struct consumer *s, const char *name)
{
	for (size_t i = 0; i < s->ntopics; i++)
		if (strcmp(s->topics[i]->name, name) == 0)
			return s->topics[i];
	return NULL;
}

static struct topic *topic_get(struct consumer *s, const char *name)
{
	struct topic *t = consumer_topic(s, name);
	if (t)
		return t;
	t = xcalloc(1, sizeof(*t));
	t->name = xstrdup(name);
	t->rkt = rd_kafka_topic_new(s->rk, name, NULL);
	s->topics = xrealloc(s->topics, (s->ntopics + 1) * sizeof(struct topic *));
	s->topics[s->ntopics++] = t;
	return t;
}

struct part *consumer_part(const struct consumer *s, const char *topic, int32_t partition)
{
	const struct topic *t = consumer_topic(s, topic);
	return t && partition >= 0 && partition < t->nparts ? t->parts[partition] : NULL;
}

static void forget_last(struct consumer *s)
{
	s->last_rkt = NULL;
	s->last_part = NULL;
}

static struct part *part_new(struct consumer *s, const char *topic, int32_t partition)
{
	struct topic *t = topic_get(s, topic);
	if (partition >= t->nparts) {
		size_t n = (size_t)partition + 1;
		t->parts = xrealloc(t->parts, n * sizeof(struct part *));
		memset(&t->parts[t->nparts], 0, (n - (size_t)t->nparts) * sizeof(struct part *));
		t->nparts = partition + 1;
	}
	assert(!t->parts[partition]);
	struct part *part = xcalloc(1, sizeof(*part));
	part->sp = (struct source_partition){
		.topic = t->name, .partition = partition, .internal = part};
	part->topic = t;
	part->held_commit = -1;
	t->parts[partition] = part;
	forget_last(s);
	return part;
}

static void part_free(struct consumer *s, struct part *part)
{
	part->topic->parts[part->sp.partition] = NULL;
	forget_last(s);
	free(part);
}

/* --- assignments --- */

static bool cooperative(const struct consumer *s)
{
	const char *protocol = rd_kafka_rebalance_protocol(s->rk);
	return protocol && strcmp(protocol, "COOPERATIVE") == 0;
}

static void log_error_object(const char *what, rd_kafka_error_t *error)
{
	log_warn("kafka assignment failed", F_STR("call", what),
		 F_STR("error", rd_kafka_error_string(error)));
	rd_kafka_error_destroy(error);
}

static bool assign(struct consumer *s, const rd_kafka_topic_partition_list_t *list)
{
	if (cooperative(s)) {
		rd_kafka_error_t *error = rd_kafka_incremental_assign(s->rk, list);
		if (error)
			log_error_object("incremental_assign", error);
		return !error;
	}
	rd_kafka_resp_err_t code = rd_kafka_assign(s->rk, list);
	if (code)
		log_warn("kafka assignment failed", F_STR("call", "assign"),
			 F_STR("error", rd_kafka_err2str(code)));
	return !code;
}

static void unassign(struct consumer *s, const rd_kafka_topic_partition_list_t *list)
{
	if (!cooperative(s)) {
		rd_kafka_assign(s->rk, NULL);
		return;
	}
	rd_kafka_error_t *error = rd_kafka_incremental_unassign(s->rk, list);
	if (error)
		log_error_object("incremental_unassign", error);
}

static void on_assign(struct consumer *s, rd_kafka_topic_partition_list_t *list)
{
	struct source_partition **sps =
		xcalloc((size_t)list->cnt + 1, sizeof(struct source_partition *));
	size_t n = 0;

	s->rebalancing = false;
	s->joined = true;
	for (int i = 0; i < list->cnt; i++) {
		list->elems[i].offset = 0; /* never fetched from: see the essay */
		topic_get(s, list->elems[i].topic);
	}
	if (list->cnt > 0)
		rd_kafka_pause_partitions(s->rk, list);
	bool ok = assign(s, list);
	if (list->cnt > 0)
		rd_kafka_pause_partitions(s->rk, list);
	if (ok && !s->closing) {
		for (int i = 0; i < list->cnt; i++)
			sps[n++] = &part_new(s, list->elems[i].topic, list->elems[i].partition)->sp;
		s->ops->assigned(s->ctx, sps, n);
	}
	free(sps);
}

void consumer_give_up(struct consumer *s, struct source_partition **sps, size_t n, bool lost)
{
	s->ops->revoked(s->ctx, sps, n, lost);
	for (size_t i = 0; i < n; i++)
		part_free(s, sps[i]->internal);
}

void consumer_give_up_rest(struct consumer *s)
{
	struct source_partition **sps = NULL;
	size_t n = 0;
	for (size_t i = 0; i < s->ntopics; i++) {
		for (int32_t p = 0; p < s->topics[i]->nparts; p++) {
			if (!s->topics[i]->parts[p])
				continue;
			sps = xrealloc(sps, (n + 1) * sizeof(struct source_partition *));
			sps[n++] = &s->topics[i]->parts[p]->sp;
		}
	}
	if (n > 0)
		consumer_give_up(s, sps, n, true);
	free(sps);
}

static void on_revoke(struct consumer *s, rd_kafka_topic_partition_list_t *list)
{
	struct source_partition **sps =
		xcalloc((size_t)list->cnt + 1, sizeof(struct source_partition *));
	bool lost = rd_kafka_assignment_lost(s->rk);
	size_t n = 0;
	for (int i = 0; i < list->cnt; i++) {
		struct part *part =
			consumer_part(s, list->elems[i].topic, list->elems[i].partition);
		if (part)
			sps[n++] = &part->sp;
	}
	s->rebalancing = true;
	if (lost)
		s->joined = false;
	consumer_give_up(s, sps, n, lost);
	free(sps);
	unassign(s, list);
}

void consumer_on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code,
			   rd_kafka_topic_partition_list_t *list, void *opaque)
{
	struct consumer *s = opaque;
	s->in_rebalance = true;
	if (s->abandoned) {
		unassign(s, list);
	} else if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
		on_assign(s, list);
	} else if (code == RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS) {
		on_revoke(s, list);
	} else {
		log_error("kafka rebalance failed", F_STR("error", rd_kafka_err2str(code)));
		rd_kafka_assign(rk, NULL);
	}
	s->in_rebalance = false;
}

void consumer_assign_by_hand(struct consumer *s)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)s->nplaces);
	for (size_t i = 0; i < s->nplaces; i++)
		rd_kafka_topic_partition_list_add(list, s->places[i].topic, s->places[i].partition);
	on_assign(s, list);
	rd_kafka_topic_partition_list_destroy(list);
}

/* --- pause and start --- */

void consumer_pause(void *self, struct source_partition *sp)
{
	struct consumer *s = self;
	struct part *part = sp->internal;
	rd_kafka_topic_partition_list_t *list = consumer_list_of(part, RD_KAFKA_OFFSET_INVALID);
	part->started = false;
	rd_kafka_pause_partitions(s->rk, list);
	rd_kafka_topic_partition_list_destroy(list);
}

static bool resume(struct consumer *s, struct part *part, int64_t offset, struct err *err)
{
	rd_kafka_topic_partition_list_t *list = consumer_list_of(part, RD_KAFKA_OFFSET_INVALID);
	rd_kafka_resp_err_t code = rd_kafka_resume_partitions(s->rk, list);
	if (!code)
		code = list->elems[0].err;
	rd_kafka_topic_partition_list_destroy(list);
	if (code)
		return err_set(err, ERR_RETRY, "topic %s partition %d: cannot resume: %s",
			       part->sp.topic, part->sp.partition, rd_kafka_err2str(code));
	part->started = true;
	part->stopped = part->revive = false;
	part->first_refusal_us = 0;
	part->next = offset;
	if (s->nudge)
		nudge_send(s->nudge, consumer_list_of(part, RD_KAFKA_OFFSET_END));
	return true;
}

/* The eager protocol knows no assign of one partition: all are assigned, each where it stands. */
static rd_kafka_topic_partition_list_t *whole_assignment(const struct consumer *s)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(16);
	for (size_t i = 0; i < s->ntopics; i++) {
		const struct topic *t = s->topics[i];
		for (int32_t p = 0; p < t->nparts; p++)
			if (t->parts[p])
				rd_kafka_topic_partition_list_add(list, t->name, p)->offset =
					t->parts[p]->next;
	}
	return list;
}

/*
 * For a fetcher that has stopped after an error: seeks do not reach it any more. Pause flags stay
 * as they are.
 */
static bool assign_anew(struct consumer *s, struct part *part, int64_t offset, struct err *err)
{
	if (s->rebalancing)
		return err_set(err, ERR_RETRY, "topic %s partition %d: waiting for the rebalance",
			       part->sp.topic, part->sp.partition);
	part->next = offset;
	part->first_refusal_us = 0;
	rd_kafka_topic_partition_list_t *list =
		cooperative(s) ? consumer_list_of(part, offset) : whole_assignment(s);
	if (cooperative(s))
		unassign(s, list);
	bool ok = assign(s, list);
	rd_kafka_topic_partition_list_destroy(list);
	if (!ok)
		return err_set(err, ERR_RETRY, "topic %s partition %d: cannot be assigned anew",
			       part->sp.topic, part->sp.partition);
	part->stopped = part->revive = false;
	return true;
}

static rd_kafka_resp_err_t seek(struct consumer *s, const struct part *part, int64_t offset)
{
	rd_kafka_topic_partition_list_t *list = consumer_list_of(part, offset);
	rd_kafka_error_t *error = rd_kafka_seek_partitions(s->rk, list, SEEK_TIMEOUT_MS);
	rd_kafka_resp_err_t code = error ? rd_kafka_error_code(error) : list->elems[0].err;
	if (error)
		rd_kafka_error_destroy(error);
	rd_kafka_topic_partition_list_destroy(list);
	return code;
}

bool consumer_start(void *self, struct source_partition *sp, int64_t offset, struct err *err)
{
	struct consumer *s = self;
	struct part *part = sp->internal;
	assert(offset >= 0);
	if (!part->stopped) {
		rd_kafka_resp_err_t code = seek(s, part, offset);
		if (!code)
			return resume(s, part, offset, err);
		if (part->first_refusal_us == 0)
			part->first_refusal_us = clock_mono_us();
		if (code != RD_KAFKA_RESP_ERR__STATE ||
		    clock_mono_us() - part->first_refusal_us < SEEK_PATIENCE_US)
			return err_set(err, ERR_RETRY, "topic %s partition %d: cannot seek yet: %s",
				       sp->topic, sp->partition, rd_kafka_err2str(code));
	}
	return assign_anew(s, part, offset, err) && resume(s, part, offset, err);
}

/* --- what had to wait --- */

static void do_deferred_part(struct consumer *s, struct part *part)
{
	struct err err = {0};
	if (part->held_commit >= 0) {
		int64_t next = part->held_commit;
		part->held_commit = -1;
		struct source_partition *sp = &part->sp;
		consumer_commit(s, &sp, &next, 1);
	}
	if (part->revive && part->started && !assign_anew(s, part, part->next, &err))
		s->deferred = true;
}

void consumer_do_deferred(struct consumer *s)
{
	s->deferred = false;
	for (size_t i = 0; i < s->ntopics; i++)
		for (int32_t p = 0; p < s->topics[i]->nparts; p++)
			if (s->topics[i]->parts[p])
				do_deferred_part(s, s->topics[i]->parts[p]);
}

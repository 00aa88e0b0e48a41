/*
 * source.c - the Kafka consumer: messages in, assignments in, pauses, seeks and commits out.
 *
 * What it is not: it knows no streams, batches or database. It hands each message of a started partition to ops->message and says what
 * happened to partitions; where to begin and when to stop is the pipeline's word.
 *
 *   struct source -- topics[] -- parts[partition]        topics live as long as the source, a part as long as its assignment
 *
 *                 assigned()               source_start()
 *   (unknown) ------------------> IDLE ------------------> STARTED --+
 *        ^                         |  ^                      |       | message(), eof()
 *        |        revoked()        |  +--- source_pause() ---+  <----+
 *        +-------------------------+--------------------------+
 *
 * Rules, and where they come from (read in librdkafka 2.0.2 and 2.15):
 *
 * - Only rd_kafka_consumer_poll(): the batch calls lose messages at a seek or rebalance before 2.1 (CHANGELOG 2.1.0, #4208).
 * - A fresh partition is assigned at the absolute offset 0 and paused. An absolute offset needs no lookup: with OFFSET_BEGINNING a
 *   ListOffsets request is on its way when the pause comes; its answer is then "outdated" and is asked for again 500 ms later,
 *   which would silently move a partition that has been sought to its place meanwhile (rd_kafka_toppar_handle_Offset).
 *   The pause is tried before the assign as well, so that in general no fetch goes out at all: the topic object that
 *   topic_get() holds makes the partition known by then. If a fetch slipped through and the log does not begin at 0, the fetcher stops
 *   with an error; that is not the application's business: source_start() then assigns the partition anew at the right offset.
 * - Seek, then resume: a seek needs a started fetcher, not an unpaused one, and clears the position that resume would go back to
 *   (#3567). Every op raises the partition's version, so no message from before is delivered after it.
 * - The application's pause flag outlives the assignment (rdkafka_assignment.c resets its own flag alone): every assignment pauses,
 *   every start resumes.
 * - The wake-up descriptor is written once per "served" period, on the step from served to something new. So: clear the descriptor,
 *   then poll until NULL. If max was reached, the caller polls again without waiting.
 * - Commits are advisory and never wait, but for source_commit_now() inside a revocation. Between a revocation and the next
 *   assignment they are held back: they could cost the membership (ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID).
 *
 * Thread: the poll thread; all callbacks of librdkafka but the log's run inside consumer_poll() and consumer_close().
 * Failure: faults of a partition go to ops->fault, of the client to ops->fatal; everything else is logged and librdkafka retries.
 */
#include "io/source.h"

#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "core/stream.h"
#include "io/kafka_client.h"
#include "io/source_parts.h"

#define NUDGE_PARTITIONS 12 /* in one request */
#define SEEK_TIMEOUT_MS 1000
#define SEEK_PATIENCE_US (1 * US_PER_S) /* how long a fetcher may be "not started yet" before it is assigned anew */

/* ---- topics and partitions ---- */

static const struct stream_config *stream_of(const struct config *config, const char *topic)
{
	for (size_t s = 0; s < config->nstreams; s++)
		for (size_t t = 0; t < config->streams[s].ntopics; t++)
			if (stream_topic_matches(config->streams[s].topics[t], topic))
				return &config->streams[s];
	return NULL;
}

static struct topic *topic_find(const struct source *s, const char *name)
{
	for (size_t i = 0; i < s->ntopics; i++)
		if (strcmp(s->topics[i]->name, name) == 0)
			return s->topics[i];
	return NULL;
}

static struct topic *topic_get(struct source *s, const char *name)
{
	struct topic *t = topic_find(s, name);
	if (t)
		return t;
	t = xcalloc(1, sizeof(*t));
	t->name = xstrdup(name);
	t->rkt = rd_kafka_topic_new(s->rk, name, NULL);
	t->stream = stream_of(s->config, name);
	s->topics = xrealloc(s->topics, (s->ntopics + 1) * sizeof(struct topic *));
	s->topics[s->ntopics++] = t;
	return t;
}

static struct part *part_find(const struct source *s, const char *topic, int32_t partition)
{
	const struct topic *t = topic_find(s, topic);
	return t && partition >= 0 && partition < t->nparts ? t->parts[partition] : NULL;
}

static void forget_last(struct source *s)
{
	s->last_rkt = NULL;
	s->last_part = NULL;
}

static struct part *part_new(struct source *s, const char *topic, int32_t partition)
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
	part->sp = (struct source_partition){.topic = t->name, .partition = partition, .internal = part};
	part->topic = t;
	part->held_commit = -1;
	t->parts[partition] = part;
	forget_last(s);
	return part;
}

static void part_free(struct source *s, struct part *part)
{
	part->topic->parts[part->sp.partition] = NULL;
	forget_last(s);
	free(part);
}

/* ---- assignments ---- */

static bool cooperative(const struct source *s)
{
	const char *protocol = rd_kafka_rebalance_protocol(s->rk);
	return protocol && strcmp(protocol, "COOPERATIVE") == 0;
}

static void log_error_object(const char *what, rd_kafka_error_t *error)
{
	log_warn("kafka assignment failed", F_STR("call", what), F_STR("error", rd_kafka_error_string(error)));
	rd_kafka_error_destroy(error);
}

static bool assign(struct source *s, const rd_kafka_topic_partition_list_t *list)
{
	if (cooperative(s)) {
		rd_kafka_error_t *error = rd_kafka_incremental_assign(s->rk, list);
		if (error)
			log_error_object("incremental_assign", error);
		return !error;
	}
	rd_kafka_resp_err_t code = rd_kafka_assign(s->rk, list);
	if (code)
		log_warn("kafka assignment failed", F_STR("call", "assign"), F_STR("error", rd_kafka_err2str(code)));
	return !code;
}

static void unassign(struct source *s, const rd_kafka_topic_partition_list_t *list)
{
	if (!cooperative(s)) {
		rd_kafka_assign(s->rk, NULL);
		return;
	}
	rd_kafka_error_t *error = rd_kafka_incremental_unassign(s->rk, list);
	if (error)
		log_error_object("incremental_unassign", error);
}

static void on_assign(struct source *s, rd_kafka_topic_partition_list_t *list)
{
	struct source_partition **sps = xcalloc((size_t)list->cnt + 1, sizeof(struct source_partition *));
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

static void give_up(struct source *s, struct source_partition **sps, size_t n, bool lost)
{
	s->ops->revoked(s->ctx, sps, n, lost);
	for (size_t i = 0; i < n; i++)
		part_free(s, sps[i]->internal);
}

static void on_revoke(struct source *s, rd_kafka_topic_partition_list_t *list)
{
	struct source_partition **sps = xcalloc((size_t)list->cnt + 1, sizeof(struct source_partition *));
	bool lost = rd_kafka_assignment_lost(s->rk);
	size_t n = 0;
	for (int i = 0; i < list->cnt; i++) {
		struct part *part = part_find(s, list->elems[i].topic, list->elems[i].partition);
		if (part)
			sps[n++] = &part->sp;
	}
	s->rebalancing = true;
	if (lost)
		s->joined = false;
	give_up(s, sps, n, lost);
	free(sps);
	unassign(s, list);
}

static void on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t *list, void *opaque)
{
	struct source *s = opaque;
	if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
		on_assign(s, list);
	} else if (code == RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS) {
		on_revoke(s, list);
	} else {
		log_error("kafka rebalance failed", F_STR("error", rd_kafka_err2str(code)));
		rd_kafka_assign(rk, NULL);
	}
}

/* ---- events of the client ---- */

static void tell_fatal(struct source *s, const char *text)
{
	if (s->dead)
		return;
	s->dead = true;
	s->ops->fatal(s->ctx, text);
}

static void on_error(rd_kafka_t *rk, int code, const char *text, void *opaque)
{
	char reason[512];
	if (code == RD_KAFKA_RESP_ERR__FATAL) {
		rd_kafka_resp_err_t first = rd_kafka_fatal_error(rk, reason, sizeof(reason));
		tell_fatal(opaque, first ? reason : text);
		return;
	}
	if (kafka_err_class(code) == ERR_CONFIG)
		log_error("kafka client refused", F_STR("error", rd_kafka_err2name(code)), F_STR("text", text));
	else if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
		log_warn("no kafka broker can be reached", F_STR("text", text));
	else /* the log callback tells of single connections */
		log_debug("kafka error", F_STR("error", rd_kafka_err2name(code)), F_STR("text", text));
}

static int on_statistics(rd_kafka_t *rk, char *json, size_t len, void *opaque)
{
	struct source *s = opaque;
	(void)rk;
	/* With group.protocol=consumer an empty assignment calls no rebalance callback. */
	if (memmem(json, len, "\"join_state\": \"steady\"", 22) || memmem(json, len, "\"join_state\":\"steady\"", 21)) {
		s->joined = true;
		s->rebalancing = false;
	}
	s->ops->statistics(s->ctx, json, len);
	return 0;
}

/* ---- messages ---- */

static enum source_fault fault_of(rd_kafka_resp_err_t code)
{
	switch ((int)code) {
	case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
	case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
	case -139: /* RD_KAFKA_RESP_ERR__LOG_TRUNCATION, librdkafka 2.1 and later */
		return SOURCE_FAULT_OFFSET;
	case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
	case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
	case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
		return SOURCE_FAULT_GONE;
	case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
		return SOURCE_FAULT_DENIED;
	default:
		return SOURCE_FAULT_OTHER;
	}
}

static void part_fault(struct source *s, struct part *part, const rd_kafka_message_t *m)
{
	enum source_fault fault = fault_of(m->err);
	if (fault == SOURCE_FAULT_OFFSET)
		part->stopped = true;
	if (!part->started)
		return; /* of the fetch that slipped through before the pause, or said before */
	if (fault == SOURCE_FAULT_OFFSET && m->offset >= 0 && m->offset < part->next) {
		/* About an older position than ours, from a fetch before the seek. Ours was never tried. */
		part->revive = s->deferred = true;
		return;
	}
	if (fault == SOURCE_FAULT_OFFSET)
		source_pause(s, &part->sp);
	s->ops->fault(s->ctx, &part->sp, fault, rd_kafka_message_errstr(m));
}

/* An error that names a topic but no partition concerns all of its partitions. */
static void topic_fault(struct source *s, const rd_kafka_message_t *m)
{
	struct topic *t = m->rkt ? topic_find(s, rd_kafka_topic_name(m->rkt)) : NULL;
	size_t told = 0;
	for (int32_t i = 0; t && i < t->nparts; i++) {
		if (t->parts[i] && t->parts[i]->started) {
			part_fault(s, t->parts[i], m);
			told++;
		}
	}
	if (m->err == RD_KAFKA_RESP_ERR_INCONSISTENT_GROUP_PROTOCOL)
		log_error("cannot join the group: its members use another assignor (an older librdkafka?): stop them "
			  "all first, "
			  "or set kafka.partition.assignment.strategy alike",
			  F_STR("group", s->config->group_id), F_STR("assignor", kafka_assignor(s->config)));
	else if (told == 0)
		log_error("kafka consumer", F_STR("topic", m->rkt ? rd_kafka_topic_name(m->rkt) : ""),
			  F_STR("error", rd_kafka_err2name(m->err)), F_STR("text", rd_kafka_message_errstr(m)));
}

static void handle_error(struct source *s, struct part *part, const rd_kafka_message_t *m)
{
	char reason[512];
	if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
		if (part && part->started) {
			part->next = MAX(part->next, m->offset);
			s->ops->eof(s->ctx, &part->sp, m->offset);
		}
	} else if (m->err == RD_KAFKA_RESP_ERR__FATAL || m->err == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID) {
		tell_fatal(s,
			   rd_kafka_fatal_error(s->rk, reason, sizeof(reason)) ? reason : rd_kafka_message_errstr(m));
	} else if (part) {
		part_fault(s, part, m);
	} else {
		topic_fault(s, m);
	}
}

static struct part *part_of_message(struct source *s, const rd_kafka_message_t *m)
{
	if (m->rkt == s->last_rkt && m->partition == s->last_partition && s->last_part)
		return s->last_part;
	struct part *part = m->rkt ? part_find(s, rd_kafka_topic_name(m->rkt), m->partition) : NULL;
	s->last_rkt = m->rkt;
	s->last_partition = m->partition;
	s->last_part = part;
	return part;
}

/* False: the pipeline can take no more for now. */
static bool handle_message(struct source *s, struct part *part, rd_kafka_message_t *m)
{
	rd_kafka_timestamp_type_t kind;
	if (!part || !part->started) {
		s->dropped++;
		return true;
	}
	struct source_message message = {
		.sp = &part->sp,
		.offset = m->offset,
		.timestamp_ms = rd_kafka_message_timestamp(m, &kind),
		.leader_epoch = s->leader_epoch ? s->leader_epoch(m) : -1,
		.key = {.data = m->key, .len = m->key_len},
		.value = {.data = m->payload, .len = m->len},
		.headers = m,
	};
	part->next = m->offset + 1;
	return s->ops->message(s->ctx, &message);
}

static void do_deferred(struct source *s);

/* Some of the partitions, another few each time: enough to reach every leader within a few turns. */
static void nudge_some(struct source *s)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(NUDGE_PARTITIONS);
	size_t seen = 0, first = s->nudged;
	for (int round = 0; round < 2 && list->cnt == 0; round++) {
		seen = 0;
		for (size_t t = 0; t < s->ntopics; t++) {
			const struct topic *topic = s->topics[t];
			for (int32_t p = 0; p < topic->nparts && list->cnt < NUDGE_PARTITIONS; p++) {
				if (topic->parts[p] && topic->parts[p]->started && seen++ >= first)
					rd_kafka_topic_partition_list_add(list, topic->name, p)->offset =
						RD_KAFKA_OFFSET_END;
			}
		}
		s->nudged = first + (size_t)list->cnt;
		first = 0;
	}
	nudge_send(s->nudge, list);
}

size_t source_poll(struct source *s, size_t max)
{
	uint64_t wakeups;
	size_t n = 0;
	/* Before the polls: what is written from now on means something new. */
	if (read(s->fd, &wakeups, sizeof(wakeups)) < 0)
		assert(errno == EAGAIN || errno == EINTR);
	for (bool more = true; more && n < max; n++) {
		rd_kafka_message_t *m = rd_kafka_consumer_poll(s->rk, 0);
		if (!m)
			break;
		struct part *part = part_of_message(s, m);
		if (m->err)
			handle_error(s, part, m);
		else
			more = handle_message(s, part, m);
		rd_kafka_message_destroy(m);
	}
	if (s->deferred && !s->rebalancing)
		do_deferred(s);
	if (s->nudge && nudge_due(s->nudge, rd_kafka_queue_length(s->queue)))
		nudge_some(s);
	return n;
}

int source_fd(const struct source *s)
{
	return s->fd;
}

bool source_joined(const struct source *s)
{
	return s->joined;
}

/* ---- pause and start ---- */

void source_pause(struct source *s, struct source_partition *sp)
{
	struct part *part = sp->internal;
	rd_kafka_topic_partition_list_t *list = source_list_of(part, RD_KAFKA_OFFSET_INVALID);
	part->started = false;
	rd_kafka_pause_partitions(s->rk, list);
	rd_kafka_topic_partition_list_destroy(list);
}

static bool resume(struct source *s, struct part *part, int64_t offset, struct err *err)
{
	rd_kafka_topic_partition_list_t *list = source_list_of(part, RD_KAFKA_OFFSET_INVALID);
	rd_kafka_resp_err_t code = rd_kafka_resume_partitions(s->rk, list);
	if (!code)
		code = list->elems[0].err;
	rd_kafka_topic_partition_list_destroy(list);
	if (code)
		return err_set(err, ERR_RETRY, "topic %s partition %d: cannot resume: %s", part->sp.topic,
			       part->sp.partition, rd_kafka_err2str(code));
	part->started = true;
	part->stopped = part->revive = false;
	part->first_refusal_us = 0;
	part->next = offset;
	return true;
}

/* The eager protocol knows no assign of one partition: all are assigned, each where it stands. */
static rd_kafka_topic_partition_list_t *whole_assignment(const struct source *s)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(16);
	for (size_t i = 0; i < s->ntopics; i++) {
		const struct topic *t = s->topics[i];
		for (int32_t p = 0; p < t->nparts; p++)
			if (t->parts[p])
				rd_kafka_topic_partition_list_add(list, t->name, p)->offset = t->parts[p]->next;
	}
	return list;
}

/* For a fetcher that has stopped after an error: seeks do not reach it any more. Pause flags stay as they are. */
static bool assign_anew(struct source *s, struct part *part, int64_t offset, struct err *err)
{
	if (s->rebalancing)
		return err_set(err, ERR_RETRY, "topic %s partition %d: waiting for the rebalance", part->sp.topic,
			       part->sp.partition);
	part->next = offset;
	part->first_refusal_us = 0;
	rd_kafka_topic_partition_list_t *list = cooperative(s) ? source_list_of(part, offset) : whole_assignment(s);
	if (cooperative(s))
		unassign(s, list);
	bool ok = assign(s, list);
	rd_kafka_topic_partition_list_destroy(list);
	if (!ok)
		return err_set(err, ERR_RETRY, "topic %s partition %d: cannot be assigned anew", part->sp.topic,
			       part->sp.partition);
	part->stopped = part->revive = false;
	return true;
}

static rd_kafka_resp_err_t seek(struct source *s, const struct part *part, int64_t offset)
{
	rd_kafka_topic_partition_list_t *list = source_list_of(part, offset);
	rd_kafka_error_t *error = rd_kafka_seek_partitions(s->rk, list, SEEK_TIMEOUT_MS);
	rd_kafka_resp_err_t code = error ? rd_kafka_error_code(error) : list->elems[0].err;
	if (error)
		rd_kafka_error_destroy(error);
	rd_kafka_topic_partition_list_destroy(list);
	return code;
}

bool source_start(struct source *s, struct source_partition *sp, int64_t offset, struct err *err)
{
	struct part *part = sp->internal;
	assert(offset >= 0);
	if (!part->stopped) {
		rd_kafka_resp_err_t code = seek(s, part, offset);
		if (!code)
			return resume(s, part, offset, err);
		if (part->first_refusal_us == 0)
			part->first_refusal_us = clock_mono_us();
		if (code != RD_KAFKA_RESP_ERR__STATE || clock_mono_us() - part->first_refusal_us < SEEK_PATIENCE_US)
			return err_set(err, ERR_RETRY, "topic %s partition %d: cannot seek yet: %s", sp->topic,
				       sp->partition, rd_kafka_err2str(code));
	}
	return assign_anew(s, part, offset, err) && resume(s, part, offset, err);
}

/* ---- what had to wait ---- */

static void do_deferred_part(struct source *s, struct part *part)
{
	struct err err = {0};
	if (part->held_commit >= 0) {
		int64_t next = part->held_commit;
		part->held_commit = -1;
		source_commit(s, &part->sp, next);
	}
	if (part->revive && part->started && !assign_anew(s, part, part->next, &err))
		s->deferred = true;
}

/* What had to wait for the end of a rebalance. */
static void do_deferred(struct source *s)
{
	s->deferred = false;
	for (size_t i = 0; i < s->ntopics; i++)
		for (int32_t p = 0; p < s->topics[i]->nparts; p++)
			if (s->topics[i]->parts[p])
				do_deferred_part(s, s->topics[i]->parts[p]);
}

/* ---- open and close ---- */

static bool open_client(struct source *s, struct err *err)
{
	char text[512];
	rd_kafka_conf_t *conf = kafka_conf(s->config, KAFKA_ROLE_CONSUMER, err);
	if (!conf)
		return false;
	rd_kafka_conf_set_opaque(conf, s);
	rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
	rd_kafka_conf_set_error_cb(conf, on_error);
	rd_kafka_conf_set_stats_cb(conf, on_statistics);
	rd_kafka_conf_set_offset_commit_cb(conf, source_on_commit);
	s->rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof(text));
	if (!s->rk) {
		rd_kafka_conf_destroy(conf);
		return err_set(err, ERR_CONFIG, "kafka: %s (librdkafka %s)", text, kafka_version());
	}
	rd_kafka_poll_set_consumer(s->rk);
	return true;
}

static bool open_wakeup(struct source *s, struct err *err)
{
	static const uint64_t one = 1;
	s->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (s->fd < 0)
		return err_set(err, ERR_FATAL, "eventfd: %s", strerror(errno));
	s->queue = rd_kafka_queue_get_consumer(s->rk);
	rd_kafka_queue_io_event_enable(s->queue, s->fd, &one, sizeof(one));
	s->nudge = nudge_start(s->rk);
	return true;
}

static bool subscribe(struct source *s, struct err *err)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(8);
	for (size_t i = 0; i < s->config->nstreams; i++)
		for (size_t t = 0; t < s->config->streams[i].ntopics; t++)
			rd_kafka_topic_partition_list_add(list, s->config->streams[i].topics[t], RD_KAFKA_PARTITION_UA);
	rd_kafka_resp_err_t code = rd_kafka_subscribe(s->rk, list);
	rd_kafka_topic_partition_list_destroy(list);
	return !code || err_set(err, ERR_CONFIG, "kafka: cannot subscribe: %s", rd_kafka_err2str(code));
}

struct source *source_new(const struct config *config, const struct source_ops *ops, void *ctx, struct err *err)
{
	struct source *s = xcalloc(1, sizeof(*s));
	s->config = config;
	s->ops = ops;
	s->ctx = ctx;
	s->fd = -1;
	void *symbol = dlsym(RTLD_DEFAULT, "rd_kafka_message_leader_epoch");
	memcpy(&s->leader_epoch, &symbol, sizeof(symbol));
	if (!open_client(s, err) || !open_wakeup(s, err) || !subscribe(s, err)) {
		source_close(s);
		return NULL;
	}
	log_info("kafka consumer started", F_STR("librdkafka", kafka_version()),
		 F_STR("assignor", kafka_assignor(config)), F_STR("group", config->group_id));
	return s;
}

/* Partitions that no revocation took back: a close cut short by a fatal error. */
static void give_up_rest(struct source *s)
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
		give_up(s, sps, n, true);
	free(sps);
}

static void topics_free(struct source *s)
{
	for (size_t i = 0; i < s->ntopics; i++) {
		if (s->topics[i]->rkt)
			rd_kafka_topic_destroy(s->topics[i]->rkt);
		free(s->topics[i]->parts);
		free(s->topics[i]->name);
		free(s->topics[i]);
	}
	free(s->topics);
}

void source_close(struct source *s)
{
	if (!s)
		return;
	s->closing = true;
	nudge_stop(s->nudge);
	if (s->queue) {
		rd_kafka_queue_io_event_enable(s->queue, -1, NULL, 0);
		rd_kafka_queue_destroy(s->queue);
	}
	if (s->rk)
		rd_kafka_consumer_close(s->rk);
	give_up_rest(s);
	topics_free(s); /* before destroy, which waits for every handle */
	if (s->rk)
		rd_kafka_destroy(s->rk);
	if (s->fd >= 0)
		close(s->fd);
	if (s->dropped > 0)
		log_debug("messages of partitions not started were dropped", F_INT("count", s->dropped));
	free(s);
}

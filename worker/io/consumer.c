/*
 * consumer.c - Kafka's source, its consumer: messages in, assignments in, pauses, seeks and commits
 * out.
 *
 * What it is not: it knows no streams, batches or database. It hands each message of a started
 * partition to ops->message and says what happened to partitions; where to begin and when to stop
 * is the pipeline's word. Assignments, pauses and seeks are consumer_assign.c's, what the brokers
 * know of the logs, and commits, consumer_log.c's; the client of librdkafka is opened and replaced
 * by consumer_client.c and ended by consumer_end.c.
 *
 * Rules, and where they come from (read in librdkafka 2.0.2 and 2.15):
 *
 * - Only rd_kafka_consumer_poll(): the batch calls lose messages at a seek or rebalance before 2.1
 *   (CHANGELOG 2.1.0, #4208).
 * - The wake-up descriptor is written once per "served" period, on the step from served to
 *   something new. So: clear the descriptor, then poll until NULL. If max was reached, the caller
 *   polls again without waiting.
 * - Commits are advisory and never wait, but for consumer_commit_now() inside a revocation. Between
 * a revocation and the next assignment they are put off: they could cost the membership
 *   (ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID).
 *
 * Thread: the poll thread; all callbacks of librdkafka but the log's run inside consumer_poll() and
 * consumer_close(). Failure: faults of a partition go to ops->fault, of the client to ops->fatal;
 * everything else is logged and librdkafka retries.
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
#include "io/consumer_parts.h"
#include "io/kafka_client.h"
#include "io/kafka_login.h"

#define NUDGE_PARTITIONS 12 /* in one request */
#define END_MS 2000         /* what a client that has left may take to be gone */

/* --- events of the client --- */

void consumer_tell_fatal(struct consumer *s, const char *text)
{
	if (s->dead)
		return;
	struct err why;
	err_set(&why, ERR_FATAL, "%s", text);
	s->dead = true;
	s->ops->fatal(s->ctx, &why);
}

void consumer_on_error(rd_kafka_t *rk, int code, const char *text, void *opaque)
{
	char reason[512];
	if (code == RD_KAFKA_RESP_ERR__FATAL) {
		rd_kafka_resp_err_t first = rd_kafka_fatal_error(rk, reason, sizeof(reason));
		consumer_tell_fatal(opaque, first ? reason : text);
		return;
	}
	if (kafka_login_refused(code, text))
		return;
	if (kafka_err_class(code) == ERR_CONFIG)
		log_error("kafka client refused", F_STR("error", rd_kafka_err2name(code)),
			  F_STR("text", text));
	else if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
		log_warn("no kafka broker can be reached", F_STR("text", text));
	else /* the log callback tells of single connections */
		log_debug("kafka error", F_STR("error", rd_kafka_err2name(code)),
			  F_STR("text", text));
}

/* --- messages --- */

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

static void part_fault(struct consumer *s, struct part *part, const rd_kafka_message_t *m)
{
	enum source_fault fault = fault_of(m->err);
	if (fault == SOURCE_FAULT_OFFSET)
		part->stopped = true;
	if (!part->started)
		return; /* of the fetch that slipped through before the pause, or said before */
	if (fault == SOURCE_FAULT_OFFSET && m->offset >= 0 && m->offset < part->next) {
		/*
		 * About an older position than ours, from a fetch before the seek. Ours was never
		 * tried.
		 */
		part->revive = s->deferred = true;
		return;
	}
	if (fault == SOURCE_FAULT_OFFSET)
		consumer_pause(s, &part->sp);
	s->ops->fault(s->ctx, &part->sp, fault, rd_kafka_message_errstr(m));
}

/* An error that names a topic but no partition concerns all of its partitions. */
static void topic_fault(struct consumer *s, const rd_kafka_message_t *m)
{
	struct topic *t = m->rkt ? consumer_topic(s, rd_kafka_topic_name(m->rkt)) : NULL;
	size_t told = 0;
	for (int32_t i = 0; t && i < t->nparts; i++) {
		if (t->parts[i] && t->parts[i]->started) {
			part_fault(s, t->parts[i], m);
			told++;
		}
	}
	if (m->err == RD_KAFKA_RESP_ERR_INCONSISTENT_GROUP_PROTOCOL)
		log_error("cannot join the group: its members use another assignor (an older "
			  "librdkafka?): stop them "
			  "all first, "
			  "or set kafka.partition.assignment.strategy alike",
			  F_STR("group", s->config->group_id),
			  F_STR("assignor", kafka_assignor(s->config)));
	else if (told == 0)
		log_error("kafka consumer",
			  F_STR("topic", m->rkt ? rd_kafka_topic_name(m->rkt) : ""),
			  F_STR("error", rd_kafka_err2name(m->err)),
			  F_STR("text", rd_kafka_message_errstr(m)));
}

static void handle_error(struct consumer *s, struct part *part, const rd_kafka_message_t *m)
{
	char reason[512];
	if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
		if (part && part->started) {
			part->next = MAX(part->next, m->offset);
			s->ops->eof(s->ctx, &part->sp, m->offset);
		}
	} else if (m->err == RD_KAFKA_RESP_ERR__FATAL ||
		   m->err == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID) {
		consumer_tell_fatal(s, rd_kafka_fatal_error(s->rk, reason, sizeof(reason))
					       ? reason
					       : rd_kafka_message_errstr(m));
	} else if (part) {
		part_fault(s, part, m);
	} else {
		topic_fault(s, m);
	}
}

static struct part *part_of_message(struct consumer *s, const rd_kafka_message_t *m)
{
	if (m->rkt == s->last_rkt && m->partition == s->last_partition && s->last_part)
		return s->last_part;
	struct part *part =
		m->rkt ? consumer_part(s, rd_kafka_topic_name(m->rkt), m->partition) : NULL;
	s->last_rkt = m->rkt;
	s->last_partition = m->partition;
	s->last_part = part;
	return part;
}

/* False: the pipeline can take no more for now. */
static bool handle_message(struct consumer *s, struct part *part, rd_kafka_message_t *m)
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

/*
 * Some of the partitions, another few each time: enough to reach every leader within a few turns.
 */
static void nudge_some(struct consumer *s)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(NUDGE_PARTITIONS);
	size_t seen = 0, first = s->nudged;
	for (int round = 0; round < 2 && list->cnt == 0; round++) {
		seen = 0;
		for (size_t t = 0; t < s->ntopics; t++) {
			const struct topic *topic = s->topics[t];
			for (int32_t p = 0; p < topic->nparts && list->cnt < NUDGE_PARTITIONS;
			     p++) {
				if (topic->parts[p] && topic->parts[p]->started && seen++ >= first)
					rd_kafka_topic_partition_list_add(list, topic->name, p)
						->offset = RD_KAFKA_OFFSET_END;
			}
		}
		s->nudged = first + (size_t)list->cnt;
		first = 0;
	}
	nudge_send(s->nudge, list);
}

static size_t consumer_poll(void *self, size_t max)
{
	struct consumer *s = self;
	uint64_t wakeups;
	size_t n = 0;
	if (s->nplaces > 0 && !s->joined)
		consumer_assign_by_hand(s);
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
		consumer_do_deferred(s);
	if (s->nudge && nudge_due(s->nudge, rd_kafka_queue_length(s->queue)))
		nudge_some(s);
	consumer_client_watch(s);
	return n;
}

static int consumer_fd(const void *self)
{
	const struct consumer *s = self;
	return s->fd;
}

static bool consumer_joined(const void *self)
{
	const struct consumer *s = self;
	return s->joined;
}

/* --- open and close --- */

static bool consumer_close(void *self, int leave_ms)
{
	struct consumer *s = self;
	bool ended = true;
	if (s->rk) {
		if (leave_ms > 0)
			consumer_leave(s, leave_ms);
		s->closing = true;
		consumer_give_up_rest(s);
		ended = consumer_end(s, END_MS);
	}
	if (s->fd >= 0)
		close(s->fd);
	if (s->dropped > 0)
		log_debug("messages of partitions not started were dropped",
			  F_INT("count", s->dropped));
	free(s);
	return ended && consumer_ends_under_way() == 0;
}

static const struct source_class consumer_class = {
	.fd = consumer_fd,
	.poll = consumer_poll,
	.pause = consumer_pause,
	.start = consumer_start,
	.high_watermark = consumer_high_watermark,
	.commit = consumer_commit,
	.commit_now = consumer_commit_now,
	.joined = consumer_joined,
	.reload = consumer_reload,
	.leave = consumer_leave,
	.abandon = consumer_abandon,
	.close = consumer_close,
};

struct source *consumer_open_at(const struct config *config, const struct source_place *places,
				size_t n, const struct source_ops *ops, void *ctx, struct err *err)
{
	struct consumer *s = xcalloc(1, sizeof(*s));
	s->places = places;
	s->nplaces = n;
	s->base = (struct source){.class = &consumer_class, .self = s};
	s->config = config;
	s->ops = ops;
	s->ctx = ctx;
	void *symbol = dlsym(RTLD_DEFAULT, "rd_kafka_message_leader_epoch");
	memcpy(&s->leader_epoch, &symbol, sizeof(symbol));
	s->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (s->fd < 0)
		err_set(err, ERR_FATAL, "eventfd: %s", strerror(errno));
	rd_kafka_t *rk = s->fd < 0 ? NULL : consumer_client_new(s, err);
	if (!rk || !consumer_client_use(s, rk, err)) {
		consumer_close(s, 0);
		return NULL;
	}
	log_info("kafka consumer started", F_STR("librdkafka", kafka_version()),
		 F_STR("assignor", n > 0 ? "by hand" : kafka_assignor(config)),
		 F_STR("group", config->group_id));
	return &s->base;
}

struct source *consumer_open(const struct config *config, const struct source_ops *ops, void *ctx,
			     struct err *err)
{
	return consumer_open_at(config, NULL, 0, ops, ctx, err);
}

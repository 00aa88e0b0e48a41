/*
 * assignment.c - partitions come and go.
 *
 *   assigned --> the lookout asks Kafka for the log's ends --> the lane claims the offsets row
 *            --> the offset is checked against the log --> librdkafka is sought there --> messages
 *
 * Kafka's word that a partition is ours is advisory: it may be late or wrong (a stopped process
 * that wakes up, a lost heartbeat). The claim is what counts: it waits for the row lock of whoever
 * may still be committing, raises owner_epoch, and from then on the old owner's swap fails.
 *
 * A revocation must not return before nothing of the partition is under way, so it seals what is
 * open and serves results until the lanes are done, within a budget. Batches that are known to be
 * held are given back at once, not waited for. After the budget, and at once for partitions that
 * are lost, the lanes that still hold such a batch are aborted. Giving back also takes other
 * partitions' events of the same batch; those partitions start again from what is durable.
 *
 * A partition that is silent is asked about, in two ways. Its row: after IDLE_LOOK_US a span
 * without offsets goes through the normal swap, which is fenced if the row was moved (a rewind, a
 * restored database); that of one which waits for a schema as well. Its log: after SILENT_LOOK_US,
 * since librdkafka may go on asking for something that is not there any more: a topic created anew
 * is halted, and one whose log has grown without a word is taken up anew from its position; if that
 * brings nothing either, by a new client.
 *
 * Thread: the poll thread; assignment_assigned(), _revoked() and _fault() run inside source_poll().
 */
#include "flow/assignment.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/stats.h"
#include "core/stream.h"

#define RETRY_US US_PER_S
#define START_RETRY_US (100 * US_PER_MS)
#define IDLE_LOOK_US (10 * US_PER_S)
#define SILENT_LOOK_US (15 * US_PER_S)
#define TOPICS_LOOK_US (15 * US_PER_S)
#define REVOKE_BUDGET_US (10 * US_PER_S)
#define ABORT_BUDGET_US (30 * US_PER_S)
#define COMMIT_BUDGET_MS 2000

/* --- looks --- */

/* Whether where the topic's partitions start is needed, is not known, and has not been asked yet.
 */
static bool asks_starts(const struct look *look, const struct partition *part)
{
	if (part->slot->stream->config->start == START_EARLIEST || part->starts->offsets)
		return false;
	for (size_t i = 0; i < look->n; i++)
		if (look->sights[i].log.topic == part->topic &&
		    look->sights[i].start_kind != START_EARLIEST)
			return false;
	return true;
}

static void put_sight(struct look *look, struct partition *part)
{
	const struct stream_config *stream = part->slot->stream->config;
	struct sight sight = {.owner = part,
			      .log = {.topic = part->topic, .partition = part->partition}};
	if (asks_starts(look, part)) {
		sight.start_kind = stream->start;
		sight.start_ms = stream->start_ms;
	}
	look->sights[look->n++] = sight;
}

static bool is_due(const struct partition *part, int64_t now)
{
	return part->state == PARTITION_ASSIGNED && part->retry_us <= now && part->in_flight == 0 &&
	       part->looks == 0;
}

static bool is_silent(const struct partition *part, int64_t now)
{
	return part->state == PARTITION_ACTIVE && part->heard_us + SILENT_LOOK_US <= now &&
	       part->looks == 0;
}

/* All that are due in one look; one look at a time. */
static void send_look(struct assignment *a, int64_t now)
{
	struct partitions *ps = a->partitions;
	struct look *look = look_new(ps->n);
	look->n = 0;
	if (a->topics_due_us <= now) {
		a->topics_due_us = now + TOPICS_LOOK_US;
		look_ask_topics(look, a->config);
	}
	for (size_t i = 0; i < ps->n; i++) {
		struct partition *part = ps->all[i];
		if (is_due(part, now)) {
			partition_look(part);
		} else if (is_silent(part, now)) {
			part->heard_us = part->asked_us = now;
			part->looks++;
		} else {
			continue;
		}
		put_sight(look, part);
	}
	a->looking = look->n + look->nmissing > 0;
	if (a->looking)
		lookout_send(a->lookout, look);
	else
		look_free(look);
}

/* Kept until the claim is answered; both are needed for the check. */
static void take_log(struct partition *part, const struct sight *s)
{
	part->low = s->log.low;
	part->high = s->log.high;
	part->partitions = s->log.partitions;
	part->committed = s->committed;
	memcpy(part->topic_id, s->topic_id, sizeof(part->topic_id));
}

/* The first look decides; a later one is not asked. */
static void take_starts(struct sight *s)
{
	struct topic_starts *starts = ((struct partition *)s->owner)->starts;
	if (!s->starts || starts->offsets)
		return;
	starts->offsets = s->starts;
	starts->n = s->nstarts;
	s->starts = NULL;
}

/*
 * A client keeps the leader epochs of a topic that it once knew, also without a partition of it.
 * Those of one that is created anew begin at 0 again: librdkafka takes them for old news, and
 * fetches by the old ones for ever (read in 2.16: rd_kafka_toppar_leader_update()).
 */
static void notice_anew(struct assignment *a, struct topic_starts *topic, const char id[37])
{
	if (!id[0] || strcmp(topic->id, id) == 0)
		return;
	if (topic->id[0]) {
		log_info("the topic was created anew: the Kafka client is, too",
			 F_STR("topic", topic->topic));
		source_reload(a->source);
	}
	memcpy(topic->id, id, sizeof(topic->id));
}

/* What came of the look at a partition that is due. */
static void looked(struct assignment *a, struct partition *part, const struct sight *s,
		   const struct err *why)
{
	bool early = part->slot->stream->config->start == START_EARLIEST;
	if (s->log.low < 0 || (!early && !part->starts->offsets)) {
		partition_try_again(part, why, RETRY_US);
		return;
	}
	take_log(part, s);
	partition_claim(part);
	lanes_claim(a->lanes, part);
}

/* And at one that fetches and is silent. What the log holds must be news twice: it may be coming.
 */
static void looked_at_silence(struct assignment *a, struct partition *part, const struct sight *s)
{
	bool heard = part->heard_us != part->asked_us;
	if (s->log.low < 0 || part->state != PARTITION_ACTIVE || heard)
		return;
	bool anew = s->topic_id[0] && part->topic_id[0] && strcmp(s->topic_id, part->topic_id) != 0;
	bool stuck = part->high > part->position && s->log.high > part->position;
	take_log(part, s);
	if (!anew && !stuck && s->log.low <= part->position)
		return;
	bool again = stuck && part->stuck_at == part->position;
	log_warn("nothing comes of a partition although its log has changed: looking at it again",
		 F_STR("topic", part->topic), F_INT("partition", part->partition),
		 F_INT("offset", part->position), F_INT("log_end", part->high),
		 F_STR("with", again ? "a new Kafka client" : "the same Kafka client"));
	part->stuck_at = again ? -1 : part->position;
	if (again) /* whatever it is that the client is wrong about */
		source_reload(a->source);
	else
		partition_rewind(a->partitions, part, 0);
}

/* Taken over, with the words. */
static void take_topics(struct assignment *a, struct look *look)
{
	char **before = a->missing;
	for (size_t i = 0; i < look->ntopics; i++)
		notice_anew(a, partitions_topic(a->partitions, look->topics[i].name),
			    look->topics[i].id);
	if (!look->topics_answered)
		return;
	a->missing = look->missing;
	look->missing = before;
	look->nmissing = before ? look->nmissing : 0;
}

/* A partition may have gone meanwhile: then this was all that kept it. */
static void take_answers(struct assignment *a)
{
	struct look *look = lookout_answer(a->lookout);
	size_t unanswered = 0;
	if (!look)
		return;
	a->looking = false;
	take_topics(a, look);
	for (size_t i = 0; i < look->n; i++)
		take_starts(&look->sights[i]);
	for (size_t i = 0; i < look->n; i++) {
		struct partition *part = look->sights[i].owner;
		part->looks--;
		unanswered += look->sights[i].log.low < 0;
		notice_anew(a, part->starts, look->sights[i].topic_id);
		if (part->state == PARTITION_GONE)
			partition_release(a->partitions, part);
		else if (part->state == PARTITION_LOOKING)
			looked(a, part, &look->sights[i], &look->err);
		else
			looked_at_silence(a, part, &look->sights[i]);
	}
	if (unanswered > 0)
		log_warn("Kafka did not say where partitions begin and end, will ask again",
			 F_INT("partitions", unanswered), F_STR("error", look->err.text));
	look_free(look);
}

/* --- what is due --- */

/* Not while its slot is shut: what came would have no place. */
static void start(struct assignment *a, struct partition *part)
{
	struct err err = {0};
	if (part->slot->state == SLOT_SHUT || partition_start(a->partitions, part, &err))
		return;
	log_debug("partition not started yet", F_STR("topic", part->topic),
		  F_INT("partition", part->partition), F_STR("error", err.text));
	part->retry_us = clock_mono_us() + START_RETRY_US;
}

/* A span without offsets: the swap only asks whether the row is ours. */
static int64_t ask_when_idle(struct partition *part, int64_t now)
{
	if (part->in_flight > 0 || part->position != part->durable ||
	    part->slot->state != SLOT_TAKES)
		return CLOCK_NEVER;
	if (part->sure_us + IDLE_LOOK_US > now)
		return part->sure_us + IDLE_LOOK_US;
	batch_span(pool_begin(part->slot, now), part->topic, part->partition, part, part->position,
		   part->epoch);
	part->sure_us = now;
	return now + IDLE_LOOK_US;
}

/* Of one partition: does what is due, and says when something is due next. */
static int64_t drive(struct assignment *a, struct partition *part, int64_t now)
{
	switch (part->state) {
	case PARTITION_HALTED:
		if (part->untold > 0)
			lanes_tell_halt(a->lanes, part);
		if (part->retry_us <= now)
			partition_rewind(a->partitions, part, 0);
		return MAX(part->retry_us, now);
	case PARTITION_ASSIGNED:
		return part->in_flight + part->looks > 0 ? CLOCK_NEVER : MAX(part->retry_us, now);
	case PARTITION_STARTING:
		if (part->retry_us <= now)
			start(a, part);
		return part->state == PARTITION_STARTING && part->slot->state != SLOT_SHUT
			       ? part->retry_us
			       : CLOCK_NEVER;
	case PARTITION_PAUSED: /* an operator may have moved it past the unknown schema */
		return part->cause == PAUSE_SCHEMA ? ask_when_idle(part, now) : CLOCK_NEVER;
	case PARTITION_ACTIVE:
		return MIN(ask_when_idle(part, now), part->heard_us + SILENT_LOOK_US);
	case PARTITION_LOOKING:
	case PARTITION_CLAIMING:
	case PARTITION_GONE:
	case PARTITION_STATE_COUNT:
		return CLOCK_NEVER;
	}
	return CLOCK_NEVER;
}

/* The soonest of all deadlines, or now if a look is to be sent. */
int64_t assignment_drive(struct assignment *a)
{
	int64_t now = clock_mono_us(), next = a->topics_due_us;
	a->news = false;
	take_answers(a);
	partitions_follow_slots(a->partitions);
	for (size_t i = 0; i < a->partitions->n; i++)
		next = MIN(next, drive(a, a->partitions->all[i], now));
	if (next > now)
		return next;
	if (a->looking) /* its answer wakes us */
		return now + START_RETRY_US;
	send_look(a, now);
	return now + START_RETRY_US;
}

/* A schema may have come: all that wait for one look again. */
void assignment_schemas(struct assignment *a)
{
	for (size_t i = 0; i < a->partitions->n; i++) {
		struct partition *part = a->partitions->all[i];
		if (part->state == PARTITION_PAUSED && part->cause == PAUSE_SCHEMA)
			partition_resume(part);
	}
}

/* A position that is lost is looked at again; anything else is for an operator. */
void assignment_fault(struct assignment *a, struct source_partition *sp, enum source_fault fault,
		      const char *text)
{
	struct partition *part = sp->user;
	struct err err = {0};
	if (!part || (part->state != PARTITION_ACTIVE && part->state != PARTITION_PAUSED))
		return;
	a->news = true;
	switch (fault) {
	case SOURCE_FAULT_OFFSET: /* the second look finds the words and the verb for it */
		log_warn("position lost in the log, looking at it again",
			 F_STR("topic", part->topic), F_INT("partition", part->partition),
			 F_INT("offset", part->position), F_STR("error", text));
		part->suspect = true;
		partition_rewind(a->partitions, part, 0);
		return;
	case SOURCE_FAULT_GONE:
		err_set(&err, ERR_CONFIG, "%s [%d] does not exist any more: %s", part->topic,
			part->partition, text);
		break;
	case SOURCE_FAULT_DENIED:
		err_set(&err, ERR_CONFIG,
			"%s [%d]: Kafka denies reading it: %s; grant READ and DESCRIBE on the "
			"topic",
			part->topic, part->partition, text);
		break;
	case SOURCE_FAULT_OTHER:
		err_set(&err, ERR_CONFIG,
			"%s [%d] offset %" PRId64
			": %s; to give up this one offset and go on behind it: memingest offsets "
			"accept-gap %s %d --to %" PRId64 "%s",
			part->topic, part->partition, part->position, text, part->topic,
			part->partition, part->position + 1, a->partitions->option);
		break;
	}
	partition_halt(a->partitions, part, &err);
}

/* --- assigned --- */

/* Partitions of a topic take the lanes in turn; topics begin at different ones. */
static size_t lane_for(const struct assignment *a, const char *topic, int32_t partition)
{
	size_t first = 0;
	for (const char *c = topic; *c; c++)
		first = 31 * first + (unsigned char)*c;
	return (first + (size_t)partition) % a->config->lanes;
}

/* A partition of no stream is logged and never started. */
void assignment_assigned(struct assignment *a, struct source_partition **sps, size_t n)
{
	a->news = true;
	stats_add(METRIC_REBALANCES, REBALANCE_ASSIGN, 0, 1);
	log_info("partitions assigned", F_INT("partitions", n));
	for (size_t i = 0; i < n; i++) {
		struct source_partition *sp = sps[i];
		size_t stream = stream_of_topic(a->config, sp->topic);
		size_t lane = lane_for(a, sp->topic, sp->partition);
		if (stream < a->config->nstreams)
			partitions_add(a->partitions, sp, pool_slot(a->pool, lane, stream));
		else
			log_error("topic belongs to no stream", F_STR("topic", sp->topic));
	}
}

/* --- revoked --- */

struct revoked {
	struct source_partition **sps;
	size_t n;
};

static struct partition *revoked_part(const struct revoked *r, size_t i)
{
	return r->sps[i]->user;
}

static bool in_flight(const struct partition *part)
{
	return part && part->in_flight > 0;
}

/* Nothing of what is taken away is under way any more. */
static bool is_done(const struct revoked *r)
{
	for (size_t i = 0; i < r->n; i++)
		if (in_flight(revoked_part(r, i)))
			return false;
	return true;
}

/* Serves results until it is done or the time is over. */
static bool wait_done(struct assignment *a, const struct revoked *r, int64_t deadline_us)
{
	struct pollfd fd = {.fd = queue_fd(a->lanes->inbox), .events = POLLIN};
	for (;;) {
		settle_results(a->settle);
		int wait = clock_poll_ms(deadline_us);
		if (is_done(r) || wait == 0)
			return is_done(r);
		(void)poll(&fd, 1, wait);
	}
}

/* Others are left alone: an abort costs them a session. */
static bool lane_is_involved(const struct revoked *r, size_t lane)
{
	for (size_t i = 0; i < r->n; i++) {
		const struct partition *part = revoked_part(r, i);
		if (in_flight(part) && part->slot->lane == lane)
			return true;
	}
	return false;
}

/* What is held gives way at once instead of being waited for. */
static void release_lanes(struct assignment *a, const struct revoked *r)
{
	for (size_t lane = 0; lane < a->lanes->n; lane++)
		if (lane_is_involved(r, lane))
			lanes_release(a->lanes, lane);
}

/* Gives back all that it has, which takes no longer than an answer to an abort. */
static void await_lane(struct assignment *a, size_t lane, int64_t deadline_us)
{
	struct pollfd fd = {.fd = queue_fd(a->lanes->inbox), .events = POLLIN};
	for (int wait; a->lanes->jobs[lane] > 0 && (wait = clock_poll_ms(deadline_us)) > 0;) {
		(void)poll(&fd, 1, wait);
		settle_results(a->settle);
	}
	a->stuck |= a->lanes->jobs[lane] > 0;
}

/* All first, then each is waited for: they end at the same time. */
static void abort_lanes(struct assignment *a, const struct revoked *r)
{
	bool *aborted = xcalloc(a->lanes->n, sizeof(*aborted));
	int64_t deadline_us = clock_mono_us() + ABORT_BUDGET_US;
	for (size_t lane = 0; lane < a->lanes->n; lane++)
		if ((aborted[lane] = lane_is_involved(r, lane)))
			lanes_abort(a->lanes, lane);
	for (size_t lane = 0; lane < a->lanes->n; lane++) {
		if (!aborted[lane])
			continue;
		await_lane(a, lane, deadline_us);
		lanes_resume(a->lanes, lane);
	}
	free(aborted);
}

/* Of a lost partition nothing more may be written; of one that is taken, what is here. */
static void seal_or_drop(struct assignment *a, const struct revoked *r, bool lost)
{
	for (size_t i = 0; i < r->n; i++) {
		struct partition *part = revoked_part(r, i);
		if (part && lost)
			partition_drop_open(part);
		else if (part && partition_is_open(part))
			lanes_seal(a->lanes, part->slot, SEAL_REVOKE);
	}
}

/*
 * Only what a transaction of ours has moved since Kafka was last told: anything else an operator
 * may have moved back meanwhile.
 */
static void tell_kafka(struct assignment *a, const struct revoked *r)
{
	struct source_partition **sps = xcalloc(r->n + 1, sizeof(struct source_partition *));
	int64_t *next = xcalloc(r->n + 1, sizeof(*next));
	size_t n = 0;
	for (size_t i = 0; i < r->n; i++) {
		const struct partition *part = revoked_part(r, i);
		if (!part || !part->commit_due)
			continue;
		sps[n] = r->sps[i];
		next[n++] = part->durable;
	}
	source_commit_now(a->source, sps, next, n, COMMIT_BUDGET_MS);
	free(sps);
	free(next);
}

/* Returns when nothing of these partitions can be written any more. */
void assignment_revoked(struct assignment *a, struct source_partition **sps, size_t n, bool lost)
{
	struct revoked r = {sps, n};
	int64_t begun = clock_mono_us(), budget = a->config->shutdown_timeout_us;
	stats_add(METRIC_REBALANCES, lost ? REBALANCE_LOST : REBALANCE_REVOKE, 0, 1);
	seal_or_drop(a, &r, lost);
	release_lanes(a, &r);
	bool late = lost || FAIL_POINT("in_revoke");
	bool done = wait_done(a, &r, late ? 0 : begun + MIN(REVOKE_BUDGET_US, budget));
	if (!done)
		abort_lanes(a, &r);
	if (!lost)
		tell_kafka(a, &r);
	for (size_t i = 0; i < n; i++) {
		struct partition *part = revoked_part(&r, i);
		if (!part)
			continue;
		partition_gone(part);
		partition_release(a->partitions, part);
	}
	int64_t took = clock_mono_us() - begun;
	stats_observe(METRIC_REBALANCE_SECONDS, 0, took);
	log_info(lost ? "partitions lost" : "partitions revoked", F_INT("partitions", n),
		 F_INT("cut_off", !done), F_REAL("took_s", (double)took / (double)US_PER_S));
}

void assignment_close(struct assignment *a)
{
	for (size_t i = 0; a->missing && i < a->config->nstreams; i++)
		free(a->missing[i]);
	free(a->missing);
}

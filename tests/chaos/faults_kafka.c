/*
 * faults_kafka.c - what happens to the broker, to the topics, and to what the group has there.
 *
 *   broker   killed, stopped, frozen, gone from the cluster's books
 *   topics   partitions added, records deleted below or beyond what is durable, created anew,
 *            transactions that are rolled back, or stay open
 *   group    its offsets deleted or set
 *
 * Where the log loses what it held, or keys move to other partitions, everything is settled first
 * (chaos_settle()): what was acknowledged is durable and compared, and only what comes afterwards
 * is at stake. What workers stop at on purpose, the heal mends as an operator would: by the command
 * that the halt names.
 *
 * Thread: the run's. One fault of this file at a time.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "broker.h"
#include "chaos.h"
#include "event.h"
#include "receipts.h"
#include "schedule.h"

#define PARTITIONS_MAX 12
/* A new log that is longer than the old one is not told apart without topic ids: far more. */
#define OLD_ENOUGH 3000

static struct bed_stream *stream_of(struct chaos *c, const struct strike *s)
{
	return &c->bed->streams[s->random % c->bed->nstreams];
}

/* --- the broker --- */

static void kill_broker(struct chaos *c, struct strike *s)
{
	(void)s;
	chaos_stack(c, "kafka", "kill", NULL);
}

static void stop_broker(struct chaos *c, struct strike *s)
{
	(void)s;
	chaos_stack(c, "kafka", "stop", NULL);
}

static bool has_more_receipts(struct chaos *c, uint64_t than)
{
	uint64_t acknowledged, failed;
	receipts_counts(c->receipts, &acknowledged, &failed);
	return acknowledged > than;
}

/* Healed is a broker that takes events again: before, there is nothing to be recovered. */
static void start_broker(struct chaos *c, struct strike *s)
{
	uint64_t acknowledged, failed;
	(void)s;
	chaos_stack(c, "kafka", "start", NULL);
	receipts_counts(c->receipts, &acknowledged, &failed);
	CHAOS_WAIT(c, 60, has_more_receipts(c, acknowledged));
}

static void freeze_broker(struct chaos *c, struct strike *s)
{
	(void)s;
	chaos_stack(c, "kafka", "freeze", NULL);
}

static void thaw_broker(struct chaos *c, struct strike *s)
{
	(void)s;
	chaos_stack(c, "kafka", "thaw", NULL);
}

/* It answers, and says that the cluster has no brokers. */
static void unregister_broker(struct chaos *c, struct strike *s)
{
	(void)s;
	chaos_stack(c, "kafka", "unregister", NULL);
}

static void restart_broker(struct chaos *c, struct strike *s)
{
	kill_broker(c, s);
	start_broker(c, s);
}

/* --- partitions --- */

static bool has_few_partitions(struct chaos *c)
{
	for (size_t i = 0; i < c->bed->nstreams; i++) {
		if (c->bed->streams[i].partitions + 2 > PARTITIONS_MAX)
			return false;
	}
	return true;
}

/* Keys move with it, so that all that was before has to be durable. */
static void add_partitions(struct chaos *c, struct strike *s)
{
	struct bed_stream *stream = stream_of(c, s);
	chaos_settle(c);
	broker_add_partitions(stream->topic, stream->partitions + 2);
	CHAOS_WAIT(c, 20, broker_partitions(stream->topic) == stream->partitions + 2);
	stream->partitions += 2;
	chaos_resume(c);
}

/* --- records that are gone --- */

/* Retention takes what was consumed: all of it, or all but a few. Nobody may notice. */
static void delete_consumed(struct chaos *c, struct strike *s)
{
	struct bed_stream *stream = stream_of(c, s);
	int64_t low, high;
	chaos_settle(c);
	for (int p = 0; p < stream->partitions; p++) {
		int64_t left = (int64_t)(mix(s->random + (unsigned)p) % 3) * 5;
		broker_watermarks(stream->topic, p, &low, &high);
		if (high - left > low)
			broker_delete_records(stream->topic, p, high - left);
	}
	chaos_resume(c);
}

static bool log_is_beyond(const char *topic, int p, int64_t offset)
{
	int64_t low, high;
	broker_watermarks(topic, p, &low, &high);
	return high >= offset;
}

/*
 * Retention passes what is durable while nobody reads: number[0] is the partition, [1] and [2] the
 * gap.
 */
static void delete_unread(struct chaos *c, struct strike *s)
{
	struct bed_stream *stream = stream_of(c, s);
	int p = (int)(mix(s->random) % (unsigned)stream->partitions);
	int64_t low, next, lost = 1 + (int64_t)(mix(s->random + 1) % 50);
	size_t n = c->nworkers;
	chaos_settle(c);
	broker_watermarks(stream->topic, p, &low, &next);
	chaos_all_leave(c);
	chaos_resume(c);
	CHAOS_WAIT(c, 30, log_is_beyond(stream->topic, p, next + lost));
	broker_delete_records(stream->topic, p, next + lost);
	chaos_gap(c, stream->topic, p, next, next + lost);
	s->number[0] = p;
	s->number[1] = next;
	s->number[2] = next + lost;
	chaos_some_join(c, n);
}

/* Partitions of the stream, as far as the workers answer. */
static double halted(struct chaos *c, const struct strike *s)
{
	char label[64];
	double n = 0;
	snprintf(label, sizeof(label), "stream=\"%s\"", stream_of(c, s)->name);
	for (size_t i = 0; i < c->nworkers; i++) {
		if (worker_http(c->workers[i], "/livez", NULL) == 200)
			n += worker_metric(c->workers[i], "memingest_halted_partitions", label);
	}
	return n;
}

static void accept_gap(struct chaos *c, struct strike *s)
{
	char line[256];
	CHAOS_WAIT(c, 30, halted(c, s) >= 1);
	ck_assert_int_eq(chaos_next_offset(c, stream_of(c, s)->topic, (int)s->number[0]),
			 s->number[1]);
	snprintf(line, sizeof(line), "offsets accept-gap --yes %s %d", stream_of(c, s)->topic,
		 (int)s->number[0]);
	chaos_operate(c, line);
}

/* --- a topic created anew --- */

/* Of those of its partitions that hold anything. */
static int64_t shortest_log(struct chaos *c, const struct bed_stream *stream)
{
	int64_t shortest = INT64_MAX;
	for (int p = 0; p < stream->partitions; p++) {
		int64_t next = chaos_next_offset(c, stream->topic, p);
		if (next != 0)
			shortest = MIN(shortest, next);
	}
	return shortest == INT64_MAX ? 0 : shortest;
}

static bool is_long_enough(struct chaos *c)
{
	for (size_t i = 0; i < c->bed->nstreams; i++) {
		if (!stack.librdkafka[0] && shortest_log(c, &c->bed->streams[i]) < OLD_ENOUGH)
			return false;
	}
	return true;
}

static void create_anew(struct chaos *c, struct strike *s)
{
	static const char *const config[] = {"message.timestamp.after.max.ms=9223372036854775807"};
	struct bed_stream *stream = stream_of(c, s);
	chaos_settle(c);
	broker_delete_topic(stream->topic);
	CHAOS_WAIT(c, 20, broker_partitions(stream->topic) == 0);
	broker_close(); /* a producer keeps sequence numbers of the old partitions */
	broker_create_topic(stream->topic, stream->partitions, config, 1);
	CHAOS_WAIT(c, 60, halted(c, s) >= stream->partitions);
	chaos_new_topic(c, stream->topic);
	chaos_resume(c);
}

static void adopt(struct chaos *c, struct strike *s)
{
	char line[256];
	snprintf(line, sizeof(line), "offsets adopt-topic --yes %s", stream_of(c, s)->topic);
	chaos_operate(c, line);
}

/* --- transactions of a producer --- */

static void send_in_transaction(struct chaos *c, const char *account, int64_t amount, int partition)
{
	struct bed_stream *stream = &c->bed->streams[0];
	struct buf key = {0}, value = {0};
	json_t *event = json_pack("{s:I, s:s, s:I, s:I}", "event_time", (json_int_t)clock_wall_us(),
				  "account", account, "total", (json_int_t)amount, "highest",
				  (json_int_t)amount);
	ck_assert(event_confluent(stream->key_schema, stream->key_id, event, &key));
	ck_assert(event_confluent(stream->schema, stream->schema_id, event, &value));
	broker_txn_produce(stream->topic, partition, (struct slice){key.data, key.len},
			   (struct slice){value.data, value.len});
	json_decref(event);
	buf_free(&key);
	buf_free(&value);
}

/* Its accounts are no generator's, and each has its partition. */
static void begin_transaction(struct chaos *c, uint64_t random)
{
	char account[32];
	int partitions = c->bed->streams[0].partitions;
	broker_txn_begin();
	for (unsigned i = 0; i < 1 + random % 30; i++) {
		int partition = (int)(mix(random + i) % (unsigned)MIN(partitions, 3));
		snprintf(account, sizeof(account), "in transactions %d", partition);
		send_in_transaction(c, account, 1 + i, partition);
	}
}

/* Several that end, half of them rolled back; then one that stays open, before which nobody gets.
 */
static void transact(struct chaos *c, struct strike *s)
{
	for (unsigned i = 0; i < 4; i++) {
		begin_transaction(c, mix(s->random + i));
		broker_txn_end(mix(s->random * 31 + i) % 2);
		chaos_for(c, 50);
	}
	begin_transaction(c, mix(s->random + 4));
	broker_txn_flush();
}

static void end_transaction(struct chaos *c, struct strike *s)
{
	(void)c;
	broker_txn_end(s->random % 2);
}

/* --- the group --- */

/*
 * What Kafka has for a group without members is deleted, or set back, or ahead of what is durable.
 * Nobody may believe it.
 */
static void confuse_group(struct chaos *c, struct strike *s)
{
	size_t n = c->nworkers;
	chaos_all_leave(c);
	if (s->random % 3 == 0)
		broker_delete_group(c->bed->name);
	for (size_t i = 0; i < c->bed->nstreams && s->random % 3 > 0; i++) {
		struct bed_stream *stream = &c->bed->streams[i];
		int64_t low, high;
		for (int p = 0; p < stream->partitions; p++) {
			broker_watermarks(stream->topic, p, &low, &high);
			broker_set_committed(c->bed->name, stream->topic, p,
					     s->random % 3 == 1 ? low : high + 100);
		}
	}
	chaos_some_join(c, n);
}

/* A bound of its own: a halted partition is looked at every 10 s. */
#define LOOK_S 15

#define KAFKA(fault, shortest, longest, ...)                                                       \
	{                                                                                          \
		.name = "kafka." fault, .scope = SCOPE_KAFKA, .hold_ms = {shortest, longest},      \
		__VA_ARGS__                                                                        \
	}

const struct fault faults_kafka[] = {
	KAFKA("kill", 0, 3000, .strike = kill_broker, .heal = start_broker, .weight = 2),
	KAFKA("stop", 0, 3000, .strike = stop_broker, .heal = start_broker),
	KAFKA("freeze", 1000, 15000, .strike = freeze_broker, .heal = thaw_broker, .weight = 2),
	KAFKA("unregister", 500, 3000, .strike = unregister_broker, .heal = restart_broker),
	KAFKA("partitions", 0, 0, .strike = add_partitions, .flags = FAULT_ALONE,
	      .possible = has_few_partitions),
	KAFKA("records_consumed", 0, 0, .strike = delete_consumed, .flags = FAULT_ALONE),
	KAFKA("records_unread", 500, 3000, .strike = delete_unread, .heal = accept_gap,
	      .recover_s = LOOK_S, .flags = FAULT_ALONE),
	KAFKA("topic_anew", 500, 2000, .strike = create_anew, .heal = adopt, .recover_s = LOOK_S,
	      .flags = FAULT_ALONE | FAULT_MAY_FALL, .possible = is_long_enough),
	KAFKA("transactions", 500, 8000, .strike = transact, .heal = end_transaction),
	KAFKA("group", 0, 0, .strike = confuse_group, .flags = FAULT_ALONE | FAULT_MAY_FALL),
	{0},
};

/*
 * test_source.c - the consumer against librdkafka's mock cluster: who is handed what, when, and
 * from where.
 *
 * The mock holds a new group back for three seconds, so each test that joins one takes that long.
 * Its brokers come and go with each test: the log level is set so that this is not told.
 */
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/stats.h"
#include "io/kafka_client.h"
#include "io/lookout.h"
#include "io/refetch.h"
#include "io/source.h"
#include "unit.h"

#define PARTITIONS 4
#define PATIENCE_US (30 * US_PER_S)

struct world {
	rd_kafka_t *rk; /* carries the mock cluster, and produces */
	rd_kafka_mock_cluster_t *cluster;
	struct config config;
	struct config_pair pairs[8];
	struct stream_config stream;
	const char *topics[1];
};

static struct world w;

struct seen {
	struct source *source;
	struct source_partition *sps[PARTITIONS]; /* by partition; NULL: not assigned */
	int assigns, revokes, lost, assigned;
	int messages, eofs, faults, fatals, unordered;
	int64_t first, last, eof_offset; /* of the messages since the last reset */
	enum source_fault fault;
	char *headers;
};

static void set_pair(const char *key, const char *value)
{
	ck_assert_uint_lt(w.config.nkafka, ARRAY_LEN(w.pairs));
	w.pairs[w.config.nkafka++] = (struct config_pair){.key = key, .value = value};
}

static void world_open(void)
{
	char text[256];
	memset(&w, 0, sizeof(w));
	log_init(LOG_LOGFMT, LOG_ERROR);
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_conf_set(conf, "client.id", "MOCK", text, sizeof(text));
	rd_kafka_conf_set(conf, "log_level", "2", text, sizeof(text));
	w.rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
	w.cluster = rd_kafka_mock_cluster_new(w.rk, 1);
	rd_kafka_mock_topic_create(w.cluster, "alpha", PARTITIONS, 1);
	rd_kafka_brokers_add(w.rk, rd_kafka_mock_cluster_bootstraps(w.cluster));
	w.topics[0] = "alpha";
	w.stream = (struct stream_config){.name = "alpha", .topics = w.topics, .ntopics = 1};
	w.config = (struct config){
		.kafka = w.pairs, .group_id = "unit", .streams = &w.stream, .nstreams = 1};
	set_pair("bootstrap.servers", rd_kafka_mock_cluster_bootstraps(w.cluster));
	set_pair("group.id", "unit");
	set_pair("statistics.interval.ms", "200");
	/* the mock waits nearly as long in each further rebalance */
	set_pair("session.timeout.ms", "3000");
	set_pair("heartbeat.interval.ms", "200");
}

static void world_close(void)
{
	rd_kafka_mock_cluster_destroy(w.cluster);
	rd_kafka_destroy(w.rk);
}

static void produce(int32_t partition, int n)
{
	for (int i = 0; i < n; i++) {
		rd_kafka_resp_err_t code = rd_kafka_producev(
			w.rk, RD_KAFKA_V_TOPIC("alpha"), RD_KAFKA_V_PARTITION(partition),
			RD_KAFKA_V_KEY("key", 3), RD_KAFKA_V_VALUE("value", 5),
			RD_KAFKA_V_HEADER("trace", "abc", 3),
			RD_KAFKA_V_HEADER("trace", "\xff\x01", 2),
			RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
		ck_assert_int_eq(code, 0);
	}
	ck_assert_int_eq(rd_kafka_flush(w.rk, 10000), 0);
}

static void on_assigned(void *ctx, struct source_partition **sps, size_t n)
{
	struct seen *seen = ctx;
	seen->assigns++;
	for (size_t i = 0; i < n; i++) {
		ck_assert_str_eq(sps[i]->topic, "alpha");
		ck_assert_ptr_null(seen->sps[sps[i]->partition]);
		seen->sps[sps[i]->partition] = sps[i];
		seen->assigned++;
	}
}

static void on_revoked(void *ctx, struct source_partition **sps, size_t n, bool lost)
{
	struct seen *seen = ctx;
	seen->revokes++;
	seen->lost += lost;
	for (size_t i = 0; i < n; i++) {
		ck_assert_ptr_eq(seen->sps[sps[i]->partition], sps[i]);
		seen->sps[sps[i]->partition] = NULL;
		seen->assigned--;
	}
}

static bool on_message(void *ctx, const struct source_message *m)
{
	struct seen *seen = ctx;
	ck_assert_ptr_eq(seen->sps[m->sp->partition], m->sp);
	ck_assert_uint_eq(m->value.len, 5);
	ck_assert_mem_eq(m->key.data, "key", 3);
	ck_assert_int_gt(m->timestamp_ms, 0);
	if (seen->messages++ == 0)
		seen->first = m->offset;
	else if (seen->assigned == 1 && m->offset != seen->last + 1)
		seen->unordered++;
	seen->last = m->offset;
	if (!seen->headers)
		seen->headers = source_headers_json(m);
	return true;
}

static void on_eof(void *ctx, struct source_partition *sp, int64_t offset)
{
	struct seen *seen = ctx;
	ck_assert_ptr_eq(seen->sps[sp->partition], sp);
	seen->eofs++;
	seen->eof_offset = offset;
}

static void on_fault(void *ctx, struct source_partition *sp, enum source_fault fault,
		     const char *text)
{
	struct seen *seen = ctx;
	ck_assert_ptr_eq(seen->sps[sp->partition], sp);
	ck_assert_ptr_nonnull(text);
	seen->faults++;
	seen->fault = fault;
}

static void on_fatal(void *ctx, const struct err *why)
{
	struct seen *seen = ctx;
	ck_assert_int_eq(why->class, ERR_FATAL);
	seen->fatals++;
}

static void on_statistics(void *ctx, const char *json, size_t len)
{
	(void)ctx;
	ck_assert_uint_gt(len, 2);
	ck_assert_int_eq(json[0], '{');
}

static const struct source_ops ops = {
	.assigned = on_assigned,
	.revoked = on_revoked,
	.message = on_message,
	.eof = on_eof,
	.fault = on_fault,
	.fatal = on_fatal,
	.statistics = on_statistics,
};

static void open_source(struct seen *seen)
{
	struct err err = {0};
	memset(seen, 0, sizeof(*seen));
	seen->source = consumer_open(&w.config, &ops, seen, &err);
	ck_assert_msg(seen->source != NULL, "%s", err.text);
}

static void close_source(struct seen *seen)
{
	ck_assert(source_close(seen->source, 10000));
	ck_assert_int_eq(seen->assigned, 0);
	free(seen->headers);
}

static void pump_once(struct seen *seen)
{
	if (source_poll(seen->source, 100) > 0)
		return;
	struct pollfd fd = {.fd = source_fd(seen->source), .events = POLLIN};
	poll(&fd, 1, 20);
}

static void pump_for(struct seen *seen, int64_t us)
{
	for (int64_t end = clock_mono_us() + us; clock_mono_us() < end;)
		pump_once(seen);
}

#define PUMP_UNTIL(seen, condition)                                                                \
	do {                                                                                       \
		int64_t end_ = clock_mono_us() + PATIENCE_US;                                      \
		while (!(condition)) {                                                             \
			ck_assert_msg(clock_mono_us() < end_, "never came: %s", #condition);       \
			pump_once(seen);                                                           \
		}                                                                                  \
	} while (0)

static void start_at(struct seen *seen, int32_t partition, int64_t offset)
{
	struct err err = {0};
	seen->messages = seen->eofs = seen->unordered = 0;
	for (int64_t end = clock_mono_us() + PATIENCE_US; clock_mono_us() < end; pump_once(seen)) {
		if (source_start(seen->source, seen->sps[partition], offset, &err))
			return;
		ck_assert_int_eq(err.class, ERR_RETRY);
	}
	ck_abort_msg("cannot start: %s", err.text);
}

/*
 * A partition delivers nothing before source_start(), then exactly from the offset given, in order,
 * to the end; nothing while it is paused, though more is there; and goes on where it is told, also
 * backwards.
 */
static void check_start_and_pause(struct seen *one)
{
	produce(1, 10);
	ck_assert(source_joined(one->source));
	pump_for(one, 400 * US_PER_MS);
	ck_assert_int_eq(one->messages, 0);
	ck_assert_int_eq(one->eofs, 0);

	one->assigned = 1; /* from here on one partition delivers: order is checked */
	start_at(one, 1, 5);
	PUMP_UNTIL(one, one->eofs == 1);
	ck_assert_int_eq(one->first, 5);
	ck_assert_int_eq(one->messages, 5);
	ck_assert_int_eq(one->eof_offset, 10);
	ck_assert_int_eq(source_high_watermark(one->source, one->sps[1]), 10);

	source_pause(one->source, one->sps[1]);
	produce(1, 10);
	pump_for(one, 300 * US_PER_MS);
	ck_assert_int_eq(one->messages, 5);

	start_at(one, 1, 2);
	PUMP_UNTIL(one, one->messages == 18);
	ck_assert_int_eq(one->first, 2);
	ck_assert_int_eq(one->last, 19);
	ck_assert_int_eq(one->unordered, 0);
	ck_assert_int_eq(one->faults, 0);

	/* While it runs: what was fetched for the old place must not come. */
	start_at(one, 1, 0);
	PUMP_UNTIL(one, one->messages == 20);
	ck_assert_int_eq(one->first, 0);
	ck_assert_int_eq(one->unordered, 0);

	ck_assert_str_eq(one->headers, "{\"trace\":[\"abc\",\"base64:/wE=\"]}");
	source_pause(one->source, one->sps[1]);
	one->assigned = PARTITIONS;
}

/* Of partitions 0 and 2. */
struct logs {
	struct lookout *lookout;
	struct kafka_log log[2];
	int64_t committed[2];
};

/*
 * The mock has no controller, which tells topic ids: newer libraries give up after a few attempts.
 */
static void look_until(struct logs *logs, int answers)
{
	struct pollfd fd = {.fd = lookout_fd(logs->lookout), .events = POLLIN};
	for (int attempt = 0; attempt < 4; attempt++) {
		struct look *look = look_new(2);
		for (int i = 0; i < 2; i++)
			look->sights[i].log = (struct kafka_log){.topic = "alpha",
								 .partition = 2 * i,
								 .start_kind = w.stream.start,
								 .start_ms = w.stream.start_ms};
		lookout_send(logs->lookout, look);
		ck_assert_int_eq(poll(&fd, 1, 20000), 1);
		ck_assert_ptr_eq(lookout_answer(logs->lookout), look);
		for (int i = 0; i < 2; i++) {
			logs->log[i] = look->sights[i].log;
			logs->committed[i] = look->sights[i].committed;
		}
		struct err err = look->err;
		free(look);
		if ((logs->log[0].low >= 0) + (logs->log[1].low >= 0) >= answers)
			return;
		ck_assert_int_eq(err.class, ERR_RETRY);
	}
	ck_abort_msg("no answer");
}

static void look(struct logs *logs)
{
	look_until(logs, 2);
}

/* low, high and each kind of start are what the log holds; a commit is read back as "committed". */
static void check_logs_and_commits(struct seen *one)
{
	struct logs logs = {.lookout = lookout_start(&w.config, NULL, NULL)};
	struct source_partition *first[] = {one->sps[0]};
	produce(0, 7);
	stats_init(NULL, 0, NULL, 0);

	w.stream.start = START_EARLIEST;
	look(&logs);
	ck_assert_int_eq(logs.log[0].low, 0);
	ck_assert_int_eq(logs.log[0].high, 7);
	ck_assert_int_eq(logs.log[0].start, 0);
	ck_assert_int_eq(logs.log[0].partitions, PARTITIONS);
	ck_assert_int_eq(logs.log[1].high, 0);
	ck_assert_int_eq(logs.committed[0], -1);
	w.stream.start = START_LATEST;
	look(&logs);
	ck_assert_int_eq(logs.log[0].start, 7);
	w.stream.start = START_COMMITTED;
	look(&logs);
	ck_assert_int_eq(logs.log[0].start, 0);
	w.stream.start = START_TIMESTAMP;
	w.stream.start_ms = INT64_C(4102444800000);
	look(&logs);
	ck_assert_int_eq(logs.log[0].start, 7);

	w.stream.start = START_COMMITTED;
	source_commit(one->source, first, (int64_t[]){4}, 1);
	PUMP_UNTIL(one, stats_get(METRIC_OFFSET_COMMITS, RESULT_OK, 0) == 1);
	look(&logs);
	ck_assert_int_eq(logs.log[0].start, 4);
	source_commit_now(one->source, first, (int64_t[]){6}, 1, 5000);
	ck_assert_int_eq(stats_get(METRIC_OFFSET_COMMITS, RESULT_OK, 0), 2);
	look(&logs);
	ck_assert_int_eq(logs.log[0].start, 6);
	ck_assert_int_eq(logs.committed[0], 6);
	lookout_stop(logs.lookout);

	/* A refusal by the group is counted and nothing else. */
	rd_kafka_mock_push_request_errors(w.cluster, 8 /* OffsetCommit */, 1,
					  RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE);
	source_commit(one->source, first, (int64_t[]){7}, 1);
	PUMP_UNTIL(one, stats_get(METRIC_OFFSET_COMMITS, RESULT_ERROR, 0) == 1);
	ck_assert_int_eq(one->fatals + one->faults, 0);
}

/*
 * An offset outside of the log is a fault, nothing is delivered, and the partition can be started
 * again elsewhere.
 */
static void check_offset_fault(struct seen *one)
{
	produce(3, 10);
	one->assigned = 1;
	start_at(one, 3, 999);
	PUMP_UNTIL(one, one->faults == 1);
	ck_assert_int_eq(one->fault, SOURCE_FAULT_OFFSET);
	pump_for(one, 200 * US_PER_MS);
	ck_assert_int_eq(one->messages, 0);
	ck_assert_int_eq(one->faults, 1);
	start_at(one, 3, 4);
	PUMP_UNTIL(one, one->eofs == 1);
	ck_assert_int_eq(one->first, 4);
	ck_assert_int_eq(one->messages, 6);
	source_pause(one->source, one->sps[3]);
	one->assigned = PARTITIONS;
}

static void *produce_slowly(void *arg)
{
	struct timespec pause = {.tv_nsec = 30 * 1000 * 1000};
	for (int i = 0; i < *(int *)arg; i++) {
		nanosleep(&pause, NULL);
		produce(0, 3);
	}
	return NULL;
}

/*
 * Each message wakes a thread that waits on the descriptor alone, without a timeout that would help
 * it out.
 */
static void check_wakeup(struct seen *one)
{
	int rounds = 30;
	pthread_t producer;
	start_at(one, 0, 0);
	PUMP_UNTIL(one, one->eofs >= 1);
	one->messages = 0;
	pthread_create(&producer, NULL, produce_slowly, &rounds);
	while (one->messages < 3 * rounds) {
		if (source_poll(one->source, 1) > 0)
			continue;
		struct pollfd fd = {.fd = source_fd(one->source), .events = POLLIN};
		ck_assert_msg(poll(&fd, 1, 10000) == 1, "no wake-up after %d messages",
			      one->messages);
	}
	pthread_join(producer, NULL);
	ck_assert_int_eq(one->messages, 3 * rounds);
}

/* One member, once through everything that it does. */
START_TEST(test_one_member)
{
	struct seen one;
	open_source(&one);
	PUMP_UNTIL(&one, one.assigned == PARTITIONS);
	check_start_and_pause(&one);
	check_logs_and_commits(&one);
	check_offset_fault(&one);
	check_wakeup(&one);
	close_source(&one);
}
END_TEST

/*
 * Started at once after the assignment, while the broker takes its time: nothing that librdkafka
 * had asked for before the seek moves the partition afterwards. (Assigned at OFFSET_BEGINNING, its
 * late answer would, and all would come once more from 0.)
 */
START_TEST(test_slow_broker)
{
	struct seen one;
	produce(1, 10);
	rd_kafka_mock_broker_set_rtt(w.cluster, 1, 200);
	open_source(&one);
	PUMP_UNTIL(&one, one.assigned == PARTITIONS);
	start_at(&one, 1, 7);
	pump_for(&one, 2500 * US_PER_MS);
	ck_assert_int_eq(one.messages, 3);
	ck_assert_int_eq(one.first, 7);
	ck_assert_int_eq(one.last, 9);
	close_source(&one);
}
END_TEST

/*
 * The broker that leads one partition says nothing for a minute: what another broker leads is
 * answered all the same, within seconds, and the silent one's is not made up.
 */
START_TEST(test_silent_leader)
{
	rd_kafka_mock_cluster_t *two = rd_kafka_mock_cluster_new(w.rk, 2);
	rd_kafka_mock_topic_create(two, "alpha", PARTITIONS, 1);
	for (int32_t p = 0; p < PARTITIONS; p++)
		rd_kafka_mock_partition_set_leader(two, "alpha", p, p < 2 ? 2 : 1);
	rd_kafka_mock_coordinator_set(two, "group", "unit", 2);
	rd_kafka_mock_broker_set_rtt(two, 1, 60000);
	rd_kafka_mock_broker_set_rtt(two, 2, 50);
	set_pair("bootstrap.servers", rd_kafka_mock_cluster_bootstraps(two));
	struct logs logs = {.lookout = lookout_start(&w.config, NULL, NULL)};
	int64_t begun = clock_mono_us();
	look_until(&logs, 1);
	ck_assert_int_lt(clock_mono_us() - begun, 4 * 10 * US_PER_S);
	ck_assert_int_eq(logs.log[0].low, 0);
	ck_assert_int_eq(logs.log[1].low, -1);
	lookout_stop(logs.lookout);
	rd_kafka_mock_cluster_destroy(two);
}
END_TEST

/*
 * A second member takes its share, no partition has two owners at a time, and what comes back
 * begins paused again.
 */
START_TEST(test_two_members)
{
	struct seen a, b;
	for (int32_t p = 0; p < PARTITIONS; p++)
		produce(p, 5);
	open_source(&a);
	PUMP_UNTIL(&a, a.assigned == PARTITIONS);
	for (int32_t p = 0; p < PARTITIONS; p++)
		start_at(&a, p, 0);
	open_source(&b);
	int64_t end = clock_mono_us() + PATIENCE_US;
	while (a.assigned != 2 || b.assigned != 2) {
		ck_assert_msg(clock_mono_us() < end, "no fair share: %d and %d", a.assigned,
			      b.assigned);
		pump_once(&a);
		pump_once(&b);
		for (int32_t p = 0; p < PARTITIONS; p++)
			ck_assert(!a.sps[p] || !b.sps[p]);
	}
	ck_assert_int_ge(a.revokes, 1);
	ck_assert_int_eq(a.lost + b.lost, 0);
	close_source(&b);
	PUMP_UNTIL(&a, a.assigned == PARTITIONS);
	a.messages = 0;
	for (int32_t p = 0; p < PARTITIONS; p++)
		produce(p, 5);
	pump_for(&a, 300 * US_PER_MS);
	/* cooperative: two partitions kept running; eager: none did */
	ck_assert_int_le(a.messages, 10);
	for (int32_t p = 0; p < PARTITIONS; p++)
		start_at(&a, p, 0);
	a.messages = 0;
	PUMP_UNTIL(&a, a.eofs >= 1);
	close_source(&a);
}
END_TEST

/*
 * A new client takes over where it is asked for: the partitions are given up in order, come back
 * paused, and deliver from where they are started; the wake-up descriptor is the same.
 */
START_TEST(test_reload)
{
	struct seen one;
	produce(1, 10);
	open_source(&one);
	PUMP_UNTIL(&one, one.assigned == PARTITIONS);
	int fd = source_fd(one.source);
	start_at(&one, 1, 0);
	source_reload(one.source);
	PUMP_UNTIL(&one, one.assigned == 0);
	ck_assert(!source_joined(one.source));
	PUMP_UNTIL(&one, one.assigned == PARTITIONS);
	ck_assert_int_eq(one.revokes, 1);
	ck_assert_int_eq(one.lost, 0);
	ck_assert_int_eq(source_fd(one.source), fd);
	start_at(&one, 1, 3);
	PUMP_UNTIL(&one, one.eofs == 1);
	ck_assert_int_eq(one.messages, 7);
	close_source(&one);
}
END_TEST

/* One message is read again without the group; where there is none, the error says so. */
START_TEST(test_refetch)
{
	struct refetched copy;
	struct err err = {0};
	struct refetch *r = refetch_new(&w.config);
	produce(2, 5);
	for (int64_t offset = 2; offset < 4; offset++) {
		ck_assert_msg(refetch_read(r, "alpha", 2, offset, 10000, NULL, &copy, &err), "%s",
			      err.text);
		ck_assert_uint_eq(copy.value_len, 5);
		ck_assert_mem_eq(copy.value, "value", 5);
		ck_assert_mem_eq(copy.key, "key", 3);
		ck_assert_ptr_nonnull(copy.headers);
		refetched_free(&copy);
	}
	ck_assert(!refetch_read(r, "alpha", 2, 5, 10000, NULL, &copy, &err));
	ck_assert_int_eq(err.class, ERR_POISON);
	ck_assert(!refetch_read(r, "alpha", 2, 50, 10000, NULL, &copy, &err));
	ck_assert_int_eq(err.class, ERR_POISON);
	ck_assert_ptr_nonnull(strstr(err.text, "topic alpha partition 2 offset 50"));
	/* what comes next may have arrived already; what lies behind has to be fetched */
	ck_assert(refetch_read(r, "alpha", 2, 4, 10000, NULL, &copy, &err));
	refetched_free(&copy);
	rd_kafka_mock_broker_set_down(w.cluster, 1);
	ck_assert(!refetch_read(r, "alpha", 2, 3, 500, NULL, &copy, &err));
	ck_assert_int_eq(err.class, ERR_RETRY);
	rd_kafka_mock_broker_set_up(w.cluster, 1);
	ck_assert(refetch_read(r, "alpha", 2, 3, 10000, NULL, &copy, &err));
	refetched_free(&copy);
	refetch_free(r);
}
END_TEST

static void expect_refusal(const char *key, const char *value, const char *text)
{
	struct err err = {0};
	struct seen seen;
	size_t before = w.config.nkafka;
	set_pair(key, value);
	ck_assert_ptr_null(consumer_open(&w.config, &ops, &seen, &err));
	ck_assert_int_eq(err.class, ERR_CONFIG);
	ck_assert_msg(strstr(err.text, key) && strstr(err.text, text), "%s", err.text);
	w.config.nkafka = before;
}

/*
 * Settings that would break an invariant, or that this librdkafka does not know, are refused by
 * name and with the reason.
 */
START_TEST(test_refused_settings)
{
	expect_refusal("enable.auto.commit", "true", "refused, because memingest commits");
	expect_refusal("auto.offset.reset", "earliest", "refused, because it would skip");
	expect_refusal("plugin.library.paths", "/tmp/x.so",
		       "refused, because it loads foreign code");
	expect_refusal("no.such.key", "1", kafka_version());
	expect_refusal("session.timeout.ms", "many", kafka_version());
	if (rd_kafka_version() < 0x020c0000)
		expect_refusal("group.protocol", "consumer", "needs librdkafka 2.12");
	if (rd_kafka_version() < 0x020a0000)
		expect_refusal("partition.assignment.strategy", "cooperative-sticky", "4059");
	else
		ck_assert_str_eq(kafka_assignor(&w.config), "cooperative-sticky");
}
END_TEST

/* The same one by one, with who gave it and what was probably meant; and no secret is quoted. */
START_TEST(test_check_settings)
{
	static const struct {
		const char *key, *value, *says;
	} cases[] = {
		{"sesion.timeout.ms", "1", "did you mean session.timeout.ms?"},
		{"request.required.ack", "1", "did you mean request.required.acks?"},
		{"no.such.key", "1", "does not know the setting: take it out"},
		{"session.timeout.ms", "many", "session.timeout.ms"},
		{"enable.auto.comit", "true", "does not know"},
		{"isolation.level", "read_uncommitted", "refused, because"},
		{"client.rack", "a", NULL},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err err = {0};
		struct config_pair pair = {
			.key = cases[i].key, .value = cases[i].value, .origin = "my.ini:7"};
		bool ok = kafka_check_setting(&pair, &err);
		ck_assert_msg(ok == !cases[i].says, "%s: %s", cases[i].key, err.text);
		if (!ok)
			ck_assert_msg(strstr(err.text, "my.ini:7: kafka.") == err.text &&
					      strstr(err.text, cases[i].says),
				      "%s", err.text);
	}
}
END_TEST

/* check --online names what is missing, and what is there. */
/* What the consumer is given for a setting; "" if the configuration is not taken. */
static const char *given(const char *key)
{
	static char value[64];
	size_t size = sizeof(value);
	struct err err = {0};
	rd_kafka_conf_t *conf = kafka_conf(&w.config, KAFKA_ROLE_CONSUMER, &err);
	value[0] = '\0';
	if (conf && rd_kafka_conf_get(conf, key, value, &size) != RD_KAFKA_CONF_OK)
		value[0] = '\0';
	if (conf)
		rd_kafka_conf_destroy(conf);
	return value;
}

/*
 * Proves: the group waits a minute for members that are gone, a longer session's time, or as the
 * user says.
 */
START_TEST(test_poll_interval)
{
	ck_assert_str_eq(given("max.poll.interval.ms"), "60000");
	set_pair("session.timeout.ms", "90000");
	ck_assert_str_eq(given("max.poll.interval.ms"), "90000");
	set_pair("max.poll.interval.ms", "120000");
	ck_assert_str_eq(given("max.poll.interval.ms"), "120000");
	set_pair("session.timeout.ms", "many");
	ck_assert_str_eq(given("max.poll.interval.ms"), "");
}
END_TEST

START_TEST(test_check)
{
	struct buf findings = {0}, facts = {0};
	const char *topics[] = {"alpha", "^nothing-like-it"};
	produce(0, 1);
	ck_assert_msg(kafka_check_topics(&w.config, &findings, &facts, 10000), "%s",
		      buf_cstr(&findings));
	ck_assert_ptr_nonnull(strstr(buf_cstr(&facts), "topic alpha has 4 partitions"));
	w.stream.topics = topics;
	w.stream.ntopics = 2;
	ck_assert(!kafka_check_topics(&w.config, &findings, NULL, 10000));
	ck_assert_str_eq(buf_cstr(&findings), "stream.alpha: no topic matches ^nothing-like-it\n");
	buf_free(&findings);
	buf_free(&facts);
}
END_TEST

static Suite *source_suite(void)
{
	Suite *suite = suite_create("source");
	TCase *tc = tcase_create("source");
	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, world_open, world_close);
	tcase_add_test(tc, test_refused_settings);
	tcase_add_test(tc, test_one_member);
	tcase_add_test(tc, test_slow_broker);
	tcase_add_test(tc, test_silent_leader);
	tcase_add_test(tc, test_two_members);
	tcase_add_test(tc, test_reload);
	tcase_add_test(tc, test_refetch);
	tcase_add_test(tc, test_check_settings);
	tcase_add_test(tc, test_poll_interval);
	tcase_add_test(tc, test_check);
	suite_add_tcase(suite, tc);
	return suite;
}

/*
 * ThreadSanitizer does not know C11 threads, with which Debian's librdkafka makes its own, and dies
 * in them.
 */
#ifdef __SANITIZE_THREAD__
__attribute__((unused)) static Suite *(*const left_out)(void) = source_suite;
#else
UNIT_SUITE(source_suite)
#endif

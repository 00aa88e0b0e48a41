/*
 * broker.c - a producer, a transactional producer and a consumer without a group, on librdkafka.
 *
 * The consumer here never joins a group and the producer is not the worker's, so what the model
 * reads back is independent of the code under test. librdkafka's handles do not survive fork(2):
 * they are made in the process of the test, at first use.
 *
 *   producer   idempotent, acks=all: order per partition holds and nothing is written twice
 *   txn        the same with a transactional.id
 *   reader     assign() on explicit partitions, read_committed, until the high watermark (EOF); one
 *              per group asked for
 */
#include "broker.h"

#include <check.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "stack.h"

#define TIMEOUT_MS 20000

static rd_kafka_t *producer, *txn, *reader;
static char reader_group[128];

static bool quiet;
static void (*on_receipt)(void *ctx, const struct broker_message *m);
static void *on_receipt_ctx;

/* The partitions of the open transaction. */
static struct touched {
	char topic[128];
	int32_t partition;
} touched[32];
static size_t ntouched;

/* A delivery report of the producer. */
static void delivered(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
	(void)opaque;
	struct broker_message message = {
		.topic = rd_kafka_topic_name(m->rkt),
		.partition = m->partition,
		.offset = m->err == RD_KAFKA_RESP_ERR_NO_ERROR ? m->offset : -1,
		.key = {m->key, m->key_len},
		.value = {m->payload, m->len},
	};
	if (rk == producer && on_receipt)
		on_receipt(on_receipt_ctx, &message);
}

static rd_kafka_t *client(rd_kafka_type_t type, const char *const (*settings)[2], size_t n)
{
	char error[512];
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	if (quiet)
		rd_kafka_conf_set_log_cb(conf, NULL);
	if (type == RD_KAFKA_PRODUCER)
		rd_kafka_conf_set_dr_msg_cb(conf, delivered);
	ck_assert_int_eq(
		rd_kafka_conf_set(conf, "bootstrap.servers", stack.bootstrap, error, sizeof(error)),
		0);
	for (size_t i = 0; i < n; i++) {
		ck_assert_msg(rd_kafka_conf_set(conf, settings[i][0], settings[i][1], error,
						sizeof(error)) == 0,
			      "%s", error);
	}
	rd_kafka_t *rk = rd_kafka_new(type, conf, error, sizeof(error));
	ck_assert_msg(rk != NULL, "%s", error);
	return rk;
}

static rd_kafka_t *the_producer(void)
{
	static const char *const settings[][2] = {
		{"enable.idempotence", "true"},
		{"linger.ms", "5"},
		{"reconnect.backoff.max.ms", "500"},
		{"queue.buffering.max.messages", "1000000"},
		{"queue.buffering.max.kbytes", "1048576"},
		{"message.max.bytes", "20000000"},
	};
	if (!producer)
		producer = client(RD_KAFKA_PRODUCER, settings, ARRAY_LEN(settings));
	return producer;
}

static rd_kafka_t *reader_of(const char *group)
{
	const char *const settings[][2] = {
		{"group.id", group},
		{"enable.auto.commit", "false"},
		{"enable.partition.eof", "true"},
		{"fetch.wait.max.ms", "10"},
		{"isolation.level", "read_committed"},
		{"auto.offset.reset", "earliest"},
	};
	if (reader && strcmp(reader_group, group) != 0) {
		rd_kafka_destroy(reader);
		reader = NULL;
	}
	snprintf(reader_group, sizeof(reader_group), "%s", group);
	if (!reader)
		reader = client(RD_KAFKA_CONSUMER, settings, ARRAY_LEN(settings));
	return reader;
}

/* --- administration --- */

/* Waits for the answer of one admin request and checks every result in it. */
static void admin_wait(rd_kafka_queue_t *queue, const char *what)
{
	rd_kafka_event_t *event = rd_kafka_queue_poll(queue, TIMEOUT_MS);
	ck_assert_msg(event != NULL, "%s: no answer", what);
	ck_assert_msg(rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR_NO_ERROR, "%s: %s", what,
		      rd_kafka_event_error_string(event));
	const rd_kafka_topic_result_t **results = NULL;
	size_t n = 0;
	if (rd_kafka_event_CreateTopics_result(event))
		results = rd_kafka_CreateTopics_result_topics(
			rd_kafka_event_CreateTopics_result(event), &n);
	else if (rd_kafka_event_DeleteTopics_result(event))
		results = rd_kafka_DeleteTopics_result_topics(
			rd_kafka_event_DeleteTopics_result(event), &n);
	else if (rd_kafka_event_CreatePartitions_result(event))
		results = rd_kafka_CreatePartitions_result_topics(
			rd_kafka_event_CreatePartitions_result(event), &n);
	for (size_t i = 0; i < n; i++) {
		ck_assert_msg(rd_kafka_topic_result_error(results[i]) == RD_KAFKA_RESP_ERR_NO_ERROR,
			      "%s: %s", what, rd_kafka_topic_result_error_string(results[i]));
	}
	rd_kafka_event_destroy(event);
	rd_kafka_queue_destroy(queue);
}

void broker_create_topic(const char *topic, int partitions, const char *const *config,
			 size_t nconfig)
{
	char error[512], key[128];
	rd_kafka_NewTopic_t *new =
		rd_kafka_NewTopic_new(topic, partitions, 1, error, sizeof(error));
	ck_assert_msg(new != NULL, "%s", error);
	for (size_t i = 0; i < nconfig; i++) {
		const char *equals = strchr(config[i], '=');
		ck_assert_ptr_nonnull(equals);
		snprintf(key, sizeof(key), "%.*s", (int)(equals - config[i]), config[i]);
		ck_assert_int_eq(rd_kafka_NewTopic_set_config(new, key, equals + 1), 0);
	}
	rd_kafka_queue_t *queue = rd_kafka_queue_new(the_producer());
	rd_kafka_CreateTopics(the_producer(), &new, 1, NULL, queue);
	rd_kafka_NewTopic_destroy(new);
	admin_wait(queue, topic);
	int64_t deadline = clock_mono_us() + 10 * US_PER_S;
	while (broker_partitions(topic) != partitions)
		ck_assert_msg(clock_mono_us() < deadline, "%s does not show up in the metadata",
			      topic);
}

void broker_delete_topic(const char *topic)
{
	rd_kafka_DeleteTopic_t *del = rd_kafka_DeleteTopic_new(topic);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(the_producer());
	rd_kafka_DeleteTopics(the_producer(), &del, 1, NULL, queue);
	rd_kafka_DeleteTopic_destroy(del);
	admin_wait(queue, topic);
}

void broker_add_partitions(const char *topic, int partitions)
{
	char error[512];
	rd_kafka_NewPartitions_t *new =
		rd_kafka_NewPartitions_new(topic, (size_t)partitions, error, sizeof(error));
	ck_assert_msg(new != NULL, "%s", error);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(the_producer());
	rd_kafka_CreatePartitions(the_producer(), &new, 1, NULL, queue);
	rd_kafka_NewPartitions_destroy(new);
	admin_wait(queue, topic);
}

void broker_delete_records(const char *topic, int32_t partition, int64_t before)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_list_add(list, topic, partition)->offset = before;
	rd_kafka_DeleteRecords_t *del = rd_kafka_DeleteRecords_new(list);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(the_producer());
	rd_kafka_DeleteRecords(the_producer(), &del, 1, NULL, queue);
	rd_kafka_DeleteRecords_destroy(del);
	rd_kafka_topic_partition_list_destroy(list);
	admin_wait(queue, topic);
	int64_t low, high;
	broker_watermarks(topic, partition, &low, &high);
	ck_assert_int_eq(low, before);
}

int broker_partitions(const char *topic)
{
	const struct rd_kafka_metadata *metadata;
	rd_kafka_topic_t *t = rd_kafka_topic_new(the_producer(), topic, NULL);
	rd_kafka_resp_err_t error = rd_kafka_metadata(the_producer(), 0, t, &metadata, TIMEOUT_MS);
	ck_assert_msg(error == RD_KAFKA_RESP_ERR_NO_ERROR, "metadata of %s: %s", topic,
		      rd_kafka_err2str(error));
	int n = metadata->topic_cnt == 1 && metadata->topics[0].err == RD_KAFKA_RESP_ERR_NO_ERROR
			? metadata->topics[0].partition_cnt
			: 0;
	rd_kafka_metadata_destroy(metadata);
	rd_kafka_topic_destroy(t);
	return n;
}

void broker_watermarks(const char *topic, int32_t partition, int64_t *low, int64_t *high)
{
	rd_kafka_resp_err_t error = rd_kafka_query_watermark_offsets(
		the_producer(), topic, partition, low, high, TIMEOUT_MS);
	ck_assert_msg(error == RD_KAFKA_RESP_ERR_NO_ERROR, "watermarks of %s/%d: %s", topic,
		      partition, rd_kafka_err2str(error));
}

void broker_committed(const char *group, const char *topic, int64_t *offsets, int n)
{
	rd_kafka_t *rk = reader_of(group);
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(n);
	for (int i = 0; i < n; i++)
		rd_kafka_topic_partition_list_add(list, topic, i);
	rd_kafka_resp_err_t error = rd_kafka_committed(rk, list, TIMEOUT_MS);
	ck_assert_msg(error == RD_KAFKA_RESP_ERR_NO_ERROR, "committed of %s: %s", group,
		      rd_kafka_err2str(error));
	for (int i = 0; i < n; i++)
		offsets[i] = list->elems[i].offset < 0 ? -1 : list->elems[i].offset;
	rd_kafka_topic_partition_list_destroy(list);
}

void broker_set_committed(const char *group, const char *topic, int32_t partition, int64_t offset)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_list_add(list, topic, partition)->offset = offset;
	rd_kafka_AlterConsumerGroupOffsets_t *alter =
		rd_kafka_AlterConsumerGroupOffsets_new(group, list);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(the_producer());
	rd_kafka_AlterConsumerGroupOffsets(the_producer(), &alter, 1, NULL, queue);
	rd_kafka_AlterConsumerGroupOffsets_destroy(alter);
	rd_kafka_topic_partition_list_destroy(list);
	admin_wait(queue, group);
}

void broker_delete_group(const char *group)
{
	rd_kafka_DeleteGroup_t *del = rd_kafka_DeleteGroup_new(group);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(the_producer());
	rd_kafka_DeleteGroups(the_producer(), &del, 1, NULL, queue);
	rd_kafka_DeleteGroup_destroy(del);
	admin_wait(queue, group);
}

/* --- writing --- */

/* headers: new or NULL; once the message is taken, they are the client's. */
static void send_with(rd_kafka_t *rk, const char *topic, int32_t partition, struct slice key,
		      struct slice value, int64_t ts, rd_kafka_headers_t *headers)
{
	rd_kafka_resp_err_t error;
	do {
		error = rd_kafka_producev(
			rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(partition),
			RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_KEY(key.data, key.len),
			RD_KAFKA_V_VALUE((void *)(uintptr_t)value.data, value.len),
			RD_KAFKA_V_TIMESTAMP(ts), RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_END);
		if (error == RD_KAFKA_RESP_ERR__QUEUE_FULL)
			rd_kafka_poll(rk, 100);
	} while (error == RD_KAFKA_RESP_ERR__QUEUE_FULL);
	ck_assert_msg(error == RD_KAFKA_RESP_ERR_NO_ERROR, "produce to %s: %s", topic,
		      rd_kafka_err2str(error));
}

static void send_one(rd_kafka_t *rk, const char *topic, int32_t partition, struct slice key,
		     struct slice value, int64_t ts)
{
	send_with(rk, topic, partition, key, value, ts, NULL);
}

void broker_produce_headers(const char *topic, int32_t partition, struct slice key,
			    struct slice value, const struct broker_header *headers, size_t n)
{
	rd_kafka_headers_t *list = rd_kafka_headers_new(n);
	for (size_t i = 0; i < n; i++)
		rd_kafka_header_add(list, headers[i].name, -1, headers[i].value.data,
				    (ssize_t)headers[i].value.len);
	send_with(the_producer(), topic, partition, key, value, 0, list);
}

void broker_produce(const char *topic, int32_t partition, struct slice key, struct slice value,
		    int64_t timestamp_ms)
{
	send_one(the_producer(), topic, partition, key, value, timestamp_ms);
}

void broker_flush(void)
{
	rd_kafka_resp_err_t error = rd_kafka_flush(the_producer(), 60000);
	ck_assert_msg(error == RD_KAFKA_RESP_ERR_NO_ERROR, "flush: %s", rd_kafka_err2str(error));
}

void broker_poll(void)
{
	rd_kafka_poll(the_producer(), 0);
}

void broker_on_receipt(void (*receipt)(void *ctx, const struct broker_message *m), void *ctx)
{
	on_receipt = receipt;
	on_receipt_ctx = ctx;
}

static void check_txn(rd_kafka_error_t *error, const char *what)
{
	ck_assert_msg(error == NULL, "%s: %s", what, rd_kafka_error_string(error));
}

void broker_txn_begin(void)
{
	char id[64];
	snprintf(id, sizeof(id), "txn-%d", (int)getpid());
	const char *const settings[][2] = {{"transactional.id", id}, {"linger.ms", "5"}};
	if (!txn) {
		txn = client(RD_KAFKA_PRODUCER, settings, ARRAY_LEN(settings));
		check_txn(rd_kafka_init_transactions(txn, 60000), "init_transactions");
	}
	check_txn(rd_kafka_begin_transaction(txn), "begin_transaction");
}

void broker_txn_produce(const char *topic, int32_t partition, struct slice key, struct slice value)
{
	size_t i = 0;
	while (i < ntouched &&
	       (touched[i].partition != partition || strcmp(touched[i].topic, topic) != 0))
		i++;
	ck_assert_uint_lt(i, ARRAY_LEN(touched));
	if (i == ntouched) {
		snprintf(touched[ntouched].topic, sizeof(touched[0].topic), "%s", topic);
		touched[ntouched++].partition = partition;
	}
	send_one(txn, topic, partition, key, value, 0);
}

/*
 * The broker writes the markers after it has answered: until then the last stable offset is not the
 * end of the log.
 */
static void await_markers(void)
{
	static const char *const settings[][2] = {{"group.id", "markers"},
						  {"isolation.level", "read_uncommitted"}};
	rd_kafka_t *rk = client(RD_KAFKA_CONSUMER, settings, ARRAY_LEN(settings));
	int64_t low, stable, end, deadline = clock_mono_us() + 10 * US_PER_S;
	for (size_t i = 0; i < ntouched; i++) {
		do {
			ck_assert_msg(clock_mono_us() < deadline, "no transaction marker in %s",
				      touched[i].topic);
			broker_watermarks(touched[i].topic, touched[i].partition, &low, &stable);
			ck_assert_int_eq(rd_kafka_query_watermark_offsets(rk, touched[i].topic,
									  touched[i].partition,
									  &low, &end, TIMEOUT_MS),
					 RD_KAFKA_RESP_ERR_NO_ERROR);
		} while (stable != end);
	}
	rd_kafka_destroy(rk);
	ntouched = 0;
}

void broker_txn_flush(void)
{
	rd_kafka_resp_err_t error = rd_kafka_flush(txn, TIMEOUT_MS);
	ck_assert_msg(error == RD_KAFKA_RESP_ERR_NO_ERROR, "flush: %s", rd_kafka_err2str(error));
}

void broker_txn_end(bool commit)
{
	broker_txn_flush(); /* so that what is rolled back is in the log */
	if (commit)
		check_txn(rd_kafka_commit_transaction(txn, TIMEOUT_MS), "commit_transaction");
	else
		check_txn(rd_kafka_abort_transaction(txn, TIMEOUT_MS), "abort_transaction");
	await_markers();
}

/* --- reading --- */

static struct slice header_of(const rd_kafka_message_t *m, const char *name)
{
	rd_kafka_headers_t *headers;
	const void *value;
	size_t len;
	if (rd_kafka_message_headers(m, &headers) ||
	    rd_kafka_header_get_last(headers, name, &value, &len))
		return (struct slice){0};
	return (struct slice){value, len};
}

static void hand_over(const rd_kafka_message_t *m,
		      void (*take)(void *ctx, const struct broker_message *m), void *ctx)
{
	rd_kafka_timestamp_type_t type;
	struct broker_message message = {
		.topic = rd_kafka_topic_name(m->rkt),
		.partition = m->partition,
		.offset = m->offset,
		.timestamp_ms = rd_kafka_message_timestamp(m, &type),
		.key = {m->key, m->key_len},
		.value = {m->payload, m->len},
		.key_id = header_of(m, "__key_schema_id"),
		.value_id = header_of(m, "__value_schema_id"),
	};
	take(ctx, &message);
}

/* How long the broker may say nothing. */
static int64_t patience_us(void)
{
	return clock_mono_us() + 60 * US_PER_S;
}

int64_t broker_read_from(const char *group, const char *topic, int32_t partition, int64_t from,
			 void (*take)(void *ctx, const struct broker_message *m), void *ctx)
{
	rd_kafka_t *rk = reader_of(group);
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_list_add(list, topic, partition)->offset = from;
	ck_assert_int_eq(rd_kafka_assign(rk, list), RD_KAFKA_RESP_ERR_NO_ERROR);
	rd_kafka_topic_partition_list_destroy(list);
	int64_t next = MAX(from, 0), deadline = patience_us();
	for (bool end = false; !end;) {
		rd_kafka_message_t *m = rd_kafka_consumer_poll(rk, 1000);
		ck_assert_msg(clock_mono_us() < deadline, "reading %s/%d takes too long", topic,
			      partition);
		if (!m)
			continue;
		end = m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF && m->partition == partition;
		ck_assert_msg(end || m->err == RD_KAFKA_RESP_ERR_NO_ERROR, "reading %s/%d: %s",
			      topic, partition, rd_kafka_message_errstr(m));
		next = m->offset + !end;
		if (!end)
			hand_over(m, take, ctx);
		rd_kafka_message_destroy(m);
		deadline = patience_us();
	}
	rd_kafka_assign(rk, NULL);
	return next;
}

void broker_read(const char *group, const char *topic,
		 void (*take)(void *ctx, const struct broker_message *m), void *ctx)
{
	int n = broker_partitions(topic);
	for (int32_t p = 0; p < n; p++)
		broker_read_from(group, topic, p, RD_KAFKA_OFFSET_BEGINNING, take, ctx);
}

/* --- watching --- */

struct broker_watch {
	rd_kafka_t *rk;
};

struct broker_watch *broker_watch_new(const char *group)
{
	const char *const settings[][2] = {{"group.id", group}};
	struct broker_watch *w = xcalloc(1, sizeof(*w));
	w->rk = client(RD_KAFKA_CONSUMER, settings, ARRAY_LEN(settings));
	return w;
}

bool broker_watch_committed(struct broker_watch *w, const char *topic, int64_t *offsets, int n,
			    int timeout_ms)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(n);
	for (int i = 0; i < n; i++)
		rd_kafka_topic_partition_list_add(list, topic, i);
	bool ok = rd_kafka_committed(w->rk, list, timeout_ms) == RD_KAFKA_RESP_ERR_NO_ERROR;
	for (int i = 0; i < n && ok; i++) {
		ok = list->elems[i].err == RD_KAFKA_RESP_ERR_NO_ERROR;
		offsets[i] = list->elems[i].offset < 0 ? -1 : list->elems[i].offset;
	}
	rd_kafka_topic_partition_list_destroy(list);
	return ok;
}

void broker_watch_free(struct broker_watch *w)
{
	rd_kafka_destroy(w->rk);
	free(w);
}

void broker_quiet(void)
{
	quiet = true;
}

void broker_close(void)
{
	if (producer)
		rd_kafka_destroy(producer);
	if (txn)
		rd_kafka_destroy(txn);
	if (reader)
		rd_kafka_destroy(reader);
	producer = txn = reader = NULL;
}

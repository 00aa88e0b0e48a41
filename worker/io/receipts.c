/*
 * receipts.c - requests that must not be applied twice, whatever dies when.
 *
 *   topic of receipts, one partition       the stream's topics
 *   ... | claim K | receipt K |            event event event
 *          \________ one transaction of Kafka _________/
 *
 * A request is applied by a transaction that holds its events and a receipt under its name, so both
 * are there or neither. What remains is that two gateways, or a gateway and its successor, apply
 * the same request at a time; the log itself decides that. A transaction begins with a claim in the
 * topic of receipts. Who has written it, at offset o, waits until it has read everything below o
 * that is decided, and that everything below o is decided: read_committed shows no message behind
 * the first transaction that is open, so its own claim, which is, is where it must arrive. Then
 * either a claim of that name is among what it has read, which says that it was applied, though the
 * receipt may stand behind our own claim and be seen only once we have given up; or whoever else
 * wants to apply that request has its claim behind ours, and will wait for us. Claims are in one
 * order, so nobody waits in a circle.
 *
 *   CLOSED --open--> IDLE --begin--> BEGUN --commit, abort--> IDLE
 *     ^                '-- fatal, unknown --'
 *     '------------------close---'
 *
 * Reading takes the broker's time, so where nobody else has written it is left out: if only one
 * offset lies between the last message of our last transaction and our claim, it is the marker that
 * ended it, and all below was read, or was ours.
 *
 * Who is killed within a transaction keeps others waiting until Kafka ends it (TRANSACTION_MS), or
 * until a process of the same id opens: that ends it at once, and shuts the door to what the dead
 * one may have sent that is still on its way (fencing by epoch).
 *
 * Kafka keeps receipts for a day (retention of the topic, which is ours if we make it), compacted;
 * we keep them in memory for as long, as many as MEMORY_MAX holds: the oldest go first.
 *
 * Thread: the owner's; all calls that wait have a deadline. Failure: see receipts.h.
 */
#include "io/receipts.h"

#include <assert.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "io/kafka_client.h"

enum { TRANSACTION_MS = 10000, OPEN_MS = 12000, SLICE_MS = 20, HASH_BYTES = 16 };
#define KEEP_US (DAY_S * US_PER_S)
#define MEMORY_MAX ((size_t)64 * 1024 * 1024)

enum receipts_state { RECEIPTS_CLOSED, RECEIPTS_IDLE, RECEIPTS_BEGUN };

/* Of one name; in the table, and in a row by age. */
struct entry {
	UT_hash_handle hh; /* uthash keeps the order of adding */
	struct receipt receipt;
	int64_t time_us;
	size_t size;
	char name[];
};

struct receipts {
	const struct config *config;
	const char *topic, *id;
	producer_report report;
	void *ctx;
	enum receipts_state state;
	rd_kafka_t *producer, *reader;
	int64_t position; /* all below it that is decided was read */
	int64_t claim;    /* offset of ours, -1 not known yet */
	/*
	 * offset of the last message of our last transaction in the topic of receipts, if nobody
	 * else has written there between its first and its last; else -1
	 */
	int64_t last, began; /* began: its claim */
	size_t unreported;
	bool failed; /* a message of the transaction was */
	struct entry *entries;
	size_t memory;
	struct buf value; /* scratch */
};

/* --- what is known --- */

static void forget(struct receipts *r, struct entry *e)
{
	assert(e != r->entries || e->hh.prev == NULL); /* uthash: nothing is before the head */
	HASH_DEL(r->entries, e);
	r->memory -= e->size;
	free(e);
}

/* The oldest go, as a name that comes again is added anew. */
static void forget_old(struct receipts *r)
{
	int64_t now = clock_wall_us();
	while (r->entries && (r->memory > MEMORY_MAX || now - r->entries->time_us > KEEP_US))
		forget(r, r->entries);
}

static void remember(struct receipts *r, struct slice name, struct slice value, int64_t time_us)
{
	struct entry *e = NULL;
	if (value.len < HASH_BYTES)
		return;
	HASH_FIND(hh, r->entries, name.data, name.len, e);
	bool claim = value.len == HASH_BYTES;
	if (claim && e && memcmp(e->receipt.hash, value.data, HASH_BYTES) == 0)
		return; /* its receipt is known already */
	if (e)
		forget(r, e);
	size_t fate = value.len - HASH_BYTES, size = sizeof(*e) + name.len + 1 + fate;
	e = xcalloc(1, size);
	memcpy(e->name, name.data, name.len);
	uint8_t *bytes = (uint8_t *)e->name + name.len + 1;
	memcpy(e->receipt.hash, value.data, HASH_BYTES);
	memcpy(bytes, value.data + HASH_BYTES, fate);
	e->receipt.fate = (struct slice){bytes, fate};
	e->time_us = time_us;
	e->size = size;
	r->memory += size;
	HASH_ADD_KEYPTR(hh, r->entries, e->name, name.len, e);
	forget_old(r);
}

const struct receipt *receipts_find(struct receipts *r, const char *name)
{
	struct entry *e = NULL;
	HASH_FIND_STR(r->entries, name, e);
	return e ? &e->receipt : NULL;
}

size_t receipts_count(const struct receipts *r)
{
	return HASH_COUNT(r->entries);
}

/* --- reading --- */

/* True if there was something. */
static bool read_one(struct receipts *r, int timeout_ms)
{
	rd_kafka_timestamp_type_t kind;
	rd_kafka_message_t *m = rd_kafka_consumer_poll(r->reader, timeout_ms);
	if (!m)
		return false;
	if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
		r->position = MAX(r->position, m->offset);
	} else if (!m->err) {
		r->position = MAX(r->position, m->offset + 1);
		if (m->key)
			remember(r, (struct slice){m->key, m->key_len},
				 (struct slice){m->payload, m->len},
				 rd_kafka_message_timestamp(m, &kind) * US_PER_MS);
	}
	rd_kafka_message_destroy(m);
	return true;
}

void receipts_follow(struct receipts *r, int timeout_ms)
{
	while (r->reader && read_one(r, timeout_ms))
		timeout_ms = 0;
}

/* Until all below that offset was read. */
static bool read_up_to(struct receipts *r, int64_t offset, int64_t deadline_us)
{
	while (r->position < offset && clock_poll_ms(deadline_us) > 0) {
		read_one(r, MIN(SLICE_MS, clock_poll_ms(deadline_us)));
		rd_kafka_poll(r->producer, 0);
	}
	return r->position >= offset;
}

/* --- the producer --- */

/* Claim or receipt: whether nobody else has written between them is what the next claim asks. */
static void is_in(struct receipts *r, int64_t offset)
{
	bool first = r->claim < 0, next = offset == r->last + 1;
	if (first)
		r->claim = offset;
	r->last = first || (r->last >= 0 && next) ? offset : -1;
}

/* Reports of claim and receipt have no tag. */
static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
	struct receipts *r = opaque;
	uint64_t tag = (uint64_t)(uintptr_t)m->_private;
	(void)rk;
	r->unreported--;
	r->failed |= m->err != 0;
	if (tag)
		r->report(r->ctx, tag, m->err ? PRODUCER_LOST : PRODUCER_DELIVERED, m->partition,
			  m->offset, m->err ? rd_kafka_err2str(m->err) : NULL);
	if (!tag && !m->err)
		is_in(r, m->offset);
}

/* Consumes the error. False, always. */
static bool fail(rd_kafka_error_t *error, const char *what, struct err *err)
{
	enum err_class class = rd_kafka_error_is_fatal(error) ? ERR_FATAL : ERR_RETRY;
	err_set(err, class, "%s: %s", what, rd_kafka_error_string(error));
	rd_kafka_error_destroy(error);
	return false;
}

static bool produce(struct receipts *r, const struct producer_message *m, struct err *err)
{
	rd_kafka_resp_err_t code = rd_kafka_producev(
		r->producer, RD_KAFKA_V_TOPIC(m->topic), RD_KAFKA_V_PARTITION(m->partition),
		RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
		RD_KAFKA_V_KEY((void *)m->key.data, m->key.len),
		RD_KAFKA_V_VALUE((void *)m->value.data, m->value.len),
		RD_KAFKA_V_OPAQUE((void *)(uintptr_t)m->tag), RD_KAFKA_V_END);
	r->unreported += code == 0;
	return !code ||
	       err_set(err, ERR_RETRY, "producing to %s: %s", m->topic, rd_kafka_err2str(code));
}

bool receipts_add(struct receipts *r, const struct producer_message *m, struct err *err)
{
	assert(r->state == RECEIPTS_BEGUN);
	return produce(r, m, err);
}

bool receipts_flush(struct receipts *r, int64_t deadline_us, struct err *err)
{
	while (r->unreported > 0 && clock_poll_ms(deadline_us) > 0)
		rd_kafka_poll(r->producer, MIN(SLICE_MS, clock_poll_ms(deadline_us)));
	return r->unreported == 0 ||
	       err_set(err, ERR_RETRY, "no broker has acknowledged the events in time");
}

/* --- opening --- */

/* missing: it is not, and may be made. */
static bool is_there(rd_kafka_t *rk, const char *topic, bool *missing, struct err *err)
{
	const rd_kafka_metadata_t *answer = NULL;
	rd_kafka_topic_t *handle = rd_kafka_topic_new(rk, topic, NULL);
	rd_kafka_resp_err_t code = rd_kafka_metadata(rk, 0, handle, &answer, OPEN_MS / 4);
	int partitions = -1;
	if (!code && answer->topic_cnt == 1) {
		code = answer->topics[0].err;
		partitions = answer->topics[0].partition_cnt;
	}
	if (answer)
		rd_kafka_metadata_destroy(answer);
	rd_kafka_topic_destroy(handle);
	*missing = code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
	if (code)
		return err_set(err, kafka_err_class(code), "topic %s: %s", topic,
			       rd_kafka_err2str(code));
	return partitions == 1 ||
	       err_set(err, ERR_CONFIG,
		       "topic %s has %d partitions, and the order of receipts needs one: name "
		       "another topic (gateway.requests_topic)",
		       topic, partitions);
}

/* What is wrong with it, is_there() says afterwards. */
static void make_topic(rd_kafka_t *rk, const char *topic)
{
	char text[256];
	rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
	rd_kafka_NewTopic_t *t = rd_kafka_NewTopic_new(topic, 1, -1, text, sizeof(text));
	rd_kafka_AdminOptions_t *options =
		rd_kafka_AdminOptions_new(rk, RD_KAFKA_ADMIN_OP_CREATETOPICS);
	rd_kafka_AdminOptions_set_operation_timeout(options, OPEN_MS / 4, text, sizeof(text));
	rd_kafka_AdminOptions_set_request_timeout(options, OPEN_MS / 4, text, sizeof(text));
	rd_kafka_NewTopic_set_config(t, "cleanup.policy", "compact,delete");
	rd_kafka_NewTopic_set_config(t, "retention.ms", "86400000");
	rd_kafka_CreateTopics(rk, &t, 1, options, queue);
	rd_kafka_event_t *event = rd_kafka_queue_poll(queue, OPEN_MS / 2);
	if (event)
		rd_kafka_event_destroy(event);
	rd_kafka_AdminOptions_destroy(options);
	rd_kafka_NewTopic_destroy(t);
	rd_kafka_queue_destroy(queue);
}

static rd_kafka_t *client(struct receipts *r, enum kafka_role role, struct err *err)
{
	char text[512], ms[16];
	bool writes = role == KAFKA_ROLE_GATEWAY;
	rd_kafka_conf_t *conf = kafka_conf(r->config, role, err);
	if (!conf)
		return NULL;
	snprintf(ms, sizeof(ms), "%d", TRANSACTION_MS);
	if (writes) {
		rd_kafka_conf_set(conf, "transactional.id", r->id, text, sizeof(text));
		rd_kafka_conf_set(conf, "transaction.timeout.ms", ms, text, sizeof(text));
		rd_kafka_conf_set(conf, "message.timeout.ms", ms, text, sizeof(text));
		rd_kafka_conf_set_opaque(conf, r);
		rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
	} else { /* that long a claim waits to hear that there is nothing more */
		rd_kafka_conf_set(conf, "fetch.wait.max.ms", "20", text, sizeof(text));
	}
	rd_kafka_t *rk = rd_kafka_new(writes ? RD_KAFKA_PRODUCER : RD_KAFKA_CONSUMER, conf, text,
				      sizeof(text));
	if (rk)
		return rk;
	rd_kafka_conf_destroy(conf);
	err_set(err, ERR_CONFIG, "kafka: %s (librdkafka %s)", text, kafka_version());
	return NULL;
}

/* From the beginning to what is the end now. */
static bool read_all(struct receipts *r, struct err *err)
{
	int64_t low = 0, high = 0;
	rd_kafka_resp_err_t code =
		rd_kafka_query_watermark_offsets(r->reader, r->topic, 0, &low, &high, OPEN_MS / 4);
	if (code)
		return err_set(err, kafka_err_class(code), "topic %s: %s", r->topic,
			       rd_kafka_err2str(code));
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_list_add(list, r->topic, 0)->offset = RD_KAFKA_OFFSET_BEGINNING;
	code = rd_kafka_assign(r->reader, list);
	rd_kafka_topic_partition_list_destroy(list);
	if (code)
		return err_set(err, kafka_err_class(code), "topic %s: %s", r->topic,
			       rd_kafka_err2str(code));
	return read_up_to(r, high, clock_mono_us() + OPEN_MS * US_PER_MS) ||
	       err_set(err, ERR_RETRY, "topic %s: its receipts were not read in time", r->topic);
}

static bool open_clients(struct receipts *r, struct err *err)
{
	bool missing;
	if (!(r->producer = client(r, KAFKA_ROLE_GATEWAY, err)) ||
	    !(r->reader = client(r, KAFKA_ROLE_REFETCH, err)))
		return false;
	rd_kafka_poll_set_consumer(r->reader);
	bool there = is_there(r->producer, r->topic, &missing, err);
	if (!there && missing) {
		make_topic(r->producer, r->topic);
		there = is_there(r->producer, r->topic, &missing, err);
	}
	if (!there)
		return false;
	rd_kafka_error_t *error = rd_kafka_init_transactions(r->producer, OPEN_MS);
	return !error || fail(error, "transactions of the gateway", err);
}

/* What is known stays known: it is read again over it. */
bool receipts_open(struct receipts *r, struct err *err)
{
	assert(r->state == RECEIPTS_CLOSED);
	r->position = 0;
	r->unreported = 0;
	r->last = -1;
	if (!open_clients(r, err) || !read_all(r, err)) {
		receipts_close(r);
		return false;
	}
	r->state = RECEIPTS_IDLE;
	return true;
}

bool receipts_is_open(const struct receipts *r)
{
	return r->state != RECEIPTS_CLOSED;
}

/* Reports of what is dropped are served, so that every message has one. */
void receipts_close(struct receipts *r)
{
	if (r->producer) {
		rd_kafka_purge(r->producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
		rd_kafka_poll(r->producer, 0);
		rd_kafka_destroy(r->producer);
	}
	if (r->reader) {
		rd_kafka_consumer_close(r->reader);
		rd_kafka_destroy(r->reader);
	}
	r->producer = r->reader = NULL;
	r->state = RECEIPTS_CLOSED;
}

struct receipts *receipts_new(const struct config *config, const char *topic, const char *id,
			      producer_report report, void *ctx)
{
	struct receipts *r = xcalloc(1, sizeof(*r));
	r->config = config;
	r->topic = topic;
	r->id = id;
	r->report = report;
	r->ctx = ctx;
	return r;
}

void receipts_free(struct receipts *r)
{
	if (!r)
		return;
	receipts_close(r);
	while (r->entries)
		forget(r, r->entries);
	buf_free(&r->value);
	free(r);
}

/* --- a transaction --- */

/* The claim is in the log and acknowledged, and all below it was read. */
static bool claim(struct receipts *r, const char *name, const uint64_t hash[2], int64_t deadline_us,
		  struct err *err)
{
	const struct producer_message m = {.topic = r->topic,
					   .key = {(const uint8_t *)name, strlen(name)},
					   .value = {(const uint8_t *)hash, HASH_BYTES}};
	int64_t before = r->last, began = r->began;
	r->claim = -1;
	if (!produce(r, &m, err) || !receipts_flush(r, deadline_us, err))
		return false;
	if (r->claim < 0)
		return err_set(err, ERR_RETRY, "topic %s: the claim was not taken", r->topic);
	r->began = r->claim;
	if (before >= 0 && r->position >= began && r->claim == before + 2)
		r->position = r->claim;
	return read_up_to(r, r->claim, deadline_us) ||
	       err_set(err, ERR_RETRY,
		       "another gateway's transaction is not decided yet; Kafka ends it after %d s",
		       TRANSACTION_MS / 1000);
}

bool receipts_begin(struct receipts *r, const char *name, const uint64_t hash[2],
		    int64_t deadline_us, struct err *err)
{
	assert(r->state == RECEIPTS_IDLE);
	rd_kafka_error_t *error = rd_kafka_begin_transaction(r->producer);
	if (error) {
		fail(error, "transactions of the gateway", err);
		err->class = ERR_FATAL;
		return false;
	}
	r->state = RECEIPTS_BEGUN;
	r->failed = false;
	if (claim(r, name, hash, deadline_us, err))
		return true;
	if (!receipts_abort(r))
		err->class = ERR_FATAL;
	return false;
}

/*
 * librdkafka 2.0.2 has lost count of the messages of a partition once one of them failed, so the
 * next transaction would fail, too (OUT_OF_ORDER_SEQUENCE): it is another client's. True.
 */
static bool leave_failed(struct receipts *r)
{
	if (r->failed)
		receipts_close(r);
	return true;
}

/* Every message has its report before the caller goes on; else only closing makes sure of that. */
bool receipts_abort(struct receipts *r)
{
	int64_t deadline_us = clock_mono_us() + TRANSACTION_MS * US_PER_MS;
	struct err err = {0};
	r->state = RECEIPTS_IDLE;
	rd_kafka_error_t *error = rd_kafka_abort_transaction(r->producer, TRANSACTION_MS);
	if (!error)
		return receipts_flush(r, deadline_us, &err) && leave_failed(r);
	log_warn("a transaction is not aborted in order",
		 F_STR("error", rd_kafka_error_string(error)));
	rd_kafka_error_destroy(error);
	return false;
}

static bool send_receipt(struct receipts *r, const char *name, const struct receipt *receipt,
			 int64_t deadline_us, struct err *err)
{
	r->value.len = 0;
	buf_put(&r->value, receipt->hash, HASH_BYTES);
	buf_put(&r->value, receipt->fate.data, receipt->fate.len);
	const struct producer_message m = {.topic = r->topic,
					   .key = {(const uint8_t *)name, strlen(name)},
					   .value = {r->value.data, r->value.len}};
	if (!produce(r, &m, err) || !receipts_flush(r, deadline_us, err))
		return false;
	return !r->failed || err_set(err, ERR_RETRY, "a message was not delivered");
}

static enum receipts_outcome aborted(struct receipts *r)
{
	return receipts_abort(r) ? RECEIPTS_ABORTED : RECEIPTS_UNKNOWN;
}

/* Asked again as long as that is what helps: it is the same commit. */
enum receipts_outcome receipts_commit(struct receipts *r, const char *name,
				      const struct receipt *receipt, int64_t deadline_us,
				      struct err *err)
{
	assert(r->state == RECEIPTS_BEGUN);
	if (!send_receipt(r, name, receipt, deadline_us, err))
		return aborted(r);
	for (;;) {
		int left = MAX(clock_poll_ms(deadline_us), 1);
		rd_kafka_error_t *error = rd_kafka_commit_transaction(r->producer, left);
		if (!error)
			break;
		bool again = rd_kafka_error_is_retriable(error) && left > 1;
		bool abort = rd_kafka_error_txn_requires_abort(error);
		fail(error, "committing", err);
		if (again)
			continue;
		return abort ? aborted(r) : RECEIPTS_UNKNOWN;
	}
	r->state = RECEIPTS_IDLE;
	remember(r, (struct slice){(const uint8_t *)name, strlen(name)},
		 (struct slice){r->value.data, r->value.len}, clock_wall_us());
	return RECEIPTS_COMMITTED;
}

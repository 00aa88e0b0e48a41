/*
 * producer.c - messages into Kafka: idempotent, in order per partition, each one reported as
 * delivered or failed.
 *
 *   producer_send() --> librdkafka's queue --> broker --> report --> delivered, failed
 *                        full: serve reports until there is room
 *
 * What is sent and not reported is what librdkafka holds: sent = delivered + failed + queued.
 * Idempotence (forced in kafka_client.c) keeps a retry from repeating or reordering messages.
 * Reports are served every few messages, as serving each time costs more than the send.
 *
 * Thread: the owner's; reports run in it. The counters are atomic, as producer_offer() is for all.
 * Failure: of one message in its report; of the client
 * (fatal error) in every later send.
 */
#include "io/producer.h"

#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "io/kafka_client.h"

enum { SERVE_EVERY = 256, WAIT_MS = 50 };

struct producer {
	rd_kafka_t *rk;
	producer_report report;
	void *ctx;
	_Atomic uint64_t sent, delivered, failed;
	char first_error[256];
};

/* Runs inside producer_poll() and the like. */
static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
	struct producer *p = opaque;
	(void)rk;
	const char *error = m->err ? rd_kafka_err2str(m->err) : NULL;
	enum producer_fate fate = PRODUCER_DELIVERED;
	if (error) {
		bool unsent = rd_kafka_message_status(m) == RD_KAFKA_MSG_STATUS_NOT_PERSISTED;
		fate = unsent ? PRODUCER_LOST : PRODUCER_UNSURE;
		if (p->failed++ == 0)
			snprintf(p->first_error, sizeof(p->first_error),
				 "topic %s partition %d: %s", rd_kafka_topic_name(m->rkt),
				 m->partition, error);
	} else {
		p->delivered++;
	}
	if (p->report)
		p->report(p->ctx, (uint64_t)(uintptr_t)m->_private, fate, m->partition, m->offset,
			  error);
}

/* Without a topic: each message names its own. timeout_us: 0 for the library's. */
static struct producer *open_producer(const struct config *config, enum kafka_role role,
				      int64_t timeout_us, producer_report report, void *ctx,
				      struct err *err)
{
	char text[512], ms[24];
	rd_kafka_conf_t *conf = kafka_conf(config, role, err);
	if (!conf)
		return NULL;
	snprintf(ms, sizeof(ms), "%lld", (long long)(timeout_us / US_PER_MS));
	if (timeout_us)
		rd_kafka_conf_set(conf, "message.timeout.ms", ms, NULL, 0);
	struct producer *p = xcalloc(1, sizeof(*p));
	p->report = report;
	p->ctx = ctx;
	rd_kafka_conf_set_opaque(conf, p);
	rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
	p->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
	if (p->rk)
		return p;
	rd_kafka_conf_destroy(conf);
	free(p);
	err_set(err, ERR_CONFIG, "kafka: %s (librdkafka %s)", text, kafka_version());
	return NULL;
}

struct producer *producer_new(const struct config *config, producer_report report, void *ctx,
			      struct err *err)
{
	return open_producer(config, KAFKA_ROLE_PRODUCER, 0, report, ctx, err);
}

struct producer *producer_new_prompt(const struct config *config, int64_t timeout_us,
				     producer_report report, void *ctx, struct err *err)
{
	return open_producer(config, KAFKA_ROLE_GATEWAY, timeout_us, report, ctx, err);
}

/*
 * Sending would find out as well, but only after the message's whole time. A broker that makes
 * topics by itself has made it now, and says that it has no leader yet.
 */
bool producer_sees_topic(struct producer *p, const char *topic, int timeout_ms, struct err *err)
{
	const rd_kafka_metadata_t *answer = NULL;
	rd_kafka_topic_t *handle = rd_kafka_topic_new(p->rk, topic, NULL);
	rd_kafka_resp_err_t code = handle ? rd_kafka_metadata(p->rk, 0, handle, &answer, timeout_ms)
					  : rd_kafka_last_error();
	if (!code && answer && answer->topic_cnt == 1)
		code = answer->topics[0].err;
	if (answer)
		rd_kafka_metadata_destroy(answer);
	if (handle)
		rd_kafka_topic_destroy(handle);
	if (!code || code == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE)
		return true;
	if (code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
		return err_set(err, ERR_CONFIG,
			       "topic %s does not exist: create it, or correct the setting "
			       "\"topic\" of the stream",
			       topic);
	return err_set(err, kafka_err_class((int)code), "topic %s: %s", topic,
		       rd_kafka_err2str(code));
}

/* Reports of what is dropped are served, so that the counts add up. */
void producer_free(struct producer *p)
{
	if (!p)
		return;
	rd_kafka_purge(p->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
	rd_kafka_poll(p->rk, 0);
	rd_kafka_destroy(p->rk);
	free(p);
}

/* New, or NULL for none. */
static rd_kafka_headers_t *headers_of(const struct producer_message *m)
{
	rd_kafka_headers_t *headers = m->nheaders > 0 ? rd_kafka_headers_new(m->nheaders) : NULL;
	for (size_t i = 0; i < m->nheaders; i++)
		rd_kafka_header_add(headers, m->headers[i].name, -1, m->headers[i].value.data,
				    (ssize_t)m->headers[i].value.len);
	return headers;
}

/* librdkafka copies key and value. */
static rd_kafka_resp_err_t try_send(struct producer *p, const struct producer_message *m)
{
	rd_kafka_headers_t *headers = headers_of(m);
	rd_kafka_resp_err_t code = rd_kafka_producev(
		p->rk, RD_KAFKA_V_TOPIC(m->topic), RD_KAFKA_V_PARTITION(m->partition),
		RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_TIMESTAMP(m->timestamp_ms),
		RD_KAFKA_V_KEY((void *)m->key.data, m->key.len),
		RD_KAFKA_V_VALUE((void *)m->value.data, m->value.len),
		RD_KAFKA_V_OPAQUE((void *)(uintptr_t)m->tag), RD_KAFKA_V_HEADERS(headers),
		RD_KAFKA_V_END);
	if (code && headers) /* a message that was taken owns them */
		rd_kafka_headers_destroy(headers);
	return code;
}

static bool refused(struct producer *p, const struct producer_message *m, rd_kafka_resp_err_t code,
		    struct err *err)
{
	char reason[512];
	if (code == RD_KAFKA_RESP_ERR__FATAL && rd_kafka_fatal_error(p->rk, reason, sizeof(reason)))
		return err_set(err, ERR_FATAL, "producing to %s: %s", m->topic, reason);
	return err_set(err, ERR_CONFIG, "producing to %s: %s", m->topic, rd_kafka_err2str(code));
}

/* A full queue is waited for; any other error is the message's or the client's. */
bool producer_send(struct producer *p, const struct producer_message *m, int timeout_ms,
		   struct err *err)
{
	int64_t deadline_us = clock_mono_us() + timeout_ms * US_PER_MS;
	rd_kafka_resp_err_t code;
	while ((code = try_send(p, m)) == RD_KAFKA_RESP_ERR__QUEUE_FULL &&
	       clock_poll_ms(deadline_us) > 0)
		rd_kafka_poll(p->rk, WAIT_MS);
	if (!code) {
		if (++p->sent % SERVE_EVERY == 0)
			rd_kafka_poll(p->rk, 0);
		return true;
	}
	if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL)
		return err_set(err, ERR_RETRY,
			       "producing to %s: no broker took a message within %d s", m->topic,
			       timeout_ms / 1000);
	return refused(p, m, code, err);
}

bool producer_offer(struct producer *p, const struct producer_message *m, struct err *err)
{
	p->sent++; /* before its report may come */
	rd_kafka_resp_err_t code = try_send(p, m);
	if (!code)
		return true;
	p->sent--;
	if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL)
		return err_set(err, ERR_RETRY, "producing to %s: the queue is full", m->topic);
	return refused(p, m, code, err);
}

/* What librdkafka adds to a message for its header it counts as well. */
size_t producer_max_message(const struct producer *p)
{
	enum { OVERHEAD = 512 };
	char text[32] = "";
	size_t len = sizeof(text);
	if (rd_kafka_conf_get(rd_kafka_conf(p->rk), "message.max.bytes", text, &len) !=
	    RD_KAFKA_CONF_OK)
		return 1000000 - OVERHEAD;
	return (size_t)strtoull(text, NULL, 10) - OVERHEAD;
}

void producer_poll(struct producer *p, int timeout_ms)
{
	rd_kafka_poll(p->rk, timeout_ms);
}

bool producer_flush(struct producer *p, int timeout_ms, struct err *err)
{
	if (rd_kafka_flush(p->rk, timeout_ms) == RD_KAFKA_RESP_ERR_NO_ERROR)
		return true;
	return err_set(err, ERR_RETRY, "%zu messages were not confirmed within %d ms",
		       producer_queued(p), timeout_ms);
}

void producer_drop(struct producer *p)
{
	rd_kafka_purge(p->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
}

uint64_t producer_delivered(const struct producer *p)
{
	return p->delivered;
}

uint64_t producer_failed(const struct producer *p)
{
	return p->failed;
}

size_t producer_queued(const struct producer *p)
{
	return (size_t)(p->sent - p->delivered - p->failed);
}

const char *producer_first_error(const struct producer *p)
{
	return p->first_error;
}

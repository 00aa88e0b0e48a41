/*
 * refetch.c - one message by topic, partition and offset.
 *
 * A row that only PostgreSQL refuses has long left librdkafka when its fate is known. A consumer of
 * its own reads the message again: assigned by hand, so it joins no group and commits nothing. It
 * is kept from one message to the next, which mostly is the same partition's and stands further on,
 * so that hundreds of dead letters need one connection.
 *
 *   message at the offset     -> a copy
 *   message past the offset, end of the partition, offset out of range
 *                             -> POISON: no such message any more
 *   nothing until the timeout -> RETRY, and the next one begins with a new client
 *
 * Thread: one at a time. Failure: see above.
 */
#include "io/refetch.h"

#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "io/kafka_client.h"
#include "io/source.h"

#define SLICE_MS 100 /* how often "stop" is looked at */
#define AHEAD 200    /* messages that are read past rather than sought past */

struct refetch {
	const struct config *config;
	rd_kafka_t *rk; /* NULL: not open */
	char topic[256];
	int32_t partition;
	bool first;   /* one behind the offset that is asked for will do */
	int64_t next; /* the offset that comes next of the assigned partition; -1: none is assigned
		       */
};

struct refetch *refetch_new(const struct config *config)
{
	struct refetch *r = xcalloc(1, sizeof(*r));
	r->config = config;
	return r;
}

/* consumer_close() is quick: it is in no group. */
static void close_client(struct refetch *r)
{
	if (!r->rk)
		return;
	rd_kafka_consumer_close(r->rk);
	rd_kafka_destroy(r->rk);
	r->rk = NULL;
}

void refetch_free(struct refetch *r)
{
	if (!r)
		return;
	close_client(r);
	free(r);
}

/* Kept from message to message. */
static bool open_client(struct refetch *r, struct err *err)
{
	char text[512];
	if (r->rk)
		return true;
	rd_kafka_conf_t *conf = kafka_conf(r->config, KAFKA_ROLE_REFETCH, err);
	if (!conf)
		return false;
	r->rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof(text));
	if (!r->rk) {
		rd_kafka_conf_destroy(conf);
		return err_set(err, ERR_CONFIG, "kafka: %s (librdkafka %s)", text, kafka_version());
	}
	rd_kafka_poll_set_consumer(r->rk);
	r->next = -1;
	return true;
}

/* The next messages that come are those from offset on. */
static bool go_to(struct refetch *r, const char *topic, int32_t partition, int64_t offset,
		  struct err *err)
{
	bool same = r->next >= 0 && r->partition == partition && strcmp(r->topic, topic) == 0;
	if (same && offset >= r->next && offset - r->next <= AHEAD)
		return true;
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_list_add(list, topic, partition)->offset = offset;
	rd_kafka_resp_err_t code = rd_kafka_assign(r->rk, list);
	rd_kafka_topic_partition_list_destroy(list);
	snprintf(r->topic, sizeof(r->topic), "%s", topic);
	r->partition = partition;
	r->next = code ? -1 : offset;
	return !code || err_set(err, kafka_err_class(code), "%s", rd_kafka_err2str(code));
}

/* NULL stays NULL, and empty stays empty: a key may be either. */
static uint8_t *copy_bytes(const void *p, size_t len)
{
	if (!p)
		return NULL;
	uint8_t *copy = xmalloc(len + 1);
	memcpy(copy, p, len);
	return copy;
}

/* The headers as JSON, which is how a dead letter has them. */
static void copy_message(rd_kafka_message_t *m, struct refetched *out)
{
	rd_kafka_timestamp_type_t kind;
	struct source_message headers = {.headers = m};
	*out = (struct refetched){
		.key = copy_bytes(m->key, m->key_len),
		.value = copy_bytes(m->payload, m->len),
		.key_len = m->key_len,
		.value_len = m->len,
		.headers = source_headers_json(&headers),
		.offset = m->offset,
		.timestamp_ms = rd_kafka_message_timestamp(m, &kind),
	};
}

/* What Kafka says of an offset that is not there any more. */
static bool gone(rd_kafka_resp_err_t code)
{
	return code == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET ||
	       code == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE ||
	       code == RD_KAFKA_RESP_ERR__PARTITION_EOF;
}

static bool is_of(const struct refetch *r, const rd_kafka_message_t *m)
{
	return m->rkt && m->partition == r->partition &&
	       strcmp(rd_kafka_topic_name(m->rkt), r->topic) == 0;
}

/* True with class NONE: found. False with class NONE: nothing said yet, poll on. */
static bool judge(struct refetch *r, rd_kafka_message_t *m, int64_t offset, struct refetched *out,
		  struct err *err)
{
	if (!is_of(r, m) || (!m->err && m->offset < offset)) /* of an assignment before */
		return false;
	if (!m->err && (m->offset == offset || r->first)) {
		copy_message(m, out);
		r->next = m->offset + 1;
		return true;
	}
	if (!m->err || gone(m->err)) {
		r->next = -1;
		return err_set(err, ERR_POISON, "there is no message at this offset any more");
	}
	if (kafka_err_class(m->err) == ERR_CONFIG)
		return err_set(err, ERR_CONFIG, "%s", rd_kafka_message_errstr(m));
	return false; /* brokers come and go: until the timeout */
}

/* In slices, so that stop is heard. */
static bool wait_for(struct refetch *r, int64_t offset, int64_t deadline_us,
		     const atomic_bool *stop, struct refetched *out, struct err *err)
{
	bool found = false;
	while (!found && err->class == ERR_NONE) {
		int left = clock_poll_ms(deadline_us);
		if (left == 0 || (stop && atomic_load(stop)))
			return err_set(err, ERR_RETRY, "no answer from the broker in time");
		rd_kafka_message_t *m = rd_kafka_consumer_poll(r->rk, MIN(left, SLICE_MS));
		if (!m)
			continue;
		found = judge(r, m, offset, out, err);
		rd_kafka_message_destroy(m);
	}
	return found;
}

/* A client that gave no answer is replaced at the next read. */
bool refetch_read(struct refetch *r, const char *topic, int32_t partition, int64_t offset,
		  int timeout_ms, const atomic_bool *stop, struct refetched *out, struct err *err)
{
	int64_t deadline_us = clock_mono_us() + timeout_ms * US_PER_MS;
	*out = (struct refetched){0};
	err_clear(err);
	bool found = open_client(r, err) && go_to(r, topic, partition, offset, err) &&
		     wait_for(r, offset, deadline_us, stop, out, err);
	if (!found && err->class == ERR_RETRY)
		close_client(r);
	return found || err_wrap(err, "topic %s partition %d offset %lld", topic, partition,
				 (long long)offset);
}

bool refetch_first(struct refetch *r, const char *topic, int32_t partition, int64_t offset,
		   int timeout_ms, struct refetched *out, struct err *err)
{
	r->first = true;
	bool found = refetch_read(r, topic, partition, offset, timeout_ms, NULL, out, err);
	r->first = false;
	return found;
}

void refetch_rest(struct refetch *r)
{
	if (r->rk)
		rd_kafka_assign(r->rk, NULL);
	r->next = -1;
}

void refetched_free(struct refetched *m)
{
	free(m->key);
	free(m->value);
	free(m->headers);
	*m = (struct refetched){0};
}

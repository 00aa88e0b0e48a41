/*
 * refetch.c - what a dead letter needs of Kafka besides the value: the headers as JSON, and a
 * message read once more.
 *
 * A row that only PostgreSQL refuses has long left librdkafka when its fate is known.
 * source_refetch() reads the message again by topic, partition and offset, with a consumer of its
 * own: assigned by hand, so it joins no group and commits nothing.
 *
 *   message at the offset     -> a copy
 *   message past the offset, end of the partition, offset out of range
 *                             -> POISON: no such message any more
 *   nothing until the timeout -> RETRY
 *
 * Headers: an object by name; a name that occurs more than once has an array. A value that is not
 * text (invalid UTF-8, or with a NUL, which jsonb cannot hold) is "base64:...", and so is text that
 * begins that way, so that it can be read back.
 *
 * Thread: any. Failure: see above.
 */
#include <jansson.h>
#include <librdkafka/rdkafka.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "io/kafka_client.h"
#include "io/source.h"

static json_t *base64_json(const uint8_t *p, size_t len)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	struct buf out = {0};
	buf_puts(&out, "base64:");
	for (size_t i = 0; i < len; i += 3) {
		size_t have = MIN(len - i, (size_t)3);
		uint32_t bits = (uint32_t)p[i] << 16;
		bits |= have > 1 ? (uint32_t)p[i + 1] << 8 : 0;
		bits |= have > 2 ? p[i + 2] : 0;
		uint8_t *d = buf_take(&out, 4);
		d[0] = (uint8_t)digits[bits >> 18];
		d[1] = (uint8_t)digits[bits >> 12 & 63];
		d[2] = have > 1 ? (uint8_t)digits[bits >> 6 & 63] : '=';
		d[3] = have > 2 ? (uint8_t)digits[bits & 63] : '=';
	}
	json_t *json = json_stringn((const char *)out.data, out.len);
	buf_free(&out);
	return json;
}

static json_t *value_json(const uint8_t *value, size_t len)
{
	if (!value)
		return json_null();
	bool looks_encoded = len >= 7 && memcmp(value, "base64:", 7) == 0;
	json_t *text = looks_encoded || memchr(value, 0, len)
			       ? NULL
			       : json_stringn((const char *)value, len);
	return text ? text : base64_json(value, len);
}

static void add_header(json_t *object, const char *name, json_t *value)
{
	json_t *old = json_object_get(object, name);
	if (!old) {
		if (json_object_set_new(object, name, value) < 0) /* a name that is not UTF-8 */
			json_object_set_new(object, "?", json_string("name is not UTF-8"));
		return;
	}
	if (!json_is_array(old)) {
		json_t *array = json_array();
		json_array_append(array, old);
		json_object_set_new(object, name, array);
		old = array;
	}
	json_array_append_new(old, value);
}

char *source_headers_json(const struct source_message *m)
{
	rd_kafka_headers_t *headers = NULL;
	const char *name;
	const void *value;
	size_t len;
	if (!m->headers || rd_kafka_message_headers(m->headers, &headers) ||
	    rd_kafka_header_cnt(headers) == 0)
		return NULL;
	json_t *object = json_object();
	for (size_t i = 0; !rd_kafka_header_get_all(headers, i, &name, &value, &len); i++)
		add_header(object, name, value_json(value, len));
	char *text = json_dumps(object, JSON_COMPACT);
	json_decref(object);
	return text;
}

static uint8_t *copy_bytes(const void *p, size_t len)
{
	if (!p)
		return NULL;
	uint8_t *copy = xmalloc(len + 1);
	memcpy(copy, p, len);
	return copy;
}

static void copy_message(rd_kafka_message_t *m, struct source_copy *out)
{
	rd_kafka_timestamp_type_t kind;
	struct source_message headers = {.headers = m};
	*out = (struct source_copy){
		.key = copy_bytes(m->key, m->key_len),
		.value = copy_bytes(m->payload, m->len),
		.key_len = m->key_len,
		.value_len = m->len,
		.headers = source_headers_json(&headers),
		.timestamp_ms = rd_kafka_message_timestamp(m, &kind),
	};
}

static bool gone(rd_kafka_resp_err_t code)
{
	return code == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET ||
	       code == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE ||
	       code == RD_KAFKA_RESP_ERR__PARTITION_EOF;
}

/* ERR_NONE in err->class with a false result: nothing said yet, poll on. */
static bool judge(rd_kafka_message_t *m, int64_t offset, struct source_copy *out, struct err *err)
{
	if (!m->err && m->offset == offset) {
		copy_message(m, out);
		return true;
	}
	if (!m->err && m->offset < offset)
		return false;
	if (!m->err || gone(m->err))
		return err_set(err, ERR_POISON, "there is no message at this offset any more");
	if (kafka_err_class(m->err) == ERR_CONFIG)
		return err_set(err, ERR_CONFIG, "%s", rd_kafka_message_errstr(m));
	return false; /* brokers come and go: until the timeout */
}

static rd_kafka_t *open_consumer(const struct config *config, struct err *err)
{
	char text[512];
	rd_kafka_conf_t *conf = kafka_conf(config, KAFKA_ROLE_REFETCH, err);
	if (!conf)
		return NULL;
	rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof(text));
	if (!rk) {
		rd_kafka_conf_destroy(conf);
		err_set(err, ERR_CONFIG, "kafka: %s (librdkafka %s)", text, kafka_version());
		return NULL;
	}
	rd_kafka_poll_set_consumer(rk);
	return rk;
}

bool source_refetch(const struct config *config, const char *topic, int32_t partition,
		    int64_t offset, int timeout_ms, struct source_copy *out, struct err *err)
{
	int64_t deadline_us = clock_mono_us() + timeout_ms * US_PER_MS;
	bool found = false;
	*out = (struct source_copy){0};
	err_clear(err);
	rd_kafka_t *rk = open_consumer(config, err);
	if (!rk)
		return false;
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_list_add(list, topic, partition)->offset = offset;
	rd_kafka_resp_err_t code = rd_kafka_assign(rk, list);
	if (code)
		err_set(err, kafka_err_class(code), "%s", rd_kafka_err2str(code));
	for (int left = timeout_ms; !found && err->class == ERR_NONE;
	     left = clock_poll_ms(deadline_us)) {
		rd_kafka_message_t *m = left > 0 ? rd_kafka_consumer_poll(rk, left) : NULL;
		if (m)
			found = judge(m, offset, out, err);
		else if (left <= 0)
			err_set(err, ERR_RETRY, "no answer from the broker within %d ms",
				timeout_ms);
		if (m)
			rd_kafka_message_destroy(m);
	}
	if (!found)
		err_wrap(err, "topic %s partition %d offset %lld", topic, partition,
			 (long long)offset);
	rd_kafka_topic_partition_list_destroy(list);
	rd_kafka_consumer_close(rk);
	rd_kafka_destroy(rk);
	return found;
}

void source_copy_free(struct source_copy *c)
{
	free(c->key);
	free(c->value);
	free(c->headers);
	*c = (struct source_copy){0};
}

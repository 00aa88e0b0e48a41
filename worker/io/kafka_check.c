/*
 * kafka_check.c - what "check --online" asks of the brokers: are they there, are the topics there,
 * may we read them.
 *
 * Every finding is collected, nothing stops at the first. The steps, each on a consumer of its own
 * that joins no group:
 *
 *   metadata    the brokers answer; each topic of the config exists (a "^regex" matches at least
 *               one) and how many partitions
 *   committed   the group's offsets may be read (rights on the group)
 *   read        one partition of each topic is fetched at its end until the end is reported (rights
 *               to read: metadata alone does not need them)
 *
 * Thread: the command's. Failure: becomes a line in the findings.
 */
#include <librdkafka/rdkafka.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "core/stream.h"
#include "io/kafka_client.h"
#include "io/kafka_login.h"

#define SETTLE_MS 200
#define REFUSED_MS 3000 /* another broker may still let us in */

struct check {
	const struct config *config;
	struct buf *findings, *facts;
	size_t wrong;
	int64_t deadline_us;
	rd_kafka_t *rk;
	rd_kafka_topic_partition_list_t *seen; /* partition 0 of each topic that exists */
	struct buf refused; /* why a broker is not trusted, or does not let us in */
};

/* One deadline for all the questions together. */
static int time_left_ms(const struct check *c)
{
	return MAX(clock_poll_ms(c->deadline_us), 1);
}

/* A finding; nothing stops for it. */
static void PRINTF_LIKE(2, 3) wrong(struct check *c, const char *fmt, ...)
{
	char text[768];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	c->wrong++;
	buf_printf(c->findings, "%s\n", text);
}

/* A fact, for those who want to see what was looked at. */
static void PRINTF_LIKE(2, 3) right(struct check *c, const char *fmt, ...)
{
	char text[768];
	if (!c->facts)
		return;
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	buf_printf(c->facts, "%s\n", text);
}

/* One partition of it is kept for the questions that follow. */
static void check_topic(struct check *c, const char *stream, const rd_kafka_metadata_topic_t *topic)
{
	if (topic->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) {
		wrong(c,
		      "stream.%s: topic %s does not exist: create it, or correct the setting "
		      "\"topic\"",
		      stream, topic->topic);
	} else if (topic->err) {
		wrong(c, "stream.%s: topic %s: %s", stream, topic->topic,
		      rd_kafka_err2str(topic->err));
	} else if (topic->partition_cnt == 0) {
		wrong(c, "stream.%s: topic %s has no partitions", stream, topic->topic);
	} else {
		right(c, "stream.%s: topic %s has %d partitions", stream, topic->topic,
		      topic->partition_cnt);
		if (!rd_kafka_topic_partition_list_find(c->seen, topic->topic, 0))
			rd_kafka_topic_partition_list_add(c->seen, topic->topic, 0);
	}
	for (int i = 0; !topic->err && i < topic->partition_cnt; i++)
		if (topic->partitions[i].leader < 0)
			wrong(c, "stream.%s: topic %s: partition %d has no leader", stream,
			      topic->topic, topic->partitions[i].id);
}

/* Of the topics that match those that belong to the stream: another one may name them. */
static void check_pattern(struct check *c, size_t stream, const char *pattern,
			  const rd_kafka_metadata_t *all)
{
	const char *name = c->config->streams[stream].name;
	size_t matches = 0, others = 0;
	for (int i = 0; i < all->topic_cnt; i++) {
		const char *topic = all->topics[i].topic;
		bool match = stream_topic_matches(pattern, topic);
		bool mine = match && stream_of_topic(c->config, topic) == stream;
		matches += mine;
		others += match && !mine;
		if (mine)
			check_topic(c, name, &all->topics[i]);
	}
	if (matches == 0)
		wrong(c, "stream.%s: no topic matches %s%s", name, pattern,
		      others > 0 ? " that is not another stream's" : "");
}

static void check_name(struct check *c, const char *stream, const char *name)
{
	const rd_kafka_metadata_t *one = NULL;
	rd_kafka_topic_t *topic = rd_kafka_topic_new(c->rk, name, NULL);
	rd_kafka_resp_err_t code = topic ? rd_kafka_metadata(c->rk, 0, topic, &one, time_left_ms(c))
					 : rd_kafka_last_error();
	if (!one || one->topic_cnt != 1)
		wrong(c, "stream.%s: topic %s: %s", stream, name, rd_kafka_err2str(code));
	else
		check_topic(c, stream, &one->topics[0]);
	if (one)
		rd_kafka_metadata_destroy(one);
	if (topic)
		rd_kafka_topic_destroy(topic);
}

/* False if no broker answers: the rest would only repeat that. */
static bool check_metadata(struct check *c)
{
	const rd_kafka_metadata_t *all = NULL;
	rd_kafka_resp_err_t code;
	while ((code = rd_kafka_metadata(c->rk, 1, NULL, &all, MIN(time_left_ms(c), REFUSED_MS)))) {
		for (int i = 0; c->refused.len == 0 && i < 16; i++)
			rd_kafka_poll(c->rk, 0); /* an error waits there for its callback */
		if (c->refused.len > 0 || time_left_ms(c) <= 1)
			break;
	}
	if (code && c->refused.len > 0) {
		wrong(c, "kafka: %s", buf_cstr(&c->refused));
		return false;
	}
	if (code) {
		wrong(c,
		      "kafka: no broker answers: %s: correct kafka.bootstrap.servers, or start the "
		      "broker",
		      rd_kafka_err2str(code));
		return false;
	}
	right(c, "kafka: %d brokers, asked %s", all->broker_cnt, all->orig_broker_name);
	for (size_t s = 0; s < c->config->nstreams; s++) {
		const struct stream_config *stream = &c->config->streams[s];
		for (size_t t = 0; t < stream->ntopics; t++) {
			if (stream->topics[t][0] == '^')
				check_pattern(c, s, stream->topics[t], all);
			else
				check_name(c, stream->name, stream->topics[t]);
		}
	}
	rd_kafka_metadata_destroy(all);
	return true;
}

/* What a broker says that has just started or taken over the group: it passes by itself. */
static bool settling(rd_kafka_resp_err_t code)
{
	return code == RD_KAFKA_RESP_ERR_NOT_COORDINATOR ||
	       code == RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE ||
	       code == RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS;
}

/* A coordinator that is just starting is given time. */
static void check_group(struct check *c)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_copy(c->seen);
	rd_kafka_resp_err_t code;
	while (settling(code = rd_kafka_committed(c->rk, list, time_left_ms(c))) &&
	       time_left_ms(c) > SETTLE_MS)
		rd_kafka_poll(c->rk, SETTLE_MS);
	if (code)
		wrong(c, "kafka: group %s: %s", c->config->group_id, rd_kafka_err2str(code));
	else
		right(c, "kafka: group %s may be used", c->config->group_id);
	rd_kafka_topic_partition_list_destroy(list);
}

/*
 * One answer of the fetch: the end of the partition, or what forbids to read it. True if it settles
 * a topic.
 */
static bool check_fetched(struct check *c, const rd_kafka_message_t *m)
{
	if (!m->rkt)
		return false;
	const char *topic = rd_kafka_topic_name(m->rkt);
	if (!rd_kafka_topic_partition_list_find(c->seen, topic, 0))
		return false;
	if (m->err && m->err != RD_KAFKA_RESP_ERR__PARTITION_EOF)
		wrong(c, "kafka: topic %s cannot be read: %s", topic, rd_kafka_message_errstr(m));
	rd_kafka_topic_partition_list_del(c->seen, topic, 0);
	return true;
}

/* Until each topic has said whether it may be read, or the time is over. */
static void check_read(struct check *c)
{
	for (int i = 0; i < c->seen->cnt; i++)
		c->seen->elems[i].offset = RD_KAFKA_OFFSET_END;
	rd_kafka_resp_err_t code = rd_kafka_assign(c->rk, c->seen);
	if (code) {
		wrong(c, "kafka: cannot read: %s", rd_kafka_err2str(code));
		return;
	}
	while (c->seen->cnt > 0 && clock_poll_ms(c->deadline_us) > 0) {
		rd_kafka_message_t *m = rd_kafka_consumer_poll(c->rk, time_left_ms(c));
		if (!m)
			break;
		check_fetched(c, m);
		rd_kafka_message_destroy(m);
	}
	for (int i = 0; i < c->seen->cnt; i++)
		wrong(c, "kafka: topic %s: no answer to a fetch of partition 0 in time",
		      c->seen->elems[i].topic);
	rd_kafka_assign(c->rk, NULL);
}

/* The first is enough: those of other brokers, and of later tries, say the same. */
static void on_error(rd_kafka_t *rk, int code, const char *text, void *opaque)
{
	struct check *c = opaque;
	(void)rk;
	if (c->refused.len == 0)
		kafka_login_describe(code, text, &c->refused);
}

/* A client that joins no group. */
static bool check_open(struct check *c)
{
	struct err err = {0};
	char text[512];
	rd_kafka_conf_t *conf = kafka_conf(c->config, KAFKA_ROLE_CONSUMER, &err);
	if (!conf) {
		wrong(c, "%s", err.text);
		return false;
	}
	rd_kafka_conf_set_opaque(conf, c);
	rd_kafka_conf_set_error_cb(conf, on_error);
	c->rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof(text));
	if (!c->rk) {
		rd_kafka_conf_destroy(conf);
		wrong(c, "kafka: %s", text);
		return false;
	}
	return true;
}

/* True: nothing was found. */
bool kafka_check_topics(const struct config *config, struct buf *findings, struct buf *facts,
			int timeout_ms)
{
	struct check c = {
		.config = config,
		.findings = findings,
		.facts = facts,
		.deadline_us = clock_mono_us() + timeout_ms * US_PER_MS,
	};
	if (!check_open(&c))
		return false;
	c.seen = rd_kafka_topic_partition_list_new(8);
	bool answers = check_metadata(&c);
	rd_kafka_poll_set_consumer(c.rk);
	if (answers && c.seen->cnt > 0) {
		check_group(&c);
		check_read(&c);
	}
	rd_kafka_topic_partition_list_destroy(c.seen);
	rd_kafka_consumer_close(c.rk);
	rd_kafka_destroy(c.rk);
	buf_free(&c.refused);
	return c.wrong == 0;
}

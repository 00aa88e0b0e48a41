/*
 * kafka_stats.c - reads librdkafka's statistics (its STATISTICS.md has the fields).
 *
 *   {"replyq": 0,
 *    "brokers": {NAME: {"source", "nodeid", "state", .., "rtt": {"avg", "p99", "cnt"}}},
 *    "topics": {NAME: {"partitions": {"0": {"partition", "desired", "fetchq_cnt", ..}}}}}
 *
 * Of the brokers those count that the cluster named ("learned"). The configured bootstrap addresses
 * are entries of their own, whose connection librdkafka lets go of once it knows the real brokers:
 * shown as down, they would be a false alarm. They stand in as long as no broker was learned, which
 * is when they are the news. A broker that was never needed (state INIT) is neither up nor down and
 * is left out.
 *
 * kafka_stats_reach() is for the poll thread, at every emission: the text of a worker with many
 * partitions is megabytes, the brokers stand at its beginning.
 *
 * Partition -1 is librdkafka's own ("unassigned"); partitions not desired belong to somebody else
 * by now.
 *
 * No state, any thread. Texts live in the parsed JSON.
 */
#include "io/kafka_stats.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static int64_t number(const json_t *object, const char *member)
{
	return json_integer_value(json_object_get(object, member));
}

static bool text_is(const json_t *object, const char *member, const char *want)
{
	const char *text = json_string_value(json_object_get(object, member));
	return text != NULL && strcmp(text, want) == 0;
}

/* REAUTH: connected, and logging in anew (librdkafka 2.2 and later, KIP-368). */
static bool is_up(const json_t *broker)
{
	return text_is(broker, "state", "UP") || text_is(broker, "state", "UPDATE") ||
	       text_is(broker, "state", "REAUTH");
}

/* Times are unknown until there was a request. */
static void read_broker(struct kafka_broker *b, const char *name, const json_t *json)
{
	const json_t *rtt = json_object_get(json, "rtt");
	bool measured = number(rtt, "cnt") > 0;
	*b = (struct kafka_broker){
		.name = name,
		.up = is_up(json),
		.connects = number(json, "connects"),
		.disconnects = number(json, "disconnects"),
		.request_timeouts = number(json, "req_timeouts"),
		.request_errors = number(json, "txerrs") + number(json, "rxerrs"),
		.tx_bytes = number(json, "txbytes"),
		.rx_bytes = number(json, "rxbytes"),
		.rtt_avg_us = measured ? number(rtt, "avg") : -1,
		.rtt_p99_us = measured ? number(rtt, "p99") : -1,
	};
}

/* source: only those that the cluster named, or only those of the config. */
static void read_brokers(struct kafka_stats *stats, json_t *brokers, const char *source)
{
	const char *name;
	json_t *json;
	json_object_foreach (brokers, name, json) {
		if (text_is(json, "source", source) && !text_is(json, "state", "INIT"))
			read_broker(&stats->brokers[stats->nbrokers++], name, json);
	}
}

/* Partitions that are ours, and real ones. */
static void read_topic(struct kafka_stats *stats, const char *topic, json_t *partitions)
{
	const char *key;
	json_t *json;
	json_object_foreach (partitions, key, json) {
		int64_t partition = number(json, "partition");
		if (partition < 0 || !json_is_true(json_object_get(json, "desired")))
			continue;
		stats->queues =
			xrealloc(stats->queues, (stats->nqueues + 1) * sizeof(*stats->queues));
		stats->queues[stats->nqueues++] = (struct kafka_fetch_queue){
			.topic = topic,
			.partition = (int32_t)partition,
			.records = number(json, "fetchq_cnt"),
			.bytes = number(json, "fetchq_size"),
		};
	}
}

/* Parses the brokers alone; the rest of the text is not looked at. */
bool kafka_stats_reach(struct kafka_reach *reach, const char *json, size_t len)
{
	static const char member[] = "\"brokers\":";
	const char *at = memmem(json, len, member, sizeof(member) - 1);
	const char *name;
	json_t *broker;
	*reach = (struct kafka_reach){0};
	if (!at)
		return false;
	at += sizeof(member) - 1;
	json_t *brokers = json_loadb(at, len - (size_t)(at - json), JSON_DISABLE_EOF_CHECK, NULL);
	json_object_foreach (brokers, name, broker) {
		if (!text_is(broker, "source", "learned") &&
		    !text_is(broker, "source", "configured"))
			continue; /* librdkafka's own, and the alias "GroupCoordinator" */
		reach->known++;
		reach->up += is_up(broker);
	}
	bool ok = json_is_object(brokers);
	json_decref(brokers);
	return ok;
}

/* Texts are borrowed from the JSON, which lives until kafka_stats_free(). */
bool kafka_stats_parse(struct kafka_stats *stats, const char *json, size_t len)
{
	*stats = (struct kafka_stats){0};
	json_t *root = json_loadb(json, len, 0, NULL);
	if (!json_is_object(root)) {
		json_decref(root);
		return false;
	}
	stats->json = root;
	stats->reply_queue = number(root, "replyq");
	json_t *brokers = json_object_get(root, "brokers");
	stats->brokers = xcalloc(json_object_size(brokers) + 1, sizeof(*stats->brokers));
	read_brokers(stats, brokers, "learned");
	if (stats->nbrokers == 0)
		read_brokers(stats, brokers, "configured");
	const char *topic;
	json_t *topic_json;
	json_object_foreach (json_object_get(root, "topics"), topic, topic_json) {
		read_topic(stats, topic, json_object_get(topic_json, "partitions"));
	}
	return true;
}

void kafka_stats_free(struct kafka_stats *stats)
{
	free(stats->brokers);
	free(stats->queues);
	json_decref(stats->json);
	*stats = (struct kafka_stats){0};
}

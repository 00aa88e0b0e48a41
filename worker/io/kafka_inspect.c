/*
 * kafka_inspect.c - opens a client that joins no group, and counts partitions.
 *
 * It is a consumer by type, since the offset queries want one and take the isolation level from it,
 * and carries the group's name without ever joining: committed offsets are asked for by that name.
 *
 * Thread: the command's; every call waits. Failure: class RETRY (no answer) or CONFIG (not allowed,
 * settings wrong).
 */
#include "io/kafka_inspect.h"

#include <librdkafka/rdkafka.h>
#include <string.h>

/* A consumer that never subscribes. */
struct rd_kafka_s *kafka_inspect_open(const struct config *config, struct err *err)
{
	char text[512];
	rd_kafka_conf_t *conf = kafka_conf(config, KAFKA_ROLE_CONSUMER, err);
	if (!conf)
		return NULL;
	rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof(text));
	if (rk) {
		rd_kafka_poll_set_consumer(rk);
		return rk;
	}
	rd_kafka_conf_destroy(conf);
	err_set(err, ERR_CONFIG, "kafka: %s", text);
	return NULL;
}

void kafka_inspect_close(struct rd_kafka_s *rk)
{
	if (!rk)
		return;
	rd_kafka_consumer_close(rk);
	rd_kafka_destroy(rk);
}

/* 0: there is no such topic. */
bool kafka_inspect_partitions(struct rd_kafka_s *rk, const char *topic, int timeout_ms,
			      int32_t *partitions, struct err *err)
{
	const rd_kafka_metadata_t *answer = NULL;
	*partitions = 0;
	rd_kafka_topic_t *handle = rd_kafka_topic_new(rk, topic, NULL);
	if (!handle)
		return err_set(err, ERR_CONFIG, "topic %s: %s", topic,
			       rd_kafka_err2str(rd_kafka_last_error()));
	rd_kafka_resp_err_t code = rd_kafka_metadata(rk, 0, handle, &answer, timeout_ms);
	if (!code && answer->topic_cnt == 1) {
		code = answer->topics[0].err;
		*partitions = code ? 0 : answer->topics[0].partition_cnt;
	}
	if (answer)
		rd_kafka_metadata_destroy(answer);
	rd_kafka_topic_destroy(handle);
	if (!code || code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
		return true;
	return err_set(err, kafka_err_class((int)code), "topic %s: %s", topic,
		       rd_kafka_err2str(code));
}

/* The value of cleanup.policy in an answer about one topic; NULL: there is none. */
static const char *policy_of(rd_kafka_event_t *event)
{
	const rd_kafka_DescribeConfigs_result_t *result =
		event ? rd_kafka_event_DescribeConfigs_result(event) : NULL;
	size_t n = 0, entries = 0;
	const rd_kafka_ConfigResource_t **resources =
		result ? rd_kafka_DescribeConfigs_result_resources(result, &n) : NULL;
	if (n != 1 || rd_kafka_ConfigResource_error(resources[0]))
		return NULL;
	const rd_kafka_ConfigEntry_t **all =
		rd_kafka_ConfigResource_configs(resources[0], &entries);
	for (size_t i = 0; i < entries; i++)
		if (strcmp(rd_kafka_ConfigEntry_name(all[i]), "cleanup.policy") == 0)
			return rd_kafka_ConfigEntry_value(all[i]);
	return NULL;
}

bool kafka_inspect_compacts(struct rd_kafka_s *rk, const char *topic, int timeout_ms,
			    bool *compacts)
{
	rd_kafka_ConfigResource_t *resource =
		rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
	rd_kafka_AdminOptions_t *options =
		rd_kafka_AdminOptions_new(rk, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS);
	rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, NULL, 0);
	rd_kafka_DescribeConfigs(rk, &resource, 1, options, queue);
	rd_kafka_event_t *event = rd_kafka_queue_poll(queue, timeout_ms);
	const char *policy = policy_of(event);
	*compacts = policy && strstr(policy, "compact") != NULL;
	if (event)
		rd_kafka_event_destroy(event);
	rd_kafka_AdminOptions_destroy(options);
	rd_kafka_queue_destroy(queue);
	rd_kafka_ConfigResource_destroy(resource);
	return policy != NULL;
}

/*
 * kafka_client.c - what consumer, producer and check share of librdkafka: its configuration, its
 * log, its version.
 *
 * The [kafka] section goes to librdkafka as it stands, so that every setting of the library (TLS,
 * SASL, timeouts) can be used without a list here, and what it does not know is found by asking it.
 * Two kinds of keys are ours; what a user may not set says the one list of core/config_key.c.
 *
 *   forced    a value that an invariant rests on, or a role
 *   default   a better start than the library's own; the user's value wins
 *
 * The program is built with the headers of librdkafka 2.0.2 and runs on whatever librdkafka.so.1
 * the system has. What newer libraries add is found at run time: a key by asking the library for
 * it, a function by dlsym().
 *
 * Assignor: a commit during a cooperative rebalance costs the whole assignment before librdkafka
 * 2.10.0 (issue #4059), so cooperative-sticky is the choice from 2.10 on and eager range,roundrobin
 * before.
 *
 * Thread: none of its own. The log callback runs in librdkafka's threads; base/log takes lines from
 * any thread. Failure: an error names the key and the version of the library, never the value of a
 * secret.
 */
#include "io/kafka_client.h"

#include <dlfcn.h>
#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/suggest.h"
#include "core/config_key.h"
#include "io/kafka_login.h"

#define ROLE(r) (1u << KAFKA_ROLE_##r)
#define READERS (ROLE(CONSUMER) | ROLE(REFETCH))
#define WRITERS (ROLE(PRODUCER) | ROLE(GATEWAY))
#define ALL_ROLES (READERS | WRITERS)

#define VERSION_COOPERATIVE 0x020a0000 /* 2.10.0: librdkafka #4059 fixed */
#define VERSION_KIP848 0x020c0000      /* 2.12.0: group.protocol=consumer is no preview any more */
#define VERSION_FORGETS 0x020c0000     /* 2.12.0: brokers may be lost for good, librdkafka #5301 */

static const char poll_interval_ms[] = "60000"; /* see apply_poll_interval() */

enum setting_kind { SETTING_DEFAULT, SETTING_FORCED };

static const struct setting {
	const char *key, *value;
	unsigned roles;
	enum setting_kind kind;
	const char *unless; /* the user sets this key: then the library's own default is right */
} settings[] = {
	{"client.id", "memingest", ALL_ROLES, SETTING_DEFAULT},
	{"socket.keepalive.enable", "true", ALL_ROLES, SETTING_DEFAULT},
	{"log.connection.close", "false", ALL_ROLES, SETTING_DEFAULT},
	/*
	 * A broker that is not trusted, or does not let us in, is tried again this often: newer
	 * libraries (seen with 2.16) do not grow the pause, and the library's 100 ms are 20 TLS
	 * handshakes a second for each client. It must not lie above a maximum of the user's.
	 */
	{"reconnect.backoff.ms", "500", ALL_ROLES, SETTING_DEFAULT, "reconnect.backoff.max.ms"},
	/*
	 * Telemetry pushes are of no use here and had a crash before authentication (librdkafka
	 * #5577).
	 */
	{"enable.metrics.push", "false", ALL_ROLES, SETTING_DEFAULT},
	/*
	 * New partitions are found by a metadata refresh only; the library's 5 minutes are too
	 * long.
	 */
	{"topic.metadata.refresh.interval.ms", "30000", ALL_ROLES, SETTING_DEFAULT},

	{"check.crcs", "true", READERS, SETTING_DEFAULT},
	{"queued.min.messages", "10000", ROLE(CONSUMER), SETTING_DEFAULT},
	{"queued.max.messages.kbytes", "32768", ROLE(CONSUMER), SETTING_DEFAULT},
	{"fetch.message.max.bytes", "1048576", ROLE(CONSUMER), SETTING_DEFAULT},
	/*
	 * One answer holds up to a fetch.message.max.bytes of each partition. With 200 partitions
	 * the library's 50 MiB were a third of the worker's memory; 4 MiB fetch as fast. It must
	 * not lie below a message.max.bytes of the user.
	 */
	{"fetch.max.bytes", "4194304", ROLE(CONSUMER), SETTING_DEFAULT, "message.max.bytes"},
	{"fetch.wait.max.ms", "100", ROLE(CONSUMER), SETTING_DEFAULT},
	/* What is read again is there: an empty answer should not hold up the next question. */
	{"fetch.wait.max.ms", "5", ROLE(REFETCH), SETTING_FORCED},
	/*
	 * The library's 1000 ms stall a consumer with small queues to one fetch a second
	 * (librdkafka #2879). From 2.2 on.
	 */
	{"fetch.queue.backoff.ms", "100", ROLE(CONSUMER), SETTING_DEFAULT},
	{"statistics.interval.ms", "5000", ROLE(CONSUMER), SETTING_DEFAULT},

	/* Below 2.2 the library sleeps for up to a second when its queue is full (io/nudge.c). */
	{"queued.min.messages", "2000", ROLE(REFETCH), SETTING_FORCED},
	{"queued.max.messages.kbytes", "4096", ROLE(REFETCH), SETTING_FORCED},
	{"statistics.interval.ms", "0", ROLE(REFETCH) | WRITERS, SETTING_FORCED},

	/* Another value of these is refused, with the reason (kafka_refusals). */
	{"enable.auto.commit", "false", READERS, SETTING_FORCED},
	{"enable.auto.offset.store", "false", READERS, SETTING_FORCED},
	{"auto.offset.reset", "error", READERS, SETTING_FORCED},
	{"enable.partition.eof", "true", READERS, SETTING_FORCED},
	{"isolation.level", "read_committed", READERS, SETTING_FORCED},
	{"enable.idempotence", "true", WRITERS, SETTING_FORCED},

	/* The partitioner of the Java client, so that a key goes where other producers send it. */
	{"partitioner", "murmur2_random", WRITERS, SETTING_DEFAULT},
	{"linger.ms", "5", ROLE(PRODUCER), SETTING_DEFAULT},
	{"queue.buffering.max.messages", "200000", ROLE(PRODUCER), SETTING_DEFAULT},
	{"queue.buffering.max.kbytes", "131072", ROLE(PRODUCER), SETTING_DEFAULT},

	/* Somebody waits for each message; how many there may be is gateway.memory's to say. */
	{"linger.ms", "1", ROLE(GATEWAY), SETTING_DEFAULT},
	{"queue.buffering.max.messages", "10000000", ROLE(GATEWAY), SETTING_FORCED},
	{"queue.buffering.max.kbytes", "2097151", ROLE(GATEWAY), SETTING_FORCED},
};

const char *kafka_version(void)
{
	return rd_kafka_version_str();
}

/* The last one counts, as for librdkafka. */
static const char *user_value(const struct config *config, const char *key)
{
	const char *value = NULL;
	for (size_t i = 0; i < config->nkafka; i++)
		if (strcmp(config->kafka[i].key, key) == 0)
			value = config->kafka[i].value;
	return value;
}

/* optional: a library that does not know the key is fine. */
static bool set(rd_kafka_conf_t *conf, const char *key, const char *value, bool optional,
		struct err *err)
{
	char text[512];
	rd_kafka_conf_res_t result = rd_kafka_conf_set(conf, key, value, text, sizeof(text));
	if (result == RD_KAFKA_CONF_OK || (optional && result == RD_KAFKA_CONF_UNKNOWN))
		return true;
	return err_set(err, ERR_CONFIG, "kafka.%s: %s (librdkafka %s)", key, text, kafka_version());
}

/* Some of ours give way to a key of the user's that means the same. */
static bool apply_ours(rd_kafka_conf_t *conf, const struct config *config, enum kafka_role role,
		       enum setting_kind kind, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
		const struct setting *s = &settings[i];
		if (s->kind != kind || !(s->roles & (1u << role)) ||
		    (s->unless && user_value(config, s->unless)))
			continue;
		/*
		 * A default of ours that an older library does not know is no loss. What is forced
		 * has to be there.
		 */
		if (!set(conf, s->key, s->value, kind == SETTING_DEFAULT, err))
			return false;
	}
	return true;
}

/* --- the user's keys --- */

/* The names that rd_kafka_conf_dump() and its like list, in the place of one that is none. */
static void suggest_names(struct suggest *s, const char **dump, size_t n)
{
	for (size_t i = 0; i + 1 < n; i += 2)
		if (!kafka_refused(dump[i], NULL))
			suggest_offer(s, dump[i]);
}

static bool unknown_key(const char *key, struct err *err)
{
	size_t n, m;
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_topic_conf_t *topic = rd_kafka_topic_conf_new();
	const char **names = rd_kafka_conf_dump(conf, &n);
	const char **more = rd_kafka_topic_conf_dump(topic, &m);
	struct suggest s = suggest_for(key);
	suggest_names(&s, names, n);
	suggest_names(&s, more, m);
	err_set(err, ERR_CONFIG, "kafka.%s: librdkafka %s does not know the setting%s%s%s", key,
		kafka_version(), s.best ? "; did you mean " : "", s.best ? s.best : "",
		s.best ? "?" : ": take it out, or install a newer librdkafka");
	rd_kafka_conf_dump_free(names, n);
	rd_kafka_conf_dump_free(more, m);
	rd_kafka_conf_destroy(conf);
	rd_kafka_topic_conf_destroy(topic);
	return false;
}

/* What librdkafka says of a value may quote it. */
static bool set_users(rd_kafka_conf_t *conf, const char *key, const char *value, struct err *err)
{
	char text[512];
	const struct kafka_refusal *no = kafka_refused(key, value);
	if (no)
		return err_set(err, ERR_CONFIG, "kafka.%s: refused, because %s; %s", key,
			       no->reason, no->instead);
	switch (rd_kafka_conf_set(conf, key, value, text, sizeof(text))) {
	case RD_KAFKA_CONF_OK:
		return true;
	case RD_KAFKA_CONF_UNKNOWN:
		return unknown_key(key, err);
	case RD_KAFKA_CONF_INVALID:
		break;
	}
	return err_set(err, ERR_CONFIG, "kafka.%s: %s (librdkafka %s)", key,
		       kafka_key_secret(key) ? "its value is not taken" : text, kafka_version());
}

static bool apply_pair(rd_kafka_conf_t *conf, const struct config_pair *pair, struct err *err)
{
	char *value = config_secret(pair->value, pair->file, err);
	bool ok = value && set_users(conf, pair->key, value, err);
	if (!value)
		err_wrap(err, "kafka.%s_file", pair->key);
	else
		explicit_bzero(value, strlen(value));
	free(value);
	return ok || (pair->origin ? err_wrap(err, "%s", pair->origin) : false);
}

/* Secrets in files are read here, so a new client has the new ones. */
static bool apply_users(rd_kafka_conf_t *conf, const struct config *config, struct err *err)
{
	for (size_t i = 0; i < config->nkafka; i++)
		if (!apply_pair(conf, &config->kafka[i], err))
			return false;
	return true;
}

bool kafka_check_setting(const struct config_pair *pair, struct err *err)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	bool ok = apply_pair(conf, pair, err);
	rd_kafka_conf_destroy(conf);
	return ok;
}

/*
 * For so long the group waits for a member that does not come back, and nothing is read meanwhile.
 * A broker that has just started may forget to watch the members it knows from before, who are gone
 * by now (Kafka 4.1, CoordinatorRuntime: the end of a load that was given up is taken for that of
 * the next one, so timers are set before the members are there); then this is the only end of it.
 * The library's five minutes are for programs that work between two polls, which the worker does
 * not. The library wants it to be session.timeout.ms at least.
 */
static bool apply_poll_interval(rd_kafka_conf_t *conf, const struct config *config, struct err *err)
{
	const char *session = user_value(config, "session.timeout.ms");
	bool longer = session && strtol(session, NULL, 10) > strtol(poll_interval_ms, NULL, 10);
	return set(conf, "max.poll.interval.ms", longer ? session : poll_interval_ms, false, err);
}

static bool scram_broken(const struct config *config)
{
	const char *mechanism = user_value(config, "sasl.mechanism");
	if (!mechanism)
		mechanism = user_value(config, "sasl.mechanisms"); /* the same setting */
	return mechanism && strncmp(mechanism, "SCRAM", 5) == 0 &&
	       rd_kafka_version() < KAFKA_LOGIN_SCRAM_MENDED;
}

/*
 * librdkafka #5301; the story is in consumer_client.c. No release is without it yet: the first that
 * is belongs here as an upper end.
 */
const char *kafka_defect(const struct config *config, bool *mended)
{
	const char *interval = user_value(config, "statistics.interval.ms");
	if (scram_broken(config)) {
		*mended = false;
		return "cannot log in by SCRAM at Kafka 4.0 and later (librdkafka #4895): install "
		       "2.6.1 or later, or log in by a certificate";
	}
	*mended = !interval || strcmp(interval, "0") != 0;
	if (rd_kafka_version() < VERSION_FORGETS)
		return NULL;
	return *mended ? "may lose all its brokers for good when the cluster says for a moment "
			 "that it has none (librdkafka #5301); the worker notices and mends it"
		       : "may lose all its brokers for good when the cluster says for a moment "
			 "that it has none (librdkafka #5301), which the worker cannot notice with "
			 "statistics.interval.ms = 0: set it to 5000";
}

static bool consumer_protocol(const struct config *config)
{
	const char *protocol = user_value(config, "group.protocol");
	return protocol && strcmp(protocol, "consumer") == 0;
}

/* The user's word first; cooperative only where it costs no assignment. */
const char *kafka_assignor(const struct config *config)
{
	const char *wanted = user_value(config, "partition.assignment.strategy");
	if (consumer_protocol(config))
		return "consumer protocol";
	if (wanted)
		return wanted;
	return rd_kafka_version() >= VERSION_COOPERATIVE ? "cooperative-sticky"
							 : "range,roundrobin";
}

/*
 * Before the user's keys are applied, as an older library would only say that it does not know one.
 */
bool kafka_check_library(const struct config *config, struct err *err)
{
	const char *assignor = kafka_assignor(config);
	if (consumer_protocol(config) && rd_kafka_version() < VERSION_KIP848)
		return err_set(err, ERR_CONFIG,
			       "kafka.group.protocol=consumer needs librdkafka 2.12 or later; this "
			       "is %s: take it out, or "
			       "install a newer librdkafka",
			       kafka_version());
	if (strstr(assignor, "cooperative") && rd_kafka_version() < VERSION_COOPERATIVE)
		return err_set(err, ERR_CONFIG,
			       "kafka.partition.assignment.strategy=%s is not safe with librdkafka "
			       "%s: before 2.10 a commit "
			       "during a cooperative rebalance loses the assignment (librdkafka "
			       "issue 4059): take it out, or "
			       "install a newer librdkafka",
			       assignor, kafka_version());
	return true;
}

static bool apply_assignor(rd_kafka_conf_t *conf, const struct config *config, struct err *err)
{
	if (consumer_protocol(config))
		return true; /* the broker assigns; the strategy must not be set then */
	return set(conf, "partition.assignment.strategy", kafka_assignor(config), false, err);
}

/* Runs in any of librdkafka's threads. */
static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
	(void)rk;
	/*
	 * Keys of the other role (one [kafka] section serves consumer and producer); a broker that
	 * has just started and will answer soon.
	 */
	bool noise = strcmp(facility, "CONFWARN") == 0 || strcmp(facility, "GETPID") == 0;
	bool login = kafka_login_tells(facility, text);
	if (level >= 7 || noise || login)
		log_debug("kafka client", F_STR("facility", facility), F_STR("text", text));
	else if (level >= 5)
		log_info("kafka client", F_STR("facility", facility), F_STR("text", text));
	/* a connection: librdkafka tries again by itself */
	else if (level == 4 || strcmp(facility, "FAIL") == 0)
		log_warn("kafka client", F_STR("facility", facility), F_STR("text", text));
	else
		log_error("kafka client", F_STR("facility", facility), F_STR("text", text));
}

/* Without a callback librdkafka logs every error twice. The consumer sets its own. */
static void on_error(rd_kafka_t *rk, int code, const char *text, void *opaque)
{
	(void)rk;
	(void)opaque;
	if (!kafka_login_refused(code, text))
		log_debug("kafka error", F_STR("error", rd_kafka_err2name(code)),
			  F_STR("text", text));
}

/* Defaults, then the user's, then what is forced. NULL with the key named. */
struct rd_kafka_conf_s *kafka_conf(const struct config *config, enum kafka_role role,
				   struct err *err)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_conf_set_log_cb(conf, on_log);
	rd_kafka_conf_set_error_cb(conf, on_error);
	kafka_login_watch(conf);
	if ((((1u << role) & READERS) && !kafka_check_library(config, err)) ||
	    !apply_ours(conf, config, role, SETTING_DEFAULT, err) ||
	    (role == KAFKA_ROLE_CONSUMER && !apply_poll_interval(conf, config, err)) ||
	    !apply_users(conf, config, err) ||
	    (role == KAFKA_ROLE_CONSUMER && !apply_assignor(conf, config, err)) ||
	    !apply_ours(conf, config, role, SETTING_FORCED, err)) {
		rd_kafka_conf_destroy(conf);
		return NULL;
	}
	return conf;
}

/* What is not in the list is taken to pass. */
enum err_class kafka_err_class(int code)
{
	switch (code) {
	case RD_KAFKA_RESP_ERR_NO_ERROR:
		return ERR_NONE;
	case RD_KAFKA_RESP_ERR__FATAL:
	case RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID:
		return ERR_FATAL;
	case RD_KAFKA_RESP_ERR__AUTHENTICATION:
	case RD_KAFKA_RESP_ERR__SSL:
	case RD_KAFKA_RESP_ERR__INVALID_ARG:
	case RD_KAFKA_RESP_ERR__UNKNOWN_GROUP:
	case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
	case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
	case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
	case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
	case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
		return ERR_CONFIG;
	default:
		return ERR_RETRY;
	}
}

/*
 * rd_kafka_DescribeTopics and its company, from librdkafka 2.3 on (rdkafka.h). All types are opaque
 * pointers there.
 */
struct describe_api {
	void *(*of_names)(const char **names, size_t n);
	void (*destroy_names)(void *topics);
	void (*describe)(rd_kafka_t *rk, const void *topics, const rd_kafka_AdminOptions_t *options,
			 rd_kafka_queue_t *q);
	const void *(*result)(rd_kafka_event_t *event);
	const void **(*topics)(const void *result, size_t *n);
	const char *(*name)(const void *topic);
	const void *(*id)(const void *topic);
	int64_t (*low)(const void *uuid);
	int64_t (*high)(const void *uuid);
};

/* False: the library is older than these functions. */
static bool describe_api_find(struct describe_api *api)
{
	struct {
		const char *name;
		void *slot;
	} symbols[] = {
		{"rd_kafka_TopicCollection_of_topic_names", &api->of_names},
		{"rd_kafka_TopicCollection_destroy", &api->destroy_names},
		{"rd_kafka_DescribeTopics", &api->describe},
		{"rd_kafka_event_DescribeTopics_result", &api->result},
		{"rd_kafka_DescribeTopics_result_topics", &api->topics},
		{"rd_kafka_TopicDescription_name", &api->name},
		{"rd_kafka_TopicDescription_topic_id", &api->id},
		{"rd_kafka_Uuid_least_significant_bits", &api->low},
		{"rd_kafka_Uuid_most_significant_bits", &api->high},
	};
	for (size_t i = 0; i < ARRAY_LEN(symbols); i++) {
		void *symbol = dlsym(RTLD_DEFAULT, symbols[i].name);
		if (!symbol)
			return false;
		memcpy(symbols[i].slot, &symbol, sizeof(symbol));
	}
	return true;
}

/* In PostgreSQL's form. Left empty where the broker has none. */
static void uuid_text(const struct describe_api *api, const void *uuid, char text[37])
{
	uint64_t high = (uint64_t)api->high(uuid), low = (uint64_t)api->low(uuid);
	if (high == 0 && low == 0)
		return; /* a broker without topic ids */
	snprintf(text, 37, "%08" PRIx64 "-%04" PRIx64 "-%04" PRIx64 "-%04" PRIx64 "-%012" PRIx64,
		 high >> 32, (high >> 16) & 0xffff, high & 0xffff, low >> 48,
		 low & UINT64_C(0xffffffffffff));
}

/* By name, as the answer's order is its own. */
static void read_ids(const struct describe_api *api, rd_kafka_event_t *event, const char **names,
		     size_t n, char (*ids)[37])
{
	const void *result = api->result(event);
	if (!result)
		return;
	size_t found = 0;
	const void **topics = api->topics(result, &found);
	for (size_t t = 0; t < found; t++)
		for (size_t i = 0; i < n; i++)
			if (api->id(topics[t]) && strcmp(api->name(topics[t]), names[i]) == 0)
				uuid_text(api, api->id(topics[t]), ids[i]);
}

/* True without ids too, where library or broker have none. */
bool kafka_topic_ids(struct rd_kafka_s *rk, const char **names, size_t n, char (*ids)[37],
		     int timeout_ms)
{
	struct describe_api api;
	char text[256];
	for (size_t i = 0; i < n; i++)
		ids[i][0] = '\0';
	if (n == 0 || !describe_api_find(&api))
		return true;

	void *topics = api.of_names(names, n);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
	rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(rk, RD_KAFKA_ADMIN_OP_ANY);
	rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, text, sizeof(text));
	api.describe(rk, topics, options, queue);
	rd_kafka_event_t *event = rd_kafka_queue_poll(queue, timeout_ms);
	rd_kafka_resp_err_t code =
		event ? rd_kafka_event_error(event) : RD_KAFKA_RESP_ERR__TIMED_OUT;
	if (event && !code)
		read_ids(&api, event, names, n, ids);
	if (event)
		rd_kafka_event_destroy(event);
	rd_kafka_AdminOptions_destroy(options);
	rd_kafka_queue_destroy(queue);
	api.destroy_names(topics);
	return !code || code == RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE;
}

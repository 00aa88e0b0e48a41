/*
 * kafka_client.h - what all clients of librdkafka share. Names its structs without including its
 * header, so that commands may use it.
 */
#pragma once

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"
#include "core/config.h"

struct rd_kafka_s;
struct rd_kafka_conf_s;

enum kafka_role {
	KAFKA_ROLE_CONSUMER, /* the worker: joins the group */
	KAFKA_ROLE_REFETCH,  /* reads single messages again, outside the group's protocol */
	KAFKA_ROLE_PRODUCER,
	KAFKA_ROLE_GATEWAY, /* a producer whose callers wait for the answer */
};

/* Of the library found at run time, "2.0.2". */
const char *kafka_version(void);

/*
 * What is known against the library found at run time and matters to a running worker, as text;
 * NULL if nothing. mended: the worker makes up for it, as configured.
 */
const char *kafka_defect(const struct config *config, bool *mended);

/*
 * A new librdkafka configuration for a role: our defaults, then config's [kafka] section, then what
 * must be as it is. Reads secret files. NULL with class CONFIG (a key that this library does not
 * know or that would break an invariant) or RETRY (a secret that cannot be read). The caller hands
 * it to rd_kafka_new() or destroys it.
 */
struct rd_kafka_conf_s *kafka_conf(const struct config *config, enum kafka_role role,
				   struct err *err);

/*
 * Whether librdkafka and we take one setting of the user's. The error names who gave it, and what
 * it should be. Class RETRY: the file of a secret cannot be read.
 */
MUST_CHECK bool kafka_check_setting(const struct config_pair *pair, struct err *err);

/* Whether the library has what the settings need: assignor, group protocol. */
MUST_CHECK bool kafka_check_library(const struct config *config, struct err *err);

/*
 * The assignor that kafka_conf() chose or the user set, for the log; "consumer protocol" for
 * group.protocol=consumer.
 */
const char *kafka_assignor(const struct config *config);

/* Class RETRY or CONFIG for an error code of librdkafka (rd_kafka_resp_err_t). */
enum err_class kafka_err_class(int code);

/*
 * The topics' ids (KIP-516) as UUID text, 36 characters, in the order of names; empty where the
 * library (before 2.3) or the broker cannot tell. Waits up to timeout_ms; false if no answer came
 * in that time, or an error that may pass.
 */
bool kafka_topic_ids(struct rd_kafka_s *rk, const char **names, size_t n, char (*ids)[37],
		     int timeout_ms);

/* What the brokers know of one partition; see struct sight. */
struct kafka_log {
	const char *topic;
	int32_t partition;
	enum start_kind start_kind;
	int64_t start_ms;         /* of START_TIMESTAMP */
	int64_t low, high, start; /* -1: no answer for this partition */
	int32_t partitions;       /* of the topic */
	int32_t leader;           /* the broker that leads it; -1 none */
};

/*
 * Asks for all partitions in few requests. False with class RETRY or CONFIG if a partition got no
 * answer; those that got one are filled nevertheless. Waits up to timeout_ms.
 */
MUST_CHECK bool kafka_query_logs(struct rd_kafka_s *rk, struct kafka_log *logs, size_t n,
				 int timeout_ms, struct err *err);

/*
 * Where a stream starts in each of the partitions that the topic has now, by the same rules. New,
 * the caller's; NULL, with class RETRY or CONFIG, unless every partition answers.
 */
int64_t *kafka_query_starts(struct rd_kafka_s *rk, const char *topic, enum start_kind kind,
			    int64_t start_ms, int timeout_ms, int32_t *n, struct err *err);

/*
 * What the group has committed: -1 nothing, -2 not known. Waits up to timeout_ms. The client needs
 * the group's id.
 */
void kafka_query_committed(struct rd_kafka_s *rk, const struct kafka_log *logs, size_t n,
			   int timeout_ms, int64_t *committed);

/*
 * For "check --online": brokers answer, each topic exists, is readable, and the group may be used.
 * Appends a line to findings for each thing that is wrong, and to facts (may be NULL) for each that
 * is right. True if nothing is wrong.
 */
MUST_CHECK bool kafka_check_topics(const struct config *config, struct buf *findings,
				   struct buf *facts, int timeout_ms);

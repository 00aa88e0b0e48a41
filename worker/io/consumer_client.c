/*
 * consumer_client.c - the librdkafka client of the consumer: opened, watched, replaced.
 *
 *   source ----> client 1 (cut off) ---> its end, in a thread of its own (consumer_end.c)
 *      \
 *       '------> client 2: subscribes, joins the group as a new member
 *
 * A source outlives its clients. Two things replace one. It is cut off: cutoff.c says that it has
 * been without Kafka for too long; the partitions are given up as lost, because the group has given
 * them to others, or will. Or consumer_reload() was called, because librdkafka reads certificates
 * and secrets only when a client is made; the partitions are given up in order, what was read is
 * written first.
 *
 * The new client is made before the old one is let go, so settings or files that do not work (any
 * more) leave things as they are.
 *
 * Brokers forgotten. From librdkafka 2.12 on a client can lose all its brokers for good (#5301, no
 * release has a fix; read in 2.15, seen with 2.12.2, 2.13.0, 2.15.0 and 2.16.0; 2.11 comes back
 * after metadata.recovery.rebootstrap.trigger.ms, older ones never lose them). A cluster that says
 * that it has topics and no brokers, as it does while its only broker is fenced, makes the client
 * drop all that it knows, the configured ones too
 * (rd_kafka_metadata_decommission_unavailable_brokers). Going down they set off a re-bootstrap, a
 * timer; the same answer, now taken for a success, stops that timer
 * (rd_kafka_rebootstrap_tmr_stop), and whether it had fired by then is a matter of microseconds. If
 * not, the mark "re-bootstrap in progress" stays for ever, and there is no broker to ask for
 * metadata. No setting avoids it: metadata.recovery.strategy=none makes it certain,
 * rebootstrap.trigger.ms is armed by a metadata request only. But a client that knows no broker
 * shows it in its statistics, and takes the configured ones again from rd_kafka_brokers_add(): it
 * goes on after at most one statistics.interval.ms, mostly still a member of the group.
 *
 * Liveness. A new client is all that a restart would bring, so being cut off is no reason to be
 * restarted; /readyz tells it. The exception: old clients that hang in their end hold threads and
 * memory, so only a few may. When that many do, the next renewal is not made; a place for
 * heartbeats is taken that never beats, and /livez fails a minute later.
 *
 * Without statistics (statistics.interval.ms = 0) nothing of this is noticed.
 *
 * Thread: the poll thread. Failure: what cannot be opened at start is the caller's error, later a
 * line in the log and a later try.
 */
#include <stdlib.h>
#include <string.h>

#include "base/beat.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/stats.h"
#include "io/consumer_parts.h"
#include "io/kafka_client.h"
#include "io/kafka_login.h"
#include "io/kafka_stats.h"

#define RELOAD_LEAVE_MS 5000

/* --- opening --- */

static int on_statistics(rd_kafka_t *rk, char *json, size_t len, void *opaque);

rd_kafka_t *consumer_client_new(struct consumer *s, struct err *err)
{
	char text[512];
	rd_kafka_conf_t *conf = kafka_conf(s->config, KAFKA_ROLE_CONSUMER, err);
	if (!conf)
		return NULL;
	rd_kafka_conf_set_opaque(conf, s);
	rd_kafka_conf_set_rebalance_cb(conf, consumer_on_rebalance);
	rd_kafka_conf_set_error_cb(conf, consumer_on_error);
	rd_kafka_conf_set_stats_cb(conf, on_statistics);
	rd_kafka_conf_set_offset_commit_cb(conf, consumer_on_commit);
	rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof(text));
	if (rk)
		return rk;
	rd_kafka_conf_destroy(conf);
	err_set(err, ERR_CONFIG, "kafka: %s (librdkafka %s)", text, kafka_version());
	return NULL;
}

static int64_t setting_us(rd_kafka_t *rk, const char *key)
{
	char text[32];
	size_t size = sizeof(text);
	if (rd_kafka_conf_get(rd_kafka_conf(rk), key, text, &size) != RD_KAFKA_CONF_OK)
		return 0;
	return strtoll(text, NULL, 10) * US_PER_MS;
}

static bool subscribe(struct consumer *s, struct err *err)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(8);
	for (size_t i = 0; i < s->config->nstreams; i++)
		for (size_t t = 0; t < s->config->streams[i].ntopics; t++)
			rd_kafka_topic_partition_list_add(list, s->config->streams[i].topics[t],
							  RD_KAFKA_PARTITION_UA);
	rd_kafka_resp_err_t code = rd_kafka_subscribe(s->rk, list);
	rd_kafka_topic_partition_list_destroy(list);
	return !code ||
	       err_set(err, ERR_CONFIG, "kafka: cannot subscribe: %s", rd_kafka_err2str(code));
}

bool consumer_client_use(struct consumer *s, rd_kafka_t *rk, struct err *err)
{
	static const uint64_t one = 1;
	s->rk = rk;
	s->joined = s->rebalancing = s->deferred = s->closing = false;
	s->probe.sent_us = 0;
	s->cutoff.session_us = setting_us(rk, "session.timeout.ms");
	s->cutoff.rebalance_us = setting_us(rk, "max.poll.interval.ms");
	rd_kafka_poll_set_consumer(rk);
	s->queue = rd_kafka_queue_get_consumer(rk);
	rd_kafka_queue_io_event_enable(s->queue, s->fd, &one, sizeof(one));
	s->nudge = nudge_start(rk);
	return s->nplaces > 0 || subscribe(s, err);
}

/* --- watching --- */

/* See "Brokers forgotten". */
static void tell_brokers(rd_kafka_t *rk)
{
	const rd_kafka_conf_t *conf = rd_kafka_conf(rk);
	size_t size = 0;
	if (rd_kafka_conf_get(conf, "bootstrap.servers", NULL, &size) != RD_KAFKA_CONF_OK)
		return;
	char *list = xcalloc(size + 1, 1);
	rd_kafka_conf_get(conf, "bootstrap.servers", list, &size);
	log_warn("the Kafka client has forgotten every broker (librdkafka #5301), it is told the "
		 "configured ones again",
		 F_STR("librdkafka", kafka_version()), F_STR("brokers", list));
	rd_kafka_brokers_add(rk, list);
	free(list);
}

static bool text_has(const char *json, size_t len, const char *text)
{
	return memmem(json, len, text, strlen(text)) != NULL;
}

static int on_statistics(rd_kafka_t *rk, char *json, size_t len, void *opaque)
{
	struct consumer *s = opaque;
	struct kafka_reach reach;
	/* With group.protocol=consumer an empty assignment calls no rebalance callback. */
	if (text_has(json, len, "\"join_state\": \"steady\"") ||
	    text_has(json, len, "\"join_state\":\"steady\"")) {
		s->joined = true;
		s->rebalancing = false;
	}
	s->ops->statistics(s->ctx, json, len);
	if (!kafka_stats_reach(&reach, json, len) || s->closing)
		return 0;
	cutoff_saw(&s->cutoff, reach.up > 0, s->joined, clock_mono_us());
	if (reach.up > 0)
		kafka_login_accepted();
	if (reach.known == 0)
		tell_brokers(rk);
	return 0;
}

/* --- replacing --- */

static void let_go(struct consumer *s)
{
	consumer_give_up_rest(s);
	consumer_end(s, 0);
}

/* False: the old client stays. */
static bool replace(struct consumer *s, bool in_order)
{
	struct err err = {0};
	rd_kafka_t *rk = consumer_client_new(s, &err);
	if (!rk) {
		log_error("no new Kafka client, the old one stays", F_STR("error", err.text));
		return false;
	}
	if (in_order && !consumer_leave(s, RELOAD_LEAVE_MS))
		log_warn("the group was not left in time, it will miss this member for "
			 "session.timeout.ms");
	let_go(s);
	if (!consumer_client_use(s, rk, &err))
		consumer_tell_fatal(s, err.text);
	return true;
}

/* See "Liveness". */
static void despair(struct consumer *s)
{
	if (!s->hopeless)
		s->hopeless_beat = beat_join("kafka client");
	s->hopeless = true;
	log_error("the Kafka client is cut off, and too many old ones hang in their end for a new "
		  "one: only a restart of the process helps, /livez asks for it",
		  F_INT("hanging", consumer_ends_under_way()));
}

static void renew(struct consumer *s, enum cutoff_why why)
{
	int64_t now = clock_mono_us();
	double seconds = (double)cutoff_since_us(&s->cutoff, now) / (double)US_PER_S;
	cutoff_renewed(&s->cutoff, now);
	if (consumer_ends_under_way() >= CONSUMER_ENDS_MAX) {
		despair(s);
		return;
	}
	log_warn(why == CUTOFF_DOWN ? "the Kafka client has no connection to any broker: it is "
				      "replaced by a new one, partitions are given up"
				    : "the Kafka client does not get into the group: it is "
				      "replaced by a new one, partitions are given up",
		 F_REAL("for_s", seconds), F_INT("in_a_row", s->cutoff.renewals));
	if (replace(s, false))
		stats_add(METRIC_CLIENT_RENEWALS, 0, 0, 1);
}

static void reload(struct consumer *s)
{
	s->reload = false;
	if (consumer_ends_under_way() >= CONSUMER_ENDS_MAX) {
		log_error("no new Kafka client: too many old ones hang in their end, restart the "
			  "process to have certificates and secrets read anew",
			  F_INT("hanging", consumer_ends_under_way()));
		return;
	}
	log_info("opening a new Kafka client, which reads certificates and secrets anew");
	replace(s, true);
}

void consumer_client_watch(struct consumer *s)
{
	if (s->dead || s->closing)
		return;
	if (s->reload)
		reload(s);
	enum cutoff_why why = cutoff_due(&s->cutoff, clock_mono_us());
	if (why != CUTOFF_NOT)
		renew(s, why);
	if (s->hopeless && s->cutoff.renewals == 0) {
		s->hopeless = false;
		beat_leave(s->hopeless_beat);
	}
}

void consumer_reload(void *self)
{
	struct consumer *s = self;
	s->reload = true;
}

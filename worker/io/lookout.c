/*
 * lookout.c - the thread that asks the brokers about logs: ends, topic ids, what the group
 * committed.
 *
 *   poll thread --look--> [ queue ] --> lookout thread: requests --> [ queue ] --> poll thread
 *
 * The client is opened at the first look and kept. When three looks in a row bring nothing at all
 * it is opened anew: a client can lose its brokers for good (librdkafka #5301).
 *
 * A sight may ask where its stream starts in all partitions of its topic. That is answered for all
 * or not at all, since the answer is written down once, for all (write/claim.c).
 *
 * A look may also ask which topics of the config there are not: nothing else would tell of a stream
 * that waits for its topic to be made, as it has no partition. And which there are, with their ids:
 * a client that has no partition of a topic knows the topic all the same.
 *
 * Topic ids tell a topic that was deleted and created again from the one that we knew (KIP-516).
 * The library has them from 2.3 on, the broker's controller answers. A claim without the id is a
 * claim that cannot notice this, so a missing answer means "ask again" - unless there has never
 * been one: some brokers cannot answer, and then, after a few attempts, that is said once and the
 * ids are left out.
 *
 * Thread: lookout_main() is its own; the rest is the caller's. Failure: sights without answer, and
 * why in the look's err.
 */
#include "io/lookout.h"

#include <librdkafka/rdkafka.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/queue.h"
#include "base/thread.h"
#include "core/stream.h"

#define LOGS_MS 5000
#define IDS_MS 1000
#define COMMITTED_MS 1000
#define TOPICS_MS 2000
#define IDS_ATTEMPTS 3
#define VAIN_LOOKS 3
/* Looks on their way: one, and those of a second that came meanwhile. */
#define MAX_LOOKS 64

struct lookout {
	const struct config *config;
	void (*ask)(void *self, struct look *look); /* NULL: the brokers */
	void *self;
	struct queue *asked, *answered;
	struct look end; /* what tells the thread to end */
	pthread_t thread;
	/* The thread's own. */
	rd_kafka_t *rk; /* NULL: not open */
	unsigned vain;  /* looks without any answer, in a row */
	bool ids_answered, ids_given_up;
	unsigned ids_missed;
};

struct look *look_new(size_t n)
{
	struct look *look = xcalloc(1, sizeof(*look) + n * sizeof(look->sights[0]));
	look->n = n;
	return look;
}

void look_ask_topics(struct look *look, const struct config *config)
{
	look->nmissing = config->nstreams;
	look->missing = xcalloc(look->nmissing, sizeof(char *));
}

void look_free(struct look *look)
{
	for (size_t i = 0; look && i < look->n; i++)
		free(look->sights[i].starts);
	for (size_t i = 0; look && i < look->nmissing; i++)
		free(look->missing[i]);
	for (size_t i = 0; look && i < look->ntopics; i++)
		free(look->topics[i].name);
	if (look) {
		free(look->missing);
		free(look->topics);
	}
	free(look);
}

/* --- the client --- */

/* Kept from look to look: connecting costs more than asking. */
static bool open_client(struct lookout *l, struct err *err)
{
	char text[512];
	if (l->rk)
		return true;
	rd_kafka_conf_t *conf = kafka_conf(l->config, KAFKA_ROLE_REFETCH, err);
	if (!conf)
		return false;
	l->rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof(text));
	if (l->rk)
		return true;
	rd_kafka_conf_destroy(conf);
	return err_set(err, ERR_CONFIG, "kafka: %s (librdkafka %s)", text, kafka_version());
}

static void close_client(struct lookout *l)
{
	if (l->rk)
		rd_kafka_destroy(l->rk);
	l->rk = NULL;
}

/* --- one look --- */

/* The topics of the sights, each once. Borrowed. */
static size_t topics_of(const struct look *look, const char **names)
{
	size_t n = 0;
	for (size_t i = 0; i < look->n; i++) {
		bool known = false;
		for (size_t k = 0; k < n; k++)
			known |= strcmp(names[k], look->sights[i].log.topic) == 0;
		if (!known)
			names[n++] = look->sights[i].log.topic;
	}
	return n;
}

/* False: no answer, though there should be one. */
static bool ask_ids(struct lookout *l, const char **names, size_t n, char (*ids)[37],
		    struct err *err)
{
	if (l->ids_given_up || kafka_topic_ids(l->rk, names, n, ids, IDS_MS)) {
		l->ids_answered = !l->ids_given_up;
		return true;
	}
	l->ids_missed++;
	if (l->ids_answered || l->ids_missed < IDS_ATTEMPTS)
		return err_set(err, ERR_RETRY, "the brokers did not tell the topics' ids");
	log_warn("the brokers do not tell topic ids: a topic that is created again will be noticed "
		 "by its offsets alone");
	l->ids_given_up = true;
	return true;
}

/* False: an id is missing that should be there. */
static bool fill_ids(struct lookout *l, struct look *look)
{
	const char **names = xcalloc(look->n + 1, sizeof(char *));
	char(*ids)[37] = xcalloc(look->n + 1, sizeof(*ids));
	size_t n = topics_of(look, names);
	bool ok = ask_ids(l, names, n, ids, &look->err);
	for (size_t i = 0; i < look->n; i++)
		for (size_t k = 0; k < n; k++)
			if (strcmp(names[k], look->sights[i].log.topic) == 0)
				memcpy(look->sights[i].topic_id, ids[k], sizeof(ids[k]));
	free(ids);
	free(names);
	return ok;
}

/* For lag alone: what is unknown stays so. */
static void fill_committed(struct lookout *l, struct look *look, const struct kafka_log *logs)
{
	int64_t *committed = xcalloc(look->n + 1, sizeof(*committed));
	kafka_query_committed(l->rk, logs, look->n, COMMITTED_MS, committed);
	for (size_t i = 0; i < look->n; i++)
		look->sights[i].committed = committed[i];
	free(committed);
}

static void fill_starts(struct lookout *l, struct look *look)
{
	for (size_t i = 0; i < look->n; i++) {
		struct sight *s = &look->sights[i];
		if (s->start_kind != START_EARLIEST)
			s->starts =
				kafka_query_starts(l->rk, s->log.topic, s->start_kind, s->start_ms,
						   LOGS_MS, &s->nstarts, &look->err);
	}
}

/* Sights whose log's end is known. */
static size_t answers(const struct look *look)
{
	size_t n = 0;
	for (size_t i = 0; i < look->n; i++)
		n += look->sights[i].log.low >= 0;
	return n;
}

/* A look whose ids are missing counts as none, since a claim needs both. */
static void forget_answers(struct look *look)
{
	for (size_t i = 0; i < look->n; i++)
		look->sights[i].log.low = -1;
}

/* Through a copy: the answers come in one piece. */
static void look_at_logs(struct lookout *l, struct look *look)
{
	struct kafka_log *logs = xcalloc(look->n + 1, sizeof(*logs));
	for (size_t i = 0; i < look->n; i++)
		logs[i] = look->sights[i].log;
	bool all = kafka_query_logs(l->rk, logs, look->n, LOGS_MS, &look->err);
	for (size_t i = 0; i < look->n; i++)
		look->sights[i].log = logs[i];
	if (all || answers(look) > 0) {
		fill_committed(l, look, logs);
		fill_starts(l, look);
	}
	free(logs);
	if (answers(look) > 0 && !fill_ids(l, look))
		forget_answers(look);
}

/* --- which topics there are not --- */

/* The caller destroys the answer. NULL: there was none. */
static const rd_kafka_metadata_t *ask_metadata(struct lookout *l, const char *topic,
					       struct err *err)
{
	const rd_kafka_metadata_t *answer = NULL;
	rd_kafka_topic_t *handle = topic ? rd_kafka_topic_new(l->rk, topic, NULL) : NULL;
	rd_kafka_resp_err_t code = rd_kafka_metadata(l->rk, !topic, handle, &answer, TOPICS_MS);
	if (handle)
		rd_kafka_topic_destroy(handle);
	if (code)
		err_set(err, ERR_RETRY, "topics: no metadata: %s", rd_kafka_err2str(code));
	return answer;
}

static void add_topic(struct look *look, const char *name)
{
	look->topics = xrealloc(look->topics, (look->ntopics + 1) * sizeof(*look->topics));
	look->topics[look->ntopics++] = (struct topic_sight){.name = xstrdup(name)};
}

/* topic: a name, or a pattern. What may not be seen is not missing. */
static bool ask_topic(struct lookout *l, struct look *look, const char *topic, bool *missing)
{
	bool pattern = topic[0] == '^';
	const rd_kafka_metadata_t *answer = ask_metadata(l, pattern ? NULL : topic, &look->err);
	if (!answer)
		return false;
	*missing = pattern;
	for (int i = 0; i < answer->topic_cnt; i++) {
		const rd_kafka_metadata_topic_t *t = &answer->topics[i];
		if (pattern && !stream_topic_matches(topic, t->topic))
			continue;
		*missing = !pattern && t->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
		if (!t->err)
			add_topic(look, t->topic);
	}
	rd_kafka_metadata_destroy(answer);
	return true;
}

static bool ask_stream(struct lookout *l, struct look *look, const struct stream_config *stream,
		       char **missing)
{
	struct buf text = {0};
	bool ok = true, is_missing;
	for (size_t i = 0; ok && i < stream->ntopics; i++) {
		const char *topic = stream->topics[i];
		ok = ask_topic(l, look, topic, &is_missing);
		if (ok && is_missing)
			buf_printf(&text, "%s%s%s", text.len ? ", " : "",
				   topic[0] == '^' ? "no topic matches " : "topic ", topic);
		if (ok && is_missing && topic[0] != '^')
			buf_puts(&text, " does not exist");
	}
	*missing = ok && text.len ? xstrdup(buf_cstr(&text)) : NULL;
	buf_free(&text);
	return ok;
}

/* Those without an answer stay empty. */
static void fill_topics_ids(struct lookout *l, struct look *look)
{
	const char **names = xcalloc(look->ntopics + 1, sizeof(char *));
	char(*ids)[37] = xcalloc(look->ntopics + 1, sizeof(*ids));
	for (size_t i = 0; i < look->ntopics; i++)
		names[i] = look->topics[i].name;
	if (!l->ids_given_up && kafka_topic_ids(l->rk, names, look->ntopics, ids, IDS_MS))
		for (size_t i = 0; i < look->ntopics; i++)
			memcpy(look->topics[i].id, ids[i], sizeof(ids[i]));
	free(ids);
	free(names);
}

static void look_at_topics(struct lookout *l, struct look *look)
{
	bool ok = look->nmissing > 0;
	for (size_t i = 0; ok && i < look->nmissing; i++)
		ok = ask_stream(l, look, &l->config->streams[i], &look->missing[i]);
	look->topics_answered = ok;
	fill_topics_ids(l, look);
}

/* --- all of a look --- */

/* A client that gives nothing three times in a row is replaced. */
static void take_look(struct lookout *l, struct look *look)
{
	forget_answers(look);
	if (open_client(l, &look->err)) {
		if (look->n > 0)
			look_at_logs(l, look);
		look_at_topics(l, look);
	}
	l->vain = answers(look) > 0 || look->topics_answered ? 0 : l->vain + 1;
	if (l->vain < VAIN_LOOKS)
		return;
	close_client(l);
	l->vain = 0;
}

/* A look without answers goes home too: its owner waits for it. */
static void *lookout_main(void *arg)
{
	struct lookout *l = arg;
	struct pollfd fd = {.fd = queue_fd(l->asked), .events = POLLIN};
	pthread_setname_np(pthread_self(), "lookout");
	for (;;) {
		struct look *look = queue_pop(l->asked);
		if (look == &l->end)
			break;
		if (!look) {
			(void)poll(&fd, 1, -1);
			continue;
		}
		if (l->ask)
			l->ask(l->self, look);
		else
			take_look(l, look);
		if (!queue_push(l->answered, look))
			abort(); /* as many as were asked */
	}
	close_client(l);
	return NULL;
}

/* --- the caller's side --- */

/* One thread, one client; the client at the first look. */
struct lookout *lookout_start(const struct config *config,
			      void (*ask)(void *self, struct look *look), void *self)
{
	struct lookout *l = xcalloc(1, sizeof(*l));
	l->config = config;
	l->ask = ask;
	l->self = self;
	l->asked = queue_new(MAX_LOOKS + 1);
	l->answered = queue_new(MAX_LOOKS + 1);
	thread_start(&l->thread, lookout_main, l);
	return l;
}

void lookout_send(struct lookout *l, struct look *look)
{
	if (!queue_push(l->asked, look))
		abort(); /* the caller has one look under way at a time */
}

struct look *lookout_answer(struct lookout *l)
{
	return queue_pop(l->answered);
}

int lookout_fd(const struct lookout *l)
{
	return queue_fd(l->answered);
}

/* A thread that hangs is left behind: its memory ends with the process. */
void lookout_stop(struct lookout *l)
{
	struct look *look;
	struct timespec until;
	if (!l)
		return;
	lookout_send(l, &l->end);
	/*
	 * A broker that does not answer is not waited for: the process ends. Not by the wall clock:
	 * set back by an hour, it would be waited for as long.
	 */
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += 2;
	if (pthread_clockjoin_np(l->thread, NULL, CLOCK_MONOTONIC, &until) != 0)
		return;
	while ((look = queue_pop(l->asked)) || (look = queue_pop(l->answered)))
		look_free(look);
	queue_free(l->asked);
	queue_free(l->answered);
	free(l);
}

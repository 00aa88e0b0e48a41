/*
 * lookout.h - a thread with a client of its own that asks where logs begin and end, and which
 * topics there are and are not, for a caller that must not wait. A look is the lookout's from
 * lookout_send() to lookout_answer().
 */
#pragma once

#include "base/base.h"
#include "base/err.h"
#include "io/kafka_client.h"

struct lookout;

/* What is known of one partition after a look. */
struct sight {
	void *owner;          /* the caller's */
	struct kafka_log log; /* low -1: no answer */
	char topic_id[37];    /* UUID as text, or empty when nobody can tell */
	int64_t committed;    /* what Kafka holds for the group: -1 nothing, -2 not known */
	/*
	 * But for START_EARLIEST: where all partitions of the topic start is asked, too. The answer
	 * is new, and the caller's if it takes it; NULL: none.
	 */
	enum start_kind start_kind;
	int64_t start_ms;
	int32_t nstarts;
	int64_t *starts;
};

struct topic_sight {
	char *name;
	char id[37]; /* as in struct sight */
};

struct look {
	size_t n;
	struct err err; /* of those without answer, the last reason */
	/*
	 * Per stream of the config, if look_ask_topics() was called: the topics of its setting that
	 * Kafka does not have, in words; NULL: it has them. Not answered: nothing of it is known.
	 */
	char **missing;
	size_t nmissing;
	bool topics_answered;
	/* And those that there are, patterns' included, with their ids. */
	struct topic_sight *topics;
	size_t ntopics;
	struct sight sights[];
};

/* Zeroed but for n. */
struct look *look_new(size_t n);
void look_ask_topics(struct look *look, const struct config *config);
void look_free(struct look *look); /* NULL is fine */

/*
 * Borrows config. ask: fills in what is known, in place of Kafka's brokers, in the lookout's
 * thread; NULL: they are asked.
 */
struct lookout *lookout_start(const struct config *config,
			      void (*ask)(void *self, struct look *look), void *self);
/* The look is the lookout's until it is answered. */
void lookout_send(struct lookout *l, struct look *look);
struct look *lookout_answer(struct lookout *l); /* NULL: none yet */
int lookout_fd(const struct lookout *l);        /* readable when there is one */
/* Looks that are under way are freed. NULL is fine. */
void lookout_stop(struct lookout *l);

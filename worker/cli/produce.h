/*
 * produce.h - events of one stream into its topic, from the generator or from a file; for
 * "memingest produce".
 */
#pragma once

#include "base/base.h"
#include "base/err.h"
#include "core/config.h"
#include "core/stream.h"
#include "gen/generate.h"
#include "io/envelope.h"
#include "io/producer.h"

struct produce {
	const struct config *config;
	const char *topic;
	struct stream *stream;
	struct producer *producer;
	struct envelope envelope;
	uint64_t total;     /* wanted; 0: unknown */
	double rate;        /* events a second; 0: as many as go */
	uint64_t sent, bad; /* bad: of a file, what is no event */
	bool complete;      /* all that was wanted was sent, no signal came before */
	uint64_t ops[4];    /* by generated_op */
	int64_t start_us;
	/* Called now and then; false ends the run early (a signal). */
	bool (*going)(struct produce *p);
};

/*
 * Opens the stream of that index and a producer, sees that the topic is there, finds the schemas'
 * ids where the format wants some; with registers, what the registry lacks is registered, and said
 * on standard error. topic: NULL for the stream's first one. False with class CONFIG or RETRY.
 */
MUST_CHECK bool produce_open(struct produce *p, const struct config *config, size_t stream,
			     const char *topic, bool registers, struct err *err);
void produce_close(struct produce *p); /* also after a failed produce_open() */

/* count events. Fills the options' format and ids. */
MUST_CHECK bool produce_generated(struct produce *p, struct generator_options *options,
				  uint64_t count, struct err *err);

/*
 * JSON lines or an Avro container, also packed; path "-": standard input. What is no event is named
 * on standard error and counted, and so is damage behind which nothing can be read. False: nothing
 * could be read at all (class CONFIG, POISON), or the broker (RETRY).
 */
MUST_CHECK bool produce_file(struct produce *p, const char *path, struct err *err);

#define PRODUCE_LOOK_EVERY 64 /* events between two calls of going() */

/* At the rate, if there is one. timestamp_ms: 0 for now. For the above. */
MUST_CHECK bool produce_send(struct produce *p, struct slice key, struct slice value,
			     int64_t timestamp_ms, struct err *err);

/* Waits until all are confirmed. */
MUST_CHECK bool produce_finish(struct produce *p, struct err *err);

/*
 * vectors.h - a stand-in for a server of vectors, in threads of the test.
 *
 * Its vector of a text is a hash of it, so a row with another text's vector shows: vectors_wrong()
 * compares in SQL. Of other models than "stub" it is that of "MODEL: " and the text. It misbehaves
 * as it is told, between any two requests.
 */
#pragma once

#include <stdatomic.h>

#include "bed.h"

#define VECTORS_DIM 8

struct vectors {
	unsigned port;
	_Atomic(const char *) only; /* it behaves so as this model alone; NULL: whoever it is */
	/* How it behaves; 0: well. */
	atomic_int delay_ms;
	atomic_int failing, status;             /* so many requests more answer with this status */
	atomic_int retry_after;                 /* seconds, with those */
	atomic_int resets;                      /* so many requests more get no answer */
	atomic_int most;                        /* more inputs than that are a 413, */
	atomic_bool too_busy;                   /* or a 503 */
	atomic_bool shuffled, unindexed, plain; /* plain: floats, whatever is asked for */
	atomic_bool no_base64;                  /* a 400 if it is asked for */
	atomic_bool closing;                    /* each connection after its first answer */
	atomic_int over;                        /* tokens of a request beside 3 for each text */
	/* An answer of two or more texts is short of one, has an index twice, a NaN, a vector of no
	 * numbers, or is an error with status 200: as often as it says. */
	atomic_int shorts, twice, nans, empties, errors;
	atomic_int salt; /* another model: connections of the old one are cut */
	atomic_int dim;
	char key[32];                 /* wanted; empty: none */
	_Atomic(const char *) poison; /* a text with it in it is a 400 */
	/* What it has seen; canaries do not count. */
	atomic_int requests, inputs, canaries, most_seen;
	atomic_int others; /* of the inputs, those for other models than "stub" */
	struct MHD_Daemon *daemon;
};

/* Listens; the stream "told" of the bed has its vectors made there. */
struct vectors *vectors_start(struct bed *bed);
void vectors_stop(struct vectors *v);

/* Stream "told", two partitions, of which note becomes spot. */
struct bed *vectors_bed(const char *name);
/* The same with a server and its table. */
struct bed *vectors_migrated(const char *name, struct vectors **v);
/* Queues one event: text NULL for none. */
void vectors_tell(struct bed *bed, int number, int version, const char *text);
/* Sends events of these numbers, whose texts differ by number and version. */
void vectors_tell_notes(struct bed *bed, int from, int to, int version);
/* Queues the event "mine", which brings its vector: 1 to 8. */
void vectors_tell_mine(struct bed *bed);
/* The end of a test; w NULL: no worker runs. */
void vectors_over(struct bed *bed, struct vectors *v, struct worker *w);

/* Rows whose vector is not that of their text; a text that is null or empty has none. */
int64_t vectors_wrong(struct bed *bed);

/*
 * texts.h - the texts that vectors are wanted for, each once, and which of them go into one
 * request.
 *
 *   texts_add() --> NEW --texts_queue()--> QUEUED --texts_take()--> ASKED --> texts_drop()
 *                                            ^                        |
 *                                            '---- texts_back(), texts_halve() ----'
 *
 * Pure: no clock, no threads. One thread's.
 */
#pragma once

#include <uthash.h>

#include "base/buf.h"
#include "base/digest.h"
#include "core/config.h"

/* Something that waits for the vector of a text. Its owner's memory. */
struct want {
	struct want *next; /* of the same text */
	struct text *text; /* NULL: it waits for nothing */
	struct slice bytes;
	void *owner;
	uint32_t number; /* which of its owner's it is */
};

enum text_place { TEXT_NEW, TEXT_QUEUED, TEXT_ASKED };

struct text {
	uint8_t digest[DIGEST_SIZE];
	UT_hash_handle hh;
	enum text_place place;
	const char *prefix;
	struct want *wants;       /* NULL: nobody waits any more */
	struct text *prev, *next; /* in the queue */
	uint32_t cap;             /* texts of a request that it may be part of */
	unsigned strikes;         /* against it, in requests of its own */
	uint64_t struck;          /* the model's successes then */
	int64_t due_us;           /* not to be asked before */
	int64_t spent_twice;      /* its tokens, about, in requests without a usable answer */
};

/* A text is given up after so many strikes. */
enum { STRIKES_MOST = 6, STRIKE_REFUSED = 3, STRIKE_ODD = 1 };

struct texts {
	const struct embed_config *config;
	struct text *all; /* hash */
	struct text *first, *last;
	size_t nqueued;
	uint32_t inputs;         /* texts of a request, as things are */
	unsigned full, patience; /* full requests that went well; how many before "inputs" grows */
};

void texts_open(struct texts *t, const struct embed_config *config);
void texts_close(struct texts *t); /* frees the texts; wants are their owners' */

/* The text that w->bytes is, made if it is new; w waits for it. */
struct text *texts_add(struct texts *t, const uint8_t digest[DIGEST_SIZE], const char *prefix,
		       struct want *w);
/* Waits no more. The text stays until it is come across. */
void texts_leave(struct want *w);

/* To the end of the queue. */
void texts_queue(struct texts *t, struct text *text);

/*
 * The next request: moves up to "inputs" texts to out. None: the queue is empty, or *proof: what is
 * next was refused alone, and the model has to show first (by a success) that it is not at fault;
 * or *next_us is lowered to when the next one is due.
 */
size_t texts_take(struct texts *t, struct text **out, uint64_t successes, int64_t now_us,
		  bool *proof, int64_t *next_us);

/* Asked in vain, by nobody's fault: in front of the queue again, as they stood. */
void texts_back(struct texts *t, struct text **texts, size_t n);
/*
 * Refused: in front of the queue, each in a request of half the size at most; one alone gets
 * strikes. True: these were its last ones, and it is not in the queue.
 */
bool texts_halve(struct texts *t, struct text **texts, size_t n, unsigned strikes,
		 uint64_t successes);
/* There were too many at once, or they took too long; or n went well. */
void texts_too_many(struct texts *t, size_t n);
void texts_went_well(struct texts *t, size_t n);

/* Out of everything, and freed. Nobody waits for it. */
void texts_drop(struct texts *t, struct text *text);

/*
 * model.h - one model: what is asked of it, how much at a time, and whether it is to be trusted.
 *
 * The embedder's thread alone. Texts come in by model_want(), and each want is told once what came
 * of it by the callback.
 */
#pragma once

#include "embed/archive.h"
#include "embed/cache.h"
#include "embed/texts.h"
#include "io/embed_call.h"

enum model_state {
	MODEL_NEW,     /* has to show that it is what it was, */
	MODEL_PROVING, /* which it is asked for */
	MODEL_READY,   /* texts go to it */
	MODEL_WAITS,   /* out of reach or busy: not before due_us */
	MODEL_HALTED,  /* the same, and an operator must act first */
	MODEL_STATES,
};

/* What a want cost. */
struct want_cost {
	bool cached;         /* nothing: it was known, or another event asked for the same text */
	int64_t tokens;      /* of its text, about */
	uint64_t request;    /* number of the request */
	int64_t spent_twice; /* tokens, about, of requests before that came to nothing */
};

/*
 * The want is over: its vector, not normalized, or NULL and why the text is refused. False: it can
 * not be taken so; it stays, and is asked for again later.
 */
typedef bool (*want_settled)(void *ctx, struct want *w, const uint8_t *vector, const char *why,
			     const struct want_cost *cost);

struct request;

struct model {
	const struct embed_config *config;
	uint32_t dim;
	struct archive *archive;
	struct http_client *http;
	want_settled settled;
	void *ctx;

	enum model_state state;
	char why[ERR_TEXT_SIZE]; /* of the last failure; empty when it is ready */
	int64_t due_us;
	unsigned failures; /* in a row */
	uint32_t jitter;
	int64_t proved_us;     /* when it was asked what last showed that it is what it was */
	int64_t connected_us;  /* when a text's request last came by a new connection */
	int64_t distrusted_us; /* when it was last seen to be another one */
	int64_t prune_us;      /* when the cache is next to be pruned */
	int64_t id;            /* in the database; 0: not asked yet */
	struct buf canary;     /* what its fixed text was made into at first */
	bool base64;           /* it is asked for base64 */
	uint64_t successes, numbers;
	double window; /* requests at a time, as things are */

	struct texts texts;
	struct buf fresh; /* struct text *: new ones, not looked up yet */
	struct cache *cache;
	struct request *requests; /* under way */
	size_t nrequests;
};

/* Borrows all. */
void model_open(struct model *m, const struct embed_config *config, uint32_t dim,
		struct archive *archive, struct http_client *http, want_settled settled, void *ctx);
/* Requests under way are given up. Nobody waits for anything any more. */
void model_close(struct model *m);

/* w->bytes wants a vector; may be settled before the call returns. */
void model_want(struct model *m, const char *prefix, struct want *w);
/* Looks up what is new, judges answers, asks for more. Returns when to be called at the latest. */
int64_t model_turn(struct model *m, int64_t now_us);

const char *model_state_name(enum model_state state);

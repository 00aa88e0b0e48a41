/*
 * fill.h - vectors for the rows of a table that have a text and no vector in a column: one window
 * of rows after the other, in the order of their keys.
 *
 *   fill_open() -> fill_take_turn() -> fill_count() -> fill_window() .. -> fill_close()
 *
 * One thread's, which has no other wait.
 */
#pragma once

#include "base/base.h"
#include "base/err.h"
#include "core/config.h"
#include "core/stream.h"

struct fill;

enum fill_result {
	FILL_MORE,    /* the window is done, and there may be another one */
	FILL_END,     /* there is none behind the last one */
	FILL_SPENT,   /* the budget has no room for another text */
	FILL_STOPPED, /* by a signal */
	FILL_FAILED,  /* err */
	FILL_RESULTS,
};

/* What came of it so far. */
struct fill_counts {
	int64_t rows;    /* looked at: the sum of the next four, in the end */
	int64_t filled;  /* have their vector */
	int64_t refused; /* the model refuses their text */
	int64_t held;    /* were locked by somebody the whole time */
	int64_t changed; /* were written by somebody else meanwhile, or are gone */
	int64_t texts;   /* that the model was asked for and made a vector of */
	int64_t cached;  /* rows that cost nothing */
	int64_t tokens;  /* as the server counts them, else about */
};

struct fill_means {
	const struct config *config;
	const struct stream *stream;
	size_t embed;       /* which of the table's embeds: that column, by that model */
	int64_t max_tokens; /* the budget; 0: none */
	int64_t spent;      /* of it, before */
	int stop_fd;        /* a signalfd: one signal ends it soon, a second one at once */
	void (*refused)(void *ctx, const char *key, const char *why); /* a row's text is: A/B */
	void (*watch)(void *ctx); /* once a second at least, while it waits for the model */
	void *ctx;
};

/* NULL: err. Borrows what the means point to. */
struct fill *fill_open(const struct fill_means *means, struct err *err);
void fill_close(struct fill *f); /* NULL is fine */

/* There is one at a time for a table, or for a SQLite file. *mine: it is this one, until
 * fill_close(). */
MUST_CHECK bool fill_take_turn(struct fill *f, bool *mine, struct err *err);
/* Rows that want a vector, and the bytes of their texts. */
MUST_CHECK bool fill_count(struct fill *f, int64_t *rows, int64_t *bytes, struct err *err);
enum fill_result fill_window(struct fill *f, struct err *err);
struct fill_counts fill_counts(const struct fill *f);
/* Whether a signal came; also why a call failed that waited for the database. */
bool fill_stopped(struct fill *f);
/* Whether a call failed because somebody holds the table, or the file, for long. */
bool fill_busy(const struct fill *f, const struct err *err);

/* Roughly, of a text with its prefix. */
int64_t fill_tokens_about(int64_t bytes);

/*
 * events.h - the events that the benchmark's C programs work on: generated as "memingest produce"
 * does, held as Avro bytes.
 */
#pragma once

#include "base/base.h"
#include "base/buf.h"
#include "codec/decode.h"
#include "core/arrange.h"
#include "core/stream.h"

struct events_request {
	size_t count, keys; /* keys 0: a new one for each event */
	uint64_t seed;
	bool shuffled; /* in random order, so that the keys of a batch lie all over the index */
};

/* Data of the stream's own schema, without envelope. */
struct events {
	struct stream *stream;
	struct buf bytes;
	struct place {
		size_t at, len;
	} * places;
	size_t n;
	const struct plan *plan;
	struct decoder *decoder;
};

/*
 * Loads a config and one of its streams. All of these end the program with a message on any
 * failure.
 */
struct stream *events_open(const char *config_path, const char *stream_name);
const char *events_dsn(void);  /* of the config */
const char *events_file(void); /* of the config: the SQLite file */
void events_close(void);

struct events *events_make(struct stream *stream, const struct events_request *request);
void events_free(struct events *e);

/* Puts event 0, n, 2 n ... first, then 1, n + 1 ..., and so on. */
void events_deal(struct events *e, size_t n);

static inline struct slice events_datum(const struct events *e, size_t i)
{
	return (struct slice){e->bytes.data + e->places[i].at, e->places[i].len};
}

/* Empties the batch and fills it with n events, as the worker would with those of one partition. */
void events_decode(const struct events *e, size_t from, size_t n, struct batch *b);

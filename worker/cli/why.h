/*
 * why.h - the story of one row: what "why" finds out, and how it is told.
 *
 *   cmd_why.c     options, and the order in which it is looked for
 *   why_find.c    the row, its batch, its events, its dead letters
 *   why_show.c    all of it, for people and for programs
 */
#pragma once

#include "cli/positions.h"
#include "cli/verify.h"

/* How the part of the log that was read was chosen. */
enum why_found {
	WHY_BY_BATCH, /* the transaction that wrote the row also wrote a line of the batches' book
		       */
	WHY_BY_BATCH_TIME, /* batches that were committed when the row was written */
	WHY_BY_TIME,       /* the log, from shortly before the row was written */
	WHY_BY_ALL,        /* all of the log */
	WHY_FOUND_COUNT
};

enum fate {
	FATE_MADE,       /* made the row what it is */
	FATE_DELETED,    /* took the row away */
	FATE_SUPERSEDED, /* by a later or newer event of its key */
	FATE_DEAD,
	FATE_WAITING, /* not consumed yet */
};

struct why_event {
	char topic[250];
	int32_t partition;
	int64_t offset, timestamp_ms;
	enum record_op op;
	bool has_version;
	int64_t version;
	enum fate fate;
	const char *reason; /* of FATE_DEAD */
	uint8_t *key;       /* of the message, as Kafka has it; NULL: none */
	size_t key_len;
};

struct why {
	struct cli *cli;
	struct verify v;   /* of it: config, stream, session, columns */
	char **keys;       /* as they were given, in the order of the key's columns */
	int32_t partition; /* -1: all */
	struct positions positions;

	struct answer *row; /* see why_read_row() */
	bool there;
	uint8_t *key; /* as it stands in a row of COPY BINARY */
	size_t key_len;

	enum why_found found;
	struct answer *batches;   /* or NULL */
	size_t batch;             /* the one that the row is of; their number: not known */
	struct why_event *events; /* by topic, partition and offset */
	size_t nevents;
	struct answer *letters; /* or NULL: may not be read */
};

/*
 * Takes the key from arguments: its columns in their order, or each as NAME=VALUE. False: they are
 * too few or too many.
 */
MUST_CHECK bool why_take_keys(struct why *w, char **args, size_t n);

/*
 * Columns of why_read_row(): the key's bytes, the transaction (xmin; in a file its time), when that
 * began, then the stream's columns.
 */
enum { WHY_BYTES, WHY_WRITER, WHY_BEGAN, WHY_COLUMNS };

/* The row, or that there is none. False with class POISON: a key is none of its column's type. */
MUST_CHECK bool why_read_row(struct why *w, struct err *err);
/* Looks in one part of the log after the other until there are events; then decides their fates. */
MUST_CHECK bool why_find_events(struct why *w, struct err *err);
void why_free(struct why *w);

/* Returns the exit code: 65 if there is neither row nor event. */
int why_show(const struct why *w);

/*
 * sink_parts.h - the sink's own data, shared by the three files that make it up: sink.c (the transaction), poison.c (which rows
 * PostgreSQL refuses) and claim.c (taking a partition over). Nobody else includes it.
 */
#ifndef MEMINGEST_SINK_PARTS_H
#define MEMINGEST_SINK_PARTS_H

#include "core/fold.h"
#include "core/guard.h"
#include "core/stream.h"
#include "flow/sink.h"

struct sink {
	const struct config *config;
	struct stream *const *streams;
	size_t nstreams;
	struct pg *pg;
	bool *staged; /* per stream: this connection has its staging table */
	struct fold_rules *rules;
	struct guard *guards; /* per stream: what PostgreSQL refused */
	struct direct {
		unsigned wait;    /* batches to go through the staging table before the next try */
		unsigned backoff; /* what wait began with */
	} * directs;              /* per stream */
	bool direct;              /* this batch goes straight into the table */
	struct buf chunk, sql;
	char owner[128];
};

/* sink.c: makes the stream's staging table if this connection has none yet. */
MUST_CHECK bool sink_stage(struct sink *s, const struct batch *b, struct err *err);
/* sink.c: empties the staging table, copies the rows there and merges them. */
MUST_CHECK bool sink_apply(struct sink *s, struct batch *b, const struct batch_row *rows, size_t n, struct err *err);
/* sink.c: ends the transaction if the connection lives. */
void sink_roll_back(struct sink *s);

/* poison.c: is this failure the fault of a row? */
bool poison_suspected(const struct sink *s, const struct batch *b, const struct err *err);
/* poison.c: finds the rows that PostgreSQL refuses and makes them dead letters. The transaction has been rolled back. */
enum sink_result poison_hunt(struct sink *s, struct batch *b, struct err *err);

#endif

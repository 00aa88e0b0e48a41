/*
 * model.h - what the tables must hold, worked out from what the topics hold, and the comparison
 * with what they do hold.
 */
#pragma once

#include "bed.h"
#include "broker.h"

/*
 * Reads every message of the bed's topics back from Kafka, folds them in offset order into tables
 * in memory by the streams' rules, and fails the test unless
 *   - each table holds these rows and no other, column by column (not created_at, updated_at),
 *   - memingest.dead_letters holds those that the model calls poison and no other, each once,
 *     with the right reason,
 *   - memingest.batches tiles each partition from its first offset to offsets.next_offset without
 *     hole or overlap, gaps included,
 *   - the batches' rows are their merged + superseded + dead + skipped, and add up to the messages
 *     that there are; skipped are those of other records, where the stream skips them,
 *   - offsets.next_offset is the end of the log, and what the group has committed to Kafka is not
 *     past it.
 *
 * Every difference of the first table that differs is printed, up to ten. Workers may run
 * but must have drained.
 */
void model_check(struct bed *bed);

/*
 * How many differences there are, instead of failing the test: for the tests of the model itself.
 */
int model_differences(struct bed *bed);

/* The same without the tables: only the books. For tests that change tables by hand. */
void model_check_books(struct bed *bed);

/* How many rows the model expects in the table of a stream, after model_check(). */
size_t model_rows(const char *stream);

/*
 * Messages that PostgreSQL alone can refuse (constraints and the like): the model can not know
 * them. Declared before model_check(): this offset is a dead letter with this reason.
 */
void model_expect_dead(const char *topic, int32_t partition, int64_t offset, const char *reason);

/*
 * A message below this offset was deleted from the log or skipped by an operator: the model does
 * not ask for it.
 */
void model_start_at(const char *topic, int32_t partition, int64_t offset);

/*
 * The same in steps, for runs that are too long to be read twice, whose logs lose their records, or
 * whose topics are created anew: the model takes in what is new, and is compared when everything is
 * drained. model_compare() returns how many differences there are, each of which model_on_report()
 * hears of.
 */
struct model;
struct model *model_open(struct bed *bed);
void model_free(struct model *m);
void model_advance(struct model *m);
int model_compare(struct model *m);
/* Where it says what differs; NULL: stdout, up to ten lines. */
void model_on_report(void (*report)(void *ctx, const char *text), void *ctx);
/* Each message that is read. */
void model_on_message(struct model *m, void (*hear)(void *ctx, const struct broker_message *msg),
		      void *ctx);
/* Offsets that were given up by an operator's word: what they held is not asked for. */
void model_gap(struct model *m, const char *topic, int32_t partition, int64_t from, int64_t to);
/*
 * The topic was created anew and adopted: it is read from 0 on, its books begin anew, the rows of
 * its table stay.
 */
void model_restart(struct model *m, const char *topic);

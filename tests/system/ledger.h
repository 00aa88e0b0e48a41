/*
 * ledger.h - what the tests of faults share: a stream whose table cannot hide an event that counted
 * twice or never, events at a pace while a test does harm, and measures of progress.
 *
 * The table "ledger" (tests/schemas/ledger_event.avsc) has a sum beside one column of each other
 * merge rule: repeating an upsert of newest values would leave no trace, repeating an addition
 * does.
 */
#pragma once

#include "bed.h"
#include "gen/generate.h"

/*
 * A migrated bed with the stream "ledger": batches of 100 rows or 20 ms, so that there are many
 * transactions to hit.
 */
struct bed *ledger_bed(const char *name, int partitions);

/* One event by hand; queued. */
void ledger_send(struct bed *bed, int partition, const char *account, int64_t time_us,
		 int64_t amount);

/* Durable events by the offsets rows. */
int64_t ledger_durable(struct bed *bed);

/* COMMIT or not: sessions of workers that hold a transaction open now. */
int64_t ledger_open_transactions(struct bed *bed);

/*
 * Updates, deletes, tombstones, late events and some poison at a rate, in each turn as many as are
 * owed.
 */
struct pace;
struct pace *pace_open(struct bed *bed, const char *stream, unsigned per_second);
/* The same with a generator of one's own. */
struct pace *pace_open_as(struct bed *bed, const char *stream, unsigned per_second,
			  struct generator_options options);
void pace_turn(struct pace *pace);
/* What is owed by now is let off: after a time in which no events were to come in. */
void pace_forgive(struct pace *pace);
size_t pace_sent(const struct pace *pace);
void pace_for(struct pace *pace, double seconds);
void pace_close(struct pace *pace); /* flushes */

/* BED_WAIT() with events coming in meanwhile. */
#define PACE_WAIT(pace, bed, seconds, condition)                                                   \
	do {                                                                                       \
		int64_t pace_deadline_ = clock_mono_us() + (seconds)*US_PER_S;                     \
		while (!(condition)) {                                                             \
			ck_assert_msg(bed_tick(bed, pace_deadline_), "not within %d s: %s",        \
				      (int)(seconds), #condition);                                 \
			pace_turn(pace);                                                           \
		}                                                                                  \
	} while (0)

/* Waits, with events coming in, until that many more are durable. */
void pace_progress(struct pace *pace, int64_t events);

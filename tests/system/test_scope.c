/*
 * test_scope.c - trouble keeps its scope: what is wrong with one table, with the database, with one
 * partition's offset stops nothing else, and the worker keeps its place in the group.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "bed.h"
#include "broker.h"
#include "ledger.h"
#include "load.h"
#include "model.h"
#include "system.h"

#define POLL_LIMIT_S 6 /* max.poll.interval.ms: who does not poll is out of the group after it */
#define TROUBLE_S 9

static int64_t consumed(struct bed *bed, const char *stream)
{
	return bed_int(bed,
		       "SELECT coalesce(sum(next_offset), 0) FROM memingest.offsets"
		       " WHERE pipeline = '%s' AND topic = '%s.%s'",
		       bed->name, bed->name, stream);
}

/*
 * Two streams of one lane; the backlog of "memory" is many times what batches may hold, and its
 * partitions more than there are batches.
 */
static struct bed *small_bed(const char *name)
{
	struct bed *bed = bed_new(name);
	bed_stream(bed, "memory", 6);
	bed_stream(bed, "pattern", 2);
	bed_set(bed, "postgres.lanes", "1");
	bed_set(bed, "limits.max_row", "64KiB");
	bed_set(bed, "batch.max_bytes", "512KiB");
	bed_set(bed, "batch.memory", "1MiB");
	bed_set(bed, "batch.max_age", "20ms");
	bed_set(bed, "kafka.session.timeout.ms", "6000");
	bed_set(bed, "kafka.max.poll.interval.ms", "%d", POLL_LIMIT_S * 1000);
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	return bed;
}

enum trouble { LOCKED, RENAMED, STOPPED };

static void begin_trouble(struct bed *bed, enum trouble trouble)
{
	switch (trouble) {
	case STOPPED:
		stack_do("pg", "stop", "fast");
		break;
	case LOCKED:
		bed_sql(bed, "BEGIN; LOCK TABLE memory_entries");
		break;
	case RENAMED:
		bed_sql(bed, "ALTER TABLE memory_entries RENAME TO elsewhere");
		break;
	}
}

static void end_trouble(struct bed *bed, enum trouble trouble)
{
	switch (trouble) {
	case STOPPED:
		stack_do("pg", "start", NULL);
		break;
	case LOCKED:
		bed_sql(bed, "COMMIT");
		break;
	case RENAMED:
		bed_sql(bed, "ALTER TABLE elsewhere RENAME TO memory_entries");
		break;
	}
}

/* SIGTERM or a revocation, with batches that are held: nobody waits for these. */
static void leave_quickly(struct worker *w)
{
	int64_t start = clock_mono_us();
	worker_signal(w, SIGTERM);
	ck_assert_int_eq(worker_wait(w, 30), 0);
	ck_assert_msg(clock_mono_us() - start < 4 * US_PER_S, "SIGTERM took %g s",
		      (double)(clock_mono_us() - start) / (double)US_PER_S);
}

/*
 * Proves: when everything that batches may hold is full, and the database is stopped, a table is
 * locked or a table is gone, the worker goes on polling (it keeps its place in the group for longer
 * than max.poll.interval.ms), the other stream of the same lane goes on, a partition that comes to
 * a second worker is let go at once, and SIGTERM does not wait for what is held. Nothing is lost or
 * doubled.
 */
START_TEST(full_and_held)
{
	struct generator_options mixed = {.update_share = 0.3, .delete_share = 0.05};
	struct bed *bed = small_bed("full");
	enum trouble trouble = (enum trouble)_i;
	struct worker *w = worker_start(bed, NULL);
	worker_ready(w);
	double before = worker_metric(w, "memingest_rebalances_total", NULL);
	begin_trouble(bed, trouble);
	load_fill(bed, "memory", 6000, mixed);
	int64_t end = clock_mono_us() + TROUBLE_S * US_PER_S;
	for (int sent = 0; clock_mono_us() < end; sent += 500) {
		load_fill(bed, "pattern", 500, mixed);
		if (trouble != STOPPED)
			BED_WAIT(bed, 8, consumed(bed, "pattern") >= sent + 500);
		ck_assert_uint_eq(worker_http(w, "/livez", NULL), 200);
		bed_tick(bed, end);
	}
	ck_assert_double_eq(worker_metric(w, "memingest_rebalances_total", NULL), before);
	struct worker *second = worker_start(bed, NULL);
	worker_wait_log(second, "running", 10);
	BED_WAIT(bed, 20, worker_metric(second, "memingest_assigned_partitions", NULL) == 4);
	BED_WAIT(bed, 4, worker_metric(w, "memingest_assigned_partitions", NULL) == 4);
	leave_quickly(w);
	end_trouble(bed, trouble);
	bed_drain(bed, 60);
	worker_stop(second);
	model_check(bed);
	bed_free(bed);
}
END_TEST

/*
 * Proves: a SQLSTATE that once was taken for a fault of the program ends nothing: it is the table's
 * trouble or the event's. The other stream goes on, and once the trigger is gone, so does this one.
 */
START_TEST(odd_states)
{
	static const char *const states[] = {"21000", "22P04", "25P02", "XX001"};
	struct bed *bed = ledger_bed("odd", 1);
	bed_stream(bed, "pattern", 1);
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	bed_sql(bed,
		"CREATE FUNCTION raise() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
		"RAISE EXCEPTION 'odd' USING ERRCODE = '%s'; END $$;"
		"CREATE TRIGGER odd BEFORE INSERT ON ledger FOR EACH ROW EXECUTE FUNCTION raise()",
		states[_i]);
	struct worker *w = worker_start(bed, NULL);
	for (int i = 0; i < 50; i++)
		ledger_send(bed, 0, "a", i, 1);
	bed_flush(bed);
	worker_wait_log(w, "odd", 20);
	load_fill(bed, "pattern", 100, (struct generator_options){0});
	BED_WAIT(bed, 10, consumed(bed, "pattern") == 100);
	ck_assert_int_eq(consumed(bed, "ledger"), 0);
	bed_sql(bed, "DROP TRIGGER odd ON ledger");
	bed_drain(bed, 30);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memingest.dead_letters"), 0);
	worker_stop(w);
	model_check(bed);
	bed_free(bed);
}
END_TEST

/*
 * Proves: old rows of memingest.batches go as fast as they come, also while the lane is busy:
 * 100,000 of them within seconds, and none that is young.
 */
START_TEST(pruned_while_busy)
{
	struct bed *bed = ledger_bed("prune", 2);
	bed_set(bed, "postgres.lanes", "1");
	bed_sql(bed,
		"INSERT INTO memingest.batches (pipeline, topic, partition, from_offset, "
		"to_offset, rows, merged, superseded, dead, owner_epoch, committed_at)"
		" SELECT '%s', 'old', 0, i, i + 1, 1, 1, 0, 0, 1, now() - interval '1 year'"
		" FROM generate_series(1, 100000) i",
		bed->name);
	struct pace *pace = pace_open(bed, "ledger", 1000);
	struct worker *w = worker_start(bed, NULL);
	PACE_WAIT(pace, bed, 60,
		  bed_int(bed, "SELECT count(*) FROM memingest.batches WHERE topic = 'old'") == 0);
	pace_close(pace);
	bed_drain(bed, 30);
	worker_stop(w);
	model_check(bed);
	bed_free(bed);
}
END_TEST

/* --- what Kafka is told --- */

static int64_t committed(struct bed *bed)
{
	int64_t offset;
	broker_committed(bed->name, bed->streams[0].topic, &offset, 1);
	return offset;
}

static void send_some(struct bed *bed, int n)
{
	static int64_t time_us = INT64_C(1750000000000000);
	for (int i = 0; i < n; i++)
		ledger_send(bed, 0, "a", ++time_us, 1);
	bed_flush(bed);
}

/*
 * Proves: what somebody has set for the group in Kafka is put right at the next claim, without an
 * event, and a line says so: whoever measures the lag by it sees no more than there is. It moves
 * nothing.
 */
START_TEST(committed_is_put_right)
{
	static const int64_t wrong[] = {0, 30, 500};
	struct bed *bed = ledger_bed("committed", 1);
	struct worker *w = worker_start(bed, NULL);
	send_some(bed, 100);
	bed_drain(bed, 30);
	worker_stop(w);
	ck_assert_int_eq(committed(bed), 100);
	broker_set_committed(bed->name, bed->streams[0].topic, 0, wrong[_i]);
	w = worker_start(bed, NULL);
	BED_WAIT(bed, 20, committed(bed) == 100);
	worker_wait_log(w, "Kafka's offset is not the durable one", 5);
	ck_assert_int_eq(bed_int(bed, "SELECT total FROM ledger"), 100);
	worker_stop(w);
	model_check(bed);
	bed_free(bed);
}
END_TEST

/*
 * Proves: the row is moved back while its partition is halted, and before the worker has looked at
 * it again it loses the partition: Kafka is never told more than PostgreSQL has.
 */
START_TEST(rewound_and_revoked)
{
	struct bed *bed = ledger_bed("rewound", 1);
	struct worker *w = worker_start(bed, NULL);
	send_some(bed, 100);
	bed_drain(bed, 30);
	worker_stop(w);
	broker_delete_group(bed->name);
	bed_sql(bed, "UPDATE memingest.offsets SET next_offset = 200");
	w = worker_start(bed, NULL);
	worker_wait_log(w, "running", 10);
	BED_WAIT(bed, 20, worker_metric(w, "memingest_halted_partitions", NULL) == 1);
	bed_sql(bed, "UPDATE memingest.offsets SET next_offset = 40");
	worker_stop(w);
	ck_assert_int_le(committed(bed), 40);
	bed_free(bed);
}
END_TEST

static void scope_tests(TCase *tc)
{
	tcase_add_loop_test(tc, odd_states, 0, 4);
	tcase_add_test(tc, pruned_while_busy);
	tcase_add_loop_test(tc, committed_is_put_right, 0, 3);
	tcase_add_test(tc, rewound_and_revoked);
	tcase_add_loop_test(tc, full_and_held, LOCKED, STOPPED + 1);
}
SYSTEM_SUITE("scope", 120, scope_tests)

/*
 * test_streams.c - the three shipped streams, end to end: what is in the topics ends up in the
 * tables, once.
 */
#include "bed.h"
#include "load.h"
#include "model.h"
#include "system.h"

#define EVENTS 4000
#define BULK 20000

static const struct generator_options mixed = {
	.seed = 7,
	.keys = 700,
	.update_share = 0.5,
	.delete_share = 0.05,
	.tombstone_share = 0.02,
	.late_share = 0.1,
	.poison_share = 0.005,
};

static struct bed *all_streams(const char *name)
{
	struct bed *bed = bed_new(name);
	bed_stream(bed, "memory", 3);
	bed_stream(bed, "pattern", 2);
	bed_stream(bed, "trajectory", 3);
	bed_set(bed, "batch.max_rows", "%d", 500);
	bed_set(bed, "batch.max_age", "100ms");
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	return bed;
}

static void fill(struct bed *bed)
{
	load_fill(bed, "memory", EVENTS, mixed);
	load_fill(bed, "pattern", EVENTS, mixed);
	load_fill(bed, "trajectory", EVENTS, mixed);
}

/*
 * One worker: new keys, updates, late events, deletes, tombstones and poison of all three streams,
 * under each conflict rule.
 */
START_TEST(one_worker)
{
	struct bed *bed = all_streams("one");
	for (size_t i = 0; i < bed->nstreams; i++)
		bed->streams[i].on_conflict = (enum on_conflict)_i;
	fill(bed);
	struct worker *w = worker_start(bed, NULL);
	worker_ready(w);
	bed_drain(bed, 60);
	model_check(bed);
	ck_assert_uint_gt(model_rows("memory"), 300);
	ck_assert_uint_gt(model_rows("pattern"), 300);
	ck_assert_uint_gt(model_rows("trajectory"), 300);
	ck_assert_int_gt(bed_int(bed, "SELECT count(DISTINCT reason) FROM memingest.dead_letters"),
			 2);
	worker_stop(w);
	model_check_books(bed);
	bed_free(bed);
}
END_TEST

/*
 * The operator may partition a table: "migrate" extends it, and new keys, updates, deletes and
 * poison go through it as through any other.
 */
START_TEST(partitioned_table)
{
	struct bed *bed = bed_new("parts");
	bed_stream(bed, "memory", 3);
	bed_set(bed, "batch.max_rows", "%d", 500);
	bed_sql(bed,
		"SET ROLE memingest_owner; CREATE TABLE memory_entries (namespace text, key text, "
		"event_time "
		"timestamptz NOT NULL, "
		"PRIMARY KEY (namespace, key)) PARTITION BY HASH (key)");
	for (int i = 0; i < 4; i++)
		bed_sql(bed,
			"CREATE TABLE part_%d PARTITION OF memory_entries FOR VALUES WITH (MODULUS "
			"4, REMAINDER %d)",
			i, i);
	bed_sql(bed, "RESET ROLE");
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	ck_assert_int_eq(bed_command(bed, "check", (const char *const[]){"--online", NULL}, NULL),
			 0);
	load_fill(bed, "memory", EVENTS, mixed);
	struct worker *w = worker_start(bed, NULL);
	bed_drain(bed, 60);
	model_check(bed);
	for (int i = 0; i < 4; i++)
		ck_assert_int_gt(bed_int(bed, "SELECT count(*) FROM part_%d", i), 0);
	worker_stop(w);
	bed_free(bed);
}
END_TEST

/* Two workers of one group share the partitions and write the same tables as one. */
START_TEST(two_workers)
{
	struct bed *bed = all_streams("two");
	struct worker *a = worker_start(bed, NULL);
	struct worker *b = worker_start(bed, NULL);
	worker_ready(a);
	worker_ready(b);
	fill(bed);
	bed_drain(bed, 60);
	model_check(bed);
	ck_assert_double_gt(worker_metric(a, "memingest_records_consumed_total", NULL), 0);
	ck_assert_double_gt(worker_metric(b, "memingest_records_consumed_total", NULL), 0);
	worker_stop(a);
	worker_stop(b);
	model_check_books(bed);
	bed_free(bed);
}
END_TEST

/* 20,000 events of each stream with full batches, one in a thousand poison, two lanes. */
START_TEST(bulk)
{
	struct generator_options options = mixed;
	struct bed *bed = all_streams("bulk");
	options.keys = 6000;
	options.poison_share = 0.001;
	bed_set(bed, "batch.max_rows", "%d", 5000);
	load_fill(bed, "memory", BULK, options);
	load_fill(bed, "pattern", BULK, options);
	load_fill(bed, "trajectory", BULK, options);
	struct worker *w = worker_start(bed, NULL);
	bed_drain(bed, 60);
	worker_stop(w);
	model_check(bed);
	ck_assert_int_eq(bed_int(bed, "SELECT sum(rows)::bigint FROM memingest.batches"), 3 * BULK);
	ck_assert_int_gt(bed_int(bed, "SELECT count(*) FROM memingest.dead_letters"), 20);
	bed_free(bed);
}
END_TEST

static void streams_tests(TCase *tc)
{
	tcase_add_loop_test(tc, one_worker, CONFLICT_NEWER, CONFLICT_SKIP + 1);
	tcase_add_test(tc, two_workers);
	tcase_add_test(tc, partitioned_table);
}
SYSTEM_SUITE("streams", 120, streams_tests)

static void bulk_tests(TCase *tc)
{
	tcase_add_test(tc, bulk);
}
SYSTEM_SUITE("bulk", 120, bulk_tests)

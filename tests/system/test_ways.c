/*
 * test_ways.c - the three ways of a batch into its table: a row at a time, COPY into the table
 * itself, by the staging table. Each must count what it did as the others do, and write what the
 * others write.
 *
 * A step is one batch. It holds, per unit, eight events for partition 0 (the acts of the step) and
 * one new key for partition 1; it is sent when the step before is durable, and sealed by
 * batch.max_rows, which is just its number of events. So the number of units decides the way:
 *
 *   units    rows that are new keys            other rows
 *   1        8, a row at a time                a row at a time
 *   7        56, COPY into the table           up to 63, a row at a time
 *   40       COPY into the table               by the staging table
 */
#include <stdio.h>
#include <string.h>

#include "bed.h"
#include "ledger.h"
#include "model.h"
#include "system.h"

#define ACTS 8
#define STEPS 7

/*
 * One event of a unit. value NULL: a delete; GARBAGE: no Avro at all; REFUSED: by a constraint of
 * the table.
 */
struct act {
	char key;
	int version;
	const char *value;
};

#define GARBAGE "garbage"
#define REFUSED "refused"

static const struct step {
	struct act acts[ACTS];
	int merged, superseded, dead; /* of these eight */
} steps[STEPS] = {
	/* new keys, one of them twice */
	{{{'0', 9, "z"},
	  {'0', 10, "a"},
	  {'1', 10, "a"},
	  {'2', 10, "a"},
	  {'3', 10, "a"},
	  {'4', 10, "a"},
	  {'5', 10, "a"},
	  {'6', 10, "a"}},
	 7,
	 1,
	 0},
	/*
	 * written; the same again; older; deletes of what is there, of nothing, of something newer;
	 * a key twice
	 */
	{{{'0', 20, "b"},
	  {'1', 10, "a"},
	  {'2', 5, "old"},
	  {'3', 20, NULL},
	  {'8', 20, NULL},
	  {'4', 5, NULL},
	  {'5', 20, "b"},
	  {'5', 30, "c"}},
	 3,
	 5,
	 0},
	/* no deletes: three that write nothing, two new keys, of which one was deleted before */
	{{{'0', 30, "x"},
	  {'1', 40, "x"},
	  {'2', 10, "a"},
	  {'4', 1, "old"},
	  {'5', 40, "x"},
	  {'6', 10, "a"},
	  {'7', 50, "x"},
	  {'3', 5, "x"}},
	 5,
	 3,
	 0},
	/* every one is written */
	{{{'0', 100, "y"},
	  {'1', 100, "y"},
	  {'2', 100, "y"},
	  {'3', 100, "y"},
	  {'4', 100, "y"},
	  {'5', 100, "y"},
	  {'6', 100, "y"},
	  {'7', 100, "y"}},
	 8,
	 0,
	 0},
	/* deletes only, one of nothing */
	{{{'0', 200, NULL},
	  {'1', 200, NULL},
	  {'2', 200, NULL},
	  {'3', 200, NULL},
	  {'4', 200, NULL},
	  {'5', 200, NULL},
	  {'6', 200, NULL},
	  {'9', 200, NULL}},
	 7,
	 1,
	 0},
	/* new keys while COPY into the table waits for its next try */
	{{{'0', 10, "a"},
	  {'1', 10, "a"},
	  {'2', 10, "a"},
	  {'3', 10, "a"},
	  {'4', 10, "a"},
	  {'5', 10, "a"},
	  {'6', 10, "a"},
	  {'9', 10, "a"}},
	 8,
	 0,
	 0},
	/* dead letters, by the decoder and by the database */
	{{{'0', 300, REFUSED},
	  {'1', 300, GARBAGE},
	  {'2', 300, "a"},
	  {'3', 300, "a"},
	  {'4', 300, "a"},
	  {'5', 300, "a"},
	  {'6', 1, "old"},
	  {'7', 300, "a"}},
	 5,
	 1,
	 2},
};

static void send(struct bed *bed, int partition, const char *key, int version, const char *value)
{
	json_t *event = json_pack("{s:s, s:I, s:s, s:s, s:s}", "op", value ? "UPSERT" : "DELETE",
				  "event_time", (json_int_t)version, "namespace", "ways", "key",
				  key, "value", value ? value : "");
	bed_event(bed, "memory", partition, event);
	json_decref(event);
}

static void send_act(struct bed *bed, const struct act *act, int unit, int64_t offset)
{
	char key[32];
	snprintf(key, sizeof(key), "%d-%c", unit, act->key);
	if (act->value && strcmp(act->value, GARBAGE) == 0) {
		bed_raw(bed, "memory", 0, (struct slice){0},
			(struct slice){(const uint8_t *)GARBAGE, 7});
		return;
	}
	if (act->value && strcmp(act->value, REFUSED) == 0)
		model_expect_dead(bed->streams[0].topic, 0, offset, "constraint");
	send(bed, 0, key, act->version, act->value);
}

static void send_step(struct bed *bed, int step, int units)
{
	char key[32];
	for (int unit = 0; unit < units; unit++) {
		for (int i = 0; i < ACTS; i++)
			send_act(bed, &steps[step].acts[i], unit,
				 ((int64_t)step * units + unit) * ACTS + i);
		snprintf(key, sizeof(key), "new-%d-%d", step, unit);
		send(bed, 1, key, 1, "a");
	}
}

/* The row of memingest.batches says what is true. */
static void check_batch(struct bed *bed, int step, int partition, int events, int merged,
			int superseded, int dead)
{
	struct pg_rows *rows = bed_query(
		bed,
		"SELECT rows, merged, superseded, dead FROM memingest.batches WHERE partition = %d"
		" AND from_offset = %d AND to_offset = %d",
		partition, step * events, (step + 1) * events);
	ck_assert_msg(pg_rows_count(rows) == 1, "step %d, partition %d: not one batch of %d events",
		      step, partition, events);
	const int64_t want[] = {events, merged, superseded, dead};
	static const char *const names[] = {"rows", "merged", "superseded", "dead"};
	for (size_t i = 0; i < ARRAY_LEN(want); i++)
		ck_assert_msg(pg_int(rows, 0, i) == want[i],
			      "step %d, partition %d: %s should be %d, is %d", step, partition,
			      names[i], (int)want[i], (int)pg_int(rows, 0, i));
	pg_rows_free(rows);
}

static void play_step(struct bed *bed, int step, int units)
{
	const struct step *s = &steps[step];
	send_step(bed, step, units);
	bed_drain(bed, 60);
	check_batch(bed, step, 0, ACTS * units, s->merged * units, s->superseded * units,
		    s->dead * units);
	check_batch(bed, step, 1, units, units, 0, 0);
}

static struct bed *ways_bed(const char *name, int max_rows)
{
	struct bed *bed = bed_new(name);
	bed_stream(bed, "memory", 2);
	bed_set(bed, "postgres.lanes", "1");
	bed_set(bed, "batch.max_rows", "%d", max_rows);
	bed_set(bed, "batch.max_age", "1h");
	bed_set(bed, "batch.adaptive", "off");
	bed_set(bed, "dlq.max_ratio", "1");
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	return bed;
}

/*
 * Proves: memingest.batches tells what became of each event, by partition, whichever way the batch
 * went; and each way was gone.
 */
START_TEST(counts)
{
	static const struct {
		int units, inserted;
		bool staged;
	} runs[] = {{1, 0, false}, {7, 56, false}, {40, 320, true}};
	int units = runs[_i].units;
	struct bed *bed = ways_bed("counts", units * (ACTS + 1));
	struct worker *w = worker_start(bed, NULL);
	for (int step = 0; step < STEPS - 1; step++)
		play_step(bed, step, units);
	ck_assert_int_eq((int)worker_metric(w, "memingest_rows_written_total", "op=\"insert\""),
			 runs[_i].inserted);
	ck_assert_int_eq(
		bed_int(bed,
			"SELECT count(*) FROM pg_class WHERE relname = 'memingest_stage_memory'"),
		runs[_i].staged);
	bed_sql(bed, "ALTER TABLE memory_entries ADD CHECK (value <> '" REFUSED "')");
	play_step(bed, STEPS - 1, units);
	worker_stop(w);
	model_check(bed);
	bed_free(bed);
}
END_TEST

static void send_accounts(struct bed *bed, const char *prefix, int n)
{
	char account[32];
	for (int i = 0; i < n; i++) {
		snprintf(account, sizeof(account), "%s-%d", prefix, i);
		ledger_send(bed, 0, account, 1, 5);
	}
	bed_drain(bed, 30);
}

/*
 * Proves: columns that an operator gives other types, or adds, under a running worker get the
 * values that were sent, whichever way a batch would have gone, on the connection that saw the old
 * ones and on a new one. (Fields are sent in binary form: a bigint read as a numeric is 0.)
 */
START_TEST(altered)
{
	int n = _i == 0 ? 3 : 200;
	struct bed *bed = ledger_bed("altered", 1);
	bed_set(bed, "postgres.lanes", "1");
	bed_set(bed, "batch.max_rows", "%d", n);
	bed_set(bed, "batch.max_age", "1h");
	bed_set(bed, "batch.adaptive", "off");
	struct worker *w = worker_start(bed, NULL);
	send_accounts(bed, "before", n);
	ck_assert_int_eq((int)worker_metric(w, "memingest_rows_written_total", "op=\"insert\""),
			 _i == 0 ? 0 : n);
	bed_sql(bed,
		"ALTER TABLE ledger ALTER total TYPE numeric, ALTER lowest TYPE numeric(20, 2),"
		" ALTER highest TYPE smallint, ALTER last TYPE varchar(20), ADD added text DEFAULT "
		"'x'");
	send_accounts(bed, "after", n);
	bed_sql(bed, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = "
		     "current_database()"
		     " AND application_name LIKE 'memingest/lane%%'");
	send_accounts(bed, "again", n);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM ledger WHERE lowest = 5 AND total = 5"),
			 3 * n);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memingest.dead_letters"), 0);
	worker_stop(w);
	bed_sql(bed, "ALTER TABLE ledger ALTER lowest TYPE bigint"); /* as the model reads it */
	model_check(bed);
	bed_free(bed);
}
END_TEST

static int64_t waiting(struct bed *bed)
{
	return bed_int(bed, "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = "
			    "'ledger'::regclass");
}

/*
 * Proves: the same while a batch is under way: an ALTER TABLE that commits between the look at the
 * columns' types and the first row. The batch waits for the lock and looks behind it.
 */
START_TEST(altered_meanwhile)
{
	int n = _i == 0 ? 3 : 200;
	char account[32];
	struct bed *bed = ledger_bed("meanwhile", 1);
	bed_set(bed, "postgres.lanes", "1");
	bed_set(bed, "batch.max_rows", "%d", n);
	bed_set(bed, "batch.max_age", "1h");
	bed_set(bed, "batch.adaptive", "off");
	struct worker *w = worker_start(bed, NULL);
	send_accounts(bed, "before", n);
	bed_sql(bed,
		"BEGIN; ALTER TABLE ledger ALTER total TYPE numeric, ALTER lowest TYPE numeric, "
		"ALTER highest TYPE numeric");
	for (int i = 0; i < n; i++) {
		snprintf(account, sizeof(account), "during-%d", i);
		ledger_send(bed, 0, account, 1, 5);
	}
	bed_flush(bed);
	BED_WAIT(bed, 20, waiting(bed) == 1);
	bed_sql(bed, "COMMIT");
	bed_drain(bed, 30);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM ledger WHERE lowest = 5 AND total = "
				      "5 AND highest = 5"),
			 2 * n);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memingest.dead_letters"), 0);
	worker_stop(w);
	bed_free(bed);
}
END_TEST

static void send_numbers(struct bed *bed, int from, int n, int version, const char *text)
{
	for (int i = from; i < from + n; i++) {
		json_t *event =
			json_pack("{s:i, s:i, s:s}", "id", i, "version", version, "text", text);
		bed_event(bed, "numbers", 0, event);
		json_decref(event);
	}
	bed_drain(bed, 30);
}

/*
 * Proves: a key that the table generates ALWAYS as an identity holds the event's value, whichever
 * way it was written: row by row, by COPY into the table, by the staging table, judged.
 */
START_TEST(identity_key)
{
	static const char schema[] =
		"{\"type\": \"record\", \"name\": \"Numbered\", \"pg\": {\"table\": \"numbers\","
		" \"key\": [\"id\"], \"version\": \"version\"}, \"fields\": ["
		"{\"name\": \"id\", \"type\": \"int\"}, {\"name\": \"version\", \"type\": \"int\"},"
		" {\"name\": \"text\", \"type\": \"string\"}]}";
	struct bed *bed = bed_new("identity");
	char path[192];
	snprintf(path, sizeof(path), "%s/numbers.avsc", bed->dir);
	FILE *out = fopen(path, "w");
	ck_assert_ptr_nonnull(out);
	fputs(schema, out);
	ck_assert_int_eq(fclose(out), 0);
	bed_stream_files(bed, "numbers", 1, path, NULL);
	bed_set(bed, "postgres.lanes", "1");
	bed_set(bed, "dlq.max_ratio", "1");
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	bed_sql(bed, "ALTER TABLE numbers ALTER id ADD GENERATED ALWAYS AS IDENTITY");
	struct worker *w = worker_start(bed, NULL);
	send_numbers(bed, 1001, 3, 1, "a");
	send_numbers(bed, 2001, 300, 1, "a");
	ck_assert_double_ge(worker_metric(w, "memingest_rows_written_total", "op=\"insert\""), 1);
	send_numbers(bed, 2001, 300, 2, "b");
	bed_sql(bed, "ALTER TABLE numbers ADD CHECK (text <> 'refused')");
	send_numbers(bed, 3001, 1, 1, "refused");
	send_numbers(bed, 3002, 3, 1, "c");
	send_numbers(bed, 1001, 3, 2, "c");
	worker_stop(w);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memingest.dead_letters"), 1);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM numbers"), 306);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM numbers WHERE id BETWEEN 2001 AND 2300 "
				      "AND version = 2 AND text = 'b'"),
			 300);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM numbers WHERE id IN (1001, 1002, 1003, "
				      "3002, 3003, 3004) AND text = 'c'"),
			 6);
	bed_free(bed);
}
END_TEST

/*
 * Proves: a small batch whose statements can not be prepared (a column is gone) halts like any
 * other, without other complaints, and goes through when the cause is gone.
 */
START_TEST(column_gone)
{
	struct bed *bed = ledger_bed("gone", 1);
	bed_sql(bed, "ALTER TABLE ledger DROP note");
	ledger_send(bed, 0, "one", 1, 5);
	bed_flush(bed);
	struct worker *w = worker_start(bed, NULL);
	BED_WAIT(bed, 20, worker_logged(w, "batch halted"));
	ck_assert(worker_logged(w, "42703"));
	bed_sql(bed, "ALTER TABLE ledger ADD note text");
	bed_drain(bed, 25);
	ck_assert(!worker_logged(w, "warning from PostgreSQL"));
	worker_stop(w);
	model_check(bed);
	bed_free(bed);
}
END_TEST

static void ways_tests(TCase *tc)
{
	tcase_add_loop_test(tc, counts, 0, 3);
	tcase_add_loop_test(tc, altered, 0, 2);
	tcase_add_loop_test(tc, altered_meanwhile, 0, 2);
	tcase_add_test(tc, identity_key);
	tcase_add_test(tc, column_gone);
}
SYSTEM_SUITE("ways", 90, ways_tests)

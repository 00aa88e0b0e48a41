/*
 * ledger.c - the stream "ledger" and its events.
 *
 * Pace: events owed = rate x time since the start - sent. pace_turn() sends them, so a test that
 * was busy with something else (stopping a server) catches up at its next turn.
 */
#include "ledger.h"

#include <check.h>
#include <stdlib.h>

#include "lite.h"
#include "load.h"

struct pace {
	struct bed *bed;
	struct load *load;
	unsigned per_second;
	int64_t began_us;
	size_t sent;
};

struct bed *ledger_bed(const char *name, int partitions)
{
	struct bed *bed = bed_new(name);
	bed_stream_files(bed, "ledger", partitions, "tests/schemas/ledger_event.avsc",
			 "tests/schemas/ledger_key.avsc");
	bed_set(bed, "batch.max_rows", "100");
	bed_set(bed, "batch.max_age", "20ms");
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	return bed;
}

void ledger_send(struct bed *bed, int partition, const char *account, int64_t time_us,
		 int64_t amount)
{
	json_t *event =
		json_pack("{s:I, s:s, s:I, s:I, s:I, s:s}", "event_time", (json_int_t)time_us,
			  "account", account, "total", (json_int_t)amount, "lowest",
			  (json_int_t)amount, "highest", (json_int_t)amount, "last", "by hand");
	bed_event(bed, "ledger", partition, event);
	json_decref(event);
}

int64_t ledger_durable(struct bed *bed)
{
	lite_copy_offsets(bed);
	return bed_int(bed,
		       "SELECT coalesce(sum(next_offset), 0)::bigint FROM memingest.offsets WHERE "
		       "pipeline = '%s' AND "
		       "partition >= 0",
		       bed->name);
}

int64_t ledger_open_transactions(struct bed *bed)
{
	return bed_int(bed,
		       "SELECT count(*) FROM pg_stat_activity WHERE datname = '%s' AND "
		       "application_name LIKE "
		       "'memingest/lane%%' AND backend_xid IS NOT NULL",
		       bed->name);
}

/* --- events at a pace --- */

struct pace *pace_open(struct bed *bed, const char *stream, unsigned per_second)
{
	static uint64_t seed = 1;
	const struct generator_options options = {
		.seed = seed++,
		.keys = 400,
		.update_share = 0.5,
		.delete_share = 0.03,
		.tombstone_share = 0.01,
		.late_share = 0.1,
		.poison_share = 0.002,
	};
	return pace_open_as(bed, stream, per_second, options);
}

struct pace *pace_open_as(struct bed *bed, const char *stream, unsigned per_second,
			  struct generator_options options)
{
	struct pace *pace = xcalloc(1, sizeof(*pace));
	pace->bed = bed;
	pace->load = load_open(bed, stream, options);
	pace->per_second = per_second;
	pace->began_us = clock_mono_us();
	return pace;
}

void pace_turn(struct pace *pace)
{
	size_t due = (size_t)((clock_mono_us() - pace->began_us) * pace->per_second / US_PER_S);
	if (due <= pace->sent)
		return;
	load_send(pace->load, due - pace->sent);
	pace->sent = due;
}

void pace_forgive(struct pace *pace)
{
	pace->began_us = clock_mono_us() - (int64_t)pace->sent * US_PER_S / pace->per_second;
}

size_t pace_sent(const struct pace *pace)
{
	return pace->sent;
}

void pace_for(struct pace *pace, double seconds)
{
	int64_t deadline_us = clock_mono_us() + (int64_t)(seconds * (double)US_PER_S);
	while (bed_tick(pace->bed, deadline_us))
		pace_turn(pace);
}

void pace_close(struct pace *pace)
{
	load_close(pace->load);
	bed_flush(pace->bed);
	free(pace);
}

void pace_progress(struct pace *pace, int64_t events)
{
	int64_t goal = ledger_durable(pace->bed) + events;
	PACE_WAIT(pace, pace->bed, 30, ledger_durable(pace->bed) >= goal);
}

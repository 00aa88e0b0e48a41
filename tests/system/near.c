/*
 * near.c - the ground of tests of the search by nearness: rows, and whether they are found.
 *
 * Everything goes through SQL, as the rows need not come from Kafka for a search to be right. What
 * a test does with workers, crashes and other sessions is its own.
 */
#include "near.h"

#include <check.h>

struct bed *near_bed(const char *name)
{
	struct bed *bed = bed_new(name);
	bed_stream_files(bed, "near", 2, "tests/schemas/near_event.avsc", NULL);
	bed_set(bed, "batch.max_age", "50ms");
	bed_set(bed, "index.tail_rows", "200");
	bed_set(bed, "index.segment_rows", "1000");
	bed_set(bed, "index.cores", "1");
	return bed;
}

void near_insert(struct bed *bed, int from, int to)
{
	bed_sql(bed,
		"INSERT INTO near (event_time, id, tenant, spot) SELECT now(), 'id-' || i,"
		" 't' || i %% 5, " NEAR_VECTOR " FROM generate_series(%d, %d) i",
		from, to - 1);
}

void near_build(struct bed *bed)
{
	ck_assert_int_eq(bed_command(bed, "index", (const char *[]){"build", NULL}, NULL), 0);
}

int64_t near_missed_of(struct bed *bed, const char *which)
{
	return bed_int(bed,
		       "SELECT count(*) FROM near t WHERE spot IS NOT NULL AND %s AND NOT EXISTS "
		       "(SELECT FROM memingest.candidates_near(t.spot, 3) c WHERE c.id = t.id "
		       "AND c.distance < 1e-6)",
		       which);
}

/* Which third depends on nothing that could matter. */
int64_t near_missed(struct bed *bed)
{
	return near_missed_of(bed, "hashtext(id) % 3 = 0");
}

int64_t near_live(struct bed *bed)
{
	return bed_int(bed, "SELECT count(*) FROM memingest.segments WHERE state = 'live'");
}

int64_t near_unindexed(struct bed *bed)
{
	return bed_int(bed, "SELECT unindexed_rows FROM memingest.scope_near()");
}

void near_no_leftovers(struct bed *bed)
{
	ck_assert_int_eq(bed_int(bed,
				 "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid "
				 "= relnamespace WHERE nspname = 'memingest' AND relkind = 'r' "
				 "AND relname LIKE 'near\\_segment\\_%%'"),
			 bed_int(bed, "SELECT coalesce(sum(greatest(parts, 1)), 0) FROM "
				      "memingest.segments"));
}

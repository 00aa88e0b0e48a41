/*
 * test_search_use.c - searches as operators and applications meet them: least rights, what "check"
 * and "status" say, and the queries of docs/SEARCH.md as they stand there.
 *
 * Not here: that what is committed is found (test_search.c).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "bed.h"
#include "system.h"

/* A row's vector, in SQL: a direction of its own for each i. */
#define VECTOR_OF                                                                                  \
	"(SELECT array_agg(sin(i * 7.3 + d * 1.7 + i * d)) FROM generate_series(1, 384) "          \
	"d)::vector"

/* --- the ground --- */

/* Small segments, so that all that upkeep does happens within seconds. */
static struct bed *search_bed(const char *name)
{
	struct bed *bed = bed_new(name);
	bed_stream(bed, "memory", 1);
	bed_set(bed, "index.tail_rows", "200");
	bed_set(bed, "index.segment_rows", "1000");
	bed_set(bed, "index.cores", "1");
	bed_expect(bed, 0, "migrate", "created the segments of memory_entries");
	return bed;
}

static void insert_rows(struct bed *bed, int from, int to)
{
	bed_sql(bed,
		"INSERT INTO memory_entries (event_time, namespace, key, value, embedding, tags)"
		" SELECT now(), 'n', 'k' || i, 'v', " VECTOR_OF ", '{}'"
		" FROM generate_series(%d, %d) i",
		from, to - 1);
}

static int64_t segments(struct bed *bed, const char *state)
{
	return bed_int(bed, "SELECT count(*) FROM memingest.segments WHERE state = '%s'", state);
}

static int64_t unindexed(struct bed *bed)
{
	return bed_int(bed, "SELECT unindexed_rows FROM memingest.scope_memory_entries()");
}

/* A role with what "migrate --OPTION ROLE" prints, and nothing else. */
static void make_role(struct bed *bed, const char *role, const char *option)
{
	struct buf grants = {0};
	char flag[32];
	snprintf(flag, sizeof(flag), "--%s", option);
	bed_sql(bed, "DROP ROLE IF EXISTS %s; CREATE ROLE %s LOGIN", role, role);
	ck_assert_int_eq(bed_command(bed, "migrate", (const char *[]){flag, role, NULL}, &grants),
			 0);
	bed_sql(bed, "%s", buf_cstr(&grants));
	buf_free(&grants);
}

static void drop_role(struct bed *bed, const char *role)
{
	bed_sql(bed, "REASSIGN OWNED BY %s TO postgres; DROP OWNED BY %s; DROP ROLE %s", role, role,
		role);
}

/* Workers and commands, from here on. */
static void log_in(struct bed *bed, const char *role)
{
	snprintf(bed->role, sizeof(bed->role), "%s", role);
}

/* --- rights --- */

/*
 * Proves: a worker whose role has what --grants prints does all of upkeep: it seals, rewrites,
 * merges, and drops what it replaced, also what a superuser has built; and nobody else's.
 */
START_TEST(keeper)
{
	struct bed *bed = search_bed("keeper");
	insert_rows(bed, 0, 300);
	make_role(bed, bed->name, "grants");
	log_in(bed, "postgres");
	bed_expect(bed, 0, "index build", "seal 300 rows");
	log_in(bed, bed->name);
	bed_expect(bed, 0, "check --online", "the search of table memory_entries is there");
	struct worker *w = worker_start(bed, NULL);
	insert_rows(bed, 300, 700);
	BED_WAIT(bed, 30, unindexed(bed) == 0);
	bed_sql(bed, "UPDATE memory_entries SET value = 'w', search_xid = DEFAULT WHERE key < "
		     "'k2'");
	bed_expect(bed, 0, "index rewrite", "rewrite");
	ck_assert_int_gt(segments(bed, "dead"), 0);
	bed_sql(bed, "UPDATE memingest.segments SET changed_at = changed_at - interval '1 hour'");
	BED_WAIT(bed, 30, segments(bed, "dead") == 0);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM pg_inherits WHERE inhparent ="
				      " 'memingest.memory_entries_segments'::regclass"),
			 segments(bed, "live"));
	ck_assert_double_eq(worker_metric(w, "memingest_search_failures_total", NULL), 0);
	worker_stop(w);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memory_entries t WHERE (SELECT c.key"
				      " FROM memingest.candidates_memory_entries(t.embedding, 1) c)"
				      " = t.key"),
			 700);
	drop_role(bed, bed->name);
	bed_free(bed);
}
END_TEST

static bool may(struct bed *bed, const char *role, const char *table, const char *right)
{
	return bed_int(bed, "SELECT has_table_privilege('%s', '%s', '%s')::int", role, table,
		       right) == 1;
}

/*
 * Proves: a function of another text is replaced where it stands, so who may call it still may, and
 * a view on it stays; where what it returns is another type, migrate names the view and changes
 * nothing.
 */
START_TEST(replaced)
{
	struct bed *bed = search_bed("replaced");
	insert_rows(bed, 0, 10);
	bed_sql(bed, "CREATE VIEW nearest AS SELECT key, distance FROM"
		     " memingest.search_memory_entries((SELECT embedding FROM memory_entries"
		     " WHERE key = 'k7'), 3)");
	bed_sql(bed, "REVOKE EXECUTE ON FUNCTION memingest.candidates_memory_entries FROM PUBLIC");
	bed_sql(bed, "CREATE OR REPLACE FUNCTION memingest.scope_memory_entries(freshness text"
		     " DEFAULT 'all', OUT segments bigint, OUT sealed_rows bigint, OUT stale_rows"
		     " bigint, OUT unindexed_rows bigint, OUT skipped_rows bigint) RETURNS SETOF"
		     " record LANGUAGE sql AS 'SELECT 7, 7, 7, 7, 7'");
	bed_sql(bed, "COMMENT ON FUNCTION memingest.search_memory_entries IS 'of before'");
	ck_assert_int_eq(unindexed(bed), 7);
	bed_expect(bed, 0, "migrate", "created the search functions of memory_entries");
	ck_assert_int_eq(unindexed(bed), 10);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM nearest WHERE key = 'k7'"), 1);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM pg_proc WHERE proname ="
				      " 'candidates_memory_entries' AND proacl::text NOT LIKE"
				      " '{=X/%%'"),
			 1);
	bed_sql(bed, "COMMENT ON TYPE memingest.memory_entries_found IS 'of before'");
	bed_expect(bed, 78, "migrate", "view nearest depends on function");
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM nearest"), 3);
	bed_sql(bed, "DROP VIEW nearest");
	bed_expect(bed, 0, "migrate", "created the types of the search of memory_entries");
	bed_expect(bed, 0, "migrate", "nothing to do");
	bed_free(bed);
}
END_TEST

/*
 * Proves: a role with what --search-grants prints searches, tail and segments, by all functions;
 * and can neither write nor read the worker's books. One grant less, and it cannot search.
 */
START_TEST(searcher)
{
	struct bed *bed = search_bed("searcher");
	char role[80];
	snprintf(role, sizeof(role), "%s_s", bed->name);
	insert_rows(bed, 0, 300);
	bed_expect(bed, 0, "index build", "seal 300 rows");
	insert_rows(bed, 300, 310);
	bed_sql(bed, "REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA memingest FROM PUBLIC");
	make_role(bed, role, "search-grants");
	bed_sql(bed, "SET SESSION AUTHORIZATION %s", role);
	ck_assert_int_eq(bed_int(bed,
				 "SELECT count(*) FROM memory_entries t WHERE (SELECT s.key FROM"
				 " memingest.search_memory_entries(t.embedding, 1) s) = t.key"),
			 310);
	ck_assert_int_eq(unindexed(bed), 10);
	bed_sql(bed, "RESET SESSION AUTHORIZATION");
	ck_assert(!may(bed, role, "memory_entries", "INSERT"));
	ck_assert(!may(bed, role, "memingest.segments", "INSERT, UPDATE, DELETE"));
	ck_assert(!may(bed, role, "memingest.offsets", "SELECT"));
	ck_assert(!may(bed, role, "memingest.dead_letters", "SELECT"));
	drop_role(bed, role);
	bed_free(bed);
}
END_TEST

/*
 * Proves: an owner of the tables that is no superuser gives both in the migration, once it is a
 * member of the worker's role; before, nothing is changed and the reason is said.
 */
START_TEST(given)
{
	struct bed *bed = search_bed("given");
	char line[160];
	bed_sql(bed, "DROP ROLE IF EXISTS %s; CREATE ROLE %s LOGIN", bed->name, bed->name);
	snprintf(line, sizeof(line), "migrate --grant-to %s --search-grant-to %s", bed->name,
		 bed->name);
	bed_expect(bed, 78, line, "nothing was changed: not granted a worker's rights");
	ck_assert(!may(bed, bed->name, "memory_entries", "INSERT"));
	bed_sql(bed, "GRANT %s TO memingest", bed->name);
	bed_expect(bed, 0, line, "granted a searcher's rights");
	bed_expect(bed, 0, line, "granted a worker's rights");
	log_in(bed, bed->name);
	bed_expect(bed, 0, "check --online", "the search of table memory_entries is there");
	drop_role(bed, bed->name);
	bed_free(bed);
}
END_TEST

/* --- status --- */

static json_t *search_of(json_t *status)
{
	return json_object_get(json_array_get(json_object_get(status, "streams"), 0), "search");
}

static int64_t search_number(struct worker *w, const char *member)
{
	json_t *status = worker_status(w);
	int64_t n = json_integer_value(json_object_get(search_of(status), member));
	json_decref(status);
	return n;
}

static bool search_says(struct worker *w, const char *member, const char *word)
{
	json_t *status = worker_status(w);
	const char *text = json_string_value(json_object_get(search_of(status), member));
	bool says = text && strstr(text, word);
	json_decref(status);
	return says;
}

/* What the telemetry suite has no occasion for; the others are not 0 in what follows. */
static void metrics_move(struct bed *bed, struct worker *w)
{
	static const char *const names[] = {"unindexed_rows", "unindexed_age_seconds",
					    "segments",       "sealed_rows",
					    "stale_rows",     "built_rows_total",
					    "failures_total", "build_duration_seconds_count"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char name[80];
		snprintf(name, sizeof(name), "memingest_search_%s", names[i]);
		BED_WAIT(bed, 20, worker_metric(w, name, "memory") > 0);
	}
}

/*
 * Proves: status tells a settled search from one that cannot be kept, with PostgreSQL's words, and
 * forgets the failure once it is mended.
 */
START_TEST(status_says)
{
	struct bed *bed = search_bed("says");
	insert_rows(bed, 0, 40);
	bed_expect(bed, 0, "index build", "seal 40 rows");
	bed_sql(bed, "UPDATE memory_entries SET search_xid = DEFAULT WHERE key IN ('k1', 'k2')");
	struct worker *w = worker_start(bed, NULL);
	worker_ready(w);
	BED_WAIT(bed, 30, search_number(w, "stale_rows") == 2);
	insert_rows(bed, 40, 300);
	BED_WAIT(bed, 30, search_number(w, "sealed_rows") == 302);
	BED_WAIT(bed, 30, search_says(w, "state", "settled"));
	ck_assert_int_eq(search_number(w, "segments"), 2);
	ck_assert_int_eq(search_number(w, "built_rows"), 262);
	bed_sql(bed, "ALTER SCHEMA memingest OWNER TO postgres; REVOKE CREATE ON SCHEMA memingest "
		     "FROM memingest; GRANT USAGE ON SCHEMA memingest TO memingest");
	insert_rows(bed, 300, 600);
	BED_WAIT(bed, 30, search_says(w, "state", "failing"));
	ck_assert(search_says(w, "error", "permission denied for schema memingest"));
	ck_assert_int_eq(search_number(w, "unindexed_rows"), 300);
	metrics_move(bed, w);
	char line[64];
	snprintf(line, sizeof(line), "status 127.0.0.1:%u", w->http_port);
	bed_expect(bed, 0, line, "failing: ");
	bed_sql(bed, "GRANT CREATE ON SCHEMA memingest TO memingest");
	BED_WAIT(bed, 30, search_number(w, "sealed_rows") == 602);
	BED_WAIT(bed, 60, search_says(w, "state", "settled"));
	worker_stop(w);
	bed_free(bed);
}
END_TEST

/* --- check --- */

static void finds(struct bed *bed, int status, const char *part)
{
	bed_expect(bed, status, "check --online", part);
}

/*
 * Proves: each thing that keeps a search from being kept is a finding, and with it mended there is
 * none.
 */
START_TEST(check_finds)
{
	static const char fine[] = "the search of table memory_entries is there";
	struct bed *bed = search_bed("checks");
	finds(bed, 0, fine);
	bed_sql(bed, "UPDATE pg_extension SET extversion = '0.7.4' WHERE extname = 'vector'");
	finds(bed, 78, "pgvector 0.7.4 is too old");
	bed_sql(bed, "UPDATE pg_extension SET extversion = '0.8.3' WHERE extname = 'vector'");
	finds(bed, 0, "pgvector 0.8.3 has defects");
	bed_sql(bed, "UPDATE pg_extension SET extversion = '0.8.10' WHERE extname = 'vector'");
	finds(bed, 0, "nothing to complain about");
	bed_sql(bed, "UPDATE memingest.searches SET system_id = 1");
	finds(bed, 78, "restored from another cluster");
	bed_expect(bed, 0, "migrate", "dropped search_xid, of another cluster");
	finds(bed, 0, fine);
	bed_sql(bed, "ALTER TABLE memory_entries ALTER search_xid DROP DEFAULT");
	finds(bed, 78, "has lost its default");
	bed_sql(bed, "ALTER TABLE memory_entries ALTER search_xid SET DEFAULT "
		     "pg_current_xact_id()");
	insert_rows(bed, 0, 300);
	bed_expect(bed, 0, "index build", "seal 300 rows");
	finds(bed, 0, fine);
	bed_sql(bed, "DROP TABLE memingest.memory_entries_segment_1");
	finds(bed, 0, "1 segments of table memory_entries are gone");
	bed_expect(bed, 0, "index build", "rewrite 300 rows");
	finds(bed, 0, fine);
	bed_sql(bed, "ALTER TABLE memingest.memory_entries_segments OWNER TO postgres");
	finds(bed, 78, "belong to postgres");
	bed_sql(bed, "ALTER TABLE memingest.memory_entries_segments OWNER TO memingest;"
		     "DROP INDEX memory_entries_search_xid_idx");
	finds(bed, 78, "run \"memingest index build\" as the table's owner");
	log_in(bed, "memingest_owner");
	finds(bed, 0, "a worker makes it");
	log_in(bed, "memingest");
	bed_sql(bed, "ALTER TABLE memory_entries DROP search_xid");
	finds(bed, 78, "column search_xid is missing");
	bed_expect(bed, 0, "migrate", "added column search_xid");
	bed_sql(bed, "DROP FUNCTION memingest.search_memory_entries CASCADE");
	finds(bed, 78, "is not made");
	bed_free(bed);
}
END_TEST

/* Proves: means that do not suffice for [index] are a warning. */
START_TEST(check_means)
{
	struct bed *bed = search_bed("means");
	bed_set(bed, "index.segment_rows", "1000000");
	bed_set(bed, "index.memory", "64MiB");
	bed_set(bed, "index.cores", "64");
	bed_expect(bed, 0, "check --online", "holds a graph of 42799 vectors of this table");
	bed_expect(bed, 0, "check --online", "index.cores = 64, but the server gives");
	bed_expect(bed, 0, "check --online --set index.memory=1GiB --set index.cores=2",
		   "nothing to complain about");
	bed_free(bed);
}
END_TEST

/* --- docs/SEARCH.md --- */

/*
 * Five memories of one namespace, a0 to a4, each a little further from the query; one elsewhere
 * between a0 and a1, a pattern between a1 and a2, and 300 far away. Half of each is in a segment.
 */
static void remember(struct bed *bed)
{
	static const char *const rows[] = {
		"'support', 'a0', 0.0, 'u7', 1, '{\"priority\":3,\"lang\":\"en\",\"done\":false}', "
		"'refund of an invoice', '{billing}'",
		"'support', 'a2', 0.2, 'u8', 1, '{\"priority\":5,\"lang\":\"fr\",\"done\":false}', "
		"'invoice refund refund invoice', '{}'",
		"'support', 'a4', 0.4, 'u7', 3, '{\"priority\":9,\"lang\":\"de\",\"done\":false}', "
		"'none', '{}'",
		"'support', 'a1', 0.1, 'u7', 30, "
		"'{\"priority\":1,\"lang\":\"en\",\"done\":false}', "
		"'hello', '{}'",
		"'support', 'a3', 0.3, 'u7', 2, '{\"priority\":5,\"lang\":\"de\",\"done\":true}', "
		"'other', '{billing}'",
		"'elsewhere', 'b0', 0.05, 'u9', 1, NULL, 'far', '{}'",
	};
	bed_sql(bed,
		"CREATE FUNCTION at(angle float8) RETURNS vector LANGUAGE sql AS 'SELECT "
		"array_agg(CASE d WHEN 1 THEN cos(angle) WHEN 2 THEN sin(angle) ELSE 0 END "
		"ORDER BY d)::vector FROM generate_series(1, 384) d';"
		"INSERT INTO memory_entries (event_time, namespace, key, value, embedding, tags)"
		" SELECT now(), 'elsewhere', 'x' || i, 'far', at(1.5 + i / 1000.0), '{}'"
		" FROM generate_series(1, 300) i;"
		"INSERT INTO patterns (event_time, name, pattern_type, description, embedding)"
		" VALUES (now(), 'p0', 't', 'd', at(0.15)), (now(), 'p1', 't', 'd', at(1.2))");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (i == ARRAY_LEN(rows) / 2)
			bed_expect(bed, 0, "index build", "memory: seal 303 rows");
		bed_sql(bed,
			"INSERT INTO memory_entries (event_time, namespace, key, value, embedding, "
			"tags, user_id, metadata) SELECT now() - days * interval '1 day', n, k, v, "
			"at(angle), t::text[], u, m::jsonb FROM (VALUES (%s)) x(n, k, angle, u, "
			"days, m, v, t)",
			rows[i]);
	}
}

/* The next query of the page, from *at on; NULL after the last. The caller frees it. */
static char *next_query(char **at)
{
	static const char begin[] = "```sql\n";
	char *from = strstr(*at, begin), *to = from ? strstr(from, ";\n```") : NULL;
	if (!to)
		return NULL;
	from += strlen(begin);
	*at = to + strlen(";\n```");
	return strndup(from, (size_t)(to - from));
}

/* The first column of what the query returns, with blanks between. */
static void first_column(struct bed *bed, const char *query, struct buf *out)
{
	bed_sql(bed, "PREPARE asked(text) AS %s", query);
	struct pg_rows *rows = bed_query(bed, "EXECUTE asked(at(0)::text)");
	for (size_t i = 0; i < pg_rows_count(rows); i++)
		buf_printf(out, "%s%s", i ? " " : "", pg_value(rows, i, 0));
	pg_rows_free(rows);
	bed_sql(bed, "DEALLOCATE asked");
}

/*
 * Proves: the queries of docs/SEARCH.md, as they stand there, bring what the page says, from tail
 * and segments.
 */
START_TEST(queries)
{
	static const char *const expected[] = {"a0 b0 a1 a2 a3", "a0 a1 a2 a3 a4", "a0 a3 a4",
					       "a0 a4",          "a0 a2 a3 a1 a4", "a0 b0 a1 p0 a2",
					       "a0 a1 a2 a3"};
	struct bed *bed = bed_new("queries");
	bed_stream(bed, "memory", 1);
	bed_stream(bed, "pattern", 1);
	bed_expect(bed, 0, "migrate", "created");
	remember(bed);
	char *page = bed_read_file("docs/SEARCH.md"), *at = page, *query;
	size_t n = 0;
	for (; (query = next_query(&at)) != NULL; n++) {
		struct buf found = {0};
		ck_assert_uint_lt(n, ARRAY_LEN(expected));
		first_column(bed, query, &found);
		ck_assert_msg(strcmp(buf_cstr(&found), expected[n]) == 0, "%s: %s, expected %s",
			      query, buf_cstr(&found), expected[n]);
		buf_free(&found);
		free(query);
	}
	ck_assert_uint_eq(n, ARRAY_LEN(expected));
	free(page);
	bed_free(bed);
}
END_TEST

static void search_use_tests(TCase *tc)
{
	tcase_add_test(tc, keeper);
	tcase_add_test(tc, replaced);
	tcase_add_test(tc, searcher);
	tcase_add_test(tc, given);
	tcase_add_test(tc, status_says);
	tcase_add_test(tc, check_finds);
	tcase_add_test(tc, check_means);
	tcase_add_test(tc, queries);
}
SYSTEM_SUITE("search_use", 120, search_use_tests)

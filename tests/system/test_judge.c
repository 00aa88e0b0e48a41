/*
 * test_judge.c - what PostgreSQL refuses, and that the table is as if each event had been applied
 * alone, in offset order, with its own verdict.
 *
 * The oracle is PostgreSQL itself: a function applies one event to a table of its own, in plain
 * words, under a savepoint, and says the SQLSTATE if it was refused. It shares nothing with the
 * worker's SQL. Both tables have the same constraints, triggers and indexes (a twist).
 *
 *   history --Kafka--> worker, in batches of some size --> facts_N,  memingest.dead_letters
 *   history --SQL----> apply_N(event), one by one      --> oracle_N, verdicts
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bed.h"
#include "system.h"

#define EVENTS 700
#define GROUP 6 /* twists that share a worker */

/* T is the table's name. */
static const char *const twists[] = {
	"SELECT 1",
	/* a unique value that moves from row to row */
	"CREATE UNIQUE INDEX ON T (spot)",
	/* a reply and its root, whose key may sort before or behind it */
	"ALTER TABLE T ADD FOREIGN KEY (parent) REFERENCES T (id)",
	"ALTER TABLE T ADD FOREIGN KEY (parent) REFERENCES T (id) DEFERRABLE INITIALLY DEFERRED",
	"ALTER TABLE T ADD FOREIGN KEY (parent) REFERENCES T (id) ON DELETE CASCADE",
	"ALTER TABLE T ADD EXCLUDE USING gist (int4range(place, place + 3) WITH &&)",
	/* sums that may not fall so low, on the way */
	"ALTER TABLE T ADD CHECK (amount >= -5), ADD CHECK (doc IS NULL OR jsonb_typeof(doc) <> "
	"'array')",
	/* narrower than the schema knows */
	"ALTER TABLE T ALTER spot TYPE varchar(1), ALTER note SET NOT NULL, ALTER place TYPE "
	"smallint",
	"CREATE INDEX ON T ((1 / (place - 3))); CREATE INDEX ON T (note) WHERE 1 / (amount - 4) > "
	"0",
	/* triggers: codes of their own, rows dropped, other rows looked at */
	"CREATE FUNCTION T_own() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
	" IF NEW.place = 1 THEN RAISE EXCEPTION 'quota' USING ERRCODE = 'Q0001'; END IF;"
	" IF NEW.place = 2 THEN RAISE EXCEPTION 'quota' USING ERRCODE = '42601'; END IF;"
	" IF NEW.place = 3 THEN RETURN NULL; END IF;"
	" NEW.note := coalesce(NEW.note, 'none'); RETURN NEW; END $$;"
	"CREATE TRIGGER own BEFORE INSERT OR UPDATE ON T FOR EACH ROW EXECUTE FUNCTION T_own()",
	"CREATE FUNCTION T_one() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
	" NEW.note := (SELECT id FROM T WHERE spot = NEW.spot AND id <> NEW.id); RETURN NEW; END "
	"$$;"
	"CREATE TRIGGER one BEFORE INSERT OR UPDATE ON T FOR EACH ROW EXECUTE FUNCTION T_one()",
	"ALTER TABLE T ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;"
	"CREATE POLICY p ON T USING (true) WITH CHECK (place IS DISTINCT FROM 2)",
};

/* --- the oracle --- */

/* Each T of a template that is no letter of a word becomes the name. */
static char *with_table(const char *template, const char *name)
{
	struct buf out = {0};
	char before = ' ';
	for (const char *p = template; *p; before = *p++) {
		bool inside = (before >= 'A' && before <= 'Z') || (before >= 'a' && before <= 'z');
		bool follows = (p[1] >= 'A' && p[1] <= 'Z') || (p[1] >= 'a' && p[1] <= 'z');
		if (*p == 'T' && !inside && !follows)
			buf_puts(&out, name);
		else
			buf_u8(&out, (uint8_t)*p);
	}
	char *text = xstrdup(buf_cstr(&out));
	buf_free(&out);
	return text;
}

static const char apply_sql[] =
	"CREATE FUNCTION apply_T(e jsonb) RETURNS text LANGUAGE plpgsql AS $$\n"
	"DECLARE r T%ROWTYPE; n plain%ROWTYPE; d jsonb; fresh boolean;\n"
	" at timestamptz := 'epoch'::timestamptz + (e->>'event_time')::bigint * interval '1 us';\n"
	"BEGIN\n"
	" BEGIN\n"
	"  IF e->>'op' = 'DELETE' THEN\n"
	"   DELETE FROM T WHERE id = e->>'id' AND (event_time IS NULL OR event_time <= at);\n"
	"  ELSE\n"
	"   n.event_time := at; n.id := e->>'id'; n.spot := e->>'spot'; n.parent := e->>'parent';\n"
	"   n.place := (e->>'place')::int; n.amount := (e->>'amount')::bigint;\n"
	"   n.small := (e->>'small')::smallint; n.weight := (e->>'weight')::float8;\n"
	"   n.lowest := (e->>'lowest')::float8; n.highest := (e->>'highest')::float8;\n"
	"   n.first := e->>'first'; n.note := e->>'note'; n.doc := nullif((e->>'doc')::jsonb, "
	"'null');\n"
	"   SELECT * INTO r FROM T WHERE id = n.id;\n"
	"   IF NOT FOUND THEN\n"
	"    n.created_at := now(); n.updated_at := now();\n"
	"    INSERT INTO T SELECT n.*;\n"
	"   ELSE\n"
	"    fresh := r.event_time IS NULL OR at >= r.event_time;\n"
	"    d := n.doc;\n"
	"    n.created_at := r.created_at; n.updated_at := r.updated_at; n.first := r.first;\n"
	"    n.amount := coalesce(r.amount + n.amount, r.amount, n.amount);\n"
	"    n.small := coalesce(r.small + n.small, r.small, n.small);\n"
	"    n.weight := coalesce(r.weight + n.weight, r.weight, n.weight);\n"
	"    n.lowest := least(r.lowest, n.lowest); n.highest := greatest(r.highest, n.highest);\n"
	"    n.note := coalesce(n.note, r.note);\n"
	"    n.doc := CASE WHEN d IS NULL THEN r.doc WHEN r.doc IS NULL THEN d ELSE r.doc || d "
	"END;\n"
	"    IF NOT fresh THEN\n"
	"     n.event_time := r.event_time; n.spot := r.spot; n.parent := r.parent;\n"
	"     n.place := r.place; n.note := r.note; n.doc := r.doc;\n"
	"    END IF;\n"
	"    IF n::text IS DISTINCT FROM r::text THEN\n"
	"     UPDATE T SET event_time = n.event_time, spot = n.spot, parent = n.parent,\n"
	"      place = n.place, amount = n.amount, small = n.small, weight = n.weight,\n"
	"      lowest = n.lowest, highest = n.highest, note = n.note, doc = n.doc WHERE id = "
	"n.id;\n"
	"    END IF;\n"
	"   END IF;\n"
	"  END IF;\n"
	"  SET CONSTRAINTS ALL IMMEDIATE;\n"
	" EXCEPTION WHEN others THEN RETURN SQLSTATE;\n"
	" END;\n"
	" RETURN NULL;\n"
	"END $$";

/* --- histories --- */

static uint64_t rng;

static uint32_t pick(uint32_t n)
{
	rng = rng * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(rng >> 33) % n;
}

static json_t *pick_text(const char *const *texts, uint32_t n)
{
	uint32_t i = pick(n + 2);
	return i < n ? json_string(texts[i]) : json_null();
}

static json_t *pick_real(void)
{
	static const double reals[] = {1e16, 1, -1e16, 0.1, -0.25, 7};
	uint32_t i = pick(ARRAY_LEN(reals) + 2);
	return i < ARRAY_LEN(reals) ? json_real(reals[i]) : json_null();
}

static json_t *random_event(int i)
{
	/* in the order of their bytes with their length in front, and in another by themselves */
	static const char *const ids[] = {"b", "a", "zz", "cc", "ba", "aaa", "dddd"};
	static const char *const spots[] = {"x", "y", "zz"};
	static const char *const docs[] = {"{\"a\": 1}",
					   "{\"b\": {\"c\": 2}}",
					   "{\"a\": [3]}",
					   "{}",
					   "[1, 2]",
					   "[]",
					   "7",
					   "null",
					   "\"text\""};
	json_t *e = json_object();
	json_object_set_new(e, "op", json_string(pick(7) == 0 ? "DELETE" : "UPSERT"));
	json_object_set_new(e, "event_time",
			    json_integer(1750000000000000 + i - (int)pick(12) * 3));
	json_object_set_new(e, "id", json_string(ids[pick(ARRAY_LEN(ids))]));
	json_object_set_new(e, "spot", pick_text(spots, ARRAY_LEN(spots)));
	json_object_set_new(e, "parent", pick_text(ids, ARRAY_LEN(ids)));
	json_object_set_new(e, "place", pick(4) ? json_integer(pick(20)) : json_null());
	json_object_set_new(e, "amount", pick(4) ? json_integer((int)pick(13) - 6) : json_null());
	json_object_set_new(e, "small",
			    pick(4) ? json_integer((int)pick(5) * 9000 - 18000) : json_null());
	json_object_set_new(e, "weight", pick_real());
	json_object_set_new(e, "lowest", pick_real());
	json_object_set_new(e, "highest", pick_real());
	json_object_set_new(e, "first", pick_text(spots, ARRAY_LEN(spots)));
	json_object_set_new(e, "note", pick_text(spots, ARRAY_LEN(spots)));
	json_object_set_new(e, "doc", pick_text(docs, pick(3) ? 4 : ARRAY_LEN(docs)));
	return e;
}

/* To Kafka, and to the table "history", whose numbers are the offsets. */
static void send_history(struct bed *bed, const char *stream, size_t twist)
{
	struct buf sql = {0};
	for (int i = 0; i < EVENTS; i++) {
		json_t *e = random_event(i);
		char *text = json_dumps(e, JSON_COMPACT | JSON_REAL_PRECISION(17));
		bed_event(bed, stream, 0, e);
		buf_printf(&sql, "%s(%zu, %d, ", i ? ", " : "INSERT INTO history VALUES ", twist,
			   i);
		buf_quoted(&sql, text, '\'');
		buf_puts(&sql, ")");
		free(text);
		json_decref(e);
	}
	bed_sql(bed, "%s", buf_cstr(&sql));
	buf_free(&sql);
}

/* --- the twists side by side --- */

/* The schema with a table of its own. */
static void add_stream(struct bed *bed, size_t twist)
{
	char path[256], table[32], name[32];
	json_t *schema = json_load_file("tests/schemas/facts_event.avsc", 0, NULL);
	snprintf(table, sizeof(table), "facts_%zu", twist);
	snprintf(name, sizeof(name), "twist%zu", twist);
	snprintf(path, sizeof(path), "%s/%s.avsc", bed->dir, name);
	json_object_set_new(json_object_get(schema, "pg"), "table", json_string(table));
	ck_assert_int_eq(json_dump_file(schema, path, 0), 0);
	json_decref(schema);
	bed_stream_files(bed, name, 1, path, NULL);
}

static void prepare(struct bed *bed, size_t twist)
{
	char facts[32], oracle[32];
	snprintf(facts, sizeof(facts), "facts_%zu", twist);
	snprintf(oracle, sizeof(oracle), "oracle_%zu", twist);
	bed_sql(bed, "CREATE TABLE IF NOT EXISTS plain (LIKE %s)", facts);
	bed_sql(bed, "CREATE TABLE %s (LIKE %s INCLUDING ALL)", oracle, facts);
	char *on_facts = with_table(twists[twist], facts);
	char *on_oracle = with_table(twists[twist], oracle);
	char *apply = with_table(apply_sql, oracle);
	bed_sql(bed, "%s", on_facts);
	bed_sql(bed, "%s", on_oracle);
	bed_sql(bed, "%s", apply);
	bed_sql(bed, "ALTER TABLE %s OWNER TO memingest", oracle);
	free(on_facts);
	free(on_oracle);
	free(apply);
}

static void show(struct bed *bed, const char *what, size_t twist, struct pg_rows *rows)
{
	(void)bed;
	for (size_t r = 0; r < pg_rows_count(rows) && r < 10; r++) {
		printf("twist %zu: %s:", twist, what);
		for (size_t c = 0; c < pg_rows_columns(rows); c++)
			printf(" %s=%s", pg_rows_name(rows, c),
			       pg_value(rows, r, c) ? pg_value(rows, r, c) : "null");
		printf("\n");
	}
}

/* Nothing may come of the query. */
static size_t differences(struct bed *bed, const char *what, size_t twist, struct pg_rows *rows)
{
	size_t n = pg_rows_count(rows);
	show(bed, what, twist, rows);
	pg_rows_free(rows);
	return n;
}

#define COLUMNS                                                                                    \
	"event_time, id, spot, parent, place, amount, small, weight, lowest, highest, first, "     \
	"note, doc"

static size_t compare(struct bed *bed, size_t twist)
{
	/* as the worker's role, to which row security applies as well */
	bed_sql(bed,
		"SET ROLE memingest; UPDATE history SET verdict = v.verdict FROM"
		" (SELECT n, apply_oracle_%zu(e) AS verdict FROM"
		"  (SELECT * FROM history WHERE twist = %zu ORDER BY n OFFSET 0) h) v"
		" WHERE history.twist = %zu AND history.n = v.n; RESET ROLE",
		twist, twist, twist);
	size_t n = differences(bed, "not in the table", twist,
			       bed_query(bed,
					 "SELECT " COLUMNS " FROM oracle_%zu EXCEPT SELECT " COLUMNS
					 " FROM facts_%zu",
					 twist, twist));
	n += differences(bed, "too many in the table", twist,
			 bed_query(bed,
				   "SELECT " COLUMNS " FROM facts_%zu EXCEPT SELECT " COLUMNS
				   " FROM oracle_%zu",
				   twist, twist));
	n += differences(
		bed, "verdict differs", twist,
		bed_query(
			bed,
			"SELECT n, verdict, \"offset\", reason, detail, e FROM"
			" (SELECT * FROM history WHERE twist = %zu AND verdict IS NOT NULL) h"
			" FULL JOIN (SELECT * FROM memingest.dead_letters WHERE stream = "
			"'twist%zu') d"
			" ON d.\"offset\" = h.n"
			" WHERE n IS NULL OR \"offset\" IS NULL OR position('SQLSTATE' IN detail) "
			"= 0",
			twist, twist));
	return n;
}

/*
 * Proves: with constraints that tie rows of different keys together, with values that the table
 * refuses on the way, with triggers and row security, and with none of it, the table holds what one
 * event after the other leaves there, and the dead letters are just the events that PostgreSQL
 * refuses alone; whatever the size of the batches, and so the way that they go.
 */
START_TEST(as_if_alone)
{
	static const char *const sizes[] = {"7", "50", "700"};
	size_t first = (size_t)_i / 3 * GROUP, n = MIN(GROUP, ARRAY_LEN(twists) - first), bad = 0;
	struct bed *bed = bed_new("judged");
	bed_set(bed, "batch.max_rows", "%s", sizes[_i % 3]);
	bed_set(bed, "batch.max_age", "300ms");
	bed_set(bed, "batch.adaptive", "off");
	bed_set(bed, "dlq.max_ratio", "1");
	for (size_t i = 0; i < n; i++)
		add_stream(bed, first + i);
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	bed_sql(bed, "CREATE TABLE history (twist int, n int, e jsonb, verdict text);"
		     "ALTER TABLE history OWNER TO memingest");
	for (size_t i = 0; i < n; i++) {
		char name[32];
		snprintf(name, sizeof(name), "twist%zu", first + i);
		rng = (uint64_t)_i * 1000 + i;
		prepare(bed, first + i);
		send_history(bed, name, first + i);
	}
	struct worker *w = worker_start(bed, NULL);
	bed_drain(bed, 60);
	worker_stop(w);
	for (size_t i = 0; i < n; i++)
		bad += compare(bed, first + i);
	ck_assert_uint_eq(bad, 0);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM memingest.batches WHERE rows <> merged "
				      "+ superseded + dead OR superseded < 0"),
			 0);
	bed_free(bed);
}
END_TEST

static void judge_tests(TCase *tc)
{
	tcase_add_loop_test(tc, as_if_alone, 0, 3 * (int)((ARRAY_LEN(twists) + GROUP - 1) / GROUP));
}
SYSTEM_SUITE("judge", 120, judge_tests)

/*
 * test_ask.c - "memingest search" against a database: what it prints is what the table's search
 * function returns, by filter, key and distance, and its failures say what to do.
 *
 * Not here: that searches find what is there (test_search.c), usage (tests/unit/test_search.c).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "near.h"
#include "system.h"
#include "vectors.h"

/* The vector of row number i as a file of the bed; its path, which lasts until the next call. */
static const char *vector_file(struct bed *bed, int i)
{
	static char path[200];
	snprintf(path, sizeof(path), "%s/vector.json", bed->dir);
	struct pg_rows *rows =
		bed_query(bed, "SELECT " NEAR_VECTOR "::text FROM (SELECT %d AS i) x", i);
	FILE *f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fputs(pg_value(rows, 0, 0), f);
	ck_assert_int_eq(fclose(f), 0);
	pg_rows_free(rows);
	return path;
}

/* "search ..." must end with the status; returns its output, which the caller frees. */
static char *ask(struct bed *bed, int status, const char *fmt, ...)
{
	char line[400];
	va_list args;
	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	return bed_says(bed, status, line);
}

static struct bed *ask_bed(const char *name)
{
	struct bed *bed = near_bed(name);
	bed_expect(bed, 0, "migrate", "created the search functions of near");
	near_insert(bed, 0, 400);
	bed_sql(bed, "UPDATE near SET note = 'note of ' || id || E',\\nin two lines\\x1b[2J'");
	return bed;
}

/*
 * Proves: the row whose vector is asked for comes first, at distance 0, with key and text on one
 * line; k limits; a filter leaves the others out; a filter that fits nothing says so and is no
 * failure.
 */
START_TEST(lines)
{
	struct bed *bed = ask_bed("lines");
	const char *path = vector_file(bed, 123);
	char *out = ask(bed, 0, "search near --vector %s --k 3", path);
	ck_assert_msg(
		strncmp(out, "  1    0.0000  id-123  note of id-123, in two lines?[2J\n", 56) == 0,
		"%s", out);
	ck_assert(strstr(out, "\n  3 ") && !strstr(out, "\n  4 "));
	free(out);
	out = ask(bed, 0, "search near --vector %s --filter tenant=t1", path);
	struct pg_rows *rows = bed_query(
		bed, "SELECT id FROM (SELECT 123 AS i) x, memingest.search_near(" NEAR_VECTOR
		     ", 10, tenant => 't1') s ORDER BY distance");
	ck_assert_uint_eq(pg_rows_count(rows), 10);
	const char *at = out;
	for (size_t i = 0; i < 10; i++) {
		char wanted[40];
		snprintf(wanted, sizeof(wanted), "  %s ", pg_value(rows, i, 0));
		ck_assert_msg((at = strstr(at, wanted)) != NULL, "%s not in its place: %s", wanted,
			      out);
	}
	ck_assert_ptr_null(strstr(out, "id-123 "));
	pg_rows_free(rows);
	free(out);
	out = ask(bed, 0, "search near --vector %s --filter tenant=nobody", path);
	ck_assert_str_eq(out, "nothing: near has no row with a vector that fits the filters\n");
	free(out);
	bed_free(bed);
}
END_TEST

/* Proves: --json is one object a row, in order, with all columns but the vector, as they are. */
START_TEST(documents)
{
	struct bed *bed = ask_bed("documents");
	char *out = ask(bed, 0, "search near --vector %s --k 5 --json", vector_file(bed, 7)),
	     *rest = NULL;
	size_t n = 0;
	double last = 0;
	for (char *line = strtok_r(out, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		json_t *found = json_loads(line, 0, NULL), *row = json_object_get(found, "row");
		double distance = json_number_value(json_object_get(found, "distance"));
		ck_assert_int_eq(json_integer_value(json_object_get(found, "rank")), (int)++n);
		ck_assert_double_ge(distance, last);
		ck_assert_ptr_null(json_object_get(row, "spot"));
		ck_assert_uint_eq(json_object_size(row), 6);
		if (n == 1) {
			ck_assert_double_lt(distance, 1e-6);
			ck_assert_str_eq(json_string_value(json_object_get(row, "note")),
					 "note of id-7,\nin two lines\033[2J");
			ck_assert_str_eq(json_string_value(json_object_get(row, "tenant")), "t2");
		}
		last = distance;
		json_decref(found);
	}
	ck_assert_uint_eq(n, 5);
	free(out);
	out = ask(bed, 0, "search near --vector %s --filter tenant=nobody --json",
		  vector_file(bed, 7));
	ck_assert_str_eq(out, "");
	free(out);
	bed_free(bed);
}
END_TEST

/*
 * Proves: before migrate, and without the rights of a searcher, the failure names the command that
 * mends it; with what that prints, and no more, the search works.
 */
START_TEST(mended)
{
	struct bed *bed = near_bed("mended");
	char role[56], line[300];
	snprintf(role, sizeof(role), "%s_s", bed->name);
	snprintf(line, sizeof(line), "search near --vector %s", vector_file(bed, 1));
	snprintf(bed->role, sizeof(bed->role), "memingest_owner");
	bed_expect(bed, 78, line, "run \"memingest migrate\"");
	bed_expect(bed, 0, "migrate", "created the search functions of near");
	bed_expect(bed, 0, line, "nothing: near has no row with a vector\n");
	near_insert(bed, 0, 10);
	bed_sql(bed,
		"DROP ROLE IF EXISTS %s; CREATE ROLE %s LOGIN; GRANT CONNECT ON DATABASE %s TO %s;"
		"REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA memingest FROM PUBLIC",
		role, role, bed->name, role);
	struct buf grants = {0};
	ck_assert_int_eq(bed_command(bed, "migrate",
				     (const char *[]){"--search-grants", role, NULL}, &grants),
			 0);
	snprintf(bed->role, sizeof(bed->role), "%s", role);
	bed_expect(bed, 78, line, "\"memingest migrate --search-grants ROLE\" prints");
	bed_sql(bed, "%s", buf_cstr(&grants));
	bed_expect(bed, 0, line, "  1    0.0000  id-1 ");
	buf_free(&grants);
	bed_sql(bed, "DROP OWNED BY %s; DROP ROLE %s", role, role);
	bed_free(bed);
}
END_TEST

/*
 * Proves: a text is asked about by the model of the rows' field, with the prefix of questions, not
 * with that of rows or none, and also of a server that knows no base64; what the endpoint says
 * about a text, a key or its own state is the failure, by its kind. A filter's value that its
 * column can not have is named.
 */
START_TEST(texts)
{
	struct bed *bed = vectors_bed("texts");
	struct vectors *v = vectors_start(bed);
	static const char line[] = "search asked lantern --k 3 --filter rank=7";
	bed_stream_files(bed, "asked", 1, "tests/schemas/asked_event.avsc", NULL);
	bed_expect(bed, 0, "migrate", "created the search functions of asked");
	bed_sql(bed, "INSERT INTO asked (event_time, id, rank, note, spot) SELECT now(), id, 7, id"
		     " || ' one', vector_of(said || 'lantern', 8) FROM (VALUES ('bare', ''),"
		     " ('told', 'tell: '), ('asked', 'ask: ')) x (id, said)");
	bed_expect(bed, 0, line, "  1    0.0000  asked  asked one\n");
	bed_expect(bed, 0, "search asked lantern --json",
		   "{\"rank\": 1, \"distance\": 0, \"row\": {"
		   "\"id\":\"asked\",");
	v->no_base64 = true;
	bed_expect(bed, 0, line, "  1    0.0000  asked  asked one\n");
	v->poison = "lantern";
	bed_expect(bed, 65, line, "a text is too long for this model");
	v->poison = NULL;
	bed_expect(bed, 65, "search asked lantern --filter rank=first",
		   "--filter rank: PostgreSQL: ");
	v->status = 503;
	v->failing = 1;
	bed_expect(bed, 69, line, "embed.stub: status 503: not now");
	v->dim = 7;
	bed_expect(bed, 78, line, "embed.stub: ");
	v->dim = 8;
	snprintf(v->key, sizeof(v->key), "secret");
	bed_expect(bed, 78, line, "set key_file");
	vectors_stop(v);
	bed_free(bed);
}
END_TEST

static void ask_tests(TCase *tc)
{
	tcase_add_test(tc, lines);
	tcase_add_test(tc, documents);
	tcase_add_test(tc, mended);
	tcase_add_test(tc, texts);
}

SYSTEM_SUITE("ask", 60, ask_tests)

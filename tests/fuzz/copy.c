/*
 * copy.c - rows through a real PostgreSQL and back: make fuzz-copy.
 *
 *   copy DSN SEED ROUNDS
 *
 * Under each pair of schemas (pairs.c): the corpora of fuzz_decode and fuzz_peek, random data, and
 * random data with a few bytes changed. What the decoder takes goes by one COPY BINARY into a table
 * of the columns' types and is asked for twice:
 *
 *   COPY BINARY out    each field has the bytes that we sent (jsonb: the same value)
 *   as text            each field is what pgtext.c says (jsonb: the same value)
 *
 * Any difference, and any row that PostgreSQL refuses (the decoder is to know all that a type's
 * input function knows), is printed with the pair's number and the datum; exit 1.
 */
#include <dirent.h>
#include <jansson.h>
#include <libpq-fe.h>

#include "../unit/random_avro.h"
#include "codec/decode.h"
#include "codec/pgtext.h"
#include "fuzz.h"
#include "pairs.h"

enum { MAX_ROWS = 4000 };

static const struct decode_limits limits = {.max_depth = 64,
					    .max_items = 100000,
					    .max_string_bytes = 1 << 20,
					    .max_row_bytes = 1 << 22,
					    .max_key_bytes = 2600};

/* The rows of one pair, one behind the other, with the data that they are of. */
struct rows {
	size_t n, at[MAX_ROWS + 1], datum_at[MAX_ROWS + 1];
	struct buf rows, data;
};

struct run {
	PGconn *conn;
	struct random random;
	struct decoder *decoder;
	struct pair pair;
	size_t number;
	struct rows rows;
	unsigned long long taken, refused, faults;
};

/* --- rows --- */

static void take(struct run *r, struct slice datum)
{
	struct rows *rows = &r->rows;
	struct record record = {0};
	struct err err = {0};
	if (rows->n == MAX_ROWS)
		return;
	if (!decode_record(r->decoder, r->pair.plan, datum, &rows->rows, &record, &err)) {
		r->refused++;
		return;
	}
	buf_put(&rows->data, datum.data, datum.len);
	rows->n++;
	rows->at[rows->n] = rows->rows.len;
	rows->datum_at[rows->n] = rows->data.len;
	r->taken++;
}

static void take_file(struct run *r, const char *path)
{
	struct buf bytes = {0};
	FILE *f = fopen(path, "rb");
	int c;
	if (!f)
		give_up(path, "cannot be opened");
	while ((c = fgetc(f)) != EOF)
		buf_u8(&bytes, (uint8_t)c);
	fclose(f);
	if (bytes.len > 0 && bytes.data[0] % PAIRS == r->number)
		take(r, (struct slice){bytes.data + 1, bytes.len - 1});
	buf_free(&bytes);
}

static void take_corpus(struct run *r, const char *folder)
{
	DIR *dir = opendir(folder);
	if (!dir)
		give_up(folder, "cannot be opened; run from the top of the tree");
	for (struct dirent *d; (d = readdir(dir)) != NULL;) {
		char path[500];
		snprintf(path, sizeof(path), "%s/%s", folder, d->d_name);
		if (d->d_name[0] != '.')
			take_file(r, path);
	}
	closedir(dir);
}

/* A datum, and it with some bytes changed, which now and then is one again. */
static void take_random(struct run *r, const struct buf *writer, int rounds)
{
	avro_schema_t schema;
	avro_value_t value;
	struct buf datum = {0};
	if (avro_schema_from_json_length((char *)writer->data, writer->len, &schema) != 0)
		return; /* the schema of everything has a default that Avro-C does not read */
	avro_value_iface_t *class = avro_generic_class_from_schema(schema);
	avro_generic_value_new(class, &value);
	for (int i = 0; i < rounds; i++) {
		avro_value_reset(&value);
		random_fill(&r->random, r->pair.writer->root, &value);
		datum.len = 0;
		random_encode(&r->random, &value, &datum);
		take(r, (struct slice){datum.data, datum.len});
		for (int k = 0; k < 4 && datum.len > 0; k++) {
			datum.data[random_below(&r->random, datum.len)] =
				(uint8_t)random_bits(&r->random);
			take(r, (struct slice){datum.data, datum.len});
		}
	}
	avro_value_decref(&value);
	avro_value_iface_decref(class);
	avro_schema_decref(schema);
	buf_free(&datum);
}

/* --- PostgreSQL --- */

static PGresult *run_sql(struct run *r, const char *sql, ExecStatusType want)
{
	PGresult *result = PQexec(r->conn, sql);
	if (PQresultStatus(result) != want)
		give_up(sql, PQerrorMessage(r->conn));
	return result;
}

static void do_sql(struct run *r, const char *sql)
{
	PQclear(run_sql(r, sql, PGRES_COMMAND_OK));
}

static void make_table(struct run *r)
{
	struct buf sql = {0};
	const struct table *t = r->pair.table;
	buf_puts(&sql, "DROP TABLE IF EXISTS t; CREATE TEMP TABLE t (");
	for (size_t i = 0; i < t->ncolumns; i++)
		buf_printf(&sql, "%sc%zu %s", i ? ", " : "", i, t->columns[i].stage_type);
	buf_puts(&sql, ", n int)");
	do_sql(r, buf_cstr(&sql));
	buf_free(&sql);
}

/* Rows from..to - 1. False: refused, with the server's words. */
static bool copy_in(struct run *r, size_t from, size_t to, struct buf *why)
{
	static const char head[19] = "PGCOPY\n\377\r\n";
	struct buf out = {0};
	PQclear(run_sql(r, "COPY t FROM STDIN (FORMAT binary)", PGRES_COPY_IN));
	buf_put(&out, head, sizeof(head));
	for (size_t i = from; i < to; i++) {
		buf_be16(&out, (uint16_t)(r->pair.table->ncolumns + 1));
		buf_put(&out, r->rows.rows.data + r->rows.at[i], r->rows.at[i + 1] - r->rows.at[i]);
		buf_be32(&out, 4);
		buf_be32(&out, (uint32_t)i);
	}
	buf_be16(&out, UINT16_MAX);
	if (PQputCopyData(r->conn, (char *)out.data, (int)out.len) != 1 ||
	    PQputCopyEnd(r->conn, NULL) != 1)
		give_up("COPY", PQerrorMessage(r->conn));
	PGresult *result = PQgetResult(r->conn);
	bool ok = PQresultStatus(result) == PGRES_COMMAND_OK;
	why->len = 0;
	buf_puts(why, ok ? "" : PQresultErrorMessage(result));
	PQclear(result);
	while ((result = PQgetResult(r->conn)) != NULL)
		PQclear(result);
	buf_free(&out);
	return ok;
}

static void print_bytes(const char *what, struct slice bytes)
{
	printf("  %s ", what);
	for (size_t i = 0; i < bytes.len; i++)
		printf("%02x", bytes.data[i]);
	printf("\n");
}

static void fault(struct run *r, size_t row, const char *what, const char *why)
{
	printf("pair %zu, row %zu: %s: %s\n  datum ", r->number, row, what, why);
	for (size_t i = r->rows.datum_at[row]; i < r->rows.datum_at[row + 1]; i++)
		printf("%02x", r->rows.data.data[i]);
	printf("\n");
	r->faults++;
}

/* All in one, or those that PostgreSQL takes one by one. */
static void copy_all(struct run *r)
{
	struct buf why = {0};
	if (!copy_in(r, 0, r->rows.n, &why))
		for (size_t i = 0; i < r->rows.n; i++)
			if (!copy_in(r, i, i + 1, &why))
				fault(r, i, "refused", buf_cstr(&why));
	buf_free(&why);
}

/* --- comparing --- */

static bool same_json(const char *a, size_t a_len, const char *b, size_t b_len)
{
	/* what PostgreSQL writes out with all its zeros is no integer to jansson */
	size_t flags = JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL;
	json_t *x = json_loadb(a, a_len, flags, NULL), *y = json_loadb(b, b_len, flags, NULL);
	bool same = json_equal(x, y) || !x; /* 1e999 is more than jansson has */
	json_decref(x);
	json_decref(y);
	return same;
}

static bool same_field(const struct column *c, struct slice ours, struct slice theirs)
{
	bool same = ours.len == theirs.len && memcmp(ours.data, theirs.data, ours.len) == 0;
	if (c->kind == PG_JSONB && ours.len > 0 && theirs.len > 0)
		same = same_json((const char *)ours.data + 1, ours.len - 1,
				 (const char *)theirs.data + 1, theirs.len - 1);
	if (!same) {
		print_bytes("sent", ours);
		print_bytes("came back", theirs);
	}
	return same;
}

/* A word or number of both; false: they differ. */
static bool same_token(const char **a, const char **b, bool single)
{
	static const char *const words[][2] = {{"true", "t"}, {"false", "f"}};
	char *a_end, *b_end;
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		size_t n = strlen(words[i][0]);
		if (strncmp(*a, words[i][0], n) == 0 && **b == *words[i][1]) {
			*a += n;
			*b += 1;
			return true;
		}
	}
	double x = strtod(*a, &a_end), y = strtod(*b, &b_end);
	if (a_end == *a || (single ? (float)x != (float)y : x != y))
		return false;
	*a = a_end;
	*b = b_end;
	return true;
}

/* pgtext says true for t, and floats with other digits for the same number. */
static bool same_words(const char *a, const char *b, bool single)
{
	while (*a || *b) {
		if (same_token(&a, &b, single))
			continue;
		if (*a++ != *b++)
			return false;
	}
	return true;
}

static bool same_text(const struct column *c, struct slice ours, const char *theirs)
{
	struct buf text = {0};
	enum pg_kind kind = c->kind == PG_ARRAY ? c->element : c->kind;
	bool single = kind == PG_FLOAT4 || kind == PG_VECTOR || kind == PG_HALFVEC;
	pgtext_value(c, ours, &text);
	const char *mine = buf_cstr(&text);
	bool same = c->kind == PG_JSONB ? same_json(mine, strlen(mine), theirs, strlen(theirs))
		    : single || kind == PG_FLOAT8 || kind == PG_BOOL
			    ? same_words(mine, theirs, single)
			    : strcmp(mine, theirs) == 0;
	if (!same)
		printf("  pgtext %s\n  server %s\n", mine, theirs);
	buf_free(&text);
	return same;
}

/* Results: the same row in binary and as text; the number of the row stands last. */
static void check_row(struct run *r, const PGresult *binary, const PGresult *text, int line)
{
	const struct table *t = r->pair.table;
	size_t row = (size_t)strtoul(PQgetvalue(text, line, (int)t->ncolumns), NULL, 10);
	const uint8_t *p = r->rows.rows.data + r->rows.at[row];
	for (size_t i = 0; i < t->ncolumns; i++) {
		const struct column *c = &t->columns[i];
		uint32_t len = get_be32(p);
		bool null = len == UINT32_MAX;
		struct slice ours = {p + 4, null ? 0 : len};
		struct slice theirs = {(const uint8_t *)PQgetvalue(binary, line, (int)i),
				       (size_t)PQgetlength(binary, line, (int)i)};
		if (null != PQgetisnull(text, line, (int)i))
			fault(r, row, c->name, "null");
		else if (!null && !same_field(c, ours, theirs))
			fault(r, row, c->stage_type, "other bytes");
		else if (!null && !same_text(c, ours, PQgetvalue(text, line, (int)i)))
			fault(r, row, c->stage_type, "another text");
		p += 4 + ours.len;
	}
}

static void check_all(struct run *r)
{
	static const char sql[] = "SELECT * FROM t ORDER BY n";
	PGresult *text = run_sql(r, sql, PGRES_TUPLES_OK);
	PGresult *binary = PQexecParams(r->conn, sql, 0, NULL, NULL, NULL, NULL, 1);
	if (PQntuples(binary) != PQntuples(text))
		give_up("rows", "lost");
	for (int line = 0; line < PQntuples(text); line++)
		check_row(r, binary, text, line);
	PQclear(binary);
	PQclear(text);
}

static void run_pair(struct run *r, size_t number, int rounds)
{
	struct buf writer = {0};
	r->number = number;
	r->rows.n = r->rows.rows.len = r->rows.data.len = 0;
	pair_make(&r->pair, number, &writer);
	take_corpus(r, "tests/fuzz/corpus/peek");
	take_corpus(r, "tests/fuzz/corpus/decode");
	take_random(r, &writer, rounds);
	make_table(r);
	copy_all(r);
	check_all(r);
	pair_free(&r->pair);
	buf_free(&writer);
}

int main(int argc, char **argv)
{
	static struct run r;
	if (argc != 4) {
		fprintf(stderr, "usage: copy DSN SEED ROUNDS\n");
		return 64;
	}
	r.conn = PQconnectdb(argv[1]);
	if (PQstatus(r.conn) != CONNECTION_OK)
		give_up("PostgreSQL", PQerrorMessage(r.conn));
	r.random.state = strtoull(argv[2], NULL, 10);
	r.decoder = decoder_new(&limits);
	do_sql(&r, "SET TimeZone = UTC; SET IntervalStyle = postgres; SET client_min_messages = "
		   "warning");
	for (size_t i = 0; i < PAIRS; i++)
		run_pair(&r, i, (int)strtol(argv[3], NULL, 10));
	printf("seed %s: %llu rows there and back under %d pairs of schemas, %llu data refused by "
	       "the decoder, %llu faults\n",
	       argv[2], r.taken, PAIRS, r.refused, r.faults);
	decoder_free(r.decoder);
	PQfinish(r.conn);
	return r.faults > 0;
}

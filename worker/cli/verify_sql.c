/*
 * verify_sql.c - the statements of a check.
 *
 *   table --one snapshot--> was     (key, hash of the judged columns, version)
 *   topic --pipeline-----> rows     (the stream's columns)
 *   was, rows --join by key--> found
 *
 * The table is not copied: a hash of eight bytes a row says whether a row differs, and of those
 * that do the values are read from the table itself, where the row still has that hash. A hash is
 * equal where values are "not distinct", so 1.0 and 1.00 of a numeric, -0 and 0, and jsonb in any
 * order are the same. Two rows that differ and have the same hash: once in 10^19.
 *
 * A column is judged if what was read decides it: all of them, unless reading began later than the
 * key's first event; then only those whose last event decides.
 *
 * Failure: errors of the server, with what was being done.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/verify.h"
#include "core/ddl.h"
#include "core/sqlname.h"

/* worker/sql */
extern const char sql_verify_was[], sql_verify_rows[], sql_verify_found[];

/* ---- columns ---- */

static bool is_one_of(const char *type, const char *const *types, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(type, types[i]) == 0)
			return true;
	return false;
}

/* By the name of its type, and of its array's elements. */
static void take_type(struct verify_column *c, const char *type, const char *send)
{
	static const char *const no_hash[] = {"vector", "halfvec", "sparsevec", "bit", "varbit"};
	static const char *const no_equality[] = {"json", "xml",     "point", "line",  "lseg",
						  "box",  "polygon", "path",  "circle"};
	c->as_text = is_one_of(type, no_equality, ARRAY_LEN(no_equality));
	c->by_bytes = is_one_of(type, no_hash, ARRAY_LEN(no_hash));
	c->send = xstrdup(send);
}

static bool take_columns(struct verify *v, const struct pg_rows *rows, struct err *err)
{
	const struct table *t = v->stream->table;
	for (size_t i = 0; i < t->ncolumns; i++) {
		bool found = false;
		for (size_t k = 0; k < pg_rows_count(rows); k++) {
			if (strcmp(pg_value(rows, k, 0), t->columns[i].name) != 0)
				continue;
			found = true;
			take_type(&v->columns[i], pg_value(rows, k, 1), pg_value(rows, k, 2));
		}
		if (!found)
			return err_set(err, ERR_CONFIG,
				       "column %s is not in table %s: run \"memingest migrate\"",
				       t->columns[i].name, table_full_name(t));
	}
	for (size_t k = 0; k < pg_rows_count(rows); k++)
		v->has_updated_at |= strcmp(pg_value(rows, k, 0), "updated_at") == 0 &&
				     strcmp(pg_value(rows, k, 1), "timestamptz") == 0 &&
				     !sqlname_has_column(t, "updated_at");
	return true;
}

bool verify_look_at_table(struct verify *v, struct err *err)
{
	struct buf name = {0};
	v->columns = xcalloc(v->stream->table->ncolumns, sizeof(*v->columns));
	sqlname_table(v->stream->table, &name);
	const char *params[] = {buf_cstr(&name)};
	struct pg_rows *rows = pg_query(
		v->pg,
		"SELECT a.attname, coalesce(e.typname, t.typname), t.typsend::regproc FROM "
		"pg_attribute a JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_type e ON e.oid "
		"= t.typelem AND t.typcategory = 'A' WHERE a.attrelid = $1::regclass AND a.attnum "
		"> 0 AND NOT a.attisdropped",
		params, 1, err);
	bool ok = rows && take_columns(v, rows, err);
	pg_rows_free(rows);
	buf_free(&name);
	return ok;
}

/* Once it is known how far back was read. Vectors that a model made are not made again. */
static void decide_columns(struct verify *v)
{
	const struct table *t = v->stream->table;
	bool first_stays = v->stream->config->on_conflict == CONFLICT_SKIP;
	for (size_t i = 0; i < t->ncolumns; i++)
		v->columns[i].judged =
			i < t->nkeys ||
			(table_embed_of(t, i) < 0 &&
			 (v->from_first || (t->columns[i].merge == MERGE_REPLACE && !first_stays)));
}

/* ---- words ---- */

static void put_column(struct buf *out, const char *prefix, const struct column *c)
{
	buf_printf(out, "%s.", prefix);
	buf_quoted(out, c->name, '"');
}

static void put_hashed(struct buf *out, const struct verify_column *how, const struct column *c)
{
	if (how->by_bytes)
		buf_printf(out, "%s(", how->send);
	put_column(out, "t", c);
	buf_puts(out, how->by_bytes ? ")" : how->as_text ? "::text" : "");
}

/* Of the judged columns of t; the key alone where there are no others. */
static char *hash_sql(const struct verify *v)
{
	const struct table *t = v->stream->table;
	struct buf b = {0};
	buf_puts(&b, "hash_record_extended(ROW(");
	for (size_t i = 0; i < t->ncolumns; i++) {
		if (!v->columns[i].judged)
			continue;
		buf_puts(&b, i > 0 ? ", " : "");
		put_hashed(&b, &v->columns[i], &t->columns[i]);
	}
	buf_puts(&b, "), 0)");
	return buf_take_text(&b);
}

/* "separator" between what is put of each key column. */
static char *keys_sql(const struct table *t, const char *before, const char *between,
		      const char *middle, const char *after)
{
	struct buf b = {0};
	for (size_t i = 0; i < t->nkeys; i++) {
		buf_puts(&b, i ? between : "");
		buf_puts(&b, before);
		buf_quoted(&b, t->columns[i].name, '"');
		if (middle) {
			buf_puts(&b, middle);
			buf_quoted(&b, t->columns[i].name, '"');
		}
		buf_puts(&b, after);
	}
	return buf_take_text(&b);
}

/* coalesce(w."a", r."a") AS "a", ... */
static char *both_keys_sql(const struct table *t)
{
	struct buf b = {0};
	for (size_t i = 0; i < t->nkeys; i++) {
		buf_puts(&b, i ? ", coalesce(" : "coalesce(");
		put_column(&b, "w", &t->columns[i]);
		buf_puts(&b, ", ");
		put_column(&b, "r", &t->columns[i]);
		buf_puts(&b, ") AS ");
		buf_quoted(&b, t->columns[i].name, '"');
	}
	return buf_take_text(&b);
}

/* Of use only where a version from before what was read can be in the table. */
static char *version_sql(const struct verify *v)
{
	const struct table *t = v->stream->table;
	struct buf b = {0};
	if (v->from_first || t->version < 0 || v->stream->config->on_conflict != CONFLICT_NEWER)
		return xstrdup("0");
	put_column(&b, "t", &t->columns[t->version]);
	return buf_take_text(&b);
}

/* Our own two, where the stream has none of that name: the merge sets them. */
static char *own_columns_sql(const struct table *t)
{
	struct buf b = {0};
	for (size_t i = 0; i < TABLE_OWN_COLUMNS; i++)
		if (!sqlname_has_column(t, table_own_columns[i]))
			buf_printf(&b, ", ADD COLUMN %s timestamptz DEFAULT now()",
				   table_own_columns[i]);
	return buf_take_text(&b);
}

/* Each field behind its length. */
void verify_put_key_bytes(const struct table *t, const struct verify_column *columns,
			  const char *prefix, struct buf *out)
{
	for (size_t i = 0; i < t->nkeys; i++) {
		buf_printf(out, "%sint4send(octet_length(%s(", i ? " || " : "", columns[i].send);
		put_column(out, prefix, &t->columns[i]);
		buf_printf(out, "))) || %s(", columns[i].send);
		put_column(out, prefix, &t->columns[i]);
		buf_puts(out, ")");
	}
}

/* The same as verify_wants(). */
static char *sample_sql(const struct verify *v)
{
	struct buf b = {0};
	if (!v->sample)
		return xstrdup("true");
	buf_puts(&b, "('x' || encode(substring(sha256(");
	verify_put_key_bytes(v->stream->table, v->columns, "t", &b);
	buf_printf(&b, ") FOR 4), 'hex'))::bit(32)::bigint < %" PRIu64, v->sampled);
	return buf_take_text(&b);
}

/* The texts of worker/sql with all words that any of them has. */
static char *fill(const struct verify *v, const char *sql)
{
	const struct table *t = v->stream->table;
	struct buf table = {0}, columns = {0}, out = {0};
	sqlname_table(t, &table);
	sqlname_columns(&columns, t, t->ncolumns);
	char *keys = keys_sql(t, "", ", ", NULL, ""), *hash = hash_sql(v);
	char *both = both_keys_sql(t), *same = keys_sql(t, "w.", " AND ", " = r.", "");
	char *version = version_sql(v), *own = own_columns_sql(t), *sample = sample_sql(v);
	const struct sqlname_word words[] = {{"table", buf_cstr(&table)},
					     {"columns", buf_cstr(&columns)},
					     {"keys", keys},
					     {"hash", hash},
					     {"both_keys", both},
					     {"same_key", same},
					     {"version", version},
					     {"newer", "w._version > r._version"},
					     {"own_columns", own},
					     {"sample", sample},
					     {"join", v->whole ? "FULL" : "RIGHT"},
					     {"was", v->was},
					     {"rows", v->rows},
					     {"found", v->found}};
	sqlname_fill(&out, sql, words, ARRAY_LEN(words));
	free(keys);
	free(hash);
	free(both);
	free(same);
	free(version);
	free(own);
	free(sample);
	buf_free(&table);
	buf_free(&columns);
	return buf_take_text(&out);
}

static bool run(struct verify *v, const char *sql, const char *doing, struct err *err)
{
	char *text = fill(v, sql);
	bool ok = pg_exec(v->pg, text, NULL, 0, err);
	free(text);
	return ok || err_wrap(err, "%s", doing);
}

/* ---- the steps ---- */

bool verify_copy_table(struct verify *v, struct err *err)
{
	decide_columns(v);
	return run(v, sql_verify_was, "reading the table", err);
}

bool verify_make_rows(struct verify *v, struct err *err)
{
	struct buf settings = {0};
	const struct table *t = v->stream->table;
	bool ok = run(v, sql_verify_rows, "making a table for what the topic says", err);
	for (size_t i = 0; i < t->ncolumns; i++)
		ddl_put_setting(&settings, v->rows, &t->columns[i], "STORAGE",
				t->columns[i].storage);
	ok = ok && (settings.len == 0 || pg_exec(v->pg, buf_cstr(&settings), NULL, 0, err));
	buf_free(&settings);
	return ok;
}

/* The counts, in the order of the columns. */
static bool count(struct verify *v, struct err *err)
{
	int64_t *const counts[] = {&v->in_table, &v->by_topic, &v->differ,
				   &v->missing,  &v->extra,    &v->newer};
	char *sql = fill(v, "SELECT (SELECT count(*) FROM :was), (SELECT count(*) FROM :rows), "
			    "count(*) FILTER (WHERE _kind = 'differs'), count(*) FILTER (WHERE "
			    "_kind = 'missing'), count(*) FILTER (WHERE _kind = 'extra'), count(*) "
			    "FILTER (WHERE _kind = 'newer') FROM :found");
	struct pg_rows *rows = pg_query(v->pg, sql, NULL, 0, err);
	for (size_t i = 0; rows && i < ARRAY_LEN(counts); i++)
		*counts[i] = pg_int(rows, 0, i);
	pg_rows_free(rows);
	free(sql);
	return rows != NULL;
}

bool verify_compare(struct verify *v, struct err *err)
{
	return run(v, sql_verify_found, "comparing", err) && count(v, err);
}

/* ('a', t."a"::text, r."a"::text, t."a" IS DISTINCT FROM r."a"), ... */
static void put_values(const struct verify *v, struct buf *out)
{
	const struct table *t = v->stream->table;
	const char *between = "";
	for (size_t i = t->nkeys; i < t->ncolumns; i++) {
		const struct column *c = &t->columns[i];
		const char *cast = v->columns[i].as_text ? "::text" : "";
		if (!v->columns[i].judged)
			continue;
		buf_printf(out, "%s(", between);
		buf_quoted(out, c->name, '\'');
		buf_puts(out, ", ");
		put_column(out, "t", c);
		buf_puts(out, "::text, ");
		put_column(out, "r", c);
		buf_puts(out, "::text, ");
		put_column(out, "t", c);
		buf_printf(out, "%s IS DISTINCT FROM ", cast);
		put_column(out, "r", c);
		buf_printf(out, "%s)", cast);
		between = ", ";
	}
	if (between[0] == '\0')
		buf_puts(out, "(NULL::text, NULL::text, NULL::text, false)");
}

/*
 * A row for each column that differs, and one for each row that is missing or too many: its place
 * in the list, kind, whether the table has it as it was, column, value in the table, value by the
 * topic; then the key's columns.
 */
struct pg_rows *verify_list(struct verify *v, size_t limit, struct err *err)
{
	const struct table *t = v->stream->table;
	struct buf values = {0};
	put_values(v, &values);
	char *keys = keys_sql(t, "f.", ", ", NULL, "");
	char *texts = keys_sql(t, "f.", ", ", NULL, "::text");
	char *to_table = keys_sql(t, "t.", " AND ", " = f.", "");
	char *to_rows = keys_sql(t, "r.", " AND ", " = f.", "");
	char *sql = xasprintf(
		"WITH f AS (SELECT row_number() OVER (ORDER BY %s) AS _n, f.* FROM :found AS f "
		"WHERE _kind <> 'newer' ORDER BY 1 LIMIT %zu) SELECT f._n, f._kind, t._same, "
		"c.name, c.in_table, c.by_topic, %s FROM f LEFT JOIN LATERAL (SELECT true AS "
		"_same, * FROM :table AS t WHERE %s AND :hash = f._was) AS t ON true LEFT JOIN "
		":rows AS r ON %s LEFT JOIN LATERAL (VALUES %s) AS c (name, in_table, by_topic, "
		"differs) ON c.differs AND t._same AND f._kind = 'differs' ORDER BY f._n, c.name",
		keys, limit, texts, to_table, to_rows, buf_cstr(&values));
	char *text = fill(v, sql);
	struct pg_rows *rows = pg_query(v->pg, text, NULL, 0, err);
	free(text);
	free(sql);
	free(keys);
	free(texts);
	free(to_table);
	free(to_rows);
	buf_free(&values);
	return rows;
}

static uint8_t digit(char c)
{
	return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

void verify_take_bytes(const char *hex, uint8_t **bytes, size_t *len)
{
	*bytes = NULL;
	*len = 0;
	if (!hex)
		return;
	*len = strlen(hex) / 2;
	*bytes = xmalloc(*len + 1);
	for (size_t i = 0; i < *len; i++)
		(*bytes)[i] = (uint8_t)(digit(hex[2 * i]) << 4 | digit(hex[2 * i + 1]));
}

struct pg_rows *verify_origins(struct verify *v, size_t limit, struct err *err)
{
	const struct table *t = v->stream->table;
	struct buf bytes = {0}, pipeline = {0};
	verify_put_key_bytes(t, v->columns, "f", &bytes);
	pg_quote_literal(&pipeline, v->pipeline);
	char *keys = keys_sql(t, "f.", ", ", NULL, "");
	char *sql = xasprintf(
		"WITH f AS (SELECT row_number() OVER (ORDER BY %s) AS _n, f.* FROM :found AS f "
		"WHERE _kind <> 'newer' ORDER BY 1 LIMIT %zu) SELECT f._n, encode(%s, 'hex'), "
		"b.topic, "
		"b.partition, b.from_offset, b.to_offset FROM f LEFT JOIN memingest.batches b ON "
		"b.pipeline = %s AND b.xmin = f._xmin ORDER BY 1",
		keys, limit, buf_cstr(&bytes), buf_cstr(&pipeline));
	char *text = fill(v, sql);
	struct pg_rows *rows = pg_query(v->pg, text, NULL, 0, err);
	free(text);
	free(sql);
	free(keys);
	buf_free(&bytes);
	buf_free(&pipeline);
	return rows;
}

/*
 * catalog_search.c - reads what PostgreSQL has of a table's search by nearness, and says what is
 * wrong with it.
 *
 * A search whose segments are not kept stays right and becomes slow, so nobody notices but by
 * looking: that is why "check" looks. What it cannot see from here is the server's /dev/shm, which
 * a build on several cores needs (docs/SEARCH.md).
 *
 * Reads only. Needs the right to read memingest.searches and memingest.segments; where that is
 * lacking nothing more is said of a stream.
 */
#include "cli/catalog_search.h"

#include <inttypes.h>
#include <string.h>

#include "cli/catalog.h"
#include "codec/table.h"

#define FEW_ROWS 100000 /* in one graph */

extern const char sql_search_check[];

bool catalog_search_read(struct pg *pg, const struct searchsql *s, bool books,
			 struct catalog_search *f, struct err *err)
{
	const char *params[] = {
		s->table_name, s->segments, s->search,     s->segments_note, s->functions_note,
		s->index_path, s->found,    s->types_note, s->key,           s->apart};
	struct pg_rows *rows = pg_query(
		pg,
		books ? "SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass($1)"
			" AND attname = 'search_xid' AND NOT attisdropped),"
			" coalesce(pg_relation_size(to_regclass($1)), 0) < " SMALL_TABLE ","
			" to_regclass($6) IS NOT NULL,"
			" EXISTS (SELECT FROM memingest.searches WHERE \"table\" = $9),"
			" EXISTS (SELECT FROM memingest.searches s, pg_control_system() c"
			" WHERE s.\"table\" = $9 AND s.system_id <> c.system_identifier"
			" AND coalesce(pg_snapshot_xmax(s.sealed)"
			" > pg_snapshot_xmax(pg_current_snapshot()), true)),"
			" to_regclass($2) IS NOT NULL, to_regproc($3) IS NOT NULL,"
			" coalesce(obj_description(to_regclass($2), 'pg_class') = $4, false),"
			" coalesce(obj_description(to_regproc($3), 'pg_proc') = $5, false),"
			" to_regtype($7) IS NOT NULL,"
			" coalesce(obj_description(to_regtype($7), 'pg_type') = $8, false),"
			" to_regproc($10) IS NOT NULL"
		      : "SELECT false, coalesce(pg_relation_size(to_regclass($1)), 0) "
			"< " SMALL_TABLE
			", to_regclass($6) IS NOT NULL, false, false, to_regclass($2) IS NOT NULL,"
			" to_regproc($3) IS NOT NULL, $4 = '', $5 = '',"
			" to_regtype($7) IS NOT NULL, $8 = '', $9 = '' OR $10 = ''",
		params, ARRAY_LEN(params), err);
	if (!rows)
		return false;
	*f = (struct catalog_search){
		pg_bool(rows, 0, 0), pg_bool(rows, 0, 1),  pg_bool(rows, 0, 2),
		pg_bool(rows, 0, 3), pg_bool(rows, 0, 4),  pg_bool(rows, 0, 5),
		pg_bool(rows, 0, 6), pg_bool(rows, 0, 7),  pg_bool(rows, 0, 8),
		pg_bool(rows, 0, 9), pg_bool(rows, 0, 10), pg_bool(rows, 0, 11)};
	pg_rows_free(rows);
	return true;
}

/* --- the server --- */

/* Older ones lack what is used, or have defects that cost an index. */
static void check_version(const struct pg_rows *rows, struct report *r)
{
	const char *version = pg_value(rows, 0, 0);
	if (!version)
		return; /* the unknown type is a finding already */
	if (pg_bool(rows, 0, 1))
		report_add(r, REPORT_ERROR, "postgres",
			   "pgvector %s is too old for searches: 0.8.0 or later is needed (ALTER "
			   "EXTENSION vector UPDATE, once the server has a newer one)",
			   version);
	else if (pg_bool(rows, 0, 2))
		report_add(r, REPORT_WARN, "postgres",
			   "pgvector %s has defects in parallel builds and in vacuum of HNSW "
			   "indexes: 0.8.4 mends them",
			   version);
}

static void check_cores(const struct pg_rows *rows, const struct config *config, struct report *r)
{
	int64_t most = pg_int(rows, 0, 3);
	if (config->index_when != INDEX_NEVER && (int64_t)config->index_cores - 1 > most)
		report_add(r, REPORT_WARN, "postgres",
			   "index.cores = %u, but the server gives a build %" PRId64
			   " helpers at most (max_parallel_workers, max_worker_processes)",
			   config->index_cores, most);
}

/* A version, and what the server gives a build. */
static void check_means(struct pg *pg, const struct config *config, struct report *r)
{
	struct err err = {0};
	struct pg_rows *rows =
		pg_query(pg,
			 "SELECT max(extversion),"
			 " bool_or(string_to_array(extversion, '.')::int[] < '{0,8,0}'),"
			 " bool_or(string_to_array(extversion, '.')::int[] < '{0,8,4}'),"
			 " least(current_setting('max_parallel_workers')::int,"
			 " current_setting('max_worker_processes')::int)"
			 " FROM pg_extension WHERE extname = 'vector'",
			 NULL, 0, &err);
	if (!rows) {
		report_err(r, "postgres", &err);
		return;
	}
	check_version(rows, r);
	check_cores(rows, config, r);
	pg_rows_free(rows);
}

/* Each right on the search's own tables that is missing. */
static void check_rights(struct pg *pg, const struct config *config, struct report *r)
{
	struct err err = {0};
	bool creates;
	if (!catalog_ask(pg, "SELECT has_schema_privilege('memingest', 'CREATE')", NULL, &creates,
			 &err))
		report_err(r, "postgres", &err);
	else if (!creates && config->index_when != INDEX_NEVER)
		report_add(r, REPORT_ERROR, "postgres",
			   "the role lacks CREATE on schema memingest, and makes no segments: see "
			   "\"memingest migrate --grants ROLE\"");
	for (size_t i = 0; i < ARRAY_LEN(catalog_search_books); i++)
		catalog_check_rights(pg, "postgres", catalog_search_books[i].table,
				     catalog_search_books[i].rights, r);
}

bool catalog_search_check_server(struct pg *pg, const struct config *config, struct report *r)
{
	struct err err = {0};
	bool may_look;
	check_means(pg, config, r);
	if (!catalog_ask(pg, "SELECT has_schema_privilege(to_regnamespace('memingest'), 'USAGE')",
			 NULL, &may_look, &err)) {
		report_err(r, "postgres", &err);
		return false;
	}
	if (may_look)
		check_rights(pg, config, r);
	return may_look;
}

/* --- a stream --- */

/* What migrate makes. */
static void check_made(const struct searchsql *s, const struct catalog_search *f, const char *area,
		       struct report *r)
{
	const char *table = table_full_name(s->table);
	if (!f->column)
		report_add(r, REPORT_ERROR, area,
			   "table %s: column search_xid is missing: run \"memingest migrate\"",
			   table);
	if (!f->segments || !f->functions || !f->row)
		report_add(r, REPORT_ERROR, area,
			   "the search of table %s is not made: run \"memingest migrate\"", table);
	else if (!f->same_segments || !f->same_types || !f->same_functions)
		report_add(r, REPORT_ERROR, area,
			   "the search of table %s was made from another schema or by another "
			   "version: run \"memingest migrate\"",
			   table);
	if (f->foreign)
		report_add(r, REPORT_ERROR, area,
			   "table %s was restored from another cluster, and its search reads all "
			   "rows: run \"memingest migrate\", which begins it again",
			   table);
}

/* What upkeep needs; rows: of search_check.sql. */
static void check_upkeep(const struct searchsql *s, const struct pg_rows *rows, const char *area,
			 struct report *r)
{
	const char *table = table_full_name(s->table), *others = pg_value(rows, 0, 0);
	if (others)
		report_add(r, REPORT_ERROR, area,
			   "segments of table %s belong to %s: the search is not kept: see "
			   "\"memingest migrate --grants ROLE\"",
			   table, others);
	if (!pg_bool(rows, 0, 3) && pg_bool(rows, 0, 1))
		report_add(r, REPORT_WARN, area,
			   "table %s has no valid index on search_xid yet: a worker makes it",
			   table);
	else if (!pg_bool(rows, 0, 3))
		report_add(r, REPORT_ERROR, area,
			   "table %s has no valid index on search_xid, and this role may not make "
			   "it: run \"memingest index build\" as the table's owner",
			   table);
}

/* A search costs about the same in each graph, so it is better to have few. */
static void check_memory(const struct config *config, const struct searchsql *s, const char *area,
			 struct report *r)
{
	int64_t fit = (int64_t)config->index_memory / searchsql_row_bytes(s);
	if (fit < FEW_ROWS && config->index_segment_rows > fit)
		report_add(r, REPORT_WARN, area,
			   "index.memory = %" PRId64 " MiB holds a graph of %" PRId64
			   " vectors of this table, so searches go through many: %" PRId64
			   " MiB hold %d",
			   (int64_t)(config->index_memory >> 20), fit,
			   (FEW_ROWS * searchsql_row_bytes(s) >> 20) + 1, FEW_ROWS);
}

static void check_table(struct pg *pg, const struct config *config, const struct searchsql *s,
			const char *area, struct report *r)
{
	struct err err = {0};
	const char *params[] = {s->segments, s->table_name, s->key};
	struct pg_rows *rows = pg_query(pg, sql_search_check, params, ARRAY_LEN(params), &err);
	if (!rows) {
		report_err(r, area, &err);
		return;
	}
	if (!pg_bool(rows, 0, 2))
		report_add(r, REPORT_ERROR, area,
			   "table %s: column search_xid has lost its default "
			   "pg_current_xact_id(): searches miss new rows",
			   table_full_name(s->table));
	if (pg_int(rows, 0, 4) > 0)
		report_add(r, REPORT_WARN, area,
			   "%" PRId64 " segments of table %s are gone: searches read all rows "
			   "until a worker or \"memingest index build\" has built them again",
			   pg_int(rows, 0, 4), table_full_name(s->table));
	if (config->index_when != INDEX_NEVER) {
		check_upkeep(s, rows, area, r);
		check_memory(config, s, area, r);
	}
	pg_rows_free(rows);
}

void catalog_search_check_front(struct pg *pg, const struct searchsql *s, const char *area,
				struct report *r)
{
	struct err err = {0};
	struct catalog_search f;
	if (!catalog_search_read(pg, s, true, &f, &err))
		report_err(r, area, &err);
	else if (!f.functions || !f.same_functions || !f.same_types)
		report_add(r, REPORT_ERROR, area,
			   "the search functions of table %s do not go to each of its searched "
			   "columns: run \"memingest migrate\"",
			   table_full_name(s->table));
}

void catalog_search_check(struct pg *pg, const struct config *config, const struct searchsql *s,
			  const char *area, struct report *r)
{
	struct err err = {0};
	struct catalog_search f = {0};
	size_t before = r->counts[REPORT_ERROR] + r->counts[REPORT_WARN];
	bool there, reads;
	if (!catalog_ask(pg, "SELECT to_regclass('memingest.searches') IS NOT NULL", NULL, &there,
			 &err) ||
	    !catalog_ask(pg,
			 "SELECT has_table_privilege(to_regclass('memingest.searches'), 'SELECT')"
			 " AND has_table_privilege(to_regclass('memingest.segments'), 'SELECT')",
			 NULL, &reads, &err) ||
	    (there && !reads) || !catalog_search_read(pg, s, there, &f, &err)) {
		if (err.class != ERR_NONE)
			report_err(r, area, &err);
		return; /* no right to read: a finding about the server */
	}
	check_made(s, &f, area, r);
	if (f.column && f.row)
		check_table(pg, config, s, area, r);
	if (r->counts[REPORT_ERROR] + r->counts[REPORT_WARN] == before)
		report_add(r, REPORT_OK, area, "the search of table %s is there",
			   table_full_name(s->table));
}

/*
 * seal.c - the steps of upkeep, done.
 *
 *   BEGIN ISOLATION LEVEL REPEATABLE READ
 *   upto := pg_current_snapshot(), cut where it would be too many rows
 *   CREATE TABLE segment; INSERT the rows that upto sees and the last one did not; CREATE INDEX
 *   ATTACH PARTITION; INSERT INTO memingest.segments (state built)
 *   COMMIT                                  there is a partition, and no search reads it yet
 *   UPDATE searches SET sealed = upto; UPDATE segments SET state = 'live'; COMMIT
 *                                           from the next snapshot on it is read
 *
 * Why two transactions: a backend may hold a plan that does not know the partition. PostgreSQL
 * tells it when the first one has ended, and only then comes the second, which makes searches look
 * for it. And why searches look into a row for what is sealed, and not into a function's text: they
 * then see it in the snapshot with which they see the rows, also in a transaction that is older
 * than the segment.
 *
 * A snapshot and not an upper bound of ids says what is sealed, so a transaction that is open for
 * hours elsewhere holds nothing up: it is one of those that the snapshot leaves out.
 *
 * What is replaced is dead, and is dropped a minute later, when searches that began before have
 * ended; one that has not finds it missing and reads the rows themselves.
 *
 * A segment with big tenants is a partitioned table: part 0 has all rows, the others one tenant's
 * each once more (sql/search_tenants.sql). Without WAL (index.logged = off) a crash empties a
 * segment; seal_look() then takes it for one that is not there.
 *
 * The index is built on a table that nobody else sees, in its transaction, so there is nothing half
 * done after a crash. It holds back vacuum for as long as it takes.
 *
 * Thread: the caller's.
 */
#include "search/seal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "core/sqlname.h"

#define SPARE_MEMORY (INT64_C(16) << 20)
#define BUILD_TIMEOUT (INT64_C(4) * 3600 * US_PER_S)
/* "memindex" in hex: one session at a time takes steps in a database. */
#define LOCK_KEY "x'6d656d696e646578'::bigint"

bool seal_prepare(struct pg *pg, struct err *err)
{
	pg_set_timeout(pg, BUILD_TIMEOUT);
	return pg_exec(pg,
		       "SET statement_timeout = 0; SET enable_seqscan = off; SET jit = off;"
		       " SET client_min_messages = warning",
		       NULL, 0, err);
}

bool seal_lock(struct pg *pg, bool *mine, struct err *err)
{
	struct pg_rows *rows =
		pg_query(pg, "SELECT pg_try_advisory_lock(" LOCK_KEY ")", NULL, 0, err);
	if (rows)
		*mine = pg_bool(rows, 0, 0);
	pg_rows_free(rows);
	return rows != NULL;
}

bool seal_unlock(struct pg *pg, struct err *err)
{
	return pg_exec(pg, "SELECT pg_advisory_unlock(" LOCK_KEY ")", NULL, 0, err);
}

/* --- looking --- */

static char *copy(const char *value)
{
	return value ? xstrdup(value) : NULL;
}

static enum segment_state state_of(const char *name)
{
	return name[0] == 'b' ? SEGMENT_BUILT : name[0] == 'l' ? SEGMENT_LIVE : SEGMENT_DEAD;
}

static bool look_at_segments(struct pg *pg, const struct searchsql *sql, struct search_view *v,
			     struct err *err)
{
	const char *params[] = {sql->key, sql->segments, sql->segment_prefix};
	struct pg_rows *rows = pg_query(
		pg,
		"SELECT segment, state, upto IS NULL, after, upto, after_key, upto_key, rows,"
		" stale, extract(epoch FROM clock_timestamp() - changed_at)::bigint,"
		/* A crash empties those without WAL, which is as if they were not there. */
		" EXISTS (SELECT FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c"
		" ON c.oid = i.inhrelid WHERE i.inhparent = to_regclass($2)"
		" AND c.oid = to_regclass($3 || segment || '\"')"
		" AND (SELECT count(*) FROM pg_catalog.pg_inherits p"
		" WHERE p.inhparent = c.oid) = parts AND (logged OR pg_relation_size(CASE"
		" WHEN parts = 0 THEN c.oid ELSE to_regclass($3 || segment || '_0\"') END) > 0))"
		" FROM memingest.segments WHERE \"table\" = $1"
		" ORDER BY pg_snapshot_xmax(upto), segment",
		params, ARRAY_LEN(params), err);
	if (!rows)
		return false;
	v->nsegments = pg_rows_count(rows);
	v->segments = xcalloc(v->nsegments + 1, sizeof(*v->segments));
	for (size_t i = 0; i < v->nsegments; i++)
		v->segments[i] = (struct segment){
			.number = (int)pg_int(rows, i, 0),
			.state = state_of(pg_value(rows, i, 1)),
			.adopted = pg_bool(rows, i, 2),
			.after = copy(pg_value(rows, i, 3)),
			.upto = copy(pg_value(rows, i, 4)),
			.after_key = copy(pg_value(rows, i, 5)),
			.upto_key = copy(pg_value(rows, i, 6)),
			.rows = pg_int(rows, i, 7),
			.stale = pg_int(rows, i, 8),
			.state_s = pg_int(rows, i, 9),
			.exists = pg_bool(rows, i, 10),
		};
	pg_rows_free(rows);
	return true;
}

bool seal_look(struct pg *pg, const struct searchsql *sql, struct search_view *v, struct err *err)
{
	*v = (struct search_view){0};
	struct pg_rows *rows = pg_query(pg, sql->look, NULL, 0, err);
	if (!rows)
		return err_wrap(err, "looking at the search of table %s",
				table_full_name(sql->table));
	if (pg_rows_count(rows) > 0) {
		v->exists = true;
		v->sealed = copy(pg_value(rows, 0, 0));
		v->adopted = pg_bool(rows, 0, 1);
		v->next_segment = (int)pg_int(rows, 0, 2);
		v->foreign = pg_bool(rows, 0, 3);
		v->tail = pg_int(rows, 0, 4);
		v->tail_age_s = pg_int(rows, 0, 5);
		v->indexed = pg_bool(rows, 0, 6);
	}
	pg_rows_free(rows);
	if (!v->exists || look_at_segments(pg, sql, v, err))
		return true;
	search_view_clear(v);
	return false;
}

/* --- building --- */

/* What a new segment covers. The texts are borrowed, or of the range. */
struct range {
	const char *after, *upto;
	const char *after_key, *upto_key;
	bool adopted;
	char *made; /* owned: upto or upto_key, where the range was found out here */
};

/* That of the segments first to last, which are neighbours. */
static struct range range_of(const struct segment *first, const struct segment *last)
{
	return (struct range){.adopted = first->adopted,
			      .after = first->after,
			      .upto = last->upto,
			      .after_key = first->after_key,
			      .upto_key = last->upto_key};
}

struct work {
	struct pg *pg;
	const struct searchsql *sql;
	const struct search_view *view;
	const struct seal_means *means;
	int number;
	int parts;          /* of the segment: partitions below it */
	struct buf tenants; /* {"value": part, ...} */
};

static bool begin(struct work *w, struct err *err)
{
	char sql[256];
	snprintf(sql, sizeof(sql),
		 "BEGIN ISOLATION LEVEL REPEATABLE READ; SET LOCAL"
		 " max_parallel_maintenance_workers = %u",
		 w->means->cores - 1);
	return pg_exec(w->pg, sql, NULL, 0, err);
}

/* A build on several cores takes all that it may have from the beginning: no more than it needs. */
static bool allow_memory(struct work *w, int64_t rows, struct err *err)
{
	char sql[96];
	int64_t needs = rows * searchsql_row_bytes(w->sql) * 5 / 4 + SPARE_MEMORY;
	snprintf(sql, sizeof(sql), "SET LOCAL maintenance_work_mem = '%" PRId64 "kB'",
		 MAX(MIN(w->means->memory, needs) / 1024, (int64_t)1024));
	return pg_exec(w->pg, sql, NULL, 0, err);
}

static void roll_back(struct work *w)
{
	struct err ignored = {0};
	if (pg_ok(w->pg) && !pg_exec(w->pg, "ROLLBACK", NULL, 0, &ignored))
		log_warn("rollback failed", F_STR("error", ignored.text));
}

static void put_key_bound(struct buf *out, const struct table *t, const char *sign, const char *key)
{
	struct buf literal = {0};
	buf_quoted(&literal, key, '\'');
	buf_puts(out, " AND (");
	for (size_t i = 0; i < t->nkeys; i++) {
		buf_puts(out, i ? ", t." : "t.");
		buf_quoted(out, t->columns[i].name, '"');
	}
	buf_printf(out, ") %s (", sign);
	for (size_t i = 0; i < t->nkeys; i++)
		buf_printf(out, "%s((%s::text[])[%zu])::%s", i ? ", " : "", buf_cstr(&literal),
			   i + 1, t->columns[i].type);
	buf_puts(out, ")");
	buf_free(&literal);
}

/* The caller frees it. */
static char *rows_by_key(const struct work *w, const char *select, const struct range *r)
{
	struct buf b = {0};
	char *all = searchsql_segment(select, w->number, NULL, NULL);
	buf_puts(&b, all);
	if (r->after_key)
		put_key_bound(&b, w->sql->table, ">", r->after_key);
	if (r->upto_key)
		put_key_bound(&b, w->sql->table, "<=", r->upto_key);
	free(all);
	return buf_take_text(&b);
}

/* "1:1:" is a snapshot that sees nothing. */
static char *rows_by_xid(const struct work *w, const char *select, const struct range *r)
{
	char *from = searchsql_segment(select, w->number, "after", r->after ? r->after : "1:1:");
	char *text = searchsql_segment(from, w->number, "upto", r->upto);
	free(from);
	return text;
}

/* One of the two texts with the range in it: rows for one of transactions, old for one of keys. */
static char *rows_of(const struct work *w, const struct range *r, const char *rows, const char *old)
{
	return r->adopted ? rows_by_key(w, old, r) : rows_by_xid(w, rows, r);
}

/* The values that earn a part. NULL without an error: there can be none. */
static struct pg_rows *ask_tenants(struct work *w, const struct range *r, struct err *err)
{
	if (!w->sql->tenants)
		return NULL;
	char *select = rows_of(w, r, w->sql->tenant_rows, w->sql->tenant_rows_old);
	char *text = searchsql_segment(w->sql->tenants, w->number, "rows", select);
	struct pg_rows *rows = pg_query(w->pg, text, NULL, 0, err);
	free(text);
	free(select);
	return rows;
}

static const char *unlogged(const struct work *w)
{
	return w->means->logged ? "" : "UNLOGGED";
}

/* The table; with a partition of it for all its rows if there will be others. */
static bool create(struct work *w, bool parted, struct err *err)
{
	struct buf b = {0};
	/* One that is parted holds nothing itself, and may not be unlogged. */
	char *text =
		searchsql_segment(w->sql->create, w->number, "unlogged", parted ? "" : unlogged(w));
	const struct sqlname_word parts[] = {{"parted", parted ? " PARTITION BY LIST (part)" : ""}};
	sqlname_fill(&b, text, parts, ARRAY_LEN(parts));
	if (parted)
		buf_printf(&b, "CREATE %s TABLE %s%d_0\" PARTITION OF %s%d\" FOR VALUES IN (0)",
			   unlogged(w), w->sql->segment_prefix, w->number, w->sql->segment_prefix,
			   w->number);
	bool ok = pg_exec(w->pg, buf_cstr(&b), NULL, 0, err);
	buf_free(&b);
	free(text);
	return ok;
}

static bool insert(struct work *w, const struct range *r, int64_t *rows, struct err *err)
{
	struct buf b = {0};
	char *select = rows_of(w, r, w->sql->rows, w->sql->rows_old);
	buf_printf(&b, "INSERT INTO %s%d\" %s", w->sql->segment_prefix, w->number, select);
	bool ok = pg_exec(w->pg, buf_cstr(&b), rows, 1, err);
	buf_free(&b);
	free(select);
	return ok;
}

/* The rows of the value are in the segment once more. */
static bool add_tenant(struct work *w, const char *value, int part, struct err *err)
{
	struct buf b = {0}, literal = {0};
	char digits[16], number[16];
	char *name = xasprintf("%s%d_%d\"", w->sql->segment_prefix, w->number, part);
	snprintf(digits, sizeof(digits), "%d", part);
	snprintf(number, sizeof(number), "%d", w->number);
	buf_quoted(&literal, value, '\'');
	const struct sqlname_word words[] = {{"part", digits},
					     {"part_name", name},
					     {"number", number},
					     {"unlogged", unlogged(w)},
					     {"value", buf_cstr(&literal)}};
	sqlname_fill(&b, w->sql->add_tenant, words, ARRAY_LEN(words));
	bool ok = pg_exec(w->pg, buf_cstr(&b), NULL, 0, err);
	buf_free(&b);
	buf_free(&literal);
	free(name);
	return ok;
}

/* The table with its rows, and those of tenants that have a part. */
static bool fill(struct work *w, const struct range *r, int64_t *rows, struct err *err)
{
	struct pg_rows *tenants = ask_tenants(w, r, err);
	if (!tenants && w->sql->tenants)
		return false;
	size_t n = tenants ? pg_rows_count(tenants) : 0;
	bool ok = create(w, n > 0, err) && insert(w, r, rows, err);
	for (size_t i = 0; ok && i < n; i++)
		ok = add_tenant(w, pg_value(tenants, i, 0), (int)i + 1, err);
	buf_puts(&w->tenants, n > 0 ? pg_value(tenants, 0, 1) : "{}");
	w->parts = n > 0 ? (int)n + 1 : 0;
	pg_rows_free(tenants);
	return ok;
}

static bool run(struct work *w, const char *text, struct err *err)
{
	char *filled = searchsql_segment(text, w->number, NULL, NULL);
	bool ok = pg_exec(w->pg, filled, NULL, 0, err);
	free(filled);
	return ok;
}

/* Its row in memingest.segments, and its place among the partitions. */
static bool enter(struct work *w, const struct range *r, int64_t rows, int64_t since_us,
		  struct err *err)
{
	char number[16], count[24], took[32], parts[16];
	snprintf(number, sizeof(number), "%d", w->number);
	snprintf(count, sizeof(count), "%" PRId64, rows);
	snprintf(parts, sizeof(parts), "%d", w->parts);
	snprintf(took, sizeof(took), "%" PRId64 " us", clock_mono_us() - since_us);
	char *common = searchsql_segment(w->sql->common, w->number, NULL, NULL);
	struct pg_rows *frequent = pg_query(w->pg, common, NULL, 0, err);
	free(common);
	if (!frequent)
		return false;
	const char *params[] = {w->sql->key,
				number,
				r->after,
				r->upto,
				r->after_key,
				r->upto_key,
				count,
				pg_value(frequent, 0, 0),
				took,
				parts,
				buf_cstr(&w->tenants),
				w->means->logged ? "on" : "off"};
	struct pg_rows *entered = pg_query(
		w->pg,
		"INSERT INTO memingest.segments (\"table\", segment, state, after, upto, after_key,"
		" upto_key, rows, common, build_time, parts, tenants, logged) VALUES ($1, $2,"
		" 'built', $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
		params, ARRAY_LEN(params), err);
	bool ok = entered != NULL;
	pg_rows_free(entered);
	pg_rows_free(frequent);
	return ok && !FAIL_POINT_ERR("before_attach", err) && run(w, w->sql->attach, err);
}

static bool take_number(struct work *w, struct err *err)
{
	const char *params[] = {w->sql->key};
	struct pg_rows *rows = pg_query(w->pg,
					"UPDATE memingest.searches SET next_segment = next_segment"
					" + 1 WHERE \"table\" = $1 RETURNING next_segment - 1",
					params, 1, err);
	if (!rows)
		return false;
	w->number = pg_rows_count(rows) > 0 ? (int)pg_int(rows, 0, 0) : 0;
	pg_rows_free(rows);
	return true;
}

/* Builds on one core what the server has no shared memory (/dev/shm) to build on several. */
static bool finish(struct work *w, struct err *err)
{
	if (w->means->cores > 1) {
		if (pg_exec(w->pg, "SAVEPOINT alone", NULL, 0, err) && run(w, w->sql->finish, err))
			return true;
		if (strncmp(err->code, "53", 2) != 0 || !pg_ok(w->pg))
			return false;
		log_warn("an index is built on one core: the server lacks memory for more",
			 F_STR("table", table_full_name(w->sql->table)), F_STR("error", err->text));
		if (!pg_exec(w->pg,
			     "ROLLBACK TO SAVEPOINT alone; SET LOCAL"
			     " max_parallel_maintenance_workers = 0",
			     NULL, 0, err))
			return false;
	}
	return run(w, w->sql->finish, err);
}

/* The transaction is open. Nothing is left of a segment without rows. */
static bool build(struct work *w, const struct range *r, int64_t since_us, int64_t *rows,
		  struct err *err)
{
	if (FAIL_POINT_ERR("before_seal", err) || !fill(w, r, rows, err))
		return false;
	if (*rows == 0) {
		roll_back(w);
		return true;
	}
	return allow_memory(w, *rows, err) && finish(w, err) &&
	       !FAIL_POINT_ERR("after_graph", err) && enter(w, r, *rows, since_us, err) &&
	       !FAIL_POINT_ERR("after_attach", err) && pg_exec(w->pg, "COMMIT", NULL, 0, err) &&
	       !FAIL_POINT_ERR("before_publish", err);
}

/* --- publishing --- */

/* upto NULL: what is sealed stays. number 0: there is no new segment, for there are no rows. */
static bool publish(struct work *w, const struct range *r, bool seals, const struct segment *dead,
		    size_t ndead, struct err *err)
{
	struct buf sql = {0};
	buf_puts(&sql, "BEGIN; ");
	if (seals) {
		buf_puts(&sql, "UPDATE memingest.searches SET sealed = ");
		buf_quoted(&sql, r->upto, '\'');
		buf_printf(&sql, " WHERE \"table\" = %s; ", w->sql->key_literal);
	}
	if (w->number > 0)
		buf_printf(&sql,
			   "UPDATE memingest.segments SET state = 'live', changed_at ="
			   " clock_timestamp() WHERE \"table\" = %s AND segment = %d; ",
			   w->sql->key_literal, w->number);
	for (size_t i = 0; i < ndead; i++)
		buf_printf(&sql,
			   "UPDATE memingest.segments SET state = 'dead', changed_at ="
			   " clock_timestamp() WHERE \"table\" = %s AND segment = %d; ",
			   w->sql->key_literal, dead[i].number);
	buf_puts(&sql, "COMMIT");
	bool ok = pg_exec(w->pg, buf_cstr(&sql), NULL, 0, err);
	buf_free(&sql);
	return ok;
}

/* --- steps --- */

static bool ask_text(struct work *w, const char *sql, char **text, struct err *err)
{
	struct pg_rows *rows = pg_query(w->pg, sql, NULL, 0, err);
	if (!rows)
		return false;
	*text = pg_rows_count(rows) > 0 ? copy(pg_value(rows, 0, 0)) : NULL;
	pg_rows_free(rows);
	return true;
}

/* Where the next piece ends. Of the rows without search_xid NULL: with the last of them. */
static bool cut(struct work *w, struct range *r, int64_t rows, struct err *err)
{
	struct buf sql = {0};
	char limit[24];
	snprintf(limit, sizeof(limit), "%" PRId64, rows);
	const struct sqlname_word words[] = {{"limit", limit}};
	if (r->adopted) {
		buf_puts(&sql, w->sql->old_key);
		if (r->after_key)
			put_key_bound(&sql, w->sql->table, ">", r->after_key);
	}
	sqlname_fill(&sql, r->adopted ? w->sql->old_key_order : w->sql->cut, words, 1);
	bool ok = ask_text(w, buf_cstr(&sql), &r->made, err);
	if (r->adopted)
		r->upto_key = r->made;
	else
		r->upto = r->made;
	buf_free(&sql);
	return ok;
}

static bool seal(struct work *w, int64_t rows, struct seal_done *done, struct err *err)
{
	struct range r = {.after = w->view->sealed};
	int64_t start = clock_mono_us();
	bool ok = take_number(w, err) && begin(w, err) && cut(w, &r, rows, err) &&
		  build(w, &r, start, &done->rows, err);
	if (ok && done->rows == 0)
		w->number = 0;
	ok = ok && publish(w, &r, true, NULL, 0, err);
	free(r.made);
	return ok;
}

static bool publish_adopted(struct work *w, struct err *err)
{
	struct buf sql = {0};
	buf_printf(&sql,
		   "BEGIN; UPDATE memingest.searches SET adopted = true WHERE \"table\" = %s;"
		   " UPDATE memingest.segments SET state = 'live', changed_at = clock_timestamp()"
		   " WHERE \"table\" = %s AND upto IS NULL AND state = 'built'; COMMIT",
		   w->sql->key_literal, w->sql->key_literal);
	bool ok = pg_exec(w->pg, buf_cstr(&sql), NULL, 0, err);
	buf_free(&sql);
	return ok;
}

static bool goes_on(const struct search_view *v, const struct segment *s)
{
	for (size_t i = 0; i < v->nsegments; i++) {
		const struct segment *next = &v->segments[i];
		if (next->adopted && next->state == SEGMENT_BUILT && next->after_key &&
		    strcmp(next->after_key, s->upto_key) == 0)
			return true;
	}
	return false;
}

/* The piece that reaches furthest; NULL: there is none yet. */
static const struct segment *last_adopted(const struct search_view *v)
{
	for (size_t i = 0; i < v->nsegments; i++) {
		const struct segment *s = &v->segments[i];
		if (s->adopted && s->state == SEGMENT_BUILT && (!s->upto_key || !goes_on(v, s)))
			return s;
	}
	return NULL;
}

/* Pieces are published together, when the last is built: nothing asks how far it has come. */
static bool adopt(struct work *w, struct seal_done *done, struct err *err)
{
	const struct segment *last = last_adopted(w->view);
	struct range r = {.adopted = true, .after_key = last ? last->upto_key : NULL};
	int64_t start = clock_mono_us();
	if (last && !last->upto_key)
		return publish_adopted(w, err);
	bool ok = take_number(w, err) && begin(w, err) && cut(w, &r, w->means->segment_rows, err) &&
		  build(w, &r, start, &done->rows, err);
	if (ok && !r.upto_key)
		ok = publish_adopted(w, err);
	free(r.made);
	return ok;
}

/* Segments first to last of the view become one, from the table's rows as they are now. */
static bool rewrite(struct work *w, const struct upkeep_plan *plan, struct seal_done *done,
		    struct err *err)
{
	const struct segment *first = &w->view->segments[plan->first];
	struct range r = range_of(first, &w->view->segments[plan->last]);
	int64_t start = clock_mono_us();
	if (!take_number(w, err) || !begin(w, err) || !build(w, &r, start, &done->rows, err))
		return false;
	if (done->rows == 0 || (r.adopted && !w->view->adopted)) /* stays built, as the others */
		w->number = 0;
	return publish(w, &r, false, first, plan->last - plan->first + 1, err);
}

/*
 * DROP locks the parent, and while it waits for searches under way no new one begins; so it does
 * not wait long, and is tried again after another UPKEEP_KEEP_S.
 */
static bool drop(struct work *w, const struct segment *s, struct err *err)
{
	struct buf sql = {0};
	w->number = s->number;
	buf_printf(&sql,
		   "BEGIN; SET LOCAL lock_timeout = '100ms'; %s; DELETE FROM memingest.segments"
		   " WHERE \"table\" = %s AND segment = :number; COMMIT",
		   w->sql->drop, w->sql->key_literal);
	bool ok = !FAIL_POINT_ERR("before_drop", err) && run(w, buf_cstr(&sql), err);
	if (!ok && strcmp(err->code, "55P03") == 0) {
		roll_back(w);
		err_clear(err);
		sql.len = 0;
		buf_printf(&sql,
			   "UPDATE memingest.segments SET state = 'dead', changed_at ="
			   " clock_timestamp() WHERE \"table\" = %s AND segment = :number",
			   w->sql->key_literal);
		ok = run(w, buf_cstr(&sql), err);
	}
	buf_free(&sql);
	return ok;
}

/* One that a crash left half done is not valid, and in the way. */
static bool create_index(struct work *w, struct err *err)
{
	return pg_exec(w->pg, w->sql->drop_index, NULL, 0, err) &&
	       pg_exec(w->pg, w->sql->create_index, NULL, 0, err);
}

static bool reset(struct work *w, struct err *err)
{
	struct buf sql = {0};
	buf_printf(&sql,
		   "BEGIN; UPDATE memingest.searches SET sealed = NULL, adopted = false WHERE"
		   " \"table\" = %s; UPDATE memingest.segments SET state = 'dead', changed_at ="
		   " clock_timestamp() WHERE \"table\" = %s; COMMIT",
		   w->sql->key_literal, w->sql->key_literal);
	bool ok = pg_exec(w->pg, buf_cstr(&sql), NULL, 0, err);
	buf_free(&sql);
	return ok;
}

static bool do_step(struct work *w, const struct upkeep_plan *plan, struct seal_done *done,
		    struct err *err)
{
	const struct segment *first = &w->view->segments[plan->first];
	switch (plan->step) {
	case UPKEEP_NONE:
		return true;
	case UPKEEP_RESET:
		return reset(w, err);
	case UPKEEP_INDEX:
		return create_index(w, err);
	case UPKEEP_PUBLISH:
		w->number = first->number;
		return publish(w, &(struct range){.upto = first->upto}, true, NULL, 0, err);
	case UPKEEP_SEAL:
		return seal(w, plan->rows, done, err);
	case UPKEEP_ADOPT:
		return adopt(w, done, err);
	case UPKEEP_REWRITE:
		return rewrite(w, plan, done, err);
	case UPKEEP_DROP:
		return drop(w, first, err);
	}
	return true;
}

bool seal_do(struct pg *pg, const struct searchsql *sql, const struct search_view *view,
	     const struct upkeep_plan *plan, const struct seal_means *means, struct seal_done *done,
	     struct err *err)
{
	struct work w = {.pg = pg, .sql = sql, .view = view, .means = means};
	int64_t start = clock_mono_us();
	*done = (struct seal_done){0};
	bool ok = do_step(&w, plan, done, err);
	done->took_us = clock_mono_us() - start;
	buf_free(&w.tenants);
	if (ok)
		return true;
	roll_back(&w);
	return err_wrap(err, "search of table %s: %s", table_full_name(sql->table),
			upkeep_step_name(plan->step));
}

bool seal_count_stale(struct pg *pg, const struct searchsql *sql, struct segment *s,
		      struct err *err)
{
	struct work w = {.pg = pg, .sql = sql, .number = s->number};
	struct range r = range_of(s, s);
	char *select = rows_of(&w, &r, sql->rows, sql->rows_old);
	char *text = searchsql_segment(sql->stale, s->number, "rows", select);
	struct pg_rows *rows = pg_query(pg, text, NULL, 0, err);
	if (rows && pg_rows_count(rows) > 0)
		s->stale = pg_int(rows, 0, 0);
	bool ok = rows != NULL;
	pg_rows_free(rows);
	free(text);
	free(select);
	return ok;
}

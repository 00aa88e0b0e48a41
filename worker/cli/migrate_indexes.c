/*
 * migrate_indexes.c - which indexes of the schemas are made, and when.
 *
 *   --indexes none | lean | all | NAME, with commas between (default: lean)
 *
 * An index is known by its name, so one that was made by hand under the name that --dry-run shows
 * counts. None is ever dropped, but for one that a failure left half built (not valid), in the way
 * of its successor.
 *
 * On a table that is new or small an index is a step of the migration's transaction. On one of over
 * 64 MiB that would keep writers out for minutes: it is built behind the COMMIT, CONCURRENTLY. A
 * session lock lets one migration build at a time. It is polled for, since who waits for a lock has
 * a snapshot, and the other one's index would wait for that. A partitioned table has no index
 * CONCURRENTLY: there it is a step, and one that is not valid is not broken, but waits for those of
 * the partitions that an operator builds one by one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/suggest.h"
#include "cli/catalog.h"
#include "cli/migration.h"
#include "core/ddl.h"
#include "core/sqlname.h"

#define POLL_MS 200

/* --- which --- */

/* Whether the word stands in the list, which has commas between. */
static bool listed(const char *list, const char *word)
{
	size_t len = strlen(word);
	for (const char *p = list; p; p = strchr(p, ','), p += p != NULL)
		if (strncmp(p, word, len) == 0 && (p[len] == ',' || p[len] == '\0'))
			return true;
	return false;
}

bool migration_wants_index(const struct cli *cli, const struct table *t, size_t index,
			   const char *name)
{
	const char *list = cli_option(cli, "indexes", "lean");
	enum index_level level = t->indexes[index].level;
	return level == LEVEL_ALWAYS || listed(list, "all") || listed(list, name) ||
	       (level == LEVEL_LEAN && listed(list, "lean"));
}

/* Offers all names of the streams' indexes; true if one of them is the word. */
static bool offer_names(const struct migration *m, const char *word, struct suggest *s,
			struct buf *best)
{
	bool found = false;
	for (size_t i = 0; i < m->cli->config->nstreams; i++) {
		const struct table *t = m->streams[i]->table;
		for (size_t j = 0; j < t->nindexes; j++) {
			struct buf name = {0};
			ddl_index_name(t, j, &name);
			found |= strcmp(word, buf_cstr(&name)) == 0;
			s->best = NULL;
			suggest_offer(s, buf_cstr(&name));
			if (s->best) {
				best->len = 0;
				buf_puts(best, s->best);
			}
			buf_free(&name);
		}
	}
	return found;
}

static bool is_named(const struct migration *m, const char *word, struct err *err)
{
	struct suggest s = suggest_for(word);
	struct buf best = {0};
	if (listed("none,lean,all", word))
		return true;
	bool found = offer_names(m, word, &s, &best);
	if (!found)
		err_set(err, ERR_CONFIG,
			"--indexes: \"%s\" is none of none, lean, all, and no index of the "
			"schemas%s%s%s",
			word, best.len ? "; did you mean " : "", buf_cstr(&best),
			best.len ? "?" : "");
	buf_free(&best);
	return found;
}

bool migration_indexes_named(const struct migration *m, struct err *err)
{
	char *list = xstrdup(cli_option(m->cli, "indexes", "lean")), *rest = NULL;
	bool ok = true;
	for (char *word = strtok_r(list, ",", &rest); ok && word; word = strtok_r(NULL, ",", &rest))
		ok = is_named(m, word, err);
	free(list);
	return ok;
}

/* --- when --- */

enum { ABSENT, BROKEN, THERE }; /* an index; a broken one is not valid */

/* By name, on this table: a name may be another table's. "late": the table is big. */
static bool look_at(struct pg *pg, const struct table *t, const char *name, int *state, bool *late,
		    struct err *err)
{
	struct buf table = {0};
	sqlname_table(t, &table);
	const char *params[] = {buf_cstr(&table), name};
	struct pg_rows *rows = pg_query(
		pg,
		"SELECT coalesce((SELECT 1 + (i.indisvalid OR x.relkind = 'I')::int FROM pg_index i"
		" JOIN pg_class x ON x.oid = i.indexrelid WHERE x.relname = $2 AND i.indrelid = "
		"to_regclass($1)),"
		" 0), EXISTS (SELECT FROM pg_class WHERE oid = to_regclass($1) AND relkind = 'r'"
		" AND pg_relation_size(oid) >= " SMALL_TABLE ")",
		params, ARRAY_LEN(params), err);
	buf_free(&table);
	if (!rows)
		return false;
	*state = (int)pg_int(rows, 0, 0);
	*late = pg_bool(rows, 0, 1);
	pg_rows_free(rows);
	return true;
}

static void add_late(struct migration *m, const struct table *t, size_t index, bool broken)
{
	m->late = xrealloc(m->late, (m->nlate + 1) * sizeof(*m->late));
	m->late[m->nlate++] = (struct late_index){t, index, broken};
}

/* One that is there stays, asked for or not. */
static bool look_at_index(struct migration *m, const struct table *t, size_t index, struct err *err)
{
	struct buf name = {0}, sql = {0};
	int state;
	bool late, ok = true;
	ddl_index_name(t, index, &name);
	if (migration_wants_index(m->cli, t, index, buf_cstr(&name))) {
		ok = look_at(m->pg, t, buf_cstr(&name), &state, &late, err);
		if (ok && state != THERE && (late || state == BROKEN)) {
			add_late(m, t, index, state == BROKEN);
		} else if (ok && state != THERE) {
			ddl_create_index(t, index, false, &sql);
			migration_add(m, &sql, "created index", buf_cstr(&name));
		}
	}
	buf_free(&name);
	return ok;
}

bool migration_indexes(struct migration *m, const struct table *t, struct err *err)
{
	for (size_t i = 0; i < t->nindexes; i++)
		if (!look_at_index(m, t, i, err))
			return false;
	return true;
}

/* --- behind the transaction --- */

/* The number is "indexing" in hex. Polled for: see the essay. */
static bool lock(struct pg *pg, struct err *err)
{
	const struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
	for (bool mine = false;;) {
		if (!catalog_ask(pg, "SELECT pg_try_advisory_lock(x'696e646578696e67'::bigint)",
				 NULL, &mine, err))
			return false;
		if (mine)
			return true;
		nanosleep(&pause, NULL);
	}
}

/* Looked at again: another migration may have been first. */
static bool build(struct pg *pg, const struct late_index *x, bool json, struct err *err)
{
	struct buf name = {0}, sql = {0};
	int state;
	bool late;
	ddl_index_name(x->table, x->index, &name);
	bool ok = look_at(pg, x->table, buf_cstr(&name), &state, &late, err);
	if (ok && state == BROKEN) {
		ddl_drop_index(x->table, x->index, &sql);
		ok = pg_exec(pg, buf_cstr(&sql), NULL, 0, err);
		sql.len = 0;
	}
	if (ok && state != THERE) {
		ddl_create_index(x->table, x->index, true, &sql);
		ok = pg_exec(pg, buf_cstr(&sql), NULL, 0, err);
	}
	if (ok && state != THERE && !json)
		printf("created index %s\n", buf_cstr(&name));
	if (!ok)
		err_wrap(err, "all else is done, but not index %s: run it again", buf_cstr(&name));
	buf_free(&name);
	buf_free(&sql);
	return ok;
}

bool migration_late_indexes(struct migration *m, struct err *err)
{
	if (m->nlate == 0)
		return true;
	if (!lock(m->pg, err) ||
	    !pg_exec(m->pg, "SET statement_timeout = 0; SET lock_timeout = 0", NULL, 0, err)) {
		m->nlate = 0;
		return err_wrap(err, "waiting for another migration to build its indexes");
	}
	for (size_t i = 0; i < m->nlate; i++) {
		(void)fflush(stdout);
		if (!build(m->pg, &m->late[i], m->cli->json, err)) {
			m->nlate = i;
			return false;
		}
	}
	return true;
}

void migration_late_sql(const struct migration *m, struct buf *out)
{
	for (size_t i = 0; i < m->nlate; i++) {
		if (m->late[i].broken)
			ddl_drop_index(m->late[i].table, m->late[i].index, out);
		ddl_create_index(m->late[i].table, m->late[i].index, true, out);
	}
}

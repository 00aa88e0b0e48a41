/*
 * cmd_migrate.c - "memingest migrate": brings the database to what the schemas want, by adding and
 * never by changing.
 *
 *   BEGIN; advisory lock        a second migration waits here and then finds nothing to do
 *   look                        each difference becomes a step (SQL and a word) or a finding
 *   any finding: ROLLBACK       the report says all of them; exit 78, nothing is changed
 *   --dry-run: print, ROLLBACK
 *   else run the steps, COMMIT
 *   indexes on big tables       CONCURRENTLY, see migrate_indexes.c
 *
 * One transaction, so a migration that fails in the middle leaves nothing behind. Only what may
 * take long and is no part of being right comes after it.
 *
 * Steps: extension vector (if a column needs it), schema memingest and its tables, then per stream
 * its schema, table, missing columns, their storage and compression, indexes, and what its search
 * needs (migrate_search.c). Findings: whatever would change or drop something, see
 * catalog_compare(). Last come grants (migrate_grants.c).
 *
 * The extension is created while looking, also in a dry run (which rolls it back): the types of the
 * columns cannot be compared without.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/catalog.h"
#include "cli/cli.h"
#include "cli/database.h"
#include "cli/migration.h"
#include "cli/report.h"
#include "core/ddl.h"
#include "core/sqlname.h"
#include "core/stream.h"
#include "io/pg.h"

#define MIGRATE_TIMEOUT (US_PER_S * 3600 * 24)

void migration_add(struct migration *m, struct buf *sql, const char *what, const char *name)
{
	for (size_t i = 0; i < m->nsteps; i++) {
		if (strcmp(m->steps[i].sql, buf_cstr(sql)) == 0) {
			buf_free(sql);
			return;
		}
	}
	m->steps = xrealloc(m->steps, (m->nsteps + 1) * sizeof(*m->steps));
	m->steps[m->nsteps++] =
		(struct step){xstrdup(buf_cstr(sql)), xasprintf("%s %s", what, name)};
	buf_free(sql);
}

/* --- extension --- */

/* While looking, as the types can only be compared with it there. */
static bool create_vector(struct migration *m, const struct column *column, struct err *err)
{
	bool available;
	if (!catalog_ask(
		    m->pg,
		    "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector')",
		    NULL, &available, err))
		return false;
	if (!available)
		return err_set(err, ERR_CONFIG,
			       "column %s wants %s, but the server has no extension vector: "
			       "install pgvector there",
			       column->name, column->type);
	if (!pg_exec(m->pg, "CREATE EXTENSION vector", NULL, 0, err)) {
		if (strcmp(err->code, "42501") == 0)
			err_set(err, ERR_CONFIG,
				"column %s wants %s, but this role may not create the extension: "
				"run as a superuser: "
				"CREATE EXTENSION "
				"vector;",
				column->name, column->type);
		return false;
	}
	struct buf sql = {0};
	buf_puts(&sql, "CREATE EXTENSION vector;\n");
	migration_add(m, &sql, "created extension", "vector");
	return true;
}

/* Again after the extension was made: another type may be missing. */
static bool look_at_types(struct migration *m, const struct stream *s, struct err *err)
{
	const struct column *column;
	if (!catalog_unknown_type(m->pg, s->table, &column, err))
		return false;
	if (!column)
		return true;
	if (catalog_is_vector(column->type))
		return create_vector(m, column, err) && look_at_types(m, s, err);
	return err_set(err, ERR_CONFIG, "table %s: column %s: PostgreSQL knows no type %s",
		       table_full_name(s->table), column->name, column->type);
}

/* --- bookkeeping --- */

/* Behind these words of a statement stands what it makes; see the head of bookkeeping.sql. */
static const char create_word[] = "CREATE ", alter_words[] = "ALTER TABLE ",
		  guard_words[] = " IF NOT EXISTS ";

/* What one statement of bookkeeping.sql makes, and how to ask whether it is there. */
struct made {
	char kind[64], name[64];
	char ask[256]; /* $1 is the name */
};

/*
 * "CREATE TABLE IF NOT EXISTS memingest.offsets (": kind and name. An index gets the schema in
 * front, as its table has it.
 */
static void created_object(const char *sql, const char *guard, struct made *m)
{
	const char *create = strstr(sql, create_word) + strlen(create_word),
		   *from = guard + strlen(guard_words);
	snprintf(m->kind, sizeof(m->kind), "%.*s", (int)(guard - create), create);
	bool bare = strcmp(m->kind, "INDEX") == 0;
	snprintf(m->name, sizeof(m->name), "%s%.*s", bare ? "memingest." : "",
		 (int)strcspn(from, " ;\n"), from);
	for (char *p = m->kind; *p; p++)
		*p = (char)(*p >= 'A' && *p <= 'Z' ? *p - 'A' + 'a' : *p);
	snprintf(m->ask, sizeof(m->ask), "SELECT %s($1) IS NOT NULL",
		 strcmp(m->kind, "schema") == 0 ? "to_regnamespace" : "to_regclass");
}

/*
 * "ALTER TABLE memingest.batches ADD COLUMN IF NOT EXISTS skipped": name is the table's. It is
 * there also where the table is not, for that is made with it.
 */
static void added_column(const char *alter, const char *guard, struct made *m)
{
	const char *table = alter + strlen(alter_words), *column = guard + strlen(guard_words);
	snprintf(m->kind, sizeof(m->kind), "column %.*s of", (int)strcspn(column, " "), column);
	snprintf(m->name, sizeof(m->name), "%.*s", (int)strcspn(table, " "), table);
	snprintf(m->ask, sizeof(m->ask),
		 "SELECT to_regclass($1) IS NULL OR EXISTS (SELECT FROM pg_attribute WHERE attrelid"
		 " = to_regclass($1) AND attname = '%.*s' AND NOT attisdropped)",
		 (int)strcspn(column, " "), column);
}

/* Each statement of the file makes one thing: see its head. */
static struct made made_by(const char *sql, size_t len)
{
	struct made m = {0};
	const char *guard = memmem(sql, len, guard_words, strlen(guard_words)),
		   *alter = memmem(sql, len, alter_words, strlen(alter_words));
	if (alter)
		added_column(alter, guard, &m);
	else
		created_object(sql, guard, &m);
	return m;
}

/* A semicolon at the end of a line; one of a comment does not count. NULL: there is none. */
static const char *statement_end(const char *sql)
{
	for (const char *end = sql; (end = strstr(end, ";\n")) != NULL; end += 2) {
		const char *before = memrchr(sql, '\n', (size_t)(end - sql)),
			   *line = before ? before : sql;
		if (!memmem(line, (size_t)(end - line), "--", 2))
			return end;
	}
	return NULL;
}

bool migration_books(struct migration *m, const char *text, struct err *err)
{
	const char *p = text;
	for (const char *end; (end = statement_end(p)) != NULL; p = end + 2) {
		char what[80];
		bool there;
		struct made made = made_by(p, (size_t)(end - p));
		if (!catalog_ask(m->pg, made.ask, made.name, &there, err))
			return false;
		if (there)
			continue;
		struct buf sql = {0};
		buf_put(&sql, p + strspn(p, "\n"), (size_t)(end + 2 - p) - strspn(p, "\n"));
		snprintf(what, sizeof(what), "created %s", made.kind);
		migration_add(m, &sql, what, made.name);
	}
	return true;
}

/* --- streams --- */

/* Tables without a schema of their own go where search_path says. */
static bool look_at_schema(struct migration *m, const struct table *t, struct err *err)
{
	bool there;
	struct buf sql = {0}, name = {0};
	if (!t->schema)
		return true;
	pg_quote_ident(&name, t->schema);
	bool ok = catalog_ask(m->pg, "SELECT to_regnamespace($1) IS NOT NULL", buf_cstr(&name),
			      &there, err);
	if (ok && !there) {
		buf_printf(&sql, "CREATE SCHEMA IF NOT EXISTS %s;\n", buf_cstr(&name));
		migration_add(m, &sql, "created schema", t->schema);
	}
	buf_free(&name);
	return ok;
}

/*
 * found is pg_attribute's letter for the setting's value: the first one, but x for extended, as e
 * is external.
 */
static void set_column(struct migration *m, const struct table *t, const struct catalog *c,
		       size_t i, const char *setting, const char *wanted, char found)
{
	struct buf sql = {0};
	char what[32], name[256];
	if (!wanted || found == (strcmp(wanted, "extended") == 0 ? 'x' : wanted[0]))
		return;
	snprintf(what, sizeof(what), "set %s of column", setting);
	snprintf(name, sizeof(name), "%s.%s", table_full_name(t), t->columns[i].name);
	ddl_set_column(t, i, setting, wanted, &sql);
	if (c->kind == 'p')
		ddl_set_in_partitions(t, i, setting, wanted, &sql);
	migration_add(m, &sql, what, name);
}

/* With the settings of columns that are there, too. */
static void add_columns(struct migration *m, const struct table *t, const struct catalog *c)
{
	for (size_t i = 0; i < c->ncolumns; i++) {
		char name[256];
		struct buf sql = {0};
		snprintf(name, sizeof(name), "%s.%s", table_full_name(t),
			 catalog_column_name(t, i));
		if (c->exists && !c->columns[i].exists) {
			ddl_add_column(t, i, &sql);
			migration_add(m, &sql, "added column", name);
		}
		if (i < t->ncolumns) {
			set_column(m, t, c, i, "STORAGE", t->columns[i].storage,
				   c->columns[i].storage);
			set_column(m, t, c, i, "COMPRESSION", t->columns[i].compression,
				   c->columns[i].compression);
		}
	}
}

/* A table that is not there is one step; else each difference is. */
static bool look_at_stream(struct migration *m, const struct stream *s, struct err *err)
{
	struct catalog c;
	char area[128];
	snprintf(area, sizeof(area), "stream.%s", s->config->name);
	if (!look_at_types(m, s, err) || !look_at_schema(m, s->table, err) ||
	    !catalog_read(m->pg, s->table, &c, err))
		return false;
	if (!c.exists) {
		struct buf sql = {0};
		ddl_create_table(s->table, &sql);
		migration_add(m, &sql, "created table", table_full_name(s->table));
	}
	if (catalog_compare(s->table, &c, area, false, &m->report) == 0)
		add_columns(m, s->table, &c);
	bool there = c.exists;
	catalog_free(&c);
	return migration_indexes(m, s->table, err) && migration_search(m, s, there, err);
}

/* --- as JSON --- */

/* Takes sql over. */
static void add_json(json_t *steps, const char *done, char *sql)
{
	json_array_append_new(steps, json_pack("{s:s, s:s}", "done", done, "sql", sql));
	free(sql);
}

/* {"applied": true, "steps": [{"done": "created table t", "sql": "..."}]} */
static void print_json(const struct migration *m, bool applied)
{
	json_t *steps = json_array();
	struct buf late = {0};
	for (size_t i = 0; i < m->nsteps; i++)
		add_json(steps, m->steps[i].done, xstrdup(m->steps[i].sql));
	migration_late_sql(m, &late);
	if (m->nlate > 0)
		add_json(steps, "created indexes of large tables", buf_take_text(&late));
	json_t *all = json_pack("{s:b, s:o}", "applied", applied, "steps", steps);
	json_dumpf(all, stdout, JSON_INDENT(2));
	puts("");
	json_decref(all);
	buf_free(&late);
}

/* --- grants --- */

enum { WORKER, SEARCHER };

/* A role may write, or only search; its grants may be printed, or be given in the migration. */
static const struct grants {
	const char *print, *give; /* options */
	int kind;
	const char *done, *rights;
} grants[] = {
	{"grants", "grant-to", WORKER, "granted a worker's rights to", "a worker's rights for"},
	{"search-grants", "search-grant-to", SEARCHER, "granted a searcher's rights to",
	 "a searcher's rights for"},
};

static bool write_grants(const struct migration *m, const struct grants *g, const char *role,
			 struct buf *out, struct err *err)
{
	size_t n = m->cli->config->nstreams;
	if (g->kind == WORKER)
		migration_worker_grants(m->streams, n, role, out);
	else if (!migration_searcher_grants(m->streams, n, role, out))
		return err_set(err, ERR_CONFIG, "no stream has \"search\" in its schema");
	return true;
}

/* Whether grants are to be printed and nothing else; then they are, unless err says why not. */
static bool print_grants(struct migration *m, struct err *err)
{
	bool any = false;
	struct buf out = {0};
	for (size_t i = 0; i < ARRAY_LEN(grants) && err->class == ERR_NONE; i++) {
		const char *role = cli_option(m->cli, grants[i].print, NULL);
		any = any || role;
		if (role && write_grants(m, &grants[i], role, &out, err) && m->cli->json)
			migration_add(m, &out, grants[i].rights, role);
		fputs(buf_cstr(&out), stdout);
		out.len = 0;
	}
	if (any && m->cli->json && err->class == ERR_NONE)
		print_json(m, false);
	buf_free(&out);
	return any;
}

static bool add_grants(struct migration *m, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(grants); i++) {
		const char *role = cli_option(m->cli, grants[i].give, NULL);
		struct buf sql = {0};
		if (!role)
			continue;
		if (!write_grants(m, &grants[i], role, &sql, err))
			return false;
		migration_add(m, &sql, grants[i].done, role);
	}
	return true;
}

/* --- running --- */

/* A second migration waits here. */
static bool begin(struct migration *m, struct err *err)
{
	/* The number is "memingest" in hex, cut to 8 bytes. */
	if (pg_exec(m->pg,
		    "BEGIN; SELECT pg_advisory_xact_lock(x'6d656d696e676573'::bigint);"
		    "SET LOCAL statement_timeout = 0; SET LOCAL client_min_messages = warning",
		    NULL, 0, err))
		return true;
	return err_wrap(err, "waiting for another migration to end");
}

static bool look(struct migration *m, struct err *err)
{
	size_t n = m->cli->config->nstreams;
	bool ok = migration_books(m, sql_bookkeeping, err);
	if (ok && stream_any_embeds(m->streams, n))
		ok = migration_books(m, sql_embed_books, err);
	for (size_t i = 0; ok && i < n; i++)
		ok = look_at_stream(m, m->streams[i], err);
	return ok;
}

static bool run_steps(struct migration *m, struct err *err)
{
	for (size_t i = 0; i < m->nsteps; i++) {
		if (strncmp(m->steps[i].sql, "CREATE EXTENSION", 16) == 0)
			continue; /* done while looking */
		if (!pg_exec(m->pg, m->steps[i].sql, NULL, 0, err))
			return err_wrap(err, "nothing was changed: not %s", m->steps[i].done);
	}
	return pg_exec(m->pg, "COMMIT", NULL, 0, err);
}

static void print_steps(const struct migration *m, bool dry)
{
	struct buf late = {0};
	for (size_t i = 0; i < m->nsteps; i++)
		puts(dry ? m->steps[i].sql : m->steps[i].done);
	if (m->nsteps == 0 && m->nlate == 0)
		puts(dry ? "-- nothing to do" : "nothing to do");
	if (dry)
		migration_late_sql(m, &late);
	fputs(buf_cstr(&late), stdout);
	buf_free(&late);
}

/* All or nothing, but for indexes that are built behind it. */
static int migrate(struct migration *m, struct err *err)
{
	if (!begin(m, err) || !look(m, err))
		return report_err_exit_code(err);
	if (m->report.counts[REPORT_ERROR] > 0) {
		report_print(&m->report, m->cli);
		return cli_fail(EXIT_CONFIG, "nothing was changed: migrate only adds, the rest is "
					     "for a person to decide");
	}
	if (!add_grants(m, err))
		return report_err_exit_code(err);
	bool dry = cli_flag(m->cli, "dry-run");
	if (!dry && !run_steps(m, err))
		return report_err_exit_code(err);
	if (!m->cli->json)
		print_steps(m, dry);
	bool ok = dry || migration_late_indexes(m, err);
	if (m->cli->json)
		print_json(m, !dry);
	return ok ? EXIT_OK : report_err_exit_code(err);
}

/* --- command --- */

/* Before anything is asked of the server. */
static bool load_streams(struct migration *m, struct err *err)
{
	size_t n = m->cli->config->nstreams;
	m->streams = xcalloc(n, sizeof(struct stream *));
	for (size_t i = 0; i < n; i++)
		if (!(m->streams[i] = stream_new(m->cli->config, i, err)))
			return false;
	return true;
}

/* What is still open is rolled back with the connection. */
static void clear(struct migration *m)
{
	for (size_t i = 0; m->streams && i < m->cli->config->nstreams; i++)
		stream_free(m->streams[i]);
	for (size_t i = 0; i < m->nsteps; i++) {
		free(m->steps[i].sql);
		free(m->steps[i].done);
	}
	free(m->streams);
	free(m->steps);
	free(m->late);
	report_free(&m->report);
	pg_free(m->pg); /* rolls back what is open */
}

/* --grants prints and asks no server. */
static int run(struct cli *cli)
{
	struct migration m = {.cli = cli};
	struct err err = {0};
	int code = EXIT_CONFIG;
	if (!load_streams(&m, &err))
		goto out;
	if (!migration_indexes_named(&m, &err)) {
		code = EXIT_USAGE;
		goto out;
	}
	if (cli->config->sqlite_path) {
		code = sqlite_migrate(cli, m.streams, &err);
		goto out;
	}
	if (print_grants(&m, &err)) {
		code = err.class == ERR_NONE ? EXIT_OK : EXIT_CONFIG;
		goto out;
	}
	m.pg = pg_connect(cli->config, "migrate", -1, &err);
	if (!m.pg) {
		code = report_err_exit_code(&err);
		goto out;
	}
	pg_set_timeout(m.pg, MIGRATE_TIMEOUT);
	code = migrate(&m, &err);
out:
	if (err.class != ERR_NONE)
		cli_fail(code, "%s", err.text);
	clear(&m);
	return code;
}

static const struct cli_option options[] = {
	{"dry-run", NULL, "print the SQL that would be run, and change nothing"},
	{"indexes", "LIST",
	 "none, lean (default) or all of the schemas' indexes, or names, with commas between"},
	{"grants", "ROLE",
	 "print the least rights that a worker's role needs, and do nothing else"},
	{"grant-to", "ROLE", "grant these rights as well, in the same transaction"},
	{"search-grants", "ROLE",
	 "print the least rights of a role that only searches, and do nothing else"},
	{"search-grant-to", "ROLE", "grant these as well"},
	{NULL, NULL, NULL},
};

const struct command command_migrate = {
	.name = "migrate",
	.usage = "[--dry-run] [--indexes LIST] [--[search-]grants ROLE | --[search-]grant-to ROLE]"
		 " [--json]",
	.summary = "create or extend tables, indexes and bookkeeping",
	.help = "Creates what the schemas want and the database lacks: the extension vector, the "
		"schema memingest with "
		"the\n"
		"worker's own tables, and for each stream its table, columns and indexes. All in "
		"one transaction; run "
		"it as often as\n"
		"you like. It only adds: a column of another type, a missing key and the like are "
		"reported, and "
		"nothing is\n"
		"changed (exit 78).\n"
		"Of a schema's indexes it makes those of level lean. --indexes all makes the "
		"others too, none only those that are\n"
		"unique, lean,NAME one more; NAME is as --dry-run --indexes all shows it. One that "
		"is there under its name stays,\n"
		"whoever made it. On a table of over 64 MiB they are built last, CONCURRENTLY: "
		"writers go on. On a partitioned one\n"
		"they keep writers out: make them by hand first.",
	.wants_config = true,
	.no_arguments = true,
	.options = options,
	.run = run,
};

/*
 * database.c - "run", "load", "migrate" and "check" on the database that the config names, as far
 * as that is a SQLite file.
 *
 * What commands do on PostgreSQL stands in their own files; each asks here first. Both looks at a
 * file are one (sqlite/shape.h): migrate takes its steps in one transaction, check reports them as
 * what is missing.
 *
 * Thread: the command's.
 */
#include "cli/database.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/migration.h"
#include "sqlite/shape.h"
#include "sqlite/store.h"
#include "sqlite/writer.h"

const struct store_class *database_store(const struct config *config)
{
	return config->sqlite_path ? &store_sqlite : &store_pg;
}

/* --- migrate --- */

static void print_steps(const struct shape *s, bool dry)
{
	bool any = false;
	for (size_t i = 0; i < s->nsteps; i++) {
		const char *text = dry ? s->steps[i].sql : s->steps[i].done;
		if (text)
			puts(text);
		any |= text != NULL;
	}
	if (!any)
		puts(dry ? "-- nothing to do" : "nothing to do");
	fputs(buf_cstr((struct buf *)&s->notes), stderr);
}

/* As on PostgreSQL: {"applied": true, "steps": [{"done": "created table t", "sql": "..."}]} */
static void print_json(const struct shape *s, bool applied)
{
	json_t *steps = json_array();
	for (size_t i = 0; i < s->nsteps; i++)
		if (s->steps[i].done)
			json_array_append_new(steps,
					      json_pack("{s:s, s:s}", "done", s->steps[i].done,
							"sql", s->steps[i].sql));
	json_t *all = json_pack("{s:b, s:o}", "applied", applied, "steps", steps);
	json_dumpf(all, stdout, JSON_INDENT(2));
	puts("");
	json_decref(all);
	fputs(buf_cstr((struct buf *)&s->notes), stderr);
}

static int give_up(const struct cli *cli, const struct shape *s)
{
	struct report report = {0};
	report_lines(&report, REPORT_ERROR, buf_cstr((struct buf *)&s->findings));
	report_print(&report, cli);
	report_free(&report);
	return cli_fail(EXIT_CONFIG, "nothing was changed: migrate only adds, the rest is for a "
				     "person to decide");
}

static int take(struct cli *cli, struct shape *s, struct db *db, struct err *err)
{
	bool dry = cli_flag(cli, "dry-run");
	if (s->findings.len > 0)
		return give_up(cli, s);
	if (!dry && !(shape_take(s, db, err) && db_exec(db, "COMMIT", err)))
		return report_err_exit_code(err);
	if (cli->json)
		print_json(s, !dry);
	else
		print_steps(s, dry);
	return EXIT_OK;
}

static bool wants_index(void *ctx, const struct table *t, size_t index, const char *name)
{
	return migration_wants_index(ctx, t, index, name);
}

/* A dry run makes no file. */
int sqlite_migrate(struct cli *cli, struct stream *const *streams, struct err *err)
{
	static const char *const foreign[] = {"grants", "grant-to", "search-grants",
					      "search-grant-to"};
	const struct shape_wish wish = {wants_index, cli};
	const char *path = cli->config->sqlite_path;
	struct shape s = {0};
	struct db db;
	for (size_t i = 0; i < ARRAY_LEN(foreign); i++)
		if (cli_flag(cli, foreign[i]))
			return cli_fail(EXIT_USAGE, "--%s is for PostgreSQL", foreign[i]);
	if (cli_flag(cli, "dry-run") && access(path, F_OK) != 0)
		path = ":memory:";
	if (!db_open(&db, path, DB_CREATE, -1, err))
		return report_err_exit_code(err);
	bool ok = db_exec(&db, "BEGIN IMMEDIATE", err) &&
		  shape_look(&s, &db, streams, cli->config->nstreams, &wish, err);
	int code = ok ? take(cli, &s, &db, err) : report_err_exit_code(err);
	shape_free(&s);
	db_close(&db); /* rolls back what is open */
	return code;
}

/* --- check --- */

static void report_shape(const struct shape *s, struct report *report)
{
	report_lines(report, REPORT_ERROR, buf_cstr((struct buf *)&s->findings));
	for (size_t i = 0; i < s->nsteps; i++)
		report_add(report, s->steps[i].optional ? REPORT_WARN : REPORT_ERROR, "sqlite",
			   "missing: \"%s\" has not been done: run \"memingest migrate\"",
			   s->steps[i].done);
}

void sqlite_check_extension(const struct config *config, struct report *report)
{
	const char *file = config->sqlite_vec_extension;
	if (file && access(file, R_OK) != 0)
		report_add(report, REPORT_WARN, "sqlite",
			   "sqlite.vec_extension: %s: %s; a search would end with that", file,
			   strerror(errno));
}

bool sqlite_check(const struct config *config, struct stream *const *streams, struct asker *asker,
		  struct report *report)
{
	struct err err = {0};
	struct shape s = {0};
	struct db *db = &asker->file;
	char holder[160];
	const char *name;
	if (db_place(config->sqlite_path, &name) == DB_DOUBTFUL)
		report_add(report, REPORT_WARN, "sqlite",
			   "%s lies on %s: if that leads to another machine, SQLite's locks do not "
			   "hold there",
			   config->sqlite_path, name);
	if (!asker_open(asker, config, "check", &err)) {
		report_err(report, "sqlite", &err);
		return false;
	}
	report_add(report, REPORT_OK, "sqlite", "SQLite %s, %s", sqlite3_libversion(),
		   config->sqlite_path);
	if (writer_holder(config->sqlite_path, holder, sizeof(holder)))
		report_add(report, REPORT_WARN, "sqlite",
			   "the file is written by %s: another worker would wait for it", holder);
	if (!db_may_write(db, &err))
		report_err(report, "sqlite", &err);
	if (!db_is_whole(db, &err) || !shape_look(&s, db, streams, config->nstreams, NULL, &err))
		report_err(report, "sqlite", &err);
	else
		report_shape(&s, report);
	if (err.class == ERR_NONE && s.nsteps == 0 && s.findings.len == 0)
		report_add(report, REPORT_OK, "sqlite", "the tables fit the schemas");
	shape_free(&s);
	return true;
}

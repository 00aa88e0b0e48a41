/*
 * cmd_index.c - "memingest index": the segments of searches, seen and worked on by hand.
 *
 *   status     what each search goes through, and what is in no segment
 *   build      seals and adopts until nothing is left, as the workers do, but at once
 *   rewrite    builds every segment that has stale rows anew
 *   use        which of several columns searches go to: one row in memingest.searches
 *   drop       all that there is of a search: segments, functions, the column search_xid; or what
 *              there is of one of several columns
 *
 * Workers may run meanwhile: each step takes the database's one lock for upkeep, so they take
 * turns.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/catalog.h"
#include "cli/cli.h"
#include "cli/report.h"
#include "search/indexer.h"
#include "search/seal.h"

#define TURN_US (3600 * US_PER_S)

struct work {
	struct cli *cli;
	struct pg *pg;
	struct stream *stream;
	const char *action, *column; /* NULL: all columns */
	const struct searchsql *sql; /* of the column that is worked on */
};

static const char *column_of(const struct searchsql *s)
{
	const struct table *t = s->table;
	return t->columns[t->searches[s->index].vector].name;
}

/* NAME of [embed.NAME], or NULL. */
static const char *model_of(const struct searchsql *s)
{
	int embed = table_embed_of(s->table, s->table->searches[s->index].vector);
	return embed < 0 ? NULL : s->table->embeds[embed].model;
}

static bool has_several(const struct work *w)
{
	return w->stream->front != NULL;
}

/* --- status --- */

static void print_status(const struct work *w, const struct search_view *v, bool live)
{
	int64_t segments = 0, rows = 0, stale = 0;
	for (size_t i = 0; i < v->nsegments; i++) {
		const struct segment *s = &v->segments[i];
		segments += s->state != SEGMENT_DEAD;
		rows += s->state != SEGMENT_DEAD ? s->rows : 0;
		stale += s->state != SEGMENT_DEAD ? s->stale : 0;
	}
	if (w->cli->json)
		printf("{\"stream\": \"%s\", \"table\": \"%s\", \"segments\": %" PRId64
		       ", \"sealed_rows\": %" PRId64 ", \"stale_rows\": %" PRId64
		       ", \"unindexed_rows\": %" PRId64 ", \"unindexed_age_s\": %" PRId64
		       ", \"adopted\": %s, \"column\": \"%s\", \"live\": %s}\n",
		       w->stream->config->name, table_full_name(w->stream->table), segments, rows,
		       stale, v->tail, v->tail_age_s, v->adopted ? "true" : "false",
		       column_of(w->sql), live ? "true" : "false");
	else
		printf("%-16s %8" PRId64 " %12" PRId64 " %10" PRId64 " %12" PRId64 " %8" PRId64
		       "s  %s%s%s%s\n",
		       w->stream->config->name, segments, rows, stale, v->tail, v->tail_age_s,
		       has_several(w) ? live ? "live: " : "not live: " : "",
		       has_several(w) ? column_of(w->sql) : "",
		       has_several(w) && !v->adopted ? "; " : "",
		       v->adopted ? "" : "rows of before are being adopted");
}

/* Whether searches go to the column. */
static bool is_live(struct work *w, bool *live, struct err *err)
{
	*live = true;
	if (!has_several(w))
		return true;
	const char *params[] = {column_of(w->sql)};
	char *sql = xasprintf("SELECT \"column\" = $1 FROM %s()", w->sql->live);
	struct pg_rows *rows = pg_query(w->pg, sql, params, 1, err);
	free(sql);
	if (rows)
		*live = pg_bool(rows, 0, 0);
	else if (strcmp(err->code, "42883") == 0)
		err_wrap(err, "the table has no search of several columns yet: run \"memingest "
			      "migrate\"");
	pg_rows_free(rows);
	return rows != NULL;
}

static bool status(struct work *w, struct err *err)
{
	struct search_view v;
	bool live;
	if (!is_live(w, &live, err) || !seal_look(w->pg, w->sql, &v, err))
		return false;
	print_status(w, &v, live);
	search_view_clear(&v);
	return true;
}

/* --- build, rewrite --- */

/* Waits for the lock as long as a build may take. */
static bool take_turn(struct work *w, struct err *err)
{
	int64_t until = clock_mono_us() + TURN_US;
	for (bool mine = false; clock_mono_us() < until;) {
		if (!seal_lock(w->pg, &mine, err))
			return false;
		if (mine)
			return true;
		if (!pg_exec(w->pg, "SELECT pg_sleep(0.2)", NULL, 0, err))
			return false;
	}
	return err_set(err, ERR_RETRY, "a worker has been building for an hour");
}

/* Every segment with stale rows; what is counted now counts. */
static bool count_all(struct work *w, struct search_view *v, struct err *err)
{
	for (size_t i = 0; i < v->nsegments; i++)
		if (v->segments[i].state == SEGMENT_LIVE && v->segments[i].exists &&
		    !seal_count_stale(w->pg, w->sql, &v->segments[i], err))
			return false;
	return true;
}

static void print_step(const struct work *w, const struct upkeep_plan *plan,
		       const struct seal_done *done, const struct search_view *v)
{
	double s = (double)done->took_us / (double)US_PER_S;
	printf("%s%s%s: %s %" PRId64 " rows in %.1f s (%.0f/s), %" PRId64 " left\n",
	       w->stream->config->name, has_several(w) ? ", column " : "",
	       has_several(w) ? column_of(w->sql) : "", upkeep_step_name(plan->step), done->rows, s,
	       (double)done->rows / MAX(s, 0.001), MAX(v->tail - done->rows, (int64_t)0));
	fflush(stdout);
}

/* One step. *more: there may be another. */
static bool step(struct work *w, bool *more, struct err *err)
{
	struct upkeep_rules rules = indexer_rules(w->cli->config, w->sql);
	struct seal_means means = indexer_means(w->cli->config, w->sql);
	struct search_view v;
	struct seal_done done;
	bool rewrites = strcmp(w->action, "rewrite") == 0;
	rules.all = true;
	rules.rests = true;
	if (rewrites)
		rules.stale_share = 0;
	if (!seal_look(w->pg, w->sql, &v, err))
		return false;
	bool ok = !rewrites || count_all(w, &v, err);
	struct upkeep_plan plan = upkeep_decide(&v, &rules);
	*more = plan.step != UPKEEP_NONE;
	if (!v.exists)
		ok = err_set(err, ERR_CONFIG,
			     "there is no search of table %s: run \"memingest migrate\"",
			     table_full_name(w->stream->table));
	else if (v.foreign)
		ok = err_set(
			err, ERR_CONFIG,
			"the table was restored from another cluster: run \"memingest migrate\"");
	if (ok && *more) {
		ok = seal_do(w->pg, w->sql, &v, &plan, &means, &done, err);
		if (ok && done.rows > 0)
			print_step(w, &plan, &done, &v);
	}
	search_view_clear(&v);
	return ok;
}

static bool build(struct work *w, struct err *err)
{
	bool ok = true;
	for (bool more = true; ok && more;) {
		ok = take_turn(w, err) && step(w, &more, err);
		struct err ignored = {0};
		if (pg_ok(w->pg) && !seal_unlock(w->pg, &ignored) && ok)
			return err_set(err, ERR_RETRY, "%s", ignored.text);
	}
	return ok;
}

/* --- drop --- */

static bool drop(struct work *w, struct err *err)
{
	const struct stream *s = w->stream;
	const char *of = w->column ? " of that field" : "";
	struct buf sql = {0};
	buf_puts(&sql, "BEGIN; ");
	for (size_t i = 0; i < s->table->nsearches; i++) {
		const struct searchsql *one = s->searches[i];
		if (w->column && strcmp(w->column, column_of(one)) != 0)
			continue;
		buf_printf(&sql,
			   "%s%sDELETE FROM memingest.segments WHERE \"table\" = %s;"
			   " DELETE FROM memingest.searches WHERE \"table\" = %s; ",
			   one->drop_functions, one->drop_segments, one->key_literal,
			   one->key_literal);
	}
	if (!w->column && s->front)
		buf_puts(&sql, s->front->drop_functions);
	buf_printf(&sql, "%s COMMIT", w->column ? "" : s->searches[0]->drop_column);
	bool ok = take_turn(w, err) && pg_exec(w->pg, buf_cstr(&sql), NULL, 0, err);
	buf_free(&sql);
	if (ok)
		printf("%s: dropped. Take \"search\"%s out of the schema, or migrate makes it "
		       "again.\n",
		       s->config->name, of);
	return ok;
}

/* --- use --- */

/* What a switch would leave unfound, and what it would make slow. */
struct readiness {
	int64_t lacking;  /* rows with a vector in the live column and none in the new one */
	int64_t unsealed; /* rows in no segment */
};

static bool look_at_readiness(struct work *w, struct readiness *ready, struct err *err)
{
	struct search_view v;
	if (!seal_look(w->pg, w->sql, &v, err))
		return false;
	bool there = v.exists && !v.foreign;
	ready->unsealed = v.tail;
	search_view_clear(&v);
	if (!there)
		return err_set(err, ERR_CONFIG,
			       "there is no search of column %s: run \"memingest "
			       "migrate\"",
			       column_of(w->sql));
	struct buf sql = {0}, name = {0};
	buf_quoted(&name, column_of(w->sql), '"');
	buf_printf(&sql, "SELECT count(*) FROM %s t WHERE t.%s IS NULL AND (false",
		   w->sql->table_name, buf_cstr(&name));
	for (size_t i = 0; i < w->stream->table->nsearches; i++) {
		buf_puts(&sql, " OR t.");
		buf_quoted(&sql, column_of(w->stream->searches[i]), '"');
		buf_puts(&sql, " IS NOT NULL");
	}
	buf_puts(&sql, ")");
	struct pg_rows *rows = pg_query(w->pg, buf_cstr(&sql), NULL, 0, err);
	if (rows)
		ready->lacking = pg_int(rows, 0, 0);
	buf_free(&sql);
	buf_free(&name);
	pg_rows_free(rows);
	return rows != NULL;
}

/* In one statement: each search goes to the one or to the other. */
static bool switch_over(struct work *w, struct err *err)
{
	struct buf sql = {0};
	buf_printf(&sql,
		   "UPDATE memingest.searches SET live = (\"table\" = %s) WHERE \"table\" IN (",
		   w->sql->key_literal);
	for (size_t i = 0; i < w->stream->table->nsearches; i++)
		buf_printf(&sql, "%s%s", i ? ", " : "", w->stream->searches[i]->key_literal);
	buf_puts(&sql, ")");
	bool ok = pg_exec(w->pg, buf_cstr(&sql), NULL, 0, err);
	buf_free(&sql);
	return ok;
}

/* What is not ready is asked about; the way back is the same command, so nothing else is. */
static int confirm(const struct work *w, const struct readiness *ready)
{
	int64_t few = (int64_t)w->cli->config->index_tail_rows;
	if (ready->lacking > 0)
		return cli_confirm(w->cli,
				   "%" PRId64
				   " rows have no vector in column %s, and searches of it "
				   "do not find them (\"memingest embed\"). Use it all the same",
				   ready->lacking, column_of(w->sql));
	if (ready->unsealed > few)
		return cli_confirm(w->cli,
				   "%" PRId64 " rows are in no segment of column %s yet, and each "
				   "search of it reads them. Use it all the same",
				   ready->unsealed, column_of(w->sql));
	return EXIT_OK;
}

static bool use(struct work *w, int *code, struct err *err)
{
	struct readiness ready = {0};
	bool live;
	if (!is_live(w, &live, err) || !look_at_readiness(w, &ready, err))
		return false;
	if (!live)
		*code = confirm(w, &ready);
	if (*code != EXIT_OK)
		return true;
	if (!live && !switch_over(w, err))
		return false;
	printf("%s: searches %s column %s", w->stream->config->name,
	       live ? "go already to" : "go from now on to", column_of(w->sql));
	if (model_of(w->sql))
		printf(", model %s", model_of(w->sql));
	puts("");
	return true;
}

/* --- command --- */

static const char *const actions[] = {"status", "build", "rewrite", "use", "drop", NULL};

static bool act_on_column(struct work *w, int *code, struct err *err)
{
	if (strcmp(w->action, "status") == 0)
		return status(w, err);
	return strcmp(w->action, "use") == 0 ? use(w, code, err) : build(w, err);
}

/* The column is searched, and may be gone. */
static bool check_column(struct work *w, bool *live, struct err *err)
{
	const struct stream *s = w->stream;
	struct buf names = {0};
	w->sql = NULL;
	for (size_t i = 0; i < s->table->nsearches; i++) {
		if (strcmp(column_of(s->searches[i]), w->column) == 0)
			w->sql = s->searches[i];
		buf_printf(&names, "%s%s", i ? ", " : "", column_of(s->searches[i]));
	}
	if (!w->sql)
		err_set(err, ERR_CONFIG, "column %s of stream %s is not searched; these are: %s",
			w->column, s->config->name, buf_cstr(&names));
	buf_free(&names);
	return w->sql && is_live(w, live, err);
}

static bool drop_column(struct work *w, struct err *err)
{
	bool live;
	if (!check_column(w, &live, err))
		return false;
	if (live)
		return err_set(
			err, ERR_CONFIG,
			"searches go to column %s: \"memingest index use %s COLUMN\" first%s",
			w->column, w->stream->config->name,
			has_several(w) ? "" : ", or drop the search without --column");
	return drop(w, err);
}

static bool act(struct work *w, int *code, struct err *err)
{
	bool ok = true, live;
	if (strcmp(w->action, "drop") == 0)
		return w->column ? drop_column(w, err) : drop(w, err);
	if (w->column && !check_column(w, &live, err))
		return false;
	for (size_t i = 0; ok && i < w->stream->table->nsearches; i++) {
		w->sql = w->stream->searches[i];
		if (!w->column || strcmp(w->column, column_of(w->sql)) == 0)
			ok = act_on_column(w, code, err);
	}
	return ok;
}

/* Its words are STREAM COLUMN. */
static bool takes_column(const char *action)
{
	return strcmp(action, "use") == 0;
}

/* Whether the streams on the command line, if any, have this one among them. */
static bool is_meant(const struct cli *cli, const char *name)
{
	for (int i = 1; i < cli->argc && (i == 1 || !takes_column(cli->argv[0])); i++)
		if (strcmp(cli->argv[i], name) == 0)
			return true;
	return cli->argc == 1;
}

static bool act_on(struct work *w, size_t i, size_t *n, int *code, struct err *err)
{
	bool ok = (w->stream = stream_new(w->cli->config, i, err)) != NULL;
	if (ok && w->stream->table->nsearches > 0) {
		++*n;
		ok = act(w, code, err);
	}
	stream_free(w->stream);
	return ok;
}

static int confirm_drop(const struct cli *cli)
{
	const char *column = cli_option(cli, "column", NULL);
	return column ? cli_confirm(cli, "Drop the search of column %s of stream %s", column,
				    cli->argv[1])
		      : cli_confirm(cli, "Drop the search of stream %s", cli->argv[1]);
}

/* Streams that there are; and of what is dropped the builds may have taken hours. */
static int check_words(const struct cli *cli, const char *action)
{
	bool drops = strcmp(action, "drop") == 0;
	size_t stream;
	if (cli->json && strcmp(action, "status") != 0)
		return cli_fail(EXIT_USAGE,
				"index %s: only status has output for programs (--json)", action);
	if (drops && cli->argc != 2)
		return cli_fail(EXIT_USAGE, "index drop: which stream's?");
	if (takes_column(action) && cli->argc != 3)
		return cli_fail(EXIT_USAGE,
				"index use: which column of which stream? memingest index use "
				"STREAM COLUMN");
	for (int i = 1; i < (takes_column(action) ? 2 : cli->argc); i++)
		if (!cli_find_stream(cli, cli->argv[i], &stream))
			return EXIT_USAGE;
	if (!drops && cli_option(cli, "column", NULL))
		return cli_fail(EXIT_USAGE, "index %s: only drop has --column", action);
	return drops ? confirm_drop(cli) : EXIT_OK;
}

static int run(struct cli *cli)
{
	struct work w = {.cli = cli, .action = cli->argc > 0 ? cli->argv[0] : NULL};
	struct err err = {0};
	size_t n = 0;
	bool known = false;
	for (size_t i = 0; actions[i]; i++)
		known |= w.action && strcmp(actions[i], w.action) == 0;
	if (!known)
		return cli_unknown("index", w.action, actions);
	int code = check_words(cli, w.action);
	if (code != EXIT_OK)
		return code;
	w.column = takes_column(w.action) ? cli->argv[2] : cli_option(cli, "column", NULL);
	w.pg = pg_connect(cli->config, "index", -1, &err);
	bool ok = w.pg && seal_prepare(w.pg, &err);
	if (ok && strcmp(w.action, "status") == 0 && !cli->json)
		printf("%-16s %8s %12s %10s %12s %9s\n", "stream", "segments", "sealed", "stale",
		       "unindexed", "oldest");
	for (size_t i = 0; ok && i < cli->config->nstreams; i++)
		if (is_meant(cli, cli->config->streams[i].name))
			ok = act_on(&w, i, &n, &code, &err);
	pg_free(w.pg);
	if (!ok)
		return cli_fail((enum exit_code)report_err_exit_code(&err), "%s", err.text);
	return n > 0 ? code
		     : cli_fail(EXIT_USAGE, "%s",
				cli->argc > 1 ? "the stream has no \"search\" in its schema"
					      : "no stream has \"search\" in its schema");
}

const struct command command_index = {
	.name = "index",
	.usage = "status [STREAM...] [--json] | build [STREAM...] | rewrite [STREAM...] | "
		 "use STREAM COLUMN | drop STREAM [--column COLUMN]",
	.postgres_only = true,
	.summary = "the graphs that searches by nearness go through",
	.help = "status   segments, rows in them, how many of these are stale, and rows that\n"
		"         searches read one by one because they are in no segment yet\n"
		"build    puts all of those into segments, now\n"
		"rewrite  builds segments that have stale rows anew\n"
		"use      which of several searched columns searches go to, from the next "
		"statement\n"
		"         on; the way back is the same\n"
		"drop     removes the search of one stream: segments, functions, column; or that\n"
		"         of one of several columns\n"
		"\n"
		"Workers do the first two by themselves, as [index] of the config says; they and\n"
		"this command take turns.",
	.wants_config = true,
	.options = (const struct cli_option[]){{"column", "COLUMN",
						"of drop: only the search of that one"},
					       CLI_YES,
					       {NULL, NULL, NULL}},
	.run = run,
};

/*
 * cmd_index.c - "memingest index": the segments of searches, seen and worked on by hand.
 *
 *   status     what each search goes through, and what is in no segment
 *   build      seals and adopts until nothing is left, as the workers do, but at once
 *   rewrite    builds every segment that has stale rows anew
 *   drop       all that there is of a search: segments, functions, the column search_xid
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
	const char *action;
};

/* --- status --- */

static void print_status(const struct work *w, const struct search_view *v)
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
		       ", \"adopted\": %s}\n",
		       w->stream->config->name, table_full_name(w->stream->table), segments, rows,
		       stale, v->tail, v->tail_age_s, v->adopted ? "true" : "false");
	else
		printf("%-16s %8" PRId64 " %12" PRId64 " %10" PRId64 " %12" PRId64 " %8" PRId64
		       "s  %s\n",
		       w->stream->config->name, segments, rows, stale, v->tail, v->tail_age_s,
		       v->adopted ? "" : "rows of before are being adopted");
}

static bool status(struct work *w, struct err *err)
{
	struct search_view v;
	if (!seal_look(w->pg, w->stream->search, &v, err))
		return false;
	print_status(w, &v);
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
		    !seal_count_stale(w->pg, w->stream->search, &v->segments[i], err))
			return false;
	return true;
}

static void print_step(const struct work *w, const struct upkeep_plan *plan,
		       const struct seal_done *done, const struct search_view *v)
{
	double s = (double)done->took_us / (double)US_PER_S;
	printf("%s: %s %" PRId64 " rows in %.1f s (%.0f/s), %" PRId64 " left\n",
	       w->stream->config->name, upkeep_step_name(plan->step), done->rows, s,
	       (double)done->rows / MAX(s, 0.001), MAX(v->tail - done->rows, (int64_t)0));
	fflush(stdout);
}

/* One step. *more: there may be another. */
static bool step(struct work *w, bool *more, struct err *err)
{
	struct upkeep_rules rules = indexer_rules(w->cli->config, w->stream->search);
	struct seal_means means = indexer_means(w->cli->config, w->stream->search);
	struct search_view v;
	struct seal_done done;
	bool rewrites = strcmp(w->action, "rewrite") == 0;
	rules.all = true;
	rules.rests = true;
	if (rewrites)
		rules.stale_share = 0;
	if (!seal_look(w->pg, w->stream->search, &v, err))
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
		ok = seal_do(w->pg, w->stream->search, &v, &plan, &means, &done, err);
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
	const struct searchsql *s = w->stream->search;
	struct buf sql = {0};
	buf_printf(&sql,
		   "BEGIN; %s%sDELETE FROM memingest.segments WHERE \"table\" = %s;"
		   " DELETE FROM memingest.searches WHERE \"table\" = %s; %s COMMIT",
		   s->drop_functions, s->drop_segments, s->literal, s->literal, s->drop_column);
	bool ok = take_turn(w, err) && pg_exec(w->pg, buf_cstr(&sql), NULL, 0, err);
	buf_free(&sql);
	if (ok)
		printf("%s: dropped. Take \"search\" out of the schema, or migrate makes it "
		       "again.\n",
		       w->stream->config->name);
	return ok;
}

/* --- command --- */

static const char *const actions[] = {"status", "build", "rewrite", "drop", NULL};

static bool act(struct work *w, struct err *err)
{
	if (strcmp(w->action, "status") == 0)
		return status(w, err);
	return strcmp(w->action, "drop") == 0 ? drop(w, err) : build(w, err);
}

/* Whether the streams on the command line, if any, have this one among them. */
static bool is_meant(const struct cli *cli, const char *name)
{
	for (int i = 1; i < cli->argc; i++)
		if (strcmp(cli->argv[i], name) == 0)
			return true;
	return cli->argc == 1;
}

static bool act_on(struct work *w, size_t i, size_t *n, struct err *err)
{
	bool ok = (w->stream = stream_new(w->cli->config, i, err)) != NULL;
	if (ok && w->stream->search) {
		++*n;
		ok = act(w, err);
	}
	stream_free(w->stream);
	return ok;
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
	for (int i = 1; i < cli->argc; i++)
		if (!cli_find_stream(cli, cli->argv[i], &stream))
			return EXIT_USAGE;
	return drops ? cli_confirm(cli, "Drop the search of stream %s", cli->argv[1]) : EXIT_OK;
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
	w.pg = pg_connect(cli->config, "index", -1, &err);
	bool ok = w.pg && seal_prepare(w.pg, &err);
	if (ok && strcmp(w.action, "status") == 0 && !cli->json)
		printf("%-16s %8s %12s %10s %12s %9s\n", "stream", "segments", "sealed", "stale",
		       "unindexed", "oldest");
	for (size_t i = 0; ok && i < cli->config->nstreams; i++)
		if (is_meant(cli, cli->config->streams[i].name))
			ok = act_on(&w, i, &n, &err);
	pg_free(w.pg);
	if (!ok)
		return cli_fail((enum exit_code)report_err_exit_code(&err), "%s", err.text);
	return n > 0 ? EXIT_OK
		     : cli_fail(EXIT_USAGE, "%s",
				cli->argc > 1 ? "the stream has no \"search\" in its schema"
					      : "no stream has \"search\" in its schema");
}

const struct command command_index = {
	.name = "index",
	.usage = "status [STREAM...] [--json] | build [STREAM...] | rewrite [STREAM...] | "
		 "drop STREAM",
	.postgres_only = true,
	.summary = "the graphs that searches by nearness go through",
	.help = "status   segments, rows in them, how many of these are stale, and rows that\n"
		"         searches read one by one because they are in no segment yet\n"
		"build    puts all of those into segments, now\n"
		"rewrite  builds segments that have stale rows anew\n"
		"drop     removes the search of one stream: segments, functions, column\n"
		"\n"
		"Workers do the first two by themselves, as [index] of the config says; they and\n"
		"this command take turns.",
	.wants_config = true,
	.options = (const struct cli_option[]){CLI_YES, {NULL, NULL, NULL}},
	.run = run,
};

/*
 * cmd_why.c - "memingest why": where one row came from: its batch, its events, its dead letters.
 *
 *   key --> row --> batch --> events nearby --> fates        (cli/why_find.c)
 *
 * Reads only. Thread: the command's. Failure: as "verify"; 65 when there is neither row nor event.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cli/report.h"
#include "cli/why.h"

/* The column that "name=value" names; nkeys: it is a value alone. */
static size_t named_column(const struct table *t, const char *arg)
{
	const char *equals = strchr(arg, '=');
	for (size_t i = 0; equals && i < t->nkeys; i++)
		if (strlen(t->columns[i].name) == (size_t)(equals - arg) &&
		    memcmp(t->columns[i].name, arg, (size_t)(equals - arg)) == 0)
			return i;
	return t->nkeys;
}

/* "namespace key", for messages. */
static char *key_usage(const struct table *t)
{
	struct buf out = {0};
	for (size_t i = 0; i < t->nkeys; i++)
		buf_printf(&out, "%s%s", i ? " " : "", t->columns[i].name);
	return buf_take_text(&out);
}

/* Either all by name, or all in the order of the key's columns. */
bool why_take_keys(struct why *w, char **args, size_t n)
{
	const struct table *t = w->v.stream->table;
	bool ok = n == t->nkeys, all_named = true;
	w->keys = xcalloc(t->nkeys, sizeof(char *));
	for (size_t i = 0; ok && i < n; i++)
		all_named &= named_column(t, args[i]) < t->nkeys;
	for (size_t i = 0; ok && i < n; i++) {
		size_t at = all_named ? named_column(t, args[i]) : i;
		ok = !w->keys[at];
		w->keys[at] = all_named ? strchr(args[i], '=') + 1 : args[i];
	}
	return ok;
}

static int look(struct why *w)
{
	struct err err = {0};
	log_init(w->v.config->log_format, LOG_ERROR); /* how it is found is of no interest */
	if (!asker_open(&w->v.db, w->v.config, "why", &err) || !verify_look_at_table(&w->v, &err) ||
	    !why_read_row(w, &err) || !why_find_events(w, &err))
		return cli_fail(report_err_exit_code(&err), "%s", err.text);
	return why_show(w);
}

static int look_up(struct why *w, struct cli *cli)
{
	struct err err = {0};
	struct verify_range range;
	if (!verify_read_range(cli, &range, &err))
		return cli_fail(EXIT_USAGE, "%s", err.text);
	w->partition = range.partition;
	w->v.stream = stream_new(cli->config, w->v.index, &err);
	if (!w->v.stream)
		return cli_fail(report_err_exit_code(&err), "%s", err.text);
	if (why_take_keys(w, cli->argv + 1, (size_t)cli->argc - 1))
		return look(w);
	char *usage = key_usage(w->v.stream->table);
	cli_fail(EXIT_USAGE,
		 "the key of %s is: %s; as in \"memingest why %s VALUE...\" or "
		 "NAME=VALUE...",
		 w->v.stream->table->name, usage, cli->argv[0]);
	free(usage);
	return EXIT_USAGE;
}

static int run(struct cli *cli)
{
	struct why w = {.cli = cli, .v = {.cli = cli, .config = cli->config, .db = asker_of(NULL)}};
	if (cli->argc < 2)
		return cli_fail(EXIT_USAGE, "which row? memingest why STREAM KEY...");
	if (!cli_find_stream(cli, cli->argv[0], &w.v.index))
		return EXIT_USAGE;
	int code = look_up(&w, cli);
	why_free(&w);
	verify_free(&w.v);
	free(w.keys);
	return code;
}

static const struct cli_option options[] = {
	{"partition", "N", "look in this partition only"},
	{NULL, NULL, NULL},
};

const struct command command_why = {
	.name = "why",
	.usage = "STREAM KEY... [options]",
	.summary = "where a row of the stream's table came from",
	.help = "Of one row, by its key (the key's columns in their order, or NAME=VALUE): which "
		"batch wrote it and when, the events of\n"
		"that key nearby in the topic with what became of each, and its dead letters. "
		"Finds "
		"the batch by the transaction that\n"
		"wrote the row; what is older than batch.retention is looked for in the topic. "
		"Exit code 65: there is neither row nor\n"
		"event.",
	.wants_config = true,
	.options = options,
	.run = run,
};

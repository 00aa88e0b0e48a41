/*
 * cmd_embed.c - "memingest embed": vectors for the rows that have a text and none.
 *
 *   fill_count() --> fill_window() .. --> what came of it        embed/fill.c does the work
 *
 * Here are the options, the bar, and what is said in the end. A run that ends early has lost
 * nothing: the same command goes on where it was, as a row with a vector is not looked for again.
 *
 * Exit code: 0; 65 some texts are refused (but with on_poison = null); 69 a server is away, 75 told
 * to stop, the budget is spent, rows are held by somebody, another one is at it; 78 an operator has
 * to act.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "cli/bar.h"
#include "cli/cli.h"
#include "cli/report.h"
#include "cli/wrap.h"
#include "embed/fill.h"
#include "io/wait.h"

struct embed {
	struct cli *cli;
	struct stream *stream;
	const char *model; /* NULL: each of the stream's */
	int stop_fd;
	int64_t max_tokens, spent;
	/* Of the column that is filled. */
	size_t index; /* into the table's embeds */
	struct fill *fill;
	int64_t rows, bytes; /* that want a vector, at the beginning */
	struct bar bar;
};

/* --- telling --- */

static const char *table_of(const struct embed *e)
{
	return table_full_name(e->stream->table);
}

static const char *column_of(const struct embed *e)
{
	const struct table *t = e->stream->table;
	return t->columns[t->embeds[e->index].vector].name;
}

/* The table; with the column where others are filled as well. */
static void print_place(const struct embed *e)
{
	bool several = e->stream->table->nembeds > 1;
	printf("%s%s%s: ", table_of(e), several ? ", column " : "", several ? column_of(e) : "");
}

/* Of struct fill_means. Keys and a server's words are somebody else's text. */
static void refused(void *ctx, const char *key, const char *why)
{
	struct embed *e = ctx;
	struct buf line = {0};
	buf_printf(&line, "%s: row ", table_of(e));
	while (*key)
		key += wrap_character(&line, key);
	buf_puts(&line, ": its text is refused: ");
	while (*why)
		why += wrap_character(&line, why);
	bar_clear(&e->bar);
	fprintf(stderr, "%s\n", buf_cstr(&line));
	buf_free(&line);
}

/* Of struct fill_means. */
static void watch(void *ctx)
{
	struct embed *e = ctx;
	struct fill_counts n = fill_counts(e->fill);
	bar_tell(&e->bar, (double)n.rows / (double)MAX(e->rows, (int64_t)1),
		 "%" PRId64 " of %" PRId64 " rows, %" PRId64 " tokens, %" PRId64 " refused", n.rows,
		 e->rows, n.tokens, n.refused);
}

static void print_json(json_t *all)
{
	char *text = json_dumps(all, JSON_COMPACT | JSON_REAL_PRECISION(6));
	puts(text);
	free(text);
	json_decref(all);
}

/* The members are a contract. */
static void tell_json(const struct embed *e, const struct fill_counts *n, bool complete)
{
	print_json(json_pack("{s:s, s:s, s:s, s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I,"
			     " s:f}",
			     "stream", e->stream->config->name, "table", table_of(e), "column",
			     column_of(e), "model", e->stream->embeds[e->index]->name, "complete",
			     complete, "wanted", (json_int_t)e->rows, "filled",
			     (json_int_t)n->filled, "refused", (json_int_t)n->refused, "held",
			     (json_int_t)n->held, "changed", (json_int_t)n->changed, "texts",
			     (json_int_t)n->texts, "cached", (json_int_t)n->cached, "tokens",
			     (json_int_t)n->tokens, "seconds", bar_seconds(&e->bar)));
}

static void tell(const struct embed *e, const struct fill_counts *n, bool complete)
{
	double seconds = bar_seconds(&e->bar);
	print_place(e);
	printf("%" PRId64 " of %" PRId64 " rows got their vector in %.1f s (%.0f/s): %" PRId64
	       " texts asked for, %" PRId64 " tokens, %" PRId64 " without a call",
	       n->filled, e->rows, seconds, (double)n->filled / fmax(seconds, 0.001), n->texts,
	       n->tokens, n->cached);
	if (n->refused > 0)
		printf("; %" PRId64 " refused", n->refused);
	if (n->held > 0)
		printf("; %" PRId64 " held by somebody else", n->held);
	if (n->changed > 0)
		printf("; %" PRId64 " written by somebody else meanwhile", n->changed);
	puts(complete ? "" : "; not to the end: the same command goes on where it was");
}

static int tell_trial(const struct embed *e)
{
	int64_t tokens = e->rows > 0 ? fill_tokens_about(e->bytes) : 0;
	if (e->cli->json) {
		print_json(json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I}", "stream",
				     e->stream->config->name, "table", table_of(e), "column",
				     column_of(e), "model", e->stream->embeds[e->index]->name,
				     "wanted", (json_int_t)e->rows, "bytes", (json_int_t)e->bytes,
				     "tokens_about", (json_int_t)tokens));
		return EXIT_OK;
	}
	print_place(e);
	printf("%" PRId64 " rows have a text and no vector: %" PRId64 " bytes, about %" PRId64
	       " tokens, less what the cache has\n",
	       e->rows, e->bytes, tokens);
	return EXIT_OK;
}

/* --- the work --- */

/* A lock that somebody holds, or a deadlock, is no server that is away. */
static enum exit_code code_of(const struct embed *e, const struct err *err)
{
	bool busy = e->fill && fill_busy(e->fill, err);
	return busy ? EXIT_AGAIN : (enum exit_code)report_err_exit_code(err);
}

/* The worst of what was left decides. */
static int verdict_at_end(const struct embed *e, const struct fill_counts *n)
{
	bool minds = e->stream->embeds[e->index]->on_poison != POISON_NULL;
	if (n->held > 0)
		return cli_fail(EXIT_AGAIN,
				"%" PRId64 " rows were held by somebody else for longer than "
				"postgres.lock_timeout: run it again",
				n->held);
	if (n->refused > 0 && minds)
		return cli_fail(EXIT_DATA,
				"the model refuses the texts of %" PRId64
				" rows, which stay without a vector",
				n->refused);
	return EXIT_OK;
}

static int verdict(const struct embed *e, enum fill_result result, const struct fill_counts *n,
		   const struct err *err)
{
	switch (result) {
	case FILL_END:
		return verdict_at_end(e, n);
	case FILL_SPENT:
		return cli_fail(EXIT_AGAIN,
				"the budget is spent: %" PRId64 " of %" PRId64 " tokens",
				e->spent + n->tokens, e->max_tokens);
	case FILL_STOPPED:
		return cli_fail(EXIT_AGAIN, "stopped by a signal");
	case FILL_MORE:
	case FILL_FAILED:
	case FILL_RESULTS:
		break;
	}
	return cli_fail(code_of(e, err), "%s", err->text);
}

/* *end: it came to the end of the column. */
static int fill_column(struct embed *e, bool *end)
{
	struct err err = {0};
	enum fill_result result;
	do {
		watch(e);
		result = fill_window(e->fill, &err);
	} while (result == FILL_MORE);
	bar_clear(&e->bar);
	struct fill_counts n = fill_counts(e->fill);
	*end = result == FILL_END;
	if (e->cli->json)
		tell_json(e, &n, result == FILL_END);
	else
		tell(e, &n, result == FILL_END);
	int code = verdict(e, result, &n, &err);
	e->spent += n.tokens;
	return code;
}

static int failed(struct embed *e, const struct err *err)
{
	if (e->fill ? fill_stopped(e->fill) : wait_fd(-1, 0, e->stop_fd, 0) == WAIT_ABORTED)
		return cli_fail(EXIT_AGAIN, "stopped by a signal");
	return cli_fail(code_of(e, err), "%s", err->text);
}

/* *end: the next column may be looked at. */
static int embed_column(struct embed *e, bool *end)
{
	struct err err = {0};
	bool mine;
	const char *file = e->cli->config->sqlite_path;
	const struct fill_means means = {.config = e->cli->config,
					 .stream = e->stream,
					 .embed = e->index,
					 .max_tokens = e->max_tokens,
					 .spent = e->spent,
					 .stop_fd = e->stop_fd,
					 .refused = refused,
					 .watch = watch,
					 .ctx = e};
	e->fill = fill_open(&means, &err);
	if (!e->fill || !fill_count(e->fill, &e->rows, &e->bytes, &err))
		return failed(e, &err);
	*end = cli_flag(e->cli, "dry-run");
	if (*end)
		return tell_trial(e);
	if (!fill_take_turn(e->fill, &mine, &err))
		return failed(e, &err);
	if (!mine)
		return cli_fail(EXIT_AGAIN, "another \"memingest embed\" is at work on %s%s",
				file ? "" : "table ", file ? file : table_of(e));
	if (e->cli->config->log_level == LOG_INFO) /* the bar says what is of interest here */
		log_init(e->cli->config->log_format, LOG_WARN);
	return fill_column(e, end);
}

/* One column after the other. The first code that is no success is that of the whole. */
static int embed(struct embed *e)
{
	const struct table *t = e->stream->table;
	int code = EXIT_OK;
	bool end = true;
	for (size_t i = 0; end && i < t->nembeds; i++) {
		if (e->model && strcmp(e->model, t->embeds[i].model) != 0)
			continue;
		e->index = i;
		e->bar = bar_new(e->cli);
		end = false;
		int one = embed_column(e, &end);
		code = code == EXIT_OK ? one : code;
		fill_close(e->fill);
		e->fill = NULL;
	}
	return code;
}

/* --- the command --- */

static int read_budget(struct embed *e)
{
	const char *text = cli_option(e->cli, "max-tokens", NULL);
	char *end;
	if (!text)
		return EXIT_OK;
	errno = 0;
	e->max_tokens = strtoll(text, &end, 10);
	if (end != text && *end == '\0' && e->max_tokens > 0 && errno == 0)
		return EXIT_OK;
	return cli_fail(EXIT_USAGE, "embed: --max-tokens wants a number above 0, not \"%s\"", text);
}

/* The stream has vectors that models make, and one of them is the named one. */
static int check_model(const struct embed *e)
{
	const struct table *t = e->stream->table;
	struct buf names = {0};
	bool found = !e->model;
	if (t->nembeds == 0)
		return cli_fail(EXIT_CONFIG,
				"embed: no field of stream %s has \"embed\" in its "
				"schema, so no model is known that makes its vectors",
				e->stream->config->name);
	for (size_t i = 0; i < t->nembeds; i++) {
		found |= e->model && strcmp(e->model, t->embeds[i].model) == 0;
		buf_printf(&names, "%s%s", i ? ", " : "", t->embeds[i].model);
	}
	int code = found ? EXIT_OK
			 : cli_fail(EXIT_USAGE,
				    "embed: no field of stream %s has its vectors made by \"%s\": "
				    "its models are %s",
				    e->stream->config->name, e->model, buf_cstr(&names));
	buf_free(&names);
	return code;
}

static int run(struct cli *cli)
{
	static const int signals[] = {SIGTERM, SIGINT};
	struct embed e = {.cli = cli, .model = cli_option(cli, "model", NULL), .stop_fd = -1};
	struct err err = {0};
	size_t index;
	if (cli->argc != 1)
		return cli_fail(EXIT_USAGE, "embed: of which stream? memingest embed STREAM");
	if (!cli_find_stream(cli, cli->argv[0], &index))
		return EXIT_USAGE;
	int code = read_budget(&e);
	if (code != EXIT_OK)
		return code;
	e.stop_fd = thread_signals(signals, ARRAY_LEN(signals)); /* before any thread starts */
	if (e.stop_fd < 0)
		return cli_fail(EXIT_INTERNAL, "signalfd: %s", strerror(errno));
	e.stream = stream_new(cli->config, index, &err);
	code = e.stream ? check_model(&e) : cli_fail(report_err_exit_code(&err), "%s", err.text);
	if (e.stream && code == EXIT_OK)
		code = embed(&e);
	stream_free(e.stream);
	close(e.stop_fd);
	return code;
}

static const struct cli_option options[] = {
	{"dry-run", NULL, "say how many rows and about how many tokens it would be; ask nothing"},
	{"max-tokens", "N", "a budget: ends before it asks for more"},
	{"model", "NAME", "of [embed.NAME]: only the column that it makes; else each, in turn"},
	{NULL, NULL, NULL},
};

const struct command command_embed = {
	.name = "embed",
	.usage = "STREAM [options]",
	.summary = "vectors for the rows that have a text and none",
	.help = "Asks the model of the stream's schema (\"embed\") for the vectors of rows that "
		"have "
		"a text and no vector, as the\n"
		"worker does for events: rows of before \"embed\" came into the schema, say. A "
		"text that the cache knows costs\n"
		"nothing. Workers may go on meanwhile: what they write is never overwritten. "
		"Stopped or killed, the same command\n"
		"goes on where it was. A text that the model refuses is named, and its row stays "
		"as it is; with on_poison = halt\n"
		"the command ends there.",
	.wants_config = true,
	.options = options,
	.run = run,
};

/*
 * cmd_load.c - "memingest load": the records of files into a stream's table, as the worker would
 * write them if they came from Kafka.
 *
 *   options --> struct config with this one stream, its topics the files --> pipeline_run()
 *
 * The worker's own loop runs, with files in place of Kafka (io/filesource.c): so what is durable is
 * written down in the transaction of its rows, a load that was killed goes on where it was, and two
 * loads of one file fence each other. Beside it stand a dry run and what --restart and --from-now
 * write down before (cli/load.c).
 *
 * While it runs, a bar on a terminal tells how far it is, or a line now and then where there is no
 * terminal; at the end one line (or with --json one object) says what was done.
 *
 * Exit code: 65 when records became dead letters or a file is damaged, 75 when it was told to stop
 * before the end, 78 when an operator must act, else 0.
 */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/stats.h"
#include "cli/bar.h"
#include "cli/cli.h"
#include "cli/database.h"
#include "cli/load.h"
#include "cli/report.h"
#include "flow/pipeline.h"
#include "io/filesource.h"
#include "sqlite/store.h"

struct load {
	const struct cli *cli;
	struct config config;        /* of this one stream */
	struct stream_config stream; /* whose topics are the files */
	const char **topics;
	struct stream *reader; /* the stream that the files are read with */
	struct files *files;
	uint64_t bytes;        /* of all files; 0: a pipe is among them */
	struct source *source; /* while the pipeline runs */
	struct filesource_view view;
	struct bar bar;
};

/* ---- telling ---- */

/* Rows of transactions that were committed. */
static uint64_t done(void)
{
	return (uint64_t)(stats_sum(METRIC_RECORDS_MERGED) + stats_sum(METRIC_RECORDS_SUPERSEDED) +
			  stats_sum(METRIC_RECORDS_SKIPPED) + stats_sum(METRIC_DEAD_LETTERS));
}

static uint64_t dead(void)
{
	return (uint64_t)stats_sum(METRIC_DEAD_LETTERS);
}

/* Of files that are at their end. */
static uint64_t before(const struct load *l)
{
	return l->view.in_files > done() ? l->view.in_files - done() : 0;
}

/* Of struct origin. By the bytes that were read. */
static void watch(void *self, bool end)
{
	struct load *l = self;
	filesource_look(l->source, &l->view);
	if (end)
		bar_clear(&l->bar);
	else
		bar_tell(&l->bar, l->bytes > 0 ? (double)l->view.read / (double)l->bytes : -1,
			 "%" PRIu64 " rows, %.1f MB, %.0f/s, %" PRIu64 " dead", done(),
			 (double)l->view.read / 1e6,
			 (double)done() / fmax(bar_seconds(&l->bar), 0.001), dead());
}

/* The members are a contract. */
static void tell_json(const struct load *l, bool complete)
{
	double seconds = bar_seconds(&l->bar);
	json_t *all = json_pack(
		"{s:s, s:i, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f}", "stream",
		l->stream.name, "files", (int)l->files->n, "complete", complete, "records",
		(json_int_t)done(), "merged", (json_int_t)stats_sum(METRIC_RECORDS_MERGED),
		"superseded", (json_int_t)stats_sum(METRIC_RECORDS_SUPERSEDED), "skipped",
		(json_int_t)stats_sum(METRIC_RECORDS_SKIPPED), "dead", (json_int_t)dead(), "before",
		(json_int_t)before(l), "bytes", (json_int_t)l->view.read, "seconds", seconds,
		"per_second", (double)done() / fmax(seconds, 0.001));
	char *text = json_dumps(all, JSON_COMPACT | JSON_REAL_PRECISION(6));
	puts(text);
	free(text);
	json_decref(all);
}

static void tell(const struct load *l, bool complete)
{
	double seconds = bar_seconds(&l->bar);
	printf("loaded %" PRIu64 " records into %s in %.1f s (%.0f/s): %" PRId64 " merged, %" PRId64
	       " superseded",
	       done(), l->reader->table->name, seconds, (double)done() / fmax(seconds, 0.001),
	       stats_sum(METRIC_RECORDS_MERGED), stats_sum(METRIC_RECORDS_SUPERSEDED));
	if (stats_sum(METRIC_RECORDS_SKIPPED) > 0)
		printf(", %" PRId64 " skipped", stats_sum(METRIC_RECORDS_SKIPPED));
	printf(", %" PRIu64 " dead letters", dead());
	if (before(l) > 0)
		printf("; %" PRIu64 " were loaded before", before(l));
	puts(complete ? "" : "; not to the end: the same command goes on where it was");
}

/* ---- the pipeline ---- */

static struct source *open_source(void *self, const struct config *config,
				  const struct source_ops *ops, void *ctx, struct err *err)
{
	struct load *l = self;
	return l->source = filesource_open(l->files, config, ops, ctx, err);
}

static void look(void *self, struct look *look)
{
	files_look(((struct load *)self)->files, look);
}

static bool reread(void *self, const char *topic, int32_t partition, int64_t offset,
		   struct refetched *out, struct err *err)
{
	return files_reread(((struct load *)self)->files, topic, partition, offset, out, err);
}

/* The worst of what happened decides. */
static int verdict(const struct load *l, int code)
{
	if (code != EXIT_OK)
		return code;
	if (l->view.damage.class != ERR_NONE)
		return cli_fail(EXIT_DATA, "%s", l->view.damage.text);
	if (dead() > 0)
		return cli_fail(EXIT_DATA,
				"%" PRIu64 " records are dead letters: memingest dlq list", dead());
	return EXIT_OK;
}

static int run_pipeline(struct load *l)
{
	const struct origin origin = {.open = open_source,
				      .look = look,
				      .reread = reread,
				      .watch = watch,
				      .finite = true,
				      .self = l};
	l->bar = bar_new(l->cli);
	int code = pipeline_run(&l->config, &origin, database_store(&l->config));
	if (l->cli->json)
		tell_json(l, code == EXIT_OK);
	else
		tell(l, code == EXIT_OK);
	return verdict(l, code);
}

/* ---- before it ---- */

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
	stopped = number;
}

static bool going(void)
{
	return !stopped;
}

static void tell_trial(const struct load *l, const struct load_trial *t)
{
	if (l->cli->json) {
		printf("{\"stream\":\"%s\",\"files\":%zu,\"records\":%" PRIu64
		       ",\"upserts\":%" PRIu64 ",\"deletes\":%" PRIu64 ",\"skipped\":%" PRIu64
		       ",\"dead\":%" PRIu64 ",\"bytes\":%" PRIu64 "}\n",
		       l->stream.name, l->files->n, t->records, t->upserts, t->deletes, t->skipped,
		       t->dead, t->bytes);
		return;
	}
	printf("%" PRIu64 " records in %zu file%s: %" PRIu64 " upserts, %" PRIu64
	       " deletes would go into %s",
	       t->records, l->files->n, l->files->n == 1 ? "" : "s", t->upserts, t->deletes,
	       l->reader->table->name);
	if (t->skipped > 0)
		printf(", %" PRIu64 " would be skipped", t->skipped);
	printf(", %" PRIu64 " would be dead letters\n", t->dead);
}

static int try_files(struct load *l)
{
	struct load_trial t = {0};
	struct err err = {0};
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	if (!load_try(l->files, going, &t, &err))
		return cli_fail(report_err_exit_code(&err), "%s", err.text);
	tell_trial(l, &t);
	if (stopped)
		return cli_fail(EXIT_AGAIN, "stopped by a signal");
	return t.dead > 0 || t.damaged ? EXIT_DATA : EXIT_OK;
}

/* A pipe cannot go on where it was, so what an earlier one was is forgotten. */
static bool forget(struct load *l, struct asker *a, bool restart, struct err *err)
{
	const struct config *config = l->cli->config;
	bool ok = true;
	for (size_t i = 0; ok && i < l->files->n; i++) {
		const struct file *file = &l->files->all[i];
		if (!restart && !file->pipe)
			continue;
		ok = a->pg ? load_forget(a->pg, config, file, err)
			   : sqlite_forget(config, file->topic, file->pipe, err);
	}
	return ok;
}

static bool write_down(struct load *l, size_t stream, struct err *err)
{
	bool restart = cli_flag(l->cli, "restart"), from_now = cli_flag(l->cli, "from-now"),
	     pipes = false;
	struct asker a;
	for (size_t i = 0; i < l->files->n; i++)
		pipes |= l->files->all[i].pipe;
	if (!restart && !pipes && !from_now)
		return true;
	bool ok = asker_open(&a, l->cli->config, "load", err) &&
		  (!from_now || load_from_now(&a, l->cli->config, stream, err)) &&
		  forget(l, &a, restart, err);
	asker_close(&a);
	return ok;
}

/* Only the stream, and files as its topics. HTTP is for a worker beside it. */
static bool prepare(struct load *l, size_t stream, struct err *err)
{
	size_t n = (size_t)l->cli->argc - 1;
	l->config = *l->cli->config;
	l->stream = l->cli->config->streams[stream];
	l->config.streams = &l->stream;
	l->config.nstreams = 1;
	l->config.http_listen = cli_option(l->cli, "listen", "off");
	l->stream.start = START_EARLIEST;
	l->reader = stream_new(&l->config, 0, err);
	l->files = l->reader ? files_open(&l->config, l->reader, l->cli->argv + 1, n, err) : NULL;
	if (!l->files)
		return false;
	bool known = true;
	l->topics = xcalloc(n, sizeof(char *));
	for (size_t i = 0; i < n; i++) {
		l->topics[i] = l->files->all[i].topic;
		l->bytes += l->files->all[i].bytes;
		known &= !l->files->all[i].pipe;
	}
	l->bytes = known ? l->bytes : 0;
	l->stream.topics = l->topics;
	l->stream.ntopics = n;
	return true;
}

static int load(struct load *l, size_t stream)
{
	struct err err = {0};
	if (!prepare(l, stream, &err))
		return cli_fail(report_err_exit_code(&err), "%s", err.text);
	if (cli_flag(l->cli, "dry-run"))
		return try_files(l);
	if (!write_down(l, stream, &err))
		return cli_fail(report_err_exit_code(&err), "%s", err.text);
	if (l->config.log_level == LOG_INFO) /* each claim and batch is of no interest here */
		log_init(l->config.log_format, LOG_WARN);
	return run_pipeline(l);
}

static int run(struct cli *cli)
{
	struct load l = {.cli = cli};
	size_t stream;
	if (cli->argc < 2)
		return cli_fail(EXIT_USAGE,
				"which stream, and which files? memingest load STREAM "
				"FILE..., as in \"memingest load memory events.jsonl\"");
	if (!cli_find_stream(cli, cli->argv[0], &stream))
		return EXIT_USAGE;
	int code = load(&l, stream);
	files_close(l.files);
	stream_free(l.reader);
	free(l.topics);
	return code;
}

static const struct cli_option options[] = {
	{"restart", NULL,
	 "load from the beginning, whatever was loaded of the files before; for a file that has "
	 "changed"},
	{"from-now", NULL,
	 "first write down that the stream's topics begin where they end now: for a first load of "
	 "what they were filled from"},
	{"dry-run", NULL,
	 "decode all, say what would happen and the first ten faults; write nothing"},
	{"listen", "HOST:PORT", "serve /metrics and /status meanwhile"},
	{NULL, NULL, NULL},
};

const struct command command_load = {
	.name = "load",
	.usage = "STREAM FILE... [options]",
	.summary = "the records of files into a stream's table",
	.help = "Writes the records of files into the stream's table as the worker writes events: "
		"same decoding, merge rules and\n"
		"dead letters. JSON lines, CSV with a header, Avro containers, each also packed "
		"with gzip or zstd; \"-\" is standard\n"
		"input. How far each file is stands in memingest.offsets, in the transactions of "
		"its rows: stopped or killed, the\n"
		"same command goes on where it was, and nothing counts twice. A file that has "
		"changed since is refused (--restart).\n"
		"Standard input cannot go on. Records of one key keep their order, over all files "
		"as they are given.",
	.wants_config = true,
	.options = options,
	.run = run,
};

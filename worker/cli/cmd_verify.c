/*
 * cmd_verify.c - "memingest verify": does the table hold what the topic says?
 *
 *   1 one snapshot     the durable offsets, and of each row a hash       memingest.verify_ID_was
 *   2 the pipeline     the topic below those offsets, read once more     memingest.verify_ID_rows
 *   3 a join by key    what is not the same                             memingest.verify_ID_found
 *
 * Of a SQLite file there is one read transaction from 1 to 3, and no copy: cli/verify_file.c.
 *
 * There is no second decoder, folder or merger: the worker's own loop runs over a bounded part of
 * the log (io/replay.c), as a pipeline of its own, into a table of its own. What that pipeline
 * makes can only differ from the table where the table is not what its events say. Since offsets
 * and table are of one snapshot, workers may go on meanwhile.
 *
 * Nobody's numbers change: the pipeline has a name of its own, commits nothing to Kafka, and all
 * that it leaves is removed, by the next check if this one was killed (cli/verify_clean.c).
 *
 * Thread: the command's; the pipeline brings its own. Failure: 65 something differs, 69 a server is
 * away, 75 told to stop, or the log lost its beginning meanwhile, 78 an operator must act.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "cli/database.h"
#include "cli/report.h"
#include "cli/verify.h"
#include "flow/pipeline.h"

/* ---- reading the topic ---- */

static struct source *open_source(void *self, const struct config *config,
				  const struct source_ops *ops, void *ctx, struct err *err)
{
	struct verify *v = self;
	return v->source = replay_open(&v->replay, config, ops, ctx, err);
}

static void look(void *self, struct look *look)
{
	replay_look(&((struct verify *)self)->replay, look);
}

static void watch(void *self, bool end)
{
	struct verify *v = self;
	replay_view(v->source, &v->view);
	if (end)
		bar_clear(&v->bar);
	else
		bar_tell(&v->bar, (double)v->view.read / (double)MAX(v->view.total, (int64_t)1),
			 "%" PRId64 " of %" PRId64 " offsets, %.0f/s", v->view.read, v->view.total,
			 (double)v->view.read / fmax(bar_seconds(&v->bar), 0.001));
}

/* The worker's loop with this one stream, under another name, into another table or file. */
static int read_topic(struct verify *v)
{
	struct stream_config stream = v->config->streams[v->index];
	struct config config = *v->config;
	const struct origin origin = {.open = open_source,
				      .look = look,
				      .wants = v->sample ? verify_wants : NULL,
				      .watch = watch,
				      .finite = true,
				      .self = v};
	if (v->replay.n == 0)
		return EXIT_OK;
	stream.stand_in = config.sqlite_path ? v->stream->table->name : v->rows_name;
	stream.start = START_EARLIEST;
	config.streams = &stream;
	config.nstreams = 1;
	config.group_id = v->pipeline;
	if (config.sqlite_path)
		config.sqlite_path = v->rows_name;
	config.http_listen = "off";
	config.batch_retention_us = 0; /* its batches say where a row came from */
	config.dlq_max_ratio = 1;
	int code = pipeline_run(&config, &origin, database_store(&config));
	if (v->view.lost)
		return cli_fail(EXIT_AGAIN, "the log has lost its beginning while it was read: "
					    "start again");
	return code;
}

/* ---- before and after ---- */

static bool catch_signals(struct verify *v, struct err *err)
{
	static const int signals[] = {SIGTERM, SIGINT};
	v->abort_fd = thread_signals(signals, ARRAY_LEN(signals));
	return v->abort_fd >= 0 || err_set(err, ERR_FATAL, "signalfd: %s", strerror(errno));
}

/* Offsets and table as of one moment. */
static bool take_snapshot(struct verify *v, const struct verify_range *range, struct err *err)
{
	return asker_begin_reading(&v->db, err) && verify_look_at_table(v, err) &&
	       verify_scope(v, range, err) && v->way->keep_table(v, err);
}

static bool stopped(const struct verify *v)
{
	struct signalfd_siginfo info;
	return read(v->abort_fd, &info, sizeof(info)) == (ssize_t)sizeof(info);
}

static int failed(const struct verify *v, struct err *err)
{
	if (stopped(v))
		return cli_fail(EXIT_AGAIN, "stopped by a signal");
	if (strcmp(err->code, "42501") == 0)
		return cli_fail(EXIT_CONFIG,
				"%s; a check makes tables in schema memingest and reads the dead "
				"letters: run it as the role that ran \"memingest migrate\"",
				err->text);
	return cli_fail(report_err_exit_code(err), "%s", err->text);
}

static int compare(struct verify *v)
{
	struct err err = {0};
	if (!v->way->is_sound(v))
		return cli_fail(EXIT_AGAIN, "PostgreSQL ended the check's session, so what it has "
					    "read is not to be trusted: start again");
	return verify_note_refused(v, &err) && v->way->compare(v, &err) ? verify_show(v)
									: failed(v, &err);
}

static int check(struct verify *v, const struct verify_range *range)
{
	struct err err = {0};
	if (!catch_signals(v, &err) || !v->way->begin(v, &err) || !take_snapshot(v, range, &err) ||
	    !v->way->make_rows(v, &err))
		return failed(v, &err);
	if (v->config->log_level == LOG_INFO) /* each claim and batch is of no interest here */
		log_init(v->config->log_format, LOG_WARN);
	int code = read_topic(v);
	return code == EXIT_OK ? compare(v) : code;
}

static int run(struct cli *cli)
{
	struct verify v = {.cli = cli,
			   .config = cli->config,
			   .db = asker_of(NULL),
			   .way = cli->config->sqlite_path ? &verify_on_file : &verify_on_pg,
			   .bar = bar_new(cli)};
	struct verify_range range;
	struct err err = {0};
	if (cli->argc != 1)
		return cli_fail(EXIT_USAGE, "which stream? memingest verify STREAM");
	if (!cli_find_stream(cli, cli->argv[0], &v.index))
		return EXIT_USAGE;
	if (!verify_read_range(cli, &range, &err) ||
	    !verify_read_sample(&v, cli_option(cli, "sample", NULL), &err))
		return cli_fail(EXIT_USAGE, "%s", err.text);
	v.stream = stream_new(cli->config, v.index, &err);
	if (!v.stream)
		return cli_fail(report_err_exit_code(&err), "%s", err.text);
	int code = check(&v, &range);
	if (!v.way->end(&v, &err))
		cli_fail(EXIT_OK, "%s; the next check removes it", err.text);
	verify_free(&v);
	return code;
}

static const struct cli_option options[] = {
	{"from", "OFFSET", "read each partition from this offset on only"},
	{"since", "TIME", "read only what the log has since then: 2026-05-01T00:00:00Z"},
	{"partition", "N", "read this partition only"},
	{"sample", "P%", "look at this share of the keys only, always the same ones"},
	{NULL, NULL, NULL},
};

const struct command command_verify = {
	.name = "verify",
	.usage = "STREAM [options]",
	.summary = "whether the table holds what the topic says",
	.help = "Reads the topic again, as the worker would, into a table of its own (in schema "
		"memingest; of a SQLite file, in\n"
		"a file beside it), and compares that with the stream's table as of the offsets "
		"that are durable now. Workers may go\n"
		"on meanwhile: what they write later is no difference. Names the rows that differ, "
		"are missing or too many, with both\n"
		"values; what cannot be known (retention, compaction, ...) is said. Exit code 65: "
		"something differs.\n"
		"On PostgreSQL it runs as the role that ran \"migrate\".",
	.wants_config = true,
	.options = options,
	.run = run,
};

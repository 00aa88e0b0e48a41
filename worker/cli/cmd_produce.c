/*
 * cmd_produce.c - "memingest produce": events of a stream to its topic, for trying things out,
 * demonstrations, benchmarks and loading files.
 *
 * Options here, the work in cli/produce.c. While it runs, a bar on a terminal tells how far it is;
 * at the end, one line (or with --json one object) says what was done. Ctrl-C ends it early: what
 * was sent is waited for, and told.
 *
 * Exit code: 65 when something in the file was bad, 69 when the broker did not take everything, 75
 * when a signal ended it early, else 0.
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
#include "cli/cli.h"
#include "cli/produce.h"
#include "cli/report.h"

enum { BAR_WIDTH = 30, BAR_EVERY_MS = 100 };

static volatile sig_atomic_t stop_signal;

static void on_signal(int number)
{
	stop_signal = number;
}

/* The loop looks at the flag; the second one kills. */
static void catch_signals(void)
{
	/* the second one ends it */
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

/* ---- options ---- */

/* False after a complaint. */
static bool whole(const struct cli *cli, const char *name, uint64_t fallback, uint64_t *value)
{
	const char *text = cli_option(cli, name, NULL);
	char *end;
	*value = fallback;
	if (!text)
		return true;
	errno = 0;
	*value = strtoull(text, &end, 10);
	if (errno == 0 && end != text && *end == '\0' && *text != '-')
		return true;
	cli_fail(EXIT_USAGE, "--%s wants a whole number, not \"%s\"", name, text);
	return false;
}

/* "0.1", "10%" or "1/1000". */
static bool share(const struct cli *cli, const char *name, double fallback, double *value)
{
	const char *text = cli_option(cli, name, NULL);
	char *end = NULL;
	*value = fallback;
	if (!text)
		return true;
	*value = strtod(text, &end);
	if (end != text && *end == '/') {
		const char *divisor = end + 1;
		*value /= strtod(divisor, &end);
		end = end == divisor ? "?" : end;
	} else if (end != text && *end == '%') {
		*value /= 100;
		end++;
	}
	if (end != text && *end == '\0' && *value >= 0 && *value <= 1)
		return true;
	cli_fail(EXIT_USAGE, "--%s wants a share, as 0.01, 1%% or 1/100, not \"%s\"", name, text);
	return false;
}

/* 0: as fast as it goes. */
static bool rate(const struct cli *cli, double *value)
{
	const char *text = cli_option(cli, "rate", NULL);
	char *end;
	*value = text ? strtod(text, &end) : 0;
	if (!text || (end != text && *end == '\0' && isfinite(*value) && *value > 0))
		return true;
	cli_fail(EXIT_USAGE, "--rate wants a number of events a second, not \"%s\"", text);
	return false;
}

struct wishes {
	struct generator_options generator;
	uint64_t count;
	double rate;
	const char *file;
	size_t stream;
};

/* All options are read before anything is opened. */
static bool read_wishes(const struct cli *cli, struct wishes *w)
{
	struct generator_options *g = &w->generator;
	uint64_t start_s;
	w->file = cli_option(cli, "file", NULL);
	if (!whole(cli, "count", 1000, &w->count) || !rate(cli, &w->rate) ||
	    !whole(cli, "keys", 0, &g->keys) || !whole(cli, "seed", 1, &g->seed) ||
	    !whole(cli, "start-time", 0, &start_s) ||
	    !share(cli, "update-share", 0.1, &g->update_share) ||
	    !share(cli, "delete-share", 0, &g->delete_share) ||
	    !share(cli, "tombstone-share", 0, &g->tombstone_share) ||
	    !share(cli, "late-share", 0, &g->late_share) ||
	    !share(cli, "poison", 0, &g->poison_share))
		return false;
	if (start_s > INT64_MAX / 2 / US_PER_S) {
		cli_fail(EXIT_USAGE, "--start-time wants seconds since 1970");
		return false;
	}
	g->start_time_us = (int64_t)start_s * US_PER_S;
	return true;
}

/* ---- telling ---- */

static double seconds_since(int64_t start_us)
{
	return (double)(clock_mono_us() - start_us) / (double)US_PER_S;
}

/* Over the line before, without a line break. */
static void draw_bar(const struct produce *p)
{
	uint64_t done = producer_delivered(p->producer) + producer_failed(p->producer);
	double speed = (double)done / fmax(seconds_since(p->start_us), 0.001);
	if (p->total == 0) {
		fprintf(stderr, "\r%s  %" PRIu64 "  %.0f/s   ", p->topic, done, speed);
		return;
	}
	int filled = (int)(done * BAR_WIDTH / p->total);
	fprintf(stderr, "\r%s  [%.*s%.*s] %3d%%  %" PRIu64 "/%" PRIu64 "  %.0f/s   ", p->topic,
		filled, "##############################", BAR_WIDTH - filled,
		"..............................", (int)(done * 100 / p->total), done, p->total,
		speed);
}

static bool going_quietly(struct produce *p)
{
	(void)p;
	return !stop_signal;
}

/* Called often, draws seldom. */
static bool going_with_bar(struct produce *p)
{
	static int64_t next_us; /* one bar per process */
	if (clock_mono_us() >= next_us) {
		draw_bar(p);
		next_us = clock_mono_us() + BAR_EVERY_MS * US_PER_MS;
	}
	return !stop_signal;
}

/* The members are a contract. */
static void tell_json(const struct produce *p, double seconds)
{
	json_t *all = json_pack("{s:s, s:s, s:I, s:I, s:I, s:f, s:f, s:I, s:I, s:I, s:I}", "stream",
				p->stream->config->name, "topic", p->topic, "produced",
				(json_int_t)producer_delivered(p->producer), "failed",
				(json_int_t)producer_failed(p->producer), "bad_lines",
				(json_int_t)p->bad, "seconds", seconds, "per_second",
				(double)producer_delivered(p->producer) / fmax(seconds, 0.001),
				"upserts", (json_int_t)p->ops[GENERATED_UPSERT], "deletes",
				(json_int_t)p->ops[GENERATED_DELETE], "tombstones",
				(json_int_t)p->ops[GENERATED_TOMBSTONE], "poison",
				(json_int_t)p->ops[GENERATED_POISON]);
	char *text = json_dumps(all, JSON_COMPACT | JSON_REAL_PRECISION(6));
	puts(text);
	free(text);
	json_decref(all);
}

static void tell(const struct produce *p, double seconds)
{
	uint64_t done = producer_delivered(p->producer);
	printf("produced %" PRIu64 " events of %s to %s in %.1f s (%.0f/s)", done,
	       p->stream->config->name, p->topic, seconds, (double)done / fmax(seconds, 0.001));
	if (p->ops[GENERATED_UPSERT] > 0)
		printf(": %" PRIu64 " upserts, %" PRIu64 " deletes, %" PRIu64
		       " tombstones, %" PRIu64 " poison",
		       p->ops[GENERATED_UPSERT], p->ops[GENERATED_DELETE],
		       p->ops[GENERATED_TOMBSTONE], p->ops[GENERATED_POISON]);
	if (producer_failed(p->producer) > 0)
		printf("; %" PRIu64 " failed", producer_failed(p->producer));
	if (p->bad > 0)
		printf("; %" PRIu64 " bad", p->bad);
	printf("\n");
}

/* ---- the command ---- */

/* The worst of what happened decides. */
static int verdict(const struct produce *p, bool ok, const struct err *err)
{
	if (!ok)
		return cli_fail(report_err_exit_code(err), "%s", err->text);
	if (producer_failed(p->producer) > 0)
		return cli_fail(EXIT_UNAVAILABLE, "%s", producer_first_error(p->producer));
	if (stop_signal && !p->complete)
		return cli_fail(EXIT_AGAIN, "stopped by a signal after %" PRIu64 " events",
				p->sent);
	return p->bad > 0 ? EXIT_DATA : EXIT_OK;
}

/* What was sent before a failure is still waited for and told. */
static int produce(struct cli *cli, struct produce *p, struct wishes *w)
{
	struct err err = {0}, unfinished = {0};
	bool bar = isatty(STDERR_FILENO) && !cli->json;
	p->rate = w->rate;
	p->going = bar ? going_with_bar : going_quietly;
	if (!produce_open(p, cli->config, w->stream, cli_option(cli, "topic", NULL),
			  !cli_flag(cli, "no-register"), &err))
		return cli_fail(report_err_exit_code(&err), "%s", err.text);
	catch_signals();
	bool ok = w->file ? produce_file(p, w->file, &err)
			  : produce_generated(p, &w->generator, w->count, &err);
	if (!produce_finish(p, &unfinished) && ok) {
		ok = false;
		err = unfinished;
	}
	double seconds = seconds_since(p->start_us);
	if (bar)
		fprintf(stderr, "\r\033[K");
	if (cli->json)
		tell_json(p, seconds);
	else
		tell(p, seconds);
	return verdict(p, ok, &err);
}

/* Checks the command line before it opens anything. */
static int run(struct cli *cli)
{
	struct produce p = {0};
	struct wishes w = {0};
	if (cli->argc != 1)
		return cli_fail(EXIT_USAGE, "which stream? memingest produce STREAM, as in "
					    "\"memingest produce memory --count 1000\"");
	if (!cli_find_stream(cli, cli->argv[0], &w.stream) || !read_wishes(cli, &w))
		return EXIT_USAGE;
	int code = produce(cli, &p, &w);
	produce_close(&p);
	return code;
}

static const struct cli_option options[] = {
	{"count", "N", "how many events (1000)"},
	{"rate", "R", "events a second; else as fast as the broker takes them"},
	{"keys", "K", "distinct keys; else a new one for each event that is no update"},
	{"update-share", "SHARE",
	 "of the events go to a key used before (0.1); when all keys are used, all do"},
	{"delete-share", "SHARE", "of the events are deletes"},
	{"tombstone-share", "SHARE", "of the events have a key and no value"},
	{"late-share", "SHARE", "of the events are older than the one before"},
	{"poison", "SHARE",
	 "of the events can never be stored, as 1/1000; what is wrong with them takes turns"},
	{"seed", "S", "the same seed gives the same events, but for their times (1)"},
	{"start-time", "SECONDS",
	 "event time of the first, since 1970, one millisecond apart: with it the times repeat as "
	 "well"},
	{"topic", "TOPIC", "another topic than the stream's first"},
	{"no-register", NULL,
	 "take the schemas as the registry has them, and fail if it does not; else what is missing "
	 "is registered, under TOPIC-value and TOPIC-key, and told"},
	{"file", "FILE",
	 "events from JSON lines, CSV with a header or an Avro container, also packed with gzip "
	 "or zstd; \"-\": standard input"},
	{NULL, NULL, NULL},
};

const struct command command_produce = {
	.name = "produce",
	.usage = "STREAM [options]",
	.summary = "events of a stream to its topic, generated or from a file",
	.help = "Sends events of one stream of the config to its topic: real-looking ones made "
		"from the schema alone, "
		"or those of\n"
		"a file. A share is written as 0.01, 1% or 1/100. In a file, a bad line is named "
		"and the rest goes on; "
		"the exit\n"
		"code is then 65.",
	.wants_config = true,
	.options = options,
	.run = run,
};

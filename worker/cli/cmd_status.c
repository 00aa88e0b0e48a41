/*
 * cmd_status.c - "memingest status": one look at one worker, for people as a table, for programs as
 * the worker's own document.
 */
#include <stdio.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/fleet.h"
#include "cli/panel.h"

#define TIMEOUT_US (5 * US_PER_S)

static void show(const struct fleet *f, const struct cli *cli)
{
	struct buf out = {0};
	struct panel_style style = {.title = "memingest status", .color = cli->color};
	panel_draw(f, &style, &out);
	fwrite(out.data, 1, out.len, stdout);
	buf_free(&out);
}

/* The exit code is that of health checks: see fleet_exit_code(). */
static int run(struct cli *cli)
{
	struct fleet f;
	int code = EXIT_OK;
	if (cli->argc > 1)
		return cli_fail(EXIT_USAGE,
				"status: one worker at a time; \"memingest top\" shows several");
	if (fleet_open(&f, cli, &code)) {
		const struct fleet_worker *w = &f.workers[0];
		fleet_look(&f, TIMEOUT_US);
		code = fleet_exit_code(&f);
		struct panel_troubles troubles = panel_count_troubles(&f);
		if (code == EXIT_OK && cli_flag(cli, "strict") && panel_is_troubled(&troubles))
			code = EXIT_AGAIN;
		if (!w->now)
			cli_fail((enum exit_code)code, "%s: %s", w->name, w->error);
		else if (cli->json)
			fwrite(w->body.data, 1, w->body.len, stdout);
		else
			show(&f, cli);
	}
	fleet_close(&f);
	return code;
}

const struct command command_status = {
	.name = "status",
	.usage = "[HOST:PORT | URL] [--strict] [--json]",
	.summary = "what a running worker does: streams, lanes, partitions, last errors",
	.help = "Asks the worker at that address, or the one of the config's http.listen. --json "
		"prints the document "
		"as "
		"the worker\n"
		"gave it.\n"
		"\n"
		"Exit code: 0 when it is ready, 75 when it answers but is not ready, 69 when it "
		"does not answer.",
	.options =
		(const struct cli_option[]){
			{"strict", NULL,
			 "75 as well when a partition is halted or waits, or a stream's topic does "
			 "not exist"},
			{NULL, NULL, NULL},
		},
	.run = run,
};

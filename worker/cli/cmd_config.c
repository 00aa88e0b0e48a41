/*
 * cmd_config.c - "memingest config": the settings as they are, and as they could be.
 *
 * show wants a config that loads; the others need none and print what the tables in the program
 * say. docs and metrics are the sources of docs/CONFIG.md and docs/METRICS.md; the build
 * compares.
 */
#include <stdio.h>
#include <string.h>

#include "base/stats.h"
#include "cli/cli.h"
#include "show/status.h"

/* Takes the bytes. */
static int print(struct buf *out)
{
	fwrite(out->data, 1, out->len, stdout);
	buf_free(out);
	return EXIT_OK;
}

/* Only show looks at a config file. */
static int run(struct cli *cli)
{
	static const char *const actions[] = {"show", "keys", "example", "docs", "metrics", NULL};
	const char *action = cli->argc > 0 ? cli->argv[0] : NULL;
	struct buf out = {0};
	if (cli->argc > 1)
		return cli_fail(EXIT_USAGE, "config %s: what is \"%s\"?", action, cli->argv[1]);
	if (cli->json && action && strcmp(action, "show") != 0)
		return cli_fail(EXIT_USAGE, "config %s: only show has output for programs (--json)",
				action);
	if (action && strcmp(action, "show") == 0) {
		if (!cli_need_config(cli))
			return EXIT_CONFIG;
		if (cli->json)
			config_show_json(cli->config, &out);
		else
			config_show(cli->config, &out);
	} else if (action && strcmp(action, "keys") == 0) {
		config_write_help(&out);
	} else if (action && strcmp(action, "example") == 0) {
		config_write_example(&out);
	} else if (action && strcmp(action, "docs") == 0) {
		config_write_docs(&out);
	} else if (action && strcmp(action, "metrics") == 0) {
		stats_write_docs(&out);
		status_write_docs(&out);
	} else {
		return cli_unknown("config", action, actions);
	}
	return print(&out);
}

const struct command command_config = {
	.name = "config",
	.usage = "show [--json] | keys | example | docs | metrics",
	.summary = "the settings in force, and all that there are",
	.help = "show      each setting, its value and where the value comes from; secrets hidden\n"
		"keys      all keys with default, range and meaning\n"
		"example   a config file to begin with: memingest config example >memingest.ini\n"
		"docs      all keys as Markdown: docs/CONFIG.md\n"
		"metrics   all metrics as Markdown: docs/METRICS.md\n",
	.run = run,
};

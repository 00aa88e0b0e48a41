/*
 * cmd_run.c - "memingest run": the worker itself.
 */
#include "cli/cli.h"
#include "flow/pipeline.h"

static int run(struct cli *cli)
{
	return pipeline_run(cli->config);
}

const struct command command_run = {
	.name = "run",
	.usage = "",
	.summary = "consume until SIGTERM",
	.help = "Consumes the topics of all streams and writes them to PostgreSQL until SIGTERM or "
		"SIGINT, then drains "
		"(for up to\n"
		"shutdown.timeout), leaves the group and exits 0. A second signal, a second or "
		"more later, ends it at once;\n"
		"nothing is lost either way. SIGHUP has Kafka's certificates and secrets read "
		"anew.",
	.wants_config = true,
	.no_arguments = true,
	.run = run,
};

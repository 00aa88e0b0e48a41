/*
 * cmd_run.c - "memingest run": the worker itself.
 *
 * A DSN that nobody can connect with ends it before it starts, as any other mistake of the config
 * does; a file that can not be read yet does not, for a secret may be mounted late.
 */
#include "cli/cli.h"
#include "cli/database.h"
#include "flow/pipeline.h"
#include "io/pg_dsn.h"

static int run(struct cli *cli)
{
	struct err err = {0};
	if (!cli->config->sqlite_path && !pg_dsn_check(cli->config, NULL, &err) &&
	    err.class == ERR_CONFIG)
		return cli_fail(EXIT_CONFIG, "%s", err.text);
	return pipeline_run(cli->config, &origin_kafka, database_store(cli->config));
}

const struct command command_run = {
	.name = "run",
	.usage = "",
	.summary = "consume until SIGTERM",
	.help = "Consumes the topics of all streams and writes them to the database until SIGTERM "
		"or "
		"SIGINT, then drains "
		"(for up to\n"
		"shutdown.timeout), leaves the group and exits 0. A second signal, a second or "
		"more later, ends it at once;\n"
		"nothing is lost either way. SIGHUP has Kafka's certificates and secrets read "
		"anew.",
	.wants_config = true,
	.no_arguments = true,
	.no_json = true,
	.run = run,
};

/* cmd_gateway.c - "memingest gateway": events by HTTP into the topics of the streams. */
#include <stdio.h>

#include "cli/cli.h"
#include "gate/gateway.h"
#include "gate/openapi.h"

static int run(struct cli *cli)
{
	struct buf text = {0};
	if (!cli_flag(cli, "openapi"))
		return cli_need_config(cli) ? gateway_run(cli->config) : EXIT_CONFIG;
	openapi_write(&text);
	fputs(buf_cstr(&text), stdout);
	buf_free(&text);
	return EXIT_OK;
}

static const struct cli_option options[] = {
	{"openapi", NULL, "print what it understands as OpenAPI 3 (docs/openapi.yaml), and end"},
	{NULL, NULL, NULL},
};

const struct command command_gateway = {
	.name = "gateway",
	.usage = "[--openapi]",
	.summary = "events by HTTP into the topics, until SIGTERM",
	.help = "Takes events by HTTP (POST /v1/streams/STREAM/events, DELETE .../events/KEY), "
		"checks them by the stream's\n"
		"schema, and answers when Kafka has acknowledged them, or with ?wait=stored when "
		"the "
		"database has them. At SIGTERM\n"
		"or SIGINT it takes no more connections, answers what has begun (for up to "
		"shutdown.timeout) and exits 0.",
	.options = options,
	.no_arguments = true,
	.no_json = true,
	.run = run,
};

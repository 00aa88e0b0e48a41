/* cmd_gateway.c - "memingest gateway": events by HTTP into the topics of the streams. */
#include "cli/cli.h"
#include "gate/gateway.h"

static int run(struct cli *cli)
{
	return gateway_run(cli->config);
}

const struct command command_gateway = {
	.name = "gateway",
	.usage = "",
	.summary = "events by HTTP into the topics, until SIGTERM",
	.help = "Takes events by HTTP (POST /v1/streams/STREAM/events, DELETE .../events/KEY), "
		"checks them by the stream's\n"
		"schema, and answers when Kafka has acknowledged them, or with ?wait=stored when "
		"PostgreSQL has them. At SIGTERM\n"
		"or SIGINT it takes no more connections, answers what has begun (for up to "
		"shutdown.timeout) and exits 0.",
	.wants_config = true,
	.no_arguments = true,
	.no_json = true,
	.run = run,
};

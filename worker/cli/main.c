/*
 * main.c - the list of commands, in the order in which help shows them.
 *
 * A new command is a file cmd_NAME.c with a const struct command, and a line here.
 */
#include "cli/cli.h"

/* clang-format off */
static const struct command *const commands[] = {
	&command_run,
	&command_check,
	&command_migrate,
	&command_produce,
	&command_load,
	&command_offsets,
	&command_dlq,
	&command_index,
	&command_top,
	&command_status,
	&command_config,
	&command_new_stream,
	&command_manual,
	&command_version,
	NULL,
};
/* clang-format on */

int main(int argc, char **argv)
{
	return cli_main(commands, argc, argv);
}

/*
 * main.c - the list of commands, in the order in which help shows them.
 *
 * A new command is a file cmd_NAME.c with a const struct command, and a line here.
 */
#include <sys/prctl.h>
#include <sys/resource.h>

#include "cli/cli.h"

/* clang-format off */
static const struct command *const commands[] = {
	&command_run,
	&command_check,
	&command_migrate,
	&command_produce,
	&command_load,
	&command_verify,
	&command_why,
	&command_gateway,
	&command_offsets,
	&command_dlq,
	&command_index,
	&command_search,
	&command_embed,
	&command_top,
	&command_status,
	&command_config,
	&command_new_stream,
	&command_manual,
	&command_version,
	NULL,
};
/* clang-format on */

/*
 * The memory of every command has secrets in it, and a core file would carry them to disk, or to
 * whoever collects such files. A limit of 0 is not looked at where kernel.core_pattern is a pipe; 1
 * is how the kernel itself says that there is to be no dump, either way. Only the soft limit, so
 * that an operator who wants one says "prlimit --core=unlimited --pid PID". PR_SET_DUMPABLE would
 * hand /proc/PID to root and keep the worker's own user from looking, so it is for where limits may
 * not be set (our systemd service: SystemCallFilter=~@resources).
 */
static void no_core_files(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_CORE, &limit) == 0) {
		limit.rlim_cur = MIN((rlim_t)1, limit.rlim_max);
		if (setrlimit(RLIMIT_CORE, &limit) == 0)
			return;
	}
	prctl(PR_SET_DUMPABLE, 0);
}

int main(int argc, char **argv)
{
	no_core_files();
	return cli_main(commands, argc, argv);
}

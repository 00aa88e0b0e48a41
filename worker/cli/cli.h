/*
 * cli.h - the command table: one entry per command, one file per command.
 *
 * main() reads the global options, finds the command, loads the config if the command wants one,
 * and calls it. Help texts derive from the table.
 */
#pragma once

#include "base/base.h"
#include "core/config.h"

struct cli_option {
	const char *name;  /* "count": --count N */
	const char *value; /* placeholder "N", or NULL for a flag */
	const char *help;
};

/* What a command gets. Options are looked up by name. */
struct cli {
	const struct config *config; /* NULL for commands that want none */
	int argc;                    /* positional arguments after the options */
	char **argv;
	bool json, color, terminal;
	void *parsed; /* of cli.c */
};

/* value of --name */
const char *cli_option(const struct cli *cli, const char *name, const char *fallback);
bool cli_flag(const struct cli *cli, const char *name); /* whether it was given */
/* Of an option that may be repeated: its value number i, in the order given; NULL: no more. */
const char *cli_option_at(const struct cli *cli, const char *name, size_t i);

struct command {
	const char *name;
	const char *usage;   /* what follows "memingest NAME": "[--dry-run]" */
	const char *summary; /* one line for the list */
	const char *help;    /* a paragraph or two, then the options are printed */
	bool wants_config;
	bool no_arguments;                /* only options: anything else is a usage error */
	bool no_json;                     /* nothing for programs: --json is a usage error */
	bool postgres_only;               /* does not work on a SQLite file yet */
	const struct cli_option *options; /* ends with a NULL name */
	int (*run)(struct cli *cli);
};

extern const struct command command_run, command_check, command_migrate, command_produce,
	command_load, command_gateway, command_verify, command_why, command_offsets, command_dlq,
	command_index, command_search, command_embed, command_top, command_status, command_config,
	command_new_stream, command_manual, command_version;

/* The tables themselves, for the manual. The letter is "-c, " or "-h, " or nothing. */
const struct command *const *cli_commands(const struct cli *cli);
const struct cli_option *cli_global_options(void);         /* those of every command */
const char *cli_option_letter(const struct cli_option *o); /* "-c, " and the like */

/* Prints "memingest: text" in red on a terminal, returns code. */
int cli_fail(enum exit_code code, const char *fmt, ...) PRINTF_LIKE(2, 3);

/*
 * Before what can not be undone: "fmt? [y/N]" on the terminal, to which --yes is the answer given
 * beforehand. EXIT_OK: go ahead; else it has said why not: 75 no, 64 nobody is there to ask. The
 * command has CLI_YES among its options.
 */
int cli_confirm(const struct cli *cli, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* clang-format off */
#define CLI_YES {"yes", NULL, "do not ask; wanted where there is no terminal to ask on"}
/* clang-format on */

/* Its index in the config. False after a complaint (EXIT_USAGE) that names those that there are. */
MUST_CHECK bool cli_find_stream(const struct cli *cli, const char *name, size_t *index);

/* Complains about the action (NULL: none given), names the nearest of choices. EXIT_USAGE. */
int cli_unknown(const char *command, const char *action, const char *const *choices);

/*
 * For commands that do not always want a config, or want to report its mistakes in their own way.
 * Both read the file that -c, $MEMINGEST_CONFIG or ./memingest.ini names, with --set applied, and
 * keep the result in cli->config, freed at the end. cli_load_config() hands the findings over;
 * cli_need_config() prints them, and the command returns EXIT_CONFIG.
 */
MUST_CHECK bool cli_load_config(struct cli *cli, struct buf *findings, struct err *err);
MUST_CHECK bool cli_need_config(struct cli *cli); /* Prints what is wrong. */

/* All that main() does. commands ends with NULL. Returns the exit code. */
int cli_main(const struct command *const *commands, int argc, char **argv);

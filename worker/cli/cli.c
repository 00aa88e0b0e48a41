/*
 * cli.c - from argv to the call of a command: options, help, config, exit code.
 *
 *   memingest [global options] COMMAND [options and arguments in any order]
 *             -c FILE  --set SECTION.KEY=VALUE  --json  --help  --version
 *             (behind the command as well)
 *
 * A command's options are rows of its table; "--name value" and "--name=value" mean the same, "--"
 * ends the options, the last of several equal ones counts unless the command asks for each.
 * Anything that is not in a table is a usage error (64) with the nearest name, never a guess. Help
 * texts are made from the same tables.
 *
 * What was parsed lives in struct parsed until the command returns, the config with it. One thread:
 * commands that start others end them before they return.
 */
#include <assert.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/suggest.h"
#include "cli/cli.h"

static const struct cli_option global_options[] = {
	{"config", "FILE",
	 "config file; else $MEMINGEST_CONFIG, else ./memingest.ini if there is one"},
	{"set", "SECTION.KEY=VALUE",
	 "one setting, stronger than file and environment; may be repeated"},
	{"json", NULL, "output for programs; a mistake where there is none"},
	{"help", NULL, "what the command does"},
	{"version", NULL, "versions of the program and its libraries"},
	{NULL},
};

struct given {
	const struct cli_option *option;
	const char *value;
};

struct parsed {
	const struct command *const *commands;
	const struct command *command;
	struct given *given; /* argc entries at most, as the others */
	size_t ngiven;
	struct config_override *overrides;
	size_t noverrides;
	char **args;
	int nargs;
	struct config *config;
};

/* --- messages */

/* NO_COLOR and dumb terminals have none. */
static bool color_on(int fd)
{
	/* no-color.org: set and not empty */
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
	return !(no && *no) && !(term && strcmp(term, "dumb") == 0) && isatty(fd);
}

/* One line to standard error, behind whatever stands on standard output. */
int cli_fail(enum exit_code code, const char *fmt, ...)
{
	bool color = color_on(STDERR_FILENO);
	va_list args;
	fflush(stdout); /* so that both end in the right order on one terminal */
	fputs(color ? "\033[31mmemingest: " : "memingest: ", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputs(color ? "\033[0m\n" : "\n", stderr);
	return code;
}

int cli_unknown(const char *command, const char *action, const char *const *choices)
{
	struct buf list = {0};
	struct suggest s = suggest_for(action ? action : "");
	for (size_t i = 0; choices[i]; i++) {
		buf_printf(&list, "%s%s", i ? ", " : "", choices[i]);
		suggest_offer(&s, choices[i]);
	}
	if (!action)
		cli_fail(EXIT_USAGE, "%s: what? one of %s", command, buf_cstr(&list));
	else if (s.best)
		cli_fail(EXIT_USAGE, "%s: unknown action \"%s\"; did you mean %s?", command, action,
			 s.best);
	else
		cli_fail(EXIT_USAGE, "%s: unknown action \"%s\"; there are %s", command, action,
			 buf_cstr(&list));
	buf_free(&list);
	return EXIT_USAGE;
}

/* The question goes to standard error: what a command prints may go into a file. */
int cli_confirm(const struct cli *cli, const char *fmt, ...)
{
	char question[256], answer[16] = "";
	va_list args;
	va_start(args, fmt);
	vsnprintf(question, sizeof(question), fmt, args);
	va_end(args);
	if (cli_flag(cli, "yes"))
		return EXIT_OK;
	if (!isatty(STDIN_FILENO))
		return cli_fail(EXIT_USAGE,
				"%s? There is no terminal to ask on: say --yes if that is meant",
				question);
	fflush(stdout);
	fprintf(stderr, "%s? [y/N] ", question);
	if (fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y'))
		return EXIT_OK;
	return cli_fail(EXIT_AGAIN, "nothing was changed");
}

bool cli_find_stream(const struct cli *cli, const char *name, size_t *index)
{
	const struct config *c = cli->config;
	struct buf list = {0};
	struct suggest s = suggest_for(name);
	for (size_t i = 0; i < c->nstreams; i++) {
		if (strcmp(c->streams[i].name, name) == 0) {
			*index = i;
			buf_free(&list);
			return true;
		}
		buf_printf(&list, "%s%s", i ? ", " : "", c->streams[i].name);
		suggest_offer(&s, c->streams[i].name);
	}
	cli_fail(EXIT_USAGE, "there is no stream \"%s\" in the config%s%s%s; there are: %s", name,
		 s.best ? "; did you mean " : "", s.best ? s.best : "", s.best ? "?" : "",
		 buf_cstr(&list));
	buf_free(&list);
	return false;
}

/* --- help */

const char *cli_option_letter(const struct cli_option *o)
{
	return strcmp(o->name, "config") == 0 ? "-c, " : strcmp(o->name, "help") == 0 ? "-h, " : "";
}

/* c NULL: of no command in particular. */
static void help_options(const struct cli_option *options, const struct command *c)
{
	for (const struct cli_option *o = options; o && o->name; o++) {
		char left[64];
		if (c && c->no_json && strcmp(o->name, "json") == 0)
			continue;
		snprintf(left, sizeof(left), "%s--%s%s%s", cli_option_letter(o), o->name,
			 o->value ? " " : "", o->value ? o->value : "");
		printf("  %-28s %s\n", left, o->help);
	}
}

static int help_all(const struct command *const *commands)
{
	printf("memingest %s: moves events from Kafka into PostgreSQL, each one's effect exactly "
	       "once\n\n"
	       "Usage: memingest [OPTIONS] COMMAND [OPTIONS]\n\nCommands:\n",
	       MEMINGEST_VERSION);
	for (size_t i = 0; commands[i]; i++)
		printf("  %-10s %s\n", commands[i]->name, commands[i]->summary);
	printf("\nOptions of every command:\n");
	help_options(global_options, NULL);
	printf("\n\"memingest COMMAND --help\" tells more of a command, \"memingest config keys\" "
	       "of the settings.\n");
	return EXIT_OK;
}

static int help_command(const struct command *c)
{
	printf("Usage: memingest %s%s%s\n\n%s\n", c->name, *c->usage ? " " : "", c->usage,
	       c->summary);
	if (c->help && *c->help)
		printf("\n%s%s", c->help, c->help[strlen(c->help) - 1] == '\n' ? "" : "\n");
	if (c->options && c->options[0].name) {
		printf("\nOptions:\n");
		help_options(c->options, c);
	}
	printf("\nOptions of every command:\n");
	help_options(global_options, c);
	return EXIT_OK;
}

/* --- parsing */

static const struct command *find_command(const struct command *const *commands, const char *name)
{
	for (size_t i = 0; commands[i]; i++)
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	return NULL;
}

static int unknown_command(const struct command *const *commands, const char *name)
{
	struct suggest s = suggest_for(name);
	for (size_t i = 0; commands[i]; i++)
		suggest_offer(&s, commands[i]->name);
	suggest_offer(&s, "help");
	if (s.best)
		return cli_fail(EXIT_USAGE, "unknown command \"%s\"; did you mean %s?", name,
				s.best);
	return cli_fail(EXIT_USAGE, "unknown command \"%s\"; \"memingest --help\" lists them",
			name);
}

/* len: without what stands behind "=". */
static const struct cli_option *match(const struct cli_option *options, const char *name,
				      size_t len)
{
	for (const struct cli_option *o = options; o && o->name; o++)
		if (strlen(o->name) == len && strncmp(o->name, name, len) == 0)
			return o;
	return NULL;
}

/* The command's own options and the global ones are on offer. */
static int unknown_option(const struct parsed *p, const char *arg)
{
	char name[80];
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(arg, "="), arg);
	struct suggest s = suggest_for(name + strspn(name, "-"));
	for (const struct cli_option *o = p->command ? p->command->options : NULL; o && o->name;
	     o++)
		suggest_offer(&s, o->name);
	for (const struct cli_option *o = global_options; o->name; o++)
		suggest_offer(&s, o->name);
	const char *command = p->command ? p->command->name : "", *blank = p->command ? " " : "";
	if (s.best)
		return cli_fail(EXIT_USAGE, "unknown option %s; did you mean --%s?", name, s.best);
	return cli_fail(EXIT_USAGE, "unknown option %s; see \"memingest %s%s--help\"", name,
			command, blank);
}

/* Which sections and keys there are, the config knows. */
static int take_override(struct parsed *p, const char *text)
{
	const char *equals = strchr(text, '=');
	if (!equals || equals == text)
		return cli_fail(EXIT_USAGE,
				"--set %s: write SECTION.KEY=VALUE, as in batch.max_rows=1000",
				text);
	char *key = xasprintf("%.*s", (int)(equals - text), text);
	p->overrides[p->noverrides++] = (struct config_override){.key = key, .value = equals + 1};
	return EXIT_OK;
}

/* The option at argv[*i], whose value may be the next argument. */
static int take_option(struct parsed *p, int argc, char **argv, int *i)
{
	const char *arg = argv[*i], *name = arg + 2, *value = NULL;
	size_t len = strcspn(name, "=");
	if (strcmp(arg, "-c") == 0) {
		name = "config";
		len = strlen(name);
	} else if (strcmp(arg, "-h") == 0) {
		name = "help";
		len = strlen(name);
	} else if (arg[1] != '-') {
		return unknown_option(p, arg);
	} else if (name[len] == '=') {
		value = name + len + 1;
	}
	const struct cli_option *o = p->command ? match(p->command->options, name, len) : NULL;
	if (!o)
		o = match(global_options, name, len);
	if (!o)
		return unknown_option(p, arg);
	if (!o->value && value)
		return cli_fail(EXIT_USAGE, "option --%s takes no value", o->name);
	if (o->value && !value && ++*i == argc)
		return cli_fail(EXIT_USAGE, "option --%s wants a value: --%s %s", o->name, o->name,
				o->value);
	if (!value)
		value = o->value ? argv[*i] : "";
	p->given[p->ngiven++] = (struct given){.option = o, .value = value};
	return strcmp(o->name, "set") == 0 && o->value ? take_override(p, value) : EXIT_OK;
}

/* Options and arguments in any order; nothing is looked up before all are read. */
static int parse(struct parsed *p, int argc, char **argv)
{
	bool options = true;
	for (int i = 1; i < argc; i++) {
		if (options && strcmp(argv[i], "--") == 0) {
			options = false;
		} else if (options && argv[i][0] == '-' && argv[i][1]) {
			int code = take_option(p, argc, argv, &i);
			if (code != EXIT_OK)
				return code;
		} else if (!p->command && strcmp(argv[i], "help") == 0) {
			const struct cli_option *help = match(global_options, "help", 4);
			assert(help); /* a row of the table */
			p->given[p->ngiven++] = (struct given){.option = help, .value = ""};
		} else if (!p->command) {
			p->command = find_command(p->commands, argv[i]);
			if (!p->command)
				return unknown_command(p->commands, argv[i]);
		} else {
			p->args[p->nargs++] = argv[i];
		}
	}
	return EXIT_OK;
}

/* --- what commands ask */

static const char *given_value(const struct parsed *p, const char *name)
{
	for (size_t i = p->ngiven; i > 0; i--)
		if (strcmp(p->given[i - 1].option->name, name) == 0)
			return p->given[i - 1].value;
	return NULL;
}

const char *cli_option(const struct cli *cli, const char *name, const char *fallback)
{
	const char *value = given_value(cli->parsed, name);
	return value ? value : fallback;
}

const char *cli_option_at(const struct cli *cli, const char *name, size_t i)
{
	const struct parsed *p = cli->parsed;
	for (size_t g = 0; g < p->ngiven; g++)
		if (strcmp(p->given[g].option->name, name) == 0 && i-- == 0)
			return p->given[g].value;
	return NULL;
}

bool cli_flag(const struct cli *cli, const char *name)
{
	return given_value(cli->parsed, name) != NULL;
}

const struct command *const *cli_commands(const struct cli *cli)
{
	return ((const struct parsed *)cli->parsed)->commands;
}

const struct cli_option *cli_global_options(void)
{
	return global_options;
}

/* -c, then the environment, then the working directory. */
static const char *config_path(const struct parsed *p)
{
	const char *path = given_value(p, "config"), *env = getenv("MEMINGEST_CONFIG");
	if (path)
		return path;
	if (env && *env)
		return env;
	return access("memingest.ini", F_OK) == 0 ? "memingest.ini" : NULL;
}

/* Once per command; the log is set up by it. */
bool cli_load_config(struct cli *cli, struct buf *findings, struct err *err)
{
	struct parsed *p = cli->parsed;
	if (!p->config)
		p->config = config_load(config_path(p), p->overrides, p->noverrides, findings, err);
	cli->config = p->config;
	if (p->config)
		log_init(p->config->log_format, p->config->log_level);
	return p->config != NULL;
}

/* Of a command that can not do with a SQLite file yet. */
static bool fits_database(const struct cli *cli)
{
	const struct command *command = ((const struct parsed *)cli->parsed)->command;
	if (!command->postgres_only || !cli->config->sqlite_path)
		return true;
	cli_fail(EXIT_CONFIG,
		 "%s does not work on a SQLite file yet, only on PostgreSQL; docs/SQLITE.md says "
		 "what to ask %s with sqlite3 instead",
		 command->name, cli->config->sqlite_path);
	return false;
}

/* Says what is wrong, so the caller only returns. */
bool cli_need_config(struct cli *cli)
{
	struct buf findings = {0};
	struct err err = {0};
	bool ok = cli_load_config(cli, &findings, &err);
	if (!ok && !config_path(cli->parsed))
		cli_fail(EXIT_CONFIG, "no config file: name one with -c FILE or $MEMINGEST_CONFIG, "
				      "or begin with \"memingest config example "
				      ">memingest.ini\"");
	if (!ok) {
		cli_fail(EXIT_CONFIG, "the configuration has mistakes:");
		fputs(buf_cstr(&findings), stderr);
	}
	buf_free(&findings);
	return ok && fits_database(cli);
}

/* --- running */

/* The config is loaded only for commands that want it. */
static int run_command(struct parsed *p)
{
	struct cli cli = {.argc = p->nargs, .argv = p->args, .parsed = p};
	if (p->command->no_arguments && p->nargs > 0)
		return cli_fail(
			EXIT_USAGE,
			"%s: what is \"%s\"? it takes only options; see \"memingest %s --help\"",
			p->command->name, p->args[0], p->command->name);
	cli.json = given_value(p, "json") != NULL;
	if (cli.json && p->command->no_json)
		return cli_fail(EXIT_USAGE, "%s: there is no output for programs (--json)",
				p->command->name);
	cli.terminal = isatty(STDOUT_FILENO);
	cli.color = color_on(STDOUT_FILENO);
	if (p->command->wants_config && !cli_need_config(&cli))
		return EXIT_CONFIG;
	return p->command->run(&cli);
}

/* Help goes before everything, also for a command line that is not complete. */
static int dispatch(struct parsed *p)
{
	const struct command *version = find_command(p->commands, "version");
	if (given_value(p, "help"))
		return p->command ? help_command(p->command) : help_all(p->commands);
	if (given_value(p, "version") && version) {
		p->command = version;
		p->nargs = 0;
	}
	if (p->command)
		return run_command(p);
	help_all(p->commands);
	return EXIT_USAGE;
}

/* Frees all that was parsed. */
int cli_main(const struct command *const *commands, int argc, char **argv)
{
	size_t room = (size_t)argc + 1;
	json_set_alloc_funcs(xmalloc, free);
	struct parsed p = {
		.commands = commands,
		.given = xcalloc(room, sizeof(*p.given)),
		.overrides = xcalloc(room, sizeof(*p.overrides)),
		.args = xcalloc(room, sizeof(*p.args)),
	};
	int code = parse(&p, argc, argv);
	if (code == EXIT_OK)
		code = dispatch(&p);
	if ((fflush(stdout) != 0 || ferror(stdout)) && code == EXIT_OK)
		code = cli_fail(EXIT_INTERNAL, "the output could not be written");
	config_free(p.config);
	for (size_t i = 0; i < p.noverrides; i++)
		free((char *)p.overrides[i].key);
	free(p.overrides);
	free(p.given);
	free(p.args);
	return code;
}

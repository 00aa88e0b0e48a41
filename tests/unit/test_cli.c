/*
 * test_cli.c - what the command line means, and what it says about a command line that means
 * nothing.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli_capture.h"
#include "unit.h"

static struct {
	int calls, argc;
	char count[32], first[32], rows[32];
	bool flag, json, config;
} seen;

static int run_fake(struct cli *cli)
{
	seen.calls++;
	seen.argc = cli->argc;
	seen.flag = cli_flag(cli, "dry-run");
	seen.json = cli->json;
	seen.config = cli->config != NULL;
	snprintf(seen.count, sizeof(seen.count), "%s", cli_option(cli, "count", "none"));
	snprintf(seen.first, sizeof(seen.first), "%s", cli->argc > 0 ? cli->argv[0] : "");
	if (cli->config)
		snprintf(seen.rows, sizeof(seen.rows), "%u", cli->config->batch_max_rows);
	printf("output of the command\n");
	return EXIT_DATA;
}

static const struct cli_option options[] = {
	{"count", "N", "how many"}, {"dry-run", NULL, "only say what would happen"}, {NULL}};
static const struct command fake = {.name = "produce",
				    .usage = "[--count N]",
				    .summary = "makes things",
				    .help = "A longer text.",
				    .options = options,
				    .run = run_fake};
static const struct command configured = {.name = "migrate",
					  .usage = "",
					  .summary = "wants a config",
					  .help = "",
					  .wants_config = true,
					  .no_arguments = true,
					  .run = run_fake};
static const struct command version = {
	.name = "version", .usage = "", .summary = "says who it is", .help = "", .run = run_fake};
static const struct command *const commands[] = {&fake, &configured, &version, &command_config,
						 NULL};

static char *const out = captured_out, *const errors = captured_errors;
static int code;

/* Runs with these arguments (the last one NULL) and keeps stdout, stderr and the exit code. */
static void cli_run(const char *const *args)
{
	memset(&seen, 0, sizeof(seen));
	code = capture_cli(commands, args);
}

#define RUN(...) cli_run((const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

static void begin(void)
{
	unsetenv("MEMINGEST_CONFIG");
	unsetenv("NO_COLOR");
}

/* Options in both notations, before and behind arguments; the exit code is the command's. */
START_TEST(options_and_arguments)
{
	RUN("produce", "memory", "--count", "5", "--dry-run", "x");
	ck_assert_int_eq(code, EXIT_DATA);
	ck_assert_int_eq(seen.calls, 1);
	ck_assert_int_eq(seen.argc, 2);
	ck_assert_str_eq(seen.first, "memory");
	ck_assert_str_eq(seen.count, "5");
	ck_assert(seen.flag && !seen.json && !seen.config);
	RUN("--json", "produce", "--count=7", "--count=-8");
	ck_assert_str_eq(seen.count, "-8");
	ck_assert(seen.json && !seen.flag);
	RUN("produce", "--count", "");
	ck_assert_str_eq(seen.count, "");
	RUN("produce");
	ck_assert_str_eq(seen.count, "none");
}
END_TEST

/* Behind "--" nothing is an option; a lone "-" never is. */
START_TEST(end_of_options)
{
	RUN("produce", "-", "--", "--count", "9");
	ck_assert_int_eq(seen.argc, 3);
	ck_assert_str_eq(seen.first, "-");
	ck_assert_str_eq(seen.count, "none");
}
END_TEST

/* A command line that is wrong ends with 64, runs nothing, and names what was probably meant. */
START_TEST(usage_errors)
{
	static const struct {
		const char *args[4];
		const char *want;
	} cases[] = {
		{{"prodcue"}, "unknown command \"prodcue\"; did you mean produce?"},
		{{"frobnicate"}, "unknown command \"frobnicate\"; \"memingest --help\" lists them"},
		{{"produce", "--cuont", "5"}, "unknown option --cuont; did you mean --count?"},
		{{"produce", "--dryrun"}, "unknown option --dryrun; did you mean --dry-run?"},
		{{"produce", "-count", "5"}, "unknown option -count; did you mean --count?"},
		{{"produce", "--xyzzy=1"},
		 "unknown option --xyzzy; see \"memingest produce --help\""},
		{{"version", "--count", "5"}, "unknown option --count"}, /* another command's */
		{{"produce", "--count"}, "option --count wants a value: --count N"},
		{{"produce", "--dry-run=1"}, "option --dry-run takes no value"},
		{{"produce", "--set", "x"}, "--set x: write SECTION.KEY=VALUE"},
		{{"migrate", "dry-run"}, "migrate: what is \"dry-run\"? it takes only options"},
		{{"config", "shwo"}, "config: unknown action \"shwo\"; did you mean show?"},
		{{"config"}, "config: what? one of show, keys, example, docs, metrics"},
		{{"config", "docs", "x"}, "config docs: what is \"x\"?"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		cli_run(cases[i].args);
		ck_assert_msg(code == EXIT_USAGE && seen.calls == 0, "case %zu: exit code %d", i,
			      code);
		ck_assert_msg(strstr(errors, cases[i].want) != NULL, "case %zu: %s", i, errors);
		ck_assert_msg(strncmp(errors, "memingest: ", 11) == 0,
			      "no color where no terminal is: %s", errors);
	}
}
END_TEST

/*
 * Help goes to stdout with 0, lists all commands, or one command's options; no command at all is a
 * usage error.
 */
START_TEST(help)
{
	RUN("--help");
	ck_assert_int_eq(code, EXIT_OK);
	for (size_t i = 0; commands[i]; i++)
		ck_assert_ptr_nonnull(strstr(out, commands[i]->summary));
	ck_assert_ptr_nonnull(strstr(out, "-c, --config FILE"));
	RUN("produce", "--help");
	ck_assert_int_eq(code, EXIT_OK);
	ck_assert_int_eq(seen.calls, 0);
	ck_assert_ptr_nonnull(strstr(out, "Usage: memingest produce [--count N]"));
	ck_assert_ptr_nonnull(strstr(out, "A longer text."));
	ck_assert_ptr_nonnull(strstr(out, "  --count N "));
	ck_assert_ptr_nonnull(strstr(out, "--set SECTION.KEY=VALUE"));
	char same[sizeof(captured_out)];
	memcpy(same, out, sizeof(captured_out));
	RUN("help", "produce");
	ck_assert_str_eq(out, same);
	RUN("produce", "-h");
	ck_assert_str_eq(out, same);
	cli_run((const char *const[]){NULL});
	ck_assert_int_eq(code, EXIT_USAGE);
	RUN("--version");
	ck_assert_int_eq(seen.calls, 1);
}
END_TEST

static void write_config(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

#define CONFIG                                                                                     \
	"[kafka]\nbootstrap.servers=k\ngroup.id=g\n[postgres]\ndsn=d\n[batch]\nmax_rows=3\n"       \
	"[stream.m]\ntopic=t\nschema=s\nformat=raw\n"

/*
 * The config comes from -c, else from $MEMINGEST_CONFIG; --set is stronger wherever it stands, its
 * last one most.
 */
START_TEST(config_file)
{
	char path[] = "/tmp/memingest-cli-XXXXXX";
	int fd = mkstemp(path);
	close(fd);
	write_config(path, CONFIG);
	RUN("-c", path, "migrate");
	ck_assert_msg(seen.calls == 1 && seen.config, "%s", errors);
	ck_assert_str_eq(seen.rows, "3");
	RUN("--set", "batch.max_rows=4", "migrate", "-c", path, "--set=batch.max_rows=5");
	ck_assert_str_eq(seen.rows, "5");
	setenv("MEMINGEST_CONFIG", path, 1);
	RUN("migrate");
	ck_assert_str_eq(seen.rows, "3");
	RUN("config", "show", "--set", "batch.max_rows=6");
	ck_assert_int_eq(code, EXIT_OK);
	ck_assert_ptr_nonnull(strstr(out, "; --set\n"));
	unsetenv("MEMINGEST_CONFIG");
	unlink(path);
}
END_TEST

/* A config that is wrong ends with 78 before the command runs, and every finding is printed. */
START_TEST(config_mistakes)
{
	char path[] = "/tmp/memingest-cli-XXXXXX";
	int fd = mkstemp(path);
	close(fd);
	write_config(path, CONFIG "[log]\nlevle=info\nformat=x\n");
	RUN("-c", path, "migrate");
	ck_assert_int_eq(code, EXIT_CONFIG);
	ck_assert_int_eq(seen.calls, 0);
	ck_assert_ptr_nonnull(strstr(errors, ":13: log.levle: unknown key; did you mean level?\n"));
	ck_assert_ptr_nonnull(strstr(errors, ":14: log.format: \"x\" is none of logfmt, json\n"));
	unlink(path);
	RUN("-c", path, "config", "show");
	ck_assert_int_eq(code, EXIT_CONFIG);
	ck_assert_ptr_nonnull(strstr(errors, "cannot be read: No such file"));
	RUN("-c", path, "produce");
	ck_assert_int_eq(code, EXIT_DATA); /* wants none, so the file does not matter */
}
END_TEST

/* What can not be written is not a success. */
START_TEST(full_disk)
{
	fflush(stdout);
	int saved = dup(1), full = open("/dev/full", O_WRONLY);
	char *argv[] = {(char *)"memingest", (char *)"config", (char *)"docs", NULL};
	dup2(full, 1);
	int saved_err = dup(2), null = open("/dev/null", O_WRONLY);
	dup2(null, 2);
	int result = cli_main(commands, 3, argv);
	dup2(saved, 1);
	dup2(saved_err, 2);
	clearerr(stdout);
	close(saved);
	close(saved_err);
	close(full);
	close(null);
	ck_assert_int_eq(result, EXIT_INTERNAL);
}
END_TEST

/* The documents come out whole. */
START_TEST(documents)
{
	RUN("config", "docs");
	ck_assert_int_eq(code, EXIT_OK);
	ck_assert_int_eq(strncmp(out, "# Configuration\n", 16), 0);
	RUN("config", "metrics");
	ck_assert_int_eq(strncmp(out, "# Metrics\n", 10), 0);
	RUN("config", "keys");
	ck_assert_ptr_nonnull(strstr(out, "[stream.NAME]"));
}
END_TEST

static Suite *cli_suite(void)
{
	Suite *s = suite_create("cli");
	TCase *t = tcase_create("cli");
	tcase_add_checked_fixture(t, begin, NULL);
	tcase_add_test(t, options_and_arguments);
	tcase_add_test(t, end_of_options);
	tcase_add_test(t, usage_errors);
	tcase_add_test(t, help);
	tcase_add_test(t, config_file);
	tcase_add_test(t, config_mistakes);
	tcase_add_test(t, full_disk);
	tcase_add_test(t, documents);
	suite_add_tcase(s, t);
	return s;
}
UNIT_SUITE(cli_suite)

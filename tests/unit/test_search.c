/*
 * test_search.c - what "memingest search" makes of a command line, before any server is asked; and
 * texts of elsewhere on a terminal.
 *
 * Not here: what is found (the system suite "ask").
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "cli/wrap.h"
#include "cli_capture.h"
#include "unit.h"

static char dir[32], config[64], vector[64];

/* Nobody listens on port 1: neither on the endpoint's nor on the database's. */
static const char settings[] =
	"[kafka]\nbootstrap.servers = 127.0.0.1:1\ngroup.id = g\n"
	"[postgres]\ndsn = postgresql://u@127.0.0.1:1/d\n"
	"[embed.minilm]\nurl = http://127.0.0.1:1/v1\n"
	"[stream.told]\ntopic = a\nformat = raw\nschema = tests/schemas/household_event.avsc\n"
	"[stream.near]\ntopic = b\nformat = raw\nschema = tests/schemas/near_event.avsc\n"
	"[stream.ledger]\ntopic = c\nformat = raw\nschema = tests/schemas/ledger_event.avsc\n";

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	ck_assert_int_eq(fclose(f), 0);
}

static void begin(void)
{
	snprintf(dir, sizeof(dir), "/tmp/memingest-search.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(config, sizeof(config), "%s/c.ini", dir);
	snprintf(vector, sizeof(vector), "%s/v.json", dir);
	write_file(config, settings);
}

static void end(void)
{
	(void)unlink(config);
	(void)unlink(vector);
	(void)rmdir(dir);
}

/* Runs "search ARGS"; its exit code, and words that it says about it. */
static void says(int code, const char *words, const char *const *args)
{
	static const struct command *const commands[] = {&command_search, NULL};
	const char *all[16] = {"search", "-c", config};
	size_t n = 3;
	for (; *args; args++)
		all[n++] = *args;
	int got = capture_cli(commands, all);
	ck_assert_msg(got == code, "%d instead of %d: %s", got, code, captured_errors);
	ck_assert_msg(strstr(captured_errors, words) != NULL, "'%s' lacks '%s'", captured_errors,
		      words);
}

#define SAYS(code, words, ...)                                                                     \
	says(code, words, (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

/* A command line that means nothing, each with what is wrong about it. */
START_TEST(usage)
{
	SAYS(EXIT_USAGE, "which stream's?");
	SAYS(EXIT_USAGE, "did you mean told?", "tols", "x");
	SAYS(EXIT_USAGE, "for what?", "told");
	SAYS(EXIT_USAGE, "not both", "told", "x", "--vector", "-");
	SAYS(EXIT_USAGE, "stands in quotes", "told", "two", "words");
	SAYS(EXIT_USAGE, "the text is empty", "told", " \n");
	SAYS(EXIT_USAGE, "a number from 1 to 1000, not \"0\"", "told", "x", "--k", "0");
	SAYS(EXIT_USAGE, "not \"1001\"", "told", "x", "--k", "1001");
	SAYS(EXIT_USAGE, "not \"5x\"", "told", "x", "--k", "5x");
	SAYS(EXIT_USAGE, "no field of stream ledger has \"search\"", "ledger", "x");
	SAYS(EXIT_USAGE, "give the vector itself with --vector FILE", "near", "x");
}
END_TEST

/* Filters are those of the search, each once, and all of them are looked at. */
START_TEST(filters)
{
	SAYS(EXIT_USAGE, "write COLUMN=VALUE", "told", "x", "--filter", "about");
	SAYS(EXIT_USAGE, "write COLUMN=VALUE", "told", "x", "--filter", "=jonas");
	SAYS(EXIT_USAGE, "told has no filter \"abuot\"; did you mean about?; there are: about",
	     "told", "x", "--filter", "about=jonas", "--filter", "abuot=jonas");
	SAYS(EXIT_USAGE, "no filter \"key\"; there are: about", "told", "x", "--filter", "key=a",
	     "--filter", "about=jonas");
	SAYS(EXIT_USAGE, "two values for the filter about", "told", "x", "--filter", "about=a",
	     "--filter", "about=b");
}
END_TEST

/* A vector is an array of as many finite numbers as the column has. */
START_TEST(vectors)
{
	static const struct {
		const char *text, *words;
	} bad[] = {
		{"[1,2", "no JSON: "},
		{"{\"embedding\": [1]}", "an array of 8 numbers is wanted\n"},
		{"[1,2,3,4,5,6,7]", "an array of 8 numbers is wanted, it has another length"},
		{"[1,2,3,4,5,6,7,\"8\"]", "element 7 is no number"},
		{"[1,2,1e39,4,5,6,7,8]", "element 2 is no number"},
	};
	SAYS(EXIT_DATA, "No such file", "near", "--vector", "/tmp/memingest/none");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		write_file(vector, bad[i].text);
		SAYS(EXIT_DATA, bad[i].words, "near", "--vector", vector);
	}
}
END_TEST

/* What is fine up to the first server that is away: the endpoint for a text, else the database. */
START_TEST(away)
{
	SAYS(EXIT_UNAVAILABLE, "embed.minilm: ", "told", "x", "--filter", "about=jonas");
	write_file(vector, "[1, -2.5, 3e-3, 4, 5, 6, 7, 8]\n");
	SAYS(EXIT_UNAVAILABLE, "PostgreSQL", "near", "--vector", vector, "--json");
}
END_TEST

static void wraps(const char *text, size_t at, size_t indent, size_t width, const char *wanted)
{
	struct buf out = {0};
	wrap_text(&out, text, at, indent, width);
	ck_assert_str_eq(buf_cstr(&out), wanted);
	buf_free(&out);
}

/* Lines of a width, one paragraph, nothing that steers. */
START_TEST(wrapping)
{
	wraps("", 3, 2, 10, "\n");
	wraps("one two three", 0, 2, 8, "one two\n  three\n");
	wraps("one two three", 4, 2, 8, "one\n  two\n  three\n");
	wraps(" one\n\ttwo ", 0, 0, 0, "one two\n");
	wraps("abcdefghij k", 0, 2, 6, "abcdef\n  ghij\n  k\n");
	wraps("gr\xc3\xbc\xc3\x9f gott", 0, 0, 4, "gr\xc3\xbc\xc3\x9f\ngott\n");
	wraps("a\033[2Jb \xc2\x9b \xff\x7f", 0, 0, 80, "a?[2Jb ? ??\n");
	ck_assert_uint_eq(wrap_width("gr\xc3\xbc\xc3\x9f\xff"), 5);
}
END_TEST

static Suite *search_suite(void)
{
	Suite *s = suite_create("search");
	TCase *t = tcase_create("search");
	tcase_add_checked_fixture(t, begin, end);
	tcase_add_test(t, usage);
	tcase_add_test(t, filters);
	tcase_add_test(t, vectors);
	tcase_add_test(t, away);
	tcase_add_test(t, wrapping);
	suite_add_tcase(s, t);
	return s;
}

UNIT_SUITE(search_suite)

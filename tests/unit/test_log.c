/* test_log.c - one valid line per event, whatever is in it, and not too many of them. */
#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "unit.h"

/*
 * While a test logs, stderr is a socket that keeps the bounds of each write: one packet, one
 * write(2).
 */
static int saved_stderr, packets;
static char packet[8192];

static void capture(enum log_format format, enum log_level level)
{
	int pair[2];
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
	saved_stderr = dup(STDERR_FILENO);
	dup2(pair[1], STDERR_FILENO);
	close(pair[1]);
	packets = pair[0];
	log_init(format, level);
}

static void release(void)
{
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	close(packets);
	log_init(LOG_LOGFMT, LOG_INFO);
}

/* The next line, "" if there is none; fails unless it is one whole line. */
static const char *next_line(void)
{
	ssize_t n = read(packets, packet, sizeof(packet) - 1);
	packet[n > 0 ? n : 0] = '\0';
	if (n > 0) {
		ck_assert_int_eq(packet[n - 1], '\n');
		packet[n - 1] = '\0';
		ck_assert_ptr_null(strchr(packet, '\n'));
	}
	return packet;
}

static void write_one(enum log_level level, const char *msg, struct log_field a, struct log_field b)
{
	struct log_site site = {0};
	log_write(&site, level, msg, (struct log_field[]){a, b, {.kind = LOG_KIND_END}});
}

#define F(x) ((struct log_field)x)

/* The whole line in logfmt: time in UTC with microseconds, level, message, fields in order. */
START_TEST(logfmt_line)
{
	regex_t re;
	capture(LOG_LOGFMT, LOG_INFO);
	log_warn("partition halted", F_STR("topic", "memory.events"), F_INT("partition", -3),
		 F_REAL("share", 0.25));
	const char *line = next_line();
	release();
	ck_assert_int_eq(regcomp(&re,
				 "^time=20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6]"
				 "[0-9]\\.[0-9]{6}Z "
				 "level=warn msg=\"partition halted\" topic=memory.events "
				 "partition=-3 share=0.25$",
				 REG_EXTENDED | REG_NOSUB),
			 0);
	ck_assert_msg(regexec(&re, line, 0, NULL, 0) == 0, "%s", line);
	regfree(&re);
}
END_TEST

/* Values that a logfmt reader could not tell the end of are quoted, and only those. */
START_TEST(logfmt_quotes)
{
	static const struct {
		const char *value, *want;
	} cases[] = {
		{"plain-1.2/3:4", " k=plain-1.2/3:4 "},
		{"", " k=\"\" "},
		{NULL, " k=\"\" "},
		{"two words", " k=\"two words\" "},
		{"a=b", " k=\"a=b\" "},
		{"say \"hi\"", " k=\"say \\\"hi\\\"\" "},
		{"c:\\x", " k=\"c:\\\\x\" "},
		{"a\nb\tc\x01", " k=\"a\\nb\\tc\\u0001\" "},
		{"gr\xc3\xbc\xc3\x9f", " k=\"gr\xc3\xbc\xc3\x9f\" "},
		{"bad\xff\xc3", " k=\"bad\xef\xbf\xbd\xef\xbf\xbd\" "},
		{"\xed\xa0\x80", " k=\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\" "}, /* a surrogate */
		{"\xc0\xaf", " k=\"\xef\xbf\xbd\xef\xbf\xbd\" "},                 /* overlong */
		{"\xe0\x80\xaf", " k=\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\" "}, /* so is this */
	};
	capture(LOG_LOGFMT, LOG_INFO);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		write_one(LOG_INFO, "m", F(F_STR("k", cases[i].value)), F(F_INT("end", 1)));
		if (!strstr(next_line(), cases[i].want)) {
			release();
			ck_abort_msg("case %zu: %s", i, packet);
		}
	}
	release();
}
END_TEST

/*
 * Every line in JSON is JSON, with the very values, for any bytes that are valid UTF-8; others
 * become U+FFFD.
 */
START_TEST(json_line)
{
	char text[256];
	for (int i = 1; i < 128; i++)
		text[i - 1] = (char)i;
	text[127] = '\0';
	capture(LOG_JSON, LOG_INFO);
	write_one(LOG_ERROR, "it \"broke\"", F(F_STR("k", text)), F(F_INT("n", INT64_MIN)));
	json_t *line = json_loads(next_line(), 0, NULL);
	write_one(LOG_ERROR, "m", F(F_STR("k", "\xff")), F(F_REAL("r", NAN)));
	json_t *odd = json_loads(next_line(), 0, NULL);
	release();
	ck_assert_ptr_nonnull(line);
	ck_assert_str_eq(json_string_value(json_object_get(line, "msg")), "it \"broke\"");
	ck_assert_str_eq(json_string_value(json_object_get(line, "level")), "error");
	ck_assert_str_eq(json_string_value(json_object_get(line, "k")), text);
	ck_assert_int_eq(json_integer_value(json_object_get(line, "n")), INT64_MIN);
	ck_assert_uint_eq(json_string_length(json_object_get(line, "time")), 27);
	ck_assert_str_eq(json_string_value(json_object_get(odd, "k")), "\xef\xbf\xbd");
	ck_assert_str_eq(json_string_value(json_object_get(odd, "r")), "nan");
	json_decref(line);
	json_decref(odd);
}
END_TEST

/* A line below the level is not written; one at the level is. */
START_TEST(level)
{
	capture(LOG_LOGFMT, LOG_WARN);
	log_info("quiet");
	log_debug("quieter");
	const bool silent = *next_line() == '\0';
	log_warn("loud");
	const bool heard = strstr(next_line(), "msg=loud") != NULL;
	release();
	ck_assert(silent && heard);
}
END_TEST

/*
 * Ten lines of one place pass in ten seconds; another place is not held back; the next window says
 * how many were.
 */
START_TEST(rate_limit)
{
	struct log_site busy = {0}, other = {0};
	struct log_field none[] = {{.kind = LOG_KIND_END}};
	int passed = 0;
	capture(LOG_LOGFMT, LOG_INFO);
	for (int i = 0; i < 25; i++)
		log_write(&busy, LOG_ERROR, "again", none);
	while (*next_line())
		passed++;
	log_write(&other, LOG_INFO, "other", none);
	const bool other_passed = *next_line() != '\0';
	busy.window_start_us -= INT64_C(10) * 1000 * 1000; /* ten seconds later */
	log_write(&busy, LOG_ERROR, "again", none);
	const bool counted = strstr(next_line(), " suppressed=15") != NULL;
	log_write(&busy, LOG_ERROR, "again", none);
	const bool counted_once = *next_line() && !strstr(packet, "suppressed");
	release();
	ck_assert_int_eq(passed, 10);
	ck_assert(other_passed);
	ck_assert(counted);
	ck_assert(counted_once);
}
END_TEST

static Suite *log_suite(void)
{
	Suite *s = suite_create("log");
	TCase *t = tcase_create("log");
	tcase_add_test(t, logfmt_line);
	tcase_add_test(t, logfmt_quotes);
	tcase_add_test(t, json_line);
	tcase_add_test(t, level);
	tcase_add_test(t, rate_limit);
	suite_add_tcase(s, t);
	return s;
}
UNIT_SUITE(log_suite)

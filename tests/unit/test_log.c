/* test_log.c - one valid line per event, whatever is in it, and not too many of them. */
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "base/log.h"
#include "base/stats.h"
#include "unit.h"

/*
 * While a test logs, stderr is a socket that keeps the bounds of each write: one packet, one
 * write(2).
 */
static int saved_stderr, packets;
static char packet[8192];

/* stderr becomes fd, which is closed. */
static void divert(int fd)
{
	saved_stderr = dup(STDERR_FILENO);
	dup2(fd, STDERR_FILENO);
	close(fd);
}

static void restore(void)
{
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	log_init(LOG_LOGFMT, LOG_INFO);
}

static void capture(enum log_format format, enum log_level level)
{
	int pair[2];
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
	divert(pair[1]);
	packets = pair[0];
	log_init(format, level);
}

static void release(void)
{
	restore();
	close(packets);
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

/* --- long fields --- */

/* n times the text; the caller frees. */
static char *times(const char *text, size_t n)
{
	struct buf all = {0};
	for (size_t i = 0; i < n; i++)
		buf_puts(&all, text);
	return (char *)(uintptr_t)buf_cstr(&all);
}

/*
 * A field that is too long is cut between two characters, with "..." behind it, in both formats;
 * the fields behind it are all there, and the line is one that others can read.
 */
START_TEST(long_field)
{
	static const char *const units[] = {"x",    "\xc3\xbc",         "\xff", "\"",
					    "\x01", "\xf0\x9f\x98\x80", "a b"};
	regex_t re;
	ck_assert_int_eq(
		regcomp(&re,
			" level=info msg=m k=(x+\\.\\.\\.|\"([^\"\\]|\\\\.)*\\.\\.\\.\") end=1$",
			REG_EXTENDED | REG_NOSUB),
		0);
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		char *text = times(units[i], 9000);
		capture(LOG_LOGFMT, LOG_INFO);
		write_one(LOG_INFO, "m", F(F_STR("k", text)), F(F_INT("end", 1)));
		const size_t len = strlen(next_line());
		const bool valid = regexec(&re, packet, 0, NULL, 0) == 0;
		log_init(LOG_JSON, LOG_INFO);
		write_one(LOG_INFO, "m", F(F_STR("k", text)), F(F_INT("end", 1)));
		json_t *line = json_loads(next_line(), 0, NULL);
		release();
		ck_assert_msg(valid && len < PIPE_BUF, "%zu: %.200s", i, packet);
		const char *k = json_string_value(json_object_get(line, "k"));
		ck_assert_msg(k && strlen(k) > 300 && strcmp(k + strlen(k) - 3, "...") == 0,
			      "%zu: %.200s", i, packet);
		ck_assert_int_eq(json_integer_value(json_object_get(line, "end")), 1);
		json_decref(line);
		free(text);
	}
	regfree(&re);
}
END_TEST

/* The longest text that a line has room for is not cut. */
START_TEST(long_field_that_fits)
{
	char *text = times("x", 1900);
	capture(LOG_JSON, LOG_INFO);
	write_one(LOG_INFO, "m", F(F_STR("k", text)), F(F_INT("end", 1)));
	json_t *line = json_loads(next_line(), 0, NULL);
	release();
	ck_assert_str_eq(json_string_value(json_object_get(line, "k")), text);
	json_decref(line);
	free(text);
}
END_TEST

/* However many long fields: one line of PIPE_BUF bytes at most, and JSON, with what was held. */
START_TEST(many_long_fields)
{
	char *text = times("\x01", 9000);
	struct log_field fields[41] = {[40] = {.kind = LOG_KIND_END}};
	struct log_site site = {.muted = UINT32_MAX};
	for (size_t i = 0; i < 40; i++)
		fields[i] = i % 2 ? F(F_STR("text", text)) : F(F_INT("number", INT64_MIN));
	capture(LOG_JSON, LOG_INFO);
	log_write(&site, LOG_INFO, "m", fields);
	const size_t len = strlen(next_line());
	json_t *line = json_loads(packet, 0, NULL);
	release();
	ck_assert_uint_lt(len, PIPE_BUF);
	ck_assert_msg(line != NULL, "%s", packet);
	ck_assert_int_eq(json_integer_value(json_object_get(line, "number")), INT64_MIN);
	ck_assert_int_eq(json_integer_value(json_object_get(line, "suppressed")), UINT32_MAX);
	json_decref(line);
	free(text);
}
END_TEST

/* --- a stderr that takes no more --- */

enum kind { PIPE, FIFO, SOCKET, TERMINAL, KINDS };

/* The other end of a stderr of that kind, which is small. */
static int divert_to(enum kind kind)
{
	int ends[2] = {-1, -1}, small = 1;
	char folder[] = "/tmp/memingest-log-XXXXXX", path[64];
	switch (kind) {
	case PIPE:
		ck_assert_int_eq(pipe(ends), 0);
		ck_assert_int_ge(fcntl(ends[1], F_SETPIPE_SZ, PIPE_BUF), 0);
		break;
	case FIFO:
		ck_assert_ptr_nonnull(mkdtemp(folder));
		snprintf(path, sizeof(path), "%s/fifo", folder);
		ck_assert_int_eq(mkfifo(path, 0600), 0);
		ends[0] = open(path, O_RDWR);
		ends[1] = open(path, O_WRONLY);
		unlink(path);
		rmdir(folder);
		break;
	case SOCKET:
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
		setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
		break;
	case TERMINAL:
		ck_assert_int_eq(openpty(&ends[0], &ends[1], NULL, NULL, NULL), 0);
		break;
	case KINDS:
		break;
	}
	divert(ends[1]);
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	return ends[0];
}

/* All that is there and comes soon, without what a terminal adds to the end of a line. */
static void read_all(int fd, struct buf *all)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	char part[4096];
	while (poll(&pfd, 1, 100) == 1) {
		ssize_t n = read(fd, part, sizeof(part));
		if (n <= 0)
			return;
		for (ssize_t i = 0; i < n; i++)
			if (part[i] != '\r')
				buf_u8(all, (uint8_t)part[i]);
	}
}

enum { FLOOD_LINES = 2000, FLOOD_THREADS = 4 };

/* Lines of many lengths. */
static void *flood(void *text)
{
	for (int i = 0; i < FLOOD_LINES; i++)
		write_one(LOG_WARN, "flood", F(F_STR("text", (char *)text + i * 7 % 900)),
			  F(F_INT("line", i)));
	return NULL;
}

static void flood_by_threads(void)
{
	pthread_t threads[FLOOD_THREADS];
	char *text = times("a \"text\" ", 100);
	for (size_t i = 0; i < FLOOD_THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, flood, text), 0);
	for (size_t i = 0; i < FLOOD_THREADS; i++)
		pthread_join(threads[i], NULL);
	free(text);
}

/* Lines that are whole, JSON, and of that message. */
static int count_lines(const struct buf *all, const char *msg, int64_t *lost)
{
	int count = 0;
	for (const char *at = (const char *)all->data, *end;
	     (end = memchr(at, '\n', all->len - (size_t)(at - (const char *)all->data)));
	     at = end + 1) {
		json_t *line = json_loadb(at, (size_t)(end - at), 0, NULL);
		ck_assert_msg(line != NULL, "%.*s", (int)(end - at), at);
		count += strcmp(json_string_value(json_object_get(line, "msg")), msg) == 0;
		*lost += json_integer_value(json_object_get(line, "lost"));
		json_decref(line);
	}
	ck_assert_int_eq(all->data[all->len - 1], '\n');
	return count;
}

/*
 * Reads all there is, then logs lines, two at least, until the last is there. Returns how many that
 * took.
 */
static int read_and_log(int other, struct buf *all)
{
	char text[32];
	int n = 0;
	read_all(other, all);
	do {
		write_one(LOG_WARN, "again", F(F_INT("n", ++n)), F(F_INT("end", 1)));
		snprintf(text, sizeof(text), "\"n\":%d,\"end\"", n);
		read_all(other, all);
	} while (n < 2 || !strstr(buf_cstr(all), text) || all->data[all->len - 1] != '\n');
	return n;
}

/*
 * stderr is full and nobody reads (a call that waits would wait for ever): every thread goes on,
 * and each line is either there, whole, or counted: in the metric, and in the first line that gets
 * through once somebody reads. That goes for each thing that stderr can be.
 */
START_TEST(nobody_reads)
{
	struct buf all = {0};
	int64_t told = 0;
	stats_init(NULL, 0, NULL, 0);
	int other = divert_to((enum kind)_i);
	log_init(LOG_JSON, LOG_INFO);
	flood_by_threads();
	const int64_t lost = stats_get(METRIC_LOG_LINES_LOST, 0, 0);
	const int more = read_and_log(other, &all);
	const int64_t all_lost = stats_get(METRIC_LOG_LINES_LOST, 0, 0);
	restore();
	close(other);
	const int passed = count_lines(&all, "flood", &told);
	ck_assert_int_gt(passed, 0);
	ck_assert_int_gt(lost, 0);
	ck_assert_int_eq(passed + lost, FLOOD_LINES * FLOOD_THREADS);
	ck_assert_int_eq(told, all_lost);
	ck_assert_int_eq(count_lines(&all, "again", &told) + all_lost - lost, more);
	buf_free(&all);
}
END_TEST

/* A reader that is there all the time misses nothing: no line is lost without need. */
static void *reader(void *arg)
{
	struct buf *all = arg;
	char part[4096];
	for (ssize_t n; (n = read(packets, part, sizeof(part))) > 0;)
		buf_put(all, part, (size_t)n);
	return NULL;
}

START_TEST(somebody_reads)
{
	int ends[2];
	pthread_t thread;
	struct buf all = {0};
	int64_t lost = 0;
	stats_init(NULL, 0, NULL, 0);
	ck_assert_int_eq(pipe(ends), 0);
	divert(ends[1]);
	packets = ends[0];
	log_init(LOG_JSON, LOG_INFO);
	ck_assert_int_eq(pthread_create(&thread, NULL, reader, &all), 0);
	for (int i = 0; i < 200; i++)
		write_one(LOG_WARN, "read", F(F_STR("k", "v")), F(F_INT("line", i)));
	restore();
	pthread_join(thread, NULL);
	close(ends[0]);
	ck_assert_int_eq(count_lines(&all, "read", &lost), 200);
	ck_assert_int_eq(lost + stats_get(METRIC_LOG_LINES_LOST, 0, 0), 0);
	buf_free(&all);
}
END_TEST

/* A terminal that Ctrl-S stopped is a full one until Ctrl-Q. */
START_TEST(terminal_stopped)
{
	struct buf all = {0};
	int64_t lost = 0;
	int other = divert_to(TERMINAL);
	log_init(LOG_JSON, LOG_INFO);
	ck_assert_int_eq(tcflow(STDERR_FILENO, TCOOFF), 0);
	for (int i = 0; i < 3; i++)
		write_one(LOG_WARN, "stopped", F(F_STR("k", "v")), F(F_INT("line", i)));
	ck_assert_int_eq(tcflow(STDERR_FILENO, TCOON), 0);
	const int more = read_and_log(other, &all);
	restore();
	close(other);
	const int again = count_lines(&all, "again", &lost);
	ck_assert_int_ge(lost, 3);
	ck_assert_int_eq(again + lost, 3 + more);
	buf_free(&all);
}
END_TEST

/* A regular file gets every line. */
START_TEST(regular_file)
{
	char path[] = "/tmp/memingest-log-XXXXXX";
	struct buf all = {0};
	int64_t lost = 0;
	int fd = mkstemp(path), other = open(path, O_RDONLY);
	unlink(path);
	divert(fd);
	log_init(LOG_JSON, LOG_INFO);
	flood_by_threads();
	restore();
	read_all(other, &all);
	close(other);
	ck_assert_int_eq(count_lines(&all, "flood", &lost), FLOOD_LINES * FLOOD_THREADS);
	ck_assert_int_eq(lost, 0);
	buf_free(&all);
}
END_TEST

/* What a lost line was to tell of its site's held lines, a later one tells. */
START_TEST(lost_with_suppressed)
{
	struct log_site site = {.muted = 15};
	struct log_field none[] = {{.kind = LOG_KIND_END}};
	struct buf all = {0};
	char filling[PIPE_BUF] = "";
	int other = divert_to(PIPE);
	ck_assert_int_eq(write(STDERR_FILENO, filling, sizeof(filling)), sizeof(filling));
	log_write(&site, LOG_WARN, "m", none);
	read_all(other, &all);
	log_write(&site, LOG_WARN, "m", none);
	all.len = 0;
	read_all(other, &all);
	restore();
	close(other);
	ck_assert_ptr_nonnull(strstr(buf_cstr(&all), " suppressed=15 lost=1\n"));
	buf_free(&all);
}
END_TEST

/* A stderr that is closed loses lines, and counts them. */
START_TEST(closed)
{
	stats_init(NULL, 0, NULL, 0);
	saved_stderr = dup(STDERR_FILENO);
	close(STDERR_FILENO);
	log_info("into nothing");
	const int64_t counted = stats_get(METRIC_LOG_LINES_LOST, 0, 0);
	restore();
	ck_assert_int_eq(counted, 1);
	capture(LOG_LOGFMT, LOG_INFO);
	log_info("into something");
	const bool told = strstr(next_line(), " lost=1") != NULL;
	release();
	ck_assert(told);
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
	tcase_add_test(t, long_field);
	tcase_add_test(t, long_field_that_fits);
	tcase_add_test(t, many_long_fields);
	tcase_add_loop_test(t, nobody_reads, 0, KINDS);
	tcase_add_test(t, somebody_reads);
	tcase_add_test(t, terminal_stopped);
	tcase_add_test(t, regular_file);
	tcase_add_test(t, lost_with_suppressed);
	tcase_add_test(t, closed);
	suite_add_tcase(s, t);
	return s;
}
UNIT_SUITE(log_suite)

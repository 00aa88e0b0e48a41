/*
 * test_panel.c - what "top" and "status" show of documents that a worker could send, and of what is
 * no worker; over real HTTP.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/fleet.h"
#include "cli/panel.h"
#include "io/http_client.h"
#include "io/httpd.h"
#include "unit.h"

/* What the stand-in for a worker answers next. */
static const char *document;
static unsigned status;

static unsigned serve(void *ctx, struct buf *body)
{
	(void)ctx;
	buf_puts(body, document);
	return status;
}

static const struct httpd_route routes[] = {{"/status", "application/json", false, serve}};
static struct httpd *worker;
static struct fleet fleet;
static struct buf out;
static char address[64];
static const char *token_file; /* that the worker has */
static struct config config;   /* of the command */

static void begin(void)
{
	struct err err;
	const struct httpd_options options = {
		.listen = "127.0.0.1:0", .routes = routes, .nroutes = 1, .token_file = token_file};
	worker = httpd_start(&options, &err);
	ck_assert_ptr_nonnull(worker);
	snprintf(address, sizeof(address), "127.0.0.1:%u", httpd_port(worker));
	status = 200;
}

static void end(void)
{
	httpd_stop(worker);
	fleet_close(&fleet);
	buf_free(&out);
}

static void open_fleet(const char *const *names, int n)
{
	struct cli cli = {.argc = n, .argv = (char **)names, .config = &config};
	int code = 0;
	ck_assert(fleet_open(&fleet, &cli, &code));
}

static void look(const char *answer)
{
	document = answer;
	fleet_look(&fleet, 5 * US_PER_S);
}

static const char *draw(int width, int height)
{
	struct panel_style style = {.title = "T", .width = width, .height = height};
	out.len = 0;
	panel_draw(&fleet, &style, &out);
	return buf_cstr(&out);
}

/* The drawing has a line with all these words in this order. */
static void has(const char *drawing, const char *const *words, size_t n)
{
	for (const char *line = drawing, *end; (end = strchr(line, '\n')); line = end + 1) {
		char text[1024];
		snprintf(text, sizeof(text), "%.*s", (int)(end - line), line);
		const char *at = text;
		size_t found = 0;
		while (found < n && (at = strstr(at, words[found])))
			at += strlen(words[found++]);
		if (found == n)
			return;
	}
	ck_abort_msg("no line with \"%s\" ... in\n%s", words[0], drawing);
}

#define HAS(drawing, ...)                                                                          \
	has(drawing, (const char *const[]){__VA_ARGS__},                                           \
	    ARRAY_LEN(((const char *const[]){__VA_ARGS__})))

#define DOCUMENT(time, started, consumed, merged, copy, next)                                      \
	"{\"state\":\"running\",\"ready\":true,\"time\":" time ",\"started\":" started             \
	",\"memory\":{\"batch_bytes\":50,\"limit_bytes\":200},\"busy_seconds\":{\"poll\":1,"       \
	"\"lane_copy\":" copy "},\"streams\":[{\"stream\":\"memory\",\"partitions\":3,\"lag_"      \
	"records\":1234567,\"lag_seconds\":75.5,"                                                  \
	"\"in_flight_records\":7,\"consumed\":" consumed ",\"merged\":" merged                     \
	",\"superseded\":5,\"dead_letters\":2,\"batches\":1}],"                                    \
	"\"lanes\":[{\"lane\":0,\"state\":\"writing\",\"connected\":true,\"phase\":\"merge\","     \
	"\"stream\":\"memory\","                                                                   \
	"\"events\":4321,\"seconds\":0.25,\"attempts\":0,\"jobs\":2,\"batches\":17,\"error\":"     \
	"null},"                                                                                   \
	"{\"lane\":1,\"state\":\"halted\",\"connected\":false,\"error\":\"permission denied\"}],"  \
	"\"partitions\":["                                                                         \
	"{\"topic\":\"t\",\"partition\":0,\"state\":\"active\",\"lane\":0,\"next_offset\":" next   \
	",\"high_watermark\":900,\"lag_records\":0,\"lag_seconds\":0},"                            \
	"{\"topic\":\"t\",\"partition\":1,\"state\":\"active\",\"lane\":1,\"next_offset\":5,"      \
	"\"high_watermark\":9,"                                                                    \
	"\"lag_records\":4,\"lag_seconds\":90},"                                                   \
	"{\"topic\":\"t\",\"partition\":2,\"state\":\"halted\",\"lane\":0,\"next_offset\":5,"      \
	"\"high_watermark\":5,"                                                                    \
	"\"lag_records\":0,\"lag_seconds\":0,\"error\":\"begins at \\u001b[31m7\"}],"              \
	"\"errors\":[{\"level\":\"warn\",\"time\":1750000000,\"times\":1,\"topic\":\"u\","         \
	"\"partition\":-1,\"offset\":-1,\"message\":\"old\"},"                                     \
	"{\"level\":\"error\",\"time\":1750000009,\"times\":3,\"topic\":\"t\",\"partition\":2,"    \
	"\"offset\":7,"                                                                            \
	"\"message\":\"partition halted\",\"error\":\"why\"}]}"

static const char first[] = DOCUMENT("1000.0", "10", "100", "90", "4", "500");
static const char second[] = DOCUMENT("1002.0", "10", "3100", "2090", "5", "700");
static const char restarted[] = DOCUMENT("1004.0", "1003", "50", "50", "0", "900");

static void open_one(void)
{
	open_fleet((const char *const[]){address}, 1);
}

/* One look: everything but rates. */
START_TEST(one_look)
{
	open_one();
	look(first);
	const char *text = draw(0, 0);
	HAS(text, "T ", "1 of 1 ready", "behind 1.2M records, 76s", "dead letters 2");
	HAS(text, address, "running", "16m30", "1/2", "3", "1.2M", "76s", "-", "-", "25%", "-");
	HAS(text, "memory", "3", "1.2M", "76s", "7", "-", "-");
	HAS(text, address, "0", "writing", "merge", "memory", "4321", "0.2s", "2", "17");
	HAS(text, address, "1", "halted", "permission denied");
	ck_assert_int_eq(fleet_exit_code(&fleet), EXIT_OK);
}
END_TEST

/*
 * Two looks: rates over the worker's own time, the share of two lanes' time; after a restart there
 * are none.
 */
START_TEST(rates)
{
	open_one();
	look(first);
	look(second);
	const char *text = draw(0, 0);
	HAS(text, "T ", "in 1500/s", "out 1000/s");
	HAS(text, address, "running", "1500", "1000", "25%", "0%", "-",
	    "25%"); /* poll 0, fold unknown, copy 1 s of 4 */
	HAS(text, "t ", "0", "active", "700", "900", "100");
	look(restarted);
	text = draw(0, 0);
	ck_assert_ptr_null(strstr(text, "/s  out"));
	HAS(text, "t ", "0", "active", "900", "900", "-");
}
END_TEST

/*
 * Halted first, then by age; what the rest is, is said; the newest error first; nothing of it
 * steers the terminal.
 */
START_TEST(order_and_room)
{
	open_one();
	look(second);
	const char *text = draw(0, 0);
	const char *halted = strstr(text, "halted     "), *late = strstr(text, "90s"),
		   *fine = strstr(text, "700");
	ck_assert(halted && late && fine && strstr(text, "begins at ?[31m7") > text);
	ck_assert(strstr(text, "begins at") < late && late < fine);
	ck_assert_ptr_null(strchr(text, '\033'));
	HAS(text, "error", "3x", "t [2] offset 7: partition halted: why");
	HAS(text, "warn", "1x", "u: old"); /* no partition in particular */
	ck_assert(strstr(text, "partition halted: why") < strstr(text, "old"));
	text = draw(0, 19);
	HAS(text, "... and 2 partitions that are less behind");
	ck_assert_ptr_null(strstr(text, "90s"));
}
END_TEST

#define SEARCHED(time, search)                                                                     \
	"{\"state\":\"running\",\"time\":" time ",\"started\":1,\"partitions\":[],\"lanes\":[],"   \
	"\"streams\":[{\"stream\":\"memory\",\"search\":" search "}]}"

/* By lag alone, if that is asked for: the halted one is not behind. */
START_TEST(by_lag)
{
	struct panel_style style = {.title = "T", .by_lag = true};
	open_one();
	look(second);
	out.len = 0;
	panel_draw(&fleet, &style, &out);
	const char *text = buf_cstr(&out);
	ck_assert(strstr(text, "90s") < strstr(text, "begins at"));
}
END_TEST

#define TROUBLED(topics)                                                                           \
	"{\"state\":\"running\",\"ready\":true,\"lanes\":[],\"streams\":[{\"stream\":\"memory\","  \
	"\"missing_topics\":" topics "},{\"stream\":\"pattern\",\"missing_topics\":null}],"        \
	"\"partitions\":[{\"topic\":\"t\",\"state\":\"halted\",\"error\":\"x\"},"                  \
	"{\"topic\":\"t\",\"state\":\"halted\",\"error\":\"x\"},"                                  \
	"{\"topic\":\"t\",\"state\":\"paused\",\"paused\":\"schema\",\"error\":\"no schema\"},"    \
	"{\"topic\":\"t\",\"state\":\"paused\",\"paused\":\"batches\",\"error\":null},"            \
	"{\"topic\":\"t\",\"state\":\"active\",\"error\":null}]}"

/* The first line counts what does not go on; a stream's missing topic counts once in a fleet. */
START_TEST(troubles)
{
	struct panel_troubles t;
	open_fleet((const char *const[]){address, address}, 2);
	look(TROUBLED("\"topic t does not exist\""));
	HAS(draw(0, 0), "T ",
	    "2 of 2 ready  4 halted, 2 waiting, 1 stream without a topic  behind");
	HAS(draw(0, 0), "  topic t does not exist");
	t = panel_count_troubles(&fleet);
	ck_assert(panel_is_troubled(&t));
	look(TROUBLED("null"));
	HAS(draw(0, 0), "T ", "4 halted, 2 waiting  behind");
	look(SEARCHED("2", "null"));
	HAS(draw(0, 0), "T ", "0 of 2 ready  behind");
	t = panel_count_troubles(&fleet);
	ck_assert(!panel_is_troubled(&t));
}
END_TEST

/* Searches have a line where there are any: state, share of stale rows, rows built a second. */
START_TEST(searches)
{
	open_one();
	look(second);
	ck_assert_ptr_null(strstr(draw(0, 0), "SEARCH  "));
	look(SEARCHED("2", "null"));
	ck_assert_ptr_null(strstr(draw(0, 0), "SEARCH  "));
	look(SEARCHED("3", "{\"state\":\"settled\",\"built_rows\":1000}"));
	look(SEARCHED("5",
		      "{\"state\":\"failing\",\"unindexed_rows\":4321,\"unindexed_seconds\":90,"
		      "\"segments\":7,\"sealed_rows\":1000,\"stale_rows\":250,"
		      "\"built_rows\":7000,\"failures\":3,\"error\":\"no \\u001b right\"}"));
	HAS(draw(0, 0), "SEARCH ", "UNINDEXED", "STATE");
	HAS(draw(0, 0), "memory ", "4321", "90s", "7", "1000", "25%", "3000", "3",
	    "failing: no ? right");
}
END_TEST

/* Lines end at the width, counted in characters, without half of one. */
START_TEST(width)
{
	open_one();
	look("{\"state\":\"\xc3\xa4\xc3\xb6\xc3\xbc\",\"partitions\":[],\"streams\":[],\"lanes\":[]"
	     "}");
	const char *text = draw(23, 0);
	for (const char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
		int characters = 0;
		for (const char *c = line; c < end; c++)
			characters += (*c & 0xc0) != 0x80;
		ck_assert_msg(characters <= 23, "%.*s", (int)(end - line), line);
	}
	snprintf(address + strlen(address), 16, "  \xc3\xa4");
	text = draw((int)strlen("127.0.0.1:12345") + 3, 0);
	ck_assert_ptr_null(strchr(text, '?'));
}
END_TEST

/*
 * Who does not answer, or is no worker, has a line that says so; the others are shown; the exit
 * code is the worst.
 */
START_TEST(away)
{
	open_fleet((const char *const[]){address, "127.0.0.1:1"}, 2);
	look(first);
	const char *text = draw(0, 0);
	HAS(text, "T ", "1 of 2 ready");
	HAS(text, "127.0.0.1:1 ", "no answer: ");
	HAS(text, address, "running");
	ck_assert_int_eq(fleet_exit_code(&fleet), EXIT_UNAVAILABLE);
	fleet_close(&fleet);
	open_one();
	look("<html>");
	HAS(draw(0, 0), address, "is no memingest worker");
	look("{}");
	HAS(draw(0, 0), address, "is no memingest worker");
	status = 404;
	look(first);
	HAS(draw(0, 0), address, "HTTP 404");
	status = 200;
	look("{\"ready\":false,\"unready\":\"lane 0 has no database session\",\"partitions\":[]}");
	HAS(draw(0, 0), "not ready: lane 0 has no database session");
	ck_assert_int_eq(fleet_exit_code(&fleet), EXIT_AGAIN);
}
END_TEST

/* Addresses as people write them all lead to /status. */
START_TEST(addresses)
{
	char url[4][96];
	snprintf(url[0], sizeof(url[0]), "http://%s", address);
	snprintf(url[1], sizeof(url[1]), "http://%s/", address);
	snprintf(url[2], sizeof(url[2]), "http://%s/status", address);
	snprintf(url[3], sizeof(url[3]), "http://me@%s", address);
	open_fleet((const char *const[]){url[0], url[1], url[2], url[3]}, 4);
	look(first);
	for (size_t i = 0; i < 4; i++) {
		ck_assert_msg(fleet.workers[i].now != NULL, "%s: %s", url[i],
			      fleet.workers[i].error);
		ck_assert_str_eq(fleet.workers[i].name, address);
	}
}
END_TEST

/* Where a worker answers that listens like this, as seen from its own machine. */
START_TEST(own_address)
{
	static const char *const cases[][2] = {
		{"127.0.0.1:9464", "127.0.0.1:9464"},
		{"0.0.0.0:9464", "127.0.0.1:9464"},
		{":9464", "127.0.0.1:9464"},
		{"*:80", "127.0.0.1:80"},
		{"[::]:80", "127.0.0.1:80"},
		{"[::1]:80", "[::1]:80"},
		{"pod.example:80", "pod.example:80"},
		{"off", NULL},
		{"127.0.0.1:0", NULL},
	};
	struct err err;
	char url[128];
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		bool ok = httpd_own_address(cases[i][0], url, sizeof(url), &err);
		ck_assert_msg(ok == (cases[i][1] != NULL), "%s", cases[i][0]);
		if (ok)
			ck_assert_str_eq(url, cases[i][1]);
		else
			ck_assert_int_eq(err.class, ERR_CONFIG);
	}
}
END_TEST

/*
 * Requests run side by side, a bound on size holds, and a connection that hangs costs its own time
 * limit, not more.
 */
START_TEST(client)
{
	struct http_client *c = http_client_new();
	char url[96], shown[96];
	snprintf(url, sizeof(url), "http://%s/status", address);
	document = "12345678";
	struct http_request r[3] = {
		{.url = url, .timeout_us = US_PER_S, .max_bytes = 8},
		{.url = url, .timeout_us = US_PER_S, .max_bytes = 7},
		{.url = "http://127.0.0.1:1/", .timeout_us = US_PER_S, .max_bytes = 7}};
	http_client_run(c, r, 3);
	ck_assert(r[0].answered && !r[0].too_large && r[0].status == 200 && r[0].body.len == 8);
	ck_assert(r[1].answered && r[1].too_large);
	ck_assert(!r[2].answered && r[2].err.class == ERR_RETRY && strstr(r[2].err.text, "onnect"));
	http_client_stop(c);
	http_client_run(c, r, 1);
	ck_assert(!r[0].answered);
	for (size_t i = 0; i < 3; i++)
		buf_free(&r[i].body);
	http_client_free(c);
	http_shown_url("https://me:secret@h/a@b", shown, sizeof(shown));
	ck_assert_str_eq(shown, "https://h/a@b");
	open_one();
}
END_TEST

/* The token of the config's file goes with the request; without it the answer says what to do. */
START_TEST(with_token)
{
	char path[] = "/tmp/memingest-token-XXXXXX";
	int fd = mkstemp(path);
	ck_assert_int_eq(write(fd, "open sesame\n", 12), 12);
	close(fd);
	httpd_stop(worker);
	token_file = path;
	begin();
	open_one();
	look(first);
	HAS(draw(0, 0), address, "wants a token", "http.token_file");
	fleet_close(&fleet);
	config.http_token_file = path;
	open_one();
	look(first);
	ck_assert_msg(fleet.workers[0].now != NULL, "%s", fleet.workers[0].error);
	unlink(path);
}
END_TEST

/* A password among the arguments is refused, and not repeated. */
START_TEST(password_in_address)
{
	char url[96];
	int code = 0;
	snprintf(url, sizeof(url), "http://me:secret@%s", address);
	struct cli cli = {.argc = 1, .argv = (char *[]){url}, .config = &config};
	ck_assert(!fleet_open(&fleet, &cli, &code));
	ck_assert_int_eq(code, EXIT_USAGE);
}
END_TEST

static Suite *panel_suite(void)
{
	const TTest *const tests[] = {
		one_look, rates,     order_and_room, by_lag, troubles,   searches,           width,
		away,     addresses, own_address,    client, with_token, password_in_address};
	Suite *s = suite_create("panel");
	TCase *t = tcase_create("panel");
	tcase_set_timeout(t, 30);
	tcase_add_checked_fixture(t, begin, end);
	for (size_t i = 0; i < ARRAY_LEN(tests); i++)
		tcase_add_test(t, tests[i]);
	suite_add_tcase(s, t);
	return s;
}
UNIT_SUITE(panel_suite)

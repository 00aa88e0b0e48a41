/*
 * test_telemetry.c - what the people who watch a worker see of it: every metric, /status by its
 * commands, the service manager.
 */
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "bed.h"
#include "broker.h"
#include "ledger.h"
#include "model.h"
#include "system.h"

/* --- every metric --- */

/*
 * What this test brings about no occasion for; all else must have been other than 0 at some time.
 */
static const char *const may_be_zero[] = {
	"memingest_commit_ambiguous_total",         /* test_commit.c */
	"memingest_halted_partitions",              /* test_halt.c */
	"memingest_kafka_client_renewals_total",    /* test_cutoff.c */
	"memingest_log_lines_lost_total",           /* log_unread */
	"memingest_records_skipped_total",          /* test_types.c */
	"memingest_search_unindexed_rows",          /* test_search_use.c */
	"memingest_search_unindexed_age_seconds",   /* test_search_use.c */
	"memingest_search_segments",                /* test_search_use.c */
	"memingest_search_sealed_rows",             /* test_search_use.c */
	"memingest_search_stale_rows",              /* test_search_use.c */
	"memingest_search_built_rows_total",        /* test_search_use.c */
	"memingest_search_build_duration_seconds",  /* test_search_use.c */
	"memingest_search_failures_total",          /* test_search_use.c */
	"memingest_embed_texts_total",              /* test_embed.c */
	"memingest_embed_cached_texts_total",       /* test_embed.c */
	"memingest_embed_refused_texts_total",      /* test_embed.c */
	"memingest_embed_tokens_total",             /* test_embed.c */
	"memingest_embed_spent_twice_tokens_total", /* test_embed.c */
	"memingest_embed_requests_total",           /* test_embed.c */
	"memingest_embed_request_duration_seconds", /* test_embed.c */
	"memingest_embed_batch_duration_seconds",   /* test_embed.c */
	"memingest_embed_waiting_events",           /* test_embed.c */
	"memingest_offset_regressions_total",
	"memingest_rdkafka_broker_request_timeouts_total",
	"memingest_rdkafka_broker_errors_total",
	"memingest_rdkafka_reply_queue_ops",
	"memingest_rdkafka_fetch_queue_records",
	"memingest_rdkafka_fetch_queue_bytes",
	"memingest_rdkafka_broker_disconnects_total",
};

static struct metric_seen {
	char name[80];
	bool histogram, announced;
	double most;
} seen[200];
static size_t nseen;

/* The metrics that the documentation names: "| `name` | type | ...". */
static void read_documentation(struct bed *bed)
{
	struct buf docs = {0};
	ck_assert_int_eq(bed_command(bed, "config", (const char *const[]){"metrics", NULL}, &docs),
			 0);
	for (const char *line = buf_cstr(&docs); (line = strstr(line, "\n| `")); line++) {
		struct metric_seen *m = &seen[nseen];
		char type[16];
		if (sscanf(line, "\n| `%79[a-z0-9_]` | %15[a-z] |", m->name, type) != 2)
			continue;
		if (strncmp(m->name, "memingest_gateway_", 18) == 0)
			continue; /* of another process: test_gateway.c */
		m->histogram = strcmp(type, "histogram") == 0;
		nseen += strcmp(type, "counter") == 0 || strcmp(type, "gauge") == 0 || m->histogram;
		ck_assert_uint_lt(nseen, ARRAY_LEN(seen));
	}
	buf_free(&docs);
	ck_assert_uint_gt(nseen, 60);
}

static double value_in(const char *text, const char *name)
{
	double sum = 0;
	size_t len = strlen(name);
	for (const char *line = text; *line; line += strcspn(line, "\n") + 1) {
		if (strncmp(line, name, len) == 0 && (line[len] == '{' || line[len] == ' ')) {
			const char *value = line + strcspn(line, "\n");
			while (value[-1] != ' ')
				value--;
			sum += strtod(value, NULL);
		}
	}
	return sum;
}

/* One scrape: each metric's sum over its series, the most that was ever seen. */
static void scrape(struct worker *w)
{
	struct buf body = {0};
	ck_assert_uint_eq(worker_http(w, "/metrics", &body), 200);
	const char *text = buf_cstr(&body);
	for (size_t i = 0; i < nseen; i++) {
		struct metric_seen *m = &seen[i];
		char *type = xasprintf("# TYPE %s ", m->name);
		char *sample = xasprintf("%s%s", m->name, m->histogram ? "_count" : "");
		m->announced = m->announced || strstr(text, type);
		m->most = MAX(m->most, value_in(text, sample));
		free(type);
		free(sample);
	}
	buf_free(&body);
}

static bool excused(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(may_be_zero); i++)
		if (strcmp(may_be_zero[i], name) == 0)
			return true;
	return false;
}

static void all_were_seen(void)
{
	struct buf missing = {0};
	size_t excuses = 0;
	for (size_t i = 0; i < nseen; i++) {
		excuses += excused(seen[i].name);
		if (!seen[i].announced)
			buf_printf(&missing, "  %s never appeared\n", seen[i].name);
		else if (seen[i].most == 0 && !excused(seen[i].name))
			buf_printf(&missing, "  %s was always 0\n", seen[i].name);
	}
	ck_assert_msg(missing.len == 0, "of %zu metrics:\n%s", nseen, buf_cstr(&missing));
	ck_assert_msg(excuses == ARRAY_LEN(may_be_zero),
		      "an excuse for a metric that there is not");
}

static double metric(struct worker *w, const char *name, const char *label)
{
	char full[96];
	snprintf(full, sizeof(full), "memingest_%s", name);
	scrape(w);
	return worker_metric(w, full, label);
}

static void new_keys(struct bed *bed, int n)
{
	static int64_t number;
	for (int i = 0; i < n; i++) {
		char account[32];
		snprintf(account, sizeof(account), "new-%lld", (long long)++number);
		ledger_send(bed, (int)(number % 2), account, INT64_C(1750000000000000) + number, 1);
	}
	bed_flush(bed);
}

/* Updates, late events, deletes, tombstones and poison. */
static void mixed_traffic(struct bed *bed)
{
	struct pace *pace = pace_open(bed, "ledger", 2000);
	pace_for(pace, 1);
	pace_close(pace);
	bed_drain(bed, 30);
}

/* PostgreSQL answers nothing for a while: batches wait, then intake does. */
static void database_stands_still(struct bed *bed, struct worker *w)
{
	bed_sql(bed, "BEGIN; LOCK TABLE ledger");
	new_keys(bed, 2000);
	BED_WAIT(bed, 20, metric(w, "backpressure_seconds_total", NULL) > 0);
	BED_WAIT(bed, 20, metric(w, "batches_in_flight", NULL) > 0);
	BED_WAIT(bed, 20, metric(w, "lanes", "writing") > 0);
	BED_WAIT(bed, 20, metric(w, "stream_lag_seconds", NULL) > 0);
	bed_sql(bed, "COMMIT");
	bed_drain(bed, 30);
}

/* The dead letters' table is gone: the batch is tried again until it is back. */
static void dead_letters_fail(struct bed *bed, struct worker *w)
{
	bed_sql(bed, "ALTER TABLE memingest.dead_letters RENAME TO away");
	bed_raw(bed, "ledger", 0, (struct slice){(const uint8_t *)"x", 1},
		(struct slice){(const uint8_t *)"x", 1});
	bed_flush(bed);
	BED_WAIT(bed, 20, metric(w, "dead_letter_failures_total", NULL) > 0);
	BED_WAIT(bed, 20, metric(w, "lanes", "halted") > 0);
	ck_assert_double_gt(metric(w, "postgres_retries_total", "\"42\""), 0);
	bed_sql(bed, "ALTER TABLE memingest.away RENAME TO dead_letters");
	bed_drain(bed, 30);
}

static void sessions_end(struct bed *bed, struct worker *w)
{
	bed_sql(bed,
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '%s' AND "
		"application_name "
		"LIKE 'memingest/lane%%'",
		bed->name);
	BED_WAIT(bed, 20, metric(w, "postgres_reconnects_total", NULL) > 0);
	new_keys(bed, 10);
	bed_drain(bed, 30);
}

/* The registry is away when a new schema comes up. */
static void registry_away(struct bed *bed, struct worker *w)
{
	json_t *schema = json_deep_copy(bed->streams[0].schema);
	json_array_append_new(
		json_object_get(schema, "fields"),
		json_pack("{s:s, s:s, s:s}", "name", "fresh", "type", "string", "default", ""));
	bed_writer_schema(bed, "ledger", schema);
	json_decref(schema);
	stack_do("registry", "stop", NULL);
	new_keys(bed, 10);
	BED_WAIT(bed, 20, metric(w, "schema_waiting_partitions", NULL) == 2);
	BED_WAIT(bed, 20, metric(w, "schema_requests_total", "error") > 0);
	stack_do("registry", "start", NULL);
	bed_drain(bed, 60);
	BED_WAIT(bed, 20, metric(w, "schema_waiting_partitions", NULL) == 0);
}

/* A second worker takes one of the two partitions, and an operator rewinds. */
static void others_interfere(struct bed *bed, struct worker *w)
{
	struct worker *second = worker_start(bed, NULL);
	BED_WAIT(bed, 40, metric(w, "assigned_partitions", NULL) == 1);
	BED_WAIT(bed, 20, metric(w, "topic_partitions", NULL) == 2);
	worker_stop(second);
	BED_WAIT(bed, 60, metric(w, "assigned_partitions", NULL) == 2);
	ck_assert_int_eq(bed_command(bed, "offsets",
				     (const char *const[]){"rewind", bed->streams[0].topic, "all",
							   "--to", "earliest", "--yes", NULL},
				     NULL),
			 0);
	BED_WAIT(bed, 40, metric(w, "fenced_total", NULL) > 0);
	bed_drain(bed, 60);
}

/*
 * Proves: every metric of the documentation is exposed, and moves when what it measures happens:
 * traffic of every kind, a database that stands still, loses sessions or a table, a registry that
 * is away, a rebalance, a rewind. A metric that nothing updates fails here.
 */
START_TEST(every_metric)
{
	struct bed *bed = ledger_bed("metrics", 2);
	read_documentation(bed);
	bed_set(bed, "kafka.statistics.interval.ms", "1000");
	bed_set(bed, "dlq.max_ratio", "1");
	struct worker *w = worker_start(bed, NULL);
	worker_ready(w);
	new_keys(bed, 500);
	bed_drain(bed, 30);
	mixed_traffic(bed);
	BED_WAIT(bed, 20, metric(w, "rdkafka_broker_rtt_seconds", NULL) > 0);
	database_stands_still(bed, w);
	dead_letters_fail(bed, w);
	sessions_end(bed, w);
	registry_away(bed, w);
	others_interfere(bed, w);
	scrape(w);
	ck_assert_double_gt(worker_metric(w, "memingest_rows_written_total", "insert"), 0);
	ck_assert_double_gt(worker_metric(w, "memingest_rows_written_total", "upsert"), 0);
	ck_assert_double_gt(worker_metric(w, "memingest_rows_written_total", "delete"), 0);
	ck_assert_double_eq(worker_metric(w, "memingest_records_decoded_total", NULL) +
				    worker_metric(w, "memingest_dead_letters_total", NULL),
			    worker_metric(w, "memingest_records_consumed_total", NULL));
	all_were_seen();
	worker_stop(w);
	bed_free(bed);
}
END_TEST

/* --- status and top --- */

static char *ask(struct bed *bed, const char *command, const char *const *args, int status)
{
	struct buf out = {0};
	int got = bed_command(bed, command, args, &out);
	ck_assert_msg(got == status, "%s: exit %d instead of %d: %s", command, got, status,
		      buf_cstr(&out));
	char *text = xstrdup(buf_cstr(&out));
	buf_free(&out);
	return text;
}

/*
 * Proves: "status" tells what a worker does, by its exit code too: 0 ready, 75 without its
 * database, 69 gone; --json is the worker's own document; a failure is in the list of errors with
 * its place; "top --once" has rates.
 */
START_TEST(status_and_top)
{
	struct bed *bed = ledger_bed("status", 2);
	struct worker *w = worker_start(bed, NULL);
	worker_ready(w);
	char address[32];
	snprintf(address, sizeof(address), "127.0.0.1:%u", w->http_port);
	const char *const plain[] = {address, NULL}, *const json[] = {address, "--json", NULL},
			  *const once[] = {address, "--once", "--interval", "0.3", NULL};
	bed_raw(bed, "ledger", 1, (struct slice){(const uint8_t *)"x", 1},
		(struct slice){(const uint8_t *)"x", 1});
	new_keys(bed, 20);
	bed_drain(bed, 30);
	char *text = ask(bed, "status", json, 0);
	json_t *document = json_loads(text, 0, NULL);
	ck_assert_msg(document != NULL, "%s", text);
	json_t *error = json_array_get(json_object_get(document, "errors"), 0);
	ck_assert_str_eq(json_string_value(json_object_get(error, "topic")), bed->streams[0].topic);
	ck_assert_int_eq(json_integer_value(json_object_get(error, "partition")), 1);
	json_decref(document);
	free(text);
	BED_WAIT(bed, 10, worker_metric(w, "memingest_consumer_lag_records", NULL) == 0);
	text = ask(bed, "status", plain, 0);
	ck_assert_msg(strstr(text, "1 of 1 ready") && strstr(text, bed->streams[0].topic) &&
			      strstr(text, "event becomes a dead letter"),
		      "%s", text);
	free(text);
	text = ask(bed, "top", once, 0);
	ck_assert_msg(strstr(text, "in 0/s"), "%s", text);
	free(text);
	bed_sql(bed, "ALTER DATABASE %s CONNECTION LIMIT 0", bed->name);
	bed_sql(bed,
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '%s' AND "
		"application_name "
		"LIKE 'memingest/lane%%'",
		bed->name);
	BED_WAIT(bed, 20, worker_http(w, "/readyz", NULL) == 503);
	text = ask(bed, "status", plain, 75);
	ck_assert_msg(strstr(text, "has no database session"), "%s", text);
	free(text);
	bed_sql(bed, "ALTER DATABASE %s CONNECTION LIMIT -1", bed->name);
	BED_WAIT(bed, 30, worker_http(w, "/readyz", NULL) == 200);
	worker_stop(w);
	free(ask(bed, "status", plain, 69));
	bed_free(bed);
}
END_TEST

/* --- a terminal --- */

/*
 * "memingest top", of a config with that http.listen, with a terminal of 24 lines of 100
 * characters. Keeps both ends; returns the pid.
 */
static int top_on_terminal(const char *config, const char *listen, int *master, int *terminal,
			   struct termios *before)
{
	struct winsize size = {.ws_row = 24, .ws_col = 100};
	*master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	ck_assert(*master >= 0 && grantpt(*master) == 0 && unlockpt(*master) == 0);
	const char *name = ptsname(*master);
	*terminal = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	ck_assert_int_eq(ioctl(*terminal, TIOCSWINSZ, &size), 0);
	tcgetattr(*terminal, before);
	int pid = fork();
	if (pid != 0)
		return pid;
	setsid();
	int fd = open(name, O_RDWR); /* now the controlling terminal */
	for (int i = 0; i < 3; i++)
		dup2(fd, i);
	execl(stack.program, "memingest", "top", "-c", config, "--set", listen, "--interval", "0.2",
	      (char *)NULL);
	_exit(127);
}

static bool drew(int master, struct buf *all, const char *text)
{
	char part[4096];
	for (ssize_t n; (n = read(master, part, sizeof(part))) > 0;)
		buf_put(all, part, (size_t)n);
	return strstr(buf_cstr(all), text) != NULL;
}

static bool ended(int pid, int *status)
{
	return waitpid(pid, status, WNOHANG) == pid;
}

static bool same_settings(const struct termios *a, const struct termios *b)
{
	return a->c_iflag == b->c_iflag && a->c_oflag == b->c_oflag && a->c_cflag == b->c_cflag &&
	       a->c_lflag == b->c_lflag;
}

/*
 * Proves: "top" draws frame after frame that fits the terminal, tells its keys, leaves by q, by
 * Ctrl-C and by SIGTERM with exit code 0, and leaves the terminal as it was: settings, cursor,
 * screen.
 */
START_TEST(top_and_terminal)
{
	struct bed *bed = ledger_bed("terminal", 2);
	struct worker *w = worker_start(bed, NULL);
	worker_ready(w);
	char address[48];
	snprintf(address, sizeof(address), "http.listen=127.0.0.1:%u", w->http_port);
	static const char *const keys[] = {"q", "\003", NULL};
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		struct termios before, during, after;
		struct buf all = {0};
		int master, terminal, status = -1, pid;
		pid = top_on_terminal(bed->config, address, &master, &terminal, &before);
		BED_WAIT(bed, 20, drew(master, &all, "in 0/s"));
		tcgetattr(terminal, &during);
		ck_assert(!(during.c_lflag & (ICANON | ECHO)));
		ck_assert_int_eq(write(master, "l\033[B?", 5), 5);
		BED_WAIT(bed, 10, drew(master, &all, "scroll by a line"));
		if (keys[i])
			ck_assert_int_eq(write(master, keys[i], 1), 1);
		else
			ck_assert_int_eq(kill(pid, SIGTERM), 0);
		BED_WAIT(bed, 10, ended(pid, &status));
		ck_assert_int_eq(status, 0);
		ck_assert(drew(master, &all, "\033[?25h\033[?1049l"));
		tcgetattr(terminal, &after);
		ck_assert(same_settings(&before, &after));
		for (const char *frame = buf_cstr(&all); (frame = strstr(frame, "\033[H"));
		     frame++) {
			const char *end = strstr(frame, "\033[J");
			int lines = 1;
			for (const char *c = frame; end && c < end; c++)
				lines += *c == '\n';
			ck_assert_msg(lines <= 24, "%d lines", lines);
		}
		buf_free(&all);
		close(master);
		close(terminal);
	}
	worker_stop(w);
	bed_free(bed);
}
END_TEST

/* --- the service manager --- */

static int manager_socket(char *path, size_t size)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	snprintf(path, size, "/tmp/memingest-manager.%ld", (long)getpid());
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	unlink(path);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* Everything that was sent so far is appended. */
static bool heard(int fd, struct buf *all, const char *text)
{
	char message[1024];
	for (ssize_t n; (n = recv(fd, message, sizeof(message), 0)) > 0;) {
		buf_put(all, message, (size_t)n);
		buf_u8(all, '\n');
	}
	return strstr(buf_cstr(all), text) != NULL;
}

/*
 * Proves: a service manager (Type=notify) hears that the worker is ready, what it does, that its
 * threads go round, and that it stops; with the database away it is told so, and still that the
 * worker is alive.
 */
START_TEST(service_manager)
{
	struct bed *bed = ledger_bed("manager", 1);
	char path[64];
	struct buf all = {0};
	int fd = manager_socket(path, sizeof(path));
	setenv("NOTIFY_SOCKET", path, 1);
	setenv("WATCHDOG_USEC", "120000000", 1);
	struct worker *w = worker_start(bed, NULL);
	BED_WAIT(bed, 20, heard(fd, &all, "READY=1\n"));
	BED_WAIT(bed, 20, heard(fd, &all, "STATUS=running, 1 partitions, 0 records behind"));
	BED_WAIT(bed, 20, heard(fd, &all, "\nWATCHDOG=1\n"));
	ck_assert(!heard(fd, &all, "STOPPING=1"));
	bed_sql(bed, "ALTER DATABASE %s CONNECTION LIMIT 0", bed->name);
	bed_sql(bed,
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '%s' AND "
		"application_name "
		"LIKE 'memingest/lane%%'",
		bed->name);
	BED_WAIT(bed, 20, heard(fd, &all, "lanes without PostgreSQL\nWATCHDOG=1\n"));
	bed_sql(bed, "ALTER DATABASE %s CONNECTION LIMIT -1", bed->name);
	worker_stop(w);
	ck_assert_msg(heard(fd, &all, "STOPPING=1\nSTATUS=draining"), "%s", buf_cstr(&all));
	close(fd);
	unlink(path);
	buf_free(&all);
	bed_free(bed);
}
END_TEST

/* --- the log --- */

static void bad_and_good(struct bed *bed)
{
	static const uint8_t x[] = "x";
	for (int i = 0; i < 100; i++)
		bed_raw(bed, "ledger", i % 2, (struct slice){x, 1}, (struct slice){x, 1});
	new_keys(bed, 100);
	bed_drain(bed, 30);
}

/* To the last byte, by a description of the pipe that the worker does not share. */
static void fill(int fd)
{
	ck_assert_int_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	while (write(fd, "time=before\n", 12) > 0)
		;
	while (write(fd, "\n", 1) > 0)
		;
}

/* Every line that is in the pipe, each whole. */
static void read_lines(int fd, struct buf *all)
{
	char part[4096];
	ck_assert_int_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	for (ssize_t n; (n = read(fd, part, sizeof(part))) > 0;)
		buf_put(all, part, (size_t)n);
	for (const char *line = buf_cstr(all); *line; line += strcspn(line, "\n") + 1)
		ck_assert_msg(*line == '\n' || strncmp(line, "time=", 5) == 0, "%s", line);
	ck_assert(all->len > 0 && all->data[all->len - 1] == '\n');
}

static double lines_lost(struct worker *w)
{
	return worker_metric(w, "memingest_log_lines_lost_total", NULL);
}

/*
 * Proves: a worker whose stderr is a full pipe that nobody reads starts, consumes, answers and ends
 * by SIGTERM all the same, counts the lines that it lost, and tells the count to a reader who comes
 * late.
 */
START_TEST(log_unread)
{
	struct bed *bed = ledger_bed("unread", 2);
	char path[32];
	int ends[2];
	struct buf all = {0};
	bed_set(bed, "dlq.max_ratio", "1");
	ck_assert_int_eq(pipe(ends), 0);
	snprintf(path, sizeof(path), "/dev/fd/%d", ends[1]);
	struct worker *w = worker_start_to(bed, NULL, path);
	worker_ready(w);
	ck_assert_double_eq(lines_lost(w), 0);
	fill(ends[1]);
	bad_and_good(bed);
	ck_assert_double_ge(lines_lost(w), 10);
	ck_assert_uint_eq(worker_http(w, "/livez", NULL), 200);
	ck_assert_uint_eq(worker_http(w, "/readyz", NULL), 200);
	worker_stop(w);
	w = worker_start_to(bed, NULL, path);
	worker_ready(w);
	bad_and_good(bed);
	ck_assert_double_ge(lines_lost(w), 10);
	read_lines(ends[0], &all);
	ck_assert(strstr(buf_cstr(&all), " msg=running ") && !strstr(buf_cstr(&all), " lost="));
	all.len = 0;
	worker_stop(w);
	read_lines(ends[0], &all);
	ck_assert_msg(strstr(buf_cstr(&all), " lost=") != NULL, "%s", buf_cstr(&all));
	close(ends[0]);
	close(ends[1]);
	buf_free(&all);
	bed_free(bed);
}
END_TEST

static void telemetry_tests(TCase *tc)
{
	tcase_add_test(tc, every_metric);
	tcase_add_test(tc, status_and_top);
	tcase_add_test(tc, top_and_terminal);
	tcase_add_test(tc, service_manager);
	tcase_add_test(tc, log_unread);
}
SYSTEM_SUITE("telemetry", 120, telemetry_tests)

/*
 * test_connect.c - connecting to PostgreSQL: hosts that say nothing in front of the one that
 * answers, and DSNs that can not be understood, whose password must be seen nowhere.
 *
 * Which host is asked when, and what is said when none answers, is in tests/unit/test_pg_connect.c;
 * here it is the worker as a whole.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bed.h"
#include "event.h"
#include "ledger.h"
#include "model.h"
#include "system.h"

/* Listens and never accepts. full: nor has it room left, so that a SYN gets no answer. */
static unsigned silent_port(bool full)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(addr);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&addr, len), 0);
	ck_assert_int_eq(listen(listener, full ? 0 : 64), 0);
	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&addr, &len), 0);
	for (int i = 0; full && i < 2; i++) {
		int filler = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		(void)connect(filler, (struct sockaddr *)&addr, sizeof(addr));
	}
	return ntohs(addr.sin_port);
}

static void send_some(struct bed *bed, int from)
{
	for (int i = from; i < from + 50; i++)
		ledger_send(bed, 0, i % 2 ? "odd" : "even", INT64_C(1750000000000000) + i, i);
}

/*
 * Proves: a worker whose first hosts say nothing (one takes the connection and is silent, one does
 * not answer the SYN) has a session with the third after a connect_timeout for each, writes, and
 * finds the way again when it loses the session.
 */
START_TEST(silent_hosts_first)
{
	struct bed *bed = ledger_bed("silent", 2);
	char dsn[256];
	bed_set(bed, "postgres.connect_timeout", "1s");
	bed_set(bed, "postgres.lanes", "1");
	snprintf(dsn, sizeof(dsn),
		 "postgres.dsn=postgresql://memingest@127.0.0.1:%u,127.0.0.1:%u,127.0.0.1:%u/%s",
		 silent_port(false), silent_port(true), stack.pg_port, bed->name);
	const char *const args[] = {"--set", dsn, NULL};
	send_some(bed, 0);
	int64_t start = clock_mono_us();
	struct worker *w = worker_start(bed, args);
	worker_ready(w);
	ck_assert_int_ge(clock_mono_us() - start, 2 * US_PER_S);
	bed_drain(bed, 30);
	bed_int(bed,
		"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = "
		"'%s' AND application_name LIKE 'memingest/lane%%'",
		bed->name);
	send_some(bed, 50);
	bed_drain(bed, 30);
	worker_stop(w);
	model_check(bed);
	bed_free(bed);
}
END_TEST

static bool not_ready(struct worker *w, const char *why)
{
	struct buf text = {0};
	bool is = worker_http(w, "/readyz", &text) == 503 && strstr(buf_cstr(&text), why);
	buf_free(&text);
	return is;
}

/*
 * Proves: a database that refuses the worker's login, at the start (0) or in the middle of the work
 * (1), gets one line of the log for all sessions and partitions, is asked now and then, and once it
 * lets the worker in, that is said and all goes on. Readiness names the reason meanwhile.
 */
START_TEST(login_refused)
{
	struct bed *bed = ledger_bed("refused", 4);
	bed_set(bed, "postgres.lanes", "4");
	bed_sql(bed, "CREATE ROLE %s LOGIN IN ROLE memingest", bed->name);
	snprintf(bed->role, sizeof(bed->role), "%s", bed->name);
	if (_i == 0)
		bed_sql(bed, "ALTER ROLE %s NOLOGIN", bed->name);
	send_some(bed, 0);
	struct worker *w = worker_start(bed, NULL);
	if (_i == 1) {
		bed_drain(bed, 30);
		bed_sql(bed,
			"ALTER ROLE %s NOLOGIN; SELECT count(pg_terminate_backend(pid)) FROM"
			" pg_stat_activity WHERE usename = '%s'",
			bed->name, bed->name);
		send_some(bed, 50);
	}
	worker_wait_log(w, "PostgreSQL refuses the login", 20);
	BED_WAIT(bed, 10, not_ready(w, "is not permitted to log in"));
	sleep(3);
	bed_sql(bed, "ALTER ROLE %s LOGIN", bed->name);
	worker_wait_log(w, "PostgreSQL accepts the login again", 30);
	bed_drain(bed, 30);
	ck_assert_int_eq(worker_log_count(w, "refuses the login"), 1);
	ck_assert_int_eq(worker_log_count(w, "not permitted to log in"), 1);
	ck_assert_int_eq(worker_log_count(w, "offset=-1"), 0);
	worker_stop(w);
	model_check(bed);
	bed_sql(bed, "DROP ROLE %s", bed->name);
	bed_free(bed);
}
END_TEST

/*
 * Proves: what keeps all partitions from being claimed has one line, which says what to run, and
 * no line for each of them; once it was run the worker goes on by itself.
 */
START_TEST(before_migrate)
{
	struct bed *bed = bed_new("early");
	bed_stream(bed, "memory", 8);
	bed_sql(bed, "GRANT CONNECT ON DATABASE %s TO memingest", bed->name);
	struct worker *w = worker_start(bed, NULL);
	worker_wait_log(w, "partitions are not claimed", 20);
	BED_WAIT(bed, 20, worker_metric(w, "memingest_halted_partitions", NULL) == 8);
	ck_assert_int_eq(worker_log_count(w, "partitions are not claimed"), 1);
	ck_assert_int_eq(worker_log_count(w, "partition halted"), 0);
	ck_assert_int_eq(worker_log_count(w, "offset=-1"), 0);
	worker_wait_log(w, "run \\\"memingest migrate\\\"", 5);
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	BED_WAIT(bed, 40, worker_metric(w, "memingest_halted_partitions", NULL) == 0);
	worker_stop(w);
	bed_free(bed);
}
END_TEST

static void write_file(const char *path, const char *text)
{
	FILE *out = fopen(path, "w");
	ck_assert_ptr_nonnull(out);
	fputs(text, out);
	ck_assert_int_eq(fclose(out), 0);
}

static void must_not_show(const struct buf *out, const char *dsn)
{
	static const char *const parts[] = {"S3", "cret", "Pw"};
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		ck_assert_msg(!memmem(out->data, out->len, parts[i], strlen(parts[i])),
			      "%s shows in: %s", dsn, buf_cstr((struct buf *)out));
}

/*
 * Proves: a DSN that does not parse, or that can be read in two ways, ends run, check and migrate
 * with 78 and the name of the setting, and no part of its password stands in any output.
 */
START_TEST(malformed)
{
	static const char *const dsns[] = {
		"postgresql://user:S3cret%ZZPw@h/db",
		"postgresql://user:S3cret/Pw@h/db",
		"postgresql://user:1234/Pw@h/db",
		"postgresql://user:S3cret@Pw@h/db",
		"postgresql://u:S3cret@[::1/db",
		"postgresql://user:S3cret/Pw@[::1/db",
		"postgresql://user:S3cret%ZZPw@[::1/db",
		"postgre://u:S3cret@h/db",
		"host=x password='S3cret",
		"host=x password=Pw S3cret",
		"host=x passwrd=S3cret",
		"host=x sslmode=S3cret",
	};
	static const char *const commands[][3] = {
		{"run"}, {"check"}, {"check", "--online"}, {"migrate"}, {"offsets", "show"}};
	struct bed *bed = ledger_bed("malformed", 1);
	char path[192], set[256];
	snprintf(path, sizeof(path), "%s/dsn", bed->dir);
	snprintf(set, sizeof(set), "postgres.dsn_file=%s", path);
	for (size_t i = 0; i < ARRAY_LEN(dsns); i++) {
		write_file(path, dsns[i]);
		for (size_t j = 0; j < ARRAY_LEN(commands); j++) {
			struct buf out = {0};
			const char *const args[] = {"--set", set, commands[j][1], NULL};
			int status = bed_command(bed, commands[j][0], args, &out);
			ck_assert_msg(status == 78, "%s %s: %d: %s", commands[j][0], dsns[i],
				      status, buf_cstr(&out));
			ck_assert_msg(strstr(buf_cstr(&out), "--set: postgres.dsn_file (") != NULL,
				      "%s", buf_cstr(&out));
			must_not_show(&out, dsns[i]);
			buf_free(&out);
		}
	}
	bed_free(bed);
}
END_TEST

static void log_of(const struct worker *w, struct buf *out)
{
	int c;
	FILE *in = fopen(w->log, "r");
	ck_assert_ptr_nonnull(in);
	while ((c = getc(in)) != EOF)
		buf_u8(out, (uint8_t)c);
	fclose(in);
}

/*
 * Proves: a file with the DSN that becomes malformed under a running worker is reported by its
 * name, in the log and in /status, and not by its content; the worker goes on once it is mended.
 */
START_TEST(file_becomes_malformed)
{
	struct bed *bed = ledger_bed("dsnfile", 1);
	char path[192], set[256], good[256];
	struct buf log = {0}, status = {0};
	snprintf(path, sizeof(path), "%s/dsn", bed->dir);
	snprintf(set, sizeof(set), "postgres.dsn_file=%s", path);
	snprintf(good, sizeof(good), "postgresql://memingest@127.0.0.1:%u/%s\n", stack.pg_port,
		 bed->name);
	const char *const args[] = {"--set", set, NULL};
	write_file(path, good);
	struct worker *w = worker_start(bed, args);
	worker_ready(w);
	write_file(path, "postgresql://memingest:S3cret/Pw@127.0.0.1/x\n");
	bed_int(bed,
		"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = "
		"'%s' AND application_name LIKE 'memingest/lane%%'",
		bed->name);
	send_some(bed, 0);
	worker_wait_log(w, path, 30);
	BED_WAIT(bed, 30, worker_http(w, "/readyz", NULL) == 503);
	ck_assert_uint_eq(worker_http(w, "/status", &status), 200);
	ck_assert_msg(strstr(buf_cstr(&status), path) != NULL, "%s", buf_cstr(&status));
	must_not_show(&status, "/status");
	write_file(path, good);
	bed_drain(bed, 60);
	worker_stop(w);
	log_of(w, &log);
	must_not_show(&log, "the log");
	model_check(bed);
	buf_free(&status);
	buf_free(&log);
	bed_free(bed);
}
END_TEST

static void connect_tests(TCase *tc)
{
	tcase_add_test(tc, silent_hosts_first);
	tcase_add_loop_test(tc, login_refused, 0, 2);
	tcase_add_test(tc, before_migrate);
	tcase_add_test(tc, malformed);
	tcase_add_test(tc, file_becomes_malformed);
}
SYSTEM_SUITE("connect", 120, connect_tests)

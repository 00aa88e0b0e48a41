/*
 * test_secure.c - nobody gets in, and nobody reads along: TLS and logins of broker, database and
 * registry, with certificates and passwords that are right, wrong, and changed under a running
 * worker; secrets that show nowhere; the worker's own door.
 *
 * The broker's name is localhost in its certificate, so that 127.0.0.1 is a wrong host name, of
 * broker, database and registry alike. A worker that is refused reaches the server through a proxy,
 * which counts its attempts.
 */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <librdkafka/rdkafka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker.h"
#include "event.h"
#include "ledger.h"
#include "model.h"
#include "proxy.h"
#include "secure.h"
#include "system.h"

/* How long a worker that is refused is watched, and how often it may try in that time. */
#define WATCH_US (3 * US_PER_S)
enum { BROKER_ATTEMPTS_MAX = 40, PG_ATTEMPTS_MAX = 8, REGISTRY_ATTEMPTS_MAX = 16 };

/* --- Kafka --- */

static void to_broker(struct bed *bed, const char *host, unsigned port, const char *protocol)
{
	bed_set(bed, "kafka.bootstrap.servers", "%s:%u", host, port);
	bed_set(bed, "kafka.broker.address.family", "v4");
	bed_set(bed, "kafka.security.protocol", "%s", protocol);
	bed_set(bed, "kafka.ssl.ca.location", "%s", secure_copy(bed, "ca", "ca.pem"));
}

static void log_in(struct bed *bed, const char *password)
{
	bed_set(bed, "kafka.sasl.mechanism", "SCRAM-SHA-512");
	bed_set(bed, "kafka.sasl.username", "%s", bed->name);
	bed_set(bed, "kafka.sasl.password_file", "%s",
		secure_write(bed, "kafka-password", password));
}

static void show_certificate(struct bed *bed, const char *name)
{
	char crt[32], key[32];
	snprintf(crt, sizeof(crt), "%s.crt", name);
	snprintf(key, sizeof(key), "%s.key", name);
	bed_set(bed, "kafka.ssl.certificate.location", "%s", secure_copy(bed, "crt", crt));
	bed_set(bed, "kafka.ssl.key.location", "%s", secure_copy(bed, "key", key));
}

static void reload(struct worker *w)
{
	worker_signal(w, SIGHUP);
	worker_wait_log(w, "opening a new Kafka client", 10);
}

/* Below 2.6.1 librdkafka can not log in by SCRAM at this broker (librdkafka #4895). */
static bool has_scram(void)
{
	return stack.librdkafka[0] || rd_kafka_version() >= 0x02060100;
}

/* In the runs with another librdkafka for the workers only what is about Kafka is new. */
static bool seen_before(void)
{
	return stack.librdkafka[0] != '\0';
}

/*
 * Proves: events come in over SASL_SSL with SCRAM; after the password was changed at the broker and
 * in its file, SIGHUP has the worker log in with the new one, and nothing is lost.
 */
START_TEST(kafka_scram)
{
	if (!has_scram()) {
		printf("skipped secure: SCRAM, which this librdkafka cannot do with Kafka 4\n");
		return;
	}
	struct bed *bed = ledger_bed("scram", 2);
	to_broker(bed, "localhost", stack.scram_port, "sasl_ssl");
	secure_scram(bed->name, SECRET "-one");
	log_in(bed, SECRET "-one\n");
	struct worker *w = worker_start(bed, NULL);
	secure_flows(bed);
	secure_scram(bed->name, SECRET "-two");
	log_in(bed, SECRET "-two\n");
	reload(w);
	secure_flows(bed);
	ck_assert_int_eq(secure_errors(w), 0);
	secure_leaks_nothing(bed, w);
	worker_stop(w);
	model_check(bed);
	bed_free(bed);
}
END_TEST

/*
 * Proves: the same with a certificate of the client's instead of a password, which is changed under
 * the running worker.
 */
START_TEST(kafka_mutual)
{
	struct bed *bed = ledger_bed("mutual", 2);
	to_broker(bed, "localhost", stack.mtls_port, "ssl");
	show_certificate(bed, "client");
	struct worker *w = worker_start(bed, NULL);
	secure_flows(bed);
	show_certificate(bed, "client2");
	reload(w);
	secure_flows(bed);
	ck_assert_int_eq(secure_errors(w), 0);
	worker_stop(w);
	model_check(bed);
	bed_free(bed);
}
END_TEST

static const struct {
	const char *what, *host, *protocol;
	unsigned *port;
	const char *ca, *client, *password; /* NULL: right, none, none */
	const char *error, *remedy;
} refusals[] = {
	{"wrong password", "localhost", "sasl_ssl", &stack.scram_port, NULL, NULL, SECRET "-bad",
	 "Authentication failed", "sasl.mechanism, sasl.username and sasl.password"},
	{"wrong authority", "localhost", "sasl_ssl", &stack.scram_port, "other-ca.pem", NULL,
	 SECRET "-one", "is signed by an authority that we do not know",
	 "set kafka.ssl.ca.location"},
	{"wrong host name", "127.0.0.1", "sasl_ssl", &stack.scram_port, NULL, NULL, SECRET "-one",
	 "is that of another", "write the broker's name in bootstrap.servers"},
	{"expired", "localhost", "ssl", &stack.expired_port, NULL, "client", NULL, "has expired",
	 "renew the broker's certificate"},
	{"no certificate", "localhost", "ssl", &stack.mtls_port, NULL, NULL, NULL, "Receive failed",
	 "the broker does not take our certificate"},
	{"a stranger's", "localhost", "ssl", &stack.mtls_port, NULL, "stranger", NULL,
	 "Receive failed", "the broker does not take our certificate"},
	{"TLS to none", "localhost", "ssl", &stack.proxied_port, NULL, NULL, NULL,
	 "it hangs up within the TLS handshake", "the port speaks no TLS"},
};

static struct proxy *refused_bed(struct bed *bed, int i)
{
	unsigned port = free_port();
	to_broker(bed, refusals[i].host, port, refusals[i].protocol);
	if (refusals[i].ca)
		secure_copy(bed, "ca", refusals[i].ca);
	if (refusals[i].client)
		show_certificate(bed, refusals[i].client);
	if (refusals[i].password)
		log_in(bed, refusals[i].password);
	return proxy_start_plain(port, *refusals[i].port);
}

/* What was wrong in a file is mended there; the rest is the operator's restart. */
static bool mend(struct bed *bed, int i)
{
	bool password = strcmp(refusals[i].what, "wrong password") == 0;
	if (!has_scram())
		return false;
	if (password)
		log_in(bed, SECRET "-one");
	else if (refusals[i].ca)
		secure_copy(bed, "ca", "ca.pem");
	return password || refusals[i].ca;
}

/*
 * Proves: a broker that does not let us in, or that we do not trust, gets one line at level error,
 * which names server, flaw and remedy; few attempts; a worker that lives, is not ready and ends
 * when it is told to; and no secret anywhere. check says the same with exit 78. Mended, it goes on.
 */
START_TEST(kafka_refused)
{
	struct bed *bed = ledger_bed("nokafka", 2);
	if (refusals[_i].password)
		secure_scram(bed->name, SECRET "-one");
	struct proxy *p = refused_bed(bed, _i);
	struct worker *w = worker_start(bed, NULL);
	worker_wait_log(w, "Kafka refuses the login or is not trusted", 20);
	secure_watch(bed, WATCH_US);
	ck_assert_msg(worker_log_count(w, refusals[_i].error) == 1, "%s: see %s", refusals[_i].what,
		      w->log);
	ck_assert_int_eq(worker_log_count(w, refusals[_i].remedy), 1);
	ck_assert_int_eq(secure_errors(w), 1);
	ck_assert_uint_le(proxy_accepted(p), BROKER_ATTEMPTS_MAX);
	ck_assert_uint_eq(worker_http(w, "/livez", NULL), 200);
	ck_assert_uint_eq(worker_http(w, "/readyz", NULL), 503);
	char *said = bed_says(bed, 78, "check --online");
	ck_assert_msg(strstr(said, refusals[_i].remedy) != NULL, "%s", said);
	secure_search(said, "check --online");
	free(said);
	secure_leaks_nothing(bed, w);
	if (mend(bed, _i)) {
		worker_signal(w, SIGHUP);
		secure_flows(bed);
		worker_wait_log(w, "Kafka accepts the login again", 20);
	}
	worker_stop(w);
	proxy_stop(p);
	bed_free(bed);
}
END_TEST

/* --- PostgreSQL --- */

static struct worker *start_secured(struct bed *bed, const char *host, unsigned port,
				    const char *options)
{
	char dsn[512];
	snprintf(dsn, sizeof(dsn), "postgres.dsn=postgresql://secured@%s:%u/%s?%s&sslrootcert=%s",
		 host, port, bed->name, options, secure_copy(bed, "ca", "ca.pem"));
	const char *const args[] = {"--set", dsn, "--set", "security.require_tls=on", NULL};
	return worker_start(bed, args);
}

static void password_file(struct bed *bed, const char *password)
{
	bed_set(bed, "postgres.password_file", "%s", secure_write(bed, "pg-password", password));
}

/*
 * Proves: with scram-sha-256 and verify-full every session has TLS; password, certificate and
 * authority are changed under a running worker, which goes on without an error and loses nothing.
 */
START_TEST(postgres_verified)
{
	if (seen_before())
		return;
	struct bed *bed = ledger_bed("verified", 2);
	if (!secure_postgres(bed, "server")) {
		bed_free(bed);
		return;
	}
	secure_postgres_password(bed, SECRET "-pg1");
	password_file(bed, SECRET "-pg1\n");
	struct worker *w = start_secured(bed, "localhost", stack.pg_port, "sslmode=verify-full");
	secure_flows(bed);
	ck_assert_int_gt(bed_int(bed, "SELECT count(*) FROM pg_stat_activity WHERE usename ="
				      " 'secured'"),
			 1);
	ck_assert_int_eq(bed_int(bed, "SELECT count(*) FROM pg_stat_activity JOIN pg_stat_ssl"
				      " USING (pid) WHERE usename = 'secured' AND NOT ssl"),
			 0);
	secure_postgres_password(bed, SECRET "-pg2");
	password_file(bed, SECRET "-pg2\n");
	secure_postgres_drop(bed);
	secure_flows(bed);
	secure_postgres_cert(bed, "renewed");
	secure_postgres_drop(bed);
	secure_flows(bed);
	secure_postgres_cert(bed, "moved");
	secure_copy(bed, "ca", "other-ca.pem");
	secure_postgres_drop(bed);
	secure_flows(bed);
	ck_assert_int_eq(worker_log_count(w, "refuses the login"), 0);
	secure_leaks_nothing(bed, w);
	worker_stop(w);
	model_check(bed);
	bed_free(bed);
}
END_TEST

static const struct {
	const char *what, *host, *cert, *ca, *password, *error;
} pg_refusals[] = {
	{"wrong password", "localhost", "server", "ca.pem", SECRET "-bad",
	 "password authentication failed"},
	{"wrong authority", "localhost", "server", "other-ca.pem", SECRET "-pg1",
	 "certificate verify failed (look at sslrootcert"},
	{"wrong host name", "127.0.0.1", "server", "ca.pem", SECRET "-pg1",
	 "does not match host name"},
	{"expired", "localhost", "expired", "ca.pem", SECRET "-pg1",
	 "certificate verify failed (look at sslrootcert"},
};

/*
 * Proves: the same as kafka_refused of the database: one line for all sessions, few attempts, no
 * secret; mended in its file, the worker goes on.
 */
START_TEST(postgres_refused)
{
	if (seen_before())
		return;
	struct bed *bed = ledger_bed("nopg", 2);
	if (!secure_postgres(bed, pg_refusals[_i].cert)) {
		bed_free(bed);
		return;
	}
	struct proxy *p = proxy_start_plain(free_port(), stack.pg_port);
	secure_postgres_password(bed, SECRET "-pg1");
	password_file(bed, pg_refusals[_i].password);
	bed_set(bed, "postgres.lanes", "4");
	struct worker *w =
		start_secured(bed, pg_refusals[_i].host, proxy_port(p), "sslmode=verify-full");
	secure_copy(bed, "ca", pg_refusals[_i].ca);
	worker_wait_log(w, "PostgreSQL refuses the login", 20);
	secure_watch(bed, WATCH_US);
	ck_assert_msg(worker_log_count(w, pg_refusals[_i].error) == 1, "%s: see %s",
		      pg_refusals[_i].what, w->log);
	ck_assert_int_eq(secure_errors(w), 1);
	ck_assert_uint_le(proxy_accepted(p), PG_ATTEMPTS_MAX);
	ck_assert_uint_eq(worker_http(w, "/livez", NULL), 200);
	ck_assert_uint_eq(worker_http(w, "/readyz", NULL), 503);
	secure_leaks_nothing(bed, w);
	password_file(bed, SECRET "-pg1");
	secure_copy(bed, "ca", "ca.pem");
	secure_postgres_cert(bed, "server");
	if (strcmp(pg_refusals[_i].host, "localhost") == 0) {
		secure_flows(bed);
		worker_wait_log(w, "PostgreSQL accepts the login again", 10);
	}
	worker_stop(w);
	proxy_stop(p);
	bed_free(bed);
}
END_TEST

/* --- registry --- */

static void to_registry(struct bed *bed, const char *host, unsigned port, const char *password)
{
	bed_set(bed, "registry.url", "https://%s:%u", host, port);
	bed_set(bed, "registry.ca", "%s", secure_copy(bed, "registry-ca", "ca.pem"));
	bed_set(bed, "registry.cert", "%s", secure_copy(bed, "registry-crt", "client.crt"));
	bed_set(bed, "registry.key", "%s", secure_copy(bed, "registry-key", "client.key"));
	bed_set(bed, "registry.user", "me");
	bed_set(bed, "registry.password_file", "%s",
		secure_write(bed, "registry-password", password));
}

/* The same schema with another documentation: another id. */
static void new_schema(struct bed *bed)
{
	json_t *schema = json_deep_copy(bed->streams[0].schema);
	json_object_set_new(schema, "doc", json_string(bed->name));
	bed_writer_schema(bed, "ledger", schema);
	json_decref(schema);
}

/*
 * Proves: schemas come over TLS with certificates of both sides and a password; after all of them
 * were changed a new schema is had without a restart.
 */
START_TEST(registry_verified)
{
	if (seen_before())
		return;
	struct bed *bed = ledger_bed("regtls", 2);
	struct secure_registry r = secure_registry_start(bed, "server", "me:" SECRET "-r1");
	to_registry(bed, "localhost", r.port, SECRET "-r1\n");
	struct worker *w = worker_start(bed, NULL);
	secure_flows(bed);
	unsigned port = r.port;
	secure_registry_stop(&r);
	new_schema(bed);
	r = secure_registry_start(bed, "renewed", "me:" SECRET "-r2");
	struct proxy *p = proxy_start_plain(port, r.port);
	secure_write(bed, "registry-password", SECRET "-r2\n");
	secure_flows(bed);
	secure_leaks_nothing(bed, w);
	worker_stop(w);
	model_check(bed);
	proxy_stop(p);
	secure_registry_stop(&r);
	bed_free(bed);
}
END_TEST

static const struct {
	const char *what, *host, *cert, *ca, *client, *password, *error;
	int status; /* of check; 0: any */
} registry_refusals[] = {
	{"wrong password", "localhost", "server", "ca.pem", "client", SECRET "-bad",
	 "answered 401: check user and password", 78},
	{"wrong authority", "localhost", "server", "other-ca.pem", "client", SECRET "-r1",
	 "look at registry.ca", 78},
	{"wrong host name", "127.0.0.1", "server", "ca.pem", "client", SECRET "-r1",
	 "look at registry.ca", 78},
	{"expired", "localhost", "expired", "ca.pem", "client", SECRET "-r1", "look at registry.ca",
	 78},
	/* Python's server hangs up before its alert is read: what the kernel says of that varies */
	{"a stranger's", "localhost", "server", "ca.pem", "stranger", SECRET "-r1",
	 "schema registry is down", 0},
};

/* Proves: the same as kafka_refused of the registry. */
START_TEST(registry_refused)
{
	if (seen_before())
		return;
	struct bed *bed = ledger_bed("noreg", 2);
	char crt[32], key[32];
	struct secure_registry r =
		secure_registry_start(bed, registry_refusals[_i].cert, "me:" SECRET "-r1");
	struct proxy *p = proxy_start_plain(free_port(), r.port);
	to_registry(bed, registry_refusals[_i].host, proxy_port(p), registry_refusals[_i].password);
	secure_copy(bed, "registry-ca", registry_refusals[_i].ca);
	snprintf(crt, sizeof(crt), "%s.crt", registry_refusals[_i].client);
	snprintf(key, sizeof(key), "%s.key", registry_refusals[_i].client);
	secure_copy(bed, "registry-crt", crt);
	secure_copy(bed, "registry-key", key);
	struct worker *w = worker_start(bed, NULL);
	ledger_send(bed, 0, "even", INT64_C(1750000000000000), 1);
	bed_flush(bed);
	worker_wait_log(w, "schema registry is down", 20);
	secure_watch(bed, WATCH_US);
	ck_assert_msg(worker_log_count(w, registry_refusals[_i].error) == 1, "%s: see %s",
		      registry_refusals[_i].what, w->log);
	ck_assert_uint_le(proxy_accepted(p), REGISTRY_ATTEMPTS_MAX);
	ck_assert_uint_eq(worker_http(w, "/readyz", NULL), 200); /* other schemas may be known */
	struct buf said = {0};
	int status = bed_command(bed, "check", (const char *[]){"--online", NULL}, &said);
	secure_search(buf_cstr(&said), "check --online");
	if (registry_refusals[_i].status) {
		ck_assert_int_eq(status, registry_refusals[_i].status);
		ck_assert_msg(strstr(buf_cstr(&said), registry_refusals[_i].error) != NULL, "%s",
			      buf_cstr(&said));
	}
	buf_free(&said);
	secure_leaks_nothing(bed, w);
	worker_stop(w);
	proxy_stop(p);
	secure_registry_stop(&r);
	bed_free(bed);
}
END_TEST

/* --- the process --- */

static bool limit_is(int pid, const char *line)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/limits", pid);
	char *text = bed_read_file(path);
	bool is = strstr(text, line) != NULL;
	free(text);
	return is;
}

/*
 * Proves: a worker that crashes leaves no core file, whatever limit it was started with, and its
 * own user may still look at it in /proc.
 */
START_TEST(no_core)
{
	if (seen_before())
		return;
	struct bed *bed = ledger_bed("nocore", 1);
	struct rlimit limit;
	char path[64], link[256];
	int status;
	ck_assert_int_eq(getrlimit(RLIMIT_CORE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_CORE, &limit), 0);
	bed_write_config(bed);
	const char *const argv[] = {stack.program,     "run", "-c", bed->config, "--set",
				    "http.listen=off", NULL};
	int pid = spawn(argv, NULL, "/dev/null");
	BED_WAIT(bed, 20, limit_is(pid, "Max core file size        1 "));
	snprintf(path, sizeof(path), "/proc/%d/fd/0", pid);
	ck_assert_int_gt(readlink(path, link, sizeof(link)), 0);
	BED_WAIT(bed, 20,
		 bed_int(bed, "SELECT count(*) FROM pg_stat_activity WHERE"
			      " application_name LIKE 'memingest/lane%%' AND datname ="
			      " current_database()") > 0);
	ck_assert_int_eq(kill(pid, SIGABRT), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	ck_assert(!WCOREDUMP(status));
	bed_free(bed);
}
END_TEST

/*
 * Proves: with security.require_tls a worker does not start where broker, database or registry on
 * another machine would be spoken to in the clear (exit 78, and why); without it check warns.
 */
START_TEST(require_tls)
{
	if (seen_before())
		return;
	static const struct {
		const char *set, *says;
	} cases[] = {
		{"kafka.bootstrap.servers=192.0.2.1:9092", "kafka.security.protocol: is plaintext"},
		{"registry.url=http://192.0.2.1", "registry.url: is http"},
		{"postgres.dsn=postgresql://u@192.0.2.1/db", "sslmode is prefer"},
		{"postgres.dsn=postgresql://u@192.0.2.1/db?sslmode=require", "pass for the server"},
	};
	struct bed *bed = ledger_bed("mustls", 1);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char line[200];
		snprintf(line, sizeof(line), "run --set security.require_tls=on --set %s",
			 cases[i].set);
		bed_expect(bed, 78, line, cases[i].says);
		snprintf(line, sizeof(line), "check --set %s", cases[i].set);
		bed_expect(bed, 0, line, cases[i].says);
	}
	bed_free(bed);
}
END_TEST

/* --- the door --- */

static int connect_idle(unsigned port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(fd, 0);
	ck_assert(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 ||
		  errno == EINPROGRESS);
	return fd;
}

/*
 * Proves: with a token /metrics and /status are closed to who lacks it, the probes are open, and
 * the status command comes in; hundreds of idle clients keep neither probes nor ingestion waiting.
 */
START_TEST(door)
{
	if (seen_before())
		return;
	struct bed *bed = ledger_bed("door", 2);
	int idle[400];
	char line[64];
	bed_set(bed, "http.token_file", "%s", secure_write(bed, "token", SECRET "-token\n"));
	struct worker *w = worker_start(bed, NULL);
	worker_ready(w);
	ck_assert_uint_eq(worker_http(w, "/metrics", NULL), 401);
	ck_assert_uint_eq(worker_http(w, "/status", NULL), 401);
	snprintf(line, sizeof(line), "status 127.0.0.1:%u --json", w->http_port);
	bed_expect(bed, 0, line, "\"partitions\"");
	for (size_t i = 0; i < ARRAY_LEN(idle); i++)
		idle[i] = connect_idle(w->http_port);
	ck_assert_uint_eq(worker_http(w, "/livez", NULL), 200);
	secure_flows(bed);
	ck_assert_uint_eq(worker_http(w, "/readyz", NULL), 200);
	for (size_t i = 0; i < ARRAY_LEN(idle); i++)
		close(idle[i]);
	secure_leaks_nothing(bed, w);
	worker_stop(w);
	model_check(bed);
	bed_free(bed);
}
END_TEST

static void secure_tests(TCase *tc)
{
	tcase_add_test(tc, kafka_scram);
	tcase_add_test(tc, kafka_mutual);
	tcase_add_loop_test(tc, kafka_refused, 0, ARRAY_LEN(refusals));
	tcase_add_test(tc, postgres_verified);
	tcase_add_loop_test(tc, postgres_refused, 0, ARRAY_LEN(pg_refusals));
	tcase_add_test(tc, registry_verified);
	tcase_add_loop_test(tc, registry_refused, 0, ARRAY_LEN(registry_refusals));
	tcase_add_test(tc, no_core);
	tcase_add_test(tc, require_tls);
	tcase_add_test(tc, door);
}
SYSTEM_SUITE_TLS("secure", 60, secure_tests)

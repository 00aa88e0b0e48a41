/*
 * secure.c - files of secrets, searches for them, and servers with certificates.
 *
 * Certificates are those of tests/certs, in the stack's folder. The database server is told by SQL
 * what to show (ssl_cert_file) and whom to let in (pg_hba.conf), and reads that again at once.
 */
#include "secure.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ledger.h"

/* --- files --- */

const char *secure_cert(const char *name)
{
	static char paths[4][128];
	static unsigned next;
	char *path = paths[next++ % ARRAY_LEN(paths)];
	snprintf(path, sizeof(paths[0]), "%s/tls/%s", stack.dir, name);
	return path;
}

static const char *path_of(struct bed *bed, const char *name)
{
	return xasprintf("%s/%s", bed->dir, name); /* lives as long as the test's process */
}

const char *secure_write(struct bed *bed, const char *name, const char *text)
{
	const char *path = path_of(bed, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ck_assert_msg(fd >= 0, "%s: %s", path, strerror(errno));
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	ck_assert_int_eq(close(fd), 0);
	return path;
}

const char *secure_copy(struct bed *bed, const char *name, const char *cert)
{
	char *text = bed_read_file(secure_cert(cert));
	const char *path = secure_write(bed, name, text);
	free(text);
	return path;
}

/* --- secrets --- */

void secure_search(const char *text, const char *where)
{
	const char *at = strstr(text, SECRET);
	ck_assert_msg(at == NULL, "%s shows a secret: %.80s", where, at ? at : "");
}

static void search(const struct buf *text, const char *where)
{
	const char *at = memmem(text->data, text->len, SECRET, strlen(SECRET));
	ck_assert_msg(at == NULL, "%s shows a secret: %.80s", where, at ? at : "");
}

/* Logs, of workers and of commands. */
static void search_files(struct bed *bed)
{
	size_t logs = 0;
	DIR *dir = opendir(bed->dir);
	ck_assert_ptr_nonnull(dir);
	for (struct dirent *e; (e = readdir(dir));) {
		size_t len = strlen(e->d_name);
		if (len < 4 || strcmp(e->d_name + len - 4, ".log") != 0)
			continue;
		struct buf text = {0};
		char *path = xasprintf("%s/%s", bed->dir, e->d_name);
		char *read = bed_read_file(path);
		buf_puts(&text, read);
		search(&text, path);
		buf_free(&text);
		free(read);
		free(path);
		logs++;
	}
	closedir(dir);
	ck_assert_uint_gt(logs, 0);
}

void secure_leaks_nothing(struct bed *bed, struct worker *w)
{
	static const char *const paths[] = {"/metrics", "/status", "/readyz", "/version"};
	static const char *const commands[][3] = {
		{"config", "show"}, {"config", "show", "--json"}, {"check"}};
	for (size_t i = 0; w && i < ARRAY_LEN(paths); i++) {
		struct buf body = {0};
		ck_assert_uint_ne(worker_http(w, paths[i], &body), 0);
		ck_assert_uint_gt(body.len, 0);
		search(&body, paths[i]);
		buf_free(&body);
	}
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		struct buf out = {0};
		const char *const args[] = {commands[i][1], commands[i][2], NULL};
		bed_command(bed, commands[i][0], args, &out);
		ck_assert_uint_gt(out.len, 0);
		search(&out, commands[i][0]);
		buf_free(&out);
	}
	search_files(bed);
}

/* --- a worker --- */

void secure_watch(struct bed *bed, int64_t us)
{
	int64_t until_us = clock_mono_us() + us;
	while (bed_tick(bed, until_us))
		;
}

int secure_errors(struct worker *w)
{
	return worker_log_count(w, "level=error");
}

void secure_flows(struct bed *bed)
{
	static int sent;
	for (int i = 0; i < 50; i++, sent++)
		ledger_send(bed, sent % 2, sent % 3 ? "odd" : "even",
			    INT64_C(1750000000000000) + sent, sent);
	bed_drain(bed, 30);
}

/* --- servers --- */

void secure_scram(const char *user, const char *password)
{
	const char *const argv[] = {"tests/stack", "scram", stack.dir, user, password, NULL};
	ck_assert_int_eq(wait_exit(spawn(argv, NULL, NULL)), 0);
}

/* The server has read its files again. */
static bool has_setting(struct bed *bed, const char *name, const char *value)
{
	return bed_int(bed, "SELECT (current_setting('%s') = '%s')::int", name, value) == 1;
}

void secure_postgres_cert(struct bed *bed, const char *cert)
{
	char *name = xasprintf("%s.crt", cert), *key = xasprintf("%s.key", cert);
	bed_sql(bed, "ALTER SYSTEM SET ssl_key_file = '%s'", secure_cert(key));
	bed_sql(bed, "ALTER SYSTEM SET ssl_cert_file = '%s'", secure_cert(name));
	bed_sql(bed, "ALTER SYSTEM SET ssl = on");
	bed_int(bed, "SELECT pg_reload_conf()::int");
	BED_WAIT(bed, 10,
		 has_setting(bed, "ssl", "on") &&
			 has_setting(bed, "ssl_cert_file", secure_cert(name)));
	free(name);
	free(key);
}

void secure_postgres_password(struct bed *bed, const char *password)
{
	bed_sql(bed, "ALTER ROLE secured PASSWORD '%s'", password);
}

void secure_postgres_drop(struct bed *bed)
{
	bed_int(bed,
		"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '%s'"
		" AND usename = 'secured'",
		bed->name);
}

bool secure_postgres(struct bed *bed, const char *cert)
{
	if (bed_int(bed, "SELECT (current_setting('ssl_library') = 'OpenSSL')::int") == 0) {
		printf("skipped secure: the database server has no TLS (Debian's has)\n");
		return false;
	}
	bed_sql(bed, "DO $$BEGIN IF to_regrole('secured') IS NULL THEN CREATE ROLE secured LOGIN IN"
		     " ROLE memingest; END IF; END$$");
	bed_sql(bed, "DO $$BEGIN EXECUTE format('COPY (SELECT unnest(ARRAY["
		     "''hostssl all secured all scram-sha-256'', ''host all secured all reject'',"
		     "''host all all 127.0.0.1/32 trust'', ''local all all trust''])) TO %%L',"
		     " current_setting('hba_file')); END$$");
	secure_postgres_cert(bed, cert);
	return true;
}

static void copy_state(struct bed *bed)
{
	char *from = xasprintf("%s/registry.json", stack.dir), *text = bed_read_file(from);
	secure_write(bed, "registry.json", text);
	free(text);
	free(from);
}

/* user: "NAME:PASSWORD". It wants certificates of clients as well. */
struct secure_registry secure_registry_start(struct bed *bed, const char *cert, const char *user)
{
	struct secure_registry r = {.port = free_port()};
	char port[16];
	char *crt = xasprintf("%s.crt", cert), *key = xasprintf("%s.key", cert);
	snprintf(port, sizeof(port), "%u", r.port);
	copy_state(bed);
	const char *file = path_of(bed, "registry.port");
	unlink(file);
	const char *const argv[] = {"/usr/bin/env",
				    "python3",
				    "tests/registry.py",
				    "--port",
				    port,
				    "--port-file",
				    file,
				    "--state",
				    path_of(bed, "registry.json"),
				    "--user",
				    user,
				    "--tls",
				    secure_cert(crt),
				    secure_cert(key),
				    "--client-ca",
				    secure_cert("ca.pem"),
				    NULL};
	r.pid = spawn(argv, NULL, "/dev/null");
	BED_WAIT(bed, 20, access(file, F_OK) == 0);
	free(crt);
	free(key);
	return r;
}

void secure_registry_stop(struct secure_registry *r)
{
	kill(r->pid, SIGKILL);
	wait_exit(r->pid);
}

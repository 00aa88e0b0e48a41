/*
 * test_pg_dsn.c - DSNs taken apart, and DSNs refused without a word of theirs in the message.
 *
 * Needs no server: nothing is connected to.
 */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/pg_dsn.h"
#include "unit.h"

static const char *const variables[] = {
	"PGHOST",    "PGPORT",    "PGHOSTADDR",    "PGUSER",     "PGDATABASE",
	"PGSSLMODE", "PGSERVICE", "PGSERVICEFILE", "PGPASSWORD", "PGTARGETSESSIONATTRS"};

/* Whatever the environment of the tests says, and what a test left there. */
static void clean(void)
{
	for (size_t i = 0; i < ARRAY_LEN(variables); i++)
		unsetenv(variables[i]);
}

static struct pg_dsn dsn;

static void reads(const char *text)
{
	struct config config = {.pg_dsn = text};
	struct err err = {0};
	ck_assert_msg(pg_dsn_read(&config, "memingest/test", &dsn, &err), "%s: %s", text, err.text);
}

/* The value that libpq is given; NULL: none. */
static const char *value(const char *keyword)
{
	for (size_t i = 0; i < dsn.noptions; i++)
		if (strcmp(dsn.keywords[i], keyword) == 0)
			return dsn.values[i];
	return NULL;
}

/* "host=addr:port host:port" */
static const char *hosts(void)
{
	static char text[400];
	size_t n = 0;
	text[0] = '\0';
	for (size_t i = 0; i < dsn.nhosts; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s%s%s:%s", i ? " " : "",
				      dsn.hosts[i].host, dsn.hosts[i].addr ? "=" : "",
				      dsn.hosts[i].addr ? dsn.hosts[i].addr : "",
				      dsn.hosts[i].port);
	return text;
}

/* --- refused --- */

/*
 * Each of these has a password with "S3cret" or "Pw" in it, or in its place. The finding is CONFIG,
 * names the setting and the kind of mistake, and quotes nothing.
 */
static const struct {
	const char *text, *kind;
} malformed[] = {
	{"postgresql://user:S3cret%ZZPw@h/db", "two hex digits"},
	{"postgresql://user:S3cret%@h/db", "two hex digits"},
	{"postgresql://user:S3cret%00Pw@h/db", "%00"},
	{"postgresql://user:S3cret/Pw@h/db", "two ways"},
	{"postgresql://user:1234/Pw@h/db", "two ways"},
	{"postgresql://user:/Pw@h/db", "two ways"},
	{"postgresql://user:1,S3cret/Pw@h/db", "two ways"},
	{"postgresql://user:S3cret@Pw@h/db", "two ways"},
	{"postgresql://user:S3cret@Pw/x@h/db", "two ways"},
	{"postgres://user:S3cret@Pw@h/db", "two ways"},
	{"postgresql://h?user=u&password=S3@cretPw", "two ways"},
	{"postgresql://user:S3cret/Pw", "port"},
	{"postgresql://user:1?S3cret/Pw@h/db", "no ="},
	{"postgresql://user:1/S3cret?Pw=x@h/db", "does not know"},
	{"postgresql://u:S3cret@[::1/db", "]"},
	{"postgresql://u:S3cret@[]/db", "[ and ]"},
	{"postgresql://u:S3cret@[::1]Pw/db", "behind the ]"},
	{"postgresql://u@h/db?password=S3cret&Pw", "no ="},
	{"postgresql://u@h/db?password=S3cret=Pw", "two ="},
	{"postgresql://u:S3cret@h/db?sslmod=Pw", "did you mean sslmode?"},
	{"postgresql://u:S3cret@h/db?sslmode=Pw", "value of sslmode"},
	{"postgresql://u:S3cret@h:Pw/db", "port"},
	{"postgresql://u:S3cret@h:0/db", "port"},
	{"postgresql://u:S3cret@h:65536/db", "port"},
	{"postgresql://u:S3cret@h:54a/db", "port"},
	{"postgre://u:S3cret@h/db", "postgresql://"},
	{"postgre://u:S3cret@h/db?sslmode=require", "does not know"},
	{"u:S3cret@h/db", "postgresql://"},
	{"S3cret", "postgresql://"},
	{"dbname=postgresql://u:S3cret@h/db", "dbname is a URL"},
	{"host=x password='S3cret", "quote"},
	{"host=x password=Pw S3cret", "no ="},
	{"host=x password=Pw S3cret=x", "does not know"},
	{"host=x passwrd=S3cret", "did you mean password?"},
	{"host=x,y,z port=1,2 password=S3cret", "equally many"},
	{"host=x,y hostaddr=127.0.0.1 password=S3cret", "equally many"},
	{"host=x hostaddr=S3cret", "value of hostaddr"},
	{"host=S3cret@x", "host"},
	{"host=user:Pw@S3cret", "host"},
	{"host=x channel_binding=S3cret", "value of channel_binding"},
	{"host=x keepalives_idle=S3cret", "value of keepalives_idle"},
	{"host=x tcp_user_timeout=S3cret", "value of tcp_user_timeout"},
	{"host=x connect_timeout=S3cret", "value of connect_timeout"},
	{"host=x target_session_attrs=S3cret", "value of target_session_attrs"},
	{"host=x target_session_attrs='stop here' password=S3cret", "target_session_attrs"},
	{"host=x sslmode='stop here' password=S3cret", "value of sslmode"},
	{"service=S3cret", "service file"},
};

START_TEST(refused)
{
	const char *text = malformed[_i].text;
	struct config config = {.pg_dsn = text};
	struct err err = {0};
	clean();
	ck_assert_msg(!pg_dsn_check(&config, NULL, &err), "%s passes", text);
	ck_assert_msg(err.class == ERR_CONFIG, "%s: %s", text, err_class_name(err.class));
	ck_assert_msg(strncmp(err.text, "postgres.dsn: ", 14) == 0, "%s: %s", text, err.text);
	ck_assert_msg(strstr(err.text, malformed[_i].kind) != NULL, "%s: %s", text, err.text);
	ck_assert_msg(!strstr(err.text, "S3") && !strstr(err.text, "cret") &&
			      !strstr(err.text, "Pw"),
		      "%s: %s", text, err.text);
	ck_assert_msg(!pg_dsn_read(&config, "x", &dsn, &err), "%s", text);
}
END_TEST

/* A finding about a file names the file; one that can not be read is no finding but a RETRY. */
START_TEST(in_a_file)
{
	char path[] = "/tmp/memingest-dsn-XXXXXX";
	int fd = mkstemp(path);
	struct config config = {.pg_dsn_file = path};
	struct err err = {0};
	clean();
	ck_assert_int_eq(write(fd, "host=h password='S3cret\n", 24), 24);
	close(fd);
	ck_assert(!pg_dsn_check(&config, NULL, &err));
	ck_assert_int_eq(err.class, ERR_CONFIG);
	ck_assert_ptr_nonnull(strstr(err.text, "postgres.dsn_file ("));
	ck_assert_ptr_nonnull(strstr(err.text, path));
	ck_assert_ptr_null(strstr(err.text, "S3cret"));
	unlink(path);
	ck_assert(!pg_dsn_check(&config, NULL, &err));
	ck_assert_int_eq(err.class, ERR_RETRY);
}
END_TEST

/* --- understood --- */

static const struct {
	const char *text, *hosts, *user, *password, *dbname;
} understood[] = {
	{"postgresql://u:p@h/db", "h:5432", "u", "p", "db"},
	{"postgresql://u:a:b@h:17/db", "h:17", "u", "a:b", "db"},
	{"postgresql://u:a?b@h/db", "h:5432", "u", "a?b", "db"},
	{"postgresql://u:a%40b%2Fc%25@h/db", "h:5432", "u", "a@b/c%", "db"},
	{"postgresql://u@a:1,b,[::1]:3/db", "a:1 b:5432 ::1:3", "u", NULL, "db"},
	{"postgresql://u@a,b,c:7/db", "a:5432 b:5432 c:7", "u", NULL, "db"},
	{"postgresql://u@10.0.0.1/db", "10.0.0.1:5432", "u", NULL, "db"},
	{"postgresql://u@h/db?hostaddr=10.0.0.1&port=9", "h=10.0.0.1:9", "u", NULL, "db"},
	{"postgresql:///db?host=/run/pg&user=a@b&password=c@d", "/run/pg:5432", "a@b", "c@d", "db"},
	{"postgresql://u@%2Frun%2Fpg:1/db", "/run/pg:1", "u", NULL, "db"},
	{"host=a,b port=1,2 user=u dbname=db", "a:1 b:2", "u", NULL, "db"},
	{"host=a,b port=7 user=u dbname=db", "a:7 b:7", "u", NULL, "db"},
	{"host=a,b hostaddr=,10.0.0.2 user=u", "a:5432 b=10.0.0.2:5432", "u", NULL, "u"},
	{"hostaddr=10.0.0.1,::1 user=u", "10.0.0.1=10.0.0.1:5432 ::1=::1:5432", "u", NULL, "u"},
	{"host=@abstract user=u password='a b\\'c'", "@abstract:5432", "u", "a b'c", "u"},
};

/* Hosts in their order with address and port each, and the options beside them. */
START_TEST(taken_apart)
{
	clean();
	reads(understood[_i].text);
	ck_assert_str_eq(hosts(), understood[_i].hosts);
	ck_assert_str_eq(value("user"), understood[_i].user);
	ck_assert_str_eq(value("dbname"), understood[_i].dbname);
	if (understood[_i].password)
		ck_assert_str_eq(value("password"), understood[_i].password);
	else
		ck_assert_ptr_null(value("password"));
	ck_assert_ptr_null(value("host"));
	ck_assert_ptr_null(value("hostaddr"));
	ck_assert_ptr_null(value("port"));
	pg_dsn_free(&dsn);
}
END_TEST

/* No host is the folder of libpq's build, as for libpq; also as one of several. */
START_TEST(no_host)
{
	char folder[200];
	clean();
	reads("user=u");
	ck_assert_uint_eq(dsn.nhosts, 1);
	ck_assert(dsn.hosts[0].host[0] == '/');
	snprintf(folder, sizeof(folder), "a:5432 %s:5432 b:5432", dsn.hosts[0].host);
	pg_dsn_free(&dsn);
	setenv("PGHOST", "elsewhere", 1);
	reads("host=a,,b user=u");
	ck_assert_str_eq(hosts(), folder);
	pg_dsn_free(&dsn);
	clean();
}
END_TEST

/* Our defaults hold where the DSN says nothing, and give way where it does. */
START_TEST(defaults)
{
	clean();
	setenv("PGTARGETSESSIONATTRS", "standby", 1);
	reads("host=h user=u");
	ck_assert_str_eq(value("target_session_attrs"), "read-write");
	ck_assert_str_eq(value("fallback_application_name"), "memingest/test");
	ck_assert_str_eq(value("keepalives_idle"), "10");
	ck_assert_str_eq(value("client_encoding"), "UTF8");
	pg_dsn_free(&dsn);
	reads("host=h user=u target_session_attrs=any keepalives_idle=99 application_name=mine");
	ck_assert_str_eq(value("target_session_attrs"), "any");
	ck_assert_str_eq(value("keepalives_idle"), "99");
	ck_assert_str_eq(value("application_name"), "mine");
	pg_dsn_free(&dsn);
	clean();
}
END_TEST

/* The environment fills in what the DSN leaves open, and no more; so does a service file. */
START_TEST(environment_and_service)
{
	char path[] = "/tmp/memingest-service-XXXXXX";
	static const char file[] = "[mine]\nhost=s1,s2\nport=7\napplication_name=sa\nuser=su\n";
	int fd = mkstemp(path);
	clean();
	ck_assert_int_eq(write(fd, file, sizeof(file) - 1), sizeof(file) - 1);
	close(fd);
	setenv("PGHOST", "e1,e2", 1);
	setenv("PGPORT", "8", 1);
	setenv("PGUSER", "eu", 1);
	setenv("PGSERVICEFILE", path, 1);
	reads("dbname=db port=9");
	ck_assert_str_eq(hosts(), "e1:9 e2:9");
	ck_assert_str_eq(value("user"), "eu");
	pg_dsn_free(&dsn);
	reads("postgresql://du@/db?service=mine");
	ck_assert_str_eq(hosts(), "s1:7 s2:7");
	ck_assert_str_eq(value("user"), "du");
	ck_assert_str_eq(value("application_name"), "sa");
	pg_dsn_free(&dsn);
	unlink(path);
	clean();
}
END_TEST

/* The password of the file wins over the DSN's, and is read anew each time. */
START_TEST(password_file)
{
	char path[] = "/tmp/memingest-password-XXXXXX";
	int fd = mkstemp(path);
	struct config config = {.pg_dsn = "postgresql://u:old@h/db", .pg_password_file = path};
	struct err err = {0};
	clean();
	ck_assert_int_eq(write(fd, "new1\n", 5), 5);
	ck_assert(pg_dsn_read(&config, "x", &dsn, &err));
	ck_assert_str_eq(value("password"), "new1");
	pg_dsn_free(&dsn);
	ck_assert_int_eq(pwrite(fd, "new2\n", 5, 0), 5);
	ck_assert(pg_dsn_read(&config, "x", &dsn, &err));
	ck_assert_str_eq(value("password"), "new2");
	pg_dsn_free(&dsn);
	close(fd);
	unlink(path);
	ck_assert(!pg_dsn_read(&config, "x", &dsn, &err));
	ck_assert_int_eq(err.class, ERR_RETRY);
}
END_TEST

/* load_balance_hosts came with libpq 16; before that it is an unknown option. */
START_TEST(any_order)
{
	struct config config = {.pg_dsn = "host=a,b user=u load_balance_hosts=random"};
	struct err err = {0};
	clean();
	if (PQlibVersion() < 160000) {
		ck_assert(!pg_dsn_read(&config, "x", &dsn, &err));
		ck_assert_int_eq(err.class, ERR_CONFIG);
		return;
	}
	ck_assert_msg(pg_dsn_read(&config, "x", &dsn, &err), "%s", err.text);
	ck_assert(dsn.shuffled);
	pg_dsn_free(&dsn);
	reads("host=a,b user=u load_balance_hosts=disable");
	ck_assert(!dsn.shuffled);
	pg_dsn_free(&dsn);
}
END_TEST

/*
 * A host that is another machine and no TLS that verifies it: said, and with require_tls refused.
 * Sockets and loopback are exempt, and an address counts before the name beside it.
 */
START_TEST(exposed)
{
	static const struct {
		const char *text, *says; /* NULL: nothing */
	} cases[] = {
		{"postgresql://u@h/db", "sslmode is prefer, and h is another machine"},
		{"postgresql://u@h/db?sslmode=disable", "sslmode is disable"},
		{"postgresql://u@h/db?sslmode=require", "anybody on the way could pass for"},
		{"postgresql://u@h/db?sslmode=verify-ca", "pass for"},
		{"postgresql://u@h/db?sslmode=verify-full", NULL},
		{"postgresql://u@h/db?gssencmode=require", NULL},
		{"postgresql://u@localhost,127.0.0.1,[::1]/db", NULL},
		{"postgresql://u@localhost,h2/db", "h2 is another"},
		{"host=/run/postgresql user=u", NULL},
		{"host=@abstract user=u", NULL},
		{"host=localhost hostaddr=192.0.2.1 user=u", "localhost is another"},
		{"host=h hostaddr=127.0.0.1 user=u", NULL},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct config config = {.pg_dsn = cases[i].text};
		struct err err = {0};
		struct buf why = {0};
		clean();
		ck_assert_msg(pg_dsn_check(&config, &why, &err), "%s: %s", cases[i].text, err.text);
		ck_assert_msg(cases[i].says ? strstr(buf_cstr(&why), cases[i].says) != NULL
					    : why.len == 0,
			      "%s: %s", cases[i].text, buf_cstr(&why));
		buf_free(&why);
		config.require_tls = true;
		bool ok = pg_dsn_read(&config, "x", &dsn, &err);
		ck_assert_msg(ok == !cases[i].says, "%s: %s", cases[i].text, err.text);
		if (ok) {
			pg_dsn_free(&dsn);
			continue;
		}
		ck_assert_int_eq(err.class, ERR_CONFIG);
		ck_assert_ptr_nonnull(strstr(err.text, cases[i].says));
		ck_assert_ptr_nonnull(strstr(err.text, "security.require_tls is on"));
	}
}
END_TEST

static Suite *pg_dsn_suite(void)
{
	Suite *s = suite_create("pg_dsn");
	TCase *tc = tcase_create("pg_dsn");
	tcase_add_loop_test(tc, refused, 0, ARRAY_LEN(malformed));
	tcase_add_loop_test(tc, taken_apart, 0, ARRAY_LEN(understood));
	tcase_add_test(tc, in_a_file);
	tcase_add_test(tc, no_host);
	tcase_add_test(tc, defaults);
	tcase_add_test(tc, environment_and_service);
	tcase_add_test(tc, password_file);
	tcase_add_test(tc, any_order);
	tcase_add_test(tc, exposed);
	suite_add_tcase(s, tc);
	return s;
}
UNIT_SUITE(pg_dsn_suite)

/*
 * test_check_secrets.c - files of secrets: which of them everybody can read, and that nothing else
 * is said.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/check_secrets.h"
#include "unit.h"

static char outer[64], inner[80], file[96], link_path[96];
static struct report report;

static void begin(void)
{
	strcpy(outer, "/tmp/memingest-secrets-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(outer));
	snprintf(inner, sizeof(inner), "%s/inner", outer);
	snprintf(file, sizeof(file), "%s/secret", inner);
	snprintf(link_path, sizeof(link_path), "%s/link", outer);
	ck_assert_int_eq(mkdir(inner, 0755), 0);
	fclose(fopen(file, "w"));
	ck_assert_int_eq(symlink(file, link_path), 0);
}

static void end(void)
{
	unlink(link_path);
	unlink(file);
	rmdir(inner);
	rmdir(outer);
	report_free(&report);
}

/* How many findings there are with these modes. */
static size_t findings(mode_t outer_mode, mode_t inner_mode, mode_t mode, struct config *config)
{
	ck_assert_int_eq(chmod(outer, outer_mode), 0);
	ck_assert_int_eq(chmod(inner, inner_mode), 0);
	ck_assert_int_eq(chmod(file, mode), 0);
	report_free(&report);
	check_secrets(config, &report);
	return report.n;
}

/* Others may read the file and pass each folder above it; a link counts by what it leads to. */
START_TEST(who_reads)
{
	struct config config = {.pg_password_file = link_path};
	ck_assert_uint_eq(findings(0755, 0755, 0644, &config), 1);
	ck_assert_int_eq(report.lines[0].level, REPORT_WARN);
	ck_assert_ptr_nonnull(strstr(report.lines[0].text, "postgres.password_file"));
	ck_assert_ptr_nonnull(strstr(report.lines[0].text, link_path));
	ck_assert_uint_eq(findings(0711, 0711, 0604, &config), 1);
	ck_assert_uint_eq(findings(0755, 0755, 0640, &config), 0);
	ck_assert_uint_eq(findings(0755, 0750, 0644, &config), 0);
	ck_assert_uint_eq(findings(0700, 0755, 0644, &config), 0);
	ck_assert_int_eq(report_exit_code(&report), 0);
}
END_TEST

/* Every setting that names a secret or a private key; those of Kafka by their names. */
START_TEST(which_files)
{
	struct config_pair kafka[] = {{.key = "sasl.password", .file = file},
				      {.key = "ssl.key.location", .value = file},
				      {.key = "ssl.keystore.location", .value = file},
				      {.key = "sasl.kerberos.keytab", .value = file},
				      {.key = "ssl.ca.location", .value = file},
				      {.key = "ssl.certificate.location", .value = file}};
	struct config config = {.pg_dsn_file = file,
				.pg_password_file = file,
				.registry_password_file = file,
				.registry_token_file = file,
				.registry_key = file,
				.registry_ca = file,
				.registry_cert = file,
				.http_token_file = file,
				.kafka = kafka,
				.nkafka = 6};
	ck_assert_uint_eq(findings(0755, 0755, 0644, &config), 10);
	config = (struct config){.path = file, .file_has_secret = true};
	ck_assert_uint_eq(findings(0755, 0755, 0644, &config), 1);
	config = (struct config){.path = file, .pg_password_file = "/nowhere/at/all"};
	ck_assert_uint_eq(findings(0755, 0755, 0644, &config), 0);
}
END_TEST

static Suite *check_secrets_suite(void)
{
	Suite *s = suite_create("check_secrets");
	TCase *t = tcase_create("check_secrets");
	tcase_add_checked_fixture(t, begin, end);
	tcase_add_test(t, who_reads);
	tcase_add_test(t, which_files);
	suite_add_tcase(s, t);
	return s;
}
UNIT_SUITE(check_secrets_suite)

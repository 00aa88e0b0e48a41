/*
 * check_secrets.c - which files hold secrets, and whether everybody can read them.
 *
 *   postgres.password_file, kafka.sasl.password_file, ...    by their settings
 *   registry.key, kafka.ssl.key.location, ...                private keys
 *   the config file                                          if a secret stands in it
 *
 * Everybody: others may read the file and pass through every folder above it. A group may read:
 * that is how Kubernetes (fsGroup) and packages hand a secret to a service. A warning only, for
 * within a container there may be nobody else.
 *
 * What is not there yet is no finding here: a secret may be mounted elsewhere than where "check"
 * runs. DSNs may name files as well (sslkey, passfile); those libpq looks at itself.
 */
#include "cli/check_secrets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Behind links: where the file itself lies. */
static bool everybody_reads(const char *path)
{
	struct stat st;
	char *real = realpath(path, NULL);
	bool reads = real && stat(real, &st) == 0 && (st.st_mode & S_IROTH) != 0;
	for (char *slash; reads && (slash = strrchr(real, '/')) && slash != real;) {
		*slash = '\0';
		reads = stat(real, &st) == 0 && (st.st_mode & S_IXOTH) != 0;
	}
	free(real);
	return reads;
}

/* path NULL: it is not set. */
static void look(struct report *report, const char *area, const char *setting, const char *path)
{
	if (path && everybody_reads(path))
		report_add(report, REPORT_WARN, area,
			   "%s: every user of this machine can read %s: chmod o-r (in Kubernetes "
			   "defaultMode: 0440, and fsGroup)",
			   setting, path);
}

/* Keys that name a file with a private key in it. */
static bool names_key(const char *kafka_key)
{
	static const char *const keys[] = {"ssl.key.location", "ssl.keystore.location",
					   "sasl.kerberos.keytab"};
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (strcmp(kafka_key, keys[i]) == 0)
			return true;
	return false;
}

void check_secrets(const struct config *config, struct report *report)
{
	const struct {
		const char *area, *setting, *path;
	} files[] = {
		{"postgres", "postgres.dsn_file", config->pg_dsn_file},
		{"postgres", "postgres.password_file", config->pg_password_file},
		{"registry", "registry.password_file", config->registry_password_file},
		{"registry", "registry.token_file", config->registry_token_file},
		{"registry", "registry.key", config->registry_key},
		{"http", "http.token_file", config->http_token_file},
		{"config", "a secret stands in the config file",
		 config->file_has_secret ? config->path : NULL},
	};
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		look(report, files[i].area, files[i].setting, files[i].path);
	for (size_t i = 0; i < config->nembeds; i++)
		look(report, "embed", "embed.*.key_file", config->embeds[i].key_file);
	for (size_t i = 0; i < config->nkafka; i++) {
		const struct config_pair *pair = &config->kafka[i];
		char setting[160];
		snprintf(setting, sizeof(setting), "kafka.%s%s", pair->key,
			 pair->file ? "_file" : "");
		look(report, "kafka", setting,
		     pair->file             ? pair->file
		     : names_key(pair->key) ? pair->value
					    : NULL);
	}
}

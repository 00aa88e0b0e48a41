/*
 * cmd_version.c - "memingest version": the program, and the libraries that it found at run time.
 *
 * Run time, not build time: the system's librdkafka may be newer than the headers, and that is what
 * matters when something is odd.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/cli.h"
#include "io/httpd.h"
#include "io/kafka_client.h"
#include "io/pg.h"
#include "io/registry.h"
#include "sqlite/store.h"

static const struct {
	const char *name;
	const char *(*version)(void);
} libraries[] = {
	{"librdkafka", kafka_version},         {"libpq", pg_library_version},
	{"libcurl", registry_library_version}, {"libmicrohttpd", httpd_library_version},
	{"jansson", jansson_version_str},      {"sqlite", sqlite_library_version},
};

static int run(struct cli *cli)
{
	if (!cli->json) {
		printf("memingest %s\n", MEMINGEST_VERSION);
		for (size_t i = 0; i < ARRAY_LEN(libraries); i++)
			printf("  %-14s %s\n", libraries[i].name, libraries[i].version());
		return EXIT_OK;
	}
	json_t *all = json_pack("{s:s}", "memingest", MEMINGEST_VERSION);
	for (size_t i = 0; i < ARRAY_LEN(libraries); i++)
		json_object_set_new(all, libraries[i].name, json_string(libraries[i].version()));
	char *text = json_dumps(all, JSON_INDENT(2));
	puts(text);
	free(text);
	json_decref(all);
	return EXIT_OK;
}

const struct command command_version = {
	.name = "version",
	.usage = "[--json]",
	.summary = "version of the program and its libraries",
	.help = "",
	.no_arguments = true,
	.run = run,
};

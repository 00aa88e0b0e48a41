/*
 * test_config.c - what a file, the environment and --set make of the settings, and what they say
 * when it is wrong.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/config.h"
#include "core/config_key.h"
#include "unit.h"

extern char **environ;

#define BASE                                                                                       \
	"[kafka]\nbootstrap.servers = k:9092\ngroup.id = g\n"                                      \
	"[postgres]\ndsn = postgresql://u@h/d\n"                                                   \
	"[registry]\nurl = http://r:8081\n"                                                        \
	"[stream.memory]\ntopic = memory.events\nschema = schemas/memory_event.avsc\n"

static char folder[] = "/tmp/memingest-config-XXXXXX";
static char file[64];
static struct config *config;
static struct buf findings;
static struct err err;

static void begin(void)
{
	memcpy(folder + sizeof(folder) - 7, "XXXXXX", 6);
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(file, sizeof(file), "%s/m.ini", folder);
	for (char **e = environ; *e;) {
		char name[128];
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(*e, "="), *e);
		if (strncmp(name, "MEMINGEST_", 10) == 0)
			unsetenv(name);
		else
			e++;
	}
}

static void end(void)
{
	static const char *const names[] = {"m.ini", "secret", "a.avsc"};
	char path[128];
	config_free(config);
	config = NULL;
	buf_free(&findings);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		unlink(path);
	}
	rmdir(folder);
}

static void write_file(const char *name, const char *text)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	FILE *f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

static bool load_set(const char *text, const struct config_override *overrides, size_t n)
{
	write_file("m.ini", text);
	config_free(config);
	findings.len = 0;
	err_clear(&err);
	config = config_load(file, overrides, n, &findings, &err);
	return config != NULL;
}

static bool load(const char *text)
{
	return load_set(text, NULL, 0);
}

/* Loading fails, and one finding is this; LINE before it stands for "path:line". */
static void refused(const char *text, int line, const char *want)
{
	struct buf full = {0};
	ck_assert_msg(!load(text), "loaded: %s", text);
	if (line > 0)
		buf_printf(&full, "%s:%d: ", file, line);
	buf_puts(&full, want);
	const char *got = buf_cstr(&findings);
	ck_assert_msg(strstr(got, buf_cstr(&full)) != NULL, "wanted: %s\ngot: %s", buf_cstr(&full),
		      got);
	ck_assert_int_eq(err.class, ERR_CONFIG);
	buf_free(&full);
}

static void loads(const char *text)
{
	ck_assert_msg(load(text), "%s", buf_cstr(&findings));
}

static const char *shown_origin(int line)
{
	static char text[256];
	snprintf(text, sizeof(text), "%s:%d", file, line);
	return text;
}

/* The line of "config show" for a key, its blanks squeezed; the caller frees it. */
static char *shown(const char *key)
{
	struct buf all = {0}, line = {0};
	char prefix[80];
	config_show(config, &all);
	snprintf(prefix, sizeof(prefix), "%s ", key);
	const char *s = buf_cstr(&all);
	while (s && strncmp(s, prefix, strlen(prefix)) != 0)
		s = strchr(s, '\n') ? strchr(s, '\n') + 1 : NULL;
	for (; s && *s && *s != '\n'; s++)
		if (*s != ' ' || s[1] != ' ')
			buf_u8(&line, (uint8_t)*s);
	char *copy = xstrdup(buf_cstr(&line));
	buf_free(&all);
	buf_free(&line);
	return copy;
}

static void shows(const char *key, const char *want)
{
	char *line = shown(key);
	ck_assert_str_eq(line, want);
	free(line);
}

/* With the least that must be said, every other setting has the default that the contract names. */
START_TEST(defaults)
{
	loads(BASE);
	ck_assert_str_eq(config->group_id, "g");
	ck_assert_str_eq(config->pg_dsn, "postgresql://u@h/d");
	ck_assert_ptr_null(config->pg_dsn_file);
	ck_assert_uint_eq(config->lanes, 2);
	ck_assert_int_eq(config->pg_statement_timeout_us, 60000000);
	ck_assert_int_eq(config->pg_lock_timeout_us, 5000000);
	ck_assert_int_eq(config->pg_connect_timeout_us, 5000000);
	ck_assert_uint_eq(config->batch_max_rows, 5000);
	ck_assert_uint_eq(config->batch_max_bytes, 16 << 20);
	ck_assert_int_eq(config->batch_max_age_us, 500000);
	ck_assert(config->batch_adaptive);
	ck_assert_uint_eq(config->batch_memory, 64 << 20);
	ck_assert_int_eq(config->batch_retention_us, INT64_C(7) * 86400 * 1000000);
	ck_assert_uint_eq(config->nregistry_urls, 1);
	ck_assert_int_eq(config->registry_timeout_us, 5000000);
	ck_assert_int_eq(config->registry_unknown_wait_us, 60000000);
	ck_assert_uint_eq(config->limits.max_depth, 64);
	ck_assert_uint_eq(config->limits.max_items, 100000);
	ck_assert_uint_eq(config->limits.max_string_bytes, 4 << 20);
	ck_assert_uint_eq(config->limits.max_row_bytes, 8 << 20);
	ck_assert_uint_eq(config->limits.max_key_bytes, 2600);
	ck_assert_double_eq_tol(config->dlq_max_ratio, 0.05, 1e-9);
	ck_assert_uint_eq(config->dlq_window, 10000);
	ck_assert_str_eq(config->http_listen, "127.0.0.1:9464");
	ck_assert(config->http_partition_metrics);
	ck_assert_int_eq(config->log_format, LOG_LOGFMT);
	ck_assert_int_eq(config->log_level, LOG_INFO);
	ck_assert_int_eq(config->shutdown_timeout_us, 20000000);
	ck_assert_uint_eq(config->nstreams, 1);
	ck_assert_str_eq(config->streams[0].name, "memory");
	ck_assert_str_eq(config->streams[0].topics[0], "memory.events");
	ck_assert_int_eq(config->streams[0].start, START_EARLIEST);
	ck_assert_ptr_null(config->streams[0].key_schema);
	ck_assert_int_eq(config->streams[0].format, FRAME_CONFLUENT);
	ck_assert_int_eq(config->streams[0].on_conflict, CONFLICT_NEWER);
}
END_TEST

/* Every type is read from the file into its own field, with its unit. */
START_TEST(values)
{
	loads(BASE
	      "key_schema = k.avsc\nformat = single-object\non_conflict = skip\nstart = latest\n"
	      "[batch]\nmax_rows = 7\nmax_bytes = 1 MiB\nmax_age = 2m\nmemory = 4194304\nretention "
	      "= 0\n"
	      "[limits]\nmax_row = 1MiB\n[dlq]\nmax_ratio = 0.125\n[http]\npartition_metrics = "
	      "off\nlisten = [::1]:0\n"
	      "[log]\nformat = json\nlevel = debug\n[stream.other]\ntopic = a , "
	      "^b{1,3}(x,y)$,c\nschema = /o.avsc\n");
	ck_assert_uint_eq(config->batch_max_rows, 7);
	ck_assert_uint_eq(config->batch_max_bytes, 1 << 20);
	ck_assert_int_eq(config->batch_max_age_us, 120000000);
	ck_assert_uint_eq(config->batch_memory, 4 << 20);
	ck_assert_int_eq(config->batch_retention_us, 0);
	ck_assert_double_eq_tol(config->dlq_max_ratio, 0.125, 1e-9);
	ck_assert(!config->http_partition_metrics);
	ck_assert_int_eq(config->log_format, LOG_JSON);
	ck_assert_int_eq(config->log_level, LOG_DEBUG);
	ck_assert_int_eq(config->streams[0].format, FRAME_SINGLE_OBJECT);
	ck_assert_int_eq(config->streams[0].on_conflict, CONFLICT_SKIP);
	ck_assert_int_eq(config->streams[0].start, START_LATEST);
	ck_assert_str_eq(config->streams[0].key_schema, "k.avsc");
	ck_assert_uint_eq(config->nstreams, 2);
	ck_assert_uint_eq(config->streams[1].ntopics, 3);
	ck_assert_str_eq(config->streams[1].topics[0], "a");
	ck_assert_str_eq(config->streams[1].topics[1], "^b{1,3}(x,y)$");
	ck_assert_str_eq(config->streams[1].topics[2], "c");
}
END_TEST

/*
 * The syntax of the file: comments, quotes, blanks, CRLF, a byte order mark, a value beyond any
 * fixed length.
 */
START_TEST(syntax)
{
	struct buf text = {0};
	char name[601];
	memset(name, 't', 600);
	name[600] = '\0';
	buf_printf(&text,
		   "\xef\xbb\xbf; first\r\n# second\r\n" BASE "on_conflict=update ; why\r\n");
	buf_printf(&text,
		   "  [ stream.b ]  ; indented\r\n\ttopic\t=\t%s\r\nschema = \"x ; y.avsc\" ; "
		   "quoted\r\n",
		   name);
	buf_printf(&text, "start = \"latest\"\r\n[http]\nlisten = host;x:1");
	loads(buf_cstr(&text));
	buf_free(&text);
	ck_assert_int_eq(config->streams[0].on_conflict, CONFLICT_UPDATE);
	ck_assert_str_eq(config->streams[1].topics[0], name);
	ck_assert_str_eq(config->streams[1].schema, "x ; y.avsc");
	ck_assert_str_eq(config->http_listen, "host;x:1");
}
END_TEST

/* What is no INI is named by its line. */
START_TEST(syntax_errors)
{
	refused("[batch\n" BASE, 1, "the section's name does not end with ]");
	refused("[batch] x\n" BASE, 1, "something follows the ]");
	refused("[batch]\nmax_rows 5\n" BASE, 2, "neither [section] nor key = value");
	refused("[batch]\n= 5\n" BASE, 2, "neither [section] nor key = value");
	refused("x = 5\n" BASE, 1, "x stands before the first [section]");
	refused(BASE "start = \"latest\n", 11,
		"a value that begins with a quote has to end with one");
}
END_TEST

/* What is no UTF-8 could not be shown as JSON: it is refused, but for comments. */
START_TEST(latin1)
{
	loads("# f\xfcr\n" BASE "; \xe4\n");
	refused(BASE "[log]\nlevel = \xe4\n", 12, "log.level: the value is not UTF-8");
	refused(BASE "[postgres]\nd\xe4 = x\n", 12, "is not UTF-8; save the file as UTF-8");
	refused(BASE "[\xe4]\n", 11, "is not UTF-8; save the file as UTF-8");
	refused("\xe4 = x\n" BASE, 1, "is not UTF-8; save the file as UTF-8");
	const struct config_override set[] = {{"kafka.client.id", "\xe4"}};
	ck_assert(!load_set(BASE, set, 1));
	ck_assert_str_eq(buf_cstr(&findings), "--set: kafka.client.id: the value is not UTF-8\n");
}
END_TEST

/* default < file < environment < --set, and show says which it was. */
START_TEST(precedence)
{
	const struct config_override set[] = {{"batch.max_rows", "4"},
					      {"stream.memory.start", "committed"}};
	loads(BASE);
	shows("batch.max_rows", "batch.max_rows = 5000 ; default");
	loads(BASE "[batch]\nmax_rows = 2\n");
	ck_assert_uint_eq(config->batch_max_rows, 2);
	char want[128];
	snprintf(want, sizeof(want), "batch.max_rows = 2 ; %s:12", file);
	shows("batch.max_rows", want);
	setenv("MEMINGEST_BATCH_MAX_ROWS", "3", 1);
	loads(BASE "[batch]\nmax_rows = 2\n");
	ck_assert_uint_eq(config->batch_max_rows, 3);
	shows("batch.max_rows", "batch.max_rows = 3 ; env MEMINGEST_BATCH_MAX_ROWS");
	ck_assert(load_set(BASE "[batch]\nmax_rows = 2\n", set, 2));
	ck_assert_uint_eq(config->batch_max_rows, 4);
	shows("batch.max_rows", "batch.max_rows = 4 ; --set");
	ck_assert_int_eq(config->streams[0].start, START_COMMITTED);
}
END_TEST

/*
 * The environment alone can say everything: dots become underscores, and the longest stream key
 * wins.
 */
START_TEST(environment)
{
	setenv("MEMINGEST_KAFKA_BOOTSTRAP_SERVERS", "e:1", 1);
	setenv("MEMINGEST_KAFKA_GROUP_ID", "eg", 1);
	setenv("MEMINGEST_KAFKA_SASL_PASSWORD_FILE", "/run/pw", 1);
	setenv("MEMINGEST_KAFKA_SASL_OAUTHBEARER_ASSERTION_FILE", "/run/jwt", 1);
	setenv("MEMINGEST_POSTGRES_DSN", "host=h", 1);
	setenv("MEMINGEST_REGISTRY_URL", "http://a, http://b", 1);
	setenv("MEMINGEST_STREAM_MEMORY_TOPIC", "t", 1);
	setenv("MEMINGEST_STREAM_MEMORY_SCHEMA", "s", 1);
	setenv("MEMINGEST_STREAM_MEMORY_KEY_SCHEMA", "ks", 1);
	setenv("MEMINGEST_BATCH_MAX_ROWS", "", 1); /* empty: not set */
	findings.len = 0;
	config = config_load(NULL, NULL, 0, &findings, &err);
	ck_assert_msg(config != NULL, "%s", buf_cstr(&findings));
	ck_assert_str_eq(config->group_id, "eg");
	ck_assert_uint_eq(config->nkafka, 4);
	ck_assert_uint_eq(config->nregistry_urls, 2);
	ck_assert_str_eq(config->registry_urls[1], "http://b");
	ck_assert_uint_eq(config->nstreams, 1);
	ck_assert_str_eq(config->streams[0].name, "memory");
	ck_assert_str_eq(config->streams[0].schema, "s");
	ck_assert_str_eq(config->streams[0].key_schema, "ks");
	ck_assert_uint_eq(config->batch_max_rows, 5000);
	for (size_t i = 0; i < config->nkafka; i++) {
		const struct config_pair *p = &config->kafka[i];
		if (strcmp(p->key, "sasl.password") == 0)
			ck_assert(strcmp(p->file, "/run/pw") == 0 && !p->value);
		if (strcmp(p->key, "sasl.oauthbearer.assertion.file") == 0)
			ck_assert(strcmp(p->value, "/run/jwt") == 0 && !p->file);
	}
}
END_TEST

/* A stream of the file whose name has capitals or '-' is found by its name in the environment. */
START_TEST(environment_finds_stream)
{
	setenv("MEMINGEST_STREAM_MY_NOTES_START", "latest", 1);
	loads(BASE "[stream.My-notes]\ntopic = n\nschema = s\n");
	ck_assert_uint_eq(config->nstreams, 2);
	ck_assert_int_eq(config->streams[1].start, START_LATEST);
}
END_TEST

/* Models are named sections like streams; their name is the model's unless it is said. */
START_TEST(embeds)
{
	setenv("MEMINGEST_EMBED_MINI_LM_CONCURRENCY", "9", 1);
	setenv("MEMINGEST_EMBED_E5_URL", "http://e5/v1", 1);
	loads(BASE "[embed.mini-lm]\nurl = http://a/v1\nmodel = x/y\non_poison = null\n");
	ck_assert_uint_eq(config->nembeds, 2);
	const struct embed_config *e = config_embed(config, "mini-lm");
	ck_assert_str_eq(e->model, "x/y");
	ck_assert_uint_eq(e->concurrency, 9);
	ck_assert_uint_eq(e->max_inputs, 32);
	ck_assert_int_eq(e->on_poison, POISON_NULL);
	ck_assert_str_eq(config_embed(config, "e5")->model, "e5");
	ck_assert_ptr_null(config_embed(config, "e"));
	unsetenv("MEMINGEST_EMBED_MINI_LM_CONCURRENCY");
	unsetenv("MEMINGEST_EMBED_E5_URL");
	refused(BASE "[embed.m]\nmodel = x\n", 11, "embed.m.url: is missing");
	refused(BASE "[embed.m]\nurl = a/v1\n", 12, "embed.m.url: is no http:// or https:// URL");
	refused(BASE "[embed.m]\nurl = http://a/embeddings\n", 12,
		"embed.m.url: ends with /embeddings");
	refused(BASE "[embed.m]\nurls = a\n", 12, "embed.m.urls: unknown key; did you mean url?");
	refused(BASE "[embed]\nurl = http://a/v1\n", 11,
		"unknown section [embed]; did you mean [embed.NAME]?");
}
END_TEST

/*
 * What Kubernetes sets for a service called memingest is not ours; a typing mistake is an error
 * with the right name.
 */
START_TEST(environment_unknown)
{
	setenv("MEMINGEST_CONFIG", "x", 1);
	setenv("MEMINGEST_TEST_SEED", "1", 1);
	setenv("MEMINGEST_SERVICE_HOST", "10.0.0.1", 1);
	setenv("MEMINGEST_SERVICE_PORT_HTTP", "9464", 1);
	setenv("MEMINGEST_PORT", "tcp://10.0.0.1:9464", 1);
	setenv("MEMINGEST_PORT_9464_TCP_ADDR", "10.0.0.1", 1);
	setenv("MEMINGEST_HTTP_PORT", "tcp://10.0.0.1:9464", 1);
	loads(BASE);
	setenv("MEMINGEST_BATCH_MAXROWS", "1", 1);
	refused(BASE, 0,
		"env MEMINGEST_BATCH_MAXROWS: names no setting; did you mean "
		"MEMINGEST_BATCH_MAX_ROWS?");
	unsetenv("MEMINGEST_BATCH_MAXROWS");
	setenv("MEMINGEST_STREAM_MEMORY_TOPICS", "1", 1);
	refused(BASE, 0,
		"env MEMINGEST_STREAM_MEMORY_TOPICS: does not end with a key of [stream.NAME]");
}
END_TEST

/* Unknown names are errors with the nearest known one. */
START_TEST(unknown_names)
{
	refused(BASE "[batch]\nmax_row = 1\n", 12,
		"batch.max_row: unknown key; did you mean max_rows?");
	refused(BASE "[batch]\nnonsense = 1\n", 12, "batch.nonsense: unknown key;");
	refused(BASE "[postgress]\ndsn = x\n", 11,
		"unknown section [postgress]; did you mean [postgres]?");
	refused(BASE "[stream]\ntopic = x\n", 11,
		"unknown section [stream]; did you mean [stream.NAME]?");
	refused(BASE "[stream.a b]\ntopic = x\n", 11, "[stream.a b]: a stream's name has");
	refused(BASE "on_conflit = skip\n", 11,
		"stream.memory.on_conflit: unknown key; did you mean on_conflict?");
	const struct config_override set[] = {{"batch.maxrows", "1"}, {"nodot", "1"}};
	ck_assert(!load_set(BASE, set, 2));
	ck_assert_ptr_nonnull(
		strstr(buf_cstr(&findings),
		       "--set: batch.maxrows: unknown key; did you mean max_rows?\n"));
	ck_assert_ptr_nonnull(strstr(buf_cstr(&findings), "--set: nodot: write section.key=value"));
}
END_TEST

/* All mistakes come in one report, each with its line; the error has the first and their number. */
START_TEST(all_findings_at_once)
{
	ck_assert(!load("[batch]\nmax_rows = many\nmax_age = 5\n[log]\nlevel = "
			"loud\n[stream.x]\nschema = s\n"));
	const char *all = buf_cstr(&findings);
	static const char *const want[] = {
		":2: batch.max_rows: \"many\" is not a whole number",
		":3: batch.max_age: \"5\" is not a duration; write a number with us, ms",
		":5: log.level: \"loud\" is none of debug, info, warn, error",
		":6: stream.x.topic: is missing",
		"kafka.bootstrap.servers: is missing",
		"kafka.group.id: is missing",
		"postgres.dsn: is missing"};
	size_t lines = 0;
	for (const char *s = all; *s; s++)
		lines += *s == '\n';
	ck_assert_uint_eq(lines, ARRAY_LEN(want));
	for (size_t i = 0; i < ARRAY_LEN(want); i++)
		ck_assert_msg(strstr(all, want[i]) != NULL, "%s\n%s", want[i], all);
	ck_assert_ptr_nonnull(strstr(err.text, "(and 6 more)"));
}
END_TEST

/* Values out of range or of the wrong kind are refused with what would be right. */
START_TEST(bad_values)
{
	static const struct {
		const char *line, *want;
	} cases[] = {
		{"[batch]\nmax_rows = 0", "batch.max_rows: 0 is out of range; write 1 to 1000000"},
		{"[batch]\nmax_rows = -5", "\"-5\" is not a whole number"},
		{"[batch]\nmax_rows = 5k", "\"5k\" is not a whole number"},
		{"[batch]\nmax_rows =", "\"\" is not a whole number"},
		{"[batch]\nmax_rows = 99999999999999999999", "is not a whole number"},
		{"[batch]\nmax_bytes = 16MB",
		 "\"16MB\" is not a size; write a number with KiB, MiB or GiB"},
		{"[batch]\nmax_bytes = 9223372036854775807GiB", "is not a size"},
		{"[batch]\nmax_bytes = 2GiB", "2GiB is out of range; write 64KiB to 1GiB"},
		{"[batch]\nmax_age = 0", "0 is out of range; write 1ms to 1h"},
		{"[batch]\nmax_age = 1.5s", "\"1.5s\" is not a duration"},
		{"[dlq]\nmax_ratio = 1.5", "1.5 is out of range; write 0 to 1"},
		{"[dlq]\nmax_ratio = 5%", "\"5%\" is not a share"},
		{"[dlq]\nmax_ratio = nan", "\"nan\" is not a share"},
		{"[http]\npartition_metrics = maybe", "\"maybe\" is neither on nor off"},
		{"[http]\nlisten = 9464", "http.listen: \"9464\" is not HOST:PORT"},
		{"[http]\nlisten = h:99999", "is not HOST:PORT"},
		{"[http]\nlisten = :1", "is not HOST:PORT"},
		{"[log]\nformat = JSON", "\"JSON\" is none of logfmt, json"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf text = {0};
		buf_printf(&text, BASE "%s\n", cases[i].line);
		refused(buf_cstr(&text), 12, "");
		refused(buf_cstr(&text), 0, cases[i].want);
		buf_free(&text);
	}
}
END_TEST

/* "start" takes its three words, milliseconds, and ISO 8601 with zones; nothing else. */
START_TEST(start)
{
	static const struct {
		const char *text;
		int64_t ms; /* -1: refused */
	} cases[] = {
		{"1767225600000", 1767225600000},
		{"2026-01-01", 1767225600000},
		{"2026-01-01T00:00:00Z", 1767225600000},
		{"2026-01-01 00:00:00Z", 1767225600000},
		{"2026-01-01T01:30:00+01:30", 1767225600000},
		{"2025-12-31T22:00:00-02:00", 1767225600000},
		{"2026-01-01T00:00:00.1239Z", 1767225600123},
		{"2026-01-01T00:00:00", -1},
		{"yesterday", -1},
		{"2026-13-01", -1},
		{"2026-01-01T00:00:00Zx", -1},
		{"1960-01-01", -1},
		{"", -1},
		{"0", 0},
		{"1", -1},
		{"99999999999", -1},
		{"100000000000", 100000000000},
		{"99999999999999", 99999999999999},
		{"100000000000000", -1},
		{"1767225600", -1},
		{"1767225600000000", -1},
		{"1767225600000000000", -1},
		{"9223372036854775807", -1},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf why = {0};
		int kind;
		int64_t ms;
		bool ok = config_start_parse(cases[i].text, &kind, &ms, &why);
		ck_assert_uint_eq(ok, why.len == 0);
		buf_free(&why);
		ck_assert_msg(ok == (cases[i].ms >= 0), "%s", cases[i].text);
		if (ok)
			ck_assert_msg(kind == START_TIMESTAMP && ms == cases[i].ms, "%s: %ld",
				      cases[i].text, (long)ms);
	}
	loads(BASE "start = 2026-01-01\n");
	ck_assert_int_eq(config->streams[0].start, START_TIMESTAMP);
	ck_assert_int_eq(config->streams[0].start_ms, 1767225600000);
	refused(BASE "start = soon\n", 11,
		"stream.memory.start: \"soon\" is none of earliest, latest, committed");
	refused(BASE "start = 1767225600\n", 11,
		"stream.memory.start: 1767225600 are milliseconds since 1970, which is "
		"1970-01-21T10:53:45Z; probably seconds were meant: write 1767225600000 or "
		"2026-01-01T00:00:00Z");
	refused(BASE "start = 1767225600000000\n", 0,
		"probably microseconds were meant: write 1767225600000 or 2026-01-01T00:00:00Z");
	refused(BASE "start = 1767225600000000000\n", 0,
		"probably nanoseconds were meant: write 1767225600000 or 2026-01-01T00:00:00Z");
}
END_TEST

/* A pattern that does not compile would match nothing without a word. */
START_TEST(topic_patterns)
{
	loads("[kafka]\nbootstrap.servers=k\ngroup.id=g\n[postgres]\ndsn=d\n[registry]\nurl=u\n"
	      "[stream.m]\ntopic=^(a|b)\\.x{1,2}$, plain(\nschema=s\n");
	ck_assert_str_eq(config->pg_dsn_origin, shown_origin(5));
	ck_assert_str_eq(config->kafka[1].origin, shown_origin(3));
	refused("[kafka]\nbootstrap.servers=k\ngroup.id=g\n[postgres]\ndsn=d\n[registry]\nurl=u\n"
		"[stream.m]\ntopic=^a[b\nschema=s\n",
		9, "stream.m.topic: ^a[b is no regular expression: ");
}
END_TEST

/*
 * [kafka] is handed on as it stands; keys that would break an invariant are refused by name with
 * the reason.
 */
START_TEST(kafka_keys)
{
	loads("[kafka]\nsecurity.protocol = ssl\nclient.rack = a\ngroup.protocol = "
	      "consumer\nenable.auto.commit = "
	      "false\n" BASE);
	ck_assert_uint_eq(config->nkafka, 6);
	ck_assert_str_eq(config->kafka[0].key, "security.protocol");
	ck_assert_str_eq(config->kafka[0].value, "ssl");
	refused("[kafka]\nenable.auto.commit = true\n" BASE, 2,
		"kafka.enable.auto.commit: refused, because memingest commits");
	static const char *const keys[] = {"auto.offset.reset",
					   "enable.auto.offset.store",
					   "plugin.library.paths",
					   "sasl.kerberos.kinit.cmd",
					   "enable.sasl.oauthbearer.unsecure.jwt",
					   "enable.partition.eof",
					   "rebalance_cb",
					   "consume.callback.max.messages",
					   "auto.commit.interval.ms",
					   "offset.store.method",
					   "isolation.level"};
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		struct buf text = {0}, want = {0};
		buf_printf(&text, "[kafka]\n%s = x\n" BASE, keys[i]);
		buf_printf(&want, "kafka.%s: refused, because ", keys[i]);
		refused(buf_cstr(&text), 2, buf_cstr(&want));
		buf_free(&text);
		buf_free(&want);
	}
	refused("[kafka]\nclient.id_file = x\n" BASE, 2,
		"kafka.client.id_file: only passwords and keys can be read");
}
END_TEST

/* Checks that need more than one value, each at the place of one of them. */
START_TEST(cross_checks)
{
	refused(BASE "[stream.b]\ntopic = x,memory.events\nschema = s\n", 12,
		"stream.b.topic: memory.events belongs to stream.memory already");
	refused(BASE "[batch]\nmemory = 16MiB\n", 12, "batch.memory: has to hold two batches");
	refused(BASE "[limits]\nmax_row = 17MiB\n", 12,
		"limits.max_row: a row of that size fits no batch");
	refused("[registry]\ncert = c\n" BASE, 2, "registry.cert and registry.key");
	refused("[registry]\npassword = hush\n" BASE, 2, "registry.password: has no registry.user");
	refused("[registry]\ntoken = hush\nuser = u\n" BASE, 2, "registry.token: is set beside");
	refused("[kafka]\nbootstrap.servers=k\ngroup.id=g\n[postgres]\ndsn=d\n[stream.m]\ntopic="
		"t\nschema=s\n",
		6, "stream.m.format: confluent needs schemas by id");
	loads("[kafka]\nbootstrap.servers=k\ngroup.id=g\n[postgres]\ndsn=d\n[stream.m]\ntopic="
	      "t\nschema=s\nformat="
	      "raw\n");
	refused("[kafka]\nbootstrap.servers=k\ngroup.id=g\n[postgres]\ndsn=d\n", 0,
		"no stream: write a section");
	refused(BASE "[stream.empty]\n", 11, "stream.empty.schema: is missing");
	refused("[batch]\nmax_rows = 1\nmax_rows = 2\n" BASE, 3,
		"batch.max_rows: is set twice, first at");
}
END_TEST

/* Rows go to one place: PostgreSQL, or a file, which has one writer. */
START_TEST(one_database)
{
	refused("[sqlite]\npath = m.db\n" BASE, 2, "sqlite.path: is set beside postgres.dsn");
	refused("[sqlite]\npath = file:m.db?mode=ro\n" BASE, 2,
		"sqlite.path: is no path of a file");
	refused("[sqlite]\npath = :memory:\n" BASE, 2, "sqlite.path: is no path of a file");
	const struct config_override set[] = {{"postgres.dsn", ""}, {"postgres.lanes", "4"}};
	ck_assert(load_set("[sqlite]\npath = m.db\n" BASE, set, 2));
	ck_assert_str_eq(config->sqlite_path, "m.db");
	ck_assert_uint_eq(config->lanes, 1);
}
END_TEST

/* NAME and NAME_file: the stronger source wins, both in one source is a mistake. */
START_TEST(twins)
{
	refused("[postgres]\ndsn_file = x\n" BASE, 7, "postgres.dsn: dsn_file is set as well");
	setenv("MEMINGEST_POSTGRES_DSN_FILE", "/run/dsn", 1);
	loads(BASE);
	ck_assert_ptr_null(config->pg_dsn);
	ck_assert_str_eq(config->pg_dsn_file, "/run/dsn");
	const struct config_override set[] = {{"postgres.dsn", "host=s"}};
	ck_assert(load_set(BASE, set, 1));
	ck_assert_str_eq(config->pg_dsn, "host=s");
	ck_assert_ptr_null(config->pg_dsn_file);
}
END_TEST

/* Relative paths: beside the config file if something is there, else as they stand. */
START_TEST(paths)
{
	char beside[128];
	write_file("a.avsc", "{}");
	loads(BASE "key_schema = a.avsc\n");
	snprintf(beside, sizeof(beside), "%s/a.avsc", folder);
	ck_assert_str_eq(config->streams[0].key_schema, beside);
	ck_assert_str_eq(config->streams[0].schema, "schemas/memory_event.avsc");
}
END_TEST

/*
 * A secret in a file is read anew each time, without its last line break; a missing file is worth
 * another try.
 */
START_TEST(secret_files)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/secret", folder);
	write_file("secret", "one two\n");
	char *first = config_secret("unused", path, &err);
	write_file("secret", "three\r\n");
	char *second = config_secret(NULL, path, &err);
	char *plain = config_secret("four", NULL, &err);
	ck_assert_str_eq(first, "one two");
	ck_assert_str_eq(second, "three");
	ck_assert_str_eq(plain, "four");
	free(first);
	free(second);
	free(plain);
	unlink(path);
	ck_assert_ptr_null(config_secret(NULL, path, &err));
	ck_assert_int_eq(err.class, ERR_RETRY);
	ck_assert_ptr_nonnull(strstr(err.text, path));
	ck_assert_ptr_null(config_secret(NULL, folder, &err));
	ck_assert_ptr_null(config_secret(NULL, "/dev/zero", &err));
}
END_TEST

/* No way of showing the config, and no finding, lets a secret out. */
START_TEST(secrets_are_hidden)
{
	static const char secrets[] =
		"[kafka]\nsasl.password = hush1\nssl.key.password = hush2\nssl.key.pem = hush3\n"
		"sasl.oauthbearer.client.secret = hush4\nsasl.username = me\n"
		"sasl.jaas.config = hush5\n"
		"[postgres]\nlanes = 3\n"
		"[registry]\nuser = u\npassword = hush6\n";
	struct buf text = {0}, json = {0}, plain = {0};
	buf_printf(&text, "%s%s", secrets, BASE);
	setenv("MEMINGEST_POSTGRES_DSN",
	       "postgresql://u:hush7@h/d?password=hush8&sslpassword=hush9&x=y", 1);
	setenv("MEMINGEST_REGISTRY_URL", "http://a:hush10@r1, https://b:hush/11@r2", 1);
	loads(buf_cstr(&text));
	config_show(config, &plain);
	config_show_json(config, &json);
	ck_assert_msg(!strstr(buf_cstr(&plain), "hush"), "%s", buf_cstr(&plain));
	ck_assert_msg(!strstr(buf_cstr(&json), "hush"), "%s", buf_cstr(&json));
	char password[128];
	snprintf(password, sizeof(password), "kafka.sasl.password = *** ; %s:2", file);
	shows("kafka.sasl.password", password);
	shows("postgres.dsn",
	      "postgres.dsn = postgresql://u:***@h/d?password=***&sslpassword=***&x=y ; "
	      "env MEMINGEST_POSTGRES_DSN");
	shows("registry.url", "registry.url = http://a:***@r1, https://b:***@r2 ; "
			      "env MEMINGEST_REGISTRY_URL");
	buf_puts(&text, "sasl.password = hush1\n[registry]\npassword = hush2\n[nope]\nx = "
			"hush\n[limits]\nmax_depth=x\n");
	ck_assert(!load(buf_cstr(&text)));
	ck_assert_msg(!strstr(buf_cstr(&findings), "hush"), "%s", buf_cstr(&findings));
	buf_free(&text);
	buf_free(&plain);
	buf_free(&json);
}
END_TEST

/* An argument is no place for a secret: the finding says so and does not repeat it. */
START_TEST(secrets_are_no_arguments)
{
	static const struct {
		struct config_override set;
		bool secret;
	} cases[] = {
		{{"registry.password", "hush"}, true},
		{{"registry.token", "hush"}, true},
		{{"registry.url", "http://r, http://a:hush@r"}, true},
		{{"kafka.sasl.password", "hush"}, true},
		{{"kafka.ssl.key.pem", "hush"}, true},
		{{"postgres.dsn", "host=h password=hush"}, true},
		{{"postgres.dsn", "postgresql://u:hush@h/d"}, true},
		{{"postgres.dsn", "postgresql://u@h/d"}, false},
		{{"postgres.password_file", "hush"}, false},
		{{"kafka.sasl.password_file", "hush"}, false},
		{{"registry.url", "http://r2"}, false},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *key = cases[i].set.key;
		ck_assert_msg(load_set(BASE, &cases[i].set, 1) == !cases[i].secret, "%s: %s", key,
			      buf_cstr(&findings));
		ck_assert_msg(!strstr(buf_cstr(&findings), "hush"), "%s", buf_cstr(&findings));
		ck_assert(!cases[i].secret || strstr(buf_cstr(&findings), "list of processes"));
	}
}
END_TEST

/* Whether the config file itself has to be kept from others. */
START_TEST(file_has_secret)
{
	loads(BASE);
	ck_assert(!config->file_has_secret);
	loads(BASE "[kafka]\nsasl.password_file = x\n");
	ck_assert(!config->file_has_secret);
	loads(BASE "[kafka]\nsasl.password = x\n");
	ck_assert(config->file_has_secret);
	setenv("MEMINGEST_KAFKA_SASL_PASSWORD", "x", 1);
	loads(BASE);
	ck_assert(!config->file_has_secret);
}
END_TEST

#define TLS "[security]\nrequire_tls = on\n"
#define PLAIN_STREAM "[stream.memory]\ntopic = t\nschema = s\n"

/*
 * With require_tls a broker or registry on another machine is spoken to by verified TLS, or the
 * config has a mistake that names setting and host; this machine is exempt, and without the switch
 * nothing is said.
 */
START_TEST(require_tls)
{
	static const struct {
		const char *kafka, *registry; /* servers and settings, url */
		const char *finding;          /* NULL: none */
	} cases[] = {
		{"k:9092\n", "https://r", "kafka.security.protocol: is plaintext, and broker k "},
		{"localhost:1,k:9092\n", "https://r", "broker k is another machine"},
		{"k:1\nsecurity.protocol = SASL_PLAINTEXT\n", "https://r", "security.protocol: is"},
		{"k:1\nsecurity.protocol = sasl_ssl\n", "https://r", NULL},
		{"k:1\nsecurity.protocol = SSL\n", "https://r", NULL},
		{"PLAINTEXT://k:1\nsecurity.protocol = ssl\n", "https://r", "protocol: is"},
		{"k:1\nsecurity.protocol = ssl\nenable.ssl.certificate.verification = false\n",
		 "https://r", "kafka.enable.ssl.certificate.verification: is off"},
		{"k:1\nsecurity.protocol = ssl\nssl.endpoint.identification.algorithm = none\n",
		 "https://r", "kafka.ssl.endpoint.identification.algorithm: is none"},
		{"localhost:1,127.0.0.1:2,[::1]:3,127.9.9.9\n", "http://localhost:1/x", NULL},
		{"127.0.0.1.example:1\n", "https://r", "broker 127.0.0.1.example"},
		{"127.0.0.1:1\n", "http://u:p@r:1/x", "registry.url: is http, and r is another"},
		{"127.0.0.1:1\n", "https://r, http://localhost@r:1", "and r is another machine"},
		{"127.0.0.1:1\n", "http://[::1]:8081, HTTPS://r", NULL},
		{"127.0.0.1:1\n", "https://r\n[embed.m]\nurl = http://e/v1",
		 "embed.m.url: is http, and e is another machine"},
		{"127.0.0.1:1\n", "https://r\n[embed.m]\nurl = http://localhost/v1", NULL},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[512];
		snprintf(text, sizeof(text),
			 "[kafka]\ngroup.id = g\nbootstrap.servers = %s[postgres]\ndsn = x\n"
			 "[registry]\nurl = %s\n" PLAIN_STREAM "%s",
			 cases[i].kafka, cases[i].registry, TLS);
		if (cases[i].finding)
			refused(text, 0, cases[i].finding);
		else
			loads(text);
		*strstr(text, TLS) = '\0';
		loads(text);
	}
}
END_TEST

/*
 * Passwords are found in both forms of a DSN, quoted or not, or wrongly; what only looks similar is
 * left alone.
 */
START_TEST(hide_password)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{"host=h password=a user=u", "host=h password=*** user=u"},
		{"password='a b\\' c' host=h", "password=*** host=h"},
		{"host=h password = a sslPassword='b'", "host=h password = *** sslPassword=***"},
		{"host=h passfile=/x application_name=password",
		 "host=h passfile=/x application_name=password"},
		{"postgresql://u@h:5432/d", "postgresql://u@h:5432/d"},
		{"postgresql://u:p@h1:1,h2:2/d?sslmode=require",
		 "postgresql://u:***@h1:1,h2:2/d?sslmode=require"},
		{"postgresql://u:p@ss@h/d", "postgresql://u:***@h/d"},
		{"postgresql:///d?password=x", "postgresql:///d?password=***"},
		{"password='never closed", "password=***"},
		{"password=not quoted host=h", "password=*** host=h"},
		{"password='it's not closed' host=h", "password=*** host=h"},
		{"postgresql:///d?password=a&b&sslmode=x",
		 "postgresql:///d?password=***&sslmode=x"},
		{"", ""},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf out = {0};
		config_hide_password(cases[i].in, &out);
		ck_assert_str_eq(buf_cstr(&out), cases[i].out);
		buf_free(&out);
	}
}
END_TEST

/* The JSON form has every key with value and origin; what is not set is null. */
START_TEST(show_json)
{
	struct buf text = {0};
	loads(BASE "[embed.m-1]\nurl = http://a/v1\n");
	config_show_json(config, &text);
	json_t *all = json_loads(buf_cstr(&text), 0, NULL);
	buf_free(&text);
	ck_assert_ptr_nonnull(all);
	for (const struct config_key *k = config_keys; k->section; k++) {
		char name[80];
		snprintf(name, sizeof(name), "%s.%s",
			 strcmp(k->section, "stream") == 0  ? "stream.memory"
			 : strcmp(k->section, "embed") == 0 ? "embed.m-1"
							    : k->section,
			 k->name);
		ck_assert_msg(json_object_get(json_object_get(all, name), "origin") != NULL, "%s",
			      name);
	}
	json_t *rows = json_object_get(all, "batch.max_rows"),
	       *user = json_object_get(all, "registry.user");
	ck_assert_str_eq(json_string_value(json_object_get(rows, "value")), "5000");
	ck_assert_str_eq(json_string_value(json_object_get(rows, "origin")), "default");
	ck_assert(json_is_null(json_object_get(user, "value")));
	ck_assert_ptr_nonnull(json_object_get(all, "kafka.group.id"));
	json_decref(all);
}
END_TEST

/*
 * The table is sound: defaults parse and lie in their range, and documentation and help name every
 * key.
 */
START_TEST(table_is_sound)
{
	struct buf docs = {0}, help = {0}, why = {0};
	config_write_docs(&docs);
	config_write_help(&help);
	for (const struct config_key *k = config_keys; k->section; k++) {
		int64_t n;
		bool number = k->type >= KEY_COUNT && k->type <= KEY_CHOICE;
		char row[64];
		ck_assert_msg(!number || k->fallback, "%s.%s has no default", k->section, k->name);
		ck_assert_msg(!number || config_key_parse(k, k->fallback, &n, &why), "%s.%s",
			      k->section, k->name);
		ck_assert_ptr_eq(config_key_find(k->section, k->name), k);
		snprintf(row, sizeof(row), "| `%s` |", k->name);
		ck_assert_msg(strstr(buf_cstr(&docs), row) != NULL, "%s", row);
		ck_assert_msg(strstr(buf_cstr(&help), k->name) != NULL, "%s", k->name);
	}
	buf_free(&docs);
	buf_free(&help);
	buf_free(&why);
}
END_TEST

/*
 * "config example" is a config: it loads as it is, with the shipped streams, sets nothing to
 * another value than its default, and still loads, to the same values, when the ; of every default
 * is taken away.
 */
START_TEST(example)
{
	struct buf text = {0}, plain = {0}, before = {0}, after = {0};
	config_write_example(&text);
	loads(buf_cstr(&text));
	ck_assert_uint_eq(config->nstreams, 3);
	ck_assert_str_eq(config->streams[2].topics[0], "trajectory.events");
	ck_assert_str_eq(config->streams[1].schema, "schemas/pattern_event.avsc");
	ck_assert_str_eq(config->streams[0].key_schema, "schemas/memory_key.avsc");
	config_show_json(config, &before);
	for (const char *s = buf_cstr(&text); *s; s += strcspn(s, "\n") + 1) {
		size_t len = strcspn(s, "\n");
		bool off = *s == ';' && s[len - 1] != '=';
		buf_printf(&plain, "%.*s\n", (int)(len - off), s + off);
	}
	loads(buf_cstr(&plain));
	config_show_json(config, &after);
	json_t *one = json_loads(buf_cstr(&before), 0, NULL),
	       *two = json_loads(buf_cstr(&after), 0, NULL), *setting;
	const char *name;
	json_object_foreach (one, name, setting) {
		json_t *value = json_object_get(setting, "value"),
		       *then = json_object_get(json_object_get(two, name), "value");
		ck_assert_msg(json_equal(value, then), "%s", name);
	}
	for (const struct config_key *k = config_keys; k->section; k++) {
		char line[64];
		bool set = k->example && strcmp(k->section, "embed") != 0;
		snprintf(line, sizeof(line), "\n%s%s =", set ? "" : ";", k->name);
		ck_assert_msg(strstr(buf_cstr(&text), line) != NULL, "no line %s", line + 1);
	}
	json_decref(one);
	json_decref(two);
	buf_free(&text);
	buf_free(&plain);
	buf_free(&before);
	buf_free(&after);
}
END_TEST

/* A file that is not there, is a folder, or holds a NUL byte: a finding that names it. */
START_TEST(unreadable_file)
{
	char path[128];
	ck_assert_ptr_null(config_load("/nowhere/m.ini", NULL, 0, &findings, &err));
	ck_assert_int_eq(strncmp(err.text, "/nowhere/m.ini: cannot be read: No such file", 44), 0);
	ck_assert_ptr_null(config_load(folder, NULL, 0, NULL, &err));
	ck_assert_ptr_nonnull(strstr(err.text, "cannot be read"));
	snprintf(path, sizeof(path), "%s/a.avsc", folder);
	FILE *f = fopen(path, "w");
	fwrite("[log]\0x", 1, 7, f);
	fclose(f);
	ck_assert_ptr_null(config_load(path, NULL, 0, NULL, &err));
	ck_assert_ptr_nonnull(strstr(err.text, "cannot be read"));
}
END_TEST

static Suite *config_suite(void)
{
	Suite *s = suite_create("config");
	TCase *t = tcase_create("config");
	tcase_add_checked_fixture(t, begin, end);
	tcase_add_test(t, defaults);
	tcase_add_test(t, values);
	tcase_add_test(t, syntax);
	tcase_add_test(t, syntax_errors);
	tcase_add_test(t, latin1);
	tcase_add_test(t, precedence);
	tcase_add_test(t, environment);
	tcase_add_test(t, environment_finds_stream);
	tcase_add_test(t, embeds);
	tcase_add_test(t, environment_unknown);
	tcase_add_test(t, unknown_names);
	tcase_add_test(t, all_findings_at_once);
	tcase_add_test(t, bad_values);
	tcase_add_test(t, start);
	tcase_add_test(t, topic_patterns);
	tcase_add_test(t, kafka_keys);
	tcase_add_test(t, cross_checks);
	tcase_add_test(t, one_database);
	tcase_add_test(t, twins);
	tcase_add_test(t, paths);
	tcase_add_test(t, secret_files);
	tcase_add_test(t, secrets_are_hidden);
	tcase_add_test(t, secrets_are_no_arguments);
	tcase_add_test(t, file_has_secret);
	tcase_add_test(t, require_tls);
	tcase_add_test(t, hide_password);
	tcase_add_test(t, show_json);
	tcase_add_test(t, table_is_sound);
	tcase_add_test(t, example);
	tcase_add_test(t, unreadable_file);
	suite_add_tcase(s, t);
	return s;
}
UNIT_SUITE(config_suite)

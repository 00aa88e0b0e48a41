/*
 * config.c - from file, environment and command line to one struct config.
 *
 *   file --+                                  +-- fixed sections, by the table --+
 *   env  --+--> settings (name, text, origin) +-- [kafka] as it stands ----------+--> checks
 *   --set -+    config_gather.c               +-- [stream.NAME], by the table ---+
 *
 * Gathering (config_gather.c) knows names, building (here) knows values: each key of the table
 * takes its text or its default and becomes a value. At last come the checks that look at more than
 * one value. No step stops at a mistake: all are reported together, each with its place. Checks
 * across values run only when each value alone is right.
 *
 * The struct config is the head of a struct loaded, which keeps the settings for "config show". One
 * arena owns all of it.
 *
 * Loaded once, before threads start; read-only afterwards. Secrets in files are not part of it:
 * config_secret() reads them when they are needed, so that a rotated password takes effect at the
 * next login.
 */
#include <ctype.h>
#include <errno.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/config_file.h"
#include "core/exposed.h"

enum { MAX_SECRET = 64 << 10 };

/* Where a setting was given, for findings about two of them. */
static const char *origin_of(struct loader *ld, const char *section, const char *name)
{
	const struct setting *s = config_setting(ld->l, section, name);
	return s ? s->origin : "default";
}

/* --- building: from text to values */

/* By memcpy, as the table knows offsets and not types. */
static void store(void *base, size_t offset, const void *value, size_t size)
{
	memcpy((char *)base + offset, value, size);
}

/* As the config file sees it: its own folder first, then the working directory. */
static const char *resolve_path(struct loader *ld, const char *path)
{
	const char *config = ld->l->config.path, *slash = config ? strrchr(config, '/') : NULL;
	if (path[0] == '/' || !slash)
		return path;
	const char *beside =
		config_print(ld->l->arena, "%.*s/%s", (int)(slash - config), config, path);
	return access(beside, F_OK) == 0 ? beside : path;
}

/*
 * A shipped schema, for a config that stands in a folder without any: bin/memingest was installed
 * with share/memingest/schemas. Found from where the program is, so that a package, an image and
 * "make install" to any place are the same.
 */
static const char *resolve_schema(struct loader *ld, const char *path)
{
	char program[4096];
	const char *found = resolve_path(ld, path);
	ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);
	program[MAX(n, 0)] = '\0';
	for (int up = 0; up < 2; up++) /* out of bin */
		if (strrchr(program, '/'))
			*strrchr(program, '/') = '\0';
	const char *shipped = config_print(ld->l->arena, "%s/share/memingest/%s", program, found);
	bool there = found[0] == '/' || access(found, F_OK) == 0 || access(shipped, F_OK) != 0;
	return there ? found : shipped;
}

/* Secrets and certificates are never shipped. */
static const char *resolve(struct loader *ld, const struct config_key *key, const char *path)
{
	return strcmp(key->section, named_kinds[NAMED_STREAM]) == 0 ? resolve_schema(ld, path)
								    : resolve_path(ld, path);
}

/* Splits at commas, but not within brackets, where a regex has its own. */
static const char **split(struct arena *a, const char *text, size_t *n)
{
	size_t max = 1;
	for (const char *s = text; *s; s++)
		max += *s == ',';
	const char **items = arena_calloc(a, max, sizeof(*items));
	*n = 0;
	for (const char *s = text; *s;) {
		int depth = 0;
		while (isspace((unsigned char)*s) || *s == ',')
			s++;
		const char *end = s;
		for (; *end && (*end != ',' || depth > 0); end++)
			depth += strchr("([{", *end) ? 1 : strchr(")]}", *end) ? -1 : 0;
		size_t len = (size_t)(end - s);
		while (len > 0 && isspace((unsigned char)s[len - 1]))
			len--;
		if (len > 0) {
			char *item = arena_memdup(a, s, len + 1);
			item[len] = '\0';
			items[(*n)++] = item;
		}
		s = end;
	}
	return items;
}

/* The widths are those of the fields in config.h. */
static void store_number(const struct config_key *key, void *base, int64_t n)
{
	uint32_t u32 = (uint32_t)n;
	double ratio = (double)n / 1e6;
	bool on = n != 0;
	switch (key->type) {
	case KEY_COUNT:
	case KEY_BYTES32:
	case KEY_CHOICE: /* our enums have the size of an unsigned int */
		store(base, key->offset, &u32, sizeof(u32));
		break;
	case KEY_BYTES:
	case KEY_DURATION:
		store(base, key->offset, &n, sizeof(n));
		break;
	case KEY_RATIO:
		store(base, key->offset, &ratio, sizeof(ratio));
		break;
	case KEY_SWITCH:
		store(base, key->offset, &on, sizeof(on));
		break;
	case KEY_TEXT:
	case KEY_PATH:
	case KEY_LIST:
	case KEY_START:
		break;
	}
}

/* A finding names the key and where the text came from, not the text of a secret. */
static void build_number(struct loader *ld, const struct config_key *key, void *base,
			 const char *section, const char *text, const char *origin)
{
	struct buf why = {0};
	int64_t n = 0;
	if (config_key_parse(key, text, &n, &why))
		store_number(key, base, n);
	else
		config_finding(ld, origin, "%s.%s: %s", section, key->name, buf_cstr(&why));
	buf_free(&why);
}

/* Two fields: which kind, and the time. */
static void build_start(struct loader *ld, const struct config_key *key, void *base,
			const char *section, const char *text, const char *origin)
{
	struct buf why = {0};
	int kind;
	int64_t ms;
	if (!config_start_parse(text, &kind, &ms, &why))
		config_finding(ld, origin, "%s.%s: %s", section, key->name, buf_cstr(&why));
	buf_free(&why);
	store(base, key->offset, &kind, sizeof(kind));
	store(base, key->count_offset, &ms, sizeof(ms));
}

/* Numbers of all kinds go one way; an empty text or path is as good as none. */
static void build_key(struct loader *ld, const struct config_key *key, void *base,
		      const char *section)
{
	const struct setting *s = config_setting(ld->l, section, key->name);
	const char *text = s ? s->value : key->fallback, *origin = s ? s->origin : "default";
	const char **list = NULL;
	size_t n = 0;
	if (!text)
		return;
	switch (key->type) {
	case KEY_TEXT:
	case KEY_PATH:
		text = *text == '\0' ? NULL : key->type == KEY_PATH ? resolve(ld, key, text) : text;
		store(base, key->offset, &text, sizeof(text));
		break;
	case KEY_LIST:
		list = split(ld->l->arena, text, &n);
		store(base, key->offset, &list, sizeof(list));
		store(base, key->count_offset, &n, sizeof(n));
		break;
	case KEY_START:
		build_start(ld, key, base, section, text, origin);
		break;
	case KEY_COUNT:
	case KEY_BYTES:
	case KEY_BYTES32:
	case KEY_DURATION:
	case KEY_RATIO:
	case KEY_SWITCH:
	case KEY_CHOICE:
		build_number(ld, key, base, section, text, origin);
		break;
	}
}

/* As they stand: librdkafka judges them. NAME_file is read when a client is made. */
static void build_kafka(struct loader *ld)
{
	struct config *c = &ld->l->config;
	c->kafka = arena_calloc(ld->l->arena, ld->l->nsettings + 1, sizeof(*c->kafka));
	for (size_t i = 0; i < ld->l->nsettings; i++) {
		const struct setting *s = &ld->l->settings[i];
		if (s->overridden || strcmp(s->section, "kafka") != 0)
			continue;
		struct config_pair *pair = &c->kafka[c->nkafka++];
		pair->key = s->name;
		pair->origin = s->origin;
		if (config_names_file(s->name)) {
			char *key = arena_strdup(ld->l->arena, s->name);
			key[strlen(key) - strlen("_file")] = '\0';
			pair->key = key;
			pair->file = resolve_path(ld, s->value);
		} else {
			pair->value = s->value;
		}
		if (strcmp(s->name, "group.id") == 0)
			c->group_id = s->value;
	}
}

/* The keys of one named section; a required one that is missing is found here. */
static void build_named(struct loader *ld, enum named_kind kind,
			const struct named_section *section, void *base)
{
	for (const struct config_key *k = config_keys; k->section; k++) {
		if (strcmp(k->section, named_kinds[kind]) != 0)
			continue;
		const struct setting *s = config_setting(ld->l, section->section, k->name);
		if (k->required && (!s || *s->value == '\0'))
			config_finding(ld, s ? s->origin : section->origin, "%s.%s: is missing; %s",
				       section->section, k->name, k->help);
		build_key(ld, k, base, section->section);
	}
}

static void build_streams(struct loader *ld)
{
	const struct named_sections *list = &ld->l->named[NAMED_STREAM];
	struct config *c = &ld->l->config;
	c->streams = arena_calloc(ld->l->arena, list->n + 1, sizeof(*c->streams));
	for (; c->nstreams < list->n; c->nstreams++) {
		c->streams[c->nstreams].name = list->all[c->nstreams].name;
		build_named(ld, NAMED_STREAM, &list->all[c->nstreams], &c->streams[c->nstreams]);
	}
}

static void build_embeds(struct loader *ld)
{
	const struct named_sections *list = &ld->l->named[NAMED_EMBED];
	struct config *c = &ld->l->config;
	c->embeds = arena_calloc(ld->l->arena, list->n + 1, sizeof(*c->embeds));
	for (; c->nembeds < list->n; c->nembeds++) {
		struct embed_config *e = &c->embeds[c->nembeds];
		e->name = list->all[c->nembeds].name;
		build_named(ld, NAMED_EMBED, &list->all[c->nembeds], e);
		if (!e->model)
			e->model = e->name;
	}
}

/* [kafka] and the streams are no rows of the fixed sections. */
static void build(struct loader *ld)
{
	struct loaded *l = ld->l;
	for (const struct config_key *k = config_keys; k->section; k++)
		if (!config_is_named_kind(k->section))
			build_key(ld, k, &l->config, k->section);
	l->config.pg_dsn_origin = origin_of(ld, "postgres", l->config.pg_dsn ? "dsn" : "dsn_file");
	if (l->config.sqlite_path)
		l->config.lanes = 1;
	build_kafka(ld);
	build_streams(ld);
	build_embeds(ld);
}

/* Then the file has to be kept from others. */
static bool file_has_secret(const struct loaded *l)
{
	for (size_t i = 0; i < l->nsettings; i++) {
		const struct setting *s = &l->settings[i];
		if (s->source == SOURCE_FILE && config_is_secret(s->section, s->name, s->value))
			return true;
	}
	return false;
}

/* --- checks beyond single values */

/* The two without which no client can be made. */
static void check_kafka_key(struct loader *ld, const char *name, const char *example)
{
	const struct setting *s = config_setting(ld->l, "kafka", name);
	if (!s || *s->value == '\0')
		config_finding(ld, ld->l->config.path,
			       "kafka.%s: is missing; write it below [kafka], as in %s = %s", name,
			       name, example);
}

/* SQLite would open something else than what is locked and looked at by that name. */
static bool is_no_path(const char *path)
{
	return strncmp(path, "file:", 5) == 0 || strcmp(path, ":memory:") == 0;
}

/* All that is missing, each with an example to copy. */
static void check_complete(struct loader *ld)
{
	const struct config *c = &ld->l->config;
	check_kafka_key(ld, "bootstrap.servers", "127.0.0.1:9092");
	check_kafka_key(ld, "group.id", "memingest");
	if (!c->pg_dsn && !c->pg_dsn_file && !c->sqlite_path)
		config_finding(ld, c->path,
			       "postgres.dsn: is missing; write it below [postgres], as in dsn = "
			       "postgresql://user@host/database");
	if ((c->pg_dsn || c->pg_dsn_file) && c->sqlite_path)
		config_finding(ld, origin_of(ld, "sqlite", "path"),
			       "sqlite.path: is set beside postgres.dsn (%s), and rows go to one "
			       "place: take one of them out",
			       c->pg_dsn_origin);
	if (c->sqlite_path && is_no_path(c->sqlite_path))
		config_finding(ld, origin_of(ld, "sqlite", "path"),
			       "sqlite.path: is no path of a file but a word of SQLite's: write "
			       "/PATH, or ./PATH if the file is called that");
	if (c->nstreams == 0)
		config_finding(ld, c->path,
			       "no stream: write a section [stream.NAME] with topic and schema");
}

/* A topic in two streams would be written twice. */
static void check_topic(struct loader *ld, size_t stream, const char *topic)
{
	const struct config *c = &ld->l->config;
	for (size_t i = 0; i < stream; i++)
		for (size_t t = 0; t < c->streams[i].ntopics; t++)
			if (strcmp(c->streams[i].topics[t], topic) == 0)
				config_finding(
					ld,
					origin_of(ld,
						  ld->l->named[NAMED_STREAM].all[stream].section,
						  "topic"),
					"stream.%s.topic: %s belongs to stream.%s already; a topic "
					"has one stream",
					c->streams[stream].name, topic, c->streams[i].name);
}

/* As librdkafka compiles it, which says nothing of one that it can not. */
static void check_pattern(struct loader *ld, size_t stream, const char *topic)
{
	char why[160];
	regex_t regex;
	int rc = topic[0] == '^' ? regcomp(&regex, topic, REG_EXTENDED | REG_NOSUB) : REG_NOMATCH;
	if (rc == 0)
		regfree(&regex);
	if (rc == 0 || topic[0] != '^')
		return;
	regerror(rc, &regex, why, sizeof(why));
	config_finding(ld, origin_of(ld, ld->l->named[NAMED_STREAM].all[stream].section, "topic"),
		       "stream.%s.topic: %s is no regular expression: %s; put a \\ before a "
		       "character that is meant as it stands",
		       ld->l->config.streams[stream].name, topic, why);
}

/* What a stream needs from other sections. */
static void check_streams(struct loader *ld)
{
	const struct config *c = &ld->l->config;
	for (size_t i = 0; i < c->nstreams; i++) {
		const struct stream_config *s = &c->streams[i];
		for (size_t t = 0; t < s->ntopics; t++) {
			check_topic(ld, i, s->topics[t]);
			check_pattern(ld, i, s->topics[t]);
		}
		if (s->format == FRAME_CONFLUENT && c->nregistry_urls == 0 &&
		    !c->registry_directory)
			config_finding(ld, ld->l->named[NAMED_STREAM].all[i].origin,
				       "stream.%s.format: confluent needs schemas by id; set "
				       "registry.url or "
				       "registry.directory",
				       s->name);
	}
}

/* A limit that another one makes impossible. */
static void check_sizes(struct loader *ld)
{
	const struct config *c = &ld->l->config;
	if (c->limits.max_row_bytes > c->batch_max_bytes)
		config_finding(ld, origin_of(ld, "limits", "max_row"),
			       "limits.max_row: a row of that size fits no batch; lower it, or "
			       "raise batch.max_bytes (%s)",
			       origin_of(ld, "batch", "max_bytes"));
	if (c->batch_memory / 2 < c->batch_max_bytes)
		config_finding(ld, origin_of(ld, "batch", "memory"),
			       "batch.memory: has to hold two batches, one that fills and one that "
			       "is written; raise it, or "
			       "lower batch.max_bytes (%s)",
			       origin_of(ld, "batch", "max_bytes"));
}

/* A URL that leads nowhere, or that would be asked for /embeddings/embeddings. */
static void check_embeds(struct loader *ld)
{
	static const char path[] = "/embeddings";
	const struct config *c = &ld->l->config;
	for (size_t i = 0; i < c->nembeds; i++) {
		const struct named_section *section = &ld->l->named[NAMED_EMBED].all[i];
		const char *url = c->embeds[i].url,
			   *origin = origin_of(ld, section->section, "url");
		size_t len = strlen(url), n = strlen(path);
		if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
			config_finding(ld, origin,
				       "%s.url: is no http:// or https:// URL; write it as in "
				       "http://127.0.0.1:8080/v1",
				       section->section);
		else if (len > n && strcmp(url + len - n, path) == 0)
			config_finding(ld, origin,
				       "%s.url: ends with %s, which is added to it; take that away",
				       section->section, path);
	}
}

/* Two ways to log in, or half of one. */
static void check_registry(struct loader *ld)
{
	const struct config *c = &ld->l->config;
	bool password = c->registry_password || c->registry_password_file,
	     token = c->registry_token || c->registry_token_file;
	if (token && (c->registry_user || password))
		config_finding(
			ld, origin_of(ld, "registry", c->registry_token ? "token" : "token_file"),
			"registry.token: is set beside a user or password; take one of them out");
	if (password && !c->registry_user)
		config_finding(ld,
			       origin_of(ld, "registry",
					 c->registry_password ? "password" : "password_file"),
			       "registry.password: has no registry.user");
	if (!c->registry_cert != !c->registry_key)
		config_finding(ld, origin_of(ld, "registry", c->registry_cert ? "cert" : "key"),
			       "registry.cert and registry.key: one is set without the other");
}

/* The last colon counts, as an IPv6 address has several. */
static bool is_listen(const char *listen)
{
	const char *colon = listen ? strrchr(listen, ':') : NULL;
	char *end = NULL;
	long port = colon && isdigit((unsigned char)colon[1]) ? strtol(colon + 1, &end, 10) : -1;
	return end && *end == '\0' && port >= 0 && port <= 65535 && colon != listen;
}

static void check_listen(struct loader *ld)
{
	const struct config *c = &ld->l->config;
	const struct {
		const char *section, *name, *value, *example;
	} all[] = {{"http", "listen", c->http_listen, "127.0.0.1:9464"},
		   {"gateway", "http_listen", c->gateway_http_listen, "127.0.0.1:9466"}};
	const char *gateway = c->gateway_listen;
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (!is_listen(all[i].value) && !(all[i].value && strcmp(all[i].value, "off") == 0))
			config_finding(ld, origin_of(ld, all[i].section, all[i].name),
				       "%s.%s: \"%s\" is not HOST:PORT; write it as in %s, or off",
				       all[i].section, all[i].name,
				       all[i].value ? all[i].value : "", all[i].example);
	if (!is_listen(gateway))
		config_finding(ld, origin_of(ld, "gateway", "listen"),
			       "gateway.listen: \"%s\" is not HOST:PORT; write it as in "
			       "127.0.0.1:9465",
			       gateway ? gateway : "");
}

/* What anybody could write into would be open to all that can reach it. */
static void check_gateway(struct loader *ld)
{
	const struct config *c = &ld->l->config;
	if (exposed_listens(c->gateway_listen) && !c->gateway_token_file)
		config_finding(ld, origin_of(ld, "gateway", "listen"),
			       "gateway.listen: %s is heard by other machines, and anybody there "
			       "could write: set gateway.token_file",
			       c->gateway_listen);
	if (!c->gateway_certificate_file != !c->gateway_key_file)
		config_finding(ld,
			       origin_of(ld, "gateway",
					 c->gateway_key_file ? "key_file" : "certificate_file"),
			       "gateway.certificate_file and gateway.key_file: one is set without "
			       "the other");
	if (c->gateway_max_body > c->gateway_memory / 4)
		config_finding(ld, origin_of(ld, "gateway", "max_body"),
			       "gateway.max_body: is more than a quarter of gateway.memory, which "
			       "holds a request, its events and its answer; lower it, or raise "
			       "gateway.memory");
}

/* PostgreSQL's turn comes where its DSN is read (io/pg_dsn.c). */
static void check_exposed(struct loader *ld)
{
	static const struct {
		const char *section, *name;
		bool (*exposed)(const struct config *c, struct buf *why);
	} connections[] = {{"kafka", "security.protocol", exposed_kafka},
			   {"registry", "url", exposed_registry},
			   {"embed", "url", exposed_embed},

			   {"gateway", "listen", exposed_gateway}};
	for (size_t i = 0; ld->l->config.require_tls && i < ARRAY_LEN(connections); i++) {
		struct buf why = {0};
		if (connections[i].exposed(&ld->l->config, &why))
			config_finding(ld,
				       origin_of(ld, connections[i].section, connections[i].name),
				       "%s (security.require_tls)", buf_cstr(&why));
		buf_free(&why);
	}
}

/* --- public */

/* Findings of all steps together; NULL if there is any. */
struct config *config_load(const char *path, const struct config_override *overrides,
			   size_t noverrides, struct buf *findings, struct err *err)
{
	struct arena *arena = arena_new();
	struct loaded *l = arena_calloc(arena, 1, sizeof(*l));
	l->arena = arena;
	l->config.path = path ? arena_strdup(arena, path) : "config";
	struct loader ld = {.l = l, .findings = findings, .err = err};
	config_gather(&ld, path, overrides, noverrides);
	l->config.file_has_secret = file_has_secret(l);
	build(&ld);
	check_complete(&ld);
	if (ld.nfindings == 0) { /* else these would stumble over values that are not there */
		check_streams(&ld);
		check_sizes(&ld);
		check_registry(&ld);
		check_embeds(&ld);
		check_listen(&ld);
	}
	if (ld.nfindings == 0) {
		check_gateway(&ld);
		check_exposed(&ld);
	}
	if (ld.nfindings == 0)
		return &l->config;
	if (ld.nfindings > 1 && err)
		err_set(err, ERR_CONFIG, "%s (and %zu more)", err->text, ld.nfindings - 1);
	arena_free(arena);
	return NULL;
}

const struct embed_config *config_embed(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->nembeds; i++)
		if (strcmp(c->embeds[i].name, name) == 0)
			return &c->embeds[i];
	return NULL;
}

void config_free(struct config *c)
{
	if (c)
		arena_free(((struct loaded *)c)->arena);
}

/* Read at every call, so that a changed file counts. The caller frees it. */
char *config_secret(const char *value, const char *file, struct err *err)
{
	if (!file)
		return xstrdup(value ? value : "");
	char *text = config_read_text(file, MAX_SECRET);
	if (!text) {
		err_set(err, ERR_RETRY, "%s: secret cannot be read: %s", file, strerror(errno));
		return NULL;
	}
	size_t len = strlen(text);
	/* editors and echo put one there */
	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
		text[--len] = '\0';
	return text;
}

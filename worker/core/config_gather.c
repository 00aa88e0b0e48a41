/*
 * config_gather.c - what the sources say: names checked, values as text, the stronger source's word
 * in place of the weaker's.
 *
 * A mistake is reported where it stands and the next line is read, so that all are found in one go.
 * NAME and NAME_file are two ways to say one thing: the stronger source wins, and both from one
 * source is a mistake.
 *
 * Names in the environment: MEMINGEST_SECTION_KEY in capitals with dots as underscores. Variables
 * that Kubernetes puts there for a service that is called memingest (MEMINGEST_PORT,
 * MEMINGEST_SERVICE_HOST, ...) are not ours, nor are MEMINGEST_CONFIG and MEMINGEST_TEST_*; an
 * empty variable counts as none.
 *
 * All strings are copied into the config's arena. The values of secrets never get into a finding.
 * Start-up only, one thread.
 */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/suggest.h"
#include "codec/text.h"
#include "core/config_file.h"
#include "core/ini.h"

#define ENV_PREFIX "MEMINGEST_"

extern char **environ;

enum { MAX_FILE = 1 << 20 };

/* The first one is the error as well, for callers who want only one. */
void config_finding(struct loader *ld, const char *origin, const char *fmt, ...)
{
	char text[512];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (ld->nfindings++ == 0)
		err_set(ld->err, ERR_CONFIG, "%s: %s", origin, text);
	if (ld->findings)
		buf_printf(ld->findings, "%s: %s\n", origin, text);
}

/* The arena's: it lives as long as the config. */
char *config_print(struct arena *a, const char *fmt, ...)
{
	va_list args, again;
	va_start(args, fmt);
	va_copy(again, args);
	int n = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	char *text = arena_alloc(a, (size_t)MAX(n, 0) + 1);
	text[0] = '\0';
	vsnprintf(text, (size_t)MAX(n, 0) + 1, fmt, again);
	va_end(again);
	return text;
}

/* --- the list of settings */

/* The one that counts: those that a stronger source has overridden are passed over. */
static struct setting *find(const struct loaded *l, const char *section, const char *name)
{
	for (size_t i = 0; i < l->nsettings; i++) {
		struct setting *s = &l->settings[i];
		if (!s->overridden && strcmp(s->section, section) == 0 &&
		    strcmp(s->name, name) == 0)
			return s;
	}
	return NULL;
}

const struct setting *config_setting(const struct loaded *l, const char *section, const char *name)
{
	return find(l, section, name);
}

bool config_names_file(const char *name)
{
	size_t len = strlen(name);
	return len > 5 && strcmp(name + len - 5, "_file") == 0;
}

bool config_is_secret(const char *section, const char *name, const char *value)
{
	const char *named;
	enum named_kind kind = config_named(section, &named);
	const struct config_key *key =
		config_key_find(kind < NAMED_COUNT ? named_kinds[kind] : section, name);
	struct buf shown = {0};
	if (config_names_file(name))
		return false;
	if (strcmp(section, "kafka") == 0)
		return kafka_key_secret(name);
	if (!key || key->secrecy == KEY_OPEN)
		return false;
	config_hide_password(value, &shown);
	bool hidden = strcmp(buf_cstr(&shown), value) != 0;
	buf_free(&shown);
	return hidden || key->secrecy == KEY_SECRET;
}

/* Arguments are in the list of processes, which everybody reads. Its text is not repeated. */
static bool refuse_secret(struct loader *ld, const char *section, const char *name,
			  const char *value)
{
	if (ld->source != SOURCE_SET || !config_is_secret(section, name, value))
		return false;
	config_finding(ld, ld->origin,
		       "%s.%s: holds a secret, which everybody on this machine could read in the "
		       "list of processes; put it into a file (the config file, or one that a "
		       "setting ending in _file names) or into the environment",
		       section, name);
	return true;
}

/* NAME_file for NAME and the other way round, if it is set. */
static struct setting *find_twin(struct loader *ld, const char *section, const char *name)
{
	char twin[128];
	if (config_names_file(name))
		snprintf(twin, sizeof(twin), "%.*s", (int)strlen(name) - 5, name);
	else
		snprintf(twin, sizeof(twin), "%s_file", name);
	return find(ld->l, section, twin);
}

/* An arena cannot grow a piece, so the old one is left behind. */
static void add(struct loader *ld, const struct setting *s)
{
	struct loaded *l = ld->l;
	if (l->nsettings == l->cap_settings) {
		l->cap_settings = l->cap_settings ? l->cap_settings * 2 : 64;
		struct setting *more = arena_alloc(l->arena, l->cap_settings * sizeof(*more));
		if (l->nsettings > 0)
			memcpy(more, l->settings, l->nsettings * sizeof(*more));
		l->settings = more;
	}
	l->settings[l->nsettings++] = *s;
}

/* Takes a value whose section and name are known to be right. */
static void keep(struct loader *ld, const char *section, const char *name, const char *value)
{
	struct arena *a = ld->l->arena;
	if (refuse_secret(ld, section, name, value))
		return;
	struct setting *twin = find_twin(ld, section, name), *old = find(ld->l, section, name);
	if (twin && twin->source == ld->source)
		config_finding(ld, ld->origin,
			       "%s.%s: %s is set as well (%s); take one of them out", section, name,
			       twin->name, twin->origin);
	else if (twin)
		twin->overridden = true;
	if (old && old->source == SOURCE_FILE && ld->source == SOURCE_FILE) {
		config_finding(ld, ld->origin,
			       "%s.%s: is set twice, first at %s; take one of them out", section,
			       name, old->origin);
		return;
	}
	struct setting s = {
		.section = arena_strdup(a, section),
		.name = arena_strdup(a, name),
		.value = arena_strdup(a, value),
		.origin = ld->origin,
		.source = ld->source,
	};
	if (old)
		*old = s;
	else
		add(ld, &s);
}

static const char *const named_shown[NAMED_COUNT] = {"stream.NAME", "embed.NAME"};

/* With the nearest name that there is. */
static void unknown_section(struct loader *ld, const char *section)
{
	struct suggest s = suggest_for(section);
	suggest_offer(&s, "kafka");
	for (const struct config_key *k = config_keys; k->section; k++)
		if (!config_is_named_kind(k->section))
			suggest_offer(&s, k->section);
	for (size_t i = 0; i < NAMED_COUNT; i++) {
		suggest_offer(&s, named_shown[i]);
		if (strncmp(section, named_kinds[i], strlen(named_kinds[i])) == 0)
			s.best = named_shown[i];
	}
	config_finding(ld, ld->origin, "unknown section [%s]%s%s%s", section,
		       s.best ? "; did you mean [" : "", s.best ? s.best : "", s.best ? "]?" : "");
}

/* With the nearest name of that section. */
static void unknown_key(struct loader *ld, const char *kind, const char *section, const char *name)
{
	struct suggest s = suggest_for(name);
	for (const struct config_key *k = config_keys; k->section; k++)
		if (strcmp(k->section, kind) == 0)
			suggest_offer(&s, k->name);
	if (s.best)
		config_finding(ld, ld->origin, "%s.%s: unknown key; did you mean %s?", section,
			       name, s.best);
	else
		config_finding(ld, ld->origin,
			       "%s.%s: unknown key; \"memingest config keys\" lists them all",
			       section, name);
}

/* Once per section, in the order of their first mention. */
static void note_named(struct loader *ld, enum named_kind kind, const char *section)
{
	struct arena *a = ld->l->arena;
	struct named_sections *list = &ld->l->named[kind];
	for (size_t i = 0; i < list->n; i++)
		if (strcmp(list->all[i].section, section) == 0)
			return;
	if (list->n == list->cap) {
		list->cap = list->cap ? list->cap * 2 : 8;
		struct named_section *more = arena_alloc(a, list->cap * sizeof(*more));
		if (list->n > 0)
			memcpy(more, list->all, list->n * sizeof(*more));
		list->all = more;
	}
	struct named_section *s = &list->all[list->n++];
	s->section = arena_strdup(a, section);
	s->origin = ld->origin;
	config_named(s->section, &s->name);
}

/* It becomes a label, and part of the name of the staging table. */
bool config_stream_name(const char *name)
{
	size_t len = strlen(name);
	if (len == 0 || len > MAX_STREAM_NAME)
		return false;
	for (const char *s = name; *s; s++)
		if (!isalnum((unsigned char)*s) && *s != '_' && *s != '-')
			return false;
	return true;
}

/* What the table calls this section ("stream" for "stream.memory"); NULL after a finding. */
static const char *section_kind(struct loader *ld, const char *section)
{
	static const char *const nouns[NAMED_COUNT] = {"stream", "model"};
	const char *name;
	enum named_kind kind = config_named(section, &name);
	if (kind < NAMED_COUNT && config_stream_name(name)) {
		note_named(ld, kind, section);
		return named_kinds[kind];
	}
	if (kind < NAMED_COUNT) {
		config_finding(ld, ld->origin,
			       "[%s]: a %s's name has 1 to %d letters, digits, _ or -", section,
			       nouns[kind], MAX_STREAM_NAME);
		return NULL;
	}
	if (config_section_known(section) && !config_is_named_kind(section))
		return section;
	unknown_section(ld, section);
	return NULL;
}

/* librdkafka's keys are not known here, but those that we set ourselves are refused. */
static void put_kafka(struct loader *ld, const char *name, const char *value)
{
	const struct kafka_refusal *no = kafka_refused(name, value);
	if (no)
		config_finding(ld, ld->origin, "kafka.%s: refused, because %s; %s", name,
			       no->reason, no->instead);
	else if (*name == '\0')
		config_finding(ld, ld->origin, "kafka: a key is missing");
	else if (config_names_file(name) && !kafka_key_secret(name))
		config_finding(
			ld, ld->origin,
			"kafka.%s: only passwords and keys can be read from a file of their own",
			name);
	else
		keep(ld, "kafka", name, value);
}

static bool is_utf8(const char *s)
{
	struct refusal ignored;
	return text_check_utf8((struct slice){(const uint8_t *)s, strlen(s)}, &ignored);
}

/* What is shown, logged and sent is text; of what is none a finding cannot quote anything. */
static bool check_utf8(struct loader *ld, const char *section, const char *name, const char *value)
{
	if (!is_utf8(section) || !is_utf8(name))
		config_finding(ld, ld->origin, "is not UTF-8; save the file as UTF-8");
	else if (!is_utf8(value))
		config_finding(ld, ld->origin, "%s.%s: the value is not UTF-8", section, name);
	else
		return true;
	return false;
}

/* One setting, whichever source it is from. */
static void put(struct loader *ld, const char *section, const char *name, const char *value)
{
	const char *kind = check_utf8(ld, section, name, value) ? section_kind(ld, section) : NULL;
	if (!kind)
		return;
	if (strcmp(kind, "kafka") == 0) {
		put_kafka(ld, name, value);
		return;
	}
	if (config_key_find(kind, name))
		keep(ld, section, name, value);
	else
		unknown_key(ld, kind, section, name);
}

/* --- the file */

/* A section that is not known is one finding, not one for each of its lines. */
static void file_line(void *ctx, const struct ini_line *line)
{
	struct loader *ld = ctx;
	ld->origin = config_print(ld->l->arena, "%s:%u", ld->l->config.path, line->number);
	if (line->problem) {
		config_finding(ld, ld->origin, "%s", line->problem);
	} else if (!line->key) {
		ld->skip =
			!check_utf8(ld, line->section, "", "") || !section_kind(ld, line->section);
	} else if (*line->section == '\0') {
		if (check_utf8(ld, "", line->key, ""))
			config_finding(ld, ld->origin, "%s stands before the first [section]",
				       line->key);
	} else if (!ld->skip) {
		put(ld, line->section, line->key, line->value);
	}
}

/* Reads at most max bytes of f; NULL with errno set. */
static char *read_stream(FILE *f, size_t max)
{
	char *text = xmalloc(max + 1);
	errno = 0;
	size_t len = fread(text, 1, max + 1, f);
	int error = ferror(f) ? errno : len > max ? EFBIG : memchr(text, '\0', len) ? EILSEQ : 0;
	if (error) {
		free(text);
		errno = error;
		return NULL;
	}
	text[len] = '\0';
	return text;
}

/* NULL with errno set; errno is the read's, not the close's. */
char *config_read_text(const char *path, size_t max)
{
	FILE *f = fopen(path, "re");
	if (!f)
		return NULL;
	char *text = read_stream(f, max);
	int saved = errno;
	fclose(f);
	errno = saved;
	return text;
}

/* A file that cannot be read is a finding, so that the rest is still checked. */
static void gather_file(struct loader *ld, const char *path)
{
	char *text = config_read_text(path, MAX_FILE);
	if (!text) {
		config_finding(ld, path, "cannot be read: %s; name another file with -c",
			       strerror(errno));
		return;
	}
	ld->source = SOURCE_FILE;
	ini_parse(text, file_line, ld);
	free(text);
}

/* --- the environment */

/* "max_rows" to "MAX_ROWS", "group.id" to "GROUP_ID". */
static void env_case(char *out, size_t size, const char *name)
{
	size_t i = 0;
	for (; name[i] && i + 1 < size; i++)
		out[i] = isalnum((unsigned char)name[i]) ? (char)toupper((unsigned char)name[i])
							 : '_';
	out[i] = '\0';
}

/*
 * "MEMORY_ON_CONFLICT" for stream "memory": the longest key that ends it: KEY_SCHEMA, not SCHEMA of
 * MEMORY_KEY.
 */
static const struct config_key *env_named_key(enum named_kind kind, const char *rest,
					      size_t *name_len)
{
	const struct config_key *best = NULL;
	size_t len = strlen(rest);
	for (const struct config_key *k = config_keys; k->section; k++) {
		char upper[64];
		env_case(upper, sizeof(upper), k->name);
		size_t n = strlen(upper);
		if (strcmp(k->section, named_kinds[kind]) != 0 || len < n + 2 ||
		    strcmp(rest + len - n, upper) != 0 || rest[len - n - 1] != '_')
			continue;
		if (!best || n > strlen(best->name)) {
			best = k;
			*name_len = len - n - 1;
		}
	}
	return best;
}

/* Which of the file's streams is meant by MEMORY_EVENTS: "memory-events", if there is one. */
static const char *env_named_section(struct loader *ld, enum named_kind kind, const char *name,
				     size_t len)
{
	char upper[MAX_STREAM_NAME + 1], section[128] = "";
	const struct named_sections *list = &ld->l->named[kind];
	for (size_t i = 0; i < list->n; i++) {
		env_case(upper, sizeof(upper), list->all[i].name);
		if (strlen(upper) == len && strncmp(upper, name, len) == 0)
			return list->all[i].section;
	}
	size_t at = (size_t)snprintf(section, sizeof(section), "%s.", named_kinds[kind]);
	for (size_t i = 0; i < len && at + 1 < sizeof(section); i++)
		section[at++] = (char)tolower((unsigned char)name[i]);
	return arena_strdup(ld->l->arena, section);
}

/* The name of the stream and of the key stand together, with nothing between. */
static void env_named(struct loader *ld, enum named_kind kind, const char *rest, const char *value)
{
	static const char *const examples[NAMED_COUNT] = {"STREAM_NAME_TOPIC", "EMBED_NAME_URL"};
	size_t name_len = 0;
	const struct config_key *key = env_named_key(kind, rest, &name_len);
	if (key)
		put(ld, env_named_section(ld, kind, rest, name_len), key->name, value);
	else
		config_finding(ld, ld->origin,
			       "does not end with a key of [%s]; write " ENV_PREFIX "%s or so",
			       named_shown[kind], examples[kind]);
}

/* GROUP_ID is group.id; SASL_PASSWORD_FILE is sasl.password_file. */
static void env_kafka(struct loader *ld, const char *rest, const char *value)
{
	char name[128];
	size_t len = 0;
	for (; rest[len] && len + 1 < sizeof(name); len++)
		name[len] = rest[len] == '_' ? '.' : (char)tolower((unsigned char)rest[len]);
	name[len] = '\0';
	if (len > 5 && strcmp(name + len - 5, ".file") == 0) {
		name[len - 5] = '\0';
		if (kafka_key_secret(name))
			name[len - 5] = '_';
		else
			name[len - 5] = '.';
	}
	put(ld, "kafka", name, value);
}

/* By comparing with every name, as dots and underscores look the same there. */
static void env_fixed(struct loader *ld, const char *rest, const char *value)
{
	char names[64][64], one[64];
	size_t n = 0;
	struct suggest s = suggest_for(rest);
	for (const struct config_key *k = config_keys; k->section; k++) {
		if (config_is_named_kind(k->section) || n == ARRAY_LEN(names))
			continue;
		snprintf(one, sizeof(one), "%s.%s", k->section, k->name);
		env_case(names[n], sizeof(names[n]), one);
		if (strcmp(names[n], rest) == 0) {
			put(ld, k->section, k->name, value);
			return;
		}
		suggest_offer(&s, names[n++]);
	}
	if (s.best)
		config_finding(ld, ld->origin, "names no setting; did you mean " ENV_PREFIX "%s?",
			       s.best);
	else
		config_finding(ld, ld->origin,
			       "names no setting; \"memingest config keys\" lists them all");
}

/*
 * Docker and Kubernetes describe services: SERVICE_HOST, SERVICE_PORT[_NAME], PORT,
 * PORT_80_TCP[_ADDR|_PORT|_PROTO].
 */
static bool env_of_service(const char *rest)
{
	if (strstr(rest, "SERVICE_HOST") || strstr(rest, "SERVICE_PORT"))
		return true;
	const char *port = strstr(rest, "PORT");
	if (!port || (port != rest && port[-1] != '_'))
		return false;
	return port[4] == '\0' || (port[4] == '_' && isdigit((unsigned char)port[5]));
}

/* An empty variable is none, as container tools set such. */
static void gather_env(struct loader *ld)
{
	ld->source = SOURCE_ENV;
	for (char **e = environ; e && *e; e++) {
		const char *equals = strchr(*e, '=');
		if (!equals || equals[1] == '\0' ||
		    strncmp(*e, ENV_PREFIX, strlen(ENV_PREFIX)) != 0)
			continue;
		char name[160];
		snprintf(name, sizeof(name), "%.*s", (int)(equals - *e), *e);
		const char *rest = name + strlen(ENV_PREFIX), *value = equals + 1;
		if (strcmp(rest, "CONFIG") == 0 || strncmp(rest, "TEST_", 5) == 0 ||
		    env_of_service(rest))
			continue;
		ld->origin = config_print(ld->l->arena, "env %s", name);
		if (strncmp(rest, "STREAM_", 7) == 0)
			env_named(ld, NAMED_STREAM, rest + 7, value);
		else if (strncmp(rest, "EMBED_", 6) == 0)
			env_named(ld, NAMED_EMBED, rest + 6, value);
		else if (strncmp(rest, "KAFKA_", 6) == 0)
			env_kafka(ld, rest + 6, value);
		else
			env_fixed(ld, rest, value);
	}
}

/* --- --set, and all of them */

/* Of stream.NAME.KEY the last dot ends the name; of any other the first ends the section. */
static void gather_overrides(struct loader *ld, const struct config_override *overrides, size_t n)
{
	ld->source = SOURCE_SET;
	ld->origin = "--set";
	for (size_t i = 0; i < n; i++) {
		char section[128];
		const char *key = overrides[i].key, *name;
		bool named = config_named(key, &name) < NAMED_COUNT;
		const char *dot = named ? strrchr(key, '.') : strchr(key, '.');
		if (!dot || dot - key >= (ptrdiff_t)sizeof(section)) {
			config_finding(ld, ld->origin,
				       "%s: write section.key=value, as in batch.max_rows=1000",
				       key);
			continue;
		}
		snprintf(section, sizeof(section), "%.*s", (int)(dot - key), key);
		put(ld, section, dot + 1, overrides[i].value);
	}
}

/* From the weakest source to the strongest. */
void config_gather(struct loader *ld, const char *path, const struct config_override *overrides,
		   size_t noverrides)
{
	if (path)
		gather_file(ld, path);
	gather_env(ld);
	gather_overrides(ld, overrides, noverrides);
}

/*
 * config_show.c - the settings in words: what holds and why, and the documentation of what could be
 * set.
 *
 * "config show" walks the table (then [kafka], then the streams) and prints the text that config.c
 * made the value from, with its origin. Texts, not values: what stands there can be pasted into a
 * config file. Secrets are shown as ***, a DSN or URL without its password; so the output can be
 * pasted into a ticket as well.
 *
 * docs/CONFIG.md, "config keys", "config example" and the printed settings come from the same table
 * as the parser, so they can not drift. Start-up and commands only; nothing here changes a config.
 */
#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "core/config_file.h"

/* One line of "config show". value: NULL if not set. */
typedef void (*show_line)(void *ctx, const char *name, const char *value, const char *origin);

/* Passwords never, URLs without theirs. */
static void show_setting(const char *section, const char *name, const struct setting *s,
			 const char *fallback, enum key_secrecy secrecy, show_line line, void *ctx)
{
	struct buf full = {0}, shown = {0};
	const char *value = s ? s->value : fallback;
	buf_printf(&full, "%s.%s", section, name);
	if (value && *value && secrecy == KEY_SECRET)
		buf_puts(&shown, "***");
	else if (value && secrecy == KEY_URL)
		config_hide_password(value, &shown);
	else if (value)
		buf_puts(&shown, value);
	line(ctx, buf_cstr(&full), value ? buf_cstr(&shown) : NULL, s ? s->origin : "default");
	buf_free(&full);
	buf_free(&shown);
}

/* kind is what the table calls the section. */
static void show_section(const struct loaded *l, const char *kind, const char *section,
			 show_line line, void *ctx)
{
	for (const struct config_key *k = config_keys; k->section; k++)
		if (strcmp(k->section, kind) == 0)
			show_setting(section, k->name, config_setting(l, section, k->name),
				     k->fallback, k->secrecy, line, ctx);
}

/* [kafka] has no rows in the table, so its settings are walked by themselves. */
static void show_all(const struct config *c, show_line line, void *ctx)
{
	const struct loaded *l = (const struct loaded *)c;
	for (size_t i = 0; i < l->nsettings; i++) {
		const struct setting *s = &l->settings[i];
		bool secret = kafka_key_secret(s->name) && !config_names_file(s->name);
		if (!s->overridden && strcmp(s->section, "kafka") == 0)
			show_setting("kafka", s->name, s, NULL, secret ? KEY_SECRET : KEY_OPEN,
				     line, ctx);
	}
	const char *last = "";
	for (const struct config_key *k = config_keys; k->section; k++) {
		if (strcmp(k->section, last) != 0 && !config_is_named_kind(k->section))
			show_section(l, k->section, k->section, line, ctx);
		last = k->section;
	}
	for (size_t kind = 0; kind < NAMED_COUNT; kind++)
		for (size_t i = 0; i < l->named[kind].n; i++)
			show_section(l, named_kinds[kind], l->named[kind].all[i].section, line,
				     ctx);
}

static void text_line(void *ctx, const char *name, const char *value, const char *origin)
{
	buf_printf(ctx, "%-30s = %-34s ; %s\n", name, value ? value : "", origin);
}

void config_show(const struct config *c, struct buf *out)
{
	show_all(c, text_line, out);
}

/* One flat object: "section.key". */
static void json_line(void *ctx, const char *name, const char *value, const char *origin)
{
	json_t *entry = json_object();
	json_object_set_new(entry, "value", value ? json_string(value) : json_null());
	json_object_set_new(entry, "origin", json_string(origin));
	json_object_set_new(ctx, name, entry);
}

void config_show_json(const struct config *c, struct buf *out)
{
	json_t *all = json_object();
	show_all(c, json_line, all);
	char *text = json_dumps(all, JSON_INDENT(2));
	buf_puts(out, text ? text : "{}");
	buf_u8(out, '\n');
	free(text);
	json_decref(all);
}

/* --- documentation */

static const struct {
	const char *section, *text;
} section_texts[] = {
	{"kafka", "Handed to librdkafka as it stands, key by key: see its CONFIGURATION.md. "
		  "`bootstrap.servers` and "
		  "`group.id` have to be "
		  "there; `group.id` is also the name of the pipeline in the bookkeeping. "
		  "Passwords and keys can be "
		  "read from files "
		  "(`sasl.password_file`)."},
	{"postgres", "The database that the rows go to."},
	{"sqlite", "Or a file that they go to: for a laptop, a test, an agent at the edge."},
	{"batch", "When a batch is written, and how much memory all of them may take."},
	{"registry", "Where the schemas of messages in the format `confluent` come from."},
	{"limits", "What one event may ask for. An event over a limit becomes a dead letter."},
	{"dlq", "When dead letters are too many."},
	{"index", "When and how the graphs of searches by nearness are built."},
	{"http", "Metrics and probes."},
	{"log", "Lines on stderr."},
	{"shutdown", "The end."},
	{"stream",
	 "One section for each stream; NAME stands in metrics and in `memingest.dead_letters`."},
	{"embed", "One section for each model that makes vectors of texts: "
		  "[EMBEDDINGS.md](EMBEDDINGS.md). NAME is what the annotation "
		  "`\"embed\": {\"model\": \"NAME\"}` of a field says."},
};

static const char *section_text(const char *section)
{
	for (size_t i = 0; i < ARRAY_LEN(section_texts); i++)
		if (strcmp(section_texts[i].section, section) == 0)
			return section_texts[i].text;
	return "";
}

/* What may be written, in words. */
static void put_range(const struct config_key *k, struct buf *out)
{
	if (k->choices)
		for (size_t i = 0; k->choices[i]; i++)
			buf_printf(out, "%s%s", i ? ", " : "", k->choices[i]);
	else if (k->min)
		buf_printf(out, "%s to %s", k->min, k->max);
	else if (k->type == KEY_SWITCH)
		buf_puts(out, "on, off");
	else if (k->type == KEY_PATH)
		buf_puts(out, "path");
	else if (k->type == KEY_LIST)
		buf_puts(out, "list");
	else
		buf_puts(out, "text");
}

static void put_section_name(const char *section, struct buf *out)
{
	buf_printf(out, "%s%s", section, config_is_named_kind(section) ? ".NAME" : "");
}

/* For a terminal: help texts without the marks of Markdown. */
void config_write_help(struct buf *out)
{
	buf_puts(out, "[kafka]\n  any key of librdkafka; bootstrap.servers and group.id have to be "
		      "there\n");
	const char *last = "";
	for (const struct config_key *k = config_keys; k->section; k++) {
		if (strcmp(k->section, last) != 0) {
			buf_puts(out, "\n[");
			put_section_name(k->section, out);
			buf_puts(out, "]\n");
		}
		last = k->section;
		buf_printf(out, "  %-18s %-16s ", k->name,
			   k->required   ? "(required)"
			   : k->fallback ? k->fallback
					 : "");
		put_range(k, out);
		buf_puts(out, "\n      ");
		for (const char *s = k->help; *s; s++)
			if (*s != '`')
				buf_u8(out, (uint8_t)*s);
		buf_puts(out, "\n");
	}
}

static void doc_section(const char *section, struct buf *out)
{
	buf_puts(out, "\n## [");
	put_section_name(section, out);
	buf_printf(out, "]\n\n%s\n\n| key | default | range | meaning |\n|---|---|---|---|\n",
		   section_text(section));
	for (const struct config_key *k = config_keys; k->section; k++) {
		if (strcmp(k->section, section) != 0)
			continue;
		buf_printf(out, "| `%s` | ", k->name);
		if (k->required)
			buf_puts(out, "required");
		else if (k->fallback)
			buf_printf(out, "`%s`", k->fallback);
		buf_puts(out, " | ");
		put_range(k, out);
		buf_printf(out, " | %s |\n", k->help);
	}
}

/* Its keys are librdkafka's; what is ours is which of them are refused. */
static void doc_kafka(struct buf *out)
{
	buf_printf(out,
		   "\n## [kafka]\n\n%s\n\nThese keys are refused:\n\n| key | because | instead "
		   "|\n|---|---|---|\n",
		   section_text("kafka"));
	for (const struct kafka_refusal *r = kafka_refusals; r->key; r++) {
		buf_printf(out, "| `%s`", r->key);
		if (r->allowed)
			buf_printf(out, " other than `%s`", r->allowed);
		buf_printf(out, " | %s | %s |\n", r->reason, r->instead);
	}
}

void config_write_docs(struct buf *out)
{
	buf_puts(out,
		 "# Configuration\n\n"
		 "Generated by `memingest config docs` from the table in "
		 "`worker/core/config_key.c`; do not edit.\n\n"
		 "The file is named by `-c FILE`, else by `$MEMINGEST_CONFIG`, else it is "
		 "`./memingest.ini` if there "
		 "is one.\n"
		 "`memingest config show` prints each setting, its value and where the value comes "
		 "from.\n\n"
		 "```ini\n"
		 "[section]\n"
		 "key = value        ; a comment: after a blank, or alone on its line (there # "
		 "does as well)\n"
		 "key = \"a ; value\"  ; quotes are taken off; they keep blanks and semicolons\n"
		 "```\n\n"
		 "- Order: default, file, environment, `--set section.key=value`; the later one "
		 "wins.\n"
		 "- In the environment a key is `MEMINGEST_SECTION_KEY`, with dots as underscores: "
		 "`MEMINGEST_BATCH_MAX_ROWS`,\n"
		 "  `MEMINGEST_KAFKA_BOOTSTRAP_SERVERS`, `MEMINGEST_STREAM_MEMORY_TOPIC`. An empty "
		 "variable counts as "
		 "none.\n"
		 "- An unknown key or section is an error. All mistakes are reported together, "
		 "with file and line; "
		 "exit code 78.\n"
		 "- Sizes are numbers with `KiB`, `MiB` or `GiB` (none: bytes); durations have "
		 "`us`, `ms`, `s`, `m`, "
		 "`h` or `d`;\n"
		 "  switches are `on` or `off`; lists have commas between.\n"
		 "- `KEY_file` names a file that holds the secret `KEY`, without its last line "
		 "break. It is read when "
		 "the secret is\n"
		 "  needed, so a new password takes effect at the next login.\n"
		 "- Relative paths are seen from the folder of the config file if they exist "
		 "there, else from the "
		 "working directory;\n"
		 "  shipped schemas also from `share/memingest` beside the program's `bin`.\n"
		 "  Paths in `[kafka]` are librdkafka's: seen from the working directory.\n");
	doc_kafka(out);
	const char *last = "";
	for (const struct config_key *k = config_keys; k->section; k++) {
		if (strcmp(k->section, last) != 0)
			doc_section(k->section, out);
		last = k->section;
	}
}

/* --- an example */

enum { EXAMPLE_WIDTH = 98 };

/* The streams that are shipped: schemas/NAME_event.avsc and NAME_key.avsc. */
static const char *const shipped[] = {"memory", "pattern", "trajectory"};

/* A comment, broken at blanks, without the marks of Markdown. */
static void example_text(const char *text, struct buf *out)
{
	size_t column = 0;
	for (const char *word = text; *word; word += strspn(word, " ")) {
		size_t len = strcspn(word, " ");
		if (column + len >= EXAMPLE_WIDTH)
			column = 0;
		if (column == 0)
			buf_puts(out, out->len ? "\n#" : "#");
		buf_u8(out, ' ');
		for (size_t i = 0; i < len; i++)
			if (word[i] != '`')
				buf_u8(out, (uint8_t)word[i]);
		column = (column ? column : 1) + len + 1;
		word += len;
	}
}

/* The whole section is a comment: nothing shipped needs it. */
static bool is_optional(const char *section)
{
	return strcmp(section, named_kinds[NAMED_EMBED]) == 0;
}

/* What is to be set is set; the rest is a comment that sets the default when its ; is taken away.
 */
static void example_setting(const struct config_key *k, const char *stream, bool all,
			    struct buf *out)
{
	if (all)
		example_text(k->help, out);
	if (is_optional(k->section) && k->example) {
		buf_printf(out, "\n;%s = %s", k->name, k->example);
		return;
	}
	if (!k->example) {
		if (all)
			buf_printf(out, "\n;%s =%s%s", k->name, k->fallback ? " " : "",
				   k->fallback ? k->fallback : "");
		return;
	}
	buf_printf(out, "\n%s = ", k->name);
	for (const char *s = k->example; *s; s++) {
		if (*s == '*')
			buf_puts(out, stream);
		else
			buf_u8(out, (uint8_t)*s);
	}
}

/* all: with what each setting means, else only what is to be set. */
static void example_section(const char *section, const char *stream, bool all, struct buf *out)
{
	if (all)
		example_text(section_text(section), out);
	buf_printf(out, "\n%s[%s%s%s]", is_optional(section) ? ";" : "", section,
		   *stream ? "." : "", stream);
	for (const struct config_key *k = config_keys; k->section; k++)
		if (strcmp(k->section, section) == 0)
			example_setting(k, stream, all, out);
	buf_puts(out, "\n");
}

void config_write_example(struct buf *out)
{
	example_text("memingest.ini, printed by \"memingest config example\": the shipped streams "
		     "and every setting. Lines that begin with ; show defaults: take the ; away to "
		     "change one. Next: memingest check, memingest migrate, memingest run.",
		     out);
	struct buf tls = {0};
	buf_puts(out, "\n");
	example_text(section_text("kafka"), out);
	buf_puts(out, "\n[kafka]\nbootstrap.servers = 127.0.0.1:9092\ngroup.id = memingest\n");
	example_text(
		"A cluster that wants TLS and a login (SSL: TLS alone; SASL_PLAINTEXT: no TLS):",
		&tls);
	buf_printf(out,
		   "%s\n;security.protocol = SASL_SSL\n;sasl.mechanism = SCRAM-SHA-512\n"
		   ";sasl.username = memingest\n;sasl.password_file = /run/secrets/kafka\n"
		   ";ssl.ca.location = /etc/ssl/certs/ca-certificates.crt\n",
		   buf_cstr(&tls));
	buf_free(&tls);
	const char *last = "";
	for (const struct config_key *k = config_keys; k->section; k++) {
		if (strcmp(k->section, last) != 0 && !config_is_named_kind(k->section))
			example_section(k->section, "", true, out);
		last = k->section;
	}
	for (size_t i = 0; i < ARRAY_LEN(shipped); i++)
		example_section("stream", shipped[i], i == 0, out);
	example_section("embed", "minilm", true, out);
}

/*
 * cmd_new_stream.c - "memingest new-stream FILE.avsc": from an Avro schema to a stream, on paper:
 * what to annotate, the config section, the SQL that "migrate" would run. Writes nothing, asks
 * nobody.
 *
 * What the record's annotation lacks is guessed from names and types and shown, to be pasted or
 * corrected; the rest is then as if it stood in the file. Fields that fit no column are found by
 * trying: table_new() names the first one, which is left out for the next try and the next guess,
 * until the table stands. So whatever it refuses is said here in its own words, all at once, and
 * there is no second set of rules.
 *
 * 78 while something has to be put right in the file, else 0.
 */
#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/cli.h"
#include "cli/report.h"
#include "codec/table.h"
#include "core/ddl.h"
#include "core/searchsql.h"
#include "schema/schema.h"

struct draft {
	const char *path;
	json_t *json; /* of the file, with what was added */
	struct schema *schema;
	struct table *table;
	json_t *own;       /* the file's annotation of the record, or NULL */
	struct buf added;  /* to the record's annotation: "key": [..] */
	struct buf fields; /* "field 'x': what is wrong", a line each */
	char *stem;        /* "order" of OrderEvent */
};

/* ---- names ---- */

/* order_line of OrderLineEvent and of order_line, http_call of HTTPCall. */
static char *stem_of(const char *name)
{
	struct buf out = {0};
	size_t len = strlen(name);
	len -= len > 5 && strcasecmp(name + len - 5, "Event") == 0 ? 5 : 0;
	while (len > 1 && name[len - 1] == '_')
		len--;
	for (size_t i = 0; i < len; i++) {
		bool upper = isupper((unsigned char)name[i]),
		     hump = i > 0 && upper && islower((unsigned char)name[i - 1]),
		     word = i > 0 && upper && isupper((unsigned char)name[i - 1]) && i + 1 < len &&
			    islower((unsigned char)name[i + 1]);
		if (hump || word)
			buf_u8(&out, '_');
		buf_u8(&out, (uint8_t)tolower((unsigned char)name[i]));
	}
	out.len = MIN(out.len, (size_t)MAX_STREAM_NAME);
	return buf_take_text(&out);
}

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);
	return n >= m && strcasecmp(s + n - m, end) == 0;
}

/* ---- guesses ---- */

static json_t *find_field(const struct draft *d, const char *name, size_t len)
{
	size_t i;
	json_t *field;
	json_array_foreach (json_object_get(d->json, "fields"), i, field) {
		const char *found = json_string_value(json_object_get(field, "name"));
		if (found && strlen(found) == len && strncmp(found, name, len) == 0)
			return field;
	}
	return NULL;
}

/* As it stands after the last try. */
static bool has_column(const struct draft *d, const struct schema_field *f)
{
	const json_t *field = find_field(d, f->name, strlen(f->name));
	return !json_is_false(json_object_get(json_object_get(field, "pg"), "column"));
}

/* Equal values of it are equal in bytes, and it is always there. */
static bool may_be_key(const struct draft *d, const struct schema_field *f)
{
	enum schema_kind kind = f->type->kind;
	return has_column(d, f) &&
	       (kind == SCHEMA_STRING || kind == SCHEMA_INT || kind == SCHEMA_LONG ||
		f->type->logical == LOGICAL_UUID) &&
	       (f->type->logical == LOGICAL_NONE || f->type->logical == LOGICAL_UUID);
}

/* "id", or the record's own "order_id", or the first that ends so, or the first of all. */
static const char *guess_key(const struct draft *d)
{
	const struct schema_type *r = d->schema->root;
	const char *best = NULL;
	int best_rank = 0;
	char own[128];
	snprintf(own, sizeof(own), "%s_id", d->stem);
	for (size_t i = 0; i < r->nfields; i++) {
		const char *name = r->fields[i].name;
		int rank = strcasecmp(name, "id") == 0 || strcasecmp(name, own) == 0 ? 3
			   : ends_with(name, "id") || ends_with(name, "key")         ? 2
										     : 1;
		if (may_be_key(d, &r->fields[i]) && rank > best_rank) {
			best = name;
			best_rank = rank;
		}
	}
	return best;
}

/* The first time that is always there. */
static const char *guess_version(const struct draft *d)
{
	const struct schema_type *r = d->schema->root;
	for (size_t i = 0; i < r->nfields; i++) {
		enum schema_logical l = r->fields[i].type->logical;
		if (has_column(d, &r->fields[i]) &&
		    (l == LOGICAL_TIMESTAMP_MILLIS || l == LOGICAL_TIMESTAMP_MICROS ||
		     l == LOGICAL_TIMESTAMP_NANOS))
			return r->fields[i].name;
	}
	return NULL;
}

/* An enum with a symbol that says so. */
static json_t *guess_delete(const struct draft *d)
{
	static const char *const words[] = {"DELETE", "DELETED", "REMOVE", "REMOVED"};
	const struct schema_type *r = d->schema->root;
	for (size_t i = 0; i < r->nfields; i++) {
		const struct schema_type *t = r->fields[i].type;
		for (size_t s = 0; t->kind == SCHEMA_ENUM && s < t->nsymbols; s++)
			for (size_t w = 0; w < ARRAY_LEN(words); w++)
				if (strcasecmp(t->symbols[s], words[w]) == 0)
					return json_pack("{s:s, s:s}", "field", r->fields[i].name,
							 "symbol", t->symbols[s]);
	}
	return NULL;
}

/* Takes value; NULL, or an attribute that the file has: nothing. */
static void add(struct draft *d, json_t *pg, const char *name, json_t *value)
{
	const json_t *own = json_object_get(d->own, name);
	if (value && !own) {
		char *text = json_dumps(value, JSON_ENCODE_ANY);
		buf_printf(&d->added, "%s\"%s\": %s", d->added.len ? ", " : "", name, text);
		json_object_set(pg, name, value);
		free(text);
	}
	json_decref(value);
}

/*
 * What the file has, and guesses for what it lacks. A "version" that it lacks is guessed only where
 * nothing was annotated: it may be meant.
 */
static void annotate(struct draft *d)
{
	bool fresh = !d->own;
	json_t *pg = fresh ? json_object() : json_copy(d->own);
	json_object_set_new(d->json, "pg", pg);
	d->added.len = 0;
	if (!json_is_object(pg))
		return;
	const char *key = guess_key(d), *version = fresh ? guess_version(d) : NULL;
	char *table = xasprintf("%s%s", d->stem, ends_with(d->stem, "s") ? "" : "s");
	add(d, pg, "table", json_string(table));
	add(d, pg, "key", key ? json_pack("[s]", key) : NULL);
	add(d, pg, "version", version ? json_string(version) : NULL);
	add(d, pg, "delete", fresh ? guess_delete(d) : NULL);
	free(table);
}

/* ---- the table ---- */

/* What is parsed is what stands in the file and what was added. */
static bool parse(struct draft *d, struct err *err)
{
	char *text = json_dumps(d->json, JSON_COMPACT);
	schema_free(d->schema);
	d->schema = schema_parse(text, strlen(text), err);
	free(text);
	return d->schema || err_wrap(err, "%s", d->path);
}

/* The field that an error of table_new() is about goes without a column from now on. */
static bool leave_out(struct draft *d, const char *why)
{
	const char *at = strstr(why, "field '"), *name = at ? at + strlen("field '") : "";
	json_t *field = find_field(d, name, strcspn(name, "'"));
	if (!field || json_is_false(json_object_get(json_object_get(field, "pg"), "column")))
		return false;
	buf_printf(&d->fields, "#   %s\n", at);
	json_object_set_new(field, "pg", json_pack("{s:b}", "column", 0));
	return true;
}

/* In words that say what may be one, for who has never seen a stream's schema. */
static bool lacks_key(struct draft *d, struct err *err)
{
	if (!strstr(err->text, "pg.key is no list") ||
	    json_object_get(json_object_get(d->json, "pg"), "key"))
		return false;
	return !err_set(err, ERR_CONFIG,
			"%s: record '%s': nothing in it looks like a key. One or several fields "
			"have to say which row an event is about, as in \"pg\": {\"key\": "
			"[\"id\"]}: such a field is never null, and no float, double, array, map, "
			"record or JSON",
			d->path, d->schema->root->name);
}

/* Each turn either ends or leaves one field more out. */
static bool make_table(struct draft *d, struct err *err)
{
	for (;;) {
		annotate(d);
		if (!parse(d, err))
			return false;
		d->table = table_new(d->schema, err);
		if (d->table)
			return true;
		if (!leave_out(d, err->text))
			return !lacks_key(d, err) && err_wrap(err, "%s", d->path);
		err_clear(err);
	}
}

/* ---- output ---- */

static void print_fields(const struct draft *d, struct buf *out)
{
	if (d->fields.len)
		buf_printf(out,
			   "# These fields have no column as they are (annotations of a field: "
			   "docs/SCHEMAS.md):\n%.*s\n",
			   (int)d->fields.len, d->fields.data);
}

static void print_annotations(const struct draft *d, struct buf *out)
{
	if (d->added.len) {
		buf_printf(
			out,
			"# Add to the record in %s, or what is right instead: this is guessed from "
			"names and types.\n",
			d->path);
		buf_printf(out, "\"pg\": {%.*s}\n\n", (int)d->added.len, d->added.data);
	}
	print_fields(d, out);
}

/* What works as it is, and is seldom what is meant. */
static void print_hints(const struct draft *d, struct buf *out)
{
	for (size_t i = 0; i < d->table->ncolumns; i++) {
		const struct column *c = &d->table->columns[i];
		bool floats =
			c->kind == PG_ARRAY && (c->element == PG_FLOAT4 || c->element == PG_FLOAT8);
		if (floats && !d->schema->root->fields[c->field].pg)
			buf_printf(
				out,
				"# field '%s': a column of type %s. If it is an embedding: \"pg\": "
				"{\"type\": \"vector(N)\"}\n\n",
				d->schema->root->fields[c->field].name, c->type);
	}
}

static void print_section(const struct draft *d, const char *name, const char *topic,
			  struct buf *out)
{
	buf_printf(out,
		   "# Add to memingest.ini. Without key_schema a message without value is a dead "
		   "letter.\n[stream.%s]\ntopic = ",
		   name ? name : d->stem);
	if (topic)
		buf_puts(out, topic);
	else
		buf_printf(out, "%s.events", d->stem);
	buf_printf(out, "\nschema = %s\n;key_schema =\n", d->path);
	if (d->table->version < 0)
		buf_puts(out, "; no \"version\" in the schema: of two events the later offset "
			      "wins\n");
}

/* As migrate_search.c has them for a table that is not there yet. */
static void print_search(const struct searchsql *s, struct buf *out)
{
	bool shared = s->index > 0; /* is there by the first */
	const char *const steps[] = {shared ? NULL : s->add_column,
				     shared ? NULL : s->create_index_now,
				     s->create_segments,
				     s->create_types,
				     s->create_functions,
				     s->begin};
	for (size_t i = 0; i < ARRAY_LEN(steps); i++)
		if (steps[i])
			buf_printf(out, "%s\n", steps[i]);
}

static void print_sql(const struct draft *d, struct buf *out)
{
	struct searchsql *front = searchsql_new_front(d->table);
	buf_puts(out, "\n-- What \"memingest migrate\" will run for it, beside its own tables.\n");
	ddl_table(d->table, out);
	for (size_t i = 0; i < d->table->nsearches; i++) {
		struct searchsql *search = searchsql_new(d->table, i);
		print_search(search, out);
		searchsql_free(search);
	}
	if (front)
		buf_printf(out, "%s\n%s\n", front->create_types, front->create_functions);
	searchsql_free(front);
}

/* ---- command ---- */

/* What is no record can be no stream, whatever is annotated. */
static bool read_draft(struct draft *d, struct err *err)
{
	d->schema = schema_read(d->path, err);
	if (!d->schema)
		return false;
	if (d->schema->root->kind != SCHEMA_RECORD) {
		err_set(err, ERR_CONFIG, "%s: a stream's schema is a record, not %s", d->path,
			schema_kind_name(d->schema->root->kind));
		return false;
	}
	d->json = json_deep_copy((const json_t *)d->schema->json);
	d->own = json_incref(json_object_get(d->json, "pg"));
	d->stem = stem_of(d->schema->root->name);
	return true;
}

/* The SQL stands last, so that what is above it can be read on one screen. */
static int print(const struct draft *d, const struct cli *cli)
{
	struct buf out = {0};
	print_annotations(d, &out);
	print_hints(d, &out);
	print_section(d, cli_option(cli, "name", NULL), cli_option(cli, "topic", NULL), &out);
	print_sql(d, &out);
	fputs(buf_cstr(&out), stdout);
	buf_free(&out);
	return d->added.len || d->fields.len ? EXIT_CONFIG : EXIT_OK;
}

/* With what is known of its fields all the same. */
static int fail(const struct draft *d, const struct err *err)
{
	struct buf out = {0};
	print_fields(d, &out);
	fputs(buf_cstr(&out), stdout);
	buf_free(&out);
	return cli_fail(report_err_exit_code(err), "%s", err->text);
}

static void free_draft(struct draft *d)
{
	table_free(d->table);
	schema_free(d->schema);
	json_decref(d->json);
	json_decref(d->own);
	buf_free(&d->added);
	buf_free(&d->fields);
	free(d->stem);
}

static int run(struct cli *cli)
{
	struct draft d = {0};
	struct err err = {0};
	const char *name = cli_option(cli, "name", NULL);
	if (cli->argc != 1)
		return cli_fail(EXIT_USAGE, "new-stream wants one schema file: memingest "
					    "new-stream schemas/order_event.avsc");
	if (name && !config_stream_name(name))
		return cli_fail(EXIT_USAGE,
				"--name: a stream's name has 1 to %d letters, digits, _ or -",
				MAX_STREAM_NAME);
	d.path = cli->argv[0];
	bool ok = read_draft(&d, &err) && make_table(&d, &err);
	int code = ok ? print(&d, cli) : fail(&d, &err);
	free_draft(&d);
	return code;
}

static const struct cli_option options[] = {
	{"name", "NAME", "of the stream; by default the record's name"},
	{"topic", "TOPIC", "by default the record's name and .events"},
	{NULL, NULL, NULL},
};

const struct command command_new_stream = {
	.name = "new-stream",
	.usage = "FILE.avsc [--name NAME] [--topic TOPIC]",
	.summary = "what an Avro schema still needs to be a stream; its config section and SQL",
	.help = "Prints what to annotate (guesses for what is missing, and every field that fits "
		"no column, with the\n"
		"reason), the section for the config, and the SQL that migrate will run. Writes "
		"nothing and asks nobody.\n"
		"Exit 78 while the file has to be changed.",
	.no_json = true,
	.options = options,
	.run = run,
};

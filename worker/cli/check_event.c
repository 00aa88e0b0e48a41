/*
 * check_event.c - the row that an event would become, for "check --event": a test of a stream
 * without servers.
 *
 *   records --> datum --> plan and decoder, the worker's own --> row --> column = value
 *                                                            '-> or the reason of its dead letter
 *
 * A file's own schema (of an Avro container) is a writer's schema here, as it is for the worker. So
 * what is printed is what the worker does, up to PostgreSQL: what only the table can refuse (a
 * CHECK, a trigger, another unique index) is not known here.
 *
 * JSON over several lines is read value by value, since that is how editors and jq write it.
 * Standard input is then our copy of it, with each value on its first line.
 *
 * Thread: the command's. Failure: of an event: said, and the next one is looked at; 65 at the end.
 */
#include "cli/check_event.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/report.h"
#include "codec/decode.h"
#include "codec/peek.h"
#include "codec/pgtext.h"
#include "codec/plan.h"
#include "codec/vector.h"
#include "core/stream.h"
#include "file/records.h"

enum { SHOWN_BYTES = 100 };

struct trial {
	struct cli *cli;
	struct stream *stream;
	struct records *records;
	struct plan *plan;
	struct decoder *decoder;
	struct buf row;
	struct record_want
		made[TABLE_EMBEDS_MOST]; /* what models would make of the event's texts */
	size_t nmade;
	size_t events;
	bool bad; /* any that would not land */
};

/* ---- open and close ---- */

/* The one that is named, or the only one. False after a complaint. */
static bool which_stream(const struct cli *cli, const char *name, size_t *index)
{
	*index = 0;
	if (name || cli->config->nstreams == 1)
		return !name || cli_find_stream(cli, name, index);
	struct buf names = {0};
	for (size_t i = 0; i < cli->config->nstreams; i++)
		buf_printf(&names, "%s%s", i ? ", " : "", cli->config->streams[i].name);
	cli_fail(EXIT_USAGE, "say whose event it is with --stream NAME; there are: %s",
		 buf_cstr(&names));
	buf_free(&names);
	return false;
}

/* All of a file, or of standard input. */
static void read_all(const char *path, struct buf *text)
{
	char chunk[65536];
	size_t n;
	FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
	while (f && (n = fread(chunk, 1, sizeof(chunk), f)) > 0)
		buf_put(text, chunk, n);
	if (f && f != stdin)
		fclose(f);
}

/* From now on standard input is that text. */
static bool to_stdin(const struct buf *text)
{
	int fd = memfd_create("event", MFD_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text->data, text->len) == (ssize_t)text->len &&
		  lseek(fd, 0, SEEK_SET) == 0 && dup2(fd, STDIN_FILENO) == STDIN_FILENO;
	if (fd >= 0)
		close(fd);
	return ok;
}

/* Where JSON is being read: how many brackets are open, and whether within a string. */
struct nesting {
	size_t depth;
	bool string, escape;
};

static void nest(struct nesting *n, uint8_t c)
{
	if (n->escape)
		n->escape = false;
	else if (n->string && c == '\\')
		n->escape = true;
	else if (c == '"')
		n->string = !n->string;
	else if (!n->string && (c == '{' || c == '['))
		n->depth++;
	else if (!n->string && (c == '}' || c == ']') && n->depth > 0)
		n->depth--;
}

/* JSON whose first line is no whole value. What is no JSON at all is left alone. */
static bool is_folded(const struct buf *text)
{
	struct nesting n = {0};
	size_t at = 0;
	while (at < text->len && isspace(text->data[at]))
		at++;
	if (at == text->len || (text->data[at] != '{' && text->data[at] != '['))
		return false;
	for (; at < text->len && text->data[at] != '\n'; at++)
		nest(&n, text->data[at]);
	return n.depth > 0;
}

/*
 * Each value on one line, the one where it begins: a line break within brackets becomes a blank,
 * and is put behind the value, so that the next one keeps its number. One within a string stays a
 * mistake.
 */
static void unfold(struct buf *text)
{
	struct nesting n = {0};
	struct buf flat = {0};
	size_t owed = 0;
	for (size_t i = 0; i < text->len; i++) {
		uint8_t c = text->data[i];
		bool within = c == '\n' && n.depth > 0;
		nest(&n, c);
		owed += within;
		buf_u8(&flat, within ? (n.string ? '\r' : ' ') : c);
		for (; c == '\n' && !within && owed > 0; owed--)
			buf_u8(&flat, '\n');
	}
	buf_free(text);
	*text = flat;
}

/*
 * "-" where the text can not be read from path as it is, because it is a pipe's or its values stand
 * on several lines; standard input then has what is to be read. Else path.
 */
static const char *prepared(const char *path)
{
	struct buf text = {0};
	struct stat st;
	bool piped = strcmp(path, "-") == 0 || (stat(path, &st) == 0 && S_ISFIFO(st.st_mode));
	read_all(path, &text);
	bool folded = is_folded(&text);
	if (folded)
		unfold(&text);
	if ((folded || piped) && text.len > 0 && to_stdin(&text))
		path = "-";
	buf_free(&text);
	return path;
}

/* On failure close_trial() is still to be called. */
static bool open_trial(struct trial *t, const char *path, size_t stream, struct err *err)
{
	const struct config *config = t->cli->config;
	t->stream = stream_new(config, stream, err);
	if (!t->stream)
		return false;
	t->records = records_open(prepared(path), t->stream->table, err);
	if (!t->records)
		return false;
	t->decoder = decoder_new(&config->limits);
	t->plan = plan_new(records_schema(t->records), t->stream->table, err);
	return t->plan || err_wrap(err, "such events halt their partition");
}

/* All of it may be NULL. */
static void close_trial(struct trial *t)
{
	records_close(t->records);
	plan_free(t->plan);
	decoder_free(t->decoder);
	stream_free(t->stream);
	buf_free(&t->row);
}

/* ---- what is said ---- */

/* What an event does to a column of a row that is there; NULL: it replaces the value. */
static const char *merge_words(const struct column *c)
{
	if (strcmp(c->name, table_own_columns[0]) == 0)
		return "of the row's earliest event";
	switch (c->merge) {
	case MERGE_REPLACE:
		return NULL;
	case MERGE_KEEP:
		return "keep: the row's first value stays";
	case MERGE_COALESCE:
		return "coalesce: a null leaves the row's value";
	case MERGE_ADD:
		return "add: to the row's value";
	case MERGE_MIN:
		return "min: the lower one stays";
	case MERGE_MAX:
		return "max: the higher one stays";
	case MERGE_JSON:
		return "json: united with the row's value";
	}
	return NULL;
}

/* What becomes of a row of this key that is there. The caller frees it. */
static char *conflict_words(const struct stream *s, bool deletes)
{
	const struct table *t = s->table;
	const char *does = deletes ? "is deleted" : "is updated";
	switch (s->config->on_conflict) {
	case CONFLICT_NEWER:
		if (t->version >= 0)
			return xasprintf("newer: a row of this key that is there %s, unless its %s "
					 "is higher",
					 does, t->columns[t->version].name);
		return xasprintf("newer, without a \"version\" in the schema: a row of this key "
				 "that is there %s",
				 does);
	case CONFLICT_UPDATE:
		return xasprintf("update: a row of this key that is there %s", does);
	case CONFLICT_SKIP:
		return xasprintf("skip: a row of this key that is there %s",
				 deletes ? "is deleted" : "stays as it is");
	}
	return NULL;
}

/* The next field of a row; false: it is null. */
static bool next_field(const struct column *c, const uint8_t **p, struct buf *text)
{
	uint32_t len = get_be32(*p);
	*p += 4;
	if (len == UINT32_MAX)
		return false;
	pgtext_value(c, (struct slice){*p, len}, text);
	*p += len;
	return true;
}

/* On one line, and short; text in quotes, so that it is told from null and from nothing. */
static void put_short(const struct column *c, struct slice v, struct buf *out)
{
	size_t shown = MIN(v.len, (size_t)SHOWN_BYTES);
	if (c->kind == PG_TEXT) {
		peek_text(v, SHOWN_BYTES, out);
		return;
	}
	while (shown < v.len && shown > 0 && (v.data[shown] & 0xc0) == 0x80)
		shown--;
	peek_plain((struct slice){v.data, shown}, out);
	if (shown < v.len)
		buf_printf(out, " ... (%zu bytes)", v.len);
}

static bool is_made(const struct trial *t, size_t column)
{
	for (size_t i = 0; i < t->nmade; i++)
		if (t->stream->table->embeds[t->made[i].embed].vector == column)
			return true;
	return false;
}

static void print_row(const struct trial *t, bool deletes)
{
	const struct table *table = t->stream->table;
	const uint8_t *p = t->row.data;
	bool stays = t->stream->config->on_conflict == CONFLICT_SKIP; /* nothing is merged */
	int width = 0;
	for (size_t i = 0; i < table->ncolumns; i++)
		width = MAX(width, (int)strlen(table->columns[i].name));
	for (size_t i = 0; i < (deletes ? table->nkeys : table->ncolumns); i++) {
		const struct column *c = &table->columns[i];
		const char *words = i < table->nkeys ? "key"
				    : is_made(t, i)  ? "made of the text by its model"
				    : stays          ? NULL
						     : merge_words(c);
		struct buf text = {0}, line = {0};
		if (next_field(c, &p, &text))
			put_short(c, (struct slice){text.data, text.len}, &line);
		else
			buf_puts(&line, "null");
		printf("  %-*s = %s%s%s\n", width, c->name, buf_cstr(&line), words ? "    -- " : "",
		       words ? words : "");
		buf_free(&text);
		buf_free(&line);
	}
}

/* {"namespace": "a", ...}: values as PostgreSQL would print them. */
static json_t *row_json(const struct trial *t, bool deletes)
{
	const struct table *table = t->stream->table;
	const uint8_t *p = t->row.data;
	json_t *row = json_object();
	for (size_t i = 0; i < (deletes ? table->nkeys : table->ncolumns); i++) {
		struct buf text = {0};
		bool value = next_field(&table->columns[i], &p, &text);
		json_object_set_new(row, table->columns[i].name,
				    value ? json_stringn(buf_cstr(&text), text.len) : json_null());
		buf_free(&text);
	}
	return row;
}

/* Takes the object. One line, so that several events are JSON lines. */
static void print_json(json_t *object)
{
	json_dumpf(object, stdout, JSON_COMPACT);
	puts("");
	json_decref(object);
}

/* No server is asked, so vectors that are made of texts are null here. The last one first. */
static void leave_vectors_out(struct trial *t, const struct record *record)
{
	const struct table *table = t->stream->table;
	memcpy(t->made, record->wants, sizeof(t->made));
	t->nmade = record->nwants;
	for (size_t i = t->nmade; i-- > 0;) {
		const struct column *c = &table->columns[table->embeds[t->made[i].embed].vector];
		t->row.len -= vector_make_null(t->row.data + t->made[i].vector_at, c,
					       t->row.data + t->row.len);
	}
}

/* Their columns' names; NULL: there are none. */
static json_t *made_json(const struct trial *t)
{
	const struct table *table = t->stream->table;
	json_t *names = t->nmade > 0 ? json_array() : NULL;
	for (size_t i = 0; i < t->nmade; i++)
		json_array_append_new(
			names,
			json_string(table->columns[table->embeds[t->made[i].embed].vector].name));
	return names;
}

static void say_row(struct trial *t, const char *where, const struct record *record)
{
	leave_vectors_out(t, record);
	bool deletes = record->op == RECORD_DELETE;
	const char *table = table_full_name(t->stream->table);
	char *rule = conflict_words(t->stream, deletes);
	if (t->cli->json) {
		print_json(json_pack("{s:s, s:s, s:s, s:s, s:o, s:o*}", "event", where, "outcome",
				     deletes ? "delete" : "row", "table", table, "on_conflict",
				     rule, "row", row_json(t, deletes), "made_of_text",
				     made_json(t)));
	} else {
		printf("%s: %s %s\n", where, deletes ? "a delete in" : "a row of", table);
		print_row(t, deletes);
		printf("  %s\n", rule);
	}
	free(rule);
}

static void say_outcome(struct trial *t, const char *where, const char *outcome, const char *words,
			const char *reason, const char *detail)
{
	if (t->cli->json) {
		print_json(json_pack("{s:s, s:s, s:s*, s:s}", "event", where, "outcome", outcome,
				     "reason", reason, "detail", detail));
	} else {
		struct buf plain = {0};
		peek_plain((struct slice){(const uint8_t *)detail, strlen(detail)}, &plain);
		printf("%s: %s%s%s: %s\n", where, words, reason ? ", reason " : "",
		       reason ? reason : "", buf_cstr(&plain));
		buf_free(&plain);
	}
}

/* Not the stream's record: what other_types says; the stream's, but of another schema: a halt. */
static void say_refused(struct trial *t, const char *where, const struct record *record,
			const struct err *err)
{
	enum other_types other = record->other ? t->stream->config->other_types : OTHER_DEAD_LETTER;
	t->bad = t->bad || other != OTHER_SKIP;
	if (err->class != ERR_POISON || other == OTHER_HALT)
		say_outcome(t, where, "halt", "it halts its partition", NULL, err->text);
	else if (other == OTHER_SKIP)
		say_outcome(t, where, "skip", "it is skipped", NULL, err->text);
	else
		say_outcome(t, where, "dead_letter", "a dead letter",
			    dead_reason_name(record->reason), err->text);
}

/* ---- events ---- */

static void try_event(struct trial *t, const char *where, struct slice datum)
{
	struct record record = {0};
	struct err err = {0};
	t->row.len = 0;
	if (decode_record(t->decoder, t->plan, datum, &t->row, &record, &err))
		say_row(t, where, &record);
	else
		say_refused(t, where, &record, &err);
}

/* "FILE:LINE: what is wrong" without the place, which is said in our own words. */
static const char *behind_place(const char *text)
{
	const char *colon = strstr(text, ": ");
	return colon ? colon + 2 : text;
}

/* False: nothing more can be read. */
static bool next_event(struct trial *t, const char *path, struct err *err)
{
	struct slice datum;
	char where[300];
	enum records_result result = records_next(t->records, &datum, err);
	struct records_place place = records_place(t->records);
	snprintf(where, sizeof(where), "%s:%llu", path,
		 (unsigned long long)(place.line ? place.line : place.records));
	switch (result) {
	case RECORDS_RECORD:
		t->events++;
		try_event(t, where, datum);
		return true;
	case RECORDS_BAD:
		t->events++;
		t->bad = true;
		say_outcome(t, where, "no_event", "no event by this schema", NULL,
			    behind_place(err->text));
		err_clear(err);
		return true;
	case RECORDS_END:
	case RECORDS_BROKEN:
		break;
	}
	return false;
}

int check_event(struct cli *cli, const char *path, const char *stream)
{
	struct trial t = {.cli = cli};
	struct err err = {0};
	size_t index;
	if (!which_stream(cli, stream, &index))
		return EXIT_USAGE;
	if (open_trial(&t, path, index, &err))
		while (next_event(&t, path, &err))
			;
	int code = t.bad ? EXIT_DATA : EXIT_OK;
	if (err.class != ERR_NONE)
		code = cli_fail(report_err_exit_code(&err), "%s", err.text);
	else if (t.events == 0)
		code = cli_fail(EXIT_DATA, "%s: there is no event in it", path);
	close_trial(&t);
	return code;
}

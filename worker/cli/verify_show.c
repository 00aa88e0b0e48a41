/*
 * verify_show.c - what a check has found, for people and for programs.
 *
 *   differs  namespace agent, key k7
 *            value: table "new text", topic "old text"
 *            by memory.events [3] offset 1717 of 2026-05-01T12:00:00.000Z
 *   missing  ...
 *   cannot know: the log does not go back to the beginning: ...
 *   1 of 1000000 rows differs, 0 are missing, 0 too many; 1200000 offsets read in 18 s (66000/s)
 *
 * Of a long value, what is around the first difference is shown. Nothing in it steers a terminal.
 *
 * Exit code: 65 if anything differs, else 0.
 */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/report.h"
#include "cli/verify.h"
#include "codec/peek.h"

enum { SHOWN = 72, BEFORE = 24, KEYS_AT = 6 };
#define LIST_LIMIT 20

/* ---- values ---- */

/* Where two texts first differ, at a beginning of a character. */
static size_t first_difference(const char *a, const char *b)
{
	size_t i = 0;
	while (a[i] && a[i] == b[i])
		i++;
	while (i > 0 && ((uint8_t)a[i] & 0xC0) == 0x80)
		i--;
	return i;
}

/* The part of a value that is shown, with dots where something is left out. */
static void put_part(struct buf *out, const char *text, size_t difference)
{
	if (!text) {
		buf_puts(out, "null");
		return;
	}
	size_t len = strlen(text),
	       from = difference > BEFORE && len > SHOWN ? difference - BEFORE : 0;
	while (from > 0 && ((uint8_t)text[from] & 0xC0) == 0x80)
		from--;
	size_t upto = MIN(len, from + SHOWN);
	while (upto < len && ((uint8_t)text[upto] & 0xC0) == 0x80)
		upto++;
	buf_puts(out, from > 0 ? "\"..." : "\"");
	peek_plain((struct slice){(const uint8_t *)text + from, upto - from}, out);
	buf_puts(out, upto < len ? "...\"" : "\"");
}

/* "namespace agent, key k7" */
static void put_key(const struct verify *v, const struct answer *rows, size_t row, struct buf *out)
{
	const struct table *t = v->stream->table;
	for (size_t i = 0; i < t->nkeys; i++) {
		const char *text = answer_value(rows, row, KEYS_AT + i);
		buf_printf(out, "%s%s ", i ? ", " : "", t->columns[i].name);
		peek_plain((struct slice){(const uint8_t *)text, text ? strlen(text) : 0}, out);
	}
}

const char *verify_time(int64_t ms, char out[VERIFY_TIME])
{
	char text[24];
	struct tm tm;
	time_t seconds = (time_t)(ms / 1000);
	if (ms < 0 || !gmtime_r(&seconds, &tm) ||
	    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm) == 0)
		snprintf(out, VERIFY_TIME, "a time that is not known");
	else
		snprintf(out, VERIFY_TIME, "%s.%03dZ", text, (int)(ms % 1000));
	return out;
}

/* ---- for people ---- */

static bool begins_row(const struct answer *rows, size_t row)
{
	return row == 0 || answer_int(rows, row, 0) != answer_int(rows, row - 1, 0);
}

static void print_column(const struct answer *rows, size_t row)
{
	const char *in_table = answer_value(rows, row, 4), *by_topic = answer_value(rows, row, 5);
	size_t at = in_table && by_topic ? first_difference(in_table, by_topic) : 0;
	struct buf out = {0};
	buf_printf(&out, "         %s: table ", answer_value(rows, row, 3));
	put_part(&out, in_table, at);
	buf_puts(&out, ", topic ");
	put_part(&out, by_topic, at);
	puts(buf_cstr(&out));
	buf_free(&out);
}

static void print_row(const struct verify *v, const struct answer *rows, size_t row)
{
	const char *kind = answer_value(rows, row, 1);
	struct buf key = {0};
	put_key(v, rows, row, &key);
	printf("%-8s %s\n", kind, buf_cstr(&key));
	buf_free(&key);
	if (strcmp(kind, "differs") == 0 && !answer_bool(rows, row, 2))
		puts("         the row has changed since it was looked at: its values of then are "
		     "not known any more");
}

static bool ends_row(const struct answer *rows, size_t row)
{
	return row + 1 == answer_count(rows) || begins_row(rows, row + 1);
}

/* The last event of the key that the row came from, or that took it away. */
static void print_event(const struct explained *x)
{
	char time[VERIFY_TIME];
	if (x->events == 0) {
		puts("         no event of this key was found");
		return;
	}
	printf("         %s %s [%d] offset %" PRId64 " of %s%s\n",
	       x->op == RECORD_DELETE ? "deleted by" : "by", x->topic, x->partition, x->offset,
	       verify_time(x->timestamp_ms, time),
	       x->spread
		       ? "; its events are in several partitions, and which came last is not known"
		       : "");
}

static void print_list(const struct verify *v, const struct answer *rows,
		       const struct explained *explained)
{
	int64_t found = v->differ + v->missing + v->extra;
	for (size_t i = 0; i < answer_count(rows); i++) {
		if (begins_row(rows, i))
			print_row(v, rows, i);
		if (answer_value(rows, i, 3))
			print_column(rows, i);
		if (ends_row(rows, i))
			print_event(&explained[answer_int(rows, i, 0) - 1]);
	}
	if (found > LIST_LIMIT)
		printf("... and %" PRId64 " more\n", found - LIST_LIMIT);
}

static void print_sum(const struct verify *v)
{
	double seconds = bar_seconds(&v->bar);
	for (size_t i = 0; i < v->nnotes; i++)
		printf("cannot know: %s\n", v->notes[i].text);
	if (v->newer > 0)
		printf("cannot know: %" PRId64
		       " rows of the table are newer than all that was read "
		       "of them\n",
		       v->newer);
	printf("%s as of %" PRId64 " offsets of %zu partition%s: %" PRId64 " rows, %" PRId64
	       " by the topic; %" PRId64 " differ, %" PRId64 " missing, ",
	       v->stream->table->name, v->view.total, v->replay.n, v->replay.n == 1 ? "" : "s",
	       v->in_table, v->by_topic, v->differ, v->missing);
	if (v->whole)
		printf("%" PRId64 " too many", v->extra);
	else
		printf("too many: cannot know");
	printf("; %.1f s, %.0f/s\n", seconds, (double)v->view.read / fmax(seconds, 0.001));
}

/* ---- for programs ---- */

static json_t *text_or_null(const char *text)
{
	json_t *json = text ? json_string_nocheck(text) : NULL;
	return json ? json : json_null();
}

static json_t *row_json(const struct verify *v, const struct answer *rows, size_t row)
{
	const struct table *t = v->stream->table;
	json_t *key = json_object();
	for (size_t i = 0; i < t->nkeys; i++)
		json_object_set_new(key, t->columns[i].name,
				    text_or_null(answer_value(rows, row, KEYS_AT + i)));
	return json_pack("{s:s, s:o, s:b, s:[]}", "kind", answer_value(rows, row, 1), "key", key,
			 "changed_since",
			 strcmp(answer_value(rows, row, 1), "differs") == 0 &&
				 !answer_bool(rows, row, 2),
			 "columns");
}

static json_t *event_json(const struct explained *x)
{
	if (x->events == 0)
		return json_null();
	return json_pack("{s:s, s:i, s:I, s:I, s:b, s:b}", "topic", x->topic, "partition",
			 (int)x->partition, "offset", (json_int_t)x->offset, "timestamp_ms",
			 (json_int_t)x->timestamp_ms, "delete", x->op == RECORD_DELETE, "spread",
			 x->spread);
}

static json_t *list_json(const struct verify *v, const struct answer *rows,
			 const struct explained *explained)
{
	json_t *list = json_array(), *last = NULL;
	for (size_t i = 0; i < answer_count(rows); i++) {
		if (begins_row(rows, i))
			json_array_append_new(list, last = row_json(v, rows, i));
		if (begins_row(rows, i))
			json_object_set_new(last, "event",
					    event_json(&explained[answer_int(rows, i, 0) - 1]));
		if (answer_value(rows, i, 3))
			json_array_append_new(
				json_object_get(last, "columns"),
				json_pack("{s:s, s:o, s:o}", "name", answer_value(rows, i, 3),
					  "table", text_or_null(answer_value(rows, i, 4)), "topic",
					  text_or_null(answer_value(rows, i, 5))));
	}
	return list;
}

static json_t *parts_json(const struct verify *v)
{
	json_t *list = json_array();
	for (size_t i = 0; i < v->replay.n; i++) {
		const struct replay_part *p = &v->replay.parts[i];
		json_array_append_new(list,
				      json_pack("{s:s, s:i, s:I, s:I}", "topic", p->topic,
						"partition", (int)p->partition, "from",
						(json_int_t)p->from, "upto", (json_int_t)p->end));
	}
	return list;
}

static json_t *notes_json(const struct verify *v)
{
	json_t *list = json_array();
	for (size_t i = 0; i < v->nnotes; i++)
		json_array_append_new(list, json_pack("{s:s, s:s}", "code", v->notes[i].code,
						      "text", v->notes[i].text));
	return list;
}

/* The members are a contract. */
static void print_json(const struct verify *v, const struct answer *rows,
		       const struct explained *explained)
{
	json_t *all = json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:o, s:I, s:I, s:f, s:o, s:o, s:o}",
				"stream", v->stream->config->name, "table",
				table_full_name(v->stream->table), "rows", (json_int_t)v->in_table,
				"by_topic", (json_int_t)v->by_topic, "differ",
				(json_int_t)v->differ, "missing", (json_int_t)v->missing, "extra",
				v->whole ? json_integer(v->extra) : json_null(), "newer",
				(json_int_t)v->newer, "offsets", (json_int_t)v->view.read,
				"seconds", bar_seconds(&v->bar), "read", parts_json(v), "found",
				list_json(v, rows, explained), "cannot_know", notes_json(v));
	char *text = json_dumps(all, JSON_COMPACT | JSON_REAL_PRECISION(6));
	puts(text);
	free(text);
	json_decref(all);
}

/* What rows came from may be out of reach; what differs is told all the same. */
int verify_show(struct verify *v)
{
	struct err err = {0}, why = {0};
	int64_t found = v->differ + v->missing + v->extra;
	size_t n = (size_t)MIN(found, (int64_t)LIST_LIMIT);
	struct answer *rows = verify_list(v, LIST_LIMIT, &err);
	if (!rows)
		return cli_fail(report_err_exit_code(&err), "%s", err.text);
	struct explained *explained = verify_explain(v, n, &why);
	if (!explained) {
		cli_fail(EXIT_OK, "the events of these rows could not be read: %s", why.text);
		explained = xcalloc(n + 1, sizeof(*explained));
	}
	if (v->cli->json) {
		print_json(v, rows, explained);
	} else {
		print_list(v, rows, explained);
		print_sum(v);
	}
	explained_free(explained, n);
	answer_free(rows);
	return found > 0 ? EXIT_DATA : EXIT_OK;
}

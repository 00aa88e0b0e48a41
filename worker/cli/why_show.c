/*
 * why_show.c - the story of one row, for people and for programs.
 *
 *   memory_entries: namespace agent, key k7
 *     event_time  2026-05-01 12:00:00+00
 *     ...
 *   written by the batch of memory.events [3] from 1200 to 1700, at 2026-05-01T12:00:01.250Z
 *   memory.events [3] offset 1650 of 2026-05-01T12:00:00.100Z  upsert  superseded
 *   memory.events [3] offset 1699 of 2026-05-01T12:00:00.900Z  upsert  made the row
 *   dead letter 7: memory.events [3] offset 1688: constraint: ...
 *
 * Values are cut, and nothing in them steers a terminal.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/why.h"
#include "codec/peek.h"

enum { SHOWN_EVENTS = 20, SHOWN_BYTES = 100 };

static const char *const found_names[WHY_FOUND_COUNT] = {
	[WHY_BY_BATCH] = "batch",
	[WHY_BY_BATCH_TIME] = "batch_time",
	[WHY_BY_TIME] = "time",
	[WHY_BY_ALL] = "all",
};

static const char *const fate_names[] = {
	[FATE_MADE] = "made the row",        [FATE_DELETED] = "deleted the row",
	[FATE_SUPERSEDED] = "superseded",    [FATE_DEAD] = "dead letter",
	[FATE_WAITING] = "not consumed yet",
};

/* ---- for people ---- */

static void put_text(const char *text, size_t most)
{
	struct buf out = {0};
	size_t len = text ? strlen(text) : 0, shown = MIN(len, most);
	while (shown > 0 && shown < len && ((uint8_t)text[shown] & 0xC0) == 0x80)
		shown--;
	peek_plain((struct slice){(const uint8_t *)text, shown}, &out);
	fputs(text ? buf_cstr(&out) : "null", stdout);
	fputs(shown < len ? "..." : "", stdout);
	buf_free(&out);
}

static void print_row(const struct why *w)
{
	const struct table *t = w->v.stream->table;
	printf("%s:", t->name);
	for (size_t i = 0; i < t->nkeys; i++) {
		printf("%s %s ", i ? "," : "", t->columns[i].name);
		put_text(w->keys[i], SHOWN_BYTES);
	}
	puts(w->there ? "" : ": the table has no such row");
	for (size_t i = t->nkeys; w->there && i < t->ncolumns; i++) {
		printf("  %-16s ", t->columns[i].name);
		put_text(answer_value(w->row, 0, WHY_COLUMNS + i), SHOWN_BYTES);
		putchar('\n');
	}
}

static void print_batch(const struct why *w)
{
	if (w->batches && w->batch < answer_count(w->batches))
		printf("%s by the batch of %s [%s] from %s to %s, at %s\n",
		       w->there ? "written" : "taken away", answer_value(w->batches, w->batch, 0),
		       answer_value(w->batches, w->batch, 1), answer_value(w->batches, w->batch, 2),
		       answer_value(w->batches, w->batch, 3),
		       answer_value(w->batches, w->batch, 5));
	else if (w->there)
		printf("which batch wrote it is not in %sbatches (any more), or somebody else "
		       "did\n",
		       w->v.db.pg ? "memingest." : "memingest_");
}

static void print_events(const struct why *w)
{
	char time[VERIFY_TIME];
	size_t first = w->nevents > SHOWN_EVENTS ? w->nevents - SHOWN_EVENTS : 0;
	if (w->nevents == 0)
		puts("the topic has no event of this key (any more)");
	if (first > 0)
		printf("... %zu events before\n", first);
	for (size_t i = first; i < w->nevents; i++) {
		const struct why_event *x = &w->events[i];
		printf("%s [%d] offset %" PRId64 " of %s  %s  %s%s%s\n", x->topic, x->partition,
		       x->offset, verify_time(x->timestamp_ms, time),
		       x->op == RECORD_DELETE ? "delete" : "upsert", fate_names[x->fate],
		       x->reason ? ": " : "", x->reason ? x->reason : "");
	}
	if (w->found != WHY_BY_ALL && w->nevents > 0)
		puts("(what is nearby; there may be events long before or after)");
}

static void print_letters(const struct why *w)
{
	for (size_t i = 0; w->letters && i < answer_count(w->letters); i++) {
		const char *replayed = answer_value(w->letters, i, 5);
		printf("dead letter %s of offset %s, %s%s%s: %s: ", answer_value(w->letters, i, 0),
		       answer_value(w->letters, i, 1), answer_value(w->letters, i, 4),
		       replayed ? ", replayed " : "", replayed ? replayed : "",
		       answer_value(w->letters, i, 2));
		put_text(answer_value(w->letters, i, 3), SHOWN_BYTES);
		putchar('\n');
	}
	if (!w->letters && w->nevents > 0 && w->events[w->nevents - 1].key)
		puts("dead letters cannot be read by this role: use that which ran \"memingest "
		     "migrate\"");
}

/* ---- for programs ---- */

static json_t *text_or_null(const char *text)
{
	json_t *json = text ? json_string(text) : NULL;
	return json ? json : json_null();
}

static json_t *row_json(const struct why *w)
{
	const struct table *t = w->v.stream->table;
	json_t *row = json_object();
	for (size_t i = 0; w->there && i < t->ncolumns; i++)
		json_object_set_new(row, t->columns[i].name,
				    text_or_null(answer_value(w->row, 0, WHY_COLUMNS + i)));
	if (w->there)
		return row;
	json_decref(row);
	return json_null();
}

static json_t *batch_json(const struct why *w)
{
	if (!w->batches || w->batch >= answer_count(w->batches))
		return json_null();
	return json_pack("{s:s, s:I, s:I, s:I, s:s}", "topic",
			 answer_value(w->batches, w->batch, 0), "partition",
			 (json_int_t)answer_int(w->batches, w->batch, 1), "from",
			 (json_int_t)answer_int(w->batches, w->batch, 2), "to",
			 (json_int_t)answer_int(w->batches, w->batch, 3), "committed_at",
			 answer_value(w->batches, w->batch, 5));
}

static json_t *events_json(const struct why *w)
{
	json_t *list = json_array();
	for (size_t i = 0; i < w->nevents; i++) {
		const struct why_event *x = &w->events[i];
		json_array_append_new(
			list,
			json_pack("{s:s, s:i, s:I, s:I, s:s, s:s, s:o}", "topic", x->topic,
				  "partition", (int)x->partition, "offset", (json_int_t)x->offset,
				  "timestamp_ms", (json_int_t)x->timestamp_ms, "op",
				  x->op == RECORD_DELETE ? "delete" : "upsert", "fate",
				  fate_names[x->fate], "reason", text_or_null(x->reason)));
	}
	return list;
}

static json_t *letters_json(const struct why *w)
{
	json_t *list = json_array();
	for (size_t i = 0; w->letters && i < answer_count(w->letters); i++)
		json_array_append_new(
			list, json_pack("{s:I, s:I, s:s, s:o, s:s, s:o}", "id",
					(json_int_t)answer_int(w->letters, i, 0), "offset",
					(json_int_t)answer_int(w->letters, i, 1), "reason",
					answer_value(w->letters, i, 2), "detail",
					text_or_null(answer_value(w->letters, i, 3)), "created_at",
					answer_value(w->letters, i, 4), "replayed_at",
					text_or_null(answer_value(w->letters, i, 5))));
	return list;
}

/* The members are a contract. */
static void print_json(const struct why *w)
{
	json_t *all = json_pack("{s:s, s:s, s:o, s:o, s:s, s:o, s:o}", "stream",
				w->v.stream->config->name, "table",
				table_full_name(w->v.stream->table), "row", row_json(w), "batch",
				batch_json(w), "found_by", found_names[w->found], "events",
				events_json(w), "dead_letters", letters_json(w));
	char *text = json_dumps(all, JSON_COMPACT);
	puts(text);
	free(text);
	json_decref(all);
}

int why_show(const struct why *w)
{
	if (w->cli->json) {
		print_json(w);
	} else {
		print_row(w);
		print_batch(w);
		print_events(w);
		print_letters(w);
	}
	return w->there || w->nevents > 0 ? EXIT_OK : EXIT_DATA;
}

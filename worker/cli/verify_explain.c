/*
 * verify_explain.c - the events that rows which differ came from.
 *
 *   row of _rows --xmin--> batch of the check's pipeline --> its offsets --> events of the row's
 * key
 *
 * A row carries the number of the transaction that wrote it (in a file: its time), and so does the
 * line of memingest.batches that the same transaction wrote. So one batch of offsets is read again
 * for each row, and the last event of its key there is what made the row. A row that the topic does
 * not have has no batch: then all that the check had read is read again, once for all such rows.
 *
 * Thread: the command's. Failure: as events_read().
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/events.h"
#include "cli/verify.h"

struct search {
	const struct verify *v;
	struct explained *all;
	size_t n;
};

/* ---- what is read ---- */

/* Widens the partition's part; what lies between batches is read, too. */
static void add_range(struct replay *what, const char *topic, int32_t partition, int64_t from,
		      int64_t to)
{
	struct replay_part *part = replay_find(what, topic, partition);
	if (!part) {
		replay_add(what, topic, partition, from, to);
		return;
	}
	part->from = MIN(part->from, from);
	part->end = MAX(part->end, to);
}

/* False: of some row it is not known, so all has to be read. */
static bool take_origins(struct search *s, const struct answer *rows, struct replay *what)
{
	bool known = true;
	for (size_t i = 0; i < answer_count(rows); i++) {
		size_t n = (size_t)answer_int(rows, i, 0) - 1;
		if (n >= s->n)
			continue;
		if (!s->all[n].key) /* it may stand in several batches */
			verify_take_bytes(answer_value(rows, i, 1), &s->all[n].key,
					  &s->all[n].key_len);
		if (answer_value(rows, i, 2))
			add_range(what, answer_value(rows, i, 2), (int32_t)answer_int(rows, i, 3),
				  answer_int(rows, i, 4), answer_int(rows, i, 5));
		else
			known = false;
	}
	return known;
}

/* ---- events ---- */

static void take_event(void *ctx, const struct event *e)
{
	struct search *s = ctx;
	const struct source_partition *sp = e->m->sp;
	const struct replay_part *part = replay_find(&s->v->replay, sp->topic, sp->partition);
	if (!e->ok || !part || replay_leaves_out(part, e->m->offset))
		return;
	for (size_t i = 0; i < s->n; i++) {
		struct explained *x = &s->all[i];
		if (x->key_len != e->record.key_len || memcmp(x->key, e->row.data, x->key_len) != 0)
			continue;
		x->spread |= x->events > 0 &&
			     (x->partition != sp->partition || strcmp(x->topic, sp->topic) != 0);
		x->events++;
		snprintf(x->topic, sizeof(x->topic), "%s", sp->topic);
		x->partition = sp->partition;
		x->offset = e->m->offset;
		x->timestamp_ms = e->m->timestamp_ms;
		x->op = e->record.op;
	}
}

struct explained *verify_explain(struct verify *v, size_t n, struct err *err)
{
	struct search s = {.v = v, .all = xcalloc(n + 1, sizeof(*s.all)), .n = n};
	struct replay batches = {0};
	struct answer *rows = n > 0 ? verify_origins(v, n, err) : NULL;
	bool ok = n == 0 || rows != NULL;
	if (rows) {
		bool known = take_origins(&s, rows, &batches);
		ok = events_read(v->config, v->stream, known ? &batches : &v->replay, v->abort_fd,
				 take_event, &s, err);
	}
	answer_free(rows);
	replay_free(&batches);
	if (ok)
		return s.all;
	explained_free(s.all, n);
	return NULL;
}

void explained_free(struct explained *all, size_t n)
{
	for (size_t i = 0; all && i < n; i++)
		free(all[i].key);
	free(all);
}

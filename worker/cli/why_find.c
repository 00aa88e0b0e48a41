/*
 * why_find.c - the events of one row, without reading all of the topic.
 *
 *   row --xmin, in a file updated_at--> the line of memingest.batches that the same transaction
 *    |                                  wrote --> its offsets
 *    |  none: the row was written under a savepoint, or by somebody else, or the line is pruned
 *    '--updated_at--> batches that ended soon after --> the log from that time on
 *   no row -----> all of the log (of one partition, where that is told)
 *
 * The first part that has events of the key is taken, with what stands nearby. Partitioners differ
 * by client (murmur2, CRC32, a producer's own), so none is guessed: the books know where a row came
 * from.
 *
 * Fates: an event is dead if it has a dead letter, waits if it is not consumed; of the others the
 * last one, or, where the newer wins, the newest made the row.
 *
 * Thread: the command's.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/events.h"
#include "cli/why.h"
#include "core/sqlname.h"
#include "sqlite/shown.h"

/* worker/sql */
extern const char sql_why_batches[], sql_why_letters[];
extern const char sql_why_file_batches[], sql_why_file_letters[];

#define NEARBY 2000     /* offsets before and behind a batch */
#define BEFORE_MS 60000 /* an event lies in the log before its row is written */
#define WINDOW 100000   /* offsets from there on */

/* ---- the row ---- */

/* The key, as the columns' types, in a row called k. */
static void put_keys(struct buf *out, const struct why *w)
{
	const struct table *t = w->v.stream->table;
	buf_puts(out, "WITH k AS (SELECT ");
	for (size_t i = 0; i < t->nkeys; i++) {
		const struct column *c = &t->columns[i];
		buf_puts(out, i ? ", " : "");
		if (w->v.db.pg) {
			buf_printf(out, "CAST($%zu AS %s)", i + 1, c->type);
		} else {
			buf_puts(out, "memingest_wanted(");
			shown_put_kind(out, c);
			buf_puts(out, ", ");
			buf_quoted(out, c->name, '\'');
			buf_printf(out, ", $%zu)", i + 1);
		}
		buf_puts(out, " AS ");
		buf_quoted(out, c->name, '"');
	}
	buf_puts(out, ") ");
}

/* In a file the time of updated_at says both, and 0 that somebody else may have written it. */
static void put_writer(struct buf *out, const struct why *w)
{
	bool known = w->v.has_updated_at;
	if (w->v.db.pg) {
		buf_printf(out, "t.xmin::text, %s",
			   known ? "floor(extract(epoch FROM t.updated_at) * 1000)::bigint"
				 : "NULL");
		return;
	}
	buf_puts(out, "CASE WHEN t.");
	buf_quoted(out, w->v.stream->table->columns[0].name, '"');
	buf_printf(out, " IS NOT NULL THEN %s END, %s", known ? "t.updated_at" : "0",
		   known ? "nullif(t.updated_at, 0) / 1000" : "NULL");
}

static char *row_sql(const struct why *w)
{
	const struct table *t = w->v.stream->table;
	struct buf b = {0};
	put_keys(&b, w);
	buf_puts(&b, "SELECT ");
	verify_put_key_hex(&w->v, "k", &b);
	buf_puts(&b, ", ");
	put_writer(&b, w);
	for (size_t i = 0; i < t->ncolumns; i++) {
		buf_puts(&b, ", ");
		if (w->v.db.pg) {
			buf_puts(&b, "t.");
			buf_quoted(&b, t->columns[i].name, '"');
			buf_puts(&b, "::text");
		} else {
			verify_file_put_text(&b, "t", &t->columns[i]);
		}
	}
	buf_puts(&b, " FROM k LEFT JOIN ");
	if (w->v.db.pg)
		sqlname_table(t, &b);
	else
		buf_quoted(&b, t->name, '"');
	buf_puts(&b, " AS t ON ");
	sqlname_same_key(&b, t, "t", "k");
	return buf_take_text(&b);
}

/* Not the server's or the file's fault. */
static bool is_no_key(const struct why *w, const struct err *err)
{
	return w->v.db.pg ? strncmp(err->code, "22", 2) == 0 : err->class == ERR_POISON;
}

bool why_read_row(struct why *w, struct err *err)
{
	const struct table *t = w->v.stream->table;
	char *sql = row_sql(w);
	w->row =
		asker_query(&w->v.db, ASKER_TEXT(sql), (const char *const *)w->keys, t->nkeys, err);
	free(sql);
	if (!w->row)
		return is_no_key(w, err) ? err_set(err, ERR_POISON, "that is no key of %s: %s",
						   t->name, err->text)
					 : false;
	w->there = answer_value(w->row, 0, WHY_WRITER) != NULL;
	verify_take_bytes(answer_value(w->row, 0, WHY_BYTES), &w->key, &w->key_len);
	return true;
}

/* ---- parts of the log ---- */

static const struct position *position_of(const struct why *w, const char *topic, int32_t partition)
{
	for (size_t i = 0; i < w->positions.n; i++)
		if (w->positions.all[i].partition == partition &&
		    strcmp(w->positions.all[i].topic, topic) == 0)
			return &w->positions.all[i];
	return NULL;
}

/* As far as the log has it; a partition that is there already is widened. */
static void add_part(const struct why *w, struct replay *what, const char *topic, int32_t partition,
		     int64_t from, int64_t to)
{
	const struct position *p = position_of(w, topic, partition);
	struct replay_part *part = replay_find(what, topic, partition);
	if (!p || !p->answered)
		return;
	from = MAX(from, p->low);
	to = MIN(to, p->high);
	if (from >= to)
		return;
	if (part) {
		part->from = MIN(part->from, from);
		part->end = MAX(part->end, to);
	} else {
		replay_add(what, topic, partition, from, to);
	}
}

static void add_batches(const struct why *w, bool its_own, struct replay *what)
{
	for (size_t i = 0; i < answer_count(w->batches); i++)
		if (answer_bool(w->batches, i, 4) == its_own)
			add_part(w, what, answer_value(w->batches, i, 0),
				 (int32_t)answer_int(w->batches, i, 1),
				 answer_int(w->batches, i, 2) - NEARBY,
				 answer_int(w->batches, i, 3) + NEARBY);
}

static void add_log(const struct why *w, bool by_time, struct replay *what)
{
	for (size_t i = 0; i < w->positions.n; i++) {
		const struct position *p = &w->positions.all[i];
		if (by_time && p->at < 0)
			continue;
		add_part(w, what, p->topic, p->partition, by_time ? p->at : p->low,
			 by_time ? p->at + WINDOW : p->high);
	}
}

static void choose_part(const struct why *w, enum why_found how, struct replay *what)
{
	bool timed = w->there && answer_value(w->row, 0, WHY_BEGAN);
	switch (how) {
	case WHY_BY_BATCH:
	case WHY_BY_BATCH_TIME:
		if (w->there)
			add_batches(w, how == WHY_BY_BATCH, what);
		break;
	case WHY_BY_TIME:
		if (timed)
			add_log(w, true, what);
		break;
	case WHY_BY_ALL:
		add_log(w, false, what);
		break;
	case WHY_FOUND_COUNT:
		break;
	}
}

/* ---- events ---- */

static void take_event(void *ctx, const struct event *e)
{
	struct why *w = ctx;
	const struct source_message *m = e->m;
	if (!e->ok || e->record.key_len != w->key_len ||
	    memcmp(e->row.data, w->key, w->key_len) != 0)
		return;
	w->events = xrealloc(w->events, (w->nevents + 1) * sizeof(*w->events));
	struct why_event *x = &w->events[w->nevents++];
	*x = (struct why_event){.partition = m->sp->partition,
				.offset = m->offset,
				.timestamp_ms = m->timestamp_ms,
				.op = e->record.op,
				.has_version = e->record.has_version,
				.version = e->record.version,
				.fate = FATE_SUPERSEDED,
				.key_len = m->key.len};
	snprintf(x->topic, sizeof(x->topic), "%s", m->sp->topic);
	if (m->key.data) {
		x->key = xmalloc(m->key.len + 1);
		memcpy(x->key, m->key.data, m->key.len);
	}
}

static int compare(const void *a, const void *b)
{
	const struct why_event *x = a, *y = b;
	int order = strcmp(x->topic, y->topic);
	if (order != 0 || x->partition != y->partition)
		return order ? order
			     : (x->partition > y->partition) - (x->partition < y->partition);
	return (x->offset > y->offset) - (x->offset < y->offset);
}

static bool read_batches(struct why *w, struct err *err)
{
	if (!w->there)
		return true;
	const char *params[] = {w->v.config->group_id, answer_value(w->row, 0, WHY_WRITER),
				answer_value(w->row, 0, WHY_BEGAN)};
	w->batches = asker_query(&w->v.db, ASKER_WORDS(sql_why_batches, sql_why_file_batches),
				 params, 3, err);
	return w->batches != NULL;
}

static bool read_part(struct why *w, enum why_found how, struct err *err)
{
	struct replay what = {0};
	choose_part(w, how, &what);
	bool ok = events_read(w->v.config, w->v.stream, &what, -1, take_event, w, err);
	replay_free(&what);
	return ok;
}

/* ---- fates ---- */

/* Of one Kafka key: events of one row may have several, but that is rare. */
static bool read_letters(struct why *w, struct err *err)
{
	const struct why_event *last = w->nevents > 0 ? &w->events[w->nevents - 1] : NULL;
	struct buf hex = {0};
	char partition[12];
	if (!last || !last->key)
		return true;
	for (size_t i = 0; i < last->key_len; i++)
		buf_printf(&hex, "%02x", last->key[i]);
	snprintf(partition, sizeof(partition), "%d", last->partition);
	const char *params[] = {w->v.config->group_id, last->topic, partition, buf_cstr(&hex)};
	w->letters = asker_query(&w->v.db, ASKER_WORDS(sql_why_letters, sql_why_file_letters),
				 params, 4, err);
	buf_free(&hex);
	/* The worker's own role may not read them, which is told. */
	return w->letters != NULL || strcmp(err->code, "42501") == 0;
}

static const char *letter_of(const struct why *w, const struct why_event *x)
{
	for (size_t i = 0; w->letters && i < answer_count(w->letters); i++)
		if (answer_int(w->letters, i, 1) == x->offset)
			return answer_value(w->letters, i, 2);
	return NULL;
}

/* Whether the row is what it is by x, rather than by the best so far. */
static bool is_better(const struct why *w, const struct why_event *best, const struct why_event *x)
{
	if (!best || w->v.stream->config->on_conflict == CONFLICT_UPDATE)
		return true;
	if (w->v.stream->config->on_conflict == CONFLICT_SKIP)
		return best->op == RECORD_DELETE;
	return !best->has_version || !x->has_version || x->version >= best->version ||
	       best->op == RECORD_DELETE;
}

static bool in_batch(const struct why *w, size_t batch, const struct why_event *x)
{
	return answer_int(w->batches, batch, 1) == x->partition &&
	       strcmp(answer_value(w->batches, batch, 0), x->topic) == 0 &&
	       answer_int(w->batches, batch, 2) <= x->offset &&
	       x->offset < answer_int(w->batches, batch, 3);
}

/* The row's own, if its transaction is known, else the one that the event lies in. */
static void note_batch(struct why *w, const struct why_event *made)
{
	size_t n = w->batches ? answer_count(w->batches) : 0;
	w->batch = n;
	for (size_t i = n; made && i-- > 0;)
		if (in_batch(w, i, made))
			w->batch = i;
	if (n == 0)
		w->batch = SIZE_MAX;
}

static void decide_fates(struct why *w)
{
	struct why_event *best = NULL;
	for (size_t i = 0; i < w->nevents; i++) {
		struct why_event *x = &w->events[i];
		const struct position *p = position_of(w, x->topic, x->partition);
		x->reason = letter_of(w, x);
		if (x->reason)
			x->fate = FATE_DEAD;
		else if (!p || x->offset >= p->next_offset)
			x->fate = FATE_WAITING;
		else if (is_better(w, best, x))
			best = x;
	}
	if (best && (best->op == RECORD_DELETE || w->there))
		best->fate = best->op == RECORD_DELETE ? FATE_DELETED : FATE_MADE;
	note_batch(w, best);
}

bool why_find_events(struct why *w, struct err *err)
{
	const char *began = w->there ? answer_value(w->row, 0, WHY_BEGAN) : NULL;
	int64_t at_ms = began ? strtoll(began, NULL, 10) - BEFORE_MS : -1;
	if (!positions_of_stream(&w->v.db, w->v.config, w->v.index, w->partition, at_ms,
				 &w->positions, err) ||
	    !read_batches(w, err))
		return false;
	for (int how = 0; how < WHY_FOUND_COUNT && w->nevents == 0; how++) {
		w->found = (enum why_found)how;
		if (!read_part(w, w->found, err))
			return false;
	}
	if (w->nevents > 0)
		qsort(w->events, w->nevents, sizeof(*w->events), compare);
	if (!read_letters(w, err))
		return false;
	decide_fates(w);
	return true;
}

void why_free(struct why *w)
{
	for (size_t i = 0; i < w->nevents; i++)
		free(w->events[i].key);
	free(w->events);
	free(w->key);
	answer_free(w->row);
	answer_free(w->batches);
	answer_free(w->letters);
	positions_free(&w->positions);
}

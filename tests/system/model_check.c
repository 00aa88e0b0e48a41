/*
 * model_check.c - compares the model with the database: tables, dead letters, books.
 *
 *   table       read by a cursor, 2,000 rows at a time; each row is looked up in the model by its
 *               key and ticked off; what is not ticked at the end is missing
 *   dead        memingest.dead_letters against the model's list, both ways
 *   books       per partition: batches and gaps in order must touch each other, from the first
 *               offset to next_offset
 *
 * Each check reports what it finds (up to MAX_REPORTS lines on stdout) and fails the test at its
 * end, so that one run shows more than the first difference.
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker.h"
#include "model.h"
#include "model_parts.h"

#define MAX_REPORTS 10
#define FETCH 2000

static int reports;

static struct result {
	char stream[32];
	size_t rows;
} results[BED_STREAMS];

static void (*on_report)(void *ctx, const char *text);
static void *on_report_ctx;

void model_on_report(void (*report)(void *ctx, const char *text), void *ctx)
{
	on_report = report;
	on_report_ctx = ctx;
}

__attribute__((format(printf, 1, 2))) static void report(const char *fmt, ...)
{
	char text[1024];
	va_list args;
	reports++;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (on_report)
		on_report(on_report_ctx, text);
	else if (reports <= MAX_REPORTS)
		printf("model: %s\n", text);
}

static void settle(const char *what)
{
	fflush(stdout);
	ck_assert_msg(reports == 0, "%d differences in %s, see above", reports, what);
}

/* --- one value --- */

/* How a column is asked for, so that its text can be read back exactly. */
static void select_column(struct buf *sql, const struct column *c)
{
	struct buf name = {0};
	pg_quote_ident(&name, c->name);
	const char *quoted = buf_cstr(&name);
	if (c->kind == PG_TIMESTAMP)
		buf_printf(sql, "(extract(epoch from %s) * 1000000)::bigint::text", quoted);
	else if (c->kind == PG_DATE)
		buf_printf(sql, "(%s - date '1970-01-01')::text", quoted);
	else if (c->kind == PG_ARRAY)
		buf_printf(sql, "to_json(%s)::text", quoted);
	else
		buf_printf(sql, "%s::text", quoted);
	buf_free(&name);
}

static json_t *parse_vector(const char *text)
{
	struct buf raw = {0};
	for (const char *p = text; *p == '[' || *p == ',';) {
		char *end;
		float f = strtof(p + 1, &end);
		buf_put(&raw, &f, sizeof(f));
		p = end;
	}
	json_t *v = json_stringn_nocheck((const char *)raw.data, raw.len);
	buf_free(&raw);
	return v;
}

/* The model's form of what PostgreSQL printed, new. */
static json_t *parse_value(const struct column *c, const char *text)
{
	if (!text)
		return json_null();
	switch (c->kind) {
	case PG_VECTOR:
		return parse_vector(text);
	case PG_JSONB:
		return json_pack("{s:o}", "j", json_loads(text, JSON_DECODE_ANY, NULL));
	case PG_ARRAY:
		return json_loads(text, 0, NULL);
	case PG_INT2:
	case PG_INT4:
	case PG_INT8:
	case PG_DATE:
	case PG_TIMESTAMP:
		return json_integer(strtoll(text, NULL, 10));
	case PG_FLOAT4:
		return json_real((double)strtof(text, NULL));
	case PG_FLOAT8:
		return json_real(strtod(text, NULL));
	case PG_BOOL:
		return json_boolean(text[0] == 't');
	case PG_TEXT:
	case PG_BYTEA:
	case PG_UUID:
	case PG_TIME:
	case PG_INTERVAL:
	case PG_NUMERIC:
	case PG_HALFVEC:
		break;
	}
	return json_string(text);
}

static bool same(json_t *a, json_t *b)
{
	if (json_is_real(a) && json_is_real(b)) {
		/* sums depend on the order of addition in the last bits */
		double x = json_real_value(a), y = json_real_value(b);
		return x == y || fabs(x - y) <= 1e-9 * fmax(fabs(x), fabs(y));
	}
	return json_equal(a, b);
}

static char *show(json_t *v)
{
	char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT | JSON_ENSURE_ASCII);
	return text ? text : xstrdup("(vector)");
}

/* --- tables --- */

static void compare_row(struct model_stream *ms, json_t *found)
{
	struct model_row *row;
	char *key = model_key_text(ms->table, found);
	HASH_FIND_STR(ms->rows, key, row);
	if (!row) {
		report("%s has a row that should not be there: key %s", ms->table->name, key);
	} else if (row->seen) {
		report("%s has two rows of key %s", ms->table->name, key);
	} else {
		row->seen = true;
		for (size_t i = ms->table->nkeys; i < ms->table->ncolumns; i++) {
			json_t *want = json_array_get(row->values, i),
			       *have = json_array_get(found, i);
			if (same(want, have))
				continue;
			char *wanted = show(want), *had = show(have);
			report("%s, key %s, column %s: should be %.200s, is %.200s; last event "
			       "%s/%d/%lld",
			       ms->table->name, key, ms->table->columns[i].name, wanted, had,
			       ms->stream->topic, row->partition, (long long)row->offset);
			free(wanted);
			free(had);
		}
	}
	free(key);
}

static void open_cursor(struct model *m, const struct table *t)
{
	struct buf sql = {0}, name = {0};
	buf_puts(&sql, "BEGIN; DECLARE model NO SCROLL CURSOR FOR SELECT ");
	for (size_t i = 0; i < t->ncolumns; i++) {
		buf_puts(&sql, i ? ", " : "");
		select_column(&sql, &t->columns[i]);
	}
	if (t->schema) {
		pg_quote_ident(&name, t->schema);
		buf_puts(&name, ".");
	}
	pg_quote_ident(&name, t->name);
	buf_printf(&sql, " FROM %s", buf_cstr(&name));
	bed_sql(m->bed, "%s", buf_cstr(&sql));
	buf_free(&sql);
	buf_free(&name);
}

static void compare_table(struct model *m, struct model_stream *ms)
{
	size_t n;
	open_cursor(m, ms->table);
	do {
		struct pg_rows *rows = bed_query(m->bed, "FETCH %d FROM model", FETCH);
		n = pg_rows_count(rows);
		for (size_t r = 0; r < n; r++) {
			json_t *found = json_array();
			for (size_t i = 0; i < ms->table->ncolumns; i++)
				json_array_append_new(found, parse_value(&ms->table->columns[i],
									 pg_value(rows, r, i)));
			compare_row(ms, found);
			json_decref(found);
		}
		pg_rows_free(rows);
	} while (n == FETCH);
	bed_sql(m->bed, "COMMIT");
	for (struct model_row *row = ms->rows; row; row = row->hh.next) {
		if (!row->seen)
			report("%s lacks the row of key %s; last event %s/%d/%lld", ms->table->name,
			       row->key, ms->stream->topic, row->partition, (long long)row->offset);
	}
}

/* --- dead letters --- */

/* How well a dead letter that we expect fits one of that reason: not ticked off yet counts most. */
static int fits(const struct model_dead *d, const char *reason)
{
	return 2 * !d->seen + (d->reason && strcmp(d->reason, reason) == 0);
}

/* Of a topic that was created anew an offset may be dead twice: the one that fits best. */
static struct model_dead *find_dead(struct model *m, const char *topic, int64_t partition,
				    int64_t offset, const char *reason)
{
	struct model_dead *found = NULL;
	for (size_t i = 0; i < m->ndead; i++) {
		struct model_dead *d = &m->dead[i];
		if (d->offset == offset && d->partition == partition &&
		    strcmp(d->topic, topic) == 0 &&
		    (!found || fits(d, reason) > fits(found, reason)))
			found = d;
	}
	return found;
}

static void compare_dead(struct model *m)
{
	struct pg_rows *rows =
		bed_query(m->bed,
			  "SELECT topic, partition, \"offset\", reason FROM memingest.dead_letters "
			  "WHERE pipeline = '%s' ORDER BY 1, 2, 3",
			  m->bed->name);
	for (size_t r = 0; r < pg_rows_count(rows); r++) {
		const char *topic = pg_value(rows, r, 0), *reason = pg_value(rows, r, 3);
		int64_t partition = pg_int(rows, r, 1), offset = pg_int(rows, r, 2);
		struct model_dead *d = find_dead(m, topic, partition, offset, reason);
		if (!d)
			report("dead letter %s/%d/%lld (%s) is no poison", topic, (int)partition,
			       (long long)offset, reason);
		else if (d->seen)
			report("dead letter %s/%d/%lld is there twice", topic, (int)partition,
			       (long long)offset);
		else if (d->reason && strcmp(d->reason, reason) != 0)
			report("dead letter %s/%d/%lld: reason should be %s, is %s", topic,
			       (int)partition, (long long)offset, d->reason, reason);
		if (d)
			d->seen = true;
	}
	pg_rows_free(rows);
	for (size_t i = 0; i < m->ndead; i++) {
		struct model_dead *d = &m->dead[i];
		if (!d->seen)
			report("no dead letter for %s/%d/%lld (%s)", d->topic, d->partition,
			       (long long)d->offset, d->reason ? d->reason : "any reason");
	}
}

/* --- books --- */

/* Gaps from before the topic was created anew (the last one without length) are of another log. */
static void compare_tiles(struct model *m, const struct model_partition *p, int64_t next_offset)
{
	int64_t at = p->start, events = 0, dead = 0, skipped = 0;
	struct pg_rows *rows = bed_query(
		m->bed,
		"SELECT from_offset, to_offset, rows, merged + superseded + dead + skipped, dead, "
		"skipped FROM memingest.batches "
		"WHERE pipeline = '%s' AND topic = '%s' AND partition = %d UNION ALL "
		"SELECT from_offset, to_offset, 0, 0, 0, 0 FROM memingest.gaps "
		"g WHERE pipeline = '%s' AND topic = '%s' AND partition = %d AND to_offset > "
		"from_offset AND created_at > (SELECT coalesce(max(created_at), '-infinity') FROM "
		"memingest.gaps anew WHERE anew.from_offset = anew.to_offset AND (anew.pipeline, "
		"anew.topic, anew.partition) = (g.pipeline, g.topic, g.partition)) ORDER BY 1",
		m->bed->name, p->topic, p->partition, m->bed->name, p->topic, p->partition);
	for (size_t r = 0; r < pg_rows_count(rows); r++) {
		int64_t from = pg_int(rows, r, 0), to = pg_int(rows, r, 1), n = pg_int(rows, r, 2);
		if (from != at)
			report("%s/%d: %s before batch [%lld, %lld): the one before ends at %lld",
			       p->topic, p->partition, from > at ? "a hole" : "an overlap",
			       (long long)from, (long long)to, (long long)at);
		if (n != pg_int(rows, r, 3))
			report("%s/%d: batch [%lld, %lld) took %lld events, merged + superseded + "
			       "dead + skipped are %lld",
			       p->topic, p->partition, (long long)from, (long long)to, (long long)n,
			       (long long)pg_int(rows, r, 3));
		at = to;
		events += n;
		dead += pg_int(rows, r, 4);
		skipped += pg_int(rows, r, 5);
	}
	pg_rows_free(rows);
	if (at != next_offset)
		report("%s/%d: batches end at %lld, next_offset is %lld", p->topic, p->partition,
		       (long long)at, (long long)next_offset);
	if (events != p->messages || dead != p->dead || skipped != p->skipped)
		report("%s/%d: %lld events in batches (%lld dead, %lld skipped), the topic has "
		       "%lld "
		       "(%lld dead, %lld skipped)",
		       p->topic, p->partition, (long long)events, (long long)dead,
		       (long long)skipped, (long long)p->messages, (long long)p->dead,
		       (long long)p->skipped);
}

static void compare_books(struct model *m)
{
	int64_t committed[256], low, high;
	const char *topic = "";
	for (size_t i = 0; i < m->npartitions; i++) {
		const struct model_partition *p = &m->partitions[i];
		if (strcmp(topic, p->topic) != 0)
			broker_committed(m->bed->name, p->topic, committed,
					 broker_partitions(p->topic));
		topic = p->topic;
		broker_watermarks(p->topic, p->partition, &low, &high);
		if (high == 0)
			continue;
		int64_t next =
			bed_int(m->bed,
				"SELECT coalesce(max(next_offset), -1) FROM memingest.offsets "
				"WHERE pipeline = '%s' AND topic = '%s' AND partition = %d",
				m->bed->name, p->topic, p->partition);
		if (next != high)
			report("%s/%d: next_offset is %lld, the log ends at %lld", p->topic,
			       p->partition, (long long)next, (long long)high);
		if (committed[p->partition] > next)
			report("%s/%d: committed to Kafka is %lld, durable is %lld", p->topic,
			       p->partition, (long long)committed[p->partition], (long long)next);
		compare_tiles(m, p, next);
	}
}

/* --- the whole --- */

void model_check_books(struct bed *bed)
{
	struct model *m = model_open(bed);
	model_advance(m);
	reports = 0;
	compare_dead(m);
	compare_books(m);
	model_free(m);
	settle("dead letters and books");
}

/* Nothing is ticked off. */
static void untick(struct model *m)
{
	for (size_t i = 0; i < m->nstreams; i++) {
		for (struct model_row *row = m->streams[i].rows; row; row = row->hh.next)
			row->seen = false;
	}
	for (size_t i = 0; i < m->ndead; i++)
		m->dead[i].seen = false;
}

int model_compare(struct model *m)
{
	untick(m);
	reports = 0;
	for (size_t i = 0; i < m->nstreams; i++) {
		compare_table(m, &m->streams[i]);
		snprintf(results[i].stream, sizeof(results[i].stream), "%s",
			 m->streams[i].stream->name);
		results[i].rows = HASH_COUNT(m->streams[i].rows);
	}
	compare_dead(m);
	compare_books(m);
	return reports;
}

int model_differences(struct bed *bed)
{
	struct model *m = model_open(bed);
	model_advance(m);
	int differences = model_compare(m);
	model_free(m);
	return differences;
}

void model_check(struct bed *bed)
{
	model_differences(bed);
	settle("tables, dead letters and books");
}

size_t model_rows(const char *stream)
{
	for (size_t i = 0; i < BED_STREAMS; i++) {
		if (strcmp(results[i].stream, stream) == 0)
			return results[i].rows;
	}
	ck_abort_msg("model_check() has not seen the stream %s", stream);
	return 0;
}

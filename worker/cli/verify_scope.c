/*
 * verify_scope.c - which offsets are read, and what cannot be known from them.
 *
 *   offsets             next_offset: everything below it is in the table, in this very snapshot
 *   Kafka               where the logs begin and end, whether old events are compacted away
 *   books               dead letters and gaps: offsets that are not in the table
 *                       where consuming began, if that was not the beginning
 *
 * Two questions decide how much can be told. Was each event read that the table can have had (then
 * a row without events is one too many)? And each key's first one (else a sum, or the row's first
 * value, cannot be compared)? Whatever makes one of the answers "no" is told as a note.
 *
 * Thread: the command's. Failure: class CONFIG where the topic is not the one that was consumed,
 * RETRY where Kafka does not answer.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "cli/positions.h"
#include "cli/verify.h"
#include "core/config_key.h"
#include "core/sqlname.h"
#include "io/kafka_inspect.h"
#include "io/origin.h"

extern const char sql_verify_books[], sql_verify_left_out[]; /* worker/sql */

#define FETCH_ROWS 10000
#define KAFKA_TIMEOUT_MS 10000

/* ---- notes ---- */

void verify_note(struct verify *v, const char *code, const char *fmt, ...)
{
	va_list args;
	for (size_t i = 0; i < v->nnotes; i++)
		if (strcmp(v->notes[i].code, code) == 0)
			return;
	struct buf text = {0};
	char *line = NULL;
	va_start(args, fmt);
	if (vasprintf(&line, fmt, args) < 0)
		mem_exhausted();
	va_end(args);
	buf_puts(&text, line);
	free(line);
	v->notes = xrealloc(v->notes, (v->nnotes + 1) * sizeof(*v->notes));
	v->notes[v->nnotes++] = (struct verify_note){code, buf_take_text(&text)};
}

/* What lies before it is not known. */
static void begins_later(struct verify *v)
{
	v->whole = v->from_first = false;
}

/* ---- options ---- */

static bool read_number(const char *name, const char *text, int64_t most, int64_t *n,
			struct err *err)
{
	char *end;
	*n = -1;
	if (!text)
		return true;
	errno = 0;
	long long value = strtoll(text, &end, 10);
	if (end == text || *end || errno || value < 0 || value > most)
		return err_set(err, ERR_CONFIG, "--%s: %s is not a number from 0 on", name, text);
	*n = value;
	return true;
}

static bool read_time(const char *text, int64_t *ms)
{
	struct buf ignored = {0};
	int kind;
	bool ok = config_start_parse(text, &kind, ms, &ignored) && kind == START_TIMESTAMP;
	buf_free(&ignored);
	return ok;
}

bool verify_read_range(const struct cli *cli, struct verify_range *range, struct err *err)
{
	const char *since = cli_option(cli, "since", NULL);
	int64_t partition;
	range->since_ms = -1;
	if (!read_number("from", cli_option(cli, "from", NULL), INT64_MAX, &range->from, err) ||
	    !read_number("partition", cli_option(cli, "partition", NULL), INT32_MAX, &partition,
			 err))
		return false;
	range->partition = (int32_t)partition;
	if (since && range->from >= 0)
		return err_set(err, ERR_CONFIG, "--from and --since are two beginnings: which?");
	return !since || read_time(since, &range->since_ms) ||
	       err_set(err, ERR_CONFIG, "--since: %s is no time like 2026-05-01T00:00:00Z", since);
}

/* ---- samples ---- */

bool verify_read_sample(struct verify *v, const char *text, struct err *err)
{
	char *end;
	v->sample = text;
	v->sampled = UINT64_C(1) << 32;
	if (!text)
		return true;
	double percent = strtod(text, &end);
	if (end == text || strcmp(end, "%") != 0 || !(percent > 0) || percent > 100)
		return err_set(err, ERR_CONFIG, "--sample: %s is no share of the keys as in 1%%",
			       text);
	v->sampled = (uint64_t)ceil(percent / 100 * 4294967296.0);
	return true;
}

/* The same as in SQL: verify_sql.c, sample_sql(). */
bool verify_wants(void *self, struct slice key)
{
	const struct verify *v = self;
	uint8_t digest[DIGEST_SIZE];
	digest_bytes(key, digest);
	return get_be32(digest) < v->sampled;
}

/* ---- where each partition is read from ---- */

/* That the offsets are still about the topic that Kafka has. */
static bool is_same_topic(const struct position *p, struct err *err)
{
	if (!p->answered)
		return err_set(err, ERR_CONFIG, "%s [%d] does not exist any more in Kafka",
			       p->topic, p->partition);
	if ((p->topic_id[0] && p->kafka_topic_id[0] &&
	     strcmp(p->topic_id, p->kafka_topic_id) != 0) ||
	    p->next_offset > p->high)
		return err_set(err, ERR_CONFIG,
			       "%s [%d]: everything below offset %" PRId64
			       " was consumed, of another topic than the one that Kafka has now "
			       "(it ends at %" PRId64 "): memingest offsets show",
			       p->topic, p->partition, p->next_offset, p->high);
	return true;
}

/* A row of verify_books.sql. */
static size_t book_of(const struct answer *books, const struct position *p)
{
	size_t n = answer_count(books);
	for (size_t i = 0; i < n; i++)
		if (answer_int(books, i, 1) == p->partition &&
		    strcmp(answer_value(books, i, 0), p->topic) == 0)
			return i;
	return n;
}

/* Where consuming began, if that was chosen; as far as the books still know. */
static int64_t chosen_start(struct verify *v, const struct answer *books, size_t row,
			    const struct position *p)
{
	if (!answer_bool(books, row, 2))
		return p->low;
	int64_t first = answer_value(books, row, 3) ? answer_int(books, row, 3) : p->next_offset;
	if (first > 0)
		begins_later(v);
	if (first > p->low)
		verify_note(v, "start",
			    "consuming did not begin at the beginning of %s: what is known of it "
			    "begins at offset %" PRId64 " of partition %d; nothing before is read",
			    p->topic, first, p->partition);
	return MAX(first, p->low);
}

static int64_t asked_start(struct verify *v, const struct verify_range *range,
			   const struct position *p, int64_t from)
{
	int64_t asked = range->from >= 0 ? range->from : range->since_ms >= 0 ? p->at : from;
	if (asked <= from)
		return from;
	begins_later(v);
	verify_note(v, "range", "read from offset %" PRId64 " of %s [%d] on, as told", asked,
		    p->topic, p->partition);
	return asked;
}

static void look_at_books(struct verify *v, const struct answer *books, size_t row,
			  const struct position *p)
{
	int64_t gaps = answer_int(books, row, 5);
	int64_t purged = answer_int(books, row, 6) - answer_int(books, row, 7);
	if (answer_bool(books, row, 4)) {
		begins_later(v);
		verify_note(v, "exchanged",
			    "%s was created anew once: what the table has of the old one is not "
			    "known",
			    p->topic);
	}
	if (gaps > 0)
		verify_note(v, "gaps",
			    "offsets were given up (%sgaps; %s [%d] has %" PRId64
			    " ranges): what stood there is in no table, and is not read",
			    v->db.pg ? "memingest." : "memingest_", p->topic, p->partition, gaps);
	if (purged > 0)
		verify_note(v, "purged",
			    "dead letters were purged (%" PRId64 " of %s [%d]): rows that were "
			    "refused show as missing, or with an older value",
			    purged, p->topic, p->partition);
}

static void add_part(struct verify *v, const struct verify_range *range, const struct answer *books,
		     const struct position *p)
{
	size_t row = book_of(books, p);
	int64_t from = p->low;
	if (row < answer_count(books)) {
		look_at_books(v, books, row, p);
		from = chosen_start(v, books, row, p);
	}
	if (p->low > 0) {
		begins_later(v);
		verify_note(v, "retention",
			    "the log does not go back to the beginning: %s [%d] begins at offset "
			    "%" PRId64 ", what was before is not known",
			    p->topic, p->partition, p->low);
	}
	from = asked_start(v, range, p, from);
	if (from < p->next_offset)
		replay_add(&v->replay, p->topic, p->partition, from, p->next_offset);
}

/* ---- what is left out ---- */

static void leave_out(struct verify *v, const struct answer *rows)
{
	for (size_t i = 0; i < answer_count(rows); i++) {
		struct replay_part *part = replay_find(&v->replay, answer_value(rows, i, 0),
						       (int32_t)answer_int(rows, i, 1));
		if (part)
			replay_leave_out(part, answer_int(rows, i, 2), answer_int(rows, i, 3));
	}
}

/* A cursor's declaration takes no parameters. */
static bool declare_left_out(struct verify *v, const char *sql, struct err *err)
{
	struct buf text = {0}, name = {0};
	const char *at;
	pg_quote_literal(&name, v->config->group_id);
	buf_puts(&text, "DECLARE left_out CURSOR FOR ");
	for (; (at = strstr(sql, "$1")) != NULL; sql = at + 2) {
		buf_put(&text, sql, (size_t)(at - sql));
		buf_puts(&text, buf_cstr(&name));
	}
	buf_puts(&text, sql);
	bool ok = pg_exec(v->db.pg, buf_cstr(&text), NULL, 0, err);
	buf_free(&text);
	buf_free(&name);
	return ok;
}

/* A piece at a time: there may be many. */
static bool read_left_out(struct verify *v, struct err *err)
{
	const char *params[] = {v->config->group_id};
	char *sql = asker_books(&v->db, sql_verify_left_out);
	bool ok = !v->db.pg || declare_left_out(v, sql, err), more = ok;
	for (int64_t n = 0; more; n += FETCH_ROWS) {
		char *piece =
			v->db.pg ? xasprintf("FETCH %d FROM left_out", FETCH_ROWS)
				 : xasprintf("%s LIMIT %d OFFSET %" PRId64, sql, FETCH_ROWS, n);
		struct answer *rows =
			asker_query(&v->db, ASKER_TEXT(piece), params, v->db.pg ? 0 : 1, err);
		ok = rows != NULL;
		more = ok && answer_count(rows) > 0;
		if (more)
			leave_out(v, rows);
		answer_free(rows);
		free(piece);
	}
	free(sql);
	return ok;
}

/* ---- who else writes the table ---- */

#define LOADED(books, past)                                                                        \
	"SELECT topic FROM " books "offsets WHERE pipeline = $1 AND topic LIKE '" ORIGIN_FILE      \
	"%' AND next_offset > 0 LIMIT 1"

static bool look_at_files(struct verify *v, struct err *err)
{
	const char *params[] = {v->config->group_id};
	struct answer *rows = asker_query(&v->db, ASKER_SQL(LOADED), params, 1, err);
	if (rows && answer_count(rows) > 0) {
		begins_later(v);
		verify_note(v, "files",
			    "files were loaded by this pipeline (%s): their rows are in no topic",
			    answer_value(rows, 0, 0) + strlen(ORIGIN_FILE));
	}
	answer_free(rows);
	return rows != NULL;
}

static void look_at_streams(struct verify *v)
{
	for (size_t i = 0; i < v->config->nstreams; i++) {
		struct err ignored;
		struct stream *other = i == v->index ? NULL : stream_new(v->config, i, &ignored);
		if (other &&
		    strcmp(table_full_name(other->table), table_full_name(v->stream->table)) == 0) {
			begins_later(v);
			verify_note(v, "streams",
				    "stream %s writes the same table: its changes are not told "
				    "from others",
				    v->config->streams[i].name);
		}
		stream_free(other);
	}
}

/* In a file any of them can change the row. */
static bool look_at_triggers(struct verify *v, struct err *err)
{
	static const struct asker_sql sql = {
		"SELECT tgname FROM pg_trigger WHERE tgrelid = to_regclass($1) AND NOT "
		"tgisinternal AND tgenabled <> 'D' AND (tgtype & 2) <> 0 LIMIT 1",
		"SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = $1 COLLATE "
		"NOCASE LIMIT 1"};
	struct buf name = {0};
	sqlname_table(v->stream->table, &name);
	const char *params[] = {v->db.pg ? buf_cstr(&name) : v->stream->table->name};
	struct answer *rows = asker_query(&v->db, sql, params, 1, err);
	if (rows && answer_count(rows) > 0)
		verify_note(v, "triggers",
			    "trigger %s may change or drop rows on their way into the table: what "
			    "it does shows as a difference",
			    answer_value(rows, 0, 0));
	answer_free(rows);
	buf_free(&name);
	return rows != NULL;
}

/* ---- Kafka ---- */

static bool look_at_cleanup(struct verify *v, struct err *err)
{
	struct rd_kafka_s *rk = kafka_inspect_open(v->config, err);
	if (!rk)
		return false;
	for (size_t i = 0; i < v->replay.n; i++) {
		const char *topic = v->replay.parts[i].topic;
		bool known, compacts;
		if (i > 0 && strcmp(topic, v->replay.parts[i - 1].topic) == 0)
			continue;
		known = kafka_inspect_compacts(rk, topic, KAFKA_TIMEOUT_MS, &compacts);
		if (known && !compacts)
			continue;
		begins_later(v);
		if (known)
			verify_note(v, "compaction",
				    "%s is compacted: older events of a key may be gone, so sums, "
				    "first values and rows without events are not judged",
				    topic);
		else
			verify_note(v, "compaction",
				    "Kafka does not say whether %s is compacted (DescribeConfigs "
				    "on the topic would): it may be, so sums, first values and "
				    "rows without events are not judged",
				    topic);
	}
	kafka_inspect_close(rk);
	return true;
}

/* ---- all of it ---- */

static bool add_parts(struct verify *v, const struct verify_range *range,
		      const struct positions *ps, struct err *err)
{
	const char *params[] = {v->config->group_id};
	char *sql = asker_books(&v->db, sql_verify_books);
	struct answer *books = asker_query(&v->db, ASKER_TEXT(sql), params, 1, err);
	bool ok = books != NULL;
	for (size_t i = 0; ok && i < ps->n; i++) {
		if (!ps->all[i].known)
			continue;
		ok = is_same_topic(&ps->all[i], err);
		if (ok)
			add_part(v, range, books, &ps->all[i]);
	}
	answer_free(books);
	free(sql);
	return ok;
}

/* What the schema and the command leave out. */
static void note_rest(struct verify *v, const struct verify_range *range)
{
	const struct table *t = v->stream->table;
	look_at_streams(v);
	for (size_t i = 0; i < t->nembeds; i++)
		verify_note(v, "vectors",
			    "column %s has vectors that a model makes: it is not compared",
			    t->columns[t->embeds[i].vector].name);
	if (v->replay.n == 0)
		verify_note(v, "nothing", "no offset of it is durable yet%s: nothing was read",
			    range->from >= 0 || range->since_ms >= 0 ? " in that range" : "");
	if (range->partition >= 0) {
		v->whole = false;
		verify_note(v, "partition", "only partition %d is read, as told", range->partition);
	}
	if (v->sample)
		verify_note(v, "sample", "only %s of the keys are looked at, as told", v->sample);
}

/* Once it is known how far back was read. Vectors that a model made are not made again. */
static void decide_columns(struct verify *v)
{
	const struct table *t = v->stream->table;
	enum on_conflict rule = v->stream->config->on_conflict;
	v->may_be_newer = !v->from_first && t->version >= 0 && rule == CONFLICT_NEWER;
	for (size_t i = 0; i < t->ncolumns; i++)
		v->columns[i].judged =
			i < t->nkeys || (table_embed_of(t, i) < 0 &&
					 (v->from_first || (t->columns[i].merge == MERGE_REPLACE &&
							    rule != CONFLICT_SKIP)));
}

/* Kafka is asked within the transaction: what it says is later than the offsets, which is right. */
bool verify_scope(struct verify *v, const struct verify_range *range, struct err *err)
{
	struct positions ps = {0};
	v->whole = v->from_first = true;
	bool ok = positions_of_stream(&v->db, v->config, v->index, range->partition,
				      range->since_ms, &ps, err) &&
		  add_parts(v, range, &ps, err) && look_at_cleanup(v, err) &&
		  look_at_files(v, err) && look_at_triggers(v, err) && read_left_out(v, err);
	if (ok) {
		note_rest(v, range);
		decide_columns(v);
	}
	positions_free(&ps);
	return ok;
}

#define REFUSED(letters)                                                                           \
	"SELECT topic, partition, \"offset\", reason, detail, count(*) OVER () FROM " letters      \
	" WHERE pipeline = $1 ORDER BY id LIMIT 1"

bool verify_note_refused(struct verify *v, struct err *err)
{
	static const struct asker_sql sql = {REFUSED("memingest.dead_letters"),
					     REFUSED("topic.memingest_dead_letters")};
	const char *params[] = {v->pipeline};
	struct answer *rows = asker_query(&v->db, sql, params, 1, err);
	if (rows && answer_count(rows) > 0)
		verify_note(v, "refused",
			    "%s events are refused now that no dead letter names (%s [%s] offset "
			    "%s: %s: %s): their letters were purged, or they were taken by another "
			    "config; they are left out",
			    answer_value(rows, 0, 5), answer_value(rows, 0, 0),
			    answer_value(rows, 0, 1), answer_value(rows, 0, 2),
			    answer_value(rows, 0, 3),
			    answer_value(rows, 0, 4) ? answer_value(rows, 0, 4) : "");
	answer_free(rows);
	return rows != NULL;
}

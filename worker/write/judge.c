/*
 * judge.c - a row was refused: is it the event's fault or the table's?
 *
 * An event's fault makes a dead letter, and the stream goes on. The table's trouble stops the
 * stream until somebody has mended it, since no event is to be blamed for it. The SQLSTATE alone
 * does not say which it is: 42501 is a missing right or a policy of row security that this row
 * offends, 42601 a typing error in a trigger or a value that tsquery cannot read. So it is found by
 * trying.
 *
 *   a misfit of the table (worker/sql/traits.sql), or     the table's: no row can land
 *   the statement is refused before it sees a value
 *   a state that is the table's by its nature             the table's: a sequence that is used up
 *   a state that is a value's by its nature               the event's: class 22, 23
 *   any other, and other rows of the batch have passed    the event's
 *   any other, and no row has passed: a witness is heard
 *
 * Witnesses: a row that the table holds already, taken out and put in again (and all of it rolled
 * back); a row of the batch behind this one. If an innocent row passes it is the events' fault. If
 * it is refused as well, or several rows were tried and there is no witness, it is the table's. If
 * there is but this one event and no witness, a state that a trigger has raised of its own (P0001,
 * or of a class that is free to use) is believed to be about the event; else the batch waits for a
 * witness.
 *
 * Should many events be at fault the guard stops the stream all the same (dlq.max_ratio).
 *
 * Thread: the lane's, in the transaction of way_judged.c, which is rolled back after any of this.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "write/sink_parts.h"

#define UNIQUE_PATIENCE 2 /* how often 23505 may be a race with CREATE INDEX CONCURRENTLY */
#define PEER_ROWS 20

/* The column whose value the server could not read, if it says so. */
static const struct column *unread_column(const struct sink *s, const struct batch *b,
					  const struct batch_row *row)
{
	const struct table *t = b->stream->table;
	size_t n = pg_last_place(s->pg).parameter;
	if (row->op == RECORD_DELETE && n > t->nkeys) /* behind the keys stands the version */
		n = b->stream->sql->delete_version + 1;
	return n > 0 && n <= t->ncolumns ? &t->columns[n - 1] : NULL;
}

static bool is_json(const struct column *c)
{
	return c->kind == PG_JSONB || strcmp(c->type, "json") == 0 || strcmp(c->type, "jsonb") == 0;
}

/* A function of the database that reads a text as JSON says the same of what is no JSON column. */
static bool about_json(const struct sink *s, const struct batch *b, const struct column *unread)
{
	const struct table *t = b->stream->table;
	bool any = false;
	for (size_t i = 0; i < t->ncolumns; i++)
		any = any || is_json(&t->columns[i]);
	return unread ? is_json(unread) : any && !pg_last_place(s->pg).nested;
}

static enum dead_reason reason_of(const struct err *err, bool json)
{
	static const struct {
		const char *prefix, *text; /* text: in the message; NULL: any */
		enum dead_reason reason;
	} reasons[] = {
		{"22003", NULL, REASON_OUT_OF_RANGE},
		{"22008", NULL, REASON_OUT_OF_RANGE},
		{"22021", NULL, REASON_INVALID_TEXT},
		{"22P05", "Unicode escape", REASON_INVALID_JSON},
		{"22P05", NULL, REASON_INVALID_TEXT},
		{"22P02", "type json", REASON_INVALID_JSON},
		{"23", NULL, REASON_CONSTRAINT},
		{"44", NULL, REASON_CONSTRAINT},
		{"42501", "row-level security", REASON_CONSTRAINT},
		{"54", NULL, REASON_TOO_LARGE},
	};
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
		if (strncmp(err->code, reasons[i].prefix, strlen(reasons[i].prefix)) == 0 &&
		    (!reasons[i].text || strstr(err->text, reasons[i].text)) &&
		    (json || reasons[i].reason != REASON_INVALID_JSON))
			return reasons[i].reason;
	return REASON_DATABASE;
}

enum dead_reason judge_reason(const struct sink *s, const struct batch *b,
			      const struct batch_row *row, struct err *err)
{
	const struct column *unread = unread_column(s, b, row);
	enum dead_reason reason = reason_of(err, about_json(s, b, unread));
	size_t len = strlen(err->text);
	if (unread)
		snprintf(err->text + len, sizeof(err->text) - len, ", column %s", unread->name);
	return reason;
}

static bool is_lost(struct sink *s, const struct err *err)
{
	return !pg_ok(s->pg) || err->class == ERR_RETRY;
}

static bool table_trouble(const struct batch *b, struct err *err)
{
	err->class = ERR_CONFIG;
	return err_wrap(err, "table %s", table_full_name(b->stream->table));
}

/* --- at the first refusal --- */

/* The table has such a trait, which is put in words; also true where it cannot be asked. */
static bool has_trait(struct sink *s, struct batch *b, enum trait trait, struct err *err)
{
	struct pg_rows *rows = pg_query(s->pg, b->stream->sql->traits, NULL, 0, err);
	bool has = false;
	if (!rows)
		return true;
	for (size_t i = 0; i < pg_rows_count(rows) && !has; i++) {
		has = pg_int(rows, i, 0) == (int64_t)trait;
		if (has)
			err_set(err, ERR_CONFIG, "%s", pg_value(rows, i, 1));
	}
	pg_rows_free(rows);
	return has;
}

bool judge_unprepared(struct sink *s, struct batch *b, struct err *err)
{
	struct err why = {0};
	if (is_lost(s, err))
		return false;
	if (has_trait(s, b, TRAIT_MISFIT, &why) || has_trait(s, b, TRAIT_TYPES, &why))
		err_wrap(err, "%s", why.text);
	return is_lost(s, err) ? false : table_trouble(b, err);
}

/* Plans the statement and checks the rights, without a value. */
static bool explain(struct sink *s, struct batch *b, enum row_statement statement, size_t nparams,
		    struct err *err)
{
	s->sql.len = 0;
	buf_printf(&s->sql, "EXPLAIN EXECUTE %s(", row_name(s, b, statement));
	for (size_t i = 0; i < nparams; i++)
		buf_puts(&s->sql, i ? ", NULL" : "NULL");
	buf_puts(&s->sql, ")");
	return pg_exec(s->pg, buf_cstr(&s->sql), NULL, 0, err);
}

static bool takes_statements(struct sink *s, struct batch *b, struct err *err)
{
	const struct table *t = b->stream->table;
	size_t keys = t->nkeys + (b->stream->sql->delete_version > 0);
	return (!b->stream->sql->update_row || explain(s, b, ROW_UPDATE, t->ncolumns, err)) &&
	       explain(s, b, ROW_INSERT, t->ncolumns, err) && explain(s, b, ROW_DELETE, keys, err);
}

bool judge_table(struct sink *s, struct batch *b, struct trial *t, struct err *err)
{
	if (strcmp(err->code, "23505") == 0 && b->unique_failures < UNIQUE_PATIENCE) {
		b->unique_failures++;
		err->class = ERR_RETRY;
		return false;
	}
	if (t->verdict == PG_TABLE)
		return table_trouble(b, err);
	struct err trouble = {0};
	if (has_trait(s, b, TRAIT_MISFIT, &trouble) || !takes_statements(s, b, &trouble)) {
		*err = trouble;
		return is_lost(s, err) ? false : table_trouble(b, err);
	}
	return true;
}

/* --- witnesses --- */

enum witness { WITNESS_NONE, WITNESS_PASSED, WITNESS_REFUSED, WITNESS_LOST };

/* Of one trial under a savepoint, which is taken back. */
static enum witness end_trial(struct sink *s, bool ok, struct err *err)
{
	struct err ignored;
	bool lost = !ok && is_lost(s, err);
	if (lost || !pg_exec(s->pg, "ROLLBACK TO SAVEPOINT judged", NULL, 0, &ignored))
		return WITNESS_LOST;
	return ok ? WITNESS_PASSED : WITNESS_REFUSED;
}

/* A row that the table holds goes out and comes in again. */
static enum witness hear_row(struct sink *s, struct batch *b, struct err *err)
{
	const struct mergesql *sql = b->stream->sql;
	int64_t taken = 0, gone[1] = {0};
	if (!pg_exec(s->pg, "SAVEPOINT judged", NULL, 0, err) ||
	    !pg_exec(s->pg, sql->create_stage, NULL, 0, err))
		return WITNESS_LOST;
	bool ok = pg_exec(s->pg, sql->take_witness, &taken, 1, err);
	if (!ok || taken == 0 || !pg_exec(s->pg, sql->remove_witness, gone, 1, err))
		return end_trial(s, ok, err) == WITNESS_LOST ? WITNESS_LOST : WITNESS_NONE;
	return end_trial(s, pg_exec(s->pg, sql->merge_upsert, NULL, 0, err), err);
}

static struct batch_row row_of(const struct batch *b, const struct event *e)
{
	return (struct batch_row){
		.data = {b->rows.data + e->row, e->row_len}, .key_len = e->key_len, .op = e->op};
}

/* The first of the next batch's rows that passes is a witness. */
static enum witness hear_peer(struct sink *s, struct err *err)
{
	struct batch *peer = s->peer;
	uint64_t written = peer ? peer->spans[0].now.written : 0, deleted = s->deleted;
	enum witness heard = WITNESS_NONE;
	size_t n = peer ? peer->nevents : 0, tried = 0;
	for (size_t i = 0; i < n && tried < PEER_ROWS && heard != WITNESS_PASSED; i++) {
		struct batch_row row = row_of(peer, &peer->events[i]);
		size_t passed;
		if (peer->events[i].dead)
			continue;
		tried++;
		if (!pg_exec(s->pg, "SAVEPOINT judged", NULL, 0, err))
			return WITNESS_LOST;
		bool ok = singly_apply(s, peer, &row, 1, &passed, err);
		peer->spans[0].now.written = written;
		s->deleted = deleted;
		heard = end_trial(s, ok, err);
		if (heard == WITNESS_LOST)
			return heard;
	}
	return heard;
}

/* --- in the end --- */

static bool rows_at_fault(struct sink *s, struct batch *b, const struct trial *t, struct err *err)
{
	struct err heard = {0};
	bool by_nature = t->odd + t->raised == 0;
	if (by_nature || t->passed > 0)
		return true;
	enum witness witness = hear_row(s, b, &heard);
	if (witness == WITNESS_NONE)
		witness = hear_peer(s, &heard);
	switch (witness) {
	case WITNESS_PASSED:
		return true;
	case WITNESS_LOST:
		*err = heard;
		return false;
	case WITNESS_REFUSED:
		break;
	case WITNESS_NONE:
		if (t->tried == 1 && t->odd == 0)
			return true;
		if (t->tried == 1)
			err_set(err, ERR_CONFIG,
				"the only event that there is to try is refused, so its table may "
				"be at fault: waiting for another one: %s",
				t->first.text);
		break;
	}
	if (witness == WITNESS_REFUSED || t->tried > 1)
		*err = t->first;
	return table_trouble(b, err);
}

/* Of all that is left of the batch: its limit lies at the first refusal meanwhile. */
bool judge_admits(struct sink *s, const struct batch *b, size_t refused, struct err *err)
{
	return guard_admits(&sink_target(s, b)->guard, s->config, b->stream->config->name,
			    b->nevents - b->first, refused, err);
}

bool judge_rows(struct sink *s, struct batch *b, const struct trial *t, struct err *err)
{
	size_t refused = b->nrefused - b->nburied;
	const char *stream = b->stream->config->name;
	if (!rows_at_fault(s, b, t, err) || !judge_admits(s, b, refused, err))
		return false;
	for (size_t i = b->nburied; i < b->nrefused; i++) {
		const struct event *e = &b->events[b->refused[i].event];
		const struct span *span = &b->spans[e->span];
		log_warn("event refused by PostgreSQL", F_STR("stream", stream),
			 F_STR("topic", span->topic), F_INT("partition", span->partition),
			 F_INT("offset", e->offset), F_STR("error", b->refused[i].why));
	}
	s->refused = true;
	return true;
}

/*
 * poison.c - which rows of a batch PostgreSQL refuses.
 *
 * The batch is applied once more in a transaction that is rolled back in the end. A piece that
 * fails is taken back to its savepoint and halved, unless COPY has named the line:
 *
 *   [ 0 ........ 7 ]  refused, no line named
 *   [ 0 .. 3 ]        passes, stays applied: what comes later is judged on top of it
 *   [ 4 .. 7 ]        refused --> [ 4 5 ] passes, [ 6 7 ] refused --> 6 refused alone: culprit; 7
 *                     passes
 *
 * So k culprits among n rows cost about k log n small merges, and a line from COPY costs one.
 * Deferred constraints are made immediate, or they would speak up at COMMIT, when it is too late to
 * tell the row.
 *
 * Rows do not keep the bytes of their message; a culprit's message is read again from Kafka,
 * outside the transaction. If Kafka does not answer, the whole is tried again later; if it does not
 * have the message any more, the dead letter says so.
 *
 * More culprits than the guard admits (dlq.max_ratio) make it a matter for an operator: nothing is
 * written.
 *
 * Thread: the lane's.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "io/source.h"
#include "write/sink_parts.h"

struct culprit {
	uint32_t event;
	struct err err;
};

struct hunt {
	struct sink *s;
	struct batch *b;
	struct culprit *found;
	size_t nfound, limit;
};

/*
 * 23505 is a race with CREATE INDEX CONCURRENTLY, or a second unique index that this row really
 * violates: time tells.
 */
bool poison_suspected(const struct sink *s, const struct batch *b, const struct err *err)
{
	if (!pg_ok(s->pg))
		return false;
	return err->class == ERR_POISON ||
	       (b->unique_failures >= 3 && strcmp(err->code, "23505") == 0);
}

static bool add_culprit(struct hunt *h, const struct batch_row *row, const struct err *why)
{
	if (h->nfound == h->limit)
		return false;
	h->found[h->nfound++] = (struct culprit){.event = row->event, .err = *why};
	return true;
}

/*
 * Applies rows on top of what the transaction holds. Those that can not be stored are added to the
 * culprits; the others stay applied, so that what depends on them is judged rightly. False: another
 * failure, or too many culprits.
 */
static bool hunt_rows(struct hunt *h, const struct batch_row *rows, size_t n, struct err *err)
{
	struct sink *s = h->s;
	if (n == 0)
		return true;
	if (!pg_exec(s->pg, "SAVEPOINT hunt", NULL, 0, err))
		return false;
	if (sink_apply(s, h->b, rows, n, err))
		return pg_exec(s->pg, "RELEASE hunt", NULL, 0, err);
	if (!poison_suspected(s, h->b, err))
		return false;
	struct err why = *err;
	size_t line = (size_t)pg_last_copy_line(s->pg);
	if (!pg_exec(s->pg, "ROLLBACK TO hunt", NULL, 0, err))
		return false;
	bool named = line >= 1 && line <= n;
	if (n == 1 || named) {
		size_t bad = n == 1 ? 0 : line - 1;
		return (add_culprit(h, &rows[bad], &why) ||
			err_set(err, ERR_CONFIG, "too many rows are refused: %s", why.text)) &&
		       hunt_rows(h, rows, bad, err) &&
		       hunt_rows(h, rows + bad + 1, n - bad - 1, err);
	}
	return hunt_rows(h, rows, n / 2, err) && hunt_rows(h, rows + n / 2, n - n / 2, err);
}

static bool hunt_rounds(struct hunt *h, struct err *err)
{
	struct batch *b = h->b;
	/* Deferred constraints would speak up at COMMIT only, too late to find the row. */
	if (!sink_stage(h->s, b, err) ||
	    !pg_exec(h->s->pg, "BEGIN; SET CONSTRAINTS ALL IMMEDIATE", NULL, 0, err))
		return false;
	for (size_t r = 0; r < b->nrounds; r++)
		if (!hunt_rows(h, b->arranged + b->rounds[r], b->rounds[r + 1] - b->rounds[r], err))
			return false;
	return true;
}

static enum dead_reason reason_of(const char *sqlstate)
{
	static const struct {
		const char *prefix;
		enum dead_reason reason;
	} reasons[] = {
		{"22003", REASON_OUT_OF_RANGE}, {"22008", REASON_OUT_OF_RANGE},
		{"22021", REASON_INVALID_TEXT}, {"22P05", REASON_INVALID_JSON},
		{"22P02", REASON_INVALID_JSON}, {"23", REASON_CONSTRAINT},
		{"54", REASON_TOO_LARGE},
	};
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
		if (strncmp(sqlstate, reasons[i].prefix, strlen(reasons[i].prefix)) == 0)
			return reasons[i].reason;
	return REASON_DATABASE;
}

/* The message behind a culprit is read again from Kafka: rows do not keep the original bytes. */
static bool bury(struct sink *s, struct batch *b, const struct culprit *c, struct err *err)
{
	const struct event *e = &b->events[c->event];
	const struct span *span = &b->spans[e->span];
	struct source_copy copy = {0};
	struct dead_letter letter = {.span = e->span,
				     .offset = e->offset,
				     .timestamp_ms = -1,
				     .reason = reason_of(c->err.code),
				     .detail = c->err.text};
	struct err refetch = {0};
	char gone[sizeof(refetch.text) + sizeof(c->err.text) + 64];
	if (source_refetch(s->config, span->topic, span->partition, e->offset, 10000, &copy,
			   &refetch)) {
		letter.timestamp_ms = copy.timestamp_ms;
		letter.has_key = copy.key != NULL;
		letter.key = (struct slice){copy.key, copy.key_len};
		letter.has_value = copy.value != NULL;
		letter.value = (struct slice){copy.value, copy.value_len};
		letter.headers = copy.headers;
	} else if (refetch.class == ERR_POISON) {
		snprintf(gone, sizeof(gone), "%s; the message is not in Kafka any more: %s",
			 c->err.text, refetch.text);
		letter.detail = gone;
	} else {
		*err = refetch;
		return err_wrap(err, "reading %s [%d] offset %" PRId64 " again for its dead letter",
				span->topic, span->partition, e->offset);
	}
	log_warn("event refused by PostgreSQL", F_STR("stream", b->stream->config->name),
		 F_STR("topic", span->topic), F_INT("partition", span->partition),
		 F_INT("offset", e->offset), F_STR("error", c->err.text));
	batch_kill(b, c->event, &letter);
	source_copy_free(&copy);
	return true;
}

/*
 * Finds the rows that PostgreSQL refuses and makes them dead letters. The transaction has been
 * rolled back.
 */
enum sink_result poison_hunt(struct sink *s, struct batch *b, struct err *err)
{
	struct hunt h = {.s = s,
			 .b = b,
			 .limit = (size_t)(s->config->dlq_max_ratio * s->config->dlq_window) + 1};
	struct err why = *err;
	s->direct = s->whole = s->small = false;
	h.found = xcalloc(h.limit, sizeof(*h.found));
	bool ok = hunt_rounds(&h, err);
	sink_roll_back(s);
	if (ok && h.nfound == 0)
		ok = err_set(err, ERR_RETRY, "refused as a whole, but each row alone passes: %s",
			     why.text);
	ok = ok && guard_admit(&s->guards[b->stream->index], s->config, b->stream->config->name,
			       h.nfound, err);
	for (size_t i = 0; ok && i < h.nfound; i++)
		ok = bury(s, b, &h.found[i], err);
	free(h.found);
	return ok ? SINK_AGAIN : SINK_FAILED;
}

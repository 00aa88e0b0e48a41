/*
 * fence.c - what the offsets rows say when a swap did not find them as this batch expects.
 *
 *   row as expected                          the span stays open: it was another one that missed
 *   row as this very batch leaves it, under  committed: a COMMIT went out whose answer was lost
 *   our epoch, after such a COMMIT
 *   anything else                            fenced: another worker or an operator moved the row
 *
 * The row is read with a lock, waiting for whoever is changing it: a plain read could miss a commit
 * that is under way.
 *
 * Thread: the lane's.
 */
#include <inttypes.h>
#include <stdio.h>

#include "write/sink_parts.h"

struct offsets_row {
	bool exists;
	int64_t next_offset, owner_epoch;
	char owner[128];
};

/* exists is false where there is no row; the lock is let go with the transaction. */
static bool read_row(struct sink *s, const struct span *span, struct offsets_row *row,
		     struct err *err)
{
	char partition[12];
	snprintf(partition, sizeof(partition), "%d", span->partition);
	const char *params[] = {s->config->group_id, span->topic, partition};
	struct pg_rows *rows =
		pg_query(s->pg,
			 "SELECT next_offset, owner_epoch, owner FROM memingest.offsets"
			 " WHERE pipeline = $1 AND topic = $2 AND partition = $3::int FOR UPDATE",
			 params, 3, err);
	if (!rows)
		return false;
	*row = (struct offsets_row){.exists = pg_rows_count(rows) > 0};
	if (row->exists) {
		row->next_offset = pg_int(rows, 0, 0);
		row->owner_epoch = pg_int(rows, 0, 1);
		snprintf(row->owner, sizeof(row->owner), "%s",
			 pg_value(rows, 0, 2) ? pg_value(rows, 0, 2) : "");
	}
	pg_rows_free(rows);
	return true;
}

/* The counters of a batch that turned out to be committed: its own row says them. */
static bool read_counts(struct sink *s, struct span *span, struct err *err)
{
	char partition[12], from[24];
	snprintf(partition, sizeof(partition), "%d", span->partition);
	snprintf(from, sizeof(from), "%" PRId64, span->from);
	const char *params[] = {s->config->group_id, span->topic, partition, from};
	struct pg_rows *rows =
		pg_query(s->pg,
			 "SELECT merged FROM memingest.batches WHERE pipeline = $1 AND topic = $2"
			 " AND partition = $3::int AND from_offset = $4::bigint",
			 params, 4, err);
	if (!rows)
		return false;
	if (pg_rows_count(rows) > 0)
		span->now.written = (uint64_t)pg_int(rows, 0, 0);
	pg_rows_free(rows);
	return true;
}

/* In a text of its own, so in a transaction of its own: what it locks it lets go at once. */
bool fence_decide(struct sink *s, struct batch *b, struct err *err)
{
	size_t committed = 0, fenced = 0;
	for (size_t i = 0; i < s->nspans; i++) {
		struct span *span = s->spans[i];
		struct offsets_row row;
		if (!read_row(s, span, &row, err))
			return false;
		bool mine = row.exists && row.owner_epoch == span->owner_epoch;
		if (mine && row.next_offset == span->from)
			continue;
		if (mine && b->commit_sent && row.next_offset == span->upto) {
			if (!read_counts(s, span, err))
				return false;
			committed++;
		} else {
			span_fence(span, row.exists ? row.owner : NULL, row.next_offset,
				   row.owner_epoch);
			fenced++;
		}
	}
	bool sent = b->commit_sent;
	b->commit_sent = false;
	if (committed + fenced == 0)
		return err_set(err, ERR_RETRY,
			       "the offsets rows changed while they were looked at");
	if (sent)
		stats_add(METRIC_COMMIT_AMBIGUOUS, 0, 0, 1);
	/* One transaction: of the spans that are still ours it committed all or none. */
	return committed == 0 || (batch_committed(b), true);
}

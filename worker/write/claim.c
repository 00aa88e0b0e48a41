/*
 * claim.c - taking a partition over, saying why it is halted, and housekeeping of the books.
 *
 * The claim is one statement of its own: it waits for the row lock of whoever may still be
 * committing (a dead worker's session can; within lock_timeout or statement_timeout, then it is
 * tried again), raises owner_epoch and returns what is durable. A plain read could miss a commit
 * that is under way.
 *
 * A worker that was stopped (a frozen machine) while it sent rows leaves a session that no timeout
 * of the server ends: in the middle of a COPY it is neither idle nor can it be cancelled, and TCP
 * finds the other side alive. So when the wait was in vain, and the session that changed the row
 * waits for its client, that session is ended. It is fenced by this claim anyway.
 *
 * Thread: the lane's.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "write/sink_parts.h"

/* At a time: some 10 ms of the server, between two batches. */
#define PRUNE_ROWS "5000"

/*
 * A pipeline's first start on a topic obeys "start" for all partitions that exist then, empty ones
 * too, whoever claims them and when; later ones begin at the earliest offset, or their first events
 * would be lost. So that start is one statement, which writes the rows of all partitions. The row
 * with partition -1, which says how many there were, lets one of several workers do it: the others
 * wait for it at that row, and find it done.
 */
bool claim_starts(struct pg *pg, const char *pipeline, const char *topic, const int64_t *starts,
		  int32_t nstarts, const char *topic_id, struct err *err)
{
	struct buf offsets = {0};
	char partitions[12];
	snprintf(partitions, sizeof(partitions), "%d", nstarts);
	for (int32_t i = 0; i < nstarts; i++)
		buf_printf(&offsets, "%c%" PRId64, i ? ',' : '{', starts[i]);
	buf_puts(&offsets, "}");
	const char *params[] = {pipeline, topic, partitions, buf_cstr(&offsets),
				topic_id[0] ? topic_id : NULL};
	struct pg_rows *rows =
		pg_query(pg,
			 "WITH first AS (INSERT INTO memingest.offsets"
			 " (pipeline, topic, partition, next_offset) SELECT $1, $2, -1, $3::bigint"
			 " WHERE NOT EXISTS (SELECT FROM memingest.offsets WHERE pipeline = $1"
			 "  AND topic = $2) ON CONFLICT DO NOTHING RETURNING 1)"
			 " INSERT INTO memingest.offsets"
			 " (pipeline, topic, partition, topic_id, next_offset)"
			 " SELECT $1, $2, n - 1, $5::uuid, start"
			 " FROM unnest($4::bigint[]) WITH ORDINALITY AS s (start, n)"
			 " WHERE EXISTS (SELECT FROM first)",
			 params, 5, err);
	buf_free(&offsets);
	pg_rows_free(rows);
	return rows != NULL;
}

/*
 * The row's xmax is the transaction that has changed it and has not ended. In the middle of a COPY
 * its session is active: one that is idle in its transaction has a time limit if it is a worker's,
 * and else is an operator's, who knows why.
 */
static void end_sleeper(struct sink *s, const char *topic, const char *partition)
{
	struct err err;
	const char *params[] = {s->config->group_id, topic, partition};
	struct pg_rows *rows = pg_query(
		s->pg,
		"SELECT pg_terminate_backend(l.pid) FROM memingest.offsets o JOIN pg_locks l"
		" ON l.locktype = 'transactionid' AND l.transactionid = o.xmax AND l.mode = "
		"'ExclusiveLock'"
		" AND l.granted JOIN pg_stat_activity a ON a.pid = l.pid AND a.wait_event = "
		"'ClientRead'"
		" AND a.state = 'active'"
		" WHERE o.pipeline = $1 AND o.topic = $2 AND o.partition = $3::int",
		params, 3, &err);
	if (!rows)
		log_warn("session that holds a partition not ended", F_STR("topic", topic),
			 F_STR("error", err.text));
	else if (pg_rows_count(rows) > 0)
		log_warn("session ended that held a partition and waited for its client",
			 F_STR("topic", topic), F_STR("partition", partition));
	pg_rows_free(rows);
}

/* Waits for the lock as long as configured; a session that sleeps on it is ended. */
bool sink_claim(struct sink *s, struct sink_claim *c, struct err *err)
{
	char partition[12], low[24];
	s->phase = "claim";
	snprintf(partition, sizeof(partition), "%d", c->partition);
	snprintf(low, sizeof(low), "%" PRId64, c->low);
	if (!sink_set_patience(s, false, err) ||
	    (c->nstarts > 0 && !claim_starts(s->pg, s->config->group_id, c->topic, c->starts,
					     c->nstarts, c->topic_id, err)))
		return err_wrap(err, "claim");
	const char *params[] = {s->config->group_id,
				c->topic,
				partition,
				low,
				s->owner,
				c->topic_id[0] ? c->topic_id : NULL};
	struct pg_rows *rows =
		pg_query(s->pg,
			 "INSERT INTO memingest.offsets AS o"
			 " (pipeline, topic, partition, topic_id, next_offset, owner_epoch, owner)"
			 " VALUES ($1, $2, $3::int, $6::uuid, $4::bigint, 1, $5)"
			 " ON CONFLICT (pipeline, topic, partition) DO UPDATE SET owner_epoch = "
			 "o.owner_epoch + 1,"
			 "  owner = excluded.owner, topic_id = coalesce(o.topic_id, "
			 "excluded.topic_id), updated_at = now()"
			 " RETURNING next_offset, owner_epoch, topic_id",
			 params, 6, err);
	/* the timeouts */
	if (!rows && (strcmp(err->code, "55P03") == 0 || strcmp(err->code, "57014") == 0))
		end_sleeper(s, c->topic, partition);
	if (!rows)
		return err_wrap(err, "claim");
	if (FAIL_POINT_PG("in_claim", s->pg, err)) {
		pg_rows_free(rows);
		return err_wrap(err, "claim");
	}
	c->next_offset = pg_int(rows, 0, 0);
	c->owner_epoch = pg_int(rows, 0, 1);
	snprintf(c->known_topic_id, sizeof(c->known_topic_id), "%s",
		 pg_value(rows, 0, 2) ? pg_value(rows, 0, 2) : "");
	pg_rows_free(rows);
	return true;
}

bool sink_tell_halt(struct sink *s, const struct sink_claim *c, const char *why, struct err *err)
{
	char partition[12], offset[24], epoch[24];
	snprintf(partition, sizeof(partition), "%d", c->partition);
	snprintf(offset, sizeof(offset), "%" PRId64, c->next_offset);
	snprintf(epoch, sizeof(epoch), "%" PRId64, c->owner_epoch);
	const char *params[] = {s->config->group_id, c->topic, partition, offset, epoch, why};
	s->phase = "claim";
	struct pg_rows *rows =
		sink_set_patience(s, true, err)
			? pg_query(s->pg,
				   "UPDATE memingest.offsets SET halted_at = $4::bigint, halted ="
				   " $6 WHERE pipeline = $1 AND topic = $2 AND partition = $3::int"
				   " AND owner_epoch = $5::bigint",
				   params, 6, err)
			: NULL;
	pg_rows_free(rows);
	return rows || err_wrap(err, "why %s [%d] is halted", c->topic, c->partition);
}

/*
 * A piece at a time, so that no batch waits long; *more: there was something. Not FOR UPDATE SKIP
 * LOCKED, which wants the right to update: two workers that prune at once wait for each other's
 * piece.
 */
bool sink_prune(struct sink *s, bool *more, struct err *err)
{
	char seconds[24];
	*more = false;
	if (s->config->batch_retention_us == 0)
		return true;
	snprintf(seconds, sizeof(seconds), "%" PRId64, s->config->batch_retention_us / US_PER_S);
	const char *params[] = {s->config->group_id, seconds};
	struct pg_rows *rows =
		pg_query(s->pg,
			 "DELETE FROM memingest.batches WHERE ctid = ANY (ARRAY (SELECT ctid FROM"
			 " memingest.batches WHERE pipeline = $1"
			 " AND committed_at < now() - make_interval(secs => $2::float8)"
			 " ORDER BY committed_at LIMIT " PRUNE_ROWS "))",
			 params, 2, err);
	if (!rows)
		return err_wrap(err, "pruning memingest.batches");
	*more = pg_rows_affected(rows) > 0;
	pg_rows_free(rows);
	return true;
}

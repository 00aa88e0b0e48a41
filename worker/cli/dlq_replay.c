/*
 * dlq_replay.c - dead letters back into Kafka: key, value, headers and time as they were, to the
 * topic and partition they came from.
 *
 * By pages, each one transaction:
 *
 *   SELECT .. FOR UPDATE SKIP LOCKED     (a second operator's replay passes over these)
 *   produce, wait until the broker has acknowledged
 *   UPDATE .. SET replayed_at = now()    of those acknowledged
 *   COMMIT
 *
 * So nothing is marked that the broker does not have. If we die between acknowledgement and COMMIT
 * a page is sent again by the next replay; a stream with "merge": "add" then counts these events
 * twice. Events that are refused again become new dead letters.
 *
 * The partition and not the key decides where an event goes, because the partition is what kept
 * events of one key in order. The time is kept because it is the version of an event without value.
 *
 * One thread; reports run inside the producer's calls.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/dlq.h"
#include "io/producer.h"

/* The timeout is longer than librdkafka takes to give up on a topic that there is not (30 s). */
enum { REPLAY_PAGE = 100, KAFKA_TIMEOUT_MS = 60000 };

struct replay {
	struct pg *pg;
	struct producer *producer;
	int64_t last_id;      /* pages go up from here */
	struct buf delivered; /* of the page: "{1,2" */
	uint64_t replayed, failed;
	char error[760]; /* of the first that failed */
};

/* Only what the broker has is marked as replayed. */
static void on_report(void *ctx, uint64_t tag, enum producer_fate fate, int32_t partition,
		      int64_t offset, const char *error)
{
	struct replay *r = ctx;
	(void)fate;
	(void)partition;
	(void)offset;
	if (error == NULL) {
		buf_printf(&r->delivered, "%c%llu", r->delivered.len == 0 ? '{' : ',',
			   (unsigned long long)tag);
		r->replayed++;
	} else if (r->failed++ == 0) {
		snprintf(r->error, sizeof(r->error), "%s", error);
	}
}

/* Columns: id, topic, partition, milliseconds, key, value (hex), headers. */
static bool send_letter(struct replay *r, const struct pg_rows *rows, size_t row, struct err *err)
{
	const char *headers = pg_value(rows, row, 6);
	json_t *json = headers != NULL ? json_loads(headers, 0, NULL) : NULL;
	struct producer_message m = {
		.topic = pg_value(rows, row, 1),
		.partition = (int32_t)pg_int(rows, row, 2),
		.timestamp_ms = pg_value(rows, row, 3) != NULL ? pg_int(rows, row, 3) : 0,
		.key = dlq_bytes(pg_value(rows, row, 4)),
		.value = dlq_bytes(pg_value(rows, row, 5)),
		.tag = (uint64_t)pg_int(rows, row, 0),
	};
	dlq_take_headers(&m, json);
	bool ok = producer_send(r->producer, &m, KAFKA_TIMEOUT_MS, err);
	if (!ok)
		err_wrap(err, "dead letter %llu", (unsigned long long)m.tag);
	dlq_free_message(&m);
	json_decref(json);
	return ok;
}

/* A letter that Kafka will never take (its topic is gone) does not keep the others back. */
static bool send_page(struct replay *r, const struct pg_rows *rows, struct err *err)
{
	bool ok = true;
	for (size_t i = 0; i < pg_rows_count(rows) && ok; i++) {
		r->last_id = pg_int(rows, i, 0);
		ok = send_letter(r, rows, i, err);
		if (!ok && err->class == ERR_CONFIG) {
			on_report(r, 0, PRODUCER_LOST, 0, 0, err->text);
			ok = true;
		}
	}
	/* What was sent may arrive although we fail: wait for its reports in any case. */
	struct err flush;
	if (!producer_flush(r->producer, KAFKA_TIMEOUT_MS, &flush) && ok)
		*err = flush;
	return ok && producer_queued(r->producer) == 0;
}

/* Also ends the page's transaction. */
static bool mark(struct replay *r, struct err *err)
{
	if (r->delivered.len == 0)
		return pg_exec(r->pg, "COMMIT", NULL, 0, err);
	struct buf sql = {0};
	buf_printf(&sql,
		   "UPDATE memingest.dead_letters SET replayed_at = now() WHERE id = ANY ('%s}'); "
		   "COMMIT",
		   buf_cstr(&r->delivered));
	bool ok = pg_exec(r->pg, buf_cstr(&sql), NULL, 0, err);
	buf_free(&sql);
	return ok;
}

/* One page. *more is false when there was none. */
static bool replay_page(struct replay *r, struct dlq_where *w, bool *more, struct err *err)
{
	char tail[64];
	snprintf(tail, sizeof(tail), " AND id > %lld ORDER BY id LIMIT %d FOR UPDATE SKIP LOCKED",
		 (long long)r->last_id, REPLAY_PAGE);
	if (!pg_exec(r->pg, "BEGIN", NULL, 0, err))
		return false;
	struct pg_rows *rows = dlq_query(
		r->pg,
		"SELECT id, topic, partition, (extract(epoch FROM event_time) * 1000)::bigint,"
		" encode(key, 'hex'), encode(value, 'hex'), headers::text FROM "
		"memingest.dead_letters",
		w, tail, err);
	if (rows == NULL)
		return false;
	*more = pg_rows_count(rows) > 0;
	r->delivered.len = 0;
	struct err mark_err;
	bool sent = send_page(r, rows, err);
	bool marked = mark(r, &mark_err);
	pg_rows_free(rows);
	if (sent && !marked)
		*err = mark_err;
	return sent && marked;
}

/* Goes on from page to page until one is empty or fails. */
int dlq_replay(struct cli *cli, struct pg *pg, struct dlq_where *w)
{
	struct replay replay = {.pg = pg}, *r = &replay;
	struct err err;
	bool ok = true, more = true;
	r->producer = producer_new(cli->config, on_report, r, &err);
	if (r->producer == NULL)
		return dlq_fail(&err);
	/* A page waits for Kafka within its transaction. */
	ok = pg_exec(r->pg, "SET idle_in_transaction_session_timeout = '5min'", NULL, 0, &err);
	while (ok && more)
		ok = replay_page(r, w, &more, &err);
	producer_free(r->producer);
	buf_free(&r->delivered);
	printf(cli->json ? "{\"replayed\": %llu}\n" : "replayed %llu dead letters\n",
	       (unsigned long long)r->replayed);
	if (!ok)
		return dlq_fail(&err);
	if (r->failed > 0)
		return cli_fail(EXIT_UNAVAILABLE,
				"%llu were not taken by Kafka, the first because of: %s",
				(unsigned long long)r->failed, r->error);
	return EXIT_OK;
}

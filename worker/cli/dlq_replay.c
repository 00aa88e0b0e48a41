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
 * A SQLite file has no locks of rows, and one that is held keeps the worker from writing: there the
 * UPDATE is the transaction, and two replays at once send a letter twice.
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
	struct asker *asker;
	struct producer *producer;
	int64_t last_id;      /* pages go up from here */
	struct buf delivered; /* of the page: "1,2" */
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
		buf_printf(&r->delivered, "%s%llu", r->delivered.len > 0 ? "," : "",
			   (unsigned long long)tag);
		r->replayed++;
	} else if (r->failed++ == 0) {
		snprintf(r->error, sizeof(r->error), "%s", error);
	}
}

/* Columns: id, topic, partition, milliseconds, key, value (hex), headers. */
static bool send_letter(struct replay *r, const struct answer *rows, size_t row, struct err *err)
{
	const char *headers = answer_value(rows, row, 6);
	json_t *json = headers != NULL ? json_loads(headers, 0, NULL) : NULL;
	struct producer_message m = {
		.topic = answer_value(rows, row, 1),
		.partition = (int32_t)answer_int(rows, row, 2),
		.timestamp_ms = answer_value(rows, row, 3) != NULL ? answer_int(rows, row, 3) : 0,
		.key = dlq_bytes(answer_value(rows, row, 4)),
		.value = dlq_bytes(answer_value(rows, row, 5)),
		.tag = (uint64_t)answer_int(rows, row, 0),
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
static bool send_page(struct replay *r, const struct answer *rows, struct err *err)
{
	bool ok = true;
	for (size_t i = 0; i < answer_count(rows) && ok; i++) {
		r->last_id = answer_int(rows, i, 0);
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

#define MARK(books, past) "UPDATE " books "dead_letters SET replayed_at = now() WHERE id IN ("

/* Also ends the page's transaction. */
static bool mark(struct replay *r, struct err *err)
{
	struct buf sql = {0};
	bool ok = true;
	buf_printf(&sql, "%s%s)", asker_words(r->asker, ASKER_SQL(MARK)), buf_cstr(&r->delivered));
	if (r->delivered.len > 0) {
		const char *text = buf_cstr(&sql);
		struct answer *rows = asker_query(r->asker, DLQ_BOTH(text), NULL, 0, err);
		ok = rows != NULL;
		answer_free(rows);
	}
	buf_free(&sql);
	return ok && (!r->asker->pg || asker_commit(r->asker, err));
}

#define PAGE(books, time, bytes)                                                                   \
	"SELECT id, topic, partition, " time ", " bytes " FROM " books "dead_letters"

/* With the lock of its rows on PostgreSQL. */
static struct answer *take_page(struct replay *r, struct dlq_where *w, struct err *err)
{
	static const struct asker_sql head = {
		PAGE("memingest.", "(extract(epoch FROM event_time) * 1000)::bigint",
		     "encode(key, 'hex'), encode(value, 'hex'), headers::text"),
		PAGE("memingest_", "event_time / 1000",
		     "CASE WHEN key IS NOT NULL THEN hex(key) END,"
		     " CASE WHEN value IS NOT NULL THEN hex(value) END, headers")};
	char pg[128], sqlite[96];
	snprintf(sqlite, sizeof(sqlite), " AND id > %lld ORDER BY id LIMIT %d",
		 (long long)r->last_id, REPLAY_PAGE);
	snprintf(pg, sizeof(pg), "%s FOR UPDATE SKIP LOCKED", sqlite);
	return dlq_query(r->asker, head, w, ASKER_WORDS(pg, sqlite), err);
}

/* One page. *more is false when there was none. */
static bool replay_page(struct replay *r, struct dlq_where *w, bool *more, struct err *err)
{
	if (r->asker->pg && !asker_begin(r->asker, err))
		return false;
	struct answer *rows = take_page(r, w, err);
	if (rows == NULL)
		return false;
	*more = answer_count(rows) > 0;
	r->delivered.len = 0;
	struct err mark_err;
	bool sent = send_page(r, rows, err);
	bool marked = mark(r, &mark_err);
	answer_free(rows);
	if (sent && !marked)
		*err = mark_err;
	return sent && marked;
}

/* Goes on from page to page until one is empty or fails. */
int dlq_replay(struct cli *cli, struct asker *asker, struct dlq_where *w)
{
	struct replay replay = {.asker = asker}, *r = &replay;
	struct err err;
	bool ok = true, more = true;
	r->producer = producer_new(cli->config, on_report, r, &err);
	if (r->producer == NULL)
		return dlq_fail(&err);
	/* A page waits for Kafka within its transaction. */
	ok = !asker->pg ||
	     pg_exec(asker->pg, "SET idle_in_transaction_session_timeout = '5min'", NULL, 0, &err);
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

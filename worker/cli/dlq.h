/* dlq.h - what the files of "memingest dlq" share: cmd_dlq.c, dlq_show.c, dlq_replay.c. */
#pragma once

#include <assert.h>

#include "base/buf.h"
#include "base/err.h"
#include "cli/cli.h"
#include "codec/table.h"
#include "io/producer.h"
#include "sqlite/asker.h"

struct json_t; /* of jansson */

/* A condition with its parameters, which are numbered as they come. Parameters are borrowed. */
struct dlq_where {
	struct buf sql;
	const char *params[8];
	size_t n;
};

/* Runs head, the condition and tail as one statement. A new answer, or NULL. */
struct answer *dlq_query(struct asker *asker, struct asker_sql head, struct dlq_where *w,
			 struct asker_sql tail, struct err *err);

/* Prints the error, returns its exit code. */
int dlq_fail(const struct err *err);

/* Sends what the condition selects, says how many, returns the exit code. */
int dlq_replay(struct cli *cli, struct asker *asker, struct dlq_where *w);

/* The bytes of hex, new; data NULL for NULL, and not for "". */
struct slice dlq_bytes(const char *hex);
/* What source_headers_json() wrote, as new headers of the message; names are borrowed from json. */
void dlq_take_headers(struct producer_message *m, struct json_t *json);
/* Its key, value and headers. */
void dlq_free_message(struct producer_message *m);

/* Text of others, harmless on a terminal; at most max bytes. */
void dlq_print_safe(const char *text, size_t max);

/* The letter that the condition selects, with what its key and value mean. */
int dlq_show(struct cli *cli, struct asker *asker, struct dlq_where *w);

#define DLQ_BOTH(text) ASKER_WORDS(text, text)
#define DLQ_COUNT(books, past) "SELECT count(*), coalesce(max(id), 0) FROM " books "dead_letters"

/*
 * One row as a JSON object: what stands beside content, of a list and of one letter, and before it
 * whatever more is asked for. The condition and DLQ_JSON_TAIL() follow. On PostgreSQL "more" are
 * columns, on SQLite names and values.
 */
#define DLQ_JSON_PG(json, more)                                                                    \
	"SELECT " json " FROM (SELECT id, pipeline, topic, partition, \"offset\", stream, reason," \
	" detail, event_time, created_at, replayed_at, octet_length(key) AS key_bytes,"            \
	" octet_length(value) AS value_bytes" more " FROM memingest.dead_letters"
static_assert(PG_TIMESTAMP == 12, "the kind in the text below");
#define DLQ_TIME(column) "'" column "', json(memingest_shown(12, 1, " column "))"
#define DLQ_JSON_SQLITE(more)                                                                      \
	"SELECT json_object('id', id, 'pipeline', pipeline, 'topic', topic, 'partition',"          \
	" partition, 'offset', \"offset\", 'stream', stream, 'reason', reason, 'detail', "         \
	"detail, " DLQ_TIME("event_time") ", " DLQ_TIME("created_at") ", " DLQ_TIME(               \
		"replayed_at") ", 'key_bytes', length(key), 'value_bytes', length(value)" more     \
			       ") FROM memingest_dead_letters"

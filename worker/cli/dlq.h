/* dlq.h - what the files of "memingest dlq" share: cmd_dlq.c, dlq_show.c, dlq_replay.c. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "cli/cli.h"
#include "io/pg.h"
#include "io/producer.h"

struct json_t; /* of jansson */

/* A condition with its parameters, which are numbered as they come. Parameters are borrowed. */
struct dlq_where {
	struct buf sql;
	const char *params[8];
	size_t n;
};

/* Runs head, the condition and tail as one statement. New rows, or NULL. */
struct pg_rows *dlq_query(struct pg *pg, const char *head, struct dlq_where *w, const char *tail,
			  struct err *err);

/* Prints the error, returns its exit code. */
int dlq_fail(const struct err *err);

/* The byte of two lower-case hex digits. */
uint8_t dlq_hex_byte(const char *hex);

/* Sends what the condition selects, says how many, returns the exit code. */
int dlq_replay(struct cli *cli, struct pg *pg, struct dlq_where *w);

/* The bytes of hex, new; data NULL for NULL, and not for "". */
struct slice dlq_bytes(const char *hex);
/* What source_headers_json() wrote, as new headers of the message; names are borrowed from json. */
void dlq_take_headers(struct producer_message *m, struct json_t *json);
/* Its key, value and headers. */
void dlq_free_message(struct producer_message *m);

/* Text of others, harmless on a terminal; at most max bytes. */
void dlq_print_safe(const char *text, size_t max);

/* The letter that the condition selects, with what its key and value mean. */
int dlq_show(struct cli *cli, struct pg *pg, struct dlq_where *w);

/* Beside content: of a list, and of one letter. */
#define DLQ_JSON_FIELDS                                                                            \
	"id, pipeline, topic, partition, \"offset\", stream, reason, detail, event_time, "         \
	"created_at, replayed_at,"                                                                 \
	" octet_length(key) AS key_bytes, octet_length(value) AS value_bytes"

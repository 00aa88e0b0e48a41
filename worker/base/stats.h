/*
 * stats.h - the numbers that /metrics and /status show. METRICS is the one table of them: enum,
 * storage, exposition and docs/METRICS.md derive from it.
 *
 * Any thread adds, per batch and not per event; the HTTP thread reads. What is known per partition
 * or broker only is no cell but part of the snapshot (show/status).
 */
#pragma once

#include "base/base.h"
#include "base/buf.h"

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

/* Where a label's values come from. */
enum label_set {
	LABEL_NONE,
	LABEL_STREAM,    /* registered by stats_init() */
	LABEL_REASON,    /* dead_reason: names handed to stats_init() */
	LABEL_SEAL,      /* seal_reason: rows bytes age revoke drain memory */
	LABEL_SQLCLASS,  /* sqlstate class: 08 22 23 25 28 40 42 53 55 57 58 XX other */
	LABEL_RESULT,    /* ok error */
	LABEL_REBALANCE, /* assign revoke lost */
	LABEL_CAUSE,     /* backpressure: batches memory */
	/* busy time: poll lane_fold lane_copy lane_merge lane_commit lane_wait lane_idle */
	LABEL_STAGE,
	LABEL_OP,     /* rows: insert upsert delete */
	LABEL_LEVEL,  /* log: warn error */
	LABEL_ANSWER, /* of the gateway: stored accepted ... (gate/reply.h) */
	LABEL_SET_COUNT,
};

enum { SEAL_ROWS, SEAL_BYTES, SEAL_AGE, SEAL_REVOKE, SEAL_DRAIN, SEAL_MEMORY, SEAL_COUNT };
enum { RESULT_OK, RESULT_ERROR, RESULT_COUNT };
enum { REBALANCE_ASSIGN, REBALANCE_REVOKE, REBALANCE_LOST, REBALANCE_COUNT };
enum { CAUSE_BATCHES, CAUSE_MEMORY, CAUSE_COUNT };
enum {
	STAGE_POLL,
	STAGE_FOLD,
	STAGE_COPY,
	STAGE_MERGE,
	STAGE_COMMIT,
	STAGE_WAIT,
	STAGE_IDLE,
	STAGE_COUNT
};
enum { OP_INSERT, OP_UPSERT, OP_DELETE, OP_COUNT };
enum { LEVEL_WARN, LEVEL_ERROR, LEVEL_COUNT };
enum { ANSWER_COUNT = 19 };

/* clang-format off */
/* X(ID, type, name without prefix, labels, help). Durations: microseconds, shown in seconds. */
#define METRICS(X)                                                                                \
	X(RECORDS_CONSUMED, COUNTER, "records_consumed_total", STREAM, NONE,                      \
	  "Messages taken from Kafka.")                                                           \
	X(CONSUMED_BYTES, COUNTER, "consumed_bytes_total", STREAM, NONE,                          \
	  "Bytes of keys and values taken from Kafka.")                                           \
	X(RECORDS_DECODED, COUNTER, "records_decoded_total", STREAM, NONE,                        \
	  "Messages decoded into a row or a delete.")                                             \
	X(DECODE_SECONDS, HISTOGRAM, "decode_duration_seconds", NONE, NONE,                       \
	  "Taking and decoding one portion of messages, at most 1,000.")                          \
	X(RECORDS_MERGED, COUNTER, "records_merged_total", STREAM, NONE,                          \
	  "Events whose row was written: inserted, updated or deleted.")                          \
	X(RECORDS_SUPERSEDED, COUNTER, "records_superseded_total", STREAM, NONE,                  \
	  "Events that a newer event of their key made void, or that changed nothing.")           \
	X(RECORDS_SKIPPED, COUNTER, "records_skipped_total", STREAM, NONE,                        \
	  "Records of another type than the stream's (other_types = skip).")                      \
	X(DEAD_LETTERS, COUNTER, "dead_letters_total", STREAM, REASON,                            \
	  "Events written to memingest.dead_letters.")                                            \
	X(DEAD_LETTER_FAILURES, COUNTER, "dead_letter_failures_total", STREAM, NONE,              \
	  "Attempts to write dead letters that failed; the batch is tried again.")                \
	X(BATCHES_SEALED, COUNTER, "batches_sealed_total", STREAM, SEAL,                          \
	  "Batches closed, by what closed them.")                                                 \
	X(BATCHES_COMMITTED, COUNTER, "batches_committed_total", STREAM, NONE,                    \
	  "Transactions committed.")                                                              \
	X(BATCH_ROWS, HISTOGRAM, "batch_rows", STREAM, NONE,                                      \
	  "Events in a committed batch.")                                                         \
	X(BATCH_BYTES, HISTOGRAM, "batch_bytes", STREAM, NONE,                                    \
	  "COPY bytes in a committed batch.")                                                     \
	X(BATCHES_IN_FLIGHT, GAUGE, "batches_in_flight", NONE, NONE,                              \
	  "Batches sealed and not yet decided.")                                                  \
	X(BATCHES_LIMIT, GAUGE, "batches_limit", NONE, NONE,                                      \
	  "Batches there are: open, in flight and free.")                                         \
	X(BATCH_FILL_SECONDS, HISTOGRAM, "batch_fill_duration_seconds", STREAM, NONE,             \
	  "From the first event of a batch to its being sealed.")                                 \
	X(BATCH_QUEUE_SECONDS, HISTOGRAM, "batch_queue_duration_seconds", STREAM, NONE,           \
	  "What a sealed batch waited for its lane.")                                             \
	X(ROWS_WRITTEN, COUNTER, "rows_written_total", STREAM, OP,                                \
	  "Rows committed: by COPY into the table itself, by merging, by deleting.")              \
	X(TRANSACTION_SECONDS, HISTOGRAM, "postgres_transaction_duration_seconds", STREAM, NONE,  \
	  "Of a batch, with arranging it if that was not done ahead, to the answer of "           \
	  "COMMIT.")                                                                              \
	X(COPY_SECONDS, HISTOGRAM, "postgres_copy_duration_seconds", STREAM, NONE,                \
	  "COPY until the last byte is sent.")                                                    \
	X(MERGE_SECONDS, HISTOGRAM, "postgres_merge_duration_seconds", STREAM, NONE,              \
	  "From there until staged rows are in the table.")                                       \
	X(COMMIT_SECONDS, HISTOGRAM, "postgres_commit_duration_seconds", NONE, NONE,              \
	  "COMMIT until its answer; of new keys straight into the table, from the last "          \
	  "byte on.")                                                                             \
	X(END_TO_END_SECONDS, HISTOGRAM, "end_to_end_latency_seconds", STREAM, NONE,              \
	  "From the oldest record timestamp of a batch to its commit.")                           \
	X(POSTGRES_ERRORS, COUNTER, "postgres_errors_total", SQLCLASS, NONE,                      \
	  "Errors of PostgreSQL by SQLSTATE class.")                                              \
	X(POSTGRES_RETRIES, COUNTER, "postgres_retries_total", SQLCLASS, NONE,                    \
	  "Batches tried again by SQLSTATE class.")                                               \
	X(POSTGRES_RECONNECTS, COUNTER, "postgres_reconnects_total", NONE, NONE,                  \
	  "Connections opened after the first.")                                                  \
	X(POSTGRES_CONNECTIONS, GAUGE, "postgres_connections", NONE, NONE,                        \
	  "Open connections of the lanes.")                                                       \
	X(COMMIT_AMBIGUOUS, COUNTER, "commit_ambiguous_total", NONE, NONE,                        \
	  "COMMITs whose answer was lost and that the offsets row resolved.")                     \
	X(FENCED, COUNTER, "fenced_total", NONE, NONE,                                            \
	  "Batches dropped because another worker owns the partition.")                           \
	X(REBALANCES, COUNTER, "rebalances_total", REBALANCE, NONE,                               \
	  "Assignments, revocations and losses.")                                                 \
	X(CLIENT_RENEWALS, COUNTER, "kafka_client_renewals_total", NONE, NONE,                    \
	  "Times that the Kafka client was cut off and a new one took over.")                     \
	X(REBALANCE_SECONDS, HISTOGRAM, "rebalance_duration_seconds", NONE, NONE,                 \
	  "Time spent in a revocation.")                                                          \
	X(ASSIGNED_PARTITIONS, GAUGE, "assigned_partitions", STREAM, NONE,                        \
	  "Partitions this worker has.")                                                          \
	X(PAUSED_PARTITIONS, GAUGE, "paused_partitions", STREAM, NONE,                            \
	  "Of these, paused for any reason.")                                                     \
	X(HALTED_PARTITIONS, GAUGE, "halted_partitions", STREAM, NONE,                            \
	  "Of these, halted until an operator acts.")                                             \
	X(SCHEMA_WAITING, GAUGE, "schema_waiting_partitions", STREAM, NONE,                       \
	  "Of these, waiting for a schema of the registry.")                                      \
	X(BACKPRESSURE_SECONDS, COUNTER, "backpressure_seconds_total", CAUSE, NONE,               \
	  "Time during which intake stood still.")                                                \
	X(BUSY_SECONDS, COUNTER, "stage_busy_seconds_total", STAGE, NONE,                         \
	  "Time that threads spent by stage.")                                                    \
	X(BATCH_MEMORY, GAUGE, "batch_memory_bytes", NONE, NONE,                                  \
	  "Bytes in batches, open and sealed.")                                                   \
	X(BATCH_MEMORY_LIMIT, GAUGE, "batch_memory_limit_bytes", NONE, NONE,                      \
	  "batch.memory of the config.")                                                          \
	X(OFFSET_COMMITS, COUNTER, "offset_commits_total", RESULT, NONE,                          \
	  "Offset commits to Kafka.")                                                             \
	X(OFFSET_COMMIT_SECONDS, HISTOGRAM, "offset_commit_duration_seconds", NONE, NONE,         \
	  "Offset commit to Kafka until its answer.")                                             \
	X(SCHEMA_REQUESTS, COUNTER, "schema_requests_total", RESULT, NONE,                        \
	  "Requests to the schema registry.")                                                     \
	X(SCHEMA_REQUEST_SECONDS, HISTOGRAM, "schema_request_duration_seconds", NONE, NONE,       \
	  "One request to the schema registry.")                                                  \
	X(SCHEMA_CACHE_ENTRIES, GAUGE, "schema_cache_entries", NONE, NONE,                        \
	  "Writer schemas in memory, unknown and awaited ones included.")                         \
	X(SCHEMA_CACHE_MISSES, COUNTER, "schema_cache_misses_total", NONE, NONE,                  \
	  "Look-ups of a schema that was not in memory.")                                         \
	X(OFFSET_REGRESSIONS, COUNTER, "offset_regressions_total", STREAM, NONE,                  \
	  "Messages below the expected offset, dropped.")                                         \
	X(LAST_PROGRESS, GAUGE, "last_progress_timestamp_seconds", NONE, NONE,                    \
	  "When the last transaction was committed.")                                             \
	X(SEARCH_UNINDEXED, GAUGE, "search_unindexed_rows", STREAM, NONE,                         \
	  "Rows that searches read one by one, for they are in no segment yet.")                  \
	X(SEARCH_UNINDEXED_AGE, GAUGE, "search_unindexed_age_seconds", STREAM, NONE,              \
	  "Age of the oldest of them.")                                                           \
	X(SEARCH_SEGMENTS, GAUGE, "search_segments", STREAM, NONE,                                \
	  "Segments that a search goes through.")                                                 \
	X(SEARCH_SEALED, GAUGE, "search_sealed_rows", STREAM, NONE,                               \
	  "Rows in segments.")                                                                    \
	X(SEARCH_STALE, GAUGE, "search_stale_rows", STREAM, NONE,                                 \
	  "Of these, changed or gone since, as last counted.")                                    \
	X(SEARCH_BUILT, COUNTER, "search_built_rows_total", STREAM, NONE,                         \
	  "Rows put into segments by this worker.")                                               \
	X(SEARCH_BUILD_SECONDS, HISTOGRAM, "search_build_duration_seconds", STREAM, NONE,         \
	  "One segment: copied, indexed, published.")                                             \
	X(SEARCH_FAILURES, COUNTER, "search_failures_total", STREAM, NONE,                        \
	  "Steps of upkeep that failed; they are tried again.")                                   \
	X(EMBED_TEXTS, COUNTER, "embed_texts_total", STREAM, NONE,                                \
	  "Texts that got their vector, from wherever.")                                          \
	X(EMBED_CACHED, COUNTER, "embed_cached_texts_total", STREAM, NONE,                        \
	  "Of these, without being asked for: known already, or another event had the same.")     \
	X(EMBED_REFUSED, COUNTER, "embed_refused_texts_total", STREAM, NONE,                      \
	  "Texts that the model refused (on_poison).")                                            \
	X(EMBED_TOKENS, COUNTER, "embed_tokens_total", STREAM, NONE,                              \
	  "Tokens of texts asked for, as the server counts them.")                                \
	X(EMBED_SPENT_TWICE, COUNTER, "embed_spent_twice_tokens_total", NONE, NONE,               \
	  "Tokens, estimated, of requests that ended without a usable answer; they may have "     \
	  "been paid for, and are asked for again.")                                              \
	X(EMBED_REQUESTS, COUNTER, "embed_requests_total", RESULT, NONE,                          \
	  "Requests for vectors.")                                                                \
	X(EMBED_REQUEST_SECONDS, HISTOGRAM, "embed_request_duration_seconds", NONE, NONE,         \
	  "One request for vectors.")                                                             \
	X(EMBED_WAIT_SECONDS, HISTOGRAM, "embed_batch_duration_seconds", STREAM, NONE,            \
	  "What a sealed batch waited for its vectors.")                                          \
	X(EMBED_WAITING, GAUGE, "embed_waiting_events", STREAM, NONE,                             \
	  "Events of sealed batches that wait for their vectors.")                                \
	X(GATEWAY_ANSWERS, COUNTER, "gateway_answers_total", ANSWER, NONE,                        \
	  "Answers of the gateway, by what became of the request.")                               \
	X(GATEWAY_EVENTS, COUNTER, "gateway_events_total", STREAM, NONE,                          \
	  "Events that the gateway took and Kafka has acknowledged.")                             \
	X(GATEWAY_REFUSED, COUNTER, "gateway_refused_events_total", STREAM, NONE,                 \
	  "Events that the gateway did not take, as the table would not.")                        \
	X(GATEWAY_BYTES, COUNTER, "gateway_body_bytes_total", STREAM, NONE,                       \
	  "Bytes of requests that came in whole.")                                                \
	X(GATEWAY_REPEATED, COUNTER, "gateway_repeated_total", STREAM, NONE,                      \
	  "Requests that had been applied before, by their Idempotency-Key.")                     \
	X(GATEWAY_REQUEST_SECONDS, HISTOGRAM, "gateway_request_duration_seconds", STREAM, NONE,   \
	  "A request from its first line to its answer.")                                         \
	X(GATEWAY_ACK_SECONDS, HISTOGRAM, "gateway_acknowledge_duration_seconds", STREAM, NONE,   \
	  "From sending a request's events until Kafka has acknowledged all.")                    \
	X(GATEWAY_STORED_SECONDS, HISTOGRAM, "gateway_stored_duration_seconds", STREAM, NONE,     \
	  "From there until the database has them, where somebody waits for it.")                 \
	X(GATEWAY_MEMORY, GAUGE, "gateway_memory_bytes", NONE, NONE,                              \
	  "Bytes of requests that are being worked on, and of their answers.")                    \
	X(GATEWAY_MEMORY_LIMIT, GAUGE, "gateway_memory_limit_bytes", NONE, NONE,                  \
	  "gateway.memory of the config.")                                                        \
	X(GATEWAY_CONNECTIONS, GAUGE, "gateway_connections", NONE, NONE,                          \
	  "Open connections to the gateway.")                                                     \
	X(GATEWAY_WAITING, GAUGE, "gateway_waiting_requests", NONE, NONE,                         \
	  "Requests that wait until the database has their events.")                              \
	X(GATEWAY_NOT_READY, GAUGE, "gateway_not_ready_streams", NONE, NONE,                      \
	  "Streams whose topic or schemas the gateway could not find yet.")                       \
	X(LOG_MESSAGES, COUNTER, "log_messages_total", LEVEL, NONE,                               \
	  "Warnings and errors logged.")                                                          \
	X(LOG_LINES_LOST, COUNTER, "log_lines_lost_total", NONE, NONE,                            \
	  "Lines of the log that nobody read: stderr was full or closed.")                        \
	X(LAST_ERROR, GAUGE, "last_error_timestamp_seconds", NONE, NONE,                          \
	  "When the last error was logged; 0: none was.")
/* clang-format on */

enum metric {
#define METRIC_ENUM(id, ...) METRIC_##id,
	METRICS(METRIC_ENUM)
#undef METRIC_ENUM
		METRIC_COUNT,
};

/* Once, before threads start; a second call begins anew. Before it nothing is counted. */
void stats_init(const char *const *streams, size_t nstreams, const char *const *reasons,
		size_t nreasons);

/* a and b are indices into the label sets of the metric, 0 where it has none. */
/* counter; durations in microseconds */
void stats_add(enum metric m, size_t a, size_t b, int64_t n);
/* gauge; timestamps in microseconds */
void stats_set(enum metric m, size_t a, size_t b, int64_t n);
/* a gauge up, or down by a negative n */
void stats_gauge_add(enum metric m, size_t a, size_t b, int64_t n);
/* histogram; durations in microseconds */
void stats_observe(enum metric m, size_t a, int64_t value);
int64_t stats_get(enum metric m, size_t a, size_t b); /* of a histogram: how many observations */
int64_t stats_sum(enum metric m);                     /* over all labels */
int64_t stats_sum_of(enum metric m, size_t a);        /* over the second label */
/* A value of a label, "lane_copy"; NULL past the last. */
const char *stats_label(enum label_set set, size_t i);

int64_t stats_started_us(void); /* wall clock of stats_init() */

/* Index into LABEL_SQLCLASS of a SQLSTATE ("" is "other"). */
size_t stats_sqlclass(const char *sqlstate);

/* Prometheus text format 0.0.4, process_* included; a worker's, or after stats_of_gateway() its. */
void stats_expose(struct buf *out);
void stats_of_gateway(void);
void stats_write_docs(struct buf *out); /* docs/METRICS.md */

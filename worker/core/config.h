/*
 * config.h - every setting and its value. Loaded once at start and read-only afterwards, so threads
 * share it without a lock; only secrets in files are read again (config_secret).
 */
#pragma once

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "codec/decode.h"
#include "schema/frame.h"

enum on_conflict { CONFLICT_NEWER, CONFLICT_UPDATE, CONFLICT_SKIP };
/* What becomes of a record that is not the stream's. */
enum other_types { OTHER_DEAD_LETTER, OTHER_SKIP, OTHER_HALT };
/* Which of Apicurio's ids the registry serves as /schemas/ids. */
enum apicurio_ids { APICURIO_NONE, APICURIO_CONTENT, APICURIO_GLOBAL };
/* When segments of searches are built: as needed, while nothing else is to be done, in a window. */
enum index_when { INDEX_ALWAYS, INDEX_IDLE, INDEX_WINDOW, INDEX_NEVER };
/* What becomes of an event whose text no vector can be had for. */
enum on_poison { POISON_DEAD_LETTER, POISON_NULL, POISON_HALT };
enum start_kind { START_EARLIEST, START_LATEST, START_COMMITTED, START_TIMESTAMP };

struct config_pair {
	const char *key, *value;
	const char *file;   /* the value stands in this file ("KEY_file"), or NULL */
	const char *origin; /* "memingest.ini:3", "--set": who gave it, for findings */
};

struct stream_config {
	const char *name;    /* of [stream.NAME] */
	const char **topics; /* exact names, or "^regex" */
	size_t ntopics;
	enum start_kind start;
	int64_t start_ms;       /* of START_TIMESTAMP: milliseconds since 1970 */
	const char *schema;     /* path of the annotated .avsc */
	const char *key_schema; /* path, or NULL: messages without value are dead letters */
	enum frame_format format;
	enum on_conflict on_conflict;
	enum other_types other_types;
	/* of "verify": a table of schema memingest that stands in for the stream's; else NULL */
	const char *stand_in;
};

/* A server that makes vectors of texts. */
struct embed_config {
	const char *name;          /* of [embed.NAME] */
	const char *url;           /* without "/embeddings" */
	const char *model;         /* as the server knows it */
	const char *key_file, *ca; /* paths, or NULL */
	uint32_t max_inputs, max_tokens, concurrency;
	uint64_t max_bytes, cache_bytes;
	int64_t timeout_us, cache_age_us;
	enum on_poison on_poison;
};

struct config {
	const char *path; /* of the file, for messages */
	/* a password, a token, a key, or a URL with one stands in the file itself */
	bool file_has_secret;

	struct config_pair *kafka; /* [kafka] as it stands, for librdkafka */
	size_t nkafka;
	const char *group_id; /* [kafka] group.id: the name of the pipeline in the bookkeeping */

	/* the rows go into this SQLite file; NULL: into PostgreSQL. One of the two is set. */
	const char *sqlite_path;
	const char *sqlite_vec_extension; /* of `search` in that file; or NULL */

	const char *pg_dsn;
	const char *pg_dsn_file;
	const char *pg_dsn_origin;    /* of either, as in config_pair */
	const char *pg_password_file; /* or NULL; read again at each login */
	uint32_t lanes;               /* 1 with sqlite_path: a file has one writer */
	int64_t pg_statement_timeout_us, pg_lock_timeout_us, pg_connect_timeout_us;

	uint32_t batch_max_rows;
	uint64_t batch_max_bytes; /* COPY bytes of one batch */
	int64_t batch_max_age_us;
	bool batch_adaptive;
	uint64_t batch_memory; /* bytes of all batches together */
	/* rows of memingest.batches older than this are pruned; 0: never */
	int64_t batch_retention_us;

	const char **registry_urls; /* tried in turn */
	size_t nregistry_urls;
	const char *registry_user, *registry_password, *registry_password_file;
	const char *registry_token, *registry_token_file;
	const char *registry_ca, *registry_cert, *registry_key; /* paths */
	int64_t registry_timeout_us, registry_unknown_wait_us;
	enum apicurio_ids registry_apicurio_ids;
	/* offline source: ID.avsc for confluent ids; every .avsc for fingerprints */
	const char *registry_directory;

	struct decode_limits limits;

	double dlq_max_ratio;
	uint32_t dlq_window; /* events over which the ratio is taken */

	const char *http_listen;     /* HOST:PORT, or "off" */
	bool http_partition_metrics; /* per-partition series in /metrics */
	/* bearer token that all but the probes want; NULL: none. Read again for each request. */
	const char *http_token_file;

	const char *gateway_listen;      /* HOST:PORT */
	const char *gateway_http_listen; /* HOST:PORT, or "off" */
	const char *gateway_token_file;  /* who may write what; NULL: whoever is on this machine */
	const char *gateway_certificate_file, *gateway_key_file; /* NULL: no TLS */
	uint32_t gateway_threads, gateway_max_connections, gateway_max_events;
	uint64_t gateway_max_body, gateway_memory; /* bytes of one request, of all */
	int64_t gateway_timeout_us;
	const char *gateway_requests_topic; /* NULL: no Idempotency-Key */

	/* what would be exposed (core/exposed.h) is a mistake */
	bool require_tls;

	enum log_format log_format;
	enum log_level log_level;

	enum index_when index_when;
	int64_t index_from_us, index_until_us; /* of INDEX_WINDOW: since midnight, UTC */
	uint32_t index_cores;
	uint64_t index_memory; /* bytes of one build, in the server */
	uint32_t index_segment_rows, index_tail_rows;
	double index_stale_share;
	bool index_logged;

	int64_t shutdown_timeout_us;

	struct stream_config *streams;
	size_t nstreams;

	struct embed_config *embeds;
	size_t nembeds;
};

struct config_override {
	const char *key, *value; /* "batch.max_rows", "100": from --set */
};

/*
 * Reads defaults, then the file (path may be NULL: none), then MEMINGEST_* of the environment, then
 * overrides. Reports every mistake, not the first alone: err->text has the first, "findings" one
 * line each, "file:line: what, and what to write". NULL with class CONFIG on any finding. Relative
 * paths of schemas and secrets are taken from the config file's folder if they exist there, else
 * from the working directory; schemas that are not there either, from share/memingest beside the
 * program's bin.
 */
struct config *config_load(const char *path, const struct config_override *overrides,
			   size_t noverrides, struct buf *findings, struct err *err);
void config_free(struct config *c); /* NULL is fine */

/*
 * The value of a secret: that of the file if there is one, read anew, else the plain value. NULL
 * with class RETRY if the file cannot be read. The caller frees it.
 */
char *config_secret(const char *value, const char *file, struct err *err);

/* Whether it may stand in [stream.NAME] and its like: 1 to 40 letters, digits, _ or -. */
enum { MAX_STREAM_NAME = 40 };
bool config_stream_name(const char *name);

/* [embed.NAME], or NULL. */
const struct embed_config *config_embed(const struct config *c, const char *name);

/* "section.key = value   ; origin" for each setting; secrets hidden. */
void config_show(const struct config *c, struct buf *out);
/* The same as one JSON object: {"batch.max_rows": {"value": "5000", "origin": "default"}, ...}. */
void config_show_json(const struct config *c, struct buf *out);
/* One line per key: name, default, range, what it is for. */
void config_write_help(struct buf *out);
/* docs/CONFIG.md. */
void config_write_docs(struct buf *out);
/* A config file with the shipped streams and every setting, those that have a default as comments.
 */
void config_write_example(struct buf *out);

/*
 * config_key.c - the table of settings: the one place that knows their names, types, defaults,
 * ranges and meaning.
 *
 * config.c loads by it, config_show.c prints and documents by it. A new setting is a row here and a
 * field in config.h; min, max and fallback are texts in the same notation that a user writes, so
 * that they are parsed by the same function and printed as they stand. Section [kafka] has no rows:
 * it is librdkafka's, but for the keys that kafka_refusals names.
 *
 * Pure functions and constant data. Texts in "why" say what to write instead, without repeating a
 * secret: no secret has a type that can be wrong.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "core/config.h"
#include "core/config_key.h"

/* Milliseconds since 1970 that "start" takes: 1973 to 5138. */
#define FIRST_MS INT64_C(100000000000)
#define LAST_MS INT64_C(100000000000000)
#define C(field) offsetof(struct config, field)
#define ST(field) offsetof(struct stream_config, field)
#define EM(field) offsetof(struct embed_config, field)

static const char *const formats[] = {"confluent", "single-object", "raw", NULL};
static const char *const conflicts[] = {"newer", "update", "skip", NULL};
static const char *const others[] = {"dead_letter", "skip", "halt", NULL};
static const char *const apicurio[] = {"none", "content", "global", NULL};
static const char *const index_whens[] = {"always", "idle", "window", "never", NULL};
static const char *const poisons[] = {"dead_letter", "null", "halt", NULL};
static const char *const log_formats[] = {"logfmt", "json", NULL};
static const char *const log_levels[] = {"debug", "info", "warn", "error", NULL};

/* clang-format off: one row, one paragraph. */
const struct config_key config_keys[] = {
	{"postgres", "dsn", KEY_TEXT, C(pg_dsn), .secrecy = KEY_URL,
	 .example = "postgresql://memingest@127.0.0.1/agents",
	 .help = "Connection string of libpq, as a URL or as key=value pairs; `sslmode` and the "
		 "like belong in it. Several hosts are tried in turn until one lets us in and "
		 "takes "
		 "writes (`target_session_attrs` is `read-write` unless it says otherwise)."},
	{"postgres", "dsn_file", KEY_PATH, C(pg_dsn_file),
	 .help = "File with the connection string, instead of `dsn`."},
	{"postgres", "password_file", KEY_PATH, C(pg_password_file),
	 .help = "File with the password alone, read again at each login."},
	{"postgres", "lanes", KEY_COUNT, C(lanes), .fallback = "2", .min = "1", .max = "64",
	 .help = "Writer threads, each with one connection."},
	{"postgres", "statement_timeout", KEY_DURATION, C(pg_statement_timeout_us),
	 .fallback = "60s", .min = "1s", .max = "1h",
	 .help = "How long one statement may run before PostgreSQL ends it and the batch is tried "
		 "again."},
	{"postgres", "lock_timeout", KEY_DURATION, C(pg_lock_timeout_us), .fallback = "5s",
	 .min = "10ms", .max = "1h",
	 .help = "How long a statement may wait for a lock before the batch is tried again."},
	{"postgres", "connect_timeout", KEY_DURATION, C(pg_connect_timeout_us), .fallback = "5s",
	 .min = "100ms", .max = "5m",
	 .help = "How long one attempt to connect may take, for each host and each "
		 "address of a host; its name is looked up within the first."},

	{"sqlite", "path", KEY_PATH, C(sqlite_path),
	 .help = "File that the rows go to, instead of `[postgres]`; `migrate` makes it. It has "
		 "one writer, so `postgres.lanes` does not count. See docs/SQLITE.md."},
	{"sqlite", "vec_extension", KEY_PATH, C(sqlite_vec_extension),
	 .help = "File of the loadable extension sqlite-vec (`vec0.so`), by whose distances "
		 "`search` then goes in the file. It is loaded into the process of `search`, of no "
		 "other command, and looked for nowhere else."},

	{"batch", "max_rows", KEY_COUNT, C(batch_max_rows), .fallback = "5000", .min = "1",
	 .max = "1000000", .help = "A batch is written when it has this many events."},
	{"batch", "max_bytes", KEY_BYTES, C(batch_max_bytes), .fallback = "16MiB", .min = "64KiB",
	 .max = "1GiB", .help = "... or this many bytes of rows,"},
	{"batch", "max_age", KEY_DURATION, C(batch_max_age_us), .fallback = "500ms", .min = "1ms",
	 .max = "1h", .help = "... or when its first event has waited this long."},
	{"batch", "adaptive", KEY_SWITCH, C(batch_adaptive), .fallback = "on",
	 .help = "Write sooner than max_age when the lane is idle: at once, as long as what a "
		 "transaction costs before its first row, as the lane learns it, takes a twentieth "
		 "of its time or less, or no longer than its rows."},
	{"batch", "memory", KEY_BYTES, C(batch_memory), .fallback = "64MiB", .min = "1MiB",
	 .max = "64GiB",
	 .help = "Bytes of all batches together; with no room left, partitions are paused."},
	{"batch", "retention", KEY_DURATION, C(batch_retention_us), .fallback = "7d", .min = "0",
	 .max = "3650d",
	 .help = "Rows of `memingest.batches` older than this are deleted; 0 keeps them."},

	{"registry", "url", KEY_LIST, C(registry_urls), C(nregistry_urls), .secrecy = KEY_URL,
	 .example = "http://127.0.0.1:8081",
	 .help = "Schema registry; several, with commas between, are tried in turn."},
	{"registry", "user", KEY_TEXT, C(registry_user), .help = "User for basic authentication."},
	{"registry", "password", KEY_TEXT, C(registry_password), .secrecy = KEY_SECRET,
	 .help = "Its password."},
	{"registry", "password_file", KEY_PATH, C(registry_password_file),
	 .help = "File with the password."},
	{"registry", "token", KEY_TEXT, C(registry_token), .secrecy = KEY_SECRET,
	 .help = "Bearer token, instead of a user."},
	{"registry", "token_file", KEY_PATH, C(registry_token_file),
	 .help = "File with the token."},
	{"registry", "ca", KEY_PATH, C(registry_ca),
	 .help = "PEM file of the authorities to trust; the system's by default."},
	{"registry", "cert", KEY_PATH, C(registry_cert),
	 .help = "PEM file of the client's certificate."},
	{"registry", "key", KEY_PATH, C(registry_key), .help = "PEM file of the client's key."},
	{"registry", "timeout", KEY_DURATION, C(registry_timeout_us), .fallback = "5s",
	 .min = "100ms", .max = "5m", .help = "How long one request may take."},
	{"registry", "unknown_wait", KEY_DURATION, C(registry_unknown_wait_us), .fallback = "60s",
	 .min = "0", .max = "1h",
	 .help = "How long a schema that the registry does not know is asked for again, since a "
		 "registry may lag, before its events become dead letters. Their partitions wait, "
		 "others go on."},
	{"registry", "directory", KEY_PATH, C(registry_directory),
	 .help = "Folder of schemas that needs no server: `ID.avsc` for an id, `GUID.avsc` for a "
		 "GUID, "
		 "any `.avsc` for its fingerprint, and the one that it is named by, in 16 "
		 "hexadecimal "
		 "digits."},
	{"registry", "apicurio_ids", KEY_CHOICE, C(registry_apicurio_ids), .fallback = "none",
	 .choices = apicurio,
	 .help = "Which ids of Apicurio's own serializers (8 bytes, or in headers) `url` serves "
		 "under "
		 "`/schemas/ids`: `content`, as its Confluent API does, or `global`, as that does "
		 "in "
		 "legacy id mode. With `none` such an event halts its partition."},

	{"limits", "max_depth", KEY_COUNT, C(limits.max_depth), .fallback = "64", .min = "1",
	 .max = "512",
	 .help = "Nesting of values within one event. What is over a limit becomes a dead letter."},
	{"limits", "max_items", KEY_COUNT, C(limits.max_items), .fallback = "100000", .min = "1",
	 .max = "100000000", .help = "Items of all arrays and maps of one event."},
	{"limits", "max_string", KEY_BYTES32, C(limits.max_string_bytes), .fallback = "4MiB",
	 .min = "1KiB", .max = "512MiB", .help = "One string, bytes or JSON text."},
	{"limits", "max_row", KEY_BYTES32, C(limits.max_row_bytes), .fallback = "8MiB",
	 .min = "1KiB", .max = "512MiB", .help = "One row as it goes to PostgreSQL."},
	{"limits", "max_key", KEY_BYTES32, C(limits.max_key_bytes), .fallback = "2600", .min = "64",
	 .max = "2600",
	 .help = "The key columns of one row; PostgreSQL's indexes hold no more than about a third "
		 "of a page."},

	{"dlq", "max_ratio", KEY_RATIO, C(dlq_max_ratio), .fallback = "0.05", .min = "0",
	 .max = "1",
	 .help = "Share of dead letters above which a stream halts instead of emptying its topic "
		 "into them."},
	{"dlq", "window", KEY_COUNT, C(dlq_window), .fallback = "10000", .min = "1",
	 .max = "100000000", .help = "Events over which that share is taken."},

	{"index", "when", KEY_CHOICE, C(index_when), .fallback = "always", .choices = index_whens,
	 .help = "When this worker puts vectors into the graphs of their searches: `always` as "
		 "they come, `idle` while no batch is in flight, `window` between `from` and "
		 "`until`, or `never`. Until then a search reads them row by row."},
	{"index", "from", KEY_DURATION, C(index_from_us), .fallback = "0", .min = "0", .max = "24h",
	 .help = "Beginning of the window, after midnight UTC: `22h`."},
	{"index", "until", KEY_DURATION, C(index_until_us), .fallback = "6h", .min = "0",
	 .max = "24h", .help = "Its end; before `from` if midnight is within."},
	{"index", "cores", KEY_COUNT, C(index_cores), .fallback = "2", .min = "1", .max = "64",
	 .help = "How many of the server's cores one build may use; one while ingest is behind. "
		 "More than one needs as much shared memory (/dev/shm) as `memory`."},
	{"index", "memory", KEY_BYTES, C(index_memory), .fallback = "1GiB", .min = "16MiB",
	 .max = "64GiB",
	 .help = "The server's memory for one build (`maintenance_work_mem`), as far as its rows "
		 "need it: 150 MiB for 100,000 vectors of 384 dimensions. No graph has more rows "
		 "than it holds."},
	{"index", "segment_rows", KEY_COUNT, C(index_segment_rows), .fallback = "1000000",
	 .min = "1000", .max = "10000000",
	 .help = "Rows of one graph at most. A search costs about the same in each, however large: "
		 "the "
		 "fewer the better."},
	{"index", "tail_rows", KEY_COUNT, C(index_tail_rows), .fallback = "5000", .min = "100",
	 .max = "1000000", .help = "Rows that are worth a graph of their own."},
	{"index", "stale_share", KEY_RATIO, C(index_stale_share), .fallback = "0.2", .min = "0.01",
	 .max = "1",
	 .help = "A graph is built anew when more than this share of its rows has changed or "
		 "gone."},
	{"index", "logged", KEY_SWITCH, C(index_logged), .fallback = "on",
	 .help = "off: segments without WAL. After a crash of the server they are empty, and a "
		 "standby has none: there searches read all rows until they are built again."},

	{"http", "listen", KEY_TEXT, C(http_listen), .fallback = "127.0.0.1:9464",
	 .help = "HOST:PORT for metrics and probes; port 0 takes a free one and logs it; `off` for "
		 "none."},
	{"http", "partition_metrics", KEY_SWITCH, C(http_partition_metrics), .fallback = "on",
	 .help = "Series per partition in `/metrics`."},

	{"http", "token_file", KEY_PATH, C(http_token_file),
	 .help = "File with a token that `/metrics`, `/status` and `/version` then want "
		 "(`Authorization: Bearer`), read again for each request; the probes stay open. "
		 "`top` and `status` send it."},

	{"gateway", "listen", KEY_TEXT, C(gateway_listen), .fallback = "127.0.0.1:9465",
	 .help = "HOST:PORT where `memingest gateway` takes events by HTTP; port 0 takes a free "
		 "one "
		 "and logs it. On other addresses than loopback it wants `token_file`."},
	{"gateway", "http_listen", KEY_TEXT, C(gateway_http_listen), .fallback = "127.0.0.1:9466",
	 .help = "HOST:PORT of the gateway's own metrics and probes, as `http.listen` is the "
		 "worker's."},
	{"gateway", "token_file", KEY_PATH, C(gateway_token_file),
	 .help = "File with one line a token: name, token or `sha256:` and its hash in hexadecimal "
		 "digits, streams with commas between or `*`, events a second or `-`. A request "
		 "then "
		 "wants one (`Authorization: Bearer`). Read again when it changes."},
	{"gateway", "certificate_file", KEY_PATH, C(gateway_certificate_file),
	 .help = "PEM file of its certificate and those above it; with `key_file`, TLS is spoken "
		 "and nothing else."},
	{"gateway", "key_file", KEY_PATH, C(gateway_key_file),
	 .help = "PEM file of the certificate's key."},
	{"gateway", "threads", KEY_COUNT, C(gateway_threads), .fallback = "2", .min = "1",
	 .max = "64", .help = "Threads that read and check requests."},
	{"gateway", "max_connections", KEY_COUNT, C(gateway_max_connections), .fallback = "256",
	 .min = "1", .max = "10000",
	 .help = "Connections at a time; one that asks for nothing makes way for a new one."},
	{"gateway", "max_body", KEY_BYTES, C(gateway_max_body), .fallback = "16MiB", .min = "1KiB",
	 .max = "1GiB", .help = "Bytes of one request."},
	{"gateway", "max_events", KEY_COUNT, C(gateway_max_events), .fallback = "10000", .min = "1",
	 .max = "1000000", .help = "Events of one request."},
	{"gateway", "memory", KEY_BYTES, C(gateway_memory), .fallback = "128MiB", .min = "1MiB",
	 .max = "64GiB",
	 .help = "Bytes of all requests together, from their first byte until their answer is "
		 "sent; what does not fit is refused with 503 before it is read."},
	{"gateway", "timeout", KEY_DURATION, C(gateway_timeout_us), .fallback = "30s", .min = "1s",
	 .max = "10m",
	 .help = "How long a request may take to come in, then Kafka to take its events, then the "
		 "client to read the answer."},
	{"gateway", "requests_topic", KEY_TEXT, C(gateway_requests_topic),
	 .fallback = "memingest.requests",
	 .help = "Topic of one partition where requests with an Idempotency-Key are written down; "
		 "it is made if it is not there. Empty: such requests are refused."},

	{"security", "require_tls", KEY_SWITCH, C(require_tls), .fallback = "off",
	 .help = "on: brokers, registry and database on other machines are spoken to by TLS that "
		 "verifies them (certificate and host name), or not at all: anything else is a "
		 "mistake of the configuration. off: `check` warns of it."},

	{"log", "format", KEY_CHOICE, C(log_format), .fallback = "logfmt", .choices = log_formats,
	 .help = "One line per event."},
	{"log", "level", KEY_CHOICE, C(log_level), .fallback = "info", .choices = log_levels,
	 .help = "The least that is logged."},

	{"shutdown", "timeout", KEY_DURATION, C(shutdown_timeout_us), .fallback = "20s", .min = "0",
	 .max = "1h",
	 .help = "How long SIGTERM may spend on writing what was read. What is not written then is "
		 "read again later."},

	{"stream", "topic", KEY_LIST, ST(topics), ST(ntopics), .required = true,
	 .example = "*.events",
	 .help = "Topics of this stream, with commas between; `^regex` takes every topic that "
		 "matches and that no stream names."},
	{"stream", "start", KEY_START, ST(start), ST(start_ms), .fallback = "earliest",
	 .help = "Where the pipeline's first start on a topic begins, in all partitions that it "
		 "has then: `earliest`, `latest`, "
		 "`committed` (what Kafka "
		 "holds for the "
		 "group), a time as `2026-01-31T12:00:00Z`, or milliseconds since 1970."},
	{"stream", "schema", KEY_PATH, ST(schema), .required = true,
	 .example = "schemas/*_event.avsc",
	 .help = "Avro schema of the events, with its annotations."},
	{"stream", "key_schema", KEY_PATH, ST(key_schema), .example = "schemas/*_key.avsc",
	 .help = "Avro schema of the message keys; without it a message without value is a dead "
		 "letter."},
	{"stream", "format", KEY_CHOICE, ST(format), .fallback = "confluent", .choices = formats,
	 .help = "Envelope of the messages."},
	{"stream", "on_conflict", KEY_CHOICE, ST(on_conflict), .fallback = "newer",
	 .choices = conflicts,
	 .help = "What an event does to a row that is there: `newer` replaces older ones by "
		 "version, `update` always "
		 "replaces, `skip` "
		 "leaves the first."},
	{"stream", "other_types", KEY_CHOICE, ST(other_types), .fallback = "dead_letter",
	 .choices = others,
	 .help = "What becomes of a record of another type than the stream's, where a topic holds "
		 "several: a dead letter, `skip` (counted, nothing else), or `halt` its "
		 "partition."},

	{"embed", "url", KEY_TEXT, EM(url), .secrecy = KEY_URL, .required = true,
	 .example = "http://127.0.0.1:8080/v1",
	 .help = "Server of vectors that speaks OpenAI's protocol, up to and without "
		 "`/embeddings`: `http://127.0.0.1:8080/v1`."},
	{"embed", "model", KEY_TEXT, EM(model),
	 .help = "Name of the model as the server knows it; NAME of the section by default. "
		 "Vectors "
		 "are kept by this name, so another model has another name."},
	{"embed", "key_file", KEY_PATH, EM(key_file),
	 .help = "File with the server's key (`Authorization: Bearer`), read again for each "
		 "request."},
	{"embed", "ca", KEY_PATH, EM(ca),
	 .help = "PEM file of the authorities to trust; the system's by default."},
	{"embed", "max_inputs", KEY_COUNT, EM(max_inputs), .fallback = "32", .min = "1",
	 .max = "2048",
	 .help = "Texts of one request at most; fewer while the server takes no more."},
	{"embed", "max_tokens", KEY_COUNT, EM(max_tokens), .fallback = "100000", .min = "1",
	 .max = "10000000",
	 .help = "Tokens of one request at most, estimated as a third of the bytes. A text that is "
		 "longer goes alone."},
	{"embed", "max_bytes", KEY_BYTES, EM(max_bytes), .fallback = "1MiB", .min = "1KiB",
	 .max = "256MiB",
	 .help = "Bytes of text of one request at most. A text that is longer goes "
		 "alone."},
	{"embed", "concurrency", KEY_COUNT, EM(concurrency), .fallback = "4", .min = "1",
	 .max = "64",
	 .help = "Requests at a time at most; fewer after a server said that it is too much."},
	{"embed", "timeout", KEY_DURATION, EM(timeout_us), .fallback = "60s", .min = "100ms",
	 .max = "30m", .help = "How long one request may take before it is tried again."},
	{"embed", "on_poison", KEY_CHOICE, EM(on_poison), .fallback = "dead_letter",
	 .choices = poisons,
	 .help = "What becomes of an event whose text the server refuses (too long, say): a dead "
		 "letter, a row with a vector that is `null`, or a `halt` of its stream at that "
		 "lane."},
	{"embed", "cache_memory", KEY_BYTES, EM(cache_bytes), .fallback = "16MiB", .min = "0",
	 .max = "64GiB",
	 .help = "Vectors kept in memory, so that a text that comes again costs nothing."},
	{"embed", "cache_age", KEY_DURATION, EM(cache_age_us), .fallback = "30d", .min = "0",
	 .max = "3650d",
	 .help = "Vectors of this model in `memingest.embed_cache` that no event has asked for in "
		 "this time are deleted; 0 keeps them."},
	{NULL},
};

#define AFTER_COMMIT "memingest commits an offset only after PostgreSQL has the events"
#define POINTER "it is a pointer within a program and has no text"

const struct kafka_refusal kafka_refusals[] = {
	{"enable.auto.commit", "false", AFTER_COMMIT, "take it out"},
	{"auto.commit.enable", "false", AFTER_COMMIT, "take it out"},
	{"enable.auto.offset.store", "false", AFTER_COMMIT, "take it out"},
	{"auto.commit.interval.ms", NULL, AFTER_COMMIT, "set batch.max_age"},
	{"offset.store.method", "broker", "offsets live in PostgreSQL, beside the rows",
	 "take it out"},
	{"offset.store.path", NULL, "offsets live in PostgreSQL, beside the rows", "take it out"},
	{"offset.store.sync.interval.ms", NULL, "offsets live in PostgreSQL, beside the rows",
	 "take it out"},
	{"auto.offset.reset", "error", "it would skip or repeat events without a word",
	 "set start in [stream.NAME]; for an offset that is gone use \"memingest offsets\""},
	{"isolation.level", "read_committed", "events of aborted transactions would be stored",
	 "take it out"},
	{"enable.partition.eof", "true", "memingest needs to see where a partition ends",
	 "take it out"},
	{"enable.idempotence", "true", "a retry must not repeat or reorder events", "take it out"},
	{"metadata.broker.list", NULL, "it is another name of bootstrap.servers",
	 "write bootstrap.servers"},
	{"transactional.id", NULL, "the producer is idempotent, not transactional", "take it out"},
	{"plugin.library.paths", NULL, "it loads foreign code into the process", "take it out"},
	{"sasl.kerberos.kinit.cmd", NULL, "it runs a shell command",
	 "keep the ticket fresh outside (k5start), or set sasl.kerberos.keytab and principal for "
	 "the default command"},
	{"enable.sasl.oauthbearer.unsecure.jwt", "false", "it lets in tokens that nobody signed",
	 "set sasl.oauthbearer.method=oidc with its client id and secret"},
	{"consume.callback.max.messages", NULL, "memingest does not use that interface",
	 "set batch.max_rows"},
	{"opaque", NULL, POINTER, "take it out"},
	{"default_topic_conf", NULL, POINTER, "take it out"},
	{"interceptors", NULL, POINTER, "take it out"},
	{"ssl_engine_callback_data", NULL, POINTER, "take it out"},
	{"*_cb", NULL, "it is a function within a program and has no text", "take it out"},
	{NULL},
};
/* clang-format on */

const struct config_key *config_key_find(const char *section, const char *name)
{
	for (const struct config_key *k = config_keys; k->section; k++)
		if (strcmp(k->section, section) == 0 && strcmp(k->name, name) == 0)
			return k;
	return NULL;
}

const char *const named_kinds[NAMED_COUNT] = {
	[NAMED_STREAM] = "stream",
	[NAMED_EMBED] = "embed",
};

enum named_kind config_named(const char *section, const char **name)
{
	size_t kind = 0;
	for (; kind < NAMED_COUNT; kind++) {
		size_t n = strlen(named_kinds[kind]);
		*name = section + n + 1;
		if (strncmp(section, named_kinds[kind], n) == 0 && section[n] == '.')
			break;
	}
	return (enum named_kind)kind;
}

bool config_is_named_kind(const char *section)
{
	for (size_t i = 0; i < NAMED_COUNT; i++)
		if (strcmp(section, named_kinds[i]) == 0)
			return true;
	return false;
}

bool config_section_known(const char *section)
{
	for (const struct config_key *k = config_keys; k->section; k++)
		if (strcmp(k->section, section) == 0)
			return true;
	return strcmp(section, "kafka") == 0;
}

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);
	return n >= m && strcmp(s + n - m, end) == 0;
}

/* A key may be refused but for one value. */
const struct kafka_refusal *kafka_refused(const char *key, const char *value)
{
	for (const struct kafka_refusal *r = kafka_refusals; r->key; r++) {
		bool same =
			r->key[0] == '*' ? ends_with(key, r->key + 1) : strcmp(key, r->key) == 0;
		if (same)
			return r->allowed && value && strcmp(value, r->allowed) == 0 ? NULL : r;
	}
	return NULL;
}

bool kafka_key_secret(const char *key)
{
	return strstr(key, "password") || strstr(key, "secret") || strstr(key, "passphrase") ||
	       strstr(key, "jaas") || ends_with(key, "key.pem");
}

struct unit {
	const char *name;
	int64_t factor;
};

static const struct unit byte_units[] = {
	{"", 1}, {"B", 1}, {"KiB", 1LL << 10}, {"MiB", 1LL << 20}, {"GiB", 1LL << 30}, {NULL, 0}};
static const struct unit time_units[] = {{"us", 1},
					 {"ms", US_PER_MS},
					 {"s", US_PER_S},
					 {"m", 60 * US_PER_S},
					 {"h", 3600 * US_PER_S},
					 {"d", 86400 * US_PER_S},
					 {NULL, 0}};
static const struct unit no_units[] = {{"", 1}, {NULL, 0}};

/* "16MiB" with units. */
static bool parse_units(const char *text, const struct unit *units, int64_t *n)
{
	char *end;
	errno = 0;
	if (!isdigit((unsigned char)text[0]))
		return false;
	long long value = strtoll(text, &end, 10);
	if (errno != 0)
		return false;
	while (*end == ' ')
		end++;
	for (const struct unit *u = units; u->name; u++)
		if (strcmp(end, u->name) == 0)
			return !__builtin_mul_overflow((int64_t)value, u->factor, n);
	*n = 0;
	return *end == '\0' && value == 0; /* nothing needs no unit */
}

/* In millionths, so that it is compared as a whole number. */
static bool parse_ratio(const char *text, int64_t *n)
{
	char *end;
	errno = 0;
	if (!isdigit((unsigned char)text[0]))
		return false;
	double value = strtod(text, &end);
	if (errno != 0 || *end != '\0' || !(value <= 1e9))
		return false;
	*n = (int64_t)(value * 1e6 + 0.5);
	return true;
}

/* All the words that people use for it. */
static bool parse_switch(const char *text, int64_t *n)
{
	static const char *const words[][2] = {
		{"off", "on"}, {"false", "true"}, {"no", "yes"}, {"0", "1"}};
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		for (int on = 0; on < 2; on++)
			if (strcmp(text, words[i][on]) == 0) {
				*n = on;
				return true;
			}
	return false;
}

static bool parse_choice(const char *const *choices, const char *text, int64_t *n)
{
	for (*n = 0; choices[*n]; ++*n)
		if (strcmp(text, choices[*n]) == 0)
			return true;
	return false;
}

/* The number behind a text, the range not looked at. */
static bool parse_raw(const struct config_key *key, const char *text, int64_t *n)
{
	switch (key->type) {
	case KEY_COUNT:
		return parse_units(text, no_units, n);
	case KEY_BYTES:
	case KEY_BYTES32:
		return parse_units(text, byte_units, n);
	case KEY_DURATION:
		return parse_units(text, time_units, n);
	case KEY_RATIO:
		return parse_ratio(text, n);
	case KEY_SWITCH:
		return parse_switch(text, n);
	case KEY_CHOICE:
		return parse_choice(key->choices, text, n);
	case KEY_TEXT:
	case KEY_PATH:
	case KEY_LIST:
	case KEY_START:
		break;
	}
	return false;
}

/* What to write instead, by type. */
static void explain(const struct config_key *key, const char *text, struct buf *why)
{
	switch (key->type) {
	case KEY_COUNT:
		buf_printf(why, "\"%s\" is not a whole number; write one, as in %s", text,
			   key->fallback);
		break;
	case KEY_BYTES:
	case KEY_BYTES32:
		buf_printf(why,
			   "\"%s\" is not a size; write a number with KiB, MiB or GiB, as in %s",
			   text, key->fallback);
		break;
	case KEY_DURATION:
		buf_printf(why,
			   "\"%s\" is not a duration; write a number with us, ms, s, m, h or d, as "
			   "in %s",
			   text, key->fallback);
		break;
	case KEY_RATIO:
		buf_printf(why, "\"%s\" is not a share; write a number between %s and %s, as in %s",
			   text, key->min, key->max, key->fallback);
		break;
	case KEY_SWITCH:
		buf_printf(why, "\"%s\" is neither on nor off", text);
		break;
	case KEY_CHOICE:
		buf_printf(why, "\"%s\" is none of", text);
		for (size_t i = 0; key->choices[i]; i++)
			buf_printf(why, "%s %s", i ? "," : "", key->choices[i]);
		break;
	case KEY_TEXT:
	case KEY_PATH:
	case KEY_LIST:
	case KEY_START:
		break;
	}
}

/* The range is written in the same notation and read by the same function. */
bool config_key_parse(const struct config_key *key, const char *text, int64_t *n, struct buf *why)
{
	int64_t min, max;
	if (!parse_raw(key, text, n)) {
		explain(key, text, why);
		return false;
	}
	if (!key->min || !parse_raw(key, key->min, &min) || !parse_raw(key, key->max, &max))
		return true;
	if (*n >= min && *n <= max)
		return true;
	buf_printf(why, "%s is out of range; write %s to %s", text, key->min, key->max);
	return false;
}

/* Behind the seconds of an ISO 8601 time: fraction and zone. */
static bool parse_fraction_and_zone(const char *s, int64_t *ms)
{
	if (*s == '.') {
		int64_t weight = 100;
		for (s++; isdigit((unsigned char)*s); s++, weight /= 10)
			*ms += (*s - '0') * weight;
	}
	if (strcmp(s, "Z") == 0)
		return true;
	struct tm zone = {0};
	const char *end = (*s == '+' || *s == '-') ? strptime(s + 1, "%H:%M", &zone) : NULL;
	if (!end || *end != '\0')
		return false;
	int64_t shift = (zone.tm_hour * INT64_C(60) + zone.tm_min) * 60000;
	*ms += *s == '+' ? -shift : shift;
	return true;
}

/* A date alone is its midnight, UTC. */
static bool parse_iso(const char *text, int64_t *ms)
{
	struct tm tm = {0};
	const char *s = strptime(text, "%Y-%m-%d", &tm);
	if (!s)
		return false;
	bool date_only = *s == '\0';
	if (!date_only && ((*s != 'T' && *s != ' ') || !(s = strptime(s + 1, "%H:%M:%S", &tm))))
		return false;
	*ms = (int64_t)timegm(&tm) * 1000;
	return *ms >= 0 && (date_only || parse_fraction_and_zone(s, ms));
}

static void put_time(struct buf *out, int64_t seconds)
{
	char text[32];
	struct tm tm;
	time_t t = (time_t)seconds;
	if (gmtime_r(&t, &tm) && strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) > 0)
		buf_puts(out, text);
}

/*
 * Digits of another unit than milliseconds name a time at which there was no Kafka, or is none yet;
 * all events or none would be read, without a word. 0 is the beginning of time, said on purpose.
 */
static bool is_milliseconds(const char *text, int64_t n, struct buf *why)
{
	static const struct {
		int64_t below, per_s;
		const char *name;
	} units[] = {{FIRST_MS, 1, "seconds"},
		     {LAST_MS, 1000, NULL},
		     {LAST_MS * 1000, 1000000, "microseconds"},
		     {INT64_MAX, 1000000000, "nanoseconds"}};
	size_t i = 0;
	while (n >= units[i].below && i + 1 < ARRAY_LEN(units))
		i++;
	if (n == 0 || !units[i].name)
		return true;
	int64_t seconds = n / units[i].per_s;
	buf_printf(why, "%s are milliseconds since 1970, which is ", text);
	put_time(why, n / 1000);
	buf_printf(why, "; probably %s were meant: write %" PRId64 " or ", units[i].name,
		   seconds * 1000);
	put_time(why, seconds);
	return false;
}

/* A word, milliseconds since 1970, or a time. */
bool config_start_parse(const char *text, int *kind, int64_t *ms, struct buf *why)
{
	static const char *const words[] = {"earliest", "latest", "committed", NULL};
	int64_t n;
	*ms = 0;
	*kind = START_TIMESTAMP;
	if (parse_choice(words, text, &n)) {
		*kind = (int)n;
		return true;
	}
	if (parse_units(text, no_units, &n)) {
		*ms = n;
		return is_milliseconds(text, n, why);
	}
	if (parse_iso(text, ms))
		return true;
	buf_printf(why,
		   "\"%s\" is none of earliest, latest, committed, and no time as in "
		   "2026-01-31T12:00:00Z",
		   text);
	return false;
}

/*
 * bed.h - the ground of one test: its own database, topics, group, config file and workers.
 *
 *   struct bed *bed = bed_new("poison");
 *   bed_stream(bed, "memory", 3);
 *   bed_set(bed, "batch.max_age", "50ms");
 *   ck_assert_int_eq(bed_command(bed, "migrate", NULL), 0);
 *   struct worker *w = worker_start(bed, NULL);
 *   bed_event(bed, "memory", -1, json_pack(...));
 *   bed_drain(bed, 30);
 *   worker_stop(w);
 *   model_check(bed);
 *   bed_free(bed);
 *
 * Workers, and the commands that read or search, log in as a role that has what "migrate --grants"
 * prints and no more; what migrates or mends, as the owner of database and tables.
 *
 * Everything fails the test by itself, with the reason. A bed that is not freed leaves its folder,
 * whose logs main() then prints.
 */
#pragma once

#include <jansson.h>

#include "base/base.h"
#include "base/clock.h"
#include "core/config.h"
#include "io/pg.h"
#include "stack.h"

#define BED_STREAMS 8
#define BED_SETTINGS 64
#define BED_WORKERS 16

struct bed_stream {
	char name[32], topic[96], subject[128];
	char schema_path[256], key_path[256]; /* key_path may be empty */
	json_t *schema, *key_schema;          /* what bed_event() writes with */
	uint32_t schema_id, key_id;           /* in the registry */
	int partitions;
	enum on_conflict on_conflict;
	enum other_types other_types;
};

struct bed_setting {
	char key[96], value[512];
};

struct bed {
	char name[48];    /* unique in the run: prefix of topics, name of group and database */
	char dir[128];    /* config file and logs */
	char config[160]; /* path of the config file, written before each start */
	char owner_config[160]; /* the same with the role that owns the database */
	char dsn[128];          /* of the superuser, straight to the server */
	/*
	 * A file of eight bytes: by how many seconds the workers' wall clock is wrong from now on
	 * (tests/chaos/preload/clock.c). Empty: it is right.
	 */
	char clock[160];
	char sqlite[192]; /* a file that workers write into, in place of the database: lite.h */
	char role[64];    /* that workers log in as: memingest, if not set */
	unsigned pg_port; /* where the workers connect to: the server's, or that of a proxy */
	struct pg *pg;    /* of the test itself, as superuser */
	struct bed_stream streams[BED_STREAMS];
	size_t nstreams;
	struct bed_setting settings[BED_SETTINGS];
	size_t nsettings;
	struct worker *workers[BED_WORKERS]; /* that are expected to live */
	size_t nworkers, started;
};

/* Short name, letters and digits. */
struct bed *bed_new(const char *name);
/* The same with a database of another encoding than UTF8, and without vectors. */
struct bed *bed_new_latin1(const char *name);
void bed_free(struct bed *bed);

/*
 * Adds a stream with the shipped schema files of that name (schemas/NAME_event.avsc,
 * schemas/NAME_key.avsc), and its topic.
 */
struct bed_stream *bed_stream(struct bed *bed, const char *name, int partitions);
/* The same with files of one's own; key_path NULL: no key schema. */
struct bed_stream *bed_stream_files(struct bed *bed, const char *name, int partitions,
				    const char *schema_path, const char *key_path);
/*
 * From now on events of the stream are written with another (writer) schema, registered under the
 * same subject.
 */
void bed_writer_schema(struct bed *bed, const char *stream, json_t *schema);

/*
 * A setting of the config file, "section.key"; the last value counts. "postgres.dsn", "kafka.*" and
 * the streams are there already.
 */
void bed_set(struct bed *bed, const char *key, const char *fmt, ...) PRINTF_LIKE(3, 4);
/*
 * Workers reach the broker through a proxy, this one, which the caller stops after the last of
 * them. The test's own dealings with the broker go straight there.
 */
struct proxy *bed_proxy_kafka(struct bed *bed);
void bed_write_config(struct bed *bed);
/* Gives the worker's role its rights on what a migration of the test's own has made. */
void bed_grant(struct bed *bed);

/*
 * Runs "memingest COMMAND -c CONFIG ARGS..." to its end; args NULL-terminated or NULL. out, if not
 * NULL, gets what it printed. migrate, dlq, index drop and offsets rewind run as the owner; what
 * was migrated is granted to the worker's role.
 */
int bed_command(struct bed *bed, const char *command, const char *const *args, struct buf *out);
/*
 * The same of a line of up to eight words, "COMMAND ARGS...", whose exit status is compared.
 * Returns what it printed (the caller frees it), or compares that with a part of it.
 */
char *bed_says(struct bed *bed, int status, const char *line);
void bed_expect(struct bed *bed, int status, const char *line, const char *part);
/* A file of the project; the caller frees its text. */
char *bed_read_file(const char *path);

/*
 * Queues one event (borrowed) or, by its key columns, one tombstone. Partition -1: by the key's
 * hash. The message key is the event's key by the stream's key schema. bed_flush() waits until all
 * are in the log.
 */
void bed_event(struct bed *bed, const char *stream, int partition, json_t *event);
void bed_tombstone(struct bed *bed, const char *stream, int partition, json_t *key);
/* Any bytes as value. */
void bed_raw(struct bed *bed, const char *stream, int partition, struct slice key,
	     struct slice value);
void bed_flush(struct bed *bed);

/* SQL as superuser in the bed's database. */
void bed_sql(struct bed *bed, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* first column of the one row; null is 0 */
int64_t bed_int(struct bed *bed, const char *fmt, ...) PRINTF_LIKE(2, 3);
struct pg_rows *bed_query(struct bed *bed, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* True when every partition's next_offset is the end of its log, as read now. */
bool bed_drained(struct bed *bed);
void bed_drain(struct bed *bed, int seconds);

/* --- workers --- */

struct worker {
	struct bed *bed;
	int pid, pidfd; /* -1: ended and reaped */
	unsigned http_port;
	char log[160];
	size_t log_seen; /* worker_wait_log() looks from here on */
};

/* "memingest run"; args NULL-terminated or NULL. */
struct worker *worker_start(struct bed *bed, const char *const *args);
/* The same with its output to that path, which may be of a pipe; its log cannot be asked then. */
struct worker *worker_start_to(struct bed *bed, const char *const *args, const char *output);
/* "memingest gateway", which all below is for as well; see gate.h. */
struct worker *gateway_start(struct bed *bed, const char *const *args);
void worker_signal(struct worker *w, int signal_number);
int worker_wait(struct worker *w, int seconds);   /* until it ends; its exit status, 128 + signal */
void worker_leaves(struct worker *w);             /* may end now: bed_tick() does not mind */
bool worker_ended(struct worker *w, int *status); /* after worker_leaves(); does not wait */
void worker_stop(struct worker *w);               /* SIGTERM; must exit 0 within 30 s */
void worker_kill(struct worker *w);               /* SIGKILL, reaped */
void worker_ready(struct worker *w);              /* waits until /readyz says 200 */
unsigned worker_http(struct worker *w, const char *path, struct buf *out);
/*
 * Sum of a metric's series in /metrics whose line holds "label" (NULL: all); 0 when there is none.
 */
double worker_metric(struct worker *w, const char *metric, const char *label);
json_t *worker_status(struct worker *w);                  /* /status; the caller releases it */
bool worker_logged(struct worker *w, const char *text);   /* since the last worker_wait_log() */
void worker_read_log(struct worker *w, struct buf *out);  /* all of it */
int worker_log_count(struct worker *w, const char *text); /* in all of it */
void worker_wait_log(struct worker *w, const char *text, int seconds);
long worker_rss_kib(struct worker *w);

/* --- waiting --- */

/*
 * One turn of a wait: up to 20 ms, less when a worker ends. Fails the test when a worker ended that
 * should not have. False after the deadline.
 */
bool bed_tick(struct bed *bed, int64_t deadline_us);

/* Waits until the condition holds; fails the test when that takes longer. */
#define BED_WAIT(bed, seconds, condition)                                                          \
	do {                                                                                       \
		int64_t bed_deadline_ = clock_mono_us() + (seconds)*US_PER_S;                      \
		while (!(condition))                                                               \
			ck_assert_msg(bed_tick(bed, bed_deadline_), "not within %d s: %s",         \
				      (int)(seconds), #condition);                                 \
	} while (0)

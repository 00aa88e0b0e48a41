/*
 * verify.h - what the files of "verify" share.
 *
 *   verify_scope.c   what is to be read, and what cannot be known
 *   verify_sql.c     on PostgreSQL: the statements: staging tables, comparison
 *   verify_clean.c     what a check leaves behind, also one that was killed
 *   verify_file.c    both of these on a SQLite file
 *   verify_explain.c the events that rows which differ came from
 *   verify_show.c    what was found, for people and for programs
 */
#pragma once

#include "cli/bar.h"
#include "cli/cli.h"
#include "core/stream.h"
#include "io/replay.h"
#include "sqlite/asker.h"

enum { VERIFY_ID = 9 }; /* eight hexadecimal digits */

/* How a column of the table goes into the hash of its row. */
struct verify_column {
	bool judged;   /* what was read decides its value */
	bool as_text;  /* its type has no equality */
	bool by_bytes; /* its type has no hash, but its bytes do */
	char *send;    /* the function that makes those */
};

/* Something that cannot be known, said instead of guessed. */
struct verify_note {
	const char *code; /* a contract with programs */
	char *text;
};

struct verify_way;

struct verify {
	struct cli *cli;
	const struct config *config;
	size_t index;          /* of the stream */
	struct stream *stream; /* as the config has it */
	const struct verify_way *way;
	struct asker db; /* PostgreSQL's holds the check's lock from beginning to end */
	int abort_fd;
	char id[VERIFY_ID];
	char *pipeline;           /* of the check: GROUP/verify/ID */
	char *rows, *was, *found; /* its tables, quoted, with their schema; of a file: rows only */
	char *rows_name;          /* where the topic's rows go: a table, or a file of SQLite */
	char *folder;             /* of a file: all that the check has made */
	struct verify_column *columns;
	bool has_updated_at; /* the table has the merge's own column of that name */
	struct replay replay;
	struct bar bar;
	const char *sample; /* as it was given: "1%"; or NULL */
	uint64_t sampled;   /* keys whose hash's first 32 bits are below it; 2^32: all */

	/* All that the table can have was read: a row that the topic does not have is too many. */
	bool whole;
	/* Each key's first event was read: columns that take in all events can be judged. */
	bool from_first;
	/* A version from before what was read can be in the table. */
	bool may_be_newer;
	struct verify_note *notes;
	size_t nnotes;

	struct source *source; /* while it is read */
	struct replay_view view;
	/* what was found: rows */
	int64_t in_table, by_topic, differ, missing, extra, newer;
};

/* ---- verify_scope.c ---- */

/* The options --from, --since, --partition. */
struct verify_range {
	int64_t from;      /* -1: none */
	int64_t since_ms;  /* -1: none */
	int32_t partition; /* -1: all */
};
/* False with class CONFIG: an option is none. */
MUST_CHECK bool verify_read_range(const struct cli *cli, struct verify_range *range,
				  struct err *err);
/*
 * What is to be read, and judged: fills in v->replay, whole, from_first, notes and the columns. In
 * the transaction whose snapshot the table is kept in.
 */
/* "1%", "0.05%". False with class CONFIG. */
MUST_CHECK bool verify_read_sample(struct verify *v, const char *text, struct err *err);
/* Of struct origin. */
bool verify_wants(void *self, struct slice key);
MUST_CHECK bool verify_scope(struct verify *v, const struct verify_range *range, struct err *err);
/* The code and a sentence; a code is told once. */
void verify_note(struct verify *v, const char *code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* After the topic was read: whether some of it was refused that no dead letter names. */
MUST_CHECK bool verify_note_refused(struct verify *v, struct err *err);

/* ---- by the database ---- */

/* The steps of a check, in their order. What fails is told by err, unless it says otherwise. */
struct verify_way {
	/* a session, and what killed checks have left goes; an id, and what says: under way */
	bool (*begin)(struct verify *v, struct err *err);
	/* within asker_begin_reading(), once it is known what can be judged: keeps the table */
	bool (*keep_table)(struct verify *v, struct err *err);
	/* where the topic's rows go to */
	bool (*make_rows)(struct verify *v, struct err *err);
	/* nothing has happened to it meanwhile */
	bool (*is_sound)(struct verify *v);
	bool (*compare)(struct verify *v, struct err *err); /* fills in the counts */
	struct answer *(*list)(struct verify *v, size_t limit, struct err *err);
	struct answer *(*origins)(struct verify *v, size_t limit, struct err *err);
	/* all of this check goes, whatever became of it */
	bool (*end)(struct verify *v, struct err *err);
};
extern const struct verify_way verify_on_pg, verify_on_file;

/*
 * The first rows that were found: a row for each column that differs, and one for each row that is
 * missing or too many: its place in the list, kind, whether the table has it as it was, column,
 * value in the table, value by the topic; then the key's columns.
 */
static inline struct answer *verify_list(struct verify *v, size_t limit, struct err *err)
{
	return v->way->list(v, limit, err);
}

/*
 * The same rows: place in the list, key as it stands in a row of COPY BINARY, in hexadecimal, and
 * the part of the log that the topic's row came from: topic, partition, from, to; null: not known.
 */
static inline struct answer *verify_origins(struct verify *v, size_t limit, struct err *err)
{
	return v->way->origins(v, limit, err);
}

/* What the table's columns are like. False with class CONFIG: one is not there. */
MUST_CHECK bool verify_look_at_table(struct verify *v, struct err *err);
/* Appends that key of a row called prefix, in hexadecimal, as an expression. */
void verify_put_key_hex(const struct verify *v, const char *prefix, struct buf *out);
/* The bytes of what that gave, new; nothing for NULL. */
void verify_take_bytes(const char *hex, uint8_t **bytes, size_t *len);
/* "1a2b3c4d", and a pipeline of that name: v->id, v->pipeline. */
MUST_CHECK bool verify_choose_id(struct verify *v, struct err *err);
/* The counts, in the order of the columns. */
MUST_CHECK bool verify_count(struct verify *v, const char *sql, struct err *err);

/* PostgreSQL's, verify_clean.c: its begin and end. */
MUST_CHECK bool verify_pg_begin(struct verify *v, struct err *err);
MUST_CHECK bool verify_pg_end(struct verify *v, struct err *err);
/* A file's, verify_file.c: "memingest_text(kind, zone, prefix.column)", memingest_key() in hex. */
void verify_file_put_text(struct buf *out, const char *prefix, const struct column *c);
void verify_file_put_key_hex(const struct table *t, const char *prefix, struct buf *out);

void verify_free(struct verify *v); /* what it holds, with its session */

/* ---- verify_explain.c ---- */

/* Of one row of the list. */
struct explained {
	uint8_t *key; /* as it stands in a row of COPY BINARY */
	size_t key_len;
	int64_t events; /* that were found of it */
	bool spread;    /* over several partitions: which came last is not known */
	char topic[250];
	int32_t partition;
	int64_t offset, timestamp_ms;
	enum record_op op;
};
/* n rows; the caller's, with explained_free(). NULL: an error. */
struct explained *verify_explain(struct verify *v, size_t n, struct err *err);
void explained_free(struct explained *all, size_t n);

/* ---- verify_show.c ---- */

/* Returns the exit code. */
int verify_show(struct verify *v);
enum { VERIFY_TIME = 32 };
/* A time of Kafka's, UTC, to the millisecond; the text stands in out. */
const char *verify_time(int64_t ms, char out[VERIFY_TIME]);

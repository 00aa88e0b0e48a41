/* rows.h - a stream's rows into its table in SQLite: its statements, and whose fault a refusal is.
 */
#pragma once

#include "core/batch.h"
#include "core/guard.h"
#include "core/stream.h"
#include "sqlite/db.h"
#include "sqlite/tablesql.h"

/* What a session knows of a stream's table. */
struct rows {
	const struct stream *stream;
	struct tablesql *sql;
	struct guard guard; /* of what SQLite refused */
	/* NULL: not prepared yet; they are the session's */
	sqlite3_stmt *find, *insert, *update, *delete;
	struct buf scratch;
	struct slice *fields; /* of the row at hand */
	uint64_t deleted;     /* rows of this transaction */
	int64_t now_us;       /* its time: of its rows, and of its line in memingest_batches */
};

void rows_open(struct rows *r, const struct stream *stream);
void rows_close(struct rows *r);
/* The statements went with their session. */
void rows_session_lost(struct rows *r);

enum rows_result {
	ROWS_DONE,    /* every row was applied; counts are with the spans */
	ROWS_REFUSED, /* some by their own fault: roll back, and have their messages read again */
	ROWS_FAILED,  /* err and db->trouble say why; roll back */
};
/* All of the batch's arranged rows, within the caller's transaction. peer: a witness, or NULL. */
enum rows_result rows_write(struct rows *r, struct db *db, const struct config *config,
			    struct batch *b, const struct batch *peer, struct err *err);
/* COMMIT refused what its only event has done: a constraint that is deferred. */
MUST_CHECK bool rows_refuse_only(struct rows *r, const struct config *config, struct batch *b,
				 const struct err *why, struct err *err);

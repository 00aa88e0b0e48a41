/*
 * accounts.h - the bookkeeping in a SQLite file: where partitions stand, batches, dead letters.
 *
 * The functions run within the caller's transaction, but for those that say otherwise.
 */
#pragma once

#include "core/batch.h"
#include "core/config.h"
#include "sqlite/db.h"
#include "write/store.h"

enum account_statement { ACCOUNT_SWAP, ACCOUNT_ROW, ACCOUNT_BATCH, ACCOUNT_DEAD, ACCOUNT_COUNT };

struct accounts {
	struct db *db;
	const char *pipeline;
	char owner[128];
	sqlite3_stmt *statements[ACCOUNT_COUNT];
};

/* Prepares the statements. False: the tables are not as they should be: "migrate". */
MUST_CHECK bool accounts_open(struct accounts *k, struct db *db, const char *pipeline,
			      struct err *err);

/* From span's "from" to "upto", if the row is as expected and ours. *moved: it was. */
MUST_CHECK bool accounts_swap(struct accounts *k, const struct span *span, bool *moved,
			      struct err *err);
/*
 * The span's row of memingest_batches; nothing for a span without offsets. now_us is that of the
 * transaction's rows, by which "why" and "verify" find the batch of a row.
 */
MUST_CHECK bool accounts_add_batch(struct accounts *k, const struct span *span, int64_t now_us,
				   struct err *err);
MUST_CHECK bool accounts_add_dead(struct accounts *k, const char *stream, const struct span *span,
				  const struct dead_letter *d, struct err *err);

/* What the row of memingest_offsets says. */
struct accounts_row {
	bool there;
	int64_t next_offset, owner_epoch;
	char owner[128], topic_id[40];
};
MUST_CHECK bool accounts_read(struct accounts *k, const char *topic, int32_t partition,
			      struct accounts_row *row, struct err *err);

/* Transactions of their own. See store.h. */
MUST_CHECK bool accounts_claim(struct accounts *k, struct sink_claim *c, struct err *err);
MUST_CHECK bool accounts_tell_halt(struct accounts *k, const struct sink_claim *c, const char *why,
				   struct err *err);
MUST_CHECK bool accounts_prune(struct accounts *k, int64_t older_than_us, bool *more,
			       struct err *err);
/* Of the caller's: a pipeline's first claim on a topic says where all of its partitions start. */
MUST_CHECK bool accounts_add_starts(struct accounts *k, const struct sink_claim *c,
				    struct err *err);
/* The topic is read from 0 on; its batches go, and its dead letters unless they are to be kept. */
MUST_CHECK bool accounts_forget(struct accounts *k, const char *topic, bool keep_dead,
				struct err *err);

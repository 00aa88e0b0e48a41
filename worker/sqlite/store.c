/*
 * store.c - a lane's store in a SQLite file: the session, and the transaction.
 *
 *   BEGIN IMMEDIATE
 *   UPDATE memingest_offsets ... WHERE next_offset = from AND owner_epoch = mine     the swap
 *   the rows, one by one                             rows.c
 *   INSERT INTO memingest_dead_letters               if there are any
 *   INSERT INTO memingest_batches
 *   COMMIT                                           flushed to the disk
 *
 * The session is a connection (db.c). Before the first one comes the lock that says who writes
 * (writer.c), which stays with the process. A process that waits for it stands by: its worker is
 * not in the group (flow/pipeline.c), whose partitions it could not serve.
 *
 * What can go wrong, and what happens then:
 *
 *   swap finds another state     the span was committed already, or is fenced: decide_spans()
 *   a row is refused             rows.c: an event's fault makes it a dead letter, the rest lands;
 *                                the table's stops the stream until it is mended
 *   COMMIT is refused by rows    a constraint that is deferred: the batch is halved until the
 *                                culprit is alone
 *   a lock, a full disk          rolled back; the lane tries again
 *   the file can not be read,    rolled back as far as that can be, the session is opened anew
 *   or written, or is damaged
 *   another file is in its       noticed before the next batch: opened anew; where that one stands
 *   place, or none               at other offsets, the swap finds it, and partitions are claimed
 *                                anew
 *
 * A COMMIT that failed at the disk may have happened all the same: commit_sent says so, and the
 * next swap finds out.
 *
 * Thread: the lane's, but for phase().
 */
#include "sqlite/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/stats.h"
#include "core/arrange.h"
#include "core/stream.h"
#include "sqlite/accounts.h"
#include "sqlite/rows.h"
#include "sqlite/writer.h"

#define PATIENCE_US (5 * US_PER_S)
#define HURRY_US (200 * US_PER_MS)
#define STAND_BY_US (250 * US_PER_MS) /* between two looks at a lock that another process has */

struct file {
	struct store base;
	const struct config *config;
	int abort_fd;
	int writer; /* the lock's descriptor, or -1 */
	struct db db;
	struct accounts accounts;
	struct rows *streams;
	size_t nstreams;
	_Atomic(const char *) phase; /* for people who watch: a literal */
};

static struct store *create(const struct store_setup *setup)
{
	struct file *f = xcalloc(1, sizeof(*f));
	f->base.class = &store_sqlite;
	f->config = setup->config;
	f->abort_fd = setup->abort_fd;
	f->writer = -1;
	f->phase = "claim";
	f->nstreams = setup->nstreams;
	f->streams = xcalloc(setup->nstreams, sizeof(*f->streams));
	for (size_t i = 0; i < setup->nstreams; i++)
		rows_open(&f->streams[i], setup->streams[i]);
	return &f->base;
}

static struct file *file_of(const struct store *s)
{
	return (struct file *)(uintptr_t)s;
}

/* --- the session --- */

static void close_session(struct store *s)
{
	struct file *f = file_of(s);
	for (size_t i = 0; i < f->nstreams; i++)
		rows_session_lost(&f->streams[i]);
	db_close(&f->db);
}

static void destroy(struct store *s)
{
	struct file *f = file_of(s);
	close_session(s);
	writer_unlock(f->writer);
	for (size_t i = 0; i < f->nstreams; i++)
		rows_close(&f->streams[i]);
	free(f->streams);
	free(f);
}

/*
 * It is kept until the process ends, as what is wrong with the file is so for whoever writes it;
 * but a link that leads to another file now leads to another lock. told: the log says already that
 * another process has it.
 */
static bool be_the_writer(struct file *f, bool told, int64_t *due_us, struct err *err)
{
	if (writer_holds(f->writer, f->config->sqlite_path))
		return true;
	writer_unlock(f->writer);
	f->writer = writer_lock(f->config->sqlite_path, err);
	if (f->writer >= 0 && told)
		log_info("taking over: this process writes the file from now on");
	if (f->writer >= 0)
		return true;
	if (err->class != ERR_RETRY)
		return false;
	if (!told)
		log_warn("standing by: this process goes on when the other one has ended",
			 F_STR("because", err->text));
	f->base.stands_by = true;
	*due_us = clock_mono_us() + STAND_BY_US;
	return false;
}

/* The file has to be there before its lock is made beside it. */
static bool open_session(struct store *s, int64_t *due_us, struct err *err)
{
	struct file *f = file_of(s);
	bool told = s->stands_by;
	*due_us = 0;
	s->stands_by = false;
	err_clear(err);
	bool ok = db_open(&f->db, f->config->sqlite_path, DB_EXISTING, f->abort_fd, err) &&
		  db_may_write(&f->db, err) && be_the_writer(f, told, due_us, err) &&
		  accounts_open(&f->accounts, &f->db, f->config->group_id, err);
	if (!ok)
		close_session(s);
	return ok;
}

/* A file that is not in its place any more would take rows that nobody finds. */
static bool alive(struct store *s)
{
	struct file *f = file_of(s);
	if (!f->db.handle)
		return false;
	bool in_place = db_in_place(&f->db);
	if (!in_place)
		log_warn("the file was moved away, or another one put in its place: it is opened "
			 "anew",
			 F_STR("path", f->config->sqlite_path));
	return in_place;
}

static enum store_trouble trouble(const struct store *s, const struct err *err)
{
	(void)err;
	switch (file_of(s)->db.trouble) {
	case DB_SESSION:
		return STORE_SESSION;
	case DB_FULL:
	case DB_TABLE:
		return STORE_SLOWLY;
	case DB_NONE:
	case DB_EVENT:
	case DB_EITHER:
	case DB_WAIT:
		break;
	}
	return STORE_BATCH;
}

/* --- spans --- */

static bool is_open(const struct span *span)
{
	return span->result == SPAN_OPEN;
}

/* *moved: all of them. A row that is not as expected ends it. */
static bool swap(struct file *f, struct batch *b, bool *moved, struct err *err)
{
	*moved = true;
	for (size_t i = 0; i < b->nspans && *moved; i++)
		if (is_open(&b->spans[i]) && !accounts_swap(&f->accounts, &b->spans[i], moved, err))
			return false;
	return true;
}

/* What a transaction wrote whose COMMIT seemed to fail: its own row says it. */
static bool read_written(struct file *f, struct span *span, struct err *err)
{
	sqlite3_stmt *stmt =
		db_prepare(&f->db,
			   "SELECT merged FROM memingest_batches WHERE pipeline = ?1 AND"
			   " topic = ?2 AND partition = ?3 AND from_offset = ?4",
			   err);
	bool row = false;
	if (!stmt)
		return false;
	sqlite3_bind_text(stmt, 1, f->config->group_id, -1, SQLITE_STATIC);
	sqlite3_bind_text(stmt, 2, span->topic, -1, SQLITE_STATIC);
	sqlite3_bind_int(stmt, 3, span->partition);
	sqlite3_bind_int64(stmt, 4, span->from);
	bool ok = db_row(&f->db, stmt, &row, err);
	if (row)
		span->now.written = (uint64_t)sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	return ok;
}

/* After a swap that missed; as write/fence.c does it. The lock for writing is held. */
static bool decide_spans(struct file *f, struct batch *b, struct err *err)
{
	size_t committed = 0, fenced = 0;
	for (size_t i = 0; i < b->nspans; i++) {
		struct span *span = &b->spans[i];
		struct accounts_row row;
		if (!is_open(span))
			continue;
		if (!accounts_read(&f->accounts, span->topic, span->partition, &row, err))
			return false;
		bool mine = row.there && row.owner_epoch == span->owner_epoch;
		if (mine && row.next_offset == span->from)
			continue;
		if (mine && b->commit_sent && row.next_offset == span->upto) {
			if (!read_written(f, span, err))
				return false;
			committed++;
		} else {
			span_fence(span, row.there ? row.owner : NULL, row.next_offset,
				   row.owner_epoch);
			fenced++;
		}
	}
	if (b->commit_sent)
		stats_add(METRIC_COMMIT_AMBIGUOUS, 0, 0, 1);
	b->commit_sent = false;
	if (committed + fenced == 0) {
		f->db.trouble = DB_WAIT;
		return err_set(err, ERR_RETRY,
			       "the offsets rows changed while they were looked at");
	}
	/* One transaction: of the spans that are still ours it committed all or none. */
	return committed == 0 || (batch_committed(b), true);
}

/* --- the transaction --- */

/* Of this transaction, and not written by an earlier one of the batch. */
static bool write_dead(struct file *f, const struct batch *b, struct err *err)
{
	for (size_t i = 0; i < b->ndead; i++) {
		const struct dead_letter *d = &b->dead[i];
		const struct span *span = &b->spans[d->span];
		if (!is_open(span) || d->written || d->offset >= span->upto)
			continue;
		if (accounts_add_dead(&f->accounts, b->stream->config->name, span, d, err))
			continue;
		stats_add(METRIC_DEAD_LETTER_FAILURES, b->stream->index, 0, 1);
		return err_wrap(err, "dead letters");
	}
	return true;
}

static bool write_books(struct file *f, const struct batch *b, struct err *err)
{
	int64_t now_us = f->streams[b->stream->index].now_us;
	f->phase = "dead letters";
	if (!write_dead(f, b, err))
		return false;
	for (size_t i = 0; i < b->nspans; i++)
		if (is_open(&b->spans[i]) &&
		    !accounts_add_batch(&f->accounts, &b->spans[i], now_us, err))
			return false;
	return true;
}

/* A disk that fails here leaves it open whether it was committed. */
static bool commit(struct file *f, struct batch *b, struct err *err)
{
	int64_t start = clock_mono_us();
	f->phase = "commit";
	if (FAIL_POINT_ERR("before_commit", err)) {
		f->db.trouble = DB_SESSION;
		return false;
	}
	b->commit_sent = true;
	if (!db_exec(&f->db, "COMMIT", err))
		return err_wrap(err, "commit");
	if (FAIL_POINT_ERR("after_commit", err)) {
		f->db.trouble = DB_SESSION;
		return false;
	}
	stats_observe(METRIC_COMMIT_SECONDS, 0, clock_mono_us() - start);
	stats_add(METRIC_BUSY_SECONDS, STAGE_COMMIT, 0, clock_mono_us() - start);
	return true;
}

/* Only now anything counts: what is not committed will come again. */
static enum sink_result committed(struct file *f, struct batch *b, int64_t start_us)
{
	struct rows *r = &f->streams[b->stream->index];
	uint64_t written = 0;
	for (size_t i = 0; i < b->nspans; i++)
		written += b->spans[i].now.written;
	stats_add(METRIC_ROWS_WRITTEN, b->stream->index, OP_DELETE, (int64_t)r->deleted);
	stats_add(METRIC_ROWS_WRITTEN, b->stream->index, OP_UPSERT,
		  (int64_t)(written - r->deleted));
	guard_count(&r->guard, f->config, b->limit - b->first, batch_refused(b));
	stats_observe(METRIC_TRANSACTION_SECONDS, b->stream->index, clock_mono_us() - start_us);
	return batch_committed(b) ? SINK_DONE : SINK_AGAIN;
}

/* Rolls back, so that only what is decided stays. */
static enum sink_result failed(struct file *f, struct batch *b)
{
	batch_forgive(b);
	db_rollback(&f->db);
	return SINK_FAILED;
}

/* COMMIT was refused by rows: the half that holds the culprit gets smaller until it is alone. */
static enum sink_result commit_refused(struct file *f, struct batch *b, struct err *err)
{
	struct err why = *err;
	b->commit_sent = false;
	batch_forgive(b);
	db_rollback(&f->db);
	if (b->limit - b->first > 1) {
		batch_cut(b, b->first + (b->limit - b->first) / 2);
		return SINK_AGAIN;
	}
	if (b->limit == b->first ||
	    !rows_refuse_only(&f->streams[b->stream->index], f->config, b, &why, err)) {
		f->db.trouble = DB_TABLE;
		err->class = ERR_CONFIG;
		return SINK_FAILED;
	}
	err_clear(err);
	return SINK_READ;
}

/* Rows, books, COMMIT, once the swap has moved what it should. */
static enum sink_result write_swapped(struct file *f, struct batch *b, const struct batch *peer,
				      int64_t start_us, struct err *err)
{
	int64_t rows_us = clock_mono_us();
	f->phase = "merge";
	switch (rows_write(&f->streams[b->stream->index], &f->db, f->config, b, peer, err)) {
	case ROWS_DONE:
		break;
	case ROWS_REFUSED:
		db_rollback(&f->db);
		err_clear(err);
		return SINK_READ;
	case ROWS_FAILED:
		return failed(f, b);
	}
	stats_observe(METRIC_MERGE_SECONDS, b->stream->index, clock_mono_us() - rows_us);
	stats_add(METRIC_BUSY_SECONDS, STAGE_MERGE, 0, clock_mono_us() - rows_us);
	if (!write_books(f, b, err))
		return failed(f, b);
	if (commit(f, b, err))
		return committed(f, b, start_us);
	return f->db.trouble == DB_EVENT ? commit_refused(f, b, err) : failed(f, b);
}

static bool any_open(struct batch *b)
{
	bool any = false;
	for (size_t i = 0; i < b->nspans; i++) {
		b->spans[i].now.written = 0;
		any |= is_open(&b->spans[i]);
	}
	return any;
}

static enum sink_result write_batch(struct store *s, struct batch *b, const struct sink_try *how,
				    struct err *err)
{
	struct file *f = file_of(s);
	int64_t start_us = clock_mono_us();
	bool moved = false;
	err_clear(err);
	f->db.trouble = DB_NONE;
	f->db.patience_us = how->hurry ? HURRY_US : PATIENCE_US;
	if (b->nburied < b->nrefused && b->limit <= b->first)
		return SINK_READ;
	f->phase = "begin";
	arrange_in_order(b);
	if (!any_open(b))
		return SINK_DONE;
	if (!db_exec(&f->db, "BEGIN IMMEDIATE", err) || !swap(f, b, &moved, err))
		return failed(f, b);
	if (moved)
		return write_swapped(f, b, how->peer, start_us, err);
	bool decided = decide_spans(f, b, err);
	db_rollback(&f->db);
	return decided ? SINK_AGAIN : SINK_FAILED;
}

/* Nothing is arranged ahead: there is no server to wait for. */
static void prepare(struct store *s, struct batch *next)
{
	(void)s;
	(void)next;
}

static const char *phase(const struct store *s)
{
	return file_of(s)->phase;
}

/* --- the rest --- */

static bool claim(struct store *s, struct sink_claim *c, struct err *err)
{
	struct file *f = file_of(s);
	f->phase = "claim";
	f->db.trouble = DB_NONE;
	f->db.patience_us = PATIENCE_US;
	return accounts_claim(&f->accounts, c, err);
}

static bool tell_halt(struct store *s, const struct sink_claim *c, const char *why, struct err *err)
{
	struct file *f = file_of(s);
	f->phase = "claim";
	f->db.trouble = DB_NONE;
	f->db.patience_us = HURRY_US;
	return accounts_tell_halt(&f->accounts, c, why, err);
}

static bool prune(struct store *s, bool *more, struct err *err)
{
	struct file *f = file_of(s);
	int64_t retention_us = f->config->batch_retention_us;
	*more = false;
	f->db.trouble = DB_NONE;
	f->db.patience_us = HURRY_US;
	return retention_us == 0 ||
	       accounts_prune(&f->accounts, clock_wall_us() - retention_us, more, err);
}

const struct store_class store_sqlite = {
	.name = "SQLite",
	.one_writer = true,
	.create = create,
	.destroy = destroy,
	.open = open_session,
	.close = close_session,
	.alive = alive,
	.trouble = trouble,
	.write = write_batch,
	.prepare = prepare,
	.phase = phase,
	.claim = claim,
	.tell_halt = tell_halt,
	.prune = prune,
};

const char *sqlite_library_version(void)
{
	return sqlite3_libversion();
}

bool sqlite_forget(const struct config *config, const char *topic, bool keep_dead, struct err *err)
{
	struct db db;
	struct accounts accounts;
	if (!db_open(&db, config->sqlite_path, DB_EXISTING, -1, err))
		return false;
	bool ok = accounts_open(&accounts, &db, config->group_id, err) &&
		  accounts_forget(&accounts, topic, keep_dead, err);
	db_close(&db);
	return ok;
}

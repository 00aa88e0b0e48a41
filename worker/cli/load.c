/*
 * load.c - what "load" does beside running the pipeline.
 *
 *   load_try()        records --> decode --> counted         nothing is written
 *   load_forget()     the rows of the file's topic in memingest.offsets, .batches, .dead_letters
 *   load_from_now()   rows of the stream's topics in memingest.offsets, as a first claim writes
 * them
 *
 * Thread: the command's. Failure: of a record, it is told and counted; transactions are all or
 * nothing.
 */
#include "cli/load.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/positions.h"
#include "codec/decode.h"
#include "codec/plan.h"
#include "file/records.h"
#include "sqlite/accounts.h"
#include "write/sink.h"

enum { TELL_FAULTS = 10, LOOK_EVERY = 1000 };

/* ---- a trial ---- */

struct trial {
	struct load_trial *t;
	const struct stream_config *config;
	struct records *records;
	struct plan *plan;
	struct decoder *decoder;
	struct buf row;
};

static void tell_fault(struct load_trial *t, const struct err *why)
{
	if (t->told < TELL_FAULTS)
		fprintf(stderr, "%s\n", why->text);
	if (t->told == TELL_FAULTS)
		fprintf(stderr, "... and more\n");
	t->told++;
}

/* What flow/intake.c makes of it. False: the load would halt there. */
static bool count_datum(struct trial *x, struct slice datum, struct err *err)
{
	struct record record = {0};
	struct err why = {0};
	enum other_types other = x->config->other_types;
	x->row.len = 0;
	if (decode_record(x->decoder, x->plan, datum, &x->row, &record, &why)) {
		x->t->upserts += record.op == RECORD_UPSERT;
		x->t->deletes += record.op == RECORD_DELETE;
		return true;
	}
	if (record.other && other == OTHER_SKIP) {
		x->t->skipped++;
		return true;
	}
	records_blame(x->records, &why);
	if (record.other ? other == OTHER_HALT : why.class != ERR_POISON) {
		*err = why;
		err->class = ERR_CONFIG;
		return err_wrap(err, "the load would halt here");
	}
	tell_fault(x->t, &why);
	x->t->dead++;
	return true;
}

/* False: nothing comes behind it. */
static bool try_next(struct trial *x, struct err *err)
{
	struct slice datum;
	struct err bad = {0};
	switch (records_next(x->records, &datum, &bad)) {
	case RECORDS_RECORD:
		x->t->records++;
		return count_datum(x, datum, err);
	case RECORDS_BAD:
		x->t->records++;
		x->t->dead++;
		tell_fault(x->t, &bad);
		return true;
	case RECORDS_END:
		return false;
	case RECORDS_BROKEN:
		break;
	}
	if (bad.class == ERR_POISON) {
		x->t->damaged = true;
		tell_fault(x->t, &bad);
	} else if (bad.class != ERR_RETRY) { /* a signal: going() knows */
		*err = bad;
	}
	return false;
}

static bool try_file(struct trial *x, const struct files *files, const struct file *file,
		     bool (*going)(void), struct err *err)
{
	bool ok = files_begin(files, file, &x->records, &x->plan, err);
	for (uint64_t n = 0; ok && (n % LOOK_EVERY != 0 || going()); n++)
		if (!try_next(x, err))
			break;
	if (x->records)
		x->t->bytes += records_read(x->records);
	plan_free(x->plan);
	records_close(x->records);
	return ok && err->class == ERR_NONE;
}

bool load_try(const struct files *files, bool (*going)(void), struct load_trial *t, struct err *err)
{
	struct trial x = {.t = t,
			  .config = files->stream->config,
			  .decoder = decoder_new(&files->config->limits)};
	bool ok = true;
	err_clear(err);
	for (size_t i = 0; ok && i < files->n && going(); i++)
		ok = try_file(&x, files, &files->all[i], going, err);
	decoder_free(x.decoder);
	buf_free(&x.row);
	return ok;
}

/* ---- anew ---- */

/* The rows stay: a load that is under way, and is fenced, says what it found. */
bool load_forget(struct pg *pg, const struct config *config, const struct file *file,
		 struct err *err)
{
	static const char *const texts[] = {
		"UPDATE memingest.offsets SET next_offset = 0, topic_id = NULL, halted_at = NULL,"
		" owner_epoch = owner_epoch + 1, updated_at = now()"
		" WHERE pipeline = $1 AND topic = $2",
		"DELETE FROM memingest.batches WHERE pipeline = $1 AND topic = $2",
		"DELETE FROM memingest.dead_letters WHERE pipeline = $1 AND topic = $2"
		" AND replayed_at IS NULL",
	};
	const char *params[] = {config->group_id, file->topic};
	/* what a pipe brought will not come again */
	size_t n = file->pipe ? ARRAY_LEN(texts) - 1 : ARRAY_LEN(texts);
	bool ok = pg_exec(pg, "BEGIN", NULL, 0, err);
	for (size_t i = 0; ok && i < n; i++) {
		struct pg_rows *rows = pg_query(pg, texts[i], params, 2, err);
		ok = rows != NULL;
		pg_rows_free(rows);
	}
	return (ok && pg_exec(pg, "COMMIT", NULL, 0, err)) || err_wrap(err, "%s", file->path);
}

/* ---- the topics ---- */

/* No worker has begun with it, and its end is known. */
static bool is_new(const struct position *p, struct err *err)
{
	if (p->known)
		return err_set(err, ERR_CONFIG,
			       "topic %s is consumed already (partition %d at offset %" PRId64
			       "): --from-now is for the first load only",
			       p->topic, p->partition, p->next_offset);
	return p->answered || err_set(err, ERR_RETRY, "Kafka did not say where %s [%d] ends",
				      p->topic, p->partition);
}

/* In the transaction that is open. */
static bool write_starts(struct asker *a, const struct config *config, const struct position *first,
			 const int64_t *ends, int32_t n, struct err *err)
{
	const struct sink_claim claim = {.topic = first->topic,
					 .topic_id = first->kafka_topic_id,
					 .starts = ends,
					 .nstarts = n};
	struct accounts books;
	if (a->pg)
		return claim_starts(a->pg, config->group_id, first->topic, ends, n,
				    first->kafka_topic_id, err);
	return accounts_open(&books, &a->file, config->group_id, err) &&
	       accounts_add_starts(&books, &claim, err);
}

/* All partitions of the topic of position i, which follow it. Returns where the next topic is. */
static size_t start_topic(struct asker *a, const struct config *config, const struct positions *ps,
			  size_t i, bool *ok, struct err *err)
{
	const struct position *first = &ps->all[i];
	int64_t *ends = NULL;
	size_t n = 0;
	for (; *ok && i < ps->n && strcmp(ps->all[i].topic, first->topic) == 0; i++) {
		const struct position *p = &ps->all[i];
		*ok = is_new(p, err);
		ends = xrealloc(ends, (n + 1) * sizeof(*ends));
		ends[n++] = p->high;
	}
	*ok = *ok && write_starts(a, config, first, ends, (int32_t)n, err);
	free(ends);
	return i;
}

bool load_from_now(struct asker *a, const struct config *config, size_t stream, struct err *err)
{
	struct positions ps = {0};
	size_t topics = 0;
	bool ok = positions_read(a, config, NULL, &ps, err) &&
		  positions_ask(config, NULL, -1, &ps, err) && asker_begin(a, err);
	for (size_t i = 0; ok && i < ps.n;) {
		if (stream_of_topic(config, ps.all[i].topic) != stream) {
			i++;
			continue;
		}
		i = start_topic(a, config, &ps, i, &ok, err);
		topics++;
	}
	if (ok && topics == 0)
		ok = err_set(err, ERR_CONFIG,
			     "stream %s has no topic in Kafka yet: --from-now has "
			     "nothing to write down",
			     config->streams[stream].name);
	ok = ok && asker_commit(a, err);
	positions_free(&ps);
	return ok;
}

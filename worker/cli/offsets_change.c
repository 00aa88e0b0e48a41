/*
 * offsets_change.c - moves partitions on an operator's word, so that the books stay true.
 *
 *   rewind       next_offset goes back to N. Rows of memingest.batches from N on are deleted, since
 *                those events will be counted again, and one that reaches over N ends there, so
 *                that the ranges still tile (its counters stay those of its transaction). Dead
 *                letters from N on that were not replayed are withdrawn: the events come again, and
 *                an event ends in one place. Gaps from N on are withdrawn or cut likewise.
 *   accept-gap   [next_offset, N) becomes a row of memingest.gaps and next_offset moves to N: the
 *                message at N is the first that comes. So one offset alone is N = next_offset + 1.
 *   adopt-topic  per partition: a gap of unknown length at the old next_offset; the old log's
 *                batches are forgotten, since the new log counts from zero; topic_id and
 *                next_offset (the low watermark) become those of the new log, and what lies below
 *                that is a gap, too. Dead letters of the old topic stay. A partition that the new
 *                topic lacks loses its row. A topic that is the one that was consumed is refused:
 *                by its id where both are known (librdkafka 2.3 and later), else where every
 *                next_offset lies within its log, unless a reason is given.
 *
 * A row "from = to" in memingest.gaps marks where the log was exchanged; older gaps belong to the
 * old log and are never touched.
 *
 * Transaction: offsets rows are locked first, in the order in which workers lock them; locking
 * waits for a batch in flight. Only then is anything else read, by statements of their own: they
 * see what that batch has committed. What the plan was made for must still hold (for rewind: the
 * target lies behind; else: next_offset has not moved). No lock is held while a person thinks.
 */
#include "cli/offsets_change.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- plan --- */

static bool nonsense(struct err *err, const struct position *p, const char *what)
{
	return err_set(err, ERR_POISON, "%s [%d]: %s", p->topic, p->partition, what);
}

/* The epoch is what the transaction will compare with. */
static void add_change(struct offsets_plan *plan, const struct position *p, int64_t to, bool gone)
{
	plan->changes = xrealloc(plan->changes, (plan->n + 1) * sizeof(*plan->changes));
	plan->changes[plan->n++] = (struct offsets_change){.position = p,
							   .to = to,
							   .gone = gone,
							   .before = p->next_offset,
							   .epoch = p->owner_epoch};
}

/* Only where both ids are known. */
static bool recreated(const struct position *p)
{
	return p->topic_id[0] && p->kafka_topic_id[0] &&
	       strcmp(p->topic_id, p->kafka_topic_id) != 0;
}

/* Back only, and not below where the log begins. */
static bool plan_rewind(struct offsets_plan *plan, const struct position *p, struct err *err)
{
	int64_t to = p->low;
	if (plan->request.to == TO_OFFSET)
		to = plan->request.to_value;
	else if (plan->request.to == TO_TIME)
		to = p->at;
	if (recreated(p))
		return nonsense(err, p, "the topic was created anew: use adopt-topic");
	if (to < p->low)
		return err_set(err, ERR_POISON,
			       "%s [%d]: offset %" PRId64
			       " is gone: Kafka's log begins at %" PRId64,
			       p->topic, p->partition, to, p->low);
	if (to > p->high)
		return err_set(err, ERR_POISON,
			       "%s [%d]: offset %" PRId64
			       " does not exist: Kafka's log ends at %" PRId64,
			       p->topic, p->partition, to, p->high);
	if (to > p->next_offset && plan->request.to == TO_OFFSET)
		return err_set(err, ERR_POISON,
			       "%s [%d]: next_offset is %" PRId64
			       ": rewind only goes back; to skip events use accept-gap",
			       p->topic, p->partition, p->next_offset);
	/* To where it stands, if that is said: the epoch rises, which lets a doubted partition go
	 * on. */
	if (to < p->next_offset || plan->request.to == TO_OFFSET)
		add_change(plan, p, to, false);
	return true;
}

/* With the way to give up one event, if there is one. */
static bool no_gap(const struct position *p, struct err *err)
{
	char hint[128] = "";
	if (p->next_offset < p->high)
		snprintf(hint, sizeof(hint),
			 "; --to is where to go on: --to %" PRId64
			 " gives up the one offset %" PRId64,
			 p->next_offset + 1, p->next_offset);
	return err_set(err, ERR_POISON,
		       "%s [%d]: no gap: next_offset is %" PRId64
		       ", and Kafka's log begins at %" PRId64 "%s",
		       p->topic, p->partition, p->next_offset, p->low, hint);
}

/* Ahead only, and not past where the log ends. */
static bool plan_gap(struct offsets_plan *plan, const struct position *p, struct err *err)
{
	int64_t to = plan->request.to == TO_OFFSET ? plan->request.to_value : p->low;
	if (recreated(p))
		return nonsense(err, p, "the topic was created anew: use adopt-topic");
	if (to > p->high)
		return err_set(err, ERR_POISON,
			       "%s [%d]: offset %" PRId64
			       " does not exist: Kafka's log ends at %" PRId64,
			       p->topic, p->partition, to, p->high);
	if (to > p->next_offset)
		add_change(plan, p, to, false);
	else if (plan->request.partition >= 0)
		return no_gap(p, err);
	return true;
}

/* False where an id is not known: nothing is proven then. */
static bool same_topic(const struct position *p)
{
	return p->topic_id[0] && strcmp(p->topic_id, p->kafka_topic_id) == 0;
}

/*
 * Without ids: a log that ends before what was consumed of it, or has lost a partition, is another
 * one. All else may be the topic that was consumed; adopting that would read all of it again.
 */
static bool looks_new(const struct positions *positions)
{
	for (size_t i = 0; i < positions->n; i++) {
		const struct position *p = &positions->all[i];
		if (p->known && (recreated(p) || !p->answered || p->next_offset > p->high))
			return true;
	}
	return false;
}

/* Refused where it is, or seems to be, the topic that was consumed. */
static bool plan_adopt(struct offsets_plan *plan, const struct position *p,
		       const struct positions *positions, struct err *err)
{
	if (same_topic(p))
		return nonsense(err, p,
				"this is the topic that was consumed, it was not created anew");
	if (!plan->request.reason && !looks_new(positions))
		return err_set(err, ERR_POISON,
			       "%s [%d]: this seems to be the topic that was consumed: next_offset "
			       "%" PRId64 " lies within Kafka's log, %" PRId64 " to %" PRId64
			       "; topic ids are not known here, so if it was created anew all the "
			       "same, say so with --reason TEXT",
			       p->topic, p->partition, p->next_offset, p->low, p->high);
	add_change(plan, p, p->answered ? p->low : 0, !p->answered);
	return true;
}

static bool exists(const struct positions *positions)
{
	for (size_t i = 0; i < positions->n; i++)
		if (positions->all[i].answered)
			return true;
	return false;
}

/* What makes no sense for one partition makes none of the plan. */
static bool plan_one(struct offsets_plan *plan, const struct position *p,
		     const struct positions *positions, struct err *err)
{
	if (!exists(positions))
		return nonsense(err, p, "Kafka knows no such topic");
	if (plan->request.verb == OFFSETS_ADOPT)
		return plan_adopt(plan, p, positions, err);
	if (!p->answered)
		return nonsense(err, p, "Kafka knows no such partition");
	return plan->request.verb == OFFSETS_REWIND ? plan_rewind(plan, p, err)
						    : plan_gap(plan, p, err);
}

/* Partitions without a row have nothing to change. */
bool offsets_plan(const struct offsets_request *request, const struct positions *positions,
		  struct offsets_plan *plan, struct err *err)
{
	bool known = false;
	*plan = (struct offsets_plan){.request = *request};
	for (size_t i = 0; i < positions->n; i++) {
		const struct position *p = &positions->all[i];
		if (!p->known || (request->partition >= 0 && request->partition != p->partition))
			continue;
		known = true;
		if (!plan_one(plan, p, positions, err))
			return false;
	}
	if (!known)
		return err_set(
			err, ERR_POISON,
			"memingest.offsets has no row for that: nothing of it was ever consumed");
	return true;
}

/* Before it is done, or with what was done. */
void offsets_plan_print(const struct offsets_plan *plan, bool done)
{
	for (size_t i = 0; i < plan->n; i++) {
		const struct offsets_change *c = &plan->changes[i];
		const struct position *p = c->position;
		printf("%s [%d]: next_offset %" PRId64 " -> ", p->topic, p->partition, c->before);
		if (c->gone)
			printf("no row (the new topic has no such partition)");
		else
			printf("%" PRId64, c->to);
		if (plan->request.verb == OFFSETS_ACCEPT_GAP)
			printf(", %" PRId64 " offset%s given up (--to %" PRId64 ")",
			       c->to - c->before, c->to - c->before == 1 ? "" : "s", c->to);
		if (done && !c->gone)
			printf(", owner_epoch %" PRId64 " -> %" PRId64, c->epoch - 1, c->epoch);
		if (done && plan->request.verb != OFFSETS_ACCEPT_GAP)
			printf("; batches forgotten %" PRId64 ", cut %" PRId64
			       ", dead letters withdrawn %" PRId64 ", gaps withdrawn %" PRId64,
			       c->batches, c->cut, c->dead, c->gaps);
		puts("");
	}
}

static json_t *change_json(const struct offsets_change *c)
{
	const struct position *p = c->position;
	return json_pack("{s:s, s:i, s:I, s:o, s:I, s:I, s:I, s:I}", "topic", p->topic, "partition",
			 (int)p->partition, "from", (json_int_t)c->before, "to",
			 c->gone ? json_null() : json_integer(c->to), "batches_forgotten",
			 (json_int_t)c->batches, "batches_cut", (json_int_t)c->cut,
			 "dead_letters_withdrawn", (json_int_t)c->dead, "gaps_withdrawn",
			 (json_int_t)c->gaps);
}

void offsets_plan_print_json(const struct offsets_plan *plan, bool done)
{
	json_t *changes = json_array();
	for (size_t i = 0; i < plan->n; i++)
		json_array_append_new(changes, change_json(&plan->changes[i]));
	json_t *all = json_pack("{s:b, s:o}", "applied", done, "changes", changes);
	json_dumpf(all, stdout, JSON_INDENT(2));
	puts("");
	json_decref(all);
}

void offsets_plan_free(struct offsets_plan *plan)
{
	free(plan->changes);
	*plan = (struct offsets_plan){0};
}

/* --- apply --- */

/* One change under way: its key as text for parameters $1 to $3. */
struct applying {
	struct asker *asker;
	const char *pipeline, *topic;
	char partition[12];
	const char *who, *reason;
};

#define HERE " WHERE pipeline = $1 AND topic = $2 AND partition = $3"
/* Of the log that is there now, see above. */
#define THIS_LOG(books, past)                                                                      \
	" AND created_at > coalesce((SELECT max(created_at) FROM " books "gaps" HERE               \
	" AND from_offset = to_offset), " past ")"

/* The statements, in the words of both databases: see asker.h. */
#define LOCK(books) "SELECT next_offset, owner_epoch FROM " books "offsets" HERE
#define MOVE(books, past)                                                                          \
	"UPDATE " books "offsets SET next_offset = $4, owner_epoch = owner_epoch + 1,"             \
	" owner = $5, leader_epoch = NULL, updated_at = now()" HERE
#define ADD_GAP(books, past)                                                                       \
	"INSERT INTO " books "gaps (pipeline, topic, partition, from_offset, to_offset, reason,"   \
	" declared_by, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, clock_timestamp())"
#define FORGET_BATCHES(books, past) "DELETE FROM " books "batches" HERE " AND from_offset >= $4"
#define CUT_BATCHES(books, past)                                                                   \
	"UPDATE " books "batches SET to_offset = $4" HERE " AND to_offset > $4"
#define WITHDRAW_LETTERS(books, past)                                                              \
	"DELETE FROM " books "dead_letters" HERE                                                   \
	" AND \"offset\" >= $4 AND replayed_at IS NULL" THIS_LOG(books, past)
#define WITHDRAW_GAPS(books, past)                                                                 \
	"DELETE FROM " books "gaps" HERE " AND from_offset >= $4" THIS_LOG(books, past)
#define CUT_GAPS(books, past)                                                                      \
	"UPDATE " books "gaps SET to_offset = $4" HERE " AND to_offset > $4" THIS_LOG(books, past)
#define FORGET_LOG(books, past) "DELETE FROM " books "batches" HERE
#define FORGET_ROW(books, past) "DELETE FROM " books "offsets" HERE

/*
 * Runs a statement with the key, one number ($4, if the statement has it) and one text ($5).
 * Returns its row count, or -1.
 */
static int64_t run(const struct applying *a, struct asker_sql sql, const int64_t *number,
		   const char *text, struct err *err)
{
	char digits[24] = "";
	if (number)
		snprintf(digits, sizeof(digits), "%" PRId64, *number);
	const char *params[] = {a->pipeline, a->topic, a->partition, digits, text};
	struct answer *rows = asker_query(a->asker, sql, params, text ? 5 : number ? 4 : 3, err);
	if (!rows)
		return -1;
	int64_t n = answer_affected(rows);
	answer_free(rows);
	return n;
}

static bool run_counted(const struct applying *a, struct asker_sql sql, const int64_t *number,
			int64_t *count, struct err *err)
{
	*count = run(a, sql, number, NULL, err);
	return *count >= 0;
}

/* Waits for a batch in flight; then the row must still be what the plan was made for. */
static bool lock_row(const struct applying *a, enum offsets_verb verb, struct offsets_change *c,
		     struct err *err)
{
	static const struct asker_sql sql = {LOCK("memingest.") " FOR UPDATE", LOCK("memingest_")};
	const char *params[] = {a->pipeline, a->topic, a->partition};
	struct answer *rows = asker_query(a->asker, sql, params, 3, err);
	if (!rows)
		return err_wrap(err, "waiting for the partition's batch in flight");
	bool there = answer_count(rows) == 1;
	if (there) {
		c->before = answer_int(rows, 0, 0);
		c->epoch = answer_int(rows, 0, 1) + 1;
	}
	answer_free(rows);
	bool holds =
		verb == OFFSETS_REWIND ? c->to <= c->before : c->before == c->position->next_offset;
	if (there && holds)
		return true;
	return err_set(err, ERR_RETRY,
		       "%s [%s]: the partition moved meanwhile: look again and try again", a->topic,
		       a->partition);
}

/* The epoch fences whatever is under way. */
static bool move_row(const struct applying *a, int64_t to, struct err *err)
{
	return run(a, ASKER_SQL(MOVE), &to, a->who, err) >= 0;
}

/* reason: ours, unless the operator gave one. */
static bool insert_gap(const struct applying *a, int64_t from, int64_t to, const char *reason,
		       struct err *err)
{
	char first[24], last[24];
	snprintf(first, sizeof(first), "%" PRId64, from);
	snprintf(last, sizeof(last), "%" PRId64, to);
	const char *params[] = {a->pipeline, a->topic, a->partition,
				first,       last,     a->reason ? a->reason : reason,
				a->who};
	struct answer *rows = asker_query(a->asker, ASKER_SQL(ADD_GAP), params, 7, err);
	answer_free(rows);
	return rows != NULL;
}

/* Everything from there on is withdrawn: it will come again. */
static bool apply_rewind(const struct applying *a, struct offsets_change *c, struct err *err)
{
	int64_t cut_gaps;
	bool ok = move_row(a, c->to, err) &&
		  run_counted(a, ASKER_SQL(FORGET_BATCHES), &c->to, &c->batches, err) &&
		  run_counted(a, ASKER_SQL(CUT_BATCHES), &c->to, &c->cut, err) &&
		  run_counted(a, ASKER_SQL(WITHDRAW_LETTERS), &c->to, &c->dead, err) &&
		  run_counted(a, ASKER_SQL(WITHDRAW_GAPS), &c->to, &c->gaps, err) &&
		  run_counted(a, ASKER_SQL(CUT_GAPS), &c->to, &cut_gaps, err);
	c->gaps += ok ? cut_gaps : 0;
	return ok;
}

static bool apply_gap(const struct applying *a, const struct offsets_change *c, struct err *err)
{
	const char *reason = c->to <= c->position->low
				     ? "deleted by retention before it was consumed"
				     : "given up";
	return insert_gap(a, c->before, c->to, reason, err) && move_row(a, c->to, err);
}

static bool set_topic_id(const struct applying *a, const char *id, struct err *err)
{
	static const struct asker_sql sql = {
		"UPDATE memingest.offsets SET topic_id = $4::uuid" HERE,
		"UPDATE memingest_offsets SET topic_id = $4" HERE};
	const char *params[] = {a->pipeline, a->topic, a->partition, id};
	struct answer *rows = asker_query(a->asker, sql, params, 4, err);
	answer_free(rows);
	return rows != NULL;
}

/* The old log's batches are forgotten, since offsets begin anew. */
static bool apply_adopt(const struct applying *a, struct offsets_change *c, struct err *err)
{
	const struct position *p = c->position;
	char reason[160];
	snprintf(reason, sizeof(reason),
		 "topic created anew; what followed in the old one (id %s) is unknown",
		 p->topic_id[0] ? p->topic_id : "unknown");
	if (!insert_gap(a, c->before, c->before, reason, err) ||
	    !run_counted(a, ASKER_SQL(FORGET_LOG), NULL, &c->batches, err))
		return false;
	if (c->gone)
		return run(a, ASKER_SQL(FORGET_ROW), NULL, NULL, err) >= 0;
	if (c->to > 0 &&
	    !insert_gap(a, 0, c->to, "deleted by retention before the topic was adopted", err))
		return false;
	return set_topic_id(a, p->kafka_topic_id[0] ? p->kafka_topic_id : NULL, err) &&
	       move_row(a, c->to, err);
}

/* The row's lock first: then nothing of it moves any more. */
static bool apply_one(const struct applying *a, enum offsets_verb verb, struct offsets_change *c,
		      struct err *err)
{
	if (!lock_row(a, verb, c, err))
		return false;
	switch (verb) {
	case OFFSETS_REWIND:
		return apply_rewind(a, c, err);
	case OFFSETS_ACCEPT_GAP:
		return apply_gap(a, c, err);
	case OFFSETS_ADOPT:
		return apply_adopt(a, c, err);
	}
	return false;
}

/* One transaction; the first failure undoes all. A worker that has the file is named. */
bool offsets_apply(struct asker *asker, const struct config *config, struct offsets_plan *plan,
		   const char *who, struct err *err)
{
	bool ok = asker_begin_alone(asker, config->sqlite_path, err);
	for (size_t i = 0; ok && i < plan->n; i++) {
		struct offsets_change *c = &plan->changes[i];
		struct applying a = {.asker = asker,
				     .pipeline = config->group_id,
				     .topic = c->position->topic,
				     .who = who,
				     .reason = plan->request.reason};
		snprintf(a.partition, sizeof(a.partition), "%d", c->position->partition);
		ok = apply_one(&a, plan->request.verb, c, err);
	}
	return ok && asker_commit(asker, err);
}

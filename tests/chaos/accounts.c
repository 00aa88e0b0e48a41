/*
 * accounts.c - whether every event that was acknowledged came to its one end.
 *
 *   delivery reports --> receipts --+
 *   the log -----------> model -----+--> lost, or changed: differences
 *                          |
 *                          +---------> tables, dead letters, batches, offsets: differences
 *
 * Settled first: no events come in, what came is durable, model and receipts have read the log to
 * its end. The model folds the log, the receipts vouch for the log; so the tables are held against
 * what the producer was told.
 *
 * A check that passes everything proves nothing. So after a clean account four things are made
 * wrong, one at a time, each must be seen, and each is put right again.
 */
#include "accounts.h"

#include <stdio.h>
#include <string.h>

#include "broker.h"
#include "lite.h"
#include "near.h"
#include "receipts.h"
#include "sampler.h"
#include "verdict.h"

#define SETTLE_S 60

void chaos_difference(struct chaos *c, const char *fmt, ...)
{
	char text[448];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (c->proving)
		c->seen++;
	else
		chaos_violation(c, "%s", text);
}

/* Of the model. */
static void on_difference(void *ctx, const char *text)
{
	chaos_difference(ctx, "%s", text);
}

void accounts_open(struct chaos *c)
{
	c->receipts = receipts_new(c);
	c->model = model_open(c->bed);
	model_on_report(on_difference, c);
	model_on_message(c->model, receipts_seen, c->receipts);
	broker_on_receipt(receipts_add, c->receipts);
}

void accounts_close(struct chaos *c)
{
	broker_on_receipt(NULL, NULL);
	model_free(c->model);
	receipts_free(c->receipts);
}

void chaos_settle(struct chaos *c)
{
	c->paused = true;
	broker_flush();
	chaos_catch_up(c, "while it is drained", SETTLE_S * US_PER_S);
	bed_drain(c->bed, SETTLE_S);
	model_advance(c->model);
	receipts_settle(c->receipts);
}

void chaos_resume(struct chaos *c)
{
	for (size_t i = 0; i < CHAOS_STREAMS; i++)
		pace_forgive(c->paces[i]);
	c->paused = false;
}

void chaos_gap(struct chaos *c, const char *topic, int partition, int64_t from, int64_t to)
{
	model_gap(c->model, topic, partition, from, to);
	receipts_gap(c->receipts, topic, partition, from, to);
}

void chaos_new_topic(struct chaos *c, const char *topic)
{
	model_restart(c->model, topic);
	receipts_new_topic(c->receipts, topic);
}

/*
 * Rows that the search for their own vector does not bring. By graphs a search is nearly exact, so
 * one in fifty may be missed; a segment that lost its rows, or a tail that skips some, misses more.
 */
static void check_search(struct chaos *c)
{
	if (c->bed->sqlite[0])
		return; /* there it compares every row */
	char which[64];
	int64_t rows = bed_int(c->bed, "SELECT count(*) FROM near WHERE spot IS NOT NULL");
	snprintf(which, sizeof(which), "hashtext(id) %% %d = 0", (int)MAX(rows / 500, 1));
	int64_t looked =
		bed_int(c->bed, "SELECT count(*) FROM near WHERE spot IS NOT NULL AND %s", which);
	int64_t missed = near_missed_of(c->bed, which);
	if (missed * 50 > looked)
		chaos_difference(c, "near: %lld of %lld rows are not found by their own vector",
				 (long long)missed, (long long)looked);
}

/* A file is judged by its copy in the database. */
static int compare(struct chaos *c)
{
	if (c->bed->sqlite[0])
		lite_copy(c->bed);
	return model_compare(c->model);
}

void accounts_count(struct chaos *c)
{
	uint64_t sent = 0, acknowledged, failed;
	for (size_t i = 0; i < CHAOS_STREAMS; i++)
		sent += pace_sent(c->paces[i]);
	receipts_counts(c->receipts, &acknowledged, &failed);
	verdict_events(sent, acknowledged, failed, chaos_durable(c));
}

/* --- tampering --- */

static const struct tamper {
	const char *name;
	/* NULL: the receipts'. Both in SQL as lite_books_sql() has it; the second undoes the first
	 */
	const char *harm, *undo;
} tampers[] = {
	{"ledger", NULL, NULL},
	{"table",
	 "UPDATE ledger SET total = total + 1 WHERE account = (SELECT min(account) FROM ledger)",
	 "UPDATE ledger SET total = total - 1 WHERE account = (SELECT min(account) FROM ledger)"},
	{"books",
	 "UPDATE memingest.batches SET to_offset = to_offset + 1 WHERE (pipeline, topic, "
	 "partition, from_offset) IN (SELECT pipeline, topic, partition, min(from_offset) FROM "
	 "memingest.batches GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 LIMIT 1)",
	 "UPDATE memingest.batches SET to_offset = to_offset - 1 WHERE (pipeline, topic, "
	 "partition, from_offset) IN (SELECT pipeline, topic, partition, min(from_offset) FROM "
	 "memingest.batches GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 LIMIT 1)"},
	{"dead",
	 "INSERT INTO memingest.dead_letters (pipeline, topic, partition, \"offset\", stream, "
	 "reason, created_at) SELECT pipeline, topic, partition, 1000000000, 'ledger', 'decode', "
	 "now() FROM "
	 "memingest.offsets WHERE partition = 0 LIMIT 1",
	 "DELETE FROM memingest.dead_letters WHERE \"offset\" = 1000000000"},
};

static void tamper_with(struct chaos *c, const struct tamper *t, bool undo)
{
	if (t->harm)
		lite_books_sql(c->bed, "%s", undo ? t->undo : t->harm);
	else if (undo)
		receipts_repair(c->receipts);
	else
		receipts_tamper(c->receipts, c->bed->streams[0].topic);
}

static const struct tamper *tamper_named(const char *name)
{
	size_t i = 0;
	while (i < ARRAY_LEN(tampers) && strcmp(tampers[i].name, name) != 0)
		i++;
	ck_assert_msg(i < ARRAY_LEN(tampers), "nothing to tamper with is called %s", name);
	return &tampers[i];
}

void accounts_check(struct chaos *c, const char *spoil)
{
	const struct tamper *tamper = spoil ? tamper_named(spoil) : NULL;
	chaos_settle(c);
	if (tamper) {
		chaos_note(c, "tampering with: %s", tamper->name);
		tamper_with(c, tamper, false);
		receipts_settle(c->receipts);
	}
	int differences = compare(c);
	check_search(c);
	accounts_count(c);
	verdict_accounted();
	chaos_note(c, "accounted for: %d differences", differences);
}

/* A verdict that would not see a wrong record says nothing. */
void accounts_prove(struct chaos *c)
{
	for (size_t i = 0; i < ARRAY_LEN(tampers); i++) {
		c->proving = true;
		c->seen = 0;
		tamper_with(c, &tampers[i], false);
		receipts_settle(c->receipts);
		compare(c);
		c->proving = false;
		tamper_with(c, &tampers[i], true);
		if (c->seen > 0)
			verdict_tamper_caught(tampers[i].name);
		else
			chaos_violation(c, "tampering with %s was not seen", tampers[i].name);
	}
	compare(c); /* all is as it was */
}

/*
 * Where the workers have left, Kafka has what PostgreSQL has: one offset that is moved back has
 * fallen, and is behind Kafka's. Put right again before the sampler's word counts again.
 */
void accounts_prove_samples(struct chaos *c)
{
	static const char move[] = "UPDATE memingest.offsets SET next_offset = next_offset %s 1 "
				   "WHERE topic = '%s' AND "
				   "partition = 0";
	const char *topic = c->bed->streams[0].topic;
	const unsigned both = SAMPLER_AHEAD | SAMPLER_FELL;
	int64_t deadline_us = clock_mono_us() + 20 * US_PER_S;
	sampler_prove(c->sampler, true);
	lite_books_sql(c->bed, move, "-", topic);
	while (sampler_seen(c->sampler) != both && chaos_turn(c, deadline_us))
		continue;
	bool seen = sampler_seen(c->sampler) == both;
	lite_books_sql(c->bed, move, "+", topic);
	chaos_for(c, 2500); /* the sample that is under way may still have seen it */
	sampler_prove(c->sampler, false);
	if (seen)
		verdict_tamper_caught("samples");
	else
		chaos_violation(c, "an offset that was moved back was not seen by the sampler");
}

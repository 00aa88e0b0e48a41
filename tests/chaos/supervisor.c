/*
 * supervisor.c - one run: workers, a producer, faults by the seed's schedule, and the accounting.
 *
 *   schedule --> progress --> strike --> hold --> heal --> recovered --> (next)
 *                   events come in all the time; each second vitals and, by its thread, offsets
 *   the end --> settle: no more events, all durable, model and receipts read on --> accounts
 *               --> tampering, each of which the accounts must see
 *
 * Recovered means: of every partition is durable what was acknowledged when the last fault of the
 * step was healed. So the clock runs until the backlog of the fault is gone, not until one worker
 * does something again. It is a violation when that takes longer than the fault's bound, and ends
 * the run when it takes four times as long.
 *
 * Everything is done by one thread, in turns of up to 20 ms (chaos_turn()); proxies and sampler
 * have their own. Failures: ck_assert ends the process, and main.c says so in the verdict.
 */
#include "chaos.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "near.h"
#include "receipts.h"
#include "sampler.h"
#include "schedule.h"
#include "verdict.h"
#include "vitals.h"

#define LOOK_US US_PER_S
#define STILL_S 60 /* without any progress the run ends */
#define ACCOUNT_US (300 * US_PER_S)
#define LEDGER_PER_S 800
#define NEAR_PER_S 150

/* --- what happened --- */

static double at_s(const struct chaos *c)
{
	return (double)(clock_mono_us() - c->began_us) / (double)US_PER_S;
}

__attribute__((format(printf, 3, 0))) static void say(struct chaos *c, const char *kind,
						      const char *fmt, va_list args, bool bad)
{
	char text[448], line[512];
	vsnprintf(text, sizeof(text), fmt, args);
	snprintf(line, sizeof(line), "%s%s", kind, text);
	verdict_history(at_s(c), line);
	if (bad) {
		snprintf(line, sizeof(line), "at %.1f s: %s", at_s(c), text);
		verdict_violation(line);
	}
	printf("%8.1f  %s%s\n", at_s(c), kind, text);
	fflush(stdout);
}

void chaos_note(struct chaos *c, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	say(c, "", fmt, args, false);
	va_end(args);
}

void chaos_violation(struct chaos *c, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	say(c, "VIOLATION: ", fmt, args, true);
	va_end(args);
}

/* --- waiting --- */

bool chaos_turn(struct chaos *c, int64_t deadline_us)
{
	bool more = bed_tick(c->bed, deadline_us);
	for (size_t i = 0; i < CHAOS_STREAMS && !c->paused; i++)
		pace_turn(c->paces[i]);
	broker_poll();
	if (clock_mono_us() >= c->next_look_us) {
		c->next_look_us = clock_mono_us() + LOOK_US;
		vitals_look(c->vitals);
	}
	return more;
}

void chaos_for(struct chaos *c, int64_t ms)
{
	int64_t deadline_us = clock_mono_us() + ms * US_PER_MS;
	while (chaos_turn(c, deadline_us))
		continue;
}

void chaos_stack(struct chaos *c, const char *verb, const char *action, const char *option)
{
	const char *const argv[] = {"tests/stack", verb, action, stack.dir, option, NULL};
	int status, pid = spawn(argv, NULL, NULL);
	ck_assert_int_gt(pid, 0);
	CHAOS_WAIT(c, 120, waitpid(pid, &status, WNOHANG) == pid);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "tests/stack %s %s failed",
		      verb, action);
}

/*
 * The first value of a query's one row; false when the database does not say so now. bed_int()
 * would fail the run where a server is only about to be back.
 */
static bool ask(struct chaos *c, const char *sql, int64_t *value)
{
	struct err err = {0};
	const struct config config = {
		.pg_dsn = c->bed->dsn,
		.pg_statement_timeout_us = 5 * US_PER_S,
		.pg_lock_timeout_us = 5 * US_PER_S,
		.pg_connect_timeout_us = 2 * US_PER_S,
	};
	if (!c->pg)
		c->pg = pg_connect(&config, "supervisor", -1, &err);
	struct pg_rows *rows = c->pg ? pg_query(c->pg, sql, NULL, 0, &err) : NULL;
	bool ok = rows && pg_rows_count(rows) == 1 && pg_value(rows, 0, 0);
	if (ok)
		*value = pg_int(rows, 0, 0);
	pg_rows_free(rows);
	if (!ok) {
		pg_free(c->pg);
		c->pg = NULL;
	}
	return ok;
}

/* Offsets that are durable; -1: nobody knows now. */
static int64_t durable(struct chaos *c)
{
	int64_t n = -1;
	char sql[256];
	snprintf(sql, sizeof(sql),
		 "SELECT coalesce(sum(next_offset), 0)::bigint FROM memingest.offsets WHERE "
		 "pipeline = '%s' AND partition >= 0",
		 c->bed->name);
	return ask(c, sql, &n) ? n : -1;
}

void chaos_progress(struct chaos *c, int64_t events)
{
	int64_t from = -1;
	CHAOS_WAIT(c, STILL_S, (from = durable(c)) >= 0);
	CHAOS_WAIT(c, STILL_S, durable(c) >= from + events);
}

/* Of every partition that much is durable. */
static bool reached(struct chaos *c, struct buf *ends)
{
	int64_t behind = 1;
	struct buf sql = {0};
	buf_printf(&sql,
		   "SELECT count(*) FROM (VALUES %s) AS v(topic, partition, log_end) LEFT JOIN "
		   "memingest.offsets o ON o.pipeline = '%s' AND o.topic = v.topic AND "
		   "o.partition = v.partition WHERE coalesce(o.next_offset, 0) < v.log_end",
		   buf_cstr(ends), c->bed->name);
	bool known = ends->len == 0 || ask(c, buf_cstr(&sql), &behind);
	buf_free(&sql);
	return known && (ends->len == 0 || behind == 0);
}

/* --- workers --- */

struct worker *chaos_pick(struct chaos *c, uint64_t random)
{
	ck_assert_uint_gt(c->nworkers, 0);
	return c->workers[random % c->nworkers];
}

struct worker *chaos_join(struct chaos *c)
{
	ck_assert_uint_lt(c->nworkers, CHAOS_WORKERS_MAX);
	return c->workers[c->nworkers++] = worker_start(c->bed, NULL);
}

void chaos_leaves(struct chaos *c, struct worker *w)
{
	size_t i = 0;
	while (i < c->nworkers && c->workers[i] != w)
		i++;
	ck_assert_uint_lt(i, c->nworkers);
	memmove(&c->workers[i], &c->workers[i + 1], (--c->nworkers - i) * sizeof(c->workers[0]));
	vitals_end(c->vitals, w);
	worker_leaves(w);
}

void chaos_ends(struct chaos *c, struct worker *w, int seconds)
{
	int status = -1;
	int64_t told_us = clock_mono_us(), deadline_us = told_us + seconds * US_PER_S;
	while (!worker_ended(w, &status)) {
		ck_assert_msg(chaos_turn(c, deadline_us), "after SIGTERM not ended within %d s: %s",
			      seconds, w->log);
	}
	if (status != 0)
		chaos_violation(c, "after SIGTERM a worker ended with %d: %s", status, w->log);
}

/* --- the accounts --- */

static void on_difference(void *ctx, const char *text)
{
	struct chaos *c = ctx;
	if (c->proving)
		c->seen++;
	else
		chaos_violation(c, "%s", text);
}

void chaos_settle(struct chaos *c)
{
	c->paused = true;
	broker_flush();
	struct buf ends = {0};
	receipts_ends(c->receipts, &ends);
	CHAOS_WAIT(c, STILL_S, reached(c, &ends));
	buf_free(&ends);
	bed_drain(c->bed, STILL_S);
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

static void count_events(struct chaos *c)
{
	uint64_t sent = 0, acknowledged, failed;
	for (size_t i = 0; i < CHAOS_STREAMS; i++)
		sent += pace_sent(c->paces[i]);
	receipts_counts(c->receipts, &acknowledged, &failed);
	verdict_events(sent, acknowledged, failed, durable(c));
}

/* Segments without their rows in the books, or the other way round, are a leak of the indexer's. */
static void account(struct chaos *c)
{
	chaos_settle(c);
	int differences = model_compare(c->model);
	count_events(c);
	verdict_accounted();
	chaos_note(c, "accounted for: %d differences", differences);
}

/* --- proof that the accounts see what is wrong --- */

static const struct tamper {
	const char *name;
	/* NULL: the receipts'. Both in SQL; the second undoes the first */
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
	 "UPDATE memingest.dead_letters SET \"offset\" = \"offset\" + 1000000000 WHERE id = "
	 "(SELECT min(id) FROM memingest.dead_letters)",
	 "UPDATE memingest.dead_letters SET \"offset\" = \"offset\" - 1000000000 WHERE id = "
	 "(SELECT min(id) FROM memingest.dead_letters)"},
};

static void tamper_with(struct chaos *c, const struct tamper *t, bool undo)
{
	if (t->harm)
		bed_sql(c->bed, "%s", undo ? t->undo : t->harm);
	else if (undo)
		receipts_repair(c->receipts);
	else
		receipts_tamper(c->receipts, c->bed->streams[0].topic);
}

static void tamper_for_good(struct chaos *c, const char *name)
{
	size_t i = 0;
	while (i < ARRAY_LEN(tampers) && strcmp(tampers[i].name, name) != 0)
		i++;
	ck_assert_msg(i < ARRAY_LEN(tampers), "nothing to tamper with is called %s", name);
	chaos_note(c, "tampering with: %s", name);
	tamper_with(c, &tampers[i], false);
}

/* A verdict that would not see a wrong record says nothing. */
static void prove(struct chaos *c)
{
	for (size_t i = 0; i < ARRAY_LEN(tampers); i++) {
		c->proving = true;
		c->seen = 0;
		tamper_with(c, &tampers[i], false);
		receipts_settle(c->receipts);
		model_compare(c->model);
		c->proving = false;
		tamper_with(c, &tampers[i], true);
		if (c->seen > 0)
			verdict_tamper_caught(tampers[i].name);
		else
			chaos_violation(c, "tampering with %s was not seen", tampers[i].name);
	}
}

/* --- faults --- */

static void may_fall(struct chaos *c, const struct step *step, int more)
{
	for (size_t i = 0; i < step->nfaults; i++) {
		if (!(step->strikes[i].fault->flags & FAULT_MAY_FALL))
			continue;
		__atomic_add_fetch(&c->falls, more > 0, __ATOMIC_SEQ_CST);
		__atomic_add_fetch(&c->may_fall, more, __ATOMIC_SEQ_CST);
	}
}

/* What cannot be done now is left out. */
static void choose(struct chaos *c, struct step *step)
{
	size_t n = 0;
	for (size_t i = 0; i < step->nfaults; i++) {
		const struct fault *fault = step->strikes[i].fault;
		if (!fault->possible || fault->possible(c)) {
			step->strikes[n++] = step->strikes[i];
			continue;
		}
		verdict_left_out(fault);
		chaos_note(c, "%s: not possible now", fault->name);
	}
	step->nfaults = n;
}

static void strike(struct chaos *c, struct step *step, int64_t *due_us)
{
	for (size_t i = 0; i < step->nfaults; i++) {
		struct strike *s = &step->strikes[i];
		chaos_note(c, "%s%s, for %.1f s", i ? "    beside it " : "", s->fault->name,
			   s->hold_ms / 1000.0);
		s->fault->strike(c, s);
		due_us[i] = clock_mono_us() + s->hold_ms * US_PER_MS;
		verdict_struck(s->fault);
	}
}

static void heal(struct chaos *c, struct step *step, int64_t *due_us)
{
	for (size_t left = step->nfaults; left > 0; left--) {
		size_t first = 0;
		for (size_t i = 1; i < step->nfaults; i++) {
			if (due_us[i] < due_us[first])
				first = i;
		}
		struct strike *s = &step->strikes[first];
		while (chaos_turn(c, due_us[first]))
			continue;
		if (s->fault->heal)
			s->fault->heal(c, s);
		due_us[first] = CLOCK_NEVER;
	}
}

static unsigned bound_of(const struct step *step)
{
	unsigned bound_s = 0;
	for (size_t i = 0; i < step->nfaults; i++) {
		unsigned s = step->strikes[i].fault->recover_s;
		bound_s = MAX(bound_s, s ? s : RECOVER_S);
	}
	return bound_s;
}

static void recover(struct chaos *c, const struct step *step)
{
	struct buf ends = {0};
	unsigned bound_s = bound_of(step);
	int64_t healed_us = clock_mono_us(), deadline_us = healed_us + 4 * bound_s * US_PER_S;
	receipts_ends(c->receipts, &ends);
	while (!reached(c, &ends)) {
		if (!chaos_turn(c, deadline_us)) {
			chaos_violation(c, "after %s nothing goes on for %d s",
					step->strikes[0].fault->name, (int)(4 * bound_s));
			ck_abort_msg("the run stands still");
		}
	}
	buf_free(&ends);
	int64_t ms = (clock_mono_us() - healed_us) / US_PER_MS;
	if (ms > bound_s * 1000)
		chaos_violation(c, "after %s it took %.1f s to recover, more than %u s",
				step->strikes[0].fault->name, (double)ms / 1000, bound_s);
	for (size_t i = 0; i < step->nfaults; i++)
		verdict_recovered(step->strikes[i].fault, ms);
	chaos_note(c, "    recovered after %.1f s", (double)ms / 1000);
}

static void run_step(struct chaos *c, struct step *step)
{
	int64_t due_us[STEP_FAULTS];
	chaos_progress(c, step->progress);
	choose(c, step);
	if (step->nfaults == 0)
		return;
	may_fall(c, step, 1);
	strike(c, step, due_us);
	heal(c, step, due_us);
	recover(c, step);
	may_fall(c, step, -1);
}

/* --- the run --- */

static void configure(struct chaos *c)
{
	static const char *const settings[][2] = {
		{"batch.max_rows", "100"},
		{"batch.max_age", "20ms"},
		{"kafka.session.timeout.ms", "3000"},
		{"kafka.heartbeat.interval.ms", "500"},
		{"kafka.socket.timeout.ms", "3000"},
		{"kafka.reconnect.backoff.max.ms", "1000"},
		{"kafka.topic.metadata.refresh.interval.ms", "2000"},
		{"postgres.statement_timeout", "5s"},
		{"postgres.lock_timeout", "2s"},
		{"postgres.connect_timeout", "2s"},
		{"shutdown.timeout", "5s"},
		{"index.tail_rows", "500"},
		{"index.segment_rows", "5000"},
		{"index.cores", "1"},
	};
	for (size_t i = 0; i < ARRAY_LEN(settings); i++)
		bed_set(c->bed, settings[i][0], "%s", settings[i][1]);
}

/* The workers' clock is right until a fault says otherwise. */
static void lay_clock(struct bed *bed)
{
	const int64_t right = 0;
	snprintf(bed->clock, sizeof(bed->clock), "%s/clock", bed->dir);
	FILE *out = fopen(bed->clock, "w");
	ck_assert_msg(out && fwrite(&right, sizeof(right), 1, out) == 1 && fclose(out) == 0, "%s",
		      bed->clock);
}

static void lay_out(struct chaos *c)
{
	struct bed *bed = c->bed = bed_new("chaos");
	bed_stream_files(bed, "ledger", 4, "tests/schemas/ledger_event.avsc",
			 "tests/schemas/ledger_key.avsc");
	bed_stream_files(bed, "near", 2, "tests/schemas/near_event.avsc", NULL);
	configure(c);
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	lay_clock(bed);
	c->database_link = proxy_start(stack.pg_port);
	bed->pg_port = proxy_port(c->database_link);
	c->kafka_link = bed_proxy_kafka(bed);
}

static void open_producer(struct chaos *c, uint64_t seed)
{
	const struct generator_options ledger =
					       {
						       .seed = mix(seed + 1),
						       .keys = 2000,
						       .update_share = 0.5,
						       .delete_share = 0.03,
						       .tombstone_share = 0.01,
						       .late_share = 0.1,
						       .poison_share = 0.001,
					       },
				       near = {
					       .seed = mix(seed + 2),
					       .update_share = 0.7,
					       .delete_share = 0.03,
					       .late_share = 0.1,
					       .poison_share = 0.001,
				       };
	broker_on_receipt(receipts_add, c->receipts);
	c->paces[0] = pace_open_as(c->bed, "ledger", LEDGER_PER_S, ledger);
	c->paces[1] = pace_open_as(c->bed, "near", NEAR_PER_S, near);
}

/* That of the workers, by the worker's own word. */
static void begin(struct chaos *c)
{
	char *text = bed_says(c->bed, 0, "version"), version[32] = "?";
	const char *at = strstr(text, "librdkafka");
	if (at)
		sscanf(at, "librdkafka %31s", version);
	free(text);
	c->began_us = clock_mono_us();
	verdict_begin(version);
}

static void open_run(struct chaos *c, uint64_t seed)
{
	lay_out(c);
	begin(c);
	c->vitals = vitals_new(c);
	c->receipts = receipts_new(c);
	c->model = model_open(c->bed);
	model_on_report(on_difference, c);
	model_on_message(c->model, receipts_seen, c->receipts);
	open_producer(c, seed);
	for (int i = 0; i < 3; i++)
		chaos_join(c);
	c->sampler = sampler_start(c);
}

static void close_run(struct chaos *c)
{
	while (c->nworkers > 0) {
		struct worker *w = c->workers[0];
		chaos_leaves(c, w);
		worker_signal(w, SIGTERM);
		chaos_ends(c, w, 30);
	}
	sampler_stop(c->sampler);
	broker_on_receipt(NULL, NULL);
	for (size_t i = 0; i < CHAOS_STREAMS; i++)
		pace_close(c->paces[i]);
	proxy_stop(c->database_link);
	proxy_stop(c->kafka_link);
	model_free(c->model);
	receipts_free(c->receipts);
	vitals_free(c->vitals);
	pg_free(c->pg);
}

void chaos_run(const struct chaos_options *options)
{
	struct chaos c = {0};
	struct step step;
	struct schedule *schedule = schedule_new(options->seed, options->faults);
	open_run(&c, options->seed);
	int64_t end_us = clock_mono_us() + (int64_t)(options->minutes * 60 * (double)US_PER_S);
	int64_t next_account_us = clock_mono_us() + ACCOUNT_US;
	chaos_progress(&c, 2000);
	while (clock_mono_us() < end_us) {
		schedule_next(schedule, &step);
		run_step(&c, &step);
		if (clock_mono_us() < next_account_us)
			continue;
		account(&c);
		chaos_resume(&c);
		next_account_us = clock_mono_us() + ACCOUNT_US;
	}
	chaos_settle(&c);
	if (options->tamper)
		tamper_for_good(&c, options->tamper);
	account(&c);
	if (verdict_violations() == 0)
		prove(&c);
	close_run(&c);
	schedule_free(schedule);
	verdict_finished();
	if (verdict_violations() == 0)
		bed_free(c.bed);
}

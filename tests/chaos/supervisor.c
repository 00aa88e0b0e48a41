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

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "accounts.h"
#include "books.h"
#include "near.h"
#include "receipts.h"
#include "sampler.h"
#include "schedule.h"
#include "verdict.h"
#include "vitals.h"

#define LOOK_US US_PER_S
#define STILL_S 60 /* without any progress the run ends */
#define ACCOUNT_US (300 * US_PER_S)
#define CALM_S 30
#define CALM_EVENTS 500
#define LEDGER_PER_S 700
#define NEAR_PER_S 120

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

int64_t chaos_durable(struct chaos *c)
{
	size_t n;
	int64_t sum = 0;
	const struct books_row *rows = books_read(c->books, &n);
	for (size_t i = 0; i < n; i++)
		sum += rows[i].next_offset;
	return rows ? sum : -1;
}

int64_t chaos_next_offset(struct chaos *c, const char *topic, int partition)
{
	size_t n;
	const struct books_row *rows = books_read(c->books, &n),
			       *row = books_find(rows, n, topic, partition);
	return row ? row->next_offset : rows ? 0 : -1;
}

/* What must be durable, of each partition. */
struct goal {
	struct receipts_end ends[RECEIPTS_LINES];
	size_t n;
};

static bool is_behind(const struct books_row *row, const struct receipts_end *end)
{
	return end->end > 0 && (!row || row->next_offset < end->end);
}

static bool reached(struct chaos *c, const struct goal *goal)
{
	size_t n;
	const struct books_row *rows = books_read(c->books, &n);
	bool behind = false;
	for (size_t i = 0; i < goal->n && rows; i++) {
		const struct receipts_end *end = &goal->ends[i];
		behind |= is_behind(books_find(rows, n, end->topic, end->partition), end);
	}
	return rows && !behind;
}

/* Standing still is a violation like losing, and the end of the run. */
static void stands_still(struct chaos *c, const char *after, const struct goal *goal)
{
	size_t n;
	const struct books_row *rows = books_read(c->books, &n);
	if (!rows)
		chaos_violation(c, "%s: the database does not say where partitions stand", after);
	for (size_t i = 0; i < goal->n && rows; i++) {
		const struct receipts_end *end = &goal->ends[i];
		const struct books_row *row = books_find(rows, n, end->topic, end->partition);
		if (is_behind(row, end))
			chaos_violation(
				c, "%s: stands still at %s/%d/%lld, the log ends at %lld %s", after,
				end->topic, end->partition, row ? (long long)row->next_offset : 0,
				(long long)end->end, row ? row->halted : "");
	}
	ck_abort_msg("the run stands still");
}

static void set_goal(struct chaos *c, struct goal *goal)
{
	goal->n = receipts_ends(c->receipts, goal->ends);
}

int64_t chaos_catch_up(struct chaos *c, const char *after, int64_t limit_us)
{
	struct goal goal;
	int64_t from_us = clock_mono_us();
	set_goal(c, &goal);
	while (!reached(c, &goal)) {
		if (!chaos_turn(c, from_us + limit_us))
			stands_still(c, after, &goal);
	}
	return clock_mono_us() - from_us;
}

void chaos_progress(struct chaos *c, int64_t events)
{
	struct goal goal;
	int64_t from = -1, deadline_us = clock_mono_us() + STILL_S * US_PER_S;
	while ((from = chaos_durable(c)) < 0)
		ck_assert_msg(chaos_turn(c, deadline_us), "the database does not answer");
	while (chaos_durable(c) < from + events) {
		if (chaos_turn(c, deadline_us))
			continue;
		set_goal(c, &goal);
		stands_still(c, "without a fault", &goal);
	}
}

/*
 * Until the backlog of the fault before is gone, or its recovery would count with the next one's. A
 * machine that is too slow for that is not waited for.
 */
static void calm_down(struct chaos *c)
{
	int64_t deadline_us = clock_mono_us() + CALM_S * US_PER_S;
	while (receipts_sum(c->receipts) - chaos_durable(c) > CALM_EVENTS &&
	       chaos_turn(c, deadline_us))
		continue;
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

/* Told all together: on a file those that stand by would take over one after the other. */
void chaos_all_leave(struct chaos *c)
{
	struct worker *leaving[CHAOS_WORKERS_MAX];
	size_t n = c->nworkers;
	memcpy(leaving, c->workers, n * sizeof(leaving[0]));
	for (size_t i = 0; i < n; i++) {
		chaos_leaves(c, leaving[i]);
		worker_signal(leaving[i], SIGTERM);
	}
	for (size_t i = 0; i < n; i++)
		chaos_ends(c, leaving[i], 30);
}

void chaos_some_join(struct chaos *c, size_t n)
{
	for (size_t i = 0; i < n; i++)
		chaos_join(c);
}

void chaos_operate(struct chaos *c, const char *line)
{
	size_t n = c->bed->sqlite[0] ? c->nworkers : 0;
	if (n > 0)
		chaos_all_leave(c);
	free(bed_says(c->bed, 0, line));
	chaos_some_join(c, n);
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
	return bound_s * verdict_slack();
}

/* Nobody is to restart a worker for what happened to it. */
static void all_live(struct chaos *c)
{
	for (size_t i = 0; i < c->nworkers; i++)
		CHAOS_WAIT(c, 10 * verdict_slack(),
			   worker_http(c->workers[i], "/livez", NULL) == 200);
}

static void recover(struct chaos *c, const struct step *step)
{
	const char *name = step->strikes[0].fault->name;
	int64_t bound_s = bound_of(step);
	int64_t ms = chaos_catch_up(c, name, 4 * bound_s * US_PER_S) / US_PER_MS;
	if (ms > bound_s * 1000)
		chaos_violation(c, "after %s it took %.1f s to recover, more than %d s", name,
				(double)ms / 1000, (int)bound_s);
	for (size_t i = 0; i < step->nfaults; i++) {
		const struct strike *s = &step->strikes[i];
		if (s->missed)
			verdict_left_out(s->fault);
		else
			verdict_struck(s->fault);
	}
	if (step->nfaults > 1)
		verdict_recovered(NULL, ms);
	else if (!step->strikes[0].missed)
		verdict_recovered(step->strikes[0].fault, ms);
	chaos_note(c, "    recovered after %.1f s", (double)ms / 1000);
	accounts_count(c);
	all_live(c);
}

static void run_step(struct chaos *c, struct step *step)
{
	int64_t due_us[STEP_FAULTS];
	chaos_progress(c, step->progress);
	calm_down(c);
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
		{"kafka.max.poll.interval.ms", "6000"},
		{"kafka.socket.timeout.ms", "3000"},
		{"kafka.reconnect.backoff.max.ms", "1000"},
		{"kafka.topic.metadata.refresh.interval.ms", "2000"},
		{"postgres.statement_timeout", "1s"},
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

static void lay_out(struct chaos *c, bool file)
{
	broker_quiet();
	struct bed *bed = c->bed = bed_new("chaos");
	bed_stream_files(bed, "ledger", 4, "tests/schemas/ledger_event.avsc",
			 "tests/schemas/ledger_key.avsc");
	bed_stream_files(bed, "near", 2, "tests/schemas/near_event.avsc", NULL);
	configure(c);
	ck_assert_int_eq(bed_command(bed, "migrate", NULL, NULL), 0);
	lay_clock(bed);
	c->kafka_link = bed_proxy_kafka(bed);
	if (file) {
		file_lay(c);
		return;
	}
	c->database_link = proxy_start(stack.pg_port);
	bed->pg_port = proxy_port(c->database_link);
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

static void open_run(struct chaos *c, const struct chaos_options *options)
{
	lay_out(c, options->file);
	begin(c);
	c->books = books_new(c->bed, "supervisor", 5 * US_PER_S);
	c->vitals = vitals_new(c);
	accounts_open(c);
	open_producer(c, options->seed);
	chaos_some_join(c, 3);
	c->sampler = sampler_start(c);
}

/* Nothing is wrong any more, so there is no error to tell of. */
static void stop_workers(struct chaos *c)
{
	static const char error[] = "level=error";
	while (c->nworkers > 0) {
		struct worker *w = c->workers[0];
		int before = worker_log_count(w, error);
		chaos_leaves(c, w);
		worker_signal(w, SIGTERM);
		chaos_ends(c, w, 30);
		if (worker_log_count(w, error) > before)
			chaos_violation(c, "told to stop in peace, a worker logs an error: %s",
					w->log);
	}
}

static void close_run(struct chaos *c)
{
	stop_workers(c);
	if (verdict_violations() == 0)
		accounts_prove_samples(c);
	if (!c->bed->sqlite[0]) { /* no segment without its row, and none the other way round */
		near_build(c->bed);
		near_no_leftovers(c->bed);
	}
	sampler_stop(c->sampler);
	for (size_t i = 0; i < CHAOS_STREAMS; i++)
		pace_close(c->paces[i]);
	if (c->database_link)
		proxy_stop(c->database_link);
	proxy_stop(c->kafka_link);
	accounts_close(c);
	vitals_free(c->vitals);
	books_free(c->books);
}

void chaos_run(const struct chaos_options *options)
{
	struct chaos c = {0};
	struct step step;
	struct schedule *schedule = schedule_new(options->seed, options->faults, options->file);
	open_run(&c, options);
	int64_t end_us = clock_mono_us() + (int64_t)(options->minutes * 60 * (double)US_PER_S);
	int64_t next_account_us = clock_mono_us() + ACCOUNT_US;
	chaos_progress(&c, 2000);
	while (clock_mono_us() < end_us) {
		schedule_next(schedule, &step);
		run_step(&c, &step);
		if (clock_mono_us() < next_account_us)
			continue;
		accounts_check(&c, NULL);
		if (verdict_violations() > 0)
			break;
		chaos_resume(&c);
		next_account_us = clock_mono_us() + ACCOUNT_US;
	}
	accounts_check(&c, options->tamper);
	if (verdict_violations() == 0)
		accounts_prove(&c);
	close_run(&c);
	schedule_free(schedule);
	verdict_finished();
	if (verdict_violations() == 0)
		bed_free(c.bed);
	else
		broker_close(); /* the bed's folder is kept */
}

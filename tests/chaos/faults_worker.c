/*
 * faults_worker.c - what happens to workers: killed, asleep, told to end, joined, left.
 *
 * Each of them leaves as many workers as there were, but for join and leave, which move the number
 * between two and four.
 */
#include <signal.h>

#include "chaos.h"

#define END_S 12 /* shutdown.timeout is 5 s, leaving the group and closing come on top */

static void kill_strike(struct chaos *c, struct strike *s)
{
	struct worker *w = chaos_pick(c, s->random);
	chaos_leaves(c, w);
	worker_kill(w);
}

static void start_heal(struct chaos *c, struct strike *s)
{
	(void)s;
	chaos_join(c);
}

/* All of them at the same moment. */
static void kill_all_strike(struct chaos *c, struct strike *s)
{
	s->number[0] = (int64_t)c->nworkers;
	while (c->nworkers > 0)
		kill_strike(c, s);
}

static void start_all_heal(struct chaos *c, struct strike *s)
{
	for (int64_t i = 0; i < s->number[0]; i++)
		chaos_join(c);
}

/* Held for longer than session.timeout.ms: it wakes up as a zombie. */
static void stop_strike(struct chaos *c, struct strike *s)
{
	s->worker = chaos_pick(c, s->random);
	worker_signal(s->worker, SIGSTOP);
}

/* Unless a fault beside it has killed it. */
static void continue_heal(struct chaos *c, struct strike *s)
{
	for (size_t i = 0; i < c->nworkers; i++) {
		if (c->workers[i] == s->worker)
			worker_signal(s->worker, SIGCONT);
	}
}

static void term_strike(struct chaos *c, struct strike *s)
{
	struct worker *w = chaos_pick(c, s->random);
	chaos_leaves(c, w);
	worker_signal(w, SIGTERM);
	chaos_ends(c, w, END_S);
}

/* The second, within a second and a half, is the impatient one. */
static void term_twice_strike(struct chaos *c, struct strike *s)
{
	struct worker *w = chaos_pick(c, s->random);
	int status;
	chaos_leaves(c, w);
	worker_signal(w, SIGTERM);
	chaos_for(c, (int64_t)(s->random >> 32) % 1500);
	if (worker_ended(w, &status)) {
		if (status != 0)
			chaos_violation(c, "after SIGTERM a worker ended with %d: %s", status,
					w->log);
		return;
	}
	worker_signal(w, SIGTERM);
	chaos_ends(c, w, END_S);
}

static bool may_join(struct chaos *c)
{
	return c->nworkers < CHAOS_WORKERS_MAX;
}

static bool may_leave(struct chaos *c)
{
	return c->nworkers > CHAOS_WORKERS_MIN;
}

static void join_strike(struct chaos *c, struct strike *s)
{
	(void)s;
	chaos_join(c);
}

const struct fault faults_worker[] = {
	{.name = "worker.kill",
	 .scope = SCOPE_WORKER,
	 .weight = 3,
	 .hold_ms = {0, 5000},
	 .strike = kill_strike,
	 .heal = start_heal},
	{.name = "worker.kill_all",
	 .scope = SCOPE_WORKER,
	 .hold_ms = {0, 2000},
	 .strike = kill_all_strike,
	 .heal = start_all_heal},
	{.name = "worker.sleep",
	 .scope = SCOPE_WORKER,
	 .weight = 2,
	 .hold_ms = {3500, 9000},
	 .strike = stop_strike,
	 .heal = continue_heal},
	{.name = "worker.doze", /* less than the session */
	 .scope = SCOPE_WORKER,
	 .hold_ms = {300, 2500},
	 .strike = stop_strike,
	 .heal = continue_heal},
	{.name = "worker.term",
	 .scope = SCOPE_WORKER,
	 .hold_ms = {0, 3000},
	 .strike = term_strike,
	 .heal = start_heal},
	{.name = "worker.term_twice",
	 .scope = SCOPE_WORKER,
	 .hold_ms = {0, 3000},
	 .strike = term_twice_strike,
	 .heal = start_heal},
	{.name = "worker.join",
	 .scope = SCOPE_WORKER,
	 .hold_ms = {0, 1000},
	 .possible = may_join,
	 .strike = join_strike},
	{.name = "worker.leave",
	 .scope = SCOPE_WORKER,
	 .hold_ms = {0, 1000},
	 .possible = may_leave,
	 .strike = term_strike},
	{0},
};

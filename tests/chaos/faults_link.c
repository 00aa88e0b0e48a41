/*
 * faults_link.c - what happens on the way to the database and to the brokers.
 *
 * The way is a proxy each; commands of the run go through them as well, the producer, the model and
 * the supervisor do not. Connections that lost bytes stay silent after healing: it is the worker's
 * to notice.
 */
#include "chaos.h"

/* The way that the fault is about. */
static struct proxy *link_of(struct chaos *c, const struct strike *s)
{
	return s->fault->scope == SCOPE_DATABASE_LINK ? c->database_link : c->kafka_link;
}

/* --- ways that are slow or silent --- */

static void slow_strike(struct chaos *c, struct strike *s)
{
	proxy_delay(link_of(c, s), (int64_t)(20 + s->random % 180) * US_PER_MS);
}

static void slow_heal(struct chaos *c, struct strike *s)
{
	proxy_delay(link_of(c, s), 0);
}

/* Pieces of 16 to 2,000 bytes, one every 2 ms: they fit no frame, and are few. */
static void slice_strike(struct chaos *c, struct strike *s)
{
	proxy_slice(link_of(c, s), 16 + s->random % 1985, 2 * US_PER_MS);
}

static void slice_heal(struct chaos *c, struct strike *s)
{
	proxy_slice(link_of(c, s), 0, 0);
}

static void reset_strike(struct chaos *c, struct strike *s)
{
	proxy_mode(link_of(c, s), PROXY_RESET);
}

static void blackhole_strike(struct chaos *c, struct strike *s)
{
	proxy_mode(link_of(c, s), PROXY_BLACKHOLE);
}

static void swallow_strike(struct chaos *c, struct strike *s)
{
	proxy_mode(link_of(c, s), PROXY_SWALLOW);
}

static void half_open_strike(struct chaos *c, struct strike *s)
{
	proxy_mode(link_of(c, s), s->random % 2 ? PROXY_MUTE : PROXY_DEAF);
}

static void pass_heal(struct chaos *c, struct strike *s)
{
	proxy_mode(link_of(c, s), PROXY_PASS);
}

/* --- one COMMIT --- */

static void arm(struct chaos *c, struct strike *s, enum proxy_fault fault)
{
	s->number[0] = proxy_fired(c->database_link);
	proxy_arm(c->database_link, fault, 1 + s->random % 12);
}

static void commit_lost_strike(struct chaos *c, struct strike *s)
{
	arm(c, s, PROXY_COMMIT_LOST);
}

static void answer_lost_strike(struct chaos *c, struct strike *s)
{
	arm(c, s, PROXY_ANSWER_LOST);
}

static void answer_stuck_strike(struct chaos *c, struct strike *s)
{
	arm(c, s, PROXY_ANSWER_STUCK);
}

/* Beside a fault that keeps all COMMITs away it may not have come to one. */
static void disarm_heal(struct chaos *c, struct strike *s)
{
	proxy_arm(c->database_link, PROXY_FAULT_NONE, 0);
	s->missed = proxy_fired(c->database_link) == (unsigned)s->number[0];
}

#define LINK(name_, scope_, longest, harm, cure)                                                   \
	{                                                                                          \
		.name = (name_), .scope = (scope_), .hold_ms = {500, (longest)}, .strike = (harm), \
		.heal = (cure)                                                                     \
	}
/*
 * Connections that live and say nothing are given up by a deadline: of the database after
 * statement_timeout and ten seconds.
 */
#define SILENT(name_, scope_, harm)                                                                \
	{                                                                                          \
		.name = (name_), .scope = (scope_), .hold_ms = {500, 4000}, .recover_s = 15,       \
		.strike = (harm), .heal = pass_heal                                                \
	}
#define COMMIT(name_, harm)                                                                        \
	{                                                                                          \
		.name = (name_), .scope = SCOPE_DATABASE_LINK, .weight = 2,                        \
		.hold_ms = {1000, 3000}, .strike = (harm), .heal = disarm_heal                     \
	}

const struct fault faults_link[] = {
	LINK("database_link.slow", SCOPE_DATABASE_LINK, 4000, slow_strike, slow_heal),
	LINK("database_link.sliced", SCOPE_DATABASE_LINK, 3000, slice_strike, slice_heal),
	LINK("database_link.reset", SCOPE_DATABASE_LINK, 2000, reset_strike, pass_heal),
	LINK("database_link.blackhole", SCOPE_DATABASE_LINK, 8000, blackhole_strike, pass_heal),
	SILENT("database_link.swallow", SCOPE_DATABASE_LINK, swallow_strike),
	SILENT("database_link.half_open", SCOPE_DATABASE_LINK, half_open_strike),
	LINK("kafka_link.slow", SCOPE_KAFKA_LINK, 4000, slow_strike, slow_heal),
	LINK("kafka_link.sliced", SCOPE_KAFKA_LINK, 3000, slice_strike, slice_heal),
	LINK("kafka_link.reset", SCOPE_KAFKA_LINK, 2000, reset_strike, pass_heal),
	LINK("kafka_link.blackhole", SCOPE_KAFKA_LINK, 8000, blackhole_strike, pass_heal),
	SILENT("kafka_link.swallow", SCOPE_KAFKA_LINK, swallow_strike),
	SILENT("kafka_link.half_open", SCOPE_KAFKA_LINK, half_open_strike),
	COMMIT("commit.lost", commit_lost_strike),
	COMMIT("commit.answer_lost", answer_lost_strike),
	{.name = "commit.answer_stuck",
	 .scope = SCOPE_DATABASE_LINK,
	 .weight = 2,
	 .hold_ms = {1000, 3000},
	 .recover_s = 15,
	 .strike = answer_stuck_strike,
	 .heal = disarm_heal},
	{0},
};

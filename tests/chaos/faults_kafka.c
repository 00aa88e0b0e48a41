/* faults_kafka.c - what happens to the broker and to the topics. */
#include "chaos.h"

static void broker_kill_strike(struct chaos *c, struct strike *s)
{
	(void)s;
	chaos_stack(c, "kafka", "kill", NULL);
}

static void broker_start_heal(struct chaos *c, struct strike *s)
{
	(void)s;
	chaos_stack(c, "kafka", "start", NULL);
}

const struct fault faults_kafka[] = {
	{.name = "kafka.killed",
	 .scope = SCOPE_KAFKA,
	 .hold_ms = {0, 3000},
	 .strike = broker_kill_strike,
	 .heal = broker_start_heal},
	{0},
};

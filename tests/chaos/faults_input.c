/*
 * faults_input.c - what comes in: runs of poison, events of writer schemas that nobody has seen
 * yet, a registry that does not tell them; and clocks that jump.
 *
 * The schemas are compatible with the stream's: an event that waits for its schema waits, and
 * becomes no dead letter. Each use has a schema of its own (a field with a number in its name), so
 * that the workers have to ask for it.
 *
 * The clock is that of the workers alone (preload/clock.c): eight bytes in a file of the bed's
 * folder say how many seconds it is wrong.
 *
 * Thread: the run's. One fault of this file at a time.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "chaos.h"
#include "event.h"
#include "schedule.h"

/* --- poison --- */

#define RUN_OF_POISON 50

/*
 * A run of messages that can not be read, with nothing between them, in one partition; the first
 * ones in a batch, or the last, or a batch of nothing else, as it comes.
 */
static void poison(struct chaos *c, struct strike *s)
{
	static const char *const values[] = {"", "\7\7\7", "\0\377\377\377\360", "\0",
					     "{\"a\": 1}"};
	static const size_t lengths[] = {0, 3, 5, 1, 8};
	const struct bed_stream *stream = &c->bed->streams[s->random % c->bed->nstreams];
	int partition = (int)(mix(s->random) % (unsigned)stream->partitions);
	for (unsigned i = 0; i < RUN_OF_POISON; i++) {
		size_t kind = mix(s->random + i) % ARRAY_LEN(values);
		bed_raw(c->bed, stream->name, partition, (struct slice){(const uint8_t *)"k", 1},
			(struct slice){(const uint8_t *)values[kind], lengths[kind]});
	}
}

/* --- schemas --- */

static json_t *field_of(json_t *schema, const char *name)
{
	size_t i;
	json_t *field;
	json_array_foreach (json_object_get(schema, "fields"), i, field) {
		if (strcmp(json_string_value(json_object_get(field, "name")), name) == 0)
			return field;
	}
	return NULL;
}

static void drop_field(json_t *schema, const char *name)
{
	size_t i;
	json_t *field, *fields = json_object_get(schema, "fields");
	json_array_foreach (fields, i, field) {
		if (strcmp(json_string_value(json_object_get(field, "name")), name) == 0) {
			json_array_remove(fields, i);
			return;
		}
	}
}

/* What a producer may do to its schema at any time. */
static json_t *evolved(const struct bed_stream *stream, uint64_t random)
{
	char name[32];
	json_t *schema = event_schema(stream->schema_path);
	json_t *fields = json_object_get(schema, "fields");
	snprintf(name, sizeof(name), "extra_%08x", (unsigned)(random >> 32));
	json_t *extra = json_pack("{s:s, s:s, s:s}", "name", name, "type", "string", "default", "");
	switch (random % 4) {
	case 0: /* a field more, at the front */
		json_array_insert(fields, 0, extra);
		break;
	case 1: /* and one that the stream has is not written */
		json_array_append(fields, extra);
		drop_field(schema, "note");
		break;
	case 2: /* and a narrower number */
		json_array_append(fields, extra);
		json_object_set_new(field_of(schema, "total"), "type", json_string("int"));
		break;
	default: /* and the branches of a union the other way round, no default */
		json_array_append(fields, extra);
		json_object_set_new(field_of(schema, "lowest"), "type",
				    json_pack("[s, s]", "long", "null"));
		json_object_del(field_of(schema, "lowest"), "default");
		break;
	}
	json_decref(extra);
	return schema;
}

/* Events of accounts of their own, some in each partition. */
static void send_evolved(struct chaos *c, struct strike *s)
{
	struct bed_stream *stream = &c->bed->streams[0];
	char account[32];
	for (int i = 0; i < 60; i++) {
		int partition = i % MIN(stream->partitions, 3);
		snprintf(account, sizeof(account), "evolved %d", partition);
		ledger_send(c->bed, partition, account, clock_wall_us(), i);
	}
	chaos_note(c, "events by writer schema %u, evolution %d", stream->schema_id,
		   (int)(s->random % 4));
}

static void new_schema(struct chaos *c, struct strike *s)
{
	json_t *schema = evolved(&c->bed->streams[0], s->random);
	bed_writer_schema(c->bed, "ledger", schema);
	json_decref(schema);
}

static void evolve(struct chaos *c, struct strike *s)
{
	new_schema(c, s);
	send_evolved(c, s);
}

/* --- the registry --- */

static void registry_control(const char *body)
{
	ck_assert_uint_eq(http(stack.registry_port, "/_control", body, NULL), 200);
}

static const char *const moods[] = {
	"{\"mode\": \"down\", \"status\": 503}", "{\"mode\": \"down\", \"status\": 500}",
	"{\"mode\": \"down\", \"status\": 401}", "{\"mode\": \"404\"}",
	"{\"mode\": \"slow\", \"delay\": 3}",
};

/* The last mood is to be away. */
static bool is_away(const struct strike *s)
{
	return s->random % (ARRAY_LEN(moods) + 1) == ARRAY_LEN(moods);
}

static void spoil_registry(struct chaos *c, struct strike *s)
{
	new_schema(c, s);
	if (is_away(s))
		chaos_stack(c, "registry", "kill", NULL);
	else
		registry_control(moods[s->random % (ARRAY_LEN(moods) + 1)]);
	send_evolved(c, s);
}

static void mend_registry(struct chaos *c, struct strike *s)
{
	if (is_away(s))
		chaos_stack(c, "registry", "start", NULL);
	else
		registry_control("{\"mode\": \"ok\"}");
}

/* --- clocks --- */

static void set_clock(struct chaos *c, int64_t seconds)
{
	int fd = open(c->bed->clock, O_WRONLY | O_CLOEXEC);
	ck_assert_msg(fd >= 0 && pwrite(fd, &seconds, sizeof(seconds), 0) == sizeof(seconds),
		      "%s can not be written", c->bed->clock);
	close(fd);
}

/* What time a worker believes that it is. */
static int64_t time_of(struct worker *w)
{
	json_t *status = worker_status(w);
	double time = json_number_value(json_object_get(status, "time"));
	json_decref(status);
	return (int64_t)(time * (double)US_PER_S);
}

/* All workers at once, by an hour or a day, forward or back. */
static void jump(struct chaos *c, struct strike *s)
{
	static const int64_t jumps[] = {3600, -3600, 86400, -86400, 15, -15};
	int64_t by = jumps[s->random % ARRAY_LEN(jumps)];
	set_clock(c, by);
	chaos_note(c, "clocks are %+lld s wrong", (long long)by);
	CHAOS_WAIT(c, 10, worker_http(c->workers[0], "/livez", NULL) == 200);
	int64_t wrong = time_of(c->workers[0]) - clock_wall_us() - by * US_PER_S;
	ck_assert_msg(llabs(wrong) < 5 * US_PER_S, "the worker's clock did not jump by %lld s",
		      (long long)by);
}

static void jump_back(struct chaos *c, struct strike *s)
{
	(void)s;
	set_clock(c, 0);
}

#define INPUT(fault, shortest, longest, ...)                                                       \
	{                                                                                          \
		.name = "input." fault, .scope = SCOPE_INPUT, .hold_ms = {shortest, longest},      \
		__VA_ARGS__                                                                        \
	}

const struct fault faults_input[] = {
	INPUT("poison", 0, 0, .strike = poison),
	INPUT("schema", 0, 0, .strike = evolve),
	INPUT("registry", 500, 8000, .strike = spoil_registry, .heal = mend_registry, .weight = 2),
	INPUT("clock", 500, 5000, .strike = jump, .heal = jump_back),
	{0},
};

/*
 * schedule.c - from a seed to steps.
 *
 *   tables of faults --> deck: each fault as often as its weight --shuffled--> dealt card by card;
 *                                                               when it is empty, shuffled anew
 *
 * A deck rather than dice: a run that is long enough to deal one has struck with every kind. One
 * step in four has a second fault of another scope, unless one of the two wants to be alone; the
 * card is looked for in the rest of the deck. All draws come from one stream of random numbers that
 * nothing but this file reads, so that the steps of a seed never depend on what happened.
 */
#include "schedule.h"

#include <stdlib.h>
#include <string.h>

#define DECK 512

struct schedule {
	uint64_t state;
	const struct fault *cards[DECK];
	size_t ncards, dealt;
};

static const struct fault *const families[] = {faults_worker, faults_link,  faults_database,
					       faults_kafka,  faults_input, faults_file};

const struct fault *fault_at(size_t i)
{
	for (size_t f = 0; f < ARRAY_LEN(families); f++) {
		for (const struct fault *fault = families[f]; fault->name; fault++) {
			if (i-- == 0)
				return fault;
		}
	}
	return NULL;
}

bool fault_fits(const struct fault *fault, bool file)
{
	bool database = fault->scope == SCOPE_DATABASE || fault->scope == SCOPE_DATABASE_LINK;
	return file ? !database : fault->scope != SCOPE_FILE;
}

/* The finalizer of splitmix64. */
uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

static uint64_t draw(struct schedule *s)
{
	s->state += UINT64_C(0x9e3779b97f4a7c15);
	return mix(s->state);
}

static uint64_t draw_between(struct schedule *s, uint64_t lowest, uint64_t highest)
{
	return lowest + draw(s) % (highest - lowest + 1);
}

/* Whether "name" stands in "name,name". */
static bool listed(const char *names, const char *name)
{
	size_t n = strlen(name);
	for (const char *at = names; (at = strstr(at, name)); at++) {
		if ((at == names || at[-1] == ',') && (at[n] == ',' || at[n] == '\0'))
			return true;
	}
	return false;
}

static const struct fault *fault_named(const char *name, size_t n)
{
	for (size_t i = 0; fault_at(i); i++) {
		if (strlen(fault_at(i)->name) == n && strncmp(fault_at(i)->name, name, n) == 0)
			return fault_at(i);
	}
	return NULL;
}

static void check_names(const char *names)
{
	for (const char *at = names; at; at = strchr(at, ',')) {
		at += *at == ',';
		size_t n = strcspn(at, ",");
		ck_assert_msg(fault_named(at, n) != NULL, "no fault is called %.*s", (int)n, at);
	}
}

static void shuffle(struct schedule *s)
{
	for (size_t i = s->ncards; i > 1; i--) {
		size_t j = draw(s) % i;
		const struct fault *card = s->cards[i - 1];
		s->cards[i - 1] = s->cards[j];
		s->cards[j] = card;
	}
	s->dealt = 0;
}

struct schedule *schedule_new(uint64_t seed, const char *names, bool file)
{
	struct schedule *s = xcalloc(1, sizeof(*s));
	s->state = mix(seed);
	check_names(names);
	for (size_t i = 0; fault_at(i); i++) {
		const struct fault *fault = fault_at(i);
		if (!fault_fits(fault, file) || (names && !listed(names, fault->name)))
			continue;
		for (unsigned w = 0; w < MAX(fault->weight, 1); w++) {
			ck_assert_uint_lt(s->ncards, DECK);
			s->cards[s->ncards++] = fault;
		}
	}
	ck_assert_uint_gt(s->ncards, 0);
	shuffle(s);
	return s;
}

void schedule_free(struct schedule *s)
{
	free(s);
}

static struct strike deal(struct schedule *s, size_t at)
{
	const struct fault *fault = s->cards[at];
	s->cards[at] = s->cards[s->dealt];
	s->cards[s->dealt++] = fault;
	return (struct strike){
		.fault = fault,
		.random = draw(s),
		.hold_ms = (unsigned)draw_between(s, fault->hold_ms[0], fault->hold_ms[1]),
	};
}

/* The next card that goes with this fault; SIZE_MAX: none is left in the deck. */
static size_t companion(const struct schedule *s, const struct fault *fault)
{
	for (size_t i = s->dealt; i < s->ncards && !(fault->flags & FAULT_ALONE); i++) {
		const struct fault *other = s->cards[i];
		if (other->scope != fault->scope && !(other->flags & FAULT_ALONE))
			return i;
	}
	return SIZE_MAX;
}

void schedule_next(struct schedule *s, struct step *step)
{
	*step = (struct step){.progress = (int64_t)draw_between(s, 200, 1500)};
	if (s->dealt == s->ncards)
		shuffle(s);
	step->strikes[step->nfaults++] = deal(s, s->dealt);
	size_t other = companion(s, step->strikes[0].fault);
	if (draw(s) % 4 == 0 && other != SIZE_MAX)
		step->strikes[step->nfaults++] = deal(s, other);
}

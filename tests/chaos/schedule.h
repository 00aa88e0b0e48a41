/*
 * schedule.h - the steps that a seed stands for. They depend on the seed and the tables of faults,
 * and on nothing that happens during a run.
 */
#pragma once

#include "chaos.h"

#define STEP_FAULTS 2

struct step {
	int64_t progress; /* events that must be durable since the step before */
	size_t nfaults;
	struct strike strikes[STEP_FAULTS];
};

struct schedule;

/*
 * names: "name,name" or NULL for all; fails the run when one is unknown. file: of a run whose
 * workers write one.
 */
struct schedule *schedule_new(uint64_t seed, const char *names, bool file);
void schedule_free(struct schedule *s);
void schedule_next(struct schedule *s, struct step *step);

/* All faults that there are, by their number; NULL behind the last. */
const struct fault *fault_at(size_t i);
/* Whether it is one of such a run. */
bool fault_fits(const struct fault *fault, bool file);
/* 64 well mixed bits of a number. */
uint64_t mix(uint64_t x);

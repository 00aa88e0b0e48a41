/*
 * sampler.h - a thread that looks each second: Kafka's committed offset is never ahead of
 * the database's next_offset, and next_offset never falls, unless a fault declares it.
 */
#pragma once

#include "chaos.h"

enum wrong { SAMPLER_AHEAD = 1, SAMPLER_FELL = 2 };

struct sampler *sampler_start(struct chaos *c);
void sampler_stop(struct sampler *s);
/*
 * For the proof: from now on what is wrong is kept, and is no violation.
 */
void sampler_prove(struct sampler *s, bool proving);
unsigned sampler_seen(struct sampler *s); /* which of them */

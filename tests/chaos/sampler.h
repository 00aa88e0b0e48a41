/*
 * sampler.h - a thread that looks each second: Kafka's committed offset is never ahead of
 * PostgreSQL's next_offset, and next_offset never falls, unless a fault declares it.
 */
#pragma once

#include "chaos.h"

struct sampler *sampler_start(struct chaos *c);
void sampler_stop(struct sampler *s);

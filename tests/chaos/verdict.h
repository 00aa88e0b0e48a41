/*
 * verdict.h - what a run found, kept in memory that the run's process shares with its parent: a run
 * that ends by an assertion, or crashes, still has a verdict.
 */
#pragma once

#include "chaos.h"

/* Before the run's process is forked. */
void verdict_open(const struct chaos_options *options);

/* From the run's process; any thread. */
void verdict_begin(const char *librdkafka);
void verdict_history(double at_s, const char *text);
void verdict_violation(const char *text); /* kept, with the first of them named as such */
unsigned verdict_violations(void);
void verdict_left_out(const struct fault *fault);
void verdict_struck(const struct fault *fault);
/* After a step of one fault, or (NULL) of two: whose doing the time was is not known then. */
void verdict_recovered(const struct fault *fault, int64_t ms);
void verdict_events(uint64_t sent, uint64_t acknowledged, uint64_t failed, int64_t durable);
void verdict_peaks(long rss_kib, int descriptors, int threads);
void verdict_sampled(void);
void verdict_accounted(void);
void verdict_tamper_caught(const char *what);
void verdict_finished(void); /* the run came to its end by itself */

/* Bounds are for a machine that does nothing else; CK_TIMEOUT_MULTIPLIER, as Check has it. */
unsigned verdict_slack(void);

/* In the parent, once the run's process has ended: bounds, text, JSON. True: nothing is wrong. */
bool verdict_give(const char *json_path);

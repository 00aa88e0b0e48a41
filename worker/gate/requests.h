/*
 * requests.h - requests with an Idempotency-Key: applied once, however often they are sent. One
 * thread for all of them.
 */
#pragma once

#include "core/config.h"

struct job;
struct requests;

/* NULL without gateway.requests_topic. */
struct requests *requests_start(const struct config *config);
/*
 * The job is its own from now on; it answers it. False: a request of that name is still being
 * worked on, and the job stays the caller's. Any thread.
 */
MUST_CHECK bool requests_take(struct requests *r, struct job *j);
size_t requests_waiting(struct requests *r);
/*
 * Answers those that are not begun yet as not taken: all of them, or those whose gateway.timeout is
 * over.
 */
void requests_cut(struct requests *r);
void requests_expire(struct requests *r);
void requests_stop(struct requests *r); /* none is left; NULL is fine */
